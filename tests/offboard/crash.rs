//! Killed around the journal line of a step, once for every kind of action, a run that goes
//! on from there ends in the same world as one that was never killed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::delete::{clear, gone};
use super::elsewhere::{WAREHOUSE, give_to_azy, located, sql};
use crate::support::{Ran, in_hdfs, listing, offboard, offboard_with, sandbox, scratch, seed};
use crate::support::{databases_of, tables_of};

const ARCHIVE: &[&str] = &["--archive", "--relocate"];
const DELETE: &[&str] = &["--delete", "--task", "T123456"];

/// Plans for a user who was seeded; gives the plan's file and its steps.
fn planned(user: &str, flags: &[&str]) -> (String, Vec<Value>) {
    let plan = scratch(&format!("{user}.json"))
        .to_str()
        .unwrap()
        .to_owned();
    let mut command = offboard_with(&sandbox().config_path());
    command
        .args([user, "--new-owner", "analytics", "--stop-processes"])
        .args(flags)
        .args(["--dry-run", "--save-plan", &plan]);
    Ran::from(command.output().unwrap()).expect(3);
    let text = std::fs::read_to_string(&plan).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let steps = file["plan"]["steps"].as_array().unwrap().clone();
    (plan, steps)
}

/// What kind of action a step has: "hdfs move".
fn kind(step: &Value) -> String {
    let (service, action) = step["action"].as_object().unwrap().iter().next().unwrap();
    format!("{service} {}", action["verb"].as_str().unwrap())
}

/// Kills the run between the step's change and its journal line; then, with the change found
/// done, after that line.
fn kill_around(plan: &str, step: &Value) {
    let id = step["id"].as_str().unwrap();
    for moment in ["applied", "finished"] {
        let mut command = offboard_with(&sandbox().config_path());
        command.env("OPSWEEK_CRASH", format!("{moment}:{id}"));
        let ran = Ran::from(command.args(["--plan", plan, "--yes"]).output().unwrap());
        assert!(
            ran.code.is_none(),
            "{moment} {id}: {:?}\n{}",
            ran.code,
            ran.stderr
        );
    }
}

/// Kills around the first step of every kind that passes `test`; gives the kinds.
fn kill_around_each(plan: &str, steps: &[Value], test: impl Fn(&Value) -> bool) -> Vec<String> {
    let mut kinds = BTreeSet::new();
    for step in steps.iter().filter(|step| test(step)) {
        if kinds.insert(kind(step)) {
            kill_around(plan, step);
        }
    }
    kinds.into_iter().collect()
}

fn wave(step: &Value) -> u64 {
    step["wave"].as_u64().unwrap()
}

/// Goes on from the kills, and finds the world as it should be.
fn complete(user: &str, plan: &str) {
    offboard(["--plan", plan, "--yes"]).expect(0);
    offboard([user]).expect(0);
    assert!(in_hdfs(&format!(
        "/wmf/data/archive/user/{user}/.opsweek/complete.json"
    )));
    assert!(!in_hdfs(&format!("/user/{user}")));
    assert!(
        tables_of(user)
            .iter()
            .all(|row| row[0] != user && row[2] != user)
    );
}

/// The first waves and the last have one lane: one user goes from kill to kill.
#[test]
fn where_steps_come_one_after_another() {
    let user = "elviscrash";
    seed(user);
    let (plan, steps) = planned(user, ARCHIVE);
    let kinds = kill_around_each(&plan, &steps, |step| matches!(wave(step), 0 | 1 | 4 | 5));
    complete(user, &plan);
    let expected = [
        "hdfs make_folder",
        "hdfs move",
        "hdfs put",
        "hdfs record",
        "hdfs trash",
        "hive drop_database",
        "hive record",
        "hive relocate",
    ];
    assert_eq!(kinds, expected);
}

/// Steps of other lanes go on meanwhile, so each kind is killed in a run of its own.
fn one_kind(user: &str, wanted: &str) {
    seed(user);
    let (plan, steps) = planned(user, ARCHIVE);
    let step = steps.iter().find(|step| kind(step) == wanted).unwrap();
    kill_around(&plan, step);
    complete(user, &plan);
}

#[test]
fn changing_owners_in_hdfs() {
    one_kind("elviskillown", "hdfs own");
}

#[test]
fn changing_a_tables_owner() {
    one_kind("elviskillgive", "hive change_owner");
}

#[test]
fn ending_processes() {
    one_kind("elviskillstop", "host stop");
}

#[test]
fn collecting_from_a_host() {
    one_kind("elviskillcollect", "host collect");
}

#[test]
fn removing_from_a_host() {
    one_kind("elviskillremove", "host remove");
}

/// Plans the archive of a user with a table of azy's, which no other test's has the name of and
/// which moves to `shared`; lets `interrupt` cut short what moves it; goes on, and finds the table,
/// its partitions and its files moved, once, and still azy's.
fn moving_a_table(user: &str, interrupt: impl Fn(&str, &Value)) {
    seed(user);
    give_to_azy(user);
    let table = format!("visits_of_{user}");
    sql(&format!(
        "UPDATE TBLS t JOIN DBS d ON t.DB_ID = d.DB_ID SET t.TBL_NAME = '{table}' \
         WHERE d.NAME = '{user}' AND t.TBL_NAME = 'sessions'"
    ));
    let asked = format!("{user}.{table}=shared");
    let (plan, steps) = planned(user, &[ARCHIVE, &["--move-table", &asked]].concat());
    let of_kind = |step: &&Value| kind(step) == "hive move_table";
    interrupt(&plan, steps.iter().find(of_kind).unwrap());
    complete(user, &plan);

    let to = format!("{WAREHOUSE}/shared.db/{table}");
    let far = format!("/wmf/data/research/{user}/sessions/year=2024/month=12");
    let mut rows = located(&table, "azy");
    for row in &mut rows {
        let path = row[2].find("/user/").or_else(|| row[2].find("/wmf/"));
        row[2].replace_range(..path.unwrap(), "");
    }
    rows.sort();
    let expected = [
        ["shared", "azy", &to],
        ["shared", "year=2024/month=12", &far],
        [
            "shared",
            "year=2025/month=1",
            &format!("{to}/year=2025/month=1"),
        ],
    ];
    assert_eq!(rows, expected);
    let listed = listing(&[&to]);
    let file = format!("{to}/year=2025/month=1/part-00000.tsv");
    assert!(listed.contains(&file), "{listed}");
    assert!(
        listed.lines().all(|line| line.contains(" azy ")),
        "{listed}"
    );
    assert!(in_hdfs(&far));
    let kept = format!("/wmf/data/archive/user/{user}/.opsweek/hive/{user}.db");
    assert!(in_hdfs(&format!("{kept}/events")) && !in_hdfs(&format!("{kept}/sessions")));
}

#[test]
fn moving_somebody_elses_table() {
    moving_a_table("elviskillmove", kill_around);
}

/// As a run leaves it that was killed between the rename and what the metastore is told.
#[test]
fn moving_a_table_whose_files_are_there_already() {
    moving_a_table("elvishalfmove", |_, step| {
        let files = step["action"]["hive"]["files"].as_array().unwrap();
        let files: Vec<&str> = files.iter().map(|path| path.as_str().unwrap()).collect();
        let moved = sandbox().hdfs(None, &["dfs", "-mv", files[0], files[1]]);
        assert!(moved.unwrap().status.success());
    });
}

/// As a run leaves it that was killed before the partitions followed.
#[test]
fn moving_a_table_whose_partitions_lag_behind() {
    moving_a_table("elvislagmove", |_, step| {
        let action = &step["action"]["hive"];
        let text = |name: &str| action[name].as_str().unwrap();
        let (database, table) = (text("database"), text("table"));
        let (from, to) = (
            action["files"][0].as_str().unwrap(),
            action["files"][1].as_str().unwrap(),
        );
        let moved = sandbox().hdfs(None, &["dfs", "-mv", from, to]);
        assert!(moved.unwrap().status.success());
        sql(&format!(
            "UPDATE TBLS t JOIN DBS d ON t.DB_ID = d.DB_ID JOIN DBS n ON n.NAME = 'shared' \
             JOIN SDS s ON t.SD_ID = s.SD_ID \
             SET t.DB_ID = n.DB_ID, s.LOCATION = REPLACE(s.LOCATION, '{from}', '{to}') \
             WHERE d.NAME = '{database}' AND t.TBL_NAME = '{table}'"
        ));
    });
}

/// Goes on from the kills, and finds all of it gone but the records.
fn deleted(user: &str, plan: &str) {
    offboard(["--plan", plan, "--yes"]).expect(0);
    gone(user);
    offboard([user]).expect(0);
}

/// Hosts have a lane each. In their waves the first step of a kind is killed, and no other before
/// all hosts have come so far.
#[test]
fn deleting_through_the_trash() {
    let user = "elviskilltrash";
    seed(user);
    clear(user);
    let (plan, steps) = planned(user, DELETE);
    let kinds = kill_around_each(&plan, &steps, |step| {
        wave(step) != 2 || kind(step) == "host collect"
    });
    deleted(user, &plan);
    let expected = [
        "hdfs make_folder",
        "hdfs move",
        "hdfs put",
        "hdfs record",
        "hdfs trash",
        "hive drop_database",
        "hive record",
        "host collect",
        "host remove",
    ];
    assert_eq!(kinds, expected);
    // Moved once, whatever was killed: no second try has found anything to move.
    let trash = "/user/hdfs/.Trash/Current";
    for path in ["/user", WAREHOUSE] {
        let listed = sandbox().hdfs(None, &["dfs", "-ls", "-C", &format!("{trash}{path}")]);
        let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
        let copies = listed.lines().filter(|line| line.contains(user));
        assert_eq!(copies.count(), 1, "{listed}");
    }
}

#[test]
fn deleting_past_the_trash() {
    let user = "elviskilldelete";
    seed(user);
    clear(user);
    let (plan, steps) = planned(user, &[DELETE, &["--skip-trash"]].concat());
    let kinds = kill_around_each(&plan, &steps, |step| {
        // The records' folder is as it should be from the start.
        step["lane"] == "cluster" && wave(step) > 1 && step["id"] != "own-archive"
    });
    deleted(user, &plan);
    assert_eq!(databases_of(user), Vec::<Vec<String>>::new());
    let expected = [
        "hdfs delete",
        "hdfs own",
        "hive change_owner",
        "hive drop_database",
    ];
    assert_eq!(kinds, expected);
}
