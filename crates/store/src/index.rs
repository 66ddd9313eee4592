//! One index: its schema, its writer, and what its commits say.

use crate::directory::StoreDirectory;
use crate::doc::SourceReader;
use crate::mapping::{FieldType, Mapping};
use crate::stored;
use crate::view::{self, Seen};
use crate::waiting::{Entry, Waiting};
use crate::{Doc, StoreError};
use disk::Disk;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tantivy::indexer::{IndexWriterOptions, UserOperation};
use tantivy::schema::{
    DateOptions, DateTimePrecision, Field, IndexRecordOption, JsonObjectOptions, NumericOptions, STORED,
    Schema, TextFieldIndexing, TextOptions,
};
use tantivy::store::{Compressor, ZstdCompressor};
use tantivy::{
    Index as TantivyIndex, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, TantivyDocument,
};

/// The fields of every index: few, since parsed fields are columns of one of them.
#[derive(Clone)]
pub(crate) struct Fields {
    pub(crate) time: Field,
    pub(crate) sequence: Field,
    /// The hash of the id.
    pub(crate) id: Field,
    /// The id and the source (`stored.rs`).
    pub(crate) stored: Field,
    pub(crate) message: Field,
    /// Parsed fields, as columns.
    pub(crate) columns: Field,
    /// Text that is too long for a column.
    pub(crate) texts: Field,
}

/// Text longer than this has no column but a text index, as Elasticsearch's `ignore_above`.
pub(crate) const COLUMN_BYTES_MAX: usize = 256;
/// So many documents are handed to the writer at once.
const PENDING_MAX: usize = 64;
/// Sources are compressed in blocks of so many bytes. In smaller ones lines find less that was there
/// already; a larger one is unpacked for a single line.
const BLOCK_BYTES: usize = 64 << 10;
/// Of zstd. Level 6 makes the lines of an access log an eighth smaller and takes four times as long.
const LEVEL: i32 = 1;
/// Blocks that are kept unpacked, for each segment.
const BLOCKS_KEPT: usize = 8;
/// Each merge holds much in memory, and takes the processor from those who write and search.
const MERGES_AT_ONCE: usize = 1;
pub(crate) const COLUMNS: &str = "f";
pub(crate) const TEXTS: &str = "t";
pub(crate) const TIME: &str = "@timestamp";
pub(crate) const SEQUENCE: &str = "_seq";
pub(crate) const ID: &str = "_idh";

pub(crate) fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let text = TextFieldIndexing::default()
        .set_tokenizer("default")
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let time = DateOptions::default().set_fast().set_precision(DateTimePrecision::Nanoseconds);
    let fields = Fields {
        time: builder.add_date_field(TIME, time),
        sequence: builder.add_u64_field(SEQUENCE, NumericOptions::default().set_fast()),
        id: builder.add_u64_field(ID, NumericOptions::default().set_fast()),
        stored: builder.add_bytes_field("_stored", STORED),
        message: builder.add_text_field("message", TextOptions::default().set_indexing_options(text.clone())),
        columns: builder
            .add_json_field(COLUMNS, JsonObjectOptions::default().set_fast("raw").set_expand_dots_enabled()),
        texts: builder.add_json_field(
            TEXTS,
            JsonObjectOptions::default().set_indexing_options(text).set_expand_dots_enabled(),
        ),
    };
    (builder.build(), fields)
}

/// What a commit says, beside tantivy's own.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Payload {
    /// Everything of its own below this sequence is in the commit.
    below: u64,
    mapping: Mapping,
    time_min: i64,
    time_max: i64,
}

pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) fields: Fields,
    /// The types of the fields that were seen.
    pub(crate) mapping: Mapping,
    pub(crate) index: TantivyIndex,
    pub(crate) reader: IndexReader,
    directory: StoreDirectory,
    writer: Option<IndexWriter<Entry>>,
    source: SourceReader,
    /// Documents on their way to the writer: handing them over one by one would wake its
    /// thread for each.
    pending: Vec<UserOperation<Entry>>,
    /// The memory that they take.
    pending_bytes: usize,
    waiting: Arc<Waiting>,
    /// What readers see, as of the last commit.
    seen: Option<Arc<Seen>>,
    /// Documents that no soft commit made searchable yet.
    pub(crate) uncommitted: u64,
    /// Whether there is anything that no hard commit holds.
    pub(crate) dirty: bool,
    /// Everything of its own below this survives a crash.
    pub(crate) below: u64,
    /// Everything of its own below this can be found.
    soft: u64,
    /// Everything of its own below this was given to it.
    next: u64,
    pub(crate) time_min: i64,
    pub(crate) time_max: i64,
    pub(crate) used: Instant,
    pub(crate) hardened: Instant,
}

impl Index {
    /// Opens an index, or makes it.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: PathBuf, name: &str) -> Result<Self, StoreError> {
        disk.create_dir_all(&folder)?;
        let directory = StoreDirectory::new(disk.clone(), folder.clone());
        let (schema, fields) = schema();
        let index = if disk.exists(&folder.join("meta.json")) {
            directory.sweep()?;
            TantivyIndex::open(directory.clone())?
        } else {
            // Nothing was ever committed here: what lies about is left over.
            for entry in disk.list(&folder)? {
                disk.remove(&folder.join(&entry.name))?;
            }
            TantivyIndex::create(directory.clone(), schema, settings())?
        };
        let payload: Payload =
            index.load_metas()?.payload.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .doc_store_cache_num_blocks(BLOCKS_KEPT)
            .try_into()?;
        let empty = payload.time_min == 0 && payload.time_max == 0;
        Ok(Self {
            name: name.to_owned(),
            folder,
            fields,
            mapping: payload.mapping,
            index,
            reader,
            directory,
            writer: None,
            source: SourceReader::default(),
            pending: Vec::with_capacity(PENDING_MAX),
            pending_bytes: 0,
            waiting: Arc::default(),
            seen: None,
            uncommitted: 0,
            dirty: false,
            below: payload.below,
            soft: payload.below,
            next: payload.below,
            time_min: if empty { i64::MAX } else { payload.time_min },
            time_max: if empty { i64::MIN } else { payload.time_max },
            used: Instant::now(),
            hardened: Instant::now(),
        })
    }

    /// The types of fields that were said when the index was made, or later.
    pub(crate) fn declared(&self) -> &Arc<Mapping> {
        &self.source.declared
    }

    pub(crate) fn declare(&mut self, mapping: Mapping) {
        self.source.declared = Arc::new(mapping);
        self.seen = None;
    }

    /// The type of a field, seen or declared.
    pub(crate) fn kind(&self, field: &str) -> Option<FieldType> {
        view::kind(&self.mapping, self.declared(), field)
    }

    /// What readers see of it from now on.
    pub(crate) fn seen(&mut self) -> Arc<Seen> {
        let new = || {
            Arc::new(Seen {
                name: self.name.clone(),
                fields: self.fields.clone(),
                reader: self.reader.clone(),
                directory: self.directory.clone(),
                tokenizers: self.index.tokenizers().clone(),
                mapping: self.mapping.clone(),
                declared: self.source.declared.clone(),
                time_min: self.time_min,
                time_max: self.time_max,
            })
        };
        self.seen.get_or_insert_with(new).clone()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.writer.is_some()
    }

    /// Whether files are written, where there is no commit that would.
    pub(crate) fn is_merging(&self) -> bool {
        self.directory.is_writing()
    }

    fn writer(&mut self, memory: usize) -> Result<&mut IndexWriter<Entry>, StoreError> {
        if self.writer.is_none() {
            let options = IndexWriterOptions::builder()
                .num_worker_threads(1)
                .memory_budget_per_thread(memory)
                .num_merge_threads(MERGES_AT_ONCE)
                .build();
            let writer = self.index.writer_with_options(options)?;
            return Ok(self.writer.insert(writer));
        }
        self.writer.as_mut().ok_or_else(|| StoreError::Closed(self.name.clone()))
    }

    /// Opens the writer, so that something can be committed.
    pub(crate) fn make_writer(&mut self, memory: usize) -> Result<(), StoreError> {
        self.writer(memory).map(|_| ())
    }

    /// Lets go of the writer without a commit.
    pub(crate) fn abandon(&mut self) {
        self.pending.clear();
        self.pending_bytes = 0;
        self.writer = None;
    }

    /// Whether it was given everything of its own up to behind this sequence.
    pub(crate) fn has(&self, sequence: u64) -> bool {
        sequence < self.next
    }

    /// The sequence below which it was given all that is its own.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Writing failed: goes back to what can be found, and returns the sequence behind that
    /// if anything was given since.
    pub(crate) fn fall_back(&mut self) -> Option<u64> {
        self.abandon();
        self.uncommitted = 0;
        self.next = self.soft;
        self.dirty.then_some(self.soft)
    }

    /// Adds a document; it can be found after the next soft commit.
    pub(crate) fn add(&mut self, doc: &Doc<'_>, memory: usize) -> Result<(), StoreError> {
        let capacity = doc.source.len() * 2 + 128;
        let mut entry = TantivyDocument::with_capacity(capacity);
        let fields = self.fields.clone();
        let hash = crate::id_hash(doc.id.as_bytes());
        entry.add_u64(fields.sequence, doc.sequence);
        entry.add_u64(fields.id, hash);
        entry.add_bytes(fields.stored, &stored::pack(&doc.id, doc.source));
        let time = self.source.fill(&mut entry, &fields, &mut self.mapping, doc.source).unwrap_or(doc.time);
        entry.add_date(fields.time, tantivy::DateTime::from_timestamp_nanos(time));
        self.time_min = self.time_min.min(time);
        self.time_max = self.time_max.max(time);
        if doc.replaces {
            self.hand_over(memory)?;
            self.writer(memory)?.delete_query(crate::search::id_query(&[doc.id.to_string()]))?;
        }
        self.pending.push(UserOperation::Add(Entry { document: entry, room: None }));
        self.pending_bytes += capacity;
        if self.pending.len() >= PENDING_MAX {
            self.hand_over(memory)?;
        } else {
            self.writer(memory)?;
        }
        self.uncommitted += 1;
        self.dirty = true;
        self.next = doc.sequence + 1;
        self.used = Instant::now();
        Ok(())
    }

    /// Gives the writer what waits for it, as soon as there is room.
    fn hand_over(&mut self, memory: usize) -> Result<(), StoreError> {
        let pending = self.take_pending();
        self.writer(memory)?.run(pending)?;
        Ok(())
    }

    fn take_pending(&mut self) -> Vec<UserOperation<Entry>> {
        let bytes = std::mem::take(&mut self.pending_bytes);
        if let Some(UserOperation::Add(last)) = self.pending.last_mut() {
            last.room = Some(self.waiting.take(bytes));
        }
        std::mem::replace(&mut self.pending, Vec::with_capacity(PENDING_MAX))
    }

    pub(crate) fn delete(&mut self, id: &str, sequence: u64, memory: usize) -> Result<(), StoreError> {
        let old = crate::search::id_query(&[id.to_owned()]);
        self.hand_over(memory)?;
        self.writer(memory)?.delete_query(old)?;
        self.uncommitted += 1;
        self.dirty = true;
        self.next = sequence + 1;
        Ok(())
    }

    /// Makes everything so far searchable. `given`: the sequence below which everything was
    /// given, to whatever index.
    pub(crate) fn commit_soft(&mut self, given: u64) -> Result<(), StoreError> {
        let below = given.max(self.next);
        let payload = Payload {
            below,
            mapping: self.mapping.clone(),
            time_min: self.time_min,
            time_max: self.time_max,
        };
        let pending = self.take_pending();
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.run(pending)?;
        let mut prepared = writer.prepare_commit()?;
        prepared.set_payload(&serde_json::to_string(&payload).unwrap_or_default());
        prepared.commit()?;
        self.uncommitted = 0;
        (self.soft, self.next) = (below, below);
        self.seen = None;
        self.reader.reload()?;
        Ok(())
    }

    /// Makes everything so far survive a crash.
    pub(crate) fn commit_hard(&mut self, given: u64) -> Result<(), StoreError> {
        self.commit_soft(given)?;
        self.directory.harden()?;
        self.below = self.soft;
        self.dirty = false;
        self.hardened = Instant::now();
        Ok(())
    }

    /// Removes what a merge replaced since the last hard commit, when nothing is written that would
    /// bring the next one.
    pub(crate) fn clean(&mut self) -> Result<(), StoreError> {
        self.hardened = Instant::now();
        if self.directory.has_leftovers() {
            self.directory.harden()?;
            // The room is free as soon as nobody reads it.
            self.reader.reload()?;
        }
        Ok(())
    }

    /// Lets go of the writer, with its memory. What it holds must be committed hard before.
    pub(crate) fn close(&mut self) -> Result<(), StoreError> {
        if let Some(writer) = self.writer.take() {
            writer.wait_merging_threads()?;
            self.directory.harden()?;
            self.reader.reload()?;
        }
        Ok(())
    }

    pub(crate) fn unsynced_bytes(&self) -> u64 {
        self.directory.unsynced_bytes()
    }
}

fn settings() -> IndexSettings {
    let zstd = ZstdCompressor { compression_level: Some(LEVEL) };
    IndexSettings {
        docstore_compression: Compressor::Zstd(zstd),
        docstore_blocksize: BLOCK_BYTES,
        ..IndexSettings::default()
    }
}

#[cfg(test)]
impl Index {
    /// Merges all there is, as tantivy does by itself with what has grown to many.
    pub(crate) fn merge_all(&mut self) {
        let all = self.index.searchable_segment_ids().unwrap();
        self.writer.as_mut().unwrap().merge(&all).wait().unwrap();
    }
}
