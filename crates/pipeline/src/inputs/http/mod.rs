//! Input `http`: events that others post to us. Who posts is answered when the events are safe, so a
//! request that was answered well is never lost, and one that was not may be sent again.
//!
//! | answer | when |
//! | --- | --- |
//! | `response_code` | all events of the request are delivered, or on disk in the queue |
//! | 400, 413, 415 | the body is not what it says it is, too large, or of an unknown encoding |
//! | 401, 405 | wrong user or password; neither POST nor PUT |
//! | 429 | as many requests, or bytes of them, wait as may: come again later |
//! | 503 | the program ends, or the events were not safe in time: they may have been taken or not |
//!
//! Bodies are unpacked and read on the input's thread, not where the sockets are.

mod body;
mod serve;

use super::decode::{Codec, Decoder, set};
use super::multiline::MultilineConfig;
use super::peers::{PeerFields, Peers};
use super::{ConfigError, Input, InputContext, InputError, Next};
use crate::net::listen::{Listen, Listening, ServerTls, Taken};
use crate::net::sockets::Held;
use crate::plan::Secret;
use crate::stop::Stop;
use crate::units::{Bytes, Time};
use event::{Batch, EVENTS_MAX, New, Path, Share};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serve::{Load, Service, Verdict};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Options of the input `http`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses as `HOST:PORT` or `[ADDRESS]:PORT`.
    pub listen: Vec<String>,
    /// TLS, when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
    /// Whether connections begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// So many connections at once.
    pub connections_max: usize,
    /// Users and their passwords (Basic); none: everybody may.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, Secret>,
    /// What a body is, by its `Content-Type`.
    pub codecs: BTreeMap<String, Codec>,
    /// And of any other type, or none.
    pub codec: Codec,
    /// How lines of a body are joined to one event, with `codec`; none: each is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiline: Option<MultilineConfig>,
    /// The field below which the members of an object go, with `codec`; none: they are fields of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The field that gets the names and values of the request's headers, with `request_method`,
    /// `request_path` and `http_version`; none: nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers_field: Option<String>,
    /// The field that gets the address of who sent it; empty: none does.
    pub ip_field: String,
    /// The field that gets its port; empty: none does.
    pub port_field: String,
    /// A larger body is refused, packed or unpacked.
    pub body_bytes_max: Bytes,
    /// So many requests may be under way at once: read, taken, or waiting to be safe.
    pub pending_max: usize,
    /// So many bytes of bodies may wait to be taken.
    pub pending_bytes: Bytes,
    /// How long a request waits for its events to be safe.
    pub answer_timeout: Time,
    /// How long a connection may be silent.
    pub idle_timeout: Time,
    /// The status of the answer when all is safe.
    pub response_code: u16,
    /// Headers of that answer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub response_headers: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        let codecs = [
            ("application/json", Codec::Json),
            ("application/x-ndjson", Codec::Ndjson),
            ("application/msgpack", Codec::Msgpack),
            ("application/x-msgpack", Codec::Msgpack),
            ("application/x-www-form-urlencoded", Codec::Form),
        ];
        Self {
            listen: Vec::new(),
            tls: None,
            proxy_protocol: false,
            connections_max: 1_000,
            users: BTreeMap::new(),
            codecs: codecs.map(|(name, codec)| (name.to_owned(), codec)).into(),
            codec: Codec::Lines,
            multiline: None,
            target: None,
            headers_field: Some("@metadata.headers".to_owned()),
            ip_field: "source.ip".to_owned(),
            port_field: "source.port".to_owned(),
            body_bytes_max: Bytes(16 << 20),
            pending_max: 1_000,
            pending_bytes: Bytes(32 << 20),
            answer_timeout: Time(Duration::from_secs(30)),
            idle_timeout: Time(Duration::from_secs(60)),
            response_code: 200,
            response_headers: BTreeMap::new(),
        }
    }
}

/// How long to wait for requests before the pipeline is asked again.
const LOOK: Duration = Duration::from_secs(3600);
/// A body is held in memory, packed and unpacked.
const BODY_BYTES_MAX: u64 = 1 << 30;

/// The input.
pub struct HttpInput {
    listening: Listening<Load>,
    codec: Codec,
    decoder: Decoder,
    /// For types that have a codec of their own.
    others: Decoder,
    peers: Peers,
    headers: Option<Path>,
    body_bytes_max: usize,
    batch_bytes: usize,
}

impl Config {
    fn listen(&self) -> Listen {
        Listen {
            listen: self.listen.clone(),
            tls: self.tls.clone(),
            proxy_protocol: self.proxy_protocol,
            connections_max: self.connections_max,
            intake_bytes: self.pending_bytes.0 as usize,
        }
    }

    fn peer_fields(&self) -> PeerFields<'_> {
        PeerFields { ip: &self.ip_field, port: &self.port_field }
    }

    /// Checks the options without looking at files.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |option, message: &str| Err(ConfigError { option, message: message.to_owned() });
        if self.pending_bytes.0 == 0 || self.pending_max == 0 {
            return wrong("pending_max", "\"pending_max\" and \"pending_bytes\" are more than 0");
        }
        self.listen().check().map_err(|(option, message)| ConfigError { option, message })?;
        if !(1..=BODY_BYTES_MAX).contains(&self.body_bytes_max.0) {
            return wrong("body_bytes_max", "between 1 and 1GiB");
        }
        if self.answer_timeout.0.is_zero() || self.idle_timeout.0.is_zero() {
            return wrong(
                "answer_timeout",
                "\"answer_timeout\" and \"idle_timeout\" are longer than nothing",
            );
        }
        if !(200..=299).contains(&self.response_code) {
            return wrong("response_code", "a status that says that all is well: 200 to 299");
        }
        if let Some(field) = &self.headers_field
            && let Err(error) = Path::parse(field)
        {
            return wrong("headers_field", &error.to_string());
        }
        self.decoder()?;
        self.peer_fields().check()?;
        self.response_headers().map(|_| ())
    }

    fn response_headers(&self) -> Result<HeaderMap, ConfigError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.response_headers {
            let wrong = || ConfigError {
                option: "response_headers",
                message: format!("{name:?} or its value cannot stand in a header"),
            };
            let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            headers.insert(name.parse::<HeaderName>().map_err(|_| wrong())?, value);
        }
        Ok(headers)
    }

    fn decoder(&self) -> Result<Decoder, ConfigError> {
        Decoder::new(self.codec, self.multiline.as_ref(), self.target.as_deref())
    }

    /// The input that these options describe; it listens at once, and reads the files of `tls`.
    pub fn build(&self, context: InputContext) -> Result<HttpInput, ConfigError> {
        self.check()?;
        let service = Service::new(self, self.response_headers()?);
        let listening = self.listen().start(&context.name, &context.sockets, Arc::new(service));
        let headers = self.headers_field.as_deref().and_then(|field| Path::parse(field).ok());
        Ok(HttpInput {
            listening: listening.map_err(|(option, message)| ConfigError { option, message })?,
            codec: self.codec,
            decoder: self.decoder()?,
            others: Decoder::default(),
            peers: Peers::new(&context, self.peer_fields()),
            headers,
            body_bytes_max: self.body_bytes_max.0 as usize,
            batch_bytes: context.batch_bytes,
        })
    }
}

impl Input for HttpInput {
    fn next(&mut self, batch: &mut Batch, stop: &Stop) -> Result<Next, InputError> {
        loop {
            let mut until = Instant::now() + LOOK;
            let mut is_over = false;
            batch.reset(crate::run::now());
            while batch.bytes().len() < self.batch_bytes && batch.len() < EVENTS_MAX {
                match self.listening.next(stop, until) {
                    Taken::Load(load) => {
                        if batch.is_empty() {
                            // The clock was read before the wait; nothing refers to it yet.
                            batch.reset(crate::run::now());
                        }
                        self.take(load, batch);
                    }
                    Taken::Nothing => break,
                    Taken::Over => {
                        is_over = true;
                        break;
                    }
                }
                // What else is there goes along, and nothing is waited for.
                until = Instant::now();
            }
            if !batch.is_empty() {
                return Ok(Next::Filled);
            }
            if is_over {
                return Ok(Next::Stopped);
            }
        }
    }

    fn sockets(&self) -> Vec<Held> {
        self.listening.sockets()
    }
}

impl HttpInput {
    /// Adds the events of a request, or answers at once that there are none.
    fn take(&mut self, load: Load, batch: &mut Batch) {
        let Load { peer, packed, body, is_latin, codec, headers, answer } = load;
        let body = match body::unpacked(packed, body, self.body_bytes_max) {
            Ok(body) => body,
            Err(verdict) => return answer.give(verdict),
        };
        let body = if is_latin { body::from_latin(&body).into() } else { body };
        let before = batch.len();
        if !body.is_empty() {
            let Self { peers, headers: field, .. } = self;
            let (decoder, codec) = match codec {
                Some(codec) => (&self.others, codec),
                None => (&self.decoder, self.codec),
            };
            peers.push(peer, batch, |position, batch| {
                decoder.push(codec, &body, position, batch, &mut |event| {
                    if let Some(field) = field {
                        set(event, field, New::Json(&headers));
                    }
                })
            });
        }
        if batch.len() == before {
            return answer.give(Verdict::Safe);
        }
        batch.acks.push(Share::new(move |done| {
            answer.give(if done { Verdict::Safe } else { Verdict::GivenBack });
        }));
    }
}

#[cfg(test)]
mod tests;
