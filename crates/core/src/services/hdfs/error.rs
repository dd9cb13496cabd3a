//! What can go wrong with HDFS, and the way out.

use std::fmt::{self, Write as _};

use hdfs_native::HdfsError;

/// The call an error is about: what was done, to which path, as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What was done, such as `list` or `set owner of`.
    pub op: &'static str,
    /// The path it was done to; a web address where no path is involved.
    pub path: String,
    /// The other path of a rename.
    pub target: Option<String>,
    /// The acting user.
    pub user: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A path may hold newlines and terminal sequences.
        write!(f, "{} {}", self.op, self.path.escape_debug())?;
        if let Some(target) = &self.target {
            write!(f, " to {}", target.escape_debug())?;
        }
        write!(f, " as {}", self.user.escape_debug())
    }
}

/// What the other side, or the client library, said: one line, without a Java stack trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Detail {
    /// The Java class of the exception, where the server named one.
    pub class: Option<String>,
    /// The first line of its message.
    pub message: String,
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.class {
            Some(class) if self.message.is_empty() => write!(f, "{class}"),
            Some(class) => write!(f, "{class}: {}", self.message),
            None => write!(f, "{}", self.message),
        }
    }
}

impl Detail {
    /// A detail without a class: the first line of `message`.
    pub(super) fn of(message: &str) -> Self {
        let line = message.lines().find(|line| !line.trim().is_empty());
        Self {
            class: None,
            message: line.unwrap_or_default().trim().to_owned(),
        }
    }

    /// An exception as the server names it. The message may start with the class once more.
    pub(super) fn remote(class: &str, message: &str) -> Self {
        let mut detail = Self::of(message);
        if let Some(rest) = detail.message.strip_prefix(class) {
            detail.message = rest.trim_start_matches([':', ' ']).to_owned();
        }
        detail.class = Some(class.to_owned());
        detail
    }

    /// Whether the class has this name, in whatever package.
    pub(super) fn is_of(&self, class: &str) -> bool {
        self.short_class() == class
    }

    /// The class without its package and outer class.
    fn short_class(&self) -> &str {
        let class = self.class.as_deref().unwrap_or_default();
        class.rsplit(['.', '$']).next().unwrap_or_default()
    }
}

/// An HDFS call that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path breaks a rule; nothing was contacted.
    #[error("path \"{}\" {why}", .path.escape_debug())]
    Path {
        /// The path as given.
        path: String,
        /// The rule, such as `is relative`.
        why: &'static str,
    },
    /// The client cannot be made from its configuration; nothing was contacted.
    #[error("the HDFS client cannot be set up")]
    Config {
        /// What is missing or wrong.
        source: Detail,
    },
    /// The path, or the parent of the place it should go to, does not exist.
    #[error("{call}: not found")]
    NotFound {
        /// The failed call.
        call: Box<Call>,
        /// What the `NameNode` said.
        source: Detail,
    },
    /// Something is there already; it was left as it is.
    #[error("{call}: already exists")]
    AlreadyExists {
        /// The failed call.
        call: Box<Call>,
        /// What the `NameNode` said.
        source: Detail,
    },
    /// The acting user may not.
    #[error("{call}: permission denied")]
    PermissionDenied {
        /// The failed call.
        call: Box<Call>,
        /// What the `NameNode` said.
        source: Detail,
    },
    /// The `NameNode` only reads, for now.
    #[error("{call}: the NameNode is in safe mode")]
    SafeMode {
        /// The failed call.
        call: Box<Call>,
        /// What the `NameNode` said.
        source: Detail,
    },
    /// A quota of names or of space would be exceeded.
    #[error("{call}: quota exceeded")]
    Quota {
        /// The failed call.
        call: Box<Call>,
        /// What the `NameNode` said.
        source: Detail,
    },
    /// No `NameNode` is active, or it is still starting.
    #[error("{call}: no active NameNode")]
    Standby {
        /// The failed call.
        call: Box<Call>,
        /// What the `NameNode` said.
        source: Detail,
    },
    /// The connection cannot be made or broke off.
    #[error("{call}: no connection")]
    Unreachable {
        /// The failed call.
        call: Box<Call>,
        /// What the system said.
        source: Detail,
    },
    /// No answer in time. The call may still have been carried out.
    #[error("{call}: no answer within {seconds} s")]
    Deadline {
        /// The failed call.
        call: Box<Call>,
        /// The time that was given.
        seconds: u64,
    },
    /// Authentication failed: no Kerberos ticket, or an expired one.
    #[error("{call}: authentication failed")]
    Ticket {
        /// The failed call.
        call: Box<Call>,
        /// What GSSAPI or the server said.
        source: Detail,
    },
    /// A folder that should be empty is not.
    #[error("{call}: the folder is not empty")]
    NotEmpty {
        /// The failed call.
        call: Box<Call>,
        /// What the `NameNode` said.
        source: Detail,
    },
    /// Snapshots stand in the way.
    #[error("{call}: snapshots stand in the way")]
    Snapshot {
        /// The failed call.
        call: Box<Call>,
        /// What the `NameNode` said.
        source: Detail,
    },
    /// What was read is not what was written, or blocks are missing.
    #[error("{call}: the data is damaged")]
    Corrupt {
        /// The failed call.
        call: Box<Call>,
        /// Both lengths or checksums, or the block.
        source: Detail,
    },
    /// A name that is not UTF-8: neither this client nor Hadoop's own can address it.
    #[error("{call}: a name in it is not UTF-8")]
    NotUtf8 {
        /// The failed call.
        call: Box<Call>,
        /// Where the name stops being UTF-8.
        source: Detail,
    },
    /// A file is larger than the caller is ready to hold in memory.
    #[error("{call}: {bytes} bytes are more than the allowed {limit}")]
    TooLarge {
        /// The failed call.
        call: Box<Call>,
        /// The file's length.
        bytes: u64,
        /// The most that was allowed.
        limit: u64,
    },
    /// The source of the bytes failed while they were written; nothing was left behind.
    #[error("{call}: the data to write broke off")]
    Input {
        /// The failed call.
        call: Box<Call>,
        /// The error of whoever sent the bytes.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Anything else.
    #[error("{call}: refused")]
    Other {
        /// The failed call.
        call: Box<Call>,
        /// What was said, with the exception's class where there is one.
        source: Detail,
    },
}

impl Error {
    /// The way out, for the operator.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Path { .. } => "give an absolute path without . and .. components".to_owned(),
            Self::Config { .. } => {
                "set the Hadoop configuration folder or the cluster's URL, the acting user, and \
                 the web addresses of the NameNodes"
                    .to_owned()
            }
            Self::NotFound { call, .. } => format!(
                "see what is there: hdfs dfs -ls {}",
                quoted(super::path::split(call.target.as_ref().unwrap_or(&call.path)).0)
            ),
            Self::AlreadyExists { call, .. } => format!(
                "nothing is overwritten or merged; look at {} and move it away, or choose another name",
                quoted(call.target.as_ref().unwrap_or(&call.path))
            ),
            Self::PermissionDenied { call, .. } => format!(
                "{} lacks the right; act as the owner or as an HDFS superuser",
                call.user.escape_debug()
            ),
            Self::SafeMode { .. } => "wait until `hdfs dfsadmin -safemode get` says OFF; it \
                                      stays on while blocks are missing or disks are full"
                .to_owned(),
            Self::Quota { call, .. } => format!(
                "see `hdfs dfs -count -q -v` of {} and its parents; raise the quota or free space",
                quoted(call.target.as_ref().unwrap_or(&call.path))
            ),
            Self::Standby { .. } => {
                "see `hdfs haadmin -getAllServiceState`; one NameNode must be active".to_owned()
            }
            Self::Unreachable { .. } => {
                "check that the NameNodes and DataNodes run and that the configured addresses are theirs"
                    .to_owned()
            }
            Self::Deadline { .. } => {
                "the call may still be carried out: look again before repeating it".to_owned()
            }
            Self::Ticket { call, .. } => format!(
                "get a Kerberos ticket that lets you act as {} (kinit), then run again",
                call.user.escape_debug()
            ),
            Self::NotEmpty { .. } => "list the folder; only an empty one can be removed or replaced \
                                      this way"
                .to_owned(),
            Self::Snapshot { call, .. } => format!(
                "delete the snapshots below {} (hdfs lsSnapshottableDir, hdfs dfs -deleteSnapshot) \
                 and disallow them (hdfs dfsadmin -disallowSnapshot)",
                quoted(&call.path)
            ),
            Self::Corrupt { call, .. } => format!(
                "check the blocks (hdfs fsck {} -files -blocks) and the DataNodes' logs, then run again",
                quoted(&call.path)
            ),
            Self::NotUtf8 { .. } => {
                "have the name repaired by the owners of the program that wrote it".to_owned()
            }
            Self::TooLarge { .. } | Self::Input { .. } | Self::Other { .. } => return None,
        })
    }

    /// Whether the same call may succeed in a moment: the connection broke or no `NameNode` was
    /// active. Says nothing about whether the call was carried out.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Standby { .. })
    }

    /// The kind of error that an exception class of the server stands for.
    pub(super) fn remote(call: Call, source: Detail) -> Self {
        let call = Box::new(call);
        let message = source.message.as_str();
        match source.short_class() {
            "FileNotFoundException" | "NoSuchFileException" => Self::NotFound { call, source },
            "FileAlreadyExistsException" | "AlreadyBeingCreatedException" => {
                Self::AlreadyExists { call, source }
            }
            // A secure server says this to a client that came without Kerberos.
            "AccessControlException" if message.contains("authentication is not enabled") => {
                Self::Ticket { call, source }
            }
            "AccessControlException" | "AuthorizationException" => {
                Self::PermissionDenied { call, source }
            }
            "SaslException" | "GSSException" | "InvalidToken" => Self::Ticket { call, source },
            "SafeModeException" => Self::SafeMode { call, source },
            // With a standby beside it, safe mode comes wrapped so that Java clients fail over.
            "RetriableException" if message.contains("SafeModeException") => {
                Self::SafeMode { call, source }
            }
            "StandbyException" | "RetriableException" | "ObserverRetryOnActiveException" => {
                Self::Standby { call, source }
            }
            "NSQuotaExceededException"
            | "DSQuotaExceededException"
            | "QuotaByStorageTypeExceededException"
            | "QuotaExceededException" => Self::Quota { call, source },
            "PathIsNotEmptyDirectoryException" => Self::NotEmpty { call, source },
            "SnapshotException" | "NestedSnapshottableDirectoryException" => {
                Self::Snapshot { call, source }
            }
            "BlockMissingException" => Self::Corrupt { call, source },
            _ => Self::Other { call, source },
        }
    }

    /// The same for an error of the client library.
    pub(super) fn native(call: Call, error: &HdfsError) -> Self {
        let source = Detail::of(&error.to_string());
        match error {
            HdfsError::RPCError(class, message) | HdfsError::FatalRPCError(class, message) => {
                return Self::remote(call, Detail::remote(class, message));
            }
            HdfsError::AlreadyExists(message) => {
                let class = "org.apache.hadoop.fs.FileAlreadyExistsException";
                return Self::remote(call, Detail::remote(class, message));
            }
            _ => {}
        }
        let call = Box::new(call);
        match error {
            HdfsError::FileNotFound(_) => Self::NotFound { call, source },
            HdfsError::IOError(_) => Self::Unreachable { call, source },
            HdfsError::ChecksumError | HdfsError::BlocksNotFound(_) => {
                Self::Corrupt { call, source }
            }
            HdfsError::SASLError(_) | HdfsError::GSSAPIError(..) | HdfsError::NoSASLMechanism => {
                Self::Ticket { call, source }
            }
            _ => Self::Other { call, source },
        }
    }
}

/// `text` for a shell, as part of a hint that an operator may copy.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) {
        return text.to_owned();
    }
    if text.chars().any(char::is_control) {
        // $'...' shows what a terminal would otherwise swallow.
        let mut out = String::from("$'");
        for c in text.chars() {
            match c {
                '\'' | '\\' => out.extend(['\\', c]),
                c if c.is_control() => {
                    for byte in c.to_string().bytes() {
                        // Writing to a String cannot fail.
                        let _ = write!(out, "\\x{byte:02x}");
                    }
                }
                c => out.push(c),
            }
        }
        out.push('\'');
        return out;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    fn call() -> Call {
        Call {
            op: "rename",
            path: "/user/elvis".into(),
            target: Some("/archive/elvis".into()),
            user: "hdfs".into(),
        }
    }

    /// The variant's name.
    fn kind(error: &Error) -> String {
        let debug = format!("{error:?}");
        debug[..debug.find([' ', '{']).unwrap_or(debug.len())].to_owned()
    }

    #[test]
    fn classes_become_kinds() {
        for (class, message, want) in [
            ("java.io.FileNotFoundException", "x", "NotFound"),
            (
                "org.apache.hadoop.fs.FileAlreadyExistsException",
                "",
                "AlreadyExists",
            ),
            (
                "org.apache.hadoop.security.AccessControlException",
                "Permission denied: user=elvis, access=WRITE",
                "PermissionDenied",
            ),
            (
                "org.apache.hadoop.security.AccessControlException",
                "SIMPLE authentication is not enabled.  Available:[TOKEN, KERBEROS]",
                "Ticket",
            ),
            (
                "org.apache.hadoop.security.authorize.AuthorizationException",
                "User: svc is not allowed to impersonate hdfs",
                "PermissionDenied",
            ),
            (
                "org.apache.hadoop.hdfs.server.namenode.SafeModeException",
                "Cannot set owner",
                "SafeMode",
            ),
            (
                "org.apache.hadoop.ipc.RetriableException",
                "org.apache.hadoop.hdfs.server.namenode.SafeModeException: Cannot",
                "SafeMode",
            ),
            (
                "org.apache.hadoop.ipc.RetriableException",
                "NameNode still not started",
                "Standby",
            ),
            ("org.apache.hadoop.ipc.StandbyException", "", "Standby"),
            (
                "org.apache.hadoop.hdfs.protocol.NSQuotaExceededException",
                "",
                "Quota",
            ),
            (
                "org.apache.hadoop.hdfs.protocol.DSQuotaExceededException",
                "",
                "Quota",
            ),
            (
                "org.apache.hadoop.fs.PathIsNotEmptyDirectoryException",
                "",
                "NotEmpty",
            ),
            (
                "org.apache.hadoop.hdfs.protocol.SnapshotException",
                "",
                "Snapshot",
            ),
            (
                "org.apache.hadoop.security.token.SecretManager$InvalidToken",
                "",
                "Ticket",
            ),
            ("java.lang.NullPointerException", "", "Other"),
            ("", "", "Other"),
        ] {
            let error = Error::remote(call(), Detail::remote(class, message));
            assert_eq!(kind(&error), want, "{class} {message}");
        }
    }

    #[test]
    fn client_errors_become_kinds() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        for (error, want) in [
            (HdfsError::IOError(refused), "Unreachable"),
            (HdfsError::FileNotFound("/x".into()), "NotFound"),
            (HdfsError::AlreadyExists("x".into()), "AlreadyExists"),
            (HdfsError::ChecksumError, "Corrupt"),
            (HdfsError::NoSASLMechanism, "Ticket"),
            (HdfsError::TrashNotEnabled, "Other"),
            (
                HdfsError::FatalRPCError(
                    "org.apache.hadoop.ipc.StandbyException".into(),
                    String::new(),
                ),
                "Standby",
            ),
        ] {
            assert_eq!(kind(&Error::native(call(), &error)), want);
        }
    }

    #[test]
    fn the_message_names_call_and_user_and_leaves_the_rest_to_source() {
        let trace =
            "Permission denied: user=elvis\n\tat org.apache.hadoop.Foo(Foo.java:1)\n\tat ...";
        let class = "org.apache.hadoop.security.AccessControlException";
        let error = Error::remote(call(), Detail::remote(class, trace));
        assert_eq!(
            error.to_string(),
            "rename /user/elvis to /archive/elvis as hdfs: permission denied"
        );
        assert_eq!(
            error.source().unwrap().to_string(),
            format!("{class}: Permission denied: user=elvis")
        );
        assert!(error.hint().unwrap().contains("hdfs lacks the right"));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut call = call();
        call.path = "/user/elvis/a\n\u{1b}[2J b".into();
        call.target = None;
        let error = Error::remote(call, Detail::remote("SnapshotException", ""));
        assert!(!error.to_string().contains(char::is_control));
        assert!(!error.hint().unwrap().contains(char::is_control));
        assert_eq!(quoted("/user/it's"), r"'/user/it'\''s'");
        assert_eq!(quoted("/a\nb'"), r"$'/a\x0ab\''");
        let path = Error::Path {
            path: "a\nb".into(),
            why: "is relative",
        };
        assert_eq!(path.to_string(), "path \"a\\nb\" is relative");
    }
}
