//! Files that survive a power cut, and the twin that crashes.
//!
//! Everything that must survive goes through the trait [`Disk`]: only here files are renamed
//! and synced. [`RealDisk`] is a directory; [`SimDisk`] is its twin in memory, which keeps a
//! live and a durable image, so that a power cut is a unit test.

mod bytes;
mod error;
pub mod journal;
mod real;
mod sim;

pub use bytes::{Bytes, WeakBytes};
pub use error::DiskError;
pub use real::RealDisk;
pub use sim::SimDisk;

use std::path::Path;

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name within the folder.
    pub name: String,
    /// Bytes; 0 for folders.
    pub len: u64,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// A directory that things are kept in. Paths are relative to it.
pub trait Disk: Send + Sync + 'static {
    /// Makes a folder and those above it, durably.
    fn create_dir_all(&self, path: &Path) -> Result<(), DiskError>;
    /// The entries of a folder by name; none when it does not exist.
    fn list(&self, path: &Path) -> Result<Vec<DirEntry>, DiskError>;
    /// Makes an empty file, in place of one that is there. Its name is durable only after
    /// [`sync_dir`](Disk::sync_dir).
    fn create(&self, path: &Path) -> Result<Box<dyn File>, DiskError>;
    /// Opens a file that is there.
    fn open(&self, path: &Path) -> Result<Box<dyn File>, DiskError>;
    /// The length of a file.
    fn len(&self, path: &Path) -> Result<u64, DiskError> {
        self.open(path)?.len()
    }
    /// Reads a whole file.
    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError>;
    /// A file that is never changed again, as memory.
    fn map(&self, path: &Path) -> Result<Bytes, DiskError>;
    /// Whether there is such a file or folder.
    fn exists(&self, path: &Path) -> bool;
    /// Puts a whole file in place: after a crash it is the old one or the new one.
    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> Result<(), DiskError>;
    /// Gives a file another name, in place of one that has it; durable after `sync_dir`.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;
    /// Removes a file; durable after `sync_dir`.
    fn remove(&self, path: &Path) -> Result<(), DiskError>;
    /// Removes a folder with all it holds.
    fn remove_dir_all(&self, path: &Path) -> Result<(), DiskError>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> Result<(), DiskError>;
    /// Bytes that can still be written.
    fn free_bytes(&self) -> Result<u64, DiskError>;
    /// Makes this process the only one that uses the directory, while the lock is held.
    fn lock(&self, name: &str) -> Result<Lock, DiskError>;
}

/// An open file.
pub trait File: Send + Sync {
    /// Writes all of `bytes` at this offset.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;
    /// Reads at most `buffer.len()` bytes and returns how many.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError>;
    /// The length.
    fn len(&self) -> Result<u64, DiskError>;
    /// Whether it is empty.
    fn is_empty(&self) -> Result<bool, DiskError> {
        self.len().map(|len| len == 0)
    }
    /// Cuts the file.
    fn truncate(&self, len: u64) -> Result<(), DiskError>;
    /// Returns when the disk has the data (fdatasync). A failure is final: what was written
    /// since the last success may be gone, and trying again proves nothing.
    fn sync(&self) -> Result<(), DiskError>;
    /// Keeps room for the first `len` bytes, so that writing them cannot fail for want of it.
    /// The length stays; [`truncate`](File::truncate) gives the room back. Where the file
    /// system cannot do it, nothing is kept and nothing is said.
    fn allocate(&self, len: u64) -> Result<(), DiskError>;
}

/// Holds the directory for this process until it is dropped.
pub struct Lock(#[expect(dead_code, reason = "held, not used")] Box<dyn Send + Sync>);

impl Lock {
    pub(crate) fn holding(what: impl Send + Sync + 'static) -> Self {
        Self(Box::new(what))
    }
}
