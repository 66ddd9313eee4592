//! Small state: a snapshot and the changes since, such as the registry and the cursors.
//!
//! ```text
//! NAME.snapshot   "LPJ1"  u32 crc32c of the rest  u64 epoch  bytes …      written atomically
//! NAME.EPOCH.log  per change: u32 length  u32 crc32c of length and bytes  bytes …
//! ```
//! A torn tail is cut, a damaged record ends the reading of its log, and a damaged snapshot
//! is set aside as `NAME.snapshot.damaged`: it always opens, and says what it found.

use crate::{Disk, DiskError, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8; 4] = b"LPJ1";
const RECORD_MAX: usize = 64 << 20;

/// A snapshot and the changes since.
pub struct Journal {
    disk: Arc<dyn Disk>,
    name: String,
    epoch: u64,
    log: Option<Box<dyn File>>,
    len: u64,
}

/// What a journal held when it was opened.
#[derive(Debug, Default)]
pub struct Opened {
    /// The last snapshot.
    pub snapshot: Option<Vec<u8>>,
    /// The changes since, oldest first.
    pub records: Vec<Vec<u8>>,
    /// What was wrong.
    pub report: Report,
}

/// What was wrong with a journal when it was opened.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// The snapshot could not be read and was set aside.
    pub snapshot_damaged: bool,
    /// Bytes at the end of the log that were no record: torn by a crash, or damaged.
    pub bytes_cut: u64,
}

impl Report {
    /// Whether nothing was damaged; a torn tail is what a crash leaves.
    pub fn is_clean(&self) -> bool {
        !self.snapshot_damaged
    }
}

impl Journal {
    /// Opens the journal of that name (a path without an ending), new if it is not there.
    pub fn open(disk: Arc<dyn Disk>, name: &str) -> Result<(Self, Opened), DiskError> {
        let mut opened = Opened::default();
        let folder = Path::new(name).parent().unwrap_or(Path::new("")).to_owned();
        disk.create_dir_all(&folder)?;
        let mut journal = Self { disk, name: name.to_owned(), epoch: 0, log: None, len: 0 };
        let path = journal.path("snapshot");
        if journal.disk.exists(&path) {
            let bytes = journal.disk.read(&path)?;
            match read_snapshot(&bytes) {
                Some((epoch, snapshot)) => {
                    journal.epoch = epoch;
                    opened.snapshot = Some(snapshot.to_vec());
                }
                None => {
                    journal.disk.rename(&path, &journal.path("snapshot.damaged"))?;
                    opened.report.snapshot_damaged = true;
                }
            }
        }
        if opened.snapshot.is_none() {
            journal.epoch = journal.newest_log(&folder)?;
        }
        let log = journal.log_path(journal.epoch);
        if journal.disk.exists(&log) {
            let bytes = journal.disk.read(&log)?;
            let (records, used) = read_log(&bytes);
            opened.report.bytes_cut = (bytes.len() - used) as u64;
            opened.records = records;
            let file = journal.disk.open(&log)?;
            if used < bytes.len() {
                file.truncate(used as u64)?;
            }
            journal.len = used as u64;
            journal.log = Some(file);
        }
        Ok((journal, opened))
    }

    fn path(&self, ending: &str) -> PathBuf {
        PathBuf::from(format!("{}.{ending}", self.name))
    }

    fn log_path(&self, epoch: u64) -> PathBuf {
        self.path(&format!("{epoch:020}.log"))
    }

    fn newest_log(&self, folder: &Path) -> Result<u64, DiskError> {
        let name = Path::new(&self.name).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let epoch = |entry: &crate::DirEntry| {
            entry.name.strip_prefix(&name)?.strip_prefix('.')?.strip_suffix(".log")?.parse().ok()
        };
        Ok(self.disk.list(folder)?.iter().filter_map(epoch).max().unwrap_or(0))
    }

    /// Adds a change. It is durable after [`sync`](Self::sync).
    pub fn append(&mut self, record: &[u8]) -> Result<(), DiskError> {
        let log = match &self.log {
            Some(log) => log,
            None => {
                let path = self.log_path(self.epoch);
                let log = self.disk.create(&path)?;
                self.disk.sync_dir(path.parent().unwrap_or(Path::new("")))?;
                self.len = 0;
                self.log.insert(log)
            }
        };
        let mut framed = Vec::with_capacity(record.len() + 8);
        let length = (record.len() as u32).to_le_bytes();
        framed.extend_from_slice(&length);
        framed.extend_from_slice(&crc(&length, record).to_le_bytes());
        framed.extend_from_slice(record);
        if let Err(error) = log.write_at(self.len, &framed) {
            let _ = log.truncate(self.len);
            return Err(error);
        }
        self.len += framed.len() as u64;
        Ok(())
    }

    /// Returns when the changes are durable. After a failure the next change begins a new
    /// snapshot, which the caller should make with [`compact`](Self::compact).
    pub fn sync(&mut self) -> Result<(), DiskError> {
        match &self.log {
            Some(log) => log.sync(),
            None => Ok(()),
        }
    }

    /// Bytes of changes since the last snapshot.
    pub fn bytes_since_snapshot(&self) -> u64 {
        self.len
    }

    /// Puts a snapshot in place of everything so far, durably.
    pub fn compact(&mut self, snapshot: &[u8]) -> Result<(), DiskError> {
        let epoch = self.epoch + 1;
        let mut bytes = Vec::with_capacity(snapshot.len() + 16);
        bytes.extend_from_slice(MAGIC);
        let epoch_bytes = epoch.to_le_bytes();
        bytes.extend_from_slice(&crc(&epoch_bytes, snapshot).to_le_bytes());
        bytes.extend_from_slice(&epoch_bytes);
        bytes.extend_from_slice(snapshot);
        self.disk.write_atomic(&self.path("snapshot"), &bytes)?;
        let old = self.log_path(self.epoch);
        self.epoch = epoch;
        self.len = 0;
        self.log = None;
        if self.disk.exists(&old) {
            // The new snapshot does not look at it; it only takes room.
            let _ = self.disk.remove(&old);
        }
        Ok(())
    }
}

fn crc(head: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), body)
}

fn read_snapshot(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let (epoch, snapshot) = rest.split_first_chunk::<8>()?;
    (u32::from_le_bytes(*sum) == crc(epoch, snapshot)).then(|| (u64::from_le_bytes(*epoch), snapshot))
}

/// The records, and how many bytes they take.
fn read_log(bytes: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let mut records = Vec::new();
    let mut at = 0;
    while let Some((length, rest)) = bytes[at..].split_first_chunk::<4>() {
        let Some((sum, rest)) = rest.split_first_chunk::<4>() else { break };
        let size = u32::from_le_bytes(*length) as usize;
        if size > RECORD_MAX || size > rest.len() || u32::from_le_bytes(*sum) != crc(length, &rest[..size]) {
            break;
        }
        records.push(rest[..size].to_vec());
        at += 8 + size;
    }
    (records, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SimDisk;

    /// Applies the n-th change to the model: a list of numbers.
    fn state(opened: &Opened) -> Vec<u8> {
        let mut all = opened.snapshot.clone().unwrap_or_default();
        for record in &opened.records {
            all.extend_from_slice(record);
        }
        all
    }

    #[test]
    fn whenever_the_power_fails_what_was_synced_is_there() {
        for point in 0..60 {
            for seed in 0..20 {
                let disk = SimDisk::new();
                disk.power_fails_at(point);
                let mut synced = Vec::new();
                let mut written = Vec::new();
                let _ = (|| -> Result<(), DiskError> {
                    let (mut journal, _) = Journal::open(Arc::new(disk.clone()), "x/j")?;
                    for n in 0..40 {
                        written.push(n);
                        if n % 7 == 6 {
                            journal.compact(&written)?;
                        } else {
                            journal.append(&[n])?;
                            journal.sync()?;
                        }
                        synced = written.clone();
                    }
                    Ok(())
                })();
                let after = disk.crash(seed);
                let (_, opened) = Journal::open(Arc::new(after), "x/j").unwrap();
                let found = state(&opened);
                assert!(found.starts_with(&synced), "point {point} seed {seed}: {found:?} after {synced:?}");
                assert!(written.starts_with(&found), "point {point} seed {seed}");
                assert!(opened.report.is_clean());
            }
        }
    }

    #[test]
    fn damage_never_keeps_it_from_opening() {
        for seed in 0..500 {
            let mut random = fastrand::Rng::with_seed(seed);
            let disk = SimDisk::new();
            let (mut journal, _) = Journal::open(Arc::new(disk.clone()), "j").unwrap();
            for n in 0..random.u8(1..30) {
                journal.append(&[n; 9]).unwrap();
                if random.u8(..6) == 0 {
                    journal.compact(&[n; 5]).unwrap();
                }
            }
            disk.damage(|_, bytes| {
                match random.u8(..5) {
                    0 => bytes.clear(),
                    1 => bytes.fill(0),
                    2 if !bytes.is_empty() => {
                        let at = random.usize(..bytes.len());
                        bytes[at] ^= 1 << random.u8(..8);
                    }
                    3 => return false,
                    _ => {}
                }
                true
            });
            let (mut journal, _) = Journal::open(Arc::new(disk.clone()), "j").unwrap();
            journal.append(b"after").unwrap();
            journal.sync().unwrap();
            let (_, opened) = Journal::open(Arc::new(disk), "j").unwrap();
            assert_eq!(opened.records.last().map(Vec::as_slice), Some(&b"after"[..]));
        }
    }
}
