//! What members of both protocols need of their coordinator: finding it, asking where to begin,
//! committing, and knowing which stay of a partition a commit belongs to.

use super::membership::{Commit, CommitError, GroupConfig, GroupError, GroupEvent, Start};
use super::{
    Ids, Lease, Outgoing, Pauses, RequestId, To, TopicPartition, Unanswered, Versions, by_topic, error,
};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ApiKey, BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, GroupId, OffsetCommitRequest,
    OffsetCommitResponse, OffsetFetchResponse, RequestKind, ResponseKind,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::lag::{offset_fetch, read_offset_fetch};

/// Who the member is for the coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) member_id: StrBytes,
    /// The generation, or the member epoch of KIP-848.
    pub(super) generation: i32,
}

#[derive(Debug)]
pub(super) struct Coordinator {
    pub(super) config: GroupConfig,
    pub(super) versions: Versions,
    pub(super) events: VecDeque<GroupEvent>,
    pub(super) ids: Ids,
    backoff: Pauses,
    broker: Option<BrokerId>,
    finding: Option<RequestId>,
    find_not_before: Option<Instant>,
    /// Whether KIP-848 is spoken: then OffsetFetch says who asks.
    names_itself: bool,

    last_lease: Lease,
    leases: BTreeMap<TopicPartition, Lease>,
    unknown_starts: BTreeSet<TopicPartition>,
    asking: Option<(RequestId, BTreeSet<TopicPartition>, Identity)>,
    waiting_commits: BTreeMap<TopicPartition, Commit>,
    committing: Option<(RequestId, BTreeMap<TopicPartition, Commit>, Identity)>,
    offsets_not_before: Option<Instant>,
}

impl Coordinator {
    pub(super) fn new(
        config: GroupConfig,
        versions: Versions,
        random: fastrand::Rng,
        names_itself: bool,
    ) -> Self {
        Self {
            backoff: Pauses::new(config.backoff, random),
            config,
            versions,
            events: VecDeque::new(),
            ids: Ids::default(),
            broker: None,
            finding: None,
            find_not_before: None,
            names_itself,
            last_lease: Lease::default(),
            leases: BTreeMap::new(),
            unknown_starts: BTreeSet::new(),
            asking: None,
            waiting_commits: BTreeMap::new(),
            committing: None,
            offsets_not_before: None,
        }
    }

    /// Sends to the coordinator; none while it is not known.
    pub(super) fn send(&mut self, api: ApiKey, request: RequestKind, timeout: Duration) -> Option<RequestId> {
        let broker = self.broker?;
        Some(self.send_to(To::Broker(broker), api, request, timeout))
    }

    fn send_to(&mut self, to: To, api: ApiKey, request: RequestKind, timeout: Duration) -> RequestId {
        let id = self.ids.next();
        let version = self.versions.of(api);
        self.events.push_back(GroupEvent::Send(Box::new(Outgoing { id, to, version, request, timeout })));
        id
    }

    pub(super) fn is_known(&self) -> bool {
        self.broker.is_some()
    }

    /// Looks for the coordinator anew, after a pause.
    pub(super) fn forget(&mut self, now: Instant) {
        if self.broker.take().is_some() || self.find_not_before.is_none() {
            self.find_not_before = Some(self.backoff.after(now));
        }
    }

    /// Until when to wait before a membership request is repeated.
    pub(super) fn pause(&mut self, now: Instant) -> Instant {
        self.backoff.after(now)
    }

    /// The coordinator works: the next pause is short again.
    pub(super) fn works(&mut self) {
        self.backoff.reset();
    }

    pub(super) fn fail(&mut self, error: ResponseError, message: &str) {
        self.events.push_back(GroupEvent::Failed(GroupError { error, message: message.to_owned() }));
    }

    /// Sends what is due. Offsets are only asked for and committed with an `identity` that the
    /// coordinator takes now.
    pub(super) fn tick(&mut self, identity: Option<&Identity>, now: Instant) {
        if self.broker.is_none() {
            self.find(now);
            return;
        }
        // Also while the member joins, when nothing is asked: a time that is past would be waited
        // for without end.
        self.offsets_not_before.take_if(|at| now >= *at);
        let Some(identity) = identity.filter(|_| self.offsets_not_before.is_none()) else { return };
        self.ask_starts(identity);
        self.send_commits(identity);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.broker.is_none() {
            return if self.finding.is_none() { self.find_not_before } else { None };
        }
        self.offsets_not_before
    }

    fn find(&mut self, now: Instant) {
        if self.finding.is_some() || self.find_not_before.is_some_and(|at| now < at) {
            return;
        }
        self.find_not_before = None;
        let group = self.config.group_id.clone();
        let version = self.versions.of(ApiKey::FindCoordinator);
        let request = match version {
            0..=3 => FindCoordinatorRequest::default().with_key(group),
            _ => FindCoordinatorRequest::default().with_coordinator_keys(vec![group]),
        };
        let request = RequestKind::FindCoordinator(request);
        let timeout = self.config.request_timeout;
        self.finding = Some(self.send_to(To::Any, ApiKey::FindCoordinator, request, timeout));
    }

    /// Whether the request was one of these, and not one of the member's own.
    pub(super) fn has_asked(&self, id: RequestId) -> bool {
        self.finding == Some(id)
            || self.asking.as_ref().is_some_and(|(asking, ..)| *asking == id)
            || self.committing.as_ref().is_some_and(|(committing, ..)| *committing == id)
    }

    /// Takes an answer. Returned is what it says against the member as it is now.
    pub(super) fn answer(
        &mut self,
        id: RequestId,
        answer: Result<ResponseKind, Unanswered>,
        identity: Option<&Identity>,
        now: Instant,
    ) -> Option<ResponseError> {
        if self.finding == Some(id) {
            self.finding = None;
            return self.found(answer, now);
        }
        if let Some((_, asked, by)) = self.asking.take_if(|(asking, ..)| *asking == id) {
            return self.starts(asked, by, answer, identity, now);
        }
        if let Some((_, sent, by)) = self.committing.take_if(|(committing, ..)| *committing == id) {
            return self.committed(sent, by, answer, identity, now);
        }
        None
    }

    fn found(&mut self, answer: Result<ResponseKind, Unanswered>, now: Instant) -> Option<ResponseError> {
        use ResponseError as E;
        let Ok(ResponseKind::FindCoordinator(answer)) = answer else {
            self.find_not_before = Some(self.backoff.after(now));
            return None;
        };
        let (code, broker, host, port) = place(&answer);
        match error(code) {
            None => {
                self.broker = Some(broker);
                self.events.push_back(GroupEvent::Coordinator { broker, host, port });
                None
            }
            Some(refused @ (E::GroupAuthorizationFailed | E::InvalidGroupId)) => Some(refused),
            Some(_) => {
                self.find_not_before = Some(self.backoff.after(now));
                None
            }
        }
    }

    /// Takes partitions in: a new stay begins.
    pub(super) fn hold(&mut self, partitions: BTreeSet<TopicPartition>, generation: i32) {
        if partitions.is_empty() {
            return;
        }
        self.last_lease = Lease(self.last_lease.0 + 1);
        self.leases.extend(partitions.iter().map(|at| (at.clone(), self.last_lease)));
        self.unknown_starts.extend(partitions.iter().cloned());
        self.events.push_back(GroupEvent::Assigned { partitions, lease: self.last_lease, generation });
    }

    /// Gives partitions up: their stay ends, and with it what was still to be committed.
    pub(super) fn release(&mut self, partitions: &BTreeSet<TopicPartition>) {
        for at in partitions {
            self.leases.remove(at);
            self.unknown_starts.remove(at);
            if let Some(commit) = self.waiting_commits.remove(at) {
                self.events.push_back(GroupEvent::NotCommitted(commit, CommitError::Fenced));
            }
        }
    }

    pub(super) fn commit(&mut self, commits: Vec<Commit>) {
        for commit in commits {
            if self.is_held(&commit) {
                self.waiting_commits.insert(commit.partition.clone(), commit);
            } else {
                self.events.push_back(GroupEvent::NotCommitted(commit, CommitError::Fenced));
            }
        }
    }

    /// Whether every commit has its outcome.
    pub(super) fn has_committed(&self) -> bool {
        self.waiting_commits.is_empty() && self.committing.is_none()
    }

    fn is_held(&self, commit: &Commit) -> bool {
        self.leases.get(&commit.partition) == Some(&commit.lease)
    }

    fn ask_starts(&mut self, identity: &Identity) {
        if self.asking.is_some() || self.unknown_starts.is_empty() {
            return;
        }
        let asked = std::mem::take(&mut self.unknown_starts);
        let member = self.names_itself.then(|| (identity.member_id.clone(), identity.generation));
        let version = self.versions.of(ApiKey::OffsetFetch);
        let request = offset_fetch(&self.config.group_id, member, Some(&asked), version);
        let request = RequestKind::OffsetFetch(request);
        match self.send(ApiKey::OffsetFetch, request, self.config.request_timeout) {
            Some(id) => self.asking = Some((id, asked, identity.clone())),
            None => self.unknown_starts = asked,
        }
    }

    fn starts(
        &mut self,
        asked: BTreeSet<TopicPartition>,
        by: Identity,
        answer: Result<ResponseKind, Unanswered>,
        identity: Option<&Identity>,
        now: Instant,
    ) -> Option<ResponseError> {
        let answer: OffsetFetchResponse = match answer {
            Ok(ResponseKind::OffsetFetch(answer)) => answer,
            _ => {
                self.ask_again(asked, now);
                self.forget(now);
                return None;
            }
        };
        let rows = match read_offset_fetch(&answer, &self.config.group_id) {
            Ok(rows) => rows,
            Err(refused) => {
                self.ask_again(asked, now);
                return self.refused(refused, by, identity, now);
            }
        };
        let mut starts = Vec::new();
        let mut again = asked;
        for (partition, outcome) in rows {
            if !again.contains(&partition) {
                continue;
            }
            match outcome {
                Ok(committed) => {
                    again.remove(&partition);
                    if let Some(&lease) = self.leases.get(&partition) {
                        starts.push(Start { partition, lease, committed });
                    }
                }
                // A transaction that commits offsets is under way (KIP-447).
                Err(ResponseError::UnstableOffsetCommit) => {}
                Err(error) => self.events.push_back(GroupEvent::StartRefused { partition, error }),
            }
        }
        if !starts.is_empty() {
            self.events.push_back(GroupEvent::Starts(starts));
        }
        if !again.is_empty() {
            self.ask_again(again, now);
        }
        None
    }

    fn ask_again(&mut self, asked: BTreeSet<TopicPartition>, now: Instant) {
        self.unknown_starts.extend(asked.into_iter().filter(|at| self.leases.contains_key(at)));
        self.offsets_not_before = Some(self.backoff.after(now));
    }

    fn send_commits(&mut self, identity: &Identity) {
        if self.committing.is_some() || self.waiting_commits.is_empty() {
            return;
        }
        let commits = std::mem::take(&mut self.waiting_commits);
        let version = self.versions.of(ApiKey::OffsetCommit);
        let one = |(number, commit): (i32, &Commit)| {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(number)
                .with_committed_offset(commit.offset)
                .with_committed_metadata(Some(commit.metadata.clone()));
            if version >= 6 { partition.with_committed_leader_epoch(commit.leader_epoch) } else { partition }
        };
        let topics = by_topic(commits.iter()).into_iter().map(|(topic, partitions)| {
            let partitions = partitions.into_iter().map(one).collect();
            OffsetCommitRequestTopic::default().with_name(topic).with_partitions(partitions)
        });
        let mut request = OffsetCommitRequest::default()
            .with_group_id(GroupId(self.config.group_id.clone()))
            .with_generation_id_or_member_epoch(identity.generation)
            .with_member_id(identity.member_id.clone())
            .with_topics(topics.collect());
        if version >= 7 {
            request = request.with_group_instance_id(self.config.instance_id.clone());
        }
        let request = RequestKind::OffsetCommit(request);
        match self.send(ApiKey::OffsetCommit, request, self.config.request_timeout) {
            Some(id) => self.committing = Some((id, commits, identity.clone())),
            None => self.waiting_commits = commits,
        }
    }

    fn committed(
        &mut self,
        mut sent: BTreeMap<TopicPartition, Commit>,
        by: Identity,
        answer: Result<ResponseKind, Unanswered>,
        identity: Option<&Identity>,
        now: Instant,
    ) -> Option<ResponseError> {
        let answer: OffsetCommitResponse = match answer {
            Ok(ResponseKind::OffsetCommit(answer)) => answer,
            _ => {
                self.commit_again(sent.into_values(), now);
                self.forget(now);
                return None;
            }
        };
        let mut about_member = None;
        let mut again = Vec::new();
        for topic in &answer.topics {
            for row in &topic.partitions {
                let at = TopicPartition::new(topic.name.clone(), row.partition_index);
                let Some(commit) = sent.remove(&at) else { continue };
                match error(row.error_code) {
                    None => self.events.push_back(GroupEvent::Committed(commit)),
                    Some(refused) if is_about_member(refused) => {
                        about_member = Some(refused);
                        again.push(commit);
                    }
                    Some(refused) => {
                        self.events
                            .push_back(GroupEvent::NotCommitted(commit, CommitError::Refused(refused)));
                    }
                }
            }
        }
        again.extend(sent.into_values());
        if again.is_empty() {
            self.works();
            return None;
        }
        self.commit_again(again, now);
        match about_member {
            Some(refused) => self.refused(refused, by, identity, now),
            None => None,
        }
    }

    fn commit_again(&mut self, commits: impl IntoIterator<Item = Commit>, now: Instant) {
        self.offsets_not_before = Some(self.backoff.after(now));
        for commit in commits {
            if !self.is_held(&commit) {
                self.events.push_back(GroupEvent::NotCommitted(commit, CommitError::Fenced));
            } else {
                // A newer one that waits already stays.
                self.waiting_commits.entry(commit.partition.clone()).or_insert(commit);
            }
        }
    }

    /// An error about the coordinator or the member. It says nothing about the member of now
    /// when that has become another since.
    fn refused(
        &mut self,
        error: ResponseError,
        by: Identity,
        identity: Option<&Identity>,
        now: Instant,
    ) -> Option<ResponseError> {
        match error {
            ResponseError::NotCoordinator | ResponseError::CoordinatorNotAvailable => {
                self.forget(now);
                None
            }
            ResponseError::CoordinatorLoadInProgress => None,
            _ if identity == Some(&by) => Some(error),
            _ => None,
        }
    }
}

/// Errors that concern the member or its coordinator rather than one partition.
fn is_about_member(error: ResponseError) -> bool {
    use ResponseError as E;
    matches!(
        error,
        E::NotCoordinator
            | E::CoordinatorNotAvailable
            | E::CoordinatorLoadInProgress
            | E::RebalanceInProgress
            | E::IllegalGeneration
            | E::UnknownMemberId
            | E::FencedInstanceId
            | E::FencedMemberEpoch
            | E::StaleMemberEpoch
            | E::GroupAuthorizationFailed
            | E::RequestTimedOut
    )
}

/// Error, broker, host and port out of either form of the answer.
fn place(answer: &FindCoordinatorResponse) -> (i16, BrokerId, StrBytes, i32) {
    match answer.coordinators.first() {
        Some(one) => (one.error_code, one.node_id, one.host.clone(), one.port),
        None => (answer.error_code, answer.node_id, answer.host.clone(), answer.port),
    }
}
