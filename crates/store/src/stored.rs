//! What an index keeps of a document as it came: its id and its source, in one field.
//!
//! The first byte is the length of the id, the id and the source follow. Ids that are the hexadecimal
//! form of 16 bytes, as those of our own events are, would be the half of what is left of a line when
//! it is compressed: with length 0 these bytes stand there themselves.

use std::borrow::Cow;
use std::fmt::Write;
use tantivy::TantivyDocument;
use tantivy::schema::{Field, Value as _};

const HASH_BYTES: usize = 16;
/// Of a longer id, the beginning is kept.
const ID_BYTES_MAX: usize = 255;

/// Puts a document together.
pub(crate) fn pack(id: &str, source: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + id.len() + source.len());
    match hash_of(id) {
        Some(hash) => {
            bytes.push(0);
            bytes.extend_from_slice(&hash);
        }
        None => {
            let id = &id[..id.floor_char_boundary(ID_BYTES_MAX)];
            bytes.push(id.len() as u8);
            bytes.extend_from_slice(id.as_bytes());
        }
    }
    bytes.extend_from_slice(source);
    bytes
}

/// Takes a document apart again: its id and its source. What is cut short has no source.
pub(crate) fn unpack(bytes: &[u8]) -> (Cow<'_, str>, &[u8]) {
    match bytes {
        [] => (Cow::Borrowed(""), &[]),
        [0, rest @ ..] => {
            let (hash, source) = rest.split_at(HASH_BYTES.min(rest.len()));
            let mut id = String::with_capacity(2 * HASH_BYTES);
            for byte in hash {
                let _ = write!(id, "{byte:02x}");
            }
            (Cow::Owned(id), source)
        }
        [length, rest @ ..] => {
            let (id, source) = rest.split_at(usize::from(*length).min(rest.len()));
            (String::from_utf8_lossy(id), source)
        }
    }
}

/// The bytes of a document that was read from an index.
pub(crate) fn bytes_of(document: &TantivyDocument, stored: Field) -> Option<Vec<u8>> {
    document.get_first(stored)?.as_bytes().map(<[u8]>::to_vec)
}

fn hash_of(id: &str) -> Option<[u8; HASH_BYTES]> {
    let is_hex =
        id.len() == 2 * HASH_BYTES && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let hash = is_hex.then(|| u128::from_str_radix(id, 16).ok()).flatten()?;
    Some(hash.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn layouts() {
        #[track_caller]
        fn check(id: &str, expected: &[u8]) {
            assert_eq!(pack(id, b"{}"), [expected, b"{}"].concat());
            assert_eq!(unpack(&pack(id, b"{}")), (id.into(), &b"{}"[..]));
        }
        check("a", b"\x01a");
        check("00ff", b"\x0400ff");
        check("00ff00000000000000000000000000a1", b"\0\x00\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\xa1");
        // Others are kept as they are written.
        check("00FF00000000000000000000000000a1", b"\x2000FF00000000000000000000000000a1");
        check("+0ff00000000000000000000000000a1", b"\x20+0ff00000000000000000000000000a1");
        assert_eq!(unpack(b""), ("".into(), &b""[..]));
        assert_eq!(unpack(b"\0\x01"), ("01".into(), &b""[..]));
        assert_eq!(unpack(b"\x09ab"), ("ab".into(), &b""[..]));
        let long = "é".repeat(200);
        assert_eq!(unpack(&pack(&long, b"{}")).0.len(), 254);
    }

    #[test]
    fn ids_come_back() {
        proptest!(|(id in "[0-9a-f]{32}|[ -~é]{1,40}", source: Vec<u8>)| {
            let packed = pack(&id, &source);
            prop_assert_eq!(unpack(&packed), (id.as_str().into(), &source[..]));
        });
    }
}
