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

/// The members of an object, one after another: [a key](Self::key), [its value](Self::value),
/// and so on.
pub(crate) struct Members<'t> {
    text: &'t [u8],
    at: usize,
    depth: usize,
    is_first: bool,
}

impl<'t> Members<'t> {
    /// Of the object that begins at `at`, behind blanks.
    pub(crate) fn open(text: &'t [u8], at: usize, depth: usize) -> Result<Self, JsonError> {
        let at = blank(text, at);
        if text.get(at) != Some(&b'{') {
            return Err(error(at, "expected {"));
        }
        if depth >= DEPTH_MAX {
            return Err(error(at, "nested too deep"));
        }
        Ok(Self { text, at: at + 1, depth, is_first: true })
    }

    /// Passes over the next key if it is this one, given as `,"name":`. Costs much less than to read
    /// it, where whoever asks can guess it.
    #[inline]
    pub(crate) fn pass(&mut self, member: &[u8]) -> bool {
        let mut at = self.at;
        if !self.is_first {
            if self.text.get(at) != Some(&b',') {
                return false;
            }
            at += 1;
        }
        at = blank(self.text, at);
        let passes = self.text[at..].starts_with(&member[1..]);
        if passes {
            self.at = at + member.len() - 1;
            self.is_first = false;
        }
        passes
    }

    /// The next key, in its quotes if it has escapes; `None` behind the last member.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Option<Item>, JsonError> {
        let Self { text, is_first, .. } = *self;
        let mut at = blank(text, self.at);
        match text.get(at) {
            Some(b'}') => {
                self.at = at + 1;
                return Ok(None);
            }
            Some(b',') if !is_first => at = blank(text, at + 1),
            _ if is_first => {}
            _ => return Err(error(at, "expected , or }")),
        }
        if text.get(at) != Some(&b'"') {
            return Err(error(at, "expected a key in quotes"));
        }
        let key = string(text, at)?;
        at = blank(text, key.end());
        if text.get(at) != Some(&b':') {
            return Err(error(at, "expected :"));
        }
        self.at = at + 1;
        self.is_first = false;
        Ok(Some(key))
    }

    /// The value of the key that was read or passed.
    #[inline]
    pub(crate) fn value(&mut self) -> Result<Item, JsonError> {
        let text = self.text;
        let at = blank(text, self.at);
        let item =
            if text.get(at) == Some(&b'"') { string(text, at)? } else { value(text, at, self.depth + 1)? };
        self.at = item.end();
        Ok(item)
    }

    /// Where the text goes on; behind the object once there is no further key.
    pub(crate) fn end(&self) -> usize {
        self.at
    }
}

/// Calls `each` with every member of the object that begins at `at` (behind blanks) and
/// returns the place behind the object. A key with escapes comes with its quotes.
pub(crate) fn members(
    text: &[u8],
    at: usize,
    depth: usize,
    each: &mut dyn FnMut(Item, Item) -> Result<(), JsonError>,
) -> Result<usize, JsonError> {
    let mut members = Members::open(text, at, depth)?;
    while let Some(key) = members.key()? {
        let item = members.value()?;
        each(key, item)?;
    }
    Ok(members.end())
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

/// Finds the first `"`, `\` or control character.
#[inline]
pub(crate) fn special(text: &[u8], mut at: usize) -> usize {
    let mut rest = text.get(at..).unwrap_or_default();
    while let Some((block, behind)) = rest.split_first_chunk::<BLOCK>() {
        let found = specials(block);
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += BLOCK;
        rest = behind;
    }
    match specials(rest) {
        0 => at + rest.len(),
        found => at + found.trailing_zeros() as usize,
    }
}

/// How many bytes are looked at together.
pub(crate) const BLOCK: usize = 32;

/// Where `"`, `\` and control characters stand in a text of up to [`BLOCK`] bytes: a bit a byte, the
/// first one's the lowest.
#[inline(always)]
pub(crate) fn specials(text: &[u8]) -> u32 {
    debug_assert!(text.len() <= BLOCK, "a bit a byte");
    let word = |at: usize| u64::from_le_bytes(*text[at..].first_chunk().expect("eight bytes"));
    let half = |at: usize| u32::from_le_bytes(*text[at..].first_chunk().expect("four bytes"));
    // What lies in the middle is looked at twice, and nothing is copied.
    match text.len() {
        length @ 16.. => {
            let last = length - 16;
            specials_of(word(0), word(8)) | specials_of(word(last), word(last + 8)) << last
        }
        length @ 8.. => {
            let last = length - 8;
            let found = specials_of(word(0), word(last));
            found & 0xff | found >> 8 << last
        }
        length @ 4.. => {
            let last = length - 4;
            let found = specials_of(u64::from(half(0)) | u64::from(half(last)) << 32, !0);
            found & 0xf | found >> 4 << last
        }
        _ => text.iter().enumerate().fold(0, |bits, (n, byte)| bits | u32::from(is_special(*byte)) << n),
    }
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The bits of sixteen bytes.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn specials_of(low: u64, high: u64) -> u32 {
    let bytes = (u128::from(high) << 64 | u128::from(low)).to_le_bytes();
    bytes.iter().enumerate().fold(0, |bits, (n, byte)| bits | u32::from(is_special(*byte)) << n)
}

/// The bits of sixteen bytes.
#[cfg(target_arch = "x86_64")]
#[inline]
fn specials_of(low: u64, high: u64) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_max_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    #[target_feature(enable = "sse2")]
    #[inline]
    fn by_sse2(low: u64, high: u64) -> u32 {
        let bytes = _mm_set_epi64x(high as i64, low as i64);
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        // Compared without signs: what is not greater than 0x1f becomes it.
        let last = _mm_set1_epi8(0x1f);
        let control = _mm_cmpeq_epi8(_mm_max_epu8(bytes, last), last);
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), control)) as u32
    }
    #[expect(unsafe_code, reason = "every event that is written or read as JSON passes here")]
    // SAFETY: every x86-64 has SSE2.
    unsafe {
        by_sse2(low, high)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_seen_at_every_place() {
        for length in 0..=BLOCK {
            let mut text = vec![b'a'; length];
            assert_eq!(specials(&text), 0, "{length}");
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    text[at] = byte;
                    let before = (1 << at) - 1;
                    let expected = u32::from(is_special(byte)) << at | before;
                    assert_eq!(specials(&text), expected, "{byte} at {at} of {length}");
                }
                text[at] = b'"';
            }
        }
    }

    #[test]
    fn the_first_special_byte_is_found() {
        for length in 0..3 * BLOCK {
            for at in 0..length {
                let mut text = vec![b'a'; length];
                assert_eq!(special(&text, at), length);
                text[at] = b'\\';
                assert_eq!(special(&text, 0), at);
                assert_eq!(special(&text, at + 1), length);
            }
        }
    }
}
