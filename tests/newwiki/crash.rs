//! Killed around the journal line of every step, a run that goes on ends in the same world
//! as one that was never killed.

use std::fs;

use serde_json::Value;

use super::stage::{ALLOWLIST, GROUPED, Stage};
use crate::support::Ran;

#[test]
fn a_kill_at_any_step_is_gone_on_from() {
    let stage = Stage::with_hdfs("crash");
    let plan = stage.file("plan.json").display().to_string();
    let arguments = [
        "azywiki",
        "--push",
        "--sync-hdfs",
        "--dry-run",
        "--save-plan",
    ];
    let arguments: Vec<&str> = arguments.iter().chain(&[plan.as_str()]).copied().collect();
    stage.run(&arguments).expect(3);
    let file: Value = serde_json::from_str(&fs::read_to_string(&plan).unwrap()).unwrap();
    let steps = file["plan"]["steps"].as_array().unwrap();
    let ids: Vec<&str> = steps
        .iter()
        .map(|step| step["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids,
        [
            "edit-allowlist",
            "edit-sqoop",
            "branch",
            "commit",
            "push",
            "keep-allowlist",
            "swap-allowlist"
        ]
    );
    // Both files are edited at the same time: the second may be done when the first one's
    // run is killed, and is of the same kind.
    for id in ids.into_iter().filter(|id| *id != "edit-sqoop") {
        for moment in ["started", "applied", "finished"] {
            let mut command = stage.command(&["--plan", &plan, "--yes"]);
            let output = command
                .env("OPSWEEK_CRASH", format!("{moment}:{id}"))
                .output();
            let ran = Ran::from(output.unwrap());
            assert!(ran.code.is_none(), "{moment} {id}: {}", ran.stderr);
        }
    }
    stage.run(&["--plan", &plan, "--yes"]).expect(0);
    let waiting = stage.refinery.waiting().unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].patch_set, 1);
    assert_eq!(stage.git(&["rev-list", "--count", "master..HEAD"]), "1");
    assert_eq!(stage.git(&["for-each-ref", "refs/opsweek"]), "");
    let stat = stage.git(&["diff", "--numstat", "master"]);
    assert_eq!(stat, format!("1\t0\t{GROUPED}\n1\t0\t{ALLOWLIST}"));
    let path = format!("{}/allowlist.tsv", stage.table());
    assert_eq!(Stage::hdfs(&["-cat", &path]), stage.read(ALLOWLIST));
    assert_eq!(stage.listed().len(), 1);
}
