//! The loop around an input, and where its batches go: an input may outlive the pipeline that it
//! was started with.
//!
//! ```text
//! attached ──detach──▶ moving ──attach──▶ attached
//!    └────────end──────────┴──▶ over
//! ```
//! While it is moving, what was read waits in the input's thread; the input itself knows nothing of
//! it and keeps its files, sockets and memberships.

use super::activity::{Activity, Doing};
use super::budget::Budget;
use super::ledger::Said;
use super::now;
use super::parcel::Parcel;
use super::shared::Shared;
use super::taps::Spot;
use crate::inputs::{Input, Next};
use crate::stop::Stop;
use event::Batch;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How soon reading that failed is tried again at first, and how late at most.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Where the batches of an input go.
pub(super) struct Outlet {
    state: Mutex<State>,
    changed: Condvar,
}

enum State {
    Attached(Attached),
    Moving,
    Over,
}

/// A pipeline, and the number of the input there.
#[derive(Clone)]
pub(super) struct Attached {
    pub(super) shared: Arc<Shared>,
    pub(super) number: usize,
}

impl Outlet {
    /// One that leads nowhere yet.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::Moving), changed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.state() = state;
        self.changed.notify_all();
    }

    /// From now on it leads there.
    pub(super) fn attach(&self, shared: Arc<Shared>, number: usize) {
        self.set(State::Attached(Attached { shared, number }));
    }

    /// What comes waits until it is attached again, or ended.
    pub(super) fn detach(&self) {
        self.set(State::Moving);
    }

    /// It will lead nowhere any more.
    pub(super) fn end(&self) {
        self.set(State::Over);
    }

    /// Where it leads; waits while it is moving. None: nowhere any more.
    fn get(&self) -> Option<Attached> {
        let moving = |state: &mut State| matches!(state, State::Moving);
        let state = self.changed.wait_while(self.state(), moving).unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Attached(attached) => Some(attached.clone()),
            State::Moving | State::Over => None,
        }
    }
}

/// What an input's thread works with.
pub(super) struct Pump {
    pub(super) name: String,
    pub(super) input: Box<dyn Input>,
    pub(super) outlet: Arc<Outlet>,
    pub(super) budget: Arc<Budget>,
    pub(super) stop: Stop,
    pub(super) activity: Arc<Activity>,
}

impl Pump {
    /// Reads until the input ends, is asked to stop, or nobody takes what it reads.
    pub(super) fn run(mut self) {
        let mut pause = PAUSE;
        self.activity.begin(Doing::Blocked);
        let is_handed_on = self.input.is_handed_on();
        let budget = self.budget.clone();
        let stop = self.stop.clone();
        let charge = || if is_handed_on { Some(budget.overdraw()) } else { budget.take(0, &stop) };
        while let Some(charge) = charge() {
            let Some(at) = self.outlet.get() else { return };
            let mut batch = at.shared.pool.take(now());
            drop(at);
            self.activity.begin(Doing::Work);
            let next = self.input.next(&mut batch, &self.stop);
            self.activity.begin(Doing::Blocked);
            match next {
                Ok(Next::Filled) => {
                    let had_failed = std::mem::replace(&mut pause, PAUSE) > PAUSE;
                    if !self.give(batch, charge, had_failed) {
                        return;
                    }
                }
                Ok(Next::Stopped | Next::Ended) => return,
                Err(error) => {
                    tracing::warn!(input = self.name, %error, "reading failed; it is tried again");
                    let Some(at) = self.outlet.get() else { return };
                    at.trouble(error.to_string());
                    drop(at);
                    self.activity.begin(Doing::Pause);
                    if self.stop.wait(pause) {
                        return;
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Gives a batch to the pipeline of now, or to the one that comes; false when there is none.
    fn give(&self, batch: Batch, mut charge: super::budget::Charge, had_failed: bool) -> bool {
        let (events, bytes) = (batch.len() as u64, batch.bytes().len() as u64);
        charge.resize(batch.size());
        let Some(mut at) = self.outlet.get() else { return false };
        let mut parcel = Parcel { batch, ticket: 0, input: at.number, charge };
        loop {
            let Attached { shared, number } = &at;
            parcel.input = *number;
            let own = &shared.ledger.inputs[*number];
            if had_failed {
                *own.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
            shared.ledger.read.fetch_add(events, Relaxed);
            shared.ledger.bytes.fetch_add(bytes, Relaxed);
            shared.ledger.open.fetch_add(events as i64, Relaxed);
            own.events.fetch_add(events, Relaxed);
            own.bytes.fetch_add(bytes, Relaxed);
            if shared.taps.is_open() {
                shared.taps.show(&shared.name, Spot::Input(*number), &parcel.batch, !0);
            }
            match shared.lane.push_numbered(parcel, |parcel, ticket| parcel.ticket = ticket) {
                Ok(()) => return true,
                Err(back) => parcel = back,
            }
            shared.ledger.returned.fetch_add(events, Relaxed);
            shared.ledger.open.fetch_sub(events as i64, Relaxed);
            match self.outlet.get() {
                Some(next) if !Arc::ptr_eq(&next.shared, &at.shared) => at = next,
                _ => return false,
            }
        }
    }
}

impl Attached {
    /// Notes why the input cannot read.
    fn trouble(&self, text: String) {
        let own = &self.shared.ledger.inputs[self.number];
        let mut trouble = own.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.as_ref().is_none_or(|trouble| trouble.text != text) {
            *trouble = Some(Said::now(text, now()));
        }
    }
}
