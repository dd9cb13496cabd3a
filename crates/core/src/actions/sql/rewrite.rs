//! What makes a copy of Superset's production database staging's.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::mark::{self, Stage};
use super::neutralise::{Neutralise, set_mode};
use super::{Databases, Sync};
use crate::engine::Failure;
use crate::services::sql::{Connection, Error, Secret, quote_identifier};
use crate::services::superset::{
    ENCRYPTED, ENCRYPTED_JSON, ENCRYPTED_PRINCIPAL, EXTRA_PRINCIPAL, JsonError, SecretError,
    SecretKey, may_hold_principal, plain_uri, replace_string, string_at, strings,
};

/// A principal of production and staging's instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// Production's.
    pub from: String,
    /// Staging's.
    pub to: String,
}

impl Principal {
    /// Whether production's stands in the text. Staging's may hold it as a part.
    fn stands_in(&self, text: &str) -> bool {
        if self.to.contains(&self.from) {
            text.replace(&self.to, "").contains(&self.from)
        } else {
            text.contains(&self.from)
        }
    }
}

/// What is rewritten in a copy. Holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewriting {
    /// The principals.
    pub principals: Vec<Principal>,
    /// What must not go on.
    pub neutralise: Vec<Neutralise>,
    /// The encrypted columns that the database has: table and column.
    pub encrypted: Vec<(String, String)>,
}

impl Rewriting {
    /// Those of production's principals that stand in the text.
    fn standing_in(&self, text: &str) -> impl Iterator<Item = Change> {
        let rules = self.principals.iter();
        rules
            .filter(|rule| rule.stands_in(text))
            .map(|rule| (rule.from.clone(), None))
    }
}

/// A principal that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Where: `dbs 3 (presto_analytics_hive), extra`.
    pub place: String,
    /// The principal; of a URI nothing is shown.
    pub old: String,
    /// What it becomes; `None`: there is no rule, it stays.
    pub new: Option<String>,
}

/// What was found in the encrypted columns and where principals stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Secrets {
    /// How many encrypted values there are.
    pub count: usize,
    /// Those that do not open, or hold no JSON where they should: place and why.
    pub bad: Vec<String>,
    /// What is not encrypted and holds no JSON where it should: place and why.
    pub broken: Vec<String>,
    /// The principals.
    pub principals: Vec<Found>,
    /// How many of them are production's and become staging's.
    pub productions: usize,
    /// Where one of production's stands that no rule reaches: place and principal.
    pub unreached: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Update {
    table: String,
    column: String,
    id: i64,
    value: Vec<u8>,
}

/// Opens every encrypted value of the database with `key`, and finds every principal.
/// Changes nothing.
pub async fn look_at_secrets(
    connection: &mut Connection,
    database: &str,
    rewriting: &Rewriting,
    key: Option<&SecretKey>,
) -> Result<Secrets, Error> {
    let (secrets, _) = look(connection, database, rewriting, key, None).await?;
    Ok(secrets)
}

/// The same, with the changes: encrypted values for the key `to`.
async fn look(
    connection: &mut Connection,
    database: &str,
    rewriting: &Rewriting,
    key: Option<&SecretKey>,
    to: Option<&SecretKey>,
) -> Result<(Secrets, Vec<Update>), Error> {
    let mut secrets = Secrets::default();
    let mut updates = Vec::new();
    for (table, column) in &rewriting.encrypted {
        let rows: Vec<(i64, Vec<u8>)> = connection
            .rows(
                &format!("reading {database}.{table}.{column}"),
                &format!(
                    "SELECT id, {column} FROM {}.{} WHERE {column} IS NOT NULL ORDER BY id",
                    quote_identifier(database),
                    quote_identifier(table),
                    column = quote_identifier(column),
                ),
                (),
            )
            .await?;
        for (id, stored) in rows {
            secrets.count += 1;
            let place = format!("{table} {id}, {column}");
            let is_json = (&**table, &**column) == ENCRYPTED_JSON;
            match secret(&stored, is_json, rewriting, key, to) {
                Ok((value, principals)) => {
                    secrets.add(&place, rewriting, principals);
                    updates.extend(value.map(|value| Update {
                        table: table.clone(),
                        column: column.clone(),
                        id,
                        value: value.into_bytes(),
                    }));
                }
                Err(why) => secrets.bad.push(format!("{place}: {why}")),
            }
        }
    }
    extras(connection, database, rewriting, &mut secrets, &mut updates).await?;
    Ok((secrets, updates))
}

impl Secrets {
    fn add(&mut self, place: &str, rewriting: &Rewriting, found: Changes) {
        for (path, (old, new)) in found {
            let place = match &*path {
                "" => place.to_owned(),
                path => format!("{place} {path}"),
            };
            match &new {
                Some(_) => self.productions += 1,
                None if rewriting.principals.iter().any(|rule| rule.from == old) => {
                    self.unreached.push(format!("{place}: {old}"));
                }
                None => {}
            }
            self.principals.push(Found { place, old, new });
        }
    }
}

/// A principal, and what it becomes.
type Change = (String, Option<String>);

/// Principals with their paths in a JSON text; no path where one is not that of a rule, or
/// there is no JSON.
type Changes = Vec<(String, Change)>;

/// The new stored form of an encrypted value, and the principals in it.
fn secret(
    stored: &[u8],
    is_json: bool,
    rewriting: &Rewriting,
    key: Option<&SecretKey>,
    to: Option<&SecretKey>,
) -> Result<(Option<String>, Changes), String> {
    let key = key.ok_or("no key is configured")?;
    let said = |error: SecretError| error.to_string();
    let (layout, text) = key.open(stored).map_err(said)?;
    // Superset takes a blank text for none.
    let (changed, principals) = if is_json && !text.reveal().trim().is_empty() {
        principals_in(text.reveal(), &ENCRYPTED_PRINCIPAL, rewriting)
            .map_err(|error| error.to_string())?
    } else {
        let found = rewriting.standing_in(text.reveal());
        (None, found.map(|change| (String::new(), change)).collect())
    };
    let value = match (changed, to) {
        (_, None) => None,
        (Some(changed), Some(to)) => Some(to.seal(layout, &Secret::new(changed))),
        (None, Some(to)) => Some(key.reseal(stored, to)),
    };
    Ok((value.transpose().map_err(said)?, principals))
}

/// The text with the principal at `path` replaced, if there is a rule for it; that principal,
/// and every place where one of production's stands besides.
fn principals_in(
    text: &str,
    path: &[&str],
    rewriting: &Rewriting,
) -> Result<(Option<String>, Changes), JsonError> {
    let (mut changed, mut found) = (None, Vec::new());
    let known = string_at(text, path)?.map(|(_, old)| old);
    if let Some(old) = &known {
        let rule = rewriting.principals.iter().find(|rule| rule.from == *old);
        if let Some(rule) = rule {
            changed = replace_string(text, path, &rule.from, &rule.to)?;
            found.push((String::new(), (old.clone(), Some(rule.to.clone()))));
        } else if rewriting.standing_in(old).next().is_none() {
            found.push((String::new(), (old.clone(), None)));
        }
    }
    let rewritten = changed.is_some().then(|| path.join("."));
    for (at, string) in strings(text)? {
        if Some(&at) == rewritten.as_ref() && Some(&string) == known.as_ref() {
            continue;
        }
        let standing = rewriting.standing_in(&string);
        found.extend(standing.map(|change| (at.clone(), change)));
    }
    if found.is_empty() {
        // The first of two keys of one name, which nobody reads.
        let standing = rewriting.standing_in(text);
        found.extend(standing.map(|change| (String::new(), change)));
    }
    Ok((changed, found))
}

/// Id, name, `extra` and URI of a connection.
type Row = (i64, Option<String>, Option<String>, Option<String>);

/// What stands unencrypted in `dbs`.
async fn extras(
    connection: &mut Connection,
    database: &str,
    rewriting: &Rewriting,
    secrets: &mut Secrets,
    updates: &mut Vec<Update>,
) -> Result<(), Error> {
    for column in ["id", "database_name", "extra", "sqlalchemy_uri"] {
        if !connection.has_column(database, "dbs", column).await? {
            return Ok(());
        }
    }
    let rows: Vec<Row> = connection
        .rows(
            &format!("reading {database}.dbs"),
            &format!(
                "SELECT id, database_name, extra, sqlalchemy_uri FROM {}.dbs ORDER BY id",
                quote_identifier(database)
            ),
            (),
        )
        .await?;
    for (id, name, extra, uri) in rows {
        let place = match name {
            Some(name) => format!("dbs {id} ({name})"),
            None => format!("dbs {id}"),
        };
        let uri = uri.unwrap_or_default();
        let uri = plain_uri(&uri);
        let mut standing: Vec<Change> = rewriting.standing_in(&uri).collect();
        if standing.is_empty() && may_hold_principal(&uri) {
            standing.push(("a principal in a URI".to_owned(), None));
        }
        // No rule is about URIs: told, and not guessed what should become of it.
        secrets
            .principals
            .extend(standing.into_iter().map(|(old, new)| Found {
                place: format!("{place}, sqlalchemy_uri"),
                old,
                new,
            }));
        let Some(extra) = extra.filter(|extra| !extra.trim().is_empty()) else {
            continue;
        };
        match principals_in(&extra, &EXTRA_PRINCIPAL, rewriting) {
            Ok((changed, principals)) => {
                secrets.add(&format!("{place}, extra"), rewriting, principals);
                updates.extend(changed.map(|value| Update {
                    table: "dbs".to_owned(),
                    column: "extra".to_owned(),
                    id,
                    value: value.into_bytes(),
                }));
            }
            Err(error) => secrets.broken.push(format!("{place}, extra: {error}")),
        }
    }
    Ok(())
}

/// All in one transaction, the mark included.
pub(super) async fn apply(
    databases: &Databases,
    sync: &Sync,
    rewriting: &Rewriting,
) -> Result<Value, Failure> {
    let new = sync.target.new();
    let mut connection = databases.connect(&new).await?;
    connection.take_time();
    set_mode(&mut connection).await?;
    let what = format!("rewriting {new}");
    let from = databases.source_key.as_ref();
    let to = databases.target_key.as_ref();
    connection.execute(&what, "START TRANSACTION", ()).await?;
    let (secrets, updates) = look(&mut connection, &new.database, rewriting, from, to).await?;
    let bad = [&*secrets.bad, &*secrets.broken].concat();
    if !bad.is_empty() {
        return Err(Failure::new(
            format!("{new} cannot be rewritten: {}", bad.join("; ")),
            "staging is untouched; is the source's key right? What is no JSON must be mended in the \
             source".to_owned(),
        ));
    }
    if secrets.count > 0 && to.is_none() {
        return Err(Failure::new(
            format!("{new} holds secrets, and there is no key for the target"),
            "name target_key_file in the profile".to_owned(),
        ));
    }
    for update in &updates {
        let statement = format!(
            "UPDATE {}.{} SET {} = ? WHERE id = ?",
            quote_identifier(&new.database),
            quote_identifier(&update.table),
            quote_identifier(&update.column)
        );
        let values = (update.value.clone(), update.id);
        connection.execute(&what, &statement, values).await?;
    }
    let mut neutralised = Vec::new();
    for one in &rewriting.neutralise {
        let rows = one.make_true(&mut connection, &new.database).await?;
        neutralised.push(json!({ "what": one.summary(), "rows": rows }));
    }
    let told = json!({
        "secrets": secrets.count,
        "principals": secrets.productions,
        "neutralised": neutralised,
    });
    mark::set(&mut connection, &new, &sync.id, Stage::Rewritten, &told).await?;
    connection.execute(&what, "COMMIT", ()).await?;
    connection.close().await;
    Ok(told)
}

/// The encrypted columns that a database has.
pub async fn encrypted_columns(
    connection: &mut Connection,
    database: &str,
) -> Result<Vec<(String, String)>, Error> {
    let mut columns = Vec::new();
    for (table, column) in ENCRYPTED {
        if connection.has_column(database, table, column).await? {
            columns.push((table.to_owned(), column.to_owned()));
        }
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewriting(from: &str, to: &str) -> Rewriting {
        Rewriting {
            principals: vec![Principal {
                from: from.to_owned(),
                to: to.to_owned(),
            }],
            ..Rewriting::default()
        }
    }

    /// Path and principal of what stays.
    fn staying(text: &str, rewriting: &Rewriting) -> Vec<String> {
        let (_, found) = principals_in(text, &ENCRYPTED_PRINCIPAL, rewriting).unwrap();
        let found = found.into_iter().filter(|(_, (_, new))| new.is_none());
        found.map(|(path, (old, _))| path + ":" + &old).collect()
    }

    #[test]
    fn productions_principal_is_found_wherever_it_stands() {
        let rules = rewriting("superset/a@X", "superset/b@X");
        for (text, stays) in [
            (r#"{"auth_params": {"principal": "superset/a@X"}}"#, ""),
            (
                r#"{"auth_params": {"principal": "superset/b@X"}}"#,
                ":superset/b@X",
            ),
            (
                r#"{"auth_params": {"principal": " superset/a@X"}}"#,
                "auth_params.principal:superset/a@X",
            ),
            (
                r#"{"auth_params": {"principal": "superset/a@X", "other": ["superset\/a@X"]}}"#,
                "auth_params.other.0:superset/a@X",
            ),
            (r#"{"superset/a@X": 1}"#, "superset/a@X:superset/a@X"),
            (r#"{"p": "superset/a@X", "p": 1}"#, ":superset/a@X"),
        ] {
            assert_eq!(staying(text, &rules).join(" "), stays, "{text}");
        }
    }

    #[test]
    fn stagings_principal_may_hold_productions() {
        let rules = rewriting("superset/a@X", "superset/a@X.TEST");
        let text = r#"{"principal": "superset/a@X.TEST"}"#;
        assert_eq!(staying(text, &rules), Vec::<String>::new());
        let text = r#"{"principal": "superset/a@X.TEST, superset/a@X"}"#;
        assert_eq!(staying(text, &rules), ["principal:superset/a@X"]);
    }
}
