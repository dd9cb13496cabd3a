//! From the edit to the change that waits for review.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::stage::{ALLOWLIST, GROUPED, Stage};

#[test]
fn a_new_wiki_becomes_one_change_for_review() {
    let stage = Stage::new("review");
    let base = stage.git(&["rev-parse", "HEAD"]);
    let arguments = ["azywiki", "--task", "T429935", "--push"];
    let dry: Vec<&str> = arguments.iter().chain(&["--dry-run"]).copied().collect();
    let before = stage.state();
    stage.run(&dry).expect(3);
    assert_eq!(stage.state(), before);

    let go: Vec<&str> = arguments.iter().chain(&["--yes"]).copied().collect();
    stage.run(&go).expect(0);
    let waiting = stage.refinery.waiting().unwrap();
    assert_eq!(waiting.len(), 1);
    let commit = &waiting[0].commit;
    assert_eq!(
        stage.remote(&["rev-parse", &format!("{commit}^")]),
        base.trim()
    );
    let message = stage.remote(&["log", "-1", "--format=%an <%ae>%n%B", commit]);
    let (head, id) = message.rsplit_once("\nChange-Id: I").unwrap();
    assert_eq!(
        head,
        "Elvis <elvis@example.org>\n\
         Add azy.wikipedia to pageview allowlist and sqoop list\n\n\
         + azy.wikipedia\n+ azywiki\n\nBug: T429935"
    );
    assert_eq!(id.trim().len(), 40);
    let stat = stage.remote(&["diff", "--numstat", &format!("{commit}^"), commit]);
    assert_eq!(stat, format!("1\t0\t{GROUPED}\n1\t0\t{ALLOWLIST}"));
    assert_eq!(stage.git(&["status", "--porcelain"]), "");
    assert_eq!(stage.git(&["branch", "--show-current"]), "newwiki/azywiki");

    // Merged by the reviewer, there is nothing left to do.
    stage.refinery.merge().unwrap();
    stage.git(&["switch", "--quiet", "master"]);
    stage.git(&["pull", "--quiet", "--ff-only"]);
    stage.run(&["azywiki", "--push", "--yes"]).expect(0);
    assert_eq!(stage.refinery.waiting().unwrap(), []);
    assert!(stage.read(GROUPED).ends_with("\nazywiki,14,1\n"));
}

#[test]
fn a_wiki_that_a_replica_lacks_is_refused() {
    let stage = Stage::new("unready");
    let before = stage.state();
    for (wiki, why) in [
        ("rkiwiki", "the database has no tables"),
        (
            "tokwiki",
            "the cloud replica (database tokwiki_p): there is no such database",
        ),
        ("nupwiki", "it lacks revision, actor, comment, user"),
        (
            "zghwiktionary",
            "the production replica (database zghwiktionary)",
        ),
    ] {
        let ran = stage.run(&[wiki, "--yes"]).expect(8);
        assert!(ran.stderr.contains(why), "{wiki}: {}", ran.stderr);
        assert!(ran.stderr.contains("--only allowlist"), "{}", ran.stderr);
    }
    assert_eq!(stage.state(), before);
    stage
        .run(&["punjabiwikimedia", "--only", "allowlist", "--dry-run"])
        .expect(3);
}

#[test]
fn a_checkout_that_is_not_fit_is_refused() {
    let stage = Stage::new("unfit");
    let refused = |why: &str| {
        let before = stage.state();
        let ran = stage.run(&["azywiki", "--yes"]).expect(8);
        assert!(ran.stderr.contains(why), "{why}: {}", ran.stderr);
        assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
        assert_eq!(stage.state(), before);
    };
    let other = stage.refinery.checkout().join("static_data/notes");
    fs::write(&other, "not known to git\n").unwrap();
    stage.run(&["azywiki", "--dry-run"]).expect(3);
    stage.git(&["add", "static_data/notes"]);
    refused("not committed: static_data/notes");
    stage.git(&["rm", "--quiet", "--force", "static_data/notes"]);

    stage.git(&["switch", "--quiet", "--detach"]);
    refused("head is detached");
    stage.git(&["switch", "--quiet", "master"]);

    let hook = stage.refinery.checkout().join(".git/hooks/commit-msg");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o644)).unwrap();
    refused("no commit-msg hook");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();

    stage.git(&["config", "--unset", "user.email"]);
    refused("who commits");
    stage.git(&["config", "user.email", "elvis@example.org"]);

    // Somebody else's change is merged, and not fetched here.
    let begun = stage.git(&["rev-parse", "HEAD"]);
    stage
        .run(&["--project", "punjabi.wikimedia", "--push", "--yes"])
        .expect(0);
    stage.refinery.merge().unwrap();
    stage.git(&["switch", "--quiet", "master"]);
    refused("outdated: 1 commits behind origin/master");
    stage.git(&["branch", "--quiet", "-D", "newwiki/punjabi-wikimedia"]);
    assert_eq!(stage.git(&["rev-parse", "HEAD"]), begun);
    stage.git(&["pull", "--quiet", "--ff-only"]);

    stage.run(&["azywiki", "--yes"]).expect(0);
    let ran = stage.run(&["kajwiki", "--yes"]).expect(8);
    assert!(
        ran.stderr.contains("newwiki/azywiki, which has 1 commits"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_rejected_push_can_be_gone_on_with() {
    let stage = Stage::new("rejected");
    let hook = stage.refinery.remote().join("hooks/pre-receive");
    fs::write(&hook, "#!/bin/sh\necho not today >&2\nexit 1\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = stage.run(&["azywiki", "--push", "--yes"]).expect(6);
    assert!(ran.stdout.contains("not today"), "{}", ran.stdout);
    assert_eq!(stage.refinery.waiting().unwrap(), []);
    assert_eq!(stage.git(&["rev-list", "--count", "master..HEAD"]), "1");

    let plan = hinted_plan(&ran.stderr);
    fs::remove_file(&hook).unwrap();
    stage.run(&["--plan", &plan, "--yes"]).expect(0);
    assert_eq!(stage.refinery.waiting().unwrap().len(), 1);
    assert_eq!(stage.git(&["rev-list", "--count", "master..HEAD"]), "1");
    // And once more: nothing is pushed twice.
    stage.run(&["--plan", &plan, "--yes"]).expect(0);
    assert_eq!(stage.refinery.waiting().unwrap()[0].patch_set, 1);
}

#[test]
fn what_was_edited_or_committed_and_no_more_is_no_success() {
    let stage = Stage::new("halfway");
    stage.run(&["azywiki", "--no-commit", "--yes"]).expect(0);
    stage.run(&["azywiki", "--no-commit", "--yes"]).expect(0);
    let ran = stage.run(&["azywiki", "--yes"]).expect(8);
    assert!(ran.stderr.contains("not committed"), "{}", ran.stderr);
    stage.git(&["restore", "."]);

    stage.run(&["azywiki", "--yes"]).expect(0);
    stage.run(&["azywiki", "--yes"]).expect(0);
    let ran = stage.run(&["azywiki", "--push", "--yes"]).expect(8);
    let way = "git push origin HEAD:refs/for/master";
    assert!(ran.stderr.contains(way), "{}", ran.stderr);
    let arguments: Vec<&str> = way.split(' ').skip(1).collect();
    stage.git(&[&arguments[..1], &["--quiet"], &arguments[1..]].concat());
    stage.run(&["azywiki", "--push", "--yes"]).expect(0);
    assert_eq!(stage.refinery.waiting().unwrap().len(), 1);
}

#[test]
fn a_remote_that_is_away_stops_a_push_before_anything_is_done() {
    let stage = Stage::new("away");
    let remote = stage.refinery.remote();
    let gone = remote.with_extension("gone");
    fs::rename(&remote, &gone).unwrap();
    let ran = stage.run(&["azywiki", "--push", "--yes"]).expect(7);
    assert!(ran.stderr.contains("git-remote"), "{}", ran.stderr);
    assert!(ran.stderr.contains("is the remote up"), "{}", ran.stderr);
    assert_eq!(stage.git(&["status", "--porcelain"]), "");
    assert_eq!(stage.git(&["branch", "--list"]), "* master");
}

#[test]
fn a_remote_or_a_branch_that_is_not_there() {
    let stage = Stage::new("nowhere");
    let before = stage.state();
    for (line, why, hint) in [
        ("branch = \"main\"", "has no branch main", "newwiki.branch"),
        (
            "remote = \"gerrit\"",
            "No such remote 'gerrit'",
            "git remote -v",
        ),
    ] {
        stage.configure_section("newwiki", &["branch", "remote"], line);
        let ran = stage.run(&["azywiki", "--yes"]).expect(7);
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
        assert!(ran.stderr.contains(hint), "{}", ran.stderr);
    }
    assert_eq!(stage.state(), before);
}

#[test]
fn a_remote_that_is_no_gerrit() {
    let stage = Stage::new("plain");
    stage.remote(&["config", "--unset", "receive.procReceiveRefs"]);
    let ran = stage.run(&["azywiki", "--push", "--yes"]).expect(6);
    for told in ["origin is no Gerrit", "hint: ", "newwiki.remote"] {
        assert!(ran.stdout.contains(told), "{told}: {}", ran.stdout);
    }
    let way = "git push origin :refs/for/master";
    assert!(ran.stdout.contains(way), "{}", ran.stdout);
    stage.git(&["push", "--quiet", "origin", ":refs/for/master"]);
    assert_eq!(stage.remote(&["for-each-ref", "refs/for"]), "");
    // It is one now.
    stage.remote(&["config", "receive.procReceiveRefs", "refs"]);
    let plan = hinted_plan(&ran.stderr);
    stage.run(&["--plan", &plan, "--yes"]).expect(0);
    assert_eq!(stage.refinery.waiting().unwrap().len(), 1);
}

#[test]
fn a_worktree_and_a_shallow_clone_are_checkouts() {
    let stage = Stage::new("forms");
    let of = |name: &str| stage.file(name).display().to_string();
    let (work, shallow) = (of("work"), of("shallow"));
    let clean = stage.git(&["status", "--porcelain", "--branch"]);
    stage.git(&["worktree", "add", "--quiet", "-b", "work", &work]);
    let run = |refinery: &str, what: &[&str]| {
        let fixed = ["--refinery", refinery, "--push", "--yes"];
        stage.run(&[&fixed, what].concat()).expect(0)
    };
    run(&work, &["--project", "punjabi.wikimedia"]);
    assert_eq!(stage.refinery.merge().unwrap().len(), 1);
    assert_eq!(stage.git(&["status", "--porcelain", "--branch"]), clean);

    let url = format!("file://{}", stage.refinery.remote().display());
    stage.git(&["clone", "--quiet", "--depth=1", &url, &shallow]);
    let git = stage.file("shallow/.git");
    assert!(git.join("shallow").exists());
    let hook = stage.refinery.checkout().join(".git/hooks/commit-msg");
    fs::create_dir_all(git.join("hooks")).unwrap();
    fs::copy(hook, git.join("hooks/commit-msg")).unwrap();
    for (key, value) in [("user.name", "Elvis"), ("user.email", "elvis@example.org")] {
        stage.git(&["-C", &shallow, "config", key, value]);
    }
    run(&shallow, &["azywiki"]);
    assert_eq!(stage.refinery.merge().unwrap().len(), 1);
    let log = stage.remote(&["log", "--format=%s", "master"]);
    assert_eq!(log.lines().count(), 3, "{log}");
}

/// The plan that a run's hint goes on with.
pub(super) fn hinted_plan(stderr: &str) -> String {
    let after = stderr.split("newwiki --plan ").nth(1).unwrap_or_default();
    after.split(" --yes").next().unwrap_or_default().to_owned()
}
