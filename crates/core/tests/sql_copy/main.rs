//! Databases copied on real `MariaDB` servers, one a test, over its socket.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod moment;
mod server;
mod values;

use std::collections::BTreeSet;
use std::sync::Arc;

use opsweek_core::services::sql::copy::{Copied, Job, Watch, copy};
use opsweek_core::services::sql::marker::{Contents, contents};
use opsweek_core::services::sql::schema::{Obstacle, Schema};
use opsweek_core::services::sql::{Error, Server, snapshot};
use tokio_util::sync::CancellationToken;

use server::MariaDb;

/// Copies `source` into `target` on one server.
async fn copied(server: &Server, source: &str, target: &str) -> Result<Copied, Error> {
    let job = job(server, source, target).await;
    copy(&job, &Watch::silent(CancellationToken::new())).await
}

async fn job(server: &Server, source: &str, target: &str) -> Job {
    let mut connection = server.connect().await.unwrap();
    let schema = Schema::read(&mut connection, source).await.unwrap();
    Job {
        source: server.clone(),
        schema: Arc::new(schema.expect("the source is there")),
        target: server.clone(),
        database: target.to_owned(),
        schema_only: BTreeSet::new(),
        plan: "sha256:0".to_owned(),
        snapshot: snapshot::Mode::Tables,
        streams: 3,
    }
}

const PARENTS: &str = "
    CREATE DATABASE prod CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
    USE prod;
    CREATE TABLE b_parent (id int PRIMARY KEY AUTO_INCREMENT, name varchar(20),
        boss int, CONSTRAINT boss FOREIGN KEY (boss) REFERENCES b_parent (id));
    CREATE TABLE a_child (id int PRIMARY KEY, parent int, CHECK (id < 1000),
        CONSTRAINT parent FOREIGN KEY (parent) REFERENCES b_parent (id));
    CREATE TABLE log (id int PRIMARY KEY AUTO_INCREMENT, text text);
    CREATE TABLE odd (day date DEFAULT '0000-00-00', id int) ROW_FORMAT=DYNAMIC;
    SET sql_mode = 'ALLOW_INVALID_DATES', innodb_strict_mode = 0;
    ALTER TABLE odd ALTER day SET DEFAULT '2024-02-31', ROW_FORMAT=FIXED;
    CREATE TABLE _opsweek_sync (id int);
    CREATE SEQUENCE numbers START WITH 5 INCREMENT BY 3;
    CREATE SEQUENCE rounds START WITH 5 MINVALUE 1 MAXVALUE 7 CYCLE NOCACHE;
    DO NEXTVAL(rounds); DO NEXTVAL(rounds); DO NEXTVAL(rounds); DO NEXTVAL(rounds);
    CREATE SEQUENCE begun START WITH 100;
    ALTER SEQUENCE begun RESTART 10;
    INSERT INTO b_parent VALUES (1, 'elvis', NULL), (2, 'azywiki', 1);
    INSERT INTO a_child VALUES (1, 1), (2, 2), (3, NULL);
    INSERT INTO log (text) VALUES ('one'), ('two');
    DO NEXTVAL(numbers);";

#[tokio::test]
async fn a_copy_goes_on_with_numbers_and_keys_and_drops_only_its_own() {
    let mariadb = MariaDb::start(&[]);
    mariadb.sql(PARENTS);
    mariadb.sql("CREATE DATABASE staging; CREATE TABLE staging.old (a int); INSERT INTO staging.old VALUES (7)");
    let server = mariadb.root();
    let mut job = job(&server, "prod", "new").await;
    assert_eq!(job.schema.obstacles, []);
    job.schema_only.insert("log".to_owned());
    let silent = Watch::silent(CancellationToken::new());
    let done = copy(&job, &silent).await.unwrap();
    assert_eq!(done.readers, 3);
    assert!(done.held.is_some());
    assert_eq!(done.marker.tables["a_child"].rows, 3);
    assert!(!done.marker.tables.contains_key("log"));
    assert_eq!(mariadb.sql("SELECT COUNT(*) FROM new.log"), "0\n");
    // Numbers go on where production's may be.
    let next: i64 = mariadb
        .sql("SELECT NEXTVAL(new.numbers)")
        .trim()
        .parse()
        .unwrap();
    assert_eq!(next, done.marker.sequences["numbers"]);
    // Also below their first ones.
    assert_eq!(
        mariadb.sql("SELECT NEXTVAL(new.rounds), NEXTVAL(new.begun)"),
        "2\t10\n"
    );
    // A mark that production bears, put back from a copy by hand, is none of the copy's.
    assert!(!done.marker.tables.contains_key("_opsweek_sync"));
    assert_eq!(mariadb.sql("SHOW TABLES FROM new LIKE '\\_opsweek%'"), "");
    assert!(mariadb.refuses("INSERT INTO new.a_child VALUES (9, 77)"));
    assert!(mariadb.refuses("INSERT INTO new.a_child VALUES (1000, 1)"));

    // A second run drops the first one's copy, and no other database.
    copy(&job, &silent).await.unwrap();
    job.database = "staging".to_owned();
    let refused = copy(&job, &silent).await.unwrap_err();
    assert!(matches!(refused, Error::NotOurs { .. }), "{refused}");
    assert_eq!(mariadb.sql("SELECT a FROM staging.old"), "7\n");
}

#[tokio::test]
async fn what_cannot_be_renamed_is_named() {
    let mariadb = MariaDb::start(&[]);
    mariadb.sql(PARENTS);
    mariadb.sql("
        CREATE DATABASE other; USE prod;
        CREATE VIEW v AS SELECT * FROM log;
        CREATE TRIGGER t BEFORE INSERT ON log FOR EACH ROW SET NEW.text = '';
        CREATE TABLE m (a int) ENGINE=MyISAM;
        CREATE TABLE h (a int) WITH SYSTEM VERSIONING;
        CREATE TABLE d (a int DEFAULT NEXTVAL(numbers));
        CREATE TABLE other.o (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES prod.b_parent (id));
        CREATE TABLE f (a int, FOREIGN KEY (a) REFERENCES other.o (id))");
    let mut connection = mariadb.root().connect().await.unwrap();
    let schema = Schema::read(&mut connection, "prod")
        .await
        .unwrap()
        .unwrap();
    let text = |text: &str| text.to_owned();
    assert_eq!(
        schema.obstacles,
        [
            Obstacle::View { name: text("v") },
            Obstacle::Trigger {
                name: text("t"),
                table: text("log")
            },
            Obstacle::Engine {
                table: text("m"),
                engine: text("MyISAM")
            },
            Obstacle::Versioned { table: text("h") },
            Obstacle::Names {
                table: text("d"),
                database: text("prod")
            },
            Obstacle::Names {
                table: text("f"),
                database: text("other")
            },
        ]
    );
    assert_eq!(
        Schema::read(&mut connection, "nothing").await.unwrap(),
        None
    );
    let hash = schema.hash();
    mariadb.sql("INSERT INTO prod.b_parent (name) VALUES ('x')");
    let again = Schema::read(&mut connection, "prod")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(again.hash(), hash);
    mariadb.sql("ALTER TABLE prod.log ADD c int");
    let changed = Schema::read(&mut connection, "prod")
        .await
        .unwrap()
        .unwrap();
    assert_ne!(changed.hash(), hash);
}

/// What a server leaves that was killed while it made a sequence, and that dies of being asked
/// for its size.
#[tokio::test]
async fn a_sequence_without_its_row_harms_nobody() {
    let mariadb = MariaDb::start(&[]);
    mariadb.sql(PARENTS);
    let server = mariadb.root();
    let mut job = job(&server, "prod", "new").await;
    let silent = Watch::silent(CancellationToken::new());
    copy(&job, &silent).await.unwrap();
    let definition = mariadb.data().join("new/numbers.frm");
    let kept = std::fs::read(&definition).unwrap();
    mariadb.sql("USE new; ALTER TABLE numbers SEQUENCE=0; DELETE FROM numbers; FLUSH TABLES");
    std::fs::write(&definition, kept).unwrap();

    let mut connection = server.connect().await.unwrap();
    let objects = connection.objects("new").await.unwrap();
    assert!(
        objects
            .iter()
            .any(|one| one.name == "numbers" && one.is_sequence())
    );
    let sized = connection.sized_objects("new").await.unwrap();
    assert!(sized.iter().any(|one| one.bytes > 0));
    // It has no definition any more; the server says so, and lives.
    Schema::read(&mut connection, "new").await.unwrap_err();
    let keys = connection.foreign_keys("new", &objects).await.unwrap();
    assert_eq!(keys.len(), 2);
    assert!(matches!(
        contents(&mut connection, "new").await.unwrap(),
        Contents::Copy(_)
    ));
    job.plan = "sha256:1".to_owned();
    copy(&job, &silent).await.unwrap();
    assert_eq!(mariadb.sql("SELECT NEXTVAL(new.numbers) > 5"), "1\n");
}
