//! What `offboard` can be asked for.

use std::path::PathBuf;

use opsweek_core::actions::guard::UserName;
use opsweek_core::procedures::offboard::moving::TableMove;
use opsweek_core::procedures::offboard::scope::{Place, Scope};
use opsweek_core::procedures::offboard::{Homes, Intent, Request};

use crate::batches::Batching;

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

/// A flag that requires another says as well what it conflicts with: clap does not ask for one that
/// cannot be given.
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags are")]
pub(crate) struct Args {
    /// The user's name
    #[arg(
        value_parser = user,
        required_unless_present_any = ["from_file", "scan", "plan"],
        conflicts_with_all = ["from_file", "scan"]
    )]
    pub(crate) user: Option<UserName>,
    /// Several users: a name a line; `#` begins a comment
    #[arg(long, value_name = "FILE", conflicts_with = "scan")]
    pub(crate) from_file: Option<PathBuf>,
    /// Every owner of homes and databases whom the admins' data file lists as absent, or not at all
    #[arg(long)]
    pub(crate) scan: bool,
    /// Archive what is found: HDFS home, databases, homes on hosts
    #[arg(long, groups = ["change", "work"])]
    pub(crate) archive: bool,
    /// Delete what is found: HDFS through the trash; hosts have none
    #[arg(long, groups = ["change", "work"])]
    pub(crate) delete: bool,
    /// Delete from HDFS for good
    #[arg(long, requires = "delete", conflicts_with_all = ["archive", "restore"])]
    pub(crate) skip_trash: bool,
    /// Put everything back that an archive holds, as it was
    #[arg(long, group = "work", conflicts_with_all = ["from_file", "scan"])]
    pub(crate) restore: bool,
    /// Which archive, when there are several: elvis, elvis.20231201
    #[arg(
        long,
        value_name = "NAME",
        requires = "restore",
        conflicts_with_all = ["archive", "delete"]
    )]
    pub(crate) from: Option<String>,
    /// Who gets the user's tables in others' databases
    #[arg(long, value_name = "USER", requires = "change", value_parser = user)]
    pub(crate) new_owner: Option<UserName>,
    /// Point others' tables whose files are inside the user's places to the archive
    #[arg(long, requires = "archive", conflicts_with_all = ["delete", "restore"])]
    pub(crate) relocate: bool,
    /// Move somebody else's table in the user's database to another database first:
    /// elvis.reports=shared. May be given several times
    #[arg(
        long = "move-table",
        value_name = "TABLE=DATABASE",
        requires = "change",
        conflicts_with_all = ["from_file", "scan"]
    )]
    pub(crate) move_tables: Vec<TableMove>,
    /// Data of the user elsewhere in HDFS that becomes part of the plan. May be given several times
    #[arg(
        long,
        value_name = "PATH",
        requires = "change",
        conflicts_with_all = ["from_file", "scan"]
    )]
    pub(crate) include: Vec<String>,
    /// What becomes of homes on hosts, if not what becomes of the rest
    #[arg(long, value_name = "WHAT", requires = "change")]
    pub(crate) host_homes: Option<HostHomes>,
    /// End left-over processes and lingering services
    #[arg(long, requires = "change")]
    pub(crate) stop_processes: bool,
    /// The places to look at and deal with: hdfs, hive, hosts; else all. The others are not
    /// contacted, but for HDFS as the place of archives
    #[arg(long, value_name = "PLACE,...", value_delimiter = ',')]
    pub(crate) places: Vec<Place>,
    /// Go on although the user seems to be active
    #[arg(long, requires = "change")]
    pub(crate) even_if_active: bool,
    #[command(flatten)]
    pub(crate) batches: Batching,
}

impl Args {
    /// What is asked for, of one user.
    pub(crate) fn request(&self, user: UserName) -> Request {
        Request {
            user,
            intent: self.intent(),
            even_if_active: self.even_if_active,
            stop_processes: self.stop_processes,
            new_owner: self.new_owner.clone(),
            relocate: self.relocate,
            host_homes: match self.host_homes {
                Some(HostHomes::Delete) => Homes::Delete,
                Some(HostHomes::Keep) => Homes::Keep,
                None if self.delete => Homes::Delete,
                None | Some(HostHomes::Archive) => Homes::Archive,
            },
            skip_trash: self.skip_trash,
            from: self.from.clone(),
            places: self.scope(),
            move_tables: self.move_tables.clone(),
            include: self.include.clone(),
            batches: self.batches.asked(),
        }
    }

    pub(crate) fn intent(&self) -> Intent {
        match (self.archive, self.restore, self.delete) {
            (true, ..) => Intent::Archive,
            (_, true, _) => Intent::Restore,
            (.., true) => Intent::Delete,
            _ => Intent::Look,
        }
    }

    /// The places that are asked for.
    pub(crate) fn scope(&self) -> Scope {
        match self.places.as_slice() {
            [] => Scope::all(),
            places => places.iter().copied().collect(),
        }
    }
}

fn user(text: &str) -> Result<UserName, String> {
    UserName::try_from(text.to_owned()).map_err(|error| error.to_string())
}
