//! Those who connect to get events.

use super::{Config, Load};
use crate::net::line;
use crate::net::listen::{bind, keep_alive};
use crate::net::sockets::Sockets;
use crate::net::stream::Socket;
use rustix::event::{PollFd, PollFlags};
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The listeners, and who is connected.
pub(super) struct Peers {
    listeners: Vec<TcpListener>,
    tls: Option<Arc<ServerConfig>>,
    handshake: Duration,
    stall: Duration,
    connections_max: usize,
    peers: Vec<Peer>,
    /// Whether somebody has got all of the load that was given.
    is_sent: bool,
}

struct Peer {
    address: SocketAddr,
    socket: Socket,
    /// How much was not written, and since when it is that much.
    left: (usize, Instant),
    /// Whether it is to get the load that was given.
    is_given: bool,
}

impl Peers {
    /// Listens; reads the files of `listen_tls`.
    pub(super) fn new(config: &Config) -> Result<Self, String> {
        let tls = config.listen_tls.as_ref();
        // Nobody hands an output's socket on: while one listens, no other can.
        let none = Sockets::default();
        let mut listeners = Vec::new();
        for address in &config.listen {
            let bound = bind(address, &none).map_err(|why| format!("option \"listen\": {why}"))?;
            listeners.extend(bound.into_iter().map(|(listener, _)| listener));
        }
        Ok(Self {
            listeners,
            tls: tls
                .map(|tls| tls.build().map_err(|why| format!("option \"listen_tls\": {why}")))
                .transpose()?,
            handshake: tls.map_or(config.connect_timeout.0, |tls| tls.handshake_timeout.0),
            stall: config.stall_timeout.0,
            connections_max: config.connections_max,
            peers: Vec::new(),
            is_sent: false,
        })
    }

    /// Where it listens.
    #[cfg(test)]
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Lets in who comes, writes, and closes who is lost. An error says that accepting fails.
    pub(super) fn turn(&mut self, now: Instant) -> Result<(), String> {
        let accepted = self.accept(now);
        let (handshake, stall) = (self.handshake, self.stall);
        self.peers.retain_mut(|peer| match peer.pass(now, handshake, stall) {
            Ok(()) => true,
            Err(why) => {
                tracing::info!(peer = %peer.address, why, "somebody who gets events is gone");
                false
            }
        });
        accepted.map_err(|error| format!("accepting fails: {error}"))
    }

    fn accept(&mut self, now: Instant) -> io::Result<()> {
        for listener in &self.listeners {
            loop {
                let (stream, address) = match listener.accept() {
                    Ok(accepted) => accepted,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    // Who came has gone again.
                    Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                    Err(error) => return Err(error),
                };
                if self.peers.len() >= self.connections_max {
                    tracing::warn!(peer = %address, "as many are connected as may be: it was closed");
                    continue;
                }
                match enter(stream, self.tls.as_ref()) {
                    Ok(socket) => {
                        let left = (0, now);
                        self.peers.push(Peer { address, socket, left, is_given: false });
                    }
                    Err(why) => tracing::warn!(peer = %address, why, "a connection was closed"),
                }
            }
        }
        Ok(())
    }

    pub(super) fn load(&mut self, is_given: bool) -> Load {
        let is_somebody = self.peers.iter().any(|peer| peer.socket.is_ready());
        if !is_given {
            return if is_somebody { Load::None } else { Load::Nobody };
        }
        if self.peers.iter_mut().any(|peer| peer.is_given && peer.socket.unwritten() > 0) {
            return Load::Sending;
        }
        self.is_sent |= self.peers.iter().any(|peer| peer.is_given);
        // When all who were to get it are gone, the next get it from its beginning.
        if self.is_sent { Load::Sent } else { Load::Nobody }
    }

    /// Gives a load to all who are there.
    pub(super) fn give(&mut self, bytes: &[u8], now: Instant) {
        self.is_sent = false;
        for peer in &mut self.peers {
            peer.is_given = peer.socket.is_ready();
            if peer.is_given {
                peer.socket.outgoing().extend_from_slice(bytes);
                peer.left = (peer.socket.unwritten(), now);
            }
        }
    }

    pub(super) fn wait(&self, until: Instant) {
        let listeners = self.listeners.iter().map(|listener| (listener.as_fd(), PollFlags::IN));
        let peers = self.peers.iter().map(|peer| (peer.socket.stream().as_fd(), peer.socket.waits_for()));
        let mut fds: Vec<PollFd<'_>> =
            listeners.chain(peers).map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)).collect();
        line::wait(&mut fds, until);
    }
}

fn enter(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Result<Socket, String> {
    stream.set_nonblocking(true).map_err(|error| error.to_string())?;
    // Both only help; a socket without them works.
    let _ = stream.set_nodelay(true);
    let _ = keep_alive(&stream);
    let secured = tls.map(|config| ServerConnection::new(config.clone())).transpose();
    Ok(Socket::new(stream, secured.map_err(|error| error.to_string())?.map(Into::into)))
}

impl Peer {
    fn pass(&mut self, now: Instant, handshake: Duration, stall: Duration) -> Result<(), String> {
        self.socket.pass().map_err(|error| error.to_string())?;
        // Nobody asked for what it says.
        self.socket.incoming().clear();
        let left = self.socket.unwritten();
        if left != self.left.0 {
            self.left = (left, now);
        }
        let waits = now.saturating_duration_since(self.left.1);
        if !self.socket.is_ready() {
            return if waits < handshake { Ok(()) } else { Err("no TLS handshake in time".to_owned()) };
        }
        if left > 0 && waits >= stall {
            return Err(format!("it took nothing for {} s", stall.as_secs_f64()));
        }
        Ok(())
    }
}
