//! What the metastore can tell.

use std::collections::BTreeMap;
use std::future::ready;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use thrift::protocol::{TBinaryOutputProtocol, TSerializable};
use thrift::transport::TBufferChannel;

use super::gen_hive::{self as wire, TThriftHiveMetastoreSyncClient};
use super::text::names_database;
use super::{Database, Definition, Error, Location, Metastore, Table, ddl};

/// How many tables are asked for by name in one call: answers stay small, and the backing
/// database's lists short.
const TABLES: usize = 100;

/// How many batches of tables are asked for at once: the metastore puts each table together
/// by queries of its own, one after the other.
const BATCHES: usize = 4;

/// How many owners are named in one filter: it becomes a query of the backing database.
const OWNERS: usize = 50;

impl Metastore {
    /// The identity of the metastore's backing database.
    pub async fn uuid(&self) -> Result<String, Error> {
        let what = "identity".to_owned();
        self.call(what, TThriftHiveMetastoreSyncClient::get_metastore_db_uuid)
            .await
    }

    /// The names of all databases.
    pub async fn databases(&self) -> Result<Vec<String>, Error> {
        let what = "list of databases".to_owned();
        self.call(what, TThriftHiveMetastoreSyncClient::get_all_databases)
            .await
    }

    /// One database; `None` when there is none of that name.
    pub async fn database(&self, name: &str) -> Result<Option<Database>, Error> {
        let database = name.to_owned();
        let found = self
            .call(format!("database {name}"), move |client| {
                client.get_database(database.clone())
            })
            .await;
        Ok(absent(found)?.map(Database::from))
    }

    /// The names of a database's tables and views; none for a database that is not there.
    pub async fn table_names(&self, database: &str) -> Result<Vec<String>, Error> {
        let name = database.to_owned();
        self.call(format!("tables of {database}"), move |client| {
            client.get_all_tables(name.clone())
        })
        .await
    }

    /// The tables of these names; those that are not there are left out.
    pub async fn tables(&self, database: &str, names: &[String]) -> Result<Vec<Table>, Error> {
        let tables = self.wire_tables(database, names).await?;
        Ok(tables.iter().map(Table::from).collect())
    }

    pub(super) async fn wire_tables(
        &self,
        database: &str,
        names: &[String],
    ) -> Result<Vec<wire::Table>, Error> {
        let batch = |from: usize| {
            let to = names.len().min(from + TABLES);
            self.batch(database, &names[from..to])
        };
        let batches: Vec<Vec<wire::Table>> = stream::iter((0..names.len()).step_by(TABLES))
            .map(batch)
            .buffered(BATCHES)
            .try_collect()
            .await?;
        Ok(batches.concat())
    }

    async fn batch(&self, database: &str, names: &[String]) -> Result<Vec<wire::Table>, Error> {
        let (key, names) = (database.to_owned(), names.to_vec());
        let batch: Result<Vec<wire::Table>, Error> = self
            .call(format!("tables of {database}"), move |client| {
                client.get_table_objects_by_name(key.clone(), names.clone())
            })
            .await;
        match batch {
            Ok(batch) => Ok(batch),
            // The whole database was dropped meanwhile.
            Err(Error::Refused { .. }) if self.database(database).await?.is_none() => {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn wire_table(
        &self,
        database: &str,
        name: &str,
    ) -> Result<Option<wire::Table>, Error> {
        let what = format!("table {database}.{name}");
        let (database, name) = (database.to_owned(), name.to_owned());
        let found = self.call(what, move |client| {
            client.get_table(database.clone(), name.clone())
        });
        absent(found.await)
    }

    /// One table; `None` when there is none of that name.
    pub async fn table(&self, database: &str, name: &str) -> Result<Option<Table>, Error> {
        Ok(self
            .wire_table(database, name)
            .await?
            .as_ref()
            .map(Table::from))
    }

    /// All that is needed to make the table again; `None` when there is none of that name.
    pub async fn definition(
        &self,
        database: &str,
        name: &str,
    ) -> Result<Option<Definition>, Error> {
        let Some(table) = self.wire_table(database, name).await? else {
            return Ok(None);
        };
        let short = Table::from(&table);
        Ok(Some(Definition {
            database: short.database,
            name: short.name,
            owner: short.owner,
            table_type: short.table_type,
            location: short.location,
            parameters: short.parameters,
            ddl: ddl::create(&table),
            thrift: encoded(&table, || format!("table {database}.{name}"))?,
        }))
    }

    /// The names of tables in a database that belong to one of `owners`.
    pub async fn tables_owned_by(
        &self,
        database: &str,
        owners: &[&str],
    ) -> Result<Vec<String>, Error> {
        // The filter language has no escapes; no user name needs one.
        let odd = |owner: &&&str| {
            owner.is_empty()
                || owner.contains(['"', '\'', '\\'])
                || owner.contains(char::is_control)
        };
        if let Some(owner) = owners.iter().find(odd) {
            return Err(Error::Unsearchable {
                name: (*owner).to_owned(),
            });
        }
        let mut found = Vec::new();
        for owners in owners.chunks(OWNERS) {
            let what = format!("tables of {} in {database}", owners.join(", "));
            let is = |owner: &&str| format!("hive_filter_field_owner__ = \"{owner}\"");
            let filter: Vec<String> = owners.iter().map(is).collect();
            let filter = filter.join(" or ");
            let name = database.to_owned();
            let names = self.call(what, move |client| {
                client.get_table_names_by_filter(name.clone(), filter.clone(), -1)
            });
            found.extend(absent(names.await)?.unwrap_or_default());
        }
        Ok(found)
    }

    /// Where tables of these databases and their partitions have their files: at least all
    /// that lie in one of `folders` (paths without scheme). By SQL where the metastore's own
    /// database may be read, else table by table.
    pub fn locations(
        &self,
        databases: &[&str],
        folders: &[String],
    ) -> BoxStream<'static, Result<Location, Error>> {
        let databases: Vec<String> = databases.iter().map(|&name| name.to_owned()).collect();
        match self.0.config.backing.clone() {
            None => self.locations_by_table(databases).boxed(),
            Some(backing) => {
                let (this, folders) = (self.clone(), folders.to_owned());
                stream::once(async move {
                    let uuid = this.uuid().await?;
                    let mut found = backing.locations(&uuid, &folders).await?;
                    found.retain(|location| databases.contains(&location.database));
                    Ok::<_, Error>(stream::iter(found.into_iter().map(Ok)))
                })
                .try_flatten()
                .boxed()
            }
        }
    }

    /// Some databases at once, and some tables, whichever database they are in: on most clusters
    /// a few databases have most of the tables.
    fn locations_by_table(
        &self,
        databases: Vec<String>,
    ) -> impl Stream<Item = Result<Location, Error>> + Send + use<> {
        let concurrency = self.0.config.concurrency.max(1);
        let (this, of_tables) = (self.clone(), self.clone());
        stream::iter(databases)
            .map(move |database| {
                let this = this.clone();
                async move {
                    let names = this.table_names(&database).await?;
                    this.tables(&database, &names).await
                }
            })
            .buffer_unordered(concurrency)
            .map_ok(|tables| stream::iter(tables.into_iter().map(Ok::<_, Error>)))
            .try_flatten()
            .map_ok(move |table| of_tables.locations_of(table).boxed())
            .try_flatten_unordered(concurrency)
    }

    fn locations_of(
        &self,
        table: Table,
    ) -> impl Stream<Item = Result<Location, Error>> + Send + use<> {
        let folders = self.partition_folders(&table.database, &table.name, &table.partition_keys);
        let folders = folders.try_filter_map(|folder| ready(Ok(folder.location)));
        stream::iter(table.location.map(Ok))
            .chain(folders)
            .map_ok(move |location| Location {
                database: table.database.clone(),
                table: table.name.clone(),
                location,
            })
    }

    /// The views whose text names one of the databases `targets`, as `database.view`, each
    /// with the one that it names.
    pub async fn views_naming(&self, targets: &[&str]) -> Result<Vec<(String, String)>, Error> {
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        let kinds = ["VIRTUAL_VIEW", "MATERIALIZED_VIEW"]
            .map(str::to_owned)
            .to_vec();
        let metas: Vec<wire::TableMeta> = self
            .call("list of views".to_owned(), move |client| {
                client.get_table_meta("*".to_owned(), "*".to_owned(), kinds.clone())
            })
            .await?;
        let mut by_database: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for meta in metas {
            by_database
                .entry(meta.db_name)
                .or_default()
                .push(meta.table_name);
        }
        let views = stream::iter(by_database)
            .map(|(database, names)| async move { self.tables(&database, &names).await })
            .buffered(BATCHES);
        let mut views = std::pin::pin!(views);
        let mut found = Vec::new();
        while let Some(views) = views.try_next().await? {
            for view in views {
                let text = view.view.unwrap_or_default();
                let named = targets.iter().filter(|name| names_database(&text, name));
                let id = format!("{}.{}", view.database, view.name);
                found.extend(named.map(|name| (id.clone(), (*name).to_owned())));
            }
        }
        Ok(found)
    }
}

pub(super) fn absent<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A struct in thrift's binary protocol, in base64.
pub(super) fn encoded(
    value: &impl TSerializable,
    what: impl Fn() -> String,
) -> Result<String, Error> {
    let failed = |source| Error::Protocol {
        call: what(),
        source: Box::new(source),
    };
    let mut channel = TBufferChannel::with_capacity(0, 16 << 20);
    let mut protocol = TBinaryOutputProtocol::new(&mut channel, true);
    value.write_to_out_protocol(&mut protocol).map_err(failed)?;
    Ok(STANDARD.encode(channel.write_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::metastore::Config;
    use std::time::Duration;

    #[tokio::test]
    async fn a_name_that_could_end_the_filter_is_refused() {
        let metastore = Metastore::new(Config {
            uris: Vec::new(),
            user: "hdfs".into(),
            deadline: Duration::from_secs(1),
            concurrency: 1,
            backing: None,
        });
        for name in ["", "a\"b", "a'b", "a\\b", "a\nb"] {
            let refused = metastore.tables_owned_by("db", &["elvis", name]).await;
            assert!(
                matches!(refused, Err(Error::Unsearchable { .. })),
                "{name:?}"
            );
        }
    }
}
