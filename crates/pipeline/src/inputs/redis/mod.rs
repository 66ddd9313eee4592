//! Input `redis`: takes what is in lists, what is published to channels, and the entries of streams.
//!
//! | type | when it is removed | after a crash |
//! | --- | --- | --- |
//! | `list`, reliable | it waits in a list of this instance until it is safe | that list is read again |
//! | `list`, not reliable | when it is read | what was not safe is lost |
//! | `stream` | it stays; the group knows what is safe | what was not safe is read again, with the same ids |
//! | `channel`, `pattern` | never there | what was not safe, and what came meanwhile, is lost |
//!
//! There is one connection and no thread: commands are sent when the pipeline wants more, so what is
//! not taken stays in Redis. A read waits for [`BLOCK`] at most, because answers about what is safe
//! wait behind it.

mod ask;
mod channels;
mod decode;
mod lists;
mod streams;

use super::{ConfigError, Input, InputContext, InputError, Next};
use crate::net::redis::{Protocol, Servers};
use crate::net::tls::TlsConfig;
use crate::plan::Secret;
use crate::stop::Stop;
use crate::units::Time;
use crate::wake::Wake;
use ask::Asker;
use channels::Channels;
use decode::Decoder;
use event::{Batch, Share};
use lists::Lists;
use serde::{Deserialize, Serialize};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use streams::Streams;

/// Options of the input `redis`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Servers, as `HOST:PORT`, `redis://` or `rediss://`: one is used, the next when it fails.
    pub hosts: Vec<String>,
    /// What the keys are.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The lists, channels, patterns or streams.
    pub keys: Vec<String>,
    /// Whether what is taken from a list is kept in Redis until it is safe.
    pub reliable: bool,
    /// From which end of a list.
    pub pop: Pop,
    /// This instance's own name, from which the name of the list follows that keeps what is not
    /// safe; none: one that stays with the data directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Elements or entries that are read at once at most.
    pub count: usize,
    /// The consumer group of streams.
    pub group: String,
    /// This member's own name in the group; none: one that stays with the data directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Where a group that does not exist yet begins: `0`, `$` (what comes from now on) or an id.
    pub start: String,
    /// After how long without an acknowledgment the entries of others are taken over.
    pub claim_idle: Time,
    /// How often it is looked for such entries.
    pub claim_interval: Time,
    /// The field of an entry that holds the event; without it every field is one of the event.
    pub field: String,
    /// What an element, a message or that field is.
    pub codec: Codec,
    /// Where the time of an event comes from that says none itself.
    pub timestamp: Timestamp,
    /// The user; none: the one whom a password alone stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Or a file that holds it, read for every connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The number of the database.
    pub db: u32,
    /// The version of the protocol.
    pub protocol: Protocol,
    /// TLS, when it is there or a host begins with `rediss://`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// How long a connection may take.
    pub connect_timeout: Time,
    /// How long an answer may take, before the connection counts as lost.
    pub request_timeout: Time,
}

/// What keys are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Lists.
    #[default]
    List,
    /// Channels: `SUBSCRIBE`.
    Channel,
    /// Patterns of channels: `PSUBSCRIBE`.
    Pattern,
    /// Streams, as a member of a consumer group.
    Stream,
}

/// An end of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pop {
    /// The first element.
    #[default]
    Left,
    /// The last one.
    Right,
}

/// What an element is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// A JSON object: the event.
    #[default]
    Json,
    /// The message.
    Raw,
}

/// Where the time of an event comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timestamp {
    /// From the id of an entry, where there is one.
    #[default]
    Id,
    /// It is the time of reading.
    Read,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            kind: Kind::List,
            keys: Vec::new(),
            reliable: true,
            pop: Pop::Left,
            instance: None,
            count: 250,
            group: "logpond".to_owned(),
            consumer: None,
            start: "0".to_owned(),
            claim_idle: Time(Duration::from_secs(300)),
            claim_interval: Time(Duration::from_secs(30)),
            field: "event".to_owned(),
            codec: Codec::Json,
            timestamp: Timestamp::Id,
            user: None,
            password: None,
            password_file: None,
            db: 0,
            protocol: Protocol::Resp2,
            tls: None,
            connect_timeout: Time(Duration::from_secs(5)),
            request_timeout: Time(Duration::from_secs(10)),
        }
    }
}

/// How long a read waits for something to come.
const BLOCK: Duration = Duration::from_millis(500);
/// And as long as something that was read is not safe yet: what is safe is to be told soon.
const BLOCK_SHORT: Duration = Duration::from_millis(50);
/// How long what was read may take to become safe when the program is to end.
const CLOSE_WAIT: Duration = Duration::from_secs(5);
/// More than so many elements are not read at once, whatever is configured.
const COUNT_MAX: usize = 10_000;

impl Config {
    fn servers(&self) -> Servers {
        Servers {
            hosts: self.hosts.clone(),
            user: self.user.clone(),
            password: self.password.clone(),
            password_file: self.password_file.clone(),
            db: self.db,
            protocol: self.protocol,
            tls: self.tls.clone(),
            connect_timeout: self.connect_timeout.0,
        }
    }

    /// Whether what is not safe when the program is killed can be read again.
    pub fn can_be_read_again(&self) -> bool {
        match self.kind {
            Kind::List => self.reliable,
            Kind::Stream => true,
            Kind::Channel | Kind::Pattern => false,
        }
    }

    /// Checks the options without looking at files.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |option, message: &str| Err(ConfigError { option, message: message.to_owned() });
        if let Err(message) = self.servers().check() {
            let named = ["tls", "user", "password"].into_iter();
            let named = named.into_iter().find(|name| message.starts_with(&format!("option \"{name}\"")));
            return Err(ConfigError { option: named.unwrap_or("hosts"), message });
        }
        if self.keys.is_empty() || self.keys.iter().any(String::is_empty) {
            return wrong("keys", "at least one list, channel, pattern or stream, and none without a name");
        }
        let distinct: std::collections::HashSet<&String> = self.keys.iter().collect();
        if distinct.len() != self.keys.len() {
            return wrong("keys", "one of them stands twice");
        }
        if !(1..=COUNT_MAX).contains(&self.count) {
            return wrong("count", &format!("between 1 and {COUNT_MAX}"));
        }
        if self.kind == Kind::Stream {
            if self.group.is_empty() {
                return wrong("group", "the consumer group is missing");
            }
            if self.start != "$" && decode::StreamId::parse(self.start.as_bytes()).is_none() {
                return wrong("start", "0, $ or the id of an entry, such as 1763690704000-0");
            }
            if self.claim_idle.0.is_zero() || self.claim_interval.0.is_zero() {
                return wrong("claim_idle", "\"claim_idle\" and \"claim_interval\" are longer than nothing");
            }
        }
        Ok(())
    }

    /// The input that these options describe; reads the files of `tls`.
    pub fn build(&self, context: InputContext) -> Result<RedisInput, ConfigError> {
        self.check()?;
        let failed = |message: String| ConfigError { option: "hosts", message };
        let client = self.servers().build().map_err(failed)?;
        let name = own_name(&context)?;
        let safe = Safe::new().map_err(|error| failed(error.to_string()))?;
        let decoder = Decoder::new(self, &context);
        let source = match self.kind {
            Kind::List => Source::Lists(Lists::new(self, &name)),
            Kind::Stream => Source::Streams(Streams::new(self, &name)),
            Kind::Channel | Kind::Pattern => Source::Channels(Channels::new(self)),
        };
        let asker = Asker::new(client, self.request_timeout.0);
        Ok(RedisInput { asker, source, decoder, safe: Arc::new(safe), next_number: 0, is_set_up: false })
    }
}

/// A name that is the same as long as the data directory is.
fn own_name(context: &InputContext) -> Result<String, ConfigError> {
    const META: &str = "redis";
    let registry = &context.registry;
    let known = registry.known(&context.name).into_iter().find(|known| known.meta == META);
    let origin =
        known.map_or_else(|| registry.create(&context.name, META.to_owned(), 0), |known| known.origin);
    registry.flush().map_err(|error| ConfigError { option: "redis", message: error.to_string() })?;
    Ok(format!("logpond-{:032x}", u128::from_be_bytes(origin.id)))
}

/// Which batches are safe, as their acknowledgments tell from other threads.
struct Safe {
    settled: Mutex<Vec<(u64, bool)>>,
    wake: Wake,
}

impl Safe {
    fn new() -> std::io::Result<Self> {
        Ok(Self { settled: Mutex::default(), wake: Wake::new()? })
    }

    fn share(self: &Arc<Self>, number: u64) -> Share {
        let safe = self.clone();
        Share::new(move |done| {
            safe.settled.lock().unwrap_or_else(PoisonError::into_inner).push((number, done));
            safe.wake.wake();
        })
    }

    fn take(&self) -> Vec<(u64, bool)> {
        self.wake.clear();
        std::mem::take(&mut self.settled.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is read.
enum Source {
    Lists(Lists),
    Streams(Streams),
    Channels(Channels),
}

/// The input.
pub struct RedisInput {
    asker: Asker,
    source: Source,
    decoder: Decoder,
    safe: Arc<Safe>,
    /// The number of the next batch.
    next_number: u64,
    /// Whether the connection of now was prepared.
    is_set_up: bool,
}

impl Input for RedisInput {
    fn next(&mut self, batch: &mut Batch, stop: &Stop) -> Result<Next, InputError> {
        loop {
            if stop.is_set() {
                self.close();
                return Ok(Next::Stopped);
            }
            match self.read(batch, stop) {
                Ok(false) => {}
                Ok(true) => {
                    if self.source.keeps() {
                        batch.acks.push(self.safe.share(self.next_number));
                    }
                    self.next_number += 1;
                    return Ok(Next::Filled);
                }
                Err(error) => {
                    self.is_set_up = false;
                    self.source.disconnected();
                    return Err(InputError::Other(error));
                }
            }
        }
    }
}

impl RedisInput {
    /// Tells what is safe and reads what there is; says whether there was anything. An error says
    /// that the connection is gone.
    fn read(&mut self, batch: &mut Batch, stop: &Stop) -> Result<bool, String> {
        if !self.asker.connect(stop)? {
            return Ok(false);
        }
        if !self.is_set_up {
            self.source.set_up(&mut self.asker)?;
            self.is_set_up = true;
        }
        self.settle()?;
        batch.reset(crate::run::now());
        self.decoder.begin();
        let (asker, decoder, wake) = (&mut self.asker, &mut self.decoder, &self.safe.wake);
        let number = self.next_number;
        match &mut self.source {
            Source::Lists(lists) => lists.read(asker, decoder, number, batch)?,
            Source::Streams(streams) => streams.read(asker, decoder, number, batch)?,
            Source::Channels(channels) => channels.read(asker, decoder, batch)?,
        }
        if !batch.is_empty() {
            return Ok(true);
        }
        if let Some(pause) = self.source.pause() {
            stop.wait_with(&[wake.as_fd()], pause);
        }
        Ok(false)
    }

    fn settle(&mut self) -> Result<(), String> {
        for (number, done) in self.safe.take() {
            match &mut self.source {
                Source::Lists(lists) => lists.settled(number, done),
                Source::Streams(streams) => streams.settled(number, done),
                Source::Channels(_) => {}
            }
        }
        match &mut self.source {
            Source::Lists(lists) => lists.tell(&mut self.asker),
            Source::Streams(streams) => streams.tell(&mut self.asker),
            Source::Channels(_) => Ok(()),
        }
    }

    /// What was read has a while to become safe; what is not is read again at the next start.
    fn close(&mut self) {
        let until = Instant::now() + CLOSE_WAIT;
        while self.is_set_up && self.source.in_flight() > 0 {
            let now = Instant::now();
            if now >= until || self.settle().is_err() {
                return;
            }
            if self.source.in_flight() > 0 {
                self.asker.wait(until.min(now + BLOCK), &[self.safe.wake.as_fd()]);
            }
        }
        if self.is_set_up {
            let _ = self.settle();
        }
    }
}

impl Source {
    /// Whether it wants to know what is safe.
    fn keeps(&self) -> bool {
        match self {
            Source::Lists(lists) => lists.is_reliable(),
            Source::Streams(_) => true,
            Source::Channels(_) => false,
        }
    }

    /// How many batches are not safe yet, or not told to be.
    fn in_flight(&self) -> usize {
        match self {
            Source::Lists(lists) => lists.in_flight(),
            Source::Streams(streams) => streams.in_flight(),
            Source::Channels(_) => 0,
        }
    }

    fn set_up(&mut self, asker: &mut Asker) -> Result<(), String> {
        match self {
            Source::Lists(_) => Ok(()),
            Source::Streams(streams) => streams.set_up(asker),
            Source::Channels(channels) => channels.set_up(asker),
        }
    }

    fn disconnected(&mut self) {
        match self {
            Source::Lists(lists) => lists.disconnected(),
            Source::Streams(streams) => streams.disconnected(),
            Source::Channels(channels) => channels.disconnected(),
        }
    }

    /// How long to wait after there was nothing, where reading itself has not waited.
    fn pause(&self) -> Option<Duration> {
        match self {
            Source::Lists(lists) => lists.pause(),
            Source::Streams(_) | Source::Channels(_) => None,
        }
    }
}
