//! What README's two commands do: every test, and the demonstration, on a sandbox
//! of their own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Context, Error};
use crate::sandbox::{Progress, Sandbox, Service, UpOptions};
use crate::seed::SeedOptions;
use crate::{files, packages, ui};

/// The checkout that this program was built from.
pub(crate) fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The cargo that called this program, or the one in PATH.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(checkout());
    cargo
}

/// Cargo's target folder: this program lies two folders below it.
pub(crate) fn target() -> Result<PathBuf, Error> {
    let program = std::env::current_exe().context("find", "this program")?;
    let folder = program.parent().and_then(Path::parent);
    Ok(folder.map_or_else(|| checkout().join("target"), Path::to_owned))
}

/// A program of the workspace that [`build`] has built with `--release`.
pub(crate) fn program(name: &str) -> Result<PathBuf, Error> {
    Ok(target()?.join("release").join(name))
}

/// A sandbox in a folder of cargo's target folder, emptied; what an earlier run left
/// there is taken down. Keep the lock as long as the sandbox is used.
fn fresh(name: &str, progress: Progress<'_>) -> Result<(Sandbox, File), Error> {
    let dir = target()?.join(name);
    let path = dir.with_extension("lock");
    let lock = File::create(&path).context("create", &path)?;
    if lock.try_lock().is_err() {
        progress("waiting for another one that runs in this checkout");
        lock.lock().context("lock", &path)?;
    }
    let sandbox = Sandbox::open(&dir)?;
    sandbox.down(progress)?;
    files::remove(sandbox.dir())?;
    Ok((sandbox, lock))
}

/// Runs a program with the sandbox's environment and our own terminal; gives its
/// exit code.
fn run(command: &mut Command, sandbox: &Sandbox) -> Result<u8, Error> {
    let status = command
        .env("OPSWEEK_SANDBOX", sandbox.dir())
        .env("OPSWEEK_CONFIG", sandbox.config_path())
        .status()
        .map_err(|source| Error::Run {
            program: command.get_program().display().to_string(),
            source,
        })?;
    // None: ended by a signal.
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}

/// How many tests a test program runs at once.
const THREADS: &str = "RUST_TEST_THREADS";

/// Runs every test of the workspace with all servers up, in `dir` or in a fresh
/// folder, and takes the servers down again. `arguments` go to `cargo test`. Gives
/// the exit code of the tests.
pub fn test(dir: Option<&Path>, arguments: &[String], progress: Progress<'_>) -> Result<u8, Error> {
    packages::ensure_build(progress)?;
    let (sandbox, _lock) = match dir {
        Some(dir) => (Sandbox::open(dir)?, None),
        None => fresh("sandbox-test", progress).map(|(sandbox, lock)| (sandbox, Some(lock)))?,
    };
    packages::browser(progress)?;
    let tests = sandbox.up(&UpOptions::default(), progress).and_then(|()| {
        progress("cargo test --workspace");
        let mut tests = cargo();
        tests
            .args(["test", "--workspace", "--no-fail-fast"])
            .args(arguments);
        // Tests wait for servers, and for each other where these are broken, most of the time.
        if std::env::var_os(THREADS).is_none() {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            tests.env(THREADS, (3 * cores).to_string());
        }
        run(&mut tests, &sandbox)
    });
    sandbox.down(progress)?;
    tests
}

/// Runs `cargo build`, its words on our own terminal.
pub(crate) fn build(arguments: &[&str]) -> Result<(), Error> {
    cargo_run(&[&["build", "--quiet"], arguments].concat(), &[])
}

/// Runs cargo with further environment, its words on our own terminal.
pub(crate) fn cargo_run(arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), Error> {
    let done = cargo()
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .status()
        .map_err(|source| Error::Run {
            program: "cargo".to_owned(),
            source,
        })?;
    if done.success() {
        return Ok(());
    }
    Err(Error::Failed {
        program: format!("cargo {} ({done})", arguments.join(" ")),
        said: String::new(),
    })
}

/// Offboards elvis before the reader's eyes: seeds, shows the plan, runs it, shows
/// before and after with the servers' own clients, takes all down.
pub fn demo(dir: Option<&Path>, progress: Progress<'_>) -> Result<u8, Error> {
    packages::ensure_build(progress)?;
    progress("building offboard");
    build(&["--bin", "offboard"])?;
    let (sandbox, _lock) = match dir {
        Some(dir) => (Sandbox::open(dir)?, None),
        None => fresh("sandbox-demo", progress).map(|(sandbox, lock)| (sandbox, Some(lock)))?,
    };
    let shown = show(&sandbox, progress);
    sandbox.down(progress)?;
    shown.map(|()| 0)
}

const USER: &str = "elvis";

fn show(sandbox: &Sandbox, progress: Progress<'_>) -> Result<(), Error> {
    let with = vec![Service::Hdfs, Service::Metastore, Service::Hosts];
    let options = UpOptions {
        with,
        ..UpOptions::default()
    };
    sandbox.up(&options, progress)?;
    progress("seeding elvis");
    let seed = SeedOptions {
        files: 200,
        ..SeedOptions::default()
    };
    sandbox.seed(USER, &seed)?;

    ui::heading("Before, as the servers' own clients see it");
    world(sandbox)?;
    ui::heading("What would be done");
    let plan = sandbox.dir().join("plan.json");
    let plan = plan.to_string_lossy();
    let what = [
        "--archive",
        "--new-owner",
        "analytics",
        "--relocate",
        "--stop-processes",
    ];
    let mut review = vec![USER];
    review.extend(what);
    review.extend(["--dry-run", "--save-plan", &plan]);
    offboard(sandbox, &review, 3)?;
    ui::heading("Doing it");
    offboard(sandbox, &["--plan", &plan, "--yes"], 0)?;
    ui::heading("After, as the servers' own clients see it");
    world(sandbox)?;
    ui::heading("What is left");
    offboard(sandbox, &[USER], 0)
}

/// Runs `offboard` and wants that exit code.
fn offboard(sandbox: &Sandbox, arguments: &[&str], expected: u8) -> Result<(), Error> {
    ui::line(&format!("$ offboard {}", arguments.join(" ")));
    let program = target()?.join("debug/offboard");
    let code = run(Command::new(&program).args(arguments), sandbox)?;
    if code == expected {
        return Ok(());
    }
    Err(Error::Failed {
        program: format!("offboard {}", arguments.join(" ")),
        said: format!("exit code {code}, expected {expected}"),
    })
}

/// What HDFS, the metastore and the hosts have of the user and in the archive. A
/// place that is not there is shown as such, so exit codes do not matter.
fn world(sandbox: &Sandbox) -> Result<(), Error> {
    let show = |line: &str, mut command: Command| {
        ui::line(&format!("$ {line}"));
        run(&mut command, sandbox).map(drop)
    };
    let home = format!("/user/{USER}");
    let archive = "/wmf/data/archive/user";
    for arguments in [
        vec!["dfs", "-ls", &home],
        vec!["dfs", "-count", "-v", archive],
        vec!["dfs", "-ls", archive],
    ] {
        let line = format!("hdfs {}", arguments.join(" "));
        show(&line, sandbox.hdfs_command(None, &arguments)?)?;
    }
    let sql = format!(
        "SELECT D.NAME, T.TBL_NAME, T.TBL_TYPE, T.OWNER, S.LOCATION \
         FROM TBLS T JOIN DBS D ON D.DB_ID = T.DB_ID JOIN SDS S ON S.SD_ID = T.SD_ID \
         WHERE T.OWNER = '{USER}' OR D.NAME IN ('{USER}', 'shared', 'azy') ORDER BY 1, 2"
    );
    show(&sql, sandbox.metastore_sql_command(&sql)?)?;
    let look =
        format!("ls -lad /home/{USER} /srv/home/{USER} /var/userarchive/{USER}* 2>/dev/null");
    for host in sandbox.hosts() {
        let mut ssh = sandbox.ssh_command(&host.name)?;
        ssh.arg(&look);
        show(&format!("ssh {} '{look}'", host.name), ssh)?;
    }
    Ok(())
}
