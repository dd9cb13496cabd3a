//! Hosts that don't let us in: each kind is told from the others, the rest is looked at.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use opsweek_sandbox::free_port;

use super::{planned, run};
use crate::support::{Ran, databases_of, offboard_with, sandbox, scratch, seed};

/// The sandbox's configuration with another `ssh_config`: `extra` comes before it, and the
/// way to a host is given by its place among the hosts.
pub(super) fn config(name: &str, extra: &str, known_hosts: Option<&str>) -> PathBuf {
    let text = std::fs::read_to_string(sandbox().config_path()).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("ssh_config = "))
        .unwrap();
    let usual = PathBuf::from(line.trim_start_matches("ssh_config = ").trim_matches('"'));
    let mut ssh = format!("{extra}\n{}", std::fs::read_to_string(usual).unwrap());
    if let Some(hosts) = known_hosts {
        let file = scratch(&format!("{name}.known_hosts"));
        std::fs::write(&file, hosts).unwrap();
        ssh = format!("UserKnownHostsFile {}\n{ssh}", file.display());
    }
    let other = scratch(&format!("{name}.ssh_config"));
    std::fs::write(&other, ssh).unwrap();
    let config = scratch(&format!("{name}.toml"));
    let text = text.replace(
        line,
        &format!(
            "ssh_config = '{}'\nconnect_deadline = \"5s\"",
            other.display()
        ),
    );
    std::fs::write(&config, text).unwrap();
    config
}

/// Looks with that configuration; the first host alone could not be looked at, and it is said
/// why. The plan made before, run with it, changes nothing there.
#[track_caller]
fn only_the_first_is_missed(config: &Path, user: &str, why: &str) {
    let host = &sandbox().hosts()[0].name;
    let looked = Ran::from(offboard_with(config).arg(user).output().unwrap()).expect(7);
    let missed: Vec<&str> = looked
        .stdout
        .lines()
        .filter(|line| line.contains("NOT looked at"))
        .collect();
    assert_eq!(missed.len(), 1, "{}", looked.stdout);
    assert!(missed[0].contains(host.as_str()), "{}", missed[0]);
    assert!(looked.stdout.contains(why), "{why}:\n{}", looked.stdout);
    assert!(
        looked.stdout.contains(&sandbox().hosts()[1].name),
        "{}",
        looked.stdout
    );
}

fn known_hosts() -> String {
    std::fs::read_to_string(sandbox().dir().join("hosts/known_hosts")).unwrap()
}

#[test]
fn refused() {
    let user = "elvisrefused";
    seed(user);
    let port = free_port().unwrap();
    let host = &sandbox().hosts()[0].name;
    let extra = format!("Host {host}\n  HostName 127.0.0.1\n  Port {port}\nHost *");
    only_the_first_is_missed(&config("refused", &extra, None), user, "refused");
}

#[test]
fn hung() {
    let user = "elvishung";
    seed(user);
    // It accepts (the kernel does) and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let host = &sandbox().hosts()[0].name;
    let extra = format!("Host {host}\n  HostName 127.0.0.1\n  Port {port}\nHost *");
    only_the_first_is_missed(&config("hung", &extra, None), user, "sent no ssh banner");
}

/// Where homes are missing because their disk is, nobody can tell that there are none.
#[test]
fn with_homes_that_are_not_mounted() {
    let user = "elvisunmounted";
    seed(user);
    let fstab = sandbox().hosts()[0].root.join("etc/fstab");
    let disks = "# /home is another's\nLABEL=homes /srv/disk/ ext4 defaults 0 2\n";
    std::fs::write(fstab, disks).unwrap();
    let config = config("unmounted", "", None);
    let text = std::fs::read_to_string(&config).unwrap();
    let homes = "[offboard]\nhost_homes = [\"/home\", \"/srv/disk/home\"]\n";
    std::fs::write(&config, text.replace("[offboard]\n", homes)).unwrap();
    let why = "/srv/disk is in /etc/fstab and not mounted";
    only_the_first_is_missed(&config, user, why);
}

#[test]
fn of_an_unknown_key() {
    let user = "elvisunknown";
    seed(user);
    let first = sandbox().hosts()[0].clone();
    let address = first.address.to_string();
    let without: Vec<String> = known_hosts()
        .lines()
        .filter(|line| !names(line, &first.name, &address))
        .map(str::to_owned)
        .collect();
    let config = config("unknown", "", Some(&(without.join("\n") + "\n")));
    only_the_first_is_missed(&config, user, "key");
}

#[test]
fn of_a_changed_key() {
    let user = "elvischanged";
    seed(user);
    let plan = planned(&sandbox().config_path(), user);
    let first = sandbox().hosts()[0].clone();
    let address = first.address.to_string();
    let lines = known_hosts();
    let key_of = |line: &str| line.split_once(' ').unwrap().1.to_owned();
    let other = lines
        .lines()
        .find(|line| !names(line, &first.name, &address))
        .map(key_of)
        .unwrap();
    let swapped: Vec<String> = lines
        .lines()
        .map(|line| match line.split_once(' ') {
            Some((hosts, _)) if names(line, &first.name, &address) => format!("{hosts} {other}"),
            _ => line.to_owned(),
        })
        .collect();
    let config = config("changed", "", Some(&(swapped.join("\n") + "\n")));
    only_the_first_is_missed(&config, user, "key");
    let home = format!("{}/home/{user}", first.root.display());
    let ran = run(&config, &plan);
    assert!(
        matches!(ran.code, Some(4 | 7)),
        "{:?}\n{}",
        ran.code,
        ran.stderr
    );
    assert!(ran.stderr.contains(&first.name), "{}", ran.stderr);
    // Others may go on; nothing is sent to this one, and nothing irreversible follows it.
    assert!(std::path::Path::new(&home).exists());
    assert!(!databases_of(user).is_empty());
}

/// Whether a line of `known_hosts` is about the host.
fn names(line: &str, name: &str, address: &str) -> bool {
    let hosts = line.split(' ').next().unwrap_or_default();
    hosts.split(',').any(|host| {
        let host = host
            .trim_start_matches('[')
            .split(']')
            .next()
            .unwrap_or_default();
        host == name || host == address
    })
}
