//! The plan as YAML in our own format.

use pipeline::plan::Plan;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Prints a plan as a config that means the same. Secrets are printed as `***`.
pub fn print(plan: &Plan) -> String {
    let mut value = serde_json::to_value(plan).unwrap_or_default();
    // One pipeline is written without its name.
    if let Some(Value::Object(pipelines)) = value.get("pipelines")
        && pipelines.len() == 1
        && let Some(Value::Object(main)) = pipelines.get("main").cloned()
        && let Some(top) = value.as_object_mut()
    {
        top.shift_remove("pipelines");
        top.extend(main);
    }
    let mut out = String::new();
    write_map(value.as_object().unwrap_or(&Map::new()), 0, &mut out);
    out
}

fn write_map(map: &Map<String, Value>, indent: usize, out: &mut String) {
    for (name, value) in map {
        let _ = write!(out, "{:indent$}{}:", "", word(name));
        write_value(value, indent, out);
    }
}

fn write_value(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            write_map(map, indent + 2, out);
        }
        Value::Array(list) if list.iter().any(|item| item.is_object() || item.is_array()) => {
            out.push('\n');
            for item in list {
                let mut inner = String::new();
                match item {
                    Value::Object(map) if !map.is_empty() => write_map(map, indent + 4, &mut inner),
                    other => {
                        let _ = writeln!(inner, "{:1$}{2}", "", indent + 4, flow(other));
                    }
                }
                let _ = writeln!(out, "{:indent$}  - {}", "", inner.trim_start().trim_end_matches('\n'));
            }
        }
        other => {
            let _ = writeln!(out, " {}", flow(other));
        }
    }
}

/// A value on one line; JSON is YAML.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => word(text),
        other => other.to_string(),
    }
}

/// A text, quoted where YAML would read something else.
fn word(text: &str) -> String {
    let plain = !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && !["null", "true", "false", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { Value::from(text.replace("${", "$${")).to_string() }
}
