//! A server for bulk requests that fails by chance, in every way that servers do, and keeps count.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// The server; its threads end with the process.
pub(crate) struct Fickle {
    address: String,
    state: Arc<Mutex<State>>,
}

/// What happens to requests and to single items of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// The connection is cut, and nothing was done.
    Cut,
    /// It is done, and the connection is cut before the answer.
    AnswerLost,
    /// The request is answered with this status, and nothing was done.
    Status(u16),
    /// An item of an answer with status 200 has this one.
    Item(u16),
}

struct State {
    random: fastrand::Rng,
    /// Whether harm is done.
    moody: bool,
    /// Who may write; none: everybody.
    authorization: Option<String>,
    /// How often harm was done.
    harm: BTreeMap<Harm, u64>,
    /// The documents, by id: every one that was written under it, in order.
    documents: BTreeMap<String, Vec<Value>>,
}

impl Fickle {
    /// Listens on a free port, and does no harm.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(Mutex::new(State {
            random: fastrand::Rng::with_seed(11),
            moody: false,
            authorization: None,
            harm: BTreeMap::new(),
            documents: BTreeMap::new(),
        }));
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                // A connection that breaks ends this connection.
                thread::spawn(move || drop(serve(&stream, &state)));
            }
        });
        Self { address, state }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a lock")
    }

    /// Begins to do harm, or ends it.
    pub(crate) fn set_moody(&self, moody: bool) {
        self.state().moody = moody;
    }

    /// Lets in only who sends this in `authorization`.
    pub(crate) fn set_authorization(&self, wanted: &str) {
        self.state().authorization = Some(wanted.to_owned());
    }

    /// All harm that was done.
    pub(crate) fn all_harm(&self) -> BTreeMap<Harm, u64> {
        self.state().harm.clone()
    }

    /// The documents, by id: every one that was written under it, in order.
    pub(crate) fn documents(&self) -> BTreeMap<String, Vec<Value>> {
        self.state().documents.clone()
    }

    /// How many ids there are.
    pub(crate) fn len(&self) -> usize {
        self.state().documents.len()
    }
}

struct Request {
    is_bulk: bool,
    authorization: Option<String>,
    body: Vec<u8>,
}

fn serve(stream: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader)? {
        let Some((status, answer)) = state.lock().expect("a lock").answer(&request) else {
            return stream.shutdown(std::net::Shutdown::Both);
        };
        let (mut stream, length) = (stream, answer.len());
        write!(stream, "HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\n\r\n{answer}")?;
    }
    Ok(())
}

/// The next request; none when the client has gone.
fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut request = Request { is_bulk: false, authorization: None, body: Vec::new() };
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        request.is_bulk |= line.starts_with("POST");
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().map_err(io::Error::other)?;
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                request.authorization = Some(value.to_owned());
            }
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}

impl State {
    /// Status and body of the answer; none: the connection is cut.
    fn answer(&mut self, request: &Request) -> Option<(u16, String)> {
        if !request.is_bulk {
            return Some((200, json!({"version": {"number": "7.10.2"}}).to_string()));
        }
        if self.authorization.is_some() && self.authorization != request.authorization {
            return Some((401, json!({"error": {"type": "security_exception", "reason": "no"}}).to_string()));
        }
        let harm = match self.moody.then(|| self.random.u32(..24)) {
            Some(0) => Some(Harm::Cut),
            Some(1) => Some(Harm::AnswerLost),
            Some(2) => Some(Harm::Status(429)),
            Some(3) => Some(Harm::Status(503)),
            _ => None,
        };
        harm.inspect(|harm| *self.harm.entry(*harm).or_default() += 1);
        match harm {
            Some(Harm::Cut) => None,
            Some(Harm::Status(status)) => Some((status, json!({"error": "by chance"}).to_string())),
            Some(Harm::AnswerLost) => {
                self.apply(&request.body);
                None
            }
            _ => Some((200, self.apply(&request.body))),
        }
    }

    /// Does what the lines of a body say, and answers.
    fn apply(&mut self, body: &[u8]) -> String {
        let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let (mut items, mut errors) = (Vec::new(), false);
        while let Some(line) = lines.next() {
            let action: Value = serde_json::from_slice(line).expect("a line of JSON");
            let (kind, target) =
                action.as_object().and_then(|action| action.iter().next()).expect("an action");
            let document = serde_json::from_slice(lines.next().expect("a document")).expect("JSON");
            let id = target["_id"].as_str().expect("an id").to_owned();
            let status = self.apply_one(kind, id, document);
            errors |= status >= 400;
            let item = match status {
                200..=299 => json!({"status": status}),
                _ => json!({"status": status, "error": {"type": "by_chance", "reason": "the server's mood"}}),
            };
            items.push(json!({kind: item}));
        }
        json!({"took": 1, "errors": errors, "items": items}).to_string()
    }

    fn apply_one(&mut self, kind: &str, id: String, document: Value) -> u16 {
        let refused = match self.moody.then(|| self.random.u32(..16)) {
            Some(0) => Some(429),
            Some(1) => Some(503),
            _ => None,
        };
        if let Some(status) = refused {
            *self.harm.entry(Harm::Item(status)).or_default() += 1;
            return status;
        }
        let versions = self.documents.entry(id).or_default();
        if kind == "create" && !versions.is_empty() {
            return 409;
        }
        versions.push(document);
        201
    }
}
