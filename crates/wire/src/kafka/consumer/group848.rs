//! The group protocol of KIP-848: one request, ConsumerGroupHeartbeat, with which a member says
//! what it wants and holds, and hears what it is to hold.
//!
//! The coordinator shares the partitions and gives a partition to a member only when nobody
//! else holds it any more. A member reconciles: first it gives back what it is not to hold,
//! then it takes what is new, then it reports what it holds now. Only what has changed since
//! the last heartbeat is sent; after a heartbeat without an answer everything is sent again.
//!
//! The member epoch grows with each reconciliation; commits carry it. A fenced member gives up
//! everything and joins again with epoch 0.

use super::coordinator::{Coordinator, Identity};
use super::membership::{Commit, GroupConfig, GroupEvent, Interest, KnownTopics};
use super::{Ids, RequestId, TopicPartition, Unanswered, Versions, error, millis};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{
    ApiKey, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, RequestKind,
    ResponseKind, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Epochs with a meaning of their own.
const JOIN: i32 = 0;
const LEAVE: i32 = -1;
const LEAVE_STATIC: i32 = -2;

/// A partition as the coordinator names it.
type IdPartition = (Uuid, i32);

/// A member that speaks KIP-848.
#[derive(Debug)]
pub struct Group848 {
    coordinator: Coordinator,
    interest: Interest,
    state: State,
    member_id: StrBytes,
    epoch: i32,
    has_joined: bool,
    held: BTreeMap<IdPartition, TopicPartition>,
    /// What the coordinator wants this member to hold; none: nothing new.
    target: Option<BTreeSet<IdPartition>>,
    /// What the coordinator wanted last.
    wanted: BTreeSet<IdPartition>,
    /// Whether it waits for a word about what is held: also when nothing has changed here, for
    /// it may have given something and taken it back before it was known.
    owes_report: bool,
    /// Whether the heartbeat under way says what is held.
    is_reporting: bool,
    names: BTreeMap<Uuid, TopicName>,
    asked_ids: BTreeSet<Uuid>,
    revoking: Option<Revocation>,
    heartbeat: Option<RequestId>,
    heartbeat_at: Option<Instant>,
    /// What the coordinator knows of this member; none: everything is to be sent.
    told: Option<Told>,
    /// What the heartbeat under way tells, if it is taken.
    telling: Option<Told>,
}

#[derive(Debug, Clone, PartialEq)]
struct Told {
    interest: Interest,
    held: BTreeSet<IdPartition>,
}

#[derive(Debug, PartialEq)]
enum State {
    Member,
    Leaving,
    Ended,
}

#[derive(Debug)]
struct Revocation {
    partitions: BTreeSet<IdPartition>,
    until: Instant,
    confirmed: bool,
    leave: bool,
}

impl Group848 {
    pub(super) fn new(
        config: GroupConfig,
        interest: Interest,
        versions: Versions,
        mut random: fastrand::Rng,
    ) -> Self {
        let id = uuid::Builder::from_random_bytes(random.u128(..).to_be_bytes()).into_uuid();
        Self {
            coordinator: Coordinator::new(config, versions, random, true),
            interest,
            state: State::Member,
            member_id: StrBytes::from_string(id.to_string()),
            epoch: JOIN,
            has_joined: false,
            held: BTreeMap::new(),
            target: None,
            wanted: BTreeSet::new(),
            owes_report: false,
            is_reporting: false,
            names: BTreeMap::new(),
            asked_ids: BTreeSet::new(),
            revoking: None,
            heartbeat: None,
            heartbeat_at: None,
            told: None,
            telling: None,
        }
    }

    /// Whether the coordinator ever took this member.
    pub fn has_joined(&self) -> bool {
        self.has_joined
    }

    pub(super) fn request_ids(&mut self) -> Ids {
        std::mem::take(&mut self.coordinator.ids)
    }

    /// See [`Membership::poll`](super::membership::Membership::poll).
    pub fn poll(&mut self, now: Instant) -> Option<GroupEvent> {
        if self.state != State::Ended && self.coordinator.events.is_empty() {
            self.tick(now);
        }
        let event = self.coordinator.events.pop_front();
        if matches!(event, Some(GroupEvent::Failed(_))) {
            self.state = State::Ended;
        }
        event
    }

    /// See [`Membership::deadline`](super::membership::Membership::deadline).
    pub fn deadline(&self) -> Option<Instant> {
        if self.state == State::Ended {
            return None;
        }
        let beats = self.heartbeat.is_none() && self.coordinator.is_known();
        let heartbeat = if beats { self.heartbeat_at } else { None };
        let revoking = self.revoking.as_ref().map(|revocation| revocation.until);
        [heartbeat, revoking, self.coordinator.deadline()].into_iter().flatten().min()
    }

    /// See [`Membership::subscribe`](super::membership::Membership::subscribe).
    pub fn subscribe(&mut self, interest: Interest) {
        self.interest = interest;
    }

    /// See [`Membership::revoked`](super::membership::Membership::revoked).
    pub fn revoked(&mut self) {
        if let Some(revocation) = &mut self.revoking {
            revocation.confirmed = true;
        }
    }

    /// See [`Membership::commit`](super::membership::Membership::commit).
    pub fn commit(&mut self, commits: Vec<Commit>) {
        self.coordinator.commit(commits);
    }

    /// See [`Membership::leave`](super::membership::Membership::leave).
    pub fn leave(&mut self, until: Instant) {
        if self.state == State::Member && !self.revoking.as_ref().is_some_and(|revocation| revocation.leave) {
            self.target = None;
            self.revoke(self.held.keys().copied().collect(), until, true);
        }
    }

    /// See [`Membership::metadata`](super::membership::Membership::metadata).
    pub fn metadata(&mut self, topics: &KnownTopics, _now: Instant) {
        self.names.extend(topics.ids.iter().map(|(id, name)| (*id, name.clone())));
        self.asked_ids.clear();
    }

    /// See [`Membership::answer`](super::membership::Membership::answer).
    pub fn answer(&mut self, id: RequestId, answer: Result<ResponseKind, Unanswered>, now: Instant) {
        if self.state == State::Ended {
            return;
        }
        let identity = self.identity();
        if self.coordinator.has_asked(id) {
            match self.coordinator.answer(id, answer, identity.as_ref(), now) {
                // The newer epoch comes with the next heartbeat.
                Some(ResponseError::StaleMemberEpoch) => self.heartbeat_at = Some(now),
                Some(error) => self.refused(error, "", now),
                None => {}
            }
            return;
        }
        if self.heartbeat.take_if(|heartbeat| *heartbeat == id).is_none() {
            return;
        }
        let telling = self.telling.take();
        match answer {
            _ if self.state == State::Leaving => self.left(),
            Ok(ResponseKind::ConsumerGroupHeartbeat(answer)) => match error(answer.error_code) {
                None => {
                    self.told = telling;
                    self.beaten(answer, now);
                }
                Some(error) => {
                    let message = answer.error_message.unwrap_or_default();
                    self.refused(error, &message, now);
                }
            },
            _ => {
                self.told = None;
                self.heartbeat_at = Some(self.coordinator.pause(now));
                self.coordinator.forget(now);
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        let identity = self.identity();
        self.coordinator.tick(identity.as_ref(), now);
        let over = |revocation: &Revocation| {
            now >= revocation.until || (revocation.confirmed && self.coordinator.has_committed())
        };
        if self.revoking.as_ref().is_some_and(over) {
            self.end_revocation();
        }
        if self.state == State::Member && self.revoking.is_none() {
            self.reconcile(now);
        }
        if self.state == State::Member && self.heartbeat.is_none() {
            let due = self.heartbeat_at.is_none_or(|at| now >= at);
            if due || self.has_news() {
                self.beat(now);
            }
        }
    }

    fn identity(&self) -> Option<Identity> {
        let joined = self.state == State::Member && self.epoch > JOIN;
        joined.then(|| Identity { member_id: self.member_id.clone(), generation: self.epoch })
    }

    pub(super) fn standing(&self) -> (Option<i32>, BTreeSet<TopicPartition>) {
        (self.identity().map(|identity| identity.generation), self.held.values().cloned().collect())
    }

    // Reconciling

    fn reconcile(&mut self, now: Instant) {
        let Some(target) = &self.target else { return };
        let going: BTreeSet<IdPartition> =
            self.held.keys().filter(|at| !target.contains(at)).copied().collect();
        if !going.is_empty() {
            return self.revoke(going, now + self.coordinator.config.rebalance_timeout, false);
        }
        // The coordinator may give on what a report under way does not name, so nothing is taken
        // before its answer.
        if self.heartbeat.is_some() && self.is_reporting {
            return;
        }
        let mut coming = BTreeSet::new();
        let mut nameless = BTreeSet::new();
        for at in target.iter().filter(|at| !self.held.contains_key(at)) {
            match self.names.get(&at.0) {
                Some(name) => {
                    coming.insert((*at, TopicPartition::new(name.clone(), at.1)));
                }
                None => {
                    nameless.insert(at.0);
                }
            }
        }
        if nameless.is_empty() {
            self.target = None;
        } else if !nameless.is_subset(&self.asked_ids) {
            self.asked_ids = nameless.clone();
            self.coordinator
                .events
                .push_back(GroupEvent::NeedMetadata { topics: BTreeSet::new(), ids: nameless });
        }
        self.held.extend(coming.iter().cloned());
        self.coordinator.hold(coming.into_iter().map(|(_, at)| at).collect(), self.epoch);
    }

    fn revoke(&mut self, going: BTreeSet<IdPartition>, until: Instant, leave: bool) {
        let partitions: BTreeSet<TopicPartition> =
            going.iter().filter_map(|at| self.held.get(at)).cloned().collect();
        let confirmed = partitions.is_empty();
        if !confirmed {
            self.coordinator.events.push_back(GroupEvent::Revoke { partitions, until });
        }
        self.revoking = Some(Revocation { partitions: going, until, confirmed, leave });
    }

    fn end_revocation(&mut self) {
        let Some(done) = self.revoking.take() else { return };
        let gone = done.partitions.iter().filter_map(|at| self.held.remove(at)).collect();
        self.coordinator.release(&gone);
        if !done.confirmed && !gone.is_empty() {
            self.coordinator.events.push_back(GroupEvent::Lost { partitions: gone });
        }
        if done.leave {
            self.send_leave();
        }
    }

    fn lose(&mut self) {
        self.revoking = None;
        self.target = None;
        self.wanted.clear();
        self.owes_report = false;
        let gone: BTreeSet<TopicPartition> = std::mem::take(&mut self.held).into_values().collect();
        self.coordinator.release(&gone);
        if !gone.is_empty() {
            self.coordinator.events.push_back(GroupEvent::Lost { partitions: gone });
        }
    }

    // Heartbeats

    /// Whether the coordinator should hear of something before the next heartbeat is due.
    fn has_news(&self) -> bool {
        let Some(told) = &self.told else { return false };
        let holds_other = self.revoking.is_none() && !told.held.iter().eq(self.held.keys());
        self.epoch > JOIN && (told.interest != self.interest || holds_other || self.is_to_report())
    }

    /// Whether the coordinator waits for a report that can be made now.
    fn is_to_report(&self) -> bool {
        self.owes_report && self.revoking.is_none() && self.target.is_none()
    }

    fn beat(&mut self, now: Instant) {
        let telling = Told { interest: self.interest.clone(), held: self.held.keys().copied().collect() };
        let mut request = self.request(self.epoch);
        let told = self.told.take().filter(|_| self.epoch > JOIN);
        let version = self.coordinator.versions.of(ApiKey::ConsumerGroupHeartbeat);
        let config = &self.coordinator.config;
        if told.is_none() {
            request = request
                .with_rack_id(config.rack.clone())
                .with_rebalance_timeout_ms(millis(config.rebalance_timeout))
                .with_server_assignor(config.server_assignor.clone());
        }
        if told.as_ref().map(|told| &told.interest) != Some(&self.interest) {
            let had_pattern = told.as_ref().is_some_and(|told| told.interest.pattern.is_some());
            match &self.interest.pattern {
                Some(pattern) if version >= 1 => {
                    request = request.with_subscribed_topic_regex(Some(pattern.clone()))
                }
                _ => {
                    request = request
                        .with_subscribed_topic_names(Some(self.interest.topics.iter().cloned().collect()));
                    if had_pattern && version >= 1 {
                        request = request.with_subscribed_topic_regex(Some(StrBytes::default()));
                    }
                }
            }
        }
        let reports = self.is_to_report();
        let says_what_is_held = reports || told.as_ref().map(|told| &told.held) != Some(&telling.held);
        if says_what_is_held {
            request = request.with_topic_partitions(Some(listed(&telling.held)));
        }
        let timeout = config.request_timeout;
        let request = RequestKind::ConsumerGroupHeartbeat(request);
        let Some(id) = self.coordinator.send(ApiKey::ConsumerGroupHeartbeat, request, timeout) else {
            return;
        };
        self.owes_report &= !reports;
        self.is_reporting = says_what_is_held;
        self.heartbeat = Some(id);
        // Until the answer brings the coordinator's own interval.
        self.heartbeat_at = Some(now + self.coordinator.config.heartbeat_interval);
        self.telling = Some(telling);
    }

    fn request(&self, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        let config = &self.coordinator.config;
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(config.group_id.clone()))
            .with_member_id(self.member_id.clone())
            .with_member_epoch(epoch)
            .with_instance_id(config.instance_id.clone())
            .with_rebalance_timeout_ms(-1)
    }

    fn beaten(&mut self, answer: ConsumerGroupHeartbeatResponse, now: Instant) {
        self.coordinator.works();
        if let Some(id) = answer.member_id.filter(|id| !id.is_empty()) {
            self.member_id = id;
        }
        self.epoch = answer.member_epoch;
        self.has_joined = true;
        let interval = u64::try_from(answer.heartbeat_interval_ms).unwrap_or(0).max(1);
        self.heartbeat_at = Some(now + Duration::from_millis(interval));
        let leaving = self.revoking.as_ref().is_some_and(|revocation| revocation.leave);
        if let Some(assignment) = answer.assignment
            && !leaving
        {
            let topics = assignment.topic_partitions.into_iter();
            let target =
                topics.flat_map(|topic| topic.partitions.into_iter().map(move |n| (topic.topic_id, n)));
            let target: BTreeSet<IdPartition> = target.collect();
            self.owes_report |= target != self.wanted;
            self.wanted = target.clone();
            self.target = Some(target);
        }
    }

    fn refused(&mut self, error: ResponseError, message: &str, now: Instant) {
        use ResponseError as E;
        self.told = None;
        match error {
            E::NotCoordinator | E::CoordinatorNotAvailable => {
                self.coordinator.forget(now);
                self.heartbeat_at = Some(now);
            }
            E::UnknownMemberId | E::FencedMemberEpoch => {
                let leaving = self.revoking.as_ref().is_some_and(|revocation| revocation.leave);
                self.epoch = JOIN;
                self.lose();
                self.heartbeat_at = Some(self.coordinator.pause(now));
                if leaving {
                    self.left();
                }
            }
            // Rights may come back; nothing else is wrong with the member.
            E::TopicAuthorizationFailed => self.heartbeat_at = Some(self.coordinator.pause(now)),
            error if error.is_retriable() => self.heartbeat_at = Some(self.coordinator.pause(now)),
            error => {
                self.lose();
                self.coordinator.fail(error, message);
            }
        }
    }

    fn send_leave(&mut self) {
        if self.epoch == JOIN {
            return self.left();
        }
        let epoch = if self.coordinator.config.instance_id.is_some() { LEAVE_STATIC } else { LEAVE };
        let request = RequestKind::ConsumerGroupHeartbeat(self.request(epoch));
        let timeout = self.coordinator.config.request_timeout;
        match self.coordinator.send(ApiKey::ConsumerGroupHeartbeat, request, timeout) {
            Some(id) => {
                self.heartbeat = Some(id);
                self.state = State::Leaving;
            }
            None => self.left(),
        }
    }

    fn left(&mut self) {
        self.state = State::Ended;
        self.coordinator.events.push_back(GroupEvent::Left);
    }
}

fn listed(partitions: &BTreeSet<IdPartition>) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (id, number) in partitions {
        topics.entry(*id).or_default().push(*number);
    }
    let one = |(id, numbers)| TopicPartitions::default().with_topic_id(id).with_partitions(numbers);
    topics.into_iter().map(one).collect()
}
