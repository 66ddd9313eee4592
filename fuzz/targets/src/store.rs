//! What the store indexes of a document.

use serde_json::Value as Json;
use store::{FieldType, Mapping, Value};

/// Each value that serde_json finds in a document is indexed under its dotted name, or named among
/// those that did not fit; the memory that is taken has a bound.
pub fn doc(data: &[u8]) {
    let mut mapping = Mapping::default();
    let indexed = store::indexed(&mut mapping, data);
    let held: usize = indexed.values.iter().map(|(name, value)| name.len() + value.text().len()).sum();
    let held = held + indexed.message.as_ref().map_or(0, String::len);
    assert!(held <= data.len() * (data.len() + 8), "{held} bytes of {}", data.len());
    let Ok(Json::Object(object)) = serde_json::from_slice::<Json>(data) else { return };
    if mapping.0.len() >= 1_000 {
        return;
    }
    let mut leaves = Vec::new();
    for (name, value) in &object {
        flatten(name, value, 1, &mut leaves);
    }
    for (name, value) in leaves {
        match name.as_str() {
            "@timestamp" => continue,
            "message" => {
                let text = shown(value);
                let message = indexed.message.as_deref().expect("a message");
                assert!(message.contains(&text), "{message:?} lacks {text:?}");
                continue;
            }
            _ => {}
        }
        let own = indexed.values.iter().filter(|(known, _)| *known == name);
        let is_named = indexed.values.contains(&("_ignored".to_owned(), Value::Str(name.clone())));
        let fits = own.map(|(_, found)| found).any(|found| is_same(found, value));
        assert!(fits || is_named, "{name}: {value} is not in {:?}", indexed.values);
        assert!(mapping.0.contains_key(&name), "{name} has a type");
    }
    // The same types take the same document the same way.
    let types = mapping.clone();
    store::indexed(&mut mapping, data);
    assert_eq!(mapping, types);
}

fn flatten<'j>(name: &str, value: &'j Json, depth: usize, leaves: &mut Vec<(String, &'j Json)>) {
    if depth > event::DEPTH_MAX {
        return;
    }
    match value {
        Json::Null => {}
        Json::Object(object) => {
            for (inner, value) in object {
                flatten(&format!("{name}.{inner}"), value, depth + 1, leaves);
            }
        }
        Json::Array(list) => list.iter().for_each(|value| flatten(name, value, depth + 1, leaves)),
        leaf => leaves.push((name.to_owned(), leaf)),
    }
}

/// A value as the text that a text field takes.
fn shown(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Number(number) if !number.is_i64() => format!("{:?}", number.as_f64().unwrap_or(f64::NAN)),
        other => other.to_string(),
    }
}

/// Whether what is indexed is the value, in its own type or in the field's.
fn is_same(found: &Value, value: &Json) -> bool {
    match found {
        Value::Str(text) => *text == shown(value),
        Value::Bool(flag) => shown(value).parse() == Ok(*flag),
        Value::Int(number) => shown(value).trim().parse() == Ok(*number),
        Value::Float(number) => match shown(value).trim().parse::<f64>() {
            Ok(own) => own == *number || own.trunc() == *number || own.is_nan() && number.is_nan(),
            Err(_) => false,
        },
        Value::Time(ns) => {
            event::time::parse_rfc3339(shown(value).as_bytes()) == Some(*ns)
                || value.as_i64().and_then(|ms| ms.checked_mul(1_000_000)) == Some(*ns)
        }
    }
}

/// The types of fields, as the questions of the API see them.
pub(crate) fn fields() -> Mapping {
    let mut mapping = Mapping::default();
    for (name, kind) in [
        ("message", FieldType::Text),
        ("level", FieldType::Text),
        ("status", FieldType::Long),
        ("took", FieldType::Double),
        ("ok", FieldType::Boolean),
        ("born", FieldType::Date),
        ("host.name", FieldType::Text),
    ] {
        mapping.learn(name, kind);
    }
    mapping
}
