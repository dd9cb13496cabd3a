//! Real servers on this machine: HDFS, Hive metastore, `MariaDB`, Redis and sshd hosts,
//! for a demo, for practice, for tests. Loopback only.
//!
//! A [`Sandbox`] is a folder; its servers live on when whoever started them ends.
//! Tests find the one that `sandbox test` brought up with [`Sandbox::from_env`].

mod admins;
mod benches;
mod cache;
mod clients;
mod config;
mod error;
mod files;
pub mod hosts;
mod java;
mod measure;
pub mod packages;
pub mod process;
mod refinery;
mod sandbox;
mod seed;
mod servers;
mod soaks;
mod start;
mod state;
mod superset;
pub mod ui;
pub mod workspace;

pub use error::Error;
pub use measure::{BenchOptions, Measured, bench, soak};
pub use refinery::{Change, Refinery};
pub use sandbox::{HostStatus, Progress, Sandbox, ServerStatus, Service, Status, UpOptions};
pub use seed::SeedOptions;
pub use servers::mariadb::superset::Size;
pub use servers::{free_port, redis};
pub use soaks::SoakOptions;
pub use soaks::db_sync::{Figures, Kill, Victim};
