//! Filter `kv`: reads `key=value` text; with its defaults that is logfmt.

use crate::{BuildError, Outcome, path};
use event::{Event, New, Path, Span};
use serde::{Deserialize, Serialize};

/// Options of the filter `kv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that holds the text.
    pub source: String,
    /// The field below which the pairs go; none: they become fields of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The characters between pairs.
    pub field_split: String,
    /// The character between key and value.
    pub value_split: char,
    /// What stands before each key in its new name.
    pub prefix: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: "message".into(),
            target: None,
            field_split: " ".into(),
            value_split: '=',
            prefix: String::new(),
        }
    }
}

/// The filter.
pub struct Kv {
    source: Path,
    target: Vec<String>,
    field_split: Vec<u8>,
    value_split: u8,
    prefix: String,
    pairs: Vec<(Span, Span, bool)>,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Kv, BuildError> {
        let ascii = |option, text: &str| {
            let message = "takes ASCII characters".to_owned();
            if text.is_ascii() && !text.is_empty() {
                Ok(text.as_bytes().to_vec())
            } else {
                Err(BuildError { option, message })
            }
        };
        let target = self.target.as_ref().map(|target| path("target", target)).transpose()?;
        Ok(Kv {
            source: path("source", &self.source)?,
            target: target.iter().flat_map(Path::names).map(str::to_owned).collect(),
            field_split: ascii("field_split", &self.field_split)?,
            value_split: ascii("value_split", &self.value_split.to_string())?[0],
            prefix: self.prefix.clone(),
            pairs: Vec::new(),
        })
    }
}

impl Kv {
    /// Applies it. It fails where there is no pair.
    pub fn apply(&mut self, event: &mut Event<'_>) -> Outcome {
        let Some(source) = event.text(&self.source) else { return Outcome::FAILED };
        self.pairs.clear();
        pairs(event.bytes(source), &self.field_split, self.value_split, &mut self.pairs);
        let mut ok = !self.pairs.is_empty();
        for (key, value, escaped) in &self.pairs {
            let name = format!(
                "{}{}",
                self.prefix,
                String::from_utf8_lossy(event.bytes(source.within(key.from as usize, key.to as usize)))
            );
            let names = self.target.iter().map(String::as_str).chain([name.as_str()]);
            let path = Path::of(names);
            let value = source.within(value.from as usize, value.to as usize);
            ok &= set_value(event, &path, value, *escaped);
        }
        Outcome::of(ok)
    }
}

/// Sets a value that may hold `\"`.
pub(crate) fn set_value(event: &mut Event<'_>, path: &Path, value: Span, escaped: bool) -> bool {
    if !escaped {
        return event.set(path, New::Span(value)).is_ok();
    }
    let mut text = Vec::with_capacity(value.len());
    let mut bytes = event.bytes(value).iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => text.extend(bytes.next().map(|next| match next {
                b'n' => b'\n',
                b't' => b'\t',
                other => *other,
            })),
            other => text.push(*other),
        }
    }
    event.set(path, New::Str(&text)).is_ok()
}

/// Finds the pairs of a text: key, value without its quotes, and whether it holds escapes.
pub(crate) fn pairs(text: &[u8], field_split: &[u8], value_split: u8, found: &mut Vec<(Span, Span, bool)>) {
    let mut at = 0;
    while at < text.len() {
        if field_split.contains(&text[at]) {
            at += 1;
            continue;
        }
        let key_from = at;
        while at < text.len() && text[at] != value_split && !field_split.contains(&text[at]) {
            at += 1;
        }
        let key = Span::new(key_from, at);
        if at >= text.len() || text[at] != value_split {
            continue;
        }
        at += 1;
        let mut escaped = false;
        let value = if text.get(at) == Some(&b'"') {
            let from = at + 1;
            at = from;
            while at < text.len() && text[at] != b'"' {
                escaped |= text[at] == b'\\';
                at += if text[at] == b'\\' { 2 } else { 1 };
            }
            let end = at.min(text.len());
            at = end + 1;
            Span::new(from, end)
        } else {
            let from = at;
            while at < text.len() && !field_split.contains(&text[at]) {
                at += 1;
            }
            Span::new(from, at)
        };
        if !key.is_empty() {
            found.push((key, value, escaped));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;
    use proptest::prelude::*;

    #[test]
    fn kv() {
        check(
            r#"{"kv":{}}"#,
            r#"{"message":"a=1 b=\"x y\" c= d"}"#,
            r#"{"message":"a=1 b=\"x y\" c= d","a":"1","b":"x y","c":""}"#,
            true,
        );
        check(
            r#"{"kv":{}}"#,
            r#"{"message":"a=\"x \\\"y\\\"\""}"#,
            r#"{"message":"a=\"x \\\"y\\\"\"","a":"x \"y\""}"#,
            true,
        );
        check(
            r#"{"kv":{"source":"q","target":"p","field_split":"&","prefix":"_"}}"#,
            r#"{"q":"a=1&b=2"}"#,
            r#"{"q":"a=1&b=2","p":{"_a":"1","_b":"2"}}"#,
            true,
        );
        check(r#"{"kv":{}}"#, r#"{"message":"none"}"#, r#"{"message":"none"}"#, false);
    }

    proptest! {
        #[test]
        fn any_bytes(text: Vec<u8>) {
            let mut found = Vec::new();
            super::pairs(&text, b" ", b'=', &mut found);
            for (key, value, _) in found {
                prop_assert!(key.to <= value.from && value.to as usize <= text.len());
            }
        }
    }
}
