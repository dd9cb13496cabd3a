//! The procedures: what is looked at, what is left over, and what would be done about it.
//!
//! Each is a [`Procedure`]: a request that was found sound, `discover` (reads only),
//! `report` and `plan` (pure: no I/O, no clock). The command line that drives them is the
//! same for all.

pub mod db_sync;
mod lock;
pub mod newwiki;
pub mod offboard;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use serde::Serialize;

use crate::engine::render::{Document, Table};
use crate::engine::{Act, Cx, Failure, Gap, Plan};

/// A safety rule's no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What is refused, about which object, and why.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl Refusal {
    /// Of both.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: hint.into(),
        }
    }
}

/// What a look found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// For people.
    pub document: Document,
    /// Whether something is there that should not be.
    pub leftovers: bool,
    /// What could not be looked at.
    pub gaps: Vec<Gap>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unplanned {
    /// Safety rules forbid it: all that do.
    Refused(Vec<Refusal>),
    /// The world is not what was thought: how, and what to do.
    Drifted(Vec<Refusal>),
    /// Too little was seen to plan on.
    Incomplete(Vec<Gap>),
    /// A choice is missing that somebody must make.
    Needs {
        /// The flag that makes it: "--new-owner".
        flag: &'static str,
        /// The question.
        question: String,
        /// The answer to offer.
        default: String,
    },
}

/// What could be added to what was asked for, now that it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The question: which of them are wanted?
    pub question: String,
    /// What is given to [`Procedure::pick`], and what is shown of it.
    pub choices: Vec<(String, String)>,
}

/// What a plan's head says that is not in the inventory.
#[derive(Clone, Debug)]
pub struct Heading {
    /// The tool's version.
    pub version: String,
    /// Now, in seconds since the epoch.
    pub now: i64,
    /// The task in the tracker.
    pub task: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// The identities of the systems of the world by name, and those that could not be had.
pub type Identities = (BTreeMap<String, String>, Vec<Gap>);

/// One procedure about one subject.
pub trait Procedure: Send + Sync {
    /// The actions of its plans.
    type Action: Act;
    /// What its look finds, everything that planning needs, "now" included.
    type Inventory: Serialize + Send + Sync;

    /// The tool's name: "offboard".
    fn tool(&self) -> &'static str;

    /// What it is about: a user, a wiki, a profile.
    fn subject(&self) -> &str;

    /// Whether more than a look was asked for.
    fn wants_change(&self) -> bool;

    /// A digest of the safety configuration that is in force.
    fn safety(&self) -> String;

    /// How old a plan may be when it is run, in seconds.
    fn max_age(&self) -> i64;

    /// Takes the answer to [`Unplanned::Needs`].
    fn answer(&mut self, flag: &'static str, value: String) -> Result<(), Refusal>;

    /// What somebody at a terminal is asked to pick from, once the report was shown.
    fn offer(&self, inventory: &Self::Inventory) -> Option<Offer> {
        let _ = inventory;
        None
    }

    /// Takes what was picked of [`Procedure::offer`]; from now on it was asked for.
    fn pick(&mut self, picked: Vec<String>) -> Result<(), Refusal> {
        let _ = picked;
        Ok(())
    }

    /// Looks. Fails only when nothing at all can be said; what could not be looked at is
    /// part of the inventory.
    fn discover(
        &self,
        world: &<Self::Action as Act>::World,
        cx: &Cx,
    ) -> impl Future<Output = Result<Self::Inventory, Failure>> + Send;

    /// Looks for all of them, each with its answer in the same place. A procedure that can
    /// share a part of the look does.
    fn discover_all(
        all: &[Self],
        world: &<Self::Action as Act>::World,
        cx: &Cx,
    ) -> impl Future<Output = Vec<Result<Self::Inventory, Failure>>> + Send
    where
        Self: Sized,
    {
        async move {
            let mut found = Vec::with_capacity(all.len());
            for one in all {
                found.push(one.discover(world, cx).await);
            }
            found
        }
    }

    /// What looks about several subjects found, for people: a line each.
    fn overview(all: &[(&Self, &Self::Inventory)]) -> Document
    where
        Self: Sized,
    {
        let row = |(one, found): &(&Self, &Self::Inventory)| {
            vec![one.subject().to_owned(), one.report(found).document.title]
        };
        Document {
            tables: vec![Table {
                title: String::new(),
                columns: vec!["subject", "found"],
                rows: all.iter().map(row).collect(),
            }],
            ..Document::default()
        }
    }

    /// What the look found, for people.
    fn report(&self, inventory: &Self::Inventory) -> Report;

    /// What would be done. No steps: there is nothing to do.
    fn plan(
        &self,
        inventory: &Self::Inventory,
        heading: &Heading,
    ) -> Result<Plan<Self::Action>, Unplanned>;

    /// Why this plan is not to be run, or saved to be run, as it is. `reviewed`: it comes
    /// from a file, or goes there. What is unfit may still be shown.
    fn unfit(&self, plan: &Plan<Self::Action>, reviewed: bool) -> Option<Refusal> {
        let _ = (plan, reviewed);
        None
    }

    /// Asks again what forbids a plan, before this one is run from a file: gives every rule that
    /// forbids it by now, or else what could not be asked. What the plan has done itself, before
    /// it was cut short, forbids nothing.
    fn recheck(
        &self,
        plan: &Plan<Self::Action>,
        world: &<Self::Action as Act>::World,
        cx: &Cx,
    ) -> impl Future<Output = Result<Vec<Refusal>, Vec<Gap>>> + Send {
        let _ = (plan, world, cx);
        async { Ok(Vec::new()) }
    }

    /// Asks the systems named in `plan.world` again who they are.
    fn identities(
        &self,
        world: &<Self::Action as Act>::World,
        plan: &Plan<Self::Action>,
    ) -> impl Future<Output = Identities> + Send;

    /// Takes the lock on the subject where the world keeps it; `holder` is shown to whoever
    /// finds it taken, and takes over the lock of the same holder and `plan`: the caller
    /// makes sure that there is no such run any more.
    fn lock(
        &self,
        world: &<Self::Action as Act>::World,
        holder: &str,
        plan: &str,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Gives the lock back, if it is still that of this `holder` and `plan`.
    fn unlock(
        &self,
        world: &<Self::Action as Act>::World,
        holder: &str,
        plan: &str,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Leaves each where it is named first.
fn once<T: Clone + Ord>(all: &mut Vec<T>) {
    let mut known = BTreeSet::new();
    all.retain(|one| known.insert(one.clone()));
}
