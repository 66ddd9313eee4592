//! Files that match patterns: `*`, `?`, `[a-z]`, `{a,b}` and `**` as in a shell.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Patterns of files, compiled.
pub(super) struct Patterns {
    patterns: Vec<Pattern>,
    exclude: GlobSet,
}

struct Pattern {
    /// The folder before the first wildcard.
    root: PathBuf,
    /// How many folders below it may match; none: any number.
    depth: Option<usize>,
    matcher: Option<GlobSet>,
    exact: PathBuf,
}

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) files: Vec<PathBuf>,
    /// Folders and files that could not be looked at.
    pub(super) errors: Vec<(PathBuf, io::Error)>,
    /// Folders in which files may appear.
    pub(super) folders: Vec<PathBuf>,
    /// Some of the files are links to files that may be in other folders.
    pub(super) has_links: bool,
}

/// No tree is walked deeper.
const DEPTH_MAX: usize = 32;

fn set(texts: &[&str]) -> Result<GlobSet, String> {
    let mut builder = GlobSetBuilder::new();
    for text in texts {
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        builder.add(glob.map_err(|error| format!("{text:?} is no pattern of files: {error}"))?);
    }
    builder.build().map_err(|error| error.to_string())
}

impl Patterns {
    pub(super) fn build(include: &[String], exclude: &[String]) -> Result<Self, String> {
        let patterns = include.iter().map(|text| Pattern::build(text)).collect::<Result<_, _>>()?;
        let exclude: Vec<&str> = exclude.iter().map(String::as_str).collect();
        Ok(Self { patterns, exclude: set(&exclude)? })
    }

    pub(super) fn find(&self) -> Found {
        let mut found = Found::default();
        for pattern in &self.patterns {
            match &pattern.matcher {
                None => {
                    if let Some(folder) = pattern.exact.parent() {
                        found.folders.push(folder.to_owned());
                    }
                    if !self.exclude.is_match(&pattern.exact)
                        && let Ok(meta) = fs::symlink_metadata(&pattern.exact)
                    {
                        found.has_links |= meta.is_symlink();
                        found.files.push(pattern.exact.clone());
                    }
                }
                Some(matcher) => self.walk(&pattern.root, 0, pattern.depth, matcher, &mut found),
            }
        }
        // As text, which is quicker than part by part.
        found.files.sort_unstable_by(|one, other| one.as_os_str().cmp(other.as_os_str()));
        found.files.dedup();
        found.folders.sort();
        found.folders.dedup();
        found
    }

    fn walk(&self, folder: &Path, depth: usize, limit: Option<usize>, matcher: &GlobSet, found: &mut Found) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                found.errors.push((folder.to_owned(), error));
                return;
            }
        };
        found.folders.push(folder.to_owned());
        for entry in entries.map_while(Result::ok) {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if depth < limit.unwrap_or(DEPTH_MAX) {
                    self.walk(&path, depth + 1, limit, matcher, found);
                }
            } else if matcher.is_match(&path) && !self.exclude.is_match(&path) {
                found.has_links |= kind.is_symlink();
                found.files.push(path);
            }
        }
    }
}

impl Pattern {
    fn build(text: &str) -> Result<Self, String> {
        let absolute = std::path::absolute(text).map_err(|error| format!("{text:?}: {error}"))?;
        let text = absolute.to_string_lossy().into_owned();
        let is_wild = |part: &str| part.contains(['*', '?', '[', '{']);
        if !is_wild(&text) {
            return Ok(Self { root: PathBuf::new(), depth: Some(0), matcher: None, exact: absolute });
        }
        let parts: Vec<&str> = text.split('/').collect();
        let fixed = parts.iter().take_while(|part| !is_wild(part)).count();
        let root = PathBuf::from(format!("{}/", parts[..fixed].join("/")));
        let wild = &parts[fixed..];
        let depth = (!wild.iter().any(|part| part.contains("**"))).then(|| wild.len() - 1);
        Ok(Self { root, depth, matcher: Some(set(&[&text])?), exact: PathBuf::new() })
    }
}
