//! Filter `dissect`: takes text apart at the texts that stand between its parts.
//!
//! `%{a} - %{b}` reads `x - y`. No regex is involved: each part ends where the delimiter behind it
//! stands next, and the last one takes the rest. Where a delimiter is missing, nothing is set
//! (`logstash-filter-dissect` 1.2):
//!
//! ```text
//! %{name}     sets a field                 %{}  %{?name}   is read and not set
//! %{+name}    appends to a field, with the delimiter before it, or a blank where there is none
//! %{+name/2}  appends in the order of these numbers
//! %{&name}    sets the field that the value of %{name} or %{?name} names, or that a field of the event does
//! %{name->}   passes over the delimiter behind it as often as it is repeated
//! ```

use crate::on_success::add_tags;
use crate::{BuildError, Outcome, path};
use event::{Event, New, Path, Span, Value};
use expr::logstash;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options of the filter `dissect`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Fields and how their text is taken apart, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mapping: Vec<Mapping>,
    /// Fields that become numbers then.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub convert_datatype: BTreeMap<String, Type>,
}

/// How the text of a field is taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The field that holds the text.
    pub field: String,
    /// The parts, and what stands between them.
    pub pattern: String,
}

/// A type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// A whole number; a fraction is cut.
    Int,
    /// A number.
    Float,
}

/// The filter.
pub struct Dissect {
    mapping: Vec<(Path, Dissection)>,
    conversions: Vec<(Path, Type, [String; 2])>,
    /// The places of the parts.
    found: Vec<(usize, usize)>,
}

/// A pattern, compiled.
struct Dissection {
    /// What the text begins with.
    begin: Vec<u8>,
    parts: Vec<Part>,
    /// The parts that are set, by their numbers: plain ones, then those that append, by their
    /// order, then those whose names are values.
    order: Vec<usize>,
}

struct Part {
    key: Key,
    /// The delimiter behind it; none: it takes the rest.
    end: Option<Delimiter>,
}

struct Delimiter {
    finder: Finder<'static>,
    /// Whether it is passed over as often as it is repeated.
    repeats: bool,
}

enum Key {
    Skip(String),
    Set(Path, String),
    /// The field, the order, and what is put before the value.
    Append(Path, u32, Vec<u8>),
    /// What has the name: a part, or else a field of the event.
    Named(Option<usize>, Path),
}

const MISSING: &str = "a delimiter is missing";

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Dissect, BuildError> {
        let mapping = self.mapping.iter().filter(|mapping| !mapping.pattern.is_empty()).map(|mapping| {
            let message = |message| BuildError {
                option: "mapping",
                message: format!("{message} (in {:?})", mapping.pattern),
            };
            Ok((path("mapping", &mapping.field)?, Dissection::new(&mapping.pattern).map_err(message)?))
        });
        let conversion = |(field, to): (&String, &Type)| {
            let word = if *to == Type::Int { "int" } else { "float" };
            let tag = |why: &str| format!("_dataconversion{why}_{field}_{word}");
            Ok((path("convert_datatype", field)?, *to, ["nullvalue", "uncoercible"].map(tag)))
        };
        Ok(Dissect {
            mapping: mapping.collect::<Result<_, BuildError>>()?,
            conversions: self.convert_datatype.iter().map(conversion).collect::<Result<_, BuildError>>()?,
            found: Vec::new(),
        })
    }
}

impl Dissect {
    /// Applies it. It fails where a text lacks a delimiter or is empty, and has nothing to do where no
    /// field is there. A number that is none is a tag, and no failure.
    pub fn apply(&mut self, event: &mut Event<'_>) -> Outcome {
        let is_there = self.mapping.iter().any(|(field, _)| event.exists(field));
        let mut outcome = if self.mapping.is_empty() || is_there { Outcome::OK } else { Outcome::IDLE };
        for (field, dissection) in &self.mapping {
            if !event.exists(field) {
                continue;
            }
            let Some(text) = event.text(field) else {
                outcome = Outcome::FAILED;
                continue;
            };
            if !dissection.read(event.bytes(text), &mut self.found) {
                outcome = Outcome::failed(MISSING);
            } else if !dissection.set(event, text, &self.found) {
                outcome = Outcome::FAILED;
            }
        }
        for (field, to, [null, uncoercible]) in &self.conversions {
            let tag = match event.get(field) {
                None | Some(Value::Null) => null,
                Some(value) => match number(&value, *to) {
                    Some(number) if event.set(field, number).is_ok() => continue,
                    _ => uncoercible,
                },
            };
            add_tags(event, std::slice::from_ref(tag));
        }
        outcome
    }
}

/// A value as a number; `None` where it is none, or a whole one beyond 64 bits.
fn number(value: &Value<'_>, to: Type) -> Option<New<'static>> {
    let mut text = Vec::new();
    value.write_text(&mut text);
    let text = std::str::from_utf8(&text).ok()?.trim();
    let float: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    match to {
        Type::Float => Some(New::Float(float)),
        Type::Int => match text.parse() {
            Ok(whole) => Some(New::Int(whole)),
            Err(_) => (float.abs() < 9.2e18).then_some(New::Int(float as i64)),
        },
    }
}

impl Dissection {
    fn new(pattern: &str) -> Result<Self, String> {
        let (begin, mut rest) = pattern.split_once("%{").ok_or("has no %{field}")?;
        let mut texts: Vec<(&str, &str)> = Vec::new();
        loop {
            let (key, behind) = rest.split_once('}').ok_or_else(|| format!("missing }} behind %{{{rest}"))?;
            let (delimiter, next) = match behind.split_once("%{") {
                Some((delimiter, next)) => (delimiter, Some(next)),
                None => (behind, None),
            };
            texts.push((key, delimiter));
            match next {
                Some(next) => rest = next,
                None => break,
            }
        }
        let count = texts.len();
        let mut parts = Vec::with_capacity(count);
        let mut before = begin;
        for (n, (key, delimiter)) in texts.into_iter().enumerate() {
            let (key, repeats) = key.strip_suffix("->").map_or((key, false), |key| (key, true));
            // Text behind the last part ends it; what follows is passed over.
            let is_rest = n + 1 == count && delimiter.is_empty();
            let end = (!is_rest).then(|| Delimiter { finder: Finder::new(delimiter).into_owned(), repeats });
            parts.push(Part { key: Key::new(key, before)?, end });
            before = delimiter;
        }
        let names: Vec<Option<String>> = parts
            .iter()
            .map(|part| match &part.key {
                Key::Skip(name) | Key::Set(_, name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        for part in &mut parts {
            if let Key::Named(from, field) = &mut part.key {
                let name = field.to_string();
                *from = names.iter().position(|own| own.as_ref() == Some(&name));
            }
        }
        let mut order: Vec<usize> = (0..count).filter(|n| !matches!(parts[*n].key, Key::Skip(_))).collect();
        order.sort_by_key(|n| match parts[*n].key {
            Key::Skip(_) | Key::Set(..) => (0, 0),
            Key::Append(_, order, _) => (1, order),
            Key::Named(..) => (2, 0),
        });
        Ok(Self { begin: begin.as_bytes().to_vec(), parts, order })
    }

    /// Finds the parts; says whether every delimiter is there.
    fn read(&self, text: &[u8], found: &mut Vec<(usize, usize)>) -> bool {
        found.clear();
        if text.is_empty() || !text.starts_with(&self.begin) {
            return false;
        }
        let mut at = self.begin.len();
        // What the text begins with may be repeated, too.
        while !self.begin.is_empty() && text[at..].starts_with(&self.begin) {
            at += self.begin.len();
        }
        for part in &self.parts {
            let Some(Delimiter { finder, repeats }) = &part.end else {
                found.push((at, text.len()));
                return true;
            };
            let Some(length) = finder.find(&text[at..]) else { return false };
            found.push((at, at + length));
            let delimiter = finder.needle();
            at += length + delimiter.len();
            while *repeats && !delimiter.is_empty() && text[at..].starts_with(delimiter) {
                at += delimiter.len();
            }
        }
        true
    }

    /// Sets the fields; says whether all fitted into the event.
    fn set(&self, event: &mut Event<'_>, text: Span, found: &[(usize, usize)]) -> bool {
        let mut ok = true;
        let span = |n: usize| found.get(n).map_or(Span::default(), |(from, to)| text.within(*from, *to));
        for &n in &self.order {
            let value = span(n);
            ok &= match &self.parts[n].key {
                Key::Skip(_) => true,
                Key::Set(field, _) => event.set(field, New::Span(value)).is_ok(),
                Key::Append(field, _, join) => match event.get(field).filter(|old| *old != Value::Null) {
                    None => event.set(field, New::Span(value)).is_ok(),
                    Some(old) => {
                        let mut joined = Vec::new();
                        old.write_text(&mut joined);
                        joined.extend_from_slice(join);
                        joined.extend_from_slice(event.bytes(value));
                        event.set(field, New::Str(&joined)).is_ok()
                    }
                },
                Key::Named(from, field) => {
                    let mut name = from.map_or_else(Vec::new, |from| event.bytes(span(from)).to_vec());
                    if name.is_empty()
                        && let Some(value) = event.get(field)
                    {
                        value.write_text(&mut name);
                    }
                    match logstash::field_path(&String::from_utf8_lossy(&name)) {
                        Some(named) if !name.is_empty() => event.set(&named, New::Span(value)).is_ok(),
                        _ => true,
                    }
                }
            };
        }
        ok
    }
}

impl Key {
    /// Reads what stands between `%{` and `}`, `->` taken off; `before` is the delimiter before it.
    fn new(text: &str, before: &str) -> Result<Self, String> {
        let field =
            |name: &str| logstash::field_path(name).ok_or_else(|| format!("%{{{text}}} names no field"));
        if text.starts_with("+&") || text.starts_with("&+") {
            return Err(format!("%{{{text}}} has both + and &"));
        }
        if let Some(name) = text.strip_prefix('?').or(text.is_empty().then_some("")) {
            let name = if name.is_empty() { String::new() } else { field(name)?.to_string() };
            return Ok(Key::Skip(name));
        }
        if let Some(name) = text.strip_prefix('&') {
            return Ok(Key::Named(None, field(name)?));
        }
        let Some(name) = text.strip_prefix('+') else {
            let field = field(text)?;
            let name = field.to_string();
            return Ok(Key::Set(field, name));
        };
        let (name, order) = match name.rsplit_once('/') {
            Some((name, order)) => {
                let order = order.parse().map_err(|_| format!("%{{{text}}}: {order:?} is no number"))?;
                (name, order)
            }
            None => (name, 0),
        };
        let join = if before.is_empty() { " " } else { before };
        Ok(Key::Append(field(name)?, order, join.as_bytes().to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::Dissection;
    use crate::testing::{apply, mistake};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(pattern: &str, text: &str, fields: Value) {
        let config = json!({"dissect": {"mapping": [{"field": "message", "pattern": pattern}]}}).to_string();
        let (mut found, outcome) = apply(&config, &json!({"message": text}).to_string());
        assert_eq!(found.as_object_mut().unwrap().shift_remove("message").unwrap(), text);
        assert_eq!(found, fields);
        assert!(outcome.ok);
    }

    #[track_caller]
    fn no_match(pattern: &str, text: &str) {
        let config = json!({"dissect": {"mapping": [{"field": "m", "pattern": pattern}]}}).to_string();
        let event = json!({"m": text});
        let (found, outcome) = apply(&config, &event.to_string());
        assert_eq!((found, outcome.ok), (event, false));
    }

    #[test]
    fn parts() {
        check(
            "[%{at}] %{code} %{service} %{ic} %{rest}",
            "[25/05/16 09:10:38:425 BST] 00000001 Out O java.lang:type=Pool,name=class storage",
            json!({"at": "25/05/16 09:10:38:425 BST", "code": "00000001", "service": "Out", "ic": "O",
                "rest": "java.lang:type=Pool,name=class storage"}),
        );
        // Nothing between delimiters is an empty part.
        check(
            "%{name},%{a},%{b},%{city},%{zip}",
            "Jane Doe,4321 Fifth Avenue,,New York,87432",
            json!({"name": "Jane Doe", "a": "4321 Fifth Avenue", "b": "", "city": "New York", "zip": "87432"}),
        );
        check("%{a} %{} %{?b} %{[c][d]}", "1 2 3 4", json!({"a": "1", "c": {"d": "4"}}));
        check(
            "%{a} » %{b}»%{c}€%{d}",
            "foo » bar»baz€quux",
            json!({"a": "foo", "b": "bar", "c": "baz", "d": "quux"}),
        );
        check("%{a}%{b} %{c}", "foo bar   baz", json!({"a": "", "b": "foo", "c": "bar   baz"}));
        check("%{a}\n%{b}", "x\ny", json!({"a": "x", "b": "y"}));
        check("%{a}------->%{b}", "foo------->bar baz", json!({"a": "foo", "b": "bar baz"}));
        // What stands behind the last part ends it.
        check("%{a} <%{b}>", "x <y> z", json!({"a": "x", "b": "y"}));
        check("[%{a}", "[[[x", json!({"a": "x"}));
    }

    #[test]
    fn padding() {
        let events = json!({"id": "00000043", "function": "ViewReceive", "server": "machine-321"});
        check("%{id} %{function->} %{server}", "00000043 ViewReceive     machine-321", events.clone());
        check("%{id->} %{function} %{server}", "00000043     ViewReceive machine-321", events);
        check("%{a->},%{+b->}-%{c}", "1,,,,2--3", json!({"a": "1", "b": "2", "c": "3"}));
        check("%{->}-%{a}", "---x", json!({"a": "x"}));
    }

    #[test]
    fn what_is_appended() {
        check(
            "%{ts} %{+ts} %{+ts} %{src} %{} %{prog}[%{pid}]: %{msg}",
            "Mar 16 00:01:25 evita skip postfix/smtpd[1713]: connect from x[1.2.3.4]",
            json!({"ts": "Mar 16 00:01:25", "src": "evita", "prog": "postfix/smtpd", "pid": "1713",
                "msg": "connect from x[1.2.3.4]"}),
        );
        check("%{+a/2} %{+a/1} %{+a/4} %{+a/3}", "1 2 3 go", json!({"a": "2 1 go 3"}));
        check("%{a} %{b} %{+a}", "1 2 3 go", json!({"a": "1 3 go", "b": "2"}));
        check("%{+a} %{a} %{+a}", "December 31 1999", json!({"a": "31 December 1999"}));
        check("%{a}:%{+a},%{+a}", "1:2,3", json!({"a": "1:2,3"}));
        let config = r#"{"dissect":{"mapping":[{"field":"m","pattern":"%{+n}"}]}}"#;
        assert_eq!(apply(config, r#"{"m":"x","n":5}"#).0, json!({"m": "x", "n": "5 x"}));
    }

    #[test]
    fn names_that_are_values() {
        check("error: %{?err}, %{&err}", "error: some_error, why", json!({"some_error": "why"}));
        check(
            "%{k}=%{&k}, %{?l}=%{&l}",
            "foo=bar, [x][y]=z",
            json!({"k": "foo", "foo": "bar", "x": {"y": "z"}}),
        );
        check("%{?a}=%{&b}", "foo=bar", json!({}));
        let config = r#"{"dissect":{"mapping":[{"field":"m","pattern":"%{&k}, %{}"}]}}"#;
        assert_eq!(apply(config, r#"{"m":"v, w","k":"a"}"#).0, json!({"m": "v, w", "k": "a", "a": "v"}));
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        no_match("%{a} %{b}", "x");
        no_match("%{a}, %{b}; %{c}", "1, 2, 3");
        no_match("[%{a}] %{b}", "x] y");
        no_match("%{a} %{b}", "");
        no_match("%{a} <%{b}>", "x <y");
        // A field that is not there is no failure.
        let config = r#"{"dissect":{"mapping":[{"field":"no","pattern":"%{a} %{b}"}]}}"#;
        assert_eq!(apply(config, "{}").1, crate::Outcome::IDLE);
        assert!(!apply(config, r#"{"no":{}}"#).1.ok);
    }

    #[test]
    fn numbers() {
        let config =
            r#"{"dissect":{"convert_datatype":{"i":"int","f":"float","n":"int","o":"int","g":"int"}}}"#;
        let (found, outcome) = apply(config, r#"{"i":"00000001","f":"95.43","o":{},"g":"7.9"}"#);
        let tags = ["_dataconversionnullvalue_n_int", "_dataconversionuncoercible_o_int"];
        assert_eq!(found, json!({"i": 1, "f": 95.43, "o": {}, "g": 7, "tags": tags}));
        assert!(outcome.ok);
        // Later patterns take apart what earlier ones set.
        let config = r#"{"dissect":{"mapping":[{"field":"m","pattern":"%{a} %{d}"},{"field":"d","pattern":"%{b} %{c}"}],
            "convert_datatype":{"c":"int"}}}"#;
        let after = json!({"m": "1 2 3", "a": "1", "d": "2 3", "b": "2", "c": 3});
        assert_eq!(apply(config, r#"{"m":"1 2 3"}"#).0, after);
    }

    #[test]
    fn mistakes() {
        let config =
            |pattern: &str| json!({"dissect": {"mapping": [{"field": "m", "pattern": pattern}]}}).to_string();
        mistake(&config("x"), "option \"mapping\": has no %{field} (in \"x\")");
        mistake(&config("%{a"), "missing } behind %{a");
        mistake(&config("%{+&a}"), "%{+&a} has both + and &");
        mistake(&config("%{&+a}"), "%{&+a} has both + and &");
        mistake(&config("%{+a/x}"), "%{+a/x}: \"x\" is no number");
        mistake(&config("%{+}"), "%{+} names no field");
    }

    proptest! {
        #[test]
        fn parts_and_delimiters_are_the_text(texts in proptest::collection::vec("[a-c é]{0,4}", 1..6)) {
            let pattern: Vec<String> = (0..texts.len()).map(|n| format!("%{{f{n}}}")).collect();
            let dissection = Dissection::new(&pattern.join("--")).unwrap();
            let line = texts.join("--");
            let mut found = Vec::new();
            prop_assert_eq!(dissection.read(line.as_bytes(), &mut found), !line.is_empty());
            if !line.is_empty() {
                let read: Vec<&str> = found.iter().map(|(from, to)| &line[*from..*to]).collect();
                prop_assert_eq!(read, texts);
            }
        }

        #[test]
        fn any_pattern_reads_any_text(pattern in "(%\\{[+?&]?[ab]?(/[12])?(->)?\\}|[ ,]){0,6}", text: Vec<u8>) {
            let Ok(dissection) = Dissection::new(&pattern) else { return Ok(()) };
            let mut found = Vec::new();
            if dissection.read(&text, &mut found) {
                prop_assert!(found.iter().all(|(from, to)| from <= to && *to <= text.len()));
                prop_assert_eq!(found.len(), dissection.parts.len());
            }
        }
    }
}
