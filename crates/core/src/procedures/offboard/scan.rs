//! Who has left: owners of homes and databases whom the admins' data file lists as absent, or
//! does not know. Reads only.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};

use super::admins::{Accounts, Admins};
use super::discover::{HOSTS, gap};
use super::inventory::Account;
use super::policy::Policy;
use super::shared::Shared;
use crate::actions::World;
use crate::actions::guard::UserName;
use crate::actions::host::{self, Owner};
use crate::engine::{Cx, Failure, Gap};

/// Looks who owns homes in HDFS and on hosts, and databases; gives those who may have left,
/// sorted, and what could not be looked at. System accounts are left out, by the configured
/// list and, on hosts, by uid; so is whoever is active. Fails without the admins' data file:
/// nobody could be told from a leaver.
pub async fn scan(
    policy: &Policy,
    admins: Option<&Admins>,
    world: &World,
    cx: &Cx,
) -> Result<(Vec<UserName>, Vec<Gap>), Failure> {
    let Some(admins) = admins else {
        return Err(Failure::new(
            "no admins' data file is configured",
            "[admins] data_file in the configuration names it".to_owned(),
        ));
    };
    let shared = Shared::new(Vec::new(), Vec::new());
    let accounts = shared.accounts(admins).await?;
    let mut gaps = Vec::new();
    let mut names = Names::default();
    let (hdfs, hive, hosts) = tokio::join!(
        in_hdfs(policy, world),
        in_hive(&shared, world),
        on_hosts(policy, world, cx),
    );
    match hdfs {
        Ok(found) => names.merge(found),
        Err(failure) => gaps.push(gap("hdfs", Some("cluster"), &failure)),
    }
    match hive {
        Ok(found) => names.merge(found),
        Err(failure) => gaps.push(gap("hive", Some("cluster"), &failure)),
    }
    let (found, unseen) = hosts?;
    names.merge(found);
    gaps.extend(unseen);
    if cx.cancel().is_cancelled() {
        return Err(Failure::interrupted());
    }
    Ok((names.leavers(accounts, policy), gaps))
}

/// Names as they were found.
#[derive(Default)]
struct Names {
    /// Owners.
    owners: BTreeSet<String>,
    /// Names of homes that somebody else owns: whoever is known to have left has left them.
    homes: BTreeSet<String>,
}

impl Names {
    fn merge(&mut self, other: Self) {
        self.owners.extend(other.owners);
        self.homes.extend(other.homes);
    }

    fn leavers(self, accounts: &Accounts, policy: &Policy) -> Vec<UserName> {
        let guard = policy.guard();
        let known = |name: String| {
            let user = UserName::try_from(name).ok()?;
            guard.account(&user).ok()?;
            Some((accounts.of(&user), user))
        };
        let owners = self.owners.into_iter().filter_map(known);
        let owners = owners.filter(|(account, _)| *account != Account::Present);
        let homes = self.homes.into_iter().filter_map(known);
        let homes = homes.filter(|(account, _)| *account == Account::Absent);
        let leavers: BTreeSet<UserName> = owners.chain(homes).map(|(_, user)| user).collect();
        leavers.into_iter().collect()
    }
}

async fn in_hdfs(policy: &Policy, world: &World) -> Result<Names, Failure> {
    let mut names = Names::default();
    if let Some(hdfs) = &world.hdfs {
        for home in hdfs.list(&policy.homes).await? {
            let name = home.path.rsplit('/').next().unwrap_or_default();
            names.homes.insert(name.to_owned());
            names.owners.insert(home.owner);
        }
    }
    Ok(names)
}

async fn in_hive(shared: &Shared, world: &World) -> Result<Names, Failure> {
    let mut names = Names::default();
    if let Some(metastore) = &world.metastore {
        let databases = shared.databases(metastore).await?.iter();
        names.owners = databases
            .filter_map(|one| one.user().map(str::to_owned))
            .collect();
    }
    Ok(names)
}

async fn on_hosts(policy: &Policy, world: &World, cx: &Cx) -> Result<(Names, Vec<Gap>), Failure> {
    let mut names = Names::default();
    let mut gaps = Vec::new();
    let Some(fleet) = &world.fleet else {
        return Ok((names, gaps));
    };
    let mut looks = stream::iter(fleet.hosts(None)?)
        .map(|name| async move {
            let owners = host::owners(fleet, &name, &policy.host_homes, cx).await;
            (name, owners)
        })
        .buffer_unordered(HOSTS);
    while let Some((name, owners)) = looks.next().await {
        match owners {
            Ok(owners) => {
                for Owner { home, uid, owner } in owners {
                    match owner {
                        Some(owner) if uid >= policy.min_uid => drop(names.owners.insert(owner)),
                        // An account that is gone left its number.
                        None if uid >= policy.min_uid => drop(names.owners.insert(home.clone())),
                        _ => {}
                    }
                    names.homes.insert(home);
                }
            }
            Err(failure) => gaps.push(gap(name.as_str(), Some(name.as_str()), &failure)),
        }
    }
    gaps.sort_by(|a, b| a.place.cmp(&b.place));
    Ok((names, gaps))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_left_are_told_from_those_who_did_not() {
        let accounts = Accounts::parse(
            "users: { elvis: { ensure: absent }, azy: { ensure: present }, analytics: { ensure: absent } }",
        );
        let names = |owners: &[&str], homes: &[&str]| {
            let all = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            let names = Names {
                owners: all(owners),
                homes: all(homes),
            };
            let leavers = names.leavers(&accounts, &Policy::default());
            leavers.into_iter().map(String::from).collect::<Vec<_>>()
        };
        // Absent, or not known at all.
        assert_eq!(names(&["nemo", "elvis", "azy"], &[]), ["elvis", "nemo"]);
        // A system account is nobody's to remove, whatever the file says.
        assert_eq!(names(&["analytics", "hdfs", "root"], &[]), [""; 0]);
        // What is no name is no user.
        assert_eq!(
            names(&["", "-rf", "lost+found", "Elvis"], &["../elvis"]),
            [""; 0]
        );
        // A home that was given to somebody else is still the leaver's; other folders that
        // happen to be among the homes are nobody's.
        assert_eq!(names(&["azy"], &["elvis", "history", "azy"]), ["elvis"]);
    }
}
