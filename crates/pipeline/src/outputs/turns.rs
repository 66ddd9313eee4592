//! Outputs that send while they take more, in turns that do not wait.

use super::{OutputError, WRITE_WAIT_MAX};
use std::time::{Duration, Instant};

/// What an output that holds events until they are safe does between the calls of its thread.
pub(super) trait Turns {
    /// Does what can be done without waiting.
    fn turn(&mut self, now: Instant);

    /// Waits until there may be something to do, `until` at most.
    fn wait(&mut self, until: Instant);

    /// The sequence of the oldest event that is not settled.
    fn oldest(&self) -> Option<u64>;

    /// Whether it may take more.
    fn has_room(&self) -> bool;

    /// What keeps events from being delivered, and what was said of it.
    fn standing(&mut self) -> &mut Standing;

    /// Takes turns until it is enough or the time is up.
    fn drive(&mut self, until: Instant, enough: impl Fn(&Self) -> bool) {
        loop {
            let now = Instant::now();
            self.turn(now);
            if enough(self) || now >= until {
                return;
            }
            self.wait(until);
        }
    }

    /// Takes turns until there is room, for as long as a write may wait.
    fn make_room(&mut self) -> Result<(), OutputError> {
        self.drive(Instant::now() + WRITE_WAIT_MAX, Self::has_room);
        if self.has_room() { Ok(()) } else { Err(OutputError::Full) }
    }

    /// Takes turns, when idle until something more is settled; answers as
    /// [`Output::settled`](super::Output::settled) does.
    fn settle(&mut self, idle: bool) -> Result<u64, OutputError> {
        let before = self.oldest();
        let until = Instant::now() + if idle { WRITE_WAIT_MAX } else { Duration::ZERO };
        self.drive(until, |own| before.is_none() || own.oldest() != before);
        let settled = self.oldest().unwrap_or(u64::MAX);
        let standing = self.standing();
        match &standing.trouble {
            // What is settled all the same is said first.
            Some(trouble) if settled == standing.told => Err(OutputError::Server(trouble.clone())),
            _ => {
                standing.told = settled;
                Ok(settled)
            }
        }
    }
}

/// How an output stands.
#[derive(Default)]
pub(super) struct Standing {
    /// What keeps events from being delivered, while it does.
    pub(super) trouble: Option<String>,
    /// What was said to be settled last.
    told: u64,
}
