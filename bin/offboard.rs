//! `offboard`: finds what a user who left has lying about on the platform,
//! archives it, puts it back, and deletes it.

use std::process::ExitCode;

use opsweek_cli::{CliError, Config, Exit, Tool, World};
use opsweek_core::actions::Action;
use opsweek_core::actions::guard::UserName;
use opsweek_core::engine::Plan;
use opsweek_core::procedures::offboard::policy::Policy;
use opsweek_core::procedures::offboard::{Homes, Intent, Offboard, Request};

/// What becomes of homes on hosts.
#[derive(Clone, Copy, clap::ValueEnum)]
enum HostHomes {
    /// Into the archive, then removed.
    Archive,
    /// A listing into the archive, then removed.
    Delete,
    /// They stay.
    Keep,
}

#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags are")]
struct Args {
    /// The user's name
    #[arg(value_parser = user)]
    user: UserName,
    /// Archive what is found: HDFS home, databases, homes on hosts
    #[arg(long, group = "change")]
    archive: bool,
    /// Delete what is found: HDFS through the trash; hosts have none
    #[arg(long, group = "change")]
    delete: bool,
    /// Delete from HDFS for good
    #[arg(long, requires = "delete")]
    skip_trash: bool,
    /// Put everything back that an archive holds, as it was
    #[arg(long, conflicts_with = "change")]
    restore: bool,
    /// Which archive, when there are several: elvis, elvis.20231201
    #[arg(long, value_name = "NAME", requires = "restore")]
    from: Option<String>,
    /// Who gets the user's tables in others' databases
    #[arg(long, value_name = "USER", requires = "change", value_parser = user)]
    new_owner: Option<UserName>,
    /// Point others' tables whose files are inside the user's places to the archive
    #[arg(long, requires = "archive")]
    relocate: bool,
    /// What becomes of homes on hosts, if not what becomes of the rest
    #[arg(long, value_name = "WHAT", requires = "change")]
    host_homes: Option<HostHomes>,
    /// End left-over processes and lingering services
    #[arg(long, requires = "change")]
    stop_processes: bool,
    /// Go on although the user seems to be active
    #[arg(long, requires = "change")]
    even_if_active: bool,
}

fn user(text: &str) -> Result<UserName, String> {
    UserName::try_from(text.to_owned()).map_err(|error| error.to_string())
}

struct Offboarding;

impl Tool for Offboarding {
    const NAME: &'static str = "offboard";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "Finds what a user who left has lying about on the platform, archives, restores or deletes it";
    type Args = Args;
    type Section = Policy;
    type Procedure = Offboard;

    fn request(args: Args, config: &Config<Policy>) -> Result<Offboard, CliError> {
        let intent = match (args.archive, args.restore, args.delete) {
            (true, ..) => Intent::Archive,
            (_, true, _) => Intent::Restore,
            (.., true) => Intent::Delete,
            _ => Intent::Look,
        };
        let request = Request {
            user: args.user,
            intent,
            even_if_active: args.even_if_active,
            stop_processes: args.stop_processes,
            new_owner: args.new_owner,
            relocate: args.relocate,
            host_homes: match args.host_homes {
                Some(HostHomes::Delete) => Homes::Delete,
                Some(HostHomes::Keep) => Homes::Keep,
                None if args.delete => Homes::Delete,
                None | Some(HostHomes::Archive) => Homes::Archive,
            },
            skip_trash: args.skip_trash,
            from: args.from,
        };
        procedure(request, config)
    }

    fn resume(plan: &Plan<Action>, config: &Config<Policy>) -> Result<Offboard, CliError> {
        let request = Request::resumed(plan)
            .map_err(|error| CliError::new(Exit::Drifted, error.to_string()))?;
        procedure(request, config)
    }

    async fn world(_: &Offboard, config: &Config<Policy>) -> Result<World<Self>, CliError> {
        config.world(config.tool.guard())
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
