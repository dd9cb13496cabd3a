//! The safety rules that hold for every action, whatever plan it comes from: which names
//! and which paths may be touched at all.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A user's name that is fit to be looked for: `^[a-z_][a-z0-9_.-]{0,31}$`.
///
/// So it is a single, visible path component, never an option, never a glob. Source of the
/// form: `useradd(8)` of Debian, "CAVEATS".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

/// A name that cannot be a user's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a user name: a lower-case letter or _, then at most 31 of a-z 0-9 _ . -")]
pub struct NotAUserName(String);

impl TryFrom<String> for UserName {
    type Error = NotAUserName;

    fn try_from(name: String) -> Result<Self, NotAUserName> {
        let mut chars = name.bytes();
        let first = chars
            .next()
            .is_some_and(|c| c.is_ascii_lowercase() || c == b'_');
        let rest = chars.all(|c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'_' | b'.' | b'-')
        });
        if first && rest && name.len() <= 32 {
            Ok(Self(name))
        } else {
            Err(NotAUserName(name.chars().take(40).collect()))
        }
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl UserName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an HDFS path must not be touched by any step, whatever the configuration: `None`
/// for one that may be.
pub fn path_fault(path: &str) -> Option<String> {
    let bad = |why: &str| Some(format!("{path:?} {why}"));
    let Some(relative) = path.strip_prefix('/') else {
        return bad("is not absolute");
    };
    let parts: Vec<&str> = relative.split('/').collect();
    if parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
        return bad("is not normalised");
    }
    if parts.len() < 2 {
        return bad("is above depth 2");
    }
    if path.contains('\0') {
        return bad("holds a NUL");
    }
    None
}

/// Whether `path` is `root` or lies under it.
pub fn lies_in(path: &str, root: &str) -> bool {
    path == root
        || root == "/"
        || path
            .strip_prefix(root)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// What the configuration allows, checked by every action before it writes: a plan file
/// cannot widen it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// HDFS folders under which trees may be changed; they themselves may not be.
    pub hdfs_roots: Vec<String>,
    /// Folders on hosts in which entries named after the user may be removed.
    pub host_roots: Vec<String>,
    /// Databases that are never dropped; a trailing `*` stands for any rest.
    pub protected_databases: Vec<String>,
    /// Accounts that are never anybody's to remove; a trailing `*` stands for any rest.
    pub system_accounts: Vec<String>,
    /// The lowest uid of a person.
    pub min_uid: u32,
    /// Names at the top of a home that are never archived.
    pub never_archive: Vec<String>,
    /// Files on this machine that may be edited, as absolute paths.
    pub files: Vec<String>,
}

/// A safety rule's no to an action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused: {0}")]
pub struct Forbidden(String);

impl Guard {
    /// Whether the tree `path` in HDFS may be changed.
    pub fn hdfs(&self, path: &str) -> Result<(), Forbidden> {
        if let Some(fault) = path_fault(path) {
            return Err(Forbidden(fault));
        }
        let inside = |root: &String| lies_in(path, root) && path != root;
        if self.hdfs_roots.iter().any(inside) {
            Ok(())
        } else {
            Err(Forbidden(format!(
                "{path} is in none of the allowed roots: {}",
                self.hdfs_roots.join(", ")
            )))
        }
    }

    /// Whether the file on this machine may be edited.
    pub fn file(&self, path: &str) -> Result<(), Forbidden> {
        if self.files.iter().any(|one| one == path) {
            Ok(())
        } else {
            Err(Forbidden(format!(
                "{path} is none of the files that may be edited: {}",
                self.files.join(", ")
            )))
        }
    }

    /// Whether the database may be dropped or its tables changed.
    pub fn database(&self, name: &str) -> Result<(), Forbidden> {
        let protects = |pattern: &&String| stands_for(pattern, name);
        match self.protected_databases.iter().find(protects) {
            Some(pattern) => Err(Forbidden(format!(
                "database {name} is protected by {pattern:?}"
            ))),
            None => Ok(()),
        }
    }

    /// Whether the account may be offboarded.
    pub fn account(&self, user: &UserName) -> Result<(), Forbidden> {
        if self.is_system(user.as_str()) {
            Err(Forbidden(format!("{user} is a system account")))
        } else {
            Ok(())
        }
    }

    /// Whether an account of that name is no person's.
    pub fn is_system(&self, name: &str) -> bool {
        let mut patterns = self.system_accounts.iter();
        patterns.any(|pattern| stands_for(pattern, name))
    }

    /// Whether the account with this uid may be offboarded.
    pub fn uid(&self, user: &UserName, uid: u32) -> Result<(), Forbidden> {
        if uid < self.min_uid {
            Err(Forbidden(format!(
                "{user} has uid {uid}, below {}: a system account",
                self.min_uid
            )))
        } else {
            Ok(())
        }
    }

    /// Whether these names at the top of a home may be left out of its archive, and so be removed
    /// without a copy.
    pub fn left_out(&self, names: &[String]) -> Result<(), Forbidden> {
        match names.iter().find(|name| !self.never_archive.contains(name)) {
            Some(name) => Err(Forbidden(format!(
                "{name:?} is not to be left out of archives"
            ))),
            None => Ok(()),
        }
    }

    /// Whether `path` on a host may be removed on behalf of `user`: an entry of an allowed
    /// root that is named after the user.
    pub fn host_path(&self, path: &str, user: &UserName) -> Result<(), Forbidden> {
        let allowed = path.rsplit_once('/').is_some_and(|(folder, name)| {
            self.host_roots.iter().any(|root| root == folder) && is_named_after(name, user)
        });
        if allowed {
            Ok(())
        } else {
            Err(Forbidden(format!("{path:?} is not a place of {user}")))
        }
    }
}

/// Whether the name is the pattern's, whose trailing `*` stands for any rest.
fn stands_for(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// Whether a file's name is the user's, or that of an archive of the user's home: the name
/// followed by `.tar...`, `.tgz`, `.tbz2`, `.txz`, `.zip`, or a date and one of these.
/// `elvis.presley` is somebody else.
pub fn is_named_after(name: &str, user: &UserName) -> bool {
    let Some(rest) = name.strip_prefix(user.as_str()) else {
        return false;
    };
    if rest.is_empty() {
        return true;
    }
    let dated = rest.strip_prefix(['-', '_', '.']).map_or(rest, |dated| {
        let end = dated
            .find(|c: char| !(c.is_ascii_digit() || c == '-'))
            .unwrap_or(dated.len());
        if end >= 8 { &dated[end..] } else { rest }
    });
    [".tgz", ".tbz2", ".txz", ".zip", ".tar"].contains(&dated)
        || dated
            .strip_prefix(".tar.")
            .is_some_and(|kind| !kind.is_empty() && kind.bytes().all(|c| c.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(name: &str) -> UserName {
        UserName::try_from(name.to_owned()).unwrap()
    }

    #[test]
    fn names() {
        for good in ["elvis", "_apt", "e", "elvis.presley", "a-b_c.9"] {
            assert_eq!(user(good).as_str(), good);
        }
        let long = "e".repeat(33);
        for bad in [
            "", "..", "/", "*", "-rf", "Elvis", "el vis", "elvis\n", "é", ".e", "9e", &long,
        ] {
            assert!(UserName::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn archives_of_a_home_are_the_users_and_other_users_are_not() {
        let elvis = user("elvis");
        for mine in [
            "elvis",
            "elvis.tar",
            "elvis.tar.gz",
            "elvis.tar.bz2",
            "elvis.tgz",
            "elvis-20231201.tar.gz",
            "elvis_2023-12-01.tar",
            "elvis.zip",
        ] {
            assert!(is_named_after(mine, &elvis), "{mine}");
        }
        for other in [
            "elvis.presley",
            "elvis2",
            "elvis-p",
            "elv",
            "xelvis",
            "elvis.tar.g/z",
            "elvis.tar.",
        ] {
            assert!(!is_named_after(other, &elvis), "{other}");
        }
    }

    fn guard() -> Guard {
        Guard {
            hdfs_roots: vec!["/user".into(), "/wmf/data".into()],
            host_roots: vec!["/home".into()],
            protected_databases: vec!["default".into(), "wmf*".into()],
            system_accounts: vec!["hdfs".into(), "analytics*".into()],
            min_uid: 1000,
            never_archive: vec![".ssh".into()],
            files: vec!["/srv/list".into()],
        }
    }

    #[test]
    fn files() {
        assert!(guard().file("/srv/list").is_ok());
        for bad in ["/srv", "/srv/list/", "/srv/../srv/list", "/srv/list2", ""] {
            assert!(guard().file(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths() {
        let guard = guard();
        for good in [
            "/user/elvis",
            "/wmf/data/archive/user/elvis",
            "/user/e l\nvis",
        ] {
            assert_eq!(guard.hdfs(good), Ok(()));
        }
        for bad in [
            "",
            "/",
            "/user",
            "/wmf/data",
            "/user/",
            "user/elvis",
            "/user/../wmf/data/x",
            "/user//elvis",
            "/user/.",
            "/wmf",
            "/users/elvis",
            "/tmp/elvis",
            "/user/a\0b",
        ] {
            assert!(guard.hdfs(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn databases_and_accounts() {
        let guard = guard();
        assert!(guard.database("elvis").is_ok() && guard.database("defaulter").is_ok());
        assert!(guard.database("default").is_err() && guard.database("wmf_raw").is_err());
        for system in ["hdfs", "analytics", "analytics-search"] {
            assert!(guard.account(&user(system)).is_err(), "{system}");
        }
        for person in ["elvis", "hdfs2", "analytic"] {
            assert!(guard.account(&user(person)).is_ok(), "{person}");
        }
        assert!(guard.uid(&user("elvis"), 1000).is_ok() && guard.uid(&user("elvis"), 999).is_err());
    }

    #[test]
    fn only_secrets_are_left_out() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        assert!(guard().left_out(&[]).is_ok());
        assert!(guard().left_out(&names(&[".ssh"])).is_ok());
        assert!(guard().left_out(&names(&[".ssh", "*"])).is_err());
    }

    #[test]
    fn places_on_hosts() {
        let (guard, elvis) = (guard(), user("elvis"));
        assert!(guard.host_path("/home/elvis", &elvis).is_ok());
        for bad in [
            "/home",
            "/home/",
            "/home/elvis/",
            "/home/elvis/x",
            "/srv/home/elvis",
            "elvis",
            "/home/../elvis",
            "/home/other",
        ] {
            assert!(guard.host_path(bad, &elvis).is_err(), "{bad}");
        }
    }

    proptest! {
        /// Whatever the path, what is allowed stays inside a root after normalisation.
        #[test]
        fn an_allowed_path_is_inside(path in "(/|\\.|user|wmf|data|elvis|\\*| |\n){0,12}") {
            if guard().hdfs(&path).is_ok() {
                prop_assert!(!path.split('/').any(|part| part == ".." || part == "."));
                prop_assert!(path.starts_with("/user/") || path.starts_with("/wmf/data/"));
            }
        }
    }
}
