//! Filter `uuid`: gives the event a random UUID (version 4, RFC 9562).

use crate::random::Random;
use crate::{BuildError, Outcome, Provider, path};
use event::{Event, New, Path, Value};
use serde::{Deserialize, Serialize};

/// Options of the filter `uuid`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that takes the UUID.
    pub target: String,
    /// Whether a value that is there already is replaced.
    pub overwrite: bool,
}

/// The filter.
pub struct Uuid {
    target: Path,
    overwrite: bool,
    random: Random,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self, provider: &dyn Provider) -> Result<Uuid, BuildError> {
        if self.target.is_empty() {
            let message = "needs the field that takes the UUID".to_owned();
            return Err(BuildError { option: "target", message });
        }
        let target = path("target", &self.target)?;
        let seed = provider.random().map_err(|message| BuildError { option: "target", message })?;
        Ok(Uuid { target, overwrite: self.overwrite, random: Random::new(seed) })
    }
}

impl Uuid {
    /// Applies it. It fails where the field cannot be written.
    pub fn apply(&mut self, event: &mut Event<'_>) -> Outcome {
        let is_there = event.get(&self.target).is_some_and(|value| value != Value::Null);
        if is_there && !self.overwrite {
            return Outcome::OK;
        }
        Outcome::of(event.set(&self.target, New::Str(self.random.uuid().as_bytes())).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{apply, check, mistake};

    #[test]
    fn uuid() {
        let (after, outcome) = apply(r#"{"uuid":{"target":"@uuid"}}"#, r#"{"a":1}"#);
        assert!(outcome.ok);
        assert_eq!(after["a"], 1);
        assert_eq!(after["@uuid"].as_str().unwrap().len(), 36);
        let kept = r#"{"x":{"id":"old"}}"#;
        check(r#"{"uuid":{"target":"x.id"}}"#, kept, kept, true);
        let (after, _) = apply(r#"{"uuid":{"target":"x.id"}}"#, r#"{"x":{"id":null}}"#);
        assert_eq!(after["x"]["id"].as_str().unwrap().len(), 36);
        let (after, _) = apply(r#"{"uuid":{"target":"x.id","overwrite":true}}"#, kept);
        assert_eq!(after["x"]["id"].as_str().unwrap().len(), 36);
        check(r#"{"uuid":{"target":"x.id"}}"#, r#"{"x":"text"}"#, r#"{"x":"text"}"#, false);
        mistake(r#"{"uuid":{}}"#, "option \"target\": needs");
    }
}
