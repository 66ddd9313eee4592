//! What a queue knows while it runs: its segments, its readers, the newest records.

use crate::cursors::Cursors;
use crate::segment::Segment;
use crate::{Confirm, Record};
use disk::File;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

pub(crate) struct State {
    pub(crate) segments: VecDeque<Segment>,
    /// The file that is appended to; none: the next append begins one.
    pub(crate) file: Option<Arc<dyn File>>,
    /// How much of that file is synced.
    pub(crate) durable: u64,
    /// The sequence of the next event.
    pub(crate) next: u64,
    /// Records before this sequence are confirmed, and readers get them.
    pub(crate) visible: u64,
    /// Sequences without a record: damaged, missing, or never confirmed; from and to.
    pub(crate) gaps: BTreeMap<u64, u64>,
    pub(crate) bytes: u64,
    /// The newest small records that have events, as far as memory is given to them.
    pub(crate) tail: VecDeque<Record>,
    pub(crate) tail_bytes: usize,
    pub(crate) readers: BTreeMap<String, Cursor>,
    pub(crate) cursors: Cursors,
    pub(crate) cursors_lost: bool,
    pub(crate) cursors_saved: Instant,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) waiting_bytes: usize,
    pub(crate) syncing: bool,
    /// Somebody waits for the sync, which therefore must not wait for others.
    pub(crate) hurry: bool,
    /// How many appends wait for room.
    pub(crate) blocked: usize,
    /// Appends do not wait for room any more.
    pub(crate) refuses: bool,
    /// What the saved registry covers.
    pub(crate) registry: u64,
    pub(crate) stopped: bool,
    pub(crate) scratch: Vec<u8>,
    pub(crate) ages: Ages,
    /// Nobody wants the records before it; for queues that keep history.
    pub(crate) unwanted: u64,
}

/// When the records that are still held were appended, to a second or so: a mark each second.
#[derive(Default)]
pub(crate) struct Ages(VecDeque<(u64, i64)>);

/// Marks that are kept; beyond, every other one goes, and the oldest are known less exactly.
const AGES_MAX: usize = 1_024;
const AGE_STEP: i64 = 1_000_000_000;

impl Ages {
    /// Notes that this sequence was appended at that time, in nanoseconds UTC.
    pub(crate) fn note(&mut self, sequence: u64, now: i64, oldest: u64) {
        // A clock that was put back makes a mark too.
        if self.0.back().is_some_and(|(_, last)| (0..AGE_STEP).contains(&(now - last))) {
            return;
        }
        while self.0.get(1).is_some_and(|(next, _)| *next <= oldest) {
            self.0.pop_front();
        }
        if self.0.len() >= AGES_MAX {
            let mut keep = false;
            self.0.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.0.push_back((sequence, now));
    }

    /// When the record of this sequence was appended, at the latest.
    fn of(&self, sequence: u64) -> Option<i64> {
        let behind = self.0.partition_point(|(first, _)| *first <= sequence);
        Some(self.0.get(behind.checked_sub(1)?)?.1)
    }
}

/// An append that waits to be confirmed.
pub(crate) struct Waiting {
    pub(crate) file: Arc<dyn File>,
    pub(crate) confirm: Confirm,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// The length of the file with this record.
    pub(crate) len: u64,
}

pub(crate) struct Cursor {
    /// Every whole record before it is acknowledged.
    pub(crate) at: u64,
    pub(crate) saved: u64,
    /// Acknowledged behind `at`: from and to.
    pub(crate) done: BTreeMap<u64, u64>,
}

impl Cursor {
    pub(crate) fn new(at: u64) -> Self {
        Self { at, saved: at, done: BTreeMap::new() }
    }
}

/// How a queue stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Segment files.
    pub segments: usize,
    /// Bytes on disk.
    pub bytes: u64,
    /// The limit of bytes.
    pub bytes_max: u64,
    /// Events from the oldest to the newest.
    pub events: u64,
    /// The sequence of the next event.
    pub head: u64,
    /// Records before this sequence are confirmed.
    pub confirmed: u64,
    /// The sequence of the oldest event.
    pub tail: u64,
    /// Sequences from there on that have no event.
    pub gaps: u64,
    /// The readers.
    pub readers: Vec<ReaderStats>,
}

/// How a reader stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderStats {
    /// Its name.
    pub name: String,
    /// Everything before it is acknowledged.
    pub cursor: u64,
    /// Events that are not acknowledged.
    pub lag_events: u64,
    /// Bytes from the cursor on; within a segment, in proportion to the events.
    pub lag_bytes: u64,
    /// When the oldest of them was appended, in nanoseconds UTC: to a second or so, or when its
    /// segment was begun where it is from before the start.
    pub oldest: Option<i64>,
}

impl State {
    /// The sequence of the oldest event, or of the next where there is none.
    pub(crate) fn oldest(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.first.min(self.next))
    }

    /// The first sequence at or behind this one that may have a record.
    pub(crate) fn skip(&self, at: u64) -> u64 {
        let mut at = at.max(self.oldest());
        while let Some((_, &to)) = self.gaps.range(..=at).next_back()
            && to > at
        {
            at = to;
        }
        at
    }

    /// Says that there are no records here that anybody could get.
    pub(crate) fn add_gap(&mut self, from: u64, to: u64) {
        if from < to {
            let known = self.gaps.entry(from).or_insert(to);
            *known = to.max(*known);
            let names: Vec<String> = self.readers.keys().cloned().collect();
            names.iter().for_each(|name| self.advance(name));
        }
    }

    /// The segment that holds this sequence, or the next one that holds any.
    pub(crate) fn segment_at(&self, at: u64) -> Option<&Segment> {
        self.segments.get(self.segments.partition_point(|segment| segment.end <= at))
    }

    /// A record from memory; none when only the disk can tell.
    pub(crate) fn in_memory(&self, at: u64) -> Option<Record> {
        if at < self.tail.front()?.sequence {
            return None;
        }
        let n = self.tail.partition_point(|record| record.end() <= at);
        let record = self.tail.get(n)?;
        // Where a larger record was left out, only the disk can tell.
        (record.sequence <= at && record.end() <= self.visible).then(|| record.clone())
    }

    pub(crate) fn remember(&mut self, record: Record, bytes_max: usize) {
        self.tail_bytes += record.body.len();
        self.tail.push_back(record);
        while self.tail_bytes > bytes_max {
            let Some(old) = self.tail.pop_front() else { break };
            self.tail_bytes -= old.body.len();
        }
    }

    /// Forgets records that will never be confirmed.
    pub(crate) fn unremember(&mut self, from: u64, to: u64) {
        self.tail.retain(|record| record.end() <= from || record.sequence >= to);
        self.tail_bytes = self.tail.iter().map(|record| record.body.len()).sum();
    }

    /// Moves a cursor over everything that is acknowledged, and over gaps.
    pub(crate) fn advance(&mut self, name: &str) {
        let Some(cursor) = self.readers.get(name) else { return };
        let mut at = self.skip(cursor.at);
        let mut passed = 0;
        for (&from, &to) in &cursor.done {
            if from > at {
                break;
            }
            passed += 1;
            at = self.skip(at.max(to));
        }
        let Some(cursor) = self.readers.get_mut(name) else { return };
        for _ in 0..passed {
            cursor.done.pop_first();
        }
        cursor.at = at;
    }

    pub(crate) fn stats(&self, bytes_max: u64) -> Stats {
        let tail = self.oldest();
        Stats {
            segments: self.segments.len(),
            bytes: self.bytes,
            bytes_max,
            events: self.next - tail,
            head: self.next,
            confirmed: self.visible,
            tail,
            gaps: self.gaps.iter().map(|(&from, &to)| to.min(self.next).saturating_sub(from.max(tail))).sum(),
            readers: self.readers.iter().map(|(name, cursor)| self.reader_stats(name, cursor)).collect(),
        }
    }

    pub(crate) fn reader_stats(&self, name: &str, cursor: &Cursor) -> ReaderStats {
        let at = cursor.at.max(self.oldest());
        let within = |from: u64, to: u64| to.min(self.next).saturating_sub(from.max(at));
        let done: u64 = cursor.done.iter().map(|(&from, &to)| within(from, to)).sum();
        let gaps: u64 = self.gaps.iter().map(|(&from, &to)| within(from, to)).sum();
        let behind = self.segments.iter().rev().take_while(|segment| segment.end > at);
        let bytes = behind.map(|segment| {
            let (all, left) = (segment.end - segment.first, segment.end - at.max(segment.first));
            (u128::from(segment.len) * u128::from(left) / u128::from(all.max(1))) as u64
        });
        let lag_events = self.next.saturating_sub(at).saturating_sub(done + gaps);
        let waits = (lag_events > 0).then(|| self.skip(at));
        let oldest = waits.and_then(|at| self.ages.of(at).or_else(|| Some(self.segment_at(at)?.begun)));
        ReaderStats { name: name.to_owned(), cursor: cursor.at, lag_events, lag_bytes: bytes.sum(), oldest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_known_to_a_second() {
        let mut ages = Ages::default();
        for n in 0..5_000_u64 {
            ages.note(n, n as i64 * AGE_STEP / 4, 0);
        }
        assert_eq!(ages.of(4_999), Some(4_996 * AGE_STEP / 4));
        assert_eq!(ages.of(4_995), Some(4_992 * AGE_STEP / 4));
        assert!(ages.0.len() <= AGES_MAX, "{}", ages.0.len());
        // Older marks are sparser, and never later than the truth.
        let told = ages.of(1_001).expect("a mark");
        assert!((980 * AGE_STEP / 4..=1_001 * AGE_STEP / 4).contains(&told), "{told}");
        ages.note(6_000, i64::MAX / 2, 5_999);
        assert_eq!(ages.of(10), None);
        assert_eq!(ages.of(5_999), Some(4_996 * AGE_STEP / 4));
    }
}
