//! A refinery with its remote, a configuration, and folders in HDFS for one test; judged by
//! git and `hdfs dfs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, Once, PoisonError};

use opsweek_sandbox::Refinery;

use crate::support::{Ran, sandbox, scratch, tool};

pub(crate) const ALLOWLIST: &str = "static_data/pageview/allowlist/allowlist.tsv";
pub(crate) const GROUPED: &str = "static_data/mediawiki/grouped_wikis/grouped_wikis.csv";

pub(crate) struct Stage {
    folder: PathBuf,
    pub(crate) refinery: Refinery,
    pub(crate) name: &'static str,
}

impl Stage {
    /// Everything but the folders in HDFS.
    pub(crate) fn new(name: &'static str) -> Self {
        static SEEDED: Once = Once::new();
        SEEDED.call_once(|| sandbox().seed_newwiki().unwrap());
        let folder = scratch(&format!("newwiki-{name}"));
        fs::create_dir_all(&folder).unwrap();
        let stage = Self {
            refinery: Refinery::make(&folder).unwrap(),
            folder,
            name,
        };
        let refinery = stage.refinery.checkout().display().to_string();
        let (table, kept) = (stage.table(), stage.kept());
        stage.configure(&[
            (
                "state_dir",
                &stage.folder.join("state").display().to_string(),
            ),
            ("refinery", &refinery),
            ("folder", &table),
            ("backup_dir", &kept),
        ]);
        stage
    }

    /// With the allowlist in HDFS, as the checkout has it.
    pub(crate) fn with_hdfs(name: &'static str) -> Self {
        let stage = Self::new(name);
        let allowlist = stage.refinery.checkout().join(ALLOWLIST);
        Self::hdfs(&["-rm", "-r", "-f", &stage.root()]);
        Self::hdfs(&["-mkdir", "-p", &stage.table()]);
        Self::hdfs(&["-put", &allowlist.display().to_string(), &stage.table()]);
        stage
    }

    fn root(&self) -> String {
        format!("/wmf/test/newwiki-{}", self.name)
    }

    /// The folder that is the table.
    pub(crate) fn table(&self) -> String {
        format!("{}/table", self.root())
    }

    /// The folder of the copies.
    pub(crate) fn kept(&self) -> String {
        format!("{}/kept", self.root())
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    /// Gives keys of the configuration other values, wherever they stand.
    pub(crate) fn configure(&self, values: &[(&str, &str)]) {
        let from = if self.config().exists() {
            self.config()
        } else {
            sandbox().config_path()
        };
        let mut text = fs::read_to_string(from).unwrap();
        for (key, value) in values {
            let lines = text.lines().map(|line| match line.split_once(" = ") {
                Some((found, _)) if found == *key => format!("{key} = {value:?}"),
                _ => line.to_owned(),
            });
            text = lines.collect::<Vec<_>>().join("\n") + "\n";
        }
        fs::write(self.config(), text).unwrap();
    }

    /// Puts lines into a section of the configuration, and takes out those of these keys.
    pub(crate) fn configure_section(&self, section: &str, without: &[&str], lines: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        let header = format!("[{section}]");
        let mut inside = false;
        let mut out = Vec::new();
        for line in text.lines() {
            if line.starts_with('[') {
                inside = line == header;
            }
            let key = line.split_once(" = ").map_or("", |(key, _)| key);
            if !(inside && without.contains(&key)) {
                out.push(line.to_owned());
            }
            if line == header {
                out.push(lines.to_owned());
            }
        }
        fs::write(self.config(), out.join("\n") + "\n").unwrap();
    }

    /// The ports of the `NameNode`: RPC, HTTP.
    pub(crate) fn namenode() -> (u16, u16) {
        let text = fs::read_to_string(sandbox().config_path()).unwrap();
        let config: toml::Table = text.parse().unwrap();
        let port = |url: &str| url.rsplit(':').next().unwrap().parse().unwrap();
        let site = sandbox().dir().join("hdfs/conf/core-site.xml");
        let site = fs::read_to_string(site).unwrap();
        let url = site.split("hdfs://").nth(1).unwrap();
        let http = config["hdfs"]["webhdfs"][0].as_str().unwrap();
        (port(url.split('<').next().unwrap()), port(http))
    }

    /// Lets the tool find the `NameNode` at these ports.
    pub(crate) fn namenode_at(&self, rpc: u16, http: u16) {
        let conf = self.file("conf");
        fs::create_dir_all(&conf).unwrap();
        let site = format!(
            "<configuration><property><name>fs.defaultFS</name>\
             <value>hdfs://127.0.0.1:{rpc}</value></property></configuration>"
        );
        fs::write(conf.join("core-site.xml"), site).unwrap();
        let lines = format!(
            "conf_dir = {:?}\nwebhdfs = [\"http://127.0.0.1:{http}\"]",
            conf.display().to_string()
        );
        self.configure_section("hdfs", &["conf_dir", "webhdfs"], &lines);
    }

    /// A file in the stage's own folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tool(env!("CARGO_BIN_EXE_newwiki"));
        command.env("OPSWEEK_CONFIG", self.config()).args(arguments);
        command
    }

    /// Runs `newwiki`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// What git prints in the checkout.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(&self.refinery.checkout(), arguments)
    }

    /// What git prints in the remote.
    pub(crate) fn remote(&self, arguments: &[&str]) -> String {
        git(&self.refinery.remote(), arguments)
    }

    /// Everything that a refused run must leave alone: files, head, branches, remote.
    pub(crate) fn state(&self) -> String {
        [
            self.git(&["status", "--porcelain", "--branch"]),
            self.git(&["for-each-ref"]),
            self.git(&["rev-parse", "HEAD"]),
            self.remote(&["for-each-ref"]),
        ]
        .join("\n")
    }

    /// A file of the checkout.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.refinery.checkout().join(path)).unwrap()
    }

    /// What `hdfs dfs` prints.
    pub(crate) fn hdfs(arguments: &[&str]) -> String {
        // A JVM each: one at a time is quicker.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let arguments: Vec<&str> = ["dfs"].iter().chain(arguments).copied().collect();
        let output = sandbox().hdfs(None, &arguments).unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The listing of the table's folder: modes and names.
    pub(crate) fn listed(&self) -> Vec<(String, String)> {
        let text = Self::hdfs(&["-ls", &self.table()]);
        let lines = text.lines().filter(|line| line.contains(&self.table()));
        lines
            .map(|line| {
                let mode = line.split_whitespace().next().unwrap_or_default();
                let name = line.rsplit('/').next().unwrap_or_default();
                (mode.to_owned(), name.to_owned())
            })
            .collect()
    }
}

pub(super) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
