//! Where rows go, and what is wrong in real files.

use super::super::allowlist;
use super::super::edit::{Edited, diff};
use super::super::grouped;
use super::super::lint::{Blemish, Kind, brought};
use super::super::names::{Name, Project, date};
use super::real;

fn row(project: &str) -> String {
    format!("project\t{project}\t2015-10-12 00:00:00")
}

fn tsv(projects: &[&str]) -> String {
    projects.iter().map(|one| row(one) + "\n").collect()
}

/// The allowlist with the projects, and each new row's line, from 1.
fn add(text: &str, projects: &[&str]) -> Vec<usize> {
    let day = date("2024-06-21").unwrap();
    let projects: Vec<Project> = projects
        .iter()
        .map(|one| Project::parse(one).unwrap())
        .collect();
    let change = allowlist::change(text.as_bytes(), &projects, &[], day);
    let Some(edited) = Edited::new(text.as_bytes(), &change.changes).unwrap() else {
        return Vec::new();
    };
    let after = String::from_utf8(edited.after).unwrap();
    let new = after
        .lines()
        .enumerate()
        .filter(|(_, line)| line.contains("2024-06-21"));
    new.map(|(index, _)| index + 1).collect()
}

#[test]
fn a_row_goes_to_its_bytewise_place() {
    let text = tsv(&["a.wikipedia", "c-d.wikipedia", "c.wikipedia"])
        + "agent_type\tuser\t2015-10-12 00:00:00\n";
    for (project, line) in [
        ("0.wikipedia", 1),
        ("b.wikipedia", 2),
        ("c-a.wikipedia", 2),
        ("c.wikibooks", 3),
        ("c.wikiquote", 4),
        ("wikidata", 4),
    ] {
        assert_eq!(add(&text, &[project]), [line], "{project}");
    }
    // Several at one place, whatever the order they were asked for in.
    assert_eq!(
        add(&text, &["bb.wikipedia", "ba.wikipedia", "bb.wikipedia"]),
        [2, 3]
    );
    assert_eq!(add(&text, &["c.wikipedia"]), [0; 0]);
    assert_eq!(add("", &["b.wikipedia"]), [1]);
}

#[test]
fn rows_out_of_order_do_not_mislead() {
    // One strays to the front, one to the end of the file, one has a space for a tab.
    let text = tsv(&["z.wikipedia", "a.wikipedia", "ab.wikipedia"])
        + "project c.wikipedia\t2015-10-12 00:00:00\n\n# what is this\n"
        + &tsv(&["e.wikipedia", "g.wikipedia"])
        + "agent_type\tuser\t2015-10-12 00:00:00\n"
        + &tsv(&["b.wikipedia"]);
    for (project, line) in [
        ("ac.wikipedia", 4),
        ("c.wikipedia", 4),
        ("d.wikipedia", 5),
        ("f.wikipedia", 8),
        ("h.wikipedia", 9),
    ] {
        assert_eq!(add(&text, &[project]), [line], "{project}");
    }
}

#[test]
fn sqoop_rows_join_the_last_group() {
    let names =
        |all: &[&str]| -> Vec<Name> { all.iter().map(|n| Name::parse(n).unwrap()).collect() };
    let added = |text: &str, all: &[&str]| {
        let change = grouped::change(text.as_bytes(), &names(all), &[]).unwrap();
        let edited = Edited::new(text.as_bytes(), &change.changes).unwrap();
        edited.map(|edited| String::from_utf8(edited.after).unwrap())
    };
    let cases = [
        ("#h\nbwiki,14,1", "#h\nbwiki,14,1\ncwiki,14,1\nawiki,14,1\n"),
        ("bwiki,14,1\r\n", "bwiki,14,1\r\ncwiki,14,1\nawiki,14,1\n"),
        (
            "bwiki,15,1\nx\n\n# end\n",
            "bwiki,15,1\nx\n\n# end\ncwiki,15,1\nawiki,15,1\n",
        ),
        (
            "bwiki, 014 ,1\n",
            "bwiki, 014 ,1\ncwiki,014,1\nawiki,014,1\n",
        ),
    ];
    for (before, after) in cases {
        assert_eq!(
            added(before, &["cwiki", "awiki", "cwiki", "bwiki"]).unwrap(),
            after
        );
    }
    // Even of a file that lacks its last newline: nothing to do is nothing done.
    assert_eq!(added("bwiki,14,1", &["bwiki"]), None);
    for empty in ["", "# header\n", "\n", "x\n"] {
        assert!(
            grouped::change(empty.as_bytes(), &names(&["awiki"]), &[]).is_err(),
            "{empty:?}"
        );
    }
}

fn shown(blemishes: &[Blemish]) -> String {
    let lines: Vec<String> = blemishes.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn what_is_wrong_today() {
    insta::assert_snapshot!(shown(&allowlist::lint(&real("current/allowlist.tsv"))), @r#"
    line 337: DUPLICATE: "project\tgr.wikimedia"
    line 62: not at 00:00:00: "project\tawa.wikipedia\t2020-05-20 12:00:00"
    line 108: not at 00:00:00: "project\tbjn.wikibooks\t2021-12-12 23:00:00"
    line 329: not at 00:00:00: "project\tgom.wiktionary\t2020-05-20 12:00:00"
    line 539: not at 00:00:00: "project\tlld.wikipedia\t2020-08-17 13:00:00"
    line 664: not at 00:00:00: "project\tnoc.wikimedia\t2020-12-23 19:00:00"
    line 674: not at 00:00:00: "project\tnyc.wikimedia\t2018-05-21 00-00-00"
    line 897: not at 00:00:00: "project\tthankyou.wikipedia\t2020-08-17 13:00:00"
    line 1010: not at 00:00:00: "project\tyue.wikibooks\t2021-04-29 09:00:00"
    "#);
    insta::assert_snapshot!(shown(&grouped::lint(&real("current/grouped_wikis.csv"))), @r#"line 501: in several pieces: "group 14""#);
}

#[test]
fn everything_that_can_be_wrong_is_seen() {
    let tsv = "project\ta.wikipedia\t2024-01-01 00:00:00\r
project c.wikipedia\t2024-01-01 00:00:00
project\tb.wikipedia\t2024-01-01 00:00:00

project\tb.wikipedia\t2024-01-32 00:00:00
project\td.wikipedia
projekt\te.wikipedia\t2024-01-01 00:00:00
project\tf.org\t2024-01-01 00:00:00
project\tg.wikipedia \t2024-01-01 00:00:00
agent_type\tuser\t2024-01-01 00:00:00
access_method mobile web 2024-01-01 00:00:00
project\th.wikipedia\t2024-01-01 10:00:00";
    insta::assert_snapshot!(shown(&allowlist::lint(tsv.as_bytes())), @r#"
    line 5: DUPLICATE: "project\tb.wikipedia"
    line 4: blank line
    line 6: not three columns: "project\td.wikipedia"
    line 2: space for a tab: "project c.wikipedia\t2024-01-01 00:00:00"
    line 11: space for a tab: "access_method mobile web 2024-01-01 00:00:00"
    line 1: carriage return: "project\ta.wikipedia\t2024-01-01 00:00:00\r"
    line 9: spaces around a value: "project\tg.wikipedia \t2024-01-01 00:00:00"
    line 7: unknown field: "projekt\te.wikipedia\t2024-01-01 00:00:00"
    line 8: not a value of its column: "project\tf.org\t2024-01-01 00:00:00"
    line 5: not a date: "project\tb.wikipedia\t2024-01-32 00:00:00"
    line 12: not at 00:00:00: "project\th.wikipedia\t2024-01-01 10:00:00"
    line 12: in several pieces: "project"
    line 3: not in order: "project"
    line 12: no newline at the end
    "#);
    let csv = "# header\nawiki,1,9\nbwiki,2,8\n\ncwiki, 1,7\nawiki,1,9\nd,1,1\nfwiki,1\nDwiki,1,x\newiki,1,1\r";
    insta::assert_snapshot!(shown(&grouped::lint(csv.as_bytes())), @r#"
    line 6: DUPLICATE: "awiki"
    line 4: blank line
    line 8: not three columns: "fwiki,1"
    line 10: carriage return: "ewiki,1,1\r"
    line 5: spaces around a value: "cwiki, 1,7"
    line 7: not a value of its column: "d,1,1"
    line 9: not a value of its column: "Dwiki,1,x"
    line 5: in several pieces: "group 1"
    line 10: no newline at the end
    "#);
}

#[test]
fn mended() {
    let tsv = "project\tc.wikipedia\t2024-01-01 00:00:00\r
project d.wikipedia\t2024-01-01 00-00-00
project\tb.wikipedia\t2024-01-01 00:00:00

project\td.wikipedia\t2024-01-03 00:00:00
projekt\te.wikipedia\t2024-01-01 00:00:00
agent_type\tuser\t2024-01-01 00:00:00
access_method  mobile web  2024-01-01 00:00:00
project\ta.wikipedia\t2024-01-01 10:00:00";
    let edited = Edited::new(tsv.as_bytes(), &allowlist::mend(tsv.as_bytes()))
        .unwrap()
        .unwrap();
    insta::assert_snapshot!(String::from_utf8(edited.after).unwrap().replace('\t', " TAB "), @r#"
    project TAB a.wikipedia TAB 2024-01-01 00:00:00
    project TAB b.wikipedia TAB 2024-01-01 00:00:00
    project TAB c.wikipedia TAB 2024-01-01 00:00:00
    project TAB d.wikipedia TAB 2024-01-01 00:00:00
    projekt TAB e.wikipedia TAB 2024-01-01 00:00:00
    agent_type TAB user TAB 2024-01-01 00:00:00
    access_method TAB mobile web TAB 2024-01-01 00:00:00
    "#);
    let csv = "#h\r\nawiki, 1,9\n\nbwiki,2,8\nawiki,1,9\ncwiki,1,1";
    let edited = Edited::new(csv.as_bytes(), &grouped::mend(csv.as_bytes()))
        .unwrap()
        .unwrap();
    assert_eq!(edited.after, b"#h\nawiki,1,9\nbwiki,2,8\ncwiki,1,1\n");
}

#[test]
fn the_real_files_can_be_mended() {
    let bytes = real("current/allowlist.tsv");
    let edited = Edited::new(&bytes, &allowlist::mend(&bytes))
        .unwrap()
        .unwrap();
    assert_eq!(allowlist::lint(&edited.after), []);
    // One duplicate went, eight times became 00:00:00.
    assert_eq!(edited.hunks.len(), 9);
    let bytes = real("current/grouped_wikis.csv");
    assert!(grouped::mend(&bytes).is_empty());
}

/// Whichever row is taken out of the real files comes back to where it was.
#[test]
fn rows_that_go_and_come_back_leave_no_trace() {
    let real = String::from_utf8(real("current/allowlist.tsv")).unwrap();
    let rows: Vec<&str> = real.split_inclusive('\n').collect();
    let mut tried = 0;
    for (index, row) in rows.iter().enumerate().step_by(11) {
        let columns: Vec<&str> = row.trim_end().split('\t').collect();
        let [field, value, stamp] = columns[..] else {
            panic!("{row:?}")
        };
        if field != "project" || !stamp.ends_with(" 00:00:00") || value == "gr.wikimedia" {
            continue;
        }
        let without = [&rows[..index], &rows[index + 1..]].concat().concat();
        let project = Project::parse(value).unwrap();
        let day = date(&stamp[..10]).unwrap();
        let change = allowlist::change(without.as_bytes(), &[project], &[], day);
        let edited = Edited::new(without.as_bytes(), &change.changes);
        assert!(edited.unwrap().unwrap().after == real.as_bytes(), "{row:?}");
        tried += 1;
    }
    assert!(tried > 80, "{tried}");
}

#[test]
fn only_what_is_new_was_brought() {
    let one = |kind, line, text: &str| Blemish {
        kind,
        line,
        text: text.to_owned(),
        mendable: false,
    };
    let old = [one(Kind::Date, 3, "x"), one(Kind::Blank, 4, "")];
    let moved = [one(Kind::Date, 7, "x"), one(Kind::Blank, 9, "")];
    assert!(brought(&old, &moved).is_empty());
    let new = [
        one(Kind::Date, 7, "y"),
        one(Kind::Blank, 9, ""),
        one(Kind::Blank, 10, ""),
    ];
    assert_eq!(brought(&old, &new), [&new[0], &new[2]]);
}

#[test]
fn a_diff_shows_bytes_not_intentions() {
    let table = diff(
        "x".to_owned(),
        b"a\nb\nc\nd\ne\nf",
        b"a\nb\nc\nd\ne\nX\tY\nf\n",
    );
    let rows: Vec<String> = table.rows.iter().map(|row| row.join("|")).collect();
    assert_eq!(
        rows,
        [
            "4||d",
            "5||e",
            "6|-|f (no newline at the end)",
            "6|+|X\tY",
            "7|+|f"
        ]
    );
}
