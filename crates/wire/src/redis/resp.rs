//! RESP, the protocol of Redis ("Redis serialization protocol specification"), in both directions.
//!
//! ```text
//! +OK\r\n              simple text          _\r\n              nothing (RESP3)
//! -ERR reason\r\n      error                #t\r\n             boolean
//! :42\r\n              number               ,1.5\r\n           floating point
//! $3\r\nabc\r\n        bytes; $-1 nothing   (123\r\n           number without limit
//! *2\r\n ...           list; *-1 nothing    =7\r\ntxt:abc\r\n  text with its form
//! %1\r\n key value     map                  !3\r\nERR\r\n      error as bytes
//! ~2\r\n ...           set                  |1\r\n ...         attributes: read over
//! >2\r\n ...           not asked for
//! ```
//! Values borrow from the bytes. What a peer announces is not believed: no memory is taken for
//! elements that are not there.

use memchr::memchr;

/// Lists in lists are read to this depth; Redis itself nests them three deep.
const DEPTH_MAX: usize = 32;
/// A line that announces something is not longer.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Bytes longer than this are not what any Redis sends (`proto-max-bulk-len`).
const BULK_BYTES_MAX: usize = 512 << 20;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// A line of text, such as `OK`.
    Simple(&'a [u8]),
    /// An error: a word such as `ERR`, and the reason.
    Error(&'a [u8]),
    /// A number.
    Int(i64),
    /// Bytes.
    Bulk(&'a [u8]),
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A floating point number.
    Double(f64),
    /// The digits of a number without limit.
    Big(&'a [u8]),
    /// Text, with three letters that say its form.
    Verbatim(&'a [u8]),
    /// Values one after another.
    Array(Vec<Value<'a>>),
    /// Keys and values, in their order.
    Map(Vec<(Value<'a>, Value<'a>)>),
    /// Values in no order.
    Set(Vec<Value<'a>>),
    /// What was not asked for, such as a message of a channel.
    Push(Vec<Value<'a>>),
}

/// Why bytes are not RESP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not Redis' protocol: {reason} at byte {at}")]
pub struct RespError {
    /// The byte at which reading failed.
    pub at: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

impl<'a> Value<'a> {
    /// The bytes of text, of whatever form.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Value::Simple(bytes) | Value::Bulk(bytes) | Value::Big(bytes) => Some(bytes),
            Value::Verbatim(bytes) => bytes.get(4..),
            _ => None,
        }
    }

    /// The number, also when it is text.
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            other => std::str::from_utf8(other.bytes()?).ok()?.parse().ok(),
        }
    }

    /// The elements of a list, a set or what was not asked for.
    pub fn elements(&self) -> Option<&[Value<'a>]> {
        match self {
            Value::Array(elements) | Value::Set(elements) | Value::Push(elements) => Some(elements),
            _ => None,
        }
    }

    /// Keys and values: of a map, of a list in which they take turns, or of a list of pairs.
    pub fn pairs(&self) -> Option<Vec<(&Value<'a>, &Value<'a>)>> {
        match self {
            Value::Map(pairs) => Some(pairs.iter().map(|(key, value)| (key, value)).collect()),
            Value::Array(elements) => {
                let nested = elements.iter().map(|element| match element {
                    Value::Array(pair) => pair.as_slice().first_chunk::<2>().filter(|_| pair.len() == 2),
                    _ => None,
                });
                if let Some(pairs) = nested.collect::<Option<Vec<_>>>() {
                    return Some(pairs.into_iter().map(|[key, value]| (key, value)).collect());
                }
                let (pairs, rest) = elements.as_chunks::<2>();
                rest.is_empty().then(|| pairs.iter().map(|[key, value]| (key, value)).collect())
            }
            _ => None,
        }
    }
}

/// Reads one value off the front of `bytes`, and says how many bytes it takes; `None` asks for more
/// bytes. Attributes before a value are read over.
pub fn decode(bytes: &[u8]) -> Result<Option<(Value<'_>, usize)>, RespError> {
    // First it is looked whether the value is whole: then nothing is built in vain.
    let mut look = Reader { bytes, at: 0 };
    match look.skip(0) {
        Ok(()) => {}
        Err(Stop::More) => return Ok(None),
        Err(Stop::Wrong(error)) => return Err(error),
    }
    let mut reader = Reader { bytes, at: 0 };
    match reader.value(0) {
        Ok(value) => Ok(Some((value, reader.at))),
        Err(Stop::More) => Ok(None),
        Err(Stop::Wrong(error)) => Err(error),
    }
}

/// Appends a value.
pub fn encode(value: &Value<'_>, out: &mut Vec<u8>) {
    let line = |sign: u8, bytes: &[u8], out: &mut Vec<u8>| {
        out.push(sign);
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    };
    let head = |sign: u8, count: usize, out: &mut Vec<u8>| line(sign, count.to_string().as_bytes(), out);
    match value {
        Value::Simple(text) => line(b'+', text, out),
        Value::Error(text) => line(b'-', text, out),
        Value::Int(number) => line(b':', number.to_string().as_bytes(), out),
        Value::Bulk(bytes) => bulk(bytes, out),
        Value::Null => line(b'_', b"", out),
        Value::Bool(value) => line(b'#', if *value { b"t" } else { b"f" }, out),
        Value::Double(number) if number.is_nan() => line(b',', b"nan", out),
        Value::Double(number) if number.is_infinite() => {
            line(b',', if *number > 0.0 { b"inf" } else { b"-inf" }, out);
        }
        Value::Double(number) => line(b',', number.to_string().as_bytes(), out),
        Value::Big(digits) => line(b'(', digits, out),
        Value::Verbatim(text) => {
            head(b'=', text.len(), out);
            out.extend_from_slice(text);
            out.extend_from_slice(b"\r\n");
        }
        Value::Array(elements) | Value::Set(elements) | Value::Push(elements) => {
            let sign = match value {
                Value::Array(_) => b'*',
                Value::Set(_) => b'~',
                _ => b'>',
            };
            head(sign, elements.len(), out);
            elements.iter().for_each(|element| encode(element, out));
        }
        Value::Map(pairs) => {
            head(b'%', pairs.len(), out);
            for (key, value) in pairs {
                encode(key, out);
                encode(value, out);
            }
        }
    }
}

/// Appends a command with its arguments: a list of bytes, as every version of Redis reads it.
pub fn command<A: AsRef<[u8]>>(
    arguments: impl IntoIterator<Item = A, IntoIter: ExactSizeIterator>,
    out: &mut Vec<u8>,
) {
    let arguments = arguments.into_iter();
    begin_command(arguments.len(), out);
    arguments.for_each(|argument| bulk(argument.as_ref(), out));
}

/// Appends the beginning of a command; as many [`bulk`] follow.
pub fn begin_command(count: usize, out: &mut Vec<u8>) {
    out.push(b'*');
    event::json::write_int(count as i64, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends bytes.
pub fn bulk(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'$');
    event::json::write_int(bytes.len() as i64, out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Why reading stops.
enum Stop {
    More,
    Wrong(RespError),
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn wrong<T>(&self, reason: &'static str) -> Result<T, Stop> {
        Err(Stop::Wrong(RespError { at: self.at, reason }))
    }

    /// A sign and the rest of its line.
    fn line(&mut self) -> Result<(u8, &'a [u8]), Stop> {
        let rest = &self.bytes[self.at..];
        let Some((sign, rest)) = rest.split_first() else { return Err(Stop::More) };
        if !b"+-:$*_#,(=!%~|>".contains(sign) {
            return self.wrong("no known sign");
        }
        match memchr(b'\r', rest) {
            Some(at) if at > LINE_BYTES_MAX => self.wrong("a line is too long"),
            Some(at) => match rest.get(at + 1) {
                Some(b'\n') => {
                    self.at += at + 3;
                    Ok((*sign, &rest[..at]))
                }
                Some(_) => self.wrong("a line ends with \\r alone"),
                None => Err(Stop::More),
            },
            None if rest.len() > LINE_BYTES_MAX => self.wrong("a line is too long"),
            None => Err(Stop::More),
        }
    }

    /// How many bytes or elements follow; none for `-1`.
    fn count(&self, line: &[u8], max: usize) -> Result<Option<usize>, Stop> {
        if line == b"-1" {
            return Ok(None);
        }
        let digits = std::str::from_utf8(line).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        match digits.and_then(|text| text.parse().ok()) {
            Some(count) if count <= max => Ok(Some(count)),
            Some(_) => self.wrong("more is announced than may come"),
            None => self.wrong("no count"),
        }
    }

    /// So many bytes and the end of a line.
    fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let Some((taken, behind)) = rest.split_at_checked(count) else { return Err(Stop::More) };
        match behind {
            [b'\r', b'\n', ..] => {
                self.at += count + 2;
                Ok(taken)
            }
            [] | [b'\r'] => Err(Stop::More),
            _ => self.wrong("bytes without their end"),
        }
    }

    /// How many values make up one that begins with this sign.
    fn values(sign: u8, count: usize) -> usize {
        if matches!(sign, b'%' | b'|') { count * 2 } else { count }
    }

    /// Reads over a value, and checks it as far as its length goes.
    fn skip(&mut self, depth: usize) -> Result<(), Stop> {
        if depth > DEPTH_MAX {
            return self.wrong("too deep");
        }
        loop {
            let (sign, line) = self.line()?;
            match sign {
                b'$' | b'=' | b'!' => {
                    if let Some(count) = self.count(line, BULK_BYTES_MAX)? {
                        self.take(count)?;
                    }
                }
                b'*' | b'%' | b'~' | b'>' | b'|' => {
                    let count = self.count(line, u32::MAX as usize)?.unwrap_or(0);
                    for _ in 0..Self::values(sign, count) {
                        self.skip(depth + 1)?;
                    }
                }
                _ => {}
            }
            if sign != b'|' {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, Stop> {
        let mut from = self.at;
        let (mut sign, mut line) = self.line()?;
        while sign == b'|' {
            let count = self.count(line, u32::MAX as usize)?.unwrap_or(0);
            for _ in 0..Self::values(sign, count) {
                self.skip(depth + 1)?;
            }
            from = self.at;
            (sign, line) = self.line()?;
        }
        let text = std::str::from_utf8(line).ok();
        let wrong = |reason| Err(Stop::Wrong(RespError { at: from, reason }));
        Ok(match sign {
            b'+' => Value::Simple(line),
            b'-' => Value::Error(line),
            b':' => match text.and_then(|text| text.parse().ok()) {
                Some(number) => Value::Int(number),
                None => return wrong("no number"),
            },
            b'_' if line.is_empty() => Value::Null,
            b'#' if line == b"t" || line == b"f" => Value::Bool(line == b"t"),
            b',' => match text.and_then(|text| text.parse().ok()) {
                Some(number) => Value::Double(number),
                None => return wrong("no number"),
            },
            b'(' => {
                let digits = line.strip_prefix(b"-").unwrap_or(line);
                if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                    return wrong("no number");
                }
                Value::Big(line)
            }
            b'$' | b'=' | b'!' => {
                let Some(count) = self.count(line, BULK_BYTES_MAX)? else { return Ok(Value::Null) };
                let bytes = self.take(count)?;
                match sign {
                    b'$' => Value::Bulk(bytes),
                    b'!' => Value::Error(bytes),
                    _ if bytes.get(3) == Some(&b':') => Value::Verbatim(bytes),
                    _ => return wrong("text without its form"),
                }
            }
            b'%' => {
                let count = self.count(line, u32::MAX as usize)?.unwrap_or(0);
                let mut pairs = Vec::new();
                for _ in 0..count {
                    pairs.push((self.value(depth + 1)?, self.value(depth + 1)?));
                }
                Value::Map(pairs)
            }
            b'*' | b'~' | b'>' => {
                let Some(count) = self.count(line, u32::MAX as usize)? else { return Ok(Value::Null) };
                let mut elements = Vec::new();
                for _ in 0..count {
                    elements.push(self.value(depth + 1)?);
                }
                match sign {
                    b'*' => Value::Array(elements),
                    b'~' => Value::Set(elements),
                    _ => Value::Push(elements),
                }
            }
            _ => return wrong("a line that says nothing"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values() {
        #[track_caller]
        fn check(bytes: &str, expected: Result<Option<Value<'_>>, &str>) {
            let found = decode(bytes.as_bytes());
            match (found, expected) {
                (Ok(found), Ok(expected)) => {
                    assert!(found.as_ref().is_none_or(|(_, count)| *count == bytes.len()), "{found:?}");
                    assert_eq!(found.map(|(value, _)| value), expected);
                }
                (Err(error), Err(expected)) => assert!(error.reason.contains(expected), "{error}"),
                (found, expected) => panic!("{found:?} where {expected:?} was expected"),
            }
        }
        check("+OK\r\n", Ok(Some(Value::Simple(b"OK"))));
        check("-ERR no\r\n", Ok(Some(Value::Error(b"ERR no"))));
        check(":-5\r\n", Ok(Some(Value::Int(-5))));
        check("$3\r\na\r\n\r\n", Ok(Some(Value::Bulk(b"a\r\n"))));
        check("$-1\r\n", Ok(Some(Value::Null)));
        check("*-1\r\n", Ok(Some(Value::Null)));
        check("_\r\n", Ok(Some(Value::Null)));
        check("*0\r\n", Ok(Some(Value::Array(Vec::new()))));
        check(
            "*2\r\n:1\r\n*1\r\n#t\r\n",
            Ok(Some(Value::Array(vec![Value::Int(1), Value::Array(vec![Value::Bool(true)])]))),
        );
        check("%1\r\n+k\r\n,1.5\r\n", Ok(Some(Value::Map(vec![(Value::Simple(b"k"), Value::Double(1.5))]))));
        check("=5\r\ntxt:a\r\n", Ok(Some(Value::Verbatim(b"txt:a"))));
        check("!5\r\nERR a\r\n", Ok(Some(Value::Error(b"ERR a"))));
        check("|1\r\n+ttl\r\n:5\r\n(123\r\n", Ok(Some(Value::Big(b"123"))));
        check(">1\r\n+x\r\n", Ok(Some(Value::Push(vec![Value::Simple(b"x")]))));
        for more in ["", "$", "$3", "$3\r", "$3\r\nabc", "$3\r\nabc\r", "*1\r\n", "*1\r\n$1\r\na", "|0\r\n"] {
            check(more, Ok(None));
        }
        check("hello\r\n", Err("no known sign"));
        check("$3\r\nabcd\r\n", Err("without their end"));
        check("$-2\r\n", Err("no count"));
        check("$9999999999\r\n", Err("more is announced"));
        check(":x\r\n", Err("no number"));
        check("+a\rb\r\n", Err("alone"));
        check("#x\r\n", Err("says nothing"));
        check("=2\r\nab\r\n", Err("form"));
        check(&"*1\r\n".repeat(40), Err("too deep"));
    }

    #[test]
    fn pairs_in_both_versions() {
        for text in ["%1\r\n$1\r\na\r\n:1\r\n", "*2\r\n$1\r\na\r\n:1\r\n", "*1\r\n*2\r\n$1\r\na\r\n:1\r\n"] {
            let (value, _) = decode(text.as_bytes()).unwrap().unwrap();
            assert_eq!(value.pairs().unwrap(), [(&Value::Bulk(b"a"), &Value::Int(1))]);
        }
        assert_eq!(Value::Array(vec![Value::Int(1)]).pairs(), None);
        assert_eq!(Value::Bulk(b"12").int(), Some(12));
    }

    /// A value that owns its bytes, for the tests.
    #[derive(Debug, Clone)]
    enum Own {
        Line(bool, String),
        Bytes(u8, Vec<u8>),
        Int(i64),
        Double(f64),
        Bool(bool),
        Null,
        Many(u8, Vec<Own>),
    }

    impl Own {
        fn value(&self) -> Value<'_> {
            fn all(elements: &[Own]) -> Vec<Value<'_>> {
                elements.iter().map(Own::value).collect()
            }
            match self {
                Own::Line(true, text) => Value::Simple(text.as_bytes()),
                Own::Line(false, text) => Value::Error(text.as_bytes()),
                Own::Bytes(0, bytes) => Value::Bulk(bytes),
                Own::Bytes(1, _) => Value::Verbatim(b"mkd:# a"),
                Own::Bytes(_, _) => Value::Big(b"-170141183460469231731687303715884105728"),
                Own::Int(number) => Value::Int(*number),
                Own::Double(number) => Value::Double(*number),
                Own::Bool(value) => Value::Bool(*value),
                Own::Null => Value::Null,
                Own::Many(0, elements) => Value::Array(all(elements)),
                Own::Many(1, elements) => Value::Set(all(elements)),
                Own::Many(2, elements) => Value::Push(all(elements)),
                Own::Many(_, elements) => {
                    Value::Map(all(elements).into_iter().map(|value| (value, Value::Int(1))).collect())
                }
            }
        }
    }

    fn any_value() -> impl Strategy<Value = Own> {
        let leaf = prop_oneof![
            (any::<bool>(), "[^\r\n]{0,8}").prop_map(|(simple, text)| Own::Line(simple, text)),
            (0..3_u8, any::<Vec<u8>>()).prop_map(|(form, bytes)| Own::Bytes(form, bytes)),
            any::<i64>().prop_map(Own::Int),
            prop::num::f64::NORMAL.prop_map(Own::Double),
            any::<bool>().prop_map(Own::Bool),
            Just(Own::Null),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            (0..4_u8, prop::collection::vec(inner, 0..6)).prop_map(|(form, many)| Own::Many(form, many))
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_its_beginning_asks_for_more(own in any_value()) {
            let value = own.value();
            let mut bytes = Vec::new();
            encode(&value, &mut bytes);
            prop_assert_eq!(decode(&bytes), Ok(Some((value, bytes.len()))));
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut]), Ok(None));
            }
        }

        #[test]
        fn commands_are_lists_of_bytes(arguments: Vec<Vec<u8>>) {
            let mut bytes = Vec::new();
            command(&arguments, &mut bytes);
            let expected = arguments.iter().map(|argument| Value::Bulk(argument)).collect();
            prop_assert_eq!(decode(&bytes), Ok(Some((Value::Array(expected), bytes.len()))));
        }

        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            if let Ok(Some((_, count))) = decode(&bytes) {
                prop_assert!(count <= bytes.len());
            }
        }
    }
}
