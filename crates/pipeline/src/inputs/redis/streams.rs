//! Streams, as a member of a consumer group.
//!
//! What the group gave us and we have not acknowledged is ours until we do, or until somebody
//! claims it. After a start and after a lost connection that is asked for first, from its
//! beginning; of it, what is under way in this program is passed over. Entries of members that are
//! gone are claimed when nobody has touched them for `claim_idle`.

use super::Config;
use super::ask::{Asker, Round, block, refused};
use super::decode::{Decoder, StreamId};
use event::Batch;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use wire::redis::Value;

/// See the module.
pub(super) struct Streams {
    keys: Vec<Stream>,
    group: String,
    consumer: String,
    start: String,
    count: usize,
    claim_idle: Duration,
    claim_interval: Duration,
    /// When it is looked next for entries of those who are gone; none: the server cannot.
    claim_at: Option<Instant>,
    batches: HashMap<u64, Vec<(usize, StreamId)>>,
}

struct Stream {
    key: String,
    /// Behind which of the entries that are ours reading goes on; none: they were all read.
    ours: Option<StreamId>,
    /// Where the next look for entries of others begins.
    claim_from: String,
    /// Read, and not acknowledged.
    under_way: HashSet<StreamId>,
    /// Safe, and not told.
    safe: Vec<StreamId>,
}

const BEGINNING: StreamId = StreamId { ms: 0, number: 0 };

impl Streams {
    pub(super) fn new(config: &Config, name: &str) -> Self {
        let stream = |key: &String| Stream {
            key: key.clone(),
            ours: Some(BEGINNING),
            claim_from: BEGINNING.to_string(),
            under_way: HashSet::new(),
            safe: Vec::new(),
        };
        Self {
            keys: config.keys.iter().map(stream).collect(),
            group: config.group.clone(),
            consumer: config.consumer.clone().unwrap_or_else(|| name.to_owned()),
            start: config.start.clone(),
            count: config.count,
            claim_idle: config.claim_idle.0,
            claim_interval: config.claim_interval.0,
            claim_at: Some(Instant::now()),
            batches: HashMap::new(),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.batches.len() + self.keys.iter().filter(|stream| !stream.safe.is_empty()).count()
    }

    /// Makes the groups, and the streams, where there are none.
    pub(super) fn set_up(&mut self, asker: &mut Asker) -> Result<(), String> {
        let mut round = Round::default();
        for stream in &self.keys {
            round.add(&["XGROUP", "CREATE", &stream.key, &self.group, &self.start, "MKSTREAM"]);
        }
        asker.ask(&round, |_, value| match value {
            Value::Error(error) if error.starts_with(b"BUSYGROUP") => Ok(()),
            value => refused(value),
        })
    }

    /// What was on its way to us is ours, and was not seen.
    pub(super) fn disconnected(&mut self) {
        self.keys.iter_mut().for_each(|stream| stream.ours = Some(BEGINNING));
    }

    /// A batch is safe, or came back.
    pub(super) fn settled(&mut self, number: u64, done: bool) {
        for (stream, id) in self.batches.remove(&number).unwrap_or_default() {
            let Some(stream) = self.keys.get_mut(stream) else { continue };
            stream.under_way.remove(&id);
            if done {
                stream.safe.push(id);
            } else {
                stream.ours = Some(BEGINNING);
            }
        }
    }

    /// Acknowledges what is safe. Twice is no harm, so after an error it is done again.
    pub(super) fn tell(&mut self, asker: &mut Asker) -> Result<(), String> {
        for stream in self.keys.iter_mut().filter(|stream| !stream.safe.is_empty()) {
            let ids: Vec<String> = stream.safe.iter().map(ToString::to_string).collect();
            let mut round = Round::default();
            let command =
                ["XACK", &stream.key, &self.group].into_iter().chain(ids.iter().map(String::as_str));
            round.add(&command.collect::<Vec<_>>());
            asker.ask(&round, |_, value| refused(value))?;
            stream.safe.clear();
        }
        Ok(())
    }

    /// Reads what is ours, what others left, or what is new.
    pub(super) fn read(
        &mut self,
        asker: &mut Asker,
        decoder: &mut Decoder,
        number: u64,
        batch: &mut Batch,
    ) -> Result<(), String> {
        let mut ids = Vec::new();
        if let Some(n) = self.keys.iter().position(|stream| stream.ours.is_some()) {
            self.read_ours(n, asker, decoder, batch, &mut ids)?;
        } else {
            let now = Instant::now();
            if self.claim_at.is_some_and(|at| at <= now) {
                self.claim(now, asker, decoder, batch, &mut ids)?;
            }
            if ids.is_empty() {
                self.read_new(asker, decoder, batch, &mut ids)?;
            }
        }
        if !ids.is_empty() {
            self.batches.insert(number, ids);
        }
        Ok(())
    }

    fn read_ours(
        &mut self,
        n: usize,
        asker: &mut Asker,
        decoder: &mut Decoder,
        batch: &mut Batch,
        ids: &mut Vec<(usize, StreamId)>,
    ) -> Result<(), String> {
        let stream = &mut self.keys[n];
        let from = stream.ours.unwrap_or(BEGINNING).to_string();
        let count = self.count.to_string();
        let mut round = Round::default();
        let (group, consumer) = (&self.group, &self.consumer);
        round.add(&["XREADGROUP", "GROUP", group, consumer, "COUNT", &count, "STREAMS", &stream.key, &from]);
        let mut last = None;
        asker.ask(&round, |_, value| {
            refused(value)?;
            for (_, entries) in value.pairs().unwrap_or_default() {
                for entry in entries.elements().unwrap_or_default() {
                    last = Entry::read(entry)?.take(n, stream, decoder, batch, ids);
                }
            }
            Ok(())
        })?;
        stream.ours = last;
        Ok(())
    }

    /// Takes over entries that others have left alone for long.
    fn claim(
        &mut self,
        now: Instant,
        asker: &mut Asker,
        decoder: &mut Decoder,
        batch: &mut Batch,
        ids: &mut Vec<(usize, StreamId)>,
    ) -> Result<(), String> {
        let (count, idle) = (self.count.to_string(), self.claim_idle.as_millis().to_string());
        let mut is_unknown = false;
        let mut is_at_end = true;
        for (n, stream) in self.keys.iter_mut().enumerate() {
            let mut round = Round::default();
            let from = stream.claim_from.clone();
            round.add(&[
                "XAUTOCLAIM",
                &stream.key,
                &self.group,
                &self.consumer,
                &idle,
                &from,
                "COUNT",
                &count,
            ]);
            asker.ask(&round, |_, value| {
                if matches!(value, Value::Error(error) if error.starts_with(b"ERR unknown command")) {
                    is_unknown = true;
                    return Ok(());
                }
                refused(value)?;
                let [next, entries, ..] = value.elements().unwrap_or_default() else {
                    return Err("it answers what is not an answer to XAUTOCLAIM".to_owned());
                };
                stream.claim_from = String::from_utf8_lossy(next.bytes().unwrap_or(b"0-0")).into_owned();
                is_at_end &= stream.claim_from == "0-0";
                for entry in entries.elements().unwrap_or_default() {
                    // Nothing is left of an entry that was deleted, before Redis 7.
                    if *entry != Value::Null {
                        Entry::read(entry)?.take(n, stream, decoder, batch, ids);
                    }
                }
                Ok(())
            })?;
        }
        if is_unknown {
            tracing::warn!(
                "XAUTOCLAIM is known from Redis 6.2 on: what members that are gone have left stays with them"
            );
            self.claim_at = None;
        } else {
            self.claim_at = Some(if is_at_end { now + self.claim_interval } else { now });
        }
        Ok(())
    }

    fn read_new(
        &mut self,
        asker: &mut Asker,
        decoder: &mut Decoder,
        batch: &mut Batch,
        ids: &mut Vec<(usize, StreamId)>,
    ) -> Result<(), String> {
        let (count, wait) = (self.count.to_string(), block(self.in_flight()).as_millis().to_string());
        let mut command = vec!["XREADGROUP", "GROUP", &self.group, &self.consumer, "COUNT", &count];
        command.extend(["BLOCK", &wait, "STREAMS"]);
        command.extend(self.keys.iter().map(|stream| stream.key.as_str()));
        command.extend(self.keys.iter().map(|_| ">"));
        let mut round = Round::default();
        round.add(&command);
        let keys = &mut self.keys;
        asker.ask(&round, |_, value| {
            refused(value)?;
            for (key, entries) in value.pairs().unwrap_or_default() {
                let n = keys.iter().position(|stream| key.bytes() == Some(stream.key.as_bytes()));
                let Some(n) = n else {
                    return Err("it answers of a stream that was not asked for".to_owned());
                };
                for entry in entries.elements().unwrap_or_default() {
                    Entry::read(entry)?.take(n, &mut keys[n], decoder, batch, ids);
                }
            }
            Ok(())
        })
    }
}

/// An entry as it is answered.
struct Entry<'v, 'b> {
    id: StreamId,
    fields: &'v Value<'b>,
}

impl<'v, 'b> Entry<'v, 'b> {
    fn read(value: &'v Value<'b>) -> Result<Self, String> {
        let entry = match value.elements() {
            Some([id, fields]) => id.bytes().and_then(StreamId::parse).map(|id| Self { id, fields }),
            _ => None,
        };
        entry.ok_or_else(|| "it answers what is no entry of a stream".to_owned())
    }

    /// Makes an event of it, unless one is under way; returns its id.
    fn take(
        self,
        n: usize,
        stream: &mut Stream,
        decoder: &mut Decoder,
        batch: &mut Batch,
        ids: &mut Vec<(usize, StreamId)>,
    ) -> Option<StreamId> {
        if *self.fields == Value::Null {
            // It was deleted, or cut off the stream, before it was read: there is nothing to be
            // delivered, and the group is to forget it.
            tracing::warn!(stream = stream.key, id = %self.id, "an entry was deleted before it was read");
            stream.safe.push(self.id);
        } else if !stream.safe.contains(&self.id) && stream.under_way.insert(self.id) {
            decoder.push_entry(&stream.key, self.id, self.fields, batch);
            ids.push((n, self.id));
        }
        Some(self.id)
    }
}
