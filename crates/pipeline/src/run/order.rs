//! Puts batches back into the order in which they left the inputs.
//!
//! One hot file uses all workers, and its order still holds. Whoever brings the batch that
//! is next carries on with all that are ready behind it; the others wait at the gate when
//! too much is ready, which is the back-pressure.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub(super) struct Order<T> {
    state: Mutex<State<T>>,
    moved: Condvar,
}

struct State<T> {
    next: u64,
    ready: BTreeMap<u64, T>,
    carrying: bool,
}

/// How many batches may wait behind a slow one before those who bring more wait too.
const READY_MAX: usize = 16;

impl<T> Order<T> {
    pub(super) fn new() -> Self {
        let state = State { next: 0, ready: BTreeMap::new(), carrying: false };
        Self { state: Mutex::new(state), moved: Condvar::new() }
    }

    /// One in which everything waits until it is [released](Self::release).
    pub(super) fn held() -> Self {
        let order = Self::new();
        order.state.lock().unwrap_or_else(PoisonError::into_inner).carrying = true;
        order
    }

    /// Carries what waits, and lets the others carry from then on.
    pub(super) fn release(&self, carry: impl FnMut(T)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.carrying = false;
        self.carry_on(state, carry);
    }

    /// Brings the thing with this ticket; `carry` is called with every thing whose turn it
    /// is, one at a time and in the order of tickets, perhaps by another thread.
    pub(super) fn bring(&self, ticket: u64, thing: T, carry: impl FnMut(T)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.ready.len() >= READY_MAX && ticket != state.next {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.ready.insert(ticket, thing);
        if !state.carrying {
            self.carry_on(state, carry);
        }
    }

    fn carry_on<'s>(&'s self, mut state: MutexGuard<'s, State<T>>, mut carry: impl FnMut(T)) {
        loop {
            let next = state.next;
            let Some(thing) = state.ready.remove(&next) else { break };
            state.carrying = true;
            drop(state);
            carry(thing);
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.carrying = false;
            state.next += 1;
            self.moved.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn whatever_the_threads_do_the_order_holds() {
        let order = Arc::new(Order::new());
        let tickets = Arc::new(AtomicU64::new(0));
        let carried = Arc::new(Mutex::new(Vec::new()));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (order, tickets, carried) = (order.clone(), tickets.clone(), carried.clone());
                std::thread::spawn(move || {
                    for _ in 0..2_000 {
                        let ticket = tickets.fetch_add(1, Ordering::SeqCst);
                        if ticket % 7 == 0 {
                            std::thread::yield_now();
                        }
                        order.bring(ticket, ticket, |ticket| carried.lock().unwrap().push(ticket));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*carried.lock().unwrap(), (0..16_000).collect::<Vec<u64>>());
    }

    #[test]
    fn what_is_held_waits() {
        let order = Order::held();
        let carried = Mutex::new(Vec::new());
        let carry = |ticket: u64| carried.lock().unwrap().push(ticket);
        [1, 0].into_iter().for_each(|ticket| order.bring(ticket, ticket, carry));
        assert!(carried.lock().unwrap().is_empty());
        order.release(carry);
        order.bring(2, 2, carry);
        assert_eq!(*carried.lock().unwrap(), [0, 1, 2]);
    }
}
