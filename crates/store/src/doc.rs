//! From a source to what is indexed of it.
//!
//! A source is read once, as a stream, into flat memory that is kept from document to
//! document: no tree of values is built.

use crate::index::{COLUMN_BYTES_MAX, Fields};
use crate::mapping::{FieldType, Mapping};
use crate::query::Value as Held;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;
use tantivy::schema::Field;
use tantivy::schema::document::{ReferenceValue, ReferenceValueLeaf, Value};
use tantivy::{DateTime, TantivyDocument};

/// The field that names the values of an event that did not fit, as in Elasticsearch.
const IGNORED: &str = "_ignored";

/// What names and text of one source may take in memory. Each value has its whole dotted name, so
/// a short source can have endless ones; what stands behind this much is found by words alone.
const ARENA_BYTES_MAX: usize = 64 << 20;

/// What an index holds of a document beside its source.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Indexed {
    /// The text whose words are found: all values of `message`, with blanks between them.
    pub message: Option<String>,
    /// Its `@timestamp`, in nanoseconds UTC.
    pub time: Option<i64>,
    /// The other values with the dotted names of their fields, in the order of the source. Values
    /// of `_ignored` name the fields of those that do not fit their type.
    pub values: Vec<(String, Held)>,
}

/// What an index with these types of fields holds of a document, a JSON object. Fields that are
/// new get their types; what is damaged is indexed up to the damage.
pub fn indexed(mapping: &mut Mapping, source: &[u8]) -> Indexed {
    let mut reader = SourceReader::default();
    let Some(source) = reader.read(mapping, source) else { return Indexed::default() };
    let values = reader.leaves.iter().map(|leaf| {
        let value = match &leaf.value {
            Stored::Text(text) => Held::Str(reader.text(source, text).to_owned()),
            Stored::Int(value) => Held::Int(*value),
            Stored::Float(value) => Held::Float(*value),
            Stored::Bool(value) => Held::Bool(*value),
            Stored::Date(value) => Held::Time(*value),
        };
        (reader.arena[leaf.name.clone()].to_owned(), value)
    });
    Indexed {
        values: values.collect(),
        message: reader.message(source).map(str::to_owned),
        time: reader.time,
    }
}

/// Reads sources, one after the other.
#[derive(Default)]
pub(crate) struct SourceReader {
    /// Names of fields and text that does not stand in the source as it is.
    arena: String,
    leaves: Vec<Leaf>,
    message: Option<Message>,
    /// The message where it is not one text of the source.
    joined: String,
    time: Option<i64>,
    /// The types of fields that were said before any value was seen.
    pub(crate) declared: Arc<Mapping>,
}

struct Leaf {
    name: Range<usize>,
    value: Stored,
    in_texts: bool,
}

/// Where a text stands.
#[derive(Clone)]
enum Text {
    Source(Range<usize>),
    Arena(Range<usize>),
}

/// Where the message stands.
enum Message {
    Source(Range<usize>),
    Joined,
}

enum Stored {
    Text(Text),
    Int(i64),
    Float(f64),
    Bool(bool),
    Date(i64),
}

impl SourceReader {
    /// Fills a document from its source and returns its time, if the source has one. A value
    /// that does not fit the mapping stays in the source alone, and is named.
    pub(crate) fn fill(
        &mut self,
        entry: &mut TantivyDocument,
        fields: &Fields,
        mapping: &mut Mapping,
        source: &[u8],
    ) -> Option<i64> {
        let source = self.read(mapping, source)?;
        if let Some(message) = self.message(source) {
            entry.add_text(fields.message, message);
        }
        self.add_leaves(entry, fields.columns, source, false);
        self.add_leaves(entry, fields.texts, source, true);
        self.time
    }

    /// Takes a source apart and gives it back as text; none when it is not UTF-8.
    fn read<'s>(&mut self, mapping: &mut Mapping, source: &'s [u8]) -> Option<&'s str> {
        self.arena.clear();
        self.leaves.clear();
        self.joined.clear();
        (self.message, self.time) = (None, None);
        let source = std::str::from_utf8(source).ok()?;
        let name = 0..0;
        let walk = Walk { reader: self, mapping, source, name, depth: 0, is_root: true };
        // What is damaged behind its beginning is indexed up to there.
        let _ = walk.deserialize(&mut serde_json::Deserializer::from_str(source));
        Some(source)
    }

    fn message<'a>(&'a self, source: &'a str) -> Option<&'a str> {
        Some(match self.message.as_ref()? {
            Message::Source(range) => &source[range.clone()],
            Message::Joined => &self.joined,
        })
    }

    fn add_leaves(&self, entry: &mut TantivyDocument, field: Field, source: &str, in_texts: bool) {
        let own = || self.leaves.iter().filter(|leaf| leaf.in_texts == in_texts);
        if own().next().is_some() {
            let values: Vec<(&str, ReferenceValueLeaf<'_>)> = own()
                .map(|leaf| {
                    let value = match &leaf.value {
                        Stored::Text(text) => ReferenceValueLeaf::Str(self.text(source, text)),
                        Stored::Int(value) => ReferenceValueLeaf::I64(*value),
                        Stored::Float(value) => ReferenceValueLeaf::F64(*value),
                        Stored::Bool(value) => ReferenceValueLeaf::Bool(*value),
                        Stored::Date(value) => {
                            ReferenceValueLeaf::Date(DateTime::from_timestamp_nanos(*value))
                        }
                    };
                    (&self.arena[leaf.name.clone()], value)
                })
                .collect();
            entry.add_field_value(field, Flat::Object(&values));
        }
    }

    fn text<'a>(&'a self, source: &'a str, text: &Text) -> &'a str {
        match text {
            Text::Source(range) => &source[range.clone()],
            Text::Arena(range) => &self.arena[range.clone()],
        }
    }

    fn keep(&mut self, text: &str) -> Range<usize> {
        let from = self.arena.len();
        self.arena.push_str(text);
        from..self.arena.len()
    }
}

/// A value as tantivy reads it; members of the same name are several values of one field.
#[derive(Debug, Clone)]
enum Flat<'a> {
    Object(&'a [(&'a str, ReferenceValueLeaf<'a>)]),
    Leaf(ReferenceValueLeaf<'a>),
}

impl<'a> Value<'a> for Flat<'a> {
    type ArrayIter = std::iter::Empty<Self>;
    type ObjectIter = Members<'a>;

    fn as_value(&self) -> ReferenceValue<'a, Self> {
        match self {
            Flat::Object(members) => ReferenceValue::Object(Members(members.iter())),
            Flat::Leaf(leaf) => ReferenceValue::Leaf(leaf.clone()),
        }
    }
}

struct Members<'a>(std::slice::Iter<'a, (&'a str, ReferenceValueLeaf<'a>)>);

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Flat<'a>);
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, leaf)| (*name, Flat::Leaf(leaf.clone())))
    }
}

/// Walks one value of the source; `name` is its dotted name in the arena.
struct Walk<'w> {
    reader: &'w mut SourceReader,
    mapping: &'w mut Mapping,
    source: &'w str,
    name: Range<usize>,
    depth: usize,
    is_root: bool,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        loop {
            let is_beyond = self.depth > event::DEPTH_MAX || self.reader.arena.len() > ARENA_BYTES_MAX;
            if is_beyond {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(());
            }
            let from = self.reader.arena.len();
            if !self.is_root {
                self.reader.arena.extend_from_within(self.name.clone());
                self.reader.arena.push('.');
            }
            if map.next_key_seed(Key(&mut self.reader.arena))?.is_none() {
                return Ok(());
            }
            map.next_value_seed(Walk {
                name: from..self.reader.arena.len(),
                reader: self.reader,
                mapping: self.mapping,
                source: self.source,
                depth: self.depth + 1,
                is_root: false,
            })?;
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        if self.depth > event::DEPTH_MAX {
            while values.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        while values
            .next_element_seed(Walk {
                name: self.name.clone(),
                reader: self.reader,
                mapping: self.mapping,
                source: self.source,
                depth: self.depth + 1,
                is_root: false,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<(), E> {
        let from = text.as_ptr() as usize - self.source.as_ptr() as usize;
        let place = Text::Source(from..from + text.len());
        self.leaf(Scalar::Text(text), Some(place));
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.leaf(Scalar::Text(text), None);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.leaf(Scalar::Bool(value), None);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.leaf(Scalar::Int(value), None);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.leaf(Scalar::whole(value), None);
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.leaf(Scalar::Float(value), None);
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The key of a member, at the end of the arena.
struct Key<'w>(&'w mut String);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<(), E> {
        self.0.push_str(name);
        Ok(())
    }
}

impl Walk<'_> {
    /// Takes a value; `place` is where its text stands in the source, as it is.
    fn leaf(self, value: Scalar<'_>, place: Option<Text>) {
        let Self { reader, mapping, name, .. } = self;
        if self.is_root {
            return;
        }
        match &reader.arena[name.clone()] {
            "@timestamp" => {
                reader.time = reader.time.or_else(|| value.time());
                mapping.learn("@timestamp", FieldType::Date);
                return;
            }
            "message" => {
                mapping.learn("message", FieldType::Text);
                reader.add_message(&value, place, self.source);
                return;
            }
            _ => {}
        }
        let own = &reader.arena[name.clone()];
        let kind = reader.declared.0.get(own).copied().unwrap_or_else(|| value.own_type());
        let Some(known) = mapping.learn(own, kind) else { return };
        let mut in_texts = false;
        let value = match value.fit(known) {
            Some(Fitted::Text(text)) => {
                in_texts = text.len() > COLUMN_BYTES_MAX;
                Stored::Text(place.unwrap_or_else(|| Text::Arena(reader.keep(text))))
            }
            Some(Fitted::Shown) => {
                let from = reader.arena.len();
                let _ = write!(reader.arena, "{value}");
                Stored::Text(Text::Arena(from..reader.arena.len()))
            }
            Some(Fitted::Int(value)) => Stored::Int(value),
            Some(Fitted::Float(value)) => Stored::Float(value),
            Some(Fitted::Bool(value)) => Stored::Bool(value),
            Some(Fitted::Date(value)) => Stored::Date(value),
            None => {
                let ignored = reader.keep(IGNORED);
                reader.leaves.push(Leaf {
                    name: ignored,
                    value: Stored::Text(Text::Arena(name)),
                    in_texts: false,
                });
                return;
            }
        };
        reader.leaves.push(Leaf { name, value, in_texts });
    }
}

impl SourceReader {
    fn add_message(&mut self, value: &Scalar<'_>, place: Option<Text>, source: &str) {
        match (self.message.take(), place) {
            (None, Some(Text::Source(range))) => {
                self.message = Some(Message::Source(range));
                return;
            }
            (None, _) => {}
            (Some(Message::Source(range)), _) => self.joined.extend([&source[range], " "]),
            (Some(Message::Joined), _) => self.joined.push(' '),
        }
        let _ = write!(self.joined, "{value}");
        self.message = Some(Message::Joined);
    }
}

/// A value of JSON that is no object, array or null.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar<'a> {
    Text(&'a str),
    Int(i64),
    Float(f64),
    Bool(bool),
}

/// A value as the type of its field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fitted<'a> {
    Text(&'a str),
    /// The value's own text.
    Shown,
    Int(i64),
    Float(f64),
    Bool(bool),
    Date(i64),
}

impl<'a> Scalar<'a> {
    pub(crate) fn of(value: &'a serde_json::Value) -> Option<Self> {
        Some(match value {
            serde_json::Value::String(text) => Scalar::Text(text),
            serde_json::Value::Bool(value) => Scalar::Bool(*value),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Scalar::Int(value),
                (_, Some(value)) => Scalar::whole(value),
                _ => Scalar::Float(number.as_f64()?),
            },
            _ => return None,
        })
    }

    fn whole(value: u64) -> Self {
        i64::try_from(value).map_or(Scalar::Float(value as f64), Scalar::Int)
    }

    /// The type that it has by itself.
    pub(crate) fn own_type(&self) -> FieldType {
        match self {
            Scalar::Bool(_) => FieldType::Boolean,
            Scalar::Float(_) => FieldType::Double,
            Scalar::Int(_) => FieldType::Long,
            Scalar::Text(text) if looks_like_time(text) => FieldType::Date,
            Scalar::Text(_) => FieldType::Text,
        }
    }

    /// The value as the type of its field, as Elasticsearch coerces; none when it does not fit.
    pub(crate) fn fit(&self, known: FieldType) -> Option<Fitted<'a>> {
        Some(match (known, *self) {
            (FieldType::Text | FieldType::Keyword, Scalar::Text(text)) => Fitted::Text(text),
            (FieldType::Text | FieldType::Keyword, _) => Fitted::Shown,
            (FieldType::Long, Scalar::Int(value)) => Fitted::Int(value),
            (FieldType::Long, Scalar::Float(value)) => Fitted::Float(value.trunc()),
            (FieldType::Long, Scalar::Text(text)) => Fitted::Int(text.trim().parse().ok()?),
            (FieldType::Double, Scalar::Int(value)) => Fitted::Float(value as f64),
            (FieldType::Double, Scalar::Float(value)) => Fitted::Float(value),
            (FieldType::Double, Scalar::Text(text)) => Fitted::Float(text.trim().parse().ok()?),
            (FieldType::Boolean, Scalar::Bool(value)) => Fitted::Bool(value),
            (FieldType::Boolean, Scalar::Text(text)) => Fitted::Bool(text.parse().ok()?),
            (FieldType::Date, value) => Fitted::Date(value.time()?),
            _ => return None,
        })
    }

    /// A time: RFC 3339, or milliseconds since 1970.
    fn time(&self) -> Option<i64> {
        match self {
            Scalar::Text(text) => event::time::parse_rfc3339(str::as_bytes(text)),
            Scalar::Int(millis) => millis.checked_mul(1_000_000),
            _ => None,
        }
    }
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Text(text) => f.write_str(text),
            Scalar::Int(value) => write!(f, "{value}"),
            // As JSON writes it: 1.0, not 1.
            Scalar::Float(value) => write!(f, "{value:?}"),
            Scalar::Bool(value) => write!(f, "{value}"),
        }
    }
}

fn looks_like_time(text: &str) -> bool {
    text.len() >= 10
        && text.as_bytes()[0].is_ascii_digit()
        && event::time::parse_rfc3339(text.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_take_the_type_of_their_field() {
        for (known, value, expected) in [
            (FieldType::Text, Scalar::Text("a"), Some(Fitted::Text("a"))),
            (FieldType::Text, Scalar::Int(5), Some(Fitted::Shown)),
            (FieldType::Long, Scalar::Text(" 42 "), Some(Fitted::Int(42))),
            (FieldType::Long, Scalar::Text("4x"), None),
            (FieldType::Long, Scalar::Float(4.9), Some(Fitted::Float(4.0))),
            (FieldType::Long, Scalar::Bool(true), None),
            (FieldType::Double, Scalar::Int(3), Some(Fitted::Float(3.0))),
            (FieldType::Boolean, Scalar::Text("true"), Some(Fitted::Bool(true))),
            (FieldType::Boolean, Scalar::Int(1), None),
            (FieldType::Date, Scalar::Text("1970-01-01T00:00:01Z"), Some(Fitted::Date(1_000_000_000))),
            (FieldType::Date, Scalar::Int(2), Some(Fitted::Date(2_000_000))),
            (FieldType::Date, Scalar::Text("soon"), None),
        ] {
            assert_eq!(value.fit(known), expected, "{value} as {known:?}");
        }
    }

    #[test]
    fn a_source_becomes_flat_leaves() {
        let mut mapping = Mapping::default();
        mapping.learn("n", FieldType::Long);
        let source = r#"{"@timestamp":"1970-01-01T00:00:02Z","message":"a","b":{"c":[1,2],"d\n":"x\ty"},"n":"no","e":{},"f":null,"message":"é"}"#;
        let found = indexed(&mut mapping, source.as_bytes());
        assert_eq!(found.time, Some(2_000_000_000));
        let values: Vec<String> =
            found.values.iter().map(|(name, value)| format!("{name}={}", value.text())).collect();
        assert_eq!(values, ["b.c=1", "b.c=2", "b.d\n=x\ty", "_ignored=n"]);
        assert_eq!(found.message.as_deref(), Some("a é"));
        let fields: Vec<&str> = mapping.0.keys().map(String::as_str).collect();
        assert_eq!(fields, ["@timestamp", "b.c", "b.d\n", "message", "n"]);
    }

    #[test]
    fn messages_are_joined() {
        #[track_caller]
        fn check(source: &str, message: Option<&str>) {
            assert_eq!(indexed(&mut Mapping::default(), source.as_bytes()).message.as_deref(), message);
        }
        check("{}", None);
        check(r#"{"message":"a"}"#, Some("a"));
        check(r#"{"message":"a\nb"}"#, Some("a\nb"));
        check(r#"{"message":5}"#, Some("5"));
        check(r#"{"message":["a",1.0,true,null,"é\t"]}"#, Some("a 1.0 true é\t"));
        check(r#"{"message":["a\n"],"x":"y\n","message":"b","message":{"message":"c"}}"#, Some("a\n b"));
    }

    #[test]
    fn a_small_source_takes_little_memory() {
        let mut reader = SourceReader::default();
        let mut held = |source: &str| {
            reader.read(&mut Mapping::default(), source.as_bytes()).expect("text");
            reader.arena.capacity() + reader.joined.capacity()
        };
        let many = |part: &str| vec![part; 100_000].join(",");
        assert!(held(&format!("{{\"message\":[{}]}}", many("\"a\""))) < 1 << 20);
        assert!(held(&format!("{{{}}}", many("\"message\":\"a\""))) < 4 << 20);
        let name = "k".repeat(10_000);
        assert!(held(&format!("{{\"{name}\":[{}]}}", many("{\"a\":1}"))) < 4 * ARENA_BYTES_MAX);
    }
}
