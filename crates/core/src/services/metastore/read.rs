//! What the metastore can tell.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use thrift::protocol::{TBinaryOutputProtocol, TSerializable};
use thrift::transport::TBufferChannel;

use super::gen_hive::{self as wire, TThriftHiveMetastoreSyncClient};
use super::text::{names_database, partition_name};
use super::{Database, Definition, Error, Location, Metastore, Partition, Table, ddl};

/// How many partitions are asked for by name in one call: answers stay small, and the backing
/// database's lists short.
const BATCH: usize = 500;
/// How many tables.
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
        let batch = |from: usize| {
            let to = names.len().min(from + TABLES);
            self.batch(database, &names[from..to])
        };
        let batches: Vec<Vec<Table>> = stream::iter((0..names.len()).step_by(TABLES))
            .map(batch)
            .buffered(BATCHES)
            .try_collect()
            .await?;
        Ok(batches.concat())
    }

    async fn batch(&self, database: &str, names: &[String]) -> Result<Vec<Table>, Error> {
        let (key, names) = (database.to_owned(), names.to_vec());
        let batch: Result<Vec<wire::Table>, Error> = self
            .call(format!("tables of {database}"), move |client| {
                client.get_table_objects_by_name(key.clone(), names.clone())
            })
            .await;
        match batch {
            Ok(batch) => Ok(batch.iter().map(Table::from).collect()),
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

    /// A table's partitions, in batches, so that a million of them need no memory.
    pub fn partitions(
        &self,
        database: &str,
        table: &str,
    ) -> impl Stream<Item = Result<Partition, Error>> + Send + use<> {
        self.wire_partitions(database, table)
            .map_ok(|batch| {
                stream::iter(batch.into_iter().map(|(name, partition)| {
                    let location = partition.sd.as_ref().and_then(|sd| sd.location.clone());
                    Ok(Partition {
                        thrift: encoded(&partition, || format!("partition {name}"))?,
                        location: location.filter(|location| !location.is_empty()),
                        parameters: partition.parameters.unwrap_or_default(),
                        name,
                    })
                }))
            })
            .try_flatten()
    }

    /// Batches of partitions with their names.
    pub(super) fn wire_partitions(
        &self,
        database: &str,
        table: &str,
    ) -> impl Stream<Item = Result<Vec<(String, wire::Partition)>, Error>> + Send + use<> {
        let this = self.clone();
        let (database, table) = (database.to_owned(), table.to_owned());
        stream::once(async move {
            let what = format!("partitions of {database}.{table}");
            let key = (database.clone(), table.clone());
            let names = this.call(what.clone(), move |client| {
                client.get_partition_names(key.0.clone(), key.1.clone(), -1)
            });
            let names = this.unless_dropped(&database, &table, names.await).await?;
            let batches: Vec<Vec<String>> = names.chunks(BATCH).map(<[String]>::to_vec).collect();
            Ok(
                stream::iter(batches.into_iter().map(Ok)).and_then(move |names| {
                    let (this, what) = (this.clone(), what.clone());
                    let (database, table) = (database.clone(), table.clone());
                    async move {
                        let keys = this.table_keys(&database, &table).await?;
                        let key = (database.clone(), table.clone());
                        let found = this.call(what, move |client| {
                            let (database, table) = key.clone();
                            client.get_partitions_by_names(database, table, names.clone())
                        });
                        let found = found.await;
                        let found = this.unless_dropped(&database, &table, found).await?;
                        Ok(found
                            .into_iter()
                            .map(|p| (partition_name(&keys, &p), p))
                            .collect())
                    }
                }),
            )
        })
        .try_flatten()
    }

    /// Nothing for a table that was dropped since it was listed: what the server says then
    /// depends on the moment. On a busy cluster one always is.
    async fn unless_dropped<T>(
        &self,
        database: &str,
        table: &str,
        found: Result<Vec<T>, Error>,
    ) -> Result<Vec<T>, Error> {
        match found {
            Err(Error::Refused { .. }) if self.wire_table(database, table).await?.is_none() => {
                Ok(Vec::new())
            }
            found => Ok(absent(found)?.unwrap_or_default()),
        }
    }

    async fn table_keys(&self, database: &str, table: &str) -> Result<Vec<String>, Error> {
        let table = self.wire_table(database, table).await?;
        let keys = table
            .and_then(|table| table.partition_keys)
            .unwrap_or_default();
        Ok(keys
            .into_iter()
            .map(|key| key.name.unwrap_or_default())
            .collect())
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

    fn locations_by_table(
        &self,
        databases: Vec<String>,
    ) -> impl Stream<Item = Result<Location, Error>> + Send + use<> {
        let concurrency = self.0.config.concurrency.max(1);
        let this = self.clone();
        stream::iter(databases)
            .map(move |database| {
                let this = this.clone();
                async move { this.locations_of(database).await }
            })
            .buffer_unordered(concurrency)
            .try_flatten()
    }

    async fn locations_of(
        &self,
        database: String,
    ) -> Result<impl Stream<Item = Result<Location, Error>> + Send + use<>, Error> {
        let names = self.table_names(&database).await?;
        let tables = self.tables(&database, &names).await?;
        let this = self.clone();
        Ok(stream::iter(tables).flat_map(move |table| {
            let own = table.location.clone().map(|location| {
                Ok(Location {
                    database: table.database.clone(),
                    table: table.name.clone(),
                    location,
                })
            });
            let partitions = table
                .partitioned
                .then(|| this.partitions(&table.database, &table.name));
            let of_partitions =
                stream::iter(partitions)
                    .flatten()
                    .try_filter_map(move |partition| {
                        let location = partition.location.map(|location| Location {
                            database: table.database.clone(),
                            table: table.name.clone(),
                            location,
                        });
                        std::future::ready(Ok(location))
                    });
            stream::iter(own).chain(of_partitions)
        }))
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
        let mut found = Vec::new();
        for (database, names) in by_database {
            for view in self.tables(&database, &names).await? {
                let text = view.view.unwrap_or_default();
                let named = targets.iter().filter(|name| names_database(&text, name));
                let id = format!("{database}.{}", view.name);
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
