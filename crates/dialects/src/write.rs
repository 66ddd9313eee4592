//! The plan as YAML in our own format.

use pipeline::plan::Plan;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Prints a plan as a config that means the same, always in the same order. Secrets are
/// printed as `***`.
pub fn print(plan: &Plan) -> String {
    print_json(serde_json::to_value(plan).unwrap_or_default())
}

/// Prints a plan that is JSON already.
pub(crate) fn print_json(mut value: Value) -> String {
    // One pipeline is written without its name.
    if let Some(top) = value.as_object_mut()
        && let Some(Value::Object(pipelines)) = top.get("pipelines")
        && pipelines.len() == 1
        && let Some(Value::Object(main)) = pipelines.get("main").cloned()
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
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                write_map(map, indent + 2, out);
            }
            Value::Array(list) if list.iter().any(|item| item.is_object() || item.is_array()) => {
                out.push('\n');
                list.iter().for_each(|item| write_item(item, indent + 2, out));
            }
            other => {
                out.push(' ');
                flow(other, out);
                out.push('\n');
            }
        }
    }
}

fn write_item(item: &Value, indent: usize, out: &mut String) {
    let _ = write!(out, "{:indent$}- ", "");
    match item {
        Value::Object(map) if !map.is_empty() => {
            let mut inner = String::new();
            write_map(map, indent + 2, &mut inner);
            out.push_str(inner.trim_start_matches(' '));
        }
        other => {
            flow(other, out);
            out.push('\n');
        }
    }
}

/// A value on one line.
fn flow(value: &Value, out: &mut String) {
    let comma = |n: usize| if n == 0 { "" } else { ", " };
    match value {
        Value::String(text) => out.push_str(&word(&text.replace("${", "$${"))),
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(comma(n));
                flow(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (n, (name, value)) in map.iter().enumerate() {
                let _ = write!(out, "{}{}: ", comma(n), word(name));
                flow(value, out);
            }
            out.push('}');
        }
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

/// A text, quoted where YAML would read something else.
fn word(text: &str) -> String {
    const NOT_TEXT: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || "_/".contains(c))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c))
        && !NOT_TEXT.contains(&text.to_ascii_lowercase().as_str());
    if is_plain {
        return text.to_owned();
    }
    if !text.contains('\'') && text.chars().all(is_shown) {
        return format!("'{text}'");
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_shown(c) => out.push(c),
            c => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

/// Whether a character may stand in YAML as it is, and be seen.
fn is_shown(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
        && (c == ' ' || !c.is_whitespace())
}
