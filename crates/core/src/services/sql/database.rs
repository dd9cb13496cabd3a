//! What a database holds, as `information_schema` and `SHOW CREATE` tell it.

use serde::{Deserialize, Serialize};

use super::{Connection, Error};

/// One object of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its name.
    pub name: String,
    /// `BASE TABLE`, `SEQUENCE`, `VIEW`, as `information_schema.TABLES` has it.
    pub kind: String,
    /// `InnoDB`; views have none.
    pub engine: Option<String>,
    /// The collation that new columns have; views have none.
    pub collation: Option<String>,
    /// About how many rows, as the engine estimates.
    pub rows: u64,
    /// Bytes of data and indexes, likewise.
    pub bytes: u64,
    /// Bytes of data alone, likewise.
    pub data_bytes: u64,
    /// When it was last written to, where the server still knows.
    pub written: Option<String>,
}

impl Object {
    /// Whether it is a sequence.
    pub fn is_sequence(&self) -> bool {
        self.kind == "SEQUENCE"
    }

    /// Whether it is a table with rows of its own.
    pub fn is_table(&self) -> bool {
        self.kind == "BASE TABLE"
    }
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// The table that has it.
    pub table: String,
    /// Its name.
    pub name: String,
    /// The database of the table that it points to.
    pub other_database: String,
    /// That table.
    pub other: String,
    /// The columns, here and there, in the key's order.
    pub columns: Vec<(String, String)>,
}

/// "Access denied; you need (at least one of) the ... privilege(s)". Source: `MariaDB`, "`MariaDB`
/// Error Code Reference".
const UNPRIVILEGED: u16 = 1227;

/// How large a table is, as the engine estimates.
#[derive(Default)]
struct Size {
    rows: u64,
    /// Bytes.
    data: u64,
    /// Bytes.
    indexes: u64,
    /// When it was last written to, where the server still knows.
    written: Option<String>,
}

impl Connection {
    /// The objects of a database by name, their sizes not asked for; empty when there is no such
    /// database, or when the account may see nothing of it.
    pub async fn objects(&mut self, database: &str) -> Result<Vec<Object>, Error> {
        // No column more: for these alone the server opens nothing. A server that was killed
        // while it made a sequence has one without its row. Where the size of that one is asked
        // for, even beside others, MariaDB 10.11 fails an assertion and dies.
        let rows: Vec<(String, String, Option<String>, Option<String>)> = self
            .rows(
                &format!("listing {database}"),
                "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_COLLATION \
                 FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME",
                (database,),
            )
            .await?;
        let objects = rows.into_iter();
        let objects = objects.map(|(name, kind, engine, collation)| Object {
            name,
            kind,
            engine,
            collation,
            rows: 0,
            bytes: 0,
            data_bytes: 0,
            written: None,
        });
        Ok(objects.collect())
    }

    /// The same, with the sizes of the tables.
    pub async fn sized_objects(&mut self, database: &str) -> Result<Vec<Object>, Error> {
        let mut objects = self.objects(database).await?;
        for object in objects.iter_mut().filter(|one| one.is_table()) {
            let size = self.size(database, &object.name).await?;
            object.rows = size.rows;
            object.bytes = size.data + size.indexes;
            object.data_bytes = size.data;
            object.written = size.written;
        }
        Ok(objects)
    }

    /// The size of a table; of one that is gone, none. Never to be asked of a sequence, see
    /// [`Connection::objects`].
    async fn size(&mut self, database: &str, table: &str) -> Result<Size, Error> {
        let sizes: Vec<(u64, u64, u64, Option<String>)> = self
            .rows(
                &format!("asking for the size of {database}.{table}"),
                "SELECT COALESCE(TABLE_ROWS, 0), COALESCE(DATA_LENGTH, 0), \
                 COALESCE(INDEX_LENGTH, 0), CAST(UPDATE_TIME AS CHAR) \
                 FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
                (database, table),
            )
            .await?;
        let size = sizes.into_iter().next();
        Ok(
            size.map_or_else(Size::default, |(rows, data, indexes, written)| Size {
                rows,
                data,
                indexes,
                written,
            }),
        )
    }

    /// The foreign keys of these tables.
    pub async fn foreign_keys(
        &mut self,
        database: &str,
        tables: &[Object],
    ) -> Result<Vec<ForeignKey>, Error> {
        let mut keys: Vec<ForeignKey> = Vec::new();
        // One by one: sequences are not to be opened.
        for table in tables.iter().filter(|one| one.is_table()) {
            let rows: Vec<(String, String, String, String, String)> = self
                .rows(
                    &format!("listing the foreign keys of {database}.{}", table.name),
                    "SELECT CONSTRAINT_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, \
                     COLUMN_NAME, REFERENCED_COLUMN_NAME \
                     FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = ? \
                     AND TABLE_NAME = ? AND REFERENCED_TABLE_NAME IS NOT NULL \
                     ORDER BY CONSTRAINT_NAME, ORDINAL_POSITION",
                    (database, &table.name),
                )
                .await?;
            for (name, other_database, other, column, there) in rows {
                match keys.last_mut() {
                    Some(key) if key.table == table.name && key.name == name => {
                        key.columns.push((column, there));
                    }
                    _ => keys.push(ForeignKey {
                        table: table.name.clone(),
                        name,
                        other_database,
                        other,
                        columns: vec![(column, there)],
                    }),
                }
            }
        }
        Ok(keys)
    }

    /// The tables of other databases with a foreign key into this one, as `azywiki.page`; `None`
    /// without the privilege PROCESS.
    pub async fn pointing_into(&mut self, database: &str) -> Result<Option<Vec<String>>, Error> {
        // By the engine's own list: it opens no table of anybody's. Names are there as file names.
        let rows: Result<Vec<(String, String)>, Error> = self
            .rows(
                &format!("looking for foreign keys into {database}"),
                &format!(
                    "SELECT DISTINCT {}, {} FROM information_schema.INNODB_SYS_FOREIGN \
                     WHERE CAST(SUBSTRING_INDEX(REF_NAME, '/', 1) AS BINARY) = \
                     CAST(CONVERT(? USING filename) AS BINARY) \
                     AND SUBSTRING_INDEX(FOR_NAME, '/', 1) <> SUBSTRING_INDEX(REF_NAME, '/', 1) \
                     ORDER BY 1, 2",
                    decoded("SUBSTRING_INDEX(FOR_NAME, '/', 1)"),
                    decoded("SUBSTRING_INDEX(FOR_NAME, '/', -1)"),
                ),
                (database,),
            )
            .await;
        match rows {
            Ok(rows) => {
                let rows = rows.into_iter();
                let names = rows.map(|(other, table)| format!("{other}.{table}"));
                Ok(Some(names.collect()))
            }
            Err(error) if error.code() == Some(UNPRIVILEGED) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a table of that name is there and has that column.
    pub async fn has_column(
        &mut self,
        database: &str,
        table: &str,
        column: &str,
    ) -> Result<bool, Error> {
        let count: u64 = self
            .row(
                &format!("looking for {database}.{table}.{column}"),
                "SELECT COUNT(*) FROM information_schema.COLUMNS \
                 WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND COLUMN_NAME = ?",
                (database, table, column),
            )
            .await
            .map(|(count,)| count)?;
        Ok(count == 1)
    }
}

/// A file's name as the name that it stands for. Source: `MariaDB`, "Identifier to File Name
/// Mapping".
fn decoded(file: &str) -> String {
    format!("CONVERT(CONVERT(CAST({file} AS BINARY) USING filename) USING utf8mb4)")
}
