//! Group commit: one thread syncs what was appended meanwhile, and confirms it.

use crate::cursors::FLOOR;
use crate::log::{CURSORS_EVERY, Queue};
use crate::state::{State, Waiting};
use crate::{Durability, QueueError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How often cursors are saved while an append waits for the room behind them.
const CURSORS_EVERY_WHEN_FULL: Duration = Duration::from_millis(5);

impl Queue {
    /// One round of the sync thread; says whether there will be another.
    pub(crate) fn sync_once(&self) -> bool {
        let mut state = self.state();
        if state.waiting.is_empty() {
            self.idle.notify_all();
            if state.stopped {
                self.save_cursors(&mut state);
                return false;
            }
            let pause = if state.blocked > 0 { CURSORS_EVERY_WHEN_FULL } else { CURSORS_EVERY };
            state = self.work.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
        let until = Instant::now() + self.options.group_time;
        while !state.waiting.is_empty()
            && state.waiting_bytes < self.options.group_bytes
            && !state.stopped
            && !state.hurry
        {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            state = self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let group = std::mem::take(&mut state.waiting);
        state.waiting_bytes = 0;
        state.hurry = false;
        if !group.is_empty() {
            state.syncing = true;
            drop(state);
            self.sync_group(group);
            state = self.state();
            state.syncing = false;
            self.idle.notify_all();
        }
        let is_pressing = state.blocked > 0 && state.cursors_saved.elapsed() >= CURSORS_EVERY_WHEN_FULL;
        if is_pressing || state.cursors_saved.elapsed() >= CURSORS_EVERY {
            self.save_cursors(&mut state);
            self.purge(&mut state);
        }
        true
    }

    /// Syncs each file once, tells those who wait for it, then lets readers see it.
    fn sync_group(&self, group: Vec<Waiting>) {
        let mut rest = group.into_iter().peekable();
        while let Some(first) = rest.next() {
            let mut same = vec![first];
            while let Some(more) = rest.next_if(|next| Arc::ptr_eq(&next.file, &same[0].file)) {
                same.push(more);
            }
            match same[0].file.sync() {
                Ok(()) => self.confirm(same),
                Err(error) => self.refuse(same, &error.into()),
            }
        }
    }

    fn confirm(&self, group: Vec<Waiting>) {
        let Some(last) = group.last() else { return };
        let (file, len, to) = (last.file.clone(), last.len, last.to);
        for one in group {
            (one.confirm)(Ok(()));
        }
        let mut state = self.state();
        if is_current(&state, &file) {
            state.durable = len;
        }
        state.visible = state.visible.max(to);
        drop(state);
        self.appended.notify_all();
    }

    /// What a file holds since its last sync may be gone. Trying again proves nothing, since
    /// the system reports the loss once: a new file is begun, and nobody gets these records.
    fn refuse(&self, mut group: Vec<Waiting>, error: &QueueError) {
        let file = group[0].file.clone();
        let mut state = self.state();
        if is_current(&state, &file) {
            state.file = None;
        }
        group.extend(state.waiting.extract_if(.., |one| Arc::ptr_eq(&one.file, &file)));
        let (from, to) = (group[0].from, group[group.len() - 1].to);
        state.unremember(from, to);
        if let Err(error) = self.take_back(&mut state, from) {
            tracing::warn!(%error, "what the queue could not confirm may come back with the next start");
            state.add_gap(from, to);
            state.visible = state.visible.max(to);
        }
        drop(state);
        for one in group {
            (one.confirm)(Err(error.clone()));
        }
    }

    pub(crate) fn save_cursors(&self, state: &mut State) {
        state.cursors_saved = Instant::now();
        let moved = state.readers.iter().filter(|(_, cursor)| cursor.at != cursor.saved);
        let mut moved: Vec<(String, u64)> = moved.map(|(name, cursor)| (name.clone(), cursor.at)).collect();
        let is_news = self.options.durability == Durability::Fsync && state.visible > state.cursors.floor();
        if moved.is_empty() && !(state.stopped && is_news) {
            return;
        }
        if is_news {
            // What is known to be confirmed is missed when it is gone.
            moved.push((FLOOR.to_owned(), state.visible));
        }
        match state.cursors.save(&moved) {
            Ok(()) => {
                for (name, at) in moved {
                    if let Some(cursor) = state.readers.get_mut(&name) {
                        cursor.saved = at;
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "the cursors could not be saved; it is tried again"),
        }
    }

    /// Returns when everything appended so far is synced.
    pub fn flush(&self) {
        let mut state = self.state();
        while !state.waiting.is_empty() || state.syncing {
            state = self.wait_for_sync(state);
        }
    }

    pub(crate) fn wait_for_sync<'a>(
        &self,
        mut state: std::sync::MutexGuard<'a, State>,
    ) -> std::sync::MutexGuard<'a, State> {
        state.hurry = true;
        self.work.notify_one();
        self.idle.wait_timeout(state, Duration::from_millis(20)).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Whether the file that is appended to has records that are not confirmed yet.
    pub(crate) fn is_unsynced(&self, state: &State) -> bool {
        self.options.durability == Durability::Fsync && (!state.waiting.is_empty() || state.syncing)
    }
}

fn is_current(state: &State, file: &Arc<dyn disk::File>) -> bool {
    state.file.as_ref().is_some_and(|current| Arc::ptr_eq(current, file))
}
