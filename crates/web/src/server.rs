//! The server: where it listens, and who may.

use crate::es::EsError;
use crate::guard::Guard;
use crate::{es, guard, tls};
use axum::Router;
use axum::middleware;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// How the server behaves.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Address and port; port 0 is any free one.
    pub listen: String,
    /// With what TLS proves who this is; none: no TLS.
    pub tls: Option<TlsFiles>,
    /// Who may; none: everybody who reaches the address, which must then be of this machine.
    pub users: Vec<User>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9200".to_owned(), tls: None, users: Vec::new() }
    }
}

/// The files of a certificate, both PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, and those between it and its root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Somebody who may use the API.
#[derive(Clone)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password, which is never shown.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A document to be stored, checked already.
#[derive(Debug, Clone)]
pub struct IngestDoc {
    /// The index.
    pub index: String,
    /// The id.
    pub id: String,
    /// The JSON object, on one line; none removes the document.
    pub source: Option<Vec<u8>>,
    /// Whether a document of this id may be there already.
    pub replaces: bool,
}

/// Why documents were not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngestError {
    /// There is no room now; trying again later helps.
    Busy(String),
    /// This pond has no way to store them.
    Unavailable(String),
}

/// A future that can be sent elsewhere.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The way into the queue before the store. Called once for each request that writes, after
/// every document of it was checked against the mapping; not being answered holds the
/// request, and `Busy` tells the client to come again.
pub trait Ingest: Send + Sync {
    /// Appends documents, in order; done when the disk has them. Returns the sequence of the
    /// first.
    fn append(&self, docs: Vec<IngestDoc>) -> Boxed<Result<u64, IngestError>>;

    /// Done when everything appended before was given to the store.
    fn settle(&self) -> Boxed<()>;
}

/// Whether an event that passes is wanted.
pub type Select = Box<dyn Fn(&dyn expr::Look) -> bool + Send + Sync>;

/// What is asked of a tap.
pub struct TapAsk {
    /// Points by their names; none: all outputs.
    pub points: Vec<String>,
    /// What outputs refused, in place of what they are given.
    pub refused: bool,
    /// Which events; none: all.
    pub select: Option<Select>,
    /// Events per second at most.
    pub rate: u32,
}

/// Events as they pass, until it is dropped.
pub trait TapStream: Send {
    /// The next event, as one line of JSON.
    fn poll_next(&mut self, task: &mut std::task::Context<'_>) -> std::task::Poll<Option<String>>;
    /// How many events were wanted so far, and how many of them were left out.
    fn counts(&self) -> (u64, u64);
    /// Whether nothing will come any more, since the pond ends.
    fn is_over(&self) -> bool;
}

/// Which dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LettersAsk {
    /// Those of this output.
    pub output: Option<String>,
    /// A condition over the letter.
    pub condition: Option<String>,
    /// From this number on.
    pub from: u64,
    /// Before this number; none: all that there are now.
    pub to: Option<u64>,
    /// How many at most, the oldest first.
    pub limit: Option<u64>,
}

/// Hears how far something is, and says whether to go on.
pub type Told<'t> = &'t mut dyn FnMut(serde_json::Value) -> bool;

/// What the pond says of itself, and what it can be asked to do. Called once per request; what
/// concerns dead letters may wait for the disk, and is called on threads that may.
pub trait Status: Send + Sync {
    /// Prometheus' text format.
    fn metrics(&self) -> String;
    /// What became of every event.
    fn ledger(&self) -> serde_json::Value;
    /// How all parts stand.
    fn stats(&self) -> serde_json::Value;
    /// The points that can be tapped.
    fn points(&self) -> serde_json::Value;
    /// Takes up the changed config, and returns how that went; waits for it.
    fn reload(&self) -> Result<serde_json::Value, EsError>;
    /// Opens a tap.
    fn tap(&self, ask: TapAsk) -> Result<Box<dyn TapStream>, EsError>;
    /// Whether this can be asked of the letters: the condition is one.
    fn check_letters(&self, ask: &LettersAsk) -> Result<(), EsError>;
    /// Some letters, and the number from which the next are.
    fn letters(&self, ask: &LettersAsk) -> Result<Box<serde_json::value::RawValue>, EsError>;
    /// How many letters there are, by output and reason.
    fn letter_counts(&self, ask: &LettersAsk) -> Result<serde_json::Value, EsError>;
    /// Sends letters to their outputs again, and returns how that went.
    fn replay(&self, ask: &LettersAsk, told: Told<'_>) -> Result<serde_json::Value, EsError>;
    /// Removes letters, and returns how many.
    fn drop_letters(&self, ask: &LettersAsk, told: Told<'_>) -> Result<serde_json::Value, EsError>;
}

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be used.
    #[error("cannot listen on {0}: {1}; choose another with --listen 127.0.0.1:PORT")]
    Listen(String, std::io::Error),
    /// Anybody could reach the address.
    #[error(
        "{0} can be reached from other machines, and the API has {1}: set both a certificate (tls: cert and key) and at least one user, or listen on 127.0.0.1"
    )]
    Open(String, &'static str),
    /// Every port of a range is taken.
    #[error("cannot listen on {0}: {what} taken; give another port, or a range such as 9600-9700", what = if *.1 { "every port is" } else { "the port is" })]
    Ports(String, bool),
    /// The certificate or its key cannot be used.
    #[error("the certificate of the API: {0}")]
    Tls(String),
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    /// Where it listens, with the port that was given.
    pub address: String,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

/// The routes with their guard, for who brings a listener of their own.
pub fn router(
    options: &ServerOptions,
    store: Arc<Store>,
    ingest: Option<Arc<dyn Ingest>>,
    status: Arc<dyn Status>,
) -> Router {
    guarded(options, es::routes(store, ingest, status))
}

/// Routes for those alone who may use them.
pub(crate) fn guarded(options: &ServerOptions, routes: Router) -> Router {
    let guard = Arc::new(Guard::new(options.users.clone(), options.tls.is_some()));
    routes.layer(middleware::from_fn_with_state(guard, guard::check))
}

impl Server {
    /// Listens and answers, until [`stop`](Self::stop). Refuses an address that other
    /// machines reach, unless there are TLS and users.
    pub async fn start(
        options: &ServerOptions,
        store: Arc<Store>,
        ingest: Option<Arc<dyn Ingest>>,
        status: Arc<dyn Status>,
    ) -> Result<Self, ServerError> {
        Self::listen(options, router(options, store, ingest, status)).await
    }

    /// Listens and answers with these routes, unless anybody could reach the address.
    pub(crate) async fn listen(options: &ServerOptions, router: Router) -> Result<Self, ServerError> {
        let listen = &options.listen;
        let wrong = |error| ServerError::Listen(listen.clone(), error);
        let acceptor = options.tls.as_ref().map(tls::acceptor).transpose()?;
        let listener = TcpListener::bind(listen).await.map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        if !address.ip().is_loopback() {
            let lacks = match (&options.tls, options.users.is_empty()) {
                (Some(_), false) => None,
                (Some(_), true) => Some("TLS but no users"),
                (None, false) => Some("users but no TLS"),
                (None, true) => Some("neither TLS nor users"),
            };
            if let Some(lacks) = lacks {
                return Err(ServerError::Open(address.to_string(), lacks));
            }
        }
        Ok(Self::serve(listener, acceptor, address, router))
    }

    /// Answers at a socket that listens.
    pub(crate) fn serve(
        listener: TcpListener,
        acceptor: Option<TlsAcceptor>,
        address: SocketAddr,
        router: Router,
    ) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let stopping = async move {
            // Whoever lets go of the sender has let go of the server.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let task = tokio::spawn(async move {
            let ended = match acceptor {
                None => axum::serve(listener, router).with_graceful_shutdown(stopping).await,
                Some(acceptor) => {
                    let listener = tls::TlsListener::new(listener, acceptor, address);
                    axum::serve(listener, router).with_graceful_shutdown(stopping).await
                }
            };
            if let Err(error) = ended {
                tracing::error!(%error, "the API ended");
            }
        });
        Self { address: address.to_string(), stop, task }
    }

    /// Takes no more requests, waits two seconds at most for those that run, and ends.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        if tokio::time::timeout(Duration::from_secs(2), &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}
