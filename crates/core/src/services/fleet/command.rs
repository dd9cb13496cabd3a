//! Commands for a POSIX shell, made from arguments, never from text.

use bytes::Bytes;

use super::error::{Error, clean};
use super::hostset::HostName;

/// How much a command may print on each of stdout and stderr unless told otherwise.
pub const OUTPUT_LIMIT: usize = 16 << 20;

/// libssh2 sends a command in one packet of at most 35,000 bytes.
const LONGEST_LINE: usize = 30_000;

/// The status that stands for success on the wire, see [`Command::line`].
const SUCCESS: i32 = 99;

/// Takes one argument and gives it as a word of POSIX `sh`, whatever characters it holds; a NUL
/// is [`Error::InvalidCommand`], as no argument can hold one. The rule: between single quotes
/// every character stands for itself (POSIX.1-2017, Shell Command Language, 2.2.2).
pub fn quote(argument: &str) -> Result<String, Error> {
    if argument.contains('\0') {
        return Err(Error::InvalidCommand {
            reason: format!("a NUL in the argument `{}`", clean(argument.as_bytes())),
        });
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+,:@%".contains(&b);
    if !argument.is_empty() && argument.bytes().all(plain) {
        return Ok(argument.to_owned());
    }
    Ok(format!("'{}'", argument.replace('\'', r"'\''")))
}

/// What to run on a host: arguments, the user to run them as, and what to put on stdin. The
/// account's login shell must be a POSIX one (sh, bash, dash, zsh).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    argv: Vec<String>,
    sudo: Option<String>,
    stdin: Bytes,
    output_limit: usize,
}

impl Command {
    /// A program with its arguments; the program is looked up in the host's PATH.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            sudo: None,
            stdin: Bytes::new(),
            output_limit: OUTPUT_LIMIT,
        }
    }

    /// A fixed `sh` script with its arguments as `$1`, `$2` ...
    pub fn script<S: Into<String>>(
        script: &'static str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        let shell = ["sh", "-c", script, "sh"].map(String::from);
        Self::new(
            shell
                .into_iter()
                .chain(arguments.into_iter().map(Into::into)),
        )
    }

    /// The same command run as `user`, by `sudo -n -u USER --`.
    #[must_use]
    pub fn sudo(mut self, user: impl Into<String>) -> Self {
        self.sudo = Some(user.into());
        self
    }

    /// The same command with these bytes on its stdin (else its stdin is empty). Lists of file
    /// names, which may be long and need not be UTF-8, belong here, parted by NUL.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Bytes>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// The same command with another limit, in bytes, on each of stdout and stderr.
    #[must_use]
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    pub(super) fn input(&self) -> Bytes {
        self.stdin.clone()
    }

    pub(super) fn limit(&self) -> usize {
        self.output_limit
    }

    /// The line for the login shell.
    ///
    /// libssh2 reports status 0 both for success and for a channel that was closed without any
    /// status (as sshd does at its `ChannelTimeout`), so on the wire success is [`SUCCESS`] and 0
    /// means that none came. A death by signal is passed on as such: the shell, which sees it as
    /// 128 + signal, ends itself by the same signal.
    pub(super) fn line(&self) -> Result<String, Error> {
        let invalid = |reason: &str| {
            Err(Error::InvalidCommand {
                reason: reason.to_owned(),
            })
        };
        let Some(program) = self.argv.first().filter(|program| !program.is_empty()) else {
            return invalid("it names no program");
        };
        let mut words = Vec::with_capacity(self.argv.len() + 5);
        if let Some(user) = &self.sudo {
            if !is_user(user) {
                return invalid(&format!("`{}` is no user name", clean(user.as_bytes())));
            }
            if program.contains('=') {
                return invalid("sudo would take its first word for a variable");
            }
            words.extend(["sudo", "-n", "-u", user, "--"].map(String::from));
        }
        for argument in &self.argv {
            words.push(quote(argument)?);
        }
        let line = format!(
            "{} && exit {SUCCESS}; r=$?; [ $r -eq {SUCCESS} ] && exit 98; [ $r -gt 128 ] && kill -$((r-128)) $$; exit $r",
            words.join(" ")
        );
        if line.len() > LONGEST_LINE {
            return invalid("it is longer than 30,000 bytes: pass lists on stdin");
        }
        Ok(line)
    }

    /// sudo's own words when it did not run the command.
    pub(super) fn sudo_refusal(
        &self,
        host: &HostName,
        exit: &Exit,
        stderr: &[u8],
    ) -> Option<Error> {
        // The words of sudo 1.8 and 1.9; other lines that start with `sudo: ` are warnings.
        const REFUSALS: [&str; 11] = [
            "a password is required",
            "a terminal is required",
            "no tty present",
            "unknown user",
            "is not in the sudoers file",
            "is not allowed to",
            "may not run sudo",
            "no valid sudoers sources",
            "account validation failure",
            "effective uid is not 0",
            "\"no new privileges\" flag",
        ];
        let user = self.sudo.clone()?;
        if *exit != Exit::Status(1) {
            return None;
        }
        let text = String::from_utf8_lossy(stderr);
        let own = |line: &&str| {
            let sudo = line.starts_with("sudo: ")
                || line.starts_with("Sorry, user ")
                || line.contains("is not in the sudoers file");
            sudo && REFUSALS.iter().any(|refusal| line.contains(refusal))
        };
        let message = text.lines().find(own)?;
        Some(Error::SudoRefused {
            host: host.clone(),
            user,
            message: clean(message.as_bytes()),
        })
    }
}

/// Debian's rule for account names (adduser's `NAME_REGEX`), with dots.
fn is_user(name: &str) -> bool {
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b);
    name.len() <= 32
        && name.bytes().all(rest)
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// By itself, with this status.
    Status(i32),
    /// By this signal, named without `SIG`.
    Signal(String),
}

impl Exit {
    /// Status 0.
    pub fn success(&self) -> bool {
        *self == Self::Status(0)
    }

    /// What came over the wire, see [`Command::line`]; `None` when no status came.
    pub(super) fn from_wire(status: i32, signal: Option<String>) -> Option<Self> {
        match (signal, status) {
            (Some(signal), _) => Some(Self::Signal(clean(signal.as_bytes()))),
            (None, 0) => None,
            (None, SUCCESS) => Some(Self::Status(0)),
            (None, status) => Some(Self::Status(status)),
        }
    }
}

/// What a command printed and how it ended. The bytes come from the host: untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How the command ended.
    pub exit: Exit,
    /// All of stdout.
    pub stdout: Vec<u8>,
    /// All of stderr.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether the command ended with status 0.
    pub fn success(&self) -> bool {
        self.exit.success()
    }
}

/// How a streamed command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How the command ended.
    pub exit: Exit,
    /// What was not streamed of its stdout (upload), empty for a download.
    pub stdout: Vec<u8>,
    /// All of stderr.
    pub stderr: Vec<u8>,
    /// Bytes streamed: taken from the host, or handed to it.
    pub bytes: u64,
}
