//! What happens to files while they are read: each line once, whatever happens.

use super::*;
use crate::registry::Registry;
use disk::SimDisk;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

/// How long lines may take to come before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// An input over a folder of its own.
struct Bench {
    folder: tempfile::TempDir,
    config: Config,
    disk: SimDisk,
    registry: Arc<Registry>,
    input: Option<FileInput>,
    batch: Batch,
    /// What a queue would have, for the registry after a kill.
    confirmed: Vec<Positions>,
    /// Lines that came.
    lines: Vec<String>,
    origins: Vec<[u8; 16]>,
}

impl Bench {
    fn new(paths: &[&str]) -> Self {
        Self::with(paths, |_| {})
    }

    fn with(paths: &[&str], change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &&str| folder.path().join(name).display().to_string();
        let mut config = Config {
            paths: paths.iter().map(path).collect(),
            rotate_wait: Time(Duration::from_millis(200)),
            scan_interval: Time(Duration::from_millis(20)),
            ..Config::default()
        };
        change(&mut config);
        config.exclude = config.exclude.iter().map(|name| path(&name.as_str())).collect();
        let disk = SimDisk::new();
        let registry = Registry::open(Arc::new(disk.clone())).unwrap().0;
        let (confirmed, lines, origins) = Default::default();
        Self { folder, config, disk, registry, input: None, batch: Batch::new(), confirmed, lines, origins }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Copies and cuts, as logrotate's copytruncate.
    fn copy_and_cut(&self, name: &str, copy: &str) {
        fs::copy(self.path(name), self.path(copy)).unwrap();
        self.cut(name, 0);
    }

    fn cut(&self, name: &str, len: u64) {
        OpenOptions::new().write(true).open(self.path(name)).unwrap().set_len(len).unwrap();
    }

    /// One batch, acknowledged or not; nothing when the stop was set.
    fn read(&mut self, stop: &Stop, acknowledge: bool) -> bool {
        let input = self.input.get_or_insert_with(|| {
            let context = InputContext {
                name: "in".into(),
                registry: self.registry.clone(),
                host: "host".into(),
                batch_bytes: 64 << 10,
            };
            self.config.build(context).unwrap()
        });
        if input.next(&mut self.batch, stop).unwrap() == Next::Stopped {
            return false;
        }
        for event in self.batch.events() {
            self.lines.push(String::from_utf8_lossy(&event.message()).into_owned());
        }
        self.origins.extend(self.batch.runs().iter().map(|run| run.common.origin().id));
        if acknowledge {
            let ranges = self.batch.runs().iter().map(|run| {
                let Origin { id, generation } = run.common.origin();
                Positions { origin: id, generation, from: run.from, to: run.to, mark: run.mark }
            });
            self.confirmed.extend(ranges);
            self.batch.acks.done();
        }
        self.batch.acks = event::Acks::default();
        true
    }

    /// Reads until these lines came, in this order and no others.
    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        let (stop, watchdog) = stop_after(PATIENCE);
        while self.lines.len() < expected.len() && self.read(&stop, true) {}
        drop(watchdog);
        self.check(expected);
    }

    #[track_caller]
    fn check(&mut self, expected: &[&str]) {
        let short = |line: &String| line.chars().take(100).collect::<String>();
        let shown: Vec<String> = self.lines.iter().take(20).map(short).collect();
        assert!(self.lines == expected, "{} lines: {shown:?}", self.lines.len());
        self.lines.clear();
    }

    /// Like [`expect`](Self::expect), whatever the order of the lines.
    #[track_caller]
    fn expect_sorted(&mut self, expected: &[&str]) {
        let (stop, watchdog) = stop_after(PATIENCE);
        while self.lines.len() < expected.len() && self.read(&stop, true) {}
        drop(watchdog);
        self.lines.sort();
        self.check(expected);
    }

    /// Nothing more comes: not before two lines that are written only now, each of which the
    /// input must look for.
    #[track_caller]
    fn expect_nothing_but_markers(&mut self, name: &str) {
        for marker in ["marker 1", "marker 2"] {
            self.append(name, format!("{marker}\n"));
            self.expect(&[marker]);
        }
    }

    /// Reads one batch that is never acknowledged.
    fn read_without_acknowledging(&mut self) {
        let (stop, _watchdog) = stop_after(PATIENCE);
        assert!(self.read(&stop, false), "nothing came");
        self.lines.clear();
    }

    /// Ends as on SIGTERM, and begins anew at the next read.
    fn restart(&mut self) {
        let stop = Stop::new();
        stop.set();
        self.read(&stop, true);
        self.input = None;
        self.registry.flush().unwrap();
        self.registry = Registry::open(Arc::new(self.disk.clone())).unwrap().0;
    }

    /// Ends as on kill -9: what the registry was not told to save is only in the queue.
    fn kill(&mut self) {
        self.input = None;
        self.disk = self.disk.kill();
        self.registry = Registry::open(Arc::new(self.disk.clone())).unwrap().0;
        self.registry.restore(self.confirmed.iter().copied());
    }
}

/// A request to stop that comes by itself, unless the other end is dropped before.
fn stop_after(wait: Duration) -> (Stop, Sender<()>) {
    let stop = Stop::new();
    let (sender, dropped) = channel::<()>();
    std::thread::spawn({
        let stop = stop.clone();
        move || {
            if dropped.recv_timeout(wait) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                stop.set();
            }
        }
    });
    (stop, sender)
}

fn numbered(numbers: std::ops::Range<u32>) -> (String, Vec<String>) {
    let lines: Vec<String> =
        numbers.map(|n| format!("line {n:06} of a file, long enough to be told from another")).collect();
    (lines.iter().map(|line| format!("{line}\n")).collect(), lines)
}

fn texts(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

#[test]
fn row_1_a_file_is_renamed_and_its_writer_goes_on() {
    let mut bench = Bench::new(&["a.log"]);
    bench.append("a.log", "1\n");
    bench.expect(&["1"]);
    let mut late = OpenOptions::new().append(true).open(bench.path("a.log")).unwrap();
    bench.rename("a.log", "a.log.1");
    late.write_all(b"2 late\n").unwrap();
    bench.append("a.log", "3\n");
    bench.expect_sorted(&["2 late", "3"]);
    // Long after the file was let go of, it is taken up again.
    late.write_all(b"4 very late\n").unwrap();
    bench.expect(&["4 very late"]);
    bench.expect_nothing_but_markers("a.log");
}

#[test]
fn row_1_many_rotations_between_two_looks() {
    let mut bench = Bench::new(&["a.log"]);
    bench.append("a.log", "line 0\n");
    bench.expect(&["line 0"]);
    for n in 1..=8 {
        bench.rename("a.log", &format!("a.log.{n}"));
        bench.append("a.log", format!("line {n}\n"));
    }
    bench.expect_sorted(
        &(1..=8)
            .map(|n| format!("line {n}"))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
    bench.expect_nothing_but_markers("a.log");
}

#[test]
fn row_2_rotations_while_nobody_reads() {
    for killed in [false, true] {
        let mut bench = Bench::new(&["a.log"]);
        bench.append("a.log", "first line of all\n");
        bench.expect(&["first line of all"]);
        if killed {
            bench.kill()
        } else {
            bench.restart()
        }
        bench.append("a.log", "second, unread\n");
        for n in 1..=5 {
            bench.rename("a.log", &format!("a.log.{n}"));
            bench.append("a.log", format!("of file {n}\n"));
        }
        bench.expect_sorted(&[
            "of file 1",
            "of file 2",
            "of file 3",
            "of file 4",
            "of file 5",
            "second, unread",
        ]);
        bench.expect_nothing_but_markers("a.log");
    }
}

#[test]
fn row_3_copied_and_cut_while_it_is_read() {
    let mut bench = Bench::new(&["a.log"]);
    for round in 0..5 {
        let (text, lines) = numbered(round * 100..round * 100 + 40);
        bench.append("a.log", text);
        bench.expect(&texts(&lines));
        // Written, copied and cut before anybody looked.
        let (unread, lines) = numbered(round * 100 + 40..round * 100 + 60);
        bench.append("a.log", unread);
        bench.copy_and_cut("a.log", &format!("a.log.{round}"));
        bench.expect(&texts(&lines));
    }
    bench.expect_nothing_but_markers("a.log");
}

#[test]
fn row_3_copied_and_cut_while_nobody_reads() {
    for killed in [false, true] {
        let mut bench = Bench::new(&["a.log"]);
        let (text, lines) = numbered(0..40);
        bench.append("a.log", text);
        bench.expect(&texts(&lines));
        if killed {
            bench.kill()
        } else {
            bench.restart()
        }
        let (unread, mut lines) = numbered(40..60);
        bench.append("a.log", unread);
        bench.copy_and_cut("a.log", "a.log.1");
        // More than was there before, so that its length says nothing.
        let (fresh, more) = numbered(1_000..1_200);
        bench.append("a.log", fresh);
        lines.extend(more);
        bench.expect_sorted(&texts(&lines));
        bench.expect_nothing_but_markers("a.log");
    }
}

#[test]
fn row_3_cut_with_events_under_way_that_a_kill_loses() {
    let mut bench = Bench::new(&["a.log"]);
    let (text, lines) = numbered(0..40);
    bench.append("a.log", text);
    bench.expect(&texts(&lines));
    let (unread, under_way) = numbered(40..80);
    bench.append("a.log", unread);
    bench.read_without_acknowledging();
    bench.copy_and_cut("a.log", "a.log.1");
    let (fresh, more) = numbered(500..520);
    bench.append("a.log", fresh);
    bench.expect(&texts(&more));
    bench.kill();
    bench.expect(&texts(&under_way));
    bench.expect_nothing_but_markers("a.log");
}

#[test]
fn row_3_a_copy_that_is_only_half_made_when_it_is_seen() {
    let mut bench = Bench::new(&["a.log"]);
    let (text, lines) = numbered(0..40);
    bench.append("a.log", &text);
    bench.expect(&texts(&lines));
    let bytes = text.as_bytes();
    bench.append("a.log.1", &bytes[..bytes.len() / 2]);
    bench.expect_nothing_but_markers("a.log");
    let whole = fs::read(bench.path("a.log")).unwrap();
    bench.append("a.log.1", &whole[bytes.len() / 2..]);
    bench.cut("a.log", 0);
    bench.expect_nothing_but_markers("a.log");
}

#[test]
fn row_3_a_backup_is_not_read_twice() {
    let mut bench = Bench::new(&["a.log"]);
    let (text, lines) = numbered(0..40);
    bench.append("a.log", text);
    bench.expect(&texts(&lines));
    fs::copy(bench.path("a.log"), bench.path("a.log.bak")).unwrap();
    bench.expect_nothing_but_markers("a.log");
    bench.restart();
    bench.expect_nothing_but_markers("a.log");
}

#[test]
fn row_4_cut_then_a_little_is_written() {
    let mut bench = Bench::new(&["a.log"]);
    bench.append("a.log", "one\ntwo\nthree\n");
    bench.expect(&["one", "two", "three"]);
    bench.cut("a.log", 0);
    bench.append("a.log", "four\n");
    bench.expect(&["four"]);
    bench.restart();
    bench.cut("a.log", 0);
    bench.append("a.log", "5\n");
    bench.expect(&["5"]);
    bench.expect_nothing_but_markers("a.log");
}

#[test]
fn row_5_cut_and_grown_past_the_old_offset_between_two_looks() {
    for close_after in [Duration::from_secs(300), Duration::ZERO] {
        let mut bench =
            Bench::with(&["a.log", "other.log"], |config| config.close_inactive = Time(close_after));
        let (text, lines) = numbered(0..20);
        bench.append("a.log", text);
        bench.expect(&texts(&lines));
        // The other file gives the input its occasion to close this one.
        bench.expect_nothing_but_markers("other.log");
        bench.cut("a.log", 0);
        let (fresh, lines) = numbered(100..200);
        bench.append("a.log", fresh);
        bench.expect(&texts(&lines));
        bench.kill();
        bench.cut("a.log", 0);
        let (fresh, lines) = numbered(300..500);
        bench.append("a.log", fresh);
        bench.expect(&texts(&lines));
        bench.expect_nothing_but_markers("a.log");
    }
}

#[test]
fn row_6_an_inode_is_used_again() {
    let mut bench = Bench::new(&["*.log"]);
    let (text, lines) = numbered(0..20);
    bench.append("a.log", text);
    bench.expect(&texts(&lines));
    let inode = fs::metadata(bench.path("a.log")).unwrap().ino();
    bench.restart();
    fs::remove_file(bench.path("a.log")).unwrap();
    let (fresh, lines) = numbered(100..160);
    // Whichever file gets the inode, all must be read.
    bench.append("b.log", fresh);
    let again = fs::metadata(bench.path("b.log")).unwrap().ino();
    bench.expect(&texts(&lines));
    assert!(again == inode || bench.origins.first() != bench.origins.last());
    bench.expect_nothing_but_markers("b.log");
}

#[test]
fn row_7_files_that_begin_with_the_same_banner() {
    let mut bench = Bench::new(&["*.log"]);
    let banner = format!("{}\n", "=".repeat(4_096));
    for name in ["a.log", "b.log", "c.log"] {
        bench.append(name, format!("{banner}only {name}\n"));
    }
    let banner = banner.trim_end();
    let expected = [banner, banner, banner, "only a.log", "only b.log", "only c.log"];
    bench.expect_sorted(&expected);
    bench.restart();
    bench.append("b.log", "more of b\n");
    bench.expect(&["more of b"]);
    bench.expect_nothing_but_markers("c.log");
}

#[test]
fn row_8_a_tiny_file_is_read_at_once() {
    let mut bench = Bench::new(&["*.log"]);
    bench.append("a.log", "tiny\n");
    bench.expect(&["tiny"]);
    fs::remove_file(bench.path("a.log")).unwrap();
    bench.append("a.log", "tiny\n");
    bench.expect(&["tiny"]);
    bench.expect_nothing_but_markers("a.log");
}

#[test]
fn row_9_links_lead_to_one_file_and_are_led_elsewhere() {
    let mut bench = Bench::new(&["current", "*.log"]);
    bench.append("1.log", "of 1\n");
    symlink(bench.path("1.log"), bench.path("current")).unwrap();
    bench.expect(&["of 1"]);
    fs::remove_file(bench.path("current")).unwrap();
    bench.append("2.log", "of 2\n");
    symlink(bench.path("2.log"), bench.path("current")).unwrap();
    bench.append("1.log", "more of 1\n");
    bench.expect_sorted(&["more of 1", "of 2"]);
    bench.expect_nothing_but_markers("2.log");
}

#[test]
fn row_9_the_target_of_a_link_changes() {
    let mut bench = Bench::new(&["current"]);
    bench.append("x1", "of 1\n");
    symlink(bench.path("x1"), bench.path("current")).unwrap();
    bench.expect(&["of 1"]);
    bench.append("x1", "last of 1\n");
    bench.append("x2", "of 2\n");
    symlink(bench.path("x2"), bench.path("fresh")).unwrap();
    bench.rename("fresh", "current");
    bench.expect_sorted(&["last of 1", "of 2"]);
    bench.expect_nothing_but_markers("x2");
}

#[test]
fn row_10_hard_links_are_one_file() {
    let mut bench = Bench::new(&["*.log"]);
    bench.append("a.log", "one\n");
    fs::hard_link(bench.path("a.log"), bench.path("b.log")).unwrap();
    bench.expect(&["one"]);
    bench.append("b.log", "two\n");
    bench.expect(&["two"]);
    bench.expect_nothing_but_markers("a.log");
}

#[test]
fn row_12_half_a_line_is_held_also_over_a_restart() {
    let mut bench = Bench::new(&["*.log"]);
    bench.append("a.log", "whole\nhal");
    bench.expect(&["whole"]);
    bench.expect_nothing_but_markers("other.log");
    bench.restart();
    bench.append("a.log", "f\n");
    bench.expect(&["half"]);
    bench.kill();
    bench.expect_nothing_but_markers("a.log");
}

#[test]
fn row_13_the_last_line_of_a_file_that_is_gone() {
    for removed in [true, false] {
        let mut bench = Bench::new(&["a.log"]);
        bench.append("a.log", "whole\nno end");
        bench.expect(&["whole"]);
        if removed {
            fs::remove_file(bench.path("a.log")).unwrap();
        } else {
            bench.rename("a.log", "elsewhere");
        }
        bench.expect(&["no end"]);
        bench.expect_nothing_but_markers("a.log");
    }
}

fn stack_traces(config: &mut Config) {
    config.multiline = Some(MultilineConfig {
        pattern: "^ ".into(),
        negate: false,
        match_: Match::After,
        max_lines: 100,
        max_bytes: Bytes(1 << 20),
        timeout: Time(Duration::from_millis(300)),
    });
}

#[test]
fn row_14_a_group_is_cut_by_rotation_and_by_a_restart() {
    let mut bench = Bench::with(&["a.log"], stack_traces);
    bench.append("a.log", "before\nerror\n at 1\n");
    bench.expect(&["before"]);
    bench.kill();
    bench.append("a.log", " at 2\nafter\n");
    bench.expect(&["error\n at 1\n at 2"]);
    bench.rename("a.log", "a.log.1");
    bench.append("a.log", "next\n at 3\nlast\n");
    bench.expect_sorted(&["after", "last", "next\n at 3"]);
}

#[test]
fn row_15_a_huge_line_takes_bounded_memory() {
    let mut bench = Bench::with(&["a.log"], |config| config.line_bytes_max = Bytes(10_000));
    let mut file = fs::File::create(bench.path("a.log")).unwrap();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        file.write_all(&piece).unwrap();
    }
    file.write_all(b"\nnext\n").unwrap();
    bench.expect(&["x".repeat(10_000).as_str(), "next"]);
    assert!(bench.batch.capacity() < 4 << 20, "{} bytes", bench.batch.capacity());
    bench.expect_nothing_but_markers("a.log");
}

#[test]
fn row_16_zeros_and_holes() {
    let mut bench = Bench::new(&["a.log"]);
    bench.append("a.log", b"a\0b\n");
    bench.expect(&["a\0b"]);
    // A writer that does not append goes on at its old offset after a cut: the system fills
    // the gap with a hole.
    let hole = 64 << 20;
    bench.cut("a.log", 0);
    let file = OpenOptions::new().write(true).open(bench.path("a.log")).unwrap();
    file.write_all_at(b"behind the hole\n", hole).unwrap();
    bench.expect(&["behind the hole"]);
    bench.kill();
    bench.expect_nothing_but_markers("a.log");
}

#[test]
fn row_17_bytes_that_are_no_utf8_are_kept() {
    let mut bench = Bench::new(&["a.log"]);
    let line = b"caf\xe9 \xff\xfe \xc3\xa9";
    bench.append("a.log", [line, &b"\n"[..]].concat());
    let (stop, _watchdog) = stop_after(PATIENCE);
    assert!(bench.read(&stop, true));
    assert_eq!(&*bench.batch.view(0).message(), line);
}

#[test]
fn row_18_lines_that_end_as_elsewhere() {
    let mut bench = Bench::new(&["a.log"]);
    bench.append("a.log", "one\r\ntwo\r\n\r\nthr\ree\n");
    bench.expect(&["one", "two", "", "thr\ree"]);
}

#[test]
fn row_26_a_file_that_cannot_be_read_now() {
    // The first page of a process is never there: reading it is an I/O error.
    let mut bench = Bench::new(&["*.log"]);
    symlink("/proc/self/mem", bench.path("bad.log")).unwrap();
    bench.append("good.log", "fine\n");
    bench.expect(&["fine"]);
    bench.expect_nothing_but_markers("good.log");
}

#[test]
fn rows_42_and_43_ten_thousand_files_with_few_descriptors() {
    const FILES: usize = 10_000;
    let mut bench = Bench::with(&["**/*.log"], |config| config.open_files_max = 64);
    for folder in 0..10 {
        fs::create_dir(bench.path(&format!("d{folder}"))).unwrap();
    }
    let name = |n: usize| format!("d{}/{n}.log", n % 10);
    for n in 0..FILES {
        bench.append(&name(n), format!("{n} first\n"));
    }
    let expected = |word: &str| {
        let mut lines: Vec<String> = (0..FILES).map(|n| format!("{n} {word}")).collect();
        lines.sort();
        lines
    };
    bench.expect_sorted(&texts(&expected("first")));
    let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
    let open = open
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|path| path.starts_with(bench.folder.path())));
    assert!(open.count() <= 64);
    for n in (0..FILES).step_by(100) {
        bench.append(&name(n), format!("{n} second\n"));
    }
    let mut second: Vec<String> = (0..FILES).step_by(100).map(|n| format!("{n} second")).collect();
    second.sort();
    bench.expect_sorted(&texts(&second));
}

#[test]
fn row_44_without_inotify() {
    let mut bench = Bench::new(&["a.log"]);
    bench.append("a.log", "one\n");
    bench.expect(&["one"]);
    if let Some(input) = &mut bench.input {
        input.watch.forget_inotify();
    }
    bench.append("a.log", "two\n");
    bench.expect(&["two"]);
    bench.rename("a.log", "a.log.1");
    bench.append("a.log", "three\n");
    bench.expect(&["three"]);
    bench.expect_nothing_but_markers("a.log");
}

#[test]
fn only_what_is_written_from_now_on() {
    let mut bench = Bench::with(&["*.log"], |config| config.start_at = StartAt::End);
    bench.append("a.log", "old\n");
    // The first look finds the file; what comes later is read from its beginning.
    bench.append("marker.log", "old too\n");
    let (stop, watchdog) = stop_after(Duration::from_millis(200));
    assert!(!bench.read(&stop, true));
    drop(watchdog);
    bench.append("a.log", "new\n");
    bench.expect(&["new"]);
    bench.append("b.log", "a new file\n");
    bench.expect(&["a new file"]);
    bench.restart();
    bench.append("a.log", "while away\n");
    bench.expect(&["while away"]);
}

#[test]
fn old_files_are_left_alone_until_they_grow() {
    let mut bench =
        Bench::with(&["*.log"], |config| config.ignore_older = Some(Time(Duration::from_secs(3_600))));
    bench.append("old.log", "long ago\n");
    let day_ago = std::time::SystemTime::now() - Duration::from_secs(86_400);
    fs::File::options().write(true).open(bench.path("old.log")).unwrap().set_modified(day_ago).unwrap();
    bench.append("new.log", "now\n");
    bench.expect(&["now"]);
    bench.append("old.log", "it lives\n");
    bench.expect(&["it lives"]);
}

#[test]
fn what_patterns_match() {
    let mut bench = Bench::with(&["app/**/*.log", "app/x/[ab].log", "late/*.log"], |config| {
        config.exclude = vec!["app/**/debug.log".into()];
    });
    fs::create_dir_all(bench.path("app/x/y")).unwrap();
    for name in ["app/1.log", "app/x/a.log", "app/x/y/2.log", "app/x/debug.log", "app/x/y/not.txt"] {
        bench.append(name, format!("of {name}\n"));
    }
    bench.expect_sorted(&["of app/1.log", "of app/x/a.log", "of app/x/y/2.log"]);
    fs::create_dir(bench.path("late")).unwrap();
    bench.append("late/3.log", "of a folder that came later\n");
    bench.expect(&["of a folder that came later"]);
    bench.expect_nothing_but_markers("app/1.log");
}

#[test]
fn what_is_not_acknowledged_is_read_again_after_a_kill() {
    let mut bench = Bench::new(&["a.log"]);
    bench.append("a.log", "one\n");
    bench.expect(&["one"]);
    bench.append("a.log", "two\nthree\n");
    bench.read_without_acknowledging();
    bench.kill();
    bench.expect(&["two", "three"]);
    bench.expect_nothing_but_markers("a.log");
}

#[test]
fn files_that_are_gone_are_forgotten() {
    let mut bench = Bench::new(&["*.log"]);
    for n in 0..20 {
        bench.append(&format!("{n}.log"), "line\n");
        bench.expect(&["line"]);
        fs::remove_file(bench.path(&format!("{n}.log"))).unwrap();
    }
    bench.append("last.log", "line\n");
    bench.expect(&["line"]);
    let (stop, _watchdog) = stop_after(Duration::from_secs(2));
    while bench.registry.known("in").len() > 1 && !stop.is_set() {
        bench.expect_nothing_but_markers("last.log");
    }
    assert_eq!(bench.registry.known("in").len(), 1);
    assert!(Path::new(&bench.path("last.log")).exists());
}
