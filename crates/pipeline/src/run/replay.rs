//! Replay: dead letters go back on their way to the output that refused them.
//!
//! A letter is noted as gone when its event is safe: on disk in the pipeline's queue, or,
//! without a queue, delivered or in the dead letters again. A crash in between leaves the
//! letter, so an event may go twice and is never lost; both times it has the same id.

use super::Running;
use super::dead_letters::{DeadLetters, Kept, Select};
use super::now;
use super::parcel::Parcel;
use super::shared::Shared;
use crate::stop::Stop;
use event::{Acks, Batch, Common, New, Origin, Path, Share};
use queue::{Header, QueueError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// Events in a batch, and their bytes.
const EVENTS_MAX: usize = 1_000;
const BYTES_MAX: usize = 256 << 10;
/// Batches that are on their way at once.
const OPEN_MAX: usize = 4;
/// How often progress is told while nothing happens.
const LOOK: Duration = Duration::from_millis(250);

/// The origin of events whose own place is not known, in the registry.
const ORIGIN: &str = "dead-letters";

/// Which letters are replayed.
#[derive(Debug, Clone, Default)]
pub struct ReplayOrder {
    /// Which.
    pub select: Select,
    /// How many at most, the oldest first.
    pub limit: Option<u64>,
}

/// How far a replay is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Letters that were found.
    pub found: u64,
    /// Their events are safe, and they are gone.
    pub replayed: u64,
    /// They could not be sent now, and stay.
    pub failed: u64,
    /// Letters that cannot be replayed, by the reason; they stay.
    pub skipped: BTreeMap<String, u64>,
    /// What the output that is waited for said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

/// Why nothing is replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Somebody else replays or drops.
    #[error("dead letters are being replayed or dropped already; wait for the end of that")]
    Busy,
    /// The letters cannot be read.
    #[error("the dead letters: {0}")]
    Letters(#[from] QueueError),
}

/// Replays letters of a running program; lives on its own while that stops.
pub struct Replayer {
    letters: DeadLetters,
    pipelines: BTreeMap<String, Target>,
    origin: Origin,
    stop: Stop,
}

struct Target {
    shared: Arc<Shared>,
    outputs: Vec<String>,
}

/// A batch that is being filled for an output.
struct Filling {
    pipeline: String,
    output: usize,
    /// The output's bit.
    bit: u64,
    batch: Batch,
    numbers: Vec<u64>,
}

/// What became of a sent batch: its events, and whether they are safe.
type Settled = (u64, bool);

impl Running {
    /// What replays the dead letters of this program.
    pub fn replayer(&self) -> Replayer {
        let known = self.registry.known(ORIGIN).into_iter().next();
        let origin = known.map_or_else(
            || {
                let made = self.registry.create(ORIGIN, String::new(), 0);
                // After a crash the same letter has the same id only if this was saved.
                if let Err(error) = self.registry.flush() {
                    tracing::warn!(%error, "the origin of replayed letters could not be saved");
                }
                made
            },
            |known| known.origin,
        );
        let target = |pipeline: &super::RunningPipeline| {
            let outputs = pipeline.ledger().outputs.into_iter().map(|output| output.name).collect();
            (pipeline.name().to_owned(), Target { shared: pipeline.shared(), outputs })
        };
        Replayer {
            letters: self.dead_letters.clone(),
            pipelines: self.pipelines.iter().map(target).collect(),
            origin,
            stop: self.stop.clone(),
        }
    }
}

impl Replayer {
    /// Replays the letters that there are now. `told` hears now and then how far it is, and
    /// says whether to go on; what is on its way then still counts. A letter that is refused
    /// again is a new letter and not replayed by the same call.
    pub fn run(
        &self,
        order: &ReplayOrder,
        told: &mut dyn FnMut(&Progress) -> bool,
    ) -> Result<Progress, ReplayError> {
        let _acting = self.letters.begin_acting().ok_or(ReplayError::Busy)?;
        let (settled, settling) = mpsc::channel();
        let mut course = Course {
            replayer: self,
            told,
            progress: Progress::default(),
            filling: None,
            open: 0,
            settled,
            settling,
            last: None,
        };
        let limit = order.limit.unwrap_or(u64::MAX);
        let mut flow = ControlFlow::Continue(());
        if limit > 0 {
            self.letters.each(0..self.letters.end(), &order.select, |kept| {
                flow = course.take(kept);
                let is_enough = course.progress.found >= limit || flow.is_break();
                if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        if flow.is_continue() {
            flow = course.send();
        }
        while flow.is_continue() && course.open > 0 {
            flow = course.wait();
        }
        Ok(course.progress)
    }
}

/// One replay.
struct Course<'a> {
    replayer: &'a Replayer,
    told: &'a mut dyn FnMut(&Progress) -> bool,
    progress: Progress,
    filling: Option<Filling>,
    /// Batches on their way.
    open: usize,
    settled: Sender<Settled>,
    settling: Receiver<Settled>,
    /// Whom the last batch was for.
    last: Option<(String, usize)>,
}

impl Course<'_> {
    fn skip(&mut self, reason: String) -> ControlFlow<()> {
        *self.progress.skipped.entry(reason).or_default() += 1;
        ControlFlow::Continue(())
    }

    /// Puts a letter into the batch for its output, and sends that when it is full.
    fn take(&mut self, kept: Kept) -> ControlFlow<()> {
        self.progress.found += 1;
        let Kept { number, letter } = kept;
        if letter.unreadable {
            return self.skip("a record that cannot be read has no events to replay".to_owned());
        }
        let Some(target) = self.replayer.pipelines.get(&letter.pipeline) else {
            return self.skip(format!("there is no pipeline {:?} any more", letter.pipeline));
        };
        let Some(output) = target.outputs.iter().position(|name| *name == letter.output) else {
            return self
                .skip(format!("pipeline {:?} has no output {:?} any more", letter.pipeline, letter.output));
        };
        let is_other = self
            .filling
            .as_ref()
            .is_some_and(|own| own.pipeline != letter.pipeline || own.output != output || own.is_full());
        if is_other {
            self.send()?;
        }
        let filling = self.filling.get_or_insert_with(|| {
            let mut batch = Batch::new();
            batch.reset(now());
            Filling {
                pipeline: letter.pipeline.clone(),
                output,
                bit: target.shared.bit(output),
                batch,
                numbers: Vec::new(),
            }
        });
        let place =
            letter.from.as_ref().and_then(|place| Some((place.origin()?, place.position, place.copy)));
        let place = place.unwrap_or((self.replayer.origin, number, 0));
        let metadata = letter.metadata.as_ref().map(|metadata| metadata.get());
        match filling.add(number, place, letter.event.get(), metadata) {
            Ok(()) => ControlFlow::Continue(()),
            Err(reason) => self.skip(reason),
        }
    }

    /// Sends what was gathered, once few enough batches are on their way.
    fn send(&mut self) -> ControlFlow<()> {
        let Some(filling) = self.filling.take().filter(|filling| !filling.numbers.is_empty()) else {
            return ControlFlow::Continue(());
        };
        while self.open >= OPEN_MAX {
            self.wait()?;
        }
        let Some(target) = self.replayer.pipelines.get(&filling.pipeline) else {
            return ControlFlow::Continue(());
        };
        self.last = Some((filling.pipeline.clone(), filling.output));
        let events = filling.numbers.len() as u64;
        let (letters, settled) = (self.replayer.letters.clone(), self.settled.clone());
        let numbers = filling.numbers;
        let done = move |is_safe: bool| {
            let is_gone = is_safe
                && letters.remove(&numbers).map_err(|error| {
                    tracing::error!(%error, "replayed dead letters could not be removed; they may be replayed twice");
                }).is_ok();
            let _ = settled.send((events, is_gone));
        };
        self.open += 1;
        if target.shared.replay(filling.batch, filling.output, done) {
            self.hear()
        } else {
            self.open -= 1;
            self.progress.failed += events;
            ControlFlow::Break(())
        }
    }

    /// Hears what was settled, without waiting.
    fn hear(&mut self) -> ControlFlow<()> {
        while let Ok(settled) = self.settling.try_recv() {
            self.settle(settled);
        }
        self.tell()
    }

    /// Waits a while for something to be settled.
    fn wait(&mut self) -> ControlFlow<()> {
        match self.settling.recv_timeout(LOOK) {
            Ok(settled) => self.settle(settled),
            Err(RecvTimeoutError::Timeout) => self.progress.waits_for = self.trouble(),
            Err(RecvTimeoutError::Disconnected) => return ControlFlow::Break(()),
        }
        self.tell()
    }

    fn settle(&mut self, (events, is_gone): Settled) {
        self.open -= 1;
        self.progress.waits_for = None;
        if is_gone {
            self.progress.replayed += events;
        } else {
            self.progress.failed += events;
        }
    }

    fn tell(&mut self) -> ControlFlow<()> {
        let goes_on = (self.told)(&self.progress) && !self.replayer.stop.is_set();
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn trouble(&self) -> Option<String> {
        let (pipeline, output) = self.last.as_ref()?;
        let target = self.replayer.pipelines.get(pipeline)?;
        let trouble = target.shared.trouble_of(*output).unwrap_or_else(|| "it is busy".to_owned());
        Some(format!("output {:?}: {trouble}", target.outputs[*output]))
    }
}

impl Filling {
    fn is_full(&self) -> bool {
        self.numbers.len() >= EVENTS_MAX || self.batch.size() >= BYTES_MAX
    }

    fn add(
        &mut self,
        number: u64,
        (origin, position, copy): (Origin, u64, u16),
        event: &str,
        metadata: Option<&str>,
    ) -> Result<(), String> {
        let is_known = self.batch.runs().last().is_some_and(|run| run.common.origin() == origin);
        if !is_known {
            self.batch.begin_run(Common::none(origin), position);
        }
        self.batch
            .push_json(event.as_bytes(), position)
            .map_err(|error| format!("it cannot be read as an event: {error}"))?;
        let mut event = self.batch.event_mut(self.batch.len() - 1);
        if let Some(metadata) = metadata {
            let _ = event.set(&Path::of(["@metadata"]), New::Json(metadata));
        }
        event.set_outputs(self.bit);
        // With it the event has the id that it had.
        event.set_copy(copy);
        self.numbers.push(number);
        Ok(())
    }
}

impl Shared {
    /// Sends a batch to one output alone: through the queue if there is one. `done` is called
    /// once, by another thread, with whether its events are safe. False: it was not taken, and
    /// `done` is not called.
    fn replay(&self, batch: Batch, output: usize, done: impl FnOnce(bool) + Send + 'static) -> bool {
        // A pipeline that is replaced takes nothing new; asking again finds the next one.
        if self.leave.is_set() {
            return false;
        }
        let Some(mut charge) = self.budget.take(0, &self.leave) else { return false };
        charge.resize(batch.size());
        let events = batch.len() as u64;
        let Some(queue) = &self.queue else {
            let share = Share::new(done);
            let mut acks = Acks::default();
            acks.push(share);
            self.count_replayed(&[output], events as i64);
            let parcel = Arc::new(Parcel { batch, ticket: 0, input: 0, charge });
            if self.lanes[output].push((parcel, acks)).is_err() {
                // The share went with it, and said that nothing is safe.
                self.count_replayed(&[output], -(events as i64));
            }
            return true;
        };
        let (time_min, time_max) = batch.time_range();
        let header = Header {
            events: events as u32,
            time_min,
            time_max,
            outputs: self.bit(output),
            codec: super::deliver::BATCH_CODEC,
            positions: Vec::new(),
        };
        let mut record = Vec::new();
        batch.encode(&mut record);
        let ledger = self.ledger.clone();
        let confirmed = Box::new(move |result: Result<(), QueueError>| {
            if result.is_ok() {
                // Every output's cursor passes the record, but it is for one alone.
                for counts in &ledger.outputs {
                    counts.replayed.fetch_add(events, Relaxed);
                    counts.open.fetch_add(events as i64, Relaxed);
                }
            }
            done(result.is_ok());
        });
        queue.append(&header, &record, confirmed).is_ok()
    }

    fn count_replayed(&self, outputs: &[usize], events: i64) {
        for output in outputs {
            let counts = &self.ledger.outputs[*output];
            counts.replayed.fetch_add(events as u64, Relaxed);
            counts.open.fetch_add(events, Relaxed);
        }
    }
}
