//! Formats that others speak, in both directions: bytes on one side, values on the other.
//! Nothing here owns a socket.

pub mod bulk;
pub mod framing;
pub mod kafka;
pub mod loki;
pub mod lumberjack;
pub mod msgpack;
pub mod proxy;
pub mod redis;
