//! All that a search of a cluster finds, page by page: as a file, and as kinds of messages.

use super::{Remote, escaped, rewrite_search, time_of};
use crate::es::api::{Answer, Arguments, Body, answer};
use crate::es::export::{AHEAD, PAGE, Shape, Wanted};
use crate::es::{EsError, patterns};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::Method;
use http_body_util::channel::{Channel, Sender};
use serde_json::{Value as Json, json};
use std::io;
use std::time::Instant;
use store::Patterns;

/// Events whose messages are looked at; of more, these are the newest. Each comes over the network.
const EVENTS_MAX: u64 = 20_000;
/// For how long the cluster keeps the place between two pages.
const KEEP: &str = "1m";

/// A search that is read page by page: a scroll, which Elasticsearch and OpenSearch both have.
struct Pages {
    remote: Remote,
    /// Empty before the first page.
    scroll: String,
    index: String,
    search: Json,
}

impl Pages {
    /// The whole answer with the next page; nothing behind the last one.
    async fn next(&mut self) -> Result<Option<Json>, EsError> {
        let mut found = if self.scroll.is_empty() {
            let path = format!("/{}/_search?scroll={KEEP}", escaped(&self.index));
            self.remote.ask(Method::POST, path, &self.search).await?
        } else {
            let next = json!({ "scroll": KEEP, "scroll_id": self.scroll });
            self.remote.ask(Method::POST, "/_search/scroll".to_owned(), &next).await?
        };
        if let Json::String(scroll) = found["_scroll_id"].take() {
            self.scroll = scroll;
        }
        let is_over = found["hits"]["hits"].as_array().is_none_or(Vec::is_empty);
        Ok((!is_over).then_some(found))
    }

    /// Lets the cluster forget the place; it would do so by itself soon.
    async fn end(self) {
        if !self.scroll.is_empty() {
            let body = json!({ "scroll_id": [self.scroll] });
            let _ = self.remote.ask(Method::DELETE, "/_search/scroll".to_owned(), &body).await;
        }
    }
}

pub(super) async fn export(State(remote): State<Remote>, arguments: Arguments, body: Body) -> Answer {
    let mut json = body.json()?;
    let wanted = Wanted::read(&arguments, &json)?;
    let context = remote.context(&wanted.index).await?;
    rewrite_search(&mut json, &context)?;
    let order = if wanted.descending { "desc" } else { "asc" };
    json["sort"] = json!([{ "@timestamp": { "order": order, "unmapped_type": "date" } }]);
    json["size"] = wanted.limit.clamp(1, PAGE).into();
    let mut pages = Pages { remote, scroll: String::new(), index: wanted.index.clone(), search: json };
    // What the cluster refuses is told before the answer begins.
    let first = pages.next().await?;
    let (sender, channel) = Channel::<Bytes, io::Error>::new(AHEAD);
    tokio::spawn(send(pages, first, wanted.shape.clone(), wanted.limit, sender));
    Ok(wanted.answer(channel))
}

/// Ends when the client is gone. An error breaks the answer off, so that nobody takes a part for the whole.
async fn send(
    mut pages: Pages,
    first: Option<Json>,
    shape: Shape,
    limit: usize,
    mut sender: Sender<Bytes, io::Error>,
) {
    let (mut left, mut page) = (limit, first);
    let mut text = shape.head().into_bytes();
    while let Some(found) = page.filter(|_| left > 0) {
        let hits = found["hits"]["hits"].as_array().map_or(&[][..], Vec::as_slice);
        for hit in hits.iter().take(left) {
            shape.write(hit["_source"].to_string().into_bytes(), &mut text);
        }
        left -= hits.len().min(left);
        if sender.send_data(Bytes::from(std::mem::take(&mut text))).await.is_err() {
            return pages.end().await;
        }
        page = match pages.next().await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(error = error.reason, "an export broke off");
                sender.abort(io::Error::other(error.reason));
                return pages.end().await;
            }
        };
    }
    if !text.is_empty() {
        // Whoever is gone does not miss it.
        let _ = sender.send_data(Bytes::from(text)).await;
    }
    pages.end().await;
}

pub(super) async fn patterns(State(remote): State<Remote>, arguments: Arguments, body: Body) -> Answer {
    let begun = Instant::now();
    let mut json = body.json()?;
    let size = patterns::read_size(&arguments, &json)?;
    let index = arguments.get("index").unwrap_or("logs-*").to_owned();
    let context = remote.context(&index).await?;
    rewrite_search(&mut json, &context)?;
    json["sort"] = json!([{ "@timestamp": { "order": "desc", "unmapped_type": "date" } }]);
    json["size"] = patterns::PAGE.into();
    json["track_total_hits"] = true.into();
    json["_source"] = json!(["message"]);
    json["aggs"] =
        json!({ "from": { "min": { "field": "@timestamp" } }, "to": { "max": { "field": "@timestamp" } } });
    let mut pages = Pages { remote, scroll: String::new(), index, search: json };
    let first = pages.next().await?;
    let side = |name: &str| first.as_ref().and_then(|found| found["aggregations"][name]["value"].as_f64());
    let ns = |ms: f64| (ms as i64).saturating_mul(patterns::NS_PER_MS);
    let (from, to) = (side("from").map_or(0, ns), side("to").map_or(0, |ms| ns(ms + 1.0)));
    let total = first.as_ref().and_then(|found| found["hits"]["total"]["value"].as_u64()).unwrap_or(0);
    let mut found = Patterns::new(from, to, patterns::BARS);
    let (mut looked_at, mut page) = (0_u64, first);
    while let Some(answer) = page {
        for hit in answer["hits"]["hits"].as_array().map_or(&[][..], Vec::as_slice) {
            let time = time_of(hit).unwrap_or(0).saturating_mul(patterns::NS_PER_MS);
            found.add(hit["_source"]["message"].as_str(), time);
            looked_at += 1;
        }
        page = if looked_at < EVENTS_MAX { pages.next().await? } else { None };
    }
    pages.end().await;
    let shown = patterns::shown(found, size, looked_at, total.max(looked_at), begun);
    Ok(answer(shown, &arguments))
}
