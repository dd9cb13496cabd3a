//! What is refused, with staging as it was.

use super::own::{NEW, OLD, Own};
use super::{command, config, db_sync, fresh, seen, sql};
use crate::support::{Ran, sandbox, scratch};

#[test]
fn a_wrong_key_is_noticed_before_anything_is_changed() {
    let _one = fresh();
    let old = seen("metadata");
    let key = scratch("wrong.key");
    std::fs::write(&key, "another key\n").unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let config = config("wrong-key.toml", |text| {
        let right = sandbox().dir().join("secrets/superset_production.key");
        text.replace(right.to_str().unwrap(), key.to_str().unwrap())
    });
    let ran = command(&config)
        .args(["prod-to-staging", "--yes"])
        .output()
        .unwrap();
    let ran = Ran::from(ran).expect(8);
    assert!(
        ran.stderr
            .contains("secrets of metadata:superset_production do not open")
    );
    assert!(!ran.stderr.contains("another key") && !ran.stdout.contains("another key"));
    assert_eq!(seen("metadata"), old);
    assert_eq!(
        sql("metadata", "SHOW DATABASES LIKE 'superset\\_staging\\_%'"),
        ""
    );
}

#[test]
fn two_runs_at_once_are_refused() {
    let _one = fresh();
    let mut holder = sandbox().mariadb_command("metadata").unwrap();
    let mut holder = holder
        .args([
            "-e",
            "SELECT GET_LOCK('opsweek:superset_staging', 0); SELECT SLEEP(60)",
        ])
        .spawn()
        .unwrap();
    while sql(
        "metadata",
        "SELECT IS_USED_LOCK('opsweek:superset_staging') IS NULL",
    )
    .trim()
        != "0"
    {
        std::thread::yield_now();
    }
    let ran = db_sync(["prod-to-staging", "--yes"]).expect(1);
    assert!(
        ran.stderr.contains("another run is at work"),
        "{}",
        ran.stderr
    );
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn a_target_that_is_not_stagings_is_refused() {
    let _one = fresh();
    let turned = config("turned.toml", |text| {
        text.replace("\"superset_staging\"", "\"superset_other\"")
            .replace("\"superset_production\"", "\"superset_staging\"")
            .replace("\"superset_other\"", "\"superset_production\"")
    });
    let ran = command(&turned).args(["prod-to-staging", "--yes"]).output();
    let ran = Ran::from(ran.unwrap()).expect(8);
    assert!(ran.stderr.contains("production's name"), "{}", ran.stderr);
}

#[test]
fn missing_privileges_are_named_as_statements() {
    let own = Own::new("rightless", "");
    let account = "'rightless'@'localhost'";
    for (privileges, database) in [
        ("DROP", "rightless\\_staging\\_new"),
        ("SELECT, INDEX", "rightless\\_staging"),
        ("SELECT", "rightless\\_production"),
    ] {
        let on = format!("{privileges} ON `{database}`.*");
        sql("metadata", &format!("REVOKE {on} FROM {account}"));
        let grant = format!("GRANT {on} TO {account};");
        for arguments in [["rightless", "--yes"], ["rightless", "--dry-run"]] {
            let ran = own.db_sync(arguments).expect(8);
            assert!(ran.stderr.contains(&grant), "{}", ran.stderr);
        }
        sql("metadata", &grant);
    }
    assert_eq!((own.seen().as_str(), own.beside().as_str()), (OLD, ""));
    own.sync().expect(0);
    assert_eq!(own.seen(), NEW);
}

#[test]
fn a_profile_whose_target_lies_beside_anothers_is_refused() {
    let others = "[db-sync.profiles.second]\n\
                  source = { server = \"beside\", database = \"beside_production\" }\n\
                  target = { server = \"beside\", database = \"beside_staging_new\" }\n";
    let own = Own::new("beside", others);
    for profile in [own.name, "second"] {
        let ran = own.db_sync([profile, "--yes"]).expect(8);
        assert!(
            ran.stderr.contains("are beside each other"),
            "{}",
            ran.stderr
        );
    }
    assert_eq!((own.seen().as_str(), own.beside().as_str()), (OLD, ""));
}

#[test]
fn more_connections_than_a_server_can_spare_are_refused() {
    let own = Own::new("greedy", "connections = 17");
    let ran = own.db_sync([own.name, "--yes"]).expect(8);
    assert!(ran.stderr.contains("connections is 17"), "{}", ran.stderr);
    let own = Own::new("locking", "snapshot = \"global-lock\"");
    let ran = own.db_sync([own.name, "--dry-run"]).expect(8);
    let grant = "GRANT RELOAD, PROCESS ON *.* TO 'locking'@'localhost';";
    assert!(ran.stderr.contains(grant), "{}", ran.stderr);
}

#[test]
fn what_is_no_copy_of_ours_is_never_cleared() {
    let _one = fresh();
    sql(
        "metadata",
        "CREATE DATABASE superset_staging_new; CREATE TABLE superset_staging_new.kept (id INT)",
    );
    let ran = db_sync(["prod-to-staging", "--yes"]).expect(8);
    assert!(ran.stderr.contains("no copy of ours"), "{}", ran.stderr);
    sql("metadata", "SELECT * FROM superset_staging_new.kept");
}

#[test]
fn a_profile_that_would_leave_reports_active_is_refused() {
    let own = Own::new(
        "reporting",
        "neutralise = [{ do = \"delete\", table = \"pages\", column = \"title\", values = [\"azywiki\"] }]",
    );
    let production = &own.production;
    sql(
        "metadata",
        &format!(
            "USE {production}; CREATE TABLE report_schedule (id int PRIMARY KEY, active tinyint);
             INSERT INTO report_schedule VALUES (1, 1), (2, 0), (3, NULL);
             DELETE FROM links WHERE page = 2"
        ),
    );
    let ran = own.sync().expect(8);
    assert!(
        ran.stderr
            .contains("1 reports of reporting:reporting_production are active"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("add { do = \"set\""), "{}", ran.stderr);
    assert_eq!((own.seen().as_str(), own.beside().as_str()), (OLD, ""));

    // Without an active one it goes, and what comes between the look and the copy is noticed.
    sql(
        "metadata",
        &format!("UPDATE {production}.report_schedule SET active = 0"),
    );
    let plan = scratch("reporting.json");
    let plan = plan.to_str().unwrap();
    own.db_sync([own.name, "--dry-run", "--save-plan", plan])
        .expect(3);
    sql(
        "metadata",
        &format!("UPDATE {production}.report_schedule SET active = 1 WHERE id = 3"),
    );
    let ran = own.db_sync(["--plan", plan, "--yes"]).expect(6);
    assert!(
        ran.stderr.contains("1 reports are active"),
        "{}",
        ran.stderr
    );
    assert_eq!(own.seen(), OLD);
    sql(
        "metadata",
        &format!(
            "UPDATE {production}.report_schedule SET active = 0;
             -- Another staging: plans of one second and one staging have one number.
             CREATE TABLE {}.other (id int PRIMARY KEY)",
            own.staging
        ),
    );
    own.sync().expect(0);
    assert_eq!(own.seen(), "Elvis,Memphis");
}
