//! What a thread spends its time on: one clock reading when it goes from one thing to the next.

use serde::{Deserialize, Serialize};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// What a thread of a pipeline does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// It waits for something to do.
    Idle = 0,
    /// It works. For an output, also while the other side works for it.
    Work = 1,
    /// It waits for whoever is behind it.
    Blocked = 2,
    /// It waits before it tries again what failed.
    Pause = 3,
}

const KINDS: usize = 4;
const KIND_BITS: u32 = 2;

/// The times of one thread, by what it does. Written by that thread alone.
pub(super) struct Activity {
    ns: [AtomicU64; KINDS],
    /// Since when it does what it does, above the bits that say what.
    now: AtomicU64,
}

/// What threads spent their time on until now, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Waiting for something to do.
    pub idle_ns: u64,
    /// Working. An input that waits for something to read works; an output works while the other
    /// side works for it.
    pub work_ns: u64,
    /// Waiting for whoever is behind: memory, room in a lane or the queue, the turn of a batch.
    pub blocked_ns: u64,
    /// Waiting before what failed is tried again.
    pub paused_ns: u64,
}

impl Default for Activity {
    fn default() -> Self {
        Self { ns: Default::default(), now: AtomicU64::new(clock() << KIND_BITS) }
    }
}

impl Activity {
    /// From now on it does this.
    pub(super) fn begin(&self, doing: Doing) {
        self.begin_at(doing, clock());
    }

    fn begin_at(&self, doing: Doing, now: u64) {
        let before = self.now.swap(now << KIND_BITS | doing as u64, Relaxed);
        self.ns[kind(before)].fetch_add(now.saturating_sub(before >> KIND_BITS), Relaxed);
    }

    /// What it spent its time on, what it does just now included.
    pub(super) fn spent(&self) -> Spent {
        self.spent_at(clock())
    }

    fn spent_at(&self, at: u64) -> Spent {
        let now = self.now.load(Relaxed);
        let mut ns: [u64; KINDS] = std::array::from_fn(|kind| self.ns[kind].load(Relaxed));
        ns[kind(now)] += at.saturating_sub(now >> KIND_BITS);
        let [idle_ns, work_ns, blocked_ns, paused_ns] = ns;
        Spent { idle_ns, work_ns, blocked_ns, paused_ns }
    }
}

impl std::iter::Sum for Spent {
    fn sum<I: Iterator<Item = Spent>>(all: I) -> Spent {
        all.fold(Spent::default(), |sum, one| Spent {
            idle_ns: sum.idle_ns + one.idle_ns,
            work_ns: sum.work_ns + one.work_ns,
            blocked_ns: sum.blocked_ns + one.blocked_ns,
            paused_ns: sum.paused_ns + one.paused_ns,
        })
    }
}

fn kind(word: u64) -> usize {
    (word & ((1 << KIND_BITS) - 1)) as usize
}

/// Nanoseconds since the first look.
fn clock() -> u64 {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGIN.elapsed().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_to_what_is_done() {
        let activity = Activity { ns: Default::default(), now: AtomicU64::new(0) };
        let spent = |at| {
            let Spent { idle_ns, work_ns, blocked_ns, paused_ns } = activity.spent_at(at);
            [idle_ns, work_ns, blocked_ns, paused_ns]
        };
        activity.begin_at(Doing::Work, 10);
        activity.begin_at(Doing::Blocked, 25);
        assert_eq!(spent(45), [10, 15, 20, 0]);
        activity.begin_at(Doing::Work, 50);
        activity.begin_at(Doing::Pause, 51);
        assert_eq!(spent(61), [10, 16, 25, 10]);
        let twice: Spent = [activity.spent_at(61), activity.spent_at(61)].into_iter().sum();
        assert_eq!((twice.work_ns, twice.paused_ns), (32, 20));
    }
}
