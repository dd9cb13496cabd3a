//! What a look found, as tables.

use std::collections::{BTreeMap, BTreeSet};

use super::edit::{diff, lines, text};
use super::inventory::{Inventory, Readiness, TextFile};
use super::names::{Name, Wiki, resolve};
use super::plan::{OFFLINE, loud, name};
use super::policy::Policy;
use super::values::{Meaning, meanings};
use super::work::{Work, work};
use super::{Request, allowlist, grouped, live};
use crate::engine::render::{Document, Table};
use crate::procedures::Report;

pub(super) fn report(request: &Request, policy: &Policy, found: &Inventory) -> Report {
    let work = work(request, found);
    let mut tables = Vec::new();
    let mut push = |table: Table| {
        if !table.rows.is_empty() {
            tables.push(table);
        }
    };
    push(wikis(&work, found));
    push(unexpected(request, &work, found));
    push(blemishes(&work));
    for file in &work.files {
        for (verb, made) in [("mending", &file.mend), ("the edit", &file.edit)] {
            if let Some(made) = made {
                let title = format!("{verb} of the {}, {}", name(file.target), file.file.path);
                push(diff(title, &made.before, &made.after));
            }
        }
    }
    let mut leftovers = work
        .files
        .iter()
        .any(|file| file.mend.is_some() || file.edit.is_some());
    let differs = in_hdfs(request, policy, &work, found);
    let mut title = if !work.refusals.is_empty() {
        "what was asked for is refused"
    } else if leftovers {
        "the files are to be changed"
    } else if request.edits() {
        "the files are as they were asked to be"
    } else {
        match (&found.hdfs, &differs) {
            (Some(_), None) if request.sync_hdfs => "the allowlist in HDFS is the checkout's",
            (Some(_), Some(_)) if request.sync_hdfs => {
                "the allowlist in HDFS is not the checkout's"
            }
            _ => "no edit is asked for",
        }
    };
    leftovers |= differs.is_some();
    if let Some(table) = differs.clone() {
        push(table);
    }
    let mut notes = Vec::new();
    if request.audit {
        let audit = audit(found);
        leftovers = audit.missing || differs.is_some();
        title = if leftovers {
            "wikis are missing, or rows are of no wiki"
        } else {
            "no wiki is missing"
        };
        audit.tables.into_iter().for_each(push);
        notes = audit.notes;
    }
    let offline = request.offline.then(|| OFFLINE.to_owned());
    let files = work
        .files
        .iter()
        .flat_map(|file| file.notes.iter().cloned());
    Report {
        document: Document {
            title: loud(request, title.to_owned()),
            tables,
            notes: offline.into_iter().chain(files).chain(notes).collect(),
        },
        leftovers,
        gaps: found.gaps.clone(),
    }
}

/// How the allowlist in HDFS differs from the checkout's as it is to be.
fn in_hdfs(
    request: &Request,
    policy: &Policy,
    work: &Work<'_>,
    found: &Inventory,
) -> Option<Table> {
    let there = found.hdfs.as_ref()?;
    let file = live::allowlist_of(work)?;
    let folder = &policy.allowlist.folder;
    let mut rows: Vec<(&str, String)> = Vec::new();
    if there.visible.len() != 1 || there.bytes.is_none() {
        let seen = match there.visible.as_slice() {
            [] => "nothing".to_owned(),
            names => names.join(", "),
        };
        rows.push(("visible files, not allowlist.tsv alone", seen));
    }
    if let Some(bytes) = &there.bytes {
        let only_there = live::only_there(bytes, file);
        rows.extend(only_there.into_iter().map(|row| ("only in HDFS", row)));
        let held: BTreeSet<&[u8]> = lines(bytes).into_iter().collect();
        let missing = lines(live::last(file)).into_iter();
        let missing = missing.filter(|row| !held.contains(row));
        rows.extend(missing.map(|row| ("not in HDFS yet", text(row))));
        if rows.is_empty() && bytes != live::last(file) {
            rows.push(("the same rows in another order, or twice", String::new()));
        }
    }
    let more = rows.len().saturating_sub(SHOWN);
    rows.truncate(SHOWN);
    if more > 0 {
        rows.push(("and more rows", more.to_string()));
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(what, row)| vec![what.to_owned(), row])
        .collect();
    (!rows.is_empty() && (request.sync_hdfs || request.audit)).then(|| Table {
        title: format!("the allowlist in HDFS, {folder}"),
        columns: vec!["what", "row"],
        rows,
    })
}

/// What pageviews brought, and what to make of it.
fn unexpected(request: &Request, work: &Work<'_>, found: &Inventory) -> Table {
    let rows = meanings(request, work, found)
        .into_iter()
        .map(|(one, meaning)| {
            vec![
                one.field.clone(),
                one.value.clone(),
                one.views.to_string(),
                one.first.clone(),
                one.last.clone(),
                match meaning {
                    Meaning::OtherField => "no project: left out".to_owned(),
                    Meaning::Listed => "in the allowlist by now".to_owned(),
                    Meaning::Asked => "asked for".to_owned(),
                    Meaning::Wiki(name) => format!("{name}, a wiki: --project {}", one.value),
                    Meaning::Rubbish => "no wiki: left out".to_owned(),
                },
            ]
        });
    Table {
        title: "values of pageviews that the allowlist lacked".to_owned(),
        columns: vec![
            "field",
            "value",
            "views",
            "first day",
            "last day",
            "meaning",
        ],
        rows: rows.collect(),
    }
}

/// Where each wiki stands.
fn wikis(work: &Work<'_>, found: &Inventory) -> Table {
    let listed = Listed::new(found);
    let rows = work.wikis.iter().map(|wiki| row(wiki, &listed, found));
    Table {
        title: "wikis".to_owned(),
        columns: COLUMNS.into(),
        rows: rows.collect(),
    }
}

const COLUMNS: [&str; 7] = [
    "wiki",
    "project",
    "section",
    "allowlist",
    "sqoop list",
    "production",
    "cloud",
];

/// How many differing rows are shown.
const SHOWN: usize = 50;

/// What stands in a column when something is not there.
const MISSING: &str = "MISSING";

/// The rows of the two files, where these were looked at.
struct Listed {
    allowlist: Option<Rows>,
    grouped: Option<Rows>,
}

impl Listed {
    fn new(found: &Inventory) -> Self {
        let rows = |file: &Option<TextFile>, rows: fn(&[u8]) -> Rows| {
            file.as_ref().map(|file| rows(&file.bytes))
        };
        Self {
            allowlist: rows(&found.allowlist, allowlist::projects),
            grouped: rows(&found.grouped, grouped::wikis),
        }
    }
}

/// Where the wiki stands. Empty: not looked at.
fn row(wiki: &Wiki, listed: &Listed, found: &Inventory) -> Vec<String> {
    let in_file = |rows: &Option<Rows>, key: &str| {
        match rows.as_ref().map(|rows| rows.contains_key(key.as_bytes())) {
            None => "",
            Some(true) => "there",
            Some(false) => MISSING,
        }
        .to_owned()
    };
    let replicas = found.replicas.get(wiki.name.as_str());
    let ready = |readiness: Option<&Readiness>| match readiness {
        None => String::new(),
        Some(Readiness::Ready(tables)) => format!("{tables} tables"),
        Some(Readiness::Absent) => MISSING.to_owned(),
        Some(Readiness::Empty) => format!("{MISSING}: all tables"),
        Some(Readiness::Lacks(tables)) => format!("{MISSING}: {}", tables.join(", ")),
        Some(Readiness::Unknown) => "not asked".to_owned(),
    };
    vec![
        wiki.name.to_string(),
        wiki.project.to_string(),
        wiki.section.clone().unwrap_or_default(),
        in_file(&listed.allowlist, wiki.project.as_str()),
        in_file(&listed.grouped, wiki.name.as_str()),
        ready(replicas.map(|both| &both.production)),
        ready(replicas.map(|both| &both.cloud)),
    ]
}

/// The lines of a file by what they are about.
type Rows = BTreeMap<Vec<u8>, Vec<usize>>;

struct Audit {
    tables: Vec<Table>,
    notes: Vec<String>,
    /// Whether anything is there that somebody should do something about.
    missing: bool,
}

/// Open wikis that are missing somewhere, and rows for what is no wiki.
fn audit(found: &Inventory) -> Audit {
    let lists = found.lists.clone().unwrap_or_default();
    let open = lists
        .open()
        .filter_map(|name| resolve(name, Some(&lists)).ok());
    let open: Vec<Wiki> = open.collect();
    let listed = Listed::new(found);
    let missing: Vec<(&Wiki, Vec<String>)> = open
        .iter()
        .map(|wiki| (wiki, row(wiki, &listed, found)))
        .filter(|(_, row)| row.iter().any(|cell| cell.starts_with(MISSING)))
        .collect();
    let ready = |wiki: &Wiki| {
        let both = found.replicas.get(wiki.name.as_str());
        both.is_some_and(|both| {
            let sides = [&both.production, &both.cloud];
            sides.iter().all(|side| matches!(side, Readiness::Ready(_)))
        })
    };
    let let_in: Vec<&str> = missing
        .iter()
        .filter(|(wiki, _)| ready(wiki))
        .map(|(wiki, _)| wiki.name.as_str())
        .collect();
    let title = format!(
        "open wikis that are missing somewhere: {} of {}",
        missing.len(),
        open.len()
    );
    let missing: Vec<Vec<String>> = missing.into_iter().map(|(_, row)| row).collect();
    let keys = |rows: &Option<Rows>| -> Vec<String> {
        rows.iter()
            .flat_map(Rows::keys)
            .map(|key| text(key))
            .collect()
    };
    let projects: BTreeSet<String> = lists
        .all
        .iter()
        .map(|name| name.project(lists.special.contains(name)).into())
        .collect();
    let mut values = keys(&listed.allowlist);
    values.retain(|value| !projects.contains(value));
    let mut wikis = keys(&listed.grouped);
    wikis.retain(|wiki| !Name::parse(wiki).is_ok_and(|name| lists.all.contains(&name)));
    let looked = found.lists.is_some();
    let table = |title: &str, columns: Vec<&'static str>, rows: Vec<Vec<String>>| Table {
        title: title.to_owned(),
        columns,
        rows: if looked { rows } else { Vec::new() },
    };
    let single = |keys: Vec<String>| keys.into_iter().map(|key| vec![key]).collect::<Vec<_>>();
    let let_in = (!let_in.is_empty()).then(|| {
        let names = let_in.join(" ");
        format!("on both replicas, and can be let in: newwiki {names}")
    });
    Audit {
        notes: let_in.into_iter().collect(),
        missing: looked && !(missing.is_empty() && wikis.is_empty()),
        tables: vec![
            table(&title, COLUMNS.into(), missing),
            table(
                "in the sqoop list and not in all.dblist: sqoop will fail",
                vec!["wiki"],
                single(wikis),
            ),
            table(
                "in the allowlist, and no wiki of today has it",
                vec!["project"],
                single(values),
            ),
        ],
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
        title: "wrong in the files as they are".to_owned(),
        columns: vec!["file", "line", "what", "text", "mend"],
        rows: rows.collect(),
    }
}
