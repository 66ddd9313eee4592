//! The thread that talks with the brokers: heartbeats, fetches and commits.
//!
//! It never waits for the pipeline, so that the member stays in its group however long nobody
//! takes what was read. All decisions are made by the machines of [`wire::kafka::consumer`];
//! here their requests are carried, and their events become changes of the [`Exchange`].

use super::exchange::{Exchange, Held, Place, Portion, State};
use crate::net::kafka::{Cluster, Happened, Links, Send, send_kind};
use crate::registry::Registry;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{MetadataRequest, ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;
use wire::kafka::Backoff;
use wire::kafka::connection::Response;
use wire::kafka::consumer::membership::{
    Commit, GroupConfig, GroupEvent, Interest, KnownTopics, Membership, Start,
};
use wire::kafka::consumer::positions::{FetchConfig, FetchEvent, Fetched, Leader, Leaders, Positions};
use wire::kafka::consumer::{Lease, Outgoing, RequestId, To, TopicPartition, Unanswered, Versions, topic};
use wire::kafka::metadata::{Address, Metadata, Options as MetadataOptions};
use xxhash_rust::xxh3::xxh3_128;

/// How long brokers are waited for to tell their versions, before it goes on without the others.
const MEET_WAIT: Duration = Duration::from_secs(5);
/// How long a question about the cluster may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);
/// Before a member that the group refused joins anew.
const REJOIN: Backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(60) };
/// The same trouble is told again after this time.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// How long the coordinator has to hear that we go; so much earlier partitions are given back.
const GOODBYE_WAIT: Duration = Duration::from_millis(700);
const LOOK_MAX: Duration = Duration::from_secs(60);
/// How often it is said how far we are behind.
const LAG_EVERY: Duration = Duration::from_secs(1);

/// What the driver must know.
pub(super) struct Options {
    /// The input's name, for the log.
    pub(super) input: String,
    pub(super) topics: BTreeSet<String>,
    pub(super) pattern: Option<Regex>,
    pub(super) refresh: Duration,
    pub(super) group: GroupConfig,
    pub(super) fetch: FetchConfig,
    /// The text of our own commits.
    pub(super) token: StrBytes,
    /// What the queue has is in it.
    pub(super) registry: Option<Arc<Registry>>,
    /// Bytes that may wait for the pipeline.
    pub(super) buffer_bytes_max: usize,
}

/// What a connection is for. A broker answers in order, so that a fetch that waits for records,
/// or a join that waits for other members, would hold up what is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lane {
    Ask,
    Group,
    Fetch,
}

/// A connection: its broker and what it is for.
type Key = (i32, Lane);

/// Which question was asked. Machines count their requests anew in each session.
#[derive(Debug, Clone, Copy)]
enum Tag {
    Metadata,
    Hello,
    Group(u64, RequestId),
    Fetch(u64, RequestId),
}

/// See the module.
pub(super) struct Driver {
    options: Options,
    exchange: Arc<Exchange>,
    links: Links<Tag, Key>,
    metadata: Metadata,
    known: KnownTopics,
    leaders: Leaders,
    /// Coordinators that metadata does not name.
    coordinators: BTreeMap<i32, Address>,
    /// What each broker understands, as far as it was asked.
    versions: Arc<Mutex<BTreeMap<i32, Versions>>>,
    stage: Stage,
    sessions: u64,
    refusals: u32,
    revoking: Option<(BTreeSet<TopicPartition>, Instant)>,
    leaving: bool,
    lag_told: Instant,
    /// Troubles that were told of, and when.
    told: BTreeMap<String, Instant>,
    chance: fastrand::Rng,
}

enum Stage {
    /// Nothing is known of the cluster.
    New,
    /// The brokers are asked for their versions: how many have not answered, and until when
    /// they are waited for.
    Meeting { unanswered: usize, until: Instant },
    /// A member.
    Member(Box<Member>),
    /// The group refused us; until when to wait.
    Refused(Instant),
    /// All is over.
    Ended,
}

struct Member {
    group: Membership,
    positions: Positions,
    interest: Interest,
}

impl Driver {
    pub(super) fn new(options: Options, cluster: Cluster, exchange: Arc<Exchange>) -> Self {
        let now = Instant::now();
        let about =
            MetadataOptions { age_max: options.refresh, create_topics: false, ..MetadataOptions::default() };
        let mut metadata = Metadata::new(about, cluster.servers.clone(), fastrand::u64(..), now);
        options.topics.iter().for_each(|topic| metadata.want(topic, now));
        if options.pattern.is_some() {
            metadata.want_all(now);
        }
        Self {
            links: Links::new(cluster).woken_by(exchange.driver.clone()),
            options,
            exchange,
            metadata,
            known: KnownTopics::default(),
            leaders: Leaders::default(),
            coordinators: BTreeMap::new(),
            versions: Arc::default(),
            stage: Stage::New,
            sessions: 0,
            refusals: 0,
            revoking: None,
            leaving: false,
            lag_told: Instant::now(),
            told: BTreeMap::new(),
            chance: fastrand::Rng::new(),
        }
    }

    /// Reads until it is asked to end.
    pub(super) fn run(mut self) {
        let mut happened = Vec::new();
        loop {
            self.look(Instant::now());
            self.act();
            if matches!(self.stage, Stage::Ended) {
                return;
            }
            let until = self.deadline(Instant::now());
            self.links.turn(until, &mut happened);
            let now = Instant::now();
            for one in happened.drain(..) {
                self.hear(one, now);
            }
        }
    }

    fn deadline(&self, now: Instant) -> Instant {
        let mut state = self.exchange.state();
        let commit = state.offsets.deadline(now);
        state.commit_planned = commit.is_some();
        let closing = state.closing;
        drop(state);
        let (group, positions) = match &self.stage {
            Stage::Member(member) => (member.group.deadline(), member.positions.deadline()),
            Stage::Meeting { until, .. } | Stage::Refused(until) => (Some(*until), None),
            Stage::New | Stage::Ended => (None, None),
        };
        let revoking = self.revoking.as_ref().map(|(_, until)| *until);
        let all = [group, positions, commit, self.metadata.deadline(), revoking, closing];
        all.into_iter().flatten().min().unwrap_or(now + LOOK_MAX).min(now + LOOK_MAX)
    }

    // What the pipeline did

    fn look(&mut self, now: Instant) {
        let exchange = self.exchange.clone();
        let mut state = exchange.state();
        if let Some(until) = state.closing {
            self.close(until, now);
        }
        self.read_again(&mut state);
        self.give_back(&mut state, now);
        self.give_credit(&mut state);
    }

    fn close(&mut self, until: Instant, now: Instant) {
        match &mut self.stage {
            Stage::Member(member) if now < until => {
                if !std::mem::replace(&mut self.leaving, true) {
                    // Who is not told waits for the end of our session before it reads on.
                    member.group.leave(until.checked_sub(GOODBYE_WAIT).unwrap_or(until));
                }
            }
            // The coordinator does not answer; it will miss the heartbeats.
            _ => self.stage = Stage::Ended,
        }
    }

    /// Goes back to what came back undone, or could not be read.
    fn read_again(&mut self, state: &mut State) {
        let Stage::Member(member) = &mut self.stage else { return };
        let wanted = state.held.iter_mut().filter_map(|(at, held)| Some((at.clone(), held.again.take()?)));
        let wanted: Vec<(TopicPartition, i64)> = wanted.collect();
        for (partition, offset) in wanted {
            state.throw_away(&partition);
            let Some(held) = state.held.get_mut(&partition) else { continue };
            state.offsets.withdraw(&partition, held.lease, offset);
            if held.reading {
                held.next = offset;
                member.positions.seek(&partition, offset);
            }
        }
    }

    /// Gives partitions back when nothing of them is under way any more, or the time is over.
    fn give_back(&mut self, state: &mut State, now: Instant) {
        let Stage::Member(member) = &mut self.stage else { return };
        let is_over = |(partitions, until): &mut (BTreeSet<TopicPartition>, Instant)| {
            now >= *until || partitions.iter().all(|at| state.offsets.is_drained(at))
        };
        let Some((partitions, _)) = self.revoking.take_if(is_over) else { return };
        state.draining = false;
        let dropped = partitions.iter().filter(|at| !state.offsets.is_drained(at)).count();
        if dropped > 0 {
            let input = &self.options.input;
            tracing::warn!(
                input,
                partitions = dropped,
                "partitions go to others before all that was read of them was delivered; it is read again"
            );
        }
        member.group.commit(state.offsets.take(&partitions));
        give_up(state, &partitions);
        member.group.revoked();
    }

    fn give_credit(&mut self, state: &mut State) {
        let Stage::Member(member) = &mut self.stage else { return };
        let each = i64::from(self.options.fetch.partition_bytes_max);
        let has_room = state.ready_bytes < self.options.buffer_bytes_max;
        let mut starving = false;
        for (partition, held) in &state.held {
            if !held.reading || !held.begun {
                continue;
            }
            let takes = has_room && (held.ready_bytes as i64) < each;
            starving |= !takes;
            member.positions.credit(partition, if takes { each } else { 0 });
        }
        state.starving = starving;
        let registry = self.options.registry.as_ref().filter(|_| self.lag_told.elapsed() >= LAG_EVERY);
        if let Some(registry) = registry {
            let lags = state.held.keys().filter_map(|partition| member.positions.lag(partition));
            registry.set_lag(&self.options.input, lags.sum::<i64>().unsigned_abs());
            self.lag_told = Instant::now();
        }
    }

    // What the machines want

    fn act(&mut self) {
        let now = Instant::now();
        if let Some((broker, request)) = self.metadata.poll(now) {
            self.ask(broker, request, Tag::Metadata, now);
        }
        match &self.stage {
            Stage::Meeting { unanswered, until } if *unanswered == 0 || now >= *until => self.join(),
            Stage::Refused(until) if now >= *until => self.join(),
            _ => {}
        }
        loop {
            let now = Instant::now();
            while let Some(event) = self.member().and_then(|member| member.group.poll(now)) {
                self.group_event(event, now);
            }
            while let Some(event) = self.member().and_then(|member| member.positions.poll(now)) {
                self.fetch_event(event, now);
            }
            let commits = self.exchange.state().offsets.due(now);
            match self.member() {
                Some(member) if !commits.is_empty() => member.group.commit(commits),
                _ => return,
            }
        }
    }

    fn member(&mut self) -> Option<&mut Member> {
        match &mut self.stage {
            Stage::Member(member) => Some(member),
            _ => None,
        }
    }

    /// Joins the group with what all brokers have in common.
    fn join(&mut self) {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let common = versions.values().cloned().reduce(|all, one| all.intersect(&one));
        drop(versions);
        let Some(common) = common else {
            self.stage = Stage::New;
            return;
        };
        let interest = self.interest();
        let random = self.chance.fork();
        self.sessions += 1;
        self.stage = Stage::Member(Box::new(Member {
            group: Membership::new(
                self.options.group.clone(),
                interest.clone(),
                common.clone(),
                self.chance.fork(),
            ),
            positions: Positions::new(self.options.fetch.clone(), common, random),
            interest,
        }));
    }

    /// Ends the membership and begins anew after a pause.
    fn begin_anew(&mut self, now: Instant) {
        self.refusals += 1;
        let mut state = self.exchange.state();
        let all: BTreeSet<TopicPartition> = state.held.keys().cloned().collect();
        give_up(&mut state, &all);
        state.draining = false;
        drop(state);
        self.revoking = None;
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.stage = Stage::Refused(now + REJOIN.after(self.refusals, &mut self.chance));
        self.greet(now);
    }

    fn group_event(&mut self, event: GroupEvent, now: Instant) {
        match event {
            GroupEvent::Send(request) => {
                let tag = Tag::Group(self.sessions, request.id);
                self.send(*request, Lane::Group, tag, now);
            }
            GroupEvent::Coordinator { broker, host, port } => {
                if let Ok(port) = u16::try_from(port) {
                    self.coordinators.insert(broker.0, Address { host: host.to_string(), port });
                }
            }
            GroupEvent::NeedMetadata { topics, .. } => self.need_metadata(&topics, now),
            GroupEvent::Assigned { partitions, lease, generation } => {
                let input = &self.options.input;
                tracing::info!(input, generation, partitions = %names(&partitions), "partitions came");
                self.refusals = 0;
                let mut state = self.exchange.state();
                for partition in &partitions {
                    state.held.insert(partition.clone(), Held::new(lease));
                }
                drop(state);
                if let Some(member) = self.member() {
                    member.positions.assign(&partitions, lease);
                }
            }
            GroupEvent::Starts(starts) => starts.into_iter().for_each(|start| self.start(start)),
            GroupEvent::StartRefused { partition, error } => {
                self.tell(format!("where to begin in {partition} cannot be asked for: {error:?}"), now);
            }
            GroupEvent::Revoke { partitions, until } => self.revoke(partitions, until),
            GroupEvent::Lost { partitions } => {
                let input = &self.options.input;
                tracing::warn!(
                    input,
                    partitions = %names(&partitions),
                    "partitions were lost; what was not committed is read again"
                );
                let mut state = self.exchange.state();
                give_up(&mut state, &partitions);
                state.draining = false;
                drop(state);
                self.revoking = None;
                if let Some(member) = self.member() {
                    member.positions.unassign(&partitions);
                }
            }
            GroupEvent::Committed(commit) => self.exchange.state().offsets.committed(&commit),
            GroupEvent::NotCommitted(commit, error) => {
                self.exchange.state().offsets.not_committed(&commit);
                let (input, offset) = (&self.options.input, commit.offset);
                tracing::warn!(input, partition = %commit.partition, offset, %error, "an offset was not committed");
            }
            GroupEvent::Left => self.stage = Stage::Ended,
            GroupEvent::Failed(error) => {
                let input = &self.options.input;
                tracing::error!(input, %error, "the group does not take us; it is tried again");
                self.begin_anew(now);
            }
        }
    }

    /// Begins where the group says, or behind what the queue has beyond that.
    fn start(&mut self, mut start: Start) {
        let Start { partition, lease, committed } = &mut start;
        let mut commit = None;
        match committed {
            Some((offset, epoch, by)) if *by == self.options.token => {
                let origin = self.origin(&*partition);
                let covered = self.options.registry.as_ref().and_then(|registry| {
                    let (to, generation) = registry.covered(origin, u64::try_from(*offset).ok()?)?;
                    Some((i64::try_from(to).ok()?, i32::try_from(generation).ok()?))
                });
                if let Some((to, generation)) = covered {
                    let (input, records) = (&self.options.input, to - *offset);
                    tracing::info!(input, %partition, records, "the queue has more than was committed");
                    // With the epoch the leader can tell whether its log still has what we read.
                    (*offset, *epoch) = (to, generation);
                    commit = Some(self.commit(partition, *lease, to, generation));
                }
            }
            Some(_) => {}
            None => {
                if let Some(held) = self.exchange.state().held.get_mut(&*partition) {
                    held.uncommitted = true;
                }
            }
        }
        let Some(member) = self.member() else { return };
        member.group.commit(commit.into_iter().collect());
        member.positions.start(&start);
    }

    fn commit(&self, partition: &TopicPartition, lease: Lease, offset: i64, leader_epoch: i32) -> Commit {
        let metadata = self.options.token.clone();
        Commit { partition: partition.clone(), lease, offset, leader_epoch, metadata }
    }

    fn revoke(&mut self, partitions: BTreeSet<TopicPartition>, until: Instant) {
        let input = &self.options.input;
        tracing::info!(input, partitions = %names(&partitions), "partitions are given back");
        if let Stage::Member(member) = &mut self.stage {
            member.positions.unassign(&partitions);
        }
        let exchange = self.exchange.clone();
        let mut state = exchange.state();
        for partition in &partitions {
            state.throw_away(partition);
            if let Some(held) = state.held.get_mut(partition) {
                held.reading = false;
            }
        }
        state.draining = true;
        self.revoking = Some((partitions, until));
        // What nobody has begun with goes at once.
        self.give_back(&mut state, Instant::now());
    }

    fn fetch_event(&mut self, event: FetchEvent, now: Instant) {
        let input = self.options.input.clone();
        match event {
            FetchEvent::Send(request) => {
                let tag = Tag::Fetch(self.sessions, request.id);
                let is_fetch = matches!(request.request, kafka_protocol::messages::RequestKind::Fetch(_));
                self.send(*request, if is_fetch { Lane::Fetch } else { Lane::Ask }, tag, now);
            }
            FetchEvent::NeedMetadata { topics } => self.need_metadata(&topics, now),
            FetchEvent::Moved { partition, lease, offset, epoch } => {
                self.moved(&partition, lease, offset, epoch);
            }
            FetchEvent::Records(fetched) => self.fetched(fetched),
            FetchEvent::OutOfRange(lost) => {
                let (partition, wanted) = (&lost.partition, lost.wanted);
                let records = lost.lost().end - lost.lost().start;
                tracing::error!(
                    input, %partition, wanted, earliest = lost.earliest, latest = lost.latest, records,
                    "records are gone from the log before they were read"
                );
            }
            FetchEvent::Truncated { partition, position, at, .. } => {
                tracing::error!(
                    input, %partition, position, at,
                    "the log was cut by an election: records that were read are no longer in it"
                );
            }
            FetchEvent::NoOffset { partition, .. } => {
                tracing::error!(
                    input, %partition,
                    "no offset is committed and auto_offset_reset is none: the partition is not read"
                );
            }
            FetchEvent::Unreadable { partition, offset, bytes, .. } => {
                self.tell(format!("{partition}: {bytes} bytes at offset {offset} are no batch"), now);
            }
            FetchEvent::Refused { partition, error, .. } => {
                self.tell(format!("{partition} cannot be read: {error:?}"), now);
            }
        }
    }

    /// Reading begins, or goes on elsewhere than behind the last portion.
    fn moved(&mut self, partition: &TopicPartition, lease: Lease, offset: i64, epoch: i32) {
        let exchange = self.exchange.clone();
        let mut state = exchange.state();
        let State { held, offsets, .. } = &mut *state;
        let Some(own) = held.get_mut(partition).filter(|held| held.lease == lease) else { return };
        if !std::mem::replace(&mut own.begun, true) {
            own.next = offset;
            offsets.begin(partition.clone(), lease, offset, epoch);
            if std::mem::take(&mut own.uncommitted) {
                // Else a crash before the first commit would begin by the policy once more, and
                // with "latest" what was written meanwhile would be nobody's.
                let commit = self.commit(partition, lease, offset, epoch);
                if let Some(member) = self.member() {
                    member.group.commit(vec![commit]);
                }
            }
            return self.give_credit(&mut state);
        }
        if offset == own.next {
            return;
        }
        if offset > own.next {
            // What lies in between is gone. The position follows behind what still waits.
            let at = Place { partition: partition.clone(), lease, turn: own.turn };
            state.put(Portion {
                at,
                origin: [0; 16],
                from: offset,
                next: offset,
                records: bytes::Bytes::new(),
                aborted: Vec::new(),
            });
            self.exchange.input.wake();
            return;
        }
        // The log was cut: what waits is no longer in it.
        let delivered = offsets.position(partition).unwrap_or(offset);
        state.throw_away(partition);
        let State { held, offsets, .. } = &mut *state;
        let Some(own) = held.get_mut(partition) else { return };
        own.next = offset.min(delivered);
        if offset < delivered {
            own.cut = own.turn;
            offsets.jump(partition, lease, offset);
        } else if let Stage::Member(member) = &mut self.stage {
            member.positions.seek(partition, delivered);
        }
    }

    fn fetched(&mut self, fetched: Fetched) {
        let Fetched { partition, lease, from, next, records, aborted, .. } = fetched;
        let origin = self.origin(&partition);
        let mut state = self.exchange.state();
        let Some(held) = state.held.get(&partition).filter(|held| held.lease == lease && held.reading) else {
            return;
        };
        let at = Place { partition, lease, turn: held.turn };
        state.put(Portion { at, origin, from, next, records, aborted });
        drop(state);
        self.exchange.input.wake();
    }

    /// The same on every member and after every restart, and another for a topic that was
    /// deleted and created again. Brokers before 2.8 have no ids of topics; there the name counts.
    fn origin(&self, at: &TopicPartition) -> [u8; 16] {
        let cluster = self.metadata.cluster_id().unwrap_or_default();
        let id = self.leaders.ids.get(&at.topic).copied();
        origin_of(cluster, id, at)
    }

    // Metadata

    fn need_metadata(&mut self, topics: &BTreeSet<TopicName>, now: Instant) {
        topics.iter().for_each(|topic| self.metadata.want(topic.as_str(), now));
        self.metadata.stale(now);
    }

    fn learned(&mut self, now: Instant) {
        self.known.ids.clear();
        let mut leaders = Leaders::default();
        for (name, about) in self.metadata.topics() {
            let name = topic(name);
            match about.error {
                None if !about.partitions.is_empty() => {
                    self.known.counts.insert(name.clone(), about.partitions.len() as i32);
                }
                Some(ResponseError::UnknownTopicOrPartition | ResponseError::TopicAuthorizationFailed) => {
                    self.known.counts.remove(&name);
                }
                // It says nothing for now; a topic does not go because a broker is in trouble.
                _ => {}
            }
            let id = Uuid::from_bytes(about.id);
            if !id.is_nil() {
                self.known.ids.insert(id, name.clone());
                leaders.ids.insert(name.clone(), id);
            }
            for (number, partition) in about.partitions.iter().enumerate() {
                if let Some(broker) = partition.leader {
                    let leader = Leader { broker: broker.into(), epoch: partition.leader_epoch };
                    leaders.leaders.insert(TopicPartition::new(name.clone(), number as i32), leader);
                }
            }
        }
        let metadata = &self.metadata;
        self.known.counts.retain(|name, _| metadata.topic(name.as_str()).is_some());
        self.leaders = leaders;
        let interest = self.interest();
        let Stage::Member(member) = &mut self.stage else {
            if matches!(self.stage, Stage::New) {
                self.greet(now);
            }
            return;
        };
        if member.interest != interest {
            member.group.subscribe(interest.clone());
            member.interest = interest;
        }
        member.group.metadata(&self.known, now);
        member.positions.leaders(&self.leaders, now);
    }

    /// The topics to read, those that the pattern matches now included.
    fn interest(&self) -> Interest {
        let Options { topics, pattern, .. } = &self.options;
        let matching = self.metadata.topics().filter(|(name, about)| {
            let matches = pattern.as_ref().is_some_and(|pattern| pattern.is_match(name));
            matches && !about.internal && about.error.is_none()
        });
        let names = matching.map(|(name, _)| name).chain(topics.iter().map(String::as_str));
        Interest::topics(names)
    }

    /// Asks every broker what it understands.
    fn greet(&mut self, now: Instant) {
        let brokers: Vec<i32> = self.metadata.brokers().keys().copied().collect();
        if let Stage::New = self.stage {
            self.stage = Stage::Meeting { unanswered: brokers.len(), until: now + MEET_WAIT };
        }
        for broker in brokers {
            let nothing = MetadataRequest::default().with_topics(Some(Vec::new()));
            self.ask(broker, nothing.with_allow_auto_topic_creation(false), Tag::Hello, now);
        }
    }

    // Requests and answers

    fn ask(&mut self, broker: i32, request: MetadataRequest, tag: Tag, now: Instant) {
        let Some(address) = self.metadata.address(broker).cloned() else {
            return self.unanswered(tag, now);
        };
        let versions = self.versions.clone();
        let deadline = now + ASK_TIMEOUT;
        let send: Send = Box::new(move |link| {
            // A server of the beginning is one of the brokers that are asked under their own number.
            if broker >= 0 {
                let told = Versions::told(link.versions());
                versions.lock().unwrap_or_else(PoisonError::into_inner).insert(broker, told);
            }
            link.send_by(&request, i16::MAX, deadline)
        });
        self.links.send((broker, Lane::Ask), &address, send, tag, now);
    }

    fn send(&mut self, outgoing: Outgoing, lane: Lane, tag: Tag, now: Instant) {
        let Outgoing { to, version, request, timeout, .. } = outgoing;
        let (broker, lane) = match to {
            To::Any => (self.metadata.any_broker(), Lane::Ask),
            To::Broker(broker) => (Some(broker.0), lane),
        };
        let address = |broker| self.metadata.address(broker).or_else(|| self.coordinators.get(&broker));
        let Some((broker, address)) = broker.and_then(|broker| Some((broker, address(broker)?.clone())))
        else {
            return self.unanswered(tag, now);
        };
        let deadline = now + timeout;
        let send: Send = Box::new(move |link| send_kind(link, &request, version, deadline));
        self.links.send((broker, lane), &address, send, tag, now);
    }

    fn hear(&mut self, happened: Happened<Tag, Key>, now: Instant) {
        match happened {
            Happened::Answered(tag, response) => self.answered(tag, response, now),
            Happened::Written(tag) => self.unanswered(tag, now),
            Happened::Unsent(tag, error) => {
                self.tell(error, now);
                match tag {
                    // A broker is older than those that were asked in the beginning.
                    Tag::Group(session, _) | Tag::Fetch(session, _) if session == self.sessions => {
                        self.begin_anew(now);
                    }
                    tag => self.unanswered(tag, now),
                }
            }
            Happened::Lost { error, tags, .. } => {
                // Brokers close connections that nobody uses.
                if !tags.is_empty() {
                    self.tell(error, now);
                }
                tags.into_iter().for_each(|tag| self.unanswered(tag, now));
            }
        }
    }

    fn answered(&mut self, tag: Tag, response: Response, now: Instant) {
        match tag {
            Tag::Metadata => match response.decode::<MetadataRequest>() {
                Ok(answer) => {
                    self.metadata.answered(&answer, now);
                    self.learned(now);
                }
                Err(error) => {
                    self.tell(error.to_string(), now);
                    self.metadata.failed(now);
                }
            },
            Tag::Hello => self.met(),
            Tag::Group(..) | Tag::Fetch(..) => match response.kind() {
                Ok(answer) => self.brought(tag, Ok(answer), now),
                Err(error) => {
                    self.tell(error.to_string(), now);
                    self.brought(tag, Err(Unanswered), now);
                }
            },
        }
    }

    fn unanswered(&mut self, tag: Tag, now: Instant) {
        match tag {
            Tag::Metadata => self.metadata.failed(now),
            Tag::Hello => self.met(),
            Tag::Group(..) | Tag::Fetch(..) => {
                // Whoever was asked may have gone.
                self.metadata.stale(now);
                self.brought(tag, Err(Unanswered), now);
            }
        }
    }

    fn met(&mut self) {
        if let Stage::Meeting { unanswered, .. } = &mut self.stage {
            *unanswered = unanswered.saturating_sub(1);
        }
    }

    fn brought(&mut self, tag: Tag, answer: Result<ResponseKind, Unanswered>, now: Instant) {
        let sessions = self.sessions;
        let Some(member) = self.member() else { return };
        match tag {
            Tag::Group(session, id) if session == sessions => member.group.answer(id, answer, now),
            Tag::Fetch(session, id) if session == sessions => member.positions.answer(id, answer, now),
            _ => {}
        }
    }

    /// Tells of trouble that may pass, now and then.
    fn tell(&mut self, trouble: String, now: Instant) {
        self.told.retain(|_, at| now < *at + TELL_AGAIN);
        if self.told.contains_key(&trouble) {
            return;
        }
        let input = &self.options.input;
        tracing::warn!(input, trouble, "Kafka cannot be read; it is tried again");
        self.told.insert(trouble, now);
    }
}

impl Drop for Driver {
    /// Also when it panics: whoever waits for it must not wait for ever.
    fn drop(&mut self) {
        self.exchange.state().ended = true;
        self.exchange.input.wake();
    }
}

fn give_up(state: &mut State, partitions: &BTreeSet<TopicPartition>) {
    for partition in partitions {
        state.throw_away(partition);
        state.held.remove(partition);
        state.offsets.end(partition);
    }
}

fn names(partitions: &BTreeSet<TopicPartition>) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = partitions.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = partitions.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more", shown.join(" ")) } else { shown.join(" ") }
}

fn origin_of(cluster: &str, topic_id: Option<Uuid>, at: &TopicPartition) -> [u8; 16] {
    let topic = topic_id.map_or_else(|| at.topic.to_string(), |id| id.to_string());
    xxh3_128(format!("kafka\0{cluster}\0{topic}\0{}", at.partition).as_bytes()).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_the_same_only_for_the_same_partition_of_the_same_topic() {
        let at = |name, number| TopicPartition::new(topic(name), number);
        let (id, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let origins = [
            origin_of("c", Some(id), &at("t", 0)),
            origin_of("c", Some(id), &at("t", 1)),
            origin_of("c", Some(other), &at("t", 0)),
            origin_of("d", Some(id), &at("t", 0)),
            origin_of("c", None, &at("t", 0)),
            origin_of("c", None, &at("u", 0)),
        ];
        assert_eq!(origins.iter().collect::<BTreeSet<_>>().len(), origins.len());
        // A number that is kept in stores and queues must not change with the program.
        assert_eq!(u128::from_be_bytes(origins[0]), 2_532_272_433_413_773_120_584_506_234_283_647_107);
    }
}
