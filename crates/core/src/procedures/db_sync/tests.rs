use super::inventory::{Databases, Side};
use super::*;
use crate::actions::sql::{Found, Place, Secrets};
use crate::engine::lint::lint;
use crate::services::sql::Object;

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
        rows: 7,
        bytes: 1 << 20,
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
        triggers: Vec::new(),
        outward: Vec::new(),
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
        missing: Vec::new(),
        wide: Vec::new(),
        users: (40, 3),
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
        neutralise: Vec::new(),
        keys: (true, true),
        unseen: Vec::new(),
        differences: Vec::new(),
    }
}

fn planned(intent: Intent, found: Databases) -> Result<Plan<Action>, Unplanned> {
    let follow_up = "follow_ups = [[\"superset\", \"init\"]]\n";
    let inventory = Inventory {
        now: 1_700_000_000,
        world: BTreeMap::from([("sql.metadata".to_owned(), "db:3306".to_owned())]),
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
            ("follow-up-1", 3)
        ]
    );
    assert!(!plan.is_irreversible());
    assert_eq!(plan.subject, "superset_staging");
    assert!(
        plan.title
            .contains("3 objects, 3.0 MiB, last written 2026-11-20"),
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
    let plan = planned(Intent::Restore, found).unwrap();
    assert_eq!(lint(&plan), Vec::<String>::new());
    assert_eq!(steps(&plan), [("swap-back", 2)]);
}

type Change = Box<dyn Fn(&mut Databases)>;

#[test]
fn every_rule_refuses_by_itself() {
    let view = Object {
        engine: None,
        ..object("charts", "VIEW")
    };
    let foreign = Object {
        engine: Some("Aria".to_owned()),
        ..object("notes", "BASE TABLE")
    };
    let cases: [(&str, Change); 12] = [
        (
            "privileges are missing",
            Box::new(|f| f.missing = vec!["GRANT SELECT".to_owned()]),
        ),
        ("looks like production", Box::new(|f| f.users = (1, 2))),
        (
            "charts is a view",
            Box::new(move |f| f.source.objects.push(view.clone())),
        ),
        (
            "notes is of Aria",
            Box::new(move |f| f.target.objects.push(foreign.clone())),
        ),
        (
            "trigger t",
            Box::new(|f| f.target.triggers = vec!["t".to_owned()]),
        ),
        (
            "foreign key x",
            Box::new(|f| f.source.outward = vec!["x".to_owned()]),
        ),
        (
            "too large for a packet",
            Box::new(|f| f.wide = vec!["slices".to_owned()]),
        ),
        (
            "no copy of ours",
            Box::new(|f| f.new.fingerprint = "names c".to_owned()),
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
            world: BTreeMap::new(),
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
fn a_plan_holds_no_secret() {
    let plan = planned(Intent::Sync, healthy()).unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    assert!(!text.to_lowercase().contains("secret_key"));
    let back: Plan<Action> = serde_json::from_str(&text).unwrap();
    assert_eq!(back, plan);
}
