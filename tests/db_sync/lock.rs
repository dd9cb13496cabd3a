//! The lock that keeps two runs apart, on a server that ends whoever is idle.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use super::config_from;
use super::private::{Private, alone, planned, private, run_of};
use crate::support::{Ran, run_paused, scratch};

/// How long a connection may be idle, for new ones.
struct Patience<'a> {
    world: &'a Private,
    before: u64,
}

impl<'a> Patience<'a> {
    fn of_a_second(world: &'a Private) -> Self {
        let before = world.number("SELECT @@GLOBAL.wait_timeout");
        world.sql("SET GLOBAL wait_timeout = 1, GLOBAL interactive_timeout = 1");
        Self { world, before }
    }
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        let before = self.before;
        self.world.sql(&format!(
            "SET GLOBAL wait_timeout = {before}, GLOBAL interactive_timeout = {before}"
        ));
    }
}

/// A client that has asked once, and the number of its connection.
fn idle(world: &Private) -> (Child, u64) {
    let mut client = world.0.mariadb_command("metadata").unwrap();
    let mut client = client
        .args(["--batch", "--skip-column-names", "--unbuffered"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdin = client.stdin.as_mut().unwrap();
    writeln!(stdin, "SELECT CONNECTION_ID();").unwrap();
    let mut line = String::new();
    let stdout = client.stdout.as_mut().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    (client, line.trim().parse().unwrap())
}

#[test]
fn it_outlasts_a_copy_that_takes_longer_than_the_server_waits() {
    let world = private();
    let world = alone(&world);
    world.seed();
    let _patience = Patience::of_a_second(&world);
    let config = world.0.config_path();
    let plan = planned(&config, "lock.json");
    // As from another machine, which shares no files.
    let elsewhere = config_from(&config, "lock.toml", |text| {
        let own = world.0.dir().join("state").display().to_string();
        assert!(text.contains(&own), "{text}");
        text.replace(&own, &scratch("lock-state").display().to_string())
    });
    let first = run_paused(&mut run_of(&config, &plan), "started:copy", |_| {
        let (mut client, connection) = idle(&world);
        let count =
            format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {connection}");
        while world.number(&count) > 0 {
            std::thread::yield_now();
        }
        client.kill().unwrap();
        client.wait().unwrap();
        let second = Ran::from(run_of(&elsewhere, &plan).output().unwrap());
        assert!(
            second.stderr.contains("another run is at work"),
            "{}\n{}",
            second.stdout,
            second.stderr
        );
    });
    first.expect(0);
}
