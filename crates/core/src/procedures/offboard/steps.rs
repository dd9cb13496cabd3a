//! A plan's steps while it is made.

use crate::actions::Action;
use crate::actions::guard::Guard;
use crate::engine::{Risk, Step};
use crate::procedures::Refusal;

/// The lane of everything in HDFS and the metastore: their steps need one another's order.
pub(super) const CLUSTER: &str = "cluster";

/// Steps in the order in which they were thought of.
#[derive(Default)]
pub(super) struct Steps(pub(super) Vec<Step<Action>>);

impl Steps {
    /// Adds a step to that wave and lane.
    pub(super) fn add(
        &mut self,
        (wave, lane): (usize, &str),
        risk: Risk,
        id: impl Into<String>,
        why: &str,
        action: impl Into<Action>,
    ) {
        self.0.push(Step {
            id: id.into(),
            lane: lane.to_owned(),
            wave,
            risk,
            why: why.to_owned(),
            action: action.into(),
        });
    }

    /// The steps that the guard would stop, when others before them are done.
    pub(super) fn refusals(&self, guard: &Guard) -> Vec<Refusal> {
        let mut all = Vec::new();
        for step in &self.0 {
            let Action::Hdfs(action) = &step.action else {
                continue;
            };
            let mut forbidden = action.paths().into_iter().map(|path| guard.hdfs(path));
            if let Some(Err(error)) = forbidden.find(Result::is_err) {
                all.push(Refusal::new(
                    format!("{}: {error}", step.id),
                    "add its folder to offboard.hdfs_roots, if that is meant",
                ));
            }
        }
        all
    }
}
