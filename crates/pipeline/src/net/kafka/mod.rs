//! The way to the brokers of a Kafka cluster: sockets around the state machines of
//! [`wire::kafka`].

mod links;
mod options;
pub mod properties;
mod request;
pub mod survey;

pub(crate) use links::{Happened, Links, Send};
pub(crate) use options::Cluster;
pub use options::{ClusterConfig, SaslConfig, SaslMechanism};
pub use properties::Properties;
pub(crate) use request::send_kind;
