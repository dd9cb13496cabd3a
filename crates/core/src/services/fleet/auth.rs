//! Proving who we are: the agent's identities, then certificates and unencrypted key files.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::Error;
use super::link::{Limits, Link};
use super::settings::Settings;

/// Authenticates, in ssh's order: the agent's keys that the settings name, its other keys (unless
/// `IdentitiesOnly`), then the key files.
pub(super) fn authenticate(link: &Link, settings: &Settings, limits: &Limits) -> Result<(), Error> {
    let mut attempt = Attempt {
        link,
        user: &settings.user,
        limits,
        tried: Vec::new(),
    };
    if let Some(socket) = &settings.agent
        && attempt.agent(socket, settings)?
    {
        return Ok(());
    }
    let mut unusable = None;
    for identity in &settings.identities {
        // ssh -G lists its default key files whether they exist or not.
        let Ok(text) = std::fs::read(identity) else {
            continue;
        };
        if encrypted(&text) {
            unusable.get_or_insert((identity.clone(), "it is encrypted"));
            continue;
        }
        let beside = with_suffix(identity, "-cert.pub");
        let certificates = settings.certificates.iter().chain([&beside]);
        for certificate in certificates.filter(|file| file.exists()) {
            if attempt.file(identity, Some(certificate))? == Answer::Accepted {
                return Ok(());
            }
        }
        match attempt.file(identity, None)? {
            Answer::Accepted => return Ok(()),
            Answer::Refused => {}
            Answer::Unreadable => {
                unusable.get_or_insert((identity.clone(), "it cannot be read as a private key"));
            }
        }
    }
    if let Some((path, reason)) = unusable {
        return Err(Error::KeyFile {
            host: limits.host.clone(),
            path,
            reason,
        });
    }
    let tried = if attempt.tried.is_empty() {
        "no key to try".to_owned()
    } else {
        attempt.tried.join(", ")
    };
    Err(Error::AuthRefused {
        host: limits.host.clone(),
        user: settings.user.clone(),
        tried,
    })
}

#[derive(PartialEq, Eq)]
enum Answer {
    Accepted,
    Refused,
    Unreadable,
}

struct Attempt<'a> {
    link: &'a Link,
    user: &'a str,
    limits: &'a Limits,
    tried: Vec<String>,
}

impl Attempt<'_> {
    /// Offers the agent's identities one by one; libssh2 by itself tries the first only.
    fn agent(&mut self, socket: &Path, settings: &Settings) -> Result<bool, Error> {
        let connect = || -> Result<_, ssh2::Error> {
            let mut agent = self.link.session.agent()?;
            agent.set_identity_path(socket)?;
            agent.connect()?;
            agent.list_identities()?;
            let identities = agent.identities()?;
            Ok((agent, identities))
        };
        let Ok((agent, mut identities)) = connect() else {
            self.tried.push(format!("no agent at {}", socket.display()));
            return Ok(false);
        };
        let named = named_keys(settings);
        if settings.identities_only {
            identities.retain(|identity| named.iter().any(|blob| blob == identity.blob()));
        }
        identities.sort_by_key(|identity| !named.iter().any(|blob| blob == identity.blob()));
        for identity in &identities {
            let answer = self
                .link
                .retry(self.limits, || agent.userauth(self.user, identity))?;
            if answer.is_ok() {
                return Ok(true);
            }
            let comment = super::error::clean(identity.comment().as_bytes());
            self.tried.push(format!("agent key {comment}"));
        }
        Ok(false)
    }

    fn file(&mut self, key: &Path, certificate: Option<&Path>) -> Result<Answer, Error> {
        /// `LIBSSH2_ERROR_FILE`, which reads "unable to extract public key" whatever is wrong.
        const FILE: ssh2::ErrorCode = ssh2::ErrorCode::Session(-16);
        let session = &self.link.session;
        let answer = self.link.retry(self.limits, || {
            session.userauth_pubkey_file(self.user, certificate, key, None)
        })?;
        match answer {
            Ok(()) => return Ok(Answer::Accepted),
            Err(e) if e.code() == FILE => return Ok(Answer::Unreadable),
            Err(_) => {}
        }
        let shown = certificate.unwrap_or(key).display();
        self.tried.push(format!("key {shown}"));
        Ok(Answer::Refused)
    }
}

/// The public keys (as blobs) of the key files that the settings name, from the files beside them.
fn named_keys(settings: &Settings) -> Vec<Vec<u8>> {
    let beside = settings
        .identities
        .iter()
        .flat_map(|key| [with_suffix(key, ".pub"), with_suffix(key, "-cert.pub")]);
    beside
        .chain(settings.certificates.iter().cloned())
        .chain(settings.identities.iter().cloned())
        .filter_map(|file| public_key(&std::fs::read(file).ok()?))
        .collect()
}

/// The blob of a public key line: type, base64, comment.
fn public_key(line: &[u8]) -> Option<Vec<u8>> {
    let mut fields = line.split(u8::is_ascii_whitespace);
    fields.next()?;
    STANDARD.decode(fields.next()?).ok()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether a private key needs a passphrase: OpenSSH's own format names its cipher after the magic
/// (openssh/PROTOCOL.key), PEM says so in a header.
fn encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let Some((_, body)) = text.split_once("-----BEGIN OPENSSH PRIVATE KEY-----") else {
        return text.contains("ENCRYPTED");
    };
    let base64: String = body
        .lines()
        .take_while(|line| !line.starts_with('-'))
        .collect();
    let cipher = b"openssh-key-v1\0\0\0\0\x04none";
    // 36 characters hold 27 bytes: the magic, a length and "none".
    let head = base64.get(..36).and_then(|head| STANDARD.decode(head).ok());
    head.is_some_and(|head| !head.starts_with(cipher))
}
