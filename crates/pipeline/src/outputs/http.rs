//! Output `http`: sends events to any server that takes them by HTTP requests.
//!
//! An event counts as delivered when the server answered the request that it was in with a
//! status of `success`. Statuses of `refuse` are the server's last word, and go with it to the dead
//! letters; every other answer, and none, is tried again for ever. Nothing is dropped by a
//! time-out, so a server whose answer was lost may get events twice. `post` has the loads, the
//! retries and the halves.

use super::encode::{Codec, Encoder};
use super::post::{
    Auth, Compression, Form, Key, Limits, Load, New, Options, Post, Statuses, Verdict, header,
};
use super::{Delivery, Letter, Output, OutputError, Refused};
use crate::net::endpoint::{Endpoint, percent_encode_bytes};
use crate::net::tls::TlsConfig;
use crate::plan::Secret;
use crate::units::{Bytes, Time};
use event::View;
use expr::Template;
use hyper::Method as HyperMethod;
use hyper::http::uri::PathAndQuery;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// Options of the output `http`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to: `https://host:8443/path/%{field}`, or several that take turns.
    pub url: Urls,
    /// The method.
    pub method: Method,
    /// Headers of a request: templates. Events with different headers do not share a request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// The header `content-type`; none: what fits `framing` and `codec`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// How an event is written: `json`, `pretty`, `raw` or `{text: TEMPLATE}`.
    pub codec: Codec,
    /// How events share a request.
    pub framing: Framing,
    /// What stands before the events of a request.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// What stands behind them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub suffix: String,
    /// How requests are compressed.
    pub compression: Compression,
    /// How hard: gzip 0 to 9, usually 1; zstd 1 to 22, usually 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression_level: Option<i32>,
    /// Who we are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Options of TLS, for `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Statuses of an answer by which all events of a request are delivered.
    pub success: Vec<Statuses>,
    /// Statuses of an answer by which they never will be.
    pub refuse: Vec<Statuses>,
    /// Bytes of a request at most, before compression; a larger event goes alone.
    pub batch_bytes: Bytes,
    /// Events of a request at most.
    pub batch_events: usize,
    /// How long an event waits for others to share its request while one is under way.
    pub linger: Time,
    /// How many requests are under way at most. One keeps the order of the events.
    pub in_flight_max: usize,
    /// How long a connection may take.
    pub connect_timeout: Time,
    /// How long a request may take, the connection included.
    pub request_timeout: Time,
    /// The longest pause between two tries.
    pub retry_pause_max: Time,
}

impl Default for Config {
    fn default() -> Self {
        let one = |from, to| Statuses(from..=to);
        Self {
            url: Urls::default(),
            method: Method::Post,
            headers: BTreeMap::new(),
            content_type: None,
            codec: Codec::Json,
            framing: Framing::Lines,
            prefix: String::new(),
            suffix: String::new(),
            compression: Compression::None,
            compression_level: None,
            auth: None,
            tls: None,
            success: vec![one(200, 299)],
            refuse: vec![
                one(400, 400),
                one(406, 406),
                one(409, 411),
                one(413, 415),
                one(422, 422),
                one(431, 431),
            ],
            batch_bytes: Bytes(1 << 20),
            batch_events: 1_000,
            linger: Time(Duration::from_millis(200)),
            in_flight_max: 4,
            connect_timeout: Time(Duration::from_secs(5)),
            request_timeout: Time(Duration::from_secs(60)),
            retry_pause_max: Time(Duration::from_secs(30)),
        }
    }
}

/// One URL or several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Urls(pub Vec<String>);

impl<'de> Deserialize<'de> for Urls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Urls;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL or a list of URLs")
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<Urls, E> {
                Ok(Urls(vec![value.to_owned()]))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Urls, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(Urls(texts))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `POST`
    #[default]
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
}

/// How events share a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// Each ends with a line feed: NDJSON with the codec `json`.
    #[default]
    Lines,
    /// A JSON array.
    JsonArray,
    /// One directly behind the other.
    Concatenated,
    /// Not at all: each event has a request of its own.
    Single,
}

impl Config {
    /// Checks the options without looking at files; an error names the option.
    pub fn check(&self) -> Result<(), String> {
        if self.framing == Framing::JsonArray && !matches!(self.codec, Codec::Json | Codec::Pretty) {
            return Err("option \"framing\": json_array needs the codec json".to_owned());
        }
        if let Some(auth) = &self.auth {
            auth.check()?;
        }
        self.compression.check(self.compression_level)?;
        self.limits().check()?;
        self.codec.build().map_err(|error| format!("option \"codec\": {error}"))?;
        Keys::new(self)?;
        Ok(())
    }

    /// The output that these options describe; reads the files of `tls`.
    pub fn build(&self) -> Result<Http, String> {
        self.check()?;
        let is_json = matches!(self.codec, Codec::Json | Codec::Pretty);
        let usual = match self.framing {
            Framing::Lines | Framing::Concatenated if is_json => "application/x-ndjson",
            Framing::JsonArray => "application/json",
            Framing::Single if is_json => "application/json",
            _ => "text/plain; charset=utf-8",
        };
        let (keys, endpoints) = Keys::new(self)?;
        let options = Options {
            endpoints,
            method: match self.method {
                Method::Post => HyperMethod::POST,
                Method::Put => HyperMethod::PUT,
                Method::Patch => HyperMethod::PATCH,
            },
            content_type: self.content_type.clone().unwrap_or_else(|| usual.to_owned()),
            auth: self.auth.clone(),
            tls: self.tls.clone(),
            compression: self.compression,
            compression_level: self.compression_level,
            connect_timeout: self.connect_timeout.0,
            request_timeout: self.request_timeout.0,
        };
        Ok(Http {
            keys,
            encoder: self.codec.build()?,
            is_json: self.codec == Codec::Json,
            part: Vec::new(),
            event: Vec::new(),
            post: Post::new(Requests::new(self), options, self.limits())?,
        })
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_bytes: usize::try_from(self.batch_bytes.0).unwrap_or(usize::MAX),
            batch_events: if self.framing == Framing::Single { 1 } else { self.batch_events },
            in_flight_max: self.in_flight_max,
            linger: self.linger.0,
            retry_pause_max: self.retry_pause_max.0,
        }
    }
}

/// Which request an event goes in: the paths and the headers, by templates.
struct Keys {
    paths: Vec<Template>,
    headers: Vec<(String, Template)>,
    /// The key of every event, when no field stands in any of them.
    constant: Option<Key>,
}

impl Keys {
    /// Compiles the options; an error names the option.
    fn new(config: &Config) -> Result<(Self, Vec<Endpoint>), String> {
        if config.url.0.is_empty() {
            return Err("\"url\" is missing: where to send events, such as http://127.0.0.1:8080/".to_owned());
        }
        let (mut endpoints, mut paths) = (Vec::new(), Vec::new());
        for url in &config.url.0 {
            let (endpoint, path) = split(url).map_err(|error| format!("option \"url\": {error}"))?;
            endpoints.push(endpoint);
            paths.push(Template::parse(path).map_err(|error| format!("option \"url\": {error}"))?);
        }
        let mut headers = Vec::new();
        for (name, text) in &config.headers {
            header(name, b"").map_err(|error| format!("option \"headers\": {error}"))?;
            let template = Template::parse(text.expose());
            let template = template.map_err(|error| format!("option \"headers\": {name}: {error}"))?;
            headers.push((name.clone(), template));
        }
        let is_constant =
            paths.iter().chain(headers.iter().map(|(_, template)| template)).all(Template::is_constant);
        let mut keys = Self { paths, headers, constant: None };
        if is_constant {
            let batch = an_event();
            let key = keys.render(&batch.view(0), 0);
            keys.constant = Some(key.map_err(|error| format!("option \"url\" or \"headers\": {error}"))?);
        }
        Ok((keys, endpoints))
    }

    fn of(&self, event: &View<'_>, now: i64) -> Result<Cow<'_, Key>, String> {
        match &self.constant {
            Some(key) => Ok(Cow::Borrowed(key)),
            None => self.render(event, now).map(Cow::Owned),
        }
    }

    fn render(&self, event: &View<'_>, now: i64) -> Result<Key, String> {
        let mut key = Key::default();
        for template in &self.paths {
            let mut path = Vec::new();
            template
                .render_escaped(event, now, &mut path, percent_encode_bytes)
                .map_err(|missing| missing.to_string())?;
            let path = String::from_utf8_lossy(&path).into_owned();
            PathAndQuery::try_from(path.as_str()).map_err(|_| format!("{path:?} is no path of a URL"))?;
            let way = path.split('?').next().unwrap_or_default();
            if way.split('/').any(|part| part == "." || part == "..") {
                return Err(format!("the path {path:?} leads elsewhere"));
            }
            key.paths.push(path);
        }
        for (name, template) in &self.headers {
            let mut value = Vec::new();
            template.render(event, now, &mut value).map_err(|missing| missing.to_string())?;
            key.headers.push(header(name, &value)?);
        }
        Ok(key)
    }
}

/// A batch with one event, for templates in which nothing of an event stands.
fn an_event() -> event::Batch {
    let mut batch = event::Batch::new();
    let common = event::Common::new(event::Origin::default(), Vec::<(&str, event::CommonValue)>::new());
    batch.begin_run(common, 0);
    batch.push_empty(0);
    batch
}

/// The server of a URL, and its path with the query, a template.
fn split(url: &str) -> Result<(Endpoint, &str), String> {
    // The text may hold a password, so it is not repeated.
    let from = url.find("://").ok_or("a URL begins with http:// or https://")? + 3;
    let to = url[from..].find(['/', '?']).map_or(url.len(), |at| from + at);
    let server = &url[..to];
    if server.contains(['%', '{']) {
        return Err("the host cannot be a template: an event must not decide where it is sent".to_owned());
    }
    let endpoint = Endpoint::parse(server)?;
    if endpoint.user.is_some() {
        return Err("put the user and the password into \"auth\"".to_owned());
    }
    let path = &url[to..];
    if path.contains('#') {
        return Err("a # has no meaning for a server".to_owned());
    }
    match path.as_bytes().first() {
        None => Ok((endpoint, "/")),
        Some(b'/') => Ok((endpoint, path)),
        Some(_) => Err("a path begins with /".to_owned()),
    }
}

/// What requests look like, and what answers mean.
struct Requests {
    framing: Framing,
    prefix: String,
    suffix: String,
    success: Vec<Statuses>,
    refuse: Vec<Statuses>,
}

impl Requests {
    fn new(config: &Config) -> Self {
        Self {
            framing: config.framing,
            prefix: config.prefix.clone(),
            suffix: config.suffix.clone(),
            success: config.success.clone(),
            refuse: config.refuse.clone(),
        }
    }
}

impl Form for Requests {
    fn body(&self, load: &Load) -> Vec<u8> {
        let mut body = self.prefix.clone().into_bytes();
        if self.framing == Framing::JsonArray {
            body.push(b'[');
        }
        for (n, item) in load.items.iter().enumerate() {
            if n > 0 && self.framing == Framing::JsonArray {
                body.push(b',');
            }
            body.extend_from_slice(load.part(item));
            if self.framing == Framing::Lines {
                body.push(b'\n');
            }
        }
        if self.framing == Framing::JsonArray {
            body.push(b']');
        }
        body.extend_from_slice(self.suffix.as_bytes());
        body
    }

    fn judge(&self, status: u16, _body: &[u8]) -> Verdict {
        let is_one = |list: &[Statuses]| list.iter().any(|statuses| statuses.0.contains(&status));
        if is_one(&self.success) {
            Verdict::Delivered
        } else if !is_one(&self.refuse) {
            Verdict::Again
        } else if status == 413 {
            Verdict::TooLarge
        } else {
            Verdict::Refused
        }
    }
}

/// The output.
pub struct Http {
    keys: Keys,
    encoder: Encoder,
    /// Whether what is sent is the event as the dead letters want it.
    is_json: bool,
    part: Vec<u8>,
    event: Vec<u8>,
    post: Post<Requests>,
}

impl Output for Http {
    fn write(&mut self, delivery: &Delivery<'_>, refused: &mut Vec<Refused>) -> Result<(), OutputError> {
        self.post.wait_for_room()?;
        let now = Instant::now();
        for (sequence, event) in delivery.events() {
            let key = match self.keys.of(&event, delivery.batch.now()) {
                Ok(key) => key,
                Err(reason) => {
                    refused.push(Refused { sequence, reason });
                    continue;
                }
            };
            self.part.clear();
            self.encoder.write_value(&event, delivery.batch.now(), &mut self.part);
            self.event.clear();
            if !self.is_json {
                event.write_json(&mut self.event);
            }
            let own = (!self.is_json).then_some(self.event.as_slice());
            let new = New { sequence, time: event.time(), group: &[], part: &self.part, event: own };
            self.post.add(&key, &new, now);
        }
        self.post.turn();
        Ok(())
    }

    fn settled(&mut self, idle: bool, refused: &mut Vec<Letter>) -> Result<u64, OutputError> {
        self.post.settled(idle, refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::testing::batch;

    fn config(options: &str) -> Config {
        serde_json::from_str(options).unwrap()
    }

    #[test]
    fn urls() {
        #[track_caller]
        fn check(url: &str, expected: Result<(&str, &str), &str>) {
            match (split(url), expected) {
                (Ok((endpoint, path)), Ok(expected)) => assert_eq!((&*endpoint.to_string(), path), expected),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                (found, expected) => panic!("{found:?} where {expected:?} was expected"),
            }
        }
        check("http://h", Ok(("http://h:80", "/")));
        check("https://h:8443/a/%{b}?c=%{d}", Ok(("https://h:8443", "/a/%{b}?c=%{d}")));
        check("http://[::1]:1/x", Ok(("http://[::1]:1", "/x")));
        check("h/x", Err("begins with http"));
        check("http://%{host}/x", Err("cannot be a template"));
        check("http://u:hunter2@h/x", Err("into \"auth\""));
        check("http://h/a#b", Err("#"));
        check("http://h?a=b", Err("begins with /"));
        assert!(!split("ftp://u:hunter2@h").unwrap_err().contains("hunter2"));
    }

    #[test]
    fn what_stands_in_an_event_cannot_lead_elsewhere() {
        #[track_caller]
        fn check(url: &str, event: &str, expected: Result<&str, &str>) {
            let text = serde_json::json!({"url": url, "headers": {"x-of": "%{of}"}}).to_string();
            let (keys, _) = Keys::new(&config(&text)).unwrap();
            let batch = batch([event]);
            match (keys.of(&batch.view(0), 0), expected) {
                (Ok(key), Ok(expected)) => assert_eq!(key.paths, [expected]),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                (found, expected) => panic!("{found:?} where {expected:?} was expected"),
            }
        }
        let url = "http://h/in/%{to}?k=%{of}";
        check(url, r#"{"to":"a","of":"x"}"#, Ok("/in/a?k=x"));
        check(url, r#"{"to":"a/../é?b=#","of":"1&2"}"#, Ok("/in/a%2F..%2F%C3%A9%3Fb%3D%23?k=1%262"));
        check(url, r#"{"to":"..","of":"x"}"#, Err("leads elsewhere"));
        check(url, r#"{"of":"x"}"#, Err("no field"));
        check(url, r#"{"to":"a","of":"x\ny"}"#, Err("x-of"));
    }

    #[test]
    fn bodies() {
        #[track_caller]
        fn check(options: &str, expected: &str) {
            let config = config(&format!("{{\"url\":\"http://127.0.0.1:9/\",{options}}}"));
            let mut output = config.build().unwrap();
            let batch =
                batch([r#"{"@timestamp":"2026-11-21T00:00:00Z","message":"a"}"#, r#"{"message":"b"}"#]);
            let delivery = Delivery { batch: &batch, bit: 1, sequence: 0 };
            let encoder = config.codec.build().unwrap();
            let mut loads = Vec::new();
            let form = Requests::new(&config);
            for (sequence, event) in delivery.events() {
                let mut part = Vec::new();
                encoder.write_value(&event, 0, &mut part);
                loads.push((sequence, part));
            }
            assert_eq!(String::from_utf8(form.body(&Load::of(&loads))).unwrap(), expected);
            assert!(output.write(&delivery, &mut Vec::new()).is_ok());
            // It is not delivered by itself.
            assert_eq!(output.settled(false, &mut Vec::new()).unwrap_or(0), 0);
        }
        let (a, b) = (
            r#"{"@timestamp":"2026-11-21T00:00:00.000Z","message":"a"}"#,
            r#"{"@timestamp":"1970-01-01T00:00:00.000Z","message":"b"}"#,
        );
        check(r#""framing":"lines""#, &format!("{a}\n{b}\n"));
        check(r#""framing":"json_array""#, &format!("[{a},{b}]"));
        check(r#""codec":"raw","framing":"concatenated","prefix":"<","suffix":">""#, "<ab>");
        check(r#""codec":{"text":"-%{message}"}"#, "-a\n-b\n");
    }

    #[test]
    fn answers() {
        #[track_caller]
        fn check(options: &str, status: u16, expected: Verdict) {
            assert_eq!(Requests::new(&config(options)).judge(status, b""), expected, "{status}");
        }
        for (status, expected) in [
            (200, Verdict::Delivered),
            (204, Verdict::Delivered),
            (302, Verdict::Again),
            (400, Verdict::Refused),
            (401, Verdict::Again),
            (404, Verdict::Again),
            (408, Verdict::Again),
            (413, Verdict::TooLarge),
            (422, Verdict::Refused),
            (429, Verdict::Again),
            (503, Verdict::Again),
        ] {
            check("{}", status, expected);
        }
        check(r#"{"success":[409,"2xx"]}"#, 409, Verdict::Delivered);
        check(r#"{"refuse":["4xx"]}"#, 404, Verdict::Refused);
        check(r#"{"refuse":[]}"#, 400, Verdict::Again);
    }

    #[test]
    fn options_that_cannot_be() {
        #[track_caller]
        fn check(options: &str, expected: &str) {
            let error = config(options).check().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        check("{}", "\"url\" is missing");
        check(r#"{"url":"http://h/a b"}"#, "is no path");
        check(r#"{"url":"http://h","framing":"json_array","codec":"raw"}"#, "needs the codec json");
        check(r#"{"url":"http://h","in_flight_max":0}"#, "\"in_flight_max\"");
        check(r#"{"url":"http://h","batch_events":0}"#, "\"batch_events\"");
        check(r#"{"url":"http://h","headers":{"a b":"c"}}"#, "\"headers\"");
        check(r#"{"url":"http://h","compression":"zstd","compression_level":0}"#, "1 to 22");
    }
}
