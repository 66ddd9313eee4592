//! Input `tcp`: takes messages over TCP, from those who connect or from servers that it connects to:
//! lines, counted messages (RFC 6587), JSON.
//!
//! There are no acknowledgments: who sends knows only that the system took its bytes. What was read
//! and is not in the queue yet, or delivered, is lost when the program is killed, so it is handed on
//! as it comes. While the pipeline takes nothing, nobody reads, and who sends waits.

mod serve;

use super::decode::NO_JSON;
use super::multiline::MultilineConfig;
use super::{ConfigError, Input, InputContext, InputError, Next};
use crate::net::listen::{Listen, Listening, Reach, ServerTls};
use crate::net::sockets::Held;
use crate::net::tls::TlsConfig;
use crate::stop::Stop;
use crate::units::{Bytes, Time};
use event::{Batch, New, Path, Span};
use serde::{Deserialize, Serialize};
use serve::{Load, Server};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Options of the input `tcp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses to listen on, as `HOST:PORT`.
    pub listen: Vec<String>,
    /// TLS, when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
    /// Or servers to connect to, all of them at once, as `HOST:PORT`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// TLS towards them, when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts_tls: Option<TlsConfig>,
    /// The pause before a server is connected to again.
    pub reconnect_pause: Time,
    /// Whether connections begin with a header of the PROXY protocol, version 1 or 2.
    pub proxy_protocol: bool,
    /// So many connections at once; who comes then is closed.
    pub connections_max: usize,
    /// A connection on which nothing comes for so long is closed; none: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Time>,
    /// How messages are told apart.
    pub framing: Framing,
    /// What ends a message that is not counted.
    pub delimiter: String,
    /// Bytes of a message that are kept; the rest is cut off.
    pub line_bytes_max: Bytes,
    /// How messages are joined to one event; none: each is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiline: Option<MultilineConfig>,
    /// What a message is.
    pub codec: Codec,
    /// How many bytes of what was received wait to be taken by the pipeline, before nobody reads.
    pub intake_bytes: Bytes,
}

/// How messages are told apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// By what ends them.
    #[default]
    Delimiter,
    /// By a count of bytes in front of each.
    OctetCounting,
    /// Each for itself: by a count when it begins with one and `<`, else by what ends it.
    Auto,
}

/// What a message is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// The message.
    #[default]
    Raw,
    /// A JSON object: the event.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            tls: None,
            hosts: Vec::new(),
            hosts_tls: None,
            reconnect_pause: Time(Duration::from_secs(1)),
            proxy_protocol: false,
            connections_max: 1_000,
            idle_timeout: None,
            framing: Framing::Delimiter,
            delimiter: "\n".to_owned(),
            line_bytes_max: Bytes(1 << 20),
            multiline: None,
            codec: Codec::Raw,
            intake_bytes: Bytes(32 << 20),
        }
    }
}

/// Messages are read whole; more would not fit into a batch.
const LINE_BYTES_LIMIT: u64 = 1 << 30;

impl Config {
    fn listener(&self) -> Listen {
        Listen {
            listen: self.listen.clone(),
            tls: self.tls.clone(),
            proxy_protocol: self.proxy_protocol,
            connections_max: self.connections_max,
            intake_bytes: usize::try_from(self.intake_bytes.0).unwrap_or(usize::MAX),
        }
    }

    fn reach(&self) -> Reach {
        Reach {
            hosts: self.hosts.clone(),
            tls: self.hosts_tls.clone(),
            pause: self.reconnect_pause.0,
            intake_bytes: usize::try_from(self.intake_bytes.0).unwrap_or(usize::MAX),
        }
    }

    /// Checks the options without looking at files.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |option, message: &str| Err(ConfigError { option, message: message.to_owned() });
        let checked = match (self.hosts.is_empty(), self.listen.is_empty()) {
            (false, false) => return wrong("hosts", "give either \"hosts\" or \"listen\""),
            (false, true) if self.tls.is_some() => return wrong("tls", "with \"hosts\" it is \"hosts_tls\""),
            (false, true) if self.proxy_protocol => {
                return wrong("proxy_protocol", "only those who connect send such a header");
            }
            (false, true) => self.reach().check(),
            (true, _) if self.hosts_tls.is_some() => {
                return wrong("hosts_tls", "with \"listen\" it is \"tls\"");
            }
            (true, _) => self.listener().check(),
        };
        checked.map_err(|(option, message)| ConfigError { option, message })?;
        if self.idle_timeout.is_some_and(|time| time.0 < Duration::from_secs(1)) {
            return wrong("idle_timeout", "a second at least");
        }
        if self.delimiter.is_empty() {
            return wrong("delimiter", "a byte at least, such as \"\\n\"");
        }
        if !(1..=LINE_BYTES_LIMIT).contains(&self.line_bytes_max.0) {
            return wrong("line_bytes_max", "between 1 and 1GiB");
        }
        self.multiline.as_ref().map_or(Ok(()), MultilineConfig::check)?;
        Ok(())
    }

    /// The input that these options describe. It listens, or connects, from now on.
    pub fn build(&self, context: InputContext) -> Result<TcpInput, ConfigError> {
        self.check()?;
        // It is not kept: nobody sends again what was lost.
        let origin = context.registry.create(&context.name, String::new(), 0);
        context.registry.remove(origin);
        let server = Arc::new(Server::new(self, origin)?);
        let failed = |(option, message)| ConfigError { option, message };
        let listening = if self.hosts.is_empty() {
            self.listener().start(&context.name, &context.sockets, server)
        } else {
            self.reach().start(&context.name, server)
        };
        let listening = listening.map_err(failed)?;
        let shaper = Shaper {
            codec: self.codec,
            position: 0,
            message: Path::of(["message"]),
            tags: Path::of(["tags"]),
            flags: Path::of(["log", "flags"]),
        };
        Ok(TcpInput { listening, shaper, batch_bytes: context.batch_bytes })
    }
}

/// The input.
pub struct TcpInput {
    listening: Listening<Load>,
    shaper: Shaper,
    batch_bytes: usize,
}

impl TcpInput {
    /// Where it listens, with the ports that were given.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.listening.addresses()
    }
}

impl Input for TcpInput {
    fn next(&mut self, batch: &mut Batch, stop: &Stop) -> Result<Next, InputError> {
        let Some(first) = self.listening.first(stop) else { return Ok(Next::Stopped) };
        batch.reset(crate::run::now());
        self.shaper.take(&first, batch);
        while let Some(load) = self.listening.more(stop, batch, self.batch_bytes) {
            self.shaper.take(&load, batch);
        }
        Ok(Next::Filled)
    }

    fn sockets(&self) -> Vec<Held> {
        self.listening.sockets()
    }
}

/// Makes events of messages.
struct Shaper {
    codec: Codec,
    /// The number of the next event.
    position: u64,
    message: Path,
    tags: Path,
    flags: Path,
}

impl Shaper {
    fn take(&mut self, load: &Load, batch: &mut Batch) {
        let goes_on = batch.runs().last().is_some_and(|run| Arc::ptr_eq(&run.common, &load.common));
        if !goes_on {
            batch.begin_run(load.common.clone(), self.position);
        }
        let base = batch.bytes().len();
        batch.bytes_mut().extend_from_slice(&load.bytes);
        for message in &load.messages {
            let span = Span::new(base + message.from, base + message.to);
            batch.push_line(span, self.position);
            self.position += 1;
            let index = batch.len() - 1;
            if self.codec == Codec::Json {
                self.json(span, index, batch);
            }
            if message.is_cut {
                // Two short fields always fit, except into JSON that has all that an event can have.
                let _ = batch.event_mut(index).set(&self.flags, New::Json("[\"truncated\"]"));
            }
        }
        batch.end_run(self.position, 0);
    }

    /// Makes a line the event that it is.
    fn json(&self, span: Span, index: usize, batch: &mut Batch) {
        let mut event = batch.event_mut(index);
        if event.merge_json(span).is_err() {
            // The line stays as it is.
            let _ = event.set(&self.tags, New::Json(NO_JSON));
            return;
        }
        // The line itself is no field, unless the object has one of its name.
        if event.text(&self.message) == Some(span) {
            event.remove(&self.message);
        }
    }
}

#[cfg(test)]
mod tests;
