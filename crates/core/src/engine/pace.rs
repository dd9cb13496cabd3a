//! How the lanes of many like machines are begun: some at a time, and no more of them once
//! too many have failed. Operators know it from cumin's `--batch-size`, `--batch-sleep` and
//! `--success-percentage`.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::plan::{Plan, Step};
use super::run::Outcome;

/// A bound on how fast lanes are begun. A part of the plan: who reviews it sees it, and a run
/// that goes on keeps it. Of a wave's lanes the next batch begins when all of the one before
/// have ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// The lanes that it is about. Others are begun at once.
    pub lanes: BTreeSet<String>,
    /// How many of them run at once, 1 at least.
    pub batch: u32,
    /// The pause after a batch that had something to do, in seconds.
    pub sleep: u32,
    /// The percentage, 0 to 100, of the lanes begun so far, in this wave and before, that must
    /// be without a fault for another batch to begin.
    pub success: u8,
}

impl Pace {
    /// What is wrong with it by itself, or with the plan that it is a part of.
    pub(super) fn faults<A>(&self, plan: &Plan<A>) -> Vec<String> {
        let mut faults = Vec::new();
        if self.batch == 0 {
            faults.push("a batch of 0 lanes".to_owned());
        }
        if self.success > 100 {
            faults.push(format!("{}% of the lanes must succeed", self.success));
        }
        let known = |lane: &&String| plan.steps.iter().any(|step| step.lane == **lane);
        faults.extend(
            self.lanes
                .iter()
                .filter(|lane| !known(lane))
                .map(|lane| format!("{lane} is paced and has no step")),
        );
        faults
    }

    /// Why no further batch begins; `None`: it may. `ended`: how steps have ended so far.
    pub(super) fn halt<A>(
        &self,
        plan: &Plan<A>,
        ended: impl Fn(&Step<A>) -> Option<Outcome>,
    ) -> Option<String> {
        let mut begun: HashMap<&str, bool> = HashMap::new();
        for step in plan
            .steps
            .iter()
            .filter(|step| self.lanes.contains(&step.lane))
        {
            if let Some(outcome) = ended(step).filter(was_begun) {
                *begun.entry(&step.lane).or_insert(true) &= outcome.is_done();
            }
        }
        let good = begun.values().filter(|good| **good).count();
        let enough = good * 100 >= usize::from(self.success) * begun.len();
        (!enough).then(|| {
            format!(
                "not begun: {good} of {} before it succeeded, fewer than {}%",
                begun.len(),
                self.success
            )
        })
    }
}

/// Whether a step got as far as its object.
pub(super) fn was_begun(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Skipped(_))
}
