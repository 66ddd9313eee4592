//! The side of the sockets: requests come in, and wait for their answers.

use super::super::decode::Codec;
use super::Config;
use crate::net::listen::{Connection, Intake, Serve, intake::FREE_BYTES};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// How long a request waits for room before it is told to come again.
const ROOM_WAIT: Duration = Duration::from_millis(500);
/// After how many seconds it may come again.
const RETRY_AFTER: &str = "1";

/// A request whose body is whole.
pub(super) struct Load {
    pub(super) peer: SocketAddr,
    pub(super) packed: Packed,
    pub(super) body: Bytes,
    /// Whether its text is ISO 8859-1.
    pub(super) is_latin: bool,
    /// None: that of all types that have none of their own.
    pub(super) codec: Option<Codec>,
    /// The headers, as a JSON object.
    pub(super) headers: String,
    pub(super) answer: Answer,
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packed {
    No,
    Gzip,
    Deflate,
    Zstd,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its events are safe.
    Safe,
    /// They are not, and nobody has them any more.
    GivenBack,
    /// The body is not what it says it is.
    Bad(String),
    /// It is larger than it may be.
    TooLarge,
}

/// Where the verdict goes.
pub(super) struct Answer(oneshot::Sender<Verdict>);

impl Answer {
    /// Tells it; nobody hears it when who asked is gone.
    pub(super) fn give(self, verdict: Verdict) {
        let _ = self.0.send(verdict);
    }
}

/// What is known of the options where the sockets are.
pub(super) struct Service {
    users: Vec<(String, String)>,
    codecs: BTreeMap<String, Codec>,
    body_bytes_max: usize,
    pending: Arc<Semaphore>,
    answer_timeout: Duration,
    idle_timeout: Duration,
    code: StatusCode,
    headers: HeaderMap,
}

type Reply = Response<Full<Bytes>>;

impl Service {
    /// With headers that were checked.
    pub(super) fn new(config: &Config, headers: HeaderMap) -> Self {
        let users = config.users.iter().map(|(name, secret)| (name.clone(), secret.expose().to_owned()));
        let codecs = config.codecs.iter().map(|(kind, codec)| (kind.to_ascii_lowercase(), *codec));
        Self {
            users: users.collect(),
            codecs: codecs.collect(),
            body_bytes_max: config.body_bytes_max.0 as usize,
            pending: Arc::new(Semaphore::new(config.pending_max.min(Semaphore::MAX_PERMITS))),
            answer_timeout: config.answer_timeout.0,
            idle_timeout: config.idle_timeout.0,
            code: StatusCode::from_u16(config.response_code).unwrap_or(StatusCode::OK),
            headers,
        }
    }

    async fn reply(&self, request: Request<Incoming>, peer: SocketAddr, intake: &Intake<Load>) -> Reply {
        match self.take(request, peer, intake).await {
            Ok(()) => {
                let is_empty = self.code == StatusCode::NO_CONTENT || self.code == StatusCode::RESET_CONTENT;
                let mut reply = plain(self.code, if is_empty { "" } else { "ok" });
                for (name, value) in &self.headers {
                    reply.headers_mut().insert(name, value.clone());
                }
                reply
            }
            Err(reply) => *reply,
        }
    }

    /// Takes a request and waits until its events are safe.
    async fn take(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        intake: &Intake<Load>,
    ) -> Result<(), Box<Reply>> {
        self.admit(request.headers())?;
        if request.method() != Method::POST && request.method() != Method::PUT {
            let mut reply = plain(StatusCode::METHOD_NOT_ALLOWED, "POST or PUT");
            reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, PUT"));
            return Err(Box::new(reply));
        }
        let packed = packed(request.headers())?;
        let Ok(_place) = self.pending.clone().try_acquire_owned() else { return Err(busy()) };
        let kind = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let (kind, parameters) = kind.split_once(';').unwrap_or((kind, ""));
        let codec = self.codecs.get(&kind.trim().to_ascii_lowercase()).copied();
        let is_latin = is_latin(parameters);
        let headers = headers_json(&request);
        let length = request.body().size_hint().upper();
        if length.is_some_and(|length| length > self.body_bytes_max as u64) {
            return Err(too_large());
        }
        let length = length.map_or(self.body_bytes_max, |length| length as usize);
        // Who sends slowly is waited for as long as for an answer.
        let body = timeout(self.answer_timeout, self.body(request.into_body(), length, intake)).await;
        let body =
            body.map_err(|_| refuse(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"))??;
        let bytes = body.len();
        let (sender, verdict) = oneshot::channel();
        let load = Load { peer, packed, body, is_latin, codec, headers, answer: Answer(sender) };
        match timeout(ROOM_WAIT, intake.bring(load, bytes)).await {
            Ok(true) => {}
            Ok(false) => return Err(unavailable("the program ends")),
            Err(_) => return Err(busy()),
        }
        match timeout(self.answer_timeout, verdict).await {
            Ok(Ok(Verdict::Safe)) => Ok(()),
            Ok(Ok(Verdict::Bad(why))) => Err(refuse(StatusCode::BAD_REQUEST, &why)),
            Ok(Ok(Verdict::TooLarge)) => Err(too_large()),
            Ok(Ok(Verdict::GivenBack) | Err(_)) => Err(unavailable("the events could not be kept")),
            Err(_) => Err(unavailable("the events were not safe in time; they may be kept all the same")),
        }
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), Box<Reply>> {
        if self.users.is_empty() {
            return Ok(());
        }
        let given = headers.get(header::AUTHORIZATION).and_then(|value| basic(value.to_str().ok()?));
        // Every user is compared in full, so that the time says nothing.
        let is_known = given.is_some_and(|given| {
            let found = self.users.iter().fold(Choice::from(0), |found, (name, password)| {
                found | given.ct_eq(format!("{name}:{password}").as_bytes())
            });
            found.into()
        });
        if is_known {
            return Ok(());
        }
        let mut reply = plain(StatusCode::UNAUTHORIZED, "a name and a password (Basic)");
        let challenge = HeaderValue::from_static("Basic realm=\"logpond\", charset=\"UTF-8\"");
        reply.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        Err(Box::new(reply))
    }

    /// Reads a body that is not too large, of this length at most.
    async fn body(
        &self,
        mut body: Incoming,
        length: usize,
        intake: &Intake<Load>,
    ) -> Result<Bytes, Box<Reply>> {
        let mut whole = BytesMut::new();
        let mut room = None;
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|error| refuse(StatusCode::BAD_REQUEST, &format!("the body ended: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len() + data.len() > self.body_bytes_max {
                return Err(too_large());
            }
            if whole.len() + data.len() > FREE_BYTES && room.is_none() {
                room = timeout(ROOM_WAIT, intake.grow(length)).await.map_err(|_| busy())?;
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    }
}

impl Serve for Service {
    type Load = Load;

    async fn serve(self: Arc<Self>, connection: Connection, intake: Intake<Load>) -> Result<(), String> {
        let Connection { stream, peer, mut closing, .. } = connection;
        let is_closing = closing.clone();
        let idle_timeout = self.idle_timeout;
        let service = service_fn(move |request| {
            let (service, intake, is_closing) = (self.clone(), intake.clone(), is_closing.clone());
            async move {
                if is_closing.is_set() {
                    return Ok::<_, Infallible>(*unavailable("the program ends"));
                }
                Ok(service.reply(request, peer, &intake).await)
            }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(idle_timeout);
        let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = serving.as_mut() => ended,
            () = closing.wait() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        match ended {
            Ok(()) => Ok(()),
            // Silence, or a peer that goes, is no fault.
            Err(error) if error.is_timeout() || error.is_incomplete_message() => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// An answer of one line.
fn plain(status: StatusCode, text: &str) -> Reply {
    let body = if text.is_empty() { Bytes::new() } else { Bytes::from(format!("{text}\n")) };
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    if !text.is_empty() {
        reply
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    reply
}

fn refuse(status: StatusCode, text: &str) -> Box<Reply> {
    Box::new(plain(status, text))
}

fn too_large() -> Box<Reply> {
    refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than body_bytes_max")
}

fn busy() -> Box<Reply> {
    later(StatusCode::TOO_MANY_REQUESTS, "as many requests wait as may")
}

fn unavailable(text: &str) -> Box<Reply> {
    later(StatusCode::SERVICE_UNAVAILABLE, text)
}

fn later(status: StatusCode, text: &str) -> Box<Reply> {
    let mut reply = refuse(status, text);
    reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    reply
}

/// The name and the password of `Basic …`, as `name:password`.
fn basic(header: &str) -> Option<Vec<u8>> {
    let (scheme, rest) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    BASE64_STANDARD.decode(rest.trim()).ok()
}

fn packed(headers: &HeaderMap) -> Result<Packed, Box<Reply>> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else { return Ok(Packed::No) };
    match encoding.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Packed::No),
        "gzip" | "x-gzip" => Ok(Packed::Gzip),
        "deflate" => Ok(Packed::Deflate),
        "zstd" => Ok(Packed::Zstd),
        _ => Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Encoding: gzip, deflate, zstd or none")),
    }
}

fn is_latin(parameters: &str) -> bool {
    parameters.split(';').filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("charset")
            && ["iso-8859-1", "latin1", "l1"].iter().any(|latin| value.eq_ignore_ascii_case(latin))
    })
}

/// Names in small letters with `_` for `-`, and `http_` before those that CGI has it for. Who asked
/// proved itself with what is left out.
fn headers_json(request: &Request<Incoming>) -> String {
    let mut members = serde_json::Map::new();
    for (name, value) in request.headers() {
        if [header::AUTHORIZATION, header::PROXY_AUTHORIZATION].contains(name) {
            continue;
        }
        let name = match name.as_str() {
            own @ ("accept" | "host" | "user-agent") => format!("http_{own}"),
            own => own.to_owned(),
        };
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        members.insert(name.replace('-', "_"), value.into());
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    members.insert("request_method".to_owned(), request.method().as_str().into());
    members.insert("request_path".to_owned(), path.into());
    members.insert("http_version".to_owned(), format!("{:?}", request.version()).into());
    serde_json::Value::Object(members).to_string()
}
