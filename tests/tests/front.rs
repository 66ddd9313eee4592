//! A proxy that speaks TLS and wants a password, in front of a server that does neither.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// The proxy; its threads end with the process.
pub(crate) struct Front {
    address: String,
    passed: Arc<AtomicU64>,
}

impl Front {
    /// Listens on a free port, and passes on to `HOST:PORT` whatever carries this `authorization`.
    pub(crate) fn start(certificate: &Path, key: &Path, to: &str, authorization: &str) -> Self {
        let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
            .expect("a certificate")
            .collect::<Result<_, _>>()
            .expect("PEM");
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("a pair");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let passed = Arc::new(AtomicU64::new(0));
        let (to, authorization, counter) = (to.to_owned(), authorization.to_owned(), passed.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, to, authorization, counter) =
                    (config.clone(), to.clone(), authorization.clone(), counter.clone());
                // A connection that breaks ends this connection.
                thread::spawn(move || drop(serve(stream, config, &to, &authorization, &counter)));
            }
        });
        Self { address, passed }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// How many requests were passed on.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }
}

/// One request of a connection, and its answer.
fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    to: &str,
    authorization: &str,
    passed: &AtomicU64,
) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    let (mut head, mut length, mut is_allowed) = (String::new(), 0, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
            "authorization" => is_allowed = value.trim() == authorization,
            "connection" => continue,
            _ => {}
        }
        if line == "\r\n" {
            head.push_str("connection: close\r\n\r\n");
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut answer = Vec::new();
    if is_allowed {
        let mut server = TcpStream::connect(to)?;
        server.write_all(head.as_bytes())?;
        server.write_all(&body)?;
        server.read_to_end(&mut answer)?;
        let end = answer.windows(2).position(|window| window == b"\r\n").unwrap_or(0);
        answer.splice(end..end, *b"\r\nconnection: close");
        passed.fetch_add(1, Ordering::SeqCst);
    } else {
        answer.extend_from_slice(
            b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        );
    }
    let mut stream = reader.into_inner();
    stream.write_all(&answer)?;
    stream.conn.send_close_notify();
    stream.flush()
}
