use super::*;

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, file).unwrap();
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Config::load(Some(&path), &environment, &Flags::default())
}

#[test]
fn defaults_are_those_of_the_node_server() {
    let config = load("{}", &[]).unwrap().config;
    assert_eq!(config.port, 8080);
    assert_eq!(config.streams.prefix, "async-events-");
    assert_eq!(config.streams.count, 100);
    assert_eq!(config.streams.block, Duration::from_secs(5));
    assert_eq!(config.jwt.algorithms, ["HS256"]);
    assert_eq!(config.jwt.cookie, "async-token");
    assert_eq!(config.sockets.response_timeout, Duration::from_mins(1));
    assert_eq!(config.sockets.ping_interval, Duration::from_secs(20));
    assert_eq!(config.redis.username, "default");
    assert_eq!(
        (config.mode, config.refusal),
        (Mode::Streams, Refusal::Status)
    );
}

#[test]
fn the_environment_wins_over_the_file_and_is_read_as_javascript_reads_it() {
    let loaded = load(
        r#"{"port": "9000", "redis": {"host": "redis.example.org", "ssl": true}, "redisStreamReadCount": 7}"#,
        &[
            ("PORT", "0x1F90"),
            ("REDIS_SSL", "1"),
            ("REDIS_STREAM_READ_COUNT", "  "),
            ("PING_SOCKETS_INTERVAL_MS", "1e3"),
            ("STATSD_GLOBAL_TAGS", " env:test ,,b"),
            ("LOG_TO_FILE", "TRUE"),
        ],
    )
    .unwrap();
    let config = loaded.config;
    assert_eq!(config.port, 8080);
    assert_eq!(config.redis.host, "redis.example.org");
    assert!(!config.redis.ssl);
    assert_eq!(config.streams.count, 7);
    assert_eq!(config.sockets.ping_interval, Duration::from_secs(1));
    assert_eq!(config.statsd.tags, ["env:test", "b"]);
    assert_eq!(config.log.file, Some(PathBuf::from("app.log")));
    assert!(
        loaded.rendered.contains("port = 8080  # environment PORT"),
        "{}",
        loaded.rendered
    );
}

#[test]
fn junk_numbers_of_the_environment_fall_back_with_a_warning() {
    let loaded = load(
        r#"{"port": 9000}"#,
        &[
            ("PORT", "abc"),
            ("PING_SOCKETS_INTERVAL_MS", "0"),
            ("REDIS_DB", "-1"),
        ],
    );
    let loaded = loaded.unwrap();
    assert_eq!(loaded.config.port, 9000);
    assert_eq!(loaded.config.sockets.ping_interval, Duration::from_secs(20));
    assert_eq!(loaded.config.redis.db, 0);
    assert_eq!(loaded.warnings.len(), 3, "{:?}", loaded.warnings);
}

#[test]
fn null_leaves_a_key_at_its_default() {
    let config = load(
        r#"{"redis": {"password": null}, "statsd": null, "port": null}"#,
        &[],
    )
    .unwrap()
    .config;
    assert!(config.redis.password.is_empty());
    assert_eq!((config.statsd.port, config.port), (8125, 8080));
}

#[test]
fn tags_of_the_environment_join_the_configured_ones() {
    let file = r#"{"statsd": {"globalTags": ["a:b"]}}"#;
    let loaded = load(file, &[("DD_ENV", "prod"), ("DD_SERVICE", "")]).unwrap();
    assert_eq!(loaded.config.statsd.tags, ["a:b", "env:prod"]);
    let line = "statsd.globalTags += \"env:prod\"  # environment DD_ENV\n";
    assert!(loaded.rendered.ends_with(line), "{}", loaded.rendered);
}

#[test]
fn arrays_are_merged_index_by_index() {
    assert_eq!(
        load(r#"{"jwtAlgorithms": []}"#, &[])
            .unwrap()
            .config
            .jwt
            .algorithms,
        ["HS256"]
    );
    let two = load(r#"{"jwtAlgorithms": ["RS256", "ES256"]}"#, &[]).unwrap();
    assert_eq!(two.config.jwt.algorithms, ["RS256", "ES256"]);
}

#[test]
fn broken_files_and_values_are_errors_that_name_them() {
    for (file, named) in [
        ("{", "is not JSON"),
        (r#"{"port": "abc"}"#, "port must be a port number"),
        (r#"{"port": 70000}"#, "port must be a port number"),
        (r#"{"redis": 3}"#, "redis must be an object"),
        (
            r#"{"redis": {"ssl": "true"}}"#,
            "redis.ssl must be true or false",
        ),
        (r#"{"mode": "pubsub"}"#, "mode is \"pubsub\""),
        ("[]", "the whole file must be an object"),
    ] {
        let error = load(file, &[]).unwrap_err().to_string();
        assert!(error.contains(named), "{file}: {error}");
    }
    let missing = Config::load(
        Some(Path::new("no-such-config.json")),
        &BTreeMap::new(),
        &Flags::default(),
    );
    assert!(matches!(missing, Err(ConfigError::Read { .. })));
    assert!(Config::load(None, &BTreeMap::new(), &Flags::default()).is_ok());
}

#[test]
fn the_cookie_name_follows_the_mode_unless_it_is_set() {
    let cookie = |file| {
        load(file, &[("MODE", "realtime")])
            .unwrap()
            .config
            .jwt
            .cookie
    };
    assert_eq!(cookie("{}"), "superset-ws-token");
    assert_eq!(cookie(r#"{"jwtCookieName": "mine"}"#), "mine");
    assert_eq!(cookie(r#"{"mode": "streams"}"#), "superset-ws-token");
}

#[test]
fn secrets_are_counted_in_utf16_units_and_never_shown() {
    let secret = "s".repeat(31);
    let loaded = load(&format!(r#"{{"jwtSecret": "{secret}"}}"#), &[]).unwrap();
    assert!(matches!(
        loaded.config.check(),
        Err(ConfigError::ShortSecret)
    ));
    assert!(
        !loaded.rendered.contains(&secret) && !format!("{:?}", loaded.config).contains(&secret)
    );
    let long = load(
        &format!(r#"{{"jwtSecret": "{}"}}"#, "\u{1f600}".repeat(16)),
        &[],
    )
    .unwrap();
    assert!(long.config.check().is_ok());
    let previous = load(
        &format!(r#"{{"jwtSecret": "{secret}x", "previousJwtSecret": "short"}}"#),
        &[],
    )
    .unwrap();
    assert!(matches!(
        previous.config.check(),
        Err(ConfigError::ShortPreviousSecret)
    ));
}

#[test]
fn unknown_keys_are_ignored_with_a_warning() {
    let loaded = load(r#"{"streamPrefix": "x", "redis": {"family": 4}}"#, &[]).unwrap();
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
}
