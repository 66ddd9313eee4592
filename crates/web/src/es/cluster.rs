//! What a client asks about the cluster, which is this machine.

use super::api::{Answer, Api, Arguments, answer};
use super::{IndexPath, part};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Value, json};

/// The version of Elasticsearch whose API this is.
pub(super) const VERSION: &str = "7.10.2";

/// Whether it is a browser that asks.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accepts.is_some_and(|accepts| accepts.contains("text/html"))
}

/// The banner; a browser gets the page.
pub(crate) async fn root(headers: HeaderMap, arguments: Arguments) -> Response {
    if wants_page(&headers) {
        return Redirect::to("/_ui/").into_response();
    }
    let version = json!({
        "number": VERSION, "build_flavor": "default", "build_type": "tar", "build_hash": "logpond",
        "build_date": "2021-01-13T00:42:12.435326Z", "build_snapshot": false, "lucene_version": "8.7.0",
        "minimum_wire_compatibility_version": "6.8.0", "minimum_index_compatibility_version": "6.0.0-beta1",
    });
    let body = json!({
        "name": "logpond", "cluster_name": "logpond", "cluster_uuid": "logpond", "version": version,
        "tagline": "You Know, for Search",
    });
    answer(body, &arguments)
}

async fn totals(api: &Api) -> Result<(usize, u64, u64), super::EsError> {
    api.with_store(|store| {
        let infos = store.list("");
        Ok((infos.len(), infos.iter().map(|info| info.docs).sum(), infos.iter().map(|info| info.bytes).sum()))
    })
    .await
}

pub(crate) async fn health(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    let index = part(&path, "index");
    let names = api.with_store(move |store| Ok(store.list(&index).into_iter().map(|info| info.name)));
    let names: Vec<String> = names.await?.collect();
    let shards = names.len();
    let mut body = json!({
        "cluster_name": "logpond", "status": "green", "timed_out": false, "number_of_nodes": 1,
        "number_of_data_nodes": 1, "active_primary_shards": shards, "active_shards": shards, "relocating_shards": 0,
        "initializing_shards": 0, "unassigned_shards": 0, "delayed_unassigned_shards": 0,
        "number_of_pending_tasks": 0, "number_of_in_flight_fetch": 0, "task_max_waiting_in_queue_millis": 0,
        "active_shards_percent_as_number": 100.0,
    });
    if matches!(arguments.get("level"), Some("indices" | "shards")) {
        let own = names.into_iter().map(|name| {
            let health = json!({
                "status": "green", "number_of_shards": 1, "number_of_replicas": 0, "active_primary_shards": 1,
                "active_shards": 1, "relocating_shards": 0, "initializing_shards": 0, "unassigned_shards": 0,
            });
            (name, health)
        });
        body["indices"] = Value::Object(own.collect());
    }
    Ok(answer(body, &arguments))
}

pub(crate) async fn stats(State(api): State<Api>, arguments: Arguments) -> Answer {
    let (indices, docs, bytes) = totals(&api).await?;
    let body = json!({
        "_nodes": { "total": 1, "successful": 1, "failed": 0 }, "cluster_name": "logpond", "cluster_uuid": "logpond",
        "status": "green",
        "indices": { "count": indices, "shards": { "total": indices }, "docs": { "count": docs, "deleted": 0 }, "store": { "size_in_bytes": bytes } },
        "nodes": { "count": { "total": 1, "data": 1, "master": 1 }, "versions": [VERSION] },
    });
    Ok(answer(body, &arguments))
}

pub(crate) async fn nodes(arguments: Arguments) -> Response {
    let node: Value = json!({
        "name": "logpond", "host": "127.0.0.1", "ip": "127.0.0.1", "version": VERSION, "build_flavor": "oss",
        "roles": ["data", "ingest", "master"],
    });
    answer(
        json!({ "_nodes": { "total": 1, "successful": 1, "failed": 0 }, "cluster_name": "logpond", "nodes": { "logpond": node } }),
        &arguments,
    )
}
