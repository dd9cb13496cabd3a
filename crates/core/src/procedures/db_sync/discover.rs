//! The look at both databases. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use tokio::sync::OnceCell;

use crate::actions::sql::{
    self, Place, Rewriting, encrypted_columns, fingerprint, look_at_secrets, reading,
};
use crate::engine::{Cx, Failure};
use crate::services::sql::schema::{Column, Schema, next_number};
use crate::services::sql::snapshot::Mode;
use crate::services::sql::{Connection, EVERYWHERE, Error, missing, quote_identifier};

use super::inventory::{Databases, Difference, Inventory, Side};
use super::{Intent, Profile, around};

/// What a copy needs of its source.
const READ: &[&str] = &["SELECT"];
/// What a lock of the whole server needs, on all of it, and to see whom it would wait for.
/// Source: `MariaDB`, "FLUSH", "Information Schema PROCESSLIST Table".
const LOCK: &[&str] = &["RELOAD", "PROCESS"];
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

/// What it needs besides to see what belongs to a database and is no table. Source: `MariaDB`,
/// "Information Schema TRIGGERS Table" and its neighbours.
const SEE: &[&str] = &["TRIGGER", "EVENT", "EXECUTE"];

/// How many tables are gone over at once.
const TABLES: usize = 4;

/// Of a row's packet, what is not the row: the statement and the lengths of its values.
const PACKET_HEAD: u64 = 64 << 10;

pub(super) async fn discover(
    profile: &Profile,
    intent: Intent,
    known_wide: &OnceCell<Vec<String>>,
    world: &sql::Databases,
    now: Timestamp,
    cx: &Cx,
) -> Result<Inventory, Failure> {
    let mut source = world.connect(&profile.source).await?;
    let mut target = world.connect(&profile.target).await?;
    let identities = (source.identity().await?, target.identity().await?);
    let same_server = identities.0 == identities.1;
    let (missing, unseeing) = grants(&mut source, &mut target, profile).await?;
    let servers = BTreeMap::from([
        (format!("sql.{}", profile.source.server), identities.0),
        (format!("sql.{}", profile.target.server), identities.1),
    ]);
    if intent != Intent::Diff && !missing.is_empty() {
        // Half of what follows would be refused by the server, one question at a time.
        return Ok(Inventory {
            now: now.as_second(),
            nanosecond: now.subsec_nanosecond(),
            world: servers,
            databases: None,
            missing,
        });
    }

    cx.progress(1, None, "databases");
    source.take_time();
    target.take_time();
    let (production, schema) = side(&mut source, &profile.source).await?;
    let (staging, theirs) = side(&mut target, &profile.target).await?;
    let new = beside(&mut target, &profile.target.new()).await?;
    let mut previous = beside(&mut target, &profile.target.previous()).await?;
    if intent == Intent::Restore {
        let kept = Schema::read(&mut target, &previous.place.database).await?;
        previous.obstacles = kept.map(|kept| kept.obstacles).unwrap_or_default();
    }

    let database = &profile.source.database;
    let encrypted = copied(encrypted_columns(&mut source, database).await?, profile);
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
                encrypted: copied(encrypted_columns(&mut target, database).await?, profile),
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
    let wide = match (intent, &schema) {
        (Intent::Sync, Some(schema)) => known_wide
            .get_or_try_init(async || {
                let most = largest_row(&mut source, &mut target).await?;
                wide(world, profile, schema, most).await
            })
            .await?
            .clone(),
        _ => Vec::new(),
    };
    let usage = (
        around::usage(&mut source, &profile.source).await?,
        around::usage(&mut target, &profile.target).await?,
    );
    let host = around::host(&mut target).await?;
    let transactions = around::transactions(&mut target, &profile.target).await?;
    let pointing = around::pointing(&mut target, &[&profile.target, &previous.place]).await?;
    let kept_reports = match (intent, &*previous.fingerprint) {
        (Intent::Restore, kept) if !matches!(kept, "empty" | "half copy") => {
            around::usage(&mut target, &previous.place).await?.reports
        }
        _ => 0,
    };
    let differences = match (intent, &schema, &theirs) {
        (Intent::Diff, Some(ours), Some(theirs)) => {
            differences(&mut source, ours, &mut target, theirs, profile).await?
        }
        (Intent::Diff, ours, _) => {
            let place = match ours {
                None => &profile.source,
                Some(_) => &profile.target,
            };
            return Err(Failure::new(
                format!("there is no database {place}"),
                "is its name right in the profile?".to_owned(),
            ));
        }
        _ => Vec::new(),
    };
    source.close().await;
    target.close().await;
    Ok(Inventory {
        now: now.as_second(),
        nanosecond: now.subsec_nanosecond(),
        world: servers,
        missing,
        databases: Some(Databases {
            source: production,
            schema: schema.map(|schema| schema.hash()).unwrap_or_default(),
            target: staging,
            new,
            previous,
            same_server,
            wide,
            usage,
            host,
            transactions,
            pointing,
            kept_reports,
            unseeing,
            secrets,
            encrypted,
            unreadable,
            neutralise,
            keys: (world.source_key.is_some(), world.target_key.is_some()),
            differences,
        }),
    })
}

/// Those of the columns whose rows are copied.
fn copied(mut columns: Vec<(String, String)>, profile: &Profile) -> Vec<(String, String)> {
    columns.retain(|(table, _)| !profile.schema_only.contains(table));
    columns
}

/// A database beside staging, which a run may have left half made: what is in it is not opened.
async fn beside(connection: &mut Connection, place: &Place) -> Result<Side, Error> {
    Ok(Side {
        place: place.clone(),
        server: version(connection).await?,
        objects: connection.objects(&place.database).await?,
        fingerprint: fingerprint(connection, place).await?,
        alembic: None,
        reading: None,
        obstacles: Vec::new(),
    })
}

async fn version(connection: &mut Connection) -> Result<String, Error> {
    let (server,) = connection
        .row("its version", "SELECT VERSION()", ())
        .await?;
    Ok(server)
}

/// A database, and what it is made of where there is one.
async fn side(connection: &mut Connection, place: &Place) -> Result<(Side, Option<Schema>), Error> {
    let database = &place.database;
    let schema = Schema::read(connection, database).await?;
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
    let of = schema.as_ref();
    let side = Side {
        place: place.clone(),
        server: version(connection).await?,
        objects: of.map(|schema| schema.objects.clone()).unwrap_or_default(),
        fingerprint: fingerprint(connection, place).await?,
        alembic: (!versions.is_empty()).then(|| versions.join(" ")),
        reading: reading(connection, place).await?,
        obstacles: of
            .map(|schema| schema.obstacles.clone())
            .unwrap_or_default(),
    };
    Ok((side, schema))
}

/// The GRANT statements that are needed, and those without which not all is seen.
async fn grants(
    source: &mut Connection,
    target: &mut Connection,
    profile: &Profile,
) -> Result<(Vec<String>, Vec<String>), Error> {
    let (from, to) = (&*profile.source.database, &*profile.target.database);
    let (new, previous) = (profile.target.new(), profile.target.previous());
    let (ours, theirs) = (held(source).await?, held(target).await?);
    let both = |here: &[Need<'_>], there: &[Need<'_>]| {
        let mut statements = missing(&ours.0, here, &ours.1);
        statements.extend(missing(&theirs.0, there, &theirs.1));
        statements
    };
    let mut reads = vec![(from, READ)];
    if profile.snapshot == Mode::GlobalLock {
        reads.push((EVERYWHERE, LOCK));
    }
    let writes = [
        (to, WRITE),
        (&*new.database, WRITE),
        (&*previous.database, WRITE),
    ];
    Ok((both(&reads, &writes), both(&[(from, SEE)], &[(to, SEE)])))
}

/// A database, and the privileges that are needed on all of it.
type Need<'a> = (&'a str, &'a [&'a str]);

/// The lines of SHOW GRANTS, and the account.
async fn held(connection: &mut Connection) -> Result<(Vec<String>, String), Error> {
    let lines = connection.rows("its grants", "SHOW GRANTS", ()).await?;
    let account = connection
        .row("its account", "SELECT CURRENT_USER()", ())
        .await?;
    Ok((lines, account))
}

/// The bytes of the largest row that a packet of both servers can hold.
async fn largest_row(source: &mut Connection, target: &mut Connection) -> Result<u64, Error> {
    let limit = "SELECT @@max_allowed_packet";
    let (here,): (u64,) = source.row("its packets", limit, ()).await?;
    let (there,): (u64,) = target.row("its packets", limit, ()).await?;
    Ok(here.min(there).saturating_sub(PACKET_HEAD))
}

/// The tables with a row of more than `most` bytes, each asked for on a connection of its own.
async fn wide(
    world: &sql::Databases,
    profile: &Profile,
    schema: &Schema,
    most: u64,
) -> Result<Vec<String>, Failure> {
    let mut asked = Vec::new();
    for table in &schema.tables {
        let long: Vec<&Column> = table.columns.iter().filter(|one| one.is_long()).collect();
        let all: u64 = long.iter().filter_map(|column| column.octets).sum();
        let measured = all > most || long.iter().any(|column| column.octets.is_none());
        if !measured || profile.schema_only.contains(&table.name) {
            continue;
        }
        let lengths: Vec<String> = long
            .iter()
            .map(|column| format!("COALESCE(LENGTH({}), 0)", quote_identifier(&column.name)))
            .collect();
        let statement = format!(
            "SELECT CAST(MAX({}) AS UNSIGNED) FROM {}.{}",
            lengths.join(" + "),
            quote_identifier(&schema.database),
            quote_identifier(&table.name)
        );
        asked.push((&*table.name, statement));
    }
    let looks = stream::iter(0..asked.len()).map(async |index| {
        let (table, statement) = &asked[index];
        let mut source = world.connect(&profile.source).await?;
        source.take_time();
        let about = format!("the largest row of {table}");
        let (largest,): (Option<u64>,) = source.row(&about, statement, ()).await?;
        source.close().await;
        let largest = largest.filter(|largest| *largest > most);
        Ok::<_, Failure>(largest.map(|bytes| format!("{table}: {bytes} bytes, of {most}")))
    });
    let found: Vec<Option<String>> = looks.buffered(TABLES).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// How what the target holds differs from what the source holds, each looked at by itself.
async fn differences(
    source: &mut Connection,
    ours: &Schema,
    target: &mut Connection,
    theirs: &Schema,
    profile: &Profile,
) -> Result<Vec<Difference>, Error> {
    let (here, there) = (ours.definitions(), theirs.definitions());
    let differing = ours.differing(theirs);
    let names: BTreeSet<&str> = here.keys().chain(there.keys()).copied().collect();
    let mut found = Vec::new();
    for name in names {
        let how = if !there.contains_key(name) {
            Some("only in the source".to_owned())
        } else if !here.contains_key(name) {
            Some("only in the target".to_owned())
        } else if differing.contains(name) {
            Some("defined otherwise".to_owned())
        } else if profile.schema_only.iter().any(|one| one == name) {
            None
        } else if let (Some(here), Some(there)) = (ours.table(name), theirs.table(name)) {
            let from = source.digest(&ours.database, here).await?;
            let to = target.digest(&theirs.database, there).await?;
            (from != to).then(|| {
                if from.rows == to.rows {
                    format!("{} rows, not the same", from.rows)
                } else {
                    format!("{} rows, and {} in the target", from.rows, to.rows)
                }
            })
        } else {
            let from = next_number(source, &ours.database, name).await?;
            let to = next_number(target, &theirs.database, name).await?;
            (from != to).then(|| format!("goes on with {from}, and {to} in the target"))
        };
        found.extend(how.map(|how| Difference {
            name: name.to_owned(),
            how,
        }));
    }
    Ok(found)
}
