//! A refinery that is only its two files, and the tool run on it with nothing else around.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Ran, tool};

pub(super) const ALLOWLIST: &str = "static_data/pageview/allowlist/allowlist.tsv";
pub(super) const GROUPED: &str = "static_data/mediawiki/grouped_wikis/grouped_wikis.csv";

/// A file or folder of the fixtures.
pub(super) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/newwiki")
        .join(name)
}

/// A refinery that holds the two files and nothing else, and a home of its own.
pub(super) struct Refinery {
    pub(super) folder: tempfile::TempDir,
}

impl Refinery {
    /// Without any file.
    pub(super) fn empty() -> Self {
        let refinery = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for file in [ALLOWLIST, GROUPED] {
            std::fs::create_dir_all(refinery.path(file).parent().unwrap()).unwrap();
        }
        refinery
    }

    /// With files of this content.
    pub(super) fn with(allowlist: impl AsRef<[u8]>, grouped: impl AsRef<[u8]>) -> Self {
        let refinery = Self::empty();
        refinery.write(ALLOWLIST, allowlist);
        refinery.write(GROUPED, grouped);
        refinery
    }

    /// With the real files of 2026-11-21.
    pub(super) fn today() -> Self {
        let real = |name: &str| std::fs::read(fixture("current").join(name)).unwrap();
        Self::with(real("allowlist.tsv"), real("grouped_wikis.csv"))
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join("refinery").join(file)
    }

    pub(super) fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(file), content).unwrap();
        let mode = std::fs::Permissions::from_mode(0o664);
        std::fs::set_permissions(self.path(file), mode).unwrap();
    }

    pub(super) fn bytes(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path(file)).unwrap()
    }

    pub(super) fn text(&self, file: &str) -> String {
        String::from_utf8(self.bytes(file)).unwrap()
    }

    /// Both files at once: equal, untouched.
    pub(super) fn both(&self) -> (Vec<u8>, Vec<u8>) {
        (self.bytes(ALLOWLIST), self.bytes(GROUPED))
    }

    /// Every file in the refinery.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    found.push(path);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.path(""), &mut found);
        found.sort();
        found
    }

    /// `newwiki` with a home of its own and nothing else: no configuration, no terminal.
    pub(super) fn command(&self) -> Command {
        let mut command = tool(env!("CARGO_BIN_EXE_newwiki"));
        command.env("HOME", self.folder.path().join("home"));
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Ran {
        self.command().args(arguments).output().unwrap().into()
    }

    /// The same in this refinery, offline.
    pub(super) fn offline(&self, arguments: &[&str]) -> Ran {
        let refinery = self.path("");
        let fixed = ["--offline", "--refinery", refinery.to_str().unwrap()];
        self.run(&[&fixed, arguments].concat())
    }

    /// The same, and it is done.
    #[track_caller]
    pub(super) fn done(&self, arguments: &[&str]) -> Ran {
        let fixed = ["--no-commit", "--yes"];
        self.offline(&[&fixed, arguments].concat()).expect(0)
    }
}
