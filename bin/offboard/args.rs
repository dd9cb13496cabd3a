//! What `offboard` can be asked for.

use opsweek_core::actions::guard::UserName;

/// What becomes of homes on hosts.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum HostHomes {
    /// Into the archive, then removed.
    Archive,
    /// A listing into the archive, then removed.
    Delete,
    /// They stay.
    Keep,
}

#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags are")]
pub(crate) struct Args {
    /// The user's name
    #[arg(value_parser = user)]
    pub(crate) user: UserName,
    /// Archive what is found: HDFS home, databases, homes on hosts
    #[arg(long, group = "change")]
    pub(crate) archive: bool,
    /// Delete what is found: HDFS through the trash; hosts have none
    #[arg(long, group = "change")]
    pub(crate) delete: bool,
    /// Delete from HDFS for good
    #[arg(long, requires = "delete")]
    pub(crate) skip_trash: bool,
    /// Put everything back that an archive holds, as it was
    #[arg(long, conflicts_with = "change")]
    pub(crate) restore: bool,
    /// Which archive, when there are several: elvis, elvis.20231201
    #[arg(long, value_name = "NAME", requires = "restore")]
    pub(crate) from: Option<String>,
    /// Who gets the user's tables in others' databases
    #[arg(long, value_name = "USER", requires = "change", value_parser = user)]
    pub(crate) new_owner: Option<UserName>,
    /// Point others' tables whose files are inside the user's places to the archive
    #[arg(long, requires = "archive")]
    pub(crate) relocate: bool,
    /// What becomes of homes on hosts, if not what becomes of the rest
    #[arg(long, value_name = "WHAT", requires = "change")]
    pub(crate) host_homes: Option<HostHomes>,
    /// End left-over processes and lingering services
    #[arg(long, requires = "change")]
    pub(crate) stop_processes: bool,
    /// Go on although the user seems to be active
    #[arg(long, requires = "change")]
    pub(crate) even_if_active: bool,
}

fn user(text: &str) -> Result<UserName, String> {
    UserName::try_from(text.to_owned()).map_err(|error| error.to_string())
}
