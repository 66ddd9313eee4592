use std::convert::Infallible;

use super::reader::Record;
use super::{HEADER_BYTES, at, bits, varint};
use crate::kafka::compression::{Compression, Compressor};

/// Who wrote a batch and where it stands among the batches of this producer in its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Producer {
    /// The id that a broker gave.
    pub id: i64,
    /// Higher each time that the sequences begin again.
    pub epoch: i16,
    /// The sequence number of the batch's first record.
    pub base_sequence: i32,
}

/// What a batch says about itself besides its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// For brokers to recognise repetitions; none: the batch is not idempotent.
    pub producer: Option<Producer>,
    /// Whether it is part of a transaction.
    pub transactional: bool,
    /// Whether its records are markers of a transaction, which only brokers write.
    pub control: bool,
}

/// Gaps for two lengths, the attributes, two deltas and the length of the key.
const HEAD_BYTES_MAX: usize = 3 * varint::LENGTH_BYTES_MAX + 1 + 2 * varint::BYTES_MAX;

/// Grows a batch of format 2 in place.
///
/// Nothing is allocated for a record but what the buffer needs to grow, so nothing at all once
/// buffers come back from [`finish`](Self::finish)ed batches.
#[derive(Debug)]
pub struct BatchWriter {
    bytes: Vec<u8>,
    records: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    /// Where the last record begins, and the largest timestamp before it.
    last: usize,
    max_before_last: i64,
    /// Bytes of the length of the record and of its value, in the record before: a good guess.
    widths: (usize, usize),
}

impl Default for BatchWriter {
    fn default() -> Self {
        Self::reusing(Vec::new())
    }
}

impl BatchWriter {
    /// Begins an empty batch in the memory of `buffer`; what it holds is thrown away.
    pub fn reusing(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(HEADER_BYTES, 0);
        Self {
            bytes: buffer,
            records: 0,
            base_timestamp: 0,
            max_timestamp: 0,
            last: HEADER_BYTES,
            max_before_last: 0,
            widths: (1, 1),
        }
    }

    /// Bytes of the batch as it stands, uncompressed.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Makes room for the next record, so that a batch that grows to about `bytes` takes not much
    /// more: a buffer that only doubled would have twice that as soon as it is passed.
    pub fn make_room(&mut self, bytes: usize) {
        let (len, capacity) = (self.bytes.len(), self.bytes.capacity());
        if capacity < bytes && len > capacity / 4 * 3 {
            self.bytes.reserve_exact((2 * capacity).min(bytes + bytes / 16) - len);
        }
    }

    /// Number of records.
    pub fn records(&self) -> i32 {
        self.records
    }

    /// Whether there is no record yet.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The memory that the batch holds.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Where its memory is, for tests that look whether it is used again.
    #[cfg(test)]
    pub(in crate::kafka) fn address(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    /// Appends a record whose value consists of the `parts`, one after another; none is Kafka's
    /// null, a deletion in a compacted topic. `timestamp` is in milliseconds since 1970.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[&[u8]]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        let headers = headers.iter().copied();
        let Some(parts) = value else {
            self.put(timestamp, key, None::<fn(&mut Vec<u8>) -> Result<(), Infallible>>, headers).never();
            return;
        };
        let write = |out: &mut Vec<u8>| {
            for part in parts {
                out.extend_from_slice(part);
            }
            Ok(())
        };
        self.put(timestamp, key, Some(write), headers).never();
    }

    /// Appends a record whose value `write` puts, in place, at the end of the batch's buffer. It
    /// must not touch what stands there already. After an error the batch is as it was.
    ///
    /// The lengths that stand in front of the value take as many bytes as in the record before,
    /// until it turns out otherwise and the value is moved: writing the value elsewhere first and
    /// copying it would move each of them.
    pub fn append_with<E>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.put(timestamp, key, Some(write), headers.iter().copied())
    }

    fn put<'h, E>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<impl FnOnce(&mut Vec<u8>) -> Result<(), E>>,
        headers: impl ExactSizeIterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) -> Result<(), E> {
        let base_timestamp = if self.records == 0 { timestamp } else { self.base_timestamp };
        let (length_guess, value_guess) = self.widths;
        let out = &mut self.bytes;
        let start = out.len();
        // What stands in front of the key or the value is put together aside: one growth of the
        // buffer in place of one for each byte.
        let mut head = [0; HEAD_BYTES_MAX];
        let mut filled = length_guess + 1;
        filled += varint::put_at(&mut head[filled..], timestamp.wrapping_sub(base_timestamp));
        filled += varint::put_at(&mut head[filled..], i64::from(self.records));
        filled += varint::put_at(&mut head[filled..], key.map_or(-1, |key| key.len() as i64));
        if let Some(key) = key {
            out.extend_from_slice(&head[..filled]);
            out.extend_from_slice(key);
            filled = 0;
            head = [0; HEAD_BYTES_MAX];
        }
        let body = start + length_guess;
        let mut value_width = value_guess;
        if let Some(write) = value {
            out.extend_from_slice(&head[..filled + value_guess]);
            let written_at = out.len();
            if let Err(error) = write(out) {
                out.truncate(start);
                return Err(error);
            }
            let bytes = out.len().checked_sub(written_at).expect("a value is only appended") as i64;
            value_width = varint::size(bytes);
            shift(out, written_at, value_guess, value_width);
            varint::put_at(&mut out[written_at - value_guess..], bytes);
        } else {
            out.extend_from_slice(&head[..filled]);
            varint::put(out, -1);
        }
        varint::put(out, headers.len() as i64);
        for (name, value) in headers {
            put_bytes(out, Some(name.as_bytes()));
            put_bytes(out, value);
        }
        let bytes = (out.len() - body) as i64;
        let length_width = varint::size(bytes);
        shift(out, body, length_guess, length_width);
        varint::put_at(&mut out[start..], bytes);

        self.widths = (length_width, value_width);
        self.base_timestamp = base_timestamp;
        self.max_before_last = self.max_timestamp;
        self.max_timestamp = if self.records == 0 { timestamp } else { self.max_timestamp.max(timestamp) };
        self.records += 1;
        self.last = start;
        Ok(())
    }

    /// Appends a record that was read.
    pub fn append_record(&mut self, record: &Record<'_>) {
        let write = record.value.map(|value| {
            move |out: &mut Vec<u8>| -> Result<(), Infallible> {
                out.extend_from_slice(value);
                Ok(())
            }
        });
        // Headers are few; they are collected for their number.
        let headers: Vec<_> = record.headers().collect();
        self.put(record.timestamp, record.key, write, headers.into_iter()).never();
    }

    /// Takes the last record, which was just appended, out and puts it into `other`.
    pub fn move_last(&mut self, other: &mut BatchWriter) {
        if self.records == 0 {
            return;
        }
        let read = Record::read(&mut &self.bytes[self.last..], 0, self.base_timestamp, None);
        other.append_record(&read.expect("what was written here is a record"));
        self.drop_last();
    }

    /// Takes the last record, which was just appended, out.
    pub fn drop_last(&mut self) {
        if self.records > 0 {
            self.bytes.truncate(self.last);
            self.max_timestamp = self.max_before_last;
            self.records -= 1;
        }
    }

    /// Ends the batch, which must not be empty: compresses the records, through `scratch`, and fills in
    /// the header. What was compressed takes no more memory than it needs, and the buffer it was
    /// written into comes back for another batch. Where the compressor fails, which is for want of
    /// memory, the records stay as they are.
    pub fn finish(
        self,
        stamp: Stamp,
        compressor: &mut Compressor,
        scratch: &mut Vec<u8>,
    ) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut attributes = if stamp.transactional { bits::TRANSACTIONAL } else { 0 };
        attributes |= if stamp.control { bits::CONTROL } else { 0 };
        let (mut bytes, mut spare) = (self.bytes, None);
        let compression = compressor.compression();
        if compression != Compression::None {
            scratch.clear();
            scratch.resize(HEADER_BYTES, 0);
            if compressor.compress(&bytes[HEADER_BYTES..], scratch).is_ok() {
                attributes |= i16::from(compression.code());
                spare = Some(std::mem::replace(&mut bytes, scratch.to_vec()));
            }
        }
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(at::LEADER_EPOCH, &(-1i32).to_be_bytes());
        put(at::MAGIC, &[2]);
        put(at::ATTRIBUTES, &attributes.to_be_bytes());
        put(at::LAST_OFFSET_DELTA, &(self.records - 1).to_be_bytes());
        put(at::BASE_TIMESTAMP, &self.base_timestamp.to_be_bytes());
        put(at::MAX_TIMESTAMP, &self.max_timestamp.to_be_bytes());
        put(at::COUNT, &self.records.to_be_bytes());
        let length = (bytes.len() - at::LEADER_EPOCH) as u32;
        bytes[at::LENGTH..at::LENGTH + 4].copy_from_slice(&length.to_be_bytes());
        restamp(&mut bytes, stamp.producer);
        (bytes, spare)
    }
}

/// Changes who wrote a finished batch, and its checksum with it.
pub fn restamp(batch: &mut [u8], producer: Option<Producer>) {
    let producer = producer.unwrap_or(Producer { id: -1, epoch: -1, base_sequence: -1 });
    batch[at::PRODUCER_ID..at::PRODUCER_EPOCH].copy_from_slice(&producer.id.to_be_bytes());
    batch[at::PRODUCER_EPOCH..at::BASE_SEQUENCE].copy_from_slice(&producer.epoch.to_be_bytes());
    batch[at::BASE_SEQUENCE..at::COUNT].copy_from_slice(&producer.base_sequence.to_be_bytes());
    let crc = crc32c::crc32c(&batch[at::ATTRIBUTES..]);
    batch[at::CRC..at::ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else { return varint::put(out, -1) };
    varint::put(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

/// Makes the gap of `old` bytes before `from` one of `new` bytes.
fn shift(out: &mut Vec<u8>, from: usize, old: usize, new: usize) {
    if old == new {
        return;
    }
    let end = out.len();
    let to = from + new - old;
    if new > old {
        out.resize(end + new - old, 0);
    }
    out.copy_within(from..end, to);
    out.truncate(end + new - old);
}

/// What cannot fail needs no `unwrap`.
trait Never {
    fn never(self);
}

impl Never for Result<(), Infallible> {
    fn never(self) {
        let Ok(()) = self;
    }
}
