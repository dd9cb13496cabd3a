//! From what was found to a plan, or to all that forbids one.

use std::collections::BTreeSet;

use super::inventory::{Databases, Inventory, Side, Usage};
use super::profile::Profile;
use super::refusals::in_the_way;
use crate::actions::Action;
use crate::actions::sql::{self, Rewriting, Sync};
use crate::engine::plan::{FORMAT, sha256_hex};
use crate::engine::render::bytes;
use crate::engine::{Plan, Risk, Step, Wave};
use crate::procedures::{Heading, Refusal, Unplanned};
use crate::services::sql::marker::is_mark;

pub(super) struct Base<'a> {
    pub(super) name: &'a str,
    pub(super) profile: &'a Profile,
    pub(super) found: &'a Databases,
    pub(super) inventory: &'a Inventory,
    pub(super) heading: &'a Heading,
    pub(super) safety: String,
}

impl Base<'_> {
    /// A copy of production in staging's place.
    pub(super) fn sync(&self) -> Result<Plan<Action>, Unplanned> {
        let refusals = self.refusals();
        if !refusals.is_empty() {
            return Err(Unplanned::Refused(refusals));
        }
        let (found, profile) = (self.found, self.profile);
        let sync = self.number();
        let rewriting = Rewriting {
            principals: profile.rewrites.clone(),
            neutralise: found.neutralise.clone(),
            encrypted: found.encrypted.clone(),
        };
        let schema_only: Vec<String> = found
            .source
            .objects
            .iter()
            .filter(|one| one.is_table() && profile.schema_only.contains(&one.name))
            .map(|one| one.name.clone())
            .collect();
        let mut steps = vec![
            step(
                "copy",
                "copy",
                0,
                Risk::Costly,
                sql::Action::CopySnapshot {
                    sync: sync.clone(),
                    from: profile.source.clone(),
                    was: found.schema.clone(),
                    schema_only: schema_only.clone(),
                    snapshot: profile.snapshot,
                    connections: profile.connections.get(),
                },
            ),
            step(
                "rewrite",
                "copy",
                0,
                Risk::Costly,
                sql::Action::Rewrite {
                    sync: sync.clone(),
                    rewriting: rewriting.clone(),
                },
            ),
            step(
                "check",
                "copy",
                0,
                Risk::Reversible,
                sql::Action::Check {
                    sync: sync.clone(),
                    rewriting,
                    schema_only,
                },
            ),
        ];
        if found.previous.fingerprint != "empty" {
            let drop = sql::Action::DropPrevious {
                sync: sync.clone(),
                was: found.previous.fingerprint.clone(),
                objects: found.previous.objects.len(),
                proof: sync.proof(),
            };
            steps.push(step(
                "drop-previous",
                "previous",
                1,
                Risk::Irreversible,
                drop,
            ));
        }
        steps.push(step(
            "cut-over",
            "copy",
            2,
            Risk::Reversible,
            sql::Action::CutOver {
                sync: sync.clone(),
                was: found.target.fingerprint.clone(),
                objects: found.target.objects.len(),
            },
        ));
        for (index, command) in profile.follow_ups.iter().enumerate() {
            let action = sql::Action::FollowUp {
                sync: sync.clone(),
                number: index + 1,
                command: command.clone(),
                seconds: profile.follow_up_deadline.as_secs().unsigned_abs(),
            };
            let id = format!("follow-up-{}", index + 1);
            steps.push(step(&id, "copy", 3, Risk::Costly, action));
        }
        let title = format!(
            "replace {} by a copy of {}",
            of(&found.target, Some(&found.usage.1)),
            profile.source
        );
        Ok(self.plan(title, self.notes(), steps))
    }

    /// What the last copy replaced, back in its place.
    pub(super) fn restore(&self) -> Result<Plan<Action>, Unplanned> {
        let found = self.found;
        let mut refusals = self.never();
        for side in [&found.target, &found.previous] {
            let staying = side.obstacles.iter().filter(|one| one.stays());
            refusals.extend(in_the_way(side, staying));
        }
        let mut refuse = |what: String, hint: &str| refusals.push(Refusal::new(what, hint));
        if matches!(&*found.previous.fingerprint, "empty" | "half copy") {
            refuse(
                format!("{} holds nothing to put back", found.previous.place),
                "only what the last copy replaced is kept",
            );
        }
        if found.target.fingerprint == found.previous.fingerprint {
            refuse(
                format!(
                    "{} and {} are the same copy",
                    found.target.place, found.previous.place
                ),
                "somebody has copied one by hand: rename the tables by hand as well",
            );
        }
        if !matches!(&*found.new.fingerprint, "empty" | "half copy") {
            refuse(
                format!("{} is in the way", found.new.place),
                "go on with the run that made it, or drop its tables",
            );
        }
        if !refusals.is_empty() {
            return Err(Unplanned::Refused(refusals));
        }
        let target = &self.profile.target;
        let action = sql::Action::SwapBack {
            profile: self.name.to_owned(),
            target: target.clone(),
            now: found.target.fingerprint.clone(),
            back: found.previous.fingerprint.clone(),
        };
        let steps = vec![step("swap-back", "copy", 2, Risk::Reversible, action)];
        let title = format!(
            "swap {} and {}",
            of(&found.target, Some(&found.usage.1)),
            of(&found.previous, None)
        );
        let mut notes = self.renaming();
        if found.kept_reports > 0 {
            notes.push(format!(
                "{} reports of {} are active, and send mail once it is put back",
                found.kept_reports, found.previous.place
            ));
        }
        Ok(self.plan(title, notes, steps))
    }

    fn plan(&self, title: String, notes: Vec<String>, steps: Vec<Step<Action>>) -> Plan<Action> {
        let wave = |name: &str, gate| Wave {
            name: name.to_owned(),
            gate,
        };
        Plan {
            format: FORMAT,
            tool: "db-sync".to_owned(),
            version: self.heading.version.clone(),
            subject: self.profile.target.database.clone(),
            title,
            created: self.inventory.now,
            task: self.heading.task.clone(),
            reason: self.heading.reason.clone(),
            safety: self.safety.clone(),
            world: self.inventory.world.clone(),
            coverage: Vec::new(),
            unasked: Vec::new(),
            overruled: Vec::new(),
            notes,
            pace: None,
            waves: vec![
                wave("make the copy", false),
                wave("make room", true),
                wave("cut over", true),
                wave("follow up", true),
            ],
            steps,
        }
    }

    /// The number of the copy: no two plans share it, as the second's would be taken for done.
    fn number(&self) -> Sync {
        let target = &self.profile.target;
        let Inventory {
            now, nanosecond, ..
        } = self.inventory;
        let seed = format!(
            "{}\0{target}\0{now}\0{nanosecond}\0{}",
            self.name, self.found.target.fingerprint
        );
        Sync {
            profile: self.name.to_owned(),
            id: format!(
                "{}-{}",
                self.inventory.now,
                &sha256_hex(seed.as_bytes())[..8]
            ),
            target: target.clone(),
        }
    }

    /// What the reader should know beside the steps.
    fn notes(&self) -> Vec<String> {
        let found = self.found;
        let mut notes = Vec::new();
        for one in &found.secrets.principals {
            notes.push(match &one.new {
                Some(new) => format!("{}: {} becomes {new}", one.place, one.old),
                None => format!("{}: {} stays: the profile has no rule", one.place, one.old),
            });
        }
        if found.secrets.count > 0 {
            notes.push(format!(
                "{} secrets are encrypted for the target's key",
                found.secrets.count
            ));
        }
        notes.extend(found.neutralise.iter().map(sql::Neutralise::summary));
        let tables = self.left_out().map(|one| one.place().0);
        let tables = tables.chain(self.profile.schema_only.iter().map(String::as_str));
        let absent: BTreeSet<&str> = tables.filter(|table| !self.in_source(table)).collect();
        if !absent.is_empty() {
            let absent = Vec::from_iter(absent).join(", ");
            notes.push(format!(
                "the profile names what the source does not have: {absent}"
            ));
        }
        if found.unreadable > 0 {
            notes.push(format!(
                "{} of the target's present secrets do not open with its key: is \
                 target_key right?",
                found.unreadable
            ));
        }
        let (ours, theirs) = (&found.source.alembic, &found.target.alembic);
        if ours != theirs {
            let version = |version: &Option<String>| version.clone().unwrap_or("none".to_owned());
            notes.push(format!(
                "the target's schema goes from {} to {}: run superset db upgrade and superset \
                 init with the target's Superset, and empty its cache",
                version(theirs),
                version(ours)
            ));
        }
        let only: Vec<&str> = found
            .target
            .objects
            .iter()
            .map(|one| &*one.name)
            .filter(|name| !is_mark(name))
            .filter(|name| !found.source.objects.iter().any(|one| one.name == *name))
            .collect();
        if !only.is_empty() {
            notes.push(format!("only the target has {}", only.join(", ")));
        }
        if self.profile.follow_ups.is_empty() {
            notes.push(
                "no follow-up is configured: restart the target's Superset and empty its cache"
                    .to_owned(),
            );
        }
        notes.extend(self.around());
        notes
    }

    /// The neutralisations that the source has no column for.
    pub(super) fn left_out(&self) -> impl Iterator<Item = &sql::Neutralise> {
        let all = self.profile.neutralise.iter();
        all.filter(|one| !self.found.neutralise.contains(one))
    }

    /// Whether the source has a table of that name.
    pub(super) fn in_source(&self, table: &str) -> bool {
        let mut objects = self.found.source.objects.iter();
        objects.any(|object| object.name == table)
    }

    /// Bytes that the copy will take, about.
    pub(super) fn size(&self) -> u64 {
        let objects = self.found.source.objects.iter();
        let copied = objects.filter(|one| !self.profile.schema_only.contains(&one.name));
        copied.map(|object| object.bytes).sum()
    }

    /// What may be in the way of a rename, and what could not be seen of it.
    fn renaming(&self) -> Vec<String> {
        let found = self.found;
        let target = &self.profile.target;
        let mut notes = Vec::new();
        match &found.transactions {
            Some(open) => notes.extend(open.iter().map(|one| {
                format!(
                    "connection {} ({}) has had a transaction open for {} s: the rename waits \
                     for it if it uses {target}, 2 s at a time, for 2 min",
                    one.connection, one.account, one.seconds
                )
            })),
            None => notes.push(
                "open transactions are seen only with the privilege PROCESS: the rename waits \
                 for those that use the target, 2 s at a time, for 2 min"
                    .to_owned(),
            ),
        }
        if found.pointing.is_none() {
            notes.push(
                "foreign keys of other databases into the target are seen only with the \
                 privilege PROCESS: they go along with the tables that are put aside"
                    .to_owned(),
            );
        }
        let version = &found.target.server;
        if !renames_atomically(version) {
            notes.push(format!(
                "WARNING: the target's server is {version}: before MariaDB 10.6 one that dies \
                 in the middle of the rename leaves some tables renamed"
            ));
        }
        notes
    }

    /// What of the target's server may be in the way, and what could not be seen.
    fn around(&self) -> Vec<String> {
        let found = self.found;
        let target = &self.profile.target;
        let mut notes = Vec::new();
        let takes = format!(
            "the copy takes about {}{}",
            bytes(self.size()),
            if found.host.logs {
                ", and the server's binary log as much again"
            } else {
                ""
            }
        );
        notes.push(match &found.host.disk {
            Some(disk) => {
                let scarce = disk.free / 2 < self.size();
                let warning = if scarce { "WARNING: only " } else { "" };
                let path = disk.path.display();
                format!("{warning}{} free in {path}: {takes}", bytes(disk.free))
            }
            None => format!("free disk cannot be seen from here, look yourself: {takes}"),
        });
        notes.extend(self.renaming());
        if found.usage.1.reports > 0 {
            notes.push(format!(
                "{} reports of {target} are active, and send mail until the cut-over",
                found.usage.1.reports
            ));
        }
        if !found.unseeing.is_empty() {
            notes.push(format!(
                "a trigger in the target would stop the cut-over, when what {} keeps is dropped \
                 already; triggers, routines and events are not all seen without {}",
                found.previous.place,
                found.unseeing.join(" ")
            ));
        }
        notes
    }
}

/// Whether a server that dies while it renames finishes or undoes it when it comes back. Source:
/// `MariaDB`, "Atomic DDL".
fn renames_atomically(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
    let release = (numbers.next().flatten(), numbers.next().flatten());
    !version.contains("MariaDB") || release >= (Some(10), Some(6))
}

fn of(side: &Side, usage: Option<&Usage>) -> String {
    let used = usage
        .and_then(|usage| usage.last.as_ref())
        .map_or_else(String::new, |at| format!(", last used {at}"));
    let written = side
        .written()
        .map_or_else(String::new, |at| format!(", last written {at}"));
    format!(
        "{} ({} objects, {}{used}{written})",
        side.place,
        side.objects.len(),
        bytes(side.bytes())
    )
}

fn step(id: &str, lane: &str, wave: usize, risk: Risk, action: sql::Action) -> Step<Action> {
    let why = match &action {
        sql::Action::CopySnapshot { .. } => "staging shall hold what production holds",
        sql::Action::Rewrite { .. } => "staging is not production",
        sql::Action::Check { .. } => "nothing unproven comes into staging's place",
        sql::Action::DropPrevious { .. } => "there is room for one former staging",
        sql::Action::CutOver { .. } => "readers see the old or the new, never a mix",
        sql::Action::SwapBack { .. } => "the former staging is wanted back",
        sql::Action::FollowUp { .. } => "configured in the profile",
    };
    Step {
        id: id.to_owned(),
        lane: lane.to_owned(),
        wave,
        risk,
        why: why.to_owned(),
        action: action.into(),
    }
}
