//! Changes that people and bots have made, done again by the tool from what was asked for.

use std::path::Path;

use serde_json::Value;

use super::files::{ALLOWLIST, GROUPED, Refinery, fixture};

/// What the folder's `ask.json` asks for, as runs of the tool.
fn asked(ask: &Value) -> Vec<Vec<String>> {
    let list = |key: &str| ask[key].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut runs: Vec<Vec<String>> = Vec::new();
    for row in list("allowlist_add") {
        // The row as it was typed: field, value and time stamp, however they were separated.
        let (value, stamp) = match row.get("raw") {
            Some(raw) => {
                let raw = text(raw);
                let words: Vec<&str> = raw.split_whitespace().collect();
                (words[1].to_owned(), words[2].to_owned())
            }
            None => (text(&row["value"]), text(&row["dt"])),
        };
        let date = stamp[..10].to_owned();
        runs.push(["--project".to_owned(), value, "--date".to_owned(), date].into());
    }
    for value in list("allowlist_remove") {
        runs.push(["--drop-project".to_owned(), text(&value)].into());
    }
    let names = list("grouped_add");
    if !names.is_empty() {
        let name = |row: &Value| text(row).split(',').next().unwrap().to_owned();
        let only = ["--only".to_owned(), "sqoop".to_owned()];
        runs.push(names.iter().map(name).chain(only).collect());
    }
    for row in list("grouped_remove") {
        let name = text(&row).split(',').next().unwrap().to_owned();
        runs.push(
            [
                "--drop".to_owned(),
                name,
                "--only".to_owned(),
                "sqoop".to_owned(),
            ]
            .into(),
        );
    }
    runs
}

/// The pair's file of this kind, where it has one.
fn read(pair: &Path, name: &str) -> Option<Vec<u8>> {
    std::fs::read(pair.join(name)).ok()
}

#[test]
fn every_pair_is_reproduced() {
    let mut exact = 0;
    let mut better = 0;
    for pair in std::fs::read_dir(fixture("pairs")).unwrap() {
        let pair = pair.unwrap().path();
        let ask: Value = serde_json::from_slice(&read(&pair, "ask.json").unwrap()).unwrap();
        let refinery = Refinery::empty();
        let files = [
            (ALLOWLIST, "allowlist", "tsv"),
            (GROUPED, "grouped_wikis", "csv"),
        ];
        for (file, stem, ending) in files {
            if let Some(before) = read(&pair, &format!("{stem}.before.{ending}")) {
                refinery.write(file, before);
            }
        }
        for run in asked(&ask) {
            let arguments: Vec<&str> = run.iter().map(String::as_str).collect();
            refinery.done(&arguments);
            // Twice is once.
            let both = refinery
                .files()
                .iter()
                .map(|file| std::fs::read(file).unwrap())
                .collect::<Vec<_>>();
            let again = refinery.done(&arguments);
            assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
            let now = refinery
                .files()
                .iter()
                .map(|file| std::fs::read(file).unwrap())
                .collect::<Vec<_>>();
            assert!(both == now, "{}: twice is not once", pair.display());
        }
        for (file, stem, ending) in files {
            let Some(after) = read(&pair, &format!("{stem}.after.{ending}")) else {
                continue;
            };
            // What the tool makes instead of what was done; why.txt says why it differs.
            let own = read(&pair, &format!("{stem}.tool.{ending}"));
            if own.is_some() {
                better += 1;
                assert!(
                    own.as_ref() != Some(&after),
                    "{}: no difference",
                    pair.display()
                );
                assert!(!read(&pair, "why.txt").unwrap().is_empty());
            } else {
                exact += 1;
            }
            let expected = own.unwrap_or(after);
            assert!(
                refinery.bytes(file) == expected,
                "{}: {file}",
                pair.display()
            );
        }
    }
    assert_eq!((exact, better), (7, 4));
}
