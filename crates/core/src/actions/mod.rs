//! The primitive changes that plans are made of: one closed enum a service, each verb
//! resolved by a planner, none with a choice left. And [`guard`], the safety rules that
//! hold for all of them whatever plan they come from.

pub mod delete;
pub mod file;
pub mod git;
pub mod guard;
pub mod hdfs;
pub mod hive;
pub mod host;
mod lines;
pub mod move_table;
mod recorded;
pub mod restore;
pub mod sql;

use serde::{Deserialize, Serialize};

use crate::engine::{Act, Cx, Failure, State};
use crate::services::fleet::Fleet;
use crate::services::hdfs::Hdfs;
use crate::services::metastore::Metastore;
use crate::services::yarn::Yarn;
use guard::Guard;

/// The clients of the systems that are configured, and what may be touched there.
pub struct World {
    /// HDFS.
    pub hdfs: Option<Hdfs>,
    /// The Hive metastore.
    pub metastore: Option<Metastore>,
    /// The hosts.
    pub fleet: Option<Fleet>,
    /// YARN, which is only asked who is running something.
    pub yarn: Option<Yarn>,
    /// Database servers.
    pub databases: sql::Databases,
    /// The safety rules.
    pub guard: Guard,
}

impl World {
    /// This machine alone: no system is configured.
    pub fn local(guard: Guard) -> Self {
        Self {
            hdfs: None,
            metastore: None,
            fleet: None,
            yarn: None,
            databases: sql::Databases::default(),
            guard,
        }
    }

    fn hdfs(&self) -> Result<&Hdfs, Failure> {
        self.hdfs.as_ref().ok_or_else(|| absent("hdfs"))
    }

    fn metastore(&self) -> Result<&Metastore, Failure> {
        self.metastore.as_ref().ok_or_else(|| absent("metastore"))
    }

    fn fleet(&self) -> Result<&Fleet, Failure> {
        self.fleet.as_ref().ok_or_else(|| absent("fleet"))
    }
}

fn absent(section: &str) -> Failure {
    Failure::new(
        format!("the plan needs {section}, which is not configured"),
        format!("add a [{section}] section to the configuration"),
    )
}

impl From<guard::Forbidden> for Failure {
    fn from(error: guard::Forbidden) -> Self {
        Self::new(
            error,
            "the plan asks for more than the configuration allows".to_owned(),
        )
    }
}

impl From<crate::services::hdfs::Error> for Failure {
    fn from(error: crate::services::hdfs::Error) -> Self {
        let hint = error.hint();
        Self::new(error, hint)
    }
}

impl From<crate::services::metastore::Error> for Failure {
    fn from(error: crate::services::metastore::Error) -> Self {
        let hint = error.hint();
        Self::new(error, hint)
    }
}

impl From<crate::services::sql::Error> for Failure {
    fn from(error: crate::services::sql::Error) -> Self {
        if matches!(error, crate::services::sql::Error::Cancelled { .. }) {
            return Self::interrupted();
        }
        let hint = error.hint();
        Self::new(error, hint)
    }
}

impl From<crate::services::dns::Error> for Failure {
    fn from(error: crate::services::dns::Error) -> Self {
        let hint = error.hint();
        Self::new(error, hint)
    }
}

impl From<crate::services::git::Error> for Failure {
    fn from(error: crate::services::git::Error) -> Self {
        let hint = error.hint();
        Self::new(error, hint)
    }
}

impl From<crate::services::yarn::Error> for Failure {
    fn from(error: crate::services::yarn::Error) -> Self {
        let hint = error.hint();
        Self::new(error, hint)
    }
}

impl From<crate::services::fleet::Error> for Failure {
    fn from(error: crate::services::fleet::Error) -> Self {
        if matches!(error, crate::services::fleet::Error::Cancelled { .. }) {
            return Self::interrupted();
        }
        let hint = error.hint();
        Self::new(error, hint)
    }
}

/// An action of any service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// On HDFS.
    Hdfs(hdfs::Action),
    /// In the Hive metastore.
    Hive(hive::Action),
    /// On a host.
    Host(host::Action),
    /// A file on this machine.
    File(file::Action),
    /// In a git checkout.
    Git(git::Action),
    /// In databases.
    Sql(sql::Action),
}

impl From<hdfs::Action> for Action {
    fn from(action: hdfs::Action) -> Self {
        Self::Hdfs(action)
    }
}

impl From<hive::Action> for Action {
    fn from(action: hive::Action) -> Self {
        Self::Hive(action)
    }
}

impl From<host::Action> for Action {
    fn from(action: host::Action) -> Self {
        Self::Host(action)
    }
}

impl From<file::Action> for Action {
    fn from(action: file::Action) -> Self {
        Self::File(action)
    }
}

impl From<git::Action> for Action {
    fn from(action: git::Action) -> Self {
        Self::Git(action)
    }
}

impl From<sql::Action> for Action {
    fn from(action: sql::Action) -> Self {
        Self::Sql(action)
    }
}

impl Act for Action {
    type World = World;

    async fn observe(&self, world: &World, cx: &Cx) -> Result<State, Failure> {
        match self {
            Self::Hdfs(action) => action.observe(world, cx).await,
            Self::Hive(action) => action.observe(world).await,
            Self::Host(action) => action.observe(world, cx).await,
            Self::File(action) => action.observe(world).await,
            Self::Git(action) => action.observe(world).await,
            Self::Sql(action) => action.observe(world).await,
        }
    }

    async fn apply(&self, world: &World, cx: &Cx) -> Result<serde_json::Value, Failure> {
        match self {
            Self::Hdfs(action) => action.apply(world, cx).await,
            Self::Hive(action) => action.apply(world, cx).await,
            Self::Host(action) => action.apply(world, cx).await,
            Self::File(action) => action.apply(world).await,
            Self::Git(action) => action.apply(world).await,
            Self::Sql(action) => action.apply(world, cx).await,
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Hdfs(action) => action.summary(),
            Self::Hive(action) => action.summary(),
            Self::Host(action) => action.summary(),
            Self::File(action) => action.summary(),
            Self::Git(action) => action.summary(),
            Self::Sql(action) => action.summary(),
        }
    }

    fn targets(&self) -> Vec<String> {
        match self {
            Self::Hdfs(action) => action.targets(),
            Self::Hive(action) => action.targets(),
            Self::Host(action) => action.targets(),
            Self::File(action) => action.targets(),
            Self::Git(action) => action.targets(),
            Self::Sql(action) => action.targets(),
        }
    }

    fn destroys(&self) -> Option<Vec<String>> {
        match self {
            Self::Hdfs(action) => action.destroys(),
            Self::File(_) | Self::Git(_) => None,
            Self::Hive(action) => action.destroys(),
            Self::Host(action) => action.destroys(),
            Self::Sql(action) => action.destroys(),
        }
    }

    fn proves(&self) -> Vec<String> {
        match self {
            Self::Hdfs(action) => action.proves(),
            Self::Hive(action) => action.proves(),
            Self::Host(action) => action.proves(),
            Self::File(_) | Self::Git(_) => Vec::new(),
            Self::Sql(action) => action.proves(),
        }
    }

    fn faults(&self) -> Vec<String> {
        match self {
            Self::Hdfs(action) => action.faults(),
            Self::Hive(action) => action.faults(),
            Self::Host(action) => action.faults(),
            Self::File(action) => action.faults(),
            Self::Git(action) => action.faults(),
            Self::Sql(action) => action.faults(),
        }
    }
}

/// A file or folder that is made in one place and later moved, with all around it, to
/// another: it exists when it is in either.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefact {
    /// Where it is made.
    pub staged: String,
    /// Where it ends up.
    pub settled: String,
}

impl Artefact {
    /// Where it is now, if it is.
    async fn find(&self, hdfs: &Hdfs) -> Result<Option<&str>, Failure> {
        for path in [&self.settled, &self.staged] {
            if hdfs.stat(path).await?.is_some() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Whether the folder that it was made in, or that this became, is gone: who made it gave up
    /// all that was there.
    async fn given_up(&self, hdfs: &Hdfs) -> Result<bool, Failure> {
        for path in [&self.settled, &self.staged] {
            let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
            if hdfs.stat(folder).await?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
