//! Dictionaries in files: YAML, JSON and CSV, by the end of the file's name.

use crate::rows::{self, RowError};
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
        "csv" => pairs(text).map(|rows| Json::Object(rows.into_iter().collect())),
        _ => Err("its name ends neither in .yaml, .yml, .json nor .csv".to_owned()),
    };
    match tree.map_err(|message| format!("{file}: {message}"))? {
        Json::Object(members) => Ok(members),
        Json::Null => Ok(Map::new()),
        _ => Err(format!("{file} holds no keys and values")),
    }
}

/// The first two columns of a CSV file (RFC 4180); what stands behind them is passed over.
fn pairs(text: &str) -> Result<Vec<(String, Json)>, String> {
    let mut pairs = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let (row, behind) = rows::row(rest, ",", '"').map_err(|error| match error {
            RowError::Open => format!("a quote without its end in line {line}"),
            RowError::Stray => format!("something beside a quote in line {line}"),
        })?;
        let at = line;
        line += rest[..rest.len() - behind.len()].matches('\n').count();
        rest = behind;
        let mut row = row.into_iter().map(Option::unwrap_or_default);
        match (row.next(), row.next()) {
            (Some(key), Some(value)) => pairs.push((key, value.into())),
            (None, _) => {}
            (Some(_), None) => return Err(format!("only one column in line {at}")),
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::{pairs, read};
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
        check("a.csv", "\"a\"b,c", Err("a.csv: something beside a quote in line 1"));
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
            prop_assert_eq!(pairs(&text), Ok(expected));
        }

        #[test]
        fn any_text(text: String) {
            let _ = pairs(&text);
        }
    }
}
