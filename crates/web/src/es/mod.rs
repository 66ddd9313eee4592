//! The part of Elasticsearch 7.10's API that shippers, curl and client libraries use.

pub mod aggs;
mod api;
mod body;
mod cat;
mod catalog;
mod cluster;
pub mod context;
pub mod dates;
pub mod dsl;
mod error;
mod export;
mod held;
mod highlight;
mod indices;
mod own;
mod patterns;
pub mod query_string;
mod refused;
pub(crate) mod remote;
mod search;
#[cfg(test)]
mod show;
pub mod simple_query;
pub mod sort;
pub mod source;
mod update;
mod write;

pub use error::EsError;

pub(crate) use api::{Answer, Arguments, answer, answer_raw, read_json};

use crate::server::{Ingest, Status};
use api::Api;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::routing::{get, head, post, put};
pub(crate) use refused::unknown;
use std::sync::Arc;
use store::Store;

/// As Elasticsearch's `http.max_content_length`.
pub(crate) const BODY_MAX: usize = 100 << 20;

/// All routes, without who may use them.
pub(crate) fn routes(store: Arc<Store>, ingest: Option<Arc<dyn Ingest>>, status: Arc<dyn Status>) -> Router {
    let pond = crate::pond::routes(status);
    let api = Api::new(store, ingest);
    let searches = Router::new()
        .route("/_search", get(search::search).post(search::search))
        .route("/{index}/_search", get(search::search).post(search::search))
        .route("/_msearch", get(search::msearch).post(search::msearch))
        .route("/{index}/_msearch", get(search::msearch).post(search::msearch))
        .route("/_count", get(search::count).post(search::count))
        .route("/{index}/_count", get(search::count).post(search::count))
        .route("/_search/scroll", get(search::scroll).post(search::scroll).delete(search::clear_scroll))
        .route("/_search/scroll/{id}", get(search::scroll).post(search::scroll).delete(search::clear_scroll))
        .route("/{index}/_pit", post(search::open_pit))
        .route("/_pit", axum::routing::delete(search::close_pit))
        .route("/_validate/query", get(search::validate).post(search::validate))
        .route("/{index}/_validate/query", get(search::validate).post(search::validate));
    let writes = Router::new()
        .route("/_bulk", post(write::bulk).put(write::bulk))
        .route("/{index}/_bulk", post(write::bulk).put(write::bulk))
        .route("/{index}/_doc", post(write::put))
        .route("/{index}/_doc/{id}", get(write::get).put(write::put).post(write::put).delete(write::delete))
        .route("/{index}/_source/{id}", get(write::get_source))
        .route("/{index}/_create/{id}", put(write::create).post(write::create))
        .route("/{index}/_update/{id}", post(write::update))
        .route("/_mget", get(write::mget).post(write::mget))
        .route("/{index}/_mget", get(write::mget).post(write::mget))
        .route("/{index}/_delete_by_query", post(write::delete_by_query));
    let indices = Router::new()
        .route(
            "/{index}",
            head(indices::exists).get(indices::describe).put(indices::create).delete(indices::delete),
        )
        .route("/_mapping", get(indices::mapping))
        .route("/_mappings", get(indices::mapping))
        .route(
            "/{index}/_mapping",
            get(indices::mapping).put(indices::put_mapping).post(indices::put_mapping),
        )
        .route("/{index}/_mappings", get(indices::mapping).put(indices::put_mapping))
        .route("/_mapping/field/{fields}", get(indices::field_mapping))
        .route("/{index}/_mapping/field/{fields}", get(indices::field_mapping))
        .route("/_settings", get(indices::settings))
        .route("/{index}/_settings", get(indices::settings).put(indices::put_settings))
        .route("/{index}/_settings/{name}", get(indices::settings))
        .route("/_alias", get(catalog::aliases))
        .route("/_alias/{name}", get(catalog::aliases))
        .route("/_aliases", get(catalog::aliases).post(catalog::update_aliases))
        .route("/{index}/_alias", get(catalog::aliases))
        .route(
            "/{index}/_alias/{name}",
            get(catalog::aliases)
                .put(catalog::put_alias)
                .post(catalog::put_alias)
                .delete(catalog::delete_alias),
        )
        .route("/_template", get(catalog::get_legacy))
        .route(
            "/_template/{name}",
            get(catalog::get_legacy)
                .put(catalog::put_legacy)
                .post(catalog::put_legacy)
                .delete(catalog::delete_legacy),
        )
        .route("/_index_template", get(catalog::get_template))
        .route(
            "/_index_template/{name}",
            get(catalog::get_template)
                .put(catalog::put_template)
                .post(catalog::put_template)
                .delete(catalog::delete_template),
        )
        .route("/_index_template/_simulate_index/{name}", post(catalog::simulate))
        .route("/_component_template", get(catalog::get_component))
        .route(
            "/_component_template/{name}",
            get(catalog::get_component)
                .put(catalog::put_component)
                .post(catalog::put_component)
                .delete(catalog::delete_component),
        )
        .route("/_data_stream", get(catalog::get_stream))
        .route(
            "/_data_stream/{name}",
            get(catalog::get_stream).put(catalog::put_stream).delete(catalog::delete_stream),
        )
        .route("/_field_caps", get(indices::field_caps).post(indices::field_caps))
        .route("/{index}/_field_caps", get(indices::field_caps).post(indices::field_caps))
        .route("/_refresh", get(indices::refresh).post(indices::refresh))
        .route("/{index}/_refresh", get(indices::refresh).post(indices::refresh))
        .route("/_flush", get(indices::flush).post(indices::flush))
        .route("/{index}/_flush", get(indices::flush).post(indices::flush));
    let cluster = Router::new()
        .route("/", get(cluster::root))
        .route("/_cat", get(cat::list))
        .route("/_cat/indices", get(cat::indices))
        .route("/_cat/indices/{index}", get(cat::indices))
        .route("/_cat/count", get(cat::count))
        .route("/_cat/count/{index}", get(cat::count))
        .route("/_cat/health", get(cat::health))
        .route("/_cat/nodes", get(cat::nodes))
        .route("/_cat/master", get(cat::master))
        .route("/_cat/aliases", get(cat::aliases))
        .route("/_cat/aliases/{name}", get(cat::aliases))
        .route("/_cat/templates", get(cat::templates))
        .route("/_cat/templates/{name}", get(cat::templates))
        .route("/_cat/shards", get(cat::shards))
        .route("/_cat/shards/{index}", get(cat::shards))
        .route("/_cat/plugins", get(cat::plugins))
        .route("/_cluster/health", get(cluster::health))
        .route("/_cluster/health/{index}", get(cluster::health))
        .route("/_cluster/stats", get(cluster::stats))
        .route("/_nodes", get(cluster::nodes))
        .route("/_nodes/{part}", get(cluster::nodes))
        .route("/_logpond/search", post(own::search).get(own::search))
        .route("/_logpond/tail", get(own::tail).post(own::tail))
        .route("/_logpond/patterns", post(patterns::patterns).get(patterns::patterns))
        .route("/_logpond/export", get(export::export));
    let asked = refused::routes(api.clone());
    searches
        .merge(writes)
        .merge(indices)
        .merge(cluster)
        .with_state(api)
        .merge(asked)
        .merge(pond)
        .merge(crate::page::routes(None))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
}

const ROUTES: [&str; 27] = [
    "_search",
    "_msearch",
    "_count",
    "_bulk",
    "_doc",
    "_create",
    "_source",
    "_mapping",
    "_field_caps",
    "_refresh",
    "_flush",
    "_cat",
    "_cluster/health",
    "_cluster/stats",
    "_nodes",
    "_update",
    "_mget",
    "_delete_by_query",
    "_pit",
    "_settings",
    "_alias",
    "_aliases",
    "_template",
    "_index_template",
    "_component_template",
    "_data_stream",
    "_validate",
];

pub(crate) async fn wrong_method(method: Method, uri: Uri) -> EsError {
    // Where an index may stand, a route that is refused looks like one.
    if let Some(error) = refused::reason(uri.path()) {
        return error;
    }
    EsError::new(
        405,
        "illegal_argument_exception",
        format!(
            "Incorrect HTTP method for uri [{}] and method [{method}]; the header \"allow\" names those that are",
            uri.path()
        ),
    )
}

/// Routes with and without an index share their handlers.
pub(crate) type IndexPath = Option<axum::extract::Path<std::collections::HashMap<String, String>>>;

/// A part of the path, or nothing.
pub(crate) fn part(path: &IndexPath, name: &str) -> String {
    path.as_ref().and_then(|path| path.get(name).cloned()).unwrap_or_default()
}
