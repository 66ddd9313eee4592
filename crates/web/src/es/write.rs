//! `_bulk`, `_doc`, `_create`: documents come in, and are read by their ids.

use super::api::{Answer, Api, Arguments, Body, answer, shards};
use super::search::source_rule;
use super::{EsError, IndexPath, part};
use crate::server::{IngestDoc, IngestError};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use store::{Query, Search, Store};
use wire::bulk::{self, Done, Item, Kind, Refusal, Response as BulkResponse, Target};

const ARGUMENTS: [&str; 12] = [
    "refresh",
    "routing",
    "timeout",
    "wait_for_active_shards",
    "op_type",
    "require_alias",
    "pipeline",
    "_source",
    "_source_includes",
    "_source_excludes",
    "type",
    "include_type_name",
];

/// What is to be done, decided before anything is appended.
struct Decided {
    kind: Kind,
    index: String,
    id: Option<String>,
    doc: Result<IngestDoc, EsError>,
    result: &'static str,
}

pub(crate) async fn bulk(
    State(api): State<Api>,
    path: IndexPath,
    arguments: Arguments,
    body: Body,
) -> Answer {
    let begun = Instant::now();
    arguments.only(&ARGUMENTS)?;
    refuse_pipeline(arguments.get("pipeline"))?;
    let index = part(&path, "index");
    let bytes = body.0.clone();
    let decided = api.with_store(move |store| decide_all(store, &index, &bytes)).await?;
    let docs: Vec<IngestDoc> = decided.iter().filter_map(|item| item.doc.as_ref().ok().cloned()).collect();
    let first = if docs.is_empty() { 0 } else { append(&api, docs, &arguments).await? };
    let mut sequence = first;
    let items = decided.into_iter().map(|item| {
        let (status, outcome) = match item.doc {
            Ok(_) => {
                sequence += 1;
                (status_of(item.result), Ok(Done { result: item.result.to_owned(), sequence: sequence - 1 }))
            }
            Err(error) => (error.status, Err(Refusal { kind: error.kind.to_owned(), reason: error.reason })),
        };
        Item { kind: item.kind, index: item.index, id: item.id, status, outcome }
    });
    let items = items.collect();
    // The documents are copies: their memory counts until they are appended.
    drop(body);
    let response = BulkResponse { took_ms: begun.elapsed().as_millis() as u64, items };
    Ok(answer(response.to_json(), &arguments))
}

fn status_of(result: &str) -> u16 {
    match result {
        "created" => 201,
        "not_found" => 404,
        _ => 200,
    }
}

fn refuse_pipeline(name: Option<&str>) -> Result<(), EsError> {
    match name {
        None | Some("_none" | "") => Ok(()),
        Some(name) => Err(EsError::argument(format!(
            "pipeline with id [{name}] does not exist; events are changed by the filters of the plan"
        ))),
    }
}

fn decide_all(store: &Store, index: &str, body: &[u8]) -> Result<Vec<Decided>, EsError> {
    let actions = bulk::decode(body).map_err(|error| EsError::argument(error.to_string()))?;
    if actions.is_empty() {
        return Err(EsError::new(400, "parse_exception", "request body is required"));
    }
    let mut known = Known::default();
    for action in &actions {
        if let (Kind::Create | Kind::Delete, Some(id)) = (action.kind, &action.target.id) {
            known.ask(action.target.index.as_deref().unwrap_or(index), id);
        }
    }
    known.look(store);
    let decided = actions.into_iter().map(|action| {
        let Target { index: own, id, .. } = action.target.clone();
        let name = own.unwrap_or_else(|| index.to_owned());
        decide(store, action.kind, name, id, &action.target, action.source, &mut known)
    });
    Ok(decided.collect())
}

/// The ids that are there already, as far as can be seen.
#[derive(Default)]
struct Known {
    asked: Vec<(String, String)>,
    found: HashSet<(String, String)>,
}

impl Known {
    fn ask(&mut self, index: &str, id: &str) {
        self.asked.push((index.to_owned(), id.to_owned()));
    }

    /// One search for each index, not one for each id.
    fn look(&mut self, store: &Store) {
        let asked = std::mem::take(&mut self.asked);
        let names: HashSet<String> = asked.iter().map(|(index, _)| index.clone()).collect();
        for name in names {
            let ids: Vec<String> =
                asked.iter().filter(|(index, _)| *index == name).map(|(_, id)| id.clone()).collect();
            let size = ids.len() + 16;
            let search = Search { indices: name.clone(), query: Query::Ids(ids), size, ..Search::default() };
            // An index that is not there yet holds nothing.
            let hits = store.search(&search).map(|hits| hits.hits).unwrap_or_default();
            self.found.extend(hits.into_iter().map(|hit| (name.clone(), hit.id)));
        }
    }
}

fn decide(
    store: &Store,
    kind: Kind,
    index: String,
    id: Option<String>,
    target: &Target,
    source: Option<&[u8]>,
    known: &mut Known,
) -> Decided {
    let found = id.as_ref().is_some_and(|id| known.found.contains(&(index.clone(), id.clone())));
    let doc = check(store, kind, &index, id.clone(), target, source, found);
    let id = doc.as_ref().map_or(id, |doc| Some(doc.id.clone()));
    if let (Ok(doc), Some(id)) = (&doc, &id) {
        let key = (index.clone(), id.clone());
        if doc.source.is_some() {
            known.found.insert(key)
        } else {
            known.found.remove(&key)
        };
    }
    let result = match (kind, found) {
        (Kind::Delete, true) => "deleted",
        (Kind::Delete, false) => "not_found",
        (_, true) => "updated",
        (_, false) => "created",
    };
    Decided { kind, index, id, doc, result }
}

/// Decides about a document before it goes to the queue.
fn check(
    store: &Store,
    kind: Kind,
    index: &str,
    id: Option<String>,
    target: &Target,
    source: Option<&[u8]>,
    found: bool,
) -> Result<IngestDoc, EsError> {
    if index.is_empty() {
        return Err(EsError::argument("explicit index in bulk is required"));
    }
    if kind == Kind::Update {
        return Err(EsError::argument(
            "[update] is not supported; there are [index], [create] and [delete]: index the whole document under its id",
        ));
    }
    refuse_pipeline(target.pipeline.as_deref())?;
    if target.require_alias {
        return Err(EsError::no_index(index));
    }
    if target.versioned {
        return Err(EsError::argument(
            "[version], [if_seq_no] and [if_primary_term] are not supported; [create] refuses an id that is there",
        ));
    }
    match &id {
        Some(id) if id.is_empty() || id.len() > 255 => {
            return Err(EsError::argument(format!(
                "id [{}] must have between 1 and 255 bytes, but has {}",
                id.chars().take(40).collect::<String>(),
                id.len()
            )));
        }
        None if kind == Kind::Delete => {
            return Err(EsError::argument("an id must be provided to delete a document"));
        }
        _ => {}
    }
    if kind == Kind::Create
        && let (true, Some(id)) = (found, &id)
    {
        return Err(EsError::new(
            409,
            "version_conflict_engine_exception",
            format!("[{id}]: version conflict, document already exists (current version [1])"),
        ));
    }
    let source = match source {
        None => None,
        Some(source) => {
            store.check(index, source)?;
            // A line break within JSON is only ever a blank.
            Some(source.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect())
        }
    };
    let replaces = id.is_some();
    Ok(IngestDoc { index: index.to_owned(), id: id.unwrap_or_else(fresh_id), source, replaces })
}

/// An id that nobody had before, as Elasticsearch makes them: of the clock, a counter and
/// chance, 20 characters.
pub(crate) fn fresh_id() -> String {
    static CHANCE: LazyLock<u64> =
        LazyLock::new(|| std::collections::hash_map::RandomState::new().build_hasher().finish());
    static COUNTER: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(*CHANCE as u32));
    let count = COUNTER.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let ms = (super::dates::now() / 1_000_000).to_be_bytes();
    let chance = CHANCE.to_be_bytes();
    let bytes = [&ms[2..8], &count[1..4], &chance[..6]].concat();
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

async fn append(api: &Api, docs: Vec<IngestDoc>, arguments: &Arguments) -> Result<u64, EsError> {
    let none = || {
        EsError::new(
            503,
            "unavailable_shards_exception",
            "this pond has no output \"store\", so nothing can be stored; add one to the plan",
        )
    };
    let ingest = api.ingest.as_ref().ok_or_else(none)?;
    let first = ingest.append(docs).await.map_err(|error| match error {
        IngestError::Busy(reason) => EsError::new(429, "es_rejected_execution_exception", reason),
        IngestError::Unavailable(reason) => EsError::new(503, "unavailable_shards_exception", reason),
    })?;
    // Without a value the argument means `true`, as with Elasticsearch.
    if arguments.flag("refresh") {
        ingest.settle().await;
        api.with_store(|store| Ok(store.refresh()?)).await?;
    }
    Ok(first)
}

async fn one(api: Api, kind: Kind, path: IndexPath, arguments: Arguments, body: Option<Body>) -> Answer {
    arguments.only(&ARGUMENTS)?;
    refuse_pipeline(arguments.get("pipeline"))?;
    let index = part(&path, "index");
    let id = Some(part(&path, "id")).filter(|id| !id.is_empty());
    let decided = api
        .with_store(move |store| {
            let mut known = Known::default();
            if let Some(id) = &id {
                known.ask(&index, id);
                known.look(store);
            }
            let source = body.as_ref().map(|body| &body.0[..]);
            Ok(decide(store, kind, index, id, &Target::default(), source, &mut known))
        })
        .await?;
    let doc = decided.doc?;
    let sequence = append(&api, vec![doc], &arguments).await?;
    let status = status_of(decided.result);
    let done = Done { result: decided.result.to_owned(), sequence };
    let item = Item { kind, index: decided.index, id: decided.id, status, outcome: Ok(done) };
    let mut body = item.to_json();
    if let Some(object) = body.as_object_mut() {
        object.shift_remove("status");
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    Ok((status, answer(body, &arguments)).into_response())
}

pub(crate) async fn put(State(api): State<Api>, path: IndexPath, arguments: Arguments, body: Body) -> Answer {
    let kind = match arguments.get("op_type") {
        None | Some("index") => Kind::Index,
        Some("create") => Kind::Create,
        Some(other) => {
            return Err(EsError::argument(format!("opType must be 'create' or 'index', found: [{other}]")));
        }
    };
    one(api, kind, path, arguments, Some(body)).await
}

pub(crate) async fn create(
    State(api): State<Api>,
    path: IndexPath,
    arguments: Arguments,
    body: Body,
) -> Answer {
    one(api, Kind::Create, path, arguments, Some(body)).await
}

pub(crate) async fn delete(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    one(api, Kind::Delete, path, arguments, None).await
}

pub(crate) async fn update() -> EsError {
    EsError::argument(
        "[_update] is not supported; there are _doc, _create and _bulk: index the whole document under its id",
    )
}

const GET_ARGUMENTS: [&str; 9] = [
    "_source",
    "_source_includes",
    "_source_excludes",
    "realtime",
    "refresh",
    "routing",
    "preference",
    "stored_fields",
    "version",
];

async fn read(api: &Api, path: &IndexPath, arguments: &Arguments) -> Result<Option<(u64, Vec<u8>)>, EsError> {
    arguments.only(&GET_ARGUMENTS)?;
    let (index, id) = (part(path, "index"), part(path, "id"));
    // What was written is found by its id at once, as with Elasticsearch.
    if arguments.flag_or("realtime", true) || arguments.flag("refresh") {
        if let Some(ingest) = &api.ingest {
            ingest.settle().await;
        }
        api.with_store(|store| Ok(store.refresh()?)).await?;
    }
    api.with_store(move |store| Ok(store.get(&index, &id)?)).await
}

pub(crate) async fn get(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    let found = read(&api, &path, &arguments).await?;
    let mut body = json!({ "_index": part(&path, "index"), "_type": "_doc", "_id": part(&path, "id"), "found": found.is_some() });
    let Some((sequence, source)) = found else {
        return Ok((StatusCode::NOT_FOUND, answer(body, &arguments)).into_response());
    };
    body = json!({
        "_index": body["_index"], "_type": "_doc", "_id": body["_id"], "_version": 1, "_seq_no": sequence,
        "_primary_term": 1, "found": true,
    });
    if let Some(source) = source_rule(&arguments, &json!({}))?.apply(source) {
        body["_source"] = serde_json::from_str(source.get()).unwrap_or(Value::Null);
    }
    Ok(answer(body, &arguments))
}

pub(crate) async fn get_source(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    let found = read(&api, &path, &arguments).await?;
    let source = found.and_then(|(_, source)| source_rule(&arguments, &json!({})).ok()?.apply(source));
    let Some(source) = source else {
        return Err(EsError::new(
            404,
            "resource_not_found_exception",
            format!("Document not found [{}]/[_doc]/[{}]", part(&path, "index"), part(&path, "id")),
        ));
    };
    let source: Value = serde_json::from_str(source.get()).unwrap_or(Value::Null);
    let response: Response = answer(source, &arguments);
    Ok(response)
}

/// The part of answers to requests about whole indices.
pub(crate) fn all_shards(count: usize) -> Value {
    json!({ "_shards": shards(count) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_differ() {
        let ids: HashSet<String> = (0..1_000).map(|_| fresh_id()).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| id.len() == 20));
    }
}
