//! What `offboard` can be asked for.

use std::path::PathBuf;

use clap::value_parser;
use opsweek_core::actions::guard::UserName;
use opsweek_core::procedures::offboard::moving::TableMove;
use opsweek_core::procedures::offboard::scope::{Place, Scope};
use opsweek_core::procedures::offboard::{Batches, Homes, Intent, Request};

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
    #[arg(long, requires = "delete")]
    pub(crate) skip_trash: bool,
    /// Put everything back that an archive holds, as it was
    #[arg(long, group = "work", conflicts_with_all = ["from_file", "scan"])]
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
    /// Go over hosts so many at a time
    #[arg(long, value_name = "N", requires = "work", value_parser = value_parser!(u32).range(1..))]
    pub(crate) batch: Option<u32>,
    /// Seconds between one batch of hosts and the next
    #[arg(long, value_name = "SECONDS", requires = "batch", value_parser = value_parser!(u32).range(..=86_400))]
    pub(crate) sleep: Option<u32>,
    /// Begin no further batch once fewer hosts than this have succeeded [default: 100%]
    #[arg(long, value_name = "PERCENT", requires = "batch", value_parser = percent)]
    pub(crate) success: Option<u8>,
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
            batches: self.batches(),
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

    /// How fast hosts are to be gone over.
    fn batches(&self) -> Option<Batches> {
        self.batch.map(|size| Batches {
            size,
            sleep: self.sleep.unwrap_or(0),
            success: self.success.unwrap_or(100),
        })
    }
}

fn percent(text: &str) -> Result<u8, &'static str> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.parse() {
        Ok(percent @ 0..=100) => Ok(percent),
        _ => Err("a percentage is 0% to 100%"),
    }
}

fn user(text: &str) -> Result<UserName, String> {
    UserName::try_from(text.to_owned()).map_err(|error| error.to_string())
}
