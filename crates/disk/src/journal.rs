//! Small state: a snapshot and the changes since, such as the registry and the cursors.
//!
//! ```text
//! NAME.snapshot   "LPJ1"  u32 crc32c of the rest  u64 epoch  bytes …      written atomically
//! NAME.EPOCH.log  per change: u32 length  u32 crc32c of length and bytes  bytes …
//! ```
//! A torn tail is cut; what is damaged in the middle is passed over, and the log as it was is
//! set aside as `NAME.log.damaged`, a damaged snapshot as `NAME.snapshot.damaged`: it always
//! opens, and says what it found. Only a newer format is refused, and left as it is.
//!
//! Of the changes that were not synced, a power cut may leave any. A change must therefore
//! mean something without the one before it (a position, not a difference of two).

use crate::{DirEntry, Disk, DiskError, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8; 4] = b"LPJ1";
const MAGIC_LEN: usize = MAGIC.len();
const RECORD_MAX: usize = 64 << 20;

/// A snapshot and the changes since.
pub struct Journal {
    disk: Arc<dyn Disk>,
    name: String,
    epoch: u64,
    log: Option<Box<dyn File>>,
    len: u64,
    /// How much of the log is synced.
    synced: u64,
    /// Room that a log is given when it is begun.
    room: u64,
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
    /// Bytes in the middle of the log that were no record, though records stand behind them.
    pub bytes_damaged: u64,
}

impl Report {
    /// Whether nothing was damaged; a torn tail is what a crash leaves.
    pub fn is_clean(&self) -> bool {
        !self.snapshot_damaged && self.bytes_damaged == 0
    }
}

impl Journal {
    /// Opens the journal of that name (a path without an ending), new if it is not there.
    pub fn open(disk: Arc<dyn Disk>, name: &str) -> Result<(Self, Opened), DiskError> {
        let folder = Path::new(name).parent().unwrap_or(Path::new(""));
        disk.create_dir_all(folder)?;
        let (mut journal, opened, log) = Self::read(disk, name)?;
        if opened.report.snapshot_damaged {
            journal.disk.rename(&journal.path("snapshot"), &journal.path("snapshot.damaged"))?;
            journal.disk.sync_dir(folder)?;
        }
        let Some(log) = log else { return Ok((journal, opened)) };
        let path = journal.log_path(journal.epoch);
        journal.len = log.good.iter().map(|good| good.len() as u64).sum();
        // After a kill the system may still hold what the disk does not.
        let is_durable = journal.disk.open(&path).and_then(|file| file.sync()).is_ok();
        if opened.report.bytes_damaged > 0 || !is_durable {
            let kept: Vec<u8> = log.good.iter().flat_map(|good| &log.bytes[good.clone()]).copied().collect();
            let damaged = opened.report.bytes_damaged > 0;
            let aside = journal.path("log.damaged");
            let put = if damaged { journal.disk.write_atomic(&aside, &log.bytes) } else { Ok(()) };
            if put.and_then(|()| journal.disk.write_atomic(&path, &kept)).is_err() {
                // Short of room, the log goes on behind the damage, which the next start sees too.
                journal.len = log.good.last().map_or(0, |good| good.end as u64);
            }
        }
        let file = journal.disk.open(&path)?;
        if file.len()? > journal.len {
            // Should this fail, the next record is written over the torn one.
            let _ = file.truncate(journal.len);
        }
        journal.synced = journal.len;
        journal.log = Some(file);
        Ok((journal, opened))
    }

    /// Reads a journal without changing anything, also one that a running process writes.
    pub fn peek(disk: Arc<dyn Disk>, name: &str) -> Result<Opened, DiskError> {
        Self::read(disk, name).map(|(_, opened, _)| opened)
    }

    fn read(disk: Arc<dyn Disk>, name: &str) -> Result<(Self, Opened, Option<Log>), DiskError> {
        let mut opened = Opened::default();
        let mut journal =
            Self { disk, name: name.to_owned(), epoch: 0, log: None, len: 0, synced: 0, room: 0 };
        if let Some(bytes) = read_if_there(&*journal.disk, &journal.path("snapshot"))? {
            match read_snapshot(&bytes) {
                Some((epoch, snapshot)) => {
                    journal.epoch = epoch;
                    opened.snapshot = Some(snapshot.to_vec());
                }
                None if is_newer(&bytes) => {
                    let error = io::Error::other("a newer logpond wrote it; run that one");
                    return Err(DiskError::io("read", &journal.path("snapshot"), error));
                }
                None => opened.report.snapshot_damaged = true,
            }
        }
        if opened.snapshot.is_none() {
            journal.epoch = journal.newest_log()?;
        }
        let Some(bytes) = read_if_there(&*journal.disk, &journal.log_path(journal.epoch))? else {
            return Ok((journal, opened, None));
        };
        let good = good_parts(&bytes);
        let used = good.last().map_or(0, |good| good.end);
        opened.report.bytes_cut = (bytes.len() - used) as u64;
        opened.report.bytes_damaged = (used - good.iter().map(Range::len).sum::<usize>()) as u64;
        opened.records = good.iter().map(|good| bytes[good.start + 8..good.end].to_vec()).collect();
        Ok((journal, opened, Some(Log { bytes, good })))
    }

    /// Keeps room for this many bytes of changes, now and after each
    /// [`compact`](Self::compact), so that they can be saved on a full disk. Without the room
    /// for that, the journal goes on as it was.
    pub fn reserve(&mut self, bytes: u64) -> Result<(), DiskError> {
        self.room = bytes;
        if self.log.is_none() {
            self.log = Some(self.begin_log(self.epoch)?);
        }
        self.log.as_ref().map_or(Ok(()), |log| log.allocate(bytes))
    }

    fn begin_log(&self, epoch: u64) -> Result<Box<dyn File>, DiskError> {
        let path = self.log_path(epoch);
        let log = self.disk.create(&path)?;
        self.disk.sync_dir(path.parent().unwrap_or(Path::new("")))?;
        Ok(log)
    }

    fn path(&self, ending: &str) -> PathBuf {
        PathBuf::from(format!("{}.{ending}", self.name))
    }

    fn log_path(&self, epoch: u64) -> PathBuf {
        self.path(&format!("{epoch:020}.log"))
    }

    fn newest_log(&self) -> Result<u64, DiskError> {
        let path = Path::new(&self.name);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let epoch = |entry: &DirEntry| -> Option<(bool, u64)> {
            let epoch = entry.name.strip_prefix(&name)?.strip_prefix('.')?.strip_suffix(".log")?;
            Some((entry.len > 0, epoch.parse().ok()?))
        };
        let entries = self.disk.list(path.parent().unwrap_or(Path::new("")))?;
        // An empty one may have been begun for a snapshot that was never finished.
        Ok(entries.iter().filter_map(epoch).max().map_or(0, |(_, epoch)| epoch))
    }

    /// Adds a change. It is durable after [`sync`](Self::sync).
    pub fn append(&mut self, record: &[u8]) -> Result<(), DiskError> {
        if self.log.is_none() {
            self.log = Some(self.begin_log(self.epoch)?);
            (self.len, self.synced) = (0, 0);
        }
        let Some(log) = &self.log else { return Ok(()) };
        let mut framed = Vec::with_capacity(record.len() + 8);
        let length = (record.len() as u32).to_le_bytes();
        framed.extend_from_slice(&length);
        framed.extend_from_slice(&crc(&length, record).to_le_bytes());
        framed.extend_from_slice(record);
        if let Err(error) = log.write_at(self.len, &framed) {
            let _ = log.truncate(self.len);
            if self.room > 0 {
                let _ = log.allocate(self.room);
            }
            return Err(error);
        }
        self.len += framed.len() as u64;
        Ok(())
    }

    /// Returns when the changes are durable. After a failure, those since the last success
    /// are taken back, and what comes next is written over them. The caller appends them
    /// again, or, which depends on less of a failing disk, makes a snapshot.
    pub fn sync(&mut self) -> Result<(), DiskError> {
        let Some(log) = &self.log else { return Ok(()) };
        let synced = log.sync();
        if synced.is_ok() {
            self.synced = self.len;
        } else {
            self.len = self.synced;
            let _ = log.truncate(self.len);
            if self.room > 0 {
                let _ = log.allocate(self.room);
            }
        }
        synced
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
        // First the log, whose room is then certain. An old one of that name is from an
        // attempt that failed; it belonged to no snapshot.
        let log = self.begin_log(epoch)?;
        if self.room > 0 {
            log.allocate(self.room)?;
        }
        self.disk.write_atomic(&self.path("snapshot"), &bytes)?;
        let old = self.log_path(self.epoch);
        self.epoch = epoch;
        (self.len, self.synced) = (0, 0);
        self.log = Some(log);
        if self.disk.exists(&old) {
            // The new snapshot does not look at it; it only takes room.
            let _ = self.disk.remove(&old);
        }
        Ok(())
    }
}

/// A log's bytes, and where its records stand in them.
struct Log {
    bytes: Vec<u8>,
    good: Vec<Range<usize>>,
}

/// A file's bytes; none when there is no such file, and no bytes when the device lost them.
fn read_if_there(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    match disk.read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) if error.is_lost() => Ok(Some(Vec::new())),
        Err(error) => Err(error),
    }
}

/// Whether these may be the bytes of a later format; those of this one are damaged.
fn is_newer(bytes: &[u8]) -> bool {
    let same = bytes.len() > MAGIC_LEN && bytes[..3] == MAGIC[..3];
    let mut as_ours = bytes.to_vec();
    as_ours.iter_mut().zip(MAGIC).for_each(|(byte, ours)| *byte = *ours);
    // A flipped bit in the version leaves a checksum that fits.
    same && (b'2'..=b'9').contains(&bytes[3]) && read_snapshot(&as_ours).is_none()
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

/// Where the records stand, heads included. What lies between them is damaged.
fn good_parts(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut good = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match frame_len(&bytes[at..]) {
            Some(len) => {
                good.push(at..at + len);
                at += len;
            }
            None => at += 1,
        }
    }
    good
}

fn frame_len(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let size = u32::from_le_bytes(*length) as usize;
    let content = rest.get(..size).filter(|_| size <= RECORD_MAX)?;
    (u32::from_le_bytes(*sum) == crc(length, content)).then_some(8 + size)
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

    #[test]
    fn damage_in_the_middle_costs_what_it_hit() {
        let disk = SimDisk::new();
        let (mut journal, _) = Journal::open(Arc::new(disk.clone()), "j").unwrap();
        (0..5).for_each(|n| journal.append(&[n; 10]).unwrap());
        disk.damage(|_, bytes| {
            bytes[2 * 18 + 12] ^= 4;
            true
        });
        let peeked = Journal::peek(Arc::new(disk.clone()), "j").unwrap();
        let (mut journal, opened) = Journal::open(Arc::new(disk.clone()), "j").unwrap();
        assert_eq!(peeked.report, opened.report);
        assert_eq!(opened.report, Report { bytes_damaged: 18, ..Report::default() });
        assert_eq!(opened.records.iter().map(|record| record[0]).collect::<Vec<_>>(), [0, 1, 3, 4]);
        assert!(disk.exists(Path::new("j.log.damaged")));
        journal.append(&[9; 10]).unwrap();
        let (_, opened) = Journal::open(Arc::new(disk), "j").unwrap();
        assert_eq!(opened.records.len(), 5);
        assert!(opened.report.is_clean());
    }

    #[test]
    fn a_newer_format_is_refused_and_a_flipped_bit_is_not_one() {
        let disk = SimDisk::new();
        let (mut journal, _) = Journal::open(Arc::new(disk.clone()), "j").unwrap();
        journal.compact(b"state").unwrap();
        let with = |change: fn(&mut Vec<u8>)| {
            let disk = disk.kill();
            disk.damage(|path, bytes| {
                if path == Path::new("j.snapshot") {
                    change(bytes);
                }
                true
            });
            Journal::open(Arc::new(disk), "j").map(|(_, opened)| opened.report.snapshot_damaged)
        };
        assert!(with(|bytes| bytes[3] = b'3').unwrap(), "damaged, not newer");
        assert!(with(|bytes| *bytes = b"LPJ2 another lay-out".to_vec()).is_err());
    }

    #[test]
    fn reserved_room_takes_changes_on_a_full_disk() {
        let disk = SimDisk::new();
        let (mut journal, _) = Journal::open(Arc::new(disk.clone()), "j").unwrap();
        journal.reserve(1000).unwrap();
        disk.set_room(Some(0));
        (0..20).for_each(|n| journal.append(&[n; 20]).and_then(|()| journal.sync()).unwrap());
        assert!(journal.compact(b"no room").unwrap_err().is_full());
        journal.append(b"still").and_then(|()| journal.sync()).unwrap();
        let (_, opened) = Journal::open(Arc::new(disk.crash(1)), "j").unwrap();
        assert_eq!(opened.records.last().unwrap(), b"still");
    }
}
