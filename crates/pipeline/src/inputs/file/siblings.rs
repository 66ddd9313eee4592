//! The files that rotation makes of a file: their names begin with its name.

use super::packed::is_gzip;
use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// Lists folders, each once: with many files in a folder, each asks for its siblings.
#[derive(Default)]
pub(super) struct Folders(HashMap<PathBuf, Vec<OsString>>);

impl Folders {
    /// The files that rotation may have made of a file, compressed ones excepted.
    pub(super) fn siblings(&mut self, path: &Path) -> Vec<(PathBuf, Metadata)> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
        let names = self.0.entry(folder.to_owned()).or_insert_with(|| list(folder));
        let from = names.partition_point(|other| other.as_os_str() < name);
        names[from..]
            .iter()
            .take_while(|other| starts_with(other, name))
            .filter(|other| other.as_os_str() != name && !is_packed(other))
            .filter_map(|other| {
                let path = folder.join(other);
                fs::metadata(&path).ok().filter(Metadata::is_file).map(|meta| (path, meta))
            })
            .collect()
    }
}

/// Finds files, by device and inode, through the path that they had before rotation. With a
/// million files nobody can look at each to find one; of a path only the hash is kept, so a file
/// that is found may have another.
#[derive(Default)]
pub(super) struct Originals(BTreeSet<(u64, (u64, u64))>);

impl Originals {
    pub(super) fn insert(&mut self, path: &str, key: (u64, u64)) {
        self.0.insert((xxh3_64(path.as_bytes()), key));
    }

    pub(super) fn remove(&mut self, path: &str, key: (u64, u64)) {
        self.0.remove(&(xxh3_64(path.as_bytes()), key));
    }

    /// The files of this path, and those of which rotation may have made it.
    pub(super) fn of(&self, path: &Path) -> Vec<(u64, u64)> {
        let bytes = path.as_os_str().as_bytes();
        let name = path.file_name().map_or(0, OsStr::len);
        let ends = bytes.len() - name.min(bytes.len()) + 1..=bytes.len();
        let hashes = ends.map(|end| xxh3_64(&bytes[..end]));
        let all = |hash| self.0.range((hash, (0, 0))..=(hash, (u64::MAX, u64::MAX)));
        hashes.flat_map(all).map(|(_, key)| *key).collect()
    }
}

/// Whether one file's name begins with the other's, in the same folder: `app.log`, `app.log.1`.
pub(super) fn is_sibling(path: &Path, other: &Path) -> bool {
    let (path, other) = (path.as_os_str().as_bytes(), other.as_os_str().as_bytes());
    other.strip_prefix(path).is_some_and(|rest| !path.is_empty() && !rest.is_empty() && !rest.contains(&b'/'))
}

fn starts_with(name: &OsStr, beginning: &OsStr) -> bool {
    name.as_bytes().starts_with(beginning.as_bytes())
}

/// Whether the name says that a file is packed, with whatever.
fn is_packed(name: &OsStr) -> bool {
    let name = Path::new(name);
    let is_other =
        |ending: &OsStr| ["bz2", "xz", "zst", "lz4"].iter().any(|packed| ending == OsStr::new(packed));
    is_gzip(name) || name.extension().is_some_and(is_other)
}

fn list(folder: &Path) -> Vec<OsString> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<OsString> = entries.map_while(Result::ok).map(|entry| entry.file_name()).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rotation_makes_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in
            ["app.log", "app.log.1", "app.log-2026", "app.log.2.gz", "app.log.3.gzip", "app.lo", "bapp.log.1"]
        {
            fs::write(path(name), "").unwrap();
        }
        fs::create_dir(path("app.log.d")).unwrap();
        let found = Folders::default().siblings(&path("app.log"));
        let found: Vec<PathBuf> = found.into_iter().map(|(path, _)| path).collect();
        assert_eq!(found, [path("app.log-2026"), path("app.log.1")]);
        let mut originals = Originals::default();
        for (n, path) in ["/a/app.log", "/a/app.log", "/a/app", "/b/app.log", "/a"].iter().enumerate() {
            originals.insert(path, (1, n as u64));
        }
        originals.remove("/a/app.log", (1, 0));
        for (path, expected) in [
            ("/a/app.log", &[2, 1][..]),
            ("/a/app.log.1", &[2, 1]),
            ("/a/app", &[2]),
            ("/a/ap", &[]),
            ("/b/app.log.1", &[3]),
            ("/a", &[4]),
        ] {
            let found: Vec<u64> = originals.of(Path::new(path)).into_iter().map(|(_, ino)| ino).collect();
            assert_eq!(found, expected, "{path}");
        }
        for (one, other, expected) in [
            ("/a/app.log", "/a/app.log.1", true),
            ("/a/app.log", "/b/app.log.1", false),
            ("/a/app.log.1", "/a/app.log", false),
            ("/a/app.log", "/a/app.log", false),
        ] {
            assert_eq!(is_sibling(Path::new(one), Path::new(other)), expected, "{one} {other}");
        }
    }
}
