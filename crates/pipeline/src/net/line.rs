//! What all connections to servers have at their bottom: a socket that never blocks, TLS or not,
//! how it comes about, and how is waited for it.

use super::tls;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, Timespec, poll};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How often it is looked whether a connection came about.
pub(crate) const CONNECT_LOOK: Duration = Duration::from_millis(5);
/// The words for a peer that hangs up.
pub(crate) const CLOSED: &str = "it closed the connection";

/// So much of what TLS unpacked is read at once: a record's worth (RFC 8446, section 5.1).
const PLAINTEXT_BYTES: usize = 16 << 10;

/// TLS, whoever of the two began.
pub(crate) type Secured = rustls::Connection;

/// A socket that never blocks.
pub(crate) struct Line {
    stream: TcpStream,
    secured: Option<Box<Secured>>,
    /// As much is written as the system takes for now.
    is_full: bool,
}

/// What waits to be written.
pub(crate) trait Pending {
    /// Whether nothing does.
    fn is_empty(&self) -> bool;

    /// Writes some of it, and takes off what was written; says how much that was.
    fn write_to(&mut self, to: &mut dyn Write) -> io::Result<usize>;
}

impl Line {
    /// The stream must not block.
    pub(crate) fn new(stream: TcpStream, secured: Option<Secured>) -> Self {
        Self { stream, secured: secured.map(Box::new), is_full: false }
    }

    /// The socket, to wait for it.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether it speaks TLS.
    pub(crate) fn is_secured(&self) -> bool {
        self.secured.is_some()
    }

    /// Whether the handshake of TLS is over, if there is one.
    pub(crate) fn is_ready(&self) -> bool {
        self.secured.as_ref().is_none_or(|secured| !secured.is_handshaking())
    }

    /// Whether the system did not take all that was to be written.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether TLS has something to write.
    pub(crate) fn holds_records(&self) -> bool {
        self.secured.as_ref().is_some_and(|secured| secured.wants_write())
    }

    /// Writes what the system takes; says whether it took something.
    pub(crate) fn write(&mut self, pending: &mut impl Pending) -> io::Result<bool> {
        self.is_full = false;
        let mut progress = false;
        loop {
            let written = match &mut self.secured {
                None if pending.is_empty() => return Ok(progress),
                None => pending.write_to(&mut self.stream),
                Some(secured) => {
                    if !pending.is_empty() {
                        // What it takes counts as on its way; its buffer is limited.
                        progress |= pending.write_to(&mut secured.writer())? > 0;
                    }
                    if !secured.wants_write() {
                        return Ok(progress);
                    }
                    secured.write_tls(&mut self.stream)
                }
            };
            match written {
                Ok(_) => progress = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_full = true;
                    return Ok(progress);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what there is to the end of a buffer, as far as it has room, which is made so large at
    /// least; says whether there was something, if only for TLS. The peer's end is an error.
    pub(crate) fn read_to(&mut self, buffer: &mut Vec<u8>, room: usize) -> io::Result<bool> {
        buffer.reserve(room);
        let mut is_something = false;
        let read = match &mut self.secured {
            // What it reads over need not be cleared before.
            None => rustix::io::read(&self.stream, spare_capacity(buffer)).map_err(io::Error::from),
            Some(secured) => match read_plaintext(secured, buffer) {
                Err(error) if is_for_later(&error) => {
                    match secured.read_tls(&mut self.stream) {
                        Ok(_) => is_something = true,
                        Err(error) if is_for_later(&error) => {}
                        Err(error) => return Err(error),
                    }
                    if let Err(error) = secured.process_new_packets() {
                        // The peer is told why.
                        let _ = secured.write_tls(&mut self.stream);
                        return Err(io::Error::other(tls::explain(&error)));
                    }
                    read_plaintext(secured, buffer)
                }
                // What TLS holds comes before what the system holds.
                other => other,
            },
        };
        let closed = || io::Error::new(ErrorKind::UnexpectedEof, CLOSED);
        match read {
            Ok(0) => Err(closed()),
            Ok(_) => Ok(true),
            Err(error) if is_for_later(&error) => Ok(is_something),
            // TLS says so when the peer did not take its leave.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(closed()),
            Err(error) => Err(error),
        }
    }
}

/// Reads what TLS unpacked.
fn read_plaintext(secured: &mut Secured, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let begin = buffer.len();
    let room = (buffer.capacity() - begin).min(PLAINTEXT_BYTES);
    buffer.resize(begin + room, 0);
    let read = secured.reader().read(&mut buffer[begin..]);
    buffer.truncate(begin + read.as_ref().map_or(0, |bytes| *bytes));
    read
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Looks up the name and connects, to one of its addresses after the other, each for so long at
/// most. A thread of this name does it, because it may block; it ends when it is done.
pub(crate) fn connect(
    thread: &str,
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<Receiver<io::Result<TcpStream>>, String> {
    let (sender, receiver) = channel();
    let host = host.to_owned();
    std::thread::Builder::new()
        .name(thread.to_owned())
        .spawn(move || drop(sender.send(connect_now(&host, port, limit))))
        .map_err(|error| format!("no thread to connect with: {error}"))?;
    Ok(receiver)
}

fn connect_now(host: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Our end of TLS with the server of this name.
pub(crate) fn secure(config: &Arc<ClientConfig>, host: &str) -> Result<Secured, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let client = ClientConnection::new(config.clone(), name).map_err(|error| error.to_string())?;
    Ok(client.into())
}

/// Waits until something of these can be done, at most until then. Interrupted or not, the sockets
/// say what there is.
pub(crate) fn wait(fds: &mut [PollFd<'_>], until: Instant) {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 60, tv_nsec: 0 });
    let _ = poll(fds, Some(&timeout));
}
