//! Readers: from memory while they keep up, else from the segment files.

use crate::log::Queue;
use crate::record;
use crate::segment::{self, HEAD_LEN};
use crate::state::Cursor;
use crate::{QueueError, Record};
use disk::File;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How long a reader waits before it tries a file again that could not be opened.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Where a new reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Where it was, else with the oldest event there is.
    SavedOrBegin,
    /// Where it was, else with the next event. If saved cursors were lost, this one may have
    /// been among them: then it begins with the oldest.
    SavedOrEnd,
}

/// Reads the records from a cursor on, in order.
pub struct Reader {
    queue: Arc<Queue>,
    name: String,
    at: u64,
    place: Option<Place>,
    buffer: Vec<u8>,
}

/// Where in a segment file the reader stands.
struct Place {
    path: PathBuf,
    file: Box<dyn File>,
    offset: u64,
}

/// What a look into a segment file gave.
enum Look {
    Found(Record),
    /// There is nothing more in it.
    End,
    /// It is gone.
    Gone,
}

impl Queue {
    /// Begins to read under a name; its cursor is saved under it. One reader per name.
    pub fn reader(self: &Arc<Self>, name: &str, start: Start) -> Reader {
        let mut state = self.state();
        let is_new = !state.readers.contains_key(name);
        let from_end = start == Start::SavedOrEnd && !state.cursors_lost;
        let first = if from_end { state.next } else { state.oldest() };
        let cursor = state.readers.entry(name.to_owned()).or_insert_with(|| Cursor::new(first));
        // What was read and not acknowledged is read again.
        let at = cursor.at;
        if is_new && let Err(error) = state.cursors.save(&[(name.to_owned(), at)]) {
            tracing::warn!(%error, "the cursor of a new reader could not be saved");
        }
        Reader { queue: self.clone(), name: name.to_owned(), at, place: None, buffer: Vec::new() }
    }
}

impl Reader {
    /// Goes back to the cursor: what was given and not acknowledged is given again.
    pub fn rewind(&mut self) {
        let state = self.queue.state();
        self.at = state.readers.get(&self.name).map_or(self.at, |cursor| cursor.at);
        self.place = None;
    }

    /// The next record that is confirmed; waits for one at most this long. Damaged records are
    /// passed over and count as acknowledged. Records without events are never given.
    pub fn next(&mut self, wait: Duration) -> Option<Record> {
        let queue = self.queue.clone();
        let until = Instant::now() + wait;
        loop {
            let mut state = queue.state();
            let at = state.skip(self.at);
            if at >= state.visible {
                if state.stopped {
                    return None;
                }
                let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
                drop(queue.appended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner));
                continue;
            }
            if let Some(record) = state.in_memory(at) {
                drop(state);
                return Some(self.take(at, record));
            }
            let Some((path, end, len)) = state.segment_at(at).map(|own| (own.path.clone(), own.end, own.len))
            else {
                let visible = state.visible;
                state.add_gap(at, visible);
                continue;
            };
            let end = end.min(state.visible);
            drop(state);
            match self.look(path.clone(), at, len) {
                Ok(Look::Found(record)) if record.end() <= end => return Some(self.take(at, record)),
                Ok(Look::Found(_)) => {
                    // The record looked for is damaged, and this one not confirmed yet.
                    self.place = None;
                    self.pass(at, end);
                }
                Ok(Look::End) => self.pass(at, end),
                Ok(Look::Gone) => {
                    let is_held = queue.state().segments.iter().any(|segment| segment.path == path);
                    if is_held {
                        self.pass(at, end);
                    }
                }
                Err(error) => {
                    // Nothing is skipped for want of file handles, say.
                    tracing::warn!(%error, "the queue cannot be read; it is tried again");
                    std::thread::sleep(RETRY_PAUSE.min(wait));
                    return None;
                }
            }
        }
    }

    fn take(&mut self, at: u64, record: Record) -> Record {
        if record.sequence > at {
            self.pass(at, record.sequence);
        }
        self.at = record.end();
        record
    }

    /// Nothing can be read here any more, by nobody.
    fn pass(&mut self, from: u64, to: u64) {
        tracing::error!(from, to, "events of the queue are damaged or missing; reading goes on behind them");
        self.queue.state().add_gap(from, to);
    }

    /// The first record in a segment file that ends behind this sequence.
    fn look(&mut self, path: PathBuf, at: u64, len: u64) -> Result<Look, QueueError> {
        let place = match self.place.take() {
            Some(place) if place.path == path => self.place.insert(place),
            _ => match self.queue.disk.open(&path) {
                Ok(file) => self.place.insert(Place { path, file, offset: HEAD_LEN as u64 }),
                Err(error) if error.is_missing() => return Ok(Look::Gone),
                Err(error) => return Err(error.into()),
            },
        };
        while place.offset < len {
            let mut head = [0; record::HEAD_LEN];
            let peeked =
                if read(&*place.file, place.offset, &mut head)? { record::peek(&head) } else { None };
            let peeked = peeked.filter(|peeked| place.offset + peeked.len as u64 <= len);
            let Some(peeked) = peeked else {
                place.offset = next_offset(place, len)?;
                continue;
            };
            if peeked.end() <= at || peeked.events == 0 {
                place.offset += peeked.len as u64;
                continue;
            }
            self.buffer.resize(peeked.len, 0);
            let found = read(&*place.file, place.offset, &mut self.buffer)?;
            let Some(found) = record::decode(&self.buffer).filter(|_| found) else {
                place.offset = next_offset(place, len)?;
                continue;
            };
            place.offset += peeked.len as u64;
            let (sequence, header, body) = (found.sequence, found.header, found.body.into());
            return Ok(Look::Found(Record { sequence, header, body }));
        }
        Ok(Look::End)
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

/// Reads exactly this; false when the file ends before, or the device has lost it.
fn read(file: &dyn File, offset: u64, buffer: &mut [u8]) -> Result<bool, QueueError> {
    match file.read_at(offset, buffer) {
        Ok(count) => Ok(count == buffer.len()),
        Err(error) if error.is_lost() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Where the next record stands behind a damaged one, or the end.
fn next_offset(place: &Place, len: u64) -> Result<u64, QueueError> {
    let mut rest = vec![0; (len - place.offset) as usize];
    if !read(&*place.file, place.offset, &mut rest)? {
        return Ok(len);
    }
    Ok(place.offset + segment::next_record(&rest, 1) as u64)
}

/// Acknowledges records for a reader.
#[derive(Clone)]
pub struct Acker {
    queue: Arc<Queue>,
    name: String,
}

impl Acker {
    /// Says that the record of this sequence and number of events is done with. Records may
    /// be acknowledged in any order; the cursor passes what is done without a gap, and is
    /// saved within a moment.
    pub fn ack(&self, sequence: u64, events: u32) {
        let mut state = self.queue.state();
        let end = sequence + u64::from(events);
        let Some(cursor) = state.readers.get_mut(&self.name).filter(|cursor| end > cursor.at) else { return };
        let known = cursor.done.entry(sequence).or_insert(end);
        *known = end.max(*known);
        state.advance(&self.name);
        if state.blocked > 0 {
            self.queue.work.notify_one();
        }
    }
}
