//! Changes of a git checkout and of its remote: a branch, one commit on it, its push for
//! review. Each knows its work again by what the repository holds.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{World, file};
use crate::engine::plan::sha256_hex;
use crate::engine::{Failure, State};
use crate::services::git::Git;

/// The trailer by which Gerrit knows a change. Source: Gerrit, "Change-Ids".
const CHANGE_ID: &str = "Change-Id: ";

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Its path in the repository.
    pub path: String,
    /// The SHA-256 of what it holds then.
    pub sha256: String,
}

/// One commit on a branch of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The checkout's absolute path.
    pub repository: String,
    /// The branch's name, without `refs/heads/`.
    pub branch: String,
    /// The commit that it begins at.
    pub base: String,
    /// All files in which the commit differs from that.
    pub files: Vec<Content>,
    /// The message, before a hook adds the Change-Id to it.
    pub message: String,
}

/// One change of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Makes the branch and goes to it; the files stay as they are.
    Branch {
        /// The change that it is for.
        change: Change,
    },
    /// Commits the files.
    Commit {
        /// The change.
        change: Change,
    },
    /// Pushes the commit.
    Push {
        /// The change.
        change: Change,
        /// The remote's name.
        remote: String,
        /// The branch of the remote that it is for: it goes to `refs/for/` this.
        onto: String,
    },
}

impl Change {
    fn git(&self) -> Git {
        Git::new(&self.repository)
    }

    fn branch_ref(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    /// The commit, once it is made; else why it is not.
    async fn made(&self, git: &Git) -> Result<Result<String, State>, Failure> {
        let name = self.branch_ref();
        let Some(tip) = git.commit_of(&name).await? else {
            return Ok(Err(State::Waiting(format!("the branch {}", self.branch))));
        };
        let Some(commit) = git.first_after(&self.base, &name).await? else {
            if tip != self.base {
                let why = format!("the branch {} is elsewhere: {tip}", self.branch);
                return Ok(Err(State::Drifted(why)));
            }
            return Ok(Err(State::Pending));
        };
        Ok(match self.unlike(git, &commit).await? {
            None => Ok(commit),
            Some(why) => Err(State::Drifted(format!(
                "the branch {} has another commit, {commit}: {why}",
                self.branch
            ))),
        })
    }

    /// In what a commit is not this change.
    async fn unlike(&self, git: &Git, commit: &str) -> Result<Option<&'static str>, Failure> {
        if git.parents(commit).await? != [self.base.clone()] {
            return Ok(Some("it has other parents"));
        }
        if without_id(&git.message(commit).await?) != without_id(&self.message) {
            return Ok(Some("it has another message"));
        }
        let changed: BTreeSet<String> = git.changes(commit).await?.into_iter().collect();
        if !changed.iter().eq(self.paths().collect::<BTreeSet<_>>()) {
            return Ok(Some("it changes other files"));
        }
        for file in &self.files {
            if sha256_hex(&git.content(commit, &file.path).await?) != file.sha256 {
                return Ok(Some("it makes something else of the files"));
            }
        }
        Ok(None)
    }

    fn paths(&self) -> impl Iterator<Item = &String> {
        self.files.iter().map(|file| &file.path)
    }

    fn absolute(&self, file: &Content) -> String {
        format!("{}/{}", self.repository, file.path)
    }

    /// Whether the checkout is ready for the commit: on the branch, with the files as they
    /// are to be, and nothing else of it changed.
    async fn ready(&self, git: &Git) -> Result<State, Failure> {
        let now = git.standing().await?;
        if now.branch.as_deref() != Some(&self.branch) {
            return Ok(State::Drifted(format!(
                "the checkout has left the branch {}",
                self.branch
            )));
        }
        let other = now
            .changed
            .iter()
            .find(|path| !self.paths().any(|own| own == *path));
        if let Some(other) = other {
            return Ok(State::Drifted(format!("{other} is being edited as well")));
        }
        Ok(match self.unedited().await? {
            Some(path) => State::Waiting(format!("the edit of {path}")),
            None => State::Pending,
        })
    }

    /// A file that does not hold what it is to hold.
    async fn unedited(&self) -> Result<Option<String>, Failure> {
        for file in &self.files {
            let path = self.absolute(file);
            let bytes = file::read_in_background(path.clone()).await?;
            if sha256_hex(&bytes) != file.sha256 {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    async fn observe_branch(&self, git: &Git) -> Result<State, Failure> {
        let now = git.standing().await?;
        if git.commit_of(&self.branch_ref()).await?.is_none() {
            return Ok(if now.head == self.base {
                State::Pending
            } else {
                State::Drifted(format!(
                    "the head was {}, is {}",
                    short(&self.base),
                    short(&now.head)
                ))
            });
        }
        // Once the commit is made, the checkout may be anywhere.
        Ok(match self.made(git).await? {
            Err(State::Pending) if now.branch.as_deref() != Some(&self.branch) => {
                State::Drifted(format!("the branch {} is somebody else's", self.branch))
            }
            Ok(_) | Err(State::Pending) => State::Done,
            Err(state) => state,
        })
    }
}

fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}

/// The message's lines without the Change-Id and without those that are empty: where the
/// hook puts the former, it puts some of the latter as well.
fn without_id(message: &str) -> Vec<&str> {
    let lines = message.lines().map(str::trim_end);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with(CHANGE_ID))
        .collect()
}

fn id_of(message: &str) -> Option<&str> {
    message
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(CHANGE_ID))
}

/// Whether the remote has the commit: as a patch set, which stays when it is merged, or as
/// the end of the branch.
async fn is_there(git: &Git, commit: &str, remote: &str, onto: &str) -> Result<bool, Failure> {
    let branch = format!("refs/heads/{onto}");
    let refs = git
        .remote_refs(remote, &["refs/changes/*", branch.as_str()])
        .await?;
    Ok(refs.iter().any(|one| one.id == commit))
}

impl Action {
    fn change(&self) -> &Change {
        match self {
            Self::Branch { change } | Self::Commit { change } | Self::Push { change, .. } => change,
        }
    }

    fn check(&self, world: &World) -> Result<(), Failure> {
        let change = self.change();
        for file in &change.files {
            world.guard.file(&change.absolute(file))?;
        }
        Ok(())
    }

    pub(super) async fn observe(&self, world: &World) -> Result<State, Failure> {
        self.check(world)?;
        let git = self.change().git();
        match self {
            Self::Branch { change } => change.observe_branch(&git).await,
            Self::Commit { change } => match change.made(&git).await? {
                Ok(_) => Ok(State::Done),
                Err(State::Pending) => change.ready(&git).await,
                Err(state) => Ok(state),
            },
            Self::Push {
                change,
                remote,
                onto,
            } => match change.made(&git).await? {
                Err(State::Pending) => Ok(State::Waiting("the commit".to_owned())),
                Err(state) => Ok(state),
                Ok(commit) if is_there(&git, &commit, remote, onto).await? => Ok(State::Done),
                Ok(_) => Ok(State::Pending),
            },
        }
    }

    pub(super) async fn apply(&self, world: &World) -> Result<Value, Failure> {
        self.check(world)?;
        let git = self.change().git();
        match self {
            Self::Branch { change } => {
                git.branch(&change.branch).await?;
                Ok(Value::Null)
            }
            Self::Commit { change } => {
                let paths: Vec<&str> = change.paths().map(String::as_str).collect();
                git.commit(&change.message, &paths).await?;
                let commit = match change.made(&git).await? {
                    Ok(commit) => commit,
                    Err(state) => {
                        return Err(Failure::new(
                            format!("the commit is not what was planned: {state:?}"),
                            "a hook or an attribute of git changes it; git show tells what"
                                .to_owned(),
                        ));
                    }
                };
                let message = git.message(&commit).await?;
                Ok(json!({ "commit": commit, "change_id": id_of(&message) }))
            }
            Self::Push {
                change,
                remote,
                onto,
            } => {
                let Ok(commit) = change.made(&git).await? else {
                    return Err(Failure::drifted("the commit is being changed"));
                };
                let review = format!("refs/for/{onto}");
                let said = git.push(remote, &commit, &review).await?;
                let kept = git.remote_refs(remote, &[&review]).await?;
                if kept.iter().any(|one| one.name == review) {
                    return Err(Failure::new(
                        format!(
                            "the remote {remote} is no Gerrit: {review} is a ref like others there"
                        ),
                        format!(
                            "take it away (git push {remote} :{review}), let newwiki.remote name \
                             Gerrit's, and push the commit there"
                        ),
                    ));
                }
                Ok(json!({ "commit": commit, "said": said }))
            }
        }
    }

    pub(super) fn summary(&self) -> String {
        let change = self.change();
        let subject = change.message.lines().next().unwrap_or_default();
        match self {
            Self::Branch { .. } => {
                format!("branch {} off {}", change.branch, short(&change.base))
            }
            Self::Commit { .. } => format!("commit {:?} on {}", subject, change.branch),
            Self::Push { remote, onto, .. } => {
                format!("push {} to refs/for/{onto} of {remote}", change.branch)
            }
        }
    }

    pub(super) fn targets(&self) -> Vec<String> {
        let Change {
            repository, branch, ..
        } = self.change();
        vec![match self {
            Self::Branch { .. } => format!("git {repository}: branch {branch}"),
            Self::Commit { .. } => format!("git {repository}: commit on {branch}"),
            Self::Push { remote, .. } => format!("git {repository}: {branch} on {remote}"),
        }]
    }

    pub(super) fn faults(&self) -> Vec<String> {
        let change = self.change();
        let mut faults = Vec::new();
        let mut name = |what: &str, text: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_./+".contains(c);
            let bad = text.is_empty()
                || !text.chars().all(fits)
                || text.contains("..")
                || text.contains("//")
                || text.starts_with(['-', '/', '.'])
                || text.ends_with(['/', '.'])
                || text.rsplit('.').next() == Some("lock");
            if bad {
                faults.push(format!("{text:?} is no name of a {what}"));
            }
        };
        name("branch", &change.branch);
        for file in &change.files {
            name("file in a repository", &file.path);
        }
        if let Self::Push { remote, onto, .. } = self {
            name("remote", remote);
            name("branch", onto);
        }
        let hexadecimal = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if change.base.len() < 40 || !change.base.bytes().all(hexadecimal) {
            faults.push(format!("{:?} is no commit", change.base));
        }
        if change.files.is_empty() {
            faults.push("a commit of nothing".to_owned());
        }
        let subject = change.message.lines().next().unwrap_or_default();
        if subject.trim().is_empty() || change.message.contains('\0') {
            faults.push("a commit without a message".to_owned());
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(branch: &str, path: &str) -> Change {
        Change {
            repository: "/srv/refinery".to_owned(),
            branch: branch.to_owned(),
            base: "0123456789".repeat(4),
            files: vec![Content {
                path: path.to_owned(),
                sha256: sha256_hex(b""),
            }],
            message: "Add a\n\nBug: T1\n".to_owned(),
        }
    }

    #[test]
    fn names_are_no_options_and_lead_nowhere_else() {
        let faults = |branch: &str, path: &str| {
            let change = change(branch, path);
            Action::Commit { change }.faults()
        };
        assert!(faults("newwiki/azywiki+1", "static_data/a-b/list.tsv").is_empty());
        for bad in ["", "-b", "a..b", "a b", "/a", "a.lock", "a/", "a//b", "a~1"] {
            assert_eq!(faults(bad, "list").len(), 1, "{bad}");
            assert_eq!(faults("a", bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_message_is_known_again_with_its_id() {
        let made = "Add a\n\nBug: T1\nChange-Id: I0\n";
        assert_eq!(without_id(made), without_id("Add a\n\nBug: T1\n"));
        assert_eq!(id_of(made), Some("I0"));
        assert_ne!(without_id(made), without_id("Add a\n\nBug: T2\n"));
    }
}
