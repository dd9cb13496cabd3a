//! `db-sync`: staging's database becomes a copy of production's, safely.
//!
//! The copy is made beside staging, rewritten and proven there, and put into staging's
//! place by one atomic rename; what was there is kept and can be put back.

mod around;
mod discover;
pub mod inventory;
mod plan;
pub mod profile;
mod refusals;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::{Heading, Identities, Procedure, Refusal, Report, Unplanned};
use crate::actions::{Action, World};
use crate::engine::plan::sha256_hex;
use crate::engine::{Cx, Failure, Gap, Plan};
use inventory::Inventory;
use profile::{Policy, Profile};

/// How old a plan may be when it is run: a day.
const MAX_AGE: i64 = 24 * 3600;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// The list of profiles.
    List,
    /// How the two databases differ.
    Diff,
    /// A copy.
    Sync,
    /// What the last copy replaced.
    Restore,
}

/// The procedure for one profile.
pub struct DbSync {
    intent: Intent,
    /// `None` for the list alone.
    chosen: Option<(String, Profile)>,
    policy: Policy,
    /// The tables whose rows no packet can hold, once they have been gone over for a plan: that
    /// takes as long as to read all of production, and after a copy nobody needs it again.
    wide: OnceCell<Vec<String>>,
}

/// How many connections a copy may take at most on either server.
const MOST_CONNECTIONS: usize = 16;

impl DbSync {
    /// The list of the profiles.
    pub fn list(policy: Policy) -> Self {
        Self {
            intent: Intent::List,
            chosen: None,
            policy,
            wide: OnceCell::new(),
        }
    }

    /// Takes a profile whose target may be replaced, before anything is contacted.
    pub fn new(name: &str, intent: Intent, policy: Policy) -> Result<Self, Refusal> {
        let Some(profile) = policy.profiles.get(name) else {
            return Err(Refusal::new(
                format!("there is no profile {name}"),
                "db-sync --list names the profiles of the configuration",
            ));
        };
        if let Some(fault) = profile.target.fault() {
            return Err(Refusal::new(
                format!("profile {name}: {fault}"),
                "only a database whose name says staging, and not prod, is ever replaced",
            ));
        }
        let written = [
            profile.target.clone(),
            profile.target.new(),
            profile.target.previous(),
        ];
        for (other, its) in &policy.profiles {
            if written.contains(&its.source) {
                return Err(Refusal::new(
                    format!("profile {name}: profile {other} copies from {}", its.source),
                    "what is copied from is never replaced: correct source or target",
                ));
            }
            let theirs = [its.target.new(), its.target.previous()];
            let beside = written[1..].contains(&its.target) || theirs.contains(&profile.target);
            if beside {
                return Err(Refusal::new(
                    format!(
                        "profile {name}: {} and the target of profile {other}, {}, are beside \
                         each other",
                        profile.target, its.target
                    ),
                    "a copy is made in NAME_new and what it replaces kept in NAME_previous: give \
                     one of them another name",
                ));
            }
        }
        if profile.connections.get() > MOST_CONNECTIONS {
            return Err(Refusal::new(
                format!(
                    "profile {name}: connections is {}, more than {MOST_CONNECTIONS}",
                    profile.connections
                ),
                "each is one that others cannot have on production's server",
            ));
        }
        if profile.follow_up_deadline.as_secs() < 1 {
            return Err(Refusal::new(
                format!("profile {name}: follow_up_deadline is below a second"),
                "write it like 10m",
            ));
        }
        Ok(Self {
            intent,
            chosen: Some((name.to_owned(), profile.clone())),
            policy,
            wide: OnceCell::new(),
        })
    }

    /// Its plan has been made: what only planning needs is not asked for any more.
    #[must_use]
    pub fn planned(self) -> Self {
        Self {
            wide: OnceCell::new_with(Some(Vec::new())),
            ..self
        }
    }

    /// The profile and its name; `None` for the list.
    pub fn profile(&self) -> Option<(&str, &Profile)> {
        self.chosen
            .as_ref()
            .map(|(name, profile)| (name.as_str(), profile))
    }

    fn chosen(&self) -> Result<(&str, &Profile), Failure> {
        self.profile()
            .ok_or_else(|| Failure::new("no profile is chosen", None))
    }
}

impl Procedure for DbSync {
    type Action = Action;
    type Inventory = Inventory;

    fn tool(&self) -> &'static str {
        "db-sync"
    }

    fn subject(&self) -> &str {
        self.profile()
            .map_or("profiles", |(_, profile)| &profile.target.database)
    }

    fn wants_change(&self) -> bool {
        matches!(self.intent, Intent::Sync | Intent::Restore)
    }

    fn safety(&self) -> String {
        // A profile is plain data: it always has a JSON form.
        let text = serde_json::to_vec(&self.chosen).unwrap_or_default();
        format!("sha256:{}", sha256_hex(&text))
    }

    fn max_age(&self) -> i64 {
        MAX_AGE
    }

    fn answer(&mut self, flag: &'static str, _: String) -> Result<(), Refusal> {
        Err(Refusal {
            what: format!("{flag} is not asked for"),
            hint: "report it".to_owned(),
        })
    }

    async fn discover(&self, world: &World, cx: &Cx) -> Result<Inventory, Failure> {
        let now = Timestamp::now();
        match self.profile() {
            None => Ok(Inventory {
                now: now.as_second(),
                nanosecond: now.subsec_nanosecond(),
                world: BTreeMap::new(),
                missing: Vec::new(),
                databases: None,
            }),
            Some((_, profile)) => {
                discover::discover(profile, self.intent, &self.wide, &world.databases, now, cx)
                    .await
            }
        }
    }

    fn report(&self, inventory: &Inventory) -> Report {
        match (self.profile(), &inventory.databases) {
            (Some((_, profile)), Some(found)) => report::report(profile, self.intent, found),
            (Some((_, profile)), None) => report::unlooked(profile),
            (None, _) => report::list(&self.policy),
        }
    }

    fn plan(&self, inventory: &Inventory, heading: &Heading) -> Result<Plan<Action>, Unplanned> {
        let (Some((name, profile)), Some(found)) = (self.profile(), &inventory.databases) else {
            return Err(Unplanned::Refused(vec![Refusal {
                what: "privileges are missing".to_owned(),
                hint: format!("run on the server: {}", inventory.missing.join(" ")),
            }]));
        };
        let base = plan::Base {
            name,
            profile,
            found,
            inventory,
            heading,
            safety: self.safety(),
        };
        match self.intent {
            Intent::Restore => base.restore(),
            _ => base.sync(),
        }
    }

    async fn identities(&self, world: &World, plan: &Plan<Action>) -> Identities {
        let mut identities = BTreeMap::new();
        let mut gaps = Vec::new();
        for place in plan.world.keys() {
            let name = place.strip_prefix("sql.").unwrap_or(place);
            let asked = async { Ok::<_, Failure>(world.databases.server(name)?.identity().await?) };
            match asked.await {
                Ok(identity) => drop(identities.insert(place.clone(), identity)),
                Err(failure) => gaps.push(Gap {
                    place: place.clone(),
                    why: failure.chain().join(": "),
                    lane: None,
                }),
            }
        }
        (identities, gaps)
    }

    async fn lock(&self, world: &World, _: &str, _: &str) -> Result<(), Failure> {
        // The server gives up a dead run's lock by itself.
        world.databases.take_lock(&self.chosen()?.1.target).await
    }

    async fn unlock(&self, world: &World, _: &str, _: &str) -> Result<(), Failure> {
        world.databases.unlock().await;
        Ok(())
    }
}
