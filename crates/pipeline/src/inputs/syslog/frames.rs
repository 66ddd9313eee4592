//! Messages of syslog in a stream of bytes (RFC 6587): counted, `LENGTH SP MESSAGE`, or ended by a line
//! feed or a zero. Which of the two is seen for each message: a counted one begins with digits, any
//! other with `<`, or whatever it is.

/// The digits of a length at most.
const DIGITS_MAX: usize = 9;

/// Takes messages off a stream.
#[derive(Default)]
pub(super) struct Frames {
    /// What is left of a message whose beginning was given already.
    skip: Skip,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Skip {
    #[default]
    Nothing,
    /// So many bytes.
    Bytes(usize),
    /// Everything up to the end of the line.
    Line,
}

impl Frames {
    /// Gives each message that `bytes` holds whole to `each`, and says how many bytes were of use; the
    /// others are to be given again, with more behind them. Of a message that is larger than `most` the
    /// beginning is given, with a `true`.
    pub(super) fn take(&mut self, bytes: &[u8], most: usize, mut each: impl FnMut(&[u8], bool)) -> usize {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            match self.skip {
                Skip::Nothing => {}
                Skip::Bytes(count) => {
                    let here = count.min(rest.len());
                    at += here;
                    self.skip = if here < count { Skip::Bytes(count - here) } else { Skip::Nothing };
                    if here < count {
                        return at;
                    }
                    continue;
                }
                Skip::Line => match end_of_line(rest) {
                    Some(end) => {
                        at += end + 1;
                        self.skip = Skip::Nothing;
                        continue;
                    }
                    None => return bytes.len(),
                },
            }
            // Some end a counted message with a line feed as well.
            if matches!(rest.first(), Some(b'\n' | 0)) {
                at += 1;
                continue;
            }
            match counted(rest) {
                Counted::Yes { head, length } if length > most && rest.len() >= head + most => {
                    each(&rest[head..head + most], true);
                    at += head + most;
                    self.skip = Skip::Bytes(length - most);
                }
                Counted::Yes { head, length } if length <= most && rest.len() >= head + length => {
                    each(&rest[head..head + length], false);
                    at += head + length;
                }
                Counted::Yes { .. } | Counted::Perhaps => return at,
                Counted::No => match end_of_line(rest) {
                    Some(end) => {
                        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
                        each(&line[..line.len().min(most)], line.len() > most);
                        at += end + 1;
                    }
                    None if rest.len() > most => {
                        each(&rest[..most], true);
                        at = bytes.len();
                        self.skip = Skip::Line;
                    }
                    None => return at,
                },
            }
        }
    }

    /// Whether what is left when the stream ends is a message: who closes need not end its last line.
    pub(super) fn last<'b>(&self, rest: &'b [u8]) -> Option<&'b [u8]> {
        let is_cut = matches!(counted(rest), Counted::Yes { .. });
        (self.skip == Skip::Nothing && !rest.is_empty() && !is_cut).then_some(rest)
    }
}

fn end_of_line(bytes: &[u8]) -> Option<usize> {
    memchr::memchr2(b'\n', 0, bytes)
}

enum Counted {
    Yes {
        head: usize,
        length: usize,
    },
    No,
    /// More bytes will tell.
    Perhaps,
}

/// Whether a message begins with its length. What follows must be a priority: a line may begin with digits, too.
fn counted(bytes: &[u8]) -> Counted {
    let digits = bytes.iter().take(DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if bytes.first() == Some(&b'0') || digits > DIGITS_MAX {
        return Counted::No;
    }
    match (digits, bytes.get(digits), bytes.get(digits + 1)) {
        (_, None, _) => Counted::Perhaps,
        (1.., Some(b' '), None) => Counted::Perhaps,
        (1.., Some(b' '), Some(b'<')) => {
            let length = bytes[..digits].iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
            Counted::Yes { head: digits + 1, length }
        }
        _ => Counted::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The messages of a stream that comes in pieces of this size; those that were cut end with a bar.
    fn messages(stream: &[u8], piece: usize, most: usize) -> Vec<String> {
        let (mut frames, mut found, mut buffer) = (Frames::default(), Vec::new(), Vec::new());
        for piece in stream.chunks(piece) {
            buffer.extend_from_slice(piece);
            let used = frames.take(&buffer, most, |message, is_cut| {
                found.push(String::from_utf8_lossy(message).into_owned() + if is_cut { "|" } else { "" });
            });
            buffer.drain(..used);
        }
        found.extend(frames.last(&buffer).map(|last| String::from_utf8_lossy(last).into_owned()));
        found
    }

    #[test]
    fn streams() {
        #[track_caller]
        fn check(stream: &str, expected: &[&str]) {
            for piece in [1, 2, 3, 7, 1_000] {
                assert_eq!(messages(stream.as_bytes(), piece, 10), expected, "pieces of {piece}");
            }
        }
        check("<1>a\n<2>b\r\n", &["<1>a", "<2>b"]);
        check("4 <1>a6 <2>b\nc\n5 <3>dd", &["<1>a", "<2>b\nc", "<3>dd"]);
        check("<1>a\0<2>b", &["<1>a", "<2>b"]);
        check("4 <1>a<2>b\n5 <3>cc", &["<1>a", "<2>b", "<3>cc"]);
        check("\n\n<1>a\n\n", &["<1>a"]);
        check("7 dwarfs\n12\n0 <1>\n", &["7 dwarfs", "12", "0 <1>"]);
        check("<1>0123456789\n<2>b\n", &["<1>0123456|", "<2>b"]);
        check("13 <1>0123456789<2>b\n", &["<1>0123456|", "<2>b"]);
        // A counted message that is not whole was cut by who closed.
        check("9 <1>a", &[]);
        check("1234567890 <1>a\n", &["1234567890|"]);
    }

    proptest! {
        /// However it comes in, it is the same, and nothing larger than it may be comes out.
        #[test]
        fn pieces_make_no_difference(stream in "([0-9]{0,2} ?<[0-9]>[a-z ]{0,15}\n?){0,6}", piece in 1..20_usize) {
            let whole = messages(stream.as_bytes(), stream.len().max(1), 12);
            prop_assert_eq!(messages(stream.as_bytes(), piece, 12), whole);
        }

        #[test]
        fn counted_messages_come_through(messages_in in proptest::collection::vec("<[0-9]>[a-z\n]{0,40}", 0..10), piece in 1..50_usize) {
            let stream: String = messages_in.iter().map(|message| format!("{} {message}", message.len())).collect();
            prop_assert_eq!(messages(stream.as_bytes(), piece, 100), messages_in);
        }
    }
}
