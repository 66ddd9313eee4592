//! What the thread that talks with the brokers and the thread of the pipeline share.
//!
//! ```text
//! driver ── portions ──▶ input ── batches ──▶ pipeline
//!   ▲                      │                     │
//!   └── credit, delivered ─┘ ◀─ acknowledgments ─┘
//! ```
//!
//! A portion counts as delivered when its events leave as a batch, not before: what still waits
//! here can be thrown away at any time, and nobody waits for it when partitions are given back.

use crate::wake::Wake;
use bytes::Bytes;
use event::Share;
use kafka_protocol::messages::fetch_response::AbortedTransaction;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use wire::kafka::consumer::offsets::Offsets;
use wire::kafka::consumer::{Lease, TopicPartition};

/// See the module.
pub(super) struct Exchange {
    state: Mutex<State>,
    /// Wakes the driver.
    pub(super) driver: Arc<Wake>,
    /// Wakes the input.
    pub(super) input: Wake,
}

/// What is read, delivered and acknowledged.
pub(super) struct State {
    pub(super) offsets: Offsets,
    pub(super) held: BTreeMap<TopicPartition, Held>,
    ready: VecDeque<Portion>,
    /// Bytes of the portions that are not events yet.
    pub(super) ready_bytes: usize,
    /// The input is to end, at the latest then.
    pub(super) closing: Option<Instant>,
    /// The driver has ended.
    pub(super) ended: bool,
    /// The driver will look for something to commit by itself.
    pub(super) commit_planned: bool,
    /// The driver waits for portions to be taken.
    pub(super) starving: bool,
    /// Partitions are being given back.
    pub(super) draining: bool,
}

/// A partition that this member holds.
pub(super) struct Held {
    pub(super) lease: Lease,
    /// Whether it is read; not while it is given back.
    pub(super) reading: bool,
    /// Whether it is known where it begins.
    pub(super) begun: bool,
    /// The offset behind the last portion.
    pub(super) next: i64,
    /// Counts how often portions were thrown away; those with another number are not delivered.
    pub(super) turn: u64,
    /// The turn in which the log was cut: what was delivered before were other records.
    pub(super) cut: u64,
    /// Bytes of its portions that are not events yet.
    pub(super) ready_bytes: usize,
    /// The group has committed nothing there yet.
    pub(super) uncommitted: bool,
    /// Where to read again, when that is wanted.
    pub(super) again: Option<i64>,
}

/// Records as they came from a broker.
pub(super) struct Portion {
    pub(super) at: Place,
    /// The origin of its events.
    pub(super) origin: [u8; 16],
    /// The offset that was asked for; records before it are left out.
    pub(super) from: i64,
    /// Where reading goes on behind it.
    pub(super) next: i64,
    pub(super) records: Bytes,
    pub(super) aborted: Vec<AbortedTransaction>,
}

/// A partition in one of its stays and turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: TopicPartition,
    pub(super) lease: Lease,
    pub(super) turn: u64,
}

/// What a batch holds of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) at: Place,
    /// The offsets, markers and gaps included.
    pub(super) offsets: Range<i64>,
    /// The leader epoch in which they were written; -1 is unknown.
    pub(super) epoch: i32,
    /// The events in the batch.
    pub(super) events: Range<usize>,
}

/// The batch came too late.
#[derive(Debug)]
pub(super) struct Late;

impl Held {
    pub(super) fn new(lease: Lease) -> Self {
        Self {
            lease,
            reading: true,
            begun: false,
            next: -1,
            turn: 0,
            cut: 0,
            ready_bytes: 0,
            uncommitted: false,
            again: None,
        }
    }
}

impl Exchange {
    pub(super) fn new(offsets: Offsets) -> io::Result<Arc<Self>> {
        let state = State {
            offsets,
            held: BTreeMap::new(),
            ready: VecDeque::new(),
            ready_bytes: 0,
            closing: None,
            ended: false,
            commit_planned: false,
            starving: false,
            draining: false,
        };
        Ok(Arc::new(Self { state: Mutex::new(state), driver: Arc::new(Wake::new()?), input: Wake::new()? }))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next portion that may still be delivered.
    pub(super) fn take(&self) -> Option<Portion> {
        self.state().ready.pop_front()
    }

    /// A portion is events now, or thrown away.
    pub(super) fn finished(&self, portion: &Portion) {
        let mut state = self.state();
        state.forget_bytes(portion);
        if state.starving {
            self.driver.wake();
        }
    }

    /// Whether events of this place would still count.
    pub(super) fn is_current(&self, at: &Place) -> bool {
        self.state().current(at).is_some()
    }

    /// Asks for what lies from this offset on once more.
    pub(super) fn fetch_again(&self, at: &Place, offset: i64) {
        let mut state = self.state();
        if state.current(at).is_some() {
            state.read_again(&at.partition, offset);
            self.driver.wake();
        }
    }

    /// Events leave as a batch: returned is the acknowledgment, if they are any. An error says
    /// that the batch must not leave, because a partition in it is no longer held or is read
    /// again; what it held of others is read again as well.
    pub(super) fn deliver(self: &Arc<Self>, parts: Vec<Part>) -> Result<Option<Share>, Late> {
        let mut state = self.state();
        if !parts.iter().all(|part| state.current(&part.at).is_some()) {
            for part in parts {
                if state.current(&part.at).is_some() {
                    state.read_again(&part.at.partition, part.offsets.start);
                }
            }
            self.driver.wake();
            return Err(Late);
        }
        let mut delivered = Vec::new();
        for part in parts {
            let Place { partition, lease, .. } = &part.at;
            state.offsets.delivered(partition, *lease, part.offsets.clone(), part.epoch);
            if part.events.is_empty() {
                // Markers and what was aborted: nobody has to confirm that.
                state.offsets.acknowledge(partition, *lease, part.offsets);
            } else {
                delivered.push((part.at, part.offsets));
            }
        }
        // What was passed over may be committed, too.
        if !state.commit_planned {
            self.driver.wake();
        }
        if delivered.is_empty() {
            return Ok(None);
        }
        let exchange = self.clone();
        Ok(Some(Share::new(move |done| exchange.settled(&delivered, done))))
    }

    /// What became of a batch.
    fn settled(&self, delivered: &[(Place, Range<i64>)], done: bool) {
        let mut state = self.state();
        let State { held, offsets, .. } = &mut *state;
        for (at, range) in delivered {
            let Some(held) = held.get_mut(&at.partition) else { continue };
            if held.lease != at.lease || at.turn < held.cut {
                continue;
            }
            if done {
                offsets.acknowledge(&at.partition, at.lease, range.clone());
            } else {
                held.again = Some(held.again.map_or(range.start, |again| again.min(range.start)));
            }
        }
        if !done || state.draining || !state.commit_planned {
            self.driver.wake();
        }
    }
}

impl State {
    fn current(&mut self, at: &Place) -> Option<&mut Held> {
        let held = self.held.get_mut(&at.partition)?;
        (held.lease == at.lease && held.turn == at.turn && held.reading).then_some(held)
    }

    pub(super) fn put(&mut self, portion: Portion) {
        let bytes = portion.records.len();
        self.ready_bytes += bytes;
        if let Some(held) = self.held.get_mut(&portion.at.partition) {
            held.ready_bytes += bytes;
            held.next = portion.next;
        }
        self.ready.push_back(portion);
    }

    /// Throws away what waits of a partition; what the input has of it is not delivered.
    pub(super) fn throw_away(&mut self, partition: &TopicPartition) {
        if let Some(held) = self.held.get_mut(partition) {
            held.turn += 1;
        }
        let (gone, ready) = std::mem::take(&mut self.ready)
            .into_iter()
            .partition::<VecDeque<_>, _>(|portion| portion.at.partition == *partition);
        self.ready = ready;
        gone.iter().for_each(|portion| self.forget_bytes(portion));
    }

    /// Has the driver go back. Nothing behind is delivered before: it would look as if nothing
    /// were in between.
    fn read_again(&mut self, partition: &TopicPartition, offset: i64) {
        self.throw_away(partition);
        if let Some(held) = self.held.get_mut(partition) {
            held.again = Some(held.again.map_or(offset, |again| again.min(offset)));
        }
    }

    fn forget_bytes(&mut self, portion: &Portion) {
        let bytes = portion.records.len();
        self.ready_bytes = self.ready_bytes.saturating_sub(bytes);
        if let Some(held) = self.held.get_mut(&portion.at.partition)
            && held.lease == portion.at.lease
        {
            held.ready_bytes = held.ready_bytes.saturating_sub(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::protocol::StrBytes;
    use std::time::Duration;
    use wire::kafka::consumer::topic;

    const LEASE: Lease = Lease(4);

    fn partition() -> TopicPartition {
        TopicPartition::new(topic("t"), 0)
    }

    fn reading() -> Arc<Exchange> {
        let exchange = Exchange::new(Offsets::new(Duration::ZERO, StrBytes::default())).unwrap();
        let mut state = exchange.state();
        state.held.insert(partition(), Held { begun: true, next: 0, ..Held::new(LEASE) });
        state.offsets.begin(partition(), LEASE, 0, -1);
        drop(state);
        exchange
    }

    fn place(lease: Lease, turn: u64) -> Place {
        Place { partition: partition(), lease, turn }
    }

    fn part(at: Place, offsets: Range<i64>) -> Part {
        let events = 0..usize::try_from(offsets.end - offsets.start).unwrap();
        Part { at, offsets, epoch: 1, events }
    }

    fn deliver(exchange: &Arc<Exchange>, offsets: Range<i64>) -> Share {
        exchange.deliver(vec![part(place(LEASE, 0), offsets)]).unwrap().expect("it counts")
    }

    #[test]
    fn only_what_is_safe_is_committed() {
        let exchange = reading();
        let (first, second) = (deliver(&exchange, 0..10), deliver(&exchange, 10..20));
        second.done();
        assert_eq!(exchange.state().offsets.committable(&partition()), Some(0));
        first.done();
        assert_eq!(exchange.state().offsets.committable(&partition()), Some(20));
        let markers = Part { events: 0..0, ..part(place(LEASE, 0), 20..22) };
        assert!(exchange.deliver(vec![markers]).unwrap().is_none(), "nobody has to confirm markers");
        assert_eq!(exchange.state().offsets.committable(&partition()), Some(22));
    }

    #[test]
    fn what_comes_back_undone_is_read_again_from_there() {
        let exchange = reading();
        let shares: Vec<Share> = [0..10, 10..20, 20..30].map(|range| deliver(&exchange, range)).into();
        let [first, second, third]: [Share; 3] = shares.try_into().ok().unwrap();
        drop(third);
        drop(second);
        first.done();
        assert_eq!(exchange.state().held[&partition()].again, Some(10));
    }

    #[test]
    fn nobody_waits_for_what_was_thrown_away() {
        let exchange = reading();
        let portion = |bytes: usize| Portion {
            at: place(LEASE, 0),
            origin: [0; 16],
            from: 0,
            next: 10,
            records: vec![0; bytes].into(),
            aborted: Vec::new(),
        };
        exchange.state().put(portion(7));
        exchange.state().put(portion(5));
        let taken = exchange.take().unwrap();
        assert_eq!(exchange.state().ready_bytes, 12);
        exchange.state().throw_away(&partition());
        assert_eq!(exchange.state().ready_bytes, 7, "what the input has counts until it is finished");
        exchange.finished(&taken);
        let state = exchange.state();
        assert_eq!((state.ready_bytes, state.held[&partition()].ready_bytes), (0, 0));
        drop(state);
        assert!(!exchange.is_current(&taken.at) && exchange.take().is_none());
        assert!(exchange.deliver(vec![part(taken.at, 0..10)]).is_err());
        assert!(exchange.state().offsets.is_drained(&partition()));
    }

    #[test]
    fn a_batch_with_a_part_that_is_late_does_not_leave() {
        let exchange = reading();
        let other = Place { partition: TopicPartition::new(topic("gone"), 0), ..place(LEASE, 0) };
        let parts = vec![part(place(LEASE, 0), 0..10), part(other, 0..10)];
        assert!(exchange.deliver(parts).is_err());
        assert_eq!(exchange.state().held[&partition()].again, Some(0));
        // What comes behind it must not be taken for what comes next.
        assert!(exchange.deliver(vec![part(place(LEASE, 0), 10..20)]).is_err());
        assert_eq!(exchange.state().offsets.committable(&partition()), Some(0));
    }

    #[test]
    fn nothing_is_delivered_behind_what_is_fetched_again() {
        let exchange = reading();
        deliver(&exchange, 0..10).done();
        exchange.fetch_again(&place(LEASE, 0), 10);
        assert!(exchange.deliver(vec![part(place(LEASE, 0), 20..30)]).is_err());
        assert_eq!(exchange.state().offsets.committable(&partition()), Some(10));
    }

    #[test]
    fn acknowledgments_of_another_stay_or_another_log_change_nothing() {
        let exchange = reading();
        let before = deliver(&exchange, 0..10);
        {
            let mut state = exchange.state();
            state.throw_away(&partition());
            state.offsets.jump(&partition(), LEASE, 5);
            let held = state.held.get_mut(&partition()).unwrap();
            held.cut = held.turn;
        }
        let now = exchange.deliver(vec![part(place(LEASE, 1), 5..10)]).unwrap();
        before.done();
        assert_eq!(exchange.state().offsets.committable(&partition()), Some(5));
        now.unwrap().done();
        assert_eq!(exchange.state().offsets.committable(&partition()), Some(10));

        let lost = exchange.deliver(vec![part(place(LEASE, 1), 10..20)]).unwrap().unwrap();
        let again = Lease(5);
        exchange.state().held.insert(partition(), Held { begun: true, ..Held::new(again) });
        exchange.state().offsets.begin(partition(), again, 10, -1);
        let kept = exchange.deliver(vec![part(place(again, 0), 10..20)]).unwrap().unwrap();
        lost.done();
        assert_eq!(exchange.state().offsets.committable(&partition()), Some(10));
        kept.done();
        assert_eq!(exchange.state().offsets.committable(&partition()), Some(20));
    }
}
