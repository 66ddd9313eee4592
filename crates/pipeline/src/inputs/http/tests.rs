use super::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;

fn input(options: serde_json::Value) -> (HttpInput, SocketAddr) {
    let mut config: Config = serde_json::from_value(options).unwrap();
    config.listen = vec!["127.0.0.1:0".to_owned()];
    let context = InputContext::of_test();
    let input = config.build(context).unwrap();
    let address = input.listening.addresses()[0];
    (input, address)
}

/// Sends a request from a thread; its end is the answer, headers included.
fn send(address: SocketAddr, head: &str, body: &[u8]) -> JoinHandle<String> {
    let head = format!("{head}\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let request = [head.as_bytes(), body].concat();
    std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        // A server that refuses a body may close before it has all of it.
        let _ = stream.write_all(&request);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    })
}

fn events(batch: &Batch) -> Vec<String> {
    batch
        .events()
        .map(|event| {
            let mut out = Vec::new();
            event.write_json(&mut out);
            let mut json: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let object = json.as_object_mut().unwrap();
            object.shift_remove("@timestamp");
            assert_eq!(object.shift_remove("source").unwrap()["ip"], "127.0.0.1");
            json.to_string()
        })
        .collect()
}

#[track_caller]
fn status(answer: JoinHandle<String>) -> String {
    let answer = answer.join().unwrap();
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer:?}")).to_owned()
}

#[test]
fn bodies_become_events_and_are_answered_when_they_are_safe() {
    let (mut input, address) = input(serde_json::json!({}));
    let (mut batch, stop) = (Batch::new(), Stop::new());
    let mut check = |kind: &str, body: &str, expected: &[&str]| {
        let answer = send(address, &format!("POST /a HTTP/1.1\r\nContent-Type: {kind}"), body.as_bytes());
        assert_eq!(input.next(&mut batch, &stop).unwrap(), Next::Filled);
        assert_eq!(events(&batch), expected);
        std::thread::sleep(Duration::from_millis(20));
        assert!(!answer.is_finished(), "it is not safe yet");
        batch.acks.done();
        assert_eq!(status(answer), "200");
    };
    check("application/json", r#"{"a":1}"#, &[r#"{"a":1}"#]);
    check("application/json; charset=utf-8", r#"[{"a":1},{"a":2}]"#, &[r#"{"a":1}"#, r#"{"a":2}"#]);
    check("Application/X-NDJSON", "{\"a\":1}\n{\"a\":2}\n", &[r#"{"a":1}"#, r#"{"a":2}"#]);
    check("text/plain", "one\ntwo\n", &[r#"{"message":"one"}"#, r#"{"message":"two"}"#]);
    check("application/x-www-form-urlencoded", "a=1&b=%41", &[r#"{"a":"1","b":"A"}"#]);
}

#[test]
fn lines_are_joined_and_objects_have_a_target_with_the_codec_of_all_types() {
    let check = |options: serde_json::Value, kind: &str, body: &str, expected: &[&str]| {
        let (mut input, address) = input(options);
        let mut batch = Batch::new();
        let answer = send(address, &format!("POST /a HTTP/1.1\r\nContent-Type: {kind}"), body.as_bytes());
        assert_eq!(input.next(&mut batch, &Stop::new()).unwrap(), Next::Filled);
        assert_eq!(events(&batch), expected);
        batch.acks.done();
        assert_eq!(status(answer), "200");
    };
    let joined = serde_json::json!({
        "codecs": {"text/csv": "lines"}, "multiline": {"pattern": "^ ", "match": "after"}
    });
    check(joined.clone(), "text/plain", "a\n b\nc", &[r#"{"message":"a\n b"}"#, r#"{"message":"c"}"#]);
    check(joined, "text/csv", "a\n b", &[r#"{"message":"a"}"#, r#"{"message":" b"}"#]);
    let below = serde_json::json!({"codec": "json", "target": "doc"});
    check(below.clone(), "text/plain", r#"{"a":1}"#, &[r#"{"doc":{"a":1}}"#]);
    check(below, "application/json", r#"{"a":1}"#, &[r#"{"a":1}"#]);
}

#[test]
fn what_is_not_safe_is_not_answered_well() {
    let (mut input, address) = input(serde_json::json!({"answer_timeout": "300ms"}));
    let (mut batch, stop) = (Batch::new(), Stop::new());
    let answer = send(address, "POST / HTTP/1.1", b"a");
    assert_eq!(input.next(&mut batch, &stop).unwrap(), Next::Filled);
    // The batch is given back.
    batch.reset(0);
    assert_eq!(status(answer), "503");
    let answer = send(address, "POST / HTTP/1.1", b"a");
    assert_eq!(input.next(&mut batch, &stop).unwrap(), Next::Filled);
    assert_eq!(status(answer), "503", "it took too long");
    batch.acks.done();
}

#[test]
fn who_is_refused_and_why() {
    let (mut input, address) = input(serde_json::json!({
        "users": {"ann": "p:w"}, "body_bytes_max": 100, "response_code": 202, "response_headers": {"X-A": "b"},
        "headers_field": "headers"
    }));
    let stop = Stop::new();
    let taking = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let mut found = Vec::new();
            let mut batch = Batch::new();
            while input.next(&mut batch, &stop).unwrap() == Next::Filled {
                found.extend(events(&batch));
                batch.acks.done();
            }
            found
        }
    });
    let known = format!("Authorization: Basic {}", {
        use base64::Engine;
        base64::prelude::BASE64_STANDARD.encode("ann:p:w")
    });
    let check = |head: &str, body: &[u8], expected: &str| {
        let answer = send(address, head, body).join().unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{head}: {answer}");
        answer
    };
    let answer = check("POST / HTTP/1.1", b"a", "401");
    assert!(answer.to_lowercase().contains("www-authenticate: basic"), "{answer}");
    check("POST / HTTP/1.1\r\nAuthorization: Basic YW5uOnA=", b"a", "401");
    check(&format!("GET / HTTP/1.1\r\n{known}"), b"", "405");
    check(&format!("POST / HTTP/1.1\r\n{known}"), &[b'x'; 101], "413");
    check(&format!("POST / HTTP/1.1\r\n{known}\r\nContent-Encoding: br"), b"a", "415");
    check(&format!("POST / HTTP/1.1\r\n{known}\r\nContent-Encoding: gzip"), b"no gzip", "400");
    // Small when it is packed, and too large when it is not.
    let bomb = {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&[b'x'; 10_000]).unwrap();
        gzip.finish().unwrap()
    };
    assert!(bomb.len() < 100);
    check(&format!("POST / HTTP/1.1\r\n{known}\r\nContent-Encoding: gzip"), &bomb, "413");
    check(&format!("POST / HTTP/1.1\r\n{known}"), b"", "202");
    let answer = check(&format!("PUT /p?q=1 HTTP/1.1\r\n{known}\r\nX-Own: 5"), b"a", "202");
    assert!(answer.to_lowercase().contains("x-a: b"), "{answer}");
    stop.set();
    let found = taking.join().unwrap();
    assert_eq!(
        found,
        [
            r#"{"message":"a","headers":{"x_own":"5","http_host":"h","connection":"close","content_length":"1","request_method":"PUT","request_path":"/p?q=1","http_version":"HTTP/1.1"}}"#
        ]
    );
}

#[test]
fn too_many_are_told_to_come_again() {
    let (mut input, address) = input(serde_json::json!({"pending_max": 1}));
    let (mut batch, stop) = (Batch::new(), Stop::new());
    let first = send(address, "POST / HTTP/1.1", b"a");
    assert_eq!(input.next(&mut batch, &stop).unwrap(), Next::Filled);
    let second = send(address, "POST / HTTP/1.1", b"b").join().unwrap();
    assert!(second.starts_with("HTTP/1.1 429 "), "{second}");
    assert!(second.to_lowercase().contains("retry-after: 1"), "{second}");
    batch.acks.done();
    assert_eq!(status(first), "200");
}

#[test]
fn what_was_taken_is_answered_before_the_end() {
    let (mut input, address) = input(serde_json::json!({}));
    let (mut batch, stop) = (Batch::new(), Stop::new());
    let answer = send(address, "POST / HTTP/1.1", b"a");
    assert_eq!(input.next(&mut batch, &stop).unwrap(), Next::Filled);
    stop.set();
    let safe = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        batch.acks.done();
    });
    assert_eq!(input.next(&mut Batch::new(), &stop).unwrap(), Next::Stopped);
    assert_eq!(status(answer), "200");
    safe.join().unwrap();
}

#[test]
fn mistakes() {
    for (options, option) in [
        ("{}", "listen"),
        (r#"{"listen":["127.0.0.1:1"],"response_code":404}"#, "response_code"),
        (r#"{"listen":["127.0.0.1:1"],"body_bytes_max":0}"#, "body_bytes_max"),
        (r#"{"listen":["127.0.0.1:1"],"pending_max":0}"#, "pending_max"),
        (r#"{"listen":["127.0.0.1:1"],"headers_field":"["}"#, "headers_field"),
        (r#"{"listen":["127.0.0.1:1"],"response_headers":{"a b":"c"}}"#, "response_headers"),
    ] {
        let config: Config = serde_json::from_str(options).unwrap();
        assert_eq!(config.check().unwrap_err().option, option, "{options}");
    }
}
