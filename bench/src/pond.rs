//! A running pond, asked over its API.

use crate::measure;
use crate::service::ask;
use serde_json::Value;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A pond that follows a file.
pub(crate) struct Pond {
    child: Child,
    address: String,
    data: PathBuf,
}

fn binary() -> PathBuf {
    std::env::current_exe().expect("the program's own path").with_file_name("logpond")
}

impl Pond {
    /// Starts `up` with its data below the folder, and waits until it answers.
    pub(crate) fn start(folder: &Path, log: &Path) -> io::Result<Self> {
        let data = folder.join("data");
        let mut child = Command::new(binary())
            .args(["up", "--no-journal", "--listen", "127.0.0.1:0", "--log-level", "error", "--data-dir"])
            .arg(&data)
            .arg(log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let address = said.by_ref().map_while(Result::ok).find_map(|line| {
            let at = line.find("http://")?;
            Some(line[at + 7..].split(|c: char| c.is_whitespace() || c == '/').next()?.to_owned())
        });
        let address = address.ok_or_else(|| io::Error::other("logpond did not come up"))?;
        std::thread::spawn(move || {
            for line in said.map_while(Result::ok).filter(|line| line.contains("ERROR")) {
                eprintln!("{line}");
            }
        });
        Ok(Self { child, address, data })
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn request(&self, path: &str, body: &str) -> Option<Value> {
        ask(&self.address, "POST", path, body)
    }

    /// The greatest resident memory so far, in KiB.
    pub(crate) fn peak_rss(&self) -> Option<u64> {
        measure::peak_rss(Path::new(&format!("/proc/{}/status", self.child.id())))
    }

    /// Bytes of the store on disk, without its queue.
    pub(crate) fn stored_bytes(&self) -> u64 {
        bytes_below(&self.data.join("store"))
    }

    pub(crate) fn count(&self) -> Option<u64> {
        self.request("/_count", "")?["count"].as_u64()
    }
}

impl Drop for Pond {
    fn drop(&mut self) {
        self.kill();
    }
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let about = entry.metadata().ok()?;
            Some(if about.is_dir() { bytes_below(&entry.path()) } else { about.len() })
        })
        .sum()
}
