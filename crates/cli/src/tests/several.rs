//! Several subjects in one run.

use super::{Desk, mode};

#[test]
fn a_look_is_one_table_and_each_is_in_the_json() {
    let desk = Desk::with(&[("a", "1")]);
    let ran = desk.run(&["elvis,azy"]);
    assert_eq!((ran.code, &*ran.err), (3, ""));
    let table = [" SUBJECT  FOUND", " elvis    elvis", " azy      azy", ""];
    assert_eq!(ran.out, table.join("\n"));
    desk.write("down", "");
    let ran = desk.run(&["elvis,azy", "--format", "json"]);
    assert_eq!(ran.code, 7);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["subjects"]["azy"]["report"]["leftovers"], true);
    // What could not be seen is said once.
    assert_eq!(json["gaps"].as_array().unwrap().len(), 1);
}

#[test]
fn a_plan_each_goes_into_a_folder() {
    let desk = Desk::with(&[("a", "1")]);
    let folder = desk.path("plans");
    let folder = folder.to_str().unwrap();
    let ran = desk.run(&["elvis,azy", "--save-plan", folder]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(!desk.has("plans"));
    let ran = desk.run(&["elvis,azy", "--archive", "--save-plan", folder]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert_eq!(mode(&desk.path("plans")), 0o700);
    for (user, other) in [("elvis", "azy"), ("azy", "elvis")] {
        let plan = desk.path(&format!("plans/{user}.json"));
        let text = std::fs::read_to_string(plan).unwrap();
        assert!(text.contains(&format!("clear {user}")) && !text.contains(other));
    }
    // A file is no folder.
    let ran = desk.run(&[
        "elvis,azy",
        "--archive",
        "--save-plan",
        &format!("{folder}/azy.json"),
    ]);
    assert_eq!(ran.code, 2, "{}", ran.err);
}

#[test]
fn each_is_asked_about_by_its_own_name() {
    let desk = Desk::with(&[("a", "1")]);
    let ran = desk.answered(&["azy", "azy"], &["elvis,azy", "--archive"]);
    assert_eq!(ran.code, 5, "{}", ran.err);
    assert!(ran.err.contains("error: elvis: declined"), "{}", ran.err);
    assert!(desk.has("kept/a") && !desk.has("left/a"));
    let journals = std::fs::read_dir(desk.path("state/journal"))
        .unwrap()
        .count();
    assert_eq!(journals, 1);
}

#[test]
fn yes_alone_approves_nobodys_irreversible_steps() {
    let desk = Desk::with(&[("a", "1")]);
    let ran = desk.run(&["elvis,azy", "--archive", "--yes"]);
    assert_eq!(ran.code, 5);
    for user in ["elvis", "azy"] {
        let said = format!("error: {user}: nobody to ask");
        assert!(ran.err.contains(&said), "{}", ran.err);
    }
    assert!(desk.has("left/a") && !desk.has("kept/a"));
    // What is refused for one is told of each.
    desk.write("active", "");
    let ran = desk.run(&["elvis,azy", "--archive", "--dry-run"]);
    assert_eq!(ran.code, 8);
    assert!(
        ran.err.contains("error: azy: elvis can still log in"),
        "{}",
        ran.err
    );
}

#[test]
fn a_stop_ends_all_of_them() {
    let mut desk = Desk::with(&[("a", "1")]);
    desk.cancelled = true;
    let ran = desk.run(&["elvis,azy", "--keep", "--yes"]);
    assert_eq!(ran.code, 7, "{}", ran.err);
    assert!(!desk.has("kept/a"));
}
