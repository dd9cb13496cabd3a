//! What only the `NameNode`'s web address tells: `/jmx` and `WebHDFS`.

use std::fmt::Write as _;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Call, Detail, Error, Hdfs, absent, path};

/// The longest answer that is read.
const LIMIT: u64 = 64 << 20;

/// What tells one HDFS from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Made when the name space was formatted, such as `CID-...`; every `NameNode` of the cluster has it.
    pub cluster_id: String,
    /// The name space's block pool, such as `BP-...`.
    pub block_pool_id: String,
}

/// What the `NameNode` tells clients to go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase"))]
pub struct Defaults {
    /// The size of a block, in bytes: so much a quota must have room for while a file is written.
    pub block_size: u64,
    /// How many replicas a file has.
    pub replication: u64,
    /// `fs.trash.interval`: how long the trash keeps things, in minutes; 0 where there is none.
    pub trash_interval: u64,
}

/// The answer to `GETSERVERDEFAULTS`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ServerDefaults {
    fs_server_defaults: Defaults,
}

/// `/jmx?qry=Hadoop:service=NameNode,name=NameNode*`: `NameNodeInfo` and `NameNodeStatus`.
#[derive(Deserialize)]
struct Jmx {
    beans: Vec<Bean>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Bean {
    cluster_id: Option<String>,
    block_pool_id: Option<String>,
    /// Empty when off, else a sentence.
    safemode: Option<String>,
    /// `active`, `standby`, `observer`, `initializing`.
    state: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Snapshottable {
    snapshottable_directory_list: Option<Vec<SnapshottableFolder>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SnapshottableFolder {
    parent_full_path: String,
    dir_status: DirStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DirStatus {
    path_suffix: String,
}

/// The answer to `GETFILESTATUS`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    file_status: FoundStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FoundStatus {
    /// Only there when it is true.
    #[serde(default)]
    enc_bit: bool,
}

/// How `WebHDFS` tells an error.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    remote_exception: RemoteException,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoteException {
    java_class_name: String,
    message: String,
}

/// A client that keeps to `deadline` and to itself: no proxy of the environment, no redirects to
/// elsewhere; an error's body is wanted, so a status is no error yet.
pub(super) fn agent(deadline: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(deadline))
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .into()
}

impl Hdfs {
    /// Which HDFS this is.
    pub async fn cluster(&self) -> Result<Cluster, Error> {
        let op = "ask for the cluster's identity";
        let jmx = self.jmx(op, false).await?;
        let find =
            |of: fn(&Bean) -> &Option<String>| jmx.beans.iter().find_map(|bean| of(bean).clone());
        match (
            find(|bean| &bean.cluster_id),
            find(|bean| &bean.block_pool_id),
        ) {
            (Some(cluster_id), Some(block_pool_id)) => Ok(Cluster {
                cluster_id,
                block_pool_id,
            }),
            _ => Err(Error::Other {
                call: Box::new(self.call(op, "/jmx")),
                source: Detail::of("the answer holds no ClusterId"),
            }),
        }
    }

    /// Whether the active `NameNode` is in safe mode and so refuses every change.
    pub async fn safe_mode(&self) -> Result<bool, Error> {
        let jmx = self.jmx("ask for the safe mode", true).await?;
        let on = |bean: &Bean| bean.safemode.as_ref().is_some_and(|text| !text.is_empty());
        Ok(jmx.beans.iter().any(on))
    }

    /// What files and the trash are like where nobody asks for something else.
    pub async fn defaults(&self) -> Result<Defaults, Error> {
        let query = [("op", "GETSERVERDEFAULTS"), ("user.name", self.user())];
        let op = "ask for the defaults";
        let told: ServerDefaults = self.web(op, "/webhdfs/v1/", &query, |_| true).await?;
        Ok(told.fs_server_defaults)
    }

    /// Folders at or below `under` of which snapshots may be taken, sorted. Such a folder, or one that
    /// holds it, cannot be renamed or deleted once it has snapshots. The `NameNode` shows an HDFS
    /// superuser all of them, any other user only their own.
    pub async fn snapshottable(&self, under: &str) -> Result<Vec<String>, Error> {
        let under = path::normal(under)?;
        let query = [
            ("op", "GETSNAPSHOTTABLEDIRECTORYLIST"),
            ("user.name", self.user()),
        ];
        let op = "list snapshottable folders";
        let found: Snapshottable = self.web(op, "/webhdfs/v1/", &query, |_| true).await?;
        let mut folders: Vec<String> = found
            .snapshottable_directory_list
            .unwrap_or_default()
            .iter()
            .map(|folder| path::join(&folder.parent_full_path, &folder.dir_status.path_suffix))
            .filter(|folder| path::is_within(folder, &under))
            .collect();
        folders.sort();
        Ok(folders)
    }

    /// Whether `path` is an encryption zone or lies in one; `None` when nothing is there. A folder
    /// that holds a zone further down is not encrypted itself.
    pub async fn encrypted(&self, path: &str) -> Result<Option<bool>, Error> {
        let path = path::normal(path)?;
        let query = [("op", "GETFILESTATUS"), ("user.name", self.user())];
        let at = format!("/webhdfs/v1{}", percent_encoded(&path));
        let found = self.web("look at", &at, &query, |_| true).await;
        absent(found.map(|found: Found| Some(found.file_status.enc_bit)))
    }

    async fn jmx(&self, op: &'static str, active: bool) -> Result<Jmx, Error> {
        let query = [("qry", "Hadoop:service=NameNode,name=NameNode*")];
        self.web(op, "/jmx", &query, move |jmx: &Jmx| {
            let state = jmx.beans.iter().find_map(|bean| bean.state.as_deref());
            !active || state.is_none_or(|state| state == "active")
        })
        .await
    }

    /// Asks the `NameNode`s one after the other until one answers and is `wanted`.
    async fn web<T: DeserializeOwned + Send + 'static>(
        &self,
        op: &'static str,
        at: &str,
        query: &[(&'static str, &str)],
        wanted: impl Fn(&T) -> bool,
    ) -> Result<T, Error> {
        let mut last = Error::Config {
            source: Detail::of("no web address of a NameNode is given"),
        };
        for base in &self.inner.config.webhdfs {
            let agent = self.inner.web.clone();
            let url = format!("{}{at}", base.trim_end_matches('/'));
            let call = self.call(op, &url);
            let query: Vec<(&'static str, String)> =
                query.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
            let seconds = self.inner.config.deadline.as_secs();
            // The agent's own deadline ends the thread.
            let asked = tokio::task::spawn_blocking(move || {
                get(&agent, &url, query).map_err(|failure| failure.into_error(call, seconds))
            });
            let answer = asked.await.unwrap_or_else(|panic| {
                Err(Error::Other {
                    call: Box::new(self.call(op, base)),
                    source: Detail::of(&panic.to_string()),
                })
            });
            match answer {
                Ok(value) if wanted(&value) => return Ok(value),
                Ok(_) => {
                    last = Error::Standby {
                        call: Box::new(self.call(op, base)),
                        source: Detail::of("this NameNode is not active"),
                    };
                }
                Err(
                    error @ (Error::Unreachable { .. }
                    | Error::Standby { .. }
                    | Error::Deadline { .. }),
                ) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

/// Why a request gave no value.
enum Failure {
    Transport(ureq::Error),
    Remote(Detail),
    Answer(String),
}

impl Failure {
    fn into_error(self, call: Call, seconds: u64) -> Error {
        match self {
            Self::Remote(detail) => Error::remote(call, detail),
            Self::Transport(ureq::Error::Timeout(_)) => Error::Deadline {
                call: Box::new(call),
                seconds,
            },
            Self::Transport(error @ (ureq::Error::BadUri(_) | ureq::Error::Http(_))) => {
                Error::Config {
                    source: Detail::of(&format!("{}: {error}", call.path)),
                }
            }
            Self::Transport(error) => Error::Unreachable {
                call: Box::new(call),
                source: Detail::of(&error.to_string()),
            },
            Self::Answer(message) => Error::Other {
                call: Box::new(call),
                source: Detail::of(&message),
            },
        }
    }
}

/// A path as part of a URL: everything but letters, digits and `/-._~` encoded (RFC 3986).
fn percent_encoded(path: &str) -> String {
    let mut url = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}

fn get<T: DeserializeOwned>(
    agent: &ureq::Agent,
    url: &str,
    query: Vec<(&'static str, String)>,
) -> Result<T, Failure> {
    let mut answer = agent
        .get(url)
        .query_pairs(query)
        .call()
        .map_err(Failure::Transport)?;
    let body = answer.body_mut().with_config().limit(LIMIT);
    let body = body.read_to_string().map_err(Failure::Transport)?;
    if answer.status() == 200 {
        return serde_json::from_str(&body)
            .map_err(|error| Failure::Answer(format!("unexpected answer: {error}")));
    }
    Err(serde_json::from_str::<Refusal>(&body).map_or_else(
        |_| Failure::Answer(format!("HTTP status {}", answer.status())),
        |refusal| {
            let RemoteException {
                java_class_name,
                message,
            } = refusal.remote_exception;
            Failure::Remote(Detail::remote(&java_class_name, &message))
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// A web server for one request, which answers with `status` and `body`; its base URL.
    fn server(status: &'static str, body: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = peer.read(&mut request).unwrap();
            let length = body.len();
            write!(
                peer,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .unwrap();
        });
        base
    }

    fn client(webhdfs: Vec<String>) -> Hdfs {
        Hdfs::connect(Config {
            url: Some("hdfs://127.0.0.1:1".into()),
            webhdfs,
            deadline: Duration::from_millis(700),
            ..Config::new("elvis")
        })
        .unwrap()
    }

    const STANDBY: &str = r#"{"beans":[{"name":"NameNodeStatus","State":"standby"},
        {"name":"NameNodeInfo","ClusterId":"CID-1","BlockPoolId":"BP-1","Safemode":"on"}]}"#;
    const ACTIVE: &str = r#"{"beans":[{"name":"NameNodeStatus","State":"active"},
        {"name":"NameNodeInfo","ClusterId":"CID-1","BlockPoolId":"BP-1","Safemode":""}]}"#;

    #[test]
    fn no_name_can_end_the_path_of_a_url() {
        assert_eq!(percent_encoded("/a b/%41?#ü"), "/a%20b/%2541%3F%23%C3%BC");
    }

    #[tokio::test]
    async fn goes_on_to_the_next_namenode() {
        let down = "http://127.0.0.1:1".to_owned();
        let hdfs = client(vec![
            down,
            server("200 OK", STANDBY),
            server("200 OK", ACTIVE),
        ]);
        assert!(!hdfs.safe_mode().await.unwrap());
        let hdfs = client(vec![server("200 OK", STANDBY)]);
        assert_eq!(hdfs.cluster().await.unwrap().cluster_id, "CID-1");
        let hdfs = client(vec![server("200 OK", STANDBY)]);
        assert!(matches!(
            hdfs.safe_mode().await.unwrap_err(),
            Error::Standby { .. }
        ));
    }

    #[tokio::test]
    async fn a_refusal_is_told_by_its_class() {
        let body = r#"{"RemoteException":{"exception":"AccessControlException","javaClassName":
            "org.apache.hadoop.security.AccessControlException","message":"no\n\tat Foo"}}"#;
        let hdfs = client(vec![server("403 Forbidden", body)]);
        let error = hdfs.snapshottable("/user/elvis").await.unwrap_err();
        let Error::PermissionDenied { source, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(source.message, "no");
    }

    /// Answers as Hadoop 3.4 gives them, of a folder in a zone, of one outside and of nothing.
    #[tokio::test]
    async fn a_folder_in_a_zone_says_so() {
        let status = |more: &'static str| {
            format!(
                r#"{{"FileStatus":{{"accessTime":0,"blockSize":0,"childrenNum":1,{more}"fileId":16386,
                "group":"hdfs","length":0,"modificationTime":1700000000000,"owner":"elvis",
                "pathSuffix":"","permission":"750","replication":0,"storagePolicy":0,
                "type":"DIRECTORY"}}}}"#
            )
        };
        let gone = r#"{"RemoteException":{"exception":"FileNotFoundException","javaClassName":
            "java.io.FileNotFoundException","message":"File does not exist: /user/elvis"}}"#;
        for (code, body, expected) in [
            ("200 OK", status(r#""encBit":true,"#), Some(true)),
            ("200 OK", status(""), Some(false)),
            ("404 Not Found", gone.to_owned(), None),
        ] {
            let hdfs = client(vec![server(code, body.leak())]);
            assert_eq!(
                hdfs.encrypted("/user/elvis").await.unwrap(),
                expected,
                "{code}"
            );
        }
    }

    /// An answer as Hadoop 3.4 gives it.
    #[tokio::test]
    async fn a_cluster_without_trash_says_so() {
        let body = r#"{"FsServerDefaults":{"replication":3,"encryptDataTransfer":"false",
            "defaultStoragePolicyId":7,"writePacketSize":65536,"fileBufferSize":4096,
            "keyProviderUri":"","checksumType":2,"trashInterval":0,"blockSize":134217728,
            "bytesPerChecksum":512}}"#;
        let hdfs = client(vec![server("200 OK", body)]);
        let expected = Defaults {
            block_size: 128 << 20,
            replication: 3,
            trash_interval: 0,
        };
        assert_eq!(hdfs.defaults().await.unwrap(), expected);
    }

    #[tokio::test]
    async fn answers_of_something_else_are_errors() {
        for (status, body) in [
            ("200 OK", "<html>"),
            ("404 Not Found", "<html>"),
            ("302 Found", ""),
            ("200 OK", r#"{"beans":[]}"#),
        ] {
            let error = client(vec![server(status, body)]).cluster().await;
            assert!(matches!(error, Err(Error::Other { .. })), "{status} {body}");
        }
    }

    #[tokio::test]
    async fn silence_meets_the_deadline_and_nonsense_is_a_configuration_error() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", silent.local_addr().unwrap());
        let error = client(vec![base]).cluster().await.unwrap_err();
        assert!(matches!(error, Error::Deadline { .. }), "{error:?}");
        for bad in [vec![], vec!["not a url".to_owned()]] {
            let error = client(bad).cluster().await.unwrap_err();
            assert!(matches!(error, Error::Config { .. }), "{error:?}");
        }
    }
}
