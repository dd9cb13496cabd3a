//! What forbids a plan is asked again before it is run from a file: hours may lie between.

use std::collections::{BTreeMap, BTreeSet};

use super::discover;
use super::inventory::{Account, Inventory};
use super::plan::{database_inside, in_use, table_inside};
use super::shared::Shared;
use super::{Intent, Offboard};
use crate::actions::guard::lies_in;
use crate::actions::hive::path_of;
use crate::actions::{Action, World, hdfs, hive};
use crate::engine::{Cx, Failure, Gap, Plan};
use crate::procedures::Refusal;
use crate::services::metastore::Metastore;

/// The way out of all of it.
const HINT: &str = "it has come since the plan was made: look at it, then plan again";

impl Offboard {
    /// Every rule that forbids `plan` now: that the account is in use, and what others have in the
    /// trees that the plan takes away. Or what could not be asked.
    pub(super) async fn still_forbidden(
        &self,
        plan: &Plan<Action>,
        world: &World,
        cx: &Cx,
    ) -> Result<Vec<Refusal>, Vec<Gap>> {
        if self.request.intent == Intent::Restore {
            return Ok(Vec::new());
        }
        let taken = taken(plan);
        let users = vec![self.request.user.clone()];
        let shared = Shared::new(users, taken.iter().cloned().collect());
        let of_others = async {
            match &world.metastore {
                Some(metastore) => self.of_others(plan, &taken, &shared, metastore).await,
                None => Ok(Vec::new()),
            }
        };
        let (used, of_others) = tokio::join!(self.used(&shared, world, cx), of_others);
        let (mut all, mut gaps) = match used {
            Ok(all) => (all, Vec::new()),
            Err(gaps) => (Vec::new(), gaps),
        };
        match of_others {
            Ok(refusals) => all.extend(refusals),
            Err(failure) => gaps.push(discover::gap("hive", None, &failure)),
        }
        if all.is_empty() && !gaps.is_empty() {
            return Err(gaps);
        }
        Ok(all)
    }

    /// What tells that the user is still here, unless the plan was made in spite of that. A host
    /// that does not answer fails its own steps.
    async fn used(
        &self,
        shared: &Shared,
        world: &World,
        cx: &Cx,
    ) -> Result<Vec<Refusal>, Vec<Gap>> {
        let request = &self.request;
        if request.even_if_active {
            return Ok(Vec::new());
        }
        let (account, applications, hosts) = tokio::join!(
            discover::account(request, self.admins.as_ref(), shared),
            discover::applications(request, world),
            discover::hosts(request, &self.policy, shared, world, cx),
        );
        let mut gaps = Vec::new();
        let account = account.unwrap_or_else(|gap| {
            gaps.push(gap);
            Account::Unknown
        });
        let applications = applications.unwrap_or_else(|failure| {
            gaps.push(discover::gap("yarn", None, &failure));
            Vec::new()
        });
        let (hosts, _) = hosts.unwrap_or_else(|failure| {
            gaps.push(discover::gap("hosts", None, &failure));
            discover::Hosts::default()
        });
        if !gaps.is_empty() {
            return Err(gaps);
        }
        Ok(in_use(&Inventory {
            user: request.user.clone(),
            now: 0,
            account,
            applications,
            places: request.places.clone(),
            hdfs: None,
            hive: None,
            hosts,
            gaps,
            world: BTreeMap::new(),
            restore: None,
        }))
    }

    /// Others' databases and tables in the trees that the plan takes away, but for the tables that
    /// it deals with itself.
    async fn of_others(
        &self,
        plan: &Plan<Action>,
        taken: &BTreeSet<String>,
        shared: &Shared,
        metastore: &Metastore,
    ) -> Result<Vec<Refusal>, Failure> {
        let in_taken = |location: &str| {
            let path = path_of(location)?;
            let inside = taken.iter().any(|tree| lies_in(path, tree));
            inside.then(|| path.to_owned())
        };
        let user = self.request.user.as_str();
        let databases = shared.databases(metastore).await?;
        let mut all = Vec::new();
        for database in databases.iter().filter(|one| !one.is_of(user)) {
            if let Some(path) = in_taken(&database.location) {
                let what = database_inside(&database.name, &database.owner, &path);
                all.push(Refusal::new(what, HINT));
            }
        }
        let known = known(plan);
        let mut tables: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
        for location in shared.locations(metastore, &self.policy).await? {
            let table = (location.database.as_str(), location.table.as_str());
            if let Some(path) = in_taken(&location.location).filter(|_| !known.contains(&table)) {
                tables.entry(table).or_default().push(path);
            }
        }
        for ((database, name), paths) in tables {
            if let Some(table) = metastore.table(database, name).await? {
                let what = table_inside(&format!("{database}.{name}"), &table.owner, &paths);
                all.push(Refusal::new(what, HINT));
            }
        }
        Ok(all)
    }
}

/// The trees in HDFS that the plan moves or deletes.
fn taken(plan: &Plan<Action>) -> BTreeSet<String> {
    let trees = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Hdfs(hdfs::Action::Move { from: path, .. } | hdfs::Action::Trash { path, .. }) => {
            Some(path)
        }
        Action::Hdfs(hdfs::Action::Delete(delete)) => Some(&delete.was.path),
        _ => None,
    });
    trees.cloned().collect()
}

/// Others' tables that the plan points elsewhere, or moves to another database.
fn known(plan: &Plan<Action>) -> BTreeSet<(&str, &str)> {
    let tables = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Hive(hive::Action::Relocate {
            database, table, ..
        }) => Some((database.as_str(), table.as_str())),
        Action::Hive(hive::Action::MoveTable(moving)) => {
            Some((moving.to.as_str(), moving.table.as_str()))
        }
        _ => None,
    });
    tables.collect()
}
