//! The queue itself: opening, appending, its limits, and what it lets go of.

use crate::cursors::Cursors;
use crate::record::{self, Header, Positions};
use crate::recover::{Expected, Recovered, recover};
use crate::segment::{self, HEAD_LEN, Recovery, Segment};
use crate::state::{Ages, Cursor, State, Stats, Waiting};
use crate::{Confirm, Durability, Options, QueueError, Record};
use disk::{Disk, File};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// How often cursors are saved while they move.
pub(crate) const CURSORS_EVERY: Duration = Duration::from_millis(200);
/// A record's head that is kept in memory for the next.
const SCRATCH_MAX: usize = 1 << 20;
/// Larger bodies are not kept for readers that keep up: the system's cache gives them back
/// for less than fresh memory for each costs (0.24 against 0.40 µs an event were measured).
const TAIL_RECORD_MAX: usize = 32 << 10;
/// The segment that is appended to is left for a new one when nobody wants it, unless it is so small.
const LET_GO_MIN: u64 = 64 << 10;
/// A topic's segment is closed after this part of the age at which history goes.
const AGE_PARTS: u32 = 8;

/// A durable log. Appending and reading may be done from any thread.
pub struct Queue {
    pub(crate) disk: Arc<dyn Disk>,
    folder: PathBuf,
    pub(crate) options: Options,
    state: Mutex<State>,
    /// Something was confirmed, or the queue was stopped.
    pub(crate) appended: Condvar,
    /// There is room again.
    room: Condvar,
    /// The sync thread has something to do.
    pub(crate) work: Condvar,
    /// Everything that was asked for is synced.
    pub(crate) idle: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Queue {
    /// Opens the queue in a folder of the disk, new if it is not there. Whatever the files
    /// hold, it opens, unless a newer program wrote them or the disk refuses; the recovery
    /// says what was found.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        options: Options,
    ) -> Result<(Arc<Self>, Recovery), QueueError> {
        disk.create_dir_all(folder)?;
        let mut recovery = Recovery::default();
        let (mut cursors, damaged) = Cursors::open(disk.clone(), folder)?;
        recovery.cursors_damaged = damaged;
        let oldest_cursor = cursors.all().map(|(_, cursor)| cursor).min();
        let is_exact = options.retention.is_none() && !recovery.cursors_damaged;
        let expected = Expected { from: oldest_cursor.filter(|_| is_exact), to: cursors.floor() };
        let Recovered { segments, gaps, next } = recover(&*disk, folder, &expected, &mut recovery)?;
        // An opened queue always has one entry: none means that the file was removed.
        recovery.cursors_damaged |= cursors.is_empty() && recovery.records > 0;
        if (cursors.is_empty() || (segments.is_empty() && next > cursors.floor()))
            && let Err(error) = cursors.save_floor(if segments.is_empty() { next } else { 0 })
        {
            tracing::warn!(%error, "the cursors of the queue could not be begun");
        }
        let readers = cursors.all().map(|(name, at)| (name.clone(), Cursor::new(at))).collect();
        let state = State {
            bytes: segments.iter().map(|segment| segment.len).sum(),
            segments,
            file: None,
            durable: 0,
            next,
            visible: next,
            gaps,
            tail: VecDeque::new(),
            tail_bytes: 0,
            readers,
            cursors,
            cursors_lost: recovery.cursors_damaged,
            cursors_saved: Instant::now(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            syncing: false,
            hurry: false,
            blocked: 0,
            refuses: false,
            registry: 0,
            stopped: false,
            scratch: Vec::new(),
            ages: Ages::default(),
            unwanted: 0,
        };
        let queue = Arc::new(Self {
            disk,
            folder: folder.to_owned(),
            options,
            state: Mutex::new(state),
            appended: Condvar::new(),
            room: Condvar::new(),
            work: Condvar::new(),
            idle: Condvar::new(),
            thread: Mutex::new(None),
        });
        queue.start()?;
        Ok((queue, recovery))
    }

    fn start(self: &Arc<Self>) -> Result<(), QueueError> {
        // The thread holds the queue weakly between two looks, so that one that nobody uses ends.
        let weak = Arc::downgrade(self);
        let thread = std::thread::Builder::new().name("queue-sync".to_owned()).spawn(move || {
            while let Some(queue) = weak.upgrade() {
                if !queue.sync_once() {
                    return;
                }
            }
        });
        let thread = thread.map_err(|source| disk::DiskError::Io {
            operation: "start a thread for",
            path: self.folder.clone(),
            source,
        })?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a record and returns the sequence of its first event. Waits while the queue is
    /// full, until [`refuse_when_full`](Self::refuse_when_full). `confirmed` is called once, by another thread, when the record is as safe as the
    /// durability says, or with the error when it is not: then nobody gets the record, and
    /// its sequence may be given again. On an error returned from here it is never called and
    /// nothing was appended; a full disk is such an error, and trying again is right.
    pub fn append(&self, header: &Header, body: &[u8], confirmed: Confirm) -> Result<u64, QueueError> {
        let mut state = self.state();
        loop {
            if state.stopped {
                return Err(QueueError::Stopped);
            }
            self.purge(&mut state);
            if self.is_full(&state, header.events) {
                if state.refuses {
                    return Err(QueueError::NoRoom);
                }
                state.blocked += 1;
                self.work.notify_one();
                let waited = self.room.wait_timeout(state, CURSORS_EVERY);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                state.blocked -= 1;
            } else if self.is_segment_full(&state) && self.is_unsynced(&state) {
                // A closed segment is durable as a whole, so what is wrong with one is damage.
                state = self.wait_for_sync(state);
            } else {
                break;
            }
        }
        let (sequence, file, len) = self.write(&mut state, header, body)?;
        if self.options.durability == Durability::Fsync {
            let to = state.next;
            state.waiting.push(Waiting { file, confirm: confirmed, from: sequence, to, len });
            state.waiting_bytes += body.len();
            if state.waiting.len() == 1 || state.waiting_bytes >= self.options.group_bytes {
                self.work.notify_one();
            }
        } else {
            state.visible = state.next;
            drop(state);
            confirmed(Ok(()));
            self.appended.notify_all();
        }
        Ok(sequence)
    }

    fn is_full(&self, state: &State, events: u32) -> bool {
        if self.options.retention.is_some() {
            return false;
        }
        let read = state.readers.values().map(|cursor| cursor.at).min().unwrap_or(0);
        let held = state.next.saturating_sub(read.max(state.oldest()));
        let events_max = self.options.events_max;
        let events_full = events_max > 0 && held > 0 && held + u64::from(events) > events_max;
        let bytes_full = state.bytes >= self.options.bytes_max && state.bytes > HEAD_LEN as u64;
        bytes_full || events_full
    }

    fn is_segment_full(&self, state: &State) -> bool {
        let Some(last) = state.segments.back().filter(|_| state.file.is_some()) else { return false };
        // A small queue must be able to let go of a part of itself.
        let bytes_max =
            self.options.segment_bytes_max.min(self.options.bytes_max / 4).max(HEAD_LEN as u64 + 1);
        let is_old = |age: Duration| age < Duration::MAX && older(last.begun, now(), age / AGE_PARTS);
        last.len >= bytes_max
            || last.len > HEAD_LEN as u64 && self.options.retention.is_some_and(|own| is_old(own.age))
    }

    fn write(
        &self,
        state: &mut State,
        header: &Header,
        body: &[u8],
    ) -> Result<(u64, Arc<dyn File>, u64), QueueError> {
        if self.is_segment_full(state)
            && let Some(file) = state.file.take()
            && self.options.durability == Durability::Os
            && let Err(error) = file.sync()
        {
            tracing::warn!(%error, "a segment of the queue may not survive a power cut");
        }
        if state.file.is_none() {
            self.begin_segment(state)?;
        }
        let (Some(file), Some(segment)) = (state.file.clone(), state.segments.back_mut()) else {
            return Err(QueueError::Stopped);
        };
        let sequence = state.next;
        state.scratch.clear();
        record::encode_head(sequence, state.durable, header, body, &mut state.scratch);
        let head = state.scratch.len() as u64;
        let written = if body.len() <= TAIL_RECORD_MAX {
            state.scratch.extend_from_slice(body);
            file.write_at(segment.len, &state.scratch)
        } else {
            file.write_at(segment.len, &state.scratch).and_then(|()| file.write_at(segment.len + head, body))
        };
        if let Err(error) = written {
            // Half a record is cut off; if even that fails, the next one is written over it.
            let _ = file.truncate(segment.len);
            return Err(error.into());
        }
        if state.scratch.capacity() > SCRATCH_MAX {
            state.scratch = Vec::new();
        }
        let len = head + body.len() as u64;
        segment.len += len;
        segment.positions.add(&header.positions);
        state.bytes += len;
        state.next += u64::from(header.events);
        segment.end = state.next;
        let len = segment.len;
        if header.events > 0 {
            let oldest = state.readers.values().map(|cursor| cursor.at).min().unwrap_or(sequence);
            state.ages.note(sequence, now(), oldest);
        }
        if header.events > 0 && body.len() <= TAIL_RECORD_MAX {
            let record = Record { sequence, header: header.clone(), body: body.into() };
            state.remember(record, self.options.tail_bytes);
        }
        Ok((sequence, file, len))
    }

    fn begin_segment(&self, state: &mut State) -> Result<(), QueueError> {
        // A file of that name holds no events; it is left alone.
        let mut number = state.next;
        while self.disk.exists(&self.folder.join(segment::file_name(number))) {
            number += 1;
        }
        let path = self.folder.join(segment::file_name(number));
        let begun = now();
        let file = self.disk.create(&path)?;
        let made = file.write_at(0, &segment::head(begun)).and_then(|()| self.disk.sync_dir(&self.folder));
        if let Err(error) = made {
            let _ = self.disk.remove(&path);
            return Err(error.into());
        }
        state.file = Some(Arc::from(file));
        state.durable = 0;
        state.bytes += HEAD_LEN as u64;
        state.add_gap(state.next, number);
        state.visible = if state.visible == state.next { number } else { state.visible };
        state.next = number;
        state.segments.push_back(Segment::new(path, number, begun));
        Ok(())
    }

    /// Takes back the records from this sequence on, which the last segment holds and nobody
    /// has seen. On an error they may come back with the next start.
    pub(crate) fn take_back(&self, state: &mut State, from: u64) -> Result<(), QueueError> {
        let durable = (state.durable as usize).max(HEAD_LEN);
        let Some(mut last) = state.segments.pop_back() else { return Ok(()) };
        let before = last.len;
        last.positions = segment::Ranges::default();
        // Written anew, since nothing is certain about the old file any more.
        let kept = self.disk.read(&last.path).and_then(|mut bytes| {
            bytes.truncate(durable);
            if durable > HEAD_LEN {
                let anew = self.disk.write_atomic(&last.path, &bytes);
                // Short of room, cutting it is the next best.
                anew.or_else(|_| cut(&*self.disk, &last.path, durable as u64)).map(|()| bytes)
            } else {
                let removed = self.disk.remove(&last.path);
                removed.and_then(|()| self.disk.sync_dir(&self.folder)).map(|()| bytes)
            }
        });
        let bytes = match kept {
            Ok(bytes) => bytes,
            Err(error) => {
                state.segments.push_back(last);
                return Err(error.into());
            }
        };
        state.bytes -= before;
        state.next = from;
        state.durable = 0;
        if durable > HEAD_LEN {
            segment::scan(&bytes, &last.path, |_, found| last.positions.add(&found.header.positions))?;
            last.len = bytes.len() as u64;
            last.end = from;
            state.bytes += last.len;
            state.segments.push_back(last);
        }
        Ok(())
    }

    /// Lets go of the oldest segments that nobody needs.
    pub(crate) fn purge(&self, state: &mut State) {
        let mut removed = false;
        while let Some(first) = state.segments.front() {
            if !self.may_go(state, first) {
                break;
            }
            // The file that is appended to is only left when the queue is short of room, and
            // for a new one, whose name keeps the count of the sequences.
            let is_current = state.segments.len() == 1 && state.file.is_some();
            let is_wanted = is_current && (!self.is_full(state, 1) || self.is_unsynced(state));
            if is_wanted || (is_current && !self.leave_segment(state)) {
                break;
            }
            let Some(first) = state.segments.front() else { break };
            if let Err(error) = self.disk.remove(&first.path) {
                tracing::warn!(%error, "a segment could not be removed");
                break;
            }
            let first = state.segments.pop_front();
            state.bytes -= first.map_or(0, |first| first.len);
            removed = true;
        }
        if removed {
            // Should the names come back after a power cut, the cursors pass over them.
            let _ = self.disk.sync_dir(&self.folder);
            let oldest = state.oldest();
            state.gaps.retain(|_, to| *to > oldest);
            self.room.notify_all();
        }
    }

    fn leave_segment(&self, state: &mut State) -> bool {
        state.file = None;
        let next = state.next;
        self.begin_segment(state).is_ok() || state.cursors.save_floor(next).is_ok()
    }

    fn may_go(&self, state: &State, segment: &Segment) -> bool {
        if let Some(retention) = &self.options.retention {
            if segment.end <= state.unwanted {
                return true;
            }
            let Some(second) = state.segments.get(1) else { return false };
            // Its newest record is as old as the segment behind it.
            let is_old = retention.age < Duration::MAX && older(second.begun, now(), retention.age);
            return state.bytes > retention.bytes || is_old;
        }
        let Some(read) = state.readers.values().map(|cursor| cursor.saved).min() else { return false };
        segment.end <= read && segment.end <= state.registry
    }

    /// Forgets a reader that does not come back, so that it holds no segments any more.
    pub fn forget(&self, name: &str) -> Result<(), QueueError> {
        let mut state = self.state();
        state.readers.remove(name);
        let next = state.visible;
        state.cursors.forget(name, next)?;
        self.purge(&mut state);
        self.room.notify_all();
        Ok(())
    }

    /// Lets go of history before this sequence as soon as a whole segment of it may go, whatever
    /// the retention says.
    pub fn let_go(&self, before: u64) {
        let mut state = self.state();
        state.unwanted = state.unwanted.max(before);
        let is_all = state.segments.back().is_some_and(|last| last.end <= before && last.len >= LET_GO_MIN);
        if is_all && state.file.is_some() && !self.is_unsynced(&state) {
            self.leave_segment(&mut state);
        }
        self.purge(&mut state);
    }

    /// Says that the saved registry covers everything before this sequence, so that segments
    /// below it may go.
    pub fn registry_synced(&self, sequence: u64) {
        let mut state = self.state();
        state.registry = state.registry.max(sequence);
        self.purge(&mut state);
    }

    /// Gives no sequence below this one any more. For whoever is behind a queue and passes over
    /// what it has by the sequence: when the queue's files were removed, it would begin again
    /// with sequences that were given before. Called before the first append.
    pub fn at_least(&self, sequence: u64) -> Result<(), QueueError> {
        let mut state = self.state();
        if state.next < sequence {
            let next = state.next;
            state.file = None;
            state.add_gap(next, sequence);
            state.visible = if state.visible == next { sequence } else { state.visible };
            state.next = sequence;
            state.cursors.save_floor(sequence)?;
        }
        Ok(())
    }

    /// The ranges of positions that the records still held cover, those that touch as one.
    pub fn positions(&self) -> Vec<Positions> {
        self.state().segments.iter().flat_map(|segment| segment.positions.all()).collect()
    }

    /// How it stands.
    pub fn stats(&self) -> Stats {
        self.state().stats(self.options.bytes_max)
    }

    /// From now on an append for which there is no room is an error and does not wait, nor do
    /// those that wait now: nobody may make room for them before the program ends.
    pub fn refuse_when_full(&self) {
        self.state().refuses = true;
        self.room.notify_all();
    }

    /// From now on an append for which there is no room waits again.
    pub fn wait_when_full(&self) {
        self.state().refuses = false;
    }

    /// The limit of events; 0: none.
    pub fn events_max(&self) -> u64 {
        self.options.events_max
    }

    /// Syncs what was appended, saves the cursors and ends. Whoever waits is told.
    pub fn stop(&self) {
        self.state().stopped = true;
        self.work.notify_all();
        self.room.notify_all();
        self.appended.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
        self.appended.notify_all();
    }
}

fn cut(disk: &dyn Disk, path: &Path, len: u64) -> Result<(), disk::DiskError> {
    let file = disk.open(path)?;
    file.truncate(len).and_then(|()| file.sync())
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn older(then: i64, now: i64, age: Duration) -> bool {
    i128::from(now) - i128::from(then) > age.as_nanos() as i128
}
