//! `manifest.json`: what an archive says of itself. Written by a plan, read by a look and by a
//! restore, which believes none of it without a check.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::elsewhere;
use super::policy::Policy;
use crate::actions::guard::{UserName, lies_in, path_fault};
use crate::actions::{Action, hdfs};

/// The version that a restore needs.
pub(super) const FORMAT: u32 = 2;
/// More than any manifest has.
pub(super) const LARGEST: u64 = 64 << 20;

/// The manifest of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// The format's version.
    pub format: u32,
    /// Whose archive it is.
    pub user: String,
    /// When the look was taken, in seconds since the epoch.
    pub looked: i64,
    /// The home that became the archive.
    pub home: Option<String>,
    /// Every rename in HDFS: from, to.
    pub moves: Vec<(String, String)>,
    /// Data elsewhere that was left where it is.
    pub kept: Vec<String>,
    /// Hosts whose homes were collected.
    pub hosts: Vec<String>,
    /// The trees in HDFS whose attributes were recorded.
    pub recorded: Vec<String>,
    /// Databases that were dropped.
    pub databases: Vec<String>,
    /// Tables in others' databases that were given to somebody.
    pub given: Vec<Given>,
    /// To whom.
    pub new_owner: Option<String>,
    /// Where in the moved trees others have tables, whose owners and modes were left alone.
    pub others: Vec<String>,
    /// What of the home went to the trash.
    pub trashed: Vec<String>,
    /// Hosts on which services ran without a login.
    pub lingered: Vec<String>,
    /// What was not moved but taken away, of HDFS and of hosts: the record is of a deletion.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<String>,
    /// Data elsewhere that was moved or deleted because somebody asked for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub included: Vec<String>,
    /// Others' tables that moved to another database before: table, database.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moved_tables: Vec<(String, String)>,
    /// What was never archived, by host.
    pub left_out: BTreeMap<String, Vec<String>>,
}

/// A table that was given away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Its database.
    pub database: String,
    /// Its name.
    pub table: String,
    /// When it was made, in seconds since the epoch.
    pub created: i64,
    /// The folder whose files went with it.
    pub path: Option<String>,
}

/// The file's text.
pub(super) fn write(manifest: &Manifest) -> String {
    // A struct of strings and numbers can always be encoded.
    let mut text = serde_json::to_string_pretty(manifest).unwrap_or_default();
    text.push('\n');
    text
}

/// Reads the file; `None` when it is no manifest.
pub(super) fn read(text: &[u8]) -> Option<Manifest> {
    serde_json::from_slice(text).ok()
}

/// Whether the action writes a manifest.
pub(super) fn is_written_by(action: &Action) -> bool {
    let Action::Hdfs(hdfs::Action::Put { to, .. }) = action else {
        return false;
    };
    let name = to.settled.rsplit('/').next();
    name.is_some_and(|name| name.starts_with("manifest"))
}

impl Manifest {
    /// Why it is not believed to be about the archive at `archive` of `user`, a line each. Every
    /// path that a sound one names is one of the user's places, or a place of the archive's.
    /// `folders`: those of the user's databases, by the record.
    pub(super) fn faults(
        &self,
        user: &UserName,
        policy: &Policy,
        archive: &str,
        folders: &[String],
    ) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |sound: bool, why: String| {
            if !sound {
                faults.push(why);
            }
        };
        check(
            self.format == FORMAT,
            format!(
                "format {}, not {FORMAT}: another version wrote it",
                self.format
            ),
        );
        check(
            self.user == user.as_str(),
            format!("it is about {:?}", self.user),
        );
        check(
            self.deleted.is_empty(),
            "it is the record of a deletion: nothing of what it names was kept".to_owned(),
        );
        let home = format!("{}/{user}", policy.homes);
        check(
            self.home.as_ref().is_none_or(|named| *named == home),
            format!("its home is {:?}", self.home),
        );
        let guard = policy.guard();
        let records = format!("{archive}/.opsweek/hive/");
        for (from, to) in &self.moves {
            let is_home = *from == home && to == archive && self.home.is_some();
            let name = to.strip_prefix(&records);
            let is_database = folders.contains(from)
                && [&policy.warehouse, &home]
                    .into_iter()
                    .any(|root| lies_in(from, root) && from != root)
                && name.is_some_and(|name| !name.is_empty() && !name.contains('/'));
            let is_elsewhere = self.included.contains(from)
                && elsewhere::fault(from, &self.included, policy).is_none()
                && name.is_some_and(|to| {
                    let again = to.strip_prefix(&elsewhere::name(from));
                    again.is_some_and(|again| again.is_empty() || again.starts_with('-'))
                });
            check(
                path_fault(to).is_none()
                    && guard.hdfs(from).is_ok()
                    && (is_home || is_database || is_elsewhere),
                format!("{from:?} was not moved to {to:?} by an archive of {user}"),
            );
        }
        let moved = |path: &String| self.moves.iter().any(|(from, _)| lies_in(path, from));
        for path in &self.others {
            check(
                path_fault(path).is_none() && (moved(path) || lies_in(path, archive)),
                format!("{path:?} is not in {user}'s places"),
            );
        }
        for path in &self.trashed {
            let name = [home.as_str(), archive]
                .into_iter()
                .find_map(|root| path.strip_prefix(root)?.strip_prefix('/'));
            check(
                path_fault(path).is_none() && name.is_some_and(|name| !name.contains('/')),
                format!("{path:?} is no part of {user}'s home"),
            );
        }
        for path in self.given.iter().filter_map(|given| given.path.as_ref()) {
            check(
                guard.hdfs(path).is_ok(),
                format!("{path:?} is no table's folder"),
            );
        }
        faults
    }
}
