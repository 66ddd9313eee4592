//! Documents that came through the API, on their way into the queue before the store.

use super::deliver::DOCS_CODEC;
use super::ledger::Ledger;
use queue::{Header, Queue, QueueError};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long a document from the API waits for a pipeline that is being replaced.
const PUSH_WAIT: Duration = Duration::from_secs(15);

/// Puts documents that came through the API into the queue before the store.
#[derive(Clone)]
pub struct Push(Arc<Door>);

/// Where such documents go now.
#[derive(Default)]
pub(super) struct Door {
    target: Mutex<Option<Target>>,
    changed: Condvar,
}

#[derive(Clone)]
pub(super) struct Target {
    pub(super) queue: Arc<Queue>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) bit: u64,
}

impl Door {
    /// From now on they go there; none: they wait.
    pub(super) fn lead_to(&self, target: Option<Target>) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
        self.changed.notify_all();
    }

    fn target(&self, at_most: Duration) -> Option<Target> {
        let target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let is_shut = |target: &mut Option<Target>| target.is_none();
        let waited = self.changed.wait_timeout_while(target, at_most, is_shut);
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

/// What became of a push; given once the disk has it.
pub type Pushed = Result<(), QueueError>;

impl Push {
    pub(super) fn new(door: Arc<Door>) -> Self {
        Self(door)
    }

    /// Appends documents in the form of [`store::docs`](crate::outputs::store::docs). Waits
    /// while the queue is full, or its pipeline is being replaced. `confirmed` is called when the
    /// disk has them.
    pub fn push(
        &self,
        docs: &[u8],
        events: u32,
        now: i64,
        confirmed: impl FnOnce(Pushed) + Send + 'static,
    ) -> Result<u64, QueueError> {
        let Target { queue, ledger, bit } = self.0.target(PUSH_WAIT).ok_or(QueueError::Stopped)?;
        let header = Header {
            events,
            time_min: now,
            time_max: now,
            outputs: bit,
            codec: DOCS_CODEC,
            positions: Vec::new(),
        };
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
        queue.append(&header, docs, confirmed)
    }

    /// The sequence of the next event: whatever was pushed before is below it.
    pub fn head(&self) -> u64 {
        self.0.target(Duration::ZERO).map_or(0, |target| target.queue.stats().head)
    }
}
