//! Filter `rename`: moves fields, in the order in which they are written.

use crate::{BuildError, Outcome, path};
use event::{Event, Path};
use serde::{Deserialize, Serialize};
use serde_json::Map;

/// Options of the filter `rename`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The new name of each field.
    pub fields: Map<String, serde_json::Value>,
}

/// The filter.
pub struct Rename(Vec<(Path, Path)>);

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Rename, BuildError> {
        let pair = |(old, new): (&String, &serde_json::Value)| {
            let wrong =
                || BuildError { option: "fields", message: format!("the new name of {old:?} is no text") };
            Ok((path("fields", old)?, path("fields", new.as_str().ok_or_else(wrong)?)?))
        };
        self.fields.iter().map(pair).collect::<Result<_, _>>().map(Rename)
    }
}

impl Rename {
    /// Applies it. A field that is not there is no failure.
    pub fn apply(&self, event: &mut Event<'_>) -> Outcome {
        let mut ok = true;
        for (old, new) in &self.0 {
            ok &= event.rename(old, new).is_ok();
        }
        Outcome::of(ok)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn rename() {
        check(r#"{"rename":{"fields":{"a":"b","b":"c.d"}}}"#, r#"{"a":1}"#, r#"{"c":{"d":1}}"#, true);
        check(r#"{"rename":{"fields":{"x":"y"}}}"#, r#"{"a":1}"#, r#"{"a":1}"#, true);
    }
}
