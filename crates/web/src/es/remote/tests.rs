use super::*;
use axum::body::{Body as Sent, to_bytes};
use axum::http::Request;
use serde_json::json;
use tower::ServiceExt;

/// Answers searches with events that the test gives it, and remembers what it was asked.
#[derive(Default)]
struct Fake {
    /// `[time in ms, id]`.
    events: Mutex<Vec<(i64, &'static str)>>,
    asked: Mutex<Vec<(Method, String, Json)>>,
}

impl Fake {
    fn answer(&self, path: &str, asked: &Json) -> (u16, Json) {
        if path.contains("_field_caps") {
            let caps =
                |kind: &str| json!({ kind: { "type": kind, "searchable": true, "aggregatable": true } });
            return (
                200,
                json!({"fields": {"message": caps("text"), "level": caps("keyword"), "n": caps("integer")}}),
            );
        }
        if path.starts_with("/gone/") {
            let cause = json!([{"type": "index_not_found_exception", "reason": "no such index [gone]"}]);
            return (404, json!({"error": {"root_cause": cause}, "status": 404}));
        }
        let from = asked.pointer("/query/bool/filter/1/range/@timestamp/gte").and_then(Json::as_i64);
        let mut events: Vec<_> = lock(&self.events).clone();
        events.retain(|(time, _)| from.is_none_or(|from| *time >= from));
        events.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        let size = asked["size"].as_u64().unwrap_or(10) as usize;
        let hits: Vec<Json> = events
            .iter()
            .take(size)
            .map(|(time, id)| json!({"_index": "i", "_id": id, "_source": {"message": id}, "sort": [time.to_string()]}))
            .collect();
        (200, json!({"hits": {"total": {"value": events.len()}, "hits": hits}}))
    }
}

impl Cluster for Arc<Fake> {
    fn send(&self, method: Method, path: String, body: Bytes) -> Boxed<Result<(u16, Bytes), String>> {
        let asked: Json = serde_json::from_slice(&body).unwrap_or_default();
        let (status, answer) = self.answer(&path, &asked);
        lock(&self.asked).push((method, path, asked));
        Box::pin(async move { Ok((status, answer.to_string().into())) })
    }

    fn name(&self) -> String {
        "a \"cluster\" & more".to_owned()
    }
}

async fn ask(router: &Router, method: &str, path: &str, body: Json) -> (u16, String) {
    let body = if body.is_null() { Sent::empty() } else { Sent::from(body.to_string()) };
    let request = Request::builder().method(method).uri(path).body(body).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn only_what_the_page_asks_is_passed_on() {
    let fake = Arc::new(Fake::default());
    let router = routes(Arc::new(fake.clone()));
    for (method, path, status, passed) in [
        ("GET", "/_cat/indices?format=json", 200, Some("/_cat/indices?format=json")),
        ("GET", "/a,b*/_field_caps?fields=*", 200, Some("/a,b*/_field_caps?fields=*")),
        ("POST", "/a/_search?timeout=1s", 200, Some("/a/_search?timeout=1s")),
        ("POST", "/_all/_count", 200, Some("/_all/_count")),
        ("POST", "/.ui/_search", 200, Some("/.logpond-ui/_search")),
        ("PUT", "/.ui/_doc/x?refresh=true", 200, Some("/.logpond-ui/_doc/x?refresh=true")),
        ("GET", "/.ui/_doc/x", 200, Some("/.logpond-ui/_doc/x")),
        ("DELETE", "/.ui/_doc/x", 200, Some("/.logpond-ui/_doc/x")),
        ("GET", "/", 200, Some("/")),
        ("DELETE", "/a", 405, None),
        ("POST", "/_bulk", 405, None),
        ("PUT", "/a/_doc/1", 405, None),
        ("DELETE", "/a/_search", 405, None),
        ("POST", "/_scripts/_search", 400, None),
        ("POST", "/_scripts/_count", 400, None),
        ("GET", "/_cluster/settings", 405, None),
        ("GET", "/_logpond/stats", 404, None),
    ] {
        lock(&fake.asked).clear();
        let body = if method == "POST" { json!({"query": {"match_all": {}}}) } else { Json::Null };
        let (answered, text) = ask(&router, method, path, body).await;
        assert_eq!(answered, status, "{method} {path}: {text}");
        let asked = lock(&fake.asked);
        assert_eq!(asked.last().map(|(_, path, _)| path.as_str()), passed, "{method} {path}");
    }
}

#[tokio::test]
async fn searches_are_put_into_words_of_the_cluster() {
    let fake = Arc::new(Fake::default());
    let router = routes(Arc::new(fake.clone()));
    let kql = |text: &str| json!({"kql": {"query": text}});
    let exists = json!({"exists": {"field": "level"}});
    let body = json!({
        "query": {"bool": {"filter": [kql("level: *"), {"term": {"n": 1}}], "must_not": kql("level: *")}},
        "post_filter": {"constant_score": {"filter": kql("level: *")}},
        "aggs": {
            "a": {"filter": kql("level: *"), "aggs": {"b": {"filters": {"filters": {"c": kql("level: *")}}}}},
            "d": {"filters": {"filters": [kql("level: *")]}},
            "kql": {"terms": {"field": "kql"}},
        },
        "size": 3,
    });
    assert_eq!(ask(&router, "POST", "/a/_search", body).await.0, 200);
    let expected = json!({
        "query": {"bool": {"filter": [exists, {"term": {"n": 1}}], "must_not": exists}},
        "post_filter": {"constant_score": {"filter": exists}},
        "aggs": {
            "a": {"filter": exists, "aggs": {"b": {"filters": {"filters": {"c": exists}}}}},
            "d": {"filters": {"filters": [exists]}},
            "kql": {"terms": {"field": "kql"}},
        },
        "size": 3,
    });
    assert_eq!(lock(&fake.asked).last().unwrap().2, expected);
    let body = json!({"query": {"bool": {"filter": [{"template": {"message": "user * left"}}]}}});
    assert_eq!(ask(&router, "POST", "/a/_count", body).await.0, 200);
    let words =
        lock(&fake.asked).last().unwrap().2["query"]["bool"]["filter"][0]["match"]["message"]["query"]
            .clone();
    assert_eq!(words, "user left");
    let (status, text) = ask(&router, "POST", "/a/_search", json!({"query": kql("level: (x")})).await;
    assert_eq!(status, 400);
    assert!(text.contains("expected ) at byte 9"), "{text}");
    // What the index has is asked once for a while.
    let asked = lock(&fake.asked).iter().filter(|(_, path, _)| path.contains("_field_caps")).count();
    assert_eq!(asked, 1);
    let (status, text) = ask(&router, "POST", "/_logpond/patterns?index=gone", json!({})).await;
    assert_eq!(status, 404);
    assert!(text.contains("no such index [gone]"), "{text}");
}

#[tokio::test]
async fn tails_show_each_event_once_and_count_all() {
    let fake = Arc::new(Fake::default());
    let router = routes(Arc::new(fake.clone()));
    let tail = async |arguments: &str| {
        let path = format!("/_logpond/tail?newest=true&index=i&{arguments}");
        let (status, text) = ask(&router, "POST", &path, json!({"query": {"match_all": {}}})).await;
        assert_eq!(status, 200, "{text}");
        let found: Json = serde_json::from_str(&text).unwrap();
        let hits = found["hits"]["hits"].as_array().unwrap().clone();
        let ids: Vec<String> = hits.iter().map(|hit| hit["_id"].as_str().unwrap().to_owned()).collect();
        let place = hits.last().map_or(0, |hit| hit["sort"][1].as_u64().unwrap());
        (ids.join(" "), found["hits"]["total"]["value"].as_u64().unwrap(), place)
    };
    lock(&fake.events).extend([(1_000_000, "a"), (1_001_000, "b"), (1_002_000, "c")]);
    let (ids, total, place) = tail("size=2").await;
    assert_eq!((ids.as_str(), total), ("b c", 2));
    // One that is late and one that is new; what was there before the tail began is no news.
    lock(&fake.events).extend([(1_001_500, "late"), (1_003_000, "new")]);
    let (ids, total, again) = tail(&format!("size=2&after={place}")).await;
    assert_eq!(ids, "late new");
    assert_eq!((total, again), (2, place));
    assert_eq!(tail(&format!("size=2&after={place}")).await.0, "");
    // More than fit: the newest are shown, and all are counted.
    lock(&fake.events).extend([(1_004_000, "d"), (1_005_000, "e"), (1_006_000, "f")]);
    let (ids, total, _) = tail(&format!("size=2&after={place}")).await;
    assert_eq!((ids.as_str(), total), ("e f", 3));
    assert_eq!(tail(&format!("size=2&after={place}")).await.0, "");
}
