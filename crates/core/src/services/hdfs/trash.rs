//! The trash, as `hdfs dfs -rm -r` uses it.

use std::collections::BTreeSet;
use std::time::Instant;

use super::call::backoff;
use super::{Detail, Error, Hdfs, path};

impl Hdfs {
    /// Moves `path` to the acting user's trash, `/user/ACTING/.Trash/Current` plus the path, and
    /// returns where it went. Missing parents there are made (mode 0700); a name that is taken
    /// gets the time in milliseconds appended. The path may itself be another user's `.Trash`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Path`] for what lies in that trash already; [`Error::Other`]
    /// when the cluster has no trash (`fs.trash.interval` is 0) or `path` holds that trash.
    pub async fn trash(&self, path: &str) -> Result<String, Error> {
        let path = &path::below_root(path)?;
        let call = || self.call("move to the trash", path);
        self.stat_present("move to the trash", path).await?;
        let before = self.namesakes(path).await?;
        let started = Instant::now();
        let mut pauses = backoff();
        loop {
            let (client, from) = (self.inner.client.clone(), path.clone());
            let moved = async move { client.trash(&from).await };
            let error = match self.once(call(), moved).await {
                Ok(Some(place)) => return Ok(place),
                Ok(None) => {
                    return Err(Error::Path {
                        path: path.clone(),
                        why: "lies in the trash already",
                    });
                }
                Err(error) => error,
            };
            // The answer may be lost and the move done.
            if self.stat(path).await?.is_none() {
                let after = self.namesakes(path).await?;
                let mut new = after.difference(&before);
                return match (new.next(), new.next()) {
                    (Some(place), None) => Ok(place.clone()),
                    _ => Err(Error::Other {
                        call: Box::new(call()),
                        source: Detail::of(&format!(
                            "it is gone, and where it went cannot be told, after: {error}"
                        )),
                    }),
                };
            }
            if !self.may_repeat(&error, started) {
                return Err(error);
            }
            tokio::time::sleep(pauses.next().unwrap_or_default()).await;
        }
    }

    /// What lies in the trash under the name of `path`, with or without a time appended.
    async fn namesakes(&self, path: &str) -> Result<BTreeSet<String>, Error> {
        let place = trash_place(self.user(), path);
        let (folder, _) = path::split(&place);
        match self.list(folder).await {
            Ok(all) => Ok(all
                .into_iter()
                .map(|status| status.path)
                .filter(|found| is_namesake(found, &place))
                .collect()),
            Err(Error::NotFound { .. }) => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }
}

/// Where `path` goes in the trash of `user` when the name is free.
fn trash_place(user: &str, path: &str) -> String {
    format!("/user/{user}/.Trash/Current{path}")
}

/// Whether `found` is `place`, or `place` with a time appended.
fn is_namesake(found: &str, place: &str) -> bool {
    found
        .strip_prefix(place)
        .is_some_and(|time| time.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_shell() {
        assert_eq!(
            trash_place("hdfs", "/user/elvis/.Trash"),
            "/user/hdfs/.Trash/Current/user/elvis/.Trash"
        );
    }

    #[test]
    fn namesakes_differ_by_a_time_only() {
        assert!(is_namesake("/t/x", "/t/x"));
        assert!(is_namesake("/t/x1795238981701", "/t/x"));
        assert!(!is_namesake("/t/xy", "/t/x"));
        assert!(!is_namesake("/t/x1/y", "/t/x"));
        assert!(!is_namesake("/t/w", "/t/x"));
    }
}
