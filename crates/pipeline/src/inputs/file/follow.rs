//! One file that is followed.

use super::identity::{self, Evidence, HEAD, Head, Identity, MARK, key};
use super::lines::Splitter;
use event::{Batch, Common, CommonValue, Origin};
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use xxhash_rust::xxh3::xxh3_64;

/// One file that is followed, open or not.
pub(super) struct Followed {
    pub(super) path: PathBuf,
    /// Where links lead to, if the path goes over any.
    pub(super) real: Option<PathBuf>,
    pub(super) identity: Identity,
    origin: Origin,
    common: Arc<Common>,
    host: String,
    pub(super) file: Option<File>,
    /// When it was written to last, if it was closed with nothing left to read.
    closed: Option<SystemTime>,
    offset: u64,
    /// The end of the last range of positions that was given on; a hole may lie behind it.
    reported: u64,
    /// The first bytes, as they were read, up to [`HEAD`].
    beginning: Vec<u8>,
    /// The bytes before the offset, to see that somebody cut the file and wrote it anew.
    tail: Vec<u8>,
    /// The mark of those bytes, or of those that should be there; 0: not known.
    mark: u64,
    /// The rest of a line that was too long is passed over.
    skipping: bool,
    /// Bytes at the end that are no whole line yet.
    waiting: usize,
    /// The size when it was looked at last.
    pub(super) size: u64,
    last_read: Instant,
    pub(super) next_look: Instant,
    pause: Duration,
    /// Since when no path leads to it.
    pub(super) gone: Option<Instant>,
    /// It is a copy, or was rotated away: it does not grow, and ends at its end.
    pub(super) is_finite: bool,
    pub(super) finished: bool,
    /// Its last name was removed.
    pub(super) is_deleted: bool,
    pub(super) was_cut: bool,
    pub(super) error: Option<String>,
    /// What the registry was told last: the acknowledged offset and the length of the head.
    remembered: (u64, usize),
}

/// What a read gave.
pub(super) struct Read {
    pub(super) bytes: usize,
    pub(super) at_end: bool,
}

const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A line that was begun is looked for more often.
const PAUSE_MAX_WAITING: Duration = Duration::from_millis(250);

impl Followed {
    pub(super) fn new(
        path: PathBuf,
        identity: Identity,
        origin: Origin,
        (offset, mark): (u64, u64),
        host: &str,
        now: Instant,
    ) -> Self {
        let common = common(origin, &identity.path, host);
        let real = std::fs::canonicalize(&path).ok().filter(|real| *real != path);
        Self {
            path,
            real,
            identity,
            origin,
            common,
            host: host.to_owned(),
            file: None,
            closed: None,
            offset,
            reported: offset,
            tail: Vec::new(),
            beginning: Vec::new(),
            mark,
            skipping: false,
            waiting: 0,
            size: 0,
            last_read: now,
            next_look: now,
            pause: PAUSE_FIRST,
            gone: None,
            is_finite: false,
            finished: false,
            is_deleted: false,
            was_cut: false,
            error: None,
            remembered: (offset, usize::MAX),
        }
    }

    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    pub(super) fn common(&self) -> Arc<Common> {
        self.common.clone()
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Where the next range of positions begins.
    pub(super) fn reported(&self) -> u64 {
        self.reported
    }

    pub(super) fn key(&self) -> (u64, u64) {
        (self.identity.dev, self.identity.ino)
    }

    /// Goes back to an offset with this mark because events came back.
    pub(super) fn seek(&mut self, offset: u64, mark: u64) {
        (self.offset, self.reported, self.mark) = (offset, offset, mark);
        self.skipping = false;
        self.tail.clear();
        if let Some(file) = self.file.take() {
            self.opened(file);
        }
        self.next_look = Instant::now();
    }

    /// The file of this origin was cut, but its content lives on in a copy.
    pub(super) fn move_to_copy(&mut self, path: PathBuf, meta: &Metadata, file: File) {
        self.path = path;
        (self.identity.dev, self.identity.ino) = key(meta);
        self.size = meta.len();
        self.is_finite = true;
        self.opened(file);
        self.remembered.1 = usize::MAX;
        self.next_look = Instant::now();
    }

    /// What the file must hold to be the one that was read so far.
    pub(super) fn evidence(&self) -> Evidence {
        Evidence { identity: self.identity.clone(), offset: self.offset, mark: self.mark }
    }

    /// Begins anew at 0: the file was cut.
    pub(super) fn restart(&mut self, origin: Origin) {
        self.origin = origin;
        self.common = common(origin, &self.identity.path, &self.host);
        (self.offset, self.reported, self.mark) = (0, 0, 0);
        self.tail.clear();
        self.skipping = false;
        self.waiting = 0;
        self.was_cut = false;
        self.size = 0;
        (self.identity.head_len, self.identity.head) = (0, 0);
        self.remembered = (0, usize::MAX);
        self.next_look = Instant::now();
    }

    /// Takes an open file, and sees whether it still holds what was read.
    pub(super) fn opened(&mut self, file: File) {
        // The head first: what still holds the bytes before the offset had this head.
        let head = identity::head(&file, HEAD);
        match identity::before(&file, self.offset) {
            Ok(tail) => {
                let is_whole = tail.len() == MARK.min(self.offset as usize);
                self.was_cut = !is_whole || (self.mark != 0 && identity::mark(&tail) != self.mark);
                if !self.was_cut {
                    if let Ok(Head { len, hash }) = head
                        && self.offset > 0
                        && len > self.identity.head_len
                    {
                        (self.identity.head_len, self.identity.head) = (len, hash);
                    }
                    self.tail = tail;
                    self.mark = if self.offset == 0 { 0 } else { identity::mark(&self.tail) };
                }
                self.file = Some(file);
                self.error = None;
            }
            Err(error) => self.failed(&error, Instant::now()),
        }
    }

    /// How many bytes to ask for: more when a line or a group did not fit the last time.
    pub(super) fn want(&self, room: usize, splitter: &Splitter) -> usize {
        let group = splitter.multiline.as_ref().map_or(0, |multiline| multiline.bytes_max);
        let most = splitter.line_bytes_max.max(group) + 4096;
        if self.waiting >= room / 2 { (self.waiting * 2).clamp(room, most.max(room)) } else { room }
    }

    /// Reads behind the offset. Nothing when there is nothing new, or the file was cut.
    pub(super) fn read(&mut self, batch: &mut Batch, room: usize, now: Instant) -> Option<Read> {
        let file = self.file.as_ref()?;
        let bytes = batch.bytes_mut();
        let before = bytes.len();
        let known = self.tail.len();
        bytes.reserve(known + room);
        let from = self.offset - known as u64;
        let asked = known + room;
        let read = loop {
            match rustix::io::pread(file, rustix::buffer::spare_capacity(bytes), from) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        let read = match read {
            Ok(read) => read.min(asked),
            Err(error) => {
                bytes.truncate(before);
                self.failed(&error.into(), now);
                return None;
            }
        };
        bytes.truncate(before + read);
        if bytes[before..].len() < known || bytes[before..before + known] != self.tail[..] {
            bytes.truncate(before);
            self.was_cut = true;
            return None;
        }
        // The bytes that were known only served to compare.
        bytes.drain(before..before + known);
        let new = read - known;
        if bytes.get(before) == Some(&0) && self.pass_hole() {
            batch.bytes_mut().truncate(before);
            return self.read(batch, room, now);
        }
        if new == 0 && !(self.is_finite || self.gone.is_some()) {
            self.nothing(now);
            return None;
        }
        self.error = None;
        self.size = self.size.max(self.offset + new as u64);
        Some(Read { bytes: new, at_end: new < room })
    }

    /// Goes to the end of the hole that begins here, if there is one: where somebody wrote far
    /// behind the end of the file, the system shows zeros that nobody wrote.
    fn pass_hole(&mut self) -> bool {
        let Some(file) = &self.file else { return false };
        let Ok(data) = rustix::fs::seek(file, SeekFrom::Data(self.offset)) else { return false };
        let Ok(tail) = identity::before(file, data) else { return false };
        if data <= self.offset {
            return false;
        }
        tracing::info!(path = %self.path.display(), bytes = data - self.offset, "a hole is passed over");
        self.offset = data;
        self.mark = identity::mark(&tail);
        self.tail = tail;
        true
    }

    fn failed(&mut self, error: &std::io::Error, now: Instant) {
        let text = error.to_string();
        if self.error.as_ref() != Some(&text) {
            tracing::warn!(path = %self.path.display(), error = text, "a file cannot be read; it is tried again");
        }
        self.error = Some(text);
        if Errno::from_io_error(error) == Some(Errno::STALE) {
            self.file = None;
        }
        self.next_look = now + Duration::from_secs(1);
    }

    /// Closes the file until something happens to it.
    pub(super) fn close(&mut self) {
        let meta = self.file.take().and_then(|file| file.metadata().ok());
        self.closed = meta.filter(|meta| meta.len() == self.offset).and_then(|meta| meta.modified().ok());
    }

    /// Whether it was read to its end when it was closed, and was not written to since.
    pub(super) fn is_as_it_was(&self) -> bool {
        let Some(closed) = self.closed.filter(|_| self.gone.is_none()) else { return false };
        std::fs::metadata(&self.path).is_ok_and(|meta| {
            key(&meta) == self.key()
                && meta.len() == self.offset
                && meta.modified().is_ok_and(|at| at == closed)
        })
    }

    pub(super) fn nothing(&mut self, now: Instant) {
        self.next_look = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        self.waiting = 0;
    }

    /// The hash of the head grows with what is read: the file itself may be another by now.
    fn grow_head(&mut self, taken: &[u8]) {
        if self.offset == 0 {
            self.beginning.clear();
        }
        let known = self.beginning.len();
        if self.offset != known as u64 || known >= HEAD {
            return;
        }
        self.beginning.extend_from_slice(&taken[..taken.len().min(HEAD - known)]);
        self.identity.head_len = self.beginning.len();
        self.identity.head = xxh3_64(&self.beginning);
    }

    /// Where the events begin: behind the rest of a line that was too long.
    pub(super) fn pass_over(&mut self, batch: &Batch, before: usize) -> usize {
        if !self.skipping {
            return before;
        }
        match memchr::memchr(b'\n', &batch.bytes()[before..]) {
            Some(at) => {
                self.skipping = false;
                before + at + 1
            }
            None => batch.bytes().len(),
        }
    }

    /// Goes on behind `used` bytes that were read at `before` of the batch.
    pub(super) fn advance(
        &mut self,
        batch: &Batch,
        before: usize,
        used: usize,
        skipping: bool,
        now: Instant,
    ) {
        if used == 0 {
            return;
        }
        let taken = &batch.bytes()[before..before + used];
        self.grow_head(taken);
        if taken.len() >= MARK {
            self.tail.clear();
            self.tail.extend_from_slice(&taken[taken.len() - MARK..]);
        } else {
            self.tail.extend_from_slice(taken);
            let over = self.tail.len().saturating_sub(MARK);
            self.tail.drain(..over);
        }
        self.offset += used as u64;
        self.reported = self.offset;
        self.skipping |= skipping;
        self.waiting = 0;
        self.last_read = now;
        self.pause = PAUSE_FIRST;
        self.next_look = now;
        self.mark = identity::mark(&self.tail);
    }

    /// Bytes came that are no whole event yet.
    pub(super) fn held(&mut self, bytes: usize, now: Instant) {
        if bytes > self.waiting {
            self.waiting = bytes;
            self.last_read = now;
            self.pause = PAUSE_FIRST;
        }
        self.next_look = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX_WAITING);
    }

    /// Whether nothing new came for so long.
    pub(super) fn is_quiet(&self, now: Instant, wait: Duration) -> bool {
        now.duration_since(self.last_read) >= wait
    }

    /// Whether nothing will come any more.
    pub(super) fn is_final(&self, now: Instant, wait: Duration) -> bool {
        let quiet = now.duration_since(self.last_read) >= wait;
        let gone = self.gone.is_some_and(|since| now.duration_since(since) >= wait);
        (gone || self.is_finite) && quiet
    }

    pub(super) fn finish(&mut self) {
        self.finished = true;
        let meta = self.file.take().and_then(|file| file.metadata().ok());
        self.is_deleted = meta.is_some_and(|meta| meta.nlink() == 0);
    }

    /// How long it has been quiet.
    pub(super) fn quiet_for(&self, now: Instant) -> Duration {
        now.duration_since(self.last_read)
    }

    /// Whether the registry should hear of it: more is acknowledged, or the head grew.
    pub(super) fn is_news(&mut self, watermark: u64) -> bool {
        let now = (watermark, self.identity.head_len);
        std::mem::replace(&mut self.remembered, now) != now
    }

    /// The mark of the bytes before the offset.
    pub(super) fn mark(&self) -> u64 {
        self.mark
    }

    /// Looks again soon: inotify said that something happened.
    pub(super) fn wake(&mut self, now: Instant) {
        if self.error.is_none() {
            self.next_look = now;
        }
    }
}

fn common(origin: Origin, path: &str, host: &str) -> Arc<Common> {
    let fields = [
        ("host.name", CommonValue::Str(host.to_owned())),
        ("log.file.path", CommonValue::Str(path.to_owned())),
        ("log.offset", CommonValue::Position),
    ];
    Common::new(origin, fields)
}
