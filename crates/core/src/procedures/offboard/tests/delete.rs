//! Plans of `--delete`.

use super::*;
use crate::engine::{Act, Risk};
use crate::services::hdfs::Defaults;

fn delete() -> Request {
    Request {
        intent: Intent::Delete,
        host_homes: Homes::Delete,
        ..archive()
    }
}

fn index(plan: &Plan<Action>, id: &str) -> usize {
    let position = plan.steps.iter().position(|step| step.id == id);
    position.unwrap_or_else(|| panic!("{id}: {}", steps(plan)))
}

#[test]
fn trees_go_to_the_trash_behind_every_host_and_before_the_database() {
    let plan = planned(delete(), &everything()).unwrap();
    let home = index(&plan, "delete-user/elvis");
    let folder = index(&plan, "delete-user/hive/warehouse/elvis.db");
    let drop = index(&plan, "drop-elvis");
    for host in ["stat1008", "stat1009"] {
        let collect = &plan.steps[index(&plan, &format!("collect-{host}"))];
        assert!(collect.action.summary().starts_with("list "), "{collect:?}");
        assert!(index(&plan, &format!("remove-{host}")) < home);
    }
    assert!(home < drop && folder < drop);
    assert!(plan.waves[plan.steps[home].wave].gate);
    assert_eq!(plan.steps[home].risk, Risk::Reversible);
    assert!(index(&plan, "owner-shared.e") < home);
    let text = steps(&plan);
    assert!(text.contains("every path in /user/elvis, /user/hive/warehouse/elvis.db"));
    assert!(
        !text.contains("move-home") && !text.contains("trash-.Trash"),
        "{text}"
    );
}

#[test]
fn past_the_trash_each_tree_stands_behind_its_record_and_the_database() {
    let request = Request {
        skip_trash: true,
        ..delete()
    };
    let plan = planned(request, &everything()).unwrap();
    let home = index(&plan, "delete-user/elvis");
    assert!(index(&plan, "drop-elvis") < home);
    assert_eq!(plan.steps[home].risk, Risk::Irreversible);
    assert_eq!(
        plan.steps[home].action.destroys().unwrap(),
        ["/wmf/data/archive/user/elvis/.opsweek/hdfs.jsonl.zst"]
    );
    // The lint does not let it pass without.
    let mut bare = plan.clone();
    bare.steps.retain(|step| step.id != "record-hdfs");
    assert!(
        lint(&bare)
            .iter()
            .any(|fault| fault.contains("destroys before"))
    );
}

#[test]
fn a_folder_in_the_home_goes_with_it() {
    let mut found = everything();
    let database = &mut found.hive.as_mut().unwrap().databases[0];
    database.data.as_mut().unwrap().tree.path = "/user/elvis/db".into();
    let plan = planned(delete(), &found).unwrap();
    let ids = plan.steps.iter().map(|step| step.id.as_str());
    let gone: Vec<&str> = ids.filter(|id| id.starts_with("delete-")).collect();
    assert_eq!(gone, ["delete-user/elvis"]);
}

#[test]
fn hosts_want_a_reviewed_plan_and_a_task() {
    let procedure = Offboard::new(delete(), Policy::default(), None).unwrap();
    let mut plan = planned(delete(), &everything()).unwrap();
    let unfit =
        |plan: &Plan<Action>, reviewed| procedure.unfit(plan, reviewed).map(|refusal| refusal.what);
    assert!(unfit(&plan, false).unwrap().contains("a reviewed plan"));
    assert!(unfit(&plan, true).unwrap().contains("the task"));
    plan.task = Some("T1".into());
    assert!(unfit(&plan, false).is_some() && unfit(&plan, true).is_none());
    let kept = Request {
        host_homes: Homes::Keep,
        ..delete()
    };
    assert_eq!(unfit(&planned(kept, &everything()).unwrap(), false), None);
    assert_eq!(
        unfit(&planned(archive(), &everything()).unwrap(), false),
        None
    );
    let listed = Request {
        host_homes: Homes::Delete,
        ..archive()
    };
    let listed = planned(listed, &everything()).unwrap();
    assert!(unfit(&listed, false).unwrap().contains("a reviewed plan"));
}

#[test]
fn archives_stay_and_one_that_is_not_complete_is_finished_first() {
    let mut found = everything();
    let whole = Archive {
        complete: true,
        ..begun("elvis", 1, true)
    };
    found.hdfs.as_mut().unwrap().archives.push(whole);
    let plan = planned(delete(), &found).unwrap();
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("archive/user/elvis stays"))
    );
    assert!(plan.title.contains("/elvis.20231114"), "{}", plan.title);

    for deletion in [false, true] {
        let mut found = everything();
        let part = Archive {
            deletion,
            ..begun("elvis", 1, true)
        };
        found.hdfs.as_mut().unwrap().archives.push(part);
        let (own, other) = if deletion {
            (delete(), archive())
        } else {
            (archive(), delete())
        };
        let refused = planned(other, &found).unwrap_err();
        assert!(
            matches!(&refused, Unplanned::Refused(all) if all[0].what.contains("that is not complete")),
            "{refused:?}"
        );
        // A deletion is gone on with although the home is there still.
        assert_eq!(planned(own, &found).is_ok(), deletion);
    }
}

#[test]
fn others_tables_stop_it_whatever_is_asked() {
    let mut found = everything();
    found.hive.as_mut().unwrap().inside.push(Inside {
        table: table("other", "o", "azy", "/user/elvis/o"),
        paths: vec!["/user/elvis/o".into()],
    });
    let request = Request {
        relocate: true,
        ..delete()
    };
    let refused = planned(request, &found).unwrap_err();
    assert!(matches!(&refused, Unplanned::Refused(all) if all[0].what.contains("other.o of azy")));
}

#[test]
fn an_encryption_zone_can_only_be_deleted_past_the_trash() {
    let mut found = everything();
    found.hdfs.as_mut().unwrap().encrypted = Some("/user/elvis".into());
    assert!(planned(delete(), &found).is_err());
    let request = Request {
        skip_trash: true,
        ..delete()
    };
    assert!(planned(request, &found).is_ok());
}

#[test]
fn without_a_trash_only_past_it() {
    let mut found = everything();
    let hdfs = found.hdfs.as_mut().unwrap();
    let stage = "/wmf/data/archive/user/.elvis.opsweek";
    hdfs.stages.push(tree(stage));
    hdfs.defaults = Some(Defaults {
        block_size: 1,
        replication: 1,
        trash_interval: 0,
    });
    let refused = planned(delete(), &found).unwrap_err();
    let Unplanned::Refused(all) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        all[0].what,
        "HDFS has no trash (fs.trash.interval is 0): nothing would keep /user/elvis, \
         /user/hive/warehouse/elvis.db"
    );
    assert!(
        all.len() == 1 && all[0].hint.contains("--skip-trash"),
        "{all:?}"
    );
    let past = Request {
        skip_trash: true,
        ..delete()
    };
    // What is not worth keeping stays where it is, or goes along.
    for (request, noted) in [
        (past, format!("{stage} stays")),
        (archive(), "/user/elvis/.Trash is archived too".to_owned()),
    ] {
        let plan = planned(request, &found).unwrap();
        let text = steps(&plan);
        assert!(!text.contains("to the trash"), "{text}");
        assert!(
            plan.notes.iter().any(|note| note.starts_with(&noted)),
            "{:?}",
            plan.notes
        );
    }
    // With nothing in HDFS none is needed.
    let mut bare = found.clone();
    bare.hdfs.as_mut().unwrap().home = None;
    bare.hive = None;
    assert!(planned(delete(), &bare).is_ok());
}

/// The title is for people.
#[test]
fn a_deletion_is_known_by_its_manifest() {
    let mut plan = planned(delete(), &everything()).unwrap();
    plan.title = "archive to /wmf/data/archive/user/elvis".into();
    assert_eq!(Request::resumed(&plan).unwrap().intent, Intent::Delete);
    let mut plan = planned(archive(), &everything()).unwrap();
    plan.title = "delete, records in /wmf/data/archive/user/elvis".into();
    assert_eq!(Request::resumed(&plan).unwrap().intent, Intent::Archive);
}
