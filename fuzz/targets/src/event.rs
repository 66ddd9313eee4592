//! The batch: JSON in and out, records, field paths, text and times.

use crate::chunk;
use event::{Batch, Common, CommonValue, DEPTH_MAX, New, Origin, Path, Span, Value};
use serde_json::{Map, Value as Json};

/// A batch with nothing in it but a run.
pub(crate) fn empty() -> Batch {
    let mut batch = Batch::new();
    batch.begin_run(Common::none(Origin::default()), 0);
    batch
}

/// The event of that number as JSON, which must be valid, and without its time. A number beyond
/// a double stays as it is written, and serde_json cannot read it: such events are `None`.
#[track_caller]
pub(crate) fn written(batch: &Batch, index: usize) -> Option<Map<String, Json>> {
    let mut out = Vec::new();
    batch.view(index).write_json(&mut out);
    assert!(out.starts_with(b"{\"@timestamp\":\""), "every event has a time, once");
    match serde_json::from_slice(&out) {
        Ok(Json::Object(mut object)) => {
            object.shift_remove("@timestamp");
            Some(object)
        }
        Err(error) if is_beyond_double(&error) => None,
        other => panic!("{other:?} from {}", String::from_utf8_lossy(&out)),
    }
}

pub(crate) fn is_beyond_double(error: &serde_json::Error) -> bool {
    error.to_string().contains("number out of range")
}

/// Objects are taken and refused as serde_json does it, and come out with the same values.
pub fn json(data: &[u8]) {
    let mut batch = empty();
    let ours = batch.push_json(data, 0);
    let theirs: Result<Map<String, Json>, _> = serde_json::from_slice(data);
    let own_names = ["@timestamp", "_@timestamp", "@metadata"];
    match (&ours, &theirs) {
        (Ok(()), Ok(object)) if !own_names.iter().any(|name| object.contains_key(*name)) => {
            assert_eq!(written(&batch, 0).as_ref(), Some(object));
            lookups(&batch, object);
        }
        (Ok(()), Ok(_)) => drop(written(&batch, 0)),
        (Err(_), Err(_)) => assert_eq!(batch.len(), 0, "a refused object leaves nothing"),
        (Ok(()), Err(error)) => assert!(is_beyond_double(error), "{error}"),
        (Err(error), Ok(_)) => {
            assert!(error.reason.contains("deep") || error.reason.contains("too many"), "{error}");
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Any value: the same is taken, and what is taken can be read again.
    if let (Ok(value), Ok(theirs)) = (event::json::parse(text), serde_json::from_str::<Json>(text)) {
        let mut out = Vec::new();
        value.write_json(&mut out);
        let again: Json = serde_json::from_slice(&out).expect("JSON out is JSON");
        assert!(is_same(&again, &theirs), "{again} is not {theirs}");
    }
}

/// Each member is found by its name, and equals what serde_json has there.
fn lookups(batch: &Batch, object: &Map<String, Json>) {
    for (name, expected) in object {
        let found = batch.view(0).get(&Path::of([name])).expect("a member is found");
        let mut out = Vec::new();
        found.write_json(&mut out);
        let found: Json = serde_json::from_slice(&out).expect("JSON out is JSON");
        assert!(is_same(&found, expected), "{name}: {found} is not {expected}");
    }
}

/// Whether two values are the same. For numbers, serde_json may be off by the last bit, and for
/// us `-0` is a whole number.
fn is_same(ours: &Json, theirs: &Json) -> bool {
    match (ours.as_f64(), theirs.as_f64()) {
        (Some(one), Some(other)) => one == other || (one / other - 1.0).abs() < 1e-15,
        _ => ours == theirs,
    }
}

/// A batch made by the data comes back from its record as it was; a damaged record is an error
/// or a batch that can be read and changed.
pub fn record(data: &[u8]) {
    let mut data = data;
    match chunk::byte(&mut data) {
        b'd' => damaged(data),
        how => {
            let mut batch = made(how, data);
            let kept: Vec<usize> = (0..batch.len()).filter(|n| !batch.event_mut(*n).is_dropped()).collect();
            let before: Vec<_> = kept.into_iter().map(|n| written(&batch, n)).collect();
            let mut record = Vec::new();
            batch.encode(&mut record);
            let mut again = Batch::new();
            again.decode(&record).expect("what was encoded is decoded");
            let after: Vec<_> = (0..again.len()).map(|n| written(&again, n)).collect();
            assert_eq!(after, before);
            let mut twice = Vec::new();
            again.encode(&mut twice);
            assert_eq!(twice, record, "a record of a record is the same");
            if let Some(last) = data.last() {
                let at = chunk::number(&mut data) as usize % record.len();
                record[at] ^= last | 1;
                damaged(&record);
            }
        }
    }
}

/// A batch of the lines of the data, of which some are changed.
fn made(how: u8, mut data: &[u8]) -> Batch {
    let mut batch = Batch::new();
    let fields = [
        ("host.name", CommonValue::Str("h".to_owned())),
        ("log.offset", CommonValue::Position),
        ("n", CommonValue::Int(i64::from(how))),
        ("tags", CommonValue::Json("[1]".to_owned())),
    ];
    let fields = fields.into_iter().take(usize::from(how % 5));
    batch.begin_run(Common::new(Origin { id: [how; 16], generation: 1 }, fields), 0);
    let mut position = 0;
    while !data.is_empty() && batch.len() < 50 {
        let line = chunk::line(&mut data);
        let index = batch.len();
        if batch.push_json(line, position).is_err() {
            let from = batch.bytes().len();
            batch.bytes_mut().extend_from_slice(line);
            batch.push_line(Span::new(from, from + line.len()), position);
        }
        position += line.len() as u64 + 1;
        let mut event = batch.event_mut(index);
        match line.len() % 7 {
            0 => drop(event.set(&Path::of(["a", "b"]), New::Str(line))),
            1 => drop(event.set(&Path::of(["host", "ip"]), New::Float(0.5))),
            2 => event.drop_event(),
            3 => drop(event.remove(&Path::of(["log", "offset"]))),
            4 => drop(event.rename(&Path::of(["message"]), &Path::of(["a", "c"]))),
            5 => drop(event.set(&Path::of(["a", "0", "d"]), New::Null)),
            _ => {}
        }
    }
    batch
}

fn damaged(record: &[u8]) {
    let mut batch = Batch::new();
    if batch.decode(record).is_err() {
        assert_eq!(batch.len(), 0, "what failed leaves nothing");
        return;
    }
    // A span may be in it many times, a field may not.
    let mut out = Vec::new();
    for view in batch.events() {
        out.clear();
        view.write_json(&mut out);
        assert!(out.len() <= 64 + record.len().pow(2), "{} bytes out of {}", out.len(), record.len());
        view.message();
        view.get(&Path::of(["a", "b"]));
        view.id();
    }
    batch.each(|event| {
        // Whether it fits depends on the damage.
        let _ = event.set(&Path::of(["a", "b", "c"]), 1);
        event.remove(&Path::of(["a", "c"]));
    });
    let mut again = Vec::new();
    batch.encode(&mut again);
}

/// A path is the same in both notations, and printed it is read as itself.
pub fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let path = match Path::parse(text) {
        Ok(path) => path,
        Err(error) => {
            assert!(error.at <= text.len() && text.is_char_boundary(error.at), "{error}");
            return;
        }
    };
    let names: Vec<&str> = path.names().collect();
    assert!(!names.is_empty());
    let printed = path.to_string();
    let again = Path::parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
    assert_eq!(again, path, "{printed}");
    if names.iter().all(|name| !name.is_empty() && !name.contains(['[', ']'])) {
        let brackets: String = names.iter().map(|name| format!("[{name}]")).collect();
        assert_eq!(Path::parse(&brackets).as_ref(), Ok(&path), "{brackets}");
    }
    let mut batch = empty();
    let mut event = batch.push_empty(0);
    if names[0] == "@timestamp" {
        assert!(event.set(&path, 5).is_err(), "the time takes times only, and holds nothing");
        return;
    }
    assert_eq!(event.set(&path, 5).is_ok(), names.len() <= DEPTH_MAX);
    if names.len() <= DEPTH_MAX {
        assert_eq!(event.get(&path), Some(Value::Int(5)));
        drop(event);
        let pointer = names.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")));
        if names[0] != "@metadata" {
            let written = Json::from(written(&batch, 0));
            assert_eq!(written.pointer(&pointer.collect::<String>()), Some(&Json::from(5)));
        }
        assert!(batch.event_mut(0).remove(&path));
        assert_eq!(batch.view(0).get(&path), None);
    }
}

/// Bytes become a JSON string as `from_utf8_lossy` reads them.
pub fn text(data: &[u8]) {
    let mut out = Vec::new();
    event::json::write_str(data, &mut out);
    let read: String = serde_json::from_slice(&out).expect("a string of JSON");
    assert_eq!(read, String::from_utf8_lossy(data));
    let mut batch = empty();
    batch.bytes_mut().extend_from_slice(data);
    batch.push_line(Span::new(0, data.len()), 0);
    let written = written(&batch, 0).expect("there are no numbers");
    assert_eq!(written["message"], *String::from_utf8_lossy(data));
    assert_eq!(&*batch.view(0).message(), data, "the batch keeps the bytes");
}

/// A time that is read is written so that reading it gives the same; chrono, where it reads the
/// text too, finds the same time.
pub fn time(data: &[u8]) {
    use event::time::{parse_iso_prefix, parse_rfc3339, write_rfc3339};
    if let Some((ns, rest)) = parse_iso_prefix(data) {
        assert!(rest.len() <= data.len() - 10);
        let mut out = Vec::new();
        write_rfc3339(ns, &mut out);
        assert_eq!(parse_rfc3339(&out), Some(ns), "{}", String::from_utf8_lossy(&out));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(theirs) = chrono::DateTime::parse_from_rfc3339(text)
        && let Some(ns) = theirs.timestamp_nanos_opt()
        // A leap second has more than a second's nanoseconds with chrono.
        && theirs.timestamp_subsec_nanos() < 1_000_000_000
        && theirs.offset().local_minus_utc().abs() < 86_400
    {
        assert_eq!(parse_rfc3339(data), Some(ns), "{text}");
    }
}
