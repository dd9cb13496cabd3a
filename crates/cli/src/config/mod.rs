//! The one configuration file, in TOML. Each tool has a section of its own beside the shared
//! ones; every key must be known, so that a mistyped safety setting is never just ignored.

mod sections;
#[cfg(test)]
mod tests;
mod world;

use std::num::NonZero;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};

use crate::console::Env;
use crate::error::CliError;
pub use sections::{Admins, Backing, Fleet, Hdfs, Metastore, Settings, Span, Yarn};

/// Where the configuration of the machine lies.
pub const SYSTEM: &str = "/etc/opsweek/config.toml";

/// The sections of the tools. A tool reads its own and leaves the others' alone.
const TOOLS: [&str; 4] = ["offboard", "newwiki", "db-sync", "snapshot-bump"];

/// A configuration: the shared settings, and the section `S` of one tool.
#[derive(Clone, Debug)]
pub struct Config<S> {
    /// The file that it was read from, for messages; empty where there is none.
    pub path: PathBuf,
    /// What all tools share.
    pub settings: Settings,
    /// The tool's own section; its default where the file has none.
    pub tool: S,
    /// The caller's home folder, which the environment names: for `~` in settings of ssh.
    pub home: Option<PathBuf>,
    /// The socket of the caller's ssh agent, which the environment names.
    pub ssh_agent: Option<PathBuf>,
}

impl<S: DeserializeOwned + Default> Config<S> {
    /// Reads the file that the flag, the environment or custom names, in this order. Where
    /// there is none and `without` says that it is not needed, all is at its default, and
    /// journals and plans are kept in the folder `without` of the caller's folder of states.
    pub(crate) fn find(
        flag: Option<&Path>,
        env: &Env,
        tool: &str,
        without: Option<&Path>,
    ) -> Result<Self, CliError> {
        let usual = [
            Some(PathBuf::from(SYSTEM)),
            env.config_home
                .as_ref()
                .map(|home| home.join("opsweek/config.toml")),
        ];
        let named = flag.or(env.config.as_deref());
        let found = usual.iter().flatten().find(|path| path.exists());
        let Some(path) = named.or(found.map(PathBuf::as_path)) else {
            if let Some(folder) = without {
                return Ok(Self::absent(env, folder));
            }
            let tried: Vec<String> = usual
                .iter()
                .flatten()
                .map(|path| path.display().to_string())
                .collect();
            return Err(
                CliError::usage(format!("no configuration: no {}", tried.join(", no ")))
                    .hint("name one by --config FILE or OPSWEEK_CONFIG"),
            );
        };
        let text = std::fs::read_to_string(path).map_err(|source| {
            CliError::usage(format!("configuration {}", path.display())).because(&source)
        })?;
        Ok(Self {
            home: env.home.clone(),
            ssh_agent: env.ssh_agent.clone(),
            ..Self::parse(path, &text, tool)?
        })
    }

    fn absent(env: &Env, folder: &Path) -> Self {
        let defaults = Settings::default();
        let states = env.state_home.as_ref().map(|home| home.join("opsweek"));
        Self {
            path: PathBuf::new(),
            settings: Settings {
                state_dir: states.unwrap_or(defaults.state_dir.clone()).join(folder),
                ..defaults
            },
            tool: S::default(),
            home: env.home.clone(),
            ssh_agent: env.ssh_agent.clone(),
        }
    }

    /// Whether there is no configuration at all.
    pub fn is_absent(&self) -> bool {
        self.path.as_os_str().is_empty()
    }

    /// The tool's own section is the one called `tool`.
    fn parse(path: &Path, text: &str, tool: &str) -> Result<Self, CliError> {
        let fail = |error: &toml::de::Error, table: Option<&DeTable<'_>>| {
            explain(path, text, error, table, tool)
        };
        let whole = DeTable::parse(text).map_err(|error| fail(&error, None))?;
        let mut shared = whole.clone();
        let own = shared.get_mut().remove(tool);
        for other in TOOLS {
            shared.get_mut().remove(other);
        }
        let settings = serde::Deserialize::deserialize(Deserializer::from(shared))
            .map_err(|error| fail(&error, Some(whole.get_ref())))?;
        let tool = own
            .map(|section| S::deserialize(ValueDeserializer::from(section)))
            .transpose()
            .map_err(|error| fail(&error, Some(whole.get_ref())))?
            .unwrap_or_default();
        Ok(Self {
            path: path.to_owned(),
            settings,
            tool,
            home: None,
            ssh_agent: None,
        })
    }
}

/// The file, the line, the key's full path and the closest known key.
fn explain(
    path: &Path,
    text: &str,
    error: &toml::de::Error,
    table: Option<&DeTable<'_>>,
    tool: &str,
) -> CliError {
    let span = error.span().unwrap_or_default();
    let line = 1 + text
        .bytes()
        .take(span.start)
        .filter(|byte| *byte == b'\n')
        .count();
    let place = format!("configuration {}, line {line}", path.display());
    let key = table.and_then(|table| innermost(table, "", &span));
    let Some(key) = key else {
        return CliError::usage(format!("{place}: {}", error.message()));
    };
    // The words of serde's `Error::unknown_field`: the keys are the only thing in backticks.
    if !error.message().starts_with("unknown field ") {
        return CliError::usage(format!("{place}: {key}: {}", error.message()));
    }
    let mut quoted = error.message().split('`').skip(1).step_by(2);
    let wrong = quoted.next().unwrap_or_default();
    let mut known: Vec<&str> = quoted.collect();
    if key == wrong {
        known.extend(TOOLS.iter().filter(|other| **other != tool));
        known.push(tool);
    }
    known.sort_unstable();
    let error = CliError::usage(format!("{place}: unknown key {key}"));
    let closest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(wrong, candidate), candidate))
        // Further off than a third of it is not the same word.
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 3)
        .min();
    match closest {
        Some((_, closest)) => error.hint(format!("did you mean {closest}?")),
        None => error.hint(format!("known here: {}", known.join(", "))),
    }
}

/// The full path of the innermost key that the span lies in: its name, or its value.
fn innermost(table: &DeTable<'_>, prefix: &str, span: &Range<usize>) -> Option<String> {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    table.iter().find_map(|(key, value)| {
        let path = if prefix.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{prefix}.{}", key.get_ref())
        };
        let inner = match value.get_ref() {
            DeValue::Table(table) => innermost(table, &path, span),
            _ => None,
        };
        inner.or_else(|| (within(key.span()) || within(value.span())).then_some(path))
    })
}

/// How many at once: a positive number.
pub type Count = NonZero<usize>;
