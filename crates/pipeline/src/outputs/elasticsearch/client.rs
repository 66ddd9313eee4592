//! Bulk requests over HTTP: the path, the headers, compression, and what product answers.

use super::flow::Body;
use super::{ApiVersion, Auth, Config, QueryValue};
use crate::net::endpoint::{Endpoint, percent_encode};
use crate::net::http::{Answer, Host, HttpError};
use crate::net::secret_file;
use crate::plan::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
};
use hyper::{Method, Request};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// What sends bodies to hosts.
pub(super) struct Client {
    hosts: Vec<Node>,
    query: String,
    headers: HeaderMap,
    auth: Option<Auth>,
    gzip_level: u32,
    asks_version: bool,
    wants_streams: bool,
}

/// One host.
struct Node {
    host: Host,
    authorization: Mutex<Option<HeaderValue>>,
    known: Mutex<Known>,
    /// Whether it takes bodies without compression only.
    is_plain: AtomicBool,
}

/// What is known of a host.
#[derive(Default)]
struct Known {
    /// What it is; none until it was asked, and again once it failed: it may come back as another.
    product: Option<Product>,
    /// What the log says it is.
    told: Option<Product>,
}

/// Why there is no answer to a bulk request.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server is not one that takes our requests.
    #[error("{0}")]
    Unfit(String),
}

/// A body as the bytes of a request, without a copy.
struct Text(Arc<Body>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.0.text
    }
}

impl Client {
    /// Reads certificates; an error names the option.
    pub(super) fn new(config: &Config) -> Result<Self, String> {
        let endpoints = config.parsed_endpoints()?;
        let options = config.tls.clone().unwrap_or_default();
        let tls = match endpoints.iter().any(|endpoint| endpoint.tls) {
            true => Some(options.build().map_err(|error| format!("option \"tls\": {error}"))?),
            false => None,
        };
        let mut hosts = Vec::new();
        for endpoint in endpoints {
            let authorization = authorization(config.auth.as_ref(), &endpoint)?;
            let timeouts = (config.connect_timeout.0, config.request_timeout.0);
            let host = Host::new(endpoint, tls.as_ref(), timeouts.0, timeouts.1)
                .map_err(|error| format!("option \"endpoints\": {error}"))?;
            hosts.push(Node {
                host,
                authorization: Mutex::new(authorization),
                known: Mutex::default(),
                is_plain: AtomicBool::new(false),
            });
        }
        Ok(Self {
            hosts,
            query: query(config),
            headers: headers(config)?,
            auth: config.auth.clone(),
            gzip_level: config.gzip_level,
            asks_version: config.api_version == ApiVersion::Auto,
            wants_streams: config.data_stream.is_some(),
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
        let was_plain = self.gzip_level == 0 || self.hosts[host].is_plain.swap(true, Relaxed);
        if !was_plain {
            tracing::info!(host = self.name(host), "a server takes no gzip: bodies go as they are");
        }
        !was_plain
    }

    /// The host refused who we are: a secret that stands in a file is read again, since it may
    /// have been changed there.
    pub(super) fn renew(&self, host: usize) -> Result<(), String> {
        let node = &self.hosts[host];
        let fresh = authorization(self.auth.as_ref(), &node.host.endpoint)?;
        *node.authorization.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Sends a body once.
    pub(super) async fn bulk(&self, host: usize, body: Arc<Body>) -> Result<Answer, SendError> {
        let node = &self.hosts[host];
        let result = self.attempt(node, body).await;
        if result.is_err() {
            node.known().product = None;
        }
        result
    }

    async fn attempt(&self, node: &Node, body: Arc<Body>) -> Result<Answer, SendError> {
        if self.asks_version {
            self.know(node).await?;
        }
        let level = if node.is_plain.load(Relaxed) { 0 } else { self.gzip_level };
        let bytes = match level {
            0 => Bytes::from_owner(Text(body)),
            // Megabytes are compressed: other requests go on meanwhile.
            _ => tokio::task::spawn_blocking(move || gzip(&body.text, level))
                .await
                .map_err(|error| HttpError::Unreachable(error.to_string()))?,
        };
        let mut request = self.request(node, Method::POST, &format!("/_bulk{}", self.query), bytes)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        if level > 0 {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(node.host.send(request).await?)
    }

    fn request(
        &self,
        node: &Node,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, HttpError> {
        let authorization = node.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut request = request_to(&node.host.endpoint, method, path, body, authorization)?;
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        Ok(request)
    }

    /// Asks a host once what it is. Who may only write is often not let see it: then it is
    /// believed to be fit.
    async fn know(&self, node: &Node) -> Result<(), SendError> {
        if node.known().product.is_some() {
            return Ok(());
        }
        let answer = node.host.send(self.request(node, Method::GET, "/", Bytes::new())?).await?;
        if matches!(answer.status, 429 | 500..=599) {
            let text = format!("it answers {} when asked for its version", answer.status);
            return Err(HttpError::Unreachable(text).into());
        }
        let product = Product::read(answer.status, &answer.body);
        if let Some(reason) = product.unfit(self.wants_streams) {
            return Err(SendError::Unfit(reason));
        }
        let mut known = node.known();
        known.product = Some(product);
        if known.told != Some(product) {
            known.told = Some(product);
            tracing::info!(host = %node.host.endpoint, server = %product, "an output has found its server");
        }
        Ok(())
    }
}

impl Node {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Product {
    Elasticsearch { major: u32, minor: u32 },
    OpenSearch { major: u32, minor: u32 },
    Other,
}

impl Product {
    /// Reads the answer to `GET /`.
    fn read(status: u16, body: &[u8]) -> Self {
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return Product::Other };
        if !(200..300).contains(&status) {
            return Product::Other;
        }
        let version = &body["version"];
        let mut numbers = version["number"].as_str().unwrap_or_default().split('.').map(str::parse);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            return Product::Other;
        };
        match version["distribution"].as_str() {
            Some("opensearch") => Product::OpenSearch { major, minor },
            _ => Product::Elasticsearch { major, minor },
        }
    }

    /// Why it cannot take what we send.
    fn unfit(self, wants_streams: bool) -> Option<String> {
        let Product::Elasticsearch { major, minor } = self else { return None };
        let needed = if wants_streams { (7, 9, "for data streams ") } else { (7, 0, "") };
        ((major, minor) < (needed.0, needed.1)).then(|| {
            format!(
                "it is Elasticsearch {major}.{minor}; {}{}.{} or newer is needed",
                needed.2, needed.0, needed.1
            )
        })
    }
}

impl std::fmt::Display for Product {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Product::Elasticsearch { major, minor } => write!(f, "Elasticsearch {major}.{minor}"),
            Product::OpenSearch { major, minor } => write!(f, "OpenSearch {major}.{minor}"),
            Product::Other => f.write_str("of a kind that it does not tell"),
        }
    }
}

fn gzip(text: &[u8], level: u32) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4 + 64), Compression::new(level));
    // Writing to memory does not fail.
    let _ = encoder.write_all(text);
    Bytes::from(encoder.finish().unwrap_or_default())
}

/// The parameters of every request. Only what is needed of an answer is asked for, which spares
/// megabytes; who does not know `filter_path` sends all.
fn query(config: &Config) -> String {
    let mut query = String::new();
    let mut add = |name: &str, value: &str| {
        query.push(if query.is_empty() { '?' } else { '&' });
        percent_encode(name, &mut query);
        query.push('=');
        percent_encode(value, &mut query);
    };
    for (name, QueryValue(value)) in &config.query {
        add(name, value);
    }
    if !config.query.contains_key("filter_path") {
        add("filter_path", "errors,items.*.status,items.*.error");
    }
    query
}

fn headers(config: &Config) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let agent = concat!("logpond/", env!("CARGO_PKG_VERSION"));
    headers.insert(hyper::header::USER_AGENT, HeaderValue::from_static(agent));
    for (name, value) in &config.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("option \"headers\": {name:?} cannot name a header"))?;
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| format!("option \"headers\": the value of {name} cannot be one"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// A request for what is at `path` below an endpoint.
pub(super) fn request_to(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    body: Bytes,
    authorization: Option<HeaderValue>,
) -> Result<Request<Full<Bytes>>, HttpError> {
    let builder = Request::builder()
        .method(method)
        .uri(format!("{}{path}", endpoint.path))
        .header(HOST, endpoint.authority());
    let mut request =
        builder.body(Full::new(body)).map_err(|error| HttpError::Unreachable(error.to_string()))?;
    if let Some(authorization) = authorization {
        request.headers_mut().insert(AUTHORIZATION, authorization);
    }
    Ok(request)
}

/// What tells the server who we are; reads the secret's file when there is one.
pub(super) fn authorization(auth: Option<&Auth>, endpoint: &Endpoint) -> Result<Option<HeaderValue>, String> {
    let basic = |user: &str, password: &str| format!("Basic {}", BASE64.encode(format!("{user}:{password}")));
    // As it is shown when it is made, `id:key`, or encoded already.
    let api_key = |key: &str| match key.contains(':') {
        true => format!("ApiKey {}", BASE64.encode(key)),
        false => format!("ApiKey {key}"),
    };
    let read = |path: &Path| secret_file::read(path).map_err(|why| format!("option \"auth\": {why}"));
    let text = match (auth, &endpoint.user) {
        (Some(Auth::Basic(auth)), _) => match &auth.password_file {
            Some(path) => basic(&auth.user, &read(path)?),
            None => basic(&auth.user, auth.password.as_ref().map_or("", Secret::expose)),
        },
        (Some(Auth::ApiKey(key)), _) => api_key(key.expose()),
        (Some(Auth::ApiKeyFile(path)), _) => api_key(&read(path)?),
        (Some(Auth::Bearer(token)), _) => format!("Bearer {}", token.expose()),
        (Some(Auth::BearerFile(path)), _) => format!("Bearer {}", read(path)?),
        (None, Some((user, password))) => basic(user, password),
        (None, None) => return Ok(None),
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| "option \"auth\": it holds what a header cannot hold".to_owned())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn config(options: &str) -> Config {
        serde_json::from_str(options).unwrap()
    }

    #[test]
    fn queries() {
        #[track_caller]
        fn check(options: &str, expected: &str) {
            assert_eq!(query(&config(options)), expected);
        }
        let filter = "filter_path=errors,items.*.status,items.*.error";
        check("{}", &format!("?{filter}"));
        check(
            r#"{"query":{"_msg_field":"message","_stream_fields":["host","a b&c"],"debug":1}}"#,
            &format!("?_msg_field=message&_stream_fields=host,a%20b%26c&debug=1&{filter}"),
        );
        check(r#"{"query":{"filter_path":"errors"}}"#, "?filter_path=errors");
    }

    #[test]
    fn authorizations() {
        #[track_caller]
        fn check(options: &str, endpoint: &str, expected: Option<&str>) {
            let endpoint = Endpoint::parse(endpoint).unwrap();
            let found = authorization(config(options).auth.as_ref(), &endpoint).unwrap();
            assert_eq!(found.as_ref().map(|value| value.to_str().unwrap()), expected);
        }
        check("{}", "http://es", None);
        check("{}", "http://u:p@es", Some("Basic dTpw"));
        check(r#"{"auth":{"basic":{"user":"u","password":"p"}}}"#, "http://x:y@es", Some("Basic dTpw"));
        check(r#"{"auth":{"api_key":"id:key"}}"#, "es", Some("ApiKey aWQ6a2V5"));
        check(r#"{"auth":{"api_key":"aWQ6a2V5"}}"#, "es", Some("ApiKey aWQ6a2V5"));
        check(r#"{"auth":{"bearer":"t"}}"#, "es", Some("Bearer t"));
        let file = tempfile::NamedTempFile::new().unwrap();
        let at = file.path().display();
        for (content, options, expected) in [
            ("p\n", format!(r#"{{"auth":{{"basic":{{"user":"u","password_file":"{at}"}}}}}}"#), "Basic dTpw"),
            ("id:key", format!(r#"{{"auth":{{"api_key_file":"{at}"}}}}"#), "ApiKey aWQ6a2V5"),
            ("t\n", format!(r#"{{"auth":{{"bearer_file":"{at}"}}}}"#), "Bearer t"),
        ] {
            std::fs::write(file.path(), content).unwrap();
            check(&options, "es", Some(expected));
        }
    }

    #[test]
    fn products() {
        #[track_caller]
        fn check(body: &str, expected: Product, unfit: (bool, bool)) {
            let product = Product::read(200, body.as_bytes());
            assert_eq!(product, expected);
            assert_eq!((product.unfit(false).is_some(), product.unfit(true).is_some()), unfit);
        }
        let elasticsearch = |major, minor| Product::Elasticsearch { major, minor };
        check(r#"{"version":{"number":"7.10.2"}}"#, elasticsearch(7, 10), (false, false));
        check(r#"{"version":{"number":"8.15.0-SNAPSHOT"}}"#, elasticsearch(8, 15), (false, false));
        check(r#"{"version":{"number":"7.8.1"}}"#, elasticsearch(7, 8), (false, true));
        check(r#"{"version":{"number":"6.8.23"}}"#, elasticsearch(6, 8), (true, true));
        let opensearch = r#"{"version":{"number":"2.19.6","distribution":"opensearch"}}"#;
        check(opensearch, Product::OpenSearch { major: 2, minor: 19 }, (false, false));
        check("<html>", Product::Other, (false, false));
        check("{}", Product::Other, (false, false));
        let refused = Product::read(403, br#"{"version":{"number":"6.0.0"}}"#);
        assert_eq!(refused, Product::Other);
    }

    #[test]
    fn bodies_are_compressed() {
        let text = b"the same again ".repeat(1_000);
        for level in [1, 6, 9] {
            let packed = gzip(&text, level);
            assert!(packed.len() < text.len() / 10);
            let mut back = Vec::new();
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
            assert_eq!(back, text);
        }
    }
}
