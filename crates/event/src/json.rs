//! JSON out by copying what was not touched, and single values of JSON text.

use crate::path::Part;
use crate::scan::{self, Item, Shape};
use crate::value::Value;
use std::borrow::Cow;
use std::fmt;

/// Why a text is not JSON, or not JSON that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// The byte at which reading failed.
    pub at: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not JSON: {} at byte {}", self.reason, self.at)
    }
}
impl std::error::Error for JsonError {}

/// Writes text as a JSON string. Bytes that are not UTF-8 become U+FFFD.
pub fn write_str(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    if text.is_ascii() || std::str::from_utf8(text).is_ok() {
        write_escaped(text, out);
    } else {
        for chunk in text.utf8_chunks() {
            write_escaped(chunk.valid().as_bytes(), out);
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{FFFD}".as_bytes());
            }
        }
    }
    out.push(b'"');
}

fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    for (n, block) in text.chunks(scan::BLOCK).enumerate() {
        let mut specials = scan::specials(block);
        while specials != 0 {
            let at = n * scan::BLOCK + specials.trailing_zeros() as usize;
            out.extend_from_slice(&text[from..at]);
            write_escape(text[at], out);
            from = at + 1;
            specials &= specials - 1;
        }
    }
    out.extend_from_slice(&text[from..]);
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        8 => out.extend_from_slice(b"\\b"),
        12 => out.extend_from_slice(b"\\f"),
        other => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(HEX[(other >> 4) as usize]);
            out.push(HEX[(other & 15) as usize]);
        }
    }
}

/// Writes a whole number.
pub fn write_int(value: i64, out: &mut Vec<u8>) {
    let mut text = [0; 20];
    let mut at = text.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&text[at..]);
}

/// Writes a number so that reading it gives the same one; what is no number becomes `null`.
pub fn write_float(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        use std::io::Write;
        write!(out, "{value:?}").expect("writing to memory");
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Checks that the text is one JSON value and returns its value.
pub fn parse(text: &str) -> Result<Value<'_>, JsonError> {
    let bytes = text.as_bytes();
    let item = scan::value(bytes, scan::blank(bytes, 0), 0)?;
    let end = item.end();
    let end = scan::blank(bytes, end);
    if end != bytes.len() {
        return Err(scan::error(end, "something behind the value"));
    }
    Ok(value_of(text, &item))
}

/// Calls `each` with the key and the value of every member of an object, in its order.
pub fn members<'t>(text: &'t str, mut each: impl FnMut(&str, Value<'t>)) -> Result<(), JsonError> {
    let bytes = text.as_bytes();
    let end = scan::members(bytes, 0, 0, &mut |key, item| {
        each(&key_of(text, &key), value_of(text, &item));
        Ok(())
    })?;
    let end = scan::blank(bytes, end);
    if end != bytes.len() {
        return Err(scan::error(end, "something behind the object"));
    }
    Ok(())
}

/// Calls `each` with every element of an array, in its order.
pub fn elements<'t>(text: &'t str, mut each: impl FnMut(Value<'t>)) -> Result<(), JsonError> {
    let bytes = text.as_bytes();
    let end = scan::elements(bytes, 0, 0, &mut |item| {
        each(value_of(text, &item));
        Ok(())
    })?;
    let end = scan::blank(bytes, end);
    if end != bytes.len() {
        return Err(scan::error(end, "something behind the array"));
    }
    Ok(())
}

pub(crate) fn key_of<'t>(text: &'t str, key: &Item) -> Cow<'t, str> {
    match key.shape {
        Shape::Plain => Cow::Borrowed(&text[key.range()]),
        _ => {
            let mut name = Vec::new();
            scan::unescape(&text.as_bytes()[key.range()], &mut name);
            Cow::Owned(String::from_utf8_lossy(&name).into_owned())
        }
    }
}

pub(crate) fn value_of<'t>(text: &'t str, item: &Item) -> Value<'t> {
    let part = &text[item.range()];
    match item.shape {
        Shape::Null => Value::Null,
        Shape::True => Value::Bool(true),
        Shape::False => Value::Bool(false),
        Shape::Number => number(part),
        Shape::Plain => Value::Str(Cow::Borrowed(part.as_bytes())),
        Shape::Escaped => {
            let mut out = Vec::new();
            scan::unescape(part.as_bytes(), &mut out);
            Value::Str(Cow::Owned(out))
        }
        Shape::Object | Shape::Array => Value::Json(Cow::Borrowed(part)),
    }
}

/// The value of JSON text that was checked before.
pub(crate) fn checked(text: &str) -> Value<'_> {
    parse(text).unwrap_or(Value::Null)
}

fn number(text: &str) -> Value<'static> {
    match text.parse::<i64>() {
        Ok(value) => Value::Int(value),
        Err(_) => text.parse().map_or(Value::Null, Value::Float),
    }
}

/// The value at `parts` within checked JSON text.
pub(crate) fn dig<'t>(text: &'t str, parts: &[Part]) -> Option<Value<'t>> {
    let Some((part, rest)) = parts.split_first() else { return Some(checked(text)) };
    let bytes = text.as_bytes();
    let mut found = None;
    if text.starts_with('{') {
        scan::members(bytes, 0, 0, &mut |key, item| {
            if key_of(text, &key) == *part.name {
                found = Some(item);
            }
            Ok(())
        })
        .ok()?;
    } else if text.starts_with('[') {
        let mut count = 0;
        scan::elements(bytes, 0, 0, &mut |item| {
            if part.index == Some(count) {
                found = Some(item);
            }
            count += 1;
            Ok(())
        })
        .ok()?;
    }
    let item = found?;
    if rest.is_empty() { Some(value_of(text, &item)) } else { dig(&text[item.range()], rest) }
}
