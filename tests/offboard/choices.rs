//! What the flags choose, who is refused, and how a run is stopped.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use opsweek_sandbox::SeedOptions;

use crate::support::{
    Ran, host_trees, in_hdfs, listing, offboard, offboard_with, sandbox, scratch, seed, seed_with,
    world_of,
};

const ARCHIVE: &str = "/wmf/data/archive/user";

/// Plans the archive with these further flags, which ends with this code, and runs it.
fn archive(user: &str, flags: &[&str], planned: i32) -> Ran {
    let plan = scratch(&format!("{user}.json"))
        .to_str()
        .unwrap()
        .to_owned();
    let mut command = offboard_with(&sandbox().config_path());
    command
        .args([
            user,
            "--archive",
            "--new-owner",
            "analytics",
            "--relocate",
            "--stop-processes",
        ])
        .args(flags)
        .args(["--save-plan", &plan]);
    Ran::from(command.output().unwrap()).expect(planned);
    offboard(["--plan", &plan, "--yes"])
}

#[test]
fn an_active_user_is_refused() {
    let user = "elvisactive";
    seed_with(
        user,
        &SeedOptions {
            active: true,
            ..SeedOptions::default()
        },
    );
    let before = world_of(user);
    let ran = offboard([
        user,
        "--archive",
        "--new-owner",
        "analytics",
        "--relocate",
        "--dry-run",
    ])
    .expect(8);
    assert!(ran.stderr.contains("ensure: present"), "{}", ran.stderr);
    offboard([
        user,
        "--archive",
        "--new-owner",
        "analytics",
        "--relocate",
        "--dry-run",
        "--even-if-active",
    ])
    .expect(3);
    assert_eq!(world_of(user), before);
}

#[test]
fn somebody_who_is_logged_in_is_refused() {
    let user = "elvislogin";
    seed(user);
    let session = format!(
        "setsid script --quiet --command 'sudo -u {user} sleep infinity' /dev/null \
         </dev/null >/dev/null 2>&1 & \
         until ps -U {user} -o tty= | grep -q pts; do :; done"
    );
    let host = &sandbox().hosts()[5].name;
    let started = sandbox()
        .ssh(host, &format!("sudo -n bash -c \"{session}\""))
        .unwrap();
    assert!(
        started.status.success(),
        "{}",
        String::from_utf8_lossy(&started.stderr)
    );
    let ran = offboard([
        user,
        "--archive",
        "--new-owner",
        "analytics",
        "--relocate",
        "--dry-run",
    ])
    .expect(8);
    assert!(
        ran.stderr.contains(&format!("is logged in on {host}")),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_snapshottable_folder_is_refused() {
    let user = "elvissnap";
    seed(user);
    let folder = format!("/user/{user}/notebooks");
    let allowed = sandbox()
        .hdfs(None, &["dfsadmin", "-allowSnapshot", &folder])
        .unwrap();
    assert!(allowed.status.success());
    let ran = offboard([
        user,
        "--archive",
        "--new-owner",
        "analytics",
        "--relocate",
        "--dry-run",
    ])
    .expect(8);
    assert!(
        ran.stderr.contains("notebooks has snapshots allowed"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_databases_folder_with_snapshots_is_refused() {
    let user = "elvisshots";
    seed(user);
    let folder = format!("/user/hive/warehouse/{user}.db");
    let allowed = sandbox()
        .hdfs(None, &["dfsadmin", "-allowSnapshot", &folder])
        .unwrap();
    assert!(allowed.status.success());
    let mut command = offboard_with(&sandbox().config_path());
    command.args([user, "--archive", "--new-owner", "analytics", "--relocate"]);
    let ran = Ran::from(command.arg("--dry-run").output().unwrap()).expect(8);
    let told = format!("{folder} has snapshots allowed");
    assert!(ran.stderr.contains(&told), "{}", ran.stderr);
}

#[test]
fn a_data_file_that_is_too_old_is_an_incomplete_look() {
    let user = "elvisold";
    seed(user);
    let text = std::fs::read_to_string(sandbox().config_path()).unwrap();
    let data = scratch("old-data.yaml");
    let file = std::fs::File::create(&data).unwrap();
    let day = std::time::Duration::from_hours(25);
    file.set_modified(std::time::SystemTime::now() - day)
        .unwrap();
    let lines = text.lines().map(|line| {
        if line.starts_with("data_file") {
            format!("data_file = {data:?}")
        } else {
            line.to_owned()
        }
    });
    let config = scratch("old.toml");
    std::fs::write(&config, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let run =
        |arguments: &[&str]| Ran::from(offboard_with(&config).args(arguments).output().unwrap());
    let looked = run(&[user]).expect(7);
    assert!(looked.stdout.contains("25 hours old"), "{}", looked.stdout);
    run(&[
        user,
        "--archive",
        "--new-owner",
        "analytics",
        "--relocate",
        "--dry-run",
    ])
    .expect(7);
}

#[test]
fn a_mount_in_a_home_spares_that_host() {
    let user = "elvismount";
    seed_with(
        user,
        &SeedOptions {
            mount: true,
            ..SeedOptions::default()
        },
    );
    let ran = archive(user, &[], 7).expect(7);
    assert!(
        ran.stdout.contains("is a mount point in a home"),
        "{}",
        ran.stdout
    );
    let trees = host_trees(user);
    let spared = "/home/elvismount/mnt/scratch";
    assert!(trees.contains(spared), "{trees}");
    let left: Vec<&str> = trees
        .lines()
        .filter(|line| line.contains("elvismount"))
        .collect();
    assert!(
        left.iter().all(|line| line.contains("/home/elvismount")),
        "{left:?}"
    );
    assert!(!in_hdfs("/user/elvismount"));
}

#[test]
fn homes_that_are_kept_stay_and_are_said_to() {
    let user = "elviskeep";
    seed(user);
    let homes = || {
        let trees = host_trees(user);
        trees
            .lines()
            .filter(|line| line.contains("/home/"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let before = homes();
    archive(user, &["--host-homes", "keep"], 3).expect(3);
    assert_eq!(homes(), before);
    assert!(!in_hdfs(&format!("/user/{user}")));
}

#[test]
fn homes_that_are_deleted_leave_a_listing() {
    let user = "elvisdelete";
    seed(user);
    let delete = ["--host-homes", "delete", "--task", "T123456"];
    archive(user, &delete, 3).expect(0);
    assert!(!host_trees(user).contains(&format!("/{user}")));
    let hosts = listing(&[&format!("{ARCHIVE}/{user}/.opsweek/hosts")]);
    assert!(
        hosts.contains(".list.zst") && !hosts.contains(".tar.zst"),
        "{hosts}"
    );
}

#[test]
fn a_lock_that_somebody_holds_is_respected() {
    let user = "elvislock";
    seed(user);
    let before = world_of(user);
    let lock = scratch("elvislock.lock");
    std::fs::write(&lock, r#"{"holder":"azy@example.org","plan":"sha256:1"}"#).unwrap();
    let path = format!("{ARCHIVE}/.{user}.lock");
    let put = sandbox()
        .hdfs(None, &["dfs", "-put", lock.to_str().unwrap(), &path])
        .unwrap();
    assert!(put.status.success());
    let ran = archive(user, &[], 3).expect(1);
    assert!(ran.stderr.contains("azy@example.org"), "{}", ran.stderr);
    assert!(
        sandbox()
            .hdfs(None, &["dfs", "-rm", &path])
            .unwrap()
            .status
            .success()
    );
    assert_eq!(world_of(user), before);
}

#[test]
fn an_interrupt_stops_at_a_safe_point_and_the_run_goes_on_later() {
    let user = "elvisstop";
    seed(user);
    let plan = scratch("elvisstop.json").to_str().unwrap().to_owned();
    offboard([
        user,
        "--archive",
        "--new-owner",
        "analytics",
        "--relocate",
        "--stop-processes",
        "--save-plan",
        &plan,
    ])
    .expect(3);
    let mut run = offboard_with(&sandbox().config_path())
        .args(["--plan", &plan, "--yes"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = run.id().to_string();
    let mut interrupted = false;
    for line in BufReader::new(run.stderr.take().unwrap()).lines() {
        if !interrupted && line.unwrap().starts_with("START move-home") {
            interrupted = Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success();
        }
    }
    assert!(interrupted);
    assert_eq!(run.wait().unwrap().code(), Some(6));
    assert!(!in_hdfs(&format!(
        "{ARCHIVE}/{user}/.opsweek/complete.json"
    )));
    offboard(["--plan", &plan, "--yes"]).expect(0);
    offboard([user]).expect(0);
}
