//! What is seen of a run while it goes on: bars on a terminal, lines elsewhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use opsweek_core::engine::render::{bytes, clean, state};
use opsweek_core::engine::{Event, Observer, Outcome};
use opsweek_core::fold::fold;
use rustix::process::{Signal, getpid, kill_process};

use crate::console::Terminal;

/// A line about the progress of one step at most this often.
const QUIET: Duration = Duration::from_secs(10);

/// More bars than this don't fit on a terminal; steps beyond are only counted.
const BARS: usize = 12;

/// The one observer. `steps`: whether steps are run, so that their beginning and end is
/// news; else only progress is shown, of a look or a check.
pub(crate) struct Watch {
    terminal: Arc<dyn Terminal>,
    steps: bool,
    /// The event at which the process kills or stops itself: see [`Watch::crash`].
    crash: Option<String>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    whole: Option<ProgressBar>,
    bars: HashMap<String, ProgressBar>,
    said: HashMap<String, Instant>,
}

impl Watch {
    /// For a look or a check.
    pub(crate) fn looking(terminal: Arc<dyn Terminal>) -> Self {
        Self {
            terminal,
            steps: false,
            crash: None,
            seen: Mutex::default(),
        }
    }

    /// For a run.
    pub(crate) fn running(terminal: Arc<dyn Terminal>, crash: Option<String>) -> Self {
        Self {
            steps: true,
            crash,
            ..Self::looking(terminal)
        }
    }

    /// Takes the bars away.
    pub(crate) fn clear(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for bar in seen.whole.take().iter().chain(seen.bars.values()) {
            bar.finish_and_clear();
        }
        seen.bars.clear();
    }

    fn line(&self, verb: &str, text: &str) {
        self.terminal.err(&format!("{verb} {}\n", clean(text)));
    }

    /// The law of crashes says that a run killed at any moment can be gone on with. Only
    /// the process itself can hit the moments before and after a journal line: the
    /// end-to-end tests name one by `OPSWEEK_CRASH=applied:STEP` (or `started`, `finished`),
    /// which debug builds alone read. `pause:started:STEP` stops the process there until it is
    /// told to continue, so that what the step needs can be taken away at just that moment.
    fn crash(&self, event: &str, step: &str) {
        let Some(at) = self.crash.as_deref() else {
            return;
        };
        let (signal, at) = match at.strip_prefix("pause:") {
            Some(at) => (Signal::STOP, at),
            None => (Signal::KILL, at),
        };
        let here = at.strip_prefix(event).and_then(|at| at.strip_prefix(':'));
        if here == Some(step) {
            let _ = kill_process(getpid(), signal);
        }
    }

    fn wave(&self, name: &str, steps: usize) {
        let Some(multi) = self.terminal.bars() else {
            return;
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = seen.whole.take() {
            bar.finish_and_clear();
        }
        if steps > 0 {
            let bar = multi.insert(0, ProgressBar::new(steps as u64));
            bar.set_style(style("{prefix} {pos}/{len} [{bar:30}] {elapsed}"));
            bar.set_prefix(clean(name));
            seen.whole = Some(bar);
        }
    }

    fn progress(&self, step: &str, done: u64, total: Option<u64>, unit: &'static str) {
        let amount = amount(done, total, unit);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(multi) = self.terminal.bars() else {
            let now = Instant::now();
            let said = seen.said.entry(step.to_owned()).or_insert(now);
            if now.duration_since(*said) >= QUIET {
                *said = now;
                drop(seen);
                self.line("...", &format!("{step}: {amount}"));
            }
            return;
        };
        if !seen.bars.contains_key(step) && seen.bars.len() < BARS {
            let bar = ProgressBar::no_length()
                .with_style(style("  {prefix}: {msg}"))
                .with_prefix(clean(step));
            // Added before it has anything to say, it would be drawn empty.
            bar.set_message(amount.clone());
            let bar = multi.add(bar);
            seen.bars.insert(step.to_owned(), bar);
        }
        if let Some(bar) = seen.bars.get(step) {
            bar.set_message(amount);
        }
    }

    fn finished(&self, step: &str, outcome: &Outcome) {
        let bar = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.said.remove(step);
            if let Some(whole) = &seen.whole {
                whole.inc(1);
            }
            seen.bars.remove(step)
        };
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        if !self.steps {
            return;
        }
        if !outcome.is_done() {
            let why = state(outcome);
            let why = why.strip_prefix("failed: ").unwrap_or(&why);
            self.line("FAILED", &format!("{step}: {why}"));
        } else if self.terminal.bars().is_none() {
            self.line("DONE", step);
        }
    }
}

impl Observer for Watch {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Wave { name, steps } => self.wave(name, *steps),
            Event::Batch { number, of, lanes } => {
                let lanes = fold(lanes.iter().copied());
                self.line("BATCH", &format!("{number} of {of}: {lanes}"));
            }
            Event::Started { step, summary } => {
                if self.steps && self.terminal.bars().is_none() {
                    self.line("START", &format!("{step}: {summary}"));
                }
                self.crash("started", step);
            }
            Event::Progress {
                step,
                done,
                total,
                unit,
            } => self.progress(step, *done, *total, unit),
            Event::Applied { step } => self.crash("applied", step),
            Event::Finished { step, outcome } => {
                self.finished(step, outcome);
                self.crash("finished", step);
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants; a bar in the default style would still count right.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn amount(done: u64, total: Option<u64>, unit: &str) -> String {
    let count = |n: u64| match unit {
        "bytes" => bytes(n),
        _ => n.to_string(),
    };
    let unit = if unit == "bytes" { "" } else { unit };
    let of = total.map_or_else(String::new, |total| format!(" of {}", count(total)));
    format!("{}{of} {unit}", count(done)).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_their_unit() {
        assert_eq!(amount(3, None, "paths"), "3 paths");
        assert_eq!(amount(3, Some(12), "paths"), "3 of 12 paths");
        assert_eq!(
            amount(1 << 20, Some(1 << 30), "bytes"),
            "1.0 MiB of 1.0 GiB"
        );
    }
}
