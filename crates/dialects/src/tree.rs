//! YAML as a tree in which every node knows where it stands.
//!
//! Scalars have the types of YAML 1.2's core schema: `yes` and `on` are text, quoted text is
//! always text. What a small file can blow up to has limits: depth, size, and the number of
//! nodes that aliases repeat.

use crate::expand::Expanded;
use crate::problem::{Files, SecretSpan, is_secret};
use crate::{Problem, Source};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use std::collections::HashMap;

/// A node, and where it begins.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
    /// The text of a scalar that holds something from the environment or a file. It is what
    /// an option that takes text gets, whatever it looks like, and it is never shown.
    pub(crate) hidden: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Where the key stands.
    pub(crate) place: Place,
    pub(crate) value: Node,
}

/// File, by its number among the sources, line and column from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) file: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// What a config may have at most.
const BYTES_MAX: usize = 16 << 20;
const DEPTH_MAX: usize = 64;
const ALIASED_NODES_MAX: usize = 100_000;

impl Node {
    pub(crate) fn empty_map(place: Place) -> Self {
        Self { kind: Kind::Map(Vec::new()), place, hidden: None }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.members().iter().find(|entry| entry.name == name).map(|entry| &entry.value)
    }

    /// The members of a map; nothing else has any.
    pub(crate) fn members(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(members) => members,
            _ => &[],
        }
    }

    /// The place of a key or a text, here or below.
    pub(crate) fn find(&self, text: &str) -> Option<Place> {
        match &self.kind {
            Kind::Str(own) => (own == text).then_some(self.place),
            Kind::List(items) => items.iter().find_map(|item| item.find(text)),
            Kind::Map(members) => members.iter().find_map(|entry| {
                if entry.name == text { Some(entry.place) } else { entry.value.find(text) }
            }),
            _ => None,
        }
    }

    fn size(&self) -> usize {
        1 + match &self.kind {
            Kind::List(items) => items.iter().map(Node::size).sum(),
            Kind::Map(members) => members.iter().map(|entry| entry.value.size()).sum(),
            _ => 0,
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.kind {
            Kind::List(items) => items.iter().map(Node::depth).max().unwrap_or(0),
            Kind::Map(members) => members.iter().map(|entry| entry.value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }
}

/// How the variables in a text are filled in; `None` when there are none.
pub(crate) type Expand<'e> = &'e dyn Fn(&str) -> Result<Option<Expanded>, String>;

/// Reads a file of `files`. An empty one is an empty map.
pub(crate) fn read(files: &mut Files<'_>, file: u32, expand: Expand<'_>) -> Result<Node, Problem> {
    let source = &files.sources[file as usize];
    let start = Place { file, line: 1, column: 1 };
    if source.text.len() > BYTES_MAX {
        return Err(files.problem(start, "", format!("the file is larger than {} MiB", BYTES_MAX >> 20)));
    }
    let mut reader = Reader {
        file,
        expand,
        parser: Parser::new_from_str(&source.text),
        anchors: HashMap::new(),
        aliased: 0,
        secret_depth: 0,
        secrets: Vec::new(),
    };
    let result = reader.document(start);
    files.secrets.append(&mut reader.secrets);
    result.map_err(|complaint| {
        let mut problem = files.problem(complaint.place, "", complaint.message);
        // Where the tree is broken nobody knows which part of the line is a secret.
        if complaint.is_syntax && is_near_secret(source, complaint.place.line as usize) {
            problem.text.clear();
        }
        problem
    })
}

fn is_near_secret(source: &Source, line: usize) -> bool {
    source
        .text
        .lines()
        .take(line)
        .any(|line| is_secret(line) || line.split(|c: char| !c.is_ascii_alphanumeric()).any(is_secret))
}

struct Complaint {
    place: Place,
    message: String,
    is_syntax: bool,
}

struct Reader<'s> {
    file: u32,
    expand: Expand<'s>,
    parser: Parser<'s, saphyr_parser::StrInput<'s>>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
    /// How many of the keys around are names of secrets.
    secret_depth: usize,
    secrets: Vec<SecretSpan>,
}

impl<'s> Reader<'s> {
    fn place(&self, span: Span) -> Place {
        Place { file: self.file, line: span.start.line() as u32, column: span.start.col() as u32 + 1 }
    }

    fn wrong<T>(&self, place: Place, message: impl Into<String>) -> Result<T, Complaint> {
        Err(Complaint { place, message: message.into(), is_syntax: false })
    }

    fn next(&mut self) -> Result<(Event<'s>, Span), Complaint> {
        match self.parser.next() {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => {
                let (line, column) = (error.marker().line() as u32, error.marker().col() as u32 + 1);
                let place = Place { file: self.file, line: line.max(1), column };
                Err(Complaint { place, message: format!("not YAML: {}", error.info()), is_syntax: true })
            }
            None => {
                let place = Place { file: self.file, line: 1, column: 1 };
                Err(Complaint { place, message: "the file ends too early".to_owned(), is_syntax: true })
            }
        }
    }

    /// The one document of the file.
    fn document(&mut self, start: Place) -> Result<Node, Complaint> {
        let mut root: Option<Node> = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => break,
                _ if root.is_some() => {
                    let message = "a second document begins here; a config is one, put it in another file";
                    return self.wrong(self.place(span), message);
                }
                event => root = Some(self.node(event, span, 0)?),
            }
        }
        Ok(match root {
            None | Some(Node { kind: Kind::Null, .. }) => Node::empty_map(start),
            Some(root) => root,
        })
    }

    fn node(&mut self, event: Event<'s>, span: Span, depth: usize) -> Result<Node, Complaint> {
        let place = self.place(span);
        if depth > DEPTH_MAX {
            return self.wrong(place, format!("nested deeper than {DEPTH_MAX}"));
        }
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, self.scalar(&text, style, tag.as_deref(), span)?)
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                (anchor, Node { kind: Kind::List(items), place, hidden: None })
            }
            Event::MappingStart(anchor, _) => {
                (anchor, Node { kind: Kind::Map(self.map(depth)?), place, hidden: None })
            }
            Event::Alias(anchor) => return self.alias(anchor, place, depth),
            _ => return self.wrong(place, "not YAML that is understood here"),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, place: Place, depth: usize) -> Result<Node, Complaint> {
        let Some(node) = self.anchors.get(&anchor) else {
            return self.wrong(place, "an alias (*name) of something that is not whole yet");
        };
        self.aliased += node.size();
        if self.aliased > ALIASED_NODES_MAX || depth + node.depth() > DEPTH_MAX {
            return self.wrong(place, "aliases (*name) make too much of this file; write the values out");
        }
        Ok(node.clone())
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, Complaint> {
        let mut members: Vec<Entry> = Vec::new();
        let mut merged: Vec<Entry> = Vec::new();
        let mut places: HashMap<String, Place> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            let place = self.place(span);
            let name = match event {
                Event::MappingEnd => break,
                Event::Scalar(name, ..) => name.into_owned(),
                _ => return self.wrong(place, "a key must be a word"),
            };
            if let Some(first) = places.insert(name.clone(), place) {
                let message = format!(
                    "{name:?} stands here a second time; it was at line {}, column {} before",
                    first.line, first.column
                );
                return self.wrong(place, message);
            }
            let (event, span) = self.next()?;
            let is_secret = usize::from(is_secret(&name));
            self.secret_depth += is_secret;
            let value = self.node(event, span, depth + 1)?;
            self.secret_depth -= is_secret;
            match (name.as_str(), &value.kind) {
                ("<<", Kind::Map(_)) => merged.extend_from_slice(value.members()),
                ("<<", Kind::List(items)) => {
                    merged.extend(items.iter().flat_map(|item| item.members().iter().cloned()));
                }
                _ => members.push(Entry { name, place, value }),
            }
        }
        for entry in merged {
            if !places.contains_key(&entry.name) {
                places.insert(entry.name.clone(), entry.place);
                members.push(entry);
            }
        }
        Ok(members)
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<Node, Complaint> {
        let place = self.place(span);
        if self.secret_depth > 0 {
            self.hide(span);
        }
        let is_text = match tag {
            None => style != ScalarStyle::Plain,
            Some(tag) if tag.handle.contains("yaml.org") || tag.handle == "!!" => {
                style != ScalarStyle::Plain || tag.suffix == "str"
            }
            Some(tag) => {
                return self.wrong(place, format!("the tag {}{} means nothing here", tag.handle, tag.suffix));
            }
        };
        let typed = |text: &str| if is_text { Kind::Str(text.to_owned()) } else { plain(text) };
        match (self.expand)(text) {
            Ok(None) => {
                // What stands below the name of a secret is text that is never shown.
                let hidden = (self.secret_depth > 0).then(|| text.to_owned());
                Ok(Node { kind: typed(text), place, hidden })
            }
            Ok(Some(expanded)) => {
                let is_hidden = expanded.is_foreign || self.secret_depth > 0;
                let kind = typed(&expanded.text);
                Ok(Node { kind, place, hidden: is_hidden.then_some(expanded.text) })
            }
            Err(message) => self.wrong(place, message),
        }
    }

    fn hide(&mut self, span: Span) {
        let (start, end) = (span.start, span.end);
        for line in start.line()..=end.line() {
            let from = if line == start.line() { start.col() as u32 + 1 } else { 1 };
            let to = if line == end.line() { end.col() as u32 + 1 } else { u32::MAX };
            self.secrets.push(SecretSpan { file: self.file, line: line as u32, from, to });
        }
    }
}

/// The type of a text without quotes.
fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" => return Kind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Kind::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Kind::Float(f64::NAN),
        _ => {}
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let whole = if let Some(hex) = text.strip_prefix("0x") {
        u64::from_str_radix(hex, 16).ok().map(i128::from)
    } else if let Some(octal) = text.strip_prefix("0o") {
        u64::from_str_radix(octal, 8).ok().map(i128::from)
    } else if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let whole = text.parse::<i128>().ok();
        whole.filter(|whole| (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(whole))
    } else {
        None
    };
    if let Some(whole) = whole {
        return Kind::Int(whole);
    }
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
        && digits.contains(|c: char| c.is_ascii_digit());
    match text.parse::<f64>() {
        Ok(number) if is_number => Kind::Float(number),
        _ => Kind::Str(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expand::{Machine, expand};

    fn tree(text: &str) -> Result<Node, Problem> {
        let sources = [Source { name: "c.yaml".into(), text: text.into() }];
        read(&mut Files { sources: &sources, secrets: Vec::new() }, 0, &|text| expand(text, &Machine))
    }

    #[test]
    fn scalars_have_types() {
        #[track_caller]
        fn check(text: &str, kind: &str) {
            let node = tree(&format!("a: {text}")).unwrap();
            assert_eq!(format!("{:?}", node.get("a").unwrap().kind), kind);
        }
        check("true", "Bool(true)");
        check("yes", r#"Str("yes")"#);
        check("\"true\"", r#"Str("true")"#);
        check("0x1f", "Int(31)");
        check("0o17", "Int(15)");
        check("-12", "Int(-12)");
        check("+12", "Int(12)");
        check("18446744073709551615", "Int(18446744073709551615)");
        check("1e3", "Float(1000.0)");
        check(".5", "Float(0.5)");
        check("-.inf", "Float(-inf)");
        check("1.2.3", r#"Str("1.2.3")"#);
        check("64MiB", r#"Str("64MiB")"#);
        check("2026-11-21", r#"Str("2026-11-21")"#);
        check("inf", r#"Str("inf")"#);
        check("~", "Null");
        check("'5'", r#"Str("5")"#);
        check("!!str 5", r#"Str("5")"#);
    }

    #[test]
    fn aliases_are_filled_in_within_limits() {
        let node = tree("a: &x {b: 1, c: 2}\nd: *x\ne: {<<: *x, b: 3}").unwrap();
        assert_eq!(node.get("d").unwrap().members().len(), 2);
        let merged = node.get("e").unwrap();
        assert!(matches!(merged.get("b").unwrap().kind, Kind::Int(3)));
        assert!(matches!(merged.get("c").unwrap().kind, Kind::Int(2)));

        let mut bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned();
        for n in 1..20 {
            let before = n - 1;
            bomb += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{before}"); 10].join(","));
        }
        assert!(tree(&bomb).unwrap_err().message.contains("aliases"));
        assert!(tree(&"[".repeat(10_000)).is_err());
        assert!(
            tree(&format!("{}{}", "[".repeat(100), "]".repeat(100))).unwrap_err().message.contains("deeper")
        );
    }

    #[test]
    fn one_document_and_each_key_once() {
        assert!(tree("").unwrap().members().is_empty());
        assert!(tree("# nothing\n---\n...\n").unwrap().members().is_empty());
        assert!(tree("a: 1\n---\nb: 2\n").unwrap_err().message.contains("second document"));
        let twice = tree("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!((twice.line, twice.column), (3, 1));
        assert!(twice.message.contains("line 1, column 1"), "{}", twice.message);
    }
}
