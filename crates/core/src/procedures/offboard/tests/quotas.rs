//! An archive that does not fit where it would go.

use super::*;
use crate::procedures::offboard::inventory::{Limit, Quota, Weight};
use crate::services::hdfs::Defaults;

const HOME: &str = "/user/elvis";
const DATABASE: &str = "/user/hive/warehouse/elvis.db";

/// Refusals where `folder` has this much room, and both trees weigh 100 names and 1 MiB.
fn refused(folder: &str, what: Limit, room: u64) -> Vec<String> {
    let mut found = everything();
    let hdfs = found.hdfs.as_mut().unwrap();
    hdfs.quotas.push(Quota {
        folder: folder.into(),
        what,
        limit: 500 + room,
        used: 500,
    });
    let weight = Weight {
        names: 100,
        space: 1 << 20,
    };
    hdfs.weights = [HOME, DATABASE]
        .map(|path| (path.to_owned(), weight))
        .into();
    match planned(archive(), &found) {
        Ok(_) => Vec::new(),
        Err(Unplanned::Refused(all)) => all
            .into_iter()
            .map(|r| format!("{}; {}", r.what, r.hint))
            .collect(),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn an_archive_that_breaks_a_quota_is_refused_with_all_numbers() {
    // Three folders of records, four records, complete.json, and two files for each of two hosts.
    let need = 200 + 3 + 4 + 1 + 4;
    let folder = "/wmf/data/archive";
    assert_eq!(refused(folder, Limit::Names, need), Vec::<String>::new());
    assert_eq!(
        refused(folder, Limit::Names, need - 1),
        [
            "/wmf/data/archive has a quota of 711 names, uses 500 names and would need 212 names more; \
          make room there, or raise it: hdfs dfsadmin -setQuota 712 /wmf/data/archive"
        ]
    );
    assert_eq!(refused(folder, Limit::Space, 2 << 20), Vec::<String>::new());
    let said = refused(folder, Limit::Space, (2 << 20) - 1).concat();
    assert!(
        said.contains("-setSpaceQuota 2097652 /wmf/data/archive"),
        "{said}"
    );
}

#[test]
fn the_home_takes_its_own_quota_along() {
    // The records, and the database's folder.
    let need = 100 + 3 + 4 + 1 + 4;
    assert_eq!(refused(HOME, Limit::Names, need), Vec::<String>::new());
    let said = refused(HOME, Limit::Names, need - 1).concat();
    assert!(said.ends_with("-setQuota 612 /user/elvis"), "{said}");
    let said = refused(HOME, Limit::Space, (1 << 20) - 1).concat();
    assert!(
        said.ends_with("-setSpaceQuota 1049076 /user/elvis"),
        "{said}"
    );
}

/// Notes where the archive's folder has so many blocks of 1 KiB, twice each, of room; two hosts
/// have a home of 100 bytes in 7 entries.
fn noted(blocks: u64) -> Result<Vec<String>, Unplanned> {
    let mut found = everything();
    let hdfs = found.hdfs.as_mut().unwrap();
    hdfs.defaults = Some(Defaults {
        block_size: 1 << 10,
        replication: 2,
        trash_interval: 60,
    });
    hdfs.quotas.push(Quota {
        folder: "/wmf/data/archive".into(),
        what: Limit::Space,
        limit: (blocks << 11) + 5,
        used: 5,
    });
    let plan = planned(archive(), &found)?;
    let notes = plan.notes.into_iter();
    Ok(notes.filter(|note| note.contains("has a quota")).collect())
}

#[test]
fn what_hosts_have_is_counted_as_if_it_did_not_get_smaller() {
    // A file that is being written counts as a block.
    assert!(matches!(noted(0), Err(Unplanned::Refused(_))));
    // 100 bytes and 7 entries of 4 KiB: 29 blocks a host.
    assert_eq!(noted(1 + 2 * 29).unwrap(), [""; 0]);
    let said = noted(2 * 29).unwrap().concat();
    assert!(
        said.contains(
            "uses 5 B of space; the plan needs 2.0 KiB of space more, and up to 116.0 KiB"
        ) && said.ends_with("-setSpaceQuota 120837 /wmf/data/archive"),
        "{said}"
    );
}

#[test]
fn what_lies_below_the_quota_already_needs_no_room() {
    assert_eq!(refused("/user", Limit::Space, 0), Vec::<String>::new());
    assert_eq!(
        refused("/user/hive", Limit::Space, 1 << 20),
        Vec::<String>::new()
    );
}

#[test]
fn a_plan_that_makes_nothing_breaks_no_quota_however_full() {
    let mut found = nothing();
    found.hdfs.as_mut().unwrap().quotas.push(Quota {
        folder: "/wmf/data/archive".into(),
        what: Limit::Names,
        limit: 1,
        used: 2,
    });
    assert_eq!(planned(archive(), &found).unwrap().steps, []);
}
