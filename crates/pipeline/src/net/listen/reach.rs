//! Servers that are connected to, to read what they say: the other way round, and then the same.

use super::connection::{Closing, Connection, Stream, keep_alive};
use super::{Complaints, HANDSHAKE, Intake, Listening, Serve, intake, runtime};
use crate::net::dial::Server;
use crate::net::tls::{TlsConfig, explain};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

/// Whom to connect to, all of them at once.
pub(crate) struct Reach {
    /// Servers, as `HOST:PORT`.
    pub(crate) hosts: Vec<String>,
    /// TLS, when it is there.
    pub(crate) tls: Option<TlsConfig>,
    /// The pause after a connection ended or failed.
    pub(crate) pause: Duration,
    /// How many bytes of what was received wait to be taken by the pipeline, before nobody reads.
    pub(crate) intake_bytes: usize,
}

impl Reach {
    /// Checks the options without looking at files; an error names the option.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        self.servers()?;
        if self.pause.is_zero() {
            return Err(("reconnect_pause", "more than 0".to_owned()));
        }
        if self.intake_bytes == 0 {
            return Err(("intake_bytes", "more than 0".to_owned()));
        }
        Ok(())
    }

    fn servers(&self) -> Result<Vec<Server>, (&'static str, String)> {
        let one = |text: &String| Server::parse(text, None).map_err(|why| ("hosts", why));
        self.hosts.iter().map(one).collect()
    }

    /// Reads the files of `tls`, and connects to each server from the first [`Listening::next`] on,
    /// again whenever that ends. An error names the option.
    pub(crate) fn start<S: Serve>(
        &self,
        input: &str,
        serve: Arc<S>,
    ) -> Result<Listening<S::Load>, (&'static str, String)> {
        self.check()?;
        let tls = self.tls.as_ref().map(TlsConfig::build).transpose().map_err(|why| ("hosts_tls", why))?;
        let failed = |error: io::Error| ("hosts", error.to_string());
        let runtime = runtime().map_err(failed)?;
        let (intake, collector) = intake::new(self.intake_bytes).map_err(failed)?;
        let (stop, closing) = watch::channel(false);
        let (open, opened) = watch::channel(false);
        let complaints = Arc::new(Complaints::new(input));
        for server in self.servers()? {
            let reaching = Reaching {
                server,
                tls: tls.clone(),
                pause: self.pause,
                intake: intake.clone(),
                opened: opened.clone(),
                closing: Closing(closing.clone()),
                serve: serve.clone(),
                complaints: complaints.clone(),
            };
            runtime.spawn(reaching.run());
        }
        // The last intake goes with the last server, and then the collector knows that it is over.
        drop(intake);
        Ok(Listening {
            runtime: Some(runtime),
            addresses: Vec::new(),
            held: Vec::new(),
            open,
            stop,
            collector,
            complaints,
            close_by: None,
        })
    }
}

/// One server.
struct Reaching<S: Serve> {
    server: Server,
    tls: Option<Arc<ClientConfig>>,
    pause: Duration,
    intake: Intake<S::Load>,
    opened: watch::Receiver<bool>,
    closing: Closing,
    serve: Arc<S>,
    complaints: Arc<Complaints>,
}

impl<S: Serve> Reaching<S> {
    async fn run(mut self) {
        let mut closing = self.closing.clone();
        // Until then an input whose place this one is to take may be connected.
        tokio::select! {
            opened = self.opened.wait_for(|opened| *opened) => drop(opened),
            () = closing.wait() => return,
        }
        while !self.closing.is_set() {
            let entered = tokio::select! {
                entered = self.enter() => entered,
                () = closing.wait() => return,
            };
            match entered {
                Ok(connection) => {
                    let peer = connection.peer;
                    tracing::info!(server = %self.server, "is connected");
                    if let Err(why) = self.serve.clone().serve(connection, self.intake.clone()).await {
                        self.complaints.tell("a connection was closed", Some(peer), &why);
                    }
                }
                Err(why) => self.complaints.tell("no connection", None, &format!("{}: {why}", self.server)),
            }
            tokio::select! {
                () = tokio::time::sleep(self.pause) => {}
                () = self.closing.wait() => return,
            }
        }
    }

    async fn enter(&self) -> Result<Connection, String> {
        let in_time = tokio::time::timeout(HANDSHAKE, self.connect()).await;
        let (stream, peer) = in_time.map_err(|_| "it takes too long".to_owned())??;
        Ok(Connection { stream, peer, proxy: None, closing: self.closing.clone() })
    }

    async fn connect(&self) -> Result<(Stream, SocketAddr), String> {
        let server = self.server.clone();
        let asked = tokio::task::spawn_blocking(move || server.addresses()).await;
        let addresses = asked.map_err(io::Error::other).flatten().map_err(|error| error.to_string())?;
        let stream = TcpStream::connect(addresses.as_slice()).await.map_err(|error| error.to_string())?;
        // Both only help; a socket without them works.
        let _ = stream.set_nodelay(true);
        let _ = keep_alive(&stream);
        let peer = stream.peer_addr().map_err(|error| error.to_string())?;
        let Some(tls) = &self.tls else { return Ok((Stream::Plain(stream), peer)) };
        let name = ServerName::try_from(self.server.host().to_owned()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(tls.clone()).connect(name, stream).await.map_err(|error| {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            inner.map_or_else(|| error.to_string(), explain)
        })?;
        Ok((Stream::Tls(Box::new(stream.into())), peer))
    }
}
