//! `logpond ui`: the page over real clusters.

use crate::http::{Answer, exchange};
use crate::pond::{PATIENCE, Pond, binary};
use crate::services::{elasticsearch, opensearch, unique};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::Command;

const EVENTS: usize = 1_200;

fn ask(address: &str, method: &str, path: &str, body: &str) -> Answer {
    let json = [("content-type", "application/json")];
    exchange(address, method, path, &json, body, PATIENCE).expect("an answer")
}

/// The answer to a question that is not refused.
fn json_of(address: &str, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = ask(address, method, path, &body);
    let text = String::from_utf8_lossy(&answer.body);
    assert!((200..300).contains(&answer.status), "{method} {path}: {} {text}", answer.status);
    serde_json::from_str(&text).expect("JSON")
}

/// An index with events of one minute, of which every fourth is an error.
fn fill(cluster: &str, index: &str) {
    let mut bulk = String::new();
    for n in 0..EVENTS {
        let (minute, second, ms) = (n / 600 + 10, n / 10 % 60, n % 10 * 100);
        let level = if n % 4 == 0 { "error" } else { "info" };
        let message =
            if n % 4 == 0 { format!("request {n} took too long") } else { format!("user u{n} logged in") };
        writeln!(bulk, "{}", json!({"index": {"_index": index, "_id": n.to_string()}})).expect("room");
        let time = format!("2026-03-01T10:{minute}:{second:02}.{ms:03}Z");
        writeln!(bulk, "{}", json!({"@timestamp": time, "level": level, "n": n, "message": message}))
            .expect("room");
    }
    let answer = json_of_text(cluster, "/_bulk?refresh=true", &bulk);
    assert_eq!(answer["errors"], false, "{answer}");
}

fn json_of_text(address: &str, path: &str, body: &str) -> Value {
    let answer = ask(address, "POST", path, body);
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn over(cluster: &str) -> Pond {
    let mut ui = Pond::new();
    let command =
        ui.command(&["ui", "--listen", "127.0.0.1:0", "--elasticsearch", &format!("http://{cluster}")]);
    ui.start(command);
    ui.wait_address();
    ui
}

fn page_over(cluster: &str, product: &str) {
    let index = unique("over");
    fill(cluster, &index);
    let ui = over(cluster);
    let at = ui.address();
    assert!(ui.said().contains(product), "{}", ui.said());

    // The page, which knows what it is over.
    let html = [("accept", "text/html")];
    let root = exchange(at, "GET", "/", &html, "", PATIENCE).expect("an answer");
    assert!(root.status == 307 && root.head.contains("location: /_ui/"), "{}", root.head);
    let page = ask(at, "GET", "/_ui/discover", "");
    let text = String::from_utf8_lossy(&page.body);
    assert!(text.contains("<html data-cluster=\"") && text.contains(product), "{text}");
    assert!(page.head.contains("content-security-policy"), "{}", page.head);

    // Searches as the page writes them.
    let kql = |text: &str| json!({"bool": {"filter": [{"kql": {"query": text}}], "must_not": []}});
    for (text, expected) in [
        ("", EVENTS),
        ("level: error", EVENTS / 4),
        ("level: err*", EVENTS / 4),
        ("not level: error", EVENTS * 3 / 4),
        ("\"too long\"", EVENTS / 4),
        ("TOO", EVENTS / 4),
        ("log*", EVENTS * 3 / 4),
        ("n >= 1190 and n < 1195", 5),
        ("n: 7 or n: 8", 2),
        ("n: x", 0),
        ("@timestamp >= \"2026-03-01T10:11:00Z\"", EVENTS / 2),
        ("nowhere: *", 0),
    ] {
        let found = json_of(at, "POST", &format!("/{index}/_count"), &json!({"query": kql(text)}));
        assert_eq!(found["count"], expected, "{text}");
    }
    let template = json!({"template": {"message": "request * took too long"}});
    let found = json_of(at, "POST", &format!("/{index}/_count"), &json!({"query": template}));
    assert_eq!(found["count"], EVENTS / 4);
    let page = json!({
        "query": kql("level: error"), "size": 2, "track_total_hits": true,
        "sort": [{"@timestamp": {"order": "desc", "unmapped_type": "keyword"}}, {"_doc": {"order": "desc"}}],
        "aggs": {"times": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1m", "min_doc_count": 1}}},
    });
    let found = json_of(at, "POST", &format!("/{index}/_search?timeout=5s"), &page);
    assert_eq!(found["hits"]["hits"][0]["_id"], "1196");
    assert_eq!(found["aggregations"]["times"]["buckets"][1]["doc_count"], EVENTS / 8);
    let wrong = ask(at, "POST", &format!("/{index}/_count"), &json!({"query": kql("level: (x")}).to_string());
    assert!(wrong.status == 400 && String::from_utf8_lossy(&wrong.body).contains("at byte"), "{wrong:?}");
    let gone = ask(at, "POST", "/no-such-index/_search", "{}");
    assert_eq!(gone.status, 404);

    // All of it as a file, and as kinds of messages.
    let export = format!("/_logpond/export?index={index}&order=asc");
    let lines = ask(at, "GET", &export, "").body;
    let numbers: Vec<u64> = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice::<Value>(line).expect("JSON")["n"].as_u64().expect("a number"))
        .collect();
    assert_eq!(numbers, (0..EVENTS as u64).collect::<Vec<_>>());
    let csv = ask(at, "GET", &format!("{export}&as=csv&fields=n,level&limit=3"), "").body;
    assert_eq!(String::from_utf8_lossy(&csv), "n,level\r\n0,error\r\n1,info\r\n2,info\r\n");
    let patterns =
        json_of(at, "POST", &format!("/_logpond/patterns?index={index}"), &json!({"query": kql("")}));
    assert_eq!(patterns["looked_at"], EVENTS);
    let counts: Vec<(&str, u64)> = patterns["patterns"]
        .as_array()
        .expect("patterns")
        .iter()
        .map(|pattern| {
            (pattern["template"].as_str().expect("text"), pattern["count"].as_u64().expect("a number"))
        })
        .collect();
    assert_eq!(counts, [("user * logged in", 900), ("request * took too long", 300)]);

    // Events as they come.
    let tail = |after: &str| {
        let path = format!("/_logpond/tail?newest=true&index={index}&size=50{after}");
        json_of(at, "POST", &path, &json!({"query": kql("level: error")}))
    };
    let first = tail("");
    let newest: Vec<&Value> =
        first["hits"]["hits"].as_array().expect("hits").iter().map(|hit| &hit["_id"]).collect();
    assert_eq!((newest.len(), newest[49].as_str()), (50, Some("1196")));
    let place = first["hits"]["hits"][49]["sort"][1].as_u64().expect("a place");
    let comes = json!({"@timestamp": "2026-03-01T10:12:00Z", "level": "error", "message": "it comes"});
    json_of(cluster, "PUT", &format!("/{index}/_doc/news?refresh=true"), &comes);
    let news = tail(&format!("&after={place}&follow=true"));
    assert_eq!(news["hits"]["total"]["value"], 1, "{news}");
    assert_eq!(news["hits"]["hits"][0]["_id"], "news");

    // Saved searches have an index of their own there.
    let saved = json!({"kind": "search", "title": index, "address": "#", "updated": "2026-03-01T00:00:00Z"});
    json_of(at, "PUT", &format!("/.ui/_doc/{index}?refresh=true"), &saved);
    assert_eq!(json_of(at, "GET", &format!("/.ui/_doc/{index}"), &Value::Null)["_source"], saved);
    let list =
        json_of(at, "POST", "/.ui/_search", &json!({"query": {"term": {"kind": "search"}}, "size": 1000}));
    let titles: BTreeSet<&str> = list["hits"]["hits"]
        .as_array()
        .expect("hits")
        .iter()
        .filter_map(|hit| hit["_source"]["title"].as_str())
        .collect();
    assert!(titles.contains(index.as_str()), "{list}");
    json_of(at, "DELETE", &format!("/.ui/_doc/{index}?refresh=true"), &Value::Null);

    // Nothing else reaches the cluster, and no page of another site does.
    for (method, path) in
        [("DELETE", format!("/{index}")), ("PUT", format!("/{index}/_doc/1")), ("POST", "/_bulk".to_owned())]
    {
        assert_eq!(ask(at, method, &path, "{}").status, 405, "{method} {path}");
    }
    let foreign = [("origin", "http://evil.example"), ("content-type", "application/json")];
    let foreign =
        exchange(at, "POST", &format!("/{index}/_search"), &foreign, "{}", PATIENCE).expect("an answer");
    assert_eq!(foreign.status, 403);
    let left = json_of(cluster, "POST", &format!("/{index}/_count"), &Value::Null);
    assert_eq!(left["count"], EVENTS + 1);
}

#[test]
fn page_over_elasticsearch() {
    page_over(elasticsearch().address(), "Elasticsearch 7.10.2");
}

#[test]
fn page_over_opensearch() {
    page_over(opensearch().address(), "OpenSearch 2.19");
}

#[test]
fn page_over_nothing_says_what_is_wrong() {
    for (arguments, reason) in [
        (vec!["--elasticsearch", "http://127.0.0.1:1"], "the cluster does not answer: http://127.0.0.1:1: "),
        (vec!["--elasticsearch", "ftp://x"], "an endpoint begins with http:// or https://"),
        (vec![], "--elasticsearch"),
        (vec!["--elasticsearch", "http://h", "--user", "u", "--api-key", "k"], "cannot be used with"),
    ] {
        let output = Command::new(binary()).arg("ui").args(&arguments).output().expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(reason), "{arguments:?}: {said}");
    }
}
