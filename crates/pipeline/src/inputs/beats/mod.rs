//! Input `beats`: takes events from Filebeat and the other Beats, Elastic Agent and Logstash's output
//! `lumberjack`, by the Lumberjack protocol.
//!
//! A window is acknowledged when its events are safe: delivered, or on disk in the queue. Whoever
//! sends keeps them until then, so a crash, an outage and a restart lose nothing; what was received
//! and not acknowledged is sent again. While a window is not safe yet, the sender is told every
//! [`KEEP_ALIVE`](serve::KEEP_ALIVE) that it was received, and waits instead of sending it elsewhere.

mod serve;

use super::decode::{NO_JSON, set};
use super::{ConfigError, Input, InputContext, InputError, Next};
use crate::net::listen::{Listen, Listening, ServerTls};
use crate::net::sockets::Held;
use crate::stop::Stop;
use crate::units::{Bytes, Time};
use event::{Batch, Common, Event, New, Path, Span};
use serde::{Deserialize, Serialize};
use serve::{Load, Server};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use wire::lumberjack::{Decoded, Frame, Pairs, decode};

/// Options of the input `beats`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses to listen on, as `HOST:PORT`.
    pub listen: Vec<String>,
    /// TLS, when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
    /// Whether connections begin with a header of the PROXY protocol, version 1 or 2.
    pub proxy_protocol: bool,
    /// So many connections at once; who comes then is closed.
    pub connections_max: usize,
    /// A connection on which nothing comes for so long, and nothing waits to be acknowledged, is
    /// closed.
    pub idle_timeout: Time,
    /// A frame may have so many bytes, and what is compressed may grow to so many.
    pub frame_bytes_max: Bytes,
    /// What is compressed may grow to so many times its size, from 4 MiB on.
    pub compression_ratio_max: usize,
    /// How many bytes of what was received wait to be taken by the pipeline, before nobody reads.
    pub intake_bytes: Bytes,
    /// The field that says from which address an event came; empty: none does.
    pub peer_ip: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            tls: None,
            proxy_protocol: false,
            connections_max: 1_000,
            idle_timeout: Time(Duration::from_secs(60)),
            frame_bytes_max: Bytes(16 << 20),
            compression_ratio_max: 500,
            intake_bytes: Bytes(32 << 20),
            peer_ip: "@metadata.input.beats.host.ip".to_owned(),
        }
    }
}

/// Frames are read whole; more would not fit into a batch.
const FRAME_BYTES_LIMIT: u64 = 1 << 30;

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

    /// Checks the options without looking at files.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |option, message: &str| Err(ConfigError { option, message: message.to_owned() });
        self.listener().check().map_err(|(option, message)| ConfigError { option, message })?;
        if self.idle_timeout.0 < Duration::from_secs(1) {
            return wrong("idle_timeout", "a second at least");
        }
        if !(1 << 10..=FRAME_BYTES_LIMIT).contains(&self.frame_bytes_max.0) {
            return wrong("frame_bytes_max", "between 1KiB and 1GiB");
        }
        if self.compression_ratio_max == 0 {
            return wrong("compression_ratio_max", "1 at least");
        }
        if !self.peer_ip.is_empty() && Path::parse(&self.peer_ip).is_err() {
            return wrong("peer_ip", "a field, such as @metadata.ip_address");
        }
        Ok(())
    }

    /// The input that these options describe. It listens from now on.
    pub fn build(&self, context: InputContext) -> Result<BeatsInput, ConfigError> {
        self.check()?;
        let server = Arc::new(Server::new(self));
        let failed = |(option, message)| ConfigError { option, message };
        let listening = self.listener().start(&context.name, &context.sockets, server).map_err(failed)?;
        // It is not kept: what is sent again has no number by which it would be known.
        let origin = context.registry.create(&context.name, String::new(), 0);
        context.registry.remove(origin);
        Ok(BeatsInput {
            listening,
            shaper: Shaper {
                // Events are of other machines: nothing is common to them.
                common: Common::none(origin),
                position: 0,
                peer_ip: Path::parse(&self.peer_ip).ok(),
                message: Path::of(["message"]),
                tags: Path::of(["tags"]),
            },
            batch_bytes: context.batch_bytes,
        })
    }
}

/// The input.
pub struct BeatsInput {
    listening: Listening<Load>,
    shaper: Shaper,
    batch_bytes: usize,
}

impl BeatsInput {
    /// Where it listens, with the ports that were given.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.listening.addresses()
    }
}

impl Input for BeatsInput {
    fn next(&mut self, batch: &mut Batch, stop: &Stop) -> Result<Next, InputError> {
        let Some(first) = self.listening.first(stop) else { return Ok(Next::Stopped) };
        batch.reset(crate::run::now());
        self.shaper.begin(batch);
        self.shaper.take(first, batch);
        while let Some(load) = self.listening.more(stop, batch, self.batch_bytes) {
            self.shaper.take(load, batch);
        }
        self.shaper.end(batch);
        Ok(Next::Filled)
    }

    fn sockets(&self) -> Vec<Held> {
        self.listening.sockets()
    }
}

/// Makes events of frames.
struct Shaper {
    common: Arc<Common>,
    /// The number of the next event.
    position: u64,
    peer_ip: Option<Path>,
    message: Path,
    tags: Path,
}

impl Shaper {
    fn begin(&self, batch: &mut Batch) {
        batch.begin_run(self.common.clone(), self.position);
    }

    fn end(&self, batch: &mut Batch) {
        batch.end_run(self.position, 0);
    }

    fn take(&mut self, load: Load, batch: &mut Batch) {
        for frame in load.frames() {
            // The reader took them apart already.
            let Ok(Decoded::Frame(_, frame, _)) = decode(frame, usize::MAX) else { continue };
            match frame {
                Frame::Json(_, text) => self.json(text, &load.peer_ip, batch),
                Frame::Pairs(_, pairs) => self.pairs(&pairs, &load.peer_ip, batch),
                _ => {}
            }
        }
        batch.acks.push(load.share);
    }

    fn json(&mut self, text: &[u8], peer: &str, batch: &mut Batch) {
        let from = batch.bytes().len();
        batch.bytes_mut().extend_from_slice(text);
        let span = Span::new(from, batch.bytes().len());
        let mut event = batch.push_empty(self.position);
        self.position += 1;
        if event.merge_json(span).is_err() {
            set(&mut event, &self.message, New::Span(span));
            set(&mut event, &self.tags, New::Json(NO_JSON));
        }
        self.came_from(peer, &mut event);
    }

    fn pairs(&mut self, pairs: &Pairs<'_>, peer: &str, batch: &mut Batch) {
        let mut event = batch.push_empty(self.position);
        self.position += 1;
        for (name, value) in pairs.iter() {
            // What senders of version 1 call a line is everybody else's message.
            if name == b"line" {
                set(&mut event, &self.message, New::Str(value));
                continue;
            }
            let name = String::from_utf8_lossy(name);
            let path = Path::of([name.as_ref()]);
            // A time that is none is not to be lost with its field.
            if event.set(&path, New::Str(value)).is_err() {
                set(&mut event, &Path::of([format!("_{name}")]), New::Str(value));
            }
        }
        self.came_from(peer, &mut event);
    }

    fn came_from(&self, peer: &str, event: &mut Event<'_>) {
        if let Some(path) = &self.peer_ip {
            set(event, path, New::from(peer));
        }
    }
}

#[cfg(test)]
mod tests;
