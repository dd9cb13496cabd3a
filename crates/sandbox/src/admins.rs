//! The admins' data file (`data.yaml` of Wikimedia's admin module): who has an
//! account on the platform. All people in it are made up.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error};
use crate::files;

/// An entry of `users`; the schema wants at least `ensure` and `uid`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct User {
    present: bool,
    uid: u32,
}

type Users = BTreeMap<String, User>;

/// Writes `DIR/admins/data.yaml` anew, so that it is never out of date.
pub(crate) fn write(dir: &Path) -> Result<(), Error> {
    save(dir, &load(dir)?)
}

/// Sets a user's entry.
pub(crate) fn set(dir: &Path, name: &str, present: bool) -> Result<(), Error> {
    let mut users = load(dir)?;
    let next = users.values().map(|user| user.uid).max().unwrap_or(2000) + 1;
    users
        .entry(name.to_owned())
        .and_modify(|user| user.present = present)
        .or_insert(User { present, uid: next });
    save(dir, &users)
}

/// The users are kept beside the YAML, which is only ever written.
fn path(dir: &Path) -> PathBuf {
    dir.join("admins/users.json")
}

fn load(dir: &Path) -> Result<Users, Error> {
    let path = path(dir);
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|source| Error::State { path, source }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Ok([("azy", true, 2001), ("elvis", false, 2002)]
                .into_iter()
                .map(|(name, present, uid)| (name.to_owned(), User { present, uid }))
                .collect())
        }
        Err(error) => Err(error).context("read", &path),
    }
}

fn save(dir: &Path, users: &Users) -> Result<(), Error> {
    let path = path(dir);
    let json = serde_json::to_string(users).map_err(|source| Error::State {
        path: path.clone(),
        source,
    })?;
    files::write(&path, 0o644, &json)?;
    files::write(&dir.join("admins/data.yaml"), 0o644, &yaml(users))
}

fn yaml(users: &Users) -> String {
    let members = |present: bool| {
        let names: Vec<String> = users
            .iter()
            .filter(|(_, user)| user.present == present)
            .map(|(name, _)| quoted(name))
            .collect();
        names.join(", ")
    };
    let mut text = format!(
        "groups:\n\
         \x20 absent:\n\
         \x20   description: Former users\n\
         \x20   gid: 699\n\
         \x20   members: [{}]\n\
         \x20 analytics-privatedata-users:\n\
         \x20   description: Access to private data on the analytics cluster\n\
         \x20   gid: 731\n\
         \x20   members: [{}]\n\
         users:\n",
        members(false),
        members(true)
    );
    for (name, user) in users {
        let state = if user.present { "present" } else { "absent" };
        let name = quoted(name);
        let uid = user.uid;
        text = text
            + &format!("  {name}:\n    ensure: {state}\n    uid: {uid}\n")
            + &format!("    krb: {state}\n    realname: {name}\n    ssh_keys: []\n");
    }
    text
}

/// A user name as YAML: `no` and `null` are names too.
fn quoted(name: &str) -> String {
    const WORDS: [&str; 8] = ["n", "no", "null", "off", "on", "true", "y", "yes"];
    if WORDS.contains(&name) || name == "false" {
        format!("'{name}'")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_users_are_absent() {
        let users = [("elvis", false), ("no", true)]
            .map(|(name, present)| (name.to_owned(), User { present, uid: 2001 }))
            .into();
        let text = yaml(&users);
        assert!(text.contains("    members: [elvis]\n"));
        assert!(text.contains("  elvis:\n    ensure: absent\n    uid: 2001\n"));
        assert!(text.contains("  'no':\n    ensure: present\n"));
    }
}
