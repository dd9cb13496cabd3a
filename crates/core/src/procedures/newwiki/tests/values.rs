//! What pageviews brought, and what may be made of it.

use super::super::inventory::{Checkout, HdfsAllowlist, Inventory, TextFile, Unexpected};
use super::super::lists::Lists;
use super::super::names::Name;
use super::super::policy::Policy;
use super::super::{ALLOWLIST, After, Newwiki, Request, Target};
use super::{fixture, real};
use crate::engine::{Risk, lint};
use crate::procedures::{Heading, Procedure};

const NOW: i64 = 1_795_262_400;

fn found() -> Inventory {
    let value = |field: &str, value: &str, views| Unexpected {
        field: field.to_owned(),
        value: value.to_owned(),
        views,
        first: "2026-11-20".to_owned(),
        last: "2026-11-21".to_owned(),
    };
    Inventory {
        now: NOW,
        allowlist: Some(TextFile {
            path: format!("/srv/refinery/{ALLOWLIST}"),
            bytes: real("current/allowlist.tsv"),
        }),
        lists: Some(Lists::read(&fixture("dblists")).unwrap()),
        unexpected: Some(vec![
            value("agent_type", "punjabi.wikimedia", 1),
            value("project", "bol.wikipedia", 5),
            value("project", "punjabi.wikimedia", 7),
            value("project", "en.wikipedia", 9),
            value("project", "'; DROP TABLE page; --", 3),
        ]),
        world: [("refinery".to_owned(), "/srv/refinery".to_owned())].into(),
        ..Inventory::default()
    }
}

fn request() -> Request {
    Request {
        refinery: "/srv/refinery".into(),
        names: vec![Name::parse("bolwiki").unwrap()],
        only: Some(Target::Allowlist),
        ..Request::default()
    }
}

fn procedure(request: Request) -> Newwiki {
    Newwiki::new(request, Policy::default()).unwrap()
}

fn heading() -> Heading {
    Heading {
        version: "1".to_owned(),
        now: NOW,
        task: None,
        reason: None,
    }
}

#[test]
fn other_wikis_are_offered_and_nothing_else() {
    let found = found();
    let mut procedure = procedure(request());
    let offer = procedure.offer(&found).unwrap();
    let shown = "punjabi.wikimedia (punjabiwikimedia, 7 views)".to_owned();
    assert_eq!(offer.choices, [("punjabi.wikimedia".to_owned(), shown)]);
    procedure
        .pick(vec!["punjabi.wikimedia".to_owned()])
        .unwrap();
    assert_eq!(procedure.offer(&found), None);
    assert_eq!(procedure.subject(), "bolwiki+1");
    let plan = procedure.plan(&found, &heading()).unwrap();
    assert_eq!(plan.subject, "bolwiki+1");
    // bol.wikipedia is in the allowlist already.
    assert_eq!(plan.title, "1 into the allowlist");
}

#[test]
fn nothing_is_offered_for_a_file_that_is_not_edited() {
    let mut found = found();
    found.allowlist = None;
    let procedure = procedure(Request {
        only: Some(Target::Sqoop),
        ..request()
    });
    assert_eq!(procedure.offer(&found), None);
}

#[test]
fn what_hands_must_undo_is_costly() {
    let mut found = found();
    found.checkout = Some(Checkout {
        branch: Some("master".to_owned()),
        head: "0123456789".repeat(4),
        remote: "ssh://gerrit.example.org/refinery".to_owned(),
        dirty: Vec::new(),
        behind: Some(0),
        ahead: 0,
        unpushed: false,
        hook: true,
        free_branch: "newwiki/azywiki".to_owned(),
    });
    found.hdfs = Some(HdfsAllowlist {
        path: "/wmf/list/allowlist.tsv".to_owned(),
        visible: vec!["allowlist.tsv".to_owned()],
        mode: 0o644,
        bytes: Some(real("current/allowlist.tsv")),
    });
    let mut procedure = procedure(Request {
        after: After::Push,
        sync_hdfs: true,
        ..request()
    });
    procedure
        .pick(vec!["punjabi.wikimedia".to_owned()])
        .unwrap();
    let plan = procedure.plan(&found, &heading()).unwrap();
    assert_eq!(lint::lint(&plan), Vec::<String>::new());
    let risks = plan.steps.iter().map(|step| (step.id.as_str(), step.risk));
    let risks: Vec<(&str, Risk)> = risks.collect();
    assert_eq!(
        risks,
        [
            ("edit-allowlist", Risk::Reversible),
            ("branch", Risk::Reversible),
            ("commit", Risk::Reversible),
            ("push", Risk::Costly),
            ("keep-allowlist", Risk::Reversible),
            ("swap-allowlist", Risk::Costly),
        ]
    );
}
