//! A blocking HTTP client: one request, one connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status line and the headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// Sends a request to `HOST:PORT` and reads the answer to its end.
pub(crate) fn request(
    address: &str,
    method: &str,
    path: &str,
    content_type: &str,
    body: &str,
    patience: Duration,
) -> io::Result<Answer> {
    exchange(address, method, path, &[("content-type", content_type)], body, patience)
}

/// As [`request`], with any headers.
pub(crate) fn exchange(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
    patience: Duration,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience))?;
    let length = body.len();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}",
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if method == "HEAD" {
        // Its length is that of a body which is not sent.
        let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        answer = head.replace("content-length:", "x-length:").into_bytes();
    }
    let shown = || io::Error::other(format!("not an HTTP answer: {:?}", String::from_utf8_lossy(&answer)));
    parse(&answer).ok_or_else(shown)
}

/// `None` for what is not a whole answer, as when the server ended meanwhile.
fn parse(answer: &[u8]) -> Option<Answer> {
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..at]).to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = &answer[at + 4..];
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let body = match length {
        _ if head.contains("transfer-encoding: chunked") => unchunk(body)?,
        Some(length) => body.get(..length)?.to_vec(),
        None => body.to_vec(),
    };
    Some(Answer { status, head, body })
}

/// RFC 9112, section 7.1, without extensions and trailers.
fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let at = body.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(str::from_utf8(&body[..at]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(out);
        }
        let (chunk, rest) = body[at + 2..].split_at_checked(size)?;
        out.extend_from_slice(chunk);
        body = rest.strip_prefix(b"\r\n")?;
    }
}

#[test]
fn answers_are_read_whole_or_not_at_all() {
    #[track_caller]
    fn check(answer: &str, wanted: Option<(u16, &str)>) {
        let found = parse(answer.as_bytes()).map(|answer| (answer.status, answer.body));
        assert_eq!(found, wanted.map(|(status, body)| (status, body.as_bytes().to_vec())));
    }
    check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", Some((200, "hi")));
    check("HTTP/1.1 404 Not Found\r\n\r\n", Some((404, "")));
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nA\r\n0123456789\r\n0\r\n\r\n";
    check(chunked, Some((200, "ab0123456789")));
    for cut in 1..chunked.len() - "\r\n\r\n0".len() {
        let found = parse(&chunked.as_bytes()[..cut]);
        assert!(found.is_none(), "{cut} bytes: {found:?}");
    }
    check("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi", None);
    check("", None);
    check("HTTP/1.1 OK\r\n\r\n", None);
}
