//! Killed around every journal line of every step, a run that goes on from there ends in
//! the same world as one that was never killed.

use crate::support::{Ran, in_hdfs, offboard, offboard_with, sandbox, scratch, seed, tables_of};

#[test]
fn killed_at_every_step() {
    let user = "elviscrash";
    seed(user);
    let plan = scratch("elviscrash.json");
    let plan = plan.to_str().unwrap();
    offboard([
        user,
        "--archive",
        "--new-owner",
        "analytics",
        "--relocate",
        "--stop-processes",
        "--dry-run",
        "--save-plan",
        plan,
    ])
    .expect(3);
    let text = std::fs::read_to_string(plan).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let steps = file["plan"]["steps"].as_array().unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    for step in steps {
        let id = step["id"].as_str().unwrap();
        let action = step["action"].as_object().unwrap();
        let (service, action) = action.iter().next().unwrap();
        let kind = format!("{service} {}", action["verb"].as_str().unwrap());
        // Once per kind of action; the world moves on from kill to kill.
        if !kinds.insert(kind) {
            continue;
        }
        for moment in ["applied", "finished"] {
            let mut command = offboard_with(&sandbox().config_path());
            command.env("OPSWEEK_CRASH", format!("{moment}:{id}"));
            let ran = Ran::from(command.args(["--plan", plan, "--yes"]).output().unwrap());
            // First between the change and its journal line; then, with the change found
            // done, after that line.
            assert!(
                ran.code.is_none(),
                "{moment} {id}: {:?}\n{}",
                ran.code,
                ran.stderr
            );
        }
    }
    assert!(kinds.len() >= 11, "{kinds:?}");
    offboard(["--plan", plan, "--yes"]).expect(0);
    offboard([user]).expect(0);
    assert!(in_hdfs(&format!(
        "/wmf/data/archive/user/{user}/.opsweek/complete.json"
    )));
    assert!(
        tables_of(user)
            .iter()
            .all(|row| row[0] != user && row[2] != user)
    );
}
