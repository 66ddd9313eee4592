//! The API over a real store: the scenario files, and what they cannot say.
//!
//! A scenario is a list of requests, each with the status and a part of the answer:
//!
//! ```text
//! # a comment
//! POST /logs/_search?size=1
//! {"query": {"match_all": {}}}
//! --> 200
//! {"hits": {"total": {"value": 1}}}
//! ```
//!
//! Objects of the answer may have more members than is written, lists are compared whole.
//! An answer that is no JSON is compared line by line. The same files can be sent to an
//! Elasticsearch.

mod pond;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::path::Path;
use tower::ServiceExt;
use web::{ServerOptions, router};

fn api(pond: &pond::Pond) -> Router {
    router(
        &ServerOptions::default(),
        pond.store.clone(),
        Some(pond.ingest.clone()),
        std::sync::Arc::new(pond::Quiet),
    )
}

async fn send(api: &Router, method: &str, path: &str, body: &str) -> (u16, HeaderMap, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:9200")
        .body(Body::from(body.to_owned()));
    send_request(api, request.unwrap()).await
}

async fn send_request(api: &Router, request: Request<Body>) -> (u16, HeaderMap, String) {
    let response = api.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, headers, String::from_utf8(bytes.to_vec()).unwrap())
}

/// Says where an answer lacks what is expected.
fn lacks(found: &Value, expected: &Value, path: &str) -> Option<String> {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => expected.iter().find_map(|(name, value)| {
            let inner = format!("{path}.{name}");
            found
                .get(name)
                .map_or_else(|| Some(format!("{inner} is missing")), |own| lacks(own, value, &inner))
        }),
        (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
            let pairs = found.iter().zip(expected).enumerate();
            pairs
                .into_iter()
                .find_map(|(n, (found, expected))| lacks(found, expected, &format!("{path}[{n}]")))
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => None,
        // `"…part…"` is a part of a text.
        (Value::String(found), Value::String(part))
            if part.len() > 6
                && part.starts_with('…')
                && part.ends_with('…')
                && found.contains(part.trim_matches('…')) =>
        {
            None
        }
        (found, expected) if found == expected => None,
        (found, expected) => Some(format!("{path} is {found}, expected {expected}")),
    }
}

#[tokio::test]
async fn scenarios() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = Vec::new();
    for file in files {
        let pond = pond::open();
        let api = api(&pond);
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let mut at = 0;
        while at < lines.len() {
            let line = lines[at];
            at += 1;
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let place = format!("{name}:{at} {line}");
            let (method, path) = line.split_once(' ').unwrap_or_else(|| panic!("{place}: METHOD /path"));
            let mut body = String::new();
            while !lines[at].starts_with("-->") {
                body.push_str(lines[at]);
                body.push('\n');
                at += 1;
            }
            let status: u16 = lines[at].trim_start_matches("-->").trim().parse().unwrap();
            at += 1;
            let mut expected = String::new();
            while at < lines.len() && !lines[at].trim().is_empty() {
                expected.push_str(lines[at]);
                expected.push('\n');
                at += 1;
            }
            let (found, _, answer) = send(&api, method, path, &body).await;
            if found != status {
                wrong.push(format!("{place}: status {found}, expected {status}: {answer}"));
            } else if !expected.is_empty() {
                match serde_json::from_str::<Value>(&expected) {
                    Ok(expected) => {
                        let found = serde_json::from_str(&answer).unwrap_or(Value::String(answer.clone()));
                        wrong.extend(
                            lacks(&found, &expected, "").map(|lack| format!("{place}: {lack}\n    {answer}")),
                        );
                    }
                    Err(_) if expected.trim_end() == answer.trim_end() => {}
                    Err(_) => wrong.push(format!("{place}: answered\n{answer}")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn headers_and_methods() {
    let pond = pond::open();
    let api = api(&pond);
    let (status, headers, body) = send(&api, "GET", "/", "").await;
    assert_eq!((status, headers["x-elastic-product"].to_str().unwrap()), (200, "Elasticsearch"));
    assert!(body.contains("\"number\":\"7.10.2\""));
    let (status, _, body) = send(&api, "HEAD", "/", "").await;
    assert_eq!((status, body.as_str()), (200, ""));
    let (status, headers, body) = send(&api, "DELETE", "/_search", "").await;
    assert_eq!(status, 405, "{body}");
    assert!(headers["allow"].to_str().unwrap().contains("POST"));
    assert!(body.contains("Incorrect HTTP method"));
    let page = Request::get("/")
        .header("host", "localhost")
        .header("accept", "text/html")
        .body(Body::empty())
        .unwrap();
    let (status, headers, _) = send_request(&api, page).await;
    assert_eq!((status, headers["location"].to_str().unwrap()), (303, "/_ui/"));
    for (path, expected) in [
        ("/_ui/", 200),
        ("/_ui", 308),
        ("/_ui/discover", 200),
        ("/_ui/dashboards", 404),
        ("/_ui/assets/none.js", 404),
    ] {
        assert_eq!(send(&api, "GET", path, "").await.0, expected, "{path}");
    }
    let (_, headers, body) = send(&api, "GET", "/_ui/", "").await;
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"));
    let script = body.split("src=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(send(&api, "GET", script, "").await.0, 200, "{script}");
    let foreign = Request::get("/").header("host", "evil.example").body(Body::empty()).unwrap();
    assert_eq!(send_request(&api, foreign).await.0, 403);
    let packed = Request::post("/_bulk").header("host", "localhost").header("content-encoding", "br");
    assert_eq!(send_request(&api, packed.body(Body::from("x")).unwrap()).await.0, 415);
    let packed = Request::post("/_bulk").header("host", "localhost").header("content-encoding", "gzip");
    assert_eq!(send_request(&api, packed.body(Body::from("x")).unwrap()).await.0, 400);
    let (status, headers, body) = send(&api, "GET", "/metrics", "").await;
    assert_eq!((status, body.as_str()), (200, "logpond_up 1\n"));
    assert!(headers["content-type"].to_str().unwrap().starts_with("text/plain"));
}

#[tokio::test]
async fn a_body_that_is_too_large_and_one_that_is_too_deep() {
    let pond = pond::open();
    let api = api(&pond);
    let (status, _, body) = send(&api, "POST", "/_bulk", &"x".repeat((100 << 20) + 1)).await;
    assert_eq!(status, 413, "{body}");
    let deep = format!("{{\"query\":{}", "{\"bool\":{\"must\":".repeat(100_000));
    assert_eq!(send(&api, "POST", "/_search", &deep).await.0, 400);
    let deep = "[".repeat(100_000);
    assert_eq!(send(&api, "POST", "/a/_doc", &deep).await.0, 400);
}

#[tokio::test]
async fn a_full_queue_asks_to_come_again() {
    let pond = pond::open();
    let api = api(&pond);
    *pond.ingest.full.lock().unwrap() = true;
    let (status, _, body) = send(&api, "POST", "/a/_doc", "{\"a\":1}").await;
    assert_eq!(status, 429);
    assert!(body.contains("es_rejected_execution_exception"));
    let nobody =
        router(&ServerOptions::default(), pond.store.clone(), None, std::sync::Arc::new(pond::Quiet));
    assert_eq!(send(&nobody, "POST", "/a/_doc", "{\"a\":1}").await.0, 503);
}

#[tokio::test]
async fn our_own_search_goes_on_where_it_ended() {
    let pond = pond::open();
    let api = api(&pond);
    let mut bulk = String::new();
    for n in 0..5 {
        bulk.push_str(&format!("{{\"index\":{{}}}}\n{{\"@timestamp\":\"2026-11-21T10:00:00.00000000{}Z\",\"n\":{n},\"message\":\"m {n}\"}}\n", n / 2));
    }
    assert_eq!(send(&api, "POST", "/logs-a/_bulk?refresh", &bulk).await.0, 200);
    for order in ["desc", "asc"] {
        let mut seen = Vec::new();
        let mut after = Value::Null;
        loop {
            let body = json!({"kql": "message: m", "size": 2, "order": order, "search_after": after, "histogram": true});
            let (status, _, answer) = send(&api, "POST", "/_logpond/search", &body.to_string()).await;
            assert_eq!(status, 200, "{answer}");
            let answer: Value = serde_json::from_str(&answer).unwrap();
            let hits = answer["hits"]["hits"].as_array().unwrap();
            let Some(last) = hits.last() else { break };
            assert_eq!(answer["aggregations"]["times"]["buckets"][0]["doc_count"], 5);
            after = last["sort"].clone();
            seen.extend(hits.iter().map(|hit| hit["_source"]["n"].as_i64().unwrap()));
        }
        let mut expected: Vec<i64> = (0..5).collect();
        if order == "desc" {
            expected.reverse();
        }
        assert_eq!(seen, expected, "{order}");
    }
    let (status, _, answer) = send(&api, "GET", "/_logpond/tail?q=n+%3E%3D+3&index=logs-*", "").await;
    assert_eq!(status, 200);
    assert!(answer.contains("\"m 4\"") && !answer.contains("\"m 2\""), "{answer}");
}

#[tokio::test]
async fn what_the_pond_is_asked_to_do() {
    let pond = pond::open();
    let api = api(&pond);
    let lines =
        |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    let (status, headers, text) = send(&api, "POST", "/_logpond/tap", "{\"limit\":2}").await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, "application/x-ndjson"));
    assert_eq!(lines(&text), [json!({"n": 1}), json!({"n": 2}), json!({"seen": 7, "left_out": 4})]);
    let (_, _, text) = send(&api, "POST", "/_logpond/tap", "").await;
    assert_eq!(lines(&text).len(), 4);
    let (_, _, text) = send(&api, "POST", "/_logpond/dead-letters/replay", "{}").await;
    assert_eq!(lines(&text), [json!({"replayed": 1}), json!({"replayed": 2, "done": true})]);
    let (status, _, text) = send(&api, "POST", "/_logpond/dead-letters/drop", "").await;
    assert_eq!((status, lines(&text)), (200, vec![json!({"error": "somebody else drops", "status": 409})]));
    let (_, _, text) = send(&api, "GET", "/_logpond/dead-letters?from=5&size=99999", "").await;
    assert_eq!(lines(&text)[0]["asked"], json!([5, 10_000]));
    for (method, path, body, status, reason) in [
        ("POST", "/_logpond/tap", "{\"points\":[\"x\"]}", 400, "no point"),
        ("POST", "/_logpond/tap", "{\"point\":[]}", 400, "did you mean [points]?"),
        ("POST", "/_logpond/tap", "{\"where\":\"a =\"}", 400, "[where]"),
        ("POST", "/_logpond/tap", "{\"query\":\"a:\"}", 400, "not understood"),
        ("POST", "/_logpond/tap", "{\"rate\":-1}", 400, "[rate] must be a whole number"),
        ("POST", "/_logpond/tap", "[1]", 400, "must be a JSON object"),
        ("POST", "/_logpond/dead-letters/replay", "{\"where\":\"x\"}", 400, "no condition"),
        ("GET", "/_logpond/dead-letters?size=x", "", 400, "size"),
        ("GET", "/_logpond/dead-letters?foo=1", "", 400, "foo"),
        ("GET", "/_logpond/dead-letters/replay", "", 405, "method"),
    ] {
        let (found, _, text) = send(&api, method, path, body).await;
        assert!(found == status && text.contains(reason), "{path} {body}: {found} {text}");
    }
}

#[tokio::test]
async fn a_tail_may_skip_to_the_newest_and_says_how_much() {
    let pond = pond::open();
    let api = api(&pond);
    let mut bulk = String::new();
    for n in 0..20 {
        bulk.push_str(&format!("{{\"index\":{{}}}}\n{{\"n\":{n},\"even\":{}}}\n", n % 2 == 0));
    }
    assert_eq!(send(&api, "POST", "/logs-a/_bulk?refresh", &bulk).await.0, 200);
    let even = r#"{"query": {"term": {"even": true}}}"#;
    for (arguments, body, numbers, total) in [
        ("newest=true&size=3", "", vec![17, 18, 19], 20),
        ("newest=true&size=3&after=9", "", vec![17, 18, 19], 10),
        ("newest=true&size=30&after=16", "", vec![17, 18, 19], 3),
        ("newest=true&size=2&after=9", even, vec![16, 18], 5),
        ("newest=true&size=2&after=19", "", vec![], 0),
        ("size=2&after=9", "", vec![10, 11], 20),
    ] {
        let (status, _, answer) = send(&api, "POST", &format!("/_logpond/tail?{arguments}"), body).await;
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let hits = answer["hits"]["hits"].as_array().unwrap();
        let found: Vec<i64> = hits.iter().map(|hit| hit["_source"]["n"].as_i64().unwrap()).collect();
        assert_eq!(found, numbers, "{arguments}");
        assert_eq!(answer["hits"]["total"]["value"], total, "{arguments}");
        assert!(hits.iter().all(|hit| hit["sort"][1] == hit["_source"]["n"]), "{arguments}");
    }
    assert_eq!(send(&api, "POST", "/_logpond/tail", r#"{"qurey": {}}"#).await.0, 400);
}

#[tokio::test]
async fn exports_hold_everything_once() {
    let pond = pond::open();
    let api = api(&pond);
    let mut bulk = String::new();
    for n in 0..1_200 {
        // Many have the same time, so that pages end within them.
        let time = format!("2026-11-21T10:00:0{}Z", n / 200);
        let message = if n == 3 { "=1+1, \\\"x\\\"" } else { "m" };
        bulk.push_str(&format!("{{\"index\":{{}}}}\n{{\"@timestamp\":\"{time}\",\"n\":{n},\"a\":{{\"b\":[1,2]}},\"message\":\"{message}\"}}\n"));
    }
    assert_eq!(send(&api, "POST", "/logs-a/_bulk?refresh", &bulk).await.0, 200);
    let get = async |arguments: &str| send(&api, "GET", &format!("/_logpond/export?{arguments}"), "").await;
    for (order, first) in [("asc", 0), ("desc", 1_199)] {
        let (status, headers, text) = get(&format!("order={order}")).await;
        assert_eq!(status, 200, "{text}");
        assert!(headers["content-disposition"].to_str().unwrap().contains("logs.ndjson"));
        let numbers: Vec<i64> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["n"].as_i64().unwrap())
            .collect();
        assert_eq!(numbers[0], first);
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1_200).collect::<Vec<i64>>());
    }
    let (_, _, text) = get("as=csv&order=asc&limit=4&fields=@timestamp,n,a.b,message,none").await;
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[..2], ["@timestamp,n,a.b,message,none", "2026-11-21T10:00:00Z,0,1 2,m,"]);
    assert_eq!(lines[4], "2026-11-21T10:00:00Z,3,1 2,\"'=1+1, \"\"x\"\"\",");
    let (_, _, text) = get("as=text&order=asc&limit=2&fields=n,none,message").await;
    assert_eq!(text, "0 m\n1 m\n");
    let (_, _, text) = get(
        "fields=n,a&limit=1&source=%7B%22query%22%3A%7B%22kql%22%3A%7B%22query%22%3A%22n%3A%2077%22%7D%7D%7D",
    )
    .await;
    assert_eq!(text, "{\"n\":77,\"a\":{\"b\":[1,2]}}\n");
    for wrong in [
        "as=xml",
        "as=csv",
        "order=up",
        "limit=x",
        "indexx=a",
        "index=absent",
        "source=%7B%22quary%22%3A1%7D",
    ] {
        let status = get(wrong).await.0;
        assert!(status == 400 || status == 404, "{wrong}: {status}");
    }
}

#[tokio::test]
async fn the_index_of_the_page_is_in_no_pattern_of_others() {
    let pond = pond::open();
    let api = api(&pond);
    assert_eq!(send(&api, "PUT", "/.ui/_doc/a?refresh=true", r#"{"title":"x"}"#).await.0, 201);
    assert_eq!(send(&api, "PUT", "/.other/_doc/a", r#"{"title":"x"}"#).await.0, 400);
    for (index, count) in [("/.ui", 1), ("/.*", 1), ("", 0), ("/*", 0), ("/_all", 0), ("/u*", 0)] {
        let (_, _, answer) = send(&api, "GET", &format!("{index}/_count"), "").await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["count"], count, "{index}");
    }
}

#[tokio::test]
async fn a_pattern_is_searched_as_it_is_counted() {
    let pond = pond::open();
    let api = api(&pond);
    let mut bulk = String::new();
    for n in 0..3_000 {
        let message = match n % 5 {
            0 => format!("\"request {n} took {} ms\"", n % 90),
            1 => format!("\"user={} logged in\"", ["ann", "bob", "dan", "eve", "jim", "pat"][n % 6]),
            2 => format!("\"Took {n} steps, request failed\""),
            3 => format!("\"failed:\\n  at line {n}\""),
            // No text: of no pattern.
            _ => n.to_string(),
        };
        let time = format!("2026-11-21T10:{:02}:00Z", n / 60);
        bulk.push_str(&format!(
            "{{\"create\":{{}}}}\n{{\"@timestamp\":\"{time}\",\"n\":{n},\"message\":{message}}}\n"
        ));
    }
    let (status, _, answer) = send(&api, "POST", "/logs-a/_bulk?refresh", &bulk).await;
    assert!(status == 200 && answer.contains("\"errors\":false"), "{answer}");
    let ask = async |arguments: &str, body: &str| -> Value {
        let (status, _, answer) = send(&api, "POST", &format!("/_logpond/patterns?{arguments}"), body).await;
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).unwrap()
    };
    let found = ask("index=logs-a", "").await;
    let patterns = found["patterns"].as_array().unwrap();
    let mut templates: Vec<&str> =
        patterns.iter().map(|pattern| pattern["template"].as_str().unwrap()).collect();
    templates.sort_unstable();
    assert_eq!(
        templates,
        ["Took * steps, request failed", "failed:\n", "request * took * ms", "user=* logged in"]
    );
    assert_eq!(
        (&found["total"], &found["looked_at"], &found["unclustered"]),
        (&json!(3_000), &json!(3_000), &json!(600))
    );
    for pattern in patterns {
        assert_eq!(pattern["count"], 600);
        let bars = pattern["bars"].as_array().unwrap().iter().filter_map(Value::as_u64).sum::<u64>();
        assert_eq!(bars, 600);
        let query = json!({"query": {"template": {"message": pattern["template"]}}}).to_string();
        let (_, _, answer) = send(&api, "POST", "/logs-a/_count", &query).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["count"], 600, "{pattern}");
        let narrowed = json!({"query": {"bool": {
            "filter": [{"range": {"n": {"gte": 1_000, "lt": 2_000}}}, {"template": {"message": pattern["template"]}}],
        }}});
        let (_, _, answer) = send(&api, "POST", "/logs-a/_count", &narrowed.to_string()).await;
        assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["count"], 200, "{pattern}");
    }
    let found = ask("index=logs-a&size=1", r#"{"query": {"range": {"n": {"lt": 100}}}}"#).await;
    assert_eq!(found["patterns"].as_array().unwrap().len(), 1);
    assert_eq!(found["others"], json!({"patterns": 3, "events": 60}));
    assert_eq!((&found["looked_at"], &found["unclustered"]), (&json!(100), &json!(20)));
    assert_eq!(ask("index=logs-none*", "").await["patterns"], json!([]));
    for (arguments, body) in [
        ("sise=1", ""),
        ("", r#"{"quary": {}}"#),
        ("", r#"{"query": {"template": {"level": "x"}}}"#),
        ("index=absent", ""),
    ] {
        let (status, _, answer) = send(&api, "POST", &format!("/_logpond/patterns?{arguments}"), body).await;
        assert!(status == 400 || status == 404, "{arguments} {body}: {status} {answer}");
    }
}
