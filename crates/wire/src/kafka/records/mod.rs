//! Records as they lie in a partition: sets of batches, in produce requests and fetch answers.
//!
//! Our own code and not that of a library, because each event passes here: a record is written
//! once, in place, into the buffer that goes to the socket, and read as slices of the answer.
//!
//! A batch of format 2 (Kafka 0.11, KIP-98; "Record Batch" in the protocol's documentation),
//! big-endian:
//!
//! | offset | bytes | field                                                                     |
//! | ------ | ----- | ------------------------------------------------------------------------- |
//! | 0      | 8     | base offset; 0 from a producer                                            |
//! | 8      | 4     | length of what follows                                                    |
//! | 12     | 4     | partition leader epoch; -1 from a producer                                |
//! | 16     | 1     | magic: 2                                                                  |
//! | 17     | 4     | CRC-32C of all that follows                                               |
//! | 21     | 2     | attributes: compression (3 bits), log append time, transactional, control |
//! | 23     | 4     | last offset delta                                                         |
//! | 27     | 8     | base timestamp, in ms                                                     |
//! | 35     | 8     | largest timestamp, in ms                                                  |
//! | 43     | 8     | producer id, or -1                                                        |
//! | 51     | 2     | producer epoch, or -1                                                     |
//! | 53     | 4     | base sequence, or -1                                                      |
//! | 57     | 4     | number of records                                                         |
//! | 61     |       | the records, compressed as one                                            |
//!
//! A record: length, attributes (one byte, 0), timestamp delta, offset delta, key length or -1,
//! key, value length or -1, value, number of headers, and for each: name length, name, value
//! length or -1, value. All numbers are zigzag varints.

mod legacy;
mod reader;
mod varint;
mod writer;

pub use reader::{Batch, Damage, Headers, Limits, Paused, Reason, Record, RecordSet, Records};
pub use writer::{BatchWriter, Producer, Stamp, restamp};

/// Bytes in front of the records of a batch of format 2.
pub const HEADER_BYTES: usize = 61;

/// Where the fields of a batch begin.
mod at {
    pub(super) const LENGTH: usize = 8;
    pub(super) const LEADER_EPOCH: usize = 12;
    pub(super) const MAGIC: usize = 16;
    pub(super) const CRC: usize = 17;
    pub(super) const ATTRIBUTES: usize = 21;
    pub(super) const LAST_OFFSET_DELTA: usize = 23;
    pub(super) const BASE_TIMESTAMP: usize = 27;
    pub(super) const MAX_TIMESTAMP: usize = 35;
    pub(super) const PRODUCER_ID: usize = 43;
    pub(super) const PRODUCER_EPOCH: usize = 51;
    pub(super) const BASE_SEQUENCE: usize = 53;
    pub(super) const COUNT: usize = 57;
}

/// The bits of the attributes, the same in all formats as far as a format has them.
mod bits {
    pub(super) const COMPRESSION: i16 = 0b111;
    pub(super) const LOG_APPEND_TIME: i16 = 1 << 3;
    pub(super) const TRANSACTIONAL: i16 = 1 << 4;
    pub(super) const CONTROL: i16 = 1 << 5;
}

#[cfg(test)]
mod tests;
