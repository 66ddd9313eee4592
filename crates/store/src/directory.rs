//! tantivy's files on our disk, with syncs when we say.
//!
//! tantivy syncs at every commit; here a *soft* commit only makes events searchable. Its
//! `meta.json` is kept in memory, and so are its removals of files. A *hard* commit
//! ([`harden`](StoreDirectory::harden)) syncs the files, then puts `meta.json` in place, then
//! removes what nobody needs. So the disk always holds the last hard commit, whole, whatever
//! crashes in between; what came after is in the queue.

use disk::{Bytes, Disk, DiskError, WeakBytes};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tantivy::HasLen;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, DirectoryLock, FileHandle, Lock, OwnedBytes, TerminatingWrite, WatchCallback,
    WatchCallbackList, WatchHandle, WritePtr,
};

const META: &str = "meta.json";

/// A folder of the disk as tantivy's directory. Clones are the same.
#[derive(Clone)]
pub(crate) struct StoreDirectory(Arc<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    state: Mutex<State>,
    watchers: WatchCallbackList,
}

#[derive(Default)]
struct State {
    /// What tantivy wrote atomically since the last hard commit.
    atomic: BTreeMap<PathBuf, Vec<u8>>,
    unsynced: BTreeSet<PathBuf>,
    removed: BTreeSet<PathBuf>,
    bytes: u64,
    /// How many files are being written.
    writing: usize,
    /// The files that are mapped, and some that were.
    maps: Vec<WeakBytes>,
}

impl fmt::Debug for StoreDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.folder.display())
    }
}

impl StoreDirectory {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: PathBuf) -> Self {
        let watchers = WatchCallbackList::default();
        Self(Arc::new(Inner { disk, folder, state: Mutex::default(), watchers }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.0.folder.join(path)
    }

    /// Makes the commit of now the one that a crash goes back to.
    pub(crate) fn harden(&self) -> Result<(), DiskError> {
        let (unsynced, mut atomic) = {
            let state = self.state();
            (state.unsynced.clone(), state.atomic.clone())
        };
        for path in &unsynced {
            if self.0.disk.exists(&self.at(path)) {
                self.0.disk.open(&self.at(path))?.sync()?;
            }
        }
        self.0.disk.sync_dir(&self.0.folder)?;
        let meta = atomic.remove(Path::new(META));
        for (path, bytes) in &atomic {
            self.0.disk.write_atomic(&self.at(path), bytes)?;
        }
        if let Some(meta) = &meta {
            self.0.disk.write_atomic(&self.at(Path::new(META)), meta)?;
        }
        let removed = {
            let mut state = self.state();
            for path in unsynced {
                state.unsynced.remove(&path);
            }
            state.bytes = 0;
            // What was removed meanwhile may be named by the commit that was just made hard.
            let named = meta.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
            let (kept, gone): (BTreeSet<_>, BTreeSet<_>) =
                std::mem::take(&mut state.removed).into_iter().partition(|path| is_named(path, &named));
            state.removed = kept;
            gone
        };
        for path in removed {
            if self.0.disk.exists(&self.at(&path)) {
                self.0.disk.remove(&self.at(&path))?;
            }
        }
        Ok(())
    }

    /// Bytes written since the last hard commit.
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        self.state().bytes
    }

    /// Whether there are files that nobody needs after the next hard commit.
    pub(crate) fn has_leftovers(&self) -> bool {
        !self.state().removed.is_empty()
    }

    /// Whether files are being written now.
    pub(crate) fn is_writing(&self) -> bool {
        self.state().writing > 0
    }

    /// Lets go of the pages of mapped files, whoever reads them.
    pub(crate) fn let_pages_go(&self) {
        let maps: Vec<Bytes> = self.state().maps.iter().filter_map(WeakBytes::upgrade).collect();
        maps.iter().for_each(Bytes::let_pages_go);
    }

    /// Removes what no hard commit names: left over by a crash.
    pub(crate) fn sweep(&self) -> Result<(), DiskError> {
        let meta = self.0.disk.read(&self.at(Path::new(META)))?;
        let named = String::from_utf8_lossy(&meta).into_owned();
        for entry in self.0.disk.list(&self.0.folder)? {
            let path = Path::new(&entry.name);
            let is_ours = path.file_stem().is_some_and(|stem| stem.len() >= 32);
            if is_ours && !is_named(path, &named) {
                self.0.disk.remove(&self.at(path))?;
            }
        }
        Ok(())
    }
}

/// Whether a meta file speaks of the segment that a file belongs to. Names are
/// `UUID.ending` or `UUID.OPSTAMP.del`; the meta file writes the UUID with hyphens.
fn is_named(path: &Path, meta: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let uuid = name.split('.').next().unwrap_or_default();
    if uuid.len() != 32 {
        return false;
    }
    let hyphened = [&uuid[..8], &uuid[8..12], &uuid[12..16], &uuid[16..20], &uuid[20..]].join("-");
    meta.contains(&hyphened) || meta.contains(uuid)
}

fn io_error(error: DiskError) -> io::Error {
    match error {
        DiskError::Io { source, .. } => source,
        other => io::Error::other(other.to_string()),
    }
}

#[derive(Debug)]
struct Handle(Bytes);

impl HasLen for Handle {
    fn len(&self) -> usize {
        self.0.len()
    }
}

impl FileHandle for Handle {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        Ok(OwnedBytes::new(Shared(self.0.clone())).slice(range))
    }
}

struct Shared(Bytes);

impl std::ops::Deref for Shared {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

// SAFETY is not needed: the bytes never move while a clone of them is held, which is what
// `StableDeref` asks for; the trait is implemented for the shared pointer inside.
#[expect(
    unsafe_code,
    reason = "tantivy asks for memory that does not move; a shared, unchanging file does not"
)]
// SAFETY: `Bytes` is a reference-counted, immutable buffer or mapping.
unsafe impl stable_deref_trait::StableDeref for Shared {}

struct Writer {
    directory: StoreDirectory,
    path: PathBuf,
    file: Box<dyn disk::File>,
    buffer: Vec<u8>,
    at: u64,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.directory.state().writing -= 1;
    }
}

const BUFFER: usize = 256 << 10;
/// After so many bytes of a file the pages that were read for it are let go.
const LET_GO_EVERY: u64 = 32 << 20;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(self.at, &self.buffer).map_err(io_error)?;
        let before = self.at;
        self.at += self.buffer.len() as u64;
        self.directory.state().bytes += self.buffer.len() as u64;
        self.buffer.clear();
        // A merge reads about as much as it writes.
        if before / LET_GO_EVERY != self.at / LET_GO_EVERY {
            self.directory.let_pages_go();
        }
        Ok(())
    }
}

impl TerminatingWrite for Writer {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        self.flush()?;
        self.directory.state().unsynced.insert(self.path.clone());
        Ok(())
    }
}

impl tantivy::Directory for StoreDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        match self.0.disk.map(&self.at(path)) {
            Ok(bytes) => {
                let maps = &mut self.state().maps;
                if maps.len() == maps.capacity() {
                    maps.retain(WeakBytes::is_held);
                }
                maps.push(bytes.downgrade());
                Ok(Arc::new(Handle(bytes)))
            }
            Err(error) if error.is_missing() => Err(OpenReadError::FileDoesNotExist(path.to_owned())),
            Err(error) => Err(OpenReadError::wrap_io_error(io_error(error), path.to_owned())),
        }
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.state().removed.insert(path.to_owned());
        Ok(())
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        let state = self.state();
        let in_memory = state.atomic.contains_key(path);
        let removed = state.removed.contains(path);
        drop(state);
        Ok(in_memory || (!removed && self.0.disk.exists(&self.at(path))))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let file = self.0.disk.create(&self.at(path));
        let file = file.map_err(|error| OpenWriteError::wrap_io_error(io_error(error), path.to_owned()))?;
        let mut state = self.state();
        state.removed.remove(path);
        state.writing += 1;
        drop(state);
        let writer =
            Writer { directory: self.clone(), path: path.to_owned(), file, buffer: Vec::new(), at: 0 };
        Ok(io::BufWriter::new(Box::new(writer)))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        if let Some(bytes) = self.state().atomic.get(path) {
            return Ok(bytes.clone());
        }
        match self.0.disk.read(&self.at(path)) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.is_missing() => Err(OpenReadError::FileDoesNotExist(path.to_owned())),
            Err(error) => Err(OpenReadError::wrap_io_error(io_error(error), path.to_owned())),
        }
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        self.state().atomic.insert(path.to_owned(), data.to_owned());
        if path == Path::new(META) {
            drop(self.0.watchers.broadcast());
        }
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, _: &Lock) -> Result<DirectoryLock, LockError> {
        // The data directory is locked for this process as a whole.
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(self.0.watchers.subscribe(callback))
    }
}
