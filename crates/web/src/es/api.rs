//! What all routes share: arguments, bodies, answers, and the way to the store.

use super::EsError;
pub(crate) use super::body::Body;
use super::body::BodyRoom;
use super::context::glob;
use super::held::Holds;
use super::source::filter_path;
use crate::server::Ingest;
use axum::extract::{FromRef, FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::sync::Semaphore;

/// Searches that run at once; others wait.
const SEARCHES_MAX: usize = 4;
/// No search is waited for longer.
pub(crate) const SEARCH_TIME_MAX: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) store: Arc<Store>,
    pub(crate) ingest: Option<Arc<dyn Ingest>>,
    searches: Arc<Semaphore>,
    pub(super) bodies: BodyRoom,
    /// Scrolls and points in time.
    pub(super) holds: Holds,
    /// Who changes a document by what it was holds this, so that no other does meanwhile.
    pub(super) updates: Arc<tokio::sync::Mutex<()>>,
}

pub(crate) type Answer = Result<Response, EsError>;

impl Api {
    pub(crate) fn new(store: Arc<Store>, ingest: Option<Arc<dyn Ingest>>) -> Self {
        Self {
            store,
            ingest,
            searches: Arc::new(Semaphore::new(SEARCHES_MAX)),
            bodies: BodyRoom::default(),
            holds: Holds::default(),
            updates: Arc::default(),
        }
    }

    /// Does something short with the store, on a thread where it may wait for the disk.
    pub(crate) async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, EsError> + Send + 'static,
    ) -> Result<T, EsError> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || work(&store)).await.unwrap_or_else(|_| Err(panicked()))
    }

    /// Searches: a few at once, and for a limited time. A search that takes longer goes on
    /// in its thread and keeps its place until it ends.
    pub(crate) async fn search<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&Store) -> Result<T, EsError> + Send + 'static,
    ) -> Result<T, EsError> {
        let limit = limit.min(SEARCH_TIME_MAX);
        let store = self.store.clone();
        let busy = || {
            EsError::new(
                429,
                "es_rejected_execution_exception",
                format!("more than {SEARCHES_MAX} searches at once; try again"),
            )
        };
        let permit = tokio::time::timeout(limit, self.searches.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| busy())?.map_err(|_| busy())?;
        let work = tokio::task::spawn_blocking(move || {
            let result = work(&store);
            drop(permit);
            result
        });
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result.unwrap_or_else(|_| Err(panicked())),
            Err(_) => Err(EsError::new(
                504,
                "timeout_exception",
                format!("the search took longer than {limit:?}; a shorter time range or fewer indices help"),
            )),
        }
    }
}

fn panicked() -> EsError {
    EsError::new(500, "internal_error", "the store panicked; the log says more")
}

impl IntoResponse for EsError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        (status, json_text(self.body().to_string())).into_response()
    }
}

impl FromRef<Api> for BodyRoom {
    fn from_ref(api: &Api) -> Self {
        api.bodies.clone()
    }
}

/// The arguments behind the `?`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments(pub(crate) HashMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Arguments {
    type Rejection = EsError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, EsError> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(arguments)| Arguments(arguments))
            .map_err(|error| EsError::argument(error.to_string()))
    }
}

/// Arguments that every route takes.
const COMMON: [&str; 7] =
    ["pretty", "human", "error_trace", "filter_path", "source", "source_content_type", "format"];

impl Arguments {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "false")
    }

    pub(crate) fn flag_or(&self, name: &str, default: bool) -> bool {
        self.get(name).map_or(default, |value| value != "false")
    }

    /// Refuses arguments that the route does not have.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), EsError> {
        let mut unknown: Vec<&String> = self
            .0
            .keys()
            .filter(|name| !known.contains(&name.as_str()) && !COMMON.contains(&name.as_str()))
            .collect();
        unknown.sort();
        let Some(name) = unknown.first() else { return Ok(()) };
        let mut error =
            EsError::unknown("request contains an unrecognized parameter: the parameter", name, known);
        error.kind = "illegal_argument_exception";
        error.word = None;
        Err(error)
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<usize>, EsError> {
        let read = |text: &str| {
            text.parse().map_err(|_| {
                EsError::argument(format!("Failed to parse int parameter [{name}] with value [{text}]"))
            })
        };
        self.get(name).map(read).transpose()
    }
}

pub(crate) fn read_json(body: &[u8]) -> Result<Value, EsError> {
    if body.trim_ascii().is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(body).map_err(|error| {
        let mut wrong = EsError::new(400, "json_parse_exception", format!("the body is not JSON: {error}"));
        wrong.place = Some((error.line(), error.column()));
        wrong
    })
}

fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=UTF-8")], text).into_response()
}

/// An answer as JSON, as the arguments say.
pub(crate) fn answer(value: Value, arguments: &Arguments) -> Response {
    let value = match arguments.get("filter_path") {
        Some(paths) => filter_path(value, paths),
        None => value,
    };
    json_text(if arguments.flag("pretty") { format!("{value:#}\n") } else { value.to_string() })
}

/// An answer whose parts are text already.
pub(crate) fn answer_raw(body: &impl serde::Serialize, arguments: &Arguments) -> Answer {
    let wrong = |error: serde_json::Error| EsError::new(500, "internal_error", error.to_string());
    if arguments.flag("pretty") || arguments.get("filter_path").is_some() {
        let text = serde_json::to_string(body).map_err(wrong)?;
        return Ok(answer(serde_json::from_str(&text).map_err(wrong)?, arguments));
    }
    Ok(json_text(serde_json::to_string(body).map_err(wrong)?))
}

pub(crate) fn shards(count: usize) -> Value {
    json!({ "total": count, "successful": count, "skipped": 0, "failed": 0 })
}

/// Which indices are asked, as the arguments say: names that are not there are refused, or
/// left out with `ignore_unavailable`. The result is never empty, which would mean all.
pub(crate) fn resolve(store: &Store, expression: &str, arguments: &Arguments) -> Result<String, EsError> {
    let patterns: Vec<&str> = expression.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let catalog = store.catalog();
    let mut kept: Vec<&str> = Vec::new();
    for name in &patterns {
        let is_pattern = name.contains('*') || *name == "_all" || name.starts_with('-');
        let aliases = catalog.aliases.iter().filter(|(alias, _)| glob(name, alias));
        let indices: Vec<&str> =
            aliases.flat_map(|(_, indices)| indices.keys().map(String::as_str)).collect();
        if !indices.is_empty() && !is_pattern {
            kept.extend(indices);
            continue;
        }
        if !is_pattern && store.list(name).is_empty() {
            if arguments.flag("ignore_unavailable") {
                continue;
            }
            return Err(EsError::no_index(name));
        }
        kept.push(name);
        kept.extend(indices);
    }
    let none = !patterns.is_empty() && kept.iter().all(|name| name.starts_with('-'));
    let expression = if none { NO_INDEX.to_owned() } else { kept.join(",") };
    if !arguments.flag_or("allow_no_indices", true) && store.list(&expression).is_empty() {
        return Err(EsError::no_index(if patterns.is_empty() { "_all" } else { patterns[0] }));
    }
    Ok(expression)
}

/// A list of patterns that means no index.
pub(crate) const NO_INDEX: &str = "-*";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let arguments = Arguments([("siez".to_owned(), "5".to_owned())].into());
        let error = arguments.only(&["size", "from"]).unwrap_err();
        assert!(error.reason.contains("did you mean [size]?"), "{}", error.reason);
        assert!(Arguments::default().only(&[]).is_ok());
    }

    #[test]
    fn bad_json_has_a_place() {
        assert_eq!(read_json(b"{\n\"a\": x}").unwrap_err().place, Some((2, 6)));
        assert!(read_json(&b"[".repeat(100_000)).is_err());
        assert_eq!(read_json(b" \n").unwrap(), json!({}));
    }
}
