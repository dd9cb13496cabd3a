//! A new wiki: its row in the pageview allowlist, and its row in the list of wikis that
//! sqoop copies. Source of the procedure: the platform's "Ops week" page, "Have new wikis
//! been created?".
//!
//! - [`names`], [`lists`]: which wiki is meant, and whether it may be let in;
//! - [`allowlist`], [`grouped`]: the two files, where a row belongs, what is wrong in them;
//! - [`edit`]: edits that leave every other byte alone, and the diff that shows so.

pub mod allowlist;
mod discover;
pub mod edit;
pub mod grouped;
pub mod inventory;
pub mod lint;
pub mod lists;
mod live;
mod lock;
mod look;
pub mod names;
mod plan;
pub mod policy;
mod report;
#[cfg(test)]
mod tests;
mod values;
mod work;

use std::path::PathBuf;

use jiff::civil::Date;

use super::{Heading, Identities, Offer, Procedure, Refusal, Report, Unplanned};
use crate::actions::{Action, World};
use crate::engine::{Cx, Failure, Plan};
use crate::services::sql::Secret;
use inventory::Inventory;
use names::{Name, Project};
use policy::Policy;

/// Where the allowlist is in the refinery.
pub const ALLOWLIST: &str = "static_data/pageview/allowlist/allowlist.tsv";
/// Where the sqoop list is in the refinery.
pub const GROUPED: &str = "static_data/mediawiki/grouped_wikis/grouped_wikis.csv";

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The pageview allowlist.
    Allowlist,
    /// The sqoop list.
    Sqoop,
}

impl Target {
    /// Where it is in the refinery.
    fn path(self) -> &'static str {
        match self {
            Self::Allowlist => ALLOWLIST,
            Self::Sqoop => GROUPED,
        }
    }
}

/// What becomes of the edited files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum After {
    /// They stay as they are, for somebody to commit.
    #[default]
    Leave,
    /// They are committed on a branch of their own.
    Commit,
    /// The commit is pushed for review as well.
    Push,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Request {
    /// The checkout of the refinery.
    pub refinery: PathBuf,
    /// Wikis to let in, in this order.
    pub names: Vec<Name>,
    /// The only file that [`Request::names`] and [`Request::drop`] are about.
    pub only: Option<Target>,
    /// Allowlist values to add, in this order.
    pub projects: Vec<Project>,
    /// Wikis to take out.
    pub drop: Vec<Name>,
    /// Allowlist values to take out: anything that may stand there.
    pub drop_projects: Vec<String>,
    /// The date of new allowlist rows; today where there is none.
    pub date: Option<Date>,
    /// Mend what is wrong in the files, where there is one way to.
    pub fix_lint: bool,
    /// Compare lists, files and replicas instead of changing anything.
    pub audit: bool,
    /// Nothing but the files is looked at or changed.
    pub offline: bool,
    /// What becomes of the files.
    pub after: After,
    /// Bring the allowlist to HDFS.
    pub sync_hdfs: bool,
    /// The first day of unexpected values to look at.
    pub since: Option<Date>,
}

impl Request {
    /// Whether the request is about this file.
    pub fn wants(&self, target: Target) -> bool {
        let all = self.audit || self.fix_lint || !self.names.is_empty() || !self.drop.is_empty();
        let this = self.only.is_none_or(|only| only == target);
        let direct = target == Target::Allowlist
            && (self.sync_hdfs || !self.projects.is_empty() || !self.drop_projects.is_empty());
        (all && this) || direct
    }

    /// Whether rows are to come or to go, or to be mended.
    pub fn edits(&self) -> bool {
        let rows = self.names.len() + self.projects.len() + self.drop.len();
        self.fix_lint || rows + self.drop_projects.len() > 0
    }

    /// The absolute path of a file in the refinery.
    pub fn path(&self, target: Target) -> PathBuf {
        self.refinery.join(target.path())
    }
}

/// The passwords of the accounts that ask the replicas.
#[derive(Clone, Debug, Default)]
pub struct Passwords {
    /// Of the one that analytics reads.
    pub production: Option<Secret>,
    /// Of the redacted one.
    pub cloud: Option<Secret>,
}

/// The procedure for some wikis.
pub struct Newwiki {
    request: Request,
    policy: Policy,
    passwords: Passwords,
    subject: String,
}

impl Newwiki {
    /// Takes a request that the policy allows, before anything is contacted.
    /// `request.refinery` is absolute.
    pub fn new(mut request: Request, policy: Policy) -> Result<Self, Refusal> {
        super::once(&mut request.names);
        super::once(&mut request.projects);
        super::once(&mut request.drop);
        super::once(&mut request.drop_projects);
        let refuse = |what: String, hint: &str| Err(Refusal::new(what, hint));
        if let Some(fault) = policy.faults().into_iter().next() {
            return refuse(
                format!("the configuration's section [newwiki]: {fault}"),
                "correct the configuration",
            );
        }
        let odd = |text: &&String| {
            text.is_empty() || text.len() > 255 || text.chars().any(char::is_control)
        };
        if let Some(value) = request.drop_projects.iter().find(odd) {
            let shown: String = value.chars().take(64).collect();
            return refuse(
                format!("{shown:?} cannot be a value of the allowlist"),
                "give the value as it stands in its row, without tabs",
            );
        }
        if let Some(name) = request
            .names
            .iter()
            .find(|name| request.drop.contains(name))
        {
            return refuse(
                format!("{name} is both to be let in and to be dropped"),
                "do one after the other",
            );
        }
        Ok(Self {
            subject: subject(&request),
            request,
            policy,
            passwords: Passwords::default(),
        })
    }

    /// The procedure that goes on with a plan: for its identities, its lock, and the second
    /// look, which asks whether the rows are as the plan wants them. `None`: the plan does
    /// not say of which checkout it is.
    pub fn resume(plan: &Plan<Action>, policy: Policy) -> Option<Self> {
        Some(Self {
            request: plan::request_of(plan)?,
            policy,
            passwords: Passwords::default(),
            subject: plan.subject.clone(),
        })
    }

    /// The files that may be edited, as absolute paths.
    pub fn files(&self) -> Vec<String> {
        [Target::Allowlist, Target::Sqoop]
            .map(|target| self.request.path(target).display().to_string())
            .into()
    }

    /// The same with passwords.
    #[must_use]
    pub fn with_passwords(self, passwords: Passwords) -> Self {
        Self { passwords, ..self }
    }

    /// What was asked for, or what a plan asks for.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Whether nothing but the files is looked at or changed.
    pub fn is_offline(&self) -> bool {
        self.request.offline
    }
}

/// What the plan is about, in one line that a person can type: the first of what was asked
/// for, and how many more there are.
fn subject(request: &Request) -> String {
    let names = request.names.iter().map(Name::as_str);
    let all: Vec<&str> = names
        .chain(request.projects.iter().map(Project::as_str))
        .chain(request.drop.iter().map(Name::as_str))
        .chain(request.drop_projects.iter().map(String::as_str))
        .collect();
    match all.as_slice() {
        [] if request.audit => "audit".to_owned(),
        [] => "refinery".to_owned(),
        [one] => (*one).to_owned(),
        [first, rest @ ..] => format!("{first}+{}", rest.len()),
    }
}

impl Procedure for Newwiki {
    type Action = Action;
    type Inventory = Inventory;

    fn tool(&self) -> &'static str {
        "newwiki"
    }

    fn subject(&self) -> &str {
        &self.subject
    }

    fn wants_change(&self) -> bool {
        let request = &self.request;
        !request.audit && (request.edits() || request.sync_hdfs)
    }

    fn safety(&self) -> String {
        self.policy.digest()
    }

    fn max_age(&self) -> i64 {
        i64::from(self.policy.plan_max_age_hours) * 3600
    }

    fn answer(&mut self, flag: &'static str, _: String) -> Result<(), Refusal> {
        Err(Refusal {
            what: format!("{flag} was not asked for"),
            hint: "this is a fault of the tool: report it".to_owned(),
        })
    }

    fn offer(&self, inventory: &Inventory) -> Option<Offer> {
        let work = work::work(&self.request, inventory);
        values::offer(&self.request, &work, inventory)
    }

    fn pick(&mut self, picked: Vec<String>) -> Result<(), Refusal> {
        for value in picked {
            self.request.projects.push(Project::asked(&value)?);
        }
        self.subject = subject(&self.request);
        Ok(())
    }

    async fn discover(&self, world: &World, cx: &Cx) -> Result<Inventory, Failure> {
        let look = discover::Look {
            request: &self.request,
            policy: &self.policy,
            subject: &self.subject,
            passwords: &self.passwords,
            world,
            cx,
        };
        look.discover().await
    }

    fn report(&self, inventory: &Inventory) -> Report {
        report::report(&self.request, &self.policy, inventory)
    }

    fn plan(&self, inventory: &Inventory, heading: &Heading) -> Result<Plan<Action>, Unplanned> {
        plan::plan(
            &self.request,
            &self.policy,
            &self.subject,
            inventory,
            heading,
        )
    }

    async fn identities(&self, world: &World, plan: &Plan<Action>) -> Identities {
        discover::identities(&self.request, &self.policy, &self.passwords, world, plan).await
    }

    async fn lock(&self, world: &World, holder: &str, plan: &str) -> Result<(), Failure> {
        lock::lock(&self.request, &self.policy, world, holder, plan).await
    }

    async fn unlock(&self, world: &World, holder: &str, plan: &str) -> Result<(), Failure> {
        lock::unlock(&self.request, &self.policy, world, holder, plan).await
    }
}
