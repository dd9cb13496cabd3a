//! The flags that every tool has, and the parser built from them and the tool's own.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum, value_parser};
use clap_complete::Shell;

use crate::exit::Exit;
use crate::run::Tool;

/// The flags that every tool has.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The configuration file.
    #[arg(
        long,
        value_name = "FILE",
        help = "The configuration; else $OPSWEEK_CONFIG, /etc/opsweek/config.toml, \
                $XDG_CONFIG_HOME/opsweek/config.toml"
    )]
    pub config: Option<PathBuf>,

    /// Change nothing; say what would be done, and exit 3 if that is anything
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Change nothing; write the plan to FILE, for --plan
    #[arg(long, value_name = "FILE", conflicts_with = "plan")]
    pub save_plan: Option<PathBuf>,

    /// Run the plan in FILE, made by --save-plan
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,

    /// Trust the plan file because its hash is this one, whoever owns it
    #[arg(long, value_name = "sha256:HASH", requires = "plan", value_parser = hash)]
    pub approve: Option<String>,

    /// Don't ask. Without a reviewed --plan this never answers for irreversible steps
    #[arg(long)]
    pub yes: bool,

    /// The task in the tracker that asks for it; goes to journal and log
    #[arg(long, value_name = "T123456", conflicts_with = "plan", value_parser = task)]
    pub task: Option<String>,

    /// Why it is done, in one line; goes to journal and log
    #[arg(long, value_name = "TEXT", conflicts_with = "plan", value_parser = line)]
    pub reason: Option<String>,

    /// How to print what is found and done
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// How results are printed on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One document.
    Json,
    /// The tables' rows.
    Csv,
    /// For a comment in Phabricator.
    Remarkup,
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Text, Self::Json, Self::Csv, Self::Remarkup]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Remarkup => "remarkup",
        }))
    }
}

fn task(text: &str) -> Result<String, &'static str> {
    let number = text.strip_prefix('T').unwrap_or_default();
    if number.is_empty() || number.len() > 20 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err("a task is T and digits: T123456");
    }
    Ok(text.to_owned())
}

fn hash(text: &str) -> Result<String, &'static str> {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if digits.len() != 64 || !digits.bytes().all(hex) {
        return Err("a plan's hash is sha256: and 64 lower-case hexadecimal digits");
    }
    Ok(text.to_owned())
}

fn line(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() || text.len() > 1000 || text.chars().any(char::is_control) {
        return Err("a reason is one line of at most 1000 bytes");
    }
    Ok(text.to_owned())
}

/// What the command line asks for.
pub(crate) enum Asked<A> {
    /// A look or a change; no request of its own where the plan comes from a file.
    Run { common: Common, request: Option<A> },
    /// Text to print: completions, the manual page.
    Text(Vec<u8>),
}

/// The whole parser of a tool. `completions` and `man` are subcommands; everything else is
/// the tool's own arguments and the common ones. A subject of these names goes after `--`.
pub(crate) fn command<T: Tool>() -> Command {
    let command = T::Args::augment_args(Command::new(T::NAME))
        // A plan file brings the request along.
        .mut_args(|arg| {
            let required = arg.is_required_set();
            let arg = arg.conflicts_with_all(["plan", "approve"]);
            if required {
                arg.required(false).required_unless_present("plan")
            } else {
                arg
            }
        });
    Common::augment_args(command)
        .about(T::ABOUT)
        .long_about(None)
        .version(T::VERSION)
        .after_help(exit_codes())
        .color(clap::ColorChoice::Never)
        .max_term_width(100)
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
        .disable_help_subcommand(true)
        .subcommand(
            Command::new("completions")
                .about("Print the completion script of a shell")
                .arg(
                    clap::Arg::new("shell")
                        .value_name("SHELL")
                        .required(true)
                        .value_parser(value_parser!(Shell)),
                ),
        )
        .subcommand(Command::new("man").about("Print the manual page"))
}

fn exit_codes() -> String {
    let lines: Vec<String> = Exit::ALL
        .iter()
        .map(|exit| format!("  {exit}  {}", exit.meaning()))
        .collect();
    format!(
        "Exit codes, the highest that applies:\n{}",
        lines.join("\n")
    )
}

/// Takes the arguments, the program's name first.
pub(crate) fn parse<T: Tool>(
    args: impl IntoIterator<Item = OsString>,
) -> Result<Asked<T::Args>, clap::Error> {
    let matches = command::<T>().try_get_matches_from(args)?;
    match matches.subcommand() {
        Some(("completions", sub)) => Ok(Asked::Text(completions::<T>(sub))),
        Some(_) => man::<T>(),
        None => {
            let common = Common::from_arg_matches(&matches)?;
            let request = match common.plan {
                Some(_) => None,
                None => Some(T::Args::from_arg_matches(&matches)?),
            };
            Ok(Asked::Run { common, request })
        }
    }
}

fn completions<T: Tool>(matches: &ArgMatches) -> Vec<u8> {
    let mut script = Vec::new();
    if let Some(shell) = matches.get_one::<Shell>("shell") {
        clap_complete::generate(*shell, &mut command::<T>(), T::NAME, &mut script);
    }
    script
}

fn man<T: Tool>() -> Result<Asked<T::Args>, clap::Error> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command::<T>()).render(&mut page)?;
    Ok(Asked::Text(page))
}
