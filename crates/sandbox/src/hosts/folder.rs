//! A host's own folder: the root file system that it sees, and its host key.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::Command;

use super::error::{Context as _, Error};
use super::{Host, OPS, OPS_ID};

/// GID of the group in production's admin module.
const PRIVATEDATA_GID: u32 = 731;

/// Makes the folder of `host` unless it is there. It appears whole or not at all:
/// what an interrupted run left is thrown away.
pub(super) fn make(host: &Host, ops_public_key: &str, lock: &File) -> Result<(), Error> {
    let target = host.folder();
    if target.is_dir() {
        return Ok(());
    }
    let half = target.with_extension("half");
    match fs::remove_dir_all(&half) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).context("remove", half);
        }
        _ => {}
    }
    folder(&half, 0o755)?;
    build(host, &half, ops_public_key, lock)?;
    fs::rename(&half, target).context("rename", half)
}

fn build(host: &Host, half: &Path, ops_public_key: &str, lock: &File) -> Result<(), Error> {
    let root = &half.join("root");
    folder(root, 0o755)?;
    for (path, mode) in [
        ("dev", 0o755),
        ("etc", 0o755),
        ("etc/alternatives", 0o755),
        ("etc/cron.d", 0o755),
        ("etc/default", 0o755),
        ("etc/pam.d", 0o755),
        ("etc/skel", 0o755),
        ("etc/ssh", 0o755),
        ("etc/sudoers.d", 0o755),
        ("etc/systemd", 0o755),
        ("etc/systemd/system", 0o755),
        ("home", 0o755),
        ("home/ops", 0o755),
        ("home/ops/.ssh", 0o700),
        ("mnt", 0o755),
        ("proc", 0o555),
        ("root", 0o700),
        ("run", 0o755),
        ("run/lock", 0o1777),
        ("run/sshd", 0o755),
        ("srv", 0o755),
        ("srv/home", 0o755),
        ("tmp", 0o1777),
        ("usr", 0o755),
        ("var", 0o755),
        ("var/lib", 0o755),
        ("var/lib/systemd", 0o755),
        ("var/lib/systemd/linger", 0o755),
        ("var/log", 0o755),
        ("var/mail", 0o755),
        ("var/spool", 0o755),
        ("var/spool/cron", 0o755),
        ("var/spool/cron/crontabs", 0o1730),
        ("var/tmp", 0o1777),
        ("var/userarchive", 0o755),
    ] {
        folder(&root.join(path), mode)?;
    }
    // A merged /usr: the links of the machine, whatever its architecture has.
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        if let Ok(target) = fs::read_link(Path::new("/").join(name)) {
            link(&target, &root.join(name))?;
        }
    }
    link(Path::new("/run"), &root.join("var/run"))?;
    link(Path::new("/run/lock"), &root.join("var/lock"))?;

    // crontab(1) is set-group-id: its group has the machine's number, as /usr is the machine's.
    let crontab_gid = fs::metadata("/usr/bin/crontab")
        .context("look at", "/usr/bin/crontab")?
        .gid();
    let crontabs = root.join("var/spool/cron/crontabs");
    chown(&crontabs, Some(0), Some(crontab_gid)).context("chown", &crontabs)?;
    mode(&crontabs, 0o1730)?;

    for (path, permissions, text) in files(host, crontab_gid) {
        file(&root.join(path), permissions, &text)?;
    }
    for name in ["login.defs", "bash.bashrc"] {
        let source = Path::new("/etc").join(name);
        if let Ok(text) = fs::read_to_string(source) {
            file(&root.join("etc").join(name), 0o644, &text)?;
        }
    }

    let keys = root.join("home/ops/.ssh/authorized_keys");
    file(&keys, 0o600, ops_public_key)?;
    for path in [root.join("home/ops"), root.join("home/ops/.ssh"), keys] {
        chown(&path, Some(OPS_ID), Some(OPS_ID)).context("chown", path)?;
    }

    let key = root.join("etc/ssh/ssh_host_ed25519_key");
    keygen(&key, &host.name, lock)?;
    // Beside the root, so that a test that changes the host's key changes no known_hosts.
    let public = key.with_extension("pub");
    fs::copy(&public, half.join("host_key.pub")).context("copy", public)?;
    Ok(())
}

/// The files of a host's /etc: path below the root, mode, text.
fn files(host: &Host, crontab_gid: u32) -> Vec<(&'static str, u32, String)> {
    let short = host.short();
    let accounts = ["root", "daemon", "sshd", "nobody", OPS];
    vec![
        ("etc/hostname", 0o644, format!("{short}\n")),
        ("etc/hosts", 0o644, format!("127.0.0.1 localhost\n{} {} {short}\n", host.address, host.name)),
        ("etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\nshadow: files\nhosts: files\n".to_owned()),
        (
            "etc/passwd",
            0o644,
            format!(
                "root:x:0:0:root:/root:/bin/bash\n\
                 daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
                 sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n\
                 nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n\
                 {OPS}:x:{OPS_ID}:{OPS_ID}:operator:/home/{OPS}:/bin/bash\n"
            ),
        ),
        (
            "etc/group",
            0o644,
            format!(
                "root:x:0:\ndaemon:x:1:\ntty:x:5:\nshadow:x:42:\nmail:x:8:\ncrontab:x:{crontab_gid}:\n\
                 analytics-privatedata-users:x:{PRIVATEDATA_GID}:\n{OPS}:x:{OPS_ID}:\nnogroup:x:65534:\n"
            ),
        ),
        // `*`: no password fits, and yet not locked, which sshd would refuse.
        ("etc/shadow", 0o640, accounts.map(|name| format!("{name}:*:19000:0:99999:7:::\n")).concat()),
        ("etc/gshadow", 0o640, String::new()),
        (
            "etc/sudoers",
            0o440,
            "Defaults !fqdn\n\
             Defaults secure_path=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"\n\
             root ALL=(ALL:ALL) ALL\n\
             @includedir /etc/sudoers.d\n"
                .to_owned(),
        ),
        ("etc/sudoers.d/ops", 0o440, format!("{OPS} ALL=(ALL:ALL) NOPASSWD: ALL\n")),
        // Stands for every service: root may become anyone, nobody else anyone by password.
        (
            "etc/pam.d/other",
            0o644,
            "auth sufficient pam_rootok.so\nauth required pam_deny.so\naccount required pam_permit.so\n\
             password required pam_deny.so\nsession required pam_permit.so\n"
                .to_owned(),
        ),
        (
            "etc/ssh/sshd_config",
            0o644,
            "HostKey /etc/ssh/ssh_host_ed25519_key\n\
             PidFile none\n\
             UsePAM no\n\
             PasswordAuthentication no\n\
             KbdInteractiveAuthentication no\n\
             MaxStartups 200\n\
             MaxSessions 100\n\
             PrintMotd no\n\
             PrintLastLog no\n\
             Subsystem sftp internal-sftp\n"
                .to_owned(),
        ),
    ]
}

/// Makes an ed25519 key pair without passphrase at `path` and `path.pub`.
///
/// `ssh-keygen` outlives a caller that is killed: it holds the lock, so that the next
/// caller waits for it instead of finding its files appear.
pub(super) fn keygen(path: &Path, comment: &str, lock: &File) -> Result<(), Error> {
    let failed = |said: String| Error::Failed {
        program: "ssh-keygen",
        object: path.display().to_string(),
        said,
    };
    let output = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
        .arg(path)
        .stdin(lock.try_clone().context("share the lock for", path)?)
        .output()
        .map_err(|source| Error::Run {
            program: "ssh-keygen",
            object: path.display().to_string(),
            source,
        })?;
    if output.status.success() {
        Ok(())
    } else {
        Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }
}

// Modes are set apart from creation: the caller's umask must not show in a host.
fn mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).context("chmod", path)
}

fn folder(path: &Path, permissions: u32) -> Result<(), Error> {
    fs::create_dir(path).context("make folder", path)?;
    mode(path, permissions)
}

pub(super) fn file(path: &Path, permissions: u32, text: &str) -> Result<(), Error> {
    fs::write(path, text).context("write", path)?;
    mode(path, permissions)
}

fn link(target: &Path, path: &Path) -> Result<(), Error> {
    symlink(target, path).context("link", path)
}
