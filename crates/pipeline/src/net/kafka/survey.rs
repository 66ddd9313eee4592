//! Asks a cluster what there is: topics, and how far groups are behind.
//!
//! One thread asks and waits. A broker that does not answer costs what it alone knows, and is
//! told of; the rest comes all the same.

use super::{Cluster, ClusterConfig, Happened, Links, Send, send_kind};
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{ApiKey, FindCoordinatorRequest, MetadataResponse, RequestKind, ResponseKind};
use kafka_protocol::protocol::StrBytes;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use uuid::Uuid;
pub use wire::kafka::consumer::lag::Row as LagRow;
use wire::kafka::consumer::lag::{self, At, Isolation, Sample};
use wire::kafka::consumer::{TopicPartition, Versions};
use wire::kafka::metadata::{Metadata, Options};

/// What a cluster is asked with.
pub struct Surveyor {
    /// A question is known by its round and its number in it.
    links: Links<(u64, usize)>,
    round: u64,
    metadata: Metadata,
    ids: BTreeMap<StrBytes, Uuid>,
    leaders: BTreeMap<TopicPartition, (i32, i32)>,
    timeout: Duration,
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionRow {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The broker that leads it; none during an election.
    pub leader: Option<i32>,
    /// The brokers that shall have it.
    pub replicas: Vec<i32>,
    /// Those of them that have all of it.
    pub in_sync: Vec<i32>,
    /// The first offset that is there.
    pub first: Option<i64>,
    /// The one behind the last.
    pub end: Option<i64>,
}

/// What was found, and what could not be found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// What was found.
    pub rows: Vec<T>,
    /// What brokers did not answer, in words.
    pub missing: Vec<String>,
}

/// Makes the request in the version that the broker has.
type Make = Box<dyn FnOnce(&Versions) -> (RequestKind, i16) + std::marker::Send>;

impl Surveyor {
    /// For a cluster; nothing is connected yet. A round of questions takes `timeout` at most.
    pub fn new(config: &ClusterConfig, timeout: Duration) -> Result<Self, String> {
        let cluster: Cluster = config.build()?;
        let servers = cluster.servers.clone();
        let mut metadata = Metadata::new(Options::default(), servers, fastrand::u64(..), Instant::now());
        metadata.want_all(Instant::now());
        Ok(Self {
            links: Links::new(cluster),
            round: 0,
            metadata,
            ids: BTreeMap::new(),
            leaders: BTreeMap::new(),
            timeout,
        })
    }

    /// The partitions of the topics that are named, or of all that are not Kafka's own.
    pub fn topics(&mut self, named: &[String]) -> Result<Found<PartitionRow>, String> {
        let mut missing = Vec::new();
        let answer = self.learn()?;
        let mut rows = BTreeMap::new();
        for topic in &answer.topics {
            let Some(name) = &topic.name else { continue };
            let is_wanted = match named {
                [] => !topic.is_internal,
                named => named.iter().any(|named| named == name.as_str()),
            };
            if !is_wanted {
                continue;
            }
            for partition in &topic.partitions {
                let at = TopicPartition::new(name.clone(), partition.partition_index);
                rows.insert(at.clone(), row(&at, partition));
            }
        }
        for named in named.iter().filter(|named| !rows.keys().any(|at| at.topic.as_str() == named.as_str())) {
            missing.push(format!("there is no topic {named:?}, or we may not see it"));
        }
        for (at, answer) in self.measure(&rows.keys().cloned().collect(), &mut missing) {
            for topic in &answer.topics {
                for measured in topic.partitions.iter().filter(|measured| measured.error_code == 0) {
                    let place = TopicPartition::new(topic.name.clone(), measured.partition_index);
                    let Some(row) = rows.get_mut(&place) else { continue };
                    match at {
                        At::Earliest => row.first = Some(measured.offset),
                        _ => row.end = Some(measured.offset),
                    }
                }
            }
        }
        Ok(Found { rows: rows.into_values().collect(), missing })
    }

    /// How far the groups that are named, or all, are behind, at this time in milliseconds
    /// since 1970.
    pub fn lag(&mut self, named: &[String], now: i64) -> Result<Found<LagRow>, String> {
        let mut missing = Vec::new();
        self.learn()?;
        let mut survey = lag::Survey::default();
        let coordinators = match named {
            [] => self.list(&mut survey, &mut missing),
            named => self.coordinators(named, &mut survey, &mut missing),
        };
        self.describe(&coordinators, &mut survey, &mut missing);
        for (at, answer) in self.measure(&survey.partitions(), &mut missing) {
            survey.measured(at, &answer);
        }
        self.sample(&mut survey, &mut missing);
        Ok(Found { rows: survey.rows(now), missing })
    }

    /// Which groups there are, by the broker that coordinates them.
    fn list(&mut self, survey: &mut lag::Survey, missing: &mut Vec<String>) -> BTreeMap<StrBytes, i32> {
        let brokers: Vec<i32> = self.metadata.brokers().keys().copied().collect();
        let make = |version: i16| (RequestKind::ListGroups(lag::list_groups()), version);
        let questions = brokers.iter().map(|broker| (*broker, make_with(ApiKey::ListGroups, make)));
        let answers = self.ask(questions.collect());
        let mut coordinators = BTreeMap::new();
        for (broker, answer) in brokers.into_iter().zip(answers) {
            let Some(ResponseKind::ListGroups(answer)) = said(answer, missing) else { continue };
            if let Err(error) = survey.listed(&answer) {
                missing.push(format!("the groups of broker {broker}: {error:?}"));
            }
            let names = answer.groups.into_iter().map(|listed| listed.group_id.0);
            coordinators.extend(names.map(|name| (name, broker)));
        }
        let (classic, consumer) = survey.groups();
        let known: BTreeSet<StrBytes> = classic.into_iter().chain(consumer).collect();
        coordinators.retain(|name, _| known.contains(name));
        coordinators
    }

    /// The coordinators of groups that are named.
    fn coordinators(
        &mut self,
        named: &[String],
        survey: &mut lag::Survey,
        missing: &mut Vec<String>,
    ) -> BTreeMap<StrBytes, i32> {
        let Some(any) = self.metadata.any_broker() else { return BTreeMap::new() };
        let names = named.iter().cloned().map(StrBytes::from_string);
        let names: Vec<StrBytes> = names.collect();
        let questions = names.iter().cloned().map(|name| {
            let make = move |version: i16| {
                let request = match version {
                    0..=3 => FindCoordinatorRequest::default().with_key(name),
                    _ => FindCoordinatorRequest::default().with_coordinator_keys(vec![name]),
                };
                (RequestKind::FindCoordinator(request), version)
            };
            (any, make_with(ApiKey::FindCoordinator, make))
        });
        let answers = self.ask(questions.collect());
        let mut coordinators = BTreeMap::new();
        for (name, answer) in names.into_iter().zip(answers) {
            let Some(ResponseKind::FindCoordinator(answer)) = said(answer, missing) else { continue };
            let (code, broker) = match answer.coordinators.first() {
                Some(one) => (one.error_code, one.node_id.0),
                None => (answer.error_code, answer.node_id.0),
            };
            if code != 0 {
                missing.push(format!("the coordinator of the group {:?}: error {code}", name.as_str()));
                continue;
            }
            survey.watch(name.clone());
            coordinators.insert(name, broker);
        }
        // Whether a group is of the new protocol is told by the list alone.
        let brokers: BTreeSet<i32> = coordinators.values().copied().collect();
        let make = |version: i16| (RequestKind::ListGroups(lag::list_groups()), version);
        let questions = brokers.into_iter().map(|broker| (broker, make_with(ApiKey::ListGroups, make)));
        for answer in self.ask(questions.collect()) {
            let Some(ResponseKind::ListGroups(mut answer)) = said(answer, missing) else { continue };
            answer.groups.retain(|listed| coordinators.contains_key(&listed.group_id.0));
            // Without the right to list, the group counts as one of the classic protocol.
            let _ = survey.listed(&answer);
        }
        coordinators
    }

    /// Who is in the groups, and what they have committed.
    fn describe(
        &mut self,
        coordinators: &BTreeMap<StrBytes, i32>,
        survey: &mut lag::Survey,
        missing: &mut Vec<String>,
    ) {
        let (classic, consumer) = survey.groups();
        let at = |name: &StrBytes| coordinators.get(name).copied();
        let mut questions: Vec<(i32, Make)> = Vec::new();
        let mut fetched = Vec::new();
        for name in classic.iter().chain(&consumer) {
            let Some(broker) = at(name) else { continue };
            let group = name.clone();
            let make = move |version: i16| {
                let request = lag::offset_fetch(&group, None, None, version);
                (RequestKind::OffsetFetch(request), version)
            };
            questions.push((broker, make_with(ApiKey::OffsetFetch, make)));
            fetched.push(name.clone());
        }
        for name in classic {
            let Some(broker) = at(&name) else { continue };
            let make = |version| (RequestKind::DescribeGroups(lag::describe_groups([name])), version);
            questions.push((broker, make_with(ApiKey::DescribeGroups, make)));
        }
        for name in consumer {
            let Some(broker) = at(&name) else { continue };
            let make = |version| {
                (RequestKind::ConsumerGroupDescribe(lag::describe_consumer_groups([name])), version)
            };
            questions.push((broker, make_with(ApiKey::ConsumerGroupDescribe, make)));
        }
        for (number, answer) in self.ask(questions).into_iter().enumerate() {
            match said(answer, missing) {
                Some(ResponseKind::OffsetFetch(answer)) => {
                    let Some(group) = fetched.get(number) else { continue };
                    if let Err(error) = survey.committed(group, &answer) {
                        missing.push(format!("the offsets of the group {:?}: {error:?}", group.as_str()));
                    }
                }
                Some(ResponseKind::DescribeGroups(answer)) => survey.described(&answer),
                Some(ResponseKind::ConsumerGroupDescribe(answer)) => survey.described_consumers(&answer),
                _ => {}
            }
        }
    }

    /// From where to where the logs go.
    fn measure(
        &mut self,
        partitions: &BTreeSet<TopicPartition>,
        missing: &mut Vec<String>,
    ) -> Vec<(At, kafka_protocol::messages::ListOffsetsResponse)> {
        let mut wanted: BTreeMap<i32, Vec<(TopicPartition, i32)>> = BTreeMap::new();
        for at in partitions {
            if let Some((broker, epoch)) = self.leaders.get(at) {
                wanted.entry(*broker).or_default().push((at.clone(), *epoch));
            }
        }
        let mut questions = Vec::new();
        let mut places = Vec::new();
        for (broker, partitions) in wanted {
            for at in [At::Earliest, At::Latest] {
                let partitions = partitions.clone();
                let make = move |version: i16| {
                    let asked = partitions.iter().map(|(at, epoch)| (at, *epoch));
                    let request = lag::list_offsets(asked, at, Isolation::ReadUncommitted, version);
                    (RequestKind::ListOffsets(request), version)
                };
                questions.push((broker, make_with(ApiKey::ListOffsets, make)));
                places.push(at);
            }
        }
        let answers = places.into_iter().zip(self.ask(questions));
        let measured = answers.filter_map(|(at, answer)| match said(answer, missing)? {
            ResponseKind::ListOffsets(answer) => Some((at, answer)),
            _ => None,
        });
        measured.collect()
    }

    /// When what is read next was written.
    fn sample(&mut self, survey: &mut lag::Survey, missing: &mut Vec<String>) {
        let samples: Vec<Sample> = survey.samples().into_iter().collect();
        let mut questions = Vec::new();
        let mut asked = Vec::new();
        for sample in samples {
            let Some((broker, _)) = self.leaders.get(&sample.partition) else { continue };
            let id = self.ids.get(&sample.partition.topic.0).copied();
            let one = sample.clone();
            let make = move |version: i16| {
                // Without an id the last version that has names.
                let version = if id.is_some() { version } else { version.min(12) };
                (RequestKind::Fetch(lag::fetch_one(&one, id.unwrap_or_default(), version)), version)
            };
            questions.push((*broker, make_with(ApiKey::Fetch, make)));
            asked.push(sample);
        }
        for (sample, answer) in asked.into_iter().zip(self.ask(questions)) {
            let Some(ResponseKind::Fetch(answer)) = said(answer, missing) else { continue };
            let mut data = answer.responses.iter().flat_map(|topic| &topic.partitions);
            let records = data.next().and_then(|data| data.records.as_ref());
            if let Some(time) = records.and_then(|records| lag::timestamp_of(records, sample.offset)) {
                survey.sampled(sample, time);
            }
        }
    }

    /// Learns who is who from the first broker that answers.
    fn learn(&mut self) -> Result<MetadataResponse, String> {
        let until = Instant::now() + self.timeout;
        let mut trouble = "no broker answers".to_owned();
        self.metadata.stale(Instant::now());
        while Instant::now() < until {
            let now = Instant::now();
            let Some((broker, request)) = self.metadata.poll(now) else {
                let pause = self.metadata.deadline().map_or(until, |at| at.min(until));
                self.links.turn(pause, &mut Vec::new());
                continue;
            };
            let make: Make = Box::new(move |versions| {
                let version = versions.get(ApiKey::Metadata).unwrap_or(1);
                (RequestKind::Metadata(request), version)
            });
            match self.ask(vec![(broker, make)]).pop() {
                Some(Ok(ResponseKind::Metadata(answer))) => {
                    self.metadata.answered(&answer, Instant::now());
                    self.remember(&answer);
                    return Ok(answer);
                }
                Some(Err(error)) => trouble = error,
                _ => {}
            }
            self.metadata.failed(Instant::now());
        }
        Err(trouble)
    }

    fn remember(&mut self, answer: &MetadataResponse) {
        self.ids.clear();
        self.leaders.clear();
        for topic in answer.topics.iter().filter(|topic| topic.error_code == 0) {
            let Some(name) = &topic.name else { continue };
            if !topic.topic_id.is_nil() {
                self.ids.insert(name.0.clone(), topic.topic_id);
            }
            for partition in topic.partitions.iter().filter(|partition| partition.leader_id.0 >= 0) {
                let at = TopicPartition::new(name.clone(), partition.partition_index);
                self.leaders.insert(at, (partition.leader_id.0, partition.leader_epoch));
            }
        }
    }

    /// Asks all at once and waits for the answers, which come in the order of the questions.
    fn ask(&mut self, questions: Vec<(i32, Make)>) -> Vec<Result<ResponseKind, String>> {
        let now = Instant::now();
        let until = now + self.timeout;
        self.round += 1;
        let round = self.round;
        let mut answers: Vec<Option<Result<ResponseKind, String>>> = Vec::new();
        for (number, (broker, make)) in questions.into_iter().enumerate() {
            let Some(address) = self.metadata.address(broker).cloned() else {
                answers.push(Some(Err(format!("nobody knows where broker {broker} is"))));
                continue;
            };
            let send: Send = Box::new(move |link| {
                let (request, version) = make(&Versions::told(link.versions()));
                send_kind(link, &request, version, until)
            });
            self.links.send(broker, &address, send, (round, number), now);
            answers.push(None);
        }
        let mut happened = Vec::new();
        while answers.iter().any(Option::is_none) && Instant::now() < until {
            self.links.turn(until, &mut happened);
            for one in happened.drain(..) {
                let mut answered = |(of, number): (u64, usize), answer| {
                    if let Some(slot @ None) = answers.get_mut(number).filter(|_| of == round) {
                        *slot = Some(answer);
                    }
                };
                match one {
                    Happened::Answered(tag, response) => {
                        answered(tag, response.kind().map_err(|error| error.to_string()));
                    }
                    Happened::Unsent(tag, error) => answered(tag, Err(error)),
                    Happened::Written(_) => {}
                    Happened::Lost { error, tags, .. } => {
                        tags.into_iter().for_each(|tag| answered(tag, Err(error.clone())));
                    }
                }
            }
        }
        let late = || Err("a broker did not answer in time".to_owned());
        answers.into_iter().map(|answer| answer.unwrap_or_else(late)).collect()
    }
}

fn make_with(
    api: ApiKey,
    make: impl FnOnce(i16) -> (RequestKind, i16) + std::marker::Send + 'static,
) -> Make {
    Box::new(move |versions| make(versions.get(api).unwrap_or(0)))
}

/// The answer, or what is missing without it, which is told once.
fn said(answer: Result<ResponseKind, String>, missing: &mut Vec<String>) -> Option<ResponseKind> {
    match answer {
        Ok(answer) => Some(answer),
        Err(error) => {
            if !missing.contains(&error) {
                missing.push(error);
            }
            None
        }
    }
}

fn row(at: &TopicPartition, partition: &MetadataResponsePartition) -> PartitionRow {
    let ids = |nodes: &[kafka_protocol::messages::BrokerId]| nodes.iter().map(|node| node.0).collect();
    PartitionRow {
        topic: at.topic.to_string(),
        partition: at.partition,
        leader: (partition.leader_id.0 >= 0).then_some(partition.leader_id.0),
        replicas: ids(&partition.replica_nodes),
        in_sync: ids(&partition.isr_nodes),
        first: None,
        end: None,
    }
}
