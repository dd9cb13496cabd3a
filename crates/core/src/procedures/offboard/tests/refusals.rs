//! What is not planned at all.

use super::*;
use crate::procedures::offboard::inventory::DatabaseInside;

/// Makes a sound inventory unsound.
type Break<'a> = &'a dyn Fn(&mut Inventory);

/// Each rule alone refuses, and says why.
#[test]
fn refusals() {
    let login = Process {
        pid: 7,
        tty: "pts/0".into(),
        command: "bash".into(),
    };
    let rules: [(&str, Break<'_>); 18] = [
        ("ensure: present", &|f| f.account = Account::Present),
        ("logged in on stat1008", &|f| {
            f.hosts
                .get_mut("stat1008")
                .unwrap()
                .processes
                .push(login.clone());
        }),
        ("YARN application application_1", &|f| {
            f.applications.push("application_1".into());
        }),
        ("below 1000", &|f| {
            f.hosts.get_mut("stat1008").unwrap().uid = Some(33);
        }),
        ("no HDFS to archive to", &|f| f.hdfs = None),
        ("there is no folder", &|f| {
            f.hdfs.as_mut().unwrap().archive_folder = false;
        }),
        ("/user/elvis is a file, not a folder", &|f| {
            let home = f.hdfs.as_mut().unwrap().home.as_mut().unwrap();
            (home.tree.files, home.tree.folders) = (1, 0);
        }),
        ("has snapshots allowed", &|f| {
            f.hdfs
                .as_mut()
                .unwrap()
                .snapshottable
                .push("/user/elvis/s".into());
        }),
        ("nothing can be renamed into it", &|f| {
            f.hdfs.as_mut().unwrap().encrypted = Some("/wmf/data/archive/user".into());
        }),
        ("be renamed out of it", &|f| {
            f.hdfs.as_mut().unwrap().encrypted = Some("/user/elvis/z".into());
        }),
        ("right after moving the home", &|f| {
            let begun = begun("elvis", 0, false);
            f.hdfs.as_mut().unwrap().archives.push(begun);
            f.hdfs.as_mut().unwrap().home = None;
        }),
        ("/user/elvis is there again", &|f| {
            let begun = begun("elvis", 1, true);
            f.hdfs.as_mut().unwrap().archives.push(begun);
        }),
        ("own records will be", &|f| {
            f.hdfs.as_mut().unwrap().reserved = Some("/user/elvis/.opsweek".into());
        }),
        ("is being restored", &|f| {
            let aside = "/wmf/data/archive/user/.elvis.restoring";
            f.hdfs.as_mut().unwrap().restoring.push(aside.into());
        }),
        ("protected by \"wmf*\"", &|f| {
            f.hive.as_mut().unwrap().databases[0].was.name = "wmf_elvis".into();
        }),
        ("others' tables: t of azy", &|f| {
            f.hive.as_mut().unwrap().databases[0].tables[0].was.owner = "azy".into();
        }),
        (
            "database azydb of azy has its folder inside: /user/elvis/azydb",
            &|f| {
                let inside = DatabaseInside {
                    name: "azydb".into(),
                    owner: "azy".into(),
                    path: "/user/elvis/azydb".into(),
                };
                f.hive.as_mut().unwrap().databases_inside.push(inside);
            },
        ),
        ("database elvis: shares", &|f| {
            f.hive.as_mut().unwrap().databases[0].shared = Some("shares".into());
        }),
    ];
    for (why, break_it) in rules {
        let all = refused_when(break_it);
        assert!(all.len() == 1 && all[0].contains(why), "{why}: {all:?}");
    }
}

#[test]
fn an_active_user_goes_when_told_so() {
    let mut found = everything();
    found.account = Account::Present;
    let request = Request {
        even_if_active: true,
        ..archive()
    };
    assert!(planned(request, &found).is_ok());
}

#[test]
fn an_unknown_account_is_an_incomplete_look() {
    let mut found = everything();
    found.account = Account::Unknown;
    found.gaps.push(Gap {
        place: "account".into(),
        why: "no file".into(),
        lane: None,
    });
    assert!(matches!(
        planned(archive(), &found),
        Err(Unplanned::Incomplete(_))
    ));
}

#[test]
fn system_accounts_and_the_user_as_new_owner_are_refused_at_once() {
    let new = |request| {
        Offboard::new(request, Policy::default(), None)
            .err()
            .map(|r| r.what)
    };
    assert_eq!(
        new(Request::look(user("hdfs"))).unwrap(),
        "refused: hdfs is a system account"
    );
    let request = Request {
        new_owner: Some(user("elvis")),
        ..archive()
    };
    assert!(new(request).unwrap().contains("who leaves"));
    for bad in ["/wmf/../x", "wmf/data/x", "/elsewhere/archive"] {
        let policy = Policy {
            archive: bad.into(),
            ..Policy::default()
        };
        assert!(Offboard::new(archive(), policy, None).is_err(), "{bad}");
    }
}
