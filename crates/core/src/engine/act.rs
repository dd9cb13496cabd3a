//! What a step's action must be able to answer, and what it is given to answer with.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

/// What an action's object looks like now, compared with what the plan wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// As it was when the plan was made: applying is right.
    Pending,
    /// As the plan wants it: there is nothing to do.
    Done,
    /// The object is yet to be made by an earlier step; says what is missing.
    Waiting(String),
    /// Neither as it was nor as it should be: applying could do harm; says what differs.
    Drifted(String),
}

/// One primitive, resolved change of one system.
///
/// An implementation is a closed enum of verbs without choices left: no globs, no
/// "latest", no clock.
pub trait Act:
    Clone + fmt::Debug + Eq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The clients of the systems that the action reads and changes.
    type World: Sync;

    /// Compares the object with the plan. Read-only. Once done, the answer stays
    /// [`State::Done`] whatever the plan's later steps make of the object: a run that was
    /// killed asks every step again.
    fn observe(
        &self,
        world: &Self::World,
        cx: &Cx,
    ) -> impl Future<Output = Result<State, Failure>> + Send;

    /// Makes the change; called only when [`Act::observe`] has just said [`State::Pending`].
    /// Gives what only doing it could tell (counts, checksums), for the journal.
    fn apply(
        &self,
        world: &Self::World,
        cx: &Cx,
    ) -> impl Future<Output = Result<serde_json::Value, Failure>> + Send;

    /// The action in one line, for people: verb first, objects named.
    fn summary(&self) -> String;

    /// The objects that it changes, as unique names; no two steps of a plan share one.
    fn targets(&self) -> Vec<String>;

    /// For an action that destroys its source: the artefacts that must have been proven
    /// before, named as the [`Act::proves`] of an earlier step. `None`: destroys nothing.
    fn destroys(&self) -> Option<Vec<String>>;

    /// The artefacts that exist, complete and checked, once this action is done.
    fn proves(&self) -> Vec<String>;

    /// What is wrong with the action by itself, whatever the plan around it: a path
    /// outside the allowed roots, a system account.
    fn faults(&self) -> Vec<String>;
}

/// Why an action could not be observed or applied.
#[derive(Debug)]
pub struct Failure {
    source: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Failed,
    Drifted,
    Interrupted,
}

impl Failure {
    /// The system said no, or did not answer; `hint` says what to do.
    pub fn new(
        source: impl Into<Box<dyn Error + Send + Sync>>,
        hint: impl Into<Option<String>>,
    ) -> Self {
        Self {
            source: source.into(),
            hint: hint.into(),
            kind: Kind::Failed,
        }
    }

    /// The object turned out, in the middle of it, not to be what the plan was made for.
    pub fn drifted(why: impl Into<String>) -> Self {
        Self {
            source: why.into().into(),
            hint: None,
            kind: Kind::Drifted,
        }
    }

    /// The action stopped at a safe point because it was told to.
    pub fn interrupted() -> Self {
        Self {
            source: "stopped at a safe point".into(),
            hint: None,
            kind: Kind::Interrupted,
        }
    }

    /// Whether it is a drift rather than an error.
    pub fn is_drift(&self) -> bool {
        self.kind == Kind::Drifted
    }

    /// Whether it is a stop that was asked for.
    pub fn is_interrupted(&self) -> bool {
        self.kind == Kind::Interrupted
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The whole chain of causes, outermost first, a line each.
    pub fn chain(&self) -> Vec<String> {
        let mut lines = vec![self.source.to_string()];
        let mut next = self.source.source();
        while let Some(error) = next {
            lines.push(error.to_string());
            next = error.source();
        }
        lines
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

/// What happens during a run, as it happens.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A wave begins: its name, and how many steps it has.
    Wave {
        /// The wave's name.
        name: &'a str,
        /// Its number of steps.
        steps: usize,
    },
    /// A batch of a wave's paced lanes begins.
    Batch {
        /// Counted from one.
        number: usize,
        /// How many batches the wave has.
        of: usize,
        /// The lanes.
        lanes: &'a [&'a str],
    },
    /// A step is about to be observed.
    Started {
        /// The step's id.
        step: &'a str,
        /// Its action in one line.
        summary: &'a str,
    },
    /// A step got further.
    Progress {
        /// The step's id, or the place that is being looked at.
        step: &'a str,
        /// How much is done.
        done: u64,
        /// Of how much, where that is known.
        total: Option<u64>,
        /// What is counted: "paths", "bytes".
        unit: &'static str,
    },
    /// A step's change is made and proven; its outcome is not in the journal yet.
    Applied {
        /// The step's id.
        step: &'a str,
    },
    /// A step has ended, and the journal says so.
    Finished {
        /// The step's id.
        step: &'a str,
        /// How it ended.
        outcome: &'a crate::engine::Outcome,
    },
}

/// Whoever wants to see the [`Event`]s of a run: bars, log lines, tests.
pub trait Observer: Send + Sync {
    /// Takes one event; must not block for long.
    fn event(&self, event: &Event<'_>);
}

/// Nobody watches.
impl Observer for () {
    fn event(&self, _: &Event<'_>) {}
}

/// What an action is given beside the world: where to report to, and when to stop.
#[derive(Clone)]
pub struct Cx {
    observer: Arc<dyn Observer>,
    cancel: CancellationToken,
    step: Arc<str>,
}

impl Cx {
    /// A context whose events go to `observer` and which stops at `cancel`.
    pub fn new(observer: Arc<dyn Observer>, cancel: CancellationToken) -> Self {
        Self {
            observer,
            cancel,
            step: Arc::from(""),
        }
    }

    /// The same, for one step or place.
    #[must_use]
    pub fn for_step(&self, step: &str) -> Self {
        Self {
            step: Arc::from(step),
            ..self.clone()
        }
    }

    /// Says how far the step is.
    pub fn progress(&self, done: u64, total: Option<u64>, unit: &'static str) {
        self.emit(&Event::Progress {
            step: &self.step,
            done,
            total,
            unit,
        });
    }

    /// When this is cancelled, stop at the next safe point with [`Failure::interrupted`].
    pub fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.observer.event(event);
    }
}
