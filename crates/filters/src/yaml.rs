//! YAML as a tree, for files of tables. Scalars have the types of YAML 1.2's core schema.

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Value as Json};
use std::collections::HashMap;

const DEPTH_MAX: usize = 64;
const ALIASED_BYTES_MAX: usize = 1 << 20;

/// Reads the first document of a text; the error says what is wrong, and in which line.
pub(crate) fn read(text: &str) -> Result<Json, String> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), aliased: 0 };
    loop {
        match reader.next()? {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            Event::StreamEnd | Event::DocumentEnd => return Ok(Json::Null),
            event => return reader.node(event, 0),
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Json>,
    /// How large the values are together that aliases repeated.
    aliased: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Event<'t>, String> {
        match self.parser.next() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(format!("not YAML: {} in line {}", error.info(), error.marker().line())),
            None => Err("not YAML: it ends too early".to_owned()),
        }
    }

    fn node(&mut self, event: Event<'t>, depth: usize) -> Result<Json, String> {
        if depth > DEPTH_MAX {
            return Err(format!("deeper than {DEPTH_MAX} levels"));
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => (scalar(&text, style), anchor),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned().unwrap_or_default();
                self.aliased += size_of(&node);
                if self.aliased > ALIASED_BYTES_MAX {
                    return Err("aliases repeat too much".to_owned());
                }
                return Ok(node);
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break (Json::Array(items), anchor),
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(anchor, _) => {
                let mut members = Map::new();
                loop {
                    let name = match self.next()? {
                        Event::MappingEnd => break (Json::Object(members), anchor),
                        Event::Scalar(text, ..) => text.into_owned(),
                        _ => return Err("a key that is no text".to_owned()),
                    };
                    let event = self.next()?;
                    let value = self.node(event, depth + 1)?;
                    members.insert(name, value);
                }
            }
            _ => return Err("not YAML: it ends too early".to_owned()),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Json {
    if style != ScalarStyle::Plain {
        return text.into();
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Json::Null,
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        text => number(text).unwrap_or_else(|| text.into()),
    }
}

fn number(text: &str) -> Option<Json> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16).ok().map(Json::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i64::from_str_radix(digits, 8).ok().map(Json::from);
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some(number.into());
    }
    let is_float = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    text.parse::<f64>().ok().filter(|number| is_float && number.is_finite()).map(Json::from)
}

fn size_of(node: &Json) -> usize {
    match node {
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(size_of).sum::<usize>() + 1,
        Json::Object(members) => {
            members.iter().map(|(name, value)| name.len() + size_of(value)).sum::<usize>() + 1
        }
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    #[test]
    fn documents() {
        #[track_caller]
        fn check(text: &str, expected: Json) {
            assert_eq!(read(text), Ok(expected));
        }
        check("", Json::Null);
        check(
            "---\n\"100\": Continue\n101: 'Switching Protocols'\nmerci: gracias\n",
            json!({
                "100": "Continue", "101": "Switching Protocols", "merci": "gracias"
            }),
        );
        check(
            "a: 1\nb: -1.5\nc: true\nd: ~\ne: '1'\nf: yes\ng: 0x1F\nh: 1.2.3\ni: 1e3\n",
            json!({
                "a": 1, "b": -1.5, "c": true, "d": null, "e": "1", "f": "yes", "g": 31, "h": "1.2.3", "i": 1000.0
            }),
        );
        check(
            "- &x {a: [1, 2]}\n- *x\n- |\n  two\n  lines\n",
            json!([{"a": [1, 2]}, {"a": [1, 2]}, "two\nlines\n"]),
        );
        check("a: 1\n---\nb: 2\n", json!({"a": 1}));
    }

    #[test]
    fn limits() {
        assert!(read("a: [").unwrap_err().starts_with("not YAML"));
        assert!(read(&"[".repeat(100)).is_err());
        let mut bomb = "a: &a [xxxxxxxxxx]\n".to_owned();
        for n in 0..10 {
            let before = char::from(b'a' + n);
            let name = char::from(b'b' + n);
            bomb += &format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(","));
        }
        assert_eq!(read(&bomb), Err("aliases repeat too much".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text(text: String) {
            let _ = read(&text);
        }

        /// Every JSON text is YAML, and means the same in both.
        #[test]
        fn json_is_yaml(map in prop::collection::btree_map("[a-z]{1,5}", prop::collection::vec(any::<i32>(), 0..4), 0..5)) {
            let tree = serde_json::to_value(&map).unwrap();
            prop_assert_eq!(read(&tree.to_string()), Ok(tree));
        }
    }
}
