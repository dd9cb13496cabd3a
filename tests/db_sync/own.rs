//! Small databases of one test's own, so that it needs nobody to stay out of Superset's.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use super::{command, config, sql};
use crate::support::{Ran, sandbox, scratch};

/// What production consists of; staging is the same with fewer rows.
const TABLES: &str = "
    CREATE TABLE pages (id int PRIMARY KEY AUTO_INCREMENT, title varchar(80) NOT NULL);
    CREATE TABLE links (page int NOT NULL, target varchar(80),
        CONSTRAINT links_page FOREIGN KEY (page) REFERENCES pages (id));
    CREATE SEQUENCE numbers START WITH 5;";

/// `NAME_production` and `NAME_staging` on `metadata`, an account `NAME` that may do what
/// docs/db-sync.md grants, and a configuration with the profile `NAME`.
pub(super) struct Own {
    pub(super) name: &'static str,
    pub(super) production: String,
    pub(super) staging: String,
    pub(super) config: PathBuf,
}

impl Own {
    /// `more`: lines of the profile.
    pub(super) fn new(name: &'static str, more: &str) -> Self {
        let (production, staging) = (format!("{name}_production"), format!("{name}_staging"));
        let account = format!("{name}@localhost");
        let mut statements = vec![format!(
            "DROP DATABASE IF EXISTS {staging}_new; DROP DATABASE IF EXISTS {staging}_previous;
             CREATE OR REPLACE USER {account} IDENTIFIED BY '{name}';
             GRANT SELECT ON `{name}\\_production`.* TO {account};"
        )];
        statements.extend([&production, &staging].map(|database| {
            format!("CREATE OR REPLACE DATABASE {database}; USE {database}; {TABLES}")
        }));
        statements.extend(["", "\\_new", "\\_previous"].map(|suffix| {
            format!(
                "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES
                 ON `{name}\\_staging{suffix}`.* TO {account};"
            )
        }));
        statements.push(format!(
            "INSERT INTO {production}.pages (title) VALUES ('Elvis'), ('azywiki'), ('Memphis');
             INSERT INTO {production}.links VALUES (1, 'Memphis'), (2, NULL);
             INSERT INTO {staging}.pages (title) VALUES ('Old');"
        ));
        sql("metadata", &statements.concat());

        let password = scratch(&format!("{name}.password"));
        std::fs::write(&password, name).unwrap();
        std::fs::set_permissions(&password, PermissionsExt::from_mode(0o600)).unwrap();
        let socket = sandbox().dir().join("metadata/mysqld.sock");
        let config = config(&format!("{name}.toml"), |text| {
            format!(
                "{text}\n[sql.{name}]\nsocket = \"{}\"\nuser = \"{name}\"\n\
                 password_file = \"{}\"\n\n[db-sync.profiles.{name}]\n\
                 source = {{ server = \"{name}\", database = \"{production}\" }}\n\
                 target = {{ server = \"{name}\", database = \"{staging}\" }}\n{more}\n",
                socket.display(),
                password.display()
            )
        });
        Self {
            name,
            production,
            staging,
            config,
        }
    }

    /// `db-sync` with the configuration.
    pub(super) fn db_sync<const N: usize>(&self, arguments: [&str; N]) -> Ran {
        let mut command = command(&self.config);
        command.args(arguments).output().unwrap().into()
    }

    /// Runs `db-sync NAME --yes`.
    pub(super) fn sync(&self) -> Ran {
        self.db_sync([self.name, "--yes"])
    }

    /// Staging's pages in one line.
    pub(super) fn seen(&self) -> String {
        let staging = &self.staging;
        let titles = format!("SELECT GROUP_CONCAT(title ORDER BY id) FROM {staging}.pages");
        sql("metadata", &titles).trim().to_owned()
    }

    /// What stands beside staging.
    pub(super) fn beside(&self) -> String {
        let like = self.staging.replace('_', "\\_");
        sql("metadata", &format!("SHOW DATABASES LIKE '{like}\\_%'"))
    }

    /// A client with an open transaction on a table of staging's, which no rename gets past, and
    /// the number of its connection.
    pub(super) fn holding(&self, table: &str) -> (Child, String) {
        let sleeping = format!("SELECT SLEEP(86400) AS {}_{table}", self.staging);
        let statements = format!(
            "START TRANSACTION; SELECT * FROM {}.{table} FOR UPDATE; {sleeping}",
            self.staging
        );
        let mut client = sandbox().mariadb_command("metadata").unwrap();
        let holder = client
            .args(["-e", &statements])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut connection = String::new();
        while connection.is_empty() {
            connection = connections(&sleeping).lines().collect();
        }
        (holder, connection)
    }

    /// All that the journals about it say.
    pub(super) fn journals(&self) -> String {
        let entries = std::fs::read_dir(sandbox().dir().join("state/journal")).unwrap();
        let texts = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                let subject = format!("-{}-", self.staging);
                path.to_str().unwrap().contains(&subject)
            })
            .map(|path| std::fs::read_to_string(path).unwrap());
        texts.collect()
    }

    /// The tool, begun with these arguments, and what it says kept for later.
    pub(super) fn start<const N: usize>(&self, arguments: [&str; N]) -> Child {
        command(&self.config)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Waits until the server is at a rename of staging.
    pub(super) fn until_it_renames(&self) {
        while self.renames() == 0 {
            std::thread::yield_now();
        }
    }

    /// For how long the server has been at a rename of staging, in milliseconds.
    pub(super) fn renaming_ms(&self) -> Option<u64> {
        let renaming = format!("RENAME TABLE%`{}`", self.staging);
        let waited = of_connections("FLOOR(MAX(TIME_MS))", &renaming);
        waited.trim().parse().ok()
    }

    /// How many renames of staging the server is at.
    pub(super) fn renames(&self) -> usize {
        let renaming = format!("RENAME TABLE%`{}`", self.staging);
        connections(&renaming).lines().count()
    }
}

/// The numbers of the connections whose statement begins so.
fn connections(beginning: &str) -> String {
    of_connections("ID", beginning)
}

/// What the server's list says of them.
fn of_connections(column: &str, beginning: &str) -> String {
    let beginning = beginning.replace('_', "\\_");
    sql(
        "metadata",
        &format!(
            "SELECT {column} FROM information_schema.PROCESSLIST WHERE INFO LIKE '{beginning}%'"
        ),
    )
}

/// What [`Own::seen`] gives before and after a copy.
pub(super) const OLD: &str = "Old";
pub(super) const NEW: &str = "Elvis,azywiki,Memphis";
