//! `_search`, `_msearch` and `_count`.

use super::aggs::{self, Aggs, Side};
use super::api::{
    Answer, Api, Arguments, Body, SEARCH_TIME_MAX, answer, answer_raw, read_json, resolve, shards,
};
use super::context::Context;
use super::dates::{self, Format};
use super::source::{self, Rule};
use super::{EsError, IndexPath, dsl, part, query_string, sort};
use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};
use store::{Hit, Mapping, Query, Search, SortKey, Store};

/// As Elasticsearch's `index.max_result_window`.
pub(crate) const HITS_MAX: usize = 10_000;
const MSEARCH_MAX: usize = 200;

const BODY: [&str; 20] = [
    "query",
    "sort",
    "from",
    "size",
    "search_after",
    "_source",
    "aggs",
    "aggregations",
    "track_total_hits",
    "timeout",
    "version",
    "seq_no_primary_term",
    "stored_fields",
    "docvalue_fields",
    "fields",
    "track_scores",
    "terminate_after",
    "post_filter",
    "explain",
    "profile",
];

const ARGUMENTS: [&str; 36] = [
    "q",
    "df",
    "default_operator",
    "lenient",
    "analyze_wildcard",
    "sort",
    "size",
    "from",
    "_source",
    "_source_includes",
    "_source_excludes",
    "_source_include",
    "_source_exclude",
    "stored_fields",
    "docvalue_fields",
    "track_total_hits",
    "track_scores",
    "rest_total_hits_as_int",
    "timeout",
    "terminate_after",
    "ignore_unavailable",
    "allow_no_indices",
    "expand_wildcards",
    "ignore_throttled",
    "preference",
    "routing",
    "request_cache",
    "search_type",
    "batched_reduce_size",
    "ccs_minimize_roundtrips",
    "max_concurrent_shard_requests",
    "pre_filter_shard_size",
    "allow_partial_search_results",
    "typed_keys",
    "version",
    "seq_no_primary_term",
];

#[derive(Serialize)]
pub(crate) struct Found {
    took: u64,
    timed_out: bool,
    _shards: Value,
    pub(crate) hits: FoundHits,
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregations: Option<Value>,
}

#[derive(Serialize)]
pub(crate) struct FoundHits {
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Value>,
    max_score: Option<f32>,
    pub(crate) hits: Vec<FoundHit>,
}

#[derive(Serialize)]
pub(crate) struct FoundHit {
    _index: String,
    _type: &'static str,
    _id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    _version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    _seq_no: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    _primary_term: Option<u64>,
    _score: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    _source: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sort: Option<Vec<Value>>,
    #[serde(skip)]
    pub(crate) sequence: u64,
}

/// The fields that the indices have together.
pub(crate) fn context_of(store: &Store, indices: &str) -> Context {
    let mut context = Context { now: dates::now(), fields: Mapping::default() };
    for info in store.list(indices) {
        for (name, kind) in info.mapping.0 {
            context.fields.0.entry(name).or_insert(kind);
        }
    }
    context
}

/// The question of `q=` or of the body.
fn question(arguments: &Arguments, body: &Value, context: &Context) -> Result<Query, EsError> {
    if let Some(text) = arguments.get("q") {
        let mut rules = query_string::Rules::new(context);
        rules.and = match arguments.get("default_operator") {
            None => false,
            Some(operator) if operator.eq_ignore_ascii_case("and") => true,
            Some(operator) if operator.eq_ignore_ascii_case("or") => false,
            Some(operator) => {
                return Err(EsError::argument(format!("the operator [{operator}] must be [AND] or [OR]")));
            }
        };
        if let Some(field) = arguments.get("df") {
            rules.fields = vec![field.to_owned()];
        }
        return query_string::parse(text, &rules);
    }
    match body.get("query") {
        Some(query) => dsl::query(query, context),
        None => Ok(Query::All),
    }
}

pub(crate) async fn count(
    State(api): State<Api>,
    path: IndexPath,
    arguments: Arguments,
    body: Body,
) -> Answer {
    let mut known = ARGUMENTS.to_vec();
    known.push("min_score");
    arguments.only(&known)?;
    let index = part(&path, "index");
    let json = body.json()?;
    let asked = arguments.clone();
    let count = api.search(SEARCH_TIME_MAX, move |store| {
        if let Some(name) = json.as_object().and_then(|object| object.keys().find(|name| *name != "query")) {
            return Err(EsError::unknown("the part of a count", name, &["query"]));
        }
        let indices = resolve(store, &index, &asked)?;
        let query = question(&asked, &json, &context_of(store, &indices))?;
        Ok((store.count(&indices, &query)?, store.list(&indices).len()))
    });
    let (count, indices) = count.await.map_err(|error| error.locate(&body.0))?;
    Ok(answer(json!({ "count": count, "_shards": shards(indices) }), &arguments))
}

pub(crate) async fn search(
    State(api): State<Api>,
    path: IndexPath,
    arguments: Arguments,
    body: Body,
) -> Answer {
    if arguments.get("scroll").is_some() {
        return Err(EsError::argument(
            "[scroll] is not supported; use search_after with a sort, such as @timestamp and _doc",
        ));
    }
    arguments.only(&ARGUMENTS)?;
    let json = body.json()?;
    let found = run(&api, part(&path, "index"), arguments.clone(), json).await;
    answer_raw(&found.map_err(|error| error.locate(&body.0))?, &arguments)
}

/// A search with all that it wants, read from arguments and body.
struct Wanted {
    search: Search,
    aggs: Option<Aggs>,
    rule: Rule,
    fields: Vec<(String, Option<Format>)>,
    context: Context,
    total: Total,
    with_version: bool,
    with_sequence: bool,
    typed: bool,
}

enum Total {
    Exact,
    UpTo(u64),
    Hidden,
    Number,
}

async fn run(api: &Api, index: String, arguments: Arguments, body: Value) -> Result<Found, EsError> {
    let begun = Instant::now();
    let time =
        arguments.get("timeout").map(str::to_owned).or_else(|| body["timeout"].as_str().map(str::to_owned));
    let limit = time.map_or(Ok(SEARCH_TIME_MAX), |text| read_time(&text))?;
    let mut found = api
        .search(limit, move |store| {
            let indices = resolve(store, &index, &arguments)?;
            let wanted = read(store, indices, &arguments, &body)?;
            answer_search(store, wanted)
        })
        .await?;
    found.took = begun.elapsed().as_millis() as u64;
    Ok(found)
}

/// `500ms`, `10s`, `1m`; `-1` is no limit.
fn read_time(text: &str) -> Result<Duration, EsError> {
    if text == "-1" {
        return Ok(SEARCH_TIME_MAX);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let scale = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let count =
        text[..digits].parse::<u64>().ok().and_then(|count| count.checked_mul(scale)).filter(|ms| *ms > 0);
    count.map(Duration::from_millis).ok_or_else(|| {
        EsError::argument(format!(
            "failed to parse setting [timeout] with value [{text}] as a time value; such as 500ms or 10s"
        ))
    })
}

fn read(store: &Store, indices: String, arguments: &Arguments, body: &Value) -> Result<Wanted, EsError> {
    let object =
        body.as_object().ok_or_else(|| EsError::parsing("the body of a search must be an object"))?;
    if let Some(name) = object.keys().find(|name| !BODY.contains(&name.as_str())) {
        return Err(EsError::unknown("the part of a search", name, &BODY));
    }
    for flag in ["explain", "profile"] {
        if body[flag] == true {
            return Err(EsError::argument(format!("[{flag}] is not supported")));
        }
    }
    let context = context_of(store, &indices);
    let number = |name: &str, default: usize| -> Result<usize, EsError> {
        if let Some(number) = arguments.number(name)? {
            return Ok(number);
        }
        match &body[name] {
            Value::Null => Ok(default),
            value => value
                .as_u64()
                .or_else(|| value.as_str()?.parse().ok())
                .and_then(|number| usize::try_from(number).ok())
                .ok_or_else(|| {
                    EsError::argument(format!("[{name}] parameter cannot be negative, found [{value}]"))
                        .about(name)
                }),
        }
    };
    let (from, size) = (number("from", 0)?, number("size", 10)?);
    if from.saturating_add(size) > HITS_MAX {
        return Err(EsError::argument(format!(
            "Result window is too large, from + size must be less than or equal to: [{HITS_MAX}] but was [{}]; go on with search_after",
            from.saturating_add(size)
        )));
    }
    let keys = match arguments.get("sort") {
        Some(text) => sort::read_words(text)?,
        None => sort::read(&body["sort"])?,
    };
    sort::check(&keys, &body["sort"], &context)?;
    let after = sort::read_after(&body["search_after"], &keys, &context)?;
    if after.is_some() && from > 0 {
        return Err(EsError::argument("`from` parameter must be set to 0 when `search_after` is used."));
    }
    let aggs = body
        .get("aggs")
        .or_else(|| body.get("aggregations"))
        .map(|json| aggs::read(json, &context))
        .transpose()?;
    let mut query = question(arguments, body, &context)?;
    if let Some(filter) = body.get("post_filter") {
        if aggs.is_some() {
            return Err(EsError::argument(
                "[post_filter] beside aggregations is not supported; use the aggregation [filter]",
            ));
        }
        query = Query::and(vec![query, dsl::query(filter, &context)?]);
    }
    let mut fields = source::read_fields(&body["docvalue_fields"])?;
    fields.extend(source::read_fields(&body["fields"])?);
    if let Some(names) = arguments.get("docvalue_fields") {
        fields.extend(names.split(',').map(|name| (name.to_owned(), None)));
    }
    let only = (!indices.is_empty()).then_some(indices);
    Ok(Wanted {
        search: Search {
            indices: only.unwrap_or_default(),
            query,
            sort: keys,
            from,
            size,
            after,
            aggregations: aggs.as_ref().and_then(Aggs::request),
            ..Search::default()
        },
        aggs,
        rule: source_rule(arguments, body)?,
        fields,
        context,
        total: read_total(arguments, body)?,
        with_version: body["version"] == true || arguments.flag("version"),
        with_sequence: body["seq_no_primary_term"] == true || arguments.flag("seq_no_primary_term"),
        typed: arguments.flag("typed_keys"),
    })
}

fn read_total(arguments: &Arguments, body: &Value) -> Result<Total, EsError> {
    if arguments.flag("rest_total_hits_as_int") {
        return Ok(Total::Number);
    }
    let wanted = match (arguments.get("track_total_hits"), &body["track_total_hits"]) {
        (Some(text), _) => text.to_owned(),
        (None, Value::Null) => "true".to_owned(),
        (None, value) => dsl::plain(value),
    };
    match wanted.as_str() {
        "true" | "" => Ok(Total::Exact),
        "false" => Ok(Total::Hidden),
        text => text.parse().map(Total::UpTo).map_err(|_| {
            EsError::argument(format!("[track_total_hits] must be true, false or a number, not [{text}]"))
        }),
    }
}

/// Which part of the source is wanted.
pub(crate) fn source_rule(arguments: &Arguments, body: &Value) -> Result<Rule, EsError> {
    let list = |a: &str, b: &str| -> Option<Vec<String>> {
        let text = arguments.get(a).or_else(|| arguments.get(b))?;
        Some(text.split(',').map(str::to_owned).collect())
    };
    let includes = list("_source_includes", "_source_include");
    let excludes = list("_source_excludes", "_source_exclude");
    if includes.is_some() || excludes.is_some() {
        return Ok(Rule::of(includes.unwrap_or_default(), excludes.unwrap_or_default()));
    }
    match arguments.get("_source") {
        Some("false") => return Ok(Rule::Hidden),
        Some("true" | "") => return Ok(Rule::Whole),
        Some(text) => return Ok(Rule::of(text.split(',').map(str::to_owned).collect(), Vec::new())),
        None => {}
    }
    // Who names stored fields wants those alone.
    let stored = body.get("stored_fields").is_some() || arguments.get("stored_fields").is_some();
    match body.get("_source") {
        None if stored && !body["stored_fields"].to_string().contains("_source") => Ok(Rule::Hidden),
        None => Ok(Rule::Whole),
        Some(rule) => Rule::read(rule),
    }
}

fn answer_search(store: &Store, wanted: Wanted) -> Result<Found, EsError> {
    let hits = store.search(&wanted.search)?;
    let aggregations = match &wanted.aggs {
        None => None,
        Some(aggs) => {
            let mut sides = Vec::new();
            for (query, within, request) in aggs.searches() {
                let own = Query::Bool {
                    must: vec![],
                    filter: vec![wanted.search.query.clone(), query.clone()],
                    should: vec![],
                    must_not: vec![],
                    minimum_should_match: None,
                };
                let side = Search {
                    indices: wanted.search.indices.clone(),
                    query: if within { own } else { query },
                    size: 0,
                    aggregations: request,
                    ..Search::default()
                };
                let found = store.search(&side)?;
                sides.push(Side { count: found.total, results: found.aggregations });
            }
            Some(aggs.finish(hits.aggregations.unwrap_or(Value::Null), sides, wanted.typed, &wanted.context))
        }
    };
    let total = match wanted.total {
        Total::Hidden => None,
        Total::Number => Some(json!(hits.total)),
        Total::UpTo(most) if hits.total > most => Some(json!({ "value": most, "relation": "gte" })),
        _ => Some(json!({ "value": hits.total, "relation": "eq" })),
    };
    let scores = hits.hits.iter().filter_map(|hit| hit.score);
    let max_score =
        scores.fold(None, |max: Option<f32>, score| Some(max.map_or(score, |max| max.max(score))));
    let keys = &wanted.search.sort;
    let list = hits.hits.into_iter().map(|hit| found_hit(hit, keys, &wanted)).collect();
    Ok(Found {
        took: 0,
        timed_out: false,
        _shards: shards(hits.indices),
        hits: FoundHits { total, max_score, hits: list },
        aggregations,
    })
}

fn found_hit(hit: Hit, keys: &[SortKey], wanted: &Wanted) -> FoundHit {
    let fields = (!wanted.fields.is_empty()).then(|| source::fields(&hit.source, &wanted.fields));
    let sort = (!keys.is_empty()).then(|| {
        hit.sort.iter().zip(keys).map(|(value, key)| sort::write(value, key, &wanted.context)).collect()
    });
    FoundHit {
        _index: hit.index,
        _type: "_doc",
        _id: hit.id,
        _version: wanted.with_version.then_some(1),
        _seq_no: wanted.with_sequence.then_some(hit.sequence),
        _primary_term: wanted.with_sequence.then_some(1),
        _score: hit.score,
        _source: wanted.rule.apply(hit.source),
        fields,
        sort,
        sequence: hit.sequence,
    }
}

/// A search of our own routes: everything of each event, sorted.
pub(crate) fn answer_own(
    store: &Store,
    search: Search,
    aggs: Option<Aggs>,
    context: Context,
) -> Result<Found, EsError> {
    let request = aggs.as_ref().and_then(Aggs::request);
    let search = Search { aggregations: request, ..search };
    answer_search(
        store,
        Wanted {
            search,
            aggs,
            rule: Rule::Whole,
            fields: Vec::new(),
            context,
            total: Total::Exact,
            with_version: false,
            with_sequence: false,
            typed: false,
        },
    )
}

impl Found {
    pub(crate) fn took(mut self, begun: Instant) -> Self {
        self.took = begun.elapsed().as_millis() as u64;
        self
    }
}

/// Several searches in one request: each fails for itself.
pub(crate) async fn msearch(
    State(api): State<Api>,
    path: IndexPath,
    arguments: Arguments,
    body: Body,
) -> Answer {
    let begun = Instant::now();
    arguments.only(&[
        "typed_keys",
        "rest_total_hits_as_int",
        "max_concurrent_searches",
        "max_concurrent_shard_requests",
        "pre_filter_shard_size",
        "search_type",
        "ccs_minimize_roundtrips",
    ])?;
    let lines: Vec<&[u8]> = body.0.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).collect();
    let lines = lines.strip_suffix(&[&b""[..]]).unwrap_or(&lines);
    if lines.is_empty() || !lines.len().is_multiple_of(2) {
        return Err(EsError::argument(
            "The msearch request must have a line of options and a line of search for each search",
        ));
    }
    if lines.len() / 2 > MSEARCH_MAX {
        return Err(EsError::argument(format!("more than {MSEARCH_MAX} searches in one request")));
    }
    let default_index = part(&path, "index");
    let mut responses: Vec<Value> = Vec::new();
    for pair in lines.chunks(2) {
        let one = async {
            let head = read_json(pair[0])?;
            let search = read_json(pair[1])?;
            let mut own = arguments.clone();
            for name in ["ignore_unavailable", "allow_no_indices"] {
                if let Some(flag) = head[name].as_bool() {
                    own.0.insert(name.to_owned(), flag.to_string());
                }
            }
            let index = match &head["index"] {
                Value::Array(names) if names.is_empty() => default_index.clone(),
                Value::Array(names) => names.iter().map(dsl::plain).collect::<Vec<_>>().join(","),
                Value::Null => default_index.clone(),
                name => dsl::plain(name),
            };
            run(&api, index, own, search).await
        };
        let one: Result<Found, EsError> = one.await;
        responses.push(match one {
            Ok(found) => {
                let mut value = serde_json::to_value(&found).unwrap_or_default();
                value["status"] = json!(200);
                value
            }
            Err(error) => error.locate(pair[1]).body(),
        });
    }
    Ok(answer(json!({ "took": begun.elapsed().as_millis() as u64, "responses": responses }), &arguments))
}
