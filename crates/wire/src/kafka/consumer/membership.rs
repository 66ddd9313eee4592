//! A member's place in a consumer group, whichever protocol the brokers have.
//!
//! Both protocols make the same promises to the caller, in [`GroupEvent`]s: which partitions
//! are held, where to begin in them, and when to give them back. `auto` takes KIP-848 where
//! ConsumerGroupHeartbeat is offered. A broker may offer it and still refuse it: 3.9 with
//! `group.coordinator.rebalance.protocols=classic` answers UNSUPPORTED_VERSION, and one with
//! `group.consumer.migration.policy` at `disabled` or `downgrade` answers GROUP_ID_NOT_FOUND
//! for a group of classic members. Then `auto` goes on with the classic protocol.

use super::assign::{Assignor, Topics};
use super::group::Group;
use super::group848::Group848;
use super::{Lease, Outgoing, RequestId, TopicPartition, Unanswered, Versions};
use crate::kafka::Backoff;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, BrokerId, ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Which protocol is spoken with the coordinator (`group.protocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupProtocol {
    /// KIP-848 where the brokers have it and take it, else classic.
    #[default]
    Auto,
    /// JoinGroup and SyncGroup: the members share the partitions themselves.
    Classic,
    /// KIP-848: the coordinator shares them.
    Consumer,
}

/// Options of a member.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// The group (`group.id`).
    pub group_id: StrBytes,
    /// The member's own name, for a static member (`group.instance.id`, KIP-345).
    pub instance_id: Option<StrBytes>,
    /// Where the member is (`client.rack`).
    pub rack: Option<StrBytes>,
    /// Which protocol is spoken.
    pub protocol: GroupProtocol,
    /// The assignors of the classic protocol, the favourite first. A rebalance is cooperative
    /// only when all of them can be (KIP-429).
    pub assignors: Vec<Assignor>,
    /// The assignor of KIP-848 (`group.remote.assignor`); none: the coordinator's own choice.
    pub server_assignor: Option<StrBytes>,
    /// After how long without a heartbeat a classic member is dead (`session.timeout.ms`).
    pub session_timeout: Duration,
    /// How long giving partitions back may take (`max.poll.interval.ms`).
    pub rebalance_timeout: Duration,
    /// Between heartbeats of a classic member; KIP-848's coordinator says it itself.
    pub heartbeat_interval: Duration,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// The pauses after failures (`retry.backoff.ms`, `retry.backoff.max.ms`).
    pub backoff: Backoff,
}

impl GroupConfig {
    /// A group's member with the times that Java's client has.
    pub fn new(group_id: &str) -> Self {
        Self {
            group_id: StrBytes::from_string(group_id.to_owned()),
            instance_id: None,
            rack: None,
            protocol: GroupProtocol::Auto,
            assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
            server_assignor: None,
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(300),
            heartbeat_interval: Duration::from_secs(3),
            request_timeout: Duration::from_secs(30),
            backoff: Backoff { first: Duration::from_millis(100), max: Duration::from_secs(1) },
        }
    }
}

/// What a member wants to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interest {
    /// Topics by name. With a pattern: those it matches now, for brokers that take none.
    pub topics: BTreeSet<TopicName>,
    /// A regular expression in RE2's syntax that a coordinator of KIP-848 resolves itself
    /// (ConsumerGroupHeartbeat version 1, Kafka 4.0).
    pub pattern: Option<StrBytes>,
}

impl Interest {
    /// These topics.
    pub fn topics<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { topics: names.into_iter().map(super::topic).collect(), pattern: None }
    }
}

/// Where reading goes on after a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The partition.
    pub partition: TopicPartition,
    /// The stay in which it was read; a commit of an earlier one is refused.
    pub lease: Lease,
    /// The offset to read next.
    pub offset: i64,
    /// The leader epoch of the record before it; -1 is unknown.
    pub leader_epoch: i32,
    /// Any text that is kept with it.
    pub metadata: StrBytes,
}

/// Where to begin in a partition that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The partition.
    pub partition: TopicPartition,
    /// Its stay.
    pub lease: Lease,
    /// The committed offset to read next, with the leader epoch (-1: unknown) and text; none
    /// when the group has no offset there.
    pub committed: Option<(i64, i32, StrBytes)>,
}

/// Why a commit was not made. The offset can still be committed by who holds the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The partition is no longer held in that stay; nothing was sent, or it was refused.
    #[error("the partition has been taken away since (fenced)")]
    Fenced,
    /// The coordinator does not want it.
    #[error("the coordinator refused it: {0:?}")]
    Refused(ResponseError),
}

/// Why the member gave up. It holds nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator of the group refused this member: {error:?} {message}")]
pub struct GroupError {
    /// What the coordinator said.
    pub error: ResponseError,
    /// And its words, if any.
    pub message: String,
}

impl GroupError {
    /// Whether trying again later, with a new member, may help without a change here: rights
    /// may be given, a full group may shrink, a static name may become free.
    pub fn may_pass(&self) -> bool {
        use ResponseError as E;
        matches!(self.error, E::GroupAuthorizationFailed | E::GroupMaxSizeReached | E::UnreleasedInstanceId)
    }
}

/// What is to be done or known, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupEvent {
    /// A request is to be sent, and its answer brought to `answer`.
    Send(Box<Outgoing>),
    /// The group's coordinator, and where it listens.
    Coordinator {
        /// Its id, as requests name it.
        broker: BrokerId,
        /// Its host.
        host: StrBytes,
        /// Its port.
        port: i32,
    },
    /// Metadata is to be fetched now and given to `metadata`, again whenever it changes.
    NeedMetadata {
        /// Topics by name.
        topics: BTreeSet<TopicName>,
        /// Topics by id.
        ids: BTreeSet<Uuid>,
    },
    /// Partitions came. Where to begin follows in [`GroupEvent::Starts`].
    Assigned {
        /// They.
        partitions: BTreeSet<TopicPartition>,
        /// Their stay.
        lease: Lease,
        /// The group's generation or member epoch, for people.
        generation: i32,
    },
    /// Where to begin.
    Starts(Vec<Start>),
    /// Where to begin could not be asked for; it is tried again.
    StartRefused {
        /// The partition.
        partition: TopicPartition,
        /// Why.
        error: ResponseError,
    },
    /// These partitions go to others: read no more, finish and commit what is under way, then
    /// call `revoked`. At `until` they go all the same.
    Revoke {
        /// They.
        partitions: BTreeSet<TopicPartition>,
        /// When the time is over.
        until: Instant,
    },
    /// These partitions are gone, without a chance to commit.
    Lost {
        /// They.
        partitions: BTreeSet<TopicPartition>,
    },
    /// A commit was made.
    Committed(Commit),
    /// A commit was not made.
    NotCommitted(Commit, CommitError),
    /// The member left the group, as it was told to. Nothing follows.
    Left,
    /// The member gave up. Nothing follows.
    Failed(GroupError),
}

/// Topics as a member must know them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownTopics {
    /// The number of partitions of each topic that exists.
    pub counts: Topics,
    /// Their ids, where brokers have them (Metadata version 10).
    pub ids: BTreeMap<Uuid, TopicName>,
}

/// A member of a group.
///
/// Not being polled *is* being dead: without heartbeats the coordinator gives the partitions
/// to others.
#[derive(Debug)]
pub struct Membership {
    kind: Kind,
    fallback: Option<Box<Fallback>>,
}

#[derive(Debug)]
enum Kind {
    Classic(Box<Group>),
    Consumer(Box<Group848>),
}

/// With what `auto` begins anew in the classic protocol.
#[derive(Debug)]
struct Fallback {
    config: GroupConfig,
    versions: Versions,
    random: fastrand::Rng,
    interest: Interest,
}

macro_rules! either {
    ($self:expr, $group:ident => $call:expr) => {
        match &mut $self.kind {
            Kind::Classic($group) => $call,
            Kind::Consumer($group) => $call,
        }
    };
}

impl Membership {
    /// A member that joins as soon as it is polled. `random` decides about the jitter of pauses
    /// and the member id of KIP-848, so members must not share a seed.
    pub fn new(
        config: GroupConfig,
        interest: Interest,
        versions: Versions,
        mut random: fastrand::Rng,
    ) -> Self {
        let offered = versions.get(ApiKey::ConsumerGroupHeartbeat).is_some();
        let consumer = match config.protocol {
            GroupProtocol::Auto => offered,
            GroupProtocol::Classic => false,
            GroupProtocol::Consumer => true,
        };
        if !consumer {
            return Self {
                kind: Kind::Classic(Box::new(Group::new(config, interest, versions, random))),
                fallback: None,
            };
        }
        let fallback = (config.protocol == GroupProtocol::Auto).then(|| {
            Box::new(Fallback {
                config: config.clone(),
                versions: versions.clone(),
                random: random.fork(),
                interest: interest.clone(),
            })
        });
        Self { kind: Kind::Consumer(Box::new(Group848::new(config, interest, versions, random))), fallback }
    }

    /// The generation or member epoch, unless the member joins just now, and what it holds:
    /// for people who look at it.
    pub fn standing(&self) -> (Option<i32>, BTreeSet<TopicPartition>) {
        match &self.kind {
            Kind::Classic(group) => group.standing(),
            Kind::Consumer(group) => group.standing(),
        }
    }

    /// Which protocol is spoken now.
    pub fn protocol(&self) -> GroupProtocol {
        match self.kind {
            Kind::Classic(_) => GroupProtocol::Classic,
            Kind::Consumer(_) => GroupProtocol::Consumer,
        }
    }

    /// The next thing to do or know; none: nothing before [`deadline`](Self::deadline).
    pub fn poll(&mut self, now: Instant) -> Option<GroupEvent> {
        let event = either!(self, group => group.poll(now));
        match (&event, &mut self.kind) {
            (Some(GroupEvent::Failed(failed)), Kind::Consumer(group))
                if refuses_the_protocol(failed, group.has_joined()) =>
            {
                let Some(fallback) = self.fallback.take() else { return event };
                let Fallback { config, versions, random, interest } = *fallback;
                let ids = group.request_ids();
                let classic = Group::new(config, interest, versions, random).continuing(ids);
                self.kind = Kind::Classic(Box::new(classic));
                self.poll(now)
            }
            _ => event,
        }
    }

    /// When to poll again at the latest; none while an answer or a call is waited for.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.kind {
            Kind::Classic(group) => group.deadline(),
            Kind::Consumer(group) => group.deadline(),
        }
    }

    /// Takes the answer to a request, or that there is none.
    pub fn answer(&mut self, id: RequestId, answer: Result<ResponseKind, Unanswered>, now: Instant) {
        either!(self, group => group.answer(id, answer, now));
    }

    /// Takes what is known of the topics that [`GroupEvent::NeedMetadata`] last named: what is
    /// not in `topics` does not exist. To be called for it and whenever it changed.
    pub fn metadata(&mut self, topics: &KnownTopics, now: Instant) {
        either!(self, group => group.metadata(topics, now));
    }

    /// Changes what the member wants to read.
    pub fn subscribe(&mut self, interest: Interest) {
        if let Some(fallback) = &mut self.fallback {
            fallback.interest = interest.clone();
        }
        either!(self, group => group.subscribe(interest));
    }

    /// Says that nothing of what had to be given back is read or awaits a commit any more.
    /// Commits that were made before are still sent first.
    pub fn revoked(&mut self) {
        either!(self, group => group.revoked());
    }

    /// Commits offsets. The outcome of each comes as [`GroupEvent::Committed`] or
    /// [`GroupEvent::NotCommitted`]; a newer commit of the same partition takes the place of
    /// one that was not sent yet, and then only the newer one has an outcome.
    pub fn commit(&mut self, commits: Vec<Commit>) {
        either!(self, group => group.commit(commits));
    }

    /// Leaves the group: all partitions are given back as in a [`GroupEvent::Revoke`] that ends
    /// at `until`, then [`GroupEvent::Left`] comes. A static member keeps its place in the group
    /// until its session ends, so that a restart moves nothing.
    pub fn leave(&mut self, until: Instant) {
        either!(self, group => group.leave(until));
    }
}

/// Whether a coordinator that offers KIP-848 does not take it for this group.
fn refuses_the_protocol(failed: &GroupError, joined: bool) -> bool {
    !joined && matches!(failed.error, ResponseError::UnsupportedVersion | ResponseError::GroupIdNotFound)
}
