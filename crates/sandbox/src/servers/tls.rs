//! A certificate authority of the sandbox's own, and a certificate for each server that
//! it signed, in `DIR/tls`. Keys are readable by their owner only.

use std::fs;
use std::path::{Path, PathBuf};

use super::{dns, mariadb::Server};
use crate::error::{Context, Error};
use crate::{files, process};

/// The authority's certificate.
pub(crate) fn ca(dir: &Path) -> PathBuf {
    dir.join("tls/ca.pem")
}

/// A server's certificate and its key.
pub(crate) fn of_server(dir: &Path, server: &str) -> (PathBuf, PathBuf) {
    let tls = dir.join("tls");
    (
        tls.join(format!("{server}.pem")),
        tls.join(format!("{server}.key")),
    )
}

/// Makes the authority and all certificates, if there are none yet.
pub(crate) fn make(dir: &Path, mark: &(String, String)) -> Result<(), Error> {
    let folder = dir.join("tls");
    if folder.exists() {
        return Ok(());
    }
    let new = dir.join("tls.new");
    files::remove(&new)?;
    files::folder(&new)?;
    let authority = "basicConstraints = critical, CA:TRUE\n\
                     keyUsage = critical, keyCertSign, cRLSign\n";
    certificate(&new, "ca", authority, mark)?;
    for server in Server::ALL {
        let mut names = "IP:127.0.0.1, DNS:localhost".to_owned();
        let hosts = match server {
            Server::Metadata | Server::Target => Vec::new(),
            Server::ProdReplica => dns::replica_hosts(),
            Server::Cloud => vec![dns::CLOUD_HOST],
        };
        for host in hosts {
            names = names + ", DNS:" + host;
        }
        let extensions = format!(
            "basicConstraints = critical, CA:FALSE\n\
             keyUsage = critical, digitalSignature\n\
             extendedKeyUsage = serverAuth\n\
             subjectAltName = {names}\n"
        );
        certificate(&new, server.name(), &extensions, mark)?;
    }
    fs::rename(&new, &folder).context("write", &folder)
}

/// `NAME.pem` and `NAME.key`, signed by `ca`, or by itself when it is that.
fn certificate(
    folder: &Path,
    name: &str,
    extensions: &str,
    mark: &(String, String),
) -> Result<(), Error> {
    let conf = folder.join(format!("{name}.cnf"));
    let text = format!(
        "[req]\nprompt = no\ndistinguished_name = subject\nx509_extensions = extensions\n\
         [subject]\nCN = opsweek sandbox {name}\n\
         [extensions]\n{extensions}"
    );
    files::write(&conf, 0o644, &text)?;
    let key = folder.join(format!("{name}.key"));
    // openssl keeps the mode of a file that is there.
    files::write(&key, 0o600, "")?;
    let mut openssl = process::tool("openssl", mark);
    openssl
        .current_dir(folder)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-noenc", "-sha256", "-days", "3650"])
        .arg("-config")
        .arg(&conf)
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(folder.join(format!("{name}.pem")));
    if name != "ca" {
        openssl.args(["-CA", "ca.pem", "-CAkey", "ca.key"]);
    }
    files::run(&mut openssl, &format!("making the certificate of {name}"))?;
    fs::remove_file(&conf).context("remove", &conf)
}
