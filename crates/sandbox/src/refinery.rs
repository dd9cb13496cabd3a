//! The refinery: a git checkout with the platform's lists, and a remote that takes pushes
//! as Gerrit does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Context, Error};
use crate::files;

const BRANCH: &str = "master";
/// Where the lists lie in the repository, and their folder in the fixtures' `current`.
const ALLOWLIST: &str = "static_data/pageview/allowlist/allowlist.tsv";
const GROUPED_WIKIS: &str = "static_data/mediawiki/grouped_wikis";

const COMMIT_MSG: &str = include_str!("../gerrit/commit-msg");
const PROC_RECEIVE: &str = include_str!("../gerrit/proc-receive");

/// A checkout `refinery` and its remote `refinery.git` in one folder.
///
/// The remote takes what is pushed to `refs/for/master` as a change for review
/// (`refs/changes/NN/NUMBER/PATCH-SET`), refuses commits without a Change-Id, and every
/// other push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refinery {
    folder: PathBuf,
}

/// The latest patch set of a change that waits for its reviewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The change's number, from 1.
    pub number: u32,
    /// How often it was pushed.
    pub patch_set: u32,
    /// The commit, in hexadecimal digits.
    pub commit: String,
    /// The first line of its message.
    pub subject: String,
}

impl Refinery {
    /// Makes both in `folder`, with the lists as they were in July 2026. What is there
    /// under these names is removed.
    pub fn make(folder: &Path) -> Result<Self, Error> {
        let refinery = Self {
            folder: folder.to_owned(),
        };
        let new = |name: &str| folder.join(format!("{name}.new"));
        let (work, bare, clone) = (new("work"), new("refinery.git"), new("refinery"));
        for path in [
            &refinery.checkout(),
            &refinery.remote(),
            &work,
            &bare,
            &clone,
        ] {
            files::remove(path)?;
        }
        write_lists(&work)?;
        init(&bare)?;
        let commit = |arguments: &[&str]| {
            git(
                &bare,
                &[&["--work-tree", &work.to_string_lossy()], arguments].concat(),
            )
        };
        commit(&["add", "--all", "."])?;
        commit(&["commit", "--quiet", "--message", FIRST_COMMIT])?;
        files::remove(&work)?;
        write_program(&bare.join("hooks/proc-receive"), PROC_RECEIVE)?;
        // Every push goes to that hook.
        git(&bare, &["config", "receive.procReceiveRefs", "refs"])?;
        fs::rename(&bare, refinery.remote()).context("write", refinery.remote())?;

        let from = refinery.remote().to_string_lossy().into_owned();
        let to = clone.to_string_lossy().into_owned();
        git(&refinery.remote(), &["clone", "--quiet", &from, &to])?;
        write_program(&clone.join(".git/hooks/commit-msg"), COMMIT_MSG)?;
        for (key, value) in [("user.name", "Elvis"), ("user.email", "elvis@example.org")] {
            git(&clone.join(".git"), &["config", key, value])?;
        }
        fs::rename(&clone, refinery.checkout()).context("write", refinery.checkout())?;
        Ok(refinery)
    }

    /// Those that are in `folder`.
    pub(crate) fn open(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The checkout.
    pub fn checkout(&self) -> PathBuf {
        self.folder.join("refinery")
    }

    /// The bare repository that the checkout was cloned from.
    pub fn remote(&self) -> PathBuf {
        self.folder.join("refinery.git")
    }

    /// The changes that wait for review, by number.
    pub fn waiting(&self) -> Result<Vec<Change>, Error> {
        let log = self.git(&[
            "log",
            "--format=%(trailers:key=Change-Id,valueonly)",
            BRANCH,
        ])?;
        let format = "--format=%(refname) %(objectname) \
                      %(trailers:key=Change-Id,valueonly,separator=%x20) %(contents:subject)";
        let mut changes = BTreeMap::new();
        for line in self
            .git(&["for-each-ref", format, "refs/changes/"])?
            .lines()
        {
            let mut fields = line.splitn(4, ' ');
            let mut next = || fields.next().unwrap_or_default();
            let (name, commit, id, subject) = (next(), next(), next(), next());
            let mut numbers = name.rsplit('/').map(|part| part.parse().unwrap_or(0));
            let (patch_set, number) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
            if log.lines().any(|merged| merged == id) {
                continue;
            }
            let change = Change {
                number,
                patch_set,
                commit: commit.to_owned(),
                subject: subject.to_owned(),
            };
            // Names are sorted as text: 10 comes before 9.
            changes
                .entry(number)
                .and_modify(|known: &mut Change| {
                    if known.patch_set < patch_set {
                        *known = change.clone();
                    }
                })
                .or_insert(change);
        }
        Ok(changes.into_values().collect())
    }

    /// Plays the reviewer: merges what waits, in order, and gives what it merged. A change
    /// that does not stand on the branch's end is put there; one that conflicts stays and
    /// is the error.
    pub fn merge(&self) -> Result<Vec<Change>, Error> {
        let waiting = self.waiting()?;
        for change in &waiting {
            let tip = self.git(&["rev-parse", BRANCH])?;
            let parent = self.git(&["rev-parse", &format!("{}^", change.commit)])?;
            let merged = if parent == tip {
                change.commit.clone()
            } else {
                self.pick(change)?
            };
            let branch = format!("refs/heads/{BRANCH}");
            self.git(&["update-ref", &branch, merged.trim(), tip.trim()])?;
        }
        Ok(waiting)
    }

    /// The change as a commit at the branch's end.
    fn pick(&self, change: &Change) -> Result<String, Error> {
        let work = self.folder.join("refinery.merge");
        let path = work.to_string_lossy();
        // One may be left of a merge that was killed.
        files::remove(&work)?;
        self.git(&["worktree", "prune"])?;
        self.git(&["worktree", "add", "--quiet", "--detach", &path, BRANCH])?;
        let picked = files::run(
            base(Command::new("git").current_dir(&work)).args(["cherry-pick", &change.commit]),
            &format!("merging change {}", change.number),
        )
        .and_then(|_| {
            files::run(
                base(Command::new("git").current_dir(&work)).args(["rev-parse", "HEAD"]),
                "git rev-parse",
            )
        });
        self.git(&["worktree", "remove", "--force", &path])?;
        picked
    }

    fn git(&self, arguments: &[&str]) -> Result<String, Error> {
        git(&self.remote(), arguments)
    }
}

const FIRST_COMMIT: &str = "Add the lists of wikis\n\n\
                            Change-Id: I0123456789abcdef0123456789abcdef01234567";

/// The lists where the repository has them.
fn write_lists(work: &Path) -> Result<(), Error> {
    let current = files::fixtures().join("newwiki/current");
    for entry in fs::read_dir(&current).context("list", &current)? {
        let from = entry.context("list", &current)?.path();
        let name = from.file_name().unwrap_or_default();
        let to = if name == "allowlist.tsv" {
            work.join(ALLOWLIST)
        } else {
            work.join(GROUPED_WIKIS).join(name)
        };
        files::folder(to.parent().unwrap_or(work))?;
        fs::copy(&from, &to).context("copy", &from)?;
    }
    Ok(())
}

/// A bare repository without the samples of hooks.
fn init(bare: &Path) -> Result<(), Error> {
    let mut command = Command::new("git");
    base(&mut command)
        .args([
            "init",
            "--quiet",
            "--bare",
            "--template=",
            "--initial-branch",
            BRANCH,
        ])
        .arg(bare);
    files::run(&mut command, "git init")?;
    files::folder(&bare.join("hooks"))
}

fn write_program(path: &Path, text: &str) -> Result<(), Error> {
    files::write(path, 0o755, text)
}

/// Runs git on a repository.
fn git(repository: &Path, arguments: &[&str]) -> Result<String, Error> {
    let mut command = Command::new("git");
    base(&mut command)
        .arg("--git-dir")
        .arg(repository)
        .args(arguments);
    let what = arguments.iter().find(|argument| !argument.starts_with('-'));
    files::run(&mut command, &format!("git {}", what.unwrap_or(&"")))
}

/// Somebody's own settings of git change nothing here, and commits are the same every time.
fn base(command: &mut Command) -> &mut Command {
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE");
    for role in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{role}_NAME"), "Reviewer")
            .env(format!("GIT_{role}_EMAIL"), "reviewer@example.org")
            .env(format!("GIT_{role}_DATE"), "2026-07-20T12:00:00Z");
    }
    command
}
