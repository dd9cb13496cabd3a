//! The database lists of the wikis' configuration: which wikis there are, and where.
//! Source: operations/mediawiki-config, `dblists/`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::names::Name;

/// The sections of the wikis' databases. Source: `dblists/s1.dblist` to `s8.dblist`.
const SECTIONS: [&str; 8] = ["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"];

/// The lists, by what they say of a wiki.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lists {
    /// Wikis that there are.
    pub all: BTreeSet<Name>,
    /// Those that nobody can edit any more.
    pub closed: BTreeSet<Name>,
    /// Those that only some may read.
    pub private: BTreeSet<Name>,
    /// Those that there were.
    pub deleted: BTreeSet<Name>,
    /// Those that all may read and only some may edit.
    pub fishbowl: BTreeSet<Name>,
    /// Those that are no language's edition of a project.
    pub special: BTreeSet<Name>,
    /// The section of each wiki: "s5".
    pub sections: BTreeMap<Name, String>,
}

/// Why the lists could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("list {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is no database's name: a list that is computed from others begins with `%%`.
    #[error("list {path}, line {line}: not a database name: {text:?}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A wiki in two sections.
    #[error("{name} is in the lists of both {one} and {other}")]
    TwoSections {
        /// The wiki.
        name: Name,
        /// A section.
        one: String,
        /// Another.
        other: String,
    },
}

impl Error {
    /// The way out.
    pub fn hint(&self) -> String {
        match self {
            Self::Read { .. } => {
                "newwiki.dblists names the folder dblists of a checkout of mediawiki-config"
            }
            Self::Line { .. } | Self::TwoSections { .. } => {
                "update the checkout of mediawiki-config"
            }
        }
        .to_owned()
    }
}

impl Lists {
    /// Reads the folder's lists. Blocking.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let list = |name: &str| read(&folder.join(format!("{name}.dblist")));
        let mut sections = BTreeMap::new();
        for section in SECTIONS {
            for name in list(section)? {
                if let Some(other) = sections.insert(name.clone(), section.to_owned()) {
                    return Err(Error::TwoSections {
                        name,
                        one: other,
                        other: section.to_owned(),
                    });
                }
            }
        }
        Ok(Self {
            all: list("all")?,
            closed: list("closed")?,
            private: list("private")?,
            deleted: list("deleted")?,
            fishbowl: list("fishbowl")?,
            special: list("special")?,
            sections,
        })
    }

    /// The wikis that all may read and that are neither closed nor deleted: whose views are
    /// counted and which sqoop copies.
    pub fn open(&self) -> impl Iterator<Item = &Name> {
        self.all.iter().filter(|name| {
            ![&self.closed, &self.private, &self.deleted]
                .iter()
                .any(|list| list.contains(*name))
        })
    }
}

/// The names in a list. Lines that begin with `#` are comments.
fn read(path: &Path) -> Result<BTreeSet<Name>, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| (index, line.split('#').next().unwrap_or_default().trim()))
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| {
            Name::parse(line).map_err(|_| Error::Line {
                path: path.to_owned(),
                line: index + 1,
                text: line.chars().take(80).collect(),
            })
        })
        .collect()
}
