//! Delivers records: gathers them in batches, sends these, and says what became of each record.
//!
//! A state machine without sockets and clock. [`Producer::append`] takes records,
//! [`Producer::poll`] gives requests to send, [`Producer::on_response`] and
//! [`Producer::on_disconnect`] take what came of them, [`Producer::event`] tells what became of
//! the records. When nothing else happens, `poll` is to be called at
//! [`Producer::next_deadline`].
//!
//! A record is done only by the word of a broker. There is no delivery time-out: whatever may
//! pass is tried again for ever, as whoever calls has the data in a queue on disk and can only
//! wait as well. What the caller hears of it is [`Event::Trouble`].
//!
//! **Order and repetition.** In a partition records come into the log in the order in which they
//! were appended. When a batch fails, those behind it wait for it to be sent again. An
//! idempotent producer has several batches of a partition under way, whose sequence numbers let
//! the broker recognise what it has already (KIP-98); without, there is one at a time, and a
//! lost connection may repeat it. When a broker has forgotten the sequence, it begins again in a
//! new epoch (KIP-360), and what was sent but not answered may then come twice.

mod lane;
mod partitioner;
mod verdict;

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    InitProducerIdRequest, InitProducerIdResponse, MetadataRequest, MetadataResponse, ProduceRequest,
    ProduceResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use self::lane::{Batch, Identity, Lane, Open, Renumber, Sent, Tokens};
use self::partitioner::Choice;
use self::verdict::{Verdict, verdict};
use super::backoff::Backoff;
use super::compression::{Compression, Compressor};
use super::metadata::{self, Address, Metadata};
use super::records::{BatchWriter, HEADER_BYTES};

pub use self::partitioner::{Partitioner, murmur2};

/// When a record counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acks {
    /// When it was written to the socket. What the broker makes of it is not known.
    None,
    /// When the leader has it.
    Leader,
    /// When all replicas in sync have it.
    #[default]
    All,
}

/// What happens to records that nobody takes before somebody changes rights or settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// They stay, and are tried again after this time.
    Wait(Duration),
    /// They are refused.
    Refuse,
}

/// How a producer behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// When a record counts as delivered.
    pub acks: Acks,
    /// Whether brokers are to recognise repetitions; only with [`Acks::All`].
    pub idempotent: bool,
    /// Uncompressed bytes at which a batch is full.
    pub batch_bytes: usize,
    /// How long a batch that is not full waits for more.
    pub linger: Duration,
    /// Bytes of all batches, open and under way, at which no more records are taken.
    pub memory_bytes_max: usize,
    /// The largest request. A record that is larger alone is not taken.
    pub request_bytes_max: usize,
    /// Requests under way to one broker, 5 at most for an idempotent producer: of so many
    /// batches brokers remember the sequence.
    pub in_flight_max: usize,
    /// How long a broker may take to answer.
    pub request_timeout: Duration,
    /// How batches are compressed, and how hard.
    pub compression: Compression,
    /// See [`Compressor::new`].
    pub level: Option<i32>,
    /// Which partition a record goes to.
    pub partitioner: Partitioner,
    /// Before a batch is sent again.
    pub backoff: Backoff,
    /// What happens where only a human can help.
    pub denied: Denied,
    /// When and how the cluster is looked at.
    pub metadata: metadata::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: true,
            batch_bytes: 256 << 10,
            linger: Duration::from_millis(5),
            memory_bytes_max: 64 << 20,
            request_bytes_max: 1_000_000,
            in_flight_max: 5,
            request_timeout: Duration::from_secs(30),
            compression: Compression::None,
            level: None,
            partitioner: Partitioner::default(),
            backoff: Backoff { first: Duration::from_millis(100), max: Duration::from_secs(1) },
            denied: Denied::Wait(Duration::from_secs(30)),
            metadata: metadata::Options::default(),
        }
    }
}

/// A topic of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TopicId(usize);

/// A record to send, but for its value.
#[derive(Debug, Clone, Copy, Default)]
pub struct Head<'r> {
    /// The partition, where it is not the partitioner who chooses.
    pub partition: Option<i32>,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'r [u8]>,
    /// The headers.
    pub headers: &'r [(&'r str, Option<&'r [u8]>)],
}

/// Why a record is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// It is not known yet which partitions the topic has. To be tried again after the next
    /// answer; [`Producer::metadata`] tells what is the matter.
    #[error("the partitions of the topic are not known yet")]
    NotYet,
    /// The memory is used up. To be tried again after the next event.
    #[error("the producer's memory is full")]
    Full,
    /// It can never be sent.
    #[error("the record takes {bytes} bytes, where a request has {limit}")]
    TooLarge {
        /// What it takes.
        bytes: usize,
        /// What there is.
        limit: usize,
    },
    /// The topic does not have this partition.
    #[error("the topic has no partition {0}")]
    NoPartition(i32),
}

/// What became of records.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// They are where [`Options::acks`] wants them.
    Delivered {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The tokens of the records.
        tokens: Range<u64>,
        /// The offset of the first, where the broker told it.
        offset: Option<i64>,
    },
    /// It will never be delivered.
    Refused {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The token of the record.
        token: u64,
        /// The batch that it was in, as [`records`](super::records) reads it.
        batch: Bytes,
        /// Which of the batch's records it is.
        number: usize,
        /// What the broker says.
        error: ResponseError,
        /// And in words, if it does.
        reason: Option<String>,
    },
    /// Something does not work, and will be tried again. For a topic without a partition: nothing
    /// can be appended to it, as it does not exist or nobody may see it.
    Trouble {
        /// The topic; none: the producer as a whole.
        topic: Option<Arc<str>>,
        /// The partition.
        partition: Option<i32>,
        /// What the broker says.
        error: ResponseError,
        /// And in words, if it does.
        reason: Option<String>,
        /// How many times in a row.
        failures: u32,
    },
}

/// A request to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// To be given back with the answer.
    pub id: u64,
    /// To whom; see [`Metadata::address`].
    pub broker: i32,
    /// What.
    pub request: Request,
    /// When to give up waiting, which is to close the connection.
    pub deadline: Instant,
}

/// What a producer asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// About the cluster.
    Metadata(MetadataRequest),
    /// For an id of its own.
    InitProducerId(InitProducerIdRequest),
    /// To take records.
    Produce(ProduceRequest),
}

/// What it is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To [`Request::Metadata`].
    Metadata(MetadataResponse),
    /// To [`Request::InitProducerId`].
    InitProducerId(InitProducerIdResponse),
    /// To [`Request::Produce`].
    Produce(ProduceResponse),
    /// To a [`Request::Produce`] that has no answer: it was written to the socket.
    Written,
}

/// See the module.
#[derive(Debug)]
pub struct Producer {
    options: Options,
    metadata: Metadata,
    topics: Vec<Topic>,
    by_name: HashMap<Arc<str>, TopicId>,
    compressor: Compressor,
    spare: Spare,
    /// What compressors write into.
    scratch: Vec<u8>,
    used_bytes: usize,
    chance: fastrand::Rng,
    identity: Option<Identity>,
    identity_asked: bool,
    identity_failures: u32,
    identity_at: Option<Instant>,
    in_flight: Vec<InFlight>,
    next_id: u64,
    /// Brokers that ask for a rest.
    throttled: HashMap<i32, Instant>,
    /// Where the next round over all lanes begins, so that each has its turn.
    turn: usize,
    events: VecDeque<Event>,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    wire_name: TopicName,
    lanes: Vec<Lane>,
    /// Smaller than in the options after the brokers refused larger ones.
    batch_bytes: usize,
    sticky: Option<(usize, usize)>,
    next: usize,
    /// How many answers in a row did not know it.
    failures: u32,
}

#[derive(Debug)]
struct InFlight {
    id: u64,
    broker: i32,
    asks: Asks,
}

#[derive(Debug)]
enum Asks {
    Metadata,
    Identity,
    Produce(Vec<(TopicId, usize)>),
}

/// Buffers of batches that are gone.
#[derive(Debug, Default)]
struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    fn keep(&mut self, buffer: Vec<u8>, bytes_max: usize) {
        if self.bytes + buffer.capacity() <= bytes_max {
            self.bytes += buffer.capacity();
            self.buffers.push(buffer);
        }
    }
}

impl Producer {
    /// `servers` are where to begin, `seed` is for what happens by chance. Fails when the
    /// compressor gets no memory.
    pub fn new(options: Options, servers: Vec<Address>, seed: u64, now: Instant) -> std::io::Result<Self> {
        let mut options = options;
        options.idempotent &= options.acks == Acks::All;
        options.in_flight_max =
            options.in_flight_max.clamp(1, if options.idempotent { 5 } else { usize::MAX });
        Ok(Self {
            metadata: Metadata::new(options.metadata.clone(), servers, seed, now),
            topics: Vec::new(),
            by_name: HashMap::new(),
            compressor: Compressor::new(options.compression, options.level)?,
            spare: Spare::default(),
            scratch: Vec::new(),
            used_bytes: 0,
            chance: fastrand::Rng::with_seed(seed ^ 0x5eed),
            identity: None,
            identity_asked: false,
            identity_failures: 0,
            identity_at: None,
            in_flight: Vec::new(),
            next_id: 0,
            throttled: HashMap::new(),
            turn: 0,
            events: VecDeque::new(),
            options,
        })
    }

    /// What is known of the cluster.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Bytes of all batches.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Whether every record has become of something.
    pub fn is_idle(&self) -> bool {
        self.topics.iter().flat_map(|topic| &topic.lanes).all(Lane::is_idle)
    }

    /// What became of records.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// A topic to append to. Asks for its partitions when it is new.
    pub fn topic(&mut self, name: &str, now: Instant) -> TopicId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        self.metadata.want(name, now);
        let id = TopicId(self.topics.len());
        let shared: Arc<str> = name.into();
        self.topics.push(Topic {
            name: Arc::clone(&shared),
            wire_name: StrBytes::from_string(name.to_owned()).into(),
            lanes: Vec::new(),
            batch_bytes: self.options.batch_bytes,
            sticky: None,
            next: 0,
            failures: 0,
        });
        self.by_name.insert(shared, id);
        id
    }

    /// Takes a record whose value consists of the `parts`, one after another; none is Kafka's
    /// null. `token` is what events call it.
    pub fn append(
        &mut self,
        topic: TopicId,
        head: &Head<'_>,
        value: Option<&[&[u8]]>,
        token: u64,
        now: Instant,
    ) -> Result<(), AppendError> {
        self.place(topic, head, token, now, |batch| {
            batch.append(head.timestamp, head.key, value, head.headers)
        })
    }

    /// As [`append`](Self::append) with a value that `write` puts, in place, at the end of the
    /// batch's buffer, and nothing else there.
    pub fn append_with(
        &mut self,
        topic: TopicId,
        head: &Head<'_>,
        token: u64,
        now: Instant,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), AppendError> {
        self.place(topic, head, token, now, |batch| {
            let write = |out: &mut Vec<u8>| {
                write(out);
                Ok::<(), std::convert::Infallible>(())
            };
            let Ok(()) = batch.append_with(head.timestamp, head.key, head.headers, write);
        })
    }

    fn place(
        &mut self,
        id: TopicId,
        head: &Head<'_>,
        token: u64,
        now: Instant,
        append: impl FnOnce(&mut BatchWriter),
    ) -> Result<(), AppendError> {
        if self.used_bytes >= self.options.memory_bytes_max {
            return Err(AppendError::Full);
        }
        let at = self.choose(id, head)?;
        let topic = &mut self.topics[id.0];
        let lane = &mut topic.lanes[at];
        let open = lane.open.get_or_insert_with(|| {
            self.used_bytes += HEADER_BYTES;
            let writer = BatchWriter::reusing(self.spare.take());
            Open { writer, tokens: Tokens::default(), since: now }
        });
        open.writer.make_room(topic.batch_bytes);
        let before = open.writer.size();
        append(&mut open.writer);
        let bytes = open.writer.size() - before;
        // What a request has besides: its header, names, lengths.
        let limit = self.options.request_bytes_max.saturating_sub(HEADER_BYTES + topic.name.len() + 128);
        if bytes > limit {
            open.writer.drop_last();
            if open.writer.is_empty() {
                lane.open = None;
                self.used_bytes -= HEADER_BYTES;
            }
            return Err(AppendError::TooLarge { bytes, limit });
        }
        self.used_bytes += bytes;
        let full = topic.batch_bytes.min(limit + HEADER_BYTES);
        if open.writer.size() > full && open.writer.records() > 1 {
            let mut writer = BatchWriter::reusing(self.spare.take());
            open.writer.move_last(&mut writer);
            self.used_bytes = self.used_bytes - bytes + writer.size();
            let mut tokens = Tokens::default();
            tokens.push(token);
            self.seal(id, at);
            self.topics[id.0].lanes[at].open = Some(Open { writer, tokens, since: now });
        } else {
            open.tokens.push(token);
        }
        let topic = &mut self.topics[id.0];
        if topic.lanes[at].open.as_ref().is_some_and(|open| open.writer.size() >= full) {
            self.seal(id, at);
        }
        let topic = &mut self.topics[id.0];
        if let Some((_, given)) = topic.sticky.as_mut().filter(|(sticky, _)| *sticky == at) {
            *given += bytes;
            if *given >= topic.batch_bytes {
                topic.sticky = None;
            }
        }
        Ok(())
    }

    fn choose(&mut self, id: TopicId, head: &Head<'_>) -> Result<usize, AppendError> {
        let topic = &mut self.topics[id.0];
        if topic.lanes.is_empty() {
            return Err(AppendError::NotYet);
        }
        let count = topic.lanes.len();
        if let Some(partition) = head.partition {
            let at = usize::try_from(partition).ok().filter(|at| *at < count);
            return at.ok_or(AppendError::NoPartition(partition));
        }
        let start = match self.options.partitioner.choose(head.key, count) {
            Choice::Partition(at) => return Ok(at),
            Choice::Sticky if topic.sticky.is_some() => {
                return Ok(topic.sticky.map_or(0, |(at, _)| at));
            }
            Choice::RoundRobin => {
                topic.next = (topic.next + 1) % count;
                topic.next
            }
            Choice::Random | Choice::Sticky => self.chance.usize(..count),
        };
        // One with a leader, if there is any: the others would keep the record waiting.
        let known = self.metadata.topic(&topic.name).map_or(&[][..], |topic| &topic.partitions);
        let led = |at: &usize| known.get(*at).is_some_and(|partition| partition.leader.is_some());
        let at = (0..count).map(|step| (start + step) % count).find(led).unwrap_or(start);
        match self.options.partitioner.choose(head.key, count) {
            Choice::Sticky => topic.sticky = Some((at, 0)),
            Choice::RoundRobin => topic.next = at,
            _ => {}
        }
        Ok(at)
    }

    fn seal(&mut self, id: TopicId, at: usize) {
        let lane = &mut self.topics[id.0].lanes[at];
        let (grown, buffer) = lane.seal(&mut self.compressor, &mut self.scratch);
        self.used_bytes = self.used_bytes.saturating_add_signed(grown);
        if let Some(buffer) = buffer {
            self.keep(buffer);
        }
    }

    /// Keeps a buffer for the next batch, as long as there is not more of them than there may be in use.
    fn keep(&mut self, buffer: Vec<u8>) {
        self.spare.keep(buffer, self.options.memory_bytes_max.saturating_sub(self.used_bytes));
    }

    /// Sends what there is without waiting for more.
    pub fn flush(&mut self) {
        for id in 0..self.topics.len() {
            for at in 0..self.topics[id].lanes.len() {
                self.seal(TopicId(id), at);
            }
        }
    }

    /// The requests that can be sent now: to be called after records were appended, after an
    /// answer or a lost connection, and at the deadline. Each request must be sent, or its broker
    /// be reported as disconnected.
    pub fn poll(&mut self, now: Instant) -> Vec<Outgoing> {
        let mut out = Vec::new();
        if let Some((broker, request)) = self.metadata.poll(now) {
            let request = Request::Metadata(request);
            let sent = self.outgoing(broker, request, Asks::Metadata, self.options.request_timeout, now);
            out.push(sent);
        }
        out.extend(self.ask_identity(now));
        self.throttled.retain(|_, until| *until > now);
        let mut lanes: Vec<(TopicId, usize)> = Vec::new();
        for (id, topic) in self.topics.iter().enumerate() {
            lanes.extend((0..topic.lanes.len()).map(|at| (TopicId(id), at)));
        }
        if lanes.is_empty() {
            return out;
        }
        let start = self.turn % lanes.len();
        self.turn = start + 1;
        lanes.rotate_left(start);
        let mut by_broker: Vec<(i32, Vec<(TopicId, usize)>)> = Vec::new();
        for (id, at) in lanes {
            if self.due(id, at).is_none_or(|due| due > now) {
                continue;
            }
            let Some(broker) = self.leader(id, at) else { continue };
            match by_broker.iter_mut().find(|(known, _)| *known == broker) {
                Some((_, lanes)) => lanes.push((id, at)),
                None => by_broker.push((broker, vec![(id, at)])),
            }
        }
        for (broker, lanes) in by_broker {
            while let Some(sent) = self.produce(broker, &lanes, now) {
                out.push(sent);
            }
        }
        out
    }

    /// When `poll` may have something new, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        let mut next = self.metadata.deadline();
        let mut consider = |at: Option<Instant>| {
            next = next.into_iter().chain(at).min();
        };
        if self.wants_identity() {
            consider(self.identity_at);
        }
        for (id, topic) in self.topics.iter().enumerate() {
            for at in 0..topic.lanes.len() {
                consider(self.due(TopicId(id), at));
            }
        }
        next
    }

    fn leader(&self, id: TopicId, at: usize) -> Option<i32> {
        self.metadata.leader(&self.topics[id.0].name, i32::try_from(at).ok()?)
    }

    /// When a lane has something to send; none: not before something else happens.
    fn due(&self, id: TopicId, at: usize) -> Option<Instant> {
        let lane = &self.topics[id.0].lanes[at];
        let broker = self.leader(id, at)?;
        let needs_id = self.options.idempotent && self.identity.is_none();
        if needs_id || lane.needs_other_id(self.identity) || lane.must_wait(broker, self.lane_in_flight_max())
        {
            return None;
        }
        if self.in_flight.iter().filter(|sent| sent.broker == broker).count() >= self.options.in_flight_max {
            return None;
        }
        let full = self.used_bytes >= self.options.memory_bytes_max;
        let ripe = match (&lane.open, lane.queue.front()) {
            (None, None) => return None,
            (Some(open), None) => Some(open.since + if full { Duration::ZERO } else { self.options.linger }),
            (_, Some(_)) => None,
        };
        let times = [ripe, lane.wait_until, self.throttled.get(&broker).copied()];
        // What has no time of its own is due since ever, which the oldest time stands for.
        Some(times.into_iter().flatten().max().unwrap_or(self.beginning()))
    }

    /// A time that is over.
    fn beginning(&self) -> Instant {
        self.metadata.created()
    }

    fn lane_in_flight_max(&self) -> usize {
        if self.options.idempotent || self.options.acks == Acks::None {
            self.options.in_flight_max
        } else {
            1
        }
    }

    /// A request with a batch of each lane that has one, as far as it has room for them.
    fn produce(&mut self, broker: i32, lanes: &[(TopicId, usize)], now: Instant) -> Option<Outgoing> {
        let mut topics: Vec<(TopicId, TopicProduceData)> = Vec::new();
        let mut sent = Vec::new();
        let mut room = self.options.request_bytes_max;
        for &(id, at) in lanes {
            if self.due(id, at).is_none_or(|due| due > now) {
                continue;
            }
            if self.topics[id.0].lanes[at].queue.is_empty() {
                self.seal(id, at);
            }
            let topic = &mut self.topics[id.0];
            let lane = &mut topic.lanes[at];
            let bytes = lane.queue.front().map_or(0, |batch| batch.bytes.len());
            if (!sent.is_empty() && bytes > room) || (self.options.idempotent && !lane.prepare(self.identity))
            {
                continue;
            }
            let Some(batch) = lane.take() else { continue };
            room = room.saturating_sub(bytes);
            let partition =
                PartitionProduceData::default().with_index(at as i32).with_records(Some(batch.bytes.clone()));
            match topics.iter_mut().find(|(known, _)| *known == id) {
                Some((_, data)) => data.partition_data.push(partition),
                None => {
                    let data = TopicProduceData::default().with_name(topic.wire_name.clone());
                    topics.push((id, data.with_partition_data(vec![partition])));
                }
            }
            lane.broker = Some(broker);
            lane.in_flight.push_back(Sent { batch, request: self.next_id });
            sent.push((id, at));
        }
        if sent.is_empty() {
            return None;
        }
        let acks = match self.options.acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        };
        // The broker shall say that it could not in time before nobody listens any more.
        let timeout = self.options.request_timeout.as_millis() * 3 / 4;
        let request = ProduceRequest::default()
            .with_acks(acks)
            .with_timeout_ms(timeout.min(i32::MAX as u128) as i32)
            .with_topic_data(topics.into_iter().map(|(_, data)| data).collect());
        let asks = Asks::Produce(sent);
        Some(self.outgoing(broker, Request::Produce(request), asks, self.options.request_timeout, now))
    }

    fn outgoing(
        &mut self,
        broker: i32,
        request: Request,
        asks: Asks,
        timeout: Duration,
        now: Instant,
    ) -> Outgoing {
        let id = self.next_id;
        self.next_id += 1;
        self.in_flight.push(InFlight { id, broker, asks });
        Outgoing { id, broker, request, deadline: now + timeout }
    }

    fn wants_identity(&self) -> bool {
        let other =
            || self.topics.iter().flat_map(|topic| &topic.lanes).any(|l| l.needs_other_id(self.identity));
        self.options.idempotent && !self.identity_asked && (self.identity.is_none() || other())
    }

    fn ask_identity(&mut self, now: Instant) -> Option<Outgoing> {
        if !self.wants_identity() || self.identity_at.is_some_and(|at| at > now) {
            return None;
        }
        let broker = self.metadata.any_broker()?;
        self.identity_asked = true;
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(i32::MAX);
        let request = Request::InitProducerId(request);
        Some(self.outgoing(broker, request, Asks::Identity, self.options.request_timeout, now))
    }

    /// Takes an answer. One to a request that is not under way any more counts for nothing.
    pub fn on_response(&mut self, id: u64, answer: Answer, now: Instant) {
        let Some(at) = self.in_flight.iter().position(|sent| sent.id == id) else { return };
        let InFlight { broker, asks, .. } = self.in_flight.swap_remove(at);
        match (asks, answer) {
            (Asks::Metadata, Answer::Metadata(answer)) => {
                self.throttle(broker, answer.throttle_time_ms, now);
                self.metadata.answered(&answer, now);
                self.partitions_known();
            }
            (Asks::Identity, Answer::InitProducerId(answer)) => self.identified(broker, &answer, now),
            (Asks::Produce(lanes), Answer::Produce(answer)) => {
                self.throttle(broker, answer.throttle_time_ms, now);
                self.produced(id, lanes, answer, now);
            }
            (Asks::Produce(lanes), Answer::Written) => {
                for (topic, at) in lanes {
                    if let Some(batch) = self.topics[topic.0].lanes[at].answered(id) {
                        self.delivered(topic, at, batch, None);
                    }
                }
            }
            // Another answer than to what was asked is as good as none.
            (asks, _) => self.lost(id, asks, now),
        }
    }

    /// The connection to a broker was lost, or could not be made: what was asked of it has no
    /// answer.
    pub fn on_disconnect(&mut self, broker: i32, now: Instant) {
        while let Some(at) = self.in_flight.iter().position(|sent| sent.broker == broker) {
            let InFlight { id, asks, .. } = self.in_flight.remove(at);
            self.lost(id, asks, now);
        }
        self.throttled.remove(&broker);
        self.metadata.stale(now);
    }

    fn lost(&mut self, id: u64, asks: Asks, now: Instant) {
        match asks {
            Asks::Metadata => self.metadata.failed(now),
            Asks::Identity => self.identity_failed(None, now),
            Asks::Produce(lanes) => {
                for (topic, at) in lanes {
                    self.retry(topic, at, id, ResponseError::NetworkException, None, now);
                }
            }
        }
    }

    fn throttle(&mut self, broker: i32, ms: i32, now: Instant) {
        if let Ok(ms @ 1..) = u64::try_from(ms) {
            self.throttled.insert(broker, now + Duration::from_millis(ms));
        }
    }

    /// Makes a lane for each partition. One that is gone keeps its lane: its records wait.
    fn partitions_known(&mut self) {
        for topic in &mut self.topics {
            let Some(known) = self.metadata.topic(&topic.name) else { continue };
            if known.partitions.len() > topic.lanes.len() {
                topic.lanes.resize_with(known.partitions.len(), Lane::default);
            }
            let Some(error) = known.error else {
                topic.failures = 0;
                continue;
            };
            topic.failures = topic.failures.saturating_add(1);
            let (name, failures) = (Some(Arc::clone(&topic.name)), topic.failures);
            self.events.push_back(Event::Trouble {
                topic: name,
                partition: None,
                error,
                reason: None,
                failures,
            });
        }
    }

    fn identified(&mut self, broker: i32, answer: &InitProducerIdResponse, now: Instant) {
        self.throttle(broker, answer.throttle_time_ms, now);
        if let Some(error) = answer.error_code.err() {
            return self.identity_failed(Some(error), now);
        }
        self.identity_asked = false;
        self.identity_failures = 0;
        self.identity_at = None;
        self.identity = Some(Identity { id: answer.producer_id.0, epoch: answer.producer_epoch });
    }

    fn identity_failed(&mut self, error: Option<ResponseError>, now: Instant) {
        self.identity_asked = false;
        self.identity_failures = self.identity_failures.saturating_add(1);
        let denied = error.is_some_and(|error| verdict(error) == Verdict::Denied);
        let wait = match self.options.denied {
            Denied::Wait(wait) if denied => wait,
            _ => self.options.backoff.after(self.identity_failures, &mut self.chance),
        };
        self.identity_at = Some(now + wait);
        if let Some(error) = error {
            let failures = self.identity_failures;
            self.events.push_back(Event::Trouble {
                topic: None,
                partition: None,
                error,
                reason: None,
                failures,
            });
        }
    }

    fn produced(&mut self, id: u64, mut lanes: Vec<(TopicId, usize)>, answer: ProduceResponse, now: Instant) {
        for broker in &answer.node_endpoints {
            if let Ok(port) = u16::try_from(broker.port) {
                let address = Address { host: broker.host.to_string(), port };
                let rack = broker.rack.as_ref().map(|rack| rack.to_string());
                self.metadata.broker_named(broker.node_id.0, address, rack);
            }
        }
        for TopicProduceResponse { name, partition_responses, .. } in answer.responses {
            for partition in partition_responses {
                let asked = lanes.iter().position(|(topic, at)| {
                    self.topics[topic.0].wire_name == name && *at as i64 == i64::from(partition.index)
                });
                let Some(asked) = asked else { continue };
                let (topic, at) = lanes.swap_remove(asked);
                self.answered(topic, at, id, partition, now);
            }
        }
        for (topic, at) in lanes {
            self.retry(topic, at, id, ResponseError::UnknownServerError, None, now);
        }
    }

    fn answered(
        &mut self,
        topic: TopicId,
        at: usize,
        id: u64,
        answer: PartitionProduceResponse,
        now: Instant,
    ) {
        let leader = &answer.current_leader;
        self.metadata.leader_moved(
            &self.topics[topic.0].name,
            answer.index,
            leader.leader_id.0,
            leader.leader_epoch,
        );
        let reason = answer.error_message.map(|reason| reason.to_string());
        let Some(error) = answer.error_code.err() else {
            if let Some(batch) = self.topics[topic.0].lanes[at].answered(id) {
                self.delivered(topic, at, batch, Some(answer.base_offset).filter(|offset| *offset >= 0));
            }
            return;
        };
        match verdict(error) {
            Verdict::Delivered => {
                if let Some(batch) = self.topics[topic.0].lanes[at].answered(id) {
                    self.delivered(topic, at, batch, None);
                }
            }
            Verdict::Again { .. } => self.retry(topic, at, id, error, reason, now),
            Verdict::Sequence | Verdict::Identity => {
                let lane = &mut self.topics[topic.0].lanes[at];
                let Some(batch) = lane.answered(id) else { return };
                // Behind one that failed, the others come out of order. That tells nothing new.
                if verdict(error) == Verdict::Sequence && lane.has_before(&batch) {
                    return lane.put_back(batch);
                }
                let how = if verdict(error) == Verdict::Identity { Renumber::Id } else { Renumber::Epoch };
                lane.begin_again(how);
                lane.put_back(batch);
                self.trouble(topic, at, error, reason, now);
            }
            Verdict::TooLarge => self.too_large(topic, at, id, error, reason),
            Verdict::BadRecord => {
                let bad: Vec<(usize, Option<String>)> = answer
                    .record_errors
                    .iter()
                    .filter_map(|record| {
                        let message =
                            record.batch_index_error_message.as_ref().map(|message| message.to_string());
                        Some((usize::try_from(record.batch_index).ok()?, message))
                    })
                    .collect();
                self.bad_records(topic, at, id, error, reason, &bad);
            }
            Verdict::Denied if self.options.denied == Denied::Refuse => {
                let Some(batch) = self.topics[topic.0].lanes[at].answered(id) else { return };
                let all = 0..batch.records.unsigned_abs() as usize;
                self.refused(topic, at, error, &batch, all.map(|number| (number, reason.clone())));
                self.forget(batch);
            }
            Verdict::Denied => {
                self.retry(topic, at, id, error, reason, now);
            }
        }
    }

    /// Puts a batch back and waits for a while.
    fn retry(
        &mut self,
        topic: TopicId,
        at: usize,
        id: u64,
        error: ResponseError,
        reason: Option<String>,
        now: Instant,
    ) {
        let lane = &mut self.topics[topic.0].lanes[at];
        let Some(batch) = lane.answered(id) else { return };
        let first = !lane.has_before(&batch);
        lane.put_back(batch);
        if first {
            self.trouble(topic, at, error, reason, now);
        }
    }

    fn trouble(
        &mut self,
        id: TopicId,
        at: usize,
        error: ResponseError,
        reason: Option<String>,
        now: Instant,
    ) {
        let topic = &mut self.topics[id.0];
        let lane = &mut topic.lanes[at];
        lane.failures = lane.failures.saturating_add(1);
        let wait = match (verdict(error), self.options.denied) {
            (Verdict::Denied, Denied::Wait(wait)) => wait,
            _ => self.options.backoff.after(lane.failures, &mut self.chance),
        };
        lane.wait_until = Some(now + wait);
        if verdict(error) == (Verdict::Again { refresh: true }) {
            self.metadata.stale(now);
        }
        self.events.push_back(Event::Trouble {
            topic: Some(Arc::clone(&topic.name)),
            partition: Some(at as i32),
            error,
            reason,
            failures: lane.failures,
        });
    }

    fn delivered(&mut self, id: TopicId, at: usize, batch: Batch, offset: Option<i64>) {
        let topic = &mut self.topics[id.0];
        topic.lanes[at].delivered(&batch);
        let mut offset = offset;
        for tokens in batch.tokens.runs() {
            let count = (tokens.end - tokens.start) as i64;
            self.events.push_back(Event::Delivered {
                topic: Arc::clone(&topic.name),
                partition: at as i32,
                tokens,
                offset,
            });
            offset = offset.and_then(|offset| offset.checked_add(count));
        }
        self.forget(batch);
    }

    fn forget(&mut self, batch: Batch) {
        self.used_bytes -= batch.bytes.len();
        // Whoever still holds the request, which would mean a copy, keeps the memory. What was
        // compressed is too small for the next batch.
        if self.compressor.compression() == Compression::None
            && let Ok(bytes) = batch.bytes.try_into_mut()
        {
            self.keep(Vec::from(bytes));
        }
    }

    fn too_large(
        &mut self,
        id: TopicId,
        at: usize,
        request: u64,
        error: ResponseError,
        reason: Option<String>,
    ) {
        let Some(batch) = self.topics[id.0].lanes[at].answered(request) else { return };
        if batch.records == 1 {
            self.refused(id, at, error, &batch, [(0, reason)]);
            return self.forget(batch);
        }
        let half = batch.weight() / 2;
        // The next ones are better made smaller at once.
        let topic = &mut self.topics[id.0];
        topic.batch_bytes = topic.batch_bytes.min((batch.plain_bytes / 2).max(1024));
        self.replace(id, at, batch, half, |_| true);
    }

    fn bad_records(
        &mut self,
        id: TopicId,
        at: usize,
        request: u64,
        error: ResponseError,
        reason: Option<String>,
        bad: &[(usize, Option<String>)],
    ) {
        let Some(batch) = self.topics[id.0].lanes[at].answered(request) else { return };
        let named = |number: usize| bad.iter().find(|(bad, _)| *bad == number);
        let count = batch.records.unsigned_abs() as usize;
        let mut refused: Vec<(usize, Option<String>)> = Vec::new();
        for number in 0..count {
            if let Some((_, message)) = named(number) {
                refused.push((number, message.clone().or_else(|| reason.clone())));
            }
        }
        if refused.is_empty() && count == 1 {
            refused.push((0, reason.clone()));
        }
        if refused.is_empty() {
            // The broker does not say which (before 2.4): halves find out.
            let half = batch.weight() / 2;
            return self.replace(id, at, batch, half, |_| true);
        }
        let all = refused.len() == count;
        self.refused(id, at, error, &batch, refused);
        if all {
            return self.forget(batch);
        }
        self.replace(id, at, batch, usize::MAX, |number| named(number).is_none());
    }

    /// Tells of refused records of a batch, by their numbers in it. The sequence has a hole then,
    /// which only a new epoch fills.
    fn refused(
        &mut self,
        id: TopicId,
        at: usize,
        error: ResponseError,
        batch: &Batch,
        records: impl IntoIterator<Item = (usize, Option<String>)>,
    ) {
        let topic = &mut self.topics[id.0];
        topic.lanes[at].begin_again(Renumber::Epoch);
        let tokens: Vec<u64> = batch.each_token().collect();
        for (number, reason) in records {
            let Some(&token) = tokens.get(number) else { continue };
            let (topic, batch) = (Arc::clone(&topic.name), batch.bytes.clone());
            let partition = at as i32;
            self.events.push_back(Event::Refused { topic, partition, token, batch, number, error, reason });
        }
    }

    /// Puts pieces of a batch to its place.
    fn replace(
        &mut self,
        id: TopicId,
        at: usize,
        batch: Batch,
        bytes_max: usize,
        keep: impl FnMut(usize) -> bool,
    ) {
        let pieces = batch.rewrite(bytes_max, &mut self.compressor, keep);
        let lane = &mut self.topics[id.0].lanes[at];
        for piece in pieces {
            self.used_bytes += piece.bytes.len();
            lane.put_back(piece);
        }
        self.forget(batch);
    }
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests;
