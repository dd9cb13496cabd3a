//! What `newwiki` can be asked for.

use std::path::{Path, PathBuf};

use opsweek_cli::CliError;
use opsweek_core::procedures::newwiki::names::{self, Date};

/// One of the two files.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Only {
    /// The pageview allowlist.
    Allowlist,
    /// The list of wikis that sqoop copies.
    Sqoop,
}

#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags are")]
pub(crate) struct Args {
    /// Wikis to let in, by the names of their databases: azywiki
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// The checkout of analytics/refinery; else newwiki.refinery of the configuration
    #[arg(long, value_name = "DIR")]
    pub(crate) refinery: Option<PathBuf>,
    /// The only file that NAME and --drop are about
    #[arg(long, value_name = "FILE")]
    pub(crate) only: Option<Only>,
    /// The date of new allowlist rows; else today in UTC
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = names::date)]
    pub(crate) date: Option<Date>,
    /// A value to add to the allowlist: azy.wikipedia. May be given several times
    #[arg(long, value_name = "PROJECT")]
    pub(crate) project: Vec<String>,
    /// A wiki to take out of both files. May be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) drop: Vec<String>,
    /// A value to take out of the allowlist. May be given several times
    #[arg(long, value_name = "VALUE")]
    pub(crate) drop_project: Vec<String>,
    /// Mend what is wrong in the files, as a step of its own
    #[arg(long)]
    pub(crate) fix_lint: bool,
    /// Change nothing; compare the lists of wikis, both files and both replicas
    #[arg(
        long,
        conflicts_with_all = [
            "names", "project", "drop", "drop_project", "fix_lint", "date", "no_commit", "push",
            "sync_hdfs"
        ]
    )]
    pub(crate) audit: bool,
    /// Edit the files and leave them for somebody to commit
    #[arg(long)]
    pub(crate) no_commit: bool,
    /// Edit the files and ask nobody: no configuration, lists, replicas or remote are needed,
    /// and names are checked for their form only. Implies --no-commit
    #[arg(long, conflicts_with_all = ["audit", "push", "sync_hdfs", "since"])]
    pub(crate) offline: bool,
    /// Push the commit for review
    #[arg(long, conflicts_with = "no_commit")]
    pub(crate) push: bool,
    /// Bring the allowlist to HDFS
    #[arg(long)]
    pub(crate) sync_hdfs: bool,
    /// Look at unexpected values from this day on; else the last seven days
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = names::date)]
    pub(crate) since: Option<Date>,
}

impl Args {
    /// Whether nothing at all is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        let values = [&self.names, &self.project, &self.drop, &self.drop_project];
        let flags = [
            self.fix_lint,
            self.audit,
            self.sync_hdfs,
            self.since.is_some(),
        ];
        values.iter().all(|values| values.is_empty()) && !flags.contains(&true)
    }
}

/// The folder, absolute and without links.
pub(crate) fn folder(path: &Path) -> Result<PathBuf, CliError> {
    let found = path.canonicalize().and_then(|found| {
        let is_folder = found.is_dir();
        is_folder
            .then_some(found)
            .ok_or_else(|| std::io::ErrorKind::NotADirectory.into())
    });
    found.map_err(|source| {
        CliError::usage(format!("refinery {}", path.display()))
            .because(&source)
            .hint("it is a checkout of analytics/refinery")
    })
}
