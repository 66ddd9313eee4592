//! What was pushed to us, as events: a datagram, the body of a request, the output of a command.

use super::ConfigError;
use super::multiline::{Joined, Joiner, Multiline, MultilineConfig};
use event::{Batch, Event, New, Path, Span, Value};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
    /// Which lines of a payload belong together. No line waits for the next payload, so a payload that
    /// is safe is so with all its lines.
    multiline: Option<Arc<Multiline>>,
    /// Below which the members of objects go; none: they are fields of the event.
    target: Option<Path>,
    message: Path,
    tags: Path,
    flags: Path,
    bulk: Path,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            multiline: None,
            target: None,
            message: Path::of(["message"]),
            tags: Path::of(["tags"]),
            flags: Path::of(["log", "flags"]),
            bulk: Path::of(["@metadata", "codec", "es_bulk"]),
        }
    }
}

impl Decoder {
    /// For payloads of this codec, whose lines are joined, or whose objects go below the target.
    pub(crate) fn new(
        codec: Codec,
        multiline: Option<&MultilineConfig>,
        target: Option<&str>,
    ) -> Result<Self, ConfigError> {
        let wrong = |option, message| Err(ConfigError { option, message });
        if multiline.is_some() && codec != Codec::Lines {
            return wrong("multiline", "it joins lines: give it together with codec: lines".to_owned());
        }
        let has_objects = matches!(codec, Codec::Json | Codec::Ndjson | Codec::EsBulk | Codec::Msgpack);
        if target.is_some() && !has_objects {
            let message = "it is for objects: give it with the codec json, ndjson, es_bulk or msgpack";
            return wrong("target", message.to_owned());
        }
        let multiline = multiline.map(MultilineConfig::build).transpose()?.map(Arc::new);
        let target = match target.map(Path::parse).transpose() {
            Ok(target) => target,
            Err(error) => return wrong("target", error.to_string()),
        };
        Ok(Self { multiline, target, ..Self::default() })
    }

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
            Codec::Lines => match &self.multiline {
                None => lines(payload).for_each(|text| line(text, &mut next, batch)),
                Some(rule) => self.joined(rule, payload, &mut next, batch),
            },
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

    fn joined(&self, rule: &Arc<Multiline>, payload: &[u8], next: &mut u64, batch: &mut Batch) {
        let (mut joiner, mut joined) = (Joiner::new(rule.clone()), Joined::default());
        // An empty line may belong to others; those at the end are no lines, as in Logstash's codec,
        // which splits the text as Ruby does.
        let end = payload.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
        if end > 0 {
            all_lines(&payload[..end]).for_each(|text| joiner.push(text, false, &mut joined));
        }
        joiner.end(&mut joined);
        for (place, is_cut) in joined.events {
            line(&joined.bytes[place], next, batch);
            if is_cut {
                set(&mut batch.event_mut(batch.len() - 1), &self.flags, New::Json("[\"truncated\"]"));
            }
        }
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
        let is_taken = match (&self.target, std::str::from_utf8(text)) {
            (None, _) => batch.push_json(text, *next).is_ok(),
            (Some(target), Ok(text)) if event::json::members(text, |_, _| ()).is_ok() => {
                batch.push_empty(*next).set(target, New::Json(text)).is_ok()
            }
            _ => false,
        };
        if is_taken {
            *next += 1;
        } else {
            self.failed(text, NO_JSON, next, batch);
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
    all_lines(text).filter(|line| !line.is_empty())
}

fn all_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
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
        shown(&batch)
    }

    /// The events without their time.
    fn shown(batch: &Batch) -> Vec<String> {
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
    fn lines_of_a_payload_are_joined() {
        #[track_caller]
        fn check(rule: &str, payload: &str, expected: &[&str]) {
            let config: MultilineConfig = serde_json::from_str(rule).unwrap();
            let decoder = Decoder::new(Codec::Lines, Some(&config), None).unwrap();
            let mut batch = Batch::new();
            batch.begin_run(Common::none(Origin::default()), 0);
            let next = decoder.push(Codec::Lines, payload.as_bytes(), 7, &mut batch, &mut |_| ());
            assert_eq!(next, 7 + batch.len() as u64);
            let text = |event: event::View<'_>| {
                let is_cut = event.get(&decoder.flags).is_some();
                format!("{}{}", String::from_utf8_lossy(&event.message()), if is_cut { " (cut)" } else { "" })
            };
            assert_eq!(batch.events().map(text).collect::<Vec<_>>(), expected);
        }
        let stack = r#"{"pattern":"^\\s","match":"after"}"#;
        check(stack, "a\n b\r\n c\nd\n", &["a\n b\n c", "d"]);
        check(stack, " b", &[" b"]);
        check(stack, "\r\n\n", &[]);
        check(stack, "", &[]);
        // An empty line within is one; nothing waits for the next payload.
        check(r#"{"pattern":"^$","match":"after"}"#, "a\n\nb\n\n", &["a\n", "b"]);
        check(r#"{"pattern":"\\\\$","match":"before"}"#, "a\\\nb\nc\\\n", &["a\\\nb", "c\\"]);
        let few = r#"{"pattern":"^ ","match":"after","max_lines":2}"#;
        check(few, "a\n b\n c", &["a\n b (cut)", " c"]);
    }

    #[test]
    fn objects_below_a_target() {
        #[track_caller]
        fn check(codec: Codec, payload: &[u8], expected: &[&str]) {
            let decoder = Decoder::new(codec, None, Some("a.b")).unwrap();
            let mut batch = Batch::new();
            batch.begin_run(Common::none(Origin::default()), 0);
            let next = decoder.push(codec, payload, 7, &mut batch, &mut |_| ());
            assert_eq!(next, 7 + batch.len() as u64);
            assert_eq!(shown(&batch), expected);
        }
        check(Codec::Json, br#"[{"x":1},{}]"#, &[r#"{"a":{"b":{"x":1}}}"#, r#"{"a":{"b":{}}}"#]);
        check(Codec::Json, b"[1]", &[r#"{"message":"1","tags":["_jsonparsefailure"]}"#]);
        check(
            Codec::Ndjson,
            b"{\"a\":2}\nno",
            &[r#"{"a":{"b":{"a":2}}}"#, r#"{"message":"no","tags":["_jsonparsefailure"]}"#],
        );
        check(Codec::Msgpack, &[0x81, 0xa1, b'x', 0x01], &[r#"{"a":{"b":{"x":1}}}"#]);
        // What is to be done stays where it is.
        check(Codec::EsBulk, b"{\"index\":{\"_id\":\"5\"}}\n{\"x\":1}\n", &[r#"{"a":{"b":{"x":1}}}"#]);
        let wrong = |codec, target| Decoder::new(codec, None, Some(target)).err().unwrap().option;
        assert_eq!((wrong(Codec::Raw, "a"), wrong(Codec::Json, "a[")), ("target", "target"));
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
