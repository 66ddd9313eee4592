//! The way to Redis: one connection at a time to one of several servers, for the thread that
//! owns it.
//!
//! Nothing here blocks but [`Client::wait`]: a name is looked up and a connection made by a thread
//! of its own, which ends when that is done. A server that fails is left alone for a while, longer
//! each time, and the next one is asked.

use super::endpoint::Endpoint;
use super::hosts::{Hosts, Pick};
use super::line::{self, CONNECT_LOOK, Line, Pending};
use super::tls::TlsConfig;
use crate::plan::Secret;
use rustix::event::{PollFd, PollFlags};
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};
use wire::redis::connection::{ConnectionError, Incoming};
use wire::redis::{Connection, Login};

const PORT: u16 = 6379;
/// As much is read at once.
const READ_BYTES: usize = 64 << 10;
/// Not much more than this waits to be taken; a value that is larger is read bit by bit.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// The version of the protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Every version of Redis speaks it.
    #[default]
    Resp2,
    /// Redis 6 and later.
    Resp3,
}

/// Which servers, and who we are: what the output and the input have in common.
#[derive(Clone)]
pub(crate) struct Servers {
    pub(crate) hosts: Vec<String>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    /// Read for every connection.
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) db: u32,
    pub(crate) protocol: Protocol,
    pub(crate) tls: Option<TlsConfig>,
    pub(crate) connect_timeout: Duration,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    host: String,
    port: u16,
    tls: bool,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// Reads `host`, `host:port`, `redis://host:port` or `rediss://host:port`.
fn server(text: &str, has_tls: bool) -> Result<Server, String> {
    // The text may hold a password, so it is not repeated.
    let (tls, rest) = match text.split_once("://") {
        Some(("redis", rest)) => (has_tls, rest),
        Some(("rediss", rest)) => (true, rest),
        Some(_) => return Err("a host begins with redis:// or rediss://, or is HOST:PORT".to_owned()),
        None => (has_tls, text),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        return Err("put the user and the password into \"user\" and \"password\"".to_owned());
    }
    if rest.contains('/') {
        return Err("put the number of the database into \"db\"".to_owned());
    }
    let has_port = rest.rsplit_once(':').is_some_and(|(host, _)| !host.is_empty() && !rest.ends_with(']'));
    let whole = if has_port { rest.to_owned() } else { format!("{rest}:{PORT}") };
    let Endpoint { host, port, .. } =
        Endpoint::parse(&whole).map_err(|_| "a host is written HOST:PORT, or [ADDRESS]:PORT".to_owned())?;
    Ok(Server { host, port, tls })
}

impl Servers {
    /// Checks the options without looking at files; an error names the option.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.servers()?;
        if self.password.is_some() && self.password_file.is_some() {
            return Err("option \"password\": give either \"password\" or \"password_file\"".to_owned());
        }
        if self.user.is_some() && self.password.is_none() && self.password_file.is_none() {
            return Err("option \"user\": it needs \"password\" or \"password_file\"".to_owned());
        }
        Ok(())
    }

    fn servers(&self) -> Result<Vec<Server>, String> {
        let one = |text: &String| {
            server(text, self.tls.is_some()).map_err(|error| format!("option \"hosts\": {error}"))
        };
        let servers: Vec<Server> = self.hosts.iter().map(one).collect::<Result<_, _>>()?;
        if servers.is_empty() {
            return Err("\"hosts\" is missing: at least one, such as 127.0.0.1:6379".to_owned());
        }
        Ok(servers)
    }

    /// The client; reads the files of `tls`.
    pub(crate) fn build(&self) -> Result<Client, String> {
        self.check()?;
        let servers = self.servers()?;
        let tls = match servers.iter().any(|server| server.tls) {
            true => {
                let options = self.tls.clone().unwrap_or_default();
                Some(options.build().map_err(|error| format!("option \"tls\": {error}"))?)
            }
            false => None,
        };
        let hosts = Hosts::new(servers.len());
        Ok(Client { options: self.clone(), servers, hosts, tls, state: State::Down, moved: None })
    }

    fn login(&self) -> Result<Login, String> {
        let password = match (&self.password, &self.password_file) {
            (Some(password), _) => Some(password.expose().to_owned()),
            (None, Some(file)) => {
                let text = std::fs::read_to_string(file);
                let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            (None, None) => None,
        };
        let protocol = match self.protocol {
            Protocol::Resp2 => wire::redis::Protocol::Resp2,
            Protocol::Resp3 => wire::redis::Protocol::Resp3,
        };
        Ok(Login { user: self.user.clone(), password, db: self.db, protocol })
    }
}

/// A connection to one of several servers, which is made anew when it is lost.
pub(crate) struct Client {
    options: Servers,
    servers: Vec<Server>,
    hosts: Hosts,
    tls: Option<Arc<ClientConfig>>,
    state: State,
    /// Where a cluster sent us, for the next connection.
    moved: Option<Server>,
}

enum State {
    /// There is none; `Hosts` says from when on there may be one.
    Down,
    Connecting {
        host: usize,
        server: Server,
        receiver: Receiver<io::Result<TcpStream>>,
    },
    Up(Box<Link>),
}

struct Link {
    host: usize,
    server: Server,
    line: Line,
    connection: Connection,
    /// Until when the server must have let us in.
    enter_until: Instant,
}

impl Client {
    /// Makes, if there is none, a connection, writes and reads what there is. An error says that
    /// the connection is gone, or could not be made, and why; what was not answered is open.
    pub(crate) fn turn(&mut self, now: Instant) -> Result<(), String> {
        if let State::Down = self.state
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
        let State::Up(link) = &mut self.state else { return Ok(()) };
        let was_ready = link.connection.is_ready();
        if let Err(error) = link.pass(now) {
            return Err(self.lose(now, &error));
        }
        if !was_ready && link.connection.is_ready() {
            let host = link.host;
            self.hosts.answered(host);
        }
        Ok(())
    }

    fn dial(&mut self, host: usize) -> Result<(), String> {
        let server = self.moved.take().unwrap_or_else(|| self.servers[host].clone());
        let receiver =
            line::connect("redis:connect", &server.host, server.port, self.options.connect_timeout)?;
        self.state = State::Connecting { host, server, receiver };
        Ok(())
    }

    fn open(&mut self, stream: TcpStream, now: Instant) -> Result<(), String> {
        let State::Connecting { host, server, .. } = &self.state else { return Ok(()) };
        let (host, server) = (*host, server.clone());
        let config = self.tls.as_ref().filter(|_| server.tls);
        let tls = config.map(|config| line::secure(config, &server.host)).transpose();
        let made = tls.and_then(|tls| Ok((tls, self.options.login()?)));
        let (tls, login) = match made {
            Ok(made) => made,
            Err(error) => return Err(self.lose(now, &error)),
        };
        self.state = State::Up(Box::new(Link {
            host,
            server,
            line: Line::new(stream, tls),
            connection: Connection::new(&login),
            enter_until: now + self.options.connect_timeout,
        }));
        Ok(())
    }

    /// The connection, once the server has let us in.
    pub(crate) fn connection(&mut self) -> Option<&mut Connection> {
        match &mut self.state {
            State::Up(link) if link.connection.is_ready() => Some(&mut link.connection),
            _ => None,
        }
    }

    /// The next value that came. After an error the connection is of no use any more:
    /// [`lose`](Self::lose) it.
    pub(crate) fn incoming(&mut self) -> Result<Option<Incoming<'_>>, String> {
        match &mut self.state {
            State::Up(link) => link.connection.incoming().map_err(|error| error.to_string()),
            _ => Ok(None),
        }
    }

    /// Gives the connection up: the server is left alone for a while. Returns `why` with its name.
    pub(crate) fn lose(&mut self, now: Instant, why: &str) -> String {
        let (host, name) = match &self.state {
            State::Down => return why.to_owned(),
            State::Connecting { host, server, .. } => (*host, server.to_string()),
            State::Up(link) => (link.host, link.server.to_string()),
        };
        self.hosts.failed(host, now, fastrand::f64());
        self.state = State::Down;
        format!("{name}: {why}")
    }

    /// The next connection is to this server of a cluster, `HOST:PORT`.
    pub(crate) fn move_to(&mut self, address: &str) {
        if let Ok(server) = server(address, self.servers.iter().any(|server| server.tls)) {
            self.state = State::Down;
            self.moved = Some(server);
        }
    }

    /// The name of the server, for words.
    pub(crate) fn name(&self) -> String {
        match &self.state {
            State::Down => self.servers.first().map(ToString::to_string).unwrap_or_default(),
            State::Connecting { server, .. } => server.to_string(),
            State::Up(link) => link.server.to_string(),
        }
    }

    /// Waits until something can be done, or one of the others is readable, at most until then.
    pub(crate) fn wait(&self, until: Instant, also: &[BorrowedFd<'_>]) {
        let now = Instant::now();
        let mut wake = until;
        let mut fds: Vec<PollFd<'_>> =
            also.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        match &self.state {
            State::Down => wake = wake.min(self.hosts.earliest().unwrap_or(wake)),
            State::Connecting { .. } => wake = wake.min(now + CONNECT_LOOK),
            State::Up(link) => {
                let out = if link.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
                fds.push(PollFd::from_borrowed_fd(link.line.stream().as_fd(), PollFlags::IN | out));
                if !link.connection.is_ready() {
                    wake = wake.min(link.enter_until);
                }
            }
        }
        line::wait(&mut fds, wake);
    }
}

impl Link {
    fn wants_write(&self) -> bool {
        self.line.is_full() || !self.connection.outgoing().is_empty() || self.line.holds_records()
    }

    /// Does what can be done without waiting.
    fn pass(&mut self, now: Instant) -> Result<(), String> {
        loop {
            let written = self.line.write(&mut self.connection);
            let mut progress = written.map_err(|error| self.io_words(&error))?;
            let read = self.line.read_to(self.connection.inbox(), READ_BYTES);
            progress |= read.map_err(|error| self.io_words(&error))?;
            if !self.connection.is_ready() {
                let was_entering = self.connection.enter();
                was_entering.map_err(|error| self.words(&error))?;
                progress |= self.connection.is_ready();
                if !self.connection.is_ready() && now >= self.enter_until {
                    let advice =
                        if self.line.is_secured() { ": does it speak TLS on this port?" } else { "" };
                    return Err(format!("it does not answer{advice}"));
                }
            }
            // What comes without end is read as it is taken.
            if !progress || self.connection.inbox().len() >= READ_AHEAD_BYTES {
                return Ok(());
            }
        }
    }

    fn io_words(&self, error: &io::Error) -> String {
        let is_cut = matches!(
            error.kind(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        );
        if is_cut && !self.connection.is_ready() && !self.line.is_secured() {
            return format!("{error} before it answered: does it want TLS?");
        }
        error.to_string()
    }

    fn words(&self, error: &ConnectionError) -> String {
        match error {
            ConnectionError::Refused(reason, command) => format!(
                "it answers {reason:?} to {command}; {}",
                wire::redis::Fault::of(reason.as_bytes()).advice()
            ),
            error if !self.line.is_secured() => format!("{error}: is it Redis, and does it want TLS?"),
            error => error.to_string(),
        }
    }
}

impl Pending for Connection {
    fn is_empty(&self) -> bool {
        self.outgoing().is_empty()
    }

    fn write_to(&mut self, to: &mut dyn Write) -> io::Result<usize> {
        let bytes = to.write(self.outgoing())?;
        self.written(bytes);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        #[track_caller]
        fn check(text: &str, expected: Result<&str, &str>) {
            match (server(text, false), expected) {
                (Ok(server), Ok(expected)) => assert_eq!(server.to_string(), expected),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                (found, expected) => panic!("{found:?} where {expected:?} was expected"),
            }
        }
        check("redis-1", Ok("redis://redis-1:6379"));
        check("redis-1:6380", Ok("redis://redis-1:6380"));
        check("rediss://r:1/", Ok("rediss://r:1"));
        check("[::1]", Ok("redis://[::1]:6379"));
        check("redis://[::1]:7", Ok("redis://[::1]:7"));
        check("redis://u:hunter2@r", Err("\"user\" and \"password\""));
        check("redis://r/3", Err("\"db\""));
        check("http://r", Err("redis://"));
        check("", Err("HOST:PORT"));
        check("r:x", Err("HOST:PORT"));
        assert_eq!(server("r", true).unwrap().to_string(), "rediss://r:6379");
    }
}
