//! Filter `remove`: removes fields.

use crate::{BuildError, Outcome, path};
use event::{Event, Path};
use serde::{Deserialize, Serialize};

/// Options of the filter `remove`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The fields.
    pub fields: Vec<String>,
}

/// The filter.
pub struct Remove(Vec<Path>);

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Remove, BuildError> {
        self.fields.iter().map(|field| path("fields", field)).collect::<Result<_, _>>().map(Remove)
    }
}

impl Remove {
    /// Applies it. A field that is not there is no failure.
    pub fn apply(&self, event: &mut Event<'_>) -> Outcome {
        for path in &self.0 {
            event.remove(path);
        }
        Outcome::OK
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn remove() {
        check(
            r#"{"remove":{"fields":["a","b.c","no"]}}"#,
            r#"{"a":1,"b":{"c":1,"d":2}}"#,
            r#"{"b":{"d":2}}"#,
            true,
        );
    }
}
