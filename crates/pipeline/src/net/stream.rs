//! A connection with what waits to be written and what was read.

use super::line::{Line, Pending, Secured};
use rustix::event::PollFlags;
use std::io::{self, Write};
use std::net::TcpStream;

/// As much is read at once.
const READ_BYTES: usize = 64 << 10;
/// Not much more than this is read before somebody takes it.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// A connection.
pub(crate) struct Socket {
    line: Line,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// Something was read since somebody looked at `incoming`.
    is_unseen: bool,
}

impl Socket {
    /// A connection over a stream that does not block.
    pub(crate) fn new(stream: TcpStream, secured: Option<Secured>) -> Self {
        let line = Line::new(stream, secured);
        Self { line, outgoing: Vec::new(), incoming: Vec::new(), is_unseen: false }
    }

    /// The socket, to wait for it.
    pub(crate) fn stream(&self) -> &TcpStream {
        self.line.stream()
    }

    /// Whether the handshake of TLS is over, if there is one.
    pub(crate) fn is_ready(&self) -> bool {
        self.line.is_ready()
    }

    /// What is to be written; more is put behind it.
    pub(crate) fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.outgoing
    }

    /// How many bytes the system has not taken yet.
    pub(crate) fn unwritten(&self) -> usize {
        // What TLS has taken is on its way only when it wants to write no more.
        self.outgoing.len() + usize::from(self.line.holds_records())
    }

    /// What was read; who takes something takes it off the beginning.
    pub(crate) fn incoming(&mut self) -> &mut Vec<u8> {
        self.is_unseen = false;
        &mut self.incoming
    }

    /// What the socket is waited for.
    pub(crate) fn waits_for(&self) -> PollFlags {
        let is_reading = self.incoming.len() < READ_AHEAD_BYTES;
        let mut flags = if is_reading { PollFlags::IN } else { PollFlags::empty() };
        if self.line.is_full() || self.unwritten() > 0 {
            flags |= PollFlags::OUT;
        }
        flags
    }

    /// Writes and reads what can be without waiting. An error says that the connection is gone, and
    /// the peer's end of it is one; but first somebody has to look at what was read before that, and
    /// the error comes after it.
    pub(crate) fn pass(&mut self) -> io::Result<()> {
        let before = self.incoming.len();
        let result = self.pass_all();
        self.is_unseen |= self.incoming.len() > before;
        if self.is_unseen { Ok(()) } else { result }
    }

    fn pass_all(&mut self) -> io::Result<()> {
        loop {
            let written = self.write();
            let has_read = self.line.read_to(&mut self.incoming, READ_BYTES)?;
            if !(written? | has_read) || self.incoming.len() >= READ_AHEAD_BYTES {
                return Ok(());
            }
        }
    }

    fn write(&mut self) -> io::Result<bool> {
        let mut rest = Rest { bytes: &self.outgoing, taken: 0 };
        let written = self.line.write(&mut rest);
        let taken = rest.taken;
        self.outgoing.drain(..taken);
        written
    }
}

/// What is left of some bytes.
struct Rest<'b> {
    bytes: &'b [u8],
    taken: usize,
}

impl Pending for Rest<'_> {
    fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    fn write_to(&mut self, to: &mut dyn Write) -> io::Result<usize> {
        let bytes = to.write(&self.bytes[self.taken..])?;
        self.taken += bytes;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn what_was_read_is_looked_at_before_the_end_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"the last words").unwrap();
        drop(peer);
        stream.set_nonblocking(true).unwrap();
        let mut socket = Socket::new(stream, None);
        while socket.incoming.len() < b"the last words".len() {
            socket.pass().unwrap();
        }
        for _ in 0..3 {
            socket.pass().unwrap();
        }
        assert_eq!(socket.incoming(), b"the last words");
        let error = std::iter::repeat_with(|| socket.pass()).find_map(Result::err).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
