//! Who may do what on the servers. Passwords are made when first asked for and lie in
//! `DIR/secrets/mariadb-ACCOUNT`.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::Server;
use crate::error::{Context, Error};
use crate::files;

/// Who copies Superset's database.
pub(crate) const DBSYNC: &str = "dbsync";
/// Who reads the metastore's tables.
pub(crate) const METASTORE_READER: &str = "metastore_reader";
/// Who reads the replica of production.
pub(crate) const RESEARCH: &str = "research";
/// Who reads the cloud replica; users of the cloud's tools are named so.
pub(crate) const CLOUD_USER: &str = "s53272";

/// What a copy needs of its source, and of the staging database, the one that is being
/// made and the former one.
const READ: &str = "SELECT";
const WRITE: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES";
const STAGING: [&str; 3] = [
    r"superset\_staging",
    r"superset\_staging\_new",
    r"superset\_staging\_previous",
];

/// The statements that make a server's accounts; those that exist stay as they are.
pub(super) fn statements(server: Server, dir: &Path) -> Result<String, Error> {
    let grants = |account: &str, host: &str| {
        let mut text = Vec::new();
        if server == Server::Metadata {
            text.push(format!(
                "GRANT {READ} ON `superset\\_production`.* TO {account}@'{host}';\n"
            ));
        }
        for database in STAGING {
            text.push(format!(
                "GRANT {WRITE} ON `{database}`.* TO {account}@'{host}';\n"
            ));
        }
        text.concat()
    };
    let create = |account: &str, host: &str, method: &str| {
        let password = password(dir, account)?;
        Ok::<_, Error>(format!(
            "CREATE USER IF NOT EXISTS {account}@'{host}' \
             IDENTIFIED VIA {method} USING PASSWORD('{password}');\n"
        ))
    };
    let native = "mysql_native_password";
    Ok(match server {
        Server::Metadata => {
            // Whoever has the system account of that name needs no password.
            let socket = format!("unix_socket OR {native}");
            create(DBSYNC, "localhost", &socket)?
                + &grants(DBSYNC, "localhost")
                + &create(DBSYNC, LOOPBACK, native)?
                + &grants(DBSYNC, LOOPBACK)
                + &create(METASTORE_READER, "localhost", native)?
                + &create(METASTORE_READER, LOOPBACK, native)?
                + &format!(
                    "GRANT SELECT ON metastore.* TO {METASTORE_READER}@'localhost', \
                     {METASTORE_READER}@'{LOOPBACK}';\n"
                )
        }
        Server::Target => create(DBSYNC, LOOPBACK, native)? + &grants(DBSYNC, LOOPBACK),
        Server::ProdReplica => {
            create(RESEARCH, LOOPBACK, "ed25519")?
                + &format!("GRANT SELECT ON `%wik%`.* TO {RESEARCH}@'{LOOPBACK}';\n")
        }
        Server::Cloud => {
            create(CLOUD_USER, LOOPBACK, native)?
                + &format!("GRANT SELECT ON `%\\_p`.* TO {CLOUD_USER}@'{LOOPBACK}';\n")
        }
    })
}

/// Whom the servers take a client from the network side for; they look up no names.
const LOOPBACK: &str = "127.0.0.1";

/// An account on `metadata` that may do everything in one database.
pub(crate) fn make_account(dir: &Path, account: &str, database: &str) -> Result<(), Error> {
    let password = password(dir, account)?;
    Server::Metadata
        .sql(
            dir,
            &format!(
                "CREATE DATABASE IF NOT EXISTS {database} CHARACTER SET latin1; \
                 CREATE OR REPLACE USER {account}@'{LOOPBACK}' IDENTIFIED BY '{password}'; \
                 GRANT ALL ON {database}.* TO {account}@'{LOOPBACK}'"
            ),
        )
        .map(drop)
}

/// The file of an account's password.
pub(crate) fn password_file(dir: &Path, account: &str) -> PathBuf {
    dir.join(format!("secrets/mariadb-{account}"))
}

/// The password of an account, 32 hexadecimal digits.
pub(crate) fn password(dir: &Path, account: &str) -> Result<String, Error> {
    let path = password_file(dir, account);
    match fs::read_to_string(&path) {
        Ok(password) => return Ok(password.trim_end().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).context("read", &path),
    }
    let random = "/dev/urandom";
    let mut bytes = [0; 16];
    fs::File::open(random)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("read", random)?;
    let password = format!("{:032x}", u128::from_le_bytes(bytes));
    files::write(&path, 0o600, &format!("{password}\n"))?;
    Ok(password)
}
