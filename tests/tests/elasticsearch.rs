//! Events into real Elasticsearch, OpenSearch, VictoriaLogs and our own store, by bulk requests.

use crate::http;
use crate::pond::{PATIENCE, Pond};
use crate::proxy::{Mode, Proxy};
use crate::services::{Server, elasticsearch, opensearch, unique, victorialogs};
use serde_json::{Value, json};
use std::ops::Range;
use std::time::{Duration, Instant};

fn lines(numbers: Range<usize>) -> String {
    numbers.map(|n| format!("{{\"n\":{n},\"message\":\"line {n:07} of a log\"}}\n")).collect()
}

/// A pond whose file `in.log`, lines of JSON, goes to a server.
fn to_server(address: &str, options: &str) -> Pond {
    let pond = Pond::new();
    let config = format!(
        "inputs: {{i: {{file: {{paths: ['{}']}}}}}}\nfilters: [{{json: {{}}}}]\noutputs: {{s: {{elasticsearch: {{endpoints: ['http://{address}'], retry_pause_max: 1s, {options}}}}}}}\n",
        pond.path("in.log").display(),
    );
    std::fs::write(pond.path("logpond.yaml"), config).expect("a file");
    pond
}

fn run(pond: &mut Pond, more: &[&str]) {
    let mut command = std::process::Command::new(crate::pond::binary());
    command.arg("run").args(more).arg("-c").arg(pond.path("logpond.yaml"));
    command.arg("--data-dir").arg(pond.data());
    pond.start(command);
}

/// Runs until all is delivered.
fn deliver(pond: &mut Pond) {
    run(pond, &["--until-idle"]);
    pond.wait_end();
}

/// How many documents there are, and the sum of their field `n`; 0 without an index.
fn count(address: &str, index: &str) -> (u64, u64) {
    let ask = |method: &str, path: &str, body: &str| {
        let answer = http::request(address, method, path, "application/json", body, PATIENCE).ok()?;
        serde_json::from_slice::<Value>(&answer.body).ok()
    };
    ask("POST", &format!("/{index}/_refresh"), "");
    let query = json!({"size": 0, "track_total_hits": true, "aggs": {"sum": {"sum": {"field": "n"}}}});
    let found = ask("POST", &format!("/{index}/_search"), &query.to_string()).unwrap_or_default();
    let total = found["hits"]["total"]["value"].as_u64().unwrap_or(0);
    (total, found["aggregations"]["sum"]["value"].as_f64().unwrap_or(0.0) as u64)
}

/// Waits until the server holds so many documents, and fails when it holds more. Returns the sum
/// of their field `n`.
#[track_caller]
fn wait_count(address: &str, index: &str, wanted: u64) -> u64 {
    let until = Instant::now() + PATIENCE;
    loop {
        let (total, sum) = count(address, index);
        assert!(total <= wanted, "{total} documents, more than the {wanted} written");
        if total == wanted {
            return sum;
        }
        assert!(Instant::now() < until, "{total} of {wanted} documents in time");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until the server holds the first so many lines, each once.
#[track_caller]
fn wait_lines(address: &str, index: &str, wanted: u64) {
    assert_eq!(wait_count(address, index, wanted), wanted * (wanted - 1) / 2, "the sum of the lines");
}

/// What a search server must do with each kind of action, data streams, and refusals.
fn takes_all(server: &Server) {
    let index = unique("plain");
    let mut pond =
        to_server(server.address(), &format!("index: '{index}-%Y', id: event, bulk_bytes_max: 64KiB"));
    pond.append("in.log", &lines(0..5_000));
    deliver(&mut pond);
    wait_lines(server.address(), &format!("{index}-*"), 5_000);
    assert!(pond.dead_letters().is_empty());

    let stream = unique("web");
    let template = json!({
        "index_patterns": [format!("logs-{stream}-*")], "priority": 500, "data_stream": {},
        "template": {"settings": {"number_of_replicas": 0}},
    });
    server.put(&format!("/_index_template/{stream}"), &template);
    let mut pond = to_server(server.address(), &format!("data_stream: {{dataset: '{stream}'}}"));
    pond.append("in.log", &lines(0..100));
    deliver(&mut pond);
    let name = format!("logs-{stream}-default");
    wait_lines(server.address(), &name, 100);
    assert_eq!(server.get(&format!("/_data_stream/{name}"))["data_streams"][0]["name"], name);
    let found = server.get(&format!("/{name}/_search?size=1"));
    assert_eq!(found["hits"]["hits"][0]["_source"]["data_stream"]["dataset"], stream);

    let index = unique("actions");
    let mut pond = to_server(
        server.address(),
        &format!("index: '{index}', id: '%{{k}}', action: '%{{op}}', upsert: true"),
    );
    pond.append(
        "in.log",
        concat!(
            "{\"op\":\"index\",\"k\":1,\"n\":1}\n{\"op\":\"update\",\"k\":1,\"m\":2}\n",
            "{\"op\":\"update\",\"k\":2,\"n\":3}\n{\"op\":\"index\",\"k\":3,\"n\":4}\n",
            "{\"op\":\"delete\",\"k\":3}\n{\"op\":\"delete\",\"k\":9}\n{\"op\":\"drop\",\"k\":1}\n",
        ),
    );
    deliver(&mut pond);
    wait_count(server.address(), &index, 2);
    let merged = server.get(&format!("/{index}/_doc/1"));
    assert_eq!((&merged["_source"]["n"], &merged["_source"]["m"]), (&json!(1), &json!(2)));
    let dead = pond.dead_letters();
    assert!(dead.len() == 1 && dead[0].contains("is no action"), "{dead:?}");

    let index = unique("mapped");
    let mapping = json!({
        "settings": {"number_of_replicas": 0},
        "mappings": {"properties": {"size": {"type": "long"}, "place": {"properties": {"x": {"type": "long"}}}}},
    });
    server.put(&format!("/{index}"), &mapping);
    let bad = "{\"n\":0,\"size\":1}\n{\"n\":1,\"size\":\"large\"}\n{\"n\":2,\"place\":\"here\"}\n{\"n\":3}\n";
    let mut pond = to_server(server.address(), &format!("index: '{index}'"));
    pond.append("in.log", bad);
    deliver(&mut pond);
    wait_count(server.address(), &index, 2);
    let dead = pond.dead_letters();
    assert_eq!(dead.len(), 2, "{dead:?}");
    assert!(dead[0].contains("400 mapper_parsing_exception") && dead[0].contains("[size]"), "{dead:?}");
    assert!(dead[1].contains("[place]") && dead[1].contains("here"), "{dead:?}");

    let index = unique("renamed");
    server.put(&format!("/{index}"), &mapping);
    let mut pond = to_server(server.address(), &format!("index: '{index}', conflict_suffix: _text"));
    pond.append("in.log", bad);
    deliver(&mut pond);
    wait_count(server.address(), &index, 4);
    assert!(pond.dead_letters().is_empty());
    let found = server.get(&format!("/{index}/_search?q=size_text:large"));
    assert_eq!(found["hits"]["hits"][0]["_source"]["n"], 1, "{found}");
    let found = server.get(&format!("/{index}/_search?q=place_text:here"));
    assert_eq!(found["hits"]["hits"][0]["_source"]["n"], 2, "{found}");
}

#[test]
fn elasticsearch_takes_actions_streams_and_refusals() {
    takes_all(elasticsearch());
}

#[test]
fn opensearch_takes_actions_streams_and_refusals() {
    takes_all(opensearch());
}

#[test]
fn a_server_that_dies_and_comes_back_has_each_line_once() {
    let server = Server::start("elasticsearch", &[]).expect("Elasticsearch");
    let proxy = Proxy::start(server.address());
    let index = unique("killed");
    let mut pond = to_server(
        proxy.address(),
        &format!("index: '{index}', id: event, bulk_bytes_max: 32KiB, gzip_level: 0"),
    );
    pond.append("in.log", &lines(0..6_000));
    proxy.set(Mode::Delay(Duration::from_millis(20)));
    run(&mut pond, &[]);
    // It dies when it has some of it, and more is under way.
    let seen = pond.wait_for("the first documents", |_| {
        let (total, _) = count(server.address(), &index);
        (total > 0).then_some(total)
    });
    server.kill(0);
    assert!(seen < 6_000, "it was killed too late to prove anything");
    proxy.set(Mode::Pass);
    let address = proxy.address().to_owned();
    pond.wait_for("the alarm", |pond| pond.said().contains(&address).then_some(()));
    server.start_again(0);
    pond.append("in.log", &lines(6_000..8_000));
    wait_lines(server.address(), &index, 8_000);
    pond.wait_for("the end of the alarm", |pond| pond.said().contains("delivers again").then_some(()));
    assert!(pond.stop().success());
    assert!(pond.dead_letters().is_empty());
}

#[test]
fn killed_in_the_middle_each_line_comes_once() {
    let server = elasticsearch();
    let proxy = Proxy::start(server.address());
    let index = unique("crashed");
    let options = format!("index: '{index}', id: event, bulk_bytes_max: 16KiB, gzip_level: 0");
    let mut pond = to_server(proxy.address(), &options);
    pond.append("in.log", &lines(0..10_000));
    proxy.set(Mode::Delay(Duration::from_millis(10)));
    let mut seen = 0;
    for _ in 0..3 {
        run(&mut pond, &[]);
        let before = seen;
        seen = pond.wait_for("more documents", |_| {
            let (total, _) = count(server.address(), &index);
            (total > before).then_some(total)
        });
        pond.kill();
    }
    assert!(seen < 10_000, "it was killed too late to prove anything");
    proxy.set(Mode::Pass);
    deliver(&mut pond);
    wait_lines(server.address(), &index, 10_000);
    assert!(pond.dead_letters().is_empty());
}

#[test]
fn whatever_happens_between_us_and_the_server_each_line_comes_once() {
    let server = opensearch();
    let proxy = Proxy::start(server.address());
    let index = unique("harmed");
    let options = format!("index: '{index}', id: event, bulk_bytes_max: 32KiB, linger: 20ms");
    let mut pond = to_server(proxy.address(), &options);
    run(&mut pond, &[]);
    let mut from = 0;
    let harm = [
        Mode::Cut,
        Mode::LoseAnswers,
        Mode::Answer(429),
        Mode::Answer(503),
        Mode::Answer(401),
        Mode::Delay(Duration::from_millis(20)),
    ];
    for mode in harm {
        proxy.set(mode.clone());
        pond.append("in.log", &lines(from..from + 500));
        pond.wait_for(&format!("harm by {mode:?}"), |_| (proxy.done() > 1).then_some(()));
        if let Mode::Answer(status) = mode {
            let words = format!("answers {status}");
            pond.wait_for(&words, |pond| pond.said().contains(&words).then_some(()));
        }
        proxy.set(Mode::Pass);
        pond.append("in.log", &lines(from + 500..from + 1_000));
        from += 1_000;
    }
    wait_lines(server.address(), &index, from as u64);
    for word in ["see the option", "delivers again"] {
        pond.wait_for(word, |pond| pond.said().contains(word).then_some(()));
    }
    assert!(pond.stop().success());
    assert!(pond.dead_letters().is_empty());
}

#[test]
fn victorialogs_is_told_which_fields_are_which() {
    let server = victorialogs();
    let app = unique("app");
    let options =
        "query: {_msg_field: text, _time_field: '@timestamp', _stream_fields: [app, kind]}, index: unused";
    let mut pond = to_server(&format!("{}/insert//elasticsearch/", server.address()), options);
    let line = |n: usize| format!("{{\"app\":\"{app}\",\"kind\":\"k\",\"text\":\"line {n}\",\"n\":{n}}}\n");
    pond.append("in.log", &(0..300).map(line).collect::<String>());
    deliver(&mut pond);
    let query = format!("/select/logsql/query?query=_stream:%7Bapp=%22{app}%22,kind=%22k%22%7D");
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = server.request("GET", &query, "text/plain", "");
        let found = String::from_utf8_lossy(&answer.body).into_owned();
        if found.lines().count() == 300 {
            assert!(found.contains("\"_msg\":\"line 299\"") && found.contains("\"n\":\"299\""), "{found}");
            break;
        }
        assert!(Instant::now() < until, "{} lines of 300: {found}", found.lines().count());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(pond.dead_letters().is_empty());
}

#[test]
fn another_pond_is_a_server_too() {
    let mut store = Pond::new();
    store.append("none.log", "");
    store.up(&["none.log"]);
    let address = store.address().to_owned();
    let mut pond = to_server(&address, "index: 'from-%Y', id: event, bulk_bytes_max: 64KiB");
    pond.append("in.log", &lines(0..5_000));
    deliver(&mut pond);
    wait_lines(&address, "from-*", 5_000);
    assert!(pond.dead_letters().is_empty());
}
