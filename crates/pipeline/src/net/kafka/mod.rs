//! The way to the brokers of a Kafka cluster: sockets around the state machines of
//! [`wire::kafka`].

mod links;
mod options;

pub(crate) use links::{Happened, Links, Send};
pub use options::{ClusterConfig, SaslConfig, SaslMechanism};
