//! From the configuration to the clients of the systems. Contacts nothing.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use opsweek_core::actions::World;
use opsweek_core::actions::guard::Guard;
use opsweek_core::procedures::offboard::admins::Admins;
use opsweek_core::services::{fleet, hdfs, metastore, sql, yarn};

use super::{Config, Fleet, Hdfs, Metastore};
use crate::error::CliError;

/// How long one call to the metastore may take unless the configuration says otherwise.
const METASTORE_DEADLINE: Duration = Duration::from_mins(1);
/// How many connections to the metastore, likewise.
const METASTORE_CONNECTIONS: usize = 8;
/// How long the `ResourceManager` may take.
const YARN_DEADLINE: Duration = Duration::from_secs(30);

impl<S> Config<S> {
    /// The clients of all systems that have a section. [`crate::Exit::Usage`] when a section
    /// cannot be used.
    pub fn world(&self, guard: Guard) -> Result<World, CliError> {
        let settings = &self.settings;
        let hdfs = settings.hdfs.as_ref().map(|hdfs| self.hdfs(hdfs));
        let metastore = settings
            .metastore
            .as_ref()
            .map(|section| self.metastore(section));
        let fleet = settings.fleet.as_ref().map(|fleet| self.fleet(fleet));
        Ok(World {
            hdfs: hdfs.transpose()?,
            metastore: metastore.transpose()?,
            fleet: fleet.transpose()?,
            yarn: settings
                .yarn
                .as_ref()
                .map(|yarn| yarn::Yarn::new(&yarn.url, YARN_DEADLINE)),
            databases: opsweek_core::actions::sql::Databases::default(),
            guard,
        })
    }

    /// The section `section` called `name`, or the error that says it is missing.
    pub fn need<'a, X>(&self, section: Option<&'a X>, name: &str) -> Result<&'a X, CliError> {
        section.ok_or_else(|| {
            CliError::usage(format!(
                "configuration {}: there is no section [{name}]",
                self.path.display()
            ))
        })
    }

    /// Where it is known who is active.
    pub fn admins(&self) -> Option<Admins> {
        self.settings.admins.as_ref().map(|admins| Admins {
            data_file: admins.data_file.clone(),
            max_age: admins.max_age.0,
        })
    }

    /// The SQL server of the section `[sql.NAME]`.
    pub fn sql_server(&self, name: &str) -> Result<sql::Server, CliError> {
        let section = self.need(self.settings.sql.get(name), &format!("sql.{name}"))?;
        self.sql(&format!("sql.{name}"), section)
    }

    /// The SQL server that a section describes; `section` is its name, for messages.
    pub fn sql(&self, section: &str, settings: &sql::Settings) -> Result<sql::Server, CliError> {
        let password = self.secret(
            section,
            "password",
            settings.password_file.as_deref(),
            settings.password_env.as_deref(),
        )?;
        settings
            .with_password(password)
            .map(sql::Server::new)
            .map_err(|fault| self.wrong(section, fault))
    }

    /// A secret: the first line of a file that is nobody else's to read, or an environment
    /// variable. `None` when neither is named. `what` is what the keys of the section begin
    /// with: `password` of `password_file`.
    pub fn secret(
        &self,
        section: &str,
        what: &str,
        file: Option<&Path>,
        variable: Option<&str>,
    ) -> Result<Option<sql::Secret>, CliError> {
        let word = match (file, variable) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(
                    self.wrong(section, &format!("{what}_file and {what}_env are both set"))
                );
            }
            (Some(path), None) => {
                let unreadable = |error: &std::io::Error| {
                    self.wrong(section, &format!("{what}_file {}", path.display()))
                        .because(error)
                };
                let mode = path.metadata().map_err(|error| unreadable(&error))?.mode();
                if mode & 0o007 != 0 {
                    let wide = format!("{what}_file {} is open to everybody", path.display());
                    return Err(self
                        .wrong(section, &wide)
                        .hint(format!("chmod o= {}", path.display())));
                }
                let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
                text.lines().next().unwrap_or_default().to_owned()
            }
            (None, Some(variable)) => std::env::var(variable).map_err(|_| {
                self.wrong(
                    section,
                    &format!("{what}_env: the environment has no variable {variable}"),
                )
            })?,
        };
        Ok(Some(sql::Secret::new(word)))
    }

    fn wrong(&self, section: &str, fault: &str) -> CliError {
        CliError::usage(format!(
            "configuration {}: [{section}] {fault}",
            self.path.display()
        ))
    }

    fn unusable(&self, section: &str) -> CliError {
        CliError::usage(format!(
            "configuration {}: [{section}]",
            self.path.display()
        ))
    }

    fn user(&self, user: Option<&String>, section: &str) -> Result<String, CliError> {
        user.cloned().ok_or_else(|| {
            self.unusable(&format!("{section}].user is missing"))
                .hint("name the account that acts there: who runs this tool is never taken for it")
        })
    }

    fn hdfs(&self, section: &Hdfs) -> Result<hdfs::Hdfs, CliError> {
        let defaults = hdfs::Config::new(self.user(section.user.as_ref(), "hdfs")?);
        let config = hdfs::Config {
            conf_dir: section.conf_dir.clone(),
            url: section.url.clone(),
            webhdfs: section.webhdfs.clone(),
            deadline: section.deadline.map_or(defaults.deadline, |span| span.0),
            concurrency: section
                .concurrency
                .map_or(defaults.concurrency, usize::from),
            ..defaults
        };
        hdfs::Hdfs::connect(config).map_err(|error| {
            let hint = error.hint();
            let unusable = self.unusable("hdfs").because(&error);
            hint.into_iter().fold(unusable, CliError::hint)
        })
    }

    fn metastore(&self, section: &Metastore) -> Result<metastore::Metastore, CliError> {
        if section.uris.is_empty() {
            return Err(self
                .unusable("metastore")
                .hint("set uris = [\"thrift://HOST:9083\"]"));
        }
        let backing = section.sql.as_ref().map(|backing| {
            Ok::<_, CliError>(metastore::Backing {
                server: self.sql_server(&backing.server)?,
                database: backing.database.clone(),
            })
        });
        Ok(metastore::Metastore::new(metastore::Config {
            uris: section.uris.clone(),
            user: self.user(section.user.as_ref(), "metastore")?,
            deadline: section.deadline.map_or(METASTORE_DEADLINE, |span| span.0),
            concurrency: section
                .concurrency
                .map_or(METASTORE_CONNECTIONS, usize::from),
            backing: backing.transpose()?,
        }))
    }

    fn fleet(&self, section: &Fleet) -> Result<fleet::Fleet, CliError> {
        let defaults = fleet::Config::default();
        let usual = self.home.as_ref().map(|home| home.join(".ssh/config"));
        let ssh_config: Option<PathBuf> = section
            .ssh_config
            .clone()
            .or_else(|| usual.filter(|path| path.exists()));
        let fleet = fleet::Fleet::new(fleet::Config {
            ssh_config: ssh_config.unwrap_or(defaults.ssh_config),
            home: self.home.clone(),
            hosts: section.hosts.join(","),
            groups: section.groups.clone(),
            agent: section.agent.clone().or_else(|| self.ssh_agent.clone()),
            concurrency: section
                .concurrency
                .map_or(defaults.concurrency, usize::from),
            connect_deadline: section
                .connect_deadline
                .map_or(defaults.connect_deadline, |span| span.0),
            ssh_program: defaults.ssh_program,
        });
        // Now, before anything is contacted, rather than in the look.
        fleet.hosts(None).map_err(|error| {
            let hint = error.hint();
            let unusable = self.unusable("fleet").because(&error);
            hint.into_iter().fold(unusable, CliError::hint)
        })?;
        Ok(fleet)
    }
}
