//! The input `kafka` against real brokers: nothing lost, however members come, go and die.

use crate::pond::{PATIENCE, Pond, access_lines};
use crate::services::{Kafka, kafka, kafka_4, kafka_tls_three, kcat, unique};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The lines of the file that the output writes; none before there is one. A line that is being
/// written, or was when the program was killed, is left out.
fn written(pond: &Pond) -> Vec<String> {
    let text = fs::read(pond.path("out")).unwrap_or_default();
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    String::from_utf8_lossy(&text[..whole]).lines().map(str::to_owned).collect()
}

/// How often each line is there.
fn counted(lines: impl IntoIterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    lines.into_iter().for_each(|line| *counts.entry(line).or_default() += 1);
    counts
}

fn numbered(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|n| format!("line {n}\n")).collect()
}

/// Writes lines; fails the test when the brokers do not take them.
#[track_caller]
fn produce(bootstrap: &str, topic: &str, settings: &[&str], lines: &str) {
    let mut arguments = vec!["-b", bootstrap, "-P", "-t", topic];
    arguments.extend(settings);
    let output = kcat(&arguments, lines);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Lines go to partitions by chance each, not a whole batch to one.
const SPREAD: [&str; 2] = ["-X", "sticky.partitioning.linger.ms=0"];

/// A config that writes the messages of a topic, or with `store` also the events, and its start.
fn config(pond: &Pond, bootstrap: &str, options: &str, rest: &str) {
    let brokers: Vec<String> = bootstrap.split(',').map(|broker| format!("\"{broker}\"")).collect();
    let text = format!(
        "data_dir: {}\ninputs:\n  k:\n    kafka: {{brokers: [{}], {options}}}\n{rest}",
        pond.data().display(),
        brokers.join(", ")
    );
    fs::write(pond.path("pond.yml"), text).expect("room");
}

fn run(pond: &mut Pond) {
    let command = pond.command(&["run", "-c", "pond.yml"]);
    pond.start(command);
}

fn to_file(pond: &Pond) -> String {
    format!("outputs:\n  out: {{file: {{path: {}, codec: raw}}}}\n", pond.path("out").display())
}

/// Waits until the output has so many different lines.
#[track_caller]
fn wait_lines(pond: &mut Pond, wanted: u64) -> BTreeMap<String, u64> {
    pond.wait_for(&format!("file with {wanted} lines"), |pond| {
        let counts = counted(written(pond));
        (counts.len() as u64 >= wanted).then_some(counts)
    })
}

/// How many offsets the group has committed, as Kafka's own tool sees it.
fn committed(kafka: &Kafka, group: &str) -> i64 {
    let said = kafka.tool("groups", &["--describe", "--group", group]);
    let rows = said.lines().filter(|line| line.starts_with(group));
    rows.filter_map(|row| row.split_whitespace().nth(3)?.parse::<i64>().ok()).sum()
}

#[test]
fn every_compression_is_read_and_committed_when_it_is_safe() {
    let topic = unique("compressed");
    kafka().create_topic(&topic, 3);
    for (n, compression) in (0u64..).zip(["none", "gzip", "snappy", "lz4", "zstd"]) {
        produce(kafka().bootstrap(), &topic, &["-z", compression], &numbered(n * 1000..(n + 1) * 1000));
    }
    let mut pond = Pond::new();
    config(&pond, kafka().bootstrap(), &format!("topics: [{topic}], group: {topic}"), &to_file(&pond));
    run(&mut pond);
    let counts = wait_lines(&mut pond, 5_000);
    assert!(counts.values().all(|count| *count == 1));
    // A stop waits for a commit as well, but not for as long as a busy machine may take.
    pond.wait_for("commits", |_| (committed(kafka(), &topic) == 5_000).then_some(()));
    assert!(pond.stop().success(), "{}", pond.said());
    // The next one has nothing to do but what is new.
    produce(kafka().bootstrap(), &topic, &[], "new\n");
    run(&mut pond);
    wait_lines(&mut pond, 5_001);
    assert_eq!(written(&pond).len(), 5_001);
}

#[test]
fn kill_minus_nine_loses_nothing_and_the_store_has_nothing_twice() {
    const KILLS: u64 = 6;
    const PART: u64 = 5_000;
    const LINES: u64 = (KILLS + 1) * PART;
    let topic = unique("killed");
    kafka().create_topic(&topic, 4);
    let mut pond = Pond::new();
    let options = format!(
        "topics: [{topic}], group: {topic}, session_timeout: 6s, heartbeat_interval: 1s, group_instance_id: one"
    );
    let out = pond.path("out");
    let rest = format!(
        "api: {{listen: \"127.0.0.1:0\"}}\noutputs:\n  store: store\n  out: {{file: {{path: {}, codec: raw}}}}\n",
        out.display()
    );
    config(&pond, kafka().bootstrap(), &options, &rest);
    // Each run has lines of its own to read, which come while it reads.
    let write = |part: u64| {
        let topic = topic.clone();
        std::thread::spawn(move || {
            for from in (part * PART..(part + 1) * PART).step_by(1_000) {
                produce(kafka().bootstrap(), &topic, &["-z", "lz4"], &numbered(from..from + 1_000));
            }
        })
    };
    for kill in 0..KILLS {
        let before = counted(written(&pond)).len();
        let writer = write(kill);
        run(&mut pond);
        // Killed at some moment after it got further than before.
        pond.wait_for("progress", |pond| (counted(written(pond)).len() > before).then_some(()));
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..150 * (kill + 1))));
        pond.kill();
        writer.join().expect("the writer");
    }
    write(KILLS).join().expect("the writer");
    run(&mut pond);
    pond.wait_address();
    pond.wait_count(LINES);
    let counts = wait_lines(&mut pond, LINES);
    assert_eq!(counts.len() as u64, LINES, "a line that nobody wrote");
    let repeated: u64 = counts.values().map(|count| count - 1).sum();
    println!("{repeated} of {LINES} lines are in the file more than once, after {KILLS} kills");
    assert!(pond.stop().success(), "{}", pond.said());
}

/// kcat in the background, and what it printed so far.
struct Kcat {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Kcat {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new("kcat");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("kcat");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let reader = std::thread::spawn({
            let lines = lines.clone();
            move || {
                output.lines().map_while(Result::ok).for_each(|line| lines.lock().expect("a lock").push(line))
            }
        });
        Self { child, lines, reader }
    }

    /// As a member of a group that reads a topic, with more settings.
    fn join(bootstrap: &str, group: &str, topic: &str, settings: &[&str]) -> Self {
        let member = ["-b", bootstrap, "-G", group, "-q", "-u", "-X", "auto.offset.reset=earliest"];
        let often = ["-X", "session.timeout.ms=6000", "-X", "auto.commit.interval.ms=100"];
        Self::start(&[&member[..], &often, settings, &[topic]].concat())
    }

    fn wait_for_lines(&self) {
        let until = Instant::now() + PATIENCE;
        while self.lines.lock().expect("a lock").is_empty() {
            assert!(Instant::now() < until, "kcat got no lines");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once, without a word to anybody.
    fn die(mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("its end");
    }

    /// Ends it as Ctrl+C would, and returns what it printed.
    fn end(mut self) -> Vec<String> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("our own child");
        self.child.wait().expect("its end");
        self.reader.join().expect("the reader");
        std::mem::take(&mut *self.lines.lock().expect("a lock"))
    }
}

#[test]
fn two_ponds_and_kcat_share_a_topic_while_members_come_and_go() {
    const LINES: u64 = 20_000;
    let topic = unique("shared");
    kafka().create_topic(&topic, 6);
    let options =
        format!("topics: [{topic}], group: {topic}, session_timeout: 6s, heartbeat_interval: 500ms");
    let mut ponds = [Pond::new(), Pond::new()];
    for pond in &ponds {
        config(pond, kafka().bootstrap(), &options, &to_file(pond));
    }
    run(&mut ponds[0]);
    produce(kafka().bootstrap(), &topic, &SPREAD, &numbered(0..LINES / 4));
    wait_lines(&mut ponds[0], LINES / 4);
    // The second one gets its part, and both read.
    run(&mut ponds[1]);
    ponds[1].wait_for("partitions", |pond| pond.said().contains("partitions came").then_some(()));
    produce(kafka().bootstrap(), &topic, &SPREAD, &numbered(LINES / 4..LINES / 2));
    ponds[1].wait_for("lines", |pond| (!written(pond).is_empty()).then_some(()));
    let joined = ponds[1].said().matches("partitions came").count();
    let other = Kcat::join(kafka().bootstrap(), &topic, &topic, &[]);
    ponds[1].wait_for("another assignment", |pond| {
        (pond.said().matches("partitions came").count() > joined).then_some(())
    });
    produce(kafka().bootstrap(), &topic, &SPREAD, &numbered(LINES / 2..LINES * 3 / 4));
    other.wait_for_lines();
    // kcat forgets what it has in hand when it is told to end, and commits it all the same.
    let came = |ponds: &[Pond; 2]| {
        let others = other.lines.lock().expect("a lock").clone();
        counted(ponds.iter().flat_map(written).chain(others)).len() as u64
    };
    let until = Instant::now() + PATIENCE;
    while came(&ponds) < LINES * 3 / 4 {
        assert!(Instant::now() < until, "{} lines; {}", came(&ponds), ponds[1].said());
        std::thread::sleep(Duration::from_millis(50));
    }
    let others = other.end();
    // A member dies without a word.
    ponds[0].kill();
    produce(kafka().bootstrap(), &topic, &SPREAD, &numbered(LINES * 3 / 4..LINES));
    let all = |ponds: &[Pond; 2]| counted(ponds.iter().flat_map(written).chain(others.iter().cloned()));
    let until = Instant::now() + PATIENCE;
    while (all(&ponds).len() as u64) < LINES {
        assert!(Instant::now() < until, "{} lines; {}", all(&ponds).len(), ponds[1].said());
        std::thread::sleep(Duration::from_millis(50));
    }
    let counts = all(&ponds);
    assert_eq!(counts.len() as u64, LINES);
    let repeated: u64 = counts.values().map(|count| count - 1).sum();
    println!("{repeated} of {LINES} lines were read more than once");
    assert!(ponds[1].stop().success(), "{}", ponds[1].said());
}

#[test]
fn aborted_transactions_do_not_show() {
    let topic = unique("transactions");
    kafka().create_topic(&topic, 1);
    let bootstrap = kafka().bootstrap();
    let transaction = format!("transactional.id={topic}");
    produce(bootstrap, &topic, &["-X", &transaction], "good 1\ngood 2\n");
    // It dies in the middle of a transaction; its successor aborts what it left.
    let mut dies =
        Kcat::start(&["-b", bootstrap, "-P", "-t", &topic, "-X", &transaction, "-X", "linger.ms=0"]);
    let mut input = dies.child.stdin.take().expect("a pipe");
    input.write_all(numbered(0..20_000).as_bytes()).expect("room"); // more than it waits for
    let uncommitted = ["-X", "isolation.level=read_uncommitted", "-f", "%s\\n", "-u", "-q"];
    let reads =
        Kcat::start(&[&["-b", bootstrap, "-C", "-t", &topic, "-o", "beginning"], &uncommitted[..]].concat());
    let until = Instant::now() + PATIENCE;
    while !reads.lines.lock().expect("a lock").iter().any(|line| line == "line 1") {
        assert!(Instant::now() < until, "the open transaction was not written");
        std::thread::sleep(Duration::from_millis(20));
    }
    reads.end();
    let mut pond = Pond::new();
    config(
        &pond,
        bootstrap,
        &format!("topics: [{topic}], group: {topic}, commit_interval: 50ms"),
        &to_file(&pond),
    );
    run(&mut pond);
    wait_lines(&mut pond, 2);
    dies.child.kill().expect("our own child");
    dies.child.wait().expect("its end");
    produce(bootstrap, &topic, &["-X", &transaction], "good 3\n");
    produce(bootstrap, &topic, &[], "good 4\n");
    wait_lines(&mut pond, 4);
    assert_eq!(written(&pond), ["good 1", "good 2", "good 3", "good 4"]);
    assert!(pond.stop().success());

    let mut all = Pond::new();
    let options = format!("topics: [{topic}], group: {topic}-all, isolation: read_uncommitted");
    config(&all, bootstrap, &options, &to_file(&all));
    run(&mut all);
    let counts = wait_lines(&mut all, 5);
    assert!(counts.contains_key("line 1"), "{counts:?}");
}

#[test]
fn three_brokers_are_read_over_tls_and_sasl() {
    let cluster = kafka_tls_three();
    let topic = unique("secret");
    cluster.create_topic(&topic, 6);
    produce(cluster.bootstrap(), &topic, &[], &numbered(0..3_000));
    let (cert, key) = cluster.user("app");
    let tls =
        format!("tls: {{ca: {}, cert: {}, key: {}}}", cluster.ca().display(), cert.display(), key.display());
    let sasl = "sasl: {mechanism: SCRAM-SHA-512, user: app, password: app-secret}";
    for (name, bootstrap, options) in [
        ("tls", cluster.tls(), tls.clone()),
        ("sasl", cluster.sasl(), sasl.to_owned()),
        ("both", cluster.sasl_tls(), format!("{tls}, {sasl}")),
    ] {
        let mut pond = Pond::new();
        let options = format!("topics: [{topic}], group: {topic}-{name}, {options}");
        config(&pond, bootstrap, &options, &to_file(&pond));
        run(&mut pond);
        let counts = wait_lines(&mut pond, 3_000);
        assert!(counts.len() == 3_000 && counts.values().all(|count| *count == 1), "{name}");
        assert!(pond.stop().success());
    }
}

#[test]
fn the_new_protocol_is_taken_where_it_is_and_new_topics_are_found() {
    let prefix = unique("new");
    let bootstrap = kafka_4().bootstrap();
    let (first, second) = (format!("{prefix}-a"), format!("{prefix}-b"));
    kafka_4().create_topic(&first, 4);
    let mut ponds = [Pond::new(), Pond::new()];
    let options = format!(
        "topics_pattern: \"{prefix}-.*\", refresh_interval: 1s, group: {prefix}, group_protocol: consumer"
    );
    for pond in &mut ponds {
        config(pond, bootstrap, &options, &to_file(pond));
        run(pond);
    }
    for pond in &mut ponds {
        pond.wait_for("partitions", |pond| pond.said().contains("partitions came").then_some(()));
    }
    produce(bootstrap, &first, &SPREAD, &numbered(0..2_000));
    kafka_4().create_topic(&second, 2);
    produce(bootstrap, &second, &SPREAD, &numbered(2_000..4_000));
    let until = Instant::now() + PATIENCE;
    let all = |ponds: &[Pond; 2]| counted(ponds.iter().flat_map(written));
    while all(&ponds).len() < 4_000 {
        assert!(Instant::now() < until, "{} lines; {}", all(&ponds).len(), ponds[0].said());
        std::thread::sleep(Duration::from_millis(50));
    }
    for pond in &mut ponds {
        assert!(!written(pond).is_empty(), "both read: {}", pond.said());
        assert!(pond.stop().success());
    }
    assert_eq!(committed(kafka_4(), &prefix), 4_000);
}

#[test]
fn members_come_and_go_and_nothing_is_committed_before_it_is_safe() {
    const PARTITIONS: i32 = 6;
    const ROUNDS: u64 = 4;
    let topic = unique("churned");
    let bootstrap = kafka().bootstrap();
    kafka().create_topic(&topic, PARTITIONS);
    let options = format!(
        "topics: [{topic}], group: {topic}, session_timeout: 6s, heartbeat_interval: 500ms, commit_interval: 100ms"
    );
    let mut ponds = [Pond::new(), Pond::new()];
    for pond in &ponds {
        let text = "{text: '%{kafka.partition} %{kafka.offset} %{message}'}";
        let output =
            format!("outputs:\n  out: {{file: {{path: {}, codec: {text}}}}}\n", pond.path("out").display());
        config(pond, bootstrap, &options, &output);
    }
    // Records come all the while.
    let ended = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (topic, ended) = (topic.clone(), ended.clone());
        move || {
            let mut written = 0;
            while !ended.load(Ordering::SeqCst) {
                produce(bootstrap, &topic, &[], &numbered(written..written + 200));
                written += 200;
            }
            written
        }
    });
    run(&mut ponds[0]);
    for round in 0..ROUNDS {
        // It commits nothing: when it is told to end, kcat may drop the record that it has just got.
        let guest = Kcat::join(bootstrap, &topic, &topic, &["-X", "enable.auto.offset.store=false"]);
        guest.wait_for_lines();
        check_committed(&ponds, &topic);
        run(&mut ponds[1]);
        ponds[1].wait_for("partitions", |pond| pond.said().contains("partitions came").then_some(()));
        check_committed(&ponds, &topic);
        guest.end();
        let before = written(&ponds[1]).len();
        ponds[1].wait_for("records", |pond| (written(pond).len() > before).then_some(()));
        // Now one says goodbye, now it dies without a word.
        if round % 2 == 0 {
            assert!(ponds[1].stop().success(), "{}", ponds[1].said());
        } else {
            ponds[1].kill();
        }
        check_committed(&ponds, &topic);
    }
    ended.store(true, Ordering::SeqCst);
    let total: u64 = writer.join().expect("the writer");
    let message = |line: &String| line.splitn(3, ' ').nth(2).unwrap_or_default().to_owned();
    let wanted: BTreeSet<String> = (0..total).map(|n| format!("line {n}")).collect();
    let [stayed, came] = &mut ponds;
    let counts = stayed.wait_for("all lines", |stayed| {
        let all = [stayed, came].into_iter().flat_map(written);
        let counts = counted(all.map(|line| message(&line)));
        wanted.iter().all(|line| counts.contains_key(line)).then_some(counts)
    });
    assert_eq!(counts.len() as u64, total, "a line that nobody wrote");
    let repeated: u64 = counts.values().map(|count| count - 1).sum();
    println!("{repeated} of {total} lines were read more than once");
    assert!(ponds[0].stop().success(), "{}", ponds[0].said());
}

/// Every record before a committed offset has been written by one of the ponds.
#[track_caller]
fn check_committed(ponds: &[Pond; 2], group: &str) {
    let committed = rows(&ponds[0], &["lag", "--json", "--brokers", kafka().bootstrap(), "--group", group]);
    let place = |line: String| {
        let mut words = line.split(' ').map_while(|word| word.parse().ok());
        words.next().zip(words.next())
    };
    let safe: BTreeSet<(i64, i64)> = ponds.iter().flat_map(written).filter_map(place).collect();
    for row in committed {
        let Some(end) = row["committed"].as_i64() else { continue };
        let partition = row["partition"].as_i64().expect("a number");
        let missing: Vec<i64> = (0..end).filter(|offset| !safe.contains(&(partition, *offset))).collect();
        assert!(missing.is_empty(), "partition {partition}: {end} is committed, and not safe is {missing:?}");
    }
}

#[test]
fn a_member_that_nobody_takes_from_stays_in_its_group() {
    let (topic, group) = (unique("stuck"), unique("stuck-group"));
    kafka().create_topic(&topic, 2);
    produce(kafka().bootstrap(), &topic, &[], &access_lines(0..200_000));
    let mut pond = Pond::new();
    let options = format!(
        "topics: [{topic}], group: {group}, session_timeout: 6s, heartbeat_interval: 1s, rebalance_timeout: 2s, buffer_bytes_max: 1MiB, fetch_bytes_max: 1MiB"
    );
    // Nobody listens there, and no queue takes what cannot be written.
    let stuck = "memory_limit: 16MiB\noutputs:\n  out: {kafka: {brokers: [\"127.0.0.1:1\"], topic: t, memory_bytes_max: 1MiB}}\n";
    config(&pond, kafka().bootstrap(), &options, stuck);
    run(&mut pond);
    let came = |pond: &Pond| pond.said().matches("partitions came").count();
    pond.wait_for("partitions", |pond| (came(pond) > 0).then_some(()));
    // Another member that dies now is thrown out when its session is over. Ours is as old, and is
    // then still there to take over.
    let neighbour = Kcat::join(kafka().bootstrap(), &group, &topic, &[]);
    neighbour.wait_for_lines();
    pond.wait_for("partitions that go", |pond| {
        pond.said().contains("partitions are given back").then_some(())
    });
    let before = came(&pond);
    neighbour.die();
    pond.wait_for("partitions that come back", |pond| (came(pond) > before).then_some(()));
    let said = pond.said();
    assert!(!said.contains("partitions were lost"), "{said}");
    pond.kill();
    // What was fetched meanwhile is still there for the next one.
    config(&pond, kafka().bootstrap(), &options, &to_file(&pond));
    run(&mut pond);
    pond.wait_for("the end", |_| (committed(kafka(), &group) == 200_000).then_some(()));
}

/// Rows of a command that prints a JSON object a line.
#[track_caller]
fn rows(pond: &Pond, arguments: &[&str]) -> Vec<Value> {
    let output = pond.command(arguments).output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn lag_and_topics_are_told() {
    for cluster in [kafka(), kafka_4()] {
        let (bootstrap, topic) = (cluster.bootstrap(), unique("lagging"));
        cluster.create_topic(&topic, 2);
        produce(bootstrap, &topic, &["-p", "0"], &numbered(0..100));
        let mut pond = Pond::new();
        config(
            &pond,
            bootstrap,
            &format!("topics: [{topic}], group: {topic}, client_id: here"),
            &to_file(&pond),
        );
        run(&mut pond);
        wait_lines(&mut pond, 100);
        let lag = ["lag", "--json", "--brokers", bootstrap, "--group", &topic];
        let held = pond.wait_for("a commit", |pond| {
            let rows = rows(pond, &lag);
            (rows.len() == 2 && rows[0]["committed"] == 100).then_some(rows)
        });
        assert!(held.iter().all(|row| row["client_id"] == "here" && row["lag"] == 0), "{held:?}");
        assert!(pond.stop().success());
        produce(bootstrap, &topic, &["-p", "0"], &numbered(0..7));
        produce(bootstrap, &topic, &["-p", "1"], &numbered(0..5));
        let left = rows(&pond, &lag);
        let told: Vec<_> = left.iter().map(|row| (row["lag"].as_i64(), row["log_end"].as_i64())).collect();
        assert_eq!(told, [(Some(7), Some(107)), (Some(5), Some(5))], "{left:?}");
        assert!(
            left.iter().all(|row| row["lag_seconds"].as_f64().is_some_and(|age| (0.0..60.0).contains(&age)))
        );
        assert!(left.iter().all(|row| row["member_id"].is_null()), "{left:?}");
        let all = rows(&pond, &["lag", "--json", "--brokers", bootstrap]);
        let ours = all.iter().filter(|row| row["group"] == topic.as_str());
        assert!(ours.map(|row| &row["lag"]).eq(left.iter().map(|row| &row["lag"])), "{all:?}");

        let topics = rows(&pond, &["topics", "--json", "--brokers", bootstrap, &topic]);
        let told: Vec<_> = topics.iter().map(|row| (&row["first"], &row["end"], &row["in_sync"])).collect();
        assert_eq!(
            told,
            [
                (&json!(0), &json!(107), &topics[0]["replicas"]),
                (&json!(0), &json!(5), &topics[1]["replicas"])
            ]
        );

        // The same as events.
        let text = format!(
            "data_dir: {}\ninputs:\n  lag: {{kafka_lag: {{brokers: [\"{bootstrap}\"], groups: [{topic}], interval: 1h}}}}\noutputs:\n  out: {{file: {{path: {}}}}}\n",
            pond.data().display(),
            pond.path("lag").display()
        );
        fs::write(pond.path("pond.yml"), text).expect("room");
        run(&mut pond);
        let events = pond.wait_for("two events", |pond| {
            let text = fs::read_to_string(pond.path("lag")).ok()?;
            (text.lines().count() == 2).then_some(text)
        });
        let lags: Vec<Value> = events
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["kafka"]["lag"].clone())
            .collect();
        assert_eq!(lags, [json!(7), json!(5)]);
    }
}
