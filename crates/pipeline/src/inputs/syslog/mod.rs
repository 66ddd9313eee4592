//! Input `syslog`: messages of syslog over UDP (RFC 5426) and TCP (RFC 6587, with TLS RFC 5425), on the
//! same addresses, taken apart as the filter `syslog` does.
//!
//! Neither tells who sends whether a message arrived. Over TCP what is not taken waits at the sender;
//! over UDP it is lost, and counted. What was read when the program is killed is lost either way.

mod frames;

use super::decode::set;
use super::peers::{PeerFields, Peers};
use super::udp::{CUT, LOOK};
use super::{ConfigError, Input, InputContext, InputError, Next};
use crate::net::datagrams::{Bind, DATAGRAM_BYTES_MAX, Datagrams};
use crate::net::listen::{Connection, Intake, Listen, Listening, Serve, ServerTls, Taken};
use crate::net::sockets::Held;
use crate::stop::Stop;
use crate::units::Bytes;
use crate::wake::Wake;
use event::{Batch, New, Path, Span};
use filters::syslog::{Config as Parsing, Syslog};
use frames::Frames;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;

/// Options of the input `syslog`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses as `HOST:PORT` or `[ADDRESS]:PORT`.
    pub listen: Vec<String>,
    /// By which protocols.
    pub protocols: Vec<Protocol>,
    /// TLS of the connections (TCP), when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
    /// Whether connections begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// So many connections at once.
    pub connections_max: usize,
    /// What is behind so many bytes of a message is cut off, and the event tagged `_truncated`.
    pub message_bytes_max: Bytes,
    /// Whether messages are taken apart; otherwise they are the field `message` as they came.
    pub parse: bool,
    /// The zone of times that name none.
    pub timezone: String,
    /// Whether the names of facility and severity are set beside their numbers.
    pub use_labels: bool,
    /// So many datagrams may wait for the pipeline.
    pub waiting_max: usize,
    /// And so many bytes of them, and as many of what came by connections.
    pub waiting_bytes: Bytes,
    /// The size of the system's buffer of each UDP socket; none: as the system has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_buffer: Option<Bytes>,
    /// The field that gets the address of who sent it; empty: none does.
    pub ip_field: String,
    /// The field that gets its port; empty: none does.
    pub port_field: String,
}

/// A protocol below syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Each datagram is a message.
    Udp,
    /// Messages are counted, or end with a line feed.
    Tcp,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            protocols: vec![Protocol::Udp, Protocol::Tcp],
            tls: None,
            proxy_protocol: false,
            connections_max: 1_000,
            message_bytes_max: Bytes(DATAGRAM_BYTES_MAX as u64),
            parse: true,
            timezone: "UTC".to_owned(),
            use_labels: true,
            waiting_max: 100_000,
            waiting_bytes: Bytes(16 << 20),
            receive_buffer: None,
            ip_field: "source.ip".to_owned(),
            port_field: "source.port".to_owned(),
        }
    }
}

/// The tag of an event whose text is no message of syslog.
const NO_SYSLOG: &str = "[\"_syslogparsefailure\"]";
const BOTH: &str = "[\"_syslogparsefailure\",\"_truncated\"]";
/// A message that is larger is held by no memory.
const MESSAGE_BYTES_MAX: u64 = 16 << 20;
/// How much is read from a connection at once.
const READ_BYTES: usize = 16 << 10;
/// How often it is looked whether connections closed, when the program is to end.
const END_LOOK: Duration = Duration::from_millis(20);

/// The input.
pub struct SyslogInput {
    datagrams: Option<Datagrams>,
    listening: Option<Listening<Messages>>,
    /// Either has something.
    wake: Arc<Wake>,
    parser: Option<Syslog>,
    peers: Peers,
    tags: Path,
    batch_bytes: usize,
}

impl Config {
    fn has(&self, protocol: Protocol) -> bool {
        self.protocols.contains(&protocol)
    }

    fn bind(&self) -> Bind {
        Bind {
            listen: self.listen.clone(),
            datagram_bytes_max: (self.message_bytes_max.0 as usize).min(DATAGRAM_BYTES_MAX),
            threads: 1,
            waiting_max: self.waiting_max,
            waiting_bytes: self.waiting_bytes.0 as usize,
            receive_buffer: self.receive_buffer.map(|bytes| bytes.0 as usize),
            multicast: Vec::new(),
        }
    }

    fn listen(&self) -> Listen {
        Listen {
            listen: self.listen.clone(),
            tls: self.tls.clone(),
            proxy_protocol: self.proxy_protocol,
            connections_max: self.connections_max,
            intake_bytes: self.waiting_bytes.0 as usize,
        }
    }

    fn parser(&self) -> Result<Syslog, ConfigError> {
        let parsing =
            Parsing { timezone: self.timezone.clone(), use_labels: self.use_labels, ..Parsing::default() };
        parsing.build().map_err(|error| ConfigError { option: "timezone", message: error.message })
    }

    fn peer_fields(&self) -> PeerFields<'_> {
        PeerFields { ip: &self.ip_field, port: &self.port_field }
    }

    /// Checks the options without looking at files.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |(option, message)| ConfigError { option, message };
        if self.protocols.is_empty() {
            return Err(wrong(("protocols", "udp, tcp, or both".to_owned())));
        }
        if self.tls.is_some() && !self.has(Protocol::Tcp) {
            return Err(wrong(("tls", "only connections have TLS: add tcp to \"protocols\"".to_owned())));
        }
        if !(1..=MESSAGE_BYTES_MAX).contains(&self.message_bytes_max.0) {
            return Err(wrong(("message_bytes_max", "between 1 and 16MiB".to_owned())));
        }
        self.bind().check().map_err(wrong)?;
        if self.has(Protocol::Tcp) {
            self.listen().check().map_err(wrong)?;
        }
        self.peer_fields().check()?;
        self.parser().map(|_| ())
    }

    /// The input that these options describe; it listens at once, and reads the files of `tls`.
    pub fn build(&self, context: InputContext) -> Result<SyslogInput, ConfigError> {
        self.check()?;
        let wrong = |(option, message)| ConfigError { option, message };
        let wake = Wake::new().map_err(|error| wrong(("listen", error.to_string())))?;
        let wake = Arc::new(wake);
        let datagrams = if self.has(Protocol::Udp) {
            Some(self.bind().bind(&context.name, &context.sockets, wake.clone()).map_err(wrong)?)
        } else {
            None
        };
        let listening = if self.has(Protocol::Tcp) {
            let mut listen = self.listen();
            if let Some(datagrams) = &datagrams {
                // A free port of one protocol is to be that of the other as well.
                listen.listen = datagrams.addresses().iter().map(ToString::to_string).collect();
            }
            let receiver =
                Receiver { message_bytes_max: self.message_bytes_max.0 as usize, wake: wake.clone() };
            Some(listen.start(&context.name, &context.sockets, Arc::new(receiver)).map_err(wrong)?)
        } else {
            None
        };
        Ok(SyslogInput {
            datagrams,
            listening,
            wake,
            parser: if self.parse { Some(self.parser()?) } else { None },
            peers: Peers::new(&context, self.peer_fields()),
            tags: Path::of(["tags"]),
            batch_bytes: context.batch_bytes,
        })
    }
}

impl Input for SyslogInput {
    fn next(&mut self, batch: &mut Batch, stop: &Stop) -> Result<Next, InputError> {
        if let Some(datagrams) = &mut self.datagrams {
            datagrams.start(stop).map_err(|error| InputError::Other(error.to_string()))?;
        }
        loop {
            let is_last = stop.is_set();
            self.wake.clear();
            batch.reset(crate::run::now());
            self.take_datagrams(batch, is_last);
            let are_closed = self.take_connections(batch, stop, is_last);
            if !batch.is_empty() {
                return Ok(Next::Filled);
            }
            if is_last && are_closed {
                return Ok(Next::Stopped);
            }
            if !is_last {
                stop.wait_with(&[self.wake.as_fd()], LOOK);
            }
        }
    }

    fn sockets(&self) -> Vec<Held> {
        let datagrams = self.datagrams.iter().flat_map(Datagrams::sockets);
        datagrams.chain(self.listening.iter().flat_map(Listening::sockets)).collect()
    }

    fn lost(&self) -> Arc<AtomicU64> {
        self.datagrams.as_ref().map(Datagrams::lost).unwrap_or_default()
    }
}

impl SyslogInput {
    fn take_datagrams(&mut self, batch: &mut Batch, is_last: bool) {
        let Self { datagrams, parser, peers, tags, batch_bytes, .. } = self;
        let Some(datagrams) = datagrams else { return };
        if is_last {
            datagrams.finish();
        }
        // The other half is for connections, so that a flood of datagrams leaves them some.
        datagrams.take(*batch_bytes / 2, |peer, message, is_cut| {
            peers.push(peer, batch, |position, batch| {
                push(parser.as_ref(), message, is_cut, position, tags, batch);
                position + 1
            });
        });
    }

    /// Says whether nothing will ever come by connections.
    fn take_connections(&mut self, batch: &mut Batch, stop: &Stop, is_last: bool) -> bool {
        let Self { listening, parser, peers, tags, batch_bytes, .. } = self;
        let Some(listening) = listening else { return true };
        while batch.bytes().len() < *batch_bytes {
            let wait = if is_last && batch.is_empty() { END_LOOK } else { Duration::ZERO };
            match listening.next(stop, Instant::now() + wait) {
                Taken::Load(Messages { peer, bytes, ends }) => {
                    peers.push(peer, batch, |mut position, batch| {
                        let mut from = 0;
                        for (end, is_cut) in ends {
                            push(parser.as_ref(), &bytes[from..end], is_cut, position, tags, batch);
                            from = end;
                            position += 1;
                        }
                        position
                    });
                }
                Taken::Nothing => return false,
                Taken::Over => return true,
            }
        }
        false
    }
}

/// Adds the event of a message.
fn push(
    parser: Option<&Syslog>,
    message: &[u8],
    is_cut: bool,
    position: u64,
    tags: &Path,
    batch: &mut Batch,
) {
    let from = batch.bytes().len();
    batch.bytes_mut().extend_from_slice(message);
    batch.push_line(Span::new(from, from + message.len()), position);
    let now = batch.now();
    let Some(parser) = parser else {
        if is_cut {
            set(&mut batch.event_mut(batch.len() - 1), tags, New::Json(CUT));
        }
        return;
    };
    let mut event = batch.event_mut(batch.len() - 1);
    match (parser.apply(&mut event, now).ok, is_cut) {
        (true, false) => {}
        (true, true) => set(&mut event, tags, New::Json(CUT)),
        (false, false) => set(&mut event, tags, New::Json(NO_SYSLOG)),
        (false, true) => set(&mut event, tags, New::Json(BOTH)),
    }
}

/// Messages that came by a connection.
struct Messages {
    peer: SocketAddr,
    bytes: Vec<u8>,
    /// Where each ends, and whether it was cut.
    ends: Vec<(usize, bool)>,
}

impl Messages {
    fn of(peer: SocketAddr) -> Self {
        Self { peer, bytes: Vec::new(), ends: Vec::new() }
    }

    fn push(&mut self, message: &[u8], is_cut: bool) {
        self.bytes.extend_from_slice(message);
        self.ends.push((self.bytes.len(), is_cut));
    }
}

/// Reads messages off connections.
struct Receiver {
    message_bytes_max: usize,
    wake: Arc<Wake>,
}

impl Serve for Receiver {
    type Load = Messages;

    async fn serve(self: Arc<Self>, connection: Connection, intake: Intake<Messages>) -> Result<(), String> {
        let Connection { mut stream, peer, mut closing, .. } = connection;
        let mut frames = Frames::default();
        let mut buffer = Vec::new();
        loop {
            buffer.reserve(READ_BYTES);
            let read = tokio::select! {
                read = stream.read_buf(&mut buffer) => read,
                () = closing.wait() => Ok(0),
            };
            let mut messages = Messages::of(peer);
            let used = frames
                .take(&buffer, self.message_bytes_max, |message, is_cut| messages.push(message, is_cut));
            buffer.drain(..used);
            let is_over = !matches!(read, Ok(1..));
            if let Some(last) = frames.last(&buffer).filter(|_| is_over) {
                messages.push(last, false);
            }
            if !messages.ends.is_empty() {
                let bytes = messages.bytes.len();
                if !intake.bring(messages, bytes).await {
                    return Ok(());
                }
                self.wake.wake();
            }
            match read {
                Ok(1..) => {}
                Ok(0) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpStream, UdpSocket};

    fn input(options: serde_json::Value) -> (SyslogInput, SocketAddr) {
        let mut config: Config = serde_json::from_value(options).unwrap();
        config.listen = vec!["127.0.0.1:0".to_owned()];
        let context = InputContext::of_test();
        let input = config.build(context).unwrap();
        let of_connections = input.listening.as_ref().map(|listening| listening.addresses()[0]);
        let address =
            of_connections.or_else(|| input.datagrams.as_ref().map(|datagrams| datagrams.addresses()[0]));
        (input, address.unwrap())
    }

    /// So many events, each as its message, its host and its tags.
    fn taken(input: &mut SyslogInput, wanted: usize) -> Vec<String> {
        let (mut batch, stop, mut found) = (Batch::new(), Stop::new(), Vec::new());
        while found.len() < wanted {
            assert_eq!(input.next(&mut batch, &stop).unwrap(), Next::Filled);
            found.extend(batch.events().map(|event| {
                let text = |path: [&str; 2]| {
                    let mut out = Vec::new();
                    let path = if path[1].is_empty() { Path::of([path[0]]) } else { Path::of(path) };
                    event.get(&path).inspect(|value| value.write_text(&mut out));
                    String::from_utf8(out).unwrap()
                };
                format!("{}|{}|{}", text(["message", ""]), text(["host", "hostname"]), text(["tags", ""]))
            }));
        }
        found
    }

    #[test]
    fn one_port_for_both() {
        let (mut input, address) = input(serde_json::json!({"message_bytes_max": 40}));
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"<13>Nov 21 02:45:04 tcp a: one\n11 <13>b: two\n<13>hel").unwrap();
        let mut found = taken(&mut input, 2);
        assert_eq!(found, ["one|tcp|", "two||"]);
        stream.write_all(b"lo").unwrap();
        drop(stream);
        found = taken(&mut input, 1);
        assert_eq!(found, ["hello||"]);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for text in ["<13>Nov 21 02:45:04 udp a: three\n", "no syslog", &"x".repeat(41)] {
            sender.send_to(text.as_bytes(), address).unwrap();
        }
        let cut = format!("{}||{BOTH}", "x".repeat(40));
        assert_eq!(taken(&mut input, 3), ["three|udp|", "no syslog||[\"_syslogparsefailure\"]", &cut]);
    }

    #[test]
    fn as_it_came() {
        let (mut input, address) = input(serde_json::json!({"parse": false, "protocols": ["udp"]}));
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"<13>a: b", address).unwrap();
        assert_eq!(taken(&mut input, 1), ["<13>a: b||"]);
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn what_was_sent_is_read_before_the_end() {
        let (mut input, address) = input(serde_json::json!({"protocols": ["tcp"]}));
        let (mut batch, stop) = (Batch::new(), Stop::new());
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"<13>a: one\n").unwrap();
        assert_eq!(input.next(&mut batch, &stop).unwrap(), Next::Filled);
        stop.set();
        let start = Instant::now();
        assert_eq!(input.next(&mut batch, &stop).unwrap(), Next::Stopped);
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn mistakes() {
        for (options, option) in [
            (r#"{"listen":[]}"#, "listen"),
            (r#"{"listen":["a:1"],"protocols":[]}"#, "protocols"),
            (r#"{"listen":["a:1"],"protocols":["udp"],"tls":{"cert":"a","key":"b"}}"#, "tls"),
            (r#"{"listen":["a:1"],"timezone":"Mars"}"#, "timezone"),
            (r#"{"listen":["a:1"],"message_bytes_max":0}"#, "message_bytes_max"),
        ] {
            let config: Config = serde_json::from_str(options).unwrap();
            assert_eq!(config.check().unwrap_err().option, option, "{options}");
        }
    }
}
