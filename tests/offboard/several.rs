//! Several users at once: named in a file, or found by a scan.

use std::fmt::Write;
use std::path::PathBuf;

use crate::support::{
    Ran, in_hdfs, offboard, offboard_with, sandbox, scratch, seed, seed_with, world_of,
};
use opsweek_sandbox::SeedOptions;

/// A file of leavers with this text.
fn file(name: &str, text: &str) -> String {
    let path = scratch(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

const FLAGS: [&str; 5] = [
    "--archive",
    "--new-owner",
    "analytics",
    "--relocate",
    "--stop-processes",
];

#[test]
fn a_file_of_leavers_is_one_table_and_a_plan_each() {
    let (one, two) = ("elvisfirst", "elvissecond");
    seed(one);
    seed(two);
    let before = [world_of(one), world_of(two)];
    let list = format!("# left in May\n{two}\n{one} # T123456\nnemo\n{two}\n");
    let list = file("leavers.txt", &list);
    let text = offboard(["--from-file", &list]).expect(3).stdout;
    assert!(
        text.starts_with("2 of 3 users have left things behind\n"),
        "{text}"
    );
    let row = |user: &str| {
        let starts = format!(" {user} ");
        let mut rows = text.lines().filter(|line| line.starts_with(&starts));
        let row = rows.next().unwrap_or_else(|| panic!("{user}:\n{text}"));
        assert_eq!(rows.next(), None, "{user}:\n{text}");
        row.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for user in [one, two] {
        let row = row(user);
        assert_eq!(row[1..3], ["absent", "yes"], "{text}");
        assert!(row.contains(&user.to_owned()), "{text}");
        assert!(
            row.contains(&"stat[1008-1012].eqiad.wmnet".to_owned()),
            "{text}"
        );
    }
    assert_eq!(row("nemo"), ["nemo", "not", "listed"]);

    let json = offboard(["--from-file", &list, "--format", "json"]).expect(3);
    let json = json.json();
    assert_eq!(json["exit"], 3);
    // The same that a look at the one user finds.
    let alone = offboard([one, "--format", "json"]).expect(3).json();
    let of_one = &json["subjects"][one]["inventory"];
    for part in ["hdfs", "hive", "hosts", "account"] {
        assert_eq!(of_one[part], alone["inventory"][part], "{part}");
    }
    assert_eq!(json["subjects"]["nemo"]["report"]["leftovers"], false);

    let folder = scratch("plans");
    let mut command = offboard_with(&sandbox().config_path());
    command
        .args(["--from-file", &list])
        .args(FLAGS)
        .arg("--save-plan")
        .arg(&folder);
    let ran = Ran::from(command.output().unwrap()).expect(3);
    assert!(ran.stderr.contains("nemo: nothing to do"), "{}", ran.stderr);
    assert_eq!([world_of(one), world_of(two)], before);
    let plan = |user: &str| folder.join(format!("{user}.json"));
    assert!(plan(one).exists() && plan(two).exists() && !plan("nemo").exists());

    // --yes alone approves no step that cannot be undone, of nobody.
    let mut command = offboard_with(&sandbox().config_path());
    command
        .args(["--from-file", &list])
        .args(FLAGS)
        .arg("--yes");
    let ran = Ran::from(command.output().unwrap()).expect(5);
    for user in [one, two] {
        let said = format!("error: {user}: nobody to ask");
        assert!(ran.stderr.contains(&said), "{}", ran.stderr);
    }
    assert_eq!([world_of(one), world_of(two)], before);

    // Each plan is one like any other.
    offboard(["--plan", plan(one).to_str().unwrap(), "--yes"]).expect(0);
    offboard([one]).expect(0);
    assert_eq!(world_of(two), before[1]);
    assert!(in_hdfs(&format!("/wmf/data/archive/user/{one}/.opsweek")));
}

#[test]
fn a_bad_name_is_refused_before_anything_is_contacted() {
    let usual = std::fs::read_to_string(sandbox().config_path()).unwrap();
    // Nothing is there to be contacted.
    let config = scratch("nowhere.toml");
    let usual = usual.replace("127.0.0.1:", "127.0.0.1:1");
    std::fs::write(&config, usual).unwrap();
    let ran = |list: &str| -> Ran {
        let mut command = offboard_with(&config);
        command.args(["--from-file", list]).output().unwrap().into()
    };
    let bad = ran(&file("bad.txt", "elvis\n../../etc\nazy\nElvis Presley\n")).expect(2);
    for line in ["line 2", "line 4"] {
        assert!(bad.stderr.contains(line), "{}", bad.stderr);
    }
    let system = ran(&file("system.txt", "elvis\nhdfs\n")).expect(8);
    assert!(
        system.stderr.contains("hdfs is a system account"),
        "{}",
        system.stderr
    );
    ran(&file("nobody.txt", "# nobody\n")).expect(2);
    offboard(["--from-file", "leavers.txt", "elvis"]).expect(2);
    offboard(["--from-file", "leavers.txt", "--restore"]).expect(2);
}

/// The sandbox's configuration with its first and third host alone, and an admins' data file of
/// its own, in which those are listed as said and everybody else who is in the sandbox's is present.
fn config_for(name: &str, listed: &[(&str, &str)]) -> PathBuf {
    let mut data = "users:\n".to_owned();
    let known = std::fs::read_to_string(sandbox().dir().join("admins/data.yaml")).unwrap();
    let others = known
        .lines()
        .skip_while(|line| *line != "users:")
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
        .filter(|user| !user.starts_with(' ') && !listed.iter().any(|(one, _)| one == user));
    for user in others {
        writeln!(data, "  {user}: {{ ensure: present }}").unwrap();
    }
    for (user, ensure) in listed.iter().filter(|(_, ensure)| !ensure.is_empty()) {
        writeln!(data, "  {user}: {{ ensure: {ensure} }}").unwrap();
    }
    let file = scratch(&format!("{name}.yaml"));
    std::fs::write(&file, data).unwrap();
    let usual = std::fs::read_to_string(sandbox().config_path()).unwrap();
    let lines = usual.lines().map(|line| {
        if line.starts_with("hosts = ") {
            r#"hosts = ["stat1008.eqiad.wmnet,stat1010.eqiad.wmnet"]"#.to_owned()
        } else if line.starts_with("data_file = ") {
            format!("data_file = '{}'", file.display())
        } else {
            line.to_owned()
        }
    });
    let config = scratch(&format!("{name}.toml"));
    std::fs::write(&config, lines.collect::<Vec<_>>().join("\n")).unwrap();
    config
}

#[test]
fn a_scan_finds_who_has_left_and_nobody_else() {
    let (gone, unlisted, active) = ("elvisgone", "elvisunlisted", "elvisstays");
    seed(gone);
    seed(unlisted);
    seed_with(
        active,
        &SeedOptions {
            active: true,
            ..SeedOptions::default()
        },
    );
    let before = [world_of(gone), world_of(unlisted), world_of(active)];
    let config = config_for(
        "scan",
        &[(gone, "absent"), (unlisted, ""), (active, "present")],
    );
    let scan = |flags: &[&str]| {
        let mut command = offboard_with(&config);
        Ran::from(command.arg("--scan").args(flags).output().unwrap())
    };
    let json = scan(&["--format", "json"]).expect(3).json();
    let subjects = json["subjects"].as_object().unwrap();
    assert_eq!(subjects[gone]["inventory"]["account"], "absent");
    assert_eq!(subjects[unlisted]["inventory"]["account"], "unlisted");
    for nobody in [
        active,
        "hdfs",
        "hive",
        "analytics",
        "root",
        "azy",
        "history",
    ] {
        assert!(!subjects.contains_key(nobody), "{nobody}");
    }
    assert_eq!(
        [world_of(gone), world_of(unlisted), world_of(active)],
        before
    );
    // Without the file nobody can be told from a leaver.
    let file = scratch("scan.yaml");
    std::fs::remove_file(&file).unwrap();
    let blind = scan(&[]).expect(7);
    assert!(
        blind.stderr.contains("cannot tell who has left"),
        "{}",
        blind.stderr
    );
}
