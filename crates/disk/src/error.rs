//! What the disk answers when it does not do what was asked.

use std::io;
use std::path::{Path, PathBuf};

/// What failed, on which file, and why.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The system refused.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process uses the directory.
    #[error(
        "{path} is used by another logpond (process {holder}); stop it first, or give this one a --data-dir of its own"
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other's process id, as far as it is known.
        holder: String,
    },
}

impl DiskError {
    pub(crate) fn io(operation: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        DiskError::Io { operation, path: path.to_owned(), source: source.into() }
    }

    fn source_kind(&self) -> Option<io::ErrorKind> {
        match self {
            DiskError::Io { source, .. } => Some(source.kind()),
            DiskError::Locked { .. } => None,
        }
    }

    /// Whether there is no room.
    pub fn is_full(&self) -> bool {
        matches!(self.source_kind(), Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// Whether writing is forbidden.
    pub fn is_read_only(&self) -> bool {
        matches!(
            self.source_kind(),
            Some(io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
        )
    }

    /// Whether the device could not give or take the data (EIO): what it held there is lost.
    pub fn is_lost(&self) -> bool {
        matches!(self, DiskError::Io { source, .. } if source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()))
    }

    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        self.source_kind() == Some(io::ErrorKind::NotFound)
    }
}
