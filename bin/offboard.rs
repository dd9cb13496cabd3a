//! `offboard`: finds what a user who left has lying about on the platform,
//! archives it, puts it back, and deletes it.

#[path = "offboard/args.rs"]
mod args;
#[path = "offboard/batches.rs"]
mod batches;
#[path = "offboard/leavers.rs"]
mod leavers;

use std::process::ExitCode;

use opsweek_cli::{CliError, Config, Exit, Several, Tool, World};
use opsweek_core::actions::Action;
use opsweek_core::actions::guard::UserName;
use opsweek_core::engine::{Cx, Plan};
use opsweek_core::procedures::offboard::policy::Policy;
use opsweek_core::procedures::offboard::{Offboard, Request, scan};

use args::Args;

struct Offboarding;

impl Tool for Offboarding {
    const NAME: &'static str = "offboard";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "Finds what a user who left has lying about on the platform, archives, restores or deletes it";
    type Args = Args;
    type Section = Policy;
    type Procedure = Offboard;

    fn request(args: Args, config: &Config<Policy>) -> Result<Offboard, CliError> {
        match &args.user {
            Some(user) => procedure(args.request(user.clone()), config),
            None => Err(CliError::usage("no user is named")),
        }
    }

    async fn several(
        args: &Args,
        config: &Config<Policy>,
        cx: &Cx,
    ) -> Result<Option<Several<Self>>, CliError> {
        let all = |users: Vec<UserName>| -> Result<Vec<Offboard>, CliError> {
            let users = users.into_iter();
            users
                .map(|user| procedure(args.request(user), config))
                .collect()
        };
        let world = || -> Result<_, CliError> {
            let world = config.world(config.tool.guard())?;
            Ok(args.scope().within(args.intent(), world)?)
        };
        if let Some(file) = &args.from_file {
            return Ok(Some(Several {
                procedures: all(leavers::read(file)?)?,
                world: world()?,
                gaps: Vec::new(),
            }));
        }
        if !args.scan {
            return Ok(None);
        }
        let world = world()?;
        let admins = config.admins();
        let found = scan::scan(&config.tool, admins.as_ref(), &world, cx).await;
        let (users, gaps) = found.map_err(|failure| {
            CliError::failure(Exit::Incomplete, "cannot tell who has left", &failure)
        })?;
        Ok(Some(Several {
            procedures: all(users)?,
            world,
            gaps,
        }))
    }

    fn resume(plan: &Plan<Action>, config: &Config<Policy>) -> Result<Offboard, CliError> {
        let request = Request::resumed(plan)
            .map_err(|error| CliError::new(Exit::Drifted, error.to_string()))?;
        procedure(request, config)
    }

    async fn world(procedure: &Offboard, config: &Config<Policy>) -> Result<World<Self>, CliError> {
        Ok(procedure.within(config.world(config.tool.guard())?)?)
    }
}

fn procedure(request: Request, config: &Config<Policy>) -> Result<Offboard, CliError> {
    Ok(Offboard::new(
        request,
        config.tool.clone(),
        config.admins(),
    )?)
}

fn main() -> ExitCode {
    opsweek_cli::run::<Offboarding>()
}
