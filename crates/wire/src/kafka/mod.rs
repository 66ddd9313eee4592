//! Kafka's protocol, as a client speaks it (brokers 0.11 to 4.x).
//!
//! Pure state machines: bytes, messages and the time go in, bytes, messages and deadlines come
//! out. Who owns sockets and a clock drives them. Messages off the hot path are those of the
//! crate `kafka-protocol`; the records are read and written by our own code.

mod backoff;
pub mod compression;
pub mod connection;
pub mod consumer;
pub mod metadata;
mod produce;
pub mod producer;
pub mod records;
pub mod sasl;
pub mod versions;

pub use backoff::Backoff;

#[cfg(test)]
mod tests {
    /// A time to count from, for the tests of state machines that know no clock.
    pub(in crate::kafka) fn some_time() -> std::time::Instant {
        std::time::Instant::now()
    }
}
