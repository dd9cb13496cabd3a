//! What pageviews brought, and what may be made of it.

use super::super::inventory::{Checkout, HdfsAllowlist, Inventory, TextFile, Unexpected};
use super::super::lists::Lists;
use super::super::names::{Name, date};
use super::super::policy::Policy;
use super::super::{ALLOWLIST, After, Newwiki, Request, Target};
use super::{fixture, real};
use crate::engine::{Risk, lint};
use crate::procedures::{Heading, Procedure, Unplanned};

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
fn a_look_at_values_is_no_change() {
    let procedure = procedure(Request {
        names: Vec::new(),
        only: None,
        since: Some(date("2026-11-01").unwrap()),
        ..Request::default()
    });
    assert!(!procedure.wants_change());
    assert_eq!(procedure.offer(&found()), None);
    let report = procedure.report(&found());
    assert_eq!(report.document.title, "no edit is asked for");
    let tables = format!("{:?}", report.document.tables);
    for meaning in ["in the allowlist by now", "--project punjabi.wikimedia"] {
        assert!(tables.contains(meaning), "{tables}");
    }
}

#[test]
fn no_row_comes_to_be_in_hdfs_twice() {
    let mut found = found();
    let real = String::from_utf8(real("current/allowlist.tsv")).unwrap();
    let mut lines: Vec<&str> = real.split_inclusive('\n').collect();
    assert!(lines.remove(336).starts_with("project\tgr.wikimedia\t"));
    found.hdfs = Some(HdfsAllowlist {
        path: "/wmf/list/allowlist.tsv".to_owned(),
        visible: vec!["allowlist.tsv".to_owned()],
        mode: 0o644,
        bytes: Some(lines.concat().into_bytes()),
    });
    let plan = |fix_lint| {
        let procedure = procedure(Request {
            fix_lint,
            sync_hdfs: true,
            ..request()
        });
        procedure.plan(&found, &heading())
    };
    let Err(Unplanned::Refused(no)) = plan(false) else {
        panic!("not refused")
    };
    assert_eq!(
        no[0].what,
        "/wmf/list/allowlist.tsv would count views twice: \
         line 337: DUPLICATE: \"project\\tgr.wikimedia\""
    );
    assert!(no[0].hint.contains("--fix-lint"));
    let steps = plan(true).unwrap().steps;
    assert!(steps.iter().any(|step| step.id == "swap-allowlist"));
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
        author: true,
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
