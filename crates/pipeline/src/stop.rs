//! One broadcast that ends the reading; what is read already drains.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Asks the inputs to stop. Clones are the same request.
#[derive(Clone)]
pub struct Stop(Arc<Inner>);

struct Inner {
    set: AtomicBool,
    /// Becomes readable, for good, when the request is made.
    event: OwnedFd,
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// A request that was not made yet.
    pub fn new() -> Self {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an event descriptor");
        Self(Arc::new(Inner { set: AtomicBool::new(false), event }))
    }

    /// Makes the request; everybody who waits wakes up.
    pub fn set(&self) {
        self.0.set.store(true, Ordering::Release);
        let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
    }

    /// Whether the request was made.
    pub fn is_set(&self) -> bool {
        self.0.set.load(Ordering::Acquire)
    }

    /// Waits until the request is made, at most this long; says whether it was made.
    pub fn wait(&self, at_most: Duration) -> bool {
        self.wait_with(&[], at_most)
    }

    /// Waits until the request is made or one of the descriptors is readable, at most this
    /// long; says whether the request was made.
    pub fn wait_with(&self, also: &[BorrowedFd<'_>], at_most: Duration) -> bool {
        if self.is_set() {
            return true;
        }
        let own = [self.0.event.as_fd()];
        let mut fds: Vec<PollFd<'_>> =
            own.iter().chain(also).map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let at_most = Timespec::try_from(at_most).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 });
        let _ = poll(&mut fds, Some(&at_most));
        self.is_set()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_wakes_up() {
        let stop = Stop::new();
        assert!(!stop.wait(Duration::ZERO));
        let other = stop.clone();
        let waiter = std::thread::spawn(move || other.wait(Duration::from_secs(60)));
        stop.set();
        assert!(waiter.join().unwrap());
        assert!(stop.is_set());
    }
}
