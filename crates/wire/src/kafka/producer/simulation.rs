//! A cluster that fails by chance, in memory. Its logs check sequences as Kafka's brokers do
//! (`ProducerStateManager`), so what is in them at the end is what would be in Kafka.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{
    LeaderIdAndEpoch, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{InitProducerIdResponse, MetadataResponse, ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;
use proptest::prelude::*;

use super::*;
use crate::kafka::records::{Limits, RecordSet};
use crate::kafka::tests::some_time;

pub(super) const TOPIC: &str = "logs";

/// The log of a partition.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The tokens of the records, which are their values as well.
    pub(super) tokens: Vec<u64>,
    producers: HashMap<i64, State>,
}

#[derive(Debug, Default)]
struct State {
    epoch: i16,
    next: i32,
    /// First and last sequence and base offset of the last five batches.
    batches: VecDeque<(i32, i32, i64)>,
}

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) logs: Vec<Log>,
    /// Leader and its epoch, by partition.
    pub(super) leaders: Vec<(i32, i32)>,
    pub(super) batch_bytes_max: usize,
    pub(super) next_producer_id: i64,
    /// Whether leaders that moved are told with the refusal (KIP-951).
    pub(super) tells_leader: bool,
}

impl Cluster {
    pub(super) fn new(partitions: usize, brokers: i32) -> Self {
        Self {
            logs: (0..partitions).map(|_| Log::default()).collect(),
            leaders: (0..partitions).map(|at| (1 + at as i32 % brokers, 0)).collect(),
            batch_bytes_max: usize::MAX,
            next_producer_id: 1000,
            tells_leader: false,
        }
    }

    pub(super) fn answer(&mut self, broker: i32, request: &Request) -> Answer {
        match request {
            Request::Metadata(_) => Answer::Metadata(self.metadata()),
            Request::InitProducerId(_) => {
                self.next_producer_id += 1;
                let id = self.next_producer_id.into();
                Answer::InitProducerId(
                    InitProducerIdResponse::default().with_producer_id(id).with_producer_epoch(0),
                )
            }
            Request::Produce(request) => {
                let answer = self.produce(broker, request);
                if request.acks == 0 { Answer::Written } else { Answer::Produce(answer) }
            }
        }
    }

    fn metadata(&self) -> MetadataResponse {
        let partition = |(at, (leader, epoch)): (usize, &(i32, i32))| {
            MetadataResponsePartition::default()
                .with_partition_index(at as i32)
                .with_leader_id((*leader).into())
                .with_leader_epoch(*epoch)
        };
        let topic = MetadataResponseTopic::default()
            .with_name(Some(StrBytes::from_static_str(TOPIC).into()))
            .with_partitions(self.leaders.iter().enumerate().map(partition).collect());
        let broker = |id: i32| {
            MetadataResponseBroker::default()
                .with_node_id(id.into())
                .with_host("b".into())
                .with_port(9000 + id)
        };
        MetadataResponse::default().with_brokers((1..=3).map(broker).collect()).with_topics(vec![topic])
    }

    pub(super) fn produce(&mut self, broker: i32, request: &ProduceRequest) -> ProduceResponse {
        let topic = &request.topic_data[0];
        let mut answers = Vec::new();
        for data in &topic.partition_data {
            let at = data.index as usize;
            let (leader, epoch) = self.leaders[at];
            let records = data.records.as_ref().unwrap();
            let result = match () {
                () if leader != broker => Err(ResponseError::NotLeaderOrFollower),
                () if records.len() > self.batch_bytes_max => Err(ResponseError::MessageTooLarge),
                () => self.logs[at].append(records),
            };
            let mut answer = PartitionProduceResponse::default().with_index(data.index);
            if self.tells_leader && leader != broker {
                answer = answer.with_current_leader(
                    LeaderIdAndEpoch::default().with_leader_id(leader.into()).with_leader_epoch(epoch),
                );
            }
            answers.push(match result {
                Ok(offset) => answer.with_base_offset(offset),
                Err(error) => answer.with_error_code(error.code()).with_base_offset(-1),
            });
        }
        let topic =
            TopicProduceResponse::default().with_name(topic.name.clone()).with_partition_responses(answers);
        ProduceResponse::default().with_responses(vec![topic])
    }
}

impl Log {
    fn append(&mut self, records: &[u8]) -> Result<i64, ResponseError> {
        let mut scratch = Vec::new();
        let mut set = RecordSet::new(records, Limits::default());
        let batch = set.next(&mut scratch).unwrap().unwrap();
        let records: Vec<_> = batch.records().map(Result::unwrap).collect();
        let offset = self.tokens.len() as i64;
        if let Some(producer) = batch.producer {
            let (first, last) = (
                producer.base_sequence,
                producer.base_sequence.wrapping_add(records.len() as i32 - 1) & i32::MAX,
            );
            if let Some(state) = self.producers.get(&producer.id) {
                if producer.epoch < state.epoch {
                    return Err(ResponseError::InvalidProducerEpoch);
                }
                let repeated = state.batches.iter().find(|(f, l, _)| (*f, *l) == (first, last));
                match repeated.filter(|_| producer.epoch == state.epoch) {
                    Some((_, _, offset)) => return Ok(*offset),
                    None if producer.epoch > state.epoch && first == 0 => {}
                    None if producer.epoch == state.epoch && first == state.next => {}
                    None => return Err(ResponseError::OutOfOrderSequenceNumber),
                }
            }
            // A producer that the log does not know may begin with any number.
            let state = self.producers.entry(producer.id).or_default();
            if producer.epoch > state.epoch {
                state.epoch = producer.epoch;
                state.batches.clear();
            }
            state.next = (last.wrapping_add(1)) & i32::MAX;
            state.batches.push_back((first, last, offset));
            if state.batches.len() > 5 {
                state.batches.pop_front();
            }
        }
        for record in records {
            let token = record
                .value
                .and_then(|value| value.first_chunk())
                .map(|bytes| u64::from_be_bytes(*bytes))
                .unwrap();
            self.tokens.push(token);
        }
        assert!(set.next(&mut Vec::new()).is_none(), "one batch for each partition");
        Ok(offset)
    }
}

/// A record's value: its token, and as many bytes as it shall have.
pub(super) fn value(token: u64, bytes: usize) -> Vec<u8> {
    let mut value = token.to_be_bytes().to_vec();
    value.resize(bytes.max(8), b'.');
    value
}

#[derive(Debug, Clone)]
enum Step {
    Append {
        partition: i32,
        bytes: usize,
    },
    /// Sends what can be sent.
    Poll,
    /// A broker carries out the oldest request that reached it.
    Serve(i32),
    /// The oldest answer of a broker reaches the client.
    Deliver(i32),
    /// A connection ends. What the broker was sent may still be carried out later.
    Disconnect {
        broker: i32,
        later: bool,
    },
    /// A request from an ended connection is carried out.
    Late,
    Lead {
        partition: usize,
        broker: i32,
    },
    /// A broker answers the next request with an error and does nothing.
    Fail(i32, ResponseError),
    /// The same, after it did what was asked.
    FailAfter(i32),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let broker = || 1..=3i32;
    let error = prop::sample::select(vec![
        ResponseError::NotEnoughReplicas,
        ResponseError::KafkaStorageError,
        ResponseError::RequestTimedOut,
        ResponseError::UnknownServerError,
        ResponseError::TopicAuthorizationFailed,
    ]);
    prop_oneof![
        8 => (0..3i32, prop_oneof![8 => 8..40usize, 2 => 100..400usize, 1 => 900..1100usize])
            .prop_map(|(partition, bytes)| Step::Append { partition, bytes }),
        5 => Just(Step::Poll),
        5 => broker().prop_map(Step::Serve),
        5 => broker().prop_map(Step::Deliver),
        1 => (broker(), any::<bool>()).prop_map(|(broker, later)| Step::Disconnect { broker, later }),
        1 => Just(Step::Late),
        1 => (0..3usize, broker()).prop_map(|(partition, broker)| Step::Lead { partition, broker }),
        1 => (broker(), error).prop_map(|(broker, error)| Step::Fail(broker, error)),
        1 => broker().prop_map(Step::FailAfter),
        3 => (0..400u64).prop_map(Step::Wait),
    ]
}

struct World {
    producer: Producer,
    cluster: Cluster,
    topic: TopicId,
    now: Instant,
    requests: BTreeMap<i32, VecDeque<Outgoing>>,
    answers: BTreeMap<i32, VecDeque<(u64, Answer)>>,
    late: VecDeque<Outgoing>,
    appended: Vec<Vec<u64>>,
    delivered: Vec<u64>,
    refused: Vec<u64>,
    next_token: u64,
    in_flight_max: usize,
}

impl World {
    fn new(options: Options) -> Self {
        let now = some_time();
        let servers = vec![Address { host: "seed".to_owned(), port: 9092 }];
        let mut producer = Producer::new(options, servers, 3, now).unwrap();
        let topic = producer.topic(TOPIC, now);
        let in_flight_max = producer.lane_in_flight_max();
        Self {
            producer,
            cluster: Cluster { batch_bytes_max: 1000, ..Cluster::new(3, 3) },
            topic,
            now,
            requests: BTreeMap::new(),
            answers: BTreeMap::new(),
            late: VecDeque::new(),
            appended: vec![Vec::new(); 3],
            delivered: Vec::new(),
            refused: Vec::new(),
            next_token: 0,
            in_flight_max,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append { partition, bytes } => {
                let token = self.next_token;
                let head = Head { partition: Some(*partition), timestamp: 5, ..Head::default() };
                let appended =
                    self.producer.append(self.topic, &head, Some(&[&value(token, *bytes)]), token, self.now);
                if appended.is_ok() {
                    self.next_token += 1;
                    self.appended[*partition as usize].push(token);
                }
            }
            Step::Poll => {
                for outgoing in self.producer.poll(self.now) {
                    self.requests.entry(outgoing.broker).or_default().push_back(outgoing);
                }
                // Whoever waits for the deadline does not run in circles.
                assert!(self.producer.next_deadline().is_none_or(|at| at > self.now));
                for lane in &self.producer.topics[0].lanes {
                    assert!(lane.in_flight.len() <= self.in_flight_max);
                }
            }
            // Servers to begin with are brokers as well.
            Step::Serve(broker) => self.serve(*broker, None, false),
            Step::Fail(broker, error) => self.serve(*broker, Some(*error), false),
            Step::FailAfter(broker) => self.serve(*broker, Some(ResponseError::RequestTimedOut), true),
            Step::Deliver(broker) => {
                if let Some((id, answer)) = self.answers.entry(*broker).or_default().pop_front() {
                    self.producer.on_response(id, answer, self.now);
                }
            }
            Step::Disconnect { broker, later } => {
                let lost = self.requests.remove(broker).unwrap_or_default();
                if *later {
                    self.late.extend(lost);
                }
                self.answers.remove(broker);
                self.producer.on_disconnect(*broker, self.now);
            }
            Step::Late => {
                if let Some(Outgoing { broker, request, .. }) = self.late.pop_front() {
                    self.cluster.answer(broker, &request);
                }
            }
            Step::Lead { partition, broker } => {
                let (leader, epoch) = &mut self.cluster.leaders[*partition];
                if *leader != *broker {
                    (*leader, *epoch) = (*broker, *epoch + 1);
                }
            }
            Step::Wait(ms) => self.now += Duration::from_millis(*ms),
        }
        while let Some(event) = self.producer.event() {
            match event {
                Event::Delivered { tokens, .. } => self.delivered.extend(tokens),
                Event::Refused { token, error, .. } => {
                    assert_eq!(error, ResponseError::MessageTooLarge);
                    self.refused.push(token);
                }
                Event::Trouble { .. } => {}
            }
        }
    }

    fn serve(&mut self, broker: i32, error: Option<ResponseError>, carried_out: bool) {
        let Some(Outgoing { id, request, .. }) = self.requests.entry(broker).or_default().pop_front() else {
            return;
        };
        let fails = error.filter(|_| matches!(request, Request::Produce(_)));
        let mut answer = match fails {
            Some(_) if !carried_out => Answer::Produce(self.cluster_refuses(&request)),
            _ => self.cluster.answer(broker, &request),
        };
        if let (Some(error), Answer::Produce(answer)) = (fails, &mut answer) {
            for partition in answer.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses) {
                if partition.error_code == 0 {
                    partition.error_code = error.code();
                }
            }
        }
        self.answers.entry(broker).or_default().push_back((id, answer));
    }

    /// An answer for each partition that was asked, to be filled with an error.
    fn cluster_refuses(&self, request: &Request) -> ProduceResponse {
        let Request::Produce(request) = request else { return ProduceResponse::default() };
        let topic = |topic: &TopicProduceData| {
            let partition =
                |data: &PartitionProduceData| PartitionProduceResponse::default().with_index(data.index);
            TopicProduceResponse::default()
                .with_name(topic.name.clone())
                .with_partition_responses(topic.partition_data.iter().map(partition).collect())
        };
        ProduceResponse::default().with_responses(request.topic_data.iter().map(topic).collect())
    }

    /// Lets everything come to its end without further faults.
    fn settle(&mut self) {
        for _ in 0..3000 {
            self.step(&Step::Poll);
            for broker in -1..=3 {
                self.step(&Step::Serve(broker));
                self.step(&Step::Deliver(broker));
            }
            self.step(&Step::Late);
            if self.producer.is_idle() && self.late.is_empty() {
                break;
            }
            let next = self.producer.next_deadline().unwrap_or(self.now);
            self.now = self.now.max(next) + Duration::from_millis(1);
        }
        assert!(self.producer.is_idle(), "{:#?}", self.producer.topics);
        assert_eq!(self.producer.used_bytes(), 0);
    }

    fn run(&mut self, steps: &[Step]) {
        // Learns of the cluster.
        self.step(&Step::Poll);
        for broker in -1..=3 {
            self.step(&Step::Serve(broker));
            self.step(&Step::Deliver(broker));
        }
        for step in steps {
            self.step(step);
        }
        self.settle();
    }
}

fn options(idempotent: bool, compression: Compression) -> Options {
    Options {
        idempotent,
        compression,
        batch_bytes: 1500,
        memory_bytes_max: 8000,
        linger: Duration::from_millis(20),
        denied: Denied::Wait(Duration::from_millis(300)),
        ..Options::default()
    }
}

/// Each record once, in its place, but for those that were refused.
fn check_exactly_once(world: &World) {
    for (log, appended) in world.cluster.logs.iter().zip(&world.appended) {
        let expected: Vec<u64> =
            appended.iter().copied().filter(|token| !world.refused.contains(token)).collect();
        assert_eq!(log.tokens, expected);
    }
}

fn check_told_once(world: &World) {
    let mut told: Vec<u64> = world.delivered.iter().chain(&world.refused).copied().collect();
    told.sort_unstable();
    assert_eq!(told, (0..world.next_token).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20000, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn idempotent_is_exactly_once_in_order(
        steps in prop::collection::vec(step(), 0..250), tells_leader in any::<bool>(), packed in any::<bool>()
    ) {
        let compression = if packed { Compression::Lz4 } else { Compression::None };
        let mut world = World::new(options(true, compression));
        world.cluster.tells_leader = tells_leader;
        world.run(&steps);
        check_told_once(&world);
        check_exactly_once(&world);
    }

    #[test]
    fn others_are_at_least_once_in_order(steps in prop::collection::vec(step(), 0..250), all in any::<bool>()) {
        let acks = if all { Acks::All } else { Acks::Leader };
        let mut world = World::new(Options { acks, ..options(false, Compression::None) });
        world.run(&steps);
        check_told_once(&world);
        for log in &mut world.cluster.logs {
            let mut seen = std::collections::HashSet::new();
            log.tokens.retain(|token| seen.insert(*token));
        }
        check_exactly_once(&world);
    }
}
