//! One connection: frames come in, acknowledgments go out.
//!
//! Reading and writing are two halves of one task. The reader takes frames apart, holds them against
//! the limits, and brings events in parts to the intake; the writer tells what is safe as soon as it
//! is, and every [`KEEP_ALIVE`] that we live while the sender waits.

use super::Config;
use crate::net::listen::intake::FREE_BYTES;
use crate::net::listen::{Closing, Connection, Intake, Serve, Stream};
use bytes::{Bytes, BytesMut};
use event::Share;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use wire::lumberjack::{Acks, Decoded, Frame, FrameError, InflateLimits, Version, Window, decode, inflate};

/// How often a sender whose window is not safe yet is told that it was received; Logstash does it as
/// often, and Beats wait six times as long.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How many events, and about how many bytes of them, become safe together.
const PART_EVENTS: usize = 1_000;
const PART_BYTES: usize = 256 << 10;
/// What is compressed may grow to this, whatever it comes of.
const INFLATED_FREE: usize = 4 << 20;
/// So many frames grow at once, over all connections: each may take all that a frame may.
const INFLATING: usize = 2;

/// Some events in a row, of one connection.
pub(super) struct Load {
    bytes: Bytes,
    /// Where their frames are.
    frames: Vec<Range<usize>>,
    /// Done when they are safe.
    pub(super) share: Share,
    /// Who sent them.
    pub(super) peer_ip: Arc<str>,
}

impl Load {
    /// The frames of the events.
    pub(super) fn frames(&self) -> impl Iterator<Item = &[u8]> {
        self.frames.iter().filter_map(|frame| self.bytes.get(frame.clone()))
    }
}

/// What all connections share.
pub(super) struct Server {
    frame_bytes_max: usize,
    inflate: InflateLimits,
    idle_timeout: Duration,
    inflating: Semaphore,
}

impl Server {
    pub(super) fn new(config: &Config) -> Self {
        let frame_bytes_max = usize::try_from(config.frame_bytes_max.0).unwrap_or(usize::MAX);
        Self {
            frame_bytes_max,
            inflate: InflateLimits {
                bytes_max: frame_bytes_max,
                ratio_max: config.compression_ratio_max,
                free_bytes: INFLATED_FREE,
            },
            idle_timeout: config.idle_timeout.0,
            inflating: Semaphore::new(INFLATING),
        }
    }
}

impl Serve for Server {
    type Load = Load;

    async fn serve(self: Arc<Self>, connection: Connection, intake: Intake<Load>) -> Result<(), String> {
        let Connection { stream, peer, closing, .. } = connection;
        let (read, write) = tokio::io::split(stream);
        let session = Arc::new(Session::default());
        let reader = Reader {
            server: &self,
            stream: read,
            closing,
            intake,
            session: session.clone(),
            peer_ip: peer.ip().to_canonical().to_string().into(),
            buffer: BytesMut::new(),
            window: Window::default(),
        };
        let reading = async {
            let read = reader.read().await;
            session.ended.store(true, Ordering::Release);
            session.changed.notify_one();
            read
        };
        tokio::try_join!(reading, self.write(write, &session)).map(|_| ())
    }
}

/// What the halves of a connection share, and the acknowledgments of its events.
#[derive(Default)]
struct Session {
    acks: Mutex<Acks>,
    /// Something became safe, or the reader ended.
    changed: Notify,
    /// The reader ended.
    ended: AtomicBool,
}

impl Session {
    fn acks(&self) -> MutexGuard<'_, Acks> {
        self.acks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A share for events of which the last has this number.
    fn share(self: &Arc<Self>, version: Version, sequence: u32, ends_window: bool) -> Share {
        let piece = self.acks().begin(version, sequence, ends_window);
        let session = self.clone();
        Share::new(move |done| {
            session.acks().settle(piece, done);
            session.changed.notify_one();
        })
    }
}

impl Server {
    /// Tells what is safe, until the reader has ended and all is told.
    async fn write(&self, mut stream: WriteHalf<Stream>, session: &Session) -> Result<(), String> {
        let mut out = Vec::new();
        loop {
            let is_quiet = timeout(KEEP_ALIVE, session.changed.notified()).await.is_err();
            let has_ended = session.ended.load(Ordering::Acquire);
            let (is_lost, is_empty) = {
                let mut acks = session.acks();
                acks.write(&mut out);
                if out.is_empty() && is_quiet {
                    acks.write_keep_alive(&mut out);
                }
                (acks.is_lost(), acks.is_empty())
            };
            if !out.is_empty() {
                let written = async {
                    stream.write_all(&out).await?;
                    stream.flush().await
                };
                match timeout(self.idle_timeout, written).await {
                    Ok(Ok(())) => {}
                    // Who has closed does not wait for it.
                    _ if has_ended => return Ok(()),
                    Ok(Err(error)) => return Err(format!("acknowledgments cannot be sent: {error}")),
                    Err(_) => return Err("the peer does not read its acknowledgments".to_owned()),
                }
                out.clear();
            }
            if is_lost {
                return Err("what it sent could not be kept; it is to send it again".to_owned());
            }
            if has_ended && is_empty {
                // It is closed anyway.
                let _ = stream.shutdown().await;
                return Ok(());
            }
        }
    }
}

/// The half that reads.
struct Reader<'a> {
    server: &'a Server,
    stream: ReadHalf<Stream>,
    closing: Closing,
    intake: Intake<Load>,
    session: Arc<Session>,
    peer_ip: Arc<str>,
    buffer: BytesMut,
    window: Window,
}

/// Whole frames of events at the beginning of some bytes.
#[derive(Default)]
struct Gathered {
    frames: Vec<Range<usize>>,
    bytes: usize,
    /// Of the last one.
    version: Version,
    sequence: u32,
    ends_window: bool,
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.ends_window || self.frames.len() >= PART_EVENTS || self.bytes >= PART_BYTES
    }
}

impl Reader<'_> {
    /// Reads until the peer closes, or it is to end.
    async fn read(mut self) -> Result<(), String> {
        let mut gathered = Gathered::default();
        // Where the next frame begins; before it is what was gathered.
        let mut at = 0;
        loop {
            let decoded = decode(&self.buffer[at..], self.server.frame_bytes_max).map_err(words)?;
            let (version, frame, length) = match decoded {
                Decoded::Frame(version, frame, length) => (version, frame, length),
                Decoded::Needs(needs) => {
                    if at + needs <= FREE_BYTES {
                        if !self.fill(at + needs).await? {
                            return Ok(());
                        }
                        continue;
                    }
                    self.bring(std::mem::take(&mut gathered), at).await?;
                    at = 0;
                    if needs > FREE_BYTES && !self.large(needs).await? {
                        return Ok(());
                    }
                    continue;
                }
            };
            match frame {
                Frame::Json(sequence, _) | Frame::Pairs(sequence, _) => {
                    note(&mut self.window, &mut gathered, at..at + length, version, sequence)?;
                    at += length;
                    if gathered.is_full() {
                        self.bring(std::mem::take(&mut gathered), at).await?;
                        at = 0;
                    }
                }
                Frame::Window(count) => {
                    self.bring(std::mem::take(&mut gathered), at).await?;
                    self.skip(length);
                    at = 0;
                    self.announced(version, count);
                }
                Frame::Compressed(_) => {
                    self.bring(std::mem::take(&mut gathered), at).await?;
                    let packed = self.buffer.split_to(length).freeze();
                    at = 0;
                    self.compressed(&packed).await?;
                }
                Frame::Ack(_) => return Err("it sends acknowledgments, and is to receive them".to_owned()),
            }
        }
    }

    fn announced(&mut self, version: Version, count: u32) {
        self.window.open(count);
        if count > 0 {
            self.session.acks().expect(version);
        }
    }

    fn skip(&mut self, bytes: usize) {
        drop(self.buffer.split_to(bytes));
    }

    /// Reads until there are so many bytes; false when there will be no more of use.
    async fn fill(&mut self, until: usize) -> Result<bool, String> {
        while self.buffer.len() < until {
            self.buffer.reserve(until.max(FREE_BYTES) - self.buffer.len());
            let read = tokio::select! {
                read = timeout(self.server.idle_timeout, self.stream.read_buf(&mut self.buffer)) => read,
                () = self.closing.wait() => return Ok(false),
            };
            match read {
                Ok(Ok(0)) if self.buffer.is_empty() && !self.window.is_open() => return Ok(false),
                // What it began is not acknowledged; it knows.
                Ok(Ok(0)) => return Err("the peer closed within a window".to_owned()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) if self.window.is_open() || !self.buffer.is_empty() => {
                    return Err("the peer stopped within a window".to_owned());
                }
                // It waits for us.
                Err(_) if !self.session.acks().is_empty() => {}
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Reads a frame that needs room of its own, and handles it when it is compressed or alone.
    async fn large(&mut self, needs: usize) -> Result<bool, String> {
        // Only pairs do not say at once how long they are.
        let is_pairs = self.buffer.get(1) == Some(&b'D');
        let bytes = if is_pairs { self.server.frame_bytes_max } else { needs };
        let Some(_room) = self.intake.grow(bytes).await else { return Ok(false) };
        let mut until = needs;
        loop {
            if !self.fill(until).await? {
                return Ok(false);
            }
            match decode(&self.buffer, self.server.frame_bytes_max).map_err(words)? {
                Decoded::Needs(needs) => until = needs,
                Decoded::Frame(_, Frame::Compressed(_), length) => {
                    let packed = self.buffer.split_to(length).freeze();
                    self.compressed(&packed).await?;
                    break;
                }
                Decoded::Frame(version, Frame::Json(sequence, _) | Frame::Pairs(sequence, _), length) => {
                    let mut gathered = Gathered::default();
                    note(&mut self.window, &mut gathered, 0..length, version, sequence)?;
                    self.bring(gathered, length).await?;
                    break;
                }
                // Nothing else is large.
                Decoded::Frame(..) => break,
            }
        }
        // The memory goes with the room.
        self.buffer = BytesMut::from(&self.buffer[..]);
        Ok(true)
    }

    async fn compressed(&mut self, packed: &Bytes) -> Result<(), String> {
        let Frame::Compressed(packed) = compressed_frame(packed)? else { return Ok(()) };
        let server = self.server;
        let Ok(_place) = server.inflating.acquire().await else { return Ok(()) };
        let mut frames = Vec::new();
        inflate(packed, server.inflate, &mut frames).map_err(words)?;
        let mut rest = Bytes::from(frames);
        let mut gathered = Gathered::default();
        let mut at = 0;
        while at < rest.len() {
            match decode(&rest[at..], server.frame_bytes_max).map_err(words)? {
                Decoded::Frame(version, Frame::Json(sequence, _) | Frame::Pairs(sequence, _), length) => {
                    note(&mut self.window, &mut gathered, at..at + length, version, sequence)?;
                    at += length;
                    if gathered.is_full() {
                        let bytes = rest.split_to(at);
                        self.bring_bytes(std::mem::take(&mut gathered), bytes).await?;
                        at = 0;
                    }
                }
                Decoded::Frame(version, Frame::Window(count), length) => {
                    let bytes = rest.split_to(at + length);
                    self.bring_bytes(std::mem::take(&mut gathered), bytes).await?;
                    at = 0;
                    self.announced(version, count);
                }
                Decoded::Frame(_, Frame::Compressed(_), _) => return Err(words(FrameError::Nested)),
                Decoded::Frame(_, Frame::Ack(_), length) => at += length,
                Decoded::Needs(_) => return Err(words(FrameError::Partial)),
            }
        }
        self.bring_bytes(gathered, rest).await
    }

    /// Brings what was gathered in the buffer's first bytes, and takes those away.
    async fn bring(&mut self, gathered: Gathered, bytes: usize) -> Result<(), String> {
        let bytes = self.buffer.split_to(bytes).freeze();
        self.bring_bytes(gathered, bytes).await
    }

    async fn bring_bytes(&mut self, gathered: Gathered, bytes: Bytes) -> Result<(), String> {
        let Gathered { frames, version, sequence, ends_window, .. } = gathered;
        if frames.is_empty() {
            return Ok(());
        }
        let share = self.session.share(version, sequence, ends_window);
        let size = bytes.len();
        let load = Load { bytes, frames, share, peer_ip: self.peer_ip.clone() };
        // Without who takes it, the share goes undone, and the writer ends the connection.
        self.intake.bring(load, size).await;
        Ok(())
    }
}

/// The frame that these bytes are.
fn compressed_frame(bytes: &[u8]) -> Result<Frame<'_>, String> {
    match decode(bytes, usize::MAX).map_err(words)? {
        Decoded::Frame(_, frame, _) => Ok(frame),
        Decoded::Needs(_) => Err(words(FrameError::Partial)),
    }
}

/// Adds an event to what was gathered.
fn note(
    window: &mut Window,
    gathered: &mut Gathered,
    frame: Range<usize>,
    version: Version,
    sequence: u32,
) -> Result<(), String> {
    let received = window.event().ok_or("malformed: an event belongs to no window")?;
    gathered.bytes += frame.len();
    gathered.frames.push(frame);
    (gathered.version, gathered.sequence, gathered.ends_window) = (version, sequence, received.is_last);
    Ok(())
}

fn words(error: FrameError) -> String {
    format!("malformed: {error}")
}
