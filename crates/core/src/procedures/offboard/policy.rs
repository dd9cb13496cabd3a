//! What the configuration says about offboarding.

use serde::{Deserialize, Serialize};

use crate::actions::guard::{Guard, UserName, lies_in};
use crate::engine::plan::sha256_hex;

/// Accounts that are never offboarded, whatever the configuration says.
const NEVER_OFFBOARDED: [&str; 6] = ["root", "hdfs", "hive", "yarn", "mapred", "spark"];
/// Databases that are never dropped, likewise.
const NEVER_DROPPED: [&str; 3] = ["default", "information_schema", "sys"];

/// The `[offboard]` section: where things are, and what is safe. Its digest binds a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The HDFS folder of archives.
    pub archive: String,
    /// Who owns archives in HDFS.
    pub archive_owner: String,
    /// The group that may read them.
    pub archive_group: String,
    /// The HDFS folder of homes.
    pub homes: String,
    /// The folder of managed databases.
    pub warehouse: String,
    /// The HDFS folders under which anything may be changed at all.
    pub hdfs_roots: Vec<String>,
    /// Parts of an HDFS home that go to the trash instead of the archive.
    pub hdfs_rubbish: Vec<String>,
    /// The folders of homes on hosts.
    pub host_homes: Vec<String>,
    /// The folder of archived homes on hosts.
    pub host_archives: String,
    /// Names at the top of a home that are never archived: secrets, ticket caches, caches.
    /// `*` stands for any characters.
    pub never_archive: Vec<String>,
    /// Databases that are never dropped; a trailing `*` stands for any rest.
    pub protected_databases: Vec<String>,
    /// Accounts that are never offboarded; a trailing `*` stands for any rest.
    pub system_accounts: Vec<String>,
    /// The lowest uid of a person.
    pub min_uid: u32,
    /// How old a plan may be when it is begun, in hours.
    pub plan_max_age_hours: u32,
}

impl Default for Policy {
    fn default() -> Self {
        let strings = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
        Self {
            archive: "/wmf/data/archive/user".to_owned(),
            archive_owner: "hdfs".to_owned(),
            archive_group: "analytics-privatedata-users".to_owned(),
            homes: "/user".to_owned(),
            warehouse: "/user/hive/warehouse".to_owned(),
            hdfs_roots: strings(&["/user", "/wmf/data"]),
            hdfs_rubbish: strings(&[".Trash", ".sparkStaging", ".staging"]),
            host_homes: strings(&["/home", "/srv/home"]),
            host_archives: "/var/userarchive".to_owned(),
            never_archive: strings(&[
                ".ssh", ".gnupg", ".my.cnf", ".netrc", ".pgpass", ".k5login", "krb5cc_*", ".cache",
            ]),
            protected_databases: strings(&[
                "default",
                "information_schema",
                "sys",
                "wmf*",
                "event*",
                "canonical_data",
                "discovery",
                "gobblin*",
            ]),
            system_accounts: strings(&[
                "root",
                "daemon",
                "bin",
                "sys",
                "nobody",
                "www-data",
                "sshd",
                "ops",
                "hdfs",
                "hive",
                "yarn",
                "mapred",
                "spark",
                "hadoop",
                "hue",
                "oozie",
                "presto",
                "trino",
                "druid",
                "kafka",
                "zookeeper",
                "airflow",
                "superset",
                "analytics*",
                "dumpsgen",
                "stats",
                "systemd-network",
            ]),
            min_uid: 1000,
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

    /// The part that every action checks.
    pub fn guard(&self) -> Guard {
        let crontabs = "/var/spool/cron/crontabs".to_owned();
        let archives = self.host_archives.clone();
        let with = |configured: &[String], always: &[&str]| {
            let always = always.iter().map(|&name| name.to_owned());
            configured.iter().cloned().chain(always).collect()
        };
        let system = [
            &self.system_accounts[..],
            std::slice::from_ref(&self.archive_owner),
        ]
        .concat();
        Guard {
            hdfs_roots: self.hdfs_roots.clone(),
            host_roots: self
                .host_homes
                .iter()
                .cloned()
                .chain([archives, crontabs])
                .collect(),
            protected_databases: with(&self.protected_databases, &NEVER_DROPPED),
            system_accounts: with(&system, &NEVER_OFFBOARDED),
            min_uid: self.min_uid,
            never_archive: self.never_archive.clone(),
            files: Vec::new(),
        }
    }

    /// The place that would be the user's home although it is, or holds, a folder that others have
    /// things in; and that folder.
    pub fn held_by(&self, user: &UserName) -> Option<(String, &str)> {
        let home = |root: &String| format!("{root}/{user}");
        let hdfs = [&self.warehouse, &self.archive]
            .into_iter()
            .chain(&self.hdfs_roots)
            .map(|folder| (home(&self.homes), folder));
        let hosts = self.host_homes.iter().flat_map(|root| {
            let folders = self.host_homes.iter().chain([&self.host_archives]);
            folders.map(|folder| (home(root), folder))
        });
        hdfs.chain(hosts)
            .find(|(home, folder)| lies_in(folder, home))
            .map(|(home, folder)| (home, folder.as_str()))
    }

    /// What is wrong with it, a line each: paths that are not absolute and normalised,
    /// patterns that are more than a name.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let folders = [
            &self.archive,
            &self.homes,
            &self.warehouse,
            &self.host_archives,
        ];
        for path in folders
            .into_iter()
            .chain(&self.hdfs_roots)
            .chain(&self.host_homes)
        {
            let normal = path.strip_prefix('/').is_some_and(|rest| {
                rest.split('/')
                    .all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'))
            });
            if !normal {
                faults.push(format!("{path:?} is not an absolute, normalised path"));
            }
        }
        for path in [&self.archive, &self.homes, &self.warehouse] {
            if !self.hdfs_roots.iter().any(|root| lies_in(path, root)) {
                faults.push(format!("{path:?} lies in none of hdfs_roots"));
            }
        }
        let name = |text: &String| {
            !text.is_empty()
                && !text.starts_with('-')
                && !text.contains(['/', '\0', '[', '?', '\\'])
        };
        for pattern in self.never_archive.iter().chain(&self.hdfs_rubbish) {
            // What is left out is removed all the same.
            let all = pattern.trim_matches(['*', '.']).is_empty();
            if !name(pattern) || all {
                faults.push(format!("{pattern:?} is not a name"));
            }
        }
        if self.hdfs_rubbish.iter().any(|name| name.contains('*')) {
            faults.push("hdfs_rubbish takes names, not patterns".to_owned());
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_holds_others_places_is_nobodys_home() {
        let policy = Policy {
            host_homes: vec!["/home".into(), "/srv".into(), "/srv/home".into()],
            ..Policy::default()
        };
        let held = |name: &str| {
            let user = UserName::try_from(name.to_owned()).unwrap();
            policy.held_by(&user).map(|(_, folder)| folder)
        };
        assert_eq!(held("elvis"), None);
        assert_eq!(held("hiv"), None);
        assert_eq!(held("hive"), Some("/user/hive/warehouse"));
        assert_eq!(held("home"), Some("/srv/home"));
    }

    #[test]
    fn no_configuration_gives_the_platforms_own_accounts_and_databases_away() {
        let policy = Policy {
            archive_owner: "archivist".into(),
            system_accounts: vec!["mine".into()],
            protected_databases: Vec::new(),
            ..Policy::default()
        };
        let guard = policy.guard();
        for account in ["mine", "archivist", "root", "hdfs", "hive"] {
            assert!(guard.is_system(account), "{account}");
        }
        assert!(!guard.is_system("analytics") && !guard.is_system("elvis"));
        assert!(guard.database("default").is_err() && guard.database("wmf").is_ok());
    }

    #[test]
    fn what_is_left_out_of_archives_is_less_than_everything() {
        let with = |pattern: &str| Policy {
            never_archive: vec![pattern.into()],
            ..Policy::default()
        };
        for good in [".ssh", "krb5cc_*", "*.pem"] {
            assert_eq!(with(good).faults(), [""; 0], "{good}");
        }
        for bad in ["*", "**", ".*", ".", "..", "", "a/b", "-x", "[a]"] {
            assert_eq!(with(bad).faults().len(), 1, "{bad}");
        }
    }
}
