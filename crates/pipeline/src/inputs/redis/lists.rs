//! Lists: what is taken waits in a list of this instance until it is safe.
//!
//! ```text
//! key:  e5 e6 e7 …      ──LMOVE──▶      key.logpond-…:  e1 e2 | e3 e4
//!                                                        ▲      ▲
//!                                             LTRIM when safe   read up to here
//! ```
//! The second list is in the order of reading, so what is safe is always its beginning. When a
//! connection is lost it is not known what of it was done: all that the second list holds is then
//! read again from its beginning, as at a start. So an element can come twice, and never not at all.

use super::ask::{Asker, Round, block, refused};
use super::decode::Decoder;
use super::{Config, Pop};
use event::Batch;
use std::collections::VecDeque;
use std::time::Duration;
use wire::redis::Value;

/// How often it is looked whether one of several lists has something.
const POLL: Duration = Duration::from_millis(100);
/// About so many bytes are read at once, by the size of what was read before.
const READ_BYTES: usize = 1 << 20;

/// See the module.
pub(super) struct Lists {
    keys: Vec<List>,
    /// Which list is read next.
    turn: usize,
    is_reliable: bool,
    pop: Pop,
    count: usize,
    /// About how large an element is.
    element_bytes: usize,
    has_waited: bool,
}

struct List {
    key: String,
    /// Where elements wait until they are safe.
    kept: String,
    /// How many of the elements there were read.
    read: usize,
    /// More of them are to be read before anything new.
    is_recovering: bool,
    /// Batches that were read and are still kept, in the order of reading.
    batches: VecDeque<Taken>,
}

struct Taken {
    number: u64,
    elements: usize,
    is_safe: bool,
}

impl List {
    /// Everything that is kept is to be read again.
    fn begin_again(&mut self) {
        (self.read, self.is_recovering) = (0, true);
        self.batches.clear();
    }
}

impl Lists {
    pub(super) fn new(config: &Config, name: &str) -> Self {
        let instance = config.instance.as_deref().unwrap_or(name);
        let list = |key: &String| List {
            key: key.clone(),
            kept: format!("{key}.{instance}"),
            read: 0,
            is_recovering: config.reliable,
            batches: VecDeque::new(),
        };
        Self {
            keys: config.keys.iter().map(list).collect(),
            turn: 0,
            is_reliable: config.reliable,
            pop: config.pop,
            count: config.count,
            element_bytes: 1 << 10,
            has_waited: false,
        }
    }

    pub(super) fn is_reliable(&self) -> bool {
        self.is_reliable
    }

    pub(super) fn in_flight(&self) -> usize {
        self.keys.iter().map(|list| list.batches.len()).sum()
    }

    pub(super) fn disconnected(&mut self) {
        if self.is_reliable {
            self.keys.iter_mut().for_each(List::begin_again);
        }
    }

    pub(super) fn pause(&self) -> Option<Duration> {
        (!self.has_waited).then_some(POLL)
    }

    /// A batch is safe, or came back.
    pub(super) fn settled(&mut self, number: u64, done: bool) {
        let batches = self.keys.iter_mut().find_map(|list| {
            let at = list.batches.iter().position(|batch| batch.number == number)?;
            Some((list, at))
        });
        // Of what is read again anyway nobody wants to know.
        let Some((list, at)) = batches else { return };
        if done {
            list.batches[at].is_safe = true;
        } else {
            list.begin_again();
        }
    }

    /// Removes what is safe.
    pub(super) fn tell(&mut self, asker: &mut Asker) -> Result<(), String> {
        let mut round = Round::default();
        for list in &mut self.keys {
            let mut safe = 0;
            while list.batches.front().is_some_and(|batch| batch.is_safe) {
                safe += list.batches.pop_front().map_or(0, |batch| batch.elements);
            }
            if safe > 0 {
                list.read -= safe;
                round.add(&["LTRIM", &list.kept, &safe.to_string(), "-1"]);
            }
        }
        if round.is_empty() {
            return Ok(());
        }
        asker.ask(&round, |_, value| refused(value))
    }

    /// Reads from the first list that has something, in turn.
    pub(super) fn read(
        &mut self,
        asker: &mut Asker,
        decoder: &mut Decoder,
        number: u64,
        batch: &mut Batch,
    ) -> Result<(), String> {
        self.has_waited = false;
        let room = (READ_BYTES / self.element_bytes.max(1)).clamp(1, self.count);
        if let Some(list) = self.keys.iter_mut().find(|list| list.is_recovering) {
            let (from, to) = (list.read.to_string(), (list.read + room - 1).to_string());
            let mut round = Round::default();
            round.add(&["LRANGE", &list.kept, &from, &to]);
            let mut found = 0;
            asker.ask(&round, |_, value| {
                refused(value)?;
                for element in value.elements().unwrap_or_default() {
                    decoder.push(&list.key, None, element.bytes().unwrap_or_default(), batch);
                    found += 1;
                }
                Ok(())
            })?;
            list.is_recovering = found == room;
            self.took(number, found, batch, None);
            return Ok(());
        }
        let mut lengths = Vec::new();
        let mut round = Round::default();
        self.keys.iter().for_each(|list| round.add(&["LLEN", &list.key]));
        asker.ask(&round, |_, value| {
            refused(value)?;
            lengths.push(usize::try_from(value.int().unwrap_or(0)).unwrap_or(0));
            Ok(())
        })?;
        let keys = self.keys.len();
        let full = (0..keys).map(|step| (self.turn + step) % keys).find(|list| lengths[*list] > 0);
        match full {
            Some(list) => {
                self.turn = (list + 1) % keys;
                self.take(list, lengths[list].min(room), None, asker, decoder, number, batch)
            }
            // It is waited by Redis: then nothing is asked again and again.
            None if keys == 1 => {
                self.has_waited = true;
                let wait = block(self.in_flight());
                self.take(0, 1, Some(wait), asker, decoder, number, batch)
            }
            None => Ok(()),
        }
    }

    /// Takes elements off a list; or waits for one.
    #[allow(clippy::too_many_arguments, reason = "what is read, where to, and how")]
    fn take(
        &mut self,
        list: usize,
        count: usize,
        wait: Option<Duration>,
        asker: &mut Asker,
        decoder: &mut Decoder,
        number: u64,
        batch: &mut Batch,
    ) -> Result<(), String> {
        let List { key, kept, .. } = &self.keys[list];
        let from = if self.pop == Pop::Left { "LEFT" } else { "RIGHT" };
        let wait = wait.map(|wait| wait.as_secs_f64().to_string());
        let command: Vec<&str> = match (self.is_reliable, &wait) {
            (true, None) => vec!["LMOVE", key, kept, from, "RIGHT"],
            (true, Some(wait)) => vec!["BLMOVE", key, kept, from, "RIGHT", wait],
            (false, None) => vec![if self.pop == Pop::Left { "LPOP" } else { "RPOP" }, key],
            (false, Some(wait)) => vec![if self.pop == Pop::Left { "BLPOP" } else { "BRPOP" }, key, wait],
        };
        let mut round = Round::default();
        (0..count).for_each(|_| round.add(&command));
        let mut found = 0;
        let result = asker.ask(&round, |_, value| {
            if let Value::Error(error) = value
                && error.starts_with(b"ERR unknown command")
            {
                return Err(
                    "LMOVE is known from Redis 6.2 on; without it set \"reliable\" to false".to_owned()
                );
            }
            refused(value)?;
            // BLPOP tells the key as well.
            let element = value.elements().and_then(|pair| pair.get(1)).unwrap_or(value);
            if let Some(text) = element.bytes() {
                decoder.push(key, None, text, batch);
                found += 1;
            }
            Ok(())
        });
        match result {
            Ok(()) => {}
            // What was popped for good is in the batch, and goes on.
            Err(_) if !self.is_reliable && found > 0 => {}
            Err(error) => return Err(error),
        }
        self.took(number, found, batch, Some(list));
        Ok(())
    }

    fn took(&mut self, number: u64, elements: usize, batch: &Batch, list: Option<usize>) {
        if elements == 0 {
            return;
        }
        self.element_bytes = batch.bytes().len() / elements;
        if !self.is_reliable {
            return;
        }
        // What is read again comes of the list that is recovering, or was until now.
        let list = list.or_else(|| {
            let key = batch.runs().last()?.common.text("redis.key")?;
            self.keys.iter().position(|list| list.key == key)
        });
        if let Some(list) = list.and_then(|list| self.keys.get_mut(list)) {
            list.read += elements;
            list.batches.push_back(Taken { number, elements, is_safe: false });
        }
    }
}
