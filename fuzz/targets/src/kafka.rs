//! Kafka's record sets and connections.

use bytes::Bytes;
use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::records::RecordBatchDecoder;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use wire::kafka::compression::{Compression, Compressor, decompress};
use wire::kafka::connection::{Connection, ConnectionError, Event, Options};
use wire::kafka::consumer::batches;
use wire::kafka::records::{Batch, BatchWriter, HEADER_BYTES, Limits, Record, RecordSet, Stamp};
use wire::kafka::sasl::{Credentials, ScramHash};

/// What a batch may become when it is decompressed.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// A set is read to its end, as the heads of its batches say and as `kafka-protocol` reads it, and
/// what was read is written so that reading it gives the same. The first byte says whether
/// checksums are made right before, so that there is more to read, and whether they are looked at.
pub fn records(data: &[u8]) {
    let Some((mode, set)) = data.split_first() else { return };
    let mut set = set.to_vec();
    if mode & 1 != 0 {
        seal(&mut set);
    }
    let limits = Limits { batch_bytes_max: BATCH_BYTES_MAX, check_crc: mode & 2 == 0 };
    let heads: BTreeMap<usize, batches::Head> =
        batches::heads(&set).map(|head| (head.bytes.start, head)).collect();
    let mut reader = RecordSet::new(&set, limits);
    let mut scratch = Vec::new();
    loop {
        let begin = set.len() - reader.partial_bytes();
        let Some(batch) = reader.next(&mut scratch) else { break };
        let end = set.len() - reader.partial_bytes();
        assert!(begin < end, "reading goes on");
        let Ok(batch) = batch else { continue };
        let rows = read(&batch);
        if batch.format != 2 {
            continue;
        }
        // They end with what cannot be, where reading goes on as far as it can.
        let Some(head) = heads.get(&begin) else { continue };
        assert_eq!(head.bytes, begin..end);
        assert_eq!((head.base_offset, head.last_offset), (batch.base_offset, batch.last_offset));
        assert_eq!((head.transactional, head.control), (batch.transactional, batch.control));
        assert_eq!(head.leader_epoch, batch.leader_epoch);
        if let Some(rows) = rows {
            compare(&set[begin..end], &batch, &rows);
            write(&rows);
        }
        assert!(scratch.len() <= BATCH_BYTES_MAX);
    }
}

/// Makes the checksums of the batches of format 2 right, as far as their lengths lead.
fn seal(set: &mut [u8]) {
    let mut at = 0;
    while let Some(length) = set.get(at + 8..at + 12).and_then(|bytes| bytes.first_chunk().copied()) {
        let Ok(length) = usize::try_from(i32::from_be_bytes(length)) else { return };
        let Some(batch) = set.get_mut(at..at + 12 + length) else { return };
        if batch.len() >= HEADER_BYTES && batch[16] == 2 {
            let sum = crc32c::crc32c(&batch[21..]);
            batch[17..21].copy_from_slice(&sum.to_be_bytes());
        }
        at += 12 + length;
    }
}

/// The records of a batch; none when one is damaged. Wherever reading stops, it can go on.
fn read<'b>(batch: &Batch<'b>) -> Option<Vec<Record<'b>>> {
    let mut records = batch.records();
    let all = records.bytes();
    let mut rows = Vec::new();
    loop {
        let resumed = records.pause().resume(all).next();
        let next = records.next();
        assert_eq!(resumed, next);
        match next {
            None => return Some(rows),
            Some(Err(_)) => {
                assert_eq!(records.next(), None, "it ends with the first damage");
                return None;
            }
            Some(Ok(record)) => rows.push(record),
        }
    }
}

/// Holds a batch of format 2 against the other decoder, whose sums must not overflow.
fn compare(bytes: &[u8], batch: &Batch<'_>, rows: &[Record<'_>]) {
    let near = |a: i64, b: i64| a.checked_sub(b).is_some_and(|gap| gap.unsigned_abs() < 1 << 20);
    let is_tame = batch.base_offset.unsigned_abs() < 1 << 60
        && batch.producer.is_none_or(|producer| (0..1 << 30).contains(&producer.base_sequence))
        && rows
            .iter()
            .all(|row| near(row.offset, batch.base_offset) && near(row.timestamp, rows[0].timestamp))
        && rows.iter().all(|row| row.timestamp.unsigned_abs() < 1 << 60);
    // Where the broker gave the time, the other decoder still tells the writer's.
    let is_append_time = bytes[22] & 8 != 0;
    if !is_tame || is_append_time {
        return;
    }
    let unpack = |packed: &mut Bytes, _| {
        let mut plain = Vec::new();
        decompress(batch.compression, packed, BATCH_BYTES_MAX, &mut plain)?;
        Ok(Bytes::from(plain))
    };
    let mut bytes = Bytes::copy_from_slice(bytes);
    let Ok(theirs) = RecordBatchDecoder::decode_with_custom_compression(&mut bytes, Some(unpack)) else {
        return;
    };
    assert_eq!(theirs.records.len(), rows.len());
    for (theirs, ours) in theirs.records.iter().zip(rows) {
        assert_eq!((theirs.offset, theirs.timestamp), (ours.offset, ours.timestamp));
        assert_eq!((theirs.key.as_deref(), theirs.value.as_deref()), (ours.key, ours.value));
        assert_eq!((theirs.transactional, theirs.control), (batch.transactional, batch.control));
    }
}

/// Writes records with every compression, and reads them again.
fn write(rows: &[Record<'_>]) {
    for compression in
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
    {
        let mut writer = BatchWriter::default();
        rows.iter().for_each(|row| writer.append_record(row));
        let mut compressor = Compressor::new(compression, None).expect("a compressor");
        let (bytes, _) = writer.finish(Stamp::default(), &mut compressor, &mut Vec::new());
        let mut scratch = Vec::new();
        let mut set = RecordSet::new(&bytes, Limits::default());
        let batch = set.next(&mut scratch).expect("a batch").expect("a good one");
        assert_eq!(batch.compression, compression);
        let again = read(&batch).expect("good records");
        assert_eq!(again.len(), rows.len());
        for (number, (again, row)) in again.iter().zip(rows).enumerate() {
            assert_eq!(again.offset, number as i64);
            assert_eq!((again.timestamp, again.key, again.value), (row.timestamp, row.key, row.value));
            assert!(again.headers().eq(row.headers()));
        }
    }
}

/// Answers larger than this are refused.
const FRAME_BYTES_MAX: usize = 1 << 16;

/// A connection hears the same whether answers come whole or byte by byte, and takes no more memory
/// than came. The first byte says how it logs in. Behind it are the bodies of answers, each with its
/// length before it in one byte, which get the heads that they should have; after a length of 255
/// follow bytes that come as they are.
///
/// Answers to requests are not decoded further: that is done by `kafka-protocol`, which believes
/// what they say of their sizes.
pub fn connection(data: &[u8]) {
    let whole = converse(data, usize::MAX);
    let bytewise = converse(data, 1);
    assert_eq!(whole, bytewise);
}

/// What a connection told, and why it ended.
fn converse(data: &[u8], piece_bytes: usize) -> (Vec<Event>, Option<ConnectionError>) {
    let now = Instant::now();
    let Some((mode, mut rest)) = data.split_first() else { return Default::default() };
    let options = Options { sasl: mode & 1 != 0, frame_bytes_max: FRAME_BYTES_MAX, ..Options::default() };
    let mut own = Conversation {
        connection: Connection::new(options, now),
        scram: mode & 2 != 0,
        now,
        told: Vec::new(),
    };
    let mut number = 0i32;
    while let Some((length, behind)) = rest.split_first() {
        let (frame, piece_bytes) = match *length {
            // One answer may be followed by another in the same piece, before we had our turn.
            u8::MAX => (std::mem::take(&mut rest).get(1..).unwrap_or_default().to_vec(), 1),
            length => {
                let (body, behind) = behind.split_at(behind.len().min(length.into()));
                rest = behind;
                let head = [(4 + body.len() as i32).to_be_bytes(), number.to_be_bytes()].concat();
                number += 1;
                ([head.as_slice(), body].concat(), piece_bytes)
            }
        };
        for piece in frame.chunks(piece_bytes.min(frame.len()).max(1)) {
            if let Err(error) = own.hear(piece) {
                return (own.told, Some(error));
            }
        }
    }
    (own.told, None)
}

struct Conversation {
    connection: Connection,
    scram: bool,
    now: Instant,
    told: Vec<Event>,
}

impl Conversation {
    fn hear(&mut self, piece: &[u8]) -> Result<(), ConnectionError> {
        let buffer = self.connection.buffer();
        assert!(buffer.len() <= 4 + FRAME_BYTES_MAX, "what is whole is taken");
        assert!(buffer.capacity() <= 8 * FRAME_BYTES_MAX, "memory comes with the bytes");
        buffer.extend_from_slice(piece);
        self.connection.process(self.now)?;
        // All comes in time, but a session may be over as soon as it began.
        self.connection.on_time(self.now + Duration::from_millis(1))?;
        while let Some(event) = self.connection.event() {
            match &event {
                Event::CredentialsWanted => {
                    let (user, password) = ("u".to_owned(), "p".to_owned());
                    let credentials = match self.scram {
                        false => Credentials::Plain { user, password },
                        true => Credentials::Scram {
                            hash: ScramHash::Sha256,
                            user,
                            password,
                            nonce: "nonce".to_owned(),
                        },
                    };
                    self.connection.authenticate(credentials, self.now)?;
                }
                Event::Ready | Event::Response(_) => {
                    self.connection.send(&MetadataRequest::default(), self.now)?;
                }
                Event::Written(_) => {}
            }
            self.told.push(event);
        }
        // All of it goes out.
        let pending = self.connection.pending().map(Bytes::len).sum();
        self.connection.written(pending);
        assert_eq!(self.connection.pending().count(), 0);
        Ok(())
    }
}
