//! What the configuration says about new wikis.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::actions::guard::{Guard, lies_in, path_fault};
use crate::engine::plan::sha256_hex;

/// The `[newwiki]` section: where things are, and what is safe. Its digest binds a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The checkout of the refinery; `--refinery` goes before it.
    pub refinery: Option<PathBuf>,
    /// The folder of the database lists: all, closed, private, deleted, fishbowl, special
    /// and s1 to s8, each with the ending `.dblist`.
    pub dblists: Option<PathBuf>,
    /// Where the replicas of the sections are looked up.
    pub dns: Option<Dns>,
    /// Instead of DNS: a file of lines `s5, 3315`; the host is then `production.host`.
    pub section_ports: Option<PathBuf>,
    /// Tables without which a replica is not ready.
    pub core_tables: Vec<String>,
    /// The replica that analytics reads, database `NAME`.
    pub production: Option<Replica>,
    /// The redacted replica, database `NAME_p`.
    pub cloud: Option<Replica>,
    /// The allowlist in HDFS.
    pub allowlist: Allowlist,
    /// The table of values that pageviews brought and the allowlist has not.
    pub unexpected_table: String,
    /// The remote of the checkout that changes are pushed to.
    pub remote: String,
    /// The branch that changes are made for.
    pub branch: String,
    /// How old a plan may be when it is begun, in hours.
    pub plan_max_age_hours: u32,
}

/// Where SRV records are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// The domain of `_s5-analytics._tcp.DOMAIN`.
    pub domain: String,
    /// The server, `127.0.0.1:53`; the system's own where there is none.
    #[serde(default)]
    pub server: Option<String>,
}

/// A replica: who asks it, and where it is if not where the section says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replica {
    /// The host; else the section's.
    #[serde(default)]
    pub host: Option<String>,
    /// The port; else the section's.
    #[serde(default)]
    pub port: Option<u16>,
    /// The account.
    pub user: String,
    /// The file of its password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The variable of its password.
    #[serde(default)]
    pub password_env: Option<String>,
    /// The authority that signed the server's certificate; else the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long connecting and each query may take: `30s`.
    #[serde(default)]
    pub deadline: Option<jiff::SignedDuration>,
}

impl Replica {
    /// The deadline that is configured, or the usual one.
    pub fn deadline(&self) -> Duration {
        let configured = self.deadline.and_then(|deadline| deadline.try_into().ok());
        configured.unwrap_or(Duration::from_secs(30))
    }
}

/// Where the allowlist lies in HDFS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allowlist {
    /// The folder, which is the external table `wmf.pageview_allowlist`.
    pub folder: String,
    /// Where earlier versions are kept: outside the folder.
    pub backup_dir: String,
}

impl Default for Allowlist {
    fn default() -> Self {
        Self {
            folder: "/wmf/refinery/current/static_data/pageview/allowlist".to_owned(),
            backup_dir: "/wmf/data/backup/pageview_allowlist".to_owned(),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        let strings = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
        Self {
            refinery: None,
            dblists: None,
            dns: None,
            section_ports: None,
            core_tables: strings(&["page", "revision", "actor", "comment", "user"]),
            production: None,
            cloud: None,
            allowlist: Allowlist::default(),
            unexpected_table: "wmf.pageview_unexpected_values".to_owned(),
            remote: "origin".to_owned(),
            branch: "master".to_owned(),
            plan_max_age_hours: 24,
        }
    }
}

impl Policy {
    /// A digest of all of it.
    pub fn digest(&self) -> String {
        // A struct of strings and numbers can always be encoded.
        sha256_hex(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// The part that every action checks. `files`: the files of the checkout that may be
    /// edited.
    pub fn guard(&self, files: Vec<String>) -> Guard {
        Guard {
            hdfs_roots: vec![
                self.allowlist.folder.clone(),
                self.allowlist.backup_dir.clone(),
            ],
            files,
            ..Guard::default()
        }
    }

    /// What is wrong with it, a line each: paths that are not absolute and normalised, a
    /// backup that the table would read, names that are not.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let Allowlist { folder, backup_dir } = &self.allowlist;
        faults.extend(
            [folder, backup_dir]
                .into_iter()
                .filter_map(|p| path_fault(p)),
        );
        if lies_in(backup_dir, folder) {
            faults.push(format!(
                "allowlist.backup_dir {backup_dir} lies in the table's folder: its files would be \
                 counted as rows"
            ));
        }
        if self.dns.is_some() && self.section_ports.is_some() {
            faults.push("dns and section_ports are both given".to_owned());
        }
        if self.core_tables.is_empty() {
            faults.push("core_tables is empty: an empty replica would be ready".to_owned());
        }
        for (name, replica) in [("production", &self.production), ("cloud", &self.cloud)] {
            let Some(replica) = replica else { continue };
            if replica.password_file.is_some() && replica.password_env.is_some() {
                faults.push(format!(
                    "{name}: password_file and password_env are both given"
                ));
            }
            if replica
                .deadline
                .is_some_and(|deadline| !deadline.is_positive())
            {
                faults.push(format!("{name}: deadline must be above zero"));
            }
        }
        faults
    }
}
