use super::inventory::{Databases, Disk, Host, Side, Transaction, Usage};
use super::*;
use crate::actions::sql::{Found, Neutralise, Place, Secrets};
use crate::engine::lint::lint;
use crate::services::sql::Object;
use crate::services::sql::schema::Obstacle;

const CONFIG: &str = r#"
[profiles.prod-to-staging]
source = { server = "metadata", database = "superset_production" }
target = { server = "metadata", database = "superset_staging" }
"#;

fn procedure(intent: Intent, more: &str) -> Result<DbSync, Refusal> {
    let policy: Policy = toml::from_str(&format!("{CONFIG}{more}")).unwrap();
    DbSync::new("prod-to-staging", intent, policy)
}

fn object(name: &str, kind: &str) -> Object {
    Object {
        name: name.to_owned(),
        kind: kind.to_owned(),
        engine: Some("InnoDB".to_owned()),
        collation: Some("utf8mb4_unicode_ci".to_owned()),
        rows: 7,
        bytes: 1 << 20,
        data_bytes: 1 << 19,
        written: Some("2026-11-20 10:00:00".to_owned()),
    }
}

fn side(database: &str, fingerprint: &str, objects: Vec<Object>) -> Side {
    Side {
        place: Place {
            server: "metadata".to_owned(),
            database: database.to_owned(),
        },
        server: "10.11".to_owned(),
        objects,
        fingerprint: fingerprint.to_owned(),
        alembic: Some("4b2a8c9d3e1f".to_owned()),
        reading: None,
        obstacles: Vec::new(),
    }
}

fn usage(users: u64, reports: u64) -> Usage {
    Usage {
        users,
        last: Some("2026-11-20 09:00:00".to_owned()),
        reports,
    }
}

fn silenced(value: i64) -> Neutralise {
    Neutralise::Set {
        table: "report_schedule".to_owned(),
        column: "active".to_owned(),
        value,
    }
}

fn healthy() -> Databases {
    let objects = || {
        vec![
            object("dbs", "BASE TABLE"),
            object("logs", "BASE TABLE"),
            object("ab_user_id_seq", "SEQUENCE"),
        ]
    };
    Databases {
        source: side("superset_production", "names a", objects()),
        schema: "sha256:0".to_owned(),
        target: side("superset_staging", "names b", objects()),
        new: side("superset_staging_new", "empty", Vec::new()),
        previous: side("superset_staging_previous", "empty", Vec::new()),
        same_server: true,
        wide: Vec::new(),
        usage: (usage(40, 5), usage(3, 0)),
        host: Host {
            disk: Some(Disk {
                path: "/srv/mysql".into(),
                free: 1 << 30,
            }),
            logs: true,
            read_only: false,
        },
        transactions: None,
        pointing: Some(Vec::new()),
        kept_reports: 0,
        unseeing: Vec::new(),
        secrets: Secrets {
            count: 2,
            principals: vec![
                Found {
                    place: "dbs 1 (presto), extra".to_owned(),
                    old: "superset/superset.svc.eqiad.wmnet@WIKIMEDIA".to_owned(),
                    new: Some("superset/superset-next.svc.eqiad.wmnet@WIKIMEDIA".to_owned()),
                },
                Found {
                    place: "dbs 2 (trino), sqlalchemy_uri".to_owned(),
                    old: "a principal in a URI".to_owned(),
                    new: None,
                },
            ],
            productions: 1,
            ..Secrets::default()
        },
        encrypted: vec![("dbs".to_owned(), "password".to_owned())],
        unreadable: 0,
        neutralise: vec![silenced(0)],
        keys: (true, true),
        differences: Vec::new(),
    }
}

fn planned(intent: Intent, found: Databases) -> Result<Plan<Action>, Unplanned> {
    let follow_up = "follow_ups = [[\"superset\", \"init\"], [\"superset\", \"init\"]]\n";
    let inventory = Inventory {
        now: 1_700_000_000,
        nanosecond: 0,
        world: BTreeMap::from([("sql.metadata".to_owned(), "db:3306".to_owned())]),
        missing: Vec::new(),
        databases: Some(found),
    };
    let heading = Heading {
        version: "1".to_owned(),
        now: 1_700_000_000,
        task: None,
        reason: None,
    };
    procedure(intent, follow_up)
        .unwrap()
        .plan(&inventory, &heading)
}

/// Ids of steps with their waves.
fn steps(plan: &Plan<Action>) -> Vec<(&str, usize)> {
    let steps = plan.steps.iter();
    steps.map(|step| (step.id.as_str(), step.wave)).collect()
}

#[test]
fn a_first_copy_destroys_nothing() {
    let plan = planned(Intent::Sync, healthy()).unwrap();
    assert_eq!(lint(&plan), Vec::<String>::new());
    assert_eq!(
        steps(&plan),
        [
            ("copy", 0),
            ("rewrite", 0),
            ("check", 0),
            ("cut-over", 2),
            ("follow-up-1", 3),
            ("follow-up-2", 3)
        ]
    );
    assert!(!plan.is_irreversible());
    assert_eq!(plan.subject, "superset_staging");
    assert!(
        plan.title
            .contains("3 objects, 3.0 MiB, last used 2026-11-20 09:00:00, last written 2026-11-20"),
        "{}",
        plan.title
    );
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("becomes superset/superset-next"))
    );
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("stays: the profile has no rule"))
    );
    let absent = plan
        .notes
        .iter()
        .find(|note| note.contains("does not have"));
    let absent = absent.unwrap();
    assert!(absent.contains("key_value"), "{absent}");
    assert!(!absent.contains("logs"), "{absent}");
}

#[test]
fn a_former_staging_is_dropped_behind_the_proof_of_the_next() {
    let mut found = healthy();
    found.previous = side(
        "superset_staging_previous",
        "copy 7",
        vec![object("dbs", "BASE TABLE")],
    );
    let plan = planned(Intent::Sync, found).unwrap();
    assert_eq!(lint(&plan), Vec::<String>::new());
    assert!(steps(&plan).contains(&("drop-previous", 1)));
    assert!(plan.is_irreversible());
    let mut unproven = plan.clone();
    unproven.steps.retain(|step| step.id != "check");
    assert!(
        lint(&unproven)
            .iter()
            .any(|fault| fault.contains("is proven"))
    );
}

#[test]
fn another_schema_is_told_with_what_follows() {
    let mut found = healthy();
    found.target.alembic = Some("ffffffffffff".to_owned());
    found.target.objects.push(object("brand_new", "BASE TABLE"));
    let plan = planned(Intent::Sync, found).unwrap();
    let told = plan.notes.join("\n");
    assert!(
        told.contains("goes from ffffffffffff to 4b2a8c9d3e1f"),
        "{told}"
    );
    assert!(told.contains("superset db upgrade"), "{told}");
    assert!(told.contains("only the target has brand_new"), "{told}");
}

#[test]
fn restoring_is_one_step_and_needs_something_to_restore() {
    let mut found = healthy();
    let Err(Unplanned::Refused(refusals)) = planned(Intent::Restore, found.clone()) else {
        panic!("planned");
    };
    assert!(refusals[0].what.contains("holds nothing to put back"));
    found.previous.fingerprint = "copy 7".to_owned();
    let plan = planned(Intent::Restore, found.clone()).unwrap();
    assert_eq!(lint(&plan), Vec::<String>::new());
    assert_eq!(steps(&plan), [("swap-back", 2)]);
    assert!(!plan.notes.iter().any(|note| note.contains("active")));

    found.kept_reports = 2;
    let plan = planned(Intent::Restore, found).unwrap();
    let told = plan.notes.join("\n");
    assert!(
        told.contains("2 reports of metadata:superset_staging_previous are active"),
        "{told}"
    );
    assert!(told.contains("the rename waits"), "{told}");
}

#[test]
fn a_rename_that_may_be_cut_in_two_is_told() {
    for (version, warns) in [
        ("10.5.29-MariaDB-log", true),
        ("5.5.68-MariaDB", true),
        ("10.6.1-MariaDB", false),
        ("11.4.2-MariaDB-ubu2404", false),
    ] {
        for intent in [Intent::Sync, Intent::Restore] {
            let mut found = healthy();
            found.target.server = version.to_owned();
            found.previous.fingerprint = "copy 7".to_owned();
            let told = planned(intent, found).unwrap().notes.join("\n");
            assert_eq!(told.contains("before MariaDB 10.6"), warns, "{told}");
        }
    }
}

#[test]
fn what_may_be_in_the_way_is_told() {
    let told = |found: Databases| planned(Intent::Sync, found).unwrap().notes.join("\n");
    let mut found = healthy();
    let text = told(found.clone());
    assert!(text.contains("1.0 GiB free in /srv/mysql"), "{text}");
    assert!(!text.contains("WARNING"), "{text}");
    assert!(text.contains("the privilege PROCESS"), "{text}");

    // Of two tables and a sequence of 1 MiB each, one table stays behind.
    found.host.disk = Some(Disk {
        path: "/srv/mysql".into(),
        free: 3 << 20,
    });
    found.transactions = Some(vec![Transaction {
        connection: 7,
        account: "superset@10.64.21.1:51934".to_owned(),
        seconds: 340,
    }]);
    found.usage.1.reports = 1;
    found.pointing = None;
    found.unseeing = vec!["GRANT TRIGGER".to_owned()];
    let text = told(found.clone());
    assert!(text.contains("WARNING: only 3.0 MiB free"), "{text}");
    assert!(
        text.contains("connection 7 (superset@10.64.21.1:51934)"),
        "{text}"
    );
    assert!(
        text.contains("1 reports of metadata:superset_staging are active"),
        "{text}"
    );
    assert!(text.contains("without GRANT TRIGGER"), "{text}");
    assert!(text.contains("foreign keys of other databases"), "{text}");
    found.host.disk = None;
    let text = told(found);
    assert!(text.contains("free disk cannot be seen"), "{text}");
    assert!(
        text.contains("takes about 2.0 MiB, and the server's binary log"),
        "{text}"
    );
}

type Change = Box<dyn Fn(&mut Databases)>;

#[test]
fn every_rule_refuses_by_itself() {
    let name = || "x".to_owned();
    let view = Obstacle::View { name: name() };
    let trigger = Obstacle::Trigger {
        name: name(),
        table: "dbs".to_owned(),
    };
    let cases: [(&str, Change); 18] = [
        (
            "looks like production: 2 users in the last week, and 1 in",
            Box::new(|f| f.usage = (usage(1, 0), usage(2, 0))),
        ),
        (
            "looks like production: 2 active reports, and 1 in",
            Box::new(|f| f.usage = (usage(1, 1), usage(1, 2))),
        ),
        ("is read only", Box::new(|f| f.host.read_only = true)),
        (
            "point into metadata:superset_staging or metadata:superset_staging_previous: a.b",
            Box::new(|f| f.pointing = Some(vec!["a.b".to_owned()])),
        ),
        (
            "takes about 2.0 MiB, and 1023.0 KiB are free in /srv/mysql",
            Box::new(|f| {
                f.host.disk = Some(Disk {
                    path: "/srv/mysql".into(),
                    free: (1 << 20) - 1024,
                });
            }),
        ),
        (
            "metadata:superset_production: x is a view",
            Box::new(move |f| f.source.obstacles = vec![view.clone(), view.clone()]),
        ),
        (
            "metadata:superset_staging: dbs has the trigger x",
            Box::new(move |f| f.target.obstacles = vec![trigger.clone()]),
        ),
        (
            "too large for a packet",
            Box::new(|f| f.wide = vec!["slices".to_owned()]),
        ),
        (
            "no copy of ours",
            Box::new(|f| f.new.fingerprint = "names c".to_owned()),
        ),
        (
            "neutralise: key_value has no column resource in metadata:superset_production",
            Box::new(|f| f.source.objects.push(object("key_value", "BASE TABLE"))),
        ),
        (
            "5 reports of metadata:superset_production are active",
            Box::new(|f| f.neutralise.clear()),
        ),
        (
            "would send mail from the target",
            Box::new(|f| f.neutralise = vec![silenced(1)]),
        ),
        (
            "principal would stay in the target: dbs 2 (trino), sqlalchemy_uri: superset/x@Y",
            Box::new(|f| {
                let place = "dbs 2 (trino), sqlalchemy_uri: superset/x@Y";
                f.secrets.unreached = vec![place.to_owned()];
            }),
        ),
        (
            "no JSON in metadata:superset_production: dbs 1 (presto), extra",
            Box::new(|f| f.secrets.broken = vec!["dbs 1 (presto), extra".to_owned()]),
        ),
        ("not both keys", Box::new(|f| f.keys.1 = false)),
        (
            "do not open",
            Box::new(|f| f.secrets.bad = vec!["dbs 1, password".to_owned()]),
        ),
        ("holds nothing", Box::new(|f| f.source.objects.clear())),
        ("", Box::new(|_| ())),
    ];
    for (what, change) in cases {
        let mut found = healthy();
        change(&mut found);
        match planned(Intent::Sync, found) {
            Err(Unplanned::Refused(refusals)) => {
                assert_eq!(refusals.len(), 1, "{what}: {refusals:?}");
                assert!(refusals[0].what.contains(what), "{what}: {refusals:?}");
            }
            Ok(_) => assert_eq!(what, ""),
            Err(other) => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn source_and_target_are_told_apart_by_server() {
    let policy = |server: &str| {
        let text = CONFIG
            .replace("superset_production", "superset_staging")
            .replacen("\"metadata\"", &format!("\"{server}\""), 1);
        toml::from_str::<Policy>(&text).unwrap()
    };
    let heading = Heading {
        version: "1".to_owned(),
        now: 0,
        task: None,
        reason: None,
    };
    for same_server in [true, false] {
        let mut found = healthy();
        found.same_server = same_server;
        let inventory = Inventory {
            now: 0,
            nanosecond: 0,
            world: BTreeMap::new(),
            missing: Vec::new(),
            databases: Some(found),
        };
        // Another name in the configuration does not make it another server.
        let procedure = DbSync::new("prod-to-staging", Intent::Sync, policy("alias")).unwrap();
        let refused = procedure.plan(&inventory, &heading).is_err();
        assert_eq!(refused, same_server);
    }
}

#[test]
fn a_target_that_is_not_stagings_is_refused_before_anything_is_contacted() {
    for name in ["superset_production", "metastore", "superset_prod_staging"] {
        let text = CONFIG.replace("superset_staging", name);
        let policy: Policy = toml::from_str(&text).unwrap();
        assert!(
            DbSync::new("prod-to-staging", Intent::Sync, policy).is_err(),
            "{name}"
        );
    }
}

#[test]
fn what_another_profile_copies_from_is_never_replaced() {
    for source in ["superset_staging", "superset_staging_previous"] {
        let other = format!(
            "[profiles.onward]\nsource = {{ server = \"metadata\", database = \"{source}\" }}\n\
             target = {{ server = \"metadata\", database = \"demo_staging\" }}\n"
        );
        let refused = procedure(Intent::Sync, &other).err().unwrap();
        assert!(
            refused.what.contains("profile onward copies from"),
            "{}",
            refused.what
        );
    }
    let itself = CONFIG.replace("superset_production", "superset_staging");
    let policy: Policy = toml::from_str(&itself).unwrap();
    assert!(DbSync::new("prod-to-staging", Intent::Sync, policy).is_err());
}

#[test]
fn a_plan_holds_no_secret() {
    let plan = planned(Intent::Sync, healthy()).unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    assert!(!text.to_lowercase().contains("secret_key"));
    let back: Plan<Action> = serde_json::from_str(&text).unwrap();
    assert_eq!(back, plan);
}
