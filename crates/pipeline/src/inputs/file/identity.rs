//! Which file is which: device and inode, the head, and the bytes before a known offset.
//!
//! An inode is used again as soon as a file is gone, and a head says nothing about two files
//! that begin with the same banner: only together they tell a file. The hash of the head grows
//! with the file up to [`HEAD`] bytes.

use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use xxhash_rust::xxh3::xxh3_64;

/// How much of a file's beginning tells it from others.
pub(super) const HEAD: usize = 1024;
/// How many bytes before an offset are compared.
pub(super) const MARK: usize = 64;

/// What the registry keeps of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Identity {
    pub(super) path: String,
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) head_len: usize,
    pub(super) head: u64,
    /// An offset and the hash of the bytes before it.
    pub(super) mark: Option<(u64, u64)>,
    /// When the file was written to last, as far as it was seen: seconds since 1970.
    pub(super) seen: u64,
}

/// The beginning of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) len: usize,
    pub(super) hash: u64,
}

pub(super) fn key(meta: &std::fs::Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// The hash of the first `len` bytes, or of fewer where the file is shorter.
pub(super) fn head(file: &File, len: usize) -> io::Result<Head> {
    let mut bytes = [0; HEAD];
    let read = read_at(file, &mut bytes[..len.min(HEAD)], 0)?;
    Ok(Head { len: read, hash: xxh3_64(&bytes[..read]) })
}

/// The bytes before an offset, at most [`MARK`].
pub(super) fn before(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let from = offset.saturating_sub(MARK as u64);
    let mut bytes = vec![0; (offset - from) as usize];
    let read = read_at(file, &mut bytes, from)?;
    bytes.truncate(read);
    Ok(bytes)
}

fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

impl Identity {
    /// Whether the file has the content that is remembered: its head, and the bytes before
    /// the marked offset.
    pub(super) fn holds(&self, file: &File) -> io::Result<bool> {
        if head(file, self.head_len)? != (Head { len: self.head_len, hash: self.head }) {
            return Ok(false);
        }
        match self.mark {
            Some((offset, hash)) => {
                let bytes = before(file, offset)?;
                Ok(bytes.len() == MARK.min(offset as usize) && xxh3_64(&bytes) == hash)
            }
            None => Ok(true),
        }
    }
}
