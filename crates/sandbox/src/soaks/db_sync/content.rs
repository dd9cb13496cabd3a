//! What a database holds, as the client tells it, and what a copy is to hold.

use std::collections::{BTreeMap, BTreeSet};

use super::Soak;
use crate::error::Error;
use crate::servers::mariadb::superset::{PRODUCTION, STAGING};

/// Of every table its checksum, of every sequence its next number, by name.
pub(super) type Content = BTreeMap<String, String>;

/// What the tool notes in a copy is no part of it.
const MARKS: [&str; 2] = ["_opsweek_sync", "opsweek_db_sync"];
/// A row of this number bears the mark in tables that grow.
const ROW: u32 = 1_000_000;

impl Soak<'_> {
    /// What a database holds.
    pub(super) fn content(&self, database: &str) -> Result<Content, Error> {
        // No column more: for these the server opens nothing.
        let objects = self.sql(&format!(
            "SELECT TABLE_TYPE, TABLE_NAME FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = '{database}'"
        ))?;
        let of = |kind: &str| -> Vec<&str> {
            let objects = objects.lines().filter_map(|line| line.split_once('\t'));
            let names = objects.filter_map(|(is, name)| (is == kind).then_some(name));
            names.filter(|name| !MARKS.contains(name)).collect()
        };
        let sequences: Vec<String> = of("SEQUENCE")
            .into_iter()
            .map(|name| {
                format!(
                    "SELECT '{database}.{name}', next_not_cached_value FROM `{database}`.`{name}`"
                )
            })
            .collect();
        let tables: Vec<String> = of("BASE TABLE")
            .into_iter()
            .map(|name| format!("`{database}`.`{name}`"))
            .collect();
        if sequences.is_empty() || tables.is_empty() {
            return Err(self.failed(format!("{database} has lost its tables: {objects}")));
        }
        let found = self.sql(&format!(
            "{}; CHECKSUM TABLE {}",
            sequences.join(" UNION ALL "),
            tables.join(", ")
        ))?;
        let prefix = format!("{database}.");
        let rows = found.lines().filter_map(|line| line.split_once('\t'));
        Ok(rows
            .map(|(name, value)| {
                let name = name.strip_prefix(&prefix).unwrap_or(name);
                (name.to_owned(), value.to_owned())
            })
            .collect())
    }

    /// What a copy of production is to hold now. A table that a copy took over as it was is to
    /// be as it is; what one left empty or rewrote is to be so again.
    pub(super) fn expected(&self) -> Result<Content, Error> {
        let (production, copy) = &self.once;
        let now = self.content(PRODUCTION)?;
        let mut expected = Content::new();
        for (name, value) in now {
            let (then, made) = (production.get(&name), copy.get(&name));
            let value = match made {
                Some(made) if then != Some(made) => {
                    if then != Some(&value) {
                        return Err(self.failed(format!("production's {name} has changed")));
                    }
                    made.clone()
                }
                _ => value,
            };
            expected.insert(name, value);
        }
        Ok(expected)
    }

    /// Marks production as the next generation, unseen by the binary log; gives what a reader
    /// of a copy sees from now on.
    pub(super) fn change_production(&mut self) -> Result<String, Error> {
        self.generation += 1;
        let mark = self.generation;
        self.sql(&format!(
            "SET SESSION sql_log_bin = 0; USE {PRODUCTION}; START TRANSACTION; \
             REPLACE INTO annotation_layer (id, descr) VALUES ({ROW}, '{mark}'); \
             UPDATE dashboards SET description = '{mark}'; \
             UPDATE slices SET description = '{mark}'; \
             REPLACE INTO tag (id, name, description) VALUES ({ROW}, 'generation', '{mark}'); \
             COMMIT"
        ))?;
        Ok([mark; 5].map(|mark| mark.to_string()).join(" "))
    }

    /// What a reader sees of the generation in a database.
    pub(super) fn seen(&self, database: &str) -> Result<String, Error> {
        Ok(self.sql(&marks(database))?.trim().to_owned())
    }
}

/// The query that reads the mark from the first table to the last, by name, in one statement.
fn marks(database: &str) -> String {
    format!(
        "SELECT CONCAT_WS(' ', \
         (SELECT descr FROM {database}.annotation_layer WHERE id = {ROW}), \
         (SELECT MIN(description) FROM {database}.dashboards), \
         (SELECT MAX(description) FROM {database}.dashboards), \
         (SELECT GROUP_CONCAT(DISTINCT description) FROM {database}.slices), \
         (SELECT description FROM {database}.tag WHERE id = {ROW}))"
    )
}

/// The same of staging.
pub(super) fn marks_of_staging() -> String {
    marks(STAGING)
}

/// The names of what differs.
pub(super) fn differences(found: &Content, wanted: &Content) -> String {
    let names: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    let differ = names
        .into_iter()
        .filter(|name| found.get(*name) != wanted.get(*name));
    let told = differ.map(|name| {
        let value = |content: &Content| content.get(name).map_or("-", String::as_str).to_owned();
        format!("{name} {} not {}", value(found), value(wanted))
    });
    told.collect::<Vec<_>>().join(", ")
}
