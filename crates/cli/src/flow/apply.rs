//! Asking, and what follows a yes: lock, journal, run, unlock, a second look, the record.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use opsweek_core::engine::journal::{self, Header};
use opsweek_core::engine::render::{self, Document, clean};
use opsweek_core::engine::{
    Approved, Ask, Cx, Declined, Journal, Outcome, Outcomes, Plan, Question, apply,
};
use opsweek_core::procedures::Procedure;

use super::{Action, Run, Shell, covered, judge, ran};
use crate::error::CliError;
use crate::exit::Exit;
use crate::plan_file;
use crate::run::Tool;
use crate::watch::Watch;

/// How long the configured log command may take.
const LOG_DEADLINE: Duration = Duration::from_secs(30);

/// A person at the terminal, or what was decided before.
struct Asker<'a> {
    shell: &'a Shell,
    yes: bool,
    /// The plan comes from a file that is trusted.
    reviewed: bool,
    /// What to show first, when the plan is not on standard output for people to read.
    unseen: Option<String>,
}

impl Ask for Asker<'_> {
    fn ask(&self, question: &Question<'_>) -> Result<(), Declined> {
        if self.yes && (self.reviewed || !question.irreversible) {
            return Ok(());
        }
        let terminal = &self.shell.terminal;
        if !terminal.can_ask() {
            return Err(Declined::Nobody);
        }
        if let Some(plan) = &self.unseen {
            terminal.err(plan);
        }
        let undone = if question.irreversible {
            " Some steps CANNOT be undone."
        } else {
            ""
        };
        let prompt = format!(
            "{}.{undone} Type {} to go on",
            question.title, question.subject
        );
        match terminal.ask(&prompt, "") {
            Ok(answer) if answer == question.subject => Ok(()),
            // Ctrl-C at the prompt is a no as well.
            _ => Err(Declined::No),
        }
    }
}

impl<T: Tool> Run<'_, T> {
    /// Asks, and does it. `reviewed`: the plan comes from a file.
    pub(super) async fn apply(
        &mut self,
        plan: &Plan<Action<T>>,
        hash: &str,
        reviewed: bool,
    ) -> Result<Exit, CliError> {
        let asker = Asker {
            shell: self.shell,
            yes: self.common.yes,
            reviewed,
            unseen: (!self.out.is_for_people()).then(|| render::plan(plan, None).text(None)),
        };
        let approved = Approved::ask(plan, &asker).map_err(|declined| {
            let error = CliError::new(Exit::Declined, declined.to_string());
            match declined {
                Declined::Nobody if plan.is_irreversible() && !reviewed => error.hint(
                    "some steps cannot be undone: review the plan (--save-plan FILE), then run it \
                     (--plan FILE --yes)",
                ),
                Declined::Nobody => error.hint("--yes answers"),
                _ => error,
            }
        })?;
        let state = self.state();
        state.prepare()?;
        let kept = state.plan(hash);
        plan_file::save(&kept, plan, hash)?;

        // The lock in the world outlives a killed run, and the same plan of the same holder
        // takes it over; this one does not, and tells that such a run is really dead.
        let _alone = state.alone()?;
        let holder = &self.shell.env.by;
        let locked = self.procedure.lock(self.world, holder, hash).await;
        locked.map_err(|failure| {
            let exit = if failure.is_drift() {
                Exit::Drifted
            } else {
                Exit::Failed
            };
            CliError::failure(exit, format!("cannot lock {}", plan.subject), &failure)
        })?;
        let result = self.locked(&approved, hash).await;
        let unlocked = self.procedure.unlock(self.world, holder, hash).await;

        let mut drifted = false;
        let mut goes_on = true;
        let run = match result {
            Ok(outcomes) => {
                self.out.show(&told(plan, &outcomes));
                self.out.put("outcomes", &outcomes)?;
                drifted = outcomes.any(|one| matches!(one, Outcome::Drifted(_)));
                let broken =
                    |one: &Outcome| matches!(one, Outcome::Failed { .. } | Outcome::Interrupted);
                goes_on = !drifted || outcomes.any(broken);
                ran(&outcomes)
            }
            Err(error) => {
                self.shell.fail(&error);
                error.exit()
            }
        };
        let mut exit = run.max(self.second_look(run).await).max(covered(plan));
        if let Err(failure) = unlocked {
            let what = format!("cannot give the lock on {} back", plan.subject);
            let error = CliError::failure(Exit::Failed, what, &failure);
            self.shell.fail(&error);
            exit = exit.max(error.exit());
        }
        if drifted {
            let line = "hint: what drifted is not what was planned on: look at it, then plan again";
            self.shell.say(line);
        }
        if goes_on && matches!(run, Exit::Failed | Exit::Partly) {
            let line = format!(
                "hint: go on with {} --plan {} --yes",
                T::NAME,
                kept.display()
            );
            self.shell.say(&line);
        }
        self.log(plan, exit).await;
        Ok(exit)
    }

    /// The run itself, under the lock, and its journal.
    async fn locked(
        &self,
        approved: &Approved<'_, Action<T>>,
        hash: &str,
    ) -> Result<Outcomes, CliError> {
        let plan = approved.plan();
        let path = self.state().journal(Timestamp::now());
        let header = Header {
            format: journal::FORMAT,
            tool: format!("{} {}", T::NAME, T::VERSION),
            subject: plan.subject.clone(),
            plan: hash.to_owned(),
            by: self.shell.env.by.clone(),
            task: plan.task.clone(),
            reason: plan.reason.clone(),
        };
        let journal = Journal::create(&path, header).map_err(|source| {
            CliError::new(Exit::Failed, "nothing was begun: it could not be recorded")
                .because(&source)
        })?;
        let crash = self.shell.env.crash.clone();
        let watch = Arc::new(Watch::running(self.shell.terminal.clone(), crash));
        let cx = Cx::new(watch.clone(), self.shell.cancel.clone());
        let outcomes = apply(approved, self.world, &journal, &cx).await;
        watch.clear();
        let outcomes = outcomes.and_then(|outcomes| {
            // Whether the plan is done, not what the second look finds beside it.
            journal.ended(ran(&outcomes).code())?;
            Ok(outcomes)
        });
        outcomes.map_err(|source| {
            CliError::new(Exit::Partly, "stopped: it could no longer be recorded")
                .because(&source)
                .hint("what is done is done; make room, then run the same plan again")
        })
    }

    /// Proves that nothing is left, or says what. After a run that did not do all, what is
    /// left is no news to the exit code.
    async fn second_look(&mut self, ran: Exit) -> Exit {
        if self.shell.cancel.is_cancelled() {
            self.shell.say("stopped: no second look was taken");
            return Exit::Done;
        }
        let inventory = match self.look().await {
            Ok(inventory) => inventory,
            Err(error) => {
                self.shell.fail(&error);
                return error.exit();
            }
        };
        let report = self.report(&inventory);
        self.out.show(&Document {
            title: format!("What is left: {}", report.document.title),
            ..report.document.clone()
        });
        if let Err(error) = self.out.put("left", &report) {
            self.shell.fail(&error);
        }
        match judge(&report) {
            Exit::Pending if ran != Exit::Done => Exit::Done,
            found => found,
        }
    }

    /// The line for the server admin log.
    async fn log(&self, plan: &Plan<Action<T>>, exit: Exit) {
        let reason = plan
            .reason
            .as_ref()
            .map_or_else(String::new, |r| format!(": {r}"));
        let task = plan
            .task
            .as_ref()
            .map_or_else(String::new, |t| format!(" ({t})"));
        let line = clean(&format!(
            "!log {} {} {}: {}{reason}{task} [exit {exit}]",
            self.shell.env.by,
            T::NAME,
            plan.subject,
            plan.title,
        ));
        self.shell.say(&line);
        let Some([program, args @ ..]) = self.config.settings.log_command.as_deref() else {
            return;
        };
        let child = tokio::process::Command::new(program)
            .args(args)
            .arg(&line)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .status();
        let failed = |why: &str| {
            let what = format!("log command {program}: {why}");
            CliError::new(Exit::Failed, what).hint("give the !log line by hand")
        };
        let error = match tokio::time::timeout(LOG_DEADLINE, child).await {
            Ok(Ok(status)) if status.success() => return,
            Ok(Ok(status)) => failed(&status.to_string()),
            Ok(Err(source)) => failed("cannot be run").because(&source),
            Err(_) => failed("gave no end in time"),
        };
        // The run is what it was, whether or not somebody reads of it.
        self.shell.fail(&error);
    }
}

/// How every step ended, and every way out that is known, once.
fn told<A: opsweek_core::engine::Act>(plan: &Plan<A>, outcomes: &Outcomes) -> Document {
    let mut notes: Vec<String> = Vec::new();
    for one in &outcomes.0 {
        if let Outcome::Failed {
            hint: Some(hint), ..
        } = &one.outcome
        {
            let note = format!("hint: {hint}");
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    Document {
        title: format!("Outcome: {}", plan.title),
        notes,
        ..render::plan(plan, Some(outcomes))
    }
}
