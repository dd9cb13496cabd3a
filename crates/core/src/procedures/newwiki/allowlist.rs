//! The pageview allowlist: `field TAB value TAB YYYY-MM-DD 00:00:00`, no header; the block
//! of projects first, in bytewise order. Source: analytics/refinery,
//! `static_data/pageview/allowlist/allowlist.tsv`, and its changes since 2015.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use jiff::civil::Date;

use super::edit::{Changes, lines, text};
use super::lint::{Blemish, Found, Kind, Verdict, mended};
use super::names::Project;

const PROJECT: &str = "project";
/// The fields that the jobs read. Source: the table `wmf.pageview_allowlist`.
const FIELDS: [&str; 3] = [PROJECT, "agent_type", "access_method"];

/// The row of a project.
pub fn row(project: &Project, date: Date) -> String {
    format!("{PROJECT}\t{project}\t{date} 00:00:00")
}

/// What becomes of the file, and what needs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What is to change.
    pub changes: Changes,
    /// Projects to add that are there.
    pub already: Vec<Project>,
    /// Values to take out that are not there.
    pub absent: Vec<String>,
}

/// Adds rows at their places, and takes out every row of the values to drop.
pub fn change(bytes: &[u8], add: &[Project], drop: &[String], date: Date) -> Change {
    let lines = lines(bytes);
    let mut change = Change::default();
    let values = projects(bytes);
    for value in drop {
        match values.get(value.as_bytes()) {
            None => change.absent.push(value.clone()),
            Some(indices) => indices
                .iter()
                .for_each(|&index| change.changes.remove(index)),
        }
    }
    let (there, new): (Vec<&Project>, Vec<&Project>) = add
        .iter()
        .partition(|project| values.contains_key(project.as_str().as_bytes()));
    change.already = there.into_iter().cloned().collect();
    // A set: in order, and each once.
    for project in new.into_iter().collect::<BTreeSet<_>>() {
        let index = place(&lines, project.as_str().as_bytes());
        change.changes.insert(index, row(project, date));
    }
    change
}

/// The lines of each project, by its value.
pub fn projects(bytes: &[u8]) -> BTreeMap<Vec<u8>, Vec<usize>> {
    let mut found: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (index, line) in lines(bytes).into_iter().enumerate() {
        if let [field, value, _] = columns(line)[..]
            && field == PROJECT.as_bytes()
        {
            found.entry(value.to_owned()).or_default().push(index);
        }
    }
    found
}

fn columns(line: &[u8]) -> Vec<&[u8]> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.split(|&byte| byte == b'\t').collect()
}

/// What the line says by its first two words, however it separates them: the field, and the
/// value up to the first space.
fn words(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    Some((words.next()?, words.next()?))
}

/// The longest run of projects, with whatever stands between them that is no row: its lines
/// and their values. A row that somebody put at the end of the file is no block.
fn block<'a>(lines: &[&'a [u8]]) -> Vec<(usize, &'a [u8])> {
    runs(lines)
        .into_iter()
        .max_by_key(|run| (run.len(), std::cmp::Reverse(run[0].0)))
        .unwrap_or_default()
}

/// The runs of projects; none is empty.
fn runs<'a>(lines: &[&'a [u8]]) -> Vec<Vec<(usize, &'a [u8])>> {
    let mut runs: Vec<Vec<(usize, &[u8])>> = Vec::new();
    let mut broken = true;
    for (index, line) in lines.iter().enumerate() {
        let Some((field, value)) = words(line) else {
            continue;
        };
        if field != PROJECT.as_bytes() {
            broken |= FIELDS.iter().any(|other| other.as_bytes() == field);
        } else if let (false, Some(run)) = (broken, runs.last_mut()) {
            run.push((index, value));
        } else {
            broken = false;
            runs.push(vec![(index, value)]);
        }
    }
    runs
}

/// The index of the line before which the value belongs: where the fewest projects of the
/// block stand on the wrong side of it, the first such place. In a sorted block that is its
/// bytewise place; where rows are out of order, they don't mislead.
fn place(lines: &[&[u8]], value: &[u8]) -> usize {
    let block = block(lines);
    let Some((first, _)) = block.first() else {
        return 0;
    };
    let mut wrong = block.iter().filter(|(_, other)| *other < value).count();
    let (mut best, mut fewest) = (*first, wrong);
    for (index, other) in &block {
        if *other < value {
            wrong -= 1;
        } else if *other > value {
            wrong += 1;
        }
        if wrong < fewest {
            (best, fewest) = (index + 1, wrong);
        }
    }
    best
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
    let mut columns: Vec<String> = whole.split('\t').map(str::to_owned).collect();
    if columns.len() != 3 {
        let Some(repaired) = respace(whole) else {
            return Verdict::Wrong(Kind::Columns);
        };
        columns = repaired.into();
        kinds.push(Kind::SpaceForTab);
    }
    if columns.iter().any(|column| column.trim_ascii() != column) {
        columns = columns
            .iter()
            .map(|column| column.trim_ascii().to_owned())
            .collect();
        kinds.push(Kind::WhiteSpace);
    }
    if columns.iter().any(String::is_empty) {
        return Verdict::Wrong(Kind::Columns);
    }
    if !FIELDS.contains(&columns[0].as_str()) {
        return Verdict::Wrong(Kind::Field);
    }
    if columns[0] == PROJECT && Project::parse(&columns[1]).is_err() {
        return Verdict::Wrong(Kind::Value);
    }
    match date(&columns[2]) {
        None => return Verdict::Wrong(Kind::Date),
        Some(date) => {
            let stamp = format!("{date} 00:00:00");
            if columns[2] != stamp {
                kinds.push(Kind::Time);
                columns[2] = stamp;
            }
        }
    }
    if kinds.is_empty() {
        Verdict::Good
    } else {
        Verdict::Mended(kinds, columns.join("\t"))
    }
}

/// Three columns of a line whose tabs became spaces: the field is one word, the time stamp
/// two, and what is between them is the value.
fn respace(line: &str) -> Option<[String; 3]> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [field, value @ .., date, time] = words.as_slice() else {
        return None;
    };
    let stamp = format!("{date} {time}");
    let fits = !value.is_empty() && FIELDS.contains(field) && self::date(&stamp).is_some();
    fits.then(|| [(*field).to_owned(), value.join(" "), stamp])
}

/// The date of a time stamp `YYYY-MM-DD HH:MM:SS`, also when the time has dashes.
fn date(stamp: &str) -> Option<Date> {
    let (date, time) = stamp.split_once(' ')?;
    let digits = |text: &str, range: Range<usize>| {
        text.get(range)
            .is_some_and(|part| part.bytes().all(|c| c.is_ascii_digit()))
    };
    let form = date.len() == 10
        && digits(date, 0..4)
        && time.len() == 8
        && time.split([':', '-']).count() == 3
        && time
            .split([':', '-'])
            .all(|part| digits(part, 0..2) && part.len() == 2);
    form.then(|| date.parse().ok())?
}

/// Everything that is wrong with the file, duplicates first.
pub fn lint(bytes: &[u8]) -> Vec<Blemish> {
    let lines = lines(bytes);
    let mut found = Found::lines(bytes, judge);
    for (index, key) in again(&lines, read) {
        found.add(Kind::Duplicate, index, text(&key), true);
    }
    let runs = runs(&lines);
    let mut rows = runs.iter().flatten();
    let whole = rows.all(|(index, _)| str::from_utf8(lines[*index]).is_ok());
    for run in strays(&lines) {
        found.add(Kind::Split, run[0].0, PROJECT, whole);
    }
    // Once a file, and of any run: which run is the longest can change by an edit.
    let descent = runs
        .iter()
        .flat_map(|run| run.windows(2))
        .find(|pair| pair[0].1 > pair[1].1);
    if let Some(pair) = descent {
        found.add(Kind::Unsorted, pair[1].0, PROJECT, whole);
    }
    found.sorted()
}

/// The field and the value as Hive reads them.
fn read(line: &[u8]) -> Option<Vec<u8>> {
    let [field, value, _] = columns(line)[..] else {
        return None;
    };
    Some([field, b"\t", value].concat())
}

/// The field and the value that the line will have once it is mended.
fn meant(line: &[u8]) -> Option<Vec<u8>> {
    match judge(line) {
        Verdict::Mended(_, row) => read(row.as_bytes()),
        _ => read(line),
    }
}

/// Rows for what has another row, by what `key` says of each line. The first good one is
/// not among them.
fn again(lines: &[&[u8]], key: fn(&[u8]) -> Option<Vec<u8>>) -> Vec<(usize, Vec<u8>)> {
    let mut rows: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        if let Some(key) = key(line) {
            rows.entry(key).or_default().push(index);
        }
    }
    let extra = rows.into_iter().flat_map(|(key, mut rows)| {
        let good = |&index: &usize| !matches!(judge(lines[index]), Verdict::Wrong(_));
        rows.remove(rows.iter().position(good).unwrap_or(0));
        rows.into_iter().map(move |index| (index, key.clone()))
    });
    extra.collect()
}

/// The runs of projects outside the block.
fn strays<'a>(lines: &[&'a [u8]]) -> Vec<Vec<(usize, &'a [u8])>> {
    let block = block(lines);
    let mut runs = runs(lines);
    runs.retain(|run| *run != block);
    runs
}

/// Mends all that there is one way to mend: spaces to tabs, blank lines and later duplicates
/// out, times to 00:00:00, projects to their bytewise places. The rest stays.
pub fn mend(bytes: &[u8]) -> Changes {
    let lines = lines(bytes);
    let mut changes = Changes::default();
    let again = again(&lines, meant);
    let gone = again.into_iter().map(|(index, _)| index).collect();
    let (gone, mut mended) = mended(&lines, judge, gone);
    let stays = |(index, _): &(usize, &[u8])| !gone.contains(index);
    let block: Vec<(usize, &[u8])> = block(&lines).into_iter().filter(stays).collect();
    let ordered = longest_ascent(&block);
    let kept: BTreeSet<usize> = ordered.iter().map(|(index, _)| *index).collect();
    let misplaced = block
        .iter()
        .filter(|(index, _)| !kept.contains(index))
        .copied()
        .chain(strays(&lines).into_iter().flatten().filter(stays));
    let mut misplaced: Vec<(usize, &[u8])> = misplaced.collect();
    misplaced.sort_unstable_by_key(|(index, value)| (*value, *index));
    for (index, value) in misplaced {
        let Ok(line) = str::from_utf8(lines[index]) else {
            continue;
        };
        let place = match ordered.partition_point(|(_, other)| *other <= value) {
            0 => ordered.first().map_or(0, |(first, _)| *first),
            smaller => ordered[smaller - 1].0 + 1,
        };
        let row = mended.remove(&index).unwrap_or_else(|| line.to_owned());
        changes.insert(place, row);
        changes.remove(index);
    }
    for (index, row) in mended {
        changes.remove(index);
        changes.insert(index, row);
    }
    for index in gone {
        changes.remove(index);
    }
    changes
}

/// The longest part of the block that is in order.
fn longest_ascent<'a>(block: &[(usize, &'a [u8])]) -> Vec<(usize, &'a [u8])> {
    // For each length, the end of the ascent of that length with the least end.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(block.len());
    for (at, (_, value)) in block.iter().enumerate() {
        let length = ends.partition_point(|&end| block[end].1 <= *value);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(at);
        } else {
            ends[length] = at;
        }
    }
    let mut ascent = Vec::with_capacity(ends.len());
    let mut next = ends.last().copied();
    while let Some(at) = next {
        ascent.push(block[at]);
        next = before[at];
    }
    ascent.reverse();
    ascent
}
