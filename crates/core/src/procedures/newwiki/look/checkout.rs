//! How the checkout of the refinery stands to its remote.

use std::path::Path;

use crate::engine::{Failure, Gap};
use crate::procedures::newwiki::After;
use crate::procedures::newwiki::inventory::Checkout;
use crate::procedures::newwiki::policy::Policy;
use crate::services::git::Git;

/// The start of the names of branches that commits are made on.
const BRANCHES: &str = "newwiki/";

/// How the checkout stands, and a gap when the remote could not be asked: what was last
/// fetched from it then stands for it.
pub(in super::super) async fn checkout(
    folder: &Path,
    subject: &str,
    policy: &Policy,
    after: After,
) -> Result<(Checkout, Option<Gap>), Failure> {
    let git = Git::new(folder);
    let standing = git.standing().await?;
    let url = git.url(&policy.remote).await?;
    let upstream = format!("refs/heads/{}", policy.branch);
    let known = format!("refs/remotes/{}/{}", policy.remote, policy.branch);
    let known = git.commit_of(&known).await?;
    let mut gap = None;
    let tip = match git.remote_refs(&policy.remote, &[&upstream]).await {
        Ok(refs) => {
            let tip = refs.into_iter().find(|one| one.name == upstream);
            let tip = tip.ok_or_else(|| {
                Failure::new(
                    format!(
                        "the remote {} has no branch {}",
                        policy.remote, policy.branch
                    ),
                    "newwiki.branch names the one that changes are made for".to_owned(),
                )
            })?;
            Some(tip.id)
        }
        Err(error) => {
            gap = Some(super::gap("git-remote", &Failure::from(error)));
            None
        }
    };
    let (behind, ahead) = match (&tip, &known) {
        // Nothing of it was fetched yet.
        (Some(tip), _) if git.commit_of(tip).await?.is_none() => (None, 0),
        (Some(tip), _) | (None, Some(tip)) => {
            let behind = git.ahead(tip, &standing.head).await?;
            (Some(behind), git.ahead(&standing.head, tip).await?)
        }
        (None, None) => (None, 0),
    };
    let asked = after == After::Push && ahead > 0 && gap.is_none();
    let unpushed = asked && {
        let changes = git.remote_refs(&policy.remote, &["refs/changes/*"]).await?;
        changes.iter().all(|change| change.id != standing.head)
    };
    Ok((
        Checkout {
            free_branch: free_branch(&git, subject).await?,
            hook: git.has_message_hook().await?,
            author: git.has_author().await?,
            branch: standing.branch,
            head: standing.head,
            remote: url,
            dirty: standing.changed,
            behind,
            ahead,
            unpushed,
        },
        gap,
    ))
}

/// A name that no branch has.
async fn free_branch(git: &Git, subject: &str) -> Result<String, Failure> {
    let fits = |c: char| {
        if c.is_ascii_alphanumeric() || "-_+".contains(c) {
            c
        } else {
            '-'
        }
    };
    let subject: String = subject.chars().take(64).map(fits).collect();
    let name = format!("{BRANCHES}{}", subject.trim_matches('-'));
    let mut free = name.clone();
    let mut number = 1;
    while git
        .commit_of(&format!("refs/heads/{free}"))
        .await?
        .is_some()
    {
        number += 1;
        free = format!("{name}-{number}");
    }
    Ok(free)
}
