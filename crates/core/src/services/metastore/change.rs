//! What the metastore can change. Setting an owner or a location twice is setting it once,
//! and what is gone is dropped.

use futures::TryStreamExt;

use super::gen_hive::{self as wire, TThriftHiveMetastoreSyncClient};
use super::read::absent;
use super::text::relocated;
use super::{Error, Metastore};

impl Metastore {
    /// Gives a table to `owner`; nothing else of it changes.
    pub async fn change_table_owner(
        &self,
        database: &str,
        name: &str,
        owner: &str,
    ) -> Result<(), Error> {
        let mut table = self.existing(database, name).await?;
        if table.owner.as_deref() == Some(owner) {
            return Ok(());
        }
        table.owner = Some(owner.to_owned());
        self.alter_table(database, name, table).await
    }

    async fn existing(&self, database: &str, name: &str) -> Result<wire::Table, Error> {
        let table = self.wire_table(database, name).await?;
        table.ok_or_else(|| Error::NotFound {
            call: format!("table {database}.{name}"),
        })
    }

    /// Setting owner or location twice is setting it once, so a broken call is repeated.
    pub(super) async fn alter_table(
        &self,
        database: &str,
        name: &str,
        table: wire::Table,
    ) -> Result<(), Error> {
        let what = format!("change of the table {database}.{name}");
        let (database, name) = (database.to_owned(), name.to_owned());
        self.call(what, move |client| {
            let context = as_it_is();
            client.alter_table_with_environment_context(
                database.clone(),
                name.clone(),
                table.clone(),
                context,
            )
        })
        .await
    }

    /// Points a table, its partitions and its serde's `path` from the HDFS folder `from` to
    /// `to`, wherever they lie under it. Gives how many locations were changed.
    pub async fn change_table_location(
        &self,
        database: &str,
        name: &str,
        from: &str,
        to: &str,
    ) -> Result<u64, Error> {
        let mut table = self.existing(database, name).await?;
        let mut changed = 0;
        if let Some(sd) = &mut table.sd
            && relocate(sd, from, to)
        {
            self.alter_table(database, name, table).await?;
            changed += 1;
        }
        let mut batches = std::pin::pin!(self.partition_batches(database, name));
        while let Some(batch) = batches.try_next().await? {
            let mut moved = Vec::new();
            for mut partition in batch {
                if partition
                    .sd
                    .as_mut()
                    .is_some_and(|sd| relocate(sd, from, to))
                {
                    moved.push(partition);
                }
            }
            if moved.is_empty() {
                continue;
            }
            changed += moved.len() as u64;
            let what = format!("change of partitions of {database}.{name}");
            let (database, name) = (database.to_owned(), name.to_owned());
            self.call(what, move |client| {
                client.alter_partitions_with_environment_context(
                    database.clone(),
                    name.clone(),
                    moved.clone(),
                    as_it_is(),
                )
            })
            .await?;
        }
        Ok(changed)
    }

    /// Moves a table to the database `to`, with its partitions; nothing else of it changes but, when
    /// `files` are given, its location, from the HDFS folder that is named first to the second.
    /// With the old location Hive 3 would move a managed table's files itself (Hive:
    /// `HiveAlterHandler`). That there is no such table any more is an error.
    pub async fn move_table(
        &self,
        database: &str,
        name: &str,
        to: &str,
        files: Option<(&str, &str)>,
    ) -> Result<(), Error> {
        let mut table = self.existing(database, name).await?;
        table.db_name = Some(to.to_owned());
        if let (Some(sd), Some((from, to))) = (&mut table.sd, files) {
            relocate(sd, from, to);
        }
        self.alter_table(database, name, table).await
    }

    /// Drops a database with all its tables and functions. No file is deleted. Done when it
    /// is not there.
    pub async fn drop_database(&self, name: &str) -> Result<(), Error> {
        if self.database(name).await?.is_none() {
            return Ok(());
        }
        for table in self.table_names(name).await? {
            let what = format!("drop of the table {name}.{table}");
            let database = name.to_owned();
            let dropped = self.call(what, move |client| {
                client.drop_table(database.clone(), table.clone(), false)
            });
            absent(dropped.await)?;
        }
        let database = name.to_owned();
        let functions = self.call(format!("functions of {name}"), move |client| {
            client.get_functions(database.clone(), "*".to_owned())
        });
        for function in functions.await? {
            let what = format!("drop of the function {name}.{function}");
            let database = name.to_owned();
            let dropped = self.call(what, move |client| {
                client.drop_function(database.clone(), function.clone())
            });
            absent(dropped.await)?;
        }
        let database = name.to_owned();
        let dropped = self.call(format!("drop of the database {name}"), move |client| {
            client.drop_database(database.clone(), false, false)
        });
        match dropped.await {
            // Dropping one that is gone ends in the server's own confusion.
            Err(error) if self.database(name).await?.is_some() => Err(error),
            _ => Ok(()),
        }
    }
}

/// The metastore shall not count files anew because a location changed (Hive:
/// `StatsSetupConst.DO_NOT_UPDATE_STATS`).
pub(super) fn as_it_is() -> wire::EnvironmentContext {
    let properties = [("DO_NOT_UPDATE_STATS".to_owned(), "true".to_owned())];
    wire::EnvironmentContext {
        properties: Some(properties.into()),
    }
}

/// Moves what the descriptor points to; whether anything did.
fn relocate(sd: &mut wire::StorageDescriptor, from: &str, to: &str) -> bool {
    let mut changed = false;
    let mut apply = |location: &mut String| {
        if let Some(moved) = relocated(location, from, to) {
            *location = moved;
            changed = true;
        }
    };
    if let Some(location) = &mut sd.location {
        apply(location);
    }
    // Spark keeps the location of its own tables in the serde's parameters as well.
    let parameters = sd
        .serde_info
        .as_mut()
        .and_then(|serde| serde.parameters.as_mut());
    if let Some(path) = parameters.and_then(|parameters| parameters.get_mut("path")) {
        apply(path);
    }
    changed
}
