//! From a sound request to an exit code: look, plan, show, and either stop there or hand
//! over to [`apply`].

mod apply;
mod several;

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use opsweek_core::engine::render::{self, clean};
use opsweek_core::engine::{Act, Cx, Failure, Gap, Outcome, Outcomes, Plan, check, lint};
use opsweek_core::procedures::{Heading, Procedure, Refusal, Report, Unplanned};
use tokio_util::sync::CancellationToken;

use crate::args::Common;
use crate::config::Config;
use crate::console::{Env, Terminal};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::Output;
use crate::plan_file;
use crate::run::{Tool, World};
use crate::state::State;
use crate::watch::Watch;

/// What surrounds a run.
pub(crate) struct Shell {
    pub(crate) terminal: Arc<dyn Terminal>,
    pub(crate) env: Env,
    /// Cancelled by the first Ctrl-C.
    pub(crate) cancel: CancellationToken,
}

impl Shell {
    /// Tells an error.
    pub(crate) fn fail(&self, error: &CliError) {
        self.terminal.err(&error.to_string());
    }

    /// Tells anything else, one line.
    fn say(&self, line: &str) {
        self.terminal.err(&format!("{}\n", clean(line)));
    }
}

type Action<T> = <<T as Tool>::Procedure as Procedure>::Action;
type Inventory<T> = <<T as Tool>::Procedure as Procedure>::Inventory;

/// One run of a tool, once it is known what about.
struct Run<'a, T: Tool> {
    shell: &'a Shell,
    common: &'a Common,
    config: &'a Config<T::Section>,
    out: &'a mut Output,
    procedure: T::Procedure,
    world: &'a World<T>,
    /// Whether other subjects come before or after it.
    several: bool,
}

/// Does what was asked for and prints everything there is to say about it.
pub(crate) async fn flow<T: Tool>(
    shell: &Shell,
    common: &Common,
    request: Option<T::Args>,
) -> Exit {
    let mut out = Output::new(shell.terminal.clone(), common.format);
    let exit = match drive::<T>(shell, common, request, &mut out).await {
        Ok(exit) => exit,
        Err(error) => {
            shell.fail(&error);
            // Strings go into JSON always.
            let _ = out.put("error", &error);
            error.exit()
        }
    };
    let (exit, error) = out.finish(exit);
    if let Some(error) = error {
        shell.fail(&error);
    }
    exit
}

async fn drive<T: Tool>(
    shell: &Shell,
    common: &Common,
    request: Option<T::Args>,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let flag = common.config.as_deref();
    let without = T::unconfigured(request.as_ref());
    let config = Config::find(flag, &shell.env, T::NAME, without.as_deref())?;
    let (procedure, loaded) = match (&common.plan, request) {
        (Some(file), _) => {
            let approve = common.approve.as_deref();
            let tool = (T::NAME, T::VERSION);
            let (plan, hash) = plan_file::load(file, tool, shell.env.uid, approve)?;
            let procedure = T::resume(&plan, &config)?;
            // What was begun may be finished, however long ago: every step looks again.
            let state = State::new(&config.settings.state_dir, T::NAME, procedure.subject());
            let begun = state.has_begun(&hash);
            plan_file::bind(&plan, &procedure, Timestamp::now().as_second(), begun)?;
            (procedure, Some((plan, hash)))
        }
        (None, Some(args)) => {
            if let Some(several) = several::find::<T>(shell, &args, &config).await? {
                let all = several::severally(shell, common, &config, out, several);
                // A future within futures grows beyond what the compiler follows.
                return Box::pin(all).await;
            }
            (T::request(args, &config)?, None)
        }
        (None, None) => return Err(CliError::usage("nothing is asked for")),
    };
    if common.save_plan.is_some() && !procedure.wants_change() {
        return Err(nothing_to_save());
    }
    // Up to here nothing was contacted.
    let world = T::world(&procedure, &config).await?;
    let mut run = Run::<T> {
        shell,
        common,
        config: &config,
        out,
        procedure,
        world: &world,
        several: false,
    };
    match loaded {
        Some((plan, hash)) => run.loaded(&plan, &hash).await,
        None => run.fresh().await,
    }
}

impl<T: Tool> Run<'_, T> {
    /// A look, and a plan of what it found when a change was asked for.
    async fn fresh(&mut self) -> Result<Exit, CliError> {
        if self.procedure.wants_change() {
            self.tell_unfinished(None);
        }
        let inventory = self.look().await?;
        let mut report = self.report(&inventory);
        self.out.show(&report.document);
        if self.pick(&inventory)? {
            report = self.report(&inventory);
            self.out.show(&report.document);
        }
        Box::pin(self.known(&inventory, &report)).await
    }

    /// What follows a look.
    async fn known(&mut self, inventory: &Inventory<T>, report: &Report) -> Result<Exit, CliError> {
        self.out.put("report", report)?;
        self.out.put("inventory", inventory)?;
        let found = judge(report);
        if !self.procedure.wants_change() {
            return Ok(found);
        }
        let plan = match self.plan(inventory)? {
            Ok(plan) => plan,
            Err(refusals) => {
                return Ok(found.max(self.refuse(refusals)?));
            }
        };
        let faults = lint::lint(&plan);
        if !faults.is_empty() {
            let what = format!("the plan is unsound: {}", faults.join("; "));
            return Err(CliError::new(Exit::Failed, what)
                .hint("nothing was changed; this is a fault of the tool: report it"));
        }
        let hash = hash(&plan)?;
        self.out.put("plan", &plan)?;
        self.out.put("hash", &hash)?;
        if plan.steps.is_empty() {
            let subject = self.procedure.subject();
            self.shell.say(&if self.several {
                format!("{subject}: nothing to do")
            } else {
                "nothing to do".to_owned()
            });
            return Ok(found);
        }
        let saves = self.common.save_plan.is_some();
        let runs = !self.common.dry_run && !saves;
        if let Some(refusal) = self.procedure.unfit(&plan, saves).filter(|_| runs || saves) {
            self.out.show(&render::plan(&plan, None));
            self.out.put("refusals", &[&refusal])?;
            return Err(refusal.into());
        }
        if !runs {
            let exit = self.dry(&plan, &hash).await?;
            let seen = if report.gaps.is_empty() {
                Exit::Done
            } else {
                Exit::Incomplete
            };
            return Ok(exit.max(seen));
        }
        self.out.show(&render::plan(&plan, None));
        self.apply(&plan, &hash, false).await
    }

    /// Tells each of them.
    fn refuse(&mut self, refusals: Vec<Refusal>) -> Result<Exit, CliError> {
        self.out.put("refusals", &refusals)?;
        for refusal in refusals {
            let error = CliError::from(refusal);
            let subject = self.procedure.subject();
            self.shell.fail(&if self.several {
                error.about(subject)
            } else {
                error
            });
        }
        Ok(Exit::Refused)
    }

    /// A plan from a file, in the world that it was made for.
    async fn loaded(&mut self, plan: &Plan<Action<T>>, hash: &str) -> Result<Exit, CliError> {
        self.tell_unfinished(Some(hash));
        self.out.put("plan", plan)?;
        self.out.put("hash", &hash)?;
        self.same_world(plan).await?;
        let refusals = self.recheck(plan).await?;
        if !refusals.is_empty() {
            return self.refuse(refusals);
        }
        if self.common.dry_run {
            return self.dry(plan, hash).await;
        }
        if let Some(refusal) = self.procedure.unfit(plan, true) {
            return Err(refusal.into());
        }
        self.out.show(&render::plan(plan, None));
        self.apply(plan, hash, true).await
    }

    async fn look(&self) -> Result<Inventory<T>, CliError> {
        let watch = Arc::new(Watch::looking(self.shell.terminal.clone()));
        let cx = Cx::new(watch.clone(), self.shell.cancel.clone());
        // A look changes nothing: it can be dropped wherever it is.
        let found = tokio::select! {
            // First: a look that ended because it was told to is no whole one.
            biased;
            () = self.shell.cancel.cancelled() => Err(Failure::interrupted()),
            found = self.procedure.discover(self.world, &cx) => found,
        };
        watch.clear();
        found.map_err(|failure| {
            let what = format!("cannot look at {}", self.procedure.subject());
            CliError::failure(Exit::Incomplete, what, &failure)
        })
    }

    /// What a look found, with what it could not see.
    fn report(&self, inventory: &Inventory<T>) -> Report {
        let mut report = self.procedure.report(inventory);
        let lines = render::unseen(&report.gaps);
        report.document.notes.extend(lines);
        report
    }

    /// Plans, asking for every choice that is missing. The inner error: all that forbids it.
    fn plan(
        &mut self,
        inventory: &Inventory<T>,
    ) -> Result<Result<Plan<Action<T>>, Vec<Refusal>>, CliError> {
        let heading = Heading {
            version: T::VERSION.to_owned(),
            now: Timestamp::now().as_second(),
            task: self.common.task.clone(),
            reason: self.common.reason.clone(),
        };
        let mut asked = Vec::new();
        loop {
            let (flag, question, default) = match self.procedure.plan(inventory, &heading) {
                Ok(plan) => return Ok(Ok(plan)),
                Err(Unplanned::Refused(refusals)) => return Ok(Err(refusals)),
                Err(Unplanned::Drifted(drifts)) => return Err(drifted(&drifts)),
                Err(Unplanned::Incomplete(gaps)) => return Err(unseen(&gaps, "plan")),
                Err(Unplanned::Needs {
                    flag,
                    question,
                    default,
                }) => (flag, question, default),
            };
            if asked.contains(&flag) {
                let what = format!("{flag} was given and is asked for again");
                return Err(CliError::new(Exit::Failed, what)
                    .hint("nothing was changed; this is a fault of the tool: report it"));
            }
            asked.push(flag);
            let answer = self.choice(flag, &question, default)?;
            self.procedure.answer(flag, answer)?;
        }
    }

    /// Lets somebody at a terminal, who has seen the report, add to what was asked for.
    fn pick(&mut self, inventory: &Inventory<T>) -> Result<bool, CliError> {
        let terminal = &self.shell.terminal;
        let asks = self.procedure.wants_change()
            && !self.common.yes
            && self.out.is_for_people()
            && terminal.can_ask();
        let Some(offer) = self.procedure.offer(inventory).filter(|_| asks) else {
            return Ok(false);
        };
        let (values, shown): (Vec<String>, Vec<String>) = offer.choices.into_iter().unzip();
        let picked = terminal.pick(&offer.question, &shown).map_err(|source| {
            let what = format!("unanswered: {}", offer.question);
            CliError::new(Exit::Declined, what).because(&source)
        })?;
        let picked: Vec<String> = picked
            .into_iter()
            .filter_map(|index| values.get(index).cloned())
            .collect();
        let any = !picked.is_empty();
        self.procedure.pick(picked)?;
        Ok(any)
    }

    fn choice(&self, flag: &str, question: &str, default: String) -> Result<String, CliError> {
        if self.common.yes && !default.is_empty() {
            self.shell.say(&format!("{question} {default} (by --yes)"));
            return Ok(default);
        }
        let open = CliError::new(Exit::Declined, format!("unanswered: {question}"))
            .hint(format!("give {flag}"));
        if !self.shell.terminal.can_ask() {
            return Err(open);
        }
        let answer = self.shell.terminal.ask(question, &default);
        answer.map_err(|source| open.because(&source))
    }

    /// What would be done; writes the plan to its file when one was named.
    async fn dry(&mut self, plan: &Plan<Action<T>>, hash: &str) -> Result<Exit, CliError> {
        let watch = Arc::new(Watch::looking(self.shell.terminal.clone()));
        let cx = Cx::new(watch.clone(), self.shell.cancel.clone());
        let outcomes = check(plan, self.world, &cx).await;
        watch.clear();
        self.out.show(&render::plan(plan, Some(&outcomes)));
        self.out.put("outcomes", &outcomes)?;
        if self.shell.cancel.is_cancelled() {
            return Err(CliError::new(
                Exit::Incomplete,
                "stopped before all was checked",
            ));
        }
        if let Some(file) = &self.common.save_plan {
            plan_file::save(file, plan, hash)?;
            let file = shown(file);
            let line = format!(
                "saved {file} ({hash}); run it: {} --plan {file} --yes",
                T::NAME
            );
            self.shell.say(&line);
        }
        Ok(checked(&outcomes).max(covered(plan)))
    }

    /// Whether the systems are those that the plan was made for. A host that does not
    /// answer fails its own lane later; a system without a lane is needed now.
    async fn same_world(&self, plan: &Plan<Action<T>>) -> Result<(), CliError> {
        let (now, gaps) = tokio::select! {
            biased;
            () = self.shell.cancel.cancelled() => return Err(not_begun()),
            now = self.procedure.identities(self.world, plan) => now,
        };
        for (name, was) in &plan.world {
            let is = match now.get(name) {
                Some(is) if is == was => continue,
                None if gaps.iter().any(|gap| gap.place == *name) => continue,
                Some(is) => is,
                None => "not there",
            };
            let what = format!("{name} is not the one that the plan was made for: {is}, not {was}");
            return Err(CliError::new(Exit::Drifted, what)
                .hint("check the configuration; plan again for this one"));
        }
        match gaps.iter().find(|gap| gap.lane.is_none()) {
            Some(gap) => {
                let what = format!("{} cannot be reached: {}", gap.place, gap.why);
                Err(CliError::new(Exit::Incomplete, what)
                    .hint("nothing was changed; run the same plan when it is back"))
            }
            None => Ok(()),
        }
    }

    /// What forbids the plan by now.
    async fn recheck(&self, plan: &Plan<Action<T>>) -> Result<Vec<Refusal>, CliError> {
        let watch = Arc::new(Watch::looking(self.shell.terminal.clone()));
        let cx = Cx::new(watch.clone(), self.shell.cancel.clone());
        let found = tokio::select! {
            biased;
            () = self.shell.cancel.cancelled() => Err(not_begun()),
            found = self.procedure.recheck(plan, self.world, &cx) => {
                found.map_err(|gaps| unseen(&gaps, "go on"))
            }
        };
        watch.clear();
        found
    }

    fn state(&self) -> State {
        let dir = &self.config.settings.state_dir;
        State::new(dir, T::NAME, self.procedure.subject())
    }

    /// Says so when the last run about this subject did not do all, unless `going_on` is
    /// the hash of its plan.
    fn tell_unfinished(&self, going_on: Option<&str>) {
        let state = self.state();
        let run = match state.unfinished() {
            Ok(Some(run)) if going_on != Some(&run.header.plan) => run,
            Ok(_) => return,
            Err(error) => return self.shell.fail(&error),
        };
        let plan = state.plan(&run.header.plan);
        if plan.exists() {
            let what = format!("{} {}", T::NAME, run.header.subject);
            let line = format!(
                "hint: an unfinished run of {what} ({}, {}): continue with {} --plan {} --yes",
                run.header.by,
                run.at,
                T::NAME,
                shown(&plan),
            );
            self.shell.say(&line);
        }
    }
}

/// The path as an operator can paste it.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn hash<A: Act>(plan: &Plan<A>) -> Result<String, CliError> {
    plan.hash()
        .map_err(|source| CliError::new(Exit::Failed, "the plan cannot be hashed").because(&source))
}

fn nothing_to_save() -> CliError {
    CliError::usage("no change is asked for: there is no plan to save")
        .hint("--help names what can be asked for")
}

/// What a check means.
fn checked(outcomes: &Outcomes) -> Exit {
    let mut exit = Exit::Done;
    if outcomes.any(|one| matches!(one, Outcome::Failed { .. })) {
        exit = Exit::Failed;
    }
    if outcomes.any(Outcome::is_pending) {
        exit = exit.max(Exit::Pending);
    }
    if outcomes.any(|one| matches!(one, Outcome::Drifted(_))) {
        exit = exit.max(Exit::Drifted);
    }
    exit
}

/// What a run means.
fn ran(outcomes: &Outcomes) -> Exit {
    if outcomes.all_done() {
        return Exit::Done;
    }
    let mut exit = checked(outcomes);
    let stopped = |one: &Outcome| matches!(one, Outcome::Interrupted);
    // Steps that were skipped with nothing failed before them: stopped by Ctrl-C.
    if exit == Exit::Done || outcomes.any(Outcome::is_done) || outcomes.any(stopped) {
        exit = exit.max(Exit::Partly);
    }
    exit
}

/// What a look alone means for the exit code.
fn judge(report: &Report) -> Exit {
    if !report.gaps.is_empty() {
        Exit::Incomplete
    } else if report.leftovers {
        Exit::Pending
    } else {
        Exit::Done
    }
}

/// What a plan means for the exit code that leaves out what could not, or must not, be looked at.
fn covered<A>(plan: &Plan<A>) -> Exit {
    if plan.coverage.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    }
}

/// The world is not what was thought.
fn drifted(drifts: &[Refusal]) -> CliError {
    let what: Vec<&str> = drifts.iter().map(|drift| drift.what.as_str()).collect();
    let error = CliError::new(Exit::Drifted, what.join("; "));
    drifts
        .iter()
        .fold(error, |error, drift| error.hint(drift.hint.clone()))
}

/// It was told to stop in time.
fn not_begun() -> CliError {
    CliError::new(Exit::Incomplete, "stopped before anything was begun")
}

/// Too little was seen to do this.
fn unseen(gaps: &[Gap], what: &str) -> CliError {
    let places = gaps
        .iter()
        .map(|gap| format!("{} ({})", gap.place, gap.why));
    let places: Vec<String> = places.collect();
    let what = format!("cannot {what} without a look at {}", places.join(", "));
    CliError::new(Exit::Incomplete, what).hint("nothing was changed; run again when it can be seen")
}
