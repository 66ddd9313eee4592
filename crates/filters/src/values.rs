//! Values of an event as trees, for filters that change what lies within objects and arrays.

use crate::{BuildError, path};
use event::{DEPTH_MAX, Event, New, Path, SetError, Value};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::Arc;

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

/// Sets a field to a tree, if that is not too deep for an event.
pub(crate) fn set_tree(event: &mut Event<'_>, path: &Path, tree: &Json) -> Result<(), SetError> {
    if path.names().count() + depth_of(tree) > DEPTH_MAX {
        return Err(SetError::TooDeep);
    }
    match tree {
        Json::String(text) => event.set(path, New::Str(text.as_bytes())),
        other => event.set(path, New::Json(&other.to_string())),
    }
}

/// How many objects and arrays lie within each other.
pub(crate) fn depth_of(tree: &Json) -> usize {
    match tree {
        Json::Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Json::Object(members) => 1 + members.values().map(depth_of).max().unwrap_or(0),
        _ => 0,
    }
}

/// The outermost names of an event but the time and `@metadata`, which no filter means by *all*.
pub(crate) fn all_fields<'e>(event: &'e Event<'_>) -> impl Iterator<Item = &'e str> {
    event.all_names().filter(|name| is_field(name))
}

fn is_field(name: &str) -> bool {
    !matches!(name, "@metadata" | "@timestamp")
}

/// The fields that a filter looks at.
pub(crate) enum Fields {
    These(Vec<Path>),
    /// All outermost ones, as [`all_fields`] has them.
    All(Outermost),
}

/// Paths of outermost fields by their names, each made once.
#[derive(Default)]
pub(crate) struct Outermost {
    known: HashMap<Box<str>, Arc<Path>>,
    /// Those of the event under way.
    list: Vec<Arc<Path>>,
}

/// How many paths are kept; beyond, all are forgotten.
const KNOWN_MAX: usize = 10_000;

impl Fields {
    /// These fields; none: all.
    pub(crate) fn new(option: &'static str, fields: &[String]) -> Result<Self, BuildError> {
        if fields.is_empty() {
            return Ok(Fields::All(Outermost::default()));
        }
        fields.iter().map(|field| path(option, field)).collect::<Result<_, _>>().map(Fields::These)
    }

    /// Takes each field through `work`, which says whether all went well; so does this.
    pub(crate) fn each(
        &mut self,
        event: &mut Event<'_>,
        mut work: impl FnMut(&mut Event<'_>, &Path) -> bool,
    ) -> bool {
        match self {
            Fields::These(fields) => fields.iter().fold(true, |ok, field| work(event, field) & ok),
            Fields::All(outermost) => {
                outermost.find(event);
                outermost.list.drain(..).fold(true, |ok, field| work(event, &field) & ok)
            }
        }
    }
}

impl Outermost {
    fn find(&mut self, event: &Event<'_>) {
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
        for name in all_fields(event) {
            let path = match self.known.get(name) {
                Some(path) => path.clone(),
                None => {
                    let path = Arc::new(Path::of([name]));
                    self.known.insert(name.into(), path.clone());
                    path
                }
            };
            self.list.push(path);
        }
    }
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
