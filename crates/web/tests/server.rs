//! The server on a real socket: who may listen where, TLS and users.

mod pond;

use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use web::{Server, ServerError, ServerOptions, TlsFiles, User};

async fn start(options: ServerOptions) -> Result<(Server, pond::Pond), ServerError> {
    let pond = pond::open();
    let server =
        Server::start(&options, pond.store.clone(), Some(pond.ingest.clone()), Arc::new(pond::Quiet)).await?;
    Ok((server, pond))
}

fn files() -> TlsFiles {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests-data");
    TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem") }
}

fn users() -> Vec<User> {
    vec![User { name: "ann".to_owned(), password: "secret".to_owned() }]
}

async fn ask(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, head: &str) -> String {
    let request = format!("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{head}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that closes without a TLS farewell has still answered.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn plain_on_this_machine() {
    let (server, _pond) =
        start(ServerOptions { listen: "127.0.0.1:0".into(), ..ServerOptions::default() }).await.unwrap();
    let answer = ask(TcpStream::connect(&server.address).await.unwrap(), "").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("You Know, for Search"), "{answer}");
    let address = server.address.clone();
    server.stop().await;
    assert!(TcpStream::connect(&address).await.is_err());
}

#[tokio::test]
async fn other_machines_need_tls_and_users() {
    let all = "0.0.0.0:0".to_owned();
    for (tls, users, lacks) in [
        (None, vec![], "neither TLS nor users"),
        (Some(files()), vec![], "TLS but no users"),
        (None, users(), "users but no TLS"),
    ] {
        let error = start(ServerOptions { listen: all.clone(), tls, users }).await.map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(lacks), "{error}");
    }
    assert!(start(ServerOptions { listen: all, tls: Some(files()), users: users() }).await.is_ok());
    let missing = TlsFiles { cert: "nope.pem".into(), ..files() };
    let error = start(ServerOptions { tls: Some(missing), ..ServerOptions::default() })
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(error.to_string().contains("nope.pem"), "{error}");
}

#[tokio::test]
async fn tls_and_users() {
    use rustls::pki_types::pem::PemObject;
    let options = ServerOptions { listen: "127.0.0.1:0".into(), tls: Some(files()), users: users() };
    let (server, _pond) = start(options).await.unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(files().cert).unwrap()).unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    // One who never shakes hands holds up nobody.
    let _silent = TcpStream::connect(&server.address).await.unwrap();
    let connect = async || {
        let stream = TcpStream::connect(&server.address).await.unwrap();
        connector.connect("localhost".try_into().unwrap(), stream).await.unwrap()
    };
    let answer = ask(connect().await, "").await;
    assert!(
        answer.starts_with("HTTP/1.1 401") && answer.to_lowercase().contains("www-authenticate: basic"),
        "{answer}"
    );
    let answer = ask(connect().await, "authorization: Basic YW5uOnNlY3JldA==\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = ask(connect().await, "authorization: Basic YW5uOndyb25n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    server.stop().await;
}
