//! The one error that reaches the operator.

use std::error::Error;
use std::fmt;

use opsweek_core::engine::Failure;
use opsweek_core::engine::render::clean;
use opsweek_core::procedures::Refusal;
use serde::Serialize;

use crate::exit::Exit;

/// What went wrong with which object, why, what to do, and the exit code that it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CliError {
    #[serde(skip)]
    exit: Exit,
    what: String,
    causes: Vec<String>,
    hint: Option<String>,
}

impl CliError {
    /// An error without a cause.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            causes: Vec::new(),
            hint: None,
        }
    }

    /// The command line or the configuration is wrong: [`Exit::Usage`].
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// What an action, a look or a lock gave: `what` is what was tried.
    pub fn failure(exit: Exit, what: impl Into<String>, failure: &Failure) -> Self {
        Self {
            exit,
            what: what.into(),
            causes: failure.chain(),
            hint: failure.hint().map(str::to_owned),
        }
    }

    /// The same, because of `source` and everything that caused that.
    #[must_use]
    pub fn because(mut self, source: &(dyn Error + 'static)) -> Self {
        let mut next = Some(source);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// The same, with the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, where one of several subjects is meant.
    #[must_use]
    pub fn about(mut self, subject: &str) -> Self {
        self.what = format!("{subject}: {}", self.what);
        self
    }

    /// The exit code that it means.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        Self::new(Exit::Refused, refusal.what).hint(refusal.hint)
    }
}

/// `error:` what, `caused by:` each cause once, `hint:` what to do; a line each. Everything
/// is escaped that could fool a terminal or a reader: names come from anywhere.
impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", clean(&self.what))?;
        let mut said = vec![self.what.as_str()];
        for cause in &self.causes {
            if !said.contains(&cause.as_str()) {
                said.push(cause);
                writeln!(f, "caused by: {}", clean(cause))?;
            }
        }
        match &self.hint {
            Some(hint) => writeln!(f, "hint: {}", clean(hint)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("connection to nn1.example.org")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn every_cause_is_told_once_and_escaped() {
        let source = Outer(std::io::Error::other("refused\u{1b}[2J\nhint: rm -rf /"));
        let error = CliError::new(Exit::Failed, "cannot look at hdfs")
            .because(&source)
            .because(&source)
            .hint("is the NameNode up?");
        insta::assert_snapshot!(error, @r"
        error: cannot look at hdfs
        caused by: connection to nn1.example.org
        caused by: refused\u{1b}[2J\nhint: rm -rf /
        hint: is the NameNode up?
        ");
    }
}
