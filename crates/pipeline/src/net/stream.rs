//! A socket that never blocks, with what waits to be written and what was read; TLS or not.

use super::tls;
use rustix::event::PollFlags;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

/// As much is read at once.
const READ_BYTES: usize = 64 << 10;
/// Not much more than this is read before somebody takes it.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// TLS, whoever of the two began.
pub(crate) type Secured = rustls::Connection;

/// A connection.
pub(crate) struct Socket {
    stream: TcpStream,
    secured: Option<Secured>,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// As much is written as the system takes for now.
    is_full: bool,
}

impl Socket {
    /// A connection over a stream that does not block.
    pub(crate) fn new(stream: TcpStream, secured: Option<Secured>) -> Self {
        Self { stream, secured, outgoing: Vec::new(), incoming: Vec::new(), is_full: false }
    }

    /// The socket, to wait for it.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether the handshake of TLS is over, if there is one.
    pub(crate) fn is_ready(&self) -> bool {
        self.secured.as_ref().is_none_or(|secured| !secured.is_handshaking())
    }

    /// What is to be written; more is put behind it.
    pub(crate) fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.outgoing
    }

    /// How many bytes the system has not taken yet.
    pub(crate) fn unwritten(&self) -> usize {
        // What TLS has taken is on its way only when it wants to write no more.
        let held = self.secured.as_ref().is_some_and(|secured| secured.wants_write());
        self.outgoing.len() + usize::from(held)
    }

    /// What was read; who takes something takes it off the beginning.
    pub(crate) fn incoming(&mut self) -> &mut Vec<u8> {
        &mut self.incoming
    }

    /// What the socket is waited for.
    pub(crate) fn waits_for(&self) -> PollFlags {
        let is_reading = self.incoming.len() < READ_AHEAD_BYTES;
        let mut flags = if is_reading { PollFlags::IN } else { PollFlags::empty() };
        if self.is_full || self.unwritten() > 0 {
            flags |= PollFlags::OUT;
        }
        flags
    }

    /// Writes and reads what can be without waiting. An error says that the connection is gone, and
    /// the peer's end of it is one; but what was read before that is to be taken first, and the
    /// error comes the next time.
    pub(crate) fn pass(&mut self) -> io::Result<()> {
        let before = self.incoming.len();
        match self.pass_all() {
            Err(_) if self.incoming.len() > before => Ok(()),
            other => other,
        }
    }

    fn pass_all(&mut self) -> io::Result<()> {
        loop {
            let written = self.write();
            let has_read = self.read()?;
            if !(written? | has_read) || self.incoming.len() >= READ_AHEAD_BYTES {
                return Ok(());
            }
        }
    }

    /// Writes what the system takes; says whether it took something.
    fn write(&mut self) -> io::Result<bool> {
        self.is_full = false;
        let (mut taken, mut progress) = (0, false);
        let result = loop {
            let rest = &self.outgoing[taken..];
            let written = match &mut self.secured {
                None if rest.is_empty() => break Ok(()),
                None => self.stream.write(rest),
                Some(secured) => {
                    if !rest.is_empty() {
                        // Its buffer is limited.
                        let count = secured.writer().write(rest)?;
                        taken += count;
                        progress |= count > 0;
                    }
                    if !secured.wants_write() {
                        break Ok(());
                    }
                    secured.write_tls(&mut self.stream).map(|_| 0)
                }
            };
            match written {
                Ok(count) => {
                    taken += count;
                    progress = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_full = true;
                    break Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.outgoing.drain(..taken);
        result.map(|()| progress)
    }

    /// Reads what there is, up to a limit; says whether there was something.
    fn read(&mut self) -> io::Result<bool> {
        let closed = || io::Error::new(ErrorKind::UnexpectedEof, "it closed the connection");
        let mut progress = false;
        if let Some(secured) = &mut self.secured {
            match secured.read_tls(&mut self.stream) {
                Ok(0) => return Err(closed()),
                Ok(_) => {
                    progress = true;
                    let state = secured.process_new_packets();
                    if let Err(error) = state {
                        // The peer is told why.
                        let _ = secured.write_tls(&mut self.stream);
                        return Err(io::Error::other(tls::explain(&error)));
                    }
                }
                Err(error) if is_for_later(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let begin = self.incoming.len();
        self.incoming.resize(begin + READ_BYTES, 0);
        let read = match &mut self.secured {
            Some(secured) => secured.reader().read(&mut self.incoming[begin..]),
            None => self.stream.read(&mut self.incoming[begin..]),
        };
        self.incoming.truncate(begin + read.as_ref().map_or(0, |count| *count));
        match read {
            Ok(0) => Err(closed()),
            Ok(_) => Ok(true),
            Err(error) if is_for_later(&error) => Ok(progress),
            Err(error) => Err(error),
        }
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
