use super::super::show::show;
use super::*;
use proptest::prelude::*;
use serde_json::json;

fn context() -> Context {
    let mut context = Context::at(1_795_268_730_500_000_000); // 2026-11-21T13:45:30.5Z
    for (name, kind) in [
        ("message", store::FieldType::Text),
        ("log.level", store::FieldType::Text),
        ("born", store::FieldType::Date),
        ("n", store::FieldType::Long),
    ] {
        context.fields.learn(name, kind);
    }
    context
}

#[test]
fn queries() {
    #[track_caller]
    fn check(json: Json, expected: &str) {
        assert_eq!(show(&query(&json, &context()).unwrap()), expected, "{json}");
    }
    check(json!({"match_all": {}}), "all");
    check(json!({"match_all": {"boost": 2}}), "all");
    check(json!({"match_none": {}}), "none");
    check(json!({"term": {"a": 1}}), "a==1");
    check(json!({"term": {"a": {"value": "x", "boost": 2}}}), "a==\"x\"");
    check(json!({"term": {"a": {"value": "x.y", "case_insensitive": true}}}), "a:/(?i:x\\.y)/");
    check(json!({"terms": {"a": [1, "b", true], "boost": 1}}), "a==1,\"b\",true");
    check(json!({"match": {"m": "a b"}}), "m=a b");
    check(json!({"match": {"m": 5}}), "m=5");
    check(json!({"match": {"m": {"query": "a b", "operator": "AND"}}}), "m=a b&");
    check(json!({"match": {"m": {"query": "a b c", "minimum_should_match": "70%"}}}), "(m=a& m=b& m=c&)/2");
    check(json!({"match_phrase": {"m": "a b"}}), "m=\"a b\"~0");
    check(json!({"match_phrase": {"m": {"query": "a b", "slop": 3}}}), "m=\"a b\"~3");
    check(json!({"match_phrase_prefix": {"m": {"query": "a b", "max_expansions": 5}}}), "m=\"a b\"*");
    check(json!({"match": {"m": {"query": "Abc de", "fuzziness": "AUTO"}}}), "(m=abc~1 m=de~0)/1");
    check(json!({"match": {"m": {"query": "a b", "fuzziness": 2, "operator": "and"}}}), "(+m=a~2 +m=b~2)");
    check(json!({"fuzzy": {"m": "abcdef"}}), "m=abcdef~2");
    check(
        json!({"fuzzy": {"m": {"value": "abcdef", "fuzziness": "AUTO:4,8", "transpositions": false}}}),
        "m=abcdef~1!",
    );
    check(json!({"prefix": {"a": "x*"}}), "a~x\\**");
    check(json!({"prefix": {"a": {"value": "x"}}}), "a~x*");
    check(json!({"wildcard": {"a": {"value": "x?y*"}}}), "a~x?y*");
    check(json!({"wildcard": {"a": {"wildcard": "x*"}}}), "a~x*");
    check(json!({"wildcard": {"a": {"value": "x*", "case_insensitive": true}}}), "a:/(?i:x.*)/");
    check(json!({"regexp": {"a": "x.+"}}), "a:/x.+/");
    check(json!({"exists": {"field": "a"}}), "a?");
    check(json!({"ids": {"values": ["1", 2]}}), "ids[\"1\", \"2\"]");
    check(json!({"constant_score": {"filter": {"term": {"a": 1}}, "boost": 1.5}}), "(#a==1)");
    check(json!({"dis_max": {"queries": [{"term": {"a": 1}}]}}), "(a==1)/1");
    check(json!({"bool": {}}), "all");
    check(json!({"bool": {"must": {"term": {"a": 1}}}}), "(+a==1)");
    check(
        json!({"bool": {"must": [{"term": {"a": 1}}], "filter": {"term": {"b": 1}}, "must_not": [], "should": [{"term": {"c": 1}}, {"term": {"d": 1}}], "minimum_should_match": "-1"}}),
        "(+a==1 #b==1 c==1 d==1)/1",
    );
    check(json!({"query_string": {"query": "a AND b", "default_field": "m"}}), "(+m=a +m=b)");
    check(json!({"query_string": {"query": "a", "fields": ["x^2", "y"]}}), "(x=a y=a)/1");
    check(json!({"query_string": {"query": "error"}}), "(message=error log.level=error)/1");
    check(json!({"simple_query_string": {"query": "a + b", "fields": ["m"]}}), "(+m=a +m=b)");
    check(json!({"kql": {"query": "n >= 5 or not a: *"}}), "(n[\"5\",*] (-a?))/1");
    check(json!({"kql": {"query": ""}}), "all");
    check(json!({"template": {"message": "took *  ms"}}), "template took * ms");
    check(json!({"multi_match": {"query": "a b", "fields": ["x", "y^3"]}}), "(x=a b y=a b)/1");
    check(
        json!({"multi_match": {"query": "a b", "type": "phrase", "fields": "log.*"}}),
        "log.level=\"a b\"~0",
    );
}

#[test]
fn ranges() {
    #[track_caller]
    fn check(field: &str, body: Json, expected: &str) {
        let found = query(&json!({ "range": { field: body } }), &context()).unwrap();
        let Query::Range { lower, upper, .. } = &found else { panic!("{found:?}") };
        let side = |bound: &Bound<Value>| match bound {
            Bound::Unbounded => "*".to_owned(),
            Bound::Included(value) => format!("={}", value.text()),
            Bound::Excluded(value) => value.text(),
        };
        assert_eq!(format!("{} {}", side(lower), side(upper)), expected, "{body}");
    }
    check("n", json!({"gte": 1, "lt": 5}), "=1 5");
    check("n", json!({"from": 1, "to": 5, "include_upper": false}), "=1 5");
    check("n", json!({"gt": "1", "lte": null}), "1 *");
    check("x", json!({"gte": "2026"}), "=2026 *");
    let t = "@timestamp";
    check(t, json!({"gte": "now-15m"}), "=2026-11-21T13:30:30.500Z *");
    check(
        t,
        json!({"gte": "now/d", "lte": "now/d"}),
        "=2026-11-21T00:00:00.000Z =2026-11-21T23:59:59.999999999Z",
    );
    check(
        t,
        json!({"gt": "2026-11-20", "lt": "2026-11-21"}),
        "2026-11-20T23:59:59.999999999Z 2026-11-21T00:00:00.000Z",
    );
    check(t, json!({"gte": "2026-11-21||-1d/d"}), "=2026-11-20T00:00:00.000Z *");
    check(t, json!({"gte": "2026"}), "=2026-01-01T00:00:00.000Z *");
    check(t, json!({"gte": "21.11.2026", "format": "dd.MM.yyyy"}), "=2026-11-21T00:00:00.000Z *");
    check(t, json!({"gte": 1000, "format": "epoch_second"}), "=1970-01-01T00:16:40.000Z *");
    check(t, json!({"gte": 1000}), "=1000 *");
    check(t, json!({"gte": "1795305600000"}), "=1795305600000 *");
    check(t, json!({"gte": "2026-11-21", "time_zone": "+09:00"}), "=2026-11-20T15:00:00.000Z *");
    check("born", json!({"lte": "2026-11"}), "* =2026-11-30T23:59:59.999999999Z");
}

#[test]
fn unknown_parts_say_what_there_is() {
    #[track_caller]
    fn check(json: Json, part: &str) {
        let error = query(&json, &context()).unwrap_err();
        assert_eq!(error.status, 400, "{json}");
        assert!(error.reason.contains(part), "{json}: {}", error.reason);
    }
    check(json!({"trem": {}}), "did you mean [term]?");
    check(json!({"nested": {}}), "there are bool, term");
    check(json!({}), "empty clause");
    check(json!([]), "must be an object");
    check(json!({"term": {}}), "exactly one field");
    check(json!({"term": {"a": 1, "b": 2}}), "exactly one field");
    check(json!({"term": {"a": null}}), "cannot be null");
    check(json!({"term": {"a": {"vlaue": 1}}}), "did you mean [value]?");
    check(json!({"terms": {"a": {"index": "x"}}}), "list of values");
    check(json!({"bool": {"musst": []}}), "did you mean [must]?");
    check(json!({"bool": {"minimum_should_match": "x"}}), "percentage");
    check(json!({"range": {"@timestamp": {"gte": "now-x"}}}), "now-15m");
    check(json!({"range": {"a": {"gte": "now-1x"}}}), "now-15m");
    check(json!({"range": {"a": {"greater": 1}}}), "gte");
    check(json!({"match": {"a": {"query": "x", "fuzziness": "x"}}}), "0, 1, 2, AUTO");
    check(json!({"match": {"a": {"query": "x", "fuzziness": 1, "minimum_should_match": 1}}}), "goes without");
    check(json!({"fuzzy": {"a": {"value": "x", "prefix_length": 1}}}), "[prefix] on [a]");
    check(json!({"fuzzy": {"a": {"value": "x", "fuzziness": "AUTO:3"}}}), "AUTO:short,long");
    check(json!({"match_phrase_prefix": {"a": {"query": "x y", "slop": 1}}}), "[slop]");
    check(json!({"match": {"a": {"query": ["x"]}}}), "START_ARRAY");
    check(json!({"match": {"a": "x"}, "term": {"a": 1}}), "bool");
    check(json!({"multi_match": {"query": "a", "type": "cross_fields"}}), "best_fields");
    check(json!({"query_string": {"query": "a AND"}}), "Failed to parse query");
    let mut deep = json!({"match_all": {}});
    for _ in 0..100 {
        deep = json!({"bool": {"must": deep}});
    }
    check(deep, "deeper than 32");
}

#[test]
fn minimums() {
    for (rule, count, expected) in [
        (json!(2), 5, 2),
        (json!(-1), 5, 4),
        (json!("75%"), 4, 3),
        (json!("-25%"), 4, 3),
        (json!("2<75%"), 2, 2),
        (json!("2<75%"), 4, 3),
        (json!("2<-25% 9<-3"), 10, 7),
        (json!(-9), 2, 0),
    ] {
        assert_eq!(minimum_should_match(&rule, count).unwrap(), expected, "{rule}");
    }
}

fn any_json() -> impl Strategy<Value = Json> {
    let word = prop::sample::select(
        KINDS
            .iter()
            .copied()
            .chain(["value", "query", "field", "fields", "must", "gte", "lt", "format", "a", "*"])
            .collect::<Vec<_>>(),
    );
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "(now|20[0-9]{2}-[0-9]{2})?[-+/|a-zé*]{0,6}".prop_map(Json::from),
    ];
    leaf.prop_recursive(6, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((word.clone(), inner), 0..4).prop_map(|members| members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #[test]
    fn any_question(json in any_json()) {
        let _ = query(&json, &context());
    }
}
