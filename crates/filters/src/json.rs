//! Filter `json`: reads JSON text into fields. Values stay as they are written until
//! something asks for them.

use crate::{BuildError, Outcome, path};
use event::{Event, Path};
use serde::{Deserialize, Serialize};

/// Options of the filter `json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that holds the text.
    pub source: String,
    /// The field that takes the value; none: an object's members become fields of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Whether the text is removed on success. A member of the same name stays.
    pub remove_source: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { source: "message".to_owned(), target: None, remove_source: false }
    }
}

/// The filter.
pub struct Json {
    source: Path,
    target: Option<Path>,
    remove_source: bool,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Json, BuildError> {
        Ok(Json {
            source: path("source", &self.source)?,
            target: self.target.as_ref().map(|target| path("target", target)).transpose()?,
            remove_source: self.remove_source,
        })
    }
}

impl Json {
    /// Applies it.
    pub fn apply(&self, event: &mut Event<'_>) -> Outcome {
        let Some(span) = event.text(&self.source) else { return Outcome::FAILED };
        let ok = match &self.target {
            Some(target) => matches!(event.set_json(target, span), Ok(Ok(()))),
            None => event.merge_json(span).is_ok(),
        };
        if ok && self.remove_source && event.text(&self.source) == Some(span) {
            event.remove(&self.source);
        }
        Outcome::of(ok)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn json() {
        check(r#"{"json":{}}"#, r#"{"message":"{\"a\":1}"}"#, r#"{"message":"{\"a\":1}","a":1}"#, true);
        check(r#"{"json":{"remove_source":true}}"#, r#"{"message":"{\"a\":1}"}"#, r#"{"a":1}"#, true);
        check(
            r#"{"json":{"remove_source":true}}"#,
            r#"{"message":"{\"message\":1}"}"#,
            r#"{"message":1}"#,
            true,
        );
        check(
            r#"{"json":{"target":"x.y"}}"#,
            r#"{"message":"[1]"}"#,
            r#"{"message":"[1]","x":{"y":[1]}}"#,
            true,
        );
        check(r#"{"json":{}}"#, r#"{"message":"{\"a\":"}"#, r#"{"message":"{\"a\":"}"#, false);
        check(r#"{"json":{"source":"no"}}"#, "{}", "{}", false);
    }
}
