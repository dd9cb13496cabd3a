//! What a look found, for people.

use super::Intent;
use super::inventory::Databases;
use super::profile::{Policy, Profile};
use crate::actions::sql::Reading;
use crate::engine::render::{Document, Table, bytes};
use crate::procedures::Report;
use crate::services::sql::marker::is_mark;

/// The profiles.
pub(super) fn list(policy: &Policy) -> Report {
    let rows = policy.profiles.iter().map(|(name, profile)| {
        vec![
            name.clone(),
            profile.source.to_string(),
            profile.target.to_string(),
            format!("{} tables", profile.schema_only.len()),
            format!("{} principals", profile.rewrites.len()),
        ]
    });
    let document = Document {
        title: "Profiles of db-sync".to_owned(),
        tables: vec![Table {
            title: String::new(),
            columns: vec!["profile", "from", "to", "definition only", "rewrites"],
            rows: rows.collect(),
        }],
        notes: Vec::new(),
    };
    Report {
        document,
        leftovers: false,
        gaps: Vec::new(),
    }
}

/// Nothing could be looked at.
pub(super) fn unlooked(profile: &Profile) -> Report {
    Report {
        document: Document {
            title: format!("{} and {}", profile.source, profile.target),
            tables: Vec::new(),
            notes: vec!["not looked at: privileges are missing".to_owned()],
        },
        leftovers: false,
        gaps: Vec::new(),
    }
}

pub(super) fn report(profile: &Profile, intent: Intent, found: &Databases) -> Report {
    let (tables, leftovers) = match intent {
        Intent::Diff => (differences(found), !found.differences.is_empty()),
        Intent::Restore => (Vec::new(), false),
        _ => (
            vec![objects(profile, found), rewrites(found)],
            found.new.fingerprint != "empty",
        ),
    };
    let mut notes = vec![
        side("source", &found.source),
        side("target", &found.target),
        side("beside it", &found.new),
        side("kept", &found.previous),
    ];
    if intent == Intent::Diff && found.differences.is_empty() {
        notes.push("no difference".to_owned());
    }
    if found.new.fingerprint == "half copy" {
        notes.push(format!(
            "{} is what a run left that did not come to its end: the next one begins anew",
            found.new.place
        ));
    }
    Report {
        document: Document {
            title: format!("{} and {}", found.source.place, found.target.place),
            tables,
            notes,
        },
        leftovers,
        gaps: Vec::new(),
    }
}

fn side(what: &str, side: &super::inventory::Side) -> String {
    let alembic = side
        .alembic
        .as_ref()
        .map_or_else(String::new, |version| format!(", schema {version}"));
    // Of those beside staging it is not known.
    let sized = match side.bytes() {
        0 => String::new(),
        known => format!(", {}", bytes(known)),
    };
    let read = side.reading.as_ref().map_or_else(String::new, read);
    format!(
        "{what}: {} on {}: {} objects{sized}{alembic}; {}{read}",
        side.place,
        side.server,
        side.objects.len(),
        side.fingerprint
    )
}

/// How a copy was read: `, read at 2026-11-21 15:22:49.120304 UTC by 4 connections; ...`.
fn read(reading: &Reading) -> String {
    let at = reading
        .snapshot
        .as_ref()
        .map_or_else(String::new, |at| format!(" at {at}"));
    let by = match (reading.readers, &reading.one_connection_because) {
        (1, None) => " by 1 connection".to_owned(),
        (1, Some(why)) => format!(" by 1 connection: {why}"),
        (many, _) => format!(" by {many} connections"),
    };
    let held = reading
        .writers_held_up_milliseconds
        .map_or_else(String::new, |most| {
            format!("; writers waited {most} ms for it at most")
        });
    format!(", read{at}{by}{held}")
}

fn differences(found: &Databases) -> Vec<Table> {
    let rows = found
        .differences
        .iter()
        .map(|one| vec![one.name.clone(), one.how.clone()]);
    vec![Table {
        title: "Differences".to_owned(),
        columns: vec!["object", "how"],
        rows: rows.collect(),
    }]
}

/// Every object of production and what will happen to it.
fn objects(profile: &Profile, found: &Databases) -> Table {
    let objects = found
        .source
        .objects
        .iter()
        .filter(|one| !is_mark(&one.name));
    let rows = objects.map(|object| {
        let mut what = if object.is_sequence() {
            "made with its next value".to_owned()
        } else if profile.schema_only.contains(&object.name) {
            "definition only".to_owned()
        } else {
            "copied".to_owned()
        };
        for one in &found.neutralise {
            if one.place().0 == object.name {
                what += "; ";
                what += &one.summary();
            }
        }
        let columns: Vec<&str> = found
            .encrypted
            .iter()
            .filter(|(table, _)| *table == object.name)
            .map(|(_, column)| &**column)
            .collect();
        if !columns.is_empty() && !profile.schema_only.contains(&object.name) {
            what += "; encrypted anew: ";
            what += &columns.join(", ");
        }
        vec![
            object.name.clone(),
            format!("~{}", object.rows),
            bytes(object.bytes),
            what,
        ]
    });
    Table {
        title: "What a copy does".to_owned(),
        columns: vec!["object", "rows", "size", "what"],
        rows: rows.collect(),
    }
}

/// Every rewrite with its old and its new value.
fn rewrites(found: &Databases) -> Table {
    let mut rows: Vec<Vec<String>> = found
        .secrets
        .principals
        .iter()
        .map(|one| {
            vec![
                one.place.clone(),
                one.old.clone(),
                one.new
                    .clone()
                    .unwrap_or_else(|| "stays: no rule".to_owned()),
            ]
        })
        .collect();
    if found.secrets.count > 0 {
        rows.push(vec![
            format!("{} encrypted values", found.secrets.count),
            "******** (source's key)".to_owned(),
            "******** (target's key)".to_owned(),
        ]);
    }
    Table {
        title: "Rewrites".to_owned(),
        columns: vec!["where", "old", "new"],
        rows,
    }
}
