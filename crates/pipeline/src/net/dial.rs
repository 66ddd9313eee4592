//! The way to a server that takes bytes: one connection at a time to one of several, for the thread
//! that owns it.
//!
//! Nothing here blocks but [`Dial::wait`]: a name is looked up and a connection made by a thread of
//! its own, which ends when that is done. A server that fails is left alone for a while, longer each
//! time, and the next one is asked.

use super::endpoint::Endpoint;
use super::hosts::{Hosts, Pick};
use super::line::{self, CONNECT_LOOK};
use super::stream::Socket;
use super::tls::TlsConfig;
use rustix::event::PollFd;
use rustls::ClientConfig;
use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    host: String,
    port: u16,
}

impl Server {
    /// Reads `HOST:PORT` or `[ADDRESS]:PORT`; without a port it is `port`, if there is such a thing.
    pub(crate) fn parse(text: &str, port: Option<u16>) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no server: it is written HOST:PORT, or [ADDRESS]:PORT");
        if text.contains(['/', '@']) {
            return Err(wrong());
        }
        let has_port =
            text.rsplit_once(':').is_some_and(|(host, _)| !host.is_empty()) && !text.ends_with(']');
        let whole = match (has_port, port) {
            (true, _) => text.to_owned(),
            (false, Some(port)) => format!("{text}:{port}"),
            (false, None) => return Err(wrong()),
        };
        let Endpoint { host, port, .. } = Endpoint::parse(&whole).map_err(|_| wrong())?;
        Ok(Self { host, port })
    }

    /// The name or the address, IPv6 without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Its addresses; asks the system, which may take long.
    pub(crate) fn addresses(&self) -> io::Result<Vec<std::net::SocketAddr>> {
        let addresses: Vec<_> = (self.host.as_str(), self.port).to_socket_addrs()?.collect();
        if addresses.is_empty() {
            return Err(io::Error::new(ErrorKind::NotFound, "the name has no address"));
        }
        Ok(addresses)
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A connection to one of several servers, which is made anew when it is lost.
pub(crate) struct Dial {
    servers: Vec<Server>,
    hosts: Hosts,
    tls: Option<Arc<ClientConfig>>,
    connect_timeout: Duration,
    /// How long a server that failed is left alone, where that is always the same.
    pause: Option<Duration>,
    not_before: Option<Instant>,
    state: State,
}

enum State {
    /// There is none; `Hosts` says from when on there may be one.
    Down,
    Connecting {
        host: usize,
        receiver: Receiver<io::Result<TcpStream>>,
    },
    Up {
        host: usize,
        socket: Box<Socket>,
        /// Until when the handshake must be over.
        enter_until: Instant,
    },
}

impl Dial {
    /// The way to these servers, of which there is at least one; reads the files of `tls`.
    pub(crate) fn new(
        servers: Vec<Server>,
        tls: Option<&TlsConfig>,
        connect_timeout: Duration,
    ) -> Result<Self, String> {
        let tls =
            tls.map(TlsConfig::build).transpose().map_err(|error| format!("option \"tls\": {error}"))?;
        let hosts = Hosts::new(servers.len());
        let state = State::Down;
        Ok(Self { servers, hosts, tls, connect_timeout, pause: None, not_before: None, state })
    }

    /// Every pause after a failure is so long, in place of growing ones.
    pub(crate) fn with_pause(self, pause: Duration) -> Self {
        Self { pause: Some(pause), ..self }
    }

    /// Makes, if there is none, a connection, writes and reads what there is. An error says that
    /// the connection is gone, or could not be made, and why.
    pub(crate) fn turn(&mut self, now: Instant) -> Result<(), String> {
        if let State::Down = self.state
            && self.not_before.is_none_or(|at| at <= now)
            && let Pick::Host(host) = self.hosts.pick(now)
        {
            self.dial(host)?;
        }
        if let State::Connecting { receiver, .. } = &self.state {
            match receiver.try_recv() {
                Err(TryRecvError::Empty) => return Ok(()),
                Ok(Ok(stream)) => self.open(stream, now)?,
                Ok(Err(error)) => return Err(self.lose(now, &format!("no connection: {error}"))),
                Err(TryRecvError::Disconnected) => return Err(self.lose(now, "connecting was given up")),
            }
        }
        let State::Up { socket, enter_until, .. } = &mut self.state else { return Ok(()) };
        if let Err(error) = socket.pass() {
            return Err(self.lose(now, &error.to_string()));
        }
        if !socket.is_ready() && now >= *enter_until {
            return Err(self.lose(now, "it does not answer: does it speak TLS on this port?"));
        }
        Ok(())
    }

    fn dial(&mut self, host: usize) -> Result<(), String> {
        let Server { host: name, port } = &self.servers[host];
        let receiver = line::connect("net:connect", name, *port, self.connect_timeout)?;
        self.state = State::Connecting { host, receiver };
        Ok(())
    }

    fn open(&mut self, stream: TcpStream, now: Instant) -> Result<(), String> {
        let State::Connecting { host, .. } = self.state else { return Ok(()) };
        let secured = self.tls.as_ref().map(|config| line::secure(config, &self.servers[host].host));
        match secured.transpose() {
            Ok(secured) => {
                let socket = Box::new(Socket::new(stream, secured));
                self.state = State::Up { host, socket, enter_until: now + self.connect_timeout };
                Ok(())
            }
            Err(error) => Err(self.lose(now, &error)),
        }
    }

    /// The connection, once bytes can be sent.
    pub(crate) fn socket(&mut self) -> Option<&mut Socket> {
        match &mut self.state {
            State::Up { socket, .. } if socket.is_ready() => Some(socket),
            _ => None,
        }
    }

    /// The server does what it should: when it fails the next time, the pause is short again.
    pub(crate) fn works(&mut self) {
        if let State::Up { host, .. } = self.state {
            self.hosts.answered(host);
        }
    }

    /// Gives the connection up: the server is left alone for a while. Returns `why` with its name.
    pub(crate) fn lose(&mut self, now: Instant, why: &str) -> String {
        let (State::Connecting { host, .. } | State::Up { host, .. }) = self.state else {
            return why.to_owned();
        };
        match self.pause {
            Some(pause) => {
                self.hosts.answered(host);
                self.not_before = Some(now + pause);
            }
            None => self.hosts.failed(host, now, fastrand::f64()),
        }
        self.state = State::Down;
        format!("{}: {why}", self.servers[host])
    }

    /// Waits until something can be done, at most until then.
    pub(crate) fn wait(&self, until: Instant) {
        let now = Instant::now();
        let mut wake = until;
        let mut fds = Vec::new();
        match &self.state {
            State::Down => {
                let earliest = self.not_before.filter(|at| *at > now).or(self.hosts.earliest());
                wake = wake.min(earliest.unwrap_or(wake));
            }
            State::Connecting { .. } => wake = wake.min(now + CONNECT_LOOK),
            State::Up { socket, enter_until, .. } => {
                fds.push(PollFd::from_borrowed_fd(socket.stream().as_fd(), socket.waits_for()));
                if !socket.is_ready() {
                    wake = wake.min(*enter_until);
                }
            }
        }
        line::wait(&mut fds, wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn servers() {
        #[track_caller]
        fn check(text: &str, port: Option<u16>, expected: Option<&str>) {
            let found = Server::parse(text, port).ok().map(|server| server.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        check("a:1", None, Some("a:1"));
        check("a", Some(5044), Some("a:5044"));
        check("a:1", Some(5044), Some("a:1"));
        check("[::1]", Some(2), Some("[::1]:2"));
        check("[::1]:3", Some(2), Some("[::1]:3"));
        for text in ["a", "", ":1", "a:x", "a:0", "u:p@a:1", "tcp://a:1", "a:1/x"] {
            check(text, None, None);
        }
    }

    /// Turns until it is so.
    #[track_caller]
    fn until(dial: &mut Dial, mut is_so: impl FnMut(&mut Dial, Result<(), String>) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let result = dial.turn(Instant::now());
            if is_so(dial, result) {
                return;
            }
            assert!(Instant::now() < end, "it takes too long");
            dial.wait(Instant::now() + Duration::from_millis(50));
        }
    }

    #[test]
    fn the_next_server_is_asked_when_one_fails() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        let servers = [gone, there].map(|address| Server::parse(&address.to_string(), None).unwrap());
        let mut dial = Dial::new(servers.to_vec(), None, Duration::from_secs(5)).unwrap();
        let mut errors = Vec::new();
        until(&mut dial, |dial, result| {
            errors.extend(result.err());
            dial.socket().is_some()
        });
        assert_eq!(errors.len(), 1);
        assert!(errors[0].starts_with(&gone.to_string()), "{errors:?}");
        let (mut peer, _) = listener.accept().unwrap();
        dial.socket().unwrap().outgoing().extend_from_slice(b"ping");
        until(&mut dial, |dial, result| result.is_ok() && dial.socket().unwrap().outgoing().is_empty());
        let mut bytes = [0; 4];
        peer.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"ping");
        peer.write_all(b"pong").unwrap();
        until(&mut dial, |dial, result| result.is_ok() && dial.socket().unwrap().incoming() == b"pong");
        drop(peer);
        until(&mut dial, |_, result| result.is_err_and(|error| error.contains("closed")));
        assert!(dial.socket().is_none());
    }
}
