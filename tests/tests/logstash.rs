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

fn run(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(binary())
        .args(arguments)
        .current_dir(folder)
        .env("SITE", "north")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
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
