//! Which files there are: patterns, rotation, copies, and what the registry knows of them.

use super::follow::Followed;
use super::glob::Patterns;
use super::identity::{self, Evidence, HEAD, Identity, key};
use super::siblings::{Folders, is_sibling};
use super::{Config, ConfigError, InputContext, InputError, StartAt};
use crate::registry::{FileStatus, Known, Registry, Unreadable};
use rustix::fs::inotify;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Follows what the patterns match.
pub(super) struct Watch {
    config: Config,
    context: InputContext,
    patterns: Patterns,
    files: Vec<Followed>,
    /// Device and inode of each of them.
    keys: HashSet<(u64, u64)>,
    /// Where each of them is in the list, by its path; made anew when they change.
    places: HashMap<PathBuf, usize>,
    /// What the registry knows and nobody follows now, by device and inode.
    known: HashMap<(u64, u64), (Known, Identity)>,
    /// Copies of files that we read, and since when they are there.
    copies: HashMap<(u64, u64), Instant>,
    inotify: Option<OwnedFd>,
    /// Folders that inotify watches, by its number for each.
    watched: HashMap<i32, PathBuf>,
    /// Every folder in which files may appear is among them.
    all_watched: bool,
    next_scan: Instant,
    next_status: Instant,
    /// How many files are open, at most; some may be closed already.
    open: usize,
    open_max: usize,
    /// Where the search for a file to close goes on.
    hand: usize,
    /// The paths of all files that are followed or known, under which they were found.
    bases: HashSet<String>,
    first_scan: bool,
    /// How the files stood when it was said last.
    statuses: Vec<FileStatus>,
    /// Something came up while looking: look again soon.
    hurry: bool,
}

/// How long a copy waits for its original to be cut before it is taken for a file of its own.
const COPY_WAIT: Duration = Duration::from_secs(60);
/// How soon it is looked again when something came up while looking.
const HURRY: Duration = Duration::from_millis(5);
/// So many files are closed when one must be.
const CLOSED_AT_ONCE: usize = 16;
/// The shortest sleep: whoever writes wakes us up.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// With inotify's word for new names, patterns are looked up so many times less often.
const SCANS_SPARED: u32 = 10;
/// A file that was quiet for so long stands as it stood.
const STATUS_QUIET: Duration = Duration::from_secs(5);
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// Descriptors that are left for everything else.
const RESERVED_FILES: u64 = 64;

impl Watch {
    pub(super) fn new(config: Config, context: InputContext) -> Result<Self, ConfigError> {
        let patterns = Patterns::build(&config.paths, &config.exclude)
            .map_err(|message| ConfigError { option: "paths", message })?;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1024);
        let allowed = limit.saturating_sub(RESERVED_FILES).max(limit / 4).max(2) as usize;
        let open_max =
            if config.open_files_max == 0 { allowed.min(8_192) } else { config.open_files_max.min(allowed) };
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let known = context.registry.known(&context.name).into_iter();
        let known = known.map(|known| {
            let identity: Identity = serde_json::from_str(&known.meta).unwrap_or_default();
            ((identity.dev, identity.ino), (known, identity))
        });
        let now = Instant::now();
        Ok(Self {
            known: known.collect(),
            config,
            context,
            patterns,
            files: Vec::new(),
            keys: HashSet::new(),
            places: HashMap::new(),
            inotify: inotify::init(flags).ok(),
            copies: HashMap::new(),
            watched: HashMap::new(),
            all_watched: false,
            next_scan: now,
            next_status: now,
            open: 0,
            hand: 0,
            bases: HashSet::new(),
            open_max,
            first_scan: true,
            statuses: Vec::new(),
            hurry: false,
        })
    }

    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.context.registry
    }

    pub(super) fn batch_bytes(&self) -> usize {
        self.context.batch_bytes
    }

    pub(super) fn rotate_wait(&self) -> Duration {
        self.config.rotate_wait.0
    }

    pub(super) fn files(&self) -> &[Followed] {
        &self.files
    }

    pub(super) fn files_mut(&mut self) -> &mut [Followed] {
        &mut self.files
    }

    pub(super) fn inotify(&self) -> Option<&OwnedFd> {
        self.inotify.as_ref()
    }

    /// From now on there is only looking.
    #[cfg(test)]
    pub(super) fn forget_inotify(&mut self) {
        (self.inotify, self.all_watched) = (None, false);
    }

    /// How long nothing needs to be done.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        let next = self.files.iter().map(|file| file.next_look).min();
        let next = next.unwrap_or(self.next_scan).min(self.next_scan);
        // Many quiet files are looked at together, not each at its own moment.
        next.saturating_duration_since(now).max(PAUSE_MIN)
    }

    /// Takes what inotify said: a file that was written to is looked at, and a new name makes
    /// us look for files.
    pub(super) fn woken(&mut self) {
        let Some(inotify) = &self.inotify else { return };
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        let now = Instant::now();
        let mut is_strange = false;
        while let Ok(event) = reader.next() {
            let names = inotify::ReadFlags::CREATE
                | inotify::ReadFlags::MOVED_FROM
                | inotify::ReadFlags::MOVED_TO
                | inotify::ReadFlags::DELETE
                | inotify::ReadFlags::QUEUE_OVERFLOW;
            if event.events().intersects(names) {
                self.next_scan = now;
            }
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            let path = self.watched.get(&event.wd()).zip(name).map(|(folder, name)| folder.join(name));
            match path.and_then(|path| self.places.get(&path).copied()) {
                Some(index) => self.files[index].wake(now),
                None => is_strange = true,
            }
        }
        if is_strange {
            // Perhaps one that goes by another name than when it was found.
            for file in self.files.iter_mut().filter(|file| file.gone.is_some()) {
                file.wake(now);
            }
        }
    }

    fn index_files(&mut self) {
        self.keys = self.files.iter().map(Followed::key).collect();
        self.places.clear();
        self.statuses.clear();
        let known = self.known.values().map(|(_, identity)| &identity.path);
        self.bases = self.files.iter().map(|file| &file.identity.path).chain(known).cloned().collect();
        for (at, file) in self.files.iter().enumerate() {
            self.places.insert(file.path.clone(), at);
            self.places.extend(file.real.clone().map(|real| (real, at)));
        }
    }

    /// Looks at the patterns when it is time, and at what came back or was cut.
    pub(super) fn look(&mut self, now: Instant) -> Result<(), InputError> {
        let mut created = false;
        if now >= self.next_scan {
            self.hurry = false;
            created = self.scan(now);
            let pause = match (self.hurry, self.all_watched) {
                (true, _) => HURRY,
                (_, true) => self.config.scan_interval.0 * SCANS_SPARED,
                _ => self.config.scan_interval.0,
            };
            self.next_scan = now + pause;
        }
        created |= self.restart_cut(now);
        self.rewind();
        if now >= self.next_status {
            self.next_status = now + STATUS_EVERY;
            self.close_inactive(now);
            self.remember();
        }
        if created {
            // An id that a crash forgets would make its events look new.
            self.context.registry.flush()?;
        }
        Ok(())
    }

    /// Goes back where events came back undone.
    fn rewind(&mut self) {
        if !self.context.registry.has_rewound() {
            return;
        }
        for file in &mut self.files {
            if let Some((offset, mark)) = self.context.registry.rewound(file.origin()) {
                file.seek(offset, mark);
            }
        }
    }

    /// Finds new files and those that nothing leads to any more; says whether origins were made.
    fn scan(&mut self, now: Instant) -> bool {
        let found = self.patterns.find();
        self.watch_folders(&found.folders);
        let mut unreadable: Vec<Unreadable> = Vec::new();
        for (path, error) in &found.errors {
            unreadable.push(unreadable_of(path, error));
        }
        let mut present: HashMap<(u64, u64), PathBuf> = HashMap::new();
        let mut fresh: Vec<(PathBuf, Metadata)> = Vec::new();
        for path in found.files {
            match fs::metadata(&path) {
                Ok(meta) if !meta.is_file() => {}
                Ok(meta) => {
                    // One reader per file, by however many names it is reached.
                    if present.insert(key(&meta), path.clone()).is_none() && !self.is_followed(&meta) {
                        fresh.push((path, meta));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => unreadable.push(unreadable_of(&path, &error)),
            }
        }
        for file in &mut self.files {
            if present.contains_key(&file.key()) {
                file.gone = None;
            } else if file.gone.is_none() && !file.is_finite {
                file.gone = Some(now);
                file.next_look = now;
            }
        }
        let before = self.files.len();
        let mut created = false;
        // A file before what rotation makes of it: that may be its copy.
        fresh.sort_by_key(|(path, _)| path.as_os_str().len());
        for (path, meta) in fresh {
            if self.is_followed(&meta) || self.is_copy(&path, &meta, true, now) {
                continue;
            }
            match self.adopt(&path, &path, now) {
                Ok(made) => created |= made,
                Err(error) => unreadable.push(unreadable_of(&path, &error)),
            }
        }
        created |= self.adopt_rotated(&present, now);
        // What was written first is read first.
        self.files[before..].sort_by_key(|file| file.identity.seen);
        self.first_scan = false;
        let were = self.files.len();
        self.drop_finished();
        if self.files.len() != before || were != before {
            self.index_files();
        }
        self.context.registry.set_unreadable(&self.context.name, unreadable);
        created
    }

    fn is_followed(&self, meta: &Metadata) -> bool {
        self.keys.contains(&key(meta))
    }

    /// Takes up a file that nobody follows yet; `base` is the path that it had before it was
    /// rotated. Says whether an origin was made.
    fn adopt(&mut self, path: &Path, base: &Path, now: Instant) -> io::Result<bool> {
        let file = File::open(path)?;
        // The path may lead elsewhere since it was looked up.
        let meta = file.metadata()?;
        if self.is_followed(&meta) {
            return Ok(false);
        }
        if let Some((known, identity)) = self.known.remove(&key(&meta)) {
            let evidence = Evidence { identity, offset: known.watermark, mark: known.mark };
            if meta.len() >= evidence.offset && evidence.holds(&file)? {
                self.follow(path, evidence, known.origin, now);
                return Ok(false);
            }
            // Cut and written anew while nobody looked, or the inode is used again. What a
            // copy still has goes on there, under the same origin.
            let identity = self.identity(base, &meta, &file)?;
            let origin = match self.take_copy(&evidence) {
                Some((copy, opened, copy_meta)) => {
                    self.follow(&copy, evidence, known.origin, now);
                    if let Some(moved) = self.files.last_mut() {
                        moved.move_to_copy(copy, &copy_meta, opened);
                        self.keys.insert(moved.key());
                        self.context.registry.set_meta(moved.origin(), text_of_identity(&moved.identity));
                    }
                    self.create(&identity, 0)
                }
                None => {
                    let origin = self.context.registry.begin_generation(known.origin);
                    self.context.registry.set_meta(origin, text_of_identity(&identity));
                    origin
                }
            };
            self.follow(path, Evidence { identity, offset: 0, mark: 0 }, origin, now);
            return Ok(true);
        }
        let is_old = self.config.ignore_older.is_some_and(|age| {
            SystemTime::now().duration_since(modified(&meta)).is_ok_and(|since| since > age.0)
        });
        let at_end = is_old || (self.first_scan && self.config.start_at == StartAt::End);
        let offset = if at_end { meta.len() } else { 0 };
        let identity = self.identity(base, &meta, &file)?;
        let origin = self.create(&identity, offset);
        self.follow(path, Evidence { identity, offset, mark: 0 }, origin, now);
        Ok(true)
    }

    fn identity(&self, base: &Path, meta: &Metadata, file: &File) -> io::Result<Identity> {
        let head = identity::head(file, HEAD)?;
        Ok(Identity {
            path: text_of(base),
            dev: meta.dev(),
            ino: meta.ino(),
            head_len: head.len,
            head: head.hash,
            seen: seconds(modified(meta)),
        })
    }

    fn create(&self, identity: &Identity, offset: u64) -> event::Origin {
        self.context.registry.create(&self.context.name, text_of_identity(identity), offset)
    }

    fn follow(&mut self, path: &Path, evidence: Evidence, origin: event::Origin, now: Instant) {
        let Evidence { identity, offset, mark } = evidence;
        tracing::debug!(path = %path.display(), offset, "following");
        let host = &self.context.host;
        self.files.push(Followed::new(path.to_owned(), identity, origin, (offset, mark), host, now));
        let Some(file) = self.files.last() else { return };
        self.keys.insert(file.key());
        self.bases.insert(file.identity.path.clone());
        if let Some(folder) = file.real.as_deref().and_then(Path::parent).map(Path::to_owned) {
            // Whoever writes through a link does so elsewhere.
            self.watch_folder(&folder);
        }
    }

    /// Whether a file is a copy that copytruncate made of one that we read, or will be one:
    /// its name begins with the other's, and it has the beginning of the other's content, or
    /// what we read of that before it was cut. Such a file is left alone until the original
    /// is cut; then the original's origin goes on in it. `is_wanted`: a pattern matches it.
    fn is_copy(&mut self, path: &Path, meta: &Metadata, is_wanted: bool, now: Instant) -> bool {
        if self.known.contains_key(&key(meta)) || !self.has_base(path) {
            return false;
        }
        let Ok(file) = File::open(path) else { return false };
        // Its length of now: the copy may just be made.
        let len = || file.metadata().map_or(0, |meta| meta.len());
        let has_read = |evidence: &Evidence| {
            evidence.is_telling() && len() >= evidence.offset && evidence.holds(&file).unwrap_or(false)
        };
        let is_of = |identity: &Identity| is_sibling(Path::new(&identity.path), path);
        // A backup of what was read to its end already says nothing new.
        let is_old_news =
            self.known.values().filter(|(_, identity)| is_of(identity)).any(|(known, identity)| {
                let evidence =
                    Evidence { identity: identity.clone(), offset: known.watermark, mark: known.mark };
                len() == evidence.offset && has_read(&evidence)
            });
        if is_old_news && !is_wanted {
            return true;
        }
        let originals: Vec<usize> = (0..self.files.len())
            .filter(|index| !self.files[*index].is_finite && is_of(&self.files[*index].identity))
            .collect();
        let Some(first) = originals.first() else { return false };
        let since = *self.copies.entry(key(meta)).or_insert(now);
        let is_stale = now.duration_since(since) >= COPY_WAIT;
        let base = &self.files[*first].identity.path;
        if !is_stale && fs::metadata(base).is_ok_and(|meta| !self.is_followed(&meta)) {
            // Its original may be the new file, which the next look will find.
            self.hurry = true;
            return true;
        }
        let is_copy_of = |original: &Followed| {
            let evidence = original.evidence();
            // While the original is whole, the copy has its beginning; when it was cut, the
            // copy is whole.
            let is_beginning = File::open(&evidence.identity.path).is_ok_and(|own| {
                own.metadata().is_ok_and(|meta| key(&meta) == original.key())
                    && identity::is_beginning_of(&file, len(), &own).unwrap_or(false)
            });
            is_beginning || has_read(&evidence)
        };
        let original = originals.into_iter().find(|index| is_copy_of(&self.files[*index]));
        // After a while it is a file of its own, unless it is somebody's backup.
        let is_copy = original.is_some() && !(is_stale && (is_wanted || meta.len() < HEAD as u64));
        match original {
            // It may have been cut just now.
            Some(original) if is_copy => self.files[original].wake(now),
            _ => {
                self.copies.remove(&key(meta));
            }
        }
        is_copy
    }

    /// Whether the name of a file begins with that of one that we know, in the same folder.
    fn has_base(&self, path: &Path) -> bool {
        let text = text_of(path);
        let name = text.rfind('/').map_or(0, |at| at + 1);
        text.char_indices().any(|(end, _)| end > name && self.bases.contains(&text[..end]))
    }

    /// A file was cut: what was not read of it may stand in a copy beside it.
    fn take_copy(&mut self, evidence: &Evidence) -> Option<(PathBuf, File, Metadata)> {
        if !evidence.is_telling() {
            return None;
        }
        let mut copies = Folders::default().siblings(Path::new(&evidence.identity.path));
        copies.sort_by_key(|(_, meta)| std::cmp::Reverse(modified(meta)));
        copies.into_iter().find_map(|(path, _)| {
            let file = File::open(&path).ok()?;
            let meta = file.metadata().ok()?;
            let is_free = !self.is_followed(&meta) && !self.known.contains_key(&key(&meta));
            let is_it = is_free && meta.len() >= evidence.offset && evidence.holds(&file).unwrap_or(false);
            is_it.then_some((path, file, meta))
        })
    }

    /// Begins anew where a file was cut; says whether origins changed.
    fn restart_cut(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for index in 0..self.files.len() {
            if !self.files[index].was_cut {
                continue;
            }
            changed = true;
            let evidence = self.files[index].evidence();
            let copy = self.take_copy(&evidence);
            let file = &mut self.files[index];
            let path = file.path.clone();
            let unread = file.size.saturating_sub(evidence.offset);
            let origin = file.origin();
            let registry = &self.context.registry;
            let Some((copy, opened, meta)) = copy else {
                tracing::info!(path = %path.display(), unread, "a file was cut; it is read from its beginning");
                file.restart(registry.begin_generation(origin));
                registry.set_meta(file.origin(), text_of_identity(&file.identity));
                continue;
            };
            tracing::info!(path = %path.display(), copy = %copy.display(), unread, "a file was copied and cut; the copy is read to its end");
            let own = file.file.take();
            let (dev, ino) = file.key();
            file.move_to_copy(copy, &meta, opened);
            registry.set_meta(origin, text_of_identity(&file.identity));
            self.copies.remove(&key(&meta));
            let base = file.identity.path.clone();
            let identity =
                Identity { path: base, dev, ino, seen: seconds(SystemTime::now()), ..Identity::default() };
            let origin = self.create(&identity, 0);
            self.follow(&path, Evidence { identity, offset: 0, mark: 0 }, origin, now);
            if let (Some(fresh), Some(own)) = (self.files.last_mut(), own) {
                fresh.opened(own);
            }
        }
        if changed {
            self.index_files();
        }
        changed
    }

    /// Files that were rotated away while nobody looked: the one we were reading, under its
    /// new name, and those that came and went in between, oldest first. Whatever was written
    /// to since the oldest one that we know is ours to read.
    fn adopt_rotated(&mut self, present: &HashMap<(u64, u64), PathBuf>, now: Instant) -> bool {
        let mut created = false;
        let mut bases: HashMap<PathBuf, u64> = HashMap::new();
        let followed = self.files.iter().map(|file| &file.identity);
        let all = followed.chain(self.known.values().map(|(_, identity)| identity));
        for identity in all.filter(|own| !own.path.is_empty()) {
            let since = bases.entry(PathBuf::from(&identity.path)).or_insert(identity.seen);
            *since = (*since).min(identity.seen);
        }
        let mut folders = Folders::default();
        let mut rotated: Vec<(PathBuf, PathBuf, Metadata)> = Vec::new();
        for (base, since) in bases {
            for (path, meta) in folders.siblings(&base) {
                let written = seconds(modified(&meta));
                let is_news = match self.known.get(&key(&meta)) {
                    Some((known, identity)) => known.watermark != meta.len() || identity.seen < written,
                    None => written >= since,
                };
                if is_news && meta.len() > 0 && !present.contains_key(&key(&meta)) && !self.is_followed(&meta)
                {
                    rotated.push((path, base.clone(), meta));
                }
            }
        }
        // Those that we know first: another may be a copy of one of them.
        rotated.sort_by_key(|(_, _, meta)| (!self.known.contains_key(&key(meta)), modified(meta)));
        for (path, base, meta) in rotated {
            if self.is_copy(&path, &meta, false, now) {
                continue;
            }
            let before = self.files.len();
            match self.adopt(&path, &base, now) {
                Ok(made) => created |= made,
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a rotated file cannot be read");
                }
            }
            for file in self.files.iter_mut().skip(before) {
                file.is_finite = true;
            }
        }
        created
    }

    fn drop_finished(&mut self) {
        let registry = &self.context.registry;
        let known = &mut self.known;
        self.files.retain(|file| {
            let done = file.finished && registry.watermark(file.origin()) >= file.offset();
            if done && file.is_deleted {
                registry.remove(file.origin());
            } else if done {
                let mut identity = file.identity.clone();
                identity.seen = identity.seen.max(seconds(SystemTime::now()));
                let meta = text_of_identity(&identity);
                registry.set_meta(file.origin(), meta.clone());
                let (watermark, mark) = (file.offset(), file.mark());
                known.insert(file.key(), (Known { origin: file.origin(), watermark, mark, meta }, identity));
            }
            !done
        });
    }

    pub(super) fn is_due(&self, index: usize, now: Instant) -> bool {
        let file = &self.files[index];
        !file.finished && !file.was_cut && now >= file.next_look
    }

    /// Opens the file if it is not, closing another when too many are.
    pub(super) fn make_open(&mut self, index: usize, now: Instant) -> bool {
        if self.files[index].file.is_some() {
            return true;
        }
        if self.files[index].is_as_it_was() {
            self.files[index].nothing(now);
            return false;
        }
        if self.open >= self.open_max {
            self.close_one();
        }
        self.open += 1;
        let file = &mut self.files[index];
        match File::open(&file.path) {
            Ok(opened) if opened.metadata().is_ok_and(|meta| key(&meta) == file.key()) => {
                file.opened(opened);
                file.file.is_some() && !file.was_cut
            }
            Ok(_) => self.find_again(index, now),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.find_again(index, now),
            Err(error) => {
                file.next_look = now + Duration::from_secs(1);
                if file.error.is_none() {
                    tracing::warn!(path = %file.path.display(), %error, "a file cannot be opened; it is tried again");
                    file.error = Some(error.to_string());
                }
                false
            }
        }
    }

    /// Closes a file to make room for another, in turn.
    fn close_one(&mut self) {
        self.open = self.files.iter().filter(|file| file.file.is_some()).count();
        if self.open < self.open_max {
            return;
        }
        for _ in 0..self.files.len() {
            self.hand = (self.hand + 1) % self.files.len();
            let file = &mut self.files[self.hand];
            if file.file.is_some() && file.gone.is_none() && !file.is_finite {
                file.close();
                self.open -= 1;
                // A few more at once, so that counting is rare.
                if self.open + CLOSED_AT_ONCE <= self.open_max {
                    return;
                }
            }
        }
    }

    /// A closed file is not where it was: it was renamed, or removed.
    fn find_again(&mut self, index: usize, now: Instant) -> bool {
        let file = &mut self.files[index];
        let siblings = Folders::default().siblings(&file.path);
        let renamed = siblings.into_iter().find(|(_, meta)| key(meta) == file.key());
        match renamed.and_then(|(path, _)| File::open(path).ok()) {
            Some(opened) => {
                file.opened(opened);
                file.file.is_some() && !file.was_cut
            }
            None => {
                file.gone.get_or_insert(now);
                file.finish();
                false
            }
        }
    }

    fn close_inactive(&mut self, now: Instant) {
        let after = self.config.close_inactive.0;
        for file in &mut self.files {
            if file.file.is_some() && file.gone.is_none() && !file.is_finite && file.quiet_for(now) >= after {
                file.close();
            }
        }
    }

    /// Tells the registry who the files are and how they stand.
    pub(super) fn remember(&mut self) {
        let registry = self.context.registry.clone();
        let now = Instant::now();
        let mut news = self.files.len() != self.statuses.len();
        self.statuses.resize_with(self.files.len(), FileStatus::default);
        for (file, status) in self.files.iter_mut().zip(&mut self.statuses) {
            // Nobody needs to hear again and again of files that nothing happens to.
            if file.is_quiet(now, STATUS_QUIET) && [status.read, status.safe] == [file.offset(); 2] {
                continue;
            }
            news = true;
            let safe = registry.watermark(file.origin());
            let meta = file.file.as_ref().and_then(|file| file.metadata().ok());
            let size = meta.as_ref().map_or(file.size, Metadata::len);
            if file.is_news(safe) {
                file.identity.seen = meta.as_ref().map_or(file.identity.seen, |meta| seconds(modified(meta)));
                registry.set_meta(file.origin(), text_of_identity(&file.identity));
            }
            file.size = file.size.max(size);
            let behind = size.saturating_sub(file.offset());
            *status = FileStatus {
                path: text_of(&file.path),
                read: file.offset(),
                safe,
                behind,
                seconds_behind: if behind > 0 { file.quiet_for(now).as_secs() } else { 0 },
            };
        }
        if news {
            registry.set_statuses(&self.context.name, self.statuses.clone());
        }
    }

    fn watch_folders(&mut self, folders: &[PathBuf]) {
        let watched = folders.iter().map(|folder| self.watch_folder(folder)).filter(|watched| *watched);
        self.all_watched = watched.count() == folders.len();
    }

    /// Says whether inotify watches the folder.
    fn watch_folder(&mut self, folder: &Path) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let flags = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_FROM
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::DELETE;
        // For a folder that is watched already the number is the same.
        let Ok(number) = inotify::add_watch(inotify, folder, flags) else { return false };
        self.watched.entry(number).or_insert_with(|| folder.to_owned());
        true
    }
}

fn text_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn modified(meta: &Metadata) -> SystemTime {
    meta.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn text_of_identity(identity: &Identity) -> String {
    serde_json::to_string(identity).unwrap_or_default()
}

fn unreadable_of(path: &Path, error: &io::Error) -> Unreadable {
    let mut reason = error.to_string();
    if error.kind() == io::ErrorKind::PermissionDenied
        && let Ok(meta) = fs::metadata(path)
        && meta.mode() & 0o040 != 0
    {
        reason = format!("{reason}; its group may: {}", group_name(meta.gid()));
    }
    Unreadable { path: text_of(path), reason }
}

/// The name of a group, from the machine's list.
fn group_name(id: u32) -> String {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let line = groups.lines().find(|line| line.split(':').nth(2) == Some(&id.to_string()));
    line.and_then(|line| line.split(':').next()).map_or_else(|| id.to_string(), str::to_owned)
}
