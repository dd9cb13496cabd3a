//! The metastore's tables by owner.

use std::process::{Command, Stdio};

use super::{ROUNDS, config, offboard, timed};
use crate::error::Error;
use crate::measure::{Measured, median};
use crate::sandbox::{Progress, Sandbox};
use crate::workspace;

const DATABASES: usize = 200;
const TABLES: usize = 25;
/// Ids far beyond those that the metastore gives.
const FIRST_DATABASE: usize = 1_000_000;
const FIRST_TABLE: usize = 2_000_000;

/// `owner_scan`: whose are 5,000 tables in 200 databases? A whole run of ours for somebody who
/// has nothing, beside one `get_table` each on one connection.
pub(super) fn owner_scan(sandbox: &Sandbox, progress: Progress<'_>) -> Result<Measured, Error> {
    progress("building the one that asks for each table");
    workspace::build(&[
        "--release",
        "--package",
        "opsweek-core",
        "--example",
        "get_tables",
    ])?;
    super::seed_few(sandbox, "elvisscan")?;
    progress("making 5,000 tables in 200 databases");
    clear(sandbox)?;
    make(sandbox)?;
    let config = config(sandbox, "metastore", &["fleet", "hdfs", "admins"])?;
    let port = sandbox.port("metastore")?.unwrap_or_default();
    let mut each = Command::new(workspace::target()?.join("release/examples/get_tables"));
    each.arg(format!("thrift://127.0.0.1:{port}"))
        .stdin(Stdio::null());
    let mut look = offboard(&config)?;
    look.args(["nemo", "--places", "hive"]);
    let (mut by_us, mut by_hand) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        progress(&format!("5,000 tables: round {round} of {ROUNDS}"));
        by_us.push(timed(&look, &[0, 7])?.wall_s);
        by_hand.push(timed(&each, &[0])?.wall_s);
    }
    clear(sandbox)?;
    Ok(Measured::new("owner_scan", median(by_us), median(by_hand)))
}

/// Rows of the metastore's own tables: by its interface this takes minutes. Every table is
/// like the first one that is there.
fn make(sandbox: &Sandbox) -> Result<(), Error> {
    let last = FIRST_DATABASE + DATABASES - 1;
    let rows: Vec<String> = (FIRST_DATABASE..=last)
        .map(|id| {
            format!(
                "({id}, 'hdfs://localhost/bench/{id}', 'bench_{id}', 'analytics', 'USER', 'hive')"
            )
        })
        .collect();
    sandbox.metastore_sql(&format!(
        "INSERT INTO DBS (DB_ID, DB_LOCATION_URI, NAME, OWNER_NAME, OWNER_TYPE, CTLG_NAME) VALUES {}",
        rows.join(", ")
    ))?;
    // The first of the databases serve as numbers and as names.
    sandbox.metastore_sql(&format!(
        "INSERT INTO TBLS (TBL_ID, CREATE_TIME, DB_ID, LAST_ACCESS_TIME, OWNER, OWNER_TYPE, RETENTION, \
         SD_ID, TBL_NAME, TBL_TYPE, IS_REWRITE_ENABLED) \
         SELECT {FIRST_TABLE} + (D.DB_ID - {FIRST_DATABASE}) * {TABLES} + N.DB_ID - {FIRST_DATABASE}, \
         T.CREATE_TIME, D.DB_ID, 0, T.OWNER, T.OWNER_TYPE, 0, T.SD_ID, N.NAME, T.TBL_TYPE, \
         T.IS_REWRITE_ENABLED FROM DBS D, DBS N, TBLS T \
         WHERE D.DB_ID BETWEEN {FIRST_DATABASE} AND {last} \
         AND N.DB_ID BETWEEN {FIRST_DATABASE} AND {} \
         AND T.TBL_ID = (SELECT MIN(TBL_ID) FROM TBLS)",
        FIRST_DATABASE + TABLES - 1
    ))?;
    Ok(())
}

fn clear(sandbox: &Sandbox) -> Result<(), Error> {
    sandbox.metastore_sql(&format!("DELETE FROM TBLS WHERE TBL_ID >= {FIRST_TABLE}"))?;
    sandbox.metastore_sql(&format!("DELETE FROM DBS WHERE DB_ID >= {FIRST_DATABASE}"))?;
    Ok(())
}
