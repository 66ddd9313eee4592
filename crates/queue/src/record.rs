//! A record as bytes.
//!
//! ```text
//! u32 magic "LPR1"   u32 length of all behind the checksum   u32 crc32c of all behind it
//! u8 version = 1  u8 codec  u16 0  u32 events  u64 sequence  i64 time_min  i64 time_max  u64 outputs
//! u64 durable  u32 positions  u32 body
//! per position: 16 origin  u32 generation  u64 from  u64 to  u64 mark
//! body …
//! ```
//! `durable` is how many bytes of the file were synced when the record was written. What is
//! no record in front of it is damage; behind it, it is what a power cut left of records
//! that were never confirmed.

use crc32c::{crc32c, crc32c_append};

pub(crate) const MAGIC: [u8; 4] = *b"LPR1";
const VERSION: u8 = 1;
const FRAME: usize = 12;
const FIXED: usize = 56;
/// What must be read to know how long a record is.
pub(crate) const HEAD_LEN: usize = FRAME + FIXED;
const POSITION: usize = 44;
/// No sequence is greater, so that counting on from one cannot overflow: a greater one is damage,
/// even where its checksum fits.
pub(crate) const SEQUENCE_MAX: u64 = 1 << 62;
/// No record is larger: a length beyond it is damage.
pub(crate) const RECORD_MAX: usize = 1 << 30;

/// What the queue knows of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// How many events it holds.
    pub events: u32,
    /// The least time of its events, in nanoseconds UTC.
    pub time_min: i64,
    /// The greatest time of its events.
    pub time_max: i64,
    /// The outputs that any of its events is for, as bits.
    pub outputs: u64,
    /// What the body is; the queue does not care.
    pub codec: u8,
    /// Where in their origins the events stood.
    pub positions: Vec<Positions>,
}

/// A range of positions of one origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    /// The origin's id.
    pub origin: [u8; 16],
    /// Its generation.
    pub generation: u32,
    /// The first position.
    pub from: u64,
    /// Where reading goes on.
    pub to: u64,
    /// A hash of what stands before `to` in the origin, for whoever reads on there; 0: none.
    pub mark: u64,
}

/// A record found in bytes.
pub(crate) struct Found<'a> {
    pub(crate) sequence: u64,
    pub(crate) header: Header,
    pub(crate) body: &'a [u8],
    /// Bytes of its file that were synced when it was written.
    pub(crate) durable: u64,
    /// Its bytes altogether.
    pub(crate) len: usize,
}

/// Writes all but the body, which follows it.
pub(crate) fn encode_head(sequence: u64, durable: u64, header: &Header, body: &[u8], out: &mut Vec<u8>) {
    let length = FIXED + header.positions.len() * POSITION + body.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[VERSION, header.codec, 0, 0]);
    out.extend_from_slice(&header.events.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&header.time_min.to_le_bytes());
    out.extend_from_slice(&header.time_max.to_le_bytes());
    out.extend_from_slice(&header.outputs.to_le_bytes());
    out.extend_from_slice(&durable.to_le_bytes());
    out.extend_from_slice(&(header.positions.len() as u32).to_le_bytes());
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    for position in &header.positions {
        out.extend_from_slice(&position.origin);
        out.extend_from_slice(&position.generation.to_le_bytes());
        out.extend_from_slice(&position.from.to_le_bytes());
        out.extend_from_slice(&position.to.to_le_bytes());
        out.extend_from_slice(&position.mark.to_le_bytes());
    }
    let sum = crc32c_append(crc32c(&out[FRAME..]), body);
    out[8..12].copy_from_slice(&sum.to_le_bytes());
}

/// The record at the beginning of `bytes`, if there is a whole and undamaged one.
pub(crate) fn decode(bytes: &[u8]) -> Option<Found<'_>> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let length = u32_at(rest, 0)? as usize;
    let sum = u32_at(rest, 4)?;
    if !(FIXED..=RECORD_MAX).contains(&length) {
        return None;
    }
    let content = bytes.get(FRAME..FRAME + length)?;
    if crc32c(content) != sum || content[0] != VERSION {
        return None;
    }
    let sequence = u64_at(content, 8)?;
    if sequence > SEQUENCE_MAX {
        return None;
    }
    let positions = u32_at(content, 48)? as usize;
    let body = u32_at(content, 52)? as usize;
    if FIXED + positions.checked_mul(POSITION)?.checked_add(body)? != length {
        return None;
    }
    let (heads, body) = content[FIXED..].split_at(positions * POSITION);
    let header = Header {
        events: u32_at(content, 4)?,
        time_min: u64_at(content, 16)? as i64,
        time_max: u64_at(content, 24)? as i64,
        outputs: u64_at(content, 32)?,
        codec: content[1],
        positions: heads.chunks_exact(POSITION).filter_map(position).collect(),
    };
    Some(Found { sequence, header, body, durable: u64_at(content, 40)?, len: FRAME + length })
}

/// What the head alone says, before the checksum is known to fit.
#[derive(Clone, Copy)]
pub(crate) struct Peeked {
    pub(crate) sequence: u64,
    pub(crate) events: u32,
    /// Its bytes altogether.
    pub(crate) len: usize,
}

impl Peeked {
    pub(crate) fn end(&self) -> u64 {
        self.sequence.saturating_add(u64::from(self.events))
    }
}

/// Looks at the head of a record.
pub(crate) fn peek(bytes: &[u8]) -> Option<Peeked> {
    let length = u32_at(bytes.strip_prefix(&MAGIC)?, 0)? as usize;
    let content = bytes.get(FRAME..)?;
    let (events, sequence) = (u32_at(content, 4)?, u64_at(content, 8)?);
    (FIXED..=RECORD_MAX).contains(&length).then_some(Peeked { sequence, events, len: FRAME + length })
}

fn position(raw: &[u8]) -> Option<Positions> {
    Some(Positions {
        origin: raw[..16].try_into().ok()?,
        generation: u32_at(raw, 16)?,
        from: u64_at(raw, 20)?,
        to: u64_at(raw, 28)?,
        mark: u64_at(raw, 36)?,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> impl Strategy<Value = Header> {
        let position = (any::<[u8; 16]>(), any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(
            |(origin, generation, from, to, mark)| Positions { origin, generation, from, to, mark },
        );
        let head = (any::<u32>(), any::<i64>(), any::<i64>(), any::<u64>(), any::<u8>());
        (head, prop::collection::vec(position, 0..4)).prop_map(
            |((events, time_min, time_max, outputs, codec), positions)| Header {
                events,
                time_min,
                time_max,
                outputs,
                codec,
                positions,
            },
        )
    }

    proptest! {
        #[test]
        fn there_and_back(header in header(), sequence in 0..=SEQUENCE_MAX, body: Vec<u8>) {
            let mut bytes = Vec::new();
            encode_head(sequence, 7, &header, &body, &mut bytes);
            bytes.extend_from_slice(&body);
            let found = decode(&bytes).unwrap();
            prop_assert_eq!((found.len, found.durable), (bytes.len(), 7));
            let peeked = peek(&bytes).unwrap();
            prop_assert_eq!((peeked.len, peeked.sequence, peeked.events), (bytes.len(), sequence, header.events));
            prop_assert_eq!((found.sequence, found.header, found.body), (sequence, header, &body[..]));
        }

        #[test]
        fn damage_is_seen(header in header(), body: Vec<u8>, at in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let mut bytes = Vec::new();
            encode_head(1, 0, &header, &body, &mut bytes);
            bytes.extend_from_slice(&body);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(decode(&bytes).is_none());
        }

        #[test]
        fn sequences_have_an_end(header in header(), sequence in SEQUENCE_MAX + 1..=u64::MAX) {
            let mut bytes = Vec::new();
            encode_head(sequence, 0, &header, &[], &mut bytes);
            prop_assert!(decode(&bytes).is_none());
        }

        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            prop_assert!(decode(&bytes).is_none());
        }
    }
}
