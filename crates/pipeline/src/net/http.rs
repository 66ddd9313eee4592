//! A small HTTP/1.1 client: connections that are kept, TLS, and time-outs.
//!
//! One request is one attempt. Whether it is tried again, and where, is decided by whoever
//! knows what the request means; the one exception is a kept connection that the server closed
//! before anything of the request was sent. A name is looked up for every new connection, so
//! that a server that moved is found.

use super::{endpoint::Endpoint, tls};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// An answer larger than this is not read.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// A connection that was not used for so long may be gone without a word.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// One server and the connections to it that wait to be used again.
pub(crate) struct Host {
    pub(crate) endpoint: Endpoint,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connect_timeout: Duration,
    request_timeout: Duration,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// How long it asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// Nothing of the request reached the server.
    #[error("{0}")]
    Unreachable(String),
    /// The server may have done what was asked.
    #[error("{0}")]
    Lost(String),
}

impl Host {
    pub(crate) fn new(
        endpoint: Endpoint,
        tls: Option<&Arc<ClientConfig>>,
        connect_timeout: Duration,
        request_timeout: Duration,
    ) -> Result<Self, String> {
        let tls = match tls.filter(|_| endpoint.tls) {
            Some(config) => {
                let name = ServerName::try_from(endpoint.host.clone())
                    .map_err(|_| format!("{:?} is no name of a host", endpoint.host))?;
                Some((TlsConnector::from(config.clone()), name))
            }
            None => None,
        };
        Ok(Self { endpoint, tls, connect_timeout, request_timeout, idle: Mutex::default() })
    }

    /// Sends a request, whose path and headers are whole, and reads the answer to its end.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, HttpError> {
        match timeout(self.request_timeout, self.exchange(request)).await {
            Ok(result) => result,
            Err(_) => Err(HttpError::Lost(format!("no answer within {:?}", self.request_timeout))),
        }
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Result<Answer, HttpError> {
        while let Some(mut sender) = self.kept() {
            match sender.try_send_request(request).await {
                Ok(response) => return self.finish(sender, response).await,
                Err(mut failure) => match failure.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(HttpError::Lost(words(failure.error()))),
                },
            }
        }
        let mut sender = self.connect().await.map_err(HttpError::Unreachable)?;
        match sender.try_send_request(request).await {
            Ok(response) => self.finish(sender, response).await,
            Err(mut failure) => {
                let is_unsent = failure.take_message().is_some();
                let text = words(failure.error());
                Err(if is_unsent { HttpError::Unreachable(text) } else { HttpError::Lost(text) })
            }
        }
    }

    async fn finish(
        &self,
        sender: SendRequest<Full<Bytes>>,
        response: Response<Incoming>,
    ) -> Result<Answer, HttpError> {
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| HttpError::Lost(words(&*error)))?.to_bytes();
        self.keep(sender);
        Ok(Answer { status, retry_after: retry_after.map(Duration::from_secs), body })
    }

    /// The connection that was used last: those that are not needed grow old and go.
    fn kept(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < IDLE_MAX);
        idle.pop().map(|idle| idle.sender)
    }

    fn keep(&self, sender: SendRequest<Full<Bytes>>) {
        if !sender.is_closed() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(Idle { sender, since: Instant::now() });
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let connected = timeout(self.connect_timeout, async {
            let address = (self.endpoint.host.as_str(), self.endpoint.port);
            let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            match &self.tls {
                Some((connector, name)) => {
                    let stream = connector.connect(name.clone(), stream).await;
                    handshake(stream.map_err(|error| tls_words(&error))?).await
                }
                None => handshake(stream).await,
            }
        });
        let late = || Err(format!("no connection within {:?}", self.connect_timeout));
        connected.await.unwrap_or_else(|_| late())
    }
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>, String> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| words(&error))?;
    // It ends when the sender is dropped or the server closes it; what goes wrong in between is
    // told to the request under way.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

/// Why there is no TLS, with what to do where it is known.
fn tls_words(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    inner.map_or_else(|| format!("no TLS: {error}"), tls::explain)
}

/// An error and what it came of.
fn words(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // With TLS 1.3 a server refuses our certificate only when it is sent to.
        if let Some(inner) = error.downcast_ref::<rustls::Error>() {
            return tls::explain(inner);
        }
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
