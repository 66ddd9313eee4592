//! What all threads of a pipeline use, and the way of a batch through a worker: filters, routes, its
//! turn, and the queue or the outputs.

use super::activity::{Activity, Doing};
use super::budget::{Budget, Charge};
use super::chain::Both;
use super::chains::{Chains, Routes};
use super::deliver::{BATCH_CODEC, LEAVES};
use super::filter_times::FilterTimes;
use super::lane::Lane;
use super::ledger::Ledger;
use super::order::Order;
use super::parcel::{Parcel, Pool};
use super::taps::Taps;
use crate::stop::Stop;
use event::{Acks, Origin};
use queue::{Header, Positions, Queue, QueueError};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The memory that a queue's record may keep between two uses.
const RECORD_BYTES_MAX: usize = 4 << 20;
/// How often a full disk is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(250);

/// A batch behind the filters for which there was no room in the queue.
pub(super) struct Rest {
    pub(super) header: Header,
    record: Vec<u8>,
    acks: Acks,
    charge: Charge,
}

/// What all threads of a pipeline use.
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) ledger: Arc<Ledger>,
    pub(super) budget: Arc<Budget>,
    pub(super) pool: Arc<Pool>,
    /// From the inputs to the workers.
    pub(super) lane: Lane<Parcel>,
    pub(super) order: Order<Worked>,
    pub(super) queue: Option<Arc<Queue>>,
    /// Without a queue: from the workers to the outputs.
    pub(super) lanes: Vec<Arc<OutputLane>>,
    pub(super) records: Mutex<Vec<Vec<u8>>>,
    /// The program is to end.
    pub(super) stop: Stop,
    /// It, or this pipeline, is to end: what finds no room waits no longer.
    pub(super) leave: Stop,
    /// What found no room when the pipeline was to end.
    pub(super) rest: Mutex<Vec<Rest>>,
    pub(super) taps: Arc<Taps>,
    /// The bits of the outputs.
    pub(super) slots: Vec<u32>,
    pub(super) filter_times: FilterTimes,
    /// Of the inputs, workers and outputs.
    pub(super) activities: Activities,
    /// Which inputs are given their events by other pipelines.
    pub(super) handed_on: Vec<bool>,
}

/// What the threads of a pipeline do.
pub(super) struct Activities {
    pub(super) inputs: Vec<Arc<Activity>>,
    pub(super) workers: Vec<Arc<Activity>>,
    pub(super) outputs: Vec<Arc<Activity>>,
}

pub(super) fn activities(count: usize) -> Vec<Arc<Activity>> {
    (0..count).map(|_| Arc::default()).collect()
}

pub(super) type OutputLane = Lane<(Arc<Parcel>, Acks)>;

/// A batch behind the filters; with a queue, its record is written already.
pub(super) struct Worked {
    parcel: Parcel,
    record: Vec<u8>,
}

impl Shared {
    /// What keeps an output from delivering.
    pub(super) fn trouble_of(&self, output: usize) -> Option<String> {
        self.ledger.outputs[output].words().trouble.map(|trouble| trouble.text)
    }

    /// The bit of an output among those of an event.
    pub(super) fn bit(&self, output: usize) -> u64 {
        1 << self.slots[output]
    }

    /// The loop of a worker.
    pub(super) fn work(&self, number: usize, chains: &mut Chains, routes: &Routes) {
        let activity = &self.activities.workers[number];
        let mut counts = self.filter_times.counts();
        loop {
            activity.begin(Doing::Idle);
            let Some(mut parcel) = self.lane.pop() else { return };
            activity.begin(Doing::Work);
            let ticket = parcel.ticket;
            let now = parcel.batch.now();
            let read = parcel.batch.len();
            // The time of each filter is taken with one event of the batch.
            let sampled = ticket.checked_rem(parcel.batch.len() as u64).unwrap_or(0);
            let mut timer = self.filter_times.timer(&mut counts, sampled);
            let failed = match self.taps.watch(&self.name) {
                Some(mut watcher) => {
                    let mut both = Both(&mut watcher, &mut timer);
                    chains.run(parcel.input, &mut parcel.batch, now, &mut both)
                }
                None => chains.run(parcel.input, &mut parcel.batch, now, &mut timer),
            };
            self.filter_times.add(&mut counts);
            self.ledger.filtered.fetch_add(read as u64, Relaxed);
            routes.run(&mut parcel.batch, now);
            if failed > 0 {
                self.ledger.failed.fetch_add(failed, Relaxed);
            }
            let made = parcel.batch.len() - read;
            if made > 0 {
                self.ledger.made.fetch_add(made as u64, Relaxed);
                self.ledger.open.fetch_add(made as i64, Relaxed);
            }
            let (kept, dropped) = parcel.batch.kept_and_dropped();
            if dropped > 0 {
                self.ledger.dropped.fetch_add(dropped as u64, Relaxed);
                self.ledger.open.fetch_sub(dropped as i64, Relaxed);
            }
            parcel.charge.resize(parcel.batch.size());
            let mut record = Vec::new();
            if self.queue.is_some() && kept > 0 {
                record =
                    self.records.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
                record.clear();
                parcel.batch.encode(&mut record);
            }
            let pause = chains.take_pause();
            if !pause.is_zero() {
                // Who wants to end does not want to wait.
                activity.begin(Doing::Pause);
                self.leave.wait(pause);
            }
            activity.begin(Doing::Blocked);
            self.order.bring(ticket, Worked { parcel, record }, |worked| self.hand_on(worked));
        }
    }

    /// Gives a batch, whose turn it is, to the queue or to the outputs.
    fn hand_on(&self, worked: Worked) {
        let Worked { mut parcel, record } = worked;
        let (kept, _) = parcel.batch.kept_and_dropped();
        if kept == 0 {
            // Nothing is left that could be lost; reading it again would drop it again.
            parcel.batch.acks.done();
            self.pool.give(parcel.batch);
            return;
        }
        match &self.queue {
            Some(queue) => self.put(queue, parcel, record, kept),
            None => self.fan_out(parcel, kept),
        }
    }

    fn put(&self, queue: &Queue, parcel: Parcel, record: Vec<u8>, kept: usize) {
        let (time_min, time_max) = parcel.batch.time_range();
        // Where another pipeline's events stood is its business: it may have outputs that lack them.
        let runs = if self.handed_on[parcel.input] { &[] } else { parcel.batch.runs() };
        let positions = runs.iter().map(|run| {
            let Origin { id, generation } = run.common.origin();
            Positions { origin: id, generation, from: run.from, to: run.to, mark: run.mark }
        });
        let header = Header {
            events: kept as u32,
            time_min,
            time_max,
            outputs: parcel.batch.outputs(),
            codec: BATCH_CODEC,
            positions: positions.collect(),
        };
        let Parcel { mut batch, charge, .. } = parcel;
        let acks = batch.acks.take();
        self.pool.give(batch);
        if let Some(record) = self.append(queue, Rest { header, record, acks, charge })
            && record.capacity() <= RECORD_BYTES_MAX
        {
            self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        }
    }

    /// Appends a record, waiting for room; gives its memory back. Where the pipeline is replaced
    /// meanwhile the record waits for the next one.
    fn append(&self, queue: &Queue, rest: Rest) -> Option<Vec<u8>> {
        let Rest { header, record, acks, charge } = rest;
        let kept = header.events;
        let acks = Arc::new(Mutex::new(Some(acks)));
        let mut told = false;
        loop {
            let (acks_then, ledger) = (acks.clone(), self.ledger.clone());
            let confirmed = move |result: Result<(), QueueError>| {
                let Some(mut acks) = acks_then.lock().unwrap_or_else(PoisonError::into_inner).take() else {
                    return;
                };
                match result {
                    Ok(()) => {
                        for output in &ledger.outputs {
                            output.open.fetch_add(i64::from(kept), Relaxed);
                        }
                        acks.done();
                    }
                    Err(error) => {
                        tracing::error!(%error, "the queue could not confirm a batch; it is read again");
                        ledger.returned.fetch_add(u64::from(kept), Relaxed);
                    }
                }
                ledger.open.fetch_sub(i64::from(kept), Relaxed);
            };
            match queue.append(&header, &record, Box::new(confirmed)) {
                Ok(_) => break,
                Err(error) => {
                    if !told && !matches!(error, QueueError::NoRoom) {
                        tracing::error!(%error, "the queue takes nothing; inputs wait and it is tried again");
                        told = true;
                    }
                    if self.leave.wait(FULL_PAUSE) {
                        self.ledger.returned.fetch_add(u64::from(kept), Relaxed);
                        self.ledger.open.fetch_sub(i64::from(kept), Relaxed);
                        let acks = acks.lock().unwrap_or_else(PoisonError::into_inner).take();
                        // What is left undone when the program ends is read again next time.
                        if let Some(acks) = acks.filter(|_| !self.stop.is_set()) {
                            self.rest().push(Rest { header, record, acks, charge });
                        }
                        return None;
                    }
                }
            }
        }
        if told {
            tracing::info!("the queue takes events again");
        }
        Some(record)
    }

    pub(super) fn rest(&self) -> MutexGuard<'_, Vec<Rest>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends what the predecessor found no room for, then lets the workers' batches follow.
    pub(super) fn append_rest(&self, queue: &Queue, rest: Vec<Rest>, leaving: &[Arc<AtomicU64>]) {
        for rest in rest {
            self.append(queue, rest);
        }
        end_at(leaving, queue);
        self.order.release(|worked| self.hand_on(worked));
    }

    fn fan_out(&self, mut parcel: Parcel, kept: usize) {
        let mut acks = parcel.batch.acks.take();
        let parcel = Arc::new(parcel);
        for (number, lane) in self.lanes.iter().enumerate() {
            self.ledger.outputs[number].open.fetch_add(kept as i64, Relaxed);
            let _ = lane.push((parcel.clone(), acks.share()));
        }
        self.ledger.open.fetch_sub(kept as i64, Relaxed);
        acks.done();
    }
}

/// Says to outputs that leave that their part ends here.
pub(super) fn end_at(leaving: &[Arc<AtomicU64>], queue: &Queue) {
    let head = queue.stats().head;
    for fence in leaving {
        let _ = fence.compare_exchange(LEAVES, head, Relaxed, Relaxed);
    }
}
