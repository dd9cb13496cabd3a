//! The planner as tables: what a look found, and what comes of it.

mod delete;
mod elsewhere;
mod hostile;
mod hosts;
mod places;
mod quotas;
mod refusals;

use std::collections::BTreeMap;

use super::inventory::{
    Account, Archive, DatabaseFound, Elsewhere, Found, HdfsFindings, HiveFindings, Inside,
    Inventory, TableFound, TableKind,
};
use super::policy::Policy;
use super::scope::Scope;
use super::{Batches, Homes, Intent, Offboard, Request};
use crate::actions::Action;
use crate::actions::guard::UserName;
use crate::actions::hdfs::Tree;
use crate::actions::hive::{DatabaseEvidence, TableEvidence};
use crate::actions::host::places::{Home, Kept, Kind, Places, Process};
use crate::engine::lint::lint;
use crate::engine::{Gap, Plan};
use crate::procedures::{Heading, Procedure, Unplanned};

fn user(name: &str) -> UserName {
    UserName::try_from(name.to_owned()).unwrap()
}

fn tree(path: &str) -> Tree {
    Tree {
        path: path.into(),
        owner: "elvis".into(),
        group: "users".into(),
        mode: 0o750,
        files: 10,
        folders: 3,
        bytes: 2048,
        leaves: Vec::new(),
    }
}

fn table(database: &str, name: &str, owner: &str, path: &str) -> TableFound {
    TableFound {
        database: database.into(),
        name: name.into(),
        kind: TableKind::External,
        was: TableEvidence {
            owner: owner.into(),
            created: 1,
            location: Some(format!("hdfs://nn{path}")),
        },
        path: Some(path.into()),
        location: Some(format!("hdfs://nn{path}")),
        data: Some(tree(path)),
    }
}

fn home(path: &str) -> Home {
    Home {
        path: path.into(),
        kind: Kind::Folder,
        uid: 2001,
        owner: "elvis".into(),
        id: (1, 2),
        files: 5,
        folders: 2,
        others: 0,
        bytes: 100,
        newest: 7,
    }
}

/// An HDFS home, a database, a table elsewhere, two hosts.
fn everything() -> Inventory {
    let on_host = |path: &str| Places {
        uid: Some(2001),
        kept: Kept {
            homes: vec![home(path)],
            ..Kept::default()
        },
        ..Places::default()
    };
    Inventory {
        user: user("elvis"),
        now: 1_700_000_000,
        account: Account::Absent,
        applications: Vec::new(),
        places: Scope::all(),
        hdfs: Some(HdfsFindings {
            archive_folder: true,
            home: Some(Found {
                tree: tree("/user/elvis"),
                newest: 9,
            }),
            parts: vec![tree("/user/elvis/.Trash")],
            ..HdfsFindings::default()
        }),
        hive: Some(HiveFindings {
            databases: vec![DatabaseFound {
                was: DatabaseEvidence {
                    name: "elvis".into(),
                    owner: "elvis".into(),
                    location: "hdfs://nn/user/hive/warehouse/elvis.db".into(),
                    tables: 1,
                    schema: "hash".into(),
                    newest: 1,
                },
                path: Some("/user/hive/warehouse/elvis.db".into()),
                data: Some(Found {
                    tree: tree("/user/hive/warehouse/elvis.db"),
                    newest: 9,
                }),
                tables: vec![table(
                    "elvis",
                    "t",
                    "elvis",
                    "/user/hive/warehouse/elvis.db/t",
                )],
                partitions: 0,
                shared: None,
            }],
            tables: vec![table("shared", "e", "elvis", "/wmf/data/shared/e")],
            inside: Vec::new(),
            databases_inside: Vec::new(),
            elsewhere: vec![Elsewhere {
                table: "elvis.far".into(),
                location: "hdfs://nn/wmf/data/far".into(),
                data: None,
            }],
            views: Vec::new(),
            moving: Vec::new(),
            owners: ["analytics".to_owned()].into(),
        }),
        hosts: BTreeMap::from([
            ("stat1008".into(), on_host("/home/elvis")),
            ("stat1009".into(), on_host("/srv/home/elvis")),
        ]),
        gaps: Vec::new(),
        world: BTreeMap::from([("hdfs".into(), "CID-1".into())]),
        restore: None,
    }
}

fn nothing() -> Inventory {
    Inventory {
        hdfs: Some(HdfsFindings {
            archive_folder: true,
            ..HdfsFindings::default()
        }),
        hive: Some(HiveFindings::default()),
        hosts: BTreeMap::from([("stat1008".into(), Places::default())]),
        ..everything()
    }
}

fn archive() -> Request {
    Request {
        intent: Intent::Archive,
        new_owner: Some(user("analytics")),
        ..Request::look(user("elvis"))
    }
}

fn planned(request: Request, found: &Inventory) -> Result<Plan<Action>, Unplanned> {
    let heading = Heading {
        version: "1".into(),
        now: found.now,
        task: None,
        reason: None,
    };
    let plan = Offboard::new(request, Policy::default(), None)
        .unwrap()
        .plan(found, &heading)?;
    assert_eq!(lint(&plan), Vec::<String>::new());
    Ok(plan)
}

/// What is refused, a line each, of the world that everything was found in once it is so.
fn refused_when(change: impl FnOnce(&mut Inventory)) -> Vec<String> {
    let mut found = everything();
    change(&mut found);
    match planned(archive(), &found) {
        Err(Unplanned::Refused(all)) => all.into_iter().map(|one| one.what).collect(),
        Ok(_) => Vec::new(),
        Err(other) => panic!("{other:?}"),
    }
}

/// Wave, lane, id and summary of every step.
fn steps(plan: &Plan<Action>) -> String {
    use crate::engine::Act;
    let lines = plan.steps.iter().map(|step| {
        format!(
            "{} {} {}: {}",
            step.wave,
            step.lane,
            step.id,
            step.action.summary()
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_whole_leaver() {
    insta::assert_snapshot!(steps(&planned(archive(), &everything()).unwrap()));
}

#[test]
fn what_is_somebody_elses_by_now_is_not_touched() {
    let home = refused_when(|found| {
        let home = found.hdfs.as_mut().unwrap().home.as_mut();
        home.unwrap().tree.owner = "azy".into();
    });
    assert_eq!(home, ["/user/elvis belongs to azy, not to elvis"]);
    let folder_of = |owner: &str| {
        refused_when(|found| {
            let database = &mut found.hive.as_mut().unwrap().databases[0];
            database.data.as_mut().unwrap().tree.owner = owner.into();
        })
    };
    let folder = "/user/hive/warehouse/elvis.db";
    for other in ["azy", "analytics", "spark", "analytics-search"] {
        let refused = format!("database elvis: its folder {folder} belongs to {other}");
        assert_eq!(folder_of(other), [refused]);
    }
    for maker in ["hive", "hdfs"] {
        assert_eq!(folder_of(maker), [""; 0]);
    }
}

/// A table's location is whatever its owner once said.
#[test]
fn only_the_users_files_go_with_a_table_that_is_given_away() {
    let plan = planned(archive(), &everything()).unwrap();
    let mut steps = plan.steps.iter();
    let step = steps
        .find(|step| step.id == "owner-files-shared.e")
        .unwrap();
    let Action::Hdfs(crate::actions::hdfs::Action::Own { change, .. }) = &step.action else {
        panic!("{step:?}")
    };
    assert_eq!(change.only_of.as_deref(), Some("elvis"));
}

/// Records are found by their names, which two plans from one look share.
#[test]
fn a_plan_begins_with_what_no_other_plan_writes() {
    use crate::actions::hdfs::Action::{MakeFolder, Put};
    let first = |request: Request, now: i64| {
        let found = Inventory {
            now,
            ..everything()
        };
        let plan = planned(request, &found).unwrap();
        let mut steps = plan.steps.into_iter().map(|step| step.action);
        steps.find(|action| !matches!(action, Action::Hdfs(MakeFolder { .. })))
    };
    let keep = || Request {
        host_homes: Homes::Keep,
        ..archive()
    };
    let (one, later, other) = (first(archive(), 1), first(archive(), 2), first(keep(), 1));
    assert!(
        matches!(&one, Some(Action::Hdfs(Put { to, .. })) if to.settled.ends_with("/plan.json"))
    );
    assert_eq!(one, first(archive(), 1));
    assert!(one != later && one != other);
}

#[test]
fn nothing_left_is_an_empty_plan() {
    assert_eq!(planned(archive(), &nothing()).unwrap().steps, []);
}

#[test]
fn hosts_alone_still_have_an_archive() {
    let mut found = everything();
    found.hdfs.as_mut().unwrap().home = None;
    found.hdfs.as_mut().unwrap().parts.clear();
    found.hive = Some(HiveFindings::default());
    found.hosts.remove("stat1009");
    insta::assert_snapshot!(steps(&planned(archive(), &found).unwrap()));
}

#[test]
fn a_user_who_came_back_gets_a_dated_archive() {
    let mut found = everything();
    let archives = &mut found.hdfs.as_mut().unwrap().archives;
    for path in [
        "/wmf/data/archive/user/elvis",
        "/wmf/data/archive/user/elvis.20231114",
    ] {
        archives.push(Archive {
            tree: tree(path),
            complete: true,
            kept: Vec::new(),
            runs: 1,
            settled: true,
            deletion: false,
            closed: Scope::default(),
        });
    }
    let plan = steps(&planned(archive(), &found).unwrap());
    assert!(
        plan.contains("to /wmf/data/archive/user/elvis.20231114-2\n"),
        "{plan}"
    );
}

/// An archive that a run has begun.
fn begun(name: &str, runs: u32, settled: bool) -> Archive {
    Archive {
        tree: tree(&format!("/wmf/data/archive/user/{name}")),
        complete: false,
        kept: Vec::new(),
        runs,
        settled,
        deletion: false,
        closed: Scope::default(),
    }
}

#[test]
fn an_archive_that_was_begun_is_gone_on_with() {
    let mut found = everything();
    let hdfs = found.hdfs.as_mut().unwrap();
    hdfs.home = None;
    hdfs.parts = vec![tree("/wmf/data/archive/user/elvis/.Trash")];
    hdfs.archives.push(begun("elvis", 1, true));
    found.hive.as_mut().unwrap().inside.push(Inside {
        table: table("other", "o", "azy", "/wmf/data/archive/user/elvis/o"),
        paths: vec!["/wmf/data/archive/user/elvis/o".into()],
    });
    insta::assert_snapshot!(steps(&planned(archive(), &found).unwrap()));
}

#[test]
fn records_of_a_run_that_moved_nothing_go_to_the_trash() {
    let mut found = everything();
    let stage = "/wmf/data/archive/user/.elvis.opsweek";
    found.hdfs.as_mut().unwrap().stages.push(tree(stage));
    let plan = planned(archive(), &found).unwrap();
    assert_eq!(plan.steps[0].id, "trash-.elvis.opsweek");
    let settle = steps(&plan);
    assert!(settle.contains(&format!("move {stage}-2 to ")), "{settle}");
}

#[test]
fn others_tables_are_relocated_and_stay_reachable() {
    let mut found = everything();
    found.hive.as_mut().unwrap().inside.push(Inside {
        table: table("other", "o", "azy", "/user/elvis/a/b/o"),
        paths: vec!["/user/elvis/a/b/o".into()],
    });
    let refused = planned(archive(), &found).unwrap_err();
    assert!(matches!(&refused, Unplanned::Refused(all) if all[0].what.contains("other.o of azy")));
    let request = Request {
        relocate: true,
        ..archive()
    };
    let plan = planned(request.clone(), &found).unwrap();
    let own = plan
        .steps
        .iter()
        .find(|step| step.id == "own-archive")
        .unwrap();
    let Action::Hdfs(crate::actions::hdfs::Action::Own { change, .. }) = &own.action else {
        panic!("{own:?}")
    };
    let root = "/wmf/data/archive/user/elvis";
    assert_eq!(
        change.keep,
        [format!("{root}/.opsweek/hosts"), format!("{root}/a/b/o")]
    );
    assert_eq!(
        change.pass,
        [root.to_owned(), format!("{root}/a"), format!("{root}/a/b")]
    );
    let position = |id: &str| plan.steps.iter().position(|step| step.id == id).unwrap();
    assert!(position("move-home") < position("relocate-other.o"));

    found.hive.as_mut().unwrap().inside[0].table.kind = TableKind::Iceberg;
    let refused = planned(request, &found).unwrap_err();
    assert!(matches!(&refused, Unplanned::Refused(all) if all[0].what.contains("Iceberg")));
}

#[test]
fn the_new_owner_is_asked_for_only_when_it_is_needed() {
    let request = Request {
        new_owner: None,
        ..archive()
    };
    let needs = planned(request.clone(), &everything()).unwrap_err();
    assert!(
        matches!(&needs, Unplanned::Needs { flag: "--new-owner", question, .. } if question.contains("shared.e"))
    );
    assert!(planned(request, &nothing()).is_ok());
}

#[test]
fn a_new_owner_that_nobody_has_heard_of_is_told() {
    let told = |name: &str| {
        let request = Request {
            new_owner: Some(user(name)),
            ..archive()
        };
        let notes = planned(request, &everything()).unwrap().notes;
        notes.iter().any(|note| note.contains("is the name right?"))
    };
    assert!(told("analitycs"));
    assert!(!told("analytics"));
}

#[test]
fn the_report_of_everything() {
    let procedure = Offboard::new(archive(), Policy::default(), None).unwrap();
    let report = procedure.report(&everything());
    assert!(report.leftovers);
    insta::assert_snapshot!(report.document.text(None));
}

#[test]
fn archives_trash_and_kept_data_are_no_leftovers() {
    let mut found = nothing();
    found.hdfs.as_mut().unwrap().archives.push(Archive {
        tree: tree("/wmf/data/archive/user/elvis"),
        complete: true,
        kept: vec!["hdfs://nn/wmf/data/far".into()],
        runs: 1,
        settled: true,
        deletion: false,
        closed: Scope::default(),
    });
    let procedure = Offboard::new(archive(), Policy::default(), None).unwrap();
    let report = procedure.report(&found);
    assert!(!report.leftovers);
    insta::assert_snapshot!(report.document.text(None));
}

/// What a table says of users, a row each.
#[test]
fn several_users_are_one_table() {
    let nothing = Inventory {
        user: user("nemo"),
        account: Account::Unlisted,
        hdfs: Some(HdfsFindings::default()),
        hive: Some(HiveFindings::default()),
        hosts: BTreeMap::new(),
        ..everything()
    };
    let look =
        |name: &str| Offboard::new(Request::look(user(name)), Policy::default(), None).unwrap();
    let (elvis, nemo) = (look("elvis"), look("nemo"));
    let all = [(&nemo, &nothing), (&elvis, &everything())];
    insta::assert_snapshot!(Offboard::overview(&all).text(None), @"
    1 of 2 users have left things behind

     USER   ACCOUNT     LEFT OVER  HDFS FILES  HDFS BYTES  NEWEST CHANGE     DATABASES  OTHER TABLES  HOSTS            IN THE WAY  ARCHIVES
     elvis  absent      yes        20          4.0 KiB     1970-01-01 00:00  elvis      1             stat[1008-1009]
     nemo   not listed
    ");
}
