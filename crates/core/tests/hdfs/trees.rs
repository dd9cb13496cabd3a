//! Trees that are walked and changed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use opsweek_core::services::hdfs::{Config, Error, Hdfs, TreeChange};
use tokio_util::sync::CancellationToken;

use super::{acl, attributes, client, judge, names, put, sandbox, scratch};

#[tokio::test]
async fn walks_wide_and_deep_trees_whole() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "walk").await;
    // More than two pages of folders, each with something in it, and a deep path.
    let wide = (0..2_300).map(|n| format!("{root}/wide/{n}/x"));
    let deep = (0..60).fold(format!("{root}/deep"), |path, n| format!("{path}/{n}"));
    stream::iter(wide.chain([deep]))
        .for_each_concurrent(32, |path| {
            let hdfs = hdfs.clone();
            async move { hdfs.mkdir(&path, 0o755).await.unwrap() }
        })
        .await;
    let summary = hdfs.summary(&root).await.unwrap().unwrap();
    let mut seen = BTreeSet::new();
    let mut walk = std::pin::pin!(hdfs.walk(&root));
    while let Some(status) = walk.next().await {
        let path = status.unwrap().path;
        let (parent, _) = path.rsplit_once('/').unwrap();
        assert!(
            path == root || seen.contains(parent),
            "{path} before its parent"
        );
        assert!(seen.insert(path.clone()), "{path} twice");
    }
    assert_eq!(seen.len() as u64, summary.folders);
    // Neither a consumer that makes calls of its own nor a full window of changes may keep the
    // listings that are under way from their turn at the connection, or else all stand still.
    let impatient = Hdfs::connect(Config {
        conf_dir: Some(sandbox().join("hdfs/conf")),
        deadline: Duration::from_secs(20),
        ..Config::new("hdfs")
    });
    let impatient = impatient.unwrap();
    let mut walk = std::pin::pin!(impatient.walk_with_acls(&root));
    let mut again = 0;
    while let Some(found) = walk.next().await {
        let (status, _) = found.unwrap();
        assert!(impatient.stat(&status.path).await.unwrap().is_some());
        again += 1;
    }
    assert_eq!(again, summary.folders);
    let change = TreeChange {
        owner: Some("elvis".into()),
        ..TreeChange::default()
    };
    let cancel = CancellationToken::new();
    let counts = impatient.set_tree(&root, &change, &|_| (), &cancel).await;
    assert_eq!(counts.unwrap().changed, summary.folders);
    assert_eq!(
        hdfs.list(&format!("{root}/wide")).await.unwrap().len(),
        2_300
    );
    assert_eq!(names(&format!("{root}/wide")).len(), 2_300);
}

#[tokio::test]
async fn a_walk_tells_what_it_could_not_see_and_goes_on() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "blind").await;
    hdfs.mkdir(&format!("{root}/open/x"), 0o755).await.unwrap();
    hdfs.mkdir(&format!("{root}/shut"), 0o700).await.unwrap();
    let walked: Vec<_> = client("elvis").walk(&root).collect().await;
    let (seen, blind): (Vec<_>, Vec<_>) = walked.into_iter().partition(Result::is_ok);
    assert_eq!(seen.len(), 4, "the folder itself is seen");
    let [Err(error @ Error::PermissionDenied { .. })] = &blind[..] else {
        panic!("{blind:?}")
    };
    assert_eq!(
        error.to_string(),
        format!("list {root}/shut as elvis: permission denied")
    );
    let missing: Vec<_> = hdfs.walk(&format!("{root}/none")).collect().await;
    assert!(matches!(missing[..], [Err(Error::NotFound { .. })]));
    let relative: Vec<_> = hdfs.walk("tmp").collect().await;
    assert!(matches!(relative[..], [Err(Error::Path { .. })]));
}

/// A tree of `wide` folders with a file each, owned by elvis, and what a change should make of it.
async fn tree(hdfs: &Hdfs, test: &str, wide: usize) -> (String, TreeChange) {
    let root = scratch(hdfs, test).await;
    for n in 0..wide {
        hdfs.mkdir(&format!("{root}/d{n}"), 0o757).await.unwrap();
        put(hdfs, &format!("{root}/d{n}/f"), "").await;
    }
    let change = TreeChange {
        owner: Some("elvis".into()),
        group: Some("wikidev".into()),
        ..TreeChange::default()
    };
    (root, change)
}

#[tokio::test]
async fn only_what_is_somebodys_is_given_away() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "onlyof").await;
    let path = |name: &str| format!("{root}/{name}");
    for (name, owner) in [("his", "elvis"), ("theirs", "azy")] {
        put(&hdfs, &path(name), "").await;
        hdfs.set_owner(&path(name), Some(owner), None)
            .await
            .unwrap();
    }
    let change = TreeChange {
        owner: Some("analytics".into()),
        only_of: Some("elvis".into()),
        ..TreeChange::default()
    };
    let off = hdfs.check_tree(&root, &change).await.unwrap().unwrap();
    assert_eq!(off.path, path("his"));
    let cancel = CancellationToken::new();
    let counts = hdfs.set_tree(&root, &change, &|_| (), &cancel).await;
    assert_eq!(counts.unwrap().changed, 1);
    for (path, owner) in [
        (path("his"), "analytics"),
        (path("theirs"), "azy"),
        (root.clone(), "hdfs"),
    ] {
        assert_eq!(hdfs.stat(&path).await.unwrap().unwrap().owner, owner);
    }
    assert_eq!(hdfs.check_tree(&root, &change).await.unwrap(), None);
}

#[tokio::test]
async fn a_tree_is_changed_once_and_its_kept_parts_never() {
    let hdfs = client("hdfs");
    let (root, mut change) = tree(&hdfs, "tree", 5).await;
    let kept = format!("{root}/d3");
    let masked = format!("{root}/d1");
    // The group's own entry may do more than the mask lets through.
    let entries = [
        "user::rwx",
        "user:azywiki:rwx",
        "group::rwx",
        "mask::r--",
        "other::--x",
    ];
    hdfs.set_acl(&masked, &acl(&entries)).await.unwrap();
    change.keep = vec![format!("{kept}/")];
    change.strip_acls = true;
    change.clear_mode = 0o027;
    let cancel = CancellationToken::new();
    let off = hdfs.check_tree(&root, &change).await.unwrap().unwrap();
    assert!(off.path.starts_with(&root));
    let progress = AtomicU64::new(0);
    let report = |seen| {
        progress.fetch_max(seen, Ordering::Relaxed);
    };
    let counts = hdfs
        .set_tree(&root, &change, &report, &cancel)
        .await
        .unwrap();
    assert_eq!(
        (counts.seen, counts.changed, counts.cancelled),
        (9, 9, false)
    );
    assert_eq!(progress.load(Ordering::Relaxed), 9);
    assert_eq!(hdfs.check_tree(&root, &change).await.unwrap(), None);
    assert_eq!(attributes(&root), "elvis:wikidev 750");
    assert_eq!(attributes(&format!("{root}/d0/f")), "elvis:wikidev 640");
    assert_eq!(attributes(&masked), "elvis:wikidev 750");
    assert!(judge(&masked).unwrap().get("aclBit").is_none());
    assert_eq!(attributes(&kept), "hdfs:hdfs 757");
    assert_eq!(attributes(&format!("{kept}/f")), "hdfs:hdfs 644");
    let again = hdfs
        .set_tree(&root, &change, &report, &cancel)
        .await
        .unwrap();
    assert_eq!((again.seen, again.changed), (9, 0));
    hdfs.set_mode(&format!("{root}/d4/f"), 0o641).await.unwrap();
    let off = hdfs.check_tree(&root, &change).await.unwrap().unwrap();
    assert_eq!(off.path, format!("{root}/d4/f"));
    hdfs.set_mode(&format!("{root}/d4/f"), 0o640).await.unwrap();
    let acl_only = acl(&[
        "user::rw-",
        "user:azywiki:---",
        "group::---",
        "mask::---",
        "other::---",
    ]);
    hdfs.set_acl(&format!("{root}/d4/f"), &acl_only)
        .await
        .unwrap();
    let off = hdfs.check_tree(&root, &change).await.unwrap().unwrap();
    assert_eq!(off.path, format!("{root}/d4/f"));
    let mended = hdfs
        .set_tree(&root, &change, &report, &cancel)
        .await
        .unwrap();
    assert_eq!((mended.seen, mended.changed), (9, 1));
}

#[tokio::test]
async fn a_cancelled_change_stops_early_and_is_taken_up_again() {
    let hdfs = client("hdfs");
    let (root, change) = tree(&hdfs, "cancel", 60).await;
    let cancel = CancellationToken::new();
    let stop = |seen| {
        if seen == 5 {
            cancel.cancel();
        }
    };
    let first = hdfs.set_tree(&root, &change, &stop, &cancel).await.unwrap();
    assert!(
        first.cancelled && first.seen >= 5 && first.seen < 121,
        "{first:?}"
    );
    let go_on = CancellationToken::new();
    let second = hdfs
        .set_tree(&root, &change, &|_| (), &go_on)
        .await
        .unwrap();
    assert_eq!((second.seen, second.cancelled), (121, false));
    assert_eq!(first.changed + second.changed, 121);
    assert_eq!(attributes(&format!("{root}/d59/f")), "elvis:wikidev 644");
}

#[tokio::test]
async fn a_refused_change_of_a_tree_names_path_and_user() {
    let hdfs = client("hdfs");
    let (root, change) = tree(&hdfs, "refused", 2).await;
    let cancel = CancellationToken::new();
    let azywiki = client("azywiki");
    let refused = azywiki.set_tree(&root, &change, &|_| (), &cancel).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(&root) && text.contains("as azywiki"),
        "{text}"
    );
    assert!(error.hint().unwrap().contains("azywiki"));
    assert_eq!(attributes(&root), "hdfs:hdfs 777");
    let missing = format!("{root}/none");
    assert_error!(
        hdfs.set_tree(&missing, &change, &|_| (), &cancel).await,
        NotFound
    );
    assert_error!(hdfs.check_tree(&missing, &change).await, NotFound);
}
