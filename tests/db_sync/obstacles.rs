//! What cannot be copied or renamed is refused by name, with a way out, before anything is
//! written.

use std::os::unix::fs::PermissionsExt;

use super::own::{NEW, OLD, Own};
use super::sql;
use crate::support::{sandbox, scratch};

/// How each obstacle is put into a database and taken away, what is said of it, and the way
/// out. `$` is the database, `OTHER` another one, `FOLDER` one where the server may write.
const OBSTACLES: [(&str, &str, &str, &str); 9] = [
    (
        "CREATE VIEW $.titles AS SELECT title FROM $.pages",
        "DROP VIEW $.titles",
        "titles is a view",
        "keep views in a database of their own",
    ),
    (
        "CREATE TRIGGER $.shout BEFORE INSERT ON $.pages FOR EACH ROW SET NEW.title = UPPER(NEW.title)",
        "DROP TRIGGER $.shout",
        "pages has the trigger shout",
        "drop the triggers",
    ),
    (
        "CREATE PROCEDURE $.tidy() DELETE FROM pages",
        "DROP PROCEDURE $.tidy",
        "tidy is a stored routine",
        "keep routines in a database of their own",
    ),
    (
        "CREATE EVENT $.nightly ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM pages",
        "DROP EVENT $.nightly",
        "nightly is an event",
        "keep events in a database of their own",
    ),
    (
        "CREATE TABLE $.notes (id int) ENGINE=MyISAM",
        "DROP TABLE $.notes",
        "notes is a table of the engine MyISAM",
        "ENGINE=InnoDB",
    ),
    (
        "CREATE TABLE $.history (id int) WITH SYSTEM VERSIONING",
        "DROP TABLE $.history",
        "history is a system-versioned table",
        "DROP SYSTEM VERSIONING",
    ),
    (
        "CREATE TABLE $.abroad (id int, FOREIGN KEY (id) REFERENCES OTHER.o (id))",
        "DROP TABLE $.abroad",
        "abroad names the database OTHER",
        "drop the foreign key",
    ),
    (
        "CREATE TABLE $.counted (id int DEFAULT NEXTVAL($.numbers))",
        "DROP TABLE $.counted",
        "counted names the database $",
        "the default, that names a database",
    ),
    (
        "CREATE TABLE $.apart (id int) DATA DIRECTORY='FOLDER'",
        "DROP TABLE $.apart",
        "apart has a DATA DIRECTORY",
        "without DATA DIRECTORY",
    ),
];

#[test]
fn each_obstacle_is_refused_on_both_sides_with_its_way_out() {
    let own = Own::new("obstacle", "");
    let other = "obstacle_other";
    sql(
        "metadata",
        &format!("CREATE OR REPLACE DATABASE {other}; CREATE TABLE {other}.o (id int PRIMARY KEY)"),
    );
    let folder = sandbox().dir().join("apart");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
    // Without these the account does not see triggers, routines and events: the plan says so.
    let blind = own.db_sync([own.name, "--dry-run"]).expect(3);
    for database in [&own.production, &own.staging] {
        let grant = format!(
            "GRANT TRIGGER, EVENT, EXECUTE ON `{}`.* TO 'obstacle'@'localhost';",
            database.replace('_', "\\_")
        );
        assert!(blind.stdout.contains(&grant), "{}", blind.stdout);
        sql("metadata", &grant);
    }
    let sighted = own.db_sync([own.name, "--dry-run"]).expect(3);
    assert!(!sighted.stdout.contains("GRANT "), "{}", sighted.stdout);

    for database in [&own.production, &own.staging] {
        for (make, unmake, what, way_out) in OBSTACLES {
            let of = |text: &str| {
                let text = text.replace('$', database).replace("OTHER", other);
                text.replace("FOLDER", folder.to_str().unwrap())
            };
            sql("metadata", &of(make));
            let ran = own.sync().expect(8);
            let said = format!("{}:{database}: {}", own.name, of(what));
            assert!(ran.stderr.contains(&said), "{said}: {}", ran.stderr);
            assert!(ran.stderr.contains(way_out), "{}", ran.stderr);
            assert_eq!(own.beside(), "", "{make}");
            sql("metadata", &of(unmake));
        }
    }
    assert_eq!(own.seen(), OLD);
    own.sync().expect(0);
    assert_eq!(own.seen(), NEW);

    // Putting back is refused for what no rename takes along, and for nothing else.
    let notes = "CREATE TABLE $.notes (id int) ENGINE=MyISAM".replace('$', &own.staging);
    let view = "CREATE VIEW $.titles AS SELECT title FROM $.pages".replace('$', &own.staging);
    sql("metadata", &format!("{notes};{view}"));
    let refused = own.db_sync(["restore", own.name, "--yes"]).expect(8);
    assert!(
        refused.stderr.contains("titles is a view"),
        "{}",
        refused.stderr
    );
    assert!(!refused.stderr.contains("notes"), "{}", refused.stderr);
    assert_eq!(own.seen(), NEW);
    sql("metadata", &format!("DROP VIEW {}.titles", own.staging));
    own.db_sync(["restore", own.name, "--yes"]).expect(0);
    assert_eq!(own.seen(), OLD);
}

#[test]
fn what_has_come_since_the_plan_is_a_drift() {
    let own = Own::new("later", "");
    let plan = scratch("later.json").to_str().unwrap().to_owned();
    own.db_sync([own.name, "--save-plan", &plan]).expect(3);
    let view = format!("{}.titles", own.production);
    sql(
        "metadata",
        &format!(
            "CREATE VIEW {view} AS SELECT title FROM {}.pages",
            own.production
        ),
    );
    let ran = own.db_sync(["--plan", &plan, "--yes"]).expect(4);
    assert!(ran.stdout.contains("titles is a view"), "{}", ran.stdout);
    assert_eq!((own.seen().as_str(), own.beside().as_str()), (OLD, ""));
    sql("metadata", &format!("DROP VIEW {view}"));
    own.db_sync(["--plan", &plan, "--yes"]).expect(0);
    assert_eq!(own.seen(), NEW);

    // The only way back is not given up for a cut-over that cannot be.
    let staging = &own.staging;
    own.db_sync([own.name, "--save-plan", &plan]).expect(3);
    let view = format!("CREATE VIEW {staging}.titles AS SELECT title FROM {staging}.pages");
    sql("metadata", &view);
    let kept = format!("SELECT title FROM {staging}_previous.pages");
    for _ in 0..2 {
        let ran = own.db_sync(["--plan", &plan, "--yes"]).expect(4);
        let told = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            told.contains("cannot be renamed: titles is a view"),
            "{told}"
        );
        assert_eq!(sql("metadata", &kept).trim(), OLD);
    }
    sql("metadata", &format!("DROP VIEW {staging}.titles"));
    own.db_sync(["--plan", &plan, "--yes"]).expect(0);
    assert_eq!(sql("metadata", &kept).trim().replace('\n', ","), NEW);

    // A view in what is kept stops what would put it back, before anything is renamed.
    let view = format!("CREATE VIEW {staging}_previous.titles AS SELECT 1");
    sql("metadata", &view);
    let refused = own.db_sync(["restore", own.name, "--yes"]).expect(8);
    assert!(
        refused.stderr.contains("titles is a view"),
        "{}",
        refused.stderr
    );
}

#[test]
fn foreign_keys_of_others_into_staging_are_refused() {
    let own = Own::new("pointed", "");
    let blind = own.db_sync([own.name, "--dry-run"]).expect(3);
    let told = blind.stdout.split_whitespace().collect::<Vec<_>>();
    assert!(
        told.join(" ")
            .contains("foreign keys of other databases into the target are seen only with"),
        "{}",
        blind.stdout
    );

    sql(
        "metadata",
        &format!(
            "GRANT PROCESS ON *.* TO pointed@localhost;
             CREATE OR REPLACE DATABASE `pointed-other`;
             CREATE TABLE `pointed-other`.`from here` (page int,
                 FOREIGN KEY (page) REFERENCES {}.pages (id))",
            own.staging
        ),
    );
    let said = "point into pointed:pointed_staging or pointed:pointed_staging_previous: \
                pointed-other.from here";
    let restored = own.db_sync(["restore", own.name, "--yes"]);
    for ran in [own.sync(), restored] {
        let ran = ran.expect(8);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    assert_eq!((own.seen().as_str(), own.beside().as_str()), (OLD, ""));
    sql("metadata", "DROP DATABASE `pointed-other`");
    own.sync().expect(0);
    assert_eq!(own.seen(), NEW);
}

#[test]
fn a_row_that_no_packet_holds_is_refused_unless_it_stays_behind() {
    let own = Own::new("wide", "");
    let production = &own.production;
    // More than 16 MiB in two values, neither of which is.
    sql(
        "metadata",
        &format!(
            "SET SESSION sql_log_bin = 0; USE {production};
             CREATE TABLE shapes (id int, place geometry, one longblob, two longtext, three text);
             INSERT INTO shapes VALUES (1, POINT(1, 2), NULL, NULL, 'x');
             INSERT INTO shapes VALUES (2, NULL, REPEAT('x', 9000000), REPEAT('y', 9000000), 'z');"
        ),
    );
    let ran = own.sync().expect(8);
    assert!(
        ran.stderr
            .contains("too large for a packet: shapes: 18000001 bytes"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("schema_only"), "{}", ran.stderr);
    assert_eq!((own.seen().as_str(), own.beside().as_str()), (OLD, ""));

    let own = Own {
        config: super::config_from(&own.config, "wide-behind.toml", |text| {
            format!("{text}schema_only = [\"shapes\"]\n")
        }),
        ..own
    };
    own.sync().expect(0);
    assert_eq!(own.seen(), NEW);
    let rows = format!("SELECT COUNT(*) FROM {}.shapes", own.staging);
    assert_eq!(sql("metadata", &rows), "0\n");
}
