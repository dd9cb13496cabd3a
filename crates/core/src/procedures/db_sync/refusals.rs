//! All that forbids a plan, each with its way out.

use super::inventory::Side;
use super::plan::Base;
use crate::actions::sql::{ACTIVE, Neutralise};
use crate::engine::render::bytes;
use crate::procedures::Refusal;
use crate::services::sql::marker::is_mark;
use crate::services::sql::schema::Obstacle;

impl Base<'_> {
    /// What forbids any change, whatever is asked for.
    pub(super) fn never(&self) -> Vec<Refusal> {
        let (found, profile) = (self.found, self.profile);
        let (source, target) = (&profile.source, &profile.target);
        let mut refusals = Vec::new();
        let mut refuse = |what: String, hint: &str| refusals.push(Refusal::new(what, hint));
        if let Some(fault) = target.fault() {
            refuse(fault, "only a database whose name says staging is replaced");
        }
        let written = [target.clone(), target.new(), target.previous()];
        if found.same_server && written.iter().any(|one| one.database == source.database) {
            refuse(
                format!("{source} and {target} are the same database on the same server"),
                "correct the profile",
            );
        }
        let (here, there) = &found.usage;
        let around = "are source and target of the profile the wrong way round?";
        if there.users > here.users {
            refuse(
                format!(
                    "{target} looks like production: {} users in the last week, and {} in {source}",
                    there.users, here.users
                ),
                &format!("{around} If not: empty the target's logs"),
            );
        }
        if there.reports > here.reports {
            refuse(
                format!(
                    "{target} looks like production: {} active reports, and {} in {source}",
                    there.reports, here.reports
                ),
                &format!("{around} If not: UPDATE report_schedule SET active = 0 in the target"),
            );
        }
        if let Some(tables) = found.pointing.as_ref().filter(|tables| !tables.is_empty()) {
            refuse(
                format!(
                    "foreign keys of other databases point into {target} or {}: {}",
                    target.previous(),
                    tables.join(", ")
                ),
                "drop them: they would go along with the tables that are put aside",
            );
        }
        if found.host.read_only {
            refuse(
                format!("the server of {target} is read only"),
                "it may be a replica: the profile must name its primary",
            );
        }
        refusals
    }

    /// All that forbids a copy.
    pub(super) fn refusals(&self) -> Vec<Refusal> {
        let found = self.found;
        let mut refusals = self.never();
        for side in [&found.source, &found.target] {
            refusals.extend(in_the_way(side, side.obstacles.iter()));
        }
        let mut refuse = |what: String, hint: &str| refusals.push(Refusal::new(what, hint));
        if !found.source.objects.iter().any(|one| !is_mark(&one.name)) {
            refuse(
                format!("{} holds nothing", found.source.place),
                "is the database's name right?",
            );
        }
        if !found.wide.is_empty() {
            refuse(
                format!("rows are too large for a packet: {}", found.wide.join(", ")),
                "raise max_allowed_packet, or name the table in schema_only",
            );
        }
        if let Some(disk) = &found.host.disk
            && disk.free < self.size()
        {
            refuse(
                format!(
                    "the copy takes about {}, and {} are free in {}",
                    bytes(self.size()),
                    bytes(disk.free),
                    disk.path.display()
                ),
                "make room, or name large tables in schema_only",
            );
        }
        if found.new.fingerprint.starts_with("names ") {
            refuse(
                format!("{} holds what is no copy of ours", found.new.place),
                "look at it, and drop it by hand",
            );
        }
        for one in self.left_out().filter(|one| self.in_source(one.place().0)) {
            let (table, column) = one.place();
            refuse(
                format!(
                    "neutralise: {table} has no column {column} in {}",
                    found.source.place
                ),
                "correct the profile: what it names would go on in the target",
            );
        }
        let reports = found.usage.0.reports;
        if reports > 0 && !self.silences() {
            refuse(
                format!(
                    "{reports} reports of {} are active, and would send mail from the target",
                    found.source.place
                ),
                "a neutralise of the profile replaces the default list: add { do = \"set\", table = \
                 \"report_schedule\", column = \"active\", value = 0 } to it",
            );
        }
        let secrets = &found.secrets;
        if !secrets.broken.is_empty() {
            refuse(
                format!(
                    "no JSON in {}: {}",
                    found.source.place,
                    secrets.broken.join("; ")
                ),
                "mend it in the source: what principals it holds is not known",
            );
        }
        if !secrets.unreached.is_empty() {
            refuse(
                format!(
                    "production's principal would stay in the target: {}",
                    secrets.unreached.join("; ")
                ),
                "have it stand in the source where a rule reaches it: \
                 engine_params.connect_args.KerberosPrincipal of extra, or auth_params.principal of \
                 encrypted_extra; it is not guessed what becomes of it elsewhere",
            );
        }
        if secrets.count > 0 && !(found.keys.0 && found.keys.1) {
            refuse(
                format!("{} secrets, and not both keys", secrets.count),
                "name source_key_file and target_key_file in the profile",
            );
        } else if !secrets.bad.is_empty() {
            refuse(
                format!(
                    "{} of {} secrets of {} do not open: {}",
                    secrets.bad.len(),
                    secrets.count,
                    found.source.place,
                    secrets.bad.join("; ")
                ),
                "is source_key the one that they were encrypted with? What is broken in the source \
                 itself must be mended there",
            );
        }
        refusals
    }

    /// Whether the profile leaves no report active, as far as its words tell.
    fn silences(&self) -> bool {
        let empty = self.profile.schema_only.iter().any(|one| one == ACTIVE.0);
        let mut rules = self
            .found
            .neutralise
            .iter()
            .filter(|one| one.place() == ACTIVE);
        empty || rules.any(|one| !matches!(one, Neutralise::Set { value, .. } if *value != 0))
    }
}

/// What is in the way of a copy, or of a rename, by the way out.
pub(super) fn in_the_way<'a>(
    side: &Side,
    obstacles: impl Iterator<Item = &'a Obstacle>,
) -> Vec<Refusal> {
    let mut ways: Vec<(&'static str, Vec<String>)> = Vec::new();
    for obstacle in obstacles {
        match ways.iter_mut().find(|(way, _)| *way == obstacle.way_out()) {
            Some((_, names)) => names.push(obstacle.to_string()),
            None => ways.push((obstacle.way_out(), vec![obstacle.to_string()])),
        }
    }
    let refusals = ways.into_iter().map(|(way, names)| Refusal {
        what: format!("{}: {}", side.place, names.join(", ")),
        hint: way.to_owned(),
    });
    refusals.collect()
}
