//! The small bench of these tests: a pond in a directory of its own.

use crate::http;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take before a test fails: the machine may have other work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The binary, which cargo builds beside the tests.
pub(crate) fn binary() -> PathBuf {
    let mut folder = std::env::current_exe().expect("the test's own path");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let binary = folder.join("logpond");
    assert!(binary.exists(), "{} is missing: cargo build -p cli, or ./dev test", binary.display());
    binary
}

/// A certificate of `localhost` that trusts itself, and its key, in a folder.
pub(crate) fn certificate(folder: &Path) -> [String; 2] {
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.join(name).display().to_string());
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=logs"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE"])
        .args(["-out", &cert, "-keyout", &key])
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    [cert, key]
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A pond and the files it reads, in a directory that goes with it.
pub(crate) struct Pond {
    pub(crate) folder: TempDir,
    child: Option<Child>,
    address: String,
    said: Arc<Mutex<String>>,
}

impl Pond {
    /// A directory without a running pond.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("pond").tempdir().expect("a directory");
        Self { folder, child: None, address: String::new(), said: Arc::default() }
    }

    /// A file in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Appends to a file.
    pub(crate) fn append(&self, name: &str, text: &str) {
        let mut file =
            std::fs::OpenOptions::new().append(true).create(true).open(self.path(name)).expect("a file");
        file.write_all(text.as_bytes()).expect("room");
    }

    /// The command with its data directory and a free port.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Starts `up` on these files and waits until it answers.
    pub(crate) fn up(&mut self, files: &[&str]) {
        let data = self.data();
        let mut arguments = vec![
            "up",
            "--no-journal",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            data.to_str().expect("UTF-8"),
        ];
        arguments.extend(files);
        let command = self.command(&arguments);
        self.start(command);
        self.wait_address();
    }

    /// Starts a command and collects what it says.
    pub(crate) fn start(&mut self, mut command: Command) {
        self.said.lock().expect("a lock").clear();
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("a pipe")), Box::new(child.stderr.take().expect("a pipe"))];
        for output in outputs {
            let said = self.said.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let mut said = said.lock().expect("a lock");
                    said.push_str(&line);
                    said.push('\n');
                }
            });
        }
        self.child = Some(child);
    }

    /// Waits until it said where its API listens.
    pub(crate) fn wait_address(&mut self) {
        let said = self.wait_for("the address", |pond| {
            let said = pond.said();
            let at = said.find("http://")?;
            Some(said[at + 7..].split(|c: char| c.is_whitespace() || c == '/').next()?.to_owned())
        });
        self.address = said;
    }

    /// `HOST:PORT` of the API.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The number of the running process.
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().expect("a running program").id()
    }

    /// Everything that the program printed so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("a lock").clone()
    }

    /// Looks again and again until there is something; fails when the patience ends.
    pub(crate) fn wait_for<T>(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait().expect("a child")
            {
                std::thread::sleep(Duration::from_millis(50));
                panic!("waiting for {what}: the program ended with {status} and said:\n{}", self.said());
            }
            assert!(Instant::now() < until, "no {what} in time; the program said:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the API answers to a request.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.request("GET", path, "")
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Option<Value> {
        let answer = http::request(&self.address, method, path, "application/json", body, PATIENCE).ok()?;
        Some(
            serde_json::from_slice(&answer.body)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&answer.body).into_owned())),
        )
    }

    /// How many events the store holds.
    pub(crate) fn count(&self) -> Option<u64> {
        self.get("/_count")?["count"].as_u64()
    }

    /// Waits until the store holds this many events, and fails when it ever holds more.
    pub(crate) fn wait_count(&mut self, wanted: u64) {
        self.wait_for(&format!("count of {wanted}"), |pond| {
            let count = pond.count()?;
            assert!(count <= wanted, "the store holds {count} events, more than the {wanted} written");
            (count == wanted).then_some(())
        });
    }

    /// The ledger; its sum must hold for every output.
    pub(crate) fn check_ledger(&mut self, read: u64) {
        let ledger = self.wait_for("a ledger whose sum holds with nothing in flight", |pond| {
            let ledger = pond.get("/_logpond/ledger")?;
            let outputs = ledger["pipelines"][0]["outputs"].as_array()?.clone();
            let settled = outputs.iter().all(|output| output["balanced"] == true && output["in_flight"] == 0);
            settled.then_some(ledger)
        });
        assert_eq!(ledger["pipelines"][0]["read"], read, "{ledger:#}");
    }

    /// Waits until the program ends by itself, and fails when it ends badly.
    pub(crate) fn wait_end(&mut self) {
        let mut child = self.child.take().expect("a running program");
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            if Instant::now() > until {
                let _ = child.kill();
                let _ = child.wait();
                panic!("it did not end; it said:\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "it ended with {status} and said:\n{}", self.said());
    }

    /// The dead letters of a stopped pond, as `dead-letters show` prints them.
    pub(crate) fn dead_letters(&self) -> Vec<String> {
        let output = Command::new(binary())
            .args(["dead-letters", "show", "--data-dir"])
            .arg(self.data())
            .output()
            .expect("the binary starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// Sends SIGKILL and waits for the end.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running program");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("our own child");
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("a child") {
                return status;
            }
            if Instant::now() > until {
                let _ = child.kill();
                let _ = child.wait();
                panic!("it did not stop; it said:\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Pond {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Numbered lines, as an access log has them.
pub(crate) fn access_lines(numbers: std::ops::Range<u64>) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for n in numbers {
        let status = if n % 10 == 0 { 500 } else { 200 };
        let _ = writeln!(
            text,
            "10.0.{}.{} - - [21/Nov/2026:02:{:02}:{:02} +0000] \"GET /item/{n} HTTP/1.1\" {status} {} \"-\" \"curl/8.{}\"",
            n % 256,
            n % 251,
            n / 60 % 60,
            n % 60,
            n * 7 % 100_000,
            n % 9
        );
    }
    text
}
