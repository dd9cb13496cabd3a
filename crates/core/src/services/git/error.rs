//! What git, or the remote behind it, says when it says no.

use std::io;

/// Something that was asked of git and not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program cannot be run.
    #[error("git in {folder} cannot be run")]
    Run {
        /// The checkout.
        folder: String,
        /// Why not.
        source: io::Error,
    },
    /// No end in time; git was ended.
    #[error("git in {folder}: {what}: not done within {seconds} s")]
    Deadline {
        /// The checkout.
        folder: String,
        /// What was asked, about which object.
        what: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Git, a hook or the remote refuses.
    #[error("git in {folder}: {what}")]
    Refused {
        /// The checkout.
        folder: String,
        /// What was asked, about which object.
        what: String,
        /// What was said.
        source: Said,
    },
    /// The answer is not of the expected form.
    #[error("git in {folder}: {what}: the answer cannot be understood")]
    Unexpected {
        /// The checkout.
        folder: String,
        /// What was asked, about which object.
        what: String,
    },
}

/// The words of git, of a hook or of the remote.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Said(String);

/// How much of it is told.
const LONGEST: usize = 2000;

impl Said {
    /// What a command printed: the last of it, one line, without control characters.
    pub(super) fn new(printed: &[u8]) -> Self {
        let text = String::from_utf8_lossy(printed);
        let lines = text.split(['\n', '\r']).map(str::trim);
        let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        let mut all: Vec<char> = lines.join("; ").chars().collect();
        all.retain(|c| !c.is_control());
        let start = all.len().saturating_sub(LONGEST);
        Self(all[start..].iter().collect())
    }
}

/// Words of git in the C locale, of Gerrit and of ssh, and the way out. The first that fits.
/// Source: git 2.39, `Documentation/` and messages; Gerrit, "Error Messages".
const HINTS: [(&str, &str); 17] = [
    (
        "missing Change-Id",
        "install Gerrit's commit-msg hook in the checkout, then: git commit --amend --no-edit",
    ),
    (
        "no new changes",
        "the change is there already: look at it in Gerrit",
    ),
    (
        "Please tell me who you are",
        "git config user.name and user.email in the checkout: commits bear them",
    ),
    (
        "empty ident name",
        "git config user.name and user.email in the checkout: commits bear them",
    ),
    (
        "no email was given",
        "git config user.email in the checkout: commits bear it",
    ),
    (
        "no name was given",
        "git config user.name in the checkout: commits bear it",
    ),
    (
        "dubious ownership",
        "run as the owner of the checkout, or: git config --global --add safe.directory DIR",
    ),
    (
        "not a git repository",
        "--refinery or newwiki.refinery names the checkout",
    ),
    (
        "No such remote",
        "newwiki.remote names the one that changes are pushed to; git remote -v tells which there are",
    ),
    (
        "did not match any file(s) known to git",
        "git does not know the file: is it the checkout of the refinery?",
    ),
    (
        ".lock': File exists",
        "another git is at work there: wait for it; when there is none, remove the named file",
    ),
    (
        "Permission denied (publickey",
        "is your ssh key loaded (ssh-add), and known to Gerrit?",
    ),
    (
        "could not read Username",
        "git may not ask for a password here: give it one by a credential helper",
    ),
    (
        "Host key verification failed",
        "connect once by ssh and compare the remote's key",
    ),
    (
        "remote rejected",
        "do what the remote says, then go on with the plan",
    ),
    (
        "Could not read from remote repository",
        "is the remote up, and may you read it? git ls-remote tells",
    ),
    (
        "unable to access",
        "is the remote up, and may you read it? git ls-remote tells",
    ),
];

impl Error {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Run { .. } => "is git installed, and the checkout there?",
            Self::Deadline { .. } => {
                "the remote or a hook hangs; look at it, then go on with the plan"
            }
            Self::Refused { source, .. } => {
                let known = HINTS.iter().find(|(words, _)| source.0.contains(words));
                known.map_or("do what git, or its hook, says; then run again", |known| {
                    known.1
                })
            }
            Self::Unexpected { .. } => "git status there tells: is there a commit at all?",
        };
        Some(hint.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_one_line_without_controls() {
        let said = Said::new(b"remote: no\x1b[31m\n\r\n ! [remote rejected] x\n");
        assert_eq!(said.to_string(), "remote: no[31m; ! [remote rejected] x");
        assert_eq!(
            Said::new(&vec![b'a'; 3 * LONGEST]).to_string().len(),
            LONGEST
        );
    }
}
