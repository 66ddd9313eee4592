//! Makes events of elements, messages and entries.

use super::{Codec, Config, Kind, Timestamp};
use crate::inputs::InputContext;
use crate::inputs::decode::{NO_JSON, set};
use event::{Batch, Common, CommonValue, Event, New, Origin, Path, Span};
use std::collections::HashMap;
use std::sync::Arc;
use wire::redis::Value;
use xxhash_rust::xxh3::xxh3_128;

/// Keys, and generations of streams, whose common fields are kept.
const COMMONS_MAX: usize = 10_000;

/// The id of an entry: milliseconds since 1970 and a number, `1763690704000-0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct StreamId {
    pub(super) ms: u64,
    pub(super) number: u64,
}

impl StreamId {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (ms, number) = text.split_once('-').unwrap_or((text, "0"));
        Some(Self { ms: ms.parse().ok()?, number: number.parse().ok()? })
    }

    /// Its place in its origin: a generation and a position. Ids that Redis makes itself fit
    /// without loss; of larger numbers in a millisecond, which only somebody else gives, what does
    /// not fit is mixed into the generation.
    fn place(self) -> (u32, u64) {
        let high = (self.number >> 32) as u32;
        let generation = (self.ms >> 32) as u32 ^ high.wrapping_mul(0x9E37_79B1);
        (generation, (self.ms << 32) | (self.number & u64::from(u32::MAX)))
    }

    /// In nanoseconds, when it is a time that fits.
    fn time(self) -> Option<i64> {
        i64::try_from(self.ms).ok()?.checked_mul(1_000_000)
    }
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.number)
    }
}

/// See the module.
pub(super) struct Decoder {
    codec: Codec,
    timestamp: Timestamp,
    field: String,
    /// Of what has no id in Redis: anew with each start.
    origin: [u8; 16],
    /// What streams are told apart by, beside their key: server and database.
    place: Vec<u8>,
    position: u64,
    commons: HashMap<(Vec<u8>, Option<u32>), Arc<Common>>,
    paths: HashMap<Vec<u8>, Path>,
    message: Path,
    tags: Path,
    redis: Path,
    channel: Path,
    host: String,
}

impl Decoder {
    pub(super) fn new(config: &Config, context: &InputContext) -> Self {
        // It is not kept: what is read again has no id by which it would be known.
        let origin = context.registry.create(&context.name, String::new(), 0);
        context.registry.remove(origin);
        let mut hosts = config.hosts.clone();
        hosts.sort();
        let kind = if config.kind == Kind::Stream { "stream" } else { "" };
        Self {
            codec: config.codec,
            timestamp: config.timestamp,
            field: config.field.clone(),
            origin: origin.id,
            place: format!("redis\0{kind}\0{}\0{}", hosts.join("\0"), config.db).into_bytes(),
            position: 0,
            commons: HashMap::new(),
            paths: HashMap::new(),
            message: Path::of(["message"]),
            tags: Path::of(["tags"]),
            redis: Path::of(["redis"]),
            channel: Path::of(["redis", "channel"]),
            host: context.host.clone(),
        }
    }

    /// A new batch begins.
    pub(super) fn begin(&mut self) {
        if self.commons.len() > COMMONS_MAX {
            self.commons.clear();
        }
        if self.paths.len() > COMMONS_MAX {
            self.paths.clear();
        }
    }

    /// Adds the event of an element of a list, or of a message; `channel` where that is not the key.
    pub(super) fn push(&mut self, key: &str, channel: Option<&[u8]>, text: &[u8], batch: &mut Batch) {
        let origin = Origin { id: self.origin, generation: 0 };
        let position = self.position;
        self.run(key, origin, None, position, batch);
        self.position += 1;
        let now = batch.now();
        let mut event = self.event(text, position, now, batch);
        if let Some(channel) = channel {
            set(&mut event, &self.channel, New::Str(channel));
        }
        drop(event);
        batch.end_run(self.position, 0);
    }

    /// Adds the event of an entry of a stream.
    pub(super) fn push_entry(&mut self, key: &str, id: StreamId, fields: &Value<'_>, batch: &mut Batch) {
        let (generation, position) = id.place();
        let mut own = self.place.clone();
        own.push(0);
        own.extend_from_slice(key.as_bytes());
        let origin = Origin { id: xxh3_128(&own).to_be_bytes(), generation };
        self.run(key, origin, Some(generation), position, batch);
        let time = match self.timestamp {
            Timestamp::Id => id.time().unwrap_or(batch.now()),
            Timestamp::Read => batch.now(),
        };
        let pairs = fields.pairs().unwrap_or_default();
        let named = pairs.iter().find(|(name, _)| name.bytes() == Some(self.field.as_bytes()));
        let named = named.and_then(|(_, value)| value.bytes());
        let mut others: Vec<(Path, &[u8])> = Vec::new();
        for (name, value) in &pairs {
            let (Some(name), Some(value)) = (name.bytes(), value.bytes()) else { continue };
            if named.is_some() && name == self.field.as_bytes() {
                continue;
            }
            let path = self.paths.entry(name.to_vec()).or_insert_with(|| {
                // A name is one name, whatever stands in it; without any it has a name all the same.
                let name = String::from_utf8_lossy(name);
                Path::of([if name.is_empty() { "_" } else { &*name }])
            });
            others.push((path.clone(), value));
        }
        let mut event = match named {
            Some(text) => self.event(text, position, time, batch),
            None => {
                let mut event = batch.push_empty(position);
                event.set_time(time);
                event
            }
        };
        for (path, value) in others {
            // A time that is none is not to be lost with its field.
            if event.set(&path, New::Str(value)).is_err() {
                set(&mut event, &Path::of([format!("_{}", path.dotted())]), New::Str(value));
            }
        }
        let mut place = b"{\"key\":".to_vec();
        event::json::write_str(key.as_bytes(), &mut place);
        place.extend_from_slice(format!(",\"id\":\"{id}\"}}").as_bytes());
        set(&mut event, &self.redis, New::Json(&String::from_utf8_lossy(&place)));
        drop(event);
        batch.end_run(position.saturating_add(1), 0);
    }

    /// Continues the last run of the batch, or begins one.
    fn run(&mut self, key: &str, origin: Origin, generation: Option<u32>, position: u64, batch: &mut Batch) {
        let common = self.commons.entry((key.as_bytes().to_vec(), generation)).or_insert_with(|| {
            let text = |text: &str| CommonValue::Str(text.to_owned());
            // The key of an entry stands beside its id: what is common would have to be copied for it.
            let key = generation.is_none().then(|| ("redis.key", text(key)));
            Common::new(origin, [("host.name", text(&self.host))].into_iter().chain(key))
        });
        let goes_on =
            batch.runs().last().is_some_and(|last| Arc::ptr_eq(&last.common, common) && last.to <= position);
        if !goes_on {
            batch.begin_run(common.clone(), position);
        }
    }

    fn event<'b>(&self, text: &[u8], position: u64, time: i64, batch: &'b mut Batch) -> Event<'b> {
        let from = batch.bytes().len();
        batch.bytes_mut().extend_from_slice(text);
        let span = Span::new(from, batch.bytes().len());
        match self.codec {
            Codec::Raw => {
                batch.push_line_at(span, position, time);
                let index = batch.len() - 1;
                batch.event_mut(index)
            }
            Codec::Json => {
                let mut event = batch.push_empty(position);
                event.set_time(time);
                if event.merge_json(span).is_err() {
                    set(&mut event, &self.message, New::Span(span));
                    set(&mut event, &self.tags, New::Json(NO_JSON));
                }
                event
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoder(options: &str) -> Decoder {
        let mut config: Config = serde_json::from_str(options).unwrap();
        config.hosts = vec!["b:1".to_owned(), "a:1".to_owned()];
        let context = InputContext::of_test();
        Decoder::new(&config, &context)
    }

    fn json(batch: &Batch) -> Vec<String> {
        batch
            .events()
            .map(|event| {
                let mut out = Vec::new();
                event.write_json(&mut out);
                String::from_utf8(out).unwrap()
            })
            .collect()
    }

    #[test]
    fn elements_become_events() {
        let mut batch = Batch::new();
        let mut decoder = decoder("{}");
        for text in [r#"{"a":1}"#, "no json", r#"["a"]"#] {
            decoder.push("k", None, text.as_bytes(), &mut batch);
        }
        let common = r#"{"@timestamp":"1970-01-01T00:00:00.000Z","host":{"name":"h"},"redis":{"key":"k"},"#;
        let failed = |text: &str| format!("{common}\"message\":{text},\"tags\":[\"_jsonparsefailure\"]}}");
        assert_eq!(
            json(&batch),
            [format!("{common}\"a\":1}}"), failed("\"no json\""), failed(r#""[\"a\"]""#)]
        );
        assert_eq!(batch.runs().len(), 1);
    }

    #[test]
    fn entries_become_events_with_ids_of_their_own() {
        let bulk = |text: &'static str| Value::Bulk(text.as_bytes());
        let fields = Value::Array(vec![bulk("event"), bulk(r#"{"a":1}"#), bulk("b"), bulk("2")]);
        let id = StreamId::parse(b"1763690704000-5").unwrap();
        let read = |options: &str| {
            let mut batch = Batch::new();
            let mut decoder = decoder(options);
            decoder.push_entry("s", id, &fields, &mut batch);
            (json(&batch).remove(0), batch.view(0).id())
        };
        let (text, first) = read(r#"{"type":"stream"}"#);
        assert_eq!(
            text,
            r#"{"@timestamp":"2025-11-21T02:05:04.000Z","host":{"name":"h"},"a":1,"b":"2","redis":{"key":"s","id":"1763690704000-5"}}"#
        );
        // Another decoder is another start of the program.
        assert_eq!(read(r#"{"type":"stream"}"#).1, first);
        assert_ne!(read(r#"{"type":"stream","db":1}"#).1, first);
        let (text, _) = read(r#"{"type":"stream","field":"none","timestamp":"read"}"#);
        assert!(text.contains(r#""event":"{\"a\":1}""#) && text.contains("1970"), "{text}");
    }

    #[test]
    fn ids() {
        assert_eq!(StreamId::parse(b"5"), Some(StreamId { ms: 5, number: 0 }));
        for bad in ["", "-", "a-1", "1-", "1-2-3", "-1-0"] {
            assert_eq!(StreamId::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        /// Ids that Redis makes itself have places of their own, in their order.
        #[test]
        fn places_differ(a in (0..1_u64 << 48, 0..1_u64 << 32), b in (0..1_u64 << 48, 0..1_u64 << 32)) {
            let id = |(ms, number)| StreamId { ms, number };
            prop_assert_eq!(id(a) == id(b), id(a).place() == id(b).place());
            prop_assert_eq!(StreamId::parse(id(a).to_string().as_bytes()), Some(id(a)));
            if a.0 >> 32 == b.0 >> 32 {
                prop_assert_eq!(id(a).cmp(&id(b)), id(a).place().1.cmp(&id(b).place().1));
            }
        }
    }
}
