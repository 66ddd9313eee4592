//! One connection, from its acceptance to where bytes can be read.

use super::Complaints;
use rustix::net::sockopt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsStream};
use wire::proxy::{self, Header};

/// A peer that is silent for so long is asked by the system whether it is still there, and again
/// after each [`KEEPALIVE_PAUSE`]: one that vanished would hold its place for ever.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_PAUSE: Duration = Duration::from_secs(15);
/// How long a header of which a part is there is left alone.
const HEADER_LOOK: Duration = Duration::from_millis(5);

/// Somebody who is connected.
pub(crate) struct Connection {
    /// What to read from and write to.
    pub(crate) stream: Stream,
    /// Who it is: the other end, or whom the PROXY header names.
    pub(crate) peer: SocketAddr,
    /// The address that the peer reached, as the PROXY header has it.
    pub(crate) proxy: Option<SocketAddr>,
    /// When to stop reading.
    pub(crate) closing: Closing,
}

/// The bytes of a connection, in clear.
pub(crate) enum Stream {
    /// Without TLS.
    Plain(TcpStream),
    /// With TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Says that it is to end. Clones say the same.
#[derive(Clone)]
pub(crate) struct Closing(pub(super) watch::Receiver<bool>);

impl Closing {
    /// Waits until it is to end.
    pub(crate) async fn wait(&mut self) {
        // Without who could say it, it is to end as well.
        let _ = self.0.wait_for(|closing| *closing).await;
    }

    /// Whether it is to end.
    pub(crate) fn is_set(&self) -> bool {
        *self.0.borrow()
    }
}

/// What stands between acceptance and reading.
pub(super) struct Door {
    pub(super) tls: Option<TlsAcceptor>,
    /// How long the PROXY header, and the handshake, may take.
    pub(super) handshake: Duration,
    pub(super) proxy_protocol: bool,
    pub(super) complaints: Arc<Complaints>,
}

impl Door {
    /// Lets a connection in, or counts why it is not.
    pub(super) async fn enter(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        closing: Closing,
    ) -> Option<Connection> {
        // Both only help; a socket without them works.
        let _ = stream.set_nodelay(true);
        let _ = keep_alive(&stream);
        let mut header = Header::default();
        if self.proxy_protocol {
            match tokio::time::timeout(self.handshake, read_header(&mut stream)).await {
                Ok(Ok(read)) => header = read,
                Ok(Err(error)) => return self.refuse("no PROXY header", peer, &error.to_string()),
                Err(_) => return self.refuse("no PROXY header", peer, "none came in time"),
            }
        }
        let (peer, proxy) = match header.addresses {
            Some((source, destination)) => (source, Some(destination)),
            None => (peer, None),
        };
        let Some(acceptor) = &self.tls else {
            return Some(Connection { stream: Stream::Plain(stream), peer, proxy, closing });
        };
        match tokio::time::timeout(self.handshake, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                Some(Connection { stream: Stream::Tls(Box::new(stream.into())), peer, proxy, closing })
            }
            Ok(Err(error)) => self.refuse("no TLS handshake", peer, &tls_words(&error)),
            Err(_) => self.refuse("no TLS handshake", peer, "it took too long"),
        }
    }

    fn refuse(&self, kind: &'static str, peer: SocketAddr, why: &str) -> Option<Connection> {
        self.complaints.tell(kind, Some(peer), why);
        None
    }
}

/// Has the system look whether a peer that is silent is still there.
pub(crate) fn keep_alive(stream: impl std::os::fd::AsFd) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(&stream, KEEPALIVE_PAUSE)?;
    sockopt::set_tcp_keepcnt(&stream, 4)
}

/// Reads the header and not a byte of what is behind it.
async fn read_header(stream: &mut TcpStream) -> io::Result<Header> {
    let invalid =
        |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    let mut bytes = [0; proxy::BYTES_MAX];
    let mut before = 0;
    loop {
        let there = stream.peek(&mut bytes).await?;
        if there == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match proxy::decode(&bytes[..there]).map_err(|error| invalid(&error))? {
            Some((header, length)) => {
                stream.read_exact(&mut bytes[..length]).await?;
                return Ok(header);
            }
            // What is looked at stays, so the system says at once that there is something.
            None if there == before => tokio::time::sleep(HEADER_LOOK).await,
            None => before = there,
        }
    }
}

/// Why there is no TLS, for who looks after this side.
fn tls_words(error: &io::Error) -> String {
    use rustls::AlertDescription as Alert;
    let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => "the peer closed the connection before it was done".to_owned(),
            _ => error.to_string(),
        };
    };
    let advice = match inner {
        rustls::Error::InvalidMessage(_) => "; the peer does not seem to speak TLS",
        rustls::Error::NoCertificatesPresented => "; tls.client_auth asks the peer for a certificate",
        rustls::Error::InvalidCertificate(_) => "; tls.ca does not hold who made the peer's certificate",
        rustls::Error::AlertReceived(
            Alert::UnknownCA | Alert::BadCertificate | Alert::CertificateUnknown,
        ) => "; the peer does not trust who made tls.cert",
        _ => "",
    };
    format!("{inner}{advice}")
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
