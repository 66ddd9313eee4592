//! Filter `json`: reads JSON text into fields. Values stay as they are written until
//! something asks for them.
//!
//! A member `@timestamp` is the time of the event. Where it is no time, the event has the time of
//! now, the member is called `_@timestamp`, and the tag `_timestampparsefailure` tells it, as in
//! Logstash.

use crate::on_success::add_tags;
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

const NO_TIME: &str = "_timestampparsefailure";

impl Json {
    /// Applies it; `now` is the clock reading of the batch.
    pub fn apply(&self, event: &mut Event<'_>, now: i64) -> Outcome {
        let Some(span) = event.text(&self.source) else { return Outcome::FAILED };
        let ok = match &self.target {
            Some(target) => matches!(event.set_json(target, span), Ok(Ok(()))),
            None => match event.merge_json(span) {
                Ok(true) => true,
                Ok(false) => {
                    event.set_time(now);
                    add_tags(event, &[NO_TIME.to_owned()])
                }
                Err(_) => false,
            },
        };
        if ok && self.remove_source && event.text(&self.source) == Some(span) {
            event.remove(&self.source);
        }
        Outcome::of(ok)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{apply_timed, check};

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
        let (found, outcome, time) = apply_timed(
            r#"{"json":{}}"#,
            r#"{"message":"{\"@timestamp\":\"x\",\"a\":1}","@timestamp":"2020-01-01T00:00:00Z"}"#,
        );
        let expected = r#"{"message":"{\"@timestamp\":\"x\",\"a\":1}","_@timestamp":"x","a":1,"tags":["_timestampparsefailure"]}"#;
        assert_eq!(found, serde_json::from_str::<serde_json::Value>(expected).unwrap());
        assert_eq!((outcome.ok, time.as_str()), (true, "2026-11-18T11:06:40.000Z"));
    }
}
