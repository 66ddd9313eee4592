//! What inputs that are connected to have in common: addresses, TLS, limits, and the way out.
//!
//! ```text
//! listener ─▶ limit of connections ─▶ PROXY header ─▶ TLS ─▶ serve() ─▶ intake ─▶ Input::next
//! ```
//! Sockets belong to a small runtime of the input's own; each connection is a task that frames what
//! it reads and hands whole loads to the [`intake`]. What the pipeline does not take stays there until
//! it is full, and then in the sockets: nobody reads any more, and who sends waits.
//!
//! The way out: nobody is accepted any more, connections stop reading, the pipeline takes what is in
//! the intake, connections tell what became safe and close, or are closed after [`CLOSE_WAIT`].

pub(crate) mod complaints;
mod connection;
pub(crate) mod intake;
mod reach;
mod tls;

pub use super::tls::TlsVersion;
pub(crate) use complaints::Complaints;
pub(crate) use connection::{Closing, Connection, Stream, keep_alive};
pub(crate) use intake::{Intake, Taken};
pub(crate) use reach::Reach;
pub use tls::{ClientAuth, ServerTls};

use crate::net::sockets::{Held, Sockets};
use crate::stop::Stop;
use crate::units::Time;
use connection::Door;
use event::{Batch, EVENTS_MAX};
use intake::Collector;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};

/// How long what was read may take to become safe, and to be told so, when the program is to end.
const CLOSE_WAIT: Duration = Duration::from_secs(3);
/// How long a wait for a load lasts at most; it is asked again.
const WAIT: Duration = Duration::from_secs(1);
/// How long accepting waits after it failed: out of descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// More connections are not possible, whatever is configured.
const CONNECTIONS_MAX: usize = 100_000;
/// The threads of the runtime, named after their work.
const THREADS: usize = 2;

/// Where and how to listen. Inputs make it of options with the same names.
#[derive(Debug, Clone)]
pub(crate) struct Listen {
    /// Addresses as `HOST:PORT` or `[ADDRESS]:PORT`; port 0 is one that is free.
    pub(crate) listen: Vec<String>,
    /// TLS, when it is there.
    pub(crate) tls: Option<ServerTls>,
    /// Whether connections begin with a header of the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    /// So many connections at once; who comes then is closed at once.
    pub(crate) connections_max: usize,
    /// How many bytes of whole loads wait to be taken, over all connections, and how many bytes
    /// large loads may take while they are read.
    pub(crate) intake_bytes: usize,
}

/// What is done with connections: one task each.
pub(crate) trait Serve: Send + Sync + 'static {
    /// What it hands on.
    type Load: Send + 'static;

    /// Reads until the peer closes, [`Connection::closing`] says to stop, or something is wrong.
    /// The error says what, for who looks after this input: it is counted and told.
    fn serve(
        self: Arc<Self>,
        connection: Connection,
        intake: Intake<Self::Load>,
    ) -> impl Future<Output = Result<(), String>> + Send;
}

impl Listen {
    /// Checks the options without looking at files; an error names the option.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.listen.is_empty() {
            return Err(("listen", "at least one address, such as 127.0.0.1:5044".to_owned()));
        }
        for address in &self.listen {
            host_and_port(address).map_err(|why| ("listen", why))?;
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.connections_max) {
            return Err(("connections_max", format!("between 1 and {CONNECTIONS_MAX}")));
        }
        if self.intake_bytes == 0 {
            return Err(("intake_bytes", "more than 0".to_owned()));
        }
        self.tls.as_ref().map_or(Ok(()), ServerTls::check).map_err(|why| ("tls", why))
    }

    /// Binds all addresses, or goes on with those that are offered, and reads the files of `tls`. It
    /// accepts at once, or from the first [`Listening::next`] on where it goes on with a socket. An
    /// error names the option.
    pub(crate) fn start<S: Serve>(
        &self,
        input: &str,
        sockets: &Sockets,
        serve: Arc<S>,
    ) -> Result<Listening<S::Load>, (&'static str, String)> {
        self.check()?;
        let tls = self.tls.as_ref().map(ServerTls::build).transpose().map_err(|why| ("tls", why))?;
        let mut listeners = Vec::new();
        for address in &self.listen {
            listeners.extend(bind(address, sockets).map_err(|why| ("listen", why))?);
        }
        let runtime = runtime().map_err(|error| ("listen", error.to_string()))?;
        let (intake, collector) =
            intake::new(self.intake_bytes).map_err(|error| ("listen", error.to_string()))?;
        let (stop, closing) = watch::channel(false);
        let (open, opened) = watch::channel(false);
        let mut held = Vec::new();
        let complaints = Arc::new(Complaints::new(input));
        let door = Arc::new(Door {
            tls: tls.map(tokio_rustls::TlsAcceptor::from),
            handshake: self.tls.as_ref().map_or(HANDSHAKE, |tls| tls.handshake_timeout.0),
            proxy_protocol: self.proxy_protocol,
            complaints: complaints.clone(),
        });
        let room = Arc::new(Semaphore::new(self.connections_max));
        let mut addresses = Vec::new();
        for (listener, was_offered) in listeners {
            let _inside = runtime.enter();
            let local = listener.local_addr().map_err(|error| ("listen", error.to_string()))?;
            let listener = Arc::new(listener);
            held.push(Held::Tcp(Arc::downgrade(&listener)));
            let accepted = listener.try_clone().and_then(TcpListener::from_std);
            let accepted = accepted.map_err(|error| ("listen", error.to_string()))?;
            tracing::info!(input, address = %local, tls = self.tls.is_some(), "listens");
            addresses.push(local);
            let accepting = Accepting {
                door: door.clone(),
                room: room.clone(),
                intake: intake.clone(),
                opened: was_offered.then(|| opened.clone()),
                closing: Closing(closing.clone()),
                serve: serve.clone(),
                connections_max: self.connections_max,
            };
            runtime.spawn(accepting.accept(accepted, listener));
        }
        // The last intake goes with the last connection, and then the collector knows that it is over.
        drop(intake);
        Ok(Listening {
            runtime: Some(runtime),
            addresses,
            held,
            open,
            stop,
            collector,
            complaints,
            close_by: None,
        })
    }
}

/// How long a handshake may take where no option says it.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);

/// The option `handshake_timeout` where it is not given.
pub(crate) fn handshake_default() -> Time {
    Time(HANDSHAKE)
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(THREADS).thread_name("net:listen").enable_all().build()
}

/// Reads `HOST:PORT` or `[ADDRESS]:PORT`.
pub(crate) fn host_and_port(text: &str) -> Result<(&str, u16), String> {
    let wrong = || format!("{text:?} is no address to listen on, such as 0.0.0.0:5044 or [::]:5044");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_good = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains([':', '[', ']', '/', ' ']),
    };
    let port = port.parse().map_err(|_| wrong())?;
    if is_good { Ok((bare.unwrap_or(host), port)) } else { Err(wrong()) }
}

/// Listens on every address of the name; says whether each socket was offered. An address of it that this machine does not have
/// (`localhost` without IPv6) is passed over if there is another.
pub(crate) fn bind(text: &str, sockets: &Sockets) -> Result<Vec<(StdListener, bool)>, String> {
    let addresses: Vec<SocketAddr> = host_and_port(text)?
        .to_socket_addrs()
        .map_err(|error| format!("{text}: the name is unknown: {error}"))?
        .collect();
    let mut listeners = Vec::new();
    let mut lacks = None;
    for address in addresses {
        match sockets.tcp(address) {
            Ok((listener, was_offered)) => {
                let ready = listener.set_nonblocking(true);
                ready.map_err(|error| format!("cannot listen on {address}: {error}"))?;
                listeners.push((listener, was_offered));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                lacks = Some(format!("cannot listen on {address}: this machine has no such address"));
            }
            Err(error) => return Err(bind_words(address, &error)),
        }
    }
    match (listeners.is_empty(), lacks) {
        (false, _) => Ok(listeners),
        (true, Some(why)) => Err(why),
        (true, None) => Err(format!("{text}: the name has no address")),
    }
}

/// Why an address cannot be had, and what to do about it.
pub(crate) fn bind_words(address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "; another program, or another input, listens there",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need the capability CAP_NET_BIND_SERVICE, or use a higher port"
        }
        _ => "",
    };
    format!("cannot listen on {address}: {error}{advice}")
}

/// What accepts on one address.
struct Accepting<S: Serve> {
    door: Arc<Door>,
    room: Arc<Semaphore>,
    intake: Intake<S::Load>,
    /// Says when the input whose socket it is has ended.
    opened: Option<watch::Receiver<bool>>,
    closing: Closing,
    serve: Arc<S>,
    connections_max: usize,
}

impl<S: Serve> Accepting<S> {
    /// `_held` says for how long the socket is ours to give to another input.
    async fn accept(mut self, listener: TcpListener, _held: Arc<StdListener>) {
        if let Some(opened) = &mut self.opened {
            tokio::select! {
                opened = opened.wait_for(|opened| *opened) => drop(opened),
                () = self.closing.wait() => return,
            }
        }
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.closing.wait() => return,
            };
            let complaints = &self.door.complaints;
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    complaints.tell("accepting fails", None, &error.to_string());
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = self.room.clone().try_acquire_owned() else {
                let why = format!("connections_max is {}: it was closed at once", self.connections_max);
                complaints.tell("too many connections", Some(peer), &why);
                continue;
            };
            let (door, intake, serve) = (self.door.clone(), self.intake.clone(), self.serve.clone());
            let mut closing = self.closing.clone();
            tokio::spawn(async move {
                let _place = place;
                let complaints = door.complaints.clone();
                let entered = tokio::select! {
                    entered = door.enter(stream, peer, closing.clone()) => entered,
                    () = closing.wait() => return,
                };
                let Some(connection) = entered else { return };
                let peer = connection.peer;
                if let Err(why) = serve.serve(connection, intake).await {
                    complaints.tell("a connection was closed", Some(peer), &why);
                }
            });
        }
    }
}

/// Connections that are served, and what they hand on. All end when it is dropped.
pub(crate) struct Listening<T> {
    /// Taken when it ends.
    runtime: Option<Runtime>,
    addresses: Vec<SocketAddr>,
    held: Vec<Held>,
    open: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    collector: Collector<T>,
    #[cfg_attr(not(test), expect(dead_code, reason = "connections tell them"))]
    complaints: Arc<Complaints>,
    /// Until when connections may close by themselves, once it is to end.
    close_by: Option<Instant>,
}

impl<T> Listening<T> {
    /// Where it listens, with the ports that were given.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The sockets at which it listens, for as long as it does.
    pub(crate) fn sockets(&self) -> Vec<Held> {
        self.held.clone()
    }

    /// What went wrong so far.
    #[cfg(test)]
    pub(crate) fn complaints(&self) -> &Arc<Complaints> {
        &self.complaints
    }

    /// Waits for a load; none: it was to stop, and all connections have closed.
    pub(crate) fn first(&mut self, stop: &Stop) -> Option<T> {
        loop {
            match self.next(stop, Instant::now() + WAIT) {
                Taken::Load(load) => return Some(load),
                Taken::Nothing => {}
                Taken::Over => return None,
            }
        }
    }

    /// A load that is there already, for as long as the batch has room for more.
    pub(crate) fn more(&mut self, stop: &Stop, batch: &Batch, batch_bytes: usize) -> Option<T> {
        if batch.len() >= EVENTS_MAX || batch.bytes().len() >= batch_bytes {
            return None;
        }
        match self.next(stop, Instant::now()) {
            Taken::Load(load) => Some(load),
            Taken::Nothing | Taken::Over => None,
        }
    }

    /// Takes the next load. Waits until there is one, `until` at most. Once it is to stop, goes on
    /// giving what was read, and is over when all connections have closed.
    pub(crate) fn next(&mut self, stop: &Stop, until: Instant) -> Taken<T> {
        self.open.send_if_modified(|open| !std::mem::replace(open, true));
        loop {
            let is_stopping = stop.is_set();
            if is_stopping && self.close_by.is_none() {
                self.close_by = Some(Instant::now() + CLOSE_WAIT);
                // Nobody listens to it only when all is over already.
                let _ = self.stop.send(true);
            }
            match self.collector.take() {
                Taken::Nothing => {}
                other => return other,
            }
            let now = Instant::now();
            let until = match self.close_by {
                Some(close_by) if now >= close_by => {
                    tracing::warn!("connections were closed before all that they sent was safe");
                    return Taken::Over;
                }
                Some(close_by) => until.min(close_by),
                None => until,
            };
            if now >= until {
                return Taken::Nothing;
            }
            self.collector.wait(stop, is_stopping, until - now);
        }
    }
}

impl<T> Drop for Listening<T> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests;
