use std::fs;
use std::process;
use std::time::Instant;

use super::*;

#[test]
fn a_password_in_a_url_is_not_shown() {
    assert_eq!(
        without_password("https://elvis:hunter2@git.example.org/r"),
        "https://elvis@git.example.org/r"
    );
    for same in [
        "https://git.example.org/a@b:c",
        "ssh://elvis@git.example.org:29418/r",
        "elvis@git.example.org:r",
        "/srv/r.git",
    ] {
        assert_eq!(without_password(same), same);
    }
}

#[test]
fn a_standing_is_read() {
    let text = "# branch.oid 0123\0# branch.head master\0# branch.upstream origin/master\0\
                # branch.ab +0 -0\0\
                1 .M N... 100644 100644 100644 1 2 a file\0\
                u UU N... 100644 100644 100644 100644 1 2 3 other\0";
    let found = standing(text).unwrap();
    assert_eq!(found.branch.as_deref(), Some("master"));
    assert_eq!(found.head, "0123");
    assert_eq!(found.changed, ["a file", "other"]);
    let detached = standing("# branch.oid 0123\0# branch.head (detached)\0").unwrap();
    assert_eq!(detached.branch, None);
    assert_eq!(
        standing("# branch.oid (initial)\0# branch.head master\0"),
        None
    );
}

/// A checkout with a file `list`, and a hook that gives a Change-Id.
fn checkout() -> (tempfile::TempDir, Git) {
    let folder = tempfile::tempdir().unwrap();
    let git = Git::new(folder.path());
    by_hand(&git, &["init", "--quiet", "--initial-branch=master"]);
    for (key, value) in [("user.name", "Elvis"), ("user.email", "elvis@example.org")] {
        by_hand(&git, &["config", key, value]);
    }
    fs::write(folder.path().join("list"), "a\n").unwrap();
    fs::write(folder.path().join("other"), "a\n").unwrap();
    by_hand(&git, &["add", "."]);
    by_hand(&git, &["commit", "--quiet", "--message=Begin"]);
    let hook = folder.path().join(".git/hooks/commit-msg");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\nprintf '\\nChange-Id: I1\\n' >>\"$1\"\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    (folder, git)
}

fn by_hand(git: &Git, arguments: &[&str]) -> String {
    let output = process::Command::new("git")
        .args(arguments)
        .current_dir(git.folder())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn one_commit_on_a_branch_holds_the_named_files_only() {
    let (folder, git) = checkout();
    let base = git.standing().await.unwrap();
    assert_eq!(base.branch.as_deref(), Some("master"));
    assert!(base.changed.is_empty());
    // What settings of the user would do to the file.
    by_hand(&git, &["config", "core.autocrlf", "true"]);
    by_hand(&git, &["config", "commit.gpgSign", "true"]);
    by_hand(&git, &["config", "core.editor", "sleep 600"]);
    fs::write(folder.path().join("list"), "a\r\nb\n").unwrap();
    fs::write(folder.path().join("other"), "b\n").unwrap();
    by_hand(&git, &["add", "other"]);
    assert_eq!(git.standing().await.unwrap().changed, ["list", "other"]);

    git.branch("elvis/list").await.unwrap();
    assert!(matches!(
        git.branch("elvis/list").await,
        Err(Error::Refused { .. })
    ));
    assert!(git.has_message_hook().await.unwrap());
    git.commit("Add b\n\n# no comment\n\nBug: T1\n", &["list"])
        .await
        .unwrap();
    let commit = git.first_after(&base.head, "elvis/list").await.unwrap();
    let commit = commit.unwrap();
    assert_eq!(by_hand(&git, &["rev-parse", "HEAD"]), commit);
    assert_eq!(git.changes(&commit).await.unwrap(), ["list"]);
    assert_eq!(git.content(&commit, "list").await.unwrap(), b"a\r\nb\n");
    assert_eq!(git.parents(&commit).await.unwrap(), [base.head.as_str()]);
    let message = git.message(&commit).await.unwrap();
    assert_eq!(message, "Add b\n\n# no comment\n\nBug: T1\n\nChange-Id: I1");
    assert_eq!(
        by_hand(&git, &["log", "-1", "--format=%an %ae %G?"]),
        "Elvis elvis@example.org N"
    );
    assert_eq!(git.ahead("elvis/list", "master").await.unwrap(), 1);
    assert_eq!(git.commit_of("nothing").await.unwrap(), None);
}

#[tokio::test]
async fn nobody_is_made_up_as_an_author() {
    let (folder, git) = checkout();
    assert!(git.has_author().await.unwrap());
    by_hand(&git, &["config", "user.email", ""]);
    by_hand(&git, &["config", "user.name", ""]);
    assert!(!git.has_author().await.unwrap());
    fs::write(folder.path().join("list"), "b\n").unwrap();
    let error = git.commit("Add b", &["list"]).await.unwrap_err();
    assert!(error.hint().unwrap().contains("user."), "{error:?}");
}

#[tokio::test]
async fn one_of_two_gets_a_ref() {
    let (_folder, git) = checkout();
    let name = "refs/opsweek/lock";
    let (one, other) = tokio::join!(git.create_ref(name, "one"), git.create_ref(name, "other"));
    assert_ne!(one.unwrap(), other.unwrap());
    assert!(git.read_ref(name).await.unwrap().is_some());
    git.delete_ref(name).await.unwrap();
    git.delete_ref(name).await.unwrap();
    assert_eq!(git.read_ref(name).await.unwrap(), None);
}

#[tokio::test]
async fn what_hangs_is_ended_with_its_children() {
    let (folder, git) = checkout();
    let hook = folder.path().join(".git/hooks/commit-msg");
    fs::write(&hook, "#!/bin/sh\nsleep 613 & echo $! >started; wait\n").unwrap();
    fs::write(folder.path().join("list"), "b\n").unwrap();
    let begun = Instant::now();
    let within = Duration::from_secs(3);
    let arguments = ["commit", "--quiet", "--only", "--file=-", "--", "list"];
    let error = git.run("committing", within, b"Add b", arguments).await;
    assert!(matches!(error, Err(Error::Deadline { .. })), "{error:?}");
    assert!(begun.elapsed() < Duration::from_mins(1));
    let pid = fs::read_to_string(folder.path().join("started")).unwrap();
    // A signal is on its way for a moment.
    loop {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{stat}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_folder_that_is_no_checkout_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let error = Git::new(folder.path()).standing().await.unwrap_err();
    assert!(error.hint().unwrap().contains("--refinery"), "{error:?}");
    let gone = Git::new(folder.path().join("gone")).standing().await;
    assert!(matches!(gone, Err(Error::Run { .. })));
}
