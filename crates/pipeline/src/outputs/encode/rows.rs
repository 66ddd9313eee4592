//! Events as rows of comma-separated values (RFC 4180), as Logstash's codec `csv` writes them.

use event::{Path, Value, View};
use serde::{Deserialize, Serialize};

/// Options of the codec `csv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Csv {
    /// The fields, in order; none: all fields of the event, in its order.
    pub columns: Vec<String>,
    /// What stands between values.
    pub separator: String,
    /// The character around values that hold a separator; within it stands twice.
    pub quote: char,
}

impl Default for Csv {
    fn default() -> Self {
        Self { columns: Vec::new(), separator: ",".to_owned(), quote: '"' }
    }
}

/// The codec, ready to be used.
pub(in crate::outputs) struct Rows {
    columns: Vec<Path>,
    separator: String,
    quote: String,
}

impl Csv {
    pub(super) fn build(&self) -> Result<Rows, String> {
        if self.separator.is_empty() {
            return Err("\"separator\" needs a character at least".to_owned());
        }
        let column = |name: &String| Path::parse(name).map_err(|error| format!("column {name:?}: {error}"));
        let columns = self.columns.iter().map(column).collect::<Result<_, _>>()?;
        Ok(Rows { columns, separator: self.separator.clone(), quote: self.quote.to_string() })
    }
}

impl Rows {
    /// Writes the row, without its end. A field that is missing or null is empty; objects and lists
    /// are JSON.
    pub(super) fn write(&self, event: &View<'_>, out: &mut Vec<u8>) {
        let mut text = Vec::new();
        if self.columns.is_empty() {
            let mut json = Vec::new();
            event.write_json(&mut json);
            let mut is_first = true;
            // What an event writes is an object.
            let _ = event::json::members(&String::from_utf8_lossy(&json), |_, value| {
                self.put(std::mem::take(&mut is_first), Some(value), &mut text, out);
            });
            return;
        }
        for (n, column) in self.columns.iter().enumerate() {
            self.put(n == 0, event.get(column), &mut text, out);
        }
    }

    /// Writes a value behind those before it.
    fn put(&self, is_first: bool, value: Option<Value<'_>>, text: &mut Vec<u8>, out: &mut Vec<u8>) {
        if !is_first {
            out.extend_from_slice(self.separator.as_bytes());
        }
        text.clear();
        match value {
            None | Some(Value::Null) => {}
            Some(value) => {
                value.write_text(text);
                self.value(text, out);
            }
        }
    }

    /// Writes a value, in quotes where it could be taken for more or less than it is.
    fn value(&self, text: &[u8], out: &mut Vec<u8>) {
        let holds = |what: &[u8]| memchr::memmem::find(text, what).is_some();
        let is_plain = !text.is_empty()
            && !holds(self.separator.as_bytes())
            && !holds(self.quote.as_bytes())
            && memchr::memchr2(b'\r', b'\n', text).is_none();
        if is_plain {
            return out.extend_from_slice(text);
        }
        let quote = self.quote.as_bytes();
        out.extend_from_slice(quote);
        let mut rest = text;
        while let Some(at) = memchr::memmem::find(rest, quote) {
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(quote);
            out.extend_from_slice(quote);
            rest = &rest[at + quote.len()..];
        }
        out.extend_from_slice(rest);
        out.extend_from_slice(quote);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Codec;
    use event::{Batch, Common, Origin};

    fn written(codec: &str, event: &str) -> Vec<u8> {
        let codec: Codec = serde_json::from_str(codec).unwrap();
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        batch.push_json(event.as_bytes(), 0).unwrap();
        let mut out = Vec::new();
        codec.build().unwrap().write(&batch.view(0), 0, &mut out);
        out
    }

    #[test]
    fn rows() {
        #[track_caller]
        fn check(codec: &str, event: &str, expected: &str) {
            assert_eq!(String::from_utf8(written(codec, event)).unwrap(), expected);
        }
        let event =
            r#"{"@timestamp":"1970-01-01T00:00:00Z","a":"x, \"y\"","n":1.5,"o":{"p":[1,2]},"e":"","z":null}"#;
        check(r#"{"csv":{"columns":["a","n","none","z","e"]}}"#, event, "\"x, \"\"y\"\"\",1.5,,,\"\"\n");
        check(
            r#"{"csv":{"columns":["o","o.p","@timestamp"],"separator":";"}}"#,
            event,
            "\"{\"\"p\"\":[1,2]}\";[1,2];1970-01-01T00:00:00.000Z\n",
        );
        check(r#"{"csv":{"columns":["a"],"quote":"'"}}"#, event, "'x, \"y\"'\n");
        check(
            r#"{"csv":{}}"#,
            r#"{"@timestamp":"1970-01-01T00:00:00Z","a":"l1\nl2"}"#,
            "1970-01-01T00:00:00.000Z,\"l1\nl2\"\n",
        );
        check(r#""dots""#, event, ".");
    }

    #[test]
    fn msgpack_is_read_as_what_it_was() {
        let event = r#"{"@timestamp":"1970-01-01T00:00:00Z","a":[1,-200,true,null,1.5],"b":{"c":"é"}}"#;
        let bytes = written(r#""msgpack""#, event);
        let mut json = Vec::new();
        wire::msgpack::to_json(&mut &bytes[..], &mut json).unwrap();
        let found: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(found["a"], serde_json::json!([1, -200, true, null, 1.5]));
        assert_eq!(found["b"]["c"], "é");
    }

    #[test]
    fn options_that_cannot_be() {
        #[track_caller]
        fn check(codec: &str, expected: &str) {
            let codec: Codec = serde_json::from_str(codec).unwrap();
            let error = codec.build().err().unwrap();
            assert!(error.contains(expected), "{error}");
        }
        check(r#"{"csv":{"separator":""}}"#, "\"separator\"");
        check(r#"{"csv":{"columns":[""]}}"#, "column");
    }
}
