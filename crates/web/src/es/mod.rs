//! The part of Elasticsearch 7.10's API that shippers, curl and client libraries use.

pub mod dsl;
pub mod kql;
pub mod query_string;
mod routes;

pub(crate) use routes::router;

use serde_json::{Value, json};

/// An error as Elasticsearch words it.
#[derive(Debug, Clone, PartialEq)]
pub struct EsError {
    /// The HTTP status.
    pub status: u16,
    /// Such as `parsing_exception`.
    pub kind: &'static str,
    /// What is wrong, and what is supported.
    pub reason: String,
}

impl EsError {
    /// A question that cannot be read.
    pub fn parsing(reason: impl Into<String>) -> Self {
        Self { status: 400, kind: "parsing_exception", reason: reason.into() }
    }

    /// An argument that is not allowed.
    pub fn argument(reason: impl Into<String>) -> Self {
        Self { status: 400, kind: "illegal_argument_exception", reason: reason.into() }
    }

    /// The error as a body.
    pub fn body(&self) -> Value {
        let cause = json!({ "type": self.kind, "reason": self.reason });
        json!({ "error": { "root_cause": [cause], "type": self.kind, "reason": self.reason }, "status": self.status })
    }
}

impl From<store::StoreError> for EsError {
    fn from(error: store::StoreError) -> Self {
        use store::StoreError;
        let reason = error.to_string();
        let (status, kind) = match &error {
            StoreError::NoIndex(_) => (404, "index_not_found_exception"),
            StoreError::Name(..) => (400, "invalid_index_name_exception"),
            StoreError::Mapping(_) => (400, "mapper_parsing_exception"),
            StoreError::Query(_) | StoreError::Index(_) => (400, "search_phase_execution_exception"),
            StoreError::Disk(_) | StoreError::Closed(_) => (503, "unavailable_shards_exception"),
        };
        Self { status, kind, reason }
    }
}
