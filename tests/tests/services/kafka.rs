//! Kafka: its brokers, its own tools, and kcat.

use super::server::{Server, script};
use crate::pond::PATIENCE;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Which Kafka to start.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// `kafka` for the line 3.9, `kafka-4`.
    pub(crate) name: &'static str,
    /// 1 to 3; with 3, topics have three replicas, two of which must be in sync.
    pub(crate) brokers: usize,
    /// Whether the TLS listeners refuse a client without a certificate.
    pub(crate) client_auth: bool,
    /// Milliseconds without a heartbeat after which a broker counts as dead.
    pub(crate) session_ms: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { name: "kafka", brokers: 1, client_auth: false, session_ms: 9_000 }
    }
}

/// A Kafka cluster in KRaft mode.
///
/// The user of the SASL listeners is `app` with the password `app-secret`, for SCRAM-SHA-512,
/// SCRAM-SHA-256 and PLAIN. Topics are made by use, with one partition, or by `create_topic`.
pub(crate) struct Kafka {
    server: Server,
    name: &'static str,
}

impl Kafka {
    /// Starts a cluster of its own for the caller, which may break it.
    pub(crate) fn start(options: Options) -> Result<Self, String> {
        let client_auth = if options.client_auth { "required" } else { "requested" };
        let settings = [
            format!("brokers={}", options.brokers),
            format!("client_auth={client_auth}"),
            format!("session_ms={}", options.session_ms),
        ];
        Ok(Self { server: Server::start(options.name, &settings)?, name: options.name })
    }

    /// `HOST:PORT,…` of the plain-text listeners.
    pub(crate) fn bootstrap(&self) -> &str {
        self.server.told("bootstrap")
    }

    /// `HOST:PORT,…` of the TLS listeners.
    pub(crate) fn tls(&self) -> &str {
        self.server.told("tls")
    }

    /// `HOST:PORT,…` of the SASL listeners without TLS.
    pub(crate) fn sasl(&self) -> &str {
        self.server.told("sasl")
    }

    /// `HOST:PORT,…` of the SASL listeners over TLS.
    pub(crate) fn sasl_tls(&self) -> &str {
        self.server.told("sasl_tls")
    }

    /// `HOST:PORT,…` of JMX over RMI, without a password.
    pub(crate) fn jmx(&self) -> &str {
        self.server.told("jmx")
    }

    /// The CA that a client must trust (PEM).
    pub(crate) fn ca(&self) -> PathBuf {
        self.server.file("cluster-ca/ca.crt")
    }

    /// Certificate and key of a user (PEM): `app` is known to the brokers, `stranger` is not.
    pub(crate) fn user(&self, name: &str) -> (PathBuf, PathBuf) {
        (self.server.file(&format!("{name}/user.crt")), self.server.file(&format!("{name}/user.key")))
    }

    /// Creates a topic, and waits until every broker that runs knows it: until then clients that ask
    /// such a one give up what they were to send. Fails the test when it cannot be.
    pub(crate) fn create_topic(&self, topic: &str, partitions: i32) {
        let first = self.bootstrap().split(',').next().unwrap_or_default();
        let (code, message) = create_topic(first, topic, partitions).expect("an answer of Kafka");
        assert_eq!(code, 0, "the topic {topic} was not created: {message}");
        let until = Instant::now() + PATIENCE;
        for broker in self.bootstrap().split(',') {
            // One that is away learns it when it comes back.
            while partitions_of(broker, topic).is_ok_and(|known| known != partitions) {
                assert!(Instant::now() < until, "{broker} does not know the topic {topic}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        assert_eq!(partitions_of(first, topic).expect("an answer of Kafka"), partitions);
    }

    /// Ends a broker as an operator would; its data stays.
    pub(crate) fn stop_broker(&self, n: usize) {
        self.server.stop(n);
    }

    /// Ends a broker with SIGKILL; its data stays.
    pub(crate) fn kill_broker(&self, n: usize) {
        self.server.kill(n);
    }

    /// Starts a broker that was stopped or killed, and waits until it serves.
    pub(crate) fn start_broker(&self, n: usize) {
        self.server.start_again(n);
    }

    /// Starts all brokers, none of which runs, and waits until they serve: none does alone.
    pub(crate) fn start_all_brokers(&self) {
        let brokers = 0..self.bootstrap().split(',').count();
        brokers.clone().for_each(|n| self.server.launch(n));
        brokers.for_each(|n| self.server.wait(n));
    }

    /// Makes a broker hang until `resume_broker`.
    pub(crate) fn pause_broker(&self, n: usize) {
        self.server.pause(n);
    }

    /// Ends a pause.
    pub(crate) fn resume_broker(&self, n: usize) {
        self.server.resume(n);
    }

    /// What a tool of Kafka (`topics`, `groups`, `configs` or a class name) prints; a second or two.
    pub(crate) fn tool(&self, tool: &str, arguments: &[&str]) -> String {
        let mut command = script();
        command.args(["tool", self.name, tool, "--bootstrap-server", self.bootstrap()]).args(arguments);
        let output = command.stdin(Stdio::null()).output().expect("a script");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{tool} {arguments:?}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }
}

/// Runs kcat, a client on librdkafka, with this on its standard input; it is ended after a minute.
pub(crate) fn kcat(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("timeout")
        .args([&PATIENCE.as_secs().to_string(), "kcat"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kcat");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    let feed = std::thread::spawn(move || {
        // It may end without reading everything; its status and words tell why.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().expect("kcat's end");
    feed.join().expect("the feeding thread");
    output
}

/// One CreateTopics request, version 4 (<https://kafka.apache.org/protocol#The_Messages_CreateTopics>):
/// the last one without tagged fields, understood by 0.11 to 4. Returns the error code and message.
fn create_topic(address: &str, topic: &str, partitions: i32) -> io::Result<(i16, String)> {
    const CREATE_TOPICS: i16 = 19;
    const VERSION: i16 = 4;
    const TIMEOUT_MS: i32 = 30_000;
    let mut body = about_topic(CREATE_TOPICS, VERSION, topic);
    body.extend(partitions.to_be_bytes());
    body.extend((-1i16).to_be_bytes()); // replication factor: the broker's default
    body.extend(0i32.to_be_bytes()); // no assignments
    body.extend(0i32.to_be_bytes()); // no configs
    body.extend(TIMEOUT_MS.to_be_bytes());
    body.push(0); // not only validated

    let answer = exchange(address, &body)?;
    let mut rest = answer.as_slice();
    take::<12>(&mut rest)?; // correlation id, throttle time, number of topics
    take_string(&mut rest)?;
    let code = i16::from_be_bytes(take(&mut rest)?);
    Ok((code, take_string(&mut rest)?))
}

/// How many partitions of a topic a broker knows: one Metadata request, version 4
/// (<https://kafka.apache.org/protocol#The_Messages_Metadata>), which creates nothing.
fn partitions_of(address: &str, topic: &str) -> io::Result<i32> {
    const METADATA: i16 = 3;
    const VERSION: i16 = 4;
    let mut body = about_topic(METADATA, VERSION, topic);
    body.push(0); // not created

    // A broker that hangs is one that is away.
    let answer = exchange_within(address, &body, Duration::from_secs(5))?;
    let mut rest = answer.as_slice();
    take::<8>(&mut rest)?; // correlation id, throttle time
    for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
        take::<4>(&mut rest)?; // number of the broker
        take_string(&mut rest)?;
        take::<4>(&mut rest)?; // port
        take_string(&mut rest)?; // rack
    }
    take_string(&mut rest)?; // cluster
    take::<8>(&mut rest)?; // controller, number of topics
    let code = i16::from_be_bytes(take(&mut rest)?);
    take_string(&mut rest)?;
    take::<1>(&mut rest)?; // whether it is internal
    let partitions = i32::from_be_bytes(take(&mut rest)?);
    Ok(if code == 0 { partitions } else { 0 })
}

/// The beginning of a request whose first part is a list of topics, of which there is one.
fn about_topic(key: i16, version: i16, topic: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(key.to_be_bytes());
    body.extend(version.to_be_bytes());
    body.extend(1i32.to_be_bytes()); // correlation id
    put_string(&mut body, "tests"); // client id
    body.extend(1i32.to_be_bytes()); // topics
    put_string(&mut body, topic);
    body
}

/// Sends one message with its length before it, and reads one.
fn exchange(address: &str, message: &[u8]) -> io::Result<Vec<u8>> {
    exchange_within(address, message, PATIENCE)
}

fn exchange_within(address: &str, message: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience))?;
    let length = i32::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], message].concat())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = Vec::new();
    stream.take(u32::from_be_bytes(length).into()).read_to_end(&mut answer)?;
    Ok(answer)
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend(i16::try_from(text.len()).expect("a short name").to_be_bytes());
    out.extend(text.as_bytes());
}

/// A string, or an empty one in place of null.
fn take_string(rest: &mut &[u8]) -> io::Result<String> {
    let length = usize::try_from(i16::from_be_bytes(take(rest)?)).unwrap_or(0);
    let (text, after) = rest.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
    *rest = after;
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn take<const N: usize>(rest: &mut &[u8]) -> io::Result<[u8; N]> {
    let (taken, after) = rest.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
    *rest = after;
    Ok(*taken)
}
