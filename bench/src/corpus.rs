//! The lines that are measured, always the same for the same seed.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    "curl/8.5.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1)",
    "python-requests/2.31",
];
const METHODS: [&str; 4] = ["GET", "GET", "GET", "POST"];
const STATUSES: [u16; 8] = [200, 200, 200, 200, 200, 304, 404, 500];

/// An access log in Apache's combined format, about 173 bytes a line.
pub(crate) fn access(path: &Path, lines: u64) -> io::Result<()> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for n in 0..lines {
        writeln!(out, "{}", access_line(&mut random, n))?;
    }
    out.flush()
}

/// Line number `n` of an access log.
pub(crate) fn access_line(random: &mut fastrand::Rng, n: u64) -> String {
    let second = n / 1_000;
    format!(
        "192.168.{}.{} - - [21/Nov/2026:{:02}:{:02}:{:02} +0000] \"{} /api/v1/item/{n}?page={} HTTP/1.1\" {} {} \"https://example.com/list\" \"{}\"",
        random.u8(..),
        random.u8(..),
        second / 3600 % 24,
        second / 60 % 60,
        second % 60,
        METHODS[random.usize(..4)],
        random.u16(..1000),
        STATUSES[random.usize(..8)],
        random.u32(100..100_000),
        AGENTS[random.usize(..4)],
    )
}

/// Plain lines of 200 bytes.
pub(crate) fn plain(path: &Path, lines: u64) -> io::Result<()> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for n in 0..lines {
        let mut line =
            format!("2026-11-21T02:45:04.{:03}Z worker-{} request {n} finished ", n % 1000, random.u8(..16));
        while line.len() < 199 {
            line.push((b'a' + random.u8(..26)) as char);
        }
        writeln!(out, "{line}")?;
    }
    out.flush()
}

/// JSON objects with nine fields, about 200 bytes a line.
pub(crate) fn json(path: &Path, lines: u64) -> io::Result<()> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for n in 0..lines {
        writeln!(
            out,
            "{{\"timestamp\":\"2026-11-21T02:45:04.{:03}Z\",\"level\":\"info\",\"logger\":\"http\",\"thread\":{},\"request\":\"/item/{n}\",\"status\":{},\"took_ms\":{},\"user\":\"u{}\",\"message\":\"request finished in good order\"}}",
            n % 1000,
            random.u8(..16),
            STATUSES[random.usize(..8)],
            random.u16(..900),
            random.u16(..),
        )?;
    }
    out.flush()
}

/// Messages as services write them to a topic: JSON with a time of their own, about 280 bytes.
pub(crate) fn message(path: &Path, lines: u64) -> io::Result<()> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for n in 0..lines {
        writeln!(
            out,
            "{{\"time\":\"2026-11-21T02:{:02}:{:02}.{:03}Z\",\"level\":\"info\",\"service\":{{\"name\":\"shop\",\"version\":\"4.17.{}\"}},\"trace_id\":\"{:032x}\",\"path\":\"/api/v1/item/{n}\",\"status\":{},\"took_ms\":{}.{},\"user\":\"u{}\",\"message\":\"the item was put into the basket and the stock was updated\"}}",
            n / 60_000 % 60,
            n / 1_000 % 60,
            n % 1_000,
            random.u8(..9),
            random.u128(..),
            STATUSES[random.usize(..8)],
            random.u16(..900),
            random.u8(..10),
            random.u16(..),
        )?;
    }
    out.flush()
}

/// Lines of containers as Fluent Bit writes them to a topic, about 250 bytes.
pub(crate) fn agent(path: &Path, lines: u64) -> io::Result<()> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for n in 0..lines {
        writeln!(
            out,
            "{{\"@timestamp\":{}.{:06},\"time\":\"2026-11-21T12:00:00.{:09}Z\",\"stream\":\"stdout\",\"_p\":\"F\",\"log\":\"level=info msg=\\\"request {n} finished\\\" status={} took={}ms user=u{}\",\"kubernetes\":{{\"namespace\":\"shop\",\"pod\":\"cart-{}\"}},\"cluster\":\"edge-1\"}}",
            1_795_262_400 + n / 1_000,
            n % 1_000 * 1_000,
            random.u32(..1_000_000_000),
            STATUSES[random.usize(..8)],
            random.u16(..900),
            random.u16(..),
            random.u8(..20),
        )?;
    }
    out.flush()
}
