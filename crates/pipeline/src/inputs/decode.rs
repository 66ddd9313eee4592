//! What was pushed to us, as events: a datagram, the body of a request, the output of a command.

use event::{Batch, Event, New, Path, Span, Value};
use serde::{Deserialize, Serialize};

/// What a payload is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// One event: the message, byte for byte.
    #[default]
    Raw,
    /// Each line is a message; empty lines are none.
    Lines,
    /// A JSON object is an event, an array of objects one each.
    Json,
    /// Each line is a JSON object.
    Ndjson,
    /// The body of a bulk request of Elasticsearch: what is to be done and the document, by turns.
    EsBulk,
    /// An object of MessagePack is an event, several stand behind each other.
    Msgpack,
    /// `name=value&other=value`, as browsers send forms.
    Form,
}

/// The tag of an event whose text is no JSON although it should be; Logstash's name.
pub(crate) const NO_JSON: &str = "[\"_jsonparsefailure\"]";
/// The same of MessagePack.
const NO_MSGPACK: &str = "[\"_msgpackparsefailure\"]";
/// A form with more names than an event has room for is taken as its text.
const FORM_NAMES_MAX: usize = 500;

/// Makes events of payloads.
pub(crate) struct Decoder {
    message: Path,
    tags: Path,
    bulk: Path,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            message: Path::of(["message"]),
            tags: Path::of(["tags"]),
            bulk: Path::of(["@metadata", "codec", "es_bulk"]),
        }
    }
}

impl Decoder {
    /// Adds the events of a payload to the last run of the batch, the first at this position, and
    /// gives each to `finish`. Returns the position behind the last. What is not what it should be
    /// becomes an event of its text, tagged.
    pub(crate) fn push(
        &self,
        codec: Codec,
        payload: &[u8],
        position: u64,
        batch: &mut Batch,
        finish: &mut dyn FnMut(&mut Event<'_>),
    ) -> u64 {
        let first = batch.len();
        let mut next = position;
        match codec {
            Codec::Raw => line(payload, &mut next, batch),
            Codec::Lines => lines(payload).for_each(|text| line(text, &mut next, batch)),
            Codec::Json => self.json(payload, &mut next, batch),
            Codec::Ndjson => lines(payload).for_each(|text| self.json(text, &mut next, batch)),
            Codec::EsBulk => self.bulk(payload, &mut next, batch),
            Codec::Msgpack => self.msgpack(payload, &mut next, batch),
            Codec::Form => self.form(payload, &mut next, batch),
        }
        for index in first..batch.len() {
            finish(&mut batch.event_mut(index));
        }
        next
    }

    fn json(&self, text: &[u8], next: &mut u64, batch: &mut Batch) {
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text).trim_ascii();
        if text.first() != Some(&b'[') {
            return self.object(text, next, batch);
        }
        let mut elements = Vec::new();
        let read = std::str::from_utf8(text).ok().map(|text| {
            event::json::elements(text, |value| {
                let mut text = Vec::new();
                value.write_json(&mut text);
                elements.push(text);
            })
        });
        match read {
            Some(Ok(())) => elements.iter().for_each(|element| self.object(element, next, batch)),
            _ => self.failed(text, NO_JSON, next, batch),
        }
    }

    fn object(&self, text: &[u8], next: &mut u64, batch: &mut Batch) {
        match batch.push_json(text, *next) {
            Ok(()) => *next += 1,
            Err(_) => self.failed(text, NO_JSON, next, batch),
        }
    }

    /// The text as it is, with a tag.
    fn failed(&self, text: &[u8], tags: &str, next: &mut u64, batch: &mut Batch) {
        line(text, next, batch);
        set(&mut batch.event_mut(batch.len() - 1), &self.tags, New::Json(tags));
    }

    fn bulk(&self, payload: &[u8], next: &mut u64, batch: &mut Batch) {
        let mut rest = lines(payload);
        while let Some(head) = rest.next() {
            let action = std::str::from_utf8(head).ok().and_then(action_of);
            let Some((action, place)) = action else {
                self.failed(head, NO_JSON, next, batch);
                continue;
            };
            if action == "delete" {
                let mut event = batch.push_empty(*next);
                set(&mut event, &self.bulk, New::Json(&place));
                *next += 1;
                continue;
            }
            let Some(document) = rest.next() else { return self.failed(head, NO_JSON, next, batch) };
            self.object(document, next, batch);
            set(&mut batch.event_mut(batch.len() - 1), &self.bulk, New::Json(&place));
        }
    }

    fn msgpack(&self, payload: &[u8], next: &mut u64, batch: &mut Batch) {
        let mut rest = payload;
        while !rest.is_empty() {
            let mut text = Vec::new();
            let before = rest;
            match wire::msgpack::to_json(&mut rest, &mut text) {
                Ok(()) => self.json(&text, next, batch),
                Err(_) => return self.failed(before, NO_MSGPACK, next, batch),
            }
        }
    }

    fn form(&self, payload: &[u8], next: &mut u64, batch: &mut Batch) {
        let payload = payload.trim_ascii();
        let pairs: Vec<&[u8]> = payload
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty())
            .take(FORM_NAMES_MAX + 1)
            .collect();
        if pairs.len() > FORM_NAMES_MAX {
            return line(payload, next, batch);
        }
        let mut event = batch.push_empty(*next);
        *next += 1;
        for pair in pairs {
            let (name, value) = match memchr::memchr(b'=', pair) {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &pair[pair.len()..]),
            };
            let name = String::from_utf8_lossy(&form_text(name)).into_owned();
            let path = if name.is_empty() { self.message.clone() } else { Path::of([name]) };
            set(&mut event, &path, New::Str(&form_text(value)));
        }
    }
}

fn line(text: &[u8], next: &mut u64, batch: &mut Batch) {
    let from = batch.bytes().len();
    batch.bytes_mut().extend_from_slice(text);
    batch.push_line(Span::new(from, from + text.len()), *next);
    *next += 1;
}

/// The lines that hold anything, without their ends.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
}

/// `{"index": {"_index": "a"}}` as its word and `{"action":"index","_index":"a"}`.
fn action_of(text: &str) -> Option<(String, String)> {
    let mut found = None;
    event::json::members(text, |word, value| {
        let inner = match value {
            Value::Json(inner) => inner.into_owned(),
            _ => String::new(),
        };
        found = Some((word.to_owned(), inner));
    })
    .ok()?;
    let (word, inner) =
        found.filter(|(word, _)| ["index", "create", "update", "delete"].contains(&&**word))?;
    let members = inner.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let comma = if members.is_empty() { "" } else { "," };
    let place = format!("{{\"action\":\"{word}\"{comma}{members}}}");
    Some((word, place))
}

/// A name or a value of a form: a plus is a blank, `%41` is a byte.
fn form_text(text: &[u8]) -> Vec<u8> {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match (byte, hex(text.get(at + 1)), hex(text.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
                continue;
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    out
}

/// What comes with a payload always fits, except into an event that has all that it can have.
pub(crate) fn set(event: &mut Event<'_>, path: &Path, value: New<'_>) {
    let _ = event.set(path, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Common, Origin};
    use proptest::prelude::*;

    fn decoded(codec: Codec, payload: &[u8]) -> Vec<String> {
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        let next = Decoder::default().push(codec, payload, 7, &mut batch, &mut |_| ());
        assert_eq!(next, 7 + batch.len() as u64);
        let json = |event: event::View<'_>| {
            let mut out = Vec::new();
            event.write_json(&mut out);
            let text = String::from_utf8(out).unwrap();
            let text = text.strip_prefix(r#"{"@timestamp":"1970-01-01T00:00:00.000Z""#).unwrap();
            format!("{{{}", text.strip_prefix(',').unwrap_or(text))
        };
        batch.events().map(json).collect()
    }

    #[test]
    fn payloads() {
        #[track_caller]
        fn check(codec: Codec, payload: &str, expected: &[&str]) {
            assert_eq!(decoded(codec, payload.as_bytes()), expected);
        }
        check(Codec::Raw, "a\nb\n", &[r#"{"message":"a\nb\n"}"#]);
        check(Codec::Lines, "a\r\n\nb", &[r#"{"message":"a"}"#, r#"{"message":"b"}"#]);
        check(Codec::Json, r#" {"a": 1} "#, &[r#"{"a":1}"#]);
        check(Codec::Json, r#"[{"a":1},{"b":[2]}]"#, &[r#"{"a":1}"#, r#"{"b":[2]}"#]);
        check(Codec::Json, "[1,{}]", &[r#"{"message":"1","tags":["_jsonparsefailure"]}"#, "{}"]);
        check(Codec::Json, "[1", &[r#"{"message":"[1","tags":["_jsonparsefailure"]}"#]);
        check(Codec::Json, "no", &[r#"{"message":"no","tags":["_jsonparsefailure"]}"#]);
        check(
            Codec::Ndjson,
            "{\"a\":1}\nno\n",
            &[r#"{"a":1}"#, r#"{"message":"no","tags":["_jsonparsefailure"]}"#],
        );
        check(Codec::Form, "a=1&b=x+y%21&c", &[r#"{"a":"1","b":"x y!","c":""}"#]);
    }

    #[test]
    fn bulk_requests() {
        let body =
            "{\"index\":{\"_index\":\"i\",\"_id\":\"5\"}}\n{\"a\":1}\n{\"delete\":{}}\n{\"create\":{}}\n";
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        Decoder::default().push(Codec::EsBulk, body.as_bytes(), 0, &mut batch, &mut |_| ());
        let text = |index: usize, path: &str| {
            let mut out = Vec::new();
            let value = batch.view(index).get(&Path::parse(path).unwrap());
            value.inspect(|value| value.write_text(&mut out));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(batch.len(), 3);
        assert_eq!(text(0, "a"), "1");
        assert_eq!(text(0, "@metadata.codec.es_bulk._id"), "5");
        assert_eq!(text(1, "@metadata.codec.es_bulk.action"), "delete");
        assert_eq!(text(2, "tags"), NO_JSON, "a document is missing");
    }

    #[test]
    fn msgpack() {
        // {"a": [1, -1, true]} and nil.
        let payload = [0x81, 0xa1, b'a', 0x93, 0x01, 0xff, 0xc3, 0xc0];
        assert_eq!(
            decoded(Codec::Msgpack, &payload),
            [r#"{"a":[1,-1,true]}"#, r#"{"message":"null","tags":["_jsonparsefailure"]}"#]
        );
    }

    proptest! {
        /// Nothing that was sent is lost without a word, and nothing brings the program down.
        #[test]
        fn anything_is_an_event(payload in proptest::collection::vec(any::<u8>(), 1..200)) {
            decoded(Codec::Msgpack, &payload);
            for codec in [Codec::Raw, Codec::Json, Codec::EsBulk, Codec::Form, Codec::Lines] {
                let count = decoded(codec, &payload).len();
                let has_line = lines(&payload).next().is_some();
                let is_empty_array = payload.trim_ascii().starts_with(b"[");
                prop_assert!(count > 0 || !has_line || is_empty_array, "{codec:?}");
            }
        }

        #[test]
        fn objects_come_through(names in proptest::collection::btree_map("[a-z]{1,5}", any::<i32>(), 1..6)) {
            let text = serde_json::to_string(&names).unwrap();
            prop_assert_eq!(decoded(Codec::Json, text.as_bytes()), vec![text.clone()]);
            let twice = format!("[{text},{text}]");
            prop_assert_eq!(decoded(Codec::Json, twice.as_bytes()), vec![text.clone(), text]);
        }
    }
}
