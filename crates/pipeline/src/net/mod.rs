//! Connections to servers, and from those who connect to us.

pub(crate) mod datagrams;
pub(crate) mod dial;
pub mod endpoint;
pub(crate) mod hosts;
pub(crate) mod http;
pub mod kafka;
pub(crate) mod line;
pub mod listen;
pub mod redis;
pub(crate) mod secret_file;
pub mod sockets;
pub(crate) mod stream;
pub mod tls;
