//! Connections to servers.

pub mod endpoint;
pub(crate) mod hosts;
pub(crate) mod http;
pub mod kafka;
pub(crate) mod secret_file;
pub mod tls;
