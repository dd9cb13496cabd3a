//! What a tool says about itself, and its life from arguments to exit code.

use std::ffi::OsString;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use opsweek_core::engine::render::clean;
use opsweek_core::engine::{Act, Cx, Gap, Plan};
use opsweek_core::procedures::Procedure;
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::{self, Asked};
use crate::config::Config;
use crate::console::{Console, Env};
use crate::error::CliError;
use crate::exit::Exit;
use crate::flow::{Shell, flow};

/// The clients of the systems that the tool `T` works on.
pub type World<T> = <<<T as Tool>::Procedure as Procedure>::Action as Act>::World;

/// Several procedures, each about a subject of its own, in one world.
pub struct Several<T: Tool> {
    /// The clients.
    pub world: World<T>,
    /// The procedures, in the order in which they are to be done.
    pub procedures: Vec<T::Procedure>,
    /// What could not be looked at when the subjects were searched for.
    pub gaps: Vec<Gap>,
}

/// The configuration of the tool `T`.
pub type ConfigOf<T> = Config<<T as Tool>::Section>;

/// A tool: its name, its arguments, and how they become a procedure in a world.
pub trait Tool: 'static {
    /// The program's name, which is its section in the configuration as well.
    const NAME: &'static str;
    /// The program's version: a plan of another one is refused.
    const VERSION: &'static str;
    /// The program in one line, for `--help`.
    const ABOUT: &'static str;

    /// Its own arguments. Required ones are not required beside `--plan`, and no one of
    /// them can be given beside it. `plan`, `yes` and the other names of
    /// [`Common`](crate::Common) are taken.
    type Args: clap::Args;
    /// Its own section of the configuration. Give it `#[serde(deny_unknown_fields, default)]`.
    type Section: DeserializeOwned + Default;
    /// What it does.
    type Procedure: Procedure;

    /// Where, in the caller's folder of states, journals and plans are kept by a run that
    /// needs no configuration when there is none. `None`: it needs one. `args` are none where
    /// a plan file is to be run.
    fn unconfigured(_args: Option<&Self::Args>) -> Option<PathBuf>
    where
        Self: Sized,
    {
        None
    }

    /// Finds the request sound, or says why not: [`Exit::Usage`], or [`Exit::Refused`] by
    /// a safety rule. Contacts nothing.
    fn request(args: Self::Args, config: &ConfigOf<Self>) -> Result<Self::Procedure, CliError>
    where
        Self: Sized;

    /// The procedures that the arguments ask for, where these are several: instead of
    /// [`Tool::request`]. Finds each sound, or says why not; may read in the world who the
    /// subjects are.
    fn several(
        _args: &Self::Args,
        _config: &ConfigOf<Self>,
        _cx: &Cx,
    ) -> impl Future<Output = Result<Option<Several<Self>>, CliError>>
    where
        Self: Sized,
    {
        std::future::ready(Ok(None))
    }

    /// The procedure that a plan from a file belongs to: for the second look, the lock and
    /// the identities. The plan is not yet known to be sound. Contacts nothing.
    fn resume(
        plan: &Plan<<Self::Procedure as Procedure>::Action>,
        config: &ConfigOf<Self>,
    ) -> Result<Self::Procedure, CliError>
    where
        Self: Sized;

    /// Makes the clients. Systems that don't answer are for the look to find.
    fn world(
        procedure: &Self::Procedure,
        config: &ConfigOf<Self>,
    ) -> impl Future<Output = Result<World<Self>, CliError>>
    where
        Self: Sized;
}

/// The whole of a tool's `main`.
pub fn run<T: Tool>() -> ExitCode {
    let console = Arc::new(Console::new());
    let shell = Shell {
        terminal: console.clone(),
        env: Env::read(),
        cancel: CancellationToken::new(),
    };
    // The flow waits for most of its time; what computes runs on threads of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(source) => {
            let error = CliError::new(Exit::Failed, "cannot start").because(&source);
            shell.fail(&error);
            return error.exit().into();
        }
    };
    let exit = runtime.block_on(async {
        tokio::spawn(stop(console, shell.cancel.clone()));
        start::<T>(&shell, std::env::args_os()).await
    });
    // A look that was given up may still have blocking calls under way.
    runtime.shutdown_background();
    exit.into()
}

/// Takes the arguments, the program's name first, and does what they ask for.
pub(crate) async fn start<T: Tool>(
    shell: &Shell,
    args: impl IntoIterator<Item = OsString>,
) -> Exit {
    match args::parse::<T>(args) {
        Ok(Asked::Run { common, request }) => flow::<T>(shell, &common, request).await,
        Ok(Asked::Text(text)) => {
            // A reader that left early has what it wanted.
            let _ = shell.terminal.out(&text);
            Exit::Done
        }
        Err(error) => {
            let text = error.render().to_string();
            if error.use_stderr() {
                // It quotes the arguments.
                let lines: Vec<String> = text.lines().map(clean).collect();
                shell.terminal.err(&(lines.join("\n") + "\n"));
                Exit::Usage
            } else {
                let _ = shell.terminal.out(text.as_bytes());
                Exit::Done
            }
        }
    }
}

/// The first Ctrl-C, or a timer's end of patience, stops at the next safe point; a second
/// one at once.
async fn stop(console: Arc<Console>, cancel: CancellationToken) {
    use crate::console::Terminal;

    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    // Without handlers both signals end the process, which a plan survives.
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        return;
    };
    let mut next = async || {
        tokio::select! {
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
        }
    };
    next().await;
    cancel.cancel();
    console.err("stopping at the next safe point; once more aborts at once\n");
    let last = next().await;
    console.restore();
    // What shells give for a death by that signal.
    #[expect(
        clippy::exit,
        reason = "the second Ctrl-C must not wait for anything that is still running"
    )]
    std::process::exit(128 + last.as_raw_value());
}
