//! Copies that come to their end, and what readers see meanwhile.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{SEEN, checksums, db_sync, events_about, fresh, seen, sql};
use crate::support::sandbox;

/// Reads staging over and over while `work` runs; gives all that was ever seen. An error of
/// the client fails the test.
fn while_reading(work: impl FnOnce()) -> BTreeSet<String> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut all = BTreeSet::new();
                    // Many statements a connection: a cut-over comes in the middle of one.
                    let many = format!("{SEEN};").repeat(20);
                    while !stop.load(Ordering::Relaxed) {
                        let text = sandbox().mariadb("metadata", &many).unwrap();
                        assert_eq!(text.lines().count(), 20, "{text}");
                        all.extend(text.lines().map(str::to_owned));
                    }
                    all
                })
            })
            .collect();
        work();
        stop.store(true, Ordering::Relaxed);
        let seen = readers.into_iter().map(|reader| reader.join().unwrap());
        seen.flatten().collect()
    })
}

#[test]
fn readers_see_the_old_or_the_new_and_production_stays() {
    let _one = fresh();
    let old = seen("metadata");
    let production = checksums("metadata", "superset_production");
    let events = events_about("superset_production");

    let during = while_reading(|| {
        db_sync(["prod-to-staging", "--yes"]).expect(0);
    });
    let new = seen("metadata");
    assert_ne!(old, new);
    assert_eq!(during, BTreeSet::from([old.clone(), new.clone()]));

    assert_eq!(checksums("metadata", "superset_production"), production);
    assert_eq!(events_about("superset_production"), events);
    staging_is_stagings();
    // It differs by what was neutralised and encrypted anew, and says so.
    let diff = db_sync(["diff", "prod-to-staging"]).expect(3);
    for table in ["dbs", "key_value", "report_schedule", "ssh_tunnels"] {
        assert!(
            diff.stdout.contains(&format!("\n {table} ")),
            "{}",
            diff.stdout
        );
    }
    assert!(!diff.stdout.contains("\n slices "), "{}", diff.stdout);

    let during = while_reading(|| {
        db_sync(["restore", "prod-to-staging", "--yes"]).expect(0);
    });
    assert_eq!(seen("metadata"), old);
    assert_eq!(during, BTreeSet::from([old, new]));
    assert_eq!(checksums("metadata", "superset_production"), production);
}

/// As the client sees it.
fn staging_is_stagings() {
    let one = |query: &str| sql("metadata", query).trim().to_owned();
    let principal = "superset/superset.svc.eqiad.wmnet@WIKIMEDIA";
    let next = "superset/superset-next.svc.eqiad.wmnet@WIKIMEDIA";
    assert_eq!(
        one(&format!(
            "SELECT COUNT(*) FROM superset_staging.dbs WHERE extra LIKE '%{principal}%'"
        )),
        "0"
    );
    // Not a byte of the rest is other than production's.
    assert_eq!(
        one(&format!(
            "SELECT COUNT(*) FROM superset_staging.dbs s JOIN superset_production.dbs p USING (id) \
             WHERE BINARY s.extra <> BINARY REPLACE(p.extra, '{principal}', '{next}')"
        )),
        "0"
    );
    assert_eq!(
        one("SELECT SUM(active) FROM superset_staging.report_schedule"),
        "0"
    );
    assert_eq!(
        one(
            "SELECT COUNT(*) FROM superset_staging.key_value WHERE resource IN \
             ('superset_metastore_cache', 'lock', 'pkce_code_verifier')"
        ),
        "0"
    );
    assert_ne!(
        one("SELECT COUNT(*) FROM superset_staging.key_value WHERE resource = 'app'"),
        "0"
    );
    for table in ["logs", "query", "database_user_oauth2_tokens", "ab_api_key"] {
        assert_eq!(
            one(&format!("SELECT COUNT(*) FROM superset_staging.{table}")),
            "0"
        );
    }
    // No value stays as production's key made it.
    for (table, column) in [
        ("dbs", "password"),
        ("dbs", "encrypted_extra"),
        ("dbs", "server_cert"),
        ("ssh_tunnels", "private_key"),
    ] {
        assert_eq!(
            one(&format!(
                "SELECT COUNT(*) > 0 AND SUM(s.{column} = p.{column}) = 0 \
                 FROM superset_staging.{table} s JOIN superset_production.{table} p USING (id) \
                 WHERE p.{column} IS NOT NULL"
            )),
            "1",
            "{table}.{column}"
        );
    }
    let sequences = "SELECT COUNT(*) FROM information_schema.TABLES \
                     WHERE TABLE_SCHEMA = 'superset_staging' AND TABLE_TYPE = 'SEQUENCE'";
    assert_eq!(one(sequences), "12");
}

#[test]
fn another_server_is_reached_by_tls() {
    let _one = fresh();
    let old = seen("target");
    db_sync(["prod-to-target", "--yes"]).expect(0);
    assert_ne!(seen("target"), old);
    assert_eq!(
        sql("target", "SELECT COUNT(*) FROM superset_staging.slices"),
        sql(
            "metadata",
            "SELECT COUNT(*) FROM superset_production.slices"
        )
    );
    // That staging on the other server is untouched.
    assert_eq!(seen("metadata"), old);
}

#[test]
fn a_second_copy_needs_a_reviewed_plan_to_drop_the_first() {
    let _one = fresh();
    db_sync(["prod-to-staging", "--yes"]).expect(0);
    let first = seen("metadata");
    let declined = db_sync(["prod-to-staging", "--yes"]).expect(5);
    assert!(
        declined.stderr.contains("cannot be undone"),
        "{}",
        declined.stderr
    );
    sql(
        "metadata",
        "DELETE FROM superset_staging.dashboard_slices LIMIT 1",
    );
    let plan = crate::support::scratch("second.json");
    let plan = plan.to_str().unwrap();
    let saved = db_sync(["prod-to-staging", "--dry-run", "--save-plan", plan]).expect(3);
    assert!(saved.stdout.contains("drop-previous"), "{}", saved.stdout);
    let text = std::fs::read_to_string(plan).unwrap();
    assert!(!text.contains("SecretKey"), "a key in the plan");
    db_sync(["--plan", plan, "--yes"]).expect(0);
    assert_eq!(seen("metadata"), first);
    // Nothing to do a second time.
    db_sync(["--plan", plan, "--yes"]).expect(0);
}

#[test]
fn the_profiles_are_listed_and_a_dry_run_writes_nothing() {
    let _one = fresh();
    let list = db_sync(["--list"]).expect(0);
    assert!(list.stdout.contains("prod-to-target"), "{}", list.stdout);
    // Others write to the server meanwhile.
    let before = events_about("superset_");
    let dry = db_sync(["--dry-run", "prod-to-staging"]).expect(3);
    assert!(
        dry.stdout
            .contains("superset-next.svc.eqiad.wmnet@WIKIMEDIA")
    );
    assert!(dry.stdout.contains("definition only"));
    assert_eq!(events_about("superset_"), before);
}
