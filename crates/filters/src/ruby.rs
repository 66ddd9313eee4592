//! Values as Ruby writes them (`to_s`, and `inspect` within hashes and arrays), for what must be
//! the same text, and so the same hash, as Logstash's. Ruby up to 3.3: `{"a"=>1}`.

use serde_json::{Number, Value as Json};
use std::fmt::Write;

/// `to_s`: text as it is, nil as nothing, everything else as [`inspect`] has it. The members of
/// hashes are sorted, at every depth.
pub(crate) fn write_text(value: &Json, out: &mut String) {
    match value {
        Json::Null => {}
        Json::String(text) => out.push_str(text),
        other => inspect(other, out),
    }
}

/// `inspect`, the members of hashes sorted.
pub(crate) fn inspect(value: &Json, out: &mut String) {
    match value {
        Json::Null => out.push_str("nil"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Number(number) => write_number(number, out),
        Json::String(text) => {
            out.push('"');
            inspect_bytes(text.as_bytes(), out);
            out.push('"');
        }
        Json::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                inspect(item, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (n, (name, value)) in sorted.into_iter().enumerate() {
                out.push_str(if n > 0 { ", \"" } else { "\"" });
                inspect_bytes(name.as_bytes(), out);
                out.push_str("\"=>");
                inspect(value, out);
            }
            out.push('}');
        }
    }
}

/// Text within quotes: what does not print is escaped, bytes that are not UTF-8 are `\xE9`.
pub(crate) fn inspect_bytes(text: &[u8], out: &mut String) {
    for chunk in text.utf8_chunks() {
        let mut chars = chunk.valid().chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '#' if matches!(chars.peek(), Some('{' | '$' | '@')) => out.push_str("\\#"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{c}' => out.push_str("\\f"),
                '\u{b}' => out.push_str("\\v"),
                '\u{8}' => out.push_str("\\b"),
                '\u{7}' => out.push_str("\\a"),
                '\u{1b}' => out.push_str("\\e"),
                '\0'..='\u{7f}' if c.is_control() => {
                    let _ = write!(out, "\\x{:02X}", c as u32);
                }
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{e000}'..='\u{f8ff}') => {
                    let _ = write!(out, "\\u{:04X}", c as u32);
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02X}");
        }
    }
}

/// Whole numbers as they are; others with a point, and as `1.0e+16` where they are large or small.
fn write_number(number: &Number, out: &mut String) {
    let Some(value) = number.as_f64().filter(|_| number.is_f64()) else {
        let _ = write!(out, "{number}");
        return;
    };
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&power) {
        let point = if digits.contains('.') { "" } else { ".0" };
        let sign = if power < 0 { '-' } else { '+' };
        let _ = write!(out, "{digits}{point}e{sign}{:02}", power.abs());
        return;
    }
    let plain = format!("{value}");
    let point = if plain.contains('.') { "" } else { ".0" };
    let _ = write!(out, "{plain}{point}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        #[track_caller]
        fn check(json: &str, text: &str) {
            let mut out = String::new();
            write_text(&serde_json::from_str(json).unwrap(), &mut out);
            assert_eq!(out, text);
        }
        check("null", "");
        check("\"a\\\"b\"", "a\"b");
        check("12", "12");
        check("18446744073709551615", "18446744073709551615");
        check("1.5", "1.5");
        check("1.0", "1.0");
        check("-0.0001", "-0.0001");
        check("0.00001", "1.0e-05");
        check("1e15", "1000000000000000.0");
        check("1e16", "1.0e+16");
        check("1.25e100", "1.25e+100");
        check("[1,null,true,\"x\\n\\\"#{y} #z\"]", r##"[1, nil, true, "x\n\"\#{y} #z"]"##);
        check(r#"{"b":1,"a":{"d":[],"c":{}}}"#, r#"{"a"=>{"c"=>{}, "d"=>[]}, "b"=>1}"#);
        check("[\"é🂡\\u0001\\u001b\\u0085\"]", "[\"é🂡\\x01\\e\\u0085\"]");
    }

    #[test]
    fn bytes_that_are_not_utf8() {
        let mut out = String::new();
        inspect_bytes(b"a\xe9\xffb", &mut out);
        assert_eq!(out, "a\\xE9\\xFFb");
    }
}
