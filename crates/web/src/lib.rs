//! The HTTP API: Elasticsearch's, over the embedded store, and our own few pages.

pub mod es;
mod server;

pub use server::{Ingest, IngestDoc, IngestError, Server, ServerError, ServerOptions, Status};
