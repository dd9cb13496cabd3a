//! What a user left on one host: the answer of `look.sh`, parsed. The answer comes from
//! a machine that may be anybody's: every field is checked, nothing is trusted to be text.

use serde::{Deserialize, Serialize};

use super::Owner;
use crate::actions::guard::{UserName, is_named_after};

/// What a home is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A real folder.
    Folder,
    /// A link, and where it points.
    Link(String),
    /// Something else where a home should be.
    File,
}

/// What `stat` says of a uid without an account.
pub const NOBODY: &str = "UNKNOWN";

/// A home, or what stands in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Home {
    /// Its path, without links above it.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// The owner's uid.
    pub uid: u32,
    /// The owner's name there, [`NOBODY`] for a uid without an account.
    pub owner: String,
    /// Device and inode: which object it is.
    pub id: (u64, u64),
    /// Regular files in it.
    pub files: u64,
    /// Folders in it, itself included.
    pub folders: u64,
    /// Links, pipes, sockets, device nodes in it.
    pub others: u64,
    /// The files' sizes summed.
    pub bytes: u64,
    /// The newest change of anything in it, in seconds since the epoch.
    pub newest: i64,
}

/// A single file of the user's outside the homes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Single {
    /// Its path.
    pub path: String,
    /// The owner's uid.
    pub uid: u32,
    /// Device and inode.
    pub id: (u64, u64),
    /// Its size.
    pub bytes: u64,
    /// Its last change, in seconds since the epoch.
    pub newest: i64,
}

/// A running process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its terminal, `?` for none.
    pub tty: String,
    /// Its command's name.
    pub command: String,
}

impl Process {
    /// Whether it belongs to somebody who is logged in.
    pub fn is_login(&self) -> bool {
        self.tty != "?" || self.command == "sshd"
    }
}

/// The places whose content is collected and which are removed: what a step is planned on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Homes; each object once.
    pub homes: Vec<Home>,
    /// Archives of former homes.
    pub archives: Vec<Single>,
    /// The crontab.
    pub crontab: Option<Single>,
}

impl Kept {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.homes.is_empty() && self.archives.is_empty() && self.crontab.is_none()
    }

    /// A home that is neither `user`'s nor of a uid that nobody has, or is a system account's:
    /// whoever owns it, it is not to be taken away on behalf of `user`. Links have no content.
    pub fn foreign(&self, user: &UserName, min_uid: u32) -> Option<&Home> {
        self.homes.iter().find(|home| {
            let of_user = home.owner == user.as_str() || home.owner == NOBODY;
            !matches!(home.kind, Kind::Link(_)) && (!of_user || home.uid < min_uid)
        })
    }

    /// The paths, homes first.
    pub fn paths(&self) -> Vec<&str> {
        let homes = self.homes.iter().map(|home| home.path.as_str());
        let singles = self.archives.iter().chain(&self.crontab);
        homes
            .chain(singles.map(|file| file.path.as_str()))
            .collect()
    }

    /// The homes that are real folders.
    pub fn folders(&self) -> Vec<&str> {
        let homes = self.homes.iter();
        homes
            .filter(|home| home.kind == Kind::Folder)
            .map(|home| home.path.as_str())
            .collect()
    }

    /// Regular files, and their bytes.
    pub fn size(&self) -> (u64, u64) {
        let homes = self.homes.iter().map(|home| (home.files, home.bytes));
        let singles = self.archives.iter().chain(&self.crontab);
        homes
            .chain(singles.map(|file| (1, file.bytes)))
            .fold((0, 0), |(files, bytes), (f, b)| (files + f, bytes + b))
    }
}

/// Everything of one user on one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// The user's uid there, when the host knows the user.
    pub uid: Option<u32>,
    /// Files and folders.
    pub kept: Kept,
    /// Folders of the user's name among archives of former homes: made by hand, they are told and
    /// never removed.
    pub by_hand: Vec<String>,
    /// Homes whose removal was begun: path, device and inode.
    pub tombs: Vec<(String, (u64, u64))>,
    /// Mount points in a home.
    pub mounts: Vec<String>,
    /// Secrets and caches at the top of a home, and device nodes, which are never archived.
    pub secrets: Vec<String>,
    /// The user's own systemd timers, all inside a home.
    pub timers: Vec<String>,
    /// Whether the user's services run without a login.
    pub linger: bool,
    /// Running processes.
    pub processes: Vec<Process>,
}

impl Places {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
            && self.by_hand.is_empty()
            && self.tombs.is_empty()
            && self.processes.is_empty()
            && !self.linger
    }

    /// The uid to find processes by: the host's, else that of a home which nobody has.
    pub fn owner(&self) -> Option<u32> {
        let orphan = |home: &&Home| home.owner == NOBODY;
        let orphan = self.kept.homes.iter().find(orphan);
        self.uid.or_else(|| orphan.map(|home| home.uid))
    }
}

/// A host's answer that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host's answer is damaged: {0}")]
pub struct Damaged(String);

/// Reads what `look.sh` printed about `user`. An answer without its last record is damaged:
/// the connection may have ended in the middle.
pub fn parse(user: &UserName, answer: &[u8]) -> Result<Places, Damaged> {
    let mut fields = answer
        .split(|byte| *byte == 0)
        .map(|field| String::from_utf8_lossy(field).into_owned());
    let mut next = || fields.next().ok_or_else(|| Damaged("it ends early".into()));
    let mut places = Places::default();
    loop {
        match next()?.as_str() {
            "uid" => {
                let uid = next()?;
                if !uid.is_empty() {
                    places.uid = Some(number(&uid)?);
                }
            }
            "home" => {
                let path = next()?;
                let kind = next()?;
                let target = next()?;
                let home = Home {
                    path,
                    kind: match kind.as_str() {
                        "folder" => Kind::Folder,
                        "link" => Kind::Link(target),
                        "file" => Kind::File,
                        other => return Err(Damaged(format!("kind {other:?}"))),
                    },
                    uid: number(&next()?)?,
                    owner: next()?,
                    id: (number(&next()?)?, number(&next()?)?),
                    files: number(&next()?)?,
                    folders: number(&next()?)?,
                    others: number(&next()?)?,
                    bytes: number(&next()?)?,
                    newest: number(&next()?)?,
                };
                // A bind mount shows one home in two places.
                if !places.kept.homes.iter().any(|known| known.id == home.id) {
                    places.kept.homes.push(home);
                }
            }
            "tomb" => {
                let path = next()?;
                places
                    .tombs
                    .push((path, (number(&next()?)?, number(&next()?)?)));
            }
            "by-hand" => places.by_hand.push(next()?),
            "mount" => places.mounts.push(next()?),
            "secret" => places.secrets.push(next()?),
            "devices" => {
                let (count, first): (u64, _) = (number(&next()?)?, next()?);
                let what = match count {
                    1 => "a device node".to_owned(),
                    _ => format!("the first of {count} device nodes"),
                };
                places.secrets.push(format!("{first} ({what})"));
            }
            "timer" => places.timers.push(next()?),
            "linger" => places.linger = true,
            "process" => places.processes.push(Process {
                pid: number(&next()?)?,
                tty: next()?,
                command: next()?,
            }),
            tag @ ("archive" | "crontab") => {
                let is_archive = tag == "archive";
                let file = Single {
                    path: next()?,
                    uid: number(&next()?)?,
                    id: (number(&next()?)?, number(&next()?)?),
                    bytes: number(&next()?)?,
                    newest: number(&next()?)?,
                };
                let name = file.path.rsplit('/').next().unwrap_or_default();
                if !is_archive {
                    places.kept.crontab = Some(file);
                } else if is_named_after(name, user) {
                    places.kept.archives.push(file);
                }
            }
            "end" => return Ok(places),
            other => return Err(Damaged(format!("record {other:?}"))),
        }
    }
}

/// Reads what `owners.sh` printed; again, one without its last record is damaged.
pub(super) fn parse_owners(answer: &[u8]) -> Result<Vec<Owner>, Damaged> {
    let fields: Vec<String> = answer
        .split(|byte| *byte == 0)
        .map(|field| String::from_utf8_lossy(field).into_owned())
        .collect();
    let Some([records @ .., end, last]) = fields.get(..) else {
        return Err(Damaged("it ends early".into()));
    };
    let (records, rest) = records.as_chunks::<3>();
    if end != "end" || !last.is_empty() || !rest.is_empty() {
        return Err(Damaged("it ends early".into()));
    }
    let owner = |[home, uid, owner]: &[String; 3]| {
        Ok(Owner {
            home: home.clone(),
            uid: number(uid)?,
            // find prints the number of an owner that has no name.
            owner: (owner != uid).then(|| owner.clone()),
        })
    };
    records.iter().map(owner).collect()
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Damaged> {
    text.parse()
        .map_err(|_| Damaged(format!("{text:?} is not a number")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn elvis() -> UserName {
        UserName::try_from("elvis".to_owned()).unwrap()
    }

    fn answer(records: &[&str]) -> Vec<u8> {
        records
            .iter()
            .flat_map(|r| [r.as_bytes(), b"\0"].concat())
            .collect()
    }

    const WHOLE: &[&str] = &[
        "uid",
        "2001",
        "home",
        "/home/elvis",
        "folder",
        "",
        "2001",
        "elvis",
        "64768",
        "12",
        "3",
        "2",
        "1",
        "4096",
        "1700000000",
        "secret",
        "/home/elvis/.ssh",
        "by-hand",
        "/var/userarchive/elvis",
        "devices",
        "2",
        "/home/elvis/c",
        "mount",
        "/home/elvis/data",
        "home",
        "/srv/home/elvis",
        "folder",
        "",
        "2001",
        "elvis",
        "64768",
        "12",
        "3",
        "2",
        "1",
        "4096",
        "1700000000",
        "archive",
        "/var/userarchive/elvis.tar.gz",
        "0",
        "64768",
        "13",
        "10",
        "1",
        "archive",
        "/var/userarchive/elvis.presley.tar",
        "0",
        "64768",
        "14",
        "10",
        "1",
        "crontab",
        "/var/spool/cron/crontabs/elvis",
        "2001",
        "64768",
        "15",
        "10",
        "1",
        "linger",
        "process",
        "77",
        "?",
        "sleep",
        "end",
    ];

    #[test]
    fn a_whole_answer() {
        let places = parse(&elvis(), &answer(WHOLE)).unwrap();
        assert_eq!(places.uid, Some(2001));
        assert_eq!(places.by_hand, ["/var/userarchive/elvis"]);
        assert_eq!(
            places.kept.paths(),
            [
                "/home/elvis",
                "/var/userarchive/elvis.tar.gz",
                "/var/spool/cron/crontabs/elvis"
            ]
        );
        assert_eq!(places.kept.size(), (5, 4116));
        assert_eq!(places.mounts, ["/home/elvis/data"]);
        let devices = "/home/elvis/c (the first of 2 device nodes)";
        assert_eq!(places.secrets, ["/home/elvis/.ssh", devices]);
        assert!(places.linger && !places.processes[0].is_login() && !places.is_empty());
    }

    #[test]
    fn a_home_of_somebody_else_is_foreign() {
        let whole = parse(&elvis(), &answer(WHOLE)).unwrap();
        assert_eq!(whole.kept.foreign(&elvis(), 1000), None);
        assert!(whole.kept.foreign(&elvis(), 3000).is_some());
        for (owner, foreign) in [("azy", true), (NOBODY, false), ("root", true)] {
            let mut kept = whole.kept.clone();
            kept.homes[0].owner = owner.into();
            assert_eq!(kept.foreign(&elvis(), 1000).is_some(), foreign, "{owner}");
            kept.homes[0].kind = Kind::Link("/srv/home/elvis".into());
            assert_eq!(kept.foreign(&elvis(), 1000), None, "{owner}");
        }
    }

    #[test]
    fn an_answer_cut_short_anywhere_is_damaged() {
        for fields in 0..WHOLE.len() {
            assert!(
                parse(&elvis(), &answer(&WHOLE[..fields])).is_err(),
                "{fields}"
            );
        }
    }

    #[test]
    fn owners_of_homes() {
        let whole = ["elvis", "2001", "elvis", "nemo", "2002", "2002", "end"];
        let owners = parse_owners(&answer(&whole)).unwrap();
        let owner = |home: &str, uid, owner: Option<&str>| Owner {
            home: home.into(),
            uid,
            owner: owner.map(str::to_owned),
        };
        let all = [
            owner("elvis", 2001, Some("elvis")),
            owner("nemo", 2002, None),
        ];
        assert_eq!(owners, all);
        for fields in 0..whole.len() {
            assert!(parse_owners(&answer(&whole[..fields])).is_err(), "{fields}");
        }
        assert!(parse_owners(&answer(&["elvis", "x", "elvis", "end"])).is_err());
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(answer in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&elvis(), &answer);
        }

        #[test]
        fn any_field_may_be_wrong(at in 0..WHOLE.len(), text in "\\PC{0,9}") {
            let mut fields = WHOLE.to_vec();
            fields[at] = &text;
            let _ = parse(&elvis(), &answer(&fields));
        }
    }
}
