//! The durable log of records between two parts of a plan.
//!
//! Append-only segment files; group commit; several readers, each with its own saved cursor;
//! limits at which whoever appends waits. Sequences count events, not records, so that they
//! can be Kafka offsets later. The queue never decodes a batch: what it must know of one
//! stands in the record's [`Header`].
//!
//! A reader gets a record after it was confirmed, never before: otherwise a power cut could
//! give its sequence to another record, which an output would then take for the old one. The
//! price is that an event waits for its group's sync.
//!
//! Rejected: a database of keys and values, which rewrites what a log only drops.

mod confirm;
mod cursors;
mod inspect;
mod log;
mod reader;
mod record;
mod recover;
mod segment;
mod state;

pub use inspect::{Dumped, Inspect, InspectSegment, dump, dump_from, inspect, repair};
pub use log::Queue;
pub use reader::{Acker, Reader, Start};
pub use record::{Header, Positions};
pub use segment::Recovery;
pub use state::{ReaderStats, Stats};

use disk::DiskError;
use std::sync::Arc;
use std::time::Duration;

/// How a queue behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// A segment file is closed when it is larger.
    pub segment_bytes_max: u64,
    /// Bytes on disk at most; whoever appends more waits.
    pub bytes_max: u64,
    /// Events at most; 0: no limit.
    pub events_max: u64,
    /// When an append is confirmed.
    pub durability: Durability,
    /// How long a sync waits for others to share it.
    pub group_time: Duration,
    /// A sync waits no longer once this many bytes share it.
    pub group_bytes: usize,
    /// Keep records by age and size instead of until they are acknowledged.
    pub retention: Option<Retention>,
    /// How many bytes of the newest small records are kept in memory for readers that keep up;
    /// large ones they get from the system's cache.
    pub tail_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes_max: 64 << 20,
            bytes_max: 4 << 30,
            events_max: 0,
            durability: Durability::Fsync,
            group_time: Duration::from_millis(10),
            group_bytes: 1 << 20,
            retention: None,
            tail_bytes: 8 << 20,
        }
    }
}

/// When an append is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After the disk has it.
    Fsync,
    /// After the operating system has it.
    Os,
    /// At once.
    Memory,
}

/// How long a topic keeps its history.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Segments whose newest record was appended longer ago go. `Duration::MAX`: never for their age.
    pub age: Duration,
    /// The oldest segments go while all are larger.
    pub bytes: u64,
}

/// What a reader gets.
#[derive(Debug, Clone)]
pub struct Record {
    /// The sequence of its first event.
    pub sequence: u64,
    /// What the queue knows of it.
    pub header: Header,
    /// What was appended.
    pub body: Arc<[u8]>,
}

impl Record {
    /// The sequence behind its last event.
    pub fn end(&self) -> u64 {
        self.sequence + u64::from(self.header.events)
    }
}

/// Is told, once, how an append ended.
pub type Confirm = Box<dyn FnOnce(Result<(), QueueError>) + Send>;

/// Why the queue did not do what was asked.
#[derive(Debug, thiserror::Error, Clone)]
pub enum QueueError {
    /// The disk refused.
    #[error("the queue: {0}")]
    Disk(Arc<DiskError>),
    /// The queue is full, and is not to wait for room any more.
    #[error("the queue is full")]
    NoRoom,
    /// The queue was stopped.
    #[error("the queue was stopped")]
    Stopped,
    /// A file of a newer program.
    #[error("{file} was written by a newer logpond (format {version}); run that one, or move the file away")]
    Newer {
        /// The file.
        file: String,
        /// Its format version.
        version: u16,
    },
}

impl QueueError {
    /// Whether there is no room on the disk.
    pub fn is_full(&self) -> bool {
        matches!(self, QueueError::Disk(error) if error.is_full())
    }
}

impl From<DiskError> for QueueError {
    fn from(error: DiskError) -> Self {
        QueueError::Disk(Arc::new(error))
    }
}
