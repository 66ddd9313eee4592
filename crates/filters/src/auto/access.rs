//! Access logs in the common and the combined format.

use super::times;
use event::{Event, New, Path, Span};

pub(super) struct Paths {
    remote_addr: Path,
    user: Path,
    method: Path,
    path: Path,
    protocol: Path,
    status: Path,
    bytes: Path,
    referrer: Path,
    user_agent: Path,
}

impl Paths {
    pub(super) fn new() -> Self {
        let one = |name: &str| Path::of([name]);
        Self {
            remote_addr: one("remote_addr"),
            user: one("user"),
            method: one("method"),
            path: one("path"),
            protocol: one("protocol"),
            status: one("status"),
            bytes: one("bytes"),
            referrer: one("referrer"),
            user_agent: one("user_agent"),
        }
    }
}

/// Reads a line; says whether it was one.
pub(super) fn read(event: &mut Event<'_>, line: Span, paths: &Paths) -> bool {
    let Some(found) = scan(event.bytes(line)) else { return false };
    event.set_time(found.time);
    // An event has room for nine fields.
    let mut set = |path: &Path, range: Option<(usize, usize)>| {
        if let Some((from, to)) = range {
            let _ = event.set(path, New::Span(line.within(from, to)));
        }
    };
    set(&paths.remote_addr, Some(found.remote_addr));
    set(&paths.user, found.user);
    set(&paths.method, found.method);
    set(&paths.path, found.path);
    set(&paths.protocol, found.protocol);
    set(&paths.referrer, found.referrer);
    set(&paths.user_agent, found.user_agent);
    let _ = event.set(&paths.status, New::Int(found.status));
    if let Some(bytes) = found.bytes {
        let _ = event.set(&paths.bytes, New::Int(bytes));
    }
    true
}

type Range = (usize, usize);

struct Found {
    time: i64,
    remote_addr: Range,
    user: Option<Range>,
    method: Option<Range>,
    path: Option<Range>,
    protocol: Option<Range>,
    status: i64,
    bytes: Option<i64>,
    referrer: Option<Range>,
    user_agent: Option<Range>,
}

/// `addr ident user [time] "request" status bytes "referrer" "agent"`, the last two or not.
fn scan(text: &[u8]) -> Option<Found> {
    let word = |from: usize| memchr::memchr(b' ', &text[from..]).map(|n| (from, from + n));
    let remote_addr = word(0)?;
    let ident = word(remote_addr.1 + 1)?;
    // A blank and a bracket; looking for the bracket alone needs no table.
    let mut open = ident.1;
    loop {
        open += memchr::memchr(b'[', &text[open..])?;
        if open > ident.1 && text[open - 1] == b' ' {
            open -= 1;
            break;
        }
        open += 1;
    }
    let user = (ident.1 + 1, open);
    if user.0 > user.1 {
        return None;
    }
    let close = open + memchr::memchr(b']', &text[open..])?;
    let time = times::clf(&text[open + 2..close])?;
    if text.get(close..close + 3)? != b"] \"" {
        return None;
    }
    let request_from = close + 3;
    let request_to = closing_quote(text, request_from)?;
    let rest = text.get(request_to + 2..)?;
    let status = std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()?;
    let rest = rest.get(3..)?;
    let bytes_text = rest.strip_prefix(b" ")?;
    let bytes_len = memchr::memchr(b' ', bytes_text).unwrap_or(bytes_text.len());
    let bytes = match &bytes_text[..bytes_len] {
        b"-" => None,
        digits => Some(std::str::from_utf8(digits).ok()?.parse().ok()?),
    };
    let mut found = Found {
        time,
        remote_addr,
        user: some(text, user),
        method: None,
        path: None,
        protocol: None,
        status,
        bytes,
        referrer: None,
        user_agent: None,
    };
    let request = &text[request_from..request_to];
    if let (Some(first), Some(last)) = (memchr::memchr(b' ', request), memchr::memrchr(b' ', request)) {
        found.method = Some((request_from, request_from + first));
        if last > first {
            found.path = Some((request_from + first + 1, request_from + last));
            found.protocol = Some((request_from + last + 1, request_to));
        } else {
            found.path = Some((request_from + first + 1, request_to));
        }
    }
    let mut at = text.len() - bytes_text.len() + bytes_len;
    for slot in [&mut found.referrer, &mut found.user_agent] {
        if text.get(at..at + 2) != Some(b" \"") {
            break;
        }
        let end = closing_quote(text, at + 2)?;
        *slot = some(text, (at + 2, end));
        at = end + 1;
    }
    Some(found)
}

/// The range, unless it holds `-`.
fn some(text: &[u8], range: Range) -> Option<Range> {
    (&text[range.0..range.1] != b"-" && range.0 < range.1).then_some(range)
}

fn closing_quote(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}
