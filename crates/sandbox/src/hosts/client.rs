//! What an ssh client needs: key, `ssh_config`, `known_hosts`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{Context as _, Error};
use super::folder::{file, keygen};
use super::{Host, OPS};

/// The real ssh client set to log in to `host` (either name) as `ops`; arguments
/// added to it are the remote command, which ssh joins with spaces. `dir` is the
/// folder given to [`super::up`].
pub fn ssh_command(dir: &Path, host: &str) -> Command {
    let mut command = Command::new("ssh");
    // After `--` neither the host nor the remote command is read as an option.
    command.arg("-F").arg(config_path(dir)).arg("--").arg(host);
    command
}

fn config_path(dir: &Path) -> PathBuf {
    dir.join("ssh_config")
}

fn key_path(dir: &Path) -> PathBuf {
    dir.join("ops_ed25519")
}

/// The public key of `ops`, made with its private key at the first call.
pub(super) fn ops_public_key(dir: &Path, lock: &File) -> Result<String, Error> {
    let key = key_path(dir);
    let public = key.with_extension("pub");
    if !key.exists() {
        let half = dir.join("ops_ed25519.half");
        let half_public = dir.join("ops_ed25519.half.pub");
        for path in [&half, &half_public] {
            if path.exists() {
                fs::remove_file(path).context("remove", path)?;
            }
        }
        keygen(&half, OPS, lock)?;
        // The private key last: where it is, the pair is whole.
        fs::rename(&half_public, &public).context("rename", half_public)?;
        fs::rename(&half, &key).context("rename", half)?;
    }
    fs::read_to_string(&public).context("read", public)
}

/// Writes `ssh_config` and `known_hosts` for exactly these hosts. `dir` is absolute.
pub(super) fn write(dir: &Path, hosts: &[Host]) -> Result<(), Error> {
    let mut known = String::new();
    for host in hosts {
        let path = host.folder().join("host_key.pub");
        let public = fs::read_to_string(&path).context("read", path)?;
        known.push_str(&known_hosts_line(host, &public));
    }
    replace(&dir.join("known_hosts"), &known)?;
    replace(&config_path(dir), &config(dir, hosts)?)
}

/// Readers see the old text or the new one, never a part.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), Error> {
    let half = path.with_extension("half");
    file(&half, 0o644, text)?;
    fs::rename(&half, path).context("rename", half)
}

pub(super) fn known_hosts_line(host: &Host, public_key: &str) -> String {
    let key: Vec<_> = public_key.split_whitespace().take(2).collect();
    format!("[{}]:{} {}\n", host.address, host.port, key.join(" "))
}

/// The text of `ssh_config`; needs nothing of the caller's `~/.ssh` or the machine's `/etc/ssh`.
pub(super) fn config(dir: &Path, hosts: &[Host]) -> Result<String, Error> {
    let mut text = String::new();
    for host in hosts {
        let _ = write!(
            text,
            "Host {} {}\n    HostName {}\n    Port {}\n\n",
            host.name,
            host.short(),
            host.address,
            host.port
        );
    }
    let _ = write!(
        text,
        "Host *\n    User {OPS}\n    IdentityFile {}\n    IdentitiesOnly yes\n    IdentityAgent none\n    \
         UserKnownHostsFile {}\n    GlobalKnownHostsFile /dev/null\n    StrictHostKeyChecking yes\n    \
         UpdateHostKeys no\n    BatchMode yes\n",
        quoted(&key_path(dir))?,
        quoted(&dir.join("known_hosts"))?,
    );
    Ok(text)
}

/// A path as `ssh_config` wants it: in quotes, `%` doubled. It cannot express `"`,
/// and expands `${...}` (`ssh_config(5)`, TOKENS and ENVIRONMENT VARIABLES).
fn quoted(path: &Path) -> Result<String, Error> {
    match path.to_str() {
        Some(text) if !text.contains(['"', '$', '\\']) && !text.contains(char::is_control) => {
            Ok(format!("\"{}\"", text.replace('%', "%%")))
        }
        _ => Err(Error::Folder {
            path: path.to_owned(),
        }),
    }
}
