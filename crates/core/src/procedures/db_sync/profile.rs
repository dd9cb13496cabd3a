//! Profiles: which database becomes whose copy, and how. What is not said is Superset's.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::actions::sql::{Neutralise, Place, Principal};
use crate::services::sql::snapshot::Mode;
use crate::services::superset::{PASSING_RESOURCES, SCHEMA_ONLY, TOKENS};

/// `[db-sync]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// The profiles by name.
    pub profiles: BTreeMap<String, Profile>,
}

/// `[db-sync.profiles.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Production.
    pub source: Place,
    /// Staging.
    pub target: Place,
    /// The file whose first line is production's `SECRET_KEY`.
    pub source_key_file: Option<PathBuf>,
    /// The environment variable that is production's `SECRET_KEY`.
    pub source_key_env: Option<String>,
    /// The file whose first line is staging's `SECRET_KEY`.
    pub target_key_file: Option<PathBuf>,
    /// The environment variable that is staging's `SECRET_KEY`.
    pub target_key_env: Option<String>,
    /// Tables of which only the definition is copied: logs, queries, sessions, tokens.
    #[serde(default = "schema_only")]
    pub schema_only: Vec<String>,
    /// What must not go on in staging: reports are not active, locks and caches go.
    #[serde(default = "neutralise")]
    pub neutralise: Vec<Neutralise>,
    /// The principals of production and staging's instead.
    #[serde(default = "rewrites")]
    pub rewrites: Vec<Principal>,
    /// How production is read.
    #[serde(default)]
    pub snapshot: Mode,
    /// How many connections read at once, where the snapshot can be shared: 4.
    #[serde(default = "connections")]
    pub connections: NonZero<usize>,
    /// Programs with their arguments, run without a shell once staging has changed.
    #[serde(default, deserialize_with = "programs")]
    pub follow_ups: Vec<Vec<String>>,
    /// How long each of them may take, in whole seconds: `10m`.
    #[serde(default = "follow_up_deadline")]
    pub follow_up_deadline: jiff::SignedDuration,
}

/// Commands that each name a program.
fn programs<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<String>>, D::Error> {
    let commands: Vec<Vec<String>> = Vec::deserialize(from)?;
    let nameless = |command: &Vec<String>| command.first().is_none_or(String::is_empty);
    if commands.iter().any(nameless) {
        return Err(D::Error::custom("a follow-up names no program"));
    }
    Ok(commands)
}

fn follow_up_deadline() -> jiff::SignedDuration {
    jiff::SignedDuration::from_mins(10)
}

fn schema_only() -> Vec<String> {
    let tables = SCHEMA_ONLY.iter().chain(&TOKENS);
    tables.map(|table| (*table).to_owned()).collect()
}

fn neutralise() -> Vec<Neutralise> {
    vec![
        Neutralise::Set {
            table: "report_schedule".to_owned(),
            column: "active".to_owned(),
            value: 0,
        },
        Neutralise::Delete {
            table: "key_value".to_owned(),
            column: "resource".to_owned(),
            values: PASSING_RESOURCES.map(str::to_owned).to_vec(),
        },
    ]
}

/// Source: "Sync the staging database with the production one" of the administration page.
fn rewrites() -> Vec<Principal> {
    vec![Principal {
        from: "superset/superset.svc.eqiad.wmnet@WIKIMEDIA".to_owned(),
        to: "superset/superset-next.svc.eqiad.wmnet@WIKIMEDIA".to_owned(),
    }]
}

fn connections() -> NonZero<usize> {
    NonZero::<usize>::MIN.saturating_add(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: &str = "source = { server = \"m\", database = \"superset_production\" }\n\
                          target = { server = \"m\", database = \"superset_staging\" }\n";

    #[test]
    fn what_is_not_said_is_supersets() {
        let profile: Profile = toml::from_str(PLACES).unwrap();
        assert!(profile.schema_only.contains(&"logs".to_owned()));
        assert!(profile.schema_only.contains(&"ab_api_key".to_owned()));
        assert_eq!(profile.neutralise.len(), 2);
        assert_eq!(profile.rewrites.len(), 1);
        assert_eq!(profile.connections.get(), 4);
        assert!(profile.follow_ups.is_empty());
        assert_eq!(profile.follow_up_deadline.as_secs(), 600);
    }

    #[test]
    fn what_is_said_holds() {
        let text = format!(
            "{PLACES}schema_only = []\nsnapshot = \"single\"\n\
             neutralise = [{{ do = \"set\", table = \"t\", column = \"c\", value = 1 }}]\n\
             rewrites = []\nfollow_ups = [[\"superset\", \"db\", \"upgrade\"]]\n\
             follow_up_deadline = \"90s\"\n"
        );
        let profile: Profile = toml::from_str(&text).unwrap();
        assert!(profile.schema_only.is_empty() && profile.rewrites.is_empty());
        assert_eq!(profile.snapshot, Mode::Single);
        assert_eq!(profile.neutralise[0].summary(), "t.c = 1 in every row");
        assert_eq!(profile.follow_ups.len(), 1);
        assert_eq!(profile.follow_up_deadline.as_secs(), 90);
        let empty =
            "neutralise = [{ do = \"delete\", table = \"t\", column = \"c\", values = [] }]";
        let error = toml::from_str::<Profile>(&format!("{PLACES}{empty}")).unwrap_err();
        assert!(error.to_string().contains("values is empty"), "{error}");
        assert!(toml::from_str::<Profile>(&format!("{PLACES}schemaonly = []")).is_err());
    }
}
