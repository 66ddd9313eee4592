//! Which file is which: device and inode, the head, and the bytes before a known offset.
//!
//! An inode is used again as soon as a file is gone, and a head says nothing about two files
//! that begin with the same banner: only together they tell a file. The hash of the head grows
//! with the file up to [`HEAD`] bytes; the mark, a hash of the bytes before a position, travels
//! with the position itself, so that it is never older than what it vouches for.

use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use xxhash_rust::xxh3::xxh3_64;

/// How much of a file's beginning tells it from others.
pub(super) const HEAD: usize = 1024;
/// How many bytes before an offset are compared: more than one line of an access log, which
/// may end with the same long name of a browser again and again.
pub(super) const MARK: usize = 256;

/// What the registry keeps of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Identity {
    pub(super) path: String,
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) head_len: usize,
    pub(super) head: u64,
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
    up_to(file, offset, MARK)
}

/// The bytes before an offset, at most `len`.
pub(super) fn up_to(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let from = offset.saturating_sub(len as u64);
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

/// The mark of the bytes before a position; never 0, which is none.
pub(super) fn mark(before: &[u8]) -> u64 {
    xxh3_64(before).max(1)
}

/// Evidence below this many bytes tells nothing: many a file begins with an empty line.
const TELLING_BYTES: u64 = 16;

/// What a file must hold to be the one that was read up to an offset.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    pub(super) identity: Identity,
    pub(super) offset: u64,
    /// Of the bytes before the offset; 0: not known.
    pub(super) mark: u64,
}

impl Evidence {
    /// Whether the file has what was read: the head, and the bytes before the offset.
    pub(super) fn holds(&self, file: &File) -> io::Result<bool> {
        let Identity { head_len, head: hash, .. } = self.identity;
        if head_len > 0 && head(file, head_len)? != (Head { len: head_len, hash }) {
            return Ok(false);
        }
        if self.mark == 0 {
            return Ok(true);
        }
        let bytes = before(file, self.offset)?;
        Ok(bytes.len() == MARK.min(self.offset as usize) && mark(&bytes) == self.mark)
    }

    /// Whether it could tell the file from any other.
    pub(super) fn is_telling(&self) -> bool {
        self.offset >= TELLING_BYTES && (self.mark != 0 || self.identity.head_len == HEAD)
    }

    /// Whether it tells the file from any other even where device and inode say nothing: its
    /// beginning and the bytes before the offset, or all that was read where that is less.
    pub(super) fn is_certain(&self) -> bool {
        let is_whole = self.identity.head_len >= HEAD.min(self.offset as usize);
        self.offset >= TELLING_BYTES && self.mark != 0 && is_whole
    }
}

/// Whether the first `len` bytes of a file are those of another, looked at in three places.
pub(super) fn is_beginning_of(copy: &File, len: u64, original: &File) -> io::Result<bool> {
    if len < TELLING_BYTES {
        return Ok(false);
    }
    let known = head(copy, HEAD.min(len as usize))?;
    if head(original, known.len)? != known {
        return Ok(false);
    }
    for at in [len / 2, len] {
        let bytes = before(copy, at)?;
        if bytes.is_empty() || before(original, at)? != bytes {
            return Ok(false);
        }
    }
    Ok(true)
}
