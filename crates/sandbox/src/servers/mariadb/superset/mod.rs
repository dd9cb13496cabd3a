//! Superset's databases on `metadata`: production from a dump of a real one with made-up
//! content, with rows generated beside it, and staging as an older copy of it.

mod secrets;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use super::Server;
use crate::error::{Context, Error};
use crate::files;
use crate::servers::tls;
use secrets::Key;

/// How much is generated, in bytes of data: `1GB`, `500MB`, `64KB`, or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match &text[digits.len()..] {
            "" | "B" => Some(1),
            "KB" => Some(1_000),
            "MB" => Some(1_000_000),
            "GB" => Some(1_000_000_000),
            _ => None,
        };
        let number = digits.parse::<u64>().ok();
        number
            .zip(factor)
            .and_then(|(number, factor)| number.checked_mul(factor))
            .map(Self)
            .ok_or_else(|| Error::Unknown {
                kind: "size",
                name: text.to_owned(),
                known: "1GB, 500MB, 64KB".to_owned(),
            })
    }
}

/// The two databases.
pub(crate) const PRODUCTION: &str = "superset_production";
pub(crate) const STAGING: &str = "superset_staging";

/// The key that the dump's secrets are encrypted with, and another one for staging.
const PRODUCTION_KEY: &str = "prodSecretKey-0123456789abcdefghijklmnopqrstuvwxyzABCDEF+/=";
const STAGING_KEY: &str = "stagingSecretKey-FEDCBAzyxwvutsrqponmlkjihgfedcba9876543210=/+";

/// Whom production and staging are for the data sources.
const PRINCIPAL: &str = "superset/superset.svc.eqiad.wmnet@WIKIMEDIA";
const STAGING_PRINCIPAL: &str = "superset/superset-next.svc.eqiad.wmnet@WIKIMEDIA";

/// The file of a database's `SECRET_KEY`.
pub(crate) fn key_file(dir: &Path, database: &str) -> PathBuf {
    dir.join(format!("secrets/{database}.key"))
}

fn dump() -> PathBuf {
    files::fixtures().join("superset/superset_production.sql.gz")
}

/// Makes production and staging anew on `metadata`, with about `size` of generated rows
/// in production.
pub(crate) fn seed(dir: &Path, size: Size) -> Result<(), Error> {
    write_keys(dir)?;
    load(dir, Server::Metadata, PRODUCTION, LIVE)?;
    encrypt_more(dir)?;
    fill(dir, size)?;
    seed_staging(dir, Server::Metadata)
}

/// Makes staging anew on a server, and removes what a copy may have left beside it.
pub(crate) fn seed_staging(dir: &Path, server: Server) -> Result<(), Error> {
    load(dir, server, STAGING, OLDER)?;
    reencrypt(dir, server)?;
    let leftovers = format!(
        "{SESSION}DROP DATABASE IF EXISTS {STAGING}_new;\n\
         DROP DATABASE IF EXISTS {STAGING}_previous;\n"
    );
    server.sql(dir, &leftovers).map(drop)
}

fn write_keys(dir: &Path) -> Result<(), Error> {
    for (database, key) in [(PRODUCTION, PRODUCTION_KEY), (STAGING, STAGING_KEY)] {
        files::write(&key_file(dir, database), 0o600, &format!("{key}\n"))?;
    }
    Ok(())
}

/// Makes a database anew from the dump, and runs `more` in it.
fn load(dir: &Path, server: Server, database: &str, more: &str) -> Result<(), Error> {
    let dump = files::run(
        Command::new("gzip")
            .args(["--decompress", "--stdout"])
            .arg(dump()),
        "decompressing Superset's dump",
    )?;
    let text = format!(
        "{SESSION}\
         DROP DATABASE IF EXISTS {database};\n\
         CREATE DATABASE {database} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;\n\
         USE {database};\n{dump}\n{more}"
    );
    server.sql(dir, &text).map(drop)
}

/// Nothing that is seeded stands in the binary log: what a test finds there, somebody
/// else has done. A client that forgot an open transaction does not hold up for ever.
const SESSION: &str = "SET SESSION sql_log_bin = 0, lock_wait_timeout = 20;\n";

/// What a Superset in use has in tables that the dump has empty.
const LIVE: &str = include_str!("live.sql");

/// What makes staging an older copy: fewer charts and dashboards, one that only staging
/// has so, no reports, its own log. The schema is the same.
const OLDER: &str = include_str!("older.sql");

/// Columns of encrypted values: table and column. Rows have an `id`.
const ENCRYPTED: [(&str, &str); 9] = [
    ("database_user_oauth2_tokens", "access_token"),
    ("database_user_oauth2_tokens", "refresh_token"),
    ("dbs", "encrypted_extra"),
    ("dbs", "password"),
    ("dbs", "server_cert"),
    ("ssh_tunnels", "password"),
    ("ssh_tunnels", "private_key"),
    ("ssh_tunnels", "private_key_password"),
    ("ssh_tunnels", "username"),
];

/// Gives production a secret in every encrypted column.
fn encrypt_more(dir: &Path) -> Result<(), Error> {
    let key = Key::new(PRODUCTION_KEY);
    let value = |text: &str| key.encrypt(text);
    let path = tls::ca(dir);
    let certificate = fs::read_to_string(&path).context("read", &path)?;
    let text = format!(
        "{SESSION}USE {PRODUCTION};\n\
         UPDATE dbs SET server_cert = '{}' WHERE id = 4;\n\
         INSERT INTO database_user_oauth2_tokens \
         (created_on, changed_on, id, user_id, database_id, access_token, refresh_token) VALUES \
         ('2026-11-20 10:00:00', '2026-11-20 10:00:00', 1, 2, 1, '{}', '{}');\n",
        value(&certificate),
        value("access-token-of-user0"),
        value("refresh-token-of-user0 \u{1f511}"),
    );
    Server::Metadata.sql(dir, &text).map(drop)
}

/// Encrypts staging's secrets by its own key, and makes it somebody of its own for the
/// data sources.
fn reencrypt(dir: &Path, server: Server) -> Result<(), Error> {
    let (from, to) = (Key::new(PRODUCTION_KEY), Key::new(STAGING_KEY));
    let mut changes = vec![format!("{SESSION}USE {STAGING};\n")];
    for (table, column) in ENCRYPTED {
        // The values are base64.
        let rows = server.sql(
            dir,
            &format!(
                "SELECT id, CONVERT({column} USING ascii) FROM {STAGING}.{table} \
                 WHERE {column} IS NOT NULL"
            ),
        )?;
        for row in rows.lines() {
            let (id, value) = row.split_once('\t').unwrap_or_default();
            let text = from.decrypt(value).ok_or_else(|| Error::Failed {
                program: format!("decrypting {table}.{column} of row {id}"),
                said: String::new(),
            })?;
            let value = to.encrypt(&text.replace(PRINCIPAL, STAGING_PRINCIPAL));
            changes.push(format!(
                "UPDATE {table} SET {column} = '{value}' WHERE id = {id};\n"
            ));
        }
    }
    changes.push(format!(
        "UPDATE dbs SET extra = REPLACE(extra, '{PRINCIPAL}', '{STAGING_PRINCIPAL}');\n"
    ));
    server.sql(dir, &changes.concat()).map(drop)
}

/// What grows in a Superset that is in use: a table, its share of the generated data in
/// percent, the bytes that a row takes in the table's file, how many rows there are at
/// least, and the query that makes row `seq`.
const BULK: [(&str, u64, u64, u64, &str); 5] = [
    (
        "logs (id, action, user_id, json, dttm, duration_ms, referrer)",
        60,
        1_700,
        500,
        "SELECT seq, ELT(1 + seq % 4, 'log', 'explore_json', 'dashboard', 'sqllab'), 1 + seq % 6, \
         CONCAT('{\"path\": \"/explore/?slice_id=', seq % 150, '\", \"payload\": \"', \
         REPEAT(MD5(seq), 40), '\"}'), '2024-01-01' + INTERVAL seq SECOND, seq % 977, \
         CONCAT('https://superset.wikimedia.org/explore/?slice_id=', seq % 150)",
    ),
    (
        "query (id, client_id, database_id, tab_name, user_id, status, `schema`, `sql`, \
         executed_sql, `limit`, `rows`, start_time, changed_on, end_time, results_key)",
        30,
        3_900,
        200,
        "SELECT seq, LPAD(HEX(seq), 11, '0'), 1 + seq % 5, CONCAT('Untitled Query ', seq % 9), \
         1 + seq % 6, IF(seq % 10, 'success', 'failed'), 'wmf', \
         CONCAT('SELECT ''größe 日本 😀'', ''', REPEAT(MD5(seq), 50), ''' FROM wmf.webrequest'), \
         CONCAT('SELECT ''größe 日本 😀'', ''', REPEAT(MD5(seq), 50), \
         ''' FROM wmf.webrequest LIMIT 1001'), 1000, seq % 1001, 1700000000 + seq + 0.123456, \
         '2024-01-01' + INTERVAL seq SECOND, 1700000003 + seq + 0.654321, \
         MD5(CONCAT('results', seq))",
    ),
    (
        "tab_state (created_on, changed_on, id, user_id, label, active, database_id, `schema`, \
         `sql`, query_limit, latest_query_id, autorun, created_by_fk, extra_json)",
        3,
        4_100,
        20,
        "SELECT '2025-01-01' + INTERVAL seq SECOND, '2025-01-01' + INTERVAL seq SECOND, seq, \
         1 + seq % 6, CONCAT('Untitled Query ', seq), 0, 1 + seq % 5, 'wmf', \
         CONCAT('SELECT ''', REPEAT(MD5(seq), 110), ''''), 1000, \
         IF(seq <= 200, LPAD(HEX(seq), 11, '0'), NULL), 0, 1 + seq % 6, '{}'",
    ),
    (
        "slices (created_on, changed_on, id, slice_name, datasource_type, datasource_id, \
         datasource_name, viz_type, params, query_context, created_by_fk, changed_by_fk, perm, uuid)",
        4,
        6_400,
        20,
        "SELECT '2025-01-01' + INTERVAL seq SECOND, '2025-01-01' + INTERVAL seq SECOND, \
         1000 + seq, CONCAT('Generated chart ', seq), 'table', 1 + seq % 40, \
         CONCAT('wmf_table_', seq % 40), 'table', \
         CONCAT('{\"datasource\": \"', 1 + seq % 40, '__table\", \"viz_type\": \"table\", \
         \"filler\": \"', REPEAT(MD5(seq), 85), '\"}'), \
         CONCAT('{\"filler\": \"', REPEAT(MD5(-seq), 85), '\"}'), 1 + seq % 6, 1 + seq % 6, \
         CONCAT('[presto_analytics_hive].[wmf_table_', seq % 40, '](id:', 1 + seq % 40, ')'), \
         UNHEX(MD5(CONCAT('slice', seq)))",
    ),
    (
        "key_value (id, resource, value, uuid, created_on, created_by_fk)",
        3,
        9_000,
        20,
        "SELECT 1000 + seq, IF(seq % 2, 'dashboard_permalink', 'explore_permalink'), \
         CONCAT('{\"state\": \"', REPEAT(MD5(seq), 230), '\"}'), \
         UNHEX(MD5(CONCAT('key_value', seq))), '2025-01-01' + INTERVAL seq SECOND, 1 + seq % 6",
    ),
];

/// Generates about `size` of rows, a connection for the log and one for the others.
fn fill(dir: &Path, size: Size) -> Result<(), Error> {
    let statements = |tables: &[(&str, u64, u64, u64, &str)]| {
        // Into an empty table rows go in bulk when nothing is checked row by row.
        let mut text = vec![format!(
            "{SESSION}SET SESSION unique_checks = 0, foreign_key_checks = 0;\n\
             USE {PRODUCTION};\n"
        )];
        for (into, percent, bytes, least, select) in tables {
            let rows = (size.0 / 100 * percent / bytes).max(*least);

            let table = into.split(' ').next().unwrap_or_default();
            // The server's own notion of a table's size would lag far behind.
            text.push(format!(
                "INSERT INTO {into} {select} FROM seq_1_to_{rows};\nANALYZE TABLE {table};\n"
            ));
        }
        text.concat()
    };
    let (log, others) = BULK.split_at(1);
    std::thread::scope(|scope| {
        let log = scope.spawn(|| Server::Metadata.sql(dir, &statements(log)));
        Server::Metadata.sql(dir, &statements(others))?;
        log.join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            .map(drop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal() {
        let size = |text: &str| text.parse::<Size>().map(|size| size.0);
        assert_eq!(size("1GB").unwrap(), 1_000_000_000);
        assert_eq!(size("20MB").unwrap(), 20_000_000);
        assert_eq!(size("7").unwrap(), 7);
        for wrong in ["", "GB", "1TB", "-1", "1 GB", "99999999999GB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_make_a_whole() {
        assert_eq!(BULK.iter().map(|table| table.1).sum::<u64>(), 100);
    }
}
