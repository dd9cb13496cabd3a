//! What is looked at beside the tables: who uses either database, what is open, where it is.

use std::process::Child;

use super::own::{NEW, OLD, Own};
use super::{config_from, sql};
use crate::support::{Ran, sandbox};

#[test]
fn a_target_that_is_used_more_than_the_source_is_refused() {
    let own = Own::new("used", "");
    let (production, staging) = (&own.production, &own.staging);
    for database in [production, staging] {
        sql(
            "metadata",
            &format!(
                "USE {database};
                 CREATE TABLE logs (id int PRIMARY KEY, user_id int, dttm datetime);
                 CREATE TABLE report_schedule (id int PRIMARY KEY, active tinyint);
                 INSERT INTO logs VALUES (1, 1, UTC_TIMESTAMP());
                 INSERT INTO report_schedule VALUES (1, 1), (2, 0);"
            ),
        );
    }
    // What was used long ago is used no more; yet it still sends mail.
    sql(
        "metadata",
        &format!("INSERT INTO {staging}.logs VALUES (2, 2, '2020-02-02 20:20:20')"),
    );
    let ran = own.db_sync([own.name, "--dry-run"]).expect(3);
    assert!(ran.stdout.contains("last used 20"), "{}", ran.stdout);
    assert!(ran.stdout.contains("1 reports of"), "{}", ran.stdout);

    sql(
        "metadata",
        &format!("UPDATE {staging}.logs SET dttm = UTC_TIMESTAMP() WHERE id = 2"),
    );
    let ran = own.sync().expect(8);
    assert!(
        ran.stderr
            .contains("looks like production: 2 users in the last week, and 1 in"),
        "{}",
        ran.stderr
    );
    sql(
        "metadata",
        &format!("DELETE FROM {staging}.logs; UPDATE {staging}.report_schedule SET active = 1"),
    );
    let ran = own.sync().expect(8);
    assert!(
        ran.stderr
            .contains("looks like production: 2 active reports, and 1 in"),
        "{}",
        ran.stderr
    );
    assert_eq!((own.seen().as_str(), own.beside().as_str()), (OLD, ""));
    // The way out that the hint names.
    assert!(
        ran.stderr.contains("UPDATE report_schedule SET active = 0"),
        "{}",
        ran.stderr
    );
    sql(
        "metadata",
        &format!("UPDATE {staging}.report_schedule SET active = 0"),
    );
    own.sync().expect(0);
    assert_eq!(own.seen(), NEW);
    let left = format!(
        "SELECT (SELECT SUM(active) FROM {staging}.report_schedule), \
         (SELECT COUNT(*) FROM {staging}.logs)"
    );
    assert_eq!(sql("metadata", &left), "0\t0\n");
}

#[test]
fn one_database_is_not_copied_onto_itself_whatever_its_server_is_called() {
    let own = Own::new("twice", "");
    let staging = &own.staging;
    sql(
        "metadata",
        &format!(
            "CREATE OR REPLACE USER twice@127.0.0.1 IDENTIFIED BY 'twice'; \
             GRANT SELECT ON {staging}.* TO twice@127.0.0.1"
        ),
    );
    let port = sandbox().port("metadata").unwrap().unwrap();
    let source = |text: &str| format!("source = {{ server = {text} }}");
    let right = source(&format!("\"twice\", database = \"{}\"", own.production));
    let config = config_from(&own.config, "twice-itself.toml", |text| {
        assert!(text.contains(&right), "{text}");
        let itself = source(&format!("\"network\", database = \"{staging}\""));
        let text = text.replace(&right, &itself);
        let (head, tail) = text.split_once("[sql.twice]").unwrap();
        let password = tail
            .lines()
            .find(|line| line.contains("password_file"))
            .unwrap();
        format!(
            "{head}[sql.network]\nhost = \"127.0.0.1\"\nport = {port}\nuser = \"twice\"\n\
             tls = false\n{password}\n\n[sql.twice]{tail}"
        )
    });
    let own = Own { config, ..own };
    let ran = own.sync().expect(8);
    assert!(
        ran.stderr
            .contains("are the same database on the same server"),
        "{}",
        ran.stderr
    );
    assert_eq!((own.seen().as_str(), own.beside().as_str()), (OLD, ""));
}

#[test]
fn what_others_copy_from_and_what_is_no_staging_is_never_replaced() {
    let own = Own::new("source", "");
    let (production, staging) = (&own.production, &own.staging);
    let onward = config_from(&own.config, "source-onward.toml", |text| {
        format!(
            "{text}\n[db-sync.profiles.onward]\n\
             source = {{ server = \"source\", database = \"{staging}\" }}\n\
             target = {{ server = \"source\", database = \"demo_staging\" }}\n"
        )
    });
    let unnamed = config_from(&own.config, "source-unnamed.toml", |text| {
        text.replace(&format!("\"{staging}\""), "\"source_wiki\"")
    });
    for (config, what) in [
        (onward, "profile onward copies from source:source_staging"),
        (unnamed, "does not say staging"),
    ] {
        let wrong = Own {
            config,
            production: production.clone(),
            staging: staging.clone(),
            ..own
        };
        let ran = wrong.sync().expect(8);
        assert!(ran.stderr.contains(what), "{what}: {}", ran.stderr);
    }
    assert_eq!((own.seen().as_str(), own.beside().as_str()), (OLD, ""));
}

#[test]
fn open_transactions_and_free_disk_are_told() {
    let own = Own::new("opened", "");
    let ran = own.db_sync([own.name, "--dry-run"]).expect(3);
    assert!(ran.stdout.contains(" free in "), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("the privilege PROCESS"),
        "{}",
        ran.stdout
    );

    sql("metadata", "GRANT PROCESS ON *.* TO opened@localhost");
    let (mut holder, connection) = own.holding("pages");
    let ran = own.db_sync([own.name, "--dry-run"]);
    sql("metadata", &format!("KILL {connection}"));
    holder.wait().unwrap();
    let ran = ran.expect(3);
    let told = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected = format!("connection {connection} (root@localhost) has had a transaction open");
    assert!(told.contains(&expected), "{}", ran.stdout);
}

#[test]
fn an_open_transaction_delays_the_cut_over_and_no_more() {
    let own = Own::new("waited", "");
    let (mut holder, connection) = own.holding("pages");
    let tool = own.start([own.name, "--yes"]);
    own.until_it_renames();
    assert_eq!(own.seen(), OLD);
    sql("metadata", &format!("KILL {connection}"));
    holder.wait().unwrap();
    let ran = Ran::from(tool.wait_with_output().unwrap()).expect(0);
    assert_eq!(own.seen(), NEW);
    // Of which moment staging is now, and what taking it cost production.
    let told = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("read at 20"), "{}", ran.stdout);
    assert!(
        told.contains("by 1 connection: the account may not LOCK TABLES there"),
        "{}",
        ran.stdout
    );

    // With that privilege several share the moment, and it is told how long writers waited.
    // On the same pattern: the server takes one line for a database, not several together.
    let grant = r"GRANT LOCK TABLES ON `waited\_production`.* TO waited@localhost";
    sql("metadata", grant);
    let plan = crate::support::scratch("waited.json");
    let plan = plan.to_str().unwrap();
    own.db_sync([own.name, "--save-plan", plan]).expect(3);
    let ran = own.db_sync(["--plan", plan, "--yes"]).expect(0);
    let told = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        told.contains("by 4 connections; writers waited "),
        "{}",
        ran.stdout
    );
}

/// All who come later wait behind a rename, for the whole of its time.
#[test]
fn transactions_that_end_one_after_the_other_are_not_waited_for_in_one_go() {
    let own = Own::new("queue", "");
    let [first, second] = ["links", "pages"].map(|table| own.holding(table));
    let let_go = |(mut holder, connection): (Child, String)| {
        sql("metadata", &format!("KILL {connection}"));
        holder.wait().unwrap();
    };
    let tool = own.start([own.name, "--yes"]);
    // Each is waited for less than 2 s, and more than that together.
    while own.renaming_ms().is_none_or(|waited| waited < 1500) {
        std::thread::yield_now();
    }
    let_go(first);
    // The next try, not this one for as long again.
    while let waited = own.renaming_ms()
        && waited.is_none_or(|waited| waited >= 1500)
    {
        assert!(waited.is_none_or(|waited| waited < 3000), "{waited:?}");
        std::thread::yield_now();
    }
    let_go(second);
    Ran::from(tool.wait_with_output().unwrap()).expect(0);
    assert_eq!(own.seen(), NEW);
    let journal = own.journals();
    assert!(journal.contains("\"tries\":"), "{journal}");
    assert!(!journal.contains("\"tries\":1,"), "{journal}");
}
