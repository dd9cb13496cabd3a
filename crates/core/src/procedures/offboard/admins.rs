//! The admins' data file: who has which account, and who has left. Format: `data.yaml` of
//! the admin module of the platform's Puppet repository.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::inventory::Account;
use crate::actions::guard::UserName;

/// Where the file is, and how old it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admins {
    /// The file.
    pub data_file: PathBuf,
    /// An older one may not know yet who has left, or who has come back.
    pub max_age: Duration,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminsError {
    /// It cannot be read.
    #[error("admins' data file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("admins' data file {path}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_norway::Error,
    },
    /// It is too old to be trusted.
    #[error("admins' data file {path} is {hours} hours old")]
    Old {
        /// The file.
        path: PathBuf,
        /// Its age in hours.
        hours: u64,
    },
}

/// More than any such file has; the platform's has half a megabyte.
const LARGEST: u64 = 64 << 20;

#[derive(Deserialize)]
struct File {
    users: BTreeMap<String, User>,
    /// Those who have an account in LDAP and none on hosts: in HDFS they may have things all the
    /// same.
    ldap_only_users: Option<BTreeMap<String, User>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct User {
    ensure: Ensure,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Ensure {
    Present,
    Absent,
}

/// Who has which account.
#[derive(Clone, Debug)]
pub struct Accounts(BTreeMap<String, User>);

impl Accounts {
    #[cfg(test)]
    pub(super) fn parse(text: &str) -> Self {
        parse(Path::new("data.yaml"), text).unwrap()
    }

    /// What the file says of `user`.
    pub fn of(&self, user: &UserName) -> Account {
        match self.0.get(user.as_str()).map(|user| user.ensure) {
            Some(Ensure::Present) => Account::Present,
            Some(Ensure::Absent) => Account::Absent,
            None => Account::Unlisted,
        }
    }
}

impl Admins {
    /// Reads the file, so not for an async thread.
    pub fn read(&self) -> Result<Accounts, AdminsError> {
        let path = || self.data_file.clone();
        let read = |source| AdminsError::Read {
            path: path(),
            source,
        };
        let file = std::fs::File::open(&self.data_file).map_err(read)?;
        let changed = file
            .metadata()
            .and_then(|meta| meta.modified())
            .map_err(read)?;
        // A file from the future is new.
        let age = SystemTime::now()
            .duration_since(changed)
            .unwrap_or_default();
        if age > self.max_age {
            return Err(AdminsError::Old {
                path: path(),
                hours: age.as_secs() / 3600,
            });
        }
        let mut text = String::new();
        file.take(LARGEST).read_to_string(&mut text).map_err(read)?;
        parse(&self.data_file, &text)
    }
}

fn parse(path: &Path, text: &str) -> Result<Accounts, AdminsError> {
    let file: File = serde_norway::from_str(text).map_err(|source| AdminsError::Parse {
        path: path.to_owned(),
        source,
    })?;
    let mut all = file.users;
    for (name, user) in file.ldap_only_users.unwrap_or_default() {
        // Whoever has lost one account and still has the other is here.
        let known = all.entry(name).or_insert(user);
        if matches!(user.ensure, Ensure::Present) {
            *known = user;
        }
    }
    Ok(Accounts(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
groups:
  ops: { gid: 700, members: [] }
users:
  elvis:
    ensure: absent
    gid: 500
    uid: 2001
    krb: absent
    realname: Elvis Example
  azy:
    ensure: present
    uid: 2002
  moved:
    ensure: absent
  gone:
    ensure: absent
ldap_only_users:
  ivy:
    ensure: present
    realname: Ivy Example
  moved:
    ensure: present
  gone:
    ensure: absent
";

    fn account(name: &str) -> Account {
        let user = UserName::try_from(name.to_owned()).unwrap();
        Accounts::parse(FILE).of(&user)
    }

    #[test]
    fn says_who_is_active() {
        assert_eq!(account("elvis"), Account::Absent);
        assert_eq!(account("azy"), Account::Present);
        assert_eq!(account("nemo"), Account::Unlisted);
        assert_eq!(account("ivy"), Account::Present);
        assert_eq!(account("moved"), Account::Present);
        assert_eq!(account("gone"), Account::Absent);
    }

    #[test]
    fn refuses_what_it_cannot_use() {
        let dir = tempfile::tempdir().unwrap();
        let admins = |name: &str, max_age| Admins {
            data_file: dir.path().join(name),
            max_age: Duration::from_secs(max_age),
        };
        assert!(matches!(
            admins("none", 9).read(),
            Err(AdminsError::Read { .. })
        ));
        std::fs::write(dir.path().join("bad"), "users: [").unwrap();
        assert!(matches!(
            admins("bad", 9).read(),
            Err(AdminsError::Parse { .. })
        ));
        let old = std::fs::File::create(dir.path().join("old")).unwrap();
        old.set_modified(SystemTime::now() - Duration::from_secs(7201))
            .unwrap();
        let error = admins("old", 3600).read().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "admins' data file {} is 2 hours old",
                dir.path().join("old").display()
            )
        );
    }
}
