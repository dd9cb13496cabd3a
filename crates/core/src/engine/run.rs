//! The loop. For each step: journal `started`, observe, skip what is done, stop on drift,
//! apply what is pending, observe again, journal the outcome.

use std::collections::HashMap;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};

use super::act::{Act, Cx, Event, Failure, State};
use super::confirm::Approved;
use super::journal::{Journal, JournalError};
use super::pace::{Pace, was_begun};
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
        // A check changes nothing: it need not go slowly.
        let pace = plan.pace.as_ref().filter(|_| journal.is_some());
        let is_paced = |lane: &Lane<'_, A>| pace.is_some_and(|pace| pace.lanes.contains(lane.0));
        let (paced, free): (Vec<_>, Vec<_>) = lanes.into_iter().partition(is_paced);
        let run = Wave {
            plan,
            so_far: &ended,
            world,
            cx,
            journal,
        };
        let (free, paced) = futures::join!(run.at_once(free), async {
            match pace {
                Some(pace) => run.in_batches(pace, &paced).await,
                None => Ok(Vec::new()),
            }
        });
        if let Some(journal) = journal {
            journal.sync()?;
        }
        let now = free?.into_iter().chain(paced?);
        ended.extend(now.collect::<Vec<_>>());
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

/// A lane's name, and its steps of one wave.
type Lane<'p, A> = (&'p str, Vec<&'p Step<A>>);

/// Steps' ids with how they ended.
type Ended<'p> = Vec<(&'p str, Outcome)>;

/// What the lanes of one wave are run with.
struct Wave<'a, 'p, A: Act> {
    plan: &'p Plan<A>,
    so_far: &'a HashMap<&'p str, Outcome>,
    world: &'a A::World,
    cx: &'a Cx,
    journal: Option<&'a Journal>,
}

impl<'p, A: Act> Wave<'_, 'p, A> {
    async fn at_once(&self, lanes: Vec<Lane<'p, A>>) -> Result<Ended<'p>, JournalError> {
        let ended: Vec<Result<Ended<'p>, JournalError>> = stream::iter(lanes)
            .map(|(_, steps)| self.lane(steps))
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        // All have ended before one that could not be recorded ends the run.
        let ended: Result<Vec<Ended<'p>>, JournalError> = ended.into_iter().collect();
        Ok(ended?.into_iter().flatten().collect())
    }

    async fn in_batches(
        &self,
        pace: &Pace,
        lanes: &[Lane<'p, A>],
    ) -> Result<Ended<'p>, JournalError> {
        let size = usize::try_from(pace.batch.max(1)).unwrap_or(usize::MAX);
        let batches = lanes.chunks(size);
        let of = batches.len();
        let mut ended: Ended<'p> = Vec::new();
        let mut worked = false;
        for (index, batch) in batches.enumerate() {
            let halted = pace.halt(self.plan, |step| {
                let now = ended.iter().find(|(id, _)| *id == step.id);
                now.map(|(_, outcome)| outcome)
                    .or_else(|| self.so_far.get(step.id.as_str()))
                    .cloned()
            });
            if let Some(why) = halted {
                for step in batch.iter().flat_map(|(_, steps)| steps) {
                    let outcome = Outcome::Skipped(why.clone());
                    if let Some(journal) = self.journal {
                        journal.finished(&step.id, &outcome)?;
                    }
                    ended.push((&step.id, outcome));
                }
                continue;
            }
            if worked {
                tokio::select! {
                    () = self.cx.cancel().cancelled() => {}
                    () = tokio::time::sleep(Duration::from_secs(pace.sleep.into())) => {}
                }
            }
            let names: Vec<&str> = batch.iter().map(|(lane, _)| *lane).collect();
            self.cx.emit(&Event::Batch {
                number: index + 1,
                of,
                lanes: &names,
            });
            let now = self.at_once(batch.to_vec()).await?;
            // What a run that goes on finds done already costs nobody a pause.
            worked = now
                .iter()
                .any(|(_, outcome)| was_begun(outcome) && *outcome != Outcome::AlreadyDone);
            ended.extend(now);
        }
        Ok(ended)
    }

    /// Runs one lane's steps in order.
    async fn lane(&self, steps: Vec<&'p Step<A>>) -> Result<Ended<'p>, JournalError> {
        let mut ended: Ended<'p> = Vec::with_capacity(steps.len());
        for step in steps {
            let mut waits = false;
            let mut blocked = None;
            for earlier in self.plan.before(step) {
                let outcome = ended
                    .iter()
                    .find(|(id, _)| *id == earlier.id)
                    .map(|(_, outcome)| outcome)
                    .or_else(|| self.so_far.get(earlier.id.as_str()));
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
            } else if self.cx.cancel().is_cancelled() {
                Outcome::Skipped("stopped before it began".to_owned())
            } else {
                let cx = self.cx.for_step(&step.id);
                one(step, waits, self.world, &cx, self.journal).await?
            };
            ended.push((&step.id, outcome));
        }
        Ok(ended)
    }
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
