//! The allowlist's way to HDFS: one visible file at every moment.

use std::fs;

use super::review::hinted_plan;
use super::stage::{ALLOWLIST, Stage};
use crate::support::sandbox;

const FILE: [(&str, &str); 1] = [("-rw-r--r--", "allowlist.tsv")];

fn dfsadmin(arguments: &[&str]) {
    let arguments: Vec<&str> = ["dfsadmin"].iter().chain(arguments).copied().collect();
    let output = sandbox().hdfs(None, &arguments).unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// The folder holds the list that all may read, and nothing else, hidden or not.
pub(super) fn is_alone(stage: &Stage) {
    let listed = stage.listed();
    let listed: Vec<(&str, &str)> = listed
        .iter()
        .map(|(mode, name)| (mode.as_str(), name.as_str()))
        .collect();
    assert_eq!(listed, FILE);
}

#[test]
fn the_new_list_takes_the_old_ones_place() {
    let stage = Stage::with_hdfs("sync");
    let path = format!("{}/allowlist.tsv", stage.table());
    let old = stage.read(ALLOWLIST);
    // Who may not write there begins nothing.
    let configured = fs::read(stage.config()).unwrap();
    stage.configure_section("hdfs", &["user"], "user = \"elvis\"");
    let before = stage.state();
    let ran = stage.run(&["azywiki", "--sync-hdfs", "--yes"]).expect(1);
    for told in ["permission denied", "hint: elvis lacks the right"] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    assert_eq!(stage.state(), before);
    fs::write(stage.config(), configured).unwrap();

    Stage::hdfs(&["-chmod", "600", &path]);
    // The folder itself, the old file, and no room for the new one beside it.
    dfsadmin(&["-setQuota", "2", &stage.table()]);
    let ran = stage.run(&["azywiki", "--sync-hdfs", "--yes"]).expect(6);
    assert!(ran.stderr.contains("quota exceeded"), "{}", ran.stderr);
    assert!(ran.stdout.contains("raise the quota"), "{}", ran.stdout);
    assert_eq!(Stage::hdfs(&["-cat", &path]), old);
    dfsadmin(&["-clrQuota", &stage.table()]);
    let plan = hinted_plan(&ran.stderr);
    stage.run(&["--plan", &plan, "--yes"]).expect(0);
    let new = stage.read(ALLOWLIST);
    assert_ne!(old, new);
    assert_eq!(Stage::hdfs(&["-cat", &path]), new);
    assert_eq!(
        Stage::hdfs(&["-cat", &format!("{}/allowlist-*.tsv", stage.kept())]),
        old
    );
    is_alone(&stage);
    // Nothing else is left, the lock neither.
    let kept = Stage::hdfs(&["-ls", &stage.kept()]);
    assert!(!kept.contains("lock"), "{kept}");
    stage.run(&["--sync-hdfs", "--yes"]).expect(0);
    assert_eq!(Stage::hdfs(&["-ls", &stage.kept()]), kept);
}

#[test]
fn rows_that_only_hdfs_has_are_shown_and_stay() {
    let stage = Stage::with_hdfs("drift");
    let path = format!("{}/allowlist.tsv", stage.table());
    let theirs = stage.read(ALLOWLIST) + "project\tzzz.wikipedia\t2026-11-20 00:00:00\n";
    let local = stage.file("theirs.tsv");
    fs::write(&local, &theirs).unwrap();
    Stage::hdfs(&["-put", "-f", &local.display().to_string(), &path]);
    let before = stage.state();
    let ran = stage.run(&["azywiki", "--sync-hdfs", "--yes"]).expect(4);
    assert!(ran.stderr.contains("zzz.wikipedia"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
    assert_eq!(stage.state(), before);
    assert_eq!(Stage::hdfs(&["-cat", &path]), theirs);
}

#[test]
fn another_visible_file_is_a_drift() {
    let stage = Stage::with_hdfs("second");
    let local = stage
        .refinery
        .checkout()
        .join(ALLOWLIST)
        .display()
        .to_string();
    let (hidden, copy) = (
        format!("{}/_copy", stage.table()),
        format!("{}/copy", stage.table()),
    );
    Stage::hdfs(&["-put", &local, &hidden]);
    let plan = stage.file("plan.json").display().to_string();
    stage
        .run(&["azywiki", "--sync-hdfs", "--save-plan", &plan])
        .expect(3);
    Stage::hdfs(&["-mv", &hidden, &copy]);
    let ran = stage.run(&["azywiki", "--sync-hdfs", "--yes"]).expect(4);
    assert!(ran.stderr.contains("allowlist.tsv, copy"), "{}", ran.stderr);
    // A plan that was made before finds it as well.
    let old = stage.read(ALLOWLIST);
    let ran = stage.run(&["--plan", &plan, "--yes"]);
    assert!(
        matches!(ran.code, Some(4 | 6)),
        "{:?} {}",
        ran.code,
        ran.stdout
    );
    assert_eq!(
        Stage::hdfs(&["-cat", &format!("{}/allowlist.tsv", stage.table())]),
        old
    );
    Stage::hdfs(&["-rm", "-skipTrash", &copy]);
    stage.run(&["--plan", &plan, "--yes"]).expect(0);
    is_alone(&stage);
}
