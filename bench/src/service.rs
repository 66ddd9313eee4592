//! Real servers for the rows that need them, started by the scripts of the tests
//! (`tests/services/`). What they cost is not part of what is measured.

use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A server; it ends with this handle or with the process.
struct Service {
    address: String,
    supervisor: Child,
}

impl Service {
    /// Starts the server of this name, and waits until it says under `key` where it is.
    fn start(name: &str, setting: &str, key: &str) -> io::Result<Self> {
        eprintln!("starting {name} …");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/services/services");
        let mut supervisor = Command::new(script)
            .args(["run", name, setting])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(supervisor.stdout.take().expect("a pipe")).lines();
        let mut address = None;
        for line in said.by_ref() {
            let line = line?;
            if line == "ready" {
                break;
            }
            let value = line.strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
            address = value.map(str::to_owned).or(address);
        }
        // Somebody must read what is said later.
        std::thread::spawn(move || said.for_each(drop));
        let address = address.ok_or_else(|| io::Error::other(format!("{name} did not start")))?;
        Ok(Self { address, supervisor })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

/// A broker of Kafka.
pub(crate) struct Broker(Service);

impl Broker {
    pub(crate) fn start() -> io::Result<Self> {
        Service::start("kafka", "heap=256m", "bootstrap").map(Self)
    }

    pub(crate) fn bootstrap(&self) -> &str {
        &self.0.address
    }

    /// Writes the lines of a file to a new topic, and returns its name.
    pub(crate) fn load(&self, lines: &Path) -> io::Result<String> {
        let topic = new_name();
        self.topic(&topic)?;
        let status = self.kcat_command(&topic, lines).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("kcat ended with {status}")));
        }
        Ok(topic)
    }

    /// Makes a topic, so that nobody who is measured waits for that.
    pub(crate) fn topic(&self, topic: &str) -> io::Result<()> {
        let asked =
            Command::new("kcat").args(["-b", self.bootstrap(), "-L", "-t", topic, "-m", "30"]).output()?;
        // It is made when it is asked for, but the answer to the first question is that it is not there.
        asked.status.success().then_some(()).ok_or_else(|| io::Error::other("the broker does not answer"))
    }

    /// kcat that writes the lines of a file to a topic as fast as it can, with all acknowledged.
    pub(crate) fn kcat_command(&self, topic: &str, lines: &Path) -> Command {
        let mut command = Command::new("kcat");
        command.args([
            "-b",
            self.bootstrap(),
            "-P",
            "-t",
            topic,
            "-X",
            "acks=all",
            "-X",
            "linger.ms=5",
            "-l",
        ]);
        command.arg(lines).stdin(Stdio::null());
        command
    }

    /// How many records the topic has.
    pub(crate) fn records(&self, topic: &str) -> io::Result<u64> {
        let end = format!("{topic}:0:-1");
        let output = Command::new("kcat").args(["-b", self.bootstrap(), "-Q", "-t", &end]).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let number = said.trim().rsplit(' ').next().and_then(|number| number.parse().ok());
        number.ok_or_else(|| io::Error::other(format!("kcat says {said:?}")))
    }
}

/// A node of Elasticsearch.
pub(crate) struct SearchServer(Service);

impl SearchServer {
    pub(crate) fn start() -> io::Result<Self> {
        Service::start("elasticsearch", "heap=1g", "address").map(Self)
    }

    /// As `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.0.address
    }

    /// How many documents were taken into the index so far, whether they can be found or not.
    pub(crate) fn taken(&self, index: &str) -> Option<u64> {
        let answer = ask(self.address(), "GET", &format!("/{index}/_stats/indexing"), "")?;
        answer["_all"]["primaries"]["indexing"]["index_total"].as_u64()
    }

    /// How many documents the index has.
    pub(crate) fn documents(&self, index: &str) -> Option<u64> {
        ask(self.address(), "POST", &format!("/{index}/_refresh"), "")?;
        ask(self.address(), "GET", &format!("/{index}/_count"), "")?["count"].as_u64()
    }
}

/// A name that was not used before, of a topic or an index; these are made by use, with one
/// partition or shard.
pub(crate) fn new_name() -> String {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    format!("bench-{}", TAKEN.fetch_add(1, Ordering::Relaxed))
}

/// Asks a server that answers in JSON.
pub(crate) fn ask(address: &str, method: &str, path: &str, body: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    serde_json::from_slice(&answer[at + 4..]).ok()
}
