//! Members of ours against coordinators of both protocols, simulated with their time: joins, leaves, lost
//! requests and answers, delays, and moves of the coordinator to another broker, which then
//! knows what was stored last. Whatever happens, two members never believe to hold the same
//! partition in the same generation, and no commit is taken of what another was given; once it
//! is quiet, every partition has one member.

mod consumer;

use bytes::Bytes;
use kafka_protocol::error::ResponseError as E;
use kafka_protocol::messages::find_coordinator_response::Coordinator as Place;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use wire::kafka::consumer::assign::{Assignor, Topics, decode_assignment};
use wire::kafka::consumer::membership::{
    Commit, GroupConfig, GroupEvent, GroupProtocol, Interest, KnownTopics, Membership,
};
use wire::kafka::consumer::{Lease, Outgoing, RequestId, To, TopicPartition, Unanswered, Versions, topic};

const PARTITIONS: i32 = 7;

/// Who sent a request: the member's number and the request's.
type Sender = (usize, RequestId);

#[derive(Debug, Clone, Default)]
struct Known {
    session_until: Option<Instant>,
    protocols: Vec<(StrBytes, Bytes)>,
    joining: Option<Sender>,
    syncing: Option<Sender>,
    assignment: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum Phase {
    #[default]
    Empty,
    Preparing(Instant),
    Completing,
    Stable,
}

/// A coordinator as the classic protocol describes it.
#[derive(Debug, Clone, Default)]
struct Coordinator {
    phase: Phase,
    generation: i32,
    leader: StrBytes,
    protocol: StrBytes,
    members: BTreeMap<StrBytes, Known>,
    /// Ids that were given out and have not joined yet.
    promised: BTreeSet<StrBytes>,
    next_id: u32,
}

#[derive(Debug)]
struct Client {
    member: Membership,
    /// The stays as the events tell them.
    held: BTreeMap<TopicPartition, Lease>,
    confirm_at: Option<Instant>,
    metadata_at: Option<Instant>,
    leaving: bool,
    ended: bool,
}

#[derive(Debug)]
enum Parcel {
    Request(Sender, Outgoing),
    Answer(Sender, Result<ResponseKind, Unanswered>),
}

#[derive(Debug)]
struct World {
    now: Instant,
    random: fastrand::Rng,
    parcels: Vec<(Instant, Parcel)>,
    clients: Vec<Client>,
    coordinator: Coordinator,
    group: consumer::Group,
    stored: Coordinator,
    broker: i32,
    loading_until: Instant,
    committed: BTreeMap<TopicPartition, i64>,
    assignors: Vec<Assignor>,
    quiet: bool,
    commits: usize,
    rebalances: usize,
}

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(20);

impl World {
    fn new(seed: u64, assignors: Vec<Assignor>) -> Self {
        let now = Instant::now();
        Self {
            now,
            random: fastrand::Rng::with_seed(seed),
            parcels: Vec::new(),
            clients: Vec::new(),
            coordinator: Coordinator::default(),
            group: consumer::Group::default(),
            stored: Coordinator::default(),
            broker: 1,
            loading_until: now,
            committed: BTreeMap::new(),
            assignors,
            quiet: false,
            commits: 0,
            rebalances: 0,
        }
    }

    fn add(&mut self) {
        let config = GroupConfig {
            protocol: if self.assignors.is_empty() {
                GroupProtocol::Consumer
            } else {
                GroupProtocol::Classic
            },
            assignors: self.assignors.clone(),
            session_timeout: SESSION,
            rebalance_timeout: REBALANCE,
            request_timeout: Duration::from_secs(5),
            ..GroupConfig::new("g")
        };
        let random = self.random.fork();
        let member = Membership::new(config, Interest::topics(["t"]), Versions::all(), random);
        let (held, confirm_at, metadata_at) = (BTreeMap::new(), None, None);
        self.clients.push(Client { member, held, confirm_at, metadata_at, leaving: false, ended: false });
    }

    fn soon(&mut self, most: u64) -> Instant {
        self.now + Duration::from_millis(self.random.u64(1..=most))
    }

    fn carry(&mut self, parcel: Parcel) {
        let lost = !self.quiet && self.random.u8(..) < 20;
        let (at, parcel) = match parcel {
            // The sender learns only after a while that something was lost on either way.
            Parcel::Request(sender, request) if lost => (
                self.now + request.timeout.min(Duration::from_secs(5)),
                Parcel::Answer(sender, Err(Unanswered)),
            ),
            Parcel::Answer(sender, _) if lost => (self.soon(5000), Parcel::Answer(sender, Err(Unanswered))),
            parcel => (self.soon(if self.quiet { 30 } else { 800 }), parcel),
        };
        self.parcels.push((at, parcel));
    }

    fn reply(&mut self, to: Sender, answer: ResponseKind) {
        self.carry(Parcel::Answer(to, Ok(answer)));
    }

    /// One millisecond or up to the next thing that happens.
    fn step(&mut self) {
        self.poll_clients();
        self.check();
        let deadlines = self.clients.iter().filter(|client| !client.ended);
        let deadlines =
            deadlines.flat_map(|client| [client.member.deadline(), client.confirm_at, client.metadata_at]);
        let parcels = self.parcels.iter().map(|(at, _)| Some(*at));
        let next = deadlines.chain(parcels).flatten().min().unwrap_or(self.now + Duration::from_millis(100));
        self.now = next.max(self.now + Duration::from_millis(1)).min(self.now + Duration::from_millis(100));
        self.coordinator_time();
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.parcels).into_iter().partition(|(at, _)| *at <= self.now);
        self.parcels = later;
        for (_, parcel) in due {
            match parcel {
                Parcel::Request(sender, request) => self.serve(sender, request),
                Parcel::Answer((number, id), answer) => {
                    self.clients[number].member.answer(id, answer, self.now)
                }
            }
        }
    }

    fn poll_clients(&mut self) {
        for number in 0..self.clients.len() {
            if self.clients[number].ended {
                continue;
            }
            if self.clients[number].metadata_at.take_if(|at| self.now >= *at).is_some() {
                let counts = Topics::from([(topic("t"), PARTITIONS)]);
                self.clients[number].member.metadata(
                    &KnownTopics { counts, ids: [(consumer::TOPIC_ID, topic("t"))].into() },
                    self.now,
                );
            }
            if self.clients[number].confirm_at.take_if(|at| self.now >= *at).is_some() {
                self.commit(number);
                self.clients[number].member.revoked();
            }
            if !self.quiet && self.random.u8(..) < 3 {
                self.commit(number);
            }
            while let Some(event) = self.clients[number].member.poll(self.now) {
                self.take(number, event);
            }
        }
    }

    fn commit(&mut self, number: usize) {
        let offset = self.random.i64(0..1_000_000);
        let held = &self.clients[number].held;
        let one = |(at, lease): (&TopicPartition, &Lease)| Commit {
            partition: at.clone(),
            lease: *lease,
            offset,
            leader_epoch: -1,
            metadata: StrBytes::default(),
        };
        let commits = held.iter().map(one).collect();
        self.clients[number].member.commit(commits);
    }

    fn take(&mut self, number: usize, event: GroupEvent) {
        let slow = self.soon(if self.quiet { 50 } else { 3000 });
        let client = &mut self.clients[number];
        match event {
            GroupEvent::Send(request) => self.carry(Parcel::Request((number, request.id), *request)),
            GroupEvent::NeedMetadata { .. } => client.metadata_at = Some(slow),
            GroupEvent::Assigned { partitions, lease, .. } => {
                client.held.extend(partitions.into_iter().map(|at| (at, lease)));
            }
            GroupEvent::Revoke { .. } => client.confirm_at = Some(slow),
            GroupEvent::Left => client.ended = true,
            GroupEvent::Failed(error) => panic!("member {number} gave up: {error}"),
            GroupEvent::Starts(starts) => {
                for start in starts {
                    assert_eq!(client.held.get(&start.partition), Some(&start.lease));
                }
            }
            _ => {}
        }
        // What was given back is known to the member only; the stays follow it.
        let client = &mut self.clients[number];
        let (_, held) = client.member.standing();
        client.held.retain(|at, _| held.contains(at));
    }

    /// Two members that are in the same generation hold nothing in common.
    fn check(&self) {
        let mut holders: BTreeMap<(i32, TopicPartition), usize> = BTreeMap::new();
        for (number, client) in self.clients.iter().enumerate().filter(|(_, client)| !client.ended) {
            let (Some(generation), held) = client.member.standing() else { continue };
            for at in held {
                let other = holders.insert((generation, at.clone()), number);
                assert_eq!(other, None, "{number} as well holds {at} in generation {generation}");
            }
        }
    }

    // The coordinator

    fn coordinator_time(&mut self) {
        self.expire_consumers();
        let now = self.now;
        let expired = |known: &Known| {
            known.joining.is_none()
                && known.syncing.is_none()
                && known.session_until.is_some_and(|until| now >= until)
        };
        let gone: Vec<StrBytes> = self
            .coordinator
            .members
            .iter()
            .filter(|(_, known)| expired(known))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.remove(&id);
        }
        if let Phase::Preparing(deadline) = self.coordinator.phase {
            let all = self.coordinator.members.values().all(|known| known.joining.is_some());
            if all || now >= deadline {
                self.complete_join();
            }
        }
    }

    fn remove(&mut self, id: &StrBytes) {
        self.coordinator.members.remove(id);
        self.prepare();
    }

    fn prepare(&mut self) {
        for known in self.coordinator.members.values_mut() {
            if let Some(waiting) = known.syncing.take() {
                let refused = SyncGroupResponse::default().with_error_code(E::RebalanceInProgress.code());
                self.parcels.push((self.now, Parcel::Answer(waiting, Ok(ResponseKind::SyncGroup(refused)))));
            }
            known.session_until = Some(self.now + SESSION);
        }
        if !matches!(self.coordinator.phase, Phase::Preparing(_)) {
            self.coordinator.phase = Phase::Preparing(self.now + REBALANCE);
        }
    }

    fn complete_join(&mut self) {
        let group = &mut self.coordinator;
        group.members.retain(|_, known| known.joining.is_some());
        group.generation += 1;
        let Some((leader, first)) = group.members.first_key_value() else {
            group.phase = Phase::Empty;
            return;
        };
        let common = |name: &StrBytes| {
            group.members.values().all(|known| known.protocols.iter().any(|(n, _)| n == name))
        };
        group.protocol =
            first.protocols.iter().map(|(name, _)| name.clone()).find(common).expect("a common assignor");
        group.leader = leader.clone();
        group.phase = Phase::Completing;
        for id in group.members.keys().cloned().collect::<Vec<_>>() {
            let Some(to) = self.coordinator.members.get_mut(&id).and_then(|known| known.joining.take())
            else {
                continue;
            };
            self.coordinator.members.get_mut(&id).expect("it").session_until = Some(self.now + SESSION);
            let answer = self.join_answer(&id);
            self.reply(to, answer);
        }
    }

    fn join_answer(&self, id: &StrBytes) -> ResponseKind {
        let group = &self.coordinator;
        let metadata = |known: &Known| {
            known
                .protocols
                .iter()
                .find(|(name, _)| *name == group.protocol)
                .map(|(_, bytes)| bytes.clone())
                .unwrap_or_default()
        };
        let list = |(id, known): (&StrBytes, &Known)| {
            JoinGroupResponseMember::default().with_member_id(id.clone()).with_metadata(metadata(known))
        };
        let members = if *id == group.leader { group.members.iter().map(list).collect() } else { Vec::new() };
        let answer = JoinGroupResponse::default()
            .with_generation_id(group.generation)
            .with_protocol_name(Some(group.protocol.clone()))
            .with_leader(group.leader.clone())
            .with_member_id(id.clone())
            .with_members(members);
        ResponseKind::JoinGroup(answer)
    }

    /// Another broker takes over what was stored with the last complete assignment.
    fn move_coordinator(&mut self) {
        self.broker = 3 - self.broker;
        let waiting =
            self.coordinator.members.values().flat_map(|known| [known.joining, known.syncing]).flatten();
        for to in waiting.collect::<Vec<_>>() {
            self.parcels.push((self.now, Parcel::Answer(to, Err(Unanswered))));
        }
        let next_id = self.coordinator.next_id;
        self.coordinator = Coordinator { next_id, ..self.stored.clone() };
        for known in self.coordinator.members.values_mut() {
            known.session_until = Some(self.now + SESSION);
        }
        self.loading_until = self.soon(2000);
    }

    fn serve(&mut self, from: Sender, request: Outgoing) {
        if let RequestKind::FindCoordinator(_) = request.request {
            let place = Place::default().with_node_id(self.broker.into());
            let answer = FindCoordinatorResponse::default().with_coordinators(vec![place]);
            return self.reply(from, ResponseKind::FindCoordinator(answer));
        }
        let refused = if request.to != To::Broker(self.broker.into()) {
            Some(E::NotCoordinator)
        } else {
            (self.now < self.loading_until).then_some(E::CoordinatorLoadInProgress)
        };
        match request.request {
            RequestKind::JoinGroup(join) => self.join(from, join, refused),
            RequestKind::SyncGroup(sync) => self.sync(from, sync, refused),
            RequestKind::Heartbeat(beat) => {
                let error =
                    refused.or_else(|| self.standing(&beat.member_id, beat.generation_id)).or_else(|| {
                        matches!(self.coordinator.phase, Phase::Preparing(_))
                            .then_some(E::RebalanceInProgress)
                    });
                if let Some(known) = self.coordinator.members.get_mut(&beat.member_id) {
                    known.session_until = Some(self.now + SESSION);
                }
                let answer = HeartbeatResponse::default().with_error_code(code(error));
                self.reply(from, ResponseKind::Heartbeat(answer));
            }
            RequestKind::LeaveGroup(leave) => {
                if refused.is_none() && self.coordinator.members.contains_key(&leave.members[0].member_id) {
                    self.remove(&leave.members[0].member_id);
                }
                let answer = LeaveGroupResponse::default().with_error_code(code(refused));
                self.reply(from, ResponseKind::LeaveGroup(answer));
            }
            RequestKind::ConsumerGroupHeartbeat(beat) => self.beat(from, beat, refused),
            RequestKind::OffsetCommit(commit) => self.offset_commit(from, commit, refused),
            RequestKind::OffsetFetch(fetch) => self.offset_fetch(from, fetch, refused),
            other => panic!("no coordinator answers {other:?}"),
        }
    }

    fn standing(&self, id: &StrBytes, generation: i32) -> Option<E> {
        if !self.coordinator.members.contains_key(id) {
            Some(E::UnknownMemberId)
        } else {
            (generation != self.coordinator.generation).then_some(E::IllegalGeneration)
        }
    }

    fn join(&mut self, from: Sender, join: JoinGroupRequest, refused: Option<E>) {
        let group = &mut self.coordinator;
        let refuse = |error: E, id: StrBytes| {
            ResponseKind::JoinGroup(
                JoinGroupResponse::default().with_error_code(error.code()).with_member_id(id),
            )
        };
        if let Some(error) = refused {
            return self.reply(from, refuse(error, join.member_id));
        }
        if join.member_id.is_empty() {
            group.next_id += 1;
            let id = StrBytes::from_string(format!("member-{}", group.next_id));
            group.promised.insert(id.clone());
            return self.reply(from, refuse(E::MemberIdRequired, id));
        }
        if !group.promised.remove(&join.member_id) && !group.members.contains_key(&join.member_id) {
            return self.reply(from, refuse(E::UnknownMemberId, join.member_id));
        }
        let protocols: Vec<_> =
            join.protocols.into_iter().map(|protocol| (protocol.name, protocol.metadata)).collect();
        let phase = group.phase;
        let is_leader = group.leader == join.member_id;
        let known = group.members.entry(join.member_id.clone()).or_default();
        let same = known.protocols == protocols;
        known.protocols = protocols;
        known.session_until = Some(self.now + SESSION);
        // Who asks again for what was answered gets the answer again.
        if same && (phase == Phase::Completing || (phase == Phase::Stable && !is_leader)) {
            let answer = self.join_answer(&join.member_id);
            return self.reply(from, answer);
        }
        known.joining = Some(from);
        self.prepare();
    }

    fn sync(&mut self, from: Sender, sync: SyncGroupRequest, refused: Option<E>) {
        let error = refused.or_else(|| self.standing(&sync.member_id, sync.generation_id)).or_else(|| {
            matches!(self.coordinator.phase, Phase::Preparing(_) | Phase::Empty)
                .then_some(E::RebalanceInProgress)
        });
        if let Some(error) = error {
            let answer = SyncGroupResponse::default().with_error_code(error.code());
            return self.reply(from, ResponseKind::SyncGroup(answer));
        }
        let group = &mut self.coordinator;
        if let Some(known) = group.members.get_mut(&sync.member_id) {
            known.syncing = Some(from);
        }
        if group.phase == Phase::Completing && group.leader == sync.member_id {
            for (id, known) in &mut group.members {
                let given = sync.assignments.iter().find(|given| given.member_id == *id);
                known.assignment = given.map(|given| given.assignment.clone()).unwrap_or_default();
            }
            group.phase = Phase::Stable;
            self.rebalances += 1;
            self.stored = group.clone();
            for known in self.stored.members.values_mut() {
                (known.joining, known.syncing) = (None, None);
            }
        }
        if self.coordinator.phase == Phase::Stable {
            for id in self.coordinator.members.keys().cloned().collect::<Vec<_>>() {
                let known = self.coordinator.members.get_mut(&id).expect("it");
                let Some(to) = known.syncing.take() else { continue };
                known.session_until = Some(self.now + SESSION);
                let answer = SyncGroupResponse::default().with_assignment(known.assignment.clone());
                self.reply(to, ResponseKind::SyncGroup(answer));
            }
        }
    }

    fn offset_commit(&mut self, from: Sender, commit: OffsetCommitRequest, refused: Option<E>) {
        let generation = commit.generation_id_or_member_epoch;
        let error = if self.assignors.is_empty() {
            refused.or_else(|| self.consumer_standing(&commit.member_id, generation))
        } else {
            refused
                .or_else(|| self.standing(&commit.member_id, generation))
                .or_else(|| (self.coordinator.phase == Phase::Completing).then_some(E::RebalanceInProgress))
        };
        let mut topics = Vec::new();
        for topic in &commit.topics {
            let mut rows = Vec::new();
            for row in &topic.partitions {
                let at = TopicPartition::new(topic.name.clone(), row.partition_index);
                if error.is_none() {
                    let doubled = self.consumer_has(&commit.member_id, at.partition);
                    assert!(!doubled, "{at} was given to another than commits it");
                    let others = self.coordinator.members.iter().filter(|(id, _)| **id != commit.member_id);
                    for (other, known) in others {
                        let given = decode_assignment(&known.assignment).expect("an assignment").partitions;
                        assert!(!given.contains(&at), "{at} was given to {other}, and another commits it");
                    }
                    self.committed.insert(at, row.committed_offset);
                    self.commits += 1;
                }
                let row = OffsetCommitResponsePartition::default().with_partition_index(row.partition_index);
                rows.push(row.with_error_code(code(error)));
            }
            topics.push(
                OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(rows),
            );
        }
        self.reply(from, ResponseKind::OffsetCommit(OffsetCommitResponse::default().with_topics(topics)));
    }

    fn offset_fetch(&mut self, from: Sender, fetch: OffsetFetchRequest, refused: Option<E>) {
        let mut group = OffsetFetchResponseGroup::default().with_group_id(fetch.groups[0].group_id.clone());
        group = group.with_error_code(code(refused));
        for topic in fetch.groups[0].topics.iter().flatten().filter(|_| refused.is_none()) {
            let row = |number: &i32| {
                let at = TopicPartition::new(topic.name.clone(), *number);
                let offset = self.committed.get(&at).copied().unwrap_or(-1);
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(*number)
                    .with_committed_offset(offset)
            };
            let rows = topic.partition_indexes.iter().map(row).collect();
            group.topics.push(
                OffsetFetchResponseTopics::default().with_name(topic.name.clone()).with_partitions(rows),
            );
        }
        self.reply(from, ResponseKind::OffsetFetch(OffsetFetchResponse::default().with_groups(vec![group])));
    }
}

fn code(error: Option<E>) -> i16 {
    error.map_or(0, |error| error.code())
}

/// Runs a stormy time and then a quiet one; how many commits were taken, and how often the
/// partitions were shared.
fn run(seed: u64, assignors: &[Assignor]) -> (usize, usize) {
    let mut world = World::new(seed, assignors.to_vec());
    for _ in 0..3 {
        world.add();
    }
    let storm = world.now + Duration::from_secs(300);
    while world.now < storm {
        world.step();
        match world.random.u32(..) % 2000 {
            0..=4 if world.clients.iter().filter(|client| !client.leaving).count() < 5 => world.add(),
            5..=7 => {
                let number = world.random.usize(..world.clients.len());
                let until = world.now + Duration::from_secs(5);
                world.clients[number].leaving = true;
                world.clients[number].member.leave(until);
            }
            // One that dies without a word.
            8 => {
                let number = world.random.usize(..world.clients.len());
                (world.clients[number].leaving, world.clients[number].ended) = (true, true);
            }
            9 | 10 => world.move_coordinator(),
            _ => {}
        }
    }
    world.quiet = true;
    world.add();
    let end = world.now + Duration::from_secs(120);
    while world.now < end {
        world.step();
    }
    let mut holders: BTreeMap<TopicPartition, usize> = BTreeMap::new();
    let mut generations = BTreeSet::new();
    for (number, client) in world.clients.iter().enumerate().filter(|(_, client)| !client.ended) {
        assert!(!client.leaving, "member {number} never left");
        let (generation, held) = client.member.standing();
        generations.insert(generation);
        assert_eq!(
            client.held.keys().cloned().collect::<BTreeSet<_>>(),
            held,
            "the events told something else"
        );
        for at in held {
            assert_eq!(holders.insert(at, number), None, "held twice in the end");
        }
    }
    assert_eq!(holders.len(), PARTITIONS as usize, "partitions are left without a member: {holders:?}");
    assert_eq!(generations.len(), 1, "members in different generations: {generations:?}");
    (world.commits, world.rebalances)
}

/// None: the coordinator shares, by KIP-848.
const ASSIGNORS: [&[Assignor]; 6] = [
    &[],
    &[Assignor::Range],
    &[Assignor::RoundRobin],
    &[Assignor::Sticky],
    &[Assignor::CooperativeSticky],
    &[Assignor::CooperativeSticky, Assignor::Range],
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]
    #[test]
    fn a_group_always_settles(seed: u64, which in 0..ASSIGNORS.len()) {
        run(seed, ASSIGNORS[which]);
    }
}

/// A simulation in which nothing happens would prove nothing.
#[test]
fn a_storm_is_a_storm() {
    for assignors in ASSIGNORS {
        let runs = (0..10).map(|seed| run(seed, assignors));
        let (commits, rebalances) = runs.fold((0, 0), |sum, run| (sum.0 + run.0, sum.1 + run.1));
        assert!(
            commits > 1000 && (rebalances > 50 || assignors.is_empty()),
            "{assignors:?}: {commits} commits, {rebalances} rebalances in 10 runs"
        );
    }
}
