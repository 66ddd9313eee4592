//! Which files there are: patterns, rotation, copies, and what the registry knows of them.

use super::follow::Followed;
use super::glob::Patterns;
use super::identity::{self, HEAD, Identity, key};
use super::{Config, ConfigError, InputContext, InputError, StartAt};
use crate::registry::{FileStatus, Known, Registry, Unreadable};
use rustix::fs::inotify;
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
    patterns: Patterns,
    files: Vec<Followed>,
    /// What the registry knows and nobody follows now.
    known: Vec<(Known, Identity)>,
    inotify: Option<OwnedFd>,
    watched: HashSet<PathBuf>,
    next_scan: Instant,
    next_status: Instant,
    open: usize,
    open_max: usize,
    first_scan: bool,
}

/// How long a copy waits for its original to be cut before it is taken for a file of its own.
const COPY_WAIT: Duration = Duration::from_secs(60);
/// A copy must have this much in common with its original to be taken for one.
const COPY_BYTES_MIN: u64 = 16;
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
            let identity = serde_json::from_str(&known.meta).unwrap_or_default();
            (known, identity)
        });
        let now = Instant::now();
        Ok(Self {
            known: known.collect(),
            config,
            context,
            patterns,
            files: Vec::new(),
            inotify: inotify::init(flags).ok(),
            watched: HashSet::new(),
            next_scan: now,
            next_status: now,
            open: 0,
            open_max,
            first_scan: true,
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

    /// How long nothing needs to be done.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        let looks =
            self.files.iter().map(|file| file.next_look.max(file.held_until.unwrap_or(file.next_look)));
        let next = looks.min().unwrap_or(self.next_scan).min(self.next_scan);
        next.saturating_duration_since(now).max(Duration::from_millis(1))
    }

    /// Takes what inotify said; any word of it makes us look again.
    pub(super) fn woken(&mut self) {
        let Some(inotify) = &self.inotify else { return };
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        let mut names_changed = false;
        let mut said = false;
        while let Ok(event) = reader.next() {
            said = true;
            let names = inotify::ReadFlags::CREATE
                | inotify::ReadFlags::MOVED_FROM
                | inotify::ReadFlags::MOVED_TO
                | inotify::ReadFlags::DELETE
                | inotify::ReadFlags::QUEUE_OVERFLOW;
            names_changed |= event.events().intersects(names);
        }
        let now = Instant::now();
        if said {
            for file in &mut self.files {
                file.wake(now);
            }
        }
        if names_changed {
            self.next_scan = now;
        }
    }

    /// Looks at the patterns when it is time, and at what came back or was cut.
    pub(super) fn look(&mut self, now: Instant) -> Result<(), InputError> {
        let mut created = false;
        if now >= self.next_scan {
            created = self.scan(now);
            self.next_scan = now + self.config.scan_interval.0;
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
        for file in &mut self.files {
            if let Some(offset) = self.context.registry.rewound(file.origin()) {
                file.seek(offset);
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
        let followed: HashSet<(u64, u64)> = self.files.iter().map(Followed::key).collect();
        for path in found.files {
            match fs::metadata(&path) {
                Ok(meta) if !meta.is_file() => {}
                Ok(meta) => {
                    // One reader per file, by however many names it is reached.
                    if present.insert(key(&meta), path.clone()).is_none() && !followed.contains(&key(&meta)) {
                        fresh.push((path, meta));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => unreadable.push(unreadable_of(&path, &error)),
            }
        }
        for file in &mut self.files {
            if let Some(path) = present.get(&file.key()) {
                file.gone = None;
                let _ = path;
            } else if file.gone.is_none() && !file.is_finite {
                file.gone = Some(now);
                file.next_look = now;
            }
        }
        let mut created = self.adopt_rotated(&present, now);
        fresh.sort_by_key(|(_, meta)| modified(meta));
        for (path, meta) in fresh {
            if self.files.iter().any(|file| file.key() == key(&meta)) {
                continue;
            }
            match self.adopt(&path, &path, now) {
                Ok(made) => created |= made,
                Err(error) => unreadable.push(unreadable_of(&path, &error)),
            }
        }
        self.first_scan = false;
        self.drop_finished();
        self.context.registry.set_unreadable(&self.context.name, unreadable);
        created
    }

    /// Takes up a file that nobody follows yet; `base` is the path that it had before it was
    /// rotated. Says whether an origin was made.
    fn adopt(&mut self, path: &Path, base: &Path, now: Instant) -> io::Result<bool> {
        let file = File::open(path)?;
        // The path may lead elsewhere since it was looked up.
        let meta = file.metadata()?;
        if self.files.iter().any(|file| file.key() == key(&meta)) {
            return Ok(false);
        }
        if let Some(at) =
            self.known.iter().position(|(_, identity)| (identity.dev, identity.ino) == key(&meta))
        {
            let (known, identity) = self.known.swap_remove(at);
            if meta.len() >= known.watermark && identity.holds(&file)? {
                self.follow(path, identity, known.origin, known.watermark, &meta, now);
                return Ok(false);
            }
            // Cut and written anew while nobody looked, or the inode is used again. What a
            // copy still has is read first.
            self.adopt_copy(&identity, known.watermark, now);
            let origin = self.context.registry.begin_generation(known.origin);
            let identity = self.identity(base, &meta, &file)?;
            self.follow(path, identity, origin, 0, &meta, now);
            return Ok(true);
        }
        if let Some((offset, is_cut)) = self.copied_from(path, &file, &meta) {
            let identity = self.identity(base, &meta, &file)?;
            let origin = self.create(&identity, offset);
            self.follow(path, identity, origin, offset, &meta, now);
            if let Some(copy) = self.files.last_mut() {
                copy.is_finite = is_cut;
                copy.held_until = (!is_cut).then(|| now + COPY_WAIT);
            }
            return Ok(true);
        }
        let is_old = self.config.ignore_older.is_some_and(|age| {
            SystemTime::now().duration_since(modified(&meta)).is_ok_and(|since| since > age.0)
        });
        let at_end = is_old || (self.first_scan && self.config.start_at == StartAt::End);
        let offset = if at_end { meta.len() } else { 0 };
        let identity = self.identity(base, &meta, &file)?;
        let origin = self.create(&identity, offset);
        self.follow(path, identity, origin, offset, &meta, now);
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
            mark: None,
            seen: seconds(modified(meta)),
        })
    }

    fn create(&self, identity: &Identity, offset: u64) -> event::Origin {
        let text = serde_json::to_string(identity).unwrap_or_default();
        self.context.registry.create(&self.context.name, text, offset)
    }

    fn follow(
        &mut self,
        path: &Path,
        identity: Identity,
        origin: event::Origin,
        offset: u64,
        meta: &Metadata,
        now: Instant,
    ) {
        tracing::debug!(path = %path.display(), offset, "following");
        let mut file = Followed::new(path.to_owned(), identity, origin, offset, &self.context.host, now);
        file.size = meta.len();
        self.files.push(file);
    }

    /// Where to go on in a file that is a copy of one that we read (copytruncate), and whether
    /// that one was cut since: the copy's name begins with the other's, and so does its
    /// content, up to where we are in the other.
    fn copied_from(&self, path: &Path, file: &File, meta: &Metadata) -> Option<(u64, bool)> {
        let live = self.files.iter().filter(|original| original.gone.is_none() && !original.is_finite).map(
            |original| {
                let identity = Identity { mark: original.last_mark(), ..original.identity.clone() };
                (identity, original.offset())
            },
        );
        let known = self.known.iter().map(|(known, identity)| (identity.clone(), known.watermark));
        for (identity, offset) in live.chain(known) {
            let base = PathBuf::from(&identity.path);
            if is_sibling(&base, path)
                && offset >= COPY_BYTES_MIN
                && meta.len() >= offset
                && identity.head_len > 0
                && (identity.mark.is_some() || identity.head_len == HEAD)
                && identity.holds(file).unwrap_or(false)
            {
                let is_whole = File::open(&base).is_ok_and(|own| {
                    own.metadata()
                        .is_ok_and(|meta| key(&meta) == (identity.dev, identity.ino) && meta.len() >= offset)
                        && identity.holds(&own).unwrap_or(false)
                });
                return Some((offset, !is_whole));
            }
        }
        None
    }

    /// A file was cut: what we had not read of it may stand in a copy beside it.
    fn adopt_copy(&mut self, identity: &Identity, offset: u64, now: Instant) -> bool {
        let has_mark = identity.mark.is_some_and(|(at, _)| at <= offset);
        if offset < COPY_BYTES_MIN || !(has_mark || identity.head_len == HEAD) {
            return false;
        }
        let path = PathBuf::from(&identity.path);
        let mut created = false;
        for (copy, meta) in siblings(&path) {
            let is_followed =
                self.files.iter().any(|file| file.key() == key(&meta) && file.held_until.is_none());
            let Ok(file) = File::open(&copy) else { continue };
            if is_followed || meta.len() < offset || !identity.holds(&file).unwrap_or(false) {
                continue;
            }
            match self.files.iter_mut().find(|file| file.key() == key(&meta)) {
                Some(held) => {
                    held.held_until = None;
                    held.is_finite = true;
                    held.next_look = now;
                }
                None if self.known.iter().any(|(_, known)| (known.dev, known.ino) == key(&meta)) => {}
                None => {
                    let Ok(identity) = self.identity(&path, &meta, &file) else { continue };
                    let origin = self.create(&identity, offset);
                    self.follow(&copy, identity, origin, offset, &meta, now);
                    if let Some(copy) = self.files.last_mut() {
                        copy.is_finite = true;
                    }
                }
            }
            created = true;
            break;
        }
        created
    }

    /// Begins anew where a file was cut; says whether origins changed.
    fn restart_cut(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for index in 0..self.files.len() {
            if !self.files[index].was_cut {
                continue;
            }
            let (mut identity, offset, origin) = {
                let file = &self.files[index];
                (file.identity.clone(), file.offset(), file.origin())
            };
            identity.mark = self.files[index].last_mark();
            let unread = self.files[index].size.saturating_sub(offset);
            tracing::info!(path = %self.files[index].path.display(), unread, "the file was cut; it is read from its beginning");
            self.adopt_copy(&identity, offset, now);
            let origin = self.context.registry.begin_generation(origin);
            let file = &mut self.files[index];
            file.restart(origin);
            file.size = 0;
            changed = true;
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
        let all = followed.chain(self.known.iter().map(|(_, identity)| identity));
        for identity in all.filter(|own| !own.path.is_empty()) {
            let since = bases.entry(PathBuf::from(&identity.path)).or_insert(identity.seen);
            *since = (*since).min(identity.seen);
        }
        for (base, since) in bases {
            let mut rotated: Vec<(PathBuf, Metadata)> = siblings(&base)
                .into_iter()
                .filter(|(_, meta)| !present.contains_key(&key(meta)))
                .filter(|(_, meta)| !self.files.iter().any(|file| file.key() == key(meta)))
                .collect();
            rotated.sort_by_key(|(_, meta)| modified(meta));
            for (path, meta) in rotated {
                let written = seconds(modified(&meta));
                match self.known.iter().find(|(_, identity)| (identity.dev, identity.ino) == key(&meta)) {
                    // It was read to its end.
                    Some((known, identity)) if known.watermark == meta.len() && identity.seen >= written => {
                        continue;
                    }
                    None if written < since => continue,
                    _ => {}
                }
                let before = self.files.len();
                match self.adopt(&path, &base, now) {
                    Ok(made) => created |= made,
                    Err(error) => {
                        tracing::warn!(path = %path.display(), %error, "a rotated file cannot be read");
                    }
                }
                for file in self.files.iter_mut().skip(before) {
                    file.is_finite = file.held_until.is_none();
                }
            }
        }
        created
    }

    fn drop_finished(&mut self) {
        let registry = &self.context.registry;
        let known = &mut self.known;
        self.files.retain(|file| {
            let done = file.finished && registry.watermark(file.origin()) >= file.offset();
            if done {
                let mut identity = file.identity.clone();
                identity.seen = identity.seen.max(seconds(SystemTime::now()));
                let meta = serde_json::to_string(&identity).unwrap_or_default();
                registry.set_meta(file.origin(), meta.clone());
                known.push((Known { origin: file.origin(), watermark: file.offset(), meta }, identity));
            }
            !done
        });
    }

    pub(super) fn is_due(&self, index: usize, now: Instant) -> bool {
        let file = &self.files[index];
        if file.finished || file.was_cut || now < file.next_look {
            return false;
        }
        file.held_until.is_none_or(|until| now >= until)
    }

    /// Opens the file if it is not, closing another when too many are.
    pub(super) fn make_open(&mut self, index: usize, now: Instant) -> bool {
        if self.files[index].held_until.is_some_and(|until| now >= until) {
            // Its original was not cut: it is a file of its own.
            let file = &mut self.files[index];
            file.held_until = None;
            file.seek(0);
        }
        if self.files[index].file.is_some() {
            return true;
        }
        self.open = self.files.iter().filter(|file| file.file.is_some()).count();
        if self.open >= self.open_max {
            let quietest = (0..self.files.len())
                .filter(|other| self.files[*other].file.is_some() && self.files[*other].gone.is_none())
                .max_by_key(|other| self.files[*other].quiet_for(now));
            if let Some(other) = quietest {
                self.files[other].file = None;
            }
        }
        let file = &mut self.files[index];
        match File::open(&file.path) {
            Ok(opened) if opened.metadata().is_ok_and(|meta| key(&meta) == file.key()) => {
                file.opened(opened);
                true
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

    /// A closed file is not where it was: it was renamed, or removed.
    fn find_again(&mut self, index: usize, now: Instant) -> bool {
        let file = &mut self.files[index];
        let renamed = siblings(&file.path).into_iter().find(|(_, meta)| key(meta) == file.key());
        match renamed.and_then(|(path, _)| File::open(path).ok()) {
            Some(opened) => {
                file.opened(opened);
                true
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
                file.file = None;
            }
        }
    }

    /// Tells the registry who the files are and how they stand.
    pub(super) fn remember(&mut self) {
        let registry = self.context.registry.clone();
        let now = Instant::now();
        let mut statuses = Vec::new();
        for file in &mut self.files {
            let safe = registry.watermark(file.origin());
            let meta = file.file.as_ref().and_then(|file| file.metadata().ok());
            let size = meta.as_ref().map_or(file.size, Metadata::len);
            if file.mark(safe) {
                file.identity.seen = meta.as_ref().map_or(file.identity.seen, |meta| seconds(modified(meta)));
                registry.set_meta(file.origin(), serde_json::to_string(&file.identity).unwrap_or_default());
            }
            file.size = file.size.max(size);
            let behind = size.saturating_sub(file.offset());
            statuses.push(FileStatus {
                path: text_of(&file.path),
                read: file.offset(),
                safe,
                behind,
                seconds_behind: if behind > 0 { file.quiet_for(now).as_secs() } else { 0 },
            });
        }
        registry.set_statuses(&self.context.name, statuses);
    }

    fn watch_folders(&mut self, folders: &[PathBuf]) {
        let Some(inotify) = &self.inotify else { return };
        for folder in folders {
            if self.watched.contains(folder) {
                continue;
            }
            let flags = inotify::WatchFlags::MODIFY
                | inotify::WatchFlags::CREATE
                | inotify::WatchFlags::MOVED_FROM
                | inotify::WatchFlags::MOVED_TO
                | inotify::WatchFlags::DELETE;
            // Where there are no watches left, polling is enough.
            if inotify::add_watch(inotify, folder, flags).is_ok() {
                self.watched.insert(folder.clone());
            }
        }
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

/// Whether one file's name begins with the other's, in the same folder: `app.log`, `app.log.1`.
fn is_sibling(path: &Path, other: &Path) -> bool {
    let (Some(name), Some(other_name)) = (path.file_name(), other.file_name()) else { return false };
    path.parent() == other.parent()
        && name != other_name
        && other_name.to_string_lossy().starts_with(&*name.to_string_lossy())
}

/// The files that rotation may have made of a file, compressed ones excepted.
fn siblings(path: &Path) -> Vec<(PathBuf, Metadata)> {
    let Some(folder) = path.parent() else { return Vec::new() };
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_packed = |path: &Path| {
        path.extension()
            .is_some_and(|ending| ["gz", "bz2", "xz", "zst", "lz4"].iter().any(|packed| ending == *packed))
    };
    entries
        .map_while(Result::ok)
        .map(|entry| entry.path())
        .filter(|other| is_sibling(path, other) && !is_packed(other))
        .filter_map(|other| fs::metadata(&other).ok().filter(Metadata::is_file).map(|meta| (other, meta)))
        .collect()
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
