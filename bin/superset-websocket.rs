//! The `superset-websocket` server: arguments, signals, exit codes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use superset_websocket::config::{Config, Flags};
use superset_websocket::{ServerError, check, log, serve};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

// Events come and go by the hundred; the system's allocator spends a tenth of the CPU on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Pushes the results of Superset's asynchronous queries to browsers.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// What the Node.js server wants as its only argument; means nothing here.
    #[arg(value_enum, hide = true)]
    command: Option<Command>,
    /// The configuration file [default: ./config.json, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show the effective configuration and where each value comes from, check it and exit
    #[arg(long)]
    check_config: bool,
    /// The protocol: streams (Superset 1.2 to 6) or realtime (Superset 7)
    #[arg(long, value_parser = ["streams", "realtime"])]
    mode: Option<String>,
    /// How upgrades are refused: by an HTTP status, or by closing the connection without a byte
    #[arg(long, value_parser = ["status", "destroy"])]
    refusal: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Command {
    Start,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), ServerError> {
    // Other variables than UTF-8 ones can't be of use here.
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let flags = Flags {
        mode: arguments.mode,
        refusal: arguments.refusal,
    };
    let loaded = Config::load(arguments.config.as_deref(), &environment, &flags)?;
    if arguments.check_config {
        show(&loaded.rendered, &loaded.warnings);
    }
    let warnings = check(&loaded.config)?;
    if loaded.config.has_example_secret() {
        warn_of_example_secret();
    }
    if arguments.check_config {
        show("", &warnings);
        return Ok(());
    }
    let _log = log::start(&loaded.config.log).map_err(ServerError::Log)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    // One thread: the work is many small writes, and handing them between threads costs more than
    // a second core brings.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServerError::System)?;
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        stop_on_signals(stop.clone()).map_err(ServerError::System)?;
        // A task among tasks: the runtime asks the system for news before it goes on with the
        // future that it blocks on.
        let server = tokio::spawn(serve(loaded.config, stop));
        server
            .await
            .map_err(|error| ServerError::System(error.into()))?
    });
    // A lookup of a name can't be broken off; dropping the runtime would wait for it.
    runtime.shutdown_background();
    result
}

fn stop_on_signals(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is what --check-config is for"
)]
fn show(rendered: &str, warnings: &[String]) {
    print!("{rendered}");
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}

#[expect(clippy::print_stderr, reason = "there is no log yet")]
fn warn_of_example_secret() {
    eprintln!("WARNING: jwtSecret is the one of the example configuration, which everybody knows");
    eprintln!("WARNING: replace it here and in Superset's GLOBAL_ASYNC_QUERIES_JWT_SECRET");
}

#[expect(
    clippy::print_stderr,
    reason = "the last word of a server that can't start"
)]
fn report(error: &ServerError) {
    eprintln!("ERROR: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        eprintln!("caused by: {cause}");
        source = cause.source();
    }
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
}
