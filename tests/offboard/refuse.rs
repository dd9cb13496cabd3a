//! Bad input is refused before anything is contacted, and a world that is down is told.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::{Ran, offboard_with, scratch};

/// Listeners in the place of every server: whoever is contacted is noticed.
struct Watched {
    config: PathBuf,
    listeners: Vec<TcpListener>,
}

impl Watched {
    fn new(name: &str, more: &str) -> Self {
        let listeners: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let ports: Vec<u16> = listeners
            .iter()
            .map(|l| l.local_addr().unwrap().port())
            .collect();
        let config = scratch(name);
        std::fs::write(&config, config_text(&ports, more)).unwrap();
        Self { config, listeners }
    }

    #[track_caller]
    fn untouched(&self) {
        for listener in &self.listeners {
            listener.set_nonblocking(true).unwrap();
            let error = listener.accept().expect_err("somebody was contacted");
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        }
    }
}

fn config_text(ports: &[u16], more: &str) -> String {
    let folder = scratch("refuse");
    std::fs::create_dir_all(&folder).unwrap();
    let ssh = folder.join(format!("ssh_config-{}", ports[2]));
    std::fs::write(
        &ssh,
        format!("Host *\n HostName 127.0.0.1\n Port {}\n", ports[2]),
    )
    .unwrap();
    format!(
        "state_dir = '{}'\n\
         [hdfs]\nurl = \"hdfs://127.0.0.1:{}\"\nuser = \"hdfs\"\nwebhdfs = [\"http://127.0.0.1:{}\"]\n\
         [metastore]\nuris = [\"thrift://127.0.0.1:{}\"]\nuser = \"hdfs\"\n\
         [fleet]\nssh_config = '{}'\nhosts = [\"stat1008\"]\n{more}",
        folder.display(),
        ports[0],
        ports[0],
        ports[1],
        ssh.display(),
    )
}

fn run(config: &Path, arguments: &[&str]) -> Ran {
    offboard_with(config)
        .args(arguments)
        .output()
        .unwrap()
        .into()
}

#[test]
fn names_that_cannot_be_users() {
    let watched = Watched::new("names.toml", "");
    let long = "e".repeat(300);
    for (name, code) in [
        ("", 2),
        ("..", 2),
        ("/", 2),
        ("*", 2),
        ("-rf", 2),
        ("el\nvis", 2),
        (long.as_str(), 2),
        ("Elvis", 2),
        ("root", 8),
        ("hdfs", 8),
        ("nobody", 8),
    ] {
        let ran = run(&watched.config, &[name, "--archive"]);
        assert_eq!(ran.code, Some(code), "{name:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("error:"), "{name:?}: {}", ran.stderr);
    }
    watched.untouched();
}

#[test]
fn flags_that_would_mean_nothing() {
    let watched = Watched::new("flags.toml", "");
    for flags in [
        &["--archive", "--delete"][..],
        &["--archive", "--skip-trash"],
        &["--archive", "--from", "elvis"],
        &["--delete", "--relocate"],
        &["--delete", "--from", "elvis"],
        &["--restore", "--relocate"],
        &["--restore", "--skip-trash"],
        &["--restore", "--new-owner", "azy"],
        &["--restore", "--include", "/wmf/data/x"],
        &["--skip-trash"],
        &["--batch", "2"],
        &["--archive", "--sleep", "5"],
        &["--archive", "--batch", "0"],
        &["--save-plan", "plan.json"],
    ] {
        let ran = run(&watched.config, &[&["elvis"], flags].concat());
        assert_eq!(ran.code, Some(2), "{flags:?}: {}", ran.stderr);
    }
    watched.untouched();
}

#[test]
fn an_unknown_config_key_names_its_line_and_the_likely_one() {
    let watched = Watched::new("key.toml", "[offboard]\narchve = \"/wmf/x/y\"\n");
    let ran = run(&watched.config, &["elvis"]).expect(2);
    assert!(
        ran.stderr.contains("line 13") && ran.stderr.contains("archive"),
        "{}",
        ran.stderr
    );
    watched.untouched();
}

#[test]
fn a_wrong_config_value_names_its_line() {
    let watched = Watched::new("value.toml", "[offboard]\nmin_uid = \"many\"\n");
    let ran = run(&watched.config, &["elvis"]).expect(2);
    assert!(
        ran.stderr.contains("line 13") && ran.stderr.contains("min_uid"),
        "{}",
        ran.stderr
    );
    watched.untouched();
}

#[test]
fn no_hosts_is_an_error() {
    let watched = Watched::new("hosts.toml", "");
    let text = std::fs::read_to_string(&watched.config).unwrap();
    std::fs::write(&watched.config, text.replace("[\"stat1008\"]", "[]")).unwrap();
    let ran = run(&watched.config, &["elvis"]).expect(2);
    assert!(ran.stderr.contains("hosts"), "{}", ran.stderr);
    watched.untouched();
}

#[test]
fn what_is_not_asked_for_is_not_contacted() {
    for (places, gap, others) in [
        ("hosts", "stat1008", [0, 1]),
        ("hdfs", "hdfs", [1, 2]),
        ("hive", "hive", [0, 2]),
    ] {
        let mut watched = Watched::new(&format!("places-{places}.toml"), "");
        let asked = (0..3).find(|index| !others.contains(index)).unwrap();
        // The one that is asked for is down.
        drop(watched.listeners.remove(asked));
        let ran = run(&watched.config, &["elvis", "--places", places]).expect(7);
        assert!(
            ran.stdout.contains(&format!("NOT looked at: {gap}"))
                && ran.stdout.contains("not asked for: "),
            "{}",
            ran.stdout
        );
        watched.untouched();
    }
    let watched = Watched::new("places-no.toml", "");
    run(&watched.config, &["elvis", "--places", "hosts,superset"]).expect(2);
    let ran = run(&watched.config, &["elvis", "--archive", "--places", "hdfs"]).expect(8);
    assert!(ran.stderr.contains("--places hdfs,hive"), "{}", ran.stderr);
    watched.untouched();
}

#[test]
fn everything_down_is_told_within_a_minute() {
    let ports: Vec<u16> = {
        let watched = Watched::new("down.toml", "");
        watched
            .listeners
            .iter()
            .map(|l| l.local_addr().unwrap().port())
            .collect()
    };
    let config = scratch("down2.toml");
    std::fs::write(&config, config_text(&ports, "")).unwrap();
    let start = Instant::now();
    let ran = run(&config, &["elvis"]).expect(7);
    assert!(start.elapsed() < Duration::from_mins(1));
    for place in ["hdfs", "hive", "stat1008"] {
        assert!(
            ran.stdout.contains(&format!("NOT looked at: {place}")),
            "{}",
            ran.stdout
        );
    }
}
