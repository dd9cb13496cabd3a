//! The restore's planner as tables, and what it makes of records that come from elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::inventory::{Account, Inventory};
use super::super::manifest::{self, Given, Manifest};
use super::super::policy::Policy;
use super::super::scope::Scope;
use super::super::{Intent, Offboard, Request};
use super::*;
use crate::actions::guard::{UserName, lies_in};
use crate::actions::restore::host::Place;
use crate::actions::{Action, Artefact};
use crate::engine::lint::lint;
use crate::engine::{Act, Gap, Plan};
use crate::procedures::{Heading, Procedure, Unplanned};

const ARCHIVE: &str = "/wmf/data/archive/user/elvis";

fn user() -> UserName {
    UserName::try_from("elvis".to_owned()).unwrap()
}

fn tree(path: &str) -> Tree {
    Tree {
        path: path.into(),
        owner: "hdfs".into(),
        group: "users".into(),
        mode: 0o750,
        files: 10,
        folders: 3,
        bytes: 2048,
        leaves: Vec::new(),
    }
}

fn manifest() -> Manifest {
    let home = || "/user/elvis".to_owned();
    Manifest {
        format: manifest::FORMAT,
        user: "elvis".into(),
        home: Some(home()),
        moves: vec![
            (home(), ARCHIVE.into()),
            (
                "/user/hive/warehouse/elvis.db".into(),
                format!("{ARCHIVE}/.opsweek/hive/elvis.db"),
            ),
        ],
        recorded: vec![
            home(),
            "/user/hive/warehouse/elvis.db".into(),
            "/wmf/data/shared/e".into(),
        ],
        databases: vec!["elvis".into()],
        given: vec![Given {
            database: "shared".into(),
            table: "e".into(),
            created: 1,
            path: Some("/wmf/data/shared/e".into()),
        }],
        new_owner: Some("analytics".into()),
        others: vec!["/user/elvis/exports/o".into()],
        trashed: vec!["/user/elvis/.Trash".into(), "/user/elvis/.staging".into()],
        lingered: vec!["stat1008".into()],
        left_out: BTreeMap::from([("stat1008".into(), vec!["/home/elvis/.ssh".into()])]),
        ..Manifest::default()
    }
}

/// A complete archive of which nothing is back.
fn source() -> Source {
    let records = format!("{ARCHIVE}/.opsweek");
    let aside = "/wmf/data/archive/user/.elvis.restoring";
    let artefact = |name: &str| Artefact {
        staged: format!("{records}/{name}"),
        settled: format!("{aside}/{name}"),
    };
    let back = |from: &str, to: &str| Back {
        from: from.into(),
        to: to.into(),
        was: Some(tree(from)),
        in_the_way: false,
    };
    Source {
        name: "elvis".into(),
        archive: ARCHIVE.into(),
        records: records.clone(),
        runs: vec![(String::new(), manifest())],
        moves: vec![
            back(
                &format!("{records}/hive/elvis.db"),
                "/user/hive/warehouse/elvis.db",
            ),
            back(ARCHIVE, "/user/elvis"),
        ],
        trash: vec![Trashed {
            path: "/user/elvis/.Trash".into(),
            tree: tree("/user/hdfs/.Trash/Current/wmf/data/archive/user/elvis/.Trash"),
        }],
        lost: vec!["/user/elvis/.staging".into()],
        databases: vec![CreateDatabase {
            name: "elvis".into(),
            owner: "elvis".into(),
            tables: 2,
            record: artefact("hive.jsonl.zst"),
            earlier: Vec::new(),
            shelter: "/wmf/data/archive/user".into(),
        }],
        inside: vec![("other".into(), "o".into(), evidence("azy"))],
        given: vec![GivenBack {
            database: "shared".into(),
            table: "e".into(),
            was: evidence("analytics"),
        }],
        given_folders: BTreeMap::from([(String::new(), vec!["/wmf/data/shared/e".into()])]),
        hosts: BTreeMap::from([(
            "stat1008".into(),
            HostBack {
                restore: vec![Restore {
                    host: "stat1008".into(),
                    user: user(),
                    uid: Some(2001),
                    places: vec![Place {
                        path: "/home/elvis".into(),
                        home: true,
                        fingerprint: "f".repeat(64),
                    }],
                    also: Vec::new(),
                    leave_out: vec![".ssh".into()],
                    file: artefact("hosts/stat1008.tar.zst"),
                    sha256: "0".repeat(64),
                    bytes: 100,
                }],
                linger: true,
                ..HostBack::default()
            },
        )]),
        ..Source::default()
    }
}

fn evidence(owner: &str) -> TableEvidence {
    TableEvidence {
        owner: owner.into(),
        created: 1,
        location: None,
    }
}

fn inventory(found: Findings) -> Inventory {
    Inventory {
        user: user(),
        now: 1_700_000_000,
        account: Account::Unlisted,
        applications: Vec::new(),
        places: Scope::all(),
        hdfs: None,
        hive: None,
        hosts: BTreeMap::new(),
        gaps: Vec::new(),
        world: BTreeMap::new(),
        restore: Some(found),
    }
}

fn found(source: Source) -> Findings {
    Findings {
        seen: true,
        archives: vec![source.name.clone()],
        source: Some(source),
        ..Findings::default()
    }
}

fn procedure() -> Offboard {
    let request = Request {
        intent: Intent::Restore,
        ..Request::look(user())
    };
    Offboard::new(request, Policy::default(), None).unwrap()
}

fn planned(inventory: &Inventory) -> Result<Plan<Action>, Unplanned> {
    let heading = Heading {
        version: "1".into(),
        now: inventory.now,
        task: None,
        reason: None,
    };
    let plan = procedure().plan(inventory, &heading)?;
    assert_eq!(lint(&plan), Vec::<String>::new());
    Ok(plan)
}

/// Wave, lane, id and summary of every step, and the notes.
fn told(plan: &Plan<Action>) -> String {
    let steps = plan.steps.iter().map(|step| {
        let summary = step.action.summary();
        format!("{} {} {}: {summary}", step.wave, step.lane, step.id)
    });
    let notes = plan.notes.iter().map(|note| format!("- {note}"));
    steps.chain(notes).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_whole_archive() {
    insta::assert_snapshot!(told(&planned(&inventory(found(source()))).unwrap()));
}

#[test]
fn hosts_alone_leave_an_archive_without_a_home() {
    let mut source = source();
    let run = Manifest {
        format: manifest::FORMAT,
        user: "elvis".into(),
        ..Manifest::default()
    };
    source.runs = vec![(String::new(), run)];
    source.moves.clear();
    source.trash.clear();
    source.lost.clear();
    source.databases.clear();
    source.inside.clear();
    source.given.clear();
    source.given_folders.clear();
    let plan = planned(&inventory(found(source))).unwrap();
    insta::assert_snapshot!(told(&plan));
}

#[test]
fn what_is_back_is_not_done_again_and_the_records_go() {
    let source = Source {
        name: "elvis".into(),
        archive: ARCHIVE.into(),
        records: "/wmf/data/archive/user/.elvis.restoring".into(),
        runs: vec![(String::new(), manifest())],
        attributes_done: vec![String::new()],
        owners_done: vec![String::new()],
        ..Source::default()
    };
    let plan = planned(&inventory(found(source.clone()))).unwrap();
    let ids: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["give-up-records"]);
    // Nothing would keep them.
    let trashless = Source {
        trashless: true,
        ..source
    };
    let plan = planned(&inventory(found(trashless))).unwrap();
    assert_eq!(plan.steps, []);
    let told = |note: &String| note.contains(".elvis.restoring as HDFS has no trash");
    assert!(plan.notes.iter().any(told), "{:?}", plan.notes);
}

#[test]
fn no_archive_is_an_empty_plan() {
    let none = Findings {
        seen: true,
        ..Findings::default()
    };
    assert_eq!(planned(&inventory(none)).unwrap().steps, []);
}

#[test]
fn a_later_runs_record_does_not_hide_an_earlier_ones() {
    let mut source = source();
    let again = Manifest {
        home: None,
        moves: Vec::new(),
        recorded: vec!["/user/elvis/x".into(), "/wmf/data/shared/e".into()],
        ..manifest()
    };
    source.runs.push(("-2".into(), again));
    let folders = vec!["/wmf/data/shared/e".into()];
    source.given_folders.insert("-2".into(), folders);
    let plan = planned(&inventory(found(source))).unwrap();
    let attributes = |step: &&crate::engine::Step<Action>| {
        step.id.starts_with("attributes") || step.id.starts_with("owner-files")
    };
    let ids: Vec<&str> = plan
        .steps
        .iter()
        .filter(attributes)
        .map(|s| s.id.as_str())
        .collect();
    assert_eq!(ids, ["attributes", "owner-files"]);
}

#[test]
fn a_table_that_went_with_the_home_gets_its_files_back() {
    let mut source = source();
    let path = "/user/elvis/shared_tbl";
    source.runs[0].1.others.push(path.into());
    source.given_folders = BTreeMap::from([(String::new(), vec![path.into()])]);
    let plan = planned(&inventory(found(source))).unwrap();
    let roots = plan.steps.iter().find_map(|step| match &step.action {
        Action::Hdfs(hdfs::Action::Attributes(action)) if step.id == "owner-files" => {
            assert_eq!(action.keep, [""; 0]);
            Some(action.roots.clone())
        }
        _ => None,
    });
    assert_eq!(roots, Some(vec![path.to_owned()]));
}

#[test]
fn what_is_not_believed_is_not_said_to_be_back() {
    let source = Source {
        archive: ARCHIVE.into(),
        faults: vec!["manifest.json: format 1".into()],
        ..Source::default()
    };
    let found = found(source);
    let report = report::report(&inventory(found.clone()), &found);
    assert_eq!(report.document.title, format!("{ARCHIVE} is not all back"));
}

#[test]
fn a_spared_or_unseen_host_keeps_the_records() {
    let mut source = source();
    source.hosts.get_mut("stat1008").unwrap().spared = Some("in the way".into());
    let plan = planned(&inventory(found(source.clone()))).unwrap();
    assert!(plan.steps.iter().all(|step| step.lane == "cluster"));
    assert_eq!(plan.coverage[0].why, "refused: in the way");
    source.hosts.clear();
    let mut inventory = inventory(found(source));
    inventory.gaps.push(Gap {
        place: "stat1008".into(),
        why: "down".into(),
        lane: Some("stat1008".into()),
    });
    let plan = planned(&inventory).unwrap();
    assert!(plan.steps.iter().all(|step| step.id != "give-up-records"));
    inventory.gaps[0].lane = Some("cluster".into());
    assert!(matches!(planned(&inventory), Err(Unplanned::Incomplete(_))));
}

#[test]
fn a_plan_says_which_archive_it_restores() {
    let plan = planned(&inventory(found(source()))).unwrap();
    assert_eq!(archive_of(&plan), Some("elvis".into()));
    let resumed = |plan: &Plan<Action>| {
        let request = Request::resumed(plan).unwrap();
        (request.intent, request.from)
    };
    assert_eq!(resumed(&plan), (Intent::Restore, Some("elvis".into())));
    // Whatever it is called, and whatever part of it is left to do.
    let mut named = BTreeSet::new();
    for step in &plan.steps {
        let part = Plan {
            title: "archive to /wmf/data/archive/user/azy".into(),
            steps: vec![step.clone()],
            ..plan.clone()
        };
        let (intent, from) = resumed(&part);
        assert_eq!(intent, Intent::Restore, "{}", step.id);
        named.extend(from);
    }
    assert_eq!(named, BTreeSet::from(["elvis".into()]));
}

/// Each rule alone refuses, and says why.
#[test]
fn refusals() {
    type Break<'a> = &'a dyn Fn(&mut Findings);
    let rules: [(&str, Break<'_>); 9] = [
        ("no HDFS to restore from", &|f| {
            *f = Findings::default();
        }),
        ("several archives of elvis: elvis, elvis.20231114", &|f| {
            f.source = None;
            f.archives = vec!["elvis".into(), "elvis.20231114".into()];
        }),
        ("no archive elvis.1 of elvis", &|f| {
            f.source = None;
            f.from = Some("elvis.1".into());
        }),
        ("elvis: no records in /wmf/data/archive/user", &|f| {
            f.source = None;
            f.archives.clear();
            f.bare = vec!["elvis".into()];
        }),
        ("format 1, not 2", &|f| {
            f.source
                .as_mut()
                .unwrap()
                .faults
                .push("format 1, not 2".into());
        }),
        ("/user/elvis is in the way", &|f| {
            f.source.as_mut().unwrap().moves[1].in_the_way = true;
        }),
        (
            "neither /wmf/data/archive/user/elvis nor /user/elvis",
            &|f| {
                f.source.as_mut().unwrap().moves[1].was = None;
            },
        ),
        ("differs from the record", &|f| {
            let why = "the database elvis is there, and differs from the record: owner";
            f.source.as_mut().unwrap().different.push(why.into());
        }),
        ("protected by \"wmf*\"", &|f| {
            f.source.as_mut().unwrap().databases[0].name = "wmf_elvis".into();
        }),
    ];
    for (why, break_it) in rules {
        let mut found = found(source());
        break_it(&mut found);
        match planned(&inventory(found)) {
            Err(Unplanned::Refused(all)) => {
                assert!(
                    all.len() == 1 && all[0].what.contains(why),
                    "{why}: {all:?}"
                );
            }
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[test]
fn the_report_of_an_archive() {
    let report = procedure().report(&inventory(found(source())));
    assert!(report.leftovers);
    insta::assert_snapshot!(report.document.text(None));
}

fn faults(manifest: &Manifest) -> Vec<String> {
    let folders = ["/user/hive/warehouse/elvis.db".to_owned()];
    manifest.faults(&user(), &Policy::default(), ARCHIVE, &folders)
}

#[test]
fn a_manifest_is_read_as_it_was_written() {
    let text = manifest::write(&manifest());
    assert_eq!(manifest::read(text.as_bytes()), Some(manifest()));
    assert_eq!(faults(&manifest()), Vec::<String>::new());
}

#[test]
fn a_manifest_that_is_about_something_else_is_not_believed() {
    type Break<'a> = &'a dyn Fn(&mut Manifest);
    let include = |m: &mut Manifest, path: &str, name: &str| {
        m.included.push(path.into());
        m.moves
            .push((path.into(), format!("{ARCHIVE}/.opsweek/hive/{name}")));
    };
    let far = "wmf.data.research.elvis.data";
    let mut sound = manifest();
    include(&mut sound, "/wmf/data/research/elvis", far);
    assert_eq!(faults(&sound), Vec::<String>::new());
    let cases: [Break<'_>; 17] = [
        &|m| m.format = 1,
        &|m| m.user = "azy".into(),
        &|m| m.home = Some("/user/azy".into()),
        &|m| m.moves[0].0 = "/user/azy".into(),
        &|m| m.moves[0].1 = "/wmf/data/archive/user/azy".into(),
        &|m| m.moves[1].0 = "/user/hive/warehouse/azy.db".into(),
        &|m| m.moves[1].0 = "/user/hive/warehouse".into(),
        &|m| m.moves[1].1 = format!("{ARCHIVE}/.opsweek/hive/../../x"),
        &|m| m.others.push("/user/azy/t".into()),
        &|m| m.trashed.push("/user/elvis/a/b".into()),
        &|m| m.trashed.push("/user/elvis/..".into()),
        &|m| m.given[0].path = Some("/tmp/x".into()),
        &|m| include(m, "/user/azy/x", "user.azy.x.data"),
        &|m| {
            include(
                m,
                "/wmf/data/archive/user/azy",
                "wmf.data.archive.user.azy.data",
            );
        },
        &|m| include(m, "/etc/x", "etc.x.data"),
        &|m| include(m, "/wmf/data/research/azy", far),
        &|m| {
            m.moves.push((
                "/wmf/data/research/elvis".into(),
                format!("{ARCHIVE}/.opsweek/hive/{far}"),
            ));
        },
    ];
    for (at, break_it) in cases.into_iter().enumerate() {
        let mut manifest = manifest();
        break_it(&mut manifest);
        assert!(!faults(&manifest).is_empty(), "{at}");
    }
}

/// Paths of all kinds, near the user's and far from them.
fn paths() -> impl Strategy<Value = String> {
    prop_oneof![
        "(/user/elvis|/user/azy|/user/hive/warehouse|/wmf/data/archive/user/elvis|/etc|)(/(elvis.db|\\.\\.|\\.opsweek|hive|a|)){0,4}",
        "\\PC{0,12}",
    ]
}

proptest! {
    #[test]
    fn no_manifest_leads_outside_the_users_places(
        home in prop::option::of(paths()),
        moves in prop::collection::vec((paths(), paths()), 0..4),
        others in prop::collection::vec(paths(), 0..3),
        elsewhere in prop::collection::vec("/(user/azy|wmf/data|wmf/data/archive/user|etc)(/[a.]{1,2}){0,2}", 0..3),
        trashed in prop::collection::vec(paths(), 0..3),
    ) {
        let manifest = Manifest {
            format: manifest::FORMAT,
            user: "elvis".into(),
            home,
            moves: moves
                .into_iter()
                .chain(elsewhere.iter().map(|path| {
                    let name = crate::procedures::offboard::elsewhere::name(path);
                    (path.clone(), format!("{ARCHIVE}/.opsweek/hive/{name}"))
                }))
                .collect(),
            included: elsewhere.clone(),
            others,
            trashed,
            ..Manifest::default()
        };
        if !faults(&manifest).is_empty() {
            return Ok(());
        }
        let climbs = |path: &str| path.split('/').skip(1).any(|part| matches!(part, "" | "." | ".."));
        for (from, to) in &manifest.moves {
            let own = from == "/user/elvis" || from == "/user/hive/warehouse/elvis.db";
            let far = elsewhere.contains(from)
                && from.starts_with("/wmf/data/")
                && !lies_in(from, "/wmf/data/archive/user");
            prop_assert!((own || far) && !climbs(from), "{from}");
            prop_assert!(lies_in(to, ARCHIVE) && !climbs(to), "{to}");
        }
        for path in manifest.others.iter().chain(&manifest.trashed) {
            let own = ["/user/elvis", "/user/hive/warehouse/elvis.db", ARCHIVE];
            prop_assert!(own.iter().any(|root| lies_in(path, root)) && !climbs(path), "{path}");
        }
    }

    #[test]
    fn any_bytes_are_a_manifest_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(manifest) = manifest::read(&bytes) {
            let _ = faults(&manifest);
        }
    }
}
