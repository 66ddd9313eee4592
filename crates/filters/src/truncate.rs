//! Filter `truncate`: cuts long text.
//!
//! The length counts bytes; a character is never cut apart, so that what is left may be up to
//! three bytes shorter.

use crate::values::{Fields, each_text, set_tree, tree_of};
use crate::{BuildError, Outcome};
use event::{Event, New, Path, Value};
use serde::{Deserialize, Serialize};

/// Options of the filter `truncate`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The fields to cut, with every text within them; none: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// How many bytes of a text are kept at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length_bytes: Option<usize>,
}

/// The filter.
pub struct Truncate {
    fields: Fields,
    length: usize,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Truncate, BuildError> {
        let Some(length) = self.length_bytes else {
            let message = "needs the number of bytes that are kept".to_owned();
            return Err(BuildError { option: "length_bytes", message });
        };
        Ok(Truncate { fields: Fields::new("fields", &self.fields)?, length })
    }
}

impl Truncate {
    /// Applies it. It fails where a field cannot be written.
    pub fn apply(&mut self, event: &mut Event<'_>) -> Outcome {
        let length = self.length;
        Outcome::of(self.fields.each(event, |event, field| cut(event, field, length)))
    }
}

fn cut(event: &mut Event<'_>, field: &Path, length: usize) -> bool {
    match event.get(field) {
        Some(Value::Str(text)) if text.len() > length => {
            let end = end_of(&text, length);
            let Some(span) = event.text(field) else { return false };
            event.set(field, New::Span(span.within(0, end))).is_ok()
        }
        Some(value @ Value::Json(_)) => {
            let mut tree = tree_of(&value);
            let changed = each_text(&mut tree, &mut |text| {
                let is_long = text.len() > length;
                text.truncate(end_of(text.as_bytes(), length));
                is_long
            });
            !changed || set_tree(event, field, &tree).is_ok()
        }
        _ => true,
    }
}

/// Where a text of at most `length` bytes ends without cutting a character apart.
fn end_of(text: &[u8], length: usize) -> usize {
    if length >= text.len() {
        return text.len();
    }
    let is_within = |at: usize| text[at] & 0xc0 == 0x80;
    // A character has four bytes at most; what looks longer is not UTF-8.
    let back = (0..=3.min(length)).find(|back| !is_within(length - back));
    length - back.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, mistake};
    use proptest::prelude::*;

    #[test]
    fn truncate() {
        let config = r#"{"truncate":{"fields":["a"],"length_bytes":10}}"#;
        check(
            config,
            r#"{"a":"hello world, how are you?","b":"hello world"}"#,
            r#"{"a":"hello worl","b":"hello world"}"#,
            true,
        );
        check(config, r#"{"a":"hello worl"}"#, r#"{"a":"hello worl"}"#, true);
        check(config, "{}", "{}", true);
        // Numbers are no text; texts within arrays and objects are.
        check(config, r#"{"a":12345678901}"#, r#"{"a":12345678901}"#, true);
        check(
            config,
            r#"{"a":["0123456789x",1,{"b":"0123456789y"}]}"#,
            r#"{"a":["0123456789",1,{"b":"0123456789"}]}"#,
            true,
        );
        let config = r#"{"truncate":{"fields":["o.p"],"length_bytes":3}}"#;
        check(config, r#"{"o":{"p":"aéé","q":"long"}}"#, r#"{"o":{"p":"aé","q":"long"}}"#, true);
        let all = r#"{"truncate":{"length_bytes":2}}"#;
        check(all, r#"{"a":"abc","b":{"c":"xé🂡"},"n":1.50}"#, r#"{"a":"ab","b":{"c":"x"},"n":1.50}"#, true);
        check(r#"{"truncate":{"length_bytes":0}}"#, r#"{"a":"abc"}"#, r#"{"a":""}"#, true);
        mistake(r#"{"truncate":{}}"#, "option \"length_bytes\": needs");
        mistake(r#"{"truncate":{"length_bytes":1,"fields":[""]}}"#, "option \"fields\": not a field path");
    }

    proptest! {
        #[test]
        fn what_is_left_is_text_and_as_long_as_possible(text: String, length in 0usize..40) {
            let end = super::end_of(text.as_bytes(), length);
            prop_assert!(end <= length && text.is_char_boundary(end));
            prop_assert!(end == text.len() || end + 4 > length);
        }

        #[test]
        fn any_bytes(text: Vec<u8>, length in 0usize..40) {
            prop_assert!(super::end_of(&text, length) <= length.min(text.len()));
        }
    }
}
