//! Output `tcp`: sends events as bytes, to a server or to all who connect.
//!
//! There are no acknowledgments in a stream of bytes. An event counts as delivered when the system
//! has taken its last byte, and those of what was sent together with it; what the peer's system or
//! the peer itself does with it is not known. When the peer closes or is lost before that, all that
//! was sent together is sent again on the next connection, its beginning then for the second time.
//! What needs more certainty needs a protocol that has it: the output `lumberjack`, `http` or `kafka`.

mod peers;

use super::encode::{Codec, Encoder};
use super::held::Held;
use super::turns::{Standing, Turns};
use super::{Delivery, Letter, Output, OutputError, Refused};
use crate::net::dial::{Dial, Server};
use crate::net::listen::ServerTls;
use crate::net::tls::TlsConfig;
use crate::units::{Bytes, Time};
use peers::Peers;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Options of the output `tcp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Servers to connect to, as `HOST:PORT`: one is used, the next when it fails.
    pub hosts: Vec<String>,
    /// TLS towards them, when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Or addresses to listen on, as `HOST:PORT`: every event goes to all who are connected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<String>,
    /// TLS towards those who connect, when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen_tls: Option<ServerTls>,
    /// What becomes of events while nobody is connected.
    pub nobody: Nobody,
    /// So many connections at once; who comes then is closed.
    pub connections_max: usize,
    /// Somebody who is connected and takes nothing for so long is closed.
    pub stall_timeout: Time,
    /// How an event is written.
    pub codec: Codec,
    /// How events are told apart.
    pub framing: Framing,
    /// What ends an event that is not counted; it may be empty.
    pub delimiter: String,
    /// Bytes that may wait to be sent.
    pub memory_bytes_max: Bytes,
    /// How long a connection may take.
    pub connect_timeout: Time,
    /// The pause after a failure; none: it grows from 0.25 to 30 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_pause: Option<Time>,
}

/// How events are told apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// By what ends them.
    #[default]
    Delimiter,
    /// By a count of bytes in front of each (RFC 6587).
    OctetCounting,
}

/// What becomes of events while nobody is connected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nobody {
    /// They wait for the first who connects.
    #[default]
    Wait,
    /// They are forgotten.
    Forget,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            tls: None,
            listen: Vec::new(),
            listen_tls: None,
            nobody: Nobody::Wait,
            connections_max: 1_000,
            stall_timeout: Time(Duration::from_secs(30)),
            codec: Codec::Json,
            framing: Framing::Delimiter,
            delimiter: "\n".to_owned(),
            memory_bytes_max: Bytes(8 << 20),
            connect_timeout: Time(Duration::from_secs(5)),
            retry_pause: None,
        }
    }
}

/// So much is sent together, a single larger event excepted.
const LOAD_BYTES_MAX: usize = 256 << 10;

impl Config {
    fn servers(&self) -> Result<Vec<Server>, String> {
        let one =
            |text: &String| Server::parse(text, None).map_err(|error| format!("option \"hosts\": {error}"));
        self.hosts.iter().map(one).collect()
    }

    /// Checks the options without looking at files; an error names the option.
    pub fn check(&self) -> Result<(), String> {
        let wrong = |option: &str, what: &str| Err(format!("option {option:?}: {what}"));
        match (self.hosts.is_empty(), self.listen.is_empty()) {
            (true, true) => {
                return Err(
                    "\"hosts\" is missing: where to connect to; or \"listen\": where others connect to"
                        .to_owned(),
                );
            }
            (false, false) => return wrong("listen", "give either \"hosts\" or \"listen\""),
            (true, false) if self.tls.is_some() => {
                return wrong("tls", "with \"listen\" it is \"listen_tls\"");
            }
            (false, true) if self.listen_tls.is_some() => {
                return wrong("listen_tls", "with \"hosts\" it is \"tls\"");
            }
            _ => {}
        }
        self.servers()?;
        for address in &self.listen {
            crate::net::listen::host_and_port(address).map_err(|why| format!("option \"listen\": {why}"))?;
        }
        self.listen_tls
            .as_ref()
            .map_or(Ok(()), ServerTls::check)
            .map_err(|why| format!("option \"listen_tls\": {why}"))?;
        self.codec.build().map_err(|error| format!("option \"codec\": {error}"))?;
        if self.connections_max == 0 {
            return wrong("connections_max", "expected more than 0");
        }
        for (option, time) in
            [("stall_timeout", self.stall_timeout), ("connect_timeout", self.connect_timeout)]
        {
            if time.0.is_zero() {
                return wrong(option, "expected more than 0");
            }
        }
        Ok(())
    }

    /// The output that these options describe. It listens from now on, if that is what it does.
    pub fn build(&self) -> Result<Tcp, String> {
        self.check()?;
        let way = if self.listen.is_empty() {
            let dial = Dial::new(self.servers()?, self.tls.as_ref(), self.connect_timeout.0)?;
            Way::Out(match self.retry_pause {
                Some(pause) => dial.with_pause(pause.0),
                None => dial,
            })
        } else {
            Way::In(Peers::new(self)?)
        };
        Ok(Tcp {
            way,
            encoder: self.codec.build()?,
            config: self.clone(),
            held: Held::new(self.memory_bytes_max),
            sending: 0,
            standing: Standing::default(),
        })
    }
}

/// How bytes get to others.
enum Way {
    /// To one who listens.
    Out(Dial),
    /// To those who connect.
    In(Peers),
}

/// What became of the load that was given last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    /// It is on its way.
    Sending,
    /// The system has all of it.
    Sent,
    /// There is somebody to give a load to.
    None,
    /// There is nobody, or not yet.
    Nobody,
}

impl Way {
    /// Does what can be done without waiting. An error says that what was given is to be given again.
    fn turn(&mut self, now: Instant) -> Result<(), String> {
        match self {
            Way::Out(dial) => {
                let turned = dial.turn(now);
                if let Some(socket) = dial.socket() {
                    // Nobody asked for what the peer says.
                    socket.incoming().clear();
                }
                turned
            }
            Way::In(peers) => peers.turn(now),
        }
    }

    fn load(&mut self, is_given: bool) -> Load {
        match self {
            Way::Out(dial) => match dial.socket() {
                None => Load::Nobody,
                Some(_) if !is_given => Load::None,
                Some(socket) if socket.unwritten() > 0 => Load::Sending,
                Some(_) => {
                    dial.works();
                    Load::Sent
                }
            },
            Way::In(peers) => peers.load(is_given),
        }
    }

    fn give(&mut self, bytes: &[u8], now: Instant) {
        match self {
            Way::Out(dial) => {
                if let Some(socket) = dial.socket() {
                    socket.outgoing().extend_from_slice(bytes);
                }
            }
            Way::In(peers) => peers.give(bytes, now),
        }
    }

    fn wait(&self, until: Instant) {
        match self {
            Way::Out(dial) => dial.wait(until),
            Way::In(peers) => peers.wait(until),
        }
    }
}

/// The output.
pub struct Tcp {
    way: Way,
    encoder: Encoder,
    config: Config,
    /// In order; the first `sending` were given to the way.
    held: Held,
    sending: usize,
    standing: Standing,
}

impl Output for Tcp {
    fn write(&mut self, delivery: &Delivery<'_>, _refused: &mut Vec<Refused>) -> Result<(), OutputError> {
        self.make_room()?;
        let (mut value, mut bytes) = (Vec::new(), Vec::new());
        for (sequence, event) in delivery.events() {
            bytes.clear();
            match self.config.framing {
                Framing::Delimiter => {
                    self.encoder.write_value(&event, delivery.batch.now(), &mut bytes);
                    bytes.extend_from_slice(self.config.delimiter.as_bytes());
                }
                Framing::OctetCounting => {
                    value.clear();
                    self.encoder.write_value(&event, delivery.batch.now(), &mut value);
                    bytes.extend_from_slice(format!("{} ", value.len()).as_bytes());
                    bytes.extend_from_slice(&value);
                }
            }
            self.held.push(sequence, &bytes);
        }
        self.turn(Instant::now());
        Ok(())
    }

    fn settled(&mut self, idle: bool, _refused: &mut Vec<Letter>) -> Result<u64, OutputError> {
        self.settle(idle)
    }
}

impl Turns for Tcp {
    fn turn(&mut self, now: Instant) {
        loop {
            if let Err(error) = self.way.turn(now) {
                self.sending = 0;
                self.standing.trouble = Some(format!("{error}; it is tried again"));
                return;
            }
            match self.way.load(self.sending > 0) {
                Load::Nobody => {
                    self.nobody();
                    return;
                }
                Load::Sending => return,
                Load::Sent => {
                    self.held.drop_first(self.sending);
                    (self.sending, self.standing.trouble) = (0, None);
                }
                Load::None if self.held.is_empty() => return,
                Load::None => self.give(now),
            }
        }
    }

    fn wait(&mut self, until: Instant) {
        self.way.wait(until);
    }

    fn oldest(&self) -> Option<u64> {
        self.held.oldest()
    }

    fn has_room(&self) -> bool {
        self.held.has_room()
    }

    fn standing(&mut self) -> &mut Standing {
        &mut self.standing
    }
}

impl Tcp {
    fn nobody(&mut self) {
        self.sending = 0;
        if self.config.listen.is_empty() || self.held.is_empty() {
            return;
        }
        match self.config.nobody {
            Nobody::Wait => self.standing.trouble = Some("nobody is connected; events wait".to_owned()),
            Nobody::Forget => self.held.drop_first(self.held.len()),
        }
    }

    fn give(&mut self, now: Instant) {
        let mut load = Vec::new();
        for body in self.held.bodies(0) {
            if !load.is_empty() && load.len() + body.len() > LOAD_BYTES_MAX {
                break;
            }
            load.extend_from_slice(body);
            self.sending += 1;
        }
        self.way.give(&load, now);
    }
}

#[cfg(test)]
mod tests;
