//! The saved cursors of the readers, in a journal: per change a name and a sequence.
//!
//! The empty name is the least sequence that may be given next, for a queue without segments.
//! The journal keeps room for itself: on a full disk, segments can only go once the cursors
//! behind them are saved.

use crate::QueueError;
use crate::record::SEQUENCE_MAX;
use disk::Disk;
use disk::journal::{Journal, Opened};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A journal larger than this is replaced by a snapshot.
const JOURNAL_BYTES_MAX: u64 = 128 << 10;
/// Room that is kept for the journal; twice as much, since a snapshot may have to wait for room.
const JOURNAL_ROOM: u64 = 2 * JOURNAL_BYTES_MAX;
pub(crate) const FLOOR: &str = "";

pub(crate) struct Cursors {
    journal: Journal,
    saved: BTreeMap<String, u64>,
}

impl Cursors {
    /// Opens them; says whether some may be lost.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: &Path) -> Result<(Self, bool), QueueError> {
        let (mut journal, opened) = Journal::open(disk, &path(folder))?;
        let (saved, lost) = read(&opened);
        if let Err(error) = journal.reserve(JOURNAL_ROOM) {
            tracing::warn!(%error, "no room could be kept for the cursors of the queue");
        }
        Ok((Self { journal, saved }, lost))
    }

    /// Reads them without changing anything.
    pub(crate) fn peek(disk: Arc<dyn Disk>, folder: &Path) -> Result<(Vec<(String, u64)>, bool), QueueError> {
        let (mut saved, lost) = read(&Journal::peek(disk, &path(folder))?);
        saved.remove(FLOOR);
        Ok((saved.into_iter().collect(), lost))
    }

    /// The least sequence that may be given next.
    pub(crate) fn floor(&self) -> u64 {
        self.saved.values().copied().max().unwrap_or(0)
    }

    /// Saves the least sequence that may be given next.
    pub(crate) fn save_floor(&mut self, next: u64) -> Result<(), QueueError> {
        self.save(&[(FLOOR.to_owned(), next)])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.saved.is_empty()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, u64)> {
        self.saved.iter().filter(|(name, _)| *name != FLOOR).map(|(name, cursor)| (name, *cursor))
    }

    /// Saves cursors, durably.
    pub(crate) fn save(&mut self, cursors: &[(String, u64)]) -> Result<(), QueueError> {
        let mut change = Vec::new();
        for (name, cursor) in cursors {
            write(name, *cursor, &mut change);
            self.saved.insert(name.clone(), *cursor);
        }
        self.write(&change)
    }

    /// Forgets a reader, but not how far the sequences had come.
    pub(crate) fn forget(&mut self, name: &str, next: u64) -> Result<(), QueueError> {
        self.saved.remove(name);
        self.saved.insert(FLOOR.to_owned(), next);
        self.snapshot()
    }

    fn write(&mut self, change: &[u8]) -> Result<(), QueueError> {
        // Without room for a snapshot, the room that is kept lasts for a while.
        if self.journal.bytes_since_snapshot() > JOURNAL_BYTES_MAX && self.snapshot().is_ok() {
            return Ok(());
        }
        let written = self.journal.append(change).and_then(|()| self.journal.sync());
        // A sync that failed is never tried again: a snapshot is a new file.
        written.or_else(|_| self.snapshot().map_err(|error| error.into_disk())).map_err(QueueError::Disk)
    }

    fn snapshot(&mut self) -> Result<(), QueueError> {
        let mut all = Vec::new();
        for (name, cursor) in &self.saved {
            write(name, *cursor, &mut all);
        }
        Ok(self.journal.compact(&all)?)
    }
}

impl QueueError {
    fn into_disk(self) -> Arc<disk::DiskError> {
        match self {
            QueueError::Disk(error) => error,
            other => unreachable!("a journal has only errors of the disk, not {other}"),
        }
    }
}

fn path(folder: &Path) -> String {
    folder.join("cursors").to_string_lossy().into_owned()
}

fn read(opened: &Opened) -> (BTreeMap<String, u64>, bool) {
    let mut saved = BTreeMap::new();
    for part in opened.snapshot.iter().chain(&opened.records) {
        apply(part, &mut saved);
    }
    (saved, !opened.report.is_clean())
}

fn write(name: &str, cursor: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&(name.len() as u16).to_le_bytes());
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&cursor.to_le_bytes());
}

fn apply(mut bytes: &[u8], saved: &mut BTreeMap<String, u64>) {
    while let Some((len, rest)) = bytes.split_first_chunk::<2>() {
        let Some((name, rest)) = rest.split_at_checked(u16::from_le_bytes(*len) as usize) else { return };
        let Some((cursor, rest)) = rest.split_first_chunk::<8>() else { return };
        let cursor = u64::from_le_bytes(*cursor);
        if cursor <= SEQUENCE_MAX {
            saved.insert(String::from_utf8_lossy(name).into_owned(), cursor);
        }
        bytes = rest;
    }
}
