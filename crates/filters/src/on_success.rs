//! What is done to an event when a filter succeeded on it, whatever filter it was: fields and
//! tags are added and removed, in this order. With the names that Logstash gave them.
//!
//! Texts are templates; a missing field leaves its reference standing.

use crate::place::{Place, rendered, template};
use crate::values::{set_tree, tree_of};
use crate::{BuildError, Outcome, one_or_many};
use event::{Event, New, Path, Value};
use expr::Template;
use serde::{Deserialize, Serialize};
use serde_json::Map;

/// What is done to an event when a filter succeeded on it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Fields that are set; a field that is there becomes an array with the value at its end.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub add_field: Map<String, serde_json::Value>,
    /// Fields that are removed.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub remove_field: Vec<String>,
    /// Tags that are added, each once.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub add_tag: Vec<String>,
    /// Tags that are removed.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub remove_tag: Vec<String>,
}

/// The same, compiled.
pub struct OnSuccess {
    add_field: Vec<(Place, Vec<Addition>)>,
    remove_field: Vec<Place>,
    add_tag: Vec<Template>,
    remove_tag: Vec<Template>,
    tags: Path,
}

enum Addition {
    Text(Template),
    Json(serde_json::Value),
}

impl Config {
    /// Whether nothing is done.
    pub fn is_empty(&self) -> bool {
        self.add_field.is_empty()
            && self.remove_field.is_empty()
            && self.add_tag.is_empty()
            && self.remove_tag.is_empty()
    }

    /// Compiles it.
    pub fn build(&self) -> Result<OnSuccess, BuildError> {
        let addition = |value: &serde_json::Value| {
            Ok(match value {
                serde_json::Value::String(text) => Addition::Text(template("add_field", text)?),
                other => Addition::Json(other.clone()),
            })
        };
        let field = |(name, value): (&String, &serde_json::Value)| {
            let values = match value {
                serde_json::Value::Array(items) => items.iter().map(addition).collect::<Result<_, _>>()?,
                one => vec![addition(one)?],
            };
            Ok((Place::new("add_field", name)?, values))
        };
        let templates = |option, texts: &[String]| {
            texts.iter().map(|text| template(option, text)).collect::<Result<Vec<_>, _>>()
        };
        Ok(OnSuccess {
            add_field: self.add_field.iter().map(field).collect::<Result<_, BuildError>>()?,
            remove_field: self
                .remove_field
                .iter()
                .map(|name| Place::new("remove_field", name))
                .collect::<Result<_, _>>()?,
            add_tag: templates("add_tag", &self.add_tag)?,
            remove_tag: templates("remove_tag", &self.remove_tag)?,
            tags: Path::of(["tags"]),
        })
    }
}

impl OnSuccess {
    /// Applies it; `now` is the clock reading of the batch. It fails where something does not
    /// fit into the event, and does the rest.
    pub fn apply(&self, event: &mut Event<'_>, now: i64) -> Outcome {
        let mut ok = true;
        for (place, values) in &self.add_field {
            let Some(path) = place.path(event, now) else { continue };
            for value in values {
                let value = match value {
                    Addition::Text(template) => {
                        String::from_utf8_lossy(&rendered(template, event, now)).into_owned().into()
                    }
                    Addition::Json(value) => value.clone(),
                };
                ok &= add(event, &path, value);
            }
        }
        for place in &self.remove_field {
            if let Some(path) = place.path(event, now) {
                event.remove(&path);
            }
        }
        let texts = |event: &Event<'_>, templates: &[Template]| {
            let text = |template| String::from_utf8_lossy(&rendered(template, event, now)).into_owned();
            templates.iter().map(text).collect::<Vec<String>>()
        };
        if !self.add_tag.is_empty() {
            let tags = texts(event, &self.add_tag);
            ok &= add_tags(event, &tags);
        }
        if !self.remove_tag.is_empty() {
            let gone = texts(event, &self.remove_tag);
            let before = tags_of(event, &self.tags);
            let left: Vec<_> = before.iter().filter(|tag| !gone.iter().any(|gone| *tag == gone)).collect();
            if left.len() < before.len() {
                let text = serde_json::to_string(&left).unwrap_or_default();
                ok &= event.set(&self.tags, New::Json(&text)).is_ok();
            }
        }
        Outcome::of(ok)
    }
}

/// Sets a field, or makes an array of what is there and the value.
fn add(event: &mut Event<'_>, path: &Path, value: serde_json::Value) -> bool {
    let items = match event.get(path) {
        None => return set_tree(event, path, &value).is_ok(),
        Some(_) if path.is_timestamp() => return false,
        Some(found) => match tree_of(&found) {
            serde_json::Value::Array(mut items) => {
                items.push(value);
                items
            }
            one => vec![one, value],
        },
    };
    set_tree(event, path, &serde_json::Value::Array(items)).is_ok()
}

fn tags_of(event: &Event<'_>, tags: &Path) -> Vec<serde_json::Value> {
    match event.get(tags) {
        Some(Value::Json(text)) => serde_json::from_str(&text).unwrap_or_default(),
        Some(Value::Str(text)) => vec![String::from_utf8_lossy(&text).into_owned().into()],
        _ => Vec::new(),
    }
}

/// Adds tags, each once; says whether they fitted into the event.
pub fn add_tags(event: &mut Event<'_>, tags: &[String]) -> bool {
    if tags.is_empty() {
        return true;
    }
    let path = Path::of(["tags"]);
    let mut all = tags_of(event, &path);
    for tag in tags {
        if !all.iter().any(|own| own == tag) {
            all.push(tag.clone().into());
        }
    }
    event.set(&path, New::Json(&serde_json::Value::from(all).to_string())).is_ok()
}

#[cfg(test)]
mod tests {
    use super::Config;
    use event::{Batch, Common, Origin};
    use serde_json::Value;

    #[track_caller]
    fn check(config: &str, before: &str, after: &str) {
        let on_success = serde_json::from_str::<Config>(config).unwrap().build().unwrap();
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        batch.push_json(before.as_bytes(), 0).unwrap();
        assert!(on_success.apply(&mut batch.event_mut(0), 0).ok);
        let mut out = Vec::new();
        batch.view(0).write_json(&mut out);
        let mut found: Value = serde_json::from_slice(&out).unwrap();
        found.as_object_mut().unwrap().shift_remove("@timestamp");
        assert_eq!(found, serde_json::from_str::<Value>(after).unwrap());
    }

    #[test]
    fn fields_and_tags() {
        check(r#"{"add_field":{"a.b":"x-%{n}","c":5}}"#, r#"{"n":1}"#, r#"{"n":1,"a":{"b":"x-1"},"c":5}"#);
        check(r#"{"add_field":{"n":"%{no}"}}"#, r#"{"n":1}"#, r#"{"n":[1,"%{no}"]}"#);
        check(r#"{"add_field":{"n":["a","b"]}}"#, r#"{"n":[1]}"#, r#"{"n":[1,"a","b"]}"#);
        check(
            r#"{"add_field":{"%{k}_x":"v","%{p}":"w"}}"#,
            r#"{"k":"a","p":"[q][r]"}"#,
            r#"{"k":"a","p":"[q][r]","a_x":"v","q":{"r":"w"}}"#,
        );
        check(r#"{"remove_field":["a","%{k}","no"]}"#, r#"{"a":1,"k":"b","b":2}"#, r#"{"k":"b"}"#);
        check(r#"{"add_tag":["x","%{k}"]}"#, r#"{"k":"y","tags":["x"]}"#, r#"{"k":"y","tags":["x","y"]}"#);
        check(r#"{"add_tag":["x"]}"#, r#"{"tags":"one"}"#, r#"{"tags":["one","x"]}"#);
        check(r#"{"remove_tag":"x"}"#, r#"{"tags":["x","y"]}"#, r#"{"tags":["y"]}"#);
        check(r#"{"remove_tag":"x"}"#, "{}", "{}");
        // First fields are added, then removed; then tags.
        check(
            r#"{"remove_field":"a","add_field":{"b":"%{a}"},"remove_tag":"t","add_tag":"t"}"#,
            r#"{"a":"v"}"#,
            r#"{"b":"v","tags":[]}"#,
        );
    }
}
