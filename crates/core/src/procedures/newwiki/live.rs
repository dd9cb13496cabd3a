//! The part of a plan that is about more than the two files: commit, push, HDFS. Pure.

use std::collections::BTreeMap;

use super::allowlist;
use super::edit::{lines, text};
use super::inventory::{Checkout, HdfsAllowlist, Inventory};
use super::lint::{Kind, brought};
use super::names::Name;
use super::policy::Policy;
use super::work::{FileWork, Work, gap};
use super::{After, Request, Target};
use crate::actions::git::{self, Change, Content};
use crate::actions::hdfs::{self, Swap};
use crate::engine::plan::sha256_hex;
use crate::engine::{Gap, Risk, Step};
use crate::procedures::{Heading, Refusal};

/// The waves after the files' own.
pub(super) const COMMIT: usize = 1;
pub(super) const PUSH: usize = 2;
pub(super) const SYNC: usize = 3;

/// The names of the systems among the identities of the world.
pub(super) const HDFS: &str = "hdfs";
pub(super) const REMOTE: &str = "git-remote";

/// What follows the edits, and what forbids it.
#[derive(Default)]
pub(super) struct Live {
    pub(super) steps: Vec<Step<crate::actions::Action>>,
    pub(super) refusals: Vec<Refusal>,
    /// The world is not what was thought.
    pub(super) drifts: Vec<Refusal>,
    pub(super) unseen: Vec<Gap>,
    /// What the steps do, in a few words.
    pub(super) titles: Vec<String>,
}

/// All of it.
pub(super) fn live(
    request: &Request,
    policy: &Policy,
    heading: &Heading,
    found: &Inventory,
    work: &Work<'_>,
) -> Live {
    let mut live = Live::default();
    if request.after != After::Leave {
        let edits = work
            .files
            .iter()
            .any(|file| file.mend.is_some() || file.edit.is_some());
        match &found.checkout {
            None if edits => {
                let missed = found.missed("checkout", "how it stands is not known");
                live.unseen.extend(missed);
            }
            Some(checkout) if edits => live.commit(request, policy, heading, found, work, checkout),
            Some(checkout) => live.refusals.extend(unfinished(checkout, request, policy)),
            None => {}
        }
    }
    if request.sync_hdfs {
        match &found.hdfs {
            None => {
                let missed = found.missed(HDFS, "what the allowlist is there is not known");
                live.unseen.extend(missed);
            }
            Some(there) => live.sync(policy, work, there),
        }
    }
    live
}

impl Live {
    fn commit(
        &mut self,
        request: &Request,
        policy: &Policy,
        heading: &Heading,
        found: &Inventory,
        work: &Work<'_>,
        checkout: &Checkout,
    ) {
        let Some(refinery) = found.world.get(super::discover::REFINERY) else {
            return;
        };
        self.refusals.extend(unfit(checkout, policy));
        let push = request.after == After::Push;
        let gone = found.gaps.iter().find(|gap| gap.place == REMOTE);
        if let Some(gone) = gone.filter(|_| push) {
            self.unseen.push(gone.clone());
        }
        let files = work.files.iter().filter_map(|file| {
            let last = file.edit.as_ref().or(file.mend.as_ref())?;
            Some(Content {
                path: file.target.path().to_owned(),
                sha256: sha256_hex(&last.after),
            })
        });
        let change = Change {
            repository: refinery.clone(),
            branch: checkout.free_branch.clone(),
            base: checkout.head.clone(),
            files: files.collect(),
            message: message(work, heading),
        };
        let mut step = |id: &str, wave, risk, why: &str, action: git::Action| {
            self.steps.push(Step {
                id: id.to_owned(),
                lane: "git".to_owned(),
                wave,
                risk,
                why: why.to_owned(),
                action: action.into(),
            });
        };
        let branch = git::Action::Branch {
            change: change.clone(),
        };
        step(
            "branch",
            COMMIT,
            Risk::Reversible,
            "a change for review stands alone",
            branch,
        );
        let commit = git::Action::Commit {
            change: change.clone(),
        };
        step(
            "commit",
            COMMIT,
            Risk::Reversible,
            "both files belong together",
            commit,
        );
        self.titles.push("commit".to_owned());
        if push {
            let action = git::Action::Push {
                change,
                remote: policy.remote.clone(),
                onto: policy.branch.clone(),
            };
            // Abandoned by hand, if at all.
            step(
                "push",
                PUSH,
                Risk::Costly,
                "somebody else looks at it",
                action,
            );
            self.titles.push("push for review".to_owned());
        }
    }

    fn sync(&mut self, policy: &Policy, work: &Work<'_>, there: &HdfsAllowlist) {
        let Some(file) = allowlist_of(work) else {
            self.unseen
                .push(gap("allowlist", "the checkout's was not read"));
            return;
        };
        let folder = &policy.allowlist.folder;
        let (Some(bytes), [_]) = (&there.bytes, there.visible.as_slice()) else {
            let seen = match there.visible.as_slice() {
                [] => "nothing".to_owned(),
                names => names.join(", "),
            };
            self.drifts.push(Refusal::new(
                format!("{folder} must hold allowlist.tsv alone, and holds {seen}"),
                "every visible file there is read as rows: find out whose they are, move them away",
            ));
            return;
        };
        let lost = only_there(bytes, file);
        if !lost.is_empty() {
            let rows = lost.join("; ");
            self.drifts.push(Refusal::new(
                format!("{} holds rows that the checkout lacks: {rows}", there.path),
                "fetch and rebase the checkout, or add these rows to it; nothing is overwritten",
            ));
            return;
        }
        let after = last(file);
        // A row that HDFS holds once must not come to be there twice.
        let (held, now) = (allowlist::lint(bytes), allowlist::lint(after));
        let twice = brought(&held, &now);
        if let Some(twice) = twice.iter().find(|one| one.kind == Kind::Duplicate) {
            self.refusals.push(Refusal::new(
                format!("{} would count views twice: {twice}", there.path),
                "--fix-lint takes the second row out of the checkout's file first",
            ));
            return;
        }
        let readable = there.mode & 0o444 == 0o444;
        if bytes == after && readable {
            return;
        }
        let was = sha256_hex(bytes);
        let kept = format!(
            "{}/allowlist-{}.tsv",
            policy.allowlist.backup_dir,
            was.get(..16).unwrap_or(&was)
        );
        let mut step = |id: &str, risk, why: &str, action: hdfs::Action| {
            self.steps.push(Step {
                id: id.to_owned(),
                lane: HDFS.to_owned(),
                wave: SYNC,
                risk,
                why: why.to_owned(),
                action: action.into(),
            });
        };
        let keep = hdfs::Action::Keep {
            from: there.path.clone(),
            to: kept.clone(),
            sha256: was.clone(),
        };
        step(
            "keep-allowlist",
            Risk::Reversible,
            "so that the swap can be undone",
            keep,
        );
        let swap = hdfs::Action::Swap(Swap {
            from: file.file.path.clone(),
            to: there.path.clone(),
            was,
            becomes: sha256_hex(after),
            mode: there.mode | 0o444,
            kept,
        });
        let why = "the alarms end when the jobs read the new list";
        // What was there is kept; putting it back is for hands.
        step("swap-allowlist", Risk::Costly, why, swap);
        self.titles.push("bring the allowlist to HDFS".to_owned());
    }
}

/// The allowlist of the checkout.
pub(super) fn allowlist_of<'a, 'b>(work: &'a Work<'b>) -> Option<&'a FileWork<'b>> {
    work.files
        .iter()
        .find(|file| file.target == Target::Allowlist)
}

/// What the file is once the plan is done.
pub(super) fn last<'a>(file: &'a FileWork<'_>) -> &'a [u8] {
    match file.edit.as_ref().or(file.mend.as_ref()) {
        Some(edited) => &edited.after,
        None => &file.file.bytes,
    }
}

/// The rows that HDFS holds, that the checkout lacks, and that no edit takes out.
pub(super) fn only_there(there: &[u8], file: &FileWork<'_>) -> Vec<String> {
    let mut known: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let edits = [&file.mend, &file.edit].into_iter().flatten();
    let dropped = edits
        .flat_map(|edited| &edited.hunks)
        .flat_map(|hunk| &hunk.remove);
    let rows = lines(last(file)).into_iter().map(<[u8]>::to_vec);
    for row in rows.chain(dropped.map(|line| line.clone().into_bytes())) {
        *known.entry(row).or_default() += 1;
    }
    let mut lost = Vec::new();
    for row in lines(there) {
        match known.get_mut(row) {
            Some(count) if *count > 0 => *count -= 1,
            _ => lost.push(text(row)),
        }
    }
    lost
}

/// What is missing where the files hold what they were asked to: somebody, or a run that was
/// killed, has edited them and gone no further.
fn unfinished(checkout: &Checkout, request: &Request, policy: &Policy) -> Vec<Refusal> {
    let Policy { remote, branch, .. } = policy;
    let edited: Vec<&str> = [Target::Allowlist, Target::Sqoop]
        .into_iter()
        .filter(|&target| request.wants(target))
        .map(Target::path)
        .filter(|path| checkout.dirty.iter().any(|dirty| dirty == path))
        .collect();
    let mut refusals = Vec::new();
    if !edited.is_empty() {
        refusals.push(Refusal {
            what: format!(
                "there is nothing to edit, and what is there is not committed: {}",
                edited.join(", ")
            ),
            hint:
                "go on with the plan that edited it, or commit it; --no-commit is content with it"
                    .to_owned(),
        });
    }
    if checkout.unpushed {
        refusals.push(Refusal {
            what: format!(
                "there is nothing to edit, and the head is not in review: {remote} has it nowhere",
            ),
            hint: format!(
                "go on with the plan that committed it, or: git push {remote} \
                 HEAD:refs/for/{branch}"
            ),
        });
    }
    refusals
}

/// Why the checkout is not fit to commit in.
fn unfit(checkout: &Checkout, policy: &Policy) -> Vec<Refusal> {
    let Policy { remote, branch, .. } = policy;
    let mut refusals = Vec::new();
    let mut refuse = |what: String, hint: String| refusals.push(Refusal { what, hint });
    if !checkout.dirty.is_empty() {
        refuse(
            format!(
                "the checkout has changes that are not committed: {}",
                checkout.dirty.join(", ")
            ),
            "go on with the plan that made them, commit them, or put them away (git stash); \
             --no-commit edits all the same"
                .to_owned(),
        );
    }
    let back = format!("git switch {branch} && git pull --ff-only {remote} {branch}");
    match &checkout.branch {
        None => refuse(
            "the checkout's head is detached: on no branch".to_owned(),
            back.clone(),
        ),
        Some(now) if checkout.ahead > 0 => refuse(
            format!(
                "the checkout is on {now}, which has {} commits that {remote}/{branch} has not: \
                 they would be pushed along",
                checkout.ahead
            ),
            back.clone(),
        ),
        Some(_) => {}
    }
    if checkout.behind != Some(0) {
        let how_far = match checkout.behind {
            Some(commits) => format!("{commits} commits"),
            None => "commits that were never fetched".to_owned(),
        };
        refuse(
            format!("the checkout is outdated: {how_far} behind {remote}/{branch}"),
            back,
        );
    }
    if !checkout.hook {
        refuse(
            "the checkout has no commit-msg hook: a commit would get no Change-Id".to_owned(),
            "install Gerrit's hook in .git/hooks/commit-msg, executable".to_owned(),
        );
    }
    if !checkout.author {
        refuse(
            "git does not know who commits in the checkout".to_owned(),
            "git config user.name NAME, and user.email ADDRESS, as Gerrit knows them".to_owned(),
        );
    }
    refusals
}

/// The longest first line of a message.
const SUBJECT: usize = 72;

/// The message in the team's form: `Add azy.wikipedia to pageview allowlist`.
fn message(work: &Work<'_>, heading: &Heading) -> String {
    let mut came = Lines::default();
    let mut gone = Lines::default();
    for file in &work.files {
        let column = |line: &String| match file.target {
            Target::Allowlist => line.split('\t').nth(1).unwrap_or(line).to_owned(),
            Target::Sqoop => line.split(',').next().unwrap_or(line).to_owned(),
        };
        for hunk in file.edit.iter().flat_map(|edited| &edited.hunks) {
            came.of(file.target).extend(hunk.insert.iter().map(column));
            gone.of(file.target).extend(hunk.remove.iter().map(column));
        }
    }
    for lines in [&mut came, &mut gone] {
        crate::procedures::once(&mut lines.allowlist);
        crate::procedures::once(&mut lines.sqoop);
    }
    let mended = names(work, |file| file.mend.is_some());
    let subject = match (came.is_empty(), gone.is_empty()) {
        (true, true) => format!("Mend the {mended}"),
        (false, true) => format!("Add {}", came.said("to")),
        (true, false) => format!("Remove {}", gone.said("from")),
        (false, false) => format!("Update the {}", names(work, |file| file.edit.is_some())),
    };
    let mut parts = vec![subject];
    let rows = |verb: &str, lines: &Lines| {
        let all = lines.allowlist.iter().chain(&lines.sqoop);
        all.map(|one| format!("{verb} {one}")).collect::<Vec<_>>()
    };
    let rows = [rows("+", &came), rows("-", &gone)].concat();
    if rows.len() > 1 {
        parts.push(rows.join("\n"));
    }
    if !(mended.is_empty() || came.is_empty() && gone.is_empty()) {
        parts.push(format!("What was wrong in the {mended} is mended as well."));
    }
    parts.extend(heading.reason.clone());
    parts.extend(heading.task.as_ref().map(|task| format!("Bug: {task}")));
    parts.join("\n\n") + "\n"
}

/// What the files are called of which this holds.
fn names(work: &Work<'_>, holds: fn(&FileWork<'_>) -> bool) -> String {
    let which = work.files.iter().filter(|file| holds(file));
    let names: Vec<&str> = which.map(|file| called(file.target)).collect();
    names.join(" and ")
}

/// What the team's messages call the files.
fn called(target: Target) -> &'static str {
    match target {
        Target::Allowlist => "pageview allowlist",
        Target::Sqoop => "sqoop list",
    }
}

/// What comes into, or goes out of, the two files.
#[derive(Default)]
struct Lines {
    allowlist: Vec<String>,
    sqoop: Vec<String>,
}

impl Lines {
    fn of(&mut self, target: Target) -> &mut Vec<String> {
        match target {
            Target::Allowlist => &mut self.allowlist,
            Target::Sqoop => &mut self.sqoop,
        }
    }

    fn is_empty(&self) -> bool {
        self.allowlist.is_empty() && self.sqoop.is_empty()
    }

    /// Whether both are about the same wikis.
    fn agree(&self) -> bool {
        let project = |name: &String| Name::parse(name).map(|name| name.project(false));
        self.allowlist.len() == self.sqoop.len()
            && self.sqoop.iter().all(|name| {
                project(name).is_ok_and(|project| self.allowlist.contains(&project.into()))
            })
    }

    /// `azy.wikipedia to pageview allowlist and sqoop list`.
    fn said(&self, preposition: &str) -> String {
        let [one, other] = [Target::Allowlist, Target::Sqoop].map(called);
        let said = |named: fn(&[String]) -> String| {
            let part = |which: &[String], file: &str| {
                (!which.is_empty()).then(|| format!("{} {preposition} {file}", named(which)))
            };
            if self.agree() {
                return format!("{} {preposition} {one} and {other}", named(&self.allowlist));
            }
            let parts = [part(&self.allowlist, one), part(&self.sqoop, other)];
            parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
        };
        let all = said(|which| which.join(", "));
        if "Remove ".len() + all.len() <= SUBJECT {
            return all;
        }
        said(|which| match which {
            [one] => one.clone(),
            all => format!("{} wikis", all.len()),
        })
    }
}
