//! What is told without changing anything.

use std::fs;
use std::os::unix::fs::PermissionsExt;

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
    let word = stage.file("password");
    fs::write(&word, "hunter2\n").unwrap();
    fs::set_permissions(&word, fs::Permissions::from_mode(0o600)).unwrap();
    // An account that nobody else has, and a server that counts.
    let made = "CREATE OR REPLACE USER counted@'%' IDENTIFIED BY 'hunter2'; \
                GRANT SELECT ON *.* TO counted@'%'; SET GLOBAL userstat = 1";
    for server in ["prod-replica", "cloud"] {
        sandbox().mariadb(server, made).unwrap();
    }
    for section in ["newwiki.production", "newwiki.cloud"] {
        let lines = format!(
            "user = \"counted\"\npassword_file = {:?}",
            word.display().to_string()
        );
        stage.configure_section(section, &["user", "password_file"], &lines);
    }
    let count = |server: &str| -> u64 {
        let sql = "SELECT COALESCE(SUM(TOTAL_CONNECTIONS), 0) \
                   FROM information_schema.USER_STATISTICS WHERE USER = 'counted'";
        let text = sandbox().mariadb(server, sql).unwrap();
        text.trim().parse().unwrap()
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
    assert_eq!(after, before.map(|count| count + 1));
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
