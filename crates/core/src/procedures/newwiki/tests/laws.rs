//! What holds of any file and any additions.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::edit::{Changes, Edited, diff, lines};
use super::super::lint::{Blemish, brought};
use super::super::names::{Name, Project, date};
use super::super::{allowlist, grouped};

const STEM: &str = "[a-c]{1,2}";

fn project() -> impl Strategy<Value = Project> {
    (STEM, "wikipedia|wikiquote")
        .prop_map(|(stem, family)| Project::parse(&format!("{stem}.{family}")).unwrap())
}

fn name() -> impl Strategy<Value = Name> {
    (STEM, "wiki|wikiquote").prop_map(|(stem, family)| Name::parse(&(stem + &family)).unwrap())
}

/// Lines as people, bots and editors leave them, and lines of nobody.
fn file(line: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let odd = prop_oneof![
        Just(b"".to_vec()),
        Just(b" \t".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"a\xffwiki,14,1".to_vec()),
        Just(b"project\ta\xff.wikipedia\t2024-01-01 00:00:00".to_vec()),
        Just(b"# comment".to_vec()),
        vec(
            any::<u8>().prop_filter("an end", |byte| *byte != b'\n'),
            0..9
        ),
    ];
    let end = prop_oneof![5 => Just(""), 1 => Just("\r"), 1 => Just(" ")];
    let line = (prop_oneof![8 => line, 1 => odd], end);
    (vec(line, 0..25), any::<bool>()).prop_map(|(lines, whole)| {
        let lines = lines.into_iter().map(|(mut line, end)| {
            line.extend_from_slice(end.as_bytes());
            line
        });
        let mut bytes = lines.collect::<Vec<_>>().join(&b'\n');
        if whole && !bytes.is_empty() {
            bytes.push(b'\n');
        }
        bytes
    })
}

fn rows_of_allowlist() -> impl Strategy<Value = Vec<u8>> {
    let project = (
        STEM,
        "[.]wikipedia|[.]wikiquote|",
        "\t|\t|\t|\t| ",
        "2024-01-01 00:00:00|2024-01-01 12:00:00|2024-01-01 00-00-00|2024-02-30 00:00:00",
    );
    let project = project.prop_map(|(stem, family, tab, stamp)| {
        format!("project{tab}{stem}{family}\t{stamp}").into_bytes()
    });
    prop_oneof![
        9 => project,
        1 => Just(b"agent_type\tuser\t2015-10-12 00:00:00".to_vec()),
        1 => Just(b"access_method\tmobile web\t2015-10-12 00:00:00".to_vec()),
    ]
}

fn rows_of_grouped() -> impl Strategy<Value = Vec<u8>> {
    (STEM, "wiki|wikiquote", ",|, ", "12|13|14|", "1|30|x|").prop_map(
        |(stem, family, comma, group, size)| {
            format!("{stem}{family}{comma}{group},{size}").into_bytes()
        },
    )
}

/// The file after the changes; the file itself when there is nothing to do.
fn done(bytes: &[u8], changes: &Changes) -> Vec<u8> {
    let edited = Edited::new(bytes, changes).unwrap();
    edited.map_or_else(|| bytes.to_owned(), |edited| edited.after)
}

/// The file once it is mended, the end of its last line too.
fn mended_file(bytes: &[u8], changes: &Changes) -> Vec<u8> {
    let bytes = done(bytes, changes);
    Edited::end(&bytes).unwrap().after
}

/// The lines of `after` that are not the lines of `before`, which all are there and in order.
fn added<'a>(before: &[u8], after: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let old = lines(before);
    let mut old = old.iter().peekable();
    let mut new = Vec::new();
    for line in lines(after) {
        if old.next_if(|next| **next == line).is_none() {
            new.push(line);
        }
    }
    old.peek().is_none().then_some(new)
}

/// The plus lines of a diff, as they are shown.
fn plus(before: &[u8], after: &[u8]) -> usize {
    let diff = diff(String::new(), before, after);
    diff.rows.iter().filter(|row| row[1] == "+").count()
}

proptest! {
    #[test]
    fn adding_to_the_allowlist(
        bytes in file(rows_of_allowlist()),
        add in vec(project(), 0..6),
    ) {
        let day = date("2024-06-21").unwrap();
        let change = |bytes: &[u8]| allowlist::change(bytes, &add, &[], day);
        let before = allowlist::projects(&bytes);
        let after = done(&bytes, &change(&bytes).changes);
        let mut expected: Vec<String> = add
            .iter()
            .filter(|one| !before.contains_key(one.as_str().as_bytes()))
            .map(|one| allowlist::row(one, day))
            .collect();
        expected.sort();
        expected.dedup();
        let mut new = added(&bytes, &after).expect("an old line is gone or moved");
        new.sort_unstable();
        prop_assert_eq!(&new, &expected.iter().map(String::as_bytes).collect::<Vec<_>>());
        for one in &add {
            let rows = &allowlist::projects(&after)[one.as_str().as_bytes()];
            prop_assert!(before.contains_key(one.as_str().as_bytes()) || rows.len() == 1);
        }
        prop_assert!(new.is_empty() || after.ends_with(b"\n"));
        prop_assert!(change(&after).changes.is_empty());
        let (old, now) = (allowlist::lint(&bytes), allowlist::lint(&after));
        prop_assert_eq!(brought(&old, &now), Vec::<&Blemish>::new());
        prop_assert!(plus(&bytes, &after) >= expected.len());
    }

    #[test]
    fn dropping_from_the_allowlist(
        bytes in file(rows_of_allowlist()),
        drop in vec(project(), 0..6),
    ) {
        let day = date("2024-06-21").unwrap();
        let drop: Vec<String> = drop.into_iter().map(String::from).collect();
        let change = |bytes: &[u8]| allowlist::change(bytes, &[], &drop, day);
        let after = done(&bytes, &change(&bytes).changes);
        let mut gone = added(&after, &bytes).expect("a line that stays is gone or moved");
        gone.retain(|line| !drop.iter().any(|value| {
            line.starts_with(format!("project\t{value}\t").as_bytes())
        }));
        prop_assert_eq!(gone, Vec::<&[u8]>::new());
        let left = allowlist::projects(&after);
        prop_assert!(drop.iter().all(|value| !left.contains_key(value.as_bytes())));
        prop_assert!(change(&after).changes.is_empty());
        let (old, now) = (allowlist::lint(&bytes), allowlist::lint(&after));
        prop_assert_eq!(brought(&old, &now), Vec::<&Blemish>::new());
    }

    #[test]
    fn adding_to_the_sqoop_list(
        bytes in file(rows_of_grouped()),
        add in vec(name(), 0..6),
    ) {
        let change = |bytes: &[u8]| grouped::change(bytes, &add, &[]);
        let before = grouped::wikis(&bytes);
        let Ok(first) = change(&bytes) else { return Ok(()); };
        let after = done(&bytes, &first.changes);
        let new = added(&bytes, &after).expect("an old line is gone or moved");
        let mut expected: Vec<&str> = Vec::new();
        for one in &add {
            if !before.contains_key(one.as_str().as_bytes()) && !expected.contains(&one.as_str()) {
                expected.push(one.as_str());
            }
        }
        let names: Vec<&[u8]> = new
            .iter()
            .map(|line| line.split(|&byte| byte == b',').next().unwrap())
            .collect();
        prop_assert_eq!(&names, &expected.iter().map(|one| one.as_bytes()).collect::<Vec<_>>());
        prop_assert!(lines(&after).ends_with(&new));
        prop_assert!(new.is_empty() || after.ends_with(b"\n"));
        prop_assert!(change(&after).unwrap().changes.is_empty());
        let (old, now) = (grouped::lint(&bytes), grouped::lint(&after));
        prop_assert_eq!(brought(&old, &now), Vec::<&Blemish>::new());
    }

    #[test]
    fn dropping_from_the_sqoop_list(
        bytes in file(rows_of_grouped()),
        drop in vec(name(), 0..6),
    ) {
        let change = |bytes: &[u8]| grouped::change(bytes, &[], &drop).unwrap();
        let after = done(&bytes, &change(&bytes).changes);
        prop_assert!(added(&after, &bytes).is_some(), "a line that stays is gone or moved");
        let left = grouped::wikis(&after);
        prop_assert!(drop.iter().all(|one| !left.contains_key(one.as_str().as_bytes())));
        let (old, now) = (grouped::lint(&bytes), grouped::lint(&after));
        prop_assert_eq!(brought(&old, &now), Vec::<&Blemish>::new());
    }

    #[test]
    fn mending_the_allowlist(bytes in file(rows_of_allowlist())) {
        let mended = mended_file(&bytes, &allowlist::mend(&bytes));
        let left = allowlist::lint(&mended);
        prop_assert!(left.iter().all(|one| !one.mendable), "{:?}", left);
        prop_assert!(allowlist::mend(&mended).is_empty());
        let known: Vec<Vec<u8>> = allowlist::projects(&bytes).into_keys().collect();
        let still = allowlist::projects(&mended);
        // What is allowed stays allowed.
        let lost = known.iter().find(|one| {
            !still.contains_key(*one) && !still.contains_key(one.trim_ascii())
        });
        prop_assert_eq!(lost, None);
    }

    #[test]
    fn mending_the_sqoop_list(bytes in file(rows_of_grouped())) {
        let mended = mended_file(&bytes, &grouped::mend(&bytes));
        let left = grouped::lint(&mended);
        prop_assert!(left.iter().all(|one| !one.mendable), "{:?}", left);
        prop_assert!(grouped::mend(&mended).is_empty());
        let known: Vec<Vec<u8>> = grouped::wikis(&bytes).into_keys().collect();
        let still: Vec<Vec<u8>> = grouped::wikis(&mended).into_keys().collect();
        prop_assert_eq!(known, still);
    }
}

/// What only some call white space is nothing to mend: to sqoop it is a name.
#[test]
fn a_vertical_tab_is_not_blank() {
    for (lint, mend) in [
        (
            grouped::lint as fn(&[u8]) -> Vec<Blemish>,
            grouped::mend as fn(&[u8]) -> _,
        ),
        (allowlist::lint, allowlist::mend),
    ] {
        for line in ["\u{b}\n", "\u{a0}\n"] {
            let found = lint(line.as_bytes());
            assert!(found.iter().any(|one| !one.mendable), "{found:?}");
            assert_eq!(
                mended_file(line.as_bytes(), &mend(line.as_bytes())),
                line.as_bytes()
            );
        }
    }
}
