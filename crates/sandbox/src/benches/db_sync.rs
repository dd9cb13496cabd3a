//! `db-sync` beside what the platform's page says to do by hand, and beside mydumper.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::error::{Context, Error};
use crate::measure::{BenchOptions, Measured, median};
use crate::sandbox::{Progress, Sandbox};
use crate::servers::mariadb::Server;
use crate::servers::mariadb::superset::{PRODUCTION, STAGING, Size, key_file};
use crate::{files, packages, workspace};

/// How often each is done, in turn.
const ROUNDS: usize = 3;
/// How much production has, about.
const SIZE: Size = Size(1_000_000_000);
/// Where the others copy to: what they make is no staging that could be used.
const BY_HAND: &str = "superset_by_hand";
/// The profile that copies the rows of every table, as the others do.
const EVERYTHING: &str = "everything";
/// The shipped one.
const USUAL: &str = "prod-to-staging";

/// Copies of a production of 1 GB on one server, whole runs of the tool: look, plan, copy,
/// rewrite, check, cut-over.
/// - `full_vs_documented`: all rows of all tables; theirs is mysqldump to a file and loading it.
/// - `full_vs_myloader`: the same; theirs is mydumper and myloader with 4 threads.
/// - `profile_vs_documented`: what the shipped profile takes along, beside all.
pub(crate) fn bench(
    sandbox: &Sandbox,
    _: &BenchOptions,
    results: &mut Vec<Measured>,
    progress: Progress<'_>,
) -> Result<(), Error> {
    packages::ensure_mydumper(progress)?;
    progress("building db-sync");
    workspace::build(&["--release", "--bin", "db-sync"])?;
    progress("generating 1 GB");
    sandbox.seed_superset(SIZE)?;
    let bench = Bench {
        sandbox,
        config: sandbox.dir().join("bench.toml"),
        dump: sandbox.dir().join("bench-dump"),
    };
    bench.write_config()?;
    let mut times = [const { Vec::new() }; 4];
    for round in 1..=ROUNDS {
        progress(&format!("round {round} of {ROUNDS}"));
        times[0].push(bench.ours(EVERYTHING)?);
        times[1].push(bench.documented()?);
        times[2].push(bench.myloader()?);
        times[3].push(bench.ours(USUAL)?);
    }
    bench.clean()?;
    let [full, documented, myloader, profile] = times.map(median);
    results.extend([
        Measured::new("full_vs_documented", full, documented),
        Measured::new("full_vs_myloader", full, myloader),
        Measured::new("profile_vs_documented", profile, documented),
    ]);
    Ok(())
}

struct Bench<'a> {
    sandbox: &'a Sandbox,
    config: PathBuf,
    /// A folder for the other side's dumps.
    dump: PathBuf,
}

impl Bench<'_> {
    /// The sandbox's configuration with a profile more.
    fn write_config(&self) -> Result<(), Error> {
        let dir = self.sandbox.dir();
        let usual = self.sandbox.config_path();
        let text = fs::read_to_string(&usual).context("read", &usual)?;
        let metadata = Server::Metadata.name();
        let profile = format!(
            "\n[db-sync.profiles.{EVERYTHING}]\n\
             source = {{ server = \"{metadata}\", database = \"{PRODUCTION}\" }}\n\
             target = {{ server = \"{metadata}\", database = \"{STAGING}\" }}\n\
             source_key_file = \"{}\"\n\
             target_key_file = \"{}\"\n\
             schema_only = []\n",
            // A sandbox's folder has nothing in its name that TOML would escape.
            key_file(dir, PRODUCTION).display(),
            key_file(dir, STAGING).display(),
        );
        files::write(&self.config, 0o600, &(text + &profile))
    }

    /// Removes what the one before has left, and lets nothing of it be written any more.
    fn clean(&self) -> Result<(), Error> {
        files::remove(&self.dump)?;
        let statements = format!(
            "SET SESSION sql_log_bin = 0, foreign_key_checks = 0; \
             DROP DATABASE IF EXISTS {STAGING}_new; \
             DROP DATABASE IF EXISTS {STAGING}_previous; \
             DROP DATABASE IF EXISTS {BY_HAND}; RESET MASTER"
        );
        self.sandbox.mariadb(Server::Metadata.name(), &statements)?;
        files::run(&mut Command::new("sync"), "sync").map(drop)
    }

    /// Seconds of a whole run.
    fn ours(&self, profile: &str) -> Result<f64, Error> {
        self.clean()?;
        let mut command = Command::new(workspace::program("db-sync")?);
        command
            .args([profile, "--yes"])
            .env("OPSWEEK_CONFIG", &self.config);
        let begun = Instant::now();
        files::run(&mut command, "db-sync")?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Seconds of what the page says: dump to a file, make the database, load.
    fn documented(&self) -> Result<f64, Error> {
        self.clean()?;
        let begun = Instant::now();
        files::folder(&self.dump)?;
        let file = self.dump.join("all.sql");
        let mut dump = Command::new("mariadb-dump");
        dump.args(["--no-defaults", "--user=root"])
            .arg(self.socket())
            .arg(PRODUCTION)
            .stdout(File::create(&file).context("create", &file)?);
        run(&mut dump)?;
        self.make()?;
        let mut load = self.sandbox.mariadb_command(Server::Metadata.name())?;
        load.arg(BY_HAND)
            .stdin(File::open(&file).context("read", &file)?);
        run(&mut load)?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Seconds of both programs.
    fn myloader(&self) -> Result<f64, Error> {
        self.clean()?;
        let begun = Instant::now();
        let mut dump = Command::new("mydumper");
        dump.args(["--user=root", "--threads=4", "--database", PRODUCTION])
            .arg(self.socket())
            .arg("--outputdir")
            .arg(&self.dump)
            .stdin(Stdio::null());
        run(&mut dump)?;
        self.make()?;
        let mut load = Command::new("myloader");
        load.args(["--user=root", "--threads=4", "--database", BY_HAND])
            .arg("--enable-binlog")
            .arg(self.socket())
            .arg("--directory")
            .arg(&self.dump)
            .stdin(Stdio::null());
        run(&mut load)?;
        Ok(begun.elapsed().as_secs_f64())
    }

    fn make(&self) -> Result<(), Error> {
        let statement =
            format!("CREATE DATABASE {BY_HAND} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci");
        let metadata = Server::Metadata.name();
        self.sandbox.mariadb(metadata, &statement).map(drop)
    }

    fn socket(&self) -> std::ffi::OsString {
        let mut option = std::ffi::OsString::from("--socket=");
        option.push(Server::Metadata.socket(self.sandbox.dir()));
        option
    }
}

/// Runs a program whose standard input and output are set.
fn run(command: &mut Command) -> Result<(), Error> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command
        .stderr(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .map_err(|source| Error::Run {
            program: program.clone(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        program,
        said: files::last_lines(&String::from_utf8_lossy(&output.stderr), 15),
    })
}
