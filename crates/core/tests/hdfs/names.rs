//! Names: what they may be, and what they may not lead to.

use std::collections::BTreeSet;

use futures::StreamExt;
use opsweek_core::services::hdfs::{Error, Existing, Status, TreeChange};
use tokio_util::sync::CancellationToken;

use super::{AWKWARD, attributes, client, judge, names, put, raw_web, scratch};

#[tokio::test]
async fn awkward_names_work_everywhere() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "awkward").await;
    for name in AWKWARD {
        let folder = format!("{root}/{name}");
        hdfs.mkdir(&folder, 0o750).await.unwrap();
        put(&hdfs, &format!("{folder}/{name}"), name).await;
        hdfs.set_owner(&folder, Some("elvis"), Some("wikidev"))
            .await
            .unwrap();
        hdfs.set_mode(&folder, 0o1701).await.unwrap();
        assert_eq!(attributes(&folder), "elvis:wikidev 1701");
        let content = hdfs.read_all(&format!("{folder}/{name}"), 100).await;
        assert_eq!(content.unwrap(), name);
        let moved = format!("{root}/moved {name}");
        hdfs.rename(&folder, &moved).await.unwrap();
        assert!(judge(&folder).is_none());
        hdfs.rename(&moved, &folder).await.unwrap();
    }
    let want: BTreeSet<String> = AWKWARD.map(str::to_owned).into();
    assert_eq!(names(&root), want);
    let listed = hdfs.list(&root).await.unwrap();
    let own = |status: &Status| status.path[root.len() + 1..].to_owned();
    assert_eq!(listed.iter().map(own).collect::<BTreeSet<_>>(), want);
    let walked: Vec<_> = hdfs.walk(&root).map(Result::unwrap).collect().await;
    assert_eq!(walked.len(), 1 + 2 * AWKWARD.len());
    for name in AWKWARD {
        let place = hdfs.trash(&format!("{root}/{name}")).await.unwrap();
        assert_eq!(place, format!("/user/hdfs/.Trash/Current{root}/{name}"));
        assert_eq!(attributes(&place), "elvis:wikidev 1701");
    }
    assert!(names(&root).is_empty());
}

/// A name that is not UTF-8 cannot come to be: the `NameNode` decodes what it is sent.
#[tokio::test]
async fn the_namenode_turns_names_into_utf8() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "utf8").await;
    let (status, answer) = raw_web("PUT", &format!("{root}/%FFx"), "op=MKDIRS");
    assert_eq!(status, 200, "{answer}");
    let listed = hdfs.list(&root).await.unwrap();
    assert_eq!(listed[0].path, format!("{root}/\u{fffd}x"));
}

#[tokio::test]
async fn bad_paths_are_refused_everywhere() {
    let hdfs = client("hdfs");
    let cancel = CancellationToken::new();
    for bad in ["", "tmp", "/tmp/..", "/tmp/a\0b", "/.reserved/.inodes/1"] {
        assert_error!(hdfs.stat(bad).await, Path);
        assert_error!(hdfs.summary(bad).await, Path);
        assert_error!(hdfs.list(bad).await, Path);
        assert_error!(hdfs.acl(bad).await, Path);
        assert_error!(hdfs.set_acl(bad, &[]).await, Path);
        assert_error!(hdfs.mkdir(bad, 0o755).await, Path);
        assert_error!(hdfs.set_owner(bad, Some("x"), None).await, Path);
        assert_error!(hdfs.set_mode(bad, 0).await, Path);
        assert_error!(hdfs.rename(bad, "/tmp/x").await, Path);
        assert_error!(hdfs.rename("/tmp/x", bad).await, Path);
        assert_error!(hdfs.delete(bad, true).await, Path);
        assert_error!(hdfs.trash(bad).await, Path);
        assert_error!(hdfs.create_exclusive(bad, b"").await, Path);
        assert_error!(hdfs.put_bytes(bad, b"", 0, Existing::Replace).await, Path);
        assert_error!(hdfs.read_all(bad, 1).await, Path);
        assert_error!(hdfs.sha256(bad).await, Path);
        assert_error!(hdfs.snapshottable(bad).await, Path);
        let change = TreeChange::default();
        assert_error!(hdfs.set_tree(bad, &change, &|_| (), &cancel).await, Path);
        assert_error!(hdfs.check_tree(bad, &change).await, Path);
        let keep = TreeChange {
            keep: vec![bad.to_owned()],
            ..TreeChange::default()
        };
        assert_error!(hdfs.check_tree("/tmp", &keep).await, Path);
    }
}
