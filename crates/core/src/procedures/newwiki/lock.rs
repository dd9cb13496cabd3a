//! The locks: a ref in the checkout that is committed in, a file beside the kept copies in
//! HDFS. Each names its holder and plan; the same plan of the same holder takes it over.

use serde::{Deserialize, Serialize};

use super::policy::Policy;
use super::{After, Request};
use crate::actions::World;
use crate::engine::Failure;
use crate::services::git::Git;
use crate::services::hdfs::{Error, Hdfs};

const REF: &str = "refs/opsweek/newwiki-lock";
/// Hidden from whoever reads the folder as data.
const FILE: &str = "_newwiki.lock";
/// The longest lock that is read.
const LONGEST: u64 = 64 << 10;

#[derive(Deserialize, Serialize)]
struct Lock {
    holder: String,
    plan: String,
}

impl Lock {
    fn of(holder: &str, plan: &str) -> Self {
        Self {
            holder: holder.to_owned(),
            plan: plan.to_owned(),
        }
    }

    fn text(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|error| Failure::new(error, None))
    }

    /// Whether what was found is this lock; else the error that says whose it is.
    fn is(&self, place: &str, found: &str, remove: &str) -> Result<(), Failure> {
        let by = match serde_json::from_str::<Self>(found) {
            Ok(found) if found.plan == self.plan && found.holder == self.holder => return Ok(()),
            Ok(found) => format!("{} with the plan {}", found.holder, found.plan),
            Err(_) => "an unreadable lock".to_owned(),
        };
        Err(Failure::new(
            format!("{place} is held by {by}"),
            format!(
                "wait for that run, or go on with its plan on that host as that user; if it is \
                 dead and its plan is lost: {remove}"
            ),
        ))
    }
}

fn git(request: &Request) -> Option<Git> {
    (request.after != After::Leave).then(|| Git::new(&request.refinery))
}

fn hdfs<'a>(request: &Request, world: &'a World) -> Option<&'a Hdfs> {
    world.hdfs.as_ref().filter(|_| request.sync_hdfs)
}

fn file(policy: &Policy) -> String {
    format!("{}/{FILE}", policy.allowlist.backup_dir)
}

pub(super) async fn lock(
    request: &Request,
    policy: &Policy,
    world: &World,
    holder: &str,
    plan: &str,
) -> Result<(), Failure> {
    let lock = Lock::of(holder, plan);
    let text = lock.text()?;
    if let Some(git) = git(request)
        && !git.create_ref(REF, &text).await?
    {
        let found = git.read_ref(REF).await?.unwrap_or_default();
        let place = format!("{REF} of {}", request.refinery.display());
        lock.is(&place, &found, &format!("git update-ref -d {REF}"))?;
    }
    let Some(hdfs) = hdfs(request, world) else {
        return Ok(());
    };
    let locked = in_hdfs(hdfs, policy, &lock, &text).await;
    if locked.is_err() {
        // Nothing is begun: the other lock is not left behind.
        given_back(git(request)).await?;
    }
    locked
}

async fn in_hdfs(hdfs: &Hdfs, policy: &Policy, lock: &Lock, text: &str) -> Result<(), Failure> {
    hdfs.mkdir(&policy.allowlist.backup_dir, 0o755).await?;
    let path = file(policy);
    if hdfs.create_exclusive(&path, text.as_bytes()).await? {
        return Ok(());
    }
    let found = match hdfs.read_all(&path, LONGEST).await {
        Err(Error::NotFound { .. }) => Vec::new(),
        found => found?.to_vec(),
    };
    let found = String::from_utf8_lossy(&found);
    lock.is(&path, &found, &format!("hdfs dfs -rm {path}"))
}

async fn given_back(git: Option<Git>) -> Result<(), Failure> {
    if let Some(git) = git {
        git.delete_ref(REF).await?;
    }
    Ok(())
}

/// Gives back what is still this holder's and plan's: somebody may have taken the run for dead.
pub(super) async fn unlock(
    request: &Request,
    policy: &Policy,
    world: &World,
    holder: &str,
    plan: &str,
) -> Result<(), Failure> {
    let lock = Lock::of(holder, plan);
    let there = match hdfs(request, world) {
        Some(hdfs) => out_of_hdfs(hdfs, policy, &lock).await,
        None => Ok(()),
    };
    if let Some(git) = git(request) {
        let found = git.read_ref(REF).await?.unwrap_or_default();
        if lock.is("", &found, "").is_ok() {
            git.delete_ref(REF).await?;
        }
    }
    there
}

async fn out_of_hdfs(hdfs: &Hdfs, policy: &Policy, lock: &Lock) -> Result<(), Failure> {
    let path = file(policy);
    let found = match hdfs.read_all(&path, LONGEST).await {
        Err(Error::NotFound { .. }) => return Ok(()),
        found => found?,
    };
    if lock.is(&path, &String::from_utf8_lossy(&found), "").is_ok() {
        hdfs.delete(&path, false).await?;
    }
    Ok(())
}
