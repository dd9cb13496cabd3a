//! What breaks while things are deleted, in the sandbox of these tests' own.

use std::process::{Child, Command};

use super::servers::{ARCHIVE, Private, UNSEEN, alone, private};
use super::{clean, run, run_with};
use crate::support::{Ran, offboard_with, scratch, send};

/// A part was not done, and what stands now was looked at.
const PARTLY: i32 = 6;

const DELETE: [&str; 3] = ["--delete", "--task", "T123456"];

/// Seeds a leaver in whose places nobody else has anything.
fn leaver(world: &Private, user: &str) {
    world.seed(user, 10);
    let (from, to) = (
        format!("/user/{user}/exports"),
        format!("/user/azy/of-{user}"),
    );
    world.hdfs(&["dfs", "-mkdir", "-p", "/user/azy"]);
    world.hdfs(&["dfs", "-mv", &from, &to]);
    // Derby has no REPLACE.
    let before = format!("LOCATE('{from}', LOCATION)");
    let sql = format!(
        "UPDATE SDS SET LOCATION = SUBSTR(LOCATION, 1, {before} - 1) || '{to}' || \
         SUBSTR(LOCATION, {before} + {}) WHERE LOCATION LIKE '%{from}%'",
        from.len()
    );
    world.0.metastore_sql(&sql).unwrap();
}

/// What `offboard` says when it plans for the user.
fn plan(world: &Private, user: &str, flags: &[&str]) -> (Ran, String) {
    let plan = scratch(&format!("{user}.json"));
    let mut command = offboard_with(&world.config());
    command
        .args([user, "--new-owner", "analytics", "--stop-processes"])
        .args(flags)
        .arg("--save-plan")
        .arg(&plan);
    let ran = Ran::from(command.output().unwrap());
    (ran, plan.to_str().unwrap().to_owned())
}

/// Plans the deletion of a leaver; gives the plan's file.
fn planned(world: &Private, user: &str, flags: &[&str]) -> String {
    leaver(world, user);
    let (ran, plan) = plan(world, user, &[&DELETE[..], flags].concat());
    ran.expect(3);
    plan
}

/// Where something of the user is left: home, database's folder, database, homes on hosts.
fn left(world: &Private, user: &str) -> Vec<String> {
    let mut left = Vec::new();
    for path in [
        format!("/user/{user}"),
        format!("/user/hive/warehouse/{user}.db"),
    ] {
        left.extend(world.in_hdfs(&path).then_some(path));
    }
    let sql = format!("SELECT NAME FROM DBS WHERE NAME = '{user}'");
    let databases = world.0.metastore_sql(&sql).unwrap();
    left.extend(databases.iter().map(|_| "database".to_owned()));
    left.extend(homes(world, user));
    left
}

/// The hosts that have a home of the user.
fn homes(world: &Private, user: &str) -> Vec<String> {
    let folders = ["home", "srv/home"];
    let hosts = world.0.hosts().into_iter();
    let with = hosts.filter(|host| {
        folders.iter().any(|folder| {
            let home = host.root.join(folder).join(user);
            home.symlink_metadata().is_ok()
        })
    });
    with.map(|host| host.name).collect()
}

/// The outcomes say of each of these steps what they should.
#[track_caller]
fn told(ran: &Ran, steps: &[(&str, &str)]) {
    for (step, state) in steps {
        let of_step = |line: &&str| line.trim_start().split(' ').next() == Some(step);
        let mut lines = ran.stdout.lines().filter(of_step);
        assert!(
            lines.any(|line| line.contains(state)),
            "{step} {state}:\n{}\n{}",
            ran.stdout,
            ran.stderr
        );
    }
}

/// Goes on with the plan to the end, and nothing but the records is left.
#[track_caller]
fn goes_on(world: &Private, user: &str, plan: &str) {
    run(&world.config(), plan).expect(0);
    assert_eq!(left(world, user), [""; 0]);
    assert!(world.in_hdfs(&format!("{ARCHIVE}/{user}/.opsweek/complete.json")));
    clean(&world.config(), user);
}

#[test]
fn safe_mode_in_the_middle() {
    let world = private();
    let world = alone(&world);
    let user = "elvisdelsafe";
    let plan = planned(&world, user, &[]);
    let step = format!("delete-user/{user}");
    let ran = run_with(&world.config(), &plan, &format!("started:{step}"), |_| {
        world.hdfs(&["dfsadmin", "-safemode", "enter"]);
    });
    let stands = left(&world, user);
    world.hdfs(&["dfsadmin", "-safemode", "leave"]);
    let ran = ran.expect(PARTLY);
    let drop = format!("drop-{user}");
    told(&ran, &[(&step, "safe mode"), (&drop, "skipped")]);
    assert!(
        ran.stderr.contains("cannot give the lock"),
        "{}",
        ran.stderr
    );
    // The database has its files still, and hosts have nothing any more.
    assert_eq!(stands.len(), 3, "{stands:?}");
    assert_eq!(homes(&world, user), [""; 0]);
    goes_on(&world, user, &plan);
}

#[test]
fn a_namenode_lost_in_the_middle() {
    let world = private();
    let world = alone(&world);
    let user = "elvisdelname";
    let plan = planned(&world, user, &["--skip-trash"]);
    let step = format!("delete-user/{user}");
    let ran = run_with(&world.config(), &plan, &format!("started:{step}"), |_| {
        world.kill("hdfs");
    })
    .expect(UNSEEN);
    let drop = format!("drop-{user}");
    told(&ran, &[(&step, "failed"), (&drop, "done")]);
    assert!(ran.stdout.contains("NOT looked at: hdfs"), "{}", ran.stdout);
    world.start("hdfs");
    let stands = left(&world, user);
    assert_eq!(stands.len(), 2, "{stands:?}");
    goes_on(&world, user, &plan);
}

#[test]
fn a_metastore_lost_in_the_middle() {
    for (user, flags, stands) in [
        // What the trash has can be had back; what is deleted cannot, and waits.
        ("elvisdelhive", &[][..], 1),
        ("elvisdelhivenow", &["--skip-trash"], 3),
    ] {
        let world = private();
        let world = alone(&world);
        let plan = planned(&world, user, flags);
        let drop = format!("drop-{user}");
        let ran = run_with(&world.config(), &plan, &format!("started:{drop}"), |_| {
            world.kill("metastore");
        })
        .expect(UNSEEN);
        let home = format!("delete-user/{user}");
        let of_home = if flags.is_empty() { "done" } else { "skipped" };
        told(&ran, &[(&drop, "failed"), (&home, of_home)]);
        assert!(ran.stdout.contains("NOT looked at: hive"), "{}", ran.stdout);
        world.start("metastore");
        let left = left(&world, user);
        assert_eq!(left.len(), stands, "{left:?}");
        goes_on(&world, user, &plan);
    }
}

#[test]
fn a_host_lost_in_the_middle_holds_hdfs_back() {
    let world = private();
    let world = alone(&world);
    let user = "elvisdelhost";
    let plan = planned(&world, user, &[]);
    let host = world.0.hosts()[0].clone();
    let step = format!("remove-{}", host.name);
    let ran = run_with(&world.config(), &plan, &format!("started:{step}"), |_| {
        let server = format!("ListenAddress={}:{}", host.address, host.port);
        let found = Command::new("pgrep").args(["-f", &server]).output();
        let found = String::from_utf8(found.unwrap().stdout).unwrap();
        // With its first process a host ends as a whole.
        for pid in found.lines() {
            send("-KILL", &pid);
        }
    })
    .expect(UNSEEN);
    let home = format!("delete-user/{user}");
    told(&ran, &[(&step, "failed"), (&home, "skipped")]);
    let unseen = format!("NOT looked at: {}", host.name);
    assert!(ran.stdout.contains(&unseen), "{}", ran.stdout);
    world.up(false);
    let stands = left(&world, user);
    let expected = [
        format!("/user/{user}"),
        format!("/user/hive/warehouse/{user}.db"),
        "database".to_owned(),
        host.name,
    ];
    assert_eq!(stands, expected);
    goes_on(&world, user, &plan);
}

/// As a run leaves a host that dies while it removes a home.
#[test]
fn a_removal_that_dies_halfway_is_finished() {
    let world = private();
    let world = alone(&world);
    let user = "elvisdelhalf";
    let plan = planned(&world, user, &[]);
    let host = world.0.hosts()[0].name.clone();
    let step = format!("remove-{host}");
    let tomb = format!("/home/.{user}.opsweek-removing");
    let killed = run_with(
        &world.config(),
        &plan,
        &format!("started:{step}"),
        |child| {
            world.on_host(
                &host,
                &format!("mv /home/{user} {tomb}; rm -r {tomb}/notebooks"),
            );
            send("-KILL", &child.id());
        },
    );
    assert_eq!(killed.code, None);
    let looked = offboard_with(&world.config()).arg(user).output().unwrap();
    let looked = Ran::from(looked).expect(3);
    assert!(looked.stdout.contains(&tomb), "{}", looked.stdout);
    assert!(world.in_hdfs(&format!("/user/{user}")));
    goes_on(&world, user, &plan);
    let remains = world.on_host(&host, &format!("ls -A /home | grep -c {user} || true"));
    assert_eq!(remains, "0\n");
}

#[test]
fn a_host_that_no_longer_lets_us_become_root() {
    let world = private();
    let world = alone(&world);
    let user = "elvisdelsudo";
    let plan = planned(&world, user, &[]);
    let host = world.0.hosts()[0].name.clone();
    let step = format!("remove-{host}");
    let give_back = "/usr/bin/mv /root/ops /etc/sudoers.d/ops";
    let ran = run_with(&world.config(), &plan, &format!("started:{step}"), |_| {
        world.on_host(
            &host,
            &format!(
                "cp -a /etc/sudoers.d/ops /root/ops; \
                 echo \"ops ALL=(ALL:ALL) NOPASSWD: {give_back}\" > /etc/sudoers.d/ops"
            ),
        );
    });
    let stands = left(&world, user);
    let given = world.0.ssh(&host, &format!("sudo -n {give_back}")).unwrap();
    assert!(given.status.success(), "{given:?}");
    let ran = ran.expect(UNSEEN);
    let home = format!("delete-user/{user}");
    told(&ran, &[(&step, "sudo"), (&home, "skipped")]);
    assert_eq!(stands.len(), 4, "{stands:?}");
    goes_on(&world, user, &plan);
}

#[test]
fn who_may_not_change_hdfs_deletes_nothing() {
    let world = private();
    let world = alone(&world);
    let user = "elvisdelmay";
    let plan = planned(&world, user, &[]);
    let before = left(&world, user);
    let config = scratch("delete-as-azy.toml");
    let text = std::fs::read_to_string(world.config()).unwrap();
    let (start, hdfs) = text.split_once("[hdfs]").unwrap();
    let as_azy = hdfs.replacen("user = \"hdfs\"", "user = \"azy\"", 1);
    std::fs::write(&config, format!("{start}[hdfs]{as_azy}")).unwrap();
    let denied = run(&config, &plan);
    // Somebody who may write there gets as far as the first thing that only a superuser may do.
    world.hdfs(&["dfs", "-chmod", "1777", ARCHIVE]);
    let further = run(&config, &plan);
    world.hdfs(&["dfs", "-chmod", "755", ARCHIVE]);
    let denied = denied.expect(1);
    assert!(
        denied.stderr.contains("permission denied"),
        "{}",
        denied.stderr
    );
    let further = further.expect(UNSEEN);
    told(&further, &[("make-records", "permission denied")]);
    assert!(
        further.stdout.contains("hint: azy lacks the right"),
        "{}",
        further.stdout
    );
    assert_eq!(left(&world, user), before);
    goes_on(&world, user, &plan);
    let listed = world.hdfs(&["dfs", "-ls", "-R", &format!("{ARCHIVE}/{user}")]);
    assert!(!listed.contains(" azy "), "{listed}");
}

#[test]
fn an_interrupt_ends_what_has_not_begun() {
    let world = private();
    let world = alone(&world);
    let user = "elvisdelstop";
    let plan = planned(&world, user, &["--batch", "1"]);
    let hosts = world.0.hosts();
    let step = format!("remove-{}", hosts[0].name);
    let interrupt = |child: &Child| send("-INT", &child.id());
    let ran = run_with(
        &world.config(),
        &plan,
        &format!("finished:{step}"),
        interrupt,
    )
    .expect(PARTLY);
    let (other, home) = (
        format!("remove-{}", hosts[1].name),
        format!("delete-user/{user}"),
    );
    told(
        &ran,
        &[(&step, "done"), (&other, "skipped"), (&home, "skipped")],
    );
    assert_eq!(homes(&world, user), [hosts[1].name.clone()]);
    assert!(world.in_hdfs(&format!("/user/{user}")));
    goes_on(&world, user, &plan);
}

/// While this stands the cluster has no trash.
struct Trashless<'a>(&'a Private);

impl<'a> Trashless<'a> {
    fn new(world: &'a Private) -> Self {
        let guard = Self(world);
        world.0.stop_server("hdfs").unwrap();
        world.up(true);
        guard
    }
}

impl Drop for Trashless<'_> {
    fn drop(&mut self) {
        // Whoever needs it next starts it as usual.
        self.0.0.stop_server("hdfs").unwrap();
    }
}

#[test]
fn without_a_trash_it_is_refused_beforehand() {
    let world = private();
    let world = alone(&world);
    let (user, kept) = ("elvisnotrash", "elvisnotrashkept");
    leaver(&world, user);
    leaver(&world, kept);
    let _trashless = Trashless::new(&world);
    let before = left(&world, user);
    let (refused, _) = plan(&world, user, &DELETE);
    let refused = refused.expect(8);
    for said in ["HDFS has no trash", "--skip-trash"] {
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    assert_eq!(left(&world, user), before);
    let (ran, file) = plan(&world, user, &[&DELETE[..], &["--skip-trash"]].concat());
    ran.expect(3);
    goes_on(&world, user, &file);

    // An archive does without: what would have gone to the trash goes along, and comes back.
    let (ran, file) = plan(&world, kept, &["--archive"]);
    let ran = ran.expect(3);
    let told = format!("/user/{kept}/.Trash is archived too: HDFS has no trash");
    assert!(ran.stdout.contains(&told), "{}", ran.stdout);
    goes_on(&world, kept, &file);
    assert!(world.in_hdfs(&format!("{ARCHIVE}/{kept}/.Trash/Current")));
    let mut restore = offboard_with(&world.config());
    let restore = restore.args([kept, "--restore", "--yes"]).output().unwrap();
    let restored = Ran::from(restore).expect(3);
    let told = format!("the records stay in {ARCHIVE}/.{kept}.restoring as HDFS has no trash");
    assert!(restored.stdout.contains(&told), "{}", restored.stdout);
    assert!(world.in_hdfs(&format!("/user/{kept}/.Trash/Current")));
}
