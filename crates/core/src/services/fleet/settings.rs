//! The ssh settings of a host, as ssh itself reads them from the operator's configuration file.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::Config;
use super::error::{Error, clean};
use super::hostset::HostName;
use super::known_hosts::patterns_match;

/// What `ssh -G` says about a host, as far as a connection needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) hostname: String,
    pub(super) port: u16,
    pub(super) user: String,
    /// The name to look the host key up by.
    pub(super) key_name: String,
    pub(super) identities: Vec<PathBuf>,
    pub(super) certificates: Vec<PathBuf>,
    pub(super) identities_only: bool,
    pub(super) known_hosts: Vec<PathBuf>,
    pub(super) agent: Option<PathBuf>,
    pub(super) proxy: Option<Proxy>,
}

/// How to get to a host that cannot be reached directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proxy {
    /// `ProxyJump`: hosts, parted by commas, the first one reached first.
    Jump(String),
    /// `ProxyCommand`, expanded.
    Command(String),
}

/// The answer of `ssh -G`: keywords in lower case with their values, in order.
pub(super) type Answer = Vec<(String, String)>;

/// Asks ssh for the settings of a host.
pub(super) async fn ask(config: &Config, host: &HostName) -> Result<Answer, Error> {
    let fault = |reason: String, source: Option<io::Error>| Error::Settings {
        host: host.clone(),
        reason,
        source,
    };
    let program = config.ssh_program.display();
    let mut command = tokio::process::Command::new(&config.ssh_program);
    command
        .args(["-T", "-G", "-F"])
        .arg(&config.ssh_config)
        .arg("--")
        .arg(host.as_str())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    match &config.agent {
        Some(socket) => command.env("SSH_AUTH_SOCK", socket),
        None => command.env_remove("SSH_AUTH_SOCK"),
    };
    let output = tokio::time::timeout(config.connect_deadline, command.output())
        .await
        .map_err(|_| Error::Hung {
            host: host.clone(),
            what: "ssh -G did not answer",
            after: config.connect_deadline,
        })?
        .map_err(|e| fault(format!("{program} did not start"), Some(e)))?;
    if !output.status.success() {
        return Err(fault(clean(&output.stderr), None));
    }
    let text = String::from_utf8(output.stdout)
        .map_err(|_| fault("ssh -G answered in no UTF-8".to_owned(), None))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect())
}

impl Settings {
    /// Makes an answer into settings. `hostname` replaces the answer's when the answer was given
    /// for another host of the same [`Class`].
    pub(super) fn new(
        answer: &Answer,
        host: &HostName,
        hostname: Option<&str>,
        config: &Config,
    ) -> Result<Self, Error> {
        let value = |key: &str| {
            let found = answer.iter().find(|(name, _)| name == key);
            found
                .map(|(_, value)| value.as_str())
                .filter(|v| *v != "none")
        };
        let fault = |reason: String| Error::Settings {
            host: host.clone(),
            reason,
            source: None,
        };
        let missing = |key: &str| fault(format!("ssh -G told no {key}"));
        let hostname = match hostname {
            Some(name) => name,
            None => value("hostname").ok_or_else(|| missing("hostname"))?,
        };
        let port = value("port").ok_or_else(|| missing("port"))?;
        let user = value("user").ok_or_else(|| missing("user"))?;
        let tokens = Tokens {
            hostname,
            port,
            user,
            host: host.as_str(),
            home: config.home.as_deref(),
        };
        let paths = |key: &str| -> Vec<PathBuf> {
            let all = answer.iter().filter(|(name, _)| name == key);
            all.filter_map(|(_, value)| tokens.path(value)).collect()
        };
        let words = |key: &str| {
            let words = value(key).unwrap_or_default().split_ascii_whitespace();
            words.filter_map(|word| tokens.path(word))
        };
        let proxy = match (value("proxyjump"), value("proxycommand")) {
            (Some(jump), _) => Some(Proxy::Jump(jump.to_owned())),
            (None, Some(command)) => {
                Some(Proxy::Command(tokens.expand(command).ok_or_else(|| {
                    fault("ProxyCommand holds a % token that is not supported".to_owned())
                })?))
            }
            (None, None) => None,
        };
        let listed = answer.iter().find(|(name, _)| name == "identityagent");
        let agent = match listed.map(|(_, value)| value.as_str()) {
            None | Some("SSH_AUTH_SOCK") => config.agent.clone(),
            Some(path) => tokens.path(path),
        };
        Ok(Self {
            hostname: hostname.to_owned(),
            port: port.parse().map_err(|_| missing("port"))?,
            user: user.to_owned(),
            key_name: value("hostkeyalias")
                .unwrap_or(hostname)
                .to_ascii_lowercase(),
            identities: paths("identityfile"),
            certificates: paths("certificatefile"),
            identities_only: value("identitiesonly") == Some("yes"),
            known_hosts: words("userknownhostsfile")
                .chain(words("globalknownhostsfile"))
                .collect(),
            agent,
            proxy,
        })
    }
}

/// What the `%` tokens and the `~` of an ssh configuration stand for (`ssh_config(5)`, TOKENS).
struct Tokens<'a> {
    hostname: &'a str,
    port: &'a str,
    user: &'a str,
    host: &'a str,
    home: Option<&'a Path>,
}

impl Tokens<'_> {
    fn path(&self, value: &str) -> Option<PathBuf> {
        let value = self.expand(value).filter(|value| value != "none")?;
        match value.strip_prefix("~/") {
            Some(rest) => Some(self.home?.join(rest)),
            None => Some(PathBuf::from(value)),
        }
    }

    /// `None` for a token that is not known here.
    fn expand(&self, value: &str) -> Option<String> {
        let mut parts = value.split('%');
        let mut expanded = parts.next()?.to_owned();
        while let Some(part) = parts.next() {
            let Some(token) = part.chars().next() else {
                expanded.push('%');
                expanded.push_str(parts.next()?);
                continue;
            };
            match token {
                'h' => expanded.push_str(self.hostname),
                'n' => expanded.push_str(self.host),
                'p' => expanded.push_str(self.port),
                'r' => expanded.push_str(self.user),
                'd' => expanded.push_str(self.home?.to_str()?),
                _ => return None,
            }
            expanded.push_str(&part[token.len_utf8()..]);
        }
        Some(expanded)
    }
}

/// Hosts for which ssh gives one answer, but for their `HostName`.
///
/// `ssh -G` takes 4 ms of processor time, as much as a whole connection; hosts to which the same
/// lines of the configuration apply share one call. Only which lines apply is worked out here;
/// what they mean is ssh's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Class {
    /// The lines that apply.
    pub(super) lines: String,
    /// The address to connect to.
    pub(super) hostname: String,
}

impl Class {
    /// The class of a host under a configuration file's text; `None` when the text holds
    /// something that could make the answer depend on the host in another way.
    pub(super) fn of(text: &str, host: &HostName) -> Option<Self> {
        let mut applies = true;
        let mut hostname = None;
        let mut lines = String::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (keyword, value) =
                line.split_once(|c: char| c == '=' || c.is_ascii_whitespace())?;
            let keyword = keyword.to_ascii_lowercase();
            let value = value.trim_start_matches(|c: char| c == '=' || c.is_ascii_whitespace());
            match keyword.as_str() {
                "match" | "include" | "canonicalizehostname" | "canonicaldomains" => return None,
                "host" | "hostname" if value.contains(['"', '\'', '\\', '#', '%']) => return None,
                "host" => {
                    applies = patterns_match(value.split_ascii_whitespace(), host.as_str());
                }
                _ if !applies => {}
                "hostname" => {
                    hostname.get_or_insert(value.to_ascii_lowercase());
                }
                // ssh -G leaves the tokens of a ProxyCommand as they are.
                "proxycommand" => lines.extend([line, "\n"]),
                _ if value.contains(['%', '$']) => return None,
                _ => lines.extend([line, "\n"]),
            }
        }
        Some(Self {
            lines,
            hostname: hostname.unwrap_or_else(|| host.to_string()),
        })
    }
}
