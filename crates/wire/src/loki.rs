//! Pushes to Grafana Loki, `POST /loki/api/v1/push`, as protocol buffers and as JSON.
//!
//! As protocol buffers (`push.proto` of Loki), compressed as one block of Snappy:
//!
//! ```text
//! PushRequest { 1: Stream* }
//! Stream      { 1: labels, text such as {app="shop",host="a"}   2: Entry* }
//! Entry       { 1: Timestamp { 1: seconds  2: nanoseconds }   2: line   3: Pair { 1: name  2: value }* }
//! ```
//!
//! As JSON ("Loki HTTP API", "Ingest logs"); the metadata may be left out:
//!
//! ```text
//! {"streams":[{"stream":{"app":"shop"},"values":[["1763690704000000000","line",{"trace":"1"}]]}]}
//! ```
//! Labels and entries are written each for itself, and streams put together of them: who sends
//! keeps them so, and repeats a part of a push without writing it anew.

use serde::Deserialize;
use std::collections::BTreeMap;

const SECOND: i64 = 1_000_000_000;
/// A push that claims to be larger than this when it is unpacked is none.
const BYTES_MAX: usize = 256 << 20;

/// How a push is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Protocol buffers in Snappy: `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

/// Names and values, of labels or of structured metadata.
pub type Pairs = [(String, String)];

/// A line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Nanoseconds since 1970, UTC.
    pub time: i64,
    /// The line.
    pub line: &'a str,
    /// Structured metadata, which Loki has since 3.0.
    pub metadata: &'a Pairs,
}

/// Whether Loki takes it as the name of a label: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_label_name(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_good) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

impl Encoding {
    /// Appends the labels of a stream.
    pub fn labels(self, labels: &Pairs, out: &mut Vec<u8>) {
        match self {
            Encoding::Json => json_object(labels, out),
            Encoding::Protobuf => {
                out.push(b'{');
                for (n, (name, value)) in labels.iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(name.as_bytes());
                    out.push(b'=');
                    quote(value, out);
                }
                out.push(b'}');
            }
        }
    }

    /// Appends an entry.
    pub fn entry(self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        match self {
            Encoding::Json => {
                out.extend_from_slice(b"[\"");
                event::json::write_int(entry.time, out);
                out.extend_from_slice(b"\",");
                event::json::write_str(entry.line.as_bytes(), out);
                if !entry.metadata.is_empty() {
                    out.push(b',');
                    json_object(entry.metadata, out);
                }
                out.push(b']');
            }
            Encoding::Protobuf => {
                let (seconds, nanos) = (entry.time.div_euclid(SECOND), entry.time.rem_euclid(SECOND));
                let mut time = Vec::with_capacity(16);
                // Zero is what a number is that is left out.
                for (field, number) in [(1, seconds), (2, nanos)] {
                    if number != 0 {
                        varint(field << 3, &mut time);
                        varint(number as u64, &mut time);
                    }
                }
                message(1, &time, out);
                message(2, entry.line.as_bytes(), out);
                let mut pair = Vec::new();
                for (name, value) in entry.metadata {
                    pair.clear();
                    message(1, name.as_bytes(), &mut pair);
                    message(2, value.as_bytes(), &mut pair);
                    message(3, &pair, out);
                }
            }
        }
    }

    /// A push of streams: the labels and the entries of each, as they were written.
    pub fn push<'a>(self, streams: impl IntoIterator<Item = (&'a [u8], Vec<&'a [u8]>)>) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Encoding::Json => {
                out.extend_from_slice(b"{\"streams\":[");
                for (n, (labels, entries)) in streams.into_iter().enumerate() {
                    out.extend_from_slice(if n > 0 { b",{\"stream\":" } else { b"{\"stream\":" });
                    out.extend_from_slice(labels);
                    out.extend_from_slice(b",\"values\":[");
                    for (n, entry) in entries.into_iter().enumerate() {
                        if n > 0 {
                            out.push(b',');
                        }
                        out.extend_from_slice(entry);
                    }
                    out.extend_from_slice(b"]}");
                }
                out.extend_from_slice(b"]}");
                out
            }
            Encoding::Protobuf => {
                let mut stream = Vec::new();
                for (labels, entries) in streams {
                    stream.clear();
                    message(1, labels, &mut stream);
                    entries.into_iter().for_each(|entry| message(2, entry, &mut stream));
                    message(1, &stream, &mut out);
                }
                // It fails only for what is larger than 4 GiB, which nobody takes.
                snap::raw::Encoder::new().compress_vec(&out).unwrap_or_default()
            }
        }
    }

    /// Reads a push.
    pub fn decode(self, body: &[u8]) -> Result<Vec<Stream>, PushError> {
        match self {
            Encoding::Json => {
                let push: JsonPush = serde_json::from_slice(body)?;
                Ok(push.streams.into_iter().map(JsonStream::read).collect::<Result<_, _>>()?)
            }
            Encoding::Protobuf => {
                if snap::raw::decompress_len(body)? > BYTES_MAX {
                    return Err(PushError::Damaged("it is too large"));
                }
                let body = snap::raw::Decoder::new().decompress_vec(body)?;
                let mut streams = Vec::new();
                each_field(&body, |field| match field {
                    Field::Bytes(1, stream) => {
                        streams.push(proto_stream(stream)?);
                        Ok(())
                    }
                    _ => Ok(()),
                })?;
                Ok(streams)
            }
        }
    }
}

/// The lines of one set of labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stream {
    /// The labels.
    pub labels: Vec<(String, String)>,
    /// The lines.
    pub lines: Vec<Line>,
}

/// A line as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    /// Nanoseconds since 1970, UTC.
    pub time: i64,
    /// The line.
    pub line: String,
    /// Structured metadata.
    pub metadata: Vec<(String, String)>,
}

impl Line {
    /// As it is written.
    pub fn entry(&self) -> Entry<'_> {
        Entry { time: self.time, line: &self.line, metadata: &self.metadata }
    }
}

/// Why something is no push.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// It is not JSON of the right form.
    #[error("not a push: {0}")]
    Json(#[from] serde_json::Error),
    /// It is not compressed by Snappy.
    #[error("not a push: {0}")]
    Snappy(#[from] snap::Error),
    /// The protocol buffers are damaged.
    #[error("not a push: {0}")]
    Damaged(&'static str),
}

#[derive(Deserialize)]
struct JsonPush {
    streams: Vec<JsonStream>,
}

#[derive(Deserialize)]
struct JsonStream {
    stream: BTreeMap<String, String>,
    values: Vec<Vec<serde_json::Value>>,
}

impl JsonStream {
    fn read(self) -> Result<Stream, PushError> {
        let mut lines = Vec::new();
        for value in self.values {
            let text = |n: usize| value.get(n).and_then(serde_json::Value::as_str);
            let time = text(0).and_then(|time| time.parse().ok());
            let (Some(time), Some(line)) = (time, text(1)) else {
                return Err(PushError::Damaged("a value has a time as text and a line"));
            };
            let mut metadata = Vec::new();
            if let Some(pairs) = value.get(2) {
                let pairs = pairs.as_object().ok_or(PushError::Damaged("metadata is an object"))?;
                for (name, value) in pairs {
                    let value = value.as_str().ok_or(PushError::Damaged("metadata is text"))?;
                    metadata.push((name.clone(), value.to_owned()));
                }
            }
            lines.push(Line { time, line: line.to_owned(), metadata });
        }
        Ok(Stream { labels: self.stream.into_iter().collect(), lines })
    }
}

fn json_object(pairs: &Pairs, out: &mut Vec<u8>) {
    out.push(b'{');
    for (n, (name, value)) in pairs.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        event::json::write_str(name.as_bytes(), out);
        out.push(b':');
        event::json::write_str(value.as_bytes(), out);
    }
    out.push(b'}');
}

/// Text in quotes as Go reads it.
fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend([b'\\', c as u8]),
            '\n' => out.extend_from_slice(b"\\n"),
            c if c.is_control() => out.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes()),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A field that holds bytes.
fn message(field: u64, bytes: &[u8], out: &mut Vec<u8>) {
    varint(field << 3 | 2, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A field as it is read: its number and its value.
enum Field<'a> {
    Number(u64, u64),
    Bytes(u64, &'a [u8]),
    /// One that we have no use for.
    Other,
}

fn each_field<'a>(
    mut bytes: &'a [u8],
    mut each: impl FnMut(Field<'a>) -> Result<(), PushError>,
) -> Result<(), PushError> {
    while !bytes.is_empty() {
        let key = read_varint(&mut bytes)?;
        let mut take = |count: usize| {
            let (taken, rest) = bytes.split_at_checked(count).ok_or(PushError::Damaged("it ends early"))?;
            bytes = rest;
            Ok::<_, PushError>(taken)
        };
        let field = match key & 7 {
            0 => Field::Number(key >> 3, read_varint(&mut bytes)?),
            1 => take(8).map(|_| Field::Other)?,
            2 => {
                let count = read_varint(&mut bytes)?;
                let count = usize::try_from(count).map_err(|_| PushError::Damaged("it ends early"))?;
                let (taken, rest) =
                    bytes.split_at_checked(count).ok_or(PushError::Damaged("it ends early"))?;
                bytes = rest;
                Field::Bytes(key >> 3, taken)
            }
            5 => take(4).map(|_| Field::Other)?,
            _ => return Err(PushError::Damaged("a field has no known type")),
        };
        each(field)?;
    }
    Ok(())
}

fn read_varint(bytes: &mut &[u8]) -> Result<u64, PushError> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(PushError::Damaged("it ends early"))?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(PushError::Damaged("a number is too long"))
}

fn text(bytes: &[u8]) -> Result<String, PushError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| PushError::Damaged("text is not UTF-8"))
}

fn proto_stream(bytes: &[u8]) -> Result<Stream, PushError> {
    let mut stream = Stream::default();
    each_field(bytes, |field| {
        match field {
            Field::Bytes(1, labels) => stream.labels = read_labels(&text(labels)?)?,
            Field::Bytes(2, entry) => stream.lines.push(proto_entry(entry)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(stream)
}

fn proto_entry(bytes: &[u8]) -> Result<Line, PushError> {
    let mut line = Line::default();
    each_field(bytes, |field| {
        match field {
            Field::Bytes(1, time) => {
                let (mut seconds, mut nanos) = (0, 0);
                each_field(time, |field| {
                    match field {
                        Field::Number(1, number) => seconds = number as i64,
                        Field::Number(2, number) => nanos = number as i64,
                        _ => {}
                    }
                    Ok(())
                })?;
                let time = i128::from(seconds) * i128::from(SECOND) + i128::from(nanos);
                line.time = time.try_into().map_err(|_| PushError::Damaged("a time is out of reach"))?;
            }
            Field::Bytes(2, bytes) => line.line = text(bytes)?,
            Field::Bytes(3, pair) => {
                let (mut name, mut value) = Default::default();
                each_field(pair, |field| {
                    match field {
                        Field::Bytes(1, bytes) => name = text(bytes)?,
                        Field::Bytes(2, bytes) => value = text(bytes)?,
                        _ => {}
                    }
                    Ok(())
                })?;
                line.metadata.push((name, value));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(line)
}

/// Reads `{name="value", …}`.
fn read_labels(text: &str) -> Result<Vec<(String, String)>, PushError> {
    let wrong = PushError::Damaged("labels are written {name=\"value\"}");
    let inner = text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let Some(mut rest) = inner.map(str::trim) else { return Err(wrong) };
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let Some((name, behind)) = rest.split_once('=') else { return Err(wrong) };
        let Some((value, behind)) = unquote(behind.trim_start()) else { return Err(wrong) };
        if !is_label_name(name.trim()) {
            return Err(wrong);
        }
        labels.push((name.trim().to_owned(), value));
        let behind = behind.trim_start();
        rest = match behind.strip_prefix(',') {
            Some(behind) => behind.trim_start(),
            None if behind.is_empty() => behind,
            None => return Err(wrong),
        };
    }
    Ok(labels)
}

/// Reads text in quotes, of Go's escapes those that are used; and what stands behind it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut value = String::new();
    loop {
        let at = rest.find(['"', '\\'])?;
        value.push_str(&rest[..at]);
        let found = rest.as_bytes()[at];
        rest = &rest[at + 1..];
        if found == b'"' {
            return Some((value, rest));
        }
        let mut chars = rest.chars();
        match chars.next()? {
            'n' => value.push('\n'),
            't' => value.push('\t'),
            'r' => value.push('\r'),
            c @ ('"' | '\\') => value.push(c),
            'u' => {
                let hex = chars.as_str().get(..4)?;
                value.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
                rest = &chars.as_str()[4..];
                continue;
            }
            _ => return None,
        }
        rest = chars.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(encoding: Encoding, streams: &[Stream]) -> Vec<u8> {
        let parts: Vec<(Vec<u8>, Vec<Vec<u8>>)> = streams
            .iter()
            .map(|stream| {
                let (mut labels, mut entries) = (Vec::new(), Vec::new());
                encoding.labels(&stream.labels, &mut labels);
                for line in &stream.lines {
                    let mut entry = Vec::new();
                    encoding.entry(&line.entry(), &mut entry);
                    entries.push(entry);
                }
                (labels, entries)
            })
            .collect();
        let parts = parts.iter();
        encoding.push(parts.map(|(labels, entries)| (&labels[..], entries.iter().map(|e| &e[..]).collect())))
    }

    fn a_stream() -> Stream {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let line =
            Line { time: 1_763_690_704_000_000_005, line: "l".to_owned(), metadata: vec![pair("t", "1")] };
        Stream { labels: vec![pair("app", "a\"b\\"), pair("host", "h")], lines: vec![line] }
    }

    #[test]
    fn pushes_as_they_are_on_the_wire() {
        let json = r#"{"streams":[{"stream":{"app":"a\"b\\","host":"h"},"values":[["1763690704000000005","l",{"t":"1"}]]}]}"#;
        assert_eq!(written(Encoding::Json, &[a_stream()]), json.as_bytes());
        let packed = written(Encoding::Protobuf, &[a_stream()]);
        let bytes = snap::raw::Decoder::new().decompress_vec(&packed).unwrap();
        let expected = [
            b"\x0a\x30\x0a\x17{app=\"a\\\"b\\\\\",host=\"h\"}\x12\x15".as_slice(),
            b"\x0a\x08\x08\xd0\x91\xff\xc8\x06\x10\x05\x12\x01l\x1a\x06\x0a\x01t\x12\x011",
        ];
        assert_eq!(bytes.escape_ascii().to_string(), expected.concat().escape_ascii().to_string());
    }

    #[test]
    fn labels() {
        #[track_caller]
        fn check(text: &str, expected: Option<&[(&str, &str)]>) {
            let expected = expected.map(|pairs| {
                let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
                pairs.iter().map(own).collect::<Vec<_>>()
            });
            assert_eq!(read_labels(text).ok(), expected);
        }
        check("{}", Some(&[]));
        check(r#"{a="b", c = "d\n\u0007\"" }"#, Some(&[("a", "b"), ("c", "d\n\u{7}\"")]));
        for bad in ["", "{a}", "{a=b}", r#"{a="b" c="d"}"#, r#"{1="b"}"#, r#"{a="b}"#, r#"{a="\uD800"}"#] {
            check(bad, None);
        }
        assert!(is_label_name("_a1") && !is_label_name("1a") && !is_label_name("a-b") && !is_label_name(""));
    }

    fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
        prop::collection::btree_map("[a-z_][a-z0-9_]{0,6}", any::<String>(), 0..4)
            .prop_map(|pairs| pairs.into_iter().collect())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            streams in prop::collection::vec(
                (pairs(), prop::collection::vec((any::<i64>(), any::<String>(), pairs()), 0..4)),
                0..4,
            ),
        ) {
            let streams: Vec<Stream> = streams
                .into_iter()
                .map(|(labels, lines)| Stream {
                    labels,
                    lines: lines
                        .into_iter()
                        .map(|(time, line, metadata)| Line { time, line, metadata })
                        .collect(),
                })
                .collect();
            for encoding in [Encoding::Json, Encoding::Protobuf] {
                let body = written(encoding, &streams);
                prop_assert_eq!(&encoding.decode(&body).unwrap(), &streams);
            }
        }

        #[test]
        fn damage_does_no_harm(at in any::<prop::sample::Index>(), byte: u8) {
            let whole = written(Encoding::Protobuf, &[a_stream()]);
            let mut bytes = snap::raw::Decoder::new().decompress_vec(&whole).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = Encoding::Protobuf.decode(&snap::raw::Encoder::new().compress_vec(&bytes).unwrap());
            bytes.truncate(at);
            let _ = Encoding::Protobuf.decode(&snap::raw::Encoder::new().compress_vec(&bytes).unwrap());
        }
    }
}
