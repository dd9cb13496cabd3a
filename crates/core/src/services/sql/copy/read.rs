//! Reading a table's rows, in pieces, each value in a form that loses nothing.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Row, Value};
use tokio::time::timeout;

use super::super::checksum::Tally;
use super::super::connection::LONG;
use super::super::schema::{Column, Table, qualified};
use super::super::{Connection, Error, quote_identifier};

/// How long nothing may happen in the middle of a copy: the other side may have to sort an
/// index or to wait for its disk.
pub(super) const STALL: Duration = LONG;

/// "Table definition has changed, please retry transaction". Source: `MariaDB`, "`MariaDB`
/// Error Code Reference".
const REDEFINED: u16 = 1412;

/// How a column is asked for and how its value is written, so that nothing of it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Form {
    /// As it is.
    Plain,
    /// FLOAT comes with 6 digits, the number beside it with all.
    Double,
    /// By number: values may look like numbers, and the empty one of an invalid value is none
    /// of the declared ones.
    Enum,
    /// By its bits.
    Set,
    /// UUID and addresses: text that is written as bytes would be taken for such a value's
    /// bytes.
    Bytes(u8),
}

impl Form {
    pub(in super::super) fn of(column: &Column) -> Self {
        match column.kind.as_str() {
            "float" | "double" => Self::Double,
            "enum" => Self::Enum,
            "set" => Self::Set,
            "uuid" | "inet6" => Self::Bytes(16),
            "inet4" => Self::Bytes(4),
            _ => Self::Plain,
        }
    }

    pub(in super::super) fn select(self, name: &str) -> String {
        let name = quote_identifier(name);
        match self {
            Self::Plain => name,
            Self::Double => format!("CAST({name} AS DOUBLE)"),
            Self::Enum | Self::Set => format!("CAST({name} AS UNSIGNED)"),
            Self::Bytes(length) => format!("CAST({name} AS BINARY({length}))"),
        }
    }
}

/// What a table's rows consist of.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) table: String,
    /// The columns that are written, and how.
    pub(super) written: Vec<(String, Form)>,
    /// The expressions that are read: those of the written columns, then of the generated ones.
    select: String,
}

impl Shape {
    pub(super) fn of(table: &Table) -> Self {
        let (generated, written): (Vec<_>, Vec<_>) =
            table.columns.iter().partition(|column| column.generated);
        let select: Vec<_> = written
            .iter()
            .chain(&generated)
            .map(|column| Form::of(column).select(&column.name))
            .collect();
        Self {
            table: table.name.clone(),
            written: written
                .iter()
                .map(|column| (column.name.clone(), Form::of(column)))
                .collect(),
            select: select.join(", "),
        }
    }

    /// The statement that reads a piece.
    fn query(&self, database: &str, range: &Range) -> String {
        let from = qualified(database, &self.table);
        match range {
            Range::Whole => format!("SELECT {} FROM {from}", self.select),
            Range::Between { column, low, high } => {
                let column = quote_identifier(column);
                let low = low.map(|low| format!("{column} >= {low}"));
                let high = high.map(|high| format!("{column} < {high}"));
                let both: Vec<_> = low.into_iter().chain(high).collect();
                format!(
                    "SELECT {} FROM {from} FORCE INDEX (PRIMARY) WHERE {}",
                    self.select,
                    both.join(" AND ")
                )
            }
        }
    }
}

/// Which of a table's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// All.
    Whole,
    /// Those whose first primary key column is at least `low` and below `high`.
    Between {
        column: String,
        low: Option<i128>,
        high: Option<i128>,
    },
}

/// The bytes of data of a piece, about.
const PIECE: u64 = 3 << 20;

/// Types whose values can be cut into ranges.
const INTEGERS: [&str; 5] = ["tinyint", "smallint", "mediumint", "int", "bigint"];

/// Cuts a table into pieces of about the same size. They are all of the table together, in
/// another database as well.
pub(super) async fn ranges(
    connection: &mut Connection,
    database: &str,
    table: &Table,
) -> Result<Vec<Range>, Error> {
    let parts = table.data_bytes / PIECE;
    let column = table.primary_key.first().filter(|key| {
        let mut columns = table.columns.iter();
        columns.any(|column| column.name == **key && INTEGERS.contains(&column.kind.as_str()))
    });
    let (Some(column), true) = (column, parts > 1) else {
        return Ok(vec![Range::Whole]);
    };
    let about = format!("asking for the keys of {database}.{}", table.name);
    let key = quote_identifier(column);
    let statement = format!(
        "SELECT CAST(MIN({key}) AS CHAR), CAST(MAX({key}) AS CHAR) FROM {}",
        qualified(database, &table.name)
    );
    let (low, high): (Option<String>, Option<String>) =
        connection.row(&about, &statement, ()).await?;
    let number = |text: Option<String>| text.and_then(|text| text.parse::<i128>().ok());
    let (Some(low), Some(high)) = (number(low), number(high)) else {
        return Ok(vec![Range::Whole]);
    };
    Ok(cut(column, low, high, parts))
}

fn cut(column: &str, low: i128, high: i128, parts: u64) -> Vec<Range> {
    let parts = i128::from(parts).min(high - low + 1);
    let bound = |part: i128| low + (high - low + 1) * part / parts;
    (0..parts)
        .map(|part| Range::Between {
            column: column.to_owned(),
            // Open at both ends: what is beyond belongs to the table as well.
            low: (part > 0).then(|| bound(part)),
            high: (part + 1 < parts).then(|| bound(part + 1)),
        })
        .map(|range| match range {
            Range::Between {
                low: None,
                high: None,
                ..
            } => Range::Whole,
            range => range,
        })
        .collect()
}

/// Where the rows go that are read.
pub(super) trait Sink: Send {
    /// Takes the values of one row, those of generated columns too.
    fn row(&mut self, row: Vec<Value>) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Rows that are only added up.
impl Sink for () {
    async fn row(&mut self, _: Vec<Value>) -> Result<(), Error> {
        Ok(())
    }
}

/// Reads a piece, row by row; gives what it adds up to.
pub(super) async fn read(
    connection: &mut Connection,
    database: &str,
    (shape, range): (&Shape, &Range),
    sink: &mut impl Sink,
) -> Result<Tally, Error> {
    let about = format!("reading {database}.{}", shape.table);
    let server = connection.server().clone();
    let late = || Error::Deadline {
        server: server.name(),
        what: about.clone(),
        seconds: STALL.as_secs(),
    };
    let failed = |error| match Error::asking(server.name(), &about, error) {
        error if error.code() == Some(REDEFINED) => Error::Changed {
            server: server.name(),
            database: database.to_owned(),
        },
        error => error,
    };
    let unexpected = || Error::Unexpected {
        server: server.name(),
        what: about.clone(),
    };
    let statement = shape.query(database, range);
    let asked = timeout(STALL, connection.driver().query_iter(statement)).await;
    let mut result = asked.map_err(|_| late())?.map_err(failed)?;
    let mut tally = Tally::default();
    while let Some(row) = timeout(STALL, result.next())
        .await
        .map_err(|_| late())?
        .map_err(failed)?
    {
        let row: Vec<Value> = Row::unwrap(row);
        tally.add(&row).ok_or_else(unexpected)?;
        sink.row(row).await?;
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(low: Option<i128>, high: Option<i128>) -> Range {
        Range::Between {
            column: "id".to_owned(),
            low,
            high,
        }
    }

    #[test]
    fn pieces_leave_no_gap_and_are_open_at_both_ends() {
        assert_eq!(
            cut("id", 1, 10, 3),
            [
                between(None, Some(4)),
                between(Some(4), Some(7)),
                between(Some(7), None)
            ]
        );
        assert_eq!(
            cut("id", -5, -4, 9),
            [between(None, Some(-4)), between(Some(-4), None)]
        );
        assert_eq!(cut("id", 7, 7, 9), [Range::Whole]);
        let widest = cut("id", 0, i128::from(u64::MAX), 2);
        assert_eq!(widest[0], between(None, Some(1 << 63)));
    }
}
