//! `--move-table` and `--include`.

use super::*;
use crate::procedures::offboard::moving::Moving;

const FAR: &str = "/wmf/data/research/elvis";

/// A leaver in whose database azy has a table that is to move, and with data elsewhere.
fn found() -> Inventory {
    let mut found = everything();
    let path = "/user/hive/warehouse/elvis.db/reports";
    found.hive.as_mut().unwrap().moving.push(Moving {
        table: table("elvis", "reports", "azy", path),
        to: "shared".into(),
        files: Some((path.into(), "/user/hive/warehouse/shared.db/reports".into())),
        fault: None,
    });
    found.hdfs.as_mut().unwrap().included.push((
        FAR.into(),
        Some(Found {
            tree: tree(FAR),
            newest: 8,
        }),
    ));
    found
}

fn asked(intent: Intent) -> Request {
    Request {
        intent,
        move_tables: vec!["elvis.reports=shared".parse().unwrap()],
        include: vec![FAR.into()],
        ..archive()
    }
}

#[test]
fn a_table_leaves_first_and_data_elsewhere_goes_with_the_rest() {
    insta::assert_snapshot!(steps(&planned(asked(Intent::Archive), &found()).unwrap()));
    let deleted = steps(&planned(asked(Intent::Delete), &found()).unwrap());
    assert!(
        deleted.starts_with("0 cluster move-table-elvis.reports"),
        "{deleted}"
    );
    assert!(
        deleted.contains(&format!("delete-{}: move {FAR} ", &FAR[1..])),
        "{deleted}"
    );
}

#[test]
fn what_cannot_move_and_what_is_not_the_users_is_refused() {
    let refusal = |request: Request, found: &Inventory| match planned(request, found) {
        Err(Unplanned::Refused(all)) => {
            assert_eq!(all.len(), 1, "{all:?}");
            all[0].what.clone()
        }
        other => panic!("{other:?}"),
    };
    let mut other = found();
    other.hive.as_mut().unwrap().moving[0].fault = Some("in the way".into());
    let said = refusal(asked(Intent::Archive), &other);
    assert_eq!(said, "--move-table elvis.reports=shared: in the way");
    other.hive.as_mut().unwrap().moving.clear();
    let said = refusal(asked(Intent::Archive), &other);
    assert!(
        said.contains("no database of elvis has such a table"),
        "{said}"
    );

    let protected = Request {
        move_tables: vec!["elvis.reports=wmf_raw".parse().unwrap()],
        ..asked(Intent::Archive)
    };
    let said = refusal(protected, &found());
    assert!(said.contains("protected by \"wmf*\""), "{said}");

    let mut others = found();
    let included = &mut others.hdfs.as_mut().unwrap().included[0].1;
    included.as_mut().unwrap().tree.owner = "azy".into();
    let said = refusal(asked(Intent::Archive), &others);
    assert_eq!(said, format!("{FAR} belongs to azy, not to elvis"));
    others.hdfs.as_mut().unwrap().included[0].1 = None;
    let said = refusal(asked(Intent::Archive), &others);
    assert_eq!(said, format!("there is no {FAR}"));

    let new = |request| {
        Offboard::new(request, Policy::default(), None)
            .err()
            .unwrap()
            .what
    };
    for bad in ["/user/azy/x", "/tmp/x", "/wmf/data/archive"] {
        let request = Request {
            include: vec![bad.into()],
            ..archive()
        };
        assert!(
            new(request).starts_with(&format!("--include {bad}: ")),
            "{bad}"
        );
    }
    let mut hosts = asked(Intent::Archive);
    hosts.places = [crate::procedures::offboard::scope::Place::Hosts]
        .into_iter()
        .collect();
    assert!(new(hosts.clone()).contains("without hdfs"));
    hosts.include.clear();
    assert!(new(hosts).contains("without hive"));
}

#[test]
fn files_of_a_given_table_stay_where_nothing_may_be_changed() {
    let mut found = found();
    let hive = found.hive.as_mut().unwrap();
    hive.tables
        .push(table("shared", "t", "elvis", "/tmp/elvis"));
    let plan = planned(asked(Intent::Archive), &found).unwrap();
    let ids: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
    assert!(ids.contains(&"owner-shared.t") && !ids.contains(&"owner-files-shared.t"));
    let note = "files of shared.t in /tmp/elvis stay elvis's: outside offboard.hdfs_roots";
    assert!(
        plan.notes.iter().any(|told| told == note),
        "{:?}",
        plan.notes
    );
    // A restore refuses what it could not change.
    let manifest = plan.steps.iter().find_map(|step| match &step.action {
        Action::Hdfs(crate::actions::hdfs::Action::Put { content, .. }) => {
            crate::procedures::offboard::manifest::read(content.as_bytes())
                .filter(|manifest| !manifest.given.is_empty())
        }
        _ => None,
    });
    let faults = manifest.unwrap().faults(
        &user("elvis"),
        &Policy::default(),
        "/wmf/data/archive/user/elvis",
        &["/user/hive/warehouse/elvis.db".to_owned()],
    );
    assert_eq!(faults, [""; 0]);
}

#[test]
fn a_step_that_the_guard_would_stop_is_no_plan() {
    let mut found = everything();
    let hdfs = found.hdfs.as_mut().unwrap();
    hdfs.parts = vec![tree("/tmp/elvis")];
    let refused = planned(archive(), &found);
    let Err(Unplanned::Refused(all)) = refused else {
        panic!("{refused:?}")
    };
    assert!(all[0].what.contains("/tmp/elvis is in none of"), "{all:?}");
}
