//! The language of host sets: `stat10[08-11].eqiad.wmnet,@clients,!stat1009.eqiad.wmnet`.
//!
//! A subset of `ClusterShell`'s node sets, as operators know them from clush and cumin: comma or
//! blank for "and these", `!` or a leading `-` for "but not these", `&` for "only these", several
//! bracket groups a name, zero padding kept, `[0-9/2]` steps, `@name` for configured groups.
//! Operators apply from left to right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::{Error, clean};
use crate::fold::{MAX_DIGITS, natural, padded};

/// The most hosts that one expression may name, so that a slip like `[1-999999999]` is refused.
pub const MAX_HOSTS: usize = 10_000;

/// The name of a host: letters, digits and hyphens in labels parted by dots (RFC 1123, section
/// 2.1), held in lower case. An IPv4 address is such a name too.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

impl HostName {
    /// Takes a name as typed and gives the host name, or [`Error::InvalidHost`].
    pub fn parse(name: &str) -> Result<Self, Error> {
        let invalid = |reason| {
            Err(Error::InvalidHost {
                name: clean(name.as_bytes()),
                reason,
            })
        };
        if name.is_empty() {
            return invalid("it is empty");
        }
        if name.len() > 253 {
            return invalid("it is longer than 253 characters");
        }
        for label in name.split('.') {
            if label.is_empty() || label.len() > 63 {
                return invalid("each part between dots has 1 to 63 characters");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return invalid("no part between dots starts or ends with a hyphen");
            }
            if !label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            {
                return invalid("only letters, digits, hyphens and dots are allowed");
            }
        }
        Ok(Self(name.to_ascii_lowercase()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for HostName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        Self::parse(&name)
    }
}

impl From<HostName> for String {
    fn from(host: HostName) -> Self {
        host.0
    }
}

/// Takes an expression and the configured groups (name without `@` -> expression) and gives the
/// hosts it names, each once, `stat9` before `stat10`. No host at all is [`Error::NoHosts`].
pub fn expand(expression: &str, groups: &BTreeMap<String, String>) -> Result<Vec<HostName>, Error> {
    let mut expander = Expander {
        groups,
        open: Vec::new(),
        known: BTreeMap::new(),
    };
    let set = expander.expression(expression)?;
    if set.is_empty() {
        return Err(Error::NoHosts {
            expression: clean(expression.as_bytes()),
        });
    }
    let mut hosts: Vec<HostName> = set.into_iter().collect();
    hosts.sort_by(|a, b| natural(a.as_str(), b.as_str()));
    Ok(hosts)
}

#[derive(Clone, Copy)]
enum Operator {
    Add,
    Remove,
    Keep,
}

struct Expander<'a> {
    groups: &'a BTreeMap<String, String>,
    /// The groups being expanded now, to find one that contains itself.
    open: Vec<&'a str>,
    known: BTreeMap<&'a str, BTreeSet<HostName>>,
}

impl Expander<'_> {
    fn expression(&mut self, expression: &str) -> Result<BTreeSet<HostName>, Error> {
        let mut set = BTreeSet::new();
        for (operator, element) in elements(expression)? {
            let named = match element.strip_prefix('@') {
                Some(group) => self.group(group, expression)?,
                None => names(element)?,
            };
            match operator {
                Operator::Add => set.extend(named),
                Operator::Remove => set.retain(|host| !named.contains(host)),
                Operator::Keep => set.retain(|host| named.contains(host)),
            }
            if set.len() > MAX_HOSTS {
                return Err(invalid(expression, "it names more than 10,000 hosts"));
            }
        }
        Ok(set)
    }

    fn group(&mut self, name: &str, expression: &str) -> Result<BTreeSet<HostName>, Error> {
        let Some((name, definition)) = self.groups.get_key_value(name) else {
            return Err(invalid(
                expression,
                format!("there is no group @{}", clean(name.as_bytes())),
            ));
        };
        if let Some(set) = self.known.get(name.as_str()) {
            return Ok(set.clone());
        }
        if self.open.contains(&name.as_str()) {
            return Err(invalid(
                expression,
                format!("group @{} contains itself", clean(name.as_bytes())),
            ));
        }
        self.open.push(name);
        let set = self.expression(definition)?;
        self.open.pop();
        self.known.insert(name, set.clone());
        Ok(set)
    }
}

fn invalid(expression: &str, reason: impl Into<String>) -> Error {
    Error::InvalidSet {
        expression: clean(expression.as_bytes()),
        reason: reason.into(),
    }
}

/// Cuts an expression into its elements, each with the operator before it.
fn elements(expression: &str) -> Result<Vec<(Operator, &str)>, Error> {
    let mut found = Vec::new();
    let mut operator = None;
    let mut inside = false;
    let mut start = 0;
    let bytes = expression.as_bytes();
    for at in 0..=bytes.len() {
        let byte = bytes.get(at).copied();
        match byte {
            Some(b'[') if inside => return Err(invalid(expression, "a bracket in a bracket")),
            Some(b'[') => inside = true,
            Some(b']') if !inside => return Err(invalid(expression, "a `]` without its `[`")),
            Some(b']') => inside = false,
            _ => {}
        }
        if inside && byte.is_some() {
            continue;
        }
        if inside {
            return Err(invalid(expression, "a `[` without its `]`"));
        }
        // A hyphen removes only at the start of an element; elsewhere it is part of a name.
        let next = match byte {
            None | Some(b',' | b' ' | b'\t' | b'\n') => None,
            Some(b'!') => Some(Operator::Remove),
            Some(b'&') => Some(Operator::Keep),
            Some(b'-') if start == at => Some(Operator::Remove),
            Some(_) => continue,
        };
        if start < at {
            found.push((
                operator.take().unwrap_or(Operator::Add),
                &expression[start..at],
            ));
        }
        if let Some(next) = next
            && operator.replace(next).is_some()
        {
            return Err(invalid(expression, "two operators in a row"));
        }
        start = at + 1;
    }
    if operator.is_some() {
        return Err(invalid(expression, "nothing follows its last operator"));
    }
    Ok(found)
}

/// The hosts of one element: a name with any number of bracket groups.
fn names(element: &str) -> Result<BTreeSet<HostName>, Error> {
    let mut partial = vec![String::new()];
    let mut rest = element;
    while let Some((before, after)) = rest.split_once('[') {
        let (ranges, after) = after
            .split_once(']')
            .ok_or_else(|| invalid(element, "a `[` without its `]`"))?;
        let numbers = numbers(element, ranges)?;
        if partial.len().saturating_mul(numbers.len()) > MAX_HOSTS {
            return Err(invalid(element, "it names more than 10,000 hosts"));
        }
        partial = partial
            .iter()
            .flat_map(|head| numbers.iter().map(move |n| format!("{head}{before}{n}")))
            .collect();
        rest = after;
    }
    partial
        .iter()
        .map(|head| HostName::parse(&format!("{head}{rest}")))
        .collect()
}

/// The numbers of one bracket group, as they are written in the names.
fn numbers(element: &str, ranges: &str) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for range in ranges.split(',') {
        let (range, step) = range.split_once('/').unwrap_or((range, "1"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| match text.parse::<u64>() {
            Ok(n) if text.len() <= MAX_DIGITS && text.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
            _ => Err(invalid(element, "a bracket holds numbers such as [1-3,07]")),
        };
        let (from, to, step) = (number(first)?, number(last)?, number(step)?);
        if from > to {
            return Err(invalid(element, "a range runs backwards"));
        }
        if step == 0 {
            return Err(invalid(element, "a range has a step of 0"));
        }
        let width = if padded(first) { first.len() } else { 0 };
        if last.len() < width || (padded(last) && last.len() != first.len()) {
            return Err(invalid(
                element,
                "the ends of a range differ in zero padding",
            ));
        }
        let count = (to - from) / step + 1;
        if count > (MAX_HOSTS - found.len().min(MAX_HOSTS)) as u64 {
            return Err(invalid(element, "it names more than 10,000 hosts"));
        }
        found.extend((0..count).map(|i| format!("{:0width$}", from + i * step)));
    }
    Ok(found)
}

/// Takes host names and gives the shortest set that [`expand`] turns back into them, such as
/// `an-worker[1078-1090].eqiad.wmnet`; several sets are joined by commas. Nothing gives "".
pub fn fold<'a>(names: impl IntoIterator<Item = &'a HostName>) -> String {
    crate::fold::fold(names.into_iter().map(HostName::as_str))
}
