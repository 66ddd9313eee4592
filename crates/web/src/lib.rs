//! The HTTP API: Elasticsearch's, over the embedded store, and the page; and the monitoring API,
//! which is Logstash's.

pub mod control;
pub mod es;
mod guard;
pub mod kql;
pub mod monitoring;
mod page;
pub mod passing;
mod pond;
mod server;
mod tls;

pub use es::remote::Cluster;
pub use server::{
    Boxed, Ingest, IngestDoc, IngestError, LettersAsk, Select, Server, ServerError, ServerOptions, Status,
    TapAsk, TapStream, TlsFiles, Told, User, router,
};
