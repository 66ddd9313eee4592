//! Segment files: how they are named, and what one holds.
//!
//! A file is named by the sequence of its first event, in 20 digits, and begins with
//! `"LPQ1"  u16 version = 1  u16 0  i64 begun` (nanoseconds UTC, by which a topic's history
//! ages). Records follow without gaps. What is no record is copied into the folder
//! `damaged/`; what a power cut left of records that were never confirmed is cut.

use crate::QueueError;
use crate::record::{self, Found, MAGIC, Positions, SEQUENCE_MAX};
use disk::Disk;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const MAGIC_AND_VERSION: [u8; 8] = *b"LPQ1\x01\0\0\0";
pub(crate) const HEAD_LEN: usize = 16;
const VERSION: u16 = 1;
const ENDING: &str = "queue";
pub(crate) const DAMAGED: &str = "damaged";

/// What is known of a segment file without looking into it: nothing that grows with the
/// number of its records.
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    /// The sequence of its first event.
    pub(crate) first: u64,
    /// The sequence behind its last event.
    pub(crate) end: u64,
    pub(crate) len: u64,
    /// When it was begun, in nanoseconds UTC.
    pub(crate) begun: i64,
    pub(crate) positions: Ranges,
}

impl Segment {
    pub(crate) fn new(path: PathBuf, first: u64, begun: i64) -> Self {
        Self { path, first, end: first, len: HEAD_LEN as u64, begun, positions: Ranges::default() }
    }
}

/// Ranges of positions, those that touch as one.
#[derive(Default)]
pub(crate) struct Ranges(BTreeMap<Origin, Vec<Range>>);

/// An origin and its generation.
type Origin = ([u8; 16], u32);

struct Range {
    from: u64,
    to: u64,
    mark: u64,
}

impl Ranges {
    pub(crate) fn add(&mut self, positions: &[Positions]) {
        for position in positions {
            let ranges = self.0.entry((position.origin, position.generation)).or_default();
            let &Positions { from, to, mark, .. } = position;
            match ranges.last_mut() {
                Some(last) if last.to == from => (last.to, last.mark) = (to, mark),
                _ => ranges.push(Range { from, to, mark }),
            }
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Positions> {
        self.0.iter().flat_map(|(&(origin, generation), ranges)| {
            ranges.iter().map(move |&Range { from, to, mark }| Positions {
                origin,
                generation,
                from,
                to,
                mark,
            })
        })
    }
}

/// The beginning of a file.
pub(crate) fn head(begun: i64) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..8].copy_from_slice(&MAGIC_AND_VERSION);
    head[8..].copy_from_slice(&begun.to_le_bytes());
    head
}

/// When the file with these bytes was begun; long ago if they do not say.
pub(crate) fn begun(bytes: &[u8]) -> i64 {
    match bytes.first_chunk::<HEAD_LEN>() {
        Some(head) if head[..8] == MAGIC_AND_VERSION => {
            i64::from_le_bytes(std::array::from_fn(|n| head[8 + n]))
        }
        _ => 0,
    }
}

/// What was found when a queue was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records found.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes that were cut: what a power cut left of records that were never confirmed.
    pub bytes_torn: u64,
    /// Damaged stretches that were set aside in the folder `damaged/`: file and bytes.
    pub set_aside: Vec<(String, u64)>,
    /// Sequences that are missing, from and to (not included): damaged or removed. After a power
    /// cut they may be of records that were never confirmed, where a later one survived.
    pub missing: Vec<(u64, u64)>,
    /// Cursors could not be read; readers without one begin at the oldest event.
    pub cursors_damaged: bool,
}

impl Recovery {
    /// Whether nothing was damaged; a torn end is what a crash leaves.
    pub fn is_clean(&self) -> bool {
        self.set_aside.is_empty() && self.missing.is_empty() && !self.cursors_damaged
    }
}

pub(crate) fn file_name(sequence: u64) -> String {
    format!("{sequence:020}.{ENDING}")
}

/// The sequence that a file is named by.
pub(crate) fn named(path: &Path) -> u64 {
    let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
    number.filter(|number| *number <= SEQUENCE_MAX).unwrap_or(0)
}

/// The segment files of a folder, oldest first.
pub(crate) fn files(disk: &dyn Disk, folder: &Path) -> Result<Vec<PathBuf>, QueueError> {
    let named = disk.list(folder)?.into_iter().filter(|entry| {
        entry
            .name
            .strip_suffix(ENDING)
            .and_then(|name| name.strip_suffix('.'))
            .is_some_and(|name| name.parse::<u64>().is_ok())
    });
    let mut names: Vec<String> = named.map(|entry| entry.name).collect();
    names.sort();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// A stretch of a file that is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// Finds all records of a file's bytes, in order, and what is none.
pub(crate) fn scan<'a>(
    bytes: &'a [u8],
    file: &Path,
    mut each: impl FnMut(usize, Found<'a>),
) -> Result<Vec<Bad>, QueueError> {
    let mut bad: Vec<Bad> = Vec::new();
    let mut at = 0;
    if bytes.starts_with(&MAGIC_AND_VERSION[..4]) && bytes.len() >= HEAD_LEN {
        let version = u16::from_le_bytes([bytes[4], bytes[5]]);
        // A flipped bit is not a newer format: that one has no records that we can read.
        if version > VERSION && record::decode(&bytes[HEAD_LEN..]).is_none() && version < 64 {
            return Err(QueueError::Newer { file: file.display().to_string(), version });
        }
        at = HEAD_LEN;
    }
    while at < bytes.len() {
        if let Some(found) = record::decode(&bytes[at..]) {
            let len = found.len;
            each(at, found);
            at += len;
            continue;
        }
        let next = next_record(bytes, at + 1);
        bad.push(Bad { from: at, to: next });
        at = next;
    }
    Ok(bad)
}

/// Where the next undamaged record begins, or the end.
pub(crate) fn next_record(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        let Some(found) = bytes[at..].windows(4).position(|window| window == MAGIC) else { break };
        at += found;
        if record::decode(&bytes[at..]).is_some() {
            return at;
        }
        at += 1;
    }
    bytes.len()
}
