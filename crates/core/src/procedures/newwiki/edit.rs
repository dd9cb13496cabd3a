//! Edits of lists that leave every other byte alone, and the diff that shows it.

use std::collections::{BTreeMap, BTreeSet};

use similar::{Algorithm, DiffTag, capture_diff_slices, group_diff_ops};

use crate::actions::file::{self, Hunk};
use crate::engine::render::Table;

/// How many unchanged lines a diff shows around a change.
const CONTEXT: usize = 2;

/// The lines of a file without their ends; no line comes after the last end.
pub fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    lines
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
        .collect()
}

/// What is to change in a file, by its lines, counted from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    remove: BTreeSet<usize>,
    insert: BTreeMap<usize, Vec<String>>,
}

impl Changes {
    /// Takes the line out.
    pub fn remove(&mut self, index: usize) {
        self.remove.insert(index);
    }

    /// Puts a line before the one at `index`, behind those that were put there before.
    pub fn insert(&mut self, index: usize, text: String) {
        self.insert.entry(index).or_default().push(text);
    }

    /// Whether nothing is to change.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.insert.is_empty()
    }

    /// The same for the file `bytes`, as an edit has it.
    pub fn hunks(&self, bytes: &[u8]) -> Vec<Hunk> {
        let lines = lines(bytes);
        let places: BTreeSet<usize> = self
            .remove
            .iter()
            .chain(self.insert.keys())
            .copied()
            .collect();
        let hunk = |after: usize| {
            let gone = lines.get(after).filter(|_| self.remove.contains(&after));
            Hunk {
                after,
                remove: gone.iter().map(|line| text(line)).collect(),
                insert: self.insert.get(&after).cloned().unwrap_or_default(),
            }
        };
        places.into_iter().map(hunk).collect()
    }
}

/// A line as text; what is not UTF-8 in it is replaced.
pub fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// A version of a file and the one that an edit makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// Before.
    pub before: Vec<u8>,
    /// After.
    pub after: Vec<u8>,
    /// The edit.
    pub hunks: Vec<Hunk>,
}

impl Edited {
    /// Makes the edit; `None` when nothing is to change.
    pub fn new(before: &[u8], changes: &Changes) -> Result<Option<Self>, file::Misfit> {
        if changes.is_empty() {
            return Ok(None);
        }
        Self::of(before, changes.hunks(before)).map(Some)
    }

    /// Only the end of the last line is added.
    pub fn end(before: &[u8]) -> Result<Self, file::Misfit> {
        Self::of(before, Vec::new())
    }

    fn of(before: &[u8], hunks: Vec<Hunk>) -> Result<Self, file::Misfit> {
        Ok(Self {
            after: file::edited(before, &hunks)?,
            before: before.to_owned(),
            hunks,
        })
    }
}

/// What differs between two versions of a file, found by comparing them: the number of the
/// line, `+`, `-` or nothing, and the line with its end when that is not just a newline.
pub fn diff(title: String, before: &[u8], after: &[u8]) -> Table {
    let split = |bytes: &'_ [u8]| -> Vec<Vec<u8>> {
        bytes
            .split_inclusive(|&byte| byte == b'\n')
            .map(<[u8]>::to_owned)
            .collect()
    };
    let (old, new) = (split(before), split(after));
    let mut rows = Vec::new();
    let mut row = |index: usize, mark: &str, line: &[u8]| {
        let shown = match line.strip_suffix(b"\n") {
            Some(line) => text(line),
            None => format!("{} (no newline at the end)", text(line)),
        };
        rows.push(vec![(index + 1).to_string(), mark.to_owned(), shown]);
    };
    let ops = capture_diff_slices(Algorithm::Myers, &old, &new);
    for op in group_diff_ops(ops, CONTEXT).iter().flatten() {
        if op.tag() == DiffTag::Equal {
            for (index, line) in op.new_range().zip(&new[op.new_range()]) {
                row(index, "", line);
            }
            continue;
        }
        for (index, line) in op.old_range().zip(&old[op.old_range()]) {
            row(index, "-", line);
        }
        for (index, line) in op.new_range().zip(&new[op.new_range()]) {
            row(index, "+", line);
        }
    }
    Table {
        title,
        columns: vec!["line", "", "text"],
        rows,
    }
}
