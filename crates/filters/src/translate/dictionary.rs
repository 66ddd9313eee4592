//! Dictionaries in files: YAML, JSON and CSV, by the end of the file's name.

use crate::yaml;
use serde_json::{Map, Value as Json};

/// Reads a dictionary; the error says what is wrong with it.
pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Map<String, Json>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{file} is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let end = file.rsplit('.').next().unwrap_or_default();
    let tree = match end {
        "yaml" | "yml" => yaml::read(text),
        "json" => serde_json::from_str(text).map_err(|error| format!("not JSON: {error}")),
        "csv" => rows(text).map(|rows| Json::Object(rows.into_iter().collect())),
        _ => Err("its name ends neither in .yaml, .yml, .json nor .csv".to_owned()),
    };
    match tree.map_err(|message| format!("{file}: {message}"))? {
        Json::Object(members) => Ok(members),
        Json::Null => Ok(Map::new()),
        _ => Err(format!("{file} holds no keys and values")),
    }
}

/// The first two columns of a CSV file (RFC 4180); what stands behind them is passed over.
fn rows(text: &str) -> Result<Vec<(String, Json)>, String> {
    let mut rows = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let at = line;
        let mut row = Vec::new();
        loop {
            let (field, behind) =
                field(rest).ok_or_else(|| format!("a quote without its end in line {at}"))?;
            line += rest[..rest.len() - behind.len()].matches('\n').count();
            row.push(field);
            rest = behind.strip_prefix(',').unwrap_or(behind);
            if rest.len() == behind.len() {
                break;
            }
        }
        let behind = rest.strip_prefix('\r').unwrap_or(rest);
        rest = match behind.strip_prefix('\n') {
            Some(next) => next,
            None if behind.is_empty() => behind,
            None => return Err(format!("something behind a quote in line {at}")),
        };
        line += 1;
        let mut row = row.into_iter();
        match (row.next(), row.next()) {
            (Some(key), Some(value)) => rows.push((key, value.into())),
            (Some(key), None) if key.is_empty() => {}
            _ => return Err(format!("only one column in line {at}")),
        }
    }
    Ok(rows)
}

/// A field at the beginning of a text, and what is behind it.
fn field(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find([',', '\n']).unwrap_or(text.len());
        let end = if text[..end].ends_with('\r') && !text[end..].starts_with(',') { end - 1 } else { end };
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut field = String::new();
    loop {
        let end = rest.find('"')?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{read, rows};
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn files() {
        #[track_caller]
        fn check(file: &str, text: &str, expected: Result<serde_json::Value, &str>) {
            let found = read(file, text.as_bytes()).map(serde_json::Value::from);
            assert_eq!(found, expected.map_err(str::to_owned));
        }
        check("a.yml", "\"100\": Continue\n101: 5\n", Ok(json!({"100": "Continue", "101": 5})));
        check("a.yaml", "", Ok(json!({})));
        check("a.json", r#"{"a": {"b": 1}}"#, Ok(json!({"a": {"b": 1}})));
        check("a.json", "\u{feff}{}", Ok(json!({})));
        check(
            "a.csv",
            "a,b\r\n\"x,1\",\"say \"\"hi\"\"\nyou\",more\n\nlast,\n",
            Ok(json!({"a": "b", "x,1": "say \"hi\"\nyou", "last": ""})),
        );
        check("a.csv", "a,b\nc", Err("a.csv: only one column in line 2"));
        check("a.csv", "\"x\ny\",z\n\"a,b", Err("a.csv: a quote without its end in line 3"));
        check("a.csv", "\"a\"b,c", Err("a.csv: something behind a quote in line 1"));
        check("a.txt", "", Err("a.txt: its name ends neither in .yaml, .yml, .json nor .csv"));
        check("a.yml", "- a", Err("a.yml holds no keys and values"));
        assert_eq!(read("a.csv", &[0xff]), Err("a.csv is not UTF-8".to_owned()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(table in prop::collection::vec((".{1,5}", ".{0,5}"), 0..5)) {
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let text: String = table.iter().map(|(key, value)| format!("{},{}\n", quoted(key), quoted(value))).collect();
            let expected: Vec<_> = table.into_iter().map(|(key, value)| (key, value.into())).collect();
            prop_assert_eq!(rows(&text), Ok(expected));
        }

        #[test]
        fn any_text(text: String) {
            let _ = rows(&text);
        }
    }
}
