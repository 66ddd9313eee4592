use super::*;
use event::Acks;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;
use wire::lumberjack::{Version, compress, encode};

fn input(options: &str) -> BeatsInput {
    let mut config: Config = serde_json::from_str(options).unwrap();
    config.listen = vec!["127.0.0.1:0".to_owned()];
    let context = InputContext { batch_bytes: 1 << 18, ..InputContext::of_test() };
    config.build(context).unwrap()
}

fn connect(input: &BeatsInput) -> TcpStream {
    let stream = TcpStream::connect(input.addresses()[0]).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// A window of JSON events, numbered from 1.
fn window(texts: &[&str], level: u32) -> Vec<u8> {
    let mut out = Vec::new();
    encode(Version::Two, &Frame::Window(texts.len() as u32), &mut out);
    let mut frames = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        encode(Version::Two, &Frame::Json(n as u32 + 1, text.as_bytes()), &mut frames);
    }
    match level {
        0 => out.extend_from_slice(&frames),
        level => compress(Version::Two, &frames, level, &mut out).unwrap(),
    }
    out
}

/// The next events, as JSON with what is not written out beside it, and what makes them safe.
fn next(input: &mut BeatsInput) -> (Vec<String>, Acks) {
    let mut batch = Batch::new();
    assert_eq!(input.next(&mut batch, &Stop::new()).unwrap(), Next::Filled);
    let peer = Path::of(["@metadata"]);
    let texts = batch.events().map(|event| {
        let mut out = Vec::new();
        event.write_json(&mut out);
        if let Some(metadata) = event.get(&peer) {
            out.push(b' ');
            metadata.write_json(&mut out);
        }
        let text = String::from_utf8(out).unwrap();
        // What came without a time has the one of now.
        match text.split_once("\"@timestamp\":\"20") {
            Some((before, after)) if !text.contains("2001-") => {
                format!("{before}\"@timestamp\":\"now{}", &after[after.find('"').unwrap()..])
            }
            _ => text,
        }
    });
    let texts = texts.collect();
    (texts, batch.acks.take())
}

fn ack(stream: &mut TcpStream) -> (u8, u32) {
    let mut frame = [0; 6];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame[1], b'A');
    (frame[0] - b'0', u32::from_be_bytes([frame[2], frame[3], frame[4], frame[5]]))
}

#[test]
fn events_of_filebeat() {
    let mut input = input("{}");
    let mut stream = connect(&input);
    let event = r#"{"@timestamp":"2001-02-03T04:05:06.789Z","@metadata":{"beat":"filebeat","type":"_doc","version":"9.2.0"},"message":"a","host":{"name":"x"}}"#;
    stream.write_all(&window(&[event, "[1]"], 3)).unwrap();
    let (events, mut acks) = next(&mut input);
    assert_eq!(
        events,
        [
            r#"{"@timestamp":"2001-02-03T04:05:06.789Z","message":"a","host":{"name":"x"}} {"beat":"filebeat","type":"_doc","version":"9.2.0","input":{"beats":{"host":{"ip":"127.0.0.1"}}}}"#,
            r#"{"@timestamp":"now","message":"[1]","tags":["_jsonparsefailure"]} {"input":{"beats":{"host":{"ip":"127.0.0.1"}}}}"#,
        ]
    );
    acks.done();
    assert_eq!(ack(&mut stream), (2, 2));
}

#[test]
fn events_of_version_1() {
    let mut input = input(r#"{"peer_ip":""}"#);
    let mut stream = connect(&input);
    let mut bytes = b"1W\0\0\0\x01".to_vec();
    let mut frame = b"1D\0\0\0\x07\0\0\0\x02".to_vec();
    for text in ["line", "hello", "host", "x"] {
        frame.extend_from_slice(&(text.len() as u32).to_be_bytes());
        frame.extend_from_slice(text.as_bytes());
    }
    compress(Version::One, &frame, 6, &mut bytes).unwrap();
    stream.write_all(&bytes).unwrap();
    let (events, mut acks) = next(&mut input);
    assert_eq!(events, [r#"{"@timestamp":"now","message":"hello","host":"x"}"#]);
    acks.done();
    assert_eq!(ack(&mut stream), (1, 7));
}

#[test]
fn windows_are_acknowledged_in_order_when_they_are_safe() {
    let mut input = input("{}");
    let mut stream = connect(&input);
    // Two windows on the way, as with pipelining: 2.
    stream.write_all(&window(&[r#"{"n":1}"#, r#"{"n":2}"#], 3)).unwrap();
    let (_, mut first) = next(&mut input);
    stream.write_all(&window(&[r#"{"n":3}"#], 0)).unwrap();
    let (_, mut second) = next(&mut input);
    second.done();
    // The keep-alive comes in place of the acknowledgment of the second, whose turn it is not.
    assert_eq!(ack(&mut stream), (2, 0));
    first.done();
    assert_eq!([ack(&mut stream), ack(&mut stream)], [(2, 2), (2, 1)]);
}

#[test]
fn what_is_let_go_is_not_acknowledged() {
    let mut input = input("{}");
    let mut stream = connect(&input);
    stream.write_all(&window(&["{}"], 0)).unwrap();
    drop(next(&mut input).1);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    input.listening.complaints().wait_for("a connection was closed");
}

#[test]
fn large_frames_and_large_windows() {
    let mut input = input(r#"{"frame_bytes_max":"4MiB"}"#);
    let mut stream = connect(&input);
    let long = format!("{{\"m\":\"{}\"}}", "x".repeat(1 << 20));
    let texts: Vec<String> = (0..2_500).map(|n| format!("{{\"n\":{n},\"m\":\"{}\"}}", n * 7919)).collect();
    let mut all: Vec<&str> = texts.iter().map(String::as_str).collect();
    all.insert(100, &long);
    for level in [0, 3] {
        stream.write_all(&window(&all, level)).unwrap();
        let mut count = 0;
        let mut reached = 0;
        while count < all.len() {
            let (events, mut acks) = next(&mut input);
            for event in &events {
                let text = all[count].strip_prefix('{').unwrap().strip_suffix('}').unwrap();
                assert!(event.contains(text), "event {count} of level {level}");
                count += 1;
            }
            acks.done();
        }
        // Numbers in the middle may come before the last one.
        while reached < all.len() as u32 {
            let (_, sequence) = ack(&mut stream);
            assert!(sequence > reached);
            reached = sequence;
        }
    }
}

#[test]
fn what_is_malformed_closes_the_connection() {
    #[track_caller]
    fn check(bytes: &[u8]) {
        let input = input(r#"{"frame_bytes_max":"64KiB"}"#);
        let mut stream = connect(&input);
        stream.write_all(bytes).unwrap();
        // Closed or reset: there is something left that nobody read.
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
        input.listening.complaints().wait_for("a connection was closed");
    }
    check(b"GET / HTTP/1.1\r\n\r\n");
    check(b"\x16\x03\x01\x02\0");
    check(b"2X\0\0\0\0");
    check(b"2A\0\0\0\x01");
    // An event without a window.
    check(b"2J\0\0\0\x01\0\0\0\x02{}");
    // Too long, damaged, ends within a frame, too large when it is inflated.
    check(b"2W\0\0\0\x01\x32J\0\0\0\x01\x7f\xff\xff\xff");
    check(b"2W\0\0\0\x01\x32C\0\0\0\x03abc");
    let packed = |frames: &[u8]| {
        let mut out = b"2W\0\0\0\x01".to_vec();
        compress(Version::Two, frames, 9, &mut out).unwrap();
        out
    };
    check(&packed(b"2J\0\0\0\x01\0\0\0\x03{}"));
    check(&packed(&packed(b"2J\0\0\0\x01\0\0\0\x02{}")));
    let large = format!("{{\"m\":\"{}\"}}", "x".repeat(70 << 10));
    check(&window(&[&large], 9));
}

#[test]
fn the_end_waits_for_what_was_received() {
    let mut input = input("{}");
    let mut stream = connect(&input);
    let mut idle = connect(&input);
    stream.write_all(&window(&[r#"{"n":1}"#], 3)).unwrap();
    let (_, mut acks) = next(&mut input);
    stream.write_all(&window(&[r#"{"n":2}"#], 3)).unwrap();
    // The second has come when it has its turn, and then it is to end.
    let (_, mut more) = next(&mut input);
    let stop = Stop::new();
    stop.set();
    let telling = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        acks.done();
        more.done();
        let told = [ack(&mut stream), ack(&mut stream)];
        (told, stream.read(&mut [0]).unwrap_or(0))
    });
    let start = Instant::now();
    assert_eq!(input.next(&mut Batch::new(), &stop).unwrap(), Next::Stopped);
    assert!(start.elapsed() < Duration::from_secs(2), "it ended by itself");
    assert_eq!(telling.join().unwrap(), ([(2, 1), (2, 1)], 0));
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn options_are_checked() {
    let wrong = |options: &str| {
        let config: Config = serde_json::from_str(options).unwrap();
        config.check().unwrap_err().option
    };
    assert_eq!(wrong("{}"), "listen");
    let with = |options: &str| wrong(&format!(r#"{{"listen":["127.0.0.1:0"],{options}}}"#));
    assert_eq!(with(r#""idle_timeout":"1ms""#), "idle_timeout");
    assert_eq!(with(r#""frame_bytes_max":1"#), "frame_bytes_max");
    assert_eq!(with(r#""compression_ratio_max":0"#), "compression_ratio_max");
    assert_eq!(with(r#""connections_max":0"#), "connections_max");
    assert_eq!(with(r#""tls":{"cert":"c"}"#), "tls");
}
