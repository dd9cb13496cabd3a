//! A plan's steps while it is made.

use crate::actions::Action;
use crate::engine::{Risk, Step};

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
}
