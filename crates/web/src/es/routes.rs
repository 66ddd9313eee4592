//! The routes: from requests to the store and back.

use super::dsl::{self, filter_source, sort_word};
use super::{EsError, kql, query_string};
use crate::server::{Ingest, IngestDoc, IngestError, Status};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query as Params, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Hits, Query, Search, SortKey, SortValue, Store};
use tokio::sync::Semaphore;
use wire::bulk::{self, Kind};

/// As Elasticsearch's `http.max_content_length`.
const BODY_MAX: usize = 100 << 20;
const SEARCHES_MAX: usize = 4;
const SEARCH_TIME_MAX: Duration = Duration::from_secs(30);
const HITS_MAX: usize = 10_000;

type Arguments = HashMap<String, String>;

#[derive(Clone)]
struct Api {
    store: Arc<Store>,
    ingest: Option<Arc<dyn Ingest>>,
    status: Arc<dyn Status>,
    searches: Arc<Semaphore>,
}

type Answer = Result<Response, EsError>;

impl IntoResponse for EsError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        (status, json_body(&self.body(), false)).into_response()
    }
}

fn json_body(value: &Value, pretty: bool) -> Response {
    let mut text = if pretty { format!("{value:#}") } else { value.to_string() };
    if pretty {
        text.push('\n');
    }
    ([(header::CONTENT_TYPE, "application/json; charset=UTF-8")], text).into_response()
}

fn answer(value: Value, arguments: &Arguments) -> Response {
    let value = match arguments.get("filter_path") {
        Some(paths) => filter_source(value.to_string().as_bytes(), &Value::String(paths.replace("**", "*"))),
        None => value,
    };
    json_body(&value, flag(arguments, "pretty"))
}

fn flag(arguments: &Arguments, name: &str) -> bool {
    arguments.get(name).is_some_and(|value| value != "false")
}

pub(crate) fn router(store: Arc<Store>, ingest: Option<Arc<dyn Ingest>>, status: Arc<dyn Status>) -> Router {
    let api = Api { store, ingest, status, searches: Arc::new(Semaphore::new(SEARCHES_MAX)) };
    Router::new()
        .route("/", get(root))
        .route("/metrics", get(|State(api): State<Api>| async move { api.status.metrics() }))
        .route(
            "/_logpond/ledger",
            get(|State(api): State<Api>, Params(arguments): Params<Arguments>| async move {
                answer(api.status.ledger(), &arguments)
            }),
        )
        .route("/_logpond/search", any(own_search))
        .route("/_search", any(search_all))
        .route("/_count", any(count_all))
        .route("/_bulk", any(bulk_all))
        .route("/_refresh", any(refresh))
        .route("/_flush", any(refresh))
        .route(
            "/_mapping",
            get(|api: State<Api>, arguments: Params<Arguments>| mapping(api, Path(String::new()), arguments)),
        )
        .route(
            "/_mappings",
            get(|api: State<Api>, arguments: Params<Arguments>| mapping(api, Path(String::new()), arguments)),
        )
        .route(
            "/_cat/indices",
            get(|api: State<Api>, arguments: Params<Arguments>| {
                cat_indices(api, Path(String::new()), arguments)
            }),
        )
        .route("/_cat/indices/{index}", get(cat_indices))
        .route(
            "/_cat/count",
            get(|api: State<Api>, arguments: Params<Arguments>| {
                cat_count(api, Path(String::new()), arguments)
            }),
        )
        .route("/_cat/count/{index}", get(cat_count))
        .route("/_cat/health", get(cat_health))
        .route("/_cluster/health", get(cluster_health))
        .route("/{index}", any(index))
        .route("/{index}/_search", any(search_some))
        .route("/{index}/_count", any(count_some))
        .route("/{index}/_bulk", any(bulk_some))
        .route("/{index}/_refresh", any(refresh))
        .route("/{index}/_flush", any(refresh))
        .route("/{index}/_mapping", get(mapping))
        .route("/{index}/_mappings", get(mapping))
        .route(
            "/{index}/_doc",
            any(
                |api: State<Api>,
                 method: Method,
                 Path(index): Path<String>,
                 arguments: Params<Arguments>,
                 body: Bytes| doc(api, method, Path((index, String::new())), arguments, body),
            ),
        )
        .route("/{index}/_doc/{id}", any(doc))
        .route(
            "/{index}/_create/{id}",
            any(
                |api: State<Api>,
                 Path(path): Path<(String, String)>,
                 Params(mut arguments): Params<Arguments>,
                 body: Bytes| async move {
                    arguments.insert("op_type".into(), "create".into());
                    doc(api, Method::PUT, Path(path), Params(arguments), body).await
                },
            ),
        )
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(guard))
        .with_state(api)
}

/// A page of another site must not reach the pond through the browser of its user: the
/// name it is asked by must be this machine's own.
async fn guard(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
    });
    let own = name == "localhost"
        || name.trim_matches(['[', ']']).parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    if !own {
        return EsError {
            status: 403,
            kind: "security_exception",
            reason: format!("the name {name:?} is not this machine's own; ask for 127.0.0.1 or localhost"),
        }
        .into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert("x-elastic-product", HeaderValue::from_static("Elasticsearch"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("content-security-policy", HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"));
    response
}

async fn unknown(method: Method, request: Request) -> EsError {
    EsError::argument(format!(
        "{method} {} is not supported; there are _search, _count, _bulk, _doc, _create, _mapping, _refresh, _cat/indices, _cat/count, _cat/health, _cluster/health, index create and delete",
        request.uri().path()
    ))
}

async fn root(headers: HeaderMap, Params(arguments): Params<Arguments>) -> Response {
    let wants_page = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if wants_page {
        return Html(include_str!("../../assets/index.html")).into_response();
    }
    let version = json!({
        "number": "7.10.2", "build_flavor": "oss", "build_type": "tar", "build_hash": "logpond", "build_date": "2026-01-01T00:00:00Z",
        "build_snapshot": false, "lucene_version": "8.7.0", "minimum_wire_compatibility_version": "6.8.0", "minimum_index_compatibility_version": "6.0.0-beta1",
    });
    let body = json!({ "name": "logpond", "cluster_name": "logpond", "cluster_uuid": "logpond", "version": version, "tagline": "You Know, for Search" });
    answer(body, &arguments)
}

/// Does something with the store on a thread where it may take its time.
async fn on_store<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce(&Store) -> Result<T, EsError> + Send + 'static,
) -> Result<T, EsError> {
    let store = api.store.clone();
    let busy = || EsError {
        status: 429,
        kind: "es_rejected_execution_exception",
        reason: "too many searches at once; try again".to_owned(),
    };
    let permit = tokio::time::timeout(SEARCH_TIME_MAX, api.searches.clone().acquire_owned()).await;
    let permit = permit.map_err(|_| busy())?.map_err(|_| busy())?;
    let work = tokio::task::spawn_blocking(move || {
        let result = work(&store);
        drop(permit);
        result
    });
    match tokio::time::timeout(SEARCH_TIME_MAX, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(EsError {
            status: 500,
            kind: "internal_error",
            reason: "the search panicked; see the log".to_owned(),
        }),
        Err(_) => Err(EsError {
            status: 504,
            kind: "timeout_exception",
            reason: format!("the search took longer than {SEARCH_TIME_MAX:?}"),
        }),
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as i64
}

fn body_json(body: &[u8]) -> Result<Value, EsError> {
    if body.trim_ascii().is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(body).map_err(|error| EsError::parsing(format!("the body is not JSON: {error}")))
}

/// The question of `q=` or of the body.
fn question(arguments: &Arguments, body: &Value) -> Result<Query, EsError> {
    let now = now();
    if let Some(text) = arguments.get("q") {
        let and =
            arguments.get("default_operator").is_some_and(|operator| operator.eq_ignore_ascii_case("and"));
        return query_string::parse(text, arguments.get("df").map_or("message", String::as_str), and, now);
    }
    match body.get("query") {
        Some(query) => dsl::query(query, now),
        None => Ok(Query::All),
    }
}

async fn count_all(api: State<Api>, arguments: Params<Arguments>, body: Bytes) -> Answer {
    count_some(api, Path(String::new()), arguments, body).await
}

async fn count_some(
    State(api): State<Api>,
    Path(index): Path<String>,
    Params(arguments): Params<Arguments>,
    body: Bytes,
) -> Answer {
    let query = question(&arguments, &body_json(&body)?)?;
    let count = on_store(&api, move |store| Ok(store.count(&index, &query)?)).await?;
    Ok(answer(json!({ "count": count, "_shards": shards(1) }), &arguments))
}

fn shards(count: usize) -> Value {
    json!({ "total": count, "successful": count, "skipped": 0, "failed": 0 })
}

async fn search_all(api: State<Api>, arguments: Params<Arguments>, body: Bytes) -> Answer {
    search_some(api, Path(String::new()), arguments, body).await
}

const SEARCH_OPTIONS: [&str; 17] = [
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
    "min_score",
    "track_scores",
    "explain",
];

async fn search_some(
    State(api): State<Api>,
    Path(index): Path<String>,
    Params(arguments): Params<Arguments>,
    body: Bytes,
) -> Answer {
    let begun = Instant::now();
    let body = body_json(&body)?;
    if let Some(object) = body.as_object()
        && let Some(unknown) = object.keys().find(|key| !SEARCH_OPTIONS.contains(&key.as_str()))
    {
        return Err(EsError::parsing(format!(
            "unknown key [{unknown}] in a search; there are {}",
            SEARCH_OPTIONS.join(", ")
        )));
    }
    if arguments.contains_key("scroll") {
        return Err(EsError::argument("scroll is not supported; use search_after"));
    }
    let number = |name: &str, default: usize| -> Result<usize, EsError> {
        let given = arguments
            .get(name)
            .map(|text| text.parse().ok())
            .or_else(|| body.get(name).map(|value| value.as_u64().map(|n| n as usize)));
        given.map_or(Ok(default), |value| {
            value.ok_or_else(|| EsError::argument(format!("[{name}] must be a whole number")))
        })
    };
    let (from, size) = (number("from", 0)?, number("size", 10)?);
    if from + size > HITS_MAX {
        return Err(EsError::argument(format!(
            "Result window is too large, from + size must be less than or equal to: [{HITS_MAX}] but was [{}]; use search_after",
            from + size
        )));
    }
    let sort = match arguments.get("sort") {
        Some(text) => text.split(',').map(sort_word).collect(),
        None => dsl::sort(&body["sort"])?,
    };
    let aggregations = body
        .get("aggs")
        .or_else(|| body.get("aggregations"))
        .cloned()
        .map(prepare_aggregations)
        .transpose()?;
    let search = Search {
        indices: index,
        query: question(&arguments, &body)?,
        sort,
        from,
        size,
        after: dsl::search_after(&body["search_after"]),
        aggregations,
        ..Search::default()
    };
    let rule = source_rule(&arguments, &body);
    let keys = search.sort.clone();
    let hits = on_store(&api, move |store| Ok(store.search(&search)?)).await?;
    Ok(answer(
        search_answer(hits, &keys, &rule, begun.elapsed(), flag(&arguments, "rest_total_hits_as_int")),
        &arguments,
    ))
}

/// Calendar intervals of fixed length become fixed ones, which the store knows.
fn prepare_aggregations(mut aggregations: Value) -> Result<Value, EsError> {
    fn walk(value: &mut Value) -> Result<(), EsError> {
        match value {
            Value::Object(object) => {
                if let Some(Value::Object(histogram)) = object.get_mut("date_histogram") {
                    let interval =
                        histogram.remove("calendar_interval").or_else(|| histogram.remove("interval"));
                    if let Some(interval) = interval {
                        let text = interval.as_str().unwrap_or_default();
                        let fixed = match text {
                            "second" | "1s" => "1s",
                            "minute" | "1m" => "1m",
                            "hour" | "1h" => "1h",
                            "day" | "1d" => "1d",
                            other if other.ends_with(['s', 'm', 'h', 'd']) => other,
                            other => {
                                return Err(EsError::argument(format!(
                                    "the interval [{other}] of a date_histogram is not supported; there are fixed ones such as 30s, 1h, 1d"
                                )));
                            }
                        };
                        histogram.insert("fixed_interval".into(), fixed.into());
                    }
                }
                object.values_mut().try_for_each(walk)
            }
            Value::Array(values) => values.iter_mut().try_for_each(walk),
            _ => Ok(()),
        }
    }
    walk(&mut aggregations)?;
    Ok(aggregations)
}

fn source_rule(arguments: &Arguments, body: &Value) -> Value {
    let list = |name: &str| arguments.get(name).map(|text| Value::from(text.split(',').collect::<Vec<_>>()));
    let includes = list("_source_includes");
    let excludes = list("_source_excludes");
    if includes.is_some() || excludes.is_some() {
        return json!({ "includes": includes.unwrap_or_else(|| json!([])), "excludes": excludes.unwrap_or_else(|| json!([])) });
    }
    match arguments.get("_source").map(String::as_str) {
        Some("false") => Value::Bool(false),
        Some("true") => Value::Bool(true),
        Some(text) => Value::from(text),
        None => body["_source"].clone(),
    }
}

fn search_answer(hits: Hits, keys: &[SortKey], rule: &Value, took: Duration, total_as_int: bool) -> Value {
    let max = hits
        .hits
        .iter()
        .filter_map(|hit| hit.score)
        .fold(None, |max: Option<f32>, score| Some(max.map_or(score, |max| max.max(score))));
    let list: Vec<Value> = hits
        .hits
        .into_iter()
        .map(|hit| {
            let mut object = Map::new();
            object.insert("_index".into(), hit.index.into());
            object.insert("_type".into(), "_doc".into());
            object.insert("_id".into(), hit.id.into());
            object.insert("_score".into(), hit.score.map_or(Value::Null, |score| f64::from(score).into()));
            if *rule != Value::Bool(false) {
                object.insert("_source".into(), filter_source(&hit.source, rule));
            }
            if !keys.is_empty() {
                let values = hit.sort.iter().zip(keys).map(|(value, key)| sort_json(value, key));
                object.insert("sort".into(), values.collect());
            }
            Value::Object(object)
        })
        .collect();
    let total =
        if total_as_int { json!(hits.total) } else { json!({ "value": hits.total, "relation": "eq" }) };
    let mut body = json!({
        "took": took.as_millis() as u64,
        "timed_out": false,
        "_shards": shards(hits.indices),
        "hits": { "total": total, "max_score": max, "hits": list },
    });
    if let Some(aggregations) = hits.aggregations {
        body["aggregations"] = aggregations;
    }
    body
}

/// Times are given in milliseconds where nothing is lost, as Elasticsearch does, else in nanoseconds as text.
fn sort_json(value: &SortValue, key: &SortKey) -> Value {
    match value {
        SortValue::Missing => Value::Null,
        SortValue::Int(ns) if key.field == "@timestamp" => match ns % 1_000_000 {
            0 => json!(ns / 1_000_000),
            _ => store::Value::Time(*ns).text().into(),
        },
        SortValue::Int(value) => json!(value),
        SortValue::Float(value) => json!(value),
        SortValue::Str(text) => json!(text),
    }
}

/// `logpond search`: KQL, sorted by time and then by arrival, with exact places to go on.
async fn own_search(State(api): State<Api>, body: Bytes) -> Answer {
    let begun = Instant::now();
    let body = body_json(&body)?;
    let now = now();
    let mut query = kql::parse(body["kql"].as_str().unwrap_or_default(), now)?;
    if let Some(last) = body["last_ms"].as_i64() {
        let from = store::Value::Time(now.saturating_sub(last.saturating_mul(1_000_000)));
        let range = Query::Range {
            field: "@timestamp".into(),
            lower: std::ops::Bound::Included(from),
            upper: std::ops::Bound::Unbounded,
        };
        query = Query::and(vec![query, range]);
    }
    let descending = body["order"] != "asc";
    let field = if descending { "@timestamp" } else { "_seq_no" };
    let sort = vec![SortKey { field: field.to_owned(), descending, missing_first: false }];
    let after = if descending {
        None
    } else {
        dsl::search_after(&body["search_after"]).map(|values| values.into_iter().skip(1).collect())
    };
    let index = body["index"].as_str().unwrap_or("logs-*").to_owned();
    let size = body["size"].as_u64().unwrap_or(100).min(HITS_MAX as u64) as usize;
    let search = Search { indices: index, query, sort: sort.clone(), size, after, ..Search::default() };
    let hits = on_store(&api, move |store| Ok(store.search(&search)?)).await?;
    let places: Vec<Value> = hits.hits.iter().map(|hit| json!([hit.sequence, hit.sequence])).collect();
    let mut body = search_answer(hits, &sort, &Value::Null, begun.elapsed(), false);
    if let Some(list) = body["hits"]["hits"].as_array_mut() {
        for (hit, place) in list.iter_mut().zip(places) {
            hit["sort"] = place;
        }
    }
    Ok(answer(body, &Arguments::new()))
}

async fn refresh(State(api): State<Api>) -> Answer {
    if let Some(ingest) = &api.ingest {
        ingest.settle().await;
    }
    on_store(&api, |store| Ok(store.refresh()?)).await?;
    Ok(answer(json!({ "_shards": shards(1) }), &Arguments::new()))
}

async fn bulk_all(api: State<Api>, arguments: Params<Arguments>, body: Bytes) -> Answer {
    bulk_some(api, Path(String::new()), arguments, body).await
}

async fn bulk_some(
    State(api): State<Api>,
    Path(index): Path<String>,
    Params(arguments): Params<Arguments>,
    body: Bytes,
) -> Answer {
    let begun = Instant::now();
    let actions = bulk::decode(&body).map_err(|error| EsError::argument(error.to_string()))?;
    if actions.is_empty() {
        return Err(EsError::argument("request body is required"));
    }
    let mut items: Vec<(Kind, Result<IngestDoc, EsError>)> = Vec::new();
    for action in actions {
        let target = action.target.index.or_else(|| (!index.is_empty()).then(|| index.clone()));
        let doc = match target {
            None => Err(EsError::argument("explicit index in bulk is required")),
            Some(_) if action.kind == Kind::Update => {
                Err(EsError::argument("update is not supported; index the whole document under its id"))
            }
            Some(index) => check(
                &api,
                index,
                action.target.id,
                action.source.map(<[u8]>::to_vec),
                action.kind == Kind::Create,
            ),
        };
        items.push((action.kind, doc));
    }
    let docs: Vec<IngestDoc> = items.iter().filter_map(|(_, doc)| doc.as_ref().ok().cloned()).collect();
    let appended = if docs.is_empty() { Ok(0) } else { append(&api, docs, &arguments).await };
    let first = appended?;
    let mut errors = false;
    let mut at = first;
    let items: Vec<Value> = items
        .into_iter()
        .map(|(kind, doc)| {
            let item = match doc {
                Ok(doc) => {
                    at += 1;
                    item_ok(&doc, kind, at - 1)
                }
                Err(error) => {
                    errors = true;
                    json!({ "_type": "_doc", "status": error.status, "error": { "type": error.kind, "reason": error.reason } })
                }
            };
            json!({ (kind.name()): item })
        })
        .collect();
    Ok(answer(
        json!({ "took": begun.elapsed().as_millis() as u64, "errors": errors, "items": items }),
        &arguments,
    ))
}

fn item_ok(doc: &IngestDoc, kind: Kind, sequence: u64) -> Value {
    let (result, status) = match kind {
        Kind::Delete => ("deleted", 200),
        _ => ("created", 201),
    };
    json!({ "_index": doc.index, "_type": "_doc", "_id": doc.id, "_version": 1, "result": result, "_shards": shards(1), "_seq_no": sequence, "_primary_term": 1, "status": status })
}

/// Decides about a document before it goes to the queue.
fn check(
    api: &Api,
    index: String,
    id: Option<String>,
    source: Option<Vec<u8>>,
    create: bool,
) -> Result<IngestDoc, EsError> {
    let id = match id {
        Some(id) if id.is_empty() || id.len() > 255 => {
            return Err(EsError::argument(format!("the id [{id}] must have between 1 and 255 bytes")));
        }
        other => other,
    };
    if let Some(source) = &source {
        api.store.check(&index, source)?;
    } else if id.is_none() {
        return Err(EsError::argument("a document is removed by its id"));
    }
    if create
        && let Some(id) = &id
        && matches!(api.store.get(&index, id), Ok(Some(_)))
    {
        return Err(EsError {
            status: 409,
            kind: "version_conflict_engine_exception",
            reason: format!("[{id}]: version conflict, document already exists"),
        });
    }
    let replaces = id.is_some();
    let source =
        source.map(|source| source.into_iter().map(|byte| if byte == b'\n' { b' ' } else { byte }).collect());
    Ok(IngestDoc { index, id: id.unwrap_or_else(fresh_id), source, replaces })
}

/// An id that nobody had before: of the clock and of chance.
fn fresh_id() -> String {
    use std::hash::{BuildHasher, Hasher};
    let mut chance = std::collections::hash_map::RandomState::new().build_hasher();
    let now = now();
    chance.write_i64(now);
    format!("{now:x}{:016x}", chance.finish())
}

async fn append(api: &Api, docs: Vec<IngestDoc>, arguments: &Arguments) -> Result<u64, EsError> {
    let none = || EsError {
        status: 503,
        kind: "unavailable_shards_exception",
        reason: "this pond has no output \"store\", so nothing can be stored".to_owned(),
    };
    let ingest = api.ingest.as_ref().ok_or_else(none)?;
    let first = ingest.append(docs).await.map_err(|error| match error {
        IngestError::Busy(reason) => EsError { status: 429, kind: "es_rejected_execution_exception", reason },
        IngestError::Unavailable(reason) => {
            EsError { status: 503, kind: "unavailable_shards_exception", reason }
        }
    })?;
    if arguments.get("refresh").is_some_and(|refresh| refresh != "false") {
        ingest.settle().await;
        on_store(api, |store| Ok(store.refresh()?)).await?;
    }
    Ok(first)
}

async fn doc(
    State(api): State<Api>,
    method: Method,
    Path((index, id)): Path<(String, String)>,
    Params(arguments): Params<Arguments>,
    body: Bytes,
) -> Answer {
    let id = (!id.is_empty()).then_some(id);
    match method {
        Method::GET | Method::HEAD => {
            let id = id.ok_or_else(|| EsError::argument("a document is read by its id"))?;
            let (name, wanted) = (index.clone(), id.clone());
            let found = on_store(&api, move |store| Ok(store.get(&name, &wanted)?)).await?;
            let head = json!({ "_index": index, "_type": "_doc", "_id": id, "found": found.is_some() });
            let Some((sequence, source)) = found else {
                return Ok((StatusCode::NOT_FOUND, answer(head, &arguments)).into_response());
            };
            let mut body = head;
            body["_seq_no"] = json!(sequence);
            body["_version"] = json!(1);
            body["_source"] = filter_source(&source, &source_rule(&arguments, &json!({})));
            Ok(answer(body, &arguments))
        }
        Method::POST | Method::PUT | Method::DELETE => {
            let kind = if method == Method::DELETE { Kind::Delete } else { Kind::Index };
            let source = (kind == Kind::Index).then(|| body.to_vec());
            let create = arguments.get("op_type").is_some_and(|kind| kind == "create");
            let doc = check(&api, index, id, source, create)?;
            let sequence = append(&api, vec![doc.clone()], &arguments).await?;
            let status = if kind == Kind::Delete { StatusCode::OK } else { StatusCode::CREATED };
            let mut body = item_ok(&doc, kind, sequence);
            if let Some(object) = body.as_object_mut() {
                object.shift_remove("status");
            }
            Ok((status, answer(body, &arguments)).into_response())
        }
        other => Err(EsError {
            status: 405,
            kind: "illegal_argument_exception",
            reason: format!("{other} is not allowed here; GET, HEAD, POST, PUT and DELETE are"),
        }),
    }
}

async fn index(
    State(api): State<Api>,
    method: Method,
    Path(index): Path<String>,
    Params(arguments): Params<Arguments>,
    body: Bytes,
) -> Answer {
    if index.starts_with('_') {
        return Err(EsError::argument(format!(
            "/{index} is not supported; there are _search, _count, _bulk, _mapping, _refresh, _cat, _cluster/health"
        )));
    }
    match method {
        Method::HEAD => {
            let found = on_store(&api, move |store| Ok(!store.list(&index).is_empty())).await?;
            Ok(if found { StatusCode::OK } else { StatusCode::NOT_FOUND }.into_response())
        }
        Method::PUT => {
            let mapping = read_mapping(&body_json(&body)?)?;
            let name = index.clone();
            let made = on_store(&api, move |store| Ok(store.create_index(&name, mapping)?)).await?;
            if !made {
                return Err(EsError {
                    status: 400,
                    kind: "resource_already_exists_exception",
                    reason: format!("index [{index}] already exists"),
                });
            }
            Ok(answer(
                json!({ "acknowledged": true, "shards_acknowledged": true, "index": index }),
                &arguments,
            ))
        }
        Method::DELETE => {
            let name = index.clone();
            let removed = on_store(&api, move |store| {
                let names: Vec<String> = store.list(&name).into_iter().map(|info| info.name).collect();
                for name in &names {
                    store.delete_index(name)?;
                }
                Ok(names.len())
            });
            if removed.await? == 0 && !index.contains('*') {
                return Err(EsError {
                    status: 404,
                    kind: "index_not_found_exception",
                    reason: format!("no such index [{index}]"),
                });
            }
            Ok(answer(json!({ "acknowledged": true }), &arguments))
        }
        Method::GET => mapping(State(api), Path(index), Params(arguments)).await,
        other => Err(EsError {
            status: 405,
            kind: "illegal_argument_exception",
            reason: format!("{other} is not allowed here; GET, HEAD, PUT and DELETE are"),
        }),
    }
}

/// The types of `mappings.properties`, as far as the store has them.
fn read_mapping(body: &Value) -> Result<store::Mapping, EsError> {
    fn walk(
        properties: &Value,
        prefix: &str,
        mapping: &mut store::Mapping,
        depth: usize,
    ) -> Result<(), EsError> {
        for (name, rule) in properties.as_object().into_iter().flatten() {
            let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            if rule.get("properties").is_some() {
                if depth > 32 {
                    return Err(EsError::argument("the mapping is nested too deep"));
                }
                walk(&rule["properties"], &name, mapping, depth + 1)?;
                continue;
            }
            let kind = match rule["type"].as_str().unwrap_or("object") {
                "text" | "keyword" | "wildcard" | "constant_keyword" | "ip" => store::FieldType::Text,
                "long" | "integer" | "short" | "byte" => store::FieldType::Long,
                "double" | "float" | "half_float" | "scaled_float" => store::FieldType::Double,
                "boolean" => store::FieldType::Boolean,
                "date" | "date_nanos" => store::FieldType::Date,
                "object" => continue,
                other => {
                    return Err(EsError {
                        status: 400,
                        kind: "mapper_parsing_exception",
                        reason: format!(
                            "No handler for type [{other}] declared on field [{name}]; there are text, keyword, long, double, boolean, date"
                        ),
                    });
                }
            };
            mapping.0.insert(name, kind);
        }
        Ok(())
    }
    let mut mapping = store::Mapping::default();
    walk(&body["mappings"]["properties"], "", &mut mapping, 0)?;
    Ok(mapping)
}

async fn mapping(
    State(api): State<Api>,
    Path(index): Path<String>,
    Params(arguments): Params<Arguments>,
) -> Answer {
    let name = index.clone();
    let infos = on_store(&api, move |store| Ok(store.list(&name))).await?;
    if infos.is_empty() && !index.is_empty() && !index.contains('*') {
        return Err(EsError {
            status: 404,
            kind: "index_not_found_exception",
            reason: format!("no such index [{index}]"),
        });
    }
    let mut body = Map::new();
    for info in infos {
        let mut root = json!({});
        for (name, kind) in &info.mapping.0 {
            let mut at = &mut root;
            for part in name.split('.') {
                at = &mut at["properties"][part];
            }
            at["type"] = kind.name().into();
            if *kind == store::FieldType::Text && name != "message" {
                at["fields"] = json!({ "keyword": { "type": "keyword", "ignore_above": 256 } });
            }
        }
        body.insert(info.name, json!({ "mappings": root }));
    }
    Ok(answer(Value::Object(body), &arguments))
}

async fn cat_indices(
    State(api): State<Api>,
    Path(index): Path<String>,
    Params(arguments): Params<Arguments>,
) -> Answer {
    let infos = on_store(&api, move |store| Ok(store.list(&index))).await?;
    let head = [
        "health",
        "status",
        "index",
        "uuid",
        "pri",
        "rep",
        "docs.count",
        "docs.deleted",
        "store.size",
        "pri.store.size",
    ];
    let rows = infos.iter().map(|info| {
        let size = human(info.bytes);
        let docs = info.docs.to_string();
        vec![
            "green".into(),
            "open".into(),
            info.name.clone(),
            info.name.clone(),
            "1".into(),
            "0".into(),
            docs,
            "0".into(),
            size.clone(),
            size,
        ]
    });
    Ok(table(&head, rows.collect(), &arguments))
}

async fn cat_count(
    State(api): State<Api>,
    Path(index): Path<String>,
    Params(arguments): Params<Arguments>,
) -> Answer {
    let count = on_store(&api, move |store| Ok(store.count(&index, &Query::All)?)).await?;
    let seconds = now() / 1_000_000_000;
    Ok(table(
        &["epoch", "timestamp", "count"],
        vec![vec![seconds.to_string(), clock(seconds), count.to_string()]],
        &arguments,
    ))
}

async fn cat_health(State(api): State<Api>, Params(arguments): Params<Arguments>) -> Answer {
    let shards = api.store.list("").len().to_string();
    let seconds = now() / 1_000_000_000;
    let head = [
        "epoch",
        "timestamp",
        "cluster",
        "status",
        "node.total",
        "node.data",
        "shards",
        "pri",
        "relo",
        "init",
        "unassign",
        "pending_tasks",
        "max_task_wait_time",
        "active_shards_percent",
    ];
    let row = [
        &seconds.to_string(),
        &clock(seconds),
        "logpond",
        "green",
        "1",
        "1",
        &shards,
        &shards,
        "0",
        "0",
        "0",
        "0",
        "-",
        "100.0%",
    ];
    Ok(table(&head, vec![row.iter().map(|cell| (*cell).to_owned()).collect()], &arguments))
}

fn clock(seconds: i64) -> String {
    let of_day = seconds.rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

fn human(bytes: u64) -> String {
    for (unit, scale) in [("gb", 1_u64 << 30), ("mb", 1 << 20), ("kb", 1 << 10)] {
        if bytes >= scale {
            return format!("{:.1}{unit}", bytes as f64 / scale as f64);
        }
    }
    format!("{bytes}b")
}

/// A table as `_cat` prints it: aligned text, or JSON.
fn table(head: &[&str], rows: Vec<Vec<String>>, arguments: &Arguments) -> Response {
    let wanted: Vec<usize> = match arguments.get("h") {
        Some(names) => names.split(',').filter_map(|name| head.iter().position(|own| *own == name)).collect(),
        None => (0..head.len()).collect(),
    };
    if arguments.get("format").is_some_and(|format| format == "json") {
        let list = rows.iter().map(|row| {
            wanted
                .iter()
                .map(|at| (head[*at].to_owned(), Value::from(row[*at].clone())))
                .collect::<Map<_, _>>()
        });
        return answer(
            list.map(Value::Object).collect(),
            &Arguments::from([("pretty".into(), flag(arguments, "pretty").to_string())]),
        );
    }
    let mut all: Vec<Vec<String>> = Vec::new();
    if flag(arguments, "v") {
        all.push(head.iter().map(|name| (*name).to_owned()).collect());
    }
    all.extend(rows);
    let widths: Vec<usize> =
        (0..head.len()).map(|at| all.iter().map(|row| row[at].len()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in all {
        let cells: Vec<String> =
            wanted.iter().map(|at| format!("{:<width$}", row[*at], width = widths[*at])).collect();
        text.push_str(cells.join(" ").trim_end());
        text.push('\n');
    }
    ([(header::CONTENT_TYPE, "text/plain; charset=UTF-8")], text).into_response()
}

async fn cluster_health(State(api): State<Api>, Params(arguments): Params<Arguments>) -> Response {
    let shards = api.store.list("").len();
    let body = json!({
        "cluster_name": "logpond", "status": "green", "timed_out": false, "number_of_nodes": 1, "number_of_data_nodes": 1,
        "active_primary_shards": shards, "active_shards": shards, "relocating_shards": 0, "initializing_shards": 0,
        "unassigned_shards": 0, "delayed_unassigned_shards": 0, "number_of_pending_tasks": 0, "number_of_in_flight_fetch": 0,
        "task_max_waiting_in_queue_millis": 0, "active_shards_percent_as_number": 100.0,
    });
    answer(body, &arguments)
}
