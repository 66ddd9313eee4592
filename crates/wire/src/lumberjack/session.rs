//! What a receiver remembers of a connection: how much of a window is to come, and what it may
//! acknowledge.

use super::frame::{Frame, Version, encode};
use std::collections::VecDeque;

/// The window that comes in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    left: u32,
}

/// An event that belongs to a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Whether it is the last one.
    pub is_last: bool,
}

impl Window {
    /// A window begins. One that was not full ends with what came of it: who sent it knows why.
    pub fn open(&mut self, count: u32) {
        self.left = count;
    }

    /// An event came; `None` when it belongs to no window, which no sender does.
    pub fn event(&mut self) -> Option<Received> {
        self.left = self.left.checked_sub(1)?;
        Some(Received { is_last: self.left == 0 })
    }

    /// Whether events are to come.
    pub fn is_open(&self) -> bool {
        self.left > 0
    }
}

/// Some events in a row that become safe together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Piece(u64);

/// What was received and is not acknowledged yet, in order.
#[derive(Debug, Default)]
pub struct Acks {
    pieces: VecDeque<State>,
    /// The number of the first of them.
    first: u64,
    version: Version,
    /// A window was announced whose last events are not among the pieces yet.
    is_expecting: bool,
    is_lost: bool,
}

#[derive(Debug)]
struct State {
    version: Version,
    sequence: u32,
    ends_window: bool,
    is_safe: bool,
}

impl Acks {
    /// A window is announced: who sends it waits for its acknowledgment from now on.
    pub fn expect(&mut self, version: Version) {
        (self.version, self.is_expecting) = (version, true);
    }

    /// Events were received, the last of them of this number; whether that ends a window.
    pub fn begin(&mut self, version: Version, sequence: u32, ends_window: bool) -> Piece {
        self.pieces.push_back(State { version, sequence, ends_window, is_safe: false });
        self.version = version;
        self.is_expecting &= !ends_window;
        Piece(self.first + self.pieces.len() as u64 - 1)
    }

    /// A piece is safe, or will never be: then nothing from there on is acknowledged any more.
    pub fn settle(&mut self, piece: Piece, is_safe: bool) {
        let at = piece.0.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let Some(state) = at.and_then(|at| self.pieces.get_mut(at)) else { return };
        state.is_safe = is_safe;
        self.is_lost |= !is_safe;
    }

    /// Writes what can be acknowledged now: the end of every window, and how far the one behind
    /// them is safe.
    pub fn write(&mut self, out: &mut Vec<u8>) {
        let mut within = None;
        while let Some(state) = self.pieces.pop_front_if(|state| state.is_safe) {
            self.first += 1;
            within = (!state.ends_window).then_some((state.version, state.sequence));
            if state.ends_window {
                encode(state.version, &Frame::Ack(state.sequence), out);
            }
        }
        if let Some((version, sequence)) = within {
            encode(version, &Frame::Ack(sequence), out);
        }
    }

    /// Writes that the receiver lives, when somebody waits to hear of it.
    pub fn write_keep_alive(&self, out: &mut Vec<u8>) {
        if self.is_expecting || !self.is_empty() {
            encode(self.version, &Frame::Ack(0), out);
        }
    }

    /// Whether all that was received is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether something was let go: the sender is to send it again, on another connection.
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Decoded, decode};
    use super::*;
    use proptest::prelude::*;

    fn sequences(mut bytes: &[u8]) -> Vec<u32> {
        let mut all = Vec::new();
        while let Ok(Decoded::Frame(_, Frame::Ack(sequence), length)) = decode(bytes, 100) {
            all.push(sequence);
            bytes = &bytes[length..];
        }
        assert!(bytes.is_empty());
        all
    }

    fn written(acks: &mut Acks) -> Vec<u32> {
        let mut out = Vec::new();
        acks.write(&mut out);
        sequences(&out)
    }

    #[test]
    fn windows_are_acknowledged_by_their_ends() {
        let mut acks = Acks::default();
        let two = Version::Two;
        let pieces = [
            acks.begin(two, 1_000, false),
            acks.begin(two, 2_000, true),
            acks.begin(two, 1_000, false),
            acks.begin(two, 1_500, true),
            acks.begin(two, 10, false),
        ];
        let mut alive = Vec::new();
        acks.write_keep_alive(&mut alive);
        assert_eq!(alive, b"2A\0\0\0\0");
        acks.settle(pieces[1], true);
        assert!(written(&mut acks).is_empty());
        acks.settle(pieces[0], true);
        assert_eq!(written(&mut acks), [2_000]);
        acks.settle(pieces[2], true);
        assert_eq!(written(&mut acks), [1_000]);
        acks.settle(pieces[4], true);
        acks.settle(pieces[3], true);
        assert_eq!(written(&mut acks), [1_500, 10]);
        assert!(acks.is_empty() && !acks.is_lost());
        // A window has begun of which the last piece is not there yet.
        alive.clear();
        acks.expect(Version::One);
        acks.write_keep_alive(&mut alive);
        assert_eq!(alive, b"1A\0\0\0\0");
        let last = acks.begin(Version::One, 11, true);
        acks.settle(last, true);
        assert_eq!(written(&mut acks), [11]);
        alive.clear();
        acks.write_keep_alive(&mut alive);
        assert_eq!(alive, b"");
    }

    #[test]
    fn what_is_lost_is_never_acknowledged() {
        let mut acks = Acks::default();
        let (lost, safe) = (acks.begin(Version::One, 1, true), acks.begin(Version::One, 2, true));
        acks.settle(lost, false);
        acks.settle(safe, true);
        assert!(written(&mut acks).is_empty());
        assert!(acks.is_lost());
    }

    #[test]
    fn windows_have_as_many_events_as_they_say() {
        let mut window = Window::default();
        assert_eq!(window.event(), None);
        window.open(2);
        assert_eq!(window.event(), Some(Received { is_last: false }));
        assert!(window.is_open());
        assert_eq!(window.event(), Some(Received { is_last: true }));
        assert_eq!(window.event(), None);
    }

    proptest! {
        /// In whatever order pieces become safe: a number is acknowledged only when all before it
        /// is safe, each window once by its end, and in the end all are.
        #[test]
        fn only_what_is_safe_is_acknowledged(
            windows in prop::collection::vec(prop::collection::vec(1..5_u32, 1..5), 1..6),
            order: Vec<usize>,
        ) {
            let mut acks = Acks::default();
            // Every piece: its window and its number.
            let mut pieces = Vec::new();
            for (window, sizes) in windows.iter().enumerate() {
                let mut sequence = 0;
                for (n, size) in sizes.iter().enumerate() {
                    sequence += size;
                    let ends = n + 1 == sizes.len();
                    pieces.push((acks.begin(Version::Two, sequence, ends), window, sequence));
                }
            }
            let ends: Vec<u32> = windows.iter().map(|sizes| sizes.iter().sum()).collect();
            let mut open: Vec<usize> = (0..pieces.len()).collect();
            let mut safe = vec![false; pieces.len()];
            let mut window = 0;
            let mut reached = 0;
            for choice in order.into_iter().chain(std::iter::repeat(0)) {
                if open.is_empty() {
                    break;
                }
                let at = open.remove(choice % open.len());
                safe[at] = true;
                acks.settle(pieces[at].0, true);
                for sequence in written(&mut acks) {
                    prop_assert!(sequence > reached && sequence <= ends[window]);
                    reached = sequence;
                    let covered = pieces.iter().zip(&safe).filter(|((_, own, last), _)| {
                        *own < window || (*own == window && *last <= sequence)
                    });
                    prop_assert!(covered.into_iter().all(|(_, safe)| *safe));
                    if sequence == ends[window] {
                        (window, reached) = (window + 1, 0);
                    }
                }
            }
            prop_assert_eq!(window, windows.len());
            prop_assert!(acks.is_empty());
        }
    }
}
