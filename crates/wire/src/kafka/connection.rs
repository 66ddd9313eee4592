//! One connection to one broker: versions, authentication, and requests under way.
//!
//! Bytes that arrived go into [`Connection::buffer`], then [`Connection::process`] is called and
//! [`Connection::event`] until it has no more. What is to be written is in
//! [`Connection::pending`]; [`Connection::written`] says how much of it went out. After an error
//! the connection is to be closed: requests under way are lost, and whether the broker carried
//! them out is unknown.
//!
//! ```text
//! bytes ─▶ frames ─▶ ApiVersions ─▶ [SaslHandshake ─▶ SaslAuthenticate …] ─▶ ready
//!                                        ▲                                     │
//!                                        └──── the session ends (KIP-368) ─────┘
//! ```
//!
//! A request is: length (4), api (2), version (2), correlation id (4), client id, body. An
//! answer: length, correlation id, body. Both have tagged fields in flexible versions (KIP-482).
//! A broker answers the requests of a connection in their order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ProduceRequest, RequestHeader, ResponseHeader, ResponseKind,
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, Request, StrBytes, VersionRange};

use super::produce;
use super::sasl::{Credentials, Exchange, SaslError};
use super::versions::{NoCommonVersion, Versions};

/// There is room for so much at least.
const READ_BYTES_MIN: usize = 16 << 10;
/// The first version to ask with: brokers from 2.4 know it, others say that they do not.
const API_VERSIONS_FIRST: i16 = 3;

/// How a connection behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What errors call the broker, such as its address.
    pub broker: String,
    /// The client id, for the broker's logs and quotas.
    pub client_id: String,
    /// Name and version of the program (KIP-511): letters, digits, dots and dashes.
    pub software: (String, String),
    /// How long a broker may take to answer, where the request does not say it.
    pub request_timeout: Duration,
    /// The largest answer that is read, in bytes.
    pub frame_bytes_max: usize,
    /// Whether to authenticate with SASL.
    pub sasl: bool,
}

impl Default for Options {
    /// 30 seconds and 128 MiB, without SASL.
    fn default() -> Self {
        Self {
            broker: "the broker".to_owned(),
            client_id: "logpond".to_owned(),
            software: ("logpond".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            request_timeout: Duration::from_secs(30),
            frame_bytes_max: 128 << 20,
            sasl: false,
        }
    }
}

/// A request of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub i32);

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The broker wants credentials: [`Connection::authenticate`] is to be called. Comes again
    /// before the session ends; requests may be sent meanwhile.
    CredentialsWanted,
    /// Requests may be sent from now on. Comes once.
    Ready,
    /// The answer to a request.
    Response(Response),
    /// A request that has no answer went out.
    Written(RequestId),
}

/// An answer, not decoded yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// Of which request.
    pub id: RequestId,
    /// What was asked.
    pub api: ApiKey,
    /// In which version.
    pub version: i16,
    body: Bytes,
    broker: String,
}

impl Response {
    /// The answer to a request `R`. The crate reserves memory for as many elements as an array
    /// claims to have, so a broker that has authenticated is trusted in that. What lies in it, such as the record sets of a fetch answer,
    /// stays a part of the frame and is not copied.
    pub fn decode<R: Request>(self) -> Result<R::Response, ConnectionError> {
        let Self { api, version, mut body, broker, .. } = self;
        if R::KEY != api as i16 {
            return Err(ConnectionError::Decode {
                broker,
                api,
                version,
                reason: "another answer is expected".into(),
            });
        }
        R::Response::decode(&mut body, version).map_err(|error| ConnectionError::Decode {
            broker,
            api,
            version,
            reason: error.to_string(),
        })
    }

    /// The answer, whatever it is.
    pub fn kind(self) -> Result<ResponseKind, ConnectionError> {
        let Self { api, version, mut body, broker, .. } = self;
        ResponseKind::decode(api, &mut body, version).map_err(|error| ConnectionError::Decode {
            broker,
            api,
            version,
            reason: error.to_string(),
        })
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConnectionError {
    /// The length of an answer is negative or beyond the limit; perhaps it is no Kafka.
    #[error("{broker} announces an answer of {bytes} bytes, where at most {limit} are read")]
    Frame {
        /// The broker.
        broker: String,
        /// What it announces.
        bytes: i32,
        /// The limit.
        limit: usize,
    },
    /// An answer came that nobody waits for.
    #[error("{broker} answers request {found}, not {expected:?}")]
    Correlation {
        /// The broker.
        broker: String,
        /// The number in the answer.
        found: i32,
        /// The number of the oldest request.
        expected: Option<i32>,
    },
    /// An answer cannot be read.
    #[error("the answer of {broker} to {api:?} version {version} is not readable: {reason}")]
    Decode {
        /// The broker.
        broker: String,
        /// The request.
        api: ApiKey,
        /// Its version.
        version: i16,
        /// What the decoder says.
        reason: String,
    },
    /// A request cannot be expressed in the version that the broker knows.
    #[error("{api:?} cannot be sent to {broker} in version {version}: {reason}")]
    Encode {
        /// The broker.
        broker: String,
        /// The request.
        api: ApiKey,
        /// Its version.
        version: i16,
        /// What the encoder says.
        reason: String,
    },
    /// The broker is too old or too new.
    #[error(transparent)]
    NoCommonVersion(#[from] NoCommonVersion),
    /// The broker does not offer the mechanism.
    #[error("{broker} does not offer {asked}, only: {offered}")]
    Mechanism {
        /// The broker.
        broker: String,
        /// What was asked for.
        asked: &'static str,
        /// What it offers.
        offered: String,
    },
    /// The credentials are wrong, or the broker is not who it should be.
    #[error("{broker} refuses to authenticate: {reason}")]
    Authentication {
        /// The broker.
        broker: String,
        /// What it says.
        reason: String,
    },
    /// The broker's proof is wrong.
    #[error("authentication with {broker}: {source}")]
    Sasl {
        /// The broker.
        broker: String,
        /// What is wrong.
        source: SaslError,
    },
    /// The broker refused to tell its versions.
    #[error("{broker} does not tell its versions: {error}")]
    Versions {
        /// The broker.
        broker: String,
        /// What it says.
        error: ResponseError,
    },
    /// An answer did not come in time.
    #[error("{broker} did not answer {api:?} in time")]
    TimedOut {
        /// The broker.
        broker: String,
        /// The oldest request that is late.
        api: ApiKey,
    },
    /// A request was sent before the connection was ready.
    #[error("the connection to {broker} is not ready for {api:?}")]
    NotReady {
        /// The broker.
        broker: String,
        /// The request.
        api: ApiKey,
    },
}

#[derive(Debug)]
enum Phase {
    Versions,
    /// Waiting for credentials, for the first time.
    Locked,
    Ready,
}

#[derive(Debug)]
struct InFlight {
    id: i32,
    api: ApiKey,
    version: i16,
    deadline: Instant,
    /// Whether the connection itself asked.
    own: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Connection {
    options: Options,
    phase: Phase,
    versions: Versions,
    exchange: Option<(Exchange, Vec<u8>)>,
    /// When credentials will be asked for again.
    renew_at: Option<Instant>,
    next_id: i32,
    in_flight: VecDeque<InFlight>,
    input: Vec<u8>,
    output: VecDeque<Bytes>,
    /// Requests that wait until a new authentication is over, during which brokers take no others.
    held: VecDeque<Bytes>,
    held_in_flight: VecDeque<InFlight>,
    /// Bytes put into `output` and taken from it since the beginning, and the ends of requests
    /// that have no answer.
    queued_bytes: u64,
    written_bytes: u64,
    unanswered: VecDeque<(u64, RequestId)>,
    held_unanswered: VecDeque<(u64, RequestId)>,
    events: VecDeque<Event>,
}

impl Connection {
    /// For a connection that was just made.
    pub fn new(options: Options, now: Instant) -> Self {
        let mut connection = Self {
            options,
            phase: Phase::Versions,
            versions: Versions::default(),
            exchange: None,
            renew_at: None,
            next_id: 0,
            in_flight: VecDeque::new(),
            input: Vec::new(),
            output: VecDeque::new(),
            held: VecDeque::new(),
            held_in_flight: VecDeque::new(),
            queued_bytes: 0,
            written_bytes: 0,
            unanswered: VecDeque::new(),
            held_unanswered: VecDeque::new(),
            events: VecDeque::new(),
        };
        connection.ask_versions(API_VERSIONS_FIRST, now);
        connection
    }

    /// Whether requests may be sent.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready)
    }

    /// What the broker understands; empty until it told.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Number of requests without an answer so far.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len() + self.held_in_flight.len()
    }

    /// Where bytes that arrive are to be appended, with room for some.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        let has = self.input.len();
        let length = length(&self.input).and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        // At first the announced length is only believed in part: memory comes with the bytes. There
        // is no room behind a large answer, so that it becomes whole what is handed on.
        match length {
            0..READ_BYTES_MIN => self.input.reserve(READ_BYTES_MIN),
            _ => self.input.reserve_exact((4 + length).saturating_sub(has).min(has.max(1 << 20))),
        }
        &mut self.input
    }

    /// What is to be written, in this order.
    pub fn pending(&self) -> impl Iterator<Item = &Bytes> {
        self.output.iter()
    }

    /// Says that the first `bytes` of what is pending were written.
    pub fn written(&mut self, mut bytes: usize) {
        self.written_bytes += bytes as u64;
        while bytes > 0 {
            let Some(chunk) = self.output.front_mut() else { break };
            let step = bytes.min(chunk.len());
            chunk.advance(step);
            bytes -= step;
            if chunk.is_empty() {
                self.output.pop_front();
            }
        }
        while let Some((_, id)) = self.unanswered.pop_front_if(|(end, _)| *end <= self.written_bytes) {
            self.events.push_back(Event::Written(id));
        }
    }

    /// The next thing that happened.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`on_time`](Self::on_time) is to be called at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        // Requests have their own time-outs, so that the oldest need not be the first.
        let requests = self.in_flight.iter().map(|request| request.deadline).min();
        requests.into_iter().chain(self.renew_at).min()
    }

    /// Fails when an answer is late, and asks for credentials before the session ends.
    pub fn on_time(&mut self, now: Instant) -> Result<(), ConnectionError> {
        if let Some(late) = self.in_flight.iter().find(|request| request.deadline <= now) {
            return Err(ConnectionError::TimedOut { broker: self.options.broker.clone(), api: late.api });
        }
        if self.renew_at.is_some_and(|at| at <= now) {
            self.renew_at = None;
            self.events.push_back(Event::CredentialsWanted);
        }
        Ok(())
    }

    /// Answers [`Event::CredentialsWanted`].
    pub fn authenticate(&mut self, credentials: Credentials, now: Instant) -> Result<(), ConnectionError> {
        let mechanism = credentials.mechanism();
        // In version 0 the tokens follow without frames of the protocol; that is Kafka 0.11.
        self.versions.pick(ApiKey::SaslAuthenticate, i16::MAX, &self.options.broker)?;
        self.exchange = Some(Exchange::begin(credentials));
        let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        self.send_own(&request, now)
    }

    /// Sends a request in the highest version that both know. The answer comes as an event.
    pub fn send<R: Request>(&mut self, request: &R, now: Instant) -> Result<RequestId, ConnectionError> {
        self.send_by(request, i16::MAX, now + self.options.request_timeout)
    }

    /// As [`send`](Self::send), in no version above `version_max` and with a time by which the
    /// answer must be here.
    pub fn send_by<R: Request>(
        &mut self,
        request: &R,
        version_max: i16,
        deadline: Instant,
    ) -> Result<RequestId, ConnectionError> {
        let api = self.ready_for(R::KEY)?;
        let version = self.versions.pick(api, version_max, &self.options.broker)?;
        let frame = self.frame(api, request, version)?;
        self.enqueue([frame], api, version, Some(deadline), false)
    }

    /// Sends records. The record sets are not copied: they are pieces of what is pending. Without
    /// acknowledgments (`acks` 0) the event is [`Event::Written`].
    pub fn send_produce(
        &mut self,
        request: &ProduceRequest,
        deadline: Instant,
    ) -> Result<RequestId, ConnectionError> {
        let api = self.ready_for(ApiKey::Produce as i16)?;
        let version = self.versions.pick(api, i16::MAX, &self.options.broker)?;
        let header = self.header(api, version);
        let pieces = produce::frame(&header, request, version)
            .map_err(|error| self.encode_error(api, version, error.to_string()))?;
        let deadline = (request.acks != 0).then_some(deadline);
        self.enqueue(pieces, api, version, deadline, false)
    }

    /// Takes what arrived.
    pub fn process(&mut self, now: Instant) -> Result<(), ConnectionError> {
        let mut input = std::mem::take(&mut self.input);
        let mut at = 0;
        while let Some(length) = length(&input[at..]) {
            let limit = self.options.frame_bytes_max;
            let Some(bytes) = usize::try_from(length).ok().filter(|bytes| *bytes <= limit) else {
                return Err(ConnectionError::Frame {
                    broker: self.options.broker.clone(),
                    bytes: length,
                    limit,
                });
            };
            let from = at + 4;
            let to = from + bytes;
            if input.len() < to {
                break;
            }
            at = to;
            if at == input.len() && bytes >= READ_BYTES_MIN {
                let frame = Bytes::from(std::mem::take(&mut input)).split_off(from);
                at = 0;
                self.answered(frame, now)?;
            } else {
                self.answered(Bytes::copy_from_slice(&input[from..to]), now)?;
            }
        }
        input.drain(..at);
        self.input = input;
        Ok(())
    }

    fn answered(&mut self, mut frame: Bytes, now: Instant) -> Result<(), ConnectionError> {
        let broker = || self.options.broker.clone();
        let found = frame.first_chunk().map_or(-1, |bytes| i32::from_be_bytes(*bytes));
        let request = match self.in_flight.pop_front() {
            Some(request) if request.id == found && frame.len() >= 4 => request,
            other => {
                let expected = other.map(|request| request.id);
                return Err(ConnectionError::Correlation { broker: broker(), found, expected });
            }
        };
        let InFlight { id, api, version, own, .. } = request;
        let header = ResponseHeader::decode(&mut frame, api.response_header_version(version));
        header.map_err(|error| self.decode_error(api, version, error.to_string()))?;
        let response = Response { id: RequestId(id), api, version, body: frame, broker: broker() };
        match api {
            ApiKey::ApiVersions if own => self.versions_told(response, now),
            ApiKey::SaslHandshake if own => self.handshake_done(&response, now),
            ApiKey::SaslAuthenticate if own => {
                self.token_came(response.decode::<SaslAuthenticateRequest>()?, now)
            }
            _ => {
                self.events.push_back(Event::Response(response));
                Ok(())
            }
        }
    }

    fn ask_versions(&mut self, version: i16, now: Instant) {
        let (name, software) = self.options.software.clone();
        let request = ApiVersionsRequest::default()
            .with_client_software_name(if version >= 3 { name.into() } else { StrBytes::new() })
            .with_client_software_version(if version >= 3 { software.into() } else { StrBytes::new() });
        let deadline = now + self.options.request_timeout;
        let frame = self.frame(ApiKey::ApiVersions, &request, version);
        let sent =
            frame.and_then(|frame| self.enqueue([frame], ApiKey::ApiVersions, version, Some(deadline), true));
        debug_assert!(sent.is_ok(), "{sent:?}");
    }

    fn versions_told(&mut self, response: Response, now: Instant) -> Result<(), ConnectionError> {
        let version = response.version;
        let unsupported = response.body.starts_with(&ResponseError::UnsupportedVersion.code().to_be_bytes());
        if unsupported && version > 0 {
            // A broker that does not know the version answers in version 0. From 2.4 on it names
            // those that it knows.
            let known = Versions::read(&response.body, 0).map(|(_, known)| known).unwrap_or_default();
            let next = known.theirs(ApiKey::ApiVersions).unwrap_or(VersionRange { min: 0, max: 0 });
            self.ask_versions(next.max.min(version - 1).max(0), now);
            return Ok(());
        }
        let answer = Versions::read(&response.body, version);
        let (error, versions) = answer
            .ok_or_else(|| self.decode_error(ApiKey::ApiVersions, version, "it is cut off".to_owned()))?;
        if let Some(error) = error.err() {
            return Err(ConnectionError::Versions { broker: self.options.broker.clone(), error });
        }
        self.versions = versions;
        if self.options.sasl {
            self.phase = Phase::Locked;
            self.events.push_back(Event::CredentialsWanted);
        } else {
            self.phase = Phase::Ready;
            self.events.push_back(Event::Ready);
        }
        Ok(())
    }

    fn handshake_done(&mut self, response: &Response, now: Instant) -> Result<(), ConnectionError> {
        let (error, mechanisms) = read_handshake(&response.body)
            .ok_or_else(|| self.decode_error(response.api, response.version, "it is cut off".to_owned()))?;
        let Some((exchange, first)) = self.exchange.take() else { return Ok(()) };
        if error.err() == Some(ResponseError::UnsupportedSaslMechanism) {
            return Err(ConnectionError::Mechanism {
                broker: self.options.broker.clone(),
                asked: exchange.mechanism(),
                offered: mechanisms.join(", "),
            });
        }
        if let Some(error) = error.err() {
            return Err(self.refused(error.to_string()));
        }
        self.exchange = Some((exchange, Vec::new()));
        self.send_own(&SaslAuthenticateRequest::default().with_auth_bytes(first.into()), now)
    }

    fn token_came(&mut self, answer: SaslAuthenticateResponse, now: Instant) -> Result<(), ConnectionError> {
        if let Some(error) = answer.error_code.err() {
            let reason =
                answer.error_message.map_or_else(|| error.to_string(), |message| message.to_string());
            return Err(self.refused(reason));
        }
        let Some((exchange, _)) = &mut self.exchange else { return Ok(()) };
        let next = exchange.answer(&answer.auth_bytes);
        let next =
            next.map_err(|source| ConnectionError::Sasl { broker: self.options.broker.clone(), source })?;
        if let Some(token) = next {
            return self.send_own(&SaslAuthenticateRequest::default().with_auth_bytes(token.into()), now);
        }
        self.exchange = None;
        if answer.session_lifetime_ms > 0 {
            // In good time: the broker closes the connection at the first request that is late.
            let lifetime = Duration::from_millis(answer.session_lifetime_ms.unsigned_abs());
            self.renew_at = now.checked_add(lifetime.mul_f64(0.85));
        }
        for (bytes, id) in self.held_unanswered.drain(..) {
            self.unanswered.push_back((self.queued_bytes + bytes, id));
        }
        self.queued_bytes += self.held.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        self.output.append(&mut self.held);
        self.in_flight.append(&mut self.held_in_flight);
        if matches!(self.phase, Phase::Locked) {
            self.phase = Phase::Ready;
            self.events.push_back(Event::Ready);
        }
        Ok(())
    }

    fn refused(&self, reason: String) -> ConnectionError {
        ConnectionError::Authentication { broker: self.options.broker.clone(), reason }
    }

    fn ready_for(&self, key: i16) -> Result<ApiKey, ConnectionError> {
        let broker = || self.options.broker.clone();
        let api = ApiKey::try_from(key).map_err(|()| ConnectionError::Encode {
            broker: broker(),
            api: ApiKey::ApiVersions,
            version: 0,
            reason: format!("unknown request {key}"),
        })?;
        if self.is_ready() { Ok(api) } else { Err(ConnectionError::NotReady { broker: broker(), api }) }
    }

    fn send_own<R: Request>(&mut self, request: &R, now: Instant) -> Result<(), ConnectionError> {
        let api = if R::KEY == ApiKey::SaslHandshake as i16 {
            ApiKey::SaslHandshake
        } else {
            ApiKey::SaslAuthenticate
        };
        let version = self.versions.pick(api, i16::MAX, &self.options.broker)?;
        let frame = self.frame(api, request, version)?;
        self.enqueue([frame], api, version, Some(now + self.options.request_timeout), true).map(|_| ())
    }

    fn header(&self, api: ApiKey, version: i16) -> RequestHeader {
        RequestHeader::default()
            .with_request_api_key(api as i16)
            .with_request_api_version(version)
            .with_correlation_id(self.next_id)
            .with_client_id(Some(self.options.client_id.clone().into()))
    }

    fn frame<R: Encodable>(&self, api: ApiKey, request: &R, version: i16) -> Result<Bytes, ConnectionError> {
        let mut out = BytesMut::with_capacity(256);
        out.put_i32(0);
        let header = self.header(api, version).encode(&mut out, api.request_header_version(version));
        let encoded = header.and_then(|()| request.encode(&mut out, version));
        encoded.map_err(|error| self.encode_error(api, version, error.to_string()))?;
        let length = (out.len() - 4) as u32;
        out[..4].copy_from_slice(&length.to_be_bytes());
        Ok(out.freeze())
    }

    /// Queues the pieces of a frame that was encoded with the id that comes next.
    fn enqueue(
        &mut self,
        pieces: impl IntoIterator<Item = Bytes>,
        api: ApiKey,
        version: i16,
        deadline: Option<Instant>,
        own: bool,
    ) -> Result<RequestId, ConnectionError> {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1) & i32::MAX;
        let held = self.exchange.is_some() && !own;
        let output = if held { &mut self.held } else { &mut self.output };
        let before = output.len();
        output.extend(pieces);
        let bytes: u64 = output.range(before..).map(|chunk| chunk.len() as u64).sum();
        if !held {
            self.queued_bytes += bytes;
        }
        match deadline {
            Some(deadline) => {
                let in_flight = if held { &mut self.held_in_flight } else { &mut self.in_flight };
                in_flight.push_back(InFlight { id, api, version, deadline, own });
            }
            None if held => {
                let end = self.held.iter().map(|chunk| chunk.len() as u64).sum();
                self.held_unanswered.push_back((end, RequestId(id)));
            }
            None => self.unanswered.push_back((self.queued_bytes, RequestId(id))),
        }
        Ok(RequestId(id))
    }

    fn encode_error(&self, api: ApiKey, version: i16, reason: String) -> ConnectionError {
        ConnectionError::Encode { broker: self.options.broker.clone(), api, version, reason }
    }

    fn decode_error(&self, api: ApiKey, version: i16, reason: String) -> ConnectionError {
        ConnectionError::Decode { broker: self.options.broker.clone(), api, version, reason }
    }
}

/// The length that a frame begins with.
fn length(input: &[u8]) -> Option<i32> {
    input.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

/// The answer to SaslHandshake, the same in its two versions: an error and the names of mechanisms.
/// Who sends it has not proved anything yet, so no memory is reserved because it says so.
fn read_handshake(mut body: &[u8]) -> Option<(i16, Vec<String>)> {
    let error = body.try_get_i16().ok()?;
    let count = body.try_get_i32().ok()?;
    let mut mechanisms = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(body.try_get_i16().ok()?).ok()?;
        let (name, rest) = body.split_at_checked(length)?;
        mechanisms.push(String::from_utf8_lossy(name).into_owned());
        body = rest;
    }
    Some((error, mechanisms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::api_versions_response::ApiVersion;
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::{
        ApiVersionsResponse, MetadataRequest, MetadataResponse, ProduceResponse, RequestKind,
        SaslHandshakeResponse, produce_response::TopicProduceResponse,
    };
    use kafka_protocol::protocol::decode_request_header_from_buffer;
    use proptest::prelude::*;

    /// Takes the requests that are to be written, as a broker would.
    fn requests(connection: &mut Connection) -> Vec<(RequestHeader, RequestKind)> {
        let bytes: Vec<u8> = connection.pending().flatten().copied().collect();
        connection.written(bytes.len());
        let mut bytes = Bytes::from(bytes);
        let mut requests = Vec::new();
        while bytes.has_remaining() {
            let length = bytes.get_i32() as usize;
            let mut frame = bytes.split_to(length);
            let header = decode_request_header_from_buffer(&mut frame).unwrap();
            let api = ApiKey::try_from(header.request_api_key).unwrap();
            let request = RequestKind::decode(api, &mut frame, header.request_api_version).unwrap();
            assert!(frame.is_empty());
            requests.push((header, request));
        }
        requests
    }

    fn request(connection: &mut Connection) -> (RequestHeader, RequestKind) {
        let mut requests = requests(connection);
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    /// The frame of an answer in the version that was asked for, or another.
    fn answer(header: &RequestHeader, version: Option<i16>, response: impl Into<ResponseKind>) -> Vec<u8> {
        let response = response.into();
        let version = version.unwrap_or(header.request_api_version);
        let mut out = BytesMut::new();
        let head = ResponseHeader::default().with_correlation_id(header.correlation_id);
        head.encode(&mut out, response.header_version(version)).unwrap();
        response.encode(&mut out, version).unwrap();
        [&(out.len() as u32).to_be_bytes()[..], &out].concat()
    }

    fn versions(ranges: &[(ApiKey, i16, i16)]) -> ApiVersionsResponse {
        let api = |&(api, min, max): &(ApiKey, i16, i16)| {
            ApiVersion::default().with_api_key(api as i16).with_min_version(min).with_max_version(max)
        };
        ApiVersionsResponse::default().with_api_keys(ranges.iter().map(api).collect())
    }

    fn give(connection: &mut Connection, bytes: &[u8], now: Instant) -> Result<(), ConnectionError> {
        connection.buffer().extend_from_slice(bytes);
        connection.process(now)
    }

    fn options(sasl: bool) -> Options {
        Options { broker: "kafka:9092".to_owned(), sasl, ..Options::default() }
    }

    const USUAL: [(ApiKey, i16, i16); 5] = [
        (ApiKey::ApiVersions, 0, 3),
        (ApiKey::Metadata, 0, 9),
        (ApiKey::Produce, 0, 13),
        (ApiKey::SaslHandshake, 0, 1),
        (ApiKey::SaslAuthenticate, 0, 2),
    ];

    fn ready(now: Instant) -> Connection {
        let mut connection = Connection::new(options(false), now);
        let (header, _) = request(&mut connection);
        give(&mut connection, &answer(&header, None, versions(&USUAL)), now).unwrap();
        assert_eq!(connection.event(), Some(Event::Ready));
        connection
    }

    #[test]
    fn versions_are_agreed_on() {
        let now = Instant::now();
        let mut connection = ready(now);
        let id = connection.send(&MetadataRequest::default(), now).unwrap();
        let (header, _) = request(&mut connection);
        assert_eq!((header.request_api_version, header.correlation_id), (9, id.0));
        let metadata = MetadataResponse::default().with_cluster_id(Some("c".into()));
        give(&mut connection, &answer(&header, None, metadata.clone()), now).unwrap();
        let Some(Event::Response(response)) = connection.event() else { panic!("an answer") };
        assert_eq!((response.id, response.api, response.version), (id, ApiKey::Metadata, 9));
        assert_eq!(response.decode::<MetadataRequest>().unwrap(), metadata);
        assert_eq!((connection.event(), connection.in_flight()), (None, 0));
    }

    #[test]
    fn old_brokers_are_asked_again() {
        #[track_caller]
        fn check(first: ApiVersionsResponse, asked_then: i16) {
            let now = Instant::now();
            let mut connection = Connection::new(options(false), now);
            let (header, _) = request(&mut connection);
            assert_eq!(header.request_api_version, 3);
            let refusal = first.with_error_code(ResponseError::UnsupportedVersion.code());
            give(&mut connection, &answer(&header, Some(0), refusal), now).unwrap();
            let (header, _) = request(&mut connection);
            assert_eq!(header.request_api_version, asked_then);
            give(&mut connection, &answer(&header, None, versions(&[(ApiKey::Metadata, 0, 4)])), now)
                .unwrap();
            assert_eq!(connection.event(), Some(Event::Ready));
            let error = connection.send(&SaslHandshakeRequest::default(), now).unwrap_err();
            assert_eq!(
                error.to_string(),
                "kafka:9092 and this program have no version of SaslHandshake in common: \
                 the broker does not know it, here 0..1"
            );
        }
        check(ApiVersionsResponse::default(), 0);
        check(versions(&[(ApiKey::ApiVersions, 0, 2)]), 2);
        check(versions(&[(ApiKey::ApiVersions, 0, 7)]), 2);
    }

    #[test]
    fn no_common_version_names_both() {
        let now = Instant::now();
        let mut connection = Connection::new(options(false), now);
        let (header, _) = request(&mut connection);
        give(&mut connection, &answer(&header, None, versions(&[(ApiKey::Produce, 0, 2)])), now).unwrap();
        let error = connection.send_produce(&ProduceRequest::default(), now).unwrap_err();
        assert_eq!(
            error.to_string(),
            "kafka:9092 and this program have no version of Produce in common: the broker has 0..2, here 3..12"
        );
    }

    fn locked(now: Instant) -> Connection {
        let mut connection = Connection::new(options(true), now);
        let (header, _) = request(&mut connection);
        give(&mut connection, &answer(&header, None, versions(&USUAL)), now).unwrap();
        assert_eq!(connection.event(), Some(Event::CredentialsWanted));
        assert!(matches!(
            connection.send(&MetadataRequest::default(), now),
            Err(ConnectionError::NotReady { .. })
        ));
        connection
    }

    fn plain() -> Credentials {
        Credentials::Plain { user: "app".to_owned(), password: "secret".to_owned() }
    }

    /// Plays the broker's half of PLAIN.
    fn let_in(connection: &mut Connection, lifetime_ms: i64, now: Instant) {
        let (header, handshake) = request(connection);
        let RequestKind::SaslHandshake(handshake) = handshake else { panic!("{handshake:?}") };
        assert_eq!(&*handshake.mechanism, "PLAIN");
        give(connection, &answer(&header, None, SaslHandshakeResponse::default()), now).unwrap();
        let (header, token) = request(connection);
        let RequestKind::SaslAuthenticate(token) = token else { panic!("{token:?}") };
        assert_eq!(&token.auth_bytes[..], b"\0app\0secret");
        let session = SaslAuthenticateResponse::default().with_session_lifetime_ms(lifetime_ms);
        give(connection, &answer(&header, None, session), now).unwrap();
    }

    #[test]
    fn sessions_are_renewed_and_requests_wait_for_it() {
        let start = Instant::now();
        let mut connection = locked(start);
        connection.authenticate(plain(), start).unwrap();
        let_in(&mut connection, 10_000, start);
        assert_eq!((connection.event(), connection.event()), (Some(Event::Ready), None));

        let renewal = start + Duration::from_millis(8500);
        assert_eq!(connection.deadline(), Some(renewal));
        connection.on_time(renewal).unwrap();
        assert_eq!(connection.event(), Some(Event::CredentialsWanted));
        let before = connection.send(&MetadataRequest::default(), renewal).unwrap();
        let (first, _) = request(&mut connection);
        connection.authenticate(plain(), renewal).unwrap();
        let held = connection.send(&MetadataRequest::default(), renewal).unwrap();
        let silent = connection.send_produce(&ProduceRequest::default(), renewal).unwrap();
        give(&mut connection, &answer(&first, None, MetadataResponse::default()), renewal).unwrap();
        let_in(&mut connection, 0, renewal);
        let out = requests(&mut connection);
        assert_eq!(
            out.iter().map(|(header, _)| header.correlation_id).collect::<Vec<_>>(),
            [held.0, silent.0]
        );
        give(&mut connection, &answer(&out[0].0, None, MetadataResponse::default()), renewal).unwrap();
        let events: Vec<Event> = std::iter::from_fn(|| connection.event()).collect();
        let ids: Vec<RequestId> = events
            .iter()
            .map(|event| match event {
                Event::Response(response) => response.id,
                Event::Written(id) => *id,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(ids, [before, silent, held]);
        assert_eq!(connection.deadline(), None);
    }

    #[test]
    fn refused_credentials_are_told() {
        let now = Instant::now();
        let mut connection = locked(now);
        connection.authenticate(plain(), now).unwrap();
        let (header, _) = request(&mut connection);
        let other = SaslHandshakeResponse::default()
            .with_error_code(ResponseError::UnsupportedSaslMechanism.code())
            .with_mechanisms(vec!["GSSAPI".into(), "SCRAM-SHA-512".into()]);
        let error = give(&mut connection, &answer(&header, None, other), now).unwrap_err();
        assert_eq!(error.to_string(), "kafka:9092 does not offer PLAIN, only: GSSAPI, SCRAM-SHA-512");

        let mut connection = locked(now);
        connection.authenticate(plain(), now).unwrap();
        let (header, _) = request(&mut connection);
        give(&mut connection, &answer(&header, None, SaslHandshakeResponse::default()), now).unwrap();
        let (header, _) = request(&mut connection);
        let refusal = SaslAuthenticateResponse::default()
            .with_error_code(ResponseError::SaslAuthenticationFailed.code())
            .with_error_message(Some("Invalid username or password".into()));
        let error = give(&mut connection, &answer(&header, None, refusal), now).unwrap_err();
        assert_eq!(error.to_string(), "kafka:9092 refuses to authenticate: Invalid username or password");
    }

    #[test]
    fn late_and_wrong_answers_end_it() {
        let start = Instant::now();
        let mut connection = ready(start);
        connection.send_by(&MetadataRequest::default(), 4, start + Duration::from_secs(5)).unwrap();
        connection.send_by(&MetadataRequest::default(), 4, start + Duration::from_secs(2)).unwrap();
        assert_eq!(requests(&mut connection)[0].0.request_api_version, 4);
        assert_eq!(connection.deadline(), Some(start + Duration::from_secs(2)));
        connection.on_time(start + Duration::from_millis(1999)).unwrap();
        let error = connection.on_time(start + Duration::from_secs(2)).unwrap_err();
        assert_eq!(error.to_string(), "kafka:9092 did not answer Metadata in time");

        #[track_caller]
        fn check(bytes: &[u8], expected: &str) {
            let now = Instant::now();
            let mut connection = ready(now);
            connection.send(&MetadataRequest::default(), now).unwrap();
            assert_eq!(give(&mut connection, bytes, now).unwrap_err().to_string(), expected);
        }
        check(
            b"HTTP/1.1 400 Bad Request\r\n",
            "kafka:9092 announces an answer of 1213486160 bytes, where at most 134217728 are read",
        );
        check(
            &(-1i32).to_be_bytes(),
            "kafka:9092 announces an answer of -1 bytes, where at most 134217728 are read",
        );
        check(&[0, 0, 0, 4, 0, 0, 0, 9], "kafka:9092 answers request 9, not Some(1)");
        check(&[0, 0, 0, 2, 0, 0], "kafka:9092 answers request -1, not Some(1)");
    }

    #[test]
    fn written_without_an_answer() {
        let now = Instant::now();
        let mut connection = ready(now);
        let records = PartitionProduceData::default().with_records(Some(Bytes::from(vec![7; 5000])));
        let topic = TopicProduceData::default().with_name(StrBytes::from_static_str("t").into());
        let request = ProduceRequest::default()
            .with_acks(0)
            .with_topic_data(vec![topic.with_partition_data(vec![records])]);
        let silent = connection.send_produce(&request, now).unwrap();
        let asked = connection.send_produce(&request.clone().with_acks(1), now).unwrap();
        assert_eq!(connection.in_flight(), 1);
        let bytes: usize = connection.pending().map(Bytes::len).sum();
        connection.written(bytes / 2 - 1);
        assert_eq!(connection.event(), None);
        connection.written(1);
        assert_eq!(connection.event(), Some(Event::Written(silent)));
        connection.written(bytes / 2);
        assert_eq!((connection.pending().count(), connection.event()), (0, None));
        let header = RequestHeader::default().with_request_api_version(12).with_correlation_id(asked.0);
        let response = ProduceResponse::default().with_responses(vec![TopicProduceResponse::default()]);
        give(&mut connection, &answer(&header, None, response), now).unwrap();
        let Some(Event::Response(response)) = connection.event() else { panic!("an answer") };
        assert!(response.clone().decode::<MetadataRequest>().is_err());
        assert!(matches!(response.kind(), Ok(ResponseKind::Produce(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn answers_may_come_in_any_pieces(cuts in prop::collection::vec(1..40usize, 1..60), count in 1..6usize) {
            let now = Instant::now();
            let mut connection = ready(now);
            let mut expected = Vec::new();
            let mut bytes = Vec::new();
            for at in 0..count {
                expected.push(connection.send(&MetadataRequest::default(), now).unwrap());
                let (header, _) = request(&mut connection);
                let cluster = StrBytes::from_string("c".repeat(at * 30));
                bytes.extend(answer(&header, None, MetadataResponse::default().with_cluster_id(Some(cluster))));
            }
            let mut rest = &bytes[..];
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                give(&mut connection, piece, now).unwrap();
                rest = after;
            }
            for (at, id) in expected.into_iter().enumerate() {
                let Some(Event::Response(response)) = connection.event() else { panic!("an answer") };
                prop_assert_eq!(response.id, id);
                let metadata = response.decode::<MetadataRequest>().unwrap();
                prop_assert_eq!(metadata.cluster_id.unwrap().len(), at * 30);
            }
        }

        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let now = Instant::now();
            let mut connection = Connection::new(options(false), now);
            // Behind a right beginning, so that the decoder sees them.
            let length = (bytes.len() as u32 + 4).to_be_bytes();
            let _ = give(&mut connection, &[&length[..], &[0; 4], &bytes].concat(), now);
        }
    }
}
