//! Offboarding: what a user who left has lying about on the platform, and its way into
//! the archive. Source of the procedure: the platform's "Ops week" page, "Have any users
//! left the Foundation?".

pub mod admins;
mod again;
mod discover;
mod elsewhere;
pub mod inventory;
mod look;
mod manifest;
pub mod moving;
mod overview;
mod plan;
pub mod policy;
mod report;
pub mod restore;
pub mod scan;
pub mod scope;
mod shared;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};

use super::lock::Lock;
use super::{Heading, Identities, Procedure, Refusal, Report, Unplanned};
use crate::actions::guard::{NotAUserName, UserName};
use crate::actions::{Action, World};
use crate::engine::render::Document;
use crate::engine::{Cx, Failure, Gap, Pace, Plan};
use admins::Admins;
use inventory::Inventory;
use moving::TableMove;
use policy::Policy;
use scope::{Place, Scope};
use shared::Shared;

/// The flag that overrules that the account is in use, as plans name it.
const EVEN_IF_ACTIVE: &str = "--even-if-active";

/// What is to become of the user's things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// They are only looked at.
    Look,
    /// They go into the archive.
    Archive,
    /// They come back from an archive.
    Restore,
    /// They are removed.
    Delete,
}

/// What is to become of homes on hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Homes {
    /// They go into the archive and are removed.
    #[default]
    Archive,
    /// A listing of them goes into the archive and they are removed.
    Delete,
    /// They stay.
    Keep,
}

/// How fast hosts are gone over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batches {
    /// How many at once, 1 at least.
    pub size: u32,
    /// The pause between one batch and the next, in seconds.
    pub sleep: u32,
    /// The percentage of hosts, 0 to 100, that must have succeeded for another batch to begin.
    pub success: u8,
}

impl Batches {
    /// The plan, with its hosts gone over like this.
    fn pace(self, mut plan: Plan<Action>) -> Plan<Action> {
        let steps = plan.steps.iter();
        let lanes: BTreeSet<String> = steps
            .filter(|step| matches!(step.action, Action::Host(_)))
            .map(|step| step.lane.clone())
            .collect();
        if !lanes.is_empty() {
            plan.notes.push(format!(
                "hosts: {} at a time, {} s between, as long as {}% succeed",
                self.size, self.sleep, self.success
            ));
            plan.pace = Some(Pace {
                lanes,
                batch: self.size,
                sleep: self.sleep,
                success: self.success,
            });
        }
        plan
    }
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Request {
    /// The user.
    pub user: UserName,
    /// What to do.
    pub intent: Intent,
    /// Go on although the user seems to be active.
    pub even_if_active: bool,
    /// End left-over processes, timers and lingering services.
    pub stop_processes: bool,
    /// Who gets the user's tables in others' databases.
    pub new_owner: Option<UserName>,
    /// Point others' tables inside the user's places to the archive.
    pub relocate: bool,
    /// What to do with homes on hosts.
    pub host_homes: Homes,
    /// Delete from HDFS for good, not into the trash.
    pub skip_trash: bool,
    /// The name of the archive to restore, where there are several.
    pub from: Option<String>,
    /// The places that are looked at and dealt with.
    pub places: Scope,
    /// Others' tables in the user's databases that move to another one first.
    pub move_tables: Vec<TableMove>,
    /// Data elsewhere in HDFS that becomes part of the plan.
    pub include: Vec<String>,
    /// How fast to go over hosts; `None`: as fast as they can be reached.
    pub batches: Option<Batches>,
}

impl Request {
    /// A mere look at `user`.
    pub fn look(user: UserName) -> Self {
        Self {
            user,
            intent: Intent::Look,
            even_if_active: false,
            stop_processes: false,
            new_owner: None,
            relocate: false,
            host_homes: Homes::default(),
            skip_trash: false,
            from: None,
            places: Scope::all(),
            move_tables: Vec::new(),
            include: Vec::new(),
            batches: None,
        }
    }

    /// The request whose plan this is, as far as going on with it needs it: what is looked at.
    pub fn resumed(plan: &Plan<Action>) -> Result<Self, NotAUserName> {
        let user = UserName::try_from(plan.subject.clone())?;
        let from = restore::archive_of(plan);
        let intent = if restore::restores(plan) {
            Intent::Restore
        } else if plan::deletes(plan) {
            Intent::Delete
        } else {
            Intent::Archive
        };
        Ok(Self {
            intent,
            even_if_active: plan.overruled.iter().any(|flag| flag == EVEN_IF_ACTIVE),
            from,
            places: Scope::without(&plan.unasked),
            ..Self::look(user)
        })
    }
}

/// How many users are looked at at once; the clients bound their connections themselves.
const LOOKS: usize = 8;

/// The procedure for one user.
pub struct Offboard {
    request: Request,
    policy: Policy,
    admins: Option<Admins>,
}

impl Offboard {
    /// Takes a request that the policy allows, before anything is contacted. `admins`: where
    /// it is known who is active; `None` when that is not configured.
    pub fn new(request: Request, policy: Policy, admins: Option<Admins>) -> Result<Self, Refusal> {
        let refuse = |what: String, hint: &str| Err(Refusal::new(what, hint));
        if let Some(fault) = policy.faults().into_iter().next() {
            return refuse(
                format!("the configuration's section [offboard]: {fault}"),
                "correct the configuration",
            );
        }
        if let Err(error) = policy.guard().account(&request.user) {
            return refuse(
                error.to_string(),
                "system accounts are never offboarded; the list is offboard.system_accounts",
            );
        }
        if let Some((home, held)) = policy.held_by(&request.user) {
            return refuse(
                format!("{home} is nobody's home: {held} is in it"),
                "the name of a folder of homes, or of one that holds such, is no user's",
            );
        }
        if let Some(refusal) = request.places.fault()
            && request.intent != Intent::Look
        {
            return Err(refusal);
        }
        if let Some(path) = request.include.first()
            && !request.places.has(Place::Hdfs)
        {
            return refuse(
                format!("--include {path} without hdfs in --places"),
                "leave one out",
            );
        }
        if let Some(table) = request.move_tables.first()
            && !request.places.has(Place::Hive)
        {
            let what = format!("--move-table {} without hive in --places", table.id());
            return refuse(what, "leave one out");
        }
        for path in &request.include {
            if let Some(why) = elsewhere::fault(path, &request.include, &policy) {
                return refuse(
                    format!("--include {path}: {why}"),
                    "it is for data of the user elsewhere, in the folders of offboard.hdfs_roots",
                );
            }
        }
        if request.new_owner.as_ref() == Some(&request.user) {
            return refuse(
                format!("--new-owner {} is the user who leaves", request.user),
                "name the account that needs the tables, analytics for example",
            );
        }
        Ok(Self {
            request,
            policy,
            admins,
        })
    }

    /// The world without the systems that were not asked for. Refused where one that was is not
    /// configured.
    pub fn within(&self, world: World) -> Result<World, Refusal> {
        self.request.places.within(self.request.intent, world)
    }

    async fn look(&self, shared: &Shared, world: &World, cx: &Cx) -> Result<Inventory, Failure> {
        let admins = self.admins.as_ref();
        discover::discover(&self.request, &self.policy, admins, shared, world, cx).await
    }

    /// The file that says who holds the subject's lock.
    fn lock_path(&self) -> String {
        format!("{}/.{}.lock", self.policy.archive, self.request.user)
    }
}

impl Procedure for Offboard {
    type Action = Action;
    type Inventory = Inventory;

    fn tool(&self) -> &'static str {
        "offboard"
    }

    fn subject(&self) -> &str {
        self.request.user.as_str()
    }

    fn wants_change(&self) -> bool {
        self.request.intent != Intent::Look
    }

    fn safety(&self) -> String {
        self.policy.digest()
    }

    fn max_age(&self) -> i64 {
        i64::from(self.policy.plan_max_age_hours) * 3600
    }

    fn answer(&mut self, flag: &'static str, value: String) -> Result<(), Refusal> {
        let refuse = |what: String| Refusal {
            what,
            hint: "name an account, analytics for example".to_owned(),
        };
        let owner =
            UserName::try_from(value).map_err(|error| refuse(format!("{flag}: {error}")))?;
        if owner == self.request.user {
            return Err(refuse(format!("{flag}: {owner} is the user who leaves")));
        }
        self.request.new_owner = Some(owner);
        Ok(())
    }

    async fn discover(&self, world: &World, cx: &Cx) -> Result<Inventory, Failure> {
        if self.request.intent == Intent::Restore {
            return restore::discover(&self.request, &self.policy, world, cx).await;
        }
        let request = &self.request;
        let alone = Shared::new(vec![request.user.clone()], request.include.clone());
        self.look(&alone, world, cx).await
    }

    async fn discover_all(all: &[Self], world: &World, cx: &Cx) -> Vec<Result<Inventory, Failure>> {
        let users = all.iter().map(|one| one.request.user.clone()).collect();
        let included = all.iter().flat_map(|one| one.request.include.clone());
        let shared = &Shared::new(users, included.collect());
        stream::iter(0..all.len())
            .map(|index| all[index].look(shared, world, cx))
            .buffered(LOOKS)
            .collect()
            .await
    }

    fn overview(all: &[(&Self, &Inventory)]) -> Document {
        let all: Vec<(&Inventory, bool)> = all
            .iter()
            .map(|(one, found)| (*found, one.report(found).leftovers))
            .collect();
        overview::overview(&all)
    }

    fn report(&self, inventory: &Inventory) -> Report {
        match &inventory.restore {
            Some(found) => restore::report(inventory, found),
            None => report::report(inventory),
        }
    }

    fn plan(&self, inventory: &Inventory, heading: &Heading) -> Result<Plan<Action>, Unplanned> {
        let plan = match &inventory.restore {
            Some(found) => restore::plan(&self.policy, inventory, found, heading)?,
            None => plan::plan(&self.request, &self.policy, inventory, heading)?,
        };
        Ok(match self.request.batches {
            Some(batches) => batches.pace(plan),
            None => plan,
        })
    }

    fn unfit(&self, plan: &Plan<Action>, reviewed: bool) -> Option<Refusal> {
        plan::unfit(plan, reviewed)
    }

    async fn recheck(
        &self,
        plan: &Plan<Action>,
        world: &World,
        cx: &Cx,
    ) -> Result<Vec<Refusal>, Vec<Gap>> {
        self.still_forbidden(plan, world, cx).await
    }

    async fn identities(&self, world: &World, plan: &Plan<Action>) -> Identities {
        let hosts: Vec<String> = plan
            .world
            .keys()
            .filter_map(|name| name.strip_prefix("host:"))
            .map(str::to_owned)
            .collect();
        discover::identities(world, &hosts).await
    }

    async fn lock(&self, world: &World, holder: &str, plan: &str) -> Result<(), Failure> {
        let Some(hdfs) = &world.hdfs else {
            return Ok(());
        };
        Lock::of(holder, plan).take(hdfs, &self.lock_path()).await
    }

    async fn unlock(&self, world: &World, holder: &str, plan: &str) -> Result<(), Failure> {
        let Some(hdfs) = &world.hdfs else {
            return Ok(());
        };
        let lock = Lock::of(holder, plan);
        lock.give_back(hdfs, &self.lock_path()).await
    }
}
