//! HDFS that only reads for a while. What is shared with everybody cannot be put into that
//! mode: a test with a sandbox of its own does it, for both tools at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use opsweek_sandbox::{Refinery, Sandbox};

use super::files::fixture;
use super::review::hinted_plan;
use super::stage::{ALLOWLIST, git};
use crate::support::{Ran, run_paused, scratch, tool};

const TABLE: &str = "/wmf/test/newwiki-safe/table";
const KEPT: &str = "/wmf/test/newwiki-safe/kept";
/// Both runs add the same row: whichever comes second has nothing to bring to HDFS.
const ASKED: [&str; 6] = [
    "--project",
    "punjabi.wikimedia",
    "--date",
    "2026-11-20",
    "--sync-hdfs",
    "--yes",
];

/// Two refineries, whose lists are for the same folder of a sandbox.
pub(crate) struct NewWikis<'a> {
    sandbox: &'a Sandbox,
    one: Place,
    other: Place,
}

/// A refinery and its configuration.
struct Place {
    refinery: Refinery,
    config: PathBuf,
}

impl Place {
    fn new(sandbox: &Sandbox, folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let refinery = Refinery::make(folder).unwrap();
        let text = fs::read_to_string(sandbox.config_path()).unwrap();
        let theirs: toml::Table = text.parse().unwrap();
        let quoted = |path: &Path| format!("{:?}", path.to_str().unwrap());
        let own = format!(
            "state_dir = {}\n[newwiki]\nrefinery = {}\ndblists = {}\n\
             [newwiki.allowlist]\nfolder = {TABLE:?}\nbackup_dir = {KEPT:?}\n",
            quoted(&folder.join("state")),
            quoted(&refinery.checkout()),
            quoted(&fixture("dblists")),
        );
        let mut own: toml::Table = own.parse().unwrap();
        own.insert("hdfs".to_owned(), theirs["hdfs"].clone());
        let config = folder.join("config.toml");
        fs::write(&config, own.to_string()).unwrap();
        Self { refinery, config }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tool(env!("CARGO_BIN_EXE_newwiki"));
        command.env("OPSWEEK_CONFIG", &self.config).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(&self.refinery.checkout(), arguments)
    }

    fn list(&self) -> String {
        fs::read_to_string(self.refinery.checkout().join(ALLOWLIST)).unwrap()
    }
}

impl<'a> NewWikis<'a> {
    pub(crate) fn on(sandbox: &'a Sandbox) -> Self {
        let folder = scratch("newwiki-safe");
        let wikis = Self {
            sandbox,
            one: Place::new(sandbox, &folder.join("one")),
            other: Place::new(sandbox, &folder.join("other")),
        };
        let list = wikis.one.refinery.checkout().join(ALLOWLIST);
        wikis.hdfs(&["-mkdir", "-p", TABLE]);
        wikis.hdfs(&["-put", "-f", &list.display().to_string(), TABLE]);
        wikis
    }

    fn hdfs(&self, arguments: &[&str]) -> String {
        let arguments: Vec<&str> = ["dfs"].iter().chain(arguments).copied().collect();
        let output = self.sandbox.hdfs(None, &arguments).unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn is_in_hdfs(&self) -> String {
        self.hdfs(&["-cat", &format!("{TABLE}/*")])
    }

    /// One is committed when `fault` puts HDFS into safe mode, and does not get there. Gives
    /// the plan to go on with.
    pub(crate) fn stopped_by(&self, fault: impl FnOnce()) -> String {
        let old = self.one.list();
        let mut command = self.one.command(&ASKED);
        let ran = run_paused(&mut command, "started:keep-allowlist", |_| fault()).expect(6);
        assert!(ran.stderr.contains("safe mode"), "{}", ran.stderr);
        assert!(ran.stdout.contains("hint: wait until"), "{}", ran.stdout);
        let ahead = self.one.git(&["rev-list", "--count", "master..HEAD"]);
        assert_eq!(ahead, "1");
        assert!(self.is_in_hdfs() == old);
        hinted_plan(&ran.stderr)
    }

    /// The other begins nothing while HDFS is in safe mode.
    pub(crate) fn are_not_begun(&self) {
        let ran = self.other.run(&ASKED).expect(1);
        assert!(ran.stderr.contains("safe mode"), "{}", ran.stderr);
        assert!(ran.stderr.contains("hint: wait until"), "{}", ran.stderr);
        assert_eq!(self.other.git(&["status", "--porcelain"]), "");
        assert_eq!(self.other.git(&["branch", "--list"]), "* master");
        assert_eq!(self.other.git(&["for-each-ref", "refs/opsweek"]), "");
    }

    /// HDFS writes again.
    pub(crate) fn go_on(&self, plan: &str) {
        self.one.run(&["--plan", plan, "--yes"]).expect(0);
        assert!(self.is_in_hdfs() == self.one.list());
        assert!(!self.hdfs(&["-ls", KEPT]).contains("lock"));
        self.other.run(&ASKED).expect(0);
        assert!(self.other.list() == self.one.list());
    }
}
