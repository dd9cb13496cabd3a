//! The locks: a ref in the checkout that is committed in, a file beside the kept copies in
//! HDFS. Each names its holder and plan; the same plan of the same holder takes it over.

use super::policy::Policy;
use super::{After, Request};
use crate::actions::World;
use crate::engine::Failure;
use crate::procedures::lock::Lock;
use crate::services::git::Git;
use crate::services::hdfs::Hdfs;

const REF: &str = "refs/opsweek/newwiki-lock";
/// Hidden from whoever reads the folder as data.
const FILE: &str = "_newwiki.lock";

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
    if let Some(git) = git(request)
        && !git.create_ref(REF, &lock.text()?).await?
    {
        let found = git.read_ref(REF).await?.unwrap_or_default();
        let place = format!("{REF} of {}", request.refinery.display());
        let remove = format!("git update-ref -d {REF}");
        lock.check(&place, found.as_bytes(), &remove)?;
    }
    let Some(hdfs) = hdfs(request, world) else {
        return Ok(());
    };
    let locked = in_hdfs(hdfs, policy, &lock).await;
    if locked.is_err() {
        // Nothing is begun: the other lock is not left behind.
        given_back(git(request)).await?;
    }
    locked
}

async fn in_hdfs(hdfs: &Hdfs, policy: &Policy, lock: &Lock) -> Result<(), Failure> {
    hdfs.mkdir(&policy.allowlist.backup_dir, 0o755).await?;
    lock.take(hdfs, &file(policy)).await
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
        Some(hdfs) => lock.give_back(hdfs, &file(policy)).await,
        None => Ok(()),
    };
    if let Some(git) = git(request) {
        let found = git.read_ref(REF).await?.unwrap_or_default();
        if lock.is(found.as_bytes()) {
            git.delete_ref(REF).await?;
        }
    }
    there
}
