//! The loop. For each step: journal `started`, observe, skip what is done, stop on drift,
//! apply what is pending, observe again, journal the outcome.

use std::collections::HashMap;

use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};

use super::act::{Act, Cx, Event, Failure, State};
use super::confirm::Approved;
use super::journal::{Journal, JournalError};
use super::plan::{Plan, Risk, Step};

/// How a step ended, or would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Applied, and observed to be done; what only doing it could tell.
    Applied(serde_json::Value),
    /// There was nothing to do.
    AlreadyDone,
    /// Check only: it would be applied now.
    WouldApply,
    /// Check only: it would be applied once an earlier step has made what is named.
    WouldFollow(String),
    /// The object is not what the plan was made for.
    Drifted(String),
    /// An error, as its chain of causes, and what to do.
    Failed {
        /// Outermost first.
        causes: Vec<String>,
        /// The way out, where it is known.
        hint: Option<String>,
    },
    /// Not begun, and why.
    Skipped(String),
    /// Begun, and stopped at a safe point because that was asked for.
    Interrupted,
}

impl Outcome {
    /// Whether the step's object is now as the plan wants it.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Applied(_) | Self::AlreadyDone)
    }

    /// Whether a check found that it would be done.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::WouldApply | Self::WouldFollow(_))
    }

    fn of(failure: &Failure) -> Self {
        if failure.is_interrupted() {
            Self::Interrupted
        } else if failure.is_drift() {
            Self::Drifted(failure.to_string())
        } else {
            Self::Failed {
                causes: failure.chain(),
                hint: failure.hint().map(str::to_owned),
            }
        }
    }
}

/// A step's id with how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepOutcome {
    /// The step's id.
    pub step: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// How every step of a plan ended, in the plan's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcomes(pub Vec<StepOutcome>);

impl Outcomes {
    /// Whether every step's object is as the plan wants it.
    pub fn all_done(&self) -> bool {
        self.0.iter().all(|step| step.outcome.is_done())
    }

    /// Whether some step satisfies `test`.
    pub fn any(&self, test: impl Fn(&Outcome) -> bool) -> bool {
        self.0.iter().any(|step| test(&step.outcome))
    }
}

/// How many steps of a wave run at once.
const CONCURRENCY: usize = 32;

/// The loop without apply: a dry run before, a verification after.
pub async fn check<A: Act>(plan: &Plan<A>, world: &A::World, cx: &Cx) -> Outcomes {
    // Without a journal nothing can fail in the loop itself.
    drive(plan, world, cx, None)
        .await
        .unwrap_or(Outcomes(Vec::new()))
}

/// The loop. Fails only when the journal cannot be written: then nothing further is begun.
pub async fn apply<A: Act>(
    approved: &Approved<'_, A>,
    world: &A::World,
    journal: &Journal,
    cx: &Cx,
) -> Result<Outcomes, JournalError> {
    drive(approved.plan(), world, cx, Some(journal)).await
}

async fn drive<A: Act>(
    plan: &Plan<A>,
    world: &A::World,
    cx: &Cx,
    journal: Option<&Journal>,
) -> Result<Outcomes, JournalError> {
    let mut ended: HashMap<&str, Outcome> = HashMap::new();
    for (index, wave) in plan.waves.iter().enumerate() {
        let steps: Vec<&Step<A>> = plan.steps.iter().filter(|s| s.wave == index).collect();
        cx.emit(&Event::Wave {
            name: &wave.name,
            steps: steps.len(),
        });
        let mut lanes: Vec<(&str, Vec<&Step<A>>)> = Vec::new();
        for step in steps {
            match lanes.iter_mut().find(|(lane, _)| *lane == step.lane) {
                Some((_, steps)) => steps.push(step),
                None => lanes.push((&step.lane, vec![step])),
            }
        }
        let so_far = &ended;
        let results: Vec<Result<Vec<(&str, Outcome)>, JournalError>> = stream::iter(lanes)
            .map(|(_, steps)| lane(plan, steps, so_far, world, cx, journal))
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        if let Some(journal) = journal {
            journal.sync()?;
        }
        for result in results {
            ended.extend(result?);
        }
    }
    Ok(Outcomes(
        plan.steps
            .iter()
            .filter_map(|step| {
                Some(StepOutcome {
                    step: step.id.clone(),
                    outcome: ended.remove(step.id.as_str())?,
                })
            })
            .collect(),
    ))
}

/// Runs one lane's steps of one wave in order.
async fn lane<'p, A: Act>(
    plan: &'p Plan<A>,
    steps: Vec<&'p Step<A>>,
    so_far: &HashMap<&'p str, Outcome>,
    world: &A::World,
    cx: &Cx,
    journal: Option<&Journal>,
) -> Result<Vec<(&'p str, Outcome)>, JournalError> {
    let mut ended: Vec<(&str, Outcome)> = Vec::with_capacity(steps.len());
    for step in steps {
        let mut waits = false;
        let mut blocked = None;
        for earlier in plan.before(step) {
            let outcome = ended
                .iter()
                .find(|(id, _)| *id == earlier.id)
                .map(|(_, outcome)| outcome)
                .or_else(|| so_far.get(earlier.id.as_str()));
            match outcome {
                Some(outcome) if outcome.is_done() => {}
                Some(outcome) if outcome.is_pending() => waits = true,
                _ => {
                    blocked = Some(&earlier.id);
                    break;
                }
            }
        }
        let outcome = if let Some(earlier) = blocked {
            Outcome::Skipped(format!("needs {earlier}, which is not done"))
        } else if cx.cancel().is_cancelled() {
            Outcome::Skipped("stopped before it began".to_owned())
        } else {
            one(step, waits, world, &cx.for_step(&step.id), journal).await?
        };
        ended.push((&step.id, outcome));
    }
    Ok(ended)
}

/// Runs one step. `waits`: a step that it needs is only pending, which a check alone allows.
async fn one<A: Act>(
    step: &Step<A>,
    waits: bool,
    world: &A::World,
    cx: &Cx,
    journal: Option<&Journal>,
) -> Result<Outcome, JournalError> {
    let summary = step.action.summary();
    cx.emit(&Event::Started {
        step: &step.id,
        summary: &summary,
    });
    if let Some(journal) = journal {
        journal.started(&step.id, step.risk == Risk::Irreversible)?;
    }
    let outcome = match step.action.observe(world, cx).await {
        Err(failure) => Outcome::of(&failure),
        Ok(State::Done) => Outcome::AlreadyDone,
        Ok(State::Drifted(why)) => Outcome::Drifted(why),
        Ok(State::Waiting(what)) if waits => Outcome::WouldFollow(what),
        Ok(State::Waiting(what)) => Outcome::Drifted(format!("nothing made {what}")),
        Ok(State::Pending) if journal.is_none() => Outcome::WouldApply,
        Ok(State::Pending) => applied(step, world, cx).await,
    };
    if matches!(outcome, Outcome::Applied(_)) {
        cx.emit(&Event::Applied { step: &step.id });
    }
    if let Some(journal) = journal {
        journal.finished(&step.id, &outcome)?;
    }
    cx.emit(&Event::Finished {
        step: &step.id,
        outcome: &outcome,
    });
    Ok(outcome)
}

async fn applied<A: Act>(step: &Step<A>, world: &A::World, cx: &Cx) -> Outcome {
    let effect = match step.action.apply(world, cx).await {
        Ok(effect) => effect,
        Err(failure) => return Outcome::of(&failure),
    };
    match step.action.observe(world, cx).await {
        Ok(State::Done) => Outcome::Applied(effect),
        Ok(state) => Outcome::Failed {
            causes: vec![format!("applied, yet it is not done: {state:?}")],
            hint: Some("somebody else may be changing it; look, then run again".to_owned()),
        },
        Err(failure) => Outcome::of(&failure),
    }
}
