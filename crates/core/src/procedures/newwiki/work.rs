//! What is to be done to which file, from what was asked for and what was found. Pure; the
//! report shows it and the plan does it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::allowlist;
use super::edit::{Changes, Edited};
use super::grouped;
use super::inventory::{Inventory, Readiness, TextFile};
use super::lint::{Blemish, Kind, brought};
use super::names::{Name, Project, Wiki, resolve};
use super::{Request, Target};
use crate::actions::file::Misfit;
use crate::engine::Gap;
use crate::procedures::Refusal;

/// One file's part.
pub(super) struct FileWork<'a> {
    pub(super) target: Target,
    pub(super) file: &'a TextFile,
    /// What is wrong with it now.
    pub(super) blemishes: Vec<Blemish>,
    /// Mends what is wrong, when that was asked for.
    pub(super) mend: Option<Edited>,
    /// Adds and takes out rows.
    pub(super) edit: Option<Edited>,
    /// What needs nothing: it is there, or it is not.
    pub(super) notes: Vec<String>,
}

/// All of it.
#[derive(Default)]
pub(super) struct Work<'a> {
    /// The wikis that may be let in.
    pub(super) wikis: Vec<Wiki>,
    pub(super) files: Vec<FileWork<'a>>,
    /// What forbids it.
    pub(super) refusals: Vec<Refusal>,
    /// What would have to be known.
    pub(super) unseen: Vec<Gap>,
}

/// The work that a request and a look make.
pub(super) fn work<'a>(request: &Request, found: &'a Inventory) -> Work<'a> {
    let mut work = Work::default();
    if !request.offline && found.lists.is_none() && !request.names.is_empty() {
        let missed = found.missed("dblists", "without them no name is known");
        work.unseen.extend(missed);
        return work;
    }
    for name in &request.names {
        match resolve(name, found.lists.as_ref()) {
            Ok(wiki) => work.wikis.push(wiki),
            Err(refusal) => work.refusals.push(refusal),
        }
    }
    if request.only != Some(Target::Allowlist) && !request.offline {
        let names: Vec<Name> = work.wikis.iter().map(|wiki| wiki.name.clone()).collect();
        let listed = found.grouped.as_ref();
        let listed = listed
            .map(|file| grouped::wikis(&file.bytes))
            .unwrap_or_default();
        // A wiki whose database is missing would make the whole sqoop fail.
        for name in names
            .iter()
            .filter(|name| !listed.contains_key(name.as_str().as_bytes()))
        {
            work.ready(name, found);
        }
    }
    for (target, file) in [
        (Target::Allowlist, &found.allowlist),
        (Target::Sqoop, &found.grouped),
    ] {
        if let Some(file) = file {
            work.file(request, found, target, file);
        }
    }
    work
}

pub(super) fn gap(place: &str, why: &str) -> Gap {
    Gap {
        place: place.to_owned(),
        why: why.to_owned(),
        lane: None,
    }
}

/// The date of new rows: the one that was given, or the day of the look in UTC.
fn date(request: &Request, found: &Inventory) -> Date {
    let today = || Timestamp::from_second(found.now).unwrap_or_default();
    let date = request.date;
    date.unwrap_or_else(|| today().to_zoned(TimeZone::UTC).date())
}

impl<'a> Work<'a> {
    fn ready(&mut self, name: &Name, found: &Inventory) {
        let Some(replicas) = found.replicas.get(name.as_str()) else {
            self.unseen
                .push(gap("replicas", &format!("{name} was not looked for")));
            return;
        };
        for (side, database, readiness) in [
            ("production", name.to_string(), &replicas.production),
            ("cloud", format!("{name}_p"), &replicas.cloud),
        ] {
            let what = match readiness {
                Readiness::Ready(_) => continue,
                Readiness::Absent => "there is no such database".to_owned(),
                Readiness::Empty => "the database has no tables".to_owned(),
                Readiness::Lacks(tables) => format!("it lacks {}", tables.join(", ")),
                Readiness::Unknown => {
                    let why = format!("it could not be asked about {name}");
                    for gap in found.missed(&format!("{side} replica"), &why) {
                        if !self.unseen.contains(&gap) {
                            self.unseen.push(gap);
                        }
                    }
                    continue;
                }
            };
            self.refusals.push(Refusal {
                what: format!(
                    "{name} is not ready on the {side} replica (database {database}): {what}"
                ),
                hint: "wait until it is there: sqoop fails for all wikis when one is missing; \
                       --only allowlist does without"
                    .to_owned(),
            });
        }
    }

    fn file(&mut self, request: &Request, found: &Inventory, target: Target, file: &'a TextFile) {
        let blemishes = target.lint(&file.bytes);
        let direct = request.only.is_none_or(|only| only == target);
        let mended = if request.fix_lint && direct {
            mend(target, &file.bytes, &blemishes)
        } else {
            Ok(None)
        };
        let bytes = match &mended {
            Ok(Some(mended)) => &mended.after,
            _ => &file.bytes,
        };
        let edited = match target {
            Target::Allowlist => self.allowlist(request, found, bytes),
            Target::Sqoop => sqoop(request, &self.wikis, bytes).map_err(|none| Refusal {
                what: format!("{} {none}", file.path),
                hint: "is it the file that it should be?".to_owned(),
            }),
        };
        let (changes, notes) = match edited {
            Ok(edited) => edited,
            Err(refusal) => return self.refusals.push(refusal),
        };
        let edit = Edited::new(bytes, &changes);
        let (Ok(mend), Ok(edit)) = (mended, edit) else {
            return self
                .refusals
                .push(bug(&file.path, "it names lines that are not there"));
        };
        let mut known = blemishes.clone();
        for step in [&mend, &edit].into_iter().flatten() {
            let now = target.lint(&step.after);
            if let Some(new) = brought(&known, &now).first() {
                self.refusals
                    .push(bug(&file.path, &format!("it would bring {new}")));
            }
            known = now;
        }
        self.files.push(FileWork {
            target,
            file,
            blemishes,
            mend,
            edit,
            notes,
        });
    }

    fn allowlist(
        &self,
        request: &Request,
        found: &Inventory,
        bytes: &[u8],
    ) -> Result<(Changes, Vec<String>), Refusal> {
        let named = request.only != Some(Target::Sqoop);
        let wikis = self.wikis.iter().filter(|_| named);
        let mut add: Vec<Project> = wikis.map(|wiki| wiki.project.clone()).collect();
        add.extend(request.projects.iter().cloned());
        let special = |name: &Name| {
            let lists = found.lists.as_ref();
            lists.is_some_and(|lists| lists.special.contains(name))
        };
        let dropped = request.drop.iter().filter(|_| named);
        let mut drop: Vec<String> = dropped
            .map(|name| name.project(special(name)).into())
            .collect();
        drop.extend(request.drop_projects.iter().cloned());
        crate::procedures::once(&mut add);
        crate::procedures::once(&mut drop);
        let both = |one: &&Project| drop.iter().any(|dropped| dropped == one.as_str());
        if let Some(project) = add.iter().find(both) {
            return Err(Refusal {
                what: format!("{project} is both to be added and to be dropped"),
                hint: "do one after the other".to_owned(),
            });
        }
        let change = allowlist::change(bytes, &add, &drop, date(request, found));
        let there = change
            .already
            .iter()
            .map(|one| format!("{one} is in the allowlist already"));
        let not = change
            .absent
            .iter()
            .map(|one| format!("{one} is not in the allowlist"));
        // What is named directly may be anything that pageviews have.
        let lists = found.lists.iter();
        let open: BTreeSet<Project> = lists
            .flat_map(|lists| lists.open().map(|name| name.project(special(name))))
            .collect();
        let strange = request
            .projects
            .iter()
            .filter(|&one| !open.is_empty() && !open.contains(one) && !change.already.contains(one))
            .map(|one| format!("{one} is the project of no open wiki: is it right?"));
        Ok((change.changes, there.chain(not).chain(strange).collect()))
    }
}

fn sqoop(
    request: &Request,
    wikis: &[Wiki],
    bytes: &[u8],
) -> Result<(Changes, Vec<String>), grouped::NoGroup> {
    if request.only == Some(Target::Allowlist) {
        return Ok(Default::default());
    }
    let add: Vec<Name> = wikis.iter().map(|wiki| wiki.name.clone()).collect();
    let change = grouped::change(bytes, &add, &request.drop)?;
    let there = change
        .already
        .iter()
        .map(|one| format!("{one} is in the sqoop list already"));
    let not = change
        .absent
        .iter()
        .map(|one| format!("{one} is not in the sqoop list"));
    Ok((change.changes, there.chain(not).collect()))
}

fn mend(target: Target, bytes: &[u8], blemishes: &[Blemish]) -> Result<Option<Edited>, Misfit> {
    match Edited::new(bytes, &target.mend(bytes))? {
        None if blemishes.iter().any(|one| one.kind == Kind::NoFinalNewline) => {
            Edited::end(bytes).map(Some)
        }
        mended => Ok(mended),
    }
}

impl Target {
    fn lint(self, bytes: &[u8]) -> Vec<Blemish> {
        match self {
            Self::Allowlist => allowlist::lint(bytes),
            Self::Sqoop => grouped::lint(bytes),
        }
    }

    fn mend(self, bytes: &[u8]) -> Changes {
        match self {
            Self::Allowlist => allowlist::mend(bytes),
            Self::Sqoop => grouped::mend(bytes),
        }
    }
}

fn bug(path: &str, what: &str) -> Refusal {
    Refusal {
        what: format!("the edit of {path} is wrong: {what}"),
        hint: "nothing was changed; this is a fault of the tool: report it".to_owned(),
    }
}
