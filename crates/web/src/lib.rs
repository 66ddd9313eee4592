//! The HTTP API: Elasticsearch's, over the embedded store, and our own few pages.

pub mod es;
mod guard;
pub mod kql;
mod server;
mod tls;

pub use server::{
    Boxed, Ingest, IngestDoc, IngestError, Server, ServerError, ServerOptions, Status, TlsFiles, User, router,
};
