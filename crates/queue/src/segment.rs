//! Segment files: how they are named, and what is found in one after a crash.
//!
//! A file is named by the sequence of its first event, in 20 digits, and begins with
//! `"LPQ1"  u16 version = 1  10 bytes 0`. Records follow without gaps. What is no record is
//! copied into the folder `damaged/` and passed over; at the very end of the last file it is
//! what a crash leaves, and cut.

use crate::QueueError;
use crate::record::{self, Found, Header, MAGIC};
use disk::Disk;
use std::path::{Path, PathBuf};

pub(crate) const HEAD: [u8; 16] = [b'L', b'P', b'Q', b'1', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
pub(crate) const HEAD_LEN: u64 = HEAD.len() as u64;
const VERSION: u16 = 1;
pub(crate) const ENDING: &str = "queue";
pub(crate) const DAMAGED: &str = "damaged";

/// Where a record lies.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) offset: u64,
    pub(crate) len: usize,
    pub(crate) header: Header,
}

impl Entry {
    pub(crate) fn end(&self) -> u64 {
        self.sequence + u64::from(self.header.events)
    }
}

/// What was found when a queue was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records found.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes cut off the end: records that were never confirmed.
    pub bytes_torn: u64,
    /// Damaged stretches that were set aside: file and bytes.
    pub set_aside: Vec<(String, u64)>,
    /// Sequences that are missing, from and to (not included): damaged or removed.
    pub missing: Vec<(u64, u64)>,
    /// The cursors could not be read; readers begin at the oldest event.
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
    if bytes.starts_with(&HEAD[..4]) && bytes.len() >= HEAD.len() {
        let version = u16::from_le_bytes([bytes[4], bytes[5]]);
        // A flipped bit is not a newer format: that one has no records that we can read.
        if version > VERSION && record::decode(&bytes[HEAD.len()..]).is_none() && version < 64 {
            return Err(QueueError::Newer { file: file.display().to_string(), version });
        }
        at = HEAD.len();
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
fn next_record(bytes: &[u8], mut at: usize) -> usize {
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
