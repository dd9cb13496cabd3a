//! The list of wikis that sqoop copies: `NAME,GROUP,SIZE`, comments begin with `#`; a group's
//! rows stand together. Source: analytics/refinery,
//! `static_data/mediawiki/grouped_wikis/grouped_wikis.csv`, and its reader in
//! `python/refinery/sqoop`.

use std::collections::{BTreeMap, BTreeSet};

use super::edit::{Changes, lines, text};
use super::lint::{Blemish, Found, Kind};
use super::names::Name;

/// What becomes of the file, and what needs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What is to change.
    pub changes: Changes,
    /// Wikis to add that are there.
    pub already: Vec<Name>,
    /// Wikis to take out that are not there.
    pub absent: Vec<Name>,
}

/// A file without rows: there is no group to add to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("has no row whose group a new wiki could join")]
pub struct NoGroup;

/// Adds rows at the end in the order given, in the group of the last row and with the size
/// 1; takes out every row of the wikis to drop.
pub fn change(bytes: &[u8], add: &[Name], drop: &[Name]) -> Result<Change, NoGroup> {
    let lines = lines(bytes);
    let mut change = Change::default();
    let wikis = wikis(bytes);
    for name in drop {
        match wikis.get(name.as_str().as_bytes()) {
            None => change.absent.push(name.clone()),
            Some(indices) => indices
                .iter()
                .for_each(|&index| change.changes.remove(index)),
        }
    }
    let last = lines.iter().rev().find_map(|line| group(line));
    let mut added = BTreeSet::new();
    for name in add {
        if wikis.contains_key(name.as_str().as_bytes()) {
            change.already.push(name.clone());
        } else if added.insert(name) {
            let group = last.ok_or(NoGroup)?;
            change
                .changes
                .insert(lines.len(), format!("{name},{group},1"));
        }
    }
    Ok(change)
}

/// The lines of each wiki, by its name.
pub fn wikis(bytes: &[u8]) -> BTreeMap<Vec<u8>, Vec<usize>> {
    let mut found: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (index, line) in lines(bytes).into_iter().enumerate() {
        if line.starts_with(b"#") {
            continue;
        }
        let name = line.split(|&byte| byte == b',').next().unwrap_or_default();
        if !name.trim_ascii().is_empty() {
            found
                .entry(name.trim_ascii().to_owned())
                .or_default()
                .push(index);
        }
    }
    found
}

/// The group of a row: digits in the second column.
fn group(line: &[u8]) -> Option<&str> {
    if line.starts_with(b"#") {
        return None;
    }
    let column = line.split(|&byte| byte == b',').nth(1)?.trim_ascii();
    let digits = !column.is_empty() && column.iter().all(u8::is_ascii_digit);
    str::from_utf8(column).ok().filter(|_| digits)
}

/// What a line should be.
enum Verdict {
    /// As it is.
    Good,
    /// Wrong, and for somebody to mend by hand.
    Wrong(Kind),
    /// Not there.
    Gone(Kind),
    /// This.
    Mended(Vec<Kind>, String),
}

fn judge(line: &[u8]) -> Verdict {
    let Ok(line) = str::from_utf8(line) else {
        return Verdict::Wrong(Kind::NotUtf8);
    };
    if line.trim().is_empty() {
        return Verdict::Gone(Kind::Blank);
    }
    let mut kinds = Vec::new();
    let whole = line.strip_suffix('\r').unwrap_or(line);
    if whole != line {
        kinds.push(Kind::CarriageReturn);
    }
    let mut mended = whole.to_owned();
    if !line.starts_with('#') {
        let columns: Vec<&str> = whole.split(',').map(str::trim).collect();
        if columns.len() != 3 || columns.iter().any(|column| column.is_empty()) {
            return Verdict::Wrong(Kind::Columns);
        }
        let number = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
        if Name::parse(columns[0]).is_err() || !number(columns[1]) || !number(columns[2]) {
            return Verdict::Wrong(Kind::Value);
        }
        mended = columns.join(",");
        if mended != whole {
            kinds.push(Kind::WhiteSpace);
        }
    }
    if kinds.is_empty() {
        Verdict::Good
    } else {
        Verdict::Mended(kinds, mended)
    }
}

/// Everything that is wrong with the file, duplicates first.
pub fn lint(bytes: &[u8]) -> Vec<Blemish> {
    let lines = lines(bytes);
    let mut found = Found::default();
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
    for (name, indices) in wikis(bytes) {
        for &index in &indices[1..] {
            found.add(Kind::Duplicate, index, text(&name), true);
        }
    }
    for run in strays(&lines, &BTreeSet::new()) {
        let whole = run
            .lines
            .iter()
            .all(|&index| str::from_utf8(lines[index]).is_ok());
        found.add(
            Kind::Split,
            run.lines[0],
            format!("group {}", run.group),
            whole,
        );
    }
    if !bytes.is_empty() && !bytes.ends_with(b"\n") {
        found.add(Kind::NoFinalNewline, lines.len() - 1, "", true);
    }
    found.sorted()
}

/// Rows of one group that stand together, whatever stands between them that is no row.
#[derive(Clone, Debug)]
struct Run<'a> {
    group: &'a str,
    lines: Vec<usize>,
}

fn runs<'a>(lines: &[&'a [u8]], gone: &BTreeSet<usize>) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(group) = group(line).filter(|_| !gone.contains(&index)) else {
            continue;
        };
        match runs.last_mut() {
            Some(run) if run.group == group => run.lines.push(index),
            _ => runs.push(Run {
                group,
                lines: vec![index],
            }),
        }
    }
    runs
}

/// The longest run of each group.
fn main_runs<'a>(runs: &[Run<'a>]) -> BTreeMap<&'a str, Run<'a>> {
    let mut longest: BTreeMap<&str, Run<'_>> = BTreeMap::new();
    for run in runs {
        let known = longest.entry(run.group).or_insert_with(|| run.clone());
        if run.lines.len() > known.lines.len() {
            *known = run.clone();
        }
    }
    longest
}

/// The runs apart from their group's longest.
fn strays<'a>(lines: &[&'a [u8]], gone: &BTreeSet<usize>) -> Vec<Run<'a>> {
    let mut runs = runs(lines, gone);
    let longest = main_runs(&runs);
    runs.retain(|run| longest[run.group].lines != run.lines);
    runs
}

/// Mends all that there is one way to mend: blank lines and later duplicates out, spaces
/// around values too, strays to their group. The rest stays.
pub fn mend(bytes: &[u8]) -> Changes {
    let lines = lines(bytes);
    let mut changes = Changes::default();
    let again = wikis(bytes).into_values();
    let mut gone: BTreeSet<usize> = again
        .flat_map(|indices| indices.into_iter().skip(1))
        .collect();
    let mut mended: BTreeMap<usize, String> = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        match judge(line) {
            Verdict::Gone(_) => {
                gone.insert(index);
            }
            Verdict::Mended(_, row) => {
                mended.insert(index, row);
            }
            Verdict::Good | Verdict::Wrong(_) => {}
        }
    }
    let longest = main_runs(&runs(&lines, &gone));
    for run in strays(&lines, &gone) {
        let main = &longest[run.group].lines;
        let (Some(&first), Some(&last)) = (main.first(), main.last()) else {
            continue;
        };
        for index in run.lines {
            let Ok(line) = str::from_utf8(lines[index]) else {
                continue;
            };
            let row = mended.remove(&index).unwrap_or_else(|| line.to_owned());
            changes.remove(index);
            changes.insert(if index < first { first } else { last + 1 }, row);
        }
    }
    for (index, row) in mended {
        if !gone.contains(&index) {
            changes.remove(index);
            changes.insert(index, row);
        }
    }
    gone.into_iter().for_each(|index| changes.remove(index));
    changes
}
