//! Filter `auto`: recognises common formats of log lines by itself.
//!
//! JSON objects, Apache's and nginx's access logs, syslog as files have it (RFC 3164, 5424 and
//! with ISO times), CRI, docker's JSON files, logfmt, and else plain text with a leading time
//! if there is one. What a line gives is named the same whatever its format was: `@timestamp`,
//! `message`, `level` in lower case; of access logs `remote_addr`, `user`, `method`, `path`,
//! `protocol`, `status`, `bytes`, `referrer`, `user_agent`; of syslog `process.name`,
//! `process.pid`, `host.hostname`. A line that fits nothing stays as it is.

mod access;
mod syslog;
mod times;

use crate::Outcome;
use crate::kv;
use event::{Event, New, Path, Span, Value, time};
use serde::{Deserialize, Serialize};

/// Options of the filter `auto`: none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// The filter.
pub struct Auto {
    paths: Paths,
    pairs: Vec<(Span, Span, bool)>,
}

pub(crate) struct Paths {
    message: Path,
    level: Path,
    log: Path,
    stream: Path,
    times: [Path; 4],
    levels: [Path; 4],
    messages: [Path; 3],
    access: access::Paths,
    syslog: syslog::Paths,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Auto {
        let one = |name: &str| Path::of([name]);
        Auto {
            paths: Paths {
                message: one("message"),
                level: one("level"),
                log: one("log"),
                stream: one("stream"),
                times: ["timestamp", "time", "ts", "date"].map(one),
                levels: ["severity", "lvl", "loglevel", "log_level"].map(one),
                messages: ["msg", "log", "text"].map(one),
                access: access::Paths::new(),
                syslog: syslog::Paths::new(),
            },
            pairs: Vec::new(),
        }
    }
}

/// A line of logfmt has at least so many pairs.
const PAIRS_MIN: usize = 2;

impl Auto {
    /// Applies it. It never fails: what is not recognised is plain text.
    pub fn apply(&mut self, event: &mut Event<'_>, now: i64) -> Outcome {
        let Some(line) = event.text(&self.paths.message) else { return Outcome::OK };
        self.line(event, line, now, 0);
        Outcome::OK
    }

    fn line(&mut self, event: &mut Event<'_>, line: Span, now: i64, depth: usize) {
        let text = event.bytes(line);
        match (text.first().copied(), text.last().copied()) {
            (Some(b'{'), Some(b'}')) if self.json(event, line, now, depth) => return,
            (Some(b'<'), _) if syslog::read(event, line, now, &self.paths.syslog) => return,
            (None, _) => return,
            _ => {}
        }
        if depth == 0 && self.cri(event, line, now) {
            return;
        }
        if access::read(event, line, &self.paths.access) || syslog::read(event, line, now, &self.paths.syslog)
        {
            return;
        }
        if !self.logfmt(event, line) {
            self.plain(event, line, now);
        }
    }

    fn json(&mut self, event: &mut Event<'_>, line: Span, now: i64, depth: usize) -> bool {
        // Docker: {"log":"…\n","stream":"stdout","time":"…"}: the line is inside.
        if depth == 0 && event.bytes(line).starts_with(b"{\"log\":") {
            if event.merge_json(line).is_err() {
                return false;
            }
            self.json_time(event);
            if event.exists(&self.paths.stream)
                && let Some(inner) = event.text(&self.paths.log)
            {
                let inner = trimmed(event, inner);
                event.remove(&self.paths.log);
                let _ = event.set(&self.paths.message, New::Span(inner));
                self.line(event, inner, now, depth + 1);
            }
            return true;
        }
        if event.merge_json(line).is_err() {
            return false;
        }
        self.json_time(event);
        // What the object calls otherwise gets the common name; its own text stays when it has none.
        if event.text(&self.paths.message) == Some(line) {
            let found =
                self.paths.messages.iter().find(|path| matches!(event.get(path), Some(Value::Str(_))));
            if let Some(path) = found {
                let _ = event.rename(path, &self.paths.message);
            }
        }
        for path in &self.paths.levels {
            if event.exists(&self.paths.level) {
                break;
            }
            if let Some(text) = event.text(path) {
                let _ = event.set(&self.paths.level, New::Span(text));
            }
        }
        self.lower_level(event);
        true
    }

    fn json_time(&self, event: &mut Event<'_>) {
        for path in &self.paths.times {
            let ns = match event.get(path) {
                Some(Value::Str(text)) => time::parse_rfc3339(&text),
                Some(Value::Int(number)) => epoch(number as f64),
                Some(Value::Float(number)) => epoch(number),
                _ => None,
            };
            if let Some(ns) = ns {
                event.set_time(ns);
                return;
            }
        }
    }

    fn lower_level(&self, event: &mut Event<'_>) {
        if let Some(text) = event.text(&self.paths.level)
            && let Some(level) = level_of(event.bytes(text))
        {
            let _ = event.set(&self.paths.level, New::from(level));
        }
    }

    /// CRI: `2026-11-21T02:45:04.123456789Z stdout F line`.
    fn cri(&mut self, event: &mut Event<'_>, line: Span, now: i64) -> bool {
        let text = event.bytes(line);
        let Some((ns, rest)) = time::parse_iso_prefix(text) else { return false };
        let stream = match rest {
            [b' ', b's', b't', b'd', b'o', b'u', b't', b' ', b'F' | b'P', b' ', ..] => "stdout",
            [b' ', b's', b't', b'd', b'e', b'r', b'r', b' ', b'F' | b'P', b' ', ..] => "stderr",
            _ => return false,
        };
        let inner = line.within(text.len() - rest.len() + 10, text.len());
        event.set_time(ns);
        let _ = event.set(&self.paths.stream, New::from(stream));
        let _ = event.set(&self.paths.message, New::Span(inner));
        self.line(event, inner, now, 1);
        true
    }

    fn logfmt(&mut self, event: &mut Event<'_>, line: Span) -> bool {
        let text = event.bytes(line);
        let first_word = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
        if memchr::memchr(b'=', &text[..first_word]).is_none() {
            return false;
        }
        self.pairs.clear();
        kv::pairs(text, b" ", b'=', &mut self.pairs);
        let plain_key = |key: &Span| {
            text[key.from as usize..key.to as usize]
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-@".contains(byte))
        };
        if self.pairs.len() < PAIRS_MIN || !self.pairs.iter().all(|(key, ..)| plain_key(key)) {
            return false;
        }
        for (key, value, escaped) in &self.pairs {
            let name = String::from_utf8_lossy(event.bytes(line.within(key.from as usize, key.to as usize)))
                .into_owned();
            let value = line.within(value.from as usize, value.to as usize);
            let path = match name.as_str() {
                "msg" => self.paths.message.clone(),
                "lvl" | "severity" => self.paths.level.clone(),
                _ => Path::of([name.as_str()]),
            };
            if !escaped && let Some(number) = number(event.bytes(value)) {
                let _ = event.set(&path, number);
            } else {
                kv::set_value(event, &path, value, *escaped);
            }
        }
        self.json_time(event);
        self.lower_level(event);
        true
    }

    /// A leading time, and a level among the first words.
    fn plain(&self, event: &mut Event<'_>, line: Span, now: i64) {
        let text = event.bytes(line);
        let inner = text.strip_prefix(b"[").unwrap_or(text);
        let (ns, rest) = match times::leading(inner, now) {
            Some((ns, rest)) => (Some(ns), rest),
            None => (None, text),
        };
        let level = level_in(rest);
        if let Some(ns) = ns {
            event.set_time(ns);
        }
        if let Some(level) = level {
            let _ = event.set(&self.paths.level, New::from(level));
        }
    }
}

fn trimmed(event: &Event<'_>, line: Span) -> Span {
    let text = event.bytes(line);
    let end = text.iter().rposition(|byte| *byte != b'\n' && *byte != b'\r').map_or(0, |at| at + 1);
    line.within(0, end)
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told by their size.
fn epoch(number: f64) -> Option<i64> {
    let scale = match number {
        n if n < 1e8 => return None,
        n if n < 1e11 => 1e9,
        n if n < 1e14 => 1e6,
        n if n < 1e17 => 1e3,
        n if n < 9.2e18 => 1.0,
        _ => return None,
    };
    Some((number * scale) as i64)
}

/// A whole number or a fraction, as logfmt writes them.
fn number(text: &[u8]) -> Option<New<'static>> {
    if !text.first()?.is_ascii_digit() && text.first() != Some(&b'-') || text.len() > 18 {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(number) = text.parse::<i64>() {
        return Some(New::Int(number));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-') {
        return None;
    }
    text.parse().ok().map(New::Float)
}

const LEVELS: [(&[u8], &str); 16] = [
    (b"error", "error"),
    (b"err", "error"),
    (b"warning", "warn"),
    (b"warn", "warn"),
    (b"info", "info"),
    (b"information", "info"),
    (b"notice", "notice"),
    (b"debug", "debug"),
    (b"trace", "trace"),
    (b"fatal", "fatal"),
    (b"critical", "critical"),
    (b"crit", "critical"),
    (b"alert", "alert"),
    (b"emerg", "emergency"),
    (b"emergency", "emergency"),
    (b"panic", "fatal"),
];

/// The common name of a level.
pub(crate) fn level_of(word: &[u8]) -> Option<&'static str> {
    LEVELS.iter().find(|(own, _)| word.eq_ignore_ascii_case(own)).map(|(_, level)| *level)
}

/// A level among the first words: `ERROR`, `[error]`, `warn:`.
fn level_in(text: &[u8]) -> Option<&'static str> {
    let text = &text[..text.len().min(80)];
    let words = text.split(|byte| !byte.is_ascii_alphabetic()).filter(|word| !word.is_empty()).take(4);
    words
        .filter(|word| {
            let at = word.as_ptr() as usize - text.as_ptr() as usize;
            let before = at.checked_sub(1).map(|at| text[at]);
            let marked = matches!(before, Some(b'[' | b'<' | b'|'))
                || matches!(text.get(at + word.len()), Some(b':' | b']' | b'|'));
            marked || word.iter().all(u8::is_ascii_uppercase)
        })
        .find_map(level_of)
}

#[cfg(test)]
mod tests {
    use crate::testing::apply_timed;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(line: &str, time: &str, expected: Value) {
        let (value, _, found) = apply_timed(r#"{"auto":{}}"#, &json!({ "message": line }).to_string());
        let mut expected = expected;
        if expected.get("message").is_none() {
            expected["message"] = json!(line);
        }
        assert_eq!(value, expected);
        assert_eq!(found, time, "{line}");
    }

    const ZERO: &str = "1970-01-01T00:00:00.000Z";

    #[test]
    fn formats() {
        check(
            "10.0.0.1 - bob [21/Nov/2026:02:45:04 +0100] \"GET /a?b=1 HTTP/1.1\" 503 1234 \"http://x/\" \"curl/8\"",
            "2026-11-21T01:45:04.000Z",
            json!({"remote_addr": "10.0.0.1", "user": "bob", "method": "GET", "path": "/a?b=1", "protocol": "HTTP/1.1",
                "status": 503, "bytes": 1234, "referrer": "http://x/", "user_agent": "curl/8"}),
        );
        check(
            "::1 - - [21/Nov/2026:02:45:04 +0000] \"-\" 408 -",
            "2026-11-21T02:45:04.000Z",
            json!({"remote_addr": "::1", "status": 408}),
        );
        check(
            "{\"time\":\"2026-11-21T02:45:04Z\",\"level\":\"WARN\",\"msg\":\"hi\",\"n\":1}",
            "2026-11-21T02:45:04.000Z",
            json!({"time": "2026-11-21T02:45:04Z", "level": "warn", "message": "hi", "n": 1}),
        );
        check(
            "{\"ts\":1795000000.5,\"severity\":\"error\"}",
            "2026-11-18T11:06:40.500Z",
            json!({"ts": 1795000000.5, "severity": "error", "level": "error"}),
        );
        check(
            "<34>Nov 21 02:45:04 web1 sshd[123]: failed login",
            "2026-11-21T02:45:04.000Z",
            json!({"message": "failed login", "level": "critical", "host": {"hostname": "web1"}, "process": {"name": "sshd", "pid": 123}}),
        );
        check(
            "2026-11-21T02:45:04.5+01:00 web1 kernel: up",
            "2026-11-21T01:45:04.500Z",
            json!({"message": "up", "host": {"hostname": "web1"}, "process": {"name": "kernel"}}),
        );
        check(
            "<165>1 2026-11-21T02:45:04Z web1 app 77 ID47 [x@1 a=\"b\"] said",
            "2026-11-21T02:45:04.000Z",
            json!({"message": "said", "level": "notice", "host": {"hostname": "web1"}, "process": {"name": "app", "pid": 77}}),
        );
        check(
            "2026-11-21T02:45:04.123456789Z stdout F level=info msg=\"all good\" n=5 t=1.5",
            "2026-11-21T02:45:04.123456789Z",
            json!({"stream": "stdout", "level": "info", "message": "all good", "n": 5, "t": 1.5}),
        );
        check(
            "{\"log\":\"[error] bad\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-21T02:45:04Z\"}",
            "2026-11-21T02:45:04.000Z",
            json!({"stream": "stderr", "time": "2026-11-21T02:45:04Z", "message": "[error] bad", "level": "error"}),
        );
        check(
            "2026-11-21 02:45:04,123 ERROR main: broken",
            "2026-11-21T02:45:04.123Z",
            json!({"level": "error"}),
        );
        check(
            "2026/11/21 02:45:04 [error] 7#7: *1 open() failed",
            "2026-11-21T02:45:04.000Z",
            json!({"level": "error"}),
        );
        check("[2026-11-21T02:45:04Z] warn: low", "2026-11-21T02:45:04.000Z", json!({"level": "warn"}));
        check("just words", ZERO, json!({}));
        check("a = b and c = d", ZERO, json!({}));
        check("", ZERO, json!({}));
        check("{broken", ZERO, json!({}));
    }

    proptest! {
        #[test]
        fn any_line(line in "[ -~\u{e4}\n]{0,80}") {
            apply_timed(r#"{"auto":{}}"#, &json!({ "message": line }).to_string());
        }

        #[test]
        fn damaged_lines(which in 0..6_usize, at in any::<prop::sample::Index>(), to in "[ -~]{0,2}") {
            let line = [
                "10.0.0.1 - bob [21/Nov/2026:02:45:04 +0100] \"GET /a?b=1 HTTP/1.1\" 503 1234 \"http://x/\" \"curl/8\"",
                "<34>Nov 21 02:45:04 web1 sshd[123]: failed login",
                "<165>1 2026-11-21T02:45:04Z web1 app 77 ID47 [x@1 a=\"b\"] said",
                "2026-11-21T02:45:04.123456789Z stdout F level=info msg=\"all good\" n=5",
                "2026-11-21 02:45:04,123 ERROR main: broken",
                "{\"log\":\"[error] bad\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-21T02:45:04Z\"}",
            ][which];
            let at = at.index(line.len());
            let line = format!("{}{to}{}", &line[..at], &line[at + 1..]);
            apply_timed(r#"{"auto":{}}"#, &json!({ "message": line }).to_string());
        }
    }
}
