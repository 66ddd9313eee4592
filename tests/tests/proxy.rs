//! A TCP proxy before a server, which does harm when it is told to.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What is done with connections, those that are there already included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything goes through.
    Pass,
    /// Connections are closed as soon as anything comes.
    Cut,
    /// Requests go through, and the connection is closed when the answer comes.
    LoseAnswers,
    /// The server is not asked: each request is answered with this status.
    Answer(u16),
    /// Everything goes through, each piece of up to 64 KiB so much later.
    Delay(Duration),
}

/// The proxy; its threads end with the process.
pub(crate) struct Proxy {
    address: String,
    state: Arc<State>,
}

struct State {
    mode: Mutex<Mode>,
    /// How often harm was done in this mode.
    done: AtomicU64,
}

impl Proxy {
    /// Listens on a free port, for the server at `HOST:PORT`.
    pub(crate) fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(State { mode: Mutex::new(Mode::Pass), done: AtomicU64::new(0) });
        let (shared, server) = (state.clone(), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (state, server) = (shared.clone(), server.clone());
                // Whatever goes wrong with a connection ends this connection.
                thread::spawn(move || drop(serve(client, &server, &state)));
            }
        });
        Self { address, state }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn set(&self, mode: Mode) {
        let mut now = self.state.mode.lock().expect("a lock");
        *now = mode;
        self.state.done.store(0, Ordering::SeqCst);
    }

    /// How often harm was done since the mode was set.
    pub(crate) fn done(&self) -> u64 {
        self.state.done.load(Ordering::SeqCst)
    }
}

fn serve(client: TcpStream, server: &str, state: &Arc<State>) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    let (from_server, to_client, answers) = (server.try_clone()?, client.try_clone()?, state.clone());
    let back = thread::spawn(move || carry(from_server, to_client, &answers, true));
    let result = carry(client, server, state, false);
    let _ = back.join();
    result
}

fn carry(mut from: TcpStream, mut to: TcpStream, state: &State, is_answer: bool) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let result = loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(count) => count,
            Err(error) => break Err(error),
        };
        let now = state.mode.lock().expect("a lock").clone();
        let is_harm = match now {
            Mode::Pass => false,
            Mode::LoseAnswers => is_answer,
            Mode::Answer(_) => !is_answer,
            Mode::Cut | Mode::Delay(_) => true,
        };
        state.done.fetch_add(u64::from(is_harm), Ordering::SeqCst);
        match now {
            Mode::Cut => break Ok(()),
            Mode::LoseAnswers if is_answer => break Ok(()),
            Mode::Answer(status) if !is_answer => {
                // The rest of the request is not read: the connection cannot be used again.
                break answer(&mut from, status);
            }
            Mode::Delay(pause) => thread::sleep(pause),
            _ => {}
        }
        if let Err(error) = to.write_all(&buffer[..count]) {
            break Err(error);
        }
    };
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
    result
}

/// Answers in place of the server.
fn answer(client: &mut TcpStream, status: u16) -> io::Result<()> {
    let body = "{\"error\":\"by the proxy\"}";
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status} Told\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    client.write_all(answer.as_bytes())?;
    client.shutdown(Shutdown::Write)?;
    // Closed at once with bytes unread, the answer would be lost by a reset.
    client.set_read_timeout(Some(Duration::from_secs(1)))?;
    while client.read(&mut [0; 4096])? > 0 {}
    Ok(())
}

#[test]
fn harm_is_done_when_it_is_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let echo = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = client.read(&mut buffer) {
                let _ = client.write_all(&buffer[..count]);
            }
        }
    });
    let proxy = Proxy::start(&echo);
    let ask = |mode: Mode| {
        proxy.set(mode);
        let mut stream = TcpStream::connect(proxy.address()).expect("the proxy");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        stream.write_all(b"hello").expect("a socket");
        let mut answer = [0; 12];
        let count = stream.read(&mut answer).unwrap_or(0);
        String::from_utf8_lossy(&answer[..count]).into_owned()
    };
    assert_eq!(ask(Mode::Pass), "hello");
    assert_eq!(ask(Mode::Cut), "");
    assert_eq!(ask(Mode::LoseAnswers), "");
    assert_eq!(ask(Mode::Answer(503)), "HTTP/1.1 503");
    assert_eq!(ask(Mode::Delay(Duration::from_millis(5))), "hello");
}
