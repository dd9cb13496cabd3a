//! Statuses, modes, ACLs, and what a rename keeps.

use futures::StreamExt;
use opsweek_core::services::hdfs::Error;

use super::{acl, attributes, client, judge, names, put, scratch, web};

#[tokio::test]
async fn stat_and_summary_tell_what_is_there() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "stat").await;
    let file = format!("{root}/d/f");
    hdfs.mkdir(&format!("{root}/d"), 0o755).await.unwrap();
    put(&hdfs, &file, "12345").await;
    let status = hdfs.stat(&file).await.unwrap().unwrap();
    let seen = judge(&file).unwrap();
    assert_eq!(status.modified_ms, seen["modificationTime"]);
    assert_eq!(u64::from(status.replication), seen["replication"]);
    assert_eq!((status.len, status.mode, status.is_dir), (5, 0o644, false));
    assert_eq!(hdfs.encrypted(&file).await.unwrap(), Some(false));
    for missing in [
        format!("{root}/no"),
        format!("{root}/no/no"),
        format!("{file}/no"),
    ] {
        assert_eq!(hdfs.stat(&missing).await.unwrap(), None, "{missing}");
        assert_eq!(hdfs.summary(&missing).await.unwrap(), None, "{missing}");
        assert_eq!(hdfs.encrypted(&missing).await.unwrap(), None, "{missing}");
    }
    let summary = hdfs.summary(&root).await.unwrap().unwrap();
    assert_eq!((summary.files, summary.folders, summary.bytes), (1, 2, 5));
    assert_eq!((summary.quota, summary.space_quota), (None, None));
    let (status, answer) = web(
        "PUT",
        &root,
        "op=SETQUOTA&namespacequota=4&storagespacequota=7",
    );
    assert_eq!(status, 200, "{answer}");
    let summary = hdfs.summary(&root).await.unwrap().unwrap();
    assert_eq!((summary.quota, summary.space_quota), (Some(4), Some(7)));
    hdfs.mkdir(&format!("{root}/e"), 0o755).await.unwrap();
    assert_error!(hdfs.mkdir(&format!("{root}/g"), 0o755).await, Quota);
    assert_eq!(hdfs.list(&file).await.unwrap().len(), 1);
    assert_error!(hdfs.list(&format!("{root}/no")).await, NotFound);
}

#[tokio::test]
async fn folders_get_their_mode() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "mkdir").await;
    for mode in [0o700, 0o777, 0o2, 0o1777] {
        let path = format!("{root}/{mode:o}");
        hdfs.mkdir(&path, mode).await.unwrap();
        assert_eq!(attributes(&path), format!("hdfs:hdfs {mode:o}"));
        hdfs.mkdir(&path, 0o711).await.unwrap();
        assert_eq!(attributes(&path), format!("hdfs:hdfs {mode:o}"));
    }
    put(&hdfs, &format!("{root}/file"), "").await;
    let in_the_way = hdfs.mkdir(&format!("{root}/file"), 0o755).await;
    assert_error!(in_the_way, AlreadyExists);
}

#[tokio::test]
async fn acls_come_back_exactly() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "acl").await;
    let path = format!("{root}/d");
    hdfs.mkdir(&path, 0o750).await.unwrap();
    assert!(hdfs.acl(&path).await.unwrap().is_empty());
    let both = acl(&[
        "user::rwx",
        "user:azywiki:rwx",
        "group::r--",
        "mask::r-x",
        "other::---",
        "default:user::rwx",
        "default:group::r-x",
        "default:other::--x",
    ]);
    hdfs.set_acl(&path, &both).await.unwrap();
    assert_eq!(hdfs.acl(&path).await.unwrap(), both);
    assert_eq!(judge(&path).unwrap()["aclBit"], true);
    let (_, seen) = web("GET", &path, "op=GETACLSTATUS");
    let entries = seen["AclStatus"]["entries"].to_string();
    assert!(entries.contains("\"user:azywiki:rwx\""), "{entries}");
    assert!(entries.contains("\"default:other::--x\""), "{entries}");
    // Only defaults, then only access entries: neither set may survive the other.
    let [access, default] = [
        acl(&[
            "user::rwx",
            "user:elvis:r--",
            "group::r-x",
            "mask::r-x",
            "other::---",
        ]),
        acl(&[
            "user::rwx",
            "group::r-x",
            "other::---",
            "default:user::rwx",
            "default:group::---",
            "default:other::---",
        ]),
    ];
    for entries in [&default, &access, &default, &both, &access] {
        hdfs.set_acl(&path, entries).await.unwrap();
        assert_eq!(&hdfs.acl(&path).await.unwrap(), entries);
    }
    let walked: Vec<_> = hdfs
        .walk_with_acls(&root)
        .map(Result::unwrap)
        .collect()
        .await;
    let [(first, none), (second, entries)] = &walked[..] else {
        panic!("{walked:?}")
    };
    assert_eq!((&first.path, none.len()), (&root, 0));
    assert_eq!((&second.path, entries), (&path, &access));
    hdfs.set_acl(&path, &[]).await.unwrap();
    assert!(hdfs.acl(&path).await.unwrap().is_empty());
    assert!(judge(&path).unwrap().get("aclBit").is_none());
}

#[tokio::test]
async fn rename_neither_overwrites_nor_moves_into() {
    let hdfs = client("hdfs");
    let root = scratch(&hdfs, "rename").await;
    let at = |name: &str| format!("{root}/{name}");
    for name in ["a", "full/x", "empty"] {
        hdfs.mkdir(&at(name), 0o755).await.unwrap();
    }
    put(&hdfs, &at("file"), "1").await;
    for target in ["full", "empty", "file"] {
        assert_error!(hdfs.rename(&at("a"), &at(target)).await, AlreadyExists);
        assert_error!(hdfs.rename(&at("a"), &at("a")).await, AlreadyExists);
    }
    assert_error!(hdfs.rename(&at("none"), &at("b")).await, NotFound);
    assert_error!(hdfs.rename(&at("none"), &at("a")).await, NotFound);
    assert_error!(hdfs.rename(&at("a"), &at("none/b")).await, NotFound);
    assert!(hdfs.rename(&at("a"), &at("a/b")).await.is_err());
    assert_error!(hdfs.rename(&at("a"), &at("../b")).await, Path);
    assert_error!(hdfs.rename("/", &at("b")).await, Path);
    hdfs.rename(&at("full"), &at("b")).await.unwrap();
    let want = ["a", "b", "empty", "file"].map(str::to_owned);
    assert_eq!(names(&root), want.into());
    assert_eq!(names(&at("b")), ["x".to_owned()].into());
}
