//! Looking into a queue that nobody runs.

use crate::QueueError;
use crate::cursors::Cursors;
use crate::record::Header;
use crate::segment::{self, Recovery};
use crate::{Options, Queue};
use disk::Disk;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// What a queue's folder holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspect {
    /// The segment files, oldest first.
    pub segments: Vec<InspectSegment>,
    /// The saved cursors by the readers' names.
    pub cursors: Vec<(String, u64)>,
    /// Whether the cursors could not be read.
    pub cursors_damaged: bool,
}

/// What a segment file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectSegment {
    /// Its name.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Undamaged records.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// The sequence of the first event and the one behind the last.
    pub sequences: Option<(u64, u64)>,
    /// The least and the greatest time of its events, in nanoseconds UTC.
    pub times: Option<(i64, i64)>,
    /// Bytes that are no record.
    pub damaged: u64,
}

impl Inspect {
    /// Whether nothing is damaged.
    pub fn is_clean(&self) -> bool {
        !self.cursors_damaged && self.segments.iter().all(|segment| segment.damaged == 0)
    }
}

/// Looks at a queue's folder without changing it; a running queue may be looked at. The last
/// bytes of one, just being written, then count as damaged.
pub fn inspect(disk: Arc<dyn Disk>, folder: &Path) -> Result<Inspect, QueueError> {
    let mut found = Inspect::default();
    for path in segment::files(&*disk, folder)? {
        let bytes = disk.read(&path)?;
        let mut one = InspectSegment {
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: bytes.len() as u64,
            records: 0,
            events: 0,
            sequences: None,
            times: None,
            damaged: 0,
        };
        let bad = segment::scan(&bytes, &path, |_, record| {
            one.records += 1;
            one.events += u64::from(record.header.events);
            let end = record.sequence + u64::from(record.header.events);
            one.sequences = Some((one.sequences.map_or(record.sequence, |(first, _)| first), end));
            let (min, max) = one.times.unwrap_or((i64::MAX, i64::MIN));
            one.times = Some((min.min(record.header.time_min), max.max(record.header.time_max)));
        })?;
        one.damaged = bad.iter().map(|bad| (bad.to - bad.from) as u64).sum();
        found.segments.push(one);
    }
    (found.cursors, found.cursors_damaged) = Cursors::peek(disk, folder)?;
    Ok(found)
}

/// Sets aside what is damaged and writes what is left anew, as every opening does. Nobody may
/// run the queue meanwhile.
pub fn repair(disk: Arc<dyn Disk>, folder: &Path) -> Result<Recovery, QueueError> {
    let (queue, recovery) = Queue::open(disk, folder, Options::default())?;
    queue.stop();
    Ok(recovery)
}

/// A record as it lies on disk.
pub struct Dumped<'a> {
    /// The sequence of its first event.
    pub sequence: u64,
    /// What the queue knows of it.
    pub header: Header,
    /// What was appended.
    pub body: &'a [u8],
}

/// Calls `each` with every undamaged record, oldest first.
pub fn dump(disk: &dyn Disk, folder: &Path, mut each: impl FnMut(Dumped<'_>)) -> Result<(), QueueError> {
    dump_from(disk, folder, 0, |record| {
        each(record);
        ControlFlow::Continue(())
    })
}

/// Calls `each` with every undamaged record from this sequence on, oldest first, until it has
/// enough. A running queue may be read: a segment that goes meanwhile is passed over, and
/// records may be among them that are not confirmed yet.
pub fn dump_from(
    disk: &dyn Disk,
    folder: &Path,
    from: u64,
    mut each: impl FnMut(Dumped<'_>) -> ControlFlow<()>,
) -> Result<(), QueueError> {
    let files = segment::files(disk, folder)?;
    let first = files.partition_point(|path| segment::named(path) <= from).saturating_sub(1);
    let mut flow = ControlFlow::Continue(());
    for path in &files[first..] {
        let bytes = match disk.read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() => continue,
            Err(error) => return Err(error.into()),
        };
        segment::scan(&bytes, path, |_, record| {
            if flow.is_continue() && record.sequence >= from {
                flow = each(Dumped { sequence: record.sequence, header: record.header, body: record.body });
            }
        })?;
        if flow.is_break() {
            return Ok(());
        }
    }
    Ok(())
}
