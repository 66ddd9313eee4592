//! The twin of the disk: in memory, with a live and a durable image, and with faults.
//!
//! Data is durable after a sync of its file, a name after a sync of its folder. At a
//! [`crash`](SimDisk::crash) every unsynced 512-byte sector survives or not by itself. Of the
//! unsynced changes of names, even seeds keep a random beginning, as a journaling file
//! system does; odd ones keep each or not by itself, as none has to.

use crate::{Bytes, DirEntry, Disk, DiskError, File, Lock};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SECTOR: usize = 512;

/// A disk in memory that can lose power, run full and fail to sync. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    folders: BTreeSet<PathBuf>,
    live: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    /// Changes of names since the last sync of their folder, oldest first.
    pending: Vec<Change>,
    files: Vec<Content>,
    /// How many syncs (of files and folders) were asked for.
    syncs: u64,
    power_fails_at: Option<u64>,
    off: bool,
    sync_fails_at: Option<u64>,
    room: Option<u64>,
    out_of_handles: bool,
    locked: bool,
}

#[derive(Default, Clone)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// The sectors that the next sync has to write.
    dirty: BTreeSet<usize>,
    /// Bytes that room is kept for.
    reserved: u64,
}

impl Content {
    fn of(image: Vec<u8>) -> Self {
        Self { live: image.clone(), durable: image, ..Self::default() }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        let changed = offset.min(self.live.len());
        if self.live.len() < end {
            self.live.resize(end, 0);
        }
        self.live[offset..end].copy_from_slice(bytes);
        self.dirty.extend(changed / SECTOR..end.div_ceil(SECTOR));
    }

    fn sync(&mut self) {
        copy_sectors(&self.live, &mut self.durable, &self.dirty);
        self.dirty.clear();
    }

    /// What a failed sync leaves: the pages count as clean, though the disk never got them.
    fn lose(&mut self, drop_pages: bool) {
        if drop_pages {
            copy_sectors(&self.durable, &mut self.live, &self.dirty);
        }
        self.dirty.clear();
    }

    /// Bytes that the file takes of the disk's room.
    fn takes(&self) -> u64 {
        self.reserved.max(self.live.len() as u64)
    }
}

fn copy_sectors(from: &[u8], to: &mut Vec<u8>, sectors: &BTreeSet<usize>) {
    to.resize(from.len(), 0);
    for sector in sectors {
        let (begin, end) = ((sector * SECTOR).min(from.len()), ((sector + 1) * SECTOR).min(from.len()));
        to[begin..end].copy_from_slice(&from[begin..end]);
    }
}

#[derive(Clone)]
enum Change {
    Put(PathBuf, usize),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many syncs were asked for so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Turns the power off at the sync of that number (from 0): it and everything later fails.
    pub fn power_fails_at(&self, sync: u64) {
        self.state().power_fails_at = Some(sync);
    }

    /// Lets the sync of that number fail once, as a bad sector does: the error is reported
    /// once, and what was unsynced of that file never gets to the disk, whatever is synced
    /// later. For even numbers it is gone at once, for odd ones it can be read until a crash.
    pub fn sync_fails_at(&self, sync: u64) {
        self.state().sync_fails_at = Some(sync);
    }

    /// Leaves room for this many more bytes; `None` for any number.
    pub fn set_room(&self, room: Option<u64>) {
        self.state().room = room;
    }

    /// Lets every opening of a file fail, as it does in a process that has too many open.
    pub fn set_out_of_handles(&self, is_out: bool) {
        self.state().out_of_handles = is_out;
    }

    /// The disk as the machine would find it after a power cut now.
    pub fn crash(&self, seed: u64) -> SimDisk {
        let mut random = fastrand::Rng::with_seed(seed);
        let state = self.state();
        let mut names = state.durable.clone();
        let beginning = random.usize(..=state.pending.len());
        for (n, change) in state.pending.iter().enumerate() {
            let survives = if seed.is_multiple_of(2) { n < beginning } else { random.bool() };
            if survives {
                change.apply(&mut names);
            }
        }
        let mut files = Vec::new();
        let names = names
            .into_iter()
            .map(|(path, at)| {
                let image = torn(&state.files[at], &mut random);
                files.push(Content::of(image));
                (path, files.len() - 1)
            })
            .collect::<BTreeMap<_, _>>();
        let fresh = State {
            folders: state.folders.clone(),
            live: names.clone(),
            durable: names,
            files,
            ..State::default()
        };
        SimDisk(Arc::new(Mutex::new(fresh)))
    }

    /// The disk as the next process finds it after kill -9 now: the system has all of it.
    pub fn kill(&self) -> SimDisk {
        let state = self.state();
        let fresh = State {
            folders: state.folders.clone(),
            live: state.live.clone(),
            durable: state.durable.clone(),
            pending: state.pending.clone(),
            files: state.files.clone(),
            room: state.room,
            ..State::default()
        };
        SimDisk(Arc::new(Mutex::new(fresh)))
    }

    /// Damages files: `hurt` may change the bytes of any of them, or remove it by `false`.
    pub fn damage(&self, mut hurt: impl FnMut(&Path, &mut Vec<u8>) -> bool) {
        let mut state = self.state();
        let names: Vec<(PathBuf, usize)> = state.live.iter().map(|(path, at)| (path.clone(), *at)).collect();
        for (path, at) in names {
            let mut bytes = state.files[at].live.clone();
            if hurt(&path, &mut bytes) {
                state.files[at] = Content::of(bytes);
            } else {
                state.live.remove(&path);
                state.durable.remove(&path);
            }
        }
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Change::Put(path, at) => {
                names.insert(path.clone(), *at);
            }
            Change::Remove(path) => {
                names.remove(path);
            }
            Change::Rename(from, to) => {
                if let Some(at) = names.remove(from) {
                    names.insert(to.clone(), at);
                }
            }
        }
    }

    fn is_in(&self, folder: &Path) -> bool {
        match self {
            Change::Put(path, _) | Change::Remove(path) | Change::Rename(_, path) => {
                path.parent() == Some(folder)
            }
        }
    }
}

/// A file after a power cut: each sector as it was synced or as it was written last.
fn torn(content: &Content, random: &mut fastrand::Rng) -> Vec<u8> {
    let (live, durable) = (&content.live, &content.durable);
    let len = random.usize(live.len().min(durable.len())..=live.len().max(durable.len()));
    let mut image = durable.clone();
    image.resize(len, 0);
    for sector in &content.dirty {
        let from = sector * SECTOR;
        let to = (from + SECTOR).min(live.len()).min(len);
        if from < to && random.bool() {
            image[from..to].copy_from_slice(&live[from..to]);
        }
    }
    image
}

impl State {
    fn powered(&self, operation: &'static str, path: &Path) -> Result<(), DiskError> {
        if self.off {
            Err(DiskError::io(operation, path, io::Error::other("the power is off")))
        } else {
            Ok(())
        }
    }

    /// Counts a sync; whether it may succeed.
    fn sync(&mut self, path: &Path) -> Result<(), DiskError> {
        self.powered("sync", path)?;
        let number = self.syncs;
        self.syncs += 1;
        if self.power_fails_at == Some(number) {
            self.off = true;
        }
        self.powered("sync", path)?;
        if self.sync_fails_at == Some(number) {
            return Err(DiskError::io("sync", path, io::Error::from_raw_os_error(5)));
        }
        Ok(())
    }

    fn take_room(&mut self, bytes: u64, path: &Path) -> Result<(), DiskError> {
        if let Some(room) = &mut self.room {
            if *room < bytes {
                return Err(DiskError::io("write", path, io::Error::from_raw_os_error(28)));
            }
            *room -= bytes;
        }
        Ok(())
    }

    fn give_room(&mut self, bytes: u64) {
        if let Some(room) = &mut self.room {
            *room += bytes;
        }
    }

    fn find(&self, operation: &'static str, path: &Path) -> Result<usize, DiskError> {
        self.powered(operation, path)?;
        let missing = || DiskError::io(operation, path, io::Error::from(io::ErrorKind::NotFound));
        self.live.get(path).copied().ok_or_else(missing)
    }

    fn change(&mut self, change: Change) {
        let replaced = match &change {
            Change::Put(path, _) | Change::Remove(path) | Change::Rename(_, path) => self.live.get(path),
        };
        if let Some(&at) = replaced {
            self.give_room(self.files[at].takes());
        }
        change.apply(&mut self.live);
        self.pending.push(change);
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.state();
        state.powered("make the folder", path)?;
        for folder in path.ancestors() {
            state.folders.insert(folder.to_owned());
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> Result<Vec<DirEntry>, DiskError> {
        let state = self.state();
        state.powered("list", path)?;
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let files = state.live.iter().filter(|(own, _)| own.parent() == Some(path)).map(|(own, at)| {
            DirEntry { name: name(own), len: state.files[*at].live.len() as u64, is_dir: false }
        });
        let folders = state.folders.iter().filter(|own| own.parent() == Some(path));
        let folders = folders.map(|own| DirEntry { name: name(own), len: 0, is_dir: true });
        let mut all: Vec<DirEntry> = files.chain(folders).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn create(&self, path: &Path) -> Result<Box<dyn File>, DiskError> {
        let mut state = self.state();
        state.powered("create", path)?;
        state.files.push(Content::default());
        let at = state.files.len() - 1;
        state.change(Change::Put(path.to_owned(), at));
        Ok(Box::new(SimFile { disk: self.clone(), at, path: path.to_owned() }))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>, DiskError> {
        let at = {
            let state = self.state();
            if state.out_of_handles {
                return Err(DiskError::io("open", path, io::Error::from_raw_os_error(24)));
            }
            state.find("open", path)?
        };
        Ok(Box::new(SimFile { disk: self.clone(), at, path: path.to_owned() }))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        let state = self.state();
        let at = state.find("read", path)?;
        Ok(state.files[at].live.clone())
    }

    fn map(&self, path: &Path) -> Result<Bytes, DiskError> {
        self.read(path).map(Bytes::new)
    }

    fn exists(&self, path: &Path) -> bool {
        let state = self.state();
        state.live.contains_key(path) || state.folders.contains(path)
    }

    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let fresh = path.with_file_name(name);
        let file = self.create(&fresh)?;
        if let Err(error) = file.write_at(0, bytes).and_then(|()| file.sync()) {
            let _ = self.remove(&fresh);
            return Err(error);
        }
        self.rename(&fresh, path)?;
        self.sync_dir(path.parent().unwrap_or(Path::new("")))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut state = self.state();
        state.find("rename", from)?;
        state.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.state();
        state.find("remove", path)?;
        state.change(Change::Remove(path.to_owned()));
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.state();
        state.powered("remove the folder", path)?;
        let inside: Vec<PathBuf> = state.live.keys().filter(|own| own.starts_with(path)).cloned().collect();
        for file in inside {
            state.change(Change::Remove(file));
        }
        state.folders.retain(|own| !own.starts_with(path));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.state();
        state.sync(path)?;
        let State { pending, durable, .. } = &mut *state;
        let mut later = Vec::new();
        for change in pending.drain(..) {
            if change.is_in(path) { change.apply(durable) } else { later.push(change) }
        }
        *pending = later;
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64, DiskError> {
        Ok(self.state().room.unwrap_or(u64::MAX))
    }

    fn lock(&self, _: &str) -> Result<Lock, DiskError> {
        let mut state = self.state();
        if state.locked {
            return Err(DiskError::Locked { path: PathBuf::from("sim"), holder: "unknown".to_owned() });
        }
        state.locked = true;
        Ok(Lock::holding(Unlock(self.clone())))
    }
}

struct Unlock(SimDisk);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.state().locked = false;
    }
}

struct SimFile {
    disk: SimDisk,
    at: usize,
    path: PathBuf,
}

impl File for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut state = self.disk.state();
        state.powered("write", &self.path)?;
        let end = offset + bytes.len() as u64;
        let grows = end.saturating_sub(state.files[self.at].takes());
        state.take_room(grows, &self.path)?;
        state.files[self.at].write(offset as usize, bytes);
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let state = self.disk.state();
        state.powered("read", &self.path)?;
        let live = &state.files[self.at].live;
        let from = (offset as usize).min(live.len());
        let count = buffer.len().min(live.len() - from);
        buffer[..count].copy_from_slice(&live[from..from + count]);
        Ok(count)
    }

    fn len(&self) -> Result<u64, DiskError> {
        let state = self.disk.state();
        state.powered("look at", &self.path)?;
        Ok(state.files[self.at].live.len() as u64)
    }

    fn truncate(&self, len: u64) -> Result<(), DiskError> {
        let mut state = self.disk.state();
        state.powered("cut", &self.path)?;
        let content = &mut state.files[self.at];
        let before = content.takes();
        content.reserved = 0;
        content.live.resize(len as usize, 0);
        content.dirty.insert(len as usize / SECTOR);
        let freed = before.saturating_sub(len);
        state.give_room(freed);
        Ok(())
    }

    fn allocate(&self, len: u64) -> Result<(), DiskError> {
        let mut state = self.disk.state();
        state.powered("keep room for", &self.path)?;
        let grows = len.saturating_sub(state.files[self.at].takes());
        state.take_room(grows, &self.path)?;
        let content = &mut state.files[self.at];
        content.reserved = content.reserved.max(len);
        Ok(())
    }

    fn sync(&self) -> Result<(), DiskError> {
        let mut state = self.disk.state();
        let drop_pages = state.syncs.is_multiple_of(2);
        let result = state.sync(&self.path);
        let is_off = state.off;
        let content = &mut state.files[self.at];
        match result {
            Ok(()) => content.sync(),
            Err(_) if is_off => {}
            Err(_) => content.lose(drop_pages),
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(disk: &SimDisk, path: &str, synced: &[u8], unsynced: &[u8]) -> Box<dyn File> {
        let file = disk.create(Path::new(path)).unwrap();
        file.write_at(0, synced).unwrap();
        file.sync().unwrap();
        file.write_at(0, unsynced).unwrap();
        file
    }

    #[test]
    fn a_power_cut_keeps_what_was_synced_and_anything_of_the_rest() {
        let disk = SimDisk::new();
        let _file = file_of(&disk, "a", &[1; 2048], &[2; 2048]);
        disk.sync_dir(Path::new("")).unwrap();
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let image = disk.crash(seed).read(Path::new("a")).unwrap();
            let sectors: Vec<u8> = image.chunks(SECTOR).map(|sector| sector[0]).collect();
            assert!(image.chunks(SECTOR).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
            seen.insert(sectors);
        }
        assert_eq!(seen.len(), 16, "every mixture of four sectors");
        assert_eq!(disk.kill().read(Path::new("a")).unwrap(), [2; 2048]);
        assert_eq!(disk.crash(3).read(Path::new("a")).unwrap(), disk.crash(3).read(Path::new("a")).unwrap());
    }

    #[test]
    fn names_are_durable_after_their_folder() {
        let disk = SimDisk::new();
        let _a = file_of(&disk, "a", b"x", b"x");
        let found = |path: &str| (0..50).filter(|seed| disk.crash(*seed).exists(Path::new(path))).count();
        assert!((1..50).contains(&found("a")));
        disk.sync_dir(Path::new("")).unwrap();
        assert_eq!(found("a"), 50);
        disk.rename(Path::new("a"), Path::new("b")).unwrap();
        assert!((1..50).contains(&found("a")) && (1..50).contains(&found("b")));
        disk.sync_dir(Path::new("")).unwrap();
        assert_eq!((found("a"), found("b")), (0, 50));
    }

    #[test]
    fn a_failed_sync_loses_what_a_later_one_does_not_bring_back() {
        for first in [0, 1] {
            let disk = SimDisk::new();
            (0..first).for_each(|_| disk.sync_dir(Path::new("")).unwrap());
            let file = disk.create(Path::new("a")).unwrap();
            disk.sync_dir(Path::new("")).unwrap();
            disk.sync_fails_at(disk.syncs());
            file.write_at(0, &[7; 600]).unwrap();
            assert!(file.sync().unwrap_err().is_lost());
            file.write_at(1024, &[8; 10]).unwrap();
            file.sync().unwrap();
            let image = disk.crash(1).read(Path::new("a")).unwrap();
            assert_eq!((image[0], image[1024]), (0, 8));
        }
    }

    #[test]
    fn room_is_counted_and_kept() {
        let disk = SimDisk::new();
        let kept = disk.create(Path::new("kept")).unwrap();
        disk.set_room(Some(1000));
        kept.allocate(100).unwrap();
        let other = disk.create(Path::new("other")).unwrap();
        assert!(other.write_at(0, &[0; 901]).unwrap_err().is_full());
        other.write_at(0, &[0; 900]).unwrap();
        kept.write_at(0, &[0; 100]).unwrap();
        assert!(kept.write_at(100, &[0; 1]).unwrap_err().is_full());
        disk.remove(Path::new("other")).unwrap();
        kept.write_at(100, &[0; 900]).unwrap();
    }

    #[test]
    fn without_power_nothing_works() {
        let disk = SimDisk::new();
        disk.power_fails_at(1);
        let file = file_of(&disk, "a", b"x", b"y");
        assert!(file.sync().is_err());
        assert!(file.write_at(0, b"z").is_err() && disk.list(Path::new("")).is_err());
        assert!(disk.lock("lock").is_ok());
    }
}
