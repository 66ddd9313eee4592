//! Routes of our own over the store: searches in KQL, the newest events as they come.

use super::api::{Answer, Api, Arguments, Body, SEARCH_TIME_MAX, answer_raw, resolve};
use super::search::{HITS_MAX, answer_own, context_of};
use super::{EsError, aggs, dates, dsl};
use crate::kql;
use axum::extract::State;
use serde_json::{Value, json};
use std::ops::Bound;
use std::time::{Duration, Instant};
use store::{Query, Search, SortKey, SortValue, Store};

const PARTS: [&str; 12] = [
    "kql",
    "query",
    "index",
    "size",
    "order",
    "from",
    "to",
    "last_ms",
    "search_after",
    "follow",
    "newest",
    "histogram",
];
/// How long a search that follows waits for something new, and how often it looks.
const FOLLOW: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(500);
const BARS: i64 = 60;

/// A search in KQL, sorted by time or (ascending) by arrival. Each hit has a place, with
/// which the next search goes on: `[time in ns as text, sequence]`.
///
/// `newest` with `order: asc` gives the newest of what arrived since that place in place of the
/// oldest, for who would rather skip than fall behind: the total counts all that arrived.
pub(crate) async fn search(State(api): State<Api>, arguments: Arguments, body: Body) -> Answer {
    let begun = Instant::now();
    let body = body.json()?;
    if let Some(name) =
        body.as_object().and_then(|body| body.keys().find(|name| !PARTS.contains(&name.as_str())))
    {
        return Err(EsError::unknown("the part of a search", name, &PARTS));
    }
    let follow = body["follow"] == true && body["order"] == "asc";
    loop {
        let asked = body.clone();
        let found = api.search(SEARCH_TIME_MAX, move |store| run(store, &asked)).await?;
        if !follow || !found.hits.hits.is_empty() || begun.elapsed() >= FOLLOW {
            return answer_raw(&found.took(begun), &arguments);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The newest events, one poll of what `search` with `order: asc` does, by arguments. A body
/// may narrow it by a `query` in Elasticsearch's language.
pub(crate) async fn tail(State(api): State<Api>, arguments: Arguments, body: Body) -> Answer {
    arguments.only(&["q", "index", "size", "after", "follow", "newest"])?;
    let size = arguments.number("size")?.unwrap_or(100);
    let narrowed = body.json()?;
    if let Some(name) = narrowed.as_object().and_then(|body| body.keys().find(|name| *name != "query")) {
        return Err(EsError::unknown("the part of a tail", name, &["query"]));
    }
    let mut body = json!({
        "kql": arguments.get("q").unwrap_or_default(), "index": arguments.get("index").unwrap_or("*"), "size": size,
        "follow": arguments.flag("follow"), "newest": arguments.flag("newest"), "query": narrowed["query"],
    });
    if arguments.flag("newest") {
        body["order"] = "asc".into();
    }
    if let Some(after) = arguments.number("after")? {
        body["order"] = "asc".into();
        body["search_after"] = json!([0, after]);
    }
    let bytes = axum::body::Bytes::from(body.to_string());
    let shown = arguments.0.into_iter().filter(|(name, _)| name == "pretty" || name == "filter_path");
    search(State(api), Arguments(shown.collect()), Body::made(bytes)).await
}

fn run(store: &Store, body: &Value) -> Result<super::search::Found, EsError> {
    let index = body["index"].as_str().unwrap_or("logs-*");
    let indices = resolve(store, index, &Arguments::default())?;
    let context = context_of(store, &indices);
    let now = context.now;
    let mut query = kql::parse(body["kql"].as_str().unwrap_or_default(), &context)?;
    let time = |name: &str, up: bool| -> Result<Option<i64>, EsError> {
        match &body[name] {
            Value::Null => Ok(None),
            Value::Number(ms) => Ok(ms.as_i64().and_then(|ms| ms.checked_mul(1_000_000))),
            text => {
                let text = dsl::plain(text);
                let ns = context.times().read(&text, up);
                ns.map(Some).ok_or_else(|| {
                    EsError::argument(format!("[{name}] is no time: [{text}]; such as now-15m"))
                })
            }
        }
    };
    let last = body["last_ms"].as_i64().map(|last| now.saturating_sub(last.saturating_mul(1_000_000)));
    let (from, to) = (time("from", false)?.or(last), time("to", true)?);
    if from.is_some() || to.is_some() {
        let bound =
            |side: Option<i64>| side.map_or(Bound::Unbounded, |ns| Bound::Included(store::Value::Time(ns)));
        let range = Query::Range { field: "@timestamp".into(), lower: bound(from), upper: bound(to) };
        query = Query::and(vec![query, range]);
    }
    if !body["query"].is_null() {
        query = Query::and(vec![query, dsl::query(&body["query"], &context)?]);
    }
    let descending = body["order"] != "asc";
    let newest = body["newest"] == true && !descending;
    let field = if descending { "@timestamp" } else { "_seq_no" };
    let keys =
        vec![SortKey { field: field.to_owned(), descending: descending || newest, missing_first: false }];
    let place = body["search_after"].as_array().map(|place| {
        let number = |at: usize| {
            place.get(at).and_then(|value| value.as_i64().or_else(|| value.as_str()?.parse().ok()))
        };
        (number(0).unwrap_or(0), number(1).unwrap_or(0))
    });
    let after = match place {
        Some((time, sequence)) if descending => Some(vec![SortValue::Int(time), SortValue::Int(sequence)]),
        Some((_, sequence)) if newest => {
            let lower = Bound::Excluded(store::Value::Int(sequence));
            let arrived = Query::Range { field: "_seq_no".into(), lower, upper: Bound::Unbounded };
            query = Query::and(vec![query, arrived]);
            None
        }
        place => place.map(|(_, sequence)| vec![SortValue::Int(sequence)]),
    };
    let size = body["size"].as_u64().unwrap_or(100).min(HITS_MAX as u64) as usize;
    let bars =
        if body["histogram"] == true { Some(bars(store, &indices, from, to, &context)?) } else { None };
    let search = Search { indices, query, sort: keys, size, after, ..Search::default() };
    let mut found = answer_own(store, search, bars, context)?;
    if newest {
        found.hits.hits.reverse();
    }
    for hit in &mut found.hits.hits {
        let time = hit.sort.as_ref().and_then(|sort| sort.first()).cloned().unwrap_or(Value::Null);
        let ns = match &time {
            Value::Number(ms) if descending => ms.as_i64().map(|ms| ms.saturating_mul(1_000_000)),
            Value::String(text) => store::Value::Str(text.clone()).time(),
            _ => None,
        };
        let first = ns.map_or_else(|| json!(hit.sequence), |ns| ns.to_string().into());
        hit.sort = Some(vec![first, json!(hit.sequence)]);
    }
    Ok(found)
}

/// Counts over the time that is looked at, in about sixty bars of a round length.
fn bars(
    store: &Store,
    indices: &str,
    from: Option<i64>,
    to: Option<i64>,
    context: &super::context::Context,
) -> Result<aggs::Aggs, EsError> {
    let times: Vec<(i64, i64)> = store.list(indices).into_iter().filter_map(|info| info.times).collect();
    let first = from.or_else(|| times.iter().map(|(first, _)| *first).min()).unwrap_or(dates::now());
    let last = to.or_else(|| times.iter().map(|(_, last)| *last).max()).unwrap_or(first).max(first);
    let span = last.saturating_sub(first).div_euclid(1_000_000_000);
    let lengths =
        [1, 2, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 10_800, 43_200, 86_400, 7 * 86_400, 30 * 86_400];
    let seconds = lengths.into_iter().find(|length| span / length <= BARS).unwrap_or((span / BARS).max(1));
    let bars = json!({ "times": { "date_histogram": { "field": "@timestamp", "fixed_interval": format!("{seconds}s"), "min_doc_count": 1 } } });
    aggs::read(&bars, context)
}
