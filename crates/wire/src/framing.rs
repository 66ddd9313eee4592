//! Messages in a stream of bytes: by delimiter, or by a count in front of each (RFC 6587).
//!
//! A message that is longer than allowed is cut, and the rest of it is passed over without being
//! kept: the stream goes on with the next one.

/// How messages are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Each ends with the delimiter (RFC 6587, 3.4.2 when that is a line feed).
    Delimited,
    /// Each begins with its length in decimal digits and a space (RFC 6587, 3.4.1).
    Counted,
    /// Each for itself: counted when it begins with a count and `<`, as syslog does, else delimited.
    Either,
}

/// Takes a stream apart.
#[derive(Debug, Clone)]
pub struct Framer {
    framing: Framing,
    delimiter: Vec<u8>,
    bytes_max: usize,
    rest: Rest,
}

/// What is to be passed over of a message that was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    None,
    Delimited,
    Counted(u64),
}

/// What stands at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A message at `from..to`; the next begins at `used`.
    Message {
        /// Where it begins.
        from: usize,
        /// Where it ends.
        to: usize,
        /// What is done with.
        used: usize,
        /// Whether it was longer.
        is_cut: bool,
    },
    /// So many bytes are of no use.
    Skip(usize),
    /// More bytes are needed.
    More,
}

/// Why a stream cannot be taken apart any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a message begins with a count of its bytes and a space, such as \"42 <13>…\", not with byte {0:#04x}"
)]
pub struct NoCount(u8);

/// No message is counted in more digits.
const DIGITS_MAX: usize = 10;

impl Framer {
    /// Messages of `bytes_max` at most. The delimiter is not empty.
    pub fn new(framing: Framing, delimiter: &[u8], bytes_max: usize) -> Self {
        debug_assert!(!delimiter.is_empty(), "a delimiter has a byte at least");
        Self { framing, delimiter: delimiter.to_vec(), bytes_max, rest: Rest::None }
    }

    /// The first step in `bytes`, which begin where the last step ended.
    pub fn step(&mut self, bytes: &[u8]) -> Result<Step, NoCount> {
        match self.rest {
            _ if bytes.is_empty() => Ok(Step::More),
            Rest::None => self.message(bytes),
            Rest::Delimited => Ok(self.pass_over(bytes)),
            Rest::Counted(left) => {
                let passed = left.min(bytes.len() as u64);
                self.rest = if passed == left { Rest::None } else { Rest::Counted(left - passed) };
                Ok(Step::Skip(passed as usize))
            }
        }
    }

    /// What is left when nothing will come any more: the last message may lack its end. Whether
    /// there is one, and whether it is cut.
    pub fn end(&self, bytes: &[u8]) -> Option<Step> {
        if bytes.is_empty() || self.rest != Rest::None {
            return None;
        }
        let (from, is_counted) = match self.count(bytes) {
            Ok(Count::Of { header, .. }) => (header, true),
            _ => (0, false),
        };
        let to = bytes.len().min(from + self.bytes_max);
        Some(Step::Message { from, to, used: bytes.len(), is_cut: is_counted || to < bytes.len() })
    }

    fn message(&mut self, bytes: &[u8]) -> Result<Step, NoCount> {
        match self.count(bytes)? {
            Count::More => Ok(Step::More),
            Count::Of { header, length } => Ok(self.counted(bytes, header, length)),
            Count::None => Ok(self.delimited(bytes)),
        }
    }

    fn counted(&mut self, bytes: &[u8], header: usize, length: u64) -> Step {
        let kept = length.min(self.bytes_max as u64);
        let to = header + kept as usize;
        if bytes.len() < to {
            return Step::More;
        }
        if length > kept {
            self.rest = Rest::Counted(length - kept);
        }
        Step::Message { from: header, to, used: to, is_cut: length > kept }
    }

    fn delimited(&mut self, bytes: &[u8]) -> Step {
        match self.find(bytes) {
            Some(end) => {
                let to = self.without_return(&bytes[..end]);
                let is_cut = to > self.bytes_max;
                let used = end + self.delimiter.len();
                Step::Message { from: 0, to: to.min(self.bytes_max), used, is_cut }
            }
            // A delimiter that begins may end within the limit.
            None if bytes.len() < self.bytes_max + self.delimiter.len() + 1 => Step::More,
            None => {
                self.rest = Rest::Delimited;
                Step::Message { from: 0, to: self.bytes_max, used: self.bytes_max, is_cut: true }
            }
        }
    }

    fn pass_over(&mut self, bytes: &[u8]) -> Step {
        if let Some(end) = self.find(bytes) {
            self.rest = Rest::None;
            return Step::Skip(end + self.delimiter.len());
        }
        // The end of the bytes may be the beginning of the delimiter.
        match bytes.len().saturating_sub(self.delimiter.len() - 1) {
            0 => Step::More,
            passed => Step::Skip(passed),
        }
    }

    fn find(&self, bytes: &[u8]) -> Option<usize> {
        match &self.delimiter[..] {
            [byte] => memchr::memchr(*byte, bytes),
            delimiter => memchr::memmem::find(bytes, delimiter),
        }
    }

    /// A line feed may follow a carriage return.
    fn without_return(&self, line: &[u8]) -> usize {
        let has_return = self.delimiter == b"\n" && line.ends_with(b"\r");
        line.len() - usize::from(has_return)
    }

    /// The count that the message begins with, if it is to have one.
    fn count(&self, bytes: &[u8]) -> Result<Count, NoCount> {
        let needed = match self.framing {
            Framing::Delimited => return Ok(Count::None),
            Framing::Counted => true,
            Framing::Either => false,
        };
        let none = |at: usize| match bytes.get(at) {
            Some(byte) if needed => Err(NoCount(*byte)),
            _ => Ok(Count::None),
        };
        let digits = bytes.iter().take(DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
        if bytes[0] == b'0' || digits > DIGITS_MAX {
            return none(0);
        }
        let length = bytes[..digits].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        match bytes.get(digits) {
            None => Ok(Count::More),
            Some(b' ') if digits > 0 => match bytes.get(digits + 1) {
                _ if needed => Ok(Count::Of { header: digits + 1, length }),
                None => Ok(Count::More),
                Some(b'<') => Ok(Count::Of { header: digits + 1, length }),
                Some(_) => Ok(Count::None),
            },
            Some(_) => none(digits),
        }
    }
}

enum Count {
    None,
    More,
    Of { header: usize, length: u64 },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes of a stream that arrives in pieces of this size; what was cut has a `…`.
    fn read(framer: &Framer, stream: &[u8], piece: usize) -> Result<Vec<String>, NoCount> {
        let mut framer = framer.clone();
        let (mut buffer, mut messages) = (Vec::new(), Vec::new());
        let text = |bytes: &[u8], is_cut: bool| {
            format!("{}{}", String::from_utf8_lossy(bytes), if is_cut { "…" } else { "" })
        };
        for piece in stream.chunks(piece.max(1)) {
            buffer.extend_from_slice(piece);
            loop {
                match framer.step(&buffer)? {
                    Step::Message { from, to, used, is_cut } => {
                        messages.push(text(&buffer[from..to], is_cut));
                        buffer.drain(..used);
                    }
                    Step::Skip(used) => {
                        assert!(used > 0);
                        buffer.drain(..used);
                    }
                    Step::More => break,
                }
            }
        }
        if let Some(Step::Message { from, to, is_cut, .. }) = framer.end(&buffer) {
            messages.push(text(&buffer[from..to], is_cut));
        }
        Ok(messages)
    }

    #[test]
    fn messages_of_a_stream() {
        #[track_caller]
        fn check(framing: Framing, delimiter: &str, stream: &str, expected: &[&str]) {
            let framer = Framer::new(framing, delimiter.as_bytes(), 8);
            for piece in [1, 2, 3, 5, 100] {
                let found = read(&framer, stream.as_bytes(), piece).unwrap();
                assert_eq!(found, expected, "{stream:?} in pieces of {piece}");
            }
        }
        use Framing::{Counted, Delimited, Either};
        check(Delimited, "\n", "a\nb\r\n\nc", &["a", "b", "", "c"]);
        check(Delimited, "\0", "a\nb\0c\r\0", &["a\nb", "c\r"]);
        check(Delimited, "||", "a|b||c||", &["a|b", "c"]);
        check(Delimited, "\n", "12345678\n123456789\nx\n", &["12345678", "12345678…", "x"]);
        check(Delimited, "\n", "12345678\r\n1234567890123456789\nx", &["12345678", "12345678…", "x"]);
        check(Delimited, "||", "1234567890123456||x||", &["12345678…", "x"]);
        check(Counted, "\n", "3 a\nb5 hello", &["a\nb", "hello"]);
        check(Counted, "\n", "10 12345678901 x", &["12345678…", "x"]);
        check(Counted, "\n", "5 hel", &["hel…"]);
        let mixed = ["<1>", "<2>", "<3>a", "<4>\nb", "6 x"];
        check(Either, "\n", "3 <1>3 <2><3>a\n5 <4>\nb6 x\n", &mixed);
        check(Either, "\n", "12", &["12"]);
        check(Delimited, "\n", "123456789", &["12345678…"]);
    }

    #[test]
    fn a_stream_without_counts() {
        let framer = Framer::new(Framing::Counted, b"\n", 100);
        for (bad, byte) in [("<13>a", b'<'), ("01 a", b'0'), ("5x", b'x'), ("12345678901 ", b'1')] {
            assert_eq!(read(&framer, bad.as_bytes(), 100), Err(NoCount(byte)), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_framed_comes_back(
            messages in prop::collection::vec("[a-z<>0-9 ]{0,12}", 0..8), counted: bool, piece in 1..40_usize,
        ) {
            let mut stream = String::new();
            for message in &messages {
                match counted {
                    true => stream.push_str(&format!("{} {message}", message.len().max(1))),
                    false => stream.push_str(&format!("{message}\n")),
                }
                // Nothing is counted as 0.
                if counted && message.is_empty() {
                    stream.push('-');
                }
            }
            let framing = if counted { Framing::Counted } else { Framing::Delimited };
            let framer = Framer::new(framing, b"\n", 8);
            let expected: Vec<String> = messages
                .iter()
                .map(|message| if counted && message.is_empty() { "-" } else { message })
                .map(|message| match message.len() {
                    ..=8 => message.to_owned(),
                    _ => format!("{}…", &message[..8]),
                })
                .collect();
            prop_assert_eq!(read(&framer, stream.as_bytes(), piece), Ok(expected));
        }

        /// However a stream is cut into pieces, the same comes of it.
        #[test]
        fn any_stream(stream in "[0-9 <a\n|]{0,60}", kind in 0..3_u8, piece in 1..30_usize, long: bool) {
            let framing = [Framing::Delimited, Framing::Counted, Framing::Either][usize::from(kind)];
            let delimiter: &[u8] = if long { b"|\n" } else { b"\n" };
            let framer = Framer::new(framing, delimiter, 8);
            let (whole, pieces) = (read(&framer, stream.as_bytes(), 100), read(&framer, stream.as_bytes(), piece));
            prop_assert_eq!(whole, pieces);
        }
    }
}
