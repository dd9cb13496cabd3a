//! `superset-websocket` under load, beside the Node.js server that it replaces.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::error::Error;
use crate::measure::{BenchOptions, Measured, median};
use crate::sandbox::{Progress, Sandbox};
use crate::soaks::SoakOptions;
use crate::{files, workspace};

/// How long the soak runs, in seconds, and how many sockets stay beside those that come
/// and go.
const SOAK: [(&str, &str); 2] = [("SOAK_SECONDS", "600"), ("SOAK_IDLE_SOCKETS", "30000")];

/// How often each server is measured when both are, in turn.
const ROUNDS: usize = 3;

/// A run of the driver.
struct Run {
    arguments: &'static [&'static str],
    phases: &'static [Kind],
}

/// What is measured in a run.
struct Kind {
    /// As a user would say it.
    name: &'static str,
    phase: fn(&Report) -> Option<&Phase>,
    /// Whether the server's memory is told with it.
    memory: bool,
    /// What the Node.js server took, by the names of [`figures`], for a bench without it; measured
    /// with 5,000 sockets on two cores of another quiet machine. The first is the CPU time that it
    /// takes for a delivery, in seconds.
    theirs_s: f64,
    theirs: &'static [(&'static str, f64)],
}

const RUNS: [Run; 3] = [
    Run {
        arguments: &["--seconds", "20", "--blast", "50000"],
        phases: &[
            Kind {
                name: "CPU a delivery, 1,000 events/s to 5,000 sockets",
                phase: |report| Some(&report.steady),
                memory: true,
                theirs_s: 154e-6,
                theirs: &[
                    ("p50_ms", 0.35),
                    ("p99_ms", 48.0),
                    ("rss_idle_mb", 67.0),
                    ("rss_per_socket_bytes", 9000.0),
                ],
            },
            Kind {
                name: "CPU a delivery, 50,000 events at once",
                phase: |report| report.blast.as_ref(),
                memory: false,
                theirs_s: 25e-6,
                theirs: &[("deliveries_per_second", 38_000.0)],
            },
        ],
    },
    Run {
        arguments: &["--per-channel", "20", "--seconds", "10", "--blast", "0"],
        phases: &[Kind {
            name: "CPU a delivery, 20 sockets a channel",
            phase: |report| Some(&report.steady),
            memory: false,
            theirs_s: 29e-6,
            theirs: &[],
        }],
    },
    // Redis keeps every event twice: at the usual rate that would be gigabytes.
    Run {
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
        phases: &[Kind {
            name: "CPU a delivery, events of 16 KiB",
            phase: |report| Some(&report.steady),
            memory: false,
            theirs_s: 350e-6,
            theirs: &[],
        }],
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
/// of 10^6 bytes. Brings its own Redis and servers. With the Node.js server the figures are medians
/// of several rounds of both, else of one of ours.
pub(crate) fn bench(
    _: &Sandbox,
    options: &BenchOptions,
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
    let node = options.against.as_deref();
    let rounds = if node.is_some() { ROUNDS } else { 1 };
    for run in &RUNS {
        let name = run.phases.first().map_or("", |kind| kind.name);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 1..=rounds {
            progress(&format!("{name}: round {round} of {rounds}"));
            ours.push(load(name, run.arguments, None)?);
            if node.is_some() {
                theirs.push(load(name, run.arguments, node)?);
            }
        }
        for kind in run.phases {
            results.push(measured(kind, &ours, &theirs)?);
        }
    }
    Ok(())
}

fn load(name: &str, arguments: &[&str], node: Option<&Path>) -> Result<Report, Error> {
    let driver = workspace::target()?.join("release/examples/load");
    let mut command = Command::new(driver);
    command.args(arguments);
    if let Some(node) = node {
        command.arg("--node").arg(node);
    }
    let output = files::run(&mut command, name)?;
    serde_json::from_str(&output).map_err(|error| failed(name, &error.to_string()))
}

/// The medians of both sides; without reports of the other one, what is known of it.
fn measured(kind: &Kind, ours: &[Report], theirs: &[Report]) -> Result<Measured, Error> {
    let our_cpu = cpu(kind, ours)?;
    let (their_cpu, their_figures) = if theirs.is_empty() {
        let known = kind.theirs.iter();
        let known = known.map(|&(name, figure)| (name, figure)).collect();
        (kind.theirs_s, known)
    } else {
        (cpu(kind, theirs)?, figures(kind, theirs))
    };
    let our_figures = figures(kind, ours).into_iter();
    let all = our_figures.map(|(name, figure)| (name.to_owned(), figure));
    let their_figures = their_figures.into_iter();
    let all = all.chain(their_figures.map(|(name, figure)| (format!("theirs_{name}"), figure)));
    Ok(Measured {
        figures: all.collect(),
        ..Measured::new(kind.name, our_cpu, their_cpu)
    })
}

/// Seconds of CPU a delivery. Nothing may be missing.
fn cpu(kind: &Kind, reports: &[Report]) -> Result<f64, Error> {
    for phase in reports.iter().filter_map(kind.phase) {
        if phase.deliveries < phase.expected {
            let lost = phase.expected - phase.deliveries;
            return Err(failed(kind.name, &format!("{lost} deliveries are missing")));
        }
    }
    let micros = median_of(kind, reports, |_, phase| phase.cpu_micros_per_delivery);
    Ok(micros / 1e6)
}

fn median_of(kind: &Kind, reports: &[Report], figure: fn(&Report, &Phase) -> f64) -> f64 {
    let phases = reports
        .iter()
        .filter_map(|report| Some((report, (kind.phase)(report)?)));
    median(
        phases
            .map(|(report, phase)| figure(report, phase))
            .collect(),
    )
}

/// What else was measured, by name.
fn figures(kind: &Kind, reports: &[Report]) -> Vec<(&'static str, f64)> {
    type Figure = (&'static str, fn(&Report, &Phase) -> f64);
    const OF_PHASES: [Figure; 3] = [
        ("deliveries_per_second", |_, phase| {
            phase.deliveries_per_second
        }),
        ("p50_ms", |_, phase| phase.p50_ms),
        ("p99_ms", |_, phase| phase.p99_ms),
    ];
    const OF_MEMORY: [Figure; 4] = [
        ("rss_idle_mb", |report, _| megabytes(report.rss_idle_kib)),
        ("rss_connected_mb", |report, _| {
            megabytes(report.rss_connected_kib)
        }),
        ("rss_peak_mb", |report, _| megabytes(report.rss_peak_kib)),
        ("rss_per_socket_bytes", |report, _| {
            report.rss_per_socket_bytes
        }),
    ];
    let memory = if kind.memory { &OF_MEMORY[..] } else { &[] };
    let all = OF_PHASES.iter().chain(memory);
    all.map(|&(name, figure)| (name, median_of(kind, reports, figure)))
        .collect()
}

fn megabytes(kib: f64) -> f64 {
    kib * 1024.0 / 1e6
}

fn failed(name: &str, said: &str) -> Error {
    Error::Failed {
        program: name.to_owned(),
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
