//! The files that rotation makes of a file: their names begin with its name.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

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

/// Whether one file's name begins with the other's, in the same folder: `app.log`, `app.log.1`.
pub(super) fn is_sibling(path: &Path, other: &Path) -> bool {
    let (path, other) = (path.as_os_str().as_bytes(), other.as_os_str().as_bytes());
    other.strip_prefix(path).is_some_and(|rest| !path.is_empty() && !rest.is_empty() && !rest.contains(&b'/'))
}

fn starts_with(name: &OsStr, beginning: &OsStr) -> bool {
    name.as_bytes().starts_with(beginning.as_bytes())
}

fn is_packed(name: &OsStr) -> bool {
    let ending = Path::new(name).extension();
    ending.is_some_and(|ending| ["gz", "bz2", "xz", "zst", "lz4"].iter().any(|packed| ending == *packed))
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
        for name in ["app.log", "app.log.1", "app.log-2026", "app.log.2.gz", "app.lo", "bapp.log.1"] {
            fs::write(path(name), "").unwrap();
        }
        fs::create_dir(path("app.log.d")).unwrap();
        let found = Folders::default().siblings(&path("app.log"));
        let found: Vec<PathBuf> = found.into_iter().map(|(path, _)| path).collect();
        assert_eq!(found, [path("app.log-2026"), path("app.log.1")]);
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
