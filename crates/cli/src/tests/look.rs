//! Arguments, configuration, looks, dry runs: everything that changes nothing.

use std::fs;
use std::io;

use serde_json::Value;

use super::Desk;

#[test]
fn a_look_tells_what_is_left() {
    assert_eq!(Desk::with(&[]).run(&["elvis"]).code, 0);
    let ran = Desk::with(&[("a", "1"), ("b\u{1b}[2J", "2")]).run(&["elvis"]);
    assert_eq!((ran.code, &*ran.err), (3, ""));
    insta::assert_snapshot!(ran.out, @r"
    elvis

    left
     NAME
     a
     b\u{1b}[2J
    ");
}

#[test]
fn an_incomplete_look_is_said_and_wins() {
    let desk = Desk::with(&[("a", "1")]);
    desk.write("down", "");
    let ran = desk.run(&["elvis"]);
    assert_eq!(ran.code, 7);
    assert!(
        ran.out
            .ends_with("- NOT looked at: vault: connection refused\n"),
        "{}",
        ran.out
    );

    fs::remove_file(desk.path("left/a")).unwrap();
    fs::remove_dir(desk.path("left")).unwrap();
    let ran = desk.run(&["elvis"]);
    assert_eq!((ran.code, &*ran.out), (7, ""));
    insta::assert_snapshot!(ran.err, @"
    error: cannot look at elvis
    caused by: no such folder
    hint: is it mounted?
    ");
}

#[test]
fn a_look_stops_at_once() {
    let mut desk = Desk::with(&[]);
    desk.cancelled = true;
    let ran = desk.run(&["elvis"]);
    assert_eq!(ran.code, 7);
    assert!(ran.err.contains("stopped"));
}

#[test]
fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let desk = Desk::with(&[("a", "1")]);
    let ran = desk.run(&["elvis", "--archive", "-n"]);
    assert_eq!((ran.code, &*ran.err), (3, ""));
    insta::assert_snapshot!(ran.out, @"
    elvis

    left
     NAME
     a

    clear elvis

    copy
     STEP    STATE  RISK  WHAT
     copy a  to do        copy left/a to kept/a

    remove
     STEP      STATE  RISK          WHAT
     remove a  to do  IRREVERSIBLE  remove left/a
    ");
    assert!(desk.has("left/a") && !desk.has("kept/a") && !desk.has("state"));
}

#[test]
fn a_dry_run_of_an_incomplete_look_is_incomplete() {
    let desk = Desk::with(&[("a", "1")]);
    desk.write("down", "");
    assert_eq!(desk.run(&["elvis", "--archive", "-n"]).code, 7);
}

#[test]
fn nothing_to_do_is_done() {
    let ran = Desk::with(&[]).run(&["elvis", "--archive"]);
    assert_eq!((ran.code, &*ran.err), (0, "nothing to do\n"));
}

#[test]
fn json_is_one_document() {
    let desk = Desk::with(&[("a", "1")]);
    let keys = |args: &[&str]| {
        let ran = desk.run(args);
        let json: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(json["exit"], ran.code);
        let keys: Vec<String> = json.as_object().unwrap().keys().cloned().collect();
        keys.join(" ")
    };
    let look = ["elvis", "--format", "json"];
    assert_eq!(keys(&look), "exit inventory report");
    let dry = ["elvis", "--archive", "-n", "--format", "json"];
    assert_eq!(keys(&dry), "exit hash inventory outcomes plan report");
    assert_eq!(keys(&["root", "--format", "json"]), "error exit");
    desk.write("active", "");
    assert_eq!(keys(&dry), "exit inventory refusals report");
    fs::remove_file(desk.path("active")).unwrap();
    let run = ["elvis", "--keep", "--yes", "--format", "json"];
    assert_eq!(keys(&run), "exit hash inventory left outcomes plan report");
}

#[test]
fn csv_and_remarkup_are_the_documents() {
    let desk = Desk::with(&[("a", "1")]);
    let csv = desk.run(&["elvis", "--keep", "-n", "--format", "csv"]).out;
    insta::assert_snapshot!(csv, @"
    table,name
    left,a
    table,step,state,risk,what
    copy,copy a,to do,,copy left/a to kept/a
    ");
    let remarkup = desk.run(&["elvis", "--keep", "-n", "--format", "remarkup"]);
    insta::assert_snapshot!(remarkup.out, @"
    == elvis ==

    **left**

    | name |
    |---|
    | a |

    == clear elvis ==

    **copy**

    | step | state | risk | what |
    |---|---|---|---|
    | copy a | to do |  | copy left/a to kept/a |
    ");
}

#[test]
fn lost_output_is_a_failure_unless_its_reader_left() {
    let mut desk = Desk::with(&[]);
    desk.broken = Some(io::ErrorKind::BrokenPipe);
    assert_eq!(desk.run(&["elvis"]).code, 0);
    desk.broken = Some(io::ErrorKind::StorageFull);
    let ran = desk.run(&["elvis"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.starts_with("error: standard output\ncaused by: "));
}

#[test]
fn wrong_usage_is_refused_before_anything_is_looked_at() {
    let desk = Desk::with(&[("a", "1")]);
    // A look would fail with 7.
    fs::remove_file(desk.path("left/a")).unwrap();
    fs::remove_dir(desk.path("left")).unwrap();
    let hash = format!("sha256:{}", "0".repeat(64));
    let wrong: &[&[&str]] = &[
        &[],
        &[""],
        &["-rf"],
        &["elvis", "presley"],
        &["elvis", "--task", "T"],
        &["elvis", "--task", "123"],
        &["elvis", "--task", "T12; rm"],
        &["elvis", "--reason", "two\nlines"],
        &["elvis", "--reason", " "],
        &["elvis", "--format", "xml"],
        &["elvis", "--approve", &hash],
        &["--plan", "p", "--approve", "sha256:0"],
        &["--plan", "p", "--task", "T1"],
        &["--plan", "p", "elvis"],
        &["--plan", "p", "--archive"],
        &["--plan", "p", "--save-plan", "p"],
        &["elvis", "--save-plan", "p"],
        &["elvis", "--config", "/nonexistent"],
    ];
    for args in wrong {
        let ran = desk.run(args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.err.starts_with("error: "), "{args:?}: {ran:?}");
    }
    let ran = desk.run(&["root"]);
    assert_eq!(ran.code, 8);
    assert_eq!(
        ran.err,
        "error: root is a system account\nhint: name a person\n"
    );
}

#[test]
fn arguments_that_are_quoted_back_are_escaped() {
    let ran = Desk::with(&[]).run(&["elvis", "--a\u{1b}[2J\u{7}\u{202e}b"]);
    assert_eq!(ran.code, 2);
    let raw = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    assert!(!ran.err.contains(raw), "{ran:?}");
    assert!(ran.err.contains("\\u{202e}b"), "{ran:?}");
}

#[test]
fn a_wrong_configuration_is_refused() {
    let desk = Desk::with(&[]);
    desk.configure("[fleet]\nhots = []");
    let ran = desk.run(&["elvis"]);
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.err, @"
    error: configuration DIR/config.toml, line 2: unknown key fleet.hots
    hint: did you mean hosts?
    ");
}

#[test]
fn completions_and_man_are_no_users() {
    let desk = Desk::with(&[]);
    let ran = desk.run(&["completions", "bash"]);
    assert!(ran.code == 0 && ran.out.contains("_toy()") && ran.out.contains("--archive"));
    let ran = desk.run(&["man"]);
    assert!(ran.code == 0 && ran.out.contains(".TH toy 1") && ran.out.contains("refused by"));
    assert_eq!(desk.run(&["completions"]).code, 2);
    // These are users.
    for args in [&["mann"] as &[&str], &["--", "man"], &["help"]] {
        let ran = desk.run(args);
        assert_eq!((ran.code, &*ran.err), (0, ""), "{args:?}");
    }
}

#[test]
fn help_tells_the_exit_codes() {
    let ran = Desk::with(&[]).run(&["--help"]);
    assert_eq!((ran.code, &*ran.err), (0, ""));
    assert!(ran.out.starts_with("Clear a folder\n"));
    assert!(ran.out.contains("[USER]  Whose things these are\n"));
    assert!(ran.out.ends_with("8  refused by a safety rule\n"));
    assert_eq!(Desk::with(&[]).run(&["--version"]).out, "toy 1.0\n");
}

#[test]
fn what_is_offered_can_be_picked_at_a_terminal() {
    let desk = Desk::with(&[("a", "1")]);
    desk.write("offered", "x y");
    let plan = ["elvis", "--keep", "--dry-run"];
    let ran = desk.answered(&["1"], &plan);
    assert_eq!(ran.code, 3);
    assert!(
        ran.err
            .contains("? which of these too? [x, spare, y, spare]"),
        "{}",
        ran.err
    );
    assert!(ran.out.contains("\nelvis and y\n"), "{}", ran.out);
    let none = desk.answered(&[""], &plan);
    assert!(!none.out.contains(" and "), "{}", none.out);
    // Nobody there, nothing to change, no words for people, or all answered: nobody is asked.
    let silent = [
        desk.run(&plan),
        desk.answered(&[], &["elvis"]),
        desk.answered(&[], &["elvis", "--keep", "--dry-run", "--format", "json"]),
        desk.answered(&[], &["elvis", "--keep", "--dry-run", "--yes"]),
    ];
    for ran in silent {
        assert_eq!((ran.code, &*ran.err), (3, ""));
        assert!(!ran.out.contains(" and "), "{}", ran.out);
    }
}
