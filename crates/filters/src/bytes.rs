//! Filter `bytes`: reads sizes such as `5.3 GB` into a number of bytes.

use crate::{BuildError, Outcome, path};
use event::{Event, New, Path};
use serde::{Deserialize, Serialize};

/// Options of the filter `bytes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that holds the text.
    pub source: String,
    /// The field that takes the number; none: it replaces the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What `k`, `M` and so on mean.
    pub prefix_system: Prefixes,
    /// The character between groups of digits.
    pub digit_group_separator: char,
    /// The character before the fraction.
    pub decimal_separator: char,
}

/// What the prefixes of a unit mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prefixes {
    /// Powers of 1024.
    #[default]
    Binary,
    /// Powers of 1000.
    Metric,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: "message".into(),
            target: None,
            prefix_system: Prefixes::Binary,
            digit_group_separator: ' ',
            decimal_separator: '.',
        }
    }
}

/// The filter.
pub struct Bytes {
    source: Path,
    target: Path,
    base: f64,
    group: char,
    point: char,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Bytes, BuildError> {
        let (group, point) = (self.digit_group_separator, self.decimal_separator);
        let message = match (group, point) {
            (a, b) if a == b => Some("is the decimal separator already"),
            (a, b) if a.is_alphanumeric() || b.is_alphanumeric() => {
                Some("digits and letters separate nothing")
            }
            _ => None,
        };
        if let Some(message) = message {
            return Err(BuildError { option: "digit_group_separator", message: message.to_owned() });
        }
        let base = if self.prefix_system == Prefixes::Binary { 1024.0 } else { 1000.0 };
        let source = path("source", &self.source)?;
        let target = self.target.as_ref().map(|target| path("target", target)).transpose()?;
        Ok(Bytes { target: target.unwrap_or_else(|| source.clone()), source, base, group, point })
    }
}

impl Bytes {
    /// Applies it. It fails, and changes nothing, where the text is no size.
    pub fn apply(&self, event: &mut Event<'_>) -> Outcome {
        let Some(span) = event.text(&self.source) else { return Outcome::FAILED };
        let size = std::str::from_utf8(event.bytes(span)).ok().and_then(|text| self.size(text.trim()));
        Outcome::of(size.is_some_and(|size| event.set(&self.target, New::Float(size)).is_ok()))
    }

    /// The number of bytes that a text tells.
    fn size(&self, text: &str) -> Option<f64> {
        let text = text.strip_suffix(['b', 'B']).unwrap_or(text);
        let power = |last: char| "kmgtpe".find(last.to_ascii_lowercase()).map(|at| at as i32 + 1);
        let (number, power) = match text.char_indices().last().and_then(|(at, last)| Some((at, power(last)?)))
        {
            Some((at, power)) => (&text[..at], power),
            None => (text, 0),
        };
        let mut digits = String::with_capacity(number.len());
        for c in number.trim_end().chars() {
            match c {
                '0'..='9' => digits.push(c),
                c if c == self.point => digits.push('.'),
                c if c == self.group => {}
                _ => return None,
            }
        }
        digits
            .parse::<f64>()
            .ok()
            .map(|number| number * self.base.powi(power))
            .filter(|size| size.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{apply, check, mistake};
    use proptest::prelude::*;

    #[test]
    fn bytes() {
        #[track_caller]
        fn size(options: &str, text: &str, size: f64) {
            let config = format!(r#"{{"bytes":{{"target":"n"{options}}}}}"#);
            let (after, outcome) = apply(&config, &serde_json::json!({ "message": text }).to_string());
            assert!(outcome.ok);
            assert_eq!(after, serde_json::json!({ "message": text, "n": size }));
        }
        size("", "1 KB", 1024.0);
        size("", "123 MB", 128_974_848.0);
        size("", "5.3GB", 5_690_831_667.2);
        size("", "77", 77.0);
        size("", "77b", 77.0);
        size("", " 12 345.5 k ", 12_641_792.0);
        size("", "2t", 2_199_023_255_552.0);
        size("", "1P", 1024f64.powi(5));
        size("", "1EB", 1024f64.powi(6));
        size(r#","prefix_system":"metric""#, "1.5 MB", 1_500_000.0);
        size(r#","digit_group_separator":".","decimal_separator":",""#, "1.234,5kb", 1_264_128.0);
        let config = r#"{"bytes":{"source":"s"}}"#;
        check(config, r#"{"s":"1k"}"#, r#"{"s":1024.0}"#, true);
        check(config, r#"{"s":2048}"#, r#"{"s":2048.0}"#, true);
        for text in ["", "KB", ".", "1.2.3", "-1", "1 KiB", "1 kbit", "x 1k", "1,5", "é"] {
            let event = serde_json::json!({ "s": text }).to_string();
            check(config, &event, &event, false);
        }
        check(config, "{}", "{}", false);
        check(config, r#"{"s":["1k"]}"#, r#"{"s":["1k"]}"#, false);
        mistake(r#"{"bytes":{"decimal_separator":" "}}"#, "option \"digit_group_separator\": is the decimal");
        mistake(
            r#"{"bytes":{"decimal_separator":"k"}}"#,
            "option \"digit_group_separator\": digits and letters",
        );
    }

    proptest! {
        #[test]
        fn any_text(text: String) {
            let filter = super::Config::default().build().unwrap();
            if let Some(size) = filter.size(&text) {
                prop_assert!(size.is_finite() && size >= 0.0);
            }
        }

        #[test]
        fn numbers_are_read(number in 0u32.., prefix in 0usize..7) {
            let filter = super::Config::default().build().unwrap();
            let text = format!("{number} {}B", ["", "k", "M", "g", "T", "p", "E"][prefix]);
            prop_assert_eq!(filter.size(&text), Some(f64::from(number) * 1024f64.powi(prefix as i32)));
        }
    }
}
