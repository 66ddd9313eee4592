//! A member of a consumer group over plain sockets, to be tried next to members of other
//! clients: it prints what it is given, reads it, and commits.
//!
//! ```text
//! kafka_member BROKER GROUP TOPIC PROTOCOL SECONDS [INSTANCE]
//! ```
//!
//! PROTOCOL is `auto`, `consumer` (KIP-848) or a list of assignors (`cooperative-sticky,range`).
//! Each request has a connection of its own and a thread that waits for the answer: the
//! simplest driver there can be, and nothing to imitate where speed matters.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, MetadataRequest, MetadataResponse, RequestHeader, RequestKind,
    ResponseHeader, ResponseKind, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use uuid::Uuid;
use wire::kafka::consumer::assign::Assignor;
use wire::kafka::consumer::batches;
use wire::kafka::consumer::membership::{
    GroupConfig, GroupEvent, GroupProtocol, Interest, KnownTopics, Membership,
};
use wire::kafka::consumer::offsets::Offsets;
use wire::kafka::consumer::positions::{FetchConfig, FetchEvent, Leader, Leaders, Positions};
use wire::kafka::consumer::{Outgoing, RequestId, To, TopicPartition, Unanswered, Versions};

/// How much of a partition may be under way.
const CREDIT: i64 = 1 << 20;

/// An answer, and for whom.
enum Answer {
    Group(RequestId, Result<ResponseKind, Unanswered>),
    Fetch(RequestId, Result<ResponseKind, Unanswered>),
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [broker, group, topic, protocol, seconds, rest @ ..] = &arguments[..] else {
        return Err("kafka_member BROKER GROUP TOPIC PROTOCOL SECONDS [INSTANCE]".into());
    };
    let mut config = GroupConfig::new(group);
    config.session_timeout = Duration::from_secs(10);
    config.rebalance_timeout = Duration::from_secs(20);
    config.instance_id = rest.first().map(|name| StrBytes::from_string(name.clone()));
    config.protocol = match protocol.as_str() {
        "auto" => GroupProtocol::Auto,
        "consumer" => GroupProtocol::Consumer,
        list => {
            let known = |name| Assignor::of(name).ok_or(format!("no assignor {name}"));
            config.assignors = list.split(',').map(known).collect::<Result<_, _>>()?;
            GroupProtocol::Classic
        }
    };
    let mut member = Member::new(broker, config, topic)?;
    let end = Instant::now() + Duration::from_secs(seconds.parse()?);
    member.run(end);
    println!(
        "read {} offsets in {} fetches, committed {} times",
        member.read, member.fetches, member.commits
    );
    Ok(())
}

struct Member {
    start: Instant,
    bootstrap: String,
    brokers: BTreeMap<i32, String>,
    metadata_version: i16,
    group: Membership,
    positions: Positions,
    offsets: Offsets,
    known: KnownTopics,
    leaders: Leaders,
    outbox: Sender<Answer>,
    inbox: Receiver<Answer>,
    read: i64,
    fetches: usize,
    commits: usize,
}

impl Member {
    fn new(bootstrap: &str, config: GroupConfig, topic: &str) -> io::Result<Self> {
        let versions = api_versions(bootstrap)?;
        let metadata_version = versions.get(ApiKey::Metadata).unwrap_or(1);
        let (outbox, inbox) = channel();
        let mut random = fastrand::Rng::new();
        Ok(Self {
            start: Instant::now(),
            bootstrap: bootstrap.to_owned(),
            brokers: BTreeMap::new(),
            metadata_version,
            positions: Positions::new(FetchConfig::default(), versions.clone(), random.fork()),
            group: Membership::new(config, Interest::topics([topic]), versions, random),
            offsets: Offsets::new(Duration::from_secs(1), StrBytes::from_static_str("kafka_member")),
            known: KnownTopics::default(),
            leaders: Leaders::default(),
            outbox,
            inbox,
            read: 0,
            fetches: 0,
            commits: 0,
        })
    }

    fn run(&mut self, end: Instant) {
        let mut leaving = false;
        loop {
            let now = Instant::now();
            if now >= end && !leaving {
                leaving = true;
                self.group.leave(now + Duration::from_secs(5));
            }
            while let Some(event) = self.group.poll(Instant::now()) {
                if !self.group_event(event) {
                    return;
                }
            }
            while let Some(event) = self.positions.poll(Instant::now()) {
                self.fetch_event(event);
            }
            let commits = self.offsets.due(Instant::now());
            if !commits.is_empty() {
                self.group.commit(commits);
                continue;
            }
            self.wait(if leaving { None } else { Some(end) });
        }
    }

    /// Waits for an answer or the next deadline.
    fn wait(&mut self, end: Option<Instant>) {
        let now = Instant::now();
        let deadlines = [self.group.deadline(), self.positions.deadline(), self.offsets.deadline(now), end];
        let until = deadlines.into_iter().flatten().min().unwrap_or(now + Duration::from_secs(1));
        match self.inbox.recv_timeout(until.saturating_duration_since(now)) {
            Ok(Answer::Group(id, answer)) => self.group.answer(id, answer, Instant::now()),
            Ok(Answer::Fetch(id, answer)) => self.positions.answer(id, answer, Instant::now()),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }

    fn say(&self, what: &str, partitions: &BTreeSet<TopicPartition>) {
        let numbers: Vec<i32> = partitions.iter().map(|at| at.partition).collect();
        println!("{:6.2} {what} {numbers:?}", self.start.elapsed().as_secs_f64());
    }

    /// False when it was the last.
    fn group_event(&mut self, event: GroupEvent) -> bool {
        match event {
            GroupEvent::Send(request) => self.send(*request, Answer::Group),
            GroupEvent::Coordinator { broker, host, port } => {
                self.brokers.insert(broker.0, format!("{}:{port}", host.as_str()));
            }
            GroupEvent::NeedMetadata { topics, ids } => {
                self.fetch_metadata(topics, ids);
                self.group.metadata(&self.known, Instant::now());
            }
            GroupEvent::Assigned { partitions, lease, generation } => {
                let protocol = self.group.protocol();
                self.say(&format!("assigned ({protocol:?}, generation {generation})"), &partitions);
                self.positions.assign(&partitions, lease);
            }
            GroupEvent::Starts(starts) => starts.iter().for_each(|start| self.positions.start(start)),
            GroupEvent::Revoke { partitions, .. } => {
                self.say("gives back", &partitions);
                self.group.commit(self.offsets.take(&partitions));
                self.give_up(&partitions);
                self.group.revoked();
            }
            GroupEvent::Lost { partitions } => {
                self.say("lost", &partitions);
                self.give_up(&partitions);
            }
            GroupEvent::Committed(commit) => {
                self.commits += 1;
                self.offsets.committed(&commit);
            }
            GroupEvent::NotCommitted(commit, error) => {
                println!("not committed: {} at {}: {error}", commit.partition, commit.offset);
                self.offsets.not_committed(&commit);
            }
            GroupEvent::StartRefused { partition, error } => println!("{partition}: {error:?}"),
            GroupEvent::Left => {
                self.say("left", &BTreeSet::new());
                return false;
            }
            GroupEvent::Failed(error) => {
                println!("{error}");
                return false;
            }
        }
        true
    }

    fn give_up(&mut self, partitions: &BTreeSet<TopicPartition>) {
        self.positions.unassign(partitions);
        partitions.iter().for_each(|at| self.offsets.end(at));
    }

    fn fetch_event(&mut self, event: FetchEvent) {
        match event {
            FetchEvent::Send(request) => self.send(*request, Answer::Fetch),
            FetchEvent::NeedMetadata { topics } => {
                self.fetch_metadata(topics, BTreeSet::new());
                self.positions.leaders(&self.leaders, Instant::now());
            }
            FetchEvent::Moved { partition, lease, offset, epoch } => {
                self.offsets.begin(partition.clone(), lease, offset, epoch);
                self.positions.credit(&partition, CREDIT);
            }
            FetchEvent::Records(fetched) => {
                for head in batches::heads(&fetched.records).filter(|head| !head.control) {
                    let range = head.base_offset.max(fetched.from)..head.next_offset();
                    self.offsets.delivered(
                        &fetched.partition,
                        fetched.lease,
                        range.clone(),
                        head.leader_epoch,
                    );
                    self.read += range.end - range.start;
                    self.offsets.acknowledge(&fetched.partition, fetched.lease, range);
                }
                self.offsets.skipped(&fetched.partition, fetched.lease, fetched.next);
                self.fetches += 1;
                self.positions.credit(&fetched.partition, CREDIT);
            }
            other => println!("{other:?}"),
        }
    }

    fn send(&self, request: Outgoing, answer: fn(RequestId, Result<ResponseKind, Unanswered>) -> Answer) {
        let address = match request.to {
            To::Any => Some(&self.bootstrap),
            To::Broker(id) => self.brokers.get(&id.0),
        };
        let address = address.unwrap_or(&self.bootstrap).clone();
        let outbox = self.outbox.clone();
        thread::spawn(move || {
            let outcome = ask(&address, &request.request, request.version, request.timeout);
            // The member may have ended meanwhile.
            let _ = outbox.send(answer(request.id, outcome.map_err(|_| Unanswered)));
        });
    }

    fn fetch_metadata(&mut self, topics: BTreeSet<TopicName>, ids: BTreeSet<Uuid>) {
        let named = topics.into_iter().map(|name| MetadataRequestTopic::default().with_name(Some(name)));
        let by_id =
            ids.into_iter().map(|id| MetadataRequestTopic::default().with_name(None).with_topic_id(id));
        let request = MetadataRequest::default().with_topics(Some(named.chain(by_id).collect()));
        let request = RequestKind::Metadata(request.with_allow_auto_topic_creation(false));
        match ask(&self.bootstrap, &request, self.metadata_version, Duration::from_secs(5)) {
            Ok(ResponseKind::Metadata(answer)) => self.learn(&answer),
            other => println!("no metadata: {other:?}"),
        }
    }

    fn learn(&mut self, answer: &MetadataResponse) {
        for broker in &answer.brokers {
            self.brokers.insert(broker.node_id.0, format!("{}:{}", broker.host.as_str(), broker.port));
        }
        for topic in answer.topics.iter().filter(|topic| topic.error_code == 0) {
            let Some(name) = &topic.name else { continue };
            self.known.counts.insert(name.clone(), topic.partitions.len() as i32);
            if !topic.topic_id.is_nil() {
                self.known.ids.insert(topic.topic_id, name.clone());
                self.leaders.ids.insert(name.clone(), topic.topic_id);
            }
            for partition in topic.partitions.iter().filter(|partition| partition.leader_id.0 >= 0) {
                let leader = Leader { broker: partition.leader_id, epoch: partition.leader_epoch };
                self.leaders
                    .leaders
                    .insert(TopicPartition::new(name.clone(), partition.partition_index), leader);
            }
        }
    }
}

fn api_versions(address: &str) -> io::Result<Versions> {
    let request = RequestKind::ApiVersions(ApiVersionsRequest::default());
    match ask(address, &request, 0, Duration::from_secs(5))? {
        ResponseKind::ApiVersions(answer) => {
            let ranges = answer.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version));
            Ok(Versions::offered(ranges))
        }
        other => Err(io::Error::other(format!("{other:?}"))),
    }
}

/// One request on a connection of its own.
fn ask(address: &str, request: &RequestKind, version: i16, timeout: Duration) -> io::Result<ResponseKind> {
    let key = api_key(request)?;
    let header = RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(1)
        .with_client_id(Some(StrBytes::from_static_str("kafka_member")));
    let mut frame = BytesMut::zeroed(4);
    header.encode(&mut frame, key.request_header_version(version)).map_err(io::Error::other)?;
    request.encode(&mut frame, version).map_err(io::Error::other)?;
    let length = frame.len() as i32 - 4;
    frame[..4].copy_from_slice(&length.to_be_bytes());

    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(&frame)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?];
    stream.read_exact(&mut answer)?;
    let mut answer = Bytes::from(answer);
    ResponseHeader::decode(&mut answer, key.response_header_version(version)).map_err(io::Error::other)?;
    let decoded = ResponseKind::decode(key, &mut answer, version).map_err(io::Error::other)?;
    if answer.has_remaining() {
        return Err(io::Error::other("the answer is longer than it should be"));
    }
    Ok(decoded)
}

fn api_key(request: &RequestKind) -> io::Result<ApiKey> {
    Ok(match request {
        RequestKind::ApiVersions(_) => ApiKey::ApiVersions,
        RequestKind::Metadata(_) => ApiKey::Metadata,
        RequestKind::FindCoordinator(_) => ApiKey::FindCoordinator,
        RequestKind::JoinGroup(_) => ApiKey::JoinGroup,
        RequestKind::SyncGroup(_) => ApiKey::SyncGroup,
        RequestKind::Heartbeat(_) => ApiKey::Heartbeat,
        RequestKind::LeaveGroup(_) => ApiKey::LeaveGroup,
        RequestKind::OffsetCommit(_) => ApiKey::OffsetCommit,
        RequestKind::OffsetFetch(_) => ApiKey::OffsetFetch,
        RequestKind::ConsumerGroupHeartbeat(_) => ApiKey::ConsumerGroupHeartbeat,
        RequestKind::ListOffsets(_) => ApiKey::ListOffsets,
        RequestKind::Fetch(_) => ApiKey::Fetch,
        other => return Err(io::Error::other(format!("no request of a consumer: {other:?}"))),
    })
}
