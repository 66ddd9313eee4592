//! Output `file`: appends events to files, by templates that stay below their root.
//!
//! What stands before the first field of the template, up to its last `/`, is the root. A
//! rendered path that would leave it is refused: text in a log must not choose where on
//! the machine we write (compare CVE-2025-12972).

use super::encode::{Codec, Encoder};
use super::{Delivery, Letter, Output, OutputError, Refused};
use expr::Template;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Options of the output `file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The file; fields and times may stand in it: `/var/log/all/%{host.name}/%Y-%m-%d.log`.
    pub path: String,
    /// How an event is written: `json`, `pretty`, `raw` or `{text: TEMPLATE}`.
    pub codec: Codec,
    /// Whether events count as delivered only when the disk has them.
    pub fsync: bool,
    /// How many files are open at most.
    pub open_files_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { path: String::new(), codec: Codec::Json, fsync: true, open_files_max: 64 }
    }
}

/// The output.
pub struct FileOutput {
    encoder: Encoder,
    path: Rendered,
    fsync: bool,
    open_files_max: usize,
    open: Vec<Open>,
    written: u64,
    synced: u64,
    last_sync: Instant,
}

enum Rendered {
    Fixed(PathBuf),
    Template { template: Template, root: PathBuf },
}

struct Open {
    path: PathBuf,
    file: File,
    /// Device and inode, to see that somebody rotated the file away.
    identity: (u64, u64),
    buffer: Vec<u8>,
    dirty: bool,
    used: u64,
}

/// How often files are synced while events keep coming.
const SYNC_EVERY: Duration = Duration::from_millis(100);

impl Config {
    /// The output that these options describe.
    pub fn build(&self) -> Result<FileOutput, String> {
        if self.path.is_empty() {
            return Err("\"path\" is missing: the file to write to".to_owned());
        }
        let fixed = !self.path.contains(['%', '{']);
        let path = if fixed {
            Rendered::Fixed(PathBuf::from(&self.path))
        } else {
            let template = Template::parse(&self.path).map_err(|error| error.to_string())?;
            let first = self.path.find(['%', '{']).unwrap_or(0);
            let root =
                match self.path[..first].rfind('/') {
                    Some(0) => return Err(
                        "\"path\" may not choose among the folders of /: put a folder before the first field"
                            .to_owned(),
                    ),
                    Some(end) => PathBuf::from(&self.path[..end]),
                    None => PathBuf::from("."),
                };
            Rendered::Template { template, root }
        };
        Ok(FileOutput {
            encoder: self.codec.build()?,
            path,
            fsync: self.fsync,
            open_files_max: self.open_files_max.max(1),
            open: Vec::new(),
            written: 0,
            synced: 0,
            last_sync: Instant::now(),
        })
    }
}

impl Output for FileOutput {
    fn write(&mut self, delivery: &Delivery<'_>, refused: &mut Vec<Refused>) -> Result<(), OutputError> {
        let now = delivery.batch.now();
        for open in &mut self.open {
            open.buffer.clear();
        }
        let mut path_text = Vec::new();
        for (sequence, event) in delivery.events() {
            let at = match &self.path {
                Rendered::Fixed(path) => {
                    if self.open.is_empty() {
                        let path = path.clone();
                        self.open_file(path)?
                    } else {
                        0
                    }
                }
                Rendered::Template { template, root } => {
                    path_text.clear();
                    let rendered = template
                        .render(&event, now, &mut path_text)
                        .map_err(|missing| missing.to_string())
                        .and_then(|()| confined(&path_text, root));
                    match rendered {
                        Ok(path) => self.open_file(path)?,
                        Err(reason) => {
                            refused.push(Refused { sequence, reason });
                            continue;
                        }
                    }
                }
            };
            self.encoder.write(&event, now, &mut self.open[at].buffer);
        }
        for open in &mut self.open {
            open.flush()?;
        }
        self.written = delivery.sequence + delivery.batch.len() as u64;
        Ok(())
    }

    fn settled(&mut self, idle: bool, _: &mut Vec<Letter>) -> Result<u64, OutputError> {
        if !self.fsync {
            return Ok(u64::MAX);
        }
        if self.synced < self.written && (idle || self.last_sync.elapsed() >= SYNC_EVERY) {
            for open in self.open.iter_mut().filter(|open| open.dirty) {
                open.file.sync_data().map_err(|source| write_error(&open.path, source))?;
                open.dirty = false;
            }
            self.synced = self.written;
            self.last_sync = Instant::now();
            for open in &self.open {
                if open.was_moved() {
                    tracing::debug!(path = %open.path.display(), "the file was moved away, a new one is begun");
                }
            }
            self.open.retain(|open| !open.was_moved());
        }
        Ok(self.synced)
    }
}

impl FileOutput {
    fn open_file(&mut self, path: PathBuf) -> Result<usize, OutputError> {
        if let Some(at) = self.open.iter().position(|open| open.path == path) {
            self.open[at].used = self.written;
            return Ok(at);
        }
        if self.open.len() >= self.open_files_max {
            let oldest = (0..self.open.len()).min_by_key(|at| self.open[*at].used).unwrap_or(0);
            let mut open = self.open.swap_remove(oldest);
            open.flush()?;
            open.file.sync_data().map_err(|source| write_error(&open.path, source))?;
        }
        let file = create(&path).map_err(|source| write_error(&path, source))?;
        let identity = file
            .metadata()
            .map(|meta| (meta.dev(), meta.ino()))
            .map_err(|source| write_error(&path, source))?;
        self.open.push(Open { path, file, identity, buffer: Vec::new(), dirty: false, used: self.written });
        Ok(self.open.len() - 1)
    }
}

impl Open {
    /// Appends the buffer; a write that ends half way is cut off again, so that trying the
    /// batch once more does not leave half a line.
    fn flush(&mut self) -> Result<(), OutputError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let before = self.file.metadata().map(|meta| meta.len());
        if let Err(source) = self.file.write_all(&self.buffer) {
            if let Ok(length) = before {
                let _ = self.file.set_len(length);
            }
            return Err(write_error(&self.path, source));
        }
        self.buffer.clear();
        self.dirty = true;
        Ok(())
    }

    fn was_moved(&self) -> bool {
        match fs::metadata(&self.path) {
            Ok(meta) => (meta.dev(), meta.ino()) != self.identity,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().append(true).create(true).mode(0o640).open(path);
    match (open(), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            open()
        }
        (result, _) => result,
    }
}

fn write_error(path: &Path, source: io::Error) -> OutputError {
    OutputError::Write { path: path.to_owned(), source }
}

/// The path that a template gave, if it is plain text below the root.
fn confined(text: &[u8], root: &Path) -> Result<PathBuf, String> {
    let text = std::str::from_utf8(text).map_err(|_| "the path is not UTF-8".to_owned())?;
    if text.chars().any(char::is_control) {
        return Err("the path holds control characters".to_owned());
    }
    let path = Path::new(text);
    let below = if root == Path::new(".") { Some(path) } else { path.strip_prefix(root).ok() };
    let below = below.ok_or_else(|| format!("the path {text:?} leaves {}", root.display()))?;
    let plain = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !plain || text.ends_with('/') || below.as_os_str().is_empty() {
        return Err(format!("the path {text:?} leaves {}", root.display()));
    }
    // A link below the root could still lead out of it.
    let folder = path.parent().unwrap_or(root);
    if let (Ok(real), Ok(root)) = (fs::canonicalize(folder), fs::canonicalize(root))
        && !real.starts_with(root)
    {
        return Err(format!("the path {text:?} leaves its folder by a link"));
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_their_root() {
        let root = Path::new("/var/x");
        for good in ["/var/x/a.log", "/var/x/a/b..c"] {
            assert_eq!(confined(good.as_bytes(), root).unwrap(), Path::new(good));
        }
        for bad in [
            "/var/x/../y",
            "/var/x/a/../../y",
            "/var/xy/a",
            "/etc/passwd",
            "/var/x/a\nb",
            "/var/x/a/",
            "/var/x",
        ] {
            assert!(confined(bad.as_bytes(), root).is_err(), "{bad}");
        }
        assert!(confined(b"/var/x/\xff", root).is_err());
        assert!(confined(b"a/../../b", Path::new(".")).is_err());
        assert!(confined(b"a/b", Path::new(".")).is_ok());
    }
}
