//! The tools against what the platform's pages tell operators to type.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::error::{Context, Error};
use crate::measure::Measured;
use crate::sandbox::{Progress, Sandbox};
use crate::seed::SeedOptions;
use crate::workspace;

/// Rounds of which the medians are told; each side goes once a round.
const ROUNDS: usize = 3;
/// Files in the home that is archived.
const FILES: usize = 20_000;
const ARCHIVE: &str = "/wmf/data/archive/user";

/// `archive_20k`: an HDFS home of 20,000 files. Ours looks, plans, records every path with its
/// ACL, moves, changes owner, group and mode, drops ACLs and looks again; theirs is the page's
/// `hdfs dfs -mv` and `hdfs dfs -chown -R`.
pub(crate) fn offboard(sandbox: &Sandbox, progress: Progress<'_>) -> Result<Vec<Measured>, Error> {
    progress("building offboard, optimised");
    let program = workspace::release("offboard")?;
    let config = sandbox.dir().join("bench.toml");
    let text = files_only(&sandbox.config_path())?;
    std::fs::write(&config, text).context("write", &config)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        progress(&format!("round {round} of {ROUNDS}"));
        let user = format!("elvisbench{round}");
        let plan = sandbox.dir().join(format!("{user}.json"));
        let options = SeedOptions {
            files: FILES,
            ..SeedOptions::default()
        };
        sandbox.seed(&user, &options)?;
        let offboard = || {
            let mut command = Command::new(&program);
            command.env("OPSWEEK_CONFIG", &config);
            command
        };
        let start = Instant::now();
        let mut look = offboard();
        look.args([&user, "--archive", "--save-plan"]).arg(&plan);
        // Exit 3: there is something to do.
        finish(look, 3)?;
        let mut run = offboard();
        run.arg("--plan").arg(&plan).arg("--yes");
        finish(run, 0)?;
        ours.push(start.elapsed().as_secs_f64());

        let by_hand = format!("presleybench{round}");
        sandbox.seed(&by_hand, &options)?;
        let home = format!("/user/{by_hand}");
        let archive = format!("{ARCHIVE}/{by_hand}");
        let start = Instant::now();
        finish(
            sandbox.hdfs_command(None, &["dfs", "-mv", &home, ARCHIVE])?,
            0,
        )?;
        let owner = "hdfs:analytics-privatedata-users";
        finish(
            sandbox.hdfs_command(None, &["dfs", "-chown", "-R", owner, &archive])?,
            0,
        )?;
        theirs.push(start.elapsed().as_secs_f64());
    }
    Ok(vec![Measured::new(
        "archive_20k",
        median(ours),
        median(theirs),
    )])
}

/// The configuration's parts that a home in HDFS needs.
fn files_only(config: &std::path::Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(config).context("read", config)?;
    let mut keep = true;
    let lines = text.lines().filter(|line| {
        if line.starts_with('[') {
            keep = !matches!(*line, "[fleet]" | "[metastore]");
        }
        keep
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn finish(mut command: Command, expected: i32) -> Result<(), Error> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Run {
            program: command.get_program().display().to_string(),
            source,
        })?;
    if output.status.code() == Some(expected) {
        return Ok(());
    }
    Err(Error::Failed {
        program: format!("{} ({})", command.get_program().display(), output.status),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_metastore_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let text =
            "state_dir = \"s\"\n[hdfs]\nuser = \"hdfs\"\n[fleet]\nhosts = []\n[offboard]\na = 1";
        std::fs::write(&path, text).unwrap();
        let kept = files_only(&path).unwrap();
        assert_eq!(
            kept,
            "state_dir = \"s\"\n[hdfs]\nuser = \"hdfs\"\n[offboard]\na = 1"
        );
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }
}
