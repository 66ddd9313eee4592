//! Events that share a request, and which requests are on their way.
//!
//! ```text
//! building (one for each key) ──full, old──▶ waiting ──send──▶ under way ──▶ done
//!                                               ▲                 │ again, or two halves
//!                                               └─────────────────┘
//! ```
//! Nothing here sends, waits or reads a clock.

use hyper::header::{HeaderName, HeaderValue};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many loads are built at once; from there on the oldest goes as it is.
const BUILDING_MAX: usize = 256;

/// What the events of a request have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(in crate::outputs) struct Key {
    /// The path and the query on each host.
    pub(in crate::outputs) paths: Vec<String>,
    pub(in crate::outputs) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Events that go in one request.
#[derive(Debug, Default)]
pub(in crate::outputs) struct Load {
    pub(in crate::outputs) key: Key,
    /// What is common to some of the events, such as the labels of a stream.
    pub(in crate::outputs) groups: Vec<Vec<u8>>,
    /// In the order of their sequence.
    pub(in crate::outputs) items: Vec<Item>,
    /// Their parts of the request, and the events where these are something else.
    text: Vec<u8>,
}

/// An event of a load.
#[derive(Debug, Clone)]
pub(in crate::outputs) struct Item {
    pub(in crate::outputs) sequence: u64,
    /// Its time, nanoseconds UTC.
    pub(in crate::outputs) time: i64,
    /// The number of its group.
    pub(in crate::outputs) group: usize,
    part: Range<usize>,
    event: Range<usize>,
}

/// An event as it is to be sent.
pub(in crate::outputs) struct New<'a> {
    pub(in crate::outputs) sequence: u64,
    /// Its time, nanoseconds UTC.
    pub(in crate::outputs) time: i64,
    pub(in crate::outputs) group: &'a [u8],
    /// What stands of it in the request.
    pub(in crate::outputs) part: &'a [u8],
    /// The event as JSON, for the dead letters; none: it is the part.
    pub(in crate::outputs) event: Option<&'a [u8]>,
}

impl Load {
    /// What stands of an event in the request.
    pub(in crate::outputs) fn part(&self, item: &Item) -> &[u8] {
        &self.text[item.part.clone()]
    }

    /// An event as JSON.
    pub(in crate::outputs) fn event(&self, item: &Item) -> &[u8] {
        &self.text[item.event.clone()]
    }

    fn push(&mut self, new: &New<'_>, group: usize) {
        let part = self.text.len()..self.text.len() + new.part.len();
        self.text.extend_from_slice(new.part);
        let event = match new.event {
            None => part.clone(),
            Some(event) => {
                self.text.extend_from_slice(event);
                part.end..self.text.len()
            }
        };
        self.items.push(Item { sequence: new.sequence, time: new.time, group, part, event });
    }

    /// Parts of events by their sequences.
    #[cfg(test)]
    pub(in crate::outputs) fn of(parts: &[(u64, Vec<u8>)]) -> Self {
        let mut load = Self { groups: vec![Vec::new()], ..Self::default() };
        for (sequence, part) in parts {
            load.push(&New { sequence: *sequence, time: 0, group: &[], part, event: None }, 0);
        }
        load
    }

    fn part_bytes(&self) -> usize {
        self.items.iter().map(|item| item.part.len()).sum()
    }

    fn first(&self) -> Option<u64> {
        self.items.first().map(|item| item.sequence)
    }

    /// Some of its events as a load of their own.
    fn some(&self, items: &[Item]) -> Self {
        let mut load = Self { key: self.key.clone(), ..Self::default() };
        let mut numbers = HashMap::new();
        for item in items {
            let group = *numbers.entry(item.group).or_insert_with(|| {
                load.groups.push(self.groups[item.group].clone());
                load.groups.len() - 1
            });
            let event = (item.event != item.part).then(|| self.event(item));
            let new =
                New { sequence: item.sequence, time: item.time, group: &[], part: self.part(item), event };
            load.push(&new, group);
        }
        load
    }
}

struct Building {
    load: Load,
    groups: HashMap<Vec<u8>, usize>,
    bytes: usize,
    begun: Instant,
}

struct Waiting {
    number: u64,
    load: Arc<Load>,
    /// When it may be sent; none: it is under way.
    ready: Option<Instant>,
    /// How often it was tried in vain.
    attempts: u32,
}

/// A load to be sent.
pub(super) struct Outgoing {
    pub(super) number: u64,
    pub(super) load: Arc<Load>,
}

/// All that is on its way.
pub(super) struct Loads {
    bytes_max: usize,
    events_max: usize,
    building: HashMap<Key, Building>,
    /// The oldest first.
    waiting: Vec<Waiting>,
    next: u64,
}

impl Loads {
    /// A load is full with so many bytes (one larger event excepted) or events.
    pub(super) fn new(bytes_max: usize, events_max: usize) -> Self {
        Self { bytes_max, events_max, building: HashMap::new(), waiting: Vec::new(), next: 0 }
    }

    /// Loads are full at fewer bytes from now on.
    pub(super) fn shrink(&mut self, bytes_max: usize) {
        self.bytes_max = self.bytes_max.min(bytes_max);
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Puts an event on its way, into the load of its key.
    pub(super) fn add(&mut self, key: &Key, new: &New<'_>, now: Instant) {
        if self.building.get(key).is_some_and(|building| building.bytes + new.part.len() > self.bytes_max) {
            self.seal(key, now);
        }
        if !self.building.contains_key(key) {
            if self.building.len() >= BUILDING_MAX {
                self.seal_oldest(now);
            }
            let load = Load { key: key.clone(), ..Load::default() };
            let building = Building { load, groups: HashMap::new(), bytes: 0, begun: now };
            self.building.insert(key.clone(), building);
        }
        let Some(building) = self.building.get_mut(key) else { return };
        let group = match building.groups.get(new.group) {
            Some(group) => *group,
            None => {
                let number = building.load.groups.len();
                building.groups.insert(new.group.to_vec(), number);
                building.load.groups.push(new.group.to_vec());
                number
            }
        };
        building.load.push(new, group);
        building.bytes += new.part.len();
        if building.bytes >= self.bytes_max || building.load.items.len() >= self.events_max {
            self.seal(key, now);
        }
    }

    fn seal(&mut self, key: &Key, now: Instant) {
        if let Some(building) = self.building.remove(key) {
            let number = self.number();
            let load = Arc::new(building.load);
            self.waiting.push(Waiting { number, load, ready: Some(now), attempts: 0 });
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn oldest_key(&self) -> Option<(&Key, Instant)> {
        let building = self.building.iter().map(|(key, building)| (key, building.begun));
        building.min_by_key(|(_, begun)| *begun)
    }

    /// What is being built longest waits to be sent from now on; whether there was anything.
    pub(super) fn seal_oldest(&mut self, now: Instant) -> bool {
        let key = self.oldest_key().map(|(key, _)| key.clone());
        key.inspect(|key| self.seal(key, now)).is_some()
    }

    /// When the first load that is being built will be so old.
    pub(super) fn due(&self, linger: Duration) -> Option<Instant> {
        self.oldest_key().map(|(_, begun)| begun + linger)
    }

    /// The oldest load that may be sent now; from here on it is under way.
    pub(super) fn send(&mut self, now: Instant) -> Option<Outgoing> {
        let waiting = self.waiting.iter_mut().find(|load| load.ready.is_some_and(|ready| ready <= now))?;
        waiting.ready = None;
        Some(Outgoing { number: waiting.number, load: waiting.load.clone() })
    }

    /// Takes back what [`send`](Self::send) gave: there was nobody to send it to.
    pub(super) fn unsend(&mut self, number: u64, not_before: Instant) {
        if let Some(waiting) = self.find(number) {
            waiting.ready = Some(not_before);
        }
    }

    /// When the next load may be sent that is neither under way nor being built.
    pub(super) fn next_ready(&self) -> Option<Instant> {
        self.waiting.iter().filter_map(|waiting| waiting.ready).min()
    }

    pub(super) fn under_way(&self) -> usize {
        self.waiting.iter().filter(|waiting| waiting.ready.is_none()).count()
    }

    /// About how much memory all of it takes.
    pub(super) fn bytes(&self) -> usize {
        let building = self.building.values().map(|building| building.load.text.len());
        building.chain(self.waiting.iter().map(|waiting| waiting.load.text.len())).sum()
    }

    /// The sequence of the oldest event whose fate is open.
    pub(super) fn oldest(&self) -> Option<u64> {
        let building = self.building.values().filter_map(|building| building.load.first());
        building.chain(self.waiting.iter().filter_map(|waiting| waiting.load.first())).min()
    }

    pub(super) fn load(&self, number: u64) -> Option<Arc<Load>> {
        Some(self.waiting.iter().find(|waiting| waiting.number == number)?.load.clone())
    }

    /// How often the load was tried in vain.
    pub(super) fn attempts(&self, number: u64) -> u32 {
        self.waiting.iter().find(|waiting| waiting.number == number).map_or(0, |waiting| waiting.attempts)
    }

    /// The fate of all its events is known.
    pub(super) fn done(&mut self, number: u64) {
        self.waiting.retain(|waiting| waiting.number != number);
    }

    /// It is sent again, not before then.
    pub(super) fn again(&mut self, number: u64, not_before: Instant) {
        if let Some(waiting) = self.find(number) {
            waiting.ready = Some(not_before);
            waiting.attempts += 1;
        }
    }

    /// Its halves go in its place, tried as often as it was; returns the size of the larger. It has
    /// more than one event.
    pub(super) fn split(&mut self, number: u64, now: Instant) -> usize {
        let Some(at) = self.waiting.iter().position(|waiting| waiting.number == number) else { return 0 };
        let Waiting { load: whole, attempts, .. } = self.waiting.remove(at);
        let (first, second) = whole.items.split_at(whole.items.len() / 2);
        let halves = [first, second].map(|items| whole.some(items));
        let larger = halves.iter().map(Load::part_bytes).max().unwrap_or(0);
        for (n, half) in halves.into_iter().enumerate() {
            let number = self.number();
            let half = Waiting { number, load: Arc::new(half), ready: Some(now), attempts };
            self.waiting.insert(at + n, half);
        }
        larger
    }

    fn find(&mut self, number: u64) -> Option<&mut Waiting> {
        self.waiting.iter_mut().find(|waiting| waiting.number == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(n: u8) -> Key {
        Key { paths: vec![format!("/{n}")], headers: Vec::new() }
    }

    fn put(loads: &mut Loads, n: u8, sequence: u64, now: Instant) {
        let (part, event) = (format!("part {sequence}"), format!("event {sequence}"));
        let group = [n, (sequence % 3) as u8];
        let event = (n > 0).then_some(event.as_bytes());
        let new = New { sequence, time: 0, group: &group, part: part.as_bytes(), event };
        loads.add(&key(n), &new, now);
    }

    /// The sequences of a load whose items must be what they were.
    fn sequences(load: &Load) -> Vec<u64> {
        for item in &load.items {
            let n = item.sequence;
            assert_eq!(load.part(item), format!("part {n}").as_bytes());
            let name = if load.key == key(0) { "part" } else { "event" };
            assert_eq!(load.event(item), format!("{name} {n}").as_bytes());
            assert_eq!(load.groups[item.group][1], (n % 3) as u8);
        }
        load.items.iter().map(|item| item.sequence).collect()
    }

    #[test]
    fn loads_are_full_by_events_and_by_bytes() {
        let now = Instant::now();
        let mut loads = Loads::new(20, 3);
        (0..5).for_each(|n| put(&mut loads, 0, n, now));
        // Each part has six bytes: three are eighteen.
        assert_eq!(sequences(&loads.send(now).unwrap().load), [0, 1, 2]);
        assert!(loads.send(now).is_none());
        loads.shrink(13);
        put(&mut loads, 0, 5, now);
        assert_eq!(sequences(&loads.send(now).unwrap().load), [3, 4]);
        assert_eq!(loads.oldest(), Some(0));
        assert_eq!(loads.under_way(), 2);
    }

    proptest! {
        /// Whatever is tried again, split and finished: each event is finished once.
        #[test]
        fn nothing_is_lost(steps in prop::collection::vec((0..6_u8, any::<u8>()), 1..200)) {
            let now = Instant::now();
            let mut loads = Loads::new(40, 5);
            let (mut sequence, mut sent, mut done) = (0, Vec::<Outgoing>::new(), Vec::new());
            let mut step = |loads: &mut Loads, what: u8, seed: u8| match what {
                0 | 1 => {
                    put(loads, seed % 3, sequence, now);
                    sequence += 1;
                }
                2 => drop(loads.seal_oldest(now)),
                3 => sent.extend(loads.send(now)),
                _ if sent.is_empty() => {}
                _ => {
                    let out = sent.remove(usize::from(seed) % sent.len());
                    match seed % 4 {
                        0 => loads.again(out.number, now),
                        1 if out.load.items.len() > 1 => drop(loads.split(out.number, now)),
                        _ => {
                            done.extend(sequences(&out.load));
                            loads.done(out.number);
                        }
                    }
                }
            };
            for (what, seed) in steps {
                step(&mut loads, what, seed);
            }
            for seed in 0..=255 {
                [2, 2, 3, 4, 3, 4].iter().for_each(|what| step(&mut loads, *what, seed));
            }
            prop_assert_eq!((loads.oldest(), loads.bytes()), (None, 0));
            done.sort_unstable();
            prop_assert_eq!(done, (0..sequence).collect::<Vec<_>>());
        }
    }
}
