//! Which hosts are touched, and how.

use super::*;

#[test]
fn a_host_that_names_other_places_is_spared() {
    let mut found = everything();
    let places = found.hosts.get_mut("stat1008").unwrap();
    places.kept.homes[0].path = "/mnt/elsewhere/elvis".into();
    let plan = planned(archive(), &found).unwrap();
    assert!(plan.steps.iter().all(|step| step.lane != "stat1008"));
    assert!(plan.steps.iter().any(|step| step.lane == "stat1009"));
    let why = &plan.coverage[0].why;
    assert!(why.contains("none of offboard.host_homes"), "{why}");
}

#[test]
fn a_folder_among_archived_homes_is_told_and_stays() {
    let mut found = nothing();
    let path = "/var/userarchive/elvis";
    let places = found.hosts.get_mut("stat1008").unwrap();
    places.by_hand.push(path.into());
    let procedure = Offboard::new(archive(), Policy::default(), None).unwrap();
    let report = procedure.report(&found);
    assert!(report.leftovers && report.document.text(None).contains(path));
    let plan = planned(archive(), &found).unwrap();
    assert_eq!(plan.steps, []);
    assert!(plan.notes[0].contains("/var/userarchive/elvis stays"));
}

#[test]
fn kept_homes_stay() {
    let request = Request {
        host_homes: Homes::Keep,
        ..archive()
    };
    let plan = planned(request, &everything()).unwrap();
    assert!(
        plan.steps
            .iter()
            .all(|step| step.lane == "cluster" || step.lane == "close")
    );
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("/home/elvis stays"))
    );
}

#[test]
fn processes_end_only_when_asked() {
    let mut found = everything();
    found
        .hosts
        .get_mut("stat1008")
        .unwrap()
        .processes
        .push(Process {
            pid: 7,
            tty: "?".into(),
            command: "sleep".into(),
        });
    let plan = planned(archive(), &found).unwrap();
    assert!(!plan.steps.iter().any(|step| step.id.starts_with("stop")));
    let request = Request {
        stop_processes: true,
        ..archive()
    };
    let plan = planned(request, &found).unwrap();
    let ids: Vec<&str> = plan
        .steps
        .iter()
        .filter(|s| s.lane == "stat1008")
        .map(|s| s.id.as_str())
        .collect();
    assert_eq!(
        ids,
        ["stop-stat1008", "collect-stat1008", "remove-stat1008"]
    );
}

#[test]
fn a_mount_a_cut_removal_or_a_foreign_home_spares_its_host_and_no_other() {
    type Spoil = fn(&mut Places);
    let spoil: [(&str, Spoil); 3] = [
        ("mount point", |p| p.mounts.push("/home/elvis/data".into())),
        ("cut short", |p| {
            p.kept.homes.clear();
            p.tombs
                .push(("/home/.elvis.opsweek-removing".into(), (1, 2)));
        }),
        ("belongs to azy", |p| p.kept.homes[0].owner = "azy".into()),
    ];
    for (why, spoil) in spoil {
        let mut found = everything();
        spoil(found.hosts.get_mut("stat1008").unwrap());
        let plan = planned(archive(), &found).unwrap();
        assert!(!plan.steps.iter().any(|step| step.lane == "stat1008"));
        assert!(plan.steps.iter().any(|step| step.id == "remove-stat1009"));
        let gap = &plan.coverage[0];
        assert!(gap.place == "stat1008" && gap.why.contains(why), "{gap:?}");
    }
}

#[test]
fn an_unseen_host_stays_out_and_an_unseen_metastore_stops_it() {
    let mut found = everything();
    found.hosts.remove("stat1008");
    let gap = |place: &str, lane: &str| Gap {
        place: place.into(),
        why: "down".into(),
        lane: Some(lane.into()),
    };
    found.gaps = vec![gap("stat1008", "stat1008")];
    let plan = planned(archive(), &found).unwrap();
    assert!(plan.steps.iter().all(|step| step.lane != "stat1008"));
    found.gaps = vec![gap("hive", "cluster")];
    assert!(matches!(
        planned(archive(), &found),
        Err(Unplanned::Incomplete(_))
    ));
}

#[test]
fn hosts_alone_go_in_batches() {
    let batches = Batches {
        size: 2,
        sleep: 5,
        success: 90,
    };
    let plan_of = |found: &Inventory| {
        let request = Request {
            batches: Some(batches),
            ..archive()
        };
        planned(request, found).unwrap()
    };
    let mut found = everything();
    let plan = plan_of(&found);
    let pace = plan.pace.clone().unwrap();
    let hosts: Vec<&String> = found.hosts.keys().collect();
    assert_eq!(pace.lanes.iter().collect::<Vec<_>>(), hosts);
    assert_eq!((pace.batch, pace.sleep, pace.success), (2, 5, 90));
    let note = "hosts: 2 at a time, 5 s between, as long as 90% succeed";
    assert!(plan.notes.iter().any(|one| one == note), "{:?}", plan.notes);
    // Where there is nothing to be done on hosts, nothing is said of them.
    found.hosts.clear();
    assert_eq!(plan_of(&found).pace, None);
}
