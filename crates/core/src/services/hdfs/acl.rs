//! Access control lists in the text form of `hdfs dfs -getfacl` and `-setfacl`.

use std::fmt;
use std::str::FromStr;

use hdfs_native::acl as native;
use serde::{Deserialize, Serialize};

/// Whom an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The owner of the path, or the named user.
    User(Option<String>),
    /// The group of the path, or the named group.
    Group(Option<String>),
    /// The most that named users and all groups may get.
    Mask,
    /// Everybody else.
    Other,
}

/// One entry, as text `[default:]user|group|mask|other:[name]:rwx`; serde uses that text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AclEntry {
    /// Whether it is what new children of a folder inherit, not what rules the path itself.
    pub default: bool,
    /// Whom it is about.
    pub subject: Subject,
    /// Read 4, write 2, execute 1.
    pub permission: u8,
}

/// A text that is no ACL entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no ACL entry: {why}")]
pub struct AclParseError {
    /// The whole text.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for AclEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match &self.subject {
            Subject::User(name) => ("user", name.as_deref()),
            Subject::Group(name) => ("group", name.as_deref()),
            Subject::Mask => ("mask", None),
            Subject::Other => ("other", None),
        };
        let bit = |mask, letter| {
            if self.permission & mask != 0 {
                letter
            } else {
                '-'
            }
        };
        write!(
            f,
            "{}{kind}:{}:{}{}{}",
            if self.default { "default:" } else { "" },
            name.unwrap_or_default(),
            bit(4, 'r'),
            bit(2, 'w'),
            bit(1, 'x')
        )
    }
}

impl FromStr for AclEntry {
    type Err = AclParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |why| AclParseError {
            text: text.to_owned(),
            why,
        };
        let (default, rest) = match text.strip_prefix("default:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut parts = rest.split(':');
        let (Some(kind), Some(name), Some(letters), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad("it wants kind:name:permission"));
        };
        let name = (!name.is_empty()).then(|| name.to_owned());
        let subject = match (kind, name) {
            ("user", name) => Subject::User(name),
            ("group", name) => Subject::Group(name),
            ("mask", None) => Subject::Mask,
            ("other", None) => Subject::Other,
            ("mask" | "other", Some(_)) => return Err(bad("mask and other take no name")),
            _ => return Err(bad("the kind is user, group, mask or other")),
        };
        let mut letters = letters.chars();
        let mut permission = 0;
        for (mask, letter) in [(4, 'r'), (2, 'w'), (1, 'x')] {
            match letters.next() {
                Some(found) if found == letter => permission |= mask,
                Some('-') => {}
                _ => return Err(bad("the permission is like r-x")),
            }
        }
        if letters.next().is_some() {
            return Err(bad("the permission is like r-x"));
        }
        Ok(Self {
            default,
            subject,
            permission,
        })
    }
}

impl From<AclEntry> for String {
    fn from(entry: AclEntry) -> Self {
        entry.to_string()
    }
}

impl TryFrom<String> for AclEntry {
    type Error = AclParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// All entries of a path that has an extended ACL, none of one that has just a mode: what the
/// `NameNode` keeps (named entries and the group's) and what it folds into the mode (owner, mask,
/// others), the rule of Hadoop's `AclUtil.getAclFromPermAndEntries`.
pub(super) fn whole(mode: u16, kept: Vec<native::AclEntry>) -> Vec<AclEntry> {
    if kept.is_empty() {
        return Vec::new();
    }
    let bits = |shift: u16| u8::try_from((mode >> shift) & 7).unwrap_or_default();
    let entry = |subject, permission| AclEntry {
        default: false,
        subject,
        permission,
    };
    let (defaults, access): (Vec<_>, Vec<_>) = kept
        .into_iter()
        .map(AclEntry::from)
        .partition(|entry| entry.default);
    let mut all = vec![entry(Subject::User(None), bits(6))];
    if access.is_empty() {
        all.push(entry(Subject::Group(None), bits(3)));
    } else {
        all.extend(access);
        all.push(entry(Subject::Mask, bits(3)));
    }
    all.push(entry(Subject::Other, bits(0)));
    all.extend(defaults);
    all
}

impl From<native::AclEntry> for AclEntry {
    fn from(entry: native::AclEntry) -> Self {
        // The NameNode sends the name of an unnamed entry as an empty string or not at all.
        let name = entry.name.filter(|name| !name.is_empty());
        Self {
            default: entry.scope == native::AclEntryScope::Default,
            subject: match entry.r#type {
                native::AclEntryType::User => Subject::User(name),
                native::AclEntryType::Group => Subject::Group(name),
                native::AclEntryType::Mask => Subject::Mask,
                native::AclEntryType::Other => Subject::Other,
            },
            permission: entry.permissions as u8,
        }
    }
}

impl From<&AclEntry> for native::AclEntry {
    fn from(entry: &AclEntry) -> Self {
        use native::FsAction;
        let (kind, name) = match &entry.subject {
            Subject::User(name) => (native::AclEntryType::User, name.clone()),
            Subject::Group(name) => (native::AclEntryType::Group, name.clone()),
            Subject::Mask => (native::AclEntryType::Mask, None),
            Subject::Other => (native::AclEntryType::Other, None),
        };
        Self {
            r#type: kind,
            scope: if entry.default {
                native::AclEntryScope::Default
            } else {
                native::AclEntryScope::Access
            },
            permissions: match entry.permission & 7 {
                0 => FsAction::None,
                1 => FsAction::Execute,
                2 => FsAction::Write,
                3 => FsAction::WriteExecute,
                4 => FsAction::Read,
                5 => FsAction::ReadExecute,
                6 => FsAction::ReadWrite,
                _ => FsAction::PermAll,
            },
            name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_forms_of_getfacl() {
        for text in [
            "user::rwx",
            "user:elvis:r-x",
            "group::r--",
            "group:analytics-privatedata-users:---",
            "mask::rwx",
            "other::--x",
            "default:user:elvis:rw-",
            "default:mask::r-x",
        ] {
            assert_eq!(text.parse::<AclEntry>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_other_texts() {
        for text in [
            "",
            "user",
            "user:elvis",
            "user:elvis:rwxr",
            "user:elvis:xwr",
            "user:elvis:r-x:",
            "mask:elvis:r-x",
            "other:elvis:r-x",
            "owner::r-x",
            "default:default:user::r-x",
            "user:elvis:r-x,user:azywiki:r-x",
        ] {
            assert!(text.parse::<AclEntry>().is_err(), "{text:?} went through");
        }
    }

    #[test]
    fn serde_uses_the_text() {
        let entry: AclEntry = serde_json::from_str("\"default:group::r-x\"").unwrap();
        assert!(entry.default);
        assert_eq!(
            serde_json::to_string(&entry).unwrap(),
            "\"default:group::r-x\""
        );
        assert!(serde_json::from_str::<AclEntry>("\"nobody\"").is_err());
    }

    #[test]
    fn the_mode_fills_in_what_the_namenode_does_not_keep() {
        let kept = |text: &str| native::AclEntry::from(&text.parse::<AclEntry>().unwrap());
        let texts = |all: Vec<AclEntry>| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(whole(0o750, vec![]).is_empty());
        assert_eq!(
            texts(whole(
                0o754,
                vec![kept("user:elvis:rwx"), kept("group::r--")]
            )),
            [
                "user::rwx",
                "user:elvis:rwx",
                "group::r--",
                "mask::r-x",
                "other::r--"
            ]
        );
        assert_eq!(
            texts(whole(0o750, vec![kept("default:user::rwx")])),
            ["user::rwx", "group::r-x", "other::---", "default:user::rwx"]
        );
    }

    fn entries() -> impl Strategy<Value = AclEntry> {
        let name = proptest::option::of("[a-z_][a-z0-9_.-]{0,10}");
        (any::<bool>(), 0..4, name, 0..8u8).prop_map(|(default, kind, name, permission)| AclEntry {
            default,
            subject: match kind {
                0 => Subject::User(name),
                1 => Subject::Group(name),
                2 => Subject::Mask,
                _ => Subject::Other,
            },
            permission,
        })
    }

    proptest! {
        #[test]
        fn text_and_wire_forms_round_trip(entry in entries()) {
            prop_assert_eq!(&entry.to_string().parse::<AclEntry>().unwrap(), &entry);
            prop_assert_eq!(&AclEntry::from(native::AclEntry::from(&entry)), &entry);
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,20}|(default:)?[a-z]{0,5}:[a-z]{0,3}:[rwx-]{0,4}") {
            if let Ok(entry) = text.parse::<AclEntry>() {
                prop_assert_eq!(entry.to_string(), text);
            }
        }
    }
}
