//! Output `loki`: pushes lines to Grafana Loki, or to whoever else takes its pushes.
//!
//! Events with the same labels are a stream; those of a request are sent by their streams, each
//! in the order of time. Loki answers 400 when it took some lines and not others, and says which
//! by words only: the halves of the request are then tried, down to the lines that it does not
//! take, as it throws away by itself a line that it has already (same stream, time and text).
//! `post` has the loads, the retries and the halves.

use super::encode::{Codec, Encoder};
use super::http::Urls;
use super::post::{Auth, Compression, Form, Key, Limits, Load, New, Options, Post, Verdict, header};
use super::{Delivery, Letter, Output, OutputError, Refused};
use crate::net::endpoint::Endpoint;
use crate::net::tls::TlsConfig;
use crate::plan::Secret;
use crate::units::{Bytes, Time};
use event::View;
use expr::Template;
use hyper::Method;
use hyper::http::uri::PathAndQuery;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use wire::loki::{self, Entry};

/// The header by which Loki tells tenants apart.
const TENANT: &str = "x-scope-orgid";

/// Options of the output `loki`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where Loki is: `http://loki:3100`, or several that take turns.
    pub url: Urls,
    /// The path of its pushes, behind that of the URL.
    pub path: String,
    /// Labels of a stream: templates. An event does not have those of whose fields it lacks one.
    pub labels: BTreeMap<String, String>,
    /// Structured metadata of a line: templates, as with the labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub structured_metadata: BTreeMap<String, String>,
    /// Whose lines they are, a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The line: `json`, `raw` (the message) or `{text: TEMPLATE}`.
    pub codec: Codec,
    /// How a push is written.
    pub encoding: Encoding,
    /// How pushes as JSON are compressed.
    pub compression: Compression,
    /// How hard: gzip 0 to 9, usually 1; zstd 1 to 22, usually 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression_level: Option<i32>,
    /// Headers of every request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// Who we are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Options of TLS, for `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Bytes of a push at most, before compression; a larger line goes alone.
    pub batch_bytes: Bytes,
    /// Lines of a push at most.
    pub batch_events: usize,
    /// How long a line waits for others to share its push while one is under way.
    pub linger: Time,
    /// How many pushes are under way at most. One keeps the order within streams.
    pub in_flight_max: usize,
    /// How long a connection may take.
    pub connect_timeout: Time,
    /// How long a push may take, the connection included.
    pub request_timeout: Time,
    /// The longest pause between two tries.
    pub retry_pause_max: Time,
}

/// How a push is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As protocol buffers, compressed by Snappy.
    #[default]
    Protobuf,
    /// As JSON.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: Urls::default(),
            path: "/loki/api/v1/push".to_owned(),
            labels: BTreeMap::from([("job".to_owned(), "logpond".to_owned())]),
            structured_metadata: BTreeMap::new(),
            tenant: None,
            codec: Codec::Json,
            encoding: Encoding::Protobuf,
            compression: Compression::None,
            compression_level: None,
            headers: BTreeMap::new(),
            auth: None,
            tls: None,
            batch_bytes: Bytes(1 << 20),
            batch_events: 10_000,
            linger: Time(Duration::from_millis(500)),
            in_flight_max: 1,
            connect_timeout: Time(Duration::from_secs(5)),
            request_timeout: Time(Duration::from_secs(60)),
            retry_pause_max: Time(Duration::from_secs(30)),
        }
    }
}

impl Config {
    /// Checks the options without looking at files; an error names the option.
    pub fn check(&self) -> Result<(), String> {
        if self.encoding == Encoding::Protobuf && self.compression != Compression::None {
            return Err("option \"compression\": protobuf is compressed already; it is for json".to_owned());
        }
        if let Some(auth) = &self.auth {
            auth.check()?;
        }
        self.compression.check(self.compression_level)?;
        self.limits().check()?;
        self.codec.build().map_err(|error| format!("option \"codec\": {error}"))?;
        self.servers()?;
        Shape::new(self)?;
        Ok(())
    }

    /// The output that these options describe; reads the files of `tls`.
    pub fn build(&self) -> Result<Loki, String> {
        self.check()?;
        let (endpoints, paths) = self.servers()?;
        let mut shape = Shape::new(self)?;
        shape.key.paths = paths;
        let encoding = shape.encoding;
        let options = Options {
            endpoints,
            method: Method::POST,
            content_type: match self.encoding {
                Encoding::Protobuf => "application/x-protobuf".to_owned(),
                Encoding::Json => "application/json".to_owned(),
            },
            auth: self.auth.clone(),
            tls: self.tls.clone(),
            compression: self.compression,
            compression_level: self.compression_level,
            connect_timeout: self.connect_timeout.0,
            request_timeout: self.request_timeout.0,
        };
        let post = Post::new(Pushes { encoding }, options, self.limits())?;
        Ok(Loki { shape, post })
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_bytes: usize::try_from(self.batch_bytes.0).unwrap_or(usize::MAX),
            batch_events: self.batch_events,
            in_flight_max: self.in_flight_max,
            linger: self.linger.0,
            retry_pause_max: self.retry_pause_max.0,
        }
    }

    /// The servers, and the path on each.
    fn servers(&self) -> Result<(Vec<Endpoint>, Vec<String>), String> {
        if self.url.0.is_empty() {
            return Err("\"url\" is missing: where Loki is, such as http://127.0.0.1:3100".to_owned());
        }
        let (mut endpoints, mut paths) = (Vec::new(), Vec::new());
        for url in &self.url.0 {
            if !url.contains("://") {
                return Err("option \"url\": a URL begins with http:// or https://".to_owned());
            }
            let endpoint = Endpoint::parse(url).map_err(|error| format!("option \"url\": {error}"))?;
            if endpoint.user.is_some() {
                return Err("option \"url\": put the user and the password into \"auth\"".to_owned());
            }
            let path = format!("{}{}", endpoint.path, self.path);
            if !self.path.starts_with('/') || PathAndQuery::try_from(path.as_str()).is_err() {
                return Err(format!("option \"path\": {:?} is no path of a URL", self.path));
            }
            paths.push(path);
            endpoints.push(endpoint);
        }
        Ok((endpoints, paths))
    }
}

/// How events become lines, compiled.
struct Shape {
    encoding: loki::Encoding,
    labels: Vec<(String, Template)>,
    metadata: Vec<(String, Template)>,
    tenant: Option<Template>,
    /// What all requests have in common.
    key: Key,
    encoder: Encoder,
    is_json: bool,
    texts: Texts,
}

/// The texts of an event, whose memory is used again.
#[derive(Default)]
struct Texts {
    pairs: Vec<(String, String)>,
    value: Vec<u8>,
    group: Vec<u8>,
    line: Vec<u8>,
    entry: Vec<u8>,
    event: Vec<u8>,
}

impl Shape {
    /// Compiles the options; an error names the option.
    fn new(config: &Config) -> Result<Self, String> {
        let compile = |option: &str, templates: &BTreeMap<String, String>| {
            let one = |(name, text): (&String, &String)| {
                let template = Template::parse(text);
                let template = template.map_err(|error| format!("option {option:?}: {name}: {error}"))?;
                if !loki::is_label_name(name) {
                    return Err(format!(
                        "option {option:?}: {name:?} is no name: letters, digits and _, the first no digit"
                    ));
                }
                Ok((name.clone(), template))
            };
            templates.iter().map(one).collect::<Result<Vec<_>, String>>()
        };
        if config.labels.is_empty() {
            return Err("option \"labels\": Loki wants at least one, such as {job: logpond}".to_owned());
        }
        let tenant = config.tenant.as_deref().map(Template::parse).transpose();
        let mut key = Key::default();
        for (name, value) in &config.headers {
            let header = header(name, value.expose().as_bytes());
            key.headers.push(header.map_err(|error| format!("option \"headers\": {error}"))?);
        }
        Ok(Self {
            encoding: match config.encoding {
                Encoding::Protobuf => loki::Encoding::Protobuf,
                Encoding::Json => loki::Encoding::Json,
            },
            labels: compile("labels", &config.labels)?,
            metadata: compile("structured_metadata", &config.structured_metadata)?,
            tenant: tenant.map_err(|error| format!("option \"tenant\": {error}"))?,
            key,
            encoder: config.codec.build()?,
            is_json: config.codec == Codec::Json,
            texts: Texts::default(),
        })
    }

    /// Puts an event on its way; an error says why it cannot go.
    fn put(
        &mut self,
        sequence: u64,
        event: &View<'_>,
        batch_now: i64,
        now: Instant,
        post: &mut Post<Pushes>,
    ) -> Result<(), String> {
        let Texts { pairs, value, group, line, entry, event: json } = &mut self.texts;
        render(&self.labels, event, batch_now, pairs, value);
        if pairs.is_empty() {
            return Err("the event has none of the labels".to_owned());
        }
        group.clear();
        self.encoding.labels(pairs, group);
        render(&self.metadata, event, batch_now, pairs, value);
        line.clear();
        self.encoder.write_value(event, batch_now, line);
        let text = String::from_utf8_lossy(line);
        entry.clear();
        self.encoding.entry(&Entry { time: event.time(), line: &text, metadata: pairs }, entry);
        // The line is within its entry in another form.
        json.clear();
        if self.is_json {
            json.extend_from_slice(line);
        } else {
            event.write_json(json);
        }
        let new = New { sequence, time: event.time(), group, part: entry, event: Some(json) };
        let Some(tenant) = &self.tenant else {
            post.add(&self.key, &new, now);
            return Ok(());
        };
        value.clear();
        tenant.render(event, batch_now, value).map_err(|missing| missing.to_string())?;
        let mut key = self.key.clone();
        key.headers.push(header(TENANT, value)?);
        post.add(&key, &new, now);
        Ok(())
    }
}

/// Names and values, without those of which the event lacks a field.
fn render(
    templates: &[(String, Template)],
    event: &View<'_>,
    now: i64,
    pairs: &mut Vec<(String, String)>,
    value: &mut Vec<u8>,
) {
    pairs.clear();
    for (name, template) in templates {
        value.clear();
        // Loki takes an empty label for one that is not there.
        if template.render(event, now, value).is_ok() && !value.is_empty() {
            pairs.push((name.clone(), String::from_utf8_lossy(value).into_owned()));
        }
    }
}

/// What pushes look like, and what answers mean.
struct Pushes {
    encoding: loki::Encoding,
}

impl Form for Pushes {
    fn body(&self, load: &Load) -> Vec<u8> {
        let mut streams: Vec<Vec<_>> = load.groups.iter().map(|_| Vec::new()).collect();
        load.items.iter().for_each(|item| streams[item.group].push(item));
        self.encoding.push(load.groups.iter().zip(streams).map(|(labels, mut items)| {
            items.sort_by_key(|item| item.time);
            (&labels[..], items.into_iter().map(|item| load.part(item)).collect())
        }))
    }

    fn judge(&self, status: u16, body: &[u8]) -> Verdict {
        match status {
            200..=299 => Verdict::Delivered,
            // It took what it could.
            400 | 422 => Verdict::Refused,
            413 => Verdict::TooLarge,
            // Between the parts of Loki a message is limited, too, and they do not say 413.
            500..=599 if memchr::memmem::find(body, b"message larger than max").is_some() => {
                Verdict::TooLarge
            }
            _ => Verdict::Again,
        }
    }
}

/// The output.
pub struct Loki {
    shape: Shape,
    post: Post<Pushes>,
}

impl Output for Loki {
    fn write(&mut self, delivery: &Delivery<'_>, refused: &mut Vec<Refused>) -> Result<(), OutputError> {
        self.post.wait_for_room()?;
        let now = Instant::now();
        for (sequence, event) in delivery.events() {
            if let Err(reason) = self.shape.put(sequence, &event, delivery.batch.now(), now, &mut self.post) {
                refused.push(Refused { sequence, reason });
            }
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

    fn config(options: &str) -> Config {
        serde_json::from_str(options).unwrap()
    }

    #[test]
    fn options_that_cannot_be() {
        #[track_caller]
        fn check(options: &str, expected: &str) {
            let error = config(options).check().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        check("{}", "\"url\" is missing");
        check(r#"{"url":"loki:3100"}"#, "begins with http");
        check(r#"{"url":"http://u:hunter2@loki"}"#, "into \"auth\"");
        check(r#"{"url":"http://loki","path":"push"}"#, "\"path\"");
        check(r#"{"url":"http://loki","labels":{}}"#, "at least one");
        check(r#"{"url":"http://loki","labels":{"a-b":"c"}}"#, "is no name");
        check(r#"{"url":"http://loki","tenant":"%{a"}"#, "\"tenant\"");
        check(r#"{"url":"http://loki","compression":"gzip"}"#, "compressed already");
        assert_eq!(
            config(r#"{"url":"http://v:9428/insert"}"#).servers().unwrap().1,
            ["/insert/loki/api/v1/push"]
        );
    }

    #[test]
    fn answers() {
        #[track_caller]
        fn check(status: u16, body: &str, expected: Verdict) {
            let form = Pushes { encoding: loki::Encoding::Json };
            assert_eq!(form.judge(status, body.as_bytes()), expected, "{status} {body}");
        }
        check(204, "", Verdict::Delivered);
        check(400, "entry too far behind", Verdict::Refused);
        check(401, "no org id", Verdict::Again);
        check(413, "", Verdict::TooLarge);
        check(429, "Ingestion rate limit exceeded", Verdict::Again);
        check(500, "grpc: received message larger than max (5 vs. 4)", Verdict::TooLarge);
        check(500, "at least 2 live replicas required", Verdict::Again);
    }

    #[test]
    fn a_push_has_its_streams_in_the_order_of_time() {
        let mut shape = Shape::new(&config(
            r#"{"labels":{"app":"%{app}","job":"j"},"structured_metadata":{"trace":"%{trace}"},"codec":"raw","encoding":"json"}"#,
        ))
        .unwrap();
        let options = r#"{"url":"http://127.0.0.1:9","encoding":"json"}"#;
        let mut post = config(options).build().unwrap().post;
        let mut batch = event::Batch::new();
        let common = event::Common::new(event::Origin::default(), Vec::<(&str, event::CommonValue)>::new());
        batch.begin_run(common, 0);
        for (n, event) in [
            r#"{"@timestamp":"1970-01-01T00:00:02Z","app":"a","message":"second"}"#,
            r#"{"@timestamp":"1970-01-01T00:00:03Z","message":"alone"}"#,
            r#"{"@timestamp":"1970-01-01T00:00:01Z","app":"a","message":"first","trace":"t"}"#,
        ]
        .iter()
        .enumerate()
        {
            batch.push_json(event.as_bytes(), n as u64).unwrap();
        }
        let now = Instant::now();
        for (n, event) in batch.events().enumerate() {
            shape.put(n as u64, &event, 0, now, &mut post).unwrap();
        }
        let body = Pushes { encoding: loki::Encoding::Json }.body(&post.sealed().unwrap());
        let streams = loki::Encoding::Json.decode(&body).unwrap();
        let lines: Vec<Vec<&str>> =
            streams.iter().map(|stream| stream.lines.iter().map(|line| &*line.line).collect()).collect();
        assert_eq!(lines, [vec!["first", "second"], vec!["alone"]]);
        assert_eq!(streams[0].lines[0].metadata, [("trace".to_owned(), "t".to_owned())]);
        assert_eq!(streams[1].labels, [("job".to_owned(), "j".to_owned())]);
    }
}
