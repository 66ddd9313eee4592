//! Output `udp`: sends each event as a datagram.
//!
//! An event counts as delivered when the system has taken its datagram. Nobody says whether it
//! arrived, and nobody can be asked to wait: what a network or a receiver cannot take is lost without
//! a word. A datagram that is too large for the way goes to the dead letters.

use super::encode::{Codec, Encoder};
use super::{Delivery, Output, OutputError, Refused, WRITE_WAIT_MAX};
use crate::net::dial::Server;
use crate::units::{Bytes, Time};
use expr::Template;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

/// Options of the output `udp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The receiver: a name or an address, also of many (broadcast, multicast).
    pub host: String,
    /// Its port, a template.
    pub port: String,
    /// How an event is written.
    pub codec: Codec,
    /// What ends each datagram; mostly nothing.
    pub delimiter: String,
    /// Bytes of a datagram at most: a larger event goes to the dead letters.
    pub datagram_bytes_max: Bytes,
    /// How often it is asked again which address the name has.
    pub resolve_interval: Time,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: String::new(),
            codec: Codec::Json,
            delimiter: String::new(),
            datagram_bytes_max: Bytes(DATAGRAM_BYTES_LIMIT as u64),
            resolve_interval: Time(Duration::from_secs(60)),
        }
    }
}

/// 65535 without the headers of IPv4 and UDP (RFC 768, RFC 791).
const DATAGRAM_BYTES_LIMIT: usize = 65_507;
/// How often it is looked whether a name has an address.
const RESOLVE_LOOK: Duration = Duration::from_millis(5);

impl Config {
    /// Checks the options; an error names the option.
    pub fn check(&self) -> Result<(), String> {
        if self.host.is_empty() {
            return Err("\"host\" is missing: the receiver".to_owned());
        }
        self.server()?;
        if self.port.is_empty() {
            return Err("\"port\" is missing: that of the receiver, such as 514".to_owned());
        }
        let port = Template::parse(&self.port).map_err(|error| format!("option \"port\": {error}"))?;
        if !self.port.contains("%{") && port_of(self.port.as_bytes()).is_none() {
            return Err(format!("option \"port\": {:?} is no port; there are 1 to 65535", port.to_string()));
        }
        if !(1..=DATAGRAM_BYTES_LIMIT as u64).contains(&self.datagram_bytes_max.0) {
            return Err("option \"datagram_bytes_max\": expected between 1 and 65507".to_owned());
        }
        if self.resolve_interval.0.is_zero() {
            return Err("option \"resolve_interval\": expected more than 0".to_owned());
        }
        self.codec.build().map_err(|error| format!("option \"codec\": {error}"))?;
        Ok(())
    }

    /// The host, with a port that is never used.
    fn server(&self) -> Result<Server, String> {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        Server::parse(&host, Some(1))
            .map_err(|_| format!("option \"host\": {:?} is neither a name nor an address", self.host))
    }

    /// The output that these options describe.
    pub fn build(&self) -> Result<Udp, String> {
        self.check()?;
        Ok(Udp {
            port: Template::parse(&self.port).map_err(|error| format!("option \"port\": {error}"))?,
            encoder: self.codec.build()?,
            name: Name {
                server: self.server()?,
                interval: self.resolve_interval.0,
                known: None,
                asked: None,
            },
            config: self.clone(),
            socket: None,
            taken: 0,
            refused: Vec::new(),
        })
    }
}

fn port_of(text: &[u8]) -> Option<u16> {
    std::str::from_utf8(text).ok()?.parse().ok().filter(|port| *port > 0)
}

/// The output.
pub struct Udp {
    port: Template,
    encoder: Encoder,
    config: Config,
    name: Name,
    /// For the receiver's family of addresses.
    socket: Option<(UdpSocket, bool)>,
    /// The sequence below which all was sent or refused; a batch that is given again begins there.
    taken: u64,
    /// What was refused of a batch that is not done.
    refused: Vec<Refused>,
}

/// What address a name has. A thread of its own asks, which ends when that is done.
struct Name {
    server: Server,
    interval: Duration,
    known: Option<(SocketAddr, Instant)>,
    asked: Option<Receiver<io::Result<Vec<SocketAddr>>>>,
}

impl Name {
    /// The address, waited for until then. One that is old is used until there is a newer one.
    fn address(&mut self, until: Instant) -> Result<SocketAddr, OutputError> {
        let cannot = |error: &dyn std::fmt::Display| {
            OutputError::Server(format!("the name in \"host\" has no address: {error}"))
        };
        loop {
            let now = Instant::now();
            let is_old = self.known.is_none_or(|(_, when)| now >= when + self.interval);
            if is_old && self.asked.is_none() {
                let (sender, receiver) = channel();
                let server = self.server.clone();
                std::thread::Builder::new()
                    .name("udp:resolve".to_owned())
                    .spawn(move || drop(sender.send(server.addresses())))
                    .map_err(|error| cannot(&error))?;
                self.asked = Some(receiver);
            }
            match self.asked.as_ref().map(Receiver::try_recv) {
                Some(Ok(Ok(addresses))) => {
                    self.asked = None;
                    self.known = addresses.first().map(|address| (*address, now));
                }
                Some(Ok(Err(error))) => {
                    self.asked = None;
                    match &mut self.known {
                        // Names come back.
                        Some((_, when)) => *when = now,
                        None => return Err(cannot(&error)),
                    }
                }
                Some(Err(TryRecvError::Disconnected)) => self.asked = None,
                Some(Err(TryRecvError::Empty)) | None => {}
            }
            match self.known {
                Some((address, _)) => return Ok(address),
                None if now >= until => return Err(OutputError::Full),
                None => std::thread::sleep(RESOLVE_LOOK),
            }
        }
    }
}

impl Output for Udp {
    fn write(&mut self, delivery: &Delivery<'_>, refused: &mut Vec<Refused>) -> Result<(), OutputError> {
        let until = Instant::now() + WRITE_WAIT_MAX;
        let mut to = self.name.address(until)?;
        let (mut port, mut bytes) = (Vec::new(), Vec::new());
        for (sequence, event) in delivery.events() {
            if sequence < self.taken {
                continue;
            }
            port.clear();
            bytes.clear();
            let rendered = self.port.render(&event, delivery.batch.now(), &mut port);
            self.encoder.write_value(&event, delivery.batch.now(), &mut bytes);
            bytes.extend_from_slice(self.config.delimiter.as_bytes());
            let reason = match (rendered, port_of(&port)) {
                (Err(missing), _) => Some(missing.to_string()),
                (_, None) => Some(format!("{:?} is no port", String::from_utf8_lossy(&port))),
                (_, Some(port)) => {
                    to.set_port(port);
                    self.send(&bytes, to, until)?
                }
            };
            self.refused.extend(reason.map(|reason| Refused { sequence, reason }));
            self.taken = sequence + 1;
        }
        refused.append(&mut self.refused);
        Ok(())
    }
}

impl Udp {
    /// Sends a datagram; gives back why it can never be sent.
    fn send(&mut self, bytes: &[u8], to: SocketAddr, until: Instant) -> Result<Option<String>, OutputError> {
        let limit = self.config.datagram_bytes_max.0;
        if bytes.len() as u64 > limit {
            let words =
                format!("the datagram has {} bytes, and \"datagram_bytes_max\" is {limit}", bytes.len());
            return Ok(Some(words));
        }
        let failed = |error: io::Error| OutputError::Server(format!("{to}: {error}"));
        let socket = match &self.socket {
            Some((socket, is_ipv4)) if *is_ipv4 == to.is_ipv4() => socket,
            _ => &self.socket.insert((open(to).map_err(failed)?, to.is_ipv4())).0,
        };
        loop {
            match socket.send_to(bytes, to) {
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Datagrams that were sent before were refused; that says nothing of this one.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => {
                    return Ok(Some(format!("{} bytes are too many for a datagram to {to}", bytes.len())));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(OutputError::Full);
                    }
                    let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
                    // Interrupted or not, sending says whether there is room.
                    let _ = poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&timeout));
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

fn open(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr =
        if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.set_broadcast(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::testing::batch;

    fn config(options: &str) -> Config {
        serde_json::from_str(options).unwrap()
    }

    #[test]
    fn each_event_is_a_datagram() {
        let receivers = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let ports = receivers.each_ref().map(|receiver| receiver.local_addr().unwrap().port());
        let long = "x".repeat(200);
        let events = [
            format!(r#"{{"port":{},"message":"a"}}"#, ports[0]),
            format!(r#"{{"port":{},"message":"b"}}"#, ports[1]),
            r#"{"port":"none","message":"c"}"#.to_owned(),
            r#"{"message":"d"}"#.to_owned(),
            format!(r#"{{"port":{},"message":"{long}"}}"#, ports[0]),
            format!(r#"{{"port":{},"message":"e"}}"#, ports[0]),
        ];
        let batch = batch(events.each_ref().map(String::as_str));
        let options = r#"{"host":"localhost","port":"%{port}","codec":"raw","delimiter":"\n","datagram_bytes_max":100}"#;
        let mut config = config(options);
        config.host = "127.0.0.1".to_owned();
        let mut output = config.build().unwrap();
        let delivery = Delivery { batch: &batch, bit: 1, sequence: 10 };
        let mut refused = Vec::new();
        while let Err(error) = output.write(&delivery, &mut refused) {
            assert!(matches!(error, OutputError::Full), "{error}");
        }
        let reasons: Vec<(u64, &str)> =
            refused.iter().map(|refused| (refused.sequence, refused.reason.as_str())).collect();
        assert_eq!(reasons[0], (12, "\"none\" is no port"));
        assert_eq!(reasons[1].0, 13);
        assert_eq!(reasons[2], (14, "the datagram has 201 bytes, and \"datagram_bytes_max\" is 100"));
        // The same batch again sends nothing twice.
        output.write(&delivery, &mut Vec::new()).unwrap();
        let take = |receiver: &UdpSocket| {
            receiver.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let mut all = Vec::new();
            let mut bytes = [0; 100];
            while let Ok(count) = receiver.recv(&mut bytes) {
                all.push(String::from_utf8(bytes[..count].to_vec()).unwrap());
            }
            all
        };
        assert_eq!(take(&receivers[0]), ["a\n", "e\n"]);
        assert_eq!(take(&receivers[1]), ["b\n"]);
    }

    #[test]
    fn options_that_cannot_be() {
        #[track_caller]
        fn check(options: &str, expected: &str) {
            let error = config(options).check().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        check("{}", "\"host\" is missing");
        check(r#"{"host":"a b","port":"1"}"#, "\"host\"");
        check(r#"{"host":"a"}"#, "\"port\" is missing");
        check(r#"{"host":"a","port":"0"}"#, "\"port\"");
        check(r#"{"host":"a","port":"%{x"}"#, "\"port\"");
        check(r#"{"host":"a","port":"1","datagram_bytes_max":70000}"#, "\"datagram_bytes_max\"");
        check(r#"{"host":"a","port":"1","resolve_interval":"0s"}"#, "\"resolve_interval\"");
        assert!(config(r#"{"host":"::1","port":"1"}"#).check().is_ok());
    }
}
