//! The queue itself: appending, group commit, readers and what they let go of.

use crate::cursors::Cursors;
use crate::record::{self, Header, Positions};
use crate::segment::{self, Entry, HEAD, HEAD_LEN, Recovery};
use crate::{Durability, Options, QueueError, Record};
use disk::{Disk, File};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

type Confirm = Box<dyn FnOnce(Result<(), QueueError>) + Send>;

/// How often cursors are saved while they move.
const CURSORS_EVERY: Duration = Duration::from_millis(200);
/// A record's memory that is kept for the next.
const SCRATCH_MAX: usize = 1 << 20;

/// A durable log. Appending and reading may be done from any thread.
pub struct Queue {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    options: Options,
    state: Mutex<State>,
    /// Something was appended, or the queue was stopped.
    appended: Condvar,
    /// There is room again.
    room: Condvar,
    /// The sync thread has something to do.
    work: Condvar,
    /// Everything that was asked for is synced.
    idle: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    segments: VecDeque<Segment>,
    /// The file that is appended to; none: the next append begins one.
    file: Option<Arc<dyn File>>,
    next: u64,
    bytes: u64,
    tail: VecDeque<Record>,
    tail_bytes: usize,
    readers: BTreeMap<String, Cursor>,
    cursors: Cursors,
    cursors_saved: Instant,
    waiting: Vec<(Arc<dyn File>, Confirm)>,
    waiting_bytes: usize,
    syncing: bool,
    /// The file whose sync failed last: nothing in it is ever confirmed again.
    poisoned: Option<Arc<dyn File>>,
    /// What the saved registry covers.
    registry: u64,
    stopped: bool,
    scratch: Vec<u8>,
}

struct Segment {
    path: PathBuf,
    len: u64,
    entries: Vec<Entry>,
    /// The sequence behind its last event.
    end: u64,
}

#[derive(Clone)]
struct Cursor {
    /// Every whole record before it is acknowledged.
    at: u64,
    saved: u64,
    /// Acknowledged behind `at`: from and to.
    done: BTreeMap<u64, u64>,
}

/// Where a new reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Where it was, else with the oldest event there is.
    SavedOrBegin,
    /// Where it was, else with the next event.
    SavedOrEnd,
}

/// How a queue stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Segment files.
    pub segments: usize,
    /// Bytes on disk.
    pub bytes: u64,
    /// The limit of bytes.
    pub bytes_max: u64,
    /// Events from the oldest to the newest.
    pub events: u64,
    /// The sequence of the next event.
    pub head: u64,
    /// The sequence of the oldest event.
    pub tail: u64,
    /// The readers.
    pub readers: Vec<ReaderStats>,
}

/// How a reader stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderStats {
    /// Its name.
    pub name: String,
    /// Everything before it is acknowledged.
    pub cursor: u64,
    /// Events that are not acknowledged.
    pub lag_events: u64,
    /// Bytes of the records that are not acknowledged.
    pub lag_bytes: u64,
}

impl Queue {
    /// Opens the queue in a folder of the disk, new if it is not there. Whatever the files
    /// hold, it opens, unless a newer program wrote them; the recovery says what was found.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        options: Options,
    ) -> Result<(Arc<Self>, Recovery), QueueError> {
        disk.create_dir_all(folder)?;
        let mut recovery = Recovery::default();
        let (cursors, damaged) = Cursors::open(disk.clone(), folder)?;
        recovery.cursors_damaged = damaged;
        let segments = recover(&*disk, folder, &mut recovery)?;
        let known = cursors.all().map(|(_, cursor)| cursor).max().unwrap_or(0);
        let next = segments.back().map_or(0, |last| last.end).max(known);
        let state = State {
            bytes: segments.iter().map(|segment| segment.len).sum(),
            segments,
            file: None,
            next,
            tail: VecDeque::new(),
            tail_bytes: 0,
            readers: cursors
                .all()
                .map(|(name, at)| (name.clone(), Cursor { at, saved: at, done: BTreeMap::new() }))
                .collect(),
            cursors,
            cursors_saved: Instant::now(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            syncing: false,
            poisoned: None,
            registry: 0,
            stopped: false,
            scratch: Vec::new(),
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
        // The thread holds the queue weakly between two looks, so that one that nobody uses ends.
        let weak = Arc::downgrade(&queue);
        let thread = std::thread::Builder::new().name("queue-sync".to_owned()).spawn(move || {
            while let Some(queue) = weak.upgrade() {
                if !queue.sync_once() {
                    return;
                }
            }
        });
        let thread = thread.map_err(|error| {
            QueueError::Disk(Arc::new(disk::DiskError::Io {
                operation: "start a thread for",
                path: folder.to_owned(),
                source: error,
            }))
        })?;
        *queue.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok((queue, recovery))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a record and returns the sequence of its first event. Waits while the queue is
    /// full. `confirmed` is called once, by another thread, when the record is as safe as the
    /// durability says, or with the error when it is not. On an error returned from here it
    /// is never called and nothing was appended.
    pub fn append(&self, header: &Header, body: &[u8], confirmed: Confirm) -> Result<u64, QueueError> {
        let mut state = self.state();
        loop {
            if state.stopped {
                return Err(QueueError::Stopped);
            }
            self.purge(&mut state);
            if !self.is_full(&state, header.events) {
                break;
            }
            state = self.room.wait_timeout(state, CURSORS_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
        let (sequence, file) = self.write(&mut state, header, body)?;
        if self.options.durability == Durability::Fsync {
            state.waiting.push((file, confirmed));
            state.waiting_bytes += body.len();
            self.work.notify_one();
            drop(state);
        } else {
            drop(state);
            confirmed(Ok(()));
        }
        self.appended.notify_all();
        Ok(sequence)
    }

    fn is_full(&self, state: &State, events: u32) -> bool {
        if self.options.retention.is_some() {
            return false;
        }
        let held = state.next - state.oldest();
        let events_full =
            self.options.events_max > 0 && held + u64::from(events) > self.options.events_max && held > 0;
        state.bytes >= self.options.bytes_max || events_full
    }

    fn segment_bytes(&self) -> u64 {
        // A small queue must be able to let go of a part of itself.
        self.options.segment_bytes_max.min(self.options.bytes_max / 4).max(HEAD_LEN + 1)
    }

    fn write(
        &self,
        state: &mut State,
        header: &Header,
        body: &[u8],
    ) -> Result<(u64, Arc<dyn File>), QueueError> {
        if state.segments.back().is_some_and(|last| last.len >= self.segment_bytes()) {
            state.file = None;
        }
        if state.file.is_none() {
            self.begin_segment(state)?;
        }
        let (Some(file), Some(segment)) = (state.file.clone(), state.segments.back_mut()) else {
            return Err(QueueError::Stopped);
        };
        let sequence = state.next;
        state.scratch.clear();
        record::encode_head(sequence, header, body, &mut state.scratch);
        let head = state.scratch.len() as u64;
        let written =
            file.write_at(segment.len, &state.scratch).and_then(|()| file.write_at(segment.len + head, body));
        if let Err(error) = written {
            // Half a record is cut off; if even that fails, the next one is written over it.
            let _ = file.truncate(segment.len);
            return Err(error.into());
        }
        if state.scratch.capacity() > SCRATCH_MAX {
            state.scratch = Vec::new();
        }
        let len = head as usize + body.len();
        segment.entries.push(Entry { sequence, offset: segment.len, len, header: header.clone() });
        segment.len += len as u64;
        state.bytes += len as u64;
        state.next += u64::from(header.events);
        segment.end = state.next;
        self.remember(state, Record { sequence, header: header.clone(), body: body.into() });
        Ok((sequence, file))
    }

    fn begin_segment(&self, state: &mut State) -> Result<(), QueueError> {
        // Two files of one name: the last is empty of events, and nothing in it is lost.
        let mut number = state.next;
        while self.disk.exists(&self.folder.join(segment::file_name(number))) {
            number += 1;
        }
        state.next = number;
        let path = self.folder.join(segment::file_name(number));
        let file = self.disk.create(&path)?;
        let begun = file.write_at(0, &HEAD).and_then(|()| self.disk.sync_dir(&self.folder));
        if let Err(error) = begun {
            let _ = self.disk.remove(&path);
            return Err(error.into());
        }
        state.file = Some(Arc::from(file));
        state.bytes += HEAD_LEN;
        state.segments.push_back(Segment { path, len: HEAD_LEN, entries: Vec::new(), end: number });
        Ok(())
    }

    fn remember(&self, state: &mut State, record: Record) {
        state.tail_bytes += record.body.len();
        state.tail.push_back(record);
        while state.tail_bytes > self.options.tail_bytes {
            match state.tail.pop_front() {
                Some(old) => state.tail_bytes -= old.body.len(),
                None => break,
            }
        }
    }

    /// One round of the sync thread; says whether there will be another.
    fn sync_once(&self) -> bool {
        let mut state = self.state();
        if state.waiting.is_empty() {
            self.idle.notify_all();
            if state.stopped {
                self.save_cursors(&mut state);
                return false;
            }
            state = self.work.wait_timeout(state, CURSORS_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
        if !state.waiting.is_empty() && !state.stopped && state.waiting_bytes < self.options.group_bytes {
            let until = Instant::now() + self.options.group_time;
            while state.waiting_bytes < self.options.group_bytes && !state.stopped {
                let Some(left) = until.checked_duration_since(Instant::now()) else { break };
                state = self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        let waiting = std::mem::take(&mut state.waiting);
        state.waiting_bytes = 0;
        if !waiting.is_empty() {
            state.syncing = true;
            drop(state);
            self.sync_files(waiting);
            state = self.state();
            state.syncing = false;
        }
        if state.cursors_saved.elapsed() >= CURSORS_EVERY {
            self.save_cursors(&mut state);
            self.purge(&mut state);
        }
        true
    }

    /// Syncs each file once and tells those who wait for it.
    fn sync_files(&self, waiting: Vec<(Arc<dyn File>, Confirm)>) {
        let mut synced: Option<(Arc<dyn File>, Result<(), QueueError>)> = None;
        for (file, confirm) in waiting {
            if !synced.as_ref().is_some_and(|(last, _)| Arc::ptr_eq(last, &file)) {
                let result = self.sync_file(&file);
                synced = Some((file, result));
            }
            if let Some((_, result)) = &synced {
                confirm(result.clone());
            }
        }
    }

    fn sync_file(&self, file: &Arc<dyn File>) -> Result<(), QueueError> {
        let is = |other: &Option<Arc<dyn File>>| other.as_ref().is_some_and(|other| Arc::ptr_eq(other, file));
        if is(&self.state().poisoned) {
            let error = std::io::Error::other("an earlier sync of this file failed");
            let path = self.folder.clone();
            return Err(disk::DiskError::Io { operation: "sync", path, source: error }.into());
        }
        let result = file.sync();
        if result.is_err() {
            // What the file holds since the last sync may be gone. Trying again proves
            // nothing, since the kernel reports the loss once: a new file is begun.
            let mut state = self.state();
            state.poisoned = Some(file.clone());
            if is(&state.file) {
                state.file = None;
            }
        }
        result.map_err(QueueError::from)
    }

    fn save_cursors(&self, state: &mut State) {
        state.cursors_saved = Instant::now();
        let moved: Vec<(String, u64)> = state
            .readers
            .iter()
            .filter(|(_, cursor)| cursor.at != cursor.saved)
            .map(|(name, cursor)| (name.clone(), cursor.at))
            .collect();
        if moved.is_empty() {
            return;
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

    /// Lets go of the oldest segments that nobody needs.
    fn purge(&self, state: &mut State) {
        let mut removed = false;
        while let Some(first) = state.segments.front() {
            let is_current = state.segments.len() == 1 && state.file.is_some();
            // The file that is appended to is only left when the queue is short of room.
            if !self.may_go(state, first) || (is_current && !self.is_full(state, 1)) {
                break;
            }
            if is_current {
                state.file = None;
            }
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
            self.room.notify_all();
        }
    }

    fn may_go(&self, state: &State, segment: &Segment) -> bool {
        if let Some(retention) = &self.options.retention {
            let newest = segment.entries.iter().map(|entry| entry.header.time_max).max().unwrap_or(0);
            let latest = state
                .segments
                .back()
                .and_then(|last| last.entries.last())
                .map_or(0, |entry| entry.header.time_max);
            let age = Duration::from_nanos(latest.saturating_sub(newest).max(0) as u64);
            let old = age > retention.age;
            return state.segments.len() > 1 && (state.bytes > retention.bytes || old);
        }
        let read = state.readers.values().map(|cursor| cursor.saved).min().unwrap_or(0);
        segment.end <= read && segment.end <= state.registry
    }

    /// Begins to read under a name; its cursor is saved under it. One reader per name.
    pub fn reader(self: &Arc<Self>, name: &str, start: Start) -> Reader {
        let mut state = self.state();
        let next = state.next;
        let oldest = state.oldest();
        let known = state.cursors.get(name);
        let at = known.unwrap_or(if start == Start::SavedOrEnd { next } else { oldest });
        let cursor = Cursor { at, saved: at, done: BTreeMap::new() };
        state.readers.insert(name.to_owned(), cursor);
        if known.is_none()
            && let Err(error) = state.cursors.save(&[(name.to_owned(), at)])
        {
            tracing::warn!(%error, "the cursor of a new reader could not be saved");
        }
        Reader { queue: self.clone(), name: name.to_owned(), at }
    }

    /// Forgets a reader that does not come back, so that it holds no segments any more.
    pub fn forget(&self, name: &str) -> Result<(), QueueError> {
        let mut state = self.state();
        state.readers.remove(name);
        state.cursors.forget(name)?;
        self.purge(&mut state);
        Ok(())
    }

    /// Says that the saved registry covers everything before this sequence, so that segments
    /// below it may go.
    pub fn registry_synced(&self, sequence: u64) {
        let mut state = self.state();
        state.registry = state.registry.max(sequence);
        self.purge(&mut state);
    }

    /// The positions that the records still hold, oldest first.
    pub fn positions(&self) -> Vec<Positions> {
        let state = self.state();
        let entries = state.segments.iter().flat_map(|segment| &segment.entries);
        entries.flat_map(|entry| entry.header.positions.iter().copied()).collect()
    }

    /// How it stands.
    pub fn stats(&self) -> Stats {
        let state = self.state();
        let tail = state.oldest();
        Stats {
            segments: state.segments.len(),
            bytes: state.bytes,
            bytes_max: self.options.bytes_max,
            events: state.next - tail,
            head: state.next,
            tail,
            readers: state.readers.iter().map(|(name, cursor)| state.reader_stats(name, cursor)).collect(),
        }
    }

    /// Returns when everything appended so far is synced.
    pub fn flush(&self) {
        let mut state = self.state();
        while !state.waiting.is_empty() || state.syncing {
            self.work.notify_one();
            state = self
                .idle
                .wait_timeout(state, Duration::from_millis(20))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
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
    }
}

impl State {
    /// The sequence of the oldest event, or of the next where there is none.
    fn oldest(&self) -> u64 {
        let first = self.segments.iter().find_map(|segment| segment.entries.first());
        first.map_or(self.next, |entry| entry.sequence.min(self.next))
    }

    fn reader_stats(&self, name: &str, cursor: &Cursor) -> ReaderStats {
        let behind = self.segments.iter().rev().take_while(|segment| segment.end > cursor.at);
        let open = behind
            .flat_map(|segment| &segment.entries)
            .filter(|entry| entry.end() > cursor.at && !cursor.done.contains_key(&entry.sequence));
        let (events, bytes) = open.fold((0, 0), |(events, bytes), entry| {
            (events + u64::from(entry.header.events), bytes + entry.len as u64)
        });
        ReaderStats { name: name.to_owned(), cursor: cursor.at, lag_events: events, lag_bytes: bytes }
    }

    /// The first record at or behind this sequence: its segment's file and place.
    fn find(&self, at: u64) -> Option<(PathBuf, Entry)> {
        let first = self.segments.partition_point(|segment| segment.end <= at);
        let mut segments = self.segments.iter().skip(first);
        segments.find_map(|segment| {
            let n = segment.entries.partition_point(|entry| entry.sequence < at);
            segment.entries.get(n).map(|entry| (segment.path.clone(), entry.clone()))
        })
    }

    /// Moves a cursor over everything that is acknowledged, and over gaps.
    fn advance(&mut self, name: &str) {
        let Some(mut cursor) = self.readers.remove(name) else { return };
        while let Some((&from, &to)) = cursor.done.first_key_value() {
            let next = self.find(cursor.at).map_or(from, |(_, entry)| entry.sequence);
            if from > next {
                break;
            }
            cursor.done.pop_first();
            cursor.at = cursor.at.max(to);
        }
        self.readers.insert(name.to_owned(), cursor);
    }
}

/// Reads the records from a cursor on, in order.
pub struct Reader {
    queue: Arc<Queue>,
    name: String,
    at: u64,
}

impl Reader {
    /// The next record; waits for one at most this long. A record that turns out to be
    /// damaged is passed over and counts as acknowledged.
    pub fn next(&mut self, wait: Duration) -> Option<Record> {
        let until = Instant::now() + wait;
        let mut state = self.queue.state();
        loop {
            if let Some(record) = from_tail(&state, self.at) {
                self.at = record.sequence + u64::from(record.header.events);
                return Some(record);
            }
            if let Some((path, entry)) = state.find(self.at) {
                drop(state);
                self.at = entry.end();
                if let Some(record) = self.read(&path, &entry) {
                    return Some(record);
                }
                self.acker().ack(entry.sequence, entry.header.events);
                state = self.queue.state();
                continue;
            }
            let left = until.checked_duration_since(Instant::now())?;
            if state.stopped {
                return None;
            }
            state = self.queue.appended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn read(&self, path: &Path, entry: &Entry) -> Option<Record> {
        let mut bytes = vec![0; entry.len];
        let read = self.queue.disk.open(path).and_then(|file| file.read_at(entry.offset, &mut bytes));
        if let Err(error) = &read {
            tracing::error!(%error, sequence = entry.sequence, "a record of the queue cannot be read");
            return None;
        }
        let found = record::decode(&bytes);
        if found.is_none() {
            tracing::error!(file = %path.display(), sequence = entry.sequence, "a record of the queue is damaged");
        }
        found.map(|found| Record { sequence: found.sequence, header: found.header, body: found.body.into() })
    }

    /// Events that are not acknowledged under this reader's name.
    pub fn lag_events(&self) -> u64 {
        let state = self.queue.state();
        state.readers.get(&self.name).map_or(0, |cursor| state.reader_stats(&self.name, cursor).lag_events)
    }

    /// What acknowledges for this reader, from any thread.
    pub fn acker(&self) -> Acker {
        Acker { queue: self.queue.clone(), name: self.name.clone() }
    }
}

fn from_tail(state: &State, at: u64) -> Option<Record> {
    let first = state.tail.front()?;
    // Records in front of the tail may be on disk alone.
    if at < first.sequence {
        return None;
    }
    let n = state.tail.partition_point(|record| record.sequence < at);
    state.tail.get(n).cloned()
}

/// Acknowledges records for a reader.
#[derive(Clone)]
pub struct Acker {
    queue: Arc<Queue>,
    name: String,
}

impl Acker {
    /// Says that the record of this sequence and number of events is done with. Records may
    /// be acknowledged in any order; the cursor passes what is done without a gap.
    pub fn ack(&self, sequence: u64, events: u32) {
        let mut state = self.queue.state();
        if let Some(cursor) = state.readers.get_mut(&self.name)
            && sequence >= cursor.at
        {
            cursor.done.insert(sequence, sequence + u64::from(events));
            state.advance(&self.name);
        }
    }
}

fn recover(disk: &dyn Disk, folder: &Path, recovery: &mut Recovery) -> Result<VecDeque<Segment>, QueueError> {
    let files = segment::files(disk, folder)?;
    let mut segments: VecDeque<Segment> = VecDeque::new();
    for (n, path) in files.iter().enumerate() {
        let is_last = n + 1 == files.len();
        let bytes = match disk.map(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(%error, "a segment of the queue cannot be read");
                recovery.set_aside.push((path.display().to_string(), 0));
                continue;
            }
        };
        let mut entries: Vec<Entry> = Vec::new();
        let mut floor = segments.back().map_or(0, |segment| segment.end);
        let bad = segment::scan(&bytes, path, |offset, found| {
            // A record that stands in two places counts once.
            if found.sequence < floor && found.header.events > 0 {
                return;
            }
            let entry = Entry {
                sequence: found.sequence,
                offset: offset as u64,
                len: found.len,
                header: found.header,
            };
            floor = entry.end();
            entries.push(entry);
        })?;
        for bad in bad {
            if is_last && bad.to == bytes.len() {
                recovery.bytes_torn += (bad.to - bad.from) as u64;
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            set_aside(disk, folder, &format!("{name}.{}", bad.from), &bytes[bad.from..bad.to]);
            recovery.set_aside.push((name, (bad.to - bad.from) as u64));
        }
        recovery.records += entries.len() as u64;
        recovery.events += entries.iter().map(|entry| u64::from(entry.header.events)).sum::<u64>();
        let begin = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).unwrap_or(0);
        let end = entries.last().map_or(begin, Entry::end).max(begin);
        segments.push_back(Segment { path: path.clone(), len: bytes.len() as u64, entries, end });
    }
    let mut expected = None;
    for entry in segments.iter().flat_map(|segment| &segment.entries) {
        if let Some(expected) = expected.filter(|expected| *expected < entry.sequence) {
            recovery.missing.push((expected, entry.sequence));
        }
        expected = Some(entry.end());
    }
    Ok(segments)
}

/// Keeps damaged bytes for a person to look at.
fn set_aside(disk: &dyn Disk, folder: &Path, name: &str, bytes: &[u8]) {
    let folder = folder.join(segment::DAMAGED);
    let kept = disk.create_dir_all(&folder).and_then(|()| disk.write_atomic(&folder.join(name), bytes));
    if let Err(error) = kept {
        tracing::warn!(%error, "damaged bytes could not be set aside; they stay where they are");
    }
}
