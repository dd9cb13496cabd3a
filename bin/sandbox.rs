//! The `sandbox` tool: real servers on this machine.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, ValueEnum};
use opsweek_sandbox::{self as lib, Error, Sandbox, SeedOptions, Size, UpOptions, ui};

/// Real HDFS, Hive metastore, `MariaDB` and sshd hosts on this machine, loopback only
#[derive(Parser)]
#[command(version, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Sub,
    /// The sandbox's folder [default: `OPSWEEK_SANDBOX`, else .sandbox; demo and test: a
    /// fresh one in cargo's target folder]
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Parser)]
enum Sub {
    /// Bring servers up; what runs already is left alone
    Up(UpOptions),
    /// Make a realistic leaver on the servers that are up; or, by the word `superset`,
    /// Superset's databases as they were; by `newwiki`, lists and databases of wikis
    Seed {
        #[arg(value_name = "USER|superset|newwiki")]
        what: String,
        #[command(flatten)]
        options: SeedOptions,
        /// superset: with about that much of generated rows, such as 1GB
        #[arg(long, value_name = "SIZE", default_value = "0")]
        scale: Size,
    },
    /// Run the real `hdfs dfs|dfsadmin|fsck`
    Hdfs {
        #[arg(long = "as", value_name = "USER", default_value = "hdfs")]
        user: String,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Run the real mariadb client on a server, as root
    Mariadb {
        /// metadata, target, prod-replica or cloud
        #[arg(long, value_name = "NAME", default_value = "metadata")]
        server: String,
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Review what was pushed to the refinery: merge what waits
    Merge,
    /// Read a copied database by a real Superset, installed from `PyPI` when first asked for
    Superset {
        #[command(subcommand)]
        what: Superset,
    },
    /// Ask the metastore's own tables
    MetastoreSql { query: String },
    /// Log in to a host, or run a command there, as the ops account
    Ssh {
        host: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Show servers, ports, processes and hosts
    Status {
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// End all servers and mounts; files stay
    Down,
    /// Offboard elvis on servers of its own, before your eyes
    Demo,
    /// Run every test of the workspace on servers of its own
    Test {
        /// Arguments for `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Compare with another tool
    Bench {
        name: String,
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Run something that takes long
    Soak { name: String },
}

#[derive(Parser)]
enum Superset {
    /// Make an engine of every connection, decrypt every secret, list the dashboards
    Check {
        /// `superset_production`, or a name that begins with `superset_staging`
        #[arg(default_value = "superset_staging")]
        database: String,
    },
}

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
        Sub::Bench { name, format } => {
            let results = lib::bench(&sandbox, &name, &progress)?;
            ui::measured(&results, format == Format::Json);
        }
        Sub::Soak { name } => lib::soak(&sandbox, &name, &progress)?,
    }
    Ok(0)
}

/// Gives this process to the command; comes back only when it cannot be started.
fn become_it(command: &mut Command) -> Result<u8, Error> {
    let source = command.exec();
    let program = command.get_program().display().to_string();
    Err(Error::Run { program, source })
}
