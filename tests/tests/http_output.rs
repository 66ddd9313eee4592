//! Events by HTTP requests to a server that misbehaves.

use crate::pond::Pond;
use crate::receiver::{Receiver, Reply, Request};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

fn lines(numbers: Range<usize>) -> String {
    numbers.map(|n| format!("{{\"n\":{n},\"message\":\"line {n:07} of a log\"}}\n")).collect()
}

/// A pond whose file `in.log`, lines of JSON, goes to servers.
pub(crate) fn to(output: &str, options: &str) -> Pond {
    let pond = Pond::new();
    let config = format!(
        "inputs: {{i: {{file: {{paths: ['{}']}}}}}}\nfilters: [{{json: {{}}}}]\noutputs: {{o: {{{output}: {{retry_pause_max: 200ms, {options}}}}}}}\n",
        pond.path("in.log").display(),
    );
    std::fs::write(pond.path("logpond.yaml"), config).expect("a file");
    pond
}

pub(crate) fn run(pond: &mut Pond, more: &[&str]) {
    let mut command = std::process::Command::new(crate::pond::binary());
    command.arg("run").args(more).arg("-c").arg(pond.path("logpond.yaml"));
    command.arg("--data-dir").arg(pond.data());
    pond.start(command);
}

/// Runs until all is delivered.
pub(crate) fn deliver(pond: &mut Pond) {
    run(pond, &["--until-idle"]);
    pond.wait_end();
}

fn taken() -> Reply {
    Reply::Status(200, String::new())
}

fn no(status: u16, text: &str) -> Reply {
    Reply::Status(status, text.to_owned())
}

/// How often each number came in requests of lines.
fn numbers(requests: &[Request]) -> BTreeMap<u64, usize> {
    let mut found = BTreeMap::new();
    for line in
        requests.iter().flat_map(|request| request.text().lines().map(str::to_owned).collect::<Vec<_>>())
    {
        let event: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
        *found.entry(event["n"].as_u64().expect("a number")).or_default() += 1;
    }
    found
}

#[track_caller]
fn assert_each_once(found: &BTreeMap<u64, usize>, wanted: u64) {
    let missing = (0..wanted).filter(|n| !found.contains_key(n)).count();
    let again = found.values().filter(|count| **count > 1).count();
    assert_eq!((missing, again, found.len() as u64), (0, 0, wanted), "missing, twice, all");
}

#[test]
fn a_server_that_misbehaves_takes_each_line_once() {
    let receiver = Receiver::start(|n, _| match n {
        1 => no(429, "slow down"),
        3 => no(503, "not now"),
        4 | 5 => Reply::Cut,
        7 => no(408, ""),
        9 => no(302, "elsewhere"),
        11 => no(404, "nothing here"),
        _ => taken(),
    });
    let mut pond = to("http", &format!("url: 'http://{}/in', batch_bytes: 16KiB", receiver.address()));
    pond.append("in.log", &lines(0..5_000));
    deliver(&mut pond);
    // What it did not take it does not keep, so whatever is tried again is there once.
    assert_each_once(&numbers(&receiver.taken()), 5_000);
    assert!(receiver.seen().len() > 12, "the harm was done");
    assert!(pond.dead_letters().is_empty());
}

#[test]
fn what_is_refused_is_found_among_its_neighbours() {
    let receiver = Receiver::start(|_, request| {
        if request.body.len() > 8_000 {
            return no(413, "too large");
        }
        let text = request.text();
        if text.contains("poison") { no(400, "there is poison in it") } else { taken() }
    });
    let mut pond = to("http", &format!("url: 'http://{}/in', framing: json_array", receiver.address()));
    let poison = "{\"n\":100000,\"message\":\"poison\"}\n{\"n\":100001,\"message\":\"more poison\"}\n";
    let large = format!("{{\"n\":100002,\"message\":\"{}\"}}\n", "x".repeat(9_000));
    pond.append("in.log", &format!("{}{poison}{large}{}", lines(0..700), lines(700..1_500)));
    deliver(&mut pond);
    let mut found = BTreeMap::new();
    for request in receiver.taken() {
        let events: Vec<serde_json::Value> = serde_json::from_slice(&request.body).expect("an array");
        assert_eq!(request.header("content-type"), "application/json");
        for event in events {
            *found.entry(event["n"].as_u64().expect("a number")).or_default() += 1;
        }
    }
    assert_each_once(&found, 1_500);
    let dead = pond.dead_letters();
    assert_eq!(dead.len(), 3, "{dead:?}");
    assert_eq!(dead.iter().filter(|letter| letter.contains("400 (there is poison in it)")).count(), 2);
    assert!(dead.iter().any(|letter| letter.contains("413 (too large)") && letter.contains("xxx")));
}

#[test]
fn a_server_that_cuts_large_requests_gets_small_ones() {
    let receiver = Receiver::start(|_, request| match request.body.len() {
        0..8_000 => taken(),
        8_000..16_000 => no(429, "too much at once"),
        _ => Reply::Cut,
    });
    let options = format!("url: 'http://{}/', batch_bytes: 32KiB", receiver.address());
    let mut pond = to("http", &options);
    pond.append("in.log", &lines(0..500));
    deliver(&mut pond);
    assert_each_once(&numbers(&receiver.taken()), 500);
    assert!(pond.dead_letters().is_empty());
}

#[test]
fn paths_headers_and_compression_come_as_they_should() {
    let receiver = Receiver::start(|_, _| taken());
    for (compression, wanted) in [("none", ""), ("gzip", "gzip"), ("zstd", "zstd")] {
        let options = format!(
            "url: 'http://{}/in/%{{app}}?c={compression}', method: PUT, in_flight_max: 1, compression: {compression}, headers: {{x-app: 'app %{{app}}'}}, codec: {{text: '%{{n}}'}}, auth: {{api_key: {{header: x-key, key: k}}}}",
            receiver.address()
        );
        let mut pond = to("http", &options);
        let line = |n: usize| format!("{{\"n\":{n},\"app\":\"a/{}\"}}\n", n % 2);
        pond.append("in.log", &((0..100).map(line).collect::<String>() + "{\"n\":1}\n"));
        deliver(&mut pond);
        for app in 0..2 {
            let path = format!("/in/a%2F{app}?c={compression}");
            let requests: Vec<Request> =
                receiver.taken().into_iter().filter(|request| request.path == path).collect();
            let text: String = requests.iter().map(Request::text).collect();
            assert_eq!(text, (0..100).filter(|n| n % 2 == app).map(|n| format!("{n}\n")).collect::<String>());
            for request in &requests {
                assert_eq!(request.method, "PUT");
                assert_eq!(request.header("x-app"), format!("app a/{app}"));
                assert_eq!((request.header("x-key"), request.header("content-encoding")), ("k", wanted));
            }
        }
        let dead = pond.dead_letters();
        assert!(dead.len() == 1 && dead[0].contains("no field \\\"app\\\""), "{dead:?}");
    }
}

#[test]
fn a_token_that_is_wrong_is_read_again() {
    let receiver = Receiver::start(|_, request| match request.header("authorization") {
        "Bearer good" => taken(),
        _ => no(401, "who are you?"),
    });
    let folder = tempfile::tempdir().expect("a directory");
    let token = folder.path().join("token");
    std::fs::write(&token, "bad\n").expect("a file");
    let options =
        format!("url: 'http://{}/', auth: {{bearer_file: '{}'}}", receiver.address(), token.display());
    let mut pond = to("http", &options);
    pond.append("in.log", &lines(0..100));
    run(&mut pond, &[]);
    pond.wait_for("the alarm", |pond| pond.said().contains("answers 401 (who are you?)").then_some(()));
    assert!(receiver.taken().is_empty());
    std::fs::write(&token, "good\n").expect("a file");
    pond.wait_for("100 lines", |_| (numbers(&receiver.taken()).len() == 100).then_some(()));
    pond.wait_for("the end of the alarm", |pond| pond.said().contains("delivers again").then_some(()));
    assert!(pond.stop().success());
    assert!(!pond.said().contains("good"), "a secret was printed");
    assert_each_once(&numbers(&receiver.taken()), 100);
}

#[test]
fn a_server_that_is_slow_loses_nothing_and_another_takes_over() {
    // Its answers come too late, but it keeps what it is sent.
    let slow = Receiver::start(|_, _| Reply::Late(Duration::from_secs(2)));
    let quick = Receiver::start(|_, _| taken());
    let options = format!(
        "url: ['http://127.0.0.1:9/', 'http://{}/', 'http://{}/'], request_timeout: 300ms, batch_bytes: 4KiB",
        slow.address(),
        quick.address()
    );
    let mut pond = to("http", &options);
    pond.append("in.log", &lines(0..1_000));
    deliver(&mut pond);
    assert_each_once(&numbers(&quick.taken()), 1_000);
    assert!(!slow.seen().is_empty() && pond.dead_letters().is_empty());
}

#[test]
fn killed_at_random_moments_no_line_is_missing() {
    let receiver = Receiver::start(|_, _| Reply::Late(Duration::from_millis(5)));
    let options = format!("url: 'http://{}/', batch_bytes: 4KiB", receiver.address());
    let mut pond = to("http", &options);
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..6 {
        let before = receiver.seen().len();
        run(&mut pond, &[]);
        pond.append("in.log", &lines(round * 1_000..(round + 1) * 1_000));
        let wanted = before + random.usize(1..12);
        pond.wait_for("more requests", |_| (receiver.seen().len() >= wanted).then_some(()));
        pond.kill();
    }
    deliver(&mut pond);
    let found = numbers(&receiver.taken());
    assert_eq!((0..6_000).filter(|n| !found.contains_key(n)).count(), 0);
    assert!(pond.dead_letters().is_empty());
}
