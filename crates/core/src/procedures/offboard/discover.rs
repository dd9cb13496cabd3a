//! The look. Reads only. Whatever cannot be looked at becomes a gap of the inventory.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt};

use super::admins::Admins;
use super::inventory::{Account, HdfsFindings, HiveFindings, Inventory};
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
    let (account, applications, hdfs, hosts) = tokio::join!(
        account(request, admins, shared),
        applications(request, world),
        hdfs(request, policy, world, cx),
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
    let hive = hive(request, policy, shared, world, hdfs.as_ref(), cx)
        .await
        .unwrap_or_else(|failure| {
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
    if let (Some(client), Some(found)) = (&world.hdfs, hdfs.as_mut())
        && let Err(failure) = look::room(client, request.intent, policy, found, hive.as_ref()).await
    {
        gaps.push(gap("hdfs", Some("cluster"), &failure));
    }
    let (hosts, host_gaps) = hosts?;
    gaps.extend(host_gaps);
    let names: Vec<String> = hosts.keys().cloned().collect();
    let (identities, _) = identities(world, &names).await;
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
async fn account(
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
async fn applications(request: &Request, world: &World) -> Result<Vec<String>, Failure> {
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

async fn hive(
    request: &Request,
    policy: &Policy,
    shared: &Shared,
    world: &World,
    hdfs: Option<&HdfsFindings>,
    cx: &Cx,
) -> Result<Option<HiveFindings>, Failure> {
    match &world.metastore {
        None => Ok(None),
        Some(metastore) => {
            let look = look::Hive {
                metastore,
                hdfs: world.hdfs.as_ref(),
                user: &request.user,
                move_tables: &request.move_tables,
                policy,
                shared,
                cx,
            };
            look.look(hdfs).await.map(Some)
        }
    }
}

type Hosts = (BTreeMap<String, Places>, Vec<Gap>);

async fn hosts(
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
    if let Some(hdfs) = &world.hdfs {
        add("hdfs", None, identity(hdfs).await);
    }
    if let Some(metastore) = &world.metastore {
        add("hive", None, metastore.uuid().await.map_err(Failure::from));
    }
    if let Some(fleet) = &world.fleet {
        let cancel = tokio_util::sync::CancellationToken::new();
        let keys: Vec<(String, Result<String, Failure>)> = stream::iter(hosts.to_vec())
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
            .await;
        for (name, key) in keys {
            add(&format!("host:{name}"), Some(&name), key);
        }
    }
    (known, gaps)
}

/// The cluster's id with its block pool's: a cluster that was formatted anew has another.
async fn identity(hdfs: &Hdfs) -> Result<String, Failure> {
    let cluster = hdfs.cluster().await?;
    Ok(format!("{}/{}", cluster.cluster_id, cluster.block_pool_id))
}
