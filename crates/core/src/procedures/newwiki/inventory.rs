//! What a look at wikis found.

use std::collections::BTreeMap;

use serde::Serialize;

use super::lists::Lists;
use crate::engine::Gap;

/// A file of the checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TextFile {
    /// Its absolute path, without links.
    pub path: String,
    /// Its content.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// How ready a replica is for a wiki.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// The database is there with all core tables; how many tables it has.
    Ready(u64),
    /// There is no such database.
    Absent,
    /// The database has no table.
    Empty,
    /// These core tables are missing.
    Lacks(Vec<String>),
    /// The replica could not be asked; a gap says why.
    Unknown,
}

/// A wiki's databases on both replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replicas {
    /// The section: "s5".
    pub section: String,
    /// The database `NAME` where analytics reads.
    pub production: Readiness,
    /// The database `NAME_p` on the redacted replica.
    pub cloud: Readiness,
}

/// A value that pageviews brought and the allowlist has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unexpected {
    /// "project", "`agent_type`", "`access_method`".
    pub field: String,
    /// The value: anything at all.
    pub value: String,
    /// The sum of its views.
    pub views: u64,
    /// The first day, `2026-11-20`.
    pub first: String,
    /// The last day.
    pub last: String,
}

/// How the checkout stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checkout {
    /// The branch; `None` when the head is detached.
    pub branch: Option<String>,
    /// The commit that the head is.
    pub head: String,
    /// The remote's URL.
    pub remote: String,
    /// Tracked files that are not as the head has them.
    pub dirty: Vec<String>,
    /// How many commits of the remote's branch the head lacks; `None`: some that were never
    /// fetched.
    pub behind: Option<u64>,
    /// How many commits the head has that the remote's branch lacks.
    pub ahead: u64,
    /// Whether the head is nowhere on the remote, neither in review nor merged; looked at only
    /// where it is to be pushed.
    pub unpushed: bool,
    /// A name that no branch has, for the one to commit on.
    pub free_branch: String,
    /// Whether there is a commit-msg hook, which gives commits their Change-Id.
    pub hook: bool,
    /// Whether it is configured who commits.
    pub author: bool,
}

/// How the allowlist in HDFS stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HdfsAllowlist {
    /// The file's path: `allowlist.tsv` in the table's folder.
    pub path: String,
    /// The visible files in the table's folder, by name: must be exactly one.
    pub visible: Vec<String>,
    /// The file's mode.
    pub mode: u16,
    /// The content of `allowlist.tsv`, where it is there.
    #[serde(skip)]
    pub bytes: Option<Vec<u8>>,
}

/// Everything that a look found. What was not asked for, or could not be had, is `None`:
/// the latter has a gap.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Inventory {
    /// When the look began, in seconds since the epoch.
    pub now: i64,
    /// The pageview allowlist.
    pub allowlist: Option<TextFile>,
    /// The sqoop list.
    pub grouped: Option<TextFile>,
    /// The database lists; not looked at with `--offline`.
    pub lists: Option<Lists>,
    /// The replicas, by database name.
    pub replicas: BTreeMap<String, Replicas>,
    /// Values that the allowlist lacks.
    pub unexpected: Option<Vec<Unexpected>>,
    /// The checkout; not looked at with `--no-commit`.
    pub checkout: Option<Checkout>,
    /// The allowlist in HDFS; only for `--sync-hdfs` and `--audit`.
    pub hdfs: Option<HdfsAllowlist>,
    /// What could not be looked at.
    pub gaps: Vec<Gap>,
    /// The identities of the systems that were looked at.
    pub world: BTreeMap<String, String>,
}

impl Inventory {
    /// The gaps about this place, or one that says `why` where there is none.
    pub(super) fn missed(&self, place: &str, why: &str) -> Vec<Gap> {
        let about = |gap: &&Gap| gap.place.starts_with(place);
        let mut gaps: Vec<Gap> = self.gaps.iter().filter(about).cloned().collect();
        if gaps.is_empty() {
            gaps.push(Gap {
                place: place.to_owned(),
                why: why.to_owned(),
                lane: None,
            });
        }
        gaps
    }
}
