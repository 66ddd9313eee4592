//! Connections to servers.

pub mod kafka;
pub mod tls;
