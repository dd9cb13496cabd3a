//! A git checkout, by the real `git`: so that hooks, keys, credentials and rewritten URLs are
//! those that its user has.
//!
//! What of the user's settings holds: who commits, where hooks are, how remotes are reached.
//! What does not, since it would change what is committed or pushed, or ask somebody:
//! conversion of line ends, templates of messages, signing, tags that follow a push, colours,
//! editors, pagers, monitors and maintenance in the background; and every variable that
//! points git to another repository or names another author.

mod error;

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

pub use error::{Error, Said};

use super::group::Group;

/// How long something on this machine may take, a commit with its hooks too.
const HERE: Duration = Duration::from_mins(1);
/// How long a remote may take.
const REMOTE: Duration = Duration::from_mins(2);

/// Source: git-config(1).
const SETTINGS: [&str; 17] = [
    "color.ui=false",
    "commit.gpgSign=false",
    "commit.status=false",
    "commit.template=",
    "core.autocrlf=false",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "core.safecrlf=false",
    "gc.auto=0",
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    "maintenance.auto=false",
    "push.followTags=false",
    "push.gpgSign=false",
    "push.recurseSubmodules=no",
    "push.pushOption=",
    // Else a name is made up from the account's and the machine's.
    "user.useConfigOnly=true",
];

/// Variables that lead git elsewhere. Source: `git rev-parse --local-env-vars`, git(1).
const FOREIGN: [&str; 24] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_ASKPASS",
    "GIT_AUTHOR_DATE",
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_NAME",
    "GIT_COMMITTER_DATE",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// How a checkout stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The branch; `None` when the head is detached.
    pub branch: Option<String>,
    /// The commit that the head is, in hexadecimal digits.
    pub head: String,
    /// Tracked files that are not as the head has them, by their paths in the repository.
    pub changed: Vec<String>,
}

/// A remote's ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref {
    /// Its full name: `refs/heads/master`.
    pub name: String,
    /// The object, in hexadecimal digits.
    pub id: String,
}

/// A checkout.
#[derive(Clone, Debug)]
pub struct Git {
    folder: PathBuf,
}

impl Git {
    /// The checkout in the absolute path `folder`. Contacts nothing.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How it stands.
    pub async fn standing(&self) -> Result<Standing, Error> {
        let what = "asking how it stands";
        let arguments = [
            "status",
            "--porcelain=v2",
            "--branch",
            "--untracked-files=no",
            "--ignore-submodules=none",
            "--no-renames",
            "-z",
        ];
        let printed = self.text(what, arguments).await?;
        standing(&printed).ok_or_else(|| self.unexpected(what))
    }

    /// The commit that a name means, if it means one.
    pub async fn commit_of(&self, name: &str) -> Result<Option<String>, Error> {
        let commit = format!("{name}^{{commit}}");
        self.maybe(
            &format!("looking for {name}"),
            [
                "rev-parse",
                "--verify",
                "--quiet",
                "--end-of-options",
                &commit,
            ],
        )
        .await
    }

    /// How many commits `of` has that `than` has not.
    pub async fn ahead(&self, of: &str, than: &str) -> Result<u64, Error> {
        let what = format!("comparing {of} with {than}");
        let range = format!("{than}..{of}");
        let arguments = ["rev-list", "--count", "--end-of-options", &range, "--"];
        let printed = self.text(&what, arguments).await?;
        printed.trim().parse().map_err(|_| self.unexpected(&what))
    }

    /// The first commit of `branch` after `base`, by first parents.
    pub async fn first_after(&self, base: &str, branch: &str) -> Result<Option<String>, Error> {
        let what = format!("listing what {branch} has after {base}");
        let range = format!("{base}..{branch}");
        let arguments = [
            "rev-list",
            "--reverse",
            "--first-parent",
            "--end-of-options",
            &range,
            "--",
        ];
        let printed = self.text(&what, arguments).await?;
        Ok(printed.lines().next().map(str::to_owned))
    }

    /// A commit's parents.
    pub async fn parents(&self, commit: &str) -> Result<Vec<String>, Error> {
        let printed = self.show(commit, "%P").await?;
        Ok(printed.split_whitespace().map(str::to_owned).collect())
    }

    /// A commit's message.
    pub async fn message(&self, commit: &str) -> Result<String, Error> {
        self.show(commit, "%B").await
    }

    async fn show(&self, commit: &str, format: &str) -> Result<String, Error> {
        let format = format!("--format={format}");
        let arguments = ["log", "-1", &format, "--end-of-options", commit, "--"];
        let printed = self.text(&format!("reading {commit}"), arguments).await?;
        Ok(printed.trim_end().to_owned())
    }

    /// The paths in which a commit differs from its first parent.
    pub async fn changes(&self, commit: &str) -> Result<Vec<String>, Error> {
        let parent = format!("{commit}^");
        let arguments = [
            "diff-tree",
            "-r",
            "--no-renames",
            "--name-only",
            "-z",
            "--end-of-options",
            &parent,
            commit,
        ];
        let what = format!("listing the changes of {commit}");
        let printed = self.text(&what, arguments).await?;
        Ok(paths(&printed))
    }

    /// What a file holds in a commit.
    pub async fn content(&self, commit: &str, path: &str) -> Result<Vec<u8>, Error> {
        let object = format!("{commit}:{path}");
        let arguments = ["cat-file", "blob", &object];
        let what = format!("reading {path} in {commit}");
        self.run(&what, HERE, b"", arguments).await
    }

    /// Whether a hook runs on commit messages.
    pub async fn has_message_hook(&self) -> Result<bool, Error> {
        let arguments = ["rev-parse", "--git-path", "hooks/commit-msg"];
        let printed = self.text("looking for hooks", arguments).await?;
        let path = self.folder.join(printed.trim_end_matches('\n'));
        let runs =
            |meta: std::fs::Metadata| meta.is_file() && meta.permissions().mode() & 0o111 != 0;
        Ok(tokio::fs::metadata(path).await.is_ok_and(runs))
    }

    /// Whether it is configured who commits: a name and an address.
    pub async fn has_author(&self) -> Result<bool, Error> {
        match self
            .text("asking who commits", ["var", "GIT_COMMITTER_IDENT"])
            .await
        {
            Ok(_) => Ok(true),
            Err(Error::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Where a remote is pushed to, without a password that may be in it.
    pub async fn url(&self, remote: &str) -> Result<String, Error> {
        let arguments = ["remote", "get-url", "--push", "--", remote];
        let what = format!("looking for the remote {remote}");
        let printed = self.text(&what, arguments).await?;
        Ok(without_password(printed.trim_end()))
    }

    /// The remote's own refs that fit a pattern, asked now.
    pub async fn remote_refs(&self, remote: &str, patterns: &[&str]) -> Result<Vec<Ref>, Error> {
        let what = format!("asking the remote {remote}");
        let arguments = ["ls-remote", "--quiet", "--refs", "--", remote];
        let arguments = arguments.iter().chain(patterns);
        let printed = self.run(&what, REMOTE, b"", arguments).await?;
        let printed = String::from_utf8_lossy(&printed);
        printed
            .lines()
            .map(|line| {
                let (id, name) = line.split_once('\t')?;
                Some(Ref {
                    name: name.to_owned(),
                    id: id.to_owned(),
                })
            })
            .collect::<Option<_>>()
            .ok_or_else(|| self.unexpected(&what))
    }

    /// Makes a branch of the commit that the head is, and makes it the head; files stay as
    /// they are. Fails when there is one of that name.
    pub async fn branch(&self, name: &str) -> Result<(), Error> {
        let arguments = ["switch", "--quiet", "--no-track", "--create", name];
        let what = format!("making the branch {name}");
        self.text(&what, arguments).await.map(drop)
    }

    /// Commits these files, by their paths in the repository, and nothing else, with the
    /// author of git's settings. Hooks run; one may add to the message.
    pub async fn commit(&self, message: &str, paths: &[&str]) -> Result<(), Error> {
        let arguments = [
            "commit",
            "--quiet",
            "--only",
            "--no-edit",
            "--cleanup=verbatim",
            "--file=-",
            "--",
        ];
        let arguments = arguments.iter().chain(paths);
        self.run("committing", HERE, message.as_bytes(), arguments)
            .await
            .map(drop)
    }

    /// Pushes a commit to a ref of the remote, and nothing else. Gives what the remote said.
    pub async fn push(&self, remote: &str, commit: &str, to: &str) -> Result<String, Error> {
        let refs = format!("{commit}:{to}");
        let arguments = ["push", "--no-follow-tags", "--", remote, &refs];
        let what = format!("pushing to {to} of {remote}");
        let (_, said) = self.both(&what, REMOTE, b"", arguments).await?;
        Ok(Said::new(&said).to_string())
    }

    /// Makes the ref with this content, unless it is there: then `false`. Of several who
    /// try, one gets `true`: it can serve as a lock.
    pub async fn create_ref(&self, name: &str, content: &str) -> Result<bool, Error> {
        let what = format!("making {name}");
        let arguments = ["hash-object", "-w", "--no-filters", "--stdin"];
        let id = self.run(&what, HERE, content.as_bytes(), arguments).await?;
        let id = String::from_utf8_lossy(&id).trim_end().to_owned();
        let zero = "0".repeat(id.len());
        let arguments = ["update-ref", "--no-deref", name, &id, &zero];
        match self.text(&what, arguments).await {
            Ok(_) => Ok(true),
            Err(Error::Refused { .. }) if self.read_ref(name).await?.is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What was given to [`Git::create_ref`]; `None` when there is no such ref.
    pub async fn read_ref(&self, name: &str) -> Result<Option<String>, Error> {
        self.maybe(&format!("reading {name}"), ["cat-file", "blob", name])
            .await
    }

    /// Removes a ref, if it is there.
    pub async fn delete_ref(&self, name: &str) -> Result<(), Error> {
        let arguments = ["update-ref", "--no-deref", "-d", name];
        let what = format!("removing {name}");
        self.text(&what, arguments).await.map(drop)
    }

    fn unexpected(&self, what: &str) -> Error {
        Error::Unexpected {
            folder: self.folder.display().to_string(),
            what: what.to_owned(),
        }
    }

    async fn text<const N: usize>(
        &self,
        what: &str,
        arguments: [&str; N],
    ) -> Result<String, Error> {
        let printed = self.run(what, HERE, b"", arguments).await?;
        String::from_utf8(printed).map_err(|_| self.unexpected(what))
    }

    /// What it prints; `None` when it says no by its exit code alone, or that there is no
    /// such object.
    async fn maybe<const N: usize>(
        &self,
        what: &str,
        arguments: [&str; N],
    ) -> Result<Option<String>, Error> {
        match self.text(what, arguments).await {
            Ok(printed) => Ok(Some(printed.trim_end_matches('\n').to_owned())),
            Err(Error::Refused { source, .. })
                if source.to_string().is_empty()
                    || source.to_string().contains("Not a valid object name") =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn run<A: AsRef<OsStr>>(
        &self,
        what: &str,
        within: Duration,
        input: &[u8],
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Vec<u8>, Error> {
        let (printed, _) = self.both(what, within, input, arguments).await?;
        Ok(printed)
    }

    /// What it prints on both its outputs, once it is done.
    async fn both<A: AsRef<OsStr>>(
        &self,
        what: &str,
        within: Duration,
        input: &[u8],
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let folder = || self.folder.display().to_string();
        let run = |source| Error::Run {
            folder: folder(),
            source,
        };
        let mut child = self.command(arguments).spawn().map_err(run)?;
        let mut stdin = child.stdin.take();
        // Its helpers and hooks are of its group, and end with it.
        let group = Group::of(&child);
        let write = async {
            if let Some(stdin) = &mut stdin {
                // Who does not read the input says why on the other side.
                let _ = stdin.write_all(input).await;
            }
            drop(stdin);
        };
        let ended = async { tokio::join!(write, child.wait_with_output()).1 };
        let Ok(ended) = timeout(within, ended).await else {
            return Err(Error::Deadline {
                folder: folder(),
                what: what.to_owned(),
                seconds: within.as_secs(),
            });
        };
        let ended = ended.map_err(run)?;
        group.has_ended();
        if ended.status.success() {
            Ok((ended.stdout, ended.stderr))
        } else {
            Err(Error::Refused {
                folder: folder(),
                what: what.to_owned(),
                source: Said::new(&ended.stderr),
            })
        }
    }

    fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("git");
        command.arg("--literal-pathspecs").arg("--no-pager");
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_EDITOR", "false")
            .env("SSH_ASKPASS_REQUIRE", "never")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Not the terminal's: nobody is asked there.
            .process_group(0);
        for variable in FOREIGN {
            command.env_remove(variable);
        }
        command
    }
}

/// Reads the answer of `git status`. Source: git-status(1), "Porcelain Format Version 2".
fn standing(printed: &str) -> Option<Standing> {
    let (mut branch, mut head, mut changed) = (None, None, Vec::new());
    for entry in printed.split('\0').filter(|entry| !entry.is_empty()) {
        if let Some(header) = entry.strip_prefix("# ") {
            match header.split_once(' ')? {
                ("branch.oid", id) if id != "(initial)" => head = Some(id.to_owned()),
                ("branch.head", name) if name != "(detached)" => branch = Some(name.to_owned()),
                _ => {}
            }
            continue;
        }
        // Fields before the path, by the kind of entry.
        let fields = match entry.as_bytes().first()? {
            b'1' => 8,
            b'u' => 10,
            _ => return None,
        };
        changed.push(entry.splitn(fields + 1, ' ').nth(fields)?.to_owned());
    }
    Some(Standing {
        branch,
        head: head?,
        changed,
    })
}

fn paths(printed: &str) -> Vec<String> {
    let paths = printed.split('\0').filter(|path| !path.is_empty());
    paths.map(str::to_owned).collect()
}

/// `https://elvis:word@host/` without the word.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{host}{path}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests;
