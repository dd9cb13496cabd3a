//! The sandbox's hosts on real sshd. Needs root, as the hosts do.
#![expect(
    clippy::unwrap_used,
    reason = "tests, with helpers outside test functions"
)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use opsweek_sandbox::hosts::{self, Error, Host, HostSeed};
use opsweek_sandbox::process;
use tempfile::TempDir;

/// Set in the child that [`a_killed_up_is_completed_by_the_next`] kills: its folder.
const CHILD: &str = "OPSWEEK_TEST_HOSTS_CHILD";

/// Whether an `up` has come to a certain point.
type Moment = fn(&Sandbox) -> bool;

/// A sandbox folder of its own, taken down at the end of its test.
struct Sandbox(TempDir);

impl Sandbox {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn dir(&self) -> &Path {
        self.0.path()
    }

    fn up(&self, count: usize) -> Vec<Host> {
        hosts::up(self.dir(), count, &marker(self.dir()), &|_| ()).unwrap()
    }

    fn down(&self) {
        hosts::down(self.dir(), &marker(self.dir())).unwrap();
    }

    fn running(&self) -> Vec<String> {
        let hosts = hosts::running(self.dir(), &marker(self.dir()));
        hosts.into_iter().map(|host| host.name).collect()
    }

    /// Standard output of a command that must succeed.
    fn ssh(&self, host: &str, command: &str) -> String {
        let output = hosts::ssh_command(self.dir(), host)
            .arg(command)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{host}: {command}: {} {errors}",
            output.status
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn ssh_fails(&self, host: &str, command: &str) -> bool {
        !hosts::ssh_command(self.dir(), host)
            .arg(command)
            .output()
            .unwrap()
            .status
            .success()
    }

    /// The machine's processes of the host with this short name.
    fn pids(&self, short: &str) -> Vec<rustix::process::Pid> {
        let (name, value) = marker(self.dir())(&format!("hosts/{short}"));
        process::marked(&name, &value)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = hosts::down(self.dir(), &marker(self.dir()));
    }
}

fn marker(dir: &Path) -> impl Fn(&str) -> (String, String) + use<> {
    let dir = dir.display().to_string();
    move |unit| ("OPSWEEK_TEST_HOSTS".to_owned(), format!("{dir} {unit}"))
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !condition() {
        assert!(Instant::now() < deadline, "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn each_host_is_a_machine_of_its_own() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.dir().join("of the machine"), "x").unwrap();
    let hosts = sandbox.up(6);
    assert_eq!(hosts.len(), 6);
    for host in &hosts {
        let told = sandbox.ssh(
            &host.name,
            "hostname; hostname -f; sudo -n id -u; id -un; ps -o comm= -p 1",
        );
        let expected = format!("{}\n{}\n0\nops\nsshd\n", host.short(), host.name);
        assert_eq!(told, expected);
        assert_eq!(sandbox.ssh(host.short(), "hostname -f").trim(), host.name);
    }

    let (one, other) = (&hosts[0].name, &hosts[1].name);
    sandbox.ssh(
        one,
        "echo '5 4 * * * true' | crontab -; touch /tmp/here; sudo -n touch /srv/home/there",
    );
    assert_eq!(sandbox.ssh(one, "crontab -l"), "5 4 * * * true\n");
    assert!(sandbox.ssh_fails(other, "crontab -l"));
    assert!(sandbox.ssh_fails(other, "test -e /tmp/here || test -e /srv/home/there"));
    assert!(hosts[0].root.join("srv/home/there").exists());
    assert!(hosts[0].root.join("var/spool/cron/crontabs/ops").exists());

    // Tools of the machine, and a terminal.
    for tool in ["tar", "zstd", "setfacl", "find", "stat", "pkill", "crontab"] {
        sandbox.ssh(one, &format!("command -v {tool}"));
    }
    sandbox.ssh(one, "script -qec tty /dev/null | grep -q /dev/pts/");

    // Nothing of the machine can be reached or changed, even as root.
    assert_eq!(
        sandbox.ssh(one, "sudo -n find / -xdev -name 'of the machine'"),
        ""
    );
    assert_eq!(sandbox.ssh(one, "find /dev -type b"), "");
    assert!(sandbox.ssh_fails(one, "sudo -n mknod /tmp/disk b 254 0"));
    assert!(sandbox.ssh_fails(one, "sudo -n touch /usr/bin/opsweek-test"));
    assert!(sandbox.ssh_fails(one, "sudo -n sh -c 'echo 1 >/proc/sys/vm/swappiness'"));
    assert_eq!(
        sandbox
            .ssh(one, "ps -eo args= | grep -c '[u]nshare' || :")
            .trim(),
        "0"
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(sandbox.dir().to_str().unwrap()));
}

#[test]
fn up_leaves_running_hosts_alone_and_adjusts_their_number() {
    let sandbox = Sandbox::new();
    sandbox.up(2);
    let before = sandbox.pids("stat1008");
    assert!(!before.is_empty());
    sandbox.ssh("stat1009", "touch /home/ops/kept");

    sandbox.up(3);
    assert_eq!(sandbox.pids("stat1008"), before);
    assert_eq!(sandbox.running().len(), 3);

    sandbox.up(1);
    assert_eq!(sandbox.pids("stat1008"), before);
    assert_eq!(sandbox.running(), ["stat1008.eqiad.wmnet"]);
    assert!(sandbox.pids("stat1009").is_empty());
    assert!(sandbox.ssh_fails("stat1009", "true"));

    sandbox.up(2);
    sandbox.ssh("stat1009", "test -e /home/ops/kept");
}

#[test]
fn down_leaves_nothing_and_a_later_up_finds_the_files() {
    let sandbox = Sandbox::new();
    sandbox.down();
    let host = sandbox.up(1).remove(0);
    sandbox.ssh("stat1008", "sudo -n mkdir /srv/home/mounted");
    sandbox.ssh(
        "stat1008",
        "sudo -n mount -t tmpfs inner /srv/home/mounted && touch /tmp/kept",
    );
    sandbox.ssh(
        "stat1008",
        "setsid --fork sleep infinity </dev/null >/dev/null 2>&1",
    );

    sandbox.down();
    assert!(sandbox.pids("stat1008").is_empty());
    assert!(sandbox.running().is_empty());
    // Nobody listens, and no mount or process keeps the folder busy.
    drop(TcpListener::bind(host.socket()).unwrap());
    fs::rename(
        host.root.join("srv/home/mounted"),
        host.root.join("srv/home/free"),
    )
    .unwrap();
    let roots = fs::read_dir("/proc").unwrap().flatten();
    let inside = roots.filter(|entry| {
        fs::read_to_string(entry.path().join("mountinfo"))
            .is_ok_and(|mounts| mounts.contains(sandbox.dir().to_str().unwrap()))
    });
    assert_eq!(inside.count(), 0);

    sandbox.up(1);
    sandbox.ssh("stat1008", "test -e /tmp/kept");
}

#[test]
fn a_host_dies_with_its_parent_and_is_started_again() {
    let sandbox = Sandbox::new();
    let host = sandbox.up(2).remove(0);
    for pid in sandbox.pids("stat1008") {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    wait_for("the port to be free", || {
        TcpListener::bind(host.socket()).is_ok()
    });
    assert_eq!(sandbox.running(), ["stat1009.eqiad.wmnet"]);
    assert_eq!(sandbox.up(2)[0], host);
    sandbox.ssh("stat1008", "true");
}

#[test]
fn a_killed_up_is_completed_by_the_next() {
    if let Some(dir) = std::env::var_os(CHILD) {
        let dir = Path::new(&dir);
        hosts::up(dir, 12, &marker(dir), &|_| ()).unwrap();
        return;
    }
    // From the first file to the last host: the moments that an `up` goes through.
    let moments: [(&str, Moment); 5] = [
        ("lock", |sandbox| sandbox.dir().join("lock").exists()),
        ("key", |sandbox| sandbox.dir().join("ops_ed25519").exists()),
        ("a host half made", |sandbox| {
            sandbox.dir().join("stat1011.half").exists()
        }),
        ("the first host's process", |sandbox| {
            !sandbox.pids("stat1008").is_empty()
        }),
        ("the last host's process", |sandbox| {
            !sandbox.pids("stat1019").is_empty()
        }),
    ];
    for (moment, reached) in moments {
        let sandbox = Sandbox::new();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_up_is_completed_by_the_next"])
            .env(CHILD, sandbox.dir())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(moment, || {
            reached(&sandbox) || child.try_wait().unwrap().is_some()
        });
        child.kill().unwrap();
        child.wait().unwrap();

        assert_eq!(sandbox.up(12).len(), 12);
        for short in ["stat1008", "stat1011", "stat1019"] {
            let told = sandbox.ssh(short, "sudo -n hostname");
            assert_eq!(told.trim(), short, "killed at: {moment}");
        }
        let left = fs::read_dir(sandbox.dir()).unwrap().flatten();
        let halves: Vec<_> = left
            .filter(|entry| entry.file_name().to_string_lossy().contains("half"))
            .collect();
        assert!(halves.is_empty(), "killed at: {moment}: {halves:?}");
        sandbox.down();
        assert!(sandbox.running().is_empty());
    }
}

#[test]
fn a_host_that_cannot_start_is_named_with_its_log_and_takes_all_down() {
    let sandbox = Sandbox::new();
    let host = sandbox.up(2).remove(1);
    sandbox.down();
    fs::write(host.root.join("etc/ssh/sshd_config"), "NoSuchKeyword yes\n").unwrap();
    let error = hosts::up(sandbox.dir(), 2, &marker(sandbox.dir()), &|_| ()).unwrap_err();
    let Error::Died { host, log } = error else {
        panic!("{error}")
    };
    assert_eq!(host, "stat1009.eqiad.wmnet");
    assert!(log.contains("NoSuchKeyword"), "{log}");
    assert!(sandbox.running().is_empty());
}

#[test]
fn two_sandboxes_live_side_by_side() {
    let sandboxes = [Sandbox::new(), Sandbox::new()];
    let [first, second] = &sandboxes;
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| first.up(3));
        let two = scope.spawn(|| second.up(3));
        (one.join().unwrap(), two.join().unwrap())
    });
    assert_eq!(one[0].address, two[0].address);
    assert_ne!(one[0].port, two[0].port);
    first.ssh("stat1010", "touch /tmp/first");
    assert!(second.ssh_fails("stat1010", "test -e /tmp/first"));
    first.down();
    assert_eq!(second.running().len(), 3);
    second.ssh("stat1010", "true");
}

#[test]
fn a_port_taken_meanwhile_is_left_to_its_new_owner() {
    let sandbox = Sandbox::new();
    let old = sandbox.up(2).remove(1);
    for pid in sandbox.pids("stat1009") {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    let mut taken = None;
    wait_for("the port to be free", || {
        taken = TcpListener::bind(old.socket()).ok();
        taken.is_some()
    });
    let hosts = sandbox.up(2);
    assert_ne!(hosts[0].port, old.port);
    assert_eq!(hosts[0].port, hosts[1].port);
    sandbox.ssh("stat1008", "true");
    sandbox.ssh("stat1009", "true");
}

#[test]
fn a_leaver_is_seeded_the_same_every_time() {
    let sandbox = Sandbox::new();
    sandbox.up(6);
    let options = HostSeed {
        mount: true,
        files: 1200,
    };
    hosts::seed(sandbox.dir(), "azywiki", &HostSeed::default()).unwrap();
    hosts::seed(sandbox.dir(), "elvis", &options).unwrap();
    let look = || {
        let world = "sudo -n find /home/elvis /srv/home/elvis /var/userarchive/elvis.tar.gz /var/lib/systemd/linger/elvis \
                     -printf '%y %m %u:%g %n %p -> %l\\0' 2>/dev/null | sort -z | tr '\\0' '\\n'; \
                     sudo -n crontab -u elvis -l 2>/dev/null; pgrep -u elvis -la | cut -d' ' -f2-; id elvis";
        let hosts = hosts::running(sandbox.dir(), &marker(sandbox.dir()));
        hosts
            .iter()
            .map(|host| sandbox.ssh(&host.name, world))
            .collect::<Vec<_>>()
    };
    let seen = look();
    // What a user, or the tool under test, changes is made good again.
    sandbox.ssh("stat1008", "sudo -n rm -rf /home/elvis");
    sandbox.ssh(
        "stat1009",
        "sudo -n crontab -u elvis -r; sudo -n touch /srv/home/elvis/new",
    );
    sandbox.ssh("stat1010", "sudo -n pkill -KILL -u elvis");
    hosts::seed(sandbox.dir(), "elvis", &options).unwrap();
    assert_eq!(look(), seen);

    let [home, symlink, srv, tarball, linger, nothing] = seen.try_into().unwrap();
    let id =
        "uid=2002(elvis) gid=2002(elvis) groups=2002(elvis),731(analytics-privatedata-users)\n";
    assert_eq!(nothing, id);
    assert!(
        home.contains("f 644 elvis:elvis 1 /home/elvis/odd names/-rf ->"),
        "{home}"
    );
    assert!(
        home.contains("/home/elvis/odd names/two\nlines ->"),
        "{home}"
    );
    assert!(
        home.contains("f 644 elvis:elvis 2 /home/elvis/links/second ->"),
        "{home}"
    );
    assert!(
        home.contains("p 644 elvis:elvis 1 /home/elvis/links/pipe ->"),
        "{home}"
    );
    assert!(
        home.contains("f 0 elvis:elvis 1 /home/elvis/modes/000 ->"),
        "{home}"
    );
    assert!(
        home.contains("f 4755 elvis:elvis 1 /home/elvis/modes/4755 ->"),
        "{home}"
    );
    assert!(
        home.contains("f 600 elvis:elvis 1 /home/elvis/.ssh/id_ed25519 ->"),
        "{home}"
    );
    assert!(
        home.contains("/home/elvis/many/1/1199 ->") && !home.contains("/home/elvis/many/1/1200 ->")
    );
    assert!(
        symlink.contains("l 777 elvis:elvis 1 /home/elvis -> /srv/home/elvis\n"),
        "{symlink}"
    );
    assert!(
        symlink.contains("15 3 * * * /home/elvis/report.sh\n"),
        "{symlink}"
    );
    assert!(
        srv.contains("d 2770 elvis:analytics-privatedata-users 2 /srv/home/elvis/shared ->"),
        "{srv}"
    );
    assert!(srv.contains("sleep infinity\n"), "{srv}");
    assert_eq!(
        tarball,
        format!("f 600 root:root 1 /var/userarchive/elvis.tar.gz -> \n{id}")
    );
    assert!(
        linger.contains("/var/lib/systemd/linger/elvis ->"),
        "{linger}"
    );
    assert!(
        linger.contains("/home/elvis/mnt/scratch/keep ->"),
        "{linger}"
    );

    assert_eq!(
        sandbox
            .ssh("stat1012", "findmnt -no FSTYPE /home/elvis/mnt/scratch")
            .trim(),
        "tmpfs"
    );
    assert!(
        sandbox
            .ssh("stat1008", "getfacl -p /home/elvis/notebooks")
            .contains("group:analytics-privatedata-users:r-x")
    );
    let listed = sandbox.ssh("stat1011", "sudo -n tar -tzf /var/userarchive/elvis.tar.gz");
    assert!(
        listed.contains("home/elvis/notebooks/2024/q1/pageviews.ipynb"),
        "{listed}"
    );
    let hosts = hosts::running(sandbox.dir(), &marker(sandbox.dir()));
    let sparse = fs::metadata(hosts[2].root.join("srv/home/elvis/sparse.bin")).unwrap();
    assert_eq!(sparse.len(), 1 << 30);
    assert!(sparse.blocks() < 100, "{}", sparse.blocks());
    let pipe = fs::symlink_metadata(hosts[0].root.join("home/elvis/links/pipe")).unwrap();
    assert!(pipe.file_type().is_fifo());

    for user in ["root", "ops", "nobody", "-rf", "elvis;id"] {
        let error = hosts::seed(sandbox.dir(), user, &options).unwrap_err();
        assert!(matches!(error, Error::User { .. }), "{user}: {error}");
    }
}

#[test]
fn fifty_hosts_are_up_in_fifteen_seconds() {
    let sandbox = Sandbox::new();
    let start = Instant::now();
    let hosts = sandbox.up(50);
    let took = start.elapsed();
    assert_eq!(hosts.len(), 50);
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(
        sandbox.ssh("stat1057", "hostname -f").trim(),
        "stat1057.eqiad.wmnet"
    );
}

#[test]
fn impossible_numbers_and_folders_never_up_are_refused() {
    let sandbox = Sandbox::new();
    for count in [0, 51] {
        let error = hosts::up(sandbox.dir(), count, &marker(sandbox.dir()), &|_| ()).unwrap_err();
        assert!(matches!(error, Error::Count(_)), "{error}");
    }
    assert!(sandbox.running().is_empty());
    let error = hosts::seed(sandbox.dir(), "elvis", &HostSeed::default()).unwrap_err();
    assert!(matches!(error, Error::NeverUp { .. }), "{error}");
}
