//! JSON as JavaScript reads and writes it.
//!
//! The server that this one replaces parses every event and writes it anew, so browsers have only
//! ever seen JavaScript's form of it: compact, numbers as doubles, members in their order except
//! that integer-like names come first, a repeated name keeping its first place and last value.

mod rare;

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexMap;
pub(crate) use rare::{Repaired, repair, restore_halves};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// How many members an object may have for a look at each to be the quickest way to find one.
const FEW: usize = 32;

/// A JSON value that borrows what it can from its text: a string that is borrowed stands there as
/// it is, so it holds nothing to escape.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    /// Names are distinct.
    Object(Vec<Member<'a>>),
}

/// A member's name and value.
type Member<'a> = (Cow<'a, str>, Value<'a>);

impl<'a> Value<'a> {
    /// Parses JSON text.
    pub(crate) fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// The member `name` of an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Value<'a>> {
        match self {
            Value::Object(members) => {
                let member = members.iter().find(|(known, _)| known == name)?;
                Some(&member.1)
            }
            _ => None,
        }
    }

    /// What `String(value)` gives.
    pub(crate) fn to_text(&self) -> Cow<'_, str> {
        match self {
            Value::Null => "null".into(),
            Value::Bool(value) => if *value { "true" } else { "false" }.into(),
            Value::Number(value) => ryu_js::Buffer::new().format(*value).to_owned().into(),
            Value::Text(text) => Cow::Borrowed(text),
            Value::Array(items) => {
                let items: Vec<_> = items
                    .iter()
                    .map(|item| match item {
                        Value::Null => "".into(),
                        item => item.to_text(),
                    })
                    .collect();
                items.join(",").into()
            }
            Value::Object(_) => "[object Object]".into(),
        }
    }

    /// What `Boolean(value)` gives.
    pub(crate) fn is_truthy(&self) -> bool {
        match self {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Number(value) => *value != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Array(_) | Value::Object(_) => true,
        }
    }

    /// Appends what `JSON.stringify(value)` gives.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Number(value) if value.is_finite() => {
                out.extend_from_slice(ryu_js::Buffer::new().format_finite(*value).as_bytes());
            }
            Value::Null | Value::Number(_) => out.extend_from_slice(b"null"),
            Value::Text(text) => write_text(text, out),
            Value::Array(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Value::Object(members) => {
                out.push(b'{');
                let mut first = true;
                write_members(members, &mut first, |_| true, out);
                out.push(b'}');
            }
        }
    }
}

/// Appends the JSON string of a text that is a [`Value`]'s. `serde_json` escapes exactly what
/// `JSON.stringify` escapes.
#[expect(clippy::ptr_arg, reason = "what is borrowed is written as it is")]
pub(crate) fn write_text(text: &Cow<'_, str>, out: &mut Vec<u8>) {
    match text {
        Cow::Borrowed(text) => {
            out.push(b'"');
            out.extend_from_slice(text.as_bytes());
            out.push(b'"');
        }
        Cow::Owned(text) => {
            // Writing to a Vec cannot fail.
            let _ = serde_json::to_writer(out, text);
        }
    }
}

/// Appends what `JSON.stringify({id, ...data})` gives: a member `id` of the data wins but keeps
/// the first place. `id` is digits and dashes.
pub(crate) fn write_with_id(id: &str, data: &Value<'_>, out: &mut Vec<u8>) {
    let mut first = true;
    out.push(b'{');
    if let Value::Object(members) = data {
        write_members(members, &mut first, is_index, out);
    }
    if !first {
        out.push(b',');
    }
    first = false;
    out.extend_from_slice(b"\"id\":");
    match data.get("id") {
        Some(own) => own.write(out),
        None => write_text(&Cow::Borrowed(id), out),
    }
    if let Value::Object(members) = data {
        write_members(
            members,
            &mut first,
            |name| name != "id" && !is_index(name),
            out,
        );
    }
    out.push(b'}');
}

fn write_members(
    members: &[Member<'_>],
    first: &mut bool,
    wanted: impl Fn(&str) -> bool,
    out: &mut Vec<u8>,
) {
    for (name, value) in members.iter().filter(|(name, _)| wanted(name)) {
        if !std::mem::replace(first, false) {
            out.push(b',');
        }
        write_text(name, out);
        out.push(b':');
        value.write(out);
    }
}

/// Whether a member name is an array index (ECMA-262, 6.1.7), which JavaScript puts before others.
fn is_index(name: &str) -> bool {
    name.as_bytes().first().is_some_and(u8::is_ascii_digit)
        && name.parse::<u32>().is_ok_and(|index| index != u32::MAX)
        && (name == "0" || !name.starts_with('0'))
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(value))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "JavaScript's numbers lose it as well"
    )]
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Value::Number(value as f64))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "JavaScript's numbers lose it as well"
    )]
    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<Member<'de>> = Vec::new();
        let mut indices = false;
        while let Some((Name(name), value)) = access.next_entry()? {
            indices |= is_index(&name);
            let mut known = members.iter_mut().take(FEW);
            match known.find(|(known, _)| *known == name) {
                Some((_, old)) => *old = value,
                None => members.push((name, value)),
            }
        }
        if members.len() > FEW {
            let distinct: IndexMap<_, _> = members.into_iter().collect();
            members = distinct.into_iter().collect();
        }
        if indices {
            // Stable, so the other names keep their order.
            members.sort_by_key(|(name, _)| {
                name.parse::<u32>()
                    .ok()
                    .filter(|_| is_index(name))
                    .unwrap_or(u32::MAX)
            });
        }
        Ok(Value::Object(members))
    }
}

/// A member name, borrowed where it holds no escape.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(ValueVisitor)? {
            Value::Text(text) => Ok(Name(text)),
            _ => Err(serde::de::Error::custom("a member name is a string")),
        }
    }
}

/// What JavaScript's `Number(text)` gives: blank is 0, `0x`/`0o`/`0b` prefixes, exponents; anything
/// else is NaN.
pub(crate) fn number(text: &str) -> f64 {
    let text = text.trim();
    let radix = match text.get(..2) {
        Some("0x" | "0X") => 16,
        Some("0o" | "0O") => 8,
        Some("0b" | "0B") => 2,
        _ => 10,
    };
    if text.is_empty() {
        return 0.0;
    }
    if radix != 10 {
        let digits = text.get(2..).unwrap_or_default();
        #[expect(
            clippy::cast_precision_loss,
            reason = "JavaScript's numbers lose it as well"
        )]
        return if digits.starts_with('+') {
            f64::NAN
        } else {
            u64::from_str_radix(digits, radix).map_or(f64::NAN, |value| value as f64)
        };
    }
    match text {
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        // Rust also reads "inf" and "nan", JavaScript doesn't.
        _ if text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) =>
        {
            text.parse().unwrap_or(f64::NAN)
        }
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stringify(text: &str) -> String {
        let mut out = Vec::new();
        Value::parse(text).unwrap().write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn with_id(text: &str) -> String {
        let mut out = Vec::new();
        write_with_id("1-0", &Value::parse(text).unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    // Every expectation here is what Node 20 prints for JSON.stringify(JSON.parse(text)).
    #[test]
    fn writes_what_json_stringify_writes() {
        for (text, expected) in [
            (
                r#"{ "b": 1.0, "a": [1e3, -0, 1e21, 1e-7] }"#,
                r#"{"b":1,"a":[1000,0,1e+21,1e-7]}"#,
            ),
            ("12345678901234567890", "12345678901234567000"),
            (
                r#"{"b":1,"2":0,"a":2,"1":0,"01":3}"#,
                r#"{"1":0,"2":0,"b":1,"a":2,"01":3}"#,
            ),
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
            (r#""\u00e9\/\u001f\t\ud83d\ude00""#, "\"é/\\u001f\\t😀\""),
            ("[true,null,\"\"]", "[true,null,\"\"]"),
            ("0.1", "0.1"),
            ("123456789.123456789", "123456789.12345679"),
        ] {
            assert_eq!(stringify(text), expected, "{text}");
        }
    }

    #[test]
    fn repeated_names_are_one_member_of_large_objects_too() {
        let members = |last: usize| {
            let members: Vec<_> = (0..1000)
                .map(|index| format!(r#""m{}":{index}"#, index % last))
                .collect();
            format!("{{{}}}", members.join(","))
        };
        let once: Vec<_> = (0..500)
            .map(|index| format!(r#""m{index}":{}"#, index + 500))
            .collect();
        assert_eq!(stringify(&members(500)), format!("{{{}}}", once.join(",")));
        assert_eq!(stringify(&members(1000)), members(1000));
    }

    proptest! {
        #[test]
        fn strings_come_out_as_they_went_in(text: String, name: String) {
            let json = serde_json::json!({"x": {name: text}}).to_string();
            prop_assert_eq!(stringify(&json), json.clone());
            let escaped: String = json
                .encode_utf16()
                .map(|unit| match unit {
                    0x20..=0x7e => String::from_utf16(&[unit]).unwrap(),
                    unit => format!("\\u{unit:04x}"),
                })
                .collect();
            prop_assert_eq!(stringify(&escaped), json);
        }
    }

    #[test]
    fn puts_the_entry_id_first_and_lets_the_data_override_it() {
        assert_eq!(
            with_id(r#"{"channel_id":"c","n":1}"#),
            r#"{"id":"1-0","channel_id":"c","n":1}"#
        );
        assert_eq!(with_id(r#"{"n":1,"id":7}"#), r#"{"id":7,"n":1}"#);
        assert_eq!(with_id(r#"{"a":1,"3":2}"#), r#"{"3":2,"id":"1-0","a":1}"#);
        assert_eq!(with_id("{}"), r#"{"id":"1-0"}"#);
    }

    #[test]
    fn becomes_text_and_truth_as_in_javascript() {
        for (text, expected, truthy) in [
            ("null", "null", false),
            ("false", "false", false),
            ("-0", "0", false),
            ("4711.0", "4711", true),
            ("\"\"", "", false),
            ("\" \"", " ", true),
            ("[]", "", true),
            (r#"["a",null,[1,{}]]"#, "a,,1,[object Object]", true),
        ] {
            let value = Value::parse(text).unwrap();
            assert_eq!(value.to_text(), expected, "{text}");
            assert_eq!(value.is_truthy(), truthy, "{text}");
        }
    }

    #[test]
    fn reads_numbers_as_javascript_does() {
        for (text, expected) in [
            ("1e3", 1000.0),
            ("0x10", 16.0),
            (" 80 ", 80.0),
            ("", 0.0),
            ("0b11", 3.0),
            ("-5", -5.0),
            (".5", 0.5),
        ] {
            assert!((number(text) - expected).abs() < f64::EPSILON, "{text}");
        }
        for text in ["abc", "8080x", "inf", "nan", "0x", "0x+1", "1 2", "--1"] {
            assert!(number(text).is_nan(), "{text}");
        }
        assert!(number("Infinity").is_infinite());
    }
}
