//! What there is of Elasticsearch and not here, each with what to do in its place; and routes
//! that clients ask as a matter of form.

use super::api::{Answer, Api, Arguments, answer, resolve};
use super::{EsError, IndexPath, indices, part};
use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde_json::{Map, Value, json};

/// The routes that are refused, and why.
const REFUSED: [(&str, &str); 26] = [
    ("_reindex", "a plan with the output \"store\" can index events anew"),
    ("_update_by_query", "_update and _bulk change documents by their ids"),
    ("_analyze", "words are runs of letters and digits in lower case"),
    ("_async_search", "_search answers within 30 seconds"),
    ("_ilm", "the store's options of retention remove old indices"),
    ("_slm", "there are no snapshots"),
    ("_snapshot", "there are no snapshots"),
    ("_security", "users stand in the options of the API"),
    ("_xpack", "there is no x-pack"),
    ("_sql", "_search answers queries"),
    ("_eql", "_search answers queries"),
    ("_ml", "there is no machine learning"),
    ("_watcher", "there are no watches"),
    ("_transform", "there are no transforms"),
    ("_rollup", "there are no rollups"),
    ("_ccr", "there is one node"),
    ("_scripts", "there are no scripts"),
    ("_render", "there are no search templates"),
    ("_rank_eval", "there is no evaluation of ranks"),
    ("_explain", "scores are not explained"),
    ("_termvectors", "there are no term vectors"),
    ("_close", "every index can be searched"),
    ("_open", "every index can be searched"),
    ("_rollover", "an index of a plan has its date in its name"),
    ("_shrink", "an index is one shard"),
    ("_split", "an index is one shard"),
];

/// The error of a route that there is not: why, where that is known.
pub(crate) fn reason(path: &str) -> Option<EsError> {
    let word = path.split('/').find(|part| part.starts_with('_'))?;
    let (_, why) = REFUSED.iter().find(|(name, _)| *name == word)?;
    Some(EsError::argument(format!("[{word}] is not supported: {why}")))
}

pub(super) fn routes(api: Api) -> Router {
    Router::new()
        .route("/_cluster/settings", get(cluster_settings).put(no_settings))
        .route("/_cluster/state", get(cluster_state))
        .route("/_cluster/state/{part}", get(cluster_state))
        .route("/_nodes/stats", get(node_stats))
        .route("/_nodes/stats/{more}", get(node_stats))
        .route("/_nodes/{part}/stats", get(node_stats))
        .route("/_nodes/{part}/stats/{more}", get(node_stats))
        .route("/_tasks", get(tasks))
        .route("/_license", get(license))
        .route("/_ingest/pipeline", get(pipelines))
        .route("/_ingest/pipeline/{name}", get(pipelines).put(no_pipeline).delete(pipelines))
        .route("/_stats", get(stats))
        .route("/_stats/{part}", get(stats))
        .route("/{index}/_stats", get(stats))
        .route("/{index}/_stats/{part}", get(stats))
        .route("/_forcemerge", any(force_merge))
        .route("/{index}/_forcemerge", any(force_merge))
        .route("/_resolve/index/{index}", get(resolve_index))
        .with_state(api)
}

async fn cluster_settings(arguments: Arguments) -> Answer {
    Ok(answer(json!({ "persistent": {}, "transient": {} }), &arguments))
}

async fn no_settings() -> EsError {
    EsError::argument("the cluster has no settings that can be changed; the plan has options")
}

async fn cluster_state(arguments: Arguments) -> Answer {
    let state = json!({
        "cluster_name": "logpond", "cluster_uuid": "logpond", "version": 1, "state_uuid": "logpond",
        "master_node": "logpond",
    });
    Ok(answer(state, &arguments))
}

async fn node_stats(State(api): State<Api>, arguments: Arguments) -> Answer {
    let infos = api.with_store(|store| Ok(store.list(""))).await?;
    let (docs, bytes) =
        infos.iter().fold((0, 0), |(docs, bytes), info| (docs + info.docs, bytes + info.bytes));
    let node = json!({
        "name": "logpond", "host": "127.0.0.1", "ip": "127.0.0.1", "roles": ["data", "ingest", "master"],
        "indices": { "docs": { "count": docs, "deleted": 0 }, "store": { "size_in_bytes": bytes } },
    });
    let body = json!({
        "_nodes": { "total": 1, "successful": 1, "failed": 0 }, "cluster_name": "logpond",
        "nodes": { "logpond": node },
    });
    Ok(answer(body, &arguments))
}

async fn tasks(arguments: Arguments) -> Answer {
    Ok(answer(json!({ "nodes": {} }), &arguments))
}

/// Beats ask for it before they write.
async fn license(arguments: Arguments) -> Answer {
    let license = json!({
        "status": "active", "uid": "logpond", "type": "basic", "issue_date": "2021-01-13T00:00:00.000Z",
        "issue_date_in_millis": 1_610_496_000_000_u64, "max_nodes": 1000, "issued_to": "logpond",
        "issuer": "logpond", "start_date_in_millis": -1,
    });
    Ok(answer(json!({ "license": license }), &arguments))
}

async fn pipelines(path: IndexPath, arguments: Arguments) -> Response {
    let has_name = !part(&path, "name").trim_matches('*').is_empty();
    let status = if has_name { StatusCode::NOT_FOUND } else { StatusCode::OK };
    (status, answer(json!({}), &arguments)).into_response()
}

async fn no_pipeline() -> EsError {
    EsError::argument("ingest pipelines are not supported; events are changed by the filters of the plan")
}

async fn stats(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    let index = part(&path, "index");
    let asked = arguments.clone();
    let infos = api.with_store(move |store| Ok(store.list(&resolve(store, &index, &asked)?))).await?;
    let of = |docs: u64, bytes: u64| {
        let numbers = json!({ "docs": { "count": docs, "deleted": 0 }, "store": { "size_in_bytes": bytes } });
        json!({ "primaries": numbers, "total": numbers })
    };
    let all = of(infos.iter().map(|info| info.docs).sum(), infos.iter().map(|info| info.bytes).sum());
    let shards = super::api::shards(infos.len());
    let own = infos.into_iter().map(|info| {
        let mut one = of(info.docs, info.bytes);
        one["uuid"] = info.name.as_str().into();
        (info.name, one)
    });
    let own: Map<String, Value> = own.collect();
    Ok(answer(json!({ "_shards": shards, "_all": all, "indices": own }), &arguments))
}

/// Segments are merged as they come; asking for it does no harm.
async fn force_merge(state: State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    indices::flush(state, path, arguments).await
}

async fn resolve_index(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    let pattern = part(&path, "index");
    let found = api.with_store(move |store| {
        let catalog = store.catalog();
        let own = store.list(&pattern).into_iter().filter(|info| !catalog.streams.contains_key(&info.name));
        let own = own.map(|info| {
            let aliases: Vec<String> = super::catalog::aliases_of(&catalog, &info.name, "")
                .into_iter()
                .map(|(name, _)| name)
                .collect();
            let mut one = json!({ "name": info.name, "attributes": ["open"] });
            if !aliases.is_empty() {
                one["aliases"] = aliases.into();
            }
            one
        });
        let own: Vec<Value> = own.collect();
        let means = |name: &str| pattern.split(',').any(|pattern| super::context::glob(pattern, name));
        let aliases = catalog.aliases.iter().filter(|(name, _)| means(name));
        let aliases: Vec<Value> = aliases
            .map(|(name, own)| json!({ "name": name, "indices": own.keys().collect::<Vec<_>>() }))
            .collect();
        let streams = catalog.streams.keys().filter(|name| means(name));
        let streams: Vec<Value> = streams
            .map(|name| json!({ "name": name, "backing_indices": [name], "timestamp_field": "@timestamp" }))
            .collect();
        Ok(json!({ "indices": own, "aliases": aliases, "data_streams": streams }))
    });
    Ok(answer(found.await?, &arguments))
}

/// A route that there is not.
pub(crate) async fn unknown(method: Method, uri: Uri) -> EsError {
    let path = uri.path();
    if let Some(error) = reason(path) {
        return error;
    }
    let word = path.split('/').find(|part| part.starts_with('_')).unwrap_or(path);
    let mut error = EsError::unknown(&format!("{method} {path}: the route"), word, &super::ROUTES);
    error.kind = "illegal_argument_exception";
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_routes_say_why() {
        for (path, part) in
            [("/a/_update_by_query", "_bulk"), ("/_ilm/policy/x", "retention"), ("/_analyze", "words")]
        {
            let error = reason(path).unwrap();
            assert!(error.reason.contains(part) && error.status == 400, "{path}: {}", error.reason);
        }
        assert!(reason("/_search").is_none());
        assert!(reason("/").is_none());
    }
}
