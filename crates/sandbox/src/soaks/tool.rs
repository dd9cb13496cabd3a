//! A tool that is run and killed, and what decides when.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use crate::error::Error;
use crate::files;
use crate::sandbox::Sandbox;

/// A tool on a sandbox.
pub(super) struct Tool<'a> {
    /// For messages: `soak offboard`.
    pub(super) soak: &'static str,
    pub(super) program: PathBuf,
    pub(super) sandbox: &'a Sandbox,
}

impl Tool<'_> {
    /// The tool with these arguments; what it says on standard error is for the caller.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("OPSWEEK_CONFIG", self.sandbox.config_path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Runs to the end and wants that exit code.
    pub(super) fn run(&self, arguments: &[&str], code: i32) -> Result<(), Error> {
        let output = self
            .command(arguments)
            .output()
            .map_err(|source| self.unrun(source))?;
        if output.status.code() == Some(code) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(self.failed(format!(
            "{arguments:?}: {}: {}",
            output.status,
            files::last_lines(&said, 15)
        )))
    }

    /// The error of a run that could not be started or awaited.
    pub(super) fn unrun(&self, source: std::io::Error) -> Error {
        Error::Run {
            program: self.program.display().to_string(),
            source,
        }
    }

    /// The soak's own error.
    pub(super) fn failed(&self, said: String) -> Error {
        Error::Failed {
            program: self.soak.to_owned(),
            said,
        }
    }

    /// The ids of a saved plan's steps.
    pub(super) fn steps(&self, plan: &Path) -> Result<Vec<String>, Error> {
        let text = std::fs::read_to_string(plan).map_err(|error| self.failed(error.to_string()))?;
        let file: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| self.failed(error.to_string()))?;
        let steps = file["plan"]["steps"].as_array().into_iter().flatten();
        Ok(steps
            .filter_map(|step| step["id"].as_str().map(str::to_owned))
            .collect())
    }
}

/// Which moments, differs from soak to soak. Knuth's MMIX generator.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new() -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self(now.as_secs())
    }

    /// A number below `sides`.
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}
