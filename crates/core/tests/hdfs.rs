//! The HDFS service against a real `NameNode` and `DataNode`: the sandbox that `OPSWEEK_SANDBOX` names.
//! Results are judged over `WebHDFS` by plain HTTP requests, not by the service itself.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use opsweek_core::services::hdfs::{AclEntry, Config, Error, Existing, Hdfs, Status, TreeChange};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Names that break careless tools.
const AWKWARD: [&str; 7] = [
    "with space",
    "-rf",
    "new\nline",
    "ünï日本",
    "%41 ?&#+;*",
    "quo'te\"",
    "_TMP.x",
];

fn sandbox() -> PathBuf {
    let dir = std::env::var_os("OPSWEEK_SANDBOX");
    dir.expect("OPSWEEK_SANDBOX must name the folder of a running sandbox; `cargo verify` sets it")
        .into()
}

fn webhdfs() -> Vec<String> {
    let path = sandbox().join("config.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let config: toml::Table = text.parse().unwrap();
    let urls = config["hdfs"]["webhdfs"].as_array().unwrap();
    let url = |url: &toml::Value| url.as_str().unwrap().to_owned();
    urls.iter().map(url).collect()
}

fn client(user: &str) -> Hdfs {
    Hdfs::connect(Config {
        conf_dir: Some(sandbox().join("hdfs/conf")),
        webhdfs: webhdfs(),
        ..Config::new(user)
    })
    .unwrap()
}

/// One `WebHDFS` operation as the superuser; the status and the answer.
fn web(method: &str, path: &str, query: &str) -> (u16, Value) {
    let mut encoded = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02X}").unwrap();
        }
    }
    raw_web(method, &encoded, query)
}

/// The same with a path that is percent-encoded already.
fn raw_web(method: &str, path: &str, query: &str) -> (u16, Value) {
    let base = &webhdfs()[0];
    let url = format!("{base}/webhdfs/v1{path}?user.name=hdfs&{query}");
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let mut answer = match method {
        "GET" => agent.get(url).call(),
        _ => agent.put(url).send_empty(),
    }
    .unwrap();
    let body = answer.body_mut().read_to_string().unwrap();
    let value = serde_json::from_str(&body).unwrap_or(Value::String(body));
    (answer.status().as_u16(), value)
}

/// The status of a path, in the judge's eyes.
fn judge(path: &str) -> Option<Value> {
    let (status, answer) = web("GET", path, "op=GETFILESTATUS");
    (status == 200).then(|| answer["FileStatus"].clone())
}

/// Owner, group and mode, such as `elvis:wikidev 750`.
fn attributes(path: &str) -> String {
    let status = judge(path).unwrap_or_else(|| panic!("{path:?} is missing"));
    let text = |key: &str| status[key].as_str().unwrap().to_owned();
    format!("{}:{} {}", text("owner"), text("group"), text("permission"))
}

fn names(path: &str) -> BTreeSet<String> {
    let (status, answer) = web("GET", path, "op=LISTSTATUS");
    assert_eq!(status, 200, "{answer}");
    let entries = answer["FileStatuses"]["FileStatus"].as_array().unwrap();
    let name = |entry: &Value| entry["pathSuffix"].as_str().unwrap().to_owned();
    entries.iter().map(name).collect()
}

/// A folder of its own for each test, open to all.
async fn scratch(hdfs: &Hdfs, test: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let path = format!("/tmp/{test}-{now}-{count}");
    hdfs.mkdir(&path, 0o777).await.unwrap();
    path
}

async fn put(hdfs: &Hdfs, path: &str, content: &str) {
    hdfs.put_bytes(path, content.as_bytes(), 0o644, Existing::Refuse)
        .await
        .unwrap();
}

fn acl(entries: &[&str]) -> Vec<AclEntry> {
    entries.iter().map(|entry| entry.parse().unwrap()).collect()
}

/// Whether an error is of the given variant.
macro_rules! assert_error {
    ($result:expr, $kind:ident) => {
        match $result {
            Err(Error::$kind { .. }) => {}
            other => panic!("wanted {}, got {other:?}", stringify!($kind)),
        }
    };
}

#[tokio::test]
async fn tells_which_cluster_it_is() {
    let hdfs = client("hdfs");
    let cluster = hdfs.cluster().await.unwrap();
    let base = &webhdfs()[0];
    let url = format!("{base}/jmx?qry=Hadoop:service=NameNode,name=NameNodeInfo");
    let body = ureq::get(url).call().unwrap();
    let body = body.into_body().read_to_string().unwrap();
    let jmx: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(jmx["beans"][0]["ClusterId"], *cluster.cluster_id);
    assert_eq!(jmx["beans"][0]["BlockPoolId"], *cluster.block_pool_id);
    assert!(!hdfs.safe_mode().await.unwrap());
}

#[tokio::test]
async fn acts_as_the_given_user_only() {
    let hdfs = client("elvis");
    let path = scratch(&hdfs, "user").await;
    assert!(attributes(&path).starts_with("elvis:"), "{path}");
    let nowhere = Hdfs::connect(Config::new("elvis"));
    assert_error!(nowhere, Config);
}

#[test]
fn the_environment_does_not_leak_in() {
    let conf = sandbox().join("hdfs/conf");
    let out = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "acts_as_the_given_user_only"])
        .env("HADOOP_USER_NAME", "azywiki")
        .env("HADOOP_PROXY_USER", "azywiki")
        .env("HADOOP_CONF_DIR", conf)
        .env("http_proxy", "http://127.0.0.1:1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn awkward_names_work_everywhere() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "awkward").await;
    for name in AWKWARD {
        let folder = format!("{root}/{name}");
        hdfs.mkdir(&folder, 0o750).await.unwrap();
        put(&hdfs, &format!("{folder}/{name}"), name).await;
        hdfs.set_owner(&folder, Some("elvis"), Some("wikidev"))
            .await
            .unwrap();
        hdfs.set_mode(&folder, 0o1701).await.unwrap();
        assert_eq!(attributes(&folder), "elvis:wikidev 1701");
        let content = hdfs.read_all(&format!("{folder}/{name}"), 100).await;
        assert_eq!(content.unwrap(), name);
        let moved = format!("{root}/moved {name}");
        hdfs.rename(&folder, &moved).await.unwrap();
        assert!(judge(&folder).is_none());
        hdfs.rename(&moved, &folder).await.unwrap();
    }
    let want: BTreeSet<String> = AWKWARD.map(str::to_owned).into();
    assert_eq!(names(&root), want);
    let listed = hdfs.list(&root).await.unwrap();
    let own = |status: &Status| status.path[root.len() + 1..].to_owned();
    assert_eq!(listed.iter().map(own).collect::<BTreeSet<_>>(), want);
    let walked: Vec<_> = hdfs.walk(&root).map(Result::unwrap).collect().await;
    assert_eq!(walked.len(), 1 + 2 * AWKWARD.len());
    for name in AWKWARD {
        let place = hdfs.trash(&format!("{root}/{name}")).await.unwrap();
        assert_eq!(place, format!("/user/hdfs/.Trash/Current{root}/{name}"));
        assert_eq!(attributes(&place), "elvis:wikidev 1701");
    }
    assert!(names(&root).is_empty());
}

/// A name that is not UTF-8 cannot come to be: the `NameNode` decodes what it is sent.
#[tokio::test]
async fn the_namenode_turns_names_into_utf8() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "utf8").await;
    let (status, answer) = raw_web("PUT", &format!("{root}/%FFx"), "op=MKDIRS");
    assert_eq!(status, 200, "{answer}");
    let listed = hdfs.list(&root).await.unwrap();
    assert_eq!(listed[0].path, format!("{root}/\u{fffd}x"));
}

#[tokio::test]
async fn stat_and_summary_tell_what_is_there() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "stat").await;
    let file = format!("{root}/d/f");
    hdfs.mkdir(&format!("{root}/d"), 0o755).await.unwrap();
    put(&hdfs, &file, "12345").await;
    let status = hdfs.stat(&file).await.unwrap().unwrap();
    let seen = judge(&file).unwrap();
    assert_eq!(status.modified_ms, seen["modificationTime"]);
    assert_eq!(u64::from(status.replication), seen["replication"]);
    assert_eq!((status.len, status.mode, status.is_dir), (5, 0o644, false));
    assert_eq!(hdfs.encrypted(&file).await.unwrap(), Some(false));
    for missing in [
        format!("{root}/no"),
        format!("{root}/no/no"),
        format!("{file}/no"),
    ] {
        assert_eq!(hdfs.stat(&missing).await.unwrap(), None, "{missing}");
        assert_eq!(hdfs.summary(&missing).await.unwrap(), None, "{missing}");
        assert_eq!(hdfs.encrypted(&missing).await.unwrap(), None, "{missing}");
    }
    let summary = hdfs.summary(&root).await.unwrap().unwrap();
    assert_eq!((summary.files, summary.folders, summary.bytes), (1, 2, 5));
    assert_eq!((summary.quota, summary.space_quota), (None, None));
    let (status, answer) = web(
        "PUT",
        &root,
        "op=SETQUOTA&namespacequota=4&storagespacequota=7",
    );
    assert_eq!(status, 200, "{answer}");
    let summary = hdfs.summary(&root).await.unwrap().unwrap();
    assert_eq!((summary.quota, summary.space_quota), (Some(4), Some(7)));
    hdfs.mkdir(&format!("{root}/e"), 0o755).await.unwrap();
    assert_error!(hdfs.mkdir(&format!("{root}/g"), 0o755).await, Quota);
    assert_eq!(hdfs.list(&file).await.unwrap().len(), 1);
    assert_error!(hdfs.list(&format!("{root}/no")).await, NotFound);
}

#[tokio::test]
async fn folders_get_their_mode() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "mkdir").await;
    for mode in [0o700, 0o777, 0o2, 0o1777] {
        let path = format!("{root}/{mode:o}");
        hdfs.mkdir(&path, mode).await.unwrap();
        assert_eq!(attributes(&path), format!("hdfs:hdfs {mode:o}"));
        hdfs.mkdir(&path, 0o711).await.unwrap();
        assert_eq!(attributes(&path), format!("hdfs:hdfs {mode:o}"));
    }
    put(&hdfs, &format!("{root}/file"), "").await;
    let in_the_way = hdfs.mkdir(&format!("{root}/file"), 0o755).await;
    assert_error!(in_the_way, AlreadyExists);
}

#[tokio::test]
async fn acls_come_back_exactly() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "acl").await;
    let path = format!("{root}/d");
    hdfs.mkdir(&path, 0o750).await.unwrap();
    assert!(hdfs.acl(&path).await.unwrap().is_empty());
    let both = acl(&[
        "user::rwx",
        "user:azywiki:rwx",
        "group::r--",
        "mask::r-x",
        "other::---",
        "default:user::rwx",
        "default:group::r-x",
        "default:other::--x",
    ]);
    hdfs.set_acl(&path, &both).await.unwrap();
    assert_eq!(hdfs.acl(&path).await.unwrap(), both);
    assert_eq!(judge(&path).unwrap()["aclBit"], true);
    let (_, seen) = web("GET", &path, "op=GETACLSTATUS");
    let entries = seen["AclStatus"]["entries"].to_string();
    assert!(entries.contains("\"user:azywiki:rwx\""), "{entries}");
    assert!(entries.contains("\"default:other::--x\""), "{entries}");
    // Only defaults, then only access entries: neither set may survive the other.
    let [access, default] = [
        acl(&[
            "user::rwx",
            "user:elvis:r--",
            "group::r-x",
            "mask::r-x",
            "other::---",
        ]),
        acl(&[
            "user::rwx",
            "group::r-x",
            "other::---",
            "default:user::rwx",
            "default:group::---",
            "default:other::---",
        ]),
    ];
    for entries in [&default, &access, &default, &both, &access] {
        hdfs.set_acl(&path, entries).await.unwrap();
        assert_eq!(&hdfs.acl(&path).await.unwrap(), entries);
    }
    let walked: Vec<_> = hdfs
        .walk_with_acls(&root)
        .map(Result::unwrap)
        .collect()
        .await;
    let [(first, none), (second, entries)] = &walked[..] else {
        panic!("{walked:?}")
    };
    assert_eq!((&first.path, none.len()), (&root, 0));
    assert_eq!((&second.path, entries), (&path, &access));
    hdfs.set_acl(&path, &[]).await.unwrap();
    assert!(hdfs.acl(&path).await.unwrap().is_empty());
    assert!(judge(&path).unwrap().get("aclBit").is_none());
}

#[tokio::test]
async fn rename_neither_overwrites_nor_moves_into() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "rename").await;
    let at = |name: &str| format!("{root}/{name}");
    for name in ["a", "full/x", "empty"] {
        hdfs.mkdir(&at(name), 0o755).await.unwrap();
    }
    put(&hdfs, &at("file"), "1").await;
    for target in ["full", "empty", "file"] {
        assert_error!(hdfs.rename(&at("a"), &at(target)).await, AlreadyExists);
        assert_error!(hdfs.rename(&at("a"), &at("a")).await, AlreadyExists);
    }
    assert_error!(hdfs.rename(&at("none"), &at("b")).await, NotFound);
    assert_error!(hdfs.rename(&at("none"), &at("a")).await, NotFound);
    assert_error!(hdfs.rename(&at("a"), &at("none/b")).await, NotFound);
    assert!(hdfs.rename(&at("a"), &at("a/b")).await.is_err());
    assert_error!(hdfs.rename(&at("a"), &at("../b")).await, Path);
    assert_error!(hdfs.rename("/", &at("b")).await, Path);
    hdfs.rename(&at("full"), &at("b")).await.unwrap();
    let want = ["a", "b", "empty", "file"].map(str::to_owned);
    assert_eq!(names(&root), want.into());
    assert_eq!(names(&at("b")), ["x".to_owned()].into());
}

#[tokio::test]
async fn walks_wide_and_deep_trees_whole() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "walk").await;
    // More than two pages of folders, each with something in it, and a deep path.
    let wide = (0..2_300).map(|n| format!("{root}/wide/{n}/x"));
    let deep = (0..60).fold(format!("{root}/deep"), |path, n| format!("{path}/{n}"));
    stream::iter(wide.chain([deep]))
        .for_each_concurrent(32, |path| {
            let hdfs = hdfs.clone();
            async move { hdfs.mkdir(&path, 0o755).await.unwrap() }
        })
        .await;
    let summary = hdfs.summary(&root).await.unwrap().unwrap();
    let mut seen = BTreeSet::new();
    let mut walk = std::pin::pin!(hdfs.walk(&root));
    while let Some(status) = walk.next().await {
        let path = status.unwrap().path;
        let (parent, _) = path.rsplit_once('/').unwrap();
        assert!(
            path == root || seen.contains(parent),
            "{path} before its parent"
        );
        assert!(seen.insert(path.clone()), "{path} twice");
    }
    assert_eq!(seen.len() as u64, summary.folders);
    // Neither a consumer that makes calls of its own nor a full window of changes may keep the
    // listings that are under way from their turn at the connection, or else all stand still.
    let impatient = Hdfs::connect(Config {
        conf_dir: Some(sandbox().join("hdfs/conf")),
        deadline: Duration::from_secs(20),
        ..Config::new("hdfs")
    });
    let impatient = impatient.unwrap();
    let mut walk = std::pin::pin!(impatient.walk_with_acls(&root));
    let mut again = 0;
    while let Some(found) = walk.next().await {
        let (status, _) = found.unwrap();
        assert!(impatient.stat(&status.path).await.unwrap().is_some());
        again += 1;
    }
    assert_eq!(again, summary.folders);
    let change = TreeChange {
        owner: Some("elvis".into()),
        ..TreeChange::default()
    };
    let cancel = CancellationToken::new();
    let counts = impatient.set_tree(&root, &change, &|_| (), &cancel).await;
    assert_eq!(counts.unwrap().changed, summary.folders);
    assert_eq!(
        hdfs.list(&format!("{root}/wide")).await.unwrap().len(),
        2_300
    );
    assert_eq!(names(&format!("{root}/wide")).len(), 2_300);
}

#[tokio::test]
async fn a_walk_tells_what_it_could_not_see_and_goes_on() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "blind").await;
    hdfs.mkdir(&format!("{root}/open/x"), 0o755).await.unwrap();
    hdfs.mkdir(&format!("{root}/shut"), 0o700).await.unwrap();
    let walked: Vec<_> = client("elvis").walk(&root).collect().await;
    let (seen, blind): (Vec<_>, Vec<_>) = walked.into_iter().partition(Result::is_ok);
    assert_eq!(seen.len(), 4, "the folder itself is seen");
    let [Err(error @ Error::PermissionDenied { .. })] = &blind[..] else {
        panic!("{blind:?}")
    };
    assert_eq!(
        error.to_string(),
        format!("list {root}/shut as elvis: permission denied")
    );
    let missing: Vec<_> = hdfs.walk(&format!("{root}/none")).collect().await;
    assert!(matches!(missing[..], [Err(Error::NotFound { .. })]));
    let relative: Vec<_> = hdfs.walk("tmp").collect().await;
    assert!(matches!(relative[..], [Err(Error::Path { .. })]));
}

/// A tree of `wide` folders with a file each, owned by elvis, and what a change should make of it.
async fn tree(hdfs: &Hdfs, test: &str, wide: usize) -> (String, TreeChange) {
    let root = scratch(hdfs, test).await;
    for n in 0..wide {
        hdfs.mkdir(&format!("{root}/d{n}"), 0o757).await.unwrap();
        put(hdfs, &format!("{root}/d{n}/f"), "").await;
    }
    let change = TreeChange {
        owner: Some("elvis".into()),
        group: Some("wikidev".into()),
        ..TreeChange::default()
    };
    (root, change)
}

#[tokio::test]
async fn a_tree_is_changed_once_and_its_kept_parts_never() {
    let hdfs = client("hdfs");
    let (root, mut change) = tree(&hdfs, "tree", 5).await;
    let kept = format!("{root}/d3");
    let masked = format!("{root}/d1");
    // The group's own entry may do more than the mask lets through.
    let entries = [
        "user::rwx",
        "user:azywiki:rwx",
        "group::rwx",
        "mask::r--",
        "other::--x",
    ];
    hdfs.set_acl(&masked, &acl(&entries)).await.unwrap();
    change.keep = vec![format!("{kept}/")];
    change.strip_acls = true;
    change.clear_mode = 0o027;
    let cancel = CancellationToken::new();
    let off = hdfs.check_tree(&root, &change).await.unwrap().unwrap();
    assert!(off.path.starts_with(&root));
    let progress = AtomicU64::new(0);
    let report = |seen| {
        progress.fetch_max(seen, Ordering::Relaxed);
    };
    let counts = hdfs
        .set_tree(&root, &change, &report, &cancel)
        .await
        .unwrap();
    assert_eq!(
        (counts.seen, counts.changed, counts.cancelled),
        (9, 9, false)
    );
    assert_eq!(progress.load(Ordering::Relaxed), 9);
    assert_eq!(hdfs.check_tree(&root, &change).await.unwrap(), None);
    assert_eq!(attributes(&root), "elvis:wikidev 750");
    assert_eq!(attributes(&format!("{root}/d0/f")), "elvis:wikidev 640");
    assert_eq!(attributes(&masked), "elvis:wikidev 750");
    assert!(judge(&masked).unwrap().get("aclBit").is_none());
    assert_eq!(attributes(&kept), "hdfs:hdfs 757");
    assert_eq!(attributes(&format!("{kept}/f")), "hdfs:hdfs 644");
    let again = hdfs
        .set_tree(&root, &change, &report, &cancel)
        .await
        .unwrap();
    assert_eq!((again.seen, again.changed), (9, 0));
    hdfs.set_mode(&format!("{root}/d4/f"), 0o641).await.unwrap();
    let off = hdfs.check_tree(&root, &change).await.unwrap().unwrap();
    assert_eq!(off.path, format!("{root}/d4/f"));
    hdfs.set_mode(&format!("{root}/d4/f"), 0o640).await.unwrap();
    let acl_only = acl(&[
        "user::rw-",
        "user:azywiki:---",
        "group::---",
        "mask::---",
        "other::---",
    ]);
    hdfs.set_acl(&format!("{root}/d4/f"), &acl_only)
        .await
        .unwrap();
    let off = hdfs.check_tree(&root, &change).await.unwrap().unwrap();
    assert_eq!(off.path, format!("{root}/d4/f"));
    let mended = hdfs
        .set_tree(&root, &change, &report, &cancel)
        .await
        .unwrap();
    assert_eq!((mended.seen, mended.changed), (9, 1));
}

#[tokio::test]
async fn a_cancelled_change_stops_early_and_is_taken_up_again() {
    let hdfs = client("hdfs");
    let (root, change) = tree(&hdfs, "cancel", 60).await;
    let cancel = CancellationToken::new();
    let stop = |seen| {
        if seen == 5 {
            cancel.cancel();
        }
    };
    let first = hdfs.set_tree(&root, &change, &stop, &cancel).await.unwrap();
    assert!(
        first.cancelled && first.seen >= 5 && first.seen < 121,
        "{first:?}"
    );
    let go_on = CancellationToken::new();
    let second = hdfs
        .set_tree(&root, &change, &|_| (), &go_on)
        .await
        .unwrap();
    assert_eq!((second.seen, second.cancelled), (121, false));
    assert_eq!(first.changed + second.changed, 121);
    assert_eq!(attributes(&format!("{root}/d59/f")), "elvis:wikidev 644");
}

#[tokio::test]
async fn a_refused_change_of_a_tree_names_path_and_user() {
    let hdfs = client("hdfs");
    let (root, change) = tree(&hdfs, "refused", 2).await;
    let cancel = CancellationToken::new();
    let azywiki = client("azywiki");
    let refused = azywiki.set_tree(&root, &change, &|_| (), &cancel).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(&root) && text.contains("as azywiki"),
        "{text}"
    );
    assert!(error.hint().unwrap().contains("azywiki"));
    assert_eq!(attributes(&root), "hdfs:hdfs 777");
    let missing = format!("{root}/none");
    assert_error!(
        hdfs.set_tree(&missing, &change, &|_| (), &cancel).await,
        NotFound
    );
    assert_error!(hdfs.check_tree(&missing, &change).await, NotFound);
}

/// `count` pieces of bytes that differ, of odd lengths.
fn pieces(count: u32) -> Vec<Bytes> {
    let piece = |n: u32| {
        let byte = |i: u32| u8::try_from((i * 31 + n * 7) % 251).unwrap();
        (0..40_000 + n).map(byte).collect::<Vec<_>>().into()
    };
    (0..count).map(piece).collect()
}

#[tokio::test]
async fn a_file_is_written_whole_or_not_at_all() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "write").await;
    let path = format!("{root}/home.tar.zst");
    let whole = pieces(90).concat();
    let body = || stream::iter(pieces(90)).map(Ok::<_, std::io::Error>);
    let written = hdfs.write(&path, 0o400, Existing::Refuse, body()).await;
    let written = written.unwrap();
    assert_eq!(written.bytes, whole.len() as u64);
    assert_eq!(attributes(&path), "hdfs:hdfs 400");
    assert_eq!(hdfs.read_all(&path, written.bytes).await.unwrap(), whole);
    assert_eq!(hdfs.sha256(&path).await.unwrap(), written);
    assert_error!(hdfs.read_all(&path, written.bytes - 1).await, TooLarge);
    // What a killed writer left is replaced.
    put(&hdfs, &format!("{root}/_TMP.other"), "left over").await;
    let other = format!("{root}/other");
    hdfs.write(&other, 0o644, Existing::Refuse, body())
        .await
        .unwrap();
    assert_eq!(hdfs.sha256(&other).await.unwrap(), written);
    // An existing file is refused, or replaced in one step.
    let refused = hdfs
        .put_bytes(&other, b"new", 0o644, Existing::Refuse)
        .await;
    assert_error!(refused, AlreadyExists);
    let cut = || {
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        body().take(50).chain(stream::iter([Err(broken)]))
    };
    for existing in [Existing::Replace, Existing::Refuse] {
        let path = format!(
            "{root}/{}",
            if existing == Existing::Replace {
                "other"
            } else {
                "no"
            }
        );
        let error = hdfs.write(&path, 0o644, existing, cut()).await.unwrap_err();
        assert!(matches!(error, Error::Input { .. }), "{error:?}");
    }
    assert_eq!(hdfs.sha256(&other).await.unwrap(), written);
    hdfs.put_bytes(&other, b"", 0o600, Existing::Replace)
        .await
        .unwrap();
    assert_eq!(hdfs.read_all(&other, 0).await.unwrap(), "");
    assert_eq!(attributes(&other), "hdfs:hdfs 600");
    assert_eq!(
        names(&root),
        ["home.tar.zst".into(), "other".to_owned()].into()
    );
    // Places where no file can be.
    hdfs.mkdir(&format!("{root}/d"), 0o755).await.unwrap();
    let onto = hdfs
        .put_bytes(&format!("{root}/d"), b"x", 0o644, Existing::Replace)
        .await;
    assert!(onto.is_err(), "a file does not replace a folder");
    let orphan = hdfs
        .put_bytes(&format!("{root}/none/f"), b"x", 0o644, Existing::Refuse)
        .await;
    assert_error!(orphan, NotFound);
    let elvis = client("elvis");
    let denied = elvis
        .put_bytes(&format!("{root}/d/f"), b"x", 0o644, Existing::Refuse)
        .await;
    assert_error!(denied, PermissionDenied);
    assert!(names(&format!("{root}/d")).is_empty());
    assert_eq!(names(&root).len(), 3);
}

#[tokio::test]
async fn what_is_read_back_is_shown() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "shown").await;
    let whole = pieces(90).concat();
    let body = || stream::iter(pieces(90)).map(Ok::<_, std::io::Error>);
    let write = async |path: &str, shown| {
        hdfs.write_shown(path, 0o400, Existing::Replace, body(), Some(shown))
            .await
    };
    let (shown, mut read_back) = mpsc::channel::<Bytes>(1);
    let path = format!("{root}/a");
    let take = async {
        let mut taken = Vec::new();
        while let Some(piece) = read_back.recv().await {
            taken.extend_from_slice(&piece);
        }
        taken
    };
    let (written, taken) = tokio::join!(write(&path, shown), take);
    assert!(taken == whole, "{} bytes were shown", taken.len());
    assert_eq!(hdfs.sha256(&path).await.unwrap(), written.unwrap());
    // One who has seen enough does not stop the others.
    let (shown, mut read_back) = mpsc::channel::<Bytes>(1);
    let path = format!("{root}/b");
    let (written, first) = tokio::join!(write(&path, shown), async move {
        read_back.recv().await.unwrap()
    });
    assert!(whole.starts_with(&first));
    assert_eq!(written.unwrap().bytes, whole.len() as u64);
    assert_eq!(hdfs.read_all(&path, 1 << 30).await.unwrap(), whole);
}

#[tokio::test]
async fn closed_blocks_are_read_back_while_the_rest_is_written() {
    const BLOCK: usize = 128 << 20;
    let hdfs = client("hdfs");
    let path = format!("{}/a", scratch(&hdfs, "meanwhile").await);
    let piece = Bytes::from(vec![7; 4 << 20]);
    let most = stream::iter(vec![piece; 48]);
    // The rest is only there when a block has been read back.
    let (seen, wait) = oneshot::channel();
    let rest = stream::once(async move { wait.await.unwrap() });
    let body = most.chain(rest).map(Ok::<_, std::io::Error>);
    let (shown, mut read_back) = mpsc::channel::<Bytes>(1);
    let write = hdfs.write_shown(&path, 0o400, Existing::Replace, body, Some(shown));
    let take = async {
        let (mut taken, mut seen) = (0, Some(seen));
        while let Some(piece) = read_back.recv().await {
            taken += piece.len();
            if let Some(seen) = seen.take_if(|_| taken >= BLOCK) {
                seen.send(Bytes::from_static(b"rest")).unwrap();
            }
        }
        taken
    };
    let both = async { tokio::join!(write, take) };
    let (written, taken) = tokio::time::timeout(Duration::from_mins(10), both)
        .await
        .expect("nothing was read back before the end");
    let written = written.unwrap();
    assert_eq!(taken as u64, written.bytes);
    assert_eq!(written.bytes, (192 << 20) + 4);
}

#[tokio::test]
async fn of_many_who_want_a_lock_one_gets_it() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "lock").await;
    let path = format!("{root}/lock");
    let tries: Vec<_> = stream::iter(0..24)
        .map(|n| {
            let (hdfs, path) = (client("hdfs"), path.clone());
            async move {
                (
                    n,
                    hdfs.create_exclusive(&path, n.to_string().as_bytes())
                        .await
                        .unwrap(),
                )
            }
        })
        .buffer_unordered(24)
        .collect()
        .await;
    let winners: Vec<_> = tries.iter().filter(|(_, won)| *won).collect();
    let [(winner, _)] = winners[..] else {
        panic!("{winners:?}")
    };
    assert_eq!(hdfs.read_all(&path, 9).await.unwrap(), winner.to_string());
    assert_eq!(names(&root), ["lock".to_owned()].into());
}

#[tokio::test]
async fn delete_removes_what_it_may() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "delete").await;
    let path = format!("{root}/d");
    hdfs.mkdir(&format!("{path}/x"), 0o755).await.unwrap();
    assert_error!(hdfs.delete(&path, false).await, NotEmpty);
    assert!(hdfs.delete(&format!("{path}/x"), false).await.unwrap());
    assert!(!hdfs.delete(&format!("{path}/x"), true).await.unwrap());
    hdfs.mkdir(&format!("{path}/y/z"), 0o755).await.unwrap();
    assert!(hdfs.delete(&path, true).await.unwrap());
    assert!(judge(&path).is_none());
    assert_error!(hdfs.delete("/", true).await, Path);
}

#[tokio::test]
async fn snapshots_are_seen_and_stand_in_the_way() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "snapshot").await;
    assert!(hdfs.snapshottable(&root).await.unwrap().is_empty());
    let folder = format!("{root}/with space");
    hdfs.mkdir(&format!("{folder}/x"), 0o755).await.unwrap();
    assert_eq!(web("PUT", &folder, "op=ALLOWSNAPSHOT").0, 200);
    for under in [root.as_str(), &folder, "/"] {
        let found = hdfs.snapshottable(under).await.unwrap();
        assert!(found.contains(&folder), "{under}: {found:?}");
    }
    let elsewhere = hdfs.snapshottable(&format!("{folder}/x")).await.unwrap();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    assert_eq!(
        web("PUT", &folder, "op=CREATESNAPSHOT&snapshotname=s").0,
        200
    );
    assert_error!(hdfs.delete(&root, true).await, Snapshot);
    assert_error!(hdfs.rename(&root, &format!("{root}2")).await, Snapshot);
    assert!(judge(&folder).is_some());
}

#[tokio::test]
async fn the_trash_is_the_acting_users() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "trash").await;
    let trash = format!("/user/hdfs/.Trash/Current{root}");
    let path = format!("{root}/home/.Trash");
    hdfs.mkdir(&format!("{path}/Current/old"), 0o700)
        .await
        .unwrap();
    hdfs.set_owner(&path, Some("elvis"), None).await.unwrap();
    let first = hdfs.trash(&path).await.unwrap();
    assert_eq!(first, format!("{trash}/home/.Trash"));
    assert_eq!(attributes(&first), "elvis:hdfs 700");
    assert_eq!(names(&first), ["Current".to_owned()].into());
    assert!(judge(&path).is_none());
    // A second one of the same name gets the time appended.
    put(&hdfs, &path, "a file now").await;
    let second = hdfs.trash(&path).await.unwrap();
    let time = second.strip_prefix(&first).unwrap();
    assert!(time.parse::<u64>().is_ok(), "{second}");
    assert_eq!(hdfs.read_all(&second, 99).await.unwrap(), "a file now");
    // A file stands where the trash wants a folder.
    hdfs.mkdir(&path, 0o755).await.unwrap();
    hdfs.delete(&first, true).await.unwrap();
    put(&hdfs, &first, "in the way").await;
    put(&hdfs, &format!("{path}/f"), "").await;
    let third = hdfs.trash(&format!("{path}/f")).await.unwrap();
    assert!(
        third.starts_with(&first) && third.ends_with("/f"),
        "{third}"
    );
    assert!(judge(&third).is_some());
    assert_error!(hdfs.trash(&third).await, Path);
    assert_error!(hdfs.trash(&format!("{root}/none")).await, NotFound);
    assert_error!(hdfs.trash("/").await, Path);
    let azywiki = client("azywiki").trash(&format!("{root}/home")).await;
    assert!(azywiki.is_err() && judge(&format!("{root}/home")).is_some());
}

#[tokio::test]
async fn bad_paths_are_refused_everywhere() {
    let hdfs = client("hdfs");
    let cancel = CancellationToken::new();
    for bad in ["", "tmp", "/tmp/..", "/tmp/a\0b", "/.reserved/.inodes/1"] {
        assert_error!(hdfs.stat(bad).await, Path);
        assert_error!(hdfs.summary(bad).await, Path);
        assert_error!(hdfs.list(bad).await, Path);
        assert_error!(hdfs.acl(bad).await, Path);
        assert_error!(hdfs.set_acl(bad, &[]).await, Path);
        assert_error!(hdfs.mkdir(bad, 0o755).await, Path);
        assert_error!(hdfs.set_owner(bad, Some("x"), None).await, Path);
        assert_error!(hdfs.set_mode(bad, 0).await, Path);
        assert_error!(hdfs.rename(bad, "/tmp/x").await, Path);
        assert_error!(hdfs.rename("/tmp/x", bad).await, Path);
        assert_error!(hdfs.delete(bad, true).await, Path);
        assert_error!(hdfs.trash(bad).await, Path);
        assert_error!(hdfs.create_exclusive(bad, b"").await, Path);
        assert_error!(hdfs.put_bytes(bad, b"", 0, Existing::Replace).await, Path);
        assert_error!(hdfs.read_all(bad, 1).await, Path);
        assert_error!(hdfs.sha256(bad).await, Path);
        assert_error!(hdfs.snapshottable(bad).await, Path);
        let change = TreeChange::default();
        assert_error!(hdfs.set_tree(bad, &change, &|_| (), &cancel).await, Path);
        assert_error!(hdfs.check_tree(bad, &change).await, Path);
        let keep = TreeChange {
            keep: vec![bad.to_owned()],
            ..TreeChange::default()
        };
        assert_error!(hdfs.check_tree("/tmp", &keep).await, Path);
    }
}

/// Every call's future can move between the runtime's threads.
#[tokio::test]
async fn futures_are_send() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "send").await;
    let task = tokio::spawn(async move {
        let cancel = CancellationToken::new();
        put(&hdfs, &format!("{root}/f"), "x").await;
        let change = TreeChange {
            owner: Some("elvis".into()),
            ..TreeChange::default()
        };
        hdfs.set_tree(&root, &change, &|_| (), &cancel)
            .await
            .unwrap();
        hdfs.walk(&root).count().await
    });
    assert_eq!(task.await.unwrap(), 2);
}
