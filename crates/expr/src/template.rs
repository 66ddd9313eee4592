//! Templates: `%{field}`, `%{[a][b]}`, `{{ field }}`, `%{+yyyy.MM.dd}`, `%{{yyyy.MM.dd}}` and
//! `%Y.%m.%d`.
//!
//! Logstash's notation (`logstash.rs`) is compiled to the same parts. A template is printed in
//! our own notation, whatever it was written in.

mod logstash;
mod times;

use crate::Look;
use event::{Path, PathError, Value};
use std::fmt;
use times::TimePart;

/// Text with fields and times in it, compiled.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    /// A field; `written` is what stands for it when the event lacks it.
    Field {
        path: Path,
        written: String,
    },
    /// The time of the event; `written` is the reference in our own notation.
    Time {
        parts: Vec<TimePart>,
        written: String,
    },
    /// The time of writing.
    Now,
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The byte at which reading failed.
    pub at: usize,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.at)
    }
}
impl std::error::Error for TemplateError {}

/// A field of a template that the event does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the event has no field {:?}", self.0)
    }
}
impl std::error::Error for Missing {}

fn wrong(at: usize, reason: impl Into<String>) -> TemplateError {
    TemplateError { at, reason: reason.into() }
}

/// `%{{TIME_NOW}}` is the time of writing, as Logstash calls it.
const NOW: &str = "TIME_NOW";

impl Template {
    /// Compiles a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Parts::default();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            at += if let Some(inner) = rest.strip_prefix("%{{") {
                let end = inner.find("}}").ok_or_else(|| wrong(at, "a %{{ without its }}"))?;
                parts.add(java_time(&inner[..end]).map_err(|reason| wrong(at, reason))?);
                end + 5
            } else if let Some(inner) = rest.strip_prefix("%{'") {
                let end = inner.find("'}").ok_or_else(|| wrong(at, "a %{' without its '}"))?;
                parts.text(&inner[..end]);
                end + 5
            } else if let Some(inner) = rest.strip_prefix("%{") {
                let end = inner.find('}').ok_or_else(|| wrong(at, "a %{ without its }"))?;
                parts.add(reference(&inner[..end], &rest[..end + 3], at)?);
                end + 3
            } else if let Some(inner) = rest.strip_prefix("{{") {
                let end = inner.find("}}").ok_or_else(|| wrong(at, "a {{ without its }}"))?;
                parts.add(field(inner[..end].trim(), &rest[..end + 4], at)?);
                end + 4
            } else if rest.starts_with("%%") {
                parts.text("%");
                2
            } else if let Some(pattern) =
                rest.strip_prefix('%').and_then(|rest| strftime(rest.chars().next()?))
            {
                parts.add(joda(pattern, &rest[..2]).map_err(|reason| wrong(at, reason))?);
                2
            } else {
                let len = rest.chars().next().map_or(1, char::len_utf8);
                parts.text(&rest[..len]);
                len
            };
        }
        Ok(parts.template())
    }

    /// Compiles a template in Logstash's notation. References that Logstash would leave as they
    /// are (`%{` without its `}`, no name) are text.
    pub fn parse_logstash(text: &str) -> Result<Self, TemplateError> {
        logstash::parse(text)
    }

    /// Writes the text for an event; `now` is the clock reading of its batch. A missing field
    /// leaves its reference standing, and is told at the end.
    pub fn render(&self, event: &impl Look, now: i64, out: &mut Vec<u8>) -> Result<(), Missing> {
        self.write(event, event.moment(), now, out, write_value)
    }

    /// Like [`render`](Self::render), with another time than the event's.
    pub fn render_at(&self, event: &impl Look, time: i64, out: &mut Vec<u8>) -> Result<(), Missing> {
        self.write(event, time, time, out, write_value)
    }

    /// Like [`render`](Self::render), with the values of fields written by `escape`, which is
    /// given their text: what stands in an event cannot change what the text around it means.
    pub fn render_escaped(
        &self,
        event: &impl Look,
        now: i64,
        out: &mut Vec<u8>,
        mut escape: impl FnMut(&[u8], &mut Vec<u8>),
    ) -> Result<(), Missing> {
        let mut text = Vec::new();
        self.write(event, event.moment(), now, out, |value, out| {
            text.clear();
            write_value(value, &mut text);
            escape(&text, out);
        })
    }

    fn write(
        &self,
        event: &impl Look,
        time: i64,
        now: i64,
        out: &mut Vec<u8>,
        mut value_of: impl FnMut(&Value<'_>, &mut Vec<u8>),
    ) -> Result<(), Missing> {
        let mut missing = None;
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Time { parts, .. } => times::write(parts, time, out),
                Part::Now => event::time::write_rfc3339(now, out),
                Part::Field { path, written } => match event.look(path) {
                    Some(Value::Null) | None => {
                        out.extend_from_slice(written.as_bytes());
                        missing.get_or_insert_with(|| Missing(path.to_string()));
                    }
                    Some(value) => value_of(&value, out),
                },
            }
        }
        missing.map_or(Ok(()), Err)
    }

    /// For how long it is the same text for all events: whose times are within the same that many
    /// nanoseconds since 1970. `None` when it has fields, or the time of writing.
    pub fn period(&self) -> Option<i64> {
        let one = |part: &Part| match part {
            Part::Text(_) => Some(i64::MAX),
            Part::Time { parts, .. } => Some(times::period(parts)),
            Part::Now | Part::Field { .. } => None,
        };
        self.parts.iter().map(one).try_fold(i64::MAX, |shortest, period| Some(shortest.min(period?)))
    }

    /// Whether it is the same text for every event.
    pub fn is_constant(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }
}

/// Our own notation: read again, it is the same template.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => {
                    let mut chars = text.chars().peekable();
                    while let Some(c) = chars.next() {
                        match c {
                            '%' => f.write_str("%%")?,
                            '{' if chars.peek().is_none_or(|next| *next == '{') => f.write_str("%{'{'}")?,
                            c => write!(f, "{c}")?,
                        }
                    }
                }
                Part::Field { path, .. } => {
                    let names: Vec<&str> = path.names().collect();
                    match names.as_slice() {
                        [name] if is_plain(name) => write!(f, "%{{{name}}}")?,
                        names if names.iter().all(|name| is_bracketed(name)) => {
                            f.write_str("%{")?;
                            names.iter().try_for_each(|name| write!(f, "[{name}]"))?;
                            f.write_str("}")?;
                        }
                        _ => write!(f, "%{{{path}}}")?,
                    }
                }
                Part::Time { written, .. } => f.write_str(written)?,
                Part::Now => write!(f, "%{{{{{NOW}}}}}")?,
            }
        }
        Ok(())
    }
}

/// Whether a name means itself as a reference.
fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphanumeric() || "_@".contains(c))
        && !name.contains(['.', '[', ']', '"', '\\', '{', '}'])
}

fn is_bracketed(name: &str) -> bool {
    !name.is_empty() && !name.contains(['[', ']', '{', '}'])
}

/// Objects are written as JSON, and the elements of arrays with commas between them.
fn write_value(value: &Value<'_>, out: &mut Vec<u8>) {
    let Value::Json(text) = value else { return value.write_text(out) };
    if !text.starts_with('[') {
        return value.write_text(out);
    }
    let mut is_first = true;
    let whole = event::json::elements(text, |element| {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        write_value(&element, out);
    });
    debug_assert!(whole.is_ok(), "a value is checked JSON");
}

/// The parts so far; text that follows text is one part.
#[derive(Default)]
struct Parts {
    parts: Vec<Part>,
    plain: String,
}

impl Parts {
    fn text(&mut self, text: &str) {
        self.plain.push_str(text);
    }

    fn add(&mut self, part: Part) {
        self.end_text();
        self.parts.push(part);
    }

    fn end_text(&mut self) {
        if !self.plain.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.plain)));
        }
    }

    fn template(mut self) -> Template {
        self.end_text();
        Template { parts: self.parts }
    }
}

fn field(name: &str, written: &str, at: usize) -> Result<Part, TemplateError> {
    let path = Path::parse(name).map_err(|PathError { at: inner, reason }| wrong(at + inner, reason))?;
    Ok(Part::Field { path, written: written.to_owned() })
}

fn reference(inner: &str, written: &str, at: usize) -> Result<Part, TemplateError> {
    match inner.strip_prefix('+') {
        Some(pattern) => joda(pattern, written).map_err(|reason| wrong(at, reason)),
        None => field(inner, written, at),
    }
}

fn joda(pattern: &str, written: &str) -> Result<Part, String> {
    Ok(Part::Time { parts: times::joda(pattern)?, written: written.to_owned() })
}

fn java_time(pattern: &str) -> Result<Part, String> {
    if pattern == NOW {
        return Ok(Part::Now);
    }
    Ok(Part::Time { parts: times::java_time(pattern)?, written: format!("%{{{{{pattern}}}}}") })
}

/// What a letter of strftime is in those of Joda.
fn strftime(letter: char) -> Option<&'static str> {
    Some(match letter {
        'Y' => "yyyy",
        'm' => "MM",
        'd' => "dd",
        'H' => "HH",
        'M' => "mm",
        'S' => "ss",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Batch, Common, Origin};
    use proptest::prelude::*;

    fn render(template: &Template) -> (String, bool) {
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        let event = br#"{"@timestamp":"2026-11-21T02:45:04Z","a":{"b":"x"},"n":5,"l":[1,null,"a",{"b":2},[3,4]],"o":{},"d.e":"f"}"#;
        batch.push_json(event, 0).unwrap();
        let mut out = Vec::new();
        let result = template.render(&batch.view(0), 0, &mut out);
        (String::from_utf8(out).unwrap(), result.is_ok())
    }

    #[track_caller]
    fn check(template: &str, expected: &str, is_whole: bool) {
        let template = Template::parse(template).unwrap();
        assert_eq!(render(&template), (expected.to_owned(), is_whole));
        let printed = template.to_string();
        let again = Template::parse(&printed).unwrap();
        assert_eq!(again.to_string(), printed);
        if is_whole {
            assert_eq!(render(&again), (expected.to_owned(), is_whole), "{printed}");
        }
    }

    #[test]
    fn templates() {
        check("plain", "plain", true);
        check("logs-%Y.%m.%d", "logs-2026.11.21", true);
        check("%{+yyyy.MM.dd}-%{[a][b]}-{{ n }}", "2026.11.21-x-5", true);
        check("%{a.b}%%%H:%M:%S", "x%02:45:04", true);
        check("%{no}", "%{no}", false);
        check("%{a}", "{\"b\":\"x\"}", true);
        check("%é%", "%é%", true);
        check("%{l} %{[l][0]} %{o}", "1,,a,{\"b\":2},3,4 1 {}", true);
        check("%{{yyyy-MM-dd}} %{+%s}", "2026-11-21 1795229104", true);
        check("%{{TIME_NOW}}", "1970-01-01T00:00:00.000Z", true);
        check("a%{'{{'}b%{'%{a}'}", "a{{b%{a}", true);
    }

    #[test]
    fn logstash() {
        #[track_caller]
        fn check_logstash(template: &str, expected: &str, is_whole: bool) {
            let template = Template::parse_logstash(template).unwrap();
            let printed = template.to_string();
            assert_eq!(render(&template), (expected.to_owned(), is_whole));
            let again = Template::parse(&printed).unwrap();
            assert_eq!(again.to_string(), printed);
            if is_whole {
                assert_eq!(render(&again), (expected.to_owned(), true), "{printed}");
            }
        }
        check_logstash("logs-%{+yyyy.MM.dd}", "logs-2026.11.21", true);
        check_logstash("logs-%{+YYYY.MM.dd}-%{n}", "logs-2026.11.21-5", true);
        check_logstash("%{[a][b]}:%{n}", "x:5", true);
        check_logstash("%{{yyyy-'W'ww}}", "2026-W47", true);
        check_logstash("%{+%s}", "1795229104", true);
        check_logstash("%{@timestamp}", "2026-11-21T02:45:04.000Z", true);
        check_logstash("%{l}", "1,,a,{\"b\":2},3,4", true);
        check_logstash("100%, %Y %% {{n}}", "100%, %Y %% {{n}}", true); // nothing of ours means anything
        check_logstash("%{", "%{", true);
        check_logstash("%{n", "%{n", true);
        check_logstash("%{}", "%{}", true);
        check_logstash("%{no} %{[a][c]}", "%{no} %{[a][c]}", false);
        check_logstash("%{a.b}", "%{a.b}", false); // a name with a dot, not a path
        check_logstash("%{d.e}", "f", true);
        check_logstash("%{[d.e]}", "f", true);
        check_logstash("{%{n}}", "{5}", true);
        check_logstash("%{{n} %{{ }", "%{{n} %{{ }", false); // fields that are called `{n` and `{ `
        assert!(Template::parse_logstash("%{+QQQ}").is_err());
    }

    #[test]
    fn bad_templates() {
        for text in ["%{a", "{{a", "%{}", "%{[a}", "%{+QQQ}", "%{{Q", "%{{J}}", "%{'a"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(text in "[a-z%{}\\[\\]+'. Ymd\"\\\\é]{0,16}") {
            for template in [Template::parse(&text), Template::parse_logstash(&text)].into_iter().flatten() {
                let printed = template.to_string();
                let again = Template::parse(&printed);
                prop_assert!(again.is_ok(), "{:?} of {:?}", printed, text);
                prop_assert_eq!(again.unwrap().to_string(), printed);
            }
        }
    }
}
