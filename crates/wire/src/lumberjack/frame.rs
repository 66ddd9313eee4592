//! Frames: bytes and values.

use flate2::write::ZlibEncoder;
use flate2::{Compression, Decompress, FlushDecompress, Status};
use std::io::Write;

/// So much of a frame says how long it is, pairs of version 1 excepted.
pub const HEADER_BYTES_MAX: usize = 10;

/// The version that a frame names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Version {
    /// Events are pairs of text.
    One,
    /// Events are JSON.
    #[default]
    Two,
}

impl Version {
    fn byte(self) -> u8 {
        match self {
            Version::One => b'1',
            Version::Two => b'2',
        }
    }
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// So many events follow.
    Window(u32),
    /// An event as pairs of text.
    Pairs(u32, Pairs<'a>),
    /// An event as JSON, which nobody looked at.
    Json(u32, &'a [u8]),
    /// Frames, compressed.
    Compressed(&'a [u8]),
    /// All up to this number is safe.
    Ack(u32),
}

/// The pairs of an event of version 1, which are whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs<'a> {
    count: u32,
    bytes: &'a [u8],
}

/// What the beginning of some bytes is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A frame of this length.
    Frame(Version, Frame<'a>, usize),
    /// The frame needs at least so many bytes, counted from its beginning.
    Needs(usize),
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first byte.
    #[error(
        "a frame begins with \"1\" or \"2\", not with byte {0:#04x}; does the peer speak TLS, or another protocol?"
    )]
    Version(u8),
    /// The second byte.
    #[error("there is no frame of type {0:#04x}")]
    Type(u8),
    /// It is longer than is taken.
    #[error("a frame of {length} bytes is longer than the limit of {max}")]
    TooLong {
        /// Its length.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// What is compressed is no zlib, or not whole.
    #[error("what is compressed is damaged")]
    Damaged,
    /// It grows to more than is taken.
    #[error("{length} compressed bytes grow to more than the limit of {max}")]
    TooLarge {
        /// What is compressed.
        length: usize,
        /// What it may grow to.
        max: usize,
    },
    /// A compressed frame in a compressed frame.
    #[error("a compressed frame holds another one")]
    Nested,
    /// What is compressed ends within a frame.
    #[error("what is compressed ends within a frame")]
    Partial,
}

impl<'a> Pairs<'a> {
    /// Writes pairs into the empty `bytes`, and is them. Each text has less than 4 GiB.
    pub fn write(pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>, bytes: &mut Vec<u8>) -> Pairs<'_> {
        let mut count = 0;
        for (name, value) in pairs {
            for text in [name, value] {
                bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
                bytes.extend_from_slice(text);
            }
            count += 1;
        }
        Pairs { count, bytes }
    }

    /// The names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.bytes;
        (0..self.count).map_while(move |_| Some((text(&mut rest)?, text(&mut rest)?)))
    }
}

/// A length and as many bytes.
fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(bytes, 0)? as usize;
    let text = bytes.get(4..4_usize.checked_add(length)?)?;
    *bytes = &bytes[4 + length..];
    Some(text)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// The frame at the beginning of `bytes`, of this length at most.
pub fn decode(bytes: &[u8], bytes_max: usize) -> Result<Decoded<'_>, FrameError> {
    let version = match bytes.first() {
        None => return Ok(Decoded::Needs(2)),
        Some(b'1') => Version::One,
        Some(b'2') => Version::Two,
        Some(other) => return Err(FrameError::Version(*other)),
    };
    let Some(kind) = bytes.get(1) else { return Ok(Decoded::Needs(2)) };
    let first = number(bytes, 2);
    // What has a length: where its bytes begin, and the end.
    let body = |header: usize| -> Result<Option<(usize, usize)>, FrameError> {
        let Some(length) = number(bytes, header - 4) else { return Ok(None) };
        let end = within((header as u64) + u64::from(length), bytes_max)?;
        Ok(Some((header, end)))
    };
    Ok(match kind {
        b'W' | b'A' => match first {
            Some(count) if *kind == b'W' => Decoded::Frame(version, Frame::Window(count), 6),
            Some(sequence) => Decoded::Frame(version, Frame::Ack(sequence), 6),
            None => Decoded::Needs(6),
        },
        b'C' => match body(6)? {
            Some((from, end)) => match bytes.get(from..end) {
                Some(packed) => Decoded::Frame(version, Frame::Compressed(packed), end),
                None => Decoded::Needs(end),
            },
            None => Decoded::Needs(6),
        },
        b'J' => match (first, body(10)?) {
            (Some(sequence), Some((from, end))) => match bytes.get(from..end) {
                Some(json) => Decoded::Frame(version, Frame::Json(sequence, json), end),
                None => Decoded::Needs(end),
            },
            _ => Decoded::Needs(10),
        },
        b'D' => pairs(bytes, version, bytes_max)?,
        other => return Err(FrameError::Type(*other)),
    })
}

fn pairs(bytes: &[u8], version: Version, bytes_max: usize) -> Result<Decoded<'_>, FrameError> {
    let (Some(sequence), Some(count)) = (number(bytes, 2), number(bytes, 6)) else {
        return Ok(Decoded::Needs(10));
    };
    // Each pair has at least its two lengths.
    within(10 + 8 * u64::from(count), bytes_max)?;
    let mut at = 10;
    for _ in 0..2 * u64::from(count) {
        let Some(length) = number(bytes, at) else {
            return Ok(Decoded::Needs(within(at as u64 + 4, bytes_max)?));
        };
        at = within(at as u64 + 4 + u64::from(length), bytes_max)?;
        if at > bytes.len() {
            return Ok(Decoded::Needs(at));
        }
    }
    Ok(Decoded::Frame(version, Frame::Pairs(sequence, Pairs { count, bytes: &bytes[10..at] }), at))
}

fn within(length: u64, max: usize) -> Result<usize, FrameError> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > max { Err(FrameError::TooLong { length, max }) } else { Ok(length) }
}

/// How far compressed frames may grow.
#[derive(Debug, Clone, Copy)]
pub struct InflateLimits {
    /// To so many bytes, whatever they come of.
    pub bytes_max: usize,
    /// To so many times their size...
    pub ratio_max: usize,
    /// ...beyond these bytes, which are nobody's harm.
    pub free_bytes: usize,
}

impl InflateLimits {
    fn of(&self, packed: usize) -> usize {
        packed.saturating_mul(self.ratio_max).max(self.free_bytes).min(self.bytes_max)
    }
}

/// Appends what is compressed to `out`. It never grows to more than the limits, not even for a
/// moment.
pub fn inflate(packed: &[u8], limits: InflateLimits, out: &mut Vec<u8>) -> Result<(), FrameError> {
    /// So much is made at once.
    const STEP: usize = 32 << 10;
    let max = limits.of(packed.len());
    let begin = out.len();
    let mut inflate = Decompress::new(true);
    loop {
        let room = max - (out.len() - begin);
        // One byte more than the limit tells that there is more.
        out.reserve(STEP.min(room + 1));
        let used = usize::try_from(inflate.total_in()).unwrap_or(usize::MAX);
        let rest = packed.get(used..).unwrap_or_default();
        let before = (inflate.total_in(), out.len());
        let status = inflate.decompress_vec(rest, out, FlushDecompress::None);
        let length = out.len() - begin;
        if length > max {
            return Err(FrameError::TooLarge { length: packed.len(), max });
        }
        match status {
            Ok(Status::StreamEnd) => return Ok(()),
            Ok(_) if before != (inflate.total_in(), out.len()) => {}
            // Nothing goes in and nothing comes out: it is not whole.
            _ => return Err(FrameError::Damaged),
        }
    }
}

/// Writes a frame.
pub fn encode(version: Version, frame: &Frame<'_>, out: &mut Vec<u8>) {
    let kind = match frame {
        Frame::Window(_) => b'W',
        Frame::Pairs(..) => b'D',
        Frame::Json(..) => b'J',
        Frame::Compressed(_) => b'C',
        Frame::Ack(_) => b'A',
    };
    out.extend_from_slice(&[version.byte(), kind]);
    let mut number = |number: u32| out.extend_from_slice(&number.to_be_bytes());
    match frame {
        Frame::Window(value) | Frame::Ack(value) => number(*value),
        Frame::Compressed(bytes) => {
            number(bytes.len() as u32);
            out.extend_from_slice(bytes);
        }
        Frame::Json(sequence, json) => {
            number(*sequence);
            number(json.len() as u32);
            out.extend_from_slice(json);
        }
        Frame::Pairs(sequence, pairs) => {
            number(*sequence);
            number(pairs.count);
            out.extend_from_slice(pairs.bytes);
        }
    }
}

/// Writes a frame that holds these frames, compressed so hard (1 to 9).
pub fn compress(version: Version, frames: &[u8], level: u32, out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level.min(9)));
    encoder.write_all(frames)?;
    encode(version, &Frame::Compressed(&encoder.finish()?), out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: InflateLimits = InflateLimits { bytes_max: 1 << 20, ratio_max: 100, free_bytes: 64 << 10 };

    fn pairs_of(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
            bytes.extend_from_slice(text);
        }
        bytes
    }

    #[test]
    fn frames_as_others_write_them() {
        #[track_caller]
        fn check(bytes: &[u8], version: Version, frame: Frame<'_>) {
            assert_eq!(decode(bytes, 1 << 10), Ok(Decoded::Frame(version, frame.clone(), bytes.len())));
            let mut written = Vec::new();
            encode(version, &frame, &mut written);
            assert_eq!(written, bytes);
        }
        check(b"2W\0\0\x08\0", Version::Two, Frame::Window(2048));
        check(b"2A\0\0\0\0", Version::Two, Frame::Ack(0));
        check(b"1A\0\0\0\x07", Version::One, Frame::Ack(7));
        check(b"2J\0\0\0\x01\0\0\0\x02{}", Version::Two, Frame::Json(1, b"{}"));
        check(b"2C\0\0\0\x03abc", Version::Two, Frame::Compressed(b"abc"));
        let own = pairs_of(&[(b"line", b"hello"), (b"host", b"")]);
        let pairs = Pairs { count: 2, bytes: &own };
        assert_eq!(pairs.iter().collect::<Vec<_>>(), [(&b"line"[..], &b"hello"[..]), (b"host", b"")]);
        let bytes = [&b"1D\0\0\0\x03\0\0\0\x02"[..], &own].concat();
        check(&bytes, Version::One, Frame::Pairs(3, pairs));
    }

    #[test]
    fn what_is_no_frame() {
        #[track_caller]
        fn check(bytes: &[u8], expected: FrameError) {
            assert_eq!(decode(bytes, 100), Err(expected));
        }
        check(b"\x16\x03\x01", FrameError::Version(0x16));
        check(b"GET / HTTP/1.1", FrameError::Version(b'G'));
        check(b"2X", FrameError::Type(b'X'));
        check(b"2C\xff\xff\xff\xff", FrameError::TooLong { length: (1 << 32) + 5, max: 100 });
        check(b"2J\0\0\0\x01\0\0\0\x64", FrameError::TooLong { length: 110, max: 100 });
        check(
            b"1D\0\0\0\x01\xff\xff\xff\xff",
            FrameError::TooLong { length: 8 * ((1 << 32) - 1) + 10, max: 100 },
        );
        check(b"1D\0\0\0\x01\0\0\0\x01\0\0\xff\0", FrameError::TooLong { length: 0xff00 + 14, max: 100 });
    }

    #[test]
    fn what_is_compressed_grows_within_limits() {
        let packed = |frames: &[u8]| {
            let mut out = Vec::new();
            compress(Version::Two, frames, 9, &mut out).unwrap();
            out.split_off(6)
        };
        let inflated = |packed: &[u8], limits| {
            let mut out = b"before".to_vec();
            inflate(packed, limits, &mut out).map(|()| out.split_off(6))
        };
        let small = vec![0; 64 << 10];
        assert_eq!(inflated(&packed(&small), LIMITS), Ok(small));
        // Zeros become about a thousandth.
        let bomb = packed(&vec![0; 512 << 10]);
        let max = LIMITS.free_bytes;
        assert_eq!(inflated(&bomb, LIMITS), Err(FrameError::TooLarge { length: bomb.len(), max }));
        let fine = InflateLimits { ratio_max: 2_000, ..LIMITS };
        assert_eq!(inflated(&bomb, fine).map(|out| out.len()), Ok(512 << 10));
        let exact = InflateLimits { bytes_max: 512 << 10, ..fine };
        assert!(inflated(&bomb, exact).is_ok());
        let less = InflateLimits { bytes_max: (512 << 10) - 1, ..fine };
        assert!(matches!(inflated(&bomb, less), Err(FrameError::TooLarge { .. })));
        assert_eq!(inflated(&bomb[..bomb.len() - 5], fine), Err(FrameError::Damaged));
        assert_eq!(inflated(b"no zlib", LIMITS), Err(FrameError::Damaged));
        assert_eq!(inflated(b"", LIMITS), Err(FrameError::Damaged));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            two: bool, kind in 0..5_u8, number: u32, text: Vec<u8>,
            fields: Vec<(Vec<u8>, Vec<u8>)>, cut: usize,
        ) {
            let version = if two { Version::Two } else { Version::One };
            let fields: Vec<(&[u8], &[u8])> = fields.iter().map(|(a, b)| (&a[..], &b[..])).collect();
            let own = pairs_of(&fields);
            let frame = match kind {
                0 => Frame::Window(number),
                1 => Frame::Ack(number),
                2 => Frame::Json(number, &text),
                3 => Frame::Compressed(&text),
                _ => Frame::Pairs(number, Pairs { count: fields.len() as u32, bytes: &own }),
            };
            let mut bytes = Vec::new();
            encode(version, &frame, &mut bytes);
            let length = bytes.len();
            // A part asks for more, and never for more than there is.
            match decode(&bytes[..cut % length], usize::MAX) {
                Ok(Decoded::Needs(needs)) => prop_assert!(needs > cut % length && needs <= length),
                other => prop_assert!(false, "{other:?}"),
            }
            bytes.extend_from_slice(b"rest");
            prop_assert_eq!(decode(&bytes, length), Ok(Decoded::Frame(version, frame.clone(), length)));
            if let Frame::Pairs(_, pairs) = frame {
                prop_assert_eq!(pairs.iter().collect::<Vec<_>>(), fields);
            }
        }

        #[test]
        fn what_is_compressed_comes_back(frames: Vec<u8>, level in 1..10_u32) {
            let mut bytes = Vec::new();
            compress(Version::Two, &frames, level, &mut bytes).unwrap();
            let Ok(Decoded::Frame(_, Frame::Compressed(packed), _)) = decode(&bytes, usize::MAX) else {
                panic!("a frame");
            };
            let mut out = Vec::new();
            prop_assert_eq!(inflate(packed, LIMITS, &mut out), Ok(()));
            prop_assert_eq!(out, frames);
        }

        #[test]
        fn any_bytes(mut bytes: Vec<u8>, kind in "[12][WDJCA]", with: bool) {
            if with {
                bytes.splice(..0, kind.bytes());
            }
            match decode(&bytes, 1 << 16) {
                Ok(Decoded::Frame(_, frame, length)) => {
                    prop_assert!(length <= bytes.len());
                    let mut written = Vec::new();
                    encode(if bytes[0] == b'1' { Version::One } else { Version::Two }, &frame, &mut written);
                    prop_assert_eq!(&written, &bytes[..length]);
                }
                Ok(Decoded::Needs(needs)) => prop_assert!(needs > bytes.len() && needs <= 1 << 16),
                Err(_) => {}
            }
            let mut out = Vec::new();
            let _ = inflate(&bytes, LIMITS, &mut out);
            prop_assert!(out.len() <= LIMITS.bytes_max + (64 << 10));
        }
    }
}
