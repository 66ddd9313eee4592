//! Whether a text matches, where nothing is to be taken out of it.

use super::{Definitions, Engine, compiled};
use pcre2::bytes::Regex;

/// A pattern of grok that only says whether it matches.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// For text that is not ASCII. Characters count as one, so that none is cut.
    utf: Regex,
    /// For all other text. It is missing where the pattern makes no sense in bytes.
    bytes: Option<Regex>,
}

impl Matcher {
    /// A pattern in which `%{NAME}` stands for a built-in pattern or one of these definitions. The
    /// error says what is wrong with it.
    pub fn new(pattern: &str, definitions: &Definitions) -> Result<Self, String> {
        let (expanded, engine) = compiled(pattern, definitions, true)?;
        let utf = engine.map_err(|error| error.to_string())?.regex;
        Ok(Self { utf, bytes: Engine::new(&expanded.regex, false).ok().map(|engine| engine.regex) })
    }

    /// Whether a part of the text matches. A text on which the pattern takes too long does not.
    pub fn is_match(&self, text: &[u8]) -> bool {
        let in_characters = !text.is_ascii() && std::str::from_utf8(text).is_ok();
        let regex = self.bytes.as_ref().filter(|_| !in_characters).unwrap_or(&self.utf);
        regex.is_match(text).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches() {
        #[track_caller]
        fn check(pattern: &str, text: &[u8], expected: bool) {
            assert_eq!(Matcher::new(pattern, &Definitions::new()).unwrap().is_match(text), expected);
        }
        check("^%{TIMESTAMP_ISO8601} ", b"2026-11-21T12:00:00.000Z INFO", true);
        check("^%{TIMESTAMP_ISO8601} ", b"    at java.lang.Thread.run", false);
        check(r"(^\d+\serror)|(^.+Exception: .+)|(^\s+at .+)", b"\tat a.b.C", true);
        check(r"^(?!\[)", b"[x", false);
        check(r"^(?!\[)", b"x", true);
        check("^.$", "é".as_bytes(), true);
        check("^.$", b"\xe9", true);
        check("^(a+)+$", &[b"a".repeat(40), b"!".to_vec()].concat(), false);
        let own = Definitions::from([("START".to_owned(), "BEGIN %{INT}".to_owned())]);
        assert!(Matcher::new("^%{START}", &own).unwrap().is_match(b"BEGIN 5"));
        for wrong in ["%{NOSUCH}", "(", "%{INT"] {
            assert!(Matcher::new(wrong, &own).is_err(), "{wrong}");
        }
    }
}
