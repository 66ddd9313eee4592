//! One broadcast that ends the reading; what is read already drains.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Asks the inputs to stop. Clones are the same request.
#[derive(Clone)]
pub struct Stop(Arc<Inner>);

struct Inner {
    set: AtomicBool,
    /// Becomes readable, for good, when the request is made.
    event: OwnedFd,
    /// Requests that are made with this one.
    parts: Mutex<Vec<Weak<Inner>>>,
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
        Self(Arc::new(Inner { set: AtomicBool::new(false), event, parts: Mutex::default() }))
    }

    /// A request to a part of whom this one is made to: it can be made alone, and is made with this one.
    pub fn part(&self) -> Self {
        let part = Self::new();
        let mut parts = self.0.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.retain(|part| part.strong_count() > 0);
        parts.push(Arc::downgrade(&part.0));
        drop(parts);
        if self.is_set() {
            part.set();
        }
        part
    }

    /// Makes the request; everybody who waits wakes up.
    pub fn set(&self) {
        self.0.set.store(true, Ordering::Release);
        let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
        let parts: Vec<_> = {
            let parts = self.0.parts.lock().unwrap_or_else(PoisonError::into_inner);
            parts.iter().filter_map(Weak::upgrade).collect()
        };
        parts.into_iter().for_each(|part| Self(part).set());
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

    #[test]
    fn a_part_is_asked_alone_or_with_the_whole() {
        let whole = Stop::new();
        let (first, second) = (whole.part(), whole.part());
        let deep = second.part();
        first.set();
        assert!(first.is_set() && !whole.is_set() && !second.is_set());
        whole.set();
        assert!(second.is_set() && deep.wait(Duration::ZERO));
        assert!(whole.part().is_set(), "who comes later was asked as well");
    }
}
