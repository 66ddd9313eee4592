//! Kafka's machines, held against brokers that answer whatever comes to their mind.

use crate::chunk::{byte, number};
use kafka_protocol::messages::fetch_response::{EpochEndOffset, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{
    BrokerId, FetchResponse, FindCoordinatorResponse, GroupId, HeartbeatResponse, InitProducerIdResponse,
    JoinGroupResponse, LeaveGroupResponse, ListOffsetsResponse, MetadataResponse, OffsetCommitResponse,
    OffsetFetchResponse, ProduceResponse, RequestKind, ResponseKind, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use wire::kafka::compression::Compression;
use wire::kafka::consumer::assign::{Assignment, Assignor, Member, encode_assignment, encode_subscription};
use wire::kafka::consumer::lag::At;
use wire::kafka::consumer::membership::{
    Commit, GroupConfig, GroupEvent, GroupProtocol, Interest, KnownTopics, Membership, Start,
};
use wire::kafka::consumer::positions::{FetchConfig, FetchEvent, Leader, Leaders, Positions, Reset};
use wire::kafka::consumer::{
    Lease, Outgoing as Asked, RequestId, TopicPartition, Unanswered, Versions, topic,
};
use wire::kafka::metadata::Address;
use wire::kafka::producer::{
    Acks, Answer, AppendError, Denied, Event, Head, Options, Outgoing, Producer, Request, TopicId,
};

const TOPIC: &str = "logs";
/// As many as a topic has.
const PARTITIONS: i32 = 4;
/// Newer than every epoch that was made up.
const EPOCH: i32 = 9;
/// So much can be said without anything that happens.
const TOLD_MAX: usize = 1_000;
/// Offsets are of this size, so that they meet.
const OFFSETS: u8 = 16;

fn name() -> StrBytes {
    StrBytes::from_static_str(TOPIC)
}

/// An error of a broker, or none.
fn code(data: &mut &[u8]) -> i16 {
    match byte(data) {
        code @ 0..128 => 0.min(i16::from(code)),
        code => i16::from(code) - 130,
    }
}

/// Takes one of those that are asked.
fn taken<T>(asked: &mut Vec<T>, data: &mut &[u8]) -> Option<T> {
    let at = usize::from(byte(data)).checked_rem(asked.len())?;
    Some(asked.remove(at))
}

/// Mostly a small offset, or any.
fn offset(data: &mut &[u8]) -> i64 {
    match byte(data) {
        small @ 0..=250 => i64::from(small % OFFSETS) - 1,
        251 => i64::MAX,
        252 => i64::MIN,
        _ => i64::from(number(data)) << 31,
    }
}

// Producer

/// Whatever brokers answer, each record is delivered or refused, once, and all are when the brokers
/// behave again; until then the producer keeps to its memory and does not run in circles. The first
/// byte holds options; behind it steps stand, each with what it needs.
pub fn producer(data: &[u8]) {
    let mut data = data;
    let mode = byte(&mut data);
    let options = Options {
        acks: [Acks::All, Acks::All, Acks::Leader, Acks::None][usize::from(mode & 3)],
        idempotent: mode & 4 == 0,
        denied: if mode & 8 == 0 { Denied::Wait(Duration::from_secs(1)) } else { Denied::Refuse },
        compression: if mode & 16 == 0 { Compression::None } else { Compression::Lz4 },
        batch_bytes: 256,
        linger: Duration::from_millis(u64::from(mode >> 5)),
        memory_bytes_max: 4 << 10,
        request_bytes_max: 1 << 10,
        ..Options::default()
    };
    let mut own = Production::new(options);
    while !data.is_empty() {
        own.step(&mut data);
    }
    own.end();
}

struct Production {
    producer: Producer,
    topic: TopicId,
    now: Instant,
    asked: Vec<Outgoing>,
    /// What became of the records, by their tokens.
    ends: Vec<bool>,
    producer_ids: i64,
}

impl Production {
    fn new(options: Options) -> Self {
        let now = Instant::now();
        let servers = vec![Address { host: "seed".to_owned(), port: 9092 }];
        let mut producer = Producer::new(options, servers, 1, now).expect("memory");
        let topic = producer.topic(TOPIC, now);
        Self { producer, topic, now, asked: Vec::new(), ends: Vec::new(), producer_ids: 0 }
    }

    fn step(&mut self, data: &mut &[u8]) {
        match byte(data) % 8 {
            0 | 1 => self.append(data),
            2 => self.poll(),
            3 | 4 => {
                if let Some(asked) = taken(&mut self.asked, data) {
                    let answer = any_answer(&asked.request, data);
                    self.producer.on_response(asked.id, answer, self.now);
                }
            }
            5 => {
                if let Some(asked) = taken(&mut self.asked, data) {
                    self.behave(&asked);
                }
            }
            6 => {
                let broker = i32::from(byte(data) % 5) - 1;
                self.asked.retain(|asked| asked.broker != broker);
                self.producer.on_disconnect(broker, self.now);
            }
            _ => self.now += Duration::from_millis(u64::from(byte(data)) * 4),
        }
        self.hear();
    }

    fn append(&mut self, data: &mut &[u8]) {
        let (place, bytes) = (byte(data), usize::from(byte(data)) * 5);
        let partition = (place < 128).then(|| i32::from(place) % PARTITIONS);
        let head = Head { partition, key: (place & 1 == 0).then_some(b"key"), ..Head::default() };
        let token = self.ends.len() as u64;
        let value = vec![b'.'; bytes];
        match self.producer.append(self.topic, &head, Some(&[&value]), token, self.now) {
            Ok(_) => self.ends.push(false),
            Err(AppendError::TooLarge { bytes, limit }) => assert!(bytes > limit),
            Err(AppendError::Full | AppendError::NotYet | AppendError::NoPartition(_)) => {}
        }
        assert!(self.producer.used_bytes() <= 8 << 10);
    }

    fn poll(&mut self) {
        self.asked.extend(self.producer.poll(self.now));
        assert!(self.producer.next_deadline().is_none_or(|at| at > self.now), "it does not run in circles");
    }

    /// Answers as brokers do that have no troubles.
    fn behave(&mut self, asked: &Outgoing) {
        let answer = match &asked.request {
            Request::Metadata(_) => {
                Answer::Metadata(cluster((0..PARTITIONS).map(|at| (at, at % 3, EPOCH)), 0))
            }
            Request::InitProducerId(_) => {
                self.producer_ids += 1;
                let answer = InitProducerIdResponse::default().with_producer_id(self.producer_ids.into());
                Answer::InitProducerId(answer)
            }
            Request::Produce(request) if request.acks == 0 => Answer::Written,
            Request::Produce(request) => {
                let rows = request.topic_data[0].partition_data.iter();
                produced(rows.map(|row| PartitionProduceResponse::default().with_index(row.index)).collect())
            }
        };
        self.producer.on_response(asked.id, answer, self.now);
    }

    fn hear(&mut self) {
        while let Some(event) = self.producer.event() {
            let tokens = match event {
                Event::Delivered { tokens, .. } => tokens,
                Event::Refused { token, .. } => token..token + 1,
                Event::Trouble { .. } => continue,
            };
            for token in tokens {
                let end = &mut self.ends[token as usize];
                assert!(!std::mem::replace(end, true), "once");
            }
        }
    }

    fn end(mut self) {
        self.producer.flush();
        for _ in 0..TOLD_MAX {
            if self.producer.is_idle() {
                break;
            }
            self.poll();
            for asked in std::mem::take(&mut self.asked) {
                self.behave(&asked);
            }
            self.hear();
            self.now += Duration::from_millis(500);
        }
        assert!(self.producer.is_idle(), "all that was taken came to an end");
        assert!(self.ends.iter().all(|end| *end), "and it is said of all");
        assert_eq!(self.producer.used_bytes(), 0);
    }
}

/// Brokers 0 to 2, and these partitions: number, leader, epoch.
fn cluster(partitions: impl Iterator<Item = (i32, i32, i32)>, error: i16) -> MetadataResponse {
    let broker = |id: i32| {
        MetadataResponseBroker::default()
            .with_node_id(id.into())
            .with_host(StrBytes::from_static_str("b"))
            .with_port(9000 + id)
    };
    let partition = |(number, leader, epoch): (i32, i32, i32)| {
        MetadataResponsePartition::default()
            .with_partition_index(number)
            .with_leader_id(leader.into())
            .with_leader_epoch(epoch)
    };
    let topic = MetadataResponseTopic::default()
        .with_name(Some(name().into()))
        .with_error_code(error)
        .with_partitions(partitions.map(partition).collect());
    MetadataResponse::default().with_brokers((0..3).map(broker).collect()).with_topics(vec![topic])
}

fn produced(rows: Vec<PartitionProduceResponse>) -> Answer {
    let topic = TopicProduceResponse::default().with_name(name().into()).with_partition_responses(rows);
    Answer::Produce(ProduceResponse::default().with_responses(vec![topic]))
}

fn any_answer(request: &Request, data: &mut &[u8]) -> Answer {
    let small = |data: &mut &[u8]| i32::from(byte(data) as i8) % (PARTITIONS + 1);
    match request {
        Request::Metadata(_) => {
            let error = code(data);
            // What does not exist when brokers behave again would wait for ever.
            let partitions = (0..i32::from(byte(data)) % (PARTITIONS + 1))
                .map(|_| (small(data).rem_euclid(PARTITIONS), small(data), i32::from(byte(data) % 3) - 1));
            Answer::Metadata(cluster(partitions.collect::<Vec<_>>().into_iter(), error))
        }
        Request::InitProducerId(_) => Answer::InitProducerId(
            InitProducerIdResponse::default()
                .with_error_code(code(data))
                .with_producer_id(offset(data).into())
                .with_producer_epoch(i16::from(byte(data) as i8)),
        ),
        Request::Produce(_) if byte(data) == 0 => Answer::Written,
        Request::Produce(_) => {
            let rows = (0..byte(data) % 4).map(|_| {
                let errors = (0..byte(data) % 3).map(|_| {
                    BatchIndexAndErrorMessage::default().with_batch_index(i32::from(byte(data) as i8))
                });
                PartitionProduceResponse::default()
                    .with_record_errors(errors.collect())
                    .with_index(small(data))
                    .with_error_code(code(data))
                    .with_base_offset(offset(data))
                    .with_current_leader(
                        LeaderIdAndEpoch::default()
                            .with_leader_id(small(data).into())
                            .with_leader_epoch(small(data)),
                    )
            });
            produced(rows.collect())
        }
    }
}

// Consumer

fn partition(data: &mut &[u8]) -> TopicPartition {
    TopicPartition::new(topic(TOPIC), i32::from(byte(data)) % PARTITIONS)
}

/// Whatever brokers answer, records come one behind the other from where it was said that reading
/// begins; whatever is passed over is told. Behind a byte of options steps stand.
pub fn fetch(data: &[u8]) {
    let mut data = data;
    let mode = byte(&mut data);
    let config = FetchConfig {
        reset: [Reset::Earliest, Reset::Latest, Reset::None][usize::from(mode % 3)],
        ..FetchConfig::default()
    };
    let mut own = Reading {
        positions: Positions::new(config, Versions::all(), fastrand::Rng::with_seed(1)),
        now: Instant::now(),
        asked: Vec::new(),
        held: BTreeMap::new(),
        leases: 0,
    };
    while !data.is_empty() {
        own.step(&mut data);
    }
}

struct Reading {
    positions: Positions,
    now: Instant,
    asked: Vec<Asked>,
    /// The partitions that are held, and the offset that comes next, once it was told.
    held: BTreeMap<TopicPartition, (Lease, Option<i64>)>,
    leases: u64,
}

impl Reading {
    fn step(&mut self, data: &mut &[u8]) {
        match byte(data) % 10 {
            0 => {
                let at = partition(data);
                self.leases += 1;
                let lease = Lease(self.leases);
                self.positions.assign(&BTreeSet::from([at.clone()]), lease);
                self.held.insert(at, (lease, None));
            }
            1 => {
                let at = partition(data);
                self.positions.unassign(&BTreeSet::from([at.clone()]));
                self.held.remove(&at);
            }
            2 => {
                let at = partition(data);
                let lease = self.held.get(&at).map_or(Lease(0), |(lease, _)| *lease);
                let committed = (byte(data) & 1 == 0).then(|| (offset(data).max(0), -1, StrBytes::default()));
                self.positions.start(&Start { partition: at, lease, committed });
            }
            3 => self.positions.credit(&partition(data), i64::from(byte(data))),
            4 => {
                let at = partition(data);
                match byte(data) % 4 {
                    0 => self.positions.seek(&at, offset(data).max(0)),
                    1 => self.positions.seek_to(&at, At::Time(5)),
                    2 => self.positions.seek_to(&at, At::Latest),
                    _ => self.positions.pause(&at, byte(data) & 1 == 0),
                }
            }
            5 => {
                let mut leaders = Leaders::default();
                for _ in 0..byte(data) % 5 {
                    let broker = BrokerId(i32::from(byte(data) % 3));
                    let leader = Leader { broker, epoch: i32::from(byte(data) % 4) - 1 };
                    leaders.leaders.insert(partition(data), leader);
                }
                self.positions.leaders(&leaders, self.now);
            }
            6 | 7 => {
                let Some(asked) = taken(&mut self.asked, data) else { return };
                let answer = match &asked.request {
                    _ if byte(data) == 0 => Err(Unanswered),
                    RequestKind::Fetch(_) => Ok(ResponseKind::Fetch(fetched(data))),
                    _ => Ok(ResponseKind::ListOffsets(listed(data))),
                };
                self.positions.answer(asked.id, answer, self.now);
            }
            8 => self.now += Duration::from_millis(u64::from(byte(data)) * 10),
            _ => {}
        }
        self.hear();
    }

    fn hear(&mut self) {
        for _ in 0..TOLD_MAX {
            let Some(event) = self.positions.poll(self.now) else {
                let deadline = self.positions.deadline();
                assert!(deadline.is_none_or(|at| at > self.now), "it does not run in circles");
                return;
            };
            match event {
                FetchEvent::Send(asked) => self.asked.push(*asked),
                FetchEvent::Moved { partition, lease, offset, .. } => {
                    if let Some((held, next)) = self.held.get_mut(&partition)
                        && *held == lease
                    {
                        *next = Some(offset);
                    }
                }
                FetchEvent::Records(came) => {
                    assert!(came.next > came.from, "there is something in it");
                    if let Some((held, next)) = self.held.get_mut(&came.partition)
                        && *held == came.lease
                    {
                        assert_eq!(next.replace(came.next), Some(came.from), "one behind the other");
                    }
                }
                FetchEvent::Truncated { position, at, .. } => assert!(at <= position),
                FetchEvent::NeedMetadata { topics } => assert!(!topics.is_empty()),
                FetchEvent::OutOfRange(_)
                | FetchEvent::NoOffset { .. }
                | FetchEvent::Unreadable { .. }
                | FetchEvent::Refused { .. } => {}
            }
        }
        panic!("it goes on without end");
    }
}

fn fetched(data: &mut &[u8]) -> FetchResponse {
    let rows = (0..byte(data) % 4).map(|_| {
        let diverging = match byte(data) {
            0 => EpochEndOffset::default().with_epoch(1).with_end_offset(offset(data)),
            _ => EpochEndOffset::default(),
        };
        PartitionData::default()
            .with_partition_index(i32::from(byte(data) % 5))
            .with_error_code(code(data))
            .with_diverging_epoch(diverging)
            .with_preferred_read_replica(BrokerId(i32::from(byte(data) % 4) - 2))
            .with_high_watermark(offset(data))
            .with_records(Some(records(data).into()))
    });
    let rows = rows.collect();
    let topic = FetchableTopicResponse::default().with_topic(name().into()).with_partitions(rows);
    FetchResponse::default().with_error_code(code(data)).with_responses(vec![topic])
}

/// Heads of batches, with nothing behind them, or any bytes.
fn records(data: &mut &[u8]) -> Vec<u8> {
    let mut records = Vec::new();
    for _ in 0..byte(data) % 4 {
        let begin = records.len();
        records.resize(begin + 61, 0);
        let batch = &mut records[begin..];
        batch[..8].copy_from_slice(&offset(data).to_be_bytes());
        batch[8..12].copy_from_slice(&49i32.to_be_bytes());
        batch[16] = 2;
        batch[23..27].copy_from_slice(&i32::from(byte(data) as i8).to_be_bytes());
    }
    if byte(data) == 0 {
        let cut = usize::from(byte(data)).min(records.len());
        records.truncate(cut);
        records.extend_from_slice(&number(data).to_be_bytes());
    }
    records
}

fn listed(data: &mut &[u8]) -> ListOffsetsResponse {
    let rows = (0..byte(data) % 4).map(|_| {
        ListOffsetsPartitionResponse::default()
            .with_partition_index(i32::from(byte(data) % 5))
            .with_error_code(code(data))
            .with_offset(offset(data))
    });
    let topic = ListOffsetsTopicResponse::default().with_name(name().into()).with_partitions(rows.collect());
    ListOffsetsResponse::default().with_topics(vec![topic])
}

// Group

/// Whatever the coordinator answers, a partition comes only when it is not held, goes only when it
/// is, each commit has one outcome, and nothing follows the end. Behind a byte of options steps stand.
pub fn group(data: &[u8]) {
    let mut data = data;
    let mode = byte(&mut data);
    let mut config = GroupConfig::new("g");
    config.protocol =
        [GroupProtocol::Classic, GroupProtocol::Auto, GroupProtocol::Consumer][usize::from(mode % 3)];
    if mode & 4 != 0 {
        config.assignors = vec![Assignor::CooperativeSticky];
    }
    if mode & 8 != 0 {
        config.instance_id = Some(StrBytes::from_static_str("i"));
    }
    let random = fastrand::Rng::with_seed(1);
    let mut own = Belonging {
        member: Membership::new(config, Interest::topics([TOPIC]), Versions::all(), random),
        now: Instant::now(),
        asked: Vec::new(),
        held: BTreeMap::new(),
        commits: BTreeMap::new(),
        going: BTreeSet::new(),
        is_revoking: false,
        is_over: false,
    };
    while !data.is_empty() {
        own.step(&mut data);
    }
}

struct Belonging {
    member: Membership,
    now: Instant,
    asked: Vec<Asked>,
    held: BTreeMap<TopicPartition, Lease>,
    /// Commits without an outcome, by partition and offset.
    commits: BTreeMap<(TopicPartition, i64), usize>,
    /// What goes to others, or went.
    going: BTreeSet<TopicPartition>,
    is_revoking: bool,
    is_over: bool,
}

impl Belonging {
    fn step(&mut self, data: &mut &[u8]) {
        match byte(data) % 8 {
            0..=3 => {
                let Some(asked) = taken(&mut self.asked, data) else { return };
                let answer = coordinated(&asked.request, data);
                self.member.answer(asked.id, answer.ok_or(Unanswered), self.now);
            }
            4 => {
                let partition = partition(data);
                let lease = self.held.get(&partition).copied().unwrap_or_default();
                let offset = i64::from(byte(data));
                *self.commits.entry((partition.clone(), offset)).or_default() += 1;
                let metadata = StrBytes::default();
                self.member.commit(vec![Commit { partition, lease, offset, leader_epoch: -1, metadata }]);
            }
            5 => self.now += Duration::from_millis(u64::from(byte(data)) * 100),
            6 if std::mem::take(&mut self.is_revoking) => self.member.revoked(),
            6 => {
                let mut known = KnownTopics::default();
                known.counts.insert(topic(TOPIC), i32::from(byte(data) % 6));
                self.member.metadata(&known, self.now);
            }
            _ => match byte(data) {
                0 => self.member.leave(self.now + Duration::from_secs(1)),
                1..50 => self.member.subscribe(Interest::topics([TOPIC, "more"])),
                _ => self.member.answer(RequestId(number(data).into()), Err(Unanswered), self.now),
            },
        }
        self.hear();
    }

    fn hear(&mut self) {
        for _ in 0..TOLD_MAX {
            let Some(event) = self.member.poll(self.now) else {
                let deadline = self.member.deadline();
                assert!(
                    self.is_over || deadline.is_none_or(|at| at > self.now),
                    "it does not run in circles"
                );
                return;
            };
            let is_outcome = matches!(event, GroupEvent::NotCommitted(..));
            assert!(!self.is_over || is_outcome, "{event:?} behind the end");
            match event {
                GroupEvent::Send(asked) => self.asked.push(*asked),
                GroupEvent::Assigned { partitions, lease, .. } => {
                    for at in partitions {
                        self.going.remove(&at);
                        assert_eq!(self.held.insert(at, lease), None, "it came twice");
                    }
                }
                GroupEvent::Starts(starts) => {
                    for start in starts {
                        assert_eq!(self.held.get(&start.partition), Some(&start.lease));
                    }
                }
                GroupEvent::Revoke { partitions, .. } => {
                    assert!(partitions.iter().all(|at| self.held.contains_key(at)));
                    self.going = partitions;
                    self.is_revoking = true;
                }
                GroupEvent::Lost { partitions } => {
                    self.is_revoking = false;
                    for at in partitions {
                        let was_held = self.held.remove(&at).is_some();
                        assert!(was_held || self.going.contains(&at), "it was not held");
                    }
                }
                GroupEvent::Committed(commit) | GroupEvent::NotCommitted(commit, _) => {
                    let open = self.commits.get_mut(&(commit.partition, commit.offset)).expect("a commit");
                    *open = open.checked_sub(1).expect("one outcome");
                }
                GroupEvent::Left | GroupEvent::Failed(_) => {
                    self.is_over = true;
                    self.held.clear();
                }
                GroupEvent::Coordinator { .. }
                | GroupEvent::NeedMetadata { .. }
                | GroupEvent::StartRefused { .. } => {}
            }
            // That it went after it was revoked is not told again.
            let standing = self.member.standing().1;
            self.held.retain(|at, _| standing.contains(at) || !self.going.contains(at));
        }
        panic!("it goes on without end");
    }
}

fn coordinated(request: &RequestKind, data: &mut &[u8]) -> Option<ResponseKind> {
    if byte(data) == 0 {
        return None;
    }
    let error = code(data);
    let assignment = |data: &mut &[u8]| {
        let numbers = (0..byte(data) % 4).map(|_| i32::from(byte(data)) % PARTITIONS);
        let partitions = numbers.map(|number| TopicPartition::new(topic(TOPIC), number)).collect();
        encode_assignment(&Assignment { partitions, ..Assignment::default() }, 1)
    };
    let me = StrBytes::from_static_str(if byte(data) & 1 == 0 { "me" } else { "you" });
    Some(match request {
        RequestKind::FindCoordinator(_) => {
            let found = Coordinator::default()
                .with_key(StrBytes::from_static_str("g"))
                .with_error_code(error)
                .with_node_id(BrokerId(i32::from(byte(data) % 3)));
            ResponseKind::FindCoordinator(
                FindCoordinatorResponse::default().with_error_code(error).with_coordinators(vec![found]),
            )
        }
        RequestKind::JoinGroup(_) => {
            let subscription = Assignor::Range.subscription(&Member::default(), None);
            let member = JoinGroupResponseMember::default()
                .with_member_id(StrBytes::from_static_str("me"))
                .with_metadata(match byte(data) {
                    0 => number(data).to_be_bytes().to_vec().into(),
                    _ => encode_subscription(&subscription, 1),
                });
            ResponseKind::JoinGroup(
                JoinGroupResponse::default()
                    .with_error_code(error)
                    .with_generation_id(i32::from(byte(data) as i8))
                    .with_protocol_name(match byte(data) % 4 {
                        0 => None,
                        1 => Some(StrBytes::from_static_str("unheard")),
                        2 => Some(StrBytes::from_static_str(Assignor::CooperativeSticky.name())),
                        _ => Some(StrBytes::from_static_str(Assignor::Range.name())),
                    })
                    .with_leader(StrBytes::from_static_str("me"))
                    .with_member_id(me)
                    .with_members(vec![member]),
            )
        }
        RequestKind::SyncGroup(_) => {
            let assignment = match byte(data) {
                0 => number(data).to_be_bytes().to_vec().into(),
                _ => assignment(data),
            };
            ResponseKind::SyncGroup(
                SyncGroupResponse::default().with_error_code(error).with_assignment(assignment),
            )
        }
        RequestKind::Heartbeat(_) => {
            ResponseKind::Heartbeat(HeartbeatResponse::default().with_error_code(error))
        }
        RequestKind::LeaveGroup(_) => {
            ResponseKind::LeaveGroup(LeaveGroupResponse::default().with_error_code(error))
        }
        RequestKind::OffsetFetch(_) => {
            let rows = (0..byte(data) % 5).map(|_| {
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(i32::from(byte(data)) % (PARTITIONS + 1))
                    .with_error_code(code(data))
                    .with_committed_offset(offset(data))
            });
            let rows =
                OffsetFetchResponseTopics::default().with_name(name().into()).with_partitions(rows.collect());
            let group = OffsetFetchResponseGroup::default()
                .with_group_id(GroupId(StrBytes::from_static_str("g")))
                .with_error_code(error)
                .with_topics(vec![rows]);
            ResponseKind::OffsetFetch(OffsetFetchResponse::default().with_groups(vec![group]))
        }
        RequestKind::OffsetCommit(_) => {
            let rows = (0..byte(data) % 5).map(|_| {
                OffsetCommitResponsePartition::default()
                    .with_partition_index(i32::from(byte(data)) % (PARTITIONS + 1))
                    .with_error_code(code(data))
            });
            let rows =
                OffsetCommitResponseTopic::default().with_name(name().into()).with_partitions(rows.collect());
            ResponseKind::OffsetCommit(OffsetCommitResponse::default().with_topics(vec![rows]))
        }
        RequestKind::ConsumerGroupHeartbeat(_) => {
            use kafka_protocol::messages::ConsumerGroupHeartbeatResponse;
            use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
            let numbers = (0..byte(data) % 4).map(|_| i32::from(byte(data)) % PARTITIONS).collect();
            let topic = TopicPartitions::default().with_partitions(numbers);
            let target = Assignment::default().with_topic_partitions(vec![topic]);
            ResponseKind::ConsumerGroupHeartbeat(
                ConsumerGroupHeartbeatResponse::default()
                    .with_error_code(error)
                    .with_member_id(Some(me))
                    .with_member_epoch(i32::from(byte(data) as i8))
                    .with_heartbeat_interval_ms(i32::from(byte(data) as i8) * 100)
                    .with_assignment((byte(data) & 1 == 0).then_some(target)),
            )
        }
        _ => return None,
    })
}
