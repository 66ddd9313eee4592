//! Names of indices and data streams, made of templates and held to Elasticsearch's rules.
//!
//! The rules are those of "Create index": lower case, none of `\ / * ? " < > | , # :` and no
//! blank, not beginning with `-`, `_` or `+`, neither `.` nor `..`, 255 bytes at most
//! (<https://www.elastic.co/guide/en/elasticsearch/reference/current/indices-create-index.html>).
//! Text from an event must not choose more than that: a comma would name two indices.

use crate::{Look, Missing, Template, TemplateError};
use std::fmt;

const BYTES_MAX: usize = 255;
const FORBIDDEN: &str = "\\/*?\"<>|,#:";

/// A name of an index with fields and times in it, compiled.
#[derive(Debug, Clone)]
pub struct IndexName {
    template: Template,
    fallback: Option<Vec<u8>>,
    /// See [`Template::period`].
    period: Option<i64>,
    last: Option<Last>,
}

/// The name of the last event, which the next one mostly has as well.
#[derive(Debug, Clone)]
struct Last {
    number: i64,
    name: Vec<u8>,
}

/// Why an event has no index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameError {
    /// The event lacks a field of the name.
    Missing(Missing),
    /// The name, and what is wrong with it.
    Invalid(String, String),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Missing(missing) => missing.fmt(f),
            NameError::Invalid(name, reason) => write!(f, "{name:?} cannot name an index: {reason}"),
        }
    }
}
impl std::error::Error for NameError {}

impl IndexName {
    /// Compiles a name; `fallback` is taken for events that lack a field of it. A name that
    /// would be wrong for every event is an error.
    pub fn parse(text: &str, fallback: Option<&str>) -> Result<Self, IndexNameError> {
        let template = Template::parse(text).map_err(IndexNameError::Template)?;
        let fixed = |text: &str| {
            let mut name = text.as_bytes().to_vec();
            check_index_name(&mut name, 0).map(|()| name).map_err(IndexNameError::Name)
        };
        if template.is_constant() {
            fixed(text)?;
        }
        let period = template.period();
        Ok(Self { template, fallback: fallback.map(fixed).transpose()?, period, last: None })
    }

    /// Appends the name for an event, whose own time stands for the times in it.
    pub fn render(&mut self, event: &impl Look, out: &mut Vec<u8>) -> Result<(), NameError> {
        let Some(period) = self.period else { return self.render_anew(event, out) };
        let number = event.moment().div_euclid(period);
        if let Some(last) = self.last.as_ref().filter(|last| last.number == number) {
            out.extend_from_slice(&last.name);
            return Ok(());
        }
        let from = out.len();
        self.render_anew(event, out)?;
        self.last = Some(Last { number, name: out[from..].to_vec() });
        Ok(())
    }

    fn render_anew(&self, event: &impl Look, out: &mut Vec<u8>) -> Result<(), NameError> {
        let from = out.len();
        match self.template.render_at(event, event.moment(), out) {
            Ok(()) => check_index_name(out, from),
            Err(missing) => {
                out.truncate(from);
                let fallback = self.fallback.as_ref().ok_or(NameError::Missing(missing))?;
                out.extend_from_slice(fallback);
                Ok(())
            }
        }
    }
}

/// Why a text is no name of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexNameError {
    /// It is no template.
    Template(TemplateError),
    /// It breaks the rules for every event.
    Name(NameError),
}

impl fmt::Display for IndexNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IndexNameError::Template(error) => error.fmt(f),
            IndexNameError::Name(error) => error.fmt(f),
        }
    }
}
impl std::error::Error for IndexNameError {}

/// Makes `out[from..]` lower case, and checks that it may name an index or be a part of a name.
pub fn check_index_name(out: &mut Vec<u8>, from: usize) -> Result<(), NameError> {
    if out[from..].is_ascii() {
        out[from..].make_ascii_lowercase();
    } else {
        let lower = std::str::from_utf8(&out[from..]).map(str::to_lowercase);
        let lower = lower.map_err(|_| invalid(&out[from..], "it is not UTF-8"))?;
        out.truncate(from);
        out.extend_from_slice(lower.as_bytes());
    }
    let name = &out[from..];
    match name {
        [] => Err(invalid(name, "it is empty")),
        b"." | b".." => Err(invalid(name, "it is a folder")),
        [b'-' | b'_' | b'+', ..] => Err(invalid(name, "it begins with -, _ or +")),
        _ if name.len() > BYTES_MAX => Err(invalid(name, "it is longer than 255 bytes")),
        _ => match name.iter().find(|byte| **byte <= b' ' || FORBIDDEN.as_bytes().contains(byte)) {
            Some(byte) => Err(invalid(name, &format!("it holds {:?}", char::from(*byte)))),
            None => Ok(()),
        },
    }
}

fn invalid(name: &[u8], reason: &str) -> NameError {
    let shown: String = String::from_utf8_lossy(name).chars().take(BYTES_MAX).collect();
    NameError::Invalid(shown, reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Batch, Common, Origin};
    use proptest::prelude::*;

    fn render(template: &str, fallback: Option<&str>, fields: &str) -> Result<String, String> {
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        batch.push_json(fields.as_bytes(), 0).unwrap();
        let mut out = b"before".to_vec();
        let mut name = IndexName::parse(template, fallback).map_err(|error| error.to_string())?;
        let result = name.render(&batch.view(0), &mut out).map_err(|error| error.to_string());
        let text = String::from_utf8(out).unwrap();
        result.map(|()| text.strip_prefix("before").unwrap().to_owned())
    }

    #[test]
    fn names() {
        #[track_caller]
        fn check(template: &str, expected: Result<&str, &str>) {
            let fields = r#"{"@timestamp":"2026-11-21T02:45:04Z","a":{"b":"Web"},"bad":"x,y","n":5,"u":"_x","e":"","big":"É"}"#;
            let found = render(template, None, fields);
            assert_eq!(found.as_deref().map_err(String::as_str), expected);
        }
        check("logs-%Y.%m.%d", Ok("logs-2026.11.21"));
        check("logs-{{ a.b }}", Ok("logs-web"));
        check("Logs-%{[a][b]}-%{+YYYY.MM.dd}", Ok("logs-web-2026.11.21"));
        check("%{n}", Ok("5"));
        check("x%{big}", Ok("xé"));
        check("logs-%{no}", Err("the event has no field \"no\""));
        check("%{bad}", Err("\"x,y\" cannot name an index: it holds ','"));
        check("%{u}", Err("\"_x\" cannot name an index: it begins with -, _ or +"));
        check("%{e}", Err("\"\" cannot name an index: it is empty"));
        check("a b", Err("\"a b\" cannot name an index: it holds ' '"));
        check("<logs-{now/d}>", Err("\"<logs-{now/d}>\" cannot name an index: it holds '<'"));
        check("%{+QQQ}", Err("no meaning is known of the letter 'Q' in a time at byte 0"));
    }

    #[test]
    fn events_without_the_field() {
        assert_eq!(render("logs-%{no}", Some("Rest"), "{}").unwrap(), "rest");
        assert!(render("x", Some("a b"), "{}").is_err());
    }

    proptest! {
        #[test]
        fn a_name_is_that_of_its_own_time(
            template in prop::sample::select(vec!["a-%Y.%m.%d", "a-%Y-%H", "a-%{+xxxx.ww}", "a-%{+ss}", "a-%{+SSS}", "a-%{+a}", "a-%{+A}", "a"]),
            times in prop::collection::vec((-3_000_000..3_000_000i64, 0..3i64), 1..20),
        ) {
            let Ok(mut name) = IndexName::parse(template, None) else { return Ok(()) };
            for (seconds, by) in times {
                let mut batch = Batch::new();
                batch.begin_run(Common::none(Origin::default()), 0);
                batch.push_empty(0).set_time(seconds * [1_000_000_000, 1_000_000, 10_000_000_000][by as usize]);
                let (mut one, mut other) = (Vec::new(), Vec::new());
                name.render(&batch.view(0), &mut one).unwrap();
                name.render_anew(&batch.view(0), &mut other).unwrap();
                prop_assert_eq!(one, other);
            }
        }

        #[test]
        fn whatever_comes_out_keeps_the_rules(text: String) {
            let fields = serde_json::json!({ "f": text }).to_string();
            if let Ok(name) = render("%{f}", None, &fields) {
                prop_assert!(!name.is_empty() && name.len() <= BYTES_MAX);
                prop_assert!(!name.contains(|c: char| c <= ' ' || FORBIDDEN.contains(c)));
                prop_assert!(!name.starts_with(['-', '_', '+']));
            }
        }
    }
}
