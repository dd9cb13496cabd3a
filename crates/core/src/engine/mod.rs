//! Plans and the one loop over them. Knows nothing of the platform: everything
//! here is generic over [`Act`], and its laws are tested on a toy implementation.
//!
//! - [`plan`]: the value that everything is a question about;
//! - [`act`]: what a step must be able to answer;
//! - [`run`]: the loop, in the modes check (a dry run) and apply;
//! - [`pace`]: how fast the lanes of many like machines are begun;
//! - [`journal`]: the record of a run;
//! - [`confirm`]: the only way from a plan to permission to apply it;
//! - [`lint`]: what must hold of any plan;
//! - [`render`]: plans and outcomes as text, JSON, CSV and remarkup.

pub mod act;
pub mod confirm;
pub mod journal;
pub mod lint;
pub mod pace;
pub mod plan;
pub mod render;
pub mod run;
#[cfg(test)]
mod toy;

pub use act::{Act, Cx, Event, Failure, Observer, State};
pub use confirm::{Approved, Ask, Declined, Question};
pub use journal::Journal;
pub use pace::Pace;
pub use plan::{Gap, Plan, Risk, Step, Wave};
pub use run::{Outcome, Outcomes, StepOutcome, apply, check};
