//! `db-sync` on the sandbox's servers, judged by the `mariadb` client.

mod connections;
mod crash;
mod diff;
mod follow_ups;
mod kills;
mod lock;
mod look;
mod memory;
mod neutralise;
mod obstacles;
mod own;
mod private;
mod refuse;
mod restore;
mod sync;
mod writers;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use opsweek_sandbox::Size;

use crate::support::{Ran, sandbox, scratch, tool};

/// Superset's databases, one test at a time, as they are after the first start.
fn fresh() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    sandbox().seed_superset(Size(500_000)).unwrap();
    one
}

/// `db-sync` with the given configuration.
fn command(config: &Path) -> Command {
    let mut command = tool(env!("CARGO_BIN_EXE_db-sync"));
    command.env("OPSWEEK_CONFIG", config);
    command
}

fn db_sync<const N: usize>(arguments: [&str; N]) -> Ran {
    let mut command = command(&sandbox().config_path());
    command.args(arguments).output().unwrap().into()
}

/// The sandbox's configuration, changed, in a file of its own.
fn config(name: &str, change: impl FnOnce(String) -> String) -> PathBuf {
    config_from(&sandbox().config_path(), name, change)
}

/// The same, of another configuration.
fn config_from(from: &Path, name: &str, change: impl FnOnce(String) -> String) -> PathBuf {
    let text = std::fs::read_to_string(from).unwrap();
    let path = scratch(name);
    std::fs::write(&path, change(text)).unwrap();
    path
}

/// What the client prints.
fn sql(server: &str, statements: &str) -> String {
    sandbox().mariadb(server, statements).unwrap()
}

/// What tells old from new and a mix from both, in one statement.
const SEEN: &str = "SELECT CONCAT_WS(' ', (SELECT COUNT(*) FROM superset_staging.slices), \
                    (SELECT COUNT(*) FROM superset_staging.dashboards), \
                    (SELECT COUNT(*) FROM superset_staging.logs), \
                    (SELECT COUNT(*) FROM superset_staging.report_schedule), \
                    (SELECT MD5(GROUP_CONCAT(password ORDER BY id)) FROM superset_staging.dbs))";

fn seen(server: &str) -> String {
    sql(server, SEEN).trim().to_owned()
}

/// The checksum of every table of a database.
fn checksums(server: &str, database: &str) -> String {
    let tables = sql(
        server,
        &format!(
            "SELECT CONCAT('`', TABLE_SCHEMA, '`.`', TABLE_NAME, '`') \
             FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = '{database}' AND TABLE_TYPE = 'BASE TABLE' ORDER BY TABLE_NAME"
        ),
    );
    let tables: Vec<&str> = tables.lines().collect();
    assert!(tables.len() > 50, "{tables:?}");
    sql(server, &format!("CHECKSUM TABLE {}", tables.join(", ")))
}

/// Events of the binary log that change a database whose name begins so: statements that name it,
/// and rows of its tables. `Annotate_rows` changes nothing: it quotes the statement, and the mark
/// of a copy, written beside staging, names where it came from.
fn events_about(database: &str) -> usize {
    let logs = sql("metadata", "SHOW BINARY LOGS");
    let files = logs.lines().filter_map(|line| line.split('\t').next());
    let events = files.map(|file| {
        let events = sql("metadata", &format!("SHOW BINLOG EVENTS IN '{file}'"));
        events
            .lines()
            .filter(|event| event.contains(database))
            .filter(|event| !event.contains("\tAnnotate_rows\t"))
            .count()
    });
    events.sum()
}
