//! The report of somebody who has much.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{ROUNDS, config, ended, offboard, unstarted};
use crate::error::Error;
use crate::measure::{Measured, median};
use crate::sandbox::{Progress, Sandbox};
use crate::seed::SeedOptions;

const FILES: usize = 100_000;
const TABLES: usize = 200;
/// What it may take, in seconds.
const GOAL_S: f64 = 2.0;

/// `report_100k`: the report of a user with 100,000 files and 200 tables, beside its goal. Its
/// peak of memory (`VmHWM` of `proc(5)`) is a figure of its own.
pub(super) fn report_100k(sandbox: &Sandbox, progress: Progress<'_>) -> Result<Measured, Error> {
    let user = "elvismany";
    progress("making 100,000 files and 200 tables");
    let options = SeedOptions {
        files: FILES,
        tables: TABLES,
        hdfs_only: true,
        ..SeedOptions::default()
    };
    sandbox.seed(user, &options)?;
    let config = config(sandbox, "report", &["fleet"])?;
    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        progress(&format!("the report: round {round} of {ROUNDS}"));
        let mut command = offboard(&config)?;
        command
            .args([user, "--places", "hdfs,hive"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let begun = Instant::now();
        let mut child = command
            .spawn()
            .map_err(|source| unstarted(&command, source))?;
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0.0_f64;
        let code = loop {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            peak = peak.max(peak_kib(&text).unwrap_or(0.0));
            let ended = child.try_wait();
            if let Some(code) = ended.map_err(|source| unstarted(&command, source))? {
                break code.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        times.push(begun.elapsed().as_secs_f64());
        peaks.push(peak);
        if code != Some(3) {
            return Err(ended(&command, &format!("it ended with {code:?}")));
        }
    }
    let mut measured = Measured::new("report_100k", median(times), GOAL_S);
    let peak = median(peaks) / 1024.0;
    measured.figures.insert("peak_rss_mib".to_owned(), peak);
    Ok(measured)
}

fn peak_kib(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
