//! A small client for the running pond by the control socket in its data directory.

use crate::Failure;
use crate::signals::Signals;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

/// Asks the pond that runs in a data directory.
pub(crate) fn ask_here(
    data_dir: &Path,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Failure> {
    runtime()?.block_on(async {
        let stream = knock(data_dir).await?;
        read(send(stream, method, path, body).await?).await
    })
}

/// Asks the pond that runs in a data directory, and returns its answer as text.
pub(crate) fn text_here(data_dir: &Path, path: &str) -> Result<String, Failure> {
    runtime()?.block_on(async {
        let stream = knock(data_dir).await?;
        let response = send(stream, "GET", path, None).await?;
        if !response.status().is_success() {
            return Err(read(response).await.err().unwrap_or_else(|| "no answer".into()));
        }
        let bytes = response.into_body().collect().await?.to_bytes();
        Ok(String::from_utf8(bytes.to_vec())?)
    })
}

/// Asks the pond that runs in a data directory for lines of JSON and hands on each, until it
/// sends no more, `each` has enough, or the program is interrupted; then it says so.
pub(crate) fn lines_here(
    data_dir: &Path,
    path: &str,
    body: &Value,
    mut each: impl FnMut(&str) -> Result<bool, Failure>,
) -> Result<Ended, Failure> {
    runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        let stream = knock(data_dir).await?;
        let response = send(stream, "POST", path, Some(body)).await?;
        if !response.status().is_success() {
            return Err(read(response).await.err().unwrap_or_else(|| "no answer".into()));
        }
        let mut body = response.into_body();
        let mut rest: Vec<u8> = Vec::new();
        loop {
            let frame = tokio::select! {
                _ = signals.next() => return Ok(Ended::Interrupted),
                frame = body.frame() => frame,
            };
            let Some(frame) = frame else { return Ok(Ended::Done) };
            // A pond that was killed sends no end; what it said is still true.
            let Ok(frame) = frame else { return Ok(Ended::Broken) };
            let Ok(data) = frame.into_data() else { continue };
            rest.extend_from_slice(&data);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if !each(line.trim_end())? {
                    return Ok(Ended::Done);
                }
            }
        }
    })
}

/// How lines ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// As they should.
    Done,
    /// The pond hung up.
    Broken,
    /// By the signal of somebody who has seen enough.
    Interrupted,
}

/// Whether a pond runs in a data directory and answers.
pub(crate) fn runs_here(data_dir: &Path) -> Result<bool, Failure> {
    match runtime()?.block_on(knock(data_dir)) {
        Ok(_) => Ok(true),
        Err(Refusal::Nothing(_)) => Ok(false),
        Err(refusal) => Err(refusal.into()),
    }
}

/// What an argument looks like in an address.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

async fn knock(data_dir: &Path) -> Result<UnixStream, Refusal> {
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
            Refusal::Nothing(data_dir.to_owned())
        }
        io::ErrorKind::PermissionDenied => Refusal::Others(data_dir.to_owned()),
        _ => Refusal::Other(data_dir.to_owned(), error),
    };
    let (path, _folder) = web::control::socket_path(data_dir).map_err(refused)?;
    UnixStream::connect(path).await.map_err(refused)
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Response<Incoming>, Failure> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))?;
    Ok(sender.send_request(request).await?)
}

async fn read(response: Response<Incoming>) -> Result<Value, Failure> {
    let status = response.status().as_u16();
    whole(status, &response.into_body().collect().await?.to_bytes())
}

/// The answer as JSON, or the reason that it gives.
pub(crate) fn whole(status: u16, bytes: &[u8]) -> Result<Value, Failure> {
    let answer: Value = serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()));
    if !(200..300).contains(&status) {
        let reason = answer["error"]["reason"].as_str().map_or_else(|| answer.to_string(), str::to_owned);
        return Err(format!("the pond answers {status}: {reason}").into());
    }
    Ok(answer)
}

/// Why the pond of a data directory cannot be asked.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// None runs there.
    Nothing(PathBuf),
    /// It is somebody else's.
    Others(PathBuf),
    /// Something else.
    Other(PathBuf, io::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Nothing(dir) => write!(
                f,
                "nothing runs in {}: start it with \"logpond run -c FILE\" or \"logpond up FILE\", or name the folder of the one that runs with --data-dir",
                dir.display()
            ),
            Refusal::Others(dir) => {
                write!(
                    f,
                    "the pond in {} is run by another user: ask as that user, or as root",
                    dir.display()
                )
            }
            Refusal::Other(dir, error) => {
                write!(f, "the pond in {} cannot be asked: {error}", dir.display())
            }
        }
    }
}
impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_runs_in_an_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!runs_here(folder.path()).unwrap());
        assert!(!runs_here(&folder.path().join("none")).unwrap());
        let long = folder.path().join("x".repeat(200));
        std::fs::create_dir(&long).unwrap();
        assert!(!runs_here(&long).unwrap());
        let error = ask_here(folder.path(), "GET", "/", None).unwrap_err().to_string();
        assert!(error.starts_with("nothing runs in") && error.contains("logpond run -c FILE"), "{error}");
    }

    #[test]
    fn arguments_of_addresses() {
        assert_eq!(escaped(".a >= 5 && \"ä\""), ".a%20%3E%3D%205%20%26%26%20%22%C3%A4%22");
    }
}
