//! Files that are written, read back and fought for.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use opsweek_core::services::hdfs::{Error, Existing};
use tokio::sync::{mpsc, oneshot};

use super::{attributes, client, names, put, scratch};

/// `count` pieces of bytes that differ, of odd lengths.
fn pieces(count: u32) -> Vec<Bytes> {
    let piece = |n: u32| {
        let byte = |i: u32| u8::try_from((i * 31 + n * 7) % 251).unwrap();
        (0..40_000 + n).map(byte).collect::<Vec<_>>().into()
    };
    (0..count).map(piece).collect()
}

#[tokio::test]
async fn a_file_is_written_whole_or_not_at_all() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "write").await;
    let path = format!("{root}/home.tar.zst");
    let whole = pieces(90).concat();
    let body = || stream::iter(pieces(90)).map(Ok::<_, std::io::Error>);
    let written = hdfs.write(&path, 0o400, Existing::Refuse, body()).await;
    let written = written.unwrap();
    assert_eq!(written.bytes, whole.len() as u64);
    assert_eq!(attributes(&path), "hdfs:hdfs 400");
    assert_eq!(hdfs.read_all(&path, written.bytes).await.unwrap(), whole);
    assert_eq!(hdfs.sha256(&path).await.unwrap(), written);
    assert_error!(hdfs.read_all(&path, written.bytes - 1).await, TooLarge);
    // What a killed writer left is replaced.
    put(&hdfs, &format!("{root}/_TMP.other"), "left over").await;
    let other = format!("{root}/other");
    hdfs.write(&other, 0o644, Existing::Refuse, body())
        .await
        .unwrap();
    assert_eq!(hdfs.sha256(&other).await.unwrap(), written);
    // An existing file is refused, or replaced in one step.
    let refused = hdfs
        .put_bytes(&other, b"new", 0o644, Existing::Refuse)
        .await;
    assert_error!(refused, AlreadyExists);
    let cut = || {
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        body().take(50).chain(stream::iter([Err(broken)]))
    };
    for existing in [Existing::Replace, Existing::Refuse] {
        let path = format!(
            "{root}/{}",
            if existing == Existing::Replace {
                "other"
            } else {
                "no"
            }
        );
        let error = hdfs.write(&path, 0o644, existing, cut()).await.unwrap_err();
        assert!(matches!(error, Error::Input { .. }), "{error:?}");
    }
    assert_eq!(hdfs.sha256(&other).await.unwrap(), written);
    hdfs.put_bytes(&other, b"", 0o600, Existing::Replace)
        .await
        .unwrap();
    assert_eq!(hdfs.read_all(&other, 0).await.unwrap(), "");
    assert_eq!(attributes(&other), "hdfs:hdfs 600");
    assert_eq!(
        names(&root),
        ["home.tar.zst".into(), "other".to_owned()].into()
    );
    // Places where no file can be.
    hdfs.mkdir(&format!("{root}/d"), 0o755).await.unwrap();
    let onto = hdfs
        .put_bytes(&format!("{root}/d"), b"x", 0o644, Existing::Replace)
        .await;
    assert!(onto.is_err(), "a file does not replace a folder");
    let orphan = hdfs
        .put_bytes(&format!("{root}/none/f"), b"x", 0o644, Existing::Refuse)
        .await;
    assert_error!(orphan, NotFound);
    let elvis = client("elvis");
    let denied = elvis
        .put_bytes(&format!("{root}/d/f"), b"x", 0o644, Existing::Refuse)
        .await;
    assert_error!(denied, PermissionDenied);
    assert!(names(&format!("{root}/d")).is_empty());
    assert_eq!(names(&root).len(), 3);
}

#[tokio::test]
async fn what_is_read_back_is_shown() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "shown").await;
    let whole = pieces(90).concat();
    let body = || stream::iter(pieces(90)).map(Ok::<_, std::io::Error>);
    let write = async |path: &str, shown| {
        hdfs.write_shown(path, 0o400, Existing::Replace, body(), Some(shown))
            .await
    };
    let (shown, mut read_back) = mpsc::channel::<Bytes>(1);
    let path = format!("{root}/a");
    let take = async {
        let mut taken = Vec::new();
        while let Some(piece) = read_back.recv().await {
            taken.extend_from_slice(&piece);
        }
        taken
    };
    let (written, taken) = tokio::join!(write(&path, shown), take);
    assert!(taken == whole, "{} bytes were shown", taken.len());
    assert_eq!(hdfs.sha256(&path).await.unwrap(), written.unwrap());
    // One who has seen enough does not stop the others.
    let (shown, mut read_back) = mpsc::channel::<Bytes>(1);
    let path = format!("{root}/b");
    let (written, first) = tokio::join!(write(&path, shown), async move {
        read_back.recv().await.unwrap()
    });
    assert!(whole.starts_with(&first));
    assert_eq!(written.unwrap().bytes, whole.len() as u64);
    assert_eq!(hdfs.read_all(&path, 1 << 30).await.unwrap(), whole);
}

#[tokio::test]
async fn closed_blocks_are_read_back_while_the_rest_is_written() {
    const BLOCK: usize = 128 << 20;
    let hdfs = client("hdfs");
    let path = format!("{}/a", scratch(&hdfs, "meanwhile").await);
    let piece = Bytes::from(vec![7; 4 << 20]);
    let most = stream::iter(vec![piece; 48]);
    // The rest is only there when a block has been read back.
    let (seen, wait) = oneshot::channel();
    let rest = stream::once(async move { wait.await.unwrap() });
    let body = most.chain(rest).map(Ok::<_, std::io::Error>);
    let (shown, mut read_back) = mpsc::channel::<Bytes>(1);
    let write = hdfs.write_shown(&path, 0o400, Existing::Replace, body, Some(shown));
    let take = async {
        let (mut taken, mut seen) = (0, Some(seen));
        while let Some(piece) = read_back.recv().await {
            taken += piece.len();
            if let Some(seen) = seen.take_if(|_| taken >= BLOCK) {
                seen.send(Bytes::from_static(b"rest")).unwrap();
            }
        }
        taken
    };
    let both = async { tokio::join!(write, take) };
    let (written, taken) = tokio::time::timeout(Duration::from_mins(10), both)
        .await
        .expect("nothing was read back before the end");
    let written = written.unwrap();
    assert_eq!(taken as u64, written.bytes);
    assert_eq!(written.bytes, (192 << 20) + 4);
}

#[tokio::test]
async fn of_many_who_want_a_lock_one_gets_it() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "lock").await;
    let path = format!("{root}/lock");
    let tries: Vec<_> = stream::iter(0..24)
        .map(|n| {
            let (hdfs, path) = (client("hdfs"), path.clone());
            async move {
                (
                    n,
                    hdfs.create_exclusive(&path, n.to_string().as_bytes())
                        .await
                        .unwrap(),
                )
            }
        })
        .buffer_unordered(24)
        .collect()
        .await;
    let winners: Vec<_> = tries.iter().filter(|(_, won)| *won).collect();
    let [(winner, _)] = winners[..] else {
        panic!("{winners:?}")
    };
    assert_eq!(hdfs.read_all(&path, 9).await.unwrap(), winner.to_string());
    assert_eq!(names(&root), ["lock".to_owned()].into());
}
