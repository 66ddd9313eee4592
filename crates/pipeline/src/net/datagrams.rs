//! Datagrams: threads of their own take them off the sockets, so that the system's buffer is empty
//! when a burst comes, and keep them until the pipeline takes them.
//!
//! Nobody can ask who sends datagrams to wait. What comes while as much waits as may wait is lost,
//! here or in the system's buffer before us; both are counted, and told.

use super::listen::{Complaints, bind_words, host_and_port};
use crate::net::sockets::{Held, Sockets};
use crate::stop::Stop;
use crate::wake::Wake;
use rustix::net::sockopt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// So many datagrams are taken off a socket before they are handed over.
const AT_ONCE: usize = 64;
/// How many are still taken off a socket when the program is to end.
const LAST_MAX: usize = 100_000;
/// How often it is looked what the system's buffer lost.
const SYSTEM_LOOK: Duration = Duration::from_secs(2);
/// How long a receiver pauses after an error.
const PAUSE: Duration = Duration::from_millis(100);
/// No datagram is larger (RFC 768: a length of 16 bits, of which the header has 8 bytes).
pub(crate) const DATAGRAM_BYTES_MAX: usize = 65_535;
const THREADS_MAX: usize = 64;

/// Where and how to listen. Inputs make it of options with the same names.
#[derive(Debug, Clone)]
pub(crate) struct Bind {
    /// Addresses as `HOST:PORT` or `[ADDRESS]:PORT`.
    pub(crate) listen: Vec<String>,
    /// What is behind so many bytes of a datagram is cut off.
    pub(crate) datagram_bytes_max: usize,
    /// How many threads take datagrams off each socket. More than one may change their order.
    pub(crate) threads: usize,
    /// So many datagrams may wait to be taken.
    pub(crate) waiting_max: usize,
    /// And so many bytes of them.
    pub(crate) waiting_bytes: usize,
    /// The size of the system's buffer of each socket; none: as the system has it.
    pub(crate) receive_buffer: Option<usize>,
    /// Groups to join.
    pub(crate) multicast: Vec<IpAddr>,
}

/// Sockets, and what came in by them.
pub(crate) struct Datagrams {
    sockets: Vec<Arc<UdpSocket>>,
    addresses: Vec<SocketAddr>,
    threads: usize,
    shared: Arc<Shared>,
    receivers: Vec<JoinHandle<()>>,
    /// What was taken from the receivers, and is given batch by batch.
    taken: Waiting,
    /// How many of it were given.
    given: usize,
    system: SystemLosses,
}

struct Shared {
    waiting: Mutex<Waiting>,
    wake: Arc<Wake>,
    lost: Arc<AtomicU64>,
    datagram_bytes_max: usize,
    waiting_max: usize,
    waiting_bytes: usize,
    complaints: Arc<Complaints>,
}

/// Datagrams behind each other.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    datagrams: Vec<Datagram>,
}

struct Datagram {
    peer: SocketAddr,
    /// Where it ends in the bytes; it begins where the one before ends.
    end: usize,
    is_cut: bool,
}

impl Waiting {
    fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
    }

    fn push(&mut self, peer: SocketAddr, bytes: &[u8], is_cut: bool) {
        self.bytes.extend_from_slice(bytes);
        self.datagrams.push(Datagram { peer, end: self.bytes.len(), is_cut });
    }
}

impl Bind {
    /// Checks the options; an error names the option.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.listen.is_empty() {
            return Err(("listen", "at least one address, such as 0.0.0.0:514".to_owned()));
        }
        for address in &self.listen {
            host_and_port(address).map_err(|why| ("listen", why))?;
        }
        if !(1..=DATAGRAM_BYTES_MAX).contains(&self.datagram_bytes_max) {
            return Err(("datagram_bytes_max", format!("between 1 and {DATAGRAM_BYTES_MAX}")));
        }
        if !(1..=THREADS_MAX).contains(&self.threads) {
            return Err(("threads", format!("between 1 and {THREADS_MAX}")));
        }
        if self.waiting_max == 0 || self.waiting_bytes == 0 {
            return Err(("waiting_max", "\"waiting_max\" and \"waiting_bytes\" are more than 0".to_owned()));
        }
        match self.multicast.iter().find(|group| !group.is_multicast()) {
            Some(group) => Err(("multicast", format!("{group} is the address of no group"))),
            None => Ok(()),
        }
    }

    /// Binds all addresses and joins the groups. An error names the option. Datagrams that come
    /// before the first [`Datagrams::start`] wait in the system's buffer; `wake` is woken when there are
    /// some to take.
    pub(crate) fn bind(
        &self,
        input: &str,
        offered: &Sockets,
        wake: Arc<Wake>,
    ) -> Result<Datagrams, (&'static str, String)> {
        self.check()?;
        let mut sockets = Vec::new();
        let mut addresses = Vec::new();
        for text in &self.listen {
            let named = host_and_port(text).map_err(|why| ("listen", why))?;
            let found = named.to_socket_addrs();
            let found = found.map_err(|error| ("listen", format!("{text}: the name is unknown: {error}")))?;
            for address in found {
                let (socket, address) = self.socket(input, offered, address)?;
                tracing::info!(input, %address, "listens (UDP)");
                addresses.push(address);
                sockets.push(Arc::new(socket));
            }
        }
        let lost = Arc::new(AtomicU64::new(0));
        let complaints = Arc::new(Complaints::new(input));
        let system = SystemLosses::of(&sockets, lost.clone(), complaints.clone());
        let shared = Shared {
            waiting: Mutex::default(),
            wake,
            lost,
            datagram_bytes_max: self.datagram_bytes_max,
            waiting_max: self.waiting_max,
            waiting_bytes: self.waiting_bytes,
            complaints,
        };
        Ok(Datagrams {
            sockets,
            addresses,
            threads: self.threads,
            shared: Arc::new(shared),
            receivers: Vec::new(),
            taken: Waiting::default(),
            given: 0,
            system,
        })
    }

    fn socket(
        &self,
        input: &str,
        offered: &Sockets,
        address: SocketAddr,
    ) -> Result<(UdpSocket, SocketAddr), (&'static str, String)> {
        let bound = offered.udp(address).map_err(|error| ("listen", bind_words(address, &error)))?;
        let (socket, was_offered) = bound;
        let wrong = |option| move |error: io::Error| (option, format!("{address}: {error}"));
        // A socket that was offered may be in the group already.
        let joined = |joined: io::Result<()>| match joined {
            Err(error) if was_offered && error.kind() == ErrorKind::AddrInUse => Ok(()),
            other => other.map_err(wrong("multicast")),
        };
        socket.set_nonblocking(true).map_err(wrong("listen"))?;
        if let Some(wanted) = self.receive_buffer {
            // Only the second obeys the system's limit, and only the first needs a capability.
            let set = sockopt::set_socket_recv_buffer_size_force(&socket, wanted)
                .or_else(|_| sockopt::set_socket_recv_buffer_size(&socket, wanted));
            set.map_err(|error| ("receive_buffer", format!("{address}: {error}")))?;
            // The system doubles it for its own needs.
            let got = sockopt::socket_recv_buffer_size(&socket).unwrap_or(0) / 2;
            if got < wanted {
                tracing::warn!(input, wanted, got, "receive_buffer is more than net.core.rmem_max allows");
            }
        }
        for group in &self.multicast {
            match (group, address.ip()) {
                (IpAddr::V4(group), IpAddr::V4(own)) => {
                    let own = if own.is_multicast() { Ipv4Addr::UNSPECIFIED } else { own };
                    joined(socket.join_multicast_v4(group, &own))?;
                }
                (IpAddr::V6(group), IpAddr::V6(_)) => {
                    joined(socket.join_multicast_v6(group, 0))?;
                }
                _ => {}
            }
        }
        let address = socket.local_addr().map_err(wrong("listen"))?;
        Ok((socket, address))
    }
}

impl Datagrams {
    /// Where it listens, with the ports that were given.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The sockets at which it listens, for as long as it does.
    pub(crate) fn sockets(&self) -> Vec<Held> {
        self.sockets.iter().map(|socket| Held::Udp(Arc::downgrade(socket))).collect()
    }

    /// How many datagrams were lost so far.
    pub(crate) fn lost(&self) -> Arc<AtomicU64> {
        self.shared.lost.clone()
    }

    /// Begins to take datagrams off the sockets, until `stop`. Does nothing the second time.
    pub(crate) fn start(&mut self, stop: &Stop) -> io::Result<()> {
        if !self.receivers.is_empty() {
            return Ok(());
        }
        for socket in &self.sockets {
            for _ in 0..self.threads {
                let (socket, shared, stop) = (socket.clone(), self.shared.clone(), stop.clone());
                let thread = std::thread::Builder::new().name("net:datagrams".to_owned());
                self.receivers.push(thread.spawn(move || shared.receive(&socket, &stop))?);
            }
        }
        Ok(())
    }

    /// Gives datagrams, with who sent them and whether they were cut, until they hold this many
    /// bytes. Says whether there were any.
    pub(crate) fn take(&mut self, bytes_max: usize, mut each: impl FnMut(SocketAddr, &[u8], bool)) -> bool {
        self.system.look(Instant::now());
        if self.given == self.taken.datagrams.len() {
            self.taken.clear();
            self.given = 0;
            self.shared.wake.clear();
            std::mem::swap(&mut self.taken, &mut *self.shared.waiting());
        }
        let first = self.given;
        let begin = self.end_of(first);
        while let Some(datagram) = self.taken.datagrams.get(self.given) {
            if self.given > first && datagram.end - begin > bytes_max {
                break;
            }
            let from = self.end_of(self.given);
            each(datagram.peer, &self.taken.bytes[from..datagram.end], datagram.is_cut);
            self.given += 1;
        }
        self.given > first
    }

    /// Where the datagrams before this one end.
    fn end_of(&self, number: usize) -> usize {
        number.checked_sub(1).map_or(0, |before| self.taken.datagrams[before].end)
    }

    /// Waits for what the receivers still take once it is to stop; then [`take`](Self::take) gives the last.
    pub(crate) fn finish(&mut self) {
        for receiver in self.receivers.drain(..) {
            if receiver.join().is_err() {
                tracing::error!("a thread that takes datagrams off a socket panicked");
            }
        }
    }
}

impl AsFd for Datagrams {
    /// Readable when there may be something to take.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }
}

impl Shared {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop of a receiver.
    fn receive(&self, socket: &UdpSocket, stop: &Stop) {
        let mut buffer = vec![0; self.datagram_bytes_max + 1];
        let mut some = Waiting::default();
        loop {
            let is_last = stop.wait_with(&[socket.as_fd()], Duration::from_secs(3600));
            for _ in 0..LAST_MAX / AT_ONCE {
                let has_more = self.read(socket, &mut buffer, &mut some);
                self.keep(&mut some);
                if !has_more {
                    break;
                }
            }
            if is_last {
                return;
            }
        }
    }

    /// Takes some datagrams off the socket; says whether there may be more.
    fn read(&self, socket: &UdpSocket, buffer: &mut [u8], some: &mut Waiting) -> bool {
        while some.datagrams.len() < AT_ONCE {
            match socket.recv_from(buffer) {
                Ok((length, peer)) => {
                    let kept = length.min(self.datagram_bytes_max);
                    some.push(peer, &buffer[..kept], kept < length);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.complaints.tell("receiving fails", None, &error.to_string());
                    std::thread::sleep(PAUSE);
                    return false;
                }
            }
        }
        true
    }

    /// Keeps datagrams until they are taken, as far as there is room.
    fn keep(&self, some: &mut Waiting) {
        if some.datagrams.is_empty() {
            return;
        }
        let mut waiting = self.waiting();
        let mut from = 0;
        let mut kept = 0;
        for datagram in &some.datagrams {
            let bytes = &some.bytes[from..datagram.end];
            from = datagram.end;
            let is_room = waiting.datagrams.len() < self.waiting_max
                && waiting.bytes.len() + bytes.len() <= self.waiting_bytes;
            if !is_room {
                break;
            }
            waiting.push(datagram.peer, bytes, datagram.is_cut);
            kept += 1;
        }
        drop(waiting);
        self.wake.wake();
        if let Some(first) = some.datagrams.get(kept) {
            let lost = (some.datagrams.len() - kept) as u64;
            let all = self.lost.fetch_add(lost, Relaxed) + lost;
            let why =
                format!("the pipeline is slower than they come (waiting_max, waiting_bytes); {all} so far");
            self.complaints.tell("datagrams are lost", Some(first.peer), &why);
        }
        some.clear();
    }
}

/// What the system's buffers of our sockets lost, by `/proc/net/udp`.
struct SystemLosses {
    /// The numbers of the sockets.
    inodes: Vec<u64>,
    counted: u64,
    looked: Instant,
    lost: Arc<AtomicU64>,
    complaints: Arc<Complaints>,
}

impl SystemLosses {
    fn of(sockets: &[Arc<UdpSocket>], lost: Arc<AtomicU64>, complaints: Arc<Complaints>) -> Self {
        let inodes =
            sockets.iter().filter_map(|socket| rustix::fs::fstat(socket).ok().map(|stat| stat.st_ino));
        Self { inodes: inodes.collect(), counted: 0, looked: Instant::now(), lost, complaints }
    }

    fn look(&mut self, now: Instant) {
        if now.saturating_duration_since(self.looked) < SYSTEM_LOOK {
            return;
        }
        self.looked = now;
        let tables =
            ["/proc/net/udp", "/proc/net/udp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
        let all = tables.iter().map(|table| drops(table, &self.inodes)).sum::<u64>();
        if all > self.counted {
            self.lost.fetch_add(all - self.counted, Relaxed);
            self.counted = all;
            let why = format!("the system's buffer was full (receive_buffer, threads); {all} so far");
            self.complaints.tell("datagrams are lost before they come here", None, &why);
        }
    }
}

/// The sum of the last column, `drops`, over the lines of these sockets; the number of the socket is
/// the tenth column.
fn drops(table: &str, inodes: &[u64]) -> u64 {
    let of_line = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let inode = columns.nth(9)?.parse().ok()?;
        let drops = columns.last()?.parse::<u64>().ok()?;
        inodes.contains(&inode).then_some(drops)
    };
    table.lines().filter_map(of_line).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(options: impl FnOnce(&mut Bind)) -> Datagrams {
        let mut bind = Bind {
            listen: vec!["127.0.0.1:0".to_owned()],
            datagram_bytes_max: 1_000,
            threads: 1,
            waiting_max: 100,
            waiting_bytes: 10_000,
            receive_buffer: None,
            multicast: Vec::new(),
        };
        options(&mut bind);
        bind.bind("u", &Sockets::default(), Arc::new(Wake::new().unwrap())).unwrap()
    }

    /// Takes until there were so many, at most for a while.
    fn taken(datagrams: &mut Datagrams, stop: &Stop, wanted: usize) -> Vec<(Vec<u8>, bool)> {
        let until = Instant::now() + Duration::from_secs(30);
        let mut found = Vec::new();
        while found.len() < wanted && Instant::now() < until {
            if !datagrams.take(1_000, |_, bytes, is_cut| found.push((bytes.to_vec(), is_cut))) {
                stop.wait_with(&[datagrams.as_fd()], Duration::from_millis(100));
            }
        }
        found
    }

    #[test]
    fn datagrams_come_in_their_order_and_are_cut() {
        let mut datagrams = bind(|_| ());
        let stop = Stop::new();
        datagrams.start(&stop).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for n in 0..50_u8 {
            sender.send_to(&[n; 10], datagrams.addresses()[0]).unwrap();
        }
        sender.send_to(&[b'x'; 1_001], datagrams.addresses()[0]).unwrap();
        sender.send_to(&[], datagrams.addresses()[0]).unwrap();
        let found = taken(&mut datagrams, &stop, 52);
        let expected = (0..50).map(|n| (vec![n; 10], false));
        let last = [(vec![b'x'; 1_000], true), (Vec::new(), false)];
        assert_eq!(found, expected.chain(last).collect::<Vec<_>>());
        stop.set();
        datagrams.finish();
        assert_eq!(datagrams.lost().load(Relaxed), 0);
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut datagrams = bind(|bind| bind.waiting_max = 10);
        let stop = Stop::new();
        datagrams.start(&stop).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for n in 0..30_u8 {
            sender.send_to(&[n], datagrams.addresses()[0]).unwrap();
        }
        // When it stops, what is in the system's buffer is taken as well.
        stop.set();
        datagrams.finish();
        let mut found = Vec::new();
        while datagrams.take(3, |_, bytes, _| found.push(bytes[0])) {}
        assert_eq!(found, (0..10).collect::<Vec<u8>>());
        assert_eq!(datagrams.lost().load(Relaxed), 20);
    }

    #[test]
    fn the_systems_losses() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n \
             1: 0100007F:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 12\n \
             2: 0100007F:0203 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 30\n";
        assert_eq!((drops(table, &[4711]), drops(table, &[4711, 4712]), drops(table, &[])), (12, 42, 0));
    }

    #[test]
    fn groups() {
        let group: IpAddr = "239.255.77.5".parse().unwrap();
        let mistake = |options: fn(&mut Bind)| {
            let mut bind = Bind {
                listen: vec!["127.0.0.1:0".to_owned()],
                datagram_bytes_max: 10,
                threads: 1,
                waiting_max: 1,
                waiting_bytes: 1,
                receive_buffer: None,
                multicast: Vec::new(),
            };
            options(&mut bind);
            bind.check().unwrap_err().0
        };
        assert_eq!(mistake(|bind| bind.multicast = vec!["10.0.0.1".parse().unwrap()]), "multicast");
        assert_eq!(mistake(|bind| bind.listen.clear()), "listen");
        assert_eq!(mistake(|bind| bind.threads = 0), "threads");
        assert_eq!(mistake(|bind| bind.datagram_bytes_max = 70_000), "datagram_bytes_max");
        let mut datagrams = bind(|bind| {
            bind.listen = vec!["0.0.0.0:0".to_owned()];
            bind.multicast = vec![group];
        });
        let stop = Stop::new();
        datagrams.start(&stop).unwrap();
        let sender = UdpSocket::bind("0.0.0.0:0").unwrap();
        sender.set_multicast_loop_v4(true).unwrap();
        let port = datagrams.addresses()[0].port();
        // A machine without a route for groups cannot send to one.
        if sender.send_to(b"g", (group, port)).is_ok() {
            assert_eq!(taken(&mut datagrams, &stop, 1), [(b"g".to_vec(), false)]);
        }
        stop.set();
        datagrams.finish();
    }
}
