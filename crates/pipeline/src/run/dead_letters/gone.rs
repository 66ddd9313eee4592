//! Which letters are gone: replayed or dropped. A journal of ranges, because letters go in any
//! order and a queue can only let go of its beginning.
//!
//! ```text
//! snapshot and record: per range u64 from  u64 to (not included), little-endian
//! ```

use disk::journal::Journal;
use disk::{Disk, DiskError};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A journal larger than this is replaced by a snapshot.
const JOURNAL_BYTES_MAX: u64 = 64 << 10;

/// The letters that are gone.
pub(super) struct Gone {
    journal: Journal,
    ranges: Ranges,
}

/// Ranges of numbers, those that touch as one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ranges(BTreeMap<u64, u64>);

impl Gone {
    /// Opens what is saved in a folder. A damaged record is passed over: its letters are back.
    /// `end` is the number of the next letter: where somebody removed the files of the letters
    /// alone, numbers are given again, and a new letter must not be taken for one that is gone.
    pub(super) fn open(disk: Arc<dyn Disk>, folder: &Path, end: u64) -> Result<Self, DiskError> {
        let name = folder.join("gone").to_string_lossy().into_owned();
        let (journal, opened) = Journal::open(disk, &name)?;
        if !opened.report.is_clean() {
            tracing::warn!("the list of dead letters that are gone was damaged; some may be back");
        }
        let mut ranges = Ranges::default();
        for part in opened.snapshot.iter().chain(&opened.records) {
            ranges.read(part);
        }
        let mut gone = Self { journal, ranges };
        if gone.ranges.cut(end) {
            gone.snapshot()?;
        }
        Ok(gone)
    }

    /// Says durably that these are gone, in ascending order. `oldest` is the first letter that there is.
    pub(super) fn add(&mut self, letters: &[u64], oldest: u64) -> Result<(), DiskError> {
        let mut change = Ranges::default();
        letters.iter().for_each(|letter| change.add(*letter, letter + 1));
        let mut bytes = Vec::new();
        change.write(&mut bytes);
        change.0.iter().for_each(|(from, to)| self.ranges.add(*from, *to));
        self.ranges.forget(oldest);
        if self.journal.bytes_since_snapshot() < JOURNAL_BYTES_MAX
            && self.journal.append(&bytes).and_then(|()| self.journal.sync()).is_ok()
        {
            return Ok(());
        }
        self.snapshot()
    }

    fn snapshot(&mut self) -> Result<(), DiskError> {
        let mut all = Vec::new();
        self.ranges.write(&mut all);
        self.journal.compact(&all)
    }

    pub(super) fn has(&self, letter: u64) -> bool {
        self.ranges.0.range(..=letter).next_back().is_some_and(|(_, to)| letter < *to)
    }

    /// How many from `from` on are gone.
    pub(super) fn count(&self, from: u64) -> u64 {
        self.ranges.0.iter().map(|(&start, &to)| to.saturating_sub(start.max(from))).sum()
    }

    /// The first letter from `from` on that is not gone.
    pub(super) fn first_kept(&self, from: u64) -> u64 {
        self.ranges.0.range(..=from).next_back().map_or(from, |(_, to)| from.max(*to))
    }
}

impl Ranges {
    fn add(&mut self, mut from: u64, mut to: u64) {
        if from >= to {
            return;
        }
        while let Some((&start, &end)) = self.0.range(..=to).next_back().filter(|(_, end)| **end >= from) {
            (from, to) = (from.min(start), to.max(end));
            self.0.remove(&start);
        }
        self.0.insert(from, to);
    }

    /// Forgets what stands before `oldest`.
    fn forget(&mut self, oldest: u64) {
        self.0.retain(|_, to| *to > oldest);
    }

    /// Forgets what stands at or behind `end`; whether there was anything.
    fn cut(&mut self, end: u64) -> bool {
        let behind = self.0.split_off(&end);
        let across = self.0.last_entry().filter(|last| *last.get() > end);
        let is_across = across.is_some();
        if let Some(mut last) = across {
            last.insert(end);
        }
        is_across || !behind.is_empty()
    }

    fn write(&self, out: &mut Vec<u8>) {
        for (from, to) in &self.0 {
            out.extend_from_slice(&from.to_le_bytes());
            out.extend_from_slice(&to.to_le_bytes());
        }
    }

    fn read(&mut self, mut bytes: &[u8]) {
        while let Some((from, rest)) = bytes.split_first_chunk::<8>() {
            let Some((to, rest)) = rest.split_first_chunk::<8>() else { return };
            self.add(u64::from_le_bytes(*from), u64::from_le_bytes(*to));
            bytes = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranges_are_a_set(adds in prop::collection::vec((0..60_u64, 0..8_u64), 0..30), oldest in 0..70_u64) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (from, len) in adds {
                ranges.add(from, from + len);
                set.extend(from..from + len);
            }
            let flat = |ranges: &Ranges| ranges.0.iter().flat_map(|(from, to)| *from..*to).collect::<BTreeSet<_>>();
            prop_assert_eq!(flat(&ranges), set.clone());
            prop_assert!(ranges.0.iter().zip(ranges.0.iter().skip(1)).all(|(a, b)| a.1 < b.0), "{:?}", ranges);
            let mut bytes = Vec::new();
            ranges.write(&mut bytes);
            let mut again = Ranges::default();
            again.read(&bytes);
            prop_assert_eq!(&again, &ranges);
            let mut cut = Ranges::default();
            cut.read(&bytes);
            prop_assert_eq!(cut.cut(oldest), set.range(oldest..).next().is_some());
            prop_assert!(flat(&cut).into_iter().eq(set.range(..oldest).copied()));
            ranges.forget(oldest);
            prop_assert!(set.range(oldest..).all(|n| flat(&ranges).contains(n)));
        }

        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let mut ranges = Ranges::default();
            ranges.read(&bytes);
            prop_assert!(ranges.0.iter().all(|(from, to)| from < to));
        }
    }

    #[test]
    fn what_is_gone_stays_gone() {
        let disk = Arc::new(disk::SimDisk::new());
        let folder = Path::new("dead-letters");
        disk.create_dir_all(folder).unwrap();
        let mut gone = Gone::open(disk.clone(), folder, u64::MAX).unwrap();
        // So many that a snapshot is made on the way.
        for n in 0..3_000 {
            gone.add(&[3 * n, 3 * n + 1], 0).unwrap();
        }
        drop(gone);
        let mut gone = Gone::open(disk.clone(), folder, u64::MAX).unwrap();
        assert_eq!((gone.has(9), gone.has(10), gone.has(11)), (true, true, false));
        assert_eq!((gone.count(0), gone.count(3_000 * 3 - 2)), (6_000, 1));
        assert_eq!((gone.first_kept(9), gone.first_kept(11)), (11, 11));
        gone.add(&[11], 9).unwrap();
        assert_eq!(gone.first_kept(9), 14);
        // The letters' numbers begin again in the middle of it, and what was forgotten stays so.
        drop(Gone::open(disk.clone(), folder, 10).unwrap());
        let gone = Gone::open(disk, folder, u64::MAX).unwrap();
        assert_eq!((gone.has(9), gone.has(10), gone.count(9)), (true, false, 1));
    }
}
