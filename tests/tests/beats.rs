//! Events by the Lumberjack protocol: from a sender that keeps what is not acknowledged, as Beats do.

use crate::http_output::run;
use crate::pond::{PATIENCE, Pond, free_port};
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
    assert_eq!(ack(&mut stream), Some(10));
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
