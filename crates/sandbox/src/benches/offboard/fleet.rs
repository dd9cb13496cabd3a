//! Many hosts, and one with much.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;

use super::{ROUNDS, config, ended, offboard, ran, timed};
use crate::error::{Context, Error};
use crate::hosts::Host;
use crate::measure::{Measured, median};
use crate::sandbox::{Progress, Sandbox};
use crate::workspace;

/// `fanout_wall` and `fanout_cpu`: what has somebody on every host? A whole look of ours beside
/// clush with the same script, keys and configuration. Start the sandbox with `--hosts 50`.
pub(super) fn fanout(sandbox: &Sandbox, progress: Progress<'_>) -> Result<Vec<Measured>, Error> {
    let config = config(sandbox, "fleet", &["hdfs", "metastore"])?;
    let mut look = offboard(&config)?;
    look.args(["nemo", "--places", "hosts"]);
    let folder = workspace::checkout().join("crates/core/src/actions/host");
    let mut script = String::new();
    for part in ["mounted.sh", "look.sh"] {
        let path = folder.join(part);
        script += &std::fs::read_to_string(&path).context("read", &path)?;
    }
    let quoted = script.replace('\'', r"'\''");
    let secrets = "'.ssh' '.gnupg' '.my.cnf' '.netrc' '.pgpass' '.k5login' 'krb5cc_*' '.cache'";
    let remote = format!(
        "sudo -n bash -c '{quoted}' opsweek nemo /var/userarchive /home /srv/home -- {secrets}"
    );
    let hosts = sandbox.hosts();
    let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
    let ssh = sandbox.dir().join("hosts/ssh_config");
    let mut clush = Command::new("clush");
    clush
        .args(["-S", "-B", "-w", &names.join(",")])
        .args(["-o", &format!("-F {}", ssh.display())])
        .arg(remote);
    let mut times = [const { Vec::new() }; 4];
    for round in 1..=ROUNDS {
        progress(&format!("{} hosts: round {round} of {ROUNDS}", hosts.len()));
        let ours = timed(&look, &[0])?;
        let theirs = timed(&clush, &[0])?;
        times[0].push(ours.wall_s);
        times[1].push(theirs.wall_s);
        times[2].push(ours.cpu_s);
        times[3].push(theirs.cpu_s);
    }
    let [wall, their_wall, cpu, their_cpu] = times.map(median);
    let measured = [
        Measured::new("fanout_wall", wall, their_wall),
        Measured::new("fanout_cpu", cpu, their_cpu),
    ];
    // Fewer than the goal is about are no reason to say nothing; the figure says how many.
    #[expect(clippy::cast_precision_loss, reason = "there are at most 50")]
    let count = hosts.len() as f64;
    Ok(measured
        .map(|mut one| {
            one.figures.insert("hosts_count".to_owned(), count);
            one
        })
        .into())
}

const GIB: usize = 1 << 30;
/// Hosts alone, whatever becomes of the rest.
const STREAM: [&str; 7] = [
    "--delete",
    "--host-homes",
    "archive",
    "--places",
    "hosts",
    "--task",
    "T123456",
];

/// `stream_1g`: a home of 1 GiB from a host into HDFS. Ours counts entries before and after,
/// and reads back what was written; theirs is `ssh tar | zstd | hdfs dfs -put -`.
pub(super) fn stream_1g(sandbox: &Sandbox, progress: Progress<'_>) -> Result<Measured, Error> {
    let config = config(sandbox, "stream", &["metastore"])?;
    let hosts = sandbox.hosts();
    let Some(host) = hosts.first() else {
        return Err(ended(&Command::new("stream_1g"), "there is no host"));
    };
    let (mut by_us, mut by_hand) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        progress(&format!("1 GiB from a host: round {round} of {ROUNDS}"));
        let user = format!("elvisstream{round}");
        super::seed_few(sandbox, &user)?;
        fill(host, &user)?;
        by_hand.push(by_pipe(sandbox, host, &user)?);
        let step = format!("collect-{}", host.name);
        by_us.push(ran(sandbox, &config, &user, &STREAM, &step)?.1);
    }
    Ok(Measured::new("stream_1g", median(by_us), median(by_hand)))
}

/// A file of 1 GiB at home, half of which zstd can do without.
fn fill(host: &Host, user: &str) -> Result<(), Error> {
    let home = host.root.join("home").join(user);
    let path = home.join("big");
    let write = |path: &Path| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut block = vec![0_u8; 1 << 20];
        let mut file = std::fs::File::create(path)?;
        for _ in 0..GIB / block.len() {
            for word in block.chunks_mut(16) {
                // xorshift64: quick, and nothing a compressor sees through.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word[..8].copy_from_slice(&state.to_le_bytes());
            }
            file.write_all(&block)?;
        }
        file.sync_all()?;
        let owner = home.metadata()?;
        chown(path, Some(owner.uid()), Some(owner.gid()))
    };
    write(&path).context("write", &path)
}

/// Seconds of the page's way.
fn by_pipe(sandbox: &Sandbox, host: &Host, user: &str) -> Result<f64, Error> {
    let quoted = |command: &Command| -> String {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words =
            words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''")));
        words.collect::<Vec<_>>().join(" ")
    };
    let mut ssh = sandbox.ssh_command(&host.name)?;
    ssh.arg(format!("sudo -n tar --create --directory / home/{user}"));
    let to = format!("/user/hdfs/{user}.tar.zst");
    let put = sandbox.hdfs_command(None, &["dfs", "-put", "-f", "-", &to])?;
    let mut shell = Command::new("bash");
    shell.args(["-o", "pipefail", "-c"]).arg(format!(
        "{} | zstd --quiet --stdout -3 | {}",
        quoted(&ssh),
        quoted(&put)
    ));
    for (name, value) in ssh.get_envs().chain(put.get_envs()) {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    Ok(timed(&shell, &[0])?.wall_s)
}
