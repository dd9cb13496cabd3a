//! Hosts up, down, and which of them run.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::error::{Context as _, Error};
use super::{Host, MAX_HOSTS, client, folder, parallel};
use crate::process;

/// What runs as the first process of a host.
const INIT: &str = include_str!("init.sh");

/// Below the range that the kernel gives to outgoing connections.
const PORTS: Range<u16> = 20_000..32_000;

/// How long a host may take to answer; all start at once, on a loaded machine.
const START: Duration = Duration::from_mins(1);

/// How long a killed host may take to go.
const STOP: Duration = Duration::from_secs(20);

/// Programs that a start needs, with the package of each.
const PROGRAMS: [(&str, &str); 8] = [
    ("/usr/sbin/sshd", "openssh-server"),
    ("/usr/bin/ssh", "openssh-client"),
    ("/usr/bin/sudo", "sudo"),
    ("/usr/bin/crontab", "cron"),
    ("/usr/bin/pkill", "procps"),
    ("/usr/bin/unshare", "util-linux"),
    ("/usr/bin/hostname", "hostname"),
    ("/usr/sbin/useradd", "passwd"),
];

/// Gives the name and value of the variable that marks a unit's processes.
type Marker<'a> = &'a dyn Fn(&str) -> (String, String);

/// What `DIR/state.json` says about the last [`up`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) port: u16,
    pub(super) count: usize,
}

/// Brings up exactly `count` hosts (1 to [`MAX_HOSTS`]) in the folder `dir`, which
/// is made when missing, and returns them in order when every sshd answers.
///
/// Hosts that run are left alone, missing ones are started with the files they had,
/// those beyond `count` are stopped (their files stay). `marker` gives, for a unit
/// such as `hosts/stat1008`, the environment variable that its processes are found
/// by. `progress` is told what goes on, in whole lines. The hosts go on running
/// when the caller ends; after an error those started here are stopped again.
pub fn up(
    dir: &Path,
    count: usize,
    marker: &dyn Fn(&str) -> (String, String),
    progress: &dyn Fn(&str),
) -> Result<Vec<Host>, Error> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    if !(1..=MAX_HOSTS).contains(&count) {
        return Err(Error::Count(count));
    }
    if let Some(&(program, package)) = PROGRAMS
        .iter()
        .find(|(program, _)| !Path::new(program).exists())
    {
        return Err(Error::Missing { program, package });
    }
    fs::create_dir_all(dir).context("make folder", dir)?;
    let dir = &fs::canonicalize(dir).context("resolve", dir)?;
    let lock = &lock(dir)?;

    let ops_public_key = client::ops_public_key(dir, lock)?;
    let recorded = state(dir)?.map(|state| state.port);
    let surplus = Host::first(dir, MAX_HOSTS, 0).split_off(count);
    stop(&surplus, marker)?;

    let known = Host::first(dir, count, recorded.unwrap_or(0));
    let (alive, mut missing): (Vec<_>, Vec<_>) = known
        .into_iter()
        .partition(|host| recorded.is_some() && is_marked(host, marker) && answers(host));
    // Marked and silent: cut off in its start, or broken.
    stop(&missing, marker)?;
    let mut reservation = recorded.and_then(|port| hold(&missing, port));
    if reservation.is_none() {
        // The first time, or someone else took the port: all move to another one.
        stop(&alive, marker)?;
        missing = Host::first(dir, count, 0);
        reservation = hold_any(dir, &missing);
    }
    let reservation = reservation.ok_or(Error::NoPort {
        first: PORTS.start,
        last: PORTS.end - 1,
        hosts: count,
    })?;
    let port = reservation.port;
    for host in &mut missing {
        host.port = port;
    }
    let state = State { port, count };
    client::replace(
        &dir.join("state.json"),
        &serde_json::json!(state).to_string(),
    )?;

    let hosts = Host::first(dir, count, port);
    if !missing.is_empty() {
        progress(&format!(
            "starting {} of {count} hosts on port {port}",
            missing.len()
        ));
        parallel::each(&missing, |host| folder::make(host, &ops_public_key, lock))?;
        client::replace(&dir.join("init.sh"), INIT)?;
        drop(reservation);
        if let Err(error) = start(dir, &missing, marker) {
            // The first error tells more than a second one would.
            let _ = stop(&missing, marker);
            return Err(error);
        }
    }
    client::write(dir, &hosts)?;
    Ok(hosts)
}

/// Stops every host of the folder `dir`; returns when none of their processes is
/// left, and with these their mounts. Their files stay. `marker` as for [`up`].
pub fn down(dir: &Path, marker: &dyn Fn(&str) -> (String, String)) -> Result<(), Error> {
    if !dir.exists() {
        return Ok(());
    }
    let _lock = lock(dir)?;
    stop(&Host::first(dir, MAX_HOSTS, 0), marker)
}

/// The hosts of the last [`up`] in `dir` whose processes are there, in order; none
/// when there was no `up`. `marker` as for [`up`].
pub fn running(dir: &Path, marker: &dyn Fn(&str) -> (String, String)) -> Vec<Host> {
    let mut hosts = last_up(dir).unwrap_or_default();
    hosts.retain(|host| is_marked(host, marker));
    hosts
}

/// The hosts of the last [`up`], running or not.
pub(super) fn last_up(dir: &Path) -> Result<Vec<Host>, Error> {
    let state = state(dir)?.ok_or_else(|| Error::NeverUp {
        path: dir.to_owned(),
    })?;
    let dir = fs::canonicalize(dir).context("resolve", dir)?;
    Ok(Host::first(&dir, state.count.min(MAX_HOSTS), state.port))
}

fn state(dir: &Path) -> Result<Option<State>, Error> {
    let path = dir.join("state.json");
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|source| Error::State { path, source }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("read", path),
    }
}

/// Held while one caller changes the hosts. The kernel drops it with the caller and
/// those of its children that were given it as their standard input.
fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let file = File::create(&path).context("write", &path)?;
    file.lock().context("lock", path)?;
    Ok(file)
}

fn is_marked(host: &Host, marker: Marker<'_>) -> bool {
    let (name, value) = marker(&host.unit());
    !process::marked(&name, &value).is_empty()
}

/// Whether an sshd sends its banner.
fn answers(host: &Host) -> bool {
    let banner = || -> std::io::Result<[u8; 4]> {
        let mut stream =
            TcpStream::connect_timeout(&SocketAddr::V4(host.socket()), Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut start = [0; 4];
        stream.read_exact(&mut start)?;
        Ok(start)
    };
    banner().is_ok_and(|start| &start == b"SSH-")
}

/// A port that is kept free on every address until this is dropped.
struct Reservation {
    port: u16,
    _listeners: Vec<TcpListener>,
}

/// This port, when it is free for all `hosts`.
fn hold(hosts: &[Host], port: u16) -> Option<Reservation> {
    let listeners = hosts
        .iter()
        .map(|host| TcpListener::bind((host.address, port)));
    Some(Reservation {
        port,
        _listeners: listeners.collect::<Result<_, _>>().ok()?,
    })
}

/// Any port that is free for all `hosts`. Two sandboxes that choose at the same time
/// hardly meet: each begins at a place of its own and holds its choice until its
/// hosts start.
fn hold_any(dir: &Path, hosts: &[Host]) -> Option<Reservation> {
    let mut hasher = DefaultHasher::new();
    dir.hash(&mut hasher);
    let offset = u16::try_from(hasher.finish() % u64::from(PORTS.end - PORTS.start)).ok()?;
    let (begin, end) = (PORTS.start + offset, PORTS.end);
    (begin..end)
        .chain(PORTS.start..begin)
        .find_map(|port| hold(hosts, port))
}

/// Starts the hosts, all at once, and waits until each answers.
fn start(dir: &Path, hosts: &[Host], marker: Marker<'_>) -> Result<(), Error> {
    let mut starting = Vec::new();
    for host in hosts {
        starting.push((host, spawn(dir, host, &marker(&host.unit()))?));
    }
    let deadline = Instant::now() + START;
    for (host, child) in &mut starting {
        while !answers(host) {
            let ended = child
                .try_wait()
                .context("wait for", host.folder())?
                .is_some();
            if ended {
                return Err(Error::Died {
                    host: host.name.clone(),
                    log: log_end(&host.log()),
                });
            }
            if Instant::now() > deadline {
                return Err(Error::Silent {
                    host: host.name.clone(),
                    address: host.socket(),
                    seconds: START.as_secs(),
                    log: log_end(&host.log()),
                });
            }
            sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

/// Starts one host, as a daemon.
fn spawn(dir: &Path, host: &Host, mark: &(String, String)) -> Result<Child, Error> {
    process::start("unshare", mark, &host.log(), |command| {
        command
            .args(["--mount", "--uts", "--pid", "--fork", "--kill-child"])
            .args(["--propagation", "private", "--", "/bin/sh"])
            .arg(dir.join("init.sh"))
            .arg(host.folder())
            .arg(host.short())
            .args([host.address.to_string(), host.port.to_string()])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/");
    })
    .map_err(|source| Error::Run {
        program: "unshare",
        object: host.name.clone(),
        source,
    })
}

/// The last lines of a log, on one line.
fn log_end(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("; ")
}

/// Kills the hosts' processes and waits until none is left.
fn stop(hosts: &[Host], marker: Marker<'_>) -> Result<(), Error> {
    let own = PidNamespace::open("self", "pid").map(|own| own.inode);
    let mut namespaces = Vec::new();
    let deadline = Instant::now() + STOP;
    loop {
        let mut left = Vec::new();
        for host in hosts {
            let (name, value) = marker(&host.unit());
            let pids = process::marked(&name, &value);
            left.extend(pids.into_iter().map(|pid| (host, pid)));
        }
        for (_, pid) in &left {
            let inner = PidNamespace::open(&pid.to_string(), "pid_for_children");
            namespaces.extend(inner.filter(|inner| Some(inner.inode) != own));
        }
        let inside = members(&namespaces);
        if left.is_empty() && inside.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let host = left
                .first()
                .map_or_else(String::new, |(host, _)| host.name.clone());
            return Err(Error::Unkillable { host });
        }
        // `unshare` ends by itself once it has reaped its host; killed first, it would
        // leave that to the machine's first process, which in a container may not.
        let victims = if inside.is_empty() {
            left.into_iter().map(|(_, pid)| pid).collect()
        } else {
            inside
        };
        for pid in victims {
            // Gone already is as good.
            let _ = kill_process(pid, Signal::KILL);
        }
        sleep(Duration::from_millis(5));
    }
}

/// A PID namespace, held open: the kernel gives the number of one that is gone to the
/// next one made, which may be another sandbox's host.
struct PidNamespace {
    inode: u64,
    _open: File,
}

impl PidNamespace {
    fn open(pid: &str, link: &str) -> Option<Self> {
        let open = File::open(format!("/proc/{pid}/ns/{link}")).ok()?;
        Some(Self {
            inode: open.metadata().ok()?.ino(),
            _open: open,
        })
    }
}

/// The living processes in these namespaces.
fn members(namespaces: &[PidNamespace]) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| {
            let inode = fs::metadata(format!("/proc/{pid}/ns/pid")).map(|link| link.ino());
            inode.is_ok_and(|inode| namespaces.iter().any(|inner| inner.inode == inode))
                && !is_zombie(*pid)
        })
        .collect()
}

fn is_zombie(pid: Pid) -> bool {
    // The state follows the name, which is in parentheses and may hold some: proc(5).
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('Z'))
    })
}
