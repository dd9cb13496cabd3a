//! What is told without changing anything.

use super::stage::Stage;
use crate::support::sandbox;

#[test]
fn values_that_the_allowlist_lacks_are_told_with_their_meaning() {
    let stage = Stage::new("values");
    let ran = stage
        .run(&["azywiki", "--dry-run", "--format", "json"])
        .expect(3);
    let json = ran.json();
    let rows = json["inventory"]["unexpected"].as_array().unwrap().clone();
    let of = |value: &str| rows.iter().find(|row| row["value"] == value).cloned();
    assert_eq!(of("long-ago.wikipedia"), None);
    let azy = of("azy.wikipedia").unwrap();
    assert_eq!(azy["views"], 6 * 1000 - 100 * 21);
    assert!(of("'; DROP TABLE page; --").is_some());
    let tables = json["report"]["document"]["tables"].to_string();
    for meaning in [
        "asked for",
        "punjabiwikimedia, a wiki: --project punjabi.wikimedia",
        "no wiki: left out",
    ] {
        assert!(tables.contains(meaning), "{meaning}: {tables}");
    }
    let long = stage
        .run(&["azywiki", "--since", "2000-01-01", "--dry-run"])
        .expect(3);
    assert!(
        long.stdout.contains("long-ago.wikipedia"),
        "{}",
        long.stdout
    );
    assert!(!stage.git(&["diff", "HEAD"]).contains("punjabi.wikimedia"));
}

#[test]
fn one_connection_a_server_is_opened_for_many_wikis() {
    let stage = Stage::new("connections");
    let count = |server: &str| -> u64 {
        let sql = "SELECT SUM(TOTAL_CONNECTIONS) FROM performance_schema.users \
                   WHERE USER IN ('research', 's53272')";
        let fallback = "SHOW GLOBAL STATUS LIKE 'Connections'";
        let text = sandbox().mariadb(server, sql).unwrap();
        let number = text.trim().parse().ok();
        number.unwrap_or_else(|| {
            let text = sandbox().mariadb(server, fallback).unwrap();
            text.split_whitespace().last().unwrap().parse().unwrap()
        })
    };
    let before = [count("prod-replica"), count("cloud")];
    let wikis = [
        "azywiki",
        "bolwiki",
        "kajwiki",
        "magwiki",
        "pplwiki",
        "mswikiquote",
    ];
    let arguments: Vec<&str> = wikis.iter().chain(&["--dry-run"]).copied().collect();
    stage.run(&arguments).expect(3);
    let after = [count("prod-replica"), count("cloud")];
    for (before, after) in before.iter().zip(after) {
        // The client that counts is one itself, in the counter of all.
        assert!(after - before <= 2, "{before} {after}");
    }
}

#[test]
fn an_audit_tells_who_is_missing_where() {
    let stage = Stage::new("audit");
    let before = stage.state();
    let ran = stage.run(&["--audit"]);
    assert!(matches!(ran.code, Some(3 | 4)), "{}", ran.stderr);
    let line = |wiki: &str| {
        let found = ran.stdout.lines().find(|line| line.contains(wiki));
        found.unwrap_or_default().to_owned()
    };
    assert!(line("azywiki").contains("MISSING"), "{}", ran.stdout);
    assert!(
        line("nupwiki").contains("MISSING: revision"),
        "{}",
        line("nupwiki")
    );
    assert_eq!(stage.state(), before);
}
