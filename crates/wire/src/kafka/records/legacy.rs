//! The message formats 0 (Kafka 0.8) and 1 (Kafka 0.10, KIP-32), which old segments and old
//! brokers still have. They are only read.
//!
//! | offset | bytes | field                                               |
//! | ------ | ----- | --------------------------------------------------- |
//! | 0      | 8     | offset                                              |
//! | 8      | 4     | length of what follows                              |
//! | 12     | 4     | CRC-32 of all that follows                          |
//! | 16     | 1     | magic: 0 or 1                                       |
//! | 17     | 1     | attributes: compression (3 bits), log append time   |
//! | 18     | 8     | timestamp in ms, only in format 1                   |
//! |        |       | key and value, each behind a length of 4 bytes or -1 |
//!
//! A compressed message holds a set of messages in its value. In format 0 they have their own
//! offsets, in format 1 numbers from 0, and the outer message has the offset of the last (KIP-31).

use super::at;
use super::bits;
use super::reader::{Batch, Damage, Layout, Limits, Reason, Record, Records, i32_at, i64_at};
use crate::kafka::compression::{Compression, decompress};

/// The least length of a message: checksum, magic, attributes and two lengths.
pub(super) const MESSAGE_BYTES_MIN: usize = 14;

const ATTRIBUTES: usize = 17;

/// How the messages in a section are to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inner {
    /// What is added to their offsets.
    offset: i64,
    /// The time that the broker gave to all of them.
    append_time: Option<i64>,
    check_crc: bool,
}

struct Message<'b> {
    offset: i64,
    attributes: i16,
    timestamp: i64,
    format: i8,
    key: Option<&'b [u8]>,
    value: Option<&'b [u8]>,
}

/// Reads the one message that `bytes` is, compressed or not.
pub(super) fn read<'b>(
    bytes: &'b [u8],
    limits: Limits,
    scratch: &'b mut Vec<u8>,
) -> Result<Batch<'b>, Damage> {
    let offset = i64_at(bytes, 0).unwrap_or(-1);
    let damage = |reason| Damage { offsets: offset..=offset, reason };
    let outer = take(&mut &bytes[..], limits.check_crc).map_err(damage)?;
    let append_time = (outer.attributes & bits::LOG_APPEND_TIME != 0).then_some(outer.timestamp);
    let code = (outer.attributes & bits::COMPRESSION) as u8;
    let compression = Compression::of(code).ok_or_else(|| damage(Reason::UnknownCompression(code)))?;

    let mut inner = Inner { offset: 0, append_time, check_crc: false };
    let mut rest = bytes;
    let mut first = offset;
    if compression != Compression::None {
        unpack(&outer, compression, limits, scratch).map_err(damage)?;
        let (begin, end) = ends(scratch).ok_or_else(|| damage(Reason::Record))?;
        // Producers of before 0.10 that wrote format 1 with absolute numbers are unknown.
        inner.offset = if outer.format == 1 { offset.saturating_sub(end) } else { 0 };
        inner.check_crc = limits.check_crc;
        first = inner.offset.saturating_add(begin);
        rest = scratch;
    }
    Ok(Batch {
        base_offset: first,
        last_offset: offset,
        leader_epoch: -1,
        max_timestamp: outer.timestamp,
        format: outer.format,
        compression,
        producer: None,
        transactional: false,
        control: false,
        records: Records { rest, layout: Layout::Messages(inner), offsets: (first, offset) },
    })
}

/// The next message of a section.
pub(super) fn next<'b>(rest: &mut &'b [u8], inner: &Inner) -> Result<Record<'b>, Reason> {
    let message = take(rest, inner.check_crc)?;
    if message.attributes & bits::COMPRESSION != 0 {
        return Err(Reason::Record);
    }
    let timestamp = inner.append_time.unwrap_or(message.timestamp);
    let offset = message.offset.saturating_add(inner.offset);
    Ok(Record::plain(offset, timestamp, message.key, message.value))
}

fn take<'b>(rest: &mut &'b [u8], check_crc: bool) -> Result<Message<'b>, Reason> {
    let offset = i64_at(rest, 0).ok_or(Reason::Record)?;
    let length = i32_at(rest, at::LENGTH).ok_or(Reason::Record)?;
    let end = usize::try_from(length).ok().filter(|length| *length >= MESSAGE_BYTES_MIN);
    let end = end.ok_or(Reason::Length(length))? + at::LEADER_EPOCH;
    let (message, after) = rest.split_at_checked(end).ok_or(Reason::Record)?;
    *rest = after;
    if check_crc {
        let stored = i32_at(message, at::LEADER_EPOCH).unwrap_or_default() as u32;
        let mut crc = flate2::Crc::new();
        crc.update(&message[at::MAGIC..]);
        if crc.sum() != stored {
            return Err(Reason::Checksum { stored, found: crc.sum() });
        }
    }
    let format = message[at::MAGIC] as i8;
    let (timestamp, mut body) = match format {
        0 => (-1, &message[ATTRIBUTES + 1..]),
        1 => {
            let timestamp = i64_at(message, ATTRIBUTES + 1).ok_or(Reason::Record)?;
            (timestamp, &message[ATTRIBUTES + 9..])
        }
        _ => return Err(Reason::Format(format)),
    };
    let key = take_bytes(&mut body).ok_or(Reason::Record)?;
    let value = take_bytes(&mut body).ok_or(Reason::Record)?;
    Ok(Message { offset, attributes: i16::from(message[ATTRIBUTES]), timestamp, format, key, value })
}

fn take_bytes<'b>(bytes: &mut &'b [u8]) -> Option<Option<&'b [u8]>> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = i32::from_be_bytes(*length);
    *bytes = rest;
    if length < 0 {
        return Some(None);
    }
    let (taken, rest) = rest.split_at_checked(length as usize)?;
    *bytes = rest;
    Some(Some(taken))
}

fn unpack(
    outer: &Message<'_>,
    compression: Compression,
    limits: Limits,
    out: &mut Vec<u8>,
) -> Result<(), Reason> {
    let packed = outer.value.ok_or(Reason::Record)?;
    out.clear();
    if compression == Compression::Lz4 && outer.format == 0 {
        let packed = with_right_checksum(packed).ok_or(Reason::Record)?;
        return Ok(decompress(compression, &packed, limits.batch_bytes_max, out)?);
    }
    Ok(decompress(compression, packed, limits.batch_bytes_max, out)?)
}

/// Clients of format 0 took the checksum of the LZ4 frame's header over too much, its magic
/// number included (KAFKA-3160). Ours would refuse that.
fn with_right_checksum(frame: &[u8]) -> Option<Vec<u8>> {
    let mut frame = frame.to_vec();
    let content_size = if frame.get(4)? & 0b1000 != 0 { 8 } else { 0 };
    let end = 6 + content_size;
    let hash = xxhash_rust::xxh32::xxh32(frame.get(4..end)?, 0);
    *frame.get_mut(end)? = (hash >> 8) as u8;
    Some(frame)
}

/// The first and the last offset that the messages of a section name.
fn ends(mut section: &[u8]) -> Option<(i64, i64)> {
    let first = i64_at(section, 0)?;
    let mut last = first;
    while !section.is_empty() {
        last = take(&mut section, false).ok()?.offset;
    }
    Some((first, last))
}
