//! A bounded way from one thread to others.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Hands things over whole, in order. Its bound is a number of things because each was
/// charged to the budget by its bytes before.
pub struct Lane<T> {
    state: Mutex<State<T>>,
    room: Condvar,
    filled: Condvar,
    limit: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
    pushed: u64,
}

impl<T> Lane<T> {
    /// A lane that holds at most `limit` things.
    pub fn new(limit: usize) -> Self {
        let state = Mutex::new(State { waiting: VecDeque::with_capacity(limit), closed: false, pushed: 0 });
        Self { state, room: Condvar::new(), filled: Condvar::new(), limit }
    }

    /// Puts a thing in, waiting for room; gives it back when the lane is closed.
    pub fn push(&self, thing: T) -> Result<(), T> {
        self.push_numbered(thing, |_, _| ())
    }

    /// Like [`push`](Self::push), and tells the thing the how-manieth it is: the order of
    /// the numbers is that in which things are taken.
    pub fn push_numbered(&self, mut thing: T, number: impl FnOnce(&mut T, u64)) -> Result<(), T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.waiting.len() >= self.limit && !state.closed {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Err(thing);
        }
        number(&mut thing, state.pushed);
        state.pushed += 1;
        state.waiting.push_back(thing);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes the first thing, waiting for one; `None` when the lane is closed and empty.
    pub fn pop(&self) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(thing) = state.waiting.pop_front() {
                self.room.notify_one();
                return Some(thing);
            }
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Like [`pop`](Self::pop), but waits at most this long.
    pub fn pop_within(&self, at_most: Duration) -> Popped<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.waiting.is_empty() && !state.closed {
            (state, _) = self.filled.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner);
        }
        match state.waiting.pop_front() {
            Some(thing) => {
                self.room.notify_one();
                Popped::Thing(thing)
            }
            None if state.closed => Popped::Closed,
            None => Popped::Nothing,
        }
    }

    /// Lets nothing in any more; what is in it can still be taken.
    pub fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.room.notify_all();
        self.filled.notify_all();
    }
}

/// What [`Lane::pop_within`] found.
pub enum Popped<T> {
    /// A thing.
    Thing(T),
    /// Nothing came in time.
    Nothing,
    /// The lane is closed and empty.
    Closed,
}
