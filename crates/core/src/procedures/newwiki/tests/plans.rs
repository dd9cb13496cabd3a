//! Inventory to plan.

use super::super::inventory::{Checkout, Inventory, Readiness, Replicas, TextFile};
use super::super::lists::Lists;
use super::super::names::{Name, Project};
use super::super::policy::Policy;
use super::super::{ALLOWLIST, After, GROUPED, Newwiki, Request, Target};
use super::{fixture, real};
use crate::actions::Action;
use crate::actions::file;
use crate::engine::plan::sha256_hex;
use crate::engine::{Gap, Plan, lint};
use crate::procedures::{Heading, Procedure, Refusal, Unplanned};

/// 2026-11-21, noon.
const NOW: i64 = 1_795_262_400;

pub(super) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn offline() -> Request {
    Request {
        refinery: "/srv/refinery".into(),
        offline: true,
        ..Request::default()
    }
}

fn found() -> Inventory {
    let file = |relative: &str, fixture: &str| {
        Some(TextFile {
            path: format!("/srv/refinery/{relative}"),
            bytes: real(fixture),
        })
    };
    Inventory {
        now: NOW,
        allowlist: file(ALLOWLIST, "current/allowlist.tsv"),
        grouped: file(GROUPED, "current/grouped_wikis.csv"),
        world: [("refinery".to_owned(), "/srv/refinery".to_owned())].into(),
        ..Inventory::default()
    }
}

fn heading() -> Heading {
    Heading {
        version: "1".to_owned(),
        now: NOW,
        task: None,
        reason: None,
    }
}

pub(super) fn plan(request: Request, found: &Inventory) -> Result<Plan<Action>, Unplanned> {
    let procedure = Newwiki::new(request, Policy::default()).unwrap();
    let plan = procedure.plan(found, &heading())?;
    assert_eq!(lint::lint(&plan), Vec::<String>::new());
    assert_eq!(procedure.report(found).leftovers, !plan.steps.is_empty());
    Ok(plan)
}

fn refused(result: Result<Plan<Action>, Unplanned>) -> Vec<Refusal> {
    match result {
        Err(Unplanned::Refused(refusals)) => refusals,
        other => panic!("{other:?}"),
    }
}

pub(super) fn summaries(plan: &Plan<Action>) -> Vec<String> {
    use crate::engine::Act;
    let steps = plan.steps.iter();
    steps
        .map(|step| {
            format!(
                "{}: {}",
                step.id,
                step.action
                    .summary()
                    .replace("/srv/refinery/static_data", "")
            )
        })
        .collect()
}

#[test]
fn a_new_wiki() {
    let request = Request {
        names: vec![name("azywiki")],
        ..offline()
    };
    let plan = plan(request, &found()).unwrap();
    assert_eq!(plan.subject, "azywiki");
    assert_eq!(
        plan.title,
        "OFFLINE: 1 into the allowlist, 1 into the sqoop list"
    );
    assert_eq!(
        summaries(&plan),
        [
            "edit-allowlist: edit /pageview/allowlist/allowlist.tsv: \
             +project\tazy.wikipedia\t2026-11-21 00:00:00",
            "edit-sqoop: edit /mediawiki/grouped_wikis/grouped_wikis.csv: +azywiki,14,1",
        ]
    );
}

#[test]
fn what_is_there_needs_nothing() {
    let request = Request {
        names: vec![name("isvwiki")],
        projects: vec![Project::parse("isv.wikipedia").unwrap()],
        drop: vec![name("dkwiki")],
        drop_projects: vec!["dk.wikipedia".to_owned()],
        ..offline()
    };
    let plan = plan(request, &found()).unwrap();
    assert!(plan.steps.is_empty());
    assert_eq!(plan.notes.len(), 5, "{:?}", plan.notes);
    for note in [
        "isv.wikipedia is in the allowlist already",
        "isvwiki is in the sqoop list already",
        "dk.wikipedia is not in the allowlist",
        "dkwiki is not in the sqoop list",
    ] {
        assert!(
            plan.notes.iter().any(|line| line == note),
            "{:?}",
            plan.notes
        );
    }
}

#[test]
fn only_one_file() {
    for (only, step) in [
        (Target::Allowlist, "edit-allowlist"),
        (Target::Sqoop, "edit-sqoop"),
    ] {
        let request = Request {
            names: vec![name("azywiki")],
            drop: vec![name("bawiki")],
            only: Some(only),
            ..offline()
        };
        assert!(request.wants(only));
        let plan = plan(request, &found()).unwrap();
        let ids: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
        assert_eq!(ids, [step]);
    }
    // A value that is named directly is about the allowlist, whatever NAMEs are about.
    let request = Request {
        names: vec![name("azywiki")],
        only: Some(Target::Sqoop),
        drop_projects: vec!["gr.wikimedia".to_owned()],
        ..offline()
    };
    let plan = plan(request, &found()).unwrap();
    assert_eq!(
        plan.title,
        "OFFLINE: 2 out of the allowlist, 1 into the sqoop list"
    );
}

#[test]
fn mending_is_a_step_of_its_own_and_a_chain() {
    let request = Request {
        names: vec![name("azywiki")],
        only: Some(Target::Allowlist),
        fix_lint: true,
        ..offline()
    };
    let found = found();
    let plan = plan(request, &found).unwrap();
    let edits: Vec<&file::Edit> = plan
        .steps
        .iter()
        .map(|step| match &step.action {
            Action::File(file::Action::Edit(edit)) => edit,
            other => panic!("{other:?}"),
        })
        .collect();
    let [mend, edit] = edits[..] else {
        panic!("{edits:?}")
    };
    let bytes = &found.allowlist.as_ref().unwrap().bytes;
    assert_eq!(mend.was, sha256_hex(bytes));
    assert_eq!(
        (&mend.becomes, &mend.later),
        (&edit.was, &vec![edit.becomes.clone()])
    );
    assert_eq!(edit.earlier.as_slice(), std::slice::from_ref(&mend.was));
    let mended = file::edited(bytes, &mend.hunks).unwrap();
    let edited = file::edited(&mended, &edit.hunks).unwrap();
    assert_eq!(
        (sha256_hex(&mended), sha256_hex(&edited)),
        (mend.becomes.clone(), edit.becomes.clone())
    );
}

#[test]
fn a_plan_tells_what_it_wanted() {
    let request = Request {
        names: vec![name("azywiki"), name("bolwiki")],
        projects: vec![Project::parse("azy.wiktionary").unwrap()],
        drop: vec![name("bawiki")],
        drop_projects: vec!["gr.wikimedia".to_owned()],
        fix_lint: true,
        ..offline()
    };
    let plan = plan(request, &found()).unwrap();
    let again = Newwiki::resume(&plan, Policy::default()).unwrap();
    assert_eq!(again.subject(), "azywiki+4");
    assert!(again.is_offline() && again.wants_change());
    // The second look finds the files as the plan makes them.
    let mut done = found();
    for step in &plan.steps {
        let Action::File(file::Action::Edit(edit)) = &step.action else {
            panic!()
        };
        let file = if edit.path.ends_with("tsv") {
            &mut done.allowlist
        } else {
            &mut done.grouped
        };
        let bytes = &mut file.as_mut().unwrap().bytes;
        *bytes = file::edited(bytes, &edit.hunks).unwrap();
    }
    assert!(!again.report(&done).leftovers);
    assert!(again.report(&found()).leftovers);
}

pub(super) fn online() -> (Request, Inventory) {
    let request = Request {
        names: vec![name("bolwiki")],
        offline: false,
        ..offline()
    };
    let found = Inventory {
        lists: Some(Lists::read(&fixture("dblists")).unwrap()),
        ..found()
    };
    (request, found)
}

pub(super) fn replicas(production: Readiness, cloud: Readiness) -> Replicas {
    Replicas {
        section: "s5".to_owned(),
        production,
        cloud,
    }
}

#[test]
fn a_wiki_without_replicas_stays_out_of_sqoop() {
    let (request, mut found) = online();
    let ready = || Readiness::Ready(100);
    let set = |found: &mut Inventory, production, cloud| {
        let both = replicas(production, cloud);
        found.replicas.insert("bolwiki".to_owned(), both);
    };
    assert!(matches!(
        plan(request.clone(), &found),
        Err(Unplanned::Incomplete(_))
    ));
    set(&mut found, ready(), Readiness::Unknown);
    assert!(matches!(
        plan(request.clone(), &found),
        Err(Unplanned::Incomplete(_))
    ));
    // Where it is known why, that is told.
    found.gaps.push(Gap {
        place: "cloud replica db.example.org:3315".to_owned(),
        why: "no answer within 30 s".to_owned(),
        lane: None,
    });
    assert_eq!(
        plan(request.clone(), &found),
        Err(Unplanned::Incomplete(found.gaps.clone()))
    );
    set(&mut found, ready(), Readiness::Absent);
    let no = refused(plan(request.clone(), &found));
    assert!(
        no[0].what.contains("cloud") && no[0].what.contains("bolwiki_p"),
        "{no:?}"
    );
    assert!(no[0].hint.contains("--only allowlist"));
    set(
        &mut found,
        Readiness::Lacks(vec!["actor".to_owned()]),
        ready(),
    );
    let no = refused(plan(request.clone(), &found));
    assert!(
        no[0].what.contains("production") && no[0].what.contains("actor"),
        "{no:?}"
    );
    let allowlist = Request {
        only: Some(Target::Allowlist),
        ..request.clone()
    };
    assert!(plan(allowlist, &found).is_ok());
    set(&mut found, ready(), ready());
    assert_eq!(
        plan(request, &found).unwrap().title,
        "1 into the sqoop list"
    );
}

#[test]
fn without_lists_nobody_is_known() {
    let (request, mut found) = online();
    found.lists = None;
    assert!(matches!(
        plan(request, &found),
        Err(Unplanned::Incomplete(_))
    ));
}

#[test]
fn all_that_forbids_it_is_told() {
    let (request, found) = online();
    let request = Request {
        names: vec![name("aawiki"), name("officewiki"), name("nosuchwiki")],
        ..request
    };
    assert_eq!(refused(plan(request, &found)).len(), 3);
}

#[test]
fn a_row_is_not_added_and_dropped_at_once() {
    let project = || vec![Project::parse("azy.wikipedia").unwrap()];
    let value = || vec!["azy.wikipedia".to_owned()];
    for request in [
        Request {
            projects: project(),
            drop_projects: value(),
            ..offline()
        },
        Request {
            projects: project(),
            drop: vec![name("azywiki")],
            ..offline()
        },
        Request {
            names: vec![name("azywiki")],
            drop_projects: value(),
            ..offline()
        },
    ] {
        let no = refused(plan(request, &found()));
        assert!(no[0].what.contains("azy.wikipedia is both"), "{no:?}");
    }
    let other_file = Request {
        names: vec![name("azywiki")],
        only: Some(Target::Sqoop),
        drop_projects: value(),
        ..offline()
    };
    assert!(plan(other_file, &found()).is_ok());
}

#[test]
fn who_is_named_twice_is_meant_once() {
    let request = Request {
        names: vec![name("bolwiki"), name("azywiki"), name("bolwiki")],
        drop: vec![name("isvwiki"), name("isvwiki")],
        ..offline()
    };
    let plan = plan(request, &found()).unwrap();
    assert_eq!(plan.subject, "bolwiki+2");
}

#[test]
fn an_edit_that_was_never_committed_or_pushed_is_no_success() {
    let (request, mut found) = online();
    let request = Request {
        names: vec![name("isvwiki")],
        after: After::Push,
        ..request
    };
    found.checkout = Some(Checkout {
        branch: Some("newwiki/isvwiki".to_owned()),
        behind: Some(0),
        ahead: 1,
        hook: true,
        author: true,
        ..Checkout::default()
    });
    assert!(plan(request.clone(), &found).unwrap().steps.is_empty());
    let refused = |found: &Inventory, request: &Request| {
        let no = refused(plan(request.clone(), found));
        assert_eq!(no.len(), 1, "{no:?}");
        format!("{} ({})", no[0].what, no[0].hint)
    };
    let set = |found: &mut Inventory, unpushed, dirty: &[&str]| {
        let checkout = found.checkout.as_mut().unwrap();
        checkout.unpushed = unpushed;
        checkout.dirty = dirty.iter().map(|&path| path.to_owned()).collect();
    };
    set(&mut found, true, &["static_data/other"]);
    let no = refused(&found, &request);
    assert!(no.contains("git push origin HEAD:refs/for/master"), "{no}");
    set(&mut found, false, &["static_data/other", GROUPED]);
    let no = refused(&found, &request);
    assert!(no.contains("not committed: static_data/mediawiki/"), "{no}");
    let only = Request {
        only: Some(Target::Allowlist),
        ..request
    };
    assert!(plan(only, &found).unwrap().steps.is_empty());
}

#[test]
fn requests_that_contradict_themselves() {
    for request in [
        Request {
            names: vec![name("azywiki")],
            drop: vec![name("azywiki")],
            ..offline()
        },
        Request {
            drop_projects: vec!["a\tb".to_owned()],
            ..offline()
        },
    ] {
        assert!(Newwiki::new(request, Policy::default()).is_err());
    }
    let backup = Policy {
        allowlist: super::super::policy::Allowlist {
            backup_dir: "/wmf/refinery/current/static_data/pageview/allowlist/old".to_owned(),
            ..Default::default()
        },
        ..Policy::default()
    };
    assert!(Newwiki::new(offline(), backup).is_err());
}

#[test]
fn the_audit() {
    let (request, mut found) = online();
    let ready = || Readiness::Ready(100);
    for (wiki, cloud) in [
        ("bolwiki", ready()),
        ("bewwiktionary", Readiness::Absent),
        ("afwiki", ready()),
    ] {
        let both = replicas(ready(), cloud);
        found.replicas.insert(wiki.to_owned(), both);
    }
    let request = Request {
        names: Vec::new(),
        audit: true,
        ..request
    };
    let procedure = Newwiki::new(request, Policy::default()).unwrap();
    assert!(!procedure.wants_change());
    let report = procedure.report(&found);
    assert!(report.leftovers);
    let rows = |title: &str| {
        let tables = &report.document.tables;
        tables
            .iter()
            .find(|table| table.title.starts_with(title))
            .unwrap()
            .rows
            .clone()
    };
    let wikis = rows("open wikis");
    // Measured: 30 open public wikis are missing from the sqoop list today.
    let out_of_sqoop = wikis.iter().filter(|row| row[4] == "MISSING").count();
    assert_eq!(out_of_sqoop, 30);
    assert!(
        wikis
            .iter()
            .any(|row| row[0] == "bolwiki" && row[3] == "there")
    );
    assert_eq!(rows("in the allowlist").len(), 29);
    assert_eq!(
        report.document.notes,
        ["on both replicas, and can be let in: newwiki bolwiki"]
    );
}
