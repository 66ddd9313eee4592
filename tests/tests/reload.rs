//! Changed configs, taken up under load: every line arrives, bad configs change nothing, what did not
//! change is not disturbed.
//!
//! `./dev soak faults` does the same for longer.

use crate::http;
use crate::nemesis::soak;
use crate::pond::{PATIENCE, Pond, free_port};
use crate::receiver::{Receiver, Reply};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// No reload may take longer: an input says goodbye to who is connected within three seconds, and an
/// output that is down is waited for for two.
const RELOAD_MAX: f64 = 8.0;

fn configure(pond: &Pond, config: &str) {
    let folder = pond.folder.path().display().to_string();
    // As an editor does it that writes in place, and not at once.
    let config = config.replace("DIR", &folder);
    let (first, rest) = config.split_at(config.len() / 2);
    fs::write(pond.path("pond.yml"), first).expect("room");
    let mut file = fs::OpenOptions::new().append(true).open(pond.path("pond.yml")).expect("the file");
    file.write_all(rest.as_bytes()).expect("room");
}

fn run(pond: &mut Pond) {
    let command = pond.command(&["run", "-c", "pond.yml", "--data-dir", "data"]);
    pond.start(command);
    // Then it can be asked.
    pond.wait_for("the start", |pond| pond.said().contains("logpond: running").then_some(()));
}

/// What the pond says of a reload that it was asked for on its control socket.
fn reload(pond: &Pond) -> Value {
    let output =
        pond.command(&["reload", "--data-dir", "data", "--json"]).output().expect("the binary starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let outcome: Value = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}{}\n{}", String::from_utf8_lossy(&output.stderr), pond.said()));
    assert_eq!(output.status.success(), outcome["ok"] == true, "{outcome:#}");
    outcome
}

/// Threads that send numbered lines by every way, until they are told to end.
struct Senders {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// What must arrive.
    sent: Arc<Mutex<BTreeSet<String>>>,
}

impl Senders {
    fn new() -> Self {
        Self { is_over: Arc::default(), threads: Vec::new(), sent: Arc::default() }
    }

    fn add(&mut self, name: &str, mut send: impl FnMut(&str) -> bool + Send + 'static) {
        let (is_over, sent, name) = (self.is_over.clone(), self.sent.clone(), name.to_owned());
        let next = AtomicU64::new(0);
        self.threads.push(std::thread::spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                let from = next.fetch_add(10, Ordering::SeqCst);
                let lines: Vec<String> = (from..from + 10).map(|n| format!("{name}-{n}")).collect();
                let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
                if send(&text) {
                    sent.lock().expect("a lock").extend(lines);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }));
    }

    /// Lines of a file.
    fn file(&mut self, path: PathBuf) {
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).expect("a file");
        self.add(&name, move |text| file.write_all(text.as_bytes()).is_ok());
    }

    /// Lines over one connection, which must never break.
    fn tcp(&mut self, port: u16) {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the input");
        self.add("tcp", move |text| {
            stream.write_all(text.as_bytes()).expect("the connection of an input that did not change");
            true
        });
    }

    /// Lines by requests, of which only those count that were answered; says how long no request was
    /// answered at most.
    fn http(&mut self, port: u16) -> Arc<Mutex<Duration>> {
        let longest = Arc::new(Mutex::new(Duration::ZERO));
        let (mut last, told) = (Instant::now(), longest.clone());
        self.add("web", move |text| {
            let address = format!("127.0.0.1:{port}");
            let sent = http::request(&address, "POST", "/", "text/plain", text, PATIENCE);
            let is_taken = sent.is_ok_and(|answer| answer.status == 200);
            if is_taken {
                let mut longest = told.lock().expect("a lock");
                *longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            is_taken
        });
        longest
    }

    /// Ends the sending, and gives what must arrive.
    fn end(self) -> BTreeSet<String> {
        self.is_over.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().expect("a sender"));
        self.sent.lock().expect("a lock").clone()
    }
}

/// The lines in a file of output.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().flat_map(|line| line.split("\\n")).map(str::to_owned).collect()
}

#[track_caller]
fn wait_all(pond: &mut Pond, name: &str, wanted: &BTreeSet<String>) {
    let path = pond.path(name);
    let until = Instant::now() + PATIENCE;
    loop {
        let found: BTreeSet<String> = lines(&path).into_iter().collect();
        let missing: Vec<&String> = wanted.difference(&found).collect();
        if missing.is_empty() {
            return;
        }
        assert!(
            Instant::now() < until,
            "{} of {} lines are missing in {name}, such as {:?}; the program said:\n{}",
            missing.len(),
            wanted.len(),
            &missing[..missing.len().min(5)],
            pond.said()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A config that differs from another in what is asked for.
#[derive(Debug, Clone)]
struct Variant {
    filter: u64,
    /// The output that all is held against is down.
    is_down: bool,
    has_second: bool,
    has_dead: bool,
    has_web: bool,
    /// An option of the input `web`.
    connections: u64,
    has_other: bool,
    other_filter: u64,
    queue_mib: u64,
    path: &'static str,
}

const BASE: Variant = Variant {
    filter: 0,
    is_down: false,
    has_second: false,
    has_dead: false,
    has_web: true,
    connections: 100,
    has_other: true,
    other_filter: 0,
    queue_mib: 256,
    path: "/a",
};

impl Variant {
    /// Changes one thing.
    fn change(&mut self, random: &mut fastrand::Rng) {
        match random.u8(0..11) {
            0 => self.filter += 1,
            1 => self.is_down = !self.is_down,
            2 => self.has_second = !self.has_second,
            3 => self.has_dead = !self.has_dead,
            4 => self.has_web = !self.has_web,
            5 => self.connections += 1,
            6 => self.has_other = !self.has_other,
            7 => self.other_filter += 1,
            8 => self.queue_mib = 256 + (self.queue_mib + 1) % 8,
            9 => self.path = if self.path == "/a" { "/b" } else { "/a" },
            // The same again.
            _ => {}
        }
    }

    fn config(&self, ports: &Ports, receiver: &str) -> String {
        let mut out = format!(
            "pipelines:
  main:
    queue: {{bytes_max: {}MiB}}
    inputs:
      f: {{file: {{paths: [DIR/file.log]}}}}
      t: {{tcp: {{listen: ['127.0.0.1:{}']}}}}
",
            self.queue_mib, ports.tcp
        );
        if self.has_web {
            out += &format!(
                "      w: {{http: {{listen: ['127.0.0.1:{}'], connections_max: {}}}}}\n",
                ports.http, self.connections
            );
        }
        out +=
            &format!("    filters: [{{set: {{fields: {{generation: {}}}}}}}]\n    outputs:\n", self.filter);
        out += if self.is_down {
            "      a: {http: {url: 'http://127.0.0.1:1/', retry_pause_max: 100ms}}\n"
        } else {
            "      a: {file: {path: DIR/a.out, codec: {text: '%{message}'}}}\n"
        };
        if self.has_second {
            out += "      second: {file: {path: DIR/second.out, codec: {text: '%{message}'}}, when: .generation > 1}\n";
        }
        if self.has_dead {
            out += "      dead: {elasticsearch: {endpoints: ['http://127.0.0.1:1']}}\n";
        }
        out += &format!(
            "      z: {{http: {{url: 'http://{receiver}{}', codec: {{text: '%{{message}}'}}, retry_pause_max: 100ms}}}}\n",
            self.path
        );
        if self.has_other {
            out += &format!(
                "  other:
    queue: none
    inputs: {{o: {{file: {{paths: [DIR/other.log]}}}}}}
    filters: [{{set: {{fields: {{generation: {}}}}}}}]
    outputs: {{b: {{file: {{path: DIR/b.out, codec: {{text: '%{{message}}'}}}}}}}}
",
                self.other_filter
            );
        }
        out
    }
}

struct Ports {
    tcp: u16,
    http: u16,
}

/// What is wrong with a bad config, by turns.
fn spoil(config: &str, n: u64, taken: u16) -> String {
    match n % 5 {
        0 => format!("{config}  nonsense: {{\n"),
        1 => config.replace("file: {paths", "file: {pahts"),
        2 => config.replace("listen: ['127.0.0.1:", &format!("listen: ['127.0.0.1:{taken}', '127.0.0.1:")),
        3 => config
            .replace("set: {fields: {generation", "grok: {patterns: ['%{NO_SUCH}'], fields: {generation"),
        _ => config.replace("    outputs:\n", "    outputs:\n      s: store\n"),
    }
}

#[test]
fn reloads_under_load_lose_nothing() {
    const RELOADS: u64 = 30;
    let receiver = Receiver::start(|n, _| match n % 50 {
        49 => Reply::Status(503, String::new()),
        _ => Reply::Status(200, String::new()),
    });
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken_port = taken.local_addr().expect("an address").port();
    let ports = Ports { tcp: free_port(), http: free_port() };
    let mut pond = Pond::new();
    let mut variant = BASE;
    configure(&pond, &variant.config(&ports, receiver.address()));
    run(&mut pond);
    pond.wait_for("the inputs", |_| TcpStream::connect(("127.0.0.1", ports.http)).ok());
    let mut senders = Senders::new();
    senders.file(pond.path("file.log"));
    senders.file(pond.path("other.log"));
    senders.tcp(ports.tcp);
    senders.http(ports.http);
    let mut random = fastrand::Rng::new();
    println!("seed {}", random.get_seed());
    let (begun, mut n, mut bad, mut slowest) = (Instant::now(), 0, 0, 0.0_f64);
    while n < RELOADS || begun.elapsed() < soak() {
        n += 1;
        std::thread::sleep(Duration::from_millis(random.u64(0..120)));
        let mut next = variant.clone();
        next.change(&mut random);
        let config = next.config(&ports, receiver.address());
        let is_bad = n % 3 == 0;
        configure(&pond, &if is_bad { spoil(&config, n / 3, taken_port) } else { config });
        let outcome = reload(&pond);
        assert_eq!(outcome["ok"], !is_bad, "{next:?} {outcome:#}\n{}", pond.said());
        let took = outcome["took_seconds"].as_f64().expect("a number");
        slowest = slowest.max(took);
        assert!(took < RELOAD_MAX, "{next:?} after {variant:?}: {outcome:#}\n{}", pond.said());
        if is_bad {
            bad += 1;
            assert!(
                outcome["problems"][0].as_str().is_some_and(|problem| !problem.is_empty()),
                "{outcome:#}"
            );
        } else {
            variant = next;
        }
    }
    println!("{n} reloads, {bad} of them bad, the slowest took {slowest:.2} s");
    configure(&pond, &BASE.config(&ports, receiver.address()));
    assert_eq!(reload(&pond)["ok"], true);
    let sent = senders.end();
    let of = |is_wanted: fn(&str) -> bool| -> BTreeSet<String> {
        sent.iter().filter(|line| is_wanted(line)).cloned().collect()
    };
    let (main, other) = (of(|line| !line.starts_with("other-")), of(|line| line.starts_with("other-")));
    assert!(main.len() > 100 && other.len() > 100, "{} {}", main.len(), other.len());
    wait_all(&mut pond, "a.out", &main);
    wait_all(&mut pond, "b.out", &other);
    let until = Instant::now() + PATIENCE;
    loop {
        let texts: Vec<String> = receiver.taken().iter().map(crate::receiver::Request::text).collect();
        let found: BTreeSet<String> = texts
            .iter()
            .flat_map(|text| text.lines().flat_map(|line| line.split("\\n")))
            .map(str::to_owned)
            .collect();
        if main.is_subset(&found) {
            break;
        }
        assert!(Instant::now() < until, "{} lines did not reach the server", main.difference(&found).count());
        std::thread::sleep(Duration::from_millis(100));
    }
    let again = lines(&pond.path("a.out")).len();
    println!("{} lines, {again} in the file", main.len());
    assert!(pond.stop().success(), "{}", pond.said());
    assert!(pond.dead_letters().is_empty(), "{:?}", pond.dead_letters());
}

/// The program dies in the middle of reloads; what was accepted is there in the end.
#[test]
fn kill_minus_nine_in_mid_reload_loses_nothing() {
    const KILLS: u64 = 6;
    let ports = Ports { tcp: free_port(), http: free_port() };
    let receiver = Receiver::start(|_, _| Reply::Status(200, String::new()));
    let mut pond = Pond::new();
    let mut variant = BASE;
    let mut random = fastrand::Rng::new();
    println!("seed {}", random.get_seed());
    let mut senders = Senders::new();
    senders.file(pond.path("file.log"));
    senders.file(pond.path("other.log"));
    senders.http(ports.http);
    let (begun, mut kills) = (Instant::now(), 0);
    while kills < KILLS || begun.elapsed() < soak() {
        kills += 1;
        configure(&pond, &variant.config(&ports, receiver.address()));
        run(&mut pond);
        std::thread::sleep(Duration::from_millis(random.u64(100..400)));
        for _ in 0..4 {
            variant.change(&mut random);
        }
        configure(&pond, &variant.config(&ports, receiver.address()));
        hang_up(&pond);
        std::thread::sleep(Duration::from_millis(random.u64(100..700)));
        pond.kill();
    }
    configure(&pond, &BASE.config(&ports, receiver.address()));
    run(&mut pond);
    pond.wait_for("the input", |_| TcpStream::connect(("127.0.0.1", ports.http)).ok());
    let sent = senders.end();
    let (main, other): (BTreeSet<String>, BTreeSet<String>) =
        sent.into_iter().partition(|line| !line.starts_with("other-"));
    wait_all(&mut pond, "a.out", &main);
    wait_all(&mut pond, "b.out", &other);
    assert!(pond.stop().success(), "{}", pond.said());
}

fn hang_up(pond: &Pond) {
    let pid = rustix::process::Pid::from_raw(pond.id().cast_signed()).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("our own child");
}

fn one_file(more: &str, output: &str) -> String {
    format!(
        "{more}inputs: {{i: {{file: {{paths: [DIR/in.log]}}}}}}\noutputs: {{o: {{file: {{path: DIR/{output}, codec: {{text: '%{{message}}'}}}}}}}}\n"
    )
}

#[test]
fn signals_and_looks_take_up_what_is_whole() {
    let mut pond = Pond::new();
    configure(&pond, &one_file("", "1.out"));
    run(&mut pond);
    pond.append("in.log", "one\n");
    pond.wait_for("the first line", |pond| (lines(&pond.path("1.out")) == ["one"]).then_some(()));
    configure(&pond, &one_file("", "2.out"));
    // Nobody asked for it.
    std::thread::sleep(Duration::from_millis(500));
    pond.append("in.log", "two\n");
    pond.wait_for("the second line", |pond| (lines(&pond.path("1.out")) == ["one", "two"]).then_some(()));
    hang_up(&pond);
    pond.wait_for("the reload", |pond| pond.said().contains("the config was taken up").then_some(()));
    pond.append("in.log", "three\n");
    pond.wait_for("the third line", |pond| (lines(&pond.path("2.out")) == ["three"]).then_some(()));
    // A bad one is told with its place, and changes nothing.
    configure(&pond, &one_file("", "3.out").replace("codec", "kodec"));
    hang_up(&pond);
    pond.wait_for("the complaint", |pond| pond.said().contains("pond.yml:2:").then_some(()));
    pond.append("in.log", "four\n");
    pond.wait_for("the fourth line", |pond| (lines(&pond.path("2.out")) == ["three", "four"]).then_some(()));
    // From now on it looks by itself.
    configure(&pond, &one_file("reload: {interval: 200ms}\n", "4.out"));
    hang_up(&pond);
    pond.wait_for("the reload", |pond| (pond.said().matches("was taken up").count() == 2).then_some(()));
    configure(&pond, &one_file("reload: {interval: 200ms}\n", "5.out").replace("codec", "kodec"));
    pond.wait_for("the complaint", |pond| {
        (pond.said().matches("is not taken up").count() == 2).then_some(())
    });
    configure(&pond, &one_file("reload: {interval: 200ms}\n", "5.out"));
    pond.wait_for("the reload", |pond| (pond.said().matches("was taken up").count() == 3).then_some(()));
    pond.append("in.log", "five\n");
    pond.wait_for("the fifth line", |pond| (lines(&pond.path("5.out")) == ["five"]).then_some(()));
    // What was refused is told once, however often it is looked at.
    assert_eq!(pond.said().matches("is not taken up").count(), 2, "{}", pond.said());
    let outcome = reload(&pond);
    assert!(outcome["ok"] == true && outcome["changed"].as_array().is_some_and(Vec::is_empty), "{outcome:#}");
    let top = pond.command(&["top", "--once", "--json", "--data-dir", "data"]).output().expect("the binary");
    let top: Value = serde_json::from_slice(&top.stdout).expect("JSON");
    assert_eq!(
        (&top["reloads"]["successes"], &top["reloads"]["failures"]),
        (&4.into(), &2.into()),
        "{top:#}"
    );
    assert!(
        top["reloads"]["last_problems"][0].as_str().is_some_and(|told| told.contains("pond.yml:3:")),
        "{top:#}"
    );
    assert!(pond.stop().success(), "{}", pond.said());
}

#[test]
fn a_changed_input_keeps_its_port_and_answers_soon() {
    let port = free_port();
    let mut pond = Pond::new();
    let config = |n: usize| {
        format!(
            "inputs: {{w: {{http: {{listen: ['127.0.0.1:{port}'], connections_max: {n}}}}}}}\noutputs: {{o: {{file: {{path: DIR/out, codec: {{text: '%{{message}}'}}}}}}}}\n"
        )
    };
    configure(&pond, &config(50));
    run(&mut pond);
    pond.wait_for("the input", |_| TcpStream::connect(("127.0.0.1", port)).ok());
    let is_over = Arc::new(AtomicBool::new(false));
    // Whoever connects is never refused.
    let knocks = std::thread::spawn({
        let is_over = is_over.clone();
        move || {
            let mut knocks = 0;
            while !is_over.load(Ordering::SeqCst) {
                drop(TcpStream::connect(("127.0.0.1", port)).expect("somebody listens"));
                knocks += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            knocks
        }
    });
    let mut senders = Senders::new();
    let longest = senders.http(port);
    for n in 0..10 {
        configure(&pond, &config(51 + n));
        let outcome = reload(&pond);
        assert!(outcome["ok"] == true && outcome["changed"][0] == "main", "{outcome:#}");
    }
    is_over.store(true, Ordering::SeqCst);
    let knocks = knocks.join().expect("no connection was refused");
    let sent = senders.end();
    wait_all(&mut pond, "out", &sent);
    let longest = *longest.lock().expect("a lock");
    println!("{knocks} connections, no answer for {longest:?} at most");
    assert!(knocks > 100 && longest < Duration::from_secs(10), "{knocks} {longest:?}");
    assert!(pond.stop().success(), "{}", pond.said());
}

/// What lies in the queue when an output goes is still its own, and nobody else's.
#[test]
fn an_output_that_goes_delivers_its_part() {
    let is_open = Arc::new(AtomicBool::new(false));
    let receiver = Receiver::start({
        let is_open = is_open.clone();
        move |_, _| Reply::Status(if is_open.load(Ordering::SeqCst) { 200 } else { 503 }, String::new())
    });
    let mut pond = Pond::new();
    let config = |outputs: &str| {
        format!(
            "inputs: {{i: {{file: {{paths: [DIR/in.log]}}}}}}\nfilters: [{{json: {{}}}}]\noutputs:\n{outputs}  z: {{file: {{path: DIR/z.out, codec: {{text: '%{{n}}'}}}}, when: .n >= 100}}\n"
        )
    };
    let going = format!(
        "  a: {{http: {{url: 'http://{}/', retry_pause_max: 100ms, codec: {{text: '%{{n}}'}}}}, when: .n < 100}}\n",
        receiver.address()
    );
    configure(&pond, &config(&going));
    run(&mut pond);
    pond.append("in.log", &(50..150).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>());
    pond.wait_for("the lines for z", |pond| (lines(&pond.path("z.out")).len() == 50).then_some(()));
    configure(&pond, &config(""));
    assert_eq!(reload(&pond)["ok"], true);
    pond.append("in.log", &(0..200).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>());
    pond.wait_for("more lines for z", |pond| (lines(&pond.path("z.out")).len() == 150).then_some(()));
    is_open.store(true, Ordering::SeqCst);
    pond.wait_for("the end of a", |pond| pond.said().contains("that is gone delivered all").then_some(()));
    let numbers = |receiver: &Receiver| -> Vec<u64> {
        let texts: Vec<String> = receiver.taken().iter().map(crate::receiver::Request::text).collect();
        texts.iter().flat_map(|text| text.lines()).filter_map(|line| line.parse().ok()).collect()
    };
    assert_eq!(numbers(&receiver), (50..100).collect::<Vec<u64>>());
    // Another one that comes now is given another bit: nothing of the old is for it.
    configure(&pond, &config(&going.replace("  a:", "  b:")));
    assert_eq!(reload(&pond)["ok"], true);
    pond.append("in.log", "{\"n\":7}\n{\"n\":107}\n");
    pond.wait_for("the line", |_| numbers(&receiver).contains(&7).then_some(()));
    assert_eq!(numbers(&receiver).len(), 51);
    assert_eq!(lines(&pond.path("z.out")).len(), 151);
    assert!(pond.stop().success(), "{}", pond.said());
}
