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
        assert_eq!(aggs.request(&mut Vec::new()).unwrap()["x"], expected, "{asked}");
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
    check(json!({"top_hit": {}}), "did you mean [top_hits]?");
    check(json!({"top_hits": {"size": 101}}), "must be less than or equal to: [100]");
    check(json!({"top_hits": {"highlight": {}}}), "there are from");
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
    check(json!({"terms": {"field": "a"}, "aggs": {"f": {"global": {}}}}), "with a parent");
    check(
        json!({"terms": {"field": "a"}, "aggs": {"a>b": {"avg": {"field": "n"}}}}),
        "Invalid aggregation name",
    );
    check(json!({"percentile_ranks": {"field": "n", "values": []}}), "[values]");
    check(json!({"percentile_ranks": {"field": "n", "values": ["x"]}}), "[values]");
    check(json!({"max_bucket": {"buckets_path": "x"}}), "per_day>_count");
    let composite = |sources: Json| json!({"composite": {"sources": sources}});
    let field = json!({"terms": {"field": "a"}});
    check(composite(json!([])), "cannot be null or empty");
    check(composite(json!([{"a": {"avg": {"field": "n"}}}])), "there are terms, histogram");
    check(composite(json!([{"a": field}, {"a": field}])), "found duplicates: [a]");
    check(composite(json!([{"a": {"histogram": {"field": "n", "interval": 0}}}])), "greater than 0");
    check(
        composite(json!([{"a": {"date_histogram": {"field": "t", "fixed_interval": "1M"}}}])),
        "fixed ones",
    );
    check(
        composite(
            json!([{"a": {"date_histogram": {"field": "t", "fixed_interval": "1h", "time_zone": "+01:00"}}}]),
        ),
        "must be [UTC]",
    );
    check(json!({"composite": {"size": 0, "sources": [{"a": field}]}}), "from 1 to 10000");
    check(json!({"composite": {"after": {}, "sources": [{"a": field}]}}), "Missing value for [after.a]");
    check(
        json!({"composite": {"after": {"a": [1]}, "sources": [{"a": field}]}}),
        "Invalid value for [after.a]",
    );
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
        let results = aggs.finish(json!({ "x": result }), &Query::All, &mut finish(false, &mut Nobody));
        assert_eq!(results.unwrap()["x"], expected, "{asked}");
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

/// Answers further searches by saying what they were.
struct Nobody;

impl Ask for Nobody {
    fn hits(&mut self, query: Query, _: &Wanted) -> Result<Json, EsError> {
        Ok(crate::es::show::show(&query).into())
    }

    fn all(&mut self, request: Option<Json>, filters: Vec<Query>) -> Result<(u64, Json), EsError> {
        let counts = json!({ "n": filters.len(), "request": request });
        Ok((7, json!({ "m": counts })))
    }
}

fn finish(typed: bool, ask: &mut dyn Ask) -> Finish<'_> {
    // The fields outlive the test.
    Finish { typed, context: Box::leak(Box::new(context())), ask }
}

#[test]
fn filters_are_parts() {
    let asked = json!({"f": {"filters": {"filters": {"a": {"term": {"level": "x"}}}, "other_bucket_key": "rest"}, "aggs": {"m": {"max": {"field": "n"}}}}});
    let aggs = read(&asked, &context()).unwrap();
    let mut filters = Vec::new();
    let max = json!({"m": {"max": {"field": "n"}}});
    assert_eq!(
        aggs.request(&mut filters).unwrap(),
        json!({"f>0": {"filter": "0", "aggs": max}, "f>1": {"filter": "1", "aggs": max}})
    );
    assert_eq!(filters.len(), 2);
    let results =
        json!({"f>0": {"doc_count": 2, "m": {"value": 1.0}}, "f>1": {"doc_count": 3, "m": {"value": 4.0}}});
    assert_eq!(
        aggs.finish(results, &Query::All, &mut finish(true, &mut Nobody)).unwrap(),
        json!({"filters#f": {"buckets": {"a": {"doc_count": 2, "max#m": {"value": 1.0}}, "rest": {"doc_count": 3, "max#m": {"value": 4.0}}}}})
    );
}

#[test]
fn hits_of_buckets_are_searched_for_within_them() {
    #[track_caller]
    fn check(asked: Json, results: Json, at: &str, expected: &str) {
        let asked = json!({"x": {"aggs": {"h": {"top_hits": {}}}, asked[0].as_str().unwrap(): asked[1]}});
        let aggs = read(&asked, &context()).unwrap();
        let within = Query::Terms { field: "app".to_owned(), values: vec![Value::Str("web".to_owned())] };
        let found = aggs.finish(json!({ "x": results }), &within, &mut finish(false, &mut Nobody)).unwrap();
        let expected = format!("(+app==\"web\" #{expected})");
        assert_eq!(found["x"].pointer(at).unwrap()["h"]["hits"], expected, "{asked}: {found}");
    }
    let one = |key: Json| json!({"buckets": [{"key": key, "doc_count": 1}]});
    let first = "/buckets/0";
    check(json!(["terms", {"field": "level"}]), one(json!("info")), first, "level==\"info\"");
    check(
        json!(["terms", {"field": "level", "missing": "-"}]),
        one(json!("-")),
        first,
        "(level==\"-\" (-level?))/1",
    );
    check(json!(["terms", {"field": "ok"}]), one(json!(1.0)), first, "ok==true");
    check(json!(["terms", {"field": "n"}]), one(json!(5.0)), first, "n==5");
    check(
        json!(["terms", {"field": "@timestamp"}]),
        json!({"buckets": [{"key": 1000.0, "key_as_string": "1970-01-01T00:00:01.000000001Z", "doc_count": 1}]}),
        first,
        "@timestamp==\"1970-01-01T00:00:01.000000001Z\"",
    );
    check(json!(["histogram", {"field": "n", "interval": 10}]), one(json!(20.0)), first, "n[20,30}");
    check(
        json!(["date_histogram", {"field": "@timestamp", "fixed_interval": "1m"}]),
        one(json!(60_000.0)),
        first,
        "@timestamp[t60000000000,t120000000000}",
    );
    check(
        json!(["date_histogram", {"field": "@timestamp", "calendar_interval": "month"}]),
        json!({"buckets": [{"key": "0", "doc_count": 1}]}),
        first,
        "@timestamp[t0,t2678400000000000}",
    );
    check(json!(["range", {"field": "n", "ranges": [{"from": 5}]}]), one(json!("0")), first, "n[5,*]");
    check(
        json!(["date_range", {"field": "@timestamp", "ranges": [{"to": "1970-01-01T00:00:01Z"}]}]),
        one(json!("0")),
        first,
        "@timestamp[*,t1000000000}",
    );
    check(json!(["filter", {"term": {"level": "x"}}]), json!(null), "", "level==\"x\"");
    check(json!(["missing", {"field": "level"}]), json!(null), "", "(-level?)");
    let of = |kind: &str, options: Json| json!(["composite", {"sources": [{"a": {kind: options}}]}]);
    let key = |key: Json| json!({"buckets": [{"key": {"a": key}, "doc_count": 1}]});
    check(of("terms", json!({"field": "level"})), key(json!("x")), first, "(+level==\"x\")");
    check(of("terms", json!({"field": "level"})), key(json!(null)), first, "(+(-level?))");
    check(of("terms", json!({"field": "ok"})), key(json!(false)), first, "(+ok==false)");
    check(of("terms", json!({"field": "n"})), key(json!(5)), first, "(+n==5)");
    check(of("histogram", json!({"field": "n", "interval": 5})), key(json!(5.0)), first, "(+n[5,10})");
    check(
        of("terms", json!({"field": "@timestamp"})),
        key(json!(5)),
        first,
        "(+@timestamp[t5000000,t6000000})",
    );
    check(
        of("date_histogram", json!({"field": "@timestamp", "fixed_interval": "1s"})),
        key(json!(1000)),
        first,
        "(+@timestamp[t1000000000,t2000000000})",
    );
    check(
        of("date_histogram", json!({"field": "@timestamp", "calendar_interval": "month"})),
        key(json!(2_678_400_000_i64)),
        first,
        "(+@timestamp[t2678400000000000,t5097600000000000})",
    );
}

#[test]
fn hits_of_all_events() {
    let asked = json!({"g": {"global": {}, "aggs": {"h": {"top_hits": {}}, "m": {"max": {"field": "n"}}}}});
    let aggs = read(&asked, &context()).unwrap();
    let found = aggs.finish(Json::Null, &Query::None, &mut finish(false, &mut Nobody)).unwrap();
    assert_eq!(found["g"]["doc_count"], 7);
    assert_eq!(found["g"]["h"]["hits"], "all");
    assert_eq!(found["g"]["m"]["request"], json!({"m": {"max": {"field": "n"}}}));
}

#[test]
fn pages_of_composites() {
    let asked = |after: Json| {
        json!({"c": {"composite": {"after": after, "sources": [
            {"d": {"date_histogram": {"field": "@timestamp", "calendar_interval": "day", "format": "yyyy-MM-dd"}}},
            {"l": {"terms": {"field": "level", "order": "desc", "missing_bucket": true}}},
            {"o": {"terms": {"field": "ok"}}},
            {"n": {"histogram": {"field": "n", "interval": "2"}}},
            {"t": {"terms": {"field": "n"}}},
        ]}}})
    };
    let aggs =
        read(&asked(json!({"d": "1970-01-02", "l": null, "o": true, "n": 4, "t": 7})), &context()).unwrap();
    let request = &aggs.request(&mut Vec::new()).unwrap()["c"]["composite"];
    assert_eq!(
        request["after"],
        json!({"d": "dt:86400000000000", "l": "null:", "o": "bool:true", "n": "f64:4", "t": "i64:7"})
    );
    assert_eq!(request["size"], 10);
    assert_eq!(
        request["sources"][0],
        json!({"d": {"date_histogram": {"field": "@timestamp", "fixed_interval": "86400000ms"}}})
    );
    let result = json!({"c": {"buckets": [{"key": {"d": 86_400_000, "l": null, "o": true, "n": 2.0, "t": 3}, "doc_count": 4}]}});
    let key = json!({"d": "1970-01-02", "l": null, "o": true, "n": 2.0, "t": 3});
    assert_eq!(
        aggs.finish(result, &Query::All, &mut finish(false, &mut Nobody)).unwrap()["c"],
        json!({"after_key": key, "buckets": [{"key": key, "doc_count": 4}]})
    );
    let empty = aggs.finish(json!({"c": {"buckets": []}}), &Query::All, &mut finish(false, &mut Nobody));
    assert_eq!(empty.unwrap()["c"], json!({"buckets": []}));
}

#[test]
fn ranks() {
    let asked = json!({"r": {"percentile_ranks": {"field": "n", "values": [7, "3"]}}});
    let aggs = read(&asked, &context()).unwrap();
    let mut filters = Vec::new();
    assert_eq!(
        aggs.request(&mut filters).unwrap(),
        json!({"r": {"value_count": {"field": "n"}}, "r>0": {"filter": "0"}, "r>1": {"filter": "1"}})
    );
    let shown: Vec<String> = filters.iter().map(crate::es::show::show).collect();
    assert_eq!(shown, ["n[*,3]", "n[*,7]"]);
    let results = json!({"r": {"value": 4.0}, "r>0": {"doc_count": 1}, "r>1": {"doc_count": 3}});
    assert_eq!(
        aggs.finish(results, &Query::All, &mut finish(true, &mut Nobody)).unwrap(),
        json!({"tdigest_percentile_ranks#r": {"values": {"3.0": 25.0, "7.0": 75.0}}})
    );
}

#[test]
fn counted_from_buckets_beside() {
    let asked = json!({
        "t": {"terms": {"field": "level"}, "aggs": {"s": {"sum": {"field": "n"}}}},
        "most": {"max_bucket": {"buckets_path": "t>s"}},
        "few": {"min_bucket": {"buckets_path": "t>_count"}},
        "all": {"stats_bucket": {"buckets_path": "t>s.value"}},
        "mean": {"avg_bucket": {"buckets_path": "t>s"}},
    });
    let aggs = read(&asked, &context()).unwrap();
    let bucket =
        |key: &str, count: u64, sum: f64| json!({"key": key, "doc_count": count, "s": {"value": sum}});
    let results = json!({"t": {"buckets": [bucket("a", 2, 5.0), bucket("b", 1, 9.0), bucket("c", 0, 0.0)]}});
    let found = aggs.finish(results, &Query::All, &mut finish(false, &mut Nobody)).unwrap();
    assert_eq!(found["most"], json!({"value": 9.0, "keys": ["b"]}));
    assert_eq!(found["few"], json!({"value": 0.0, "keys": ["c"]}));
    assert_eq!(found["all"], json!({"count": 2, "min": 5.0, "max": 9.0, "avg": 7.0, "sum": 14.0}));
    assert_eq!(found["mean"], json!({"value": 7.0}));
    let lost = json!({"x": {"max_bucket": {"buckets_path": "nowhere>s"}}});
    let lost = read(&lost, &context()).unwrap();
    let error = lost.finish(json!({}), &Query::All, &mut finish(false, &mut Nobody)).unwrap_err();
    assert!(error.reason.contains("No aggregation found for path [nowhere>s]"), "{}", error.reason);
}
