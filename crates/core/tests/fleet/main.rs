//! The fleet against real sshd processes: every way in which a host can fail, told apart, and
//! every trap of libssh2 that could pass a failure off as a success.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod access;
mod server;
mod streams;

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use opsweek_core::services::fleet::{Batches, Command, Error, Exit, Fleet, Output};
use tokio_util::sync::CancellationToken;

use server::{World, host, sh};

const LONG: Duration = Duration::from_mins(1);

/// Waits in silence, and ends with its connection.
const WAIT: &str = "while kill -0 $(ps -o ppid= -p $PPID) 2>/dev/null; do sleep 0.1; done";

async fn run(fleet: &Fleet, name: &str, command: Command) -> Result<Output, Error> {
    fleet
        .run(&host(name), &command, LONG, &CancellationToken::new())
        .await
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap().trim_end()
}

fn one_server() -> (World, Fleet) {
    let mut world = World::new();
    world.serve("web1", &["ed25519"], "");
    let fleet = world.fleet("");
    (world, fleet)
}

#[tokio::test]
async fn stdout_stderr_status_and_stdin_are_kept_apart() {
    let (_world, fleet) = one_server();
    let command = Command::script("cat; echo \"$1\" >&2; exit 7", ["it's; a $(trap)\n*"])
        .stdin("in".as_bytes());
    let output = run(&fleet, "web1", command).await.unwrap();
    assert_eq!(output.exit, Exit::Status(7));
    assert_eq!(output.stdout, b"in");
    assert_eq!(output.stderr, b"it's; a $(trap)\n*\n");
    for status in [0, 1, 97, 98, 126, 127, 128, 255] {
        let command = Command::script("exit $1", [status.to_string()]);
        let output = run(&fleet, "web1", command).await.unwrap();
        assert_eq!(output.exit, Exit::Status(status));
    }
    let command = Command::script("exit 99", [""; 0]);
    let output = run(&fleet, "web1", command).await.unwrap();
    assert!(!output.success(), "{output:?}");
}

#[tokio::test]
async fn a_death_by_signal_is_no_success() {
    let (_world, fleet) = one_server();
    for signal in ["KILL", "TERM", "SEGV"] {
        let command = Command::script("ulimit -c 0; kill -$1 $$", [signal]);
        let output = run(&fleet, "web1", command).await.unwrap();
        assert_eq!(output.exit, Exit::Signal(signal.to_owned()));
        assert!(!output.success());
    }
}

#[tokio::test]
async fn a_channel_closed_without_a_status_is_no_success() {
    let mut world = World::new();
    world.serve("web1", &["ed25519"], "ChannelTimeout session:command=1s");
    let fleet = world.fleet("");
    let error = run(&fleet, "web1", Command::script(WAIT, [""; 0]))
        .await
        .unwrap_err();
    let Error::Lost { what, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(what.contains("without telling how it ended"), "{what}");
}

#[tokio::test]
async fn much_on_stderr_before_stdout_does_not_deadlock() {
    let (_world, fleet) = one_server();
    let script = "head -c 5000000 /dev/zero >&2; head -c 6000000 /dev/zero";
    let output = run(&fleet, "web1", Command::script(script, [""; 0]))
        .await
        .unwrap();
    assert_eq!(output.stderr.len(), 5_000_000);
    assert_eq!(output.stdout.len(), 6_000_000);
    assert!(output.success());
}

#[tokio::test]
async fn output_beyond_its_limit_is_refused() {
    let (_world, fleet) = one_server();
    let command = Command::new(["cat", "/dev/zero"]).output_limit(1 << 20);
    let error = run(&fleet, "web1", command).await.unwrap_err();
    assert!(
        matches!(error, Error::OutputTooLarge { limit, stream: "stdout", .. } if limit == 1 << 20)
    );
}

#[tokio::test]
async fn the_deadline_is_absolute_even_while_output_trickles() {
    let (_world, fleet) = one_server();
    let script = "while :; do echo tick; sleep 0.1; done";
    let deadline = Duration::from_millis(1500);
    // Connecting is not what is timed.
    run(&fleet, "web1", Command::new(["true"])).await.unwrap();
    let start = Instant::now();
    let result = fleet
        .run(
            &host("web1"),
            &Command::script(script, [""; 0]),
            deadline,
            &CancellationToken::new(),
        )
        .await;
    let took = start.elapsed();
    assert!(
        matches!(result, Err(Error::Deadline { after, .. }) if after == deadline),
        "{result:?}"
    );
    assert!(
        took >= deadline && took < deadline + Duration::from_secs(10),
        "{took:?}"
    );
    // The connection was given up; the host is served all the same.
    assert!(
        run(&fleet, "web1", Command::new(["true"]))
            .await
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn cancelling_is_noticed_at_once() {
    let (world, fleet) = one_server();
    let started = world.path("started");
    let command = Command::script(
        "touch \"$1\"; while [ -e \"$1\" ]; do sleep 0.1; done",
        [world.shown("started")],
    );
    let cancel = CancellationToken::new();
    let running = tokio::spawn({
        let (fleet, cancel) = (fleet.clone(), cancel.clone());
        async move { fleet.run(&host("web1"), &command, LONG, &cancel).await }
    });
    while !started.exists() {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    cancel.cancel();
    let result = running.await.unwrap();
    assert!(matches!(result, Err(Error::Cancelled { .. })), "{result:?}");
    // At once, for a busy machine; the command itself would never end.
    assert!(start.elapsed() < Duration::from_secs(10));
    let command = Command::new(["true"]);
    let result = fleet.run(&host("web1"), &command, LONG, &cancel).await;
    assert!(matches!(result, Err(Error::Cancelled { .. })), "{result:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_is_lost_not_ended() {
    let (_world, fleet) = one_server();
    let script = "echo started; kill -KILL $(ps -o ppid= -p $PPID)";
    let error = run(&fleet, "web1", Command::script(script, [""; 0]))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("web1.example.org"));
}

#[tokio::test]
async fn one_connection_serves_several_commands_and_is_replaced_when_closed() {
    let (_world, fleet) = one_server();
    let who = || Command::script("echo $SSH_CONNECTION; ps -o ppid= -p $PPID", [""; 0]);
    let first = run(&fleet, "web1", who()).await.unwrap();
    let second = run(&fleet, "web1", who()).await.unwrap();
    assert_eq!(first.stdout, second.stdout);
    let session = text(&first.stdout)
        .lines()
        .nth(1)
        .unwrap()
        .trim()
        .to_owned();
    sh("kill", &["-KILL", &session]);
    let third = run(&fleet, "web1", who()).await.unwrap();
    assert_ne!(first.stdout, third.stdout);
}

#[tokio::test]
async fn sudo_speaks_for_itself() {
    let (_world, fleet) = one_server();
    // No such account: refused by sudo, whoever asks.
    let command = Command::new(["true"]).sudo("azywiki");
    let error = run(&fleet, "web1", command).await.unwrap_err();
    let Error::SudoRefused { user, message, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(user, "azywiki");
    assert!(message.contains("unknown user"), "{message}");
    // sudo's words about a password, from an account without a rule.
    let command = Command::new(["sudo", "-n", "true"]).sudo("nobody");
    let error = run(&fleet, "web1", command).await.unwrap_err();
    assert!(
        error.to_string().contains("password is required"),
        "{error}"
    );
    let output = run(&fleet, "web1", Command::new(["id", "-un"]).sudo("nobody"))
        .await
        .unwrap();
    assert_eq!(text(&output.stdout), "nobody");
    // The command's own failure stays its own.
    let output = run(&fleet, "web1", Command::new(["false"]).sudo("nobody"))
        .await
        .unwrap();
    assert_eq!(output.exit, Exit::Status(1));
}

#[tokio::test]
async fn bad_commands_are_refused_before_anything_is_contacted() {
    let fleet = World::new().fleet("");
    for command in [
        Command::new([""; 0]),
        Command::new(["a\0b"]),
        Command::new(["true"]).sudo("-rf"),
        Command::new(["A=b", "true"]).sudo("root"),
        Command::new(["x".repeat(40_000)]),
    ] {
        let result = run(&fleet, "nowhere", command).await;
        assert!(
            matches!(result, Err(Error::InvalidCommand { .. })),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn many_hosts_run_in_batches_until_too_many_fail() {
    let mut world = World::new();
    let port = world.serve("web1", &["ed25519"], "");
    for number in 2..=10 {
        world.configure(&format!("web{number}"), port);
    }
    let fleet = world.fleet("");
    let hosts = fleet.hosts(Some("web[1-10].example.org")).unwrap();
    let token = CancellationToken::new();
    let all = fleet.run_all(
        hosts.clone(),
        &Command::new(["true"]),
        LONG,
        Batches::default(),
        &token,
    );
    let results: Vec<_> = all.collect().await;
    assert_eq!(results.len(), 10);
    assert!(
        results
            .iter()
            .all(|(_, result)| result.as_ref().unwrap().success())
    );
    // 80 % of ten hosts: the third failure stops what has not begun.
    let batches = Batches {
        size: Some(1),
        success: 80,
        ..Batches::default()
    };
    let all = fleet.run_all(
        hosts.clone(),
        &Command::new(["false"]),
        LONG,
        batches,
        &token,
    );
    let results: Vec<_> = all.collect().await;
    let begun: Vec<_> = results
        .iter()
        .filter(|(_, result)| !matches!(result, Err(Error::NotStarted { .. })))
        .map(|(host, _)| host)
        .collect();
    assert_eq!(begun, hosts.iter().take(3).collect::<Vec<_>>());
    assert_eq!(results.len(), 10);
    // A pause before each host after the first two.
    let batches = Batches {
        size: Some(2),
        sleep: Duration::from_millis(300),
        success: 0,
    };
    let start = Instant::now();
    let few = hosts[..6].to_vec();
    let all = fleet.run_all(few, &Command::new(["true"]), LONG, batches, &token);
    assert_eq!(all.count().await, 6);
    assert!(start.elapsed() >= Duration::from_millis(600));
}
