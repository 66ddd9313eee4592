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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A journal larger than this is replaced by a snapshot.
const JOURNAL_BYTES_MAX: u64 = 4 << 20;

type Id = [u8; 16];

/// The saved positions.
pub struct Registry {
    state: Mutex<State>,
    journal: Mutex<Journal>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Id, Entry>,
    changed: HashSet<Id>,
    removed: Vec<Id>,
    statuses: BTreeMap<String, Vec<FileStatus>>,
    unreadable: BTreeMap<String, Vec<Unreadable>>,
}

struct Entry {
    input: String,
    generation: u32,
    watermark: u64,
    meta: String,
    /// Done behind the watermark: from and to.
    done: BTreeMap<u64, u64>,
    rewound: Option<u64>,
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
    #[serde(default)]
    meta: String,
}

/// An entry as its input sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Whom it is about.
    pub origin: Origin,
    /// Everything before it is acknowledged.
    pub watermark: u64,
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
        Ok((Arc::new(Self { state: Mutex::new(state), journal: Mutex::new(journal) }), opened.report))
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
            meta,
            done: BTreeMap::new(),
            rewound: None,
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
        entry.watermark = 0;
        entry.done.clear();
        entry.rewound = None;
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

    /// Where the input must begin again because events came back undone; told once.
    pub fn rewound(&self, origin: Origin) -> Option<u64> {
        self.state().entries.get_mut(&origin.id)?.rewound.take()
    }

    /// Opens ranges of positions. When the share settles they are done, or, if it was let
    /// go, their input begins again at the watermark.
    pub fn begin(self: &Arc<Self>, ranges: Vec<(Origin, u64, u64)>) -> Share {
        let registry = self.clone();
        Share::new(move |done| {
            let mut state = registry.state();
            for (origin, from, to) in ranges {
                if done { state.done(origin, from, to) } else { state.undone(origin) }
            }
        })
    }

    /// Brings the positions up to what the records of a queue carry.
    pub fn restore(&self, positions: impl IntoIterator<Item = Positions>) {
        let mut state = self.state();
        for range in positions {
            let origin = Origin { id: range.origin, generation: range.generation };
            state.done(origin, range.from, range.to);
        }
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

    /// Shows how the files of an input stand.
    pub fn set_statuses(&self, input: &str, files: Vec<FileStatus>) {
        self.state().statuses.insert(input.to_owned(), files);
    }

    /// How the files stand, of all inputs.
    pub fn statuses(&self) -> Vec<FileStatus> {
        self.state().statuses.values().flatten().cloned().collect()
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
    fn done(&mut self, origin: Origin, from: u64, to: u64) {
        let Some(entry) = self.entries.get_mut(&origin.id) else { return };
        // What comes late from before a truncation says nothing about the file of today.
        if entry.generation != origin.generation || to <= entry.watermark {
            return;
        }
        let end = entry.done.entry(from).or_insert(to);
        *end = (*end).max(to);
        while let Some((&from, &to)) = entry.done.first_key_value() {
            if from > entry.watermark {
                break;
            }
            entry.done.pop_first();
            entry.watermark = entry.watermark.max(to);
        }
        self.changed.insert(origin.id);
    }

    fn undone(&mut self, origin: Origin) {
        if let Some(entry) =
            self.entries.get_mut(&origin.id).filter(|entry| entry.generation == origin.generation)
        {
            entry.rewound = Some(entry.watermark);
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
            let Saved { input, generation, watermark, meta, .. } = saved;
            self.entries.insert(
                id,
                Entry { input, generation, watermark, meta, done: BTreeMap::new(), rewound: None },
            );
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

    fn opened(disk: &SimDisk) -> Arc<Registry> {
        Registry::open(Arc::new(disk.clone())).unwrap().0
    }

    #[test]
    fn a_failed_range_is_never_jumped_over() {
        let registry = opened(&SimDisk::new());
        let origin = registry.create("in", String::new(), 0);
        let shares: Vec<Share> =
            (0..4).map(|n| registry.begin(vec![(origin, n * 10, n * 10 + 10)])).collect();
        let mut shares = shares.into_iter();
        let (first, second, third) = (shares.next().unwrap(), shares.next().unwrap(), shares.next().unwrap());
        third.done();
        assert_eq!(registry.watermark(origin), 0);
        first.done();
        assert_eq!(registry.watermark(origin), 10);
        drop(second);
        assert_eq!(registry.watermark(origin), 10);
        assert_eq!(registry.rewound(origin), Some(10));
        assert_eq!(registry.rewound(origin), None);
        registry.begin(vec![(origin, 10, 20)]).done();
        assert_eq!(registry.watermark(origin), 30);
    }

    #[test]
    fn what_comes_late_from_before_a_truncation_is_ignored() {
        let registry = opened(&SimDisk::new());
        let origin = registry.create("in", String::new(), 0);
        let late = registry.begin(vec![(origin, 0, 50)]);
        let fresh = registry.begin_generation(origin);
        late.done();
        assert_eq!(registry.watermark(fresh), 0);
    }

    #[test]
    fn it_is_the_same_after_a_power_cut_and_restored_from_the_queue() {
        for seed in 0..50 {
            let disk = SimDisk::new();
            let registry = opened(&disk);
            let origin = registry.create("in", "m".to_owned(), 0);
            registry.begin(vec![(origin, 0, 10)]).done();
            registry.flush().unwrap();
            registry.begin(vec![(origin, 10, 20)]).done();
            let again = opened(&disk.crash(seed));
            assert_eq!(again.watermark(origin), 10);
            assert_eq!(again.known("in")[0].meta, "m");
            again.restore([(5, 12), (12, 15), (18, 20)].map(|(from, to)| Positions {
                origin: origin.id,
                generation: 0,
                from,
                to,
            }));
            assert_eq!(again.watermark(origin), 15);
            again.restore([Positions { origin: origin.id, generation: 7, from: 0, to: 99 }]);
            assert_eq!(again.watermark(origin), 15);
        }
    }
}
