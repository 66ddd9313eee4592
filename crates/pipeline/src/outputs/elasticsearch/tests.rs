//! The output against a server in this process that does what it is told.

use super::*;
use event::{Batch, Common, Origin};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;
use wire::bulk::Kind;

const PATIENCE: Duration = Duration::from_secs(30);

/// What the server does with a bulk request.
#[derive(Debug, Clone)]
enum Reply {
    /// As it should.
    Well,
    /// Answers this, and does nothing.
    Says(u16, String),
    /// Closes the connection, and does nothing.
    Cuts,
    /// Does it, and closes the connection.
    DoesAndCuts,
    /// Answers never.
    Hangs,
    /// The actions with these numbers fail, with status and error.
    Fails(Vec<usize>, u16, Value),
}

/// Why an item fails, if it does: a status and an error.
type Judge = Box<dyn FnMut(&Value) -> Option<(u16, Value)> + Send>;

#[derive(Default)]
struct State {
    /// What is done with the next requests; well when there is nothing.
    script: VecDeque<Reply>,
    /// What is done with every request.
    always: Option<Reply>,
    /// Decides about each item instead, by its document.
    judge: Option<Judge>,
    bytes_max: Option<usize>,
    /// Documents by index and id.
    docs: HashMap<(String, String), Value>,
    /// All that was done, in order.
    done: Vec<(Kind, String, Value)>,
    requests: Vec<(String, HashMap<String, String>, usize)>,
    version_asked: u32,
    most_at_once: usize,
    at_once: usize,
}

struct Fake {
    address: String,
    state: Arc<Mutex<State>>,
    _runtime: Runtime,
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests-data").join(name)
}

/// A server that proves to be `name` and wants a certificate of its clients.
fn acceptor(name: &str) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certs = |file: &str| CertificateDer::pem_file_iter(data(file)).unwrap().map(Result::unwrap);
    let mut roots = RootCertStore::empty();
    certs("ca.pem").for_each(|cert| roots.add(cert).unwrap());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            certs(&format!("{name}.pem")).collect(),
            PrivateKeyDer::from_pem_file(data(&format!("{name}.key"))).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

impl Fake {
    fn start() -> Self {
        Self::start_at("127.0.0.1:0", None)
    }

    fn start_at(address: &str, tls: Option<TlsAcceptor>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (shared, tls) = (shared.clone(), tls.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(shared.clone(), request));
                    match tls {
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            let _ =
                                http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                        }
                        None => {
                            let _ =
                                http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                        }
                    }
                });
            }
        });
        Self { address, state, _runtime: runtime }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state().script.extend(replies);
    }

    /// The field `n` of the documents that were stored, in order.
    fn stored(&self) -> Vec<u64> {
        self.state().done.iter().map(|(_, _, source)| source["n"].as_u64().unwrap()).collect()
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<bytes::Bytes>>, std::io::Error> {
    let respond = |status: u16, body: String| {
        Ok(Response::builder().status(status).body(Full::new(bytes::Bytes::from(body))).unwrap())
    };
    if request.method() == hyper::Method::GET {
        state.lock().unwrap().version_asked += 1;
        let reply = state.lock().unwrap().script.front().cloned();
        return match reply {
            Some(Reply::Says(status, body)) if body.contains("\"version\"") => respond(status, body),
            _ => respond(200, json!({"version": {"number": "7.10.2"}}).to_string()),
        };
    }
    let path = request.uri().to_string();
    let headers: HashMap<String, String> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let mut body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes().to_vec();
    if headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut text)?;
        body = text;
    }
    let reply = {
        let mut state = state.lock().unwrap();
        state.requests.push((path, headers, body.len()));
        state.at_once += 1;
        state.most_at_once = state.most_at_once.max(state.at_once);
        state.always.clone().or_else(|| state.script.pop_front()).unwrap_or(Reply::Well)
    };
    // Some time, so that requests meet.
    tokio::time::sleep(Duration::from_millis(3)).await;
    let reply = {
        let mut state = state.lock().unwrap();
        state.at_once -= 1;
        if state.bytes_max.is_some_and(|max| body.len() > max) {
            Reply::Says(413, String::new())
        } else {
            reply
        }
    };
    match reply {
        Reply::Says(status, body) => respond(status, body),
        Reply::Cuts => Err(std::io::Error::other("cut")),
        Reply::Hangs => std::future::pending().await,
        Reply::DoesAndCuts => {
            state.lock().unwrap().apply(&body, &[], 0, &Value::Null);
            Err(std::io::Error::other("cut"))
        }
        Reply::Well => respond(200, state.lock().unwrap().apply(&body, &[], 0, &Value::Null)),
        Reply::Fails(numbers, status, error) => {
            respond(200, state.lock().unwrap().apply(&body, &numbers, status, &error))
        }
    }
}

impl State {
    /// Does what a body asks for, the failing numbers excepted.
    fn apply(&mut self, body: &[u8], failing: &[usize], status: u16, error: &Value) -> String {
        let actions = bulk::decode(body).expect("a bulk body");
        let mut items = Vec::new();
        for (n, action) in actions.iter().enumerate() {
            let source: Value =
                action.source.map_or(json!({}), |source| serde_json::from_slice(source).unwrap());
            let index = action.target.index.clone().unwrap();
            let fails = match &mut self.judge {
                Some(judge) => judge(&source),
                None => failing.contains(&n).then(|| (status, error.clone())),
            };
            let id = action.target.id.clone().unwrap_or_else(|| format!("made-{}", self.done.len()));
            let key = (index.clone(), id);
            let exists = self.docs.contains_key(&key);
            let (status, error) = match fails {
                Some((status, error)) => (status, Some(error)),
                None if action.kind == Kind::Create && exists => {
                    (409, Some(json!({"type": "version_conflict_engine_exception", "reason": "exists"})))
                }
                None if action.kind == Kind::Delete && !exists => (404, None),
                None => {
                    match action.kind {
                        Kind::Delete => drop(self.docs.remove(&key)),
                        _ => drop(self.docs.insert(key, source.clone())),
                    }
                    self.done.push((action.kind, index, source));
                    (201, None)
                }
            };
            let mut item = json!({"status": status});
            if let Some(error) = error {
                item["error"] = error;
            }
            items.push(json!({ (action.kind.name()): item }));
        }
        let errors = items.iter().any(|item| item.to_string().contains("error"));
        json!({"took": 1, "errors": errors, "items": items}).to_string()
    }
}

/// The output with what is given to it.
struct Trial {
    output: Elasticsearch,
    sequence: u64,
    letters: Vec<Letter>,
    refused: Vec<Refused>,
    troubles: Vec<String>,
}

impl Trial {
    fn new(endpoints: &[&str], options: Value) -> Self {
        let mut all = json!({"endpoints": endpoints, "index": "i", "retry_pause_max": "200ms"});
        all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let config: Config = serde_json::from_value(all).unwrap();
        Self {
            output: config.build().unwrap(),
            sequence: 0,
            letters: Vec::new(),
            refused: Vec::new(),
            troubles: Vec::new(),
        }
    }

    fn batch(events: impl IntoIterator<Item = Value>, position: u64) -> Batch {
        let mut batch = Batch::new();
        let origin = Origin { id: [7; 16], ..Origin::default() };
        batch.begin_run(Common::none(origin), position);
        for (n, event) in events.into_iter().enumerate() {
            batch.push_json(event.to_string().as_bytes(), position + n as u64).unwrap();
        }
        batch.each(|event| event.set_outputs(1));
        batch
    }

    /// Gives a batch, as often as it takes.
    fn give(&mut self, events: impl IntoIterator<Item = Value>) {
        let batch = Self::batch(events, self.sequence);
        let delivery = Delivery { batch: &batch, bit: 1, sequence: self.sequence };
        let until = Instant::now() + PATIENCE;
        while let Err(error) = self.output.write(&delivery, &mut self.refused) {
            assert!(matches!(error, OutputError::Full), "{error}");
            assert!(Instant::now() < until, "no room in time");
            self.look(false);
        }
        self.sequence += batch.len() as u64;
        self.look(false);
    }

    fn look(&mut self, idle: bool) -> u64 {
        match self.output.settled(idle, &mut self.letters) {
            Ok(settled) => settled,
            Err(OutputError::Server(text)) => {
                if self.troubles.last() != Some(&text) {
                    self.troubles.push(text);
                }
                0
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until everything is settled.
    fn drain(&mut self) {
        let until = Instant::now() + PATIENCE;
        while self.look(true) < self.sequence {
            assert!(Instant::now() < until, "not settled in time; troubles: {:?}", self.troubles);
        }
    }

    /// Waits until a trouble is told that holds this text.
    fn wait_trouble(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.troubles.iter().any(|trouble| trouble.contains(text)) {
            assert!(Instant::now() < until, "no trouble with {text:?}: {:?}", self.troubles);
            assert_ne!(self.look(true), u64::MAX, "it was settled");
        }
    }
}

fn numbered(numbers: std::ops::Range<u64>) -> impl Iterator<Item = Value> {
    numbers.map(|n| json!({"n": n, "message": "some text in an event"}))
}

fn sorted(mut numbers: Vec<u64>) -> Vec<u64> {
    numbers.sort_unstable();
    numbers
}

#[test]
fn events_arrive_once_with_what_the_options_say() {
    let fake = Fake::start();
    let mut trial = Trial::new(
        &[&format!("http://{}/some//path/", fake.address)],
        json!({
            "query": {"_stream_fields": ["a", "b"]}, "headers": {"x-scope": "s"},
            "auth": {"basic": {"user": "u", "password": "p"}}, "bulk_bytes_max": 2000,
        }),
    );
    for from in (0..1_000).step_by(50) {
        trial.give(numbered(from..from + 50));
    }
    trial.drain();
    assert_eq!(sorted(fake.stored()), (0..1_000).collect::<Vec<_>>());
    let state = fake.state();
    assert!(state.requests.len() > 10 && state.most_at_once > 1 && state.most_at_once <= 4);
    for (path, headers, bytes) in &state.requests {
        assert!(path.starts_with("/some/path/_bulk?_stream_fields=a,b&filter_path="), "{path}");
        let wanted = [
            ("authorization", "Basic dTpw"),
            ("content-encoding", "gzip"),
            ("content-type", "application/x-ndjson"),
            ("host", fake.address.as_str()),
            ("x-scope", "s"),
        ];
        for (name, value) in wanted {
            assert_eq!(headers[name], value);
        }
        assert!(*bytes < 2_200, "{bytes}");
    }
    assert!(trial.letters.is_empty() && trial.refused.is_empty() && trial.troubles.is_empty());
}

#[test]
fn only_what_failed_is_tried_again() {
    let fake = Fake::start();
    let busy = json!({"type": "es_rejected_execution_exception", "reason": "the queue is full"});
    fake.script([Reply::Fails(vec![1, 3], 429, busy.clone()), Reply::Fails(vec![1], 503, busy)]);
    let mut trial = Trial::new(&[&fake.address], json!({"gzip_level": 0}));
    trial.give(numbered(0..5));
    trial.wait_trouble("429 es_rejected_execution_exception: the queue is full");
    trial.drain();
    assert_eq!(fake.stored(), [0, 2, 4, 1, 3]);
    assert_eq!(fake.state().requests.len(), 3);
}

#[test]
fn what_is_refused_is_told_with_its_reason() {
    let fake = Fake::start();
    let error = json!({"type": "mapper_parsing_exception", "reason": "failed to parse field [a] of type [long]", "caused_by": {"type": "x", "reason": "For input string"}});
    fake.script([Reply::Fails(vec![1], 400, error)]);
    let mut trial = Trial::new(&[&fake.address], json!({}));
    trial.give([json!({"n": 0}), json!({"n": 1, "a": "x"}), json!({"n": 2})]);
    trial.drain();
    assert_eq!(fake.stored(), [0, 2]);
    let [letter] = trial.letters.as_slice() else { panic!("{:?}", trial.letters) };
    assert_eq!(letter.sequence, 1);
    assert_eq!(
        letter.reason,
        "400 mapper_parsing_exception: failed to parse field [a] of type [long]: For input string"
    );
    let event: Value = serde_json::from_str(&letter.event).unwrap();
    assert_eq!((&event["n"], &event["a"]), (&json!(1), &json!("x")));
    assert!(trial.troubles.is_empty());
}

#[test]
fn fields_that_do_not_fit_get_another_name_on_request() {
    let fake = Fake::start();
    fake.state().judge = Some(Box::new(|document| {
        let bad =
            ["a", "b"].into_iter().find(|name| document.get(name).is_some_and(|value| !value.is_number()))?;
        let reason = format!("failed to parse field [{bad}] of type [long] in document with id '1'");
        Some((400, json!({"type": "mapper_parsing_exception", "reason": reason})))
    }));
    let mut trial = Trial::new(&[&fake.address], json!({"conflict_suffix": "_text"}));
    trial.give([json!({"n": 0, "a": 1}), json!({"n": 1, "a": "x", "b": {"c": 2}})]);
    trial.drain();
    assert!(trial.letters.is_empty());
    let state = fake.state();
    let (_, _, document) = &state.done[1];
    assert_eq!((&document["a_text"], &document["b_text"]), (&json!("x"), &json!("{\"c\":2}")));
    assert!(document.get("a").is_none() && document.get("b").is_none());
}

#[test]
fn requests_that_fail_are_tried_again() {
    for (reply, trouble) in [
        (Reply::Says(503, "{}".into()), "answers 503"),
        (Reply::Says(429, "slow down".into()), "answers 429 (slow down)"),
        (
            Reply::Says(401, json!({"error": {"type": "security_exception", "reason": "unable to authenticate"}}).to_string()),
            "answers 401 (security_exception: unable to authenticate); see the option \"auth\"",
        ),
        (Reply::Says(403, String::new()), "right to write"),
        (Reply::Says(404, String::new()), "the path of the endpoint"),
        (Reply::Says(302, String::new()), "the address that it leads to"),
        (Reply::Says(200, "<html>".into()), "not an answer to _bulk"),
        (Reply::Says(200, r#"{"errors":true,"items":[{"index":{"status":201}}]}"#.into()), "1 items for 3 actions"),
        (
            Reply::Says(400, json!({"error": {"type": "illegal_argument_exception", "reason": "request [/_bulk] contains unrecognized parameter: [_msg_field]"}}).to_string()),
            "see \"query\"",
        ),
        (Reply::Says(400, "The plain HTTP request was sent to HTTPS port".into()), "plain HTTP request"),
        (Reply::Cuts, "cannot reach http://127.0.0.1"),
    ] {
        let fake = Fake::start();
        fake.script([reply.clone(), reply]);
        let mut trial = Trial::new(&[&fake.address], json!({}));
        trial.give(numbered(0..3));
        trial.wait_trouble(trouble);
        trial.drain();
        assert_eq!(fake.stored(), [0, 1, 2], "{trouble}");
        assert!(trial.letters.is_empty(), "{trouble}");
        // It goes on as if nothing had been.
        trial.give(numbered(3..4));
        trial.drain();
        assert_eq!(fake.stored().len(), 4, "{trouble}");
    }
}

#[test]
fn an_answer_that_is_lost_makes_no_duplicates_with_the_ids_of_events() {
    for (options, expected) in [
        (json!({"id": "event"}), 4),
        (json!({"id": "event", "data_stream": {}}), 4),
        (json!({"id": "%{n}", "action": "create"}), 4),
        (json!({}), 8),
    ] {
        let fake = Fake::start();
        fake.script([Reply::DoesAndCuts]);
        let mut trial = Trial::new(&[&fake.address], options.clone());
        trial.give(numbered(0..4));
        trial.drain();
        assert_eq!(fake.stored().len(), expected, "{options}");
        assert!(trial.letters.is_empty(), "{options}");
    }
}

#[test]
fn an_id_that_is_taken_is_a_refusal() {
    let fake = Fake::start();
    let mut trial = Trial::new(&[&fake.address], json!({"id": "%{k}", "action": "create"}));
    trial.give([json!({"n": 0, "k": "a"}), json!({"n": 1, "k": "a"})]);
    trial.drain();
    assert_eq!(fake.stored(), [0]);
    assert!(trial.letters[0].reason.contains("version_conflict"), "{:?}", trial.letters);
    // Given again after a crash, an event meets itself.
    let mut trial = Trial::new(&[&fake.address], json!({"id": "event"}));
    trial.give(numbered(0..2));
    trial.drain();
    let mut again = Trial::new(&[&fake.address], json!({"id": "event"}));
    again.give(numbered(0..2));
    again.drain();
    assert_eq!(fake.stored(), [0, 0, 1]);
    assert!(again.letters.is_empty());
}

#[test]
fn actions_on_one_id_keep_their_order() {
    let fake = Fake::start();
    let mut dice = fastrand::Rng::with_seed(11);
    fake.state().judge = Some(Box::new(move |_| {
        (dice.u32(..4) == 0).then(|| (429, json!({"type": "busy", "reason": "busy"})))
    }));
    let mut trial = Trial::new(
        &[&fake.address],
        json!({"id": "%{k}", "bulk_bytes_max": 1500, "linger": "5ms", "retry_pause_max": "100ms"}),
    );
    let mut numbers = 0..600_u64;
    while !numbers.is_empty() {
        let some: Vec<_> = numbers
            .by_ref()
            .take(10)
            .map(|n| json!({"n": n, "k": n % 7, "message": "x".repeat(40)}))
            .collect();
        trial.give(some);
    }
    trial.drain();
    let state = fake.state();
    for key in 0..7 {
        let document = &state.docs[&("i".to_owned(), key.to_string())];
        let last = (593..600).find(|n| n % 7 == key).unwrap();
        assert_eq!(document["n"], last, "the last of id {key}");
    }
}

#[test]
fn bodies_that_are_too_large_are_split() {
    let fake = Fake::start();
    fake.state().bytes_max = Some(40_000);
    let mut trial = Trial::new(&[&fake.address], json!({"bulk_bytes_max": 200_000}));
    let large = json!({"n": 500, "message": "x".repeat(50_000)});
    let event = |n| json!({"n": n, "message": "y".repeat(900)});
    trial.give((0..100).map(event).chain([large]).chain((101..300).map(event)));
    trial.drain();
    let expected: Vec<u64> = (0..300).filter(|n| *n != 100).collect();
    assert_eq!(sorted(fake.stored()), expected);
    let [letter] = trial.letters.as_slice() else { panic!("{} letters", trial.letters.len()) };
    assert_eq!((letter.sequence, letter.reason.as_str()), (100, "413"));
    // What was learnt is kept.
    let before = fake.state().requests.len();
    trial.give((300..400).map(event));
    trial.drain();
    let state = fake.state();
    assert!(state.requests[before..].iter().all(|(_, _, bytes)| *bytes <= 40_000));
}

#[test]
fn an_event_that_spoils_its_request_is_found() {
    let fake = Fake::start();
    let spoilt = Reply::Says(
        400,
        json!({"error": {"type": "action_request_validation_exception", "reason": "id is too long"}})
            .to_string(),
    );
    // Of four, these are tried: all, 0 1, 0, 1 2 3, 1, 2 3.
    fake.script([spoilt.clone(), spoilt.clone(), Reply::Well, spoilt.clone(), spoilt, Reply::Well]);
    let mut trial = Trial::new(&[&fake.address], json!({}));
    trial.give(numbered(0..4));
    trial.drain();
    assert_eq!(fake.stored(), [0, 2, 3]);
    assert_eq!(trial.letters.iter().map(|letter| letter.sequence).collect::<Vec<_>>(), [1]);
    assert_eq!(trial.letters[0].reason, "400 (action_request_validation_exception: id is too long)");
}

#[test]
fn a_server_that_refuses_every_request_is_not_fed_the_whole_queue() {
    let fake = Fake::start();
    let never = json!({"error": {"type": "illegal_argument_exception", "reason": "not today"}}).to_string();
    fake.state().always = Some(Reply::Says(400, never));
    let mut trial = Trial::new(&[&fake.address], json!({}));
    trial.give(numbered(0..200));
    trial.wait_trouble("answers 400 (illegal_argument_exception: not today)");
    let refused = trial.letters.len();
    assert!(refused <= 16, "{refused} events were given up");
    fake.state().always = None;
    trial.drain();
    assert_eq!(fake.stored().len() + trial.letters.len(), 200);
    assert_eq!(trial.letters.len(), refused);
}

#[test]
fn a_server_without_gzip_gets_bodies_as_they_are() {
    let fake = Fake::start();
    fake.script([Reply::Says(415, String::new())]);
    let mut trial = Trial::new(&[&fake.address], json!({}));
    trial.give(numbered(0..2));
    trial.drain();
    assert_eq!(fake.stored(), [0, 1]);
    assert!(trial.troubles.is_empty());
    let state = fake.state();
    let packed: Vec<_> =
        state.requests.iter().map(|(_, headers, _)| headers.contains_key("content-encoding")).collect();
    assert_eq!(packed, [true, false]);
}

#[test]
fn events_without_an_index_are_refused_at_once() {
    let fake = Fake::start();
    let mut trial = Trial::new(&[&fake.address], json!({"index": "i-%{app}"}));
    trial.give([json!({"n": 0, "app": "a"}), json!({"n": 1}), json!({"n": 2, "app": "a b"})]);
    trial.drain();
    let reasons: Vec<_> =
        trial.refused.iter().map(|refused| (refused.sequence, refused.reason.as_str())).collect();
    assert_eq!(
        reasons,
        [(1, "the event has no field \"app\""), (2, "\"i-a b\" cannot name an index: it holds ' '"),]
    );
    assert_eq!(fake.state().done[0].1, "i-a");
}

#[test]
fn a_dead_host_is_left_alone_and_one_that_comes_back_is_used() {
    let (fake, dead) = (Fake::start(), Fake::start());
    let gone = dead.address.clone();
    drop(dead);
    let mut trial = Trial::new(&[&gone, &fake.address], json!({}));
    for n in 0..5 {
        trial.give(numbered(n..n + 1));
        trial.drain();
    }
    assert_eq!(fake.stored().len(), 5);
    assert!(trial.troubles.is_empty(), "{:?}", trial.troubles);

    let mut trial = Trial::new(&[&gone], json!({}));
    trial.give(numbered(0..3));
    trial.wait_trouble(&format!("cannot reach http://{gone}: Connection refused"));
    let back = Fake::start_at(&gone, None);
    trial.drain();
    assert_eq!(back.stored(), [0, 1, 2]);
}

#[test]
fn a_server_that_hangs_fills_the_room_and_no_more() {
    let fake = Fake::start();
    fake.script(std::iter::repeat_n(Reply::Hangs, 3));
    let mut trial = Trial::new(
        &[&fake.address],
        json!({"in_flight_max": 2, "bulk_bytes_max": 5_000, "request_timeout": "900ms"}),
    );
    let batch = Trial::batch(numbered(0..50), 0);
    let mut given = 0;
    loop {
        let delivery = Delivery { batch: &batch, bit: 1, sequence: given };
        match trial.output.write(&delivery, &mut trial.refused) {
            Ok(()) => given += 50,
            Err(error) => {
                assert!(matches!(error, OutputError::Full), "{error}");
                break;
            }
        }
        assert!(given < 1_000, "it takes everything");
    }
    assert!(trial.output.flow.bytes().0 < 3 * 5_000 + 5_000);
    trial.sequence = given;
    trial.drain();
    assert_eq!(fake.stored().len(), usize::try_from(given).unwrap());
    assert!(fake.state().most_at_once <= 2);
}

#[test]
fn what_the_server_is_decides_whether_it_is_sent_to() {
    let fake = Fake::start();
    let old = Reply::Says(200, json!({"version": {"number": "6.8.1"}}).to_string());
    fake.script([old]);
    let mut trial = Trial::new(&[&fake.address], json!({}));
    trial.give(numbered(0..1));
    trial.wait_trouble("it is Elasticsearch 6.8; 7.0 or newer is needed");
    assert!(fake.state().requests.is_empty());
    // It was made new.
    fake.state().script.clear();
    trial.drain();
    assert_eq!(fake.stored(), [0]);
    let asked = fake.state().version_asked;
    trial.give(numbered(1..2));
    trial.drain();
    assert_eq!(fake.state().version_asked, asked);

    let mut trial = Trial::new(&[&fake.address], json!({"api_version": "v8"}));
    trial.give(numbered(2..3));
    trial.drain();
    assert_eq!(fake.state().version_asked, asked);
}

#[test]
fn tls_says_who_both_sides_are() {
    let client = json!({"ca": data("ca.pem"), "cert": data("client.pem"), "key": data("client.key")});
    let with = |changes: Value| {
        let mut options = client.clone();
        options.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        options.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        options
    };
    let none = Value::Null;
    for (server, options, trouble) in [
        ("server", with(json!({})), ""),
        ("server", with(json!({"cert": none, "key": none})), "CertificateRequired"),
        ("server", with(json!({"ca": none})), "UnknownIssuer"),
        ("elsewhere", with(json!({})), "not valid for name"),
        ("elsewhere", with(json!({"verification": "certificate"})), ""),
        ("elsewhere", with(json!({"verification": "certificate", "ca": none})), "UnknownIssuer"),
        ("elsewhere", with(json!({"verification": "none", "ca": none})), ""),
    ] {
        let fake = Fake::start_at("127.0.0.1:0", Some(acceptor(server)));
        let port = fake.address.rsplit(':').next().unwrap();
        let mut trial = Trial::new(&[&format!("https://localhost:{port}")], json!({"tls": options}));
        trial.give(numbered(0..2));
        if trouble.is_empty() {
            trial.drain();
            assert_eq!(fake.stored(), [0, 1], "{server} {options}");
            assert!(trial.troubles.is_empty(), "{:?}", trial.troubles);
        } else {
            trial.wait_trouble(trouble);
            assert!(fake.stored().is_empty(), "{server} {options}");
        }
    }
}

#[test]
fn options_that_are_wrong_are_named() {
    for (options, expected) in [
        (json!({}), "\"endpoints\" is missing"),
        (json!({"endpoints": ["ftp://es"]}), "option \"endpoints\": an endpoint begins"),
        (json!({"endpoints": ["es"], "in_flight_max": 0}), "option \"in_flight_max\""),
        (json!({"endpoints": ["es"], "gzip_level": 10}), "option \"gzip_level\""),
        (json!({"endpoints": ["es"], "bulk_bytes_max": 0}), "option \"bulk_bytes_max\""),
        (json!({"endpoints": ["es"], "conflict_suffix": ""}), "option \"conflict_suffix\""),
        (json!({"endpoints": ["es"], "headers": {"a b": "c"}}), "option \"headers\""),
        (
            json!({"endpoints": ["https://es"], "tls": {"cert": "/no/such"}}),
            "option \"tls\": \"cert\" and \"key\" belong together",
        ),
        (json!({"endpoints": ["https://es"], "tls": {"ca": "/no/such"}}), "option \"tls\": /no/such"),
    ] {
        let config: Config = serde_json::from_value(options.clone()).unwrap();
        let error = config.build().err().unwrap_or_default();
        assert!(error.contains(expected), "{options}: {error}");
    }
}
