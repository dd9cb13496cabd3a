//! Results of many hosts, read as few.

use std::collections::BTreeMap;

use super::hostset::{HostName, fold};

/// Takes each host's result and gives the equal ones together, each with the folded set of its
/// hosts; the largest group first, as cumin shows them.
///
/// ```
/// use opsweek_core::services::fleet::{HostName, group_outputs};
///
/// let results = ["db1", "db2", "db3"].map(|name| {
///     let text = if name == "db3" { "down" } else { "up" };
///     (HostName::parse(name).unwrap(), text)
/// });
/// let groups = group_outputs(results);
/// assert_eq!(groups, [("db[1-2]".to_owned(), "up"), ("db3".to_owned(), "down")]);
/// ```
pub fn group_outputs<T: Ord>(results: impl IntoIterator<Item = (HostName, T)>) -> Vec<(String, T)> {
    let mut groups: BTreeMap<T, Vec<HostName>> = BTreeMap::new();
    for (host, result) in results {
        groups.entry(result).or_default().push(host);
    }
    let mut groups: Vec<(Vec<HostName>, T)> = groups.into_iter().map(|(r, h)| (h, r)).collect();
    groups.sort_by_key(|(hosts, _)| std::cmp::Reverse(hosts.len()));
    groups
        .into_iter()
        .map(|(hosts, result)| (fold(&hosts), result))
        .collect()
}
