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
    pub(super) identity: Identity,
    origin: Origin,
    /// What its events have in common; none while nothing comes of it.
    common: Option<Arc<Common>>,
    host: Arc<str>,
    pub(super) file: Option<File>,
    offset: u64,
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
    /// When it was looked at last, new bytes or not.
    looked: Instant,
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
    /// A line longer than this is cut; 0: lines are joined, and groups are cut.
    pub(super) long_line: u64,
    /// Nothing is expected of it: it is looked at again when something wakes it.
    pub(super) rests: bool,
    /// How it stood when it was closed or put to rest with all of it read.
    state: Option<State>,
    /// What the registry was told last: the acknowledged offset and the length of the head.
    remembered: (u64, usize),
}

/// What a read gave.
pub(super) struct Read {
    pub(super) bytes: usize,
    pub(super) at_end: bool,
    /// There is a hole, of which nothing was read; it ends here.
    pub(super) hole: Option<u64>,
}

/// A stretch that was never written.
enum Hole {
    None,
    /// What comes next; it ends there.
    Here(u64),
    /// It begins there; whether the file ends with it.
    Later(u64, bool),
}

/// Length, and time of the last change: with both the same nobody wrote.
type State = (u64, (i64, i64));

fn state(meta: &Metadata) -> State {
    (meta.len(), (meta.mtime(), meta.mtime_nsec()))
}

/// What changed before this was looked at since.
const SETTLED: Duration = Duration::from_secs(2);
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// So long it is looked at where inotify tells of all that comes.
const PAUSE_COVERED: Duration = Duration::from_millis(300);
/// What ends with time is looked at more often.
const PAUSE_MAX_WAITING: Duration = Duration::from_millis(250);

/// Whether it changed long enough ago: before it was looked at, and so that another change
/// would have another time.
fn is_past(meta: &Metadata) -> bool {
    let since = meta.modified().map(|time| SystemTime::now().duration_since(time));
    since.is_ok_and(|since| since.is_ok_and(|since| since > SETTLED))
}

impl Followed {
    pub(super) fn new(
        path: PathBuf,
        identity: Identity,
        origin: Origin,
        (offset, mark): (u64, u64),
        host: Arc<str>,
        now: Instant,
    ) -> Self {
        Self {
            path,
            identity,
            origin,
            common: None,
            host,
            file: None,
            offset,
            tail: Vec::new(),
            beginning: Vec::new(),
            mark,
            skipping: false,
            waiting: 0,
            size: 0,
            last_read: now,
            looked: now,
            next_look: now,
            pause: PAUSE_FIRST,
            gone: None,
            is_finite: false,
            finished: false,
            is_deleted: false,
            was_cut: false,
            error: None,
            long_line: 0,
            rests: false,
            state: None,
            remembered: (offset, usize::MAX),
        }
    }

    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    pub(super) fn common(&mut self) -> Arc<Common> {
        let Self { common, origin, identity, host, .. } = self;
        common.get_or_insert_with(|| common_of(*origin, &identity.path, host)).clone()
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn key(&self) -> (u64, u64) {
        (self.identity.dev, self.identity.ino)
    }

    /// Goes back to an offset with this mark because events came back.
    pub(super) fn seek(&mut self, offset: u64, mark: u64) {
        (self.offset, self.mark) = (offset, mark);
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

    /// Whether all that it held was read, as far as that can be seen, and its last name is gone.
    pub(super) fn is_read_and_removed(&self) -> bool {
        let all = self.offset + self.waiting as u64;
        match self.file.as_ref().map(File::metadata) {
            Some(Ok(meta)) => meta.nlink() == 0 && meta.len() == all,
            // A stale handle, or it was closed.
            Some(Err(_)) | None => self.size <= all,
        }
    }

    /// It is found under another device and inode, as it was.
    pub(super) fn renumbered(&mut self, (dev, ino): (u64, u64), file: File) {
        (self.identity.dev, self.identity.ino) = (dev, ino);
        self.gone = None;
        self.opened(file);
        self.remembered.1 = usize::MAX;
        self.next_look = Instant::now();
    }

    /// Closes it until it changes.
    pub(super) fn close(&mut self, now: Instant) {
        if !self.rests {
            self.note_state(now);
        }
        self.file = None;
        self.let_go();
    }

    /// Gives back the memory of what is found again when it is opened: there may be a million
    /// files that are not.
    fn let_go(&mut self) {
        (self.common, self.beginning, self.tail) = (None, Vec::new(), Vec::new());
    }

    /// Lets it rest until it changes, unless it just did.
    pub(super) fn rest(&mut self, now: Instant) {
        if self.file.is_some() {
            self.note_state(now);
        }
        self.rests = self.state.is_some();
    }

    /// Keeps how it stands, if all that is there was read: then only a change is news. Of a
    /// group of lines the end is, which comes with time.
    fn note_state(&mut self, now: Instant) {
        let all = self.offset + self.waiting as u64;
        let was_looked_at = now.duration_since(self.looked) < SETTLED;
        let is_read = was_looked_at && (self.waiting == 0 || self.long_line > 0);
        let meta = self.file.as_ref().and_then(|file| file.metadata().ok());
        let settled = meta.filter(|meta| is_read && meta.len() == all && is_past(meta));
        self.state = settled.as_ref().map(state);
    }

    /// Whether it is closed, and nobody wrote since.
    pub(super) fn is_as_closed(&self) -> bool {
        self.gone.is_none()
            && self.file.is_none()
            && self.state.is_some()
            && std::fs::metadata(&self.path)
                .is_ok_and(|meta| key(&meta) == self.key() && !self.has_changed(&meta))
    }

    /// Whether it stands otherwise than when it was closed or put to rest.
    pub(super) fn has_changed(&self, meta: &Metadata) -> bool {
        match self.state {
            Some(known) => state(meta) != known,
            None => meta.len() != self.offset + self.waiting as u64,
        }
    }

    /// Whether nothing came for long, and nothing is waited for. `is_covered`: what comes is told.
    pub(super) fn may_rest(&self, now: Instant, is_covered: bool) -> bool {
        let is_read = self.waiting == 0 || self.long_line > 0;
        let is_settled = is_read && self.error.is_none() && !self.was_cut && !self.finished;
        let pause = if is_covered { PAUSE_COVERED } else { PAUSE_MAX };
        let is_quiet = self.pause >= pause && self.next_look > now;
        is_settled && is_quiet && self.gone.is_none() && !self.is_finite
    }

    /// What the file must hold to be the one that was read so far.
    pub(super) fn evidence(&self) -> Evidence {
        Evidence { identity: self.identity.clone(), offset: self.offset, mark: self.mark }
    }

    /// Begins anew at 0: the file was cut.
    pub(super) fn restart(&mut self, origin: Origin) {
        self.origin = origin;
        self.common = None;
        (self.offset, self.mark) = (0, 0);
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
                self.skipping |= !self.was_cut && self.is_within_long_line(&file);
                self.state = None;
                self.file = Some(file);
                self.error = None;
            }
            Err(error) => self.failed(&error, Instant::now()),
        }
    }

    /// Whether the offset is within a line of which the first part was an event already, and
    /// whose rest is passed over.
    fn is_within_long_line(&self, file: &File) -> bool {
        if self.long_line == 0 || self.offset <= self.long_line || self.tail.last() == Some(&b'\n') {
            return false;
        }
        // A hole that was passed over is no line.
        let last = self.offset - 1;
        if rustix::fs::seek(file, SeekFrom::Hole(last)).is_ok_and(|hole| hole == last) {
            return false;
        }
        let before = identity::up_to(file, self.offset, self.long_line as usize);
        before.is_ok_and(|before| memchr::memchr(b'\n', &before).is_none())
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
        if !self.goes_on_with(&bytes[before..], asked) {
            bytes.truncate(before);
            self.was_cut = true;
            return None;
        }
        self.looked = now;
        // The bytes that were known only served to compare.
        bytes.drain(before..before + known);
        let mut new = read - known;
        let mut at_end = new < room;
        match self.hole(&bytes[before..]) {
            Hole::None => {}
            Hole::Here(to) => {
                bytes.truncate(before);
                return Some(Read { bytes: 0, at_end: false, hole: Some(to) });
            }
            Hole::Later(from, is_end) => {
                at_end = is_end;
                new = (from - self.offset) as usize;
                bytes.truncate(before + new);
            }
        }
        if new == 0 && !(self.is_finite || self.gone.is_some()) {
            self.nothing(now);
            return None;
        }
        self.error = None;
        self.size = self.size.max(self.offset + new as u64);
        Some(Read { bytes: new, at_end, hole: None })
    }

    /// Whether what was read, of what was asked for, begins with what stood before the offset;
    /// at the beginning, with the head. What came back undone may have been delivered, and
    /// other content must not take its ids.
    fn goes_on_with(&self, read: &[u8], asked: usize) -> bool {
        let Identity { head_len, head, .. } = self.identity;
        if self.offset > 0 || head_len > asked {
            return read.starts_with(&self.tail);
        }
        head_len == 0 || read.get(..head_len).is_some_and(|read| xxh3_64(read) == head)
    }

    /// Whether there is a hole between the lines of what was read: nobody wrote the NULs that
    /// it reads as. A file may be given its room before it is written.
    fn hole(&self, new: &[u8]) -> Hole {
        let (Some(file), Some(_)) = (&self.file, memchr::memchr(0, new)) else { return Hole::None };
        let Ok(from) = rustix::fs::seek(file, SeekFrom::Hole(self.offset)) else { return Hole::None };
        let before = from.saturating_sub(self.offset) as usize;
        if before >= new.len() {
            return Hole::None;
        }
        let to = match rustix::fs::seek(file, SeekFrom::Data(from)) {
            Ok(to) if to > from => Some(to),
            Err(Errno::NXIO) => None,
            _ => return Hole::None,
        };
        let before = &new[..before];
        match to {
            // The lines before it first.
            _ if memchr::memchr(b'\n', before).is_some() => Hole::Later(from, to.is_none()),
            Some(to) if before.iter().all(|byte| *byte == 0) => Hole::Here(to),
            // It is within a line.
            Some(_) => Hole::None,
            None if before.iter().all(|byte| *byte == 0) => Hole::Later(self.offset, true),
            None => Hole::Later(from, true),
        }
    }

    /// Goes on behind a hole.
    pub(super) fn pass_hole(&mut self, to: u64, now: Instant) {
        let tail = self.file.as_ref().map(|file| identity::before(file, to));
        // What cannot be read now is known again by its head.
        self.tail = tail.and_then(Result::ok).unwrap_or_default();
        self.mark = if self.tail.is_empty() { 0 } else { identity::mark(&self.tail) };
        self.offset = to;
        self.went_on(now);
    }

    fn went_on(&mut self, now: Instant) {
        self.waiting = 0;
        self.last_read = now;
        self.pause = PAUSE_FIRST;
        self.next_look = now;
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
        self.skipping |= skipping;
        self.mark = identity::mark(&self.tail);
        self.went_on(now);
    }

    /// Bytes came that are no whole event yet.
    pub(super) fn held(&mut self, bytes: usize, now: Instant) {
        if bytes > self.waiting {
            self.waiting = bytes;
            self.last_read = now;
            self.pause = PAUSE_FIRST;
        }
        self.next_look = now + self.pause;
        // A group ends with time, and so does a file to which no path leads.
        let ends = self.long_line == 0 || self.gone.is_some() || self.is_finite;
        self.pause = (self.pause * 2).min(if ends { PAUSE_MAX_WAITING } else { PAUSE_MAX });
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

pub(super) fn common_of(origin: Origin, path: &str, host: &str) -> Arc<Common> {
    let fields = [
        ("host.name", CommonValue::Str(host.to_owned())),
        ("log.file.path", CommonValue::Str(path.to_owned())),
        ("log.offset", CommonValue::Position),
    ];
    Common::new(origin, fields)
}
