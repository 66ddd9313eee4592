//! What is compiled once and run over an event: templates and conditions.

mod condition;
mod index;
pub mod logstash;
pub mod onigmo;
mod template;

pub use condition::{Condition, ConditionError};
pub use index::{IndexName, IndexNameError, NameError, check_index_name};
pub use template::{Missing, Template, TemplateError};

use event::{Event, Path, Value, View};

/// An event that can be looked at: open for changes, or for reading only.
pub trait Look {
    /// The value at a path.
    fn look(&self, path: &Path) -> Option<Value<'_>>;
    /// The time of the event, in nanoseconds UTC.
    fn moment(&self) -> i64;
}

impl Look for Event<'_> {
    fn look(&self, path: &Path) -> Option<Value<'_>> {
        self.get(path)
    }
    fn moment(&self) -> i64 {
        self.time()
    }
}

impl Look for View<'_> {
    fn look(&self, path: &Path) -> Option<Value<'_>> {
        self.get(path)
    }
    fn moment(&self) -> i64 {
        self.time()
    }
}

impl Look for &dyn Look {
    fn look(&self, path: &Path) -> Option<Value<'_>> {
        (**self).look(path)
    }
    fn moment(&self) -> i64 {
        (**self).moment()
    }
}
