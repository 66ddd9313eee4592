//! A regular expression with a limit on its steps, for options in which users write one.

use crate::BuildError;
use pcre2::bytes::RegexBuilder;

/// How often a regex may try; beyond, the text is given up. That takes a few milliseconds.
const TRIES_MAX: u32 = 1_000_000;
const STACK_BYTES_MAX: usize = 1 << 20;

/// A regular expression: PCRE2's, in which `^` and `$` match at every line, as in Ruby.
pub(crate) struct Pattern(pcre2::bytes::Regex);

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        RegexBuilder::new()
            .utf(true)
            .multi_line(true)
            .jit_if_available(true)
            .max_jit_stack_size(Some(STACK_BYTES_MAX))
            .build(&format!("(*LF)(*LIMIT_MATCH={TRIES_MAX}){text}"))
            .map(Self)
            .map_err(|error| format!("{error} (in the regular expression {text:?})"))
    }

    pub(crate) fn of(option: &'static str, text: &str) -> Result<Self, BuildError> {
        Self::new(text).map_err(|message| BuildError { option, message })
    }

    /// Whether it matches somewhere in a text. Text that is not UTF-8, and text on which it would
    /// try too often, does not match.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.0.is_match(text).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn matching() {
        let matches = |pattern: &str, text: &str| Pattern::new(pattern).unwrap().is_match(text.as_bytes());
        assert!(matches("^b$", "a\nb\nc"));
        assert!(matches("(?<!x)y", "zy"));
        assert!(!matches("^a$", "ab"));
        // It would try for years.
        assert!(!matches("^(a+)+$", &format!("{}!", "a".repeat(60))));
        assert!(!Pattern::new(".").unwrap().is_match(&[0xff]));
        assert!(Pattern::new("(").is_err());
    }
}
