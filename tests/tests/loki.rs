//! Lines into Loki's API: VictoriaLogs, which has it too, and a server that refuses as Loki does.

use crate::http_output::{deliver, to};
use crate::pond::PATIENCE;
use crate::receiver::{Receiver, Reply};
use crate::services::{unique, victorialogs};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use wire::loki::Encoding;

#[test]
fn victorialogs_has_the_lines_their_labels_and_their_times() {
    let server = victorialogs();
    for encoding in ["protobuf", "json", "json, compression: gzip"] {
        let app = unique("app");
        let options = format!(
            "url: 'http://{}/insert', encoding: {encoding}, codec: raw, labels: {{app: '{app}', kind: '%{{kind}}'}}, structured_metadata: {{trace: 't%{{n}}'}}, batch_bytes: 8KiB",
            server.address()
        );
        let mut pond = to("loki", &options);
        let line = |n: usize| {
            let ms = n % 1_000;
            let second = 59 - n / 1_000;
            // The time goes backwards from one thousand to the next.
            format!(
                "{{\"@timestamp\":\"2026-11-20T10:00:{second:02}.{ms:03}Z\",\"kind\":\"k{}\",\"n\":{n},\"message\":\"line \\\"{n}\\\"\"}}\n",
                n % 3
            )
        };
        pond.append("in.log", &(0..3_000).map(line).collect::<String>());
        deliver(&mut pond);
        let query = format!("/select/logsql/query?query=_stream:%7Bapp=%22{app}%22%7D");
        let until = Instant::now() + PATIENCE;
        let found = loop {
            let answer = server.request("GET", &query, "text/plain", "");
            let found = String::from_utf8_lossy(&answer.body).into_owned();
            if found.lines().count() >= 3_000 {
                break found;
            }
            assert!(Instant::now() < until, "{} lines of 3,000", found.lines().count());
            std::thread::sleep(std::time::Duration::from_millis(100));
        };
        let mut seen = BTreeMap::new();
        for line in found.lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let n: usize = line["trace"].as_str().expect("a trace")[1..].parse().expect("a number");
            assert_eq!(line["_msg"], format!("line \"{n}\""));
            assert_eq!(line["kind"], format!("k{}", n % 3));
            let time = format!("2026-11-20T10:00:{:02}", 59 - n / 1_000);
            assert!(line["_time"].as_str().expect("a time").starts_with(&time), "{line}");
            *seen.entry(n).or_insert(0) += 1;
        }
        assert!(seen.len() == 3_000 && seen.values().all(|count| *count == 1), "{}", seen.len());
        assert!(pond.dead_letters().is_empty());
    }
}

#[test]
fn what_is_too_old_goes_to_the_dead_letters_alone() {
    // As Loki: it keeps what it can, answers 400 when there was more, and knows a line again.
    let was_limited = AtomicBool::new(false);
    let receiver = Receiver::start(move |n, request| {
        assert_eq!(request.header("content-type"), "application/x-protobuf");
        let streams = Encoding::Protobuf.decode(&request.body).expect("a push");
        for stream in &streams {
            assert!(stream.lines.is_sorted_by_key(|line| line.time), "in the order of time");
        }
        if n == 2 && !was_limited.swap(true, Ordering::SeqCst) {
            return Reply::Status(429, "Ingestion rate limit exceeded".to_owned());
        }
        let mut lines = streams.iter().flat_map(|stream| &stream.lines);
        if lines.any(|line| line.line.starts_with("old")) {
            return Reply::Status(400, "entry too far behind".to_owned());
        }
        Reply::Status(204, String::new())
    });
    let options = format!(
        "url: 'http://{}', codec: raw, labels: {{app: '%{{app}}'}}, tenant: 'team-%{{app}}', batch_events: 200",
        receiver.address()
    );
    let mut pond = to("loki", &options);
    let line = |n: usize| {
        let what = if n % 500 == 7 { "old" } else { "new" };
        format!("{{\"app\":\"a{}\",\"message\":\"{what} {n:05}\"}}\n", n % 2)
    };
    pond.append("in.log", &(0..2_000).map(line).collect::<String>());
    pond.append("in.log", "{\"message\":\"of nobody\"}\n");
    deliver(&mut pond);
    let mut seen = BTreeMap::new();
    for (request, _) in receiver.seen().iter().filter(|(_, reply)| matches!(reply, Reply::Status(204, _))) {
        for stream in Encoding::Protobuf.decode(&request.body).expect("a push") {
            assert_eq!(request.header("x-scope-orgid"), format!("team-{}", stream.labels[0].1));
            for line in stream.lines {
                *seen.entry(line.line).or_insert(0) += 1;
            }
        }
    }
    assert!(seen.len() == 1_996 && seen.values().all(|count| *count == 1), "{}", seen.len());
    let dead = pond.dead_letters();
    assert_eq!(dead.len(), 5, "{dead:?}");
    assert_eq!(
        dead.iter()
            .filter(|letter| letter.contains("entry too far behind") && letter.contains("old "))
            .count(),
        4
    );
    assert!(dead.iter().any(|letter| letter.contains("of nobody")));
}
