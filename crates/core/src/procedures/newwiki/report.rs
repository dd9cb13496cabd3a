//! What a look found, as tables.

use super::edit::diff;
use super::inventory::{Inventory, Readiness};
use super::plan::{OFFLINE, name};
use super::work::{Work, work};
use super::{Request, Target, allowlist, grouped};
use crate::engine::render::{Document, Table};
use crate::procedures::Report;

pub(super) fn report(request: &Request, found: &Inventory) -> Report {
    let work = work(request, found);
    let mut tables = Vec::new();
    let mut push = |table: Table| {
        if !table.rows.is_empty() {
            tables.push(table);
        }
    };
    push(wikis(&work, found));
    push(blemishes(&work));
    for file in &work.files {
        for (verb, made) in [("mending", &file.mend), ("the edit", &file.edit)] {
            if let Some(made) = made {
                let title = format!("{verb} of the {}, {}", name(file.target), file.file.path);
                push(diff(title, &made.before, &made.after));
            }
        }
    }
    let leftovers = work
        .files
        .iter()
        .any(|file| file.mend.is_some() || file.edit.is_some());
    let mut notes: Vec<String> = request
        .offline
        .then(|| OFFLINE.to_owned())
        .into_iter()
        .collect();
    notes.extend(
        work.files
            .iter()
            .flat_map(|file| file.notes.iter().cloned()),
    );
    Report {
        document: Document {
            title: if leftovers {
                "the files are to be changed".to_owned()
            } else {
                "the files are as they were asked to be".to_owned()
            },
            tables,
            notes,
        },
        leftovers,
        gaps: found.gaps.clone(),
    }
}

/// Where each wiki stands.
fn wikis(work: &Work<'_>, found: &Inventory) -> Table {
    let there = |yes: bool| if yes { "there" } else { "missing" }.to_owned();
    let state = |target: Target, is_there: &dyn Fn(&[u8]) -> bool| {
        let file = work.files.iter().find(|file| file.target == target);
        file.map_or_else(String::new, |file| there(is_there(&file.file.bytes)))
    };
    let rows = work.wikis.iter().map(|wiki| {
        let project = wiki.project.as_str().as_bytes();
        let database = wiki.name.as_str().as_bytes();
        let replicas = found.replicas.get(wiki.name.as_str());
        let ready = |readiness: Option<&Readiness>| match readiness {
            None => String::new(),
            Some(Readiness::Ready(tables)) => format!("{tables} tables"),
            Some(Readiness::Absent) => "NOT there".to_owned(),
            Some(Readiness::Lacks(tables)) => format!("LACKS {}", tables.join(", ")),
            Some(Readiness::Unknown) => "not asked".to_owned(),
        };
        vec![
            wiki.name.to_string(),
            wiki.project.to_string(),
            wiki.section.clone().unwrap_or_default(),
            state(Target::Allowlist, &|bytes| {
                allowlist::projects(bytes).contains_key(project)
            }),
            state(Target::Sqoop, &|bytes| {
                grouped::wikis(bytes).contains_key(database)
            }),
            ready(replicas.map(|both| &both.production)),
            ready(replicas.map(|both| &both.cloud)),
        ]
    });
    Table {
        title: "wikis".to_owned(),
        columns: vec![
            "wiki",
            "project",
            "section",
            "allowlist",
            "sqoop list",
            "production",
            "cloud",
        ],
        rows: rows.collect(),
    }
}

/// What is wrong in the files, whoever brought it.
fn blemishes(work: &Work<'_>) -> Table {
    let rows = work.files.iter().flat_map(|file| {
        file.blemishes.iter().map(|one| {
            vec![
                name(file.target).to_owned(),
                one.line.to_string(),
                one.kind.text().to_owned(),
                one.text.clone(),
                if one.mendable {
                    "--fix-lint"
                } else {
                    "by hand"
                }
                .to_owned(),
            ]
        })
    });
    Table {
        title: "wrong in the files before any edit".to_owned(),
        columns: vec!["file", "line", "what", "text", "mend"],
        rows: rows.collect(),
    }
}
