//! One connection: its bytes as messages.

use super::{Config, Framing};
use crate::net::listen::intake::{FREE_BYTES, Room};
use crate::net::listen::{Connection, Intake, Serve};
use bytes::{Bytes, BytesMut};
use event::{Common, CommonValue, Origin};
use std::future::pending;
use std::io;
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
    idle_timeout: Option<Duration>,
    origin: Origin,
}

impl Server {
    pub(super) fn new(config: &Config, origin: Origin) -> Self {
        let framing = match config.framing {
            Framing::Delimiter => Frames::Delimited,
            Framing::OctetCounting => Frames::Counted,
            Framing::Auto => Frames::Either,
        };
        let line_bytes_max = usize::try_from(config.line_bytes_max.0).unwrap_or(usize::MAX);
        Self {
            framer: Framer::new(framing, config.delimiter.as_bytes(), line_bytes_max),
            line_bytes_max,
            idle_timeout: config.idle_timeout.map(|time| time.0),
            origin,
        }
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
        let common = self.common(&connection);
        let mut framer = self.framer.clone();
        let mut buffer = BytesMut::new();
        // For a message that does not fit into what everybody has.
        let mut room: Option<Room> = None;
        loop {
            let (messages, used) = take(&mut framer, &buffer)?;
            if used > 0 {
                let bytes = buffer.split_to(used).freeze();
                bring(&intake, bytes, messages, &common).await;
            }
            if buffer.len() < FREE_BYTES {
                room = None;
            } else if room.is_none() {
                room = intake.grow(self.line_bytes_max).await;
            }
            buffer.reserve(FREE_BYTES);
            let read: io::Result<usize> = tokio::select! {
                read = connection.stream.read_buf(&mut buffer) => read,
                () = connection.closing.wait() => Ok(0),
                () = idle(self.idle_timeout) => Ok(0),
            };
            let why = match read {
                Ok(0) => Ok(()),
                Ok(_) => continue,
                Err(error) => Err(error.to_string()),
            };
            // It had no time to say that the last message was over.
            if let Some(Step::Message { from, to, is_cut, .. }) = framer.end(&buffer) {
                bring(&intake, buffer.freeze(), vec![Message { from, to, is_cut }], &common).await;
            }
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

async fn bring(intake: &Intake<Load>, bytes: Bytes, messages: Vec<Message>, common: &Arc<Common>) {
    if messages.is_empty() {
        return;
    }
    let size = bytes.len();
    // When nobody takes it any more, the connection is closed with all others.
    intake.bring(Load { bytes, messages, common: common.clone() }, size).await;
}

async fn idle(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => pending().await,
    }
}
