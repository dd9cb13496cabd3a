//! Locations, names of partitions, and the texts of views.

use super::gen_hive as wire;

/// `year=2023/month=12`, characters that a folder's name must not have escaped as Hive does
/// (`FileUtils.escapePathName`).
pub(super) fn partition_name(keys: &[String], partition: &wire::Partition) -> String {
    let escape = |text: &str| -> String {
        text.chars()
            .map(|c| {
                if c.is_ascii_control() || "\"#%'*/:=?\\{[]^".contains(c) {
                    format!("%{:02X}", u32::from(c))
                } else {
                    c.to_string()
                }
            })
            .collect()
    };
    let values = partition.values.as_deref().unwrap_or_default();
    let parts: Vec<String> = keys
        .iter()
        .zip(values)
        .map(|(key, value)| format!("{}={}", escape(&key.to_lowercase()), escape(value)))
        .collect();
    parts.join("/")
}

/// `hdfs://nn/user/elvis/t` from `/user/elvis` to `/archive`: `hdfs://nn/archive/t`. `None`
/// when it does not lie there.
pub(super) fn relocated(location: &str, from: &str, to: &str) -> Option<String> {
    let start = match location.split_once("://") {
        Some((scheme, rest)) => scheme.len() + 3 + rest.find('/')?,
        None => 0,
    };
    let (authority, path) = location.split_at(start);
    let rest = path.strip_prefix(from)?;
    (rest.is_empty() || rest.starts_with('/')).then(|| format!("{authority}{to}{rest}"))
}

/// Whether a view's text names the database: `elvis.`, `` `elvis`. ``, in any case.
pub(super) fn names_database(text: &str, database: &str) -> bool {
    let (text, database) = (text.to_lowercase(), database.to_lowercase());
    let word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(&database).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let mut after = text[at + database.len()..].chars();
        let next = match after.next() {
            Some('`') if before == Some('`') => after.next(),
            next => next,
        };
        next == Some('.') && !before.is_some_and(|c| word(c) || c == '.')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_move_as_folders_do() {
        let moved = |location| relocated(location, "/user/elvis", "/archive/elvis");
        assert_eq!(
            moved("hdfs://nn/user/elvis/t"),
            Some("hdfs://nn/archive/elvis/t".into())
        );
        assert_eq!(
            moved("hdfs://nn/user/elvis"),
            Some("hdfs://nn/archive/elvis".into())
        );
        assert_eq!(moved("/user/elvis/a b"), Some("/archive/elvis/a b".into()));
        assert_eq!(moved("hdfs://nn/user/elvis2/t"), None);
        assert_eq!(moved("hdfs://nn"), None);
        assert_eq!(moved(""), None);
    }

    #[test]
    fn a_view_names_a_database_as_a_word() {
        for text in [
            "select * from elvis.t",
            "SELECT `t`.`a` FROM `Elvis`.`t`",
            "(elvis.t)",
        ] {
            assert!(names_database(text, "elvis"), "{text}");
        }
        for text in [
            "select elvis from t",
            "from elvis2.t",
            "from pelvis.t",
            "from a.elvis.t",
            "elvis",
        ] {
            assert!(!names_database(text, "elvis"), "{text}");
        }
    }

    #[test]
    fn names_of_partitions_are_those_of_their_folders() {
        let partition = wire::Partition {
            values: Some(vec!["2023".into(), "a/b c".into()]),
            ..wire::Partition::default()
        };
        let keys = ["year".to_owned(), "Place".to_owned()];
        assert_eq!(partition_name(&keys, &partition), "year=2023/place=a%2Fb c");
    }
}
