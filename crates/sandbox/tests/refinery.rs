//! The refinery and its remote, judged by git.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use opsweek_sandbox::Refinery;

fn run(checkout: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .current_dir(checkout)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .args(arguments)
        .output()
        .unwrap()
}

/// What git prints.
fn git(checkout: &Path, arguments: &[&str]) -> String {
    let output = run(checkout, arguments);
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// What git complains of.
fn refused(checkout: &Path, arguments: &[&str]) -> String {
    let output = run(checkout, arguments);
    assert!(!output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A commit of one file on a branch of that name from the remote's end.
fn commit(refinery: &Refinery, name: &str, text: &str) -> String {
    let checkout = refinery.checkout();
    git(&checkout, &["fetch", "--quiet"]);
    git(
        &checkout,
        &["checkout", "--quiet", "-B", name, "origin/master"],
    );
    fs::write(checkout.join("file"), text).unwrap();
    git(&checkout, &["add", "file"]);
    git(
        &checkout,
        &[
            "commit",
            "--quiet",
            "-m",
            &format!("Add {name}\n\nBug: T123456"),
        ],
    );
    git(&checkout, &["rev-parse", "HEAD"])
}

const PUSH: [&str; 3] = ["push", "origin", "HEAD:refs/for/master"];

#[test]
fn a_change_is_pushed_reviewed_and_merged() {
    let folder = tempfile::tempdir().unwrap();
    let refinery = Refinery::make(folder.path()).unwrap();
    let checkout = refinery.checkout();
    let lists = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/newwiki/current"
    );
    for (path, list) in [
        ("pageview/allowlist/allowlist.tsv", "allowlist.tsv"),
        (
            "mediawiki/grouped_wikis/grouped_wikis.csv",
            "grouped_wikis.csv",
        ),
    ] {
        let ours = fs::read(checkout.join("static_data").join(path)).unwrap();
        assert_eq!(
            ours,
            fs::read(Path::new(lists).join(list)).unwrap(),
            "{path}"
        );
    }

    let first = commit(&refinery, "azywiki", "azywiki\n");
    let message = git(&checkout, &["log", "-1", "--format=%B"]);
    let id = message
        .strip_prefix("Add azywiki\n\nBug: T123456\nChange-Id: I")
        .unwrap();
    assert!(
        id.len() == 40 && id.chars().all(|c| c.is_ascii_hexdigit()),
        "{message}"
    );
    git(&checkout, &PUSH);
    let again = refused(&checkout, &PUSH);
    assert!(
        again.contains("[remote rejected]") && again.contains("(no new changes)"),
        "{again}"
    );

    // The same change once more is its second patch set, whatever its message says now.
    git(
        &checkout,
        &[
            "commit",
            "--quiet",
            "--amend",
            "-m",
            &message.replace("Add", "Let in"),
        ],
    );
    git(
        &checkout,
        &["push", "origin", "HEAD:refs/for/master%topic=azywiki"],
    );
    let waiting = refinery.waiting().unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].number, waiting[0].patch_set), (1, 2));
    assert_eq!(waiting[0].subject, "Let in azywiki");
    assert_ne!(waiting[0].commit, first);
    let remote = git(&checkout, &["ls-remote", "origin", "refs/changes/*"]);
    assert!(
        remote.contains(&format!("{first}\trefs/changes/01/1/1")),
        "{remote}"
    );
    // Nothing is merged by pushing.
    git(&checkout, &["fetch", "--quiet"]);
    let master = || git(&checkout, &["log", "--format=%s", "origin/master"]);
    assert_eq!(master(), "Add the lists of wikis");

    assert_eq!(refinery.merge().unwrap(), waiting);
    assert_eq!(refinery.merge().unwrap(), []);
    git(&checkout, &["fetch", "--quiet"]);
    assert_eq!(master(), "Let in azywiki\nAdd the lists of wikis");
    git(
        &checkout,
        &[
            "commit",
            "--quiet",
            "--amend",
            "--date=2026-01-01T00:00:00Z",
            "--no-edit",
        ],
    );
    let closed = refused(&checkout, &PUSH);
    assert!(closed.contains("(change 1 closed)"), "{closed}");
}

#[test]
fn what_gerrit_refuses_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refinery = Refinery::make(folder.path()).unwrap();
    let checkout = refinery.checkout();
    commit(&refinery, "azywiki", "azywiki\n");
    let before = git(&refinery.remote(), &["for-each-ref"]);
    let direct = refused(&checkout, &["push", "origin", "HEAD:master"]);
    assert!(
        direct.contains("prohibited by Gerrit: not permitted: update"),
        "{direct}"
    );
    let direct = refused(&checkout, &["push", "origin", "HEAD:refs/heads/own"]);
    assert!(
        direct.contains("prohibited by Gerrit: not permitted: create"),
        "{direct}"
    );
    refused(&checkout, &["push", "origin", "--delete", "master"]);
    let missing = refused(&checkout, &["push", "origin", "HEAD:refs/for/nothing"]);
    assert!(
        missing.contains("branch refs/heads/nothing not found"),
        "{missing}"
    );
    git(
        &checkout,
        &[
            "commit",
            "--quiet",
            "--allow-empty",
            "--no-verify",
            "-m",
            "no id",
        ],
    );
    let id = refused(&checkout, &PUSH);
    assert!(id.contains("missing Change-Id in message footer"), "{id}");
    assert_eq!(git(&refinery.remote(), &["for-each-ref"]), before);
}

#[test]
fn a_change_behind_another_is_moved_and_a_conflict_stays() {
    let folder = tempfile::tempdir().unwrap();
    let refinery = Refinery::make(folder.path()).unwrap();
    let checkout = refinery.checkout();
    commit(&refinery, "one", "one\n");
    git(&checkout, &PUSH);
    // From the same end as the first, and nothing of it.
    git(
        &checkout,
        &["checkout", "--quiet", "-B", "two", "origin/master"],
    );
    fs::write(checkout.join("other"), "two\n").unwrap();
    git(&checkout, &["add", "other"]);
    git(&checkout, &["commit", "--quiet", "-m", "Add two"]);
    git(&checkout, &PUSH);
    commit(&refinery, "conflict", "another one\n");
    git(&checkout, &PUSH);

    let error = refinery.merge().unwrap_err().to_string();
    assert!(error.contains("merging change 3"), "{error}");
    git(&checkout, &["fetch", "--quiet"]);
    let log = git(&checkout, &["log", "--format=%s", "origin/master"]);
    assert_eq!(log, "Add two\nAdd one\nAdd the lists of wikis");
    let waiting = refinery.waiting().unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].subject, "Add conflict");
    assert_eq!(
        git(&refinery.remote(), &["worktree", "list"])
            .lines()
            .count(),
        1
    );
    // Made anew, all of it is gone.
    let refinery = Refinery::make(folder.path()).unwrap();
    assert_eq!(refinery.waiting().unwrap(), []);
}
