//! What `sandbox` can be asked for.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use opsweek_sandbox::{BenchOptions, SeedOptions, Size, SoakOptions, UpOptions};

/// Real HDFS, Hive metastore, `MariaDB`, Redis and sshd hosts on this machine, loopback only
#[derive(Parser)]
#[command(version, args_override_self = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Sub,
    /// The sandbox's folder [default: `OPSWEEK_SANDBOX`, else .sandbox; demo and test: a
    /// fresh one in cargo's target folder]
    #[arg(long, global = true)]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Parser)]
pub(crate) enum Sub {
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
    /// Run the real `hdfs crypto|dfs|dfsadmin|fsck`
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
        #[command(flatten)]
        options: BenchOptions,
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Run something that takes long
    Soak {
        name: String,
        #[command(flatten)]
        options: SoakOptions,
    },
}

#[derive(Parser)]
pub(crate) enum Superset {
    /// Make an engine of every connection, decrypt every secret, list the dashboards
    Check {
        /// `superset_production`, or a name that begins with `superset_staging`
        #[arg(default_value = "superset_staging")]
        database: String,
    },
}
