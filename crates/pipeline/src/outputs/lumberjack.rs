//! Output `lumberjack`: hands events on to Logstash, to another pond, or to whoever else takes them
//! from Beats, by the Lumberjack protocol.
//!
//! An event counts as delivered when the receiver acknowledged it; one of ours does that when it is
//! delivered there or on disk in the queue. A window may be acknowledged bit by bit. What was not
//! acknowledged when a connection is lost is sent again on the next one, to another host if there is
//! one, so the receiver may get it twice. A receiver that is slow says every few seconds that it
//! lives, and is waited for; one that says nothing for `request_timeout` counts as lost.

use super::encode::{Codec, Encoder};
use super::held::Held;
use super::turns::{Standing, Turns};
use super::{Delivery, Letter, Output, OutputError, Refused};
use crate::net::dial::{Dial, Server};
use crate::net::tls::TlsConfig;
use crate::units::{Bytes, Time};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use wire::lumberjack::{self, Windows};

/// Options of the output `lumberjack`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Servers, as `HOST:PORT`, the port 5044 if there is none: one is used, the next when it fails.
    pub hosts: Vec<String>,
    /// What is spoken.
    pub version: Version,
    /// How an event of version 1 becomes its line: `json`, `raw` or `{text: TEMPLATE}`.
    pub codec: Codec,
    /// Events of one window at most.
    pub window_events: usize,
    /// Windows that may be on their way, none of them acknowledged.
    pub windows_max: usize,
    /// How hard windows are compressed, 1 to 9; 0: not at all.
    pub compression_level: u32,
    /// Bytes of one event at most: a larger one goes to the dead letters.
    pub event_bytes_max: Bytes,
    /// Bytes that may be on their way.
    pub memory_bytes_max: Bytes,
    /// TLS, when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// How long a connection may take.
    pub connect_timeout: Time,
    /// How long a receiver that was sent something may say nothing, before it counts as lost.
    pub request_timeout: Time,
}

/// The version of the protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// An event is one text, as Logstash's output `lumberjack` sends it.
    #[serde(rename = "1")]
    One,
    /// Events are JSON, as Beats send them.
    #[default]
    #[serde(rename = "2")]
    Two,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            version: Version::Two,
            codec: Codec::Json,
            window_events: 2_048,
            windows_max: 2,
            compression_level: 3,
            event_bytes_max: Bytes(10 << 20),
            memory_bytes_max: Bytes(16 << 20),
            tls: None,
            connect_timeout: Time(Duration::from_secs(5)),
            request_timeout: Time(Duration::from_secs(30)),
        }
    }
}

/// The port of Beats, for a host that has none.
const PORT: u16 = 5044;
/// A window has no more bytes than this, a single larger event excepted, so that what a receiver
/// reads as a whole stays far below what it takes.
const WINDOW_BYTES_MAX: usize = 4 << 20;
/// Events of a window at most; as many as a receiver of ours takes at once, and more.
const WINDOW_EVENTS_LIMIT: usize = 100_000;

impl Config {
    fn servers(&self) -> Result<Vec<Server>, String> {
        let one = |text: &String| {
            Server::parse(text, Some(PORT)).map_err(|error| format!("option \"hosts\": {error}"))
        };
        let servers: Vec<Server> = self.hosts.iter().map(one).collect::<Result<_, _>>()?;
        if servers.is_empty() {
            return Err("\"hosts\" is missing: at least one, such as logs-1:5044".to_owned());
        }
        Ok(servers)
    }

    /// Checks the options without looking at files; an error names the option.
    pub fn check(&self) -> Result<(), String> {
        self.servers()?;
        self.codec.build().map_err(|error| format!("option \"codec\": {error}"))?;
        let wrong = |option: &str, expected: &str| Err(format!("option {option:?}: expected {expected}"));
        if self.version == Version::Two && self.codec != Codec::Json {
            return Err("option \"codec\": events of version 2 are JSON; it is for \"version\": 1".to_owned());
        }
        if !(1..=WINDOW_EVENTS_LIMIT).contains(&self.window_events) {
            return wrong("window_events", "between 1 and 100000");
        }
        if !(1..=64).contains(&self.windows_max) {
            return wrong("windows_max", "between 1 and 64");
        }
        if self.compression_level > 9 {
            return wrong("compression_level", "between 0 and 9");
        }
        if !(1..=1 << 30).contains(&self.event_bytes_max.0) {
            return wrong("event_bytes_max", "between 1 and 1GiB");
        }
        if self.request_timeout.0.is_zero() || self.connect_timeout.0.is_zero() {
            return wrong("request_timeout", "more than 0, and so of \"connect_timeout\"");
        }
        Ok(())
    }

    /// The output that these options describe; reads the files of `tls`.
    pub fn build(&self) -> Result<Lumberjack, String> {
        self.check()?;
        Ok(Lumberjack {
            dial: Dial::new(self.servers()?, self.tls.as_ref(), self.connect_timeout.0)?,
            encoder: self.codec.build()?,
            config: self.clone(),
            held: Held::new(self.memory_bytes_max),
            windows: Windows::default(),
            last_heard: Instant::now(),
            standing: Standing::default(),
        })
    }

    fn version(&self) -> lumberjack::Version {
        match self.version {
            Version::One => lumberjack::Version::One,
            Version::Two => lumberjack::Version::Two,
        }
    }
}

/// The output.
pub struct Lumberjack {
    dial: Dial,
    encoder: Encoder,
    config: Config,
    /// In order; the first of them are on their way, as many as `windows` says.
    held: Held,
    windows: Windows,
    /// When the receiver said something, or was sent something when nothing was on its way.
    last_heard: Instant,
    standing: Standing,
}

impl Output for Lumberjack {
    fn write(&mut self, delivery: &Delivery<'_>, refused: &mut Vec<Refused>) -> Result<(), OutputError> {
        self.make_room()?;
        let bytes_max = usize::try_from(self.config.event_bytes_max.0).unwrap_or(usize::MAX);
        let mut body = Vec::new();
        for (sequence, event) in delivery.events() {
            body.clear();
            self.encoder.write_value(&event, delivery.batch.now(), &mut body);
            if body.len() > bytes_max {
                let limit = self.config.event_bytes_max;
                let reason =
                    format!("the event has {} bytes, and \"event_bytes_max\" is {limit}", body.len());
                refused.push(Refused { sequence, reason });
                continue;
            }
            self.held.push(sequence, &body);
        }
        self.turn(Instant::now());
        Ok(())
    }

    fn settled(&mut self, idle: bool, _refused: &mut Vec<Letter>) -> Result<u64, OutputError> {
        self.settle(idle)
    }
}

impl Turns for Lumberjack {
    fn turn(&mut self, now: Instant) {
        if let Err(error) = self.pass(now) {
            let words = self.dial.lose(now, &error);
            // What was on its way is on its way no more.
            self.windows = Windows::default();
            self.standing.trouble = Some(format!("{words}; it is tried again"));
        }
    }

    fn wait(&mut self, until: Instant) {
        self.dial.wait(until);
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

impl Lumberjack {
    fn pass(&mut self, now: Instant) -> Result<(), String> {
        self.dial.turn(now)?;
        self.take(now)?;
        if !self.windows.is_empty()
            && now.saturating_duration_since(self.last_heard) >= self.config.request_timeout.0
        {
            return Err(format!("nothing was heard for {}", self.config.request_timeout));
        }
        if self.send(now)? {
            // What was just put into the connection goes out at once.
            self.dial.turn(now)?;
        }
        Ok(())
    }

    /// Takes acknowledgments.
    fn take(&mut self, now: Instant) -> Result<(), String> {
        let Some(socket) = self.dial.socket() else { return Ok(()) };
        let safe = self.windows.take(socket.incoming()).map_err(|error| error.to_string())?;
        if let Some(safe) = safe {
            self.last_heard = now;
            self.held.drop_first(safe);
            if safe > 0 {
                self.standing.trouble = None;
                self.dial.works();
            }
        }
        Ok(())
    }

    /// Puts windows into the connection; says whether there was anything.
    fn send(&mut self, now: Instant) -> Result<bool, String> {
        let Some(socket) = self.dial.socket() else { return Ok(false) };
        let mut sent = false;
        // A window is made when the one before is with the system: more events may be there then.
        while self.windows.len() < self.config.windows_max && socket.outgoing().is_empty() {
            let from = self.windows.unacknowledged();
            let mut bytes = 0;
            let count = self
                .held
                .bodies(from)
                .take(self.config.window_events)
                .take_while(|body| {
                    let has_room = bytes == 0 || bytes + body.len() <= WINDOW_BYTES_MAX;
                    bytes += body.len();
                    has_room
                })
                .count();
            if count == 0 {
                break;
            }
            let bodies = self.held.bodies(from).take(count);
            let level = self.config.compression_level;
            lumberjack::write_window(self.config.version(), bodies, level, socket.outgoing())
                .map_err(|error| error.to_string())?;
            if self.windows.is_empty() {
                self.last_heard = now;
            }
            self.windows.sent(u32::try_from(count).unwrap_or(u32::MAX));
            sent = true;
            socket.pass().map_err(|error| error.to_string())?;
        }
        Ok(sent)
    }
}

#[cfg(test)]
mod tests;
