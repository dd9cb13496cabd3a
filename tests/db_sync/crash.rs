//! Killed at any moment, staging is complete, old or new, and a further run ends well.

use std::process::Stdio;

use super::{checksums, command, db_sync, fresh, seen, sql};
use crate::support::{Ran, sandbox, scratch};

/// Saves a plan; gives its file.
fn planned(profile: &str, name: &str) -> String {
    let plan = scratch(name).to_str().unwrap().to_owned();
    db_sync([profile, "--dry-run", "--save-plan", &plan]).expect(3);
    plan
}

#[test]
fn a_killed_tool_leaves_staging_whole_and_is_gone_on_from() {
    let _one = fresh();
    let production = checksums("metadata", "superset_production");
    let old = seen("metadata");
    let plan = planned("prod-to-staging", "killed.json");
    for moment in [
        "started:copy",
        "applied:copy",
        "applied:rewrite",
        "applied:check",
        "started:cut-over",
    ] {
        let mut command = command(&sandbox().config_path());
        command.env("OPSWEEK_CRASH", moment);
        let ran = Ran::from(command.args(["--plan", &plan, "--yes"]).output().unwrap());
        assert!(
            ran.code.is_none(),
            "{moment}: {:?}\n{}",
            ran.code,
            ran.stderr
        );
        assert_eq!(seen("metadata"), old, "{moment}");
    }
    let mut command = command(&sandbox().config_path());
    command.env("OPSWEEK_CRASH", "applied:cut-over");
    let ran = Ran::from(command.args(["--plan", &plan, "--yes"]).output().unwrap());
    assert!(ran.code.is_none());
    assert_ne!(seen("metadata"), old);
    db_sync(["--plan", &plan, "--yes"]).expect(0);
    assert_eq!(checksums("metadata", "superset_production"), production);
}

#[test]
fn a_half_copy_of_a_killed_run_is_never_trusted() {
    let _one = fresh();
    let old = seen("metadata");
    let mut child = command(&sandbox().config_path())
        .args(["prod-to-staging", "--yes"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    await_tables("metadata", 20);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(seen("metadata"), old);
    let ran = db_sync(["prod-to-staging", "--yes"]).expect(0);
    assert!(ran.stdout.contains("begins anew"), "{}", ran.stdout);
    assert_ne!(seen("metadata"), old);
}

/// Until the copy has that many tables.
fn await_tables(server: &str, count: usize) {
    let tables = "SELECT COUNT(*) FROM information_schema.TABLES \
                  WHERE TABLE_SCHEMA = 'superset_staging_new'";
    while sql(server, tables).trim().parse::<usize>().unwrap() < count {
        std::thread::yield_now();
    }
}

#[test]
fn a_killed_server_comes_back_with_staging_whole() {
    let _one = fresh();
    let old = seen("target");
    for tables in [10, 60] {
        let plan = planned("prod-to-target", &format!("server-{tables}.json"));
        let child = command(&sandbox().config_path())
            .args(["--plan", &plan, "--yes"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        await_tables("target", tables);
        sandbox().kill_server("target").unwrap();
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_ne!(ran.code, Some(0), "{}", ran.stdout);
        sandbox().start_server("target", &|_| ()).unwrap();
        assert_eq!(seen("target"), old);
    }
    db_sync(["prod-to-target", "--yes"]).expect(0);
    assert_ne!(seen("target"), old);
}
