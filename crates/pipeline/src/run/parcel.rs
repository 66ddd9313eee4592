//! A batch on its way, with what the pipeline must know of it.

use super::budget::Charge;
use event::Batch;
use std::sync::{Mutex, PoisonError};

/// A batch on its way.
pub(super) struct Parcel {
    pub(super) batch: Batch,
    /// Its place in the order in which batches left the inputs.
    pub(super) ticket: u64,
    /// The number of the input.
    pub(super) input: usize,
    pub(super) charge: Charge,
}

/// Emptied batches, kept for their memory.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Batch>>);

/// A batch that grew beyond this is not kept.
const KEPT_BYTES_MAX: usize = 4 << 20;
const KEPT_MAX: usize = 64;

impl Pool {
    pub(super) fn take(&self, now: i64) -> Batch {
        let mut batch = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        batch.reset(now);
        batch
    }

    pub(super) fn give(&self, batch: Batch) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX && batch.capacity() <= KEPT_BYTES_MAX {
            kept.push(batch);
        }
    }

    /// Lets go of the memory, when nothing happened for a while.
    pub(super) fn shrink(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
