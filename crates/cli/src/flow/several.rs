//! Several subjects: one look, one table over all, then each by itself, one after another.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use opsweek_core::engine::render;
use opsweek_core::engine::{Cx, Failure, Gap};
use opsweek_core::procedures::Procedure;

use super::{Inventory, Run, Shell, judge, nothing_to_save};
use crate::args::Common;
use crate::config::Config;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::Output;
use crate::run::{Several, Tool};
use crate::watch::Watch;

/// A subject that could be looked at.
type Found<T> = (<T as Tool>::Procedure, Inventory<T>);

/// The procedures that the arguments ask for, if these are several. Who the subjects are may
/// be a look as well, so it ends when it is told to.
pub(super) async fn find<T: Tool>(
    shell: &Shell,
    args: &T::Args,
    config: &Config<T::Section>,
) -> Result<Option<Several<T>>, CliError> {
    let watch = Arc::new(Watch::looking(shell.terminal.clone()));
    let cx = Cx::new(watch.clone(), shell.cancel.clone());
    let found = tokio::select! {
        biased;
        () = shell.cancel.cancelled() => {
            let what = "cannot tell whom to look at";
            Err(CliError::failure(Exit::Incomplete, what, &Failure::interrupted()))
        }
        found = T::several(args, config, &cx) => found,
    };
    watch.clear();
    found
}

/// Looks at all of them, shows one table, and does for each what was asked for.
pub(super) async fn severally<T: Tool>(
    shell: &Shell,
    common: &Common,
    config: &Config<T::Section>,
    out: &mut Output,
    several: Several<T>,
) -> Result<Exit, CliError> {
    let Several {
        world,
        procedures,
        gaps,
    } = several;
    let changes = procedures.iter().any(Procedure::wants_change);
    let folder = common.save_plan.as_deref();
    if folder.is_some() && !changes && !procedures.is_empty() {
        return Err(nothing_to_save());
    }
    folder.map_or(Ok(()), prepare)?;
    let (found, mut exit) = look::<T>(shell, out, procedures, &world).await?;
    exit = exit.max(overview::<T>(out, &found, gaps)?);
    for (procedure, inventory) in found {
        let subject = procedure.subject().to_owned();
        let own = Common {
            save_plan: folder.map(|folder| file(folder, &subject)),
            ..common.clone()
        };
        let report = procedure.report(&inventory);
        let mut run = Run::<T> {
            shell,
            common: &own,
            config,
            out,
            procedure,
            world: &world,
            several: true,
        };
        if changes {
            run.tell_unfinished(None);
        }
        run.out.about(Some(&subject));
        let ended = run.known(&inventory, &report).await;
        exit = exit.max(match ended {
            Ok(exit) => exit,
            Err(error) => {
                let error = error.about(&subject);
                shell.fail(&error);
                out.put("error", &error)?;
                error.exit()
            }
        });
        out.about(None);
        if shell.cancel.is_cancelled() {
            shell.say("stopped: nothing was begun for whoever comes after");
            return Ok(exit.max(Exit::Incomplete));
        }
    }
    Ok(exit)
}

/// All that could be looked at, in order; those that could not are told.
async fn look<T: Tool>(
    shell: &Shell,
    out: &mut Output,
    procedures: Vec<T::Procedure>,
    world: &crate::run::World<T>,
) -> Result<(Vec<Found<T>>, Exit), CliError> {
    let watch = Arc::new(Watch::looking(shell.terminal.clone()));
    let cx = Cx::new(watch.clone(), shell.cancel.clone());
    let looks = tokio::select! {
        biased;
        () = shell.cancel.cancelled() => None,
        looks = T::Procedure::discover_all(&procedures, world, &cx) => Some(looks),
    };
    watch.clear();
    let Some(looks) = looks else {
        return Err(CliError::failure(
            Exit::Incomplete,
            "cannot look at all of them",
            &Failure::interrupted(),
        ));
    };
    let mut exit = Exit::Done;
    let mut found = Vec::new();
    for (procedure, look) in procedures.into_iter().zip(looks) {
        match look {
            Ok(inventory) => found.push((procedure, inventory)),
            Err(failure) => {
                let what = format!("cannot look at {}", procedure.subject());
                let error = CliError::failure(Exit::Incomplete, what, &failure);
                shell.fail(&error);
                out.about(Some(procedure.subject()));
                out.put("error", &error)?;
                out.about(None);
                exit = exit.max(error.exit());
            }
        }
    }
    Ok((found, exit))
}

/// One table over all; what could not be looked at is said once, whomever it concerns.
fn overview<T: Tool>(
    out: &mut Output,
    found: &[Found<T>],
    mut gaps: Vec<Gap>,
) -> Result<Exit, CliError> {
    let all: Vec<_> = found.iter().map(|(one, found)| (one, found)).collect();
    let mut document = T::Procedure::overview(&all);
    let mut exit = if gaps.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    };
    for (procedure, inventory) in found {
        let report = procedure.report(inventory);
        exit = exit.max(judge(&report));
        for gap in report.gaps {
            if !gaps.contains(&gap) {
                gaps.push(gap);
            }
        }
    }
    document.notes.extend(render::unseen(&gaps));
    out.show(&document);
    out.put("overview", &document)?;
    out.put("gaps", &gaps)?;
    Ok(exit)
}

/// The folder of the plans, its owner's only. One that is there is taken as it is.
fn prepare(folder: &Path) -> Result<(), CliError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| {
        CliError::new(Exit::Usage, format!("folder {}", folder.display()))
            .because(&source)
            .hint("with several subjects --save-plan names a folder: a plan each goes into it")
    })
}

fn file(folder: &Path, subject: &str) -> PathBuf {
    folder.join(format!("{subject}.json"))
}
