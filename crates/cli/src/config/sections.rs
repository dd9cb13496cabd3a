//! The shared sections: plain data, as written in the file. What is left out is for the
//! service to default. Paths are absolute; durations are written `30s`, `5m`, `1d`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use opsweek_core::services::sql;
use serde::{Deserialize, Deserializer, de};

use super::Count;

/// Everything that is not of one tool alone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where journals and plans are kept: /var/lib/opsweek.
    pub state_dir: PathBuf,
    /// A program and its arguments, run without a shell; the `!log` line is added as the last.
    #[serde(deserialize_with = "program")]
    pub log_command: Option<Vec<String>>,
    /// The distributed file system.
    pub hdfs: Option<Hdfs>,
    /// Hive's metastore.
    pub metastore: Option<Metastore>,
    /// The hosts.
    pub fleet: Option<Fleet>,
    /// Who is still active.
    pub admins: Option<Admins>,
    /// Where applications run.
    pub yarn: Option<Yarn>,
    /// SQL servers by name.
    pub sql: BTreeMap<String, sql::Settings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from("/var/lib/opsweek"),
            log_command: None,
            hdfs: None,
            metastore: None,
            fleet: None,
            admins: None,
            yarn: None,
            sql: BTreeMap::new(),
        }
    }
}

/// `[hdfs]`: by the cluster's own configuration files, or by the name service's URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hdfs {
    /// The folder of core-site.xml and hdfs-site.xml.
    pub conf_dir: Option<PathBuf>,
    /// The name service or `NameNode`: `hdfs://analytics-hadoop`.
    pub url: Option<String>,
    /// Who acts.
    pub user: Option<String>,
    /// `WebHDFS` endpoints, tried in order: `http://an-master1003.eqiad.wmnet:50070`.
    pub webhdfs: Vec<String>,
    /// How long one call may take.
    pub deadline: Option<Span>,
    /// How many calls at once.
    pub concurrency: Option<Count>,
}

/// `[metastore]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metastore {
    /// `thrift://analytics-hive.eqiad.wmnet:9083`, tried in order.
    pub uris: Vec<String>,
    /// Who acts.
    pub user: Option<String>,
    /// How long one call may take.
    pub deadline: Option<Span>,
    /// How many connections.
    pub concurrency: Option<Count>,
    /// The metastore's own database, where that may be read.
    pub sql: Option<Backing>,
}

/// `[metastore] sql`: where the metastore keeps its own tables.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backing {
    /// The `NAME` of the section `[sql.NAME]`.
    pub server: String,
    /// The database there.
    pub database: String,
}

/// `[fleet]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fleet {
    /// The settings of ssh; else those that ssh finds itself.
    pub ssh_config: Option<PathBuf>,
    /// Host sets, taken together in this order: `stat10[08-11].eqiad.wmnet`, `@workers`.
    pub hosts: Vec<String>,
    /// Names for host sets.
    pub groups: BTreeMap<String, String>,
    /// The socket of the ssh agent; else the caller's own.
    pub agent: Option<PathBuf>,
    /// How many hosts at once.
    pub concurrency: Option<Count>,
    /// How long a host may take to let us in.
    pub connect_deadline: Option<Span>,
}

/// `[admins]`: the data file that says who may log in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admins {
    /// A checkout's `modules/admin/data/data.yaml`.
    pub data_file: PathBuf,
    /// How old it may be: `1d`.
    #[serde(default = "a_day")]
    pub max_age: Span,
}

fn a_day() -> Span {
    Span(Duration::from_hours(24))
}

/// `[yarn]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Yarn {
    /// The `ResourceManager`: `http://an-master1003.eqiad.wmnet:8088`.
    pub url: String,
}

/// A duration above zero, written as people do: `30s`, `5m`, `1d`, `1h 30m`. A day has 24
/// hours. A bare number is refused: it does not say of what. Source of the grammar: jiff,
/// "friendly duration format".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse::<jiff::Span>()
            .and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()))
            .ok()
            .and_then(|duration| Duration::try_from(duration).ok())
            .filter(|duration| !duration.is_zero())
            .map(Span)
            .ok_or_else(|| de::Error::custom("not a duration like 30s, 5m or 1d"))
    }
}

fn program<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let argv = Vec::deserialize(deserializer)?;
    if argv.first().is_none_or(String::is_empty) {
        return Err(de::Error::custom("names no program"));
    }
    Ok(Some(argv))
}
