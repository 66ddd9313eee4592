//! What goes wrong with peers: counted always, told now and then.
//!
//! Whoever can reach a port can make connections fail as fast as the network goes; the log must not
//! grow as fast.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The same kind of complaint is told once in this time; then it says how many there were.
const QUIET: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Complaints {
    input: String,
    kinds: Mutex<HashMap<&'static str, Kind>>,
}

#[derive(Default)]
struct Kind {
    count: u64,
    told: Option<(Instant, u64)>,
}

impl Complaints {
    /// None so far, of the input of this name.
    pub(crate) fn new(input: &str) -> Self {
        Self { input: input.to_owned(), kinds: Mutex::default() }
    }

    /// Counts what went wrong, and tells it unless it was told just now.
    pub(crate) fn tell(&self, kind: &'static str, peer: Option<SocketAddr>, why: &str) {
        if let Some(since_then) = self.count(kind, Instant::now()) {
            let peer = peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
            tracing::warn!(input = self.input, peer, why, times = since_then, "{kind}");
        }
    }

    /// How often this went wrong.
    #[cfg(test)]
    pub(crate) fn of(&self, kind: &str) -> u64 {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).get(kind).map_or(0, |kind| kind.count)
    }

    /// Waits until there is one of this kind.
    #[cfg(test)]
    #[track_caller]
    pub(crate) fn wait_for(&self, kind: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.of(kind) == 0 {
            assert!(Instant::now() < until, "nothing of this kind: {kind}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// How many there were since it was last told, when it is time to tell it.
    fn count(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds.entry(kind).or_default();
        kind.count += 1;
        let before = match kind.told {
            Some((when, _)) if now.saturating_duration_since(when) < QUIET => return None,
            Some((_, before)) => before,
            None => 0,
        };
        kind.told = Some((now, kind.count));
        Some(kind.count - before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_now_and_then_and_counted_always() {
        let complaints = Complaints::new("i");
        let start = Instant::now();
        assert_eq!(complaints.count("a", start), Some(1));
        assert_eq!(complaints.count("b", start), Some(1));
        for _ in 0..5 {
            assert_eq!(complaints.count("a", start + QUIET / 2), None);
        }
        assert_eq!(complaints.count("a", start + QUIET), Some(6));
        assert_eq!((complaints.of("a"), complaints.of("b"), complaints.of("c")), (7, 1, 0));
    }
}
