//! The look: the two files, and, unless it is offline, the lists and the systems.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::inventory::{Checkout, HdfsAllowlist, Inventory, TextFile, Unexpected};
use super::lists::Lists;
use super::live::{HDFS, REMOTE};
use super::names::Name;
use super::policy::Policy;
use super::{After, Passwords, Request, Target, look};
use crate::actions::{Action, World, file};
use crate::engine::{Cx, Failure, Gap, Plan};
use crate::procedures::Identities;
use crate::services::git::Git;

/// The name of the checkout among the identities of the world.
pub(super) const REFINERY: &str = "refinery";

/// How many days of unexpected values are looked at unless told otherwise.
const DAYS: i64 = 7;

/// A look about to be taken.
pub(super) struct Look<'a> {
    pub(super) request: &'a Request,
    pub(super) policy: &'a Policy,
    pub(super) subject: &'a str,
    pub(super) passwords: &'a Passwords,
    pub(super) world: &'a World,
    pub(super) cx: &'a Cx,
}

impl Look<'_> {
    pub(super) async fn discover(&self) -> Result<Inventory, Failure> {
        let mut found = Inventory {
            now: Timestamp::now().as_second(),
            ..Inventory::default()
        };
        let (request, dblists) = (self.request.clone(), self.policy.dblists.clone());
        let files = move || local(&request, dblists.as_deref(), &mut found).map(|()| found);
        // A panic in there is a bug: it is told, not hidden.
        let mut found = tokio::task::spawn_blocking(files)
            .await
            .map_err(|error| Failure::new(error, None))??;
        if self.request.offline {
            return Ok(found);
        }
        let wikis = self.asked(found.lists.as_ref());
        let (replicas, unexpected, checkout, hdfs) = tokio::join!(
            look::replicas(&wikis, self.policy, self.passwords, self.cx),
            self.unexpected(found.now),
            self.checkout(&found),
            self.hdfs(),
        );
        found.replicas = replicas.ready;
        found.world.extend(replicas.world);
        found.gaps.extend(replicas.gaps);
        let mut gaps = Vec::new();
        found.unexpected = seen("unexpected values", unexpected, &mut gaps);
        if let Some((checkout, gap)) = seen("checkout", checkout, &mut gaps) {
            found
                .world
                .insert(REMOTE.to_owned(), checkout.remote.clone());
            found.checkout = Some(checkout);
            gaps.extend(gap);
        }
        if let Some((hdfs, identity)) = seen(HDFS, hdfs, &mut gaps) {
            found.world.insert(HDFS.to_owned(), identity);
            found.hdfs = Some(hdfs);
        }
        found.gaps.extend(gaps);
        Ok(found)
    }

    /// The wikis that the replicas are asked about, with their sections.
    fn asked(&self, lists: Option<&Lists>) -> BTreeMap<Name, String> {
        let Some(lists) = lists else {
            return BTreeMap::new();
        };
        let request = self.request;
        let names: Vec<&Name> = if request.only == Some(Target::Allowlist) {
            Vec::new()
        } else if request.audit {
            lists.open().collect()
        } else {
            request.names.iter().collect()
        };
        let with_section = |name: &Name| Some((name.clone(), lists.sections.get(name)?.clone()));
        names.into_iter().filter_map(with_section).collect()
    }

    /// What pageviews brought, where rows are to be added or days were named.
    async fn unexpected(&self, now: i64) -> Result<Option<Vec<Unexpected>>, Failure> {
        let request = self.request;
        let adds = !(request.names.is_empty() && request.projects.is_empty());
        let wanted = request.since.is_some() || (adds && request.only != Some(Target::Sqoop));
        let (Some(metastore), Some(hdfs), true) = (&self.world.metastore, &self.world.hdfs, wanted)
        else {
            return Ok(None);
        };
        let today = Timestamp::from_second(now).unwrap_or_default();
        let usual = today
            .to_zoned(TimeZone::UTC)
            .date()
            .saturating_sub(DAYS.days());
        let since = request.since.unwrap_or(usual);
        let table = &self.policy.unexpected_table;
        look::unexpected(metastore, hdfs, table, since, self.cx)
            .await
            .map(Some)
    }

    /// How the checkout stands, where it is to be committed in.
    async fn checkout(
        &self,
        found: &Inventory,
    ) -> Result<Option<(Checkout, Option<Gap>)>, Failure> {
        let request = self.request;
        match found.world.get(REFINERY) {
            Some(folder) if request.edits() && request.after != After::Leave => {
                look::checkout(Path::new(folder), self.subject, self.policy, request.after)
                    .await
                    .map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The allowlist in HDFS, where it is asked for or to be compared.
    async fn hdfs(&self) -> Result<Option<(HdfsAllowlist, String)>, Failure> {
        let request = self.request;
        let wanted = request.sync_hdfs || (request.audit && request.wants(Target::Allowlist));
        let hdfs = match &self.world.hdfs {
            Some(hdfs) if wanted => hdfs,
            None if request.sync_hdfs => {
                let hint = "add a [hdfs] section to the configuration";
                return Err(Failure::new("hdfs is not configured", hint.to_owned()));
            }
            _ => return Ok(None),
        };
        let there = look::allowlist(hdfs, &self.policy.allowlist.folder).await?;
        Ok(Some((there, look::identity(hdfs).await?)))
    }
}

/// What was found; a failure becomes a gap.
fn seen<T>(place: &str, found: Result<Option<T>, Failure>, gaps: &mut Vec<Gap>) -> Option<T> {
    found.unwrap_or_else(|failure| {
        gaps.push(look::gap(place, &failure));
        None
    })
}

/// What is on this machine: files and lists.
fn local(request: &Request, dblists: Option<&Path>, found: &mut Inventory) -> Result<(), Failure> {
    let (place, identity) = refinery(&request.refinery)?;
    found.world.insert(REFINERY.to_owned(), identity);
    for (target, slot) in [
        (Target::Allowlist, &mut found.allowlist),
        (Target::Sqoop, &mut found.grouped),
    ] {
        // Values are told apart by whether they are listed.
        let compares = target == Target::Allowlist && request.since.is_some();
        if request.wants(target) || compares {
            *slot = Some(text_file(&place, request, target)?);
        }
    }
    if request.offline {
        return Ok(());
    }
    let Some(folder) = dblists else {
        found
            .gaps
            .push(gap("dblists", "newwiki.dblists is not configured"));
        return Ok(());
    };
    found.lists = Some(Lists::read(folder).map_err(|error| {
        let hint = error.hint();
        Failure::new(error, hint)
    })?);
    Ok(())
}

fn gap(place: &str, why: &str) -> Gap {
    Gap {
        place: place.to_owned(),
        why: why.to_owned(),
        lane: None,
    }
}

/// The folder without links, and what tells it from another.
fn refinery(path: &Path) -> Result<(std::path::PathBuf, String), Failure> {
    let place = fs::canonicalize(path).map_err(|error| {
        Failure::new(
            std::io::Error::new(
                error.kind(),
                format!("refinery {}: {error}", path.display()),
            ),
            "--refinery or newwiki.refinery names the checkout".to_owned(),
        )
    })?;
    let identity = place
        .to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(format!("the path {} is not UTF-8", place.display()), None))?;
    Ok((place, identity))
}

fn text_file(place: &Path, request: &Request, target: Target) -> Result<TextFile, Failure> {
    let relative = request.path(target);
    let relative = relative
        .strip_prefix(&request.refinery)
        .unwrap_or(&relative);
    let path = place.join(relative);
    let text = path.display().to_string();
    let bytes = file::read(&text).map_err(|failure| {
        let other = match target {
            Target::Allowlist => "sqoop",
            Target::Sqoop => "allowlist",
        };
        let usual = format!("is {} a checkout of the refinery?", place.display());
        let hint = failure.hint().unwrap_or(&usual);
        let hint = format!("{hint} (--only {other} does without)");
        Failure::new(failure, hint)
    })?;
    Ok(TextFile { path: text, bytes })
}

/// Asks the systems that the plan was made on who they are.
pub(super) async fn identities(
    request: &Request,
    policy: &Policy,
    passwords: &Passwords,
    world: &World,
    plan: &Plan<Action>,
) -> Identities {
    let names = plan.world.keys().map(String::as_str);
    let (mut known, mut gaps) = look::identities(names, policy, passwords).await;
    for name in plan.world.keys() {
        let identity = match (name.as_str(), &world.hdfs) {
            (REFINERY, _) => {
                let path = request.refinery.clone();
                let identity = tokio::task::spawn_blocking(move || refinery(&path)).await;
                match identity {
                    Ok(found) => found.map(|(_, identity)| identity),
                    Err(error) => Err(Failure::new(error, None)),
                }
            }
            (REMOTE, _) => {
                let git = Git::new(&request.refinery);
                git.url(&policy.remote).await.map_err(Failure::from)
            }
            (HDFS, Some(hdfs)) => look::identity(hdfs).await,
            _ => continue,
        };
        match identity {
            Ok(identity) => {
                known.insert(name.clone(), identity);
            }
            Err(failure) => gaps.push(look::gap(name, &failure)),
        }
    }
    (known, gaps)
}
