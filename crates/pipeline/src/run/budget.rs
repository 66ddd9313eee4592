//! The memory that events under way may take.
//!
//! Only inputs wait for it. What is further on may overdraw, and inputs go on when that is
//! repaid, so that nothing waits for itself.

use crate::stop::Stop;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A number of bytes that is shared by all inputs of the program.
pub struct Budget {
    limit: usize,
    used: Mutex<usize>,
    repaid: Condvar,
}

/// Bytes taken from a budget, until it is dropped.
pub struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// A budget of this many bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: Mutex::new(0), repaid: Condvar::new() })
    }

    /// Waits until there is room and takes `bytes`; `None` when asked to stop meanwhile.
    pub fn take(self: &Arc<Self>, bytes: usize, stop: &Stop) -> Option<Charge> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used >= self.limit {
            if stop.is_set() {
                return None;
            }
            // The time-out is only for the request to stop, which does not know this lock.
            (used, _) = self
                .repaid
                .wait_timeout(used, Duration::from_millis(50))
                .unwrap_or_else(PoisonError::into_inner);
        }
        *used += bytes;
        Some(Charge { budget: self.clone(), bytes })
    }

    /// A charge of nothing as yet, which is not waited for: for what another charge stands for already.
    pub fn overdraw(self: &Arc<Self>) -> Charge {
        Charge { budget: self.clone(), bytes: 0 }
    }

    /// How many bytes are taken.
    pub fn used(&self) -> usize {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The limit.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

impl Charge {
    /// Makes it as large as what it stands for turned out to be, without waiting.
    pub fn resize(&mut self, bytes: usize) {
        let mut used = self.budget.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = *used + bytes - self.bytes;
        self.bytes = bytes;
        if *used < self.budget.limit {
            self.budget.repaid.notify_all();
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_room_waits_until_it_is_repaid() {
        let budget = Budget::new(10);
        let stop = Stop::new();
        let first = budget.take(10, &stop).unwrap();
        let (other, stopper) = (budget.clone(), stop.clone());
        let waiter = std::thread::spawn(move || other.take(5, &stopper).map(|_charge| ()));
        drop(first);
        assert_eq!(waiter.join().unwrap(), Some(()));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_further_on_may_overdraw() {
        let budget = Budget::new(10);
        let stop = Stop::new();
        let mut charge = budget.take(1, &stop).unwrap();
        charge.resize(100);
        assert_eq!(budget.used(), 100);
        stop.set();
        assert!(budget.take(1, &stop).is_none());
    }
}
