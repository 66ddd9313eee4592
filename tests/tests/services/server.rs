//! A server and the script that looks after it.

use crate::http::{self, Answer};
use crate::pond::PATIENCE;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The script that fetches, serves and ends servers.
pub(super) fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("services/services"))
}

/// A server of one or more nodes. It ends when this is dropped and when the process ends.
pub(crate) struct Server {
    told: BTreeMap<String, String>,
    supervisor: Child,
    line: Mutex<Line>,
}

/// The conversation with the supervisor; `tests/services/serve.sh` says what is said.
struct Line {
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a server of its own for the caller and waits until it answers.
    ///
    /// The first start on a machine fetches what the server is made of. An error is everything that
    /// was said about it.
    pub(crate) fn start(name: &str, settings: &[String]) -> Result<Self, String> {
        let mut supervisor = script()
            .args(["run", name])
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Away from Ctrl+C, which would end it before it has cleaned up.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let requests = supervisor.stdin.take();
        let mut answers = BufReader::new(supervisor.stdout.take().ok_or("no pipe")?);
        let (mut told, mut said) = (BTreeMap::new(), String::new());
        loop {
            let from = said.len();
            if answers.read_line(&mut said).map_err(|error| error.to_string())? == 0 {
                let _ = supervisor.wait();
                return Err(format!("{name} did not start:\n{said}"));
            }
            match said[from..].trim_end() {
                "ready" => break,
                line => told.extend(line.split_once('=').map(|(key, value)| (key.into(), value.into()))),
            }
        }
        Ok(Self { told, supervisor, line: Mutex::new(Line { requests, answers }) })
    }

    /// What the server told about itself, such as `address` or `dir`.
    pub(crate) fn told(&self, key: &str) -> &str {
        self.told.get(key).unwrap_or_else(|| panic!("it told no {key}, but {:?}", self.told))
    }

    /// `HOST:PORT` of its main port.
    pub(crate) fn address(&self) -> &str {
        self.told("address")
    }

    /// A file in the directory of the server.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        Path::new(self.told("dir")).join(name)
    }

    /// Ends a node with SIGTERM and waits for its end. Its data stays.
    pub(crate) fn stop(&self, node: usize) {
        self.ask("stop", node);
    }

    /// Ends a node with SIGKILL. Its data stays.
    pub(crate) fn kill(&self, node: usize) {
        self.ask("kill", node);
    }

    /// Starts a node that was stopped or killed, and waits until it answers.
    pub(crate) fn start_again(&self, node: usize) {
        self.ask("start", node);
    }

    /// Starts a node that was stopped or killed, and does not wait.
    pub(crate) fn launch(&self, node: usize) {
        self.ask("launch", node);
    }

    /// Waits until a node answers.
    pub(crate) fn wait(&self, node: usize) {
        self.ask("await", node);
    }

    /// Makes a node hang: its connections stay, and nothing is answered.
    pub(crate) fn pause(&self, node: usize) {
        self.ask("pause", node);
    }

    /// Ends a pause.
    pub(crate) fn resume(&self, node: usize) {
        self.ask("resume", node);
    }

    fn ask(&self, verb: &str, node: usize) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = line.requests.as_mut().expect("open until the drop");
        writeln!(requests, "{verb} {node}").expect("a supervisor that listens");
        let mut said = String::new();
        while line.answers.read_line(&mut said).expect("a pipe") > 0 {
            if said.ends_with("ok\n") {
                return;
            }
        }
        panic!("{verb} {node}: {said}");
    }

    /// Sends a request by HTTP; fails the test when there is no answer.
    pub(crate) fn request(&self, method: &str, path: &str, content_type: &str, body: &str) -> Answer {
        http::request(self.address(), method, path, content_type, body, PATIENCE)
            .unwrap_or_else(|error| panic!("{method} {path} at {}: {error}", self.address()))
    }

    /// The JSON that a GET yields; fails the test when it is refused.
    pub(crate) fn get(&self, path: &str) -> Value {
        json(path, &self.request("GET", path, "application/json", ""))
    }

    /// The JSON that a PUT of JSON yields; fails the test when it is refused.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Value {
        json(path, &self.request("PUT", path, "application/json", &body.to_string()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let line = self.line.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(line.requests.take());
        let _ = self.supervisor.wait();
    }
}

#[track_caller]
fn json(path: &str, answer: &Answer) -> Value {
    let text = String::from_utf8_lossy(&answer.body);
    assert!((200..300).contains(&answer.status), "{path}: status {}: {text}", answer.status);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}
