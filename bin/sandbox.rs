//! The `sandbox` tool: real servers on this machine.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};
use opsweek_sandbox::{Error, Sandbox, SeedOptions, Service, UpOptions, ui};

/// Real HDFS, Hive metastore, MariaDB and sshd hosts on this machine, loopback only.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Cmd,
}

#[derive(Args)]
struct Dir {
    /// The sandbox's folder
    #[arg(long = "dir", env = "OPSWEEK_SANDBOX", default_value = ".sandbox")]
    path: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Cmd {
    /// Bring servers up; what runs already is left alone
    Up {
        #[command(flatten)]
        dir: Dir,
        /// Which servers: hdfs, metastore, hosts, mariadb
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "hdfs,metastore,hosts,mariadb"
        )]
        with: Vec<Service>,
        /// How many hosts, 1 to 50
        #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=50))]
        hosts: u8,
        /// The DataNode in a JVM of its own
        #[arg(long)]
        split_datanode: bool,
        /// The metastore in a JVM of its own
        #[arg(long)]
        split_metastore: bool,
    },
    /// Make a realistic leaver on the servers that are up
    Seed {
        #[command(flatten)]
        dir: Dir,
        /// The leaver, such as elvis
        user: String,
        /// Further files in the HDFS home and in a host's home
        #[arg(long, default_value_t = 0)]
        files: usize,
        /// A mount point inside a host's home
        #[arg(long)]
        mount: bool,
        /// Still active: `ensure: present` in the admins' data file
        #[arg(long)]
        active: bool,
    },
    /// The real `hdfs dfs|dfsadmin|fsck`
    Hdfs {
        #[command(flatten)]
        dir: Dir,
        /// Who asks
        #[arg(long = "as", default_value = "hdfs")]
        user: String,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// The real mariadb client, as root
    Mariadb {
        #[command(flatten)]
        dir: Dir,
        /// Which server
        #[arg(long, default_value = "mariadb", value_parser = ["mariadb"])]
        server: String,
        /// The client's arguments
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Ask the metastore's own tables
    MetastoreSql {
        #[command(flatten)]
        dir: Dir,
        /// The query
        sql: String,
    },
    /// The real ssh client, as the ops account
    Ssh {
        #[command(flatten)]
        dir: Dir,
        /// Such as stat1008.eqiad.wmnet
        host: String,
        /// The command, as ssh takes it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// What runs
    Status {
        #[command(flatten)]
        dir: Dir,
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// End all servers and mounts; files stay
    Down {
        #[command(flatten)]
        dir: Dir,
    },
}

fn main() -> ExitCode {
    run(Cli::parse().command).unwrap_or_else(|error| {
        ui::error(&error);
        ExitCode::from(error.exit_code())
    })
}

fn run(command: Cmd) -> Result<ExitCode, Error> {
    let progress = ui::progress();
    match command {
        Cmd::Up {
            dir,
            with,
            hosts,
            split_datanode,
            split_metastore,
        } => {
            let sandbox = Sandbox::open(&dir.path)?;
            let hosts = hosts.into();
            sandbox.up(
                &UpOptions {
                    with,
                    hosts,
                    split_datanode,
                    split_metastore,
                },
                &progress,
            )?;
            ui::line(&format!(
                "export OPSWEEK_CONFIG={}",
                sandbox.config_path().display()
            ));
        }
        Cmd::Seed {
            dir,
            user,
            files,
            mount,
            active,
        } => {
            Sandbox::open(&dir.path)?.seed(
                &user,
                &SeedOptions {
                    files,
                    mount,
                    active,
                },
            )?;
        }
        Cmd::Hdfs { dir, user, args } => {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            return exec(&mut Sandbox::open(&dir.path)?.hdfs_command(Some(&user), &args)?);
        }
        Cmd::Mariadb {
            dir,
            server: _,
            args,
        } => {
            return exec(Sandbox::open(&dir.path)?.mariadb_command()?.args(args));
        }
        Cmd::MetastoreSql { dir, sql } => {
            return exec(&mut Sandbox::open(&dir.path)?.metastore_sql_command(&sql)?);
        }
        Cmd::Ssh { dir, host, command } => {
            return exec(Sandbox::open(&dir.path)?.ssh_command(&host)?.args(command));
        }
        Cmd::Status { dir, format } => {
            let status = Sandbox::open(&dir.path)?.status()?;
            ui::status(&status, matches!(format, Format::Json))?;
        }
        Cmd::Down { dir } => Sandbox::open(&dir.path)?.down(&progress)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Becomes that program; returns only when it cannot be started.
fn exec(command: &mut Command) -> Result<ExitCode, Error> {
    let source = command.exec();
    let program = command.get_program().display().to_string();
    Err(Error::Run { program, source })
}
