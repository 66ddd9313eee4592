//! A real broker for the rows that write to Kafka or read of it, started by the scripts of the
//! tests (`tests/services/`). What it costs is not part of what is measured.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The broker; it ends with this handle or with the process.
pub(crate) struct Broker {
    bootstrap: String,
    supervisor: Child,
}

impl Broker {
    pub(crate) fn start() -> io::Result<Self> {
        eprintln!("starting a broker …");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/services/services");
        let mut supervisor = Command::new(script)
            .args(["run", "kafka", "heap=256m"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(supervisor.stdout.take().expect("a pipe")).lines();
        let mut bootstrap = None;
        for line in said.by_ref() {
            let line = line?;
            if line == "ready" {
                break;
            }
            bootstrap = line.strip_prefix("bootstrap=").map(str::to_owned).or(bootstrap);
        }
        // Somebody must read what is said later.
        std::thread::spawn(move || said.for_each(drop));
        let bootstrap = bootstrap.ok_or_else(|| io::Error::other("the broker did not start"))?;
        Ok(Self { bootstrap, supervisor })
    }

    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// A name that was not used before; topics are made by use, with one partition.
    pub(crate) fn new_topic() -> String {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        format!("bench-{}", TAKEN.fetch_add(1, Ordering::Relaxed))
    }

    /// Writes the lines of a file to a new topic, and returns its name.
    pub(crate) fn load(&self, lines: &Path) -> io::Result<String> {
        let topic = Self::new_topic();
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
            Command::new("kcat").args(["-b", &self.bootstrap, "-L", "-t", topic, "-m", "30"]).output()?;
        // It is made when it is asked for, but the answer to the first question is that it is not there.
        asked.status.success().then_some(()).ok_or_else(|| io::Error::other("the broker does not answer"))
    }

    /// kcat that writes the lines of a file to a topic as fast as it can, with all acknowledged.
    pub(crate) fn kcat_command(&self, topic: &str, lines: &Path) -> Command {
        let mut command = Command::new("kcat");
        command.args(["-b", &self.bootstrap, "-P", "-t", topic, "-X", "acks=all", "-X", "linger.ms=5", "-l"]);
        command.arg(lines).stdin(Stdio::null());
        command
    }

    /// How many records the topic has.
    pub(crate) fn records(&self, topic: &str) -> io::Result<u64> {
        let end = format!("{topic}:0:-1");
        let output = Command::new("kcat").args(["-b", &self.bootstrap, "-Q", "-t", &end]).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let number = said.trim().rsplit(' ').next().and_then(|number| number.parse().ok());
        number.ok_or_else(|| io::Error::other(format!("kcat says {said:?}")))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}
