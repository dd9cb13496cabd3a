//! What breaks while a run goes on: the exit code tells it, what stands is told truly, and
//! the same plan goes on from there once the fault is gone.

mod batches;
mod delete;
mod hosts;
mod hosts_refuse;
mod servers;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use crate::support::{Ran, offboard_with, run_paused, scratch};

/// Plans the user's archive; gives the plan's file.
fn planned(config: &Path, user: &str) -> String {
    archive_of(config, user).expect(3);
    scratch(&format!("{user}.json"))
        .to_str()
        .unwrap()
        .to_owned()
}

/// Plans the user's archive, and saves the plan if there is one.
fn archive_of(config: &Path, user: &str) -> Ran {
    let plan = scratch(&format!("{user}.json"));
    let archive = [user, "--archive", "--new-owner", "analytics", "--relocate"];
    let mut command = offboard_with(config);
    command
        .args(archive)
        .args(["--stop-processes", "--dry-run", "--save-plan"])
        .arg(plan);
    command.output().unwrap().into()
}

/// Runs the plan.
fn run(config: &Path, plan: &str) -> Ran {
    let mut command = offboard_with(config);
    command.args(["--plan", plan, "--yes"]);
    command.output().unwrap().into()
}

/// The beginning of a line, and what happens then to the run, or to what it needs.
type Fault<'a> = (&'a str, &'a dyn Fn(&Child));

/// Runs the plan; each of `faults` happens, in order, at the next line on its standard error
/// that begins as said, and the run goes on meanwhile.
fn run_until(config: &Path, plan: &str, faults: &[Fault<'_>]) -> Ran {
    let mut child = offboard_with(config)
        .args(["--plan", plan, "--yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut faults = faults.iter();
    let mut next = faults.next();
    let mut stderr = String::new();
    for said in BufReader::new(child.stderr.take().unwrap()).lines() {
        let said = said.unwrap();
        if let Some((line, fault)) = next
            && said.starts_with(line)
        {
            fault(&child);
            next = faults.next();
        }
        stderr.push_str(&said);
        stderr.push('\n');
    }
    assert!(
        next.is_none(),
        "no line {:?} in:\n{stderr}",
        next.map(|it| it.0)
    );
    let mut ran = Ran::from(child.wait_with_output().unwrap());
    ran.stderr = stderr;
    ran
}

/// Runs the plan and stops it at the moment, such as `started:STEP`; goes on after the fault.
#[track_caller]
fn run_with(config: &Path, plan: &str, moment: &str, fault: impl FnOnce(&Child)) -> Ran {
    let mut command = offboard_with(config);
    run_paused(command.args(["--plan", plan, "--yes"]), moment, fault)
}

/// The look finds nothing of the user any more.
#[track_caller]
fn clean(config: &Path, user: &str) {
    Ran::from(offboard_with(config).arg(user).output().unwrap()).expect(0);
}
