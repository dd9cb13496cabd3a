//! Servers that fail, in a sandbox of these tests' own.

use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opsweek_sandbox::{SeedOptions, Service, UpOptions};

use super::{archive_of, clean, planned, run, run_until};
use crate::newwiki::safe_mode::NewWikis;
use crate::private::{Ending, Slots, quiet};
use crate::support::{Ran, offboard_with, send};

/// That what stands now could not be looked at outranks that only a part was done.
pub(super) const UNSEEN: i32 = 7;
pub(super) const ARCHIVE: &str = "/wmf/data/archive/user";

/// `NameNode`, `DataNode` and metastore in processes of their own, two hosts.
pub(super) struct Private(pub(super) Ending);

impl From<Ending> for Private {
    fn from(sandbox: Ending) -> Self {
        Self(sandbox)
    }
}

/// One of two: starting servers again takes most of these tests' time, and most of that is
/// waiting.
pub(super) fn private() -> Arc<Mutex<Private>> {
    static SLOTS: Slots<Private, 2> = Slots::new("faults");
    SLOTS.one()
}

/// Whatever a test before has left of the servers, they are all up.
pub(super) fn alone(world: &Mutex<Private>) -> MutexGuard<'_, Private> {
    let world = world.lock().unwrap_or_else(PoisonError::into_inner);
    world.up(false);
    world
}

impl Private {
    /// Brings up what is not; a `NameNode` that is started now has a trash, or `no_trash`.
    pub(super) fn up(&self, no_trash: bool) {
        let options = UpOptions {
            with: vec![Service::Metastore, Service::Hosts],
            hosts: 2,
            split_datanode: true,
            split_metastore: true,
            no_trash,
        };
        self.0.up(&options, &quiet).unwrap();
    }

    pub(super) fn seed(&self, user: &str, files: usize) {
        let options = SeedOptions {
            files,
            ..SeedOptions::default()
        };
        self.0.seed(user, &options).unwrap();
    }

    pub(super) fn config(&self) -> PathBuf {
        self.0.config_path()
    }

    #[track_caller]
    pub(super) fn hdfs(&self, arguments: &[&str]) -> String {
        let output = self.0.hdfs(None, arguments).unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(super) fn in_hdfs(&self, path: &str) -> bool {
        let test = self.0.hdfs(None, &["dfs", "-test", "-e", path]).unwrap();
        test.status.success()
    }

    fn signal(&self, server: &str, signal: &str) {
        let servers = self.0.status().unwrap().servers;
        let found = servers.iter().find(|found| found.name == server).unwrap();
        send(signal, &found.pid);
    }

    /// kill -9.
    pub(super) fn kill(&self, server: &str) {
        self.signal(server, "-KILL");
    }

    #[track_caller]
    pub(super) fn on_host(&self, host: &str, script: &str) -> String {
        let output = self
            .0
            .ssh(host, &format!("sudo -n bash -c '{script}'"))
            .unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(super) fn start(&self, server: &str) {
        self.0.start_server(server, &quiet).unwrap();
    }

    /// Goes on with the plan after the fault, to the end.
    #[track_caller]
    fn goes_on(&self, user: &str, plan: &str) {
        run(&self.config(), plan).expect(0);
        clean(&self.config(), user);
        assert!(self.in_hdfs(&format!("{ARCHIVE}/{user}/.opsweek/complete.json")));
        assert!(!self.in_hdfs(&format!("/user/{user}")));
    }
}

#[test]
fn a_namenode_killed_in_the_middle_of_a_chown() {
    let world = private();
    let world = alone(&world);
    let user = "elvischown";
    world.seed(user, 20_000);
    let plan = planned(&world.config(), user);

    let ran = run_until(
        &world.config(),
        &plan,
        &[("START own-archive", &|_| {
            world.kill("hdfs");
        })],
    )
    .expect(UNSEEN);
    assert!(ran.stderr.contains("own-archive"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint:"), "{}", ran.stderr);
    let looked = Ran::from(offboard_with(&world.config()).arg(user).output().unwrap()).expect(7);
    assert!(
        looked.stdout.contains("NOT looked at: hdfs"),
        "{}",
        looked.stdout
    );

    world.start("hdfs");
    world.goes_on(user, &plan);
    // Names with a newline in them go on in a line of their own.
    let listed = world.hdfs(&["dfs", "-ls", "-R", &format!("{ARCHIVE}/{user}")]);
    let wrong: Vec<&str> = listed
        .lines()
        .filter(|line| line.starts_with("drwx") || line.starts_with("-rw"))
        // What azy's table has there stays as it was.
        .filter(|line| !line.contains("/exports/referrers"))
        .filter(|line| {
            let owners: Vec<&str> = line.split_whitespace().skip(2).take(2).collect();
            owners != ["hdfs", "analytics-privatedata-users"]
        })
        .collect();
    assert_eq!(wrong, [""; 0]);
    assert!(listed.lines().count() > 20_000);
}

#[test]
fn safe_mode_is_named_and_nothing_is_changed() {
    let world = private();
    let world = alone(&world);
    let user = "elvissafe";
    world.seed(user, 10);
    let plan = planned(&world.config(), user);
    // A new wiki is on its way to HDFS meanwhile, and another is not begun.
    let new_wikis = NewWikis::on(&world.0);
    let stopped = new_wikis.stopped_by(|| {
        world.hdfs(&["dfsadmin", "-safemode", "enter"]);
    });
    let ran = run(&world.config(), &plan).expect(1);
    assert!(ran.stderr.contains("safe mode"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint:"), "{}", ran.stderr);
    new_wikis.are_not_begun();
    world.hdfs(&["dfsadmin", "-safemode", "leave"]);
    assert!(world.in_hdfs(&format!("/user/{user}")));
    world.goes_on(user, &plan);
    new_wikis.go_on(&stopped);
}

#[test]
fn a_datanode_lost_while_a_tarball_streams() {
    let world = private();
    let world = alone(&world);
    let user = "elvisdata";
    world.seed(user, 10);
    let host = &world.0.hosts()[0].name;
    world.on_host(
        host,
        &format!(
            "head -c 300M /dev/urandom > /home/{user}/noise; chown {user}: /home/{user}/noise"
        ),
    );
    let plan = planned(&world.config(), user);
    let start = format!("START collect-{host}");
    let ran = run_until(
        &world.config(),
        &plan,
        &[(&start, &|_| world.kill("datanode"))],
    )
    .expect(UNSEEN);
    assert!(
        ran.stderr.contains(&format!("collect-{host}")),
        "{}",
        ran.stderr
    );
    let kept = world.on_host(host, &format!("stat -c %s /home/{user}/noise"));
    assert_eq!(kept, "314572800\n");

    world.start("datanode");
    world.goes_on(user, &plan);
    let tarballs = world.hdfs(&["dfs", "-ls", &format!("{ARCHIVE}/{user}/.opsweek/hosts")]);
    assert!(
        !tarballs.contains("_COPYING_") && !tarballs.contains(".part"),
        "{tarballs}"
    );
}

#[test]
fn a_metastore_that_dies_in_the_middle() {
    let world = private();
    let world = alone(&world);
    let user = "elvishive";
    world.seed(user, 10);
    let plan = planned(&world.config(), user);
    let ran = run_until(
        &world.config(),
        &plan,
        &[("START move-database", &|_| {
            world.kill("metastore");
        })],
    )
    .expect(UNSEEN);
    assert!(ran.stderr.contains("metastore"), "{}", ran.stderr);
    world.start("metastore");
    world.goes_on(user, &plan);
    let databases = format!("SELECT NAME FROM DBS WHERE NAME = '{user}'");
    assert_eq!(world.0.metastore_sql(&databases).unwrap().len(), 0);
}

#[test]
fn a_quota_that_is_exceeded_is_named() {
    let world = private();
    let world = alone(&world);
    let user = "elvisquota";
    world.seed(user, 50);
    let plan = planned(&world.config(), user);
    let count = world.hdfs(&["dfs", "-count", ARCHIVE]);
    let numbers: Vec<u64> = count
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let room = (numbers[0] + numbers[1] + 10).to_string();
    world.hdfs(&["dfsadmin", "-setQuota", &room, ARCHIVE]);
    let ran = run(&world.config(), &plan);
    let again = archive_of(&world.config(), user);
    world.hdfs(&["dfsadmin", "-clrQuota", ARCHIVE]);
    let ran = ran.expect(6);
    assert!(ran.stderr.contains("quota"), "{}", ran.stderr);
    // Who plans now is told before anything is tried.
    let again = again.expect(8);
    let told = format!("{ARCHIVE} has a quota of {room} names");
    assert!(
        again.stderr.contains(&told) && again.stderr.contains("-setQuota"),
        "{}",
        again.stderr
    );
    assert!(world.in_hdfs(&format!("/user/{user}")));
    world.goes_on(user, &plan);
}

#[test]
fn a_tarball_that_a_quota_has_no_room_for_fails_alone() {
    const BLOCK: u64 = 128 << 20;
    let world = private();
    let world = alone(&world);
    let user = "elvisroom";
    world.seed(user, 10);
    let host = &world.0.hosts()[0].name;
    world.on_host(
        host,
        &format!(
            "head -c 200M /dev/urandom > /home/{user}/noise; chown {user}: /home/{user}/noise"
        ),
    );
    let space = |path: &str| -> u64 {
        let told = world.hdfs(&["dfs", "-du", "-s", path]);
        told.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let trees = space(&format!("/user/{user}")) + space(&format!("/user/hive/warehouse/{user}.db"));
    let taken = space(ARCHIVE);
    let limit = |room: u64| {
        let limit = (taken + trees + room).to_string();
        world.hdfs(&["dfsadmin", "-setSpaceQuota", &limit, ARCHIVE]);
    };
    // Not even a record could be written.
    limit(BLOCK - 1);
    let refused = archive_of(&world.config(), user);
    // A record, but not two blocks of a tarball.
    limit(BLOCK + (4 << 20));
    let noted = archive_of(&world.config(), user);
    let plan = crate::support::scratch(&format!("{user}.json"));
    let plan = plan.to_str().unwrap();
    let ran = run(&world.config(), plan);
    world.hdfs(&["dfsadmin", "-clrSpaceQuota", ARCHIVE]);
    let refused = refused.expect(8);
    assert!(
        refused.stderr.contains("-setSpaceQuota"),
        "{}",
        refused.stderr
    );
    let noted = noted.expect(3);
    let told = format!("- {ARCHIVE} has a quota of ");
    assert!(
        noted.stdout.contains(&told) && noted.stdout.contains("fails alone"),
        "{}",
        noted.stdout
    );
    let ran = ran.expect(6);
    assert!(ran.stderr.contains("quota exceeded"), "{}", ran.stderr);
    let stands = world.on_host(host, &format!("stat -c %s /home/{user}/noise"));
    assert_eq!(stands, "209715200\n");
    world.goes_on(user, plan);
}

#[test]
fn a_plan_for_another_cluster_does_not_run() {
    let world = private();
    let world = alone(&world);
    let user = "elvisother";
    world.seed(user, 10);
    let plan = planned(&world.config(), user);
    // The same configuration, but for HDFS: that of the sandbox that all tests share.
    let here = std::fs::read_to_string(world.config()).unwrap();
    let there = std::fs::read_to_string(crate::support::sandbox().config_path()).unwrap();
    let section = |text: &str| {
        let start = text.find("[hdfs]").unwrap();
        let length = text[start + 1..].find("\n[").unwrap();
        text[start..=start + length].to_owned()
    };
    let config = crate::support::scratch("another-cluster.toml");
    std::fs::write(&config, here.replace(&section(&here), &section(&there))).unwrap();
    let ran = run(&config, &plan).expect(4);
    assert!(ran.stderr.contains("hdfs"), "{}", ran.stderr);
    assert!(world.in_hdfs(&format!("/user/{user}")));
    world.goes_on(user, &plan);
}

#[test]
fn a_host_whose_disks_are_full_is_archived_all_the_same() {
    let world = private();
    let world = alone(&world);
    let user = "elvisfull";
    world.seed(user, 10);
    let host = &world.0.hosts()[1].name;
    let home = format!("/srv/home/{user}");
    let full = world.on_host(
        host,
        &format!(
            "cp -a {home} /root/kept; \
             for place in /srv/home /tmp; do mount -t tmpfs -o size=1m tmpfs $place; done; \
             cp -a /root/kept {home}; chmod 1777 /tmp; \
             cat /dev/zero > /srv/home/filler; cat /dev/zero > /tmp/filler; \
             df --output=pcent /srv/home /tmp | tail -n 2"
        ),
    );
    assert_eq!(full, "100%\n100%\n");
    let plan = planned(&world.config(), user);
    let ran = run(&world.config(), &plan);
    let looked = offboard_with(&world.config()).arg(user).output().unwrap();
    let left = world.on_host(
        host,
        &format!("ls -d /srv/home/*{user}*; umount /srv/home /tmp; rm -rf /root/kept {home}"),
    );
    ran.expect(0);
    Ran::from(looked).expect(0);
    assert_eq!(left, "");
}

#[test]
fn a_second_interrupt_ends_at_once_what_the_first_could_not() {
    let world = private();
    let world = alone(&world);
    let user = "elvistwice";
    world.seed(user, 20_000);
    let plan = planned(&world.config(), user);
    let interrupt = |child: &Child| send("-INT", &child.id());
    let ran = run_until(
        &world.config(),
        &plan,
        &[
            ("START own-archive", &|child| {
                // Now no call is answered any more, and no safe point is near.
                world.signal("hdfs", "-STOP");
                interrupt(child);
            }),
            ("stopping at the next safe point", &interrupt),
        ],
    );
    world.signal("hdfs", "-CONT");
    ran.expect(130);
    world.goes_on(user, &plan);
}
