//! A small client for the API of the running pond.

use crate::Failure;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::fmt;

/// Asks the pond at `address` and returns its answer; `http://` before it may be left out.
pub(crate) fn ask(address: &str, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
    let address = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ask_async(address, method, path, body))
}

async fn ask_async(address: &str, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
    let stream = tokio::net::TcpStream::connect(address)
        .await
        .map_err(|error| NoPond { address: address.to_owned(), error })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let bytes = response.into_body().collect().await?.to_bytes();
    driver.abort();
    let answer: Value = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    if !status.is_success() {
        let reason = answer["error"]["reason"].as_str().map_or_else(|| answer.to_string(), str::to_owned);
        return Err(format!("the pond answers {status}: {reason}").into());
    }
    Ok(answer)
}

#[derive(Debug)]
struct NoPond {
    address: String,
    error: std::io::Error,
}

impl fmt::Display for NoPond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no pond answers at {} ({}); start one with \"logpond up FILE\", or name its address with --at",
            self.address, self.error
        )
    }
}
impl std::error::Error for NoPond {}
