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
    let mut ended = Ended::new();
    let (mut all, mut gate) = (Needs::default(), Needs::default());
    let mut by_lane: HashMap<&str, Needs> = HashMap::new();
    for (index, wave) in plan.waves.iter().enumerate() {
        if wave.gate {
            gate = all;
        }
        let steps: Vec<(usize, &Step<A>)> = plan
            .steps
            .iter()
            .enumerate()
            .filter(|(_, step)| step.wave == index)
            .collect();
        cx.emit(&Event::Wave {
            name: &wave.name,
            steps: steps.len(),
        });
        // A check changes nothing: it need not go slowly.
        let pace = plan.pace.as_ref().filter(|_| journal.is_some());
        let is_paced = |lane: &Lane<'_, A>| pace.is_some_and(|pace| pace.lanes.contains(lane.name));
        let (paced, free): (Vec<_>, Vec<_>) = lanes(&steps, |lane| {
            gate.and(by_lane.get(lane).copied().unwrap_or_default())
        })
        .into_iter()
        .partition(is_paced);
        let run = Wave {
            plan,
            so_far: &ended,
            world,
            cx,
            journal,
        };
        let (free, paced) = futures::join!(run.at_once(free), async {
            match pace {
                Some(pace) => run.in_batches(pace, paced).await,
                None => Ok(Ended::new()),
            }
        });
        if let Some(journal) = journal {
            journal.sync()?;
        }
        ended.extend(free?);
        ended.extend(paced?);
        for (place, step) in steps {
            let outcome = ended.get(step.id.as_str());
            all.add(place, outcome);
            by_lane.entry(&step.lane).or_default().add(place, outcome);
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

/// Steps' ids with how they ended.
type Ended<'p> = HashMap<&'p str, Outcome>;

/// What the steps that must be done before another one ([`Plan::gate`]) say of it, summed up as
/// the run goes on: a lane can have ten thousand of them.
#[derive(Clone, Copy, Default)]
struct Needs {
    /// The first that is not done, by its place in the plan.
    blocked: Option<usize>,
    /// One is only pending, which a check alone allows.
    waits: bool,
}

impl Needs {
    fn add(&mut self, place: usize, outcome: Option<&Outcome>) {
        match outcome {
            Some(outcome) if outcome.is_done() => {}
            Some(outcome) if outcome.is_pending() => self.waits = true,
            _ => self.blocked = Some(self.blocked.map_or(place, |first| first.min(place))),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            blocked: self.blocked.into_iter().chain(other.blocked).min(),
            waits: self.waits || other.waits,
        }
    }
}

/// One lane's steps of one wave.
struct Lane<'p, A> {
    name: &'p str,
    /// What came before.
    needs: Needs,
    /// With their places in the plan.
    steps: Vec<(usize, &'p Step<A>)>,
}

/// The lanes of a wave's steps, as they come in the plan.
fn lanes<'p, A>(steps: &[(usize, &'p Step<A>)], needs: impl Fn(&str) -> Needs) -> Vec<Lane<'p, A>> {
    let mut lanes: Vec<Lane<'p, A>> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for &(place, step) in steps {
        let name = step.lane.as_str();
        let index = *known.entry(name).or_insert_with(|| {
            lanes.push(Lane {
                name,
                needs: needs(name),
                steps: Vec::new(),
            });
            lanes.len() - 1
        });
        lanes[index].steps.push((place, step));
    }
    lanes
}

/// What the lanes of one wave are run with.
struct Wave<'a, 'p, A: Act> {
    plan: &'p Plan<A>,
    so_far: &'a Ended<'p>,
    world: &'a A::World,
    cx: &'a Cx,
    journal: Option<&'a Journal>,
}

impl<'p, A: Act> Wave<'_, 'p, A> {
    async fn at_once(
        &self,
        lanes: impl IntoIterator<Item = Lane<'p, A>>,
    ) -> Result<Ended<'p>, JournalError> {
        let ended: Vec<Result<Ended<'p>, JournalError>> = stream::iter(lanes)
            .map(|lane| self.lane(lane))
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
        lanes: Vec<Lane<'p, A>>,
    ) -> Result<Ended<'p>, JournalError> {
        let size = usize::try_from(pace.batch.max(1)).unwrap_or(usize::MAX);
        let of = lanes.len().div_ceil(size);
        let mut lanes = lanes.into_iter();
        let mut ended = Ended::new();
        let mut worked = false;
        for number in 1..=of {
            let batch: Vec<Lane<'p, A>> = lanes.by_ref().take(size).collect();
            let halted = pace.halt(self.plan, |step| {
                let id = step.id.as_str();
                ended.get(id).or_else(|| self.so_far.get(id)).cloned()
            });
            if let Some(why) = halted {
                for (_, step) in batch.iter().flat_map(|lane| &lane.steps) {
                    let outcome = Outcome::Skipped(why.clone());
                    if let Some(journal) = self.journal {
                        journal.finished(&step.id, &outcome)?;
                    }
                    ended.insert(&step.id, outcome);
                }
                continue;
            }
            if worked {
                tokio::select! {
                    () = self.cx.cancel().cancelled() => {}
                    () = tokio::time::sleep(Duration::from_secs(pace.sleep.into())) => {}
                }
            }
            let names: Vec<&str> = batch.iter().map(|lane| lane.name).collect();
            self.cx.emit(&Event::Batch {
                number,
                of,
                lanes: &names,
            });
            let now = self.at_once(batch).await?;
            // What a run that goes on finds done already costs nobody a pause.
            worked = now
                .values()
                .any(|outcome| was_begun(outcome) && *outcome != Outcome::AlreadyDone);
            ended.extend(now);
        }
        Ok(ended)
    }

    /// Runs one lane's steps in order.
    async fn lane(&self, lane: Lane<'p, A>) -> Result<Ended<'p>, JournalError> {
        let mut needs = lane.needs;
        let mut ended = Ended::with_capacity(lane.steps.len());
        for (place, step) in lane.steps {
            let blocked = needs.blocked.and_then(|first| self.plan.steps.get(first));
            let outcome = if let Some(earlier) = blocked {
                Outcome::Skipped(format!("needs {}, which is not done", earlier.id))
            } else if self.cx.cancel().is_cancelled() {
                Outcome::Skipped("stopped before it began".to_owned())
            } else {
                let cx = self.cx.for_step(&step.id);
                one(step, needs.waits, self.world, &cx, self.journal).await?
            };
            needs.add(place, Some(&outcome));
            ended.insert(&step.id, outcome);
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
