//! Events by HTTP requests: what the outputs `http` and `loki` share.
//!
//! An output makes parts of requests of events; here they are put into loads, several of which
//! are under way at once, and sent until the server's answer decides. What passes (no answer, 5xx,
//! 429, a password that is wrong) is tried again for ever and is told as the output's trouble; what
//! is refused goes to the dead letters with the server's words. A refused load is halved until the
//! one event is found that the server does not take: its neighbours need not suffer.
//!
//! A load is sent at once when none is under way, else when it is full or `linger` old: single
//! events do not wait, and many events fill large requests by themselves.

mod client;
mod loads;

pub use client::{ApiKey, Auth, Basic, Compression, Statuses};
pub(in crate::outputs) use client::{Options, header};
pub(in crate::outputs) use loads::{Key, Load, New};

use super::{Letter, OutputError, WRITE_WAIT_MAX};
use crate::net::hosts::{Hosts, Pick};
use crate::net::http::{Answer, HttpError};
use client::Client;
use loads::{Loads, Outgoing};
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// So many requests may be under way at once, whatever is configured.
pub(super) const AT_ONCE_MAX: usize = 64;
/// The first pause after a request failed.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Requests do not become smaller than this by themselves, whatever a server says.
const BYTES_MIN: usize = 4 << 10;
/// So many events in a row are refused by requests of their own; then whole requests are: it is
/// not this or that event that the server does not take.
const SPOILT_MAX: u32 = 16;
/// After so many tries of a load its halves are tried: a server may cut the connection rather than
/// say that a request is too large, and a limit of bytes in a while may be smaller than a request.
const HALVED_AFTER: u32 = 4;
/// So much of an answer is repeated.
const WORDS_MAX: usize = 300;

/// What a server thinks of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has all of it.
    Delivered,
    /// It may take it another time.
    Again,
    /// It is larger than it takes.
    TooLarge,
    /// It will never take it as it is.
    Refused,
}

/// What the requests of an output look like, and what answers to them mean.
pub(super) trait Form: Send + Sync + 'static {
    /// The body of a request.
    fn body(&self, load: &Load) -> Vec<u8>;

    /// What an answer means.
    fn judge(&self, status: u16, body: &[u8]) -> Verdict;
}

/// How much goes in a request and is under way.
pub(super) struct Limits {
    pub(super) batch_bytes: usize,
    pub(super) batch_events: usize,
    pub(super) in_flight_max: usize,
    pub(super) linger: Duration,
    pub(super) retry_pause_max: Duration,
}

impl Limits {
    /// Checks the options of these names.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.batch_bytes == 0 || self.batch_events == 0 {
            return Err("option \"batch_bytes\" or \"batch_events\": expected more than 0".to_owned());
        }
        if !(1..=AT_ONCE_MAX).contains(&self.in_flight_max) {
            return Err(format!("option \"in_flight_max\": expected 1 to {AT_ONCE_MAX}"));
        }
        Ok(())
    }
}

/// Sends events by requests of a form.
pub(super) struct Post<F> {
    form: Arc<F>,
    loads: Loads,
    hosts: Hosts,
    client: Arc<Client>,
    /// There until the drop.
    runtime: Option<Runtime>,
    sender: Sender<Done>,
    receiver: Receiver<Done>,
    limits: Limits,
    /// How many requests may be under way now: one after a failure, more with each success.
    window: usize,
    letters: Vec<Letter>,
    /// What keeps the server from taking events, while it does.
    trouble: Option<String>,
    /// How many events were refused by requests of their own since a request was taken.
    spoilt: u32,
    /// What was said to be settled last.
    told: u64,
}

/// A request that ended.
struct Done {
    number: u64,
    host: usize,
    result: Result<Answer, HttpError>,
}

/// Tells the end of a request, even if its task ends without any.
struct Teller {
    sender: Sender<Done>,
    done: Option<Done>,
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            // Nobody listens once the output is gone.
            let _ = self.sender.send(done);
        }
    }
}

impl<F: Form> Post<F> {
    /// Reads certificates; an error names the option.
    pub(super) fn new(form: F, options: Options, limits: Limits) -> Result<Self, String> {
        limits.check()?;
        let client = Arc::new(Client::new(options)?);
        let (sender, receiver) = channel();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(4)
            .thread_name("net:post")
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self {
            form: Arc::new(form),
            loads: Loads::new(limits.batch_bytes, limits.batch_events),
            hosts: Hosts::new(client.hosts()),
            client,
            runtime: Some(runtime),
            sender,
            receiver,
            window: limits.in_flight_max,
            limits,
            letters: Vec::new(),
            trouble: None,
            spoilt: 0,
            told: 0,
        })
    }

    /// Waits a little until there is room for a batch.
    pub(super) fn wait_for_room(&mut self) -> Result<(), OutputError> {
        let until = Instant::now() + WRITE_WAIT_MAX;
        self.turn();
        while !self.has_room() {
            if !self.wait(until) {
                return Err(OutputError::Full);
            }
        }
        Ok(())
    }

    /// What is being built, as it would be sent.
    #[cfg(test)]
    pub(super) fn sealed(&mut self) -> Option<Arc<Load>> {
        let now = Instant::now();
        self.loads.seal_oldest(now);
        self.loads.send(now).map(|outgoing| outgoing.load)
    }

    /// Puts an event on its way.
    pub(super) fn add(&mut self, key: &Key, new: &New<'_>, now: Instant) {
        self.loads.add(key, new, now);
    }

    /// As [`Output::settled`](super::Output::settled).
    pub(super) fn settled(&mut self, idle: bool, refused: &mut Vec<Letter>) -> Result<u64, OutputError> {
        self.turn();
        if idle && self.loads.under_way() > 0 {
            self.wait(Instant::now() + WRITE_WAIT_MAX);
        }
        refused.append(&mut self.letters);
        let settled = self.loads.oldest().unwrap_or(u64::MAX);
        match &self.trouble {
            // What is settled all the same is said first.
            Some(trouble) if settled == self.told => Err(OutputError::Server(trouble.clone())),
            _ => {
                self.told = settled;
                Ok(settled)
            }
        }
    }

    /// Takes what was answered, and sends what may be sent.
    pub(super) fn turn(&mut self) {
        while let Ok(done) = self.receiver.try_recv() {
            self.done(done);
        }
        self.send(Instant::now());
    }

    /// Waits for an answer, or for the time at which something may be sent; says whether there
    /// was any of these before `until`.
    fn wait(&mut self, until: Instant) -> bool {
        let now = Instant::now();
        let next = match self.loads.under_way() < self.window {
            true => self.loads.next_ready().filter(|next| *next > now),
            false => None,
        };
        let wake = next.map_or(until, |next| next.min(until));
        match self.receiver.recv_timeout(wake.saturating_duration_since(now)) {
            Ok(done) => self.done(done),
            Err(RecvTimeoutError::Timeout) if wake < until => {}
            Err(_) => return false,
        }
        self.turn();
        true
    }

    /// As many loads as may be under way and one more to be filled.
    fn has_room(&self) -> bool {
        self.loads.bytes() <= self.limits.batch_bytes.saturating_mul(self.limits.in_flight_max + 1)
    }

    fn send(&mut self, now: Instant) {
        while self.loads.under_way() < self.window {
            let Some(Outgoing { number, load }) = self.loads.send(now) else {
                if self.is_due(now) && self.loads.seal_oldest(now) {
                    continue;
                }
                return;
            };
            match self.hosts.pick(now) {
                Pick::Host(host) => self.start(number, load, host),
                Pick::Wait(until) => {
                    self.loads.unsend(number, until);
                    return;
                }
            }
        }
    }

    /// Whether a load that is being built is to be sent. While all is well and nothing is under
    /// way it goes at once; while something waits to be tried again, it would only wait behind it.
    fn is_due(&self, now: Instant) -> bool {
        let is_quiet = self.loads.under_way() == 0 && self.trouble.is_none();
        is_quiet || self.loads.due(self.limits.linger).is_some_and(|due| due <= now)
    }

    fn start(&self, number: u64, load: Arc<Load>, host: usize) {
        let Some(runtime) = &self.runtime else { return };
        let (client, form) = (self.client.clone(), self.form.clone());
        let given_up = HttpError::Lost("the request was given up".to_owned());
        let done = Done { number, host, result: Err(given_up) };
        let mut teller = Teller { sender: self.sender.clone(), done: Some(done) };
        runtime.spawn(async move {
            let result = client.send(host, form, load).await;
            if let Some(done) = &mut teller.done {
                done.result = result;
            }
        });
    }

    /// A request ended.
    fn done(&mut self, Done { number, host, result }: Done) {
        let now = Instant::now();
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => {
                if matches!(error, HttpError::Lost(_)) && self.halve_stubborn(number, now) {
                    // Perhaps there is nothing wrong with the host.
                    self.hosts.answered(host);
                    return;
                }
                self.hosts.failed(host, now, fastrand::f64());
                // Another host may take it at once.
                self.loads.again(number, now);
                let name = self.client.name(host);
                if self.hosts.are_all_gone() {
                    self.window = 1;
                    self.trouble = Some(format!("cannot reach {name}: {error}; it is tried again"));
                } else {
                    tracing::debug!(host = name, %error, "a host is left alone for a while");
                }
                return;
            }
        };
        let verdict = self.form.judge(answer.status, &answer.body);
        if verdict != Verdict::Again || answer.status < 500 {
            self.hosts.answered(host);
        }
        match verdict {
            Verdict::Delivered => {
                self.loads.done(number);
                self.trouble = None;
                self.spoilt = 0;
                self.window = (self.window + 1).min(self.limits.in_flight_max);
            }
            // It does not take the compression: from now on it gets bodies as they are.
            _ if answer.status == 415 && self.client.stop_compressing(host) => self.loads.again(number, now),
            Verdict::TooLarge | Verdict::Refused => {
                self.refused(number, host, &answer, verdict == Verdict::TooLarge, now);
            }
            Verdict::Again => {
                if answer.status >= 500 {
                    self.hosts.failed(host, now, fastrand::f64());
                } else if matches!(answer.status, 401 | 403) {
                    self.client.forget_credentials();
                }
                let longest = self.limits.retry_pause_max;
                self.window = 1;
                let (name, words) = (self.client.name(host), words_of(&answer));
                self.trouble = Some(format!("{name} answers {words}; {}", advice(answer.status)));
                if answer.status == 429 && self.halve_stubborn(number, now) {
                    return;
                }
                let pause = self.pause(number).max(answer.retry_after.unwrap_or_default().min(longest));
                self.loads.again(number, now + pause);
            }
        }
    }

    /// Halves a load that was tried often; says whether it did.
    fn halve_stubborn(&mut self, number: u64, now: Instant) -> bool {
        let has_more = self.loads.load(number).is_some_and(|load| load.items.len() > 1);
        let is_stubborn = has_more && self.loads.attempts(number) >= HALVED_AFTER;
        if is_stubborn {
            self.loads.split(number, now);
        }
        is_stubborn
    }

    /// The server does not take the load, or not as a whole.
    fn refused(&mut self, number: u64, host: usize, answer: &Answer, is_too_large: bool, now: Instant) {
        let Some(load) = self.loads.load(number) else { return };
        self.trouble = None;
        let is_single = load.items.len() == 1;
        if !is_single && (is_too_large || self.spoilt < SPOILT_MAX) {
            let half = self.loads.split(number, now).max(BYTES_MIN);
            if is_too_large && half < self.loads.bytes_max() {
                self.loads.shrink(half);
                tracing::warn!(
                    host = self.client.name(host),
                    smaller = half,
                    "a server finds a request too large"
                );
            }
            return;
        }
        self.spoilt += u32::from(is_single && !is_too_large);
        let reason = words_of(answer);
        self.letters.extend(load.items.iter().map(|item| Letter {
            sequence: item.sequence,
            reason: reason.clone(),
            event: String::from_utf8_lossy(load.event(item)).into_owned(),
        }));
        self.loads.done(number);
    }

    /// The pause before the next try: longer each time, and never the same for two of us.
    fn pause(&self, number: u64) -> Duration {
        let longest = PAUSE_FIRST.saturating_mul(1 << self.loads.attempts(number).min(16));
        longest.min(self.limits.retry_pause_max.max(PAUSE_FIRST)).mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

impl<F> Drop for Post<F> {
    fn drop(&mut self) {
        // What is under way is given again by the queue.
        if let Some(runtime) = mem::take(&mut self.runtime) {
            runtime.shutdown_background();
        }
    }
}

/// The status and the beginning of an answer, for people.
fn words_of(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let words: String =
        text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(WORDS_MAX).collect();
    if words.is_empty() { answer.status.to_string() } else { format!("{} ({words})", answer.status) }
}

/// What to do about a status that is not the events' fault.
fn advice(status: u16) -> &'static str {
    match status {
        401 => "see the option \"auth\"; it is tried again",
        403 => "we need the right to write; it is tried again",
        404 | 405 => "see the path and the method; it is tried again",
        429 => "it is slowed down and tried again",
        300..=399 => "name the address that it leads to; it is tried again",
        _ => "it is tried again",
    }
}
