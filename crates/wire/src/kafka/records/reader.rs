use std::ops::RangeInclusive;

use super::legacy::{self, Inner};
use super::writer::Producer;
use super::{HEADER_BYTES, at, bits, varint};
use crate::kafka::compression::{Compression, CompressionError, decompress};

/// What a reader puts up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the records of a batch, decompressed.
    pub batch_bytes_max: usize,
    /// Whether checksums are verified, as a consumer's `check.crcs` says.
    pub check_crc: bool,
}

impl Default for Limits {
    /// 128 MiB, checksums verified.
    fn default() -> Self {
        Self { batch_bytes_max: 128 << 20, check_crc: true }
    }
}

/// A piece of a record set that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("offsets {} to {}: {reason}", .offsets.start(), .offsets.end())]
pub struct Damage {
    /// The offsets that it would have held; what it says about itself may be wrong as well.
    pub offsets: RangeInclusive<i64>,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a piece of a record set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It changed on its way, or on the broker's disk.
    #[error("the checksum is {found:08x}, not {stored:08x}")]
    Checksum {
        /// As it is written there.
        stored: u32,
        /// As the bytes have it.
        found: u32,
    },
    /// A format from after this program.
    #[error("unknown format {0}")]
    Format(i8),
    /// A compression from after this program.
    #[error("unknown compression {0}")]
    UnknownCompression(u8),
    /// What is compressed cannot be read.
    #[error(transparent)]
    Compression(#[from] CompressionError),
    /// A length leads out of the batch, or a number does not end.
    #[error("a record does not fit into its batch")]
    Record,
    /// The batch's own length cannot be.
    #[error("a batch of {0} bytes cannot be")]
    Length(i32),
}

/// A record, as slices of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'b> {
    /// Its place in the partition.
    pub offset: i64,
    /// In milliseconds since 1970; -1 where the format has none.
    pub timestamp: i64,
    /// Decides about the partition; none is null.
    pub key: Option<&'b [u8]>,
    /// What was sent; none is null.
    pub value: Option<&'b [u8]>,
    headers: &'b [u8],
}

impl<'b> Record<'b> {
    pub(super) fn plain(offset: i64, timestamp: i64, key: Option<&'b [u8]>, value: Option<&'b [u8]>) -> Self {
        Self { offset, timestamp, key, value, headers: &[0] }
    }

    /// The bytes of all headers, for [`Headers::read`].
    pub fn headers_bytes(&self) -> &'b [u8] {
        self.headers
    }

    /// The headers, in their order; a name may come more than once.
    pub fn headers(&self) -> Headers<'b> {
        Headers::read(self.headers)
    }

    /// Takes a record of format 2 off the front of `bytes`, and looks into all of it.
    pub(super) fn read(
        bytes: &mut &'b [u8],
        base_offset: i64,
        base_timestamp: i64,
        append_time: Option<i64>,
    ) -> Option<Self> {
        let mut body = take_bytes(bytes)??;
        let (_attributes, rest) = body.split_first()?;
        body = rest;
        let timestamp = base_timestamp.wrapping_add(varint::take(&mut body)?);
        let offset = base_offset.wrapping_add(varint::take(&mut body)?);
        let key = take_bytes(&mut body)?;
        let value = take_bytes(&mut body)?;
        let headers = body;
        for _ in 0..varint::take(&mut body)? {
            std::str::from_utf8(take_bytes(&mut body)??).ok()?;
            take_bytes(&mut body)?;
        }
        let record = Self { offset, timestamp: append_time.unwrap_or(timestamp), key, value, headers };
        body.is_empty().then_some(record)
    }
}

/// The headers of a record: name and value.
#[derive(Debug, Clone)]
pub struct Headers<'b> {
    rest: &'b [u8],
    left: i64,
}

impl<'b> Headers<'b> {
    /// Reads what [`Record::headers_bytes`] gave.
    pub fn read(bytes: &'b [u8]) -> Self {
        let mut rest = bytes;
        let left = varint::take(&mut rest).unwrap_or(0);
        Self { rest, left }
    }
}

impl<'b> Iterator for Headers<'b> {
    type Item = (&'b str, Option<&'b [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let name = std::str::from_utf8(take_bytes(&mut self.rest)??).ok()?;
        Some((name, take_bytes(&mut self.rest)?))
    }
}

/// Takes a length and as many bytes; the inner none is null.
fn take_bytes<'b>(bytes: &mut &'b [u8]) -> Option<Option<&'b [u8]>> {
    let length = varint::take(bytes)?;
    if length < 0 {
        return Some(None);
    }
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(Some(taken))
}

/// A batch, or a message of the formats 0 and 1 with those compressed in it.
#[derive(Debug, Clone)]
pub struct Batch<'b> {
    /// The offset of its first record when it was written; compaction may have removed that.
    /// Messages of old formats have that of the first that is there.
    pub base_offset: i64,
    /// The last offset that it stands for. Reading goes on behind it, also when compaction has
    /// removed its last records.
    pub last_offset: i64,
    /// The epoch of the leader that wrote it, or -1.
    pub leader_epoch: i32,
    /// The largest timestamp, in milliseconds since 1970.
    pub max_timestamp: i64,
    /// 0, 1 or 2.
    pub format: i8,
    /// How it was compressed.
    pub compression: Compression,
    /// Who wrote it.
    pub producer: Option<Producer>,
    /// Whether it is part of a transaction, which may be aborted.
    pub transactional: bool,
    /// Whether its records are markers of transactions, not anybody's data.
    pub control: bool,
    pub(super) records: Records<'b>,
}

impl<'b> Batch<'b> {
    /// The records, in the order of their offsets.
    pub fn records(&self) -> Records<'b> {
        self.records.clone()
    }
}

/// The records of a batch. Ends after the first damage.
#[derive(Debug, Clone)]
pub struct Records<'b> {
    pub(super) rest: &'b [u8],
    pub(super) layout: Layout,
    /// The offsets to name when it turns out to be damaged.
    pub(super) offsets: (i64, i64),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Layout {
    Batch { left: i32, base_offset: i64, base_timestamp: i64, append_time: Option<i64> },
    Messages(Inner),
}

/// Where the reading of a batch stopped, without the bytes.
#[derive(Debug, Clone, Copy)]
pub struct Paused {
    left_bytes: usize,
    layout: Layout,
    offsets: (i64, i64),
}

impl<'b> Records<'b> {
    /// The bytes of the records that are still to come; keys, values and headers lie in them.
    pub fn bytes(&self) -> &'b [u8] {
        self.rest
    }

    /// Remembers where reading is, for [`Paused::resume`].
    pub fn pause(&self) -> Paused {
        Paused { left_bytes: self.rest.len(), layout: self.layout, offsets: self.offsets }
    }
}

impl Paused {
    /// Goes on in the same bytes, which may have moved and may lack what was read before.
    pub fn resume(self, bytes: &[u8]) -> Records<'_> {
        let rest = &bytes[bytes.len().saturating_sub(self.left_bytes)..];
        Records { rest, layout: self.layout, offsets: self.offsets }
    }
}

impl<'b> Iterator for Records<'b> {
    type Item = Result<Record<'b>, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = match &mut self.layout {
            Layout::Batch { left: 0, .. } if self.rest.is_empty() => return None,
            Layout::Batch { left, base_offset, base_timestamp, append_time } => {
                *left -= 1;
                let record = Record::read(&mut self.rest, *base_offset, *base_timestamp, *append_time);
                record.filter(|_| *left >= 0).ok_or(Reason::Record)
            }
            Layout::Messages(_) if self.rest.is_empty() => return None,
            Layout::Messages(inner) => legacy::next(&mut self.rest, inner),
        };
        if read.is_err() {
            self.rest = &[];
            self.layout = Layout::Batch { left: 0, base_offset: 0, base_timestamp: 0, append_time: None };
        }
        Some(read.map_err(|reason| Damage { offsets: self.offsets.0..=self.offsets.1, reason }))
    }
}

/// The batches of one partition in a fetch answer, one after another.
///
/// A broker cuts the set off at the size that was asked for, in the middle of a batch: the piece
/// at the end is not an error. It is one only when it is all there is, which brokers from 0.10.1
/// do not answer; see [`partial_bytes`](Self::partial_bytes).
#[derive(Debug, Clone)]
pub struct RecordSet<'s> {
    rest: &'s [u8],
    limits: Limits,
}

impl<'s> RecordSet<'s> {
    /// Reads `bytes`.
    pub fn new(bytes: &'s [u8], limits: Limits) -> Self {
        Self { rest: bytes, limits }
    }

    /// Once all batches are read: bytes of the one that was cut off.
    pub fn partial_bytes(&self) -> usize {
        self.rest.len()
    }

    /// The next batch; none at the end. What is compressed is decompressed into `scratch`, what
    /// is not stays where it is. After damage it goes on with the next batch, as far as the
    /// damaged one's length can be believed.
    pub fn next<'b>(&mut self, scratch: &'b mut Vec<u8>) -> Option<Result<Batch<'b>, Damage>>
    where
        's: 'b,
    {
        let length = i32_at(self.rest, at::LENGTH)?;
        let offset = i64_at(self.rest, 0)?;
        // The least is a message of format 0: checksum, magic, attributes, two lengths.
        let end = match usize::try_from(length) {
            Ok(length) if length >= legacy::MESSAGE_BYTES_MIN => length + at::LEADER_EPOCH,
            _ => {
                self.rest = &[];
                return Some(Err(Damage { offsets: offset..=offset, reason: Reason::Length(length) }));
            }
        };
        let (batch, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        let read = match batch[at::MAGIC] as i8 {
            0 | 1 => legacy::read(batch, self.limits, scratch),
            2 => read_batch(batch, self.limits, scratch),
            format => Err(Damage { offsets: offset..=offset, reason: Reason::Format(format) }),
        };
        Some(read)
    }
}

fn read_batch<'b>(bytes: &'b [u8], limits: Limits, scratch: &'b mut Vec<u8>) -> Result<Batch<'b>, Damage> {
    let base_offset = i64_at(bytes, 0).unwrap_or(-1);
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        let reason = Reason::Length(bytes.len() as i32 - at::LEADER_EPOCH as i32);
        return Err(Damage { offsets: base_offset..=base_offset, reason });
    };
    let last_delta = i32::from_be_bytes(field(header, at::LAST_OFFSET_DELTA));
    let last_offset = base_offset.saturating_add(i64::from(last_delta.max(0)));
    let damage = |reason| Damage { offsets: base_offset..=last_offset, reason };
    if limits.check_crc {
        let stored = u32::from_be_bytes(field(header, at::CRC));
        let found = crc32c::crc32c(&bytes[at::ATTRIBUTES..]);
        if stored != found {
            return Err(damage(Reason::Checksum { stored, found }));
        }
    }
    let attributes = i16::from_be_bytes(field(header, at::ATTRIBUTES));
    let max_timestamp = i64::from_be_bytes(field(header, at::MAX_TIMESTAMP));
    let (compression, rest) = plain(attributes, &bytes[HEADER_BYTES..], limits, scratch).map_err(damage)?;
    let id = i64::from_be_bytes(field(header, at::PRODUCER_ID));
    let layout = Layout::Batch {
        left: i32::from_be_bytes(field(header, at::COUNT)).max(0),
        base_offset,
        base_timestamp: i64::from_be_bytes(field(header, at::BASE_TIMESTAMP)),
        append_time: (attributes & bits::LOG_APPEND_TIME != 0).then_some(max_timestamp),
    };
    Ok(Batch {
        base_offset,
        last_offset,
        leader_epoch: i32::from_be_bytes(field(header, at::LEADER_EPOCH)),
        max_timestamp,
        format: 2,
        compression,
        producer: (id >= 0).then(|| Producer {
            id,
            epoch: i16::from_be_bytes(field(header, at::PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(field(header, at::BASE_SEQUENCE)),
        }),
        transactional: attributes & bits::TRANSACTIONAL != 0,
        control: attributes & bits::CONTROL != 0,
        records: Records { rest, layout, offsets: (base_offset, last_offset) },
    })
}

/// The bytes that `packed` stands for, with the compression that the attributes name.
fn plain<'b>(
    attributes: i16,
    packed: &'b [u8],
    limits: Limits,
    scratch: &'b mut Vec<u8>,
) -> Result<(Compression, &'b [u8]), Reason> {
    let code = (attributes & bits::COMPRESSION) as u8;
    let compression = Compression::of(code).ok_or(Reason::UnknownCompression(code))?;
    if compression == Compression::None {
        return Ok((compression, packed));
    }
    scratch.clear();
    decompress(compression, packed, limits.batch_bytes_max, scratch)?;
    Ok((compression, scratch))
}

pub(super) fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|byte| header[at + byte])
}

pub(super) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..)?.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

pub(super) fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..)?.first_chunk().map(|bytes| i64::from_be_bytes(*bytes))
}
