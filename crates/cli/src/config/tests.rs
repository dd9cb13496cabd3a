use super::*;

#[derive(Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Own {
    archive: String,
    exclude: Vec<String>,
}

fn parse(text: &str) -> Result<Config<Own>, CliError> {
    Config::parse(Path::new("config.toml"), text, "offboard")
}

fn refused(text: &str) -> String {
    let error = parse(text).unwrap_err();
    assert_eq!(error.exit(), crate::Exit::Usage);
    error.to_string()
}

#[test]
fn the_whole_reference_is_read() {
    let config = parse(
        r#"
        state_dir = "/srv/opsweek"
        log_command = ["dologmsg", "--channel"]
        [hdfs]
        conf_dir = "/etc/hadoop/conf"
        url = "hdfs://analytics-hadoop"
        user = "hdfs"
        webhdfs = ["http://an-master1003.example.org:50070"]
        deadline = "30s"
        concurrency = 16
        [metastore]
        uris = ["thrift://hive.example.org:9083"]
        user = "hive"
        deadline = "1m 30s"
        concurrency = 4
        sql = { server = "metadata", database = "hive_metastore" }
        [fleet]
        ssh_config = "/etc/ssh/ssh_config"
        hosts = ["@stat"]
        groups = { stat = "stat10[08-11].example.org" }
        agent = "/run/keyholder/proxy.sock"
        concurrency = 50
        connect_deadline = "10s"
        [admins]
        data_file = "/srv/puppet/modules/admin/data/data.yaml"
        [yarn]
        url = "http://an-master1003.example.org:8088"
        [sql.metadata]
        host = "db.example.org"
        user = "dbsync"
        ca_file = "/etc/ssl/db.pem"
        deadline = "45s"
        [offboard]
        archive = "/wmf/data/archive/user"
        [newwiki]
        anything = true
        "#,
    )
    .unwrap();
    let settings = config.settings;
    assert_eq!(settings.log_command.unwrap(), ["dologmsg", "--channel"]);
    assert_eq!(settings.hdfs.unwrap().deadline.unwrap().0.as_secs(), 30);
    assert_eq!(
        settings.metastore.unwrap().deadline.unwrap().0.as_secs(),
        90
    );
    assert_eq!(
        settings.fleet.unwrap().groups["stat"],
        "stat10[08-11].example.org"
    );
    assert_eq!(settings.admins.unwrap().max_age.0.as_secs(), 86_400);
    assert_eq!(config.tool.archive, "/wmf/data/archive/user");
}

#[test]
fn an_empty_file_is_the_default() {
    let config = parse("").unwrap();
    assert_eq!(config.settings, Settings::default());
    assert_eq!(config.tool, Own::default());
    let error = config
        .need(config.settings.hdfs.as_ref(), "hdfs")
        .unwrap_err();
    insta::assert_snapshot!(error, @"error: configuration config.toml: there is no section [hdfs]");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_closest_known() {
    insta::assert_snapshot!(refused("state_dir = '/x'\n\n[fleet]\nhots = []\n"), @r"
    error: configuration config.toml, line 4: unknown key fleet.hots
    hint: did you mean hosts?
    ");
    insta::assert_snapshot!(refused("[ofboard]\n"), @r"
    error: configuration config.toml, line 1: unknown key ofboard
    hint: did you mean offboard?
    ");
    insta::assert_snapshot!(refused("[offboard]\nexcluded = []\n"), @r"
    error: configuration config.toml, line 2: unknown key offboard.excluded
    hint: did you mean exclude?
    ");
    insta::assert_snapshot!(refused("hdfs.deadlin = '1s'\n"), @r"
    error: configuration config.toml, line 1: unknown key hdfs.deadlin
    hint: did you mean deadline?
    ");
    insta::assert_snapshot!(refused("[yarn]\nurl = 'x'\npassword = 'x'"), @r"
    error: configuration config.toml, line 3: unknown key yarn.password
    hint: known here: url
    ");
}

#[test]
fn a_wrong_value_is_named_with_its_line() {
    insta::assert_snapshot!(refused("[hdfs]\nuser = 'hdfs'\nconcurrency = 'many'"), @r#"error: configuration config.toml, line 3: hdfs.concurrency: invalid type: string "many", expected a nonzero usize"#);
    insta::assert_snapshot!(refused("[hdfs]\nconcurrency = 0"), @"error: configuration config.toml, line 2: hdfs.concurrency: invalid value: integer `0`, expected a nonzero usize");
    insta::assert_snapshot!(refused("[hdfs]\ndeadline = 30"), @"error: configuration config.toml, line 2: hdfs.deadline: invalid type: integer `30`, expected a string");
    insta::assert_snapshot!(refused("[hdfs]\ndeadline = '-3s'"), @"error: configuration config.toml, line 2: hdfs.deadline: not a duration like 30s, 5m or 1d");
    insta::assert_snapshot!(refused("[fleet]\nhosts = ['a',\n 3]"), @"error: configuration config.toml, line 3: fleet.hosts: invalid type: integer `3`, expected a string");
    insta::assert_snapshot!(refused("log_command = []"), @"error: configuration config.toml, line 1: log_command: names no program");
    insta::assert_snapshot!(refused("[admins]\nmax_age = '2d'"), @"error: configuration config.toml, line 1: admins: missing field `data_file`");
}

#[test]
fn broken_toml_is_named_with_its_line() {
    insta::assert_snapshot!(refused("state_dir = '/x'\n[hdfs\n"), @"error: configuration config.toml, line 2: unclosed table, expected `]`");
    insta::assert_snapshot!(refused("[hdfs]\nuser = 'a'\nuser = 'b'\n"), @"error: configuration config.toml, line 3: duplicate key");
}

#[test]
fn the_file_is_looked_for_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    std::fs::create_dir(place("opsweek")).unwrap();
    for name in ["flag.toml", "env.toml", "opsweek/config.toml"] {
        std::fs::write(place(name), "").unwrap();
    }
    let mut env = Env {
        config: Some(place("env.toml")),
        config_home: Some(dir.path().to_owned()),
        ..Env::default()
    };
    let find = |flag: Option<&Path>, env: &Env| {
        Config::<Own>::find(flag, env, "offboard", None).map(|config| config.path)
    };
    let flag = place("flag.toml");
    assert_eq!(find(Some(&flag), &env).unwrap(), flag);
    assert_eq!(find(None, &env).unwrap(), place("env.toml"));
    env.config = None;
    if !Path::new(SYSTEM).exists() {
        assert_eq!(find(None, &env).unwrap(), place("opsweek/config.toml"));
    }
    // A file that was named is not replaced by another one.
    let missing = find(Some(&place("none.toml")), &env)
        .unwrap_err()
        .to_string();
    assert!(missing.contains("none.toml") && missing.contains("No such file"));
}

#[test]
fn a_password_is_read_from_a_file_that_is_not_everybodys() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "hunter2\n").unwrap();
    let mode = |mode| std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
    let text = format!(
        "[sql.db]\nhost = \"db.example.org\"\nuser = \"ops\"\npassword_file = {:?}\n",
        file.display().to_string()
    );
    let server = || parse(&text).unwrap().sql_server("db");

    mode(0o640);
    let server_config = server().unwrap().config().clone();
    assert_eq!(server_config.password.unwrap().reveal(), "hunter2");
    mode(0o644);
    let error = server().unwrap_err().to_string();
    assert!(error.contains("is open to everybody"), "{error}");
    assert!(error.contains("hint: chmod o= "), "{error}");
    std::fs::remove_file(&file).unwrap();
    let error = server().unwrap_err().to_string();
    assert!(error.contains("[sql.db] password_file"), "{error}");
}

#[test]
fn a_sql_server_that_cannot_be_used_is_named() {
    let server = |text: &str, name: &str| {
        let error = parse(text).unwrap().sql_server(name).unwrap_err();
        assert_eq!(error.exit(), crate::Exit::Usage);
        error.to_string()
    };
    let error = server("", "db");
    assert!(error.contains("there is no section [sql.db]"), "{error}");
    let error = server("[sql.db]\nuser = \"ops\"", "db");
    assert!(error.contains("[sql.db] either host or socket"), "{error}");
    let unset = "[sql.db]\nhost = \"db\"\nuser = \"ops\"\npassword_env = \"OPSWEEK_NO_SUCH\"";
    let error = server(unset, "db");
    assert!(error.contains("no variable OPSWEEK_NO_SUCH"), "{error}");
}

#[test]
fn a_run_that_needs_no_configuration_does_without() {
    let dir = tempfile::tempdir().unwrap();
    let mut env = Env {
        config_home: Some(dir.path().to_owned()),
        state_home: Some(dir.path().join("state")),
        ..Env::default()
    };
    let find = |env: &Env, without| Config::<Own>::find(None, env, "offboard", without);
    if !Path::new(SYSTEM).exists() {
        let config = find(&env, Some(Path::new("here"))).unwrap();
        assert!(config.is_absent());
        let state_dir = dir.path().join("state/opsweek/here");
        assert_eq!(config.settings.state_dir, state_dir);
        assert!(find(&env, None).is_err());
    }
    // One that is named is read, and must be there.
    env.config = Some(dir.path().join("none.toml"));
    assert!(find(&env, Some(Path::new("here"))).is_err());
}
