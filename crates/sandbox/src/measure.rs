//! Comparisons with other tools (`sandbox bench NAME`) and long runs (`sandbox soak
//! NAME`), which tests do not include.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::benches::{db_sync, newwiki, offboard, websocket};
use crate::error::Error;
use crate::sandbox::{Progress, Sandbox};

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
struct Entry<T> {
    name: &'static str,
    run: fn(&Sandbox, Progress<'_>) -> Result<T, Error>,
}

/// Every comparison; an entry gives one result or several.
const BENCHES: &[Entry<Vec<Measured>>] = &[
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
const SOAKS: &[Entry<()>] = &[
    Entry {
        name: "offboard",
        run: crate::soaks::offboard::archive_and_restore,
    },
    Entry {
        name: "websocket",
        run: websocket::soak,
    },
];

/// Runs a comparison.
pub fn bench(
    sandbox: &Sandbox,
    name: &str,
    progress: Progress<'_>,
) -> Result<Vec<Measured>, Error> {
    run(BENCHES, "benchmark", sandbox, name, progress)
}

/// Runs a long run.
pub fn soak(sandbox: &Sandbox, name: &str, progress: Progress<'_>) -> Result<(), Error> {
    run(SOAKS, "soak", sandbox, name, progress)
}

fn run<T>(
    entries: &[Entry<T>],
    kind: &'static str,
    sandbox: &Sandbox,
    name: &str,
    progress: Progress<'_>,
) -> Result<T, Error> {
    let Some(entry) = entries.iter().find(|entry| entry.name == name) else {
        let mut known: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
        if known.is_empty() {
            known.push("none");
        }
        return Err(Error::Unknown {
            kind,
            name: name.to_owned(),
            known: known.join(", "),
        });
    };
    (entry.run)(sandbox, progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        const ENTRIES: &[Entry<u8>] = &[
            Entry {
                name: "one",
                run: |_, _| Ok(1),
            },
            Entry {
                name: "two",
                run: |_, _| Ok(2),
            },
        ];
        let sandbox = Sandbox::open("/nowhere").unwrap();
        assert_eq!(run(ENTRIES, "thing", &sandbox, "two", &|_| ()).unwrap(), 2);
        let error = run(ENTRIES, "thing", &sandbox, "three", &|_| ()).unwrap_err();
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
