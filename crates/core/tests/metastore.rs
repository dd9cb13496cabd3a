//! The metastore service against the sandbox's real metastore, judged by the metastore's own
//! tables and by `hdfs dfs`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by a panic, in its helpers too"
)]

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{FutureExt, TryStreamExt};
use opsweek_core::services::metastore::{
    Backing, Config, DatabaseRecord, Error, Kind, Likeness, Metastore, PartitionRecord, TableRecord,
};
use opsweek_core::services::sql;
use opsweek_sandbox::{Sandbox, SeedOptions};

fn sandbox() -> Sandbox {
    Sandbox::from_env().expect("run the tests by: cargo verify")
}

fn client(uris: Vec<String>, backing: Option<Backing>) -> Metastore {
    Metastore::new(Config {
        uris,
        user: "hdfs".into(),
        deadline: Duration::from_secs(30),
        concurrency: 4,
        backing,
    })
}

fn metastore(sandbox: &Sandbox) -> Metastore {
    client(uris(sandbox), None)
}

fn config(sandbox: &Sandbox) -> toml::Table {
    let text = std::fs::read_to_string(sandbox.config_path()).unwrap();
    text.parse().unwrap()
}

fn uris(sandbox: &Sandbox) -> Vec<String> {
    let config = config(sandbox);
    let uris = config["metastore"]["uris"].as_array().unwrap();
    uris.iter()
        .map(|uri| uri.as_str().unwrap().to_owned())
        .collect()
}

/// The same metastore with its own tables read by SQL: those of the given database.
fn with_tables(sandbox: &Sandbox, database: &str) -> Metastore {
    let settings: sql::Settings = config(sandbox)["sql"]["metastore"]
        .clone()
        .try_into()
        .unwrap();
    let password = std::fs::read_to_string(settings.password_file.as_ref().unwrap()).unwrap();
    let server = settings
        .with_password(Some(sql::Secret::new(password.trim_end())))
        .map(sql::Server::new)
        .unwrap();
    let database = database.to_owned();
    client(uris(sandbox), Some(Backing { server, database }))
}

/// A leaver of that name. Seeding edits files that all users share, so it is done for one at a
/// time.
fn seeded(user: &str) -> (Sandbox, Metastore) {
    static ONE: Mutex<()> = Mutex::new(());
    let sandbox = sandbox();
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    sandbox.seed(user, &SeedOptions::default()).unwrap();
    let metastore = metastore(&sandbox);
    (sandbox, metastore)
}

fn sql(sandbox: &Sandbox, query: &str) -> Vec<Vec<String>> {
    sandbox.metastore_sql(query).unwrap()
}

fn set<T: Ord>(all: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    all.into_iter().collect()
}

/// Every location that the metastore's tables know for a table and its partitions.
fn locations(sandbox: &Sandbox, database: &str, table: &str) -> BTreeSet<String> {
    let of = |join: &str| {
        format!(
            "SELECT S.LOCATION FROM TBLS T JOIN DBS D ON T.DB_ID = D.DB_ID {join} \
             WHERE D.NAME = '{database}' AND T.TBL_NAME = '{table}'"
        )
    };
    let own = sql(sandbox, &of("JOIN SDS S ON S.SD_ID = T.SD_ID"));
    let partitions = sql(
        sandbox,
        &of("JOIN PARTITIONS P ON P.TBL_ID = T.TBL_ID JOIN SDS S ON S.SD_ID = P.SD_ID"),
    );
    set(own
        .into_iter()
        .chain(partitions)
        .map(|mut row| row.remove(0)))
}

/// All properties of a table, but the time of its last change.
fn properties(sandbox: &Sandbox, table: &str) -> BTreeSet<Vec<String>> {
    let query = format!(
        "SELECT P.PARAM_KEY, P.PARAM_VALUE FROM TABLE_PARAMS P JOIN TBLS T ON T.TBL_ID = P.TBL_ID \
         WHERE T.TBL_NAME = '{table}'"
    );
    let rows = sql(sandbox, &query).into_iter();
    set(rows.filter(|row| row[0] != "transient_lastDdlTime"))
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_holds_up_no_other() {
    let metastore = Metastore::new(Config {
        uris: uris(&sandbox()),
        user: "hdfs".into(),
        deadline: Duration::from_secs(30),
        concurrency: 1,
        backing: None,
    });
    // Begun and left alone, as in a stream whose consumer is busy.
    let mut begun = Box::pin(metastore.uuid());
    assert!((&mut begun).now_or_never().is_none());
    let other = tokio::time::timeout(Duration::from_mins(1), metastore.uuid());
    assert_eq!(other.await.unwrap().unwrap(), begun.await.unwrap());
}

#[tokio::test]
async fn reads_what_the_tables_say() {
    let (sandbox, metastore) = seeded("elvisread");
    let names = metastore.databases().await.unwrap();
    assert_eq!(
        set(names.clone()),
        set(sql(&sandbox, "SELECT NAME FROM DBS").into_iter().flatten())
    );
    let database = metastore.database("elvisread").await.unwrap().unwrap();
    assert_eq!(database.owner, "elvisread");
    assert!(
        database
            .location
            .ends_with("/user/hive/warehouse/elvisread.db")
    );
    assert_eq!(metastore.database("nemo").await.unwrap(), None);
    assert_eq!(metastore.table("elvisread", "nemo").await.unwrap(), None);
    assert_eq!(
        metastore.table_names("nemo").await.unwrap(),
        Vec::<String>::new()
    );

    let query = "SELECT T.TBL_NAME FROM TBLS T JOIN DBS D ON T.DB_ID = D.DB_ID \
                 WHERE D.NAME = 'shared' AND T.OWNER = 'elvisread'";
    let owned = metastore
        .tables_owned_by("shared", &["elvisread"])
        .await
        .unwrap();
    assert_eq!(
        set(owned.clone()),
        set(sql(&sandbox, query).into_iter().flatten())
    );
    assert_eq!(owned.len(), 2);
    // Of several owners, more than go into one question.
    let many: Vec<String> = (0..120).map(|n| format!("nemo{n}")).collect();
    let many = many.iter().map(String::as_str).chain(["elvisread"]);
    let many: Vec<&str> = many.collect();
    let of_many = metastore.tables_owned_by("shared", &many).await.unwrap();
    assert_eq!(set(of_many), set(owned.clone()));

    let mut wanted = owned;
    wanted.push("nemo".into());
    assert_eq!(metastore.tables("shared", &wanted).await.unwrap().len(), 2);
    let clicks = metastore
        .table("elvisread", "clicks")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (clicks.kind(), clicks.owner.as_str()),
        (Kind::External, "elvisread")
    );
    let views = metastore
        .views_naming(&["elvisread", "nemo"])
        .await
        .unwrap();
    assert_eq!(
        views,
        [("shared.elvisread_top".to_owned(), "elvisread".to_owned())]
    );

    let found: Vec<_> = metastore
        .locations(&["azy"], &[])
        .try_collect()
        .await
        .unwrap();
    let found = found
        .into_iter()
        .filter(|l| l.table == "referrers_of_elvisread");
    assert_eq!(
        set(found.map(|location| location.location)),
        locations(&sandbox, "azy", "referrers_of_elvisread")
    );
    assert!(!metastore.uuid().await.unwrap().is_empty());
}

#[tokio::test]
async fn changes_an_owner_and_nothing_else() {
    let (sandbox, metastore) = seeded("elvisgive");
    let before = properties(&sandbox, "elvisgive_daily");
    let places = locations(&sandbox, "shared", "elvisgive_daily");
    for _ in 0..2 {
        metastore
            .change_table_owner("shared", "elvisgive_daily", "analytics")
            .await
            .unwrap();
    }
    let query = "SELECT OWNER FROM TBLS WHERE TBL_NAME = 'elvisgive_daily'";
    assert_eq!(sql(&sandbox, query), [["analytics"]]);
    assert_eq!(properties(&sandbox, "elvisgive_daily"), before);
    assert_eq!(locations(&sandbox, "shared", "elvisgive_daily"), places);
    let gone = metastore
        .change_table_owner("shared", "nemo", "analytics")
        .await;
    assert!(matches!(gone, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn points_tables_partitions_and_serdes_elsewhere() {
    let (sandbox, metastore) = seeded("elvispoint");
    let before = locations(&sandbox, "azy", "referrers_of_elvispoint");
    assert!(before.len() > 2);
    let changed = metastore
        .change_table_location(
            "azy",
            "referrers_of_elvispoint",
            "/user/elvispoint",
            "/archive/e p",
        )
        .await
        .unwrap();
    assert_eq!(changed, before.len() as u64);
    let moved = before
        .iter()
        .map(|l| l.replace("/user/elvispoint", "/archive/e p"));
    assert_eq!(
        locations(&sandbox, "azy", "referrers_of_elvispoint"),
        set(moved)
    );
    let again = metastore
        .change_table_location(
            "azy",
            "referrers_of_elvispoint",
            "/user/elvispoint",
            "/archive/e p",
        )
        .await;
    assert_eq!(again.unwrap(), 0);

    let changed = metastore
        .change_table_location(
            "elvispoint",
            "clicks",
            "/wmf/data/research/elvispoint",
            "/archive/c",
        )
        .await;
    assert_eq!(changed.unwrap(), 1);
    let query = "SELECT P.PARAM_VALUE FROM SERDE_PARAMS P JOIN SDS S ON S.SERDE_ID = P.SERDE_ID \
                 JOIN TBLS T ON T.SD_ID = S.SD_ID JOIN DBS D ON D.DB_ID = T.DB_ID \
                 WHERE D.NAME = 'elvispoint' AND T.TBL_NAME = 'clicks' AND P.PARAM_KEY = 'path'";
    let path = sql(&sandbox, query);
    assert!(path[0][0].ends_with("/archive/c/clicks"), "{path:?}");
}

#[tokio::test]
async fn drops_a_database_and_no_file() {
    let (sandbox, metastore) = seeded("elvisdrop");
    let files = || {
        let folders = [
            "dfs",
            "-ls",
            "-R",
            "/user/hive/warehouse/elvisdrop.db",
            "/wmf/data/research/elvisdrop",
        ];
        String::from_utf8(sandbox.hdfs(None, &folders).unwrap().stdout).unwrap()
    };
    let before = files();
    assert!(before.lines().count() > 4, "{before}");
    let definition = metastore
        .definition("elvisdrop", "sessions")
        .await
        .unwrap()
        .unwrap();
    assert!(definition.ddl.contains("PARTITIONED BY") && !definition.thrift.is_empty());
    for _ in 0..2 {
        metastore.drop_database("elvisdrop").await.unwrap();
    }
    assert_eq!(
        sql(&sandbox, "SELECT NAME FROM DBS WHERE NAME = 'elvisdrop'"),
        Vec::<Vec<String>>::new()
    );
    assert_eq!(files(), before);
}

#[tokio::test]
async fn a_metastore_that_is_down_or_silent_is_told_in_time() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let start = Instant::now();
    let refused = client(vec![format!("thrift://{closed}")], None)
        .databases()
        .await;
    assert!(
        matches!(refused, Err(Error::Unreachable { .. })),
        "{refused:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(5));

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hanging = Metastore::new(Config {
        uris: vec![format!("thrift://{}", silent.local_addr().unwrap())],
        user: "hdfs".into(),
        deadline: Duration::from_secs(1),
        concurrency: 1,
        backing: None,
    });
    let late = hanging.databases().await;
    assert!(matches!(late, Err(Error::Deadline { .. })), "{late:?}");
    assert!(matches!(
        client(vec!["metastore:9083".into()], None)
            .databases()
            .await,
        Err(Error::Address { .. })
    ));
}

/// Everything of a database as its record has it: the database, tables with partitions.
async fn recorded(
    metastore: &Metastore,
    name: &str,
) -> (DatabaseRecord, Vec<(TableRecord, Vec<PartitionRecord>)>) {
    let database = metastore.database_thrift(name).await.unwrap().unwrap();
    let mut tables = Vec::new();
    for table in metastore.table_names(name).await.unwrap() {
        let definition = metastore.definition(name, &table).await.unwrap().unwrap();
        let partitions: Vec<_> = metastore
            .partitions(name, &table)
            .try_collect()
            .await
            .unwrap();
        let partitions = partitions
            .iter()
            .map(|partition| PartitionRecord::decode(&partition.thrift).unwrap());
        let record = TableRecord::decode(&definition.thrift).unwrap();
        tables.push((record, partitions.collect()));
    }
    (DatabaseRecord::decode(&database).unwrap(), tables)
}

#[tokio::test]
async fn a_database_is_made_again_without_a_folder_and_known_as_unfinished_on_the_way() {
    let user = "elvisremake";
    let (sandbox, metastore) = seeded(user);
    let folder = format!("/user/hive/warehouse/{user}.db");
    let (database, tables) = recorded(&metastore, user).await;
    let before = sandbox.listing(user).unwrap();
    assert_eq!(
        metastore.like_database(&database).await.unwrap(),
        Likeness::Same
    );
    metastore.drop_database(user).await.unwrap();
    assert_eq!(
        metastore.like_database(&database).await.unwrap(),
        Likeness::Missing
    );
    // Nothing may make these again.
    let moved = format!("{folder}.moved");
    assert!(
        sandbox
            .hdfs(None, &["dfs", "-mv", &folder, &moved])
            .unwrap()
            .status
            .success()
    );

    metastore.begin_database(&database, "/user").await.unwrap();
    // Twice is as good as once, as after a kill.
    metastore.begin_database(&database, "/user").await.unwrap();
    assert_eq!(
        metastore.like_database(&database).await.unwrap(),
        Likeness::Unfinished
    );
    for (table, partitions) in &tables {
        assert_eq!(
            metastore.like_table(table).await.unwrap(),
            Likeness::Missing
        );
        metastore.begin_table(table).await.unwrap();
        metastore.begin_table(table).await.unwrap();
        assert_eq!(
            metastore.like_table(table).await.unwrap(),
            Likeness::Unfinished
        );
        metastore.begin_partitions(table, partitions).await.unwrap();
        metastore.begin_partitions(table, partitions).await.unwrap();
    }
    for (table, partitions) in &tables {
        metastore.end_table(table).await.unwrap();
        let like = metastore.like_partitions(table, partitions).await.unwrap();
        assert!(
            like.iter().all(|like| *like == Likeness::Unfinished),
            "{like:?}"
        );
        metastore.end_partitions(table, partitions).await.unwrap();
        metastore.end_partitions(table, partitions).await.unwrap();
        let like = metastore.like_partitions(table, partitions).await.unwrap();
        assert!(like.iter().all(|like| *like == Likeness::Same), "{like:?}");
        assert_eq!(metastore.like_table(table).await.unwrap(), Likeness::Same);
    }
    metastore.end_database(&database).await.unwrap();
    assert_eq!(
        metastore.like_database(&database).await.unwrap(),
        Likeness::Same
    );

    let there = sandbox
        .hdfs(None, &["dfs", "-test", "-e", &folder])
        .unwrap();
    assert!(!there.status.success(), "the metastore has made {folder}");
    assert!(
        sandbox
            .hdfs(None, &["dfs", "-mv", &moved, &folder])
            .unwrap()
            .status
            .success()
    );
    assert_eq!(sandbox.listing(user).unwrap(), before);

    // Somebody else's work is known as such.
    metastore
        .change_table_owner(user, "events", "azy")
        .await
        .unwrap();
    let (events, _) = tables
        .iter()
        .find(|(table, _)| table.name() == "events")
        .unwrap();
    assert_eq!(
        metastore.like_table(events).await.unwrap(),
        Likeness::Different("owner")
    );
}

#[tokio::test]
async fn both_ways_find_the_same_locations() {
    let (sandbox, by_table) = seeded("elvissql");
    let home = "/user/elvissql".to_owned();
    // Names of SQL's and LIKE's own, and what latin1 has no letter for, find nothing.
    let odd = [
        "/user/%",
        "/user/elvissq_",
        "/user/'",
        "/user/\\",
        "/user/ő",
    ]
    .map(str::to_owned);
    let names = by_table.databases().await.unwrap();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let by_sql = with_tables(&sandbox, "metastore");
    let of = async |metastore: &Metastore, folders: &[String]| -> BTreeSet<_> {
        let found: Vec<_> = metastore
            .locations(&names, folders)
            .try_collect()
            .await
            .unwrap();
        set(found
            .into_iter()
            .map(|it| vec![it.database, it.table, it.location])
            .filter(|row| row[2].contains("/user/elvissql")))
    };
    let found = of(&by_sql, std::slice::from_ref(&home)).await;
    assert_eq!(found, of(&by_table, std::slice::from_ref(&home)).await);
    let select =
        "SELECT D.NAME, T.TBL_NAME, S.LOCATION FROM DBS D JOIN TBLS T ON T.DB_ID = D.DB_ID";
    let like = "WHERE S.LOCATION LIKE '%/user/elvissql%'";
    let judged = format!(
        "{select} JOIN SDS S ON S.SD_ID = T.SD_ID {like} UNION {select} \
         JOIN PARTITIONS P ON P.TBL_ID = T.TBL_ID JOIN SDS S ON S.SD_ID = P.SD_ID {like}"
    );
    assert_eq!(found, set(sql(&sandbox, &judged)));
    let tables: BTreeSet<&str> = found.iter().map(|row| row[1].as_str()).collect();
    assert!(tables.contains("referrers_of_elvissql"), "{tables:?}");
    assert!(found.len() > tables.len(), "no partitions: {found:?}");
    let found: Vec<_> = by_sql.locations(&names, &odd).try_collect().await.unwrap();
    assert_eq!(found, []);
    let found: Vec<_> = by_sql
        .locations(&["nemo"], &[home])
        .try_collect()
        .await
        .unwrap();
    assert_eq!(found, []);
}

#[tokio::test]
async fn a_table_with_many_partitions_gives_them_all() {
    let (user, table) = ("elvismonths", "sessions");
    let (sandbox, metastore) = seeded(user);
    let definition = metastore.definition(user, table).await.unwrap().unwrap();
    let record = TableRecord::decode(&definition.thrift).unwrap();
    let few: Vec<_> = metastore
        .partitions(user, table)
        .try_collect()
        .await
        .unwrap();
    let model = few.iter().find(|one| one.name == "year=2025/month=1");
    let model = STANDARD.decode(&model.unwrap().thrift).unwrap();
    let of_year = |year: usize| {
        let mut bytes = model.clone();
        for at in 0..bytes.len() - 3 {
            if bytes[at..].starts_with(b"2025") {
                bytes[at..at + 4].copy_from_slice(year.to_string().as_bytes());
            }
        }
        PartitionRecord::decode(&STANDARD.encode(bytes)).unwrap()
    };
    let more: Vec<_> = (1000..1120).map(of_year).collect();
    metastore.begin_partitions(&record, &more).await.unwrap();
    metastore.end_partitions(&record, &more).await.unwrap();
    let keys = ["year", "month"].map(str::to_owned);
    let many: Vec<_> = metastore
        .partition_folders(user, table, &keys)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(many.len(), few.len() + more.len());
    let query = format!(
        "SELECT P.PART_NAME, S.LOCATION FROM PARTITIONS P JOIN SDS S ON S.SD_ID = P.SD_ID \
         JOIN TBLS T ON T.TBL_ID = P.TBL_ID JOIN DBS D ON D.DB_ID = T.DB_ID \
         WHERE D.NAME = '{user}' AND T.TBL_NAME = '{table}'"
    );
    let many = many.into_iter();
    let many = many.map(|folder| vec![folder.name, folder.location.unwrap()]);
    assert_eq!(set(many), set(sql(&sandbox, &query)));
}

#[tokio::test]
async fn tables_of_another_metastore_are_not_believed() {
    let sandbox = sandbox();
    let other = "elvisother_metastore";
    let grant = "GRANT SELECT ON elvisother_metastore.* TO metastore_reader@localhost";
    let made = format!(
        "CREATE OR REPLACE DATABASE {other}; \
         CREATE TABLE {other}.METASTORE_DB_PROPERTIES LIKE metastore.METASTORE_DB_PROPERTIES; \
         {grant}"
    );
    sandbox.mariadb("metadata", &made).unwrap();
    let metastore = with_tables(&sandbox, other);
    let ask = async || -> Error {
        let folders = ["/user/elvis".to_owned()];
        let found: Result<Vec<_>, _> = metastore.locations(&["azy"], &folders).try_collect().await;
        found.unwrap_err()
    };
    let error = ask().await;
    assert!(
        matches!(&error, Error::OtherMetastore { found, .. } if found.is_empty()),
        "{error}"
    );
    let uuid = "INSERT INTO elvisother_metastore.METASTORE_DB_PROPERTIES \
                (PROPERTY_KEY, PROPERTY_VALUE) VALUES ('guid', 'another')";
    sandbox.mariadb("metadata", uuid).unwrap();
    let error = ask().await;
    assert!(
        error.to_string().contains("those of metastore \"another\""),
        "{error}"
    );
    assert!(error.hint().is_some());
    let gone = format!(
        "DROP DATABASE {other}; REVOKE SELECT ON {other}.* FROM metastore_reader@localhost"
    );
    sandbox.mariadb("metadata", &gone).unwrap();
    assert!(matches!(ask().await, Error::Backing { .. }));
}
