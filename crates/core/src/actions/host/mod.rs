//! Changes of hosts. Everything that runs there is one of the fixed scripts beside this
//! file, with its arguments quoted by the fleet's one quoting function.

mod collect;
pub mod evidence;
pub mod places;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::World;
use super::guard::UserName;
use super::restore::host::{Linger, Restore};
use crate::engine::render::bytes as humane;
use crate::engine::{Cx, Failure, State};
use crate::services::fleet::{Command, Deadlines, Exit, Fleet, HostName};
use collect::collect;
use evidence::{check_proof, compare, compare_removal, proof};
use places::{Kept, Kind, Places};

/// How long a look or a removal may take; a home of ten million files needs minutes.
const DEADLINE: Duration = Duration::from_mins(30);
/// How long a stream may say nothing (`find` may have to pass over much before it prints),
/// and how long it may take in all.
pub(super) const DEADLINES: Deadlines = Deadlines {
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
    /// Streams the user's places back out of an archive.
    Restore(Restore),
    /// Lets the user's services run without a login again.
    Linger(Linger),
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
    let script = concat!(include_str!("mounted.sh"), include_str!("look.sh"));
    let output = run(fleet, host, script, arguments, cx).await?;
    places::parse(user, &output).map_err(|error| damaged(host, error))
}

/// An entry of a folder of homes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The entry's name.
    pub home: String,
    /// Its owner's number.
    pub uid: u32,
    /// Its owner's name; `None` when no account has the number.
    pub owner: Option<String>,
}

/// Looks who has something among the `homes` on `host`.
pub async fn owners(
    fleet: &Fleet,
    host: &HostName,
    homes: &[String],
    cx: &Cx,
) -> Result<Vec<Owner>, Failure> {
    let arguments = homes.iter().map(String::as_str);
    let script = concat!(include_str!("mounted.sh"), include_str!("owners.sh"));
    let output = run(fleet, host, script, arguments, cx).await?;
    places::parse_owners(&output).map_err(|error| damaged(host, error))
}

fn damaged(host: &HostName, error: places::Damaged) -> Failure {
    Failure::new(
        error,
        format!("look at {host} by hand: its shell or its tools are not what is expected"),
    )
}

/// Runs one of the scripts as root; gives what it printed.
pub(super) async fn run<'a>(
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

pub(super) fn command<'a>(
    script: &'static str,
    arguments: impl Iterator<Item = &'a str>,
) -> Command {
    // bash for pipefail and arrays; every Debian has it.
    let shell = ["bash", "-c", script, "opsweek"];
    Command::new(shell.into_iter().chain(arguments)).sudo("root")
}

/// What a script said when it failed: its last lines, as they come from anywhere.
pub(super) fn said(host: &HostName, exit: &Exit, stderr: &[u8]) -> Failure {
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

/// `find`'s arguments for everything under the places but what is left out at the top of those
/// that are homes; sockets cannot be archived, and device nodes are not to be unpacked by root.
pub(super) fn find(places: &[&str], homes: &[&str], leave_out: &[String]) -> Vec<String> {
    let relative = |path: &&str| path.trim_start_matches('/').to_owned();
    let mut arguments: Vec<String> = places.iter().map(relative).collect();
    arguments.push("-xdev".to_owned());
    let mut tests = Vec::new();
    for home in homes.iter().map(relative) {
        for name in leave_out {
            // Only the home's own entries: a name has no slash, and `*` is kept from
            // crossing one.
            tests.push(vec![
                "-path".to_owned(),
                format!("{home}/{name}"),
                "-not".to_owned(),
                "-path".to_owned(),
                format!("{home}/*/*"),
            ]);
        }
    }
    if !tests.is_empty() {
        arguments.push("(".to_owned());
        arguments.extend(tests.join(&"-o".to_owned()));
        arguments.extend([")", "-prune", "-o"].map(str::to_owned));
    }
    for kind in ["s", "b", "c"] {
        arguments.extend(["-not", "-type", kind].map(str::to_owned));
    }
    arguments
}

impl Action {
    fn host(&self) -> &str {
        match self {
            Self::Stop { host, .. } | Self::Collect { host, .. } | Self::Remove { host, .. } => {
                host
            }
            Self::Restore(Restore { host, .. }) | Self::Linger(Linger { host, .. }) => host,
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
            Self::Restore(action) => action.observe(world, fleet, &host, cx).await,
            Self::Linger(Linger { user, .. }) => {
                let now = self.places(world, fleet, &host, user, cx).await?;
                Ok(if now.linger {
                    State::Done
                } else {
                    State::Pending
                })
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
                user,
                content,
                was,
                leave_out,
                folder,
                name,
                ..
            } => {
                world.guard.account(user)?;
                for place in was.paths() {
                    world.guard.host_path(place, user)?;
                }
                world.guard.left_out(leave_out)?;
                world.guard.hdfs(folder)?;
                let to = (folder.as_str(), name.as_str());
                Box::pin(collect(
                    world, fleet, &host, *content, was, leave_out, to, cx,
                ))
                .await
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
                let proof = check_proof(world, path, was).await?;
                proof.check_places(fleet, &host, cx).await?;
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
                for file in was.archives.iter().chain(&was.crontab) {
                    add("single", file.id, &file.path);
                }
                let arguments = arguments.iter().map(String::as_str);
                run(fleet, &host, include_str!("remove.sh"), arguments, cx).await?;
                Ok(Value::Null)
            }
            Self::Restore(action) => action.apply(world, fleet, &host, cx).await,
            Self::Linger(Linger { user, .. }) => {
                world.guard.account(user)?;
                let arguments = [user.as_str()].into_iter();
                run(fleet, &host, include_str!("linger.sh"), arguments, cx).await?;
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
            Self::Restore(action) => action.summary(),
            Self::Linger(Linger { host, user }) => {
                format!("let services of {user} run without a login on {host}")
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
            Self::Restore(action) => action.targets(),
            Self::Linger(_) => vec![format!("{host}:linger")],
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
            Self::Restore(action) => super::guard::path_fault(&action.file.settled)
                .or_else(|| super::guard::path_fault(&action.file.staged)),
            Self::Stop { .. } | Self::Linger(_) => None,
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
            Self::Restore(action) => {
                return host
                    .into_iter()
                    .chain(path)
                    .chain(action.faults())
                    .collect();
            }
            Self::Stop { .. } | Self::Linger(_) => None,
        };
        [host, path, proof].into_iter().flatten().collect()
    }
}

/// What follows a host's name in that of its tarball: nothing, or a run's number.
pub(crate) fn is_again(rest: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    rest.is_empty() || rest.strip_prefix('-').is_some_and(digits)
}
