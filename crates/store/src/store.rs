//! The store: its indices, what is appended to them and what is asked of them.

use crate::catalog::Catalog;
use crate::doc::Scalar;
use crate::index::Index;
use crate::least::LeastScore;
use crate::mapping::{FieldType, Mapping};
use crate::query::{Query, SortKey};
use crate::search::{Found, SortValue, Sorted, compile, first_of_groups, order};
use crate::stored::{bytes_of, unpack};
use crate::view::{Seen, View};
use crate::{Doc, StoreError, aggregations};
use disk::Disk;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tantivy::aggregation::intermediate_agg_result::IntermediateAggregationResults;
use tantivy::aggregation::{AggContextParams, AggregationLimitsGuard, DistributedAggregationCollector};

/// How the store behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Memory of one index writer.
    pub writer_bytes: usize,
    /// How many writers are open at once.
    pub writers_max: usize,
    /// How long an event may wait until it can be found.
    pub soft_after: Duration,
    /// How long an event may wait until it survives a crash without the queue.
    pub hard_after: Duration,
    /// How many bytes may wait so.
    pub hard_bytes: u64,
    /// A writer that is not used for so long is closed.
    pub close_after: Duration,
    /// Indices whose newest event is older go.
    pub retention_age: Option<Duration>,
    /// The oldest indices go while all are larger.
    pub retention_bytes: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            writer_bytes: 48 << 20,
            writers_max: 2,
            soft_after: Duration::from_millis(700),
            hard_after: Duration::from_secs(10),
            hard_bytes: 64 << 20,
            close_after: Duration::from_secs(20),
            retention_age: None,
            retention_bytes: None,
        }
    }
}

/// The embedded search store.
pub struct Store {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    options: Options,
    /// Who writes holds it, also while a commit takes its time.
    state: Mutex<State>,
    view: RwLock<Arc<View>>,
}

struct State {
    indices: BTreeMap<String, Index>,
    /// Deleted indices, and the sequence below which nothing of them comes back.
    deleted: BTreeMap<String, u64>,
    /// Everything below this sequence was given, in this life or before.
    given: u64,
    /// Writing failed, and nobody has begun again yet.
    lost: Option<String>,
    soft: Instant,
    catalog: Arc<Catalog>,
    set_aside: Vec<String>,
    /// Whether readers see something else than what there is.
    is_news: bool,
}

/// A question to the store.
#[derive(Debug, Clone)]
pub struct Search {
    /// Names and patterns of indices, comma-separated; empty, `_all` and `*` are all.
    pub indices: String,
    /// What is looked for.
    pub query: Query,
    /// The order; empty: by score.
    pub sort: Vec<SortKey>,
    /// How many of the first are passed over.
    pub from: usize,
    /// How many are wanted.
    pub size: usize,
    /// Only events behind these values of the sort keys, and then of the sequence.
    pub after: Option<Vec<SortValue>>,
    /// Aggregations, in Elasticsearch's form.
    pub aggregations: Option<Json>,
    /// What `filter` aggregations look for; each names one by its place here, as text.
    pub filters: Vec<Query>,
    /// Memory that the aggregations may take.
    pub memory_max: u64,
    /// What could be found at a moment before; none: what can be found now.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Only events with such a score at least are found, counted and aggregated.
    pub min_score: Option<f32>,
    /// Of each value of this field only the first event is a hit; all are counted.
    pub collapse: Option<String>,
}

/// What could be found in some indices at a moment. It holds their files, also those that were
/// merged or removed since, until it is dropped.
pub struct Snapshot(BTreeMap<String, tantivy::Searcher>);

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Snapshot").field(&self.0.keys()).finish()
    }
}

impl Default for Search {
    fn default() -> Self {
        Self {
            indices: String::new(),
            query: Query::All,
            sort: Vec::new(),
            from: 0,
            size: 10,
            after: None,
            aggregations: None,
            filters: Vec::new(),
            memory_max: 256 << 20,
            snapshot: None,
            min_score: None,
            collapse: None,
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Hits {
    /// How many events match.
    pub total: u64,
    /// Those that were wanted.
    pub hits: Vec<Hit>,
    /// The aggregations.
    pub aggregations: Option<Json>,
    /// How many indices were looked at.
    pub indices: usize,
}

/// An event that was found.
#[derive(Debug, Clone)]
pub struct Hit {
    /// Its index.
    pub index: String,
    /// Its id.
    pub id: String,
    /// Its score; none when it was sorted by something else.
    pub score: Option<f32>,
    /// The values of the sort keys.
    pub sort: Vec<SortValue>,
    /// Its sequence.
    pub sequence: u64,
    /// The value of which it is the first, where a search has a field of groups.
    pub group: Option<SortValue>,
    /// The JSON object.
    pub source: Vec<u8>,
}

/// What is known of an index.
#[derive(Debug, Clone)]
pub struct IndexInfo {
    /// Its name.
    pub name: String,
    /// Events that can be found.
    pub docs: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// The times of its oldest and newest event, in nanoseconds UTC.
    pub times: Option<(i64, i64)>,
    /// The types of its fields: those that were seen, and where they are not too many, those
    /// that were declared.
    pub mapping: Mapping,
    /// The types of the fields that were declared.
    pub declared: Arc<Mapping>,
}

const FOLDER: &str = "store";
const CATALOG: &str = "catalog.json";
/// With more declared fields, as the templates of Beats have, a list does not repeat them.
const DECLARED_MAX: usize = 500;

impl Store {
    /// Opens the store in the data directory. An index that cannot be read is set aside.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Arc<Self>, StoreError> {
        let folder = PathBuf::from(FOLDER);
        disk.create_dir_all(&folder)?;
        let deleted = read_deleted(&*disk, &folder);
        let mut indices = BTreeMap::new();
        let mut set_aside = Vec::new();
        for entry in
            disk.list(&folder)?.into_iter().filter(|entry| entry.is_dir && !entry.name.contains(".damaged"))
        {
            match Index::open(disk.clone(), folder.join(&entry.name), &entry.name) {
                Ok(mut index) => {
                    index.declare(read_json(&*disk, &declared_path(&folder, &entry.name)));
                    indices.insert(entry.name, index);
                }
                Err(error) => {
                    tracing::error!(index = entry.name, %error, "an index is damaged and set aside");
                    set_index_aside(&*disk, &folder, &entry.name)?;
                    set_aside.push(entry.name);
                }
            }
        }
        let catalog = Arc::new(read_json(&*disk, &folder.join(CATALOG)));
        let soft = Instant::now();
        let mut state =
            State { indices, deleted, given: 0, lost: None, soft, catalog, set_aside, is_news: true };
        let view = RwLock::new(Arc::new(View::default()));
        publish(&mut state, &view);
        Ok(Arc::new(Self { disk, folder, options, state: Mutex::new(state), view }))
    }

    fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The indices that were damaged when the store was opened.
    pub fn set_aside(&self) -> Vec<String> {
        self.state().set_aside.clone()
    }

    /// The sequence that a queue before the store must have reached: everything below it was
    /// given to the store at some time.
    pub fn next_sequence(&self) -> u64 {
        let state = self.state();
        state.indices.values().map(Index::next).max().unwrap_or(0).max(state.given)
    }

    /// Stores a document. What an index has already is passed over.
    pub fn append(&self, doc: &Doc<'_>) -> Result<(), StoreError> {
        self.change(|state| {
            let is_known = state.indices.get(doc.index).is_some_and(|index| index.has(doc.sequence))
                || state.deleted.get(doc.index).is_some_and(|below| doc.sequence < *below);
            if !is_known {
                self.make_room(state, doc.index)?;
                let (given, memory) = (doc.sequence, self.options.writer_bytes);
                let index = self.index(state, doc.index)?;
                index.add(doc, memory)?;
                if index.unsynced_bytes() >= self.options.hard_bytes {
                    index.commit_hard(given)?;
                    state.is_news = true;
                }
            }
            state.given = state.given.max(doc.sequence + 1);
            Ok(())
        })
    }

    /// Removes a document by its id, in the order of the queue.
    pub fn delete(&self, name: &str, id: &str, sequence: u64) -> Result<(), StoreError> {
        let memory = self.options.writer_bytes;
        self.change(|state| {
            if let Some(index) = state.indices.get_mut(name).filter(|index| !index.has(sequence)) {
                index.delete(id, sequence, memory)?;
            }
            state.given = state.given.max(sequence + 1);
            Ok(())
        })
    }

    /// Says that everything below this sequence was given.
    pub fn passed(&self, sequence: u64) {
        let mut state = self.state();
        if state.lost.is_none() {
            state.given = state.given.max(sequence);
        }
    }

    /// Changes the indices. When writing fails, all of them go back to what can be found, and
    /// the store takes nothing more until somebody begins again.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.change_held(&mut self.state(), change)
    }

    fn change_held<T>(
        &self,
        state: &mut State,
        change: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(reason) = &state.lost {
            return Err(StoreError::Lost(reason.clone()));
        }
        let result = change(state);
        publish(state, &self.view);
        match result {
            Err(error @ (StoreError::Disk(_) | StoreError::Index(_) | StoreError::Closed(_))) => {
                let reason = error.to_string();
                let mut given = state.given;
                for index in state.indices.values_mut().filter(|index| index.is_open()) {
                    given = given.min(index.fall_back().unwrap_or(given));
                }
                state.given = given;
                state.lost = Some(reason.clone());
                Err(StoreError::Lost(reason))
            }
            other => other,
        }
    }

    /// After [`StoreError::Lost`]: what was not synced will be given again.
    pub fn begin_again(&self) {
        self.state().lost = None;
    }

    fn index<'s>(&self, state: &'s mut State, name: &str) -> Result<&'s mut Index, StoreError> {
        if !state.indices.contains_key(name) {
            check_name(name)?;
            let index = Index::open(self.disk.clone(), self.folder.join(name), name)?;
            self.disk.sync_dir(&self.folder)?;
            state.indices.insert(name.to_owned(), index);
            state.is_news = true;
            self.apply_templates(state, name)?;
        }
        state.indices.get_mut(name).ok_or_else(|| StoreError::NoIndex(name.to_owned()))
    }

    /// Closes the writer that was not used for the longest time, when one more is needed.
    fn make_room(&self, state: &mut State, name: &str) -> Result<(), StoreError> {
        if state.indices.get(name).is_some_and(Index::is_open) {
            return Ok(());
        }
        let open = state.indices.values().filter(|index| index.is_open()).count();
        if open < self.options.writers_max {
            return Ok(());
        }
        let given = state.given;
        let oldest =
            state.indices.values_mut().filter(|index| index.is_open()).min_by_key(|index| index.used);
        if let Some(index) = oldest {
            index.commit_hard(given)?;
            index.close()?;
            state.is_news = true;
        }
        Ok(())
    }

    /// Makes events searchable and safe when it is time. Called after writes, and while there is
    /// anything that is not safe.
    pub fn tick(&self) -> Result<(), StoreError> {
        let hard_after = self.options.hard_after;
        self.change(|state| {
            let given = state.given;
            let State { indices, is_news, soft, .. } = state;
            if soft.elapsed() >= self.options.soft_after {
                for index in indices.values_mut().filter(|index| index.uncommitted > 0) {
                    *is_news = true;
                    index.commit_soft(given)?;
                }
                *soft = Instant::now();
            }
            for index in indices.values_mut() {
                if index.dirty && index.hardened.elapsed() >= hard_after {
                    *is_news = true;
                    index.commit_hard(given)?;
                }
            }
            Ok(())
        })
    }

    /// Makes everything so far searchable.
    pub fn refresh(&self) -> Result<(), StoreError> {
        self.change(|state| {
            let given = state.given;
            state.is_news = true;
            let mut indices = state.indices.values_mut().filter(|index| index.uncommitted > 0);
            indices.try_for_each(|index| index.commit_soft(given))
        })
    }

    /// Makes everything so far survive a crash.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.change(|state| {
            let given = state.given;
            state.is_news = true;
            let mut indices = state.indices.values_mut().filter(|index| index.dirty);
            indices.try_for_each(|index| index.commit_hard(given))
        })
    }

    /// Makes everything safe and lets go of the writers.
    pub fn close(&self) {
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "the store could not be flushed; the queue still has the events");
        }
        for index in self.state().indices.values_mut() {
            if let Err(error) = index.close() {
                tracing::warn!(index = index.name, %error, "an index could not be closed");
            }
        }
    }

    /// Everything below this sequence survives a crash: a queue need not keep it.
    pub fn synced_sequence(&self) -> u64 {
        let state = self.state();
        let open = state.indices.values().filter(|index| index.dirty).map(|index| index.below);
        // What an index holds of a life before says nothing about the others.
        open.chain([state.given]).min().unwrap_or(0)
    }

    /// Lets go of the pages of files that searches and merges read, which count as memory of this
    /// process. Those that are wanted again come from the system's cache.
    pub fn let_pages_go(&self) {
        self.view().indices.values().for_each(|index| index.directory.let_pages_go());
    }

    /// Lets go of what indices need that nobody writes to, and removes what is too old or too much.
    /// Called about once a second.
    pub fn housekeeping(&self) {
        if let Err(error) = self.let_rest() {
            tracing::warn!(%error, "the store could not be put to rest");
        }
        if self.options.retention_age.is_some() || self.options.retention_bytes.is_some() {
            self.remove_by_rule();
        }
    }

    /// Cleans up behind merges where no commit does it, and closes writers that nobody uses. Where
    /// somebody writes just now there is time for that later.
    fn let_rest(&self) -> Result<(), StoreError> {
        let (hard_after, close_after) = (self.options.hard_after, self.options.close_after);
        let Some(mut state) = self.state.try_lock().ok().filter(|state| state.lost.is_none()) else {
            return Ok(());
        };
        self.change_held(&mut state, |state| {
            // A merge ends by itself; to wait for it would make those wait who write.
            let resting = |index: &&mut Index| index.is_open() && !index.dirty && !index.is_merging();
            for index in state.indices.values_mut().filter(resting) {
                if index.used.elapsed() >= close_after {
                    index.close()?;
                } else if index.hardened.elapsed() >= hard_after {
                    index.clean()?;
                }
            }
            Ok(())
        })
    }

    fn remove_by_rule(&self) {
        let infos = self.list("").into_iter();
        let mut infos: Vec<IndexInfo> = infos.filter(|info| info.times.is_some()).collect();
        infos.sort_by_key(|info| info.times);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let mut bytes: u64 = infos.iter().map(|info| info.bytes).sum();
        let newest = infos.last().map(|info| info.name.clone());
        for info in infos {
            let Some((_, last)) = info.times else { continue };
            let age = Duration::from_nanos((now.as_nanos() as i64).saturating_sub(last).max(0) as u64);
            let too_old = self.options.retention_age.is_some_and(|limit| age > limit);
            let too_much = self.options.retention_bytes.is_some_and(|limit| bytes > limit)
                && newest.as_ref() != Some(&info.name);
            if too_old || too_much {
                tracing::info!(index = info.name, "the index goes by the retention rule");
                bytes = bytes.saturating_sub(info.bytes);
                if let Err(error) = self.delete_index(&info.name) {
                    tracing::warn!(index = info.name, %error, "the index could not be removed");
                }
            }
        }
    }

    /// Makes an index, empty, with these types of fields.
    pub fn create_index(&self, name: &str, mapping: Mapping) -> Result<bool, StoreError> {
        check_name(name)?;
        let memory = self.options.writer_bytes;
        self.change(|state| {
            if state.indices.contains_key(name) {
                return Ok(false);
            }
            let given = state.given;
            self.make_room(state, name)?;
            let index = self.index(state, name)?;
            if !mapping.0.is_empty() {
                let mut all = (**index.declared()).clone();
                all.0.extend(mapping.0);
                write_json(&*self.disk, &declared_path(&self.folder, name), &all)?;
                index.declare(all);
            }
            index.make_writer(memory)?;
            index.commit_hard(given)?;
            state.is_news = true;
            Ok(true)
        })
    }

    /// Removes an index with all it holds; says whether there was one.
    pub fn delete_index(&self, name: &str) -> Result<bool, StoreError> {
        let mut state = self.state();
        if !state.indices.contains_key(name) {
            return Ok(false);
        }
        let below = state.indices.get(name).map_or(0, Index::next).max(state.given);
        state.deleted.insert(name.to_owned(), below);
        let deleted = serde_json::to_vec(&state.deleted).unwrap_or_default();
        self.disk.write_atomic(&self.folder.join("deleted.json"), &deleted)?;
        if let Some(mut index) = state.indices.remove(name) {
            state.is_news = true;
            publish(&mut state, &self.view);
            let folder = index.folder.clone();
            index.abandon();
            drop(index);
            self.disk.remove_dir_all(&folder)?;
            let declared = declared_path(&self.folder, name);
            if self.disk.exists(&declared) {
                self.disk.remove(&declared)?;
            }
            self.disk.sync_dir(&self.folder)?;
        }
        let mut catalog = (*state.catalog).clone();
        if catalog.forget(name) {
            write_json(&*self.disk, &self.folder.join(CATALOG), &catalog)?;
            state.catalog = Arc::new(catalog);
            state.is_news = true;
            publish(&mut state, &self.view);
        }
        Ok(true)
    }

    /// Says the types of more fields of an index. Refuses, and changes nothing, where a field has
    /// another type already, or there is no such index.
    pub fn declare(&self, name: &str, mapping: Mapping) -> Result<(), StoreError> {
        let mut state = self.state();
        let index = state.indices.get_mut(name).ok_or_else(|| StoreError::NoIndex(name.to_owned()))?;
        let mut all = (**index.declared()).clone();
        for (field, kind) in mapping.0 {
            if let Some(known) = index.kind(&field).filter(|known| *known != kind) {
                return Err(StoreError::Conflict { field, known: known.name(), wanted: kind.name() });
            }
            all.0.insert(field, kind);
        }
        write_json(&*self.disk, &declared_path(&self.folder, name), &all)?;
        index.declare(all);
        state.is_news = true;
        publish(&mut state, &self.view);
        Ok(())
    }

    /// What the templates say of an index that was just made.
    fn apply_templates(&self, state: &mut State, name: &str) -> Result<(), StoreError> {
        let mapping = state.catalog.mapping_of(name);
        if !mapping.0.is_empty() {
            write_json(&*self.disk, &declared_path(&self.folder, name), &mapping)?;
            if let Some(index) = state.indices.get_mut(name) {
                index.declare(mapping);
            }
        }
        let aliases = state.catalog.aliases_of(name);
        if !aliases.is_empty() {
            let mut catalog = (*state.catalog).clone();
            for alias in aliases {
                catalog.aliases.entry(alias).or_default().entry(name.to_owned()).or_default();
            }
            write_json(&*self.disk, &self.folder.join(CATALOG), &catalog)?;
            state.catalog = Arc::new(catalog);
        }
        Ok(())
    }

    /// Aliases, templates and data streams as they are now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.view().catalog.clone()
    }

    /// Changes aliases, templates and data streams; done when the disk has them. A change that
    /// is refused leaves everything as it was.
    pub fn change_catalog<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&mut Catalog) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut state = self.state();
        let mut catalog = (*state.catalog).clone();
        let done = change(&mut catalog)?;
        if catalog != *state.catalog {
            write_json(&*self.disk, &self.folder.join(CATALOG), &catalog)?;
            state.catalog = Arc::new(catalog);
            state.is_news = true;
            publish(&mut state, &self.view);
        }
        Ok(done)
    }

    /// What can be found now in the indices that a list of names and patterns means.
    pub fn snapshot(&self, patterns: &str) -> Snapshot {
        let view = self.view();
        let own = view.indices.values().filter(|index| matches(patterns, &index.name));
        Snapshot(own.map(|index| (index.name.clone(), index.reader.searcher())).collect())
    }

    /// What is known of the indices that a list of names and patterns means.
    pub fn list(&self, patterns: &str) -> Vec<IndexInfo> {
        let view = self.view();
        let own = view.indices.values().filter(|index| matches(patterns, &index.name));
        own.map(|index| IndexInfo {
            name: index.name.clone(),
            docs: index.reader.searcher().num_docs(),
            bytes: index.bytes(),
            times: (index.time_min <= index.time_max).then_some((index.time_min, index.time_max)),
            mapping: known_fields(index),
            declared: index.declared.clone(),
        })
        .collect()
    }

    /// Whether a document may be stored, as Elasticsearch would decide; says why not.
    pub fn check(&self, name: &str, source: &[u8]) -> Result<(), StoreError> {
        check_name(name)?;
        let value: Json = serde_json::from_slice(source)
            .map_err(|error| StoreError::Mapping(format!("failed to parse: {error}")))?;
        let Json::Object(object) = value else {
            return Err(StoreError::Mapping("failed to parse: the document is not an object".to_owned()));
        };
        let state = self.state();
        let Some(index) = state.indices.get(name) else {
            let new = state.catalog.mapping_of(name);
            return check_object("", &object, &|field| new.0.get(field).copied(), 0);
        };
        check_object("", &object, &|field| index.kind(field), 0)
    }

    /// The document of an id: its sequence and its source.
    pub fn get(&self, name: &str, id: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        if !self.view().indices.contains_key(name) {
            return Err(StoreError::NoIndex(name.to_owned()));
        }
        let search = Search {
            indices: name.to_owned(),
            query: Query::Ids(vec![id.to_owned()]),
            size: 10,
            ..Search::default()
        };
        let hits = self.search(&search)?.hits;
        Ok(hits.into_iter().rfind(|hit| hit.id == id).map(|hit| (hit.sequence, hit.source)))
    }

    /// Counts the events that match.
    pub fn count(&self, indices: &str, query: &Query) -> Result<u64, StoreError> {
        let search =
            Search { indices: indices.to_owned(), query: query.clone(), size: 0, ..Search::default() };
        Ok(self.search(&search)?.total)
    }

    /// Answers a question.
    pub fn search(&self, search: &Search) -> Result<Hits, StoreError> {
        let request = search.aggregations.as_ref();
        let aggregations = request.map(aggregations::read).transpose()?;
        let (from, to) = search.query.time_range();
        let mut targets = Vec::new();
        let mut indices = 0;
        let view = self.view();
        let mut wanted = search.indices.split(',').filter(|name| {
            !name.is_empty() && !name.contains('*') && *name != "_all" && !name.starts_with('-')
        });
        if let Some(missing) = wanted.find(|name| !view.indices.contains_key(*name)) {
            return Err(StoreError::NoIndex(missing.to_owned()));
        }
        for index in view.indices.values().filter(|index| matches(&search.indices, &index.name)) {
            indices += 1;
            if index.time_max < from || index.time_min > to {
                continue;
            }
            let searcher = match &search.snapshot {
                None => index.reader.searcher(),
                Some(snapshot) => match snapshot.0.get(&index.name) {
                    Some(searcher) => searcher.clone(),
                    None => continue,
                },
            };
            let mut aggregations = aggregations.clone();
            if let (Some(aggregations), Some(request)) = (&mut aggregations, request) {
                let filters: Result<Vec<_>, _> =
                    search.filters.iter().map(|filter| compile(filter, index).map(Arc::from)).collect();
                aggregations::set_filters(aggregations, request, &filters?)?;
            }
            let mut query = compile(&search.query, index)?;
            if let Some(least) = search.min_score {
                query = Box::new(LeastScore { query, least });
            }
            targets.push((index.name.clone(), searcher, query, aggregations, index.fields.stored));
        }
        let keys = Arc::new(search.sort.clone());
        let keys = if keys.is_empty() { Arc::new(vec![by_score()]) } else { keys };
        let limit = search.from + search.size;
        let mut total = 0;
        let mut found: Vec<(usize, Found)> = Vec::new();
        let mut merged: Option<IntermediateAggregationResults> = None;
        for (n, (_, searcher, query, aggregations, _)) in targets.iter().enumerate() {
            let (after, collapse) = (search.after.clone().map(Arc::new), search.collapse.clone());
            let sorted = Sorted { keys: keys.clone(), limit, after, collapse };
            let (count, own) = match aggregations {
                None => searcher.search(query, &sorted)?,
                Some(aggregations) => {
                    let limits = AggregationLimitsGuard::new(Some(search.memory_max), None);
                    let context = AggContextParams::new(limits, searcher.index().tokenizers().clone());
                    let collector = DistributedAggregationCollector::from_aggs(aggregations.clone(), context);
                    let (own, partial) = searcher.search(query, &(sorted, collector))?;
                    match &mut merged {
                        Some(merged) => merged.merge_fruits(partial)?,
                        None => merged = Some(partial),
                    }
                    own
                }
            };
            total += count;
            found.extend(own.into_iter().map(|found| (n, found)));
        }
        found.sort_by(|(_, a), (_, b)| order(a, b, &keys));
        first_of_groups(&mut found, |(_, found)| found);
        let by_score = search.sort.is_empty() || search.sort.iter().any(|key| key.field == "_score");
        let wanted = found.into_iter().skip(search.from).take(search.size);
        let hits = wanted
            .map(|(n, found)| {
                let (name, searcher, _, _, stored) = &targets[n];
                let doc: tantivy::TantivyDocument = searcher.doc(found.address)?;
                let bytes = bytes_of(&doc, *stored).unwrap_or_default();
                let (id, source) = unpack(&bytes);
                Ok(Hit {
                    index: name.clone(),
                    id: id.into_owned(),
                    score: by_score.then_some(found.score),
                    sort: if search.sort.is_empty() { Vec::new() } else { found.keys },
                    sequence: found.sequence,
                    group: found.group,
                    source: source.to_vec(),
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        let aggregations = match aggregations {
            None => None,
            Some(request) => {
                let merged = merged.unwrap_or_default();
                let limits = AggregationLimitsGuard::new(Some(search.memory_max), None);
                let result = merged.into_final_result(request, limits)?;
                Some(serde_json::to_value(result).map_err(|error| StoreError::Query(error.to_string()))?)
            }
        };
        Ok(Hits { total, hits, aggregations, indices })
    }
}

/// Shows readers what there is, where that is news.
fn publish(state: &mut State, view: &RwLock<Arc<View>>) {
    if !std::mem::take(&mut state.is_news) {
        return;
    }
    let seen = |(name, index): (&String, &mut Index)| (name.clone(), index.seen());
    let indices = state.indices.iter_mut().map(seen).collect();
    let catalog = state.catalog.clone();
    *view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(View { indices, catalog });
}

fn by_score() -> SortKey {
    SortKey { field: "_score".to_owned(), descending: true, missing_first: false }
}

/// The index in which the page keeps what was saved there. No rule of retention removes it.
const PAGE_INDEX: &str = ".ui";

/// Whether the patterns mean the index; only one that begins with a dot means the page's own.
fn matches(patterns: &str, name: &str) -> bool {
    let hidden = name.starts_with('.');
    let mut found = patterns.is_empty() && !hidden;
    for pattern in patterns.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()) {
        match pattern.strip_prefix('-') {
            Some(pattern) if found && glob(pattern, name) => found = false,
            Some(_) => {}
            None if hidden && !pattern.starts_with('.') => {}
            None => found |= pattern == "_all" || glob(pattern, name),
        }
    }
    found
}

pub(crate) fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The names that Elasticsearch allows.
fn check_name(name: &str) -> Result<(), StoreError> {
    let wrong = |reason| Err(StoreError::Name(name.to_owned(), reason));
    if name.is_empty() || name.len() > 200 {
        return wrong("must have between 1 and 200 bytes");
    }
    if name.chars().any(|c| c.is_control() || " \"*\\<|,>/?#:".contains(c)) {
        return wrong("must not contain the following characters [ , \", *, \\, <, |, ,, >, /, ?, #, :]");
    }
    if name.chars().any(char::is_uppercase) {
        return wrong("must be lowercase");
    }
    let hidden = name.starts_with('.') && name != PAGE_INDEX;
    if name.starts_with(['-', '_', '+']) || hidden || name.contains(".damaged") {
        return wrong("must not start with '_', '-', '+' or '.'");
    }
    Ok(())
}

fn check_object(
    prefix: &str,
    object: &serde_json::Map<String, Json>,
    kind_of: &dyn Fn(&str) -> Option<FieldType>,
    depth: usize,
) -> Result<(), StoreError> {
    if depth > event::DEPTH_MAX {
        return Err(StoreError::Mapping(format!(
            "Limit of mapping depth [{}] has been exceeded",
            event::DEPTH_MAX
        )));
    }
    for (name, value) in object {
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        check_value(&name, value, kind_of(&name), kind_of, depth)?;
    }
    Ok(())
}

fn check_value(
    name: &str,
    value: &Json,
    known: Option<FieldType>,
    kind_of: &dyn Fn(&str) -> Option<FieldType>,
    depth: usize,
) -> Result<(), StoreError> {
    let wrong = |known: FieldType| {
        Err(StoreError::Mapping(format!("failed to parse field [{name}] of type [{}]", known.name())))
    };
    match (value, known) {
        (Json::Array(values), _) => {
            values.iter().try_for_each(|value| check_value(name, value, known, kind_of, depth + 1))
        }
        (Json::Object(_), Some(known)) => wrong(known),
        (Json::Object(inner), None) => check_object(name, inner, kind_of, depth + 1),
        (Json::Null, _) | (_, None) => Ok(()),
        (value, Some(known)) if Scalar::of(value).is_some_and(|value| value.fit(known).is_none()) => {
            wrong(known)
        }
        _ => Ok(()),
    }
}

/// Moves the files of an index that cannot be read into a folder of their own.
fn set_index_aside(disk: &dyn Disk, folder: &Path, name: &str) -> Result<(), StoreError> {
    let aside = (0..).map(|n| folder.join(format!("{name}.damaged-{n}"))).find(|aside| !disk.exists(aside));
    let (Some(aside), own) = (aside, folder.join(name)) else { return Ok(()) };
    disk.create_dir_all(&aside)?;
    for entry in disk.list(&own)? {
        disk.rename(&own.join(&entry.name), &aside.join(&entry.name))?;
    }
    disk.sync_dir(&aside)?;
    disk.sync_dir(&own)?;
    disk.remove_dir_all(&own)?;
    disk.sync_dir(folder)?;
    Ok(())
}

/// Where the declared types of an index's fields are: beside its folder, in which tantivy sweeps.
fn declared_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.declared.json"))
}

fn known_fields(index: &Seen) -> Mapping {
    let mut mapping = index.mapping.clone();
    if index.declared.0.len() <= DECLARED_MAX {
        for (name, kind) in &index.declared.0 {
            mapping.0.entry(name.clone()).or_insert(*kind);
        }
    }
    mapping
}

/// What a file says, or nothing where there is none. Damage is told and costs only what the file said.
fn read_json<T: serde::de::DeserializeOwned + Default>(disk: &dyn Disk, path: &Path) -> T {
    let Ok(bytes) = disk.read(path) else { return T::default() };
    serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::error!(path = %path.display(), %error, "the file is damaged; the store goes on without it");
        T::default()
    })
}

fn write_json(disk: &dyn Disk, path: &Path, value: &impl serde::Serialize) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(value).map_err(|error| StoreError::Query(error.to_string()))?;
    Ok(disk.write_atomic(path, &bytes)?)
}

fn read_deleted(disk: &dyn Disk, folder: &Path) -> BTreeMap<String, u64> {
    let bytes = disk.read(&folder.join("deleted.json")).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests;
