//! What filters need from the world around them, and do not take themselves.

use std::sync::Arc;

/// Hands filters files and randomness while they are built.
///
/// Nothing is asked for once a filter is built: a file that changes is seen by a filter that is
/// built anew.
pub trait Provider {
    /// The bytes of a file that an option names. Whoever asks twice may get the same memory. The
    /// error says why there are none.
    fn read(&self, file: &str) -> Result<Arc<[u8]>, String>;
    /// Bytes that nobody can foresee, others each time. The error says why there are none.
    fn random(&self) -> Result<[u8; 32], String>;
    /// The name of the machine's time zone.
    fn time_zone(&self) -> String {
        "UTC".to_owned()
    }
}

/// Hands out nothing: files are missing, and what is random is the same each time. For tests.
#[derive(Debug, Clone, Copy)]
pub struct Nothing;

impl Provider for Nothing {
    fn read(&self, file: &str) -> Result<Arc<[u8]>, String> {
        Err(format!("no files can be read here, not {file:?} either"))
    }

    fn random(&self) -> Result<[u8; 32], String> {
        Ok([0; 32])
    }
}
