//! The keys on record for a host, in OpenSSH's `known_hosts` files (sshd(8), `SSH_KNOWN_HOSTS FILE
//! FORMAT`): plain, wildcard and hashed names, `[host]:port`, `@revoked`.
//!
//! libssh2's own check knows neither wildcards nor markers and takes a key of another type for a
//! changed one, so it is used for the hashes only. Host certificates (`@cert-authority`) are not
//! supported: such a host reads as unknown.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};
use ssh2::{CheckResult, KnownHostFileKind, Session};

use super::error::KeyOffer;

/// What the files say about one name.
#[derive(Debug)]
pub(super) struct Record {
    lookup: String,
    files: Vec<PathBuf>,
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    kind: String,
    base64: String,
    revoked: bool,
    place: (PathBuf, usize),
}

/// What to think of an offered key.
pub(super) enum Verdict {
    Known(String),
    Changed(KeyOffer),
    Unknown(KeyOffer),
}

impl Record {
    /// Reads the files (a missing one is an empty one) for a host and port. As ssh does, a record
    /// of the bare host counts when there is none of `[host]:port`.
    pub(super) fn read(
        files: &[PathBuf],
        host: &str,
        port: u16,
    ) -> Result<Self, (PathBuf, io::Error)> {
        let mut texts = Vec::new();
        for file in files {
            match std::fs::read(file) {
                Ok(bytes) => texts.push((file, String::from_utf8_lossy(&bytes).into_owned())),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err((file.clone(), e)),
            }
        }
        let find = |name: &str| -> Vec<Key> {
            texts
                .iter()
                .flat_map(|(file, text)| keys_of(file, text, name))
                .collect()
        };
        let mut lookup = host.to_owned();
        let mut keys = Vec::new();
        if port != 22 {
            lookup = format!("[{host}]:{port}");
            keys = find(&lookup);
        }
        if keys.iter().all(|key| key.revoked) {
            keys.extend(find(host));
        }
        Ok(Self {
            lookup,
            files: files.to_vec(),
            keys,
        })
    }

    /// The algorithms to ask the server for, those on record first: a server with several keys
    /// then offers the one we know.
    pub(super) fn algorithms(&self, supported: &[&str]) -> String {
        let on_record = |algorithm: &str| {
            let kind = if algorithm.starts_with("rsa-sha2-") {
                "ssh-rsa"
            } else {
                algorithm
            };
            self.keys.iter().any(|key| key.kind == kind && !key.revoked)
        };
        let plain = supported
            .iter()
            .copied()
            .filter(|name| !name.contains("-cert-"));
        let (mut first, rest): (Vec<&str>, Vec<&str>) = plain.partition(|name| on_record(name));
        first.extend(rest);
        first.join(",")
    }

    /// Judges the key that the server offered: `key` is its blob (RFC 4253, section 6.6).
    pub(super) fn judge(&self, key: &[u8]) -> Verdict {
        let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)));
        let base64 = STANDARD.encode(key);
        let same = |known: &&Key| known.base64 == base64;
        let revoked = self.keys.iter().filter(same).any(|known| known.revoked);
        if !revoked && self.keys.iter().any(|known| same(&known)) {
            return Verdict::Known(fingerprint);
        }
        let kind = kind_of(key);
        let others = || self.keys.iter().filter(|known| !known.revoked);
        let changed = others().find(|known| known.kind == kind);
        let offer = KeyOffer {
            fingerprint,
            lookup: self.lookup.clone(),
            files: self.files.clone(),
            on_record: changed.or(others().next()).map(|known| known.place.clone()),
            revoked,
            kind,
        };
        if revoked || changed.is_some() {
            Verdict::Changed(offer)
        } else {
            Verdict::Unknown(offer)
        }
    }
}

/// The type that a key's blob starts with.
fn kind_of(key: &[u8]) -> String {
    let name = key
        .split_first_chunk::<4>()
        .and_then(|(length, rest)| rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?));
    super::error::clean(name.unwrap_or_default())
}

fn keys_of(file: &Path, text: &str, name: &str) -> Vec<Key> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut fields = line.split_ascii_whitespace();
        let Some(mut names) = fields.next().filter(|first| !first.starts_with('#')) else {
            continue;
        };
        let revoked = names == "@revoked";
        if revoked {
            names = fields.next().unwrap_or_default();
        } else if names.starts_with('@') {
            continue;
        }
        let (Some(kind), Some(base64)) = (fields.next(), fields.next()) else {
            continue;
        };
        let matches = if names.starts_with("|1|") {
            hashed_is(names, name)
        } else {
            patterns_match(names.to_ascii_lowercase().split(','), name)
        };
        if matches {
            found.push(Key {
                kind: kind.to_owned(),
                base64: base64.to_owned(),
                revoked,
                place: (file.to_owned(), number + 1),
            });
        }
    }
    found
}

/// Whether a hashed name is this name; libssh2 computes the HMAC.
fn hashed_is(hashed: &str, name: &str) -> bool {
    let check = || -> Result<CheckResult, ssh2::Error> {
        let mut scratch = Session::new()?.known_hosts()?;
        // Any key will do; libssh2 refuses lines with less than 20 characters of it.
        let line = format!("{hashed} ssh-ed25519 {:A<40}", "");
        scratch.read_str(&line, KnownHostFileKind::OpenSSH)?;
        Ok(scratch.check(name, b"?"))
    };
    // Another key than the dummy's: the name matched.
    matches!(check(), Ok(CheckResult::Mismatch | CheckResult::Match))
}

/// Whether a list of patterns with `*`, `?` and `!` takes a name in (`ssh_config(5)`, PATTERNS).
pub(super) fn patterns_match<'a>(patterns: impl Iterator<Item = &'a str>, name: &str) -> bool {
    let mut any = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(not) if glob(not.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => any |= glob(pattern.as_bytes(), name.as_bytes()),
        }
    }
    any
}

/// Linear in both: on a mismatch only the last `*` is retried.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (p, n) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}
