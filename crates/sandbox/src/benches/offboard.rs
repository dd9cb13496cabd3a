//! `offboard` beside what the platform's page says to do by hand.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::error::{Context, Error};
use crate::measure::{Measured, median};
use crate::sandbox::{Progress, Sandbox};
use crate::seed::SeedOptions;
use crate::workspace;

/// How often each is done, in turn.
const ROUNDS: usize = 3;
/// Files in the home that is archived.
const FILES: usize = 20_000;
const ARCHIVE: &str = "/wmf/data/archive/user";
/// The step that changes owners: between these two lines on the standard error.
const BEGUN: &str = "START own-archive";
const ENDED: &str = "DONE own-archive";

/// On an HDFS home of 20,000 files:
/// - `archive_20k`: ours looks, plans, records every path with its ACL, moves, changes owner,
///   group and mode, drops ACLs and looks again; theirs is the page's `hdfs dfs -mv` and
///   `hdfs dfs -chown -R`.
/// - `chown_20k`: that one step of ours, and the page's `hdfs dfs -chown -R`.
pub(crate) fn bench(sandbox: &Sandbox, progress: Progress<'_>) -> Result<Vec<Measured>, Error> {
    progress("building offboard");
    workspace::build(&["--release", "--bin", "offboard"])?;
    let config = sandbox.dir().join("bench.toml");
    let whole = std::fs::read_to_string(sandbox.config_path())
        .context("read", sandbox.config_path().as_path())?;
    std::fs::write(&config, files_only(&whole)).context("write", &config)?;
    let mut times = [const { Vec::new() }; 4];
    for round in 1..=ROUNDS {
        progress(&format!("round {round} of {ROUNDS}"));
        let (archive, chown) = ours(sandbox, &config, &format!("elvisbench{round}"))?;
        times[0].push(archive);
        times[1].push(chown);
        let (archive, chown) = theirs(sandbox, &format!("elvisbyhand{round}"))?;
        times[2].push(archive);
        times[3].push(chown);
    }
    let [ours, our_chown, theirs, their_chown] = times.map(median);
    Ok(vec![
        Measured::new("archive_20k", ours, theirs),
        Measured::new("chown_20k", our_chown, their_chown),
    ])
}

fn seed(sandbox: &Sandbox, user: &str) -> Result<(), Error> {
    let options = SeedOptions {
        files: FILES,
        ..SeedOptions::default()
    };
    sandbox.seed(user, &options)
}

/// Seconds of all, and of the step that changes owners.
fn ours(sandbox: &Sandbox, config: &Path, user: &str) -> Result<(f64, f64), Error> {
    seed(sandbox, user)?;
    let program = workspace::program("offboard")?;
    let plan = sandbox.dir().join(format!("{user}.json"));
    let offboard = || {
        let mut command = Command::new(&program);
        command.env("OPSWEEK_CONFIG", config).stdin(Stdio::null());
        command
    };
    let begun = Instant::now();
    let mut look = offboard();
    look.args([user, "--archive", "--even-if-active", "--save-plan"])
        .arg(&plan);
    let planned = look.output().map_err(|source| unstarted(&look, source))?;
    // 3: there is something to do; 7: who is active was not to be had.
    if !matches!(planned.status.code(), Some(3 | 7)) {
        return Err(ended(&look, &String::from_utf8_lossy(&planned.stderr)));
    }
    let mut run = offboard();
    run.arg("--plan").arg(&plan).arg("--yes");
    let mut child = run
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| unstarted(&run, source))?;
    let (mut said, mut chown) = (String::new(), (None, None));
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if line.starts_with(BEGUN) {
                chown.0 = Some(Instant::now());
            } else if line.starts_with(ENDED) {
                chown.1 = chown.0.map(|begun| begun.elapsed());
            }
            said.push_str(&line);
            said.push('\n');
        }
    }
    let status = child.wait().map_err(|source| unstarted(&run, source))?;
    match (status.code(), chown.1) {
        (Some(0 | 3 | 7), Some(chown)) => Ok((begun.elapsed().as_secs_f64(), chown.as_secs_f64())),
        _ => Err(ended(&run, &said)),
    }
}

/// Seconds of both commands, and of the second.
fn theirs(sandbox: &Sandbox, user: &str) -> Result<(f64, f64), Error> {
    seed(sandbox, user)?;
    let timed = |arguments: &[&str]| {
        let begun = Instant::now();
        let output = sandbox.hdfs(None, arguments)?;
        if output.status.success() {
            return Ok(begun.elapsed().as_secs_f64());
        }
        Err(Error::Failed {
            program: format!("hdfs {}", arguments.join(" ")),
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    };
    let home = format!("/user/{user}");
    let archive = format!("{ARCHIVE}/{user}");
    let moved = timed(&["dfs", "-mv", &home, ARCHIVE])?;
    let owner = "hdfs:analytics-privatedata-users";
    let chown = timed(&["dfs", "-chown", "-R", owner, &archive])?;
    Ok((moved + chown, chown))
}

/// The configuration without hosts and metastore, which the commands do not look at either.
fn files_only(config: &str) -> String {
    let mut keep = true;
    let lines = config.lines().filter(|line| {
        if line.starts_with('[') {
            keep = !matches!(*line, "[fleet]" | "[metastore]");
        }
        keep
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn unstarted(command: &Command, source: std::io::Error) -> Error {
    Error::Run {
        program: command.get_program().display().to_string(),
        source,
    }
}

fn ended(command: &Command, said: &str) -> Error {
    Error::Failed {
        program: command.get_program().display().to_string(),
        said: said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_metastore_are_left_out() {
        let text = "state_dir = 1\n[hdfs]\nuser = 2\n[fleet]\nhosts = []\n[offboard]\na = 1";
        let kept = "state_dir = 1\n[hdfs]\nuser = 2\n[offboard]\na = 1";
        assert_eq!(files_only(text), kept);
    }
}
