//! What a sender remembers of a connection: which windows are on their way, and how far they are safe.
//!
//! The events of a window are numbered from 1 on, as Beats do it. Several windows may be on their
//! way; they are acknowledged in order, each by the number of its last event, and before that by as
//! many numbers within it as the receiver likes.

use super::frame::{Decoded, Frame, FrameError, Pairs, Version, compress, decode, encode};
use std::collections::VecDeque;

/// An acknowledgment has so many bytes.
const ACK_BYTES: usize = 6;

/// The windows of one connection that are not acknowledged yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows {
    open: VecDeque<Open>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    events: u32,
    safe: u32,
}

/// Why what a receiver says cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    /// It is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It is another frame than an acknowledgment.
    #[error("a receiver sends nothing but acknowledgments")]
    NoAck,
    /// Nothing of this number is on its way.
    #[error("number {0} is acknowledged, and was not sent")]
    NotSent(u32),
}

impl Windows {
    /// A window of so many events was sent; 1 at least.
    pub fn sent(&mut self, events: u32) {
        if events > 0 {
            self.open.push_back(Open { events, safe: 0 });
        }
    }

    /// How many windows are on their way.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether all that was sent is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// How many events were sent and are not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.open.iter().map(|window| (window.events - window.safe) as usize).sum()
    }

    /// Takes the acknowledgments at the beginning of `bytes` off it, and says how many more events
    /// are safe, from the oldest on; `None` when there was no whole acknowledgment. One of 0, or of a
    /// number that is safe already, says only that the receiver lives.
    pub fn take(&mut self, bytes: &mut Vec<u8>) -> Result<Option<usize>, AckError> {
        let (mut used, mut safe) = (0, 0);
        while let Decoded::Frame(_, frame, length) = decode(&bytes[used..], ACK_BYTES)? {
            let Frame::Ack(sequence) = frame else { return Err(AckError::NoAck) };
            safe += self.acknowledge(sequence)?;
            used += length;
        }
        bytes.drain(..used);
        Ok((used > 0).then_some(safe))
    }

    fn acknowledge(&mut self, sequence: u32) -> Result<usize, AckError> {
        let Some(window) = self.open.front_mut() else {
            return if sequence == 0 { Ok(0) } else { Err(AckError::NotSent(sequence)) };
        };
        if sequence > window.events {
            return Err(AckError::NotSent(sequence));
        }
        let more = sequence.saturating_sub(window.safe);
        window.safe += more;
        if window.safe == window.events {
            self.open.pop_front();
        }
        Ok(more as usize)
    }
}

/// Writes a window: its announcement and its events, compressed so hard (1 to 9; 0: not at all).
/// Of version 2 the events are JSON objects; of version 1 each is the value of its only pair, `line`.
pub fn write_window<'a>(
    version: Version,
    events: impl ExactSizeIterator<Item = &'a [u8]>,
    level: u32,
    out: &mut Vec<u8>,
) -> std::io::Result<()> {
    let count = u32::try_from(events.len()).map_err(std::io::Error::other)?;
    encode(version, &Frame::Window(count), out);
    let mut packed = Vec::new();
    let frames = if level == 0 { &mut *out } else { &mut packed };
    let mut pair = Vec::new();
    for (sequence, event) in (1..=count).zip(events) {
        match version {
            Version::Two => encode(version, &Frame::Json(sequence, event), frames),
            Version::One => {
                pair.clear();
                let pairs = Pairs::write([(&b"line"[..], event)], &mut pair);
                encode(version, &Frame::Pairs(sequence, pairs), frames);
            }
        }
    }
    if level > 0 {
        compress(version, &packed, level, out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::frame::{InflateLimits, inflate};
    use super::super::session::{Acks, Window};
    use super::*;
    use proptest::prelude::*;

    fn acks(sequences: &[u32]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for sequence in sequences {
            encode(Version::Two, &Frame::Ack(*sequence), &mut bytes);
        }
        bytes
    }

    #[test]
    fn acknowledgments_are_of_the_oldest_window() {
        let mut windows = Windows::default();
        windows.sent(5);
        windows.sent(3);
        let mut take = |sequences: &[u32]| windows.take(&mut acks(sequences));
        assert_eq!(take(&[]), Ok(None));
        assert_eq!(take(&[0, 0]), Ok(Some(0)));
        assert_eq!(take(&[2]), Ok(Some(2)));
        assert_eq!(take(&[1]), Ok(Some(0)), "what was said before");
        assert_eq!(take(&[4, 5, 1]), Ok(Some(4)));
        assert_eq!(take(&[4]), Err(AckError::NotSent(4)));
        assert_eq!(take(&[3]), Ok(Some(2)));
        assert_eq!(take(&[0]), Ok(Some(0)));
        assert_eq!(take(&[1]), Err(AckError::NotSent(1)));
        assert!(windows.is_empty());
    }

    #[test]
    fn what_is_no_acknowledgment() {
        let mut windows = Windows::default();
        windows.sent(2);
        let mut part = acks(&[1, 2]);
        part.truncate(9);
        assert_eq!(windows.take(&mut part), Ok(Some(1)));
        assert_eq!(part, b"2A\0", "the rest is kept");
        assert_eq!(windows.take(&mut b"2W\0\0\0\x01".to_vec()), Err(AckError::NoAck));
        let error = windows.take(&mut b"HTTP/1.1 400".to_vec());
        assert_eq!(error, Err(AckError::Frame(FrameError::Version(b'H'))));
    }

    #[test]
    fn windows_of_version_1_hold_lines() {
        let mut out = Vec::new();
        write_window(Version::One, [&b"hello"[..]].into_iter(), 0, &mut out).unwrap();
        let expected: &[u8] = b"1W\0\0\0\x011D\0\0\0\x01\0\0\0\x01\0\0\0\x04line\0\0\0\x05hello";
        assert_eq!(out, expected);
    }

    /// What a receiver makes of bytes: the events of every window, by the server's own codec.
    fn received(bytes: &[u8], window: &mut Window, version: Version, events: &mut Vec<(u32, Vec<u8>, bool)>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Ok(Decoded::Frame(found, frame, length)) = decode(rest, usize::MAX) else {
                panic!("whole frames");
            };
            assert_eq!(found, version);
            match frame {
                Frame::Window(count) => {
                    assert!(!window.is_open(), "the window before was full");
                    window.open(count);
                }
                Frame::Json(sequence, event) => {
                    events.push((sequence, event.to_vec(), window.event().unwrap().is_last));
                }
                Frame::Pairs(sequence, pairs) => {
                    let pairs: Vec<_> = pairs.iter().collect();
                    assert_eq!(pairs.len(), 1);
                    assert_eq!(pairs[0].0, b"line");
                    events.push((sequence, pairs[0].1.to_vec(), window.event().unwrap().is_last));
                }
                Frame::Compressed(packed) => {
                    let limits = InflateLimits { bytes_max: 1 << 24, ratio_max: 2_000, free_bytes: 1 << 24 };
                    let mut inner = Vec::new();
                    inflate(packed, limits, &mut inner).unwrap();
                    received(&inner, window, version, events);
                }
                Frame::Ack(_) => panic!("senders acknowledge nothing"),
            }
            rest = &rest[length..];
        }
    }

    /// What happens between two steps of the sender.
    #[derive(Debug, Clone, Copy)]
    enum Happens {
        /// A window of so many events is sent.
        Send(usize),
        /// So many more of the received events become safe, and it is said.
        Safe(usize),
        /// The connection is lost, and with it what was said last.
        Lost,
    }

    fn happens() -> impl Strategy<Value = Happens> {
        prop_oneof![
            3 => (1..6_usize).prop_map(Happens::Send),
            3 => (0..6_usize).prop_map(Happens::Safe),
            1 => Just(Happens::Lost),
        ]
    }

    proptest! {
        /// Whatever is lost: all events arrive, in order on each connection, and none counts as safe
        /// before the receiver said so.
        #[test]
        fn nothing_is_lost_between_sender_and_receiver(
            count in 1..40_usize, one: bool, level in 0..4_u32, story: Vec<u8>,
            happens in prop::collection::vec(happens(), 0..60),
        ) {
            let version = if one { Version::One } else { Version::Two };
            let events: Vec<Vec<u8>> = (0..count)
                .map(|n| [format!("{{\"n\":{n}}}").as_bytes(), &story].concat())
                .collect();
            // The sender's: what is safe, and what is on its way behind it.
            let (mut safe, mut windows) = (0, Windows::default());
            // The receiver's: what it keeps for good, and what of the connection is not safe yet.
            let mut kept = 0;
            let (mut window, mut session, mut pieces) = (Window::default(), Acks::default(), VecDeque::new());
            let end = (0..count * 4).flat_map(|_| [Happens::Send(3), Happens::Safe(3)]);
            for step in happens.into_iter().chain(end) {
                match step {
                    Happens::Send(size) => {
                        let from = safe + windows.unacknowledged();
                        let to = (from + size).min(count);
                        if from < to {
                            let mut bytes = Vec::new();
                            let bodies = events[from..to].iter().map(Vec::as_slice);
                            write_window(version, bodies, level, &mut bytes).unwrap();
                            windows.sent((to - from) as u32);
                            let mut found = Vec::new();
                            received(&bytes, &mut window, version, &mut found);
                            prop_assert_eq!(found.len(), to - from);
                            for (at, (sequence, body, is_last)) in found.into_iter().enumerate() {
                                prop_assert_eq!(sequence as usize, at + 1);
                                prop_assert_eq!(is_last, from + at + 1 == to);
                                prop_assert_eq!(&body, &events[from + at]);
                                pieces.push_back((session.begin(version, sequence, is_last), from + at));
                            }
                        }
                    }
                    Happens::Safe(size) => {
                        for (piece, number) in pieces.drain(..size.min(pieces.len())) {
                            session.settle(piece, true);
                            kept = kept.max(number + 1);
                        }
                        let mut bytes = Vec::new();
                        session.write_keep_alive(&mut bytes);
                        session.write(&mut bytes);
                        safe += windows.take(&mut bytes).unwrap().unwrap_or(0);
                        prop_assert!(bytes.is_empty());
                        prop_assert!(safe <= kept, "{} are safe, {} are kept", safe, kept);
                    }
                    Happens::Lost => {
                        windows = Windows::default();
                        (window, session) = (Window::default(), Acks::default());
                        pieces.clear();
                    }
                }
            }
            prop_assert_eq!((safe, kept), (count, count));
            prop_assert!(windows.is_empty());
        }

        #[test]
        fn any_answer(mut bytes: Vec<u8>, sent in 0..4_u32) {
            let mut windows = Windows::default();
            windows.sent(sent);
            let before = windows.unacknowledged();
            if let Ok(Some(safe)) = windows.take(&mut bytes) {
                prop_assert_eq!(windows.unacknowledged() + safe, before);
            }
        }
    }
}
