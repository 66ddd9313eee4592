//! The bytes that members of a group exchange through the coordinator: `ConsumerProtocolSubscription`
//! and `ConsumerProtocolAssignment` (Kafka's message definitions, versions 0 to 3), and the user
//! data of Java's sticky assignors.
//!
//! ```text
//! subscription   version i16 · topics [string] · user data bytes?
//!                from 1: owned [topic string · partitions [i32]]   from 2: generation i32   from 3: rack string?
//! assignment     version i16 · [topic string · partitions [i32]] · user data bytes?
//! sticky         [topic string · partitions [i32]] · generation i32 (not in the oldest)
//! cooperative    generation i32
//! ```
//!
//! Read by hand rather than with `kafka-protocol`: the bytes come from any member, and a wrong
//! count in them must not reserve memory. A version above 3 is read as 3 and what follows is
//! left alone, as Java does.

use super::TopicPartition;
use crate::kafka::consumer::by_topic;
use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;

/// What a member says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The topics it wants.
    pub topics: Vec<TopicName>,
    /// What its assignor adds.
    pub user_data: Option<Bytes>,
    /// What it holds (version 1).
    pub owned: Vec<TopicPartition>,
    /// The generation in which it held that; -1 is none (version 2).
    pub generation: i32,
    /// Its rack (version 3).
    pub rack: Option<StrBytes>,
}

/// What a member is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The partitions.
    pub partitions: Vec<TopicPartition>,
    /// What the leader's assignor adds.
    pub user_data: Option<Bytes>,
}

/// Why bytes of another member cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The bytes end too early.
    #[error("the bytes end too early")]
    Short,
    /// A length or count below zero where none may be.
    #[error("a length is negative")]
    Negative,
    /// A name that is not UTF-8.
    #[error("a name is not UTF-8")]
    Text,
}

const VERSION_MAX: i16 = 3;

/// Writes a subscription in `version` (at most 3).
pub fn encode_subscription(subscription: &Subscription, version: i16) -> Bytes {
    let mut out = Vec::new();
    out.extend(version.to_be_bytes());
    put_count(&mut out, subscription.topics.len());
    for topic in &subscription.topics {
        put_string(&mut out, topic);
    }
    put_bytes(&mut out, subscription.user_data.as_deref());
    if version >= 1 {
        put_partitions(&mut out, &subscription.owned);
    }
    if version >= 2 {
        out.extend(subscription.generation.to_be_bytes());
    }
    if version >= 3 {
        match &subscription.rack {
            Some(rack) => put_string(&mut out, rack),
            None => out.extend((-1i16).to_be_bytes()),
        }
    }
    out.into()
}

/// Reads a subscription of any version.
pub fn decode_subscription(bytes: &[u8]) -> Result<Subscription, ProtocolError> {
    let mut from = Reader(bytes);
    let version = from.i16()?.min(VERSION_MAX);
    let topics = from.array(|from| Ok(TopicName(from.string()?.ok_or(ProtocolError::Negative)?)))?;
    Ok(Subscription {
        topics,
        user_data: from.bytes()?,
        owned: if version >= 1 { from.partitions()? } else { Vec::new() },
        generation: if version >= 2 { from.i32()? } else { -1 },
        rack: if version >= 3 { from.string()? } else { None },
    })
}

/// Writes an assignment in `version` (at most 3; the versions differ in nothing else).
pub fn encode_assignment(assignment: &Assignment, version: i16) -> Bytes {
    let mut out = Vec::new();
    out.extend(version.to_be_bytes());
    put_partitions(&mut out, &assignment.partitions);
    put_bytes(&mut out, assignment.user_data.as_deref());
    out.into()
}

/// Reads an assignment. Empty bytes are an empty one: this is what a coordinator gives to a
/// member that the leader left out.
pub fn decode_assignment(bytes: &[u8]) -> Result<Assignment, ProtocolError> {
    if bytes.is_empty() {
        return Ok(Assignment::default());
    }
    let mut from = Reader(bytes);
    from.i16()?;
    Ok(Assignment { partitions: from.partitions()?, user_data: from.bytes()? })
}

/// User data of `sticky`: what the member had, and in which generation.
pub(super) fn encode_sticky(owned: &BTreeSet<TopicPartition>, generation: i32) -> Bytes {
    let mut out = Vec::new();
    put_partitions(&mut out, owned);
    out.extend(generation.to_be_bytes());
    out.into()
}

/// The oldest form has no generation, which is then unknown.
pub(super) fn decode_sticky(bytes: &[u8]) -> Result<(Vec<TopicPartition>, i32), ProtocolError> {
    let mut from = Reader(bytes);
    let owned = from.partitions()?;
    Ok((owned, from.i32().unwrap_or(-1)))
}

/// User data of `cooperative-sticky`.
pub(super) fn encode_generation(generation: i32) -> Bytes {
    Bytes::copy_from_slice(&generation.to_be_bytes())
}

pub(super) fn decode_generation(bytes: &[u8]) -> Result<i32, ProtocolError> {
    Reader(bytes).i32()
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ProtocolError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ProtocolError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], ProtocolError> {
        self.take(N)?.try_into().map_err(|_| ProtocolError::Short)
    }

    fn i16(&mut self) -> Result<i16, ProtocolError> {
        self.array_of().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, ProtocolError> {
        self.array_of().map(i32::from_be_bytes)
    }

    fn string(&mut self) -> Result<Option<StrBytes>, ProtocolError> {
        let Ok(length) = usize::try_from(self.i16()?) else { return Ok(None) };
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| ProtocolError::Text)?;
        Ok(Some(StrBytes::from_string(text.to_owned())))
    }

    fn bytes(&mut self) -> Result<Option<Bytes>, ProtocolError> {
        let Ok(length) = usize::try_from(self.i32()?) else { return Ok(None) };
        self.take(length).map(|taken| Some(Bytes::copy_from_slice(taken)))
    }

    fn array<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, ProtocolError>,
    ) -> Result<Vec<T>, ProtocolError> {
        let count = usize::try_from(self.i32()?).map_err(|_| ProtocolError::Negative)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn partitions(&mut self) -> Result<Vec<TopicPartition>, ProtocolError> {
        let topics = self.array(|from| {
            let topic = TopicName(from.string()?.ok_or(ProtocolError::Negative)?);
            from.array(|from| Ok(TopicPartition::new(topic.clone(), from.i32()?)))
        })?;
        Ok(topics.into_iter().flatten().collect())
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend((count as i32).to_be_bytes());
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as i16).to_be_bytes());
    out.extend(text.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_count(out, bytes.len());
            out.extend(bytes);
        }
        None => out.extend((-1i32).to_be_bytes()),
    }
}

fn put_partitions<'a>(out: &mut Vec<u8>, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
    let topics = by_topic(partitions.into_iter().map(|at| (at, ())));
    put_count(out, topics.len());
    for (topic, numbers) in topics {
        put_string(out, &topic);
        put_count(out, numbers.len());
        for (number, ()) in numbers {
            out.extend(number.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::topic;
    use super::*;
    use kafka_protocol::messages::consumer_protocol_subscription as theirs;
    use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
    use kafka_protocol::protocol::{Decodable, Encodable};
    use proptest::prelude::*;

    fn partitions() -> impl Strategy<Value = Vec<TopicPartition>> {
        prop::collection::btree_set(("[a-z]{1,3}", 0..9i32), 0..6).prop_map(|set| {
            set.into_iter().map(|(name, number)| TopicPartition::new(topic(&name), number)).collect()
        })
    }

    fn data() -> impl Strategy<Value = Option<Bytes>> {
        prop::option::of(prop::collection::vec(any::<u8>(), 0..9).prop_map(Bytes::from))
    }

    fn subscriptions() -> impl Strategy<Value = Subscription> {
        (
            prop::collection::vec("[a-z]{1,4}", 0..4),
            data(),
            partitions(),
            any::<i32>(),
            prop::option::of("[a-z]{0,4}"),
        )
            .prop_map(|(topics, user_data, owned, generation, rack)| Subscription {
                topics: topics.iter().map(|name| topic(name)).collect(),
                user_data,
                owned,
                generation,
                rack: rack.map(StrBytes::from_string),
            })
    }

    /// The same as `kafka-protocol` writes it.
    fn reference(subscription: &Subscription, version: i16) -> Vec<u8> {
        let owned =
            by_topic(subscription.owned.iter().map(|at| (at, ()))).into_iter().map(|(name, numbers)| {
                let numbers = numbers.into_iter().map(|(number, ())| number).collect();
                theirs::TopicPartition::default().with_topic(name).with_partitions(numbers)
            });
        let message = ConsumerProtocolSubscription::default()
            .with_topics(subscription.topics.iter().map(|name| name.0.clone()).collect())
            .with_user_data(subscription.user_data.clone())
            .with_owned_partitions(if version >= 1 { owned.collect() } else { Vec::new() })
            .with_generation_id(subscription.generation)
            .with_rack_id(subscription.rack.clone());
        let mut out = version.to_be_bytes().to_vec();
        message.encode(&mut out, version).expect("a message of that version");
        out
    }

    proptest! {
        #[test]
        fn subscriptions_are_written_as_by_others(before in subscriptions(), version in 0..=3i16) {
            let bytes = encode_subscription(&before, version);
            prop_assert_eq!(&bytes[..], &reference(&before, version)[..]);
            let after = decode_subscription(&bytes).expect("what was written");
            let expected = Subscription {
                owned: if version >= 1 { before.owned.clone() } else { Vec::new() },
                generation: if version >= 2 { before.generation } else { -1 },
                rack: before.rack.clone().filter(|_| version >= 3),
                ..before
            };
            prop_assert_eq!(after, expected);
        }

        #[test]
        fn assignments_come_back(partitions in partitions(), user_data in data(), version in 0..=3i16) {
            let before = Assignment { partitions, user_data };
            let bytes = encode_assignment(&before, version);
            let theirs = ConsumerProtocolAssignment::decode(&mut bytes.slice(2..), version).expect("readable");
            let count: usize = theirs.assigned_partitions.iter().map(|topic| topic.partitions.len()).sum();
            prop_assert_eq!(count, before.partitions.len());
            prop_assert_eq!(decode_assignment(&bytes), Ok(before));
        }

        #[test]
        fn sticky_data_comes_back(owned in partitions(), generation in any::<i32>()) {
            let bytes = encode_sticky(&owned.iter().cloned().collect(), generation);
            prop_assert_eq!(decode_sticky(&bytes), Ok((owned.clone(), generation)));
            prop_assert_eq!(decode_sticky(&bytes[..bytes.len() - 4]), Ok((owned, -1)), "the oldest form");
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode_subscription(&bytes);
            let _ = decode_assignment(&bytes);
            let _ = decode_sticky(&bytes);
        }

        #[test]
        fn cut_bytes_are_refused(before in subscriptions(), cut in 1..20usize) {
            let bytes = encode_subscription(&before, 3);
            prop_assert!(decode_subscription(&bytes[..bytes.len().saturating_sub(cut)]).is_err());
        }
    }

    #[test]
    fn newer_versions_are_read_as_the_newest_known() {
        let before = Subscription {
            topics: vec![topic("t")],
            user_data: None,
            owned: vec![],
            generation: 4,
            rack: None,
        };
        let mut bytes = encode_subscription(&before, 3).to_vec();
        bytes[1] = 9;
        bytes.extend(b"something new");
        assert_eq!(decode_subscription(&bytes), Ok(before));
    }
}
