//! How a running plan stands, as data: what `top` shows. All counters count from the start;
//! whoever wants rates looks twice.

use super::activity::Spent;
use super::dead_letters::Summary;
use super::ledger::{LedgerView, Said};
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

/// How a pipeline stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PipelineStats {
    /// Its name.
    pub name: String,
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
        Stats {
            memory: MemoryStats { used_bytes: used as u64, limit_bytes: limit as u64 },
            dead_letters: self.dead_letters.summary(),
            pipelines: self.pipelines.iter().map(|pipeline| pipeline.stats(now())).collect(),
        }
    }
}

impl RunningPipeline {
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
            sampled_ns: time.ns.load(Relaxed),
            samples: time.events.load(Relaxed),
        });
        PipelineStats {
            name: self.name().to_owned(),
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
