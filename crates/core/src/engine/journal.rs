//! The record of a run: append-only JSON lines, one object a line.
//!
//! The first line is the [`Header`]; then `started` and `finished` lines of steps; last
//! `ended`. Synchronised to disk after every wave, and at once before a step that cannot
//! be undone. A kill can tear the last line, which is dropped when reading; a torn line
//! in the middle means that somebody else wrote to the file, and it is refused.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::run::Outcome;

/// The version of the journal's format.
pub const FORMAT: u32 = 1;

/// A journal could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file system said no.
    #[error("journal {path}")]
    Io {
        /// The journal's file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A line other than the last is not one of a journal's.
    #[error("journal {path}: line {line} is damaged")]
    Damaged {
        /// The journal's file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A record could not be put into JSON.
    #[error("journal: a record cannot be encoded")]
    Encode(#[from] serde_json::Error),
}

/// A journal's first line: whose run this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The format's version, [`FORMAT`].
    pub format: u32,
    /// The tool and its version.
    pub tool: String,
    /// What the plan is about.
    pub subject: String,
    /// The plan's hash.
    pub plan: String,
    /// Who runs it.
    pub by: String,
    /// The task in the tracker.
    pub task: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The run began.
    Run(Header),
    /// A step is about to be observed.
    Started(String),
    /// A step ended.
    Finished {
        /// Its id.
        step: String,
        /// How.
        outcome: Outcome,
    },
    /// The run came to its end, with this exit code.
    Ended(u8),
}

/// A line: when, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Seconds since the epoch.
    pub at: i64,
    /// What happened.
    pub entry: Entry,
}

/// Where a journal's lines go. The laws of the loop put a failing one here.
pub trait Sink: Send {
    /// Appends one whole line.
    fn append(&mut self, line: &[u8]) -> io::Result<()>;
    /// Makes what was appended survive a power cut.
    fn sync(&mut self) -> io::Result<()>;
}

impl Sink for File {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.write_all(line)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The record of a run that is going on.
pub struct Journal {
    path: PathBuf,
    sink: Mutex<Box<dyn Sink>>,
}

impl Journal {
    /// Makes the file `path`, which must not exist, readable by its owner only.
    pub fn create(path: &Path, header: Header) -> Result<Self, JournalError> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| JournalError::Io {
                path: path.to_owned(),
                source,
            })?;
        Self::to(path, Box::new(file), header)
    }

    /// A journal whose lines go to `sink`; `path` is its name in errors.
    pub fn to(path: &Path, sink: Box<dyn Sink>, header: Header) -> Result<Self, JournalError> {
        let journal = Self {
            path: path.to_owned(),
            sink: Mutex::new(sink),
        };
        journal.write(Entry::Run(header), true)?;
        Ok(journal)
    }

    /// Writes that a step begins; `now`: to disk at once.
    pub fn started(&self, step: &str, now: bool) -> Result<(), JournalError> {
        self.write(Entry::Started(step.to_owned()), now)
    }

    /// Writes how a step ended.
    pub fn finished(&self, step: &str, outcome: &Outcome) -> Result<(), JournalError> {
        self.write(
            Entry::Finished {
                step: step.to_owned(),
                outcome: outcome.clone(),
            },
            false,
        )
    }

    /// Writes that the run came to its end, with this exit code.
    pub fn ended(&self, code: u8) -> Result<(), JournalError> {
        self.write(Entry::Ended(code), true)
    }

    /// Makes all that was written survive a power cut.
    pub fn sync(&self) -> Result<(), JournalError> {
        self.with(|sink| sink.sync())
    }

    fn write(&self, entry: Entry, now: bool) -> Result<(), JournalError> {
        let mut line = serde_json::to_vec(&Record {
            at: jiff::Timestamp::now().as_second(),
            entry,
        })?;
        line.push(b'\n');
        self.with(|sink| {
            sink.append(&line)?;
            if now { sink.sync() } else { Ok(()) }
        })
    }

    fn with(&self, act: impl FnOnce(&mut dyn Sink) -> io::Result<()>) -> Result<(), JournalError> {
        // A poisoned lock means that a thread died in append: the file is still the best record.
        let mut sink = self
            .sink
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        act(sink.as_mut()).map_err(|source| JournalError::Io {
            path: self.path.clone(),
            source,
        })
    }
}

/// Reads the journal `path`, oldest record first.
pub fn read(path: &Path) -> Result<Vec<Record>, JournalError> {
    let bytes = std::fs::read(path).map_err(|source| JournalError::Io {
        path: path.to_owned(),
        source,
    })?;
    parse(path, &bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Record>, JournalError> {
    let mut records = Vec::new();
    let mut lines = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .enumerate()
        .peekable();
    while let Some((index, line)) = lines.next() {
        let torn = lines.peek().is_none() && !line.ends_with(b"\n");
        match serde_json::from_slice(line) {
            Ok(record) => records.push(record),
            Err(_) if torn => break,
            Err(source) => {
                return Err(JournalError::Damaged {
                    path: path.to_owned(),
                    line: index + 1,
                    source,
                });
            }
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            format: FORMAT,
            tool: "toy 1".into(),
            subject: "elvis".into(),
            plan: "sha256:0".into(),
            by: "ops".into(),
            task: None,
            reason: None,
        }
    }

    fn written() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.jsonl");
        let journal = Journal::create(&path, header()).unwrap();
        journal.started("a", true).unwrap();
        journal.finished("a", &Outcome::AlreadyDone).unwrap();
        journal.ended(0).unwrap();
        (dir, path)
    }

    #[test]
    fn reads_back_what_was_written() {
        let (_dir, path) = written();
        let entries: Vec<Entry> = read(&path).unwrap().into_iter().map(|r| r.entry).collect();
        assert_eq!(
            entries,
            [
                Entry::Run(header()),
                Entry::Started("a".into()),
                Entry::Finished {
                    step: "a".into(),
                    outcome: Outcome::AlreadyDone
                },
                Entry::Ended(0),
            ]
        );
    }

    #[test]
    fn a_journal_is_never_overwritten_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let (_dir, path) = written();
        assert!(Journal::create(&path, header()).is_err());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn every_torn_tail_is_dropped_and_nothing_else() {
        let (_dir, path) = written();
        let bytes = std::fs::read(&path).unwrap();
        let whole = parse(&path, &bytes).unwrap();
        for cut in 0..bytes.len() {
            let lines = bytes[..cut].split(|byte| *byte == b'\n').count() - 1;
            let read = parse(&path, &bytes[..cut]).unwrap();
            // A line that lacks nothing but its newline is whole.
            assert!(read.len() == lines || read.len() == lines + 1);
            assert_eq!(read, whole[..read.len()]);
        }
    }

    #[test]
    fn a_line_damaged_in_the_middle_is_refused() {
        let (_dir, path) = written();
        let mut bytes = std::fs::read(&path).unwrap();
        let second = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
        bytes[second] = b'x';
        assert!(matches!(
            parse(&path, &bytes),
            Err(JournalError::Damaged { line: 2, .. })
        ));
    }

    proptest! {
        #[test]
        fn whatever_was_written_into_a_journal_what_is_before_it_stays(
            at in any::<prop::sample::Index>(),
            with in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let (_dir, path) = written();
            let mut bytes = std::fs::read(&path).unwrap();
            let whole = parse(&path, &bytes).unwrap();
            let at = at.index(bytes.len());
            let before = bytes[..at].split(|byte| *byte == b'\n').count() - 1;
            bytes.splice(at..(at + with.len()).min(bytes.len()), with);
            match parse(&path, &bytes) {
                Ok(read) => prop_assert_eq!(&read[..before], &whole[..before]),
                Err(JournalError::Damaged { line, .. }) => prop_assert!(line > before),
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
    }
}
