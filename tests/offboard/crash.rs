//! Killed around the journal line of a step, once for every kind of action, a run that goes
//! on from there ends in the same world as one that was never killed.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Ran, in_hdfs, offboard, offboard_with, sandbox, scratch, seed, tables_of};

/// Plans the user's archive; gives the plan's file and its steps.
fn planned(user: &str) -> (String, Vec<Value>) {
    seed(user);
    let plan = scratch(&format!("{user}.json"))
        .to_str()
        .unwrap()
        .to_owned();
    offboard([
        user,
        "--archive",
        "--new-owner",
        "analytics",
        "--relocate",
        "--stop-processes",
        "--dry-run",
        "--save-plan",
        &plan,
    ])
    .expect(3);
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
    let (plan, steps) = planned(user);
    let mut kinds = BTreeSet::new();
    for step in steps
        .iter()
        .filter(|step| matches!(step["wave"].as_u64(), Some(0 | 1 | 4 | 5)))
    {
        if kinds.insert(kind(step)) {
            kill_around(&plan, step);
        }
    }
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
    assert!(kinds.iter().eq(expected), "{kinds:?}");
}

/// Steps of other lanes go on meanwhile, so each kind is killed in a run of its own.
fn one_kind(user: &str, wanted: &str) {
    let (plan, steps) = planned(user);
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
