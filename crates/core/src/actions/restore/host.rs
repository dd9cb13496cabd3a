//! A host's places, streamed back out of an archive's tarball.

use std::io::{self, Write};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::super::guard::UserName;
use super::super::host::{DEADLINES, command, find, run, said};
use super::super::{Artefact, World};
use super::records::Chunks;
use super::tarball::{self, filter};
use crate::engine::{Cx, Failure, State};
use crate::services::fleet::{Fleet, HostName};

/// How many compressed bytes are put together before they are sent.
const CHUNK: usize = 256 << 10;

/// One place that a tarball has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Its path.
    pub path: String,
    /// Whether it is a home, in which some names are nobody's business.
    pub home: bool,
    /// What `fingerprint.sh` said of it when it was collected.
    pub fingerprint: String,
}

/// Unpacks a host's places beside where they were, compares them with what was collected, and
/// only then gives them their names. Nothing that is there is overwritten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The host.
    pub host: String,
    /// The user.
    pub user: UserName,
    /// The uid that the user had there; `None` where nothing of the user's own was collected.
    pub uid: Option<u32>,
    /// The places.
    pub places: Vec<Place>,
    /// What else the tarball has, and is not restored.
    pub also: Vec<String>,
    /// Names at the top of a home that were left out.
    pub leave_out: Vec<String>,
    /// The tarball in HDFS.
    pub file: Artefact,
    /// Its SHA-256.
    pub sha256: String,
    /// Its length in bytes.
    pub bytes: u64,
}

impl Restore {
    pub(in crate::actions) async fn observe(
        &self,
        world: &World,
        fleet: &Fleet,
        host: &HostName,
        cx: &Cx,
    ) -> Result<State, Failure> {
        match self.missing(fleet, host, cx).await? {
            Err(why) => Ok(State::Drifted(why)),
            Ok(missing) if missing.is_empty() => Ok(State::Done),
            Ok(_) => Ok(match self.file.find(world.hdfs()?).await? {
                Some(_) => State::Pending,
                None => State::Waiting(self.file.settled.clone()),
            }),
        }
    }

    /// The places that are not there; the inner error: something else is in one's place.
    async fn missing(
        &self,
        fleet: &Fleet,
        host: &HostName,
        cx: &Cx,
    ) -> Result<Result<Vec<&Place>, String>, Failure> {
        let mut missing = Vec::new();
        for place in &self.places {
            match fingerprint(fleet, host, &place.path, place.home, &self.leave_out, cx).await? {
                None => missing.push(place),
                Some(found) if found == place.fingerprint => {}
                Some(_) => {
                    return Ok(Err(format!(
                        "{} is in the way: it is not what the archive has",
                        place.path
                    )));
                }
            }
        }
        Ok(Ok(missing))
    }

    pub(in crate::actions) async fn apply(
        &self,
        world: &World,
        fleet: &Fleet,
        host: &HostName,
        cx: &Cx,
    ) -> Result<Value, Failure> {
        world.guard.account(&self.user)?;
        if let Some(uid) = self.uid {
            world.guard.uid(&self.user, uid)?;
        }
        for place in &self.places {
            world.guard.host_path(&place.path, &self.user)?;
        }
        let missing = match self.missing(fleet, host, cx).await? {
            Ok(missing) => missing,
            Err(why) => return Err(Failure::drifted(why)),
        };
        let relative: Vec<&str> = missing.iter().map(|place| relative(&place.path)).collect();
        let unpacked = unpack(self, world, fleet, host, &relative, cx).await;
        let checked = match unpacked {
            Ok(entries) => self
                .check(fleet, host, &missing, cx)
                .await
                .map(|()| entries),
            Err(failure) => Err(failure),
        };
        match checked {
            Ok(entries) => {
                let settle = include_str!("../host/settle.sh");
                run(fleet, host, settle, relative.into_iter(), cx).await?;
                Ok(json!({ "entries": entries }))
            }
            Err(failure) => {
                let discard = include_str!("../host/discard.sh");
                // The first failure is the one to tell; the next run replaces what stays.
                let _ = run(fleet, host, discard, relative.into_iter(), cx).await;
                Err(failure)
            }
        }
    }

    /// Compares what was unpacked with what was collected.
    async fn check(
        &self,
        fleet: &Fleet,
        host: &HostName,
        missing: &[&Place],
        cx: &Cx,
    ) -> Result<(), Failure> {
        for place in missing {
            let stage = stage(&place.path);
            let found = fingerprint(fleet, host, &stage, place.home, &self.leave_out, cx).await?;
            if found.as_ref() != Some(&place.fingerprint) {
                return Err(Failure::new(
                    format!(
                        "{host}: what was unpacked of {} is not what was collected",
                        place.path
                    ),
                    "nothing was put in its place; is the file system full, or without ACLs?"
                        .to_owned(),
                ));
            }
        }
        Ok(())
    }

    pub(in crate::actions) fn summary(&self) -> String {
        let paths: Vec<&str> = self
            .places
            .iter()
            .map(|place| place.path.as_str())
            .collect();
        format!(
            "stream {} ({}) back to {} of {}",
            self.file.settled,
            crate::engine::render::bytes(self.bytes),
            paths.join(", "),
            self.host
        )
    }

    pub(in crate::actions) fn targets(&self) -> Vec<String> {
        let places = self.places.iter();
        places
            .map(|place| format!("{}:{}", self.host, place.path))
            .collect()
    }

    pub(in crate::actions) fn faults(&self) -> Vec<String> {
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let (staged, settled) = (name(&self.file.staged), name(&self.file.settled));
        let about = settled.strip_prefix(&self.host).is_some_and(|rest| {
            let number = rest.strip_suffix(".tar.zst");
            number.is_some_and(super::super::host::is_again)
        });
        let mut faults = Vec::new();
        if staged != settled || !about {
            faults.push(format!("{settled:?} is no tarball of {}", self.host));
        }
        let places = self.places.iter().map(|place| &place.path);
        for path in places.chain(&self.also) {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
            if !path.starts_with('/') || !path.chars().all(plain) {
                faults.push(format!("{path:?} is no place"));
            }
        }
        faults
    }
}

/// Streams the wanted places' entries to the host; gives how many there were.
async fn unpack(
    action: &Restore,
    world: &World,
    fleet: &Fleet,
    host: &HostName,
    wanted: &[&str],
    cx: &Cx,
) -> Result<u64, Failure> {
    let hdfs = world.hdfs()?;
    let Some(path) = action.file.find(hdfs).await? else {
        return Err(Failure::drifted(format!("{} is gone", action.file.settled)));
    };
    let places: Vec<tarball::Place> = action
        .places
        .iter()
        .map(|place| (place.path.as_str(), true))
        .chain(action.also.iter().map(|path| (path.as_str(), false)))
        .map(|(path, there)| tarball::Place {
            path: relative(path).as_bytes().to_vec(),
            wanted: wanted.contains(&relative(path)),
            there,
        })
        .collect();
    let (from_hdfs, compressed) = mpsc::channel::<Bytes>(4);
    let (to_host, source) = mpsc::channel::<Bytes>(4);
    let min_uid = u64::from(world.guard.min_uid);
    let filtered = tokio::task::spawn_blocking(move || {
        let tarball = zstd::stream::read::Decoder::new(Chunks::new(compressed))?;
        let sink = Sink {
            sender: to_host,
            chunk: Vec::new(),
        };
        let mut out = zstd::stream::write::Encoder::new(sink, 3)?;
        let copied = filter(tarball, &mut out, &places, min_uid)?;
        out.finish()?.flush()?;
        Ok::<u64, tarball::Refused>(copied)
    });
    let pump = async {
        let (mut bytes, mut hash) = (0_u64, Sha256::new());
        let mut chunks = std::pin::pin!(hdfs.read(path).await?);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            bytes += chunk.len() as u64;
            hash.update(&chunk);
            cx.progress(bytes, Some(action.bytes), "bytes");
            // A filter that refuses the rest says so itaction.
            if from_hdfs.send(chunk).await.is_err() {
                break;
            }
        }
        drop(from_hdfs);
        Ok::<String, Failure>(HEXLOWER.encode(&hash.finalize()))
    };
    let uid = action.uid.map(|uid| uid.to_string()).unwrap_or_default();
    let arguments = [action.user.as_str(), &uid].into_iter();
    let extract = command(
        include_str!("../host/extract.sh"),
        arguments.chain(wanted.iter().copied()),
    );
    // An end that comes early leaves a compressed stream without its end: the host refuses
    // it, and nothing has got its name yet.
    let upload = fleet.upload(host, &extract, DEADLINES, source, cx.cancel());
    let (pumped, filtered, uploaded) = tokio::join!(pump, filtered, upload);
    let uploaded = uploaded.map_err(Failure::from).and_then(|finished| {
        if finished.exit.success() {
            Ok(())
        } else {
            Err(said(host, &finished.exit, &finished.stderr))
        }
    });
    let filtered = filtered.map_err(|error| Failure::new(error, None))?;
    let stopped = |error: &tarball::Refused| matches!(error, tarball::Refused::Io(error) if error.kind() == io::ErrorKind::BrokenPipe);
    let hash = pumped?;
    match (filtered, uploaded) {
        // A host that stops early ends the filter; else the filter's no is the cause.
        (Err(error), _) if !stopped(&error) => {
            let hint = format!("look at {path}; nothing of it was put in its place on {host}");
            Err(Failure::new(error, hint))
        }
        (_, Err(failure)) => Err(failure),
        (Err(error), Ok(())) => Err(Failure::new(error, None)),
        (Ok(_), Ok(())) if hash != action.sha256 => Err(Failure::drifted(format!(
            "{path} is not the one that was proven whole"
        ))),
        (Ok(copied), Ok(())) => Ok(copied),
    }
}

/// Bytes on their way to the host, in chunks.
struct Sink {
    sender: mpsc::Sender<Bytes>,
    chunk: Vec<u8>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = std::mem::take(&mut self.chunk);
        self.sender
            .blocking_send(chunk.into())
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// Where `extract.sh` unpacks a place.
fn stage(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or_default();
    format!("{folder}/.{name}.opsweek-restoring")
}

/// What is at `path` on the host, in one word; `None` when nothing is.
pub(crate) async fn fingerprint(
    fleet: &Fleet,
    host: &HostName,
    path: &str,
    home: bool,
    leave_out: &[String],
    cx: &Cx,
) -> Result<Option<String>, Failure> {
    let homes: &[&str] = if home { &[path] } else { &[] };
    let arguments = find(&[path], homes, leave_out);
    let script = include_str!("../host/fingerprint.sh");
    let printed = run(
        fleet,
        host,
        script,
        arguments.iter().map(String::as_str),
        cx,
    )
    .await?;
    let word = String::from_utf8_lossy(&printed).trim().to_owned();
    match word.len() {
        0 => Ok(None),
        64 if word.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(Some(word)),
        _ => Err(Failure::new(
            format!("{host} gave no digest of {path}"),
            format!("look at {host} by hand: its shell or its tools are not what is expected"),
        )),
    }
}

/// Lets the user's services run without a login, as before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linger {
    /// The host.
    pub host: String,
    /// The user.
    pub user: UserName,
}
