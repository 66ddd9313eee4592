//! Redis, without sockets: the protocol RESP (versions 2 and 3), and a connection.
//!
//! `resp` turns bytes into values and back; `connection` says who we are and holds commands back
//! until the server has let us in; `fault` knows what an error asks for. Whoever has a socket feeds
//! them.

pub mod connection;
pub mod fault;
pub mod resp;

pub use connection::{Connection, Login, Protocol};
pub use fault::Fault;
pub use resp::Value;
