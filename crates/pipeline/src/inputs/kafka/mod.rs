//! Input `kafka`: reads topics as a member of a consumer group.
//!
//! An offset is committed when everything before it is safe: delivered, or on disk in the queue.
//! What was read and is not safe when the program ends is read again, and as an event's id is
//! made of cluster, topic, partition and offset it is then the same event. What the queue has and
//! the group does not know of, because the program was killed before the commit, is passed over,
//! when nobody else has committed since: each commit carries a text by which its author is known.
//!
//! Two threads. The driver (`driver.rs`) keeps the membership alive and fetches, as far as there is
//! credit; the input's own makes events of what waits (`unpack.rs`). So a pipeline that takes
//! nothing for an hour costs neither memory nor the place in the group. The alternative, to send
//! heartbeats whenever the pipeline calls, is what makes other consumers lose their partitions
//! when an output is slow.

mod driver;
mod exchange;
mod unpack;

use super::{ConfigError, Input, InputContext, InputError, Next};
use crate::net::kafka::properties::{self, Finding};
use crate::net::kafka::{Cluster, ClusterConfig, Properties, SaslConfig};
use crate::net::tls::TlsConfig;
use crate::stop::Stop;
use crate::units::{Bytes, Time};
use driver::{Driver, Options};
use event::Batch;
use exchange::Exchange;
use kafka_protocol::protocol::StrBytes;
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use unpack::{Reading, Unpacked, Unpacker};
use wire::kafka::consumer::assign::Assignor;
use wire::kafka::consumer::lag;
use wire::kafka::consumer::membership;
use wire::kafka::consumer::offsets::Offsets;
use wire::kafka::consumer::positions::{self, FetchConfig};

/// Options of the input `kafka`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Some of the brokers, as `host:port`: they tell of the others.
    pub brokers: Vec<String>,
    /// The topics.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// And those whose whole name matches this regular expression, also when they come later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topics_pattern: Option<String>,
    /// How often it is looked for new topics and partitions.
    pub refresh_interval: Time,
    /// The consumer group.
    pub group: String,
    /// How the members share the partitions.
    pub group_protocol: GroupProtocol,
    /// This member's own name, so that a restart moves no partitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_instance_id: Option<String>,
    /// How partitions are shared in the classic protocol, the favourite first.
    pub assignment: Vec<Assignment>,
    /// Where to begin in a partition without a committed offset.
    pub auto_offset_reset: OffsetReset,
    /// Which records count.
    pub isolation: Isolation,
    /// Where this machine stands, so that a near replica can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rack: Option<String>,
    /// From how many bytes on a broker answers at once.
    pub fetch_min_bytes: Bytes,
    /// How long a broker waits for as many.
    pub fetch_wait_max: Time,
    /// Bytes of an answer at most; one batch always comes whole.
    pub fetch_bytes_max: Bytes,
    /// Bytes of one partition in an answer at most.
    pub partition_bytes_max: Bytes,
    /// Bytes that wait to be taken; from there on no more is fetched.
    pub buffer_bytes_max: Bytes,
    /// After how long without a heartbeat a member counts as dead.
    pub session_timeout: Time,
    /// Between heartbeats.
    pub heartbeat_interval: Time,
    /// How long what is under way may take when partitions are given back.
    pub rebalance_timeout: Time,
    /// Between commits.
    pub commit_interval: Time,
    /// What a record's value is.
    pub codec: Codec,
    /// Where the time of an event comes from.
    pub timestamp: Timestamp,
    /// What is added beside `kafka.topic`, `kafka.partition` and `kafka.offset`.
    pub metadata: Vec<Metadata>,
    /// What the brokers' logs and quotas call us.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// TLS, when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// How we log in, when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl: Option<SaslConfig>,
    /// Properties as librdkafka and Java's client have them, put over the other options.
    #[serde(skip_serializing_if = "Properties::is_empty")]
    pub properties: Properties,
}

/// How the members of a group share the partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupProtocol {
    /// By the new protocol (KIP-848) where the brokers have it.
    #[default]
    Auto,
    /// By themselves.
    Classic,
    /// By the coordinator (KIP-848).
    Consumer,
}

/// A way to share partitions in the classic protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assignment {
    /// Each topic in ranges.
    Range,
    /// One after another.
    #[serde(alias = "roundrobin")]
    RoundRobin,
    /// Evenly, and moving as few as possible.
    Sticky,
    /// The same, and who keeps partitions goes on reading meanwhile (KIP-429).
    CooperativeSticky,
}

/// Where to begin in a partition without a committed offset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffsetReset {
    /// With the oldest record there is.
    #[default]
    Earliest,
    /// With what is written from now on.
    Latest,
    /// Not at all: it is told of, and the partition is not read.
    None,
}

/// Which records count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Those of finished transactions, and those without.
    #[default]
    ReadCommitted,
    /// All.
    ReadUncommitted,
}

/// What a record's value is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// The message.
    #[default]
    Raw,
    /// A JSON object: the event.
    Json,
}

/// Where the time of an event comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timestamp {
    /// From the record.
    #[default]
    Record,
    /// It is when the record was read.
    Read,
}

/// What is known of a record beside its value and place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metadata {
    /// `kafka.key`.
    Key,
    /// `kafka.timestamp`.
    Timestamp,
    /// `kafka.headers.*`.
    Headers,
}

/// How long what was read has to become safe when the program ends.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// A look without having been woken, in case.
const LOOK: Duration = Duration::from_secs(1);

impl Default for Config {
    fn default() -> Self {
        let fetch = FetchConfig::default();
        let group = membership::GroupConfig::new("");
        Self {
            brokers: Vec::new(),
            topics: Vec::new(),
            topics_pattern: None,
            refresh_interval: Time(Duration::from_secs(60)),
            group: String::new(),
            group_protocol: GroupProtocol::Auto,
            group_instance_id: None,
            assignment: vec![Assignment::Range, Assignment::CooperativeSticky],
            auto_offset_reset: OffsetReset::Earliest,
            isolation: Isolation::ReadCommitted,
            rack: None,
            fetch_min_bytes: Bytes(fetch.bytes_min.unsigned_abs().into()),
            fetch_wait_max: Time(fetch.wait),
            fetch_bytes_max: Bytes(1 << 20),
            partition_bytes_max: Bytes(fetch.partition_bytes_max.unsigned_abs().into()),
            buffer_bytes_max: Bytes(2 << 20),
            session_timeout: Time(group.session_timeout),
            heartbeat_interval: Time(group.heartbeat_interval),
            rebalance_timeout: Time(Duration::from_secs(60)),
            commit_interval: Time(Duration::from_secs(1)),
            codec: Codec::Raw,
            timestamp: Timestamp::Record,
            metadata: vec![Metadata::Key, Metadata::Headers],
            client_id: None,
            tls: None,
            sasl: None,
            properties: Properties::default(),
        }
    }
}

/// The input.
pub struct KafkaInput {
    name: String,
    /// What the driver is made of, until it runs.
    prepared: Option<(Options, Cluster)>,
    exchange: Arc<Exchange>,
    driver: Option<JoinHandle<()>>,
    reading: Option<Reading>,
    unpacker: Unpacker,
}

impl Config {
    /// The input that these options describe. Nothing is connected before it is called first.
    pub fn build(&self, context: InputContext) -> Result<KafkaInput, ConfigError> {
        if !self.properties.is_empty() {
            return self.with_properties()?.build(context);
        }
        let (mut options, cluster) = self.options(&context.name)?;
        options.token = token(&context)?;
        options.registry = Some(context.registry.clone());
        let offsets = Offsets::new(self.commit_interval.0, options.token.clone());
        let exchange = Exchange::new(offsets)
            .map_err(|error| ConfigError { option: "kafka", message: error.to_string() })?;
        let unpacker = Unpacker::new(self.codec, self.timestamp, &self.metadata, context.batch_bytes);
        Ok(KafkaInput {
            name: context.name,
            prepared: Some((options, cluster)),
            exchange,
            driver: None,
            reading: None,
            unpacker,
        })
    }

    /// What is wrong with the options, if anything.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !self.properties.is_empty() {
            return self.with_properties()?.check();
        }
        self.options("").map(drop)
    }

    /// What is to be said of the properties.
    pub fn findings(&self) -> Vec<Finding> {
        self.properties.over_input(self).1
    }

    fn with_properties(&self) -> Result<Self, ConfigError> {
        let (config, findings) = self.properties.over_input(self);
        let wrong = |message| Err(ConfigError { option: "properties", message });
        properties::wrong(&findings).map_or(Ok(config), wrong)
    }

    pub(crate) fn cluster(&self) -> ClusterConfig {
        ClusterConfig {
            brokers: self.brokers.clone(),
            client_id: self.client_id.clone(),
            tls: self.tls.clone(),
            sasl: self.sasl.clone(),
        }
    }

    fn options(&self, input: &str) -> Result<(Options, Cluster), ConfigError> {
        let wrong = |option, message: &str| Err(ConfigError { option, message: message.to_owned() });
        if self.topics.is_empty() && self.topics_pattern.is_none() {
            return wrong("topics", "at least one topic, or \"topics_pattern\"");
        }
        if self.group.is_empty() {
            return wrong("group", "the consumer group is missing; its members share the partitions");
        }
        if self.assignment.is_empty() {
            return wrong("assignment", "at least one way to share partitions");
        }
        if self.heartbeat_interval.0.is_zero() || self.heartbeat_interval.0 >= self.session_timeout.0 {
            return wrong(
                "heartbeat_interval",
                "it must be shorter than \"session_timeout\"; a third of it is usual",
            );
        }
        if self.rebalance_timeout.0.is_zero() {
            return wrong("rebalance_timeout", "it must be longer than nothing");
        }
        let bytes = |option, bytes: Bytes| match i32::try_from(bytes.0) {
            Ok(bytes) if bytes > 0 => Ok(bytes),
            _ => Err(ConfigError { option, message: "between 1 byte and 2GiB".to_owned() }),
        };
        let pattern = self.topics_pattern.as_ref().map(|pattern| {
            let whole = Regex::new(&format!("^(?:{pattern})$"));
            whole.map_err(|error| ConfigError { option: "topics_pattern", message: error.to_string() })
        });
        let cluster = self.cluster().build();
        let cluster = cluster.map_err(|message| ConfigError { option: option_of(&message), message })?;
        let text = |text: &Option<String>| text.clone().map(StrBytes::from_string);
        let group = membership::GroupConfig {
            instance_id: text(&self.group_instance_id),
            rack: text(&self.rack),
            protocol: match self.group_protocol {
                GroupProtocol::Auto => membership::GroupProtocol::Auto,
                GroupProtocol::Classic => membership::GroupProtocol::Classic,
                GroupProtocol::Consumer => membership::GroupProtocol::Consumer,
            },
            assignors: self.assignment.iter().map(|assignment| assignment.assignor()).collect(),
            session_timeout: self.session_timeout.0,
            rebalance_timeout: self.rebalance_timeout.0,
            heartbeat_interval: self.heartbeat_interval.0,
            ..membership::GroupConfig::new(&self.group)
        };
        let fetch = FetchConfig {
            isolation: match self.isolation {
                Isolation::ReadCommitted => lag::Isolation::ReadCommitted,
                Isolation::ReadUncommitted => lag::Isolation::ReadUncommitted,
            },
            reset: match self.auto_offset_reset {
                OffsetReset::Earliest => positions::Reset::Earliest,
                OffsetReset::Latest => positions::Reset::Latest,
                OffsetReset::None => positions::Reset::None,
            },
            rack: text(&self.rack),
            wait: self.fetch_wait_max.0,
            bytes_min: bytes("fetch_min_bytes", self.fetch_min_bytes)?,
            bytes_max: bytes("fetch_bytes_max", self.fetch_bytes_max)?,
            partition_bytes_max: bytes("partition_bytes_max", self.partition_bytes_max)?,
            ..FetchConfig::default()
        };
        let options = Options {
            input: input.to_owned(),
            topics: self.topics.iter().cloned().collect(),
            pattern: pattern.transpose()?,
            refresh: self.refresh_interval.0,
            group,
            fetch,
            token: StrBytes::default(),
            registry: None,
            buffer_bytes_max: usize::try_from(self.buffer_bytes_max.0).unwrap_or(usize::MAX).max(1),
        };
        Ok((options, cluster))
    }
}

/// Which of the options of a cluster is wrong.
pub(super) fn option_of(message: &str) -> &'static str {
    let named = ["brokers", "tls", "sasl"].into_iter();
    named.into_iter().find(|name| message.contains(&format!("\"{name}\""))).unwrap_or("brokers")
}

/// The text that goes with each commit: it is told by it again which commits are our own.
fn token(context: &InputContext) -> Result<StrBytes, ConfigError> {
    const META: &str = "kafka";
    let registry = &context.registry;
    let known = registry.known(&context.name).into_iter().find(|known| known.meta == META);
    let origin = match known {
        Some(known) => known.origin,
        None => registry.create(&context.name, META.to_owned(), 0),
    };
    registry.flush().map_err(|error| ConfigError { option: "kafka", message: error.to_string() })?;
    Ok(StrBytes::from_string(format!("logpond:{:032x}", u128::from_be_bytes(origin.id))))
}

impl Assignment {
    fn assignor(self) -> Assignor {
        match self {
            Assignment::Range => Assignor::Range,
            Assignment::RoundRobin => Assignor::RoundRobin,
            Assignment::Sticky => Assignor::Sticky,
            Assignment::CooperativeSticky => Assignor::CooperativeSticky,
        }
    }
}

impl Input for KafkaInput {
    fn next(&mut self, batch: &mut Batch, stop: &Stop) -> Result<Next, InputError> {
        loop {
            if stop.is_set() {
                self.close();
                return Ok(Next::Stopped);
            }
            self.start()?;
            self.exchange.input.clear();
            if self.fill(batch) {
                return Ok(Next::Filled);
            }
            if self.reading.is_some() {
                continue;
            }
            if self.exchange.state().ended {
                return Err(InputError::Other(format!("the thread of the input {:?} has ended", self.name)));
            }
            stop.wait_with(&[self.exchange.input.as_fd()], LOOK);
        }
    }
}

impl KafkaInput {
    fn start(&mut self) -> Result<(), InputError> {
        let Some((options, cluster)) = self.prepared.take() else { return Ok(()) };
        let driver = Driver::new(options, cluster, self.exchange.clone());
        let thread = std::thread::Builder::new().name(format!("kafka:{}", self.name));
        let thread = thread.spawn(move || driver.run());
        self.driver = Some(thread.map_err(|error| InputError::Other(format!("no thread: {error}")))?);
        Ok(())
    }

    /// Makes events of what waits; says whether there were any.
    fn fill(&mut self, batch: &mut Batch) -> bool {
        batch.reset(crate::run::now());
        let (mut parts, mut again) = (Vec::new(), None);
        loop {
            let Some(mut reading) = self.reading.take().or_else(|| self.exchange.take().map(Reading::new))
            else {
                break;
            };
            if !self.exchange.is_current(&reading.portion.at) {
                self.exchange.finished(&reading.portion);
                continue;
            }
            match self.unpacker.unpack(&mut reading, batch, &mut parts) {
                Unpacked::Full => {
                    self.reading = Some(reading);
                    break;
                }
                Unpacked::All => self.exchange.finished(&reading.portion),
                Unpacked::FetchAgain(offset) => {
                    self.exchange.finished(&reading.portion);
                    again = Some((reading.portion.at, offset));
                    break;
                }
            }
        }
        let delivered = self.exchange.deliver(parts);
        if let Some((at, offset)) = again {
            // Not before what stands in front of it was delivered.
            self.exchange.fetch_again(&at, offset);
        }
        let Ok(Some(share)) = delivered else { return false };
        batch.acks.push(share);
        true
    }

    /// Ends the membership: what was read has a while to become safe, is committed, and the
    /// partitions go to others.
    fn close(&mut self) {
        self.reading = None;
        let Some(driver) = self.driver.take() else { return };
        self.exchange.state().closing = Some(Instant::now() + CLOSE_WAIT);
        self.exchange.driver.wake();
        if driver.join().is_err() {
            tracing::error!(input = self.name, "the thread that talks with Kafka panicked");
        }
    }
}

impl Drop for KafkaInput {
    fn drop(&mut self) {
        self.close();
    }
}
