//! Templates: `%{field}`, `%{[a][b]}`, `{{ field }}`, `%{+yyyy.MM.dd}` and `%Y.%m.%d`.

use crate::Look;
use event::{Path, PathError, Value};
use std::fmt;

/// Text with fields and times in it, compiled.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Field { path: Path, written: String },
    Time(TimePart),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TimePart {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
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

impl Template {
    /// Compiles a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let (part, len) = if let Some(inner) = rest.strip_prefix("%{") {
                let end = inner.find('}').ok_or_else(|| wrong(at, "a %{ without its }"))?;
                (reference(&inner[..end], &rest[..end + 3], at)?, end + 3)
            } else if let Some(inner) = rest.strip_prefix("{{") {
                let end = inner.find("}}").ok_or_else(|| wrong(at, "a {{ without its }}"))?;
                (vec![field(inner[..end].trim(), &rest[..end + 4], at)?], end + 4)
            } else if rest.starts_with("%%") {
                (vec![Part::Text("%".to_owned())], 2)
            } else if let Some(time) = rest.strip_prefix('%').and_then(|rest| strftime(rest.chars().next()?))
            {
                (vec![Part::Time(time)], 2)
            } else {
                let c = rest.chars().next().unwrap_or_default();
                (vec![Part::Text(c.to_string())], c.len_utf8().max(1))
            };
            at += len;
            for part in part {
                match part {
                    Part::Text(text) => plain.push_str(&text),
                    other => {
                        if !plain.is_empty() {
                            parts.push(Part::Text(std::mem::take(&mut plain)));
                        }
                        parts.push(other);
                    }
                }
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// Writes the text for an event. A missing field leaves its reference standing, and is
    /// told at the end.
    pub fn render(&self, event: &impl Look, _now: i64, out: &mut Vec<u8>) -> Result<(), Missing> {
        self.render_at(event, event.moment(), out)
    }

    /// Like [`render`](Self::render), with another time than the event's.
    pub fn render_at(&self, event: &impl Look, time: i64, out: &mut Vec<u8>) -> Result<(), Missing> {
        self.write(event, time, out, |value, out| value.write_text(out))
    }

    /// Like [`render`](Self::render), with the values of fields written by `escape`, which is
    /// given their text: what stands in an event cannot change what the text around it means.
    pub fn render_escaped(
        &self,
        event: &impl Look,
        out: &mut Vec<u8>,
        mut escape: impl FnMut(&[u8], &mut Vec<u8>),
    ) -> Result<(), Missing> {
        let mut text = Vec::new();
        self.write(event, event.moment(), out, |value, out| {
            text.clear();
            value.write_text(&mut text);
            escape(&text, out);
        })
    }

    fn write(
        &self,
        event: &impl Look,
        time: i64,
        out: &mut Vec<u8>,
        mut value_of: impl FnMut(&Value<'_>, &mut Vec<u8>),
    ) -> Result<(), Missing> {
        let mut missing = None;
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Time(part) => write_time(*part, time, out),
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

    /// Whether it is the same text for every event.
    pub fn is_constant(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }
}

fn field(name: &str, written: &str, at: usize) -> Result<Part, TemplateError> {
    let path = Path::parse(name).map_err(|PathError { at: inner, reason }| wrong(at + inner, reason))?;
    Ok(Part::Field { path, written: written.to_owned() })
}

fn reference(inner: &str, written: &str, at: usize) -> Result<Vec<Part>, TemplateError> {
    match inner.strip_prefix('+') {
        Some(pattern) => joda(pattern, at),
        None => Ok(vec![field(inner, written, at)?]),
    }
}

/// The letters of Joda that names of indices use.
fn joda(pattern: &str, at: usize) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if !c.is_ascii_alphabetic() {
            parts.push(Part::Text(c.to_string()));
            continue;
        }
        while chars.next_if_eq(&c).is_some() {}
        parts.push(Part::Time(match c {
            'y' | 'Y' | 'x' => TimePart::Year,
            'M' => TimePart::Month,
            'd' => TimePart::Day,
            'H' => TimePart::Hour,
            'm' => TimePart::Minute,
            's' => TimePart::Second,
            other => {
                return Err(wrong(
                    at,
                    format!("the letter {other:?} of a time is not known; there are y M d H m s"),
                ));
            }
        }));
    }
    Ok(parts)
}

fn strftime(letter: char) -> Option<TimePart> {
    Some(match letter {
        'Y' => TimePart::Year,
        'm' => TimePart::Month,
        'd' => TimePart::Day,
        'H' => TimePart::Hour,
        'M' => TimePart::Minute,
        'S' => TimePart::Second,
        _ => return None,
    })
}

fn write_time(part: TimePart, ns: i64, out: &mut Vec<u8>) {
    let seconds = ns.div_euclid(1_000_000_000);
    let of_day = seconds.rem_euclid(86_400);
    let (year, month, day) = event::time::civil_from_days(seconds.div_euclid(86_400));
    let (value, width) = match part {
        TimePart::Year => (year, 4),
        TimePart::Month => (i64::from(month), 2),
        TimePart::Day => (i64::from(day), 2),
        TimePart::Hour => (of_day / 3600, 2),
        TimePart::Minute => (of_day / 60 % 60, 2),
        TimePart::Second => (of_day % 60, 2),
    };
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10_i64.pow(place) % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Batch, Common, CommonValue, Origin};

    #[track_caller]
    fn check(template: &str, expected: &str, is_whole: bool) {
        let mut batch = Batch::new();
        batch.begin_run(Common::new(Origin::default(), Vec::<(&str, CommonValue)>::new()), 0);
        batch.push_json(br#"{"@timestamp":"2026-11-21T02:45:04Z","a":{"b":"x"},"n":5}"#, 0).unwrap();
        let mut out = Vec::new();
        let result = Template::parse(template).unwrap().render(&batch.view(0), 0, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(result.is_ok(), is_whole);
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
    }

    #[test]
    fn bad_templates() {
        for text in ["%{a", "{{a", "%{}", "%{[a}", "%{+EEE}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
