//! Archive and restore, killed again and again.

use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use super::SoakOptions;
use super::tool::{Dice, Tool};
use crate::error::Error;
use crate::sandbox::{Progress, Sandbox};
use crate::seed::SeedOptions;
use crate::{files, workspace};

/// How often a run is killed in all, unless told otherwise.
const KILLS: usize = 20;
/// The longest that a run is left alone before it is killed at any moment.
const MOMENT: u64 = 4000;

/// A user is archived and restored; the runs are killed [`KILLS`] times on the way, at steps and
/// at any moment, and gone on with. Afterwards the world must be what it was.
pub(crate) fn archive_and_restore(
    sandbox: &Sandbox,
    options: &SoakOptions,
    progress: Progress<'_>,
) -> Result<(), Error> {
    let user = "elvissoak";
    workspace::build(&["--bin", "offboard"])?;
    let soak = Soak {
        tool: Tool {
            soak: "soak offboard",
            program: workspace::target()?.join("debug/offboard"),
            sandbox,
        },
        progress,
    };
    let wanted = options.kills.unwrap_or(KILLS);
    let options = SeedOptions {
        files: 300,
        ..SeedOptions::default()
    };
    sandbox.seed(user, &options)?;
    // Left-over processes do not come back.
    let before = sandbox.listing(user)?;
    let mut dice = Dice::new();
    let (mut kills, mut rounds) = (0, 0);
    while kills < wanted {
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
            kills += soak.killed(user, flags, wanted - kills, &mut dice)?;
        }
        let after = sandbox.listing(user)?;
        if after != before {
            let folder = sandbox.dir().join("soak");
            files::folder(&folder)?;
            files::write(&folder.join("before"), 0o644, &before)?;
            files::write(&folder.join("after"), 0o644, &after)?;
            return Err(soak.tool.failed(format!(
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

/// Plans, runs and kills.
struct Soak<'a> {
    tool: Tool<'a>,
    progress: Progress<'a>,
}

impl Soak<'_> {
    /// Plans, runs, kills at most `most` times, at half of the steps and as often at any moment,
    /// and goes on to the end; gives how often it was killed.
    fn killed(
        &self,
        user: &str,
        flags: &[&str],
        most: usize,
        dice: &mut Dice,
    ) -> Result<usize, Error> {
        let tool = &self.tool;
        let plan = tool.sandbox.dir().join("soak-plan.json");
        let path = plan.to_string_lossy().into_owned();
        let mut arguments = vec![user];
        arguments.extend(flags);
        arguments.extend(["--save-plan", &path]);
        tool.run(&arguments, 3)?;
        let steps = tool.steps(&plan)?;
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
            let mut command = tool.command(&["--plan", &path, "--yes"]);
            command.env("OPSWEEK_CRASH", format!("{moment}:{step}"));
            let status = if dice.roll(3) == 0 {
                command.env_remove("OPSWEEK_CRASH");
                self.kill_after(command, dice.roll(MOMENT))?
            } else {
                let output = command.output().map_err(|source| tool.unrun(source))?;
                output.status
            };
            match status.code() {
                None => {
                    kills += 1;
                    (self.progress)(&format!("kill {kills} of {}, {moment} {step}", flags[0]));
                }
                // It was too late for that moment, and the run came to its end.
                Some(0) => break,
                Some(code) => {
                    return Err(tool.failed(format!("{flags:?} ended with {code} at {step}")));
                }
            }
        }
        tool.run(&["--plan", &path, "--yes"], 0)?;
        Ok(kills)
    }

    fn kill_after(&self, mut command: Command, milliseconds: u64) -> Result<ExitStatus, Error> {
        let unrun = |source| self.tool.unrun(source);
        let mut run = command.stderr(Stdio::null()).spawn().map_err(unrun)?;
        thread::sleep(Duration::from_millis(milliseconds));
        // It may have ended already.
        let _ = run.kill();
        run.wait().map_err(unrun)
    }
}
