//! What kinds of messages a search finds, and how many of each.

use super::api::{Answer, Api, Arguments, Body, SEARCH_TIME_MAX, answer, resolve};
use super::search::context_of;
use super::{EsError, dsl};
use axum::extract::State;
use serde_json::{Value, json};
use std::time::Instant;
use store::{Patterns, Query, Search, SortKey, SortValue};

/// Events that are looked at; of more, these are the newest.
const EVENTS_MAX: u64 = 200_000;
/// Events that are read at once.
pub(super) const PAGE: usize = 2_000;
/// Patterns of one answer that does not say how many, and at most.
const PATTERNS: usize = 100;
const PATTERNS_MAX: usize = 1_000;
/// Parts of the time in which each is counted.
pub(super) const BARS: usize = 30;
pub(super) const NS_PER_MS: i64 = 1_000_000;

/// The patterns of the messages that the `query` of the body finds, the most frequent first
/// (`size` of them). A `template` query for one of them finds as many events as it counts;
/// all counts, those of patterns that are left out and what is in none make up `looked_at`.
pub(crate) async fn patterns(State(api): State<Api>, arguments: Arguments, body: Body) -> Answer {
    let begun = Instant::now();
    let json = body.json()?;
    let size = read_size(&arguments, &json)?;
    let index = arguments.get("index").unwrap_or("logs-*").to_owned();
    let (indices, query, times) = api
        .with_store(move |store| {
            let indices = resolve(store, &index, &Arguments::default())?;
            let context = context_of(store, &indices);
            let query = json.get("query").map_or(Ok(Query::All), |query| dsl::query(query, &context))?;
            let known = store.list(&indices).into_iter().filter_map(|info| info.times);
            let times = known.reduce(|(from, to), (first, last)| (from.min(first), to.max(last)));
            Ok((indices, query, times.unwrap_or_default()))
        })
        .await?;
    let asked = query.time_range();
    let (from, to) = (asked.0.max(times.0), asked.1.min(times.1.saturating_add(NS_PER_MS)));
    let mut found = Patterns::new(from, to, BARS);
    let newest = SortKey { field: "@timestamp".to_owned(), descending: true, missing_first: false };
    let mut search = Search { indices, query, sort: vec![newest], size: PAGE, ..Search::default() };
    let (mut looked_at, mut total) = (0_u64, None);
    // Between the pages others have their turn, and who hangs up ends it.
    while looked_at < EVENTS_MAX {
        let asked = search.clone();
        let (own, count, counted, place) = api
            .search(SEARCH_TIME_MAX, move |store| {
                let hits = store.search(&asked)?;
                let place = hits.hits.last().map(|hit| {
                    let sequence = SortValue::Int(i64::try_from(hit.sequence).unwrap_or(i64::MAX));
                    hit.sort.iter().cloned().chain([sequence]).collect::<Vec<_>>()
                });
                for hit in &hits.hits {
                    let time = match hit.sort.first() {
                        Some(SortValue::Int(ns)) => *ns,
                        _ => 0,
                    };
                    found.add(store::message(&hit.source).as_deref(), time);
                }
                Ok((found, hits.hits.len() as u64, hits.total, place))
            })
            .await?;
        found = own;
        looked_at += count;
        total.get_or_insert(counted);
        search.after = place;
        if count < PAGE as u64 {
            break;
        }
    }
    let total = total.unwrap_or(0).max(looked_at);
    Ok(answer(shown(found, size, looked_at, total, begun), &arguments))
}

/// How many patterns an answer has.
pub(super) fn read_size(arguments: &Arguments, json: &Value) -> Result<usize, EsError> {
    arguments.only(&["index", "size"])?;
    if let Some(name) = json.as_object().and_then(|body| body.keys().find(|name| *name != "query")) {
        return Err(EsError::unknown("the part of a search for patterns", name, &["query"]));
    }
    Ok(arguments.number("size")?.unwrap_or(PATTERNS).min(PATTERNS_MAX))
}

/// The answer, of so many events that were looked at of all that were found.
pub(super) fn shown(found: Patterns, size: usize, looked_at: u64, total: u64, begun: Instant) -> Value {
    let (patterns, unclustered) = found.finish();
    let others = patterns.iter().skip(size).map(|pattern| pattern.count).sum::<u64>();
    let shown = patterns.iter().take(size).map(|pattern| {
        json!({
            "template": pattern.template.to_string(), "count": pattern.count,
            "first": pattern.first / NS_PER_MS, "last": pattern.last / NS_PER_MS, "bars": pattern.bars,
        })
    });
    json!({
        "took": u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        "total": total, "looked_at": looked_at,
        "found": patterns.len(), "unclustered": unclustered,
        "others": { "patterns": patterns.len().saturating_sub(size), "events": others },
        "patterns": shown.collect::<Vec<Value>>(),
    })
}
