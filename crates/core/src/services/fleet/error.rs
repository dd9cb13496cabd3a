//! What can go wrong with a host, told apart by what the operator does about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::command::quote;
use super::hostset::HostName;

/// Why the fleet could not do what was asked. Every message names the host; text that came from
/// a host has its control characters escaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that cannot be a host's.
    #[error("`{name}` is no host name: {reason}")]
    InvalidHost {
        /// The name, escaped.
        name: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// An expression that is no host set.
    #[error("host set `{expression}`: {reason}")]
    InvalidSet {
        /// The expression, escaped.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An expression that names no host at all.
    #[error("host set `{expression}` names no hosts")]
    NoHosts {
        /// The expression, escaped.
        expression: String,
    },
    /// A command that cannot be sent as it is; nothing was contacted.
    #[error("command cannot be sent: {reason}")]
    InvalidCommand {
        /// The rule it breaks.
        reason: String,
    },
    /// The host's settings could not be had from `ssh -G`, or a file they name could not be read.
    #[error("{host}: ssh settings: {reason}")]
    Settings {
        /// The host.
        host: HostName,
        /// What ssh said, or what could not be read.
        reason: String,
        /// The cause, when it is the system's.
        source: Option<io::Error>,
    },
    /// Nothing listens on the ssh port.
    #[error("{host}: {address} refused the connection")]
    Refused {
        /// The host.
        host: HostName,
        /// Address and port.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// The host, or the jump host before it, could not be reached.
    #[error("{host}: unreachable: {reason}")]
    Unreachable {
        /// The host.
        host: HostName,
        /// What was tried, and the jump host's message when there is one.
        reason: String,
        /// The cause, when it is the system's.
        source: Option<io::Error>,
    },
    /// Something accepted the connection but did not greet as an ssh server does.
    #[error("{host}: {address} accepted the connection but sent no ssh banner")]
    NoBanner {
        /// The host.
        host: HostName,
        /// Address and port.
        address: String,
    },
    /// Greeted, but no key exchange came about.
    #[error("{host}: no secure connection to {address}")]
    Handshake {
        /// The host.
        host: HostName,
        /// Address and port.
        address: String,
        /// The protocol's error.
        source: ssh2::Error,
    },
    /// The host's key is not the one on record, or is revoked: an attack or a reinstalled host.
    #[error("{host}: host key CHANGED: {0} is not the key on record", .offer.fingerprint)]
    KeyChanged {
        /// The host.
        host: HostName,
        /// The key that was offered and where another one is on record.
        offer: Box<KeyOffer>,
    },
    /// No key of this host (or none of the kind it offers) is on record.
    #[error("{host}: host key unknown: {0} ({1}) is on no record", .offer.fingerprint, .offer.kind)]
    KeyUnknown {
        /// The host.
        host: HostName,
        /// The key that was offered.
        offer: Box<KeyOffer>,
    },
    /// The server took none of our keys.
    #[error("{host}: user {user} was refused, with {tried}")]
    AuthRefused {
        /// The host.
        host: HostName,
        /// The account.
        user: String,
        /// The keys and agents tried, for people.
        tried: String,
    },
    /// A private key file cannot be used as it is, and nothing else was accepted.
    #[error("{host}: key {}: {reason}", .path.display())]
    KeyFile {
        /// The host.
        host: HostName,
        /// The private key.
        path: PathBuf,
        /// Encrypted, or unreadable.
        reason: &'static str,
    },
    /// No connection came about in time; nothing was run.
    #[error("{host}: {what} within {after:?}")]
    Hung {
        /// The host.
        host: HostName,
        /// What had not come about.
        what: &'static str,
        /// The time allowed.
        after: Duration,
    },
    /// The command's time was up, or its stream's; it may still be running.
    #[error("{host}: {what} within {after:?}")]
    Deadline {
        /// The host.
        host: HostName,
        /// What had not come about.
        what: &'static str,
        /// The time allowed.
        after: Duration,
    },
    /// The connection broke while a command ran; whether the command went on is unknown.
    #[error("{host}: connection lost: {what}")]
    Lost {
        /// The host.
        host: HostName,
        /// What was going on.
        what: &'static str,
        /// The protocol's error, when there is one.
        source: Option<io::Error>,
    },
    /// `sudo -n` did not run the command.
    #[error("{host}: sudo refused user {user}: {message}")]
    SudoRefused {
        /// The host.
        host: HostName,
        /// The user the command should have run as.
        user: String,
        /// sudo's own words.
        message: String,
    },
    /// More output than the caller allowed; the command was given up.
    #[error("{host}: more than {limit} bytes on {stream}")]
    OutputTooLarge {
        /// The host.
        host: HostName,
        /// stdout or stderr.
        stream: &'static str,
        /// The bytes allowed.
        limit: usize,
    },
    /// The caller cancelled, or stopped taking the output. The command, when one was started, may
    /// still be running.
    #[error("{host}: cancelled")]
    Cancelled {
        /// The host.
        host: HostName,
    },
    /// Too many other hosts had failed, or the run was cancelled: nothing was sent to this host.
    #[error("{host}: not started, the run had stopped")]
    NotStarted {
        /// The host.
        host: HostName,
    },
}

/// A host key as a server offered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOffer {
    /// `SHA256:` and the base64 digest, as ssh prints it.
    pub fingerprint: String,
    /// The key's type, such as `ssh-ed25519`.
    pub kind: String,
    /// The name the key is looked up by: the host, or `[host]:port`.
    pub lookup: String,
    /// The files looked in.
    pub files: Vec<PathBuf>,
    /// File and line of the first other key on record for this name.
    pub on_record: Option<(PathBuf, usize)>,
    /// The offered key is marked `@revoked`.
    pub revoked: bool,
}

impl Error {
    /// The way out, for the operator; `None` when the message says it all.
    pub fn hint(&self) -> Option<String> {
        let said = |text: &str| Some(text.to_owned());
        match self {
            Self::InvalidSet { .. } | Self::NoHosts { .. } => said(
                "write sets as stat10[08-11].eqiad.wmnet,@group,!stat1009.eqiad.wmnet; groups are in the configuration",
            ),
            Self::Settings { host, .. } => Some(format!("try: ssh -G {host}")),
            Self::Refused { .. } => {
                said("check that the host is up and that sshd listens on this port")
            }
            Self::Unreachable { .. } => {
                said("check the host's name, the network, and the jump host's access")
            }
            Self::NoBanner { .. } => said(
                "the host may be overloaded or booting; an sshd above its MaxStartups drops connections, lower the concurrency",
            ),
            Self::Handshake { .. } => {
                said("compare `ssh -v` to this host: client and server may share no algorithm")
            }
            Self::KeyChanged { offer, .. } if offer.revoked => {
                said("the key is marked @revoked: do not connect, tell the host's owners")
            }
            Self::KeyChanged { offer, .. } => {
                let file = offer.on_record.as_ref().map(|(file, line)| {
                    let shown = quote(&file.display().to_string()).unwrap_or_default();
                    (format!(" -f {shown}"), format!(", line {line}"))
                });
                let (file, line) = file.unwrap_or_default();
                Some(format!(
                    "if the host was reinstalled, compare the fingerprint on its console, then: ssh-keygen -R {}{file}{line}",
                    quote(&offer.lookup).unwrap_or_default(),
                ))
            }
            Self::KeyUnknown { host, offer } => Some(match &offer.on_record {
                Some((file, line)) => format!(
                    "another type of key is on record ({}:{line}); compare the fingerprint on the host's console, then connect once with ssh {host}",
                    file.display()
                ),
                None => format!(
                    "compare the fingerprint on the host's console, then connect once with: ssh {host}"
                ),
            }),
            Self::AuthRefused { user, .. } => Some(format!(
                "check `ssh-add -l` and that the key is authorized for {user}; with many keys in the agent set IdentitiesOnly and IdentityFile"
            )),
            Self::KeyFile { path, .. } => Some(format!(
                "put the key into the agent: ssh-add {}",
                quote(&path.display().to_string()).unwrap_or_default()
            )),
            Self::Hung { .. } => said("the host, its jump host or the ssh agent hangs; try ssh -v"),
            Self::Deadline { host, .. } => Some(format!(
                "look on the host whether it still runs: ssh {host} ps -ef"
            )),
            Self::Lost { host, .. } => Some(format!(
                "look on the host whether the command went on: ssh {host} ps -ef"
            )),
            Self::SudoRefused { .. } => {
                said("the ssh account needs a NOPASSWD rule in sudoers for this user and command")
            }
            Self::OutputTooLarge { .. } => said("narrow the question, or stream the output"),
            Self::InvalidHost { .. }
            | Self::InvalidCommand { .. }
            | Self::Cancelled { .. }
            | Self::NotStarted { .. } => None,
        }
    }
}

/// Takes bytes from outside and gives text that is safe on a terminal and in a log: control and
/// text-direction characters escaped, at most 500 characters.
pub(super) fn clean(bytes: &[u8]) -> String {
    const LONGEST: usize = 500;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST * 4)]);
    let mut shown = String::new();
    for (count, c) in text.trim_end().chars().enumerate() {
        if count == LONGEST {
            shown.push('…');
            break;
        }
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}
