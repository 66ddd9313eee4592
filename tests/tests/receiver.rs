//! An HTTP server that takes what it is sent, or does not, as a test wants it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request, its body unpacked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// By their names in small letters.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What is done with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// This status and text.
    Status(u16, String),
    /// The connection is cut.
    Cut,
    /// 200, so much later.
    Late(Duration),
}

type Judge = dyn Fn(usize, &Request) -> Reply + Send + Sync;

/// The server; its threads end with the process.
pub(crate) struct Receiver {
    address: String,
    seen: Arc<Mutex<Vec<(Request, Reply)>>>,
}

impl Receiver {
    /// Listens on a free port; `judge` says what is done with each request, by its number from 0.
    pub(crate) fn start(judge: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let seen: Arc<Mutex<Vec<(Request, Reply)>>> = Arc::default();
        let (shared, judge): (_, Arc<Judge>) = (seen.clone(), Arc::new(judge));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (seen, judge) = (shared.clone(), judge.clone());
                // Whatever goes wrong with a connection ends this connection.
                thread::spawn(move || drop(serve(client, &seen, &*judge)));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// All requests so far, with what was done.
    pub(crate) fn seen(&self) -> Vec<(Request, Reply)> {
        self.seen.lock().expect("a lock").clone()
    }

    /// The requests that were taken.
    pub(crate) fn taken(&self) -> Vec<Request> {
        let is_taken = |reply: &Reply| matches!(reply, Reply::Status(200..=299, _) | Reply::Late(_));
        self.seen().into_iter().filter(|(_, reply)| is_taken(reply)).map(|(request, _)| request).collect()
    }
}

fn serve(client: TcpStream, seen: &Mutex<Vec<(Request, Reply)>>, judge: &Judge) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut client = client;
    while let Some(request) = read(&mut reader)? {
        let reply = {
            let mut seen = seen.lock().expect("a lock");
            let reply = judge(seen.len(), &request);
            seen.push((request, reply.clone()));
            reply
        };
        let (status, text) = match reply {
            Reply::Status(status, text) => (status, text),
            Reply::Cut => return Ok(()),
            Reply::Late(pause) => {
                thread::sleep(pause);
                (200, String::new())
            }
        };
        write!(client, "HTTP/1.1 {status} Told\r\ncontent-length: {}\r\n\r\n{text}", text.len())?;
    }
    Ok(())
}

fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut packed = vec![0; length];
    reader.read_exact(&mut packed)?;
    let mut body = Vec::new();
    match headers.get("content-encoding").map(String::as_str) {
        Some("gzip") => drop(flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut body)?),
        Some("zstd") => body = zstd::bulk::decompress(&packed, 64 << 20)?,
        _ => body = packed,
    }
    Ok(Some(Request { method, path, headers, body }))
}
