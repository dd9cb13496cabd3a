//! The way to HDFS when HDFS goes away on it, and what a reader sees of it.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::relay::{Fate, Relay};
use super::review::hinted_plan;
use super::stage::{ALLOWLIST, Stage};
use super::sync::is_alone;
use crate::support::Ran;

/// Nothing but the look at what stands now outranks that only a part was done.
const UNSEEN: i32 = 7;

/// The tool's ways to the `NameNode`, both through relays.
struct Ways {
    rpc: Relay,
    http: Relay,
}

impl Ways {
    fn of(stage: &Stage) -> Self {
        let (rpc, http) = Stage::namenode();
        let ways = Self {
            rpc: Relay::to(rpc),
            http: Relay::to(http),
        };
        stage.namenode_at(ways.rpc.port, ways.http.port);
        ways
    }

    fn close(&self) {
        self.rpc.close();
        self.http.close();
    }

    fn open(&self) {
        self.rpc.open();
        self.http.open();
    }
}

/// Whether what a client sends is the call that gives a file this path.
fn is_rename_to(piece: &[u8], path: &str) -> bool {
    let has = |word: &str| piece.windows(word.len()).any(|it| it == word.as_bytes());
    has("rename2") && has(path)
}

fn in_hdfs(stage: &Stage) -> String {
    Stage::hdfs(&["-cat", &format!("{}/allowlist.tsv", stage.table())])
}

/// What was begun is gone on with, to the end, and nothing is done twice.
fn goes_on(stage: &Stage, plan: &str) {
    stage.run(&["--plan", plan, "--yes"]).expect(0);
    assert_eq!(in_hdfs(stage), stage.read(ALLOWLIST));
    is_alone(stage);
    assert!(!Stage::hdfs(&["-ls", &stage.kept()]).contains("lock"));
    assert_eq!(stage.git(&["rev-list", "--count", "master..HEAD"]), "1");
    assert_eq!(stage.git(&["for-each-ref", "refs/opsweek"]), "");
}

#[test]
fn hdfs_that_goes_down_between_commit_and_swap() {
    let stage = Stage::with_hdfs("outage");
    let ways = Ways::of(&stage);
    let old = stage.read(ALLOWLIST);
    // The commit lasts until HDFS is away.
    let (committed, away) = (stage.file("committed"), stage.file("away"));
    let hook = stage.refinery.checkout().join(".git/hooks/post-commit");
    let script = format!(
        "#!/bin/sh\ntouch {}\nuntil [ -e {} ]; do sleep 0.02; done\n",
        committed.display(),
        away.display()
    );
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = stage.command(&["azywiki", "--push", "--sync-hdfs", "--yes"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !committed.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before");
        thread::sleep(Duration::from_millis(20));
    }
    ways.close();
    fs::write(&away, "").unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap()).expect(UNSEEN);

    // What is for review is whole, and HDFS is as it was.
    assert!(ran.stderr.contains("allowlist.tsv"), "{}", ran.stderr);
    let waiting = stage.refinery.waiting().unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(stage.git(&["status", "--porcelain"]), "");
    assert_ne!(stage.read(ALLOWLIST), old);
    assert_eq!(in_hdfs(&stage), old);
    is_alone(&stage);

    ways.open();
    goes_on(&stage, &hinted_plan(&ran.stderr));
    assert_eq!(stage.refinery.waiting().unwrap(), waiting);
}

#[test]
fn hdfs_that_goes_down_in_the_middle_of_the_swap() {
    for (name, fate) in [("request", Fate::Lost), ("answer", Fate::Unanswered)] {
        let stage = Stage::with_hdfs(name);
        let ways = Ways::of(&stage);
        let old = stage.read(ALLOWLIST);
        let target = format!("{}/allowlist.tsv", stage.table());
        ways.rpc.watch(move |piece| {
            if is_rename_to(piece, &target) {
                fate
            } else {
                Fate::Passes
            }
        });
        let ran = stage
            .run(&["azywiki", "--sync-hdfs", "--yes"])
            .expect(UNSEEN);
        assert!(ran.stderr.contains("swap-allowlist"), "{}", ran.stderr);
        let new = stage.read(ALLOWLIST);
        let there = if fate == Fate::Lost { &old } else { &new };
        assert!(in_hdfs(&stage) == *there, "{name}");
        let listed = stage.listed();
        let visible = listed.iter().filter(|(_, name)| !name.starts_with('_'));
        assert_eq!(visible.count(), 1, "{name}: {listed:?}");

        ways.open();
        goes_on(&stage, &hinted_plan(&ran.stderr));
    }
}

#[test]
fn a_kill_in_the_middle_of_the_swap() {
    let stage = Stage::with_hdfs("midswap");
    let ways = Ways::of(&stage);
    let old = stage.read(ALLOWLIST);
    let plan = stage.file("plan.json").display().to_string();
    stage
        .run(&["azywiki", "--sync-hdfs", "--save-plan", &plan])
        .expect(3);
    let target = format!("{}/allowlist.tsv", stage.table());
    let (seen, rename) = mpsc::channel();
    let (dead, killed) = mpsc::channel::<()>();
    ways.rpc.watch(move |piece| {
        if !is_rename_to(piece, &target) {
            return Fate::Passes;
        }
        seen.send(()).unwrap();
        killed.recv().unwrap();
        Fate::Lost
    });
    let mut command = stage.command(&["--plan", &plan, "--yes"]);
    let silent = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = silent.spawn().unwrap();
    rename.recv().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    dead.send(()).unwrap();
    // What was written for the swap is there, and no reader sees it.
    let listed = stage.listed();
    let names: Vec<&str> = listed.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["_TMP.allowlist.tsv", "allowlist.tsv"]);
    assert_eq!(in_hdfs(&stage), old);

    ways.open();
    goes_on(&stage, &plan);
}

/// What a reader finds in the table's folder, by WebHDFS.
struct Reader {
    folder: String,
    port: u16,
    versions: [String; 2],
}

impl Reader {
    /// The answer, head and body, once nothing leads elsewhere.
    fn get(server: &str, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(server)?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let moved = answer
            .lines()
            .find_map(|line| line.strip_prefix("Location: http://"));
        match moved.and_then(|to| to.split_once('/')) {
            Some((server, path)) => Self::get(server, &format!("/{path}")),
            None => Ok(answer),
        }
    }

    /// The only visible file is there, as the old or as the new list: which of them.
    fn look(&self) -> Result<usize, String> {
        let ask = |name: &str, op: &str| {
            let path = format!("/webhdfs/v1{}{name}?op={op}&user.name=hdfs", self.folder);
            let answer = Self::get(&format!("127.0.0.1:{}", self.port), &path);
            let answer = answer.map_err(|error| format!("{op}: {error}"))?;
            let body = answer
                .split_once("\r\n\r\n")
                .map(|(_, body)| body.to_owned());
            body.ok_or(answer)
        };
        let listing = ask("", "LISTSTATUS")?;
        let json: Value = serde_json::from_str(&listing).map_err(|_| listing.clone())?;
        let files = json["FileStatuses"]["FileStatus"].as_array();
        let visible: Vec<(&str, u64)> = files
            .ok_or(listing)?
            .iter()
            .filter_map(|file| Some((file["pathSuffix"].as_str()?, file["length"].as_u64()?)))
            .filter(|(name, _)| !name.starts_with(['_', '.']))
            .collect();
        let whole = |length| self.versions.iter().any(|text| text.len() as u64 == length);
        match visible[..] {
            [("allowlist.tsv", length)] if whole(length) => {}
            _ => return Err(format!("visible: {visible:?}")),
        }
        let body = ask("/allowlist.tsv", "OPEN")?;
        let version = self.versions.iter().position(|text| *text == body);
        version.ok_or_else(|| format!("read: {body:.200}"))
    }
}

#[test]
fn a_reader_sees_the_old_list_or_the_new_one_at_every_moment() {
    let stage = Stage::with_hdfs("reader");
    let ways = Ways::of(&stage);
    let old = stage.read(ALLOWLIST);
    let flags = ["azywiki", "--only", "allowlist", "--no-commit", "--yes"];
    stage.run(&flags).expect(0);
    let new = stage.read(ALLOWLIST);
    assert_ne!(old, new);
    let reader = Arc::new(Reader {
        folder: stage.table(),
        port: Stage::namenode().1,
        versions: [old, new],
    });
    let looks = Arc::new(Mutex::new(Vec::new()));
    // Whatever changes in the folder is one call of the NameNode: it is looked between any
    // two of them.
    ways.rpc.watch({
        let (reader, looks) = (Arc::clone(&reader), Arc::clone(&looks));
        move |_| {
            looks.lock().unwrap().push(reader.look());
            Fate::Passes
        }
    });
    // And another looks all the time.
    let ended = Arc::new(AtomicBool::new(false));
    let all_the_time = thread::spawn({
        let (reader, ended) = (Arc::clone(&reader), Arc::clone(&ended));
        move || {
            let mut looks = Vec::new();
            while !ended.load(Ordering::SeqCst) {
                looks.push(reader.look());
            }
            looks
        }
    });
    let ran = stage.run(&["--sync-hdfs", "--yes"]);
    ended.store(true, Ordering::SeqCst);
    ran.expect(0);
    let mut looks = std::mem::take(&mut *looks.lock().unwrap());
    assert_eq!(looks.first(), Some(&Ok(0)));
    assert_eq!(looks.last(), Some(&Ok(1)));
    looks.extend(all_the_time.join().unwrap());
    let wrong: Vec<_> = looks.iter().filter(|look| look.is_err()).collect();
    assert!(wrong.is_empty(), "of {} looks: {wrong:?}", looks.len());
    is_alone(&stage);
}
