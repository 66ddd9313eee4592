//! The registry: the saved positions of acknowledged events, and who their origins are.
//!
//! Per origin it keeps a contiguous low-watermark: a range that failed is never jumped over
//! by a later good one. It is an append-only journal on `disk`, so that the crash tests reach
//! it; a change is a list of entries as JSON, of which later ones replace earlier ones.

use disk::journal::{Journal, Report};
use disk::{Disk, DiskError};
use event::{Origin, Share};
use queue::Positions;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A journal larger than this is replaced by a snapshot.
const JOURNAL_BYTES_MAX: u64 = 4 << 20;

type Id = [u8; 16];

/// The saved positions.
pub struct Registry {
    state: Mutex<State>,
    journal: Mutex<Journal>,
    rewinds: AtomicU64,
}

#[derive(Default)]
struct State {
    entries: HashMap<Id, Entry>,
    /// What was restored of origins that are not from here: from, to and the generation.
    foreign: HashMap<Id, BTreeMap<u64, (u64, u32)>>,
    changed: HashSet<Id>,
    removed: Vec<Id>,
    statuses: BTreeMap<String, Vec<FileStatus>>,
    unreadable: BTreeMap<String, Vec<Unreadable>>,
    lags: BTreeMap<String, u64>,
}

struct Entry {
    input: String,
    generation: u32,
    watermark: u64,
    /// Of what stands before the watermark.
    mark: u64,
    meta: String,
    /// Done behind the watermark: from, to, and the mark of what stands before it.
    done: BTreeMap<u64, (u64, u64)>,
    rewound: bool,
}

/// An entry as it is written.
#[derive(Serialize, Deserialize)]
struct Saved {
    id: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    gone: bool,
    #[serde(default)]
    input: String,
    #[serde(default)]
    generation: u32,
    #[serde(default)]
    watermark: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    mark: u64,
    #[serde(default)]
    meta: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An entry as its input sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Whom it is about.
    pub origin: Origin,
    /// Everything before it is acknowledged.
    pub watermark: u64,
    /// A hash of what stands before the watermark, as the input made it; 0: none.
    pub mark: u64,
    /// What the input keeps of the origin.
    pub meta: String,
}

/// How a file stands, for the ledger.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FileStatus {
    /// Its path.
    pub path: String,
    /// Bytes read.
    pub read: u64,
    /// Bytes acknowledged.
    pub safe: u64,
    /// Bytes that it has and that were not read yet.
    pub behind: u64,
    /// How long bytes have been waiting to be read.
    pub seconds_behind: u64,
}

/// How far an input is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Files that it follows.
    pub files: usize,
    /// Files that have bytes which were not read.
    pub files_behind: usize,
    /// Those bytes.
    pub bytes_behind: u64,
    /// How long the oldest of them have been waiting.
    pub seconds_behind: u64,
    /// Events that it has not read, where it can know: of Kafka, by the brokers' last answers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub events_behind: Option<u64>,
    /// Files that it may not read.
    pub unreadable: usize,
}

/// A file that may not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Its path.
    pub path: String,
    /// Why, and which group may.
    pub reason: String,
}

impl Registry {
    /// Opens the registry of a data directory; the report says what was damaged.
    pub fn open(disk: Arc<dyn Disk>) -> Result<(Arc<Self>, Report), DiskError> {
        let (journal, opened) = Journal::open(disk, "registry")?;
        let mut state = State::default();
        for change in opened.snapshot.iter().chain(&opened.records) {
            state.apply(change);
        }
        let registry =
            Self { state: Mutex::new(state), journal: Mutex::new(journal), rewinds: AtomicU64::new(0) };
        Ok((Arc::new(registry), opened.report))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the origins of an input.
    pub fn known(&self, input: &str) -> Vec<Known> {
        let state = self.state();
        let own = state.entries.iter().filter(|(_, entry)| entry.input == input);
        own.map(|(id, entry)| Known {
            origin: Origin { id: *id, generation: entry.generation },
            watermark: entry.watermark,
            mark: entry.mark,
            meta: entry.meta.clone(),
        })
        .collect()
    }

    /// Makes an origin. Call [`flush`](Self::flush) before events of it go on: an id that is
    /// forgotten in a crash would make its events look new.
    pub fn create(&self, input: &str, meta: String, watermark: u64) -> Origin {
        let mut id = [0; 16];
        if getrandom::fill(&mut id).is_err() {
            fastrand::fill(&mut id);
        }
        let mut state = self.state();
        let entry = Entry {
            input: input.to_owned(),
            generation: 0,
            watermark,
            mark: 0,
            meta,
            done: BTreeMap::new(),
            rewound: false,
        };
        state.entries.insert(id, entry);
        state.changed.insert(id);
        Origin { id, generation: 0 }
    }

    /// The origin begins anew at 0, under the next generation. Flush before events go on.
    pub fn begin_generation(&self, origin: Origin) -> Origin {
        let mut state = self.state();
        let Some(entry) = state.entries.get_mut(&origin.id) else { return origin };
        entry.generation += 1;
        (entry.watermark, entry.mark) = (0, 0);
        entry.done.clear();
        entry.rewound = false;
        let generation = entry.generation;
        state.changed.insert(origin.id);
        Origin { generation, ..origin }
    }

    /// Replaces what the input keeps of an origin.
    pub fn set_meta(&self, origin: Origin, meta: String) {
        let mut state = self.state();
        if let Some(entry) = state.entries.get_mut(&origin.id).filter(|entry| entry.meta != meta) {
            entry.meta = meta;
            state.changed.insert(origin.id);
        }
    }

    /// Forgets an origin.
    pub fn remove(&self, origin: Origin) {
        let mut state = self.state();
        if state.entries.remove(&origin.id).is_some() {
            state.changed.remove(&origin.id);
            state.removed.push(origin.id);
        }
    }

    /// Everything before this is acknowledged.
    pub fn watermark(&self, origin: Origin) -> u64 {
        let state = self.state();
        state
            .entries
            .get(&origin.id)
            .filter(|entry| entry.generation == origin.generation)
            .map_or(0, |entry| entry.watermark)
    }

    /// Where the input must begin again because events came back undone, and the mark of what
    /// stands before; told once.
    pub fn rewound(&self, origin: Origin) -> Option<(u64, u64)> {
        let mut state = self.state();
        let entry = state.entries.get_mut(&origin.id)?;
        std::mem::take(&mut entry.rewound).then_some((entry.watermark, entry.mark))
    }

    /// How often ranges came back undone: while it is the same, no origin was rewound.
    pub fn rewinds(&self) -> u64 {
        self.rewinds.load(Ordering::Acquire)
    }

    /// Opens ranges of positions. When the share settles they are done, or, if it was let
    /// go, their input begins again at the watermark.
    pub fn begin(self: &Arc<Self>, ranges: Vec<Positions>) -> Share {
        let registry = self.clone();
        Share::new(move |done| {
            let mut state = registry.state();
            for range in ranges {
                if done { state.done(range) } else { state.undone(range) }
            }
            if !done {
                registry.rewinds.fetch_add(1, Ordering::Release);
            }
        })
    }

    /// Brings the positions up to what the records of a queue carry.
    pub fn restore(&self, positions: impl IntoIterator<Item = Positions>) {
        let mut state = self.state();
        for range in positions {
            if state.entries.contains_key(&range.origin) {
                state.done(range);
            } else {
                let ranges = state.foreign.entry(range.origin).or_default();
                let end = ranges.entry(range.from).or_default();
                *end = (*end).max((range.to, range.generation));
            }
        }
    }

    /// How far what was [restored](Self::restore) reaches from a position on without a gap, and
    /// the generation of what is last, for an origin that keeps its own positions elsewhere (a
    /// partition of Kafka). It is as of the start of the program.
    pub fn covered(&self, origin: [u8; 16], from: u64) -> Option<(u64, u32)> {
        let state = self.state();
        let mut reached = None;
        for (begin, (end, generation)) in state.foreign.get(&origin)? {
            let at = reached.map_or(from, |(at, _)| at);
            if *begin <= at && *end > at {
                reached = Some((*end, *generation));
            }
        }
        reached
    }

    /// Saves what changed; returns when the disk has it.
    pub fn flush(&self) -> Result<(), DiskError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let (change, whole) = {
            let mut state = self.state();
            if state.changed.is_empty() && state.removed.is_empty() {
                return Ok(());
            }
            let whole = journal.bytes_since_snapshot() > JOURNAL_BYTES_MAX;
            let ids: Vec<Id> = if whole {
                state.entries.keys().copied().collect()
            } else {
                state.changed.iter().copied().collect()
            };
            let mut saved: Vec<Saved> = ids.iter().filter_map(|id| state.saved(id)).collect();
            if !whole {
                saved.extend(state.removed.iter().map(Saved::gone));
            }
            state.changed.clear();
            state.removed.clear();
            (serde_json::to_vec(&saved).unwrap_or_default(), whole)
        };
        let written = if whole {
            journal.compact(&change)
        } else {
            journal.append(&change).and_then(|()| journal.sync())
        };
        if written.is_err() {
            // All of it is tried again, as a snapshot: a failed sync proves nothing twice.
            let mut state = self.state();
            let all: Vec<Id> = state.entries.keys().copied().collect();
            state.changed.extend(all);
        }
        written
    }

    /// Shows how those of the `count` files of an input stand that may have changed.
    pub fn set_statuses(&self, input: &str, count: usize, changed: Vec<(usize, FileStatus)>) {
        let mut state = self.state();
        let all = state.statuses.entry(input.to_owned()).or_default();
        all.resize(count, FileStatus::default());
        for (index, status) in changed {
            all[index] = status;
        }
    }

    /// Shows no more how an input stands. Its positions are kept: it may come back.
    pub fn input_is_gone(&self, input: &str) {
        let mut state = self.state();
        state.statuses.remove(input);
        state.unreadable.remove(input);
        state.lags.remove(input);
    }

    /// How the files stand, of all inputs.
    pub fn statuses(&self) -> Vec<FileStatus> {
        self.state().statuses.values().flatten().cloned().collect()
    }

    /// How far an input is behind, all its files or partitions together.
    pub fn standing(&self, input: &str) -> Standing {
        let state = self.state();
        let files = state.statuses.get(input).map_or(&[][..], Vec::as_slice);
        Standing {
            files: files.len(),
            files_behind: files.iter().filter(|file| file.behind > 0).count(),
            bytes_behind: files.iter().map(|file| file.behind).sum(),
            seconds_behind: files.iter().map(|file| file.seconds_behind).max().unwrap_or(0),
            events_behind: state.lags.get(input).copied(),
            unreadable: state.unreadable.get(input).map_or(0, Vec::len),
        }
    }

    /// Shows how many events an input has not read yet, where it can know.
    pub fn set_lag(&self, input: &str, events: u64) {
        self.state().lags.insert(input.to_owned(), events);
    }

    /// Shows which files an input may not read.
    pub fn set_unreadable(&self, input: &str, files: Vec<Unreadable>) {
        self.state().unreadable.insert(input.to_owned(), files);
    }

    /// The files that may not be read, of all inputs.
    pub fn unreadable(&self) -> Vec<Unreadable> {
        self.state().unreadable.values().flatten().cloned().collect()
    }
}

impl State {
    fn done(&mut self, range: Positions) {
        let Positions { origin, generation, from, to, mark } = range;
        let Some(entry) = self.entries.get_mut(&origin) else { return };
        // What comes late from before a truncation says nothing about the file of today.
        if entry.generation != generation || to <= entry.watermark {
            return;
        }
        let end = entry.done.entry(from).or_insert((to, mark));
        *end = (*end).max((to, mark));
        while let Some((&from, &(to, mark))) = entry.done.first_key_value() {
            if from > entry.watermark {
                break;
            }
            entry.done.pop_first();
            if to > entry.watermark {
                (entry.watermark, entry.mark) = (to, mark);
            }
        }
        self.changed.insert(origin);
    }

    fn undone(&mut self, range: Positions) {
        let entry = self.entries.get_mut(&range.origin);
        if let Some(entry) = entry.filter(|entry| entry.generation == range.generation) {
            entry.rewound = true;
        }
    }

    fn saved(&self, id: &Id) -> Option<Saved> {
        let entry = self.entries.get(id)?;
        Some(Saved {
            id: hex(id),
            gone: false,
            input: entry.input.clone(),
            generation: entry.generation,
            watermark: entry.watermark,
            mark: entry.mark,
            meta: entry.meta.clone(),
        })
    }

    fn apply(&mut self, change: &[u8]) {
        let saved: Vec<Saved> = serde_json::from_slice(change).unwrap_or_default();
        for saved in saved {
            let Some(id) = unhex(&saved.id) else { continue };
            if saved.gone {
                self.entries.remove(&id);
                continue;
            }
            let Saved { input, generation, watermark, mark, meta, .. } = saved;
            let done = BTreeMap::new();
            self.entries.insert(id, Entry { input, generation, watermark, mark, meta, done, rewound: false });
        }
    }
}

impl Saved {
    fn gone(id: &Id) -> Self {
        Self {
            id: hex(id),
            gone: true,
            input: String::new(),
            generation: 0,
            watermark: 0,
            mark: 0,
            meta: String::new(),
        }
    }
}

fn hex(id: &Id) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Id> {
    let number = u128::from_str_radix(text, 16).ok()?;
    (text.len() == 32).then_some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::SimDisk;

    fn range(origin: Origin, from: u64, to: u64) -> Positions {
        Positions { origin: origin.id, generation: origin.generation, from, to, mark: to + 1_000 }
    }

    fn opened(disk: &SimDisk) -> Arc<Registry> {
        Registry::open(Arc::new(disk.clone())).unwrap().0
    }

    #[test]
    fn a_failed_range_is_never_jumped_over() {
        let registry = opened(&SimDisk::new());
        let origin = registry.create("in", String::new(), 0);
        let shares: Vec<Share> =
            (0..4).map(|n| registry.begin(vec![range(origin, n * 10, n * 10 + 10)])).collect();
        let mut shares = shares.into_iter();
        let (first, second, third) = (shares.next().unwrap(), shares.next().unwrap(), shares.next().unwrap());
        third.done();
        assert_eq!(registry.watermark(origin), 0);
        first.done();
        assert_eq!(registry.watermark(origin), 10);
        drop(second);
        assert_eq!(registry.watermark(origin), 10);
        assert_eq!(registry.rewound(origin), Some((10, 1_010)));
        assert_eq!(registry.rewound(origin), None);
        registry.begin(vec![range(origin, 10, 20)]).done();
        assert_eq!((registry.watermark(origin), registry.known("in")[0].mark), (30, 1_030));
    }

    #[test]
    fn what_comes_late_from_before_a_truncation_is_ignored() {
        let registry = opened(&SimDisk::new());
        let origin = registry.create("in", String::new(), 0);
        let late = registry.begin(vec![range(origin, 0, 50)]);
        let fresh = registry.begin_generation(origin);
        late.done();
        assert_eq!(registry.watermark(fresh), 0);
    }

    #[test]
    fn what_the_queue_has_of_foreign_origins_is_known() {
        let registry = opened(&SimDisk::new());
        let origin = Origin { id: [7; 16], generation: 3 };
        let newer = Origin { generation: 4, ..origin };
        registry.restore([range(newer, 20, 30), range(origin, 5, 10), range(origin, 10, 20)]);
        registry.restore([range(origin, 5, 7), range(origin, 40, 50)]);
        for (from, covered) in [
            (0, None),
            (4, None),
            (5, Some((30, 4))),
            (12, Some((30, 4))),
            (29, Some((30, 4))),
            (30, None),
            (40, Some((50, 3))),
            (60, None),
        ] {
            assert_eq!(registry.covered(origin.id, from), covered, "from {from}");
        }
        assert_eq!(registry.covered([8; 16], 5), None);
    }

    #[test]
    fn it_is_the_same_after_a_power_cut_and_restored_from_the_queue() {
        for seed in 0..50 {
            let disk = SimDisk::new();
            let registry = opened(&disk);
            let origin = registry.create("in", "m".to_owned(), 0);
            registry.begin(vec![range(origin, 0, 10)]).done();
            registry.flush().unwrap();
            registry.begin(vec![range(origin, 10, 20)]).done();
            let again = opened(&disk.crash(seed));
            assert_eq!(again.watermark(origin), 10);
            let known = &again.known("in")[0];
            assert_eq!((known.meta.as_str(), known.mark), ("m", 1_010));
            again.restore([(5, 12), (12, 15), (18, 20)].map(|(from, to)| range(origin, from, to)));
            assert_eq!((again.watermark(origin), again.known("in")[0].mark), (15, 1_015));
            again.restore([range(Origin { generation: 7, ..origin }, 0, 99)]);
            assert_eq!(again.watermark(origin), 15);
        }
    }
}
