//! Listing folders and whole trees.

use std::collections::VecDeque;
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, Stream, StreamExt, unfold};
use hdfs_native::client::ListStatusIterator;

use super::call::{backoff, task};
use super::{AclEntry, Detail, Error, Hdfs, Status, path};

/// Entries taken from a folder at a time; the `NameNode`'s own page (`dfs.ls.limit`).
const PAGE: usize = 1000;

/// A folder that is being listed.
struct Folder {
    path: String,
    /// Where the listing stands; `None` before the first page and after a broken connection.
    cursor: Option<ListStatusIterator>,
    /// The last entry given out.
    last: Option<String>,
    /// Up to which entry the listing repeats itself after it was started over.
    skip_to: Option<String>,
}

impl Folder {
    fn new(path: String) -> Self {
        Self {
            path,
            cursor: None,
            last: None,
            skip_to: None,
        }
    }
}

/// Some entries of a folder.
struct Page {
    folder: Folder,
    entries: Vec<Status>,
    /// Whether more may follow, or why not.
    more: Result<bool, Error>,
}

/// A walk under way. The stack is worked off from its end and a wide folder goes back onto it
/// below its children, so it holds a page for each level and each call in flight, no more.
struct Walk {
    hdfs: Hdfs,
    root: String,
    skip: Vec<String>,
    started: bool,
    stack: Vec<Folder>,
    listing: FuturesUnordered<BoxFuture<'static, Result<Page, Error>>>,
    ready: VecDeque<Result<Status, Error>>,
}

impl Hdfs {
    /// What lies directly in the folder `path`, in no
    /// particular order; a file gives itself.
    ///
    /// # Errors
    /// [`Error::NotFound`] when nothing is at `path`; [`Error::NotUtf8`] when a name in it is not.
    pub async fn list(&self, path: &str) -> Result<Vec<Status>, Error> {
        let path = path::normal(path)?;
        let status = self.stat_present("list", &path).await?;
        if !status.is_dir {
            return Ok(vec![status]);
        }
        let mut folder = Folder::new(path);
        let mut all = Vec::new();
        loop {
            let page = task(self.clone().page(folder).map(Ok)).await?;
            all.extend(page.entries);
            if !page.more? {
                return Ok(all);
            }
            folder = page.folder;
        }
    }

    /// Everything at and below `root`, a folder before what is in it, siblings in no order.
    /// Folders are listed concurrently; memory does not grow with the number of paths.
    ///
    /// What vanishes while the walk goes on is left out. A folder that cannot be listed gives an
    /// error in its turn, and the walk goes on elsewhere. [`Error::NotFound`] when there is no
    /// `root`.
    pub fn walk(&self, root: &str) -> impl Stream<Item = Result<Status, Error>> + Send + use<> {
        self.walk_without(root, Vec::new())
    }

    /// [`Hdfs::walk`] with each path's ACL, as [`Hdfs::acl`] gives it, in the same order. Listings
    /// do not tell which paths have one, so this takes a call a path.
    pub fn walk_with_acls(
        &self,
        root: &str,
    ) -> impl Stream<Item = Result<(Status, Vec<AclEntry>), Error>> + Send + use<> {
        let hdfs = self.clone();
        self.walk(root)
            .map(move |status| {
                let hdfs = hdfs.clone();
                async move {
                    let status = status?;
                    match hdfs.acl(&status.path).await {
                        Err(Error::NotFound { .. }) => Ok(None),
                        acl => Ok(Some((status, acl?))),
                    }
                }
            })
            .buffered(self.inner.config.concurrency)
            .filter_map(|found| std::future::ready(found.transpose()))
    }

    /// As [`Hdfs::walk`], leaving out the trees at `skip` (normal paths).
    pub(super) fn walk_without(
        &self,
        root: &str,
        skip: Vec<String>,
    ) -> impl Stream<Item = Result<Status, Error>> + Send + use<> {
        let walk = Walk {
            hdfs: self.clone(),
            root: root.to_owned(),
            skip,
            started: false,
            stack: Vec::new(),
            listing: FuturesUnordered::new(),
            ready: VecDeque::new(),
        };
        unfold(walk, |mut walk| async move {
            let next = walk.next().await?;
            Some((next, walk))
        })
    }

    /// What is at `path`, or an error naming `op`.
    pub(super) async fn stat_present(&self, op: &'static str, path: &str) -> Result<Status, Error> {
        self.stat(path).await?.ok_or_else(|| Error::NotFound {
            call: Box::new(self.call(op, path)),
            source: Detail::of("the path does not exist"),
        })
    }

    /// The next entries of a folder. After a broken connection the listing starts over and leaves
    /// out what it has given already.
    async fn page(self, mut folder: Folder) -> Page {
        let started = Instant::now();
        let mut pauses = backoff();
        let mut entries = Vec::new();
        let more = loop {
            if entries.len() >= PAGE {
                break Ok(true);
            }
            let client = &self.inner.client;
            let cursor = folder
                .cursor
                .get_or_insert_with(|| client.list_status_iter(&folder.path, false));
            let next = async { cursor.next().await.transpose() };
            match self.attempt(|| self.call("list", &folder.path), next).await {
                Ok(Some(status)) => {
                    let skip_to = folder.skip_to.as_deref();
                    if skip_to.is_some_and(|last| !listed_after(&status.path, last)) {
                        continue;
                    }
                    folder.last = Some(status.path.clone());
                    entries.push(Status::from(status));
                }
                Ok(None) => break Ok(false),
                Err(error) if self.may_repeat(&error, started) => {
                    folder.cursor = None;
                    folder.skip_to = folder.last.clone();
                    tokio::time::sleep(pauses.next().unwrap_or_default()).await;
                }
                Err(error) => break Err(error),
            }
        };
        Page {
            folder,
            entries,
            more,
        }
    }
}

/// Whether the `NameNode` lists `path` after `other` of the same folder: it sorts by the names'
/// bytes, as signed numbers (`DFSUtil.compareBytes`), so that `ü` comes before `a`.
fn listed_after(path: &str, other: &str) -> bool {
    let signed = |text: &str| text.bytes().map(u8::cast_signed).collect::<Vec<_>>();
    signed(path) > signed(other)
}

impl Walk {
    async fn next(&mut self) -> Option<Result<Status, Error>> {
        if !self.started {
            self.started = true;
            self.start().await;
        }
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some(entry);
            }
            while self.listing.len() < self.hdfs.inner.config.concurrency
                && let Some(folder) = self.stack.pop()
            {
                let page = self.hdfs.clone().page(folder).map(Ok);
                self.listing.push(Box::pin(task(page)));
            }
            match self.listing.next().await? {
                Ok(page) => self.take(page),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Looks at the root.
    async fn start(&mut self) {
        let root = match path::normal(&self.root) {
            Ok(root) => root,
            Err(error) => return self.ready.push_back(Err(error)),
        };
        if self.is_skipped(&root) {
            return;
        }
        let status = self.hdfs.stat_present("list", &root).await;
        if status.as_ref().is_ok_and(|status| status.is_dir) {
            self.stack.push(Folder::new(root));
        }
        self.ready.push_back(status);
    }

    fn take(&mut self, page: Page) {
        match page.more {
            Ok(true) => self.stack.push(page.folder),
            Ok(false) | Err(Error::NotFound { .. }) => {}
            Err(error) => self.ready.push_back(Err(error)),
        }
        for status in page.entries {
            if self.is_skipped(&status.path) {
                continue;
            }
            if status.is_dir {
                self.stack.push(Folder::new(status.path.clone()));
            }
            self.ready.push_back(Ok(status));
        }
    }

    fn is_skipped(&self, path: &str) -> bool {
        self.skip.iter().any(|folder| path::is_within(path, folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_as_signed_bytes() {
        assert!(listed_after("/d/a", "/d/ü"));
        assert!(listed_after("/d/ab", "/d/a"));
        assert!(listed_after("/d/b", "/d/a"));
        assert!(!listed_after("/d/a", "/d/a"));
        assert!(!listed_after("/d/ü", "/d/a"));
    }
}
