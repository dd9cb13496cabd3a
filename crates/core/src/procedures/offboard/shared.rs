//! What the looks at several users share: each system is gone over once for all of them.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::OnceCell;

use super::admins::{Accounts, Admins};
use super::discover::{HOSTS, gap, look_at};
use super::policy::Policy;
use crate::actions::guard::UserName;
use crate::actions::hive::path_of;
use crate::actions::host::places::Places;
use crate::engine::{Cx, Failure, Gap};
use crate::services::fleet::Fleet;
use crate::services::metastore::{Database, Location, Metastore, Table};

/// How many databases are asked about at once; the client bounds its connections itself.
const CONCURRENCY: usize = 16;

/// What one user has on hosts, and the hosts that could not be looked at.
#[derive(Default)]
pub(super) struct OnHosts {
    pub(super) places: BTreeMap<String, Places>,
    pub(super) gaps: Vec<Gap>,
}

/// What is found out once, by whichever look needs it first. A system that did not answer one
/// look is not asked again by the next.
#[derive(Default)]
pub(super) struct Shared {
    users: Vec<UserName>,
    /// Folders that are dealt with beside homes and databases.
    included: Vec<String>,
    accounts: Once<Accounts>,
    hosts: Once<BTreeMap<UserName, OnHosts>>,
    databases: Once<Vec<Database>>,
    owned: Once<BTreeMap<String, Vec<Table>>>,
    locations: Once<Vec<Location>>,
    views: Once<Vec<(String, String)>>,
}

type Once<T> = OnceCell<Result<T, Failure>>;

/// What was found, or why it was not, as often as anybody asks.
fn again<T>(found: &Result<T, Failure>) -> Result<&T, Failure> {
    found.as_ref().map_err(|failure| {
        if failure.is_interrupted() {
            return Failure::interrupted();
        }
        let hint = failure.hint().map(str::to_owned);
        Failure::new(failure.chain().join(": "), hint)
    })
}

impl Shared {
    pub(super) fn new(users: Vec<UserName>, included: Vec<String>) -> Self {
        Self {
            users,
            included,
            ..Self::default()
        }
    }

    /// Whom the admins' data file lists.
    pub(super) async fn accounts(&self, admins: &Admins) -> Result<&Accounts, Failure> {
        let read = async || {
            let admins = admins.clone();
            let read = tokio::task::spawn_blocking(move || admins.read()).await;
            match read {
                Ok(Ok(accounts)) => Ok(accounts),
                Ok(Err(error)) => Err(Failure::new(error, None)),
                Err(error) => Err(Failure::new(error, None)),
            }
        };
        again(self.accounts.get_or_init(read).await)
    }

    /// What each user has on every host: a connection a host, whoever is looked for.
    pub(super) async fn on_hosts(
        &self,
        fleet: &Fleet,
        policy: &Policy,
        cx: &Cx,
    ) -> Result<&BTreeMap<UserName, OnHosts>, Failure> {
        let look = || self.look_at_hosts(fleet, policy, cx);
        again(self.hosts.get_or_init(look).await)
    }

    async fn look_at_hosts(
        &self,
        fleet: &Fleet,
        policy: &Policy,
        cx: &Cx,
    ) -> Result<BTreeMap<UserName, OnHosts>, Failure> {
        let names = fleet.hosts(None)?;
        let total = names.len() as u64;
        let mut looks = stream::iter(names)
            .map(|name| async move {
                let mut found = Vec::new();
                let mut down = None;
                for user in &self.users {
                    if down.is_none() {
                        match look_at(fleet, &name, user, policy, cx).await {
                            Ok(places) => found.push(Ok(places)),
                            Err(failure) => {
                                // One who is not to be looked at hides nobody else; a host
                                // that lets nobody in is asked once.
                                let lets_in = self.users.len() == 1
                                    || fleet.host_key(&name, cx.cancel()).await.is_ok();
                                let gap = gap(name.as_str(), Some(name.as_str()), &failure);
                                down = (!lets_in).then(|| gap.clone());
                                found.push(Err(gap));
                            }
                        }
                    } else {
                        found.extend(down.clone().map(Err));
                    }
                }
                (name, found)
            })
            .buffer_unordered(HOSTS);
        let mut all: BTreeMap<UserName, OnHosts> = BTreeMap::new();
        let progress = cx.for_step("hosts");
        let mut done = 0;
        while let Some((name, found)) = looks.next().await {
            for (user, found) in self.users.iter().zip(found) {
                let of = all.entry(user.clone()).or_default();
                match found {
                    Ok(places) => drop(of.places.insert(name.to_string(), places)),
                    Err(gap) => of.gaps.push(gap),
                }
            }
            done += 1;
            progress.progress(done, Some(total), "hosts");
        }
        for of in all.values_mut() {
            of.gaps.sort_by(|a, b| a.place.cmp(&b.place));
        }
        Ok(all)
    }

    /// All databases.
    pub(super) async fn databases(&self, metastore: &Metastore) -> Result<&[Database], Failure> {
        let list = async || {
            let names = metastore.databases().await?;
            let all = stream::iter(names)
                .map(|name| async move { metastore.database(&name).await })
                .buffered(CONCURRENCY)
                // One that was dropped since it was listed is nobody's.
                .try_filter_map(async |database| Ok(database));
            Ok(all.try_collect().await?)
        };
        again(self.databases.get_or_init(list).await).map(Vec::as_slice)
    }

    /// Each user's tables in others' databases.
    pub(super) async fn owned(
        &self,
        metastore: &Metastore,
    ) -> Result<&BTreeMap<String, Vec<Table>>, Failure> {
        let databases = self.databases(metastore).await?;
        let find = async || {
            let databases = databases.iter();
            let names = databases.map(|one| (one.name.clone(), one.user().map(str::to_owned)));
            let tables = stream::iter(names.collect::<Vec<_>>())
                .map(|(database, owner)| async move {
                    let users = self.users.iter().map(UserName::as_str);
                    let users: Vec<&str> = users
                        .filter(|user| Some(*user) != owner.as_deref())
                        .collect();
                    let names = metastore.tables_owned_by(&database, &users).await?;
                    metastore.tables(&database, &names).await
                })
                .buffered(CONCURRENCY);
            let mut owned: BTreeMap<String, Vec<Table>> = BTreeMap::new();
            let mut tables = std::pin::pin!(tables);
            while let Some(tables) = tables.try_next().await? {
                for table in tables {
                    owned.entry(table.owner.clone()).or_default().push(table);
                }
            }
            Ok(owned)
        };
        again(self.owned.get_or_init(find).await)
    }

    /// Where tables and partitions of others' databases have their files, as far as it may be
    /// inside some place of the users: a home, the folder of a database, an archive. Of several
    /// users each is another.
    pub(super) async fn locations(
        &self,
        metastore: &Metastore,
        policy: &Policy,
    ) -> Result<&[Location], Failure> {
        let databases = self.databases(metastore).await?;
        let find = async || {
            let users: BTreeSet<&str> = self.users.iter().map(UserName::as_str).collect();
            let is_of = |database: &Database, users: &BTreeSet<&str>| {
                database.user().is_some_and(|owner| users.contains(owner))
            };
            let of_users = databases
                .iter()
                .filter(|database| is_of(database, &users))
                .filter_map(|database| path_of(&database.location));
            let homes = users.iter().map(|user| format!("{}/{user}", policy.homes));
            let roots: BTreeSet<String> = of_users
                .map(str::to_owned)
                .chain(homes)
                .chain([policy.archive.clone()])
                .chain(self.included.iter().cloned())
                .collect();
            let may_be_inside = |location: &Location| {
                path_of(&location.location).is_some_and(|path| is_in(path, &roots))
            };
            let alone = (users.len() == 1).then_some(&users);
            let names: Vec<&str> = databases
                .iter()
                .filter(|one| alone.is_none_or(|user| !is_of(one, user)))
                .map(|one| one.name.as_str())
                .collect();
            let folders: Vec<String> = roots.iter().cloned().collect();
            let mut found: Vec<Location> = metastore
                .locations(&names, &folders)
                .try_filter(|location| std::future::ready(may_be_inside(location)))
                .try_collect()
                .await?;
            // They come as they are found; the same world shall give the same plan.
            found.sort_unstable();
            Ok(found)
        };
        again(self.locations.get_or_init(find).await).map(Vec::as_slice)
    }

    /// Views that name a database of one of the users, each with that database.
    pub(super) async fn views(
        &self,
        metastore: &Metastore,
    ) -> Result<&[(String, String)], Failure> {
        let databases = self.databases(metastore).await?;
        let find = async || {
            let users: BTreeSet<&str> = self.users.iter().map(UserName::as_str).collect();
            let is_of_users =
                |one: &&Database| one.user().is_some_and(|owner| users.contains(owner));
            let targets = databases.iter().filter(is_of_users);
            let targets: Vec<&str> = targets.map(|one| one.name.as_str()).collect();
            Ok(metastore.views_naming(&targets).await?)
        };
        again(self.views.get_or_init(find).await).map(Vec::as_slice)
    }
}

/// Whether the path lies in one of the roots: a few look-ups, however many roots there are.
fn is_in(path: &str, roots: &BTreeSet<String>) -> bool {
    let mut end = path.len();
    while end > 0 {
        if roots.contains(&path[..end]) {
            return true;
        }
        end = path[..end].rfind('/').unwrap_or(0);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::guard::lies_in;

    #[test]
    fn a_path_is_in_a_root_as_folders_are() {
        let roots = ["/user/elvis", "/wmf/data/archive"]
            .map(str::to_owned)
            .into();
        for path in ["/user/elvis", "/user/elvis/a/b", "/wmf/data/archive/user/x"] {
            assert!(is_in(path, &roots), "{path}");
            assert!(roots.iter().any(|root| lies_in(path, root)));
        }
        for path in ["", "/", "/user", "/user/elvis2", "/wmf/data", "user/elvis"] {
            assert!(!is_in(path, &roots), "{path}");
        }
    }
}
