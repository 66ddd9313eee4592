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

use super::requests::{Done, Requests, Standing, words};
use super::{Letter, OutputError, WRITE_WAIT_MAX};
use crate::net::hosts::{Hosts, Pick};
use crate::net::http::{Answer, HttpError};
use client::Client;
use loads::{Loads, Outgoing};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many requests may be under way at once, whatever is configured.
pub(super) const AT_ONCE_MAX: usize = 64;
/// Requests do not become smaller than this by themselves, whatever a server says.
const BYTES_MIN: usize = 4 << 10;
/// After so many tries of a load its halves are tried: a server may cut the connection rather than
/// say that a request is too large, and a limit of bytes in a while may be smaller than a request.
const HALVED_AFTER: u32 = 4;

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
    requests: Requests<HttpError>,
    standing: Standing,
    limits: Limits,
    letters: Vec<Letter>,
}

impl<F: Form> Post<F> {
    /// Reads certificates; an error names the option.
    pub(super) fn new(form: F, options: Options, limits: Limits) -> Result<Self, String> {
        limits.check()?;
        let client = Arc::new(Client::new(options)?);
        Ok(Self {
            form: Arc::new(form),
            loads: Loads::new(limits.batch_bytes, limits.batch_events),
            hosts: Hosts::new(client.hosts()),
            client,
            requests: Requests::new("net:post")?,
            standing: Standing::new(limits.in_flight_max, limits.retry_pause_max),
            limits,
            letters: Vec::new(),
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
        self.standing.settled(self.loads.oldest())
    }

    /// Takes what was answered, and sends what may be sent.
    pub(super) fn turn(&mut self) {
        while let Some(done) = self.requests.ended() {
            self.done(done);
        }
        self.send(Instant::now());
    }

    /// Waits for an answer, or for the time at which something may be sent; says whether there
    /// was any of these before `until`.
    fn wait(&mut self, until: Instant) -> bool {
        let now = Instant::now();
        let next = match self.standing.may_send(self.loads.under_way()) {
            true => self.loads.next_ready().filter(|next| *next > now),
            false => None,
        };
        let wake = next.map_or(until, |next| next.min(until));
        match self.requests.wait(wake) {
            Some(done) => self.done(done),
            None if wake < until => {}
            None => return false,
        }
        self.turn();
        true
    }

    /// As many loads as may be under way and one more to be filled.
    fn has_room(&self) -> bool {
        self.loads.bytes() <= self.limits.batch_bytes.saturating_mul(self.limits.in_flight_max + 1)
    }

    fn send(&mut self, now: Instant) {
        while self.standing.may_send(self.loads.under_way()) {
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
        let is_quiet = self.loads.under_way() == 0 && self.standing.is_well();
        is_quiet || self.loads.due(self.limits.linger).is_some_and(|due| due <= now)
    }

    fn start(&self, number: u64, load: Arc<Load>, host: usize) {
        let (client, form) = (self.client.clone(), self.form.clone());
        self.requests.start(number, host, async move { client.send(host, form, load).await });
    }

    /// A request ended.
    fn done(&mut self, Done { number, host, result }: Done<HttpError>) {
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
                    self.standing.failed(format!("cannot reach {name}: {error}; it is tried again"));
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
                self.standing.took();
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
                let (name, words) = (self.client.name(host), words_of(&answer));
                self.standing.failed(format!("{name} answers {words}; {}", advice(answer.status)));
                if answer.status == 429 && self.halve_stubborn(number, now) {
                    return;
                }
                let pause = self.standing.pause_asked(self.loads.attempts(number), answer.retry_after);
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
        self.standing.refused();
        let is_single = load.items.len() == 1;
        if !is_single && (is_too_large || self.standing.may_be_events()) {
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
        if is_single && !is_too_large {
            self.standing.refused_one();
        }
        let reason = words_of(answer);
        self.letters.extend(load.items.iter().map(|item| Letter {
            sequence: item.sequence,
            reason: reason.clone(),
            event: String::from_utf8_lossy(load.event(item)).into_owned(),
        }));
        self.loads.done(number);
    }
}

/// The status and the beginning of an answer, for people.
fn words_of(answer: &Answer) -> String {
    words(answer.status, &String::from_utf8_lossy(&answer.body))
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
