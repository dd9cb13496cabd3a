//! The database that a metastore keeps its own tables in, read by SQL: where ten thousand
//! tables and a million partitions have their files is one question there.

use mysql_async::Params;

use super::{Error, Location};
use crate::services::sql::{self, Connection, Server, quote_identifier};

/// A metastore's own database.
#[derive(Clone, Debug)]
pub struct Backing {
    /// Its server; the account needs to read the tables below, nothing more.
    pub server: Server,
    /// Its name there.
    pub database: String,
}

impl Backing {
    /// The locations of tables and partitions that hold the text of one of `folders`, of all
    /// databases of the catalog that thrift clients see. `uuid`: what the metastore says of
    /// itself. Source of the tables: Hive, `hive-schema-3.1.0.mysql.sql`.
    pub(super) async fn locations(
        &self,
        uuid: &str,
        folders: &[String],
    ) -> Result<Vec<Location>, Error> {
        let mut connection = self.server.connect().await.map_err(unread)?;
        let found = self.read(&mut connection, uuid, folders).await;
        connection.close().await;
        found
    }

    async fn read(
        &self,
        connection: &mut Connection,
        uuid: &str,
        folders: &[String],
    ) -> Result<Vec<Location>, Error> {
        let begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
        connection
            .execute("beginning to read the metastore's tables", begin, ())
            .await
            .map_err(unread)?;
        let table = |name: &str| format!("{}.{name}", quote_identifier(&self.database));
        let whose = format!(
            "SELECT PROPERTY_VALUE FROM {} WHERE PROPERTY_KEY = 'guid'",
            table("METASTORE_DB_PROPERTIES")
        );
        let mut whose: Vec<String> = connection
            .rows("asking whose tables they are", &whose, ())
            .await
            .map_err(unread)?;
        let found = whose.pop().unwrap_or_default();
        if found != uuid {
            return Err(Error::OtherMetastore {
                server: self.server.name(),
                database: self.database.clone(),
                found,
                asked: uuid.to_owned(),
            });
        }
        // Paths differ in case, and the tables are in latin1: a comparison that is too wide
        // in both is narrowed by whoever asked.
        let holds = vec!["LOCATE(?, CONVERT(S.LOCATION USING utf8mb4)) > 0"; folders.len()];
        let query = |partitions: &str, of: &str| {
            format!(
                "SELECT D.NAME, T.TBL_NAME, S.LOCATION FROM {} S {partitions} \
                 JOIN {} T ON {of} JOIN {} D ON D.DB_ID = T.DB_ID \
                 WHERE D.CTLG_NAME = 'hive' AND ({})",
                table("SDS"),
                table("TBLS"),
                table("DBS"),
                holds.join(" OR ")
            )
        };
        let partitions = format!("JOIN {} P ON P.SD_ID = S.SD_ID", table("PARTITIONS"));
        let query = format!(
            "{} UNION ALL {}",
            query("", "T.SD_ID = S.SD_ID"),
            query(&partitions, "T.TBL_ID = P.TBL_ID")
        );
        let twice = folders.iter().chain(folders).map(Into::into).collect();
        let rows: Vec<(String, String, String)> = connection
            .rows("locations of tables", &query, Params::Positional(twice))
            .await
            .map_err(unread)?;
        let locations = rows
            .into_iter()
            .map(|(database, table, location)| Location {
                database,
                table,
                location,
            });
        Ok(locations.collect())
    }
}

fn unread(source: sql::Error) -> Error {
    Error::Backing { source }
}
