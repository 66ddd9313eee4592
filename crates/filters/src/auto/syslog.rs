//! Syslog lines: RFC 3164 and 5424, with a priority or without, and with ISO times.

use super::times;
use event::time::parse_iso_prefix;
use event::{Event, New, Path, Span};

pub(super) struct Paths {
    message: Path,
    level: Path,
    hostname: Path,
    name: Path,
    pid: Path,
}

impl Paths {
    pub(super) fn new() -> Self {
        Self {
            message: Path::of(["message"]),
            level: Path::of(["level"]),
            hostname: Path::of(["host", "hostname"]),
            name: Path::of(["process", "name"]),
            pid: Path::of(["process", "pid"]),
        }
    }
}

const LEVELS: [&str; 8] = ["emergency", "alert", "critical", "error", "warn", "notice", "info", "debug"];

struct Found<'t> {
    time: Option<i64>,
    hostname: &'t [u8],
    name: &'t [u8],
    pid: Option<i64>,
    message: &'t [u8],
}

/// Reads a line; says whether it was one.
pub(super) fn read(event: &mut Event<'_>, line: Span, now: i64, paths: &Paths) -> bool {
    let text = event.bytes(line);
    let (priority, rest) = match priority(text) {
        Some((priority, rest)) => (Some(priority), rest),
        None => (None, text),
    };
    let found = match rest.strip_prefix(b"1 ").filter(|_| priority.is_some()).and_then(rfc5424) {
        Some(found) => Some(found),
        None => rfc3164(rest, now),
    };
    let Some(found) = found else { return false };
    let place = |part: &[u8]| {
        let from = part.as_ptr() as usize - text.as_ptr() as usize;
        line.within(from, from + part.len())
    };
    let (hostname, name, message) = (place(found.hostname), place(found.name), place(found.message));
    let (time, pid) = (found.time, found.pid);
    if let Some(time) = time {
        event.set_time(time);
    }
    // An event has room for a handful of fields.
    if let Some(priority) = priority {
        let _ = event.set(&paths.level, New::from(LEVELS[priority as usize % 8]));
    }
    if !hostname.is_empty() {
        let _ = event.set(&paths.hostname, New::Span(hostname));
    }
    if !name.is_empty() {
        let _ = event.set(&paths.name, New::Span(name));
    }
    if let Some(pid) = pid {
        let _ = event.set(&paths.pid, New::Int(pid));
    }
    let _ = event.set(&paths.message, New::Span(message));
    true
}

fn priority(text: &[u8]) -> Option<(u8, &[u8])> {
    let rest = text.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|byte| *byte == b'>')?;
    let number: u8 = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    (number < 192).then_some((number, &rest[end + 1..]))
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', text)?;
    Some((&text[..end], &text[end + 1..]))
}

/// `Nov 21 02:45:04 host name[pid]: message`, or with an ISO time.
fn rfc3164(text: &[u8], now: i64) -> Option<Found<'_>> {
    let (time, rest) = match text.first()? {
        b'0'..=b'9' => parse_iso_prefix(text).filter(|_| text.get(10) == Some(&b'T'))?,
        _ => times::bsd(text, now)?,
    };
    let (hostname, rest) = word(rest.strip_prefix(b" ")?)?;
    let colon = memchr::memmem::find(rest, b": ").or_else(|| rest.ends_with(b":").then(|| rest.len() - 1))?;
    let tag = &rest[..colon];
    let plain = |name: &[u8]| {
        !name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic() && !b"[]=\"".contains(byte))
    };
    let (name, pid) = match tag.strip_suffix(b"]").and_then(|tag| Some((tag, memchr::memrchr(b'[', tag)?))) {
        Some((tag, open)) => (&tag[..open], Some(std::str::from_utf8(&tag[open + 1..]).ok()?.parse().ok()?)),
        None => (tag, None),
    };
    if !plain(name) || !plain(hostname) || tag.len() > 64 {
        return None;
    }
    let message = rest.get(colon + 2..).unwrap_or(&rest[rest.len()..]);
    Some(Found { time: Some(time), hostname, name, pid, message })
}

/// Behind the version: `time host app procid msgid [data] message`; `-` stands for nothing.
fn rfc5424(text: &[u8]) -> Option<Found<'_>> {
    let (time, rest) = word(text)?;
    let (hostname, rest) = word(rest)?;
    let (name, rest) = word(rest)?;
    let (pid, rest) = word(rest)?;
    let (_, rest) = word(rest)?;
    let time = match time {
        b"-" => None,
        time => Some(event::time::parse_rfc3339(time)?),
    };
    let message = match rest.strip_prefix(b"-") {
        Some(rest) => rest,
        None => behind_data(rest)?,
    };
    let message = message.strip_prefix(b" ").unwrap_or(message);
    let message = message.strip_prefix("\u{feff}".as_bytes()).unwrap_or(message);
    let given = |text: &'static [u8], own: &[u8]| own == text;
    let or_empty = |own: &'_ [u8]| given(b"-", own);
    Some(Found {
        time,
        hostname: if or_empty(hostname) { &hostname[..0] } else { hostname },
        name: if or_empty(name) { &name[..0] } else { name },
        pid: std::str::from_utf8(pid).ok().and_then(|pid| pid.parse().ok()),
        message,
    })
}

/// What stands behind `[id a="b"][id2 …]`.
fn behind_data(mut text: &[u8]) -> Option<&[u8]> {
    if text.first() != Some(&b'[') {
        return None;
    }
    while text.first() == Some(&b'[') {
        let mut quoted = false;
        let mut at = 1;
        loop {
            match text.get(at)? {
                b'\\' if quoted => at += 1,
                b'"' => quoted = !quoted,
                b']' if !quoted => break,
                _ => {}
            }
            at += 1;
        }
        text = &text[at + 1..];
    }
    Some(text)
}
