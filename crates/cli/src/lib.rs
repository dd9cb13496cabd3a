//! The command line that all of opsweek's tools share: flags, configuration, prompts, bars,
//! plan files, exit codes. A tool implements [`Tool`] and hands over to [`run()`].
//!
//! - [`mod@run`]: what a tool says about itself, and its whole life from arguments to exit code;
//! - [`args`]: the flags that every tool has;
//! - [`config`]: the one configuration file;
//! - [`exit`]: what the exit codes mean;
//! - [`error`]: the one error that reaches the operator.
//!
//! Only here is the environment read, is anything printed, and does the process end.

pub mod args;
pub mod config;
mod console;
pub mod error;
pub mod exit;
mod flow;
mod output;
mod plan_file;
pub mod run;
mod state;
mod watch;

pub use args::Common;
pub use config::Config;
pub use error::CliError;
pub use exit::Exit;
pub use run::{Several, Tool, World, run};

#[cfg(test)]
mod tests;
