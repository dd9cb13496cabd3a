//! The `sandbox` tool: real servers on this machine.

#[path = "sandbox/args.rs"]
mod args;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use clap::Parser;
use opsweek_sandbox::{self as lib, Error, Sandbox, ui};

use args::{Cli, Format, Sub, Superset};

fn main() -> ExitCode {
    let Cli { command, dir } = Cli::parse();
    let code = run(command, dir.as_deref()).unwrap_or_else(|error| {
        ui::error(&error);
        error.exit_code()
    });
    ExitCode::from(code)
}

fn run(command: Sub, dir: Option<&Path>) -> Result<u8, Error> {
    let progress = ui::progress();
    let usual = || std::env::var_os("OPSWEEK_SANDBOX").unwrap_or(".sandbox".into());
    let sandbox = Sandbox::open(dir.map_or_else(|| usual().into(), Path::to_owned))?;
    match command {
        Sub::Up(options) => {
            sandbox.up(&options, &progress)?;
            let config = sandbox.config_path();
            ui::line(&format!("export OPSWEEK_CONFIG={}", config.display()));
        }
        Sub::Seed { what, scale, .. } if what == "superset" => sandbox.seed_superset(scale)?,
        Sub::Seed { what, .. } if what == "newwiki" => sandbox.seed_newwiki()?,
        Sub::Seed { what, options, .. } => sandbox.seed(&what, &options)?,
        Sub::Hdfs { user, command } => {
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            return become_it(&mut sandbox.hdfs_command(Some(&user), &command)?);
        }
        Sub::Mariadb { server, arguments } => {
            return become_it(sandbox.mariadb_command(&server)?.args(arguments));
        }
        Sub::Merge => {
            for change in sandbox.refinery().merge()? {
                ui::line(&format!("merged {} {}", change.number, change.subject));
            }
        }
        Sub::Superset {
            what: Superset::Check { database },
        } => return become_it(&mut sandbox.superset_check_command(&database, &progress)?),
        Sub::MetastoreSql { query } => {
            return become_it(&mut sandbox.metastore_sql_command(&query)?);
        }
        Sub::Ssh { host, command } => return become_it(sandbox.ssh_command(&host)?.args(command)),
        Sub::Status { format } => ui::status(&sandbox.status()?, format == Format::Json),
        Sub::Down => sandbox.down(&progress)?,
        Sub::Demo => return lib::workspace::demo(dir, &progress),
        Sub::Test { arguments } => return lib::workspace::test(dir, &arguments, &progress),
        Sub::Bench {
            name,
            options,
            format,
        } => {
            let mut results = Vec::new();
            let ended = lib::bench(&sandbox, &name, &options, &mut results, &progress);
            ui::measured(&results, format == Format::Json);
            ended?;
        }
        Sub::Soak { name, options } => lib::soak(&sandbox, &name, &options, &progress)?,
    }
    Ok(0)
}

/// Gives this process to the command; comes back only when it cannot be started.
fn become_it(command: &mut Command) -> Result<u8, Error> {
    let source = command.exec();
    let program = command.get_program().display().to_string();
    Err(Error::Run { program, source })
}
