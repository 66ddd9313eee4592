//! Power cuts, kills and damage, against a model: what was confirmed is there, what is read
//! was appended, no cursor passes what was not acknowledged, and it always opens.

use disk::{Disk, SimDisk};
use queue::{Durability, Header, Options, Positions, Queue, QueueError, Record, Start};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

const FOLDER: &str = "queue/main";

fn options() -> Options {
    Options {
        segment_bytes_max: 700,
        bytes_max: 1 << 20,
        group_time: Duration::ZERO,
        tail_bytes: 600,
        ..Options::default()
    }
}

fn header(n: u64) -> Header {
    let events = 1 + (n % 5) as u32;
    let positions = vec![Positions { origin: [1; 16], generation: 0, from: n, to: n + 1, mark: n }];
    Header { events, time_min: n as i64, time_max: n as i64, outputs: 1, codec: 0, positions }
}

fn body(n: u64) -> Vec<u8> {
    let mut body = n.to_le_bytes().to_vec();
    body.resize(20 + (n * 37 % 200) as usize, n as u8);
    body
}

fn number_of(record: &Record) -> u64 {
    u64::from_le_bytes(record.body[..8].try_into().unwrap())
}

/// What a process knows when it ends.
#[derive(Debug, Default, Clone)]
struct Model {
    appended: BTreeSet<u64>,
    /// With the sequence of the first event.
    confirmed: BTreeMap<u64, u64>,
    acknowledged: BTreeSet<u64>,
}

/// One life of a process: opens, reads everything that is there, appends and acknowledges.
fn live(
    disk: &SimDisk,
    model: &Arc<Mutex<Model>>,
    random: &mut fastrand::Rng,
    appends: u64,
) -> Result<(), QueueError> {
    let (queue, _) = Queue::open(Arc::new(disk.clone()), Path::new(FOLDER), options())?;
    let result = (|| {
        let mut reader = queue.reader("out", Start::SavedOrBegin);
        let acker = reader.acker();
        let mut held = Vec::new();
        let first = model.lock().unwrap().appended.last().map_or(0, |last| last + 1);
        for n in first..first + appends {
            model.lock().unwrap().appended.insert(n);
            let then = model.clone();
            let (tell, sequence) = mpsc::channel();
            let confirmed = Box::new(move |result: Result<(), QueueError>| {
                if result.is_ok() {
                    let sequence: u64 = sequence.recv().unwrap();
                    let mut model = then.lock().unwrap();
                    let newest =
                        model.confirmed.last_key_value().map_or(0, |(n, sequence)| sequence + 1 + n % 5);
                    assert!(sequence >= newest, "a sequence is given twice");
                    model.confirmed.insert(n, sequence);
                }
            });
            let _ = tell.send(queue.append(&header(n), &body(n), confirmed)?);
            if random.bool() {
                queue.flush();
            }
            if random.bool()
                && let Some(record) = reader.next(Duration::ZERO)
            {
                let number = number_of(&record);
                let known = model.lock().unwrap().confirmed.get(&number).copied();
                assert!(known.is_none_or(|known| known == record.sequence));
                held.push(record);
            }
            if random.bool() && !held.is_empty() {
                let record = held.swap_remove(random.usize(..held.len()));
                let number = number_of(&record);
                model.lock().unwrap().acknowledged.insert(number);
                acker.ack(record.sequence, record.header.events);
            }
            if random.u8(..4) == 0 {
                queue.registry_synced(queue.stats().head);
            }
        }
        Ok(())
    })();
    queue.flush();
    queue.stop();
    result
}

/// Everything that a new reader of the same name gets.
fn rest(disk: &SimDisk) -> (BTreeMap<u64, u64>, queue::Recovery) {
    let (queue, recovery) =
        Queue::open(Arc::new(disk.clone()), Path::new(FOLDER), options()).expect("it always opens");
    let mut reader = queue.reader("out", Start::SavedOrBegin);
    let mut found = BTreeMap::new();
    let mut expected = 0;
    while let Some(record) = reader.next(Duration::ZERO) {
        let number = number_of(&record);
        assert!(record.sequence >= expected, "sequences go up");
        expected = record.sequence + u64::from(record.header.events);
        assert_eq!(&record.body[..], body(number), "a record is what was appended");
        assert_eq!(record.header, header(number));
        assert!(found.insert(number, record.sequence).is_none(), "record {number} twice");
    }
    queue.stop();
    (found, recovery)
}

#[track_caller]
fn check(disk: &SimDisk, model: &Model, has_failed_sync: bool, what: &str) {
    let (found, recovery) = rest(disk);
    for number in model.confirmed.keys() {
        assert!(
            found.contains_key(number) || model.acknowledged.contains(number),
            "{what}: record {number} was confirmed and is gone"
        );
    }
    assert!(
        found.keys().all(|number| model.appended.contains(number)),
        "{what}: a record that nobody appended"
    );
    for (number, sequence) in &found {
        assert!(model.confirmed.get(number).is_none_or(|known| known == sequence), "{what}: {number} moved");
    }
    // Of records that were never confirmed, a later one may survive a power cut without the
    // one before it: a gap that no confirmed record was in.
    let is_gap = |(from, to): &(u64, u64)| !model.confirmed.values().any(|known| from <= known && known < to);
    let is_whole = |recovery: &queue::Recovery| {
        // A sync that fails on a full disk leaves what can neither be kept nor taken back.
        let is_aside = recovery.set_aside.is_empty() || has_failed_sync;
        is_aside && !recovery.cursors_damaged && recovery.missing.iter().all(is_gap)
    };
    assert!(is_whole(&recovery), "{what}: nothing was damaged, but {recovery:?} {found:?} {model:?}");
    let again = rest(&disk.kill());
    assert_eq!(again.0, found, "{what}: the second start finds the same");
    assert!(is_whole(&again.1) && again.1.bytes_torn == 0, "{what}: a torn end is cut once");
}

#[test]
fn a_power_cut_at_every_sync() {
    let syncs = {
        let disk = SimDisk::new();
        live(&disk, &Arc::default(), &mut fastrand::Rng::with_seed(1), 40).unwrap();
        disk.syncs()
    };
    for point in 0..=syncs {
        for seed in 0..4 {
            let disk = SimDisk::new();
            disk.power_fails_at(point);
            let model = Arc::new(Mutex::new(Model::default()));
            let _ = live(&disk, &model, &mut fastrand::Rng::with_seed(1), 40);
            let model = model.lock().unwrap().clone();
            check(&disk.crash(seed), &model, false, &format!("power cut at sync {point}, seed {seed}"));
        }
    }
}

#[test]
fn random_histories_of_cuts_and_kills() {
    for seed in 0..2_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut disk = SimDisk::new();
        let model = Arc::new(Mutex::new(Model::default()));
        let mut has_failed_sync = false;
        for _ in 0..3 {
            if random.bool() {
                disk.power_fails_at(disk.syncs() + random.u64(..25));
            }
            if random.u8(..4) == 0 {
                has_failed_sync = true;
                disk.sync_fails_at(disk.syncs() + random.u64(..25));
            }
            disk.set_room((random.u8(..4) == 0).then(|| random.u64(..3_000)));
            let appends = random.u64(1..12);
            let _ = live(&disk, &model, &mut random, appends);
            disk = if random.bool() { disk.crash(seed) } else { disk.kill() };
            disk.set_room(None);
            if random.bool() {
                disk = disk.crash(seed + 1);
            }
            check(&disk, &model.lock().unwrap(), has_failed_sync, &format!("seed {seed}"));
        }
    }
}

#[test]
fn damage_is_set_aside_and_the_rest_is_read() {
    let mut lost_ever = 0;
    for seed in 0..1_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = SimDisk::new();
        let model = Arc::new(Mutex::new(Model::default()));
        live(&disk, &model, &mut random, 30).unwrap();
        let disk = if random.bool() { disk.crash(seed) } else { disk };
        let before = rest(&disk.kill()).0;
        let files = disk.list(Path::new(FOLDER)).unwrap().into_iter().filter(|entry| !entry.is_dir);
        let files: Vec<String> = files.map(|entry| entry.name).collect();
        let victim = Path::new(FOLDER).join(&files[random.usize(..files.len())]);
        let is_segment = victim.extension().is_some_and(|extension| extension == "queue");
        let mut how = random.u8(..5);
        disk.damage(|path, bytes| {
            if path != victim {
                return true;
            }
            match how {
                0 => bytes.clear(),
                1 => bytes.fill(0),
                2 if !bytes.is_empty() => {
                    let at = random.usize(..bytes.len());
                    bytes[at] ^= 1 << random.u8(..8);
                }
                3 => return false,
                _ => {
                    how = 4;
                    bytes.truncate(random.usize(..=bytes.len()));
                }
            }
            true
        });
        let model = model.lock().unwrap().clone();
        let (found, recovery) = rest(&disk);
        let what = format!("seed {seed}, {} hurt by {how}: {recovery:?}", victim.display());
        assert!(found.keys().all(|number| model.appended.contains(number)), "{what}");
        let lost: Vec<(u64, u64)> = before
            .iter()
            .filter(|(number, _)| !found.contains_key(number))
            .map(|(number, sequence)| (*sequence, sequence + 1 + number % 5))
            .collect();
        assert!(is_segment || lost.is_empty(), "{what}: lost {lost:?}");
        // What is reported as missing is what is missing. (Acknowledged records may be among it.)
        for (from, to) in &lost {
            let told = recovery.missing.iter().any(|(begin, end)| begin <= from && to <= end);
            assert!(told, "{what}: {from} to {to} is not reported");
        }
        for (begin, end) in &recovery.missing {
            let sequences = found.iter().map(|(number, from)| (*from, from + 1 + number % 5));
            let there: Vec<_> = sequences.filter(|(from, to)| from < end && begin < to).collect();
            assert!(there.is_empty(), "{what}: {there:?} is there");
        }
        lost_ever += lost.len();
        // It goes on working, with sequences that go up.
        let model = Arc::new(Mutex::new(model));
        live(&disk, &model, &mut random, 5).unwrap();
        check_new(&disk, &model.lock().unwrap());
    }
    assert!(lost_ever > 100, "the test hurts something: {lost_ever}");
}

fn check_new(disk: &SimDisk, model: &Model) {
    let (found, _) = rest(disk);
    for number in model.appended.iter().rev().take(5) {
        assert!(found.contains_key(number) || model.acknowledged.contains(number));
    }
}

#[test]
fn each_durability_does_what_its_name_says() {
    for (durability, survives_a_cut) in [(Durability::Fsync, true), (Durability::Os, false)] {
        let disk = SimDisk::new();
        let (queue, _) =
            Queue::open(Arc::new(disk.clone()), Path::new(FOLDER), Options { durability, ..options() })
                .unwrap();
        let (told, confirmed) = std::sync::mpsc::channel();
        queue
            .append(&header(0), &body(0), Box::new(move |result| told.send(result.is_ok()).unwrap()))
            .unwrap();
        assert!(confirmed.recv().unwrap());
        assert!(rest(&disk.kill()).0.contains_key(&0), "{durability:?} survives a kill");
        let kept = (0..40).filter(|seed| rest(&disk.crash(*seed)).0.contains_key(&0)).count();
        assert_eq!(kept == 40, survives_a_cut, "{durability:?} kept it in {kept} of 40 power cuts");
        queue.stop();
    }
}

#[test]
fn repair_leaves_a_clean_queue() {
    let disk = SimDisk::new();
    live(&disk, &Arc::default(), &mut fastrand::Rng::with_seed(3), 30).unwrap();
    disk.damage(|path, bytes| {
        if path.extension().is_some_and(|extension| extension == "queue") && bytes.len() > 300 {
            bytes[200] ^= 1;
        }
        true
    });
    let disk: Arc<dyn Disk> = Arc::new(disk);
    assert!(!queue::inspect(disk.clone(), Path::new(FOLDER)).unwrap().is_clean());
    assert!(!queue::repair(disk.clone(), Path::new(FOLDER)).unwrap().is_clean());
    assert!(queue::inspect(disk, Path::new(FOLDER)).unwrap().is_clean());
}
