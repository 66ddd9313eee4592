//! Logstash's notation: `%{[a][b]}`, `%{+yyyy.MM.dd}`, `%{+%s}`, `%{{yyyy.MM.dd}}`.
//!
//! Source: `StringInterpolation.java` of Logstash 8. What cannot be a reference is text; a
//! pattern of a time that means nothing is an error here, where Logstash fails on each event.

use super::{Part, Parts, Template, TemplateError, java_time, joda, wrong};
use crate::logstash::field_path;

pub(super) fn parse(text: &str) -> Result<Template, TemplateError> {
    let mut parts = Parts::default();
    let mut at = 0;
    while let Some(open) = text[at..].find("%{").map(|open| at + open) {
        parts.text(&text[at..open]);
        let inner = &text[open + 2..];
        let Some(mut end) = inner.find('}') else {
            at = open;
            break;
        };
        let part = match inner.strip_prefix('{') {
            Some(pattern) if inner[end..].starts_with("}}") => {
                end += 1;
                Some(java_time(&pattern[..end - 2]).map_err(|reason| wrong(open, reason))?)
            }
            _ => reference(&inner[..end]).map_err(|reason| wrong(open, reason))?,
        };
        match part {
            Some(part) => parts.add(part),
            None => parts.text(&text[open..open + end + 3]),
        }
        at = open + end + 3;
    }
    parts.text(&text[at..]);
    Ok(parts.template())
}

fn reference(inner: &str) -> Result<Option<Part>, String> {
    let written = format!("%{{{inner}}}");
    if let Some(pattern) = inner.strip_prefix('+') {
        return joda(pattern, &written).map(Some);
    }
    Ok(field_path(inner).map(|path| Part::Field { path, written }))
}
