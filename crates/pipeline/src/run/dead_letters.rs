//! Dead letters: events that an output refused for good, kept with the reason.
//!
//! They lie in a queue of their own, one record of JSON per letter, so that they survive
//! what the queue survives. A letter's number is its sequence there. The oldest go when they
//! take more than they may, unless new ones are to; those that were replayed or dropped are noted as gone, and
//! their files go once nothing else is in them.

mod gone;

use crate::plan::{DeadLetterOptions, WhenFull};
use disk::Disk;
use event::{Batch, Common, Origin};
use expr::Condition;
use gone::Gone;
use queue::{Header, Options, Queue, QueueError, Retention};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

/// The folder in the data directory.
pub const FOLDER: &str = "dead-letters";
/// The codec number of a letter's record.
pub const CODEC: u8 = 2;

/// One dead letter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Letter {
    /// The pipeline.
    pub pipeline: String,
    /// The output that refused it.
    pub output: String,
    /// Why.
    pub reason: String,
    /// When, RFC 3339.
    pub time: String,
    /// Where the event stood, by which its id is the same when it is replayed; none where the
    /// output had only its text left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Place>,
    /// The event's `@metadata`, if it had any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// What stands in `event` is a record of the queue that could not be read, in hexadecimal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unreadable: bool,
    /// The event.
    pub event: Box<RawValue>,
}

/// Where an event stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The origin's id, in hexadecimal.
    pub origin: String,
    /// Its generation.
    pub generation: u32,
    /// The position in it.
    pub position: u64,
    /// Which of the events it is that filters made of the one at this position; 0: that one itself.
    #[serde(default, skip_serializing_if = "is_original")]
    pub copy: u16,
}

fn is_original(copy: &u16) -> bool {
    *copy == 0
}

impl Place {
    /// The place of an event that is from somewhere.
    pub fn of(event: &event::View<'_>) -> Option<Self> {
        let Origin { id, generation } = event.run()?.common.origin();
        let origin = id.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self { origin, generation, position: event.position(), copy: event.copy() })
    }

    /// The origin; none where its id is not one.
    pub fn origin(&self) -> Option<Origin> {
        let id = u128::from_str_radix(&self.origin, 16).ok().filter(|_| self.origin.len() == 32)?;
        Some(Origin { id: id.to_be_bytes(), generation: self.generation })
    }
}

impl Letter {
    /// A letter about an event that is given as JSON.
    pub fn new(pipeline: &str, output: &str, reason: &str, now: i64, event: &str) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            output: output.to_owned(),
            reason: reason.to_owned(),
            time: event::time::rfc3339(now),
            from: None,
            metadata: None,
            unreadable: false,
            event: RawValue::from_string(event.to_owned()).unwrap_or_default(),
        }
    }
}

/// Which letters.
#[derive(Debug, Clone, Default)]
pub struct Select {
    /// Those of this output.
    pub output: Option<String>,
    /// Those for which this is true: a letter is looked at as an event with the fields
    /// `pipeline`, `output`, `reason`, `time` and `event`.
    pub condition: Option<Condition>,
}

impl Select {
    /// Reads what was asked for.
    pub fn parse(output: Option<&str>, condition: Option<&str>) -> Result<Self, expr::ConditionError> {
        let condition = condition.filter(|text| !text.trim().is_empty()).map(Condition::parse).transpose()?;
        Ok(Self { output: output.map(str::to_owned), condition })
    }

    /// Whether a letter, as it lies on disk, is one of them.
    fn takes(&self, letter: &Letter, body: &[u8], scratch: &mut Batch) -> bool {
        if self.output.as_ref().is_some_and(|output| *output != letter.output) {
            return false;
        }
        let Some(condition) = &self.condition else { return true };
        scratch.reset(0);
        scratch.begin_run(Common::none(Origin::default()), 0);
        scratch.push_json(body, 0).is_ok() && condition.matches(&scratch.view(0), 0)
    }
}

/// A letter and its number.
#[derive(Debug, Clone, Serialize)]
pub struct Kept {
    /// Its number; later letters have greater ones.
    pub number: u64,
    /// The letter.
    #[serde(flatten)]
    pub letter: Letter,
}

/// How many letters there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Letters.
    pub letters: u64,
    /// What they take on disk, what is gone and not let go of yet included.
    pub bytes: u64,
    /// What they may take.
    pub bytes_max: u64,
}

/// Letters of one output with one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The pipeline.
    pub pipeline: String,
    /// The output.
    pub output: String,
    /// The reason.
    pub reason: String,
    /// How many.
    pub letters: u64,
    /// When the first of them was refused, RFC 3339.
    pub first: String,
    /// And the last.
    pub last: String,
}

/// Different reasons that are counted; the rest are one.
const REASONS_MAX: usize = 1_000;

/// Letters that are dropped by one change.
const DROPPED_AT_ONCE: u64 = 10_000;

/// Where dead letters are put.
#[derive(Clone)]
pub struct DeadLetters(Arc<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    queue: Arc<Queue>,
    gone: Mutex<Gone>,
    bytes_max: u64,
    when_full: WhenFull,
    /// Letters that there was no room for, since the start.
    turned_away: AtomicU64,
    /// Held by who replays or drops.
    acting: Mutex<()>,
}

impl DeadLetters {
    /// Opens them; what was damaged is set aside and reported by the queue.
    pub fn open(disk: Arc<dyn Disk>, options: &DeadLetterOptions) -> Result<Self, QueueError> {
        let (queue, recovery) = Queue::open(disk.clone(), Path::new(FOLDER), of_plan(options))?;
        if !recovery.is_clean() {
            tracing::warn!(?recovery, "dead letters were damaged");
        }
        let end = queue.stats().head;
        let gone = Mutex::new(Gone::open(disk.clone(), Path::new(FOLDER), end)?);
        Ok(Self(Arc::new(Inner {
            disk,
            queue,
            gone,
            bytes_max: options.bytes_max.0,
            when_full: options.when_full,
            turned_away: AtomicU64::new(0),
            acting: Mutex::new(()),
        })))
    }

    /// Keeps letters; returns when the disk has them.
    pub fn put(&self, letters: &[Letter], now: i64) -> Result<(), QueueError> {
        let (confirmed, wait) = mpsc::channel();
        for letter in letters {
            if self.0.when_full == WhenFull::DropNewest && self.0.queue.stats().bytes >= self.0.bytes_max {
                self.turn_away(letter);
                continue;
            }
            let body = serde_json::to_vec(letter).expect("a letter is JSON");
            let header = Header {
                events: 1,
                time_min: now,
                time_max: now,
                outputs: 1,
                codec: CODEC,
                positions: Vec::new(),
            };
            let confirmed = confirmed.clone();
            self.0.queue.append(&header, &body, Box::new(move |result| drop(confirmed.send(result))))?;
        }
        drop(confirmed);
        wait.iter().collect()
    }

    /// Says that there is no room for a letter: of the first, and of each tenfold.
    fn turn_away(&self, letter: &Letter) {
        let count = self.0.turned_away.fetch_add(1, Relaxed) + 1;
        // Ten times as often, each time.
        if count == 10_u64.pow(count.ilog10()) {
            tracing::error!(
                pipeline = letter.pipeline,
                output = letter.output,
                reason = letter.reason,
                dropped = count,
                "the dead letters have no room for more, as dead_letters.bytes_max and when_full say; \
                 what is refused now is lost: logpond dead-letters replay or drop makes room"
            );
        }
    }

    /// How many there are.
    pub fn summary(&self) -> Summary {
        let stats = self.0.queue.stats();
        let gone = self.gone().count(stats.tail);
        // Only those that are safe, which are those that are given.
        let letters = stats.confirmed.saturating_sub(stats.tail).saturating_sub(stats.gaps + gone);
        Summary { letters, bytes: stats.bytes, bytes_max: self.0.bytes_max }
    }

    /// The number behind the newest letter that is safe.
    pub fn end(&self) -> u64 {
        self.0.queue.stats().confirmed
    }

    /// Calls `each` with the letters of a range of numbers, oldest first, until it has enough.
    /// New letters may come meanwhile, and letters go.
    pub fn each(
        &self,
        numbers: Range<u64>,
        select: &Select,
        mut each: impl FnMut(Kept) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        let end = numbers.end.min(self.end());
        let mut scratch = Batch::new();
        let from = self.gone().first_kept(numbers.start);
        queue::dump_from(&*self.0.disk, Path::new(FOLDER), from, |record| {
            if record.sequence >= end {
                return ControlFlow::Break(());
            }
            let is_gone = record.header.codec != CODEC || self.gone().has(record.sequence);
            let Some(letter) =
                (!is_gone).then(|| serde_json::from_slice::<Letter>(record.body).ok()).flatten()
            else {
                return ControlFlow::Continue(());
            };
            if !select.takes(&letter, record.body, &mut scratch) {
                return ControlFlow::Continue(());
            }
            each(Kept { number: record.sequence, letter })
        })
    }

    /// How many letters there are of these, by output and reason, the most first.
    pub fn counts(&self, numbers: Range<u64>, select: &Select) -> Result<Vec<Count>, QueueError> {
        let mut counts: BTreeMap<(String, String, String), Count> = BTreeMap::new();
        self.each(numbers, select, |Kept { letter, .. }| {
            let Letter { pipeline, output, mut reason, time, .. } = letter;
            if counts.len() >= REASONS_MAX {
                "(other reasons)".clone_into(&mut reason);
            }
            let count =
                counts.entry((pipeline.clone(), output.clone(), reason.clone())).or_insert_with(|| Count {
                    pipeline,
                    output,
                    reason,
                    letters: 0,
                    first: time.clone(),
                    last: String::new(),
                });
            count.letters += 1;
            count.last = time;
            ControlFlow::Continue(())
        })?;
        let mut counts: Vec<Count> = counts.into_values().collect();
        counts.sort_by_key(|count| std::cmp::Reverse(count.letters));
        Ok(counts)
    }

    /// Says durably that letters are gone; in ascending order.
    pub fn remove(&self, numbers: &[u64]) -> Result<(), QueueError> {
        let oldest = self.0.queue.stats().tail;
        let mut gone = self.gone();
        gone.add(numbers, oldest)?;
        let kept = gone.first_kept(oldest);
        drop(gone);
        self.0.queue.let_go(kept);
        Ok(())
    }

    /// Removes letters of these, the oldest first, `limit` at most; `told` hears how many are
    /// gone so far, and says whether to go on. None while somebody else replays or drops.
    pub fn drop_letters(
        &self,
        numbers: Range<u64>,
        select: &Select,
        limit: u64,
        mut told: impl FnMut(u64) -> bool,
    ) -> Option<Result<u64, QueueError>> {
        let _acting = self.begin_acting()?;
        Some(self.drop_each(numbers, select, limit, &mut told))
    }

    fn drop_each(
        &self,
        numbers: Range<u64>,
        select: &Select,
        limit: u64,
        told: &mut dyn FnMut(u64) -> bool,
    ) -> Result<u64, QueueError> {
        let (mut from, mut dropped) = (numbers.start, 0);
        loop {
            let most = (limit - dropped).min(DROPPED_AT_ONCE) as usize;
            let mut found = Vec::new();
            self.each(from..numbers.end, select, |kept| {
                if found.len() < most {
                    found.push(kept.number);
                }
                if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            let Some(last) = found.last() else { return Ok(dropped) };
            from = last + 1;
            self.remove(&found)?;
            dropped += found.len() as u64;
            if !told(dropped) {
                return Ok(dropped);
            }
        }
    }

    /// Whoever replays or drops holds this; none while somebody else does.
    pub(super) fn begin_acting(&self) -> Option<MutexGuard<'_, ()>> {
        match self.0.acting.try_lock() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }

    fn gone(&self) -> MutexGuard<'_, Gone> {
        self.0.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the queue below.
    pub fn stop(&self) {
        self.0.queue.stop();
    }
}

/// The options of the queue that holds them.
fn of_plan(options: &DeadLetterOptions) -> Options {
    let bytes = match options.when_full {
        WhenFull::DropOldest => options.bytes_max.0,
        WhenFull::DropNewest => u64::MAX,
    };
    Options {
        // The oldest segment goes as a whole.
        segment_bytes_max: (options.bytes_max.0 / 4).clamp(64 << 10, 16 << 20),
        bytes_max: u64::MAX,
        retention: Some(Retention { age: options.age_max.map_or(Duration::MAX, |age| age.0), bytes }),
        ..Options::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Bytes;
    use disk::SimDisk;

    fn put(letters: &DeadLetters, from: u64, count: u64) {
        let letter = |n| {
            let output = if n % 2 == 0 { "even" } else { "odd" };
            Letter::new("main", output, &format!("no {}", n % 3), 0, &format!("{{\"n\":{n}}}"))
        };
        letters.put(&(from..from + count).map(letter).collect::<Vec<_>>(), 0).unwrap();
        // They are safe now, and seen a moment later.
        letters.0.queue.flush();
    }

    fn numbers(letters: &DeadLetters, select: &Select) -> Vec<u64> {
        let mut found = Vec::new();
        let each = |kept: Kept| {
            found.push(kept.number);
            ControlFlow::Continue(())
        };
        letters.each(0..u64::MAX, select, each).unwrap();
        found
    }

    #[test]
    fn letters_are_found_by_what_stands_in_them() {
        let letters = DeadLetters::open(Arc::new(SimDisk::new()), &DeadLetterOptions::default()).unwrap();
        put(&letters, 0, 10);
        #[track_caller]
        fn check(letters: &DeadLetters, output: Option<&str>, condition: &str, expected: &[u64]) {
            let select = Select::parse(output, Some(condition)).unwrap();
            assert_eq!(numbers(letters, &select), expected);
        }
        check(&letters, None, "", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        check(&letters, Some("odd"), "", &[1, 3, 5, 7, 9]);
        check(&letters, Some("odd"), ".event.n > 4", &[5, 7, 9]);
        check(&letters, None, "contains(.reason, \"no 1\") && .output == \"even\"", &[4]);
        check(&letters, Some("none"), "", &[]);
        assert!(Select::parse(None, Some("n > 4")).is_err());
        let counts = letters.counts(0..u64::MAX, &Select::parse(Some("odd"), None).unwrap()).unwrap();
        let told: Vec<_> = counts.iter().map(|count| (count.reason.as_str(), count.letters)).collect();
        assert_eq!(told, [("no 0", 2), ("no 1", 2), ("no 2", 1)]);
    }

    #[test]
    fn dropped_letters_stay_dropped_and_their_room_comes_back() {
        let disk = Arc::new(SimDisk::new());
        let letters = DeadLetters::open(disk.clone(), &DeadLetterOptions::default()).unwrap();
        put(&letters, 0, 1_000);
        let odd = Select::parse(Some("odd"), None).unwrap();
        assert_eq!(letters.drop_letters(0..u64::MAX, &odd, 3, |_| true).unwrap().unwrap(), 3);
        assert_eq!(letters.drop_letters(0..500, &odd, u64::MAX, |_| true).unwrap().unwrap(), 247);
        assert_eq!(letters.summary().letters, 750);
        letters.stop();
        drop(letters);
        let letters = DeadLetters::open(disk, &DeadLetterOptions::default()).unwrap();
        assert_eq!(letters.summary().letters, 750);
        assert_eq!(numbers(&letters, &odd).first(), Some(&501));
        let before = letters.summary().bytes;
        assert_eq!(
            letters.drop_letters(0..u64::MAX, &Select::default(), u64::MAX, |_| true).unwrap().unwrap(),
            750
        );
        assert_eq!(letters.summary().letters, 0);
        assert!(letters.summary().bytes * 100 < before, "{} of {before}", letters.summary().bytes);
        put(&letters, 0, 2);
        assert_eq!(numbers(&letters, &Select::default()), [1_000, 1_001]);
        let acting = letters.begin_acting();
        assert!(letters.drop_letters(0..u64::MAX, &odd, 1, |_| true).is_none());
        drop(acting);
    }

    #[test]
    fn what_has_no_room_goes_as_was_asked() {
        let open = |when_full| {
            let options =
                DeadLetterOptions { bytes_max: Bytes(256 << 10), when_full, ..DeadLetterOptions::default() };
            DeadLetters::open(Arc::new(SimDisk::new()), &options).unwrap()
        };
        let (oldest, newest) = (open(WhenFull::DropOldest), open(WhenFull::DropNewest));
        for letters in [&oldest, &newest] {
            for round in 0..40 {
                put(letters, round * 100, 100);
            }
            let summary = letters.summary();
            assert!(summary.bytes < 300 << 10 && summary.bytes > 128 << 10, "{summary:?}");
            assert_eq!(summary.bytes_max, 256 << 10);
        }
        let of = |letters: &DeadLetters| {
            let mut found = Vec::new();
            let each = |kept: Kept| {
                found.push(kept.letter.event.get().to_owned());
                ControlFlow::Continue(())
            };
            letters.each(0..u64::MAX, &Select::default(), each).unwrap();
            found
        };
        let (oldest, newest) = (of(&oldest), of(&newest));
        assert_eq!(oldest.last().map(String::as_str), Some("{\"n\":3999}"));
        assert_ne!(oldest.first().map(String::as_str), Some("{\"n\":0}"));
        assert_eq!(newest.first().map(String::as_str), Some("{\"n\":0}"));
        assert_ne!(newest.last().map(String::as_str), Some("{\"n\":3999}"));
    }

    #[test]
    fn places_are_there_and_back() {
        let mut batch = Batch::new();
        let origin = Origin { id: *b"0123456789abcdef", generation: 7 };
        batch.begin_run(Common::none(origin), 5);
        batch.push_json(b"{}", 5).unwrap();
        let place = Place::of(&batch.view(0)).unwrap();
        assert_eq!((place.origin(), place.position, place.copy), (Some(origin), 5, 0));
        let mut event = batch.event_mut(0);
        assert!(event.copy_behind(0).is_some());
        drop(event);
        batch.arrange();
        assert_eq!(Place::of(&batch.view(1)), Some(Place { copy: 1, ..place.clone() }));
        assert_eq!(Place { origin: "xyz".to_owned(), ..place }.origin(), None);
    }

    #[test]
    fn letters_of_older_versions_are_read() {
        let text = r#"{"pipeline":"a","output":"b","reason":"c","time":"d","event":{"x":1}}"#;
        let letter: Letter = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&letter).unwrap(), text);
    }
}
