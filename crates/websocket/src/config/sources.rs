//! Where each value comes from: defaults, then the file, then the environment, then flags.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::keys::{KEYS, Key, Kind};
use super::{ConfigError, Flags};
use crate::js;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Built in.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable, by name.
    Environment(&'static str),
    /// A command-line flag, by name.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File(path) => write!(f, "file {}", path.display()),
            Source::Environment(name) => write!(f, "environment {name}"),
            Source::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// All values with their sources, by key path.
#[derive(Debug)]
pub(super) struct Settings {
    values: BTreeMap<&'static str, (Value, Source)>,
    pub(super) warnings: Vec<String>,
}

impl Settings {
    /// Merges the sources. `file` is the parsed configuration file with its path.
    pub(super) fn merge(
        file: Option<(&Path, &Value)>,
        environment: &BTreeMap<String, String>,
        flags: &Flags,
    ) -> Result<Self, ConfigError> {
        let mut settings = Self {
            values: BTreeMap::new(),
            warnings: Vec::new(),
        };
        for key in KEYS {
            let mut current = (key.default(), Source::Default);
            if let Some((path, root)) = file
                && let Some(value) = look_up(root, key, path)?
            {
                current = (from_file(value, key, path)?, Source::File(path.to_owned()));
            }
            if let Some(name) = key.env
                && let Some(text) = environment.get(name).filter(|text| !text.trim().is_empty())
            {
                match from_environment(text, key) {
                    Some(value) => current = (value, Source::Environment(name)),
                    None => settings.warnings.push(format!(
                        "environment variable {name} is not a number that {} can take; using {} ({})",
                        key.path, current.0, current.1
                    )),
                }
            }
            settings.values.insert(key.path, current);
        }
        for (path, flag, value) in [
            ("mode", "--mode", &flags.mode),
            ("refusal", "--refusal", &flags.refusal),
        ] {
            if let Some(value) = value {
                settings
                    .values
                    .insert(path, (Value::from(value.as_str()), Source::Flag(flag)));
            }
        }
        if let Some((path, root)) = file {
            warn_of_unknown(root, "", path, &mut settings.warnings);
        }
        Ok(settings)
    }

    pub(super) fn is_default(&self, path: &str) -> bool {
        self.values
            .get(path)
            .is_none_or(|(_, source)| *source == Source::Default)
    }

    /// Replaces a default that depends on another key.
    pub(super) fn set_default(&mut self, path: &'static str, value: &str) {
        if self.is_default(path) {
            self.values
                .insert(path, (Value::from(value), Source::Default));
        }
    }

    pub(super) fn text(&self, path: &str) -> String {
        self.values
            .get(path)
            .and_then(|(value, _)| value.as_str())
            .unwrap_or_default()
            .to_owned()
    }

    pub(super) fn number(&self, path: &str) -> u64 {
        self.values
            .get(path)
            .and_then(|(value, _)| value.as_u64())
            .unwrap_or_default()
    }

    pub(super) fn bool(&self, path: &str) -> bool {
        self.values
            .get(path)
            .and_then(|(value, _)| value.as_bool())
            .unwrap_or_default()
    }

    pub(super) fn list(&self, path: &str) -> Vec<String> {
        let Some((Value::Array(items), _)) = self.values.get(path) else {
            return Vec::new();
        };
        items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }

    /// One line a key: path, value as JSON with secrets masked, source.
    pub(super) fn render(&self) -> String {
        let mut lines = Vec::new();
        for key in KEYS {
            let Some((value, source)) = self.values.get(key.path) else {
                continue;
            };
            let shown = match (key.kind, value.as_str()) {
                (Kind::Secret, Some("")) => "\"\" (not set)".to_owned(),
                (Kind::Secret, _) => "\"********\"".to_owned(),
                _ => value.to_string(),
            };
            lines.push(format!("{} = {shown}  # {source}\n", key.path));
        }
        lines.concat()
    }
}

/// The value at a key's path; an error where an object is wanted and something else stands.
fn look_up<'a>(root: &'a Value, key: &Key, file: &Path) -> Result<Option<&'a Value>, ConfigError> {
    let mut value = root;
    for part in key.path.split('.') {
        let Value::Object(members) = value else {
            let path = key
                .path
                .rsplit_once('.')
                .map_or("the whole file", |(parent, _)| parent);
            return Err(wrong(file, path, "an object"));
        };
        match members.get(part) {
            // A template's way to leave a key out.
            None | Some(Value::Null) => return Ok(None),
            Some(member) => value = member,
        }
    }
    Ok(Some(value))
}

fn wrong(file: &Path, key: &str, wanted: &'static str) -> ConfigError {
    ConfigError::Value {
        file: file.to_owned(),
        key: key.to_owned(),
        wanted,
    }
}

fn from_file(value: &Value, key: &Key, file: &Path) -> Result<Value, ConfigError> {
    let wanted = match key.kind {
        Kind::Number => "a number from 0",
        Kind::Interval => "a number above 0",
        Kind::Port => "a port number",
        Kind::Text | Kind::Secret => "a string",
        Kind::Bool => "true or false",
        Kind::List => "an array of strings",
    };
    let converted = match (key.kind, value) {
        (Kind::Number | Kind::Interval | Kind::Port, Value::Number(number)) => {
            number.as_f64().and_then(|number| whole(number, key.kind))
        }
        // Node.js takes "8080" wherever it takes 8080.
        (Kind::Number | Kind::Interval | Kind::Port, Value::String(text)) => {
            whole(js::number(text), key.kind)
        }
        (Kind::Text | Kind::Secret, Value::String(_)) | (Kind::Bool, Value::Bool(_)) => {
            Some(value.clone())
        }
        (Kind::List, Value::Array(items)) if items.iter().all(Value::is_string) => {
            // Arrays are merged index by index, so a shorter one keeps the default's tail.
            let mut items = items.clone();
            if let Value::Array(default) = key.default() {
                items.extend(default.into_iter().skip(items.len()));
            }
            Some(Value::Array(items))
        }
        _ => None,
    };
    converted.ok_or_else(|| wrong(file, key.path, wanted))
}

fn from_environment(text: &str, key: &Key) -> Option<Value> {
    match key.kind {
        Kind::Number | Kind::Interval | Kind::Port => whole(js::number(text), key.kind),
        Kind::Text | Kind::Secret => Some(Value::from(text)),
        Kind::Bool => Some(Value::from(text.to_lowercase() == "true")),
        Kind::List => Some(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .collect(),
        ),
    }
}

/// The whole number nearest to `number`, if the kind allows it.
fn whole(number: f64, kind: Kind) -> Option<Value> {
    let (least, most) = match kind {
        Kind::Interval => (1.0, 1e15),
        Kind::Port => (0.0, 65_535.0),
        _ => (0.0, 1e15),
    };
    let rounded = number.round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be within 0 and 1e15"
    )]
    (least..=most)
        .contains(&rounded)
        .then(|| Value::from(rounded as u64))
}

fn warn_of_unknown(value: &Value, prefix: &str, file: &Path, warnings: &mut Vec<String>) {
    let Value::Object(members) = value else {
        return;
    };
    for (name, member) in members {
        let path = format!("{prefix}{name}");
        let inside = format!("{path}.");
        if KEYS.iter().any(|key| key.path.starts_with(&inside)) {
            warn_of_unknown(member, &inside, file, warnings);
        } else if !KEYS.iter().any(|key| key.path == path) {
            warnings.push(format!("{}: unknown key {path} is ignored", file.display()));
        }
    }
}
