//! What happens to Kafka, to Elasticsearch, to us and to the way between, under load: nothing is
//! lost, nothing comes twice where that is promised, and the order is kept.
//!
//! Lines carry numbers, and what the receiving side has is held against them. `./dev soak faults`
//! does the same for longer.

use crate::faults::small_disk;
use crate::fickle::{Fickle, Harm};
use crate::pond::{Pond, access_lines};
use crate::services::{Kafka, Options, Server, elasticsearch, kafka, kcat, unique};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a test does harm at least.
pub(crate) fn soak() -> Duration {
    let minutes = std::env::var("LOGPOND_SOAK_MINUTES").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(60 * minutes.unwrap_or(0))
}

/// A pond with this config, in which `DIR` stands for its folder.
fn pond(config: &str) -> Pond {
    let pond = Pond::new();
    configure(&pond, config);
    pond
}

fn configure(pond: &Pond, config: &str) {
    let folder = pond.folder.path().display().to_string();
    fs::write(pond.path("pond.yml"), config.replace("DIR", &folder)).expect("room");
}

fn run(pond: &mut Pond) {
    let data = pond.data();
    let mut command = pond.command(&["run", "-c", "pond.yml", "--data-dir"]);
    command.arg(data);
    pond.start(command);
}

/// Runs until all that is there is delivered.
fn deliver(pond: &mut Pond) {
    let data = pond.data();
    let mut command = pond.command(&["run", "--until-idle", "-c", "pond.yml", "--data-dir"]);
    command.arg(data);
    pond.start(command);
    pond.wait_end();
}

/// Brokers as a list of YAML.
fn list(bootstrap: &str) -> String {
    let brokers: Vec<String> = bootstrap.split(',').map(|broker| format!("'{broker}'")).collect();
    format!("[{}]", brokers.join(", "))
}

/// Partitions that lines are spread over.
const PARTITIONS: u64 = 6;

/// A line that says which one it is and where it belongs.
fn line(n: u64) -> String {
    format!("{{\"n\":{n},\"p\":{}}}\n", n % PARTITIONS)
}

fn lines(numbers: std::ops::Range<u64>) -> String {
    numbers.map(line).collect()
}

/// Writes lines at a pace until it is told to end.
struct Load {
    ended: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    writer: JoinHandle<()>,
}

impl Load {
    fn start(path: PathBuf) -> Self {
        let (ended, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let writer = std::thread::spawn({
            let (ended, written) = (ended.clone(), written.clone());
            move || {
                let mut file = fs::OpenOptions::new().append(true).create(true).open(path).expect("a file");
                while !ended.load(Ordering::SeqCst) {
                    let from = written.load(Ordering::SeqCst);
                    file.write_all(lines(from..from + 20).as_bytes()).expect("room");
                    written.store(from + 20, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        });
        Self { ended, written, writer }
    }

    /// How many lines there are.
    fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }

    /// Ends the writing, and says how many lines there are.
    fn end(self) -> u64 {
        self.ended.store(true, Ordering::SeqCst);
        self.writer.join().expect("the writer");
        self.written.load(Ordering::SeqCst)
    }
}

/// How many events the first output has delivered.
fn delivered(pond: &Pond) -> Option<u64> {
    pond.get("/_logpond/ledger")?["pipelines"][0]["outputs"][0]["delivered"].as_u64()
}

/// Waits until as much is delivered as is written by now.
#[track_caller]
fn wait_progress(pond: &mut Pond, load: &Load, after: &str) {
    let mark = load.written();
    pond.wait_for(&format!("progress after {after}"), |pond| (delivered(pond)? > mark).then_some(()));
}

/// The whole lines of a file; none before there is one.
fn whole_lines(path: PathBuf) -> Vec<String> {
    let text = fs::read(path).unwrap_or_default();
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    String::from_utf8_lossy(&text[..whole]).lines().map(str::to_owned).collect()
}

/// What kcat prints of a topic, each record as `PARTITION VALUE`.
fn records(bootstrap: &str, topic: &str) -> Vec<(u64, u64)> {
    let output =
        kcat(&["-b", bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%p %s\\n"], "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let number = |word: Option<&str>| word.and_then(|word| word.parse().ok()).expect("a number");
    let record = |line: &str| {
        let mut words = line.split(' ');
        (number(words.next()), number(words.next()))
    };
    text.lines().map(record).collect()
}

/// The broker that leads a partition.
fn leader(bootstrap: &str, topic: &str, partition: usize) -> Option<usize> {
    let output = kcat(&["-b", bootstrap, "-L", "-J", "-t", topic, "-m", "5"], "");
    let about: Value = serde_json::from_slice(&output.stdout).ok()?;
    let leader = about["topics"][0]["partitions"][partition]["leader"].as_i64()?;
    usize::try_from(leader).ok()
}

/// Both directions at once, while what they talk with dies, hangs and comes back.
#[test]
fn brokers_die_and_hang_and_each_line_comes_once_in_order() {
    let options = Options { brokers: 3, session_ms: 5_000, ..Options::default() };
    let kafka = Kafka::start(options).expect("brokers");
    kafka.create_topic("t", PARTITIONS as i32);
    let brokers = list(kafka.bootstrap());
    let mut writes = pond(&format!(
        "api: {{listen: '127.0.0.1:0'}}
inputs: {{i: {{file: {{paths: [DIR/in.log]}}}}}}
filters: [{{json: {{}}}}]
outputs: {{k: {{kafka: {{brokers: {brokers}, topic: t, partition: '%{{p}}', codec: {{text: '%{{n}}'}}, request_timeout: 3s}}}}}}
"
    ));
    let mut reads = pond(&format!(
        "inputs: {{i: {{kafka: {{brokers: {brokers}, topics: [t], group: g, session_timeout: 6s, heartbeat_interval: 1s}}}}}}
outputs: {{f: {{file: {{path: DIR/out, codec: raw}}}}}}
"
    ));
    run(&mut writes);
    writes.wait_address();
    run(&mut reads);
    let load = Load::start(writes.path("in.log"));
    wait_progress(&mut writes, &load, "the start");
    let begun = Instant::now();
    for partition in (0..PARTITIONS as usize).cycle() {
        if partition >= 2 && begun.elapsed() >= soak() {
            break;
        }
        let victim = writes.wait_for("a leader", |_| leader(kafka.bootstrap(), "t", partition));
        kafka.kill_broker(victim);
        wait_progress(&mut writes, &load, "the death of a leader");
        kafka.start_broker(victim);
    }
    let victim = writes.wait_for("a leader", |_| leader(kafka.bootstrap(), "t", 2));
    kafka.pause_broker(victim);
    wait_progress(&mut writes, &load, "the pause of a leader");
    kafka.resume_broker(victim);
    wait_progress(&mut writes, &load, "the end of the pause");
    (0..3).for_each(|broker| kafka.kill_broker(broker));
    let mark = load.written();
    writes.wait_for("lines that nobody takes", |_| (load.written() > mark + 1_000).then_some(()));
    kafka.start_all_brokers();
    wait_progress(&mut writes, &load, "the death of all");
    let total = load.end();
    writes.wait_for("the end", |pond| (delivered(pond)? == total).then_some(()));
    assert!(writes.stop().success(), "{}", writes.said());
    assert!(writes.dead_letters().is_empty());

    let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    records(kafka.bootstrap(), "t").into_iter().for_each(|(p, n)| found.entry(p).or_default().push(n));
    for p in 0..PARTITIONS {
        let expected: Vec<u64> = (p..total).step_by(PARTITIONS as usize).collect();
        let found = found.remove(&p).unwrap_or_default();
        assert!(found == expected, "partition {p}: {}", difference(&found, &expected));
    }
    let all = reads.wait_for("all lines", |pond| {
        let all: Vec<u64> =
            whole_lines(pond.path("out")).iter().filter_map(|line| line.parse().ok()).collect();
        (all.iter().collect::<BTreeSet<_>>().len() as u64 >= total).then_some(all)
    });
    assert!(all.iter().all(|n| *n < total));
    println!("{} of {total} lines were read more than once", all.len() as u64 - total);
    assert!(reads.stop().success(), "{}", reads.said());
}

/// Where two lists first differ.
fn difference(found: &[u64], expected: &[u64]) -> String {
    let at = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let show = |list: &[u64]| format!("{:?}", &list[at..list.len().min(at + 5)]);
    format!(
        "{} of {} lines; from number {at} on {} in place of {}",
        found.len(),
        expected.len(),
        show(found),
        show(expected)
    )
}

/// All that the server does by chance.
const HARM: [Harm; 6] =
    [Harm::Cut, Harm::AnswerLost, Harm::Status(429), Harm::Status(503), Harm::Item(429), Harm::Item(503)];

#[test]
fn a_server_fails_by_chance_and_each_line_comes_once() {
    const LINES: u64 = 3_000;
    let server = Fickle::start();
    let mut pond = pond(&format!(
        "inputs: {{i: {{file: {{paths: [DIR/in.log]}}}}}}
filters: [{{json: {{}}}}]
outputs: {{e: {{elasticsearch: {{endpoints: ['http://{}'], id: event, bulk_bytes_max: 4KiB, gzip_level: 0, retry_pause_max: 100ms}}}}}}
",
        server.address()
    ));
    server.set_moody(true);
    run(&mut pond);
    let mut written = 0;
    while written < LINES || HARM.iter().any(|harm| !server.all_harm().contains_key(harm)) {
        pond.append("in.log", &lines(written..written + 500));
        written += 500;
        // All of it arrives in spite of the harm.
        pond.wait_for("the lines", |_| (server.len() as u64 == written).then_some(()));
    }
    println!("{written} lines in spite of {:?}", server.all_harm());
    server.set_moody(false);
    assert!(pond.stop().success(), "{}", pond.said());
    let documents = server.documents();
    assert!(documents.values().all(|versions| versions.len() == 1), "a line was stored twice");
    let numbers: BTreeSet<u64> =
        documents.values().filter_map(|versions| versions[0]["n"].as_u64()).collect();
    assert!(numbers.into_iter().eq(0..written));
    // Nothing is given again by the next one.
    deliver(&mut pond);
    assert_eq!(server.len() as u64, written);
    assert!(pond.dead_letters().is_empty());
}

/// The disk is full, the server is away or fails by chance, and the program dies at random
/// moments, all at once.
#[test]
fn a_full_disk_an_outage_and_kills_together_lose_nothing() {
    const LINES: u64 = 150_000;
    const ROUNDS: u64 = 4;
    let server = Fickle::start();
    let mut pond = Pond::new();
    let Some(_unmount) = small_disk(&pond.data(), "size=20m") else { return };
    let to = |address: &str| {
        format!(
            "inputs: {{i: {{file: {{paths: [DIR/in.log]}}}}}}\nqueue: {{segment_bytes: 1MiB}}
outputs: {{e: {{elasticsearch: {{endpoints: ['http://{address}'], id: event, bulk_bytes_max: 64KiB, gzip_level: 0, retry_pause_max: 100ms}}}}}}
"
        )
    };
    pond.append("in.log", &access_lines(0..LINES));
    let begun = Instant::now();
    let mut round = 0;
    while round < ROUNDS || begun.elapsed() < soak() {
        round += 1;
        // Nobody takes anything, and the queue fills the disk.
        configure(&pond, &to("127.0.0.1:1"));
        run(&mut pond);
        pond.wait_for("word of the full disk", |pond| {
            let said = pond.said();
            (said.contains("full") || said.contains("No space")).then_some(())
        });
        pond.kill();
        // The server is there again, in a bad mood, while the disk is still full.
        server.set_moody(true);
        configure(&pond, &to(server.address()));
        let before = server.len();
        run(&mut pond);
        pond.wait_for("documents", |_| (server.len() > before).then_some(()));
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..300)));
        pond.kill();
        if server.len() as u64 == LINES {
            break;
        }
    }
    server.set_moody(false);
    run(&mut pond);
    pond.wait_for("all documents", |_| (server.len() as u64 == LINES).then_some(()));
    assert!(pond.stop().success(), "{}", pond.said());
    println!("{round} rounds, {:?}", server.all_harm());
    let text = |versions: &Vec<Value>| versions[0]["message"].as_str().map(str::to_owned);
    let found: BTreeSet<String> = server.documents().values().filter_map(text).collect();
    assert!(
        found == access_lines(0..LINES).lines().map(str::to_owned).collect(),
        "other lines came than were written"
    );
    assert!(pond.dead_letters().is_empty());
}

#[test]
fn later_versions_win_whatever_fails() {
    const LINES: u64 = 2_000;
    const IDS: u64 = 40;
    let server = Fickle::start();
    let mut pond = pond(&format!(
        "inputs: {{i: {{file: {{paths: [DIR/in.log]}}}}}}
filters: [{{json: {{}}}}]
outputs: {{e: {{elasticsearch: {{endpoints: ['http://{}'], id: '%{{k}}', action: index, bulk_bytes_max: 4KiB, gzip_level: 0, retry_pause_max: 50ms}}}}}}
",
        server.address()
    ));
    server.set_moody(true);
    run(&mut pond);
    let mut written = 0;
    while written < LINES || HARM.iter().any(|harm| !server.all_harm().contains_key(harm)) {
        let versions = written..written + 5 * IDS;
        let text: String = versions.map(|n| format!("{{\"n\":{n},\"k\":\"k{}\"}}\n", n % IDS)).collect();
        pond.append("in.log", &text);
        written += 5 * IDS;
        let last = |versions: &Vec<Value>| versions.last().and_then(|last| last["n"].as_u64());
        pond.wait_for("the last versions", |_| {
            let documents = server.documents();
            let is_last = |versions: &Vec<Value>| last(versions).is_some_and(|n| n >= written - IDS);
            (documents.len() as u64 == IDS && documents.values().all(is_last)).then_some(())
        });
    }
    println!("{written} versions in spite of {:?}", server.all_harm());
    assert!(pond.stop().success(), "{}", pond.said());
    // What was under way when it ended is given again, and makes nothing older of the newest.
    deliver(&mut pond);
    let documents = server.documents();
    assert_eq!(documents.len() as u64, IDS);
    for (id, versions) in documents {
        let numbers: BTreeSet<u64> = versions.iter().filter_map(|version| version["n"].as_u64()).collect();
        assert_eq!(versions.last().and_then(|last| last["n"].as_u64()), numbers.last().copied(), "{id}");
    }
}

#[test]
fn a_password_that_is_corrected_in_its_file_is_taken_up() {
    let topic = unique("password");
    kafka().create_topic(&topic, 1);
    let secret = tempfile::NamedTempFile::new().expect("a file");
    fs::write(secret.path(), "wrong\n").expect("room");
    let sasl = format!(
        "brokers: {}, sasl: {{mechanism: SCRAM-SHA-512, user: app, password_file: '{}'}}",
        list(kafka().sasl()),
        secret.path().display()
    );
    let mut writes = pond(&format!(
        "inputs: {{i: {{file: {{paths: [DIR/in.log]}}}}}}
outputs: {{k: {{kafka: {{{sasl}, topic: {topic}, codec: raw}}}}}}
"
    ));
    let mut reads = pond(&format!(
        "inputs: {{i: {{kafka: {{{sasl}, topics: [{topic}], group: {topic}}}}}}}
outputs: {{f: {{file: {{path: DIR/out, codec: raw}}}}}}
"
    ));
    writes.append("in.log", &lines(0..1_000));
    for pond in [&mut writes, &mut reads] {
        run(pond);
        pond.wait_for("the refusal", |pond| pond.said().contains("uthentication failed").then_some(()));
    }
    fs::write(secret.path(), "app-secret\n").expect("room");
    let found = reads.wait_for("the lines", |pond| {
        let found = whole_lines(pond.path("out"));
        (found.len() >= 1_000).then_some(found)
    });
    assert!(found.iter().map(|line| format!("{line}\n")).eq((0..1_000).map(line)));
    assert!(writes.stop().success() && reads.stop().success());

    let server = Fickle::start();
    server.set_authorization("Basic YXBwOmFwcC1zZWNyZXQ="); // app:app-secret
    fs::write(secret.path(), "wrong\n").expect("room");
    let mut pond = pond(&format!(
        "inputs: {{i: {{file: {{paths: [DIR/in.log]}}}}}}
outputs: {{e: {{elasticsearch: {{endpoints: ['http://{}'], id: event, retry_pause_max: 200ms, gzip_level: 0,
  auth: {{basic: {{user: app, password_file: '{}'}}}}}}}}}}
",
        server.address(),
        secret.path().display()
    ));
    pond.append("in.log", &lines(0..1_000));
    run(&mut pond);
    pond.wait_for("the refusal", |pond| pond.said().contains("answers 401").then_some(()));
    assert_eq!(server.len(), 0);
    fs::write(secret.path(), "app-secret\n").expect("room");
    pond.wait_for("the lines", |_| (server.len() == 1_000).then_some(()));
    assert!(pond.stop().success());
}

#[test]
fn records_that_retention_took_are_reported() {
    let (topic, bootstrap) = (unique("retained"), kafka().bootstrap());
    kafka().create_topic(&topic, 1);
    let produce = |text: &str| {
        let output = kcat(&["-b", bootstrap, "-P", "-t", &topic], text);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let mut pond = pond(&format!(
        "inputs: {{i: {{kafka: {{brokers: {}, topics: [{topic}], group: {topic}}}}}}}
outputs: {{f: {{file: {{path: DIR/out, codec: raw}}}}}}
",
        list(bootstrap)
    ));
    produce(&lines(0..1_000));
    run(&mut pond);
    pond.wait_for("the first", |pond| (whole_lines(pond.path("out")).len() == 1_000).then_some(()));
    assert!(pond.stop().success(), "{}", pond.said());
    produce(&lines(1_000..2_000));
    let before = json!({"partitions": [{"topic": topic, "partition": 0, "offset": 1_400}], "version": 1});
    fs::write(pond.path("before.json"), before.to_string()).expect("room");
    let offsets = pond.path("before.json").display().to_string();
    kafka().tool("org.apache.kafka.tools.DeleteRecordsCommand", &["--offset-json-file", &offsets]);
    run(&mut pond);
    let expected: Vec<u64> = (0..1_000).chain(1_400..2_000).collect();
    pond.wait_for("the rest", |pond| (whole_lines(pond.path("out")).len() >= expected.len()).then_some(()));
    let found = whole_lines(pond.path("out"));
    assert!(found.iter().map(|line| format!("{line}\n")).eq(expected.into_iter().map(line)));
    let said = pond.said();
    let told = said.lines().find(|line| line.contains("records are gone from the log before they were read"));
    assert!(told.is_some_and(|told| told.contains("ERROR") && told.contains("records=400")), "{said}");
}

/// Servers that take nothing: one is not there, and one does not answer.
#[test]
fn sigterm_while_outputs_are_down_ends_soon_and_loses_nothing() {
    const LINES: u64 = 30_000;
    const SOON: Duration = Duration::from_secs(5);
    let hanging = TcpListener::bind("127.0.0.1:0").expect("a port");
    let hanging = hanging.local_addr().expect("an address").to_string();
    let (topic, index) = (unique("terminated"), unique("terminated"));
    kafka().create_topic(&topic, 1);
    for dead in ["127.0.0.1:1", &hanging] {
        for (name, queue) in [("queue", "queue: {}"), ("none", "queue: none\nmemory_limit: 16MiB")] {
            let to_kafka = |broker: &str| {
                format!("outputs: {{k: {{kafka: {{brokers: ['{broker}'], topic: {topic}, codec: raw}}}}}}\n")
            };
            let to_elasticsearch = |address: &str, index: &str| {
                format!(
                    "outputs: {{e: {{elasticsearch: {{endpoints: ['http://{address}'], index: {index}, id: event}}}}}}\n"
                )
            };
            let input = format!("inputs: {{i: {{file: {{paths: [DIR/in.log]}}}}}}\n{queue}\n");
            let index = format!("{index}-{name}-{}", dead.len());
            for (down, up) in [
                (to_kafka(dead), to_kafka(kafka().bootstrap())),
                (to_elasticsearch(dead, &index), to_elasticsearch(elasticsearch().address(), &index)),
            ] {
                let mut pond = pond(&format!("api: {{listen: '127.0.0.1:0'}}\n{input}{down}"));
                pond.append("in.log", &access_lines(0..LINES));
                run(&mut pond);
                pond.wait_address();
                pond.wait_for("something read", |pond| {
                    let read = pond.get("/_logpond/ledger")?["pipelines"][0]["read"].as_u64()?;
                    (read > 1_000).then_some(())
                });
                let begun = Instant::now();
                let status = pond.stop();
                let took = begun.elapsed();
                println!("{name}, {dead}: it ended after {took:?}");
                assert!(status.success() && took < SOON, "{took:?}: {}", pond.said());
                configure(&pond, &format!("{input}{up}"));
                deliver(&mut pond);
                assert!(pond.dead_letters().is_empty());
            }
            assert_eq!(count(elasticsearch(), &index), LINES);
        }
    }
    let output = kcat(&["-b", kafka().bootstrap(), "-C", "-t", &topic, "-o", "beginning", "-e", "-q"], "");
    let mut counts: BTreeMap<&[u8], u64> = BTreeMap::new();
    output.stdout.split(|byte| *byte == b'\n').for_each(|line| *counts.entry(line).or_default() += 1);
    counts.remove(&[][..]);
    assert_eq!(counts.len() as u64, LINES);
    // One of each of the four.
    assert!(counts.values().all(|count| *count == 4));
}

#[test]
fn sigterm_while_what_is_read_of_a_topic_goes_nowhere_ends_soon_and_loses_nothing() {
    const LINES: u64 = 100_000;
    let (topic, index, bootstrap) = (unique("waiting"), unique("waiting"), kafka().bootstrap());
    kafka().create_topic(&topic, 2);
    let output = kcat(&["-b", bootstrap, "-P", "-t", &topic], &lines(0..LINES));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let config = |address: &str, queue: &str| {
        format!(
            "inputs: {{i: {{kafka: {{brokers: {}, topics: [{topic}], group: {topic}}}}}}}
outputs: {{e: {{elasticsearch: {{endpoints: ['http://{address}'], index: {index}, id: event}}}}}}
memory_limit: 8MiB\nqueue: {queue}\n",
            list(bootstrap)
        )
    };
    let mut pond = pond("");
    for queue in ["none", "{bytes_max: 4MiB}", "none"] {
        configure(&pond, &config("127.0.0.1:1", queue));
        let begun = Instant::now();
        run(&mut pond);
        pond.wait_for("word of the trouble", |pond| pond.said().contains("cannot deliver").then_some(()));
        // The one before has said goodbye: nobody waits for the end of its session, 45 s.
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", pond.said());
        let begun = Instant::now();
        let status = pond.stop();
        let took = begun.elapsed();
        println!("queue: {queue}: it ended after {took:?}");
        assert!(status.success() && took < Duration::from_secs(5), "{took:?}: {}", pond.said());
    }
    configure(&pond, &config(elasticsearch().address(), "{bytes_max: 4MiB}"));
    run(&mut pond);
    pond.wait_for("all documents", |_| {
        let count = count(elasticsearch(), &index);
        assert!(count <= LINES, "{count} documents");
        (count == LINES).then_some(())
    });
    assert!(pond.stop().success(), "{}", pond.said());
}

/// From a file through Kafka and another pond into Elasticsearch, while both ponds die at random
/// moments: what is told by its id is there once.
#[test]
fn both_ponds_of_a_chain_are_killed_and_each_line_is_there_once() {
    const ROUNDS: usize = 6;
    let (topic, index) = (unique("chain"), unique("chain"));
    kafka().create_topic(&topic, 3);
    let brokers = list(kafka().bootstrap());
    let first = pond(&format!(
        "inputs: {{i: {{file: {{paths: [DIR/in.log]}}}}}}
outputs: {{k: {{kafka: {{brokers: {brokers}, topic: {topic}, codec: raw, batch_bytes: 2KiB}}}}}}
"
    ));
    let second = pond(&format!(
        "inputs: {{i: {{kafka: {{brokers: {brokers}, topics: [{topic}], group: {topic}, group_instance_id: one, session_timeout: 6s, heartbeat_interval: 1s}}}}}}
filters: [{{json: {{}}}}]
outputs: {{e: {{elasticsearch: {{endpoints: ['http://{}'], index: {index}, id: 'line-%{{n}}', bulk_bytes_max: 16KiB}}}}}}
",
        elasticsearch().address()
    ));
    let mut ponds = [first, second];
    ponds.iter_mut().for_each(run);
    let load = Load::start(ponds[0].path("in.log"));
    let mut random = fastrand::Rng::new();
    let (begun, mut round) = (Instant::now(), 0);
    while round < ROUNDS || begun.elapsed() < soak() {
        // Only a pond that has got further than before has something to lose.
        let before = count(elasticsearch(), &index);
        ponds[1].wait_for("more documents", |_| (count(elasticsearch(), &index) > before).then_some(()));
        std::thread::sleep(Duration::from_millis(random.u64(0..300)));
        let victims = match round % 3 {
            0 => &mut ponds[..1],
            1 => &mut ponds[1..],
            _ => &mut ponds[..],
        };
        victims.iter_mut().for_each(Pond::kill);
        victims.iter_mut().for_each(run);
        round += 1;
    }
    let total = load.end();
    let mut found = 0;
    // However long it takes, as long as it goes on.
    while found < total {
        let before = found;
        found = ponds[1].wait_for(&format!("more documents than {before} of {total}"), |_| {
            let count = count(elasticsearch(), &index);
            (count > before).then_some(count)
        });
    }
    assert_eq!(found, total);
    for pond in &mut ponds {
        assert!(pond.stop().success(), "{}", pond.said());
        assert!(pond.dead_letters().is_empty());
    }
    let records = kcat(&["-b", kafka().bootstrap(), "-C", "-t", &topic, "-o", "beginning", "-e", "-q"], "");
    let records = records.stdout.iter().filter(|byte| **byte == b'\n').count() as u64;
    println!("{total} lines, {records} records, {total} documents after {round} kills");
    assert!(records >= total);
}

/// How many documents an index holds by now.
fn count(server: &Server, index: &str) -> u64 {
    server.request("POST", &format!("/{index}/_refresh"), "application/json", "");
    let answer = server.request("GET", &format!("/{index}/_count"), "application/json", "");
    // There is no index before the first document.
    let found: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    found["count"].as_u64().unwrap_or(0)
}

/// The most memory that a process has had, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    peak.expect("a running process")
}

#[test]
fn memory_stays_small_while_all_outputs_are_down() {
    const LIMIT_KIB: u64 = 100 << 10;
    let outputs = "outputs:
  k: {kafka: {brokers: ['127.0.0.1:1'], topic: t}}
  e: {elasticsearch: {endpoints: ['http://127.0.0.1:1'], id: event}}
";
    for (what, queue) in
        [("a queue that becomes full", "queue: {bytes_max: 32MiB}"), ("no queue", "queue: none")]
    {
        let mut pond = pond(&format!(
            "api: {{listen: '127.0.0.1:0'}}\ninputs: {{i: {{file: {{paths: [DIR/in.log]}}}}}}\n{queue}\n{outputs}"
        ));
        let text = access_lines(0..500_000);
        (0..4).for_each(|_| pond.append("in.log", &text));
        run(&mut pond);
        pond.wait_address();
        // Until nothing more is read for a while.
        let read = |pond: &Pond| pond.get("/_logpond/ledger")?["pipelines"][0]["read"].as_u64();
        let (mut last, mut since) = (0, Instant::now());
        pond.wait_for("an input that waits", |pond| {
            let now = read(pond)?;
            if now != last {
                (last, since) = (now, Instant::now());
            }
            (last > 0 && since.elapsed() > Duration::from_secs(3)).then_some(())
        });
        std::thread::sleep(soak());
        let peak = peak_kib(pond.id());
        println!("{what}: {last} lines read, {peak} KiB");
        assert!(last < 2_000_000, "{what}: the input was not held up");
        assert!(peak <= LIMIT_KIB, "{what}: {peak} KiB");
        assert!(pond.stop().success());
    }
}
