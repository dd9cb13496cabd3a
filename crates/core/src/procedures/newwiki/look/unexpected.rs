//! The values that pageviews brought and the allowlist has not, from the metastore's
//! partitions and their files. Source of the format: analytics/refinery,
//! `hql/pageview/create_pageview_unexpected_values_table.hql`: text, tabs, three columns.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use crate::engine::{Cx, Failure};
use crate::procedures::newwiki::inventory::Unexpected;
use crate::services::hdfs::{Error, Hdfs};
use crate::services::metastore::Metastore;

/// The longest file that is read: these are exceptions, not data.
const LONGEST: u64 = 64 << 20;
/// How many files are read at once.
const FILES: usize = 8;
/// How the table must be stored for its files to be read here.
const TEXT: &str = "org.apache.hadoop.mapred.TextInputFormat";

type Sums = BTreeMap<(String, String), (u64, Date, Date)>;

/// All values from the day `since` on, by their first column, the most viewed first.
pub(in super::super) async fn unexpected(
    metastore: &Metastore,
    hdfs: &Hdfs,
    table: &str,
    since: Date,
    cx: &Cx,
) -> Result<Vec<Unexpected>, Failure> {
    let (database, name) = table.split_once('.').unwrap_or(("default", table));
    let found = metastore.table(database, name).await?.ok_or_else(|| {
        let hint = "newwiki.unexpected_table names it";
        Failure::new(format!("there is no table {table}"), hint.to_owned())
    })?;
    if found.input_format.as_deref() != Some(TEXT) {
        return Err(Failure::new(
            format!(
                "table {table} is stored as {:?}, not as text",
                found.input_format.unwrap_or_default()
            ),
            "look at it by SQL".to_owned(),
        ));
    }
    let mut folders = Vec::new();
    let partitions = metastore.partition_folders(database, name, &found.partition_keys);
    let mut partitions = std::pin::pin!(partitions);
    while let Some(partition) = partitions.try_next().await? {
        let Some(day) = day(&partition.name) else {
            let why = format!("partition {} of {table} has no day", partition.name);
            return Err(Failure::new(why, None));
        };
        if let Some(location) = partition.location.filter(|_| day >= since) {
            folders.push((day, path_of(&location).to_owned()));
        }
    }
    let total = folders.len() as u64;
    let progress = cx.for_step("unexpected values");
    let mut texts = stream::iter(folders)
        .map(|(day, folder)| async move { Ok::<_, Failure>((day, lines(hdfs, &folder).await?)) })
        .buffer_unordered(FILES);
    let mut sums = Sums::new();
    let mut read = 0;
    while let Some((day, bytes)) = texts.try_next().await? {
        add(&mut sums, day, &bytes);
        read += 1;
        progress.progress(read, Some(total), "days");
    }
    let mut all: Vec<Unexpected> = sums
        .into_iter()
        .map(|((field, value), (views, first, last))| Unexpected {
            field,
            value,
            views,
            first: first.to_string(),
            last: last.to_string(),
        })
        .collect();
    all.sort_by(|a, b| (&b.field, b.views, &a.value).cmp(&(&a.field, a.views, &b.value)));
    Ok(all)
}

/// `year=2026/month=7/day=20`, and perhaps more.
fn day(partition: &str) -> Option<Date> {
    let key = |key: &str| {
        let mut parts = partition.split('/').filter_map(|part| part.split_once('='));
        parts.find(|(name, _)| *name == key).map(|(_, value)| value)
    };
    Date::new(
        key("year")?.parse().ok()?,
        key("month")?.parse().ok()?,
        key("day")?.parse().ok()?,
    )
    .ok()
}

/// `/wmf/data` of `hdfs://nn:8020/wmf/data`.
fn path_of(location: &str) -> &str {
    let Some((_, rest)) = location.split_once("://") else {
        return location;
    };
    rest.find('/').map_or("/", |start| &rest[start..])
}

/// What all visible files of a folder hold, each ended by a newline. A partition whose
/// folder is gone has no rows.
async fn lines(hdfs: &Hdfs, folder: &str) -> Result<Vec<u8>, Failure> {
    let listing = match hdfs.list(folder).await {
        Err(Error::NotFound { .. }) => return Ok(Vec::new()),
        listing => listing?,
    };
    let mut all = Vec::new();
    for file in listing {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        if file.is_dir || name.starts_with(['_', '.']) {
            continue;
        }
        all.extend_from_slice(&hdfs.read_all(&file.path, LONGEST).await?);
        all.push(b'\n');
    }
    Ok(all)
}

/// Adds a day's rows; what is no row is counted under its whole text, so that it is seen.
fn add(sums: &mut Sums, day: Date, bytes: &[u8]) {
    for line in String::from_utf8_lossy(bytes).lines() {
        if line.is_empty() {
            continue;
        }
        let mut columns = line.split('\t');
        let row = (columns.next(), columns.next(), columns.next());
        let (field, value, views) = match row {
            (Some(field), Some(value), Some(views)) => (field, value, views.parse().unwrap_or(0)),
            _ => ("", line, 0),
        };
        let key = (field.to_owned(), value.to_owned());
        let (sum, first, last) = sums.entry(key).or_insert((0, day, day));
        *sum = u64::saturating_add(*sum, views);
        (*first, *last) = ((*first).min(day), (*last).max(day));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn days_and_paths() {
        assert_eq!(day("year=2026/month=7/day=2"), Some(date(2026, 7, 2)));
        assert_eq!(
            day("year=2026/month=7/day=2/hour=3"),
            Some(date(2026, 7, 2))
        );
        assert_eq!(day("year=2026/month=7"), None);
        assert_eq!(day("year=2026/month=13/day=1"), None);
        assert_eq!(path_of("hdfs://nn:8020/wmf/x"), "/wmf/x");
        assert_eq!(path_of("/wmf/x"), "/wmf/x");
    }

    #[test]
    fn rows_are_summed_over_days() {
        let mut sums = Sums::new();
        add(
            &mut sums,
            date(2026, 7, 2),
            b"project\ta\t2\nproject\ta\t3\nodd\n\n",
        );
        add(
            &mut sums,
            date(2026, 7, 1),
            b"project\ta\t5\nproject\tb\tx\n\xff\t\t1",
        );
        let of = |field: &str, value: &str| sums[&(field.to_owned(), value.to_owned())];
        assert_eq!(of("project", "a"), (10, date(2026, 7, 1), date(2026, 7, 2)));
        assert_eq!(of("project", "b").0, 0);
        assert_eq!(of("", "odd").0, 0);
        assert_eq!(of("\u{fffd}", "").0, 1);
    }
}
