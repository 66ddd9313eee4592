//! One pipeline: its threads, and how batches are handed from one to the next.

use super::activity::{Activity, Doing};
use super::budget::Budget;
use super::chain::{Chain, Watch, condition_of};
use super::dead_letters::DeadLetters;
use super::deliver::{BATCH_CODEC, DOCS_CODEC, Deliverer};
use super::filter_times::FilterTimes;
use super::lane::Lane;
use super::ledger::{Ledger, LedgerView, Said};
use super::order::Order;
use super::parcel::{Parcel, Pool};
use super::provide::Provide;
use super::taps::{Point, Spot, Taps};
use super::{StartError, World, now};
use crate::inputs::{Input, InputContext, Next};
use crate::outputs::{Output, OutputConfig};
use crate::plan::{Durability, Pipeline, QueueOptions, QueuePart, kind_of};
use crate::registry::Registry;
use crate::stop::Stop;
use event::{Acks, Batch, Origin};
use expr::Condition;
use queue::{Header, Positions, Queue, QueueError, Start};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a pipeline is built from.
pub(super) struct Parts<'a> {
    pub(super) name: &'a str,
    pub(super) plan: &'a Pipeline,
    pub(super) world: &'a World,
    pub(super) registry: &'a Arc<Registry>,
    pub(super) dead_letters: &'a DeadLetters,
    pub(super) budget: &'a Arc<Budget>,
    pub(super) batch_bytes: usize,
    pub(super) stop: &'a Stop,
    pub(super) taps: &'a Arc<Taps>,
}

/// A pipeline that runs.
pub struct RunningPipeline {
    name: String,
    shared: Arc<Shared>,
    inputs: Inputs,
    input_threads: Vec<JoinHandle<()>>,
    worker_threads: Vec<JoinHandle<()>>,
    output_threads: Vec<JoinHandle<()>>,
    halt: Stop,
    store_output: Option<usize>,
    pub(super) registry: Arc<Registry>,
    pub(super) points: Vec<Point>,
    /// What the inputs and the outputs are.
    pub(super) kinds: (Vec<String>, Vec<String>),
}

/// What all threads of a pipeline use.
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) ledger: Arc<Ledger>,
    pub(super) budget: Arc<Budget>,
    pool: Arc<Pool>,
    /// From the inputs to the workers.
    lane: Lane<Parcel>,
    order: Order<Worked>,
    pub(super) queue: Option<Arc<Queue>>,
    /// Without a queue: from the workers to the outputs.
    pub(super) lanes: Vec<Arc<OutputLane>>,
    records: Mutex<Vec<Vec<u8>>>,
    pub(super) stop: Stop,
    taps: Arc<Taps>,
    pub(super) filter_times: FilterTimes,
    /// Of the inputs, workers and outputs.
    pub(super) activities: Activities,
    /// Which inputs are given their events by other pipelines.
    handed_on: Vec<bool>,
}

/// What the threads of a pipeline do.
pub(super) struct Activities {
    pub(super) inputs: Vec<Arc<Activity>>,
    pub(super) workers: Vec<Arc<Activity>>,
    pub(super) outputs: Vec<Arc<Activity>>,
}

impl Activities {
    fn of(inputs: usize, workers: usize, outputs: usize) -> Self {
        let some = |count: usize| (0..count).map(|_| Arc::default()).collect();
        Self { inputs: some(inputs), workers: some(workers), outputs: some(outputs) }
    }
}

pub(super) type OutputLane = Lane<(Arc<Parcel>, Acks)>;

/// A batch behind the filters; with a queue, its record is written already.
struct Worked {
    parcel: Parcel,
    record: Vec<u8>,
}

/// How many batches wait between two threads at most; their bytes are bounded by the budget.
const LANE_MAX: usize = 4;
/// The memory that a queue's record may keep between two uses.
const RECORD_BYTES_MAX: usize = 4 << 20;
/// How often a full disk is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(250);
/// How long what was read may wait for the outputs, or for room in the queue, once the program is
/// to end. With what an input takes to say goodbye it is less than the five seconds that impatient
/// supervisors give.
const END_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked whether all is done.
const END_LOOK: Duration = Duration::from_millis(10);
/// How soon reading that failed is tried again at first.
const INPUT_PAUSE: Duration = Duration::from_millis(100);

impl Pipeline {
    /// Whether it writes to the embedded store.
    pub fn has_store(&self) -> bool {
        self.outputs.values().any(|output| matches!(output.output, OutputConfig::Store(_)))
    }

    /// Whether events are pushed to it.
    pub fn is_pushed(&self) -> bool {
        self.inputs.values().any(|input| input.input.is_push())
    }

    /// The options of its queue, if it has one: as written, else one where there is the store
    /// or more than one output, and where events are pushed to us: who sends them need not wait for
    /// the outputs then.
    pub fn queue_options(&self) -> Option<QueueOptions> {
        match &self.queue {
            Some(QueuePart::Word(_)) => None,
            Some(QueuePart::With(options)) => Some(options.clone()),
            None if self.has_store() || self.outputs.len() > 1 || self.is_pushed() => {
                Some(QueueOptions::default())
            }
            None => None,
        }
    }
}

/// Where a pipeline's queue lies in the data directory.
pub fn queue_folder(pipeline: &str) -> PathBuf {
    Path::new("queue").join(pipeline)
}

impl RunningPipeline {
    /// Builds all parts and starts all threads but those of the inputs.
    pub(super) fn prepare(parts: Parts<'_>) -> Result<Self, StartError> {
        let Parts { name, plan, world, .. } = parts;
        let queue = open_queue(&parts)?;
        if let Some(queue) = &queue {
            parts.registry.restore(queue.positions());
        }
        let provide = Provide::default();
        let chains = Chains::build(name, plan, &provide)?;
        let routes = Routes::build(name, plan)?;
        let outputs = build_outputs(name, plan, world)?;
        let inputs = build_inputs(&parts)?;
        let mut ledger = Ledger::new(plan.inputs.keys(), plan.outputs.keys());
        for (own, (_, input)) in ledger.inputs.iter_mut().zip(&inputs) {
            own.lost = input.lost();
        }
        let ledger = Arc::new(ledger);
        // A filter that remembers events must see all of them.
        let workers = if chains.remember() { Some(1) } else { plan.workers };
        let workers =
            workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
        let points = points_of(name, plan, &chains);
        let lanes = match &queue {
            Some(_) => Vec::new(),
            None => outputs.iter().map(|_| Arc::new(Lane::new(LANE_MAX))).collect(),
        };
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            ledger: ledger.clone(),
            budget: parts.budget.clone(),
            pool: Arc::new(Pool::default()),
            lane: Lane::new(LANE_MAX),
            order: Order::new(),
            queue: queue.clone(),
            lanes,
            records: Mutex::new(Vec::new()),
            stop: parts.stop.clone(),
            taps: parts.taps.clone(),
            filter_times: FilterTimes::new(chains.all()),
            activities: Activities::of(inputs.len(), workers, outputs.len()),
            handed_on: inputs.iter().map(|(_, input)| input.is_handed_on()).collect(),
        });
        let halt = Stop::new();
        let mut running = Self {
            name: name.to_owned(),
            shared: shared.clone(),
            inputs,
            input_threads: Vec::new(),
            worker_threads: Vec::new(),
            output_threads: Vec::new(),
            halt: halt.clone(),
            store_output: plan
                .outputs
                .values()
                .position(|output| matches!(output.output, OutputConfig::Store(_))),
            registry: parts.registry.clone(),
            points,
            kinds: (
                plan.inputs.values().map(|part| kind_of(&part.input)).collect(),
                plan.outputs.values().map(|part| kind_of(&part.output)).collect(),
            ),
        };
        let names: Vec<&String> = plan.outputs.keys().collect();
        for (number, output) in outputs.into_iter().enumerate() {
            let deliverer = Deliverer {
                pipeline: name.to_owned(),
                number,
                output,
                ledger: ledger.clone(),
                dead_letters: parts.dead_letters.clone(),
                halt: halt.clone(),
                troubled: Cell::default(),
                activity: shared.activities.outputs[number].clone(),
                taps: parts.taps.clone(),
                tapped: 0,
            };
            let label = format!("out:{}", names[number]);
            let thread = match &queue {
                Some(queue) => {
                    let reader = queue.reader(names[number], Start::SavedOrBegin);
                    let waiting = reader.lag_events();
                    ledger.outputs[number].carried.store(waiting, Relaxed);
                    ledger.outputs[number].open.store(waiting as i64, Relaxed);
                    spawn(&label, move || deliverer.run_queue(reader))?
                }
                None => {
                    let (lane, pool) = (shared.lanes[number].clone(), shared.pool.clone());
                    spawn(&label, move || deliverer.run_lane(&lane, &pool))?
                }
            };
            running.output_threads.push(thread);
        }
        for number in 0..workers {
            let shared = shared.clone();
            let (mut chains, routes) = (Chains::build(name, plan, &provide)?, routes.clone());
            running
                .worker_threads
                .push(spawn(&format!("work:{number}"), move || shared.work(number, &mut chains, &routes))?);
        }
        Ok(running)
    }

    /// Starts reading.
    pub(super) fn start_inputs(&mut self) -> Result<(), StartError> {
        for (number, (name, input)) in std::mem::take(&mut self.inputs).into_iter().enumerate() {
            let shared = self.shared.clone();
            self.input_threads.push(spawn(&format!("in:{name}"), move || shared.pump(number, &name, input))?);
        }
        Ok(())
    }

    pub(super) fn inputs_ended(&self) -> bool {
        let threads = self.input_threads.iter().zip(&self.shared.handed_on);
        threads.into_iter().all(|(thread, is_handed_on)| *is_handed_on || thread.is_finished())
    }

    pub(super) fn join_inputs(&mut self) {
        join(&mut self.input_threads);
    }

    /// Waits for the inputs, then lets everything drain and end. `stopped` is when the request to
    /// stop was first seen, by this pipeline or one before it.
    pub(super) fn finish(&mut self, stopped: &mut Option<Instant>) {
        self.give_time(stopped);
        self.join_inputs();
        self.shared.lane.close();
        join(&mut self.worker_threads);
        if let Some(queue) = &self.shared.queue {
            queue.flush();
            // What is left is safe where it is, unless the inputs ended by themselves: then
            // whoever waits for the output wants all of it.
            if !self.shared.stop.is_set() {
                self.drain(queue);
            }
            self.halt.set();
        }
        join(&mut self.output_threads);
        if let Some(queue) = &self.shared.queue {
            queue.stop();
        }
    }

    /// Waits until every output delivered everything, or is asked to stop.
    fn drain(&self, queue: &Queue) {
        while queue.stats().readers.iter().any(|reader| reader.lag_events > 0) {
            if self.shared.stop.wait(Duration::from_millis(20)) {
                return;
            }
        }
    }

    /// An output that is down would hold up the end: what was read waits for it, or for room in the
    /// queue before it, and the inputs wait behind that. All have a while, then what was not taken
    /// is left to be read again.
    fn give_time(&self, stopped: &mut Option<Instant>) {
        let Shared { queue, lane, lanes, stop, .. } = &*self.shared;
        let ended = |threads: &[JoinHandle<()>]| threads.iter().all(JoinHandle::is_finished);
        let close_lanes = || lanes.iter().for_each(|lane| lane.close());
        loop {
            if ended(&self.input_threads) {
                lane.close();
                if ended(&self.worker_threads) {
                    close_lanes();
                    if queue.is_some() || ended(&self.output_threads) {
                        return;
                    }
                }
            }
            if !stop.wait(END_LOOK) {
                continue;
            }
            if stopped.get_or_insert_with(Instant::now).elapsed() >= END_WAIT {
                match queue {
                    Some(queue) => queue.refuse_when_full(),
                    None => self.halt.set(),
                }
                lane.close();
                return close_lanes();
            }
            std::thread::sleep(END_LOOK);
        }
    }

    /// The pipeline's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Whether the input of this number still reads.
    pub(super) fn is_reading(&self, input: usize) -> bool {
        self.input_threads.get(input).is_some_and(|thread| !thread.is_finished())
    }

    /// The ledger as it is now.
    pub fn ledger(&self) -> LedgerView {
        self.shared.ledger.view(&self.name)
    }

    /// The queue, if there is one.
    pub fn queue(&self) -> Option<&Arc<Queue>> {
        self.shared.queue.as_ref()
    }

    /// A way to put documents before the store from outside, if this pipeline has the store.
    pub fn push(&self) -> Option<Push> {
        let queue = self.shared.queue.clone()?;
        Some(Push { queue, ledger: self.shared.ledger.clone(), output: self.store_output? })
    }

    /// Tells the queue what the saved registry covers, so that it may let go of segments.
    pub fn registry_saved(&self) {
        let Some(queue) = &self.shared.queue else { return };
        // What is confirmed by now is in the registry by now.
        let confirmed = queue.stats().confirmed;
        if self.registry.flush().is_ok() {
            queue.registry_synced(confirmed);
        }
    }
}

/// Puts documents that came through the API into the queue before the store.
#[derive(Clone)]
pub struct Push {
    queue: Arc<Queue>,
    ledger: Arc<Ledger>,
    output: usize,
}

/// What became of a push; given once the disk has it.
pub type Pushed = Result<(), QueueError>;

impl Push {
    /// Appends documents in the form of [`store::docs`](crate::outputs::store::docs). Waits
    /// while the queue is full. `confirmed` is called when the disk has them.
    pub fn push(
        &self,
        docs: &[u8],
        events: u32,
        now: i64,
        confirmed: impl FnOnce(Pushed) + Send + 'static,
    ) -> Result<u64, QueueError> {
        let bit = 1 << self.output;
        let header = Header {
            events,
            time_min: now,
            time_max: now,
            outputs: bit,
            codec: DOCS_CODEC,
            positions: Vec::new(),
        };
        let ledger = self.ledger.clone();
        let confirmed = Box::new(move |result: Pushed| {
            if result.is_ok() {
                // Every output's cursor passes the record, but it is the store's alone.
                for counts in &ledger.outputs {
                    counts.pushed.fetch_add(u64::from(events), Relaxed);
                    counts.open.fetch_add(i64::from(events), Relaxed);
                }
            }
            confirmed(result);
        });
        self.queue.append(&header, docs, confirmed)
    }

    /// The sequence of the next event: whatever was pushed before is below it.
    pub fn head(&self) -> u64 {
        self.queue.stats().head
    }
}

impl Shared {
    /// What keeps an output from delivering.
    pub(super) fn trouble_of(&self, output: usize) -> Option<String> {
        self.ledger.outputs[output].words().trouble.map(|trouble| trouble.text)
    }

    /// The loop around an input.
    fn pump(&self, number: usize, name: &str, mut input: Box<dyn Input>) {
        let mut pause = INPUT_PAUSE;
        let (own, activity) = (&self.ledger.inputs[number], &self.activities.inputs[number]);
        activity.begin(Doing::Blocked);
        let is_handed_on = self.handed_on[number];
        let charge =
            || if is_handed_on { Some(self.budget.overdraw()) } else { self.budget.take(0, &self.stop) };
        while let Some(mut charge) = charge() {
            let mut batch = self.pool.take(now());
            activity.begin(Doing::Work);
            let next = input.next(&mut batch, &self.stop);
            activity.begin(Doing::Blocked);
            match next {
                Ok(Next::Filled) => {
                    if pause > INPUT_PAUSE {
                        *own.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
                        pause = INPUT_PAUSE;
                    }
                    let events = batch.len();
                    charge.resize(batch.size());
                    self.ledger.read.fetch_add(events as u64, Relaxed);
                    self.ledger.bytes.fetch_add(batch.bytes().len() as u64, Relaxed);
                    self.ledger.open.fetch_add(events as i64, Relaxed);
                    own.events.fetch_add(events as u64, Relaxed);
                    own.bytes.fetch_add(batch.bytes().len() as u64, Relaxed);
                    if self.taps.is_open() {
                        self.taps.show(&self.name, Spot::Input(number), &batch, !0);
                    }
                    let parcel = Parcel { batch, ticket: 0, input: number, charge };
                    if self.lane.push_numbered(parcel, |parcel, ticket| parcel.ticket = ticket).is_err() {
                        return;
                    }
                }
                Ok(Next::Stopped | Next::Ended) => return,
                Err(error) => {
                    tracing::warn!(input = name, %error, "reading failed; it is tried again");
                    let text = error.to_string();
                    let mut trouble = own.trouble.lock().unwrap_or_else(PoisonError::into_inner);
                    if trouble.as_ref().is_none_or(|trouble| trouble.text != text) {
                        *trouble = Some(Said::now(text, now()));
                    }
                    drop(trouble);
                    activity.begin(Doing::Pause);
                    if self.stop.wait(pause) {
                        return;
                    }
                    pause = (pause * 2).min(Duration::from_secs(30));
                }
            }
        }
    }

    /// The loop of a worker.
    fn work(&self, number: usize, chains: &mut Chains, routes: &Routes) {
        let activity = &self.activities.workers[number];
        loop {
            activity.begin(Doing::Idle);
            let Some(mut parcel) = self.lane.pop() else { return };
            activity.begin(Doing::Work);
            let ticket = parcel.ticket;
            let now = parcel.batch.now();
            let read = parcel.batch.len();
            let failed = match self.taps.watch(&self.name) {
                Some(mut watcher) => chains.run(parcel.input, &mut parcel.batch, now, &mut watcher),
                None => {
                    // The time of each filter is taken with one event of the batch.
                    let sampled = ticket.checked_rem(parcel.batch.len() as u64).unwrap_or(0);
                    let mut timer = self.filter_times.timer(sampled);
                    chains.run(parcel.input, &mut parcel.batch, now, &mut timer)
                }
            };
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
                self.stop.wait(pause);
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
            Some(queue) => self.append(queue, parcel, record, kept),
            None => self.fan_out(parcel, kept),
        }
    }

    fn append(&self, queue: &Queue, mut parcel: Parcel, record: Vec<u8>, kept: usize) {
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
        let acks = Arc::new(Mutex::new(Some(parcel.batch.acks.take())));
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
                            output.open.fetch_add(kept as i64, Relaxed);
                        }
                        acks.done();
                    }
                    Err(error) => {
                        tracing::error!(%error, "the queue could not confirm a batch; it is read again");
                        ledger.returned.fetch_add(kept as u64, Relaxed);
                    }
                }
                ledger.open.fetch_sub(kept as i64, Relaxed);
            };
            match queue.append(&header, &record, Box::new(confirmed)) {
                Ok(_) => break,
                Err(error) => {
                    if !told && !matches!(error, QueueError::NoRoom) {
                        tracing::error!(%error, "the queue takes nothing; inputs wait and it is tried again");
                        told = true;
                    }
                    if self.stop.wait(FULL_PAUSE) {
                        // What was not taken is left undone: its input reads it again next time.
                        self.ledger.returned.fetch_add(kept as u64, Relaxed);
                        self.ledger.open.fetch_sub(kept as i64, Relaxed);
                        return;
                    }
                }
            }
        }
        if told {
            tracing::info!("the queue takes events again");
        }
        self.pool.give(parcel.batch);
        if record.capacity() <= RECORD_BYTES_MAX {
            self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        }
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

/// The chains of a worker: one per input with filters of its own, and the pipeline's.
struct Chains {
    own: Vec<Chain>,
    all: Chain,
}

impl Chains {
    fn build(name: &str, plan: &Pipeline, provide: &Provide) -> Result<Self, StartError> {
        let wrong = |source| StartError::Chain { pipeline: name.to_owned(), source };
        let own = plan
            .inputs
            .iter()
            .map(|(input, part)| Chain::build(&part.filters, &format!("inputs.{input}.filters"), provide));
        let own = own.collect::<Result<_, _>>().map_err(wrong)?;
        Ok(Self { own, all: Chain::build(&plan.filters, "filters", provide).map_err(wrong)? })
    }

    fn remember(&self) -> bool {
        self.all().any(Chain::remembers)
    }

    /// All chains: those of the inputs, in order, and the pipeline's.
    fn all(&self) -> impl Iterator<Item = &Chain> {
        self.own.iter().chain([&self.all])
    }

    fn run(&mut self, input: usize, batch: &mut Batch, now: i64, watch: &mut impl Watch) -> u64 {
        let last = self.own.len();
        let own = &mut self.own[input];
        let all = &mut self.all;
        if own.is_empty() && all.is_empty() {
            return 0;
        }
        let mut failed = 0;
        batch.each(|event| {
            watch.next_event();
            watch.enter(input);
            failed += own.run(event, now, watch);
            // What the input's filters made goes through the pipeline's as well.
            let mut next = Some(event.index());
            while let Some(index) = next {
                event.turn_to(index);
                next = event.next_copy();
                if !event.is_dropped() {
                    watch.enter(last);
                    failed += all.run(event, now, watch);
                }
            }
        });
        batch.arrange();
        failed
    }

    /// How long filters want the batch to wait.
    fn take_pause(&mut self) -> Duration {
        self.own.iter_mut().chain([&mut self.all]).map(Chain::take_pause).sum()
    }
}

/// The points of a pipeline that can be tapped, in the order in which events come to them.
fn points_of(name: &str, plan: &Pipeline, chains: &Chains) -> Vec<Point> {
    let mut points = Vec::new();
    let filters = |number: usize, chain: &Chain, points: &mut Vec<Point>| {
        for (step, filter) in chain.filters().iter().enumerate() {
            let at = filter.at.replace('[', ".").replace(']', "");
            for (side, spot) in [("in", Spot::StepIn(number, step)), ("out", Spot::StepOut(number, step))] {
                points.push(Point::new(name, format!("{at}:{side}"), &filter.kind, spot));
            }
        }
    };
    for (number, (input, part)) in plan.inputs.iter().enumerate() {
        points.push(Point::new(name, format!("inputs.{input}"), &kind_of(&part.input), Spot::Input(number)));
        filters(number, &chains.own[number], &mut points);
    }
    filters(chains.own.len(), &chains.all, &mut points);
    for (number, (output, part)) in plan.outputs.iter().enumerate() {
        let kind = kind_of(&part.output);
        points.push(Point::new(name, format!("outputs.{output}"), &kind, Spot::Output(number)));
        points.push(Point::new(name, format!("outputs.{output}:refused"), &kind, Spot::Refused(number)));
    }
    points
}

/// Which outputs an event is for.
#[derive(Clone)]
struct Routes(Vec<Option<Condition>>);

impl Routes {
    fn build(name: &str, plan: &Pipeline) -> Result<Self, StartError> {
        if plan.outputs.len() > 63 {
            return Err(StartError::Plan(format!("pipeline {name:?} has more than 63 outputs")));
        }
        let compiled = plan.outputs.iter().map(|(output, part)| {
            part.when.as_ref().map(|when| condition_of(when, &format!("outputs.{output}.when"))).transpose()
        });
        let compiled = compiled.collect::<Result<_, _>>();
        compiled.map(Self).map_err(|source| StartError::Chain { pipeline: name.to_owned(), source })
    }

    fn run(&self, batch: &mut Batch, now: i64) {
        if self.0.iter().all(Option::is_none) {
            return;
        }
        batch.each(|event| {
            let mut outputs = 0;
            for (number, condition) in self.0.iter().enumerate() {
                if condition.as_ref().is_none_or(|condition| condition.matches(event, now)) {
                    outputs |= 1 << number;
                }
            }
            event.set_outputs(outputs);
        });
    }
}

fn open_queue(parts: &Parts<'_>) -> Result<Option<Arc<Queue>>, StartError> {
    let Some(options) = parts.plan.queue_options() else {
        if parts.plan.has_store() {
            let message = "the store is always behind a queue; take out \"queue: none\"".to_owned();
            return Err(StartError::Plan(message));
        }
        return Ok(None);
    };
    let wrong = |source| StartError::Queue { pipeline: parts.name.to_owned(), source };
    let (queue, recovery) =
        Queue::open(parts.world.disk.clone(), &queue_folder(parts.name), of_plan(&options)).map_err(wrong)?;
    if !recovery.is_clean() {
        tracing::warn!(pipeline = parts.name, ?recovery, "the queue was damaged; what is left is delivered");
    }
    if let (true, Some(store)) = (parts.plan.has_store(), &parts.world.store) {
        // The store passes over sequences that it has seen.
        queue.at_least(store.next_sequence()).map_err(wrong)?;
    }
    Ok(Some(queue))
}

fn of_plan(options: &QueueOptions) -> queue::Options {
    queue::Options {
        segment_bytes_max: options.segment_bytes.0,
        bytes_max: options.bytes_max.0,
        events_max: options.events_max,
        durability: match options.durability {
            Durability::Fsync => queue::Durability::Fsync,
            Durability::Os => queue::Durability::Os,
            Durability::Memory => queue::Durability::Memory,
        },
        group_time: options.group_time.0,
        ..queue::Options::default()
    }
}

/// Inputs by their names in the plan.
type Inputs = Vec<(String, Box<dyn Input>)>;

fn build_inputs(parts: &Parts<'_>) -> Result<Inputs, StartError> {
    let build = |(name, part): (&String, &crate::plan::InputPart)| {
        let context = InputContext {
            name: name.clone(),
            registry: parts.registry.clone(),
            host: parts.world.host.clone(),
            batch_bytes: parts.batch_bytes,
        };
        let input = part.input.build(context, &parts.world.bus).map_err(|error| StartError::Part {
            pipeline: parts.name.to_owned(),
            part: "input",
            name: name.clone(),
            message: error.to_string(),
        })?;
        Ok((name.clone(), input))
    };
    parts.plan.inputs.iter().map(build).collect()
}

fn build_outputs(pipeline: &str, plan: &Pipeline, world: &World) -> Result<Vec<Box<dyn Output>>, StartError> {
    let build = |(name, part): (&String, &crate::plan::OutputPart)| {
        part.output.build(world).map_err(|message| StartError::Part {
            pipeline: pipeline.to_owned(),
            part: "output",
            name: name.clone(),
            message,
        })
    };
    plan.outputs.iter().map(build).collect()
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    // The kernel cuts names at 15 bytes by itself.
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(StartError::Thread)
}

fn join(threads: &mut Vec<JoinHandle<()>>) {
    for thread in threads.drain(..) {
        if thread.join().is_err() {
            tracing::error!("a thread of the pipeline panicked; what it held is read again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Running;
    use super::*;
    use crate::plan::Plan;
    use disk::RealDisk;

    #[test]
    fn what_filters_make_is_counted_and_comes_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let plan = format!(
            r#"{{"pipelines":{{"p":{{
                "inputs":{{"g":{{"generate":{{"lines":["a,b","c"],"count":4}},
                    "filters":[{{"clone":{{"clones":["x"],"names":"legacy"}}}}]}}}},
                "filters":[{{"split":{{"terminator":","}}}},{{"sleep":{{"time":"0.001"}}}}],
                "queue":"none",
                "outputs":{{"f":{{"file":{{"path":{out:?},"codec":{{"text":"%{{message}}-%{{type}}"}}}}}}}}
            }}}}}}"#
        );
        let plan: Plan = serde_json::from_str(&plan).unwrap();
        let disk = Arc::new(RealDisk::open(folder.path().join("data")).unwrap());
        let world = World { disk, store: None, host: "h".to_owned(), bus: crate::run::bus::Bus::default() };
        let mut running = Running::start(&plan, &world).unwrap();
        running.wait_inputs();
        let shared = running.pipelines()[0].shared();
        running.wait();
        let ledger = shared.ledger.view("p");
        // Of `a,b` two are made, of each of these two, and these end: of `c` one is made.
        let counts = (ledger.read, ledger.made, ledger.dropped, ledger.open, ledger.outputs[0].delivered);
        assert_eq!(counts, (4, 12, 4, 0, 12));
        assert!(ledger.outputs[0].balanced);
        let text = std::fs::read_to_string(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let once = ["a-%{type}", "b-%{type}", "a-x", "b-x", "c-%{type}", "c-x"];
        assert_eq!(lines, [once, once].concat());
    }
}
