//! What type each field of an index has, as Elasticsearch's dynamic mapping would say.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Text, and a keyword beside it.
    Text,
    /// Text that is one word.
    Keyword,
    /// A whole number.
    Long,
    /// Another number.
    Double,
    /// A boolean.
    Boolean,
    /// A time.
    Date,
}

/// The types by dotted names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mapping(pub BTreeMap<String, FieldType>);

/// No index has more fields; what is beyond stays in the source.
pub(crate) const FIELDS_MAX: usize = 1_000;

impl Mapping {
    /// The type that a field has, or gets now because it is seen first; none when the index
    /// has 1,000 fields.
    pub fn learn(&mut self, name: &str, seen: FieldType) -> Option<FieldType> {
        if let Some(known) = self.0.get(name) {
            return Some(*known);
        }
        if self.0.len() >= FIELDS_MAX {
            return None;
        }
        self.0.insert(name.to_owned(), seen);
        Some(seen)
    }
}

impl FieldType {
    /// The name in Elasticsearch's mappings.
    pub fn name(self) -> &'static str {
        match self {
            FieldType::Text => "text",
            FieldType::Keyword => "keyword",
            FieldType::Long => "long",
            FieldType::Double => "float",
            FieldType::Boolean => "boolean",
            FieldType::Date => "date",
        }
    }
}
