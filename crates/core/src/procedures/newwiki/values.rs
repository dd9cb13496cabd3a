//! What the values mean that pageviews brought and the allowlist lacked. Pure.

use std::collections::BTreeMap;

use super::allowlist;
use super::inventory::{Inventory, Unexpected};
use super::names::{Name, Project};
use super::work::Work;
use super::{Request, Target};
use crate::procedures::Offer;

/// What one of them means.
pub(super) enum Meaning {
    /// It is about another field than the project.
    OtherField,
    /// A row was added since.
    Listed,
    /// It is to be added.
    Asked,
    /// A wiki that nobody asked for.
    Wiki(Name),
    /// Nobody's.
    Rubbish,
}

/// Each value with its meaning, in the order of the look.
pub(super) fn meanings<'a>(
    request: &Request,
    work: &Work<'_>,
    found: &'a Inventory,
) -> Vec<(&'a Unexpected, Meaning)> {
    let lists = found.lists.clone().unwrap_or_default();
    let known: BTreeMap<String, &Name> = lists
        .open()
        .map(|name| (name.project(lists.special.contains(name)).into(), name))
        .collect();
    let listed = found.allowlist.as_ref();
    let listed = listed.map(|file| allowlist::projects(&file.bytes));
    let wikis = work
        .wikis
        .iter()
        .filter(|_| request.only != Some(Target::Sqoop));
    let asked: Vec<&str> = wikis
        .map(|wiki| wiki.project.as_str())
        .chain(request.projects.iter().map(Project::as_str))
        .collect();
    let of = |one: &Unexpected| {
        let value = one.value.as_str();
        let is_listed = listed
            .as_ref()
            .is_some_and(|listed| listed.contains_key(value.as_bytes()));
        match known.get(value) {
            _ if one.field != "project" => Meaning::OtherField,
            _ if is_listed => Meaning::Listed,
            _ if asked.contains(&value) => Meaning::Asked,
            Some(&name) => Meaning::Wiki(name.clone()),
            None => Meaning::Rubbish,
        }
    };
    let values = found.unexpected.iter().flatten();
    values.map(|one| (one, of(one))).collect()
}

/// The wikis among them that nobody asked for, where the allowlist is about to be edited.
pub(super) fn offer(request: &Request, work: &Work<'_>, found: &Inventory) -> Option<Offer> {
    if !(request.edits() && request.wants(Target::Allowlist)) {
        return None;
    }
    let wikis = meanings(request, work, found);
    let choices: Vec<(String, String)> = wikis
        .into_iter()
        .filter_map(|(one, meaning)| match meaning {
            Meaning::Wiki(name) => {
                let shown = format!("{} ({name}, {} views)", one.value, one.views);
                Some((one.value.clone(), shown))
            }
            _ => None,
        })
        .collect();
    (!choices.is_empty()).then(|| Offer {
        question: "Which of these does the allowlist get too?".to_owned(),
        choices,
    })
}
