//! Output `kafka`: writes events to topics of a Kafka cluster.
//!
//! An event counts as delivered when a broker says so. There is no time after which anything is
//! given up: while the cluster cannot be reached, the queue keeps what comes.
//!
//! One thread does it all: events are written, in their final form, straight into the record
//! batches that go over the wire, and whoever calls [`Output::write`] and [`Output::settled`]
//! drives the connections as well.

use super::encode::{Codec, Encoder};
use super::{Delivery, Letter, Output, OutputError, Refused, WRITE_WAIT_MAX};
use crate::net::kafka::properties::{self, Finding};
use crate::net::kafka::{ClusterConfig, Happened, Links, Properties, SaslConfig};
use crate::net::tls::TlsConfig;
use crate::units::{Bytes, Time};
use event::View;
use expr::Template;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};
use wire::kafka::compression;
use wire::kafka::connection::{ConnectionError, Response};
use wire::kafka::metadata::{self, Address};
use wire::kafka::producer::{self, Answer, AppendError, Event, Head, Outgoing, Producer, Request, TopicId};
use wire::kafka::records::{Limits, RecordSet};

/// Options of the output `kafka`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Some of the brokers, as `host:port`: they tell of the others.
    pub brokers: Vec<String>,
    /// The topic; fields may stand in it: `logs-%{kubernetes.namespace}`.
    pub topic: String,
    /// The key of a record. An event that lacks one of its fields has none.
    pub key: Option<String>,
    /// The partition, instead of what the partitioner says.
    pub partition: Option<String>,
    /// Headers of a record; what an event lacks is left out.
    pub headers: BTreeMap<String, String>,
    /// How an event is written: `json`, `raw` or `{text: TEMPLATE}`.
    pub codec: Codec,
    /// When an event counts as delivered.
    pub acks: Acks,
    /// Whether brokers recognise what is sent again, so that it is not stored twice.
    pub idempotent: bool,
    /// Which partition a record goes to.
    pub partitioner: Partitioner,
    /// How batches are compressed.
    pub compression: Compression,
    /// How hard; each way has its own levels.
    pub compression_level: Option<i32>,
    /// Bytes at which a batch is sent.
    pub batch_bytes: Bytes,
    /// How long a batch waits for more.
    pub linger: Time,
    /// The largest request; an event that is larger goes to the dead letters.
    pub request_bytes_max: Bytes,
    /// Requests on their way to one broker.
    pub in_flight_max: usize,
    /// How long a broker may take to answer before it is asked again.
    pub request_timeout: Time,
    /// Bytes of all batches that are not delivered yet.
    pub memory_bytes_max: Bytes,
    /// Whether topics that do not exist may be made by the brokers, as they are set.
    pub create_topics: bool,
    /// What happens with events that the brokers deny us to write: `wait`, or `refuse`.
    pub denied: Denied,
    /// What the brokers' logs and quotas call us.
    pub client_id: Option<String>,
    /// TLS, when it is there.
    pub tls: Option<TlsConfig>,
    /// How we log in, when it is there.
    pub sasl: Option<SaslConfig>,
    /// Properties as librdkafka and Java's client have them, put over the other options.
    #[serde(skip_serializing_if = "Properties::is_empty")]
    pub properties: Properties,
}

/// When an event counts as delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acks {
    /// When it was sent: what is lost on the way is lost.
    #[serde(alias = "0")]
    None,
    /// When the partition's leader has it.
    #[serde(alias = "1")]
    Leader,
    /// When all replicas in sync have it.
    #[default]
    #[serde(alias = "-1")]
    All,
}

/// Which partition a record goes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partitioner {
    /// By the key as Java's client does; without a key one partition for each batch.
    #[default]
    Murmur2,
    /// By the key as Java's client does; without a key by chance.
    Murmur2Random,
    /// By the key's CRC-32 as librdkafka's `consistent`.
    Consistent,
    /// By the key's CRC-32 as librdkafka's `consistent_random`; without a key by chance.
    ConsistentRandom,
    /// By chance, whatever the key.
    Random,
    /// One after another, whatever the key.
    RoundRobin,
    /// One for each batch, whatever the key.
    Sticky,
}

/// How batches are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy in the frames of Java's client.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// RFC 8878; brokers know it from 2.1 on.
    Zstd,
}

/// What happens with events that the brokers deny us to write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Denied {
    /// They wait until somebody gives us the right.
    #[default]
    Wait,
    /// They go to the dead letters.
    Refuse,
}

impl Default for Config {
    fn default() -> Self {
        let defaults = producer::Options::default();
        Self {
            brokers: Vec::new(),
            topic: String::new(),
            key: None,
            partition: None,
            headers: BTreeMap::new(),
            codec: Codec::Json,
            acks: Acks::All,
            idempotent: true,
            partitioner: Partitioner::default(),
            compression: Compression::None,
            compression_level: None,
            batch_bytes: Bytes(defaults.batch_bytes as u64),
            linger: Time(defaults.linger),
            request_bytes_max: Bytes(defaults.request_bytes_max as u64),
            in_flight_max: defaults.in_flight_max,
            request_timeout: Time(defaults.request_timeout),
            memory_bytes_max: Bytes(6 << 20),
            create_topics: true,
            denied: Denied::Wait,
            client_id: None,
            tls: None,
            sasl: None,
            properties: Properties::default(),
        }
    }
}

/// How long what is denied waits before it is tried again.
const DENIED_WAIT: Duration = Duration::from_secs(10);
/// How long answers are waited for when nothing else is to be done.
const IDLE_WAIT: Duration = Duration::from_millis(50);

impl Config {
    /// The output that these options describe.
    pub fn build(&self) -> Result<KafkaOutput, String> {
        if !self.properties.is_empty() {
            let (config, findings) = self.properties.over_output(self);
            return properties::wrong(&findings).map_or_else(|| config.build(), Err);
        }
        if self.topic.is_empty() {
            return Err("\"topic\" is missing: the topic to write to".to_owned());
        }
        let template = |option: &str, text: &str| {
            Template::parse(text).map_err(|error| format!("option \"{option}\": {error}"))
        };
        let cluster = self.cluster().build()?;
        let headers = self.headers.iter();
        let headers = headers.map(|(name, text)| Ok((name.clone(), template("headers", text)?)));
        let options = self.producer();
        if options.batch_bytes > options.request_bytes_max {
            return Err("\"batch_bytes\" is larger than \"request_bytes_max\"".to_owned());
        }
        let (linger, batch_bytes) = (options.linger, options.batch_bytes);
        let servers = cluster.servers.clone();
        let producer = Producer::new(options, servers, fastrand::u64(..), Instant::now());
        Ok(KafkaOutput {
            topic: template("topic", &self.topic)?,
            key: self.key.as_deref().map(|text| template("key", text)).transpose()?,
            partition: self.partition.as_deref().map(|text| template("partition", text)).transpose()?,
            headers: headers.collect::<Result<_, String>>()?,
            encoder: self.codec.build()?,
            is_json: matches!(self.codec, Codec::Json | Codec::Pretty),
            producer: producer.map_err(|error| format!("the compressor: {error}"))?,
            links: Links::new(cluster),
            linger,
            batch_bytes,
            next_token: 0,
            taken: VecDeque::new(),
            letters: Vec::new(),
            trouble: None,
            last_topic: None,
            scratch: Scratch::default(),
            happened: Vec::new(),
        })
    }

    /// What is to be said of the properties.
    pub fn findings(&self) -> Vec<Finding> {
        self.properties.over_output(self).1
    }

    pub(crate) fn cluster(&self) -> ClusterConfig {
        ClusterConfig {
            brokers: self.brokers.clone(),
            client_id: self.client_id.clone(),
            tls: self.tls.clone(),
            sasl: self.sasl.clone(),
        }
    }

    fn producer(&self) -> producer::Options {
        let defaults = producer::Options::default();
        producer::Options {
            acks: match self.acks {
                Acks::None => producer::Acks::None,
                Acks::Leader => producer::Acks::Leader,
                Acks::All => producer::Acks::All,
            },
            idempotent: self.idempotent,
            batch_bytes: self.batch_bytes.0 as usize,
            linger: self.linger.0,
            memory_bytes_max: self.memory_bytes_max.0 as usize,
            request_bytes_max: self.request_bytes_max.0 as usize,
            in_flight_max: self.in_flight_max,
            request_timeout: self.request_timeout.0,
            compression: match self.compression {
                Compression::None => compression::Compression::None,
                Compression::Gzip => compression::Compression::Gzip,
                Compression::Snappy => compression::Compression::Snappy,
                Compression::Lz4 => compression::Compression::Lz4,
                Compression::Zstd => compression::Compression::Zstd,
            },
            level: self.compression_level,
            partitioner: match self.partitioner {
                Partitioner::Murmur2 => producer::Partitioner::Murmur2,
                Partitioner::Murmur2Random => producer::Partitioner::Murmur2Random,
                Partitioner::Consistent => producer::Partitioner::Consistent,
                Partitioner::ConsistentRandom => producer::Partitioner::ConsistentRandom,
                Partitioner::Random => producer::Partitioner::Random,
                Partitioner::RoundRobin => producer::Partitioner::RoundRobin,
                Partitioner::Sticky => producer::Partitioner::Sticky,
            },
            denied: match self.denied {
                Denied::Wait => producer::Denied::Wait(DENIED_WAIT),
                Denied::Refuse => producer::Denied::Refuse,
            },
            metadata: metadata::Options { create_topics: self.create_topics, ..defaults.metadata.clone() },
            ..defaults
        }
    }
}

/// The output.
pub struct KafkaOutput {
    topic: Template,
    key: Option<Template>,
    partition: Option<Template>,
    headers: Vec<(String, Template)>,
    encoder: Encoder,
    is_json: bool,
    producer: Producer,
    links: Links<(u64, i32)>,
    linger: Duration,
    batch_bytes: usize,
    next_token: u64,
    /// The batches that were taken, the last perhaps in part.
    taken: VecDeque<Taken>,
    letters: Vec<Letter>,
    /// What does not work now.
    trouble: Option<String>,
    last_topic: Option<(Vec<u8>, TopicId)>,
    scratch: Scratch,
    happened: Vec<Happened<(u64, i32)>>,
}

/// A batch of events of which not all are delivered.
struct Taken {
    /// The sequence of its first event.
    sequence: u64,
    first_token: u64,
    /// Records of which it is not known yet what became of them.
    open: u64,
    /// How many of its events are records by now, or refused.
    events: usize,
    /// Nothing more of it is to come.
    is_whole: bool,
    refused: Vec<Refused>,
}

/// Rendered templates of an event.
#[derive(Default)]
struct Scratch {
    topic: Vec<u8>,
    text: Vec<u8>,
    /// Where each header ends in the text; none: the event does not have it.
    headers: Vec<Option<usize>>,
}

impl Output for KafkaOutput {
    fn write(&mut self, delivery: &Delivery<'_>, refused: &mut Vec<Refused>) -> Result<(), OutputError> {
        let resumes =
            self.taken.back().is_some_and(|last| !last.is_whole && last.sequence == delivery.sequence);
        if !resumes {
            self.taken.push_back(Taken {
                sequence: delivery.sequence,
                first_token: self.next_token,
                open: 0,
                events: 0,
                is_whole: false,
                refused: Vec::new(),
            });
        }
        // One look at the clock for the batch: one for each event would be a tenth of the work.
        let mut now = Instant::now();
        let until = now + WRITE_WAIT_MAX;
        let done = self.taken.back().map_or(0, |last| last.events);
        let batch_now = delivery.batch.now();
        for (sequence, event) in delivery.events().skip(done) {
            loop {
                match self.append(&event, batch_now, now) {
                    Ok(()) => {
                        self.next_token += 1;
                        self.count(|last| last.open += 1);
                        break;
                    }
                    Err(Because::NoRoom) if now < until => {
                        self.drive(until, |own| own.producer.used_bytes() == 0);
                        now = Instant::now();
                    }
                    Err(Because::NoRoom) => return Err(OutputError::Full),
                    Err(Because::Never(reason)) => {
                        self.count(|last| last.refused.push(Refused { sequence, reason }));
                        break;
                    }
                }
            }
            self.count(|last| last.events += 1);
        }
        self.count(|last| last.is_whole = true);
        if let Some(last) = self.taken.back_mut() {
            refused.append(&mut last.refused);
        }
        Ok(())
    }

    fn settled(&mut self, idle: bool, refused: &mut Vec<Letter>) -> Result<u64, OutputError> {
        let wait = match idle {
            true => IDLE_WAIT,
            // What is full goes at once.
            false if self.producer.used_bytes() >= self.batch_bytes => Duration::ZERO,
            false => self.linger,
        };
        if idle {
            self.producer.flush();
        }
        self.drive(Instant::now() + wait, |own| own.producer.is_idle());
        refused.append(&mut self.letters);
        let before = self.taken.len();
        while self.taken.front().is_some_and(|first| first.is_whole && first.open == 0) {
            self.taken.pop_front();
        }
        match &self.trouble {
            Some(trouble) if self.taken.len() == before => Err(OutputError::Server(trouble.clone())),
            _ => Ok(self.taken.front().map_or(u64::MAX, |first| first.sequence)),
        }
    }
}

/// Why an event is no record.
enum Because {
    NoRoom,
    Never(String),
}

impl KafkaOutput {
    /// Changes what is known of the batch that is being taken.
    fn count(&mut self, change: impl FnOnce(&mut Taken)) {
        if let Some(last) = self.taken.back_mut() {
            change(last);
        }
    }

    fn append(&mut self, event: &View<'_>, batch_now: i64, now: Instant) -> Result<(), Because> {
        let missing = |missing: expr::Missing| Because::Never(missing.to_string());
        let Scratch { topic: name, text, headers } = &mut self.scratch;
        let topic = match &self.last_topic {
            Some((_, id)) if self.topic.is_constant() => *id,
            last => {
                name.clear();
                self.topic.render(event, batch_now, name).map_err(missing)?;
                match last {
                    Some((last, id)) if last == name => *id,
                    _ => {
                        check_topic(name).map_err(Because::Never)?;
                        let id = self.producer.topic(&String::from_utf8_lossy(name), now);
                        self.last_topic = Some((name.clone(), id));
                        id
                    }
                }
            }
        };
        text.clear();
        let partition = match &self.partition {
            None => None,
            Some(template) => {
                template.render(event, batch_now, text).map_err(missing)?;
                let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
                let wrong = || Because::Never(format!("{:?} is no partition", String::from_utf8_lossy(text)));
                let number = Some(number.ok_or_else(wrong)?);
                text.clear();
                number
            }
        };
        let key_end = self.key.as_ref().and_then(|key| rendered(key, event, batch_now, text));
        headers.clear();
        headers.extend(self.headers.iter().map(|(_, template)| rendered(template, event, batch_now, text)));
        let mut begin = key_end.unwrap_or(0);
        let headers: Vec<(&str, Option<&[u8]>)> = self
            .headers
            .iter()
            .zip(&*headers)
            .filter_map(|((name, _), end)| {
                let value = &text[begin..(*end)?];
                begin = (*end)?;
                Some((name.as_str(), Some(value)))
            })
            .collect();
        let key = key_end.map(|end| &text[..end]);
        let head = Head { partition, timestamp: event.time().div_euclid(1_000_000), key, headers: &headers };
        let encoder = &self.encoder;
        let write = |out: &mut Vec<u8>| encoder.write_value(event, batch_now, out);
        self.producer.append_with(topic, &head, self.next_token, now, write).map_err(|error| match error {
            AppendError::NotYet | AppendError::Full => Because::NoRoom,
            other => Because::Never(other.to_string()),
        })
    }

    /// Sends and hears what there is, until then or until it is enough.
    fn drive(&mut self, until: Instant, enough: impl Fn(&Self) -> bool) {
        loop {
            let now = Instant::now();
            for outgoing in self.producer.poll(now) {
                self.send(outgoing, now);
            }
            let deadline = self.producer.next_deadline().map_or(until, |deadline| until.min(deadline));
            let mut happened = std::mem::take(&mut self.happened);
            self.links.turn(deadline, &mut happened);
            let is_quiet = happened.is_empty();
            let now = Instant::now();
            for one in happened.drain(..) {
                self.hear(one, now);
            }
            self.happened = happened;
            while let Some(event) = self.producer.event() {
                self.tell(event);
            }
            if enough(self) || (is_quiet && now >= until) {
                return;
            }
        }
    }

    fn send(&mut self, outgoing: Outgoing, now: Instant) {
        let Outgoing { id, broker, request, deadline } = outgoing;
        let Some(address) = self.producer.metadata().address(broker) else {
            return self.producer.on_disconnect(broker, now);
        };
        let address: Address = address.clone();
        let send: crate::net::kafka::Send = match request {
            Request::Metadata(request) => Box::new(move |link| link.send_by(&request, i16::MAX, deadline)),
            Request::InitProducerId(request) => {
                Box::new(move |link| link.send_by(&request, i16::MAX, deadline))
            }
            Request::Produce(request) => Box::new(move |link| link.send_produce(&request, deadline)),
        };
        self.links.send(broker, &address, send, (id, broker), now);
    }

    fn hear(&mut self, happened: Happened<(u64, i32)>, now: Instant) {
        match happened {
            Happened::Answered((id, broker), response) => match answer(response) {
                Ok(answer) => self.producer.on_response(id, answer, now),
                Err(error) => {
                    self.trouble = Some(error.to_string());
                    self.producer.on_disconnect(broker, now);
                }
            },
            Happened::Written((id, _)) => self.producer.on_response(id, Answer::Written, now),
            Happened::Unsent((_, broker), error) => {
                self.trouble = Some(error);
                self.producer.on_disconnect(broker, now);
            }
            Happened::Lost { broker, error, tags } => {
                // Brokers close connections that nobody uses.
                if !tags.is_empty() {
                    self.trouble = Some(error);
                }
                self.producer.on_disconnect(broker, now);
            }
        }
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::Delivered { tokens, .. } => {
                self.trouble = None;
                self.done(tokens.start, tokens.end);
            }
            Event::Refused { topic, partition, token, batch, number, error, reason } => {
                let reason = reason.unwrap_or_else(|| error.to_string());
                let at = self.taken.partition_point(|taken| taken.first_token <= token);
                let sequence =
                    at.checked_sub(1).and_then(|at| self.taken.get(at)).map_or(0, |taken| taken.sequence);
                self.letters.push(Letter {
                    sequence,
                    reason: format!("topic {topic}, partition {partition}: {reason}"),
                    event: self.event_of(&batch, number),
                });
                self.done(token, token + 1);
            }
            Event::Trouble { topic, partition, error, reason, .. } => {
                let whose = match (topic, partition) {
                    (Some(topic), Some(partition)) => format!("topic {topic}, partition {partition}: "),
                    (Some(topic), None) => format!("topic {topic}: "),
                    _ => String::new(),
                };
                self.trouble = Some(format!("{whose}{}", reason.unwrap_or_else(|| error.to_string())));
            }
        }
    }

    /// It is known what became of these records.
    fn done(&mut self, mut from: u64, to: u64) {
        let mut at = self.taken.partition_point(|taken| taken.first_token <= from).saturating_sub(1);
        while from < to && at < self.taken.len() {
            let end = self.taken.get(at + 1).map_or(u64::MAX, |next| next.first_token).min(to);
            self.taken[at].open -= (end - from).min(self.taken[at].open);
            (from, at) = (end, at + 1);
        }
    }

    /// The event of a record, as JSON.
    fn event_of(&self, batch: &[u8], number: usize) -> String {
        let mut scratch = Vec::new();
        let mut set = RecordSet::new(batch, Limits::default());
        let batch = set.next(&mut scratch).and_then(Result::ok);
        let record = batch.and_then(|batch| batch.records().nth(number)).and_then(Result::ok);
        let value = record.and_then(|record| record.value).unwrap_or_default();
        let text = String::from_utf8_lossy(value);
        match self.is_json && serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok() {
            true => text.into_owned(),
            false => serde_json::json!({ "message": text }).to_string(),
        }
    }
}

fn answer(response: Response) -> Result<Answer, ConnectionError> {
    use kafka_protocol::messages::{ApiKey, InitProducerIdRequest, MetadataRequest, ProduceRequest};
    Ok(match response.api {
        ApiKey::Metadata => Answer::Metadata(response.decode::<MetadataRequest>()?),
        ApiKey::InitProducerId => Answer::InitProducerId(response.decode::<InitProducerIdRequest>()?),
        _ => Answer::Produce(response.decode::<ProduceRequest>()?),
    })
}

/// Renders a template behind the text, and says where it ends; nothing of it where a field lacks.
fn rendered(template: &Template, event: &View<'_>, now: i64, text: &mut Vec<u8>) -> Option<usize> {
    let before = text.len();
    if template.render(event, now, text).is_err() {
        text.truncate(before);
        return None;
    }
    Some(text.len())
}

/// Whether Kafka takes the name (`org.apache.kafka.common.internals.Topic`).
fn check_topic(name: &[u8]) -> Result<(), String> {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let is_fine = (1..=249).contains(&name.len()) && name != b"." && name != b"..";
    if is_fine && name.iter().all(is_allowed) {
        return Ok(());
    }
    let name = String::from_utf8_lossy(name);
    Err(format!("{name:?} is no name of a topic: up to 249 of letters, digits, '.', '_' and '-'"))
}
