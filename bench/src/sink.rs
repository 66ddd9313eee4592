//! A server that takes bulk requests, counts their actions and answers that all is well. It runs
//! in this process, so what it costs is not part of what is measured.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

/// The server; its threads end with the process.
pub(crate) struct Sink {
    address: String,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    lines: AtomicU64,
    /// Whether any body was compressed: those are not looked into.
    is_packed: AtomicBool,
}

impl Sink {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let counts = Arc::new(Counts::default());
        let shared = counts.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counts = shared.clone();
                // A connection ends when its client goes.
                thread::spawn(move || drop(serve(&stream, &counts)));
            }
        });
        Ok(Self { address, counts })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// How many events came; unknown when bodies were compressed.
    pub(crate) fn events(&self) -> Option<u64> {
        let lines = self.counts.lines.load(Relaxed);
        // An action line and a document each.
        (!self.counts.is_packed.load(Relaxed)).then_some(lines / 2)
    }
}

fn serve(stream: &TcpStream, counts: &Counts) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    let mut line = String::new();
    let mut body = Vec::new();
    loop {
        let (mut length, mut is_packed, mut is_bulk) = (0, false, false);
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let lower = line.to_ascii_lowercase();
            is_bulk |= lower.starts_with("post");
            is_packed |= lower.starts_with("content-encoding:");
            if let Some(number) = lower.strip_prefix("content-length:") {
                length = number.trim().parse().map_err(io::Error::other)?;
            }
            if line == "\r\n" {
                break;
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
        if is_packed {
            counts.is_packed.store(true, Relaxed);
        } else {
            counts.lines.fetch_add(memchr::memchr_iter(b'\n', &body).count() as u64, Relaxed);
        }
        let answer = match is_bulk {
            true => r#"{"took":1,"errors":false,"items":[]}"#,
            false => r#"{"version":{"number":"7.10.2"}}"#,
        };
        let mut stream = stream;
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len())?;
    }
}
