//! MessagePack (<https://github.com/msgpack/msgpack/blob/master/spec.md>), read as JSON, and written
//! of it.
//!
//! | byte | what it begins |
//! | --- | --- |
//! | `00`–`7f`, `e0`–`ff` | a small number |
//! | `80`–`8f`, `de`, `df` | a map |
//! | `90`–`9f`, `dc`, `dd` | an array |
//! | `a0`–`bf`, `d9`–`db`, `c4`–`c6` | text, bytes |
//! | `c0`, `c2`, `c3` | nil, false, true |
//! | `ca`, `cb`, `cc`–`cf`, `d0`–`d3` | floats, whole numbers |
//! | `c7`–`c9`, `d4`–`d8` | an extension; of those only the time (-1) means something here |
//!
//! JSON has no NaN and no infinities: they are null. A map's names that are no text are their JSON; one
//! that is a map with such names itself is refused, because each time that JSON stands in a text doubles
//! its backslashes.

use event::json;
use std::io::Write;

/// Why bytes are no MessagePack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MsgpackError {
    /// It ends in the middle of a value.
    #[error("it ends in the middle of a value")]
    Short,
    /// `c1` begins nothing.
    #[error("a byte that begins nothing")]
    Unused,
    /// Values are in each other more than [`DEPTH_MAX`] times.
    #[error("values are in each other too deep")]
    Deep,
}

/// How often values may be in each other.
pub const DEPTH_MAX: usize = 64;
/// The type of the extension that is a time.
const TIME: i8 = -1;

/// Writes a JSON value, each in the shortest form that holds it.
pub fn from_json(value: &serde_json::Value, out: &mut Vec<u8>) {
    use serde_json::Value as Json;
    match value {
        Json::Null => out.push(0xc0),
        Json::Bool(is_so) => out.push(if *is_so { 0xc3 } else { 0xc2 }),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => unsigned(number, out),
            (None, Some(number)) => negative(number, out),
            (None, None) => {
                out.push(0xcb);
                out.extend_from_slice(&number.as_f64().unwrap_or_default().to_be_bytes());
            }
        },
        Json::String(text) => {
            length(text.len(), Some((0xa0, 31)), [Some(0xd9), Some(0xda), Some(0xdb)], out);
            out.extend_from_slice(text.as_bytes());
        }
        Json::Array(items) => {
            length(items.len(), Some((0x90, 15)), [None, Some(0xdc), Some(0xdd)], out);
            items.iter().for_each(|item| from_json(item, out));
        }
        Json::Object(members) => {
            length(members.len(), Some((0x80, 15)), [None, Some(0xde), Some(0xdf)], out);
            for (name, value) in members {
                from_json(&Json::String(name.clone()), out);
                from_json(value, out);
            }
        }
    }
}

fn unsigned(number: u64, out: &mut Vec<u8>) {
    if number < 0x80 {
        out.push(number as u8);
    } else if let Ok(number) = u8::try_from(number) {
        out.extend_from_slice(&[0xcc, number]);
    } else if let Ok(number) = u16::try_from(number) {
        out.push(0xcd);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = u32::try_from(number) {
        out.push(0xce);
        out.extend_from_slice(&number.to_be_bytes());
    } else {
        out.push(0xcf);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn negative(number: i64, out: &mut Vec<u8>) {
    if let Ok(number) = i8::try_from(number) {
        if number < -32 {
            out.push(0xd0);
        }
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        out.push(0xd1);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        out.push(0xd2);
        out.extend_from_slice(&number.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

/// What begins a text, an array or a map of this length: a byte that holds it up to a limit, or one
/// in front of a length of 1, 2 or 4 bytes.
fn length(length: usize, small: Option<(u8, usize)>, forms: [Option<u8>; 3], out: &mut Vec<u8>) {
    match (small, forms) {
        (Some((first, most)), _) if length <= most => out.push(first | length as u8),
        (_, [Some(form), ..]) if length <= usize::from(u8::MAX) => {
            out.extend_from_slice(&[form, length as u8])
        }
        (_, [_, Some(form), _]) if length <= usize::from(u16::MAX) => {
            out.push(form);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        (_, [.., form]) => {
            out.push(form.unwrap_or(0xdb));
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
}

/// Takes one value off the front of `bytes` and writes it as JSON.
pub fn to_json(bytes: &mut &[u8], out: &mut Vec<u8>) -> Result<(), MsgpackError> {
    value(bytes, out, Place { depth: 0, in_name: false })
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    /// It is the name of something, or within one.
    in_name: bool,
}

impl Place {
    fn within(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }
}

fn value(bytes: &mut &[u8], out: &mut Vec<u8>, place: Place) -> Result<(), MsgpackError> {
    if place.depth > DEPTH_MAX {
        return Err(MsgpackError::Deep);
    }
    let [first] = take(bytes)?;
    match first {
        0x00..=0x7f => json::write_int(i64::from(first), out),
        0xe0..=0xff => json::write_int(i64::from(first as i8), out),
        0x80..=0x8f => map(u64::from(first & 0x0f), bytes, out, place)?,
        0x90..=0x9f => array(u64::from(first & 0x0f), bytes, out, place)?,
        0xa0..=0xbf => json::write_str(some(bytes, usize::from(first & 0x1f))?, out),
        0xc0 => out.extend_from_slice(b"null"),
        0xc1 => return Err(MsgpackError::Unused),
        0xc2 => out.extend_from_slice(b"false"),
        0xc3 => out.extend_from_slice(b"true"),
        0xc4 | 0xd9 => text(bytes, 1, out)?,
        0xc5 | 0xda => text(bytes, 2, out)?,
        0xc6 | 0xdb => text(bytes, 4, out)?,
        0xc7 => extension(bytes, 1, out)?,
        0xc8 => extension(bytes, 2, out)?,
        0xc9 => extension(bytes, 4, out)?,
        0xca => float(f64::from(f32::from_be_bytes(take(bytes)?)), out),
        0xcb => float(f64::from_be_bytes(take(bytes)?), out),
        0xcc => json::write_int(number(bytes, 1)? as i64, out),
        0xcd => json::write_int(number(bytes, 2)? as i64, out),
        0xce => json::write_int(number(bytes, 4)? as i64, out),
        0xcf => write!(out, "{}", number(bytes, 8)?).expect("writing to memory"),
        0xd0 => json::write_int(i64::from(i8::from_be_bytes(take(bytes)?)), out),
        0xd1 => json::write_int(i64::from(i16::from_be_bytes(take(bytes)?)), out),
        0xd2 => json::write_int(i64::from(i32::from_be_bytes(take(bytes)?)), out),
        0xd3 => json::write_int(i64::from_be_bytes(take(bytes)?), out),
        0xd4..=0xd8 => extension_of(bytes, 1 << (first - 0xd4), out)?,
        0xdc => array(number(bytes, 2)?, bytes, out, place)?,
        0xdd => array(number(bytes, 4)?, bytes, out, place)?,
        0xde => map(number(bytes, 2)?, bytes, out, place)?,
        0xdf => map(number(bytes, 4)?, bytes, out, place)?,
    }
    Ok(())
}

fn map(length: u64, bytes: &mut &[u8], out: &mut Vec<u8>, place: Place) -> Result<(), MsgpackError> {
    out.push(b'{');
    for n in 0..length {
        if n > 0 {
            out.push(b',');
        }
        let from = out.len();
        value(bytes, out, Place { in_name: true, ..place.within() })?;
        if out.get(from) != Some(&b'"') {
            if place.in_name && matches!(out.get(from), Some(b'{' | b'[')) {
                return Err(MsgpackError::Deep);
            }
            let name = out.split_off(from);
            json::write_str(&name, out);
        }
        out.push(b':');
        value(bytes, out, place.within())?;
    }
    out.push(b'}');
    Ok(())
}

fn array(length: u64, bytes: &mut &[u8], out: &mut Vec<u8>, place: Place) -> Result<(), MsgpackError> {
    out.push(b'[');
    for n in 0..length {
        if n > 0 {
            out.push(b',');
        }
        value(bytes, out, place.within())?;
    }
    out.push(b']');
    Ok(())
}

fn text(bytes: &mut &[u8], width: usize, out: &mut Vec<u8>) -> Result<(), MsgpackError> {
    let length = number(bytes, width)? as usize;
    json::write_str(some(bytes, length)?, out);
    Ok(())
}

fn extension(bytes: &mut &[u8], width: usize, out: &mut Vec<u8>) -> Result<(), MsgpackError> {
    let length = number(bytes, width)? as usize;
    extension_of(bytes, length, out)
}

/// A time is text in RFC 3339, anything else null: what it means is between its two ends.
fn extension_of(bytes: &mut &[u8], length: usize, out: &mut Vec<u8>) -> Result<(), MsgpackError> {
    let [kind] = take(bytes)?;
    let mut data = some(bytes, length)?;
    let time = match (kind as i8, length) {
        (TIME, 4) => Some((number(&mut data, 4)? as i64, 0)),
        (TIME, 8) => {
            let both = number(&mut data, 8)?;
            Some(((both & 0x3_ffff_ffff) as i64, (both >> 34) as i64))
        }
        (TIME, 12) => {
            let ns = number(&mut data, 4)? as i64;
            Some((i64::from_be_bytes(take(&mut data)?), ns))
        }
        _ => None,
    };
    match time.and_then(|(seconds, ns)| seconds.checked_mul(1_000_000_000)?.checked_add(ns)) {
        Some(ns) => {
            out.push(b'"');
            event::time::write_rfc3339(ns, out);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    Ok(())
}

fn float(number: f64, out: &mut Vec<u8>) {
    if number.is_finite() {
        json::write_float(number, out);
    } else {
        out.extend_from_slice(b"null");
    }
}

/// A whole number of so many bytes, the greatest first.
fn number(bytes: &mut &[u8], width: usize) -> Result<u64, MsgpackError> {
    Ok(some(bytes, width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], MsgpackError> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or(MsgpackError::Short)?;
    *bytes = rest;
    Ok(*head)
}

fn some<'b>(bytes: &mut &'b [u8], length: usize) -> Result<&'b [u8], MsgpackError> {
    let (head, rest) = bytes.split_at_checked(length).ok_or(MsgpackError::Short)?;
    *bytes = rest;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn values() {
        #[track_caller]
        fn check(bytes: &[u8], expected: Result<&str, MsgpackError>) {
            let mut out = Vec::new();
            let result = to_json(&mut &*bytes, &mut out);
            assert_eq!(
                result.map(|()| String::from_utf8(out).unwrap()).as_deref(),
                expected.as_ref().map(|text| *text)
            );
        }
        check(&[0x05], Ok("5"));
        check(&[0xff], Ok("-1"));
        check(&[0xd1, 0xff, 0x00], Ok("-256"));
        check(&[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Ok("18446744073709551615"));
        check(&[0xca, 0x7f, 0x80, 0, 0], Ok("null"));
        check(&[0x82, 0xa1, b'a', 0xc0, 0x01, 0x90], Ok(r#"{"a":null,"1":[]}"#));
        check(&[0x81, 0x81, 0xa1, b'a', 0x01, 0xc0], Ok(r#"{"{\"a\":1}":null}"#));
        check(&[0x81, 0x81, 0x81, 0xa1, b'a', 0x01, 0xc0, 0xc0], Err(MsgpackError::Deep));
        check(&[0xc4, 0x02, 0xff, b'a'], Ok("\"\u{fffd}a\""));
        check(&[0xd6, 0xff, 0, 0, 0, 1], Ok("\"1970-01-01T00:00:01.000Z\""));
        check(&[0xc7, 0x01, 0x05, 0x00], Ok("null"));
        check(&[0xc1], Err(MsgpackError::Unused));
        check(&[0xdf, 0xff, 0xff, 0xff, 0xff], Err(MsgpackError::Short));
        check(&[0x91; 100], Err(MsgpackError::Deep));
        check(&[], Err(MsgpackError::Short));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("[a-z]{1,4}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_comes_through(value in json()) {
            let mut bytes = Vec::new();
            from_json(&value, &mut bytes);
            let (mut rest, mut out) = (bytes.as_slice(), Vec::new());
            to_json(&mut rest, &mut out).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), value);
        }

        /// Whatever is read is JSON, and reading takes something off.
        #[test]
        fn anything(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let (mut rest, mut out) = (bytes.as_slice(), Vec::new());
            if to_json(&mut rest, &mut out).is_ok() {
                prop_assert!(rest.len() < bytes.len());
                prop_assert!(serde_json::from_slice::<Value>(&out).is_ok());
            }
        }
    }
}
