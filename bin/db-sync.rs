//! `db-sync`: makes staging's database a copy of production's.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use opsweek_cli::{CliError, Config, Exit, Tool, World};
use opsweek_core::actions::Action;
use opsweek_core::actions::guard::Guard;
use opsweek_core::actions::sql::Databases;
use opsweek_core::engine::Plan;
use opsweek_core::procedures::db_sync::profile::{Policy, Profile};
use opsweek_core::procedures::db_sync::{DbSync, Intent};
use opsweek_core::services::superset::SecretKey;

#[derive(clap::Args)]
struct Args {
    /// The profile, which names both databases; before it `restore` puts back what the last
    /// copy replaced, `diff` shows how the two differ
    #[arg(
        value_name = "[restore|diff] PROFILE",
        num_args = 1..=2,
        required_unless_present_any = ["list", "plan"],
        conflicts_with = "list"
    )]
    words: Vec<String>,
    /// Show the profiles of the configuration
    #[arg(long)]
    list: bool,
}

struct Syncing;

impl Tool for Syncing {
    const NAME: &'static str = "db-sync";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "Makes staging's database a copy of production's";
    type Args = Args;
    type Section = Policy;
    type Procedure = DbSync;

    fn request(args: Args, config: &Config<Policy>) -> Result<DbSync, CliError> {
        let policy = config.tool.clone();
        let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
        match words[..] {
            [] => Ok(DbSync::list(policy)),
            ["restore", name] => chosen(name, Intent::Restore, policy),
            ["diff", name] => chosen(name, Intent::Diff, policy),
            [name] => chosen(name, Intent::Sync, policy),
            _ => Err(
                CliError::usage(format!("{} is not asked for so", words.join(" ")))
                    .hint("db-sync PROFILE, db-sync restore PROFILE or db-sync diff PROFILE"),
            ),
        }
    }

    fn resume(plan: &Plan<Action>, config: &Config<Policy>) -> Result<DbSync, CliError> {
        let profile = plan.steps.iter().find_map(|step| match &step.action {
            Action::Sql(action) => Some((action.profile(), action.is_restore())),
            _ => None,
        });
        let (name, restore) = profile
            .ok_or_else(|| CliError::new(Exit::Drifted, "the plan is not one of db-sync"))?;
        let intent = if restore {
            Intent::Restore
        } else {
            Intent::Sync
        };
        Ok(chosen(name, intent, config.tool.clone())?.planned())
    }

    async fn world(procedure: &DbSync, config: &Config<Policy>) -> Result<World<Self>, CliError> {
        let databases = match procedure.profile() {
            None => Databases::default(),
            Some((name, profile)) => databases(name, profile, config)?,
        };
        Ok(World::<Self> {
            hdfs: None,
            metastore: None,
            fleet: None,
            yarn: None,
            databases,
            guard: Guard::default(),
        })
    }
}

fn chosen(name: &str, intent: Intent, policy: Policy) -> Result<DbSync, CliError> {
    if !policy.profiles.contains_key(name) {
        return Err(CliError::usage(format!("there is no profile {name}"))
            .hint("db-sync --list names those of the configuration"));
    }
    Ok(DbSync::new(name, intent, policy)?)
}

/// The servers and keys of the profile.
fn databases(
    name: &str,
    profile: &Profile,
    config: &Config<Policy>,
) -> Result<Databases, CliError> {
    let section = format!("db-sync.profiles.{name}");
    let key = |what: &str, file: Option<&std::path::PathBuf>, variable: Option<&String>| {
        let secret = config.secret(
            &section,
            what,
            file.map(std::path::PathBuf::as_path),
            variable.map(String::as_str),
        )?;
        Ok::<_, CliError>(secret.map(|secret| SecretKey::new(&secret)))
    };
    let mut servers = BTreeMap::new();
    for place in [&profile.source, &profile.target] {
        servers.insert(place.server.clone(), config.sql_server(&place.server)?);
    }
    let mut databases = Databases::new(servers);
    databases.writable = vec![profile.target.clone()];
    databases.source_key = key(
        "source_key",
        profile.source_key_file.as_ref(),
        profile.source_key_env.as_ref(),
    )?;
    databases.target_key = key(
        "target_key",
        profile.target_key_file.as_ref(),
        profile.target_key_env.as_ref(),
    )?;
    Ok(databases)
}

/// From which size on glibc takes memory of its own for an object, and gives it back when that is
/// gone. Where nobody says so it takes the largest one so far for the measure, and large rows stay
/// in memory until the end. It is read before `main`; follow-ups have it too, and lose nothing by
/// it. Source: mallopt(3), `M_MMAP_THRESHOLD`.
const LARGE: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "1048576");

fn main() -> ExitCode {
    if std::env::var_os(LARGE.0).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        // Comes back only when it cannot be started; then it takes more memory, nothing else.
        let mut again = Command::new(program);
        let _ = again
            .args(std::env::args_os().skip(1))
            .env(LARGE.0, LARGE.1)
            .exec();
    }
    opsweek_cli::run::<Syncing>()
}
