//! Comparisons with other tools (`sandbox bench NAME`) and long runs (`sandbox soak
//! NAME`), which tests do not include.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::benches::{db_sync, newwiki, offboard, websocket};
use crate::error::Error;
use crate::sandbox::{Progress, Sandbox};
use crate::soaks::SoakOptions;

/// What a comparison is made with.
#[derive(Debug, Clone, PartialEq, Eq, Default, clap::Args)]
pub struct BenchOptions {
    /// websocket: the Node.js server, built, such as `superset-websocket/dist/index.js`, to be
    /// measured in turn; else its figures of another machine serve
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
}

/// One comparison's result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// What was done.
    pub name: String,
    /// How long we took, in seconds of wall time unless `name` says otherwise.
    pub ours_s: f64,
    /// How long the other tool took.
    pub theirs_s: f64,
    /// `theirs_s / ours_s`: above 1 we were quicker.
    pub ratio: f64,
    /// What else was measured, by names that end in their units, such as `rss_idle_mb`.
    #[serde(flatten)]
    pub figures: BTreeMap<String, f64>,
}

impl Measured {
    /// The result of doing `name` in `ours_s` and `theirs_s` seconds.
    pub fn new(name: impl Into<String>, ours_s: f64, theirs_s: f64) -> Self {
        Self {
            name: name.into(),
            ours_s,
            theirs_s,
            ratio: theirs_s / ours_s,
            figures: BTreeMap::new(),
        }
    }
}

/// The middle one of several times.
pub(crate) fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A long piece of work on a sandbox that is up.
struct Entry<F> {
    name: &'static str,
    run: F,
}

type Bench = fn(&Sandbox, &BenchOptions, &mut Vec<Measured>, Progress<'_>) -> Result<(), Error>;
type Soak = fn(&Sandbox, &SoakOptions, Progress<'_>) -> Result<(), Error>;

/// Every comparison; an entry gives one result or several.
const BENCHES: &[Entry<Bench>] = &[
    Entry {
        name: "db-sync",
        run: db_sync::bench,
    },
    Entry {
        name: "newwiki",
        run: newwiki::bench,
    },
    Entry {
        name: "offboard",
        run: offboard::bench,
    },
    Entry {
        name: "websocket",
        run: websocket::bench,
    },
];
/// Every long run; it fails with what went wrong.
const SOAKS: &[Entry<Soak>] = &[
    Entry {
        name: "db-sync",
        run: crate::soaks::db_sync::soak,
    },
    Entry {
        name: "offboard",
        run: crate::soaks::offboard::archive_and_restore,
    },
    Entry {
        name: "websocket",
        run: websocket::soak,
    },
];

/// Runs a comparison. What was measured before an error is in `results` all the same.
pub fn bench(
    sandbox: &Sandbox,
    name: &str,
    options: &BenchOptions,
    results: &mut Vec<Measured>,
    progress: Progress<'_>,
) -> Result<(), Error> {
    find(BENCHES, "benchmark", name)?(sandbox, options, results, progress)
}

/// Runs a long run.
pub fn soak(
    sandbox: &Sandbox,
    name: &str,
    options: &SoakOptions,
    progress: Progress<'_>,
) -> Result<(), Error> {
    find(SOAKS, "soak", name)?(sandbox, options, progress)
}

fn find<F: Copy>(entries: &[Entry<F>], kind: &'static str, name: &str) -> Result<F, Error> {
    let found = entries.iter().find(|entry| entry.name == name);
    found.map(|entry| entry.run).ok_or_else(|| {
        let known: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
        Error::Unknown {
            kind,
            name: name.to_owned(),
            known: known.join(", "),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        const ENTRIES: &[Entry<u8>] = &[
            Entry {
                name: "one",
                run: 1,
            },
            Entry {
                name: "two",
                run: 2,
            },
        ];
        assert_eq!(find(ENTRIES, "thing", "two").unwrap(), 2);
        let error = find(ENTRIES, "thing", "three").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown thing \"three\", known: one, two"
        );
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn quicker_is_above_one() {
        let mut measured = Measured::new("chown", 2.0, 3.0);
        assert!(measured.ratio > 1.0);
        measured.figures.insert("rss_idle_mb".to_owned(), 9.5);
        assert_eq!(
            serde_json::to_value(measured).unwrap(),
            serde_json::json!({"name": "chown", "ours_s": 2.0, "theirs_s": 3.0, "ratio": 1.5, "rss_idle_mb": 9.5})
        );
    }
}
