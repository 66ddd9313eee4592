//! The page over a cluster of Elasticsearch or OpenSearch, in place of a store of our own.
//!
//! Only what the page asks is passed on, and nothing that changes the cluster: searches, counts
//! and fields of indices, and the documents of an index for saved searches. KQL and templates
//! are put into words that every such cluster knows since version 7.

mod files;
mod tail;

use super::api::{Answer, Body};
use super::body::BodyRoom;
use super::cluster::wants_page;
use super::context::Context;
use super::dsl::{self, write};
use super::{EsError, dates, indices};
use crate::server::{Boxed, Server, ServerError, ServerOptions};
use crate::{kql, page, server};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRef, Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{any, get, post};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use store::Mapping;

/// How long the fields of indices are taken as known.
const FIELDS_KEPT: Duration = Duration::from_secs(30);
/// Of how many indices, or patterns of such.
const FIELDS_MAX: usize = 64;
/// The index of saved searches, as the page names it and as the cluster does.
const SAVED: (&str, &str) = (".ui", ".logpond-ui");

/// A cluster that answers requests.
pub trait Cluster: Send + Sync {
    /// Sends a request with its body, JSON or nothing, and returns the status and the body of the
    /// answer; or why there is none, in words for whoever looks at the page.
    fn send(&self, method: Method, path: String, body: Bytes) -> Boxed<Result<(u16, Bytes), String>>;

    /// What the page says that it is over.
    fn name(&self) -> String;
}

#[derive(Clone)]
struct Remote {
    cluster: Arc<dyn Cluster>,
    fields: Arc<Mutex<HashMap<String, (Instant, Mapping)>>>,
    tails: Arc<Mutex<tail::Tails>>,
    bodies: BodyRoom,
}

impl FromRef<Remote> for BodyRoom {
    fn from_ref(remote: &Remote) -> Self {
        remote.bodies.clone()
    }
}

impl Server {
    /// Serves the page over a cluster; as [`start`](Self::start) it refuses an address that other
    /// machines reach, unless there are TLS and users.
    pub async fn start_over(options: &ServerOptions, cluster: Arc<dyn Cluster>) -> Result<Self, ServerError> {
        Self::listen(options, server::guarded(options, routes(cluster))).await
    }
}

fn routes(cluster: Arc<dyn Cluster>) -> Router {
    let name = cluster.name();
    let remote =
        Remote { cluster, fields: Arc::default(), tails: Arc::default(), bodies: BodyRoom::default() };
    Router::new()
        .route("/", get(root))
        .route("/_cat/indices", get(pass))
        .route("/{index}/_field_caps", get(pass))
        .route("/{index}/_search", post(search))
        .route("/{index}/_count", post(search))
        .route("/.ui/_doc/{id}", get(pass).put(pass).delete(pass))
        .route("/_logpond/tail", post(tail::tail))
        .route("/_logpond/patterns", post(files::patterns))
        .route("/_logpond/export", get(files::export))
        .route("/_logpond/{*part}", any(only_of_a_pond))
        .with_state(remote)
        .merge(page::routes(Some(name)))
        .fallback(not_passed_on)
        .method_not_allowed_fallback(not_passed_on)
        .layer(DefaultBodyLimit::max(super::BODY_MAX))
}

async fn only_of_a_pond(uri: Uri) -> EsError {
    let reason = format!("this page is over a cluster, which has no [{}]; a pond has", uri.path());
    EsError::new(404, "illegal_argument_exception", reason)
}

async fn not_passed_on(method: Method, uri: Uri) -> EsError {
    let reason = format!(
        "[{method} {}] is not passed on to the cluster: only what the page asks is; ask the cluster itself",
        uri.path()
    );
    EsError::new(405, "illegal_argument_exception", reason)
}

async fn root(State(remote): State<Remote>, headers: HeaderMap) -> Answer {
    if wants_page(&headers) {
        return Ok(Redirect::temporary("/_ui/").into_response());
    }
    remote.pass(Method::GET, "/".to_owned(), Bytes::new()).await
}

/// A request as it is.
async fn pass(State(remote): State<Remote>, method: Method, uri: Uri, body: Body) -> Answer {
    remote.pass(method, path_of(whole(&uri))?, body.0).await
}

/// A search or a count.
async fn search(State(remote): State<Remote>, Path(index): Path<String>, uri: Uri, body: Body) -> Answer {
    let mut json = body.json()?;
    let context = remote.context(&index).await?;
    rewrite_search(&mut json, &context)?;
    remote.pass(Method::POST, path_of(whole(&uri))?, json.to_string().into()).await
}

/// The path with what is behind the `?`.
fn whole(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |path| path.as_str())
}

/// Such a path as the cluster gets it.
fn path_of(whole: &str) -> Result<String, EsError> {
    let (first, rest) = whole[1..].split_at(whole[1..].find('/').unwrap_or(whole.len() - 1));
    if first == SAVED.0 {
        return Ok(format!("/{}{rest}", SAVED.1));
    }
    // Everything else that begins so is no index but something of the cluster's own.
    let first = first.split('?').next().unwrap_or_default();
    if first.starts_with('_') && !["_all", "_cat"].contains(&first) {
        return Err(EsError::argument(format!("[{first}] is no name of an index")));
    }
    Ok(whole.to_owned())
}

impl Remote {
    async fn pass(&self, method: Method, path: String, body: Bytes) -> Answer {
        let (status, body) = self.send(method, path, body).await?;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        Ok((status, [(header::CONTENT_TYPE, "application/json; charset=UTF-8")], body).into_response())
    }

    async fn send(&self, method: Method, path: String, body: Bytes) -> Result<(u16, Bytes), EsError> {
        self.cluster
            .send(method, path, body)
            .await
            .map_err(|reason| EsError::new(502, "node_disconnected_exception", reason))
    }

    /// The answer to what must be understood here; a refusal keeps its reason.
    async fn ask(&self, method: Method, path: String, body: &Json) -> Result<Json, EsError> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let (status, body) = self.send(method, path, body).await?;
        let answer: Json = serde_json::from_slice(&body).unwrap_or_default();
        if status < 300 {
            return Ok(answer);
        }
        let reason = answer["error"]["root_cause"][0]["reason"].as_str();
        let reason = reason.or_else(|| answer["error"]["reason"].as_str()).map(str::to_owned);
        let reason = reason.unwrap_or_else(|| String::from_utf8_lossy(&body).chars().take(300).collect());
        Err(EsError::new(
            status,
            "search_phase_execution_exception",
            format!("the cluster answers: {reason}"),
        ))
    }

    /// The fields of indices, which decide what a search means.
    async fn context(&self, index: &str) -> Result<Context, EsError> {
        let mut context = Context::at(dates::now());
        if let Some((since, fields)) = lock(&self.fields).get(index)
            && since.elapsed() < FIELDS_KEPT
        {
            context.fields = fields.clone();
            return Ok(context);
        }
        let path = path_of(&format!("/{}/_field_caps?fields=*", escaped(index)))?;
        // An index that is not there yet has no fields; the search itself says that it is not.
        let caps = match self.ask(Method::GET, path, &Json::Null).await {
            Err(error) if error.status == 404 => Json::Null,
            caps => caps?,
        };
        for (name, types) in caps["fields"].as_object().into_iter().flatten() {
            let first = types.as_object().and_then(|types| types.keys().next());
            if let Some(kind) = first.and_then(|kind| indices::kind_of(kind)) {
                context.fields.learn(name, kind);
            }
        }
        let mut kept = lock(&self.fields);
        if kept.len() >= FIELDS_MAX {
            kept.clear();
        }
        kept.insert(index.to_owned(), (Instant::now(), context.fields.clone()));
        Ok(context)
    }
}

/// The time of an event that was sorted by it, in milliseconds.
fn time_of(hit: &Json) -> Option<i64> {
    let time = &hit["sort"][0];
    let time = time.as_i64().or_else(|| time.as_str()?.parse().ok())?;
    // The type `date_nanos` sorts by nanoseconds; as milliseconds these would be in the year 33658.
    Some(if time > 1_000_000_000_000_000 { time / 1_000_000 } else { time })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of an index in a path: commas and stars stay.
fn escaped(index: &str) -> percent_encoding::PercentEncode<'_> {
    const RESERVED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b',');
    utf8_percent_encode(index, RESERVED)
}

/// Puts the questions of a search into words that the cluster knows.
fn rewrite_search(body: &mut Json, context: &Context) -> Result<(), EsError> {
    for name in ["query", "post_filter"] {
        if let Some(query) = body.get_mut(name) {
            rewrite(query, context)?;
        }
    }
    for name in ["aggs", "aggregations"] {
        for (_, agg) in body.get_mut(name).and_then(Json::as_object_mut).into_iter().flatten() {
            if let Some(filter) = agg.get_mut("filter") {
                rewrite(filter, context)?;
            }
            match agg.get_mut("filters").and_then(|filters| filters.get_mut("filters")) {
                Some(Json::Object(filters)) => {
                    filters.values_mut().try_for_each(|filter| rewrite(filter, context))?;
                }
                Some(Json::Array(filters)) => {
                    filters.iter_mut().try_for_each(|filter| rewrite(filter, context))?;
                }
                _ => {}
            }
            rewrite_search(agg, context)?;
        }
    }
    Ok(())
}

fn rewrite(query: &mut Json, context: &Context) -> Result<(), EsError> {
    let Some((kind, body)) = query.as_object_mut().and_then(|query| query.iter_mut().next()) else {
        return Ok(());
    };
    match kind.as_str() {
        "bool" => {
            for name in ["must", "filter", "should", "must_not"] {
                match body.get_mut(name) {
                    Some(Json::Array(list)) => list.iter_mut().try_for_each(|one| rewrite(one, context))?,
                    Some(one) => rewrite(one, context)?,
                    None => {}
                }
            }
        }
        "constant_score" => {
            if let Some(filter) = body.get_mut("filter") {
                rewrite(filter, context)?;
            }
        }
        "kql" => {
            let text = body["query"].as_str().unwrap_or_default().to_owned();
            *query = write::write(&kql::parse(&text, context)?, context);
        }
        "template" => *query = write::write(&dsl::query(query, context)?, context),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
