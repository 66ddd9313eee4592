//! The newest events of a cluster as they come. A cluster does not say in which order it got its
//! events, so each tail looks some seconds back and remembers what it has shown.

use super::{Remote, escaped, lock, rewrite, time_of};
use crate::es::EsError;
use crate::es::api::{Answer, Arguments, Body, answer};
use axum::extract::State;
use axum::http::Method;
use serde_json::{Value as Json, json};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// As with a store of our own: how long a question that follows waits for something new, and how
/// often it looks.
const FOLLOW: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_secs(1);
/// What arrives later than so after its time is not seen.
const LATE_MS: i64 = 30_000;
const SIZE_MAX: usize = 1_000;
/// Tails at once; beyond, the one that was asked for longest ago begins anew.
const TAILS_MAX: usize = 64;

/// The tails that are looked at, by the number that their events carry as a place.
#[derive(Default)]
pub(super) struct Tails {
    next: u64,
    all: HashMap<u64, Tail>,
}

#[derive(Clone)]
struct Tail {
    /// The newest time that was shown, in milliseconds.
    newest: i64,
    /// What is older was there before, or was passed over for what is newer.
    floor: i64,
    /// What was shown, with its time: as far back as is looked.
    shown: HashSet<(i64, String)>,
    used: Instant,
}

impl Tails {
    fn keep(&mut self, number: u64, tail: Tail) {
        if self.all.len() >= TAILS_MAX
            && !self.all.contains_key(&number)
            && let Some(oldest) = self.all.iter().min_by_key(|(_, tail)| tail.used).map(|(number, _)| *number)
        {
            self.all.remove(&oldest);
        }
        self.all.insert(number, tail);
    }
}

/// The newest events behind `after`; the total is how many there are, shown or not.
pub(super) async fn tail(State(remote): State<Remote>, arguments: Arguments, body: Body) -> Answer {
    arguments.only(&["index", "size", "after", "follow", "newest"])?;
    let begun = Instant::now();
    let mut body = body.json()?;
    let index = arguments.get("index").unwrap_or("logs-*").to_owned();
    let size = arguments.number("size")?.unwrap_or(100).clamp(1, SIZE_MAX);
    let context = remote.context(&index).await?;
    let mut query = body.get_mut("query").map_or_else(|| json!({ "match_all": {} }), Json::take);
    rewrite(&mut query, &context)?;
    let (number, mut tail) = begin(&remote, arguments.number("after")?);
    loop {
        let (hits, total) = look(&remote, &index, &query, size, &mut tail).await?;
        let waits = arguments.flag("follow") && hits.is_empty() && begun.elapsed() < FOLLOW;
        if waits {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let hits: Vec<Json> = hits.into_iter().map(|hit| with_place(hit, number)).collect();
        lock(&remote.tails).keep(number, tail);
        let found = json!({
            "took": u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX), "timed_out": false,
            "hits": { "total": { "value": total, "relation": "eq" }, "max_score": null, "hits": hits },
        });
        return Ok(answer(found, &arguments));
    }
}

fn begin(remote: &Remote, after: Option<usize>) -> (u64, Tail) {
    let mut tails = lock(&remote.tails);
    let known = after.and_then(|after| u64::try_from(after).ok());
    if let Some((number, tail)) = known.and_then(|number| Some((number, tails.all.get(&number)?.clone()))) {
        return (number, Tail { used: Instant::now(), ..tail });
    }
    tails.next += 1;
    (tails.next, Tail { newest: i64::MIN, floor: i64::MIN, shown: HashSet::new(), used: Instant::now() })
}

/// What is new, the oldest first, and how much of it there is.
async fn look(
    remote: &Remote,
    index: &str,
    query: &Json,
    size: usize,
    tail: &mut Tail,
) -> Result<(Vec<Json>, u64), EsError> {
    let from = tail.newest.saturating_sub(LATE_MS).max(tail.floor);
    let is_first = tail.newest == i64::MIN;
    let mut filter = vec![query.clone()];
    if !is_first {
        filter.push(json!({ "range": { "@timestamp": { "gte": from, "format": "epoch_millis" } } }));
    }
    // What was shown is among them, so that much more is asked for.
    let count = if is_first { size } else { size + tail.shown.len().min(9_000) };
    let search = json!({
        "query": { "bool": { "filter": filter } }, "size": count, "track_total_hits": !is_first,
        "sort": [{ "@timestamp": { "order": "desc", "unmapped_type": "date" } }],
    });
    let path = format!("/{}/_search", escaped(index));
    let mut found = remote.ask(Method::POST, path, &search).await?;
    let Json::Array(hits) = found["hits"]["hits"].take() else { return Ok((Vec::new(), 0)) };
    let of_window = found["hits"]["total"]["value"].as_u64().unwrap_or(hits.len() as u64);
    let known = tail.shown.iter().filter(|(time, _)| *time >= from).count() as u64;
    let mut fresh = Vec::new();
    let mut oldest = tail.floor;
    for hit in hits {
        let time = time_of(&hit).unwrap_or(0);
        let name = format!("{}/{}", hit["_index"].as_str().unwrap_or(""), hit["_id"].as_str().unwrap_or(""));
        if fresh.len() < size && tail.shown.insert((time, name)) {
            tail.newest = tail.newest.max(time);
            oldest = time;
            fresh.push(hit);
        }
    }
    let all = fresh.len() as u64;
    let total = if is_first { all } else { of_window.saturating_sub(known).max(all) };
    if fresh.len() == size {
        tail.floor = oldest;
    }
    let from = tail.newest.saturating_sub(LATE_MS).max(tail.floor);
    tail.shown.retain(|(time, _)| *time >= from);
    fresh.reverse();
    Ok((fresh, total))
}

fn with_place(mut hit: Json, number: u64) -> Json {
    let time = hit["sort"][0].take();
    hit["sort"] = json!([time, number]);
    hit
}
