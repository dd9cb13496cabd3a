//! What is made once and used by every sandbox: jars, our compiled classes, empty
//! metastore databases.
//!
//! An entry is a folder whose name says its version. It is built under a temporary
//! name and renamed, so that it is either whole or absent, whoever gets killed.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error};
use crate::files;

/// The cache's folder.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$OPSWEEK_CACHE`, else `$XDG_CACHE_HOME/opsweek`, else `~/.cache/opsweek`.
    pub(crate) fn from_env() -> Result<Self, Error> {
        let var = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let root = var("OPSWEEK_CACHE")
            .or_else(|| Some(var("XDG_CACHE_HOME")?.join("opsweek")))
            .or_else(|| Some(var("HOME")?.join(".cache/opsweek")))
            .ok_or(Error::NoCache)?;
        let root = std::path::absolute(&root).context("find", &root)?;
        Ok(Self { root })
    }

    /// Where [`Cache::entry`] has or would put it.
    pub(crate) fn path(&self, name: &str, recipe: impl Hash) -> PathBuf {
        // Another compiler's hash may differ: then it is just built again.
        let mut hasher = DefaultHasher::new();
        recipe.hash(&mut hasher);
        self.root.join(format!("{name}-{:016x}", hasher.finish()))
    }

    /// The folder of `name`, made by `build` in a folder that it is given when the
    /// cache has none yet. `recipe` is what it is made from: another recipe, another
    /// entry.
    pub(crate) fn entry(
        &self,
        name: &str,
        recipe: impl Hash,
        build: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<PathBuf, Error> {
        let entry = self.path(name, recipe);
        if entry.exists() {
            return Ok(entry);
        }
        files::folder(&self.root)?;
        let path = self.root.join(format!("{name}.lock"));
        let lock = File::create(&path).context("create", &path)?;
        lock.lock().context("lock", &path)?;
        if entry.exists() {
            return Ok(entry);
        }
        let temporary = self.root.join(format!("{name}.building"));
        files::remove(&temporary)?;
        files::folder(&temporary)?;
        build(&temporary)?;
        fs::rename(&temporary, &entry).context("write", &entry)?;
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_built_once_and_never_half() {
        let root = std::env::temp_dir().join(format!("opsweek-cache-{}", std::process::id()));
        let cache = Cache { root: root.clone() };
        let failed = cache.entry("thing", 1, |folder| {
            fs::write(folder.join("half"), "").unwrap();
            Err(Error::NoCache)
        });
        assert!(failed.is_err());

        let make = |folder: &Path| {
            assert!(!folder.join("half").exists());
            fs::write(folder.join("whole"), "").context("write", folder)
        };
        let entry = cache.entry("thing", 1, make).unwrap();
        assert!(entry.join("whole").exists());
        let again = cache.entry("thing", 1, |_| Err(Error::NoCache)).unwrap();
        assert_eq!(again, entry);
        let other = cache.entry("thing", 2, make).unwrap();
        assert_ne!(other, entry);
        fs::remove_dir_all(root).unwrap();
    }
}
