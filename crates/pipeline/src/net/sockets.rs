//! Sockets that go from an input to the one that takes its place.
//!
//! A reload builds the new input while the old one still listens. Where the address is the same the
//! new one gets another descriptor of the same socket: nobody who connects is refused in between,
//! connections that nobody has accepted yet and datagrams that nobody has read wait for the new one.
//! Rejected: `SO_REUSEPORT`, which would give each socket a queue of its own, lost when it closes,
//! and let two programs share a port without a word.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A socket at which an input listens, for as long as it does.
#[derive(Debug, Clone)]
pub enum Held {
    /// For connections.
    Tcp(Weak<TcpListener>),
    /// For datagrams.
    Udp(Weak<UdpSocket>),
}

/// Sockets of inputs that are about to end, for those that are built to follow them.
#[derive(Debug, Default)]
pub struct Sockets(Mutex<Vec<Offered>>);

#[derive(Debug)]
enum Offered {
    Tcp(Arc<TcpListener>),
    Udp(Arc<UdpSocket>),
}

impl Sockets {
    fn offered(&self) -> MutexGuard<'_, Vec<Offered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers those of these that are still open.
    pub(crate) fn offer(&self, held: &[Held]) {
        let open = held.iter().filter_map(|held| match held {
            Held::Tcp(socket) => socket.upgrade().map(Offered::Tcp),
            Held::Udp(socket) => socket.upgrade().map(Offered::Udp),
        });
        self.offered().extend(open);
    }

    /// Takes back what nobody took.
    pub(crate) fn clear(&self) {
        self.offered().clear();
    }

    /// A socket that takes connections at this address, and whether it was offered. Each that is
    /// offered is given once, so two new inputs never share an address.
    pub(crate) fn tcp(&self, address: SocketAddr) -> io::Result<(TcpListener, bool)> {
        let taken = match TcpListener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => error,
            other => return other.map(|socket| (socket, false)),
        };
        let is_it = |offered: &Offered| matches!(offered, Offered::Tcp(own) if own.local_addr().is_ok_and(|own| own == address));
        match self.take(is_it) {
            Some(Offered::Tcp(socket)) => socket.try_clone().map(|socket| (socket, true)),
            _ => Err(taken),
        }
    }

    /// A socket for the datagrams to this address, and whether it was offered: what was set on it
    /// before is still set.
    pub(crate) fn udp(&self, address: SocketAddr) -> io::Result<(UdpSocket, bool)> {
        let taken = match UdpSocket::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => error,
            other => return other.map(|socket| (socket, false)),
        };
        let is_it = |offered: &Offered| matches!(offered, Offered::Udp(own) if own.local_addr().is_ok_and(|own| own == address));
        match self.take(is_it) {
            Some(Offered::Udp(socket)) => socket.try_clone().map(|socket| (socket, true)),
            _ => Err(taken),
        }
    }

    fn take(&self, is_it: impl Fn(&Offered) -> bool) -> Option<Offered> {
        let mut offered = self.offered();
        let at = offered.iter().position(is_it)?;
        Some(offered.swap_remove(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    #[test]
    fn who_waits_to_be_accepted_is_not_refused() {
        let sockets = Sockets::default();
        let (old, was_offered) = sockets.tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(!was_offered);
        let old = Arc::new(old);
        let address = old.local_addr().unwrap();
        assert_eq!(sockets.tcp(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        sockets.offer(&[Held::Tcp(Arc::downgrade(&old))]);
        let mut client = TcpStream::connect(address).unwrap();
        let (new, was_offered) = sockets.tcp(address).unwrap();
        assert!(was_offered);
        drop(old);
        client.write_all(b"x").unwrap();
        drop(client);
        let mut read = Vec::new();
        new.accept().unwrap().0.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"x");
        // It was given once.
        assert_eq!(sockets.tcp(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn datagrams_wait_for_the_next_one() {
        let sockets = Sockets::default();
        let (old, was_offered) = sockets.udp("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(!was_offered);
        let old = Arc::new(old);
        let address = old.local_addr().unwrap();
        sockets.offer(&[Held::Udp(Arc::downgrade(&old)), Held::Tcp(Weak::new())]);
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"hello", address).unwrap();
        let (new, was_offered) = sockets.udp(address).unwrap();
        assert!(was_offered);
        drop(old);
        let mut buffer = [0; 16];
        assert_eq!(new.recv(&mut buffer).unwrap(), 5);
    }

    #[test]
    fn what_is_not_taken_goes() {
        let sockets = Sockets::default();
        let old = Arc::new(sockets.tcp("127.0.0.1:0".parse().unwrap()).unwrap().0);
        let address = old.local_addr().unwrap();
        sockets.offer(&[Held::Tcp(Arc::downgrade(&old))]);
        sockets.clear();
        drop(old);
        assert!(sockets.tcp(address).is_ok(), "the port is free again");
    }
}
