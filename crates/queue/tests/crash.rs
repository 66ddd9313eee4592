//! Power cuts, kills and damage, against a model: what was confirmed is there, what is read
//! was appended, no cursor passes what was not acknowledged, and it always opens.

use disk::{Disk, SimDisk};
use queue::{Durability, Header, Options, Positions, Queue, QueueError, Start};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
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
    let positions = vec![Positions { origin: [1; 16], generation: 0, from: n, to: n + 1 }];
    Header { events, time_min: n as i64, time_max: n as i64, outputs: 1, codec: 0, positions }
}

fn body(n: u64) -> Vec<u8> {
    let mut body = n.to_le_bytes().to_vec();
    body.resize(20 + (n * 37 % 200) as usize, n as u8);
    body
}

/// What a process knows when it ends.
#[derive(Default, Clone)]
struct Model {
    appended: BTreeSet<u64>,
    confirmed: BTreeSet<u64>,
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
            let confirmed = Box::new(move |result: Result<(), QueueError>| {
                if result.is_ok() {
                    then.lock().unwrap().confirmed.insert(n);
                }
            });
            queue.append(&header(n), &body(n), confirmed)?;
            if random.bool() {
                queue.flush();
            }
            if random.bool()
                && let Some(record) = reader.next(Duration::ZERO)
            {
                held.push(record);
            }
            if random.bool() && !held.is_empty() {
                let record = held.swap_remove(random.usize(..held.len()));
                let number = u64::from_le_bytes(record.body[..8].try_into().unwrap());
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
        let number = u64::from_le_bytes(record.body[..8].try_into().unwrap());
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
fn check(disk: &SimDisk, model: &Model, what: &str) {
    let (found, recovery) = rest(disk);
    for number in &model.confirmed {
        assert!(
            found.contains_key(number) || model.acknowledged.contains(number),
            "{what}: record {number} was confirmed and is gone"
        );
    }
    assert!(
        found.keys().all(|number| model.appended.contains(number)),
        "{what}: a record that nobody appended"
    );
    assert!(recovery.set_aside.iter().all(|(_, bytes)| *bytes < 2_000), "{what}: {recovery:?}");
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
            check(&disk.crash(seed), &model, &format!("power cut at sync {point}, seed {seed}"));
        }
    }
}

#[test]
fn random_histories_of_cuts_and_kills() {
    for seed in 0..2_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut disk = SimDisk::new();
        let model = Arc::new(Mutex::new(Model::default()));
        for _ in 0..3 {
            if random.bool() {
                disk.power_fails_at(disk.syncs() + random.u64(..25));
            }
            if random.u8(..4) == 0 {
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
            check(&disk, &model.lock().unwrap(), &format!("seed {seed}"));
        }
    }
}

#[test]
fn damage_is_set_aside_and_the_rest_is_read() {
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = SimDisk::new();
        let model = Arc::new(Mutex::new(Model::default()));
        live(&disk, &model, &mut random, 30).unwrap();
        let files = disk.list(Path::new(FOLDER)).unwrap().len();
        let mut hurt = Vec::new();
        let mut whole = 0;
        disk.damage(|path, bytes| {
            if random.usize(..files) > 1 {
                return true;
            }
            hurt.push(path.to_owned());
            whole += bytes.len();
            match random.u8(..5) {
                0 => bytes.clear(),
                1 => bytes.fill(0),
                2 if !bytes.is_empty() => {
                    let at = random.usize(..bytes.len());
                    bytes[at] ^= 1 << random.u8(..8);
                }
                3 => return false,
                _ => bytes.truncate(random.usize(..=bytes.len())),
            }
            true
        });
        let model = model.lock().unwrap().clone();
        let (found, _) = rest(&disk);
        assert!(found.keys().all(|number| model.appended.contains(number)));
        let wanted = model.confirmed.iter().filter(|number| !model.acknowledged.contains(number));
        let lost = wanted.filter(|number| !found.contains_key(number)).count();
        // A record takes at least 100 bytes: no more can be lost than was hurt.
        assert!(lost * 100 <= whole + 100, "seed {seed}: {lost} lost by hurting {hurt:?}");
        // It goes on working, with sequences that go up.
        let model = Arc::new(Mutex::new(model));
        live(&disk, &model, &mut random, 5).unwrap();
        check_new(&disk, &model.lock().unwrap());
    }
}

fn check_new(disk: &SimDisk, model: &Model) {
    let (found, _) = rest(disk);
    for number in model.appended.iter().rev().take(5) {
        assert!(found.contains_key(number) || model.acknowledged.contains(number));
    }
}

#[test]
fn a_full_queue_makes_appends_wait_until_room_is_acknowledged() {
    let limits = [Options { bytes_max: 4_000, ..options() }, Options { events_max: 20, ..options() }];
    for options in limits {
        let (queue, _) = Queue::open(Arc::new(SimDisk::new()), Path::new(FOLDER), options).unwrap();
        let mut reader = queue.reader("out", Start::SavedOrBegin);
        let writer = std::thread::spawn({
            let queue = queue.clone();
            move || {
                for n in 0..200 {
                    queue.append(&header(n), &body(n), Box::new(|_| ())).unwrap();
                }
            }
        });
        let acker = reader.acker();
        let mut read = 0;
        let mut most = 0;
        while read < 200 {
            let record = reader.next(Duration::from_secs(20)).expect("a record");
            read += 1;
            most = most.max(queue.stats().bytes);
            acker.ack(record.sequence, record.header.events);
            queue.registry_synced(queue.stats().head);
        }
        writer.join().unwrap();
        assert!(most < 6_000, "{most} bytes");
        queue.stop();
    }
}

#[test]
fn a_stopped_queue_lets_nobody_wait() {
    let (queue, _) =
        Queue::open(Arc::new(SimDisk::new()), Path::new(FOLDER), Options { bytes_max: 500, ..options() })
            .unwrap();
    let _reader = queue.reader("out", Start::SavedOrBegin);
    let writer = std::thread::spawn({
        let queue = queue.clone();
        move || (0..100).map(|n| queue.append(&header(n), &body(n), Box::new(|_| ()))).find_map(Result::err)
    });
    while queue.stats().bytes < 500 {
        std::thread::yield_now();
    }
    queue.stop();
    assert!(matches!(writer.join().unwrap(), Some(QueueError::Stopped)));
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
fn a_topic_keeps_history_by_size() {
    let retention = Some(queue::Retention { age: Duration::MAX, bytes: 3_000 });
    let (queue, _) =
        Queue::open(Arc::new(SimDisk::new()), Path::new(FOLDER), Options { retention, ..options() }).unwrap();
    for n in 0..200 {
        queue.append(&header(n), &body(n), Box::new(|_| ())).unwrap();
    }
    queue.flush();
    let stats = queue.stats();
    assert!(stats.bytes < 4_500 && stats.tail > 0, "{stats:?}");
    let mut reader = queue.reader("replay", Start::SavedOrBegin);
    assert_eq!(reader.next(Duration::ZERO).unwrap().sequence, stats.tail);
    queue.stop();
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
