//! What is wrong with a list, and which of it an edit would have brought.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::edit::{lines, text};

/// What is wrong; the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A row for something that has one already: in the allowlist it counts views twice, in
    /// the sqoop list it copies a wiki twice.
    Duplicate,
    /// A line without anything: sqoop's reader dies of it.
    Blank,
    /// Not three columns, or an empty one.
    Columns,
    /// Spaces where a tab should be.
    SpaceForTab,
    /// Not UTF-8.
    NotUtf8,
    /// A carriage return at the end.
    CarriageReturn,
    /// Spaces around a value.
    WhiteSpace,
    /// A first column that nothing reads.
    Field,
    /// A value that is none of its column: a project, a wiki, a number.
    Value,
    /// No date, or an impossible one.
    Date,
    /// A time other than 00:00:00.
    Time,
    /// A group, or the block of projects, in several pieces.
    Split,
    /// Projects that are not in bytewise order.
    Unsorted,
    /// The last line has no end.
    NoFinalNewline,
}

impl Kind {
    /// It in a few words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Duplicate => "DUPLICATE",
            Self::Blank => "blank line",
            Self::Columns => "not three columns",
            Self::SpaceForTab => "space for a tab",
            Self::NotUtf8 => "not UTF-8",
            Self::CarriageReturn => "carriage return",
            Self::WhiteSpace => "spaces around a value",
            Self::Field => "unknown field",
            Self::Value => "not a value of its column",
            Self::Date => "not a date",
            Self::Time => "not at 00:00:00",
            Self::Split => "in several pieces",
            Self::Unsorted => "not in order",
            Self::NoFinalNewline => "no newline at the end",
        }
    }
}

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Blemish {
    /// What.
    pub kind: Kind,
    /// The line, counted from 1.
    pub line: usize,
    /// What it is about, without anything that other lines could change: the line, or the
    /// group.
    pub text: String,
    /// Whether there is one way to mend it.
    pub mendable: bool,
}

impl fmt::Display for Blemish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.kind.text())?;
        if self.text.is_empty() {
            Ok(())
        } else {
            write!(f, ": {:?}", self.text)
        }
    }
}

/// The blemishes that are in `after` and were not in `before`, wherever they stand: an edit
/// that brings one is wrong.
pub fn brought<'a>(before: &[Blemish], after: &'a [Blemish]) -> Vec<&'a Blemish> {
    let mut known: BTreeMap<(Kind, &str), usize> = BTreeMap::new();
    for old in before {
        *known.entry((old.kind, &old.text)).or_default() += 1;
    }
    let mut new = Vec::new();
    for one in after {
        match known.get_mut(&(one.kind, one.text.as_str())) {
            Some(count) if *count > 0 => *count -= 1,
            _ => new.push(one),
        }
    }
    new
}

/// What a line should be.
pub(super) enum Verdict {
    /// As it is.
    Good,
    /// Something else, but only a person knows what.
    Wrong(Kind),
    /// Not there.
    Gone(Kind),
    /// This.
    Mended(Vec<Kind>, String),
}

/// The blemishes of one file, as they are found.
pub(super) struct Found(Vec<Blemish>);

impl Found {
    /// Those that lines have by themselves, and that of the end of the file.
    pub(super) fn lines(bytes: &[u8], judge: fn(&[u8]) -> Verdict) -> Self {
        let lines = lines(bytes);
        let mut found = Self(Vec::new());
        for (index, line) in lines.iter().enumerate() {
            match judge(line) {
                Verdict::Good => {}
                Verdict::Wrong(kind) => found.add(kind, index, text(line), false),
                Verdict::Gone(kind) => found.add(kind, index, "", true),
                Verdict::Mended(kinds, _) => {
                    for kind in kinds {
                        found.add(kind, index, text(line), true);
                    }
                }
            }
        }
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            found.add(Kind::NoFinalNewline, lines.len() - 1, "", true);
        }
        found
    }

    /// One more. `index`: the line, counted from 0.
    pub(super) fn add(
        &mut self,
        kind: Kind,
        index: usize,
        text: impl Into<String>,
        mendable: bool,
    ) {
        self.0.push(Blemish {
            kind,
            line: index + 1,
            text: text.into(),
            mendable,
        });
    }

    /// The worst first, and by line.
    pub(super) fn sorted(mut self) -> Vec<Blemish> {
        self.0.sort();
        self.0
    }
}

/// What becomes of single lines when a file is mended: those that go, and the new text of
/// others. `gone`: lines that go whatever they are.
pub(super) fn mended(
    lines: &[&[u8]],
    judge: fn(&[u8]) -> Verdict,
    mut gone: BTreeSet<usize>,
) -> (BTreeSet<usize>, BTreeMap<usize, String>) {
    let mut mended = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        match judge(line) {
            Verdict::Gone(_) => {
                gone.insert(index);
            }
            Verdict::Mended(_, row) if !gone.contains(&index) => {
                mended.insert(index, row);
            }
            Verdict::Good | Verdict::Wrong(_) | Verdict::Mended(..) => {}
        }
    }
    (gone, mended)
}
