//! Plans of only some of the places.

use super::*;
use crate::actions::World;
use crate::engine::Act;
use crate::procedures::offboard::scope::Place;

const ARCHIVE: &str = "/wmf/data/archive/user/elvis";

fn scope(places: &[Place]) -> Scope {
    places.iter().copied().collect()
}

fn asked(places: &[Place]) -> Request {
    Request {
        places: scope(places),
        ..archive()
    }
}

/// What a look at the hosts alone finds, where the archive stands as given.
fn hosts_alone(archive: Option<Archive>) -> Inventory {
    Inventory {
        places: scope(&[Place::Hosts]),
        hdfs: Some(HdfsFindings {
            archive_folder: true,
            archives: archive.into_iter().collect(),
            unmoved: Some("/user/elvis".into()),
            ..HdfsFindings::default()
        }),
        hive: None,
        ..everything()
    }
}

fn closed(places: &[Place]) -> Archive {
    Archive {
        closed: scope(places),
        ..begun("elvis", 1, true)
    }
}

#[test]
fn hosts_follow_the_home_and_want_its_proof() {
    let request = asked(&[Place::Hosts]);
    for unproven in [None, Some(closed(&[])), Some(closed(&[Place::Hosts]))] {
        let refused = planned(request.clone(), &hosts_alone(unproven)).unwrap_err();
        let Unplanned::Refused(all) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(all.len(), 1);
        assert!(
            all[0]
                .what
                .starts_with("/user/elvis is there, and nothing proves")
        );
        assert!(all[0].hint.contains("--places hdfs,hive"));
    }
    let found = hosts_alone(Some(closed(&[Place::Hdfs, Place::Hive])));
    let plan = planned(request, &found).unwrap();
    insta::assert_snapshot!(steps(&plan));
    assert_eq!(plan.unasked, ["hdfs", "hive"]);
    let resumed = Request::resumed(&plan).unwrap();
    assert_eq!(resumed.places, scope(&[Place::Hosts]));
}

#[test]
fn hosts_need_no_home_nor_an_archive_that_others_began() {
    let mut found = hosts_alone(None);
    found.hdfs.as_mut().unwrap().unmoved = None;
    let plan = steps(&planned(asked(&[Place::Hosts]), &found).unwrap());
    assert!(
        plan.contains("make-archive") && plan.contains("remove-stat1009"),
        "{plan}"
    );
    assert!(!plan.contains("own-archive"), "{plan}");
}

#[test]
fn what_is_closed_is_not_gone_on_with_again() {
    let done = Archive {
        tree: tree(ARCHIVE),
        ..closed(&[Place::Hosts])
    };
    let mut found = hosts_alone(Some(done));
    found.hdfs.as_mut().unwrap().unmoved = None;
    found.hosts.clear();
    assert_eq!(planned(asked(&[Place::Hosts]), &found).unwrap().steps, []);
    let report = Offboard::new(asked(&[Place::Hosts]), Policy::default(), None)
        .unwrap()
        .report(&found);
    assert!(!report.leftovers);
    let text = report.document.text(None);
    assert!(text.contains("archive, waiting for hdfs, hive"), "{text}");
    assert!(text.contains("nothing of elvis is left in hosts"), "{text}");
    assert!(text.contains("not asked for: hdfs, hive"), "{text}");
}

#[test]
fn the_cluster_without_hosts_leaves_the_archive_open() {
    let mut found = everything();
    found.hosts.clear();
    found.places = scope(&[Place::Hdfs, Place::Hive]);
    let plan = planned(asked(&[Place::Hdfs, Place::Hive]), &found).unwrap();
    let last = plan.steps.last().unwrap();
    assert!(
        last.action.targets()[0].ends_with("/.opsweek/closed.json"),
        "{last:?}"
    );
    assert!(plan.steps.iter().any(|step| step.id == "own-archive"));
}

#[test]
fn neither_hdfs_nor_the_metastore_is_changed_without_the_other() {
    for place in [Place::Hdfs, Place::Hive] {
        for places in [&[place][..], &[place, Place::Hosts]] {
            let refused = Offboard::new(asked(places), Policy::default(), None);
            assert!(refused.err().unwrap().what.contains("alone"), "{places:?}");
            let look = Request {
                intent: Intent::Look,
                ..asked(places)
            };
            assert!(Offboard::new(look, Policy::default(), None).is_ok());
        }
    }
}

#[test]
fn a_place_that_is_chosen_must_be_configured() {
    for (place, section) in [
        (Place::Hdfs, "hdfs"),
        (Place::Hive, "metastore"),
        (Place::Hosts, "fleet"),
    ] {
        let look = Request {
            intent: Intent::Look,
            ..asked(&[place])
        };
        let offboard = Offboard::new(look, Policy::default(), None).unwrap();
        let refused = offboard.within(World::local(Policy::default().guard()));
        assert!(
            refused
                .err()
                .unwrap()
                .hint
                .contains(&format!("[{section}]"))
        );
    }
    // All are asked for where none is named.
    for request in [archive(), Request::look(user("elvis"))] {
        let offboard = Offboard::new(request, Policy::default(), None).unwrap();
        let refused = offboard.within(World::local(Policy::default().guard()));
        assert!(refused.err().unwrap().what.starts_with("hdfs is asked for"));
    }
}
