//! Events by the Lumberjack protocol: from a sender that keeps what is not acknowledged, as Beats do.

use crate::http_output::run;
use crate::pond::{PATIENCE, Pond, certificate, free_port};
use crate::receiver::{Receiver, Reply};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};
use wire::lumberjack::{Frame, Version, compress, encode};

/// Events of a window.
const WINDOW: usize = 50;

/// A pond with the input `beats` on this port, and what goes behind the inputs.
fn pond(port: u16, rest: &str) -> Pond {
    let pond = Pond::new();
    let config = format!("inputs: {{b: {{beats: {{listen: ['127.0.0.1:{port}']}}}}}}\n{rest}\n");
    std::fs::write(pond.path("logpond.yaml"), config).expect("a file");
    pond
}

fn connect(port: u16) -> Option<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    Some(stream)
}

fn wait_connect(port: u16) -> TcpStream {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(stream) = connect(port) {
            return stream;
        }
        assert!(Instant::now() < until, "nobody listens on port {port}");
        sleep(Duration::from_millis(20));
    }
}

fn window(numbers: Range<usize>, level: u32) -> Vec<u8> {
    let mut out = Vec::new();
    encode(Version::Two, &Frame::Window(numbers.len() as u32), &mut out);
    let mut frames = Vec::new();
    for (at, n) in numbers.enumerate() {
        let event = format!(
            "{{\"@timestamp\":\"2026-11-21T08:00:00.000Z\",\"@metadata\":{{\"beat\":\"filebeat\",\"type\":\"_doc\",\"version\":\"9.2.0\"}},\"message\":\"line {n:07}\"}}"
        );
        encode(Version::Two, &Frame::Json(at as u32 + 1, event.as_bytes()), &mut frames);
    }
    match level {
        0 => out.extend_from_slice(&frames),
        level => compress(Version::Two, &frames, level, &mut out).expect("memory"),
    }
    out
}

fn ack(stream: &mut TcpStream) -> Option<u32> {
    let mut frame = [0; 6];
    stream.read_exact(&mut frame).ok()?;
    assert_eq!(&frame[..2], b"2A");
    Some(u32::from_be_bytes([frame[2], frame[3], frame[4], frame[5]]))
}

/// Sends windows, two under way at once, and forgets one only when its end is acknowledged; when
/// the connection is lost it begins again behind what was acknowledged. Says how many windows were
/// acknowledged when it is told to end.
fn sender(port: u16, end: Arc<AtomicBool>) -> JoinHandle<usize> {
    std::thread::spawn(move || {
        let mut safe = 0;
        while !end.load(Relaxed) {
            let Some(mut stream) = connect(port) else {
                sleep(Duration::from_millis(20));
                continue;
            };
            let mut sent = safe;
            while !end.load(Relaxed) {
                if sent < safe + 2 {
                    let level = [0, 3][sent % 2];
                    if stream.write_all(&window(sent * WINDOW..(sent + 1) * WINDOW, level)).is_err() {
                        break;
                    }
                    sent += 1;
                    continue;
                }
                match ack(&mut stream) {
                    Some(sequence) if sequence as usize == WINDOW => safe += 1,
                    Some(sequence) => assert!((sequence as usize) < WINDOW),
                    None => break,
                }
            }
        }
        safe
    })
}

/// How often each line is in `out.log`.
fn written(pond: &Pond) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for line in std::fs::read_to_string(pond.path("out.log")).unwrap_or_default().lines() {
        *found.entry(line.to_owned()).or_default() += 1;
    }
    found
}

#[test]
fn what_was_acknowledged_survives_kills() {
    let port = free_port();
    let mut pond = pond(port, "queue: {}");
    let out = format!(
        "outputs: {{o: {{file: {{path: '{}', codec: {{text: '%{{@metadata.beat}} %{{message}}'}}}}}}}}\n",
        pond.path("out.log").display()
    );
    let path = pond.path("logpond.yaml");
    let config = std::fs::read_to_string(&path).expect("the config") + &out;
    std::fs::write(&path, config).expect("a file");
    let end = Arc::new(AtomicBool::new(false));
    let sender = sender(port, end.clone());
    for round in 1..=4 {
        run(&mut pond, &[]);
        pond.wait_for("lines", |pond| (written(pond).len() >= round * 2_000).then_some(()));
        pond.kill();
    }
    run(&mut pond, &[]);
    pond.wait_for("more lines", |pond| (written(pond).len() >= 10_000).then_some(()));
    end.store(true, Relaxed);
    let windows = sender.join().expect("the sender");
    pond.wait_for("all that was acknowledged", |pond| {
        (written(pond).len() >= windows * WINDOW).then_some(())
    });
    assert!(pond.stop().success());
    let found = written(&pond);
    for n in 0..windows * WINDOW {
        assert!(found.contains_key(&format!("filebeat line {n:07}")), "line {n} of {windows} windows");
    }
}

#[test]
fn who_sends_waits_while_an_output_is_down() {
    let port = free_port();
    let open = Arc::new(AtomicBool::new(false));
    let is_open = open.clone();
    let receiver = Receiver::start(move |_, _| match is_open.load(Relaxed) {
        true => Reply::Status(200, String::new()),
        false => Reply::Status(503, "closed".to_owned()),
    });
    let output = format!(
        "queue: none\noutputs: {{o: {{http: {{url: 'http://{}/', retry_pause_max: 200ms}}}}}}",
        receiver.address()
    );
    let mut pond = pond(port, &output);
    run(&mut pond, &[]);
    let mut stream = wait_connect(port);
    stream.write_all(&window(0..10, 3)).expect("a socket");
    // It lives, and none of it is safe.
    assert_eq!([ack(&mut stream), ack(&mut stream)], [Some(0), Some(0)]);
    assert!(receiver.taken().is_empty());
    open.store(true, Relaxed);
    // Until the output tries again, it may say once more that it lives.
    let done = std::iter::repeat_with(|| ack(&mut stream)).take(20).find(|ack| *ack != Some(0));
    assert_eq!(done, Some(Some(10)));
    let taken: String = receiver.taken().iter().map(|request| request.text()).collect();
    assert!((0..10).all(|n| taken.contains(&format!("line {n:07}"))), "{taken}");
    assert!(pond.stop().success());
}

#[test]
fn lines_over_tcp_are_delivered_in_order() {
    let port = free_port();
    let mut pond = Pond::new();
    let config = format!(
        "inputs: {{t: {{tcp: {{listen: ['127.0.0.1:{port}']}}}}}}\noutputs: {{o: {{file: {{path: '{}', codec: {{text: '%{{message}}'}}}}}}}}\n",
        pond.path("out.log").display()
    );
    std::fs::write(pond.path("logpond.yaml"), config).expect("a file");
    run(&mut pond, &[]);
    let lines: String = (0..20_000).map(|n| format!("line {n:07}\n")).collect();
    let mut stream = wait_connect(port);
    stream.write_all(lines.as_bytes()).expect("a socket");
    drop(stream);
    let out = pond.path("out.log");
    pond.wait_for("all lines", |_| {
        (std::fs::metadata(&out).is_ok_and(|out| out.len() >= lines.len() as u64)).then_some(())
    });
    assert!(pond.stop().success());
    assert!(std::fs::read_to_string(out).expect("a file") == lines);
}

/// What the lines of `in.log` become behind a receiver that is killed while they come.
fn through_kills(config_of_sender: impl Fn(&str, u16, &str) -> (&'static str, String), expected: &str) {
    const LINES: usize = 30_000;
    let port = free_port();
    let mut receiver = Pond::new();
    let [cert, key] = certificate(&receiver.path(""));
    let config = format!(
        "inputs: {{b: {{beats: {{listen: ['127.0.0.1:{port}'], tls: {{cert: '{cert}', key: '{key}'}}}}}}}}\nqueue: {{}}\noutputs: {{o: {{file: {{path: '{}', codec: {{text: '%{{message}}'}}}}}}}}\n",
        receiver.path("out.log").display()
    );
    std::fs::write(receiver.path("logpond.yaml"), config).expect("a file");
    let mut sender = Pond::new();
    let input = sender.path("in.log").display().to_string();
    let (name, config) = config_of_sender(&input, port, &cert);
    std::fs::write(sender.path(name), config).expect("a file");
    let lines: String = (0..LINES).map(|n| format!("line {n:07}\n")).collect();
    std::fs::write(sender.path("in.log"), lines).expect("a file");
    let mut command = std::process::Command::new(crate::pond::binary());
    command.arg("run").arg(if name.ends_with(".conf") { "-f" } else { "-c" }).arg(sender.path(name));
    command.arg("--data-dir").arg(sender.data());
    sender.start(command);
    for round in 1..=3 {
        run(&mut receiver, &[]);
        receiver.wait_for("lines", |pond| (written(pond).len() >= round * 2_000).then_some(()));
        receiver.kill();
    }
    run(&mut receiver, &[]);
    receiver.wait_for("all lines", |pond| (written(pond).len() >= LINES).then_some(()));
    assert!(sender.stop().success());
    assert!(receiver.stop().success());
    let found = written(&receiver);
    assert_eq!(found.len(), LINES);
    for n in 0..LINES {
        let line = expected.replace("{}", &format!("line {n:07}"));
        assert!(found.contains_key(&line), "{line} of {LINES}");
    }
}

#[test]
fn from_pond_to_pond_nothing_is_lost_when_the_receiver_is_killed() {
    let config = |input: &str, port: u16, cert: &str| {
        let config = format!(
            "inputs: {{f: {{file: {{paths: ['{input}'], start_at: beginning}}}}}}\noutputs: {{l: {{lumberjack: {{hosts: ['127.0.0.1:{port}'], window_events: 100, tls: {{ca: '{cert}', verification: certificate}}}}}}}}\n"
        );
        ("logpond.yaml", config)
    };
    through_kills(config, "{}");
}

#[test]
fn a_config_of_logstash_hands_events_on_by_lumberjack() {
    let config = |input: &str, port: u16, cert: &str| {
        let config = format!(
            "input {{ file {{ path => '{input}' start_position => beginning }} }} output {{ lumberjack {{ hosts => ['127.0.0.1'] port => {port} ssl_certificate => '{cert}' flush_size => 100 codec => line {{ format => '<%{{message}}>' }} }} }}"
        );
        ("sender.conf", config)
    };
    through_kills(config, "<{}>");
}
