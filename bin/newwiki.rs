//! `newwiki`: lets new wikis into the pageview allowlist and the list of wikis that sqoop
//! copies, or takes them out.

#[path = "newwiki/args.rs"]
mod args;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use opsweek_cli::{CliError, Config, Exit, Tool, World};
use opsweek_core::actions::{self, Action};
use opsweek_core::engine::Plan;
use opsweek_core::engine::plan::sha256_hex;
use opsweek_core::procedures::newwiki::names::{Name, Project};
use opsweek_core::procedures::newwiki::policy::Policy;
use opsweek_core::procedures::newwiki::{After, Newwiki, Passwords, Request, Target};

use args::{Args, Only, folder};

struct LettingIn;

impl Tool for LettingIn {
    const NAME: &'static str = "newwiki";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str =
        "Lets new wikis into the pageview allowlist and the sqoop list, or takes them out";
    type Args = Args;
    type Section = Policy;
    type Procedure = Newwiki;

    fn unconfigured(args: Option<&Args>) -> Option<PathBuf> {
        let Some(args) = args else {
            return Some("newwiki".into());
        };
        // Runs in different checkouts have nothing to do with each other.
        let place = args.refinery.as_deref().map(std::path::absolute)?.ok()?;
        let digest = sha256_hex(place.as_os_str().as_encoded_bytes());
        args.offline
            .then(|| format!("newwiki-{}", &digest[..16]).into())
    }

    fn request(args: Args, config: &Config<Policy>) -> Result<Newwiki, CliError> {
        if args.is_empty() {
            return Err(CliError::usage("nothing is asked for")
                .hint("name wikis (azywiki), or see --help for what else there is"));
        }
        let refinery = args.refinery.as_ref().or(config.tool.refinery.as_ref());
        let refinery = refinery.ok_or_else(|| {
            CliError::usage("no checkout of the refinery is named")
                .hint("--refinery DIR, or newwiki.refinery in the configuration")
        })?;
        let lists = config.tool.dblists.as_deref().filter(|_| !args.offline);
        let request = Request {
            refinery: folder(refinery)?,
            names: wikis(&args.names, lists)?,
            only: args.only.map(|only| match only {
                Only::Allowlist => Target::Allowlist,
                Only::Sqoop => Target::Sqoop,
            }),
            projects: args
                .project
                .iter()
                .map(|text| Ok(Project::asked(text)?))
                .collect::<Result<_, CliError>>()?,
            drop: wikis(&args.drop, lists)?,
            drop_projects: args.drop_project,
            date: args.date,
            fix_lint: args.fix_lint,
            audit: args.audit,
            offline: args.offline,
            after: match (args.offline || args.no_commit, args.push) {
                (true, _) => After::Leave,
                (false, false) => After::Commit,
                (false, true) => After::Push,
            },
            sync_hdfs: args.sync_hdfs,
            since: args.since,
        };
        let passwords = passwords(&request, config)?;
        Ok(Newwiki::new(request, config.tool.clone())?.with_passwords(passwords))
    }

    fn resume(plan: &Plan<Action>, config: &Config<Policy>) -> Result<Newwiki, CliError> {
        let procedure = Newwiki::resume(plan, config.tool.clone()).ok_or_else(|| {
            CliError::new(
                Exit::Drifted,
                "the plan does not say for which checkout it is",
            )
            .hint("plan again")
        })?;
        if config.is_absent() && !procedure.is_offline() {
            return Err(
                CliError::usage("the plan needs a configuration, and there is none")
                    .hint("name one by --config FILE or OPSWEEK_CONFIG"),
            );
        }
        let passwords = passwords(procedure.request(), config)?;
        Ok(procedure.with_passwords(passwords))
    }

    async fn world(procedure: &Newwiki, config: &Config<Policy>) -> Result<World<Self>, CliError> {
        let guard = config.tool.guard(procedure.files());
        if procedure.is_offline() {
            Ok(actions::World::local(guard))
        } else {
            config.world(guard)
        }
    }
}

/// The passwords of the replicas' accounts, where they are asked.
fn passwords(request: &Request, config: &Config<Policy>) -> Result<Passwords, CliError> {
    let replicas = [
        ("newwiki.production", &config.tool.production),
        ("newwiki.cloud", &config.tool.cloud),
    ];
    let mut words = Vec::new();
    for (section, replica) in replicas {
        words.push(match replica {
            Some(replica) if !request.offline => config.secret(
                section,
                "password",
                replica.password_file.as_deref(),
                replica.password_env.as_deref(),
            )?,
            _ => None,
        });
    }
    let cloud = words.pop().flatten();
    let production = words.pop().flatten();
    Ok(Passwords { production, cloud })
}

fn wikis(texts: &[String], lists: Option<&Path>) -> Result<Vec<Name>, CliError> {
    texts
        .iter()
        .map(|text| Ok(Name::asked(text, lists)?))
        .collect()
}

fn main() -> ExitCode {
    opsweek_cli::run::<LettingIn>()
}
