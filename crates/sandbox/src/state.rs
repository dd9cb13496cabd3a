//! What a sandbox remembers between two starts, in `DIR/sandbox.json`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error};
use crate::files;
use crate::servers::Ports;
use crate::servers::metastore::Backend;

/// Nothing here says whether a server runs: `/proc` does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// The ports last used.
    pub(crate) ports: Ports,
    /// The metastore's database, once it has one.
    pub(crate) backend: Option<Backend>,
    /// Whether the `DataNode` has its own JVM.
    pub(crate) split_datanode: bool,
    /// Whether the metastore has its own JVM.
    pub(crate) split_metastore: bool,
    /// Whether HDFS has no trash.
    #[serde(default)]
    pub(crate) no_trash: bool,
    /// How many hosts there were.
    pub(crate) hosts: u8,
}

impl State {
    /// The state of the sandbox `dir`; the empty one when it was never up.
    pub(crate) fn load(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("sandbox.json");
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|source| Error::State { path, source }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).context("read", &path),
        }
    }

    pub(crate) fn save(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join("sandbox.json");
        let text = serde_json::to_string_pretty(self).map_err(|source| Error::State {
            path: path.clone(),
            source,
        })?;
        files::write(&path, 0o644, &text)
    }
}
