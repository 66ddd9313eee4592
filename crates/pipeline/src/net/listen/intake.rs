//! From connections to the input's thread: loads, and the memory that they may take.
//!
//! Two limits of `intake_bytes` each, so that nothing waits for itself. Whole loads share one: who has
//! a load waits until it fits, and what is larger than all of it fits when nothing else is there.
//! Loads that are still being read share the other: they are small, or their reader
//! [took room](Intake::grow) for all that they can become, at once and never a second time.

use crate::stop::Stop;
use crate::wake::Wake;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, error::TryRecvError, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// As much may be read of a load by every connection at any time.
pub(crate) const FREE_BYTES: usize = 32 << 10;

/// The connections' end. The last one that goes ends the intake.
pub(crate) struct Intake<T> {
    sender: UnboundedSender<(T, OwnedSemaphorePermit)>,
    bytes: Arc<Semaphore>,
    bytes_max: usize,
    reading: Arc<Semaphore>,
    // Behind the sender: who wakes up finds that it is gone.
    wake: Arc<WakeOnDrop>,
}

impl<T> Clone for Intake<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            bytes: self.bytes.clone(),
            bytes_max: self.bytes_max,
            reading: self.reading.clone(),
            wake: self.wake.clone(),
        }
    }
}

/// Only intakes hold it.
struct WakeOnDrop(Arc<Wake>);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.wake();
    }
}

/// Room for a load that is being read, until it is dropped.
pub(crate) struct Room(
    #[expect(dead_code, reason = "it is given back when it is dropped")] OwnedSemaphorePermit,
);

/// The input's end.
pub(crate) struct Collector<T> {
    receiver: UnboundedReceiver<(T, OwnedSemaphorePermit)>,
    wake: Arc<Wake>,
}

/// What [`Listening::next`](super::Listening::next) found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken<T> {
    /// A load.
    Load(T),
    /// None for now.
    Nothing,
    /// There will never be another one.
    Over,
}

/// An intake of this many bytes.
pub(crate) fn new<T>(bytes_max: usize) -> io::Result<(Intake<T>, Collector<T>)> {
    // A semaphore counts in 32 bits.
    let bytes_max = bytes_max.clamp(1, u32::MAX as usize >> 4);
    let (sender, receiver) = unbounded_channel();
    let wake = Arc::new(Wake::new()?);
    let intake = Intake {
        sender,
        bytes: Arc::new(Semaphore::new(bytes_max)),
        bytes_max,
        reading: Arc::new(Semaphore::new(bytes_max)),
        wake: Arc::new(WakeOnDrop(wake.clone())),
    };
    Ok((intake, Collector { receiver, wake }))
}

impl<T> Intake<T> {
    /// Hands a load of this size on; waits until there is room for it. Not waiting for this to end
    /// is the way to give the load up. False when nobody takes loads any more.
    pub(crate) async fn bring(&self, load: T, bytes: usize) -> bool {
        let bytes = bytes.clamp(1, self.bytes_max);
        let room = self.bytes.clone().acquire_many_owned(bytes as u32).await;
        let Ok(room) = room else { return false };
        let is_taken = self.sender.send((load, room)).is_ok();
        self.wake.0.wake();
        is_taken
    }

    /// Waits for room to read a load of so many bytes, which are more than [`FREE_BYTES`].
    pub(crate) async fn grow(&self, bytes: usize) -> Option<Room> {
        let bytes = bytes.clamp(1, self.bytes_max);
        self.reading.clone().acquire_many_owned(bytes as u32).await.ok().map(Room)
    }
}

impl<T> Collector<T> {
    /// Takes a load if there is one.
    pub(crate) fn take(&mut self) -> Taken<T> {
        match self.receiver.try_recv() {
            Ok((load, _room)) => Taken::Load(load),
            Err(TryRecvError::Empty) => Taken::Nothing,
            Err(TryRecvError::Disconnected) => Taken::Over,
        }
    }

    /// Waits until there may be something to take, or until it is to stop, if that is news.
    pub(crate) fn wait(&mut self, stop: &Stop, is_stopping: bool, at_most: Duration) {
        if is_stopping {
            let mut fds = [PollFd::new(&*self.wake, PollFlags::IN)];
            let at_most = Timespec::try_from(at_most).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
            // Interrupted or not: whoever waits looks again.
            let _ = poll(&mut fds, Some(&at_most));
        } else {
            stop.wait_with(&[self.wake.as_fd()], at_most);
        }
        self.wake.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn whole_loads_wait_for_room() {
        let (intake, mut collector) = new::<u32>(10).unwrap();
        // It is larger than all, and fits when there is nothing else.
        assert!(intake.bring(1, 100).await);
        let second = tokio::spawn({
            let intake = intake.clone();
            async move { intake.bring(2, 1).await }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        assert_eq!(collector.take(), Taken::Load(1));
        assert!(second.await.unwrap());
        assert_eq!(collector.take(), Taken::Load(2));
        assert_eq!(collector.take(), Taken::Nothing);
        drop(intake);
        assert_eq!(collector.take(), Taken::Over);
    }

    #[tokio::test]
    async fn what_is_read_takes_room_at_once() {
        let (intake, _collector) = new::<u32>(10).unwrap();
        let (first, second) = (intake.grow(6).await, intake.grow(4).await);
        assert!(first.is_some() && second.is_some());
        let late = tokio::time::timeout(Duration::from_millis(20), intake.grow(5));
        assert!(late.await.is_err());
        drop(first);
        assert!(intake.grow(5).await.is_some());
        drop(second);
        assert!(intake.grow(1 << 30).await.is_some());
    }

    #[test]
    fn who_waits_wakes_up_for_loads_and_for_the_end() {
        let (intake, mut collector) = new::<u32>(10).unwrap();
        let stop = Stop::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bringing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            assert!(runtime.block_on(intake.bring(1, 1)));
            std::thread::sleep(Duration::from_millis(20));
        });
        let start = Instant::now();
        for expected in [Taken::Load(1), Taken::Over] {
            let taken = loop {
                match collector.take() {
                    Taken::Nothing => collector.wait(&stop, false, Duration::from_secs(60)),
                    other => break other,
                }
            };
            assert_eq!(taken, expected);
        }
        assert!(start.elapsed() < Duration::from_secs(30));
        bringing.join().unwrap();
    }
}
