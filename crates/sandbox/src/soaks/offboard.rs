//! Archive and restore, killed again and again.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::error::Error;
use crate::sandbox::{Progress, Sandbox};
use crate::seed::SeedOptions;
use crate::{files, workspace};

/// How often a run is killed in all.
const KILLS: usize = 20;
/// The longest that a run is left alone before it is killed at any moment.
const MOMENT: u64 = 4000;

/// A user is archived and restored; the runs are killed [`KILLS`] times on the way, at steps and
/// at any moment, and gone on with. Afterwards the world must be what it was.
pub(crate) fn archive_and_restore(sandbox: &Sandbox, progress: Progress<'_>) -> Result<(), Error> {
    let user = "elvissoak";
    workspace::build(&["--bin", "offboard"])?;
    let tool = Tool {
        program: workspace::target()?.join("debug/offboard"),
        sandbox,
        progress,
    };
    let options = SeedOptions {
        files: 300,
        ..SeedOptions::default()
    };
    sandbox.seed(user, &options)?;
    // Left-over processes do not come back.
    let before = sandbox.listing(user)?;
    let mut dice = Dice::new();
    let (mut kills, mut rounds) = (0, 0);
    while kills < KILLS {
        rounds += 1;
        for flags in [
            &[
                "--archive",
                "--new-owner",
                "analytics",
                "--relocate",
                "--stop-processes",
            ][..],
            &["--restore"],
        ] {
            kills += tool.killed(user, flags, KILLS - kills, &mut dice)?;
        }
        let after = sandbox.listing(user)?;
        if after != before {
            let folder = sandbox.dir().join("soak");
            files::folder(&folder)?;
            files::write(&folder.join("before"), 0o644, &before)?;
            files::write(&folder.join("after"), 0o644, &after)?;
            return Err(failed(format!(
                "the world is not what it was; compare before and after in {}",
                folder.display()
            )));
        }
        progress(&format!(
            "round {rounds}: the same world after {kills} kills"
        ));
    }
    Ok(())
}

fn failed(said: String) -> Error {
    Error::Failed {
        program: "soak offboard".to_owned(),
        said,
    }
}

struct Tool<'a> {
    program: PathBuf,
    sandbox: &'a Sandbox,
    progress: Progress<'a>,
}

impl Tool<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
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
    fn run(&self, arguments: &[&str], code: i32) -> Result<(), Error> {
        let output = self
            .command(arguments)
            .output()
            .map_err(|source| self.unrun(source))?;
        if output.status.code() == Some(code) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(failed(format!(
            "{arguments:?}: {}: {}",
            output.status,
            files::last_lines(&said, 15)
        )))
    }

    fn unrun(&self, source: std::io::Error) -> Error {
        Error::Run {
            program: self.program.display().to_string(),
            source,
        }
    }

    /// Plans, runs, kills at most `most` times, at half of the steps and as often at any moment,
    /// and goes on to the end; gives how often it was killed.
    fn killed(
        &self,
        user: &str,
        flags: &[&str],
        most: usize,
        dice: &mut Dice,
    ) -> Result<usize, Error> {
        let plan = self.sandbox.dir().join("soak-plan.json");
        let path = plan.to_string_lossy().into_owned();
        let mut arguments = vec![user];
        arguments.extend(flags);
        arguments.extend(["--save-plan", &path]);
        self.run(&arguments, 3)?;
        let steps = steps(&plan)?;
        let mut kills = 0;
        for step in &steps {
            if kills == most || dice.roll(2) == 0 {
                continue;
            }
            let moment = if dice.roll(2) == 0 {
                "applied"
            } else {
                "finished"
            };
            let mut command = self.command(&["--plan", &path, "--yes"]);
            command.env("OPSWEEK_CRASH", format!("{moment}:{step}"));
            let status = if dice.roll(3) == 0 {
                command.env_remove("OPSWEEK_CRASH");
                self.kill_after(command, dice.roll(MOMENT))?
            } else {
                let output = command.output().map_err(|source| self.unrun(source))?;
                output.status
            };
            match status.code() {
                None => {
                    kills += 1;
                    (self.progress)(&format!("kill {kills} of {}, {moment} {step}", flags[0]));
                }
                // It was too late for that moment, and the run came to its end.
                Some(0) => break,
                Some(code) => return Err(failed(format!("{flags:?} ended with {code} at {step}"))),
            }
        }
        self.run(&["--plan", &path, "--yes"], 0)?;
        Ok(kills)
    }

    fn kill_after(&self, mut command: Command, milliseconds: u64) -> Result<ExitStatus, Error> {
        let unrun = |source| self.unrun(source);
        let mut run = command.stderr(Stdio::null()).spawn().map_err(unrun)?;
        thread::sleep(Duration::from_millis(milliseconds));
        // It may have ended already.
        let _ = run.kill();
        run.wait().map_err(unrun)
    }
}

/// The ids of a saved plan's steps.
fn steps(plan: &Path) -> Result<Vec<String>, Error> {
    let text = std::fs::read_to_string(plan).map_err(|error| failed(error.to_string()))?;
    let file: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
    let steps = file["plan"]["steps"].as_array().into_iter().flatten();
    Ok(steps
        .filter_map(|step| step["id"].as_str().map(str::to_owned))
        .collect())
}

/// Which moments, differs from soak to soak. Knuth's MMIX generator.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self(now.as_secs())
    }

    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}
