use std::collections::BTreeMap;
use std::process::{Command as Process, Stdio};

use proptest::prelude::*;

use super::command::{Command, Exit, quote};
use super::error::{Error, clean};
use super::hostset::{HostName, MAX_HOSTS, expand, fold};
use super::known_hosts::patterns_match;
use super::settings::{Class, Settings, ask};
use super::{Batches, Config, Fleet};

fn groups() -> BTreeMap<String, String> {
    let groups = [
        ("stat", "stat10[08-11].eqiad.wmnet"),
        ("clients", "@stat,an-launcher1002.eqiad.wmnet"),
        ("loop", "a,@pool"),
        ("pool", "b,@loop"),
        ("empty", "a!a"),
    ];
    groups.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

fn names(expression: &str) -> Result<Vec<String>, Error> {
    let hosts = expand(expression, &groups())?;
    Ok(hosts.iter().map(ToString::to_string).collect())
}

#[test]
fn sets_name_the_hosts_that_clustershell_names() {
    for (expression, expected) in [
        ("db1", "db1"),
        ("db[1-3]", "db1 db2 db3"),
        ("db[3,1]", "db1 db3"),
        ("db[08-11]", "db08 db09 db10 db11"),
        ("db[98-101]", "db98 db99 db100 db101"),
        ("db[098-101]", "db098 db099 db100 db101"),
        ("db[0-6/3]", "db0 db3 db6"),
        ("r[1-2]n[1-2]", "r1n1 r1n2 r2n1 r2n2"),
        ("db10,db9 , db10", "db9 db10"),
        ("db1 db2\tdb3\ndb4", "db1 db2 db3 db4"),
        ("db[1-5]!db[2-4]", "db1 db5"),
        ("db[1-5],!db[2-4],db3", "db1 db3 db5"),
        ("db[1-5] -db[2-4]", "db1 db5"),
        ("-db1,db2", "db2"),
        ("db[1-5]&db[4-9]", "db4 db5"),
        (
            "@stat!stat1009.eqiad.wmnet",
            "stat1008.eqiad.wmnet stat1010.eqiad.wmnet stat1011.eqiad.wmnet",
        ),
        (
            "@clients&an-launcher1002.eqiad.wmnet",
            "an-launcher1002.eqiad.wmnet",
        ),
        ("an-worker1078,an-worker1079", "an-worker1078 an-worker1079"),
        ("127.0.1.[1-2]", "127.0.1.1 127.0.1.2"),
        ("STAT1008", "stat1008"),
    ] {
        let expected: Vec<&str> = expected.split(' ').collect();
        assert_eq!(names(expression).unwrap(), expected, "{expression}");
    }
}

#[test]
fn expressions_that_name_nothing_or_nonsense_are_refused() {
    for nothing in ["", " , ", "a!a", "@empty", "a&b", "!a"] {
        let error = names(nothing).unwrap_err();
        assert!(
            matches!(error, Error::NoHosts { .. }),
            "{nothing} {error:?}"
        );
    }
    for nonsense in [
        "a[",
        "a]",
        "a[1",
        "a[[1]]",
        "a[]",
        "a[x]",
        "a[1-]",
        "a[3-1]",
        "a[1-2/0]",
        "a[01-2]",
        "a[1-02]",
        "a!",
        "a!&b",
        "!",
        "@",
        "@nobody",
        "@loop",
        "a[1-10001]",
        "a[1-101][1-101]",
        "a[0-18446744073709551615]",
        "a[1-9999999999999999999999]",
        "a[+1]",
        "a[1-10000],b",
    ] {
        let error = names(nonsense).unwrap_err();
        assert!(
            matches!(error, Error::InvalidSet { .. }),
            "{nonsense} {error:?}"
        );
    }
    let long = "a".repeat(64);
    let longer = vec!["abcdefghi"; 26].join(".");
    for invalid in [
        "..", "/", "*", "a_b", "a..b", "a.", ".a", "a-", "a.-b", "a;b", "ä", &long, &longer,
    ] {
        let error = names(invalid).unwrap_err();
        assert!(
            matches!(error, Error::InvalidHost { .. }),
            "{invalid} {error:?}"
        );
    }
    assert!(HostName::parse("-oProxyCommand=x").is_err());
    assert!(HostName::parse("").is_err());
    assert_eq!(names("a[1-10000]").unwrap().len(), MAX_HOSTS);
}

#[test]
fn groups_that_contain_each_other_twice_are_expanded_once() {
    // Without a memory this takes 2^60 steps.
    let mut groups = BTreeMap::from([("g0".to_owned(), "a,b".to_owned())]);
    for n in 1..60 {
        groups.insert(format!("g{n}"), format!("@g{0},@g{0}", n - 1));
    }
    assert_eq!(expand("@g59", &groups).unwrap().len(), 2);
}

#[test]
fn folding_is_short() {
    for (expression, folded) in [
        (
            "an-worker[1078-1090].eqiad.wmnet",
            "an-worker[1078-1090].eqiad.wmnet",
        ),
        ("db1", "db1"),
        ("db1,db3,db2,db7", "db[1-3,7]"),
        ("db[08-11]", "db[08-11]"),
        ("db[8-11],db09", "db[8-9,09-11]"),
        ("r[1-2]n[1-4]", "r[1-2]n[1-4]"),
        ("a1,b1,c", "a1,b1,c"),
        ("127.0.1.[1-50]", "127.0.1.[1-50]"),
    ] {
        let hosts = expand(expression, &groups()).unwrap();
        assert_eq!(fold(&hosts), folded, "{expression}");
    }
    assert_eq!(fold(&[]), "");
}

#[test]
fn the_default_set_is_used_and_an_empty_one_is_an_error() {
    let fleet = Fleet::new(Config {
        hosts: "@clients".to_owned(),
        groups: groups(),
        ..Config::default()
    });
    assert_eq!(fleet.hosts(None).unwrap().len(), 5);
    assert_eq!(fleet.hosts(Some("a")).unwrap().len(), 1);
    let fleet = Fleet::new(Config::default());
    assert!(matches!(fleet.hosts(None), Err(Error::NoHosts { .. })));
    assert_eq!(Batches::default().success, 100);
}

fn sh(line: &str) -> Vec<u8> {
    let output = Process::new("sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{line}");
    output.stdout
}

#[test]
fn quoting_refuses_nul_and_only_that() {
    assert!(matches!(quote("a\0b"), Err(Error::InvalidCommand { .. })));
    assert_eq!(quote("").unwrap(), "''");
    assert_eq!(quote("/srv/home/elvis").unwrap(), "/srv/home/elvis");
    assert_eq!(quote("it's").unwrap(), r"'it'\''s'");
    assert_eq!(quote("~").unwrap(), "'~'");
}

#[test]
fn exit_codes_off_the_wire() {
    assert_eq!(Exit::from_wire(0, None), None);
    assert_eq!(Exit::from_wire(99, None), Some(Exit::Status(0)));
    assert_eq!(Exit::from_wire(3, None), Some(Exit::Status(3)));
    let killed = Exit::from_wire(0, Some("KILL".to_owned()));
    assert_eq!(killed, Some(Exit::Signal("KILL".to_owned())));
}

#[test]
fn sudo_refusals_are_told_from_the_commands_failures() {
    let host = HostName::parse("stat1008").unwrap();
    let command = Command::new(["rm", "x"]).sudo("hdfs");
    let refused = |status, stderr: &str| {
        command.sudo_refusal(&host, &Exit::Status(status), stderr.as_bytes())
    };
    for refusal in [
        "sudo: a password is required\n",
        "sudo: unable to resolve host stat1008: Name or service not known\nsudo: a password is required\n",
        "sudo: unknown user hdfs\nsudo: error initializing audit plugin sudoers_audit\n",
        "Sorry, user ops is not allowed to execute '/bin/rm x' as hdfs on stat1008.\n",
        "ops is not in the sudoers file.\n",
    ] {
        assert!(refused(1, refusal).is_some(), "{refusal}");
    }
    for own in [
        "",
        "rm: cannot remove 'x': a password is required\n",
        "sudo: unable to resolve host stat1008: Name or service not known\nrm: cannot remove 'x'\n",
    ] {
        assert!(refused(1, own).is_none(), "{own}");
    }
    assert!(refused(2, "sudo: a password is required\n").is_none());
    let plain = Command::new(["true"]);
    assert!(
        plain
            .sudo_refusal(&host, &Exit::Status(1), b"sudo: a password is required")
            .is_none()
    );
}

#[test]
fn patterns_match_as_ssh_says() {
    for (patterns, name, expected) in [
        ("*", "a", true),
        ("stat*.eqiad.wmnet", "stat1008.eqiad.wmnet", true),
        ("stat*.eqiad.wmnet", "stat1008.codfw.wmnet", false),
        ("s?at*8", "stat1008", true),
        ("*,!stat*", "stat1008", false),
        ("!stat*", "db1", false),
        ("a*b*c", "aXbXbXc", true),
        ("a*b*c", "aXbXbX", false),
        ("", "a", false),
    ] {
        assert_eq!(
            patterns_match(patterns.split(','), name),
            expected,
            "{patterns} {name}"
        );
    }
    // Many stars are no trap for time.
    let pattern = "a*".repeat(200) + "b";
    assert!(!patterns_match(
        [pattern.as_str()].into_iter(),
        &"a".repeat(250)
    ));
}

/// Hosts that share one answer of `ssh -G` get what ssh says about each of them.
#[tokio::test]
async fn shared_settings_are_what_ssh_says_of_each_host() {
    let text = "# one for all\nUser ops\nHost stat1001.example.org\n  HostName 127.0.1.1\n\
        Host stat1002.example.org stat1003.*\n\thostname=127.0.1.2\n\
        Host stat*.example.org !stat1003.example.org\n  Port 2222\n  IdentityFile ~/.ssh/stat\n\
        Host *\n  HostName fallback.example.org\n  Port 22\n  ProxyCommand nc %h %p\n\
        IdentityFile /etc/keys/ops\n  IdentitiesOnly yes\n  UserKnownHostsFile /etc/kh1 /etc/kh2\n";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ssh_config");
    std::fs::write(&file, text).unwrap();
    let config = Config {
        ssh_config: file,
        home: Some("/home/ops".into()),
        ..Config::default()
    };
    let mut classes = BTreeMap::new();
    for name in ["stat1001", "stat1002", "stat1003", "stat1004", "db1"] {
        let host = HostName::parse(&format!("{name}.example.org")).unwrap();
        let own = ask(&config, &host).await.unwrap();
        let class = Class::of(text, &host).unwrap();
        let shared = classes.entry(class.lines).or_insert_with(|| own.clone());
        let expected = Settings::new(&own, &host, None, &config).unwrap();
        let settings = Settings::new(shared, &host, Some(&class.hostname), &config).unwrap();
        assert_eq!(settings, expected, "{name}");
    }
    assert_eq!(classes.len(), 2);
    let host = HostName::parse("db1").unwrap();
    for dependent in [
        "Match host db1\n",
        "Include more\n",
        "HostName %h.example.org\n",
        "UserKnownHostsFile /etc/%h\n",
        "Host \"db1\"\n",
        "CanonicalizeHostname yes\n",
        "nonsense\n",
    ] {
        assert_eq!(Class::of(dependent, &host), None, "{dependent}");
    }
}

#[test]
fn text_from_hosts_is_harmless_in_messages() {
    assert_eq!(clean(b"a\x1b[31m\r\nb\n"), "a\\u{1b}[31m\\r\\nb");
    assert_eq!(clean("\u{202e}x".as_bytes()), "\\u{202e}x");
    assert_eq!(clean(b"\xff"), "\u{fffd}");
    assert_eq!(clean(&[b'x'; 10_000]).chars().count(), 501);
}

fn host_name() -> impl Strategy<Value = HostName> {
    "[a-c]{0,2}-?[0-1]{0,3}(-[0-9]{1,2})?([a-b]0{0,2}[0-9]{1,2})?(\\.[a-b][0-9]?){0,2}"
        .prop_filter_map("a host name", |name| HostName::parse(&name).ok())
}

proptest! {
    #[test]
    fn expanding_undoes_folding(hosts in prop::collection::btree_set(host_name(), 1..60)) {
        let folded = fold(&hosts);
        let mut expanded = expand(&folded, &BTreeMap::new()).unwrap();
        expanded.sort();
        prop_assert_eq!(expanded, hosts.into_iter().collect::<Vec<_>>(), "{}", folded);
    }

    #[test]
    fn no_expression_panics(expression in "([a-c0-9@!&, \\[\\]/-]|\\PC){0,40}") {
        let _ = names(&expression);
        let _ = Class::of(&expression, &HostName::parse("a").unwrap());
        let _ = clean(expression.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A real shell gives back exactly what was quoted.
    #[test]
    fn a_shell_reads_back_what_was_quoted(
        arguments in prop::collection::vec("([^\\x00]|['\"\\\\$`!*~\n\r -])*", 1..6)
    ) {
        let mut line = "printf '%s\\0'".to_owned();
        let mut expected = Vec::new();
        for argument in &arguments {
            line = format!("{line} {}", quote(argument).unwrap());
            expected.extend_from_slice(argument.as_bytes());
            expected.push(0);
        }
        prop_assert_eq!(sh(&line), expected);
    }
}
