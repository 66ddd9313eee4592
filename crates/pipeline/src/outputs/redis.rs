//! Output `redis`: appends events to lists or streams, or publishes them to channels.
//!
//! An event counts as delivered when the server answered its command. Commands are sent one
//! behind the other without waiting; what was not answered when a connection is lost is sent again
//! on the next one, so the server may hold it twice. Errors that pass (a full memory, a replica, a
//! wrong password) are waited for, for ever, or the next server is asked; those that never pass go
//! to the dead letters.

use super::encode::{Codec, Encoder};
use super::turns::{Standing, Turns};
use super::{Delivery, Letter, Output, OutputError, Refused};
use crate::net::redis::{Client, Protocol, Servers};
use crate::net::tls::TlsConfig;
use crate::plan::Secret;
use crate::units::{Bytes, Time};
use event::View;
use expr::Template;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use wire::redis::connection::Incoming;
use wire::redis::{Fault, Value, resp};

/// Options of the output `redis`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Servers, as `HOST:PORT`, `redis://` or `rediss://`: one is used, the next when it fails.
    pub hosts: Vec<String>,
    /// What the key is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The list, channel or stream, a template.
    pub key: String,
    /// How an event is written: `json`, `raw` or `{text: TEMPLATE}`.
    pub codec: Codec,
    /// At which end of a list.
    pub push: Push,
    /// Events of one command at most, for lists.
    pub batch_events: usize,
    /// How an event becomes an entry of a stream.
    pub fields: Fields,
    /// The field of an entry, with `fields: single`.
    pub field: String,
    /// About how many entries a stream keeps; none: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_len: Option<u64>,
    /// Whether it keeps exactly so many, which is slower.
    pub max_len_exact: bool,
    /// While a list is so long, nothing is appended to it; 0: however long.
    pub congestion_threshold: u64,
    /// How often it is looked whether it still is.
    pub congestion_interval: Time,
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
    /// Bytes that may be on their way.
    pub memory_bytes_max: Bytes,
    /// How long a connection may take.
    pub connect_timeout: Time,
    /// How long an answer may take, before the connection counts as lost.
    pub request_timeout: Time,
    /// The longest pause between two tries.
    pub retry_pause_max: Time,
}

/// What a key is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A list: `RPUSH` or `LPUSH`.
    #[default]
    List,
    /// A channel: `PUBLISH`. Who does not listen at that moment gets nothing.
    Channel,
    /// A stream: `XADD`.
    Stream,
}

/// An end of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Push {
    /// Behind what is there (`RPUSH`).
    #[default]
    Right,
    /// Before what is there (`LPUSH`).
    Left,
}

/// How an event becomes an entry of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fields {
    /// One field holds it, as the codec writes it.
    #[default]
    Single,
    /// Each of its outermost fields is a field; objects and lists as JSON.
    TopLevel,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            kind: Kind::List,
            key: String::new(),
            codec: Codec::Json,
            push: Push::Right,
            batch_events: 250,
            fields: Fields::Single,
            field: "event".to_owned(),
            max_len: None,
            max_len_exact: false,
            congestion_threshold: 0,
            congestion_interval: Time(Duration::from_secs(1)),
            user: None,
            password: None,
            password_file: None,
            db: 0,
            protocol: Protocol::Resp2,
            tls: None,
            memory_bytes_max: Bytes(8 << 20),
            connect_timeout: Time(Duration::from_secs(5)),
            request_timeout: Time(Duration::from_secs(10)),
            retry_pause_max: Time(Duration::from_secs(30)),
        }
    }
}

/// Bytes of one command, a single larger event excepted.
const COMMAND_BYTES_MAX: usize = 256 << 10;
/// Bytes that were sent and not answered.
const UNANSWERED_BYTES_MAX: usize = 1 << 20;
/// The first pause after an error that passes.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Lists whose length is remembered.
const LENGTHS_MAX: usize = 10_000;
/// How often it is told that nobody listens.
const UNHEARD_TOLD: Duration = Duration::from_secs(60);

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

    /// Checks the options without looking at files; an error names the option.
    pub fn check(&self) -> Result<(), String> {
        self.servers().check()?;
        if self.key.is_empty() {
            return Err("\"key\" is missing: the list, channel or stream to write to".to_owned());
        }
        if self.batch_events == 0 {
            return Err("option \"batch_events\": expected more than 0".to_owned());
        }
        if self.congestion_threshold > 0 && self.kind != Kind::List {
            return Err(
                "option \"congestion_threshold\": only a list has a length that others shorten".to_owned()
            );
        }
        if self.congestion_interval.0.is_zero() {
            return Err("option \"congestion_interval\": expected more than 0".to_owned());
        }
        Template::parse(&self.key).map_err(|error| format!("option \"key\": {error}"))?;
        self.codec.build().map_err(|error| format!("option \"codec\": {error}"))?;
        Ok(())
    }

    /// The output that these options describe; reads the files of `tls`.
    pub fn build(&self) -> Result<Redis, String> {
        self.check()?;
        Ok(Redis {
            client: self.servers().build()?,
            shape: Shape {
                key: Template::parse(&self.key).map_err(|error| format!("option \"key\": {error}"))?,
                encoder: self.codec.build()?,
                is_json: self.codec == Codec::Json
                    && !(self.kind == Kind::Stream && self.fields == Fields::TopLevel),
                config: self.clone(),
            },
            waiting: VecDeque::new(),
            failed: VecDeque::new(),
            asked: VecDeque::new(),
            unanswered_bytes: 0,
            last_answer: Instant::now(),
            hold_until: None,
            leave: None,
            attempts: 0,
            lengths: HashMap::new(),
            letters: Vec::new(),
            standing: Standing::default(),
            unheard: Unheard::default(),
        })
    }
}

/// How events become commands, compiled.
struct Shape {
    key: Template,
    encoder: Encoder,
    /// Whether what is sent is the event as the dead letters want it.
    is_json: bool,
    config: Config,
}

/// A command that is not answered yet.
struct Command {
    key: Vec<u8>,
    /// What stands behind the key and the options: bytes as RESP has them.
    arguments: Vec<u8>,
    count: usize,
    events: Vec<Sent>,
    /// The events as JSON, where that is not what is sent.
    aside: Vec<u8>,
}

/// An event in a command.
struct Sent {
    sequence: u64,
    /// Where it stands as JSON.
    event: Range<usize>,
}

/// What an answer is to.
enum Asked {
    /// The command.
    Command(Command),
    /// How long this list is.
    Length(Vec<u8>),
}

/// Events that nobody heard.
#[derive(Default)]
struct Unheard {
    count: u64,
    told: u64,
    when: Option<Instant>,
}

/// The output.
pub struct Redis {
    client: Client,
    shape: Shape,
    /// Not sent yet, on this connection.
    waiting: VecDeque<Command>,
    /// Answered by errors that pass.
    failed: VecDeque<Command>,
    /// Sent and not answered.
    asked: VecDeque<Asked>,
    unanswered_bytes: usize,
    /// When something was answered, or asked when nothing was open.
    last_answer: Instant,
    /// Nothing is sent before then.
    hold_until: Option<Instant>,
    /// What is to be done when all answers are there.
    leave: Option<(Fault, String)>,
    /// Errors that pass, in a row.
    attempts: u32,
    /// How long lists are, as far as it matters, and as of when.
    lengths: HashMap<Vec<u8>, (u64, Instant)>,
    letters: Vec<Letter>,
    standing: Standing,
    unheard: Unheard,
}

impl Output for Redis {
    fn write(&mut self, delivery: &Delivery<'_>, refused: &mut Vec<Refused>) -> Result<(), OutputError> {
        self.make_room()?;
        for (sequence, event) in delivery.events() {
            if let Err(reason) = self.shape.put(sequence, &event, delivery.batch.now(), &mut self.waiting) {
                refused.push(Refused { sequence, reason });
            }
        }
        self.turn(Instant::now());
        Ok(())
    }

    fn settled(&mut self, idle: bool, refused: &mut Vec<Letter>) -> Result<u64, OutputError> {
        let settled = self.settle(idle);
        refused.append(&mut self.letters);
        settled
    }
}

impl Turns for Redis {
    fn turn(&mut self, now: Instant) {
        if let Err(error) = self.client.turn(now).and_then(|()| self.answers(now)) {
            self.lost(now, &error);
        }
        if self.asked.is_empty() {
            self.after_answers(now);
        } else if now.saturating_duration_since(self.last_answer) >= self.shape.config.request_timeout.0 {
            let limit = self.shape.config.request_timeout;
            self.lost(now, &format!("no answer within {limit}"));
        }
        if self.send(now) {
            // What was just put into the connection goes out at once.
            if let Err(error) = self.client.turn(now) {
                self.lost(now, &error);
            }
        }
    }

    fn wait(&mut self, until: Instant) {
        let now = Instant::now();
        let wake = self.hold_until.filter(|hold| *hold > now).map_or(until, |hold| hold.min(until));
        self.client.wait(wake, &[]);
    }

    fn oldest(&self) -> Option<u64> {
        let asked = self.asked.iter().filter_map(|asked| match asked {
            Asked::Command(command) => Some(command),
            Asked::Length(_) => None,
        });
        let all = asked.chain(&self.failed).chain(&self.waiting);
        all.filter_map(|command| command.events.first()).map(|event| event.sequence).min()
    }

    fn has_room(&self) -> bool {
        let waiting: usize = self.waiting.iter().chain(&self.failed).map(Command::bytes).sum();
        waiting + self.unanswered_bytes
            <= usize::try_from(self.shape.config.memory_bytes_max.0).unwrap_or(usize::MAX)
    }

    fn standing(&mut self) -> &mut Standing {
        &mut self.standing
    }
}

impl Redis {
    /// The connection is gone: what was not answered is sent again.
    fn lost(&mut self, now: Instant, why: &str) {
        let words = self.client.lose(now, why);
        self.failed.extend(self.asked.drain(..).filter_map(|asked| match asked {
            Asked::Command(command) => Some(command),
            Asked::Length(_) => None,
        }));
        self.unanswered_bytes = 0;
        self.leave = None;
        self.give_back();
        self.standing.trouble = Some(format!("{words}; it is tried again"));
    }

    /// What failed is to be sent before what was not sent yet.
    fn give_back(&mut self) {
        while let Some(command) = self.failed.pop_back() {
            self.waiting.push_front(command);
        }
    }

    fn answers(&mut self, now: Instant) -> Result<(), String> {
        loop {
            let (result, answer) = match self.client.incoming()? {
                None => return Ok(()),
                // Nothing that comes unasked is of use here.
                Some(Incoming::Push(_)) => continue,
                Some(Incoming::Answer(Value::Error(error))) => {
                    (Err((Fault::of(error), String::from_utf8_lossy(error).into_owned())), None)
                }
                Some(Incoming::Answer(value)) => (Ok(()), value.int()),
            };
            self.last_answer = now;
            let Some(asked) = self.asked.pop_front() else {
                return Err("it answers what was not asked".to_owned());
            };
            match (asked, result) {
                (Asked::Length(key), Ok(())) => self.remember(key, answer, now),
                (Asked::Length(_), Err((fault, words))) => self.failed_by(fault, words),
                (Asked::Command(command), Ok(())) => {
                    self.unanswered_bytes -= command.bytes();
                    (self.standing.trouble, self.attempts) = (None, 0);
                    match self.shape.config.kind {
                        Kind::Channel if answer == Some(0) => self.unheard.count += 1,
                        Kind::List => self.remember(command.key, answer, now),
                        _ => {}
                    }
                }
                (Asked::Command(command), Err((Fault::Never, words))) => {
                    self.unanswered_bytes -= command.bytes();
                    self.letters.extend(command.letters(&words, self.shape.is_json));
                }
                (Asked::Command(command), Err((fault, words))) => {
                    self.unanswered_bytes -= command.bytes();
                    self.failed.push_back(command);
                    self.failed_by(fault, words);
                }
            }
        }
    }

    fn failed_by(&mut self, fault: Fault, words: String) {
        self.standing.trouble = Some(format!("{} answers {words:?}; {}", self.client.name(), fault.advice()));
        self.leave.get_or_insert((fault, words));
    }

    /// All that was sent is answered: now it is time for what the errors asked for.
    fn after_answers(&mut self, now: Instant) {
        self.unheard.tell(now);
        let Some((fault, words)) = self.leave.take() else { return };
        self.give_back();
        let is_moved = matches!(fault, Fault::Moved(_));
        match fault {
            Fault::Moved(address) => self.client.move_to(&address),
            // With another connection comes another server, or the password as it is then.
            Fault::Elsewhere | Fault::Denied => drop(self.client.lose(now, &words)),
            Fault::Later | Fault::Never => {}
        }
        let longest = PAUSE_FIRST.saturating_mul(1 << self.attempts.min(16));
        let pause = longest.min(self.shape.config.retry_pause_max.0.max(PAUSE_FIRST));
        self.attempts += 1;
        if !is_moved {
            self.hold_until = Some(now + pause.mul_f64(0.5 + fastrand::f64() / 2.0));
        }
    }

    fn remember(&mut self, key: Vec<u8>, length: Option<i64>, now: Instant) {
        if self.shape.config.congestion_threshold > 0
            && let Some(length) = length.and_then(|length| u64::try_from(length).ok())
        {
            if self.lengths.len() >= LENGTHS_MAX {
                self.lengths.clear();
            }
            self.lengths.insert(key, (length, now));
        }
    }

    /// Puts into the connection what may go; says whether there was anything.
    fn send(&mut self, now: Instant) -> bool {
        if self.leave.is_some() || self.hold_until.is_some_and(|hold| hold > now) {
            return false;
        }
        self.hold_until = None;
        let mut sent = false;
        while self.unanswered_bytes < UNANSWERED_BYTES_MAX
            && let Some(command) = self.waiting.front()
        {
            let Some(connection) = self.client.connection() else { return sent };
            let out = connection.commands();
            let threshold = self.shape.config.congestion_threshold;
            if threshold > 0 {
                let interval = self.shape.config.congestion_interval.0;
                match self.lengths.get(&command.key) {
                    Some((length, at)) if now < *at + interval => {
                        if *length >= threshold {
                            let key = String::from_utf8_lossy(&command.key);
                            self.standing.trouble = Some(format!(
                                "the list {key:?} holds {length}, and \"congestion_threshold\" is {threshold}; it is looked at again"
                            ));
                            self.hold_until = Some(*at + interval);
                            return sent;
                        }
                    }
                    _ => {
                        if !self.asked.iter().any(|asked| matches!(asked, Asked::Length(_))) {
                            resp::command([b"LLEN".as_slice(), &command.key], out);
                            if self.asked.is_empty() {
                                self.last_answer = now;
                            }
                            self.asked.push_back(Asked::Length(command.key.clone()));
                            return true;
                        }
                        return sent;
                    }
                }
            }
            self.shape.write(command, out);
            if self.asked.is_empty() {
                self.last_answer = now;
            }
            if let Some(command) = self.waiting.pop_front() {
                self.unanswered_bytes += command.bytes();
                self.asked.push_back(Asked::Command(command));
            }
            sent = true;
        }
        sent
    }
}

impl Shape {
    /// Puts an event into a command; an error says why it cannot go.
    fn put(
        &self,
        sequence: u64,
        event: &View<'_>,
        batch_now: i64,
        waiting: &mut VecDeque<Command>,
    ) -> Result<(), String> {
        let mut key = Vec::new();
        self.key.render(event, batch_now, &mut key).map_err(|missing| missing.to_string())?;
        if key.is_empty() {
            return Err("the key is empty".to_owned());
        }
        let shared = waiting.back().is_some_and(|last| {
            self.config.kind == Kind::List
                && last.key == key
                && last.events.len() < self.config.batch_events
                && last.arguments.len() < COMMAND_BYTES_MAX
        });
        if !shared {
            let (arguments, aside) = Default::default();
            waiting.push_back(Command { key, arguments, count: 0, events: Vec::new(), aside });
        }
        let Some(command) = waiting.back_mut() else { return Ok(()) };
        let mut json = Vec::new();
        if self.config.kind == Kind::Stream && self.config.fields == Fields::TopLevel {
            event.write_json(&mut json);
            let text = String::from_utf8_lossy(&json);
            let mut value_text = Vec::new();
            let read = event::json::members(&text, |name, value| {
                value_text.clear();
                value.write_text(&mut value_text);
                resp::bulk(name.as_bytes(), &mut command.arguments);
                resp::bulk(&value_text, &mut command.arguments);
                command.count += 2;
            });
            read.map_err(|error| error.to_string())?;
        } else {
            if self.config.kind == Kind::Stream {
                resp::bulk(self.config.field.as_bytes(), &mut command.arguments);
                command.count += 1;
            }
            let mut payload = Vec::new();
            self.encoder.write_value(event, batch_now, &mut payload);
            resp::bulk(&payload, &mut command.arguments);
            command.count += 1;
            if !self.is_json {
                event.write_json(&mut json);
            } else {
                let to = command.arguments.len() - 2;
                command.events.push(Sent { sequence, event: to - payload.len()..to });
                return Ok(());
            }
        }
        let from = command.aside.len();
        command.aside.extend_from_slice(&json);
        command.events.push(Sent { sequence, event: from..command.aside.len() });
        Ok(())
    }

    /// Appends a command as it is sent.
    fn write(&self, command: &Command, out: &mut Vec<u8>) {
        let config = &self.config;
        let name: &[u8] = match (config.kind, config.push) {
            (Kind::List, Push::Right) => b"RPUSH",
            (Kind::List, Push::Left) => b"LPUSH",
            (Kind::Channel, _) => b"PUBLISH",
            (Kind::Stream, _) => b"XADD",
        };
        let length = config.max_len.map(|max| max.to_string());
        let mut options: Vec<&[u8]> = Vec::new();
        if config.kind == Kind::Stream {
            if let Some(length) = &length {
                options.extend([
                    b"MAXLEN".as_slice(),
                    if config.max_len_exact { b"=" } else { b"~" },
                    length.as_bytes(),
                ]);
            }
            options.push(b"*");
        }
        resp::begin_command(2 + options.len() + command.count, out);
        resp::bulk(name, out);
        resp::bulk(&command.key, out);
        options.iter().for_each(|option| resp::bulk(option, out));
        out.extend_from_slice(&command.arguments);
    }
}

impl Command {
    fn bytes(&self) -> usize {
        self.arguments.len() + self.aside.len()
    }

    fn letters<'a>(&'a self, reason: &'a str, is_json: bool) -> impl Iterator<Item = Letter> + 'a {
        let text = if is_json { &self.arguments } else { &self.aside };
        self.events.iter().map(move |sent| Letter {
            sequence: sent.sequence,
            reason: format!("{}: {reason}", String::from_utf8_lossy(&self.key)),
            event: String::from_utf8_lossy(&text[sent.event.clone()]).into_owned(),
        })
    }
}

impl Unheard {
    /// Tells from time to time how much nobody heard.
    fn tell(&mut self, now: Instant) {
        let is_due = self.when.is_none_or(|when| now >= when + UNHEARD_TOLD);
        if self.count > self.told && is_due {
            tracing::warn!(events = self.count, "events were published to channels that nobody listens to");
            (self.told, self.when) = (self.count, Some(now));
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.unheard.when = None;
        self.unheard.tell(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::testing::batch;

    fn config(options: &str) -> Config {
        let mut config: Config = serde_json::from_str(options).unwrap();
        config.hosts = vec!["127.0.0.1:9".to_owned()];
        config
    }

    #[test]
    fn commands() {
        #[track_caller]
        fn check(options: &str, expected: &[&str]) {
            let output = config(options).build().unwrap();
            let shape = &output.shape;
            let batch = batch([
                r#"{"@timestamp":"1970-01-01T00:00:00Z","k":"a","message":"1"}"#,
                r#"{"@timestamp":"1970-01-01T00:00:00Z","k":"a","message":"2"}"#,
                r#"{"@timestamp":"1970-01-01T00:00:00Z","k":"b","message":"3"}"#,
            ]);
            let mut waiting = VecDeque::new();
            for (n, event) in batch.events().enumerate() {
                shape.put(n as u64, &event, 0, &mut waiting).unwrap();
            }
            let mut bytes = Vec::new();
            let mut letters = 0;
            for command in &waiting {
                shape.write(command, &mut bytes);
                for letter in command.letters("r", shape.is_json) {
                    let event: serde_json::Value = serde_json::from_str(&letter.event).unwrap();
                    assert_eq!(event["message"], (letter.sequence + 1).to_string());
                    letters += 1;
                }
            }
            assert_eq!(letters, 3);
            let (mut found, mut rest) = (Vec::new(), &bytes[..]);
            while let Some((value, count)) = resp::decode(rest).unwrap() {
                let words = value
                    .elements()
                    .unwrap()
                    .iter()
                    .map(|word| String::from_utf8_lossy(word.bytes().unwrap()));
                found.push(words.collect::<Vec<_>>().join(" "));
                rest = &rest[count..];
            }
            assert_eq!(found, expected);
        }
        check(r#"{"key":"l-%{k}","codec":"raw"}"#, &["RPUSH l-a 1 2", "RPUSH l-b 3"]);
        check(r#"{"key":"l","codec":"raw","push":"left","batch_events":2}"#, &["LPUSH l 1 2", "LPUSH l 3"]);
        check(
            r#"{"key":"c","type":"channel","codec":{"text":"<%{message}>"}}"#,
            &["PUBLISH c <1>", "PUBLISH c <2>", "PUBLISH c <3>"],
        );
        check(
            r#"{"key":"s","type":"stream","codec":"raw","max_len":9}"#,
            &["XADD s MAXLEN ~ 9 * event 1", "XADD s MAXLEN ~ 9 * event 2", "XADD s MAXLEN ~ 9 * event 3"],
        );
        check(
            r#"{"key":"%{k}","type":"stream","fields":"top_level","max_len":9,"max_len_exact":true}"#,
            &[
                "XADD a MAXLEN = 9 * @timestamp 1970-01-01T00:00:00.000Z k a message 1",
                "XADD a MAXLEN = 9 * @timestamp 1970-01-01T00:00:00.000Z k a message 2",
                "XADD b MAXLEN = 9 * @timestamp 1970-01-01T00:00:00.000Z k b message 3",
            ],
        );
        check(
            r#"{"key":"%{k}"}"#,
            &[
                r#"RPUSH a {"@timestamp":"1970-01-01T00:00:00.000Z","k":"a","message":"1"} {"@timestamp":"1970-01-01T00:00:00.000Z","k":"a","message":"2"}"#,
                r#"RPUSH b {"@timestamp":"1970-01-01T00:00:00.000Z","k":"b","message":"3"}"#,
            ],
        );
    }

    #[test]
    fn options_that_cannot_be() {
        #[track_caller]
        fn check(options: &str, expected: &str) {
            let error = config(options).check().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        check("{}", "\"key\" is missing");
        check(r#"{"key":"%{a"}"#, "\"key\"");
        check(r#"{"key":"a","batch_events":0}"#, "\"batch_events\"");
        check(r#"{"key":"a","type":"stream","congestion_threshold":5}"#, "only a list");
        check(r#"{"key":"a","user":"u"}"#, "\"user\"");
        check(r#"{"key":"a","password":"p","password_file":"f"}"#, "either");
    }
}
