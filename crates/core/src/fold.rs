//! Names that differ in their numbers, written as one set, and ordered as people count.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

/// Longer runs of digits are text: they fit no u64.
pub(crate) const MAX_DIGITS: usize = 18;

pub(crate) fn padded(digits: &str) -> bool {
    digits.len() > 1 && digits.starts_with('0')
}

/// Numbers as written: by value, then by width.
type Numbers = BTreeSet<(u64, usize)>;

/// A piece of a name, or of a set of names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Text(String),
    Numbers(Numbers),
}

fn pieces(name: &str) -> Vec<Piece> {
    let mut found: Vec<Piece> = Vec::new();
    for run in name
        .as_bytes()
        .chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit())
    {
        let text = String::from_utf8_lossy(run);
        found.push(match text.parse() {
            Ok(value) if run.len() <= MAX_DIGITS && run[0].is_ascii_digit() => {
                Piece::Numbers(BTreeSet::from([(value, run.len())]))
            }
            _ => Piece::Text(text.into_owned()),
        });
    }
    found
}

/// Orders names as people count: `stat9` before `stat10`.
pub(crate) fn natural(a: &str, b: &str) -> Ordering {
    pieces(a).cmp(&pieces(b)).then_with(|| a.cmp(b))
}

/// Takes names, of hosts or lanes, and gives the shortest set of them in the language of
/// [`hostset`](crate::services::fleet::hostset), such as `an-worker[1078-1090].eqiad.wmnet`;
/// several sets are joined by commas. Nothing gives "".
pub fn fold<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut sets: Vec<Vec<Piece>> = names.into_iter().map(pieces).collect();
    sets.sort();
    sets.dedup();
    let longest = sets.iter().map(Vec::len).max().unwrap_or(0);
    // Names that differ in one number only become one set; sets that differ in one other number
    // only become one set in the next round. The last number of a name counts fastest.
    for at in (0..longest).rev() {
        let mut merged: BTreeMap<(Vec<Piece>, Vec<Piece>), Numbers> = BTreeMap::new();
        let mut untouched = Vec::new();
        for set in sets {
            let Some(Piece::Numbers(numbers)) = set.get(at) else {
                untouched.push(set);
                continue;
            };
            let key = (set[..at].to_vec(), set[at + 1..].to_vec());
            merged.entry(key).or_default().extend(numbers);
        }
        sets = untouched;
        sets.extend(merged.into_iter().map(|((mut set, tail), numbers)| {
            set.push(Piece::Numbers(numbers));
            set.extend(tail);
            set
        }));
    }
    sets.sort();
    let folded: Vec<String> = sets.iter().map(|set| written(set)).collect();
    folded.join(",")
}

/// Takes names with what was said of each, and gives what was said, each once and in the order
/// in which it first was, with the folded set of the names that it was said of.
///
/// ```
/// use opsweek_core::fold::alike;
///
/// let said = [("db1", "up"), ("db2", "down"), ("db3", "up"), ("db4", "up")];
/// let alike = alike(said);
/// assert_eq!(alike, [("db[1,3-4]".to_owned(), "up"), ("db2".to_owned(), "down")]);
/// ```
pub fn alike<'a, T: Eq + Hash + Clone>(
    said: impl IntoIterator<Item = (&'a str, T)>,
) -> Vec<(String, T)> {
    let mut order: Vec<T> = Vec::new();
    let mut names: HashMap<T, Vec<&str>> = HashMap::new();
    for (name, what) in said {
        let of = names.entry(what).or_insert_with_key(|what| {
            order.push(what.clone());
            Vec::new()
        });
        of.push(name);
    }
    let folded = |what: &T| fold(names.get(what).into_iter().flatten().copied());
    order
        .into_iter()
        .map(|what| (folded(&what), what))
        .collect()
}

fn written(set: &[Piece]) -> String {
    set.iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Numbers(numbers) => ranges(numbers),
        })
        .collect()
}

fn ranges(numbers: &Numbers) -> String {
    // Each run is its first number, its last number, and the width its numbers are padded to.
    let mut runs: Vec<(String, String, u64, usize)> = Vec::new();
    for &(value, len) in numbers {
        let text = format!("{value:0len$}");
        if let Some((_, last, end, width)) = runs.last_mut()
            && value == *end + 1
            && format!("{value:0width$}", width = *width) == text
        {
            (*last, *end) = (text, value);
            continue;
        }
        let width = if padded(&text) { len } else { 0 };
        runs.push((text.clone(), text, value, width));
    }
    let runs: Vec<String> = runs
        .into_iter()
        .map(|(first, last, ..)| {
            if first == last {
                first
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    if let [only] = runs.as_slice()
        && !only.contains('-')
    {
        return only.clone();
    }
    format!("[{}]", runs.join(","))
}
