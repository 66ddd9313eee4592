//! The embedded search store, on tantivy.
//!
//! Events come in the order of a queue, each with its sequence. An index's commit names the
//! sequence below which it holds all that is its own; after a crash the queue is read again
//! from the least of these, and each index skips what it has: exact, although one batch may
//! fall on two days. Parsed fields are columns only; words are indexed for `message` alone.
//! Events are seen after a soft commit, and survive after a hard one (`directory.rs`).

mod aggregations;
mod catalog;
mod checked;
mod columns;
mod directory;
mod doc;
mod index;
mod least;
mod mapping;
mod patterns;
mod query;
mod search;
mod store;
mod stored;
mod template;
mod view;
mod waiting;

pub use catalog::{Alias, Catalog, IndexTemplate};
pub use doc::{Indexed, indexed};
pub use mapping::{FieldType, Mapping};
pub use patterns::{Pattern, Patterns};
pub use query::{Query, SortKey, Value};
pub use search::SortValue;
pub use store::{Hit, Hits, IndexInfo, Options, Search, Snapshot, Store};
pub use template::{Template, message};

use std::borrow::Cow;

/// A document to be stored.
#[derive(Debug, Clone)]
pub struct Doc<'a> {
    /// The index.
    pub index: &'a str,
    /// Its id, 1 to 255 bytes.
    pub id: Cow<'a, str>,
    /// Its sequence in the queue.
    pub sequence: u64,
    /// Its time in nanoseconds UTC, when the source has no `@timestamp`.
    pub time: i64,
    /// A JSON object.
    pub source: &'a [u8],
    /// Whether a document of the same id is replaced. Ids of events that were read never
    /// come twice, so that looking for them would be work for nothing.
    pub replaces: bool,
}

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk refused.
    #[error("{0}")]
    Disk(#[from] disk::DiskError),
    /// The index refused.
    #[error("{0}")]
    Index(#[from] tantivy::TantivyError),
    /// A field has another type already.
    #[error("mapper [{field}] cannot be changed from type [{known}] to [{wanted}]")]
    Conflict {
        /// The field.
        field: String,
        /// The type that it has.
        known: &'static str,
        /// The type that it should have.
        wanted: &'static str,
    },
    /// There is no such index.
    #[error("no such index [{0}]")]
    NoIndex(String),
    /// The question cannot be answered.
    #[error("{0}")]
    Query(String),
    /// A name that an index cannot have.
    #[error("Invalid index name [{0}], {1}")]
    Name(String, &'static str),
    /// A value that the mapping refuses.
    #[error("{0}")]
    Mapping(String),
    /// The index was closed meanwhile.
    #[error("the index [{0}] is closed")]
    Closed(String),
    /// What was given and is not synced may be gone, because writing failed. Nothing is taken
    /// before [`Store::begin_again`]; then all from [`Store::synced_sequence`] on is wanted again.
    #[error("writing failed ({0}); what was not synced is given again")]
    Lost(String),
}

pub(crate) fn id_hash(id: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(id)
}
