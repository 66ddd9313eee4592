//! Configs of Logstash, run by the program.

use crate::http;
use crate::pond::{PATIENCE, Pond, binary, free_port};
use crate::receiver::{self, Receiver, Reply};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::sleep;
use std::time::{Duration, Instant};

fn run(folder: &Path, arguments: &[&str], input: impl AsRef<[u8]>) -> Output {
    let mut child = Command::new(binary())
        .args(arguments)
        .current_dir(folder)
        .env("SITE", "north")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child.stdin.take().expect("its input").write_all(input.as_ref()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const CONFIG: &str = r##"
input { stdin { type => "web" add_field => { "site" => "${SITE}" } } }
filter {
  grok { match => { "message" => "%{WORD:verb} %{INT:status:int}( %{GREEDYDATA:rest})?" } }
  if "_grokparsefailure" in [tags] {
    mutate { replace => { "verb" => "none" } }
  } else if [status] >= 500 {
    mutate { add_tag => ["bad", "%{verb}"] remove_field => "rest" }
  } else {
    drop { }
  }
  mutate { remove_field => ["host", "[@metadata]"] gsub => ["message", "\d", "#"] }
}
output {
  if "bad" in [tags] { file { path => "FOLDER/%{site}-%{verb}.log" codec => line { format => "%{verb} %{status} %{tags} %{message}" } } }
  else { file { path => "FOLDER/rest.log" codec => json_lines } }
}
"##;

#[test]
fn a_config_runs_and_its_translation_does_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let out = |name: &str| fs::read_to_string(at.join("out").join(name)).unwrap_or_default();
    let lines = "GET 503 a\nPUT 200\nGET 500\n???\n";
    fs::create_dir(at.join("out")).expect("a folder");
    fs::write(at.join("a.conf"), CONFIG.replace("FOLDER", &at.join("out").display().to_string()))
        .expect("a config");

    let found = run(at, &["translate", "a.conf"], "");
    assert!(found.status.success(), "{}", text(&found.stderr));
    fs::write(at.join("plan.yaml"), &found.stdout).expect("a config");

    let ways: [&[&str]; 2] = [
        &["run", "-f", "a.conf", "--path.data", "one", "-w", "1", "--until-idle"],
        &["run", "-c", "plan.yaml", "--data-dir", "two", "--until-idle"],
    ];
    for way in ways {
        let found = run(at, way, lines);
        assert!(found.status.success(), "{}", text(&found.stderr));
        assert_eq!(out("north-GET.log"), "GET 503 bad,GET GET ### a\nGET 500 bad,GET GET ###\n");
        let rest: serde_json::Value = serde_json::from_str(&out("rest.log")).expect("a line of JSON");
        assert_eq!(
            rest,
            serde_json::json!({"@timestamp": rest["@timestamp"], "message": "???", "@version": "1", "type": "web",
                "site": "north", "tags": ["_grokparsefailure"], "verb": "none"})
        );
        fs::remove_dir_all(at.join("out")).expect("the folder goes");
        fs::create_dir(at.join("out")).expect("a folder");
    }
}

#[test]
fn the_letters_of_the_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let found = run(at, &["run", "-t", "-e", "filter { mutate { } }"], "");
    assert!(
        found.status.success() && text(&found.stdout).ends_with("Configuration OK\n"),
        "{}",
        text(&found.stderr)
    );
    let config =
        "input { generator { message => 'hi' count => 2 } } output { stdout { codec => rubydebug } }";
    let found = run(at, &["run", "-e", config, "--path.data", "d", "--until-idle"], "");
    let said = text(&found.stdout);
    assert_eq!(said.matches("\"message\" => \"hi\"").count(), 2, "{said}{}", text(&found.stderr));
    assert!(said.contains("\"sequence\" => 1"), "{said}");
    let found = run(at, &["check", "-e", "filter { grko { } }"], "");
    assert!(!found.status.success());
    let said = text(&found.stderr);
    assert!(said.contains("config.string:1:10: unknown filter \"grko\"; did you mean \"grok\"?"), "{said}");
    let found = run(at, &["check"], "");
    assert!(text(&found.stderr).contains("a config is missing"), "{}", text(&found.stderr));
}

/// A pipeline from HTTP to HTTP with a queue on disk between them, and these settings more; what it
/// is sent to takes nothing before it is let.
struct Queued {
    pond: Pond,
    port: u16,
    receiver: Receiver,
    takes: Arc<AtomicBool>,
    /// The numbers of the events that were answered 200.
    accepted: BTreeSet<usize>,
}

impl Queued {
    fn new(settings: &str) -> Self {
        let takes: Arc<AtomicBool> = Arc::default();
        let gate = takes.clone();
        let receiver = Receiver::start(move |_, _| match gate.load(SeqCst) {
            true => Reply::Status(200, String::new()),
            false => Reply::Status(503, String::new()),
        });
        let (pond, port) = (Pond::new(), free_port());
        let config = format!(
            "input {{ http {{ host => \"127.0.0.1\" port => {port} max_pending_requests => 4 }} }}\n\
             output {{ http {{ url => \"http://{}/\" http_method => \"post\" format => \"json\" }} }}\n",
            receiver.address()
        );
        fs::write(pond.path("a.conf"), config).expect("a config");
        let settings = format!("pipeline.ecs_compatibility: disabled\nqueue.type: persisted\n{settings}");
        fs::write(pond.path("logstash.yml"), settings).expect("a config");
        let mut own = Self { pond, port, receiver, takes, accepted: BTreeSet::new() };
        own.start();
        own
    }

    fn start(&mut self) {
        let arguments = ["run", "-f", "a.conf", "--path.settings", ".", "--path.data", "data"];
        let command = self.pond.command(&arguments);
        self.pond.start(command);
        let port = self.port;
        self.pond.wait_for("the input", |_| TcpStream::connect(("127.0.0.1", port)).ok());
    }

    /// Sends events of a kilobyte until there is no end to being told to come again later, or so
    /// many were accepted.
    fn fill(&mut self, most: usize) {
        let address = format!("127.0.0.1:{}", self.port);
        let (next, is_over) = (AtomicUsize::new(self.accepted.len()), AtomicBool::new(false));
        let until = Instant::now() + PATIENCE;
        let send = |n: usize| {
            let body = format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(1_000));
            // One that waits for room in the queue is not answered.
            let wait = Duration::from_secs(6);
            http::request(&address, "POST", "/", "application/json", &body, wait).map(|answer| answer.status)
        };
        let sender = || {
            let (mut accepted, mut later) = (Vec::new(), 0);
            let mut n = next.fetch_add(1, SeqCst);
            while n < most && !is_over.load(SeqCst) && Instant::now() < until {
                match send(n) {
                    // All places are taken: for the moment, or for good.
                    Ok(429) if later < 400 => {
                        later += 1;
                        sleep(Duration::from_millis(5));
                        continue;
                    }
                    Ok(429) => is_over.store(true, SeqCst),
                    Ok(200) => accepted.push(n),
                    _ => {}
                }
                later = 0;
                n = next.fetch_add(1, SeqCst);
            }
            accepted
        };
        let accepted: Vec<Vec<usize>> = std::thread::scope(|scope| {
            // One more than there are places.
            let senders: Vec<_> = (0..5).map(|_| scope.spawn(sender)).collect();
            senders.into_iter().map(|sender| sender.join().expect("a sender")).collect()
        });
        self.accepted.extend(accepted.into_iter().flatten());
        assert!(is_over.load(SeqCst) || most < usize::MAX, "it went on accepting");
    }

    /// Lets everything through, and waits until all that was accepted came.
    fn all_comes(&mut self) {
        self.takes.store(true, SeqCst);
        let (receiver, accepted) = (&self.receiver, &self.accepted);
        self.pond.wait_for("all that was accepted", |_| came(receiver).is_superset(accepted).then_some(()));
    }

    /// The sizes of the queue's files.
    fn pages(&self) -> Vec<u64> {
        let folder = fs::read_dir(self.pond.data().join("queue/main")).expect("the queue");
        let files = folder.map(|entry| entry.expect("a file"));
        let pages =
            files.filter(|file| file.path().extension().is_some_and(|extension| extension == "queue"));
        pages.map(|file| file.metadata().expect("its size").len()).collect()
    }
}

/// The numbers of the events that the receiver took.
fn came(receiver: &Receiver) -> BTreeSet<usize> {
    let number = |request: &receiver::Request| {
        let event: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
        event["n"].as_u64().expect("a number") as usize
    };
    receiver.taken().iter().map(number).collect()
}

#[test]
fn at_its_limit_of_events_the_queue_says_come_later_and_loses_nothing() {
    let mut queued = Queued::new("queue.max_events: 100\n");
    queued.fill(usize::MAX);
    let accepted = queued.accepted.len();
    assert!((90..=110).contains(&accepted), "{accepted} events were accepted");
    // Each was on the disk when it was answered, whatever the checkpoints say.
    queued.pond.kill();
    queued.start();
    queued.all_comes();
}

#[test]
fn at_its_limit_of_bytes_the_queue_says_come_later_and_loses_nothing() {
    let mut queued = Queued::new("queue.max_bytes: 512kb\nqueue.page_capacity: 32kb\n");
    queued.fill(usize::MAX);
    let accepted = queued.accepted.len();
    assert!((300..=600).contains(&accepted), "{accepted} events were accepted");
    let pages = queued.pages();
    assert!(pages.len() >= 10, "{pages:?}");
    assert!(pages.iter().all(|bytes| *bytes < 40 << 10), "{pages:?}");
    assert!(pages.iter().sum::<u64>() < 600 << 10, "{pages:?}");
    queued.all_comes();
}

#[test]
fn the_queue_is_emptied_before_the_end_when_that_is_asked_for() {
    let mut queued = Queued::new("queue.drain: true\n");
    queued.fill(50);
    assert_eq!(queued.accepted.len(), 50);
    let pid = rustix::process::Pid::from_raw(queued.pond.id() as i32).expect("a number");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("our own child");
    queued.pond.wait_for("its word", |pond| pond.said().contains("empties its queue").then_some(()));
    assert_eq!(came(&queued.receiver), BTreeSet::new());
    queued.takes.store(true, SeqCst);
    queued.pond.wait_end();
    assert_eq!(came(&queued.receiver), queued.accepted);
}

#[test]
fn the_queue_is_kept_for_the_next_start_otherwise() {
    let mut queued = Queued::new("");
    queued.fill(50);
    assert!(queued.pond.stop().success(), "{}", queued.pond.said());
    assert_eq!(came(&queued.receiver), BTreeSet::new());
    queued.start();
    queued.all_comes();
    assert_eq!(came(&queued.receiver), queued.accepted);
}

const TRACES: &str = r#"codec => multiline {
  pattern => "^%{TIMESTAMP_ISO8601} " negate => true what => "previous" charset => "ISO-8859-15" auto_flush_interval => 1
}"#;

#[test]
fn lines_are_joined_by_a_pattern_of_grok() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!("input {{ stdin {{ {TRACES} }} }} output {{ stdout {{ codec => json_lines }} }}");
    let lines = b"2026-11-21T12:00:00Z M\xfcller owes 5 \xa4\n  at a\n  at b\n2026-11-21T12:00:01Z fine\n";
    let found =
        run(folder.path(), &["run", "-e", &config, "--path.data", "d", "--until-idle"], lines.as_slice());
    let said = text(&found.stdout);
    let events: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(events.len(), 2, "{said}{}", text(&found.stderr));
    assert_eq!(events[0]["message"], "2026-11-21T12:00:00Z Müller owes 5 €\n  at a\n  at b");
    assert_eq!(events[0]["tags"], serde_json::json!(["multiline"]));
    assert_eq!(events[1]["message"], "2026-11-21T12:00:01Z fine");
    assert!(events[1].get("tags").is_none(), "{said}");
}

#[test]
fn each_connection_has_its_own_lines_to_join() {
    let (mut pond, port) = (Pond::new(), free_port());
    let out = pond.path("out");
    let config = format!(
        "input {{ tcp {{ host => '127.0.0.1' port => {port} {TRACES} }} }} output {{ file {{ path => '{}' codec => line {{ format => '%{{message}}|' }} }} }}",
        out.display()
    );
    fs::write(pond.path("a.conf"), config).expect("a config");
    let command = pond.command(&["run", "-f", "a.conf", "--path.data", "data"]);
    pond.start(command);
    let connect =
        |pond: &mut Pond| pond.wait_for("the input", |_| TcpStream::connect(("127.0.0.1", port)).ok());
    let (one, other) = (connect(&mut pond), connect(&mut pond));
    let came = |pond: &mut Pond, count: usize| {
        pond.wait_for("the events", |_| {
            let text = fs::read_to_string(&out).unwrap_or_default();
            let events: BTreeSet<String> =
                text.split_terminator("|\n").map(|event| event.replace('\n', "/")).collect();
            (events.len() == count).then_some(events)
        })
    };
    for (mut connection, lines) in [
        (&one, "2026-11-21T12:00:00Z one\n a"),
        (&other, "2026-11-21T12:00:00Z other\r\n b\r\n"),
        (&one, "a\n"),
    ] {
        connection.write_all(lines.as_bytes()).expect("it takes it");
    }
    // Nothing more comes, so both are whole after a second.
    let found = came(&mut pond, 2);
    let expected = ["2026-11-21T12:00:00Z one/ aa", "2026-11-21T12:00:00Z other/ b"];
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    // The end of a connection is the end of its lines.
    (&one).write_all(b"2026-11-21T12:00:02Z last\n  x").expect("it takes it");
    drop(one);
    assert!(came(&mut pond, 3).contains("2026-11-21T12:00:02Z last/  x"));
    assert!(pond.stop().success());
}

#[test]
fn samples_are_tried_without_running() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let config = r#"
input { udp { port => 5140 codec => json } kafka { topics => ["t"] } }
filter {
  if [health] { drop { } }
  grok { match => { "message" => "%{WORD:verb} %{INT:status:int}" } }
}
output { if [status] >= 500 { elasticsearch { hosts => ["http://es:9200"] } } else { null { } } }
"#;
    fs::write(at.join("a.conf"), config).expect("a config");
    let cases = r#"
- name: an error goes to the store
  input: udp
  lines: ['{"message":"GET 503","took":1.5}']
  expect:
  - fields: {verb: GET, status: 503}
    absent: [tags]
    meets: ['.took > 1']
    outputs: [elasticsearch]
- name: checks are dropped
  input: kafka
  events: [{message: x, health: true}]
  expect: []
"#;
    fs::write(at.join("cases.yaml"), cases).expect("cases");
    let found = run(at, &["test", "-f", "a.conf", "--cases", "cases.yaml"], "");
    assert!(found.status.success(), "{}{}", text(&found.stdout), text(&found.stderr));
    assert!(text(&found.stdout).ends_with("2 cases, 0 failed\n"), "{}", text(&found.stdout));

    fs::write(at.join("wrong.yaml"), cases.replace("status: 503", "status: 500")).expect("cases");
    let found = run(at, &["test", "-f", "a.conf", "--cases", "wrong.yaml", "--json"], "");
    assert_eq!(found.status.code(), Some(1));
    let told: serde_json::Value = serde_json::from_slice(&found.stdout).expect("JSON");
    assert_eq!(told["failed"], 1);
    assert_eq!(told["cases"][0]["place"], "wrong.yaml:2");
    assert_eq!(told["cases"][0]["differences"][0], "document 1: status is 503, expected 500");

    let lines = ["test", "-f", "a.conf", "--lines", "-", "--json"];
    let found = run(at, &lines, "");
    assert!(
        text(&found.stderr).contains("say which input is meant; there are kafka, udp"),
        "{}",
        text(&found.stderr)
    );
    let found = run(at, &[&lines[..], &["--input", "kafka"]].concat(), "GET 200\nnothing\n");
    let told = text(&found.stdout);
    let told: Vec<serde_json::Value> =
        told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(told[0]["document"]["status"], 200);
    assert_eq!(told[1]["document"]["tags"], serde_json::json!(["_grokparsefailure"]));
    assert_eq!(told[0]["outputs"], serde_json::json!(["null"]));
}
