//! Values of an event as trees, for filters that change what lies within objects and arrays.

use event::{Event, New, Path, SetError, Value};
use serde_json::Value as Json;

/// A value as a tree. Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn tree_of(value: &Value<'_>) -> Json {
    match value {
        Value::Str(text) => String::from_utf8_lossy(text).into_owned().into(),
        Value::Json(text) => serde_json::from_str(text).unwrap_or_default(),
        other => {
            let mut text = Vec::new();
            other.write_json(&mut text);
            serde_json::from_slice(&text).unwrap_or_default()
        }
    }
}

/// Sets a field to a tree.
pub(crate) fn set_tree(event: &mut Event<'_>, path: &Path, tree: &Json) -> Result<(), SetError> {
    match tree {
        Json::String(text) => event.set(path, New::Str(text.as_bytes())),
        other => event.set(path, New::Json(&other.to_string())),
    }
}

/// The outermost fields of an event but the time and `@metadata`, which no filter means by *all*.
pub(crate) fn all_fields(event: &Event<'_>) -> Vec<Path> {
    event
        .all_names()
        .filter(|name| !matches!(*name, "@metadata" | "@timestamp"))
        .map(|name| Path::of([name]))
        .collect()
}

/// Changes every text in a tree by `change`, which says whether it did; so does this.
pub(crate) fn each_text(tree: &mut Json, change: &mut impl FnMut(&mut String) -> bool) -> bool {
    match tree {
        Json::String(text) => change(text),
        Json::Array(items) => items.iter_mut().fold(false, |changed, item| each_text(item, change) | changed),
        Json::Object(members) => {
            members.values_mut().fold(false, |changed, value| each_text(value, change) | changed)
        }
        _ => false,
    }
}

/// The text of a value, the first item of an array standing for it. Objects and null have none.
pub(crate) fn first_text(value: &Value<'_>) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::Json(json) if json.starts_with('[') => match serde_json::from_str(json).ok()? {
            Json::Array(items) => match items.first()? {
                Json::String(text) => Some(text.clone().into_bytes()),
                number @ (Json::Number(_) | Json::Bool(_)) => Some(number.to_string().into_bytes()),
                _ => None,
            },
            _ => None,
        },
        Value::Json(_) => None,
        other => {
            let mut text = Vec::new();
            other.write_text(&mut text);
            Some(text)
        }
    }
}
