//! From what a look found to what is to be done. Pure: no I/O, no clock.
//!
//! The order, and why: what is wrong in the files is mended first, as a step of its own, so
//! that the edits that were asked for stand alone; each file is a lane. What follows needs
//! both files.

use std::path::Path;

use super::discover::REFINERY;
use super::edit::Edited;
use super::inventory::Inventory;
use super::live::{Live, live};
use super::names::{Name, Project};
use super::policy::Policy;
use super::work::{FileWork, Work, work};
use super::{ALLOWLIST, After, GROUPED, Request, Target};
use crate::actions::file::{Edit, Hunk};
use crate::actions::{Action, file, git, hdfs};
use crate::engine::plan::{FORMAT, sha256_hex};
use crate::engine::{Plan, Risk, Step, Wave};
use crate::procedures::{Heading, Unplanned};

/// The index of the files' wave; the others' are in [`super::live`].
const FILES: usize = 0;
/// The waves, and whether they begin only when all before is done: what is pushed is what
/// was committed, and a list that reviewers cannot see does not go to HDFS.
const WAVES: [(&str, bool); 4] = [
    ("edit the files", false),
    ("commit", true),
    ("push", true),
    ("bring the allowlist to HDFS", true),
];

/// What a plan that was made without asking anything says.
pub(super) const OFFLINE: &str = "only the files were looked at and only the files will \
                                  be edited; whether the wikis exist, have replicas, or are in \
                                  HDFS was NOT asked, and nothing is committed";

pub(super) fn plan(
    request: &Request,
    policy: &Policy,
    subject: &str,
    found: &Inventory,
    heading: &Heading,
) -> Result<Plan<Action>, Unplanned> {
    let work = work(request, found);
    if !work.refusals.is_empty() {
        return Err(Unplanned::Refused(work.refusals));
    }
    if !work.unseen.is_empty() {
        return Err(Unplanned::Incomplete(work.unseen));
    }
    let live = live(request, policy, heading, found, &work);
    if !live.refusals.is_empty() {
        return Err(Unplanned::Refused(live.refusals));
    }
    if !live.drifts.is_empty() {
        return Err(Unplanned::Drifted(live.drifts));
    }
    if !live.unseen.is_empty() {
        return Err(Unplanned::Incomplete(live.unseen));
    }
    let files = work.files.iter().flat_map(file_steps);
    let title = title(request, &work, &live);
    let steps: Vec<Step<Action>> = files.chain(live.steps).collect();
    Ok(Plan {
        format: FORMAT,
        tool: "newwiki".to_owned(),
        version: heading.version.clone(),
        subject: subject.to_owned(),
        title,
        created: found.now,
        task: heading.task.clone(),
        reason: heading.reason.clone(),
        safety: policy.digest(),
        world: found.world.clone(),
        coverage: found.gaps.clone(),
        unasked: Vec::new(),
        overruled: Vec::new(),
        notes: notes(request, &work),
        pace: None,
        waves: WAVES
            .map(|(name, gate)| Wave {
                name: name.to_owned(),
                gate,
            })
            .into(),
        steps,
    })
}

fn notes(request: &Request, work: &Work<'_>) -> Vec<String> {
    let offline = request.offline.then(|| OFFLINE.to_owned());
    let files = work
        .files
        .iter()
        .flat_map(|file| file.notes.iter().cloned());
    offline.into_iter().chain(files).collect()
}

/// What the plan does, in one line.
fn title(request: &Request, work: &Work<'_>, live: &Live) -> String {
    let files = work.files.iter().flat_map(|file| {
        let name = name(file.target);
        let mend = file.mend.as_ref().map(|_| format!("mend the {name}"));
        let edit = file.edit.as_ref().map(|edit| {
            let count = |lines: fn(&Hunk) -> &Vec<String>| -> usize {
                edit.hunks.iter().map(|hunk| lines(hunk).len()).sum()
            };
            let (came, gone) = (count(|hunk| &hunk.insert), count(|hunk| &hunk.remove));
            match (came, gone) {
                (came, 0) => format!("{came} into the {name}"),
                (0, gone) => format!("{gone} out of the {name}"),
                (came, gone) => format!("{came} into the {name} and {gone} out"),
            }
        });
        mend.into_iter().chain(edit)
    });
    let parts: Vec<String> = files.chain(live.titles.iter().cloned()).collect();
    let what = if parts.is_empty() {
        "nothing to do".to_owned()
    } else {
        parts.join(", ")
    };
    loud(request, what)
}

/// The same, with the warning that nobody was asked.
pub(super) fn loud(request: &Request, title: String) -> String {
    if request.offline {
        format!("OFFLINE: {title}")
    } else {
        title
    }
}

/// The file's name, for people and for lanes.
pub(super) fn name(target: Target) -> &'static str {
    match target {
        Target::Allowlist => "allowlist",
        Target::Sqoop => "sqoop list",
    }
}

/// The file's steps. Each knows what the others make of the file, so that a plan that was
/// cut short can be gone on with.
fn file_steps(work: &FileWork<'_>) -> Vec<Step<Action>> {
    let lane = match work.target {
        Target::Allowlist => "allowlist",
        Target::Sqoop => "sqoop",
    };
    let first = sha256_hex(&work.file.bytes);
    let mended = work.mend.as_ref().map(|edited| sha256_hex(&edited.after));
    let edited = work.edit.as_ref().map(|edited| sha256_hex(&edited.after));
    let step = |verb: &str, why: &str, made: &Edited, earlier, later| Step {
        id: format!("{verb}-{lane}"),
        lane: lane.to_owned(),
        wave: FILES,
        risk: Risk::Reversible,
        why: why.to_owned(),
        action: Action::File(file::Action::Edit(Edit {
            path: work.file.path.clone(),
            hunks: made.hunks.clone(),
            was: sha256_hex(&made.before),
            becomes: sha256_hex(&made.after),
            earlier,
            later,
        })),
    };
    let mend = work.mend.as_ref().map(|made| {
        let why = "what is wrong in it is mended apart from what was asked for";
        step(
            MEND,
            why,
            made,
            Vec::new(),
            edited.clone().into_iter().collect(),
        )
    });
    let edit = work.edit.as_ref().map(|made| {
        let why = match work.target {
            Target::Allowlist => "views of a project that is not in it raise alarms",
            Target::Sqoop => "a wiki that is not in it is in no snapshot",
        };
        let earlier = mended.iter().map(|_| first.clone()).collect();
        step(EDIT, why, made, earlier, Vec::new())
    });
    mend.into_iter().chain(edit).collect()
}

/// The verbs of the steps' names.
const MEND: &str = "mend";
const EDIT: &str = "edit";

/// What a plan wants of the files, read from its steps.
pub(super) fn request_of(plan: &Plan<Action>) -> Option<Request> {
    let mut request = Request {
        refinery: Path::new(plan.world.get(REFINERY)?).to_owned(),
        only: Some(Target::Sqoop),
        offline: plan.notes.iter().any(|note| note == OFFLINE),
        ..Request::default()
    };
    for step in &plan.steps {
        match &step.action {
            Action::Git(git::Action::Push { .. }) => request.after = After::Push,
            Action::Git(_) if request.after == After::Leave => request.after = After::Commit,
            Action::Hdfs(hdfs::Action::Swap(_)) => request.sync_hdfs = true,
            _ => {}
        }
    }
    for step in plan.steps.iter().filter(|step| step.id.starts_with(EDIT)) {
        let Action::File(file::Action::Edit(edit)) = &step.action else {
            continue;
        };
        for hunk in &edit.hunks {
            if edit.path.ends_with(ALLOWLIST) {
                let value = |line: &String| line.split('\t').nth(1).map(str::to_owned);
                let came = hunk.insert.iter().filter_map(value);
                request
                    .projects
                    .extend(came.filter_map(|one| Project::parse(&one).ok()));
                request
                    .drop_projects
                    .extend(hunk.remove.iter().filter_map(value));
            } else if edit.path.ends_with(GROUPED) {
                let name = |line: &String| Name::parse(line.split(',').next()?).ok();
                request.names.extend(hunk.insert.iter().filter_map(name));
                request.drop.extend(hunk.remove.iter().filter_map(name));
            }
        }
    }
    Some(request)
}
