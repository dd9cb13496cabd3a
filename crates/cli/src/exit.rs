//! What the exit codes mean. Where several apply, the highest wins.

use std::fmt;
use std::process::ExitCode;

/// How a run ended. Ordered, so that `a.max(b)` is the one to exit with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Everything is done, or there was nothing to do.
    Done = 0,
    /// Something failed, and nothing of the plan was done.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// Something would change, or something is left.
    Pending = 3,
    /// The world, the tool or the plan file is not what the plan was made for.
    Drifted = 4,
    /// The answer was no, or there was nobody to ask.
    Declined = 5,
    /// A part of the plan is done and a part is not.
    Partly = 6,
    /// Something could not be looked at.
    Incomplete = 7,
    /// A safety rule forbids it.
    Refused = 8,
}

impl Exit {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Pending,
        Self::Drifted,
        Self::Declined,
        Self::Partly,
        Self::Incomplete,
        Self::Refused,
    ];

    /// The code that the process exits with.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it means, for `--help` and the manual page.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or nothing to do",
            Self::Failed => "failed",
            Self::Usage => "wrong usage or configuration",
            Self::Pending => "changes pending, or something is left",
            Self::Drifted => "drifted: not what the plan was made for",
            Self::Declined => "declined, or nobody to ask",
            Self::Partly => "partly done",
            Self::Incomplete => "incomplete look",
            Self::Refused => "refused by a safety rule",
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
