//! The connections to the brokers, all driven by the one thread that calls [`Links::turn`].
//!
//! Only looking up names and connecting, which may block, have a thread of their own meanwhile.

use super::options::Cluster;
use crate::net::line::{self, CLOSED, CONNECT_LOOK, Line, Pending};
use crate::wake::Wake;
use rustix::event::{PollFd, PollFlags};
use std::collections::HashMap;
use std::hash::Hash;
use std::io::{self, IoSlice, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};
use wire::kafka::Backoff;
use wire::kafka::connection::{self, Connection, ConnectionError, Event, RequestId, Response};
use wire::kafka::metadata::Address;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Before a broker that failed is tried again.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(5) };
/// So many pieces are written at once.
const PIECES_MAX: usize = 64;

/// Sends a request when the connection is ready for it.
pub(crate) type Send =
    Box<dyn FnOnce(&mut Connection) -> Result<RequestId, ConnectionError> + std::marker::Send>;

/// What came of requests, which are known by the caller's tags.
pub(crate) enum Happened<T, K = i32> {
    /// The answer.
    Answered(T, Response),
    /// It went out, and has no answer.
    Written(T),
    /// It cannot be sent to this broker on any connection.
    Unsent(T, String),
    /// The connection to the broker is gone, and with it these requests.
    Lost {
        /// The broker, as the caller names the connection.
        broker: K,
        /// Why, with the broker's address.
        error: String,
        /// The requests.
        tags: Vec<T>,
    },
}

/// The connections, one for each `K`: a broker's number, or that and what it is for.
pub(crate) struct Links<T, K = i32> {
    cluster: Cluster,
    links: HashMap<K, Link<T>>,
    /// Brokers that failed: how often in a row, and when they may be tried again.
    rests: HashMap<K, (u32, Instant)>,
    chance: fastrand::Rng,
    wake: Option<Arc<Wake>>,
}

struct Link<T> {
    address: Address,
    state: State,
    connection: Connection,
    /// Requests that wait until the connection is ready.
    waiting: Vec<(Send, T)>,
    asked: HashMap<RequestId, T>,
}

enum State {
    /// Until then it is not tried.
    Resting(Instant),
    Connecting(Receiver<io::Result<TcpStream>>),
    Open(Line),
}

impl<T, K: Copy + Eq + Hash> Links<T, K> {
    pub(crate) fn new(cluster: Cluster) -> Self {
        let (links, rests) = Default::default();
        Self { cluster, links, rests, chance: fastrand::Rng::new(), wake: None }
    }

    /// Other threads can end a wait of [`turn`](Self::turn).
    pub(crate) fn woken_by(self, wake: Arc<Wake>) -> Self {
        Self { wake: Some(wake), ..self }
    }

    /// Sends a request to a broker, once there is a connection.
    pub(crate) fn send(&mut self, broker: K, address: &Address, send: Send, tag: T, now: Instant) {
        // A broker that has moved is another one.
        if self.links.get(&broker).is_some_and(|link| link.address != *address && link.is_idle()) {
            self.links.remove(&broker);
        }
        let link = self.links.entry(broker).or_insert_with(|| {
            let rest = self.rests.get(&broker).map_or(now, |(_, until)| *until);
            let options = connection::Options {
                broker: format!("{}:{}", address.host, address.port),
                client_id: self.cluster.client_id.clone(),
                sasl: self.cluster.sasl.is_some(),
                ..connection::Options::default()
            };
            Link {
                address: address.clone(),
                state: State::Resting(rest),
                connection: Connection::new(options, now),
                waiting: Vec::new(),
                asked: HashMap::new(),
            }
        });
        link.waiting.push((send, tag));
    }

    /// Writes and reads what there is; when there is nothing, waits until there is, at most
    /// until then. What happened is put behind what is there.
    pub(crate) fn turn(&mut self, until: Instant, happened: &mut Vec<Happened<T, K>>) {
        let before = happened.len();
        self.pass(happened);
        if happened.len() == before {
            self.wait(until);
            self.pass(happened);
        }
    }

    fn pass(&mut self, happened: &mut Vec<Happened<T, K>>) {
        let mut lost = Vec::new();
        for (broker, link) in &mut self.links {
            let was_ready = link.connection.is_ready();
            if let Err(error) = link.pass(&self.cluster, happened) {
                lost.push((*broker, error));
            } else if !was_ready && link.connection.is_ready() {
                self.rests.remove(broker);
            }
        }
        for (broker, error) in lost {
            let Some(link) = self.links.remove(&broker) else { continue };
            let mut error = error;
            if !link.connection.is_ready() {
                let failures = self.rests.get(&broker).map_or(0, |(failures, _)| *failures) + 1;
                let pause = BACKOFF.after(failures, &mut self.chance);
                self.rests.insert(broker, (failures, Instant::now() + pause));
                if error.ends_with(CLOSED) {
                    error.push_str(" before it answered: does it want TLS?");
                }
            }
            let waiting = link.waiting.into_iter().map(|(_, tag)| tag);
            let tags = waiting.chain(link.asked.into_values()).collect();
            happened.push(Happened::Lost { broker, error, tags });
        }
    }

    fn wait(&self, until: Instant) {
        let now = Instant::now();
        let mut wake = until;
        let mut fds = Vec::with_capacity(self.links.len() + 1);
        fds.extend(self.wake.iter().map(|wake| PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN)));
        for link in self.links.values() {
            match &link.state {
                State::Resting(rest) => wake = wake.min(*rest),
                State::Connecting(_) => wake = wake.min(now + CONNECT_LOOK),
                State::Open(line) => {
                    let out = if line.is_full() { PollFlags::OUT } else { PollFlags::empty() };
                    fds.push(PollFd::from_borrowed_fd(line.stream().as_fd(), PollFlags::IN | out));
                    wake = link.connection.deadline().map_or(wake, |deadline| wake.min(deadline));
                }
            }
        }
        line::wait(&mut fds, wake);
        if let Some(wake) = &self.wake {
            wake.clear();
        }
    }
}

impl<T> Link<T> {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_empty()
    }

    /// Does what can be done without waiting.
    fn pass<K>(&mut self, cluster: &Cluster, happened: &mut Vec<Happened<T, K>>) -> Result<(), String> {
        self.connect(cluster)?;
        let Self { address, state: State::Open(line), connection, waiting, asked } = self else {
            return Ok(());
        };
        let named = |error: io::Error| format!("the broker {}:{}: {error}", address.host, address.port);
        let wrong = |error: ConnectionError| match error {
            // How an alert of TLS begins (RFC 8446, section 5.1).
            ConnectionError::Frame { broker, bytes, .. } if bytes >> 16 == 0x1503 => {
                format!("{broker} answers with TLS: does it want TLS?")
            }
            error => error.to_string(),
        };
        loop {
            let mut progress = line.write(connection).map_err(named)?;
            // The connection made room for what it expects.
            progress |= line.read_to(connection.buffer(), 1).map_err(named)?;
            let now = Instant::now();
            connection.process(now).map_err(wrong)?;
            connection.on_time(now).map_err(wrong)?;
            while let Some(event) = connection.event() {
                match event {
                    Event::CredentialsWanted => {
                        let sasl = cluster.sasl.as_ref().ok_or("the broker asks who we are: set \"sasl\"")?;
                        connection.authenticate(sasl.credentials()?, now).map_err(wrong)?;
                        progress = true;
                    }
                    Event::Ready => {}
                    Event::Response(response) => {
                        let tag = asked.remove(&response.id);
                        happened.extend(tag.map(|tag| Happened::Answered(tag, response)));
                    }
                    Event::Written(id) => happened.extend(asked.remove(&id).map(Happened::Written)),
                }
            }
            if connection.is_ready() && !waiting.is_empty() {
                progress = true;
                for (send, tag) in waiting.drain(..) {
                    match send(connection) {
                        Ok(id) => drop(asked.insert(id, tag)),
                        Err(error) => happened.push(Happened::Unsent(tag, error.to_string())),
                    }
                }
            }
            if !progress {
                return Ok(());
            }
        }
    }

    fn connect(&mut self, cluster: &Cluster) -> Result<(), String> {
        let Address { host, port } = &self.address;
        if matches!(&self.state, State::Resting(until) if Instant::now() >= *until) {
            self.state = State::Connecting(line::connect("kafka:connect", host, *port, CONNECT_TIMEOUT)?);
        }
        let State::Connecting(receiver) = &self.state else { return Ok(()) };
        let stream = match receiver.try_recv() {
            Ok(Ok(stream)) => stream,
            Err(TryRecvError::Empty) => return Ok(()),
            Ok(Err(error)) => return Err(format!("cannot connect to the broker {host}:{port}: {error}")),
            Err(TryRecvError::Disconnected) => return Err("connecting was given up".to_owned()),
        };
        let tls = cluster.tls.as_ref().map(|config| line::secure(config, host));
        let tls = tls.transpose().map_err(|error| format!("TLS with {host}:{port}: {error}"))?;
        self.state = State::Open(Line::new(stream, tls));
        Ok(())
    }
}

impl Pending for Connection {
    fn is_empty(&self) -> bool {
        self.pending().next().is_none()
    }

    fn write_to(&mut self, to: &mut dyn Write) -> io::Result<usize> {
        let pieces: Vec<IoSlice<'_>> =
            self.pending().take(PIECES_MAX).map(|piece| IoSlice::new(piece)).collect();
        let bytes = to.write_vectored(&pieces)?;
        self.written(bytes);
        Ok(bytes)
    }
}
