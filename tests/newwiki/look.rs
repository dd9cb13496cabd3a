//! What is told without changing anything.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use super::stage::{ALLOWLIST, Stage};
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
    // A look alone asks for no wiki.
    let long = stage.run(&["--since", "2000-01-01"]).expect(0);
    assert!(
        long.stdout.contains("long-ago.wikipedia"),
        "{}",
        long.stdout
    );
    assert!(!stage.git(&["diff", "HEAD"]).contains("punjabi.wikimedia"));
}

#[test]
fn one_connection_a_server_is_opened_for_thirty_wikis() {
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
    // Wikis whose database is complete on both.
    let whole = "SELECT TABLE_SCHEMA FROM information_schema.TABLES \
                 WHERE TABLE_SCHEMA RLIKE 'wik[a-z]+_p$' GROUP BY TABLE_SCHEMA \
                 HAVING COUNT(*) >= 6 ORDER BY TABLE_SCHEMA LIMIT 30";
    let whole = sandbox().mariadb("cloud", whole).unwrap();
    let wikis: Vec<&str> = whole
        .lines()
        .filter_map(|name| name.strip_suffix("_p"))
        .collect();
    assert!(wikis.len() == 30 && wikis.contains(&"azywiki"), "{wikis:?}");
    let plan = stage.file("plan.json").display().to_string();
    let flags = ["--save-plan", &plan, "--format", "json"];
    let ran = stage.run(&[&wikis[..], &flags].concat()).expect(3);
    let asked = ran.json()["inventory"]["replicas"].clone();
    for wiki in wikis {
        for side in ["production", "cloud"] {
            assert_eq!(asked[wiki][side]["ready"], 6, "{wiki}: {asked}");
        }
    }
    let after = [count("prod-replica"), count("cloud")];
    assert_eq!(after, before.map(|count| count + 1));
    // So it is when the servers of a plan are asked who they are.
    stage.run(&["--plan", &plan, "--dry-run"]).expect(3);
    let after = [count("prod-replica"), count("cloud")];
    assert_eq!(after, before.map(|count| count + 2));
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
    for change in ["--push", "--sync-hdfs", "--no-commit", "azywiki"] {
        stage.run(&["--audit", change]).expect(2);
    }
    assert_eq!(stage.state(), before);
}

/// `newwiki` on a terminal of its own, which `script` makes.
struct Terminal {
    script: Child,
    said: String,
}

impl Terminal {
    fn new(stage: &Stage, arguments: &str) -> Self {
        let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_newwiki"));
        let script = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("OPSWEEK_CONFIG", stage.config())
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            script,
            said: String::new(),
        }
    }

    /// Waits until it has said `prompt`, then types.
    fn at(&mut self, prompt: &str, keys: &str) {
        let mut some = [0; 1024];
        while !self.said.contains(prompt) {
            let count = self
                .script
                .stdout
                .as_mut()
                .unwrap()
                .read(&mut some)
                .unwrap();
            assert!(count > 0, "no {prompt:?} in:\n{}", self.said);
            self.said.push_str(&String::from_utf8_lossy(&some[..count]));
        }
        let keyboard = self.script.stdin.as_mut().unwrap();
        keyboard.write_all(keys.as_bytes()).unwrap();
        keyboard.flush().unwrap();
    }

    /// Its exit code, and all it said.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = Vec::new();
        self.script
            .stdout
            .as_mut()
            .unwrap()
            .read_to_end(&mut rest)
            .unwrap();
        self.said.push_str(&String::from_utf8_lossy(&rest));
        (self.script.wait().unwrap().code(), self.said)
    }
}

#[test]
fn a_wiki_that_pageviews_brought_can_be_picked_at_a_terminal() {
    let stage = Stage::new("pick");
    let mut terminal = Terminal::new(&stage, "azywiki --no-commit");
    terminal.at("punjabi.wikimedia (punjabiwikimedia, ", " \r");
    terminal.at("Type azywiki+1 to go on", "azywiki+1\r");
    let (code, said) = terminal.end();
    assert_eq!(code, Some(0), "{said}");
    let diff = stage.git(&["diff", "HEAD", "--", ALLOWLIST]);
    let came: Vec<&str> = diff
        .lines()
        .filter(|line| line.starts_with("+project"))
        .collect();
    let values = came.iter().filter_map(|line| line.split('\t').nth(1));
    let values: Vec<&str> = values.collect();
    assert_eq!(values, ["azy.wikipedia", "punjabi.wikimedia"]);

    // Nothing picked, and the wrong word: nothing is done.
    let stage = Stage::new("pickno");
    let mut terminal = Terminal::new(&stage, "azywiki --no-commit");
    terminal.at("punjabi.wikimedia (punjabiwikimedia, ", "\r");
    terminal.at("Type azywiki to go on", "no\r");
    let (code, said) = terminal.end();
    assert_eq!(code, Some(5), "{said}");
    assert_eq!(stage.git(&["diff", "HEAD"]), "");
}

/// The port that a server listens on.
fn port_of(server: &str) -> String {
    let port = sandbox().mariadb(server, "SELECT @@port").unwrap();
    port.trim().to_owned()
}

#[test]
fn sections_may_be_a_file_and_a_plan_is_for_one_server() {
    let stage = Stage::new("sections");
    let word = stage.file("password");
    fs::write(&word, "hunter2\n").unwrap();
    fs::set_permissions(&word, fs::Permissions::from_mode(0o600)).unwrap();
    // The same account on two servers, both of which call themselves 127.0.0.1.
    for server in ["prod-replica", "cloud"] {
        let made = "CREATE OR REPLACE USER sections@'%' IDENTIFIED BY 'hunter2'; \
                    GRANT SELECT ON *.* TO sections@'%'";
        sandbox().mariadb(server, made).unwrap();
    }
    let sections = stage.file("sections.csv");
    let at = |server: &str| {
        let text = format!("# section, port\ns1, 1\ns5, {}\n", port_of(server));
        fs::write(&sections, text).unwrap();
    };
    at("prod-replica");
    let text = fs::read_to_string(stage.config()).unwrap();
    let mut config: toml::Table = text.parse().unwrap();
    let newwiki = config["newwiki"].as_table_mut().unwrap();
    newwiki.remove("dns").unwrap();
    newwiki.insert(
        "section_ports".to_owned(),
        sections.display().to_string().into(),
    );
    let replica = newwiki["production"].as_table_mut().unwrap();
    replica.insert("host".to_owned(), "127.0.0.1".into());
    replica.insert("user".to_owned(), "sections".into());
    replica.insert(
        "password_file".to_owned(),
        word.display().to_string().into(),
    );
    let replica = newwiki["cloud"].as_table_mut().unwrap();
    replica.insert("host".to_owned(), "127.0.0.1".into());
    fs::write(stage.config(), config.to_string()).unwrap();

    let plan = stage.file("plan.json").display().to_string();
    let ran = stage.run(&["azywiki", "--save-plan", &plan]).expect(3);
    assert!(!ran.stdout.contains("NOT looked at"), "{}", ran.stdout);
    let saved = fs::read_to_string(&plan).unwrap();
    for replica in ["production replica of s5", "cloud replica of s5"] {
        assert!(saved.contains(replica), "{saved}");
    }
    let run = ["--plan", &plan, "--yes"];
    let before = stage.state();
    at("cloud");
    let ran = stage.run(&run).expect(4);
    assert!(
        ran.stderr
            .contains("production replica of s5 is not the one that the plan was made for"),
        "{}",
        ran.stderr
    );
    fs::write(&sections, "s1, 1\n").unwrap();
    let ran = stage.run(&run).expect(7);
    assert!(ran.stderr.contains("has no s5"), "{}", ran.stderr);
    assert_eq!(stage.state(), before);
    let ran = stage.run(&["azywiki", "--yes"]).expect(7);
    assert!(ran.stdout.contains("has no s5"), "{}", ran.stdout);
    assert_eq!(stage.state(), before);
    at("prod-replica");
    stage.run(&run).expect(0);
    assert_eq!(stage.git(&["rev-list", "--count", "master..HEAD"]), "1");
}
