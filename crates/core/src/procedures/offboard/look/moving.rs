//! Others' tables that are to leave the user's databases.

use futures::TryStreamExt;

use super::super::inventory::{DatabaseFound, TableKind};
use super::super::moving::Moving;
use super::Hive;
use crate::actions::guard::lies_in;
use crate::actions::hive::{DatabaseEvidence, path_of};
use crate::engine::Failure;
use crate::services::metastore::Database;

/// Takes what is asked for out of `found`, as if it had moved already, and looks whether it can.
/// `own` are the databases of `found`, in its order; `all` are those of the metastore; `places` are
/// the folders that go.
pub(super) async fn look(
    look: &Hive<'_>,
    found: &mut [DatabaseFound],
    own: &[&Database],
    all: &[Database],
    places: &[String],
) -> Result<Vec<Moving>, Failure> {
    let mut moving = Vec::new();
    for asked in look.move_tables {
        let database = found
            .iter_mut()
            .zip(own)
            .find(|(one, _)| one.was.name == asked.database);
        let Some((database, was)) = database else {
            continue;
        };
        let is_asked = |table: &super::TableFound| table.name == asked.table;
        let Some(at) = database.tables.iter().position(is_asked) else {
            continue;
        };
        let table = database.tables.remove(at);
        let left = database
            .tables
            .iter()
            .map(|table| (table.name.as_str(), table.was.created));
        database.was = DatabaseEvidence::with(was, left);
        let own = |path: &str| places.iter().any(|place| lies_in(path, place));
        let target = all.iter().find(|database| database.name == asked.to);
        let folder = target.and_then(|database| path_of(&database.location));
        let files = table.path.as_deref().filter(|path| own(path)).zip(folder);
        let files = files.map(|(path, folder)| {
            (
                path.to_owned(),
                format!("{}/{}", folder.trim_end_matches('/'), table.name),
            )
        });
        if let (Some((path, _)), Some(size)) = (&files, &table.data)
            && let Some(data) = database.data.as_mut()
            && lies_in(path, &data.tree.path)
        {
            data.tree.without(size);
        }
        let mut fault = None;
        let keys = look.metastore.table(&table.database, &table.name).await?;
        let keys = keys.map(|table| table.partition_keys).unwrap_or_default();
        let partitions = look
            .metastore
            .partition_folders(&table.database, &table.name, &keys);
        let mut partitions = std::pin::pin!(partitions);
        while let Some(partition) = partitions.try_next().await? {
            let path = partition.location.as_deref().and_then(path_of);
            let with_table = |path: &str| table.path.as_deref().is_some_and(|t| lies_in(path, t));
            if path.is_some_and(|path| own(path) && !with_table(path)) {
                fault = Some(format!(
                    "its partition {} lies in the user's places outside the table's folder",
                    partition.name
                ));
            }
        }
        if table.was.owner == look.user.as_str() {
            fault = Some(format!(
                "it is {}'s own, and goes with its database",
                look.user
            ));
        } else if target.is_none() {
            fault = Some(format!("there is no database {}", asked.to));
        } else if target.is_some_and(|database| database.is_of(look.user.as_str())) {
            fault = Some(format!("the database {} goes too", asked.to));
        } else if look
            .metastore
            .table(&asked.to, &asked.table)
            .await?
            .is_some()
        {
            fault = Some(format!(
                "there is a table {}.{} already",
                asked.to, asked.table
            ));
        } else if let Some((_, to)) = &files {
            let there = match look.hdfs {
                Some(hdfs) => hdfs.stat(to).await?,
                None => None,
            };
            if there.is_some() {
                fault = Some(format!("{to} is in the way"));
            } else if table.kind == TableKind::Iceberg {
                fault = Some("it is an Iceberg table, whose metadata names every file".to_owned());
            }
        }
        moving.push(Moving {
            table,
            to: asked.to.clone(),
            files,
            fault,
        });
    }
    Ok(moving)
}
