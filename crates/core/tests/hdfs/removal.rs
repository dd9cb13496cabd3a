//! What goes, by deletion and by trash, and what does not.

use opsweek_core::services::hdfs::Error;

use super::{attributes, client, judge, names, put, scratch, web};

#[tokio::test]
async fn delete_removes_what_it_may() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "delete").await;
    let path = format!("{root}/d");
    hdfs.mkdir(&format!("{path}/x"), 0o755).await.unwrap();
    assert_error!(hdfs.delete(&path, false).await, NotEmpty);
    assert!(hdfs.delete(&format!("{path}/x"), false).await.unwrap());
    assert!(!hdfs.delete(&format!("{path}/x"), true).await.unwrap());
    hdfs.mkdir(&format!("{path}/y/z"), 0o755).await.unwrap();
    assert!(hdfs.delete(&path, true).await.unwrap());
    assert!(judge(&path).is_none());
    assert_error!(hdfs.delete("/", true).await, Path);
}

#[tokio::test]
async fn snapshots_are_seen_and_stand_in_the_way() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "snapshot").await;
    assert!(hdfs.snapshottable(&root).await.unwrap().is_empty());
    let folder = format!("{root}/with space");
    hdfs.mkdir(&format!("{folder}/x"), 0o755).await.unwrap();
    assert_eq!(web("PUT", &folder, "op=ALLOWSNAPSHOT").0, 200);
    for under in [root.as_str(), &folder, "/"] {
        let found = hdfs.snapshottable(under).await.unwrap();
        assert!(found.contains(&folder), "{under}: {found:?}");
    }
    let elsewhere = hdfs.snapshottable(&format!("{folder}/x")).await.unwrap();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    assert_eq!(
        web("PUT", &folder, "op=CREATESNAPSHOT&snapshotname=s").0,
        200
    );
    assert_error!(hdfs.delete(&root, true).await, Snapshot);
    assert_error!(hdfs.rename(&root, &format!("{root}2")).await, Snapshot);
    assert!(judge(&folder).is_some());
}

#[tokio::test]
async fn the_trash_is_the_acting_users() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "trash").await;
    let trash = format!("/user/hdfs/.Trash/Current{root}");
    let path = format!("{root}/home/.Trash");
    hdfs.mkdir(&format!("{path}/Current/old"), 0o700)
        .await
        .unwrap();
    hdfs.set_owner(&path, Some("elvis"), None).await.unwrap();
    let first = hdfs.trash(&path).await.unwrap();
    assert_eq!(first, format!("{trash}/home/.Trash"));
    assert_eq!(attributes(&first), "elvis:hdfs 700");
    assert_eq!(names(&first), ["Current".to_owned()].into());
    assert!(judge(&path).is_none());
    // A second one of the same name gets the time appended.
    put(&hdfs, &path, "a file now").await;
    let second = hdfs.trash(&path).await.unwrap();
    let time = second.strip_prefix(&first).unwrap();
    assert!(time.parse::<u64>().is_ok(), "{second}");
    assert_eq!(hdfs.read_all(&second, 99).await.unwrap(), "a file now");
    // A file stands where the trash wants a folder.
    hdfs.mkdir(&path, 0o755).await.unwrap();
    hdfs.delete(&first, true).await.unwrap();
    put(&hdfs, &first, "in the way").await;
    put(&hdfs, &format!("{path}/f"), "").await;
    let third = hdfs.trash(&format!("{path}/f")).await.unwrap();
    assert!(
        third.starts_with(&first) && third.ends_with("/f"),
        "{third}"
    );
    assert!(judge(&third).is_some());
    assert_error!(hdfs.trash(&third).await, Path);
    assert_error!(hdfs.trash(&format!("{root}/none")).await, NotFound);
    assert_error!(hdfs.trash("/").await, Path);
    let azywiki = client("azywiki").trash(&format!("{root}/home")).await;
    assert!(azywiki.is_err() && judge(&format!("{root}/home")).is_some());
}
