//! What outputs over HTTP share: requests that are under way on a thread of their own, and how the
//! server stands.

use super::OutputError;
use crate::net::http::{Answer, HttpError};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// The first pause after a request failed.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// So many events in a row are refused by requests of their own; then whole requests are: it is
/// not this or that event that the server does not take.
const SPOILT_MAX: u32 = 16;
/// So much of an answer is repeated.
const WORDS_MAX: usize = 300;

/// Requests that are under way. They are given up when this goes: what they held is given again by
/// the queue.
pub(super) struct Requests<E> {
    /// There until the drop.
    runtime: Option<Runtime>,
    sender: Sender<Done<E>>,
    receiver: Receiver<Done<E>>,
}

/// A request that ended.
pub(super) struct Done<E> {
    pub(super) number: u64,
    pub(super) host: usize,
    pub(super) result: Result<Answer, E>,
}

/// Tells the end of a request, even if its task ends without any.
struct Teller<E> {
    sender: Sender<Done<E>>,
    done: Option<Done<E>>,
}

impl<E> Drop for Teller<E> {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            // Nobody listens once the output is gone.
            let _ = self.sender.send(done);
        }
    }
}

impl<E: From<HttpError> + Send + 'static> Requests<E> {
    /// Starts the thread of this name.
    pub(super) fn new(thread: &str) -> Result<Self, String> {
        let (sender, receiver) = channel();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(4)
            .thread_name(thread)
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self { runtime: Some(runtime), sender, receiver })
    }

    /// Starts a request of this number to a host.
    pub(super) fn start(
        &self,
        number: u64,
        host: usize,
        request: impl Future<Output = Result<Answer, E>> + Send + 'static,
    ) {
        let Some(runtime) = &self.runtime else { return };
        let given_up = HttpError::Lost("the request was given up".to_owned()).into();
        let done = Done { number, host, result: Err(given_up) };
        let mut teller = Teller { sender: self.sender.clone(), done: Some(done) };
        runtime.spawn(async move {
            let result = request.await;
            if let Some(done) = &mut teller.done {
                done.result = result;
            }
        });
    }

    /// The next that has ended, if there is one.
    pub(super) fn ended(&self) -> Option<Done<E>> {
        self.receiver.try_recv().ok()
    }

    /// The next that ends before `until`.
    pub(super) fn wait(&self, until: Instant) -> Option<Done<E>> {
        self.receiver.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
    }
}

impl<E> Drop for Requests<E> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// How the server stands: how much may be under way to it, and what is to be told.
pub(super) struct Standing {
    /// How many requests may be under way now: one after a failure, more with each success.
    window: usize,
    window_max: usize,
    pause_max: Duration,
    /// What keeps the server from taking events, while it does.
    trouble: Option<String>,
    /// How many events were refused by requests of their own since a request was taken.
    spoilt: u32,
    /// What was said to be settled last.
    told: u64,
}

impl Standing {
    pub(super) fn new(window_max: usize, pause_max: Duration) -> Self {
        let pause_max = pause_max.max(PAUSE_FIRST);
        Self { window: window_max, window_max, pause_max, trouble: None, spoilt: 0, told: 0 }
    }

    /// Whether one more request may be sent while so many are under way.
    pub(super) fn may_send(&self, under_way: usize) -> bool {
        under_way < self.window
    }

    /// Whether the server is not known to take nothing.
    pub(super) fn is_well(&self) -> bool {
        self.trouble.is_none()
    }

    /// The server took a request.
    pub(super) fn took(&mut self) {
        (self.trouble, self.spoilt) = (None, 0);
        self.window = (self.window + 1).min(self.window_max);
    }

    /// The server took what it was able to take of a request.
    pub(super) fn took_some(&mut self, trouble: String) {
        self.trouble = Some(trouble);
        self.window = (self.window / 2).max(1);
    }

    /// The server takes nothing.
    pub(super) fn failed(&mut self, trouble: String) {
        self.trouble = Some(trouble);
        self.window = 1;
    }

    /// The server answers, and refuses what it was sent.
    pub(super) fn refused(&mut self) {
        self.trouble = None;
    }

    /// It refused an event that had a request of its own.
    pub(super) fn refused_one(&mut self) {
        self.spoilt += 1;
    }

    /// Whether what is refused may be the fault of single events.
    pub(super) fn may_be_events(&self) -> bool {
        self.spoilt < SPOILT_MAX
    }

    /// As [`Output::settled`](super::Output::settled), where this is the oldest that is not.
    pub(super) fn settled(&mut self, oldest: Option<u64>) -> Result<u64, OutputError> {
        let settled = oldest.unwrap_or(u64::MAX);
        match &self.trouble {
            // What is settled all the same is said first.
            Some(trouble) if settled == self.told => Err(OutputError::Server(trouble.clone())),
            _ => {
                self.told = settled;
                Ok(settled)
            }
        }
    }

    /// The pause before the next try after so many: longer each time, and never the same for two of us.
    pub(super) fn pause(&self, attempts: u32) -> Duration {
        let longest = PAUSE_FIRST.saturating_mul(1 << attempts.min(16)).min(self.pause_max);
        longest.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// The same where the server itself asked for a pause.
    pub(super) fn pause_asked(&self, attempts: u32, asked: Option<Duration>) -> Duration {
        self.pause(attempts).max(asked.unwrap_or_default().min(self.pause_max))
    }
}

/// A status, and the beginning of what was said with it, for people.
pub(super) fn words(status: u16, said: &str) -> String {
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let said: String = said.chars().take(WORDS_MAX).collect();
    if said.is_empty() { status.to_string() } else { format!("{status} ({said})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_panics_has_ended_too() {
        let requests: Requests<HttpError> = Requests::new("net:test").unwrap();
        requests.start(7, 1, async { panic!("on purpose") });
        let done = requests.wait(Instant::now() + Duration::from_secs(60)).unwrap();
        assert_eq!((done.number, done.host), (7, 1));
        assert!(matches!(done.result, Err(HttpError::Lost(_))));
        assert!(requests.ended().is_none());
    }

    #[test]
    fn what_is_settled_is_said_before_a_trouble() {
        let mut standing = Standing::new(4, Duration::from_secs(1));
        assert_eq!(standing.settled(Some(3)).unwrap(), 3);
        standing.failed("no".to_owned());
        assert!(!standing.is_well() && standing.may_send(0) && !standing.may_send(1));
        assert_eq!(standing.settled(Some(5)).unwrap(), 5);
        assert!(matches!(standing.settled(Some(5)), Err(OutputError::Server(text)) if text == "no"));
        standing.took();
        assert!(standing.is_well() && standing.may_send(1) && !standing.may_send(2));
        assert_eq!(standing.settled(None).unwrap(), u64::MAX);
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let standing = Standing::new(1, Duration::from_secs(1));
        for (attempts, least, most) in [(0, 50, 100), (1, 100, 200), (9, 500, 1_000), (u32::MAX, 500, 1_000)]
        {
            let pause = standing.pause(attempts).as_millis();
            assert!((least..=most).contains(&pause), "{attempts}: {pause}");
        }
        let asked = |seconds| standing.pause_asked(0, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(30), Duration::from_secs(1));
        assert!(asked(0) <= Duration::from_millis(100));
    }
}
