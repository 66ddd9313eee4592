//! The ledger: what became of every event.
//!
//! For each output what came (read, carried over, made) is what went (delivered, dead letters,
//! dropped by rule, merged, not routed here, given back) and what is in flight, always. *In
//! flight* is counted where events come and go, never by subtraction, or the sum would prove
//! nothing.

use serde::Serialize;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// The counts of one pipeline. Each is added to once per batch.
#[derive(Default)]
pub struct Ledger {
    /// Events that inputs read and that were accepted.
    pub read: AtomicU64,
    /// Bytes of them.
    pub bytes: AtomicU64,
    /// Events made of others (clone, split).
    pub made: AtomicU64,
    /// Events that went into others.
    pub merged: AtomicU64,
    /// Events that a rule dropped.
    pub dropped: AtomicU64,
    /// Events given back to their input, to be read again.
    pub returned: AtomicU64,
    /// Events between their input and the queue's confirmation, or, without a queue, the
    /// outputs' threads.
    pub open: AtomicI64,
    /// Filters that failed on an event.
    pub failed: AtomicU64,
    /// The outputs, in their order.
    pub outputs: Vec<OutputLedger>,
}

/// The counts of one output.
#[derive(Default)]
pub struct OutputLedger {
    /// The output's name.
    pub name: String,
    /// Events that were in the queue for it at the start.
    pub carried: AtomicU64,
    /// Events delivered.
    pub delivered: AtomicU64,
    /// Events refused, in the dead letters.
    pub dead: AtomicU64,
    /// Events that are for other outputs.
    pub elsewhere: AtomicU64,
    /// Events waiting for this output: in the queue, or in its hands.
    pub open: AtomicI64,
    /// Batches that were tried again.
    pub retries: AtomicU64,
    /// Events written through the API rather than read, for the store alone.
    pub pushed: AtomicU64,
    /// What the output said last when it could not deliver, until it can again.
    pub trouble: std::sync::Mutex<Option<String>>,
}

/// The ledger as one looks at it.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct LedgerView {
    /// The pipeline's name.
    pub pipeline: String,
    /// Events read.
    pub read: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Events made of others.
    pub made: u64,
    /// Events dropped by rule.
    pub dropped: u64,
    /// Events merged into others.
    pub merged: u64,
    /// Events given back to be read again.
    pub returned: u64,
    /// Events not yet at the queue or the outputs.
    pub open: i64,
    /// Filters that failed on an event.
    pub failed: u64,
    /// Per output.
    pub outputs: Vec<OutputView>,
}

/// The ledger of one output.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct OutputView {
    /// Its name.
    pub name: String,
    /// Events that were waiting for it at the start.
    pub carried: u64,
    /// Events written through the API.
    pub pushed: u64,
    /// Events delivered.
    pub delivered: u64,
    /// Events in the dead letters.
    pub dead: u64,
    /// Events not routed here.
    pub elsewhere: u64,
    /// Events on the way to it, counted.
    pub in_flight: i64,
    /// Batches tried again.
    pub retries: u64,
    /// What keeps it from delivering.
    pub trouble: Option<String>,
    /// Whether the sum holds. While events move, a look may catch a batch between two counts.
    pub balanced: bool,
}

impl Ledger {
    /// A ledger for these outputs.
    pub fn new(outputs: impl IntoIterator<Item = String>) -> Self {
        let outputs = outputs.into_iter().map(|name| OutputLedger { name, ..OutputLedger::default() });
        Self { outputs: outputs.collect(), ..Self::default() }
    }

    /// The counts of now.
    pub fn view(&self, pipeline: &str) -> LedgerView {
        let (read, made, dropped) =
            (self.read.load(Relaxed), self.made.load(Relaxed), self.dropped.load(Relaxed));
        let (merged, returned, open) =
            (self.merged.load(Relaxed), self.returned.load(Relaxed), self.open.load(Relaxed));
        let outputs = self
            .outputs
            .iter()
            .map(|output| {
                let mut view = OutputView {
                    name: output.name.clone(),
                    carried: output.carried.load(Relaxed),
                    pushed: output.pushed.load(Relaxed),
                    delivered: output.delivered.load(Relaxed),
                    dead: output.dead.load(Relaxed),
                    elsewhere: output.elsewhere.load(Relaxed),
                    in_flight: open + output.open.load(Relaxed),
                    retries: output.retries.load(Relaxed),
                    trouble: output.trouble.lock().map_or(None, |trouble| trouble.clone()),
                    balanced: false,
                };
                let came = (read + made + view.carried + view.pushed) as i64;
                let went = (view.delivered + view.dead + view.elsewhere + dropped + merged + returned) as i64;
                view.balanced = came == went + view.in_flight;
                view
            })
            .collect();
        LedgerView {
            pipeline: pipeline.to_owned(),
            read,
            bytes: self.bytes.load(Relaxed),
            made,
            dropped,
            merged,
            returned,
            open,
            failed: self.failed.load(Relaxed),
            outputs,
        }
    }
}
