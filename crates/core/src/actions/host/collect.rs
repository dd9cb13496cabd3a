//! A host's places, streamed into HDFS and proven there.

use std::io;

use bytes::Bytes;
use futures::TryStreamExt;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use super::evidence::Proof;
use super::{Content, DEADLINES, command, find, run, said};
use crate::actions::World;
use crate::actions::host::places::Kept;
use crate::actions::lines::body;
use crate::actions::restore::host::{Place, fingerprint};
use crate::actions::restore::records::Chunks;
use crate::engine::{Cx, Failure};
use crate::services::fleet::{Fleet, HostName};
use crate::services::hdfs::{Error, Existing};

/// How many chunks of a stream, of 256 KiB, may wait to be written: HDFS' disks are waited for
/// at the end of every block, and the host shall go on meanwhile.
const AHEAD: usize = 128;
/// How many of all streams together.
static ALL_AHEAD: Semaphore = Semaphore::const_new(4 * AHEAD);

/// A chunk that waits, and its place among all.
type Ahead = (Bytes, Option<SemaphorePermit<'static>>);

/// One stage: the stream, the read back and its count, the proof; all or nothing.
#[expect(clippy::too_many_arguments, reason = "the fields of one variant")]
pub(super) async fn collect(
    world: &World,
    fleet: &Fleet,
    host: &HostName,
    content: Content,
    was: &Kept,
    leave_out: &[String],
    (folder, name): (&str, &str),
    cx: &Cx,
) -> Result<Value, Failure> {
    let hdfs = world.hdfs()?;
    let (script, file) = match content {
        Content::Tarball => (include_str!("collect.sh"), format!("{name}.tar.zst")),
        Content::Listing => (include_str!("list.sh"), format!("{name}.list.zst")),
    };
    let find = find(&was.paths(), &was.folders(), leave_out);
    let arguments = || find.iter().map(String::as_str);
    let path = format!("{folder}/{file}");

    let before = fingerprints(fleet, host, was, leave_out, cx).await?;
    let (sink, mut from_host) = mpsc::channel::<Bytes>(4);
    let (to_hdfs, source) = mpsc::channel::<io::Result<Ahead>>(AHEAD);
    let stream = command(script, arguments());
    let download = fleet.download(host, &stream, DEADLINES, sink, cx.cancel());
    let pump = async {
        let mut sent = 0;
        while let Some(chunk) = from_host.recv().await {
            sent += chunk.len() as u64;
            cx.progress(sent, None, "bytes");
            // The semaphore is never closed.
            let place = ALL_AHEAD.acquire().await.ok();
            if to_hdfs.send(Ok((chunk, place))).await.is_err() {
                break;
            }
        }
        // Dropping the receiver makes the download end as well.
        drop(from_host);
        to_hdfs
    };
    // The file gets its proper end only after the host has said that all went well.
    let produce = async {
        let (finished, to_hdfs) = tokio::join!(download, pump);
        let finished = finished.map_err(Failure::from).and_then(|finished| {
            if finished.exit.success() {
                Ok(())
            } else {
                Err(said(host, &finished.exit, &finished.stderr))
            }
        });
        if finished.is_err() {
            let _ = to_hdfs.send(Err(io::Error::other("spoilt"))).await;
        }
        finished
    };
    // What is read back for the checksum is counted on the way.
    let (shown, read_back) = mpsc::channel::<Bytes>(16);
    let entries = tokio::task::spawn_blocking(move || entries(read_back, content));
    // The host tells what it has while HDFS is still read back.
    let look = async {
        produce.await?;
        let expected = count(fleet, host, &find, cx).await?;
        let places = fingerprints(fleet, host, was, leave_out, cx).await?;
        Ok((expected, places))
    };
    let (looked, written) = tokio::join!(
        look,
        hdfs.write_shown(
            &path,
            0o400,
            Existing::Replace,
            body(source).map_ok(|(chunk, _)| chunk),
            Some(shown)
        )
    );
    let ((expected, places), written) = match (looked, written) {
        (Ok(looked), Ok(written)) => (looked, written),
        // A writer that stops early breaks the stream; the cause is the writer's.
        (_, Err(error)) if !matches!(error, Error::Input { .. }) => return Err(error.into()),
        (Err(failure), _) => return Err(failure),
        (_, Err(error)) => return Err(error.into()),
    };

    let entries = entries.await.map_err(|error| Failure::new(error, None))?;
    let entries = entries.map_err(|error| {
        let hint = "the copy is damaged and nothing was removed; run again".to_owned();
        Failure::new(error, hint)
    })?;
    if entries != expected {
        return Err(Failure::drifted(format!(
            "{host}: {entries} entries were archived, {expected} are there: somebody is writing"
        )));
    }
    let changed = before.iter().find(|place| !places.contains(place));
    if let Some(place) = changed {
        let why = format!(
            "{host}: {} changed while it was archived: somebody is writing",
            place.path
        );
        return Err(Failure::drifted(why));
    }
    let proof = Proof {
        file,
        content,
        bytes: written.bytes,
        sha256: written.sha256,
        entries,
        was: was.clone(),
        places,
        leave_out: leave_out.to_vec(),
    };
    let text = serde_json::to_vec_pretty(&proof).map_err(|error| Failure::new(error, None))?;
    let path_of_proof = format!("{folder}/{name}.json");
    hdfs.put_bytes(&path_of_proof, &text, 0o400, Existing::Refuse)
        .await?;
    Ok(json!({
        "file": path,
        "bytes": proof.bytes,
        "sha256": proof.sha256,
        "entries": entries,
    }))
}

/// What each of the places is like now.
async fn fingerprints(
    fleet: &Fleet,
    host: &HostName,
    was: &Kept,
    leave_out: &[String],
    cx: &Cx,
) -> Result<Vec<Place>, Failure> {
    let mut places = Vec::new();
    for path in was.paths() {
        let home = was.folders().contains(&path);
        if let Some(fingerprint) = fingerprint(fleet, host, path, home, leave_out, cx).await? {
            places.push(Place {
                path: path.to_owned(),
                home,
                fingerprint,
            });
        }
    }
    Ok(places)
}

async fn count(fleet: &Fleet, host: &HostName, find: &[String], cx: &Cx) -> Result<u64, Failure> {
    let arguments = find.iter().map(String::as_str);
    let printed = run(fleet, host, include_str!("count.sh"), arguments, cx).await?;
    String::from_utf8_lossy(&printed)
        .trim()
        .parse()
        .map_err(|_| Failure::new(format!("{host} counted nothing"), None))
}

/// Counts what is really in a file, from its bytes.
fn entries(bytes: mpsc::Receiver<Bytes>, content: Content) -> io::Result<u64> {
    let reader = zstd::stream::read::Decoder::new(Chunks::new(bytes))?;
    match content {
        Content::Tarball => {
            let mut count = 0;
            for entry in tar::Archive::new(reader).entries()? {
                entry?;
                count += 1;
            }
            Ok(count)
        }
        Content::Listing => ends(reader),
    }
}

/// How many entries, each ended by NUL.
fn ends(mut reader: impl io::Read) -> io::Result<u64> {
    let mut buffer = vec![0; 64 << 10];
    let mut count = 0;
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(count),
            n => {
                count += buffer[..n]
                    .iter()
                    .map(|byte| u64::from(*byte == 0))
                    .sum::<u64>();
            }
        }
    }
}
