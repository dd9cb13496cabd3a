//! Private sandboxes of HDFS and metastore: faults, and starts that are killed.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use opsweek_sandbox::{Error, Sandbox, SeedOptions, Service, UpOptions, process};

/// A folder in cargo's target folder, without what an earlier run left.
fn fresh(name: &str) -> Sandbox {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let sandbox = Sandbox::open(&dir).unwrap();
    sandbox.down(&quiet).unwrap();
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    sandbox
}

fn quiet(_: &str) {}

fn options(split: bool) -> UpOptions {
    UpOptions {
        with: vec![Service::Metastore],
        split_datanode: split,
        split_metastore: split,
        ..UpOptions::default()
    }
}

/// What `hdfs dfs -cat` gives, or what it complains about.
fn cat(sandbox: &Sandbox, path: &str) -> Result<String, String> {
    let output = sandbox.hdfs(None, &["dfs", "-cat", path]).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

fn await_that(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(2);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_is_taken_away_comes_back_as_it_was() {
    let sandbox = fresh("faults");
    sandbox.up(&options(true), &quiet).unwrap();
    sandbox.seed("elvis", &SeedOptions::default()).unwrap();
    let file = "/user/elvis/-rf/--help";
    assert_eq!(cat(&sandbox, file).unwrap(), "apple\t3\n");
    let tables = "SELECT TBL_NAME FROM TBLS WHERE OWNER = 'elvis' ORDER BY 1";
    let before = sandbox.metastore_sql(tables).unwrap();
    assert_eq!(before.len(), 6);

    sandbox.stop_server("metastore").unwrap();
    let missing = sandbox.metastore_sql(tables).unwrap_err();
    assert!(
        matches!(
            missing,
            Error::NotUp {
                service: Service::Metastore,
                ..
            }
        ),
        "{missing}"
    );
    assert_eq!(cat(&sandbox, file).unwrap(), "apple\t3\n");
    sandbox.start_server("metastore", &quiet).unwrap();
    assert_eq!(sandbox.metastore_sql(tables).unwrap(), before);

    let names = || -> Vec<(String, i32)> {
        let servers = sandbox.status().unwrap().servers;
        servers
            .into_iter()
            .map(|server| (server.name, server.pid))
            .collect()
    };
    let all = names();
    sandbox.stop_server("datanode").unwrap();
    assert_eq!(names().len(), all.len() - 1);
    sandbox.start_server("datanode", &quiet).unwrap();
    assert_eq!(cat(&sandbox, file).unwrap(), "apple\t3\n");
    let kept = |name: &str| {
        all.iter()
            .find(|(known, _)| known == name)
            .cloned()
            .unwrap()
    };
    assert!(
        names().contains(&kept("hdfs")),
        "the NameNode was left alone"
    );
    assert!(
        names().contains(&kept("metastore")),
        "the metastore was left alone"
    );

    sandbox.stop_server("hdfs").unwrap();
    let missing = sandbox.hdfs(None, &["dfs", "-ls", "/"]).unwrap_err();
    assert!(
        matches!(
            missing,
            Error::NotUp {
                service: Service::Hdfs,
                ..
            }
        ),
        "{missing}"
    );
    sandbox.start_server("hdfs", &quiet).unwrap();
    assert_eq!(cat(&sandbox, file).unwrap(), "apple\t3\n");

    sandbox.down(&quiet).unwrap();
    assert_eq!(process::of_sandbox(sandbox.dir()), []);
}

/// Kills `sandbox up` with -9 once `moment` has come, then wants the next one to
/// work and `down` to leave nothing.
fn kill_at(sandbox: &Sandbox, moment: impl Fn(&Path) -> bool) {
    let dir = sandbox.dir();
    let mut up = Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .args(["up", "--with", "hdfs,metastore", "--dir"])
        .arg(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    await_that("the moment to kill comes", || moment(dir));
    up.kill().unwrap();
    up.wait().unwrap();

    sandbox.up(&options(false), &quiet).unwrap();
    let listed = sandbox.hdfs(None, &["dfs", "-ls", "/"]).unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let databases = sandbox.metastore_sql("SELECT NAME FROM DBS").unwrap();
    assert_eq!(databases, [["default"]]);
    sandbox.down(&quiet).unwrap();
    assert_eq!(process::of_sandbox(dir), []);
}

#[test]
fn a_start_killed_at_any_moment_is_cleaned_up_by_the_next() {
    let sandbox = fresh("killed");
    let log = |dir: &Path| dir.join("hdfs/hdfs+datanode+metastore.log");
    let says = move |dir: &Path, text: &str| {
        fs::read_to_string(log(dir)).is_ok_and(|log| log.contains(text))
    };
    kill_at(&sandbox, |_| true);
    fs::remove_dir_all(sandbox.dir()).unwrap();
    kill_at(&sandbox, |dir| dir.join("sandbox.json").exists());
    kill_at(&sandbox, |dir| !process::of_sandbox(dir).is_empty());
    fs::remove_dir_all(sandbox.dir()).unwrap();
    kill_at(&sandbox, |dir| {
        dir.join("metastore/derby.new").exists() || log(dir).exists()
    });
    // The NameNode has been made, the DataNode not yet.
    kill_at(&sandbox, |dir| says(dir, "NameNode RPC up"));
    kill_at(&sandbox, |dir| says(dir, "READY"));
}

#[test]
fn a_failed_start_says_why_and_leaves_nothing() {
    let sandbox = fresh("failing");
    let image = sandbox.dir().join("hdfs/name/current");
    fs::create_dir_all(&image).unwrap();
    fs::write(image.join("VERSION"), "layoutVersion=nonsense\n").unwrap();
    let error = sandbox.up(&options(false), &quiet).unwrap_err();
    let said = error.to_string();
    assert!(
        said.starts_with("server hdfs+datanode+metastore ended while it started"),
        "{said}"
    );
    assert!(said.contains("nonsense"), "{said}");
    assert_eq!(process::of_sandbox(sandbox.dir()), []);
}
