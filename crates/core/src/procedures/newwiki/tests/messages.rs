//! What commits say.

use super::super::inventory::{Checkout, Readiness};
use super::super::names::Project;
use super::super::{After, Request};
use super::plans::{name, online, plan, replicas, summaries};
use crate::actions::{Action, git};

/// A checkout in which nothing is in the way of a commit on that branch.
fn clean(free_branch: &str) -> Checkout {
    Checkout {
        branch: Some("master".to_owned()),
        head: "0123456789".repeat(4),
        behind: Some(0),
        hook: true,
        author: true,
        free_branch: free_branch.to_owned(),
        ..Checkout::default()
    }
}

#[test]
fn a_message_says_which_file_gets_what() {
    // bol.wikipedia is in the allowlist, bolwiki and magwikibooks in no list.
    for (names, projects, subject) in [
        (
            &["azywiki", "magwikibooks"][..],
            &[][..],
            "Add azy.wikipedia, mag.wikibooks to pageview allowlist and sqoop list",
        ),
        (&["bolwiki"], &[], "Add bolwiki to sqoop list"),
        (
            &["bolwiki"],
            &["azy.wikipedia"],
            "Add azy.wikipedia to pageview allowlist, bolwiki to sqoop list",
        ),
        (
            &["azywiki"],
            &["punjabi.wikimedia", "azy.wikivoyage"],
            "Add 3 wikis to pageview allowlist, azywiki to sqoop list",
        ),
    ] {
        let (request, mut found) = online();
        found.checkout = Some(clean("newwiki/azywiki"));
        let lists = found.lists.as_mut().unwrap();
        for text in names {
            let ready = || Readiness::Ready(100);
            lists.all.insert(name(text));
            lists.sections.insert(name(text), "s5".to_owned());
            let both = replicas(ready(), ready());
            found.replicas.insert((*text).to_owned(), both);
        }
        let request = Request {
            names: names.iter().map(|text| name(text)).collect(),
            projects: projects
                .iter()
                .map(|text| Project::parse(text).unwrap())
                .collect(),
            after: After::Commit,
            ..request
        };
        let plan = plan(request, &found).unwrap();
        let told = summaries(&plan)
            .into_iter()
            .find(|it| it.starts_with("commit"));
        let commit = format!("commit: commit {subject:?} on newwiki/azywiki");
        assert_eq!(told, Some(commit));
        let strange = projects.contains(&"azy.wikivoyage");
        let note = "azy.wikivoyage is the project of no open wiki: is it right?".to_owned();
        assert_eq!(plan.notes.contains(&note), strange, "{:?}", plan.notes);
    }
}

#[test]
fn a_message_says_what_goes() {
    let (request, mut found) = online();
    found.checkout = Some(clean("newwiki/isvwiki"));
    for (drop, projects, add, subject) in [
        (
            &["isvwiki"][..],
            &[][..],
            &[][..],
            "Remove isv.wikipedia from pageview allowlist and sqoop list",
        ),
        (
            &[],
            &["gr.wikimedia"],
            &[],
            "Remove gr.wikimedia from pageview allowlist",
        ),
        (
            &[],
            &["api.wikimedia", "ab.wikipedia"],
            &["azy.wikipedia"],
            "Update the pageview allowlist",
        ),
    ] {
        let strings = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
        let request = Request {
            names: Vec::new(),
            projects: add.iter().map(|one| Project::parse(one).unwrap()).collect(),
            drop: drop.iter().map(|one| name(one)).collect(),
            drop_projects: strings(projects),
            after: After::Commit,
            ..request.clone()
        };
        let told = summaries(&plan(request.clone(), &found).unwrap());
        let commit = format!("commit: commit {subject:?} on newwiki/isvwiki");
        assert!(told.contains(&commit), "{told:?}");
        // What is mended on the way is no secret.
        let request = Request {
            fix_lint: true,
            ..request
        };
        let plan = plan(request, &found).unwrap();
        let Some(Action::Git(git::Action::Commit { change })) =
            plan.steps.last().map(|step| &step.action)
        else {
            panic!("{:?}", plan.steps)
        };
        let mended = "What was wrong in the pageview allowlist is mended as well.";
        let said = change.message.lines().filter(|line| *line == mended);
        assert_eq!(said.count(), 1, "{}", change.message);
    }
}
