//! The folder of journals and plans, which outlives a run that was killed.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use opsweek_core::engine::journal::{self, Entry, Header, Record};

use rustix::fs::{FlockOperation, flock};

use crate::error::CliError;
use crate::exit::Exit;

/// What is kept about one tool and one subject.
pub(crate) struct State {
    dir: PathBuf,
    tool: &'static str,
    subject: String,
}

/// A run of which the journal does not say that all was done.
pub(crate) struct Unfinished {
    pub(crate) at: Timestamp,
    pub(crate) header: Header,
}

impl State {
    pub(crate) fn new(dir: &Path, tool: &'static str, subject: &str) -> Self {
        Self {
            dir: dir.to_owned(),
            tool,
            subject: subject.to_owned(),
        }
    }

    /// Makes the folders, where they are missing, for their owner only.
    pub(crate) fn prepare(&self) -> Result<(), CliError> {
        for folder in ["journal", "plans"] {
            let path = self.dir.join(folder);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(|source| {
                    CliError::new(Exit::Failed, format!("state folder {}", path.display()))
                        .because(&source)
                        .hint("state_dir in the configuration names it")
                })?;
        }
        Ok(())
    }

    /// Makes sure that no other run about this subject goes on here, for as long as the file
    /// is open: the kernel gives the lock back however the process ends.
    pub(crate) fn alone(&self) -> Result<File, CliError> {
        let path = self.dir.join(format!("{}run.lock", self.prefix()));
        let fail = |source: &(dyn std::error::Error + 'static)| {
            CliError::new(Exit::Failed, format!("lock file {}", path.display())).because(source)
        };
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| fail(&source))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(source) => Err(fail(&source).hint(format!(
                "another {} about {} is running: wait for it",
                self.tool, self.subject
            ))),
        }
    }

    /// Whether a run of the plan of this hash was begun and did not do all.
    pub(crate) fn has_begun(&self, hash: &str) -> bool {
        matches!(self.unfinished(), Ok(Some(run)) if run.header.plan == hash)
    }

    /// Where the plan of this hash is kept.
    pub(crate) fn plan(&self, hash: &str) -> PathBuf {
        let digits = hash.strip_prefix("sha256:").unwrap_or(hash);
        let short = digits.get(..16).unwrap_or(digits);
        self.dir
            .join("plans")
            .join(format!("{}{short}.json", self.prefix()))
    }

    /// Where the journal of a run that begins at `now` is kept. Names sort by time.
    pub(crate) fn journal(&self, now: Timestamp) -> PathBuf {
        let now = now.strftime("%Y%m%dT%H%M%S%.6fZ");
        self.dir
            .join("journal")
            .join(format!("{}{now}.jsonl", self.prefix()))
    }

    /// The newest run, if its journal lacks an end at which all was done.
    pub(crate) fn unfinished(&self) -> Result<Option<Unfinished>, CliError> {
        let Ok(entries) = self.dir.join("journal").read_dir() else {
            return Ok(None);
        };
        let mut paths: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&self.prefix()) && name.ends_with(".jsonl")
            })
            .collect();
        paths.sort_unstable();
        for path in paths.iter().rev() {
            let records = journal::read(path).map_err(|source| {
                CliError::new(Exit::Failed, "the newest journal cannot be read").because(&source)
            })?;
            let Some(Record {
                at,
                entry: Entry::Run(header),
            }) = records.first()
            else {
                continue;
            };
            // The subject `a` has the prefix of the subject `a-b`.
            if header.subject != self.subject {
                continue;
            }
            let ended =
                matches!(records.last(), Some(r) if r.entry == Entry::Ended(Exit::Done.code()));
            return Ok((!ended).then(|| Unfinished {
                at: Timestamp::from_second(*at).unwrap_or_default(),
                header: header.clone(),
            }));
        }
        Ok(None)
    }

    /// A subject can hold what a file's name cannot.
    fn prefix(&self) -> String {
        let subject: String = self
            .subject
            .chars()
            .map(|c| match c {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | '-' => c.to_string(),
                other => format!("%{:x}", u32::from(other)),
            })
            .collect();
        format!("{}-{subject}-", self.tool)
    }
}
