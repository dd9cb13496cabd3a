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
