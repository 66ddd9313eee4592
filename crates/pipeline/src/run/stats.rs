//! How a running plan stands, as data: what `top` shows. All counters count from the start;
//! whoever wants rates looks twice.

use super::activity::Spent;
use super::dead_letters::Summary;
use super::ledger::{LedgerView, OutputLedger, Said};
use super::{Running, RunningPipeline, now};
use crate::registry::Standing;
use queue::ReaderStats;
use serde::{Deserialize, Serialize};
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

/// An output that refused an event is said to refuse for so long, in nanoseconds.
const REFUSES_FOR: i64 = 60 * 1_000_000_000;

/// How a running plan stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// The memory of events under way.
    pub memory: MemoryStats,
    /// The dead letters of all outputs.
    pub dead_letters: Summary,
    /// What passed, through pipelines that were replaced meanwhile as well.
    #[serde(default)]
    pub passed: Passed,
    /// The pipelines.
    pub pipelines: Vec<PipelineStats>,
}

/// The memory of events under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// Bytes that are taken.
    pub used_bytes: u64,
    /// Bytes at which inputs wait.
    pub limit_bytes: u64,
}

/// What passed through pipelines since they were started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// Events read.
    pub read: u64,
    /// Events taken through the filters.
    pub filtered: u64,
    /// Events that no output has to do with any more, those that were in the queue at the start included.
    pub out: u64,
    /// How long the filters worked, in nanoseconds, all threads together.
    pub work_ns: u64,
    /// How long the inputs waited for who is behind them, in nanoseconds, all together.
    pub blocked_ns: u64,
}

impl std::ops::AddAssign for Passed {
    fn add_assign(&mut self, more: Self) {
        self.read += more.read;
        self.filtered += more.filtered;
        self.out += more.out;
        self.work_ns += more.work_ns;
        self.blocked_ns += more.blocked_ns;
    }
}

/// How a pipeline stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PipelineStats {
    /// Its name.
    pub name: String,
    /// When it was started, in nanoseconds UTC; it is another one after a reload that changed it.
    #[serde(default)]
    pub began_ns: i64,
    /// How long ago that was.
    #[serde(default)]
    pub uptime_seconds: f64,
    /// What passed through it.
    #[serde(default)]
    pub passed: Passed,
    /// What became of every event.
    pub ledger: LedgerView,
    /// Its inputs.
    pub inputs: Vec<InputStats>,
    /// The threads that filter.
    pub workers: WorkerStats,
    /// The filters, by samples.
    pub filters: Vec<FilterStats>,
    /// The queue, if there is one.
    pub queue: Option<QueueStats>,
    /// Its outputs.
    pub outputs: Vec<OutputStats>,
}

/// How an input stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputStats {
    /// Its name.
    pub name: String,
    /// What it is, such as `file`.
    pub kind: String,
    /// Events read.
    pub events: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Events, or what they come in, that were lost because nobody could be asked to wait.
    #[serde(default)]
    pub lost: u64,
    /// How far it is behind.
    #[serde(flatten)]
    pub standing: Standing,
    /// Whether it reads; not when all was read that will ever come.
    pub reading: bool,
    /// Why it cannot read.
    pub trouble: Option<Said>,
    /// What its thread does.
    pub spent: Spent,
}

/// How the threads stand that filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStats {
    /// How many there are.
    pub threads: usize,
    /// What they do, all together.
    pub spent: Spent,
}

/// How long a filter takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilterStats {
    /// Where it stands, such as `filters.0`.
    pub at: String,
    /// What it is, such as `grok`.
    pub kind: String,
    /// What the config calls it.
    #[serde(default)]
    pub id: Option<String>,
    /// Events that came to it.
    #[serde(default)]
    pub came: u64,
    /// Events that went on behind it, those that it made included.
    #[serde(default)]
    pub went: u64,
    /// Nanoseconds that all that came took, by the samples.
    #[serde(default)]
    pub spent_ns: u64,
    /// Nanoseconds that the sampled events took: one event of each batch that came to it.
    pub sampled_ns: u64,
    /// How many were sampled.
    pub samples: u64,
}

/// How a queue stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueStats {
    /// Events that some output has not acknowledged.
    pub events: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// The limit of bytes.
    pub bytes_max: u64,
    /// The limit of events; 0: none.
    pub events_max: u64,
    /// How long the oldest of these events has been there, in seconds.
    pub oldest_seconds: Option<f64>,
}

/// Whether an output delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputState {
    /// It delivers what comes.
    Ok,
    /// It cannot deliver, and tries again.
    Waiting,
    /// It delivers, and refused an event within the last minute.
    Refused,
}

/// How an output stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputStats {
    /// Its name.
    pub name: String,
    /// What it is, such as `elasticsearch`.
    pub kind: String,
    /// Whether it delivers.
    pub state: OutputState,
    /// Events delivered.
    pub delivered: u64,
    /// Events on the way to it.
    pub in_flight: i64,
    /// Events refused.
    pub dead: u64,
    /// Batches tried again.
    pub retries: u64,
    /// Bytes that wait for it in the queue, if there is one.
    pub behind_bytes: Option<u64>,
    /// How long the oldest event in the queue has waited for it, in seconds.
    pub oldest_seconds: Option<f64>,
    /// Why it cannot deliver.
    pub trouble: Option<Said>,
    /// Why it could not before, when it can again.
    pub last_trouble: Option<Said>,
    /// Why it refused the last event that it refused.
    pub last_refusal: Option<Said>,
    /// What its thread does.
    pub spent: Spent,
}

impl Running {
    /// How everything stands now.
    pub fn stats(&self) -> Stats {
        let (used, limit) = self.memory();
        let pipelines: Vec<PipelineStats> =
            self.pipelines.iter().map(|pipeline| pipeline.stats(now())).collect();
        let mut passed = self.passed;
        pipelines.iter().for_each(|own| passed += own.passed);
        Stats {
            memory: MemoryStats { used_bytes: used as u64, limit_bytes: limit as u64 },
            dead_letters: self.dead_letters.summary(),
            passed,
            pipelines,
        }
    }
}

impl RunningPipeline {
    /// What passed through it.
    pub(super) fn passed(&self) -> Passed {
        let shared = self.shared();
        let outputs = &shared.ledger.outputs;
        let done = |output: &OutputLedger| {
            [&output.delivered, &output.dead, &output.elsewhere].map(|count| count.load(Relaxed)).iter().sum()
        };
        let filtered = shared.ledger.filtered.load(Relaxed);
        let blocked: u64 = shared.activities.inputs.iter().map(|input| input.spent().blocked_ns).sum();
        Passed {
            read: shared.ledger.read.load(Relaxed),
            filtered,
            out: outputs.iter().map(done).min().unwrap_or(filtered),
            work_ns: shared.activities.workers.iter().map(|worker| worker.spent().work_ns).sum(),
            blocked_ns: blocked.saturating_sub(self.blocked_before),
        }
    }

    fn stats(&self, now: i64) -> PipelineStats {
        let shared = self.shared();
        let ledger = self.ledger();
        let queue = self.queue().map(|queue| queue.stats());
        let age = |reader: &ReaderStats| reader.oldest.map(|then| (now - then).max(0) as f64 / 1e9);
        let inputs = shared.ledger.inputs.iter().enumerate().map(|(number, input)| InputStats {
            name: input.name.clone(),
            kind: self.kinds.0[number].clone(),
            events: input.events.load(Relaxed),
            bytes: input.bytes.load(Relaxed),
            lost: input.lost.load(Relaxed),
            standing: self.registry.standing(&input.name),
            reading: self.is_reading(number),
            trouble: input.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            spent: shared.activities.inputs[number].spent(),
        });
        let outputs = ledger.outputs.iter().enumerate().map(|(number, view)| {
            let words = shared.ledger.outputs[number].words();
            let refuses = words.refusal.as_ref().is_some_and(|(_, when)| now - when < REFUSES_FOR);
            let reader =
                queue.as_ref().and_then(|stats| stats.readers.iter().find(|reader| reader.name == view.name));
            OutputStats {
                name: view.name.clone(),
                kind: self.kinds.1[number].clone(),
                state: match &words.trouble {
                    Some(_) => OutputState::Waiting,
                    None if refuses => OutputState::Refused,
                    None => OutputState::Ok,
                },
                delivered: view.delivered,
                in_flight: view.in_flight,
                dead: view.dead,
                retries: view.retries,
                behind_bytes: reader.map(|reader| if reader.lag_events == 0 { 0 } else { reader.lag_bytes }),
                oldest_seconds: reader.and_then(age),
                trouble: words.trouble,
                last_trouble: words.last_trouble,
                last_refusal: words.refusal.map(|(said, _)| said),
                spent: shared.activities.outputs[number].spent(),
            }
        });
        let filters = shared.filter_times.all().iter().map(|time| FilterStats {
            at: time.filter.at.replace('[', ".").replace(']', ""),
            kind: time.filter.kind.clone(),
            id: time.filter.id.clone(),
            came: time.came.load(Relaxed),
            went: time.went.load(Relaxed),
            spent_ns: time.spent_ns.load(Relaxed),
            sampled_ns: time.ns.load(Relaxed),
            samples: time.samples.load(Relaxed),
        });
        PipelineStats {
            name: self.name().to_owned(),
            began_ns: self.began.1,
            uptime_seconds: self.began.0.elapsed().as_secs_f64(),
            passed: self.passed(),
            inputs: inputs.collect(),
            workers: WorkerStats {
                threads: shared.activities.workers.len(),
                spent: shared.activities.workers.iter().map(|worker| worker.spent()).sum(),
            },
            filters: filters.collect(),
            queue: queue.as_ref().map(|stats| QueueStats {
                events: stats.readers.iter().map(|reader| reader.lag_events).max().unwrap_or(0),
                bytes: stats.bytes,
                bytes_max: stats.bytes_max,
                events_max: self.queue().map_or(0, |queue| queue.events_max()),
                oldest_seconds: stats.readers.iter().filter_map(age).reduce(f64::max),
            }),
            outputs: outputs.collect(),
            ledger,
        }
    }
}
