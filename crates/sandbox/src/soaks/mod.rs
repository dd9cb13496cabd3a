//! Long runs, each of a tool on a sandbox that is up.

pub(crate) mod db_sync;
pub(crate) mod offboard;
mod tool;
mod world;

/// How often a long run kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::Args)]
pub struct SoakOptions {
    /// offboard, db-sync: how often the tool is killed [default: 20, 50]
    #[arg(long, value_name = "COUNT")]
    pub kills: Option<usize>,
    /// db-sync: how often the database server is killed [default: 20]
    #[arg(long, value_name = "COUNT")]
    pub server_kills: Option<usize>,
}
