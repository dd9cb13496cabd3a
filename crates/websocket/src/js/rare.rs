//! JSON that JavaScript takes and `serde_json` doesn't: halves of surrogate pairs, numbers beyond
//! all bounds, deep nesting. It is rare, so whatever is ordinary must not pay for it.

use std::borrow::Cow;
use std::thread;

use memchr::{memchr, memmem};
use serde::de::{Deserialize, IgnoredAny};

use super::Value;

/// How deep events may be nested. JavaScript writes what is a few thousand levels deep.
const DEPTH: usize = 2000;
/// The depth that `serde_json` takes by itself.
const USUAL_DEPTH: usize = 127;
/// The stack on which values of [`DEPTH`] are read.
const STACK: usize = 64 * 1024 * 1024;
/// What stands for the first half of a surrogate pair, U+D800; the others follow in order. They
/// are the last characters of a plane for private use. Who uses them himself, in a text with such
/// halves, gets halves for them.
const FIRST_MARK: u32 = 0x10_f800;

/// Text that was made fit for [`Value::read`].
#[derive(Default)]
pub(crate) struct Repaired {
    pub(crate) text: String,
    /// Whether it has marks for halves of surrogate pairs: [`restore_halves`] is to be called.
    pub(crate) halves: bool,
}

/// Makes text fit for [`Value::read`] that JavaScript parses as it is: bytes that are not UTF-8
/// become U+FFFD, escapes of half a surrogate pair become marks. Python writes both, for example
/// of an error message in another encoding.
pub(crate) fn repair(text: Vec<u8>) -> Repaired {
    let mut text = match String::from_utf8(text) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
    let mut halves = false;
    let mut index = 0;
    while let Some(found) = text
        .as_bytes()
        .get(index..)
        .and_then(|rest| memchr(b'\\', rest))
    {
        index += found;
        let escapes = text.as_bytes();
        match (surrogate(escapes, index), surrogate(escapes, index + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => index += 12,
            (Some(half), _) => {
                let mark = char::from_u32(FIRST_MARK + u32::from(half - 0xd800));
                let mark = mark.unwrap_or(char::REPLACEMENT_CHARACTER);
                text.replace_range(index..index + 6, mark.encode_utf8(&mut [0; 4]));
                index += mark.len_utf8();
                halves = true;
            }
            // Any other escape is at least two bytes long; the second may be a backslash.
            (None, _) => index += 2,
        }
    }
    Repaired { text, halves }
}

/// The surrogate that is escaped at an index, if one is.
fn surrogate(text: &[u8], index: usize) -> Option<u16> {
    let digits = text.get(index..index + 6)?.strip_prefix(b"\\u")?;
    let unit = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (0xd800..=0xdfff).contains(&unit).then_some(unit)
}

/// Turns marks in JSON that was written into what `JSON.stringify` writes of half a pair.
pub(crate) fn restore_halves(json: &mut Vec<u8>) {
    let mut index = 0;
    while let Some(found) = json
        .get(index..)
        .and_then(|rest| memmem::find(rest, b"\xf4\x8f"))
    {
        index += found;
        if let Some([high @ 0xa0..=0xbf, low]) = json.get(index + 2..index + 4) {
            let half = 0xd800 | u16::from(high & 0x1f) << 6 | u16::from(low & 0x3f);
            json.splice(index..index + 4, format!("\\u{half:04x}").into_bytes());
        }
        index += 4;
    }
}

impl<'a> Value<'a> {
    /// Parses JSON text that can be out of bounds for [`Value::parse`].
    pub(crate) fn read(text: &'a str) -> serde_json::Result<Self> {
        Self::parse(text).or_else(|error| reread(text).ok_or(error))
    }

    fn into_owned(self) -> Value<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Number(value) => Value::Number(value),
            Value::Text(text) => Value::Text(owned(text)),
            Value::Array(items) => Value::Array(items.into_iter().map(Value::into_owned).collect()),
            Value::Object(members) => Value::Object(
                members
                    .into_iter()
                    .map(|(name, value)| (owned(name), value.into_owned()))
                    .collect(),
            ),
        }
    }
}

/// Parses what is too deep for the usual stack, or has numbers that are.
fn reread(text: &str) -> Option<Value<'static>> {
    let text = bound(text)?;
    let parse = || {
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        deserializer.disable_recursion_limit();
        let value = Value::deserialize(&mut deserializer).ok()?;
        deserializer.end().ok()?;
        Some(value.into_owned())
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK);
        thread.spawn_scoped(scope, parse).ok()?.join().ok()?
    })
}

/// The text with `null` for infinite numbers, as `JSON.stringify` writes them; `None` where that
/// doesn't help.
fn bound(text: &str) -> Option<String> {
    let mut bounded = String::with_capacity(text.len());
    let (mut depth, mut deepest, mut changed) = (0_usize, 0, false);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest)?,
            '-' | '0'..='9' => rest
                .find(|next: char| !next.is_ascii_digit() && !"+-.eE".contains(next))
                .unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        match first {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
        if is_infinite(token) {
            bounded.push_str("null");
            changed = true;
        } else {
            bounded.push_str(token);
        }
    }
    (deepest <= DEPTH && (changed || deepest > USUAL_DEPTH)).then_some(bounded)
}

/// How long the string is that a text begins with, quotes included.
fn string_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    Some(end? + 2)
}

/// Whether a token is a number (RFC 8259, 6) beyond what a double holds.
fn is_infinite(token: &str) -> bool {
    token.parse::<f64>().is_ok_and(f64::is_infinite)
        && serde_json::from_str::<IgnoredAny>(token).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What goes out for what came in.
    fn pass(text: &[u8]) -> Option<String> {
        let repaired = repair(text.to_vec());
        let mut out = Vec::new();
        Value::read(&repaired.text).ok()?.write(&mut out);
        if repaired.halves {
            restore_halves(&mut out);
        }
        Some(String::from_utf8(out).unwrap())
    }

    // Every expectation here is what Node 20 prints for JSON.stringify(JSON.parse(text)).
    #[test]
    fn halves_of_surrogate_pairs_stay_and_other_encodings_are_repaired() {
        for (text, expected) in [
            (&br#""\ud83d\ude00""#[..], "\"😀\""),
            (br#""\ud800z""#, r#""\ud800z""#),
            (br#"{"\udFFFa\n\u00e9": 1}"#, r#"{"\udfffa\né":1}"#),
            (br#""\ud83d\ud83d\ude00\udbff""#, r#""\ud83d😀\udbff""#),
            (br#""\\ud83d\n""#, r#""\\ud83d\n""#),
            (b"\"a\xe9b\"", "\"a\u{fffd}b\""),
        ] {
            assert_eq!(pass(text).as_deref(), Some(expected), "{expected}");
        }
        let marked = "\"\u{10f800}\"";
        assert_eq!(pass(marked.as_bytes()).as_deref(), Some(marked));
        assert_eq!(repair(b"\\ud8".to_vec()).text, "\\ud8");
    }

    #[test]
    fn numbers_beyond_all_bounds_are_null() {
        let long = format!("[{}]", "9".repeat(400));
        for (text, expected) in [
            (
                r#"{"a":1e400,"1e400":"\"1e400"}"#,
                r#"{"a":null,"1e400":"\"1e400"}"#,
            ),
            ("[-1E+309, 1e308, 1.5]", "[null,1e+308,1.5]"),
            (&long, "[null]"),
        ] {
            assert_eq!(pass(text.as_bytes()).as_deref(), Some(expected));
        }
        for text in [
            "[01e400]", "[1.e400]", "[1e400", "[1e400]]", "\"1e400", "[+1e400]",
        ] {
            assert_eq!(pass(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_read_up_to_a_limit() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for depth in [127, 128, 500] {
            let text = nested(depth);
            assert_eq!(pass(text.as_bytes()), Some(text));
        }
        assert_eq!(pass(nested(DEPTH + 1).as_bytes()), None);
        assert_eq!(pass("[".repeat(1_000_000).as_bytes()), None);
    }
}
