//! One pipeline: its threads, and how batches are handed from one to the next.
//!
//! It is first [built](Built), which starts nothing and may fail; then it runs, on what its
//! predecessor, if there was one, [left](Remains): the queue, inputs that go on, batches for which
//! there was no room, outputs that are gone and still have something to deliver.

use super::activity::Activity;
use super::budget::Budget;
use super::chains::{Chains, Routes, points_of};
use super::dead_letters::DeadLetters;
use super::deliver::{Deliverer, LEAVES, STAYS};
use super::filter_times::FilterTimes;
use super::lane::Lane;
use super::ledger::{Ledger, LedgerView};
use super::order::Order;
use super::parcel::Pool;
use super::provide::Provide;
use super::pump::{Outlet, Pump};
use super::push::Target;
use super::shared::{Activities, Rest, Shared, activities, end_at};
use super::slots::Slots;
use super::taps::{Point, Taps};
use super::{StartError, World};
use crate::inputs::{Input, InputConfig, InputContext};
use crate::net::sockets::{Held, Sockets};
use crate::outputs::{Output, OutputConfig};
use crate::plan::{Durability, OutputPart, Pipeline, QueueOptions, QueuePart, kind_of};
use crate::registry::Registry;
use crate::stop::Stop;
use queue::{Queue, Start};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What pipelines are built from, and run on.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) world: &'a World,
    pub(super) registry: &'a Arc<Registry>,
    pub(super) dead_letters: &'a DeadLetters,
    pub(super) budget: &'a Arc<Budget>,
    pub(super) batch_bytes: usize,
    pub(super) stop: &'a Stop,
    pub(super) taps: &'a Arc<Taps>,
    pub(super) sockets: &'a Arc<Sockets>,
}

/// A pipeline with all that can be wrong with it behind it, before anything runs.
pub(super) struct Built {
    pub(super) name: String,
    plan: Pipeline,
    /// One for each worker.
    chains: Vec<Chains>,
    routes: Routes,
    outputs: Vec<Box<dyn Output>>,
    /// In the order of the plan; none: the one that runs goes on.
    inputs: Vec<Option<Box<dyn Input>>>,
    points: Vec<Point>,
}

/// A pipeline that runs.
pub struct RunningPipeline {
    name: String,
    pub(super) plan: Pipeline,
    shared: Arc<Shared>,
    threads: Threads,
    store_output: Option<usize>,
    pub(super) registry: Arc<Registry>,
    pub(super) points: Vec<Point>,
    /// What the inputs and the outputs are.
    pub(super) kinds: (Vec<String>, Vec<String>),
    /// The config lacks it: it ends when its queue is empty.
    pub(super) is_leaving: bool,
    /// When it was started, the second time in nanoseconds UTC.
    pub(super) began: (Instant, i64),
    /// How long inputs that go on with it were blocked before it, in nanoseconds.
    pub(super) blocked_before: u64,
}

/// The threads of a pipeline, and how they are asked to end.
pub(super) struct Threads {
    shared: Arc<Shared>,
    plan: Pipeline,
    /// In the order of the plan.
    inputs: Vec<RunningInput>,
    workers: Vec<JoinHandle<()>>,
    /// In the order of the plan, then those that leave.
    outputs: Vec<RunningOutput>,
    halt: Stop,
}

/// An input, which may go on with another pipeline.
pub(super) struct RunningInput {
    name: String,
    config: InputConfig,
    /// Until it is started.
    ready: Option<Box<dyn Input>>,
    thread: Option<JoinHandle<()>>,
    stop: Stop,
    outlet: Arc<Outlet>,
    activity: Arc<Activity>,
    lost: Arc<AtomicU64>,
    held: Vec<Held>,
    is_handed_on: bool,
}

struct RunningOutput {
    name: String,
    thread: JoinHandle<()>,
    halt: Stop,
    fence: Arc<AtomicU64>,
}

/// What a pipeline leaves to the one that takes its place.
#[derive(Default)]
pub(super) struct Remains {
    /// With the options that it was opened with.
    queue: Option<(Arc<Queue>, QueueOptions)>,
    inputs: Vec<RunningInput>,
    outputs: Vec<RunningOutput>,
    rest: Vec<Rest>,
}

/// How many batches wait between two threads at most; their bytes are bounded by the budget.
const LANE_MAX: usize = 2;
/// How long what was read may wait for the outputs, or for room in the queue, once the program is
/// to end. With what an input takes to say goodbye it is less than the five seconds that impatient
/// supervisors give.
const END_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked whether all is done.
const END_LOOK: Duration = Duration::from_millis(10);
/// How often it is said that a queue is being emptied.
const DRAIN_TELL: Duration = Duration::from_secs(10);

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

impl Built {
    /// Builds all parts. An input that `before` runs already goes on, if it is the same.
    pub(super) fn new(
        name: &str,
        plan: &Pipeline,
        parts: &Parts<'_>,
        before: Option<&RunningPipeline>,
    ) -> Result<Self, StartError> {
        check_queue(plan)?;
        let provide = Provide::default();
        let chains = Chains::build(name, plan, &provide)?;
        // A filter that remembers events must see all of them.
        let workers = if chains.remember() { Some(1) } else { plan.workers };
        let workers =
            workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
        let points = points_of(name, plan, &chains);
        let mut all = vec![chains];
        for _ in 1..workers {
            all.push(Chains::build(name, plan, &provide)?);
        }
        let inputs = plan.inputs.iter().map(|(input, part)| {
            let goes_on = before.is_some_and(|before| before.threads.has(input, &part.input));
            if goes_on { Ok(None) } else { build_input(name, input, &part.input, parts).map(Some) }
        });
        Ok(Self {
            name: name.to_owned(),
            chains: all,
            routes: Routes::build(name, plan)?,
            outputs: build_outputs(name, plan, parts.world)?,
            inputs: inputs.collect::<Result<_, _>>()?,
            points,
            plan: plan.clone(),
        })
    }

    /// The points that can be tapped.
    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    /// Whether the input of this name goes on.
    fn keeps(&self, name: &str) -> bool {
        self.plan.inputs.keys().zip(&self.inputs).any(|(own, input)| own == name && input.is_none())
    }

    /// Starts all threads but those of the inputs.
    pub(super) fn start(self, parts: &Parts<'_>, before: Remains) -> Result<RunningPipeline, StartError> {
        let Self { name, plan, chains, routes, outputs, inputs, points } = self;
        let Remains { queue: queue_before, inputs: inputs_before, outputs: leaving, rest } = before;
        let begin = if queue_before.is_some() { Start::SavedOrEnd } else { Start::SavedOrBegin };
        let queue = match (plan.queue_options(), queue_before) {
            (Some(options), Some((queue, own))) if options == own => Some(queue),
            (options, before) => {
                if let Some((queue, _)) = before {
                    queue.stop();
                }
                options.map(|options| open_queue(&name, &plan, &options, parts)).transpose()?
            }
        };
        let names: Vec<&String> = plan.outputs.keys().collect();
        let slots: Vec<u32> = match &queue {
            Some(queue) => {
                let readers: Vec<String> =
                    queue.stats().readers.into_iter().map(|reader| reader.name).collect();
                Slots::open(parts.world.disk.clone(), &name).of(&names, &readers)
            }
            None => (0..).take(names.len()).collect(),
        };
        let routes = routes.with(&slots);
        let mut kept = inputs_before;
        let inputs: Vec<RunningInput> = plan
            .inputs
            .iter()
            .zip(inputs)
            .filter_map(|((name, part), input)| match input {
                Some(input) => Some(RunningInput::new(name, &part.input, input, parts.stop)),
                None => kept.iter().position(|own| own.name == *name).map(|at| kept.swap_remove(at)),
            })
            .collect();
        let mut ledger = Ledger::new(plan.inputs.keys(), plan.outputs.keys());
        for (own, input) in ledger.inputs.iter_mut().zip(&inputs) {
            own.lost = input.lost.clone();
        }
        let ledger = Arc::new(ledger);
        let lanes = match &queue {
            Some(_) => Vec::new(),
            None => outputs.iter().map(|_| Arc::new(Lane::new(LANE_MAX))).collect(),
        };
        let activities = Activities {
            inputs: inputs.iter().map(|input| input.activity.clone()).collect(),
            workers: activities(chains.len()),
            outputs: activities(outputs.len()),
        };
        let shared = Arc::new(Shared {
            name: name.clone(),
            ledger: ledger.clone(),
            budget: parts.budget.clone(),
            pool: Arc::new(Pool::default()),
            lane: Lane::new(LANE_MAX),
            order: if rest.is_empty() { Order::new() } else { Order::held() },
            queue: queue.clone(),
            lanes,
            records: Mutex::new(Vec::new()),
            stop: parts.stop.clone(),
            leave: parts.stop.part(),
            rest: Mutex::default(),
            taps: parts.taps.clone(),
            slots,
            filter_times: FilterTimes::new(chains[0].all()),
            activities,
            handed_on: inputs.iter().map(|input| input.is_handed_on).collect(),
        });
        let halt = Stop::new();
        let mut threads = Threads {
            shared: shared.clone(),
            plan: plan.clone(),
            inputs,
            workers: Vec::new(),
            outputs: Vec::new(),
            halt: halt.clone(),
        };
        for (number, output) in outputs.into_iter().enumerate() {
            let (halt, fence) = (halt.part(), Arc::new(AtomicU64::new(STAYS)));
            let deliverer = Deliverer {
                pipeline: name.clone(),
                number,
                slot: shared.slots[number],
                fence: fence.clone(),
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
                    let reader = queue.reader(names[number], begin);
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
            threads.outputs.push(RunningOutput { name: names[number].clone(), thread, halt, fence });
        }
        if let Some(queue) = &queue {
            tell_of_orphans(&name, queue, &names, &leaving);
        }
        let fences: Vec<_> = leaving.iter().map(|output| output.fence.clone()).collect();
        threads.outputs.extend(leaving);
        if let Some(queue) = &queue {
            if rest.is_empty() {
                end_at(&fences, queue);
            } else {
                // In the new ledger they are as if they were read just now.
                let events: u64 = rest.iter().map(|rest| u64::from(rest.header.events)).sum();
                ledger.read.fetch_add(events, Relaxed);
                ledger.open.fetch_add(events as i64, Relaxed);
                let (shared, queue) = (shared.clone(), queue.clone());
                threads.workers.push(spawn("work:rest", move || shared.append_rest(&queue, rest, &fences))?);
            }
        }
        for (number, mut chains) in chains.into_iter().enumerate() {
            let (shared, routes) = (shared.clone(), routes.clone());
            let label = format!("work:{number}");
            threads.workers.push(spawn(&label, move || shared.work(number, &mut chains, &routes))?);
        }
        let is_store = |output: &OutputPart| matches!(output.output, OutputConfig::Store(_));
        Ok(RunningPipeline {
            store_output: plan.outputs.values().position(is_store),
            registry: parts.registry.clone(),
            points,
            kinds: (
                plan.inputs.values().map(|part| kind_of(&part.input)).collect(),
                plan.outputs.values().map(|part| kind_of(&part.output)).collect(),
            ),
            is_leaving: false,
            began: (Instant::now(), super::now()),
            blocked_before: shared.activities.inputs.iter().map(|own| own.spent().blocked_ns).sum(),
            name,
            plan,
            shared,
            threads,
        })
    }
}

impl RunningInput {
    fn new(name: &str, config: &InputConfig, input: Box<dyn Input>, stop: &Stop) -> Self {
        Self {
            name: name.to_owned(),
            config: config.clone(),
            thread: None,
            stop: stop.part(),
            outlet: Outlet::new(),
            activity: Arc::default(),
            lost: input.lost(),
            held: input.sockets(),
            is_handed_on: input.is_handed_on(),
            ready: Some(input),
        }
    }

    fn is_finished(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Drop for RunningInput {
    fn drop(&mut self) {
        // Where no pipeline took it, its thread must not wait for one.
        self.outlet.end();
    }
}

impl Threads {
    /// Whether this input runs, and may go on as it is.
    fn has(&self, name: &str, config: &InputConfig) -> bool {
        // What other pipelines send comes by addresses of this run of the plan.
        self.inputs.iter().any(|input| input.name == name && input.config == *config && !input.is_handed_on)
    }

    /// Ends what does not go on with `next`. What was read is delivered, lies in the queue, waits for
    /// the next pipeline, or is left undone and read again; nothing waits long for an output that is
    /// down.
    pub(super) fn retire(mut self, next: Option<&Built>) -> Remains {
        let keeps = |input: &RunningInput| next.is_some_and(|next| next.keeps(&input.name));
        let (kept, gone) = std::mem::take(&mut self.inputs).into_iter().partition(keeps);
        let kept: Vec<RunningInput> = kept;
        self.inputs = gone;
        kept.iter().for_each(|input| input.outlet.detach());
        let queue = self.shared.queue.clone();
        self.shared.leave.set();
        if let Some(queue) = &queue {
            queue.refuse_when_full();
        }
        self.inputs.iter().for_each(|input| input.stop.set());
        self.end_reading(&mut None);
        let Some(queue) = queue else {
            join(self.outputs.drain(..).map(|output| output.thread));
            return Remains { inputs: kept, ..Remains::default() };
        };
        queue.flush();
        queue.wait_when_full();
        let options = self.plan.queue_options().unwrap_or_default();
        let stays_open = next.is_some_and(|next| next.plan.queue_options().as_ref() == Some(&options));
        let mut leaving = Vec::new();
        let mut ending = Vec::new();
        for output in self.outputs.drain(..) {
            let is_wanted = next.is_some_and(|next| next.plan.outputs.contains_key(&output.name));
            let part = self.plan.outputs.get(&output.name);
            let is_bus = part.is_some_and(|part| matches!(part.output, OutputConfig::Pipeline(_)));
            if is_wanted || is_bus || !stays_open {
                output.halt.set();
                ending.push(output.thread);
            } else {
                let _ = output.fence.compare_exchange(STAYS, LEAVES, Relaxed, Relaxed);
                leaving.push(output);
            }
        }
        join(ending);
        let rest = std::mem::take(&mut *self.shared.rest());
        Remains { queue: Some((queue, options)), inputs: kept, outputs: leaving, rest }
    }

    /// Waits until the inputs ended and the workers have handed on what these read.
    fn end_reading(&mut self, stopped: &mut Option<Instant>) {
        self.give_time(stopped);
        join(self.inputs.iter_mut().filter_map(|input| input.thread.take()));
        self.shared.lane.close();
        join(self.workers.drain(..));
    }

    /// An output that is down would hold up the end: what was read waits for it, or for room in the
    /// queue before it, and the inputs wait behind that. All have a while, then what was not taken
    /// is left to be read again.
    fn give_time(&self, stopped: &mut Option<Instant>) {
        let Shared { queue, lane, lanes, leave, .. } = &*self.shared;
        let close_lanes = || lanes.iter().for_each(|lane| lane.close());
        loop {
            if self.inputs.iter().all(RunningInput::is_finished) {
                lane.close();
                if self.workers.iter().all(JoinHandle::is_finished) {
                    close_lanes();
                    if queue.is_some() || self.outputs.iter().all(|output| output.thread.is_finished()) {
                        return;
                    }
                }
            }
            if !leave.wait(END_LOOK) {
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
}

impl Remains {
    /// Lets go of it where nothing takes its place. What lies in the queue stays there.
    pub(super) fn end(self) {
        for output in self.outputs {
            output.halt.set();
            join([output.thread]);
        }
        if let Some((queue, _)) = self.queue {
            queue.stop();
        }
    }
}

impl RunningPipeline {
    /// Starts reading.
    pub(super) fn start_inputs(&mut self) -> Result<(), StartError> {
        for (number, input) in self.threads.inputs.iter_mut().enumerate() {
            input.outlet.attach(self.shared.clone(), number);
            if let Some(ready) = input.ready.take() {
                let pump = Pump {
                    name: input.name.clone(),
                    input: ready,
                    outlet: input.outlet.clone(),
                    budget: self.shared.budget.clone(),
                    stop: input.stop.clone(),
                    activity: input.activity.clone(),
                };
                input.thread = Some(spawn(&format!("in:{}", input.name), move || pump.run())?);
            }
        }
        Ok(())
    }

    /// Takes its threads, for the pipeline that takes its place; how it stands can still be seen.
    pub(super) fn take_threads(&mut self) -> Threads {
        let nothing = Threads {
            shared: self.shared.clone(),
            plan: Pipeline::default(),
            inputs: Vec::new(),
            workers: Vec::new(),
            outputs: Vec::new(),
            halt: Stop::new(),
        };
        std::mem::replace(&mut self.threads, nothing)
    }

    /// Whether it is more than what can be seen of one that ended.
    pub(super) fn has_threads(&self) -> bool {
        !self.threads.outputs.is_empty()
    }

    /// Nothing comes any more: what lies in the queue is all.
    pub(super) fn leave(&mut self) {
        self.is_leaving = true;
        self.shared.lane.close();
    }

    /// The sockets of the inputs that do not go on with a plan.
    pub(super) fn sockets_without(&self, plan: Option<&Pipeline>) -> Vec<Held> {
        let goes_on = |input: &&RunningInput| {
            let part = plan.and_then(|plan| plan.inputs.get(&input.name));
            part.is_some_and(|part| self.threads.has(&input.name, &part.input))
        };
        let inputs = self.threads.inputs.iter().filter(|input| !goes_on(input));
        inputs.flat_map(|input| input.held.iter().cloned()).collect()
    }

    pub(super) fn inputs_ended(&self) -> bool {
        self.threads.inputs.iter().all(|input| input.is_handed_on || input.is_finished())
    }

    /// Ends outputs that the config lacks and that have delivered their part; says whether the whole
    /// pipeline, leaving, has nothing more to do.
    pub(super) fn let_go(&mut self) -> bool {
        let Some(queue) = self.shared.queue.clone() else { return self.is_leaving };
        let readers = queue.stats().readers;
        let is_over = |output: &mut RunningOutput| {
            let fence = output.fence.load(Relaxed);
            let reader = readers.iter().find(|reader| reader.name == output.name);
            fence < LEAVES && reader.is_none_or(|reader| reader.cursor >= fence)
        };
        for output in self.threads.outputs.extract_if(.., is_over) {
            output.halt.set();
            join([output.thread]);
            if let Err(error) = queue.forget(&output.name) {
                tracing::warn!(%error, output = output.name, "the cursor of an output that is gone stays");
            }
            tracing::info!(
                pipeline = self.name,
                output = output.name,
                "the output that is gone delivered all"
            );
        }
        let is_read =
            |name: &String| readers.iter().any(|reader| reader.name == *name && reader.lag_events > 0);
        self.is_leaving
            && self.threads.workers.iter().all(JoinHandle::is_finished)
            && !self.plan.outputs.keys().any(is_read)
    }

    /// Waits for the inputs, then lets everything drain and end. `stopped` is when the request to
    /// stop was first seen, by this pipeline or one before it.
    pub(super) fn finish(&mut self, stopped: &mut Option<Instant>) {
        self.threads.end_reading(stopped);
        if let Some(queue) = &self.shared.queue {
            queue.flush();
            // What is left is safe where it is, unless the inputs ended by themselves: then
            // whoever waits for the output wants all of it, as does who asked for it.
            let is_asked = self.plan.queue_options().is_some_and(|options| options.drain);
            if is_asked || !self.shared.stop.is_set() {
                self.drain(queue, is_asked);
            }
            self.threads.halt.set();
            self.threads.outputs.iter().for_each(|output| output.halt.set());
        }
        join(self.threads.outputs.drain(..).map(|output| output.thread));
        if let Some(queue) = &self.shared.queue {
            queue.stop();
        }
    }

    /// Waits until every output delivered everything, or is asked to stop if that ends it.
    fn drain(&self, queue: &Queue, despite_stop: bool) {
        let outputs = &self.threads.outputs;
        let waits = |reader: &queue::ReaderStats| {
            reader.lag_events > 0 && outputs.iter().any(|output| output.name == reader.name)
        };
        let mut told: Option<Instant> = None;
        loop {
            let readers = queue.stats().readers;
            let Some(events) = readers.iter().filter(|reader| waits(reader)).map(|own| own.lag_events).max()
            else {
                return;
            };
            match despite_stop {
                true => std::thread::sleep(END_LOOK),
                false if self.shared.stop.wait(END_LOOK) => return,
                false => {}
            }
            if despite_stop && told.is_none_or(|told| told.elapsed() >= DRAIN_TELL) {
                tracing::info!(
                    pipeline = self.name,
                    events,
                    "empties its queue before it ends; a second signal ends it now"
                );
                told = Some(Instant::now());
            }
        }
    }

    /// What it runs.
    pub fn plan(&self) -> &Pipeline {
        &self.plan
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
        self.threads.inputs.get(input).is_some_and(|input| !input.is_finished())
    }

    /// The ledger as it is now.
    pub fn ledger(&self) -> LedgerView {
        self.shared.ledger.view(&self.name)
    }

    /// The queue, if there is one.
    pub fn queue(&self) -> Option<&Arc<Queue>> {
        self.shared.queue.as_ref()
    }

    /// The way of documents before the store, if this pipeline has the store.
    pub(super) fn target(&self) -> Option<Target> {
        let (queue, output) = (self.shared.queue.clone()?, self.store_output?);
        Some(Target { queue, ledger: self.shared.ledger.clone(), bit: self.shared.bit(output) })
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

/// Says which readers hold events of the queue that nobody will deliver.
fn tell_of_orphans(pipeline: &str, queue: &Queue, names: &[&String], leaving: &[RunningOutput]) {
    for reader in queue.stats().readers {
        let is_known = names.contains(&&reader.name) || leaving.iter().any(|own| own.name == reader.name);
        if !is_known && reader.lag_events > 0 {
            tracing::warn!(
                pipeline,
                output = reader.name,
                events = reader.lag_events,
                "the queue keeps events for an output that the config lacks; they are delivered when it is there again"
            );
        }
    }
}

/// What is wrong with a plan's queue, whatever it holds.
fn check_queue(plan: &Pipeline) -> Result<(), StartError> {
    if plan.has_store() && plan.queue_options().is_none() {
        let message = "the store is always behind a queue; take out \"queue: none\"".to_owned();
        return Err(StartError::Plan(message));
    }
    Ok(())
}

fn open_queue(
    name: &str,
    plan: &Pipeline,
    options: &QueueOptions,
    parts: &Parts<'_>,
) -> Result<Arc<Queue>, StartError> {
    let wrong = |source| StartError::Queue { pipeline: name.to_owned(), source };
    let (queue, recovery) =
        Queue::open(parts.world.disk.clone(), &queue_folder(name), of_plan(options)).map_err(wrong)?;
    if !recovery.is_clean() {
        tracing::warn!(pipeline = name, ?recovery, "the queue was damaged; what is left is delivered");
    }
    if let (true, Some(store)) = (plan.has_store(), &parts.world.store) {
        // The store passes over sequences that it has seen.
        queue.at_least(store.next_sequence()).map_err(wrong)?;
    }
    parts.registry.restore(queue.positions());
    Ok(queue)
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

fn build_input(
    pipeline: &str,
    name: &str,
    config: &InputConfig,
    parts: &Parts<'_>,
) -> Result<Box<dyn Input>, StartError> {
    let context = InputContext {
        name: name.to_owned(),
        registry: parts.registry.clone(),
        host: parts.world.host.clone(),
        batch_bytes: parts.batch_bytes,
        sockets: parts.sockets.clone(),
    };
    config.build(context, &parts.world.bus).map_err(|error| StartError::Part {
        pipeline: pipeline.to_owned(),
        part: "input",
        name: name.to_owned(),
        message: error.to_string(),
    })
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

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
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
        let mut running = Running::start(&plan, &world, Stop::new()).unwrap();
        running.wait_inputs();
        let shared = running.pipelines()[0].shared();
        running.wait();
        let ledger = shared.ledger.view("p");
        // Of `a,b` two are made, of each of these two, and these end: of `c` one is made.
        let counts = (ledger.read, ledger.made, ledger.dropped, ledger.open, ledger.outputs[0].delivered);
        assert_eq!(counts, (4, 12, 4, 0, 12));
        assert_eq!(ledger.filtered, 4);
        let filters = shared.filter_times.all();
        let passed: Vec<_> =
            filters.iter().map(|own| (own.came.load(Relaxed), own.went.load(Relaxed))).collect();
        assert_eq!(passed, [(4, 8), (8, 12), (12, 12)]);
        assert!(ledger.outputs[0].balanced);
        let text = std::fs::read_to_string(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let once = ["a-%{type}", "b-%{type}", "a-x", "b-x", "c-%{type}", "c-x"];
        assert_eq!(lines, [once, once].concat());
    }
}
