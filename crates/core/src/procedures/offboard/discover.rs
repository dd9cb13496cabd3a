//! The look. Reads only. Whatever cannot be looked at becomes a gap of the inventory.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt};

use super::admins::Admins;
use super::inventory::{Account, HdfsFindings, Inventory};
use super::policy::Policy;
use super::shared::Shared;
use super::{Request, look};
use crate::actions::World;
use crate::actions::guard::{UserName, lies_in};
use crate::actions::host::{self, places::Places};
use crate::engine::{Cx, Failure, Gap};
use crate::procedures::Identities;
use crate::services::fleet::{Fleet, HostName};
use crate::services::hdfs::Hdfs;

/// How many hosts are looked at at once; the fleet has its own bound on connections.
pub(super) const HOSTS: usize = 64;

pub(super) async fn discover(
    request: &Request,
    policy: &Policy,
    admins: Option<&Admins>,
    shared: &Shared,
    world: &World,
    cx: &Cx,
) -> Result<Inventory, Failure> {
    let now = jiff::Timestamp::now().as_second();
    let hive = world.metastore.as_ref().map(|metastore| look::Hive {
        metastore,
        hdfs: world.hdfs.as_ref(),
        user: &request.user,
        move_tables: &request.move_tables,
        policy,
        shared,
        cx,
    });
    let (account, applications, hdfs, own, hosts) = tokio::join!(
        account(request, admins, shared),
        applications(request, world),
        hdfs(request, policy, world, cx),
        own(hive.as_ref()),
        hosts(request, policy, shared, world, cx),
    );
    if cx.cancel().is_cancelled() {
        return Err(Failure::interrupted());
    }
    let mut gaps = Vec::new();
    let account = account.unwrap_or_else(|gap| {
        gaps.push(gap);
        Account::Unknown
    });
    let applications = applications.unwrap_or_else(|failure| {
        gaps.push(gap("yarn", None, &failure));
        Vec::new()
    });
    let mut hdfs = hdfs.unwrap_or_else(|failure| {
        gaps.push(gap("hdfs", Some("cluster"), &failure));
        None
    });
    // Whose files lie inside the home is asked of the metastore: it needs to know the home.
    let inside = async {
        match (&hive, own?) {
            (Some(hive), Some(own)) => hive.look(own, hdfs.as_ref()).await.map(Some),
            _ => Ok(None),
        }
    };
    let hive = inside.await.unwrap_or_else(|failure| {
        gaps.push(gap("hive", Some("cluster"), &failure));
        None
    });
    // What moves out of the user's databases may lie in the home.
    let moving = hive.iter().flat_map(|hive| &hive.moving);
    if let Some(home) = hdfs.as_mut().and_then(|hdfs| hdfs.home.as_mut()) {
        for files in moving.filter_map(|one| one.files.as_ref().and(one.table.data.as_ref())) {
            if lies_in(&files.path, &home.tree.path) {
                home.tree.without(files);
            }
        }
    }
    let (hosts, host_gaps) = hosts?;
    let names: Vec<String> = hosts.keys().cloned().collect();
    let room = async {
        match (&world.hdfs, hdfs.as_mut()) {
            (Some(hdfs), Some(found)) => {
                look::room(hdfs, request.intent, policy, found, hive.as_ref()).await
            }
            _ => Ok(()),
        }
    };
    let (room, (identities, _)) = tokio::join!(room, identities(world, &names));
    if let Err(failure) = room {
        gaps.push(gap("hdfs", Some("cluster"), &failure));
    }
    gaps.extend(host_gaps);
    Ok(Inventory {
        user: request.user.clone(),
        now,
        account,
        applications,
        places: request.places.clone(),
        hdfs,
        hive,
        hosts,
        gaps,
        world: identities,
        restore: None,
    })
}

pub(super) fn gap(place: &str, lane: Option<&str>, failure: &Failure) -> Gap {
    let why = failure.chain().join(": ");
    // Errors of a host begin with its name.
    let named = why
        .strip_prefix(place)
        .and_then(|why| why.strip_prefix(": "));
    Gap {
        place: place.to_owned(),
        why: named.unwrap_or(&why).to_owned(),
        lane: lane.map(str::to_owned),
    }
}

/// What the admins' data file says.
pub(super) async fn account(
    request: &Request,
    admins: Option<&Admins>,
    shared: &Shared,
) -> Result<Account, Gap> {
    let unknown = |why: String| Gap {
        place: "account".to_owned(),
        why,
        lane: None,
    };
    let Some(admins) = admins else {
        return Err(unknown("no admins' data file is configured".to_owned()));
    };
    let accounts = shared.accounts(admins).await;
    let accounts = accounts.map_err(|failure| unknown(failure.chain().join(": ")))?;
    Ok(accounts.of(&request.user))
}

/// What the user is running on YARN, where that is configured.
pub(super) async fn applications(request: &Request, world: &World) -> Result<Vec<String>, Failure> {
    match &world.yarn {
        None => Ok(Vec::new()),
        Some(yarn) => Ok(yarn.running(request.user.as_str()).await?),
    }
}

async fn hdfs(
    request: &Request,
    policy: &Policy,
    world: &World,
    cx: &Cx,
) -> Result<Option<HdfsFindings>, Failure> {
    match &world.hdfs {
        None => Ok(None),
        Some(hdfs) => look::hdfs(hdfs, request, policy, cx).await.map(Some),
    }
}

async fn own(hive: Option<&look::Hive<'_>>) -> Result<Option<look::Own>, Failure> {
    match hive {
        None => Ok(None),
        Some(hive) => hive.own().await.map(Some),
    }
}

pub(super) type Hosts = (BTreeMap<String, Places>, Vec<Gap>);

pub(super) async fn hosts(
    request: &Request,
    policy: &Policy,
    shared: &Shared,
    world: &World,
    cx: &Cx,
) -> Result<Hosts, Failure> {
    let Some(fleet) = &world.fleet else {
        return Ok(Hosts::default());
    };
    let all = shared.on_hosts(fleet, policy, cx).await?;
    let found = all.get(&request.user);
    Ok(found.map_or_else(Hosts::default, |on| (on.places.clone(), on.gaps.clone())))
}

pub(super) async fn look_at(
    fleet: &Fleet,
    name: &HostName,
    user: &UserName,
    policy: &Policy,
    cx: &Cx,
) -> Result<Places, Failure> {
    host::look(
        fleet,
        name,
        user,
        &policy.host_homes,
        &policy.host_archives,
        &policy.never_archive,
        cx,
    )
    .await
}

/// Asks the systems, and these hosts, who they are.
pub(super) async fn identities(world: &World, hosts: &[String]) -> Identities {
    let mut known = BTreeMap::new();
    let mut gaps = Vec::new();
    let mut add = |name: &str, lane: Option<&str>, identity: Result<String, Failure>| match identity
    {
        Ok(identity) => {
            known.insert(name.to_owned(), identity);
        }
        Err(failure) => gaps.push(gap(name, lane, &failure)),
    };
    let hdfs = async {
        match &world.hdfs {
            Some(hdfs) => Some(identity(hdfs).await),
            None => None,
        }
    };
    let hive = async {
        match &world.metastore {
            Some(metastore) => Some(metastore.uuid().await.map_err(Failure::from)),
            None => None,
        }
    };
    let keys = async {
        match &world.fleet {
            Some(fleet) => host_keys(fleet, hosts).await,
            None => Vec::new(),
        }
    };
    let (hdfs, hive, keys) = tokio::join!(hdfs, hive, keys);
    if let Some(hdfs) = hdfs {
        add("hdfs", None, hdfs);
    }
    if let Some(hive) = hive {
        add("hive", None, hive);
    }
    for (name, key) in keys {
        add(&format!("host:{name}"), Some(&name), key);
    }
    (known, gaps)
}

async fn host_keys(fleet: &Fleet, hosts: &[String]) -> Vec<(String, Result<String, Failure>)> {
    let cancel = tokio_util::sync::CancellationToken::new();
    stream::iter(hosts.to_vec())
        .map(|name| {
            let cancel = &cancel;
            async move {
                let key = match HostName::parse(&name) {
                    Ok(host) => fleet.host_key(&host, cancel).await.map_err(Failure::from),
                    Err(error) => Err(error.into()),
                };
                (name, key)
            }
        })
        .buffer_unordered(HOSTS)
        .collect()
        .await
}

/// The cluster's id with its block pool's: a cluster that was formatted anew has another.
async fn identity(hdfs: &Hdfs) -> Result<String, Failure> {
    let cluster = hdfs.cluster().await?;
    Ok(format!("{}/{}", cluster.cluster_id, cluster.block_pool_id))
}
