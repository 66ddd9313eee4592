//! YAML as a tree in which every node knows where it stands.

use crate::{Problem, Source};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Map, Number, Value};

/// A node, and where it begins.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(String, Place, Node)>),
}

/// Line and column, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// What a config may have at most.
const BYTES_MAX: usize = 16 << 20;
const DEPTH_MAX: usize = 64;

impl Source {
    pub(crate) fn problem(&self, place: Place, message: impl Into<String>) -> Problem {
        let text = self.text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
        Problem {
            file: self.name.clone(),
            line: place.line,
            column: place.column.max(1),
            message: message.into(),
            text: text.to_owned(),
        }
    }
}

impl Node {
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(members) => members.iter().find(|(own, ..)| own == name).map(|(.., node)| node),
            _ => None,
        }
    }

    pub(crate) fn members(&self) -> &[(String, Place, Node)] {
        match &self.kind {
            Kind::Map(members) => members,
            _ => &[],
        }
    }

    /// The node without its places.
    pub(crate) fn value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(items) => items.iter().map(Node::value).collect(),
            Kind::Map(members) => Value::Object(
                members.iter().map(|(name, _, node)| (name.clone(), node.value())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// Where a key of that name stands, here or below.
    pub(crate) fn find_key(&self, name: &str) -> Option<Place> {
        match &self.kind {
            Kind::Scalar(_) => None,
            Kind::List(items) => items.iter().find_map(|item| item.find_key(name)),
            Kind::Map(members) => {
                let own = members.iter().find(|(own, ..)| own == name).map(|(_, place, _)| *place);
                own.or_else(|| members.iter().find_map(|(.., node)| node.find_key(name)))
            }
        }
    }

    /// Where a scalar of that text stands, here or below.
    pub(crate) fn find_scalar(&self, text: &str) -> Option<Place> {
        match &self.kind {
            Kind::Scalar(Value::String(own)) if own == text => Some(self.place),
            Kind::Scalar(own) if *own == text => Some(self.place),
            Kind::Scalar(_) => None,
            Kind::List(items) => items.iter().find_map(|item| item.find_scalar(text)),
            Kind::Map(members) => members.iter().find_map(|(.., node)| node.find_scalar(text)),
        }
    }
}

/// Reads a file. An empty one is an empty map.
pub(crate) fn read(source: &Source) -> Result<Node, Problem> {
    let start = Place { line: 1, column: 1 };
    if source.text.len() > BYTES_MAX {
        return Err(source.problem(start, format!("the file is larger than {} MiB", BYTES_MAX >> 20)));
    }
    let mut reader = Reader { source, parser: Parser::new_from_str(&source.text) };
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
            (Event::StreamEnd | Event::DocumentEnd, _) => {
                return Ok(Node { kind: Kind::Map(Vec::new()), place: start });
            }
            (event, span) => {
                let node = reader.node(event, span, 0)?;
                return Ok(match node.kind {
                    Kind::Scalar(Value::Null) => Node { kind: Kind::Map(Vec::new()), place: start },
                    _ => node,
                });
            }
        }
    }
}

struct Reader<'s> {
    source: &'s Source,
    parser: Parser<'s, saphyr_parser::StrInput<'s>>,
}

fn place(span: Span) -> Place {
    Place { line: span.start.line(), column: span.start.col() + 1 }
}

impl<'s> Reader<'s> {
    fn next(&mut self) -> Result<(Event<'s>, Span), Problem> {
        match self.parser.next() {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => {
                let marker = error.marker();
                let at = Place { line: marker.line(), column: marker.col() + 1 };
                Err(self.source.problem(at, format!("not YAML: {}", error.info())))
            }
            None => Err(self.source.problem(Place { line: 1, column: 1 }, "the file ends too early")),
        }
    }

    fn node(&mut self, event: Event<'s>, span: Span, depth: usize) -> Result<Node, Problem> {
        let at = place(span);
        if depth > DEPTH_MAX {
            return Err(self.source.problem(at, "nested too deep"));
        }
        let kind = match event {
            Event::Scalar(text, style, ..) => Kind::Scalar(scalar(&self.expand(&text, at)?, style)),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break Kind::List(items),
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => self.map(depth)?,
            Event::Alias(_) => {
                return Err(self
                    .source
                    .problem(at, "aliases (*name) are not supported; write the value out"));
            }
            _ => return Err(self.source.problem(at, "not YAML that is understood here")),
        };
        Ok(Node { kind, place: at })
    }

    fn map(&mut self, depth: usize) -> Result<Kind, Problem> {
        let mut members: Vec<(String, Place, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let at = place(span);
            let name = match event {
                Event::MappingEnd => return Ok(Kind::Map(members)),
                Event::Scalar(name, ..) => name.into_owned(),
                _ => return Err(self.source.problem(at, "a key must be a word")),
            };
            if let Some((_, first, _)) = members.iter().find(|(own, ..)| *own == name) {
                let message =
                    format!("{name:?} stands here a second time; it was at line {} before", first.line);
                return Err(self.source.problem(at, message));
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            members.push((name, at, node));
        }
    }

    /// `${VAR}`, `${VAR:default}`, `${file:/path}`; `$${` is `${`.
    fn expand(&self, text: &str, at: Place) -> Result<String, Problem> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(found) = rest.find("${") {
            if rest[..found].ends_with('$') {
                out.push_str(&rest[..found]);
                out.push('{');
                rest = &rest[found + 2..];
                continue;
            }
            out.push_str(&rest[..found]);
            let inner = &rest[found + 2..];
            let end = inner.find('}').ok_or_else(|| self.source.problem(at, "a ${ without its }"))?;
            let (name, default) = match inner[..end].split_once(':') {
                Some((name, default)) => (name, Some(default)),
                None => (&inner[..end], None),
            };
            let value = match (name, default) {
                ("file", Some(path)) => std::fs::read_to_string(path)
                    .map(|text| text.trim_end().to_owned())
                    .map_err(|error| self.source.problem(at, format!("cannot read {path}: {error}")))?,
                (name, default) => match std::env::var(name) {
                    Ok(value) => value,
                    Err(_) => default.map(str::to_owned).ok_or_else(|| {
                        self.source.problem(at, format!("the environment has no {name}; set it, or give a default: ${{{name}:default}}"))
                    })?,
                },
            };
            out.push_str(&value);
            rest = &inner[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// YAML 1.2's core types; quoted text is always text.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    if let Some(number) = text.strip_prefix("0x").and_then(|digits| i64::from_str_radix(digits, 16).ok()) {
        return Value::from(number);
    }
    if let Ok(number) = text.parse::<i64>() {
        return Value::from(number);
    }
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && text.contains(|c: char| c.is_ascii_digit());
    match text.parse::<f64>().ok().filter(|_| is_number).and_then(Number::from_f64) {
        Some(number) => Value::Number(number),
        None => Value::String(text.to_owned()),
    }
}
