//! What all events of one origin have in common, encoded once.

use crate::json;
use crate::path::Path;
use crate::value::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// Where events come from: one file, partition or connection, whose events have an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Origin {
    /// The own id: random, from the registry, or a hash of what it is everywhere (Kafka).
    pub id: [u8; 16],
    /// Counts how often the origin began anew (a file that was truncated).
    pub generation: u32,
}

/// A value that all events of an origin share, or the position, which each has for itself.
#[derive(Debug, Clone, PartialEq)]
pub enum CommonValue {
    /// Text.
    Str(String),
    /// A whole number.
    Int(i64),
    /// JSON text.
    Json(String),
    /// The position of the event in its origin, such as `log.offset`.
    Position,
}

impl CommonValue {
    pub(crate) fn value(&self, position: u64) -> Value<'_> {
        match self {
            CommonValue::Str(text) => Value::Str(Cow::Borrowed(text.as_bytes())),
            CommonValue::Int(value) => Value::Int(*value),
            CommonValue::Json(text) => Value::Json(Cow::Borrowed(text)),
            CommonValue::Position => Value::Int(position as i64),
        }
    }
}

/// What all events of one origin have in common: who they are from, and fields such as
/// `host.name` and `log.file.path`.
#[derive(Debug)]
pub struct Common {
    origin: Origin,
    fields: Vec<(Path, CommonValue)>,
    tops: Path,
    /// The members as JSON, without braces; the position, if any, stands between the two.
    head: Vec<u8>,
    tail: Vec<u8>,
}

enum Node<'a> {
    Leaf(&'a CommonValue),
    Object(Vec<(&'a str, Node<'a>)>),
}

impl Common {
    /// The fields, by dotted paths in the order in which they are written. At most one may be
    /// the [position](CommonValue::Position). A later field replaces an equal earlier one.
    pub fn new<P: AsRef<str>>(
        origin: Origin,
        fields: impl IntoIterator<Item = (P, CommonValue)>,
    ) -> Arc<Self> {
        let fields: Vec<_> =
            fields.into_iter().map(|(path, value)| (Path::of(path.as_ref().split('.')), value)).collect();
        let mut root = Vec::new();
        for (path, value) in &fields {
            let names: Vec<&str> = path.names().collect();
            insert(&mut root, &names, value);
        }
        let mut head = Vec::new();
        let mut tail = None;
        write_members(&root, &mut head, &mut tail);
        let tops: Vec<&str> = root.iter().map(|(name, _)| *name).collect();
        let tops = Path::of(tops);
        let tail = tail.map_or_else(Vec::new, |at| head.split_off(at));
        Arc::new(Self { origin, fields, tops, head, tail })
    }

    /// Of an origin whose events have no field in common.
    pub fn none(origin: Origin) -> Arc<Self> {
        Self::new(origin, std::iter::empty::<(&str, CommonValue)>())
    }

    /// Whom the events are from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The fields by their paths.
    pub fn fields(&self) -> &[(Path, CommonValue)] {
        &self.fields
    }

    /// The text of one of the fields.
    pub fn text(&self, dotted: &str) -> Option<&str> {
        self.fields.iter().find_map(|(path, value)| match value {
            CommonValue::Str(text) if path.dotted() == dotted => Some(text.as_str()),
            _ => None,
        })
    }

    /// The outermost names.
    pub(crate) fn tops(&self) -> &Path {
        &self.tops
    }

    pub(crate) fn write_members(&self, position: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        if !self.tail.is_empty() {
            json::write_int(position as i64, out);
            // The first byte of the tail holds the place of the position, so that a
            // position at the very end still has a tail.
            out.extend_from_slice(&self.tail[1..]);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    pub(crate) fn get(&self, path: &Path, position: u64) -> Option<Value<'_>> {
        let first = path.names().next()?;
        if !self.tops.names().any(|own| own == first) {
            return None;
        }
        if let Some((_, value)) = self.fields.iter().rev().find(|(own, _)| own == path) {
            return Some(value.value(position));
        }
        let wanted = path.names().count();
        let covers =
            |own: &Path| own.names().count() > wanted && own.names().zip(path.names()).all(|(a, b)| a == b);
        if !self.fields.iter().any(|(own, _)| covers(own)) {
            return None;
        }
        let mut text = vec![b'{'];
        self.write_members(position, &mut text);
        text.push(b'}');
        let text = String::from_utf8(text).ok()?;
        json::dig(&text, path.parts()).map(|value| match value {
            Value::Json(inner) => Value::Json(Cow::Owned(inner.into_owned())),
            _ => Value::Null,
        })
    }
}

fn insert<'a>(nodes: &mut Vec<(&'a str, Node<'a>)>, names: &[&'a str], value: &'a CommonValue) {
    let (name, rest) = (names[0], &names[1..]);
    let at = match nodes.iter().position(|(own, _)| *own == name) {
        Some(at) => at,
        None => {
            nodes.push((name, Node::Object(Vec::new())));
            nodes.len() - 1
        }
    };
    if rest.is_empty() {
        nodes[at].1 = Node::Leaf(value);
        return;
    }
    if !matches!(nodes[at].1, Node::Object(_)) {
        nodes[at].1 = Node::Object(Vec::new());
    }
    if let Node::Object(inner) = &mut nodes[at].1 {
        insert(inner, rest, value);
    }
}

fn write_members(nodes: &[(&str, Node<'_>)], out: &mut Vec<u8>, position: &mut Option<usize>) {
    for (n, (name, node)) in nodes.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        json::write_str(name.as_bytes(), out);
        out.push(b':');
        match node {
            Node::Leaf(CommonValue::Position) => {
                *position = Some(out.len());
                out.push(b'0');
            }
            Node::Leaf(value) => value.value(0).write_json(out),
            Node::Object(inner) => {
                out.push(b'{');
                write_members(inner, out, position);
                out.push(b'}');
            }
        }
    }
}
