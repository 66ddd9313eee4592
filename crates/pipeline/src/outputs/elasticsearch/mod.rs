//! Output `elasticsearch`: Elasticsearch 7 and 8, OpenSearch, and whoever else takes `_bulk`.
//!
//! Events are written into bodies as they come; several bodies are under way at once. An
//! event counts as delivered when the server said so of its action. What passes (no server, 5xx,
//! 429, a password that is wrong) is tried again for ever, the single actions that failed and
//! no others, and is told as the output's trouble; what never passes (400) is refused with the
//! server's reason. `flow` keeps the order of actions on one id, `shape` makes actions of
//! events, `client` sends bodies, `conflict` renames fields that do not fit.
//!
//! A body is sent at once when none is under way, else when it is full or `linger` old: single
//! events do not wait, and many events fill large bodies by themselves.

mod ask;
mod client;
mod conflict;
mod flow;
mod shape;
#[cfg(test)]
mod tests;

pub use ask::Asker;

use super::requests::{Done, Requests, Standing, words};
use super::{Delivery, Letter, Output, OutputError, Refused, WRITE_WAIT_MAX};
use crate::net::endpoint::Endpoint;
use crate::net::hosts::{Hosts, Pick};
use crate::net::http::{Answer, HttpError};
use crate::net::tls::TlsConfig;
use crate::plan::Secret;
use crate::units::{Bytes, Time};
use client::{Client, SendError};
use flow::{Body, Fate, Flow, Outgoing};
use serde::{Deserialize, Deserializer, Serialize, de};
use shape::Shape;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::bulk::{self, Verdict, judge};

/// Options of the output `elasticsearch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The servers: `https://user:password@host:9200/path`. They take turns.
    pub endpoints: Vec<String>,
    /// What they speak.
    pub api_version: ApiVersion,
    /// The index; fields and times may stand in it.
    pub index: String,
    /// The index of events that lack a field of `index`; none: they are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_fallback: Option<String>,
    /// A data stream in place of an index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_stream: Option<DataStream>,
    /// `index`, `create`, `update` or `delete`, or a template that gives one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The id: `event`, which is the same whenever an event is sent again, or a template; none:
    /// the server makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether an update stores a document that is not there yet.
    pub upsert: bool,
    /// What decides about the shard, a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing: Option<String>,
    /// The ingest pipeline, a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// Parameters of every request, such as VictoriaLogs' `_msg_field`; a list is joined by commas.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, QueryValue>,
    /// Headers of every request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// Who we are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Options of TLS, for endpoints with `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// How hard requests are compressed, 1 to 9; 0: not at all.
    pub gzip_level: u32,
    /// A body is full at this size.
    pub bulk_bytes_max: Bytes,
    /// A larger document is refused.
    pub document_bytes_max: Bytes,
    /// How many requests are under way at most.
    pub in_flight_max: usize,
    /// How long an event waits for others to share its request while one is under way.
    pub linger: Time,
    /// How long a connection may take.
    pub connect_timeout: Time,
    /// How long a request may take, the connection included.
    pub request_timeout: Time,
    /// The longest pause between two tries.
    pub retry_pause_max: Time,
    /// On a conflict with the mapping, the field is stored as text under its name and this
    /// suffix; none: the event is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict_suffix: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            api_version: ApiVersion::Auto,
            index: "logs-%Y.%m.%d".to_owned(),
            index_fallback: None,
            data_stream: None,
            action: None,
            id: None,
            upsert: false,
            routing: None,
            pipeline: None,
            query: BTreeMap::new(),
            headers: BTreeMap::new(),
            auth: None,
            tls: None,
            gzip_level: 1,
            bulk_bytes_max: Bytes(1 << 20),
            document_bytes_max: Bytes(10 << 20),
            in_flight_max: 4,
            linger: Time(Duration::from_millis(200)),
            connect_timeout: Time(Duration::from_secs(5)),
            request_timeout: Time(Duration::from_secs(90)),
            retry_pause_max: Time(Duration::from_secs(30)),
            conflict_suffix: None,
        }
    }
}

/// What servers speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiVersion {
    /// Each is asked first what it is.
    #[default]
    Auto,
    /// Elasticsearch 7, without asking.
    V7,
    /// Elasticsearch 8 or what speaks like it, without asking.
    V8,
    /// OpenSearch, without asking.
    Opensearch,
}

/// A data stream, `TYPE-DATASET-NAMESPACE`. Each part may be a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataStream {
    /// Such as `logs`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where the events are from.
    pub dataset: String,
    /// Whose they are.
    pub namespace: String,
    /// Whether an event's own fields `data_stream.*` come first.
    pub auto_routing: bool,
    /// Whether these fields are set as they were used.
    pub sync_fields: bool,
}

impl Default for DataStream {
    fn default() -> Self {
        Self {
            kind: "logs".to_owned(),
            dataset: "generic".to_owned(),
            namespace: "default".to_owned(),
            auto_routing: true,
            sync_fields: true,
        }
    }
}

/// How the output says who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// A user and a password.
    Basic(Basic),
    /// `id:key`, or both in base64 as Elasticsearch shows them.
    ApiKey(Secret),
    /// A file that holds such a key; it is read again when the key is refused.
    ApiKeyFile(PathBuf),
    /// A token.
    Bearer(Secret),
    /// A file that holds the token; it is read again when the token is refused.
    BearerFile(PathBuf),
}

impl Auth {
    /// A user and a password as somebody typed them.
    pub fn basic(user: String, password: Option<String>) -> Self {
        Self::Basic(Basic { user, password: password.map(Secret::new), password_file: None })
    }
}

/// A user and a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// The user.
    pub user: String,
    /// The password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// A file that holds the password; it is read again when the password is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// The value of a parameter, a list joined by commas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct QueryValue(pub String);

impl<'de> Deserialize<'de> for QueryValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = QueryValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a number, a boolean or a list of texts")
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<QueryValue, E> {
                Ok(QueryValue(value.to_owned()))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<QueryValue, E> {
                Ok(QueryValue(value.to_string()))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<QueryValue, E> {
                Ok(QueryValue(value.to_string()))
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<QueryValue, E> {
                Ok(QueryValue(value.to_string()))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<QueryValue, A::Error> {
                let mut texts: Vec<String> = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(QueryValue(texts.join(",")))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

const AT_ONCE_MAX: usize = 64;
/// Bodies do not become smaller than this, whatever the server says.
const BULK_BYTES_MIN: usize = 16 << 10;
/// How many fields of one event are renamed at most.
const RENAMES_MAX: u8 = 8;

impl Config {
    /// Checks the options without looking at files; an error names the option.
    pub fn check(&self) -> Result<(), String> {
        self.parsed_endpoints()?;
        Shape::new(self)?;
        if !(1..=AT_ONCE_MAX).contains(&self.in_flight_max) {
            return Err(format!("option \"in_flight_max\": expected 1 to {AT_ONCE_MAX}"));
        }
        if self.gzip_level > 9 {
            return Err("option \"gzip_level\": expected 0 to 9".to_owned());
        }
        if self.bulk_bytes_max.0 == 0 {
            return Err("option \"bulk_bytes_max\": expected more than 0".to_owned());
        }
        if self.conflict_suffix.as_ref().is_some_and(String::is_empty) {
            return Err("option \"conflict_suffix\": expected text, such as _text".to_owned());
        }
        if let Some(Auth::Basic(basic)) = &self.auth
            && basic.password.is_some() == basic.password_file.is_some()
        {
            return Err("option \"auth\": expected \"password\" or \"password_file\"".to_owned());
        }
        Ok(())
    }

    /// The output that these options describe; reads the files of `tls` and `auth`.
    pub fn build(&self) -> Result<Elasticsearch, String> {
        self.check()?;
        let client = Arc::new(Client::new(self)?);
        Ok(Elasticsearch {
            shape: Shape::new(self)?,
            flow: Flow::new(),
            hosts: Hosts::new(client.hosts()),
            client,
            requests: Requests::new("net:bulk")?,
            standing: Standing::new(self.in_flight_max, self.retry_pause_max.0),
            bulk_bytes: usize::try_from(self.bulk_bytes_max.0).unwrap_or(usize::MAX),
            linger: self.linger.0,
            in_flight_max: self.in_flight_max,
            conflict_suffix: self.conflict_suffix.clone(),
            letters: Vec::new(),
        })
    }

    fn parsed_endpoints(&self) -> Result<Vec<Endpoint>, String> {
        if self.endpoints.is_empty() {
            return Err("\"endpoints\" is missing: at least one, such as http://127.0.0.1:9200".to_owned());
        }
        let parse =
            |text: &String| Endpoint::parse(text).map_err(|error| format!("option \"endpoints\": {error}"));
        self.endpoints.iter().map(parse).collect()
    }
}

/// The output.
pub struct Elasticsearch {
    shape: Shape,
    flow: Flow,
    hosts: Hosts,
    client: Arc<Client>,
    requests: Requests<SendError>,
    standing: Standing,
    /// A body is full at this size; smaller than the option once a server found one too large.
    bulk_bytes: usize,
    linger: Duration,
    in_flight_max: usize,
    conflict_suffix: Option<String>,
    letters: Vec<Letter>,
}

impl Output for Elasticsearch {
    fn write(&mut self, delivery: &Delivery<'_>, refused: &mut Vec<Refused>) -> Result<(), OutputError> {
        let until = Instant::now() + WRITE_WAIT_MAX;
        self.turn();
        while !self.has_room() {
            if !self.wait(until) {
                return Err(OutputError::Full);
            }
        }
        let now = Instant::now();
        for (sequence, event) in delivery.events() {
            if let Err(reason) = self.shape.put(&event, sequence, now, &mut self.flow) {
                refused.push(Refused { sequence, reason });
            }
            if self.flow.building_bytes() >= self.bulk_bytes {
                self.flow.seal(now);
                self.send(now);
            }
        }
        self.turn();
        Ok(())
    }

    fn settled(&mut self, idle: bool, refused: &mut Vec<Letter>) -> Result<u64, OutputError> {
        self.turn();
        if idle && self.flow.under_way() > 0 {
            self.wait(Instant::now() + WRITE_WAIT_MAX);
        }
        refused.append(&mut self.letters);
        self.standing.settled(self.flow.oldest())
    }
}

impl Elasticsearch {
    /// Takes what was answered, and sends what may be sent.
    fn turn(&mut self) {
        while let Some(done) = self.requests.ended() {
            self.done(done);
        }
        self.send(Instant::now());
    }

    /// Waits for an answer, or for the time at which something may be sent; says whether there
    /// was any of these before `until`.
    fn wait(&mut self, until: Instant) -> bool {
        let now = Instant::now();
        let next = match self.standing.may_send(self.flow.under_way()) {
            true => self.flow.next_ready().filter(|next| *next > now),
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

    /// As many bodies as may be under way and one more to be filled, and no pile of actions that
    /// wait for one id.
    fn has_room(&self) -> bool {
        let (all, behind) = self.flow.bytes();
        all <= self.bulk_bytes.saturating_mul(self.in_flight_max + 1) && behind <= self.bulk_bytes
    }

    fn send(&mut self, now: Instant) {
        while self.standing.may_send(self.flow.under_way()) {
            let outgoing = match self.flow.send(now) {
                Some(outgoing) => outgoing,
                None if self.is_due(now) => {
                    self.flow.seal(now);
                    continue;
                }
                None => return,
            };
            match self.hosts.pick(now) {
                Pick::Host(host) => self.start(outgoing, host),
                Pick::Wait(until) => {
                    self.flow.unsend(outgoing.number, until);
                    return;
                }
            }
        }
    }

    /// Whether the body that is being built is to be sent.
    fn is_due(&self, now: Instant) -> bool {
        let Some(begun) = self.flow.begun() else { return false };
        let is_quiet = self.flow.under_way() == 0 && self.standing.is_well();
        is_quiet || self.flow.building_bytes() >= self.bulk_bytes || begun + self.linger <= now
    }

    fn start(&self, Outgoing { number, body }: Outgoing, host: usize) {
        let client = self.client.clone();
        self.requests.start(number, host, async move { client.bulk(host, body).await });
    }

    /// A request ended.
    fn done(&mut self, Done { number, host, result }: Done<SendError>) {
        let now = Instant::now();
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => {
                let is_uncertain = matches!(&error, SendError::Http(HttpError::Lost(_)));
                self.hosts.failed(host, now, fastrand::f64());
                let text = match &error {
                    SendError::Unfit(reason) => format!("{}: {reason}", self.client.name(host)),
                    SendError::Http(error) => {
                        format!("cannot reach {}: {error}; it is tried again", self.client.name(host))
                    }
                };
                // Another host may take it at once.
                self.flow.again(number, now, is_uncertain);
                if self.hosts.are_all_gone() {
                    self.standing.failed(text);
                } else {
                    tracing::debug!(error = text, "a host is left alone for a while");
                }
                return;
            }
        };
        match answer.status {
            200..=299 => {
                self.hosts.answered(host);
                self.taken(number, host, &answer, now);
            }
            413 => {
                self.hosts.answered(host);
                self.too_large(number, host, &answer, now);
            }
            400 if self.standing.may_be_events() && is_about_the_body(&answer.body) => {
                self.hosts.answered(host);
                let is_single = self.flow.body(number).is_some_and(|body| body.actions.len() == 1);
                if is_single {
                    self.standing.refused_one();
                }
                self.bisect(number, &words_of(&answer), now);
            }
            // It does not take gzip: from now on it gets bodies as they are.
            415 if self.client.stop_compressing(host) => {
                self.hosts.answered(host);
                self.flow.again(number, now, false);
            }
            status => {
                if status >= 500 {
                    self.hosts.failed(host, now, fastrand::f64());
                } else {
                    self.hosts.answered(host);
                }
                let pause = self.standing.pause_asked(self.flow.attempts(number), answer.retry_after);
                self.flow.again(number, now + pause, false);
                let (name, words) = (self.client.name(host), words_of(&answer));
                self.standing.failed(format!("{name} answers {words}; {}", advice(status)));
                if matches!(status, 401 | 403)
                    && let Err(error) = self.client.renew(host)
                {
                    self.standing.failed(format!("{name} answers {words}, and {error}; it is tried again"));
                }
            }
        }
    }

    /// The server looked at each action.
    fn taken(&mut self, number: u64, host: usize, answer: &Answer, now: Instant) {
        let Some(body) = self.flow.body(number) else { return };
        let read = match bulk::Answer::read(&answer.body) {
            Ok(read) if !read.has_errors => None,
            Ok(read) => Some(self.fates(number, &body, &read)),
            Err(error) => Some(Err(error.to_string())),
        };
        drop(body);
        match read {
            None => {
                self.flow.delivered(number, now);
                self.standing.took();
            }
            Some(Ok((fates, None))) => {
                self.flow.answered(number, &fates, now, now);
                self.standing.took();
            }
            Some(Ok((fates, Some(words)))) => {
                let retry_at = now + self.standing.pause(self.flow.attempts(number));
                self.flow.answered(number, &fates, now, retry_at);
                let name = self.client.name(host);
                self.standing.took_some(format!("{name} puts off actions, {words}; they are tried again"));
            }
            Some(Err(error)) => {
                let pause = self.standing.pause(self.flow.attempts(number));
                self.flow.again(number, now + pause, true);
                let name = self.client.name(host);
                self.standing.failed(format!(
                    "{name} answers what is not an answer to _bulk ({error}); see whether the endpoint is right"
                ));
            }
        }
    }

    /// What becomes of each action, and why those that are put off are; refusals are kept.
    fn fates(
        &mut self,
        number: u64,
        body: &Body,
        answer: &bulk::Answer<'_>,
    ) -> Result<(Vec<Fate>, Option<String>), String> {
        let is_again = self.shape.has_event_ids() || self.flow.is_uncertain(number);
        let (mut fates, mut letters, mut put_off) =
            (Vec::with_capacity(body.actions.len()), Vec::new(), None);
        let mut count = 0;
        let suffix = self.conflict_suffix.as_deref();
        answer
            .items(|item| {
                count += 1;
                let Some(action) = body.actions.get(fates.len()) else { return };
                let words = || format!("{} {}: {}", item.status, item.kind, item.reason);
                let fate = match judge(action.kind, &item) {
                    Verdict::Delivered => Fate::Delivered,
                    // It came with a try whose answer was lost, or before a crash.
                    Verdict::Exists if is_again => Fate::Delivered,
                    Verdict::Retry => {
                        put_off.get_or_insert_with(words);
                        Fate::Retry
                    }
                    Verdict::Exists | Verdict::Refused => {
                        let changed = suffix
                            .filter(|_| item.status == 400 && action.renames < RENAMES_MAX)
                            .and_then(|suffix| {
                                conflict::renamed(body.event(action), conflict::field(&item.reason)?, suffix)
                            });
                        changed.map_or_else(
                            || {
                                letters.push(letter(body, action, words()));
                                Fate::Refused
                            },
                            Fate::Changed,
                        )
                    }
                };
                fates.push(fate);
            })
            .map_err(|error| error.to_string())?;
        if count != body.actions.len() {
            return Err(format!("it has {count} items for {} actions", body.actions.len()));
        }
        self.letters.append(&mut letters);
        Ok((fates, put_off))
    }

    /// The request is larger than the server takes, or a proxy before it.
    fn too_large(&mut self, number: u64, host: usize, answer: &Answer, now: Instant) {
        let Some(body) = self.flow.body(number) else { return };
        if body.actions.len() > 1 {
            let smaller = (body.text.len() / 2).max(BULK_BYTES_MIN);
            if smaller < self.bulk_bytes {
                let (name, bytes) = (self.client.name(host), body.text.len());
                tracing::warn!(host = name, bytes, smaller, "a server finds a request too large");
                self.bulk_bytes = smaller;
            }
        }
        drop(body);
        self.bisect(number, &words_of(answer), now);
    }

    /// Something in the body is refused as a whole: halves are tried, down to the one event.
    fn bisect(&mut self, number: u64, words: &str, now: Instant) {
        let Some(body) = self.flow.body(number) else { return };
        self.standing.refused();
        match body.actions.as_slice() {
            [action] => {
                self.letters.push(letter(&body, action, words.to_owned()));
                drop(body);
                self.flow.answered(number, &[Fate::Refused], now, now);
            }
            _ => {
                drop(body);
                self.flow.split(number, now);
            }
        }
    }
}

fn letter(body: &Body, action: &flow::Action, reason: String) -> Letter {
    let event = String::from_utf8_lossy(body.event(action)).into_owned();
    Letter { sequence: action.sequence, reason, event }
}

/// Whether a 400 is the server's word on what is in the body, as of an id that is too long, and
/// not on the request: a parameter that it does not know, or a proxy that wants TLS.
fn is_about_the_body(answer: &[u8]) -> bool {
    let Ok(answer) = serde_json::from_slice::<serde_json::Value>(answer) else { return false };
    let reason = answer["error"]["reason"].as_str().unwrap_or_default();
    answer["error"]["type"].is_string() && !reason.contains("unrecognized parameter")
}

/// The status and the reason of an answer, for people.
fn words_of(answer: &Answer) -> String {
    let error = serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
    let error = error.as_ref().map(|body| &body["error"]).filter(|error| error.is_object());
    match error.and_then(|error| bulk::read_error(&error.to_string()).map(own)) {
        Some((kind, reason)) => words(answer.status, &format!("{kind}: {reason}")),
        None => words(answer.status, &String::from_utf8_lossy(&answer.body)),
    }
}

fn own((kind, reason): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)) -> (String, String) {
    (kind.into_owned(), reason.into_owned())
}

/// What to do about a status that is not the events' fault.
fn advice(status: u16) -> &'static str {
    match status {
        401 => "see the option \"auth\"; it is tried again",
        403 => "give this user the right to write; it is tried again",
        404 | 405 => "there is no _bulk: see the path of the endpoint; it is tried again",
        429 => "it is slowed down and tried again",
        300..=399 => "name the address that it leads to in \"endpoints\"; it is tried again",
        400 => "see \"query\", \"headers\" and the endpoint; it is tried again",
        _ => "it is tried again",
    }
}
