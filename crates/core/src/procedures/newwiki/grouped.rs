//! The list of wikis that sqoop copies: `NAME,GROUP,SIZE`, comments begin with `#`; a group's
//! rows stand together. Source: analytics/refinery,
//! `static_data/mediawiki/grouped_wikis/grouped_wikis.csv`, and its reader in
//! `python/refinery/sqoop`.

use std::collections::{BTreeMap, BTreeSet};

use super::edit::{Changes, lines, text};
use super::lint::{Blemish, Found, Kind, Verdict, mended};
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

fn judge(line: &[u8]) -> Verdict {
    let Ok(line) = str::from_utf8(line) else {
        return Verdict::Wrong(Kind::NotUtf8);
    };
    if line.trim_ascii().is_empty() {
        return Verdict::Gone(Kind::Blank);
    }
    let mut kinds = Vec::new();
    let whole = line.strip_suffix('\r').unwrap_or(line);
    if whole != line {
        kinds.push(Kind::CarriageReturn);
    }
    let mut mended = whole.to_owned();
    if !line.starts_with('#') {
        let columns: Vec<&str> = whole.split(',').map(str::trim_ascii).collect();
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
    let mut found = Found::lines(bytes, judge);
    for (name, indices) in wikis(bytes) {
        for &index in &indices[1..] {
            found.add(Kind::Duplicate, index, text(&name), true);
        }
    }
    for (index, group) in splits(&lines) {
        found.add(Kind::Split, index, format!("group {group}"), false);
    }
    found.sorted()
}

/// Where a group begins that was there before, with other groups since: sqoop takes it for
/// another group.
fn splits<'a>(lines: &[&'a [u8]]) -> Vec<(usize, &'a str)> {
    let rows = lines.iter().enumerate();
    let groups = rows.filter_map(|(index, line)| Some((index, group(line)?)));
    let mut before: BTreeSet<&str> = BTreeSet::new();
    let mut last = None;
    let mut again = Vec::new();
    for (index, group) in groups {
        if last != Some(group) && !before.insert(group) {
            again.push((index, group));
        }
        last = Some(group);
    }
    again
}

/// Mends all that there is one way to mend: blank lines, later duplicates and spaces around
/// values out. The rest stays; so does a group in several pieces, since joining them would
/// change what sqoop copies together.
pub fn mend(bytes: &[u8]) -> Changes {
    let lines = lines(bytes);
    let mut changes = Changes::default();
    let again = wikis(bytes).into_values();
    let gone = again
        .flat_map(|indices| indices.into_iter().skip(1))
        .collect();
    let (gone, mended) = mended(&lines, judge, gone);
    for (index, row) in mended {
        changes.remove(index);
        changes.insert(index, row);
    }
    for index in gone {
        changes.remove(index);
    }
    changes
}
