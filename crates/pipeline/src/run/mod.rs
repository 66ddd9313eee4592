//! Running a plan: threads, hand-overs, acknowledgments and the way out.
//!
//! ```text
//! input thread ─▶ lane ─▶ workers (chain, encode) ─▶ order ─┬─▶ queue ─▶ output thread (own cursor)
//!                                                            └─▶ lane  ─▶ output thread
//! ```
//! Each input and each output has a thread of its own, workers are shared by a pipeline.
//! Shutdown is one broadcast: inputs stop, what was read drains, then the threads end.

mod activity;
pub mod budget;
pub mod bus;
pub mod chain;
mod chains;
pub mod dead_letters;
mod deliver;
mod early;
mod filter_times;
pub mod lane;
pub mod ledger;
mod order;
mod parcel;
mod pipeline;
mod provide;
mod pump;
mod push;
mod reload;
pub mod replay;
mod shared;
mod slots;
pub mod stats;
pub mod taps;
pub mod trial;

pub use activity::Spent;
pub use pipeline::{RunningPipeline, queue_folder};
pub use provide::Provide;
pub use push::{Push, Pushed};
pub use reload::Changes;

use crate::net::sockets::Sockets;
use crate::plan::Plan;
use crate::registry::Registry;
use crate::stop::Stop;
use budget::Budget;
use bus::Bus;
use dead_letters::DeadLetters;
use disk::{Disk, DiskError};
use pipeline::{Built, Parts, Remains};
use stats::Passed;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Store;
use taps::{Point, TapError, TapOrder, Tapping, Taps};

/// Why a plan cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A step of a chain.
    #[error("pipeline {pipeline:?}: {source}")]
    Chain {
        /// The pipeline.
        pipeline: String,
        /// What is wrong.
        source: chain::ChainError,
    },
    /// An input or an output.
    #[error("pipeline {pipeline:?}, {part} {name:?}: {message}")]
    Part {
        /// The pipeline.
        pipeline: String,
        /// `input` or `output`.
        part: &'static str,
        /// The part's name.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// The plan as a whole.
    #[error("{0}")]
    Plan(String),
    /// The data directory.
    #[error("{0}")]
    Disk(#[from] DiskError),
    /// The queue.
    #[error("pipeline {pipeline:?}: {source}")]
    Queue {
        /// The pipeline.
        pipeline: String,
        /// What is wrong.
        source: queue::QueueError,
    },
    /// The store.
    #[error("the store: {0}")]
    Store(String),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// What a plan runs on.
#[derive(Clone)]
pub struct World {
    /// The data directory.
    pub disk: Arc<dyn Disk>,
    /// The store, when the plan has one.
    pub store: Option<Arc<Store>>,
    /// This machine's name.
    pub host: String,
    /// The addresses of its pipelines; one for each program that runs.
    pub bus: Bus,
}

/// A plan that runs.
pub struct Running {
    stop: Stop,
    registry: Arc<Registry>,
    pipelines: Vec<RunningPipeline>,
    dead_letters: DeadLetters,
    budget: Arc<Budget>,
    batch_bytes: usize,
    taps: Arc<Taps>,
    world: World,
    /// Sockets on their way from inputs to inputs.
    sockets: Arc<Sockets>,
    /// The way of documents before the store.
    door: Arc<push::Door>,
    /// What holds as long as the program runs: the plan that it was started with, without pipelines.
    fixed: Plan,
    /// What passed through pipelines that ended.
    passed: Passed,
}

/// Of the memory limit, what events under way may take; the rest is the queue's tail, the
/// store's buffers and the program itself.
const BUDGET_SHARE: u64 = 4;
const MEMORY_LIMIT: u64 = 256 << 20;
/// About how many bytes a batch holds.
const BATCH_BYTES: usize = 256 << 10;

impl Running {
    /// Starts everything; `stop` ends it. When anything is wrong, nothing runs.
    pub fn start(plan: &Plan, world: &World, stop: Stop) -> Result<Self, StartError> {
        let (registry, report) = Registry::open(world.disk.clone())?;
        if !report.is_clean() {
            tracing::warn!(?report, "the registry was damaged; what it lost is read again");
        }
        let dead_letters =
            DeadLetters::open(world.disk.clone(), &plan.dead_letters.clone().unwrap_or_default())
                .map_err(|source| StartError::Queue { pipeline: dead_letters::FOLDER.to_owned(), source })?;
        let limit = plan.memory_limit.map_or(MEMORY_LIMIT, |limit| limit.0);
        let budget = Budget::new((limit / BUDGET_SHARE) as usize);
        let batch_bytes = BATCH_BYTES.min(budget.limit() / 8).max(4 << 10);
        let order = check_order(plan)?;
        let mut running = Self {
            stop,
            registry,
            pipelines: Vec::new(),
            dead_letters,
            budget,
            batch_bytes,
            taps: Arc::default(),
            world: world.clone(),
            sockets: Arc::default(),
            door: Arc::default(),
            fixed: Plan { pipelines: BTreeMap::new(), ..plan.clone() },
            passed: Passed::default(),
        };
        for name in order {
            let Some(pipeline) = plan.pipelines.get(name) else { continue };
            let parts = running.parts();
            let started = Built::new(name, pipeline, &parts, None)
                .and_then(|built| built.start(&parts, Remains::default()));
            match started {
                Ok(pipeline) => running.pipelines.push(pipeline),
                Err(error) => {
                    running.stop();
                    running.wait();
                    return Err(error);
                }
            }
        }
        for pipeline in &mut running.pipelines {
            pipeline.start_inputs()?;
        }
        running.lead_documents();
        Ok(running)
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            world: &self.world,
            registry: &self.registry,
            dead_letters: &self.dead_letters,
            budget: &self.budget,
            batch_bytes: self.batch_bytes,
            stop: &self.stop,
            taps: &self.taps,
            sockets: &self.sockets,
        }
    }

    /// Leads documents from outside to the pipeline that has the store.
    fn lead_documents(&self) {
        self.door.lead_to(self.pipelines.iter().find_map(RunningPipeline::target));
    }

    /// A way to put documents before the store from outside, if a pipeline has the store.
    pub fn push(&self) -> Option<Push> {
        self.pipelines.iter().find_map(RunningPipeline::target).map(|_| Push::new(self.door.clone()))
    }

    /// Asks the inputs to stop; [`wait`](Self::wait) then sees the rest through.
    pub fn stop(&self) {
        self.stop.set();
    }

    /// The request to stop, for whoever else must know of it.
    pub fn stopping(&self) -> Stop {
        self.stop.clone()
    }

    /// Waits until all inputs ended, by themselves or because they were asked to.
    pub fn wait_inputs(&mut self) {
        while !self.inputs_ended() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Whether all inputs ended, those aside that take what other pipelines send.
    pub fn inputs_ended(&self) -> bool {
        self.pipelines.iter().all(RunningPipeline::inputs_ended)
    }

    /// Waits for the inputs, drains what was read, and ends the threads.
    pub fn wait(mut self) {
        let mut stopped = None;
        for pipeline in &mut self.pipelines {
            pipeline.finish(&mut stopped);
        }
        self.dead_letters.stop();
        if let Err(error) = self.registry.flush() {
            tracing::error!(%error, "the positions could not be saved; some lines will be read again");
        }
    }

    /// The pipelines.
    pub fn pipelines(&self) -> &[RunningPipeline] {
        &self.pipelines
    }

    /// The positions.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The dead letters.
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.dead_letters
    }

    /// The points that can be tapped, in the order in which events come to them.
    pub fn points(&self) -> Vec<Point> {
        self.pipelines.iter().flat_map(|pipeline| pipeline.points.iter().cloned()).collect()
    }

    /// Looks at events as they pass. It is dropped when the looker goes.
    pub fn tap(&self, order: TapOrder) -> Result<Tapping, TapError> {
        self.taps.open(order, &self.points())
    }

    /// The memory of events under way: used and limit, in bytes.
    pub fn memory(&self) -> (usize, usize) {
        (self.budget.used(), self.budget.limit())
    }
}

/// The pipelines of a plan in the order in which events go through them, if it can be run.
fn check_order(plan: &Plan) -> Result<Vec<&String>, StartError> {
    if plan.pipelines.values().filter(|pipeline| pipeline.has_store()).count() > 1 {
        return Err(StartError::Plan(
            "only one pipeline may write to the store; give it both inputs".to_owned(),
        ));
    }
    bus::order(plan)
        .map_err(|misled| StartError::Plan(format!("pipeline {:?}: {}", misled.pipeline, misled.message)))
}

/// Nanoseconds since 1970, UTC, by the system's clock.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as i64
}
