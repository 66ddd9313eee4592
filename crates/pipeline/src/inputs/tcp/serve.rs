//! One connection: its bytes as messages.

use super::{Config, Framing};
use crate::inputs::ConfigError;
use crate::inputs::multiline::{Joined, Joiner, Multiline, MultilineConfig};
use crate::net::listen::intake::{FREE_BYTES, Room};
use crate::net::listen::{Connection, Intake, Serve};
use bytes::{Bytes, BytesMut};
use event::{Common, CommonValue, Origin};
use std::future::pending;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::sleep;
use wire::framing::{Framer, Framing as Frames, Step};

/// Messages of one connection.
pub(super) struct Load {
    pub(super) bytes: Bytes,
    pub(super) messages: Vec<Message>,
    pub(super) common: Arc<Common>,
}

/// Where a message is.
pub(super) struct Message {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) is_cut: bool,
}

/// What all connections share.
pub(super) struct Server {
    framer: Framer,
    line_bytes_max: usize,
    /// How messages are joined, and how long they wait for others.
    multiline: Option<(Arc<Multiline>, Duration)>,
    idle_timeout: Option<Duration>,
    origin: Origin,
}

impl Server {
    pub(super) fn new(config: &Config, origin: Origin) -> Result<Self, ConfigError> {
        let framing = match config.framing {
            Framing::Delimiter => Frames::Delimited,
            Framing::OctetCounting => Frames::Counted,
            Framing::Auto => Frames::Either,
        };
        let line_bytes_max = usize::try_from(config.line_bytes_max.0).unwrap_or(usize::MAX);
        let multiline = |config: &MultilineConfig| Ok((Arc::new(config.build()?), config.timeout.0));
        Ok(Self {
            framer: Framer::new(framing, config.delimiter.as_bytes(), line_bytes_max),
            line_bytes_max,
            multiline: config.multiline.as_ref().map(multiline).transpose()?,
            idle_timeout: config.idle_timeout.map(|time| time.0),
            origin,
        })
    }

    /// Bytes that a connection may need for one event.
    fn bytes_max(&self) -> usize {
        let joined = self.multiline.as_ref().map_or(0, |(rule, _)| rule.bytes_max);
        self.line_bytes_max.saturating_add(joined)
    }

    /// What the events of a connection have in common: who sent them, and to whom when a proxy says.
    fn common(&self, connection: &Connection) -> Arc<Common> {
        let ip = |address: std::net::SocketAddr| CommonValue::Str(address.ip().to_canonical().to_string());
        let port = |address: std::net::SocketAddr| CommonValue::Int(address.port().into());
        let peer = connection.peer;
        let mut fields = vec![("source.ip", ip(peer)), ("source.port", port(peer))];
        if let Some(reached) = connection.proxy {
            fields.extend([("destination.ip", ip(reached)), ("destination.port", port(reached))]);
        }
        Common::new(self.origin, fields)
    }
}

impl Serve for Server {
    type Load = Load;

    async fn serve(self: Arc<Self>, mut connection: Connection, intake: Intake<Load>) -> Result<(), String> {
        let mut way = Way {
            intake: &intake,
            common: self.common(&connection),
            joiner: self.multiline.as_ref().map(|(rule, _)| Joiner::new(rule.clone())),
        };
        let mut framer = self.framer.clone();
        let mut buffer = BytesMut::new();
        // For a message that does not fit into what everybody has.
        let mut room: Option<Room> = None;
        loop {
            let (messages, used) = take(&mut framer, &buffer)?;
            if used > 0 {
                way.bring(buffer.split_to(used).freeze(), messages).await;
                // What is left may be wrong, which was not said for the sake of what came before.
                continue;
            }
            if buffer.len() + way.held_bytes() < FREE_BYTES {
                room = None;
            } else if room.is_none() {
                room = intake.grow(self.bytes_max()).await;
            }
            buffer.reserve(FREE_BYTES);
            let patience = self.multiline.as_ref().filter(|_| way.held_bytes() > 0).map(|(_, time)| *time);
            let read: io::Result<usize> = tokio::select! {
                read = connection.stream.read_buf(&mut buffer) => read,
                () = connection.closing.wait() => Ok(0),
                () = idle(self.idle_timeout) => Ok(0),
                () = idle(patience) => {
                    way.end().await;
                    continue;
                }
            };
            let why = match read {
                Ok(0) => Ok(()),
                Ok(_) => continue,
                Err(error) => Err(error.to_string()),
            };
            // It had no time to say that the last message was over.
            if let Some(Step::Message { from, to, is_cut, .. }) = framer.end(&buffer) {
                way.bring(buffer.freeze(), vec![Message { from, to, is_cut }]).await;
            }
            way.end().await;
            return why;
        }
    }
}

/// The messages at the beginning of `bytes`, and how much of it they take.
fn take(framer: &mut Framer, bytes: &[u8]) -> Result<(Vec<Message>, usize), String> {
    let (mut messages, mut at) = (Vec::new(), 0);
    loop {
        match framer.step(&bytes[at..]) {
            Ok(Step::Message { from, to, used, is_cut }) => {
                messages.push(Message { from: at + from, to: at + to, is_cut });
                at += used;
            }
            Ok(Step::Skip(used)) => at += used,
            Ok(Step::More) => return Ok((messages, at)),
            // What came before is handed on first; the same is found again then.
            Err(_) if !messages.is_empty() => return Ok((messages, at)),
            Err(error) => return Err(format!("malformed: {error}")),
        }
    }
}

/// The way of one connection's messages.
struct Way<'c> {
    intake: &'c Intake<Load>,
    common: Arc<Common>,
    joiner: Option<Joiner>,
}

impl Way<'_> {
    /// Hands messages on, or keeps those for which others may come.
    async fn bring(&mut self, bytes: Bytes, messages: Vec<Message>) {
        let Some(joiner) = &mut self.joiner else { return self.hand_on(bytes, messages).await };
        let mut joined = Joined::default();
        for Message { from, to, is_cut } in messages {
            joiner.push(&bytes[from..to], is_cut, &mut joined);
        }
        self.hand_on_joined(joined).await;
    }

    /// Hands on what was kept.
    async fn end(&mut self) {
        let mut joined = Joined::default();
        if let Some(joiner) = &mut self.joiner {
            joiner.end(&mut joined);
        }
        self.hand_on_joined(joined).await;
    }

    fn held_bytes(&self) -> usize {
        self.joiner.as_ref().map_or(0, Joiner::held_bytes)
    }

    async fn hand_on_joined(&self, joined: Joined) {
        let message =
            |(place, is_cut): (Range<usize>, bool)| Message { from: place.start, to: place.end, is_cut };
        let messages = joined.events.into_iter().map(message).collect();
        self.hand_on(joined.bytes.into(), messages).await;
    }

    async fn hand_on(&self, bytes: Bytes, messages: Vec<Message>) {
        if messages.is_empty() {
            return;
        }
        let size = bytes.len();
        // When nobody takes it any more, the connection is closed with all others.
        self.intake.bring(Load { bytes, messages, common: self.common.clone() }, size).await;
    }
}

async fn idle(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => pending().await,
    }
}
