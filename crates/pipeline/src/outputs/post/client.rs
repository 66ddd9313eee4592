//! Requests with events: who we say we are, compression, and the statuses of answers.

use crate::net::endpoint::Endpoint;
use crate::net::http::{Answer, Host, HttpError};
use crate::net::tls::TlsConfig;
use crate::outputs::post::Load;
use crate::plan::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use hyper::{Method, Request};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::io::Write;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How an output says who it is. What stands in files is read when it is first needed, and again
/// after an answer 401 or 403.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// A user and a password.
    Basic(Basic),
    /// A token.
    Bearer(Secret),
    /// A file that holds a token.
    BearerFile(PathBuf),
    /// A key in a header of its own.
    ApiKey(ApiKey),
}

/// A user and a password.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Basic {
    /// The user.
    pub user: String,
    /// The password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Or a file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// A key in a header of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKey {
    /// The header.
    pub header: String,
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
    /// Or a file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

impl Default for ApiKey {
    fn default() -> Self {
        Self { header: "x-api-key".to_owned(), key: None, key_file: None }
    }
}

impl Auth {
    /// Checks what can be checked without the files.
    pub(in crate::outputs) fn check(&self) -> Result<(), String> {
        let exactly_one = |name: &str, text: bool, file: bool| match (text, file) {
            (true, false) | (false, true) => Ok(()),
            _ => Err(format!("option \"auth\": give either {name:?} or \"{name}_file\"")),
        };
        match self {
            Auth::Basic(basic) => {
                exactly_one("password", basic.password.is_some(), basic.password_file.is_some())
            }
            Auth::ApiKey(key) => {
                exactly_one("key", key.key.is_some(), key.key_file.is_some())?;
                HeaderName::from_bytes(key.header.as_bytes())
                    .map_err(|_| format!("option \"auth\": {:?} cannot name a header", key.header))?;
                Ok(())
            }
            Auth::Bearer(_) | Auth::BearerFile(_) => Ok(()),
        }
    }

    fn header(&self) -> Result<(HeaderName, HeaderValue), String> {
        let secret = |text: &Option<Secret>, file: &Option<PathBuf>| match (text, file) {
            (_, Some(file)) => read(file),
            (text, None) => Ok(text.as_ref().map_or_else(String::new, |text| text.expose().to_owned())),
        };
        let (name, text) = match self {
            Auth::Basic(Basic { user, password, password_file }) => {
                let password = secret(password, password_file)?;
                (AUTHORIZATION, format!("Basic {}", BASE64.encode(format!("{user}:{password}"))))
            }
            Auth::Bearer(token) => (AUTHORIZATION, format!("Bearer {}", token.expose())),
            Auth::BearerFile(file) => (AUTHORIZATION, format!("Bearer {}", read(file)?)),
            Auth::ApiKey(ApiKey { header, key, key_file }) => {
                let name = HeaderName::from_bytes(header.as_bytes()).map_err(|error| error.to_string())?;
                (name, secret(key, key_file)?)
            }
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| "\"auth\" holds what a header cannot hold".to_owned())?;
        value.set_sensitive(true);
        Ok((name, value))
    }
}

fn read(file: &PathBuf) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// How requests are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// Checks a level; an error names the option.
    pub(in crate::outputs) fn check(self, level: Option<i32>) -> Result<(), String> {
        let levels = match self {
            Compression::None => return Ok(()),
            Compression::Gzip => 0..=9,
            Compression::Zstd => 1..=22,
        };
        match level {
            Some(level) if !levels.contains(&level) => {
                Err(format!("option \"compression_level\": expected {} to {}", levels.start(), levels.end()))
            }
            _ => Ok(()),
        }
    }

    fn name(self) -> Option<&'static str> {
        match self {
            Compression::None => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
        }
    }

    fn pack(self, level: Option<i32>, text: Vec<u8>) -> Result<Vec<u8>, String> {
        let packed = match self {
            Compression::None => return Ok(text),
            Compression::Gzip => {
                let level = flate2::Compression::new(level.unwrap_or(1).unsigned_abs());
                let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4 + 64), level);
                encoder.write_all(&text).and_then(|()| encoder.finish())
            }
            Compression::Zstd => zstd::bulk::compress(&text, level.unwrap_or(3)),
        };
        packed.map_err(|error| format!("cannot compress: {error}"))
    }
}

/// Statuses of answers, such as `200`, `"200-299"` or `"5xx"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(pub RangeInclusive<u16>);

impl Statuses {
    /// Reads statuses.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no status, such as 200, \"200-299\" or \"5xx\"");
        let number =
            |text: &str| text.trim().parse().ok().filter(|n| (100..=599).contains(n)).ok_or_else(wrong);
        if let Some(class) = text.trim().strip_suffix("xx") {
            let class: u16 = class.parse().ok().filter(|n| (1..=5).contains(n)).ok_or_else(wrong)?;
            return Ok(Self(class * 100..=class * 100 + 99));
        }
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (from, to) = (number(from)?, number(to)?);
        if from > to { Err(wrong()) } else { Ok(Self(from..=to)) }
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.0.start(), self.0.end());
        if from == to { write!(f, "{from}") } else { write!(f, "{from}-{to}") }
    }
}

impl Serialize for Statuses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Statuses;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status such as 200, \"200-299\" or \"5xx\"")
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Statuses, E> {
                Statuses::parse(&value.to_string()).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Statuses, E> {
                Statuses::parse(&value.to_string()).map_err(E::custom)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Statuses, E> {
                Statuses::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Checks names and values of headers that are the same for every request; the error names the option.
pub(in crate::outputs) fn header(name: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue), String> {
    let name =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} cannot name a header"))?;
    let mut value = HeaderValue::from_bytes(value)
        .map_err(|_| format!("what is to be the header {name} cannot be one"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// What a [`Client`] is made of.
pub(in crate::outputs) struct Options {
    pub(in crate::outputs) endpoints: Vec<Endpoint>,
    pub(in crate::outputs) method: Method,
    pub(in crate::outputs) content_type: String,
    pub(in crate::outputs) auth: Option<Auth>,
    pub(in crate::outputs) tls: Option<TlsConfig>,
    pub(in crate::outputs) compression: Compression,
    pub(in crate::outputs) compression_level: Option<i32>,
    pub(in crate::outputs) connect_timeout: Duration,
    pub(in crate::outputs) request_timeout: Duration,
}

/// What sends loads to hosts.
pub(super) struct Client {
    hosts: Vec<Node>,
    method: Method,
    headers: HeaderMap,
    auth: Option<Auth>,
    /// The header that says who we are, once it was made.
    credentials: Mutex<Option<(HeaderName, HeaderValue)>>,
    compression: Compression,
    compression_level: Option<i32>,
}

/// One host.
struct Node {
    host: Host,
    /// Whether it takes bodies without compression only.
    is_plain: AtomicBool,
}

impl Client {
    /// Reads certificates; an error names the option.
    pub(super) fn new(options: Options) -> Result<Self, String> {
        let tls_config = options.tls.unwrap_or_default();
        let tls = match options.endpoints.iter().any(|endpoint| endpoint.tls) {
            true => Some(tls_config.build().map_err(|error| format!("option \"tls\": {error}"))?),
            false => None,
        };
        let mut hosts = Vec::new();
        for endpoint in options.endpoints {
            let host = Host::new(endpoint, tls.as_ref(), options.connect_timeout, options.request_timeout)?;
            hosts.push(Node { host, is_plain: AtomicBool::new(false) });
        }
        let mut headers = HeaderMap::new();
        let agent = concat!("logpond/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let content_type = HeaderValue::from_str(&options.content_type)
            .map_err(|_| "option \"content_type\": it cannot be a header".to_owned())?;
        headers.insert(CONTENT_TYPE, content_type);
        Ok(Self {
            hosts,
            method: options.method,
            headers,
            auth: options.auth,
            credentials: Mutex::default(),
            compression: options.compression,
            compression_level: options.compression_level,
        })
    }

    pub(super) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// The address of a host, for words.
    pub(super) fn name(&self, host: usize) -> String {
        self.hosts[host].host.endpoint.to_string()
    }

    /// From now on bodies go to the host as they are; whether they did not before.
    pub(super) fn stop_compressing(&self, host: usize) -> bool {
        let was_plain =
            self.compression == Compression::None || self.hosts[host].is_plain.swap(true, Relaxed);
        if !was_plain {
            tracing::info!(host = self.name(host), "a server takes no compression: bodies go as they are");
        }
        !was_plain
    }

    /// What we said about ourselves was not enough: what stands in files is read again.
    pub(super) fn forget_credentials(&self) {
        *self.credentials() = None;
    }

    fn credentials(&self) -> MutexGuard<'_, Option<(HeaderName, HeaderValue)>> {
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn who_we_are(&self) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        let Some(auth) = &self.auth else { return Ok(None) };
        let mut kept = self.credentials();
        if kept.is_none() {
            *kept = Some(auth.header()?);
        }
        Ok(kept.clone())
    }

    /// Sends a load once.
    pub(super) async fn send<F: super::Form>(
        self: &Arc<Self>,
        host: usize,
        form: Arc<F>,
        load: Arc<Load>,
    ) -> Result<Answer, HttpError> {
        let unsent = |error: String| HttpError::Unreachable(error);
        let node = &self.hosts[host];
        let is_plain = node.is_plain.load(Relaxed);
        let (compression, level) =
            (if is_plain { Compression::None } else { self.compression }, self.compression_level);
        let path = load.key.paths.get(host).cloned().unwrap_or_default();
        let headers = load.key.headers.clone();
        // Megabytes are written and compressed: other requests go on meanwhile.
        let client = self.clone();
        let prepared = tokio::task::spawn_blocking(move || {
            Ok((client.who_we_are()?, compression.pack(level, form.body(&load))?))
        });
        let (credentials, body) =
            prepared.await.map_err(|error| unsent(error.to_string()))?.map_err(unsent)?;
        let request = Request::builder()
            .method(self.method.clone())
            .uri(path)
            .header(HOST, node.host.endpoint.authority())
            .body(Full::new(Bytes::from(body)));
        let mut request = request.map_err(|error| unsent(error.to_string()))?;
        let own = request.headers_mut();
        own.extend(self.headers.clone());
        if let Some(name) = compression.name() {
            own.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        for (name, value) in credentials.into_iter().chain(headers) {
            own.insert(name, value);
        }
        node.host.send(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn statuses() {
        #[track_caller]
        fn check(text: &str, expected: Option<RangeInclusive<u16>>) {
            assert_eq!(Statuses::parse(text).ok(), expected.clone().map(Statuses));
            if let Some(expected) = expected {
                assert_eq!(Statuses::parse(&Statuses(expected.clone()).to_string()), Ok(Statuses(expected)));
            }
        }
        check("200", Some(200..=200));
        check("200-299", Some(200..=299));
        check("5xx", Some(500..=599));
        for bad in ["", "xx", "6xx", "99", "600", "299-200", "2x", "200-"] {
            check(bad, None);
        }
    }

    #[test]
    fn who_we_say_we_are() {
        #[track_caller]
        fn check(auth: &str, expected: Result<(&str, &str), &str>) {
            let auth: Auth = serde_json::from_str(auth).unwrap();
            let found = auth.check().and_then(|()| auth.header());
            match (found, expected) {
                (Ok((name, value)), Ok(expected)) => {
                    assert_eq!((name.as_str(), value.to_str().unwrap()), expected);
                    assert!(value.is_sensitive());
                }
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                (found, expected) => panic!("{found:?} where {expected:?} was expected"),
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "s3cret\n").unwrap();
        let file = serde_json::to_string(&file).unwrap();
        check(r#"{"basic":{"user":"u","password":"p"}}"#, Ok(("authorization", "Basic dTpw")));
        check(
            &format!(r#"{{"basic":{{"user":"u","password_file":{file}}}}}"#),
            Ok(("authorization", "Basic dTpzM2NyZXQ=")),
        );
        check(r#"{"bearer":"t"}"#, Ok(("authorization", "Bearer t")));
        check(&format!(r#"{{"bearer_file":{file}}}"#), Ok(("authorization", "Bearer s3cret")));
        check(r#"{"api_key":{"header":"DD-API-KEY","key":"k"}}"#, Ok(("dd-api-key", "k")));
        check(&format!(r#"{{"api_key":{{"key_file":{file}}}}}"#), Ok(("x-api-key", "s3cret")));
        check(r#"{"api_key":{"header":"a b","key":"k"}}"#, Err("cannot name a header"));
        check(r#"{"basic":{"user":"u"}}"#, Err("either"));
        check(r#"{"bearer_file":"/nowhere/at/all"}"#, Err("/nowhere/at/all"));
        check(r#"{"bearer":"a\nb"}"#, Err("cannot hold"));
    }

    #[test]
    fn what_is_packed_is_what_it_was() {
        let text = b"the same again ".repeat(1_000);
        for (compression, levels) in [(Compression::Gzip, 1..=9), (Compression::Zstd, 1..=19)] {
            for level in levels {
                let packed = compression.pack(Some(level), text.clone()).unwrap();
                assert!(packed.len() < text.len() / 10);
                let mut back = Vec::new();
                match compression {
                    Compression::Gzip => {
                        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
                    }
                    _ => back = zstd::bulk::decompress(&packed, text.len()).unwrap(),
                }
                assert_eq!(back, text);
            }
        }
        assert!(Compression::Zstd.check(Some(23)).is_err() && Compression::Gzip.check(Some(-1)).is_err());
    }
}
