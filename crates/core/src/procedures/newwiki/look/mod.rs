//! What the systems say: replicas, pageview tables, checkout. Reads only.

mod checkout;
mod hdfs;
mod replicas;
mod unexpected;

pub(super) use checkout::checkout;
pub(super) use hdfs::{allowlist, identity};
pub(super) use replicas::{identities, replicas};
pub(super) use unexpected::unexpected;

use crate::engine::{Failure, Gap};

/// The place that could not be looked at, why, and what to do about it.
pub(super) fn gap(place: &str, failure: &Failure) -> Gap {
    let mut why = failure.chain().join(": ");
    if let Some(hint) = failure.hint() {
        why = format!("{why} (hint: {hint})");
    }
    Gap {
        place: place.to_owned(),
        why,
        lane: None,
    }
}
