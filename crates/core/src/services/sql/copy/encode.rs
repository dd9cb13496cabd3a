//! Rows as LOAD DATA and as INSERT read them.

use mysql_async::Value;

use super::read::Form;

/// Appends a part of a value for LOAD DATA with its default separators. Source: `MariaDB`,
/// "LOAD DATA INFILE".
pub(super) fn escape_field(buffer: &mut Vec<u8>, mut bytes: &[u8]) {
    while let Some(at) = memchr::memchr3(b'\t', b'\n', b'\\', bytes) {
        buffer.extend_from_slice(&bytes[..at]);
        buffer.extend_from_slice(&[b'\\', bytes[at]]);
        bytes = &bytes[at + 1..];
    }
    buffer.extend_from_slice(bytes);
}

/// What stands for NULL in LOAD DATA.
pub(super) const NULL: &[u8] = b"\\N";

/// Appends a row for INSERT: `(1,_binary'a\'b',NULL)`. It is read with an empty `sql_mode`.
pub(super) fn insert_row<'a>(buffer: &mut Vec<u8>, row: impl Iterator<Item = (&'a Value, Form)>) {
    let mut before = b'(';
    for (value, form) in row {
        buffer.push(before);
        before = b',';
        match (value, form) {
            (Value::Bytes(bytes), Form::Enum | Form::Set) => buffer.extend_from_slice(bytes),
            (Value::Bytes(bytes), _) => {
                buffer.extend_from_slice(b"_binary'");
                let mut rest = bytes.as_slice();
                while let Some(at) = memchr::memchr2(b'\'', b'\\', rest) {
                    buffer.extend_from_slice(&rest[..at]);
                    buffer.extend_from_slice(&[b'\\', rest[at]]);
                    rest = &rest[at + 1..];
                }
                buffer.extend_from_slice(rest);
                buffer.push(b'\'');
            }
            _ => buffer.extend_from_slice(b"NULL"),
        }
    }
    buffer.push(b')');
}

/// Whether writing it gives a warning although nothing is lost: the number of an ENUM's
/// invalid value. Source: `MariaDB`, "ENUM".
pub(super) fn warns(value: &Value, form: Form) -> bool {
    form == Form::Enum && matches!(value, Value::Bytes(bytes) if bytes == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_values_are_escaped() {
        let mut buffer = Vec::new();
        escape_field(&mut buffer, b"\ta\\\0\n\xff");
        assert_eq!(buffer, b"\\\ta\\\\\0\\\n\xff");
    }

    #[test]
    fn a_literal_cannot_leave_its_quotes() {
        let row = [
            (Value::Bytes(b"a'\\\0".to_vec()), Form::Plain),
            (Value::NULL, Form::Enum),
            (Value::Bytes(b"3".to_vec()), Form::Set),
        ];
        let mut buffer = Vec::new();
        insert_row(&mut buffer, row.iter().map(|(value, form)| (value, *form)));
        assert_eq!(buffer, b"(_binary'a\\'\\\\\0',NULL,3)");
    }
}
