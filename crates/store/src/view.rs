//! What readers see of the store: the indices as of their last commits. Writers replace it whole, so
//! nobody who reads waits for a commit.

use crate::catalog::Catalog;
use crate::directory::StoreDirectory;
use crate::index::Fields;
use crate::mapping::{FieldType, Mapping};
use std::collections::BTreeMap;
use std::sync::Arc;
use tantivy::IndexReader;
use tantivy::tokenizer::TokenizerManager;

/// All of it.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) indices: BTreeMap<String, Arc<Seen>>,
    pub(crate) catalog: Arc<Catalog>,
}

/// An index.
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) fields: Fields,
    pub(crate) reader: IndexReader,
    pub(crate) directory: StoreDirectory,
    pub(crate) tokenizers: TokenizerManager,
    /// The types of the fields that were seen.
    pub(crate) mapping: Mapping,
    /// The types of fields that were said.
    pub(crate) declared: Arc<Mapping>,
    pub(crate) time_min: i64,
    pub(crate) time_max: i64,
}

impl Seen {
    /// The type of a field, seen or declared.
    pub(crate) fn kind(&self, field: &str) -> Option<FieldType> {
        kind(&self.mapping, &self.declared, field)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.reader.searcher().space_usage().map_or(0, |usage| usage.total().get_bytes())
    }
}

/// The type of a field, by what was seen of it or else by what was declared.
pub(crate) fn kind(mapping: &Mapping, declared: &Mapping, field: &str) -> Option<FieldType> {
    mapping.0.get(field).or_else(|| declared.0.get(field)).copied()
}
