//! The scan of JSON text: strict as RFC 8259, without building anything.
//!
//! The text is known to be UTF-8. Values below the top level are checked and skipped; what
//! they hold is read when something asks for it.

use crate::DEPTH_MAX;
use crate::json::JsonError;
use std::ops::Range;

/// What a value is, by its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Null,
    True,
    False,
    Number,
    /// A string without escapes; the range excludes the quotes.
    Plain,
    /// A string with escapes; the range includes the quotes.
    Escaped,
    Object,
    Array,
}

/// A value's place in the text, which has fewer than 4 GiB. Small, since it is handed from
/// call to call for every value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) shape: Shape,
    from: u32,
    to: u32,
}

impl Item {
    #[inline]
    fn new(shape: Shape, from: usize, to: usize) -> Self {
        Self { shape, from: from as u32, to: to as u32 }
    }

    #[inline]
    pub(crate) fn range(&self) -> Range<usize> {
        self.from as usize..self.to as usize
    }

    /// Where the text goes on behind the value.
    #[inline]
    pub(crate) fn end(&self) -> usize {
        self.to as usize + usize::from(self.shape == Shape::Plain)
    }
}

pub(crate) fn error(at: usize, reason: &'static str) -> JsonError {
    JsonError { at, reason }
}

pub(crate) fn blank(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

/// Calls `each` with every member of the object that begins at `at` (behind blanks) and
/// returns the place behind the object. A key with escapes comes with its quotes.
pub(crate) fn members(
    text: &[u8],
    at: usize,
    depth: usize,
    each: &mut dyn FnMut(Item, Item) -> Result<(), JsonError>,
) -> Result<usize, JsonError> {
    let mut at = blank(text, at);
    if text.get(at) != Some(&b'{') {
        return Err(error(at, "expected {"));
    }
    if depth >= DEPTH_MAX {
        return Err(error(at, "nested too deep"));
    }
    at = blank(text, at + 1);
    if text.get(at) == Some(&b'}') {
        return Ok(at + 1);
    }
    loop {
        if text.get(at) != Some(&b'"') {
            return Err(error(at, "expected a key in quotes"));
        }
        let key = string(text, at)?;
        at = blank(text, key.end());
        if text.get(at) != Some(&b':') {
            return Err(error(at, "expected :"));
        }
        at = blank(text, at + 1);
        let item = if text.get(at) == Some(&b'"') { string(text, at)? } else { value(text, at, depth + 1)? };
        each(key, item)?;
        at = blank(text, item.end());
        match text.get(at) {
            Some(b',') => at = blank(text, at + 1),
            Some(b'}') => return Ok(at + 1),
            _ => return Err(error(at, "expected , or }")),
        }
    }
}

/// Calls `each` with every element of the array that begins at `at`.
pub(crate) fn elements(
    text: &[u8],
    at: usize,
    depth: usize,
    each: &mut dyn FnMut(Item) -> Result<(), JsonError>,
) -> Result<usize, JsonError> {
    let mut at = blank(text, at);
    if text.get(at) != Some(&b'[') {
        return Err(error(at, "expected ["));
    }
    if depth >= DEPTH_MAX {
        return Err(error(at, "nested too deep"));
    }
    at = blank(text, at + 1);
    if text.get(at) == Some(&b']') {
        return Ok(at + 1);
    }
    loop {
        let item = value(text, at, depth + 1)?;
        each(item)?;
        at = blank(text, item.end());
        match text.get(at) {
            Some(b',') => at = blank(text, at + 1),
            Some(b']') => return Ok(at + 1),
            _ => return Err(error(at, "expected , or ]")),
        }
    }
}

/// Reads past the value that begins at `at`, checking all of it.
pub(crate) fn value(text: &[u8], at: usize, depth: usize) -> Result<Item, JsonError> {
    let item = |shape, end| Ok(Item::new(shape, at, end));
    match text.get(at) {
        Some(b'"') => string(text, at),
        Some(b'{') => item(Shape::Object, members(text, at, depth, &mut |_, _| Ok(()))?),
        Some(b'[') => item(Shape::Array, elements(text, at, depth, &mut |_| Ok(()))?),
        Some(b'-' | b'0'..=b'9') => item(Shape::Number, number(text, at)?),
        Some(b't') if text[at..].starts_with(b"true") => item(Shape::True, at + 4),
        Some(b'f') if text[at..].starts_with(b"false") => item(Shape::False, at + 5),
        Some(b'n') if text[at..].starts_with(b"null") => item(Shape::Null, at + 4),
        Some(_) => Err(error(at, "expected a value")),
        None => Err(error(at, "the text ends too early")),
    }
}

fn number(text: &[u8], mut at: usize) -> Result<usize, JsonError> {
    let digits = |mut at: usize| {
        let from = at;
        while let Some(b'0'..=b'9') = text.get(at) {
            at += 1;
        }
        if at == from { Err(error(at, "expected a digit")) } else { Ok(at) }
    };
    if text[at] == b'-' {
        at += 1;
    }
    at = if text.get(at) == Some(&b'0') { at + 1 } else { digits(at)? };
    if text.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = digits(at)?;
    }
    Ok(at)
}

/// Finds the first `"`, `\` or control character, 32 bytes at a time and then eight.
#[inline]
pub(crate) fn special(text: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<32>()) {
        // Without a branch in it, so that it becomes a few vector instructions.
        let mut any = false;
        for byte in chunk {
            any |= (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\');
        }
        if any {
            break;
        }
        at += 32;
    }
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = text.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let quote = word ^ (ONES * u64::from(b'"'));
        let slash = word ^ (ONES * u64::from(b'\\'));
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let found = found & HIGH;
        if found != 0 {
            // Borrows may mark bytes behind the first hit, never before it.
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = text.get(at) {
        if *byte < 0x20 || *byte == b'"' || *byte == b'\\' {
            break;
        }
        at += 1;
    }
    at
}

#[inline(always)]
fn string(text: &[u8], from: usize) -> Result<Item, JsonError> {
    let mut at = from + 1;
    let mut escaped = false;
    loop {
        at = special(text, at);
        match text.get(at) {
            Some(b'"') if escaped => {
                return Ok(Item::new(Shape::Escaped, from, at + 1));
            }
            Some(b'"') => return Ok(Item::new(Shape::Plain, from + 1, at)),
            Some(b'\\') => {
                escaped = true;
                at = escape(text, at)?;
            }
            Some(_) => return Err(error(at, "a control character in a string")),
            None => return Err(error(at, "a string without its end")),
        }
    }
}

fn escape(text: &[u8], at: usize) -> Result<usize, JsonError> {
    match text.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match hex4(text, at + 2) {
            Some(0xDC00..=0xDFFF) => Err(error(at, "half of a surrogate pair")),
            Some(0xD800..=0xDBFF) => match (text.get(at + 6..at + 8), hex4(text, at + 8)) {
                (Some(b"\\u"), Some(0xDC00..=0xDFFF)) => Ok(at + 12),
                _ => Err(error(at, "half of a surrogate pair")),
            },
            Some(_) => Ok(at + 6),
            None => Err(error(at, "expected four hex digits")),
        },
        _ => Err(error(at, "an unknown escape")),
    }
}

fn hex4(text: &[u8], at: usize) -> Option<u32> {
    let mut value = 0;
    for byte in text.get(at..at + 4)? {
        value = value * 16 + (*byte as char).to_digit(16)?;
    }
    Some(value)
}

/// Writes the text that a checked string (with its quotes) stands for.
pub(crate) fn unescape(quoted: &[u8], out: &mut Vec<u8>) {
    let inner = &quoted[1..quoted.len() - 1];
    let mut at = 0;
    while at < inner.len() {
        let next = memchr::memchr(b'\\', &inner[at..]).map_or(inner.len(), |n| at + n);
        out.extend_from_slice(&inner[at..next]);
        at = next;
        if at == inner.len() {
            break;
        }
        let byte = match inner[at + 1] {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                at = unescape_unicode(inner, at, out);
                continue;
            }
            same => same,
        };
        out.push(byte);
        at += 2;
    }
}

fn unescape_unicode(inner: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    let first = hex4(inner, at + 2).unwrap_or(0xFFFD);
    let (code, next) = match first {
        0xD800..=0xDBFF => {
            let second = hex4(inner, at + 8).unwrap_or(0xDC00);
            (0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00), at + 12)
        }
        code => (code, at + 6),
    };
    let mut utf8 = [0; 4];
    out.extend_from_slice(char::from_u32(code).unwrap_or('\u{FFFD}').encode_utf8(&mut utf8).as_bytes());
    next
}
