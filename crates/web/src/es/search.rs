//! `_search`, `_msearch` and `_count`.

use super::aggs::{self, Aggs, Ask, Finish};
use super::api::{
    Answer, Api, Arguments, Body, SEARCH_TIME_MAX, answer, answer_raw, read_json, resolve, shards,
};
use super::context::Context;
use super::dates::{self, Format};
use super::held::{Held, read_keep};
use super::highlight::Highlight;
use super::source::{self, Rule};
use super::{EsError, IndexPath, dsl, part, query_string, sort};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{FieldType, Hit, Query, Search, Snapshot, SortKey, SortValue, Store};

/// As Elasticsearch's `index.max_result_window`.
pub(crate) const HITS_MAX: usize = 10_000;
const MSEARCH_MAX: usize = 200;
/// In how many buckets one search looks for events.
const HITS_SEARCHES_MAX: usize = 1_000;
/// As Elasticsearch's `index.max_inner_result_window`.
const TOP_HITS_MAX: usize = 100;

const BODY: [&str; 26] = [
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
    "highlight",
    "pit",
    "script_fields",
    "runtime_mappings",
    "min_score",
    "collapse",
];

const ARGUMENTS: [&str; 37] = [
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
    "scroll",
];

#[derive(Serialize)]
pub(crate) struct Found {
    #[serde(skip_serializing_if = "Option::is_none")]
    _scroll_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pit_id: Option<String>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    highlight: Option<Value>,
    /// The place of the hit, as the store has it.
    #[serde(skip)]
    place: Vec<SortValue>,
    #[serde(skip)]
    pub(crate) sequence: u64,
}

/// The fields that the indices have together.
pub(crate) fn context_of(store: &Store, indices: &str) -> Context {
    let mut context = Context::at(dates::now());
    for info in store.list(indices) {
        context.declare(info.declared);
        context.bounds = match (context.bounds, info.times) {
            (Some((from, to)), Some((own_from, own_to))) => Some((from.min(own_from), to.max(own_to))),
            (known, own) => known.or(own),
        };
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
        let min_score = asked.get("min_score").map(|text| read_score(&Value::from(text))).transpose()?;
        let among = store.list(&indices).len();
        let search = Search { indices, query, size: 0, min_score, ..Search::default() };
        Ok((store.search(&search)?.total, among))
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
    arguments.only(&ARGUMENTS)?;
    let json = body.json()?;
    if let Some(keep) = arguments.get("scroll") {
        let keep = read_keep(keep)?;
        let found = begin_scroll(&api, part(&path, "index"), arguments.clone(), json, keep).await;
        return answer_raw(&found.map_err(|error| error.locate(&body.0))?, &arguments);
    }
    let found = run(&api, part(&path, "index"), arguments.clone(), json).await;
    answer_raw(&found.map_err(|error| error.locate(&body.0))?, &arguments)
}

/// A search with all that it wants, read from arguments and body.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    search: Search,
    /// What only the hits must match, not what the aggregations count.
    post_filter: Option<Query>,
    highlight: Option<Highlight>,
    /// How many of the sort keys were asked for; what is behind them is our own.
    keys_shown: usize,
    aggs: Option<Aggs>,
    rule: Rule,
    fields: Vec<(String, Option<Format>)>,
    context: Context,
    total: Total,
    with_version: bool,
    with_sequence: bool,
    typed: bool,
}

#[derive(Debug, Clone)]
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
    let pit = read_pit(&body, &index)?;
    let holds = api.holds.clone();
    holds.sweep();
    let mut found = api
        .search(limit, move |store| {
            let Some((id, keep)) = pit else {
                let indices = resolve(store, &index, &arguments)?;
                return answer_search(store, read(store, indices, &arguments, &body, None)?);
            };
            let (snapshot, indices) =
                holds.with(&id, keep, |held| (held.snapshot.clone(), held.indices.clone()))?;
            let mut wanted = read(store, indices, &arguments, &body, Some(snapshot))?;
            wanted.keys_shown = wanted.search.sort.len();
            let found = answer_search(store, wanted)?;
            Ok(Found { pit_id: Some(id), ..found })
        })
        .await?;
    found.took = begun.elapsed().as_millis() as u64;
    Ok(found)
}

/// The point in time that a search is of, and for how long it is kept on.
fn read_pit(body: &Value, index: &str) -> Result<Option<(String, Option<Duration>)>, EsError> {
    let Some(pit) = body.get("pit") else { return Ok(None) };
    if !index.is_empty() {
        return Err(EsError::argument(
            "[indices] cannot be used with point in time. Do not specify any index with point in time.",
        ));
    }
    let id = pit["id"].as_str().ok_or_else(|| EsError::parsing("[pit] needs an [id]").about("pit"))?;
    let keep = pit["keep_alive"].as_str().map(read_keep).transpose()?;
    Ok(Some((id.to_owned(), keep)))
}

/// The key that makes every place its own: the sequence.
fn last_key() -> SortKey {
    SortKey { field: "_doc".to_owned(), descending: false, missing_first: false }
}

async fn begin_scroll(
    api: &Api,
    index: String,
    arguments: Arguments,
    body: Value,
    keep: Duration,
) -> Result<Found, EsError> {
    let begun = Instant::now();
    let holds = api.holds.clone();
    let id = super::write::fresh_id() + &super::write::fresh_id();
    let held = api.search(SEARCH_TIME_MAX, move |store| {
        let indices = resolve(store, &index, &arguments)?;
        let snapshot = Arc::new(store.snapshot(&indices));
        let mut wanted = read(store, indices.clone(), &arguments, &body, Some(snapshot.clone()))?;
        for (is_wrong, reason) in [
            (wanted.search.size == 0, "[size] cannot be [0] in a scroll context"),
            (wanted.search.from > 0, "using [from] is not allowed in a scroll context"),
            (wanted.search.after.is_some(), "`search_after` cannot be used in a scroll context."),
            (wanted.search.collapse.is_some(), "cannot use `collapse` in a scroll context"),
        ] {
            if is_wrong {
                let reason = format!("Validation Failed: 1: {reason};");
                return Err(EsError::new(400, "action_request_validation_exception", reason));
            }
        }
        let keys = &mut wanted.search.sort;
        if keys.is_empty() {
            keys.push(SortKey { field: "_score".to_owned(), descending: true, missing_first: false });
        }
        if !matches!(keys.last(), Some(key) if key.field == "_doc") {
            keys.push(last_key());
        }
        let found = answer_search(store, wanted.clone())?;
        wanted.aggs = None;
        wanted.search.aggregations = None;
        wanted.search.after = found.hits.hits.last().map(|hit| hit.place.clone());
        let mut held = Held::new(snapshot, indices, keep);
        held.scroll = Some(Box::new(wanted));
        holds.insert(&id, held)?;
        Ok(Found { _scroll_id: Some(id), ..found })
    });
    Ok(held.await?.took(begun))
}

/// The next page of a scroll.
pub(crate) async fn scroll(
    State(api): State<Api>,
    path: IndexPath,
    arguments: Arguments,
    body: Body,
) -> Answer {
    let begun = Instant::now();
    arguments.only(&["scroll", "scroll_id", "rest_total_hits_as_int"])?;
    let json = body.json()?;
    let text = |name: &str| json[name].as_str().or_else(|| arguments.get(name)).map(str::to_owned);
    let id = text("scroll_id").unwrap_or_else(|| part(&path, "id"));
    if id.is_empty() {
        let reason = "Validation Failed: 1: scrollId is missing;";
        return Err(EsError::new(400, "action_request_validation_exception", reason));
    }
    let keep = text("scroll").map(|keep| read_keep(&keep)).transpose()?;
    let as_number = arguments.flag("rest_total_hits_as_int");
    let holds = api.holds.clone();
    let found = api.search(SEARCH_TIME_MAX, move |store| {
        let wanted = holds.with(&id, keep, |held| held.scroll.as_deref().cloned())?;
        let mut wanted =
            wanted.ok_or_else(|| EsError::argument("the id is that of a point in time, not of a scroll"))?;
        if as_number {
            wanted.total = Total::Number;
        }
        // Before the end of the first page nothing was found, so nothing is behind it.
        if wanted.search.after.is_none() {
            wanted.search.size = 0;
        }
        let found = answer_search(store, wanted)?;
        if let Some(last) = found.hits.hits.last() {
            let place = last.place.clone();
            holds.with(&id, None, |held| {
                if let Some(scroll) = &mut held.scroll {
                    scroll.search.after = Some(place);
                }
            })?;
        }
        Ok(Found { _scroll_id: Some(id), ..found })
    });
    answer_raw(&found.await?.took(begun), &arguments)
}

/// The ids in a list or alone, in a body or in the path.
fn ids(json: &Value, path: &IndexPath, name: &str) -> Vec<String> {
    match &json[name] {
        Value::Array(list) => list.iter().map(dsl::plain).collect(),
        Value::Null => part(path, "id").split(',').map(str::to_owned).filter(|id| !id.is_empty()).collect(),
        one => vec![dsl::plain(one)],
    }
}

/// Lets go of scrolls, or of points in time.
fn clear(api: &Api, ids: &[String], is_scroll: bool, arguments: &Arguments) -> Answer {
    if ids.is_empty() {
        let reason = "Validation Failed: 1: no ids specified;";
        return Err(EsError::new(400, "action_request_validation_exception", reason));
    }
    let freed = api.holds.remove(ids, is_scroll);
    let is_all = ids.iter().any(|id| id == "_all");
    let status = if freed == 0 && !is_all { StatusCode::NOT_FOUND } else { StatusCode::OK };
    Ok((status, answer(json!({ "succeeded": true, "num_freed": freed }), arguments)).into_response())
}

pub(crate) async fn clear_scroll(
    State(api): State<Api>,
    path: IndexPath,
    arguments: Arguments,
    body: Body,
) -> Answer {
    clear(&api, &ids(&body.json()?, &path, "scroll_id"), true, &arguments)
}

pub(crate) async fn close_pit(State(api): State<Api>, arguments: Arguments, body: Body) -> Answer {
    clear(&api, &ids(&body.json()?, &None, "id"), false, &arguments)
}

pub(crate) async fn open_pit(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&[
        "keep_alive",
        "preference",
        "routing",
        "ignore_unavailable",
        "expand_wildcards",
        "allow_no_indices",
    ])?;
    let keep = arguments.get("keep_alive").ok_or_else(|| EsError::argument("[keep_alive] is required"))?;
    let keep = read_keep(keep)?;
    let index = part(&path, "index");
    let asked = arguments.clone();
    let id = super::write::fresh_id() + &super::write::fresh_id();
    let (snapshot, indices) = api
        .with_store(move |store| {
            let indices = resolve(store, &index, &asked)?;
            Ok((Arc::new(store.snapshot(&indices)), indices))
        })
        .await?;
    api.holds.insert(&id, Held::new(snapshot, indices, keep))?;
    Ok(answer(json!({ "id": id }), &arguments))
}

/// Whether a question can be read.
pub(crate) async fn validate(
    State(api): State<Api>,
    path: IndexPath,
    arguments: Arguments,
    body: Body,
) -> Answer {
    let mut known = ARGUMENTS.to_vec();
    known.extend(["explain", "rewrite", "all_shards"]);
    arguments.only(&known)?;
    let index = part(&path, "index");
    let (asked, json) = (arguments.clone(), body.json()?);
    let read = api.with_store(move |store| {
        let indices = resolve(store, &index, &asked)?;
        Ok((question(&asked, &json, &context_of(store, &indices)).err(), store.list(&indices).len()))
    });
    let (wrong, count) = read.await?;
    let mut found = json!({ "valid": wrong.is_none(), "_shards": shards(count) });
    if let Some(wrong) = wrong.filter(|_| arguments.flag("explain")) {
        found["error"] = wrong.reason.into();
    }
    Ok(answer(found, &arguments))
}

/// `500ms`, `10s`, `1m`; `-1` is no limit.
pub(crate) fn read_time(text: &str) -> Result<Duration, EsError> {
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

fn read(
    store: &Store,
    indices: String,
    arguments: &Arguments,
    body: &Value,
    snapshot: Option<Arc<Snapshot>>,
) -> Result<Wanted, EsError> {
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
    for name in ["script_fields", "runtime_mappings"] {
        // Grafana sends an empty one.
        if body[name].as_object().is_some_and(|object| !object.is_empty()) {
            return Err(EsError::argument(format!(
                "[{name}] are not supported: there are no scripts; a filter of the plan can make such a field"
            ))
            .about(name));
        }
    }
    let mut context = context_of(store, &indices);
    let query = question(arguments, body, &context)?;
    let (from, to) = query.time_range();
    context.bounds = context.bounds.map(|(least, most)| (least.max(from), most.min(to)));
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
    let mut keys = match arguments.get("sort") {
        Some(text) => sort::read_words(text)?,
        None => sort::read(&body["sort"])?,
    };
    sort::check(&keys, &body["sort"], &context)?;
    let keys_shown = keys.len();
    // Pages of a point in time have a last key of their own, unless there is one.
    if body.get("pit").is_some() && !matches!(keys.last(), Some(key) if key.field == "_doc") {
        keys.push(last_key());
    }
    let after = sort::read_after(&body["search_after"], &keys, &context)?;
    if after.is_some() && from > 0 {
        return Err(EsError::argument("`from` parameter must be set to 0 when `search_after` is used."));
    }
    let min_score = body.get("min_score").map(read_score).transpose()?;
    let collapse = body.get("collapse").map(|collapse| read_collapse(collapse, &context)).transpose()?;
    if collapse.is_some() && after.is_some() {
        let reason = "cannot use `collapse` in conjunction with `search_after`";
        return Err(EsError::argument(reason).about("collapse"));
    }
    let aggs = body
        .get("aggs")
        .or_else(|| body.get("aggregations"))
        .map(|json| aggs::read(json, &context))
        .transpose()?;
    let post_filter = body.get("post_filter").map(|filter| dsl::query(filter, &context)).transpose()?;
    let highlight = Highlight::read(&body["highlight"], &query)?;
    let mut fields = source::read_fields(&body["docvalue_fields"])?;
    fields.extend(source::read_fields(&body["fields"])?);
    if let Some(names) = arguments.get("docvalue_fields") {
        fields.extend(names.split(',').map(|name| (name.to_owned(), None)));
    }
    let only = (!indices.is_empty()).then_some(indices);
    let mut filters = Vec::new();
    Ok(Wanted {
        search: Search {
            indices: only.unwrap_or_default(),
            query,
            sort: keys,
            from,
            size,
            after,
            aggregations: aggs.as_ref().and_then(|aggs| aggs.request(&mut filters)),
            filters,
            snapshot,
            min_score,
            collapse,
            ..Search::default()
        },
        post_filter,
        highlight,
        keys_shown,
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

/// The least score of a hit, as a number or a text of one.
fn read_score(json: &Value) -> Result<f32, EsError> {
    let number = json.as_f64().or_else(|| json.as_str()?.parse().ok());
    let number = number.map(|number| number as f32).filter(|number| number.is_finite());
    number.ok_or_else(|| {
        EsError::argument(format!("[min_score] must be a number, not {json}")).about("min_score")
    })
}

/// The field of which each value has one hit.
fn read_collapse(json: &Value, context: &Context) -> Result<String, EsError> {
    let wrong = |reason: String| EsError::argument(reason).about("collapse");
    let object = json.as_object().ok_or_else(|| wrong("[collapse] must be an object".to_owned()))?;
    if let Some(option) = object.keys().find(|option| *option != "field") {
        let options = ["field"];
        return Err(EsError::unknown("the option of [collapse]", option, &options));
    }
    let field = object
        .get("field")
        .and_then(Value::as_str)
        .ok_or_else(|| wrong("Required [field] of [collapse]".to_owned()))?;
    match context.kind(field) {
        Some(FieldType::Keyword | FieldType::Long | FieldType::Double) => Ok(field.to_owned()),
        Some(FieldType::Text) if field.ends_with(".keyword") => Ok(field.to_owned()),
        Some(_) => Err(wrong(format!(
            "unknown type for collapse field `{field}`, only keywords and numbers are accepted"
        ))),
        None => Err(wrong(format!("no mapping found for `{field}` in order to collapse on"))),
    }
}

/// What `top_hits` understands of a search.
const TOP_HITS: [&str; 10] = [
    "from",
    "size",
    "sort",
    "_source",
    "stored_fields",
    "docvalue_fields",
    "fields",
    "version",
    "seq_no_primary_term",
    "track_scores",
];

impl Wanted {
    /// What a `top_hits` wants of the events of each bucket.
    pub(crate) fn of_hits(name: &str, options: &Value, context: &Context) -> Result<Self, EsError> {
        let object = options
            .as_object()
            .ok_or_else(|| EsError::parsing("[top_hits] must be an object").about(name))?;
        if let Some(option) = object.keys().find(|option| !TOP_HITS.contains(&option.as_str())) {
            return Err(EsError::unknown("the option of the aggregation [top_hits]", option, &TOP_HITS));
        }
        let number = |option: &str, default: usize| match &options[option] {
            Value::Null => Ok(default),
            value => value.as_u64().and_then(|number| usize::try_from(number).ok()).ok_or_else(|| {
                EsError::argument(format!("[{option}] of [{name}] must be a number, not {value}"))
            }),
        };
        let (from, size) = (number("from", 0)?, number("size", 3)?);
        if from.saturating_add(size) > TOP_HITS_MAX {
            return Err(EsError::argument(format!(
                "Top hits result window is too large, the top hits aggregator [{name}]'s from + size must be less than or equal to: [{TOP_HITS_MAX}] but was [{}]",
                from.saturating_add(size)
            )));
        }
        let keys = sort::read(&options["sort"])?;
        sort::check(&keys, &options["sort"], context)?;
        let mut fields = source::read_fields(&options["docvalue_fields"])?;
        fields.extend(source::read_fields(&options["fields"])?);
        Ok(Self {
            keys_shown: keys.len(),
            search: Search { sort: keys, from, size, ..Search::default() },
            post_filter: None,
            highlight: None,
            aggs: None,
            rule: source_rule(&Arguments::default(), options)?,
            fields,
            context: context.clone(),
            total: Total::Exact,
            with_version: options["version"] == true,
            with_sequence: options["seq_no_primary_term"] == true,
            typed: false,
        })
    }
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

/// The searches that the aggregations of another one want, over the same indices.
struct Further<'a> {
    store: &'a Store,
    search: &'a Search,
    /// How many more buckets may have their events searched for.
    left: usize,
}

impl Ask for Further<'_> {
    fn hits(&mut self, query: Query, wanted: &Wanted) -> Result<Value, EsError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            EsError::new(
                400,
                "too_many_buckets_exception",
                format!("[top_hits] in more than {HITS_SEARCHES_MAX} buckets; ask for fewer of them"),
            )
        })?;
        let mut wanted = wanted.clone();
        wanted.search.indices.clone_from(&self.search.indices);
        wanted.search.snapshot.clone_from(&self.search.snapshot);
        wanted.search.query = query;
        let found = answer_search(self.store, wanted)?;
        Ok(serde_json::to_value(&found.hits).unwrap_or_default())
    }

    fn all(&mut self, request: Option<Value>, filters: Vec<Query>) -> Result<(u64, Value), EsError> {
        let search = Search {
            indices: self.search.indices.clone(),
            query: Query::All,
            size: 0,
            snapshot: self.search.snapshot.clone(),
            aggregations: request,
            filters,
            ..Search::default()
        };
        let found = self.store.search(&search)?;
        Ok((found.total, found.aggregations.unwrap_or(Value::Null)))
    }
}

fn answer_search(store: &Store, wanted: Wanted) -> Result<Found, EsError> {
    let mut hits = match &wanted.post_filter {
        None => store.search(&wanted.search)?,
        Some(filter) => {
            let query = Query::and(vec![wanted.search.query.clone(), filter.clone()]);
            store.search(&Search { query, aggregations: None, ..wanted.search.clone() })?
        }
    };
    if wanted.post_filter.is_some() && wanted.search.aggregations.is_some() {
        hits.aggregations = store.search(&Search { size: 0, from: 0, ..wanted.search.clone() })?.aggregations;
    }
    let aggregations = match &wanted.aggs {
        None => None,
        Some(aggs) => {
            let mut further = Further { store, search: &wanted.search, left: HITS_SEARCHES_MAX };
            let mut by = Finish { typed: wanted.typed, context: &wanted.context, ask: &mut further };
            Some(aggs.finish(hits.aggregations.unwrap_or(Value::Null), &wanted.search.query, &mut by)?)
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
        _scroll_id: None,
        pit_id: None,
        took: 0,
        timed_out: false,
        _shards: shards(hits.indices),
        hits: FoundHits { total, max_score, hits: list },
        aggregations,
    })
}

fn found_hit(hit: Hit, keys: &[SortKey], wanted: &Wanted) -> FoundHit {
    let mut fields = (!wanted.fields.is_empty())
        .then(|| source::fields(&hit.source, &wanted.fields, Some(&wanted.context)));
    if let (Some(field), Some(group)) = (&wanted.search.collapse, &hit.group)
        && *group != SortValue::Missing
    {
        let key = SortKey { field: field.clone(), descending: false, missing_first: false };
        let value = sort::write(group, &key, &wanted.context);
        fields.get_or_insert_default().insert(field.clone(), json!([value]));
    }
    let sort = (wanted.keys_shown > 0).then(|| {
        hit.sort
            .iter()
            .zip(keys)
            .take(wanted.keys_shown)
            .map(|(value, key)| sort::write(value, key, &wanted.context))
            .collect()
    });
    FoundHit {
        _index: hit.index,
        _type: "_doc",
        _id: hit.id,
        _version: wanted.with_version.then_some(1),
        _seq_no: wanted.with_sequence.then_some(hit.sequence),
        _primary_term: wanted.with_sequence.then_some(1),
        _score: hit.score,
        highlight: wanted.highlight.as_ref().and_then(|highlight| highlight.show(&hit.source)),
        place: hit.sort,
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
    let mut filters = Vec::new();
    let aggregations = aggs.as_ref().and_then(|aggs| aggs.request(&mut filters));
    let keys_shown = search.sort.len();
    let search = Search { aggregations, filters, ..search };
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
            post_filter: None,
            highlight: None,
            keys_shown,
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
