//! Changes of hosts. Everything that runs there is one of the fixed scripts beside this
//! file, with its arguments quoted by the fleet's one quoting function.

mod collect;
pub mod places;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::World;
use super::guard::UserName;
use crate::engine::render::bytes as humane;
use crate::engine::{Cx, Failure, State};
use crate::services::fleet::{Command, Deadlines, Exit, Fleet, HostName};
use collect::collect;
use places::{Kept, Kind, Places};

/// How long a look or a removal may take; a home of ten million files needs minutes.
const DEADLINE: Duration = Duration::from_mins(30);
/// How long a stream may say nothing (`find` may have to pass over much before it prints),
/// and how long it may take in all.
const DEADLINES: Deadlines = Deadlines {
    idle: Duration::from_mins(5),
    total: Duration::from_hours(24),
};

/// In what form a host's places are put on record before they are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// All of it, as a compressed tar archive.
    Tarball,
    /// Names, owners, modes, sizes and times only.
    Listing,
}

/// One change of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Ends the user's processes, and forbids services without a login.
    Stop {
        /// The host.
        host: String,
        /// The user.
        user: UserName,
        /// The user's uid there.
        uid: u32,
        /// How many processes there were, for people.
        processes: usize,
    },
    /// Streams the user's places into HDFS, and proves that they are whole there.
    Collect {
        /// The host.
        host: String,
        /// The user.
        user: UserName,
        /// In what form.
        content: Content,
        /// The places as they were found.
        was: Kept,
        /// Names at the top of a home that are left out.
        leave_out: Vec<String>,
        /// The HDFS folder of the tarball and its proof.
        folder: String,
        /// Their name there, without its ending: the host's, or with a run's number.
        name: String,
    },
    /// Removes the user's places.
    Remove {
        /// The host.
        host: String,
        /// The user.
        user: UserName,
        /// The places as they were found.
        was: Kept,
        /// The proof in HDFS that they were collected.
        proof: String,
    },
}

/// What `HOST.json` in the archive says: the tarball beside it is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Proof {
    /// The tarball's or listing's name, in the same folder.
    file: String,
    /// Its form.
    content: Content,
    /// Its length in bytes.
    bytes: u64,
    /// Its SHA-256, read back from HDFS.
    sha256: String,
    /// How many entries it has; as many as the host has files, folders and links.
    entries: u64,
    /// What it is about.
    was: Kept,
}

/// Looks at what `user` has on `host`.
pub async fn look(
    fleet: &Fleet,
    host: &HostName,
    user: &UserName,
    homes: &[String],
    archives: &str,
    secrets: &[String],
    cx: &Cx,
) -> Result<Places, Failure> {
    let arguments = [user.as_str(), archives]
        .into_iter()
        .chain(homes.iter().map(String::as_str))
        .chain(["--"])
        .chain(secrets.iter().map(String::as_str));
    let output = run(fleet, host, include_str!("look.sh"), arguments, cx).await?;
    places::parse(user, &output).map_err(|error| {
        Failure::new(
            error,
            format!("look at {host} by hand: its shell or its tools are not what is expected"),
        )
    })
}

/// Runs one of the scripts as root; gives what it printed.
async fn run<'a>(
    fleet: &Fleet,
    host: &HostName,
    script: &'static str,
    arguments: impl Iterator<Item = &'a str>,
    cx: &Cx,
) -> Result<Vec<u8>, Failure> {
    let command = command(script, arguments);
    let output = fleet.run(host, &command, DEADLINE, cx.cancel()).await?;
    if output.success() {
        Ok(output.stdout)
    } else {
        Err(said(host, &output.exit, &output.stderr))
    }
}

fn command<'a>(script: &'static str, arguments: impl Iterator<Item = &'a str>) -> Command {
    // bash for pipefail and arrays; every Debian has it.
    let shell = ["bash", "-c", script, "opsweek"];
    Command::new(shell.into_iter().chain(arguments)).sudo("root")
}

/// What a script said when it failed: its last lines, as they come from anywhere.
fn said(host: &HostName, exit: &Exit, stderr: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    let mut words: Vec<String> = lines
        .into_iter()
        .rev()
        .map(crate::engine::render::clean)
        .collect();
    words.insert(
        0,
        match exit {
            Exit::Status(status) => format!("{host}: status {status}"),
            Exit::Signal(signal) => format!("{host}: ended by signal {signal}"),
        },
    );
    Failure::new(words.join(": "), None)
}

/// `find`'s arguments for everything under the places but what is left out; sockets cannot
/// be archived.
fn find(was: &Kept, leave_out: &[String]) -> Vec<String> {
    let relative = |path: &str| path.trim_start_matches('/').to_owned();
    let mut arguments: Vec<String> = was.paths().into_iter().map(relative).collect();
    arguments.push("-xdev".to_owned());
    let mut tests = Vec::new();
    for home in was.homes.iter().filter(|home| home.kind == Kind::Folder) {
        for name in leave_out {
            // Only the home's own entries: a name has no slash, and `*` is kept from
            // crossing one.
            tests.push(vec![
                "-path".to_owned(),
                format!("{}/{name}", relative(&home.path)),
                "-not".to_owned(),
                "-path".to_owned(),
                format!("{}/*/*", relative(&home.path)),
            ]);
        }
    }
    if !tests.is_empty() {
        arguments.push("(".to_owned());
        arguments.extend(tests.join(&"-o".to_owned()));
        arguments.extend([")", "-prune", "-o"].map(str::to_owned));
    }
    arguments.extend(["-not", "-type", "s"].map(str::to_owned));
    arguments
}

impl Action {
    fn host(&self) -> &str {
        match self {
            Self::Stop { host, .. } | Self::Collect { host, .. } | Self::Remove { host, .. } => {
                host
            }
        }
    }

    pub(super) async fn observe(&self, world: &World, cx: &Cx) -> Result<State, Failure> {
        let fleet = world.fleet()?;
        let host = HostName::parse(self.host())?;
        match self {
            Self::Stop { user, uid, .. } => {
                let now = self.places(world, fleet, &host, user, cx).await?;
                Ok(if now.owner().is_some_and(|owner| owner != *uid) {
                    State::Drifted(format!("{user} is no longer uid {uid}"))
                } else if now.processes.is_empty() && !now.linger {
                    State::Done
                } else {
                    State::Pending
                })
            }
            Self::Collect {
                was,
                folder,
                user,
                name,
                ..
            } => {
                let path = format!("{folder}/{name}.json");
                if proof(world, &path).await?.is_some() {
                    return Ok(State::Done);
                }
                if world.hdfs()?.stat(folder).await?.is_none() {
                    return Ok(State::Waiting(folder.clone()));
                }
                let now = self.places(world, fleet, &host, user, cx).await?;
                Ok(compare(was, &now))
            }
            Self::Remove {
                was,
                user,
                proof: path,
                ..
            } => {
                let now = self.places(world, fleet, &host, user, cx).await?;
                if now.kept.is_empty() && now.tombs.is_empty() {
                    return Ok(State::Done);
                }
                if proof(world, path).await?.is_none() {
                    return Ok(State::Waiting(path.clone()));
                }
                Ok(compare_removal(was, &now))
            }
        }
    }

    async fn places(
        &self,
        world: &World,
        fleet: &Fleet,
        host: &HostName,
        user: &UserName,
        cx: &Cx,
    ) -> Result<Places, Failure> {
        let roots = &world.guard.host_roots;
        // The guard's roots end with those of archives and of crontabs.
        let (homes, rest) = roots.split_at(roots.len().saturating_sub(2));
        let archives = rest.first().map(String::as_str).unwrap_or_default();
        look(fleet, host, user, homes, archives, &[], cx).await
    }

    pub(super) async fn apply(&self, world: &World, cx: &Cx) -> Result<Value, Failure> {
        let fleet = world.fleet()?;
        let host = HostName::parse(self.host())?;
        match self {
            Self::Stop { user, uid, .. } => {
                world.guard.account(user)?;
                world.guard.uid(user, *uid)?;
                let uid = uid.to_string();
                let arguments = [user.as_str(), &uid].into_iter();
                run(fleet, &host, include_str!("stop.sh"), arguments, cx).await?;
                Ok(Value::Null)
            }
            Self::Collect {
                content,
                was,
                leave_out,
                folder,
                name,
                ..
            } => {
                world.guard.hdfs(folder)?;
                let to = (folder.as_str(), name.as_str());
                collect(world, fleet, &host, *content, was, leave_out, to, cx).await
            }
            Self::Remove {
                user,
                was,
                proof: path,
                ..
            } => {
                world.guard.account(user)?;
                for place in was.paths() {
                    world.guard.host_path(place, user)?;
                }
                if let Some(home) = was.foreign(user, world.guard.min_uid) {
                    let why = format!("{} belongs to {} ({})", home.path, home.owner, home.uid);
                    return Err(Failure::drifted(why));
                }
                check_proof(world, path, was).await?;
                let mut arguments = vec![user.to_string()];
                let mut add = |kind: &str, id: (u64, u64), path: &str| {
                    arguments.extend([
                        kind.to_owned(),
                        id.0.to_string(),
                        id.1.to_string(),
                        path.to_owned(),
                    ]);
                };
                for home in &was.homes {
                    let kind = match home.kind {
                        Kind::Folder => "folder",
                        Kind::Link(_) | Kind::File => "single",
                    };
                    add(kind, home.id, &home.path);
                }
                for file in &was.archives {
                    add("single", file.id, &file.path);
                }
                if let Some(file) = &was.crontab {
                    add("crontab", file.id, &file.path);
                }
                let arguments = arguments.iter().map(String::as_str);
                run(fleet, &host, include_str!("remove.sh"), arguments, cx).await?;
                Ok(Value::Null)
            }
        }
    }

    pub(super) fn summary(&self) -> String {
        match self {
            Self::Stop {
                host,
                user,
                processes,
                ..
            } => format!("end {processes} processes of {user} on {host}, and lingering services"),
            Self::Collect {
                host,
                content,
                was,
                folder,
                ..
            } => {
                let (files, bytes) = was.size();
                let form = match content {
                    Content::Tarball => "stream",
                    Content::Listing => "list",
                };
                format!(
                    "{form} {} of {host} ({files} files, {}) to {folder}",
                    was.paths().join(", "),
                    humane(bytes)
                )
            }
            Self::Remove { host, was, .. } => {
                format!("remove {} on {host}", was.paths().join(", "))
            }
        }
    }

    pub(super) fn targets(&self) -> Vec<String> {
        let host = self.host();
        match self {
            Self::Stop { .. } => vec![format!("{host}:processes")],
            Self::Collect { folder, name, .. } => vec![format!("hdfs:{folder}/{name}.json")],
            Self::Remove { was, .. } => was
                .paths()
                .iter()
                .map(|path| format!("{host}:{path}"))
                .collect(),
        }
    }

    pub(super) fn destroys(&self) -> Option<Vec<String>> {
        match self {
            Self::Remove { proof, .. } => Some(vec![proof.clone()]),
            _ => None,
        }
    }

    pub(super) fn proves(&self) -> Vec<String> {
        match self {
            Self::Collect { folder, name, .. } => vec![format!("{folder}/{name}.json")],
            _ => Vec::new(),
        }
    }

    pub(super) fn faults(&self) -> Vec<String> {
        let host = HostName::parse(self.host())
            .err()
            .map(|error| error.to_string());
        let path = match self {
            Self::Collect { folder: path, .. } | Self::Remove { proof: path, .. } => {
                super::guard::path_fault(path)
            }
            Self::Stop { .. } => None,
        };
        let named = |name: &str| name.strip_prefix(self.host()).is_some_and(is_again);
        let proof = match self {
            Self::Remove { host, proof, .. } => {
                let name = proof
                    .rsplit('/')
                    .next()
                    .and_then(|name| name.strip_suffix(".json"));
                (!name.is_some_and(named)).then(|| format!("{proof} is not a proof about {host}"))
            }
            Self::Collect { name, .. } => (!named(name)).then(|| format!("{name:?} is no name")),
            Self::Stop { .. } => None,
        };
        [host, path, proof].into_iter().flatten().collect()
    }
}

/// What follows a host's name in that of its tarball: nothing, or a run's number.
fn is_again(rest: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    rest.is_empty() || rest.strip_prefix('-').is_some_and(digits)
}

/// Whether the places are what was planned on.
fn compare(was: &Kept, now: &Places) -> State {
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
fn compare_removal(was: &Kept, now: &Places) -> State {
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
async fn proof(world: &World, path: &str) -> Result<Option<Proof>, Failure> {
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
async fn check_proof(world: &World, path: &str, was: &Kept) -> Result<(), Failure> {
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
        Some(status) if status.len == proof.bytes => Ok(()),
        _ => Err(Failure::drifted(format!("{file} is not what {path} says"))),
    }
}
