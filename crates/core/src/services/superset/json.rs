//! Changing one string in a JSON text without touching any other byte of it: Superset shows
//! the text to its users as they wrote it, key order and indentation included.

use std::collections::HashMap;
use std::fmt::Display;
use std::ops::Range;

use serde_json::Value;
use serde_json::value::RawValue;

/// A text that is not JSON. The text itself may be a secret: it is not in the message.
#[derive(Debug, thiserror::Error)]
#[error("not JSON, at line {line}")]
pub struct JsonError {
    line: usize,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self { line: error.line() }
    }
}

/// The string at `path` (keys of nested objects) and the bytes of its literal, quotes
/// included. `None` when there is no such string.
pub fn string_at(text: &str, path: &[&str]) -> Result<Option<(Range<usize>, String)>, JsonError> {
    let mut at: &RawValue = serde_json::from_str(text)?;
    for key in path {
        // Only objects have keys; anything else ends the path.
        let Ok(mut object) = serde_json::from_str::<HashMap<String, &RawValue>>(at.get()) else {
            return Ok(None);
        };
        let Some(value) = object.remove(*key) else {
            return Ok(None);
        };
        at = value;
    }
    let literal = at.get();
    let Ok(string) = serde_json::from_str::<String>(literal) else {
        return Ok(None);
    };
    let start = literal.as_ptr() as usize - text.as_ptr() as usize;
    Ok(Some((start..start + literal.len(), string)))
}

/// The text with the string at `path` replaced when it is `old`, every other byte as it was.
/// `None` when there is nothing to replace.
pub fn replace_string(
    text: &str,
    path: &[&str],
    old: &str,
    new: &str,
) -> Result<Option<String>, JsonError> {
    let Some((range, string)) = string_at(text, path)? else {
        return Ok(None);
    };
    if string != old {
        return Ok(None);
    }
    let literal = serde_json::to_string(new)?;
    Ok(Some(
        [&text[..range.start], &literal, &text[range.end..]].concat(),
    ))
}

/// Every string of a JSON text, keys included, with its path: `engine_params.args.0`; of a
/// key, the path of its value.
pub fn strings(text: &str) -> Result<Vec<(String, String)>, JsonError> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), serde_json::from_str::<Value>(text)?)];
    while let Some((path, value)) = open.pop() {
        let below = |key: &dyn Display| match &*path {
            "" => key.to_string(),
            above => format!("{above}.{key}"),
        };
        match value {
            Value::String(string) => found.push((path, string)),
            Value::Array(all) => {
                let all = all.into_iter().enumerate();
                open.extend(all.map(|(at, value)| (below(&at), value)));
            }
            Value::Object(object) => open.extend(object.into_iter().map(|(key, value)| {
                let path = below(&key);
                found.push((path.clone(), key));
                (path, value)
            })),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_is_found_with_its_path() {
        let text = r#"{"a": {"b": [1, "x", {"c": "y\/z"}]}, "d": null}"#;
        let mut found = strings(text).unwrap();
        found.sort();
        let found: Vec<(&str, &str)> = found.iter().map(|(at, of)| (&**at, &**of)).collect();
        let expected = [
            ("a", "a"),
            ("a.b", "b"),
            ("a.b.1", "x"),
            ("a.b.2.c", "c"),
            ("a.b.2.c", "y/z"),
            ("d", "d"),
        ];
        assert_eq!(found, expected);
        assert!(strings("{\"hunter2").is_err());
    }

    const PATH: [&str; 2] = ["a", "p"];

    #[test]
    fn only_the_string_changes() {
        let text = "{\n    \"z\": [1, {\"a\": {\"p\": \"x\"}}],\n    \"p\": \"x\",\n    \"a\" : {\"q\":1.50,\"p\":\"x\" }\n}\n";
        let changed = replace_string(text, &PATH, "x", "y\"z").unwrap().unwrap();
        assert_eq!(changed, text.replace("\"p\":\"x\" }", "\"p\":\"y\\\"z\" }"));
    }

    #[test]
    fn another_string_or_none_is_left() {
        for text in [
            "{}",
            "{\"a\": 1}",
            "{\"a\": {\"p\": 1}}",
            "{\"a\": {\"p\": \"other\"}}",
            "[]",
            "null",
        ] {
            assert_eq!(
                replace_string(text, &PATH, "x", "y").unwrap(),
                None,
                "{text}"
            );
        }
        assert!(replace_string("{\"hunter2", &PATH, "x", "y").is_err());
    }

    #[test]
    fn escapes_in_keys_and_strings_are_understood() {
        let text = r#"{"\u0061": {"p": "\u0078"}}"#;
        let changed = replace_string(text, &PATH, "x", "y").unwrap();
        assert_eq!(changed.as_deref(), Some(r#"{"\u0061": {"p": "y"}}"#));
    }
}
