//! Bytes from and to hosts.

use std::time::Duration;

use bytes::Bytes;
use opsweek_core::services::fleet::{Command, Deadlines, Error, Exit};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::server::{host, sh};
use super::{LONG, one_server, text};

const DEADLINES: Deadlines = Deadlines {
    idle: LONG,
    total: LONG,
};

#[tokio::test]
async fn a_slow_consumer_slows_the_host_instead_of_filling_memory() {
    const MEGABYTES: u64 = 100;
    let (world, fleet) = one_server();
    let script = r#"i=0; while [ $i -lt 100 ]; do head -c 1000000 /dev/zero; i=$((i+1)); echo $i >"$1"; done"#;
    let command = Command::script(script, [world.shown("written")]);
    let (sink, mut taken) = mpsc::channel(4);
    let download = tokio::spawn({
        let fleet = fleet.clone();
        async move {
            let cancel = CancellationToken::new();
            fleet
                .download(&host("web1"), &command, DEADLINES, sink, &cancel)
                .await
        }
    });
    // Nothing is taken until the host has come to a stand.
    let written = || world.read("written").trim().parse::<u64>().unwrap_or(0);
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let now = written();
        if now > 0 && now == before {
            break;
        }
        before = now;
    }
    assert!(before < 30, "the host wrote {before} MB to nobody");
    let mut bytes = 0;
    while let Some(chunk) = taken.recv().await {
        bytes += chunk.len() as u64;
    }
    let finished = download.await.unwrap().unwrap();
    assert!(finished.exit.success());
    assert_eq!((bytes, finished.bytes), (MEGABYTES * 1_000_000, bytes));
}

#[tokio::test]
async fn a_download_ends_with_its_consumer_its_deadline_and_its_host() {
    let (_world, fleet) = one_server();
    let token = CancellationToken::new();
    let endless = Command::new(["cat", "/dev/zero"]);
    let (sink, consumer) = mpsc::channel(1);
    drop(consumer);
    let result = fleet
        .download(&host("web1"), &endless, DEADLINES, sink, &token)
        .await;
    assert!(matches!(result, Err(Error::Cancelled { .. })), "{result:?}");

    let (sink, _consumer) = mpsc::channel(1);
    let short = Deadlines {
        total: Duration::from_millis(500),
        ..DEADLINES
    };
    let result = fleet
        .download(&host("web1"), &endless, short, sink, &token)
        .await;
    assert!(matches!(result, Err(Error::Deadline { .. })), "{result:?}");

    let (sink, mut consumer) = mpsc::channel(1);
    let idle = Deadlines {
        // Long enough for a busy machine to begin.
        idle: Duration::from_secs(5),
        ..DEADLINES
    };
    let silent = Command::script(
        "echo some; while kill -0 $(ps -o ppid= -p $PPID) 2>/dev/null; do sleep 0.1; done",
        [""; 0],
    );
    let result = fleet
        .download(&host("web1"), &silent, idle, sink, &token)
        .await;
    assert!(
        matches!(result, Err(Error::Deadline { after, .. }) if after == idle.idle),
        "{result:?}"
    );
    assert_eq!(consumer.recv().await.unwrap(), "some\n");

    let (sink, mut consumer) = mpsc::channel(1);
    let drain = tokio::spawn(async move { while consumer.recv().await.is_some() {} });
    let script = "head -c 3000000 /dev/zero; kill -KILL $(ps -o ppid= -p $PPID)";
    let broken = Command::script(script, [""; 0]);
    let result = fleet
        .download(&host("web1"), &broken, DEADLINES, sink, &token)
        .await;
    assert!(matches!(result, Err(Error::Lost { .. })), "{result:?}");
    drain.await.unwrap();
}

#[tokio::test]
async fn what_is_uploaded_arrives_whole() {
    let (world, fleet) = one_server();
    let token = CancellationToken::new();
    let (source, stream) = mpsc::channel(2);
    let feed = tokio::spawn(async move {
        for number in 0..300_u16 {
            let chunk = Bytes::from(vec![number.to_le_bytes()[0]; 70_001]);
            if source.send(chunk).await.is_err() {
                return;
            }
        }
    });
    let command = Command::script("sha256sum; head -c 100000 /dev/zero >&2", [""; 0]);
    let finished = fleet
        .upload(&host("web1"), &command, DEADLINES, stream, &token)
        .await
        .unwrap();
    feed.await.unwrap();
    assert!(finished.exit.success());
    assert_eq!(finished.bytes, 300 * 70_001);
    assert_eq!(finished.stderr.len(), 100_000);
    let same: Vec<u8> = (0..300_u16)
        .flat_map(|number| vec![number.to_le_bytes()[0]; 70_001])
        .collect();
    std::fs::write(world.path("same"), same).unwrap();
    let local = sh("sh", &["-c", "sha256sum <\"$0\"", &world.shown("same")]);
    assert_eq!(text(&finished.stdout), local);
}

#[tokio::test]
async fn a_command_that_closes_stdout_early_still_gets_its_input() {
    let (world, fleet) = one_server();
    let token = CancellationToken::new();
    let (source, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        for _ in 0..100 {
            let _ = source.send(Bytes::from(vec![b'x'; 50_000])).await;
        }
    });
    let script = "exec >&- 2>&-; cat >\"$0\" 2>/dev/null; exec >\"$1\"; wc -c <\"$0\"";
    let command = Command::script(script, [world.shown("count")]);
    let finished = fleet
        .upload(&host("web1"), &command, DEADLINES, stream, &token)
        .await
        .unwrap();
    assert_eq!(finished.bytes, 5_000_000, "{finished:?}");
}

#[tokio::test]
async fn an_upload_to_a_command_that_ends_early_ends_too() {
    let (_world, fleet) = one_server();
    let token = CancellationToken::new();
    let (source, stream) = mpsc::channel(1);
    let feed =
        tokio::spawn(
            async move { while source.send(Bytes::from(vec![0; 100_000])).await.is_ok() {} },
        );
    let command = Command::script("head -c 10 >/dev/null; exit 4", [""; 0]);
    let finished = fleet
        .upload(&host("web1"), &command, DEADLINES, stream, &token)
        .await
        .unwrap();
    assert_eq!(finished.exit, Exit::Status(4));
    feed.await.unwrap();
}
