//! Bytes of a file that never changes, shared.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Weak};

/// Bytes that are cheap to clone: memory, or a mapped file.
#[derive(Clone)]
pub struct Bytes(Arc<dyn Memory>);

/// [`Bytes`] that others hold, or do not any more.
pub struct WeakBytes(Weak<dyn Memory>);

pub(crate) trait Memory: AsRef<[u8]> + Send + Sync {
    /// Lets go of pages that come back by themselves.
    fn let_pages_go(&self) {}
}

impl Memory for Vec<u8> {}

impl Bytes {
    pub(crate) fn new(bytes: impl Memory + 'static) -> Self {
        Self(Arc::new(bytes))
    }

    /// The same without holding it.
    pub fn downgrade(&self) -> WeakBytes {
        WeakBytes(Arc::downgrade(&self.0))
    }

    /// Takes the pages of a mapped file out of this process's memory. Whoever reads them gets them
    /// again, from the system's cache or the file.
    pub fn let_pages_go(&self) {
        self.0.let_pages_go();
    }
}

impl WeakBytes {
    /// The bytes, if anybody holds them.
    pub fn upgrade(&self) -> Option<Bytes> {
        self.0.upgrade().map(Bytes)
    }

    /// Whether anybody holds them.
    pub fn is_held(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
