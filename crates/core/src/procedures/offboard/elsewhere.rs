//! Data elsewhere in HDFS that somebody wants dealt with too, and its place in an archive.

use super::policy::Policy;
use crate::actions::guard::lies_in;

/// Why `path` cannot be one of the trees elsewhere, whatever is there: `None` for one that can.
/// `all`: those that are asked for.
pub(super) fn fault(path: &str, all: &[String], policy: &Policy) -> Option<String> {
    if let Err(error) = policy.guard().hdfs(path) {
        return Some(error.to_string());
    }
    let overlaps = |place: &&String| lies_in(path, place) || lies_in(place, path);
    let places = [&policy.homes, &policy.warehouse, &policy.archive];
    if let Some(place) = places.into_iter().find(overlaps) {
        return Some(format!("it overlaps with {place}"));
    }
    let same = all.iter().filter(|other| *other == path).count();
    let other = all.iter().find(|other| *other != path && overlaps(other));
    match other {
        Some(other) => Some(format!("it overlaps with {other}")),
        None => (same > 1).then(|| "it is named twice".to_owned()),
    }
}

/// Its name in an archive, where a database's folder always ends in `.db`.
pub(super) fn name(path: &str) -> String {
    format!("{}.data", path.trim_start_matches('/').replace('/', "."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_others_and_of_the_archive_are_not_elsewhere() {
        let policy = Policy::default();
        let fault = |path: &str| fault(path, &["/wmf/data/research/elvis".to_owned()], &policy);
        for (path, why) in [
            ("/user/azy/of-elvis", "overlaps with /user"),
            ("/user/hive/warehouse/x.db", "overlaps with /user"),
            ("/wmf/data/archive", "overlaps with /wmf/data/archive/user"),
            (
                "/wmf/data/archive/user/azy",
                "overlaps with /wmf/data/archive/user",
            ),
            ("/wmf/data", "none of the allowed roots"),
            ("/tmp/elvis", "none of the allowed roots"),
            ("/wmf/data/../x", "not normalised"),
            ("wmf/data/x", "not absolute"),
            (
                "/wmf/data/research",
                "overlaps with /wmf/data/research/elvis",
            ),
            (
                "/wmf/data/research/elvis/a",
                "overlaps with /wmf/data/research/elvis",
            ),
        ] {
            let said = fault(path).unwrap_or_default();
            assert!(said.contains(why), "{path}: {said}");
        }
        assert_eq!(fault("/wmf/data/research/elvis"), None);
        assert_eq!(name("/wmf/data/x.db"), "wmf.data.x.db.data");
    }
}
