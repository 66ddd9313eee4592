//! From a source to what is indexed of it.

use crate::index::{COLUMN_BYTES_MAX, Fields};
use crate::mapping::{FieldType, Mapping};
use serde_json::{Map, Value};
use tantivy::TantivyDocument;
use tantivy::schema::OwnedValue;

/// Fills a document from its source and returns its time, if the source has one. A value
/// that does not fit the mapping stays in the source alone.
pub(crate) fn fill(
    entry: &mut TantivyDocument,
    fields: &Fields,
    mapping: &mut Mapping,
    source: &[u8],
) -> Option<i64> {
    let Ok(Value::Object(source)) = serde_json::from_slice::<Value>(source) else { return None };
    let mut walk = Walk { mapping, columns: Vec::new(), texts: Vec::new(), message: None, time: None };
    walk.object("", source, 0);
    let Walk { columns, texts, message, time, .. } = walk;
    if let Some(message) = message {
        entry.add_text(fields.message, message);
    }
    if !columns.is_empty() {
        entry.add_object(fields.columns, columns.into_iter().collect());
    }
    if !texts.is_empty() {
        entry.add_object(fields.texts, texts.into_iter().collect());
    }
    time
}

struct Walk<'m> {
    mapping: &'m mut Mapping,
    columns: Vec<(String, OwnedValue)>,
    texts: Vec<(String, OwnedValue)>,
    message: Option<String>,
    time: Option<i64>,
}

impl Walk<'_> {
    fn object(&mut self, prefix: &str, object: Map<String, Value>, depth: usize) {
        if depth > event::DEPTH_MAX {
            return;
        }
        for (name, value) in object {
            let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            self.value(name, value, depth);
        }
    }

    fn value(&mut self, name: String, value: Value, depth: usize) {
        match value {
            Value::Object(inner) => self.object(&name, inner, depth + 1),
            Value::Array(values) => {
                let mut kept = Vec::new();
                for value in values {
                    match value {
                        Value::Object(_) | Value::Array(_) => self.value(name.clone(), value, depth + 1),
                        leaf => kept.extend(self.leaf(&name, leaf)),
                    }
                }
                if !kept.is_empty() {
                    self.columns.push((name, OwnedValue::Array(kept)));
                }
            }
            leaf => {
                if let Some(value) = self.leaf(&name, leaf) {
                    self.columns.push((name, value));
                }
            }
        }
    }

    /// The value for the column, if it has one.
    fn leaf(&mut self, name: &str, value: Value) -> Option<OwnedValue> {
        if name == "@timestamp" {
            self.time = self.time.or_else(|| time_of(&value));
            self.mapping.learn(name, FieldType::Date);
            return None;
        }
        if name == "message" {
            self.mapping.learn(name, FieldType::Text);
            match (value, &mut self.message) {
                (Value::String(text), message @ None) => *message = Some(text),
                (Value::String(text), Some(message)) => {
                    message.push(' ');
                    message.push_str(&text);
                }
                (Value::Null, _) => {}
                (other, message) => *message = Some(other.to_string()),
            }
            return None;
        }
        let known = self.mapping.learn(name, type_of(&value)?)?;
        if known == FieldType::Text
            && let Value::String(text) = &value
            && text.len() > COLUMN_BYTES_MAX
        {
            self.texts.push((name.to_owned(), OwnedValue::Str(text.clone())));
            return None;
        }
        fit(known, value)
    }
}

/// The type that a value has by itself; none for null.
pub(crate) fn type_of(value: &Value) -> Option<FieldType> {
    Some(match value {
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
        Value::Bool(_) => FieldType::Boolean,
        Value::Number(number) if number.is_f64() => FieldType::Double,
        Value::Number(_) => FieldType::Long,
        Value::String(text) if looks_like_time(text) => FieldType::Date,
        Value::String(_) => FieldType::Text,
    })
}

fn looks_like_time(text: &str) -> bool {
    text.len() >= 10
        && text.as_bytes()[0].is_ascii_digit()
        && event::time::parse_rfc3339(text.as_bytes()).is_some()
}

/// The value as the type of its field, as Elasticsearch coerces; none when it does not fit.
pub(crate) fn fit(known: FieldType, value: Value) -> Option<OwnedValue> {
    Some(match (known, value) {
        (FieldType::Text, Value::String(text)) => OwnedValue::Str(text),
        (FieldType::Text, other) => OwnedValue::Str(other.to_string()),
        (FieldType::Long, Value::Number(number)) => match number.as_i64() {
            Some(value) => OwnedValue::I64(value),
            None => OwnedValue::F64(number.as_f64()?.trunc()),
        },
        (FieldType::Long, Value::String(text)) => OwnedValue::I64(text.trim().parse().ok()?),
        (FieldType::Double, Value::Number(number)) => OwnedValue::F64(number.as_f64()?),
        (FieldType::Double, Value::String(text)) => OwnedValue::F64(text.trim().parse().ok()?),
        (FieldType::Boolean, Value::Bool(value)) => OwnedValue::Bool(value),
        (FieldType::Boolean, Value::String(text)) => OwnedValue::Bool(text.parse().ok()?),
        (FieldType::Date, value) => {
            OwnedValue::Date(tantivy::DateTime::from_timestamp_nanos(time_of(&value)?))
        }
        _ => return None,
    })
}

/// A time: RFC 3339, or milliseconds since 1970.
fn time_of(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => event::time::parse_rfc3339(text.as_bytes()),
        Value::Number(number) => number.as_i64()?.checked_mul(1_000_000),
        _ => None,
    }
}
