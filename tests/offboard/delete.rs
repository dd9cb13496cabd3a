//! `--delete`, judged by the servers' own clients.

use crate::support::{
    databases_of, host_trees, in_hdfs, offboard, sandbox, scratch, seed, tables_of, world_of,
};

const ARCHIVE: &str = "/wmf/data/archive/user";

/// What somebody else has in the user's home, moved out as its owner would.
pub(super) fn clear(user: &str) {
    let (from, to) = (
        format!("/user/{user}/exports"),
        format!("/user/azy/of-{user}"),
    );
    for command in [
        &["dfs", "-mkdir", "-p", "/user/azy"][..],
        &["dfs", "-mv", &from, &to],
    ] {
        assert!(sandbox().hdfs(None, command).unwrap().status.success());
    }
    let sql = format!("UPDATE SDS SET LOCATION = REPLACE(LOCATION, '{from}', '{to}')");
    sandbox().metastore_sql(&sql).unwrap();
}

/// Saves a plan and gives its file.
fn saved(user: &str, flags: &[&str], code: i32) -> String {
    let plan = scratch(&format!("{user}.json"))
        .to_str()
        .unwrap()
        .to_owned();
    let mut command = crate::support::offboard_with(&sandbox().config_path());
    command
        .args([
            user,
            "--delete",
            "--new-owner",
            "analytics",
            "--stop-processes",
        ])
        .args(["--save-plan", &plan])
        .args(flags);
    crate::support::Ran::from(command.output().unwrap()).expect(code);
    plan
}

#[test]
fn others_tables_no_review_and_no_task_each_stop_it() {
    let user = "elvisundeleted";
    seed(user);
    let before = world_of(user);
    saved(user, &["--task", "T123456"], 8);
    assert_eq!(world_of(user), before);
    clear(user);
    let before = world_of(user);
    saved(user, &[], 8);
    let ran = offboard([
        user,
        "--delete",
        "--new-owner",
        "analytics",
        "--task",
        "T1",
        "--yes",
    ]);
    let ran = ran.expect(8);
    assert!(
        ran.stderr.contains("hosts have no trash") && ran.stderr.contains("--save-plan"),
        "{}",
        ran.stderr
    );
    assert_eq!(world_of(user), before);
}

/// Nothing but the records is there, by the servers' own clients.
#[track_caller]
pub(super) fn gone(user: &str) {
    assert!(!in_hdfs(&format!("/user/{user}")));
    assert!(!in_hdfs(&format!("/user/hive/warehouse/{user}.db")));
    assert_eq!(databases_of(user), Vec::<Vec<String>>::new());
    let left = tables_of(user);
    assert!(
        left.iter().all(|row| row[2] != user && row[0] != user),
        "{left:?}"
    );
    let trees = host_trees(user);
    assert!(!trees.contains(&format!("/{user}")), "{trees}");
    assert!(in_hdfs(&format!("/user/azy/of-{user}")));
    for record in ["hdfs.jsonl.zst", "hive.jsonl.zst", "complete.json"] {
        assert!(
            in_hdfs(&format!("{ARCHIVE}/{user}/.opsweek/{record}")),
            "{record}"
        );
    }
}

/// Deletes, and looks that nothing but records is left.
fn deleted(user: &str, flags: &[&str]) {
    seed(user);
    clear(user);
    let plan = saved(user, &[&["--task", "T123456"], flags].concat(), 3);
    offboard(["--plan", &plan, "--yes"]).expect(0);
    gone(user);
    // Done is done: for a look, for a new plan, for this one; and nothing can come back.
    let ran = offboard([user]).expect(0);
    assert!(
        ran.stdout.contains("records of a deletion"),
        "{}",
        ran.stdout
    );
    offboard([user, "--delete"]).expect(0);
    offboard(["--plan", &plan, "--yes"]).expect(0);
    let ran = offboard([user, "--restore", "--dry-run"]).expect(8);
    assert!(
        ran.stderr.contains("record of a deletion"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_is_deleted_is_in_the_trash() {
    let user = "elvisdeleted";
    deleted(user, &[]);
    for path in [
        format!("/user/{user}"),
        format!("/user/hive/warehouse/{user}.db"),
    ] {
        assert!(
            in_hdfs(&format!("/user/hdfs/.Trash/Current{path}")),
            "{path}"
        );
    }
}

#[test]
fn past_the_trash_nothing_is_kept() {
    let user = "elvisdestroyed";
    deleted(user, &["--skip-trash"]);
    for path in [
        format!("/user/{user}"),
        format!("/user/hive/warehouse/{user}.db"),
    ] {
        assert!(
            !in_hdfs(&format!("/user/hdfs/.Trash/Current{path}")),
            "{path}"
        );
    }
}
