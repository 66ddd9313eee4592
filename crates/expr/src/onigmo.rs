//! Regular expressions as Ruby writes them, which Logstash and Fluent Bit do too.
//!
//! PCRE2 runs them, with a limit on how often it may try. What Oniguruma writes otherwise is
//! rewritten: `^` and `$` match at every line, `(?m)` lets the dot match line ends, `\h` is a
//! hexadecimal digit, and beside named groups the plain ones capture nothing
//! (<https://github.com/k-takata/Onigmo/blob/master/doc/RE>).

use pcre2::bytes::{CaptureLocations, RegexBuilder};
use std::fmt;

/// How often a regex may try; beyond, the text is given up. That takes a few milliseconds.
const TRIES_MAX: u32 = 1_000_000;
const STACK_BYTES_MAX: usize = 1 << 20;

/// A regular expression, compiled.
#[derive(Clone)]
pub struct Regex {
    regex: pcre2::bytes::Regex,
    written: String,
}

/// The place of a group in a text, as bytes from and to.
pub type Place = (usize, usize);

/// Why a text is not a regular expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegexError(String);

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a regular expression: {}", self.0)
    }
}
impl std::error::Error for RegexError {}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.written)
    }
}

impl Regex {
    /// Compiles a regular expression.
    pub fn new(text: &str) -> Result<Self, RegexError> {
        let rewritten = rewrite(text).map_err(RegexError)?;
        let regex = RegexBuilder::new()
            .utf(true)
            .multi_line(true)
            .jit_if_available(true)
            .max_jit_stack_size(Some(STACK_BYTES_MAX))
            .build(&format!("(*LF)(*LIMIT_MATCH={TRIES_MAX}){rewritten}"))
            .map_err(|error| RegexError(reason(&error)))?;
        Ok(Self { regex, written: text.to_owned() })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Whether it matches somewhere in the text. Text that is not UTF-8, and text on which it
    /// would try too often, does not match.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text).unwrap_or(false)
    }

    /// The groups of the first match at or behind `from`, the whole match first; `None` where
    /// there is no match.
    pub fn find_at(&self, text: &[u8], from: usize, groups: &mut Groups) -> Option<Place> {
        let places = groups.0.get_or_insert_with(|| self.regex.capture_locations());
        let found = self.regex.captures_read_at(places, text, from).ok()??;
        Some((found.start(), found.end()))
    }

    /// The names of the groups, the whole match first; plain groups have none.
    pub fn names(&self) -> &[Option<String>] {
        self.regex.capture_names()
    }
}

/// Where the groups of a regex are in a text. It belongs to one regex.
#[derive(Default, Clone)]
pub struct Groups(Option<CaptureLocations>);

impl Groups {
    /// The place of a group; 0 is the whole match.
    pub fn get(&self, group: usize) -> Option<Place> {
        self.0.as_ref()?.get(group)
    }
}

fn reason(error: &pcre2::Error) -> String {
    let text = error.to_string();
    text.rsplit(": ").next().unwrap_or(&text).to_owned()
}

/// From Oniguruma's syntax to that of PCRE2.
fn rewrite(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut in_class = false;
    let mut has_names = false;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let mut taken = first.len_utf8();
        match first {
            '\\' => {
                let next = rest[1..].chars().next().ok_or("nothing behind the last \\")?;
                taken += next.len_utf8();
                match next {
                    'h' if in_class => out.push_str("0-9a-fA-F"),
                    'h' => out.push_str("[0-9a-fA-F]"),
                    'H' if !in_class => out.push_str("[^0-9a-fA-F]"),
                    // A name of PCRE2 for it; Ruby's \Z is the same in both.
                    other => out.extend(['\\', other]),
                }
            }
            '[' if in_class => match rest.starts_with("[:").then(|| rest.find(":]")).flatten() {
                Some(end) => {
                    taken = end + 2;
                    out.push_str(&rest[..taken]);
                }
                None => out.push_str("\\["),
            },
            '[' => {
                in_class = true;
                // A `]` that comes first stands for itself.
                let open = ["[^]", "[]", "[^", "["].into_iter().find(|open| rest.starts_with(open));
                let open = open.unwrap_or("[");
                taken = open.len();
                out.push_str(open);
            }
            ']' => {
                in_class = false;
                out.push(']');
            }
            '&' if in_class && rest.starts_with("&&") => {
                return Err("&& within [ ] is not supported".to_owned());
            }
            '(' if !in_class => {
                taken = 1;
                out.push('(');
                if let Some(behind) = rest.strip_prefix("(?") {
                    has_names |= is_name(behind);
                    let flags = behind.bytes().take_while(|byte| b"mix-".contains(byte)).count();
                    if flags > 0 && matches!(behind.as_bytes().get(flags), Some(b':' | b')')) {
                        out.push('?');
                        out.push_str(&behind[..flags].replace('m', "s"));
                        taken = 2 + flags;
                    }
                }
            }
            other => out.push(other),
        }
        rest = &rest[taken..];
    }
    Ok(if has_names { format!("(?n){out}") } else { out })
}

/// Whether what stands behind `(?` opens a group with a name.
fn is_name(behind: &str) -> bool {
    behind.starts_with('\'')
        || (behind.starts_with('<') && !behind.starts_with("<=") && !behind.starts_with("<!"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn matches() {
        #[track_caller]
        fn check(regex: &str, text: &str, expected: bool) {
            assert_eq!(
                Regex::new(regex).unwrap().is_match(text.as_bytes()),
                expected,
                "/{regex}/ on {text:?}"
            );
        }
        check("^b$", "a\nb\nc", true); // ^ and $ are about lines
        check("\\Ab", "a\nb", false);
        check("a.c", "a\nc", false);
        check("(?m)a.c", "a\nc", true); // Ruby's m is what others call s
        check("^\\h+$", "c0ffee", true);
        check("[\\h_]{3}", "g_f", false);
        check("a\\/b", "a/b", true);
        check("(?i)HELLO", "hello", true);
        check("(?<=a)b(?!c)", "abd", true);
        check("é{2}", "éé", true);
        check("[[:upper:][]", "[", true);
        check("(a+)+$", &"a".repeat(40), true);
    }

    #[test]
    fn what_takes_too_long_is_given_up() {
        let regex = Regex::new("^(([a-z])+.)+[A-Z]([a-z])+$").unwrap();
        assert!(!regex.is_match("a".repeat(64).as_bytes()));
        assert!(!Regex::new("x").unwrap().is_match(b"x\xff"));
    }

    #[test]
    fn groups() {
        let regex = Regex::new("(?<key>\\w+)=(\\w+)").unwrap();
        let mut groups = Groups::default();
        assert_eq!(regex.find_at(b"  a=b", 0, &mut groups), Some((2, 5)));
        assert_eq!((groups.get(1), groups.get(2)), (Some((2, 3)), None));
        assert_eq!(regex.names()[1].as_deref(), Some("key"));
        let plain = Regex::new("(\\w)=(\\w)").unwrap();
        let mut groups = Groups::default();
        assert_eq!(plain.find_at(b"a=b c=d", 1, &mut groups), Some((4, 7)));
        assert_eq!(groups.get(2), Some((6, 7)));
    }

    #[test]
    fn mistakes() {
        #[track_caller]
        fn check(regex: &str, expected: &str) {
            assert_eq!(Regex::new(regex).unwrap_err().to_string(), expected);
        }
        check("(", "not a regular expression: missing closing parenthesis");
        check("a\\", "not a regular expression: nothing behind the last \\");
        check("[a&&b]", "not a regular expression: && within [ ] is not supported");
    }

    proptest! {
        #[test]
        fn any_text_is_a_regex_or_an_error(text in "[a-z\\\\\\[\\](){}?*+|^$.:<>&h/-]{0,12}", subject: String) {
            if let Ok(regex) = Regex::new(&text) {
                regex.is_match(subject.as_bytes());
            }
        }
    }
}
