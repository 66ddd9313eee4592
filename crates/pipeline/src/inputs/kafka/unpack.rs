//! Makes events of records, as they come from a broker.
//!
//! The records of a batch are not copied one by one: what was compressed is unpacked into memory
//! that becomes the batch's own, what was not is copied in one piece, and events are spans in it.

use super::exchange::{Part, Portion};
use super::{Codec, Metadata, Timestamp};
use crate::inputs::decode::{NO_JSON, set};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use event::{Batch, Common, CommonValue, EVENTS_MAX, Event, New, Origin, Path, Span, Value};
use std::collections::HashMap;
use std::sync::Arc;
use wire::kafka::compression::Compression;
use wire::kafka::consumer::TopicPartition;
use wire::kafka::consumer::batches::{AbortedFilter, Head, Verdict, heads};
use wire::kafka::records::{Damage, Headers, Limits, Paused, Reason, Record, RecordSet};

/// How often a batch with a wrong checksum is fetched again before it counts as damaged: the
/// bytes may have changed on their way, or another replica may have them.
const FETCHES_AGAIN: u32 = 2;
/// Names of headers whose paths are kept; somebody may make up names without end.
const PATHS_MAX: usize = 1_000;
/// The same for partitions.
const COMMONS_MAX: usize = 10_000;
/// Memory that is kept from one batch to the next.
const SCRATCH_BYTES_MAX: usize = 8 << 20;

/// The tag of an event that stands for records that cannot be read.
const DAMAGED: &str = "_kafka_damaged";

/// A portion that becomes events.
pub(super) struct Reading {
    pub(super) portion: Portion,
    /// Behind what became events, or never will.
    position: i64,
    /// The first byte of the batch that is read, or read next.
    begin: usize,
    filter: AbortedFilter,
    open: Option<Open>,
}

/// A batch that is read.
struct Open {
    head: Head,
    /// Its records are in the scratch memory, not in the portion.
    unpacked: bool,
    rest: Paused,
}

/// What became of a portion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unpacked {
    /// All of it is in the batch.
    All,
    /// The batch is full.
    Full,
    /// From this offset on it is to be fetched once more.
    FetchAgain(i64),
}

/// A record, as places in the bytes of its batch.
struct Found {
    offset: i64,
    timestamp: i64,
    key: Option<Span>,
    value: Option<Span>,
    headers: Span,
}

/// See the module.
pub(super) struct Unpacker {
    codec: Codec,
    timestamp: Timestamp,
    with_key: bool,
    with_timestamp: bool,
    with_headers: bool,
    batch_bytes: usize,
    scratch: Vec<u8>,
    found: Vec<Found>,
    commons: HashMap<TopicPartition, Arc<Common>>,
    /// Where a checksum was wrong, and how often.
    damaged: HashMap<TopicPartition, (i64, u32)>,
    paths: Paths,
}

struct Paths {
    key: Path,
    timestamp: Path,
    batch: Path,
    message: Path,
    reason: Path,
    tags: Path,
    headers: HashMap<String, Path>,
}

impl Reading {
    pub(super) fn new(portion: Portion) -> Self {
        let filter = AbortedFilter::new(&portion.aborted);
        Self { position: portion.from, begin: 0, filter, open: None, portion }
    }
}

impl Unpacker {
    pub(super) fn new(codec: Codec, timestamp: Timestamp, with: &[Metadata], batch_bytes: usize) -> Self {
        Self {
            codec,
            timestamp,
            with_key: with.contains(&Metadata::Key),
            with_timestamp: with.contains(&Metadata::Timestamp),
            with_headers: with.contains(&Metadata::Headers),
            batch_bytes,
            scratch: Vec::new(),
            found: Vec::new(),
            commons: HashMap::new(),
            damaged: HashMap::new(),
            paths: Paths {
                key: Path::of(["kafka", "key"]),
                timestamp: Path::of(["kafka", "timestamp"]),
                batch: Path::of(["kafka", "batch"]),
                message: Path::of(["message"]),
                reason: Path::of(["error", "message"]),
                tags: Path::of(["tags"]),
                headers: HashMap::new(),
            },
        }
    }

    /// Puts events into the batch until it is full or the portion is at its end, and says in
    /// `parts` which offsets they are. Markers and aborted records are passed over.
    pub(super) fn unpack(
        &mut self,
        reading: &mut Reading,
        batch: &mut Batch,
        parts: &mut Vec<Part>,
    ) -> Unpacked {
        loop {
            if batch.len() >= EVENTS_MAX || batch.bytes().len() >= self.batch_bytes {
                return Unpacked::Full;
            }
            let events = batch.len();
            if let Some(open) = reading.open.take() {
                let (next, epoch) = self.read(reading, open, batch);
                pass(reading, next, epoch, events, batch, parts);
                continue;
            }
            let records = &reading.portion.records[reading.begin..];
            let Some(head) = heads(records).next() else {
                let next = reading.portion.next;
                pass(reading, next, -1, events, batch, parts);
                self.scratch.shrink_to(SCRATCH_BYTES_MAX);
                return Unpacked::All;
            };
            let (next, epoch, bytes) = (head.next_offset(), head.leader_epoch, head.bytes.len());
            // It must see every batch, those as well that were read before.
            let verdict = reading.filter.verdict(&head);
            if verdict != Verdict::Deliver || next <= reading.position {
                reading.begin += bytes;
                pass(reading, next, epoch, events, batch, parts);
                continue;
            }
            let read = RecordSet::new(&records[..bytes], Limits::default())
                .next(&mut self.scratch)
                .map(|read| read.map(|found| (found.compression, found.records().pause())));
            match read {
                Some(Ok((compression, rest))) => {
                    reading.open = Some(Open { head, unpacked: compression != Compression::None, rest });
                }
                Some(Err(damage)) if self.is_worth_another_try(reading, &damage) => {
                    return Unpacked::FetchAgain(reading.position);
                }
                Some(Err(damage)) => {
                    self.push_damaged(reading, &head, &damage, batch);
                    reading.begin += bytes;
                    pass(reading, next, epoch, events, batch, parts);
                }
                // Not possible: the head is that of a whole batch.
                None => reading.begin = reading.portion.records.len(),
            }
        }
    }

    fn is_worth_another_try(&mut self, reading: &Reading, damage: &Damage) -> bool {
        if !matches!(damage.reason, Reason::Checksum { .. }) {
            return false;
        }
        let (partition, offset) = (&reading.portion.at.partition, reading.position);
        let seen = self.damaged.entry(partition.clone()).or_insert((offset, 0));
        if seen.0 != offset {
            *seen = (offset, 0);
        }
        seen.1 += 1;
        if seen.1 > FETCHES_AGAIN {
            self.damaged.remove(partition);
            return false;
        }
        tracing::warn!(%partition, offset, %damage, "a batch is damaged; it is fetched again");
        true
    }

    /// Reads as many records of a batch as there is room for, and says where reading goes on and
    /// in which leader epoch they were written.
    fn read(&mut self, reading: &mut Reading, mut open: Open, batch: &mut Batch) -> (i64, i32) {
        let packed = &reading.portion.records[reading.begin..reading.begin + open.head.bytes.len()];
        let bytes = if open.unpacked { &self.scratch[..] } else { packed };
        let mut records = open.rest.resume(bytes);
        let from = bytes.len() - records.bytes().len();
        let bytes = &bytes[from..];
        let room = self.batch_bytes.saturating_sub(batch.bytes().len());
        let events_max = EVENTS_MAX.saturating_sub(batch.len());
        let (mut to, mut damage, mut at_end) = (0, None, false);
        self.found.clear();
        while !at_end && self.found.len() < events_max && (to < room || self.found.is_empty()) {
            match records.next() {
                Some(Ok(record)) => {
                    to = bytes.len() - records.bytes().len();
                    if record.offset >= reading.position {
                        self.found.push(Found::of(&record, bytes));
                    }
                }
                Some(Err(found)) => (damage, at_end) = (Some(found), true),
                None => at_end = true,
            }
        }
        open.rest = records.pause();

        let base = batch.bytes().len();
        if open.unpacked && at_end && base == 0 && from == 0 {
            // What was unpacked for this batch alone becomes its memory.
            std::mem::swap(batch.bytes_mut(), &mut self.scratch);
        } else if !self.found.is_empty() {
            batch.bytes_mut().extend_from_slice(&bytes[..to]);
        }
        let found = std::mem::take(&mut self.found);
        if !found.is_empty() {
            self.begin_run(reading, open.head.leader_epoch, batch);
        }
        for one in &found {
            self.push(one, base, batch);
        }
        let mut next = found.last().map_or(reading.position, |last| last.offset.saturating_add(1));
        self.found = found;
        let epoch = open.head.leader_epoch;
        if let Some(damage) = damage {
            self.push_damaged(reading, &open.head, &damage, batch);
        }
        if at_end {
            next = next.max(open.head.next_offset());
            reading.begin += open.head.bytes.len();
        } else {
            reading.open = Some(open);
        }
        (next, epoch)
    }

    /// Continues the run of the batch, or begins one.
    fn begin_run(&mut self, reading: &Reading, epoch: i32, batch: &mut Batch) {
        let common = self.common(&reading.portion, epoch);
        let position = number(reading.position);
        let goes_on = batch.runs().last().is_some_and(|last| Arc::ptr_eq(&last.common, &common));
        if !goes_on || batch.runs().last().is_some_and(|last| last.to != position) {
            batch.begin_run(common, position);
        }
    }

    /// What the events of a partition have in common. A leader epoch is a generation of its
    /// own: after an election that cut the log the same offsets stand for other records.
    fn common(&mut self, portion: &Portion, epoch: i32) -> Arc<Common> {
        let origin = Origin { id: portion.origin, generation: u32::try_from(epoch).unwrap_or(0) };
        let at = &portion.at.partition;
        if let Some(common) = self.commons.get(at).filter(|common| common.origin() == origin) {
            return common.clone();
        }
        let fields = [
            ("kafka.topic", CommonValue::Str(at.topic.to_string())),
            ("kafka.partition", CommonValue::Int(at.partition.into())),
            ("kafka.offset", CommonValue::Position),
        ];
        let common = Common::new(origin, fields);
        if self.commons.len() >= COMMONS_MAX {
            self.commons.clear();
        }
        self.commons.insert(at.clone(), common.clone());
        common
    }

    /// Adds the event of a record whose bytes stand in the batch from `base` on.
    fn push(&mut self, found: &Found, base: usize, batch: &mut Batch) {
        let place = |span: Span| Span::new(span.from as usize + base, span.to as usize + base);
        let position = number(found.offset);
        let written = found.timestamp.checked_mul(1_000_000).filter(|_| found.timestamp >= 0);
        let time = match self.timestamp {
            Timestamp::Record => written.unwrap_or(batch.now()),
            Timestamp::Read => batch.now(),
        };
        let value = found.value.map(place);
        match (self.codec, value) {
            (Codec::Raw, Some(value)) => batch.push_line_at(value, position, time),
            (Codec::Json, Some(value)) => {
                let mut event = batch.push_empty(position);
                event.set_time(time);
                if event.merge_json(value).is_err() {
                    set(&mut event, &self.paths.message, New::Span(value));
                    set(&mut event, &self.paths.tags, New::Json(NO_JSON));
                }
            }
            (_, None) => batch.push_empty(position).set_time(time),
        }
        let key = found.key.filter(|_| self.with_key);
        let has_headers = self.with_headers && !found.headers.is_empty();
        if key.is_none() && !has_headers && !self.with_timestamp {
            return;
        }
        let index = batch.len() - 1;
        let mut event = batch.event_mut(index);
        if let Some(key) = key {
            set(&mut event, &self.paths.key, New::Span(place(key)));
        }
        if let Some(written) = written.filter(|_| self.with_timestamp) {
            set(&mut event, &self.paths.timestamp, New::Time(written));
        }
        if has_headers {
            self.paths.set_headers(&mut event, place(found.headers));
        }
    }

    /// Adds an event that stands for what cannot be read: with the bytes of its batch, so that
    /// nothing is lost for good that somebody could still make sense of.
    fn push_damaged(&mut self, reading: &Reading, head: &Head, damage: &Damage, batch: &mut Batch) {
        let partition = &reading.portion.at.partition;
        tracing::error!(%partition, %damage, "records cannot be read; an event with their bytes takes their place");
        self.begin_run(reading, head.leader_epoch, batch);
        let whole = &reading.portion.records[reading.begin..reading.begin + head.bytes.len()];
        let offset = reading.position.max(*damage.offsets.start());
        let mut event = batch.push_empty(number(offset));
        let reason = damage.to_string();
        set(&mut event, &self.paths.message, New::from("records of Kafka that cannot be read"));
        set(&mut event, &self.paths.reason, New::from(reason.as_str()));
        set(&mut event, &self.paths.batch, New::from(BASE64.encode(whole).as_str()));
        set(&mut event, &self.paths.tags, New::Json(&format!("[\"{DAMAGED}\"]")));
    }
}

impl Paths {
    /// Sets each header as `kafka.headers.NAME`; one that comes more than once as a list.
    fn set_headers(&mut self, event: &mut Event<'_>, span: Span) {
        let bytes = event.bytes(span).to_vec();
        for (name, value) in Headers::read(&bytes) {
            if !self.headers.contains_key(name) {
                if self.headers.len() >= PATHS_MAX {
                    self.headers.clear();
                }
                self.headers.insert(name.to_owned(), Path::of(["kafka", "headers", name]));
            }
            let Some(path) = self.headers.get(name) else { continue };
            let before = event.get(path).map(|before| {
                let mut text = Vec::new();
                before.write_json(&mut text);
                (matches!(before, Value::Json(_)), String::from_utf8_lossy(&text).into_owned())
            });
            let Some((is_list, before)) = before else {
                set(event, path, value.map_or(New::Null, New::Str));
                continue;
            };
            let mut text = Vec::new();
            value.map_or(Value::Null, |value| Value::Str(value.into())).write_json(&mut text);
            let list = if is_list { before.trim_end_matches(']').to_owned() } else { format!("[{before}") };
            set(event, path, New::Json(&format!("{list},{}]", String::from_utf8_lossy(&text))));
        }
    }
}

impl Found {
    /// Where the parts of a record stand in `bytes`, which holds them.
    fn of(record: &Record<'_>, bytes: &[u8]) -> Self {
        let place = |part: &[u8]| {
            let from = (part.as_ptr() as usize).saturating_sub(bytes.as_ptr() as usize);
            Span::new(from, from + part.len())
        };
        let headers = record.headers_bytes();
        Self {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(place),
            value: record.value.map(place),
            // The number of headers alone: there are none.
            headers: if record.headers().next().is_some() { place(headers) } else { Span::default() },
        }
    }
}

/// The offsets up to `next` are done with: they became events, those from `events` on, or none.
fn pass(
    reading: &mut Reading,
    next: i64,
    epoch: i32,
    events: usize,
    batch: &mut Batch,
    parts: &mut Vec<Part>,
) {
    let from = reading.position;
    if next <= from {
        return;
    }
    reading.position = next;
    let at = &reading.portion.at;
    let events = events..batch.len();
    if batch.runs().last().is_some_and(|run| run.common.origin().id == reading.portion.origin) {
        batch.end_run(number(next), 0);
    }
    match parts.last_mut() {
        Some(last) if last.at == *at && last.epoch == epoch && last.offsets.end == from => {
            last.offsets.end = next;
            last.events.end = events.end;
        }
        _ => parts.push(Part { at: at.clone(), offsets: from..next, epoch, events }),
    }
}

/// An offset as a position; brokers give none below 0.
fn number(offset: i64) -> u64 {
    u64::try_from(offset).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::exchange::Place;
    use super::*;
    use kafka_protocol::messages::fetch_response::AbortedTransaction;
    use proptest::prelude::*;
    use wire::kafka::compression::Compressor;
    use wire::kafka::consumer::{Lease, topic};
    use wire::kafka::records::{BatchWriter, Producer, Stamp};

    const ALL: [Metadata; 3] = [Metadata::Key, Metadata::Timestamp, Metadata::Headers];
    const TRANSACTIONAL: u8 = 1 << 4;
    const CONTROL: u8 = 1 << 5;

    type Headed<'a> = &'a [(&'a str, Option<&'a [u8]>)];

    /// A batch as it lies in a log.
    struct Written(Vec<u8>);

    impl Written {
        fn new(base: i64, epoch: i32, compression: Compression, values: &[&[u8]]) -> Self {
            let mut writer = BatchWriter::default();
            for value in values {
                writer.append(1_700_000_000_000, None, Some(&[value]), &[]);
            }
            Self::of(writer, base, epoch, compression)
        }

        fn of(writer: BatchWriter, base: i64, epoch: i32, compression: Compression) -> Self {
            let producer = Some(Producer { id: 7, epoch: 0, base_sequence: 0 });
            let stamp = Stamp { producer, ..Stamp::default() };
            let mut compressor = Compressor::new(compression, None).unwrap();
            let mut bytes = writer.finish(stamp, &mut compressor, &mut Vec::new()).0;
            bytes[..8].copy_from_slice(&base.to_be_bytes());
            bytes[12..16].copy_from_slice(&epoch.to_be_bytes());
            Self(bytes)
        }

        fn marked(mut self, attributes: u8) -> Self {
            self.0[22] |= attributes;
            let sum = crc32c::crc32c(&self.0[21..]);
            self.0[17..21].copy_from_slice(&sum.to_be_bytes());
            self
        }
    }

    fn portion(from: i64, batches: &[Written], aborted: &[(i64, i64)]) -> Portion {
        let records: Vec<u8> = batches.iter().flat_map(|written| written.0.clone()).collect();
        let next = heads(&records).last().map_or(from, |head| head.next_offset());
        let one = |(producer, first): &(i64, i64)| {
            AbortedTransaction::default().with_producer_id((*producer).into()).with_first_offset(*first)
        };
        Portion {
            at: Place { partition: TopicPartition::new(topic("t"), 3), lease: Lease(1), turn: 0 },
            origin: [9; 16],
            from,
            next,
            records: records.into(),
            aborted: aborted.iter().map(one).collect(),
        }
    }

    fn json_of(batch: &Batch) -> Vec<String> {
        let one = |view: event::View<'_>| {
            let mut out = Vec::new();
            view.write_json(&mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        batch.events().map(one).collect()
    }

    /// All batches that a portion becomes, and the parts of each.
    fn unpacked(unpacker: &mut Unpacker, portion: Portion) -> Vec<(Batch, Vec<Part>)> {
        let mut reading = Reading::new(portion);
        let mut all = Vec::new();
        loop {
            let (mut batch, mut parts) = (Batch::new(), Vec::new());
            batch.reset(5);
            let outcome = unpacker.unpack(&mut reading, &mut batch, &mut parts);
            all.push((batch, parts));
            match outcome {
                Unpacked::Full => {}
                Unpacked::All => return all,
                Unpacked::FetchAgain(offset) => panic!("again from {offset}"),
            }
        }
    }

    fn offsets(batches: &[(Batch, Vec<Part>)]) -> Vec<u64> {
        batches
            .iter()
            .flat_map(|(batch, _)| batch.events().map(|view| view.position()).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn a_record_becomes_an_event() {
        #[track_caller]
        fn check(
            codec: Codec,
            with: &[Metadata],
            value: Option<&[u8]>,
            key: Option<&[u8]>,
            headers: Headed<'_>,
            expected: &str,
        ) {
            let mut writer = BatchWriter::default();
            let value = value.map(|value| [value]);
            writer.append(1_700_000_000_000, key, value.as_ref().map(|value| &value[..]), headers);
            let written = Written::of(writer, 40, 2, Compression::None);
            let mut unpacker = Unpacker::new(codec, Timestamp::Record, with, 1 << 20);
            let batches = unpacked(&mut unpacker, portion(40, &[written], &[]));
            let time = "\"@timestamp\":\"2023-11-14T22:13:20.000Z\"";
            let expected = expected
                .replace("TIME", time)
                .replace("HERE", "\"topic\":\"t\",\"partition\":3,\"offset\":40");
            assert_eq!(json_of(&batches[0].0), [expected]);
        }
        let header: Headed<'_> = &[("a.b", Some(b"1")), ("n", None)];
        let twice: Headed<'_> = &[("h", Some(b"1")), ("h", Some(b"2")), ("h", None)];
        check(Codec::Raw, &[], Some(b"hello"), Some(b"k"), &[], r#"{TIME,"kafka":{HERE},"message":"hello"}"#);
        check(
            Codec::Raw,
            &[Metadata::Key],
            Some(b"v"),
            Some(b"k"),
            &[],
            r#"{TIME,"message":"v","kafka":{HERE,"key":"k"}}"#,
        );
        check(Codec::Raw, &[Metadata::Key], None, Some(b"k"), &[], r#"{TIME,"kafka":{HERE,"key":"k"}}"#);
        check(
            Codec::Raw,
            &[Metadata::Headers],
            Some(b"v"),
            None,
            header,
            r#"{TIME,"message":"v","kafka":{HERE,"headers":{"a.b":"1","n":null}}}"#,
        );
        check(
            Codec::Raw,
            &[Metadata::Headers],
            Some(b"v"),
            None,
            twice,
            r#"{TIME,"message":"v","kafka":{HERE,"headers":{"h":["1","2",null]}}}"#,
        );
        check(
            Codec::Raw,
            &[Metadata::Timestamp],
            Some(b"v"),
            None,
            header,
            r#"{TIME,"message":"v","kafka":{HERE,"timestamp":"2023-11-14T22:13:20.000Z"}}"#,
        );
        check(Codec::Json, &[], Some(br#"{"a":{"b":1}}"#), None, &[], r#"{TIME,"kafka":{HERE},"a":{"b":1}}"#);
        check(
            Codec::Json,
            &[],
            Some(br#"{"@timestamp":"2020-01-01T00:00:00Z"}"#),
            None,
            &[],
            r#"{"@timestamp":"2020-01-01T00:00:00.000Z","kafka":{HERE}}"#,
        );
        check(
            Codec::Json,
            &[],
            Some(b"[1]"),
            None,
            &[],
            r#"{TIME,"kafka":{HERE},"message":"[1]","tags":["_jsonparsefailure"]}"#,
        );
        check(
            Codec::Json,
            &[Metadata::Key],
            Some(b"{\"a\":1"),
            Some(b"k"),
            &[],
            r#"{TIME,"message":"{\"a\":1","tags":["_jsonparsefailure"],"kafka":{HERE,"key":"k"}}"#,
        );
    }

    #[test]
    fn what_is_no_data_is_passed_over_and_what_was_read_is_left_out() {
        #[track_caller]
        fn check(
            from: i64,
            batches: &[Written],
            aborted: &[(i64, i64)],
            expected: &[u64],
            parts: &[(i64, i64, i32, usize)],
        ) {
            let mut unpacker = Unpacker::new(Codec::Raw, Timestamp::Read, &ALL, 1 << 20);
            let found = unpacked(&mut unpacker, portion(from, batches, aborted));
            assert_eq!(offsets(&found), expected);
            let told: Vec<_> = found[0]
                .1
                .iter()
                .map(|part| (part.offsets.start, part.offsets.end, part.epoch, part.events.len()))
                .collect();
            assert_eq!(told, parts);
        }
        let new = |base, epoch| Written::new(base, epoch, Compression::None, &[b"a", b"b"]);
        let marker = |base, epoch| {
            Written::new(base, epoch, Compression::None, &[b""]).marked(TRANSACTIONAL | CONTROL)
        };
        check(0, &[new(0, 1), new(2, 1)], &[], &[0, 1, 2, 3], &[(0, 4, 1, 4)]);
        check(1, &[new(0, 1)], &[], &[1], &[(1, 2, 1, 1)]);
        check(0, &[new(0, 1), new(9, 1)], &[], &[0, 1, 9, 10], &[(0, 11, 1, 4)]); // compaction left a gap
        check(0, &[new(0, 1), new(2, 4)], &[], &[0, 1, 2, 3], &[(0, 2, 1, 2), (2, 4, 4, 2)]);
        check(0, &[new(0, 1).marked(TRANSACTIONAL), marker(2, 1)], &[], &[0, 1], &[(0, 3, 1, 2)]);
        check(
            0,
            &[new(0, 1).marked(TRANSACTIONAL), marker(2, 1), new(3, 1)],
            &[(7, 0)],
            &[3, 4],
            &[(0, 5, 1, 2)],
        );
        check(0, &[new(0, 1).marked(TRANSACTIONAL), marker(2, 1)], &[(7, 0)], &[], &[(0, 3, 1, 0)]);
        check(
            1,
            &[new(0, 1).marked(TRANSACTIONAL), marker(2, 3)],
            &[(7, 0)],
            &[],
            &[(1, 2, 1, 0), (2, 3, 3, 0)],
        );
        check(5, &[], &[], &[], &[]);
    }

    #[test]
    fn an_epoch_is_a_generation() {
        let mut unpacker = Unpacker::new(Codec::Raw, Timestamp::Read, &[], 1 << 20);
        let batches =
            [Written::new(0, 1, Compression::Lz4, &[b"a"]), Written::new(1, 2, Compression::Lz4, &[b"b"])];
        let found = unpacked(&mut unpacker, portion(0, &batches, &[]));
        let runs: Vec<_> =
            found[0].0.runs().iter().map(|run| (run.common.origin().generation, run.from, run.to)).collect();
        assert_eq!(runs, [(1, 0, 1), (2, 1, 2)]);
        let again = unpacked(&mut unpacker, portion(1, &batches, &[]));
        assert_eq!(again[0].0.view(0).id(), found[0].0.view(1).id());
    }

    #[test]
    fn a_wrong_checksum_is_fetched_again_and_then_told() {
        let mut unpacker = Unpacker::new(Codec::Raw, Timestamp::Read, &[], 1 << 20);
        let mut broken = Written::new(2, 1, Compression::None, &[b"c", b"d"]);
        *broken.0.last_mut().unwrap() ^= 1;
        broken.0[70] ^= 1;
        let bytes = BASE64.encode(&broken.0);
        let batches = [
            Written::new(0, 1, Compression::None, &[b"a", b"b"]),
            broken,
            Written::new(4, 1, Compression::None, &[b"e"]),
        ];
        for attempt in 0..3 {
            let mut reading = Reading::new(portion(0, &batches, &[]));
            let (mut batch, mut parts) = (Batch::new(), Vec::new());
            let outcome = unpacker.unpack(&mut reading, &mut batch, &mut parts);
            if attempt < 2 {
                assert_eq!((outcome, batch.len()), (Unpacked::FetchAgain(2), 2));
                assert_eq!(parts[0].offsets, 0..2);
                continue;
            }
            assert_eq!((outcome, batch.len()), (Unpacked::All, 4));
            assert_eq!((parts.len(), parts[0].offsets.clone()), (1, 0..5));
            let event = json_of(&batch).swap_remove(2);
            assert!(
                event.contains(&bytes) && event.contains("_kafka_damaged") && event.contains("checksum"),
                "{event}"
            );
            assert_eq!(batch.view(2).position(), 2);
        }
    }

    #[test]
    fn a_record_that_does_not_fit_is_told_behind_those_before_it() {
        let mut broken = Written::new(0, 1, Compression::None, &[b"a", b"b"]);
        // More records than there are.
        broken.0[60] = 3;
        let mut unpacker = Unpacker::new(Codec::Raw, Timestamp::Read, &[], 1 << 20);
        let found = unpacked(&mut unpacker, portion(0, &[broken.marked(0)], &[]));
        let events = json_of(&found[0].0);
        assert_eq!(events.len(), 3);
        assert!(
            events[1].contains("\"message\":\"b\"") && events[2].contains("_kafka_damaged"),
            "{events:?}"
        );
        assert_eq!(found[0].1[0].offsets, 0..2);
    }

    #[test]
    fn what_was_compressed_becomes_the_batch_itself() {
        let values: Vec<Vec<u8>> = (0..200).map(|n| format!("line {n}").into_bytes()).collect();
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let mut unpacker = Unpacker::new(Codec::Raw, Timestamp::Read, &[], 1 << 20);
        unpacker.scratch.reserve(100_000);
        let memory = unpacker.scratch.as_ptr();
        let found =
            unpacked(&mut unpacker, portion(0, &[Written::new(0, 0, Compression::Zstd, &values)], &[]));
        assert_eq!(found[0].0.bytes().as_ptr(), memory, "nothing was copied");
        assert_eq!(found[0].0.view(199).message().as_ref(), b"line 199");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_record_becomes_one_event_however_batches_are_cut(
            sizes in prop::collection::vec((1..1500usize, 0..5usize, 0..3i64, 0..40usize), 1..6),
            batch_bytes in 1..20_000usize,
            skip in 0..100i64,
        ) {
            let (mut base, mut batches, mut expected) = (0, Vec::new(), Vec::new());
            for (count, compression, gap, length) in sizes {
                base += gap;
                let values: Vec<Vec<u8>> = (0..count).map(|n| format!("{:0length$}", base + n as i64).into_bytes()).collect();
                let slices: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
                batches.push(Written::new(base, 0, Compression::ALL[compression], &slices));
                expected.extend(values.into_iter().enumerate().map(|(n, value)| (base as u64 + n as u64, value)));
                base += count as i64;
            }
            expected.retain(|(offset, _)| *offset >= skip as u64);
            let mut unpacker = Unpacker::new(Codec::Raw, Timestamp::Read, &[], batch_bytes);
            let portion = portion(skip, &batches, &[]);
            let next = portion.next;
            let found = unpacked(&mut unpacker, portion);
            let events: Vec<(u64, Vec<u8>)> = found
                .iter()
                .flat_map(|(batch, _)| batch.events().map(|view| (view.position(), view.message().into_owned())).collect::<Vec<_>>())
                .collect();
            prop_assert!(events == expected);
            // The parts lie side by side, and each knows its events.
            let mut at = skip;
            for (batch, parts) in &found {
                prop_assert!(batch.len() <= EVENTS_MAX);
                for part in parts {
                    prop_assert_eq!(part.offsets.start, at);
                    at = part.offsets.end;
                    for index in part.events.clone() {
                        prop_assert!(part.offsets.contains(&(batch.view(index).position() as i64)));
                    }
                }
            }
            prop_assert_eq!(at, next.max(skip));
        }
    }
}
