//! Acknowledgments: one per read, in shares that travel with what came of it.
//!
//! A read makes one acknowledgment; every batch, copy and held event that comes of it holds
//! a [`Share`]. The last share that goes settles it. There is no refusal: a share that is
//! dropped instead of [done](Share::done) (a panic, a stopped part) settles it as *undone*,
//! and the input begins again at its watermark.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

type Settle = Box<dyn FnOnce(bool) + Send>;

struct Ack {
    undone: AtomicBool,
    settle: Mutex<Option<Settle>>,
}

impl Drop for Ack {
    fn drop(&mut self) {
        let done = !*self.undone.get_mut();
        let settle = match self.settle.get_mut() {
            Ok(settle) => settle.take(),
            Err(poisoned) => poisoned.into_inner().take(),
        };
        if let Some(settle) = settle {
            settle(done);
        }
    }
}

/// A share of one acknowledgment. Cloning it makes another share of the same.
#[must_use = "a share that is dropped counts as undone"]
pub struct Share(Option<Arc<Ack>>);

impl Share {
    /// The first share of a new acknowledgment. `settle` is called once, when the last share
    /// went: with `true` if all were done, with `false` if one was let go.
    pub fn new(settle: impl FnOnce(bool) + Send + 'static) -> Self {
        let settle: Settle = Box::new(settle);
        Self(Some(Arc::new(Ack { undone: AtomicBool::new(false), settle: Mutex::new(Some(settle)) })))
    }

    /// Says that what this share stands for is safe: delivered, in the dead letters, dropped
    /// by rule, or on disk in the queue.
    pub fn done(mut self) {
        self.0 = None;
    }
}

impl Clone for Share {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(ack) = self.0.take() {
            ack.undone.store(true, Ordering::Release);
        }
    }
}

/// The shares that a batch carries: usually one, several when it was made of several reads.
#[derive(Default)]
pub struct Acks(Vec<Share>);

impl Acks {
    /// Adds a share.
    pub fn push(&mut self, share: Share) {
        self.0.push(share);
    }

    /// Says that all of the batch is safe.
    pub fn done(&mut self) {
        for share in self.0.drain(..) {
            share.done();
        }
    }

    /// Takes the shares out, to be settled later by somebody else.
    pub fn take(&mut self) -> Acks {
        Acks(std::mem::take(&mut self.0))
    }

    /// Takes over the shares of another batch.
    pub fn append(&mut self, other: &mut Acks) {
        self.0.append(&mut other.0);
    }

    /// Shares of the same acknowledgments, for a copy of the batch.
    pub fn share(&self) -> Acks {
        Acks(self.0.clone())
    }

    /// How many shares there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody waits for this batch.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear_undone(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicI32;

    fn counted() -> (Share, Arc<AtomicI32>) {
        let seen = Arc::new(AtomicI32::new(0));
        let inner = seen.clone();
        (Share::new(move |done| inner.store(if done { 1 } else { -1 }, Ordering::SeqCst)), seen)
    }

    #[test]
    fn the_last_share_settles() {
        let (share, seen) = counted();
        let other = share.clone();
        share.done();
        assert_eq!(seen.load(Ordering::SeqCst), 0);
        other.done();
        assert_eq!(seen.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_dropped_share_is_undone_even_when_another_is_done_later() {
        let (share, seen) = counted();
        let other = share.clone();
        drop(share);
        other.done();
        assert_eq!(seen.load(Ordering::SeqCst), -1);
    }
}
