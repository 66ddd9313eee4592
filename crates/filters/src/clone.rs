//! Filter `clone`: makes copies of an event.
//!
//! The event itself goes on unchanged, and its copies behind it, through the filters that follow.
//! What is done on success is done to the copies. All of them are acknowledged with the event.

use crate::copies::copies;
use crate::on_success::add_tags;
use crate::{BuildError, Names, Outcome, one_or_many};
use event::{Event, Path};
use serde::{Deserialize, Serialize};

/// Options of the filter `clone`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The names of the copies; each makes one.
    #[serde(deserialize_with = "one_or_many")]
    pub clones: Vec<String>,
    /// Where a copy has its name: `ecs` adds it to `tags`, `legacy` sets `type`.
    pub names: Names,
}

/// The filter.
pub struct Cloner {
    clones: Vec<String>,
    names: Names,
    kind: Path,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Cloner, BuildError> {
        Ok(Cloner { clones: self.clones.clone(), names: self.names, kind: Path::of(["type"]) })
    }
}

impl Cloner {
    /// Applies it.
    pub fn apply(&self, event: &mut Event<'_>) -> Outcome {
        copies(event, self.clones.iter(), |copy, name| match self.names {
            Names::Ecs => add_tags(copy, std::slice::from_ref(name)),
            Names::Legacy => copy.set(&self.kind, name.as_str()).is_ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::family;

    #[test]
    fn copies_stand_behind_the_event() {
        family(
            r#"{"clone":{"clones":["a","b"],"names":"legacy"}}"#,
            r#"{"message":"m","type":"t","o":{"p":1}}"#,
            &[
                r#"{"message":"m","type":"t","o":{"p":1}}"#,
                r#"{"message":"m","type":"a","o":{"p":1}}"#,
                r#"{"message":"m","type":"b","o":{"p":1}}"#,
            ],
            true,
        );
        family(
            r#"{"clone":{"clones":"a"}}"#,
            r#"{"type":"t","tags":["x"]}"#,
            &[r#"{"type":"t","tags":["x"]}"#, r#"{"type":"t","tags":["x","a"]}"#],
            true,
        );
        family(r#"{"clone":{}}"#, "{}", &["{}"], true);
    }
}
