//! HDFS: what it can tell and what it can change, as one explicit user.
//!
//! Calls go over Hadoop RPC (hdfs-native); what that library lacks, over the `NameNode`'s web
//! address. Every call has a deadline. A call that may safely be made twice is repeated after a
//! broken connection or a failover; a rename, which may not, is settled by looking at both ends.
//! Nothing here reads the environment.
//!
//! Paths are absolute; see [`normal`] for the rules.

mod acl;
mod call;
mod error;
mod file;
mod path;
mod status;
mod trash;
mod tree;
mod walk;
mod web;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use hdfs_native::{Client, ClientBuilder};

pub use acl::{AclEntry, AclParseError, Subject};
pub use error::{Call, Detail, Error};
pub use file::{Existing, Written};
pub use path::{is_within, normal};
pub use status::{Status, Summary};
pub use tree::{Counts, TreeChange};
pub use web::{Cluster, Defaults};

use call::backoff;

/// Where HDFS is and who acts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder with `core-site.xml` and `hdfs-site.xml`. Without one, nothing but `url` and
    /// `settings` counts.
    pub conf_dir: Option<PathBuf>,
    /// `hdfs://nameservice` or `hdfs://host:port`; without one, `fs.defaultFS` of the configuration.
    pub url: Option<String>,
    /// Hadoop settings that override the files'.
    pub settings: BTreeMap<String, String>,
    /// The user that acts.
    pub user: String,
    /// Web addresses of the `NameNode`s, such as `http://nn1.example.org:9870`; any order.
    pub webhdfs: Vec<String>,
    /// The longest the answer to a single call may take.
    pub deadline: Duration,
    /// How long a call is repeated after a connection to a cluster that has answered before is
    /// lost. A cluster that never answered is given up at once.
    pub patience: Duration,
    /// Calls in flight of one walk or one change of a tree.
    pub concurrency: usize,
}

impl Config {
    /// A configuration for `user` with no address yet: 60 s a call, 15 s of patience, 64 in flight.
    pub fn new(user: impl Into<String>) -> Self {
        Self {
            conf_dir: None,
            url: None,
            settings: BTreeMap::new(),
            user: user.into(),
            webhdfs: Vec::new(),
            deadline: Duration::from_mins(1),
            patience: Duration::from_secs(15),
            concurrency: 64,
        }
    }
}

/// A client of one HDFS, acting as one user. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Hdfs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    config: Config,
    web: ureq::Agent,
    /// Whether the cluster has ever answered.
    reached: AtomicBool,
}

impl Hdfs {
    /// Sets up a client; contacts nothing. Must be called inside a tokio runtime, on which the
    /// connections then live.
    ///
    /// # Errors
    /// [`Error::Config`] when the configuration cannot be read or names no cluster or no user.
    pub fn connect(config: Config) -> Result<Self, Error> {
        let bad = |message: &str| Error::Config {
            source: Detail::of(message),
        };
        if config.user.is_empty() {
            // The library would take HADOOP_USER_NAME or the system's user.
            return Err(bad("no acting user is given"));
        }
        if config.concurrency == 0 {
            return Err(bad("concurrency must be at least 1"));
        }
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(bad("no tokio runtime is running"));
        }
        // Without an explicit folder the library reads HADOOP_CONF_DIR and HADOOP_HOME; this one
        // can hold no files.
        let conf_dir = match &config.conf_dir {
            Some(dir) if !dir.is_dir() => {
                let message = format!("configuration folder {} does not exist", dir.display());
                return Err(bad(&message));
            }
            Some(dir) => dir
                .to_str()
                .ok_or_else(|| bad("the configuration folder's name is not UTF-8"))?,
            None => "/dev/null",
        };
        // The library's own repetitions only have to find the active NameNode: the default of 15
        // with up to 15 s between takes three minutes to say that a NameNode is down.
        let mut settings = BTreeMap::from([
            ("dfs.client.failover.max.attempts", "4"),
            ("dfs.client.failover.sleep.base.millis", "50"),
            ("dfs.client.failover.sleep.max.millis", "500"),
        ]);
        settings.extend(
            config
                .settings
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str())),
        );
        let mut builder = ClientBuilder::new()
            .with_config_dir(conf_dir)
            .with_config(settings)
            .with_user(&config.user);
        if let Some(url) = &config.url {
            builder = builder.with_url(url);
        }
        let client = builder.build().map_err(|error| bad(&error.to_string()))?;
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                web: web::agent(config.deadline),
                config,
                reached: AtomicBool::new(false),
            }),
        })
    }

    /// The user that acts.
    pub fn user(&self) -> &str {
        &self.inner.config.user
    }

    /// What is at `path`; `None` when nothing is.
    pub async fn stat(&self, path: &str) -> Result<Option<Status>, Error> {
        let path = &normal(path)?;
        let found = self
            .repeat("look at", path, |client, path| async move {
                client.get_file_info(&path).await
            })
            .await;
        absent(found.map(|status| Some(status.into())))
    }

    /// Totals of the tree at `path` and its quotas; `None` when nothing is there.
    pub async fn summary(&self, path: &str) -> Result<Option<Summary>, Error> {
        let path = &normal(path)?;
        let found = self
            .repeat("count", path, |client, path| async move {
                client.get_content_summary(&path).await
            })
            .await;
        absent(found.map(|summary| Some(summary.into())))
    }

    /// The ACL of `path`, in a form that [`Hdfs::set_acl`] restores exactly; empty when it has
    /// only a mode.
    pub async fn acl(&self, path: &str) -> Result<Vec<AclEntry>, Error> {
        let path = &normal(path)?;
        let acl = self
            .repeat("read the ACL of", path, |client, path| async move {
                client.get_acl_status(&path).await
            })
            .await;
        match acl {
            Ok(acl) => Ok(acl::whole(acl.permission, acl.entries)),
            // A cluster with dfs.namenode.acls.enabled=false has none.
            Err(Error::Other { source, .. }) if source.is_of("AclException") => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Replaces the whole ACL of `path`. `entries` hold those of owner, group and others too, as
    /// [`Hdfs::acl`] gives them; none removes the ACL.
    pub async fn set_acl(&self, path: &str, entries: &[AclEntry]) -> Result<(), Error> {
        if entries.is_empty() {
            return self.remove_acl(path).await;
        }
        let path = &normal(path)?;
        let any_defaults = entries.iter().any(|entry| entry.default);
        let entries: Vec<_> = entries
            .iter()
            .map(hdfs_native::acl::AclEntry::from)
            .collect();
        self.repeat("set the ACL of", path, move |client, path| {
            let entries = entries.clone();
            async move { client.set_acl(&path, entries).await }
        })
        .await?;
        if !any_defaults && self.stat(path).await?.is_some_and(|status| status.is_dir) {
            // The NameNode keeps the defaults where the new ACL names none.
            self.repeat("set the ACL of", path, |client, path| async move {
                client.remove_default_acl(&path).await
            })
            .await?;
        }
        Ok(())
    }

    /// Takes the ACL away; the mode stays, its group bits those of the ACL's group entry.
    pub async fn remove_acl(&self, path: &str) -> Result<(), Error> {
        let path = &normal(path)?;
        self.repeat("remove the ACL of", path, |client, path| async move {
            client.remove_acl(&path).await
        })
        .await
    }

    /// Makes a folder with `mode`, and its missing parents. One that exists stays as it is.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when a file is in the way.
    pub async fn mkdir(&self, path: &str, mode: u16) -> Result<(), Error> {
        let path = &normal(path)?;
        self.repeat("make folder", path, move |client, path| async move {
            client.mkdirs(&path, u32::from(mode), true).await
        })
        .await
    }

    /// Sets owner, group or both; names are not checked against anything by HDFS.
    pub async fn set_owner(
        &self,
        path: &str,
        owner: Option<&str>,
        group: Option<&str>,
    ) -> Result<(), Error> {
        let path = &normal(path)?;
        let (owner, group) = (owner.map(str::to_owned), group.map(str::to_owned));
        self.repeat("set the owner of", path, move |client, path| {
            let (owner, group) = (owner.clone(), group.clone());
            async move {
                client
                    .set_owner(&path, owner.as_deref(), group.as_deref())
                    .await
            }
        })
        .await
    }

    /// Sets permission and sticky bits.
    pub async fn set_mode(&self, path: &str, mode: u16) -> Result<(), Error> {
        let path = &normal(path)?;
        self.repeat("set the mode of", path, move |client, path| async move {
            client.set_permission(&path, u32::from(mode)).await
        })
        .await
    }

    /// Sets the time of the last change, in milliseconds since the epoch; that of the last access
    /// stays.
    pub async fn set_modified(&self, path: &str, modified_ms: u64) -> Result<(), Error> {
        // The protocol's -1: leave it.
        const AS_IT_IS: u64 = u64::MAX;
        let path = &normal(path)?;
        self.repeat("set the time of", path, move |client, path| async move {
            client.set_times(&path, modified_ms, AS_IT_IS).await
        })
        .await
    }

    /// Removes `path`, past the trash; `recursive` also a folder that is not empty. `false` when
    /// nothing was there.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], or [`Error::Snapshot`] when a folder in it has snapshots.
    pub async fn delete(&self, path: &str, recursive: bool) -> Result<bool, Error> {
        let path = &path::below_root(path)?;
        let there = self.stat(path).await?.is_some();
        self.repeat("delete", path, move |client, path| async move {
            client.delete(&path, recursive).await
        })
        .await?;
        // A repeated call finds nothing left: what counts is what was there before.
        Ok(there)
    }

    /// Gives `from` the name `to`. Never overwrites, never moves into an existing folder, makes no
    /// parents.
    ///
    /// # Errors
    /// [`Error::NotFound`] when `from` or the parent of `to` is missing, [`Error::AlreadyExists`]
    /// when anything is at `to`.
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let from = path::below_root(from)?;
        let to = path::below_root(to)?;
        let call = || self.call("rename", &from).to(&to);
        if self.stat(&from).await?.is_none() {
            return Err(Error::NotFound {
                call: Box::new(call()),
                source: Detail::of("the source does not exist"),
            });
        }
        if self.stat(&to).await?.is_some() {
            return Err(Error::AlreadyExists {
                call: Box::new(call()),
                source: Detail::of("the target exists"),
            });
        }
        self.move_to(&from, &to, false).await
    }

    /// Renames `from`, which must exist, and settles a lost answer by looking at both ends: the
    /// library does not resend a rename, and the `NameNode` may or may not have carried it out.
    async fn move_to(&self, from: &str, to: &str, overwrite: bool) -> Result<(), Error> {
        let started = Instant::now();
        let mut pauses = backoff();
        loop {
            let call = self.call("rename", from).to(to);
            let client = self.inner.client.clone();
            let (source, target) = (from.to_owned(), to.to_owned());
            let renamed = async move { client.rename(&source, &target, overwrite).await };
            let Err(error) = self.once(call, renamed).await else {
                return Ok(());
            };
            let lost = matches!(error, Error::Deadline { .. });
            if !(lost || error.is_transient()) {
                return Err(error);
            }
            let source = self.stat(from).await?;
            if source.is_none() && self.stat(to).await?.is_some() {
                return Ok(());
            }
            // After a deadline the first call may still be under way; a second would race it.
            if lost || source.is_none() || !self.may_repeat(&error, started) {
                return Err(error);
            }
            tokio::time::sleep(pauses.next().unwrap_or_default()).await;
        }
    }
}

/// Turns "nothing there" into `None`, also where a parent is a file.
fn absent<T>(found: Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    match found {
        Err(Error::NotFound { .. }) => Ok(None),
        Err(Error::Other { source, .. }) if source.is_of("ParentNotDirectoryException") => Ok(None),
        // FSPermissionChecker's words for it.
        Err(Error::PermissionDenied { source, .. })
            if source.message.ends_with("is not a directory)") =>
        {
            Ok(None)
        }
        other => other,
    }
}
