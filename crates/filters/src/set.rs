//! Filter `set`: sets fields to values; text may be a template.

use crate::{BuildError, Outcome, path};
use event::{Event, New, Path};
use expr::Template;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Options of the filter `set`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The value of each field.
    pub fields: Map<String, Value>,
}

/// The filter.
pub struct Set {
    fields: Vec<(Path, Kind)>,
    text: Vec<u8>,
}

enum Kind {
    Template(Template),
    Json(String),
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Set, BuildError> {
        let field = |(name, value): (&String, &Value)| {
            let kind = match value {
                Value::String(text) => Kind::Template(
                    Template::parse(text)
                        .map_err(|error| BuildError { option: "fields", message: error.to_string() })?,
                ),
                other => Kind::Json(other.to_string()),
            };
            Ok((path("fields", name)?, kind))
        };
        Ok(Set { fields: self.fields.iter().map(field).collect::<Result<_, _>>()?, text: Vec::new() })
    }
}

impl Set {
    /// Applies it. It fails where a template's field is missing, and then leaves the reference.
    pub fn apply(&mut self, event: &mut Event<'_>, now: i64) -> Outcome {
        let mut ok = true;
        for (path, kind) in &self.fields {
            ok &= match kind {
                Kind::Json(text) => event.set(path, New::Json(text)).is_ok(),
                Kind::Template(template) => {
                    self.text.clear();
                    let whole = template.render(event, now, &mut self.text).is_ok();
                    event.set(path, New::Str(&self.text)).is_ok() && whole
                }
            };
        }
        Outcome::of(ok)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn set() {
        check(
            r#"{"set":{"fields":{"a.b":"x-%{n}","c":[1]}}}"#,
            r#"{"n":5}"#,
            r#"{"n":5,"a":{"b":"x-5"},"c":[1]}"#,
            true,
        );
        check(r#"{"set":{"fields":{"a":"%{no}"}}}"#, "{}", r#"{"a":"%{no}"}"#, false);
    }
}
