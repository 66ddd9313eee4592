//! Events that an output holds until they are safe, as they are sent.

use crate::units::Bytes;
use std::collections::VecDeque;

/// Events in order, with a limit of their bytes.
pub(super) struct Held {
    events: VecDeque<(u64, Box<[u8]>)>,
    bytes: usize,
    bytes_max: usize,
}

impl Held {
    pub(super) fn new(bytes_max: Bytes) -> Self {
        let bytes_max = usize::try_from(bytes_max.0).unwrap_or(usize::MAX);
        Self { events: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Takes an event, whether there is room or not.
    pub(super) fn push(&mut self, sequence: u64, body: &[u8]) {
        self.bytes += body.len();
        self.events.push_back((sequence, body.into()));
    }

    /// Lets go of so many, the oldest first.
    pub(super) fn drop_first(&mut self, count: usize) {
        self.bytes -= self.events.drain(..count).map(|(_, body)| body.len()).sum::<usize>();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether the limit is not passed.
    pub(super) fn has_room(&self) -> bool {
        self.bytes <= self.bytes_max
    }

    /// The sequence of the oldest.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.events.front().map(|(sequence, _)| *sequence)
    }

    /// The bodies, without so many of the oldest.
    pub(super) fn bodies(&self, from: usize) -> impl ExactSizeIterator<Item = &[u8]> {
        self.events.range(from..).map(|(_, body)| &**body)
    }
}
