//! A leaver's traces on the hosts.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use super::error::{Context as _, Error};
use super::lifecycle::last_up;
use super::{Host, OPS_ID, client, parallel};

/// Runs on each host.
const SCRIPT: &str = include_str!("seed.sh");

/// What the hosts have of the user, from the first one on; further ones have nothing.
const PLACES: [&str; 5] = ["home", "symlink", "srv", "tarball", "linger"];

/// How much [`seed`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostSeed {
    /// Mounts a tmpfs inside the home on `stat1012`, at `mnt/scratch`.
    pub mount: bool,
    /// Further small files in the home on `stat1008`, under `many/`.
    pub files: usize,
}

/// Makes `user` a realistic leaver on the running hosts of `dir`, the folder given
/// to [`super::up`]. The account is in every host's passwd with the same UID (2001
/// and up) and in the group `analytics-privatedata-users`; the places differ:
///
/// | host | what is there |
/// |---|---|
/// | `stat1008` | `/home/USER`: nested folders; awkward names (`odd names/`: spaces, unicode, leading dashes, newlines, quotes, globs), modes 0000 to 4755, an ACL, a hard link, links into, out and nowhere, a fifo (`links/`); `.ssh/id_ed25519`, `.my.cnf`, `.netrc`, `.gnupg`; [`HostSeed::files`] under `many/` |
/// | `stat1009` | `/home/USER` is a link to `/srv/home/USER`, the real one; a crontab |
/// | `stat1010` | `/srv/home/USER` only: a set-group-id folder `shared`, a sparse file of 1 GiB `sparse.bin`, `.ssh`, `.my.cnf`, `.netrc`, `.gnupg`; a left-over process `sleep infinity` |
/// | `stat1011` | `/var/userarchive/USER.tar.gz` only |
/// | `stat1012` | `/home/USER` with a user timer in `.config/systemd/user`; a linger file; with [`HostSeed::mount`] a tmpfs on `mnt/scratch` with one file |
/// | `stat1013` and on | nothing |
///
/// With fewer hosts the later rows are missing. Everything is owned by the user and
/// dated 2024-05-01, except what lies outside homes. Seeding again replaces what
/// the user has in these places, so the result is the same. Refuses names that are
/// not a person's: UID below 1000, `ops`, `nobody`, or a form that `useradd` refuses.
pub fn seed(dir: &Path, user: &str, options: &HostSeed) -> Result<(), Error> {
    check_name(user)?;
    let hosts = last_up(dir)?;
    let mut accounts = String::new();
    for host in &hosts {
        let path = host.root.join("etc/passwd");
        accounts.push_str(&fs::read_to_string(&path).context("read", path)?);
    }
    let uid = uid(&accounts, user)?;
    let work: Vec<_> = hosts.iter().enumerate().collect();
    parallel::each(&work, |(index, host)| {
        let place = PLACES.get(*index).copied().unwrap_or("nothing");
        seed_host(dir, host, place, user, uid, options)
    })
}

fn seed_host(
    dir: &Path,
    host: &Host,
    place: &str,
    user: &str,
    uid: u32,
    options: &HostSeed,
) -> Result<(), Error> {
    let run = |source| Error::Run {
        program: "ssh",
        object: host.name.clone(),
        source,
    };
    // Every word is a checked name or a number: nothing here needs quotes.
    let mut child = client::ssh_command(dir, &host.name)
        .args(["sudo", "-n", "/bin/sh", "-s", "--", place, user])
        .args([
            uid.to_string(),
            options.files.to_string(),
            options.mount.to_string(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(run)?;
    let sent = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(SCRIPT.as_bytes()));
    let output = child.wait_with_output().map_err(run)?;
    if output.status.success() {
        return sent.map_err(run);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Failed {
        program: "ssh",
        object: host.name.clone(),
        said: said.trim().to_owned(),
    })
}

/// The names that Debian's `useradd` takes: `useradd(8)`, CAVEATS.
pub(super) fn check_name(user: &str) -> Result<(), Error> {
    let mut bytes = user.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let rest = bytes
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    if first && rest && user.len() <= 32 {
        Ok(())
    } else {
        Err(Error::User {
            user: user.to_owned(),
            why: "not lower-case letters, digits, `_`, `-`, at most 32",
        })
    }
}

/// The user's UID in these passwd lines, else the first one above those in use.
pub(super) fn uid(accounts: &str, user: &str) -> Result<u32, Error> {
    let mut next = OPS_ID + 1;
    for line in accounts.lines() {
        let fields: Vec<_> = line.split(':').collect();
        let Some(uid) = fields.get(2).and_then(|uid| uid.parse::<u32>().ok()) else {
            continue;
        };
        let person = (1000..60_000).contains(&uid) && uid != OPS_ID;
        if fields.first() == Some(&user) {
            return if person {
                Ok(uid)
            } else {
                Err(Error::User {
                    user: user.to_owned(),
                    why: "a system account",
                })
            };
        }
        if person {
            next = next.max(uid + 1);
        }
    }
    Ok(next)
}
