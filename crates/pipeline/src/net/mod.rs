//! Connections to servers.

pub mod endpoint;
pub(crate) mod hosts;
pub(crate) mod http;
pub mod kafka;
pub mod redis;
pub(crate) mod secret_file;
pub mod tls;
