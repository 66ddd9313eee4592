//! The server: where it listens, and who may.

use crate::es;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How the server behaves.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Address and port; port 0 is any free one.
    pub listen: String,
}

/// A document to be stored, checked already.
#[derive(Debug, Clone)]
pub struct IngestDoc {
    /// The index.
    pub index: String,
    /// The id.
    pub id: String,
    /// The JSON object; none removes the document.
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
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The way into the queue before the store.
pub trait Ingest: Send + Sync {
    /// Appends documents, in order; done when the disk has them. Returns the sequence of the
    /// first.
    fn append(&self, docs: Vec<IngestDoc>) -> Boxed<Result<u64, IngestError>>;

    /// Done when everything appended before can be found.
    fn settle(&self) -> Boxed<()>;
}

/// What the pond says of itself.
pub trait Status: Send + Sync {
    /// Prometheus' text format.
    fn metrics(&self) -> String;
    /// What became of every event.
    fn ledger(&self) -> serde_json::Value;
}

/// Why the server does not run.
#[derive(Debug)]
pub enum ServerError {
    /// The address cannot be used.
    Listen(String, std::io::Error),
    /// Anybody could reach the address.
    Open(String),
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ServerError::Listen(address, error) => {
                write!(f, "cannot listen on {address}: {error}; choose another with --listen 127.0.0.1:PORT")
            }
            ServerError::Open(address) => write!(
                f,
                "{address} can be reached from other machines, and the API has neither TLS nor users yet: listen on 127.0.0.1 (a tunnel such as ssh -L brings it elsewhere)"
            ),
        }
    }
}
impl std::error::Error for ServerError {}

/// A server that runs.
pub struct Server {
    /// Where it listens, with the port that was given.
    pub address: String,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Listens and answers, until [`stop`](Self::stop).
    pub async fn start(
        options: &ServerOptions,
        store: Arc<Store>,
        ingest: Option<Arc<dyn Ingest>>,
        status: Arc<dyn Status>,
    ) -> Result<Self, ServerError> {
        let listen = &options.listen;
        let listener =
            TcpListener::bind(listen).await.map_err(|error| ServerError::Listen(listen.clone(), error))?;
        let address = listener.local_addr().map_err(|error| ServerError::Listen(listen.clone(), error))?;
        if !address.ip().is_loopback() {
            return Err(ServerError::Open(address.to_string()));
        }
        let router = es::router(store, ingest, status);
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let service = router.into_make_service_with_connect_info::<SocketAddr>();
            let graceful = axum::serve(listener, service).with_graceful_shutdown(async move {
                let _ = stopped.wait_for(|stopped| *stopped).await;
            });
            if let Err(error) = graceful.await {
                tracing::error!(%error, "the API ended");
            }
        });
        Ok(Self { address: address.to_string(), stop, task })
    }

    /// Takes no more requests and ends, soon.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), self.task).await;
    }
}
