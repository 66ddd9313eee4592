//! Where each held partition is read next, and the requests that read it.
//!
//! ```text
//! AwaitingStart ─▶ Ready ◀──▶ Measuring      (out of range: from where to where does the log go?)
//!       │            ▲             │
//!       └────────▶ Resetting ◀─────┘         (no offset: earliest or latest)
//!                    └─▶ Stopped             (no offset and no policy)
//! ```
//!
//! A partition is fetched while the caller gives credit for it, in bytes; not giving any *is*
//! the back-pressure. A leader has one Fetch under way. Fetches are full ones outside of a
//! session (session id 0, epoch -1; KIP-227): a session saves bytes in each request of a
//! consumer of thousands of partitions and costs a second state to keep in step with each
//! broker's; it can be added here without a change outside.
//!
//! A log that was cut below the position (an unclean election, a topic made anew) is noticed by
//! the leader: the Fetch says in which epoch the last record was written (version 12, KIP-595's
//! fields for what KIP-320 found out by a request of its own). Brokers before 2.7 do not look.

use super::lag::{At, Isolation, list_offsets};
use super::membership::Start;
use super::{Ids, Lease, Outgoing, Pauses, RequestId, To, TopicPartition, Unanswered, Versions, batches};
use super::{error, millis};
use crate::kafka::Backoff;
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{AbortedTransaction, PartitionData};
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use kafka_protocol::messages::{
    ApiKey, BrokerId, FetchRequest, FetchResponse, ListOffsetsResponse, RequestKind, ResponseKind, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Where to begin without a committed offset (`auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reset {
    /// With the oldest record there is.
    #[default]
    Earliest,
    /// With what is written from now on.
    Latest,
    /// Not at all: the caller decides, by [`Positions::seek`].
    None,
}

/// Options of fetching.
#[derive(Debug, Clone)]
pub struct FetchConfig {
    /// Which records count.
    pub isolation: Isolation,
    /// Where to begin without an offset.
    pub reset: Reset,
    /// Where the consumer is (`client.rack`), so that a near replica can be named (KIP-392).
    pub rack: Option<StrBytes>,
    /// How long a broker may wait for `bytes_min` (`fetch.max.wait.ms`).
    pub wait: Duration,
    /// From how many bytes on a broker answers at once (`fetch.min.bytes`).
    pub bytes_min: i32,
    /// The most bytes of an answer (`fetch.max.bytes`); one batch always comes whole.
    pub bytes_max: i32,
    /// The most bytes of one partition in an answer (`max.partition.fetch.bytes`).
    pub partition_bytes_max: i32,
    /// How long a near replica is preferred before the leader is asked again.
    pub replica_for: Duration,
    /// How long an answer may take beyond `wait`.
    pub request_timeout: Duration,
    /// The pauses after failures (`retry.backoff.ms`, `retry.backoff.max.ms`).
    pub backoff: Backoff,
}

impl Default for FetchConfig {
    /// Java's values.
    fn default() -> Self {
        Self {
            isolation: Isolation::ReadUncommitted,
            reset: Reset::Earliest,
            rack: None,
            wait: Duration::from_millis(500),
            bytes_min: 1,
            bytes_max: 50 << 20,
            partition_bytes_max: 1 << 20,
            replica_for: Duration::from_secs(300),
            request_timeout: Duration::from_secs(30),
            backoff: Backoff { first: Duration::from_millis(100), max: Duration::from_secs(1) },
        }
    }
}

/// Who leads a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// The broker.
    pub broker: BrokerId,
    /// In which epoch; -1 where metadata does not tell (before version 7).
    pub epoch: i32,
}

/// What Metadata tells about partitions.
#[derive(Debug, Clone, Default)]
pub struct Leaders {
    /// Their leaders; one without a leader is left out.
    pub leaders: BTreeMap<TopicPartition, Leader>,
    /// The ids of topics, where brokers have them.
    pub ids: BTreeMap<TopicName, Uuid>,
}

/// Records that came.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    /// The partition.
    pub partition: TopicPartition,
    /// Its stay.
    pub lease: Lease,
    /// The offset that was wanted. The first batch may begin before it: those records were
    /// read already and are to be left out.
    pub from: i64,
    /// The offset that is read next: behind the last whole batch.
    pub next: i64,
    /// Batches as they lie in the log; the last one may be cut.
    pub records: Bytes,
    /// Transactions to leave out with `read_committed`, see [`batches::AbortedFilter`].
    pub aborted: Vec<AbortedTransaction>,
    /// Behind the last record that all replicas have.
    pub high_watermark: i64,
    /// Behind the last record without an open transaction before it.
    pub last_stable: i64,
    /// The first offset that is still there; -1 is unknown.
    pub log_start: i64,
}

/// Records that cannot be read, because they are gone or never were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfRange {
    /// The partition.
    pub partition: TopicPartition,
    /// Its stay.
    pub lease: Lease,
    /// The offset that was wanted.
    pub wanted: i64,
    /// The first offset that is there.
    pub earliest: i64,
    /// The one behind the last.
    pub latest: i64,
}

impl OutOfRange {
    /// The offsets that retention took before they were read; empty when the log ends before
    /// what was wanted.
    pub fn lost(&self) -> std::ops::Range<i64> {
        self.wanted..self.earliest.max(self.wanted)
    }
}

/// What is to be done or known, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum FetchEvent {
    /// A request is to be sent, and its answer brought to `answer`.
    Send(Box<Outgoing>),
    /// Who leads these topics' partitions is to be asked now and given to `leaders`.
    NeedMetadata {
        /// The topics.
        topics: BTreeSet<TopicName>,
    },
    /// Reading begins, or goes on elsewhere than it ended: by the committed offset, a policy,
    /// a seek or because the log was cut.
    Moved {
        /// The partition.
        partition: TopicPartition,
        /// Its stay.
        lease: Lease,
        /// The offset that is read next.
        offset: i64,
        /// The leader epoch of the record before it; -1 is unknown.
        epoch: i32,
    },
    /// Records came; the credit is lowered by their bytes.
    Records(Fetched),
    /// Records were lost. What the policy makes of it follows.
    OutOfRange(OutOfRange),
    /// The log was cut: from `at` on it is another one than was read. Reading goes on there.
    Truncated {
        /// The partition.
        partition: TopicPartition,
        /// Its stay.
        lease: Lease,
        /// The position before.
        position: i64,
        /// Where the logs part.
        at: i64,
    },
    /// There is no offset and no policy to find one. Nothing is read before a `seek`.
    NoOffset {
        /// The partition.
        partition: TopicPartition,
        /// Its stay.
        lease: Lease,
    },
    /// What came from the position on is not even the head of a batch. It is tried again, and
    /// again the same may come: the log of the leader is damaged.
    Unreadable {
        /// The partition.
        partition: TopicPartition,
        /// Its stay.
        lease: Lease,
        /// The position.
        offset: i64,
        /// How many bytes came.
        bytes: usize,
    },
    /// Reading failed; it is tried again.
    Refused {
        /// The partition.
        partition: TopicPartition,
        /// Its stay.
        lease: Lease,
        /// Why.
        error: ResponseError,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    AwaitingStart,
    /// Asks for the offset of the policy.
    Resetting(At),
    /// The position is said to be out of range: what is the range?
    Measuring {
        earliest: Option<i64>,
    },
    Ready,
    Stopped,
}

#[derive(Debug)]
struct Position {
    lease: Lease,
    phase: Phase,
    offset: i64,
    /// The leader epoch of the record before; -1 is unknown.
    epoch: i32,
    /// Whether leaders compare the epoch; not after one found no fault with the offset itself.
    compares: bool,
    leader: Option<Leader>,
    replica: Option<(BrokerId, Instant)>,
    paused: bool,
    credit: i64,
    asked: bool,
    not_before: Option<Instant>,
    high_watermark: Option<i64>,
}

#[derive(Debug)]
enum InFlight {
    Fetch { broker: BrokerId, partitions: BTreeMap<TopicPartition, (Lease, i64)> },
    List { at: At, partitions: BTreeMap<TopicPartition, Lease> },
}

/// The positions of all held partitions.
#[derive(Debug)]
pub struct Positions {
    config: FetchConfig,
    versions: Versions,
    backoff: Pauses,
    ids: Ids,
    events: VecDeque<FetchEvent>,
    positions: BTreeMap<TopicPartition, Position>,
    topic_ids: BTreeMap<TopicName, Uuid>,
    in_flight: BTreeMap<RequestId, InFlight>,
    /// Metadata was asked for and may be asked for again at this time.
    metadata_not_before: Option<Instant>,
    stale_topics: BTreeSet<TopicName>,
    /// Turns the order of a broker's partitions, so that its limit does not always hit the same.
    turns: BTreeMap<BrokerId, usize>,
}

impl Positions {
    /// Nothing is held yet. `random` decides about the jitter of pauses.
    pub fn new(config: FetchConfig, versions: Versions, random: fastrand::Rng) -> Self {
        Self {
            backoff: Pauses::new(config.backoff, random),
            config,
            versions,
            ids: Ids::default(),
            events: VecDeque::new(),
            positions: BTreeMap::new(),
            topic_ids: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            metadata_not_before: None,
            stale_topics: BTreeSet::new(),
            turns: BTreeMap::new(),
        }
    }

    /// Takes partitions in, which then wait for [`start`](Self::start).
    pub fn assign(&mut self, partitions: &BTreeSet<TopicPartition>, lease: Lease) {
        for at in partitions {
            let position = Position {
                lease,
                phase: Phase::AwaitingStart,
                offset: -1,
                epoch: -1,
                compares: true,
                leader: None,
                replica: None,
                paused: false,
                credit: 0,
                asked: false,
                not_before: None,
                high_watermark: None,
            };
            self.positions.insert(at.clone(), position);
            self.stale_topics.insert(at.topic.clone());
        }
    }

    /// Gives partitions up. What is under way of them is thrown away when it comes.
    pub fn unassign(&mut self, partitions: &BTreeSet<TopicPartition>) {
        for at in partitions {
            self.positions.remove(at);
        }
    }

    /// Begins where the group has committed, or as the policy says.
    pub fn start(&mut self, start: &Start) {
        let reset = self.config.reset;
        let Some(position) =
            self.positions.get_mut(&start.partition).filter(|position| position.lease == start.lease)
        else {
            return;
        };
        let (partition, lease) = (start.partition.clone(), start.lease);
        match &start.committed {
            Some((offset, epoch, _)) => {
                position.move_to(*offset, *epoch);
                self.events.push_back(FetchEvent::Moved { partition, lease, offset: *offset, epoch: *epoch });
            }
            None => {
                if !position.reset(reset) {
                    self.events.push_back(FetchEvent::NoOffset { partition, lease });
                }
            }
        }
    }

    /// Goes on elsewhere: at the earliest, the latest, or the first record of a time.
    pub fn seek_to(&mut self, partition: &TopicPartition, at: At) {
        if let Some(position) = self.positions.get_mut(partition) {
            position.phase = Phase::Resetting(at);
            position.asked = false;
        }
    }

    /// Goes on at an offset.
    pub fn seek(&mut self, partition: &TopicPartition, offset: i64) {
        if let Some(position) = self.positions.get_mut(partition) {
            position.move_to(offset, -1);
            let lease = position.lease;
            self.events.push_back(FetchEvent::Moved {
                partition: partition.clone(),
                lease,
                offset,
                epoch: -1,
            });
        }
    }

    /// Sets how many bytes more the caller takes of a partition. An answer can be larger than
    /// the credit by one batch; the next credit should make up for it.
    pub fn credit(&mut self, partition: &TopicPartition, bytes: i64) {
        if let Some(position) = self.positions.get_mut(partition) {
            position.credit = bytes;
        }
    }

    /// Stops or resumes reading. What is under way still comes.
    pub fn pause(&mut self, partition: &TopicPartition, paused: bool) {
        if let Some(position) = self.positions.get_mut(partition) {
            position.paused = paused;
        }
    }

    /// The offset that is read next; none before it is known.
    pub fn offset(&self, partition: &TopicPartition) -> Option<i64> {
        let position = self.positions.get(partition)?;
        (position.phase == Phase::Ready).then_some(position.offset)
    }

    /// How many offsets are still to be read, as of the last answer.
    pub fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        let position = self.positions.get(partition)?;
        Some((position.high_watermark? - position.offset).max(0))
    }

    /// Takes who leads now. An older epoch than the known one is not believed.
    pub fn leaders(&mut self, leaders: &Leaders, now: Instant) {
        for (name, id) in &leaders.ids {
            let before = self.topic_ids.insert(name.clone(), *id);
            if before.is_some_and(|before| before != *id) {
                // Another topic of the same name, whose epochs begin anew.
                let of_it = self.positions.iter_mut().filter(|(at, _)| at.topic == *name);
                of_it.for_each(|(_, position)| position.leader = None);
            }
        }
        self.stale_topics.clear();
        self.metadata_not_before = None;
        for (at, position) in &mut self.positions {
            let Some(leader) = leaders.leaders.get(at) else {
                position.leader = None;
                continue;
            };
            if position.leader.is_none_or(|known| leader.epoch < 0 || leader.epoch >= known.epoch) {
                if position.leader.is_none_or(|known| known.broker != leader.broker) {
                    position.replica = None;
                }
                position.leader = Some(*leader);
            }
        }
        if self.positions.values().any(|position| position.leader.is_none()) {
            self.metadata_not_before = Some(self.backoff.after(now));
        }
    }

    /// When to poll again at the latest; none while an answer or a call is waited for.
    pub fn deadline(&self) -> Option<Instant> {
        let waiting = self
            .positions
            .values()
            .filter(|position| position.wants_fetch() || position.wants_list().is_some());
        let leaderless = self.positions.values().any(|position| position.leader.is_none());
        let metadata = self.metadata_not_before.filter(|_| leaderless || !self.stale_topics.is_empty());
        waiting.filter_map(|position| position.not_before).chain(metadata).min()
    }

    /// The next thing to do or know; none: nothing before [`deadline`](Self::deadline).
    pub fn poll(&mut self, now: Instant) -> Option<FetchEvent> {
        if self.events.is_empty() {
            for position in self.positions.values_mut() {
                position.not_before.take_if(|at| now >= *at);
                position.replica.take_if(|(_, until)| now >= *until);
            }
            self.ask_metadata(now);
            self.ask_offsets();
            self.fetch();
        }
        self.events.pop_front()
    }

    /// Takes the answer to a request, or that there is none.
    pub fn answer(&mut self, id: RequestId, answer: Result<ResponseKind, Unanswered>, now: Instant) {
        match (self.in_flight.remove(&id), answer) {
            (Some(InFlight::Fetch { partitions, .. }), Ok(ResponseKind::Fetch(answer))) => {
                self.fetched(partitions, answer, now);
            }
            (Some(InFlight::List { at, partitions }), Ok(ResponseKind::ListOffsets(answer))) => {
                self.listed(at, partitions, &answer, now);
            }
            (Some(InFlight::Fetch { partitions, .. }), _) => {
                let partitions = partitions.into_iter().map(|(at, (lease, _))| (at, lease)).collect();
                self.put_off(&partitions, now);
            }
            (Some(InFlight::List { partitions, .. }), _) => self.put_off(&partitions, now),
            (None, _) => {}
        }
    }

    // Asking

    fn ask_metadata(&mut self, now: Instant) {
        // Of what went nothing need be known.
        self.stale_topics.retain(|topic| self.positions.keys().any(|at| at.topic == *topic));
        let leaderless = self.positions.iter().filter(|(_, position)| position.leader.is_none());
        let mut topics: BTreeSet<TopicName> = leaderless.map(|(at, _)| at.topic.clone()).collect();
        topics.extend(self.stale_topics.iter().cloned());
        if topics.is_empty() || self.metadata_not_before.is_some_and(|at| now < at) {
            return;
        }
        self.metadata_not_before = Some(self.backoff.after(now) + self.config.backoff.max);
        self.events.push_back(FetchEvent::NeedMetadata { topics });
    }

    fn send(&mut self, broker: BrokerId, version: i16, request: RequestKind, wait: Duration) -> RequestId {
        let id = self.ids.next();
        let timeout = wait + self.config.request_timeout;
        self.events.push_back(FetchEvent::Send(Box::new(Outgoing {
            id,
            to: To::Broker(broker),
            version,
            request,
            timeout,
        })));
        id
    }

    fn ask_offsets(&mut self) {
        let mut wanted: BTreeMap<(BrokerId, At), BTreeMap<TopicPartition, Lease>> = BTreeMap::new();
        for (at, position) in &mut self.positions {
            if let (Some(place), Some(leader), None) =
                (position.wants_list(), position.leader, position.not_before)
            {
                position.asked = true;
                wanted.entry((leader.broker, place)).or_default().insert(at.clone(), position.lease);
            }
        }
        for ((broker, at), partitions) in wanted {
            let version = self.versions.of(ApiKey::ListOffsets);
            let leader = |at| self.positions.get(at).and_then(|position| position.leader);
            let asked = partitions.keys().map(|at| (at, leader(at).map_or(-1, |leader| leader.epoch)));
            let request = RequestKind::ListOffsets(list_offsets(asked, at, self.config.isolation, version));
            let id = self.send(broker, version, request, Duration::ZERO);
            self.in_flight.insert(id, InFlight::List { at, partitions });
        }
    }

    fn fetch(&mut self) {
        let busy: BTreeSet<BrokerId> = self
            .in_flight
            .values()
            .filter_map(|request| match request {
                InFlight::Fetch { broker, .. } => Some(*broker),
                InFlight::List { .. } => None,
            })
            .collect();
        let mut wanted: BTreeMap<BrokerId, Vec<TopicPartition>> = BTreeMap::new();
        for (at, position) in &self.positions {
            if let Some(broker) = position.fetches_from()
                && !busy.contains(&broker)
            {
                wanted.entry(broker).or_default().push(at.clone());
            }
        }
        for (broker, mut partitions) in wanted {
            let turn = self.turns.entry(broker).or_default();
            *turn = (*turn + 1) % partitions.len();
            partitions.rotate_left(*turn);
            self.fetch_from(broker, &partitions);
        }
    }

    fn fetch_from(&mut self, broker: BrokerId, partitions: &[TopicPartition]) {
        let named = partitions.iter().all(|at| self.topic_ids.contains_key(&at.topic));
        // Without the ids of all topics the last version that has names.
        let version = self.versions.of(ApiKey::Fetch).min(if named { i16::MAX } else { 12 });
        let mut topics: Vec<FetchTopic> = Vec::new();
        let mut under_way = BTreeMap::new();
        for at in partitions {
            let Some(position) = self.positions.get(at) else { continue };
            under_way.insert(at.clone(), (position.lease, position.offset));
            let asked = position.request(at.partition, self.config.partition_bytes_max, version);
            let id = self.topic_ids.get(&at.topic).copied().filter(|_| version >= 13).unwrap_or_default();
            let name = if version >= 13 { TopicName::default() } else { at.topic.clone() };
            match topics.last_mut() {
                Some(last) if last.topic == name && last.topic_id == id => last.partitions.push(asked),
                _ => {
                    let topic = FetchTopic::default().with_topic(name).with_topic_id(id);
                    topics.push(topic.with_partitions(vec![asked]));
                }
            }
        }
        let mut request = FetchRequest::default()
            .with_max_wait_ms(millis(self.config.wait))
            .with_min_bytes(self.config.bytes_min)
            .with_max_bytes(self.config.bytes_max)
            .with_isolation_level(self.config.isolation.level())
            .with_topics(topics);
        if version >= 11 {
            request = request.with_rack_id(self.config.rack.clone().unwrap_or_default());
        }
        let id = self.send(broker, version, RequestKind::Fetch(request), self.config.wait);
        self.in_flight.insert(id, InFlight::Fetch { broker, partitions: under_way });
    }

    // Answers

    fn held(&mut self, at: &TopicPartition, lease: Lease) -> Option<&mut Position> {
        self.positions.get_mut(at).filter(|position| position.lease == lease)
    }

    /// There was no answer: perhaps the leader is gone.
    fn put_off(&mut self, partitions: &BTreeMap<TopicPartition, Lease>, now: Instant) {
        let until = self.backoff.after(now);
        for (at, lease) in partitions {
            let Some(position) = self.held(at, *lease) else { continue };
            position.not_before = Some(until);
            position.asked = false;
            position.replica = None;
            self.stale_topics.insert(at.topic.clone());
        }
    }

    fn listed(
        &mut self,
        place: At,
        asked: BTreeMap<TopicPartition, Lease>,
        answer: &ListOffsetsResponse,
        now: Instant,
    ) {
        let mut unanswered = asked;
        for topic in &answer.topics {
            for row in &topic.partitions {
                let at = TopicPartition::new(topic.name.clone(), row.partition_index);
                let Some(lease) = unanswered.remove(&at) else { continue };
                let Some(position) = self.held(&at, lease) else { continue };
                if position.wants_list_when_unasked() != Some(place) {
                    continue;
                }
                position.asked = false;
                match error(row.error_code) {
                    None => self.listed_one(at, row),
                    Some(error) => self.refused(at, lease, error, now),
                }
            }
        }
        self.put_off(&unanswered, now);
    }

    fn listed_one(&mut self, at: TopicPartition, row: &ListOffsetsPartitionResponse) {
        let reset = self.config.reset;
        let Some(position) = self.positions.get_mut(&at) else { return };
        let lease = position.lease;
        self.backoff.reset();
        match position.phase {
            // No record at or after the time: what comes next.
            Phase::Resetting(At::Time(_)) if row.offset < 0 => position.phase = Phase::Resetting(At::Latest),
            Phase::Resetting(_) => {
                position.move_to(row.offset, -1);
                self.events.push_back(FetchEvent::Moved {
                    partition: at,
                    lease,
                    offset: row.offset,
                    epoch: -1,
                });
            }
            Phase::Measuring { earliest: None } => {
                position.phase = Phase::Measuring { earliest: Some(row.offset) }
            }
            Phase::Measuring { earliest: Some(earliest) } => {
                let (wanted, latest) = (position.offset, row.offset);
                if (earliest..=latest).contains(&wanted) {
                    // The log holds it after all: the leader knows nothing of the epoch, or the
                    // log has grown since. The offset counts.
                    position.compares = false;
                    position.phase = Phase::Ready;
                    return;
                }
                let lost = OutOfRange { partition: at.clone(), lease, wanted, earliest, latest };
                self.events.push_back(FetchEvent::OutOfRange(lost));
                if !position.reset(reset) {
                    self.events.push_back(FetchEvent::NoOffset { partition: at, lease });
                }
            }
            Phase::AwaitingStart | Phase::Ready | Phase::Stopped => {}
        }
    }

    fn fetched(
        &mut self,
        mut asked: BTreeMap<TopicPartition, (Lease, i64)>,
        answer: FetchResponse,
        now: Instant,
    ) {
        let names: BTreeMap<Uuid, TopicName> =
            self.topic_ids.iter().map(|(name, id)| (*id, name.clone())).collect();
        for topic in answer.responses {
            let name =
                if topic.topic.is_empty() { names.get(&topic.topic_id).cloned() } else { Some(topic.topic) };
            let Some(name) = name else { continue };
            for data in topic.partitions {
                let at = TopicPartition::new(name.clone(), data.partition_index);
                let Some((lease, offset)) = asked.remove(&at) else { continue };
                // After a seek the answer is about another place.
                let Some(position) = self.held(&at, lease) else { continue };
                if position.phase == Phase::Ready && position.offset == offset {
                    self.fetched_one(at, lease, data, now);
                }
            }
        }
        // An answer about the whole request, or one that leaves partitions out.
        if answer.error_code != 0 {
            let rest = asked.into_iter().map(|(at, (lease, _))| (at, lease)).collect();
            self.put_off(&rest, now);
        }
    }

    fn fetched_one(&mut self, at: TopicPartition, lease: Lease, data: PartitionData, now: Instant) {
        if let Some(error) = error(data.error_code) {
            let newer =
                Leader { broker: data.current_leader.leader_id, epoch: data.current_leader.leader_epoch };
            self.refused(at.clone(), lease, error, now);
            if let Some(position) = self.held(&at, lease)
                && newer.broker.0 >= 0
                && position.leader.is_none_or(|known| newer.epoch > known.epoch)
            {
                position.leader = Some(newer);
            }
            return;
        }
        self.backoff.reset();
        let replica_until = now + self.config.replica_for;
        let Some(position) = self.positions.get_mut(&at) else { return };
        if data.diverging_epoch.epoch >= 0 || data.diverging_epoch.end_offset >= 0 {
            let (before, cut) =
                (position.offset, data.diverging_epoch.end_offset.max(0).min(position.offset));
            position.move_to(cut, data.diverging_epoch.epoch);
            let epoch = position.epoch;
            self.events.push_back(FetchEvent::Truncated {
                partition: at.clone(),
                lease,
                position: before,
                at: cut,
            });
            self.events.push_back(FetchEvent::Moved { partition: at, lease, offset: cut, epoch });
            return;
        }
        if data.preferred_read_replica.0 >= 0 {
            position.replica = Some((data.preferred_read_replica, replica_until));
        }
        position.high_watermark = Some(data.high_watermark);
        let Some(records) = data.records.filter(|records| !records.is_empty()) else { return };
        let from = position.offset;
        for head in batches::heads(&records) {
            position.offset = position.offset.max(head.next_offset());
            if head.leader_epoch >= 0 {
                position.epoch = head.leader_epoch;
                position.compares = true;
            }
        }
        if position.offset == from {
            position.not_before = Some(now + self.config.backoff.max);
            let bytes = records.len();
            self.events.push_back(FetchEvent::Unreadable { partition: at, lease, offset: from, bytes });
            return;
        }
        position.credit = position.credit.saturating_sub(records.len() as i64);
        self.events.push_back(FetchEvent::Records(Fetched {
            partition: at,
            lease,
            from,
            next: position.offset,
            records,
            aborted: data.aborted_transactions.unwrap_or_default(),
            high_watermark: data.high_watermark,
            last_stable: data.last_stable_offset,
            log_start: data.log_start_offset,
        }));
    }

    fn refused(&mut self, at: TopicPartition, lease: Lease, error: ResponseError, now: Instant) {
        use ResponseError as E;
        let until = self.backoff.after(now);
        let Some(position) = self.held(&at, lease) else { return };
        match error {
            E::OffsetOutOfRange if position.phase == Phase::Ready => {
                // A replica that lags behind says so of what only the leader has.
                if position.replica.take().is_none() {
                    position.phase = Phase::Measuring { earliest: None };
                    position.asked = false;
                }
            }
            // Ours is newer than what the broker knows: it will hear of it.
            E::UnknownLeaderEpoch | E::OffsetNotAvailable => position.not_before = Some(until),
            E::NotLeaderOrFollower
            | E::FencedLeaderEpoch
            | E::UnknownTopicOrPartition
            | E::UnknownTopicId
            | E::InconsistentTopicId
            | E::LeaderNotAvailable
            | E::ReplicaNotAvailable
            | E::KafkaStorageError => {
                position.not_before = Some(until);
                position.replica = None;
                self.stale_topics.insert(at.topic);
            }
            error => {
                position.not_before = Some(until);
                self.events.push_back(FetchEvent::Refused { partition: at, lease, error });
            }
        }
    }
}

impl Position {
    fn move_to(&mut self, offset: i64, epoch: i32) {
        self.offset = offset;
        self.epoch = epoch;
        self.compares = true;
        self.phase = Phase::Ready;
        self.asked = false;
    }

    /// Looks for an offset by the policy; false when there is none.
    fn reset(&mut self, reset: Reset) -> bool {
        self.asked = false;
        self.phase = match reset {
            Reset::Earliest => Phase::Resetting(At::Earliest),
            Reset::Latest => Phase::Resetting(At::Latest),
            Reset::None => Phase::Stopped,
        };
        self.phase != Phase::Stopped
    }

    /// What it asks ListOffsets for, unless it does already.
    fn wants_list(&self) -> Option<At> {
        if self.asked { None } else { self.wants_list_when_unasked() }
    }

    fn wants_list_when_unasked(&self) -> Option<At> {
        match self.phase {
            Phase::Resetting(at) => Some(at),
            Phase::Measuring { earliest: None } => Some(At::Earliest),
            Phase::Measuring { earliest: Some(_) } => Some(At::Latest),
            Phase::AwaitingStart | Phase::Ready | Phase::Stopped => None,
        }
    }

    fn wants_fetch(&self) -> bool {
        self.phase == Phase::Ready && !self.paused && self.credit > 0
    }

    fn fetches_from(&self) -> Option<BrokerId> {
        if !self.wants_fetch() || self.not_before.is_some() {
            return None;
        }
        let leader = self.leader?;
        Some(self.replica.map_or(leader.broker, |(replica, _)| replica))
    }

    fn request(&self, partition: i32, bytes_max: i32, version: i16) -> FetchPartition {
        let bytes = i32::try_from(self.credit).unwrap_or(i32::MAX).min(bytes_max);
        let mut asked = FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(self.offset)
            .with_partition_max_bytes(bytes);
        if version >= 9 {
            asked = asked.with_current_leader_epoch(self.leader.map_or(-1, |leader| leader.epoch));
        }
        if version >= 12 && self.compares {
            asked = asked.with_last_fetched_epoch(self.epoch);
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::super::{batches::tests::batch, topic};
    use super::*;
    use kafka_protocol::messages::fetch_response::{
        EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch,
    };
    use kafka_protocol::messages::list_offsets_response::ListOffsetsTopicResponse;

    const ID: Uuid = Uuid::from_u128(7);
    const LEASE: Lease = Lease(1);

    struct Bench {
        positions: Positions,
        now: Instant,
        open: Vec<Outgoing>,
    }

    fn at(number: i32) -> TopicPartition {
        TopicPartition::new(topic("t"), number)
    }

    fn leaders(brokers: &[(i32, i32, i32)]) -> Leaders {
        let one = |(number, broker, epoch): &(i32, i32, i32)| {
            (at(*number), Leader { broker: (*broker).into(), epoch: *epoch })
        };
        Leaders { leaders: brokers.iter().map(one).collect(), ids: [(topic("t"), ID)].into() }
    }

    impl Bench {
        fn new(config: FetchConfig, versions: Versions) -> Self {
            let positions = Positions::new(config, versions, fastrand::Rng::with_seed(3));
            Self { positions, now: Instant::now(), open: Vec::new() }
        }

        /// Partition 0, led by broker 1 in epoch 4, begun at this offset (written in epoch 3).
        fn reading(config: FetchConfig, start: Option<i64>) -> (Self, String) {
            let mut bench = Self::new(config, Versions::all());
            bench.positions.assign(&[at(0)].into(), LEASE);
            bench.positions.leaders(&leaders(&[(0, 1, 4)]), bench.now);
            bench.begin(0, start);
            bench.positions.credit(&at(0), 1 << 20);
            let seen = bench.happens();
            (bench, seen)
        }

        fn begin(&mut self, number: i32, start: Option<i64>) {
            let committed = start.map(|offset| (offset, 3, StrBytes::default()));
            self.positions.start(&Start { partition: at(number), lease: LEASE, committed });
        }

        fn happens(&mut self) -> String {
            let mut seen = Vec::new();
            while let Some(event) = self.positions.poll(self.now) {
                seen.push(match event {
                    FetchEvent::Send(request) => {
                        let outcome = request.request.encode(&mut bytes::BytesMut::new(), request.version);
                        assert!(outcome.is_ok(), "version {}: {outcome:?}", request.version);
                        let words = words(&request);
                        self.open.push(*request);
                        words
                    }
                    FetchEvent::NeedMetadata { .. } => "metadata".to_owned(),
                    FetchEvent::Moved { partition, offset, .. } => {
                        format!("{} at {offset}", partition.partition)
                    }
                    FetchEvent::Records(got) => {
                        format!("{} got {}..{}", got.partition.partition, got.from, got.next)
                    }
                    FetchEvent::OutOfRange(lost) => {
                        format!("lost {:?} of {}..{}", lost.lost(), lost.earliest, lost.latest)
                    }
                    FetchEvent::Truncated { position, at, .. } => format!("cut {at} below {position}"),
                    FetchEvent::NoOffset { .. } => "no offset".to_owned(),
                    FetchEvent::Unreadable { offset, bytes, .. } => {
                        format!("{bytes} unreadable bytes at {offset}")
                    }
                    FetchEvent::Refused { error, .. } => format!("{error:?}"),
                });
            }
            let deadline = self.positions.deadline();
            assert!(deadline.is_none_or(|at| at > self.now), "it does not run in circles");
            seen.join("; ")
        }

        fn later(&mut self, pause: Duration) -> String {
            self.now += pause;
            self.happens()
        }

        fn answer(&mut self, answer: ResponseKind) -> String {
            let request = self.open.remove(0);
            self.positions.answer(request.id, Ok(answer), self.now);
            self.happens()
        }

        fn fetched(&mut self, data: PartitionData) -> String {
            let topic = FetchableTopicResponse::default().with_topic_id(ID).with_partitions(vec![data]);
            self.answer(ResponseKind::Fetch(FetchResponse::default().with_responses(vec![topic])))
        }

        fn refused(&mut self, error: ResponseError) -> String {
            self.fetched(PartitionData::default().with_error_code(error.code()))
        }

        fn listed(&mut self, offset: i64) -> String {
            let row = ListOffsetsPartitionResponse::default().with_offset(offset);
            let topic = ListOffsetsTopicResponse::default().with_name(topic("t")).with_partitions(vec![row]);
            self.answer(ResponseKind::ListOffsets(ListOffsetsResponse::default().with_topics(vec![topic])))
        }
    }

    fn words(request: &Outgoing) -> String {
        let To::Broker(broker) = request.to else { panic!("not to any broker: {request:?}") };
        match &request.request {
            RequestKind::Fetch(fetch) => {
                let one = |partition: &FetchPartition| {
                    format!(
                        "{}@{} e{}",
                        partition.partition, partition.fetch_offset, partition.last_fetched_epoch
                    )
                };
                let partitions = fetch.topics.iter().flat_map(|topic| &topic.partitions).map(one);
                format!("fetch {} {}", broker.0, partitions.collect::<Vec<_>>().join(","))
            }
            RequestKind::ListOffsets(list) => {
                let partition = &list.topics[0].partitions[0];
                format!("list {} {}", broker.0, partition.timestamp)
            }
            other => panic!("not a request of positions: {other:?}"),
        }
    }

    fn reset(reset: Reset) -> FetchConfig {
        FetchConfig { reset, ..FetchConfig::default() }
    }

    fn records(batches: &[(i64, i32)]) -> PartitionData {
        let bytes: Vec<u8> = batches.iter().flat_map(|(base, count)| batch(*base, *count, -1, 0)).collect();
        PartitionData::default().with_high_watermark(500).with_records(Some(bytes.into()))
    }

    #[test]
    fn reading_begins_where_it_should() {
        #[track_caller]
        fn check(policy: Reset, committed: Option<i64>, expected: &str) {
            assert_eq!(Bench::reading(reset(policy), committed).1, expected);
        }
        check(Reset::Earliest, Some(100), "0 at 100; fetch 1 0@100 e3");
        check(Reset::Earliest, None, "list 1 -2");
        check(Reset::Latest, None, "list 1 -1");
        check(Reset::None, None, "no offset");
        let (mut bench, _) = Bench::reading(reset(Reset::Latest), None);
        assert_eq!(bench.listed(80), "0 at 80; fetch 1 0@80 e-1");
        let (mut bench, _) = Bench::reading(reset(Reset::None), None);
        bench.positions.seek(&at(0), 5);
        assert_eq!(bench.happens(), "0 at 5; fetch 1 0@5 e-1");
        bench.positions.seek_to(&at(0), At::Time(1234));
        assert_eq!(bench.happens(), "list 1 1234");
        bench.open.remove(0);
        assert_eq!(bench.listed(-1), "list 1 -1", "nothing so young: what comes next");
    }

    #[test]
    fn nothing_need_be_known_of_what_went() {
        let (mut bench, _) = Bench::reading(FetchConfig::default(), Some(100));
        assert_eq!(bench.refused(ResponseError::NotLeaderOrFollower), "metadata");
        bench.positions.unassign(&[at(0)].into());
        assert_eq!(bench.later(Duration::from_secs(60)), "");
    }

    #[test]
    fn records_move_the_position_and_use_credit_up() {
        let (mut bench, _) = Bench::reading(FetchConfig::default(), Some(100));
        // A batch that began before the offset, a gap, and the epoch of the batches (7).
        assert_eq!(bench.fetched(records(&[(95, 10), (110, 5)])), "0 got 100..115; fetch 1 0@115 e7");
        assert_eq!(bench.positions.lag(&at(0)), Some(385));
        assert_eq!(bench.fetched(PartitionData::default()), "fetch 1 0@115 e7", "nothing new");
        bench.positions.credit(&at(0), 61);
        assert_eq!(bench.fetched(records(&[(115, 1)])), "0 got 115..116");
        assert_eq!(bench.later(Duration::from_secs(60)), "", "no credit");
        bench.positions.credit(&at(0), 1);
        assert_eq!(bench.happens(), "fetch 1 0@116 e7");
        bench.positions.pause(&at(0), true);
        assert_eq!(bench.fetched(records(&[(116, 1)])), "0 got 116..117");
        bench.positions.pause(&at(0), false);
        bench.positions.credit(&at(0), 1);
        assert_eq!(bench.happens(), "fetch 1 0@117 e7");
    }

    #[test]
    fn an_answer_of_an_earlier_place_or_stay_is_thrown_away() {
        let (mut bench, _) = Bench::reading(FetchConfig::default(), Some(100));
        bench.positions.seek(&at(0), 300);
        assert_eq!(bench.happens(), "0 at 300");
        assert_eq!(bench.fetched(records(&[(100, 10)])), "fetch 1 0@300 e-1");
        bench.positions.unassign(&[at(0)].into());
        bench.positions.assign(&[at(0)].into(), Lease(2));
        assert_eq!(bench.fetched(records(&[(300, 10)])), "metadata");
        assert_eq!(bench.positions.offset(&at(0)), None);
    }

    #[test]
    fn out_of_range_is_measured_and_reported() {
        #[track_caller]
        fn check(policy: Reset, earliest: i64, latest: i64, expected: &str) {
            let (mut bench, _) = Bench::reading(reset(policy), Some(100));
            assert_eq!(bench.refused(ResponseError::OffsetOutOfRange), "list 1 -2");
            assert_eq!(bench.listed(earliest), "list 1 -1");
            assert_eq!(bench.listed(latest), expected);
        }
        check(Reset::Earliest, 150, 900, "lost 100..150 of 150..900; list 1 -2");
        check(Reset::Latest, 150, 900, "lost 100..150 of 150..900; list 1 -1");
        check(Reset::None, 150, 900, "lost 100..150 of 150..900; no offset");
        check(Reset::Earliest, 0, 40, "lost 100..100 of 0..40; list 1 -2");
        // It is there after all: only the epoch was unknown, so it is not named again.
        check(Reset::Earliest, 0, 900, "fetch 1 0@100 e-1");
    }

    #[test]
    fn a_cut_log_is_reported_and_read_on() {
        let (mut bench, _) = Bench::reading(FetchConfig::default(), Some(100));
        let diverging = EpochEndOffset::default().with_epoch(2).with_end_offset(90);
        let data = PartitionData::default().with_diverging_epoch(diverging);
        assert_eq!(bench.fetched(data), "cut 90 below 100; 0 at 90; fetch 1 0@90 e2");
    }

    #[test]
    fn errors_of_fetches() {
        #[track_caller]
        fn check(error: ResponseError, at_once: &str, after_a_pause: &str) {
            let (mut bench, _) = Bench::reading(FetchConfig::default(), Some(100));
            assert_eq!(bench.refused(error), at_once, "{error:?}");
            if at_once == "metadata" {
                bench.positions.leaders(&leaders(&[(0, 2, 5)]), bench.now);
            }
            assert_eq!(bench.later(Duration::from_secs(2)), after_a_pause, "{error:?}");
        }
        use ResponseError as E;
        check(E::NotLeaderOrFollower, "metadata", "fetch 2 0@100 e3");
        check(E::FencedLeaderEpoch, "metadata", "fetch 2 0@100 e3");
        check(E::UnknownTopicId, "metadata", "fetch 2 0@100 e3");
        check(E::UnknownTopicOrPartition, "metadata", "fetch 2 0@100 e3");
        check(E::KafkaStorageError, "metadata", "fetch 2 0@100 e3");
        check(E::UnknownLeaderEpoch, "", "fetch 1 0@100 e3");
        check(E::TopicAuthorizationFailed, "TopicAuthorizationFailed", "fetch 1 0@100 e3");
        check(E::CorruptMessage, "CorruptMessage", "fetch 1 0@100 e3");
    }

    #[test]
    fn a_leader_names_the_next() {
        let (mut bench, _) = Bench::reading(FetchConfig::default(), Some(100));
        let leader = LeaderIdAndEpoch::default().with_leader_id(3.into()).with_leader_epoch(6);
        let data = PartitionData::default().with_current_leader(leader);
        bench.fetched(data.with_error_code(ResponseError::NotLeaderOrFollower.code()));
        assert_eq!(bench.later(Duration::from_millis(200)), "fetch 3 0@100 e3");
        // Metadata from a broker that has not heard of it is not believed.
        bench.positions.leaders(&leaders(&[(0, 1, 4)]), bench.now);
        bench.open.clear();
        bench.positions.in_flight.clear();
        assert_eq!(bench.happens(), "fetch 3 0@100 e3");
    }

    #[test]
    fn a_topic_made_anew_has_new_epochs() {
        let (mut bench, _) = Bench::reading(FetchConfig::default(), Some(100));
        bench.refused(ResponseError::InconsistentTopicId);
        let anew = Leaders { ids: [(topic("t"), Uuid::from_u128(8))].into(), ..leaders(&[(0, 2, 0)]) };
        bench.positions.leaders(&anew, bench.now);
        assert_eq!(bench.later(Duration::from_secs(1)), "fetch 2 0@100 e3");
    }

    #[test]
    fn a_near_replica_is_preferred_for_a_time() {
        let (mut bench, _) = Bench::reading(FetchConfig::default(), Some(100));
        let near = PartitionData::default().with_preferred_read_replica(9.into());
        assert_eq!(bench.fetched(near.clone()), "fetch 9 0@100 e3");
        // It lags behind: the leader knows.
        assert_eq!(bench.refused(ResponseError::OffsetOutOfRange), "fetch 1 0@100 e3");
        assert_eq!(bench.fetched(near), "fetch 9 0@100 e3");
        bench.now += Duration::from_secs(301);
        assert_eq!(bench.fetched(records(&[(100, 1)])), "0 got 100..101; fetch 1 0@101 e7");
    }

    #[test]
    fn what_is_no_batch_is_told_and_asked_for_again() {
        let (mut bench, _) = Bench::reading(FetchConfig::default(), Some(100));
        let garbage = PartitionData::default().with_records(Some(Bytes::from_static(&[0xff; 40])));
        assert_eq!(bench.fetched(garbage), "40 unreadable bytes at 100");
        assert_eq!(bench.later(Duration::from_millis(100)), "", "not at once");
        assert_eq!(bench.later(Duration::from_secs(1)), "fetch 1 0@100 e3");
    }

    #[test]
    fn no_answer_means_to_ask_who_leads() {
        let (mut bench, _) = Bench::reading(FetchConfig::default(), Some(100));
        let id = bench.open.remove(0).id;
        bench.positions.answer(id, Err(Unanswered), bench.now);
        assert_eq!(bench.happens(), "metadata");
        assert!(bench.positions.deadline().is_some_and(|at| at > bench.now));
        assert_eq!(bench.later(Duration::from_millis(200)), "fetch 1 0@100 e3");
    }

    #[test]
    fn each_leader_has_one_request() {
        let mut bench = Bench::new(FetchConfig::default(), Versions::all());
        bench.positions.assign(&[at(0), at(1), at(2)].into(), LEASE);
        assert_eq!(bench.happens(), "metadata");
        bench.positions.leaders(&leaders(&[(0, 1, 0), (1, 2, 0), (2, 1, 0)]), bench.now);
        for number in 0..3 {
            bench.begin(number, Some(10));
            bench.positions.credit(&at(number), 1 << 20);
        }
        let seen = bench.happens();
        assert_eq!(seen.matches("fetch").count(), 2, "{seen}");
        assert!(seen.contains("fetch 2 1@10"), "{seen}");
        assert_eq!(bench.happens(), "");
    }

    #[test]
    fn requests_can_be_written_in_every_version() {
        for version in 4..=17 {
            let versions = Versions::all().at_most(ApiKey::Fetch, version);
            let mut bench = Bench::new(
                FetchConfig { rack: Some(StrBytes::from_static_str("r")), ..reset(Reset::Latest) },
                versions,
            );
            bench.positions.assign(&[at(0), at(1)].into(), LEASE);
            bench.positions.leaders(&leaders(&[(0, 1, 4), (1, 1, 4)]), bench.now);
            bench.positions.credit(&at(0), 1);
            bench.begin(0, Some(100));
            bench.begin(1, None);
            let seen = bench.happens();
            assert!(seen.contains("fetch 1 0@100") && seen.contains("list 1 -1"), "{seen}");
            let fetch = bench.open.iter().find(|request| matches!(request.request, RequestKind::Fetch(_)));
            assert_eq!(fetch.map(|request| request.version), Some(version));
        }
    }

    #[test]
    fn without_topic_ids_names_are_sent() {
        let mut bench = Bench::new(FetchConfig::default(), Versions::all());
        bench.positions.assign(&[at(0)].into(), LEASE);
        let nameless = Leaders { ids: BTreeMap::new(), ..leaders(&[(0, 1, 4)]) };
        bench.positions.leaders(&nameless, bench.now);
        bench.positions.credit(&at(0), 1);
        bench.begin(0, Some(100));
        bench.happens();
        assert_eq!(bench.open[0].version, 12);
    }
}
