//! A table's partitions, in batches, so that a million of them need no memory.

use futures::stream::{self, Stream, StreamExt, TryStreamExt};

use super::gen_hive::{self as wire, TThriftHiveMetastoreSyncClient};
use super::read::{absent, encoded};
use super::text::partition_name;
use super::{Error, Metastore, Partition, PartitionFolder, TableRecord};

/// How many partitions are asked for by name in one call: answers stay small, and the backing
/// database's lists short.
const BATCH: usize = 500;
/// A table with fewer partitions than these gives them by one call. For each call the metastore
/// puts the table together as well, by twenty queries.
const FEW: i16 = 100;

impl Metastore {
    /// A table's partitions as a record needs them. For their folders alone there is
    /// [`Metastore::partition_folders`].
    pub fn partitions(
        &self,
        database: &str,
        table: &str,
    ) -> impl Stream<Item = Result<Partition, Error>> + Send + use<> {
        let this = self.clone();
        let (database, table) = (database.to_owned(), table.to_owned());
        stream::once(async move {
            let found = this.table(&database, &table).await?;
            let keys = found.map(|table| table.partition_keys).unwrap_or_default();
            let partitions = this.wire_partitions(&database, &table, &keys);
            Ok(partitions.and_then(move |partition| {
                let name = partition_name(&keys, &partition);
                std::future::ready(recorded(name, partition))
            }))
        })
        .try_flatten()
    }

    /// The folders of a table's partitions. `keys`: [`Table::partition_keys`], which whoever
    /// has looked at the table knows.
    ///
    /// [`Table::partition_keys`]: super::Table::partition_keys
    pub fn partition_folders(
        &self,
        database: &str,
        table: &str,
        keys: &[String],
    ) -> impl Stream<Item = Result<PartitionFolder, Error>> + Send + use<> {
        let keys = keys.to_vec();
        self.wire_partitions(database, table, &keys)
            .map_ok(move |partition| PartitionFolder {
                name: partition_name(&keys, &partition),
                location: location(partition.sd),
            })
    }

    /// Without keys there are no partitions, and nobody is asked.
    fn wire_partitions(
        &self,
        database: &str,
        table: &str,
        keys: &[String],
    ) -> impl Stream<Item = Result<wire::Partition, Error>> + Send + use<> {
        let batches = (!keys.is_empty()).then(|| self.partition_batches(database, table));
        stream::iter(batches)
            .flatten()
            .map_ok(|batch| stream::iter(batch.into_iter().map(Ok)))
            .try_flatten()
    }

    /// All that the metastore knows of a table's partitions, a batch after the other.
    pub(super) fn partition_batches(
        &self,
        database: &str,
        table: &str,
    ) -> impl Stream<Item = Result<Vec<wire::Partition>, Error>> + Send + use<> {
        let this = self.clone();
        let (database, table) = (database.to_owned(), table.to_owned());
        stream::once(async move {
            let of_few = this.few_partitions(&database, &table).await?;
            let names = match &of_few {
                Some(_) => Vec::new(),
                None => this.partition_names(&database, &table).await?,
            };
            let batches: Vec<Vec<String>> = names.chunks(BATCH).map(<[String]>::to_vec).collect();
            let batches = stream::iter(batches).then(move |names| {
                let this = this.clone();
                let (database, table) = (database.clone(), table.clone());
                async move { this.partitions_named(&database, &table, names).await }
            });
            Ok(stream::iter(of_few.map(Ok)).chain(batches))
        })
        .try_flatten()
    }

    /// All partitions of a table that has few; `None` for one that may have more, or when the
    /// metastore does not answer such a question (`metastore.limit.partition.request`).
    async fn few_partitions(
        &self,
        database: &str,
        table: &str,
    ) -> Result<Option<Vec<wire::Partition>>, Error> {
        let what = format!("partitions of {database}.{table}");
        let key = (database.to_owned(), table.to_owned());
        let found: Result<Vec<_>, Error> = self
            .call(what, move |client| {
                client.get_partitions(key.0.clone(), key.1.clone(), FEW)
            })
            .await;
        match found {
            Ok(found) if found.len() < FEW.unsigned_abs().into() => Ok(Some(found)),
            Ok(_) | Err(Error::Refused { .. } | Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many partitions there are of the table of that name; none where it is not there.
    pub async fn count_partitions(&self, table: &TableRecord) -> Result<usize, Error> {
        if table.keys().is_empty() {
            return Ok(0);
        }
        let names = self.partition_names(table.database(), table.name());
        Ok(names.await?.len())
    }

    async fn partition_names(&self, database: &str, table: &str) -> Result<Vec<String>, Error> {
        let what = format!("partitions of {database}.{table}");
        let key = (database.to_owned(), table.to_owned());
        let names = self.call(what, move |client| {
            client.get_partition_names(key.0.clone(), key.1.clone(), -1)
        });
        self.unless_dropped(database, table, names.await).await
    }

    async fn partitions_named(
        &self,
        database: &str,
        table: &str,
        names: Vec<String>,
    ) -> Result<Vec<wire::Partition>, Error> {
        let what = format!("partitions of {database}.{table}");
        let key = (database.to_owned(), table.to_owned());
        let found = self.call(what, move |client| {
            client.get_partitions_by_names(key.0.clone(), key.1.clone(), names.clone())
        });
        self.unless_dropped(database, table, found.await).await
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
}

fn location(sd: Option<wire::StorageDescriptor>) -> Option<String> {
    let location = sd.and_then(|sd| sd.location);
    location.filter(|location| !location.is_empty())
}

fn recorded(name: String, partition: wire::Partition) -> Result<Partition, Error> {
    let thrift = encoded(&partition, || format!("partition {name}"))?;
    Ok(Partition {
        name,
        location: location(partition.sd),
        parameters: partition.parameters.unwrap_or_default(),
        thrift,
    })
}
