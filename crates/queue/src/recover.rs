//! What a start finds in a queue's folder, and how it is made whole.

use crate::QueueError;
use crate::record::Found;
use crate::segment::{self, Bad, DAMAGED, HEAD_LEN, Recovery, Segment};
use disk::{Disk, DiskError};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

/// What the cursors say about what the files should hold.
pub(crate) struct Expected {
    /// Everything before it may be gone; none: nothing is known.
    pub(crate) from: Option<u64>,
    /// Everything before it was confirmed.
    pub(crate) to: u64,
}

pub(crate) struct Recovered {
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) gaps: BTreeMap<u64, u64>,
    pub(crate) next: u64,
}

/// Reads all segment files, cuts what a power cut left, and sets aside what is damaged.
pub(crate) fn recover(
    disk: &dyn Disk,
    folder: &Path,
    expected: &Expected,
    recovery: &mut Recovery,
) -> Result<Recovered, QueueError> {
    let files = segment::files(disk, folder)?;
    let mut segments: VecDeque<Segment> = VecDeque::new();
    let mut next = expected.to;
    let mut seen = expected.from;
    for (n, path) in files.iter().enumerate() {
        next = next.max(segment::named(path));
        let bytes = match disk.read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.is_lost() => {
                recovery.set_aside.push((name_of(path), disk.len(path).unwrap_or(0)));
                move_aside(disk, folder, path);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let limit = files.get(n + 1).map_or(u64::MAX, |next| segment::named(next));
        let mut own = Segment::new(path.clone(), segment::named(path), segment::begun(&bytes));
        let mut good: Vec<(usize, usize)> = Vec::new();
        let mut durable = 0;
        let bad = segment::scan(&bytes, path, |offset, found| {
            let (from, to) = (found.sequence, found.sequence + u64::from(found.header.events));
            // A record that stands in two places counts once.
            let is_twice = from < to && seen_before(&segments, &own, good.is_empty(), from);
            if is_twice || to > limit {
                return;
            }
            note(&mut own, &found, good.is_empty());
            durable = durable.max(found.durable);
            recovery.records += 1;
            recovery.events += to - from;
            if let Some(seen) = seen.filter(|seen| *seen < from) {
                recovery.missing.push((seen, from));
            }
            seen = Some(seen.unwrap_or(to).max(to));
            good.push((offset, found.len));
        })?;
        let is_last = n + 1 == files.len();
        // The last file may end with what was never confirmed; all before it was synced whole.
        let is_torn = |bad: &Bad| is_last && bad.from as u64 >= durable && own.end >= expected.to;
        for bad in &bad {
            let len = (bad.to - bad.from) as u64;
            if is_torn(bad) {
                recovery.bytes_torn += len;
            } else {
                set_aside(disk, folder, &name_of(path), bad.from, &bytes[bad.from..bad.to]);
                recovery.set_aside.push((name_of(path), len));
            }
        }
        own.len = bytes.len() as u64;
        if good.is_empty() {
            disk.remove(path)?;
            continue;
        }
        // After a kill the system may still hold what the disk does not.
        let is_durable = !is_last || disk.open(path).and_then(|file| file.sync()).is_ok();
        if !bad.is_empty() || !is_durable {
            match rewrite(disk, &own, &bytes, &good) {
                Ok(len) => own.len = len,
                // Readers pass over it; the next start tries again.
                Err(error) => tracing::warn!(%error, "a damaged segment could not be written anew"),
            }
        }
        next = next.max(own.end);
        segments.push_back(own);
    }
    if let Some(seen) = seen.filter(|seen| *seen < expected.to) {
        recovery.missing.push((seen, expected.to));
    }
    disk.sync_dir(folder)?;
    let gaps = recovery.missing.iter().copied().collect();
    Ok(Recovered { segments, gaps, next })
}

fn seen_before(segments: &VecDeque<Segment>, own: &Segment, is_first: bool, sequence: u64) -> bool {
    let floor = if is_first { segments.back().map_or(0, |last| last.end) } else { own.end };
    sequence < floor
}

fn note(segment: &mut Segment, found: &Found<'_>, is_first: bool) {
    if is_first {
        segment.first = found.sequence;
    }
    segment.end = found.sequence + u64::from(found.header.events);
    segment.positions.add(&found.header.positions);
}

/// Writes the good records of a segment in its place, and returns its new length.
fn rewrite(
    disk: &dyn Disk,
    segment: &Segment,
    bytes: &[u8],
    good: &[(usize, usize)],
) -> Result<u64, DiskError> {
    let mut kept = Vec::with_capacity(HEAD_LEN + good.iter().map(|(_, len)| len).sum::<usize>());
    kept.extend_from_slice(&segment::head(segment.begun));
    for &(offset, len) in good {
        kept.extend_from_slice(&bytes[offset..offset + len]);
    }
    disk.write_atomic(&segment.path, &kept)?;
    Ok(kept.len() as u64)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Keeps damaged bytes for a person to look at.
fn set_aside(disk: &dyn Disk, folder: &Path, name: &str, offset: usize, bytes: &[u8]) {
    let folder = folder.join(DAMAGED);
    let path = folder.join(format!("{name}.{offset}"));
    let kept = disk.create_dir_all(&folder).and_then(|()| disk.write_atomic(&path, bytes));
    if let Err(error) = kept {
        tracing::warn!(%error, "damaged bytes of the queue could not be kept");
    }
}

fn move_aside(disk: &dyn Disk, folder: &Path, path: &Path) {
    let to = folder.join(DAMAGED);
    let moved = disk.create_dir_all(&to).and_then(|()| disk.rename(path, &to.join(name_of(path))));
    if let Err(error) = moved {
        tracing::warn!(%error, "a file of the queue that cannot be read could not be moved away");
    }
}
