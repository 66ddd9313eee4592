//! A directory of the machine.

use crate::bytes::Memory;
use crate::{Bytes, DirEntry, Disk, DiskError, File, Lock};
use memmap2::{Mmap, UncheckedAdvice};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A directory of the machine: folders 0700, files 0600.
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// Opens a directory, making it if it is not there.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, DiskError> {
        let disk = Self { root: root.into() };
        disk.create_dir_all(Path::new(""))?;
        if let Some(above) = disk.root.parent() {
            // Above the root the folder may be somebody else's, whom we must not fail for.
            let _ = sync_folder(if above.as_os_str().is_empty() { Path::new(".") } else { above });
        }
        Ok(disk)
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn at(&self, path: &Path) -> PathBuf {
        if path.as_os_str().is_empty() { self.root.clone() } else { self.root.join(path) }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

struct Mapped(Mmap);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Memory for Mapped {
    fn let_pages_go(&self) {
        #[expect(unsafe_code, reason = "only so pages go that nobody changes")]
        // SAFETY: the mapping is one for reading of a file that is never changed, so what comes back
        // is what was there.
        let done = unsafe { self.0.unchecked_advise(UncheckedAdvice::DontNeed) };
        // It only costs memory if they stay.
        let _ = done;
    }
}

impl Disk for RealDisk {
    fn create_dir_all(&self, path: &Path) -> Result<(), DiskError> {
        let full = self.at(path);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&full)
            .map_err(|error| DiskError::io("make the folder", &full, error))?;
        // Also when they are there: whoever made them may have been killed before it synced.
        for folder in full.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root)) {
            sync_folder(folder)?;
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> Result<Vec<DirEntry>, DiskError> {
        let full = self.at(path);
        let wrong = |error| DiskError::io("list", &full, error);
        let entries = match fs::read_dir(&full) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(wrong(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(wrong)?;
            let meta = entry.metadata().map_err(wrong)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let len = if meta.is_dir() { 0 } else { meta.len() };
            found.push(DirEntry { name, len, is_dir: meta.is_dir() });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn create(&self, path: &Path) -> Result<Box<dyn File>, DiskError> {
        let full = self.at(path);
        let file = options().create(true).truncate(true).open(&full);
        let file = file.map_err(|error| DiskError::io("create", &full, error))?;
        Ok(Box::new(RealFile { file, path: full }))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>, DiskError> {
        let full = self.at(path);
        let file = options().open(&full).map_err(|error| DiskError::io("open", &full, error))?;
        Ok(Box::new(RealFile { file, path: full }))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        let full = self.at(path);
        fs::read(&full).map_err(|error| DiskError::io("read", &full, error))
    }

    fn map(&self, path: &Path) -> Result<Bytes, DiskError> {
        let full = self.at(path);
        let wrong = |error| DiskError::io("map", &full, error);
        let file = fs::File::open(&full).map_err(wrong)?;
        if file.metadata().map_err(wrong)?.len() == 0 {
            return Ok(Bytes::new(Vec::new()));
        }
        #[expect(unsafe_code, reason = "the files that are mapped are written once and never cut")]
        // SAFETY: our own files in a directory that is locked for this process; whoever maps
        // one never writes to it again, and removing its name leaves the pages in place.
        let map = unsafe { Mmap::map(&file) }.map_err(wrong)?;
        Ok(Bytes::new(Mapped(map)))
    }

    fn exists(&self, path: &Path) -> bool {
        self.at(path).exists()
    }

    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        let full = self.at(path);
        let mut name = full.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let fresh = full.with_file_name(name);
        let wrong = |error| DiskError::io("write", &full, error);
        let written = (|| {
            let mut file = options().create(true).truncate(true).open(&fresh)?;
            file.write_all(bytes)?;
            file.sync_data()
        })();
        if let Err(error) = written {
            let _ = fs::remove_file(&fresh);
            return Err(wrong(error));
        }
        fs::rename(&fresh, &full).map_err(wrong)?;
        sync_folder(full.parent().unwrap_or(&self.root))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let from = self.at(from);
        fs::rename(&from, self.at(to)).map_err(|error| DiskError::io("rename", &from, error))
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let full = self.at(path);
        fs::remove_file(&full).map_err(|error| DiskError::io("remove", &full, error))
    }

    fn remove_dir_all(&self, path: &Path) -> Result<(), DiskError> {
        let full = self.at(path);
        match fs::remove_dir_all(&full) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(DiskError::io("remove the folder", &full, error))
            }
            _ => Ok(()),
        }
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        sync_folder(&self.at(path))
    }

    fn free_bytes(&self) -> Result<u64, DiskError> {
        let stat = rustix::fs::statvfs(&self.root);
        let stat = stat.map_err(|error| DiskError::io("look at the room of", &self.root, error))?;
        Ok(stat.f_bavail * stat.f_frsize)
    }

    fn lock(&self, name: &str) -> Result<Lock, DiskError> {
        let path = self.root.join(name);
        let wrong = |error: io::Error| DiskError::io("lock", &path, error);
        let mut file = options().create(true).truncate(false).open(&path).map_err(wrong)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder =
                    if holder.trim().is_empty() { "unknown".to_owned() } else { holder.trim().to_owned() };
                return Err(DiskError::Locked { path: self.root.clone(), holder });
            }
            Err(error) => return Err(wrong(error.into())),
        }
        // The number only helps a person; a full disk must not keep the pond from starting.
        let _ = file.set_len(0).and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
        Ok(Lock::holding(file))
    }
}

fn sync_folder(path: &Path) -> Result<(), DiskError> {
    fs::File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| DiskError::io("sync", path, error))
}

struct RealFile {
    file: fs::File,
    path: PathBuf,
}

impl File for RealFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write_all_at(bytes, offset).map_err(|error| DiskError::io("write", &self.path, error))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let mut read = 0;
        while read < buffer.len() {
            match self.file.read_at(&mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DiskError::io("read", &self.path, error)),
            }
        }
        Ok(read)
    }

    fn len(&self) -> Result<u64, DiskError> {
        self.file
            .metadata()
            .map(|meta| meta.len())
            .map_err(|error| DiskError::io("look at", &self.path, error))
    }

    fn truncate(&self, len: u64) -> Result<(), DiskError> {
        self.file.set_len(len).map_err(|error| DiskError::io("cut", &self.path, error))
    }

    fn allocate(&self, len: u64) -> Result<(), DiskError> {
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, len) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(DiskError::io("keep room for", &self.path, error)),
        }
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.file.sync_data().map_err(|error| DiskError::io("sync", &self.path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_of_the_machine() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join("a/b");
        let disk = RealDisk::open(&root).unwrap();
        let path = Path::new("x/y/file");
        disk.create_dir_all(path.parent().unwrap()).unwrap();
        let file = disk.create(path).unwrap();
        file.allocate(1 << 16).unwrap();
        assert_eq!(file.len().unwrap(), 0);
        file.write_at(2, b"cd").unwrap();
        file.write_at(0, b"ab").unwrap();
        file.sync().unwrap();
        disk.sync_dir(path.parent().unwrap()).unwrap();
        assert_eq!(
            (disk.read(path).unwrap(), &disk.map(path).unwrap()[..]),
            (b"abcd".to_vec(), &b"abcd"[..])
        );
        assert_eq!(disk.len(path).unwrap(), 4);
        let mut some = [0; 9];
        assert_eq!(file.read_at(1, &mut some).unwrap(), 3);
        let mode = |path: &Path| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(path), mode(Path::new("x/y")), mode(Path::new(""))), (0o600, 0o700, 0o700));

        disk.write_atomic(Path::new("x/state"), b"one").unwrap();
        disk.write_atomic(Path::new("x/state"), b"two").unwrap();
        assert_eq!(disk.read(Path::new("x/state")).unwrap(), b"two");
        let names: Vec<String> =
            disk.list(Path::new("x")).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["state", "y"]);
        disk.remove(path).unwrap();
        assert!(disk.read(path).unwrap_err().is_missing());
        assert!(disk.list(Path::new("nowhere")).unwrap().is_empty());
        assert!(disk.free_bytes().unwrap() > 0);
        disk.remove_dir_all(Path::new("x")).unwrap();
        assert!(!disk.exists(Path::new("x")));
    }

    #[test]
    fn the_second_process_is_told_who_is_first() {
        let temporary = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(temporary.path()).unwrap();
        let held = disk.lock("lock").unwrap();
        let refused = disk.lock("lock").err().unwrap().to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(held);
        disk.lock("lock").unwrap();
    }
}
