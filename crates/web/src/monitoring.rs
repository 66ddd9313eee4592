//! The monitoring API: Logstash's routes, forms and errors. What is answered is somebody else's
//! business, [`Monitored`].
//!
//! The forms are those of Logstash 9.1, by `docs/static/monitoring/` and `logstash-core/lib/logstash/api/`
//! of its sources. It only reads, but for the levels of the program's log, so it may be reached from
//! other machines without users, as there: who probes a container comes from elsewhere.

use crate::guard::Guard;
use crate::server::{Server, ServerError, TlsFiles, User};
use crate::tls;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt::Write;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// The version of Logstash whose API this is. Clients choose by it what they ask for.
pub const VERSION: &str = "9.1.0";

/// Members of an object, in their order.
pub type Members = Map<String, Value>;

/// Where the monitoring API listens, and who may ask.
#[derive(Debug, Clone)]
pub struct MonitoringOptions {
    /// The address, without a port.
    pub host: String,
    /// The first free one of these ports is taken.
    pub ports: std::ops::RangeInclusive<u16>,
    /// With what TLS proves who this is; none: no TLS.
    pub tls: Option<TlsFiles>,
    /// Who may; none: everybody who reaches the address.
    pub users: Vec<User>,
}

/// A thread of the program.
#[derive(Debug, Clone, PartialEq)]
pub struct HotThread {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: u64,
    /// How much of the time since the program began it was on a processor.
    pub cpu_percent: f64,
    /// Such as `runnable`.
    pub state: &'static str,
}

/// What the monitoring API says of the program. Called once per request, on threads that may wait.
pub trait Monitored: Send + Sync {
    /// What every answer begins with, but the version and the address: `host`, `id`, `status` …
    fn head(&self) -> Members;
    /// What `/` has beside that: of what it was built.
    fn build(&self) -> Members;
    /// Of `/_node`: `pipelines`, `os` and `jvm`; with the graphs of the pipelines if wanted.
    fn node(&self, with_graph: bool) -> Members;
    /// Of `/_node/stats`, with the pipelines' vertices if wanted.
    fn stats(&self, with_vertices: bool) -> Members;
    /// What is only answered to who names it in `/_node/stats/NAME`.
    fn more_stats(&self) -> Members;
    /// Of `/_health_report`: `status`, `symptom` and `indicators`.
    fn health(&self) -> Members;
    /// Of `/_node/plugins`.
    fn plugins(&self) -> Members;
    /// Its threads, the busiest first.
    fn threads(&self) -> Vec<HotThread>;
    /// The levels of its log, by the names of its parts.
    fn loggers(&self) -> Members;
    /// Changes levels, by the names of parts; all of them or none.
    fn set_loggers(&self, levels: &[(String, String)]) -> Result<(), String>;
    /// Sets the levels back to those of the start.
    fn reset_loggers(&self);
    /// The time, RFC 3339.
    fn time(&self) -> String;
}

/// Listens at the first free port and answers, until it is [stopped](Server::stop).
pub async fn start(
    options: &MonitoringOptions,
    monitored: Arc<dyn Monitored>,
) -> Result<Server, ServerError> {
    let acceptor = options.tls.as_ref().map(tls::acceptor).transpose()?;
    let listener = bind(options).await?;
    let named = |error| ServerError::Listen(options.host.clone(), error);
    let address = listener.local_addr().map_err(named)?;
    let guard = match address.ip().is_loopback() {
        true => Guard::new(options.users.clone(), options.tls.is_some()),
        false => Guard::of_public(options.users.clone(), options.tls.is_some()),
    };
    if options.users.is_empty() && !address.ip().is_loopback() {
        tracing::warn!(%address, "everybody who reaches it may ask the monitoring API; it has no users");
    }
    let shown = match options.host.contains(':') {
        true => format!("[{}]:{}", options.host, address.port()),
        false => format!("{}:{}", options.host, address.port()),
    };
    let asked = Arc::new(Asked { monitored, guard, address: shown });
    let router = Router::new().fallback(answer).with_state(asked);
    Ok(Server::serve(listener, acceptor, address, router))
}

async fn bind(options: &MonitoringOptions) -> Result<TcpListener, ServerError> {
    for port in options.ports.clone() {
        match TcpListener::bind((options.host.as_str(), port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(ServerError::Listen(format!("{}:{port}", options.host), error)),
        }
    }
    let (first, last) = (options.ports.start(), options.ports.end());
    let is_range = first != last;
    let ports = if is_range { format!("{first}-{last}") } else { first.to_string() };
    Err(ServerError::Ports(format!("{}:{ports}", options.host), is_range))
}

struct Asked {
    monitored: Arc<dyn Monitored>,
    guard: Guard,
    /// Where it listens, as the config says it.
    address: String,
}

/// The parameters behind `?`; without `=`, the value is none.
struct Parameters(Vec<(String, Option<String>)>);

impl Parameters {
    fn of(uri: &Uri) -> Self {
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| match pair.split_once('=') {
                    Some((name, value)) => (decoded(name), Some(decoded(value))),
                    None => (decoded(pair), None),
                })
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<Option<&str>> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_deref())
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.get(name).flatten()
    }

    /// `?human`, `?human=true`; `default` where it is not there.
    fn flag(&self, name: &str, default: bool) -> Result<bool, Refusal> {
        let yes = ["true", "t", "yes", "y", "1"];
        let no = ["false", "f", "no", "n", "0", ""];
        match self.get(name) {
            None => Ok(default),
            Some(None) => Ok(true),
            Some(Some(text)) if yes.contains(&text.to_ascii_lowercase().as_str()) => Ok(true),
            Some(Some(text)) if no.contains(&text.to_ascii_lowercase().as_str()) => Ok(false),
            Some(Some(text)) => Err(Refusal::bad(format!("invalid value for Boolean: \"{text}\""))),
        }
    }
}

/// Percent-decoded; what is no UTF-8 then is shown as such.
fn decoded(text: &str) -> String {
    let hex = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = || Some(hex(*bytes.get(at + 1)?)? << 4 | hex(*bytes.get(at + 2)?)?);
        match (bytes[at], pair()) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What is answered.
enum Answer {
    /// With the head before it.
    Json(Members),
    /// As it is.
    Bare(Members),
    Text(String),
}

/// Why something is not answered.
#[derive(Debug, PartialEq)]
struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    fn not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, message: "Not Found".to_owned() }
    }

    fn bad(message: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message }
    }
}

async fn answer(
    State(asked): State<Arc<Asked>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if let Err(error) = asked.guard.admits(&headers) {
        return unauthorized(error.status, &error.reason, uri.path());
    }
    let parameters = Parameters::of(&uri);
    let pretty = parameters.has("pretty");
    let found = match wait(&asked, &uri, &parameters).await {
        Err(refusal) => Err(refusal),
        Ok(()) => match axum::body::to_bytes(body, BODY_MAX).await {
            Ok(body) => {
                let (asked, uri) = (asked.clone(), uri.clone());
                // The pond may be held up for a moment, as while a config is taken up.
                let work = move || route(&asked, &method, &uri, &parameters, &body);
                tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
                    let message = "Unexpected Internal Error".to_owned();
                    Err(Refusal { status: StatusCode::INTERNAL_SERVER_ERROR, message })
                })
            }
            Err(error) => Err(Refusal::bad(error.to_string())),
        },
    };
    match found {
        Ok(Answer::Text(text)) => {
            ([(header::CONTENT_TYPE, "text/plain;charset=utf-8")], text).into_response()
        }
        Ok(Answer::Json(members) | Answer::Bare(members)) => {
            json_response(StatusCode::OK, &Value::Object(members), pretty)
        }
        Err(Refusal { status, message }) => {
            let error = json!({
                "path": uri.path(), "status": status.as_u16(), "error": {"message": message},
            });
            json_response(status, &error, pretty)
        }
    }
}

/// Bodies are a few names of loggers.
const BODY_MAX: usize = 64 << 10;

fn json_response(status: StatusCode, value: &Value, pretty: bool) -> Response {
    let text = if pretty { format!("{value:#}") } else { value.to_string() };
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, text).into_response()
}

fn unauthorized(status: u16, reason: &str, path: &str) -> Response {
    if status == 401 {
        let mut response = StatusCode::UNAUTHORIZED.into_response();
        let challenge = HeaderValue::from_static("Basic realm=\"logstash-api\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        return response;
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
    let error = json!({"path": path, "status": status.as_u16(), "error": {"message": reason}});
    json_response(status, &error, false)
}

/// `/?wait_for_status=green&timeout=30s`: until it is as good as that.
async fn wait(asked: &Arc<Asked>, uri: &Uri, parameters: &Parameters) -> Result<(), Refusal> {
    const STATUSES: [&str; 3] = ["green", "yellow", "red"];
    if uri.path() != "/" {
        return Ok(());
    }
    let rank = |status: &str| STATUSES.iter().position(|own| *own == status.to_ascii_lowercase());
    let target = match parameters.value("wait_for_status") {
        None => None,
        Some(status) => Some((
            status,
            rank(status).ok_or_else(|| {
                Refusal::bad(format!(
                    "Invalid status '{status}' provided. The valid statuses are: green, yellow, red."
                ))
            })?,
        )),
    };
    let timeout = match parameters.value("timeout") {
        None => None,
        Some(text) => {
            Some(duration(text).ok_or_else(|| Refusal::bad(format!("Invalid timeout '{text}' provided.")))?)
        }
    };
    let (Some((status, wanted)), Some(timeout)) = (target, timeout) else { return Ok(()) };
    let until = Instant::now() + timeout;
    let mut pause = Duration::from_millis(250);
    loop {
        let own = asked.clone();
        let head = tokio::task::spawn_blocking(move || own.monitored.head()).await.unwrap_or_default();
        let now = head.get("status").and_then(Value::as_str).and_then(rank);
        if now.is_some_and(|now| now <= wanted) {
            return Ok(());
        }
        if Instant::now() + pause > until {
            tokio::time::sleep_until(until).await;
            let message = format!("Timed out waiting for status '{status}'.");
            return Err(Refusal { status: StatusCode::SERVICE_UNAVAILABLE, message });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(8));
    }
}

/// A time as Logstash writes it: `500ms`, `30s`, `2m`; at most a day here.
fn duration(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let count: u64 = text[..at].parse().ok()?;
    let time = match &text[at..] {
        "nanos" => Duration::from_nanos(count),
        "micros" => Duration::from_micros(count),
        "ms" => Duration::from_millis(count),
        "s" => Duration::from_secs(count),
        "m" => Duration::from_secs(count.checked_mul(60)?),
        "h" => Duration::from_secs(count.checked_mul(3600)?),
        "d" => Duration::from_secs(count.checked_mul(86_400)?),
        _ => return None,
    };
    Some(time.min(Duration::from_secs(86_400)))
}

fn route(
    asked: &Asked,
    method: &Method,
    uri: &Uri,
    parameters: &Parameters,
    body: &Bytes,
) -> Result<Answer, Refusal> {
    let own = &asked.monitored;
    let parts: Vec<String> = uri.path().split('/').filter(|part| !part.is_empty()).map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let is_get = method == Method::GET || method == Method::HEAD;
    let members = match (parts.as_slice(), is_get) {
        ([], true) => own.build(),
        (["_node"], true) => own.node(graph(parameters)?),
        (["_node", "plugins"], true) => own.plugins(),
        (["_node", "logging"], true) => one("loggers", own.loggers()),
        (["_node", "logging"], false) if method == Method::PUT => return set_loggers(asked, body),
        (["_node", "logging", "reset"], false) if method == Method::PUT => {
            own.reset_loggers();
            return Ok(Answer::Json(acknowledged(asked)));
        }
        (["_node", "hot_threads"], true) => return hot_threads(asked, parameters),
        (["_node", "stats"], true) => own.stats(vertices(parameters)?),
        (["_node", "stats", "pipelines", id], true) => pipeline(own.stats(vertices(parameters)?), id)?,
        (["_node", "stats", names], true) => {
            let mut all = own.stats(vertices(parameters)?);
            all.extend(own.more_stats());
            selected(all, names)?
        }
        (["_node", "pipelines", id], true) => pipeline(own.node(graph(parameters)?), id)?,
        (["_node", names], true) => selected(own.node(graph(parameters)?), names)?,
        (["_health_report"], true) => return Ok(Answer::Bare(health(asked))),
        _ => return Err(Refusal::not_found()),
    };
    let mut answer = head(asked);
    answer.extend(members);
    Ok(Answer::Json(answer))
}

fn graph(parameters: &Parameters) -> Result<bool, Refusal> {
    parameters.flag("graph", false)
}

fn vertices(parameters: &Parameters) -> Result<bool, Refusal> {
    parameters.flag("vertices", false)
}

fn one(name: &str, members: Members) -> Members {
    Members::from_iter([(name.to_owned(), Value::Object(members))])
}

/// What every answer begins with.
fn head(asked: &Asked) -> Members {
    let own = asked.monitored.head();
    let mut head = Members::new();
    for (name, value) in own {
        let is_host = name == "host";
        head.insert(name, value);
        if is_host {
            head.insert("version".to_owned(), VERSION.into());
            head.insert("http_address".to_owned(), asked.address.as_str().into());
        }
    }
    head
}

/// The members that are named, of which there must be one at least.
fn selected(members: Members, names: &str) -> Result<Members, Refusal> {
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    let kept: Members = members.into_iter().filter(|(name, _)| names.contains(&name.as_str())).collect();
    if kept.is_empty() { Err(Refusal::not_found()) } else { Ok(kept) }
}

/// Of all pipelines this one.
fn pipeline(mut members: Members, id: &str) -> Result<Members, Refusal> {
    let own = members.get_mut("pipelines").and_then(|all| all.as_object_mut()?.shift_remove(id));
    own.map(|own| one("pipelines", Members::from_iter([(id.to_owned(), own)]))).ok_or_else(Refusal::not_found)
}

fn health(asked: &Asked) -> Members {
    let mut members: Members = head(asked)
        .into_iter()
        .filter(|(name, _)| !["status", "pipeline"].contains(&name.as_str()))
        .collect();
    members.extend(asked.monitored.health());
    members.insert("timestamp".to_owned(), asked.monitored.time().into());
    members
}

fn acknowledged(asked: &Asked) -> Members {
    let mut members = head(asked);
    members.insert("acknowledged".to_owned(), true.into());
    members
}

/// `{"logger.pipeline": "DEBUG"}`
fn set_loggers(asked: &Asked, body: &Bytes) -> Result<Answer, Refusal> {
    let levels: Members = serde_json::from_slice(body)
        .map_err(|error| Refusal::bad(format!("the body is no object: {error}")))?;
    let mut named = Vec::new();
    for (name, level) in &levels {
        let Some(part) = name.strip_prefix("logger.") else {
            return Err(Refusal::bad(format!("unrecognized option [{name}]")));
        };
        let Some(level) = level.as_str() else {
            return Err(Refusal::bad(format!("invalid level[{level}] for logger[{part}]")));
        };
        named.push((part.to_owned(), level.to_owned()));
    }
    asked.monitored.set_loggers(&named).map_err(Refusal::bad)?;
    Ok(Answer::Json(acknowledged(asked)))
}

/// How many threads are shown when nobody says how many.
const THREADS: usize = 10;
const LINE: usize = 80;

fn hot_threads(asked: &Asked, parameters: &Parameters) -> Result<Answer, Refusal> {
    let wanted = match parameters.value("threads") {
        None => THREADS,
        Some(text) => {
            text.parse().map_err(|_| Refusal::bad(format!("invalid number of threads: \"{text}\"")))?
        }
    };
    let without_idle = parameters.flag("ignore_idle_threads", true)?;
    let mut threads = asked.monitored.threads();
    threads.retain(|thread| !without_idle || thread.cpu_percent > 0.0);
    threads.truncate(wanted);
    let time = asked.monitored.time();
    let mut members = head(asked);
    if parameters.flag("human", false)? {
        let host = members.get("host").and_then(Value::as_str).map_or(Cow::Borrowed(""), Cow::from);
        let rule = |sign: &str| sign.repeat(LINE);
        let mut text =
            format!("::: {{{host}}}\nHot threads at {time}, busiestThreads={wanted}: \n{}\n", rule("="));
        for HotThread { name, id, cpu_percent, state } in &threads {
            let _ = writeln!(
                text,
                "{cpu_percent} % of cpu usage, state: {state}, thread name: '{name}', thread id: {id} \n{}",
                rule("-")
            );
        }
        return Ok(Answer::Text(text));
    }
    let shown: Vec<Value> = threads
        .iter()
        .map(|HotThread { name, id, cpu_percent, state }| {
            json!({
                "name": name, "thread_id": id, "percent_of_cpu_time": cpu_percent, "state": state,
                // Where a thread stands cannot be seen from within.
                "traces": [],
            })
        })
        .collect();
    let hot = json!({"time": time, "busiest_threads": wanted, "threads": shown});
    members.insert("hot_threads".to_owned(), hot);
    Ok(Answer::Json(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Toy;

    fn members(value: Value) -> Members {
        value.as_object().cloned().unwrap_or_default()
    }

    impl Monitored for Toy {
        fn head(&self) -> Members {
            members(json!({"host": "h", "id": "i", "status": "yellow", "pipeline": {}}))
        }
        fn build(&self) -> Members {
            members(json!({"build_sha": "b"}))
        }
        fn node(&self, with_graph: bool) -> Members {
            members(json!({"pipelines": {"a b": {"graph": with_graph}}, "os": {}, "jvm": {}}))
        }
        fn stats(&self, with_vertices: bool) -> Members {
            members(json!({"jvm": 1, "events": {"in": 2}, "pipelines": {"main": {"v": with_vertices}}}))
        }
        fn more_stats(&self) -> Members {
            members(json!({"geoip_download_manager": {}}))
        }
        fn health(&self) -> Members {
            members(json!({"status": "yellow", "symptom": "s", "indicators": {}}))
        }
        fn plugins(&self) -> Members {
            members(json!({"total": 0, "plugins": []}))
        }
        fn threads(&self) -> Vec<HotThread> {
            let thread =
                |id, cpu_percent| HotThread { name: "t".to_owned(), id, cpu_percent, state: "waiting" };
            vec![thread(1, 1.5), thread(2, 0.25), thread(3, 0.0)]
        }
        fn loggers(&self) -> Members {
            members(json!({"web": "INFO"}))
        }
        fn set_loggers(&self, levels: &[(String, String)]) -> Result<(), String> {
            match levels {
                [(part, level)] if part == "web" && level == "DEBUG" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        }
        fn reset_loggers(&self) {}
        fn time(&self) -> String {
            "2026-01-01T00:00:00.000Z".to_owned()
        }
    }

    fn ask(method: Method, uri: &str, body: &str) -> Result<Value, u16> {
        let asked = Asked {
            monitored: Arc::new(Toy),
            guard: Guard::new(Vec::new(), false),
            address: "127.0.0.1:9600".to_owned(),
        };
        let uri: Uri = uri.parse().unwrap();
        let body = Bytes::from(body.to_owned());
        match route(&asked, &method, &uri, &Parameters::of(&uri), &body) {
            Ok(Answer::Json(members) | Answer::Bare(members)) => Ok(Value::Object(members)),
            Ok(Answer::Text(text)) => Ok(text.into()),
            Err(refusal) => Err(refusal.status.as_u16()),
        }
    }

    #[test]
    fn what_is_answered_where() {
        #[track_caller]
        fn check(uri: &str, expected: Result<&str, u16>) {
            let names = |value: Value| match value {
                Value::Object(members) => members.keys().map(String::as_str).collect::<Vec<_>>().join(" "),
                other => other.to_string(),
            };
            let found = ask(Method::GET, uri, "").map(names);
            let head = "host version http_address id status pipeline";
            let expected = expected.map(|more| format!("{head} {more}").trim_end().to_owned());
            assert_eq!(found, expected, "{uri}");
        }
        check("/", Ok("build_sha"));
        check("/_node", Ok("pipelines os jvm"));
        check("/_node/", Ok("pipelines os jvm"));
        check("/_node/os", Ok("os"));
        check("/_node/os,jvm,unknown", Ok("os jvm"));
        check("/_node/unknown", Err(404));
        check("/_node/pipelines", Ok("pipelines"));
        check("/_node/pipelines/a%20b", Ok("pipelines"));
        check("/_node/pipelines/b", Err(404));
        check("/_node/stats", Ok("jvm events pipelines"));
        check("/_node/stats/events,%20jvm", Ok("jvm events"));
        check("/_node/stats/pipelines/main", Ok("pipelines"));
        check("/_node/stats/pipelines/other", Err(404));
        check("/_node/stats/geoip_download_manager", Ok("geoip_download_manager"));
        check("/_node/stats/nothing", Err(404));
        check("/_node/plugins", Ok("total plugins"));
        check("/_node/logging", Ok("loggers"));
        check("/_node/hot_threads", Ok("hot_threads"));
        check("/_node/hot_threads?threads=many", Err(400));
        check("/_node/hot_threads?human=perhaps", Err(400));
        check("/_stats", Err(404));
        check("/_node/pipelines?graph=perhaps", Err(400));
    }

    #[test]
    fn what_the_answers_say() {
        let get = |uri: &str| ask(Method::GET, uri, "").unwrap();
        assert_eq!(get("/")["version"], VERSION);
        assert_eq!(get("/_node?graph=true")["pipelines"]["a b"]["graph"], true);
        assert_eq!(get("/_node/stats?vertices=true")["pipelines"]["main"]["v"], true);
        let health = get("/_health_report");
        assert_eq!(health["timestamp"], "2026-01-01T00:00:00.000Z");
        assert_eq!((&health["status"], &health["pipeline"]), (&json!("yellow"), &Value::Null));
        let threads = |uri: &str| get(uri)["hot_threads"]["threads"].as_array().map(Vec::len);
        assert_eq!(threads("/_node/hot_threads"), Some(2));
        assert_eq!(threads("/_node/hot_threads?threads=1"), Some(1));
        assert_eq!(threads("/_node/hot_threads?ignore_idle_threads=false"), Some(3));
        assert_eq!(
            get("/_node/hot_threads?human&threads=1").as_str(),
            Some(
                format!(
                    "::: {{h}}\nHot threads at 2026-01-01T00:00:00.000Z, busiestThreads=1: \n{}\n1.5 % of cpu usage, state: waiting, thread name: 't', thread id: 1 \n{}\n",
                    "=".repeat(80),
                    "-".repeat(80)
                )
                .as_str()
            )
        );
    }

    #[test]
    fn levels_are_put() {
        let put =
            |uri: &str, body: &str| ask(Method::PUT, uri, body).map(|answer| answer["acknowledged"].clone());
        assert_eq!(put("/_node/logging", r#"{"logger.web":"DEBUG"}"#), Ok(true.into()));
        assert_eq!(put("/_node/logging/reset", ""), Ok(true.into()));
        for wrong in [r#"{"web":"DEBUG"}"#, r#"{"logger.web":7}"#, r#"{"logger.other":"DEBUG"}"#, "[", ""] {
            assert_eq!(put("/_node/logging", wrong), Err(400), "{wrong}");
        }
        assert_eq!(ask(Method::POST, "/_node/logging", "{}"), Err(404));
        assert_eq!(ask(Method::PUT, "/_node/stats", "{}"), Err(404));
    }

    #[test]
    fn times_and_escapes() {
        for (text, expected) in [
            ("500ms", Some(Duration::from_millis(500))),
            ("30s", Some(Duration::from_secs(30))),
            ("2m", Some(Duration::from_secs(120))),
            ("99999999999999999999s", None),
            ("9999999d", Some(Duration::from_secs(86_400))),
            ("30", None),
            ("s", None),
            ("", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
        for (text, expected) in
            [("a%20b", "a b"), ("a+b", "a b"), ("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("%C3%A4", "ä")]
        {
            assert_eq!(decoded(text), expected);
        }
    }
}
