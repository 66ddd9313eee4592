//! What is known of the cluster: brokers, topics, and who leads which partition.
//!
//! Brokers are called by their ids. The servers to begin with are -1, -2 …, in their order, as
//! their ids are not known; an answer names the brokers and the servers are not asked again
//! until no broker answers any more (KIP-899).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::StrBytes;

use super::backoff::Backoff;

/// When and what to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// An answer is asked for again after this time, also when all is well.
    pub age_max: Duration,
    /// Between two questions, while something is amiss.
    pub backoff: Backoff,
    /// Whether asking for a topic may create it, as far as the brokers allow it.
    pub create_topics: bool,
}

impl Default for Options {
    /// Five minutes, as in Kafka's own client, and no topic is created.
    fn default() -> Self {
        Self { age_max: Duration::from_secs(300), backoff: Backoff::default(), create_topics: false }
    }
}

/// Where a broker listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Name or number.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Where it listens.
    pub address: Address,
    /// Where it stands.
    pub rack: Option<String>,
}

/// A topic that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topic {
    /// Another after the topic was deleted and created again; all zeros from brokers before 2.8.
    pub id: [u8; 16],
    /// Why nothing is known: it does not exist, nobody may see it ... None before the first answer.
    pub error: Option<ResponseError>,
    /// By number. Empty as long as the topic is not known to exist.
    pub partitions: Vec<Partition>,
    /// Whether it belongs to Kafka itself.
    pub internal: bool,
}

/// A partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// The broker that leads it; none during an election.
    pub leader: Option<i32>,
    /// Higher with each leader; -1 where brokers do not tell it.
    pub leader_epoch: i32,
}

const NO_PARTITION: Partition = Partition { leader: None, leader_epoch: -1 };

/// See the module.
#[derive(Debug)]
pub struct Metadata {
    options: Options,
    servers: Vec<Address>,
    brokers: BTreeMap<i32, Broker>,
    controller: Option<i32>,
    cluster_id: Option<String>,
    topics: HashMap<String, Topic>,
    all_topics: bool,
    chance: fastrand::Rng,
    created: Instant,
    /// Who is being asked.
    asked: Option<i32>,
    asked_at: Option<Instant>,
    ask_at: Instant,
    /// Topics may have come while the question was under way.
    ask_again: bool,
    /// How often something was amiss in a row, and how often nobody answered.
    troubles: u32,
    failures: usize,
    turn: usize,
}

impl Metadata {
    /// `servers` are where to begin; there must be one at least. `seed` spreads clients.
    pub fn new(options: Options, servers: Vec<Address>, seed: u64, now: Instant) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        // Clients that start together do not all go to the first server.
        let turn = chance.usize(..servers.len().max(1));
        Self {
            options,
            servers,
            brokers: BTreeMap::new(),
            controller: None,
            cluster_id: None,
            topics: HashMap::new(),
            all_topics: false,
            chance,
            created: now,
            asked: None,
            asked_at: None,
            ask_at: now,
            ask_again: false,
            troubles: 0,
            failures: 0,
            turn,
        }
    }

    /// Asks for this topic as well from now on.
    pub fn want(&mut self, topic: &str, now: Instant) {
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.to_owned(), Topic::default());
            self.ask_again = self.asked.is_some();
            self.ask_at = self.ask_at.min(now);
        }
    }

    /// No longer asks for this topic.
    pub fn forget(&mut self, topic: &str) {
        self.topics.remove(topic);
    }

    /// Asks for every topic there is from now on, for subscriptions by pattern.
    pub fn want_all(&mut self, now: Instant) {
        self.all_topics = true;
        self.ask_again = self.asked.is_some();
        self.ask_at = self.ask_at.min(now);
    }

    /// Something that is known has proved wrong: asks again soon.
    pub fn stale(&mut self, now: Instant) {
        if self.asked.is_some() {
            return;
        }
        let wait = self.options.backoff.after(self.troubles + 1, &mut self.chance);
        let soon = self.asked_at.map_or(now, |asked| (asked + wait).max(now));
        self.ask_at = self.ask_at.min(soon);
    }

    /// The question, and whom to ask, when it is time for it.
    pub fn poll(&mut self, now: Instant) -> Option<(i32, MetadataRequest)> {
        if self.asked.is_some() || now < self.ask_at {
            return None;
        }
        let broker = self.next_peer()?;
        self.asked = Some(broker);
        self.asked_at = Some(now);
        self.ask_again = false;
        let topic = |name: &String| {
            MetadataRequestTopic::default().with_name(Some(StrBytes::from_string(name.clone()).into()))
        };
        let topics = (!self.all_topics).then(|| self.topics.keys().map(topic).collect());
        let request = MetadataRequest::default()
            .with_topics(topics)
            .with_allow_auto_topic_creation(self.options.create_topics && !self.all_topics);
        Some((broker, request))
    }

    /// When [`poll`](Self::poll) has a question; none while one is under way.
    pub fn deadline(&self) -> Option<Instant> {
        self.asked.is_none().then_some(self.ask_at)
    }

    /// Whether this broker is being asked.
    pub fn is_asking(&self, broker: i32) -> bool {
        self.asked == Some(broker)
    }

    /// There was no answer.
    pub fn failed(&mut self, now: Instant) {
        if self.asked.take().is_none() {
            return;
        }
        self.failures += 1;
        // Each is tried once without a wait in between.
        let rounds = self.failures / self.servers.len().max(self.brokers.len()).max(1);
        let wait = match rounds {
            0 => Duration::ZERO,
            rounds => self.options.backoff.after(rounds as u32, &mut self.chance),
        };
        self.ask_at = now + wait;
    }

    /// Takes the answer.
    pub fn answered(&mut self, answer: &MetadataResponse, now: Instant) {
        self.asked = None;
        self.failures = 0;
        let address = |host: &StrBytes, port: i32| {
            u16::try_from(port).ok().map(|port| Address { host: host.to_string(), port })
        };
        let brokers = answer.brokers.iter().filter_map(|broker| {
            let rack = broker.rack.as_ref().map(|rack| rack.to_string());
            Some((broker.node_id.0, Broker { address: address(&broker.host, broker.port)?, rack }))
        });
        self.brokers = brokers.collect();
        self.controller = (answer.controller_id.0 >= 0).then_some(answer.controller_id.0);
        self.cluster_id = answer.cluster_id.as_ref().map(|id| id.to_string());

        let mut amiss = answer.error_code != 0 || self.brokers.is_empty();
        if self.all_topics {
            let named = |name: &str| {
                answer.topics.iter().any(|topic| topic.name.as_deref().is_some_and(|n| &**n == name))
            };
            self.topics.retain(|name, _| named(name));
        }
        for read in &answer.topics {
            let Some(name) = read.name.as_ref().map(|name| name.as_str()) else { continue };
            if self.all_topics && !self.topics.contains_key(name) {
                self.topics.insert(name.to_owned(), Topic::default());
            }
            if let Some(topic) = self.topics.get_mut(name) {
                topic.update(read);
                amiss |= topic.error.is_some();
                amiss |= topic.partitions.iter().any(|partition| partition.leader.is_none());
            }
        }
        self.troubles = if amiss { self.troubles.saturating_add(1) } else { 0 };
        self.ask_at = now
            + match amiss {
                _ if self.ask_again => Duration::ZERO,
                true => self.options.backoff.after(self.troubles, &mut self.chance),
                false => self.options.age_max,
            };
    }

    /// Takes what a broker said about a partition's new leader in place of an answer (KIP-951).
    /// Older news than what is known is not taken.
    pub fn leader_moved(&mut self, topic: &str, partition: i32, leader: i32, epoch: i32) {
        let known = self.brokers.contains_key(&leader);
        let partition = usize::try_from(partition).ok();
        let found = self.topics.get_mut(topic).and_then(|topic| topic.partitions.get_mut(partition?));
        if let Some(found) = found.filter(|found| known && found.leader_epoch < epoch) {
            *found = Partition { leader: Some(leader), leader_epoch: epoch };
        }
    }

    /// Takes the address of a broker that was named with such news.
    pub fn broker_named(&mut self, id: i32, address: Address, rack: Option<String>) {
        self.brokers.insert(id, Broker { address, rack });
    }

    /// A topic that was asked for.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// All topics, in no order.
    pub fn topics(&self) -> impl Iterator<Item = (&str, &Topic)> {
        self.topics.iter().map(|(name, topic)| (name.as_str(), topic))
    }

    /// Who leads a partition, as far as it is known.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        self.topics.get(topic)?.partitions.get(usize::try_from(partition).ok()?)?.leader
    }

    /// The brokers, by id.
    pub fn brokers(&self) -> &BTreeMap<i32, Broker> {
        &self.brokers
    }

    /// Where a broker listens, or one of the servers to begin with.
    pub fn address(&self, broker: i32) -> Option<&Address> {
        match usize::try_from(-1 - i64::from(broker)) {
            Ok(server) => self.servers.get(server),
            Err(_) => self.brokers.get(&broker).map(|broker| &broker.address),
        }
    }

    /// The broker that creates topics; brokers with KRaft name any of them.
    pub fn controller(&self) -> Option<i32> {
        self.controller
    }

    /// The cluster's own id.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// When it was made.
    pub fn created(&self) -> Instant {
        self.created
    }

    /// Any broker for a question that all can answer; a server while none is known.
    pub fn any_broker(&mut self) -> Option<i32> {
        self.next_peer()
    }

    fn next_peer(&mut self) -> Option<i32> {
        let turn = self.turn;
        self.turn = self.turn.wrapping_add(1);
        // When all brokers have failed, perhaps the cluster has moved.
        if !self.brokers.is_empty() && self.failures < self.brokers.len() {
            return self.brokers.keys().nth(turn % self.brokers.len()).copied();
        }
        let server = turn.checked_rem(self.servers.len())?;
        Some(-1 - i32::try_from(server).ok()?)
    }
}

impl Topic {
    fn update(&mut self, read: &MetadataResponseTopic) {
        self.error = read.error_code.err();
        self.internal = read.is_internal;
        if self.error.is_some() {
            self.partitions.clear();
            return;
        }
        let id = *read.topic_id.as_bytes();
        if id != self.id {
            self.id = id;
            self.partitions.clear();
        }
        // However often an answer names them.
        let numbers: BTreeSet<i32> =
            read.partitions.iter().map(|partition| partition.partition_index).collect();
        let count = numbers.len();
        let old = std::mem::replace(&mut self.partitions, vec![NO_PARTITION; count]);
        for partition in &read.partitions {
            let Ok(at) = usize::try_from(partition.partition_index) else { continue };
            let Some(place) = self.partitions.get_mut(at) else { continue };
            let leader = Some(partition.leader_id.0).filter(|leader| *leader >= 0);
            let new = Partition { leader, leader_epoch: partition.leader_epoch };
            // A broker that is behind may tell what was true before (KIP-320).
            let known =
                old.get(at).filter(|old| new.leader_epoch >= 0 && old.leader_epoch > new.leader_epoch);
            *place = known.copied().unwrap_or(new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponsePartition};

    fn servers(count: u16) -> Vec<Address> {
        (0..count).map(|at| Address { host: format!("seed{at}"), port: 9092 + at }).collect()
    }

    fn answer(brokers: &[i32], topics: Vec<MetadataResponseTopic>) -> MetadataResponse {
        let broker = |id: &i32| {
            MetadataResponseBroker::default()
                .with_node_id((*id).into())
                .with_host(StrBytes::from_string(format!("b{id}")))
                .with_port(9000 + id)
        };
        MetadataResponse::default()
            .with_brokers(brokers.iter().map(broker).collect())
            .with_controller_id(brokers[0].into())
            .with_topics(topics)
    }

    fn topic(name: &'static str, error: i16, leaders: &[(i32, i32)]) -> MetadataResponseTopic {
        let partition = |(at, (leader, epoch)): (usize, &(i32, i32))| {
            MetadataResponsePartition::default()
                .with_partition_index(at as i32)
                .with_leader_id((*leader).into())
                .with_leader_epoch(*epoch)
        };
        MetadataResponseTopic::default()
            .with_name(Some(StrBytes::from_static_str(name).into()))
            .with_error_code(error)
            .with_partitions(leaders.iter().enumerate().map(partition).collect())
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn servers_take_turns_until_one_answers() {
        let now = Instant::now();
        let mut metadata = Metadata::new(Options::default(), servers(3), 7, now);
        metadata.want("t", now);
        let mut asked: Vec<i32> = (0..3)
            .map(|_| {
                let (broker, request) = metadata.poll(now).unwrap();
                assert_eq!(request.topics.as_ref().unwrap().len(), 1);
                assert!(!request.allow_auto_topic_creation);
                assert!(metadata.poll(now).is_none() && metadata.deadline().is_none());
                assert_eq!(metadata.address(broker).unwrap().host, format!("seed{}", -1 - broker));
                metadata.failed(now);
                broker
            })
            .collect();
        asked.sort_unstable();
        assert_eq!(asked, [-3, -2, -1]);
        // After all of them there is a wait.
        assert!(metadata.poll(now).is_none());
        let again = metadata.deadline().unwrap();
        assert!(again >= now + Duration::from_millis(80) && again <= now + Duration::from_millis(120));
        metadata.poll(again).unwrap();
        metadata.answered(&answer(&[5, 6], vec![topic("t", 0, &[(5, 1), (6, 1)])]), again);
        assert_eq!((metadata.leader("t", 0), metadata.leader("t", 1)), (Some(5), Some(6)));
        assert_eq!(
            (metadata.leader("t", 2), metadata.leader("t", -1), metadata.leader("u", 0)),
            (None, None, None)
        );
        assert_eq!(metadata.address(5), Some(&Address { host: "b5".to_owned(), port: 9005 }));
        assert_eq!(metadata.deadline(), Some(again + Duration::from_secs(300)));

        // Brokers take turns as well, and when none answers the servers are asked.
        let mut now = again + Duration::from_secs(300);
        let mut asked = Vec::new();
        for _ in 0..3 {
            asked.push(metadata.poll(now).unwrap().0);
            metadata.failed(now);
            now = metadata.deadline().unwrap();
        }
        asked[..2].sort_unstable();
        assert_eq!(asked[..2], [5, 6]);
        assert!(asked[2] < 0);
    }

    #[test]
    fn leaders_do_not_go_back() {
        let now = Instant::now();
        let mut metadata = Metadata::new(Options::default(), servers(1), 0, now);
        metadata.want("t", now);
        metadata.poll(now);
        metadata.answered(&answer(&[1, 2, 3], vec![topic("t", 0, &[(1, 5)])]), now);
        metadata.leader_moved("t", 0, 2, 4);
        assert_eq!(metadata.leader("t", 0), Some(1));
        metadata.leader_moved("t", 0, 9, 6); // a broker that nobody knows
        assert_eq!(metadata.leader("t", 0), Some(1));
        metadata.leader_moved("t", 0, 2, 6);
        assert_eq!(metadata.leader("t", 0), Some(2));
        metadata.answered(&answer(&[1, 2, 3], vec![topic("t", 0, &[(1, 5)])]), now);
        assert_eq!(metadata.leader("t", 0), Some(2));
        metadata.answered(&answer(&[1, 2, 3], vec![topic("t", 0, &[(3, 7)])]), now);
        assert_eq!(metadata.leader("t", 0), Some(3));
        // A topic that was created again begins again.
        let mut anew = topic("t", 0, &[(1, 0)]);
        anew.topic_id = "00000000-0000-0000-0000-000000000007".parse().unwrap();
        metadata.answered(&answer(&[1, 2, 3], vec![anew]), now);
        assert_eq!(metadata.leader("t", 0), Some(1));
        // Brokers before 2.1 tell no epochs.
        metadata.answered(&answer(&[1, 2, 3], vec![topic("t", 0, &[(2, -1)])]), now);
        assert_eq!(metadata.leader("t", 0), Some(2));
    }

    #[test]
    fn partitions_that_are_named_twice_are_there_once() {
        let now = Instant::now();
        let mut metadata = Metadata::new(Options::default(), servers(1), 0, now);
        metadata.want("t", now);
        metadata.poll(now);
        let mut named = topic("t", 0, &[(1, 5), (1, 6)]);
        let again = named.partitions[1].clone();
        named.partitions.push(again);
        metadata.answered(&answer(&[1], vec![named]), now);
        assert_eq!(metadata.topic("t").unwrap().partitions.len(), 2);
    }

    #[test]
    fn trouble_is_asked_about_again() {
        #[track_caller]
        fn check(topics: Vec<MetadataResponseTopic>, error: Option<ResponseError>) {
            let now = Instant::now();
            let mut metadata = Metadata::new(Options::default(), servers(1), 0, now);
            metadata.want("t", now);
            metadata.poll(now);
            metadata.answered(&answer(&[1], topics.clone()), now);
            assert_eq!(metadata.topic("t").unwrap().error, error);
            let first = metadata.deadline().unwrap();
            assert!(first <= now + Duration::from_millis(120));
            metadata.poll(first).unwrap();
            metadata.answered(&answer(&[1], topics), first);
            assert!(metadata.deadline().unwrap() >= first + Duration::from_millis(160));
        }
        check(vec![topic("t", 3, &[])], Some(ResponseError::UnknownTopicOrPartition));
        check(vec![topic("t", 29, &[])], Some(ResponseError::TopicAuthorizationFailed));
        check(vec![topic("t", 0, &[(1, 0), (-1, 0)])], None);
    }

    #[test]
    fn what_is_stale_is_asked_for_soon_but_not_at_once() {
        let now = Instant::now();
        let mut metadata = Metadata::new(Options::default(), servers(1), 0, now);
        metadata.want("t", now);
        metadata.poll(now);
        metadata.stale(now); // a question is under way
        metadata.want("u", now);
        metadata.answered(&answer(&[1], vec![topic("t", 0, &[(1, 0)])]), now);
        assert_eq!(metadata.deadline(), Some(now)); // because of "u"
        assert_eq!(metadata.poll(now).unwrap().1.topics.unwrap().len(), 2);
        metadata.answered(&answer(&[1], vec![topic("u", 0, &[(1, 0)])]), now);
        metadata.stale(now);
        let soon = metadata.deadline().unwrap();
        assert!(soon >= now + Duration::from_millis(80) && soon <= now + Duration::from_millis(120));
        metadata.stale(now + SECOND);
        assert_eq!(metadata.deadline(), Some(soon));
    }

    #[test]
    fn all_topics_come_and_go() {
        let now = Instant::now();
        let options = Options { create_topics: true, ..Options::default() };
        let mut metadata = Metadata::new(options, servers(1), 0, now);
        metadata.want("old", now);
        assert!(metadata.poll(now).unwrap().1.allow_auto_topic_creation);
        metadata.want_all(now);
        metadata.answered(&answer(&[1], vec![topic("old", 0, &[(1, 0)])]), now);
        let (_, request) = metadata.poll(now).unwrap();
        assert_eq!((request.topics, request.allow_auto_topic_creation), (None, false));
        metadata.answered(&answer(&[1], vec![topic("new", 0, &[(1, 0)])]), now);
        assert_eq!(metadata.topics().map(|(name, _)| name).collect::<Vec<_>>(), ["new"]);
    }
}
