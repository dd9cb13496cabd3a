//! The look at hosts: which places of the archive's tarballs are missing there.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt};

use super::super::Request;
use super::super::discover::{HOSTS, gap, look_at};
use super::super::policy::Policy;
use super::{HostBack, Source};
use crate::actions::host::evidence::{Proof, proof};
use crate::actions::host::places::Kind;
use crate::actions::host::{Content, is_again};
use crate::actions::restore::host::{Place, Restore, fingerprint};
use crate::actions::{Artefact, World};
use crate::engine::{Cx, Failure, Gap};
use crate::services::fleet::{Fleet, HostName};
use crate::services::hdfs::Hdfs;

/// Fills in what is to be done on each host that the archive has something of; gives the hosts
/// that could not be looked at.
pub(super) async fn look(
    request: &Request,
    policy: &Policy,
    world: &World,
    cx: &Cx,
    source: &mut Source,
) -> Result<Vec<Gap>, Failure> {
    let Some(hdfs) = &world.hdfs else {
        return Ok(Vec::new());
    };
    let mut gaps = Vec::new();
    let names = match &world.fleet {
        Some(fleet) => fleet.hosts(None)?,
        None => Vec::new(),
    };
    let proofs = proofs(hdfs, source, &names, &mut gaps).await?;
    let looked = source.clone();
    let looks = names.into_iter().filter_map(|host| {
        let proofs = proofs.get(host.as_str()).cloned().unwrap_or_default();
        let linger = looked
            .runs
            .iter()
            .any(|(_, run)| run.lingered.iter().any(|h| h == host.as_str()));
        (linger || !proofs.is_empty()).then_some((host, proofs, linger))
    });
    let one = |(host, proofs, linger): (HostName, Vec<String>, bool)| {
        let looked = &looked;
        async move {
            let Some(fleet) = &world.fleet else {
                return (host, Ok(HostBack::default()));
            };
            let look = Look {
                request,
                policy,
                world,
                fleet,
                host: &host,
                cx,
                source: looked,
            };
            let back = look.look(&proofs, linger).await;
            (host, back)
        }
    };
    let looks: Vec<_> = looks.collect();
    let total = looks.len() as u64;
    let progress = cx.for_step("hosts");
    let mut looks = stream::iter(looks).map(one).buffer_unordered(HOSTS);
    let mut seen = 0;
    while let Some((host, back)) = looks.next().await {
        match back {
            Ok(back) => {
                source.hosts.insert(host.to_string(), back);
            }
            Err(failure) => gaps.push(gap(host.as_str(), Some(host.as_str()), &failure)),
        }
        seen += 1;
        progress.progress(seen, Some(total), "hosts");
    }
    gaps.sort_by(|a, b| a.place.cmp(&b.place));
    Ok(gaps)
}

/// The names of each host's proofs, the latest first. A host that is not in the fleet is a gap:
/// a file's name makes nobody talk to a host.
async fn proofs(
    hdfs: &Hdfs,
    source: &Source,
    hosts: &[HostName],
    gaps: &mut Vec<Gap>,
) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let folder = format!("{}/hosts", source.records);
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if hdfs.stat(&folder).await?.is_none() {
        return Ok(all);
    }
    for status in hdfs.list(&folder).await? {
        let name = status.path.rsplit('/').next().unwrap_or_default();
        let Some(name) = name.strip_suffix(".json") else {
            continue;
        };
        let of = |host: &&HostName| name.strip_prefix(host.as_str()).is_some_and(is_again);
        match hosts
            .iter()
            .filter(of)
            .max_by_key(|host| host.as_str().len())
        {
            Some(host) => all
                .entry(host.to_string())
                .or_default()
                .push(name.to_owned()),
            None => gaps.push(Gap {
                place: name.to_owned(),
                why: "the archive has a tarball of it, and it is not in fleet.hosts".to_owned(),
                lane: Some(name.to_owned()),
            }),
        }
    }
    for (host, names) in &mut all {
        let number = |name: &String| -> u32 {
            let again = name
                .strip_prefix(host.as_str())
                .and_then(|rest| rest.strip_prefix('-'));
            again.and_then(|digits| digits.parse().ok()).unwrap_or(1)
        };
        names.sort_by_key(|name| std::cmp::Reverse(number(name)));
    }
    Ok(all)
}

struct Look<'a> {
    request: &'a Request,
    policy: &'a Policy,
    world: &'a World,
    fleet: &'a Fleet,
    host: &'a HostName,
    cx: &'a Cx,
    source: &'a Source,
}

impl Look<'_> {
    async fn look(&self, names: &[String], linger: bool) -> Result<HostBack, Failure> {
        let (request, policy) = (self.request, self.policy);
        let now = look_at(self.fleet, self.host, &request.user, policy, self.cx).await?;
        let mut back = HostBack {
            linger: linger && !now.linger,
            ..HostBack::default()
        };
        let mut taken: Vec<String> = Vec::new();
        for name in names {
            let path = format!("{}/hosts/{name}.json", self.source.records);
            let Some(proof) = proof(self.world, &path).await? else {
                continue;
            };
            let mut restore = match self.restore(name, &proof) {
                Ok(restore) => restore,
                Err(Unfit::Never(why)) => {
                    back.notes.push(why);
                    continue;
                }
                Err(Unfit::Refused(why)) => {
                    back.spared = Some(why);
                    return Ok(back);
                }
            };
            if let (Some(uid), Some(now)) = (restore.uid, now.uid)
                && uid != now
            {
                let why = format!("{} is uid {now} there by now, not {uid}", request.user);
                back.spared = Some(why);
                return Ok(back);
            }
            let mut missing = false;
            for place in std::mem::take(&mut restore.places) {
                if taken.contains(&place.path) {
                    back.notes.push(format!(
                        "{}: {name}.tar.zst has an older {}: not restored",
                        self.host, place.path
                    ));
                    restore.also.push(place.path);
                    continue;
                }
                taken.push(place.path.clone());
                let state = self.state(&restore, &place).await?;
                restore.places.push(place.clone());
                match state {
                    None => missing = true,
                    Some(true) => {}
                    Some(false) => {
                        let why =
                            format!("{} is there, and is not what the archive has", place.path);
                        back.spared = Some(why);
                        return Ok(back);
                    }
                }
            }
            if missing {
                back.restore.push(restore);
            }
        }
        for (tomb, _) in &now.tombs {
            let note = format!(
                "{}: {tomb} is left of a removal that was cut short",
                self.host
            );
            back.notes.push(note);
        }
        Ok(back)
    }

    /// Whether the place is there and as it was; `None` when nothing is there.
    async fn state(&self, restore: &Restore, place: &Place) -> Result<Option<bool>, Failure> {
        let (fleet, host) = (self.fleet, self.host);
        let leave_out = &restore.leave_out;
        let now = fingerprint(fleet, host, &place.path, place.home, leave_out, self.cx).await?;
        Ok(now.map(|now| now == place.fingerprint))
    }

    /// The action for what a proof vouches for, as far as the proof is believed.
    fn restore(&self, name: &str, proof: &Proof) -> Result<Restore, Unfit> {
        let refuse = |why: String| Err(Unfit::Refused(why));
        let user = &self.request.user;
        if proof.content == Content::Listing {
            return Err(Unfit::Never(format!(
                "{}: its homes were deleted, with a listing only: they cannot come back",
                self.host
            )));
        }
        if proof.file != format!("{name}.tar.zst") {
            return refuse(format!(
                "{name}.json names another tarball: {:?}",
                proof.file
            ));
        }
        if proof.places.is_empty() {
            return refuse(format!(
                "{name}.json was written by an older version; unpack it by hand"
            ));
        }
        let guard = self.policy.guard();
        let known = proof.was.paths();
        for place in &proof.places {
            if !known.contains(&place.path.as_str()) {
                return refuse(format!(
                    "{name}.json vouches for {:?} only partly",
                    place.path
                ));
            }
            if let Err(error) = guard.host_path(&place.path, user) {
                return refuse(error.to_string());
            }
        }
        if let Some(home) = proof.was.foreign(user, self.policy.min_uid) {
            return refuse(format!("{} belonged to {}", home.path, home.owner));
        }
        let homes = proof.was.homes.iter();
        let uid = homes
            .filter(|home| !matches!(home.kind, Kind::Link(_)))
            .map(|home| home.uid)
            .chain(proof.was.crontab.iter().map(|file| file.uid))
            .next();
        let artefact = |folder: &str| format!("{folder}/hosts/{}", proof.file);
        Ok(Restore {
            host: self.host.to_string(),
            user: user.clone(),
            uid,
            places: proof.places.clone(),
            also: Vec::new(),
            leave_out: proof.leave_out.clone(),
            file: Artefact {
                staged: artefact(&self.source.records),
                settled: artefact(&self.source.settled()),
            },
            sha256: proof.sha256.clone(),
            bytes: proof.bytes,
        })
    }
}

/// Why a tarball is not unpacked.
enum Unfit {
    /// There is nothing in it to unpack.
    Never(String),
    /// It is not believed.
    Refused(String),
}
