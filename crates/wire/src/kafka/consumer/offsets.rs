//! Which offset may be committed.
//!
//! What is read is delivered to the caller in ranges of offsets and acknowledged in any order.
//! Kept is what is *not* acknowledged: the first of it, or the position when there is nothing
//! of it, is the offset to commit. Counting acknowledged records instead would stop at every
//! gap that compaction, a marker or an aborted transaction leaves; here a gap is simply never
//! outstanding.
//!
//! A range belongs to a [`Lease`], the stay in which its partition was read. After a rebalance
//! the acknowledgments of an earlier stay change nothing, and say so.

use super::membership::Commit;
use super::{Lease, TopicPartition};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

/// What became of an acknowledgment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledged {
    /// It counts.
    Taken,
    /// The partition is held no more, or again in another stay: whoever holds it reads the
    /// range again.
    Fenced,
}

/// What is delivered, acknowledged and committed in each held partition.
#[derive(Debug)]
pub struct Offsets {
    interval: Duration,
    due: Option<Instant>,
    metadata: StrBytes,
    partitions: BTreeMap<TopicPartition, Progress>,
}

#[derive(Debug)]
struct Progress {
    lease: Lease,
    /// Behind everything that was delivered or skipped.
    position: i64,
    /// Delivered and not acknowledged: start to end.
    outstanding: BTreeMap<i64, i64>,
    /// Leader epochs by the offset from which they hold, ascending.
    epochs: VecDeque<(i64, i32)>,
    /// What was handed out to be committed last.
    asked: i64,
    /// What the coordinator has.
    committed: i64,
}

impl Progress {
    fn committable(&self) -> i64 {
        self.outstanding.first_key_value().map_or(self.position, |(start, _)| *start)
    }

    /// The leader epoch of the record before this offset.
    fn epoch_before(&self, offset: i64) -> i32 {
        self.epochs.iter().rev().find(|(from, _)| *from < offset).map_or(-1, |(_, epoch)| *epoch)
    }

    fn forget_epochs_before(&mut self, offset: i64) {
        while self.epochs.get(1).is_some_and(|(from, _)| *from < offset) {
            self.epochs.pop_front();
        }
    }
}

impl Offsets {
    /// Commits every `interval`, each with this text.
    pub fn new(interval: Duration, metadata: StrBytes) -> Self {
        Self { interval, due: None, metadata, partitions: BTreeMap::new() }
    }

    /// A partition is read from `start`, where `epoch` is the leader epoch of the record before
    /// it (-1: unknown).
    pub fn begin(&mut self, partition: TopicPartition, lease: Lease, start: i64, epoch: i32) {
        let epochs =
            if epoch >= 0 { VecDeque::from([(start.saturating_sub(1), epoch)]) } else { VecDeque::new() };
        let outstanding = BTreeMap::new();
        let progress =
            Progress { lease, position: start, outstanding, epochs, asked: start, committed: start };
        self.partitions.insert(partition, progress);
    }

    /// A partition is given up; nothing of it is committed any more.
    pub fn end(&mut self, partition: &TopicPartition) {
        self.partitions.remove(partition);
    }

    /// Reading goes on elsewhere because the log ended or began anew there. What is outstanding
    /// stays so: it was delivered, and below it nothing is committed.
    pub fn jump(&mut self, partition: &TopicPartition, lease: Lease, to: i64) {
        let Some(progress) = self.held(partition, lease) else { return };
        if to < progress.position {
            // Offsets are given out again, to other records: what was delivered under them
            // cannot be told from these.
            progress.outstanding.clear();
            progress.epochs.retain(|(from, _)| *from < to);
            progress.asked = to;
            progress.committed = to;
        }
        progress.position = to;
    }

    /// Records of these offsets were delivered, written in this leader epoch (-1: unknown).
    /// Ranges come in ascending order; what lies between two holds no records.
    pub fn delivered(&mut self, partition: &TopicPartition, lease: Lease, range: Range<i64>, epoch: i32) {
        let Some(progress) = self.held(partition, lease) else { return };
        let start = range.start.max(progress.position);
        if start >= range.end {
            return;
        }
        progress.outstanding.insert(start, range.end);
        progress.position = range.end;
        if epoch >= 0 && progress.epochs.back().is_none_or(|(_, last)| *last != epoch) {
            progress.epochs.push_back((start, epoch));
        }
    }

    /// There are no records for the caller up to `position`: markers, aborted transactions.
    pub fn skipped(&mut self, partition: &TopicPartition, lease: Lease, position: i64) {
        if let Some(progress) = self.held(partition, lease) {
            progress.position = progress.position.max(position);
        }
    }

    /// What was delivered from `to` on is taken back: it will be delivered again, or by another
    /// member. Nothing from there on is committed before it was delivered anew.
    pub fn withdraw(&mut self, partition: &TopicPartition, lease: Lease, to: i64) {
        let Some(progress) = self.held(partition, lease) else { return };
        if to >= progress.position {
            return;
        }
        progress.outstanding.split_off(&to);
        if let Some(mut last) = progress.outstanding.last_entry() {
            *last.get_mut() = (*last.get()).min(to);
        }
        progress.epochs.retain(|(from, _)| *from < to);
        progress.position = to;
    }

    /// The caller is done with these offsets. Parts that were not delivered, or were
    /// acknowledged before, change nothing.
    pub fn acknowledge(
        &mut self,
        partition: &TopicPartition,
        lease: Lease,
        range: Range<i64>,
    ) -> Acknowledged {
        let Some(progress) = self.held(partition, lease) else { return Acknowledged::Fenced };
        if range.is_empty() {
            return Acknowledged::Taken;
        }
        let before = progress.outstanding.range(..range.start).next_back().map(|(start, _)| *start);
        let inside = progress.outstanding.range(range.clone()).map(|(start, _)| *start);
        let touched: Vec<i64> = before.into_iter().chain(inside).collect();
        for start in touched {
            let Some(end) = progress.outstanding.remove(&start) else { continue };
            if start < range.start {
                progress.outstanding.insert(start, end.min(range.start));
            }
            if end > range.end {
                progress.outstanding.insert(range.end.max(start), end);
            }
        }
        Acknowledged::Taken
    }

    /// Whether everything that was delivered of the partition is acknowledged.
    pub fn is_drained(&self, partition: &TopicPartition) -> bool {
        self.partitions.get(partition).is_none_or(|progress| progress.outstanding.is_empty())
    }

    /// Behind what was delivered last.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.partitions.get(partition).map(|progress| progress.position)
    }

    /// The offset that could be committed now.
    pub fn committable(&self, partition: &TopicPartition) -> Option<i64> {
        self.partitions.get(partition).map(Progress::committable)
    }

    /// When to call [`due`](Self::due) again; none while there is nothing to commit.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let news = self.partitions.values().any(|progress| progress.committable() > progress.asked);
        news.then(|| self.due.unwrap_or(now))
    }

    /// What the interval wants committed by now: empty before its end.
    pub fn due(&mut self, now: Instant) -> Vec<Commit> {
        if self.due.is_some_and(|at| now < at) {
            return Vec::new();
        }
        self.due = Some(now + self.interval);
        let all: Vec<TopicPartition> = self.partitions.keys().cloned().collect();
        self.take(&all)
    }

    /// What can be committed of these partitions, at once: before they are given back, or all
    /// of them at the end.
    pub fn take<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>) -> Vec<Commit> {
        let mut commits = Vec::new();
        for partition in partitions {
            let Some(progress) = self.partitions.get_mut(partition) else { continue };
            let offset = progress.committable();
            if offset <= progress.asked {
                continue;
            }
            progress.asked = offset;
            commits.push(Commit {
                partition: partition.clone(),
                lease: progress.lease,
                offset,
                leader_epoch: progress.epoch_before(offset),
                metadata: self.metadata.clone(),
            });
        }
        commits
    }

    /// A commit was made.
    pub fn committed(&mut self, commit: &Commit) {
        if let Some(progress) = self.held(&commit.partition, commit.lease) {
            progress.committed = progress.committed.max(commit.offset);
            progress.forget_epochs_before(commit.offset);
        }
    }

    /// A commit was not made; the next one asks again.
    pub fn not_committed(&mut self, commit: &Commit) {
        if let Some(progress) = self.held(&commit.partition, commit.lease)
            && progress.asked == commit.offset
        {
            progress.asked = progress.committed;
        }
    }

    fn held(&mut self, partition: &TopicPartition, lease: Lease) -> Option<&mut Progress> {
        self.partitions.get_mut(partition).filter(|progress| progress.lease == lease)
    }
}

#[cfg(test)]
mod tests {
    use super::super::topic;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const FIRST: Lease = Lease(1);

    fn at() -> TopicPartition {
        TopicPartition::new(topic("t"), 0)
    }

    fn reading(start: i64) -> Offsets {
        let mut offsets = Offsets::new(Duration::from_secs(5), StrBytes::from_static_str("by us"));
        offsets.begin(at(), FIRST, start, -1);
        offsets
    }

    #[test]
    fn what_is_withdrawn_is_outstanding_again_only_when_delivered_again() {
        let mut offsets = reading(0);
        offsets.delivered(&at(), FIRST, 0..10, 3);
        offsets.delivered(&at(), FIRST, 10..20, 4);
        offsets.delivered(&at(), FIRST, 20..30, 4);
        offsets.acknowledge(&at(), FIRST, 20..30);
        offsets.acknowledge(&at(), FIRST, 0..5);
        offsets.withdraw(&at(), FIRST, 15);
        assert_eq!(offsets.committable(&at()), Some(5));
        offsets.acknowledge(&at(), FIRST, 5..20);
        assert_eq!((offsets.committable(&at()), offsets.is_drained(&at())), (Some(15), true));
        offsets.delivered(&at(), FIRST, 15..30, 4);
        assert_eq!((offsets.committable(&at()), offsets.is_drained(&at())), (Some(15), false));
        offsets.withdraw(&at(), FIRST, 99); // further than what was delivered
        offsets.acknowledge(&at(), FIRST, 15..30);
        let commits = offsets.take(&[at()]);
        assert_eq!((commits[0].offset, commits[0].leader_epoch), (30, 4));
    }

    #[test]
    fn only_what_is_contiguous_is_committed() {
        #[track_caller]
        fn check(delivered: &[(i64, i64)], acknowledged: &[(i64, i64)], expected: i64) {
            let mut offsets = reading(0);
            for &(from, to) in delivered {
                offsets.delivered(&at(), FIRST, from..to, 3);
            }
            for &(from, to) in acknowledged {
                assert_eq!(offsets.acknowledge(&at(), FIRST, from..to), Acknowledged::Taken);
            }
            assert_eq!(offsets.committable(&at()), Some(expected));
        }
        check(&[], &[], 0);
        check(&[(0, 10)], &[], 0);
        check(&[(0, 10)], &[(0, 10)], 10);
        check(&[(0, 10), (10, 20)], &[(10, 20)], 0);
        check(&[(0, 10), (10, 20)], &[(10, 20), (0, 10)], 20);
        check(&[(0, 10)], &[(0, 4)], 4);
        check(&[(0, 10)], &[(4, 6)], 0);
        check(&[(0, 10)], &[(4, 6), (0, 4)], 6);
        check(&[(0, 10)], &[(4, 6), (0, 4), (6, 10)], 10);
        check(&[(0, 10)], &[(4, 4)], 0);
        check(&[(0, 10), (15, 20)], &[(0, 10)], 15); // nothing to read in between
        check(&[(0, 10), (15, 20)], &[(0, 12), (11, 20)], 20);
        check(&[(5, 10)], &[(5, 7), (5, 7)], 7);
        check(&[(0, 10), (0, 10)], &[(0, 10)], 10); // delivered twice
    }

    #[test]
    fn markers_at_the_end_move_the_position() {
        let mut offsets = reading(7);
        offsets.skipped(&at(), FIRST, 9);
        assert_eq!(offsets.committable(&at()), Some(9));
        offsets.delivered(&at(), FIRST, 9..12, 1);
        offsets.skipped(&at(), FIRST, 13);
        assert_eq!(offsets.committable(&at()), Some(9));
        assert!(!offsets.is_drained(&at()));
        offsets.acknowledge(&at(), FIRST, 9..12);
        assert!(offsets.is_drained(&at()));
        assert_eq!(offsets.committable(&at()), Some(13));
    }

    #[test]
    fn commits_carry_the_epoch_before_them() {
        let mut offsets = Offsets::new(Duration::from_secs(5), StrBytes::default());
        offsets.begin(at(), FIRST, 10, 2);
        let epoch = |offsets: &mut Offsets| offsets.take([&at()]).first().map(|commit| commit.leader_epoch);
        offsets.skipped(&at(), FIRST, 11);
        assert_eq!(epoch(&mut offsets), Some(2));
        offsets.delivered(&at(), FIRST, 11..15, 2);
        offsets.delivered(&at(), FIRST, 15..20, 4);
        offsets.acknowledge(&at(), FIRST, 11..15);
        assert_eq!(epoch(&mut offsets), Some(2));
        offsets.acknowledge(&at(), FIRST, 15..16);
        assert_eq!(epoch(&mut offsets), Some(4));
    }

    #[test]
    fn the_interval_is_kept_and_a_failure_is_repeated() {
        let start = Instant::now();
        let mut offsets = reading(0);
        assert_eq!(offsets.deadline(start), None);
        offsets.delivered(&at(), FIRST, 0..5, 1);
        offsets.acknowledge(&at(), FIRST, 0..5);
        let first = offsets.due(start);
        assert_eq!(first.iter().map(|commit| commit.offset).collect::<Vec<_>>(), [5]);
        assert_eq!(first[0].metadata.as_str(), "by us");
        assert_eq!(offsets.deadline(start), None, "nothing new");
        offsets.not_committed(&first[0]);
        assert_eq!(offsets.deadline(start), Some(start + Duration::from_secs(5)));
        assert_eq!(offsets.due(start + Duration::from_secs(4)), []);
        let again = offsets.due(start + Duration::from_secs(5));
        assert_eq!(again, first);
        offsets.committed(&again[0]);
        assert_eq!(offsets.due(start + Duration::from_secs(10)), []);
    }

    #[test]
    fn an_earlier_stay_has_no_say() {
        let mut offsets = reading(0);
        offsets.delivered(&at(), FIRST, 0..5, 1);
        offsets.end(&at());
        assert_eq!(offsets.acknowledge(&at(), FIRST, 0..5), Acknowledged::Fenced);
        offsets.begin(at(), Lease(2), 0, -1);
        offsets.delivered(&at(), Lease(2), 0..5, 1);
        assert_eq!(offsets.acknowledge(&at(), FIRST, 0..5), Acknowledged::Fenced);
        assert_eq!(offsets.take([&at()]), []);
        assert_eq!(offsets.acknowledge(&at(), Lease(2), 0..5), Acknowledged::Taken);
        assert_eq!(offsets.take([&at()])[0].lease, Lease(2));
    }

    #[test]
    fn a_log_that_begins_anew_is_committed_anew() {
        let mut offsets = reading(100);
        offsets.delivered(&at(), FIRST, 100..110, 1);
        offsets.jump(&at(), FIRST, 20);
        assert_eq!(offsets.committable(&at()), Some(20));
        offsets.delivered(&at(), FIRST, 20..25, 2);
        offsets.acknowledge(&at(), FIRST, 20..25);
        let commit = &offsets.take([&at()])[0];
        assert_eq!((commit.offset, commit.leader_epoch), (25, 2));
        // Forward, when retention was faster: what is outstanding holds the commit back.
        offsets.delivered(&at(), FIRST, 25..30, 2);
        offsets.jump(&at(), FIRST, 500);
        assert_eq!(offsets.committable(&at()), Some(25));
        offsets.acknowledge(&at(), FIRST, 25..30);
        assert_eq!(offsets.committable(&at()), Some(500));
    }

    proptest! {
        /// Against the plain definition: the first offset that was delivered and is not
        /// acknowledged, or the position.
        #[test]
        fn as_defined(
            steps in prop::collection::vec((0..4i64, 1..6i64), 1..20),
            acknowledged in prop::collection::vec((0..80i64, 0..12i64), 0..30),
        ) {
            let mut offsets = reading(0);
            let mut open = BTreeSet::new();
            let mut position = 0;
            for (gap, length) in steps {
                let range = position + gap..position + gap + length;
                position = range.end;
                open.extend(range.clone());
                offsets.delivered(&at(), FIRST, range, 1);
            }
            for (start, length) in acknowledged {
                offsets.acknowledge(&at(), FIRST, start..start + length);
                for offset in start..start + length {
                    open.remove(&offset);
                }
                prop_assert_eq!(offsets.committable(&at()), Some(open.first().copied().unwrap_or(position)));
                prop_assert_eq!(offsets.is_drained(&at()), open.is_empty());
            }
        }
    }
}
