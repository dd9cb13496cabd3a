//! `superset-websocket` under load, beside the Node.js server that it replaces.

use std::collections::BTreeMap;
use std::process::Command;

use serde::Deserialize;

use crate::error::Error;
use crate::measure::Measured;
use crate::sandbox::{Progress, Sandbox};
use crate::soaks::SoakOptions;
use crate::{files, workspace};

/// How long the soak runs, in seconds, and how many sockets stay beside those that come
/// and go.
const SOAK: [(&str, &str); 2] = [("SOAK_SECONDS", "600"), ("SOAK_IDLE_SOCKETS", "30000")];

/// A run of the driver.
struct Run {
    /// What is measured, as a user would say it.
    name: &'static str,
    arguments: &'static [&'static str],
    /// The CPU time that the Node.js server takes for a delivery, in seconds; measured
    /// with 5,000 sockets on two cores of a quiet machine, as are the other figures.
    theirs_s: f64,
    /// Other figures of it.
    theirs: &'static [(&'static str, f64)],
}

const STEADY: Run = Run {
    name: "CPU a delivery, 1,000 events/s to 5,000 sockets",
    arguments: &["--seconds", "20", "--blast", "50000"],
    theirs_s: 154e-6,
    theirs: &[
        ("theirs_p50_ms", 0.35),
        ("theirs_p99_ms", 48.0),
        ("theirs_rss_idle_mb", 67.0),
        ("theirs_rss_per_socket_bytes", 9000.0),
    ],
};

/// The second half of the driver's first run.
const BLAST: Run = Run {
    name: "CPU a delivery, 50,000 events at once",
    arguments: &[],
    theirs_s: 25e-6,
    theirs: &[("theirs_deliveries_per_second", 38_000.0)],
};

const FURTHER: [Run; 2] = [
    Run {
        name: "CPU a delivery, 20 sockets a channel",
        arguments: &["--per-channel", "20", "--seconds", "10", "--blast", "0"],
        theirs_s: 29e-6,
        theirs: &[],
    },
    // Redis keeps every event twice: at the usual rate that would be gigabytes.
    Run {
        name: "CPU a delivery, events of 16 KiB",
        arguments: &[
            "--padding",
            "16384",
            "--rate",
            "200",
            "--seconds",
            "10",
            "--blast",
            "0",
        ],
        theirs_s: 350e-6,
        theirs: &[],
    },
];

/// The driver's report.
#[derive(Deserialize)]
struct Report {
    rss_idle_kib: f64,
    rss_connected_kib: f64,
    rss_peak_kib: f64,
    rss_per_socket_bytes: f64,
    steady: Phase,
    blast: Option<Phase>,
}

/// What a number of events cost.
#[derive(Deserialize)]
struct Phase {
    expected: f64,
    deliveries: f64,
    deliveries_per_second: f64,
    cpu_micros_per_delivery: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Measures CPU time a delivery, latency and memory; both servers' memory in megabytes
/// of 10^6 bytes. Brings its own Redis and server.
pub(crate) fn bench(
    _: &Sandbox,
    results: &mut Vec<Measured>,
    progress: Progress<'_>,
) -> Result<(), Error> {
    progress("building the server and its driver");
    workspace::build(&[
        "--release",
        "--package",
        "superset-websocket",
        "--bin",
        "superset-websocket",
        "--example",
        "load",
    ])?;
    let first = load(&STEADY, progress)?;
    let memory = [
        ("rss_idle_mb", megabytes(first.rss_idle_kib)),
        ("rss_connected_mb", megabytes(first.rss_connected_kib)),
        ("rss_peak_mb", megabytes(first.rss_peak_kib)),
        ("rss_per_socket_bytes", first.rss_per_socket_bytes),
    ];
    results.push(measured(&STEADY, &first.steady, &memory)?);
    if let Some(blast) = &first.blast {
        results.push(measured(&BLAST, blast, &[])?);
    }
    for run in &FURTHER {
        results.push(measured(run, &load(run, progress)?.steady, &[])?);
    }
    Ok(())
}

fn megabytes(kib: f64) -> f64 {
    kib * 1024.0 / 1e6
}

fn load(run: &Run, progress: Progress<'_>) -> Result<Report, Error> {
    progress(run.name);
    let driver = workspace::target()?.join("release/examples/load");
    let output = files::run(Command::new(driver).args(run.arguments), run.name)?;
    serde_json::from_str(&output).map_err(|error| failed(run, &error.to_string()))
}

fn measured(run: &Run, phase: &Phase, more: &[(&str, f64)]) -> Result<Measured, Error> {
    if phase.deliveries < phase.expected {
        let lost = phase.expected - phase.deliveries;
        return Err(failed(run, &format!("{lost} deliveries are missing")));
    }
    let ours = [
        ("deliveries_per_second", phase.deliveries_per_second),
        ("p50_ms", phase.p50_ms),
        ("p99_ms", phase.p99_ms),
    ];
    let figures: BTreeMap<String, f64> = [&ours, more, run.theirs]
        .concat()
        .into_iter()
        .map(|(name, figure)| (name.to_owned(), figure))
        .collect();
    Ok(Measured {
        figures,
        ..Measured::new(run.name, phase.cpu_micros_per_delivery / 1e6, run.theirs_s)
    })
}

fn failed(run: &Run, said: &str) -> Error {
    Error::Failed {
        program: run.name.to_owned(),
        said: said.to_owned(),
    }
}

/// The half minute that every test run has, for ten minutes and with 30,000 sockets
/// more: Redis restarts, slow clients, reconnect storms; nothing is lost, nothing comes
/// twice, memory stays.
pub(crate) fn soak(_: &Sandbox, _: &SoakOptions, progress: Progress<'_>) -> Result<(), Error> {
    progress("building, then ten minutes of restarts and reconnects");
    workspace::cargo_run(
        &[
            "test",
            "--quiet",
            "--release",
            "--package",
            "superset-websocket",
            "--test",
            "main",
            "soak::",
        ],
        &SOAK,
    )
}
