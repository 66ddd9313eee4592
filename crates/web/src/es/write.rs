//! `_bulk`, `_doc`, `_create`, `_update`, `_mget`: documents come in, and are read by their ids.

use super::api::{Answer, Api, Arguments, Body, SEARCH_TIME_MAX, answer, resolve, shards};
use super::search::{context_of, source_rule};
use super::source::Rule;
use super::update::{Change, Changed};
use super::{EsError, IndexPath, part};
use crate::server::{IngestDoc, IngestError};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;
use store::{Catalog, Query, Search, Store};
use wire::bulk::{self, Done, Item, Kind, Refusal, Response as BulkResponse, Target};

const ARGUMENTS: [&str; 14] = [
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
    "retry_on_conflict",
    "lang",
];

/// What is to be done, decided before anything is appended.
struct Decided {
    kind: Kind,
    index: String,
    id: Option<String>,
    /// What is appended; nothing where an update changes nothing.
    doc: Result<Option<IngestDoc>, EsError>,
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
    // An update needs what is there, and that nobody else changes it meanwhile.
    let has_updates = bytes.windows(8).any(|part| part == b"\"update\"");
    let _alone = if has_updates { Some(api.updates.clone().lock_owned().await) } else { None };
    if has_updates {
        settle(&api).await?;
    }
    let needs_alias = arguments.flag("require_alias");
    let decided = api.with_store(move |store| decide_all(store, &index, &bytes, needs_alias)).await?;
    let docs: Vec<IngestDoc> =
        decided.iter().filter_map(|item| item.doc.as_ref().ok().cloned().flatten()).collect();
    let first = if docs.is_empty() { 0 } else { append(&api, docs, &arguments).await? };
    let mut sequence = first;
    let items = decided.into_iter().map(|item| {
        let (status, outcome) = match item.doc {
            Ok(None) => {
                let done = Done { result: item.result.to_owned(), sequence };
                (status_of(item.result), Ok(done))
            }
            Ok(Some(_)) => {
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

/// Waits until everything that was written before can be found.
async fn settle(api: &Api) -> Result<(), EsError> {
    if let Some(ingest) = &api.ingest {
        ingest.settle().await;
    }
    api.with_store(|store| Ok(store.refresh()?)).await
}

/// The index that takes what is written to a name.
fn write_index(catalog: &Catalog, name: &str) -> Result<String, EsError> {
    if !catalog.aliases.contains_key(name) {
        return Ok(name.to_owned());
    }
    catalog.write_index(name).map(str::to_owned).ok_or_else(|| {
        EsError::argument(format!(
            "no write index is defined for alias [{name}]. The write index may be explicitly disabled using is_write_index=false or the alias points to multiple indices without one being designated as a write index"
        ))
    })
}

fn decide_all(store: &Store, index: &str, body: &[u8], needs_alias: bool) -> Result<Vec<Decided>, EsError> {
    let actions = bulk::decode(body).map_err(|error| EsError::argument(error.to_string()))?;
    if actions.is_empty() {
        return Err(EsError::new(400, "parse_exception", "request body is required"));
    }
    let mut known = Known::new(store);
    known.keeps_sources = actions.iter().any(|action| action.kind == Kind::Update);
    for action in &actions {
        let name = action.target.index.as_deref().unwrap_or(index);
        if name.is_empty() {
            let reason = "Validation Failed: 1: index is missing;";
            return Err(EsError::new(400, "action_request_validation_exception", reason));
        }
        if let (Kind::Create | Kind::Delete, Some(id)) = (action.kind, &action.target.id) {
            known.ask(&write_index(&known.catalog, name).unwrap_or_default(), id);
        }
    }
    known.look(store);
    let decided = actions.into_iter().map(|action| {
        let Target { index: own, id, .. } = action.target.clone();
        let name = own.unwrap_or_else(|| index.to_owned());
        let mut target = action.target;
        target.require_alias |= needs_alias;
        decide(store, action.kind, name, id, &target, action.source, &mut known)
    });
    Ok(decided.collect())
}

/// The ids that are there already, as far as can be seen.
struct Known {
    asked: Vec<(String, String)>,
    found: HashSet<(String, String)>,
    /// The sources of documents of this request, for updates behind them.
    sources: HashMap<(String, String), Option<Vec<u8>>>,
    keeps_sources: bool,
    catalog: Arc<Catalog>,
}

impl Known {
    fn new(store: &Store) -> Self {
        let catalog = store.catalog();
        Self {
            asked: Vec::new(),
            found: HashSet::new(),
            sources: HashMap::new(),
            keeps_sources: false,
            catalog,
        }
    }

    /// The source of a document as it is, or will be before the next action.
    fn source(&self, store: &Store, index: &str, id: &str) -> Option<Vec<u8>> {
        match self.sources.get(&(index.to_owned(), id.to_owned())) {
            Some(source) => source.clone(),
            None => store.get(index, id).ok().flatten().map(|(_, source)| source),
        }
    }

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
    let own = if target.require_alias && !known.catalog.aliases.contains_key(&index) {
        let mut error = EsError::no_index(&index);
        error.reason.push_str(" and [require_alias] request flag is [true] and [index] is not an alias");
        Err(error)
    } else {
        write_index(&known.catalog, &index)
    };
    let index = match own {
        Ok(own) => own,
        Err(error) => return Decided { kind, index, id, doc: Err(error), result: "" },
    };
    if kind == Kind::Update {
        return decide_update(store, index, id, target, source, known);
    }
    let found = id.as_ref().is_some_and(|id| known.found.contains(&(index.clone(), id.clone())));
    let doc = check(store, kind, &index, id.clone(), target, source, found, &known.catalog);
    let id = doc.as_ref().map_or(id, |doc| Some(doc.id.clone()));
    if let (Ok(doc), Some(id)) = (&doc, &id) {
        let key = (index.clone(), id.clone());
        if known.keeps_sources {
            known.sources.insert(key.clone(), doc.source.clone());
        }
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
    Decided { kind, index, id, doc: doc.map(Some), result }
}

/// Decides about an update: it becomes the whole document.
fn decide_update(
    store: &Store,
    index: String,
    id: Option<String>,
    target: &Target,
    source: Option<&[u8]>,
    known: &mut Known,
) -> Decided {
    let kind = Kind::Update;
    let wrong = |index: String, id: Option<String>, error: EsError| Decided {
        kind,
        index,
        id,
        doc: Err(error),
        result: "",
    };
    let Some(own) = id.clone() else {
        return wrong(index, id, EsError::argument("an id must be provided to update a document"));
    };
    let change = match Change::read(source.unwrap_or_default()) {
        Ok(change) => change,
        Err(error) => return wrong(index, id, error),
    };
    let old = known.source(store, &index, &own);
    let (new, result) = match change.apply(old.as_deref()) {
        Some(Changed::Same) => return Decided { kind, index, id, doc: Ok(None), result: "noop" },
        Some(Changed::Created(new)) => (new, "created"),
        Some(Changed::Updated(new)) => (new, "updated"),
        None => {
            let reason = format!("[_doc][{own}]: document missing");
            let error = EsError::new(404, "document_missing_exception", reason);
            let error = EsError { index: Some(index.clone()), ..error };
            return wrong(index, id, error);
        }
    };
    match check(store, kind, &index, id.clone(), target, Some(&new), false, &known.catalog) {
        Err(error) => wrong(index, id, error),
        Ok(doc) => {
            known.sources.insert((index.clone(), own.clone()), Some(new));
            known.found.insert((index.clone(), own));
            Decided { kind, index, id, doc: Ok(Some(doc)), result }
        }
    }
}

/// Data streams take new documents only, each with its time.
fn check_stream(
    store: &Store,
    catalog: &Catalog,
    kind: Kind,
    index: &str,
    source: Option<&[u8]>,
) -> Result<(), EsError> {
    let is_known = catalog.streams.contains_key(index);
    let template = catalog.template_of(index).filter(|(_, template)| template.is_stream);
    let is_new = !is_known && template.is_some() && store.list(index).is_empty();
    if !is_known && !is_new {
        return Ok(());
    }
    if kind != Kind::Create {
        return Err(EsError::argument(
            "only write ops with an op_type of create are allowed in data streams",
        ));
    }
    let json: Value = serde_json::from_slice(source.unwrap_or_default()).unwrap_or(Value::Null);
    if json.get("@timestamp").is_none() {
        let reason = "data stream timestamp field [@timestamp] is missing";
        return Err(EsError::new(400, "mapper_parsing_exception", reason));
    }
    if let (true, Some((name, _))) = (is_new, template) {
        store.change_catalog(|catalog| {
            catalog.streams.insert(index.to_owned(), name.to_owned());
            Ok::<_, EsError>(())
        })?;
    }
    Ok(())
}

/// Decides about a document before it goes to the queue.
#[expect(clippy::too_many_arguments, reason = "all of them are what is known of one action")]
fn check(
    store: &Store,
    kind: Kind,
    index: &str,
    id: Option<String>,
    target: &Target,
    source: Option<&[u8]>,
    found: bool,
    catalog: &Catalog,
) -> Result<IngestDoc, EsError> {
    if index.is_empty() {
        return Err(EsError::argument("explicit index in bulk is required"));
    }
    refuse_pipeline(target.pipeline.as_deref())?;
    check_stream(store, catalog, kind, index, source)?;
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
    let empty = body.as_ref().is_some_and(|body| body.0.trim_ascii().is_empty());
    if empty {
        return Err(EsError::new(400, "parse_exception", "request body is required"));
    }
    let target = Target { require_alias: arguments.flag("require_alias"), ..Target::default() };
    // Without an id it is always new, also for a data stream.
    let kind = if id.is_none() && kind == Kind::Index { Kind::Create } else { kind };
    let decided = api
        .with_store(move |store| {
            let mut known = Known::new(store);
            if let Some(id) = &id {
                known.ask(&write_index(&known.catalog, &index)?, id);
                known.look(store);
            }
            let source = body.as_ref().map(|body| &body.0[..]);
            Ok(decide(store, kind, index, id, &target, source, &mut known))
        })
        .await?;
    let sequence = append(&api, decided.doc?.into_iter().collect(), &arguments).await?;
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

/// Changes a part of a document.
pub(crate) async fn update(
    State(api): State<Api>,
    path: IndexPath,
    arguments: Arguments,
    body: Body,
) -> Answer {
    let mut known = ARGUMENTS.to_vec();
    known.extend(["if_seq_no", "if_primary_term"]);
    arguments.only(&known)?;
    if arguments.get("if_seq_no").is_some() || arguments.get("if_primary_term").is_some() {
        return Err(EsError::argument("[if_seq_no] and [if_primary_term] are not supported"));
    }
    let _alone = api.updates.clone().lock_owned().await;
    settle(&api).await?;
    let (index, id) = (part(&path, "index"), part(&path, "id"));
    let target = Target { require_alias: arguments.flag("require_alias"), ..Target::default() };
    let json = body.json()?;
    let decided = api
        .with_store(move |store| {
            let mut known = Known::new(store);
            Ok(decide(store, Kind::Update, index, Some(id), &target, Some(&body.0), &mut known))
        })
        .await?;
    let doc = decided.doc?;
    let source = doc.as_ref().and_then(|doc| doc.source.clone());
    let sequence = match doc {
        Some(doc) => append(&api, vec![doc], &arguments).await?,
        None => 0,
    };
    let status = status_of(decided.result);
    let done = Done { result: decided.result.to_owned(), sequence };
    let kind = Kind::Update;
    let mut body = Item { kind, index: decided.index, id: decided.id, status, outcome: Ok(done) }.to_json();
    if let Some(object) = body.as_object_mut() {
        object.shift_remove("status");
    }
    let asks = arguments.0.keys().any(|name| name.starts_with("_source")) || json.get("_source").is_some();
    if let (true, Some(source)) = (asks, source)
        && let Some(source) = source_rule(&arguments, &json)?.apply(source)
    {
        let source: Value = serde_json::from_str(source.get()).unwrap_or(Value::Null);
        body["get"] = json!({ "_seq_no": sequence, "_primary_term": 1, "found": true, "_source": source });
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    Ok((status, answer(body, &arguments)).into_response())
}

/// Several documents by their ids.
pub(crate) async fn mget(
    State(api): State<Api>,
    path: IndexPath,
    arguments: Arguments,
    body: Body,
) -> Answer {
    arguments.only(&GET_ARGUMENTS)?;
    let index = part(&path, "index");
    let json = body.json()?;
    let mut wanted: Vec<(String, String, Option<Rule>)> = Vec::new();
    for id in json["ids"].as_array().into_iter().flatten() {
        wanted.push((index.clone(), super::dsl::plain(id), None));
    }
    for doc in json["docs"].as_array().into_iter().flatten() {
        let own = doc["_index"].as_str().unwrap_or(&index).to_owned();
        let rule = doc.get("_source").map(Rule::read).transpose()?;
        wanted.push((own, super::dsl::plain(&doc["_id"]), rule));
    }
    if wanted.is_empty() || wanted.iter().any(|(index, _, _)| index.is_empty()) {
        let what = if wanted.is_empty() { "no documents to get" } else { "index is missing for doc 0" };
        let reason = format!("Validation Failed: 1: {what};");
        return Err(EsError::new(400, "action_request_validation_exception", reason));
    }
    if wanted.len() > super::search::HITS_MAX {
        return Err(EsError::argument(format!(
            "more than {} documents in one request",
            super::search::HITS_MAX
        )));
    }
    if arguments.flag_or("realtime", true) {
        settle(&api).await?;
    }
    let rule = source_rule(&arguments, &json!({}))?;
    let asked = arguments.clone();
    let docs = api.search(SEARCH_TIME_MAX, move |store| {
        let one = |(index, id, own): &(String, String, Option<Rule>)| {
            let found = resolve(store, index, &asked).and_then(|index| Ok((store.get(&index, id)?, index)));
            match found {
                Err(error) => {
                    json!({ "_index": index, "_type": "_doc", "_id": id, "error": error.body()["error"] })
                }
                Ok((None, index)) => json!({ "_index": index, "_type": "_doc", "_id": id, "found": false }),
                Ok((Some((sequence, source)), index)) => {
                    let mut doc = json!({
                        "_index": index, "_type": "_doc", "_id": id, "_version": 1, "_seq_no": sequence,
                        "_primary_term": 1, "found": true,
                    });
                    if let Some(source) = own.as_ref().unwrap_or(&rule).apply(source) {
                        doc["_source"] = serde_json::from_str(source.get()).unwrap_or(Value::Null);
                    }
                    doc
                }
            }
        };
        Ok(wanted.iter().map(one).collect::<Vec<Value>>())
    });
    Ok(answer(json!({ "docs": docs.await? }), &arguments))
}

/// So many documents are removed by a query before it looks again.
const DELETE_AT_ONCE: usize = 5_000;

/// Removes the documents that match at the moment of the request.
pub(crate) async fn delete_by_query(
    State(api): State<Api>,
    path: IndexPath,
    arguments: Arguments,
    body: Body,
) -> Answer {
    let begun = Instant::now();
    arguments.only(&[
        "refresh",
        "conflicts",
        "wait_for_completion",
        "timeout",
        "ignore_unavailable",
        "allow_no_indices",
        "expand_wildcards",
        "slices",
        "scroll_size",
        "requests_per_second",
        "wait_for_active_shards",
        "routing",
    ])?;
    let json = body.json()?;
    if let Some(name) = json.as_object().and_then(|object| object.keys().find(|name| *name != "query")) {
        return Err(EsError::unknown("the part of a request to remove", name, &["query"]).locate(&body.0));
    }
    let Some(query) = json.get("query").cloned() else {
        let reason = "Validation Failed: 1: query is missing;";
        return Err(EsError::new(400, "action_request_validation_exception", reason));
    };
    let (index, asked) = (part(&path, "index"), arguments.clone());
    let (snapshot, indices, query) = api
        .with_store(move |store| {
            let indices = resolve(store, &index, &asked)?;
            let query = super::dsl::query(&query, &context_of(store, &indices))?;
            Ok((Arc::new(store.snapshot(&indices)), indices, query))
        })
        .await
        .map_err(|error| error.locate(&body.0))?;
    let (mut deleted, mut batches, mut after) = (0, 0, None);
    loop {
        let search = Search {
            indices: indices.clone(),
            query: query.clone(),
            sort: super::sort::read_words("_doc")?,
            size: DELETE_AT_ONCE,
            after,
            snapshot: Some(snapshot.clone()),
            ..Search::default()
        };
        let hits = api.search(SEARCH_TIME_MAX, move |store| Ok(store.search(&search)?.hits)).await?;
        let Some(last) = hits.last() else { break };
        after = Some(last.sort.clone());
        deleted += hits.len();
        batches += 1;
        let gone = hits.into_iter().map(|hit| IngestDoc {
            index: hit.index,
            id: hit.id,
            source: None,
            replaces: true,
        });
        append(&api, gone.collect(), &Arguments::default()).await?;
    }
    if arguments.flag("refresh") {
        settle(&api).await?;
    }
    let body = json!({
        "took": begun.elapsed().as_millis() as u64, "timed_out": false, "total": deleted, "deleted": deleted,
        "batches": batches, "version_conflicts": 0, "noops": 0, "retries": { "bulk": 0, "search": 0 },
        "throttled_millis": 0, "requests_per_second": -1.0, "throttled_until_millis": 0, "failures": [],
    });
    Ok(answer(body, &arguments))
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

/// The index, the sequence and the source of a document.
type ReadDoc = Option<(String, u64, Vec<u8>)>;

async fn read(api: &Api, path: &IndexPath, arguments: &Arguments) -> Result<ReadDoc, EsError> {
    arguments.only(&GET_ARGUMENTS)?;
    let (index, id) = (part(path, "index"), part(path, "id"));
    // What was written is found by its id at once, as with Elasticsearch.
    if arguments.flag_or("realtime", true) || arguments.flag("refresh") {
        settle(api).await?;
    }
    api.with_store(move |store| {
        let index = resolve(store, &index, &Arguments::default())?;
        let found = store.get(&index, &id)?;
        Ok(found.map(|(sequence, source)| (index, sequence, source)))
    })
    .await
}

pub(crate) async fn get(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    let found = read(&api, &path, &arguments).await?;
    let mut body = json!({ "_index": part(&path, "index"), "_type": "_doc", "_id": part(&path, "id"), "found": found.is_some() });
    let Some((index, sequence, source)) = found else {
        return Ok((StatusCode::NOT_FOUND, answer(body, &arguments)).into_response());
    };
    body = json!({
        "_index": index, "_type": "_doc", "_id": body["_id"], "_version": 1, "_seq_no": sequence,
        "_primary_term": 1, "found": true,
    });
    if let Some(source) = source_rule(&arguments, &json!({}))?.apply(source) {
        body["_source"] = serde_json::from_str(source.get()).unwrap_or(Value::Null);
    }
    Ok(answer(body, &arguments))
}

pub(crate) async fn get_source(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    let found = read(&api, &path, &arguments).await?;
    let source = found.and_then(|(_, _, source)| source_rule(&arguments, &json!({})).ok()?.apply(source));
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
