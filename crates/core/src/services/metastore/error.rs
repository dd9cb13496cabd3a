//! What the metastore, or the way to it, says when it says no.

use std::io;

use crate::services::sql;

/// A call to the metastore that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configured address is none.
    #[error("metastore address {uri:?} is not thrift://HOST:PORT")]
    Address {
        /// As configured.
        uri: String,
    },
    /// None of the configured servers can be connected to.
    #[error("metastore {uri} cannot be reached")]
    Unreachable {
        /// The last that was tried.
        uri: String,
        /// Why not.
        source: io::Error,
    },
    /// The server did not answer in time.
    #[error("metastore: {call}: no answer within {seconds} s")]
    Deadline {
        /// What was asked, about which object.
        call: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The connection broke in the middle of a call.
    #[error("metastore: {call}: the connection broke")]
    Lost {
        /// What was asked, about which object.
        call: String,
        /// What the system said.
        source: Box<thrift::Error>,
    },
    /// The object is not there.
    #[error("metastore: {call}: there is no such object")]
    NotFound {
        /// What was asked, about which object.
        call: String,
    },
    /// The server refuses.
    #[error("metastore: {call}: {message}")]
    Refused {
        /// What was asked, about which object.
        call: String,
        /// The first line of what it said.
        message: String,
    },
    /// A name that cannot be put into the metastore's filter language.
    #[error("the name {name:?} cannot be searched for")]
    Unsearchable {
        /// The name.
        name: String,
    },
    /// The answer is not one of a metastore's.
    #[error("metastore: {call}: the answer cannot be understood")]
    Protocol {
        /// What was asked, about which object.
        call: String,
        /// What the protocol said.
        source: Box<thrift::Error>,
    },
    /// The metastore's own database does not tell.
    #[error("the metastore's own tables cannot be read")]
    Backing {
        /// Why not.
        source: sql::Error,
    },
    /// The database is another metastore's, or none's.
    #[error(
        "{server}: the tables in {database} are those of metastore {found:?}, and {asked:?} is asked"
    )]
    OtherMetastore {
        /// Account and place.
        server: String,
        /// The database.
        database: String,
        /// Whose tables they are; empty when they don't say.
        found: String,
        /// Whose they should be.
        asked: String,
    },
    /// A record that is not one.
    #[error("the record of {what} is damaged")]
    Damaged {
        /// What it should be about.
        what: &'static str,
    },
    /// The thread that made the call ended without an answer.
    #[error("metastore: {call}: the call was given up")]
    Aborted {
        /// What was asked, about which object.
        call: String,
    },
}

impl Error {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Backing { source } => {
                let more = "without metastore.sql the metastore itself is asked, table by table";
                return Some(match source.hint() {
                    Some(hint) => format!("{hint}; {more}"),
                    None => more.to_owned(),
                });
            }
            Self::OtherMetastore { .. } => {
                "metastore.sql must name the database that the metastore of metastore.uris works on"
            }
            Self::Address { .. } => "set metastore.uris in the configuration",
            Self::Unreachable { .. } => "is the metastore running, and is metastore.uris right?",
            Self::Deadline { .. } => "the metastore is slow or hangs; see its log, then run again",
            Self::Lost { .. } => {
                "the metastore ended the connection: it was restarted, or it wants Kerberos (SASL) \
                 where this client is configured without"
            }
            Self::Protocol { .. } => "does metastore.uris name a metastore's thrift port?",
            Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::Unsearchable { .. }
            | Self::Damaged { .. }
            | Self::Aborted { .. } => return None,
        };
        Some(hint.to_owned())
    }
}
