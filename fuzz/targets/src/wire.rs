//! Bulk bodies and their answers; values of Redis; pushes to Loki; frames of Lumberjack; PROXY headers;
//! MessagePack.

use crate::event::is_beyond_double;
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use wire::bulk::{self, Action, Kind};
use wire::loki::{self, Encoding};
use wire::lumberjack::{self, Decoded, Frame, FrameError, InflateLimits};
use wire::msgpack::{self, MsgpackError};
use wire::proxy;
use wire::redis::{Fault, resp};

/// A body has the actions that a plain reading of its lines has, and comes back from its encoding.
pub fn bulk(data: &[u8]) {
    let ours = bulk::decode(data);
    match (&ours, plainly(data)) {
        (Ok(actions), Some(expected)) => {
            let found: Vec<_> = actions
                .iter()
                .map(|action| {
                    (action.kind.name(), action.target.index.clone(), action.target.id.clone(), action.source)
                })
                .collect();
            assert_eq!(found, expected);
        }
        (Ok(_), None) => panic!("a body was taken that a plain reading refuses"),
        (Err(error), Some(_)) => panic!("{error}"),
        (Err(error), None) => {
            let lines = data.split(|byte| *byte == b'\n').count();
            assert!((1..=lines + 1).contains(&error.line), "{error}");
        }
    }
    let Ok(actions) = ours else { return };
    // What cannot be written is no part of it: that the version matters.
    let actions: Vec<Action<'_>> = actions
        .into_iter()
        .map(|mut action| {
            action.target.versioned = false;
            action
        })
        .collect();
    let mut body = Vec::new();
    actions.iter().for_each(|action| bulk::encode(action, &mut body));
    assert_eq!(bulk::decode(&body).expect("what was encoded is decoded"), actions);
}

type Plain<'d> = (&'static str, Option<String>, Option<String>, Option<&'d [u8]>);

const OPTIONS: [&str; 14] = [
    "_index",
    "_id",
    "routing",
    "_routing",
    "pipeline",
    "require_alias",
    "version",
    "_version",
    "if_seq_no",
    "if_primary_term",
    "_type",
    "version_type",
    "_version_type",
    "retry_on_conflict",
];

/// The body read line by line; none where it is not one.
fn plainly(data: &[u8]) -> Option<Vec<Plain<'_>>> {
    let mut found = Vec::new();
    let mut lines = data.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let action: Map<String, Json> = serde_json::from_slice(line).ok()?;
        let (name, options) = action.iter().next().filter(|_| action.len() == 1)?;
        let kind = [Kind::Index, Kind::Create, Kind::Update, Kind::Delete].map(Kind::name);
        let kind = kind.into_iter().find(|kind| kind == name)?;
        let options = options.as_object()?;
        let is_known = |name: &String| OPTIONS.contains(&name.as_str()) || name == "_source";
        if !options.keys().all(is_known) {
            return None;
        }
        let text = |name: &str| match options.get(name) {
            None | Some(Json::Null) => Some(None),
            Some(Json::String(text)) => Some(Some(text.clone())),
            Some(Json::Array(_) | Json::Object(_)) => None,
            Some(other) => Some(Some(other.to_string())),
        };
        for name in ["routing", "_routing", "pipeline"] {
            text(name)?;
        }
        let source = match kind {
            "delete" => None,
            _ => Some(lines.next().filter(|line| !line.is_empty())?),
        };
        found.push((kind, text("_index")?, text("_id")?, source));
    }
    Some(found)
}

/// An answer that is read is written so that reading it gives the same.
pub fn bulk_response(data: &[u8]) {
    if let Ok(answer) = bulk::Answer::read(data) {
        let _ = answer.items(|item| {
            let _ = bulk::judge(Kind::Index, &item);
        });
    }
    let Ok(response) = bulk::decode_response(data) else { return };
    let mut body = Vec::new();
    bulk::encode_response(&response, &mut body);
    assert_eq!(bulk::decode_response(&body).as_ref(), Ok(&response));
    let json: Json = serde_json::from_slice(&body).expect("an answer is JSON");
    assert_eq!(json["errors"], response.has_errors());
}

/// A value of Redis is written so that reading it gives the same, and its beginning is never one.
pub fn resp(data: &[u8]) {
    let Ok(Some((value, count))) = resp::decode(data) else { return };
    assert!(count <= data.len());
    let _ = (value.pairs(), value.int(), value.bytes(), Fault::of(data));
    let mut bytes = Vec::new();
    resp::encode(&value, &mut bytes);
    let (again, whole) = resp::decode(&bytes).expect("what was encoded is RESP").expect("and whole");
    assert_eq!(whole, bytes.len());
    // A number that is none is not even equal to itself.
    if !bytes.windows(3).any(|window| window.eq_ignore_ascii_case(b"nan")) {
        assert_eq!(again, value);
    }
    for cut in 0..bytes.len().min(200) {
        assert_eq!(resp::decode(&bytes[..cut]), Ok(None));
    }
}

/// A push to Loki that is read comes back from its encoding, in both ways to write it.
pub fn loki(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let (from, to) = match first % 2 {
        0 => (Encoding::Json, Encoding::Protobuf),
        _ => (Encoding::Protobuf, Encoding::Json),
    };
    let Ok(streams) = from.decode(rest) else { return };
    for encoding in [from, to] {
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
        let body = encoding.push(
            parts.iter().map(|(labels, entries)| (&labels[..], entries.iter().map(|e| &e[..]).collect())),
        );
        // JSON knows each name once, and protocol buffers only names that are some.
        let distinct = |pairs: &[(String, String)]| {
            let names: BTreeSet<_> = pairs.iter().map(|(name, _)| name).collect();
            names.len() == pairs.len() && pairs.is_sorted()
        };
        let is_same = streams.iter().all(|stream| {
            let lines = stream.lines.iter().all(|line| distinct(&line.metadata));
            distinct(&stream.labels)
                && lines
                && stream.labels.iter().all(|(name, _)| loki::is_label_name(name))
        });
        if is_same {
            assert_eq!(encoding.decode(&body).expect("what was encoded is decoded"), streams);
        }
    }
}

/// A frame that is taken is written as it was, a part of it asks for more, and what is compressed
/// grows within its limits.
pub fn lumberjack(data: &[u8]) {
    const FRAME_BYTES_MAX: usize = 1 << 16;
    const LIMITS: InflateLimits = InflateLimits { bytes_max: 1 << 18, ratio_max: 50, free_bytes: 1 << 12 };
    match lumberjack::decode(data, FRAME_BYTES_MAX) {
        Ok(Decoded::Frame(version, frame, length)) => {
            let mut written = Vec::new();
            lumberjack::encode(version, &frame, &mut written);
            assert_eq!(written, data[..length]);
            assert!(length <= FRAME_BYTES_MAX);
            match lumberjack::decode(&data[..length - 1], FRAME_BYTES_MAX) {
                Ok(Decoded::Needs(needs)) => assert!((1..=length).contains(&needs)),
                other => panic!("{other:?}"),
            }
            if let Frame::Pairs(_, pairs) = &frame {
                let bytes: usize = pairs.iter().map(|(name, value)| 8 + name.len() + value.len()).sum();
                assert_eq!(bytes + lumberjack::HEADER_BYTES_MAX, length);
            }
            if let Frame::Compressed(packed) = frame {
                let mut out = Vec::new();
                let grown = lumberjack::inflate(packed, LIMITS, &mut out);
                let max = (packed.len() * LIMITS.ratio_max).clamp(LIMITS.free_bytes, LIMITS.bytes_max);
                match grown {
                    Ok(()) => assert!(out.len() <= max),
                    Err(error) => assert!(matches!(error, FrameError::Damaged | FrameError::TooLarge { .. })),
                }
            }
        }
        Ok(Decoded::Needs(needs)) => assert!(needs > data.len() && needs <= FRAME_BYTES_MAX),
        Err(_) => {}
    }
    let mut out = Vec::new();
    let packed = lumberjack::compress(lumberjack::Version::Two, data, 1, &mut out);
    packed.expect("memory takes what is written");
    let Ok(Decoded::Frame(_, Frame::Compressed(packed), _)) = lumberjack::decode(&out, usize::MAX) else {
        panic!("what was written is no frame");
    };
    let mut back = Vec::new();
    let limits = InflateLimits { bytes_max: data.len(), ..LIMITS };
    match lumberjack::inflate(packed, limits, &mut back) {
        Ok(()) => assert_eq!(back, data),
        Err(error) => assert!(data.len() > packed.len() * LIMITS.ratio_max, "{error}"),
    }
}

/// A header that is taken comes back from its encoding, by either version.
pub fn proxy(data: &[u8]) {
    let Ok(Some((header, length))) = proxy::decode(data) else { return };
    assert!(length <= data.len() && length <= proxy::BYTES_MAX);
    for line in [false, true] {
        let mut written = Vec::new();
        proxy::encode(&header, line, &mut written);
        assert_eq!(proxy::decode(&written), Ok(Some((header, written.len()))));
    }
}

/// What is read is JSON, not much longer than its bytes, and the same when it is written and read again;
/// every beginning of it is too short, and what stands behind it is left alone.
pub fn msgpack(data: &[u8]) {
    let read = |bytes: &mut &[u8]| {
        let mut text = Vec::new();
        msgpack::to_json(bytes, &mut text).map(|()| text)
    };
    let mut rest = data;
    let Ok(text) = read(&mut rest) else { return };
    let used = data.len() - rest.len();
    for cut in [0, used / 2, used - 1] {
        assert_eq!(read(&mut &data[..cut]), Err(MsgpackError::Short));
    }
    assert_eq!(read(&mut &data[..used]).as_ref(), Ok(&text));
    assert!(text.len() <= 64 * used, "{} bytes of {used}", text.len());
    let value: Json = match serde_json::from_slice(&text) {
        Ok(value) => value,
        Err(error) if is_beyond_double(&error) => return,
        Err(error) => panic!("{error} in {}", String::from_utf8_lossy(&text)),
    };
    let mut written = Vec::new();
    msgpack::from_json(&value, &mut written);
    let mut rest = &written[..];
    let again = read(&mut rest).expect("what was written is read");
    assert!(rest.is_empty());
    let again: Json = serde_json::from_slice(&again).expect("JSON");
    assert!(are_alike(&again, &value), "{again} is not {value}");
}

/// Whether values are the same; serde_json may be a little beside a number that is not whole.
fn are_alike(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| are_alike(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            let same = |(name, value): (&String, &Json)| {
                other.get(name).is_some_and(|other| are_alike(value, other))
            };
            one.len() == other.len() && one.iter().all(same)
        }
        (Json::Number(one), Json::Number(other)) if one.is_f64() && other.is_f64() => {
            let [one, other] = [one, other].map(|number| number.as_f64().unwrap_or_default());
            one == other || (one - other).abs() <= one.abs() * 1e-15
        }
        _ => one == other,
    }
}
