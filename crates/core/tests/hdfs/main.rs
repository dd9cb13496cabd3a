//! The HDFS service against a real `NameNode` and `DataNode`: the sandbox that `OPSWEEK_SANDBOX` names.
//! Results are judged over `WebHDFS` by plain HTTP requests, not by the service itself.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

/// Whether an error is of the given variant.
macro_rules! assert_error {
    ($result:expr, $kind:ident) => {
        match $result {
            Err(Error::$kind { .. }) => {}
            other => panic!("wanted {}, got {other:?}", stringify!($kind)),
        }
    };
}

mod attributes;
mod files;
mod names;
mod removal;
mod trees;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use futures::StreamExt;
use opsweek_core::services::hdfs::{AclEntry, Config, Error, Existing, Hdfs, TreeChange};
use serde_json::Value;
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
