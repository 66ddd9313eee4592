//! The heads of record batches: as much as a consumer needs to know where it is and what a
//! failed transaction left behind, without looking at a record.
//!
//! ```text
//! 0 base offset i64 · 8 length i32 (of what follows) · 12 leader epoch i32 · 16 magic i8 (2) · 17 crc u32
//! 21 attributes i16 · 23 last offset delta i32 · 27 base timestamp i64 · 35 max timestamp i64
//! 43 producer id i64 · 51 producer epoch i16 · 53 base sequence i32 · 57 number of records i32 · 61 records
//! ```
//!
//! Messages of the formats before (magic 0 and 1) begin with the same offset and length; a
//! wrapper of compressed ones has the offset of the last inside it, so "one after" holds too.

use kafka_protocol::messages::fetch_response::AbortedTransaction;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

const HEAD_BYTES: usize = 61;
const LENGTH_END: usize = 12;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// The head of a batch, or of a message of an older format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The bytes of the whole batch, in the records of the answer.
    pub bytes: Range<usize>,
    /// The offset of its first record; with an older format the only one that is known.
    pub base_offset: i64,
    /// The offset of its last record, which compaction may have removed.
    pub last_offset: i64,
    /// The leader epoch in which it was written; -1 is unknown.
    pub leader_epoch: i32,
    /// The time of the first record, in milliseconds since 1970; -1 is unknown.
    pub base_timestamp: i64,
    /// Who wrote it; -1: no idempotent producer.
    pub producer_id: i64,
    /// Whether it belongs to a transaction.
    pub transactional: bool,
    /// Whether it holds a marker of a transaction in place of records.
    pub control: bool,
}

impl Head {
    /// The offset at which reading goes on behind the batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset.saturating_add(1)
    }
}

/// The heads of the batches that are there in full. A fetch answer may end in the middle of a
/// batch; that part, and all from the first impossible length on, is left out.
pub fn heads(records: &[u8]) -> impl Iterator<Item = Head> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let head = head(records.get(at..)?, at)?;
        at = head.bytes.end;
        Some(head)
    })
}

fn head(bytes: &[u8], at: usize) -> Option<Head> {
    let length = usize::try_from(i32::from_be_bytes(field(bytes, 8)?)).ok()?;
    let batch = bytes.get(..LENGTH_END.checked_add(length)?)?;
    let base_offset = i64::from_be_bytes(field(batch, 0)?);
    let magic = *batch.get(16)?;
    let bytes = at..at + batch.len();
    if magic < 2 {
        let base_timestamp = if magic == 1 { i64::from_be_bytes(field(batch, 18)?) } else { -1 };
        let (leader_epoch, producer_id) = (-1, -1);
        let last_offset = base_offset;
        let (transactional, control) = (false, false);
        return Some(Head {
            bytes,
            base_offset,
            last_offset,
            leader_epoch,
            base_timestamp,
            producer_id,
            transactional,
            control,
        });
    }
    if batch.len() < HEAD_BYTES {
        return None;
    }
    let attributes = i16::from_be_bytes(field(batch, 21)?);
    Some(Head {
        bytes,
        base_offset,
        last_offset: base_offset.saturating_add(i64::from(i32::from_be_bytes(field(batch, 23)?).max(0))),
        leader_epoch: i32::from_be_bytes(field(batch, 12)?),
        base_timestamp: i64::from_be_bytes(field(batch, 27)?),
        producer_id: i64::from_be_bytes(field(batch, 43)?),
        transactional: attributes & TRANSACTIONAL != 0,
        control: attributes & CONTROL != 0,
    })
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// What a reader of `read_committed` does with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its records are to be delivered.
    Deliver,
    /// It holds a marker; never delivered, with any isolation.
    Marker,
    /// Its transaction was aborted.
    Aborted,
}

/// Tells the batches of aborted transactions from the others. One is for one fetch answer of
/// one partition, whose batches are shown to it in order.
#[derive(Debug, Default)]
pub struct AbortedFilter {
    /// The first offsets of aborted transactions that were not reached yet, by offset.
    ahead: BTreeMap<i64, BTreeSet<i64>>,
    /// Producers in the middle of an aborted transaction.
    open: BTreeSet<i64>,
}

impl AbortedFilter {
    /// From the list in the answer, which is empty with `read_uncommitted`.
    pub fn new(aborted: &[AbortedTransaction]) -> Self {
        let mut filter = Self::default();
        for one in aborted {
            filter.ahead.entry(one.first_offset).or_default().insert(one.producer_id.0);
        }
        filter
    }

    /// What to do with the next batch.
    pub fn verdict(&mut self, head: &Head) -> Verdict {
        while let Some(entry) = self.ahead.first_entry()
            && *entry.key() <= head.last_offset
        {
            self.open.extend(entry.remove());
        }
        if head.control {
            // The marker that ends it; no commit can come before it.
            self.open.remove(&head.producer_id);
            Verdict::Marker
        } else if head.transactional && self.open.contains(&head.producer_id) {
            Verdict::Aborted
        } else {
            Verdict::Deliver
        }
    }
}

/// Offsets that a producer wrote in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// The producer; others may have written in between.
    pub producer_id: i64,
    /// From the first skipped batch to behind the last.
    pub offsets: Range<i64>,
}

/// What to skip in the records of an answer, one entry for each aborted transaction of which
/// records are in it.
pub fn skips(aborted: &[AbortedTransaction], records: &[u8]) -> Vec<Skip> {
    let mut filter = AbortedFilter::new(aborted);
    let mut skips: Vec<Skip> = Vec::new();
    let mut open: BTreeMap<i64, usize> = BTreeMap::new();
    for head in heads(records) {
        match filter.verdict(&head) {
            Verdict::Deliver => {}
            Verdict::Marker => {
                open.remove(&head.producer_id);
            }
            Verdict::Aborted => {
                let index = *open.entry(head.producer_id).or_insert_with(|| {
                    let offsets = head.base_offset..head.base_offset;
                    skips.push(Skip { producer_id: head.producer_id, offsets });
                    skips.len() - 1
                });
                skips[index].offsets.end = head.next_offset();
            }
        }
    }
    skips
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A batch of `count` offsets from `base`, without records.
    pub(in crate::kafka::consumer) fn batch(
        base: i64,
        count: i32,
        producer: i64,
        attributes: i16,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(base.to_be_bytes());
        out.extend(((HEAD_BYTES - LENGTH_END) as i32).to_be_bytes());
        out.extend(7i32.to_be_bytes());
        out.extend([2, 0, 0, 0, 0]);
        out.extend(attributes.to_be_bytes());
        out.extend((count - 1).to_be_bytes());
        out.extend((1000 + base).to_be_bytes());
        out.extend((1000 + base).to_be_bytes());
        out.extend(producer.to_be_bytes());
        out.extend([0; 10]);
        out
    }

    const DATA: i16 = TRANSACTIONAL;
    const MARKER: i16 = TRANSACTIONAL | CONTROL;

    fn aborted(list: &[(i64, i64)]) -> Vec<AbortedTransaction> {
        let one = |(producer, first): &(i64, i64)| {
            AbortedTransaction::default().with_producer_id((*producer).into()).with_first_offset(*first)
        };
        list.iter().map(one).collect()
    }

    #[test]
    fn aborted_transactions_are_skipped() {
        #[track_caller]
        fn check(batches: &[(i64, i32, i64, i16)], list: &[(i64, i64)], expected: &[(i64, Range<i64>)]) {
            let records: Vec<u8> = batches
                .iter()
                .flat_map(|(base, count, who, kind)| batch(*base, *count, *who, *kind))
                .collect();
            let found: Vec<_> = skips(&aborted(list), &records)
                .into_iter()
                .map(|skip| (skip.producer_id, skip.offsets))
                .collect();
            assert_eq!(found, expected);
        }
        let ours = [(0, 5, 1, DATA), (5, 1, 1, MARKER), (6, 2, 1, DATA), (8, 1, 1, MARKER)];
        check(&ours, &[(1, 0)], &[(1, 0..5)]); // the second transaction was committed
        check(&ours, &[(1, 6)], &[(1, 6..8)]);
        check(&ours, &[(1, 0), (1, 6)], &[(1, 0..5), (1, 6..8)]);
        check(&ours, &[], &[]);
        // Others write in between, with and without transactions.
        let mixed = [
            (0, 1, 1, DATA),
            (1, 1, 2, DATA),
            (2, 1, -1, 0),
            (3, 1, 1, DATA),
            (4, 1, 1, MARKER),
            (5, 1, 2, MARKER),
        ];
        check(&mixed, &[(1, 0)], &[(1, 0..4)]);
        check(&mixed, &[(2, 1)], &[(2, 1..2)]);
        // The transaction began before the answer, and its marker comes behind it.
        check(&[(10, 5, 1, DATA)], &[(1, 3)], &[(1, 10..15)]);
        // The producer's batch without a transaction.
        check(&[(0, 1, 1, 0)], &[(1, 0)], &[]);
    }

    #[test]
    fn heads_are_read_and_a_cut_batch_is_left_out() {
        let mut records = batch(5, 3, -1, 0);
        records.extend(batch(20, 1, 9, DATA));
        let found: Vec<Head> = heads(&records).collect();
        assert_eq!((found[0].base_offset, found[0].next_offset(), found[0].leader_epoch), (5, 8, 7));
        assert_eq!((found[1].producer_id, found[1].transactional, found[1].control), (9, true, false));
        assert_eq!(found[1].bytes, 61..122);
        assert_eq!(heads(&records[..121]).count(), 1);
        assert_eq!(heads(&records[..60]).count(), 0);
        // A message of format 1: offset, length, crc, magic, attributes, timestamp.
        let mut old = 41i64.to_be_bytes().to_vec();
        old.extend(22i32.to_be_bytes());
        old.extend([0, 0, 0, 0, 1, 0]);
        old.extend(77i64.to_be_bytes());
        old.extend([0; 8]);
        let found: Vec<Head> = heads(&old).collect();
        assert_eq!((found[0].next_offset(), found[0].base_timestamp, found.len()), (42, 77, 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_left(mut bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0..200i32) {
            if bytes.len() > 17 {
                bytes[8..12].copy_from_slice(&length.to_be_bytes());
                bytes[16] %= 3;
            }
            let total: usize = heads(&bytes).map(|head| head.bytes.len()).sum();
            prop_assert!(total <= bytes.len());
        }
    }
}
