//! Which files there are: patterns, rotation, copies, and what the registry knows of them.

use super::follow::Followed;
use super::glob::Patterns;
use super::identity::{self, Evidence, HEAD, Identity, key};
use super::notify::Notify;
use super::packed::{Packed, is_gzip};
use super::siblings::{Folders, Originals, is_sibling};
use super::{Config, ConfigError, InputContext, InputError, StartAt};
use crate::registry::{FileStatus, Known, Registry, Unreadable};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Follows what the patterns match.
pub(super) struct Watch {
    config: Config,
    context: InputContext,
    host: Arc<str>,
    patterns: Patterns,
    files: Vec<Followed>,
    /// The files that are looked at between scans; all others rest.
    awake: Vec<usize>,
    /// The files by device and inode, and these by each path that matches.
    by_key: HashMap<(u64, u64), usize>,
    by_path: HashMap<PathBuf, (u64, u64)>,
    /// What the registry knows and nobody follows now, by device and inode.
    known: HashMap<(u64, u64), (Known, Identity)>,
    /// The files that we follow or know, by their paths.
    originals: Originals,
    /// Those that are packed, when these are read.
    packed: Packed,
    /// How often events had come back when it was looked at last.
    rewinds: u64,
    /// Copies of files that we read, and since when they are there.
    copies: HashMap<(u64, u64), Instant>,
    notify: Notify,
    /// Whether inotify tells of every change, so that a scan is seldom needed.
    is_covered: bool,
    next_scan: Instant,
    /// No change of names makes it scan before this.
    scan_not_before: Instant,
    next_status: Instant,
    /// The files that are open, and some that were.
    open: Vec<usize>,
    open_max: usize,
    first_scan: bool,
    /// Something came up while looking: look again soon.
    hurry: bool,
    /// The files changed places: all are shown anew.
    shows_all: bool,
}

/// How long a copy waits for its original to be cut before it is taken for a file of its own.
const COPY_WAIT: Duration = Duration::from_secs(60);
/// How soon it is looked again when something came up while looking.
const HURRY: Duration = Duration::from_millis(5);
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// While inotify covers all, one scan in so many.
const SCANS_SPARED: u32 = 10;
/// After a scan there is none for so many times as long as it took, however often names change.
const SCAN_REST: u32 = 10;
/// The same where inotify tells of all that happens anyway.
const SCAN_REST_COVERED: u32 = 100;
/// Descriptors that are left for everything else.
const RESERVED_FILES: u64 = 64;

impl Watch {
    pub(super) fn new(config: Config, context: InputContext, inotify: bool) -> Result<Self, ConfigError> {
        let patterns = Patterns::build(&config.paths, &config.exclude)
            .map_err(|message| ConfigError { option: "paths", message })?;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1024);
        let allowed = limit.saturating_sub(RESERVED_FILES).max(limit / 4).max(2) as usize;
        let open_max =
            if config.open_files_max == 0 { allowed.min(8_192) } else { config.open_files_max.min(allowed) };
        let now = Instant::now();
        let host: Arc<str> = Arc::from(context.host.as_str());
        Ok(Self {
            packed: Packed::new(&context.name, context.registry.clone(), host.clone()),
            host,
            known: HashMap::new(),
            originals: Originals::default(),
            config,
            context,
            patterns,
            files: Vec::new(),
            awake: Vec::new(),
            by_key: HashMap::new(),
            by_path: HashMap::new(),
            rewinds: 0,
            notify: Notify::new(inotify),
            copies: HashMap::new(),
            is_covered: false,
            next_scan: now,
            scan_not_before: now,
            next_status: now,
            open: Vec::new(),
            open_max,
            first_scan: true,
            hurry: false,
            shows_all: false,
        })
    }

    /// Looks up what is known of the files. Not earlier than they are looked at: an input whose place
    /// this one takes may still have moved the positions.
    fn recall(&mut self) {
        for known in self.context.registry.known(&self.context.name) {
            if self.packed.recall(&known) {
                continue;
            }
            let identity: Identity = serde_json::from_str(&known.meta).unwrap_or_default();
            self.originals.insert(&identity.path, (identity.dev, identity.ino));
            self.known.insert((identity.dev, identity.ino), (known, identity));
        }
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

    #[cfg(test)]
    pub(super) fn files(&self) -> &[Followed] {
        &self.files
    }

    pub(super) fn packed(&mut self) -> &mut Packed {
        &mut self.packed
    }

    pub(super) fn files_mut(&mut self) -> &mut [Followed] {
        &mut self.files
    }

    pub(super) fn inotify(&self) -> Option<&OwnedFd> {
        self.notify.descriptor()
    }

    /// The files that may be due.
    pub(super) fn awake(&self) -> &[usize] {
        &self.awake
    }

    /// How long nothing needs to be done.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        if self.packed.has_more() {
            return Duration::ZERO;
        }
        let looks = self.awake.iter().map(|index| self.files[*index].next_look);
        looks.fold(self.next_scan, Instant::min).saturating_duration_since(now).max(Duration::from_millis(1))
    }

    fn wake(&mut self, index: usize, now: Instant) {
        let file = &mut self.files[index];
        file.wake(now);
        if std::mem::take(&mut file.rests) {
            self.awake.push(index);
        }
    }

    /// Takes what inotify told: it wakes the files that it names, and names that came or went
    /// make us scan.
    pub(super) fn woken(&mut self) {
        let now = Instant::now();
        let told = self.notify.take();
        for path in &told.paths {
            if let Some(index) = self.by_path.get(path).and_then(|key| self.by_key.get(key)) {
                self.wake(*index, now);
            } else if self.config.gzip && is_gzip(path) {
                self.scan_soon(now);
            }
        }
        if told.is_incomplete {
            (0..self.files.len()).for_each(|index| self.wake(index, now));
        }
        if told.has_names || told.is_incomplete {
            self.scan_soon(now);
        }
    }

    fn scan_soon(&mut self, now: Instant) {
        self.next_scan = self.next_scan.min(now.max(self.scan_not_before));
    }

    /// Looks at the patterns when it is time, and at what came back or was cut.
    pub(super) fn look(&mut self, now: Instant) -> Result<(), InputError> {
        let mut created = false;
        if now >= self.next_scan {
            if self.first_scan {
                self.recall();
            }
            self.hurry = false;
            let begin = Instant::now();
            created = self.scan(now);
            let interval = self.config.scan_interval.0;
            let took = begin.elapsed();
            let pause = match self.is_covered {
                _ if self.hurry => HURRY,
                true => (interval * SCANS_SPARED).max(took * SCAN_REST_COVERED),
                false => interval.max(took * SCAN_REST),
            };
            self.scan_not_before = now + (took * SCAN_REST).min(interval * SCANS_SPARED);
            self.next_scan = (now + pause).max(self.scan_not_before);
        }
        created |= self.restart_cut(now);
        self.rewind();
        self.packed.settle();
        if now >= self.next_status {
            let begin = Instant::now();
            self.remember();
            self.let_rest(now);
            self.next_status = now + STATUS_EVERY.max(begin.elapsed() * SCAN_REST);
        }
        if created {
            // An id that a crash forgets would make its events look new.
            self.context.registry.flush()?;
        }
        Ok(())
    }

    /// Goes back where events came back undone.
    fn rewind(&mut self) {
        let rewinds = self.context.registry.rewinds();
        if std::mem::replace(&mut self.rewinds, rewinds) == rewinds {
            return;
        }
        for index in &self.awake {
            let file = &mut self.files[*index];
            if let Some((offset, mark)) = self.context.registry.rewound(file.origin()) {
                file.seek(offset, mark);
            }
        }
        self.packed.rewind();
    }

    /// Finds new files and those that nothing leads to any more; says whether origins were made.
    fn scan(&mut self, now: Instant) -> bool {
        self.drop_finished();
        let found = self.patterns.find();
        let (tells_all, is_new) = self.notify.listen(&found.folders);
        // What came between the look and the watch is not told.
        self.hurry |= is_new;
        let mut unreadable: Vec<Unreadable> = Vec::new();
        for (path, error) in &found.errors {
            unreadable.push(unreadable_of(path, error));
        }
        let mut present: HashSet<(u64, u64)> = HashSet::new();
        let mut fresh: Vec<(PathBuf, Metadata)> = Vec::new();
        let mut packed: Vec<(PathBuf, Metadata)> = Vec::new();
        self.by_path.clear();
        for path in found.files {
            match fs::metadata(&path) {
                Ok(meta) if !meta.is_file() => {}
                Ok(meta) if self.config.gzip && is_gzip(&path) => packed.push((path, meta)),
                Ok(meta) => {
                    self.by_path.insert(path.clone(), key(&meta));
                    // One reader per file, by however many names it is reached.
                    if !present.insert(key(&meta)) {
                        continue;
                    }
                    let Some(&index) = self.by_key.get(&key(&meta)) else {
                        fresh.push((path, meta));
                        continue;
                    };
                    let file = &mut self.files[index];
                    file.path = path;
                    file.gone = None;
                    if file.has_changed(&meta) {
                        self.wake(index, now);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => unreadable.push(unreadable_of(&path, &error)),
            }
        }
        for index in 0..self.files.len() {
            let file = &mut self.files[index];
            if file.gone.is_none() && !file.is_finite && !present.contains(&file.key()) {
                file.gone = Some(now);
                self.wake(index, now);
            }
        }
        let before = self.files.len();
        let mut created = false;
        // A file before what rotation makes of it, which may be its copy; one that we know may
        // have any name.
        fresh.sort_by_key(|(path, meta)| (!self.known.contains_key(&key(meta)), path.as_os_str().len()));
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
        let (config, is_first) = (&self.config, self.first_scan);
        created |= self.packed.found(
            packed,
            |meta| passes_over(config, is_first, meta),
            |path, error| unreadable.push(unreadable_of(path, error)),
        );
        // What was written first is read first.
        self.files[before..]
            .sort_by_cached_key(|file| fs::metadata(&file.path).map(|meta| modified(&meta)).ok());
        self.first_scan = false;
        self.close_inactive(now);
        self.index();
        self.is_covered = tells_all && !found.has_links && unreadable.is_empty();
        unreadable.extend(self.packed.unreadable());
        self.context.registry.set_unreadable(&self.context.name, unreadable);
        created
    }

    fn is_followed(&self, meta: &Metadata) -> bool {
        self.by_key.contains_key(&key(meta))
    }

    /// Brings up to date where each file is found.
    fn index(&mut self) {
        let all = || self.files.iter().enumerate();
        self.by_key = all().map(|(index, file)| (file.key(), index)).collect();
        self.awake = all().filter(|(_, file)| !file.rests).map(|(index, _)| index).collect();
        self.open = all().filter(|(_, file)| file.file.is_some()).map(|(index, _)| index).collect();
    }

    /// Files of which all is read and safe are not looked at again before something wakes them.
    fn let_rest(&mut self, now: Instant) {
        let registry = &self.context.registry;
        let mut can_drop = false;
        for index in &self.awake {
            let file = &mut self.files[*index];
            let may_rest = file.finished || file.may_rest(now, self.is_covered);
            if may_rest && registry.watermark(file.origin()) >= file.offset() {
                can_drop |= file.finished;
                file.rest(now);
            }
        }
        self.awake.retain(|index| !self.files[*index].rests);
        if can_drop {
            self.scan_soon(now);
        }
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
                    self.by_key.insert(key(&copy_meta), self.files.len() - 1);
                    if let Some(moved) = self.files.last_mut() {
                        moved.move_to_copy(copy, &copy_meta, opened);
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
        let Err(file) = self.renumber(path, &meta, file) else { return Ok(true) };
        if let Some((known, identity)) = self.take_renumbered(base, &meta, &file) {
            let (dev, ino) = key(&meta);
            let identity = Identity { dev, ino, ..identity };
            self.context.registry.set_meta(known.origin, text_of_identity(&identity));
            let evidence = Evidence { identity, offset: known.watermark, mark: known.mark };
            self.follow(path, evidence, known.origin, now);
            return Ok(true);
        }
        let offset = if passes_over(&self.config, self.first_scan, &meta) { meta.len() } else { 0 };
        let identity = self.identity(base, &meta, &file)?;
        let origin = self.create(&identity, offset);
        self.follow(path, Evidence { identity, offset, mark: 0 }, origin, now);
        Ok(true)
    }

    /// A file that we follow is there under other numbers: a network file system gave it new
    /// ones, or somebody wrote it anew as it was, as an editor does. It is the same file when it
    /// has the same name and all of what tells it, and when nothing has the numbers of then.
    /// Gives the file back where it is not.
    fn renumber(&mut self, path: &Path, meta: &Metadata, file: File) -> Result<(), File> {
        let found = self.originals.of(path).into_iter().find_map(|old| {
            let index = *self.by_key.get(&old)?;
            let followed = &self.files[index];
            let is_it = followed.gone.is_some()
                && !followed.is_finite
                && Path::new(&followed.identity.path) == path
                && followed.is_read_and_removed()
                && holds_for_certain(&followed.evidence(), meta, &file)
                && is_nowhere(old, path);
            is_it.then_some((index, old))
        });
        let Some((index, old)) = found else { return Err(file) };
        let followed = &mut self.files[index];
        tell_renumbered(path, followed.offset());
        followed.renumbered(key(meta), file);
        self.by_key.remove(&old);
        self.by_key.insert(key(meta), index);
        self.originals.remove(&followed.identity.path, old);
        self.originals.insert(&followed.identity.path, key(meta));
        self.context.registry.set_meta(followed.origin(), text_of_identity(&followed.identity));
        Ok(())
    }

    /// The same for a file that was followed before: a device has another number after the
    /// machine started again, and restored files have other inodes.
    fn take_renumbered(&mut self, base: &Path, meta: &Metadata, file: &File) -> Option<(Known, Identity)> {
        let old = self.originals.of(base).into_iter().find(|old| {
            self.known.get(old).is_some_and(|(known, identity)| {
                let named = Path::new(&identity.path);
                (named == base || is_sibling(named, base))
                    && holds_for_certain(&evidence(known, identity), meta, file)
                    && is_nowhere(*old, named)
            })
        })?;
        let (known, identity) = self.known.remove(&old)?;
        tell_renumbered(base, known.watermark);
        self.originals.remove(&identity.path, old);
        Some((known, identity))
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
        let host = self.host.clone();
        let index = self.files.len();
        self.by_key.insert((identity.dev, identity.ino), index);
        self.originals.insert(&identity.path, (identity.dev, identity.ino));
        self.awake.push(index);
        let mut file = Followed::new(path.to_owned(), identity, origin, (offset, mark), host, now);
        if self.config.multiline.is_none() {
            file.long_line = self.config.line_bytes_max.0.max(1);
        }
        self.files.push(file);
    }

    /// Whether a file is a copy that copytruncate made of one that we read, or will be one:
    /// its name begins with the other's, and it has the beginning of the other's content, or
    /// what we read of that before it was cut. Such a file is left alone until the original
    /// is cut; then the original's origin goes on in it. `is_wanted`: a pattern matches it.
    fn is_copy(&mut self, path: &Path, meta: &Metadata, is_wanted: bool, now: Instant) -> bool {
        if self.known.contains_key(&key(meta)) {
            return false;
        }
        let Ok(file) = File::open(path) else { return false };
        // Its length of now: the copy may just be made.
        let len = || file.metadata().map_or(0, |meta| meta.len());
        let has_read = |evidence: &Evidence| {
            evidence.is_telling() && len() >= evidence.offset && evidence.holds(&file).unwrap_or(false)
        };
        let is_of = |identity: &Identity| is_sibling(Path::new(&identity.path), path);
        let keys = self.originals.of(path);
        // A backup of what was read to its end already says nothing new.
        let is_old_news = keys
            .iter()
            .filter_map(|key| self.known.get(key).filter(|(_, identity)| is_of(identity)))
            .any(|(known, identity)| len() == known.watermark && has_read(&evidence(known, identity)));
        if is_old_news && !is_wanted {
            return true;
        }
        let originals = keys.iter().filter_map(|key| self.by_key.get(key).copied());
        let mut originals: Vec<usize> = originals
            .filter(|index| !self.files[*index].is_finite && is_of(&self.files[*index].identity))
            .collect();
        originals.sort_unstable();
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
            Some(original) if is_copy => self.wake(original, now),
            _ => {
                self.copies.remove(&key(meta));
            }
        }
        is_copy
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
        for at in 0..self.awake.len() {
            let index = self.awake[at];
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
                // The old head would deny the new content after a crash.
                registry.set_meta(origin, text_of_identity(&file.identity));
                continue;
            };
            tracing::info!(path = %path.display(), copy = %copy.display(), unread, "a file was copied and cut; the copy is read to its end");
            let own = file.file.take();
            let (dev, ino) = file.key();
            file.move_to_copy(copy, &meta, opened);
            self.by_key.insert(key(&meta), index);
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
        changed
    }

    /// Files that were rotated away while nobody looked: the one we were reading, under its
    /// new name, and those that came and went in between, oldest first. Whatever was written
    /// to since the oldest one that we know is ours to read.
    fn adopt_rotated(&mut self, present: &HashSet<(u64, u64)>, now: Instant) -> bool {
        let mut created = false;
        let mut bases: HashMap<&str, u64> = HashMap::new();
        let followed = self.files.iter().map(|file| &file.identity);
        let all = followed.chain(self.known.values().map(|(_, identity)| identity));
        for identity in all.filter(|own| !own.path.is_empty()) {
            let since = bases.entry(&identity.path).or_insert(identity.seen);
            *since = (*since).min(identity.seen);
        }
        let mut folders = Folders::default();
        let mut rotated: Vec<(PathBuf, PathBuf, Metadata)> = Vec::new();
        for (base, since) in bases {
            let base = Path::new(base);
            for (path, meta) in folders.siblings(base) {
                let written = seconds(modified(&meta));
                let is_news = match self.known.get(&key(&meta)) {
                    Some((known, identity)) => {
                        // Within one second the time does not tell.
                        let differs = |file: File| !evidence(known, identity).holds(&file).unwrap_or(true);
                        known.watermark != meta.len()
                            || identity.seen < written
                            || (identity.seen == written && File::open(&path).is_ok_and(differs))
                    }
                    None => written >= since && meta.len() > 0,
                };
                if is_news && !present.contains(&key(&meta)) && !self.is_followed(&meta) {
                    rotated.push((path, base.to_owned(), meta));
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
        let (known, originals) = (&mut self.known, &mut self.originals);
        let before = self.files.len();
        self.files.retain(|file| {
            let done = file.finished && registry.watermark(file.origin()) >= file.offset();
            if done && file.is_deleted {
                registry.remove(file.origin());
                originals.remove(&file.identity.path, file.key());
            } else if done {
                let mut identity = file.identity.clone();
                identity.seen = identity.seen.max(seconds(SystemTime::now()));
                let meta = text_of_identity(&identity);
                registry.set_meta(file.origin(), meta.clone());
                let (watermark, mark) = (file.offset(), file.mark());
                originals.insert(&identity.path, file.key());
                known.insert(file.key(), (Known { origin: file.origin(), watermark, mark, meta }, identity));
            }
            !done
        });
        if self.files.len() != before {
            self.shows_all = true;
            self.index();
        }
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
        if self.files[index].is_as_closed() {
            self.files[index].nothing(now);
            return false;
        }
        self.make_room(now);
        self.open.push(index);
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

    /// Closes files that were quiet for longest when too many are open: some at once, since to
    /// find them each is looked at.
    fn make_room(&mut self, now: Instant) {
        if self.open.len() < self.open_max {
            return;
        }
        let files = &mut self.files;
        self.open.retain(|index| files[*index].file.is_some());
        self.open.sort_unstable();
        self.open.dedup();
        if self.open.len() < self.open_max {
            return;
        }
        let may_close = self.open.iter().filter(|index| files[**index].gone.is_none());
        let mut quiet: Vec<usize> = may_close.copied().collect();
        quiet.sort_unstable_by_key(|index| std::cmp::Reverse(files[*index].quiet_for(now)));
        for index in quiet.iter().take((self.open_max / 8).max(1)) {
            files[*index].close(now);
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
                file.close(now);
            }
        }
    }

    /// Tells the registry who the files are and how they stand, as far as that may change.
    pub(super) fn remember(&mut self) {
        let registry = self.context.registry.clone();
        let now = Instant::now();
        let mut statuses = Vec::new();
        let all: Option<Vec<usize>> =
            std::mem::take(&mut self.shows_all).then(|| (0..self.files.len()).collect());
        for index in all.as_ref().unwrap_or(&self.awake) {
            let file = &mut self.files[*index];
            let safe = registry.watermark(file.origin());
            let meta = file.file.as_ref().and_then(|file| file.metadata().ok());
            let size = meta.as_ref().map_or(file.size, Metadata::len);
            if file.is_news(safe) {
                file.identity.seen = meta.as_ref().map_or(file.identity.seen, |meta| seconds(modified(meta)));
                registry.set_meta(file.origin(), text_of_identity(&file.identity));
            }
            file.size = file.size.max(size);
            let behind = size.saturating_sub(file.offset());
            statuses.push((
                *index,
                FileStatus {
                    path: text_of(&file.path),
                    read: file.offset(),
                    safe,
                    behind,
                    seconds_behind: if behind > 0 { file.quiet_for(now).as_secs() } else { 0 },
                },
            ));
        }
        let packed = self.packed.statuses();
        let count = self.files.len() + packed.len();
        statuses.extend((self.files.len()..).zip(packed));
        registry.set_statuses(&self.context.name, count, statuses);
    }
}

/// Whether what a file holds when it is seen first is not wanted.
fn passes_over(config: &Config, is_first_scan: bool, meta: &Metadata) -> bool {
    let is_old = config
        .ignore_older
        .is_some_and(|age| SystemTime::now().duration_since(modified(meta)).is_ok_and(|since| since > age.0));
    is_old || (is_first_scan && config.start_at == StartAt::End)
}

fn evidence(known: &Known, identity: &Identity) -> Evidence {
    Evidence { identity: identity.clone(), offset: known.watermark, mark: known.mark }
}

/// Whether a file has what was read of another, without a look at device and inode.
fn holds_for_certain(evidence: &Evidence, meta: &Metadata, file: &File) -> bool {
    evidence.is_certain() && evidence.offset <= meta.len() && evidence.holds(file).unwrap_or(false)
}

/// Whether neither the path nor what rotation makes of it leads to the file.
fn is_nowhere(file: (u64, u64), path: &Path) -> bool {
    let siblings = Folders::default().siblings(path).into_iter().map(|(_, meta)| meta);
    siblings.chain(fs::metadata(path).ok()).all(|meta| key(&meta) != file)
}

fn tell_renumbered(path: &Path, offset: u64) {
    let path = path.display();
    tracing::info!(%path, offset, "a file has another inode or device than before; it is read on");
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
