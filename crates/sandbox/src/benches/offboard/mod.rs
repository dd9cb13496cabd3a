//! `offboard` beside what the platform's page says to do by hand.

mod catalogue;
mod fleet;
mod report;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::error::{Context, Error};
use crate::measure::{BenchOptions, Measured, median};
use crate::sandbox::{Progress, Sandbox, Service};
use crate::seed::SeedOptions;
use crate::workspace;

/// How often each is done, in turn.
const ROUNDS: usize = 3;
/// Files in the home that is archived.
const FILES: usize = 20_000;
const ARCHIVE: &str = "/wmf/data/archive/user";
/// HDFS is not changed without a look at the metastore.
const ARCHIVE_FILES: [&str; 6] = [
    "--archive",
    "--relocate",
    "--new-owner",
    "analytics",
    "--places",
    "hdfs,hive",
];

/// On an HDFS home of 20,000 files:
/// - `archive_20k`: ours looks, plans, records every path with its ACL, moves, changes owner,
///   group and mode, drops ACLs and looks again; theirs is the page's `hdfs dfs -mv` and
///   `hdfs dfs -chown -R`.
/// - `own_20k`: of that ours changes owner, group and mode, drops ACLs and looks whether it is
///   so; theirs is `hdfs dfs -chown -R`, which changes owner and group.
///
/// On a table's folder of 20,000 files, `chown_20k`: both change the owner, nothing else.
///
/// The others are described where they are: [`catalogue`], [`fleet`], [`report`]. One whose
/// servers are not up is left out.
pub(crate) fn bench(
    sandbox: &Sandbox,
    _: &BenchOptions,
    results: &mut Vec<Measured>,
    progress: Progress<'_>,
) -> Result<(), Error> {
    progress("building offboard");
    workspace::build(&["--release", "--bin", "offboard"])?;
    let up = |service| sandbox.require(service).is_ok();
    if up(Service::Metastore) {
        results.extend(files(sandbox, progress)?);
        results.push(chown(sandbox, progress)?);
        results.push(catalogue::owner_scan(sandbox, progress)?);
        results.push(report::report_100k(sandbox, progress)?);
    }
    if up(Service::Hosts) {
        results.extend(fleet::fanout(sandbox, progress)?);
        results.push(fleet::stream_1g(sandbox, progress)?);
    }
    Ok(())
}

fn files(sandbox: &Sandbox, progress: Progress<'_>) -> Result<Vec<Measured>, Error> {
    let config = config(sandbox, "files", &["fleet"])?;
    let mut times = [const { Vec::new() }; 4];
    for round in 1..=ROUNDS {
        progress(&format!("20,000 files: round {round} of {ROUNDS}"));
        let (archive, chown) = ours(sandbox, &config, &format!("elvisbench{round}"))?;
        times[0].push(archive);
        times[1].push(chown);
        let (archive, chown) = theirs(sandbox, &format!("elvisbyhand{round}"))?;
        times[2].push(archive);
        times[3].push(chown);
    }
    let [ours, our_step, theirs, their_chown] = times.map(median);
    Ok(vec![
        Measured::new("archive_20k", ours, theirs),
        Measured::new("own_20k", our_step, their_chown),
    ])
}

/// The step that gives a table's files away, beside the page's way.
fn chown(sandbox: &Sandbox, progress: Progress<'_>) -> Result<Measured, Error> {
    let config = config(sandbox, "chown", &["fleet"])?;
    let folder = |user: &str| format!("/user/hive/warehouse/shared.db/{user}_daily");
    let many = |user: &str| {
        seed(sandbox, user)?;
        hdfs(
            sandbox,
            &["-mv", &format!("/user/{user}/many"), &folder(user)],
        )
    };
    let (mut by_us, mut by_hand) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        progress(&format!(
            "20,000 files of a table: round {round} of {ROUNDS}"
        ));
        let user = format!("elvistable{round}");
        many(&user)?;
        let step = format!("owner-files-shared.{user}_daily");
        by_us.push(ran(sandbox, &config, &user, &ARCHIVE_FILES, &step)?.1);
        let user = format!("elvistablebyhand{round}");
        many(&user)?;
        let chown = ["-chown", "-R", "analytics", &folder(&user)];
        by_hand.push(hdfs(sandbox, &chown)?);
    }
    Ok(Measured::new("chown_20k", median(by_us), median(by_hand)))
}

/// Seconds of `hdfs dfs`.
fn hdfs(sandbox: &Sandbox, arguments: &[&str]) -> Result<f64, Error> {
    let command = sandbox.hdfs_command(None, &[&["dfs"], arguments].concat())?;
    Ok(timed(&command, &[0])?.wall_s)
}

fn seed(sandbox: &Sandbox, user: &str) -> Result<(), Error> {
    let options = SeedOptions {
        files: FILES,
        hdfs_only: true,
        ..SeedOptions::default()
    };
    sandbox.seed(user, &options)
}

/// A leaver as every test has.
fn seed_few(sandbox: &Sandbox, user: &str) -> Result<(), Error> {
    sandbox.seed(user, &SeedOptions::default())
}

/// Seconds of all, and of the step that changes owners.
fn ours(sandbox: &Sandbox, config: &Path, user: &str) -> Result<(f64, f64), Error> {
    seed(sandbox, user)?;
    ran(sandbox, config, user, &ARCHIVE_FILES, "own-archive")
}

/// Plans and runs what the flags ask for; seconds of all, and of that step, by the lines on the
/// standard error.
fn ran(
    sandbox: &Sandbox,
    config: &Path,
    user: &str,
    flags: &[&str],
    step: &str,
) -> Result<(f64, f64), Error> {
    let (from, to) = (format!("START {step}"), format!("DONE {step}"));
    let plan = sandbox.dir().join(format!("{user}.json"));
    let begun = Instant::now();
    let mut look = offboard(config)?;
    look.args([user, "--even-if-active", "--stop-processes"])
        .args(flags)
        .arg("--save-plan")
        .arg(&plan);
    let planned = look.output().map_err(|source| unstarted(&look, source))?;
    // 3: there is something to do; 7: something was not to be had.
    if !matches!(planned.status.code(), Some(3 | 7)) {
        return Err(ended(&look, &String::from_utf8_lossy(&planned.stderr)));
    }
    let mut run = offboard(config)?;
    run.arg("--plan").arg(&plan).arg("--yes");
    let mut child = run
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| unstarted(&run, source))?;
    let (mut said, mut step) = (String::new(), (None, None));
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if line.starts_with(&from) {
                step.0 = Some(Instant::now());
            } else if line.starts_with(&to) {
                step.1 = step.0.map(|begun| begun.elapsed());
            }
            said.push_str(&line);
            said.push('\n');
        }
    }
    let status = child.wait().map_err(|source| unstarted(&run, source))?;
    match (status.code(), step.1) {
        (Some(0 | 3 | 7), Some(step)) => Ok((begun.elapsed().as_secs_f64(), step.as_secs_f64())),
        _ => Err(ended(&run, &said)),
    }
}

/// Seconds of both commands, and of the second.
fn theirs(sandbox: &Sandbox, user: &str) -> Result<(f64, f64), Error> {
    seed(sandbox, user)?;
    let home = format!("/user/{user}");
    let archive = format!("{ARCHIVE}/{user}");
    let moved = hdfs(sandbox, &["-mv", &home, ARCHIVE])?;
    let owner = "hdfs:analytics-privatedata-users";
    let chown = hdfs(sandbox, &["-chown", "-R", owner, &archive])?;
    Ok((moved + chown, chown))
}

/// `offboard` with that configuration, ready for its arguments.
fn offboard(config: &Path) -> Result<Command, Error> {
    let mut command = Command::new(workspace::program("offboard")?);
    command.env("OPSWEEK_CONFIG", config).stdin(Stdio::null());
    Ok(command)
}

/// Writes the sandbox's configuration without some sections and their subsections, which the
/// other side does not look at either.
fn config(sandbox: &Sandbox, name: &str, without: &[&str]) -> Result<PathBuf, Error> {
    let whole = sandbox.config_path();
    let text = std::fs::read_to_string(&whole).context("read", &whole)?;
    let config = sandbox.dir().join(format!("bench-{name}.toml"));
    std::fs::write(&config, left(&text, without)).context("write", &config)?;
    Ok(config)
}

fn left(config: &str, without: &[&str]) -> String {
    let mut keep = true;
    let lines = config.lines().filter(|line| {
        if let Some(section) = line.strip_prefix('[') {
            let name = section.split(['.', ']']).next().unwrap_or_default();
            keep = !without.contains(&name);
        }
        keep
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What a command took, the processes that it started included.
struct Cost {
    wall_s: f64,
    cpu_s: f64,
}

/// Runs the command, which may end with one of `codes`. bash counts the time, as it does for
/// whoever types the command; in a line of its own, since clush ends its bar with none.
fn timed(command: &Command, codes: &[i32]) -> Result<Cost, Error> {
    let mut shell = Command::new("bash");
    shell
        .args(["-c", "TIMEFORMAT=$'\\n%R %U %S'; time \"$@\"", "bash"])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let output = shell
        .output()
        .map_err(|source| unstarted(command, source))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let times: Vec<f64> = said
        .lines()
        .last()
        .unwrap_or_default()
        .split(' ')
        .filter_map(|field| field.parse().ok())
        .collect();
    match (output.status.code(), times.as_slice()) {
        (Some(code), &[wall_s, user, system]) if codes.contains(&code) => Ok(Cost {
            wall_s,
            cpu_s: user + system,
        }),
        _ => Err(ended(command, &said)),
    }
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
    fn sections_are_left_out() {
        let text = "state_dir = 1\n[hdfs]\nuser = 2\n[metastore.sql]\nserver = 3\n[fleet]\n\
                    hosts = []\n[offboard]\na = 1";
        let kept = "state_dir = 1\n[hdfs]\nuser = 2\n[offboard]\na = 1";
        assert_eq!(left(text, &["fleet", "metastore"]), kept);
    }
}
