//! What a step on a host was planned on, compared with what is there; and the proof that a
//! host's places are whole in HDFS.

use serde::{Deserialize, Serialize};

use super::Content;
use super::places::{Kept, Places};
use crate::actions::World;
use crate::actions::restore::host::{Place, fingerprint};
use crate::engine::{Cx, Failure, State};
use crate::services::fleet::{Fleet, HostName};

/// What `HOST.json` in the archive says: the tarball beside it is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The tarball's or listing's name, in the same folder.
    pub file: String,
    /// Its form.
    pub content: Content,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256, read back from HDFS.
    pub sha256: String,
    /// How many entries it has; as many as the host has files, folders and links.
    pub entries: u64,
    /// What it is about.
    pub was: Kept,
    /// What each place was like at the end, without what was left out.
    #[serde(default)]
    pub places: Vec<Place>,
    /// Names at the top of a home that were left out.
    #[serde(default)]
    pub leave_out: Vec<String>,
}

impl Proof {
    /// Refuses to go on unless each place that is still there is, entry for entry, what was
    /// collected: the totals and the newest change of a home, which a step is planned on, miss an
    /// overwrite beside a file from the future.
    pub(super) async fn check_places(
        &self,
        fleet: &Fleet,
        host: &HostName,
        cx: &Cx,
    ) -> Result<(), Failure> {
        for path in self.was.paths() {
            let place = self.places.iter().find(|place| place.path == path);
            let home = self.was.folders().contains(&path);
            let now = fingerprint(fleet, host, path, home, &self.leave_out, cx).await?;
            if now.is_some() && now.as_ref() != place.map(|place| &place.fingerprint) {
                let why = format!("{host}: {path} is not what was collected of it");
                return Err(Failure::drifted(why));
            }
        }
        Ok(())
    }
}

/// Whether the places are what was planned on.
pub(super) fn compare(was: &Kept, now: &Places) -> State {
    if let Some(mount) = now.mounts.first() {
        return State::Drifted(format!("{mount} is mounted in a home"));
    }
    if let Some((tomb, _)) = now.tombs.first() {
        return State::Drifted(format!("the removal of {tomb} was begun"));
    }
    if now.kept == *was {
        State::Pending
    } else {
        State::Drifted(difference(was, &now.kept))
    }
}

/// The same for a removal, of which a part may be done.
pub(super) fn compare_removal(was: &Kept, now: &Places) -> State {
    if let Some(mount) = now.mounts.first() {
        return State::Drifted(format!("{mount} is mounted in a home"));
    }
    let known_tomb = |(path, id): &(String, (u64, u64))| {
        let folder = path.rsplit_once('/').map(|(folder, _)| folder);
        was.homes.iter().any(|home| {
            home.id == *id && home.path.rsplit_once('/').map(|(folder, _)| folder) == folder
        })
    };
    if let Some((path, _)) = now.tombs.iter().find(|tomb| !known_tomb(tomb)) {
        return State::Drifted(format!("{path} is not what was to be removed"));
    }
    let rest = &now.kept;
    let part = rest.homes.iter().all(|home| was.homes.contains(home))
        && rest.archives.iter().all(|file| was.archives.contains(file))
        && rest
            .crontab
            .iter()
            .all(|file| was.crontab.as_ref() == Some(file));
    if part {
        State::Pending
    } else {
        State::Drifted(difference(was, rest))
    }
}

fn difference(was: &Kept, now: &Kept) -> String {
    let changed = |path: &str| format!("{path} is not what it was when the plan was made");
    let homes = now.homes.iter().find(|home| !was.homes.contains(home));
    let files = now.archives.iter().chain(&now.crontab);
    let mut known = was.archives.iter().chain(&was.crontab);
    if let Some(home) = homes {
        return changed(&home.path);
    }
    if let Some(file) = files.clone().find(|file| !known.any(|one| one == *file)) {
        return changed(&file.path);
    }
    let now = now.paths();
    was.paths()
        .into_iter()
        .find(|path| !now.contains(path))
        .map_or_else(
            || "something has changed".to_owned(),
            |path| format!("{path} is gone"),
        )
}

/// The proof at `path`, if there is one.
pub async fn proof(world: &World, path: &str) -> Result<Option<Proof>, Failure> {
    let hdfs = world.hdfs()?;
    if hdfs.stat(path).await?.is_none() {
        return Ok(None);
    }
    let text = hdfs.read_all(path, 16 << 20).await?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| Failure::new(error, format!("{path} is not a proof; look at it")))
}

/// Refuses to go on unless the proof is about exactly these places, and what it vouches for
/// still has its length.
pub(super) async fn check_proof(world: &World, path: &str, was: &Kept) -> Result<Proof, Failure> {
    let Some(proof) = proof(world, path).await? else {
        return Err(Failure::drifted(format!("the proof {path} is gone")));
    };
    if proof.was != *was {
        return Err(Failure::drifted(format!("{path} proves something else")));
    }
    let folder = path
        .rsplit_once('/')
        .map(|(folder, _)| folder)
        .unwrap_or_default();
    if proof.file.contains('/') {
        return Err(Failure::drifted(format!("{path} names a file elsewhere")));
    }
    let file = format!("{folder}/{}", proof.file);
    match world.hdfs()?.stat(&file).await? {
        Some(status) if status.len == proof.bytes => Ok(proof),
        _ => Err(Failure::drifted(format!("{file} is not what {path} says"))),
    }
}
