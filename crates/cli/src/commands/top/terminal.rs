//! The terminal: one screen, drawn over and over, and single keys. What was there before comes
//! back when it is dropped.

use super::draw::{Line, Look};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

/// A terminal that is drawn on.
pub(super) struct Terminal {
    before: Termios,
}

/// What was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Up,
    Down,
    /// Escape alone, Ctrl+C, or the terminal is gone.
    End,
}

impl Terminal {
    /// Takes over the terminal of standard input and output.
    pub(super) fn open() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        let terminal = Self { before };
        // The alternate screen, and no cursor (xterm's control sequences).
        write!(io::stdout(), "\x1b[?1049h\x1b[?25l")?;
        Ok(terminal)
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        size_of(io::stdout()).unwrap_or((80, 24))
    }

    /// Draws lines over what is there; not while the terminal takes nothing, when writing would
    /// wait for it and nobody could end the program.
    pub(super) fn draw(&self, lines: &[Line]) -> io::Result<()> {
        let stdout = io::stdout();
        let mut fds = [PollFd::new(&stdout, PollFlags::OUT)];
        if !poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0) {
            return Ok(());
        }
        let mut out = String::from("\x1b[H");
        for (n, line) in lines.iter().enumerate() {
            if n > 0 {
                out.push_str("\r\n");
            }
            for (look, text) in line {
                let (begin, end) = codes(*look);
                out.push_str(begin);
                out.push_str(text);
                out.push_str(end);
            }
            out.push_str("\x1b[K");
        }
        out.push_str("\x1b[J");
        let mut stdout = io::stdout().lock();
        stdout.write_all(out.as_bytes())?;
        stdout.flush()
    }

    /// The keys that are pressed within this time; none when it ends without any.
    pub(super) fn keys(&self, wait: Duration) -> io::Result<Vec<Key>> {
        let stdin = io::stdin();
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        let wait = Timespec::try_from(wait).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        match poll(&mut fds, Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut bytes = [0; 64];
        let read = rustix::io::read(stdin.as_fd(), &mut bytes)?;
        Ok(if read == 0 { vec![Key::End] } else { keys_of(&bytes[..read]) })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = write!(io::stdout(), "\x1b[?25h\x1b[?1049l");
        let _ = io::stdout().flush();
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Columns and rows of a terminal; none for what is no terminal, or does not know.
pub(super) fn size_of(terminal: impl AsFd) -> Option<(usize, usize)> {
    let size = tcgetwinsize(terminal).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}

fn codes(look: Look) -> (&'static str, &'static str) {
    match look {
        Look::Plain => ("", ""),
        Look::Head => ("\x1b[1m", "\x1b[0m"),
        Look::Dim => ("\x1b[2m", "\x1b[0m"),
        Look::Good => ("\x1b[32m", "\x1b[0m"),
        Look::Warn => ("\x1b[33m", "\x1b[0m"),
        Look::Bad => ("\x1b[31m", "\x1b[0m"),
    }
}

fn keys_of(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let Some((first, rest)) = bytes.split_first() {
        bytes = rest;
        match first {
            0x03 => keys.push(Key::End),
            0x1b if rest.is_empty() => keys.push(Key::End),
            0x1b => {
                // A sequence: `ESC [` or `ESC O`, parameters, and a last byte that tells the key.
                let inner = rest.strip_prefix(b"[").or_else(|| rest.strip_prefix(b"O")).unwrap_or(&rest[1..]);
                let end = inner.iter().position(|byte| (0x40..=0x7e).contains(byte)).unwrap_or(inner.len());
                match inner.get(end) {
                    Some(b'A') => keys.push(Key::Up),
                    Some(b'B') => keys.push(Key::Down),
                    _ => {}
                }
                bytes = inner.get(end + 1..).unwrap_or_default();
            }
            byte if byte.is_ascii_graphic() || *byte == b' ' => keys.push(Key::Char(char::from(*byte))),
            _ => {}
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys() {
        use Key::*;
        for (bytes, expected) in [
            (&b"q"[..], vec![Char('q')]),
            (b"\x1b", vec![End]),
            (b"\x03", vec![End]),
            (b"\x1b[A\x1b[Bp", vec![Up, Down, Char('p')]),
            (b"\x1bOA", vec![Up]),
            (b"\x1b[1;5Cq", vec![Char('q')]),
            (b"\x1b[", vec![]),
            (b"\xff\r", vec![]),
        ] {
            assert_eq!(keys_of(bytes), expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            prop_assert!(keys_of(&bytes).len() <= bytes.len());
        }
    }
}
