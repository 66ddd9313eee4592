//! What the queue does while nothing breaks, and while the disk is full or refuses.

use disk::{Disk, RealDisk, SimDisk};
use queue::{Confirm, Header, Options, Positions, Queue, QueueError, Reader, Start};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const FOLDER: &str = "queue/main";
const LONG: Duration = Duration::from_secs(20);

fn options() -> Options {
    Options {
        segment_bytes_max: 700,
        bytes_max: 1 << 20,
        group_time: Duration::ZERO,
        tail_bytes: 600,
        ..Options::default()
    }
}

fn open(disk: &SimDisk, options: Options) -> Arc<Queue> {
    Queue::open(Arc::new(disk.clone()), Path::new(FOLDER), options).unwrap().0
}

fn header(n: u64) -> Header {
    let positions = vec![Positions { origin: [1; 16], generation: 0, from: n, to: n + 1, mark: n }];
    Header { events: 2, time_min: 0, time_max: 0, outputs: 1, codec: 0, positions }
}

fn nobody() -> Confirm {
    Box::new(|_| ())
}

fn told() -> (Confirm, Receiver<Result<(), QueueError>>) {
    let (tell, heard) = mpsc::channel();
    (Box::new(move |result| drop(tell.send(result))), heard)
}

fn append(queue: &Queue, n: u64) -> Result<u64, QueueError> {
    queue.append(&header(n), &[n as u8; 100], nobody())
}

/// Appends and returns what the confirmation said.
fn appended(queue: &Queue, n: u64) -> Result<(), QueueError> {
    let (confirm, heard) = told();
    queue.append(&header(n), &[n as u8; 100], confirm)?;
    queue.flush();
    heard.recv_timeout(LONG).unwrap()
}

/// The first byte of all that a reader gets now.
fn all(reader: &mut Reader) -> Vec<u8> {
    std::iter::from_fn(|| reader.next(Duration::ZERO)).map(|record| record.body[0]).collect()
}

#[test]
fn a_full_queue_makes_appends_wait_until_room_is_acknowledged() {
    let limits = [Options { bytes_max: 4_000, ..options() }, Options { events_max: 20, ..options() }];
    for options in limits {
        let queue = open(&SimDisk::new(), options.clone());
        let mut reader = queue.reader("out", Start::SavedOrBegin);
        let writer = std::thread::spawn({
            let queue = queue.clone();
            move || (0..200).for_each(|n| assert!(append(&queue, n).is_ok()))
        });
        let acker = reader.acker();
        for _ in 0..200 {
            let record = reader.next(LONG).expect("a record");
            let stats = queue.stats();
            assert!(stats.bytes < options.bytes_max + 1_000, "{stats:?}");
            assert!(options.events_max == 0 || reader.lag_events() <= 20, "{stats:?}");
            acker.ack(record.sequence, record.header.events);
            queue.registry_synced(queue.stats().head);
        }
        writer.join().unwrap();
        queue.stop();
    }
}

#[test]
fn cursors_pass_what_is_acknowledged_without_a_gap() {
    #[track_caller]
    fn check(acks: &[u64], cursor: u64, lag: u64) {
        let disk = SimDisk::new();
        let queue = open(&disk, options());
        (0..6).for_each(|n| appended(&queue, n).unwrap());
        let reader = queue.reader("out", Start::SavedOrBegin);
        acks.iter().for_each(|n| reader.acker().ack(n * 2, 2));
        let stats = queue.stats().readers.remove(0);
        assert_eq!((stats.cursor, stats.lag_events), (cursor, lag));
        queue.stop();
        let queue = open(&disk.crash(0), options());
        assert_eq!(queue.stats().readers[0].cursor, cursor, "saved by the stop");
        queue.stop();
    }
    check(&[], 0, 12);
    check(&[0], 2, 10);
    check(&[1], 0, 10);
    check(&[2, 1, 0], 6, 6);
    check(&[5, 0, 0, 3], 2, 6);
    check(&[5, 4, 3, 2, 1, 0], 12, 0);
}

#[test]
fn readers_have_their_own_speed_and_segments_wait_for_the_slowest() {
    let disk = SimDisk::new();
    let queue = open(&disk, options());
    let (mut fast, mut slow) =
        (queue.reader("fast", Start::SavedOrBegin), queue.reader("slow", Start::SavedOrBegin));
    (0..50).for_each(|n| appended(&queue, n).unwrap());
    assert_eq!(all(&mut fast).len(), 50);
    (0..50).for_each(|n| fast.acker().ack(n * 2, 2));
    queue.registry_synced(100);
    assert_eq!((queue.stats().tail, fast.lag_events(), slow.lag_events()), (0, 0, 100));
    assert_eq!(all(&mut slow), (0..50).collect::<Vec<_>>(), "from the disk, in order");
    queue.forget("slow").unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(queue.stats().tail > 80, "{:?}", queue.stats());
    assert_eq!(all(&mut queue.reader("late", Start::SavedOrEnd)), []);
    let head = queue.stats().head;
    queue.forget("fast").unwrap();
    queue.forget("late").unwrap();
    queue.stop();
    assert_eq!(open(&disk.crash(1), options()).stats().head, head, "no sequence is given twice");
}

#[test]
fn nobody_gets_a_record_before_it_is_confirmed() {
    let queue = open(&SimDisk::new(), Options { group_time: Duration::from_millis(300), ..options() });
    let mut reader = queue.reader("out", Start::SavedOrBegin);
    append(&queue, 1).unwrap();
    assert!(reader.next(Duration::from_millis(50)).is_none());
    assert!(reader.next(LONG).is_some());
    queue.stop();
}

#[test]
fn a_failed_sync_takes_its_records_back() {
    for skipped in 0..2 {
        let disk = SimDisk::new();
        let queue = open(&disk, options());
        let mut reader = queue.reader("out", Start::SavedOrBegin);
        for n in 0..3 + skipped {
            appended(&queue, n).unwrap();
        }
        disk.sync_fails_at(disk.syncs());
        assert!(appended(&queue, 77).is_err());
        appended(&queue, 99).unwrap();
        let wanted: Vec<u8> = (0..3 + skipped as u8).chain([99]).collect();
        assert_eq!(all(&mut reader), wanted);
        queue.stop();
        for disk in [disk.kill(), disk.crash(5)] {
            let (queue, recovery) = Queue::open(Arc::new(disk), Path::new(FOLDER), options()).unwrap();
            assert!(recovery.is_clean(), "{recovery:?}");
            let covered = queue.positions();
            assert!(covered.iter().all(|range| !(range.from..range.to).contains(&77)), "{covered:?}");
            assert_eq!(all(&mut queue.reader("out", Start::SavedOrBegin)), wanted);
            queue.stop();
        }
    }
}

#[test]
fn a_full_disk_is_an_error_that_passes_by_itself() {
    let disk = SimDisk::new();
    let queue = open(&disk, options());
    let mut reader = queue.reader("out", Start::SavedOrBegin);
    disk.set_room(Some(5_000));
    let mut taken = 0;
    let error = loop {
        match appended(&queue, taken) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(error.is_full() && taken > 10, "{error} after {taken}");
    // Not a byte is free now; what is acknowledged gives room, since cursors have theirs.
    disk.set_room(Some(0));
    assert_eq!(all(&mut reader).len() as u64, taken);
    (0..taken).for_each(|n| reader.acker().ack(n * 2, 2));
    queue.registry_synced(taken * 2);
    let until = Instant::now() + LONG;
    while let Err(error) = appended(&queue, 200) {
        assert!(error.is_full() && Instant::now() < until, "{error}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(all(&mut reader), [200]);
    queue.stop();
    let (queue, recovery) = Queue::open(Arc::new(disk.crash(3)), Path::new(FOLDER), options()).unwrap();
    assert!(recovery.is_clean(), "{recovery:?}");
    assert_eq!(all(&mut queue.reader("out", Start::SavedOrBegin)), [200]);
    queue.stop();
}

#[test]
fn nothing_is_skipped_for_want_of_file_handles() {
    let disk = SimDisk::new();
    let queue = open(&disk, Options { tail_bytes: 0, ..options() });
    (0..5).for_each(|n| appended(&queue, n).unwrap());
    let mut reader = queue.reader("out", Start::SavedOrBegin);
    disk.set_out_of_handles(true);
    assert!(reader.next(Duration::from_millis(1)).is_none());
    disk.set_out_of_handles(false);
    assert_eq!(all(&mut reader), [0, 1, 2, 3, 4]);
    queue.stop();
}

#[test]
fn damage_while_it_runs_costs_what_it_hit() {
    let disk = SimDisk::new();
    let queue = open(&disk, Options { tail_bytes: 0, ..options() });
    (0..20).for_each(|n| appended(&queue, n).unwrap());
    let mut reader = queue.reader("out", Start::SavedOrBegin);
    let mut hurt = 0;
    disk.damage(|path, bytes| {
        if path.extension().is_some_and(|extension| extension == "queue") && hurt < 3 && bytes.len() > 300 {
            bytes[150] ^= 1;
            hurt += 1;
        }
        true
    });
    let found: Vec<_> = std::iter::from_fn(|| reader.next(Duration::ZERO)).collect();
    assert_eq!(found.len(), 17);
    found.iter().for_each(|record| reader.acker().ack(record.sequence, 2));
    assert_eq!((reader.lag_events(), queue.stats().readers[0].cursor), (0, 40));
    queue.stop();
}

#[test]
fn records_without_events_are_kept_and_not_given() {
    let disk = SimDisk::new();
    let queue = open(&disk, options());
    for n in 0..4 {
        let events = if n % 2 == 0 { 0 } else { 2 };
        queue.append(&Header { events, ..header(n) }, &[n as u8; 10], nobody()).unwrap();
    }
    queue.flush();
    let mut reader = queue.reader("out", Start::SavedOrBegin);
    assert_eq!(all(&mut reader), [1, 3]);
    queue.stop();
    let queue = open(&disk.crash(0), options());
    let origin = [1; 16];
    assert_eq!(queue.positions(), [Positions { origin, generation: 0, from: 0, to: 4, mark: 3 }]);
    assert_eq!(all(&mut queue.reader("out", Start::SavedOrBegin)), [1, 3]);
    queue.stop();
}

#[test]
fn lost_cursors_begin_at_the_oldest() {
    for remove in [true, false] {
        let disk = SimDisk::new();
        let queue = open(&disk, options());
        let reader = queue.reader("out", Start::SavedOrEnd);
        (0..5).for_each(|n| appended(&queue, n).unwrap());
        reader.acker().ack(0, 2);
        queue.stop();
        disk.damage(|path, bytes| {
            let is_cursors = path.to_string_lossy().contains("cursors");
            if is_cursors && !remove {
                bytes.fill(0);
            }
            !is_cursors || !remove
        });
        let (queue, recovery) = Queue::open(Arc::new(disk), Path::new(FOLDER), options()).unwrap();
        assert!(recovery.cursors_damaged, "{recovery:?}");
        assert_eq!(all(&mut queue.reader("out", Start::SavedOrEnd)).len(), 5);
        queue.stop();
    }
}

#[test]
fn a_missing_segment_is_a_gap() {
    let disk = SimDisk::new();
    let queue = open(&disk, options());
    let reader = queue.reader("out", Start::SavedOrBegin);
    (0..20).for_each(|n| appended(&queue, n).unwrap());
    queue.stop();
    drop(reader);
    let mut n = 0;
    disk.damage(|path, _| {
        n += usize::from(path.extension().is_some_and(|extension| extension == "queue"));
        n != 1 && n != 3
    });
    let (queue, recovery) = Queue::open(Arc::new(disk), Path::new(FOLDER), options()).unwrap();
    assert_eq!((recovery.missing.len(), recovery.missing[0].0), (2, 0), "{recovery:?}");
    let mut reader = queue.reader("out", Start::SavedOrBegin);
    let found: Vec<_> = std::iter::from_fn(|| reader.next(Duration::ZERO)).collect();
    let missing: u64 = recovery.missing.iter().map(|(from, to)| to - from).sum();
    assert_eq!(found.len() as u64 * 2 + missing, 40);
    found.iter().for_each(|record| reader.acker().ack(record.sequence, 2));
    assert_eq!(queue.stats().readers[0].cursor, 40);
    queue.stop();
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let disk = SimDisk::new();
    let queue = open(&disk, options());
    appended(&queue, 1).unwrap();
    queue.stop();
    disk.damage(|path, bytes| {
        if path.extension().is_some_and(|extension| extension == "queue") {
            bytes[4] = 2;
            bytes[16..].fill(0xee);
        }
        true
    });
    let before: Vec<_> = disk.list(Path::new(FOLDER)).unwrap();
    let refused = Queue::open(Arc::new(disk.clone()), Path::new(FOLDER), options()).err().unwrap();
    assert!(matches!(refused, QueueError::Newer { version: 2, .. }), "{refused}");
    assert_eq!(disk.list(Path::new(FOLDER)).unwrap(), before);
}

#[test]
fn looking_changes_nothing() {
    let disk = SimDisk::new();
    let queue = open(&disk, options());
    let reader = queue.reader("out", Start::SavedOrBegin);
    (0..20).for_each(|n| appended(&queue, n).unwrap());
    let image = |disk: &SimDisk| {
        let mut files = Vec::new();
        disk.damage(|path, bytes| {
            files.push((path.to_owned(), bytes.clone()));
            true
        });
        files
    };
    let before = image(&disk);
    let found = queue::inspect(Arc::new(disk.clone()), Path::new(FOLDER)).unwrap();
    let mut dumped = Vec::new();
    queue::dump(&disk, Path::new(FOLDER), |record| dumped.push((record.sequence, record.body[0]))).unwrap();
    assert!(found.is_clean());
    assert_eq!(found.segments.iter().map(|segment| segment.events).sum::<u64>(), 40);
    assert_eq!(found.cursors, [("out".to_owned(), 0)]);
    assert_eq!(dumped, (0..20).map(|n| (n * 2, n as u8)).collect::<Vec<_>>());
    assert_eq!(image(&disk), before);
    drop(reader);
    queue.stop();
}

#[test]
fn a_topic_forgets_by_age_of_arrival() {
    let retention = Some(queue::Retention { age: Duration::from_millis(80), bytes: u64::MAX });
    let queue = open(&SimDisk::new(), Options { retention, ..options() });
    appended(&queue, 1).unwrap();
    // An event of the far future ages nothing.
    queue.append(&Header { time_max: i64::MAX, ..header(2) }, &[2; 100], nobody()).unwrap();
    queue.flush();
    assert_eq!(queue.stats().tail, 0);
    std::thread::sleep(Duration::from_millis(100));
    appended(&queue, 3).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    appended(&queue, 4).unwrap();
    assert!(queue.stats().tail >= 4, "{:?}", queue.stats());
    queue.stop();
}

#[test]
fn many_threads_on_a_real_disk() {
    let temporary = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(temporary.path()).unwrap());
    let options = Options { segment_bytes_max: 20_000, tail_bytes: 5_000, ..Options::default() };
    let (queue, recovery) = Queue::open(disk.clone(), Path::new(FOLDER), options.clone()).unwrap();
    assert_eq!(recovery, queue::Recovery::default());
    let mut reader = queue.reader("out", Start::SavedOrBegin);
    let confirmed = Arc::new(Mutex::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (queue, confirmed) = (queue.clone(), confirmed.clone());
            scope.spawn(move || {
                for _ in 0..100 {
                    let confirmed = confirmed.clone();
                    let then = Box::new(move |result: Result<(), _>| {
                        *confirmed.lock().unwrap() += i32::from(result.is_ok())
                    });
                    queue.append(&header(thread), &vec![thread as u8; 500], then).unwrap();
                }
            });
        }
        let acker = reader.acker();
        for n in 0..300 {
            let record = reader.next(LONG).unwrap();
            assert_eq!(record.sequence, n * 2);
            acker.ack(record.sequence, record.header.events);
        }
    });
    queue.registry_synced(600);
    queue.flush();
    assert_eq!(*confirmed.lock().unwrap(), 400);
    queue.stop();
    drop((reader, queue));
    let (queue, recovery) = Queue::open(disk, Path::new(FOLDER), options).unwrap();
    assert!(recovery.is_clean(), "{recovery:?}");
    let mut reader = queue.reader("out", Start::SavedOrBegin);
    assert_eq!(all(&mut reader).len(), 100);
    queue.stop();
}

#[test]
fn a_stopped_queue_lets_nobody_wait() {
    let (queue, _) =
        Queue::open(Arc::new(SimDisk::new()), Path::new(FOLDER), Options { bytes_max: 500, ..options() })
            .unwrap();
    let _reader = queue.reader("out", Start::SavedOrBegin);
    let writer = std::thread::spawn({
        let queue = queue.clone();
        move || (0..100).map(|n| queue.append(&header(n), &[n as u8; 100], nobody())).find_map(Result::err)
    });
    while queue.stats().bytes < 500 {
        std::thread::yield_now();
    }
    queue.stop();
    assert!(matches!(writer.join().unwrap(), Some(QueueError::Stopped)));
}

#[test]
fn a_full_queue_refuses_when_it_is_not_to_wait() {
    let queue = open(&SimDisk::new(), Options { bytes_max: 500, ..options() });
    let mut reader = queue.reader("out", Start::SavedOrBegin);
    let writer = std::thread::spawn({
        let queue = queue.clone();
        move || {
            let refused = |n| queue.append(&header(n), &[n as u8; 100], nobody()).err().map(|why| (n, why));
            (0..100).find_map(refused)
        }
    });
    while queue.stats().bytes < 500 {
        std::thread::yield_now();
    }
    queue.refuse_when_full();
    let (taken, why) = writer.join().unwrap().expect("a refusal");
    assert!(matches!(why, QueueError::NoRoom), "{why}");
    // What it took is given.
    queue.flush();
    let given: Vec<u8> =
        std::iter::from_fn(|| reader.next(Duration::ZERO)).map(|record| record.body[0]).collect();
    assert!(given.iter().copied().eq((0..taken).map(|n| n as u8)), "{taken} were taken: {given:?}");
    queue.stop();
}

#[test]
fn a_topic_keeps_history_by_size() {
    let retention = Some(queue::Retention { age: Duration::MAX, bytes: 3_000 });
    let (queue, _) =
        Queue::open(Arc::new(SimDisk::new()), Path::new(FOLDER), Options { retention, ..options() }).unwrap();
    for n in 0..200 {
        queue.append(&header(n), &[n as u8; 100], nobody()).unwrap();
    }
    queue.flush();
    let stats = queue.stats();
    assert!(stats.bytes < 4_500 && stats.tail > 0, "{stats:?}");
    let mut reader = queue.reader("replay", Start::SavedOrBegin);
    assert_eq!(reader.next(Duration::ZERO).unwrap().sequence, stats.tail);
    queue.stop();
}
