//! What the last copy replaced, put back.

use super::own::{NEW, OLD, Own};
use super::{command, sql};
use crate::support::{Ran, scratch};

#[test]
fn with_nothing_kept_there_is_nothing_to_put_back() {
    let own = Own::new("unkept", "");
    let ran = own.db_sync(["restore", own.name, "--yes"]).expect(8);
    assert!(
        ran.stderr.contains("holds nothing to put back"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr
            .contains("hint: only what the last copy replaced is kept"),
        "{}",
        ran.stderr
    );
    assert_eq!((own.seen().as_str(), own.beside().as_str()), (OLD, ""));
}

#[test]
fn what_is_kept_comes_back_though_somebody_dropped_staging() {
    let own = Own::new("dropped", "");
    own.sync().expect(0);
    sql("metadata", &format!("DROP DATABASE {}", own.staging));
    own.db_sync(["restore", own.name, "--yes"]).expect(0);
    assert_eq!(own.seen(), OLD);
}

/// Saves the plan of a restore; gives its file.
fn planned(own: &Own, name: &str) -> String {
    let plan = scratch(name).to_str().unwrap().to_owned();
    own.db_sync(["restore", own.name, "--dry-run", "--save-plan", &plan])
        .expect(3);
    plan
}

/// All of staging that a copy changes: a mix is neither of the two.
fn whole(own: &Own) -> (String, String) {
    let staging = &own.staging;
    let links = format!("SELECT COUNT(*) FROM {staging}.links");
    (own.seen(), sql("metadata", &links).trim().to_owned())
}

#[test]
fn a_killed_restore_leaves_staging_whole_and_is_gone_on_from() {
    let own = Own::new("killed", "");
    let text = |text: &str| text.to_owned();
    let (old, new) = ((text(OLD), text("0")), (text(NEW), text("2")));
    assert_eq!(whole(&own), old);
    own.sync().expect(0);
    assert_eq!(whole(&own), new);

    let plan = planned(&own, "killed-restore.json");
    for (moment, after) in [("started:swap-back", &new), ("applied:swap-back", &old)] {
        let mut command = command(&own.config);
        command.env("OPSWEEK_CRASH", moment);
        let ran = Ran::from(command.args(["--plan", &plan, "--yes"]).output().unwrap());
        assert!(
            ran.code.is_none(),
            "{moment}: {:?}\n{}",
            ran.code,
            ran.stderr
        );
        assert_eq!(whole(&own), *after, "{moment}");
    }
    own.db_sync(["--plan", &plan, "--yes"]).expect(0);
    assert_eq!(whole(&own), old);

    // And forth again, killed while the server works on the rename.
    let plan = planned(&own, "killed-forth.json");
    let (mut holder, connection) = own.holding("pages");
    let mut tool = own.start(["--plan", &plan, "--yes"]);
    own.until_it_renames();
    tool.kill().unwrap();
    tool.wait().unwrap();
    assert_eq!(whole(&own), old);
    sql("metadata", &format!("KILL {connection}"));
    holder.wait().unwrap();
    // Nobody waits for its answer: the server does it, or had given it up before.
    while own.renames() > 0 {
        std::thread::yield_now();
    }
    let left = whole(&own);
    assert!(left == old || left == new, "{left:?}");
    own.db_sync(["--plan", &plan, "--yes"]).expect(0);
    assert_eq!(whole(&own), new);
}
