//! Sends lines to a Kafka topic, or prints what a topic holds: the state machines of
//! `wire::kafka` with blocking sockets around them.
//!
//! ```sh
//! seq 1000 | cargo run --example kafka_trial -- produce 127.0.0.1:9092 topic zstd
//! cargo run --example kafka_trial -- fetch 127.0.0.1:9092 topic
//! ```
//!
//! `SASL=PLAIN:name:password` (or `SCRAM-SHA-256`, `SCRAM-SHA-512`) in the environment logs in,
//! `IDEMPOTENT=no`, `REQUEST_BYTES`, `BATCH_BYTES` change the producer.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{
    ApiKey, FetchRequest, InitProducerIdRequest, MetadataRequest, ProduceRequest, ResponseKind,
};
use kafka_protocol::protocol::StrBytes;
use wire::kafka::compression::Compression;
use wire::kafka::connection::{self, Connection, RequestId, Response};
use wire::kafka::metadata::{Address, Metadata};
use wire::kafka::producer::{self, Answer, AppendError, Head, Outgoing, Producer, Request};
use wire::kafka::records::{Limits, RecordSet};
use wire::kafka::sasl::{Credentials, ScramHash};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A connection with its socket.
struct Link {
    stream: TcpStream,
    connection: Connection,
    /// What waits until the connection is ready, and what is under way by the producer's number.
    waiting: Vec<Outgoing>,
    asked: HashMap<RequestId, u64>,
}

impl Link {
    fn open(address: &Address) -> Outcome<Self> {
        let stream = TcpStream::connect((address.host.as_str(), address.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_millis(1)))?;
        let options = connection::Options {
            broker: format!("{}:{}", address.host, address.port),
            sasl: std::env::var("SASL").is_ok(),
            ..connection::Options::default()
        };
        let connection = Connection::new(options, Instant::now());
        Ok(Self { stream, connection, waiting: Vec::new(), asked: HashMap::new() })
    }

    /// Writes and reads what there is, and gives the answers.
    fn turn(&mut self) -> Outcome<Vec<connection::Event>> {
        let mut written = 0;
        for chunk in self.connection.pending() {
            self.stream.write_all(chunk)?;
            written += chunk.len();
        }
        self.connection.written(written);
        let mut piece = [0; 64 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => return Err("the connection was closed".into()),
            Ok(bytes) => self.connection.buffer().extend_from_slice(&piece[..bytes]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
        let now = Instant::now();
        self.connection.process(now)?;
        self.connection.on_time(now)?;
        let mut events = Vec::new();
        while let Some(event) = self.connection.event() {
            match event {
                connection::Event::CredentialsWanted => self.connection.authenticate(credentials()?, now)?,
                event => events.push(event),
            }
        }
        Ok(events)
    }

    fn send(&mut self, outgoing: Outgoing) -> Outcome<()> {
        if !self.connection.is_ready() {
            self.waiting.push(outgoing);
            return Ok(());
        }
        let Outgoing { id, request, deadline, .. } = outgoing;
        let asked = match request {
            Request::Metadata(request) => self.connection.send_by(&request, i16::MAX, deadline)?,
            Request::InitProducerId(request) => self.connection.send_by(&request, i16::MAX, deadline)?,
            Request::Produce(request) => self.connection.send_produce(&request, deadline)?,
        };
        self.asked.insert(asked, id);
        Ok(())
    }

    /// The answer to one request.
    fn ask<R: kafka_protocol::protocol::Request>(
        &mut self,
        request: &R,
        version_max: i16,
    ) -> Outcome<ResponseKind> {
        while !self.connection.is_ready() {
            self.turn()?;
        }
        self.connection.send_by(request, version_max, Instant::now() + Duration::from_secs(10))?;
        loop {
            for event in self.turn()? {
                if let connection::Event::Response(response) = event {
                    return Ok(response.kind()?);
                }
            }
        }
    }
}

fn credentials() -> Outcome<Credentials> {
    let text = std::env::var("SASL")?;
    let mut parts = text.splitn(3, ':').map(str::to_owned);
    let (Some(mechanism), Some(user), Some(password)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("SASL=MECHANISM:NAME:PASSWORD".into());
    };
    // Good enough for a trial: a real client takes its nonce from the system.
    let nonce = format!("{:032x}", fastrand::u128(..));
    match mechanism.as_str() {
        "PLAIN" => Ok(Credentials::Plain { user, password }),
        "SCRAM-SHA-256" => Ok(Credentials::Scram { hash: ScramHash::Sha256, user, password, nonce }),
        "SCRAM-SHA-512" => Ok(Credentials::Scram { hash: ScramHash::Sha512, user, password, nonce }),
        other => Err(format!("unknown mechanism {other}").into()),
    }
}

fn answer(response: Response) -> Outcome<Answer> {
    Ok(match response.api {
        ApiKey::Metadata => Answer::Metadata(response.decode::<MetadataRequest>()?),
        ApiKey::InitProducerId => Answer::InitProducerId(response.decode::<InitProducerIdRequest>()?),
        _ => Answer::Produce(response.decode::<ProduceRequest>()?),
    })
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn produce(server: Address, topic: &str, compression: Compression) -> Outcome<()> {
    let options = producer::Options {
        compression,
        idempotent: std::env::var("IDEMPOTENT").as_deref() != Ok("no"),
        request_bytes_max: number("REQUEST_BYTES", 1_000_000),
        batch_bytes: number("BATCH_BYTES", 256 << 10),
        ..producer::Options::default()
    };
    let start = Instant::now();
    let mut producer = Producer::new(options, vec![server], fastrand::u64(..), start)?;
    let topic = producer.topic(topic, start);
    let lines: Vec<Vec<u8>> = io::stdin().lock().split(b'\n').collect::<Result<_, _>>()?;
    let mut links: HashMap<i32, Link> = HashMap::new();
    let (mut next, mut delivered, mut refused) = (0, 0, 0);
    while next < lines.len() || !producer.is_idle() {
        let now = Instant::now();
        let timestamp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64;
        while let Some(line) = lines.get(next) {
            let head = Head { timestamp, ..Head::default() };
            match producer.append(topic, &head, Some(&[line]), next as u64, now) {
                Ok(()) => next += 1,
                Err(AppendError::Full | AppendError::NotYet) => break,
                Err(error) => return Err(error.into()),
            }
        }
        for outgoing in producer.poll(now) {
            let broker = outgoing.broker;
            let sent = match links.get_mut(&broker) {
                Some(link) => link.send(outgoing),
                None => {
                    let address = producer.metadata().address(broker).ok_or("an unknown broker")?;
                    Link::open(address).and_then(|link| links.entry(broker).or_insert(link).send(outgoing))
                }
            };
            if let Err(error) = sent {
                eprintln!("{error}");
                links.remove(&broker);
                producer.on_disconnect(broker, now);
            }
        }
        let mut lost = Vec::new();
        for (broker, link) in &mut links {
            let turned = link.turn().and_then(|events| {
                for event in events {
                    match event {
                        connection::Event::Response(response) => {
                            if let Some(id) = link.asked.remove(&response.id) {
                                producer.on_response(id, answer(response)?, Instant::now());
                            }
                        }
                        connection::Event::Written(id) => {
                            if let Some(id) = link.asked.remove(&id) {
                                producer.on_response(id, Answer::Written, Instant::now());
                            }
                        }
                        connection::Event::Ready => {
                            for outgoing in std::mem::take(&mut link.waiting) {
                                link.send(outgoing)?;
                            }
                        }
                        connection::Event::CredentialsWanted => {}
                    }
                }
                Ok(())
            });
            if let Err(error) = turned {
                eprintln!("{error}");
                lost.push(*broker);
            }
        }
        for broker in lost {
            links.remove(&broker);
            producer.on_disconnect(broker, Instant::now());
            std::thread::sleep(Duration::from_millis(200));
        }
        while let Some(event) = producer.event() {
            match event {
                producer::Event::Delivered { tokens, .. } => delivered += tokens.end - tokens.start,
                producer::Event::Refused { .. } => refused += 1,
                trouble => eprintln!("{trouble:?}"),
            }
        }
    }
    eprintln!("{delivered} delivered, {refused} refused in {:?}", start.elapsed());
    Ok(())
}

fn fetch(server: Address, topic: &str) -> Outcome<()> {
    let mut link = Link::open(&server)?;
    let mut metadata = Metadata::new(Default::default(), vec![server], 0, Instant::now());
    metadata.want(topic, Instant::now());
    let (_, request) = metadata.poll(Instant::now()).ok_or("nobody to ask")?;
    let ResponseKind::Metadata(answer) = link.ask(&request, i16::MAX)? else {
        return Err("no metadata".into());
    };
    metadata.answered(&answer, Instant::now());
    let partitions = metadata.topic(topic).map_or(0, |topic| topic.partitions.len());
    let mut out = io::stdout().lock();
    let mut batches: HashMap<(i8, &str), usize> = HashMap::new();
    for partition in 0..partitions {
        let leader = metadata.leader(topic, partition as i32).ok_or("no leader")?;
        let mut link = Link::open(metadata.address(leader).ok_or("an unknown broker")?)?;
        let (mut offset, mut scratch) = (0, Vec::new());
        loop {
            let wanted = FetchPartition::default()
                .with_partition(partition as i32)
                .with_fetch_offset(offset)
                .with_partition_max_bytes(1 << 20);
            let name = StrBytes::from_string(topic.to_owned()).into();
            let request = FetchRequest::default()
                .with_max_bytes(8 << 20)
                .with_topics(vec![FetchTopic::default().with_topic(name).with_partitions(vec![wanted])]);
            let ResponseKind::Fetch(answer) = link.ask(&request, 12)? else {
                return Err("no records".into());
            };
            let Some(read) = answer.responses.first().and_then(|topic| topic.partitions.first()) else {
                break;
            };
            let mut set = RecordSet::new(read.records.as_deref().unwrap_or_default(), Limits::default());
            let before = offset;
            while let Some(batch) = set.next(&mut scratch) {
                let batch = batch?;
                offset = batch.last_offset + 1;
                *batches.entry((batch.format, batch.compression.name())).or_default() += 1;
                for record in batch.records() {
                    out.write_all(record?.value.unwrap_or_default())?;
                    out.write_all(b"\n")?;
                }
            }
            if offset == before {
                break;
            }
        }
    }
    eprintln!("batches by format and compression: {batches:?}");
    Ok(())
}

fn main() -> Outcome<()> {
    let usage = "kafka_trial (produce HOST:PORT TOPIC COMPRESSION | fetch HOST:PORT TOPIC)";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (command, server) = words.split_first().ok_or(usage)?;
    let (host, port) = server.first().and_then(|server| server.split_once(':')).ok_or(usage)?;
    let server = Address { host: host.to_owned(), port: port.parse()? };
    match (*command, &words[2..]) {
        ("produce", [topic, name]) => {
            let named = |compression: &Compression| compression.name() == *name;
            produce(server, topic, Compression::ALL.into_iter().find(named).ok_or(usage)?)
        }
        ("fetch", [topic]) => fetch(server, topic),
        _ => Err(usage.into()),
    }
}
