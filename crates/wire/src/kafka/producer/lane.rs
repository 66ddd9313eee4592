//! The batches of one partition, in the order in which they must come into the log.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;

use super::super::compression::Compressor;
use super::super::records::{self, BatchWriter, Limits, Record, RecordSet, Stamp};

/// The callers' numbers of a batch's records, as runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tokens(Vec<Range<u64>>);

impl Tokens {
    pub(super) fn push(&mut self, token: u64) {
        match self.0.last_mut() {
            Some(run) if run.end == token => run.end += 1,
            _ => self.0.push(token..token + 1),
        }
    }

    pub(super) fn runs(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().cloned()
    }

    fn each(&self) -> impl Iterator<Item = u64> {
        self.0.iter().cloned().flatten()
    }
}

/// A batch that still grows.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) writer: BatchWriter,
    pub(super) tokens: Tokens,
    pub(super) since: Instant,
}

/// A finished batch.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Bytes,
    pub(super) records: i32,
    /// Its size before compression.
    pub(super) plain_bytes: usize,
    pub(super) tokens: Tokens,
    /// How many records went into the partition before its first: its place among the others.
    place: u64,
    /// Given when it is sent for the first time.
    stamp: Option<records::Producer>,
    pub(super) tried: bool,
}

/// A batch under way.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) batch: Batch,
    pub(super) request: u64,
}

/// Who the producer is to this partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) open: Option<Open>,
    /// In the order of their places; those that came back stand before those never sent.
    pub(super) queue: VecDeque<Batch>,
    /// In the order of their places as well.
    pub(super) in_flight: VecDeque<Sent>,
    /// The broker that those under way went to.
    pub(super) broker: Option<i32>,
    next_place: u64,
    /// Epochs are counted for each partition, as each log looks at its own producers only. So a
    /// new epoch here does not disturb the others (KIP-360 raises it for all).
    identity: Option<Identity>,
    next_sequence: i32,
    /// Whether the log has taken a batch of this epoch. Until then it would take any of those
    /// under way, not only the first, as it does not know with which number it begins.
    settled: bool,
    /// Whether the sequence must begin again, in a new epoch, once nothing is under way.
    renumber: Option<Renumber>,
    pub(super) failures: u32,
    pub(super) wait_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renumber {
    /// In the next epoch.
    Epoch,
    /// With another producer id.
    Id,
}

impl Lane {
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_none() && self.queue.is_empty() && self.in_flight.is_empty()
    }

    /// Whether those under way must be answered before the next is sent: those that came back
    /// keep their order, two leaders never get batches at the same time, and an epoch begins with
    /// one batch alone.
    pub(super) fn must_wait(&self, leader: i32, in_flight_max: usize) -> bool {
        let returned = self.queue.front().is_some_and(|batch| batch.tried);
        !self.in_flight.is_empty()
            && (returned
                || self.renumber.is_some()
                || (self.identity.is_some() && !self.settled)
                || self.broker != Some(leader)
                || self.in_flight.len() >= in_flight_max)
    }

    /// Ends the open batch. Gives the change of the memory in use, in bytes, and a buffer to
    /// use again.
    pub(super) fn seal(
        &mut self,
        compressor: &mut Compressor,
        scratch: &mut Vec<u8>,
    ) -> (isize, Option<Vec<u8>>) {
        let Some(Open { writer, tokens, .. }) = self.open.take() else { return (0, None) };
        let (plain_bytes, records) = (writer.size(), writer.records());
        let (bytes, spare) = writer.finish(Stamp::default(), compressor, scratch);
        let grown = bytes.len() as isize - plain_bytes as isize;
        let place = self.next_place;
        self.next_place += u64::from(records.unsigned_abs());
        let bytes = Bytes::from(bytes);
        self.queue.push_back(Batch { bytes, records, plain_bytes, tokens, place, stamp: None, tried: false });
        (grown, spare)
    }

    /// Whether it can be sent under this identity. A lane keeps its own until it must begin
    /// again; none: a new id is to be asked for first.
    pub(super) fn prepare(&mut self, identity: Option<Identity>) -> bool {
        let next = match self.renumber {
            None if self.identity.is_some() => return true,
            Some(Renumber::Epoch) => self.identity.filter(|old| old.epoch < i16::MAX),
            Some(Renumber::Id) | None => None,
        };
        let next = match (next, identity) {
            (Some(old), _) => Identity { epoch: old.epoch + 1, ..old },
            (None, Some(new)) if Some(new.id) != self.identity.map(|old| old.id) => new,
            _ => return false,
        };
        self.identity = Some(next);
        self.renumber = None;
        self.next_sequence = 0;
        self.settled = false;
        for batch in &mut self.queue {
            batch.stamp = None;
        }
        true
    }

    /// Whether only another producer id than this helps.
    pub(super) fn needs_other_id(&self, identity: Option<Identity>) -> bool {
        let used_up = self.identity.is_some_and(|old| old.epoch == i16::MAX);
        let other = self.renumber == Some(Renumber::Id) || (self.renumber.is_some() && used_up);
        other && identity.map(|new| new.id) == self.identity.map(|old| old.id)
    }

    /// Begins again, but only once for those that fail together.
    pub(super) fn begin_again(&mut self, how: Renumber) {
        if self.identity.is_some() && self.renumber != Some(Renumber::Id) {
            self.renumber = Some(how);
        }
    }

    /// The next batch, with its number.
    pub(super) fn take(&mut self) -> Option<Batch> {
        let mut batch = self.queue.pop_front()?;
        batch.tried = true;
        if let (None, Some(Identity { id, epoch })) = (batch.stamp, self.identity) {
            let stamp = records::Producer { id, epoch, base_sequence: self.next_sequence };
            self.next_sequence = after(self.next_sequence, batch.records);
            batch.stamp = Some(stamp);
            // Not shared with a request any more, so that nothing is copied.
            let mut bytes = Vec::from(std::mem::take(&mut batch.bytes));
            records::restamp(&mut bytes, Some(stamp));
            batch.bytes = bytes.into();
        }
        Some(batch)
    }

    /// The batch that went with a request.
    pub(super) fn answered(&mut self, request: u64) -> Option<Batch> {
        let at = self.in_flight.iter().position(|sent| sent.request == request)?;
        self.in_flight.remove(at).map(|sent| sent.batch)
    }

    /// A batch is in the log.
    pub(super) fn delivered(&mut self, batch: &Batch) {
        let identity = batch.stamp.map(|stamp| Identity { id: stamp.id, epoch: stamp.epoch });
        self.settled |= identity == self.identity;
        self.failures = 0;
        self.wait_until = None;
    }

    /// Whether batches from before this one are still on their way.
    pub(super) fn has_before(&self, batch: &Batch) -> bool {
        let sent = self.in_flight.front().is_some_and(|sent| sent.batch.place < batch.place);
        sent || self.queue.front().is_some_and(|queued| queued.place < batch.place)
    }

    /// Puts a batch back to its place.
    pub(super) fn put_back(&mut self, batch: Batch) {
        let at = self.queue.partition_point(|queued| queued.place < batch.place);
        self.queue.insert(at, batch);
    }
}

impl Batch {
    /// Writes the records that `keep` names, by number, into batches of at most `bytes_max`, as
    /// [`weight`](Self::weight) counts, or one record. The places and the sequence numbers go on as they were, as far as no
    /// record is left out.
    pub(super) fn rewrite(
        &self,
        bytes_max: usize,
        compressor: &mut Compressor,
        mut keep: impl FnMut(usize) -> bool,
    ) -> Vec<Batch> {
        let mut scratch = Vec::new();
        let limits = Limits { batch_bytes_max: usize::MAX, check_crc: false };
        let set = RecordSet::new(&self.bytes, limits).next(&mut scratch);
        let Some(Ok(set)) = set else { return Vec::new() };
        let mut pieces = Vec::new();
        let mut writer = BatchWriter::default();
        let mut tokens = Tokens::default();
        let (mut first, mut bytes) = (0, 0);
        let records = set.records().filter_map(Result::ok).zip(self.tokens.each());
        for (number, (record, token)) in records.enumerate().filter(|(number, _)| keep(*number)) {
            if !writer.is_empty() && bytes + size_of(&record) > bytes_max {
                let (writer, tokens) = (std::mem::take(&mut writer), std::mem::take(&mut tokens));
                pieces.push(self.piece(first, writer, tokens, compressor));
            }
            if writer.is_empty() {
                (first, bytes) = (number, 0);
            }
            bytes += size_of(&record);
            writer.append_record(&record);
            tokens.push(token);
        }
        if !writer.is_empty() {
            pieces.push(self.piece(first, writer, tokens, compressor));
        }
        pieces
    }

    fn piece(&self, first: usize, writer: BatchWriter, tokens: Tokens, compressor: &mut Compressor) -> Batch {
        let stamp = self.stamp.map(|stamp| {
            let base_sequence = after(stamp.base_sequence, first as i32);
            records::Producer { base_sequence, ..stamp }
        });
        let (plain_bytes, records) = (writer.size(), writer.records());
        let stamped = Stamp { producer: stamp, ..Stamp::default() };
        let (bytes, _) = writer.finish(stamped, compressor, &mut Vec::new());
        let place = self.place + first as u64;
        Batch { bytes: bytes.into(), records, plain_bytes, tokens, place, stamp, tried: true }
    }

    /// The sum of what [`size_of`] says of the records: half of it always splits a batch.
    pub(super) fn weight(&self) -> usize {
        let mut scratch = Vec::new();
        let limits = Limits { batch_bytes_max: usize::MAX, check_crc: false };
        let set = RecordSet::new(&self.bytes, limits).next(&mut scratch);
        let records = set.and_then(Result::ok).map(|batch| batch.records());
        records.into_iter().flatten().filter_map(Result::ok).map(|record| size_of(&record)).sum()
    }

    /// The tokens of all records, by number.
    pub(super) fn each_token(&self) -> impl Iterator<Item = u64> {
        self.tokens.each()
    }
}

/// About what a record takes.
fn size_of(record: &Record<'_>) -> usize {
    let headers = record.headers().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len) + 4);
    16 + record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers.sum::<usize>()
}

/// Sequence numbers begin again at 0 behind 2³¹ − 1.
fn after(sequence: i32, records: i32) -> i32 {
    sequence.wrapping_add(records) & i32::MAX
}
