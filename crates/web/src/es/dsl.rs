//! Elasticsearch's query language, as JSON.

use super::EsError;
use super::query_string;
use serde_json::{Map, Value as Json};
use std::ops::Bound;
use store::{Query, SortKey, SortValue, Value};

/// No question is nested deeper.
const DEPTH_MAX: usize = 32;
const KINDS: &str = "bool, term, terms, match, match_phrase, match_all, match_none, multi_match, range, exists, prefix, wildcard, regexp, ids, query_string, constant_score";

/// Reads the value of `"query"`. `now` is in nanoseconds UTC.
pub fn query(json: &Json, now: i64) -> Result<Query, EsError> {
    read(json, now, 0)
}

fn read(json: &Json, now: i64, depth: usize) -> Result<Query, EsError> {
    if depth > DEPTH_MAX {
        return Err(EsError::parsing("the query is nested too deep"));
    }
    let object = json.as_object().ok_or_else(|| EsError::parsing("[query] must be an object"))?;
    let mut members = object.iter();
    let (Some((kind, body)), None) = (members.next(), members.next()) else {
        return Err(EsError::parsing(format!("a query holds one of {KINDS}")));
    };
    match kind.as_str() {
        "match_all" => Ok(Query::All),
        "match_none" => Ok(Query::None),
        "bool" => read_bool(body, now, depth),
        "constant_score" => read(&body["filter"], now, depth + 1),
        "exists" => Ok(Query::Exists { field: text(&body["field"], "exists.field")? }),
        "ids" => {
            let values = body["values"].as_array().cloned().unwrap_or_default();
            Ok(Query::Ids(values.iter().map(plain_text).collect()))
        }
        "query_string" | "simple_query_string" => {
            let field = body["default_field"]
                .as_str()
                .or_else(|| body["fields"][0].as_str())
                .filter(|field| !field.contains('*'));
            let and = body["default_operator"]
                .as_str()
                .is_some_and(|operator| operator.eq_ignore_ascii_case("and"));
            query_string::parse(
                &text(&body["query"], "query_string.query")?,
                field.unwrap_or("message"),
                and,
                now,
            )
        }
        "multi_match" => {
            let words = plain_text(&body["query"]);
            let fields = body["fields"].as_array().cloned().unwrap_or_default();
            let phrase = body["type"] == "phrase";
            let one = |field: &Json| {
                let field = plain_text(field).split('^').next().unwrap_or_default().to_owned();
                if phrase {
                    Query::Phrase { field, text: words.clone(), slop: 0 }
                } else {
                    Query::Match { field, text: words.clone(), all: body["operator"] == "and" }
                }
            };
            Ok(Query::or(fields.iter().map(one).collect()))
        }
        "term" | "match" | "match_phrase" | "prefix" | "wildcard" | "regexp" | "range" | "terms" => {
            let body =
                body.as_object().ok_or_else(|| EsError::parsing(format!("[{kind}] must be an object")))?;
            let mut fields = body.iter().filter(|(name, _)| *name != "boost" && *name != "_name");
            let (Some((field, body)), None) = (fields.next(), fields.next()) else {
                return Err(EsError::parsing(format!("[{kind}] query takes one field")));
            };
            read_field(kind, field, body, now)
        }
        other => Err(EsError::parsing(format!("unknown query [{other}]; there are {KINDS}"))),
    }
}

fn read_field(kind: &str, field: &str, body: &Json, now: i64) -> Result<Query, EsError> {
    let field = field.to_owned();
    let inner =
        |name: &str| body.as_object().map_or(body, |object| object.get(name).unwrap_or(&Json::Null)).clone();
    Ok(match kind {
        "term" => Query::Terms { field, values: vec![value(&inner("value"))?] },
        "terms" => {
            let values = body.as_array().ok_or_else(|| EsError::parsing("[terms] takes a list of values"))?;
            Query::Terms { field, values: values.iter().map(value).collect::<Result<_, _>>()? }
        }
        "match" => {
            let all = body["operator"].as_str().is_some_and(|operator| operator.eq_ignore_ascii_case("and"));
            Query::Match { field, text: plain_text(&inner("query")), all }
        }
        "match_phrase" => {
            let slop = body["slop"].as_u64().unwrap_or(0) as u32;
            Query::Phrase { field, text: plain_text(&inner("query")), slop }
        }
        "prefix" => Query::Wildcard { field, pattern: format!("{}*", escaped(&plain_text(&inner("value")))) },
        "wildcard" => {
            let pattern = inner("value");
            Query::Wildcard {
                field,
                pattern: plain_text(if pattern.is_null() { &body["wildcard"] } else { &pattern }),
            }
        }
        "regexp" => Query::Regexp { field, pattern: plain_text(&inner("value")) },
        _ => read_range(field, body, now)?,
    })
}

fn read_range(field: String, body: &Json, now: i64) -> Result<Query, EsError> {
    let object = body.as_object().ok_or_else(|| EsError::parsing("[range] takes gt, gte, lt, lte"))?;
    let (mut lower, mut upper) = (Bound::Unbounded, Bound::Unbounded);
    for (name, json) in object {
        let at = |round_up: bool| moment(json, now, round_up);
        match name.as_str() {
            _ if json.is_null() => {}
            "gte" | "from" => lower = Bound::Included(at(false)?),
            "gt" => lower = Bound::Excluded(at(true)?),
            "lte" | "to" => upper = Bound::Included(at(true)?),
            "lt" => upper = Bound::Excluded(at(false)?),
            "format" | "time_zone" | "boost" | "relation" | "include_lower" | "include_upper" => {}
            other => {
                return Err(EsError::parsing(format!(
                    "[range] query does not support [{other}]; there are gt, gte, lt, lte, format"
                )));
            }
        }
    }
    Ok(Query::Range { field, lower, upper })
}

/// A value of a range: date math becomes a time, everything else stays.
pub(crate) fn moment(json: &Json, now: i64, round_up: bool) -> Result<Value, EsError> {
    match json {
        Json::String(text) => match date_math(text, now, round_up) {
            Some(ns) => Ok(Value::Time(ns)),
            None if text.starts_with("now") || text.contains("||") => Err(EsError::parsing(format!(
                "failed to parse date math [{text}], such as now-15m or 2026-11-21||/d"
            ))),
            None => Ok(Value::Str(text.clone())),
        },
        other => value(other),
    }
}

/// `now-15m`, `now/d`, `2026-11-21||+1d/d`. Rounding goes down, or up to the last moment.
pub(crate) fn date_math(text: &str, now: i64, round_up: bool) -> Option<i64> {
    let (mut time, mut rest) = match text.strip_prefix("now") {
        Some(rest) => (now, rest),
        None => {
            let (anchor, rest) = text.split_once("||")?;
            (event_time(anchor)?, rest)
        }
    };
    const SECOND: i64 = 1_000_000_000;
    let unit = |unit: &str| {
        Some(match unit {
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" | "H" => 3_600 * SECOND,
            "d" => 86_400 * SECOND,
            "w" => 7 * 86_400 * SECOND,
            "M" => 30 * 86_400 * SECOND,
            "y" => 365 * 86_400 * SECOND,
            _ => return None,
        })
    };
    while let Some(sign) = rest.chars().next() {
        rest = &rest[1..];
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let count: i64 = if digits == 0 { 1 } else { rest[..digits].parse().ok()? };
        let name = rest.get(digits..digits + 1)?;
        rest = &rest[digits + 1..];
        let step = unit(name)?;
        match sign {
            '+' => time = time.checked_add(count.checked_mul(step)?)?,
            '-' => time = time.checked_sub(count.checked_mul(step)?)?,
            '/' => {
                // Weeks begin on a Monday; 1970 began on a Thursday.
                let shift = if name == "w" { 3 * 86_400 * SECOND } else { 0 };
                time = (time + shift).div_euclid(step) * step - shift;
                if round_up {
                    time += step - 1;
                }
            }
            _ => return None,
        }
    }
    Some(time)
}

fn event_time(text: &str) -> Option<i64> {
    Value::Str(text.to_owned()).time()
}

fn read_bool(body: &Json, now: i64, depth: usize) -> Result<Query, EsError> {
    let object = body.as_object().ok_or_else(|| EsError::parsing("[bool] must be an object"))?;
    let mut parts: [Vec<Query>; 4] = Default::default();
    let mut minimum = None;
    for (name, json) in object {
        let slot = match name.as_str() {
            "must" => 0,
            "filter" => 1,
            "should" => 2,
            "must_not" => 3,
            "minimum_should_match" => {
                minimum = json.as_u64().or_else(|| json.as_str()?.parse().ok()).map(|count| count as usize);
                continue;
            }
            "boost" | "_name" | "adjust_pure_negative" => continue,
            other => {
                return Err(EsError::parsing(format!(
                    "[bool] query does not support [{other}]; there are must, filter, should, must_not, minimum_should_match"
                )));
            }
        };
        match json {
            Json::Array(list) => {
                for json in list {
                    parts[slot].push(read(json, now, depth + 1)?);
                }
            }
            json => parts[slot].push(read(json, now, depth + 1)?),
        }
    }
    let [must, filter, should, must_not] = parts;
    Ok(Query::Bool { must, filter, should, must_not, minimum_should_match: minimum })
}

/// Reads the value of `"sort"`.
pub fn sort(json: &Json) -> Result<Vec<SortKey>, EsError> {
    let list = match json {
        Json::Null => return Ok(Vec::new()),
        Json::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    list.iter()
        .map(|json| match json {
            Json::String(text) => Ok(sort_word(text)),
            Json::Object(object) => {
                let (field, options) =
                    object.iter().next().ok_or_else(|| EsError::parsing("[sort] holds an empty object"))?;
                let order = options.as_str().or_else(|| options["order"].as_str());
                Ok(SortKey {
                    field: field.clone(),
                    descending: order.map_or(field == "_score", |order| order == "desc"),
                    missing_first: options["missing"] == "_first",
                })
            }
            _ => Err(EsError::parsing("[sort] takes fields, such as {\"@timestamp\": \"desc\"}")),
        })
        .collect()
}

/// `field`, `field:desc`.
pub(crate) fn sort_word(text: &str) -> SortKey {
    let (field, order) = match text.rsplit_once(':') {
        Some((field, order @ ("asc" | "desc"))) => (field, order),
        _ => (text, if text == "_score" { "desc" } else { "asc" }),
    };
    SortKey { field: field.to_owned(), descending: order == "desc", missing_first: false }
}

/// Reads the value of `"search_after"`.
pub fn search_after(json: &Json) -> Option<Vec<SortValue>> {
    let values = json.as_array()?;
    Some(
        values
            .iter()
            .map(|value| match value {
                Json::Number(number) => number
                    .as_i64()
                    .map_or_else(|| SortValue::Float(number.as_f64().unwrap_or(0.0)), SortValue::Int),
                Json::String(text) => match event_time(text).filter(|_| text.len() >= 20) {
                    Some(ns) => SortValue::Int(ns),
                    None => SortValue::Str(text.clone()),
                },
                Json::Bool(value) => SortValue::Int(i64::from(*value)),
                _ => SortValue::Missing,
            })
            .collect(),
    )
}

fn value(json: &Json) -> Result<Value, EsError> {
    Ok(match json {
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap_or(0.0)), Value::Int)
        }
        Json::String(text) => Value::Str(text.clone()),
        _ => return Err(EsError::parsing("expected a text, a number or a boolean")),
    })
}

fn text(json: &Json, what: &str) -> Result<String, EsError> {
    json.as_str().map(str::to_owned).ok_or_else(|| EsError::parsing(format!("[{what}] takes a text")))
}

fn plain_text(json: &Json) -> String {
    json.as_str().map_or_else(|| if json.is_null() { String::new() } else { json.to_string() }, str::to_owned)
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('*', "\\*").replace('?', "\\?")
}

/// Applies `_source`: which members of the source are given back.
pub fn filter_source(source: &[u8], rule: &Json) -> Json {
    let list = |json: &Json| -> Vec<String> {
        match json {
            Json::String(text) => text.split(',').map(str::to_owned).collect(),
            Json::Array(list) => list.iter().map(plain_text).collect(),
            _ => Vec::new(),
        }
    };
    let whole: Json = serde_json::from_slice(source).unwrap_or(Json::Null);
    let (includes, excludes) = match rule {
        Json::Object(rule) => {
            let get = |names: [&str; 2]| {
                names.iter().find_map(|name| rule.get(*name)).map(list).unwrap_or_default()
            };
            (get(["includes", "include"]), get(["excludes", "exclude"]))
        }
        Json::String(_) | Json::Array(_) => (list(rule), Vec::new()),
        _ => return whole,
    };
    let Json::Object(object) = whole else { return whole };
    Json::Object(pick(object, "", &includes, &excludes))
}

fn pick(
    object: Map<String, Json>,
    prefix: &str,
    includes: &[String],
    excludes: &[String],
) -> Map<String, Json> {
    let mut kept = Map::new();
    for (name, value) in object {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if excludes.iter().any(|pattern| covers(pattern, &path)) {
            continue;
        }
        let included = includes.is_empty() || includes.iter().any(|pattern| covers(pattern, &path));
        match value {
            Json::Object(inner) => {
                let below: &[String] = if included { &[] } else { includes };
                let inner_empty = inner.is_empty();
                let inner = pick(inner, &path, below, excludes);
                if !inner.is_empty() || (inner_empty && included) {
                    kept.insert(name, Json::Object(inner));
                }
            }
            value if included => {
                kept.insert(name, value);
            }
            _ => {}
        }
    }
    kept
}

/// Whether a pattern means the path or something above it.
fn covers(pattern: &str, path: &str) -> bool {
    fn matches(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty() || text[0] == b'.',
            Some((b'*', rest)) => (0..=text.len()).any(|at| matches(rest, &text[at..])),
            Some((byte, rest)) => text.first() == Some(byte) && matches(rest, &text[1..]),
        }
    }
    pattern.len() < 256 && matches(pattern.as_bytes(), path.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn queries() {
        #[track_caller]
        fn check(json: Json, expected: &str) {
            assert_eq!(format!("{:?}", query(&json, 0).unwrap()), expected);
        }
        check(json!({"match_all": {}}), "All");
        check(json!({"term": {"a": 1}}), "Terms { field: \"a\", values: [Int(1)] }");
        check(json!({"term": {"a": {"value": "x"}}}), "Terms { field: \"a\", values: [Str(\"x\")] }");
        check(
            json!({"match": {"m": {"query": "a b", "operator": "and"}}}),
            "Match { field: \"m\", text: \"a b\", all: true }",
        );
        check(json!({"prefix": {"a": "x*"}}), "Wildcard { field: \"a\", pattern: \"x\\\\**\" }");
        check(
            json!({"range": {"n": {"gte": 1, "lt": 5}}}),
            "Range { field: \"n\", lower: Included(Int(1)), upper: Excluded(Int(5)) }",
        );
        check(
            json!({"range": {"t": {"gt": "now-1s"}}}),
            "Range { field: \"t\", lower: Excluded(Time(-1000000000)), upper: Unbounded }",
        );
    }

    #[test]
    fn unknown_queries_say_what_there_is() {
        for json in [
            json!({"fuzzy": {}}),
            json!({}),
            json!([]),
            json!({"term": {}}),
            json!({"bool": {"musst": []}}),
            json!({"range": {"a": {"gte": "now-x"}}}),
        ] {
            assert_eq!(query(&json, 0).unwrap_err().status, 400, "{json}");
        }
        let mut deep = json!({"match_all": {}});
        for _ in 0..100 {
            deep = json!({"bool": {"must": deep}});
        }
        assert!(query(&deep, 0).is_err());
    }

    #[test]
    fn dates() {
        const DAY: i64 = 86_400_000_000_000;
        let now = 10 * DAY + 5;
        for (text, up, expected) in [
            ("now", false, now),
            ("now-1d", false, now - DAY),
            ("now/d", false, 10 * DAY),
            ("now/d", true, 11 * DAY - 1),
            ("1970-01-03||+1d/d", false, 3 * DAY),
            ("now/w", false, 4 * DAY),
        ] {
            assert_eq!(date_math(text, now, up), Some(expected), "{text}");
        }
        assert_eq!(date_math("now-1q", now, false), None);
    }

    #[test]
    fn sources() {
        let source = br#"{"a":1,"b":{"c":2,"d":3},"log":{"x":4}}"#;
        for (rule, expected) in [
            (json!(null), json!({"a": 1, "b": {"c": 2, "d": 3}, "log": {"x": 4}})),
            (json!(["a", "b.c"]), json!({"a": 1, "b": {"c": 2}})),
            (json!("b"), json!({"b": {"c": 2, "d": 3}})),
            (json!({"excludes": ["b.*", "log"]}), json!({"a": 1})),
            (json!(["*.x"]), json!({"log": {"x": 4}})),
        ] {
            assert_eq!(filter_source(source, &rule), expected, "{rule}");
        }
    }
}
