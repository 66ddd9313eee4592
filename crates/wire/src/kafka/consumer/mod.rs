//! The consumer side of a Kafka client: who reads which partition, from where, and what
//! may be committed.
//!
//! Nothing here sends or waits. Each machine is asked with `poll(now)` for what is to be done
//! next, says with `deadline` when it wants to be asked again at the latest, and is told what
//! brokers answered. The price is a driver outside that carries messages; what it buys is that
//! every order of answers, losses and delays can be a test.
//!
//! | machine | job |
//! | --- | --- |
//! | [`Membership`](membership::Membership) | the place in the group: classic ([`group`]) or KIP-848 ([`group848`]) |
//! | [`Positions`](positions::Positions) | where each held partition is read next, and the Fetch requests |
//! | [`Offsets`](offsets::Offsets) | which offset may be committed, from acknowledgments in any order |
//! | [`Survey`](lag::Survey) | how far any group is behind |

pub mod assign;
pub mod batches;
mod coordinator;
pub mod group;
pub mod group848;
pub mod lag;
pub mod membership;
pub mod offsets;
pub mod positions;

use super::{Backoff, versions};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, BrokerId, RequestKind, TopicName};
use kafka_protocol::protocol::{StrBytes, VersionRange};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: TopicName,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition with this number of the topic.
    pub fn new(topic: TopicName, partition: i32) -> Self {
        Self { topic, partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.topic.as_str(), self.partition)
    }
}

/// A topic's name from text.
pub fn topic(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// Groups partitions by their topic, as requests want them.
pub(crate) fn by_topic<'a, T>(
    items: impl IntoIterator<Item = (&'a TopicPartition, T)>,
) -> BTreeMap<TopicName, Vec<(i32, T)>> {
    let mut topics: BTreeMap<TopicName, Vec<(i32, T)>> = BTreeMap::new();
    for (at, item) in items {
        topics.entry(at.topic.clone()).or_default().push((at.partition, item));
    }
    topics
}

/// The number of one stay of a partition with this member. It grows with each assignment and
/// is never used twice by a [`Membership`](membership::Membership), even when the group's own
/// generations begin anew; so what was read before a partition was lost cannot be taken for
/// what was read after it came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lease(pub u64);

/// Which broker a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Any broker that answers.
    Any,
    /// The broker with this id.
    Broker(BrokerId),
}

/// The number by which an answer is brought back to the machine that asked.
/// Each machine counts for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A request to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// With which the answer comes back.
    pub id: RequestId,
    /// The broker it is for.
    pub to: To,
    /// The version it is to be written in: its fields are chosen for this one.
    pub version: i16,
    /// The message.
    pub request: RequestKind,
    /// How long an answer may take. Then the request is [`Unanswered`].
    pub timeout: Duration,
}

/// There is no answer and will be none: the connection broke, or the time was over.
/// Whether the broker has seen the request is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswered;

/// Counts up request ids.
#[derive(Debug, Default)]
pub(crate) struct Ids(u64);

impl Ids {
    pub(crate) fn next(&mut self) -> RequestId {
        self.0 += 1;
        RequestId(self.0)
    }
}

/// The newest version of each API that the brokers and this client have in common.
///
/// Where brokers differ (during a rolling upgrade), the driver keeps what all of them offer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions(BTreeMap<i16, i16>);

impl Versions {
    /// What this client speaks: the upper ends for the APIs of the consumer, whether a broker
    /// has them or not.
    pub fn all() -> Self {
        Self(KNOWN.iter().map(|(key, range)| (*key as i16, range.max)).collect())
    }

    /// From the answer to ApiVersions: (API key, oldest, newest) each.
    pub fn offered(ranges: impl IntoIterator<Item = (i16, i16, i16)>) -> Self {
        let common = |(key, min, max): (i16, i16, i16)| {
            let (_, known) = KNOWN.iter().find(|(known, _)| *known as i16 == key)?;
            let newest = max.min(known.max);
            (newest >= min.max(known.min)).then_some((key, newest))
        };
        Self(ranges.into_iter().filter_map(common).collect())
    }

    /// From what a connection was told.
    pub fn told(broker: &versions::Versions) -> Self {
        let range = |(api, _): &(ApiKey, VersionRange)| {
            broker.theirs(*api).map(|theirs| (*api as i16, theirs.min, theirs.max))
        };
        Self::offered(KNOWN.iter().filter_map(range))
    }

    /// What both have, in the older of the two versions.
    pub fn intersect(&self, other: &Self) -> Self {
        let both = |(key, newest): (&i16, &i16)| Some((*key, *other.0.get(key)?.min(newest)));
        Self(self.0.iter().filter_map(both).collect())
    }

    /// The same without one API.
    pub fn without(mut self, api: ApiKey) -> Self {
        self.0.remove(&(api as i16));
        self
    }

    /// The same with an API at most at this version.
    pub fn at_most(mut self, api: ApiKey, version: i16) -> Self {
        if let Some(newest) = self.0.get_mut(&(api as i16)) {
            *newest = version.min(*newest);
        }
        self
    }

    /// The version for an API; none when the brokers lack it.
    pub fn get(&self, api: ApiKey) -> Option<i16> {
        self.0.get(&(api as i16)).copied()
    }

    /// The version for an API that every broker since 0.11 has in some version; its oldest
    /// when nothing is known.
    pub(crate) fn of(&self, api: ApiKey) -> i16 {
        let oldest = || KNOWN.iter().find(|(known, _)| *known == api).map_or(0, |(_, range)| range.min);
        self.get(api).unwrap_or_else(oldest)
    }
}

/// The APIs used here, and in which versions. Fetch ends at 17: 18 adds nothing for consumers.
const KNOWN: [(ApiKey, VersionRange); 14] = [
    (ApiKey::Fetch, VersionRange { min: 4, max: 17 }),
    (ApiKey::ListOffsets, VersionRange { min: 1, max: 8 }),
    (ApiKey::Metadata, VersionRange { min: 1, max: 12 }),
    (ApiKey::OffsetCommit, VersionRange { min: 2, max: 9 }),
    (ApiKey::OffsetFetch, VersionRange { min: 1, max: 9 }),
    (ApiKey::FindCoordinator, VersionRange { min: 0, max: 4 }),
    (ApiKey::JoinGroup, VersionRange { min: 0, max: 9 }),
    (ApiKey::Heartbeat, VersionRange { min: 0, max: 4 }),
    (ApiKey::LeaveGroup, VersionRange { min: 0, max: 5 }),
    (ApiKey::SyncGroup, VersionRange { min: 0, max: 5 }),
    (ApiKey::DescribeGroups, VersionRange { min: 0, max: 5 }),
    (ApiKey::ListGroups, VersionRange { min: 0, max: 5 }),
    (ApiKey::ConsumerGroupHeartbeat, VersionRange { min: 0, max: 1 }),
    (ApiKey::ConsumerGroupDescribe, VersionRange { min: 0, max: 1 }),
];

/// The error behind a code; none for 0.
pub(crate) fn error(code: i16) -> Option<ResponseError> {
    if code == 0 { None } else { ResponseError::try_from_code(code) }
}

/// Milliseconds as requests carry them.
pub(crate) fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// The pauses of one machine, which grow with its failures in a row.
#[derive(Debug, Clone)]
pub(crate) struct Pauses {
    backoff: Backoff,
    failures: u32,
    random: fastrand::Rng,
}

impl Pauses {
    pub(crate) fn new(backoff: Backoff, random: fastrand::Rng) -> Self {
        Self { backoff, failures: 0, random }
    }

    /// Until when to wait after one more failure.
    pub(crate) fn after(&mut self, now: Instant) -> Instant {
        self.failures = self.failures.saturating_add(1);
        now + self.backoff.after(self.failures, &mut self.random)
    }

    /// Begins anew after a success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_a_success() {
        let start = Instant::now();
        let backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(1) };
        let mut pauses = Pauses::new(backoff, fastrand::Rng::with_seed(7));
        for middle in [100, 200, 400, 800, 1000, 1000] {
            let pause = (pauses.after(start) - start).as_millis();
            assert!((middle * 8 / 10..=middle * 12 / 10).contains(&pause), "{pause} ms around {middle} ms");
        }
        pauses.reset();
        assert!(pauses.after(start) - start <= Duration::from_millis(120));
    }

    #[test]
    fn versions_are_what_both_sides_have() {
        let offered = Versions::offered([
            (ApiKey::Fetch as i16, 0, 11),
            (ApiKey::JoinGroup as i16, 0, 99),
            (ApiKey::OffsetFetch as i16, 0, 0),
            (ApiKey::Produce as i16, 0, 9),
        ]);
        assert_eq!(offered.get(ApiKey::Fetch), Some(11));
        assert_eq!(offered.get(ApiKey::JoinGroup), Some(9));
        assert_eq!(offered.get(ApiKey::OffsetFetch), None, "no version in common");
        assert_eq!(offered.get(ApiKey::Produce), None, "not an API of consumers");
        let older = Versions::all().at_most(ApiKey::Fetch, 4).without(ApiKey::JoinGroup);
        assert_eq!(offered.intersect(&older).get(ApiKey::Fetch), Some(4));
        assert_eq!(offered.intersect(&older).get(ApiKey::JoinGroup), None);
    }
}
