//! The loop around an output: reading its cursor, trying again, dead letters, acknowledging.

use super::activity::{Activity, Doing};
use super::dead_letters::{DeadLetters, Letter, Place};
use super::lane::{Lane, Popped};
use super::ledger::Ledger;
use super::now;
use super::parcel::{Parcel, Pool};
use super::taps::{Spot, Taps};
use crate::outputs::{self, Delivery, Output, OutputError, Refused};
use crate::stop::Stop;
use event::{Acks, Batch, Path};
use queue::{Acker, Reader, Record};
use serde_json::value::RawValue;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The codec number of a batch's record in the queue.
pub(super) const BATCH_CODEC: u8 = 0;

/// The codec number of documents that came through the API, for the store alone.
pub(super) const DOCS_CODEC: u8 = 1;

/// How long a look for more may wait before the output is asked what it has settled.
const LOOK: Duration = Duration::from_millis(100);
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long it waits before everything that was not settled is given again.
const LOST_PAUSE: Duration = Duration::from_secs(1);

/// The fence of an output that stays, and that of one of which it is not known yet what is its last.
pub(super) const STAYS: u64 = u64::MAX;
pub(super) const LEAVES: u64 = u64::MAX - 1;

/// What an output's thread works with.
pub(super) struct Deliverer {
    pub(super) pipeline: String,
    pub(super) number: usize,
    /// Its bit among the outputs of an event.
    pub(super) slot: u32,
    /// The sequence at which its part ends, once the config lacks it.
    pub(super) fence: Arc<AtomicU64>,
    pub(super) output: Box<dyn Output>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) dead_letters: DeadLetters,
    /// Set when what is left may stay where it is: in the queue, or unread.
    pub(super) halt: Stop,
    /// What the trouble is that is told.
    pub(super) troubled: Cell<Option<Source>>,
    pub(super) activity: Arc<Activity>,
    pub(super) taps: Arc<Taps>,
    /// What stands before this sequence was given to whoever taps.
    pub(super) tapped: u64,
}

/// Events for this output, and those for others.
fn split(batch: &Batch, bit: u64) -> (u64, u64) {
    let mine = batch.events().filter(|event| event.outputs() & bit != 0).count();
    let (kept, _) = batch.kept_and_dropped();
    (mine as u64, (kept - mine) as u64)
}

/// A batch that was written and waits to be settled.
struct Waiting<T> {
    end: u64,
    written: Written,
    acknowledge: T,
}

/// What became of the events of a batch.
#[derive(Default, Clone, Copy)]
struct Written {
    delivered: u64,
    /// These are counted already.
    dead: u64,
    elsewhere: u64,
}

/// Why an output's thread does not go on with a batch.
enum Leave {
    /// It was asked to leave it where it is.
    Halted,
    /// What was written since it was last settled is given again.
    Rewind,
    /// The output has no room: it is asked again once it was asked what is settled.
    Full,
}

impl Deliverer {
    fn bit(&self) -> u64 {
        1 << self.slot
    }

    /// Whether the config lacks this output.
    fn is_leaving(&self) -> bool {
        self.fence.load(Relaxed) != STAYS
    }

    /// Delivers what the queue holds for this output.
    pub(super) fn run_queue(mut self, mut reader: Reader) {
        let acker = reader.acker();
        let mut batch = Batch::new();
        let mut waiting: VecDeque<Waiting<(u64, u32)>> = VecDeque::new();
        let mut past = false;
        loop {
            match self.turn(&mut reader, &acker, &mut batch, &mut waiting, &mut past) {
                Ok(()) => {}
                Err(Leave::Halted | Leave::Full) => break,
                Err(Leave::Rewind) => {
                    self.forget(&waiting);
                    waiting.clear();
                    reader.rewind();
                    past = false;
                }
            }
        }
        // The last chance to make safe what was written; what is not is in the queue.
        if waiting.is_empty() {
            return;
        }
        let _ = self.settle(&mut waiting, true, |(sequence, events)| acker.ack(sequence, events));
    }

    fn turn(
        &mut self,
        reader: &mut Reader,
        acker: &Acker,
        batch: &mut Batch,
        waiting: &mut VecDeque<Waiting<(u64, u32)>>,
        past: &mut bool,
    ) -> Result<(), Leave> {
        let look = if waiting.is_empty() { LOOK * 5 } else { LOOK };
        self.activity.begin(Doing::Idle);
        let record = match *past {
            true => {
                // What is its own was read; what is not safe yet may have to be read again.
                self.halt.wait(look);
                None
            }
            false if self.halt.is_set() => None,
            false => reader.next(look),
        };
        *past |= record.as_ref().is_some_and(|record| record.sequence >= self.fence.load(Relaxed));
        let record = record.filter(|_| !*past);
        let idle = record.is_none();
        if let Some(record) = record {
            self.activity.begin(Doing::Work);
            let events = record.header.events;
            let written = loop {
                match self.deliver_record(&record, batch) {
                    Err(Leave::Full) => {
                        self.settle(waiting, false, |(sequence, events)| acker.ack(sequence, events))?;
                    }
                    other => break other?,
                }
            };
            let end = record.sequence + u64::from(events);
            waiting.push_back(Waiting { end, written, acknowledge: (record.sequence, events) });
        }
        let halted = self.halt.is_set();
        if !waiting.is_empty() {
            self.settle(waiting, idle || halted, |(sequence, events)| acker.ack(sequence, events))?;
        }
        if halted { Err(Leave::Halted) } else { Ok(()) }
    }

    /// Takes back what was counted of batches that are given again.
    fn forget<T>(&self, waiting: &VecDeque<Waiting<T>>) {
        let ledger = &self.ledger.outputs[self.number];
        for Written { dead, elsewhere, .. } in waiting.iter().map(|one| one.written) {
            ledger.dead.fetch_sub(dead, Relaxed);
            ledger.elsewhere.fetch_sub(elsewhere, Relaxed);
            ledger.open.fetch_add((dead + elsewhere) as i64, Relaxed);
        }
    }

    fn deliver_record(&mut self, record: &Record, batch: &mut Batch) -> Result<Written, Leave> {
        let events = u64::from(record.header.events);
        if record.header.outputs & self.bit() == 0 {
            let ledger = &self.ledger.outputs[self.number];
            ledger.elsewhere.fetch_add(events, Relaxed);
            ledger.open.fetch_sub(events as i64, Relaxed);
            return Ok(Written { elsewhere: events, ..Written::default() });
        }
        let unreadable = match record.header.codec {
            DOCS_CODEC => {
                self.retry(|output| output.write_docs(&record.body, record.sequence))?;
                return Ok(Written { delivered: events, ..Written::default() });
            }
            BATCH_CODEC => match batch.decode(&record.body) {
                Ok(()) => return self.deliver(batch, record.sequence),
                Err(error) => error.to_string(),
            },
            other => format!("codec {other} is unknown"),
        };
        self.bury_record(record, &unreadable)?;
        Ok(Written { dead: events, ..Written::default() })
    }

    /// A record that cannot be read goes to the dead letters as it is, in hexadecimal.
    fn bury_record(&mut self, record: &Record, reason: &str) -> Result<(), Leave> {
        tracing::error!(sequence = record.sequence, reason, "a record of the queue cannot be read");
        let ledger = self.ledger.clone();
        let ledger = &ledger.outputs[self.number];
        let now = now();
        let hex: String = record.body.iter().map(|byte| format!("{byte:02x}")).collect();
        let event = format!("{{\"record\":\"{hex}\"}}");
        let letter =
            Letter { unreadable: true, ..Letter::new(&self.pipeline, &ledger.name, reason, now, &event) };
        self.put(std::slice::from_ref(&letter), now)?;
        ledger.dead.fetch_add(u64::from(record.header.events), Relaxed);
        ledger.open.fetch_sub(i64::from(record.header.events), Relaxed);
        Ok(())
    }

    /// Delivers what comes through a lane, where the inputs wait for the acknowledgment.
    pub(super) fn run_lane(mut self, lane: &Lane<(Arc<Parcel>, Acks)>, pool: &Pool) {
        let mut waiting: VecDeque<Waiting<Acks>> = VecDeque::new();
        let mut sequence = 0;
        loop {
            self.activity.begin(Doing::Idle);
            let (popped, closed) = match lane.pop_within(if waiting.is_empty() { LOOK * 5 } else { LOOK }) {
                Popped::Thing(thing) => (Some(thing), false),
                Popped::Nothing => (None, false),
                Popped::Closed => (None, true),
            };
            let idle = popped.is_none();
            if let Some((parcel, acks)) = popped {
                self.activity.begin(Doing::Work);
                // Without a queue nothing can be given again but by the input, which reads again
                // what is let go here.
                let written = loop {
                    match self.deliver(&parcel.batch, sequence) {
                        Err(Leave::Full) => {
                            if let Err(leave) = self.settle(&mut waiting, false, |mut acks: Acks| acks.done())
                            {
                                break Err(leave);
                            }
                        }
                        other => break other,
                    }
                };
                let Ok(written) = written else { break };
                sequence += parcel.batch.len() as u64;
                waiting.push_back(Waiting { end: sequence, written, acknowledge: acks });
                if let Ok(parcel) = Arc::try_unwrap(parcel) {
                    pool.give(parcel.batch);
                }
            } else if !closed {
                pool.shrink();
            }
            if !waiting.is_empty() && self.settle(&mut waiting, idle, |mut acks: Acks| acks.done()).is_err() {
                break;
            }
            if closed && (waiting.is_empty() || self.halt.is_set()) {
                break;
            }
        }
        // What arrived need not be read again.
        if !waiting.is_empty() {
            let _ = self.settle(&mut waiting, true, |mut acks: Acks| acks.done());
        }
    }

    /// Writes the batch, again and again until the output takes it.
    fn deliver(&mut self, batch: &Batch, sequence: u64) -> Result<Written, Leave> {
        let delivery = Delivery { batch, bit: self.bit(), sequence };
        let (mine, elsewhere) = split(batch, self.bit());
        if self.taps.is_open() && sequence >= self.tapped && !self.is_leaving() {
            self.taps.show(&self.pipeline, Spot::Output(self.number), batch, self.bit());
        }
        self.tapped = self.tapped.max(sequence + mine + elsewhere);
        let mut refused = Vec::new();
        if mine > 0 {
            self.retry(|output| {
                refused.clear();
                output.write(&delivery, &mut refused)
            })?;
        }
        let ledger = self.ledger.clone();
        let ledger = &ledger.outputs[self.number];
        if !refused.is_empty() {
            self.bury(&delivery, &ledger.name, &refused)?;
            ledger.dead.fetch_add(refused.len() as u64, Relaxed);
            ledger.open.fetch_sub(refused.len() as i64, Relaxed);
        }
        if elsewhere > 0 {
            ledger.elsewhere.fetch_add(elsewhere, Relaxed);
            ledger.open.fetch_sub(elsewhere as i64, Relaxed);
        }
        let dead = refused.len() as u64;
        Ok(Written { delivered: mine - dead, dead, elsewhere })
    }

    /// Acknowledges, in order, what the output says is safe.
    fn settle<T>(
        &mut self,
        waiting: &mut VecDeque<Waiting<T>>,
        idle: bool,
        mut acknowledge: impl FnMut(T),
    ) -> Result<(), Leave> {
        let mut refused = Vec::new();
        let settled = self.output.settled(idle, &mut refused);
        self.bury_late(waiting, &refused)?;
        let settled = match settled {
            Ok(settled) => settled,
            Err(error) => {
                self.trouble(&error, Source::Settling);
                return self.after(&error);
            }
        };
        if waiting.front().is_some_and(|first| first.end <= settled) {
            self.untroubled(Source::Settling);
        }
        let ledger = &self.ledger.outputs[self.number];
        while waiting.front().is_some_and(|first| first.end <= settled) {
            let Some(first) = waiting.pop_front() else { break };
            ledger.delivered.fetch_add(first.written.delivered, Relaxed);
            ledger.open.fetch_sub(first.written.delivered as i64, Relaxed);
            acknowledge(first.acknowledge);
        }
        Ok(())
    }

    /// What was refused after it was written goes to the dead letters.
    fn bury_late<T>(
        &mut self,
        waiting: &mut VecDeque<Waiting<T>>,
        refused: &[outputs::Letter],
    ) -> Result<(), Leave> {
        if refused.is_empty() {
            return Ok(());
        }
        let ledger = self.ledger.clone();
        let ledger = &ledger.outputs[self.number];
        let now = now();
        let letters = refused
            .iter()
            .map(|refused| Letter::new(&self.pipeline, &ledger.name, &refused.reason, now, &refused.event));
        self.put(&letters.collect::<Vec<_>>(), now)?;
        for outputs::Letter { sequence, .. } in refused {
            if let Some(batch) = waiting.iter_mut().find(|batch| *sequence < batch.end) {
                batch.written.delivered -= 1;
                batch.written.dead += 1;
            }
        }
        ledger.dead.fetch_add(refused.len() as u64, Relaxed);
        ledger.open.fetch_sub(refused.len() as i64, Relaxed);
        Ok(())
    }

    /// Keeps letters, however long it takes.
    fn put(&self, letters: &[Letter], now: i64) -> Result<(), Leave> {
        let mut pause = PAUSE_FIRST;
        while let Err(error) = self.dead_letters.put(letters, now) {
            self.trouble(&error, Source::Writing);
            if self.pause(&mut pause) {
                return Err(Leave::Halted);
            }
        }
        if let Some(last) = letters.last() {
            self.ledger.outputs[self.number].refused(&last.reason, now);
        }
        if self.taps.is_open() {
            for letter in letters {
                self.taps.show_refused(&self.pipeline, self.number, letter.event.get(), &letter.reason);
            }
        }
        Ok(())
    }

    /// After an error: whether the output wants again what it was given.
    fn after(&self, error: &OutputError) -> Result<(), Leave> {
        let OutputError::Lost(_) = error else { return Ok(()) };
        self.ledger.outputs[self.number].retries.fetch_add(1, Relaxed);
        if self.pause(&mut { LOST_PAUSE }) { Err(Leave::Halted) } else { Err(Leave::Rewind) }
    }

    fn retry(
        &mut self,
        mut write: impl FnMut(&mut dyn Output) -> Result<(), OutputError>,
    ) -> Result<(), Leave> {
        let mut pause = PAUSE_FIRST;
        loop {
            match write(&mut *self.output) {
                Ok(()) => {
                    self.untroubled(Source::Writing);
                    return Ok(());
                }
                Err(OutputError::Full) if self.halt.is_set() => return Err(Leave::Halted),
                Err(OutputError::Full) => return Err(Leave::Full),
                Err(error) => {
                    self.trouble(&error, Source::Writing);
                    self.after(&error)?;
                    self.ledger.outputs[self.number].retries.fetch_add(1, Relaxed);
                }
            }
            if self.pause(&mut pause) {
                return Err(Leave::Halted);
            }
        }
    }

    /// Waits with growing pauses and jitter; says whether it was asked to give up.
    fn pause(&self, pause: &mut Duration) -> bool {
        let jitter = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        let until = Instant::now() + jitter;
        self.activity.begin(Doing::Pause);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if self.halt.wait(left) {
                return true;
            }
        }
        self.activity.begin(Doing::Work);
        *pause = (*pause * 2).min(PAUSE_MAX);
        self.halt.is_set()
    }

    fn bury(&mut self, delivery: &Delivery<'_>, output: &str, refused: &[Refused]) -> Result<(), Leave> {
        let now = now();
        let metadata = Path::of(["@metadata"]);
        let mut letters = Vec::new();
        for (sequence, event) in delivery.events() {
            let Some(refusal) = refused.iter().find(|refusal| refusal.sequence == sequence) else { continue };
            let mut json = Vec::new();
            event.write_json(&mut json);
            let json = String::from_utf8_lossy(&json);
            let letter = Letter::new(&self.pipeline, output, &refusal.reason, now, &json);
            let metadata = match event.get(&metadata) {
                Some(event::Value::Json(text)) => RawValue::from_string(text.into_owned()).ok(),
                _ => None,
            };
            letters.push(Letter { from: Place::of(&event), metadata, ..letter });
        }
        self.put(&letters, now)
    }

    fn trouble(&self, error: &dyn std::fmt::Display, source: Source) {
        let ledger = &self.ledger.outputs[self.number];
        let text = error.to_string();
        if ledger.trouble(&text, now()) {
            tracing::warn!(output = ledger.name, error = text, "an output cannot deliver; it is tried again");
        }
        self.troubled.set(Some(source));
    }

    /// It goes on; what only settling can tell is not over because something was written.
    fn untroubled(&self, source: Source) {
        if self.troubled.get() != Some(source) {
            return;
        }
        self.troubled.set(None);
        let ledger = &self.ledger.outputs[self.number];
        ledger.untroubled();
        tracing::info!(output = ledger.name, "the output delivers again");
    }
}

/// Where an output's trouble came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Writing,
    Settling,
}
