//! The form of Logstash's codec `rubydebug`: keys on the right, arrows, arrays with numbers, as
//! the gem awesome_print prints them. The time of the event has no quotes.

use serde_json::Value;
use std::fmt::Write;

const INDENT: usize = 4;

/// Writes an event without the end of its last line.
pub(super) fn write(event: &Value, out: &mut Vec<u8>) {
    let mut text = String::new();
    value(event, 0, &mut text);
    out.extend_from_slice(text.as_bytes());
}

fn value(of: &Value, depth: usize, out: &mut String) {
    let inner = (depth + 1) * INDENT;
    match of {
        Value::Object(members) if !members.is_empty() => {
            let width = members.keys().map(|key| quoted(key).chars().count()).max().unwrap_or(0);
            out.push_str("{\n");
            for (n, (key, value_of)) in members.iter().enumerate() {
                let name = quoted(key);
                let pad = inner + width - name.chars().count();
                let _ = write!(out, "{:pad$}{name} => ", "");
                match value_of {
                    Value::String(time) if depth == 0 && key == "@timestamp" => out.push_str(time),
                    other => value(other, depth + 1, out),
                }
                out.push_str(if n + 1 < members.len() { ",\n" } else { "\n" });
            }
            let _ = write!(out, "{:1$}}}", "", depth * INDENT);
        }
        Value::Array(items) if !items.is_empty() => {
            let width = (items.len() - 1).to_string().len();
            out.push_str("[\n");
            for (n, item) in items.iter().enumerate() {
                let _ = write!(out, "{:inner$}[{n:>width$}] ", "");
                value(item, depth + 1, out);
                out.push_str(if n + 1 < items.len() { ",\n" } else { "\n" });
            }
            let _ = write!(out, "{:1$}]", "", depth * INDENT);
        }
        Value::Object(_) => out.push_str("{}"),
        Value::Null => out.push_str("nil"),
        Value::String(text) => out.push_str(&quoted(text)),
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

/// A text as Ruby's `inspect` writes it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for (at, c) in text.char_indices() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{1b}' => out.push_str("\\e"),
            '#' if text[at + 1..].starts_with(['{', '$', '@']) => out.push_str("\\#"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn rubydebug() {
        let event = serde_json::json!({
            "@timestamp": "2026-11-21T02:45:04.000Z", "message": "a \"b\"\n", "n": 5, "f": 1.5, "no": null,
            "host": {"name": "h", "empty": {}}, "tags": ["x", {"y": true}], "none": []
        });
        let mut out = Vec::new();
        super::write(&event, &mut out);
        let expected = r#"{
    "@timestamp" => 2026-11-21T02:45:04.000Z,
       "message" => "a \"b\"\n",
             "n" => 5,
             "f" => 1.5,
            "no" => nil,
          "host" => {
         "name" => "h",
        "empty" => {}
    },
          "tags" => [
        [0] "x",
        [1] {
            "y" => true
        }
    ],
          "none" => []
}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
