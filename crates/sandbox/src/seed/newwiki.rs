//! What letting a new wiki in works on: lists of wikis, the refinery, the replicas'
//! databases, and the pageview tables in HDFS and the metastore.

use std::fs;
use std::path::Path;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::world::{ANALYSTS, Op, SYSTEM, Table};
use crate::error::{Context, Error};
use crate::files;
use crate::refinery::Refinery;
use crate::sandbox::{Sandbox, Service};
use crate::servers::mariadb::Server;

/// The new wiki, and the section that its database is in.
const WIKI: &str = "azywiki";
const SECTION: &str = "s5";

/// Where the allowlist is in HDFS, and where former ones are kept.
pub(crate) const ALLOWLIST: &str = "/wmf/refinery/current/static_data/pageview/allowlist";
pub(crate) const BACKUP: &str = "/wmf/data/backup/pageview_allowlist";
/// Where the values that are not in the allowlist are.
const UNEXPECTED: &str = "/wmf/data/wmf/pageview/unexpected_values";

impl Sandbox {
    /// Makes what letting a new wiki in works on, as it is after the first start: lists
    /// of wikis (`DIR/dblists`) with azywiki in them, the refinery, on the replicas those
    /// databases that are gone; and, where HDFS and the metastore are up, the allowlist
    /// (`wmf.pageview_allowlist`) and `wmf.pageview_unexpected_values` of the last ten
    /// days and of one long ago.
    pub fn seed_newwiki(&self) -> Result<(), Error> {
        self.require_server(Service::MariaDb, Server::ProdReplica.name())?;
        self.require_server(Service::MariaDb, Server::Cloud.name())?;
        local(self.dir())?;
        Server::ProdReplica.restore(self.dir())?;
        Server::Cloud.restore(self.dir())?;
        if self.require(Service::Hdfs).is_err() {
            return Ok(());
        }
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let mut ops = allowlist()?;
        ops.extend(values(today));
        if self.require(Service::Metastore).is_ok() {
            ops.extend(tables(today));
        }
        self.make(&ops)
    }

    /// The refinery's checkout and remote.
    pub fn refinery(&self) -> Refinery {
        Refinery::open(self.dir())
    }
}

/// Makes lists and refinery anew.
pub(crate) fn local(dir: &Path) -> Result<(), Error> {
    let (lists, new) = (dir.join("dblists"), dir.join("dblists.new"));
    files::remove(&new)?;
    files::copy_folder(&files::fixtures().join("newwiki/dblists"), &new)?;
    for list in ["all", SECTION] {
        let path = new.join(format!("{list}.dblist"));
        let text = fs::read_to_string(&path).context("read", &path)?;
        files::write(&path, 0o644, &with_wiki(&text))?;
    }
    files::remove(&lists)?;
    fs::rename(&new, &lists).context("write", &lists)?;
    Refinery::make(dir).map(drop)
}

/// Whether [`local`] was ever completed.
pub(crate) fn is_local(dir: &Path) -> bool {
    Refinery::open(dir).checkout().exists()
}

/// The list with the new wiki in its place: names are sorted below a comment.
fn with_wiki(list: &str) -> String {
    let mut lines: Vec<&str> = list.lines().collect();
    let place = lines.partition_point(|line| line.starts_with('#') || *line < WIKI);
    lines.insert(place, WIKI);
    lines.join("\n") + "\n"
}

/// The folder that is itself the table, with its one file.
fn allowlist() -> Result<Vec<Op>, Error> {
    let path = files::fixtures().join("newwiki/current/allowlist.tsv");
    let text = fs::read_to_string(&path).context("read", &path)?;
    let remove = |path: &str| Op::Remove {
        path: path.to_owned(),
    };
    Ok(vec![
        remove(ALLOWLIST),
        remove(BACKUP),
        folder("/wmf/data/backup"),
        folder(ALLOWLIST),
        file(format!("{ALLOWLIST}/allowlist.tsv"), text),
    ])
}

fn folder(path: &str) -> Op {
    Op::Folder {
        path: path.to_owned(),
        owner: SYSTEM.to_owned(),
        group: ANALYSTS,
        mode: 0o755,
    }
}

fn file(path: String, text: String) -> Op {
    Op::File {
        path,
        text,
        owner: SYSTEM.to_owned(),
        group: ANALYSTS,
        mode: 0o644,
    }
}

/// The days that there are values of: ten until yesterday, and one long ago.
fn days(today: Date) -> impl Iterator<Item = (i64, Date)> {
    (1..=10)
        .chain([60])
        .map(move |ago: i64| (ago, today.saturating_sub(ago.days())))
}

fn partition(day: Date) -> String {
    format!(
        "{UNEXPECTED}/year={}/month={}/day={}",
        day.year(),
        day.month(),
        day.day()
    )
}

/// What was counted under values that the allowlist lacks: the new wiki for six days, a
/// known wiki that nobody let in, and rubbish.
fn values(today: Date) -> Vec<Op> {
    let mut ops = vec![
        Op::Remove {
            path: UNEXPECTED.to_owned(),
        },
        folder(UNEXPECTED),
    ];
    for (ago, day) in days(today) {
        let path = partition(day);
        ops.push(folder(&path));
        // Names that begin so are not read as data.
        ops.push(file(format!("{path}/_SUCCESS"), String::new()));
        let mut text = vec![format!("project\tth.wikimedia\t{}\n", 7 + ago)];
        if ago <= 6 {
            text.push(format!("project\tazy.wikipedia\t{}\n", 1_000 - 100 * ago));
        }
        if ago == 60 {
            text.push("project\tlong-ago.wikipedia\t9\n".to_owned());
        }
        ops.push(file(format!("{path}/000000_0"), text.concat()));
        if ago % 3 == 0 {
            let rubbish = "project\ten.wikipedia.org\t2\nproject\t-\t1\n\
                           project\t'; DROP TABLE page; --\t1\n\
                           project\tazy.m.wikipedia\t3\naccess_method\tmobile app2\t4\n";
            ops.push(file(format!("{path}/000001_0"), rubbish.to_owned()));
        }
    }
    ops
}

/// The two tables over these folders.
fn tables(today: Date) -> Vec<Op> {
    let table = |name: &str, location: &str| Table {
        database: "wmf".to_owned(),
        name: name.to_owned(),
        owner: SYSTEM.to_owned(),
        comment: String::new(),
        columns: &[],
        partitioned_by: &[],
        external: true,
        spark: false,
        location: Some(location.to_owned()),
        view: None,
    };
    let mut ops = vec![
        Op::Database {
            name: "wmf".to_owned(),
            owner: SYSTEM.to_owned(),
            comment: "the platform's own".to_owned(),
        },
        Op::Table(Table {
            columns: &[
                ("field_name", "string"),
                ("authorized_value", "string"),
                ("insertion_ts", "timestamp"),
            ],
            ..table("pageview_allowlist", ALLOWLIST)
        }),
        Op::Table(Table {
            columns: &[
                ("field_name", "string"),
                ("unexpected_value", "string"),
                ("view_count", "bigint"),
            ],
            partitioned_by: &[("year", "int"), ("month", "int"), ("day", "int")],
            ..table("pageview_unexpected_values", UNEXPECTED)
        }),
    ];
    ops.extend(days(today).map(|(_, day)| Op::Partition {
        database: "wmf".to_owned(),
        table: "pageview_unexpected_values".to_owned(),
        values: vec![
            day.year().to_string(),
            day.month().to_string(),
            day.day().to_string(),
        ],
        location: Some(partition(day)),
    }));
    ops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wiki_is_in_its_place() {
        let list = "# made by a tool\naawiki\nazwiki\nb\n";
        assert_eq!(
            with_wiki(list),
            "# made by a tool\naawiki\nazwiki\nazywiki\nb\n"
        );
    }

    #[test]
    fn days_cross_months() {
        let days: Vec<Date> = days(jiff::civil::date(2026, 3, 3))
            .map(|(_, day)| day)
            .collect();
        assert_eq!(
            partition(days[0]),
            format!("{UNEXPECTED}/year=2026/month=3/day=2")
        );
        assert_eq!(
            partition(days[2]),
            format!("{UNEXPECTED}/year=2026/month=2/day=28")
        );
        assert_eq!(days.len(), 11);
    }
}
