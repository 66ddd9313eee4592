//! Questions in Elasticsearch's words again, for clusters that know neither KQL nor templates.

use crate::es::context::Context;
use serde_json::{Value as Json, json};
use std::ops::Bound;
use store::{FieldType, Query, Value};

/// The question as every Elasticsearch and OpenSearch since 7 understands it.
///
/// A template becomes the words that it has: a message with these in another order is found too.
pub(crate) fn write(query: &Query, context: &Context) -> Json {
    let all = |queries: &[Query]| queries.iter().map(|query| write(query, context)).collect::<Vec<_>>();
    match query {
        Query::All => json!({ "match_all": {} }),
        Query::None => json!({ "match_none": {} }),
        Query::Terms { field, values } => {
            json!({ "terms": { field.as_str(): values.iter().map(value).collect::<Vec<_>>() } })
        }
        Query::Match { field, text, all } => {
            let operator = if *all { "and" } else { "or" };
            json!({ "match": { field.as_str(): { "query": text, "operator": operator, "lenient": true } } })
        }
        Query::Phrase { field, text, slop } if has_words(field, context) => {
            json!({ "match_phrase": { field.as_str(): { "query": text, "slop": slop } } })
        }
        // A number or a time that is no such thing is not there; it is no error.
        Query::Phrase { field, text, .. } => {
            json!({ "match": { field.as_str(): { "query": text, "lenient": true } } })
        }
        Query::PhrasePrefix { field, text } => json!({ "match_phrase_prefix": { field.as_str(): text } }),
        Query::Fuzzy { field, text, distance, transpositions } => {
            let options = json!({ "value": text, "fuzziness": distance, "transpositions": transpositions });
            json!({ "fuzzy": { field.as_str(): options } })
        }
        Query::Range { field, lower, upper } => {
            let mut sides = json!({});
            for (bound, included, excluded) in [(lower, "gte", "gt"), (upper, "lte", "lt")] {
                match bound {
                    Bound::Unbounded => {}
                    Bound::Included(side) => sides[included] = value(side),
                    Bound::Excluded(side) => sides[excluded] = value(side),
                }
            }
            json!({ "range": { field.as_str(): sides } })
        }
        Query::Exists { field } => json!({ "exists": { "field": field } }),
        Query::Wildcard { field, pattern } => match context.kind(field) {
            Some(FieldType::Long | FieldType::Double | FieldType::Boolean | FieldType::Date) => {
                json!({ "match_none": {} })
            }
            // The words of a text have no capitals.
            _ if has_words(field, context) => {
                let word = wildcard(field, &pattern.to_lowercase());
                match whole(field, context) {
                    Some(whole) => {
                        let either = [word, wildcard(&whole, pattern)];
                        json!({ "bool": { "should": either, "minimum_should_match": 1 } })
                    }
                    None => word,
                }
            }
            _ => wildcard(field, pattern),
        },
        Query::Regexp { field, pattern } => json!({ "regexp": { field.as_str(): { "value": pattern } } }),
        Query::Template(template) => {
            let words: Vec<&str> = template.words().collect();
            json!({ "match": { "message": { "query": words.join(" "), "operator": "and", "zero_terms_query": "all" } } })
        }
        Query::Ids(ids) => json!({ "ids": { "values": ids } }),
        Query::Bool { must, filter, should, must_not, minimum_should_match } => {
            let mut parts = json!({});
            for (name, queries) in
                [("must", must), ("filter", filter), ("should", should), ("must_not", must_not)]
            {
                if !queries.is_empty() {
                    parts[name] = all(queries).into();
                }
            }
            if let Some(count) = minimum_should_match {
                parts["minimum_should_match"] = json!(count);
            }
            json!({ "bool": parts })
        }
    }
}

fn wildcard(field: &str, pattern: &str) -> Json {
    json!({ "wildcard": { field: { "value": pattern } } })
}

/// The field that has a text in one piece, where the cluster keeps one, as it does for texts that nobody
/// declared: `*-02` is in no word of `web-02`, but the end of the whole.
fn whole(field: &str, context: &Context) -> Option<String> {
    let name = format!("{field}.keyword");
    context.fields.0.contains_key(&name).then_some(name)
}

/// Whether a field has an index of words; what nobody knows may have one.
fn has_words(field: &str, context: &Context) -> bool {
    !field.ends_with(".keyword") && context.kind(field).is_none_or(|kind| kind == FieldType::Text)
}

fn value(value: &Value) -> Json {
    match value {
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::Str(text) => json!(text),
        time @ Value::Time(_) => time.text().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::es::dsl;
    use crate::kql;

    fn context() -> Context {
        let mut context = Context::at(0);
        for (name, kind) in [
            ("message", FieldType::Text),
            ("level", FieldType::Keyword),
            ("n", FieldType::Long),
            ("host", FieldType::Text),
            ("host.keyword", FieldType::Keyword),
        ] {
            context.fields.learn(name, kind);
        }
        context
    }

    #[test]
    fn searches_in_words_of_elasticsearch() {
        #[track_caller]
        fn check(text: &str, expected: Json) {
            let query = kql::parse(text, &context()).unwrap();
            assert_eq!(write(&query, &context()), expected, "{text}");
        }
        let word = |field: &str, text: &str| json!({"match": {field: {"query": text, "operator": "or", "lenient": true}}});
        check("", json!({"match_all": {}}));
        check("time out", word("message", "time out"));
        check("\"time out\"", json!({"match_phrase": {"message": {"query": "time out", "slop": 0}}}));
        check("level: \"a b\"", json!({"match": {"level": {"query": "a b", "lenient": true}}}));
        check("n >= 5", json!({"range": {"n": {"gte": "5"}}}));
        check(
            "@timestamp < \"1970-01-01T00:00:01Z\"",
            json!({"range": {"@timestamp": {"lt": "1970-01-01T00:00:01.000Z"}}}),
        );
        check("level: *", json!({"exists": {"field": "level"}}));
        check("level: Err*", json!({"wildcard": {"level": {"value": "Err*"}}}));
        check("Err*", json!({"wildcard": {"message": {"value": "err*"}}}));
        check(
            "host: W*",
            json!({"bool": {"should": [
                {"wildcard": {"host": {"value": "w*"}}}, {"wildcard": {"host.keyword": {"value": "W*"}}},
            ], "minimum_should_match": 1}}),
        );
        check("n: 5*", json!({"match_none": {}}));
        check(
            "not level: x and (n: 1 or n: 2)",
            json!({"bool": {"must": [
                {"bool": {"must_not": [word("level", "x")]}},
                {"bool": {"should": [word("n", "1"), word("n", "2")], "minimum_should_match": 1}},
            ]}}),
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        for json in [
            json!({"terms": {"a": ["x", 5, true, 1.5]}}),
            json!({"match_phrase": {"message": {"query": "a b", "slop": 2}}}),
            json!({"match_phrase_prefix": {"message": "a b"}}),
            json!({"fuzzy": {"level": {"value": "abc", "fuzziness": 1, "transpositions": false}}}),
            json!({"range": {"n": {"gt": 1, "lte": 2}}}),
            json!({"range": {"@timestamp": {"gte": "2026-01-01T00:00:00Z"}}}),
            json!({"regexp": {"level": {"value": "a.*"}}}),
            json!({"ids": {"values": ["1", "2"]}}),
            json!({"bool": {"must": [{"term": {"a": 1}}], "must_not": [{"exists": {"field": "b"}}]}}),
        ] {
            let query = dsl::query(&json, &context()).unwrap();
            assert_eq!(dsl::query(&write(&query, &context()), &context()).unwrap(), query, "{json}");
        }
        let template = Query::Template(store::Template::parse("user * logged in"));
        let expected = json!({"match": {"message": {"query": "user logged in", "operator": "and", "zero_terms_query": "all"}}});
        assert_eq!(write(&template, &context()), expected);
    }
}
