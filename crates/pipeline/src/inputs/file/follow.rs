//! One file that is followed.

use super::identity::{self, HEAD, Head, Identity, MARK};
use super::lines::Splitter;
use event::{Batch, Common, CommonValue, Origin};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

/// One file that is followed, open or not.
pub(super) struct Followed {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    origin: Origin,
    common: Arc<Common>,
    host: String,
    pub(super) file: Option<File>,
    offset: u64,
    /// The bytes before the offset, to see that somebody cut the file and wrote it anew.
    tail: Vec<u8>,
    /// Offsets and the hashes of the bytes before them, for the registry.
    marks: VecDeque<(u64, u64)>,
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
    /// A copy is not read before its original is cut; until then it waits.
    pub(super) held_until: Option<Instant>,
    pub(super) finished: bool,
    pub(super) was_cut: bool,
    pub(super) error: Option<String>,
    head_grew: bool,
}

/// What a read gave.
pub(super) struct Read {
    pub(super) bytes: usize,
    pub(super) at_end: bool,
}

const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);
const MARKS_MAX: usize = 256;

impl Followed {
    pub(super) fn new(
        path: PathBuf,
        identity: Identity,
        origin: Origin,
        offset: u64,
        host: &str,
        now: Instant,
    ) -> Self {
        let common = common(origin, &path, host);
        Self {
            path,
            identity,
            origin,
            common,
            host: host.to_owned(),
            file: None,
            offset,
            tail: Vec::new(),
            marks: VecDeque::new(),
            skipping: false,
            waiting: 0,
            size: 0,
            last_read: now,
            next_look: now,
            pause: PAUSE_FIRST,
            gone: None,
            is_finite: false,
            held_until: None,
            finished: false,
            was_cut: false,
            error: None,
            head_grew: false,
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

    pub(super) fn key(&self) -> (u64, u64) {
        (self.identity.dev, self.identity.ino)
    }

    /// Goes back to an offset because events came back, or on opening.
    pub(super) fn seek(&mut self, offset: u64) {
        self.offset = offset;
        self.skipping = false;
        self.tail.clear();
        if let Some(file) = &self.file {
            self.tail = identity::before(file, offset).unwrap_or_default();
        }
        self.next_look = Instant::now();
    }

    /// Begins anew at 0: the file was cut.
    pub(super) fn restart(&mut self, origin: Origin) {
        self.origin = origin;
        self.common = common(origin, &self.path, &self.host);
        self.offset = 0;
        self.tail.clear();
        self.marks.clear();
        self.skipping = false;
        self.waiting = 0;
        self.was_cut = false;
        self.identity.mark = None;
        self.identity.head_len = 0;
        self.identity.head = xxh3_64(&[]);
        self.next_look = Instant::now();
    }

    /// Takes an open file; the bytes before the offset are remembered.
    pub(super) fn opened(&mut self, file: File) {
        self.tail = identity::before(&file, self.offset).unwrap_or_default();
        self.file = Some(file);
        self.error = None;
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
                self.failed(error, now);
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
        if new < HEAD && self.identity.head_len < HEAD {
            self.grow_head();
        }
        if new == 0 && !(self.is_finite || self.gone.is_some()) {
            self.nothing(now);
            return None;
        }
        self.error = None;
        self.size = self.size.max(self.offset + new as u64);
        Some(Read { bytes: new, at_end: new < room })
    }

    fn failed(&mut self, error: Errno, now: Instant) {
        let text = error.to_string();
        if self.error.as_ref() != Some(&text) {
            tracing::warn!(path = %self.path.display(), error = text, "a file cannot be read; it is tried again");
        }
        self.error = Some(text);
        if error == Errno::STALE {
            self.file = None;
        }
        self.next_look = now + Duration::from_secs(1);
    }

    fn nothing(&mut self, now: Instant) {
        self.next_look = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        self.waiting = 0;
    }

    /// The hash of the head grows with the file.
    fn grow_head(&mut self) {
        if let Some(file) = &self.file
            && let Ok(Head { len, hash }) = identity::head(file, HEAD)
            && len > self.identity.head_len
        {
            self.identity.head_len = len;
            self.identity.head = hash;
            self.head_grew = true;
        }
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
        self.waiting = 0;
        self.last_read = now;
        self.pause = PAUSE_FIRST;
        self.next_look = now;
        if self.marks.len() == MARKS_MAX {
            self.marks.pop_front();
        }
        self.marks.push_back((self.offset, xxh3_64(&self.tail)));
        if self.identity.head_len < HEAD {
            self.grow_head();
        }
    }

    /// Bytes came that are no whole event yet.
    pub(super) fn held(&mut self, bytes: usize, now: Instant) {
        if bytes > self.waiting {
            self.waiting = bytes;
            self.last_read = now;
            self.pause = PAUSE_FIRST;
        }
        self.next_look = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX / 8);
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
        self.file = None;
    }

    /// How long it has been quiet.
    pub(super) fn quiet_for(&self, now: Instant) -> Duration {
        now.duration_since(self.last_read)
    }

    /// Puts the newest mark that is acknowledged into the identity; says whether it changed.
    pub(super) fn mark(&mut self, watermark: u64) -> bool {
        let mut changed = std::mem::take(&mut self.head_grew);
        while let Some((offset, hash)) =
            self.marks.front().copied().filter(|(offset, _)| *offset <= watermark)
        {
            self.identity.mark = Some((offset, hash));
            self.marks.pop_front();
            changed = true;
        }
        changed
    }

    /// The offset of now and the hash of the bytes before it.
    pub(super) fn last_mark(&self) -> Option<(u64, u64)> {
        (!self.tail.is_empty()).then(|| (self.offset, xxh3_64(&self.tail)))
    }

    /// Looks again soon: inotify said that something happened.
    pub(super) fn wake(&mut self, now: Instant) {
        if self.error.is_none() {
            self.next_look = now;
        }
    }
}

fn common(origin: Origin, path: &std::path::Path, host: &str) -> Arc<Common> {
    let fields = [
        ("host.name", CommonValue::Str(host.to_owned())),
        ("log.file.path", CommonValue::Str(path.to_string_lossy().into_owned())),
        ("log.offset", CommonValue::Position),
    ];
    Common::new(origin, fields)
}
