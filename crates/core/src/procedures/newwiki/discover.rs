//! The look: the two files, and, unless it is offline, the lists and the systems.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::Timestamp;

use super::inventory::{Inventory, TextFile};
use super::lists::Lists;
use super::policy::Policy;
use super::{Request, Target};
use crate::actions::{Action, World, file};
use crate::engine::{Cx, Failure, Gap, Plan};
use crate::procedures::Identities;

/// The name of the checkout among the identities of the world.
pub(super) const REFINERY: &str = "refinery";

pub(super) async fn discover(
    request: &Request,
    policy: &Policy,
    _world: &World,
    _cx: &Cx,
) -> Result<Inventory, Failure> {
    let mut found = Inventory {
        now: Timestamp::now().as_second(),
        ..Inventory::default()
    };
    let (request, dblists) = (request.clone(), policy.dblists.clone());
    let files = move || local(&request, dblists.as_deref(), &mut found).map(|()| found);
    // A panic in there is a bug: it is told, not hidden.
    tokio::task::spawn_blocking(files)
        .await
        .map_err(|error| Failure::new(error, None))?
}

/// What is on this machine: files and lists.
fn local(request: &Request, dblists: Option<&Path>, found: &mut Inventory) -> Result<(), Failure> {
    let (place, identity) = refinery(&request.refinery)?;
    found.world.insert(REFINERY.to_owned(), identity);
    for (target, slot) in [
        (Target::Allowlist, &mut found.allowlist),
        (Target::Sqoop, &mut found.grouped),
    ] {
        if request.wants(target) {
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
        let hint = format!(
            "is {} a checkout of the refinery? --only {other} does without",
            place.display()
        );
        Failure::new(failure, hint)
    })?;
    Ok(TextFile { path: text, bytes })
}

pub(super) async fn identities(request: &Request, _: &World, _: &Plan<Action>) -> Identities {
    let path = request.refinery.clone();
    let identity = tokio::task::spawn_blocking(move || refinery(&path)).await;
    match identity {
        Ok(Ok((_, identity))) => (
            BTreeMap::from([(REFINERY.to_owned(), identity)]),
            Vec::new(),
        ),
        Ok(Err(failure)) => (
            BTreeMap::new(),
            vec![gap(REFINERY, &failure.chain().join(": "))],
        ),
        Err(error) => (BTreeMap::new(), vec![gap(REFINERY, &error.to_string())]),
    }
}
