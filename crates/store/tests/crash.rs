//! Power cuts and kills between any two steps: whatever the queue gives again, each document
//! is in the store exactly once, and what was acknowledged is there without the queue.

use disk::{Disk, SimDisk};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use store::{Doc, Options, Query, Search, Store, StoreError};

/// A queue in front of the store, as far as the store knows one: documents in order, a cursor.
struct Given {
    docs: Vec<(String, String)>,
    cursor: u64,
}

/// An index is put to rest as soon as nobody waits for its next commit.
fn options() -> Options {
    let now = Duration::ZERO;
    Options {
        writers_max: 2,
        writer_bytes: 15 << 20,
        hard_after: now,
        close_after: now,
        ..Options::default()
    }
}

fn open(disk: &SimDisk) -> Result<Arc<Store>, StoreError> {
    Store::open(Arc::new(disk.clone()) as Arc<dyn Disk>, options())
}

fn append(store: &Store, given: &Given, sequence: u64) -> Result<(), StoreError> {
    let (index, id) = &given.docs[sequence as usize];
    let source = format!("{{\"message\":\"document {id}\",\"n\":{sequence}}}");
    store.append(&Doc {
        index,
        id: Cow::Borrowed(id),
        sequence,
        time: sequence as i64,
        source: source.as_bytes(),
        replaces: false,
    })
}

/// One life: gives again what is not acknowledged, then new documents, committing in between
/// as chance will have it.
fn live(
    disk: &SimDisk,
    given: &mut Given,
    random: &mut fastrand::Rng,
    documents: usize,
) -> Result<(), StoreError> {
    let store = open(disk)?;
    let from = given.cursor;
    let known = given.docs.len();
    for n in 0..documents {
        let index = format!("logs-{}", random.u8(0..3));
        given.docs.push((index, format!("{}-{n}", known + n)));
    }
    for sequence in from..given.docs.len() as u64 {
        append(&store, given, sequence)?;
        match random.u8(0..12) {
            0 => store.refresh()?,
            1 => store.flush()?,
            2 => {
                store.passed(sequence + 1);
                given.cursor = given.cursor.max(store.synced_sequence());
            }
            3 => store.housekeeping(),
            _ => {}
        }
    }
    given.cursor = given.cursor.max(store.synced_sequence());
    Ok(())
}

/// Everything is in the store once; `from` is where the queue goes on.
fn check(disk: &SimDisk, given: &Given, what: &str) {
    let store = open(disk).unwrap_or_else(|error| panic!("{what}: it does not open: {error}"));
    assert!(store.set_aside().is_empty(), "{what}: {:?} set aside", store.set_aside());
    for sequence in given.cursor..given.docs.len() as u64 {
        append(&store, given, sequence).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    store.refresh().unwrap();
    let search = Search { indices: "logs-*".into(), size: 10_000, ..Search::default() };
    let mut found: Vec<(String, String)> =
        store.search(&search).unwrap().hits.into_iter().map(|hit| (hit.index, hit.id)).collect();
    found.sort();
    let mut expected = given.docs.clone();
    expected.sort();
    assert_eq!(found, expected, "{what}, cursor {}", given.cursor);
    store.close();
}

/// Of the life that is cut at every sync.
const DOCUMENTS: usize = 20;

#[test]
fn the_power_fails_at_every_sync() {
    // How many syncs a whole life takes is known from one without a power cut.
    let disk = SimDisk::new();
    let mut given = Given { docs: Vec::new(), cursor: 0 };
    live(&disk, &mut given, &mut fastrand::Rng::with_seed(1), DOCUMENTS).unwrap();
    let syncs = disk.syncs();
    assert!(syncs > 20, "{syncs} syncs");
    for sync in 0..syncs {
        let disk = SimDisk::new();
        disk.power_fails_at(sync);
        let mut given = Given { docs: Vec::new(), cursor: 0 };
        // It may end early, or not notice.
        let _ = live(&disk, &mut given, &mut fastrand::Rng::with_seed(1), DOCUMENTS);
        check(&disk.crash(sync), &given, &format!("power cut at sync {sync}"));
    }
}

#[test]
fn lives_of_kills_and_power_cuts() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut disk = SimDisk::new();
        let mut given = Given { docs: Vec::new(), cursor: 0 };
        for life in 0..4 {
            let before = disk.syncs();
            if random.bool() {
                disk.power_fails_at(before + random.u64(0..40));
            }
            let documents = random.usize(5..60);
            let _ = live(&disk, &mut given, &mut random, documents);
            disk = if random.bool() { disk.crash(seed * 10 + life) } else { disk.kill() };
        }
        check(&disk, &given, &format!("history {seed}"));
    }
}

#[test]
fn a_damaged_index_is_set_aside_and_the_rest_goes_on() {
    let disk = SimDisk::new();
    let mut given = Given { docs: Vec::new(), cursor: 0 };
    let store = open(&disk).unwrap();
    for (n, index) in ["logs-a", "logs-b"].into_iter().enumerate() {
        given.docs.push((index.to_owned(), format!("id{n}")));
        append(&store, &given, n as u64).unwrap();
    }
    store.close();
    drop(store);
    disk.damage(|path, bytes| {
        if path.ends_with("logs-a/meta.json") {
            bytes.clear();
        }
        true
    });
    let store = open(&disk).unwrap();
    assert_eq!(store.set_aside(), ["logs-a"]);
    assert_eq!(store.count("logs-*", &Query::All).unwrap(), 1);
    // A new index of that name is begun.
    given.docs.push(("logs-a".to_owned(), "id2".to_owned()));
    append(&store, &given, 2).unwrap();
    store.refresh().unwrap();
    assert_eq!(store.count("logs-a", &Query::All).unwrap(), 1);
    store.close();
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let docs = (0..50).map(|n| ("logs-a".to_owned(), format!("id{n}"))).collect();
    let given = Given { docs, cursor: 0 };
    for sequence in 0..20 {
        append(&store, &given, sequence).unwrap();
    }
    store.flush().unwrap();
    assert_eq!(store.synced_sequence(), 20);
    disk.set_room(Some(100));
    let full =
        (20..50).try_for_each(|sequence| append(&store, &given, sequence)).and_then(|()| store.flush());
    assert!(matches!(full, Err(StoreError::Lost(_))), "{full:?}");
    let safe = store.synced_sequence();
    assert_eq!(safe, 20);
    disk.set_room(None);
    store.begin_again();
    // The queue gives again what is not acknowledged.
    for sequence in safe..50 {
        append(&store, &given, sequence).unwrap();
    }
    store.flush().unwrap();
    assert_eq!(store.count("logs-a", &Query::All).unwrap(), 50);
    assert_eq!(store.synced_sequence(), 50);
    store.close();
}
