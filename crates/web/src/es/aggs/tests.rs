use super::*;
use store::FieldType;

fn context() -> Context {
    let mut context = Context::at(0);
    for (name, kind) in [("n", FieldType::Long), ("level", FieldType::Text), ("ok", FieldType::Boolean)] {
        context.fields.learn(name, kind);
    }
    context
}

#[test]
fn requests() {
    #[track_caller]
    fn check(asked: Json, expected: Json) {
        let aggs = read(&json!({ "x": asked }), &context()).unwrap();
        assert_eq!(aggs.request().unwrap()["x"], expected, "{asked}");
    }
    check(
        json!({"terms": {"field": "level", "size": 5, "order": [{"_term": "asc"}, {"_count": "desc"}], "execution_hint": "map"}}),
        json!({"terms": {"field": "level", "size": 5, "order": {"_key": "asc"}}}),
    );
    check(
        json!({"date_histogram": {"field": "@timestamp", "calendar_interval": "day", "format": "yyyy"}}),
        json!({"date_histogram": {"field": "@timestamp", "fixed_interval": "86400000ms"}}),
    );
    check(
        json!({"date_histogram": {"field": "@timestamp", "fixed_interval": "1d", "time_zone": "+09:00"}}),
        json!({"date_histogram": {"field": "@timestamp", "fixed_interval": "86400000ms", "offset": "54000000ms"}}),
    );
    check(
        json!({"date_histogram": {"field": "@timestamp", "interval": "week", "extended_bounds": {"min": "now-1h", "max": 5}}}),
        json!({"date_histogram": {"field": "@timestamp", "extended_bounds": {"min": -3_600_000, "max": 5}, "fixed_interval": "604800000ms", "offset": "345600000ms"}}),
    );
    check(
        json!({"range": {"field": "n", "ranges": [{"to": 5}, {"from": 5, "key": "big"}]}, "aggs": {"y": {"avg": {"field": "n"}}}}),
        json!({"range": {"field": "n", "ranges": [{"key": "0", "to": 5.0}, {"key": "1", "from": 5.0}]}, "aggs": {"y": {"avg": {"field": "n"}}}}),
    );
    check(
        json!({"date_range": {"field": "@timestamp", "ranges": [{"from": "1970-01-01T00:00:01Z"}]}}),
        json!({"range": {"field": "@timestamp", "ranges": [{"key": "0", "from": 1e9}]}}),
    );
}

#[test]
fn unknown_parts_say_what_there_is() {
    #[track_caller]
    fn check(asked: Json, part: &str) {
        let error = read(&json!({ "x": asked }), &context()).unwrap_err();
        assert_eq!(error.status, 400);
        assert!(error.reason.contains(part), "{asked}: {}", error.reason);
    }
    check(json!({"term": {"field": "a"}}), "did you mean [terms]?");
    check(json!({"terms": {"filed": "a"}}), "did you mean [field]?");
    check(json!({"terms": {"field": "a", "size": 0}}), "greater than 0");
    check(json!({"top_hits": {}}), "there are terms");
    check(json!({}), "Missing definition");
    check(json!([]), "must be an object");
    check(json!({"avg": {"field": "n"}, "max": {"field": "n"}}), "two aggregation");
    check(
        json!({"avg": {"field": "n"}, "aggs": {"y": {"avg": {"field": "n"}}}}),
        "cannot accept sub-aggregations",
    );
    check(json!({"date_histogram": {"field": "t", "calendar_interval": "month"}}), "fixed ones such as");
    check(json!({"date_histogram": {"field": "t"}}), "fixed_interval");
    check(json!({"date_histogram": {"field": "t", "fixed_interval": "0s"}}), "30s");
    check(json!({"date_histogram": {"field": "t", "fixed_interval": "1d", "interval": "1d"}}), "Cannot use");
    check(json!({"terms": {"field": "a"}, "aggs": {"f": {"filter": {"match_all": {}}}}}), "at the top only");
    check(json!({"range": {"field": "n", "ranges": []}}), "No [ranges]");
    check(json!({"cardinality": {"script": "x"}}), "there are field");
    let mut deep = json!({"terms": {"field": "a"}});
    for _ in 0..20 {
        deep = json!({"terms": {"field": "a"}, "aggs": {"x": deep}});
    }
    check(deep, "deeper than");
}

#[test]
fn results() {
    #[track_caller]
    fn check(asked: Json, result: Json, expected: Json) {
        let aggs = read(&json!({ "x": asked }), &context()).unwrap();
        assert_eq!(
            aggs.finish(json!({ "x": result }), Vec::new(), false, &context())["x"],
            expected,
            "{asked}"
        );
    }
    check(
        json!({"date_histogram": {"field": "@timestamp", "fixed_interval": "1s", "format": "HH:mm:ss", "time_zone": "+01:00"}, "aggs": {"u": {"cardinality": {"field": "level"}}}, "meta": {"a": 1}}),
        json!({"buckets": [{"key": 1000.0, "doc_count": 2, "u": {"value": 3.0}}]}),
        json!({"meta": {"a": 1}, "buckets": [{"key_as_string": "01:00:01", "key": 1000, "doc_count": 2, "u": {"value": 3}}]}),
    );
    check(
        json!({"range": {"field": "n", "keyed": true, "ranges": [{"from": 5}, {"to": 5, "key": "small"}]}}),
        json!({"buckets": [{"key": "*-0", "doc_count": 9}, {"key": "0", "doc_count": 1}, {"key": "1", "doc_count": 4}]}),
        json!({"buckets": {"small": {"to": 5.0, "doc_count": 4}, "5.0-*": {"from": 5.0, "doc_count": 1}}}),
    );
    check(
        json!({"terms": {"field": "ok"}}),
        json!({"buckets": [{"key": 1.0, "doc_count": 1}], "sum_other_doc_count": 0}),
        json!({"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0, "buckets": [{"key": 1, "key_as_string": "true", "doc_count": 1}]}),
    );
    check(
        json!({"max": {"field": "@timestamp"}}),
        json!({"value": 1_500_000_000.0}),
        json!({"value": 1500.0, "value_as_string": "1970-01-01T00:00:01.500Z"}),
    );
}

#[test]
fn filters_are_searches() {
    let asked = json!({"f": {"filters": {"filters": {"a": {"term": {"level": "x"}}}, "other_bucket_key": "rest"}, "aggs": {"m": {"max": {"field": "n"}}}}});
    let aggs = read(&asked, &context()).unwrap();
    assert!(aggs.request().is_none());
    assert_eq!(aggs.searches().len(), 2);
    let side = |count, n: f64| finish::Side { count, results: Some(json!({"m": {"value": n}})) };
    assert_eq!(
        aggs.finish(Json::Null, vec![side(2, 1.0), side(3, 4.0)], true, &context()),
        json!({"filters#f": {"buckets": {"a": {"doc_count": 2, "max#m": {"value": 1.0}}, "rest": {"doc_count": 3, "max#m": {"value": 4.0}}}}})
    );
}
