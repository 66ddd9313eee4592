//! Values as they are read, and as they are set.

use std::borrow::Cow;

/// A place in the bytes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub from: u32,
    /// One behind the last byte.
    pub to: u32,
}

impl Span {
    /// A span of these bounds; they fit because a batch is smaller than 4 GiB.
    pub fn new(from: usize, to: usize) -> Self {
        Self { from: from as u32, to: to as u32 }
    }

    /// The number of bytes.
    pub fn len(self) -> usize {
        (self.to - self.from) as usize
    }

    /// Whether it holds nothing.
    pub fn is_empty(self) -> bool {
        self.from == self.to
    }

    /// The part of this span at these offsets within it.
    pub fn within(self, from: usize, to: usize) -> Self {
        Self { from: self.from + from as u32, to: self.from + to as u32 }
    }
}

/// A value as it is read. Text may hold bytes that are not UTF-8; they are kept as they are.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// JSON's null.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number within 64 bits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Nanoseconds since 1970, UTC.
    Time(i64),
    /// Text.
    Str(Cow<'a, [u8]>),
    /// An object or an array, as JSON text.
    Json(Cow<'a, str>),
}

impl<'a> Value<'a> {
    /// Text.
    pub fn str(text: &'a str) -> Self {
        Value::Str(Cow::Borrowed(text.as_bytes()))
    }

    /// The text of a string, none for other values.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The value as text, as a template writes it: strings as they are, times as RFC 3339,
    /// objects and arrays as JSON, null as nothing.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => {}
            Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Value::Int(value) => crate::json::write_int(*value, out),
            Value::Float(value) => crate::json::write_float(*value, out),
            Value::Time(value) => crate::time::write_rfc3339(*value, out),
            Value::Str(text) => out.extend_from_slice(text),
            Value::Json(text) => out.extend_from_slice(text.as_bytes()),
        }
    }

    /// The value as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Float(value) if !value.is_finite() => out.extend_from_slice(b"null"),
            Value::Str(text) => crate::json::write_str(text, out),
            Value::Time(value) => {
                out.push(b'"');
                crate::time::write_rfc3339(*value, out);
                out.push(b'"');
            }
            other => other.write_text(out),
        }
    }
}

/// A value to be set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum New<'a> {
    /// JSON's null.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Nanoseconds since 1970, UTC.
    Time(i64),
    /// Text, copied into the batch.
    Str(&'a [u8]),
    /// Text that already stands in the batch: nothing is copied.
    Span(Span),
    /// Valid JSON, copied into the batch. The caller vouches for it.
    Json(&'a str),
}

impl<'a> From<&'a str> for New<'a> {
    fn from(text: &'a str) -> Self {
        New::Str(text.as_bytes())
    }
}
impl<'a> From<&'a [u8]> for New<'a> {
    fn from(text: &'a [u8]) -> Self {
        New::Str(text)
    }
}
impl From<i64> for New<'_> {
    fn from(value: i64) -> Self {
        New::Int(value)
    }
}
impl From<f64> for New<'_> {
    fn from(value: f64) -> Self {
        New::Float(value)
    }
}
impl From<bool> for New<'_> {
    fn from(value: bool) -> Self {
        New::Bool(value)
    }
}
impl From<Span> for New<'_> {
    fn from(span: Span) -> Self {
        New::Span(span)
    }
}
impl<'a> From<&'a Value<'_>> for New<'a> {
    fn from(value: &'a Value<'_>) -> Self {
        match value {
            Value::Null => New::Null,
            Value::Bool(value) => New::Bool(*value),
            Value::Int(value) => New::Int(*value),
            Value::Float(value) => New::Float(*value),
            Value::Time(value) => New::Time(*value),
            Value::Str(text) => New::Str(text),
            Value::Json(text) => New::Json(text),
        }
    }
}

/// What a field holds, as it lies in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Null = 0,
    Bool = 1,
    Int = 2,
    Float = 3,
    Time = 4,
    /// Text as it is.
    Str = 5,
    /// JSON text that is not taken apart: a number, a string with escapes, an object or an array.
    Raw = 6,
    /// A range of fields.
    Object = 7,
    /// A range of fields without names.
    Array = 8,
    /// Text that JSON writes as it is, in quotes: UTF-8 without anything to escape.
    Plain = 9,
}

impl Kind {
    pub(crate) fn of(byte: u8) -> Option<Kind> {
        use Kind::*;
        [Null, Bool, Int, Float, Time, Str, Raw, Object, Array, Plain].get(byte as usize).copied()
    }
}

/// 16 bytes: name, kind, and a span of the bytes, a range of fields or a number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: u32,
    pub(crate) kind: Kind,
    pub(crate) data: u64,
}

impl Field {
    pub(crate) fn new(name: u32, kind: Kind, data: u64) -> Self {
        Self { name, kind, data }
    }
    pub(crate) fn spanning(name: u32, kind: Kind, span: Span) -> Self {
        Self { name, kind, data: u64::from(span.from) | u64::from(span.to) << 32 }
    }
    /// The span or range that `data` holds.
    pub(crate) fn span(self) -> Span {
        Span { from: self.data as u32, to: (self.data >> 32) as u32 }
    }
    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.data as u32 as usize..(self.data >> 32) as usize
    }
}
