//! The look at both databases. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use crate::actions::sql::{
    self, Place, Rewriting, encrypted_columns, fingerprint, is_mark, look_at_secrets,
};
use crate::engine::{Cx, Failure};
use crate::services::sql::{Connection, Error, missing, quote_identifier};

use super::inventory::{Databases, Difference, Inventory, Side};
use super::{Intent, Profile};

/// What a copy needs of its source.
const READ: &[&str] = &["SELECT"];
/// What it needs of staging and of the databases beside it.
const WRITE: &[&str] = &[
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "ALTER",
    "INDEX",
    "REFERENCES",
];

/// Of a row's packet, what is not the row: the statement and the lengths of its values.
const PACKET_HEAD: u64 = 64 << 10;

pub(super) async fn discover(
    profile: &Profile,
    intent: Intent,
    world: &sql::Databases,
    now: i64,
    cx: &Cx,
) -> Result<Inventory, Failure> {
    let mut source = world.connect(&profile.source).await?;
    let mut target = world.connect(&profile.target).await?;
    let identities = (source.identity().await?, target.identity().await?);
    let same_server = identities.0 == identities.1;
    let grants = grants(&mut source, &mut target, profile, same_server).await?;

    cx.progress(1, None, "databases");
    let production = side(&mut source, &profile.source).await?;
    let staging = side(&mut target, &profile.target).await?;
    let new = beside(&mut target, &profile.target.new()).await?;
    let previous = beside(&mut target, &profile.target.previous()).await?;

    let database = &profile.source.database;
    let encrypted = encrypted_columns(&mut source, database).await?;
    let rewriting = Rewriting {
        principals: profile.rewrites.clone(),
        neutralise: Vec::new(),
        encrypted: encrypted.clone(),
    };
    let secrets =
        look_at_secrets(&mut source, database, &rewriting, world.source_key.as_ref()).await?;
    let unreadable = match &world.target_key {
        None => 0,
        Some(key) => {
            let database = &profile.target.database;
            let theirs = Rewriting {
                encrypted: encrypted_columns(&mut target, database).await?,
                ..rewriting
            };
            look_at_secrets(&mut target, database, &theirs, Some(key))
                .await?
                .bad
                .len()
        }
    };
    let mut neutralise = Vec::new();
    for one in &profile.neutralise {
        let (table, column) = one.place();
        if source.has_column(database, table, column).await? {
            neutralise.push(one.clone());
        }
    }
    let wide = match intent {
        Intent::Sync => wide(&mut source, &mut target, profile, &production).await?,
        _ => Vec::new(),
    };
    let users = (
        users(&mut source, &production).await?,
        users(&mut target, &staging).await?,
    );
    let differences = match intent {
        Intent::Diff => {
            differences(&mut source, &production, &mut target, &staging, profile).await?
        }
        _ => Vec::new(),
    };
    let schema = sql::schema(&mut source, &profile.source)
        .await?
        .unwrap_or_default();
    let unseen = unseen(&mut target).await?;
    source.close().await;
    target.close().await;
    Ok(Inventory {
        now,
        world: BTreeMap::from([
            (format!("sql.{}", profile.source.server), identities.0),
            (format!("sql.{}", profile.target.server), identities.1),
        ]),
        databases: Some(Databases {
            source: production,
            schema,
            target: staging,
            new,
            previous,
            same_server,
            missing: grants,
            wide,
            users,
            secrets,
            encrypted,
            unreadable,
            neutralise,
            keys: (world.source_key.is_some(), world.target_key.is_some()),
            unseen,
            differences,
        }),
    })
}

/// A database beside staging, which a run may have left half made: what is in it is not opened.
async fn beside(connection: &mut Connection, place: &Place) -> Result<Side, Error> {
    Ok(Side {
        place: place.clone(),
        server: version(connection).await?,
        objects: connection.objects(&place.database).await?,
        fingerprint: fingerprint(connection, place).await?,
        alembic: None,
        triggers: Vec::new(),
        outward: Vec::new(),
    })
}

async fn version(connection: &mut Connection) -> Result<String, Error> {
    let (server,) = connection
        .row("its version", "SELECT VERSION()", ())
        .await?;
    Ok(server)
}

async fn side(connection: &mut Connection, place: &Place) -> Result<Side, Error> {
    let database = &place.database;
    let objects = connection.sized_objects(database).await?;
    let keys = connection.foreign_keys(database, &objects).await?;
    let outward = keys
        .iter()
        .filter(|key| key.other_database != *database)
        .map(|key| format!("{}.{} to {}", key.table, key.name, key.other_database));
    let versions: Vec<String> = if connection
        .has_column(database, "alembic_version", "version_num")
        .await?
    {
        connection
            .rows(
                &format!("the schema's version in {place}"),
                &format!(
                    "SELECT version_num FROM {}.alembic_version ORDER BY version_num",
                    quote_identifier(database)
                ),
                (),
            )
            .await?
    } else {
        Vec::new()
    };
    Ok(Side {
        place: place.clone(),
        server: version(connection).await?,
        objects,
        fingerprint: fingerprint(connection, place).await?,
        alembic: (!versions.is_empty()).then(|| versions.join(" ")),
        triggers: connection.triggers(database).await?,
        outward: outward.collect(),
    })
}

async fn grants(
    source: &mut Connection,
    target: &mut Connection,
    profile: &Profile,
    same_server: bool,
) -> Result<Vec<String>, Error> {
    let (new, previous) = (profile.target.new(), profile.target.previous());
    let reads = [(&*profile.source.database, READ)];
    let writes = [
        (&*profile.target.database, WRITE),
        (&*new.database, WRITE),
        (&*previous.database, WRITE),
    ];
    if same_server {
        let needs: Vec<_> = reads.into_iter().chain(writes).collect();
        return lacking(source, &needs).await;
    }
    let mut statements = lacking(source, &reads).await?;
    statements.extend(lacking(target, &writes).await?);
    Ok(statements)
}

async fn lacking(
    connection: &mut Connection,
    needs: &[(&str, &[&str])],
) -> Result<Vec<String>, Error> {
    let lines: Vec<String> = connection.rows("its grants", "SHOW GRANTS", ()).await?;
    let (account,): (String,) = connection
        .row("its account", "SELECT CURRENT_USER()", ())
        .await?;
    Ok(missing(&lines, needs, &account))
}

/// The tables with a row that no packet of the target can hold.
async fn wide(
    source: &mut Connection,
    target: &mut Connection,
    profile: &Profile,
    production: &Side,
) -> Result<Vec<String>, Error> {
    let limit = "SELECT @@max_allowed_packet";
    let (here,): (u64,) = source.row("its packets", limit, ()).await?;
    let (there,): (u64,) = target.row("its packets", limit, ()).await?;
    let most = here.min(there).saturating_sub(PACKET_HEAD);
    let mut wide = Vec::new();
    for table in production.objects.iter().filter(|one| one.is_table()) {
        if profile.schema_only.contains(&table.name) {
            continue;
        }
        // Only these types hold more than 64 KiB.
        let columns: Vec<String> = source
            .rows(
                &format!("the columns of {}", table.name),
                "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? \
                 AND TABLE_NAME = ? AND DATA_TYPE IN \
                 ('mediumblob', 'longblob', 'mediumtext', 'longtext', 'geometry')",
                (&profile.source.database, &table.name),
            )
            .await?;
        if columns.is_empty() {
            continue;
        }
        let lengths: Vec<String> = columns
            .iter()
            .map(|column| format!("COALESCE(LENGTH({}), 0)", quote_identifier(column)))
            .collect();
        let (largest,): (Option<u64>,) = source
            .row(
                &format!("the largest row of {}", table.name),
                &format!(
                    "SELECT CAST(MAX({}) AS UNSIGNED) FROM {}.{}",
                    lengths.join(" + "),
                    quote_identifier(&profile.source.database),
                    quote_identifier(&table.name)
                ),
                (),
            )
            .await?;
        if largest.unwrap_or(0) > most {
            wide.push(format!(
                "{}: {} bytes, of {most}",
                table.name,
                largest.unwrap_or(0)
            ));
        }
    }
    Ok(wide)
}

/// Who used that Superset in the last week, of its last 10,000 log entries.
async fn users(connection: &mut Connection, side: &Side) -> Result<u64, Error> {
    let database = &side.place.database;
    for column in ["id", "user_id", "dttm"] {
        if !connection.has_column(database, "logs", column).await? {
            return Ok(0);
        }
    }
    let (count,) = connection
        .row(
            &format!("who used {}", side.place),
            &format!(
                "SELECT COUNT(DISTINCT user_id) FROM \
                 (SELECT user_id, dttm FROM {}.logs ORDER BY id DESC LIMIT 10000) AS last \
                 WHERE dttm > NOW() - INTERVAL 7 DAY",
                quote_identifier(database)
            ),
            (),
        )
        .await?;
    Ok(count)
}

/// What the account cannot be told, and what that means.
async fn unseen(target: &mut Connection) -> Result<Vec<String>, Error> {
    let mut unseen = vec![
        "free disk space of the target's server cannot be seen by SQL".to_owned(),
        "triggers are seen only with the privilege TRIGGER: staging's would make the rename \
         fail, with nothing changed"
            .to_owned(),
    ];
    let transactions: Result<Vec<u64>, Error> = target
        .rows(
            "open transactions",
            "SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX \
             WHERE trx_mysql_thread_id <> CONNECTION_ID()",
            (),
        )
        .await;
    unseen.push(match transactions {
        Ok(open) => format!(
            "{} transactions are open on the target's server now",
            open.len()
        ),
        // The privilege PROCESS is not needed for anything else.
        Err(error) if error.code().is_some() => {
            "open transactions are seen only with the privilege PROCESS: the rename waits 2 s \
             for them, again and again for 2 min"
                .to_owned()
        }
        Err(error) => return Err(error),
    });
    Ok(unseen)
}

async fn differences(
    source: &mut Connection,
    production: &Side,
    target: &mut Connection,
    staging: &Side,
    profile: &Profile,
) -> Result<Vec<Difference>, Error> {
    let names = |side: &Side| -> BTreeSet<String> {
        let names = side.objects.iter().map(|object| object.name.clone());
        names.filter(|name| !is_mark(name)).collect()
    };
    let (ours, theirs) = (names(production), names(staging));
    let (from, to) = (&profile.source.database, &profile.target.database);
    let mut found = Vec::new();
    for name in ours.union(&theirs) {
        let how = match (ours.contains(name), theirs.contains(name)) {
            (true, false) => Some("only in the source".to_owned()),
            (false, _) => Some("only in the target".to_owned()),
            _ if production
                .objects
                .iter()
                .any(|one| one.name == *name && !one.is_table()) =>
            {
                None
            }
            _ if source.definition(from, name).await? != target.definition(to, name).await? => {
                Some("defined otherwise".to_owned())
            }
            _ if profile.schema_only.contains(name) => None,
            _ => {
                let here = source.digest(from, name).await?;
                let there = target.digest(to, name).await?;
                (here != there).then(|| {
                    if here.rows == there.rows {
                        format!("{} rows, not the same", here.rows)
                    } else {
                        format!("{} rows, and {} in the target", here.rows, there.rows)
                    }
                })
            }
        };
        found.extend(how.map(|how| Difference {
            name: name.clone(),
            how,
        }));
    }
    Ok(found)
}
