//! Files packed with gzip, each read once from its beginning to its end.
//!
//! Such a file cannot be read from its middle and does not grow line by line, so it is not followed: it
//! is unpacked while it is read, and a position is an offset in what was unpacked. After a crash what
//! was acknowledged is unpacked once more and passed over. (To unpack it into a file beside the
//! registry and follow that would spare this, and cost the disk as much again as all logs.) A file
//! whose checksums were right to its end is remembered with its size, and is not opened again.
//!
//! What is packed in several pieces, one behind the other, is one text, as for `gzip -d`. A file that
//! ends too early may still be written: it is read as far as it goes, and again from there when it
//! has changed.

use super::follow::common_of;
use super::identity::{self, HEAD, Head, Identity, key};
use super::lines::{End, Splitter};
use crate::registry::{FileStatus, Registry, Unreadable};
use event::{Batch, Common, Origin};
use flate2::read::MultiGzDecoder;
use queue::Positions;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What was read before is passed over in steps, between which others have their turn.
const SKIP_BYTES: u64 = 16 << 20;
/// So much is unpacked at once.
const STEP_BYTES: usize = 64 << 10;
/// What changed later may still be written.
const SETTLED: Duration = Duration::from_secs(2);

/// Whether the name says that a file is packed with gzip.
pub(super) fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "gz" || ending == "gzip")
}

/// What the registry keeps of a packed file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Meta {
    gzip: Kept,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Kept {
    /// The head is that of the file as it lies there.
    #[serde(flatten)]
    identity: Identity,
    /// The size of the file when all of it was read; 0: it was not.
    size: u64,
}

/// A file that is known from before.
struct Known {
    kept: Kept,
    origin: Origin,
}

/// The packed files of an input.
pub(super) struct Packed {
    input: String,
    registry: Arc<Registry>,
    host: Arc<str>,
    /// Those that nobody reads now, by device and inode.
    known: HashMap<(u64, u64), Known>,
    /// Those that are read, or will be: what was written first is read first.
    reading: Vec<Reading>,
    /// Those that were read to their end, until all is acknowledged.
    ended: Vec<Reading>,
}

/// A file that is read.
struct Reading {
    path: PathBuf,
    /// Its size when it was found last.
    size: u64,
    kept: Kept,
    origin: Origin,
    common: Arc<Common>,
    /// Behind what became events, unpacked.
    offset: u64,
    content: Option<Content>,
    failure: Option<Failure>,
}

/// Why a file is not read further for now.
struct Failure {
    reason: String,
    /// Length and time of the file then.
    state: (u64, (i64, i64)),
    /// It was not being written any more: it stays so until it changes.
    is_settled: bool,
}

/// What is unpacked of a file.
struct Content {
    stream: MultiGzDecoder<File>,
    meta: Metadata,
    /// Bytes that were read before, and are still to be passed over.
    skips: u64,
    /// The length of the line at whose middle that ends.
    begun: usize,
    /// Unpacked, and no event yet.
    pending: Vec<u8>,
    is_ended: bool,
    error: Option<io::Error>,
    /// The rest of a line that was too long is passed over.
    skipping: bool,
}

impl Packed {
    pub(super) fn new(input: &str, registry: Arc<Registry>, host: Arc<str>) -> Self {
        let (known, reading, ended) = (HashMap::new(), Vec::new(), Vec::new());
        Self { input: input.to_owned(), registry, host, known, reading, ended }
    }

    /// Takes what the registry has of an origin; says whether it is that of a packed file.
    pub(super) fn recall(&mut self, known: &crate::registry::Known) -> bool {
        let Ok(Meta { gzip: kept }) = serde_json::from_str(&known.meta) else { return false };
        let numbers = (kept.identity.dev, kept.identity.ino);
        self.known.insert(numbers, Known { kept, origin: known.origin });
        true
    }

    /// Takes the files that there are; says whether origins were made. `passes_over`: what is in such a
    /// file now is not wanted. `cannot` gets those that cannot be opened.
    pub(super) fn found(
        &mut self,
        mut files: Vec<(PathBuf, Metadata)>,
        passes_over: impl Fn(&Metadata) -> bool,
        mut cannot: impl FnMut(&Path, &io::Error),
    ) -> bool {
        files.sort_by_cached_key(|(path, meta)| (meta.modified().ok(), path.clone()));
        let present: HashSet<(u64, u64)> = files.iter().map(|(_, meta)| key(meta)).collect();
        self.let_go_of_the_lost(&present);
        let reading = self.reading.iter().enumerate();
        let by_key: HashMap<_, _> = reading.map(|(index, reading)| (reading.numbers(), index)).collect();
        let ended: HashSet<_> = self.ended.iter().map(Reading::numbers).collect();
        let mut created = false;
        for (path, meta) in files {
            if let Some(index) = by_key.get(&key(&meta)) {
                let reading = &mut self.reading[*index];
                (reading.path, reading.size) = (path, meta.len());
                reading.try_again(&meta);
            } else if meta.len() > 0
                && !ended.contains(&key(&meta))
                && !self.known.get(&key(&meta)).is_some_and(|known| known.is_done(&meta))
            {
                match self.adopt(&path, &meta, &present, passes_over(&meta)) {
                    Ok(made) => created |= made,
                    Err(error) => cannot(&path, &error),
                }
            }
        }
        created
    }

    /// Files that are gone before they could be read to their end; they may come back.
    fn let_go_of_the_lost(&mut self, present: &HashSet<(u64, u64)>) {
        for at in (0..self.reading.len()).rev() {
            let reading = &self.reading[at];
            if reading.failure.is_some() && !present.contains(&reading.numbers()) {
                let Reading { kept, origin, .. } = self.reading.remove(at);
                self.known.insert((kept.identity.dev, kept.identity.ino), Known { kept, origin });
            }
        }
    }

    /// Takes up a file; says whether an origin was made, or begun anew.
    fn adopt(
        &mut self,
        path: &Path,
        meta: &Metadata,
        present: &HashSet<(u64, u64)>,
        passes_over: bool,
    ) -> io::Result<bool> {
        let file = File::open(path)?;
        if key(&file.metadata()?) != key(meta) {
            // The path leads elsewhere by now; the next look finds it.
            return Ok(false);
        }
        let Head { len: head_len, hash: head } = identity::head(&file, HEAD)?;
        let (dev, ino) = key(meta);
        let path_text = path.to_string_lossy().into_owned();
        let identity = Identity { path: path_text, dev, ino, head_len, head, seen: seconds(meta) };
        let mut kept = Kept { identity, size: 0 };
        let by_numbers = match self.known.remove(&key(meta)) {
            Some(known) => Some((known.is_beginning_of(&file)?, known)),
            None => None,
        };
        let known = match by_numbers {
            Some((true, known)) => Some(known),
            // Another file has its inode by now, which may have had another one before.
            Some((false, other)) => match self.take_renumbered(&kept, meta, present) {
                Some(known) => Some(known),
                None => {
                    let origin = self.registry.begin_generation(other.origin);
                    self.registry.set_meta(origin, kept.text());
                    self.read_from(path, meta.len(), kept, origin, 0);
                    return Ok(true);
                }
            },
            None => self.take_renumbered(&kept, meta, present),
        };
        let Some(known) = known else {
            if passes_over {
                kept.size = meta.len();
            }
            let origin = self.registry.create(&self.input, kept.text(), 0);
            if passes_over {
                self.known.insert(key(meta), Known { kept, origin });
            } else {
                self.read_from(path, meta.len(), kept, origin, 0);
            }
            return Ok(true);
        };
        kept.size = if known.kept.size == meta.len() { meta.len() } else { 0 };
        self.registry.set_meta(known.origin, kept.text());
        if kept.size > 0 {
            self.known.insert(key(meta), Known { kept, origin: known.origin });
        } else {
            let offset = self.registry.watermark(known.origin);
            self.read_from(path, meta.len(), kept, known.origin, offset);
        }
        Ok(false)
    }

    /// A file that was read to its end and has other numbers now: after a restart of the machine, or
    /// because it was copied and removed.
    fn take_renumbered(
        &mut self,
        kept: &Kept,
        meta: &Metadata,
        present: &HashSet<(u64, u64)>,
    ) -> Option<Known> {
        let Identity { head_len, head, .. } = kept.identity;
        let is_it = |numbers: &(u64, u64), known: &Known| {
            let own = &known.kept;
            own.size == meta.len()
                && (own.identity.head_len, own.identity.head) == (head_len, head)
                && head_len > 0
                && !present.contains(numbers)
        };
        let old = *self.known.iter().find(|(numbers, known)| is_it(numbers, known))?.0;
        self.known.remove(&old)
    }

    fn read_from(&mut self, path: &Path, size: u64, kept: Kept, origin: Origin, offset: u64) {
        tracing::debug!(path = %path.display(), offset, "reading a packed file");
        let common = common_of(origin, &kept.identity.path, &self.host);
        let path = path.to_owned();
        self.reading.push(Reading { path, size, kept, origin, common, offset, content: None, failure: None });
    }

    /// Whether there is something to read without a change of any file.
    pub(super) fn has_more(&self) -> bool {
        self.reading.iter().any(|reading| reading.failure.is_none())
    }

    /// Adds events of the first file that can be read, `room` bytes of them or a single one. What is
    /// returned becomes part of the batch's acknowledgment.
    pub(super) fn read(&mut self, batch: &mut Batch, room: usize, splitter: &Splitter) -> Option<Positions> {
        let index = self.reading.iter().position(|reading| reading.failure.is_none())?;
        let reading = &mut self.reading[index];
        let from = reading.offset;
        let became = match reading.read(batch, room, splitter) {
            Ok(became) => became,
            Err(error) => {
                reading.failed(&error);
                return None;
            }
        };
        let to = reading.offset;
        let Origin { id, generation } = reading.origin;
        if became == Became::Ended {
            self.ended.push(self.reading.remove(index));
        }
        (to > from).then_some(Positions { origin: id, generation, from, to, mark: 0 })
    }

    /// Goes back where events came back undone.
    pub(super) fn rewind(&mut self) {
        let Self { registry, reading, ended, .. } = self;
        for at in (0..ended.len()).rev() {
            if let Some((offset, _)) = registry.rewound(ended[at].origin) {
                let mut again = ended.remove(at);
                (again.offset, again.kept.size) = (offset, 0);
                reading.insert(0, again);
            }
        }
        for reading in reading {
            if let Some((offset, _)) = registry.rewound(reading.origin) {
                // What can be read of a damaged file is read again, too.
                (reading.offset, reading.content, reading.failure) = (offset, None, None);
            }
        }
    }

    /// Remembers the files of which all is acknowledged.
    pub(super) fn settle(&mut self) {
        for at in (0..self.ended.len()).rev() {
            if self.registry.watermark(self.ended[at].origin) < self.ended[at].offset {
                continue;
            }
            let Reading { kept, origin, .. } = self.ended.remove(at);
            self.registry.set_meta(origin, kept.text());
            self.known.insert((kept.identity.dev, kept.identity.ino), Known { kept, origin });
        }
    }

    /// The files that cannot be read to their end, and why.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = Unreadable> {
        self.reading.iter().filter_map(|reading| {
            let failure = reading.failure.as_ref().filter(|failure| failure.is_settled)?;
            let path = reading.path.to_string_lossy().into_owned();
            Some(Unreadable { path, reason: failure.reason.clone() })
        })
    }

    /// How the files stand that are read. How much is still packed in a file nobody knows: as long as
    /// it is not read to its end its own size stands for it.
    pub(super) fn statuses(&self) -> Vec<FileStatus> {
        let status = |reading: &Reading, behind: u64| FileStatus {
            path: reading.path.to_string_lossy().into_owned(),
            read: reading.offset,
            safe: self.registry.watermark(reading.origin),
            behind,
            seconds_behind: 0,
        };
        let size = |reading: &Reading| match &reading.failure {
            Some(failure) if failure.is_settled => 0,
            _ => reading.size,
        };
        let reading = self.reading.iter().map(|reading| status(reading, size(reading)));
        reading.chain(self.ended.iter().map(|ended| status(ended, 0))).collect()
    }
}

impl Kept {
    fn text(&self) -> String {
        serde_json::to_string(&Meta { gzip: self.clone() }).unwrap_or_default()
    }
}

impl Known {
    /// Whether a file begins as this one did.
    fn is_beginning_of(&self, file: &File) -> io::Result<bool> {
        let Identity { head_len: len, head: hash, .. } = self.kept.identity;
        Ok(identity::head(file, len)? == Head { len, hash })
    }

    /// Whether all of it was read, as far as that can be seen without opening it.
    fn is_done(&self, meta: &Metadata) -> bool {
        self.kept.size == meta.len() && self.kept.size > 0 && self.kept.identity.seen == seconds(meta)
    }
}

/// What a look at a file gave.
#[derive(Debug, PartialEq, Eq)]
enum Became {
    /// There may be more.
    Open,
    /// All of it is read.
    Ended,
}

impl Reading {
    fn numbers(&self) -> (u64, u64) {
        (self.kept.identity.dev, self.kept.identity.ino)
    }

    fn read(&mut self, batch: &mut Batch, room: usize, splitter: &Splitter) -> io::Result<Became> {
        let content = match &mut self.content {
            Some(content) => content,
            empty => empty.insert(Content::open(&self.path, self.kept.identity.ino, self.offset)?),
        };
        if !content.pass_over(splitter)? {
            return Ok(Became::Open);
        }
        // A line or a group for which there was no room gets more.
        let group = splitter.multiline.as_ref().map_or(0, |multiline| multiline.bytes_max);
        let most = splitter.line_bytes_max.saturating_add(group).saturating_add(4096).max(room);
        let waiting = content.pending.len();
        content.fill(if waiting >= room { (waiting * 2).min(most) } else { room });
        let end = if content.is_ended { End::Final } else { End::Open };
        let skipped = content.rest_of_line();
        let before = batch.bytes().len();
        batch.bytes_mut().extend_from_slice(&content.pending[skipped..]);
        let to = batch.bytes().len();
        let (events, first) = (batch.len(), self.offset + skipped as u64);
        batch.begin_run(self.common.clone(), self.offset);
        let split = splitter.split(batch, before, to, first, end);
        content.skipping |= split.skipping;
        let used = skipped + split.used;
        if batch.len() == events {
            batch.bytes_mut().truncate(before);
        } else if batch.bytes().len() == to {
            batch.bytes_mut().truncate(before + split.used);
        }
        content.pending.drain(..used);
        self.offset += used as u64;
        batch.end_run(self.offset, 0);
        if content.is_ended && content.pending.is_empty() {
            (self.kept.size, self.kept.identity.seen) = (content.meta.len(), seconds(&content.meta));
            self.content = None;
            return Ok(Became::Ended);
        }
        match content.error.take() {
            // What stands before the damage goes on first.
            Some(error) if used == 0 => Err(error),
            error => {
                content.error = error;
                Ok(Became::Open)
            }
        }
    }

    fn failed(&mut self, error: &io::Error) {
        let meta = self.content.take().map(|content| content.meta);
        let meta = meta.or_else(|| std::fs::metadata(&self.path).ok());
        // It was renamed, or removed: the next look at the names says which.
        let is_lost = error.kind() == io::ErrorKind::NotFound;
        let is_settled = !is_lost && meta.as_ref().is_none_or(is_settled);
        let reason = match error.kind() {
            io::ErrorKind::UnexpectedEof => "it ends before what is packed in it does".to_owned(),
            _ => error.to_string(),
        };
        if is_settled {
            let path = self.path.display();
            tracing::warn!(%path, offset = self.offset, reason, "a packed file cannot be read to its end; what stands before is read, and the rest is tried again when the file changes");
        }
        let state = meta.as_ref().map(state).unwrap_or_default();
        self.failure = Some(Failure { reason, state, is_settled });
    }

    /// Reads it again when it has changed and is not being written any more.
    fn try_again(&mut self, meta: &Metadata) {
        let has_changed = |failure: &Failure| !failure.is_settled || failure.state != state(meta);
        if self.failure.as_ref().is_some_and(has_changed) && is_settled(meta) {
            self.failure = None;
        }
    }
}

impl Content {
    /// Opens a file, of which the first `offset` bytes of what is packed in it are passed over.
    fn open(path: &Path, inode: u64, offset: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if meta.ino() != inode {
            return Err(io::Error::new(io::ErrorKind::NotFound, "another file has its name by now"));
        }
        Ok(Self {
            stream: MultiGzDecoder::new(file),
            meta,
            skips: offset,
            begun: 0,
            pending: Vec::new(),
            is_ended: false,
            error: None,
            skipping: false,
        })
    }

    /// Passes over a part of what was read before; says whether that is all of it.
    fn pass_over(&mut self, splitter: &Splitter) -> io::Result<bool> {
        if self.skips == 0 {
            return Ok(true);
        }
        let mut some = vec![0; STEP_BYTES];
        let mut left = self.skips.min(SKIP_BYTES);
        while left > 0 {
            let room = some.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = unpack(&mut self.stream, &mut some[..room])?;
            if read == 0 {
                let message = "it holds less than was read of it before";
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            self.begun = match memchr::memrchr(b'\n', &some[..read]) {
                Some(at) => read - at - 1,
                None => self.begun.saturating_add(read),
            };
            left -= read as u64;
            self.skips -= read as u64;
        }
        // Its beginning was an event already.
        self.skipping = splitter.multiline.is_none() && self.begun >= splitter.line_bytes_max;
        Ok(self.skips == 0)
    }

    /// Unpacks until so many bytes wait; what goes wrong is told when these are events.
    fn fill(&mut self, bytes: usize) {
        while self.pending.len() < bytes && !self.is_ended && self.error.is_none() {
            let before = self.pending.len();
            self.pending.resize(before + STEP_BYTES.min(bytes - before), 0);
            let read = unpack(&mut self.stream, &mut self.pending[before..]);
            self.pending.truncate(before + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(read) => self.is_ended = read == 0,
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// Where what waits begins behind the rest of a line that was too long.
    fn rest_of_line(&mut self) -> usize {
        if !self.skipping {
            return 0;
        }
        match memchr::memchr(b'\n', &self.pending) {
            Some(at) => {
                self.skipping = false;
                at + 1
            }
            None => self.pending.len(),
        }
    }
}

fn unpack(stream: &mut MultiGzDecoder<File>, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn state(meta: &Metadata) -> (u64, (i64, i64)) {
    (meta.len(), (meta.mtime(), meta.mtime_nsec()))
}

/// Whether nobody writes to it any more, as far as its time tells.
fn is_settled(meta: &Metadata) -> bool {
    let since = meta.modified().map(|time| SystemTime::now().duration_since(time));
    // A time that is still to come tells nothing.
    !since.is_ok_and(|since| since.is_ok_and(|since| since < SETTLED))
}

fn seconds(meta: &Metadata) -> u64 {
    u64::try_from(meta.mtime()).unwrap_or(0)
}
