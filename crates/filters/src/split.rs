//! Filter `split`: makes an event of each part of a text, or of each item of an array.
//!
//! The event itself ends, and what was made of it goes on through the filters that follow. What is
//! done on success is done to these. All of them are acknowledged together. A text of one part
//! stays as it is; of an empty text or array nothing is left.

use crate::copies::copies;
use crate::values::{set_tree, tree_of};
use crate::{BuildError, Outcome, path};
use event::{Event, New, Path, Span, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Options of the filter `split`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that holds the text or the array.
    pub field: String,
    /// What stands between the parts of a text; a blank stands for any number of them.
    pub terminator: String,
    /// The field that takes the part; none: `field`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { field: "message".into(), terminator: "\n".into(), target: None }
    }
}

/// The filter.
pub struct Split {
    field: Path,
    terminator: String,
    target: Path,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Split, BuildError> {
        if self.terminator.is_empty() {
            let message = "needs the text between the parts".to_owned();
            return Err(BuildError { option: "terminator", message });
        }
        let field = path("field", &self.field)?;
        let target = self.target.as_ref().map(|target| path("target", target)).transpose()?;
        Ok(Split {
            target: target.unwrap_or_else(|| field.clone()),
            field,
            terminator: self.terminator.clone(),
        })
    }
}

impl Split {
    /// Applies it. It fails where the field is neither text nor an array, and where the event would
    /// become too many.
    pub fn apply(&self, event: &mut Event<'_>) -> Outcome {
        let outcome = match event.get(&self.field) {
            Some(Value::Str(_)) => {
                let Some(text) = event.text(&self.field) else { return Outcome::FAILED };
                let parts = self.parts(event.bytes(text));
                if parts.len() == 1 {
                    return Outcome::IDLE;
                }
                let parts: Vec<Span> = parts
                    .into_iter()
                    .filter(|(from, to)| from < to)
                    .map(|(from, to)| text.within(from, to))
                    .collect();
                copies(event, parts.into_iter(), |copy, part| copy.set(&self.target, New::Span(part)).is_ok())
            }
            Some(value @ Value::Json(_)) => {
                let Json::Array(mut items) = tree_of(&value) else { return Outcome::FAILED };
                items.retain(|item| !item.is_null() && item.as_str() != Some(""));
                copies(event, items.into_iter(), |copy, item| set_tree(copy, &self.target, &item).is_ok())
            }
            _ => return Outcome::FAILED,
        };
        Outcome { drop: outcome.ok, idle: false, ..outcome }
    }

    /// The places of the parts of a text, empty ones included; of an empty text there is none.
    fn parts(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let at = self.terminator.as_bytes();
        let mut parts = Vec::new();
        let mut from = 0;
        if at == b" " {
            let blank = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            from = blank(text);
            while from < text.len() {
                let length = text[from..].iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
                parts.push((from, from + length));
                from += length;
                let blanks = blank(&text[from..]);
                from += blanks;
                if from == text.len() && blanks > 0 {
                    parts.push((from, from));
                }
            }
            return parts;
        }
        if text.is_empty() {
            return parts;
        }
        for found in memchr::memmem::find_iter(text, at) {
            parts.push((from, found));
            from = found + at.len();
        }
        parts.push((from, text.len()));
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::Config;
    use crate::testing::{family, mistake};
    use proptest::prelude::*;

    #[test]
    fn texts() {
        let lines = r#"{"split":{}}"#;
        family(
            lines,
            r#"{"message":"a\nb\n\nc\n","n":1}"#,
            &[r#"{"message":"a","n":1}"#, r#"{"message":"b","n":1}"#, r#"{"message":"c","n":1}"#],
            true,
        );
        // One part is no split; nothing is left of nothing.
        family(lines, r#"{"message":"a"}"#, &[r#"{"message":"a"}"#], true);
        family(lines, r#"{"message":"a\n"}"#, &[r#"{"message":"a"}"#], true);
        family(lines, r#"{"message":""}"#, &[], true);
        family(lines, r#"{"message":"\n\n"}"#, &[], true);
        let other = r#"{"split":{"field":"o.l","terminator":"||","target":"part"}}"#;
        family(
            other,
            r#"{"o":{"l":"x||é"}}"#,
            &[r#"{"o":{"l":"x||é"},"part":"x"}"#, r#"{"o":{"l":"x||é"},"part":"é"}"#],
            true,
        );
        let blanks = r#"{"split":{"terminator":" "}}"#;
        family(blanks, r#"{"message":"  a \t b"}"#, &[r#"{"message":"a"}"#, r#"{"message":"b"}"#], true);
        family(blanks, r#"{"message":" a"}"#, &[r#"{"message":" a"}"#], true);
        family(blanks, r#"{"message":"a "}"#, &[r#"{"message":"a"}"#], true);
    }

    #[test]
    fn arrays() {
        let list = r#"{"split":{"field":"l"}}"#;
        family(
            list,
            r#"{"l":[{"a":1},null,"","b",[2]],"n":1}"#,
            &[r#"{"l":{"a":1},"n":1}"#, r#"{"l":"b","n":1}"#, r#"{"l":[2],"n":1}"#],
            true,
        );
        family(list, r#"{"l":["one"]}"#, &[r#"{"l":"one"}"#], true);
        family(list, r#"{"l":[]}"#, &[], true);
    }

    #[test]
    fn what_cannot_be_split_stays() {
        let list = r#"{"split":{"field":"l"}}"#;
        for event in [r#"{"l":5}"#, r#"{"l":{"a":1}}"#, r#"{"l":null}"#, "{}"] {
            family(list, event, &[event], false);
        }
        let no_place = r#"{"split":{"target":"n.x"}}"#;
        family(no_place, r#"{"message":"a\nb","n":1}"#, &[r#"{"message":"a\nb","n":1}"#], false);
        let many = format!(r#"{{"message":"{}"}}"#, "a\\n".repeat(70_000));
        family(r#"{"split":{}}"#, &many, &[&many], false);
        mistake(r#"{"split":{"terminator":""}}"#, "option \"terminator\": needs");
    }

    proptest! {
        #[test]
        fn parts_and_terminators_are_the_text(text in "[ab,;]{0,20}", at in "[,;]{1,2}") {
            let split = Config { terminator: at.clone(), ..Config::default() }.build().unwrap();
            let parts = split.parts(text.as_bytes());
            let joined: Vec<&str> = parts.iter().map(|(from, to)| &text[*from..*to]).collect();
            prop_assert_eq!(joined.join(&at), text);
        }

        #[test]
        fn blanks_part_words(text in "[ab \t]{0,20}") {
            let split = Config { terminator: " ".into(), ..Config::default() }.build().unwrap();
            let parts = split.parts(text.as_bytes());
            let words: Vec<&str> =
                parts.iter().map(|(from, to)| &text[*from..*to]).filter(|word| !word.is_empty()).collect();
            prop_assert_eq!(words, text.split_ascii_whitespace().collect::<Vec<_>>());
        }
    }
}
