//! The classic group protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup (Kafka protocol
//! guide; KIP-345 static members, KIP-394 member id required, KIP-429 cooperative rebalances).
//!
//! ```text
//!            ┌───────────── rejoin ──────────────┐
//! Waiting ─▶ Joining ─▶ Sharing ─▶ Syncing ─▶ Stable ─▶ Revoking ─▶ Waiting | Leaving ─▶ Ended
//!                       (leader)                 (nothing to give back: ─▶ Waiting)
//! ```
//!
//! The coordinator of a rebalance waits for every member until the rebalance time-out, so a
//! member that has to give partitions back says so to the caller first, goes on with its
//! heartbeats, and joins when the caller has finished or the time is over. While joining it
//! commits nothing: the generation may be over at any moment.
//!
//! A coordinator that cannot be reached takes nothing away: the partitions are kept and read
//! on until somebody who knows says otherwise, as Java does. A member that was given up in
//! the meantime learns it with its next heartbeat or commit.

use super::assign::{
    Assignment, Assignor, Member, Rebalance, Topics, decode_assignment, decode_subscription,
    encode_assignment, encode_subscription,
};
use super::coordinator::{Coordinator, Identity};
use super::membership::{Commit, GroupConfig, GroupEvent, Interest, KnownTopics};
use super::{Ids, RequestId, TopicPartition, Unanswered, Versions, error, millis};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ApiKey, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, RequestKind,
    ResponseKind, SyncGroupRequest, SyncGroupResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The name of the protocol among those that use groups (Connect has another).
const PROTOCOL_TYPE: StrBytes = StrBytes::from_static_str("consumer");

/// The newest version of subscription and assignment, as Java writes them.
const METADATA_VERSION: i16 = 3;

/// What the coordinator takes beyond the rebalance time-out to answer a JoinGroup.
const JOIN_GRACE: Duration = Duration::from_secs(5);

/// A member that speaks the classic protocol.
#[derive(Debug)]
pub struct Group {
    coordinator: Coordinator,
    interest: BTreeSet<TopicName>,
    state: State,
    member_id: StrBytes,
    /// -1: none.
    generation: i32,
    assignor: Option<Assignor>,
    held: BTreeSet<TopicPartition>,
    /// What was given last and in which generation, for the sticky assignors.
    last: (BTreeSet<TopicPartition>, i32),
    /// With what the member joined last; when it wants something else by now, it joins again.
    joined_with: BTreeSet<TopicName>,
    /// What the leader shared: the topics that anybody wants and their sizes.
    shared: Option<(BTreeSet<TopicName>, Topics)>,
    rejoin: Option<&'static str>,
    heartbeat: Option<(RequestId, i32)>,
    heartbeat_at: Option<Instant>,
    session_until: Option<Instant>,
}

#[derive(Debug)]
enum State {
    /// To join, not before the time.
    Waiting(Option<Instant>),
    Joining(RequestId),
    /// The leader waits for the sizes of topics.
    Sharing(Assignor, Vec<Member>),
    Syncing(RequestId),
    Stable,
    Revoking(Revocation),
    Leaving(RequestId),
    Ended,
}

#[derive(Debug)]
struct Revocation {
    partitions: BTreeSet<TopicPartition>,
    until: Instant,
    confirmed: bool,
    leave: bool,
}

impl Group {
    pub(super) fn new(
        config: GroupConfig,
        interest: Interest,
        versions: Versions,
        random: fastrand::Rng,
    ) -> Self {
        Self {
            coordinator: Coordinator::new(config, versions, random, false),
            interest: interest.topics,
            state: State::Waiting(None),
            member_id: StrBytes::default(),
            generation: -1,
            assignor: None,
            held: BTreeSet::new(),
            last: (BTreeSet::new(), -1),
            joined_with: BTreeSet::new(),
            shared: None,
            rejoin: None,
            heartbeat: None,
            heartbeat_at: None,
            session_until: None,
        }
    }

    /// The same, counting requests on from another machine whose answers may still come.
    pub(super) fn continuing(mut self, ids: Ids) -> Self {
        self.coordinator.ids = ids;
        self
    }

    /// See [`Membership::poll`](super::membership::Membership::poll).
    pub fn poll(&mut self, now: Instant) -> Option<GroupEvent> {
        if !matches!(self.state, State::Ended) && self.coordinator.events.is_empty() {
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
        let own = match &self.state {
            State::Ended => return None,
            State::Waiting(not_before) if self.coordinator.is_known() => *not_before,
            State::Revoking(revocation) => Some(revocation.until),
            _ => None,
        };
        let heartbeat = if self.beats() { self.next_heartbeat() } else { None };
        [own, heartbeat, self.coordinator.deadline()].into_iter().flatten().min()
    }

    /// See [`Membership::subscribe`](super::membership::Membership::subscribe).
    pub fn subscribe(&mut self, interest: Interest) {
        self.interest = interest.topics;
    }

    /// See [`Membership::revoked`](super::membership::Membership::revoked).
    pub fn revoked(&mut self) {
        if let State::Revoking(revocation) = &mut self.state {
            revocation.confirmed = true;
        }
    }

    /// See [`Membership::commit`](super::membership::Membership::commit).
    pub fn commit(&mut self, commits: Vec<Commit>) {
        self.coordinator.commit(commits);
    }

    /// See [`Membership::leave`](super::membership::Membership::leave).
    pub fn leave(&mut self, until: Instant) {
        if matches!(self.state, State::Leaving(_) | State::Ended) {
            return;
        }
        // Partitions that the caller has given back already need no second word from it.
        let confirmed = match &self.state {
            State::Revoking(going) => going.confirmed && going.partitions == self.held,
            _ => self.held.is_empty(),
        };
        self.revoke(self.held.clone(), until, confirmed, true);
    }

    /// See [`Membership::metadata`](super::membership::Membership::metadata).
    pub fn metadata(&mut self, topics: &KnownTopics, now: Instant) {
        match std::mem::replace(&mut self.state, State::Stable) {
            State::Sharing(assignor, members) => self.share(assignor, &members, &topics.counts, now),
            state => self.state = state,
        }
        if let Some((wanted, sizes)) = &self.shared
            && *sizes != sizes_of(wanted, &topics.counts)
        {
            self.rejoin = Some("the topics have changed");
        }
    }

    /// See [`Membership::answer`](super::membership::Membership::answer).
    pub fn answer(&mut self, id: RequestId, answer: Result<ResponseKind, Unanswered>, now: Instant) {
        if matches!(self.state, State::Ended) {
            return;
        }
        let identity = self.identity();
        if self.coordinator.has_asked(id) {
            if let Some(error) = self.coordinator.answer(id, answer, identity.as_ref(), now) {
                self.refused(error, "", now);
            }
            return;
        }
        if let Some((_, generation)) = self.heartbeat.take_if(|(beat, _)| *beat == id) {
            return self.beaten(generation, answer, now);
        }
        match (&self.state, answer) {
            (State::Joining(asked), Ok(ResponseKind::JoinGroup(answer))) if *asked == id => {
                self.joined(answer, now)
            }
            (State::Syncing(asked), Ok(ResponseKind::SyncGroup(answer))) if *asked == id => {
                self.synced(answer, now)
            }
            (State::Joining(asked) | State::Syncing(asked), _) if *asked == id => {
                self.coordinator.forget(now);
                self.state = State::Waiting(None);
            }
            (State::Leaving(asked), _) if *asked == id => self.left(),
            _ => {}
        }
    }

    fn tick(&mut self, now: Instant) {
        let identity = self.identity();
        self.coordinator.tick(identity.as_ref(), now);
        // In this order, so that nothing is left to do when there are no events.
        if let State::Revoking(going) = &self.state
            && (now >= going.until || (going.confirmed && self.coordinator.has_committed()))
        {
            self.end_revocation();
        }
        if matches!(self.state, State::Stable) {
            if self.interest != self.joined_with {
                self.rejoin = Some("the subscription has changed");
            }
            if let Some(reason) = self.rejoin {
                self.begin_rejoin(reason, now);
            }
        }
        if let State::Waiting(not_before) = self.state
            && self.coordinator.is_known()
            && not_before.is_none_or(|at| now >= at)
        {
            self.join();
        }
        if self.beats() {
            self.beat(now);
        }
    }

    /// The member as the coordinator takes commits from it; none while it joins.
    fn identity(&self) -> Option<Identity> {
        let takes = matches!(self.state, State::Stable | State::Revoking(_)) && self.generation >= 0;
        takes.then(|| Identity { member_id: self.member_id.clone(), generation: self.generation })
    }

    fn rebalance(&self) -> Rebalance {
        self.coordinator
            .config
            .assignors
            .iter()
            .map(|assignor| assignor.rebalance())
            .min()
            .unwrap_or(Rebalance::Eager)
    }

    pub(super) fn standing(&self) -> (Option<i32>, BTreeSet<TopicPartition>) {
        (self.identity().map(|identity| identity.generation), self.held.clone())
    }

    // Joining

    fn begin_rejoin(&mut self, reason: &'static str, now: Instant) {
        let going = match self.rebalance() {
            Rebalance::Eager => self.held.clone(),
            Rebalance::Cooperative => {
                self.held.iter().filter(|at| !self.interest.contains(&at.topic)).cloned().collect()
            }
        };
        self.rejoin = Some(reason);
        if going.is_empty() {
            self.state = State::Waiting(None);
        } else {
            let until = now + self.coordinator.config.rebalance_timeout;
            self.revoke(going, until, false, false);
        }
    }

    fn join(&mut self) {
        let version = self.coordinator.versions.of(ApiKey::JoinGroup);
        let config = &self.coordinator.config;
        let protocol = |assignor: &Assignor| {
            let sticky = *assignor == Assignor::Sticky;
            let member = Member {
                topics: self.interest.clone(),
                owned: if sticky { self.last.0.clone() } else { self.held.clone() },
                generation: self.last.1,
                ..Member::default()
            };
            let subscription = assignor.subscription(&member, config.rack.clone());
            JoinGroupRequestProtocol::default()
                .with_name(StrBytes::from_static_str(assignor.name()))
                .with_metadata(encode_subscription(&subscription, METADATA_VERSION))
        };
        let mut request = JoinGroupRequest::default()
            .with_group_id(GroupId(config.group_id.clone()))
            .with_session_timeout_ms(millis(config.session_timeout))
            .with_member_id(self.member_id.clone())
            .with_protocol_type(PROTOCOL_TYPE)
            .with_protocols(config.assignors.iter().map(protocol).collect());
        if version >= 1 {
            request = request.with_rebalance_timeout_ms(millis(config.rebalance_timeout));
        }
        if version >= 5 {
            request = request.with_group_instance_id(config.instance_id.clone());
        }
        if version >= 8 {
            request = request.with_reason(self.rejoin.map(StrBytes::from_static_str));
        }
        let timeout = config.rebalance_timeout + JOIN_GRACE;
        let Some(id) = self.coordinator.send(ApiKey::JoinGroup, RequestKind::JoinGroup(request), timeout)
        else {
            return;
        };
        self.joined_with = self.interest.clone();
        self.rejoin = None;
        self.shared = None;
        self.heartbeat = None;
        self.state = State::Joining(id);
    }

    fn joined(&mut self, answer: JoinGroupResponse, now: Instant) {
        match error(answer.error_code) {
            None => {}
            Some(ResponseError::MemberIdRequired) => {
                self.member_id = answer.member_id;
                self.state = State::Waiting(None);
                return;
            }
            Some(error) => return self.refused(error, "", now),
        }
        let Some(assignor) = answer.protocol_name.as_deref().and_then(Assignor::of) else {
            return self.refused(
                ResponseError::InconsistentGroupProtocol,
                "an assignor that was not offered",
                now,
            );
        };
        self.coordinator.works();
        self.member_id = answer.member_id;
        self.generation = answer.generation_id;
        self.assignor = Some(assignor);
        self.session_until = Some(now + self.coordinator.config.session_timeout);
        self.heartbeat_at = Some(now + self.coordinator.config.heartbeat_interval);
        if answer.leader != self.member_id || answer.skip_assignment {
            return self.sync(Vec::new(), now);
        }
        // A member whose metadata cannot be read gets nothing; the others need not suffer.
        let members: Vec<Member> = answer
            .members
            .into_iter()
            .filter_map(|member| {
                let subscription = decode_subscription(&member.metadata).ok()?;
                Some(assignor.member(member.member_id, member.group_instance_id, subscription))
            })
            .collect();
        let topics = members.iter().flat_map(|member| member.topics.iter().cloned()).collect();
        self.coordinator.events.push_back(GroupEvent::NeedMetadata { topics, ids: BTreeSet::new() });
        self.state = State::Sharing(assignor, members);
    }

    fn share(&mut self, assignor: Assignor, members: &[Member], counts: &Topics, now: Instant) {
        let wanted: BTreeSet<TopicName> =
            members.iter().flat_map(|member| member.topics.iter().cloned()).collect();
        let sizes = sizes_of(&wanted, counts);
        let assigned = assignor.assign(members, &sizes);
        let given = members.iter().zip(assigned).map(|(member, set)| {
            let assignment = Assignment { partitions: set.into_iter().collect(), user_data: None };
            SyncGroupRequestAssignment::default()
                .with_member_id(member.id.clone())
                .with_assignment(encode_assignment(&assignment, METADATA_VERSION))
        });
        self.shared = Some((wanted, sizes));
        self.sync(given.collect(), now);
    }

    fn sync(&mut self, assignments: Vec<SyncGroupRequestAssignment>, now: Instant) {
        let version = self.coordinator.versions.of(ApiKey::SyncGroup);
        let config = &self.coordinator.config;
        let mut request = SyncGroupRequest::default()
            .with_group_id(GroupId(config.group_id.clone()))
            .with_generation_id(self.generation)
            .with_member_id(self.member_id.clone())
            .with_assignments(assignments);
        if version >= 3 {
            request = request.with_group_instance_id(config.instance_id.clone());
        }
        if version >= 5 {
            let name = self.assignor.map(|assignor| StrBytes::from_static_str(assignor.name()));
            request = request.with_protocol_type(Some(PROTOCOL_TYPE)).with_protocol_name(name);
        }
        let timeout = config.rebalance_timeout + JOIN_GRACE;
        self.state = match self.coordinator.send(ApiKey::SyncGroup, RequestKind::SyncGroup(request), timeout)
        {
            Some(id) => State::Syncing(id),
            None => State::Waiting(Some(self.coordinator.pause(now))),
        };
    }

    fn synced(&mut self, answer: SyncGroupResponse, now: Instant) {
        if let Some(error) = error(answer.error_code) {
            return self.refused(error, "", now);
        }
        let Ok(assignment) = decode_assignment(&answer.assignment) else {
            return self.refused(
                ResponseError::InconsistentGroupProtocol,
                "an assignment that cannot be read",
                now,
            );
        };
        self.coordinator.works();
        let given: BTreeSet<TopicPartition> = assignment.partitions.into_iter().collect();
        let going: BTreeSet<TopicPartition> = self.held.difference(&given).cloned().collect();
        let coming: BTreeSet<TopicPartition> = given.difference(&self.held).cloned().collect();
        self.held.extend(coming.iter().cloned());
        self.last = (given, self.generation);
        self.state = State::Stable;
        self.session_until = Some(now + self.coordinator.config.session_timeout);
        self.heartbeat_at = Some(now + self.coordinator.config.heartbeat_interval);
        self.coordinator.hold(coming, self.generation);
        if !going.is_empty() {
            // Once they are free, the next round gives them to whom they are meant for.
            self.rejoin = Some("partitions were given back");
            let until = now + self.coordinator.config.rebalance_timeout;
            self.revoke(going, until, false, false);
        }
    }

    // Giving back

    fn revoke(&mut self, partitions: BTreeSet<TopicPartition>, until: Instant, confirmed: bool, leave: bool) {
        if !partitions.is_empty() && !confirmed {
            self.coordinator.events.push_back(GroupEvent::Revoke { partitions: partitions.clone(), until });
        }
        self.state = State::Revoking(Revocation { partitions, until, confirmed, leave });
    }

    fn end_revocation(&mut self) {
        let State::Revoking(done) = std::mem::replace(&mut self.state, State::Waiting(None)) else { return };
        self.coordinator.release(&done.partitions);
        self.held.retain(|at| !done.partitions.contains(at));
        if !done.confirmed && !done.partitions.is_empty() {
            self.coordinator.events.push_back(GroupEvent::Lost { partitions: done.partitions });
        }
        if done.leave {
            self.send_leave();
        }
    }

    fn send_leave(&mut self) {
        // What is said of an earlier heartbeat concerns nobody any more.
        self.heartbeat = None;
        let config = &self.coordinator.config;
        if self.member_id.is_empty() || config.instance_id.is_some() {
            return self.left();
        }
        let request = LeaveGroupRequest::default().with_group_id(GroupId(config.group_id.clone()));
        let version = self.coordinator.versions.of(ApiKey::LeaveGroup);
        let request = if version >= 3 {
            let reason = (version >= 5).then(|| StrBytes::from_static_str("the consumer is being closed"));
            let member = MemberIdentity::default().with_member_id(self.member_id.clone()).with_reason(reason);
            request.with_members(vec![member])
        } else {
            request.with_member_id(self.member_id.clone())
        };
        let timeout = config.request_timeout;
        match self.coordinator.send(ApiKey::LeaveGroup, RequestKind::LeaveGroup(request), timeout) {
            Some(id) => self.state = State::Leaving(id),
            // Nobody to tell: the session will end.
            None => self.left(),
        }
    }

    fn left(&mut self) {
        self.state = State::Ended;
        self.coordinator.events.push_back(GroupEvent::Left);
    }

    /// Everything is gone at once.
    fn lose(&mut self) {
        let partitions = std::mem::take(&mut self.held);
        self.coordinator.release(&partitions);
        if !partitions.is_empty() {
            self.coordinator.events.push_back(GroupEvent::Lost { partitions });
        }
    }

    // Heartbeats

    /// Whether the coordinator expects heartbeats: not while it holds a request of ours back.
    fn beats(&self) -> bool {
        matches!(self.state, State::Stable | State::Revoking(_) | State::Sharing(..)) && self.generation >= 0
    }

    fn next_heartbeat(&self) -> Option<Instant> {
        let due =
            if self.heartbeat.is_none() && self.coordinator.is_known() { self.heartbeat_at } else { None };
        [due, self.session_until].into_iter().flatten().min()
    }

    fn beat(&mut self, now: Instant) {
        if self.session_until.is_some_and(|until| now >= until) {
            // Perhaps the coordinator has moved without our noticing.
            self.coordinator.forget(now);
            self.heartbeat = None;
            self.session_until = Some(now + self.coordinator.config.session_timeout);
            return;
        }
        if self.heartbeat.is_some() || self.heartbeat_at.is_some_and(|at| now < at) {
            return;
        }
        let config = &self.coordinator.config;
        let mut request = HeartbeatRequest::default()
            .with_group_id(GroupId(config.group_id.clone()))
            .with_generation_id(self.generation)
            .with_member_id(self.member_id.clone());
        if self.coordinator.versions.of(ApiKey::Heartbeat) >= 3 {
            request = request.with_group_instance_id(config.instance_id.clone());
        }
        let (timeout, interval) =
            (config.session_timeout.min(config.request_timeout), config.heartbeat_interval);
        if let Some(id) = self.coordinator.send(ApiKey::Heartbeat, RequestKind::Heartbeat(request), timeout) {
            self.heartbeat = Some((id, self.generation));
            self.heartbeat_at = Some(now + interval);
        }
    }

    fn beaten(&mut self, generation: i32, answer: Result<ResponseKind, Unanswered>, now: Instant) {
        let Ok(ResponseKind::Heartbeat(answer)) = answer else { return self.coordinator.forget(now) };
        match error(answer.error_code) {
            None => self.session_until = Some(now + self.coordinator.config.session_timeout),
            Some(_) if generation != self.generation => {}
            Some(error) => self.refused(error, "", now),
        }
    }

    /// What an error means for a member, whichever of its requests got it.
    fn refused(&mut self, error: ResponseError, message: &str, now: Instant) {
        use ResponseError as E;
        let leaving = matches!(&self.state, State::Revoking(revocation) if revocation.leave);
        match error {
            E::CoordinatorLoadInProgress | E::RequestTimedOut => {}
            E::NotCoordinator | E::CoordinatorNotAvailable => self.coordinator.forget(now),
            // Who is giving back will join anyway; who shares will hear it again from SyncGroup.
            E::RebalanceInProgress => {
                if matches!(self.state, State::Stable) {
                    return self.begin_rejoin("the group rebalances", now);
                }
            }
            E::IllegalGeneration | E::UnknownMemberId => {
                self.generation = -1;
                if error == E::UnknownMemberId {
                    self.member_id = StrBytes::default();
                }
                self.lose();
                if leaving {
                    return self.left();
                }
                self.state = State::Waiting(Some(self.coordinator.pause(now)));
            }
            error if error.is_retriable() => {}
            error => {
                self.lose();
                self.coordinator.fail(error, message);
                return;
            }
        }
        if matches!(self.state, State::Joining(_) | State::Syncing(_)) {
            self.state = State::Waiting(Some(self.coordinator.pause(now)));
        }
    }
}

fn sizes_of(wanted: &BTreeSet<TopicName>, counts: &Topics) -> Topics {
    counts
        .iter()
        .filter(|(topic, _)| wanted.contains(*topic))
        .map(|(topic, count)| (topic.clone(), *count))
        .collect()
}
