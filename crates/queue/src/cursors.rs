//! The saved cursors of the readers, in a journal: per change a name and a sequence.

use crate::QueueError;
use disk::Disk;
use disk::journal::Journal;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A journal larger than this is replaced by a snapshot.
const JOURNAL_BYTES_MAX: u64 = 256 << 10;

pub(crate) struct Cursors {
    journal: Journal,
    saved: BTreeMap<String, u64>,
}

impl Cursors {
    /// Opens them; says whether some were lost.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: &Path) -> Result<(Self, bool), QueueError> {
        let name = folder.join("cursors");
        let (journal, opened) = Journal::open(disk, &name.to_string_lossy())?;
        let mut saved = BTreeMap::new();
        for part in opened.snapshot.iter().chain(&opened.records) {
            apply(part, &mut saved);
        }
        Ok((Self { journal, saved }, opened.report.snapshot_damaged))
    }

    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.saved.get(name).copied()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, u64)> {
        self.saved.iter().map(|(name, cursor)| (name, *cursor))
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

    pub(crate) fn forget(&mut self, name: &str) -> Result<(), QueueError> {
        self.saved.remove(name);
        self.snapshot()
    }

    fn write(&mut self, change: &[u8]) -> Result<(), QueueError> {
        if self.journal.bytes_since_snapshot() > JOURNAL_BYTES_MAX {
            return self.snapshot();
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

fn write(name: &str, cursor: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&(name.len() as u16).to_le_bytes());
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&cursor.to_le_bytes());
}

fn apply(mut bytes: &[u8], saved: &mut BTreeMap<String, u64>) {
    while let Some((len, rest)) = bytes.split_first_chunk::<2>() {
        let Some((name, rest)) = rest.split_at_checked(u16::from_le_bytes(*len) as usize) else { return };
        let Some((cursor, rest)) = rest.split_first_chunk::<8>() else { return };
        saved.insert(String::from_utf8_lossy(name).into_owned(), u64::from_le_bytes(*cursor));
        bytes = rest;
    }
}
