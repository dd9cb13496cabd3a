//! How the two differ, told without changing either.

use serde_json::json;

use super::own::Own;
use super::sql;

#[test]
fn differences_are_told_by_table_for_people_and_programs() {
    let own = Own::new("differ", "");
    let (production, staging) = (&own.production, &own.staging);
    sql(
        "metadata",
        &format!(
            "CREATE TABLE {production}.fresh (id int);
             CREATE TABLE {staging}.stale (id int);
             ALTER TABLE {staging}.links ADD note text;
             CREATE TABLE {production}.same (id int); INSERT INTO {production}.same VALUES (1), (2);
             CREATE TABLE {staging}.same (id int); INSERT INTO {staging}.same VALUES (1), (3);"
        ),
    );
    let diff = own.db_sync(["diff", own.name]).expect(3);
    let lines: Vec<String> = diff
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for line in [
        "fresh only in the source",
        "links defined otherwise",
        "pages 3 rows, and 1 in the target",
        "same 2 rows, not the same",
        "stale only in the target",
    ] {
        assert!(
            lines.iter().any(|one| one == line),
            "{line}: {}",
            diff.stdout
        );
    }
    assert!(
        !lines.iter().any(|one| one.starts_with("numbers")),
        "{}",
        diff.stdout
    );

    let diff = own
        .db_sync(["diff", own.name, "--format", "json"])
        .expect(3);
    let found = &diff.json()["inventory"]["databases"]["differences"];
    assert_eq!(
        *found,
        json!([
            { "name": "fresh", "how": "only in the source" },
            { "name": "links", "how": "defined otherwise" },
            { "name": "pages", "how": "3 rows, and 1 in the target" },
            { "name": "same", "how": "2 rows, not the same" },
            { "name": "stale", "how": "only in the target" },
        ])
    );
    assert_eq!(own.beside(), "");

    own.sync().expect(0);
    let diff = own.db_sync(["diff", own.name]).expect(0);
    assert!(diff.stdout.contains("no difference"), "{}", diff.stdout);
}

#[test]
fn what_is_hard_to_see_is_told_as_well() {
    let own = Own::new("subtle", "");
    let long = |letter: char| format!("REPEAT('{letter}', 9000000)");
    for (database, single, letter, next) in [
        (&own.production, "16777216", 'a', 5000),
        (&own.staging, "16777200", 'b', 5),
    ] {
        let (one, other) = (long(letter), long('c'));
        sql(
            "metadata",
            // No event of the binary log, which others here read, is larger than a packet.
            &format!(
                "SET SESSION sql_log_bin = 0;
                 CREATE TABLE {database}.singles (id int, ratio float);
                 INSERT INTO {database}.singles VALUES (1, {single});
                 CREATE TABLE {database}.blobs (id int, a longblob, b longblob);
                 INSERT INTO {database}.blobs VALUES (1, {one}, {other});
                 CREATE TABLE {database}.moments (at timestamp);
                 INSERT INTO {database}.moments VALUES ('2024-05-01 12:00:00');
                 DO SETVAL({database}.numbers, {next}, 0)"
            ),
        );
    }
    let diff = own
        .db_sync(["diff", own.name, "--format", "json"])
        .expect(3);
    let found = &diff.json()["inventory"]["databases"]["differences"];
    assert_eq!(
        *found,
        json!([
            { "name": "blobs", "how": "1 rows, not the same" },
            { "name": "links", "how": "2 rows, and 0 in the target" },
            { "name": "numbers", "how": "goes on with 5000, and 5 in the target" },
            { "name": "pages", "how": "3 rows, and 1 in the target" },
            { "name": "singles", "how": "1 rows, not the same" },
        ])
    );
    // No packet holds such a row.
    sql("metadata", &format!("DROP TABLE {}.blobs", own.production));
    own.sync().expect(0);
    own.db_sync(["diff", own.name]).expect(0);

    sql("metadata", &format!("DROP DATABASE {}", own.staging));
    let diff = own.db_sync(["diff", own.name]);
    assert!(
        diff.stderr
            .contains("there is no database subtle:subtle_staging"),
        "{}",
        diff.stderr
    );
    diff.expect(7);
}
