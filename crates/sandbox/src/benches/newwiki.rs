//! `newwiki` beside what the platform's page says to do by hand.

use std::process::Stdio;
use std::time::Instant;

use crate::error::Error;
use crate::measure::{BenchOptions, Measured, median};
use crate::sandbox::{Progress, Sandbox};
use crate::workspace;

const WIKIS: usize = 30;
/// How often each is done, in turn; the median counts.
const ROUNDS: usize = 5;
/// Nothing to do, something to do, and a wiki that is not ready: all of them were asked.
const ASKED: [i32; 3] = [0, 3, 8];

/// `check_30`: are thirty wikis on both replicas? A whole run of the tool, name servers,
/// lists, files and TLS included, beside a loop of the `mariadb` client, two a wiki, on the
/// servers' sockets.
pub(crate) fn bench(
    sandbox: &Sandbox,
    _: &BenchOptions,
    results: &mut Vec<Measured>,
    progress: Progress<'_>,
) -> Result<(), Error> {
    progress("building newwiki");
    workspace::build(&["--release", "--bin", "newwiki"])?;
    let databases = sandbox.mariadb("cloud", r"SHOW DATABASES LIKE '%wik%\_p'")?;
    let wikis: Vec<&str> = databases
        .lines()
        .filter_map(|database| database.strip_suffix("_p"))
        .take(WIKIS)
        .collect();
    if wikis.len() < WIKIS {
        return Err(failed("the cloud replica", "has too few wikis"));
    }
    let (mut by_us, mut by_hand) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        progress(&format!("round {round} of {ROUNDS}"));
        let begun = Instant::now();
        ours(sandbox, &wikis)?;
        by_us.push(begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        for wiki in &wikis {
            theirs(sandbox, "prod-replica", wiki)?;
            theirs(sandbox, "cloud", &format!("{wiki}_p"))?;
        }
        by_hand.push(begun.elapsed().as_secs_f64());
    }
    results.push(Measured::new("check_30", median(by_us), median(by_hand)));
    Ok(())
}

fn ours(sandbox: &Sandbox, wikis: &[&str]) -> Result<(), Error> {
    let program = workspace::program("newwiki")?;
    let run = |source| Error::Run {
        program: program.display().to_string(),
        source,
    };
    let output = std::process::Command::new(&program)
        .args(wikis)
        .args(["--only", "sqoop", "--no-commit", "--dry-run"])
        .env("OPSWEEK_CONFIG", sandbox.config_path())
        .stdin(Stdio::null())
        .output()
        .map_err(run)?;
    let code = output.status.code().unwrap_or(-1);
    if ASKED.contains(&code) {
        return Ok(());
    }
    Err(failed("newwiki", &String::from_utf8_lossy(&output.stderr)))
}

fn theirs(sandbox: &Sandbox, server: &str, database: &str) -> Result<(), Error> {
    let mut command = sandbox.mariadb_command(server)?;
    let output = command
        .args(["--batch", "--execute", "SHOW TABLES", database])
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Run {
            program: "mariadb".to_owned(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed("mariadb", &String::from_utf8_lossy(&output.stderr)))
}

fn failed(program: &str, said: &str) -> Error {
    Error::Failed {
        program: program.to_owned(),
        said: said.to_owned(),
    }
}
