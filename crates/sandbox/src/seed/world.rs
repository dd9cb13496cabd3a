//! A leaver's files in HDFS and tables in the metastore, as operations for the
//! servers' own clients.

use serde::Serialize;

/// Somebody else, who stays.
pub(super) const OTHER: &str = "azy";
/// The system account that owns what nobody owns.
pub(super) const SYSTEM: &str = "analytics";
pub(super) const ANALYSTS: &str = "analytics-privatedata-users";

/// What `World.java` does, one a line.
#[derive(Debug, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Op {
    Folder {
        path: String,
        owner: String,
        group: &'static str,
        mode: u16,
    },
    File {
        path: String,
        text: String,
        owner: String,
        group: &'static str,
        mode: u16,
    },
    /// With what is in it.
    Remove {
        path: String,
    },
    /// Files that nobody looks at one by one.
    Many {
        path: String,
        count: usize,
        owner: String,
    },
    Acl {
        path: String,
        /// As `hdfs dfs -setfacl --set` takes it.
        entries: String,
    },
    Database {
        name: String,
        owner: String,
        comment: String,
    },
    Table(Table),
    Partition {
        database: String,
        table: String,
        values: Vec<String>,
        location: Option<String>,
    },
}

#[derive(Debug, Serialize)]
pub(super) struct Table {
    pub(super) database: String,
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) comment: String,
    pub(super) columns: &'static [(&'static str, &'static str)],
    pub(super) partitioned_by: &'static [(&'static str, &'static str)],
    pub(super) external: bool,
    /// Whether Spark made it, which writes its location into the serde's `path` too.
    pub(super) spark: bool,
    pub(super) location: Option<String>,
    /// The query, for a view.
    pub(super) view: Option<String>,
}

const COLUMNS: &[(&str, &str)] = &[("page", "string"), ("views", "bigint")];
const BY_MONTH: &[(&str, &str)] = &[("year", "int"), ("month", "int")];

/// The database of a user: names in Hive have no dots and dashes.
pub(super) fn database_of(user: &str) -> String {
    user.replace(['.', '-'], "_")
}

/// A managed table.
fn table(database: &str, name: &str, owner: &str, comment: &str) -> Table {
    Table {
        database: database.to_owned(),
        name: name.to_owned(),
        owner: owner.to_owned(),
        comment: comment.to_owned(),
        columns: COLUMNS,
        partitioned_by: &[],
        external: false,
        spark: false,
        location: None,
        view: None,
    }
}

/// Tables that nobody looks at one by one.
pub(super) fn many_tables(user: &str, many: usize) -> Vec<Op> {
    let database = database_of(user);
    let one = |n| {
        let name = format!("many_{n:05}");
        Op::Table(table(&database, &name, user, "one of many"))
    };
    (0..many).map(one).collect()
}

/// Everything that `user` has in HDFS. Tables' files are there even without a
/// metastore.
pub(super) fn files(user: &str, many: usize) -> Vec<Op> {
    let home = format!("/user/{user}");
    let database = database_of(user);
    let warehouse = "/user/hive/warehouse";
    let mut ops = Vec::new();
    let mut folder = |path: &str, owner: &str, mode: u16| {
        ops.push(Op::Folder {
            path: path.to_owned(),
            owner: owner.to_owned(),
            group: ANALYSTS,
            mode,
        });
    };
    for (path, mode) in [
        ("", 0o750),
        ("/notebooks", 0o755),
        ("/notebooks/2025", 0o755),
        ("/notebooks/2025/pageviews", 0o755),
        ("/notebooks/2025/pageviews/drafts", 0o700),
        ("/name with spaces", 0o755),
        ("/ünïcödé — 維基百科", 0o755),
        ("/-rf", 0o755),
        ("/line\nbreak", 0o755),
        ("/shared with azy", 0o770),
        ("/drop box", 0o1777),
        ("/nobody may look", 0o000),
        ("/empty", 0o755),
        ("/exports", 0o755),
        ("/exports/referrers", 0o755),
        ("/exports/referrers/year=2025", 0o755),
        ("/exports/referrers/year=2025/month=1", 0o755),
        ("/exports/referrers/year=2025/month=2", 0o755),
        ("/tables", 0o755),
        ("/tables/editors", 0o755),
        ("/.sparkStaging", 0o700),
        ("/.sparkStaging/application_1731000000000_0042", 0o700),
        ("/.staging", 0o700),
        ("/.Trash", 0o700),
        ("/.Trash/Current", 0o700),
        ("/.Trash/Current/user", 0o700),
        (&format!("/.Trash/Current{home}"), 0o700),
    ] {
        folder(&format!("{home}{path}"), user, mode);
    }
    let far = format!("/wmf/data/research/{user}");
    folder("/wmf/data/research", SYSTEM, 0o1777);
    for path in ["", "/clicks", "/sessions", "/sessions/year=2024"] {
        folder(&format!("{far}{path}"), user, 0o755);
    }
    folder(&format!("{far}/sessions/year=2024/month=12"), user, 0o755);
    folder(&format!("{warehouse}/{database}.db"), user, 0o755);
    for path in ["events", "sessions", "sessions/year=2025"] {
        folder(&format!("{warehouse}/{database}.db/{path}"), user, 0o755);
    }
    folder(
        &format!("{warehouse}/{database}.db/sessions/year=2025/month=1"),
        user,
        0o755,
    );
    folder(&format!("{warehouse}/shared.db"), SYSTEM, 0o1777);
    for table in ["reports", "daily"] {
        folder(
            &format!("{warehouse}/shared.db/{database}_{table}"),
            user,
            0o755,
        );
    }
    folder(&format!("/user/{OTHER}"), OTHER, 0o750);

    let mut file = |path: String, text: &str, owner: &str, mode: u16| {
        ops.push(Op::File {
            path,
            text: text.to_owned(),
            owner: owner.to_owned(),
            group: ANALYSTS,
            mode,
        });
    };
    for (path, mode) in [
        ("/.hidden", 0o600),
        ("/notebooks/2025/pageviews/top.ipynb", 0o644),
        ("/notebooks/2025/pageviews/drafts/top 2.ipynb", 0o600),
        (
            "/name with spaces/a file, with 'quotes' and \"more\".txt",
            0o644,
        ),
        ("/ünïcödé — 維基百科/日本語.tsv", 0o644),
        ("/-rf/--help", 0o644),
        ("/line\nbreak/first\nsecond.txt", 0o644),
        ("/shared with azy/plan.txt", 0o660),
        ("/drop box/readable by all", 0o777),
        ("/nobody may look/nothing to see", 0o000),
        (
            "/.sparkStaging/application_1731000000000_0042/spark.zip",
            0o600,
        ),
        (&format!("/.Trash/Current{home}/old.csv"), 0o644),
        ("/tables/editors/000000_0", 0o644),
    ] {
        file(format!("{home}{path}"), "apple\t3\n", user, mode);
    }
    // Somebody else's data in the leaver's home.
    for month in 1..=2 {
        let path = format!("{home}/exports/referrers/year=2025/month={month}/part-00000.tsv");
        file(path, "azywiki\t12\n", OTHER, 0o640);
    }
    for path in [
        format!("{far}/clicks/part-00000.tsv"),
        format!("{far}/sessions/year=2024/month=12/part-00000.tsv"),
        format!("{warehouse}/{database}.db/events/part-00000.tsv"),
        format!("{warehouse}/{database}.db/sessions/year=2025/month=1/part-00000.tsv"),
        format!("{warehouse}/shared.db/{database}_reports/part-00000.tsv"),
        format!("{warehouse}/shared.db/{database}_daily/part-00000.tsv"),
    ] {
        file(path, "azywiki\t7\n", user, 0o644);
    }
    ops.push(Op::Acl {
        path: format!("{home}/shared with azy"),
        entries: format!(
            "user::rwx,user:{OTHER}:rwx,group::r-x,mask::rwx,other::---,\
             default:user::rwx,default:user:{OTHER}:r-x,default:group::r-x,\
             default:mask::r-x,default:other::---"
        ),
    });
    ops.push(Op::Acl {
        path: format!("{home}/shared with azy/plan.txt"),
        entries: format!("user::rw-,user:{OTHER}:r--,group::r--,mask::r--,other::---"),
    });
    // Parents that only others made would stop them: azy reads its table through here.
    ops.push(Op::Acl {
        path: home.clone(),
        entries: format!("user::rwx,user:{OTHER}:--x,group::r-x,mask::r-x,other::---"),
    });
    if many > 0 {
        ops.push(Op::Many {
            path: format!("{home}/many"),
            count: many,
            owner: user.to_owned(),
        });
    }
    ops
}

/// Everything that the metastore knows of `user`; the files of [`files`] belong to it.
pub(super) fn tables(user: &str) -> Vec<Op> {
    let home = format!("/user/{user}");
    let far = format!("/wmf/data/research/{user}");
    let own = database_of(user);
    let database = |name: &str, owner: &str, comment: &str| Op::Database {
        name: name.to_owned(),
        owner: owner.to_owned(),
        comment: comment.to_owned(),
    };
    let partition =
        |database: &str, table: &str, year: &str, month: &str, location| Op::Partition {
            database: database.to_owned(),
            table: table.to_owned(),
            values: vec![year.to_owned(), month.to_owned()],
            location,
        };
    let reports = format!("{own}_reports");
    let daily = format!("{own}_daily");
    let referrers = format!("referrers_of_{own}");
    vec![
        database(&own, user, "personal"),
        database("shared", SYSTEM, "tables of the whole team"),
        database(OTHER, OTHER, "personal"),
        Op::Table(table(&own, "events", user, "managed")),
        Op::Table(Table {
            partitioned_by: BY_MONTH,
            ..table(&own, "sessions", user, "managed, one partition elsewhere")
        }),
        partition(&own, "sessions", "2025", "1", None),
        partition(
            &own,
            "sessions",
            "2024",
            "12",
            Some(format!("{far}/sessions/year=2024/month=12")),
        ),
        Op::Table(Table {
            external: true,
            location: Some(format!("{home}/tables/editors")),
            ..table(&own, "editors", user, "external, at home")
        }),
        Op::Table(Table {
            external: true,
            spark: true,
            location: Some(format!("{far}/clicks")),
            ..table(&own, "clicks", user, "external, far from home")
        }),
        Op::Table(table(
            "shared",
            &reports,
            user,
            "managed, in others' database",
        )),
        Op::Table(Table {
            external: true,
            location: Some(format!("/user/hive/warehouse/shared.db/{daily}")),
            ..table("shared", &daily, user, "external, in others' database")
        }),
        Op::Table(Table {
            external: true,
            spark: true,
            partitioned_by: BY_MONTH,
            location: Some(format!("{home}/exports/referrers")),
            ..table(
                OTHER,
                &referrers,
                OTHER,
                "another user's, in the leaver's home",
            )
        }),
        partition(
            OTHER,
            &referrers,
            "2025",
            "1",
            Some(format!("{home}/exports/referrers/year=2025/month=1")),
        ),
        partition(
            OTHER,
            &referrers,
            "2025",
            "2",
            Some(format!("{home}/exports/referrers/year=2025/month=2")),
        ),
        Op::Table(Table {
            view: Some(format!("SELECT page, views FROM `{own}`.`events`")),
            ..table(
                "shared",
                &format!("{own}_top"),
                OTHER,
                "a view of the leaver's table",
            )
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_lines() {
        let ops = files("elvis", 3).into_iter().chain(tables("elvis"));
        for op in ops {
            let line = serde_json::to_string(&op).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert!(line.starts_with("{\"op\":\""), "{line}");
        }
    }

    #[test]
    fn a_database_is_a_word() {
        assert_eq!(database_of("el-vis.x"), "el_vis_x");
    }
}
