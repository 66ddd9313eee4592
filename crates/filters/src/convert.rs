//! Filter `convert`: changes the type of values.

use crate::{BuildError, Outcome, path};
use event::{Event, New, Path, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options of the filter `convert`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The type of each field.
    pub fields: BTreeMap<String, Type>,
}

/// A type of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// A whole number; a fraction is cut.
    Int,
    /// A number.
    Float,
    /// Text.
    String,
    /// A boolean: true, yes, on, 1 and their opposites.
    Bool,
}

/// The filter.
pub struct Convert(Vec<(Path, Type)>);

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Convert, BuildError> {
        self.fields
            .iter()
            .map(|(field, to)| Ok((path("fields", field)?, *to)))
            .collect::<Result<_, _>>()
            .map(Convert)
    }
}

impl Convert {
    /// Applies it. A value that cannot be converted stays, and the filter failed.
    pub fn apply(&self, event: &mut Event<'_>) -> Outcome {
        let mut ok = true;
        for (path, to) in &self.0 {
            let Some(value) = event.get(path) else { continue };
            let mut text = Vec::new();
            value.write_text(&mut text);
            let new = match to {
                Type::Int => int(&value, &text).map(New::Int),
                Type::Float => number(&text).map(New::Float),
                Type::Bool => boolean(&text).map(New::Bool),
                Type::String => Some(New::Str(&text)),
            };
            ok &= new.is_some_and(|new| event.set(path, new).is_ok());
        }
        Outcome::of(ok)
    }
}

fn number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

fn int(value: &Value<'_>, text: &[u8]) -> Option<i64> {
    if let Value::Bool(value) = value {
        return Some(i64::from(*value));
    }
    let text = std::str::from_utf8(text).ok()?.trim();
    text.parse().ok().or_else(|| {
        number(text.as_bytes()).filter(|number| number.abs() < 9.2e18).map(|number| number as i64)
    })
}

fn boolean(text: &[u8]) -> Option<bool> {
    match text.to_ascii_lowercase().as_slice() {
        b"true" | b"t" | b"yes" | b"y" | b"on" | b"1" => Some(true),
        b"false" | b"f" | b"no" | b"n" | b"off" | b"0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn convert() {
        let config = r#"{"convert":{"fields":{"i":"int","f":"float","s":"string","b":"bool"}}}"#;
        check(
            config,
            r#"{"i":"12","f":"1.5","s":5,"b":"yes"}"#,
            r#"{"i":12,"f":1.5,"s":"5","b":true}"#,
            true,
        );
        check(config, r#"{"i":1.9,"b":0}"#, r#"{"i":1,"b":false}"#, true);
        check(config, r#"{"i":"x"}"#, r#"{"i":"x"}"#, false);
    }
}
