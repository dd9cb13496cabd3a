//! Why a configuration can't be used.

use std::path::PathBuf;

use thiserror::Error;

/// Why a configuration can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can't be read.
    #[error("configuration file {} can't be read", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not JSON.
    #[error("configuration file {} is not JSON", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A key holds what it can't take.
    #[error("configuration file {}: {key} must be {wanted}", file.display())]
    Value {
        /// The file.
        file: PathBuf,
        /// The key's path.
        key: String,
        /// What it takes.
        wanted: &'static str,
    },
    /// A key holds a word that is none of its words.
    #[error("{key} is {value:?}; it can be {choices}")]
    Choice {
        /// The key's path.
        key: &'static str,
        /// What it holds.
        value: String,
        /// What it takes.
        choices: &'static str,
    },
    /// `jwtSecret` is too short to be one.
    #[error("Please provide a JWT secret at least 32 bytes long")]
    ShortSecret,
    /// `previousJwtSecret` is set and too short.
    #[error("previousJwtSecret must be at least 32 bytes long")]
    ShortPreviousSecret,
    /// Keys that don't go together.
    #[error("{0}")]
    Conflict(&'static str),
}

impl ConfigError {
    /// What the operator can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            ConfigError::Read { .. } => {
                Some("check the path given to --config and who may read it".to_owned())
            }
            ConfigError::ShortSecret => Some(
                "set jwtSecret (or JWT_SECRET) to Superset's GLOBAL_ASYNC_QUERIES_JWT_SECRET"
                    .to_owned(),
            ),
            ConfigError::Value { .. } | ConfigError::Choice { .. } => {
                Some("--check-config shows every key and where its value comes from".to_owned())
            }
            _ => None,
        }
    }
}
