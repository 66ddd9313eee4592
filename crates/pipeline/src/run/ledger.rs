//! The ledger: what became of every event.
//!
//! For each output what came (read, carried over, made, replayed) is what went (delivered, dead letters,
//! dropped by rule, merged, not routed here, given back) and what is in flight, always. *In
//! flight* is counted where events come and go, never by subtraction, or the sum would prove
//! nothing.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// The counts of one pipeline. Each is added to once per batch.
#[derive(Default)]
pub struct Ledger {
    /// Events that inputs read and that were accepted.
    pub read: AtomicU64,
    /// Bytes of them.
    pub bytes: AtomicU64,
    /// Events that came to the filters and were taken through them.
    pub filtered: AtomicU64,
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
    /// The inputs, in their order.
    pub inputs: Vec<InputLedger>,
    /// The outputs, in their order.
    pub outputs: Vec<OutputLedger>,
}

/// The counts of one input.
#[derive(Default)]
pub struct InputLedger {
    /// The input's name.
    pub name: String,
    /// Events that it read.
    pub events: AtomicU64,
    /// Bytes of them.
    pub bytes: AtomicU64,
    /// What came and was lost, because nobody could be asked to wait.
    pub lost: Arc<AtomicU64>,
    /// Why it could not read last, until it can again.
    pub trouble: Mutex<Option<Said>>,
}

/// What somebody said, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The words.
    pub text: String,
    /// When it was said first, RFC 3339.
    pub since: String,
}

impl Said {
    /// Something that is said now, in nanoseconds UTC.
    pub fn now(text: impl Into<String>, now: i64) -> Self {
        Self { text: text.into(), since: event::time::rfc3339(now) }
    }
}

/// What an output said of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// Why it cannot deliver, until it can again.
    pub trouble: Option<Said>,
    /// What the last trouble was, when that is over.
    pub last_trouble: Option<Said>,
    /// Why it refused the last event that it refused, and when in nanoseconds UTC.
    pub refusal: Option<(Said, i64)>,
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
    /// Dead letters sent again, to this output or, through the queue, to another.
    pub replayed: AtomicU64,
    /// What the output said of itself.
    pub words: Mutex<Words>,
}

/// The ledger as one looks at it.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct LedgerView {
    /// The pipeline's name.
    pub pipeline: String,
    /// Events read.
    pub read: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Events that were taken through the filters.
    #[serde(default)]
    pub filtered: u64,
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
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct OutputView {
    /// Its name.
    pub name: String,
    /// Events that were waiting for it at the start.
    pub carried: u64,
    /// Events written through the API.
    pub pushed: u64,
    /// Dead letters sent again.
    pub replayed: u64,
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

impl OutputLedger {
    /// What the output said of itself.
    pub fn words(&self) -> Words {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The output cannot deliver; says whether that is news.
    pub(super) fn trouble(&self, text: &str, now: i64) -> bool {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.trouble.as_ref().is_some_and(|trouble| trouble.text == text) {
            return false;
        }
        words.trouble = Some(Said::now(text, now));
        true
    }

    /// It delivers again.
    pub(super) fn untroubled(&self) {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.last_trouble = words.trouble.take().or(words.last_trouble.take());
    }

    /// It refused an event.
    pub(super) fn refused(&self, reason: &str, now: i64) {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.refusal = Some((Said::now(reason, now), now));
    }
}

impl Ledger {
    /// A ledger for these inputs and outputs.
    pub fn new<'n>(
        inputs: impl IntoIterator<Item = &'n String>,
        outputs: impl IntoIterator<Item = &'n String>,
    ) -> Self {
        let input = |name: &String| InputLedger { name: name.clone(), ..InputLedger::default() };
        let output = |name: &String| OutputLedger { name: name.clone(), ..OutputLedger::default() };
        Self {
            inputs: inputs.into_iter().map(input).collect(),
            outputs: outputs.into_iter().map(output).collect(),
            ..Self::default()
        }
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
                    replayed: output.replayed.load(Relaxed),
                    delivered: output.delivered.load(Relaxed),
                    dead: output.dead.load(Relaxed),
                    elsewhere: output.elsewhere.load(Relaxed),
                    in_flight: open + output.open.load(Relaxed),
                    retries: output.retries.load(Relaxed),
                    trouble: output.words().trouble.map(|trouble| trouble.text),
                    balanced: false,
                };
                let came = (read + made + view.carried + view.pushed + view.replayed) as i64;
                let went = (view.delivered + view.dead + view.elsewhere + dropped + merged + returned) as i64;
                view.balanced = came == went + view.in_flight;
                view
            })
            .collect();
        LedgerView {
            pipeline: pipeline.to_owned(),
            read,
            bytes: self.bytes.load(Relaxed),
            filtered: self.filtered.load(Relaxed),
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
