//! `--archive`, from review to the second look.

use opsweek_sandbox::SeedOptions;

use crate::support::{
    Ran, databases_of, host_trees, in_hdfs, listing, offboard, offboard_with, sandbox, scratch,
    seed, seed_with, tables_of, world_of,
};

const ARCHIVE: &str = "/wmf/data/archive/user";

#[test]
fn a_dry_run_foretells_and_writes_nothing() {
    let user = "elvisdry";
    seed(user);
    let before = world_of(user);
    let ran = offboard([
        user,
        "--archive",
        "--new-owner",
        "analytics",
        "--relocate",
        "--stop-processes",
        "--dry-run",
    ])
    .expect(3);
    assert!(
        ran.stdout.contains("move-home") && ran.stdout.contains("to do"),
        "{}",
        ran.stdout
    );
    assert_eq!(world_of(user), before);
}

#[test]
fn others_tables_inside_stop_it() {
    let user = "elvisinside";
    seed(user);
    let before = world_of(user);
    let ran = offboard([user, "--archive", "--new-owner", "analytics", "--dry-run"]).expect(8);
    assert!(
        ran.stderr.contains("has its files inside") && ran.stderr.contains("--relocate"),
        "{}",
        ran.stderr
    );
    assert_eq!(world_of(user), before);
}

#[test]
fn nobody_to_ask_changes_nothing() {
    let user = "elvisnobody";
    seed(user);
    let before = world_of(user);
    for yes in [&[][..], &["--yes"]] {
        let mut command = crate::support::offboard_with(&sandbox().config_path());
        command
            .args([user, "--archive", "--new-owner", "analytics", "--relocate"])
            .args(yes);
        crate::support::Ran::from(command.output().unwrap()).expect(5);
    }
    // The owner is asked for when it is missing: nobody is there either.
    let ran = offboard([user, "--archive", "--relocate"]).expect(5);
    assert!(ran.stderr.contains("--new-owner"), "{}", ran.stderr);
    assert_eq!(world_of(user), before);
}

#[test]
fn another_word_than_the_users_name_declines() {
    let user = "elvisdecline";
    seed(user);
    let before = world_of(user);
    assert_eq!(on_terminal(user, "yes\n"), 5);
    assert_eq!(world_of(user), before);
}

#[test]
fn the_users_name_typed_confirms() {
    let user = "elvistyped";
    seed(user);
    assert_eq!(on_terminal(user, &format!("{user}\n")), 0);
    assert!(!in_hdfs(&format!("/user/{user}")));
}

/// Runs the archive on a pseudo terminal, typing `answer`; gives the exit code.
fn on_terminal(user: &str, answer: &str) -> i32 {
    use std::io::Write;
    let line = format!(
        "{} {user} --archive --new-owner analytics --relocate --stop-processes",
        env!("CARGO_BIN_EXE_offboard")
    );
    let mut script = std::process::Command::new("script")
        .args([
            "--quiet",
            "--return",
            "--flush",
            "--command",
            &line,
            "/dev/null",
        ])
        .env("OPSWEEK_CONFIG", sandbox().config_path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = script.stdin.take().unwrap();
    stdin.write_all(answer.as_bytes()).unwrap();
    // The terminal stays open until the tool has ended.
    let output = script.wait_with_output().unwrap();
    drop(stdin);
    output.status.code().unwrap()
}

#[test]
fn reviewed_then_run_leaves_nothing_but_the_archive() {
    let user = "elvisarch";
    seed(user);
    let archive = format!("{ARCHIVE}/{user}");
    let plan = scratch("elvisarch.json");
    let plan = plan.to_str().unwrap();
    let before = sandbox()
        .hdfs(None, &["dfs", "-count", &format!("/user/{user}")])
        .unwrap();
    let before = String::from_utf8_lossy(&before.stdout).into_owned();
    offboard([
        user,
        "--archive",
        "--new-owner",
        "analytics",
        "--relocate",
        "--stop-processes",
        "--task",
        "T123456",
        "--dry-run",
        "--save-plan",
        plan,
    ])
    .expect(3);
    let ran = offboard(["--plan", plan, "--yes"]).expect(0);
    assert!(
        ran.stderr.contains("!log") && ran.stderr.contains("T123456"),
        "{}",
        ran.stderr
    );

    // HDFS: the home is gone, the archive is there, owned and closed as it should be.
    assert!(!in_hdfs(&format!("/user/{user}")), "{before}");
    let tree = listing(&[&archive]);
    // Names with newlines go on over lines of their own.
    let entries: Vec<Vec<&str>> = tree
        .lines()
        .map(|line| line.split_whitespace().collect())
        .filter(|fields: &Vec<&str>| fields.len() > 7 && fields[0].len() >= 10)
        .collect();
    assert!(entries.len() > 20, "{tree}");
    for entry in &entries {
        let others_table = entry[7].contains("/exports/referrers");
        let of_archive = entry[2..4] == ["hdfs", "analytics-privatedata-users"];
        assert!(of_archive || others_table, "not the archive's: {entry:?}");
        // Others may pass through to the table that is not the archive's, and no more.
        // A sticky bit shows where others' pass would.
        let others = entry[0][7..10].replace('T', "-");
        let on_the_way = entry[7].ends_with("/exports");
        let allowed = if on_the_way { "--x" } else { "---" };
        assert!(
            others_table || others == allowed,
            "open to others: {entry:?}"
        );
    }
    for records in [
        "hdfs.jsonl.zst",
        "hive.jsonl.zst",
        "manifest.json",
        "complete.json",
    ] {
        assert!(
            in_hdfs(&format!("{archive}/.opsweek/{records}")),
            "{records}"
        );
    }
    assert!(
        !tree.contains("/.Trash") && !tree.contains("/.sparkStaging"),
        "{tree}"
    );

    // The metastore: the database is gone, nobody's table is the user's.
    assert_eq!(databases_of(user), Vec::<Vec<String>>::new());
    let left = tables_of(user);
    assert!(
        left.iter().all(|row| row[2] != user && row[0] != user),
        "{left:?}"
    );
    assert!(!in_hdfs(&format!("/user/hive/warehouse/{user}.db")));
    assert!(in_hdfs(&format!("{archive}/.opsweek/hive/{user}.db")));

    // The hosts: nothing is left, and what was there is in the tarballs, without secrets.
    let trees = host_trees(user);
    assert!(!trees.contains(&format!("/{user}")), "{trees}");
    let hosts = listing(&[&format!("{archive}/.opsweek/hosts")]);
    let tarballs: Vec<&str> = hosts
        .lines()
        .filter(|line| line.ends_with(".tar.zst"))
        .collect();
    assert!(
        tarballs.len() > 1 && tarballs.iter().all(|line| line.starts_with("-r--------")),
        "{hosts}"
    );
    let path = tarballs[0].split_whitespace().last().unwrap();
    let local = scratch("elvisarch.tar.zst");
    let local = local.to_str().unwrap();
    let got = sandbox().hdfs(None, &["dfs", "-get", path, local]).unwrap();
    assert!(got.status.success());
    let names = std::process::Command::new("tar")
        .args(["--zstd", "-tf", local])
        .output()
        .unwrap();
    let names = String::from_utf8_lossy(&names.stdout).into_owned();
    assert!(names.contains(user) && !names.contains("/.ssh"), "{names}");

    // A second look finds nothing; a second run has nothing to do; the plan is done.
    offboard([user]).expect(0);
    offboard([user, "--archive"]).expect(0);
    offboard(["--plan", plan, "--yes"]).expect(0);
}

#[test]
fn a_plan_edited_by_hand_does_not_run() {
    let user = "elvisedited";
    seed(user);
    let before = world_of(user);
    let plan = scratch("elvisedited.json");
    offboard([
        user,
        "--archive",
        "--new-owner",
        "analytics",
        "--relocate",
        "--dry-run",
        "--save-plan",
        plan.to_str().unwrap(),
    ])
    .expect(3);
    let text = std::fs::read_to_string(&plan).unwrap();
    std::fs::write(
        &plan,
        text.replace("analytics-privatedata-users", "wikidev"),
    )
    .unwrap();
    let ran = offboard(["--plan", plan.to_str().unwrap(), "--yes"]).expect(4);
    assert!(ran.stderr.contains("hash"), "{}", ran.stderr);
    assert_eq!(world_of(user), before);
}

#[test]
fn drift_after_review_stops_it() {
    let user = "elvisdrift";
    seed(user);
    let plan = scratch("elvisdrift.json");
    let plan = plan.to_str().unwrap();
    offboard([
        user,
        "--archive",
        "--new-owner",
        "analytics",
        "--relocate",
        "--dry-run",
        "--save-plan",
        plan,
    ])
    .expect(3);
    let path = format!("/user/{user}/written-meanwhile");
    assert!(
        sandbox()
            .hdfs(None, &["dfs", "-touchz", &path])
            .unwrap()
            .status
            .success()
    );
    let ran = offboard(["--plan", plan, "--yes"]).expect(6);
    assert!(
        ran.stdout.contains("drifted") || ran.stderr.contains("drifted"),
        "{}",
        ran.stdout
    );
    assert!(in_hdfs(&path));
}

/// Plans with these flags, and gives the plan's file.
fn saved(user: &str, flags: &[&str]) -> String {
    let plan = scratch(&format!("{user}.json"));
    let plan = plan.to_str().unwrap().to_owned();
    let mut command = offboard_with(&sandbox().config_path());
    command.arg(user).args(flags).args(["--save-plan", &plan]);
    Ran::from(command.output().unwrap()).expect(3);
    plan
}

#[test]
fn whoever_has_come_back_since_the_review_stays() {
    let user = "elvisreturns";
    seed(user);
    let active = |active| {
        let options = SeedOptions {
            active,
            ..SeedOptions::default()
        };
        seed_with(user, &options);
    };
    let archive = ["--archive", "--new-owner", "analytics", "--relocate"];
    let plan = saved(user, &archive);
    active(true);
    let before = world_of(user);
    for flag in ["--yes", "--dry-run"] {
        let ran = offboard(["--plan", &plan, flag]).expect(8);
        assert!(ran.stderr.contains("ensure: present"), "{}", ran.stderr);
    }
    assert_eq!(world_of(user), before);
    // Whoever planned it knew.
    let plan = saved(user, &[&archive[..], &["--even-if-active"]].concat());
    offboard(["--plan", &plan, "--dry-run"]).expect(3);
    active(false);
}

#[test]
fn what_others_have_put_into_the_home_since_the_review_stays() {
    let user = "elvisshares";
    seed(user);
    crate::offboard::delete::clear(user);
    let delete = ["--delete", "--skip-trash", "--task", "T123456"];
    let keep = ["--new-owner", "analytics", "--host-homes", "keep"];
    let plan = saved(user, &[&delete[..], &keep].concat());
    let (theirs, inside) = (format!("/user/azy/of-{user}"), format!("/user/{user}/data"));
    let sql = format!("UPDATE SDS SET LOCATION = REPLACE(LOCATION, '{theirs}', '{inside}')");
    sandbox().metastore_sql(&sql).unwrap();
    let before = world_of(user);
    let ran = offboard(["--plan", &plan, "--yes"]).expect(8);
    let told = format!("table azy.referrers_of_{user} of azy has its files inside: {inside}");
    assert!(ran.stderr.contains(&told), "{}", ran.stderr);
    assert_eq!(world_of(user), before);
}
