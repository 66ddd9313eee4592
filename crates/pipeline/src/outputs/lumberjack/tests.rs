use super::*;
use event::Batch;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use wire::lumberjack::{Decoded, Frame, InflateLimits, decode, encode, inflate};

fn config(hosts: &[&str], options: &str) -> Config {
    let mut config: Config = serde_json::from_str(options).unwrap();
    config.hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    config
}

fn batch(numbers: std::ops::Range<u64>) -> Batch {
    crate::outputs::testing::batch(numbers.map(|n| format!("{{\"message\":\"{n}\"}}")))
}

/// What a receiver does with a connection.
#[derive(Debug, Clone)]
enum Does {
    /// Acknowledges these numbers of each window.
    Acknowledges(Vec<u32>),
    /// Takes a window, acknowledges these numbers, and closes.
    Closes(Vec<u32>),
    /// Takes a window and says nothing.
    IsSilent,
    /// Answers what is no acknowledgment.
    Raves,
}

/// Takes as many connections as there are steps; gives back the messages of each.
fn receiver(listener: TcpListener, steps: Vec<Does>) -> JoinHandle<Vec<Vec<String>>> {
    std::thread::spawn(move || {
        let (mut all, mut silent) = (Vec::new(), Vec::new());
        for does in steps {
            let (mut stream, _) = listener.accept().unwrap();
            let mut found = Vec::new();
            while let Some(window) = read_window(&mut stream) {
                let count = window.len() as u32;
                found.extend(window);
                let numbers = match &does {
                    Does::Acknowledges(numbers) | Does::Closes(numbers) => numbers.as_slice(),
                    Does::IsSilent => {
                        silent.push(stream);
                        break;
                    }
                    Does::Raves => {
                        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
                        let _ = stream.read(&mut [0]);
                        break;
                    }
                };
                let mut out = Vec::new();
                for number in numbers.iter().filter(|number| **number < count) {
                    encode(wire::lumberjack::Version::Two, &Frame::Ack(*number), &mut out);
                }
                if let Does::Acknowledges(_) = does {
                    encode(wire::lumberjack::Version::Two, &Frame::Ack(count), &mut out);
                }
                if stream.write_all(&out).is_err() || matches!(does, Does::Closes(_)) {
                    break;
                }
            }
            all.push(found);
        }
        all
    })
}

/// The messages of the next window.
fn read_window(stream: &mut TcpStream) -> Option<Vec<String>> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut bytes, mut messages, mut open) = (Vec::new(), Vec::new(), None);
    loop {
        while let Ok(Decoded::Frame(_, frame, length)) = decode(&bytes, 1 << 24) {
            match frame {
                Frame::Window(count) => open = Some(count as usize),
                Frame::Compressed(packed) => {
                    let limits = InflateLimits { bytes_max: 1 << 24, ratio_max: 1_000, free_bytes: 1 << 20 };
                    let (mut inner, packed) = (Vec::new(), packed.to_vec());
                    inflate(&packed, limits, &mut inner).unwrap();
                    bytes.splice(..length, inner);
                    continue;
                }
                Frame::Json(_, json) => {
                    let event: serde_json::Value = serde_json::from_slice(json).unwrap();
                    messages.push(event["message"].as_str().unwrap().to_owned());
                }
                Frame::Pairs(_, pairs) => {
                    let (name, line) = pairs.iter().next().unwrap();
                    assert_eq!(name, b"line");
                    messages.push(String::from_utf8(line.to_vec()).unwrap());
                }
                Frame::Ack(_) => panic!("a sender acknowledges nothing"),
            }
            bytes.drain(..length);
        }
        if open == Some(messages.len()) {
            assert!(bytes.is_empty(), "another window before this one was acknowledged");
            return Some(messages);
        }
        let mut more = [0; 4096];
        let count = stream.read(&mut more).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&more[..count]);
    }
}

/// Delivers these events until all are settled; gives back what was the trouble.
fn deliver(config: &Config, numbers: std::ops::Range<u64>) -> Vec<String> {
    let mut output = config.build().unwrap();
    let batch = batch(numbers.clone());
    let delivery = Delivery { batch: &batch, bit: 1, sequence: numbers.start };
    output.write(&delivery, &mut Vec::new()).unwrap();
    let (mut troubles, mut settled) = (Vec::new(), 0);
    let until = Instant::now() + Duration::from_secs(30);
    while settled < numbers.end {
        assert!(Instant::now() < until, "it takes too long: {troubles:?}");
        // It never waits, so that no trouble is over before it is told.
        match output.settled(false, &mut Vec::new()) {
            Ok(now) => settled = now,
            Err(error) => troubles.push(error.to_string()),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    troubles
}

fn numbers(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|n| n.to_string()).collect()
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn what_was_not_acknowledged_is_sent_again() {
    #[track_caller]
    fn check(options: &str, first: Does, expected: [Vec<String>; 2], trouble: &str) {
        let (listener, address) = listen();
        let receiver = receiver(listener, vec![first, Does::Acknowledges(vec![0, 2])]);
        let options = options.replace('}', ",\"windows_max\":1,\"request_timeout\":\"300ms\"}");
        let troubles = deliver(&config(&[&address], &options), 0..10);
        assert_eq!(receiver.join().unwrap(), expected);
        assert!(troubles.iter().any(|words| words.contains(trouble)), "{troubles:?}");
    }
    let all = || numbers(0..10);
    check(r#"{"window_events":10}"#, Does::Closes(vec![]), [all(), all()], "closed the connection");
    // What is safe of a window is not sent again.
    check(r#"{"window_events":10}"#, Does::Closes(vec![0, 3, 7]), [all(), numbers(7..10)], "closed");
    check(
        r#"{"window_events":4,"compression_level":0}"#,
        Does::Closes(vec![1, 1]),
        [numbers(0..4), numbers(1..10)],
        "closed",
    );
    check(r#"{"window_events":10}"#, Does::IsSilent, [all(), all()], "nothing was heard for 300ms");
    check(r#"{"window_events":10}"#, Does::Raves, [all(), all()], "does the peer speak TLS");
}

#[test]
fn the_next_host_takes_what_one_did_not() {
    let (first, first_address) = listen();
    let (second, second_address) = listen();
    let first = receiver(first, vec![Does::Closes(vec![2])]);
    let second = receiver(second, vec![Does::Acknowledges(vec![])]);
    let options = r#"{"windows_max":1,"window_events":3}"#;
    let troubles = deliver(&config(&[&first_address, &second_address], options), 5..12);
    assert_eq!(first.join().unwrap(), [numbers(5..8)]);
    assert_eq!(second.join().unwrap(), [numbers(7..12)]);
    assert!(troubles.iter().all(|words| words.starts_with(&first_address)), "{troubles:?}");
}

#[test]
fn version_1_sends_lines() {
    let (listener, address) = listen();
    let receiver = receiver(listener, vec![Does::Acknowledges(vec![])]);
    let options = r#"{"version":"1","codec":{"text":"<%{message}>"},"windows_max":1}"#;
    assert!(deliver(&config(&[&address], options), 0..2).is_empty());
    assert_eq!(receiver.join().unwrap(), [["<0>", "<1>"]]);
}

#[test]
fn events_that_are_too_large_are_refused() {
    let (_listener, address) = listen();
    let mut output = config(&[&address], r#"{"event_bytes_max":100}"#).build().unwrap();
    let mut batch = batch(0..1);
    let long = format!("{{\"message\":\"{}\"}}", "x".repeat(100));
    batch.push_json(long.as_bytes(), 1).unwrap();
    batch.each(|event| event.set_outputs(1));
    let mut refused = Vec::new();
    output.write(&Delivery { batch: &batch, bit: 1, sequence: 7 }, &mut refused).unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].sequence, 8);
    assert!(refused[0].reason.contains("\"event_bytes_max\" is 100"), "{refused:?}");
    assert_eq!(output.oldest(), Some(7));
}

#[test]
fn what_waits_has_a_limit() {
    let (_listener, address) = listen();
    let mut output = config(&[&address], r#"{"memory_bytes_max":100}"#).build().unwrap();
    let batch = batch(0..3);
    let delivery = Delivery { batch: &batch, bit: 1, sequence: 0 };
    output.write(&delivery, &mut Vec::new()).unwrap();
    let full = output.write(&delivery, &mut Vec::new());
    assert!(matches!(full, Err(OutputError::Full)), "{full:?}");
}

#[test]
fn options_that_cannot_be() {
    #[track_caller]
    fn check(hosts: &[&str], options: &str, expected: &str) {
        let error = config(hosts, options).check().unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    check(&[], "{}", "\"hosts\" is missing");
    check(&["a:b"], "{}", "\"hosts\"");
    check(&["a"], r#"{"codec":"raw"}"#, "events of version 2 are JSON");
    check(&["a"], r#"{"window_events":0}"#, "\"window_events\"");
    check(&["a"], r#"{"windows_max":0}"#, "\"windows_max\"");
    check(&["a"], r#"{"compression_level":10}"#, "\"compression_level\"");
    check(&["a"], r#"{"event_bytes_max":0}"#, "\"event_bytes_max\"");
    check(&["a"], r#"{"request_timeout":"0s"}"#, "\"request_timeout\"");
}
