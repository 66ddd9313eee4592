//! What happens to log files, each against exactly the lines that must come of it.
//!
//! The tests hold the clock: they ask the input to read, say how much later it is, and ask
//! again. "Nothing more comes" is what so many looks give, not a sleep.

#![allow(clippy::single_range_in_vec_init, reason = "a test expects ranges of lines, often one")]

use super::*;
use crate::registry::Registry;
use disk::SimDisk;
use event::{Acks, Path as Field, Value};
use std::collections::HashMap;
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;
use tempfile::TempDir;

/// How far the clock goes between two looks.
const STEP: Duration = Duration::from_millis(250);
/// After so long without a line nothing more comes, inotify or not.
const QUIET: Duration = Duration::from_secs(12);
const MINUTE: Duration = Duration::from_secs(60);

/// An event, as far as these tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    line: Vec<u8>,
    origin: Origin,
    position: u64,
    path: String,
    truncated: bool,
}

/// The input with its files and its registry, and a clock that only the test moves.
struct Reader {
    folder: TempDir,
    config: Config,
    inotify: bool,
    batch_bytes: usize,
    disk: SimDisk,
    registry: Arc<Registry>,
    input: Option<FileInput>,
    now: Instant,
    batch: Batch,
    /// Whether batches are acknowledged as soon as they come.
    acknowledges: bool,
    held: Vec<(Acks, Vec<Positions>)>,
    /// What the queue would tell the registry after a crash.
    queued: Vec<Positions>,
    /// What came since it was asked for last.
    seen: Vec<Seen>,
    /// Every event that ever came, by what its id is made of.
    ids: HashMap<(Origin, u64), Vec<u8>>,
}

impl Reader {
    fn new(paths: &[&str]) -> Self {
        Self::with(paths, |_| {})
    }

    fn with(paths: &[&str], options: impl FnOnce(&mut Config)) -> Self {
        Self::build(paths, true, options)
    }

    fn build(paths: &[&str], inotify: bool, options: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths.iter().map(|path| text_in(&folder, path)).collect();
        let mut config = Config { paths, ..Config::default() };
        options(&mut config);
        config.exclude = config.exclude.iter().map(|path| text_in(&folder, path)).collect();
        let disk = SimDisk::new();
        let registry = Registry::open(Arc::new(disk.clone())).unwrap().0;
        Self {
            folder,
            config,
            inotify,
            batch_bytes: 64 << 10,
            disk,
            registry,
            input: None,
            now: Instant::now(),
            batch: Batch::new(),
            acknowledges: true,
            held: Vec::new(),
            queued: Vec::new(),
            seen: Vec::new(),
            ids: HashMap::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let file = OpenOptions::new().append(true).create(true).open(self.path(name));
        file.unwrap().write_all(text.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn cut(&self, name: &str) {
        OpenOptions::new().write(true).open(self.path(name)).unwrap().set_len(0).unwrap();
    }

    /// As if it had been written to last so long ago.
    fn age(&self, name: &str, age: Duration) {
        let then = SystemTime::now() - age;
        File::open(self.path(name)).unwrap().set_times(FileTimes::new().set_modified(then)).unwrap();
    }

    fn input(&mut self) -> &mut FileInput {
        if self.input.is_none() {
            let context = InputContext {
                name: "in".to_owned(),
                registry: self.registry.clone(),
                host: "h".to_owned(),
                batch_bytes: self.batch_bytes,
                sockets: Arc::default(),
            };
            self.input = Some(self.config.build_with(context, self.inotify).unwrap());
            self.now = self.now.max(Instant::now());
        }
        self.input.as_mut().unwrap()
    }

    /// Reads once; says whether something came.
    fn read(&mut self) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        self.input().watch.woken();
        self.now = self.now.max(Instant::now());
        let now = self.now;
        let filled = self.input().fill(&mut batch, now).unwrap();
        self.take(&mut batch);
        self.batch = batch;
        filled
    }

    /// Takes the events out of a batch.
    fn take(&mut self, batch: &mut Batch) {
        for event in batch.events() {
            let common = &event.run().unwrap().common;
            let path = match event.get(&Field::of(["log", "file", "path"])) {
                Some(Value::Str(path)) => String::from_utf8_lossy(&path).into_owned(),
                other => panic!("{other:?} is no path"),
            };
            let seen = Seen {
                line: event.message().into_owned(),
                origin: common.origin(),
                position: event.position(),
                path,
                truncated: event.get(&Field::of(["log", "flags"])).is_some(),
            };
            let first = self.ids.entry((seen.origin, seen.position)).or_insert_with(|| seen.line.clone());
            assert_eq!(show(first), show(&seen.line), "two events with one id");
            self.seen.push(seen);
        }
        let ranges = batch.runs().iter().map(|run| {
            let Origin { id, generation } = run.common.origin();
            Positions { origin: id, generation, from: run.from, to: run.to, mark: run.mark }
        });
        let ranges = ranges.collect();
        self.held.push((batch.acks.take(), ranges));
        if self.acknowledges {
            self.acknowledge();
        }
    }

    fn acknowledge(&mut self) {
        for (mut acks, ranges) in self.held.drain(..) {
            acks.done();
            self.queued.extend(ranges);
        }
    }

    /// Looks once, patterns included.
    fn look(&mut self) {
        self.now += self.config.scan_interval.0;
        self.read();
    }

    /// Every event that comes until there was none for so long.
    fn events_for(&mut self, quiet: Duration) -> Vec<Seen> {
        self.input();
        let mut until = self.now + quiet;
        while self.now < until {
            if self.read() {
                until = self.now + quiet;
            } else {
                self.now += STEP;
            }
        }
        std::mem::take(&mut self.seen)
    }

    fn events(&mut self) -> Vec<Seen> {
        self.events_for(QUIET)
    }

    fn lines_for(&mut self, quiet: Duration) -> Vec<String> {
        self.events_for(quiet).iter().map(|seen| show(&seen.line)).collect()
    }

    fn lines(&mut self) -> Vec<String> {
        self.lines_for(QUIET)
    }

    /// Checks that exactly these lines come, and none after.
    #[track_caller]
    fn expect(&mut self, expected: &[Range<usize>]) {
        let expected: Vec<String> = expected.iter().cloned().flat_map(all).collect();
        let found = self.lines();
        let same = found.iter().zip(&expected).take_while(|(found, expected)| found == expected).count();
        assert_eq!(found[same..], expected[same..], "after {same} lines as expected");
    }

    /// Ends it in order; the next look starts it again.
    fn stop(&mut self) {
        let stop = Stop::new();
        stop.set();
        let mut batch = Batch::new();
        assert_eq!(self.input().next(&mut batch, &stop).unwrap(), Next::Stopped);
        self.registry.flush().unwrap();
        self.input = None;
        self.open_registry(self.disk.kill());
    }

    /// Ends it at once: what was not acknowledged is read again by the next.
    fn kill(&mut self) {
        self.input = None;
        self.held.clear();
        self.open_registry(self.disk.crash(7));
        self.registry.restore(self.queued.iter().copied());
    }

    fn open_registry(&mut self, disk: SimDisk) {
        self.disk = disk;
        self.registry = Registry::open(Arc::new(self.disk.clone())).unwrap().0;
    }

    fn end(&mut self, kills: bool) {
        if kills { self.kill() } else { self.stop() }
    }

    /// Waits until every file rests.
    #[track_caller]
    fn rest(&mut self) {
        assert_eq!(self.lines_for(4 * QUIET), [""; 0]);
        assert!(self.input().watch.awake().is_empty());
    }

    /// How many files are open now.
    fn open(&mut self) -> usize {
        self.input().watch.files().iter().filter(|file| file.file.is_some()).count()
    }
}

fn text_in(folder: &TempDir, path: &str) -> String {
    folder.path().join(path).to_str().unwrap().to_owned()
}

fn show(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// Numbered lines.
fn all(numbers: Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("line {n:06} of the log")).collect()
}

/// Numbered lines, as a file has them.
fn text(numbers: Range<usize>) -> String {
    all(numbers).join("\n") + "\n"
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

// Rotation by rename.

#[test]
fn a_file_is_renamed_and_another_takes_its_name() {
    for inotify in [true, false] {
        for pattern in ["app.log", "app.log*"] {
            let mut reader = Reader::build(&[pattern], inotify, |config| config.rotate_wait = Time(MINUTE));
            reader.append("app.log", text(0..3));
            reader.expect(&[0..3]);
            let mut late = OpenOptions::new().append(true).open(reader.path("app.log")).unwrap();
            reader.append("app.log", text(3..4));
            reader.rename("app.log", "app.log.1");
            reader.append("app.log", text(5..6));
            reader.expect(&[3..4, 5..6]);
            // Who had it open goes on writing.
            late.write_all(text(4..5).as_bytes()).unwrap();
            reader.expect(&[4..5]);
            reader.append("app.log", text(6..7));
            reader.expect(&[6..7]);
        }
    }
}

#[test]
fn a_renamed_file_keeps_its_path_and_its_origin_in_the_events() {
    let mut reader = Reader::new(&["app.log"]);
    reader.append("app.log", text(0..1));
    let before = reader.events();
    reader.append("app.log", text(1..2));
    reader.rename("app.log", "app.log.1");
    reader.append("app.log", text(2..3));
    let after = reader.events();
    assert_eq!((&after[0].path, after[0].origin), (&before[0].path, before[0].origin));
    assert_eq!(after[1].path, before[0].path);
    assert_ne!(after[1].origin, before[0].origin);
}

#[test]
fn rotated_again_and_again_while_it_is_read() {
    let mut reader = Reader::new(&["app.log"]);
    let log = reader.path("app.log");
    // Of a name that was never seen, nobody looks for what became of its files.
    reader.append("app.log", text(0..20));
    reader.expect(&[0..20]);
    let writer = std::thread::spawn(move || {
        for n in 1..200 {
            let mut file = OpenOptions::new().append(true).create(true).open(&log).unwrap();
            file.write_all(text(n * 20..n * 20 + 10).as_bytes()).unwrap();
            fs::rename(&log, log.with_extension(format!("log.{n}"))).unwrap();
            // The old name is no hindrance.
            file.write_all(text(n * 20 + 10..n * 20 + 20).as_bytes()).unwrap();
        }
    });
    while !writer.is_finished() {
        reader.look();
    }
    writer.join().unwrap();
    let mut lines: Vec<String> = reader.seen.drain(..).map(|seen| show(&seen.line)).collect();
    lines.extend(reader.lines());
    assert_eq!(sorted(lines), all(20..4_000));
}

#[test]
fn rotated_ten_times_while_down_the_oldest_is_read_first() {
    for kills in [false, true] {
        for seconds in [0, 1] {
            for pattern in ["app.log", "app.log*"] {
                let mut reader = Reader::new(&[pattern]);
                reader.append("app.log", text(0..3));
                reader.age("app.log", MINUTE);
                reader.expect(&[0..3]);
                reader.end(kills);
                reader.append("app.log", text(3..5));
                for n in 1..=10 {
                    for old in (1..n).rev() {
                        reader.rename(&format!("app.log.{old}"), &format!("app.log.{}", old + 1));
                    }
                    reader.rename("app.log", "app.log.1");
                    reader.append("app.log", text(n * 5..n * 5 + 5));
                }
                for n in 1..=10_u64 {
                    let age = Duration::from_millis(n * (20 + 1_000 * seconds));
                    reader.age(&format!("app.log.{n}"), age);
                }
                reader.expect(&[3..55]);
                reader.end(kills);
                reader.append("app.log", text(55..56));
                reader.expect(&[55..56]);
            }
        }
    }
}

#[test]
fn rotated_while_down_and_packed_once_read() {
    let mut reader = Reader::new(&["app.log"]);
    reader.append("app.log", text(0..3));
    reader.expect(&[0..3]);
    reader.rename("app.log", "app.log.1");
    reader.append("app.log.1", text(3..4));
    reader.expect(&[3..4]);
    reader.rename("app.log.1", "app.log.1.gz");
    reader.append("app.log", text(4..5));
    reader.expect(&[4..5]);
    reader.stop();
    reader.append("app.log", text(5..6));
    reader.expect(&[5..6]);
}

// Copied and cut.

#[test]
fn copied_and_cut() {
    for inotify in [true, false] {
        for pattern in ["app.log", "app.log*"] {
            let mut reader = Reader::build(&[pattern], inotify, |_| {});
            reader.append("app.log", text(0..3));
            reader.expect(&[0..3]);
            // What nobody read yet is in the copy.
            reader.append("app.log", text(3..5));
            reader.copy("app.log", "app.log.1");
            reader.cut("app.log");
            reader.append("app.log", text(5..6));
            assert_eq!(sorted(reader.lines()), all(3..6), "{inotify} {pattern}");
            reader.copy("app.log", "app.log.2");
            reader.cut("app.log");
            reader.append("app.log", text(6..7));
            reader.expect(&[6..7]);
            assert_eq!(reader.lines_for(2 * MINUTE), [""; 0]);
            reader.stop();
            reader.append("app.log", text(7..8));
            reader.expect(&[7..8]);
        }
    }
}

#[test]
fn copied_and_cut_while_nobody_looks() {
    for kills in [false, true] {
        for pattern in ["app.log", "app.log*"] {
            let mut reader = Reader::new(&[pattern]);
            reader.append("app.log", text(0..3));
            reader.expect(&[0..3]);
            reader.end(kills);
            reader.append("app.log", text(3..5));
            reader.copy("app.log", "app.log.1");
            reader.cut("app.log");
            reader.append("app.log", text(5..8));
            assert_eq!(sorted(reader.lines()), all(3..8), "{kills} {pattern}");
            assert_eq!(reader.lines_for(2 * MINUTE), [""; 0]);
        }
    }
}

#[test]
fn a_copy_is_looked_at_while_it_is_made() {
    for pattern in ["app.log", "app.log*"] {
        let mut reader = Reader::new(&[pattern]);
        reader.append("app.log", text(0..200));
        reader.expect(&[0..200]);
        reader.append("app.log", text(200..300));
        let whole = fs::read(reader.path("app.log")).unwrap();
        for part in whole.chunks(whole.len() / 3) {
            reader.append("app.log.1", part);
            reader.look();
            reader.look();
        }
        reader.cut("app.log");
        reader.append("app.log", text(300..301));
        assert_eq!(sorted(reader.lines()), all(200..301), "{pattern}");
        assert_eq!(reader.lines_for(2 * MINUTE), [""; 0]);
    }
}

#[test]
fn a_backup_without_a_cut_is_never_read() {
    for kills in [None, Some(false), Some(true)] {
        let mut reader = Reader::new(&["access.log"]);
        reader.append("access.log", text(0..50));
        reader.expect(&[0..50]);
        reader.copy("access.log", "access.log.bak");
        if let Some(kills) = kills {
            reader.end(kills);
        }
        assert_eq!(reader.lines_for(2 * MINUTE), [""; 0]);
        reader.append("access.log", text(50..51));
        reader.expect(&[50..51]);
        reader.end(kills.unwrap_or_default());
        reader.append("access.log", text(51..52));
        reader.expect(&[51..52]);
        assert_eq!(reader.lines_for(2 * MINUTE), [""; 0]);
    }
}

#[test]
fn copied_and_cut_before_its_lines_are_acknowledged() {
    let mut reader = Reader::new(&["app.log"]);
    reader.append("app.log", text(0..3));
    reader.expect(&[0..3]);
    reader.acknowledges = false;
    reader.append("app.log", text(3..6));
    reader.expect(&[3..6]);
    reader.copy("app.log", "app.log.1");
    reader.cut("app.log");
    reader.append("app.log", text(6..8));
    reader.expect(&[6..8]);
    reader.kill();
    reader.acknowledges = true;
    // These were never safe: they come again, from the copy and from the file.
    assert_eq!(sorted(reader.lines()), all(3..8));
}

// Cut without a copy.

/// Cuts and writes anew, in one of these states: looked at in between, closed, down.
fn cut_and_written_anew(old: usize, anew: usize) {
    for state in ["followed", "resting", "closed", "stopped", "killed"] {
        for inotify in [true, false] {
            let mut reader = Reader::build(&["app.log"], inotify, |config| {
                config.close_inactive = Time(if state == "closed" { QUIET } else { 10 * MINUTE });
            });
            reader.append("app.log", text(0..old));
            reader.age("app.log", MINUTE);
            reader.expect(&[0..old]);
            match state {
                "resting" => reader.rest(),
                "closed" => {
                    reader.rest();
                    assert_eq!(reader.open(), 0);
                }
                "stopped" => reader.stop(),
                "killed" => reader.kill(),
                _ => {}
            }
            reader.cut("app.log");
            reader.append("app.log", text(500..500 + anew));
            let events = reader.events();
            let lines: Vec<String> = events.iter().map(|seen| show(&seen.line)).collect();
            assert_eq!(lines, all(500..500 + anew), "{state} {inotify}");
            assert_eq!((events[0].position, events[0].origin.generation), (0, 1), "{state}");
        }
    }
}

#[test]
fn a_file_cut_and_written_little_is_read_anew() {
    cut_and_written_anew(10, 1);
}

#[test]
fn a_file_cut_and_written_to_the_same_length_is_read_anew() {
    cut_and_written_anew(10, 10);
}

#[test]
fn a_file_cut_and_grown_past_the_old_offset_is_read_anew() {
    cut_and_written_anew(10, 40);
}

#[test]
fn a_file_of_one_line_cut_and_grown_past_the_old_offset_is_read_anew() {
    cut_and_written_anew(1, 2);
}

#[test]
fn a_file_is_cut_while_its_lines_are_not_acknowledged() {
    let mut reader = Reader::new(&["app.log"]);
    reader.acknowledges = false;
    reader.append("app.log", text(0..5));
    reader.expect(&[0..5]);
    reader.cut("app.log");
    reader.append("app.log", text(5..6));
    reader.expect(&[5..6]);
    // What comes late says nothing of the file of today.
    reader.acknowledge();
    reader.kill();
    assert_eq!(reader.lines(), [""; 0]);
}

#[test]
fn a_file_of_which_nothing_was_safe_is_cut_and_written_anew() {
    let mut reader = Reader::new(&["app.log"]);
    reader.acknowledges = false;
    reader.append("app.log", text(0..5));
    reader.expect(&[0..5]);
    reader.held.clear();
    reader.cut("app.log");
    reader.append("app.log", text(5..15));
    // Some output may have the old lines: the new ones must not have their ids.
    reader.expect(&[5..15]);
}

#[test]
fn a_closed_file_grows_and_is_then_cut() {
    for inotify in [true, false] {
        let mut reader =
            Reader::build(&["app.log"], inotify, |config| config.close_inactive = Time(QUIET / 2));
        let close = |reader: &mut Reader| {
            reader.age("app.log", MINUTE);
            reader.rest();
            assert_eq!(reader.open(), 0);
        };
        reader.append("app.log", text(0..3));
        reader.expect(&[0..3]);
        close(&mut reader);
        reader.append("app.log", text(3..4));
        reader.expect(&[3..4]);
        close(&mut reader);
        reader.cut("app.log");
        reader.append("app.log", text(4..5));
        reader.expect(&[4..5]);
        close(&mut reader);
        reader.rename("app.log", "app.log.1");
        reader.append("app.log.1", text(5..6));
        reader.append("app.log", text(6..7));
        reader.expect(&[5..6, 6..7]);
    }
}

/// Lines are written, looked for, and rotated by every means, in random order.
fn whatever_happens(seed: u64) -> Result<(), String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let pattern = ["app.log", "app.log*"][random.usize(..2)];
    let mut reader = Reader::build(&[pattern], random.bool(), |config| {
        config.open_files_max = [0, 2][random.usize(..2)];
        config.close_inactive = Time([QUIET / 3, 10 * MINUTE][random.usize(..2)]);
    });
    let (mut written, mut rotated, mut lines, mut did) = (1, 0, Vec::new(), format!("{pattern}:"));
    // What was rotated before it was ever looked at is not ours.
    reader.append("app.log", text(0..1));
    reader.look();
    for _ in 0..random.usize(3..30) {
        let what = [
            "write", "write", "torn", "look", "read", "rest", "rename", "copy", "cut", "stop", "kill",
            "undone",
        ];
        let what = what[random.usize(..what.len())];
        let is_there = reader.path("app.log").exists();
        did = did + " " + what;
        match what {
            "write" | "torn" => {
                let n = random.usize(1..20);
                let text = text(written..written + n);
                let (first, second) =
                    text.split_at(if what == "torn" { random.usize(..text.len()) } else { 0 });
                reader.append("app.log", first);
                if !first.is_empty() {
                    [Reader::look, Reader::stop, Reader::kill][random.usize(..3)](&mut reader);
                }
                reader.append("app.log", second);
                written += n;
            }
            "look" => reader.look(),
            "read" => lines.extend(reader.lines()),
            "rest" if is_there => {
                reader.age("app.log", MINUTE);
                lines.extend(reader.lines_for(4 * QUIET));
            }
            "rename" if is_there => {
                rotated += 1;
                reader.rename("app.log", &format!("app.log.{rotated}"));
            }
            "copy" if is_there => {
                rotated += 1;
                reader.copy("app.log", &format!("app.log.{rotated}"));
                reader.cut("app.log");
            }
            "cut" if is_there => {
                lines.extend(reader.lines());
                reader.cut("app.log");
            }
            "stop" => reader.stop(),
            "kill" => reader.kill(),
            "undone" => {
                lines.extend(reader.seen.drain(..).map(|seen| show(&seen.line)));
                reader.acknowledges = false;
                reader.look();
                reader.acknowledges = true;
                // All of that must come again. It is in no queue: nobody knows its ids.
                for seen in reader.seen.drain(..) {
                    reader.ids.remove(&(seen.origin, seen.position));
                }
                if random.bool() { reader.kill() } else { reader.held.clear() }
            }
            _ => {}
        }
    }
    lines.extend(reader.lines());
    lines.extend(reader.lines_for(2 * MINUTE));
    let lines = sorted(lines);
    if lines == all(0..written) {
        return Ok(());
    }
    let lost: Vec<_> =
        all(0..written).into_iter().filter(|line| lines.binary_search(line).is_err()).collect();
    Err(format!("{seed} {did}: {} lines of {written}, lost {lost:?}", lines.len()))
}

#[test]
fn whatever_happens_each_line_comes_once() {
    let mut failed: Vec<String> = (0..150).filter_map(|seed| whatever_happens(seed).err()).collect();
    failed.sort_by_key(String::len);
    assert!(failed.is_empty(), "{} failed: {:#?}", failed.len(), &failed[..failed.len().min(8)]);
}

// Which file is which.

/// Removes a file and makes another that gets its inode; whether that came about.
fn take_inode(reader: &Reader, name: &str, text: &str) -> bool {
    let inode = fs::metadata(reader.path(name)).unwrap().ino();
    reader.remove(name);
    for n in 0..50 {
        reader.append(name, text);
        if fs::metadata(reader.path(name)).unwrap().ino() == inode {
            return true;
        }
        reader.rename(name, &format!("other{n}"));
    }
    false
}

#[test]
fn an_inode_is_used_again() {
    for anew in [1, 3, 30] {
        for state in ["closed", "stopped", "killed"] {
            let mut reader = Reader::with(&["app.log"], |config| config.close_inactive = Time(QUIET / 2));
            reader.append("app.log", text(0..3));
            reader.age("app.log", MINUTE);
            reader.expect(&[0..3]);
            reader.rest();
            assert_eq!(reader.open(), 0);
            match state {
                "stopped" => reader.stop(),
                "killed" => reader.kill(),
                _ => {}
            }
            // Not every file system uses it again.
            if take_inode(&reader, "app.log", &text(500..500 + anew)) {
                reader.expect(&[500..500 + anew]);
            }
        }
    }
}

/// The same content under another inode, as on a network file system or out of a backup.
fn replace_by_copy(reader: &Reader, name: &str) {
    reader.copy(name, "elsewhere");
    reader.remove(name);
    reader.rename("elsewhere", name);
}

#[test]
fn a_file_has_another_inode_than_before() {
    for lines in [2, 30, 300] {
        for state in ["open", "closed", "stopped", "killed"] {
            let mut reader = Reader::with(&["*.log"], |config| config.close_inactive = Time(QUIET / 2));
            reader.append("app.log", text(0..lines));
            reader.age("app.log", MINUTE);
            reader.expect(&[0..lines]);
            match state {
                "closed" => reader.rest(),
                "stopped" => reader.stop(),
                "killed" => {
                    reader.rest();
                    reader.kill();
                }
                _ => {}
            }
            replace_by_copy(&reader, "app.log");
            reader.append("app.log", text(lines..lines + 2));
            reader.expect(&[lines..lines + 2]);
            // And it is known by the new one from then on.
            reader.stop();
            reader.append("app.log", text(lines + 2..lines + 3));
            reader.expect(&[lines + 2..lines + 3]);
        }
    }
}

#[test]
fn a_file_has_another_inode_and_what_was_not_read_of_it_before() {
    for kills in [false, true] {
        let mut reader = Reader::new(&["app.log"]);
        reader.append("app.log", text(0..50));
        reader.age("app.log", MINUTE);
        reader.expect(&[0..50]);
        reader.rest();
        reader.append("app.log", text(50..60));
        reader.end(kills);
        replace_by_copy(&reader, "app.log");
        reader.expect(&[50..60]);
    }
}

#[test]
fn another_file_of_the_same_name_is_not_the_one_before() {
    for (name, old) in [("same beginning", 0..1), ("as long", 100..150), ("longer", 100..200)] {
        let mut reader = Reader::new(&["app.log"]);
        reader.append("app.log", text(0..50));
        reader.age("app.log", MINUTE);
        reader.expect(&[0..50]);
        reader.rest();
        reader.stop();
        // The name is taken by a file of its own, and the one of then is beside it.
        reader.rename("app.log", "app.log.1");
        reader.append("app.log", text(old.clone()));
        assert_eq!(reader.lines(), all(old.clone()), "{name}");
        // Or it is gone.
        reader.stop();
        reader.remove("app.log");
        reader.append("app.log", text(300..350));
        assert_eq!(reader.lines(), all(300..350), "{name}");
    }
}

#[test]
fn files_that_begin_with_the_same_banner() {
    let banner = format!("{}\n", "=".repeat(4_095));
    let mut reader = Reader::new(&["*.log"]);
    for n in 0..3 {
        reader.append(&format!("{n}.log"), format!("{banner}{}", text(n..n + 1)));
    }
    let banners = vec![banner.trim_end().to_owned(); 3];
    assert_eq!(sorted(reader.lines()), [banners.clone(), all(0..3)].concat());
    reader.stop();
    for n in 0..3 {
        reader.append(&format!("{n}.log"), text(n + 3..n + 4));
    }
    assert_eq!(sorted(reader.lines()), all(3..6));
    // Each day's file begins so.
    reader.rename("0.log", "0.log.1");
    reader.append("0.log", format!("{banner}{}", text(6..7)));
    assert_eq!(sorted(reader.lines()), [banners[..1].to_vec(), all(6..7)].concat());
    reader.stop();
    reader.rename("0.log", "0.log.2");
    reader.append("0.log", format!("{banner}{}", text(7..8)));
    assert_eq!(sorted(reader.lines()), [banners[..1].to_vec(), all(7..8)].concat());
}

#[test]
fn a_short_file_is_read_at_once_and_removed() {
    let mut reader = Reader::new(&["*.log"]);
    reader.append("a.log", "ten bytes\n");
    assert_eq!(reader.lines_for(STEP), ["ten bytes"]);
    reader.remove("a.log");
    assert_eq!(reader.lines(), [""; 0]);
    assert_eq!(reader.registry.known("in"), []);
    reader.append("a.log", "ten more.\n");
    assert_eq!(reader.lines_for(STEP), ["ten more."]);
}

#[test]
fn an_empty_line_is_the_whole_file() {
    let mut reader = Reader::new(&["*.log"]);
    reader.append("a.log", "\n");
    reader.append("b.log", "\n");
    assert_eq!(reader.lines(), ["", ""]);
    reader.stop();
    reader.append("a.log", text(0..1));
    reader.append("b.log", text(1..2));
    assert_eq!(sorted(reader.lines()), all(0..2));
}

#[test]
fn a_link_is_pointed_at_another_file() {
    for pattern in ["current.log", "*.log"] {
        let mut reader = Reader::new(&[pattern]);
        reader.append("1.log", text(0..2));
        symlink(reader.path("1.log"), reader.path("current.log")).unwrap();
        reader.expect(&[0..2]);
        reader.append("1.log", text(2..3));
        reader.append("2.log", text(3..4));
        symlink(reader.path("2.log"), reader.path("next")).unwrap();
        reader.rename("next", "current.log");
        assert_eq!(sorted(reader.lines()), all(2..4));
        reader.stop();
        reader.append("2.log", text(4..5));
        reader.expect(&[4..5]);
    }
}

#[test]
fn a_link_leads_nowhere_and_then_to_a_file() {
    let mut reader = Reader::new(&["current.log"]);
    symlink(reader.path("later"), reader.path("current.log")).unwrap();
    assert_eq!(reader.lines(), [""; 0]);
    reader.append("later", text(0..1));
    reader.expect(&[0..1]);
}

#[test]
fn a_file_with_two_names_is_read_once() {
    let mut reader = Reader::new(&["*.log"]);
    reader.append("a.log", text(0..2));
    fs::hard_link(reader.path("a.log"), reader.path("b.log")).unwrap();
    reader.expect(&[0..2]);
    reader.append("b.log", text(2..3));
    reader.expect(&[2..3]);
    reader.remove("a.log");
    reader.append("b.log", text(3..4));
    reader.expect(&[3..4]);
    reader.stop();
    reader.append("b.log", text(4..5));
    reader.expect(&[4..5]);
}

#[test]
fn several_patterns_match_the_same_file() {
    let mut reader = Reader::new(&["*.log", "a*", "a.log", "**/a.log"]);
    reader.append("a.log", text(0..3));
    reader.expect(&[0..3]);
}

#[test]
fn excluded_files_are_left_alone() {
    let mut reader = Reader::with(&["**/*.log"], |config| config.exclude = vec!["**/debug*".to_owned()]);
    fs::create_dir_all(reader.path("a/b")).unwrap();
    reader.append("a/b/debug.log", text(0..3));
    reader.append("a/b/app.log", text(3..5));
    reader.append("a/debug.log", text(5..6));
    reader.append("a/app.txt", text(6..7));
    reader.append("top.log", text(7..8));
    assert_eq!(sorted(reader.lines()), [all(3..5), all(7..8)].concat());
}

#[test]
fn a_folder_appears_later() {
    for pattern in ["later/*.log", "later/deep/app.log", "**/*.log", "l*/**/*.log"] {
        for inotify in [true, false] {
            let mut reader = Reader::build(&[pattern], inotify, |_| {});
            assert_eq!(reader.lines(), [""; 0]);
            fs::create_dir_all(reader.path("later/deep")).unwrap();
            reader.look();
            let name = if pattern == "later/*.log" { "later/app.log" } else { "later/deep/app.log" };
            reader.append(name, text(0..2));
            reader.expect(&[0..2]);
            fs::remove_dir_all(reader.path("later")).unwrap();
            assert_eq!(reader.lines(), [""; 0]);
            fs::create_dir_all(reader.path("later/deep")).unwrap();
            reader.append(name, text(2..3));
            reader.expect(&[2..3]);
            reader.rename("later", "moved.d");
            fs::create_dir_all(reader.path("later/deep")).unwrap();
            reader.append(name, text(3..4));
            reader.expect(&[3..4]);
            reader.append(name, text(4..5));
            assert_eq!(reader.lines_for(if inotify { STEP } else { QUIET }), all(4..5));
        }
    }
}

#[test]
fn a_file_that_may_not_be_read_is_told_and_read_later() {
    use std::os::unix::fs::PermissionsExt;
    let mut reader = Reader::new(&["*.log"]);
    reader.append("closed.log", text(0..2));
    reader.append("open.log", text(2..3));
    let may =
        |mode| fs::set_permissions(reader.path("closed.log"), fs::Permissions::from_mode(mode)).unwrap();
    may(0o000);
    if File::open(reader.path("closed.log")).is_ok() {
        // Root reads everything.
        return;
    }
    reader.expect(&[2..3]);
    assert_eq!(reader.registry.unreadable()[0].path, text_in(&reader.folder, "closed.log"));
    fs::set_permissions(reader.path("closed.log"), fs::Permissions::from_mode(0o600)).unwrap();
    reader.expect(&[0..2]);
    assert_eq!(reader.registry.unreadable(), []);
}

// Where it begins.

#[test]
fn it_starts_at_the_end_only_of_what_is_there_first() {
    let mut reader = Reader::with(&["*.log"], |config| config.start_at = StartAt::End);
    reader.append("a.log", text(0..3));
    assert_eq!(reader.lines(), [""; 0]);
    reader.append("a.log", text(3..4));
    reader.expect(&[3..4]);
    reader.append("b.log", text(4..5));
    reader.expect(&[4..5]);
    reader.stop();
    reader.append("a.log", text(5..6));
    reader.expect(&[5..6]);
}

#[test]
fn it_starts_at_the_end_of_half_a_line() {
    let mut reader = Reader::with(&["*.log"], |config| config.start_at = StartAt::End);
    reader.append("a.log", "half a ");
    assert_eq!(reader.lines(), [""; 0]);
    reader.append("a.log", "line\n");
    assert_eq!(reader.lines(), ["line"]);
}

#[test]
fn what_is_too_old_is_left_alone_until_it_grows() {
    let mut reader = Reader::with(&["*.log"], |config| config.ignore_older = Some(Time(MINUTE)));
    reader.append("old.log", text(0..3));
    reader.age("old.log", 2 * MINUTE);
    reader.append("new.log", text(3..4));
    reader.expect(&[3..4]);
    reader.append("old.log", text(4..5));
    reader.expect(&[4..5]);
}

// Lines.

#[test]
fn half_a_line_waits_for_its_other_half() {
    for state in ["followed", "resting", "closed", "stopped", "killed"] {
        for inotify in [true, false] {
            let mut reader = Reader::build(&["a.log"], inotify, |config| {
                config.close_inactive = Time(if state == "closed" { QUIET } else { 10 * MINUTE });
            });
            reader.append("a.log", "one\ntw");
            reader.age("a.log", MINUTE);
            assert_eq!(reader.lines(), ["one"]);
            match state {
                "stopped" => reader.stop(),
                "killed" => reader.kill(),
                "followed" => {}
                _ => {
                    reader.rest();
                    assert_eq!(reader.open(), usize::from(state == "resting"));
                }
            }
            assert_eq!(reader.lines(), [""; 0]);
            reader.append("a.log", "o\nthree\n");
            let events = reader.events();
            let found: Vec<_> = events.iter().map(|seen| (show(&seen.line), seen.position)).collect();
            assert_eq!(found, [("two".to_owned(), 4), ("three".to_owned(), 8)], "{state}");
        }
    }
}

#[test]
fn half_a_line_is_the_end_of_a_file_that_is_removed() {
    for (end, lines) in [("tw", vec!["one", "two"]), ("two\nthree", vec!["one", "two", "three"])] {
        let mut reader = Reader::new(&["a.log"]);
        reader.append("a.log", "one\n");
        assert_eq!(reader.lines(), ["one"]);
        reader.append("a.log", end);
        reader.look();
        reader.remove("a.log");
        let found = reader.lines();
        assert_eq!(found.len(), lines.len() - 1);
        assert!(found.iter().zip(&lines[1..]).all(|(found, line)| line.starts_with(found)));
        assert_eq!(reader.lines(), [""; 0]);
    }
}

#[test]
fn half_a_line_is_the_end_of_a_file_that_is_rotated() {
    let mut reader = Reader::new(&["a.log"]);
    reader.append("a.log", "one\ntw");
    assert_eq!(reader.lines(), ["one"]);
    reader.rename("a.log", "a.log.1");
    reader.append("a.log", "three\n");
    assert_eq!(sorted(reader.lines()), ["three", "tw"]);
    reader.stop();
    assert_eq!(reader.lines(), [""; 0]);
}

#[test]
fn lines_that_end_with_a_return_at_any_place_of_a_batch() {
    let mut reader = Reader::new(&["a.log"]);
    reader.batch_bytes = 1_024;
    let lines: Vec<String> = (0..3_000).map(|n| "é".repeat(n % 37)).collect();
    let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let (mut at, mut found) = (0, Vec::new());
    for n in 0.. {
        let to = (at + 1 + n % 2_000).min(text.len());
        reader.append("a.log", &text.as_bytes()[at..to]);
        reader.look();
        at = to;
        if at == text.len() {
            break;
        }
    }
    found.extend(reader.lines());
    assert_eq!(found, lines);
}

#[test]
fn bytes_that_are_no_text_are_kept() {
    let mut reader = Reader::new(&["a.log"]);
    let lines: [&[u8]; 4] = [b"\xff\xfe\x00\xc3(", b"\x00\x00\x00", b"a\x00b\xe2\x82", b"\xed\xa0\x80"];
    reader.append("a.log", [lines.join(&b'\n'), b"\n".to_vec()].concat());
    let found: Vec<Vec<u8>> = reader.events().into_iter().map(|seen| seen.line).collect();
    assert_eq!(found, lines);
}

/// A file of which a stretch was never written.
fn leave_hole(reader: &Reader, name: &str, before: &str, hole: u64, after: &str) {
    let file = File::create(reader.path(name)).unwrap();
    file.write_all_at(before.as_bytes(), 0).unwrap();
    file.set_len(before.len() as u64 + hole).unwrap();
    file.write_all_at(after.as_bytes(), before.len() as u64 + hole).unwrap();
}

#[test]
fn a_long_hole_is_passed_over() {
    let mut reader = Reader::new(&["a.log"]);
    leave_hole(&reader, "a.log", &text(0..2), 1 << 30, &text(2..4));
    let events = reader.events();
    let lines: Vec<String> =
        events.iter().map(|seen| show(&seen.line).trim_start_matches('\0').to_owned()).collect();
    assert_eq!(lines, all(0..4));
    // What is left of the hole is less than a page.
    assert!(events.iter().all(|seen| seen.line.len() < 5_000 && !seen.truncated), "{}", events[2].line.len());
    reader.append("a.log", text(4..5));
    reader.expect(&[4..5]);
    reader.stop();
    reader.append("a.log", text(5..6));
    reader.expect(&[5..6]);
}

#[test]
fn it_is_killed_behind_a_hole() {
    let mut reader = Reader::new(&["a.log"]);
    leave_hole(&reader, "a.log", &text(0..2), 1 << 30, &text(2..4));
    // The lines, and the hole.
    assert!(reader.read() && reader.read());
    assert_eq!(reader.seen.drain(..).map(|seen| show(&seen.line)).collect::<Vec<_>>(), all(0..2));
    reader.kill();
    let lines: Vec<String> =
        reader.lines().iter().map(|line| line.trim_start_matches('\0').to_owned()).collect();
    assert_eq!(lines, all(2..4));
}

#[test]
fn a_hole_at_the_end_is_waited_for() {
    let mut reader = Reader::new(&["a.log"]);
    leave_hole(&reader, "a.log", &text(0..2), 1 << 30, "");
    reader.expect(&[0..2]);
    reader.append("a.log", text(2..3));
    let lines = reader.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].trim_start_matches('\0'), all(2..3)[0]);
}

#[test]
fn a_file_is_cut_under_a_writer_that_does_not_append() {
    let mut reader = Reader::new(&["a.log"]);
    let file = File::create(reader.path("a.log")).unwrap();
    file.write_all_at(text(0..1_000).as_bytes(), 0).unwrap();
    reader.expect(&[0..1_000]);
    reader.copy("a.log", "a.log.1");
    reader.cut("a.log");
    // It writes on where it was: a hole is before it.
    let at = text(0..1_000).len() as u64;
    file.write_all_at(text(1_000..1_002).as_bytes(), at).unwrap();
    let lines: Vec<String> =
        reader.lines().into_iter().map(|line| line.trim_start_matches('\0').to_owned()).collect();
    assert_eq!(lines, all(1_000..1_002));
}

#[test]
fn a_huge_line_is_cut_within_little_memory() {
    const LIMIT: usize = 64 << 10;
    let mut reader = Reader::with(&["a.log"], |config| config.line_bytes_max = Bytes(LIMIT as u64));
    let huge = "x".repeat(1 << 20);
    reader.append("a.log", "first\n");
    for _ in 0..64 {
        reader.append("a.log", &huge);
    }
    reader.append("a.log", "\nlast\n");
    let events = reader.events();
    let found: Vec<_> = events.iter().map(|seen| (seen.line.len(), seen.position, seen.truncated)).collect();
    assert_eq!(found, [(5, 0, false), (LIMIT, 6, true), (4, 6 + (64 << 20) + 1, false)]);
    assert!(reader.batch.capacity() < 16 * LIMIT, "{}", reader.batch.capacity());
}

#[test]
fn a_huge_line_is_passed_over_after_a_restart_within_it() {
    for kills in [false, true] {
        let mut reader = Reader::with(&["a.log"], |config| config.line_bytes_max = Bytes(1_000));
        reader.append("a.log", "x".repeat(300_000));
        let lines = reader.lines();
        assert_eq!((lines.len(), lines[0].len()), (1, 1_000));
        reader.end(kills);
        reader.append("a.log", format!("{}\nnext\n", "x".repeat(300_000)));
        assert_eq!(reader.lines(), ["next"], "the rest of the line is no event");
    }
}

// Groups of lines.

fn stack_traces(config: &mut Config) {
    let multiline = r#"{"pattern":"^ ","match":"after","timeout":"30s"}"#;
    config.multiline = Some(serde_json::from_str(multiline).unwrap());
}

#[test]
fn a_group_is_split_by_a_restart() {
    for kills in [false, true] {
        let mut reader = Reader::with(&["a.log"], stack_traces);
        reader.append("a.log", "one\ntwo\n at a\n");
        assert_eq!(reader.lines(), ["one"]);
        reader.end(kills);
        reader.append("a.log", " at b\n");
        assert_eq!(reader.lines(), [""; 0]);
        reader.append("a.log", "three\n");
        assert_eq!(reader.lines(), ["two\n at a\n at b"]);
        assert_eq!(reader.lines_for(MINUTE), ["three"]);
    }
}

#[test]
fn a_group_is_split_by_rotation() {
    let mut reader = Reader::with(&["a.log"], stack_traces);
    reader.append("a.log", "one\ntwo\n at a\n");
    assert_eq!(reader.lines(), ["one"]);
    reader.rename("a.log", "a.log.1");
    reader.append("a.log", "three\n");
    // Whoever had it open finishes what was begun.
    reader.append("a.log.1", " at b\n");
    assert_eq!(reader.lines_for(MINUTE), ["two\n at a\n at b", "three"]);
}

#[test]
fn a_group_is_split_by_copy_and_cut() {
    let mut reader = Reader::with(&["a.log"], stack_traces);
    reader.append("a.log", "line one is long enough\ntwo\n at a\n");
    assert_eq!(reader.lines(), ["line one is long enough"]);
    reader.append("a.log", " at b\n");
    reader.copy("a.log", "a.log.1");
    reader.cut("a.log");
    reader.append("a.log", "three\n");
    assert_eq!(reader.lines_for(MINUTE), ["two\n at a\n at b", "three"]);
}

// What fails.

#[test]
fn a_file_that_gives_errors_is_told_and_read_later() {
    let mut reader = Reader::new(&["*.log"]);
    symlink("/proc/self/mem", reader.path("bad.log")).unwrap();
    reader.append("good.log", text(0..2));
    reader.expect(&[0..2]);
    let unreadable = reader.registry.unreadable();
    assert_eq!(unreadable[0].path, text_in(&reader.folder, "bad.log"));
    assert!(unreadable[0].reason.contains("os error 5"), "{unreadable:?}");
    reader.append("well", text(2..3));
    symlink(reader.path("well"), reader.path("next")).unwrap();
    reader.rename("next", "bad.log");
    reader.expect(&[2..3]);
    assert_eq!(reader.registry.unreadable(), []);
}

#[test]
fn an_error_while_reading_keeps_the_offset_and_waits() {
    let now = Instant::now();
    let identity = identity::Identity::default();
    let mut file = Followed::new(PathBuf::from("bad"), identity, Origin::default(), (0, 0), "h".into(), now);
    file.file = Some(File::open("/proc/self/mem").unwrap());
    let mut batch = Batch::new();
    assert!(file.read(&mut batch, 4_096, now).is_none());
    assert_eq!((file.offset(), file.was_cut, file.finished, batch.bytes().len()), (0, false, false, 0));
    assert!(file.error.is_some() && file.next_look > now);
    // The file system is well again.
    let mut good = tempfile::tempfile().unwrap();
    good.write_all(b"a line\n").unwrap();
    file.file = Some(good);
    assert_eq!(file.read(&mut batch, 4_096, now).unwrap().bytes, 7);
    assert_eq!(file.error, None);
}

#[test]
fn events_that_come_back_undone_are_read_again() {
    let mut reader = Reader::new(&["a.log"]);
    reader.append("a.log", text(0..3));
    reader.expect(&[0..3]);
    reader.acknowledges = false;
    reader.append("a.log", text(3..5));
    reader.expect(&[3..5]);
    reader.held.clear();
    reader.acknowledges = true;
    reader.expect(&[3..5]);
    reader.kill();
    assert_eq!(reader.lines(), [""; 0]);
}

// Many files.

#[test]
fn there_are_more_files_than_may_be_open() {
    for inotify in [true, false] {
        let mut reader = Reader::build(&["*.log"], inotify, |config| config.open_files_max = 8);
        for n in 0..64 {
            reader.append(&format!("{n}.log"), text(n..n + 1));
        }
        assert_eq!(sorted(reader.lines()), all(0..64));
        for n in 0..64 {
            reader.append(&format!("{n}.log"), text(n + 64..n + 65));
        }
        assert_eq!(sorted(reader.lines()), all(64..128));
        assert!(reader.open() <= 8);
        reader.stop();
        for n in 0..64 {
            reader.append(&format!("{n}.log"), text(n + 128..n + 129));
        }
        assert_eq!(sorted(reader.lines()), all(128..192));
    }
}

#[test]
fn ten_thousand_files_with_few_descriptors() {
    const FILES: usize = 10_000;
    let mut reader = Reader::with(&["*/*.log"], |config| config.open_files_max = 192);
    for folder in 0..10 {
        fs::create_dir(reader.path(&folder.to_string())).unwrap();
    }
    let name = |n: usize| format!("{}/{n}.log", n % 10);
    for n in 0..FILES {
        reader.append(&name(n), text(n..n + 1));
    }
    assert_eq!(sorted(reader.lines_for(STEP)), all(0..FILES));
    assert!(reader.open() <= 192);
    for n in (0..FILES).step_by(100) {
        reader.append(&name(n), text(FILES + n / 100..FILES + n / 100 + 1));
    }
    assert_eq!(sorted(reader.lines_for(STEP)), all(FILES..FILES + FILES / 100));
    reader.stop();
    reader.append(&name(77), text(0..1));
    assert_eq!(reader.lines_for(STEP), all(0..1));
    assert!(reader.open() <= 192);
}

#[test]
fn a_file_that_rests_is_woken() {
    for inotify in [true, false] {
        let mut reader = Reader::build(&["*.log"], inotify, |_| {});
        for n in 0..100 {
            reader.append(&format!("{n}.log"), text(n..n + 1));
            reader.age(&format!("{n}.log"), MINUTE);
        }
        assert_eq!(sorted(reader.lines()), all(0..100));
        reader.rest();
        reader.append("7.log", text(100..101));
        assert_eq!(reader.lines_for(if inotify { STEP } else { Duration::from_secs(2) }), all(100..101));
        assert_eq!(reader.input().watch.awake().len(), 1);
        reader.stop();
        assert_eq!(reader.lines(), [""; 0]);
    }
}

#[test]
fn more_happens_than_inotify_can_tell() {
    let mut reader = Reader::new(&["*.log"]);
    reader.append("a.log", text(0..1));
    reader.age("a.log", MINUTE);
    reader.expect(&[0..1]);
    reader.rest();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    let files = ["other", "another"].map(|name| File::create(reader.path(name)).unwrap());
    for n in 0..limit + 10 {
        // The same event twice in a row is told once.
        files[n % 2].write_all_at(b"x", 0).unwrap();
    }
    reader.append("a.log", text(1..2));
    assert_eq!(reader.lines_for(STEP), all(1..2));
}

#[test]
fn all_who_write_by_another_name_or_in_another_folder_are_heard() {
    let mut reader = Reader::new(&["in/*.log"]);
    for folder in ["in", "out"] {
        fs::create_dir(reader.path(folder)).unwrap();
    }
    for n in 0..3 {
        reader.append(&format!("out/{n}"), text(n..n + 1));
        reader.age(&format!("out/{n}"), MINUTE);
    }
    symlink(reader.path("out/0"), reader.path("in/0.log")).unwrap();
    fs::hard_link(reader.path("out/1"), reader.path("in/1.log")).unwrap();
    fs::hard_link(reader.path("out/2"), reader.path("in/2.log")).unwrap();
    fs::hard_link(reader.path("out/2"), reader.path("in/3.log")).unwrap();
    assert_eq!(sorted(reader.lines()), all(0..3));
    reader.rest();
    reader.append("in/3.log", text(5..6));
    assert_eq!(reader.lines_for(STEP), all(5..6));
    reader.append("out/0", text(3..4));
    reader.append("out/1", text(4..5));
    assert_eq!(sorted(reader.lines()), all(3..5));
}

// The real clock.

#[test]
fn inotify_wakes_it_and_the_request_to_stop_ends_it() {
    let mut reader = Reader::with(&["*.log"], |config| config.scan_interval = Time(10 * MINUTE));
    let stop = Stop::new();
    // Whoever waits in vain fails, and does not hang.
    let (_ends, ended) = std::sync::mpsc::channel::<()>();
    let late = stop.clone();
    std::thread::spawn(move || {
        if ended.recv_timeout(MINUTE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            late.set();
        }
    });
    let mut batch = Batch::new();
    reader.append("a.log", text(0..1));
    assert_eq!(reader.input().next(&mut batch, &stop).unwrap(), Next::Filled);
    reader.take(&mut batch);
    let folder = reader.folder.path().to_owned();
    let writer = std::thread::spawn(move || fs::write(folder.join("b.log"), text(1..2)).unwrap());
    assert_eq!(reader.input().next(&mut batch, &stop).unwrap(), Next::Filled);
    reader.take(&mut batch);
    writer.join().unwrap();
    let other = stop.clone();
    let stopper = std::thread::spawn(move || other.set());
    assert_eq!(reader.input().next(&mut batch, &stop).unwrap(), Next::Stopped);
    stopper.join().unwrap();
    let lines: Vec<String> = reader.seen.iter().map(|seen| show(&seen.line)).collect();
    assert_eq!(lines, all(0..2));
}

// Packed files.

fn packed(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_ref()).unwrap();
    gzip.finish().unwrap()
}

fn unpacking(config: &mut Config) {
    config.gzip = true;
}

fn unreadable(reader: &Reader) -> Vec<String> {
    reader.registry.unreadable().into_iter().map(|file| file.reason).collect()
}

#[test]
fn packed_files_are_read_once() {
    for inotify in [true, false] {
        let mut reader = Reader::build(&["app.log*"], inotify, unpacking);
        // Two pieces behind each other are one text, of which a line may lie in both.
        let whole = text(0..5_000);
        let (first, second) = whole.as_bytes().split_at(70_003);
        reader.append("app.log.2.gz", packed(first));
        reader.append("app.log.2.gz", packed(second));
        reader.age("app.log.2.gz", MINUTE);
        reader.append("app.log.1.gzip", packed(text(5_000..5_010).trim_end()));
        reader.append("app.log", text(5_010..5_012));
        let mut found = reader.lines();
        found.sort();
        assert!(found == all(0..5_012), "{} lines", found.len());
        // Rotation gives it another name; somebody touches it; the program starts again.
        reader.rename("app.log.2.gz", "app.log.3.gz");
        reader.expect(&[]);
        reader.stop();
        reader.age("app.log.3.gz", 2 * MINUTE);
        reader.expect(&[]);
        reader.append("app.log.2.gz", packed(text(6_000..6_002)));
        reader.expect(&[6_000..6_002]);
        // A backup of it comes in its place, with another inode.
        reader.copy("app.log.3.gz", "kept");
        reader.stop();
        reader.remove("app.log.3.gz");
        reader.rename("kept", "app.log.3.gz");
        reader.expect(&[]);
        assert_eq!(unreadable(&reader), [""; 0]);
    }
}

#[test]
fn a_packed_file_goes_on_where_it_was_safe() {
    for kills in [true, false] {
        let mut reader = Reader::with(&["app.log.gz"], unpacking);
        reader.batch_bytes = 4 << 10;
        reader.append("app.log.gz", packed(text(0..1_000)));
        let mut found = Vec::new();
        for _ in 0..5 {
            assert!(reader.read());
            found.append(&mut reader.seen);
        }
        // What is not acknowledged is read again, with the same ids, which `take` compares.
        reader.acknowledges = false;
        assert!(reader.read() && reader.read());
        assert!(!std::mem::take(&mut reader.seen).is_empty());
        reader.end(kills);
        reader.acknowledges = true;
        found.extend(reader.events());
        assert_eq!(found.iter().map(|seen| show(&seen.line)).collect::<Vec<_>>(), all(0..1_000));
        reader.end(kills);
        reader.expect(&[]);
    }
}

#[test]
fn what_comes_back_of_a_packed_file_is_read_again() {
    let mut reader = Reader::with(&["*.gz"], unpacking);
    reader.append("app.log.gz", packed(text(0..100)));
    reader.acknowledges = false;
    assert_eq!(reader.lines(), all(0..100));
    // Let go undone, after its end was read.
    reader.held.clear();
    reader.acknowledges = true;
    reader.expect(&[0..100]);
    reader.expect(&[]);
    // The same of one that is damaged at its end.
    let mut bytes = packed(text(100..200));
    bytes.truncate(bytes.len() - 4);
    reader.append("app.log.1.gz", bytes);
    reader.age("app.log.1.gz", MINUTE);
    reader.acknowledges = false;
    assert_eq!(reader.lines(), all(100..200));
    reader.held.clear();
    reader.acknowledges = true;
    reader.expect(&[100..200]);
}

#[test]
fn a_packed_file_that_ends_too_early_is_told_and_read_on_when_it_is_whole() {
    let mut reader = Reader::with(&["app.log.gz"], unpacking);
    let whole = packed(text(0..20_000));
    let (first, second) = whole.split_at(whole.len() / 2);
    reader.append("app.log.gz", first);
    let found = reader.lines();
    assert!(!found.is_empty() && found.len() < 20_000);
    assert_eq!(unreadable(&reader), [""; 0], "it may still be written");
    reader.age("app.log.gz", MINUTE);
    assert_eq!(reader.lines(), [""; 0]);
    assert_eq!(unreadable(&reader), ["it ends before what is packed in it does"]);
    reader.stop();
    reader.append("app.log.gz", second);
    reader.age("app.log.gz", MINUTE);
    reader.expect(&[found.len()..20_000]);
    assert_eq!(unreadable(&reader), [""; 0]);
    // The same name and the same inode, and another content.
    fs::write(reader.path("app.log.gz"), packed(text(30_000..30_002))).unwrap();
    reader.expect(&[30_000..30_002]);
}

#[test]
fn a_packed_file_that_is_damaged_is_told() {
    let damaged = |at: usize| {
        let mut bytes = packed(text(0..20_000));
        let at = if at == usize::MAX { bytes.len() - 5 } else { at };
        bytes[at] ^= 0xff;
        bytes
    };
    for (bytes, all_lines, reason) in [
        (damaged(usize::MAX), true, "corrupt gzip stream does not have a matching checksum"),
        (damaged(0), false, "invalid gzip header"),
        ([packed(text(0..20_000)), b"and what is not packed".to_vec()].concat(), true, "invalid gzip header"),
    ] {
        let mut reader = Reader::with(&["*.gz"], unpacking);
        reader.append("a.gz", bytes);
        reader.append("b.gz", packed(text(50_000..50_001)));
        reader.age("a.gz", MINUTE);
        let expected = if all_lines { all(0..20_000) } else { Vec::new() };
        assert_eq!(reader.lines(), [expected, all(50_000..50_001)].concat(), "{reason}");
        assert_eq!(unreadable(&reader), [reason]);
    }
}

#[test]
fn lines_of_packed_files_are_joined_and_cut() {
    let mut reader = Reader::with(&["app.log.gz"], |config| {
        unpacking(config);
        config.multiline = serde_json::from_str(r#"{"pattern":"^ ","match":"after"}"#).unwrap();
    });
    reader.append("app.log.gz", packed("a\n b\nc\n d"));
    assert_eq!(reader.lines(), ["a\n b", "c\n d"]);
    let long = "x".repeat(300_000);
    for kills_after in [1, usize::MAX] {
        let mut reader = Reader::with(&["app.log.gz"], |config| {
            unpacking(config);
            config.line_bytes_max = Bytes(1_000);
        });
        reader.append("app.log.gz", packed(format!("{long}\nshort\n{long}")));
        let mut found = Vec::new();
        while found.len() < kills_after && reader.read() {
            found.append(&mut reader.seen);
        }
        reader.kill();
        found.extend(reader.events());
        let found: Vec<(usize, bool)> = found.iter().map(|seen| (seen.line.len(), seen.truncated)).collect();
        assert_eq!(found, [(1_000, true), (5, false), (1_000, true)]);
    }
}

#[test]
fn packed_files_are_left_alone_where_that_is_asked_for() {
    let mut reader = Reader::new(&["*.gz"]);
    reader.append("a.gz", "no packed file\n");
    assert_eq!(reader.lines(), ["no packed file"]);
    let mut reader = Reader::with(&["*.gz"], |config| {
        unpacking(config);
        config.start_at = StartAt::End;
    });
    reader.append("a.gz", packed(text(0..10)));
    reader.expect(&[]);
    reader.append("b.gz", packed(text(10..12)));
    reader.expect(&[10..12]);
    reader.stop();
    reader.expect(&[]);
}
