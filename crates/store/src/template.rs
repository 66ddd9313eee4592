//! Templates of messages: the words that messages of one kind have in common.
//!
//! A message is taken apart into words and the signs between them; a template has the same
//! signs, and a word or `*` (any word) in each place:
//!
//! ```text
//! user=bob logged in after 17 ms
//! user=* logged in after * ms
//! ```
//!
//! White space of any length is one space. Only the first line counts, and of it the first
//! [`PIECES_MAX`] pieces; a line break at the end of a template says that there is more. A word
//! that begins with `*` or `\` has a `\` before it. Since signs are compared as they are, two
//! templates have messages in common only where they have the same signs, which keeps the
//! comparison of templates cheap; the price is that values with signs in them (a list of any
//! length, say) make templates of their own.

use serde::Deserialize;
use std::borrow::Cow;
use std::fmt;

/// Words and signs of a message that are looked at.
pub(crate) const PIECES_MAX: usize = 128;
/// Bytes of a message that are looked at.
pub(crate) const BYTES_MAX: usize = 4096;
/// What the signs of a message end with where there is more.
const MORE: char = '\n';

/// What stands between words, beside white space.
fn is_sign(c: char) -> bool {
    matches!(c, '=' | ',' | ';' | '[' | ']' | '(' | ')' | '{' | '}' | '<' | '>' | '"' | '\'' | '|' | '&')
}

/// A part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'a> {
    Word(&'a str),
    /// A sign, or a space for white space of any length.
    Sign(char),
}

/// The pieces of a text, at most so many, and whether there are more.
fn split(text: &str, pieces_max: usize, bytes_max: usize) -> (Vec<Piece<'_>>, bool) {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if pieces.len() >= pieces_max || text.len() - rest.len() >= bytes_max {
            return (pieces, true);
        }
        if c.is_whitespace() {
            rest = rest.trim_start();
            pieces.push(Piece::Sign(' '));
        } else if is_sign(c) {
            rest = &rest[c.len_utf8()..];
            pieces.push(Piece::Sign(c));
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || is_sign(c)).unwrap_or(rest.len());
            pieces.push(Piece::Word(&rest[..end]));
            rest = &rest[end..];
        }
    }
    (pieces, false)
}

/// A message as templates see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape<'a> {
    /// A letter for each word and each sign as it is; templates of different signs have no
    /// message in common.
    pub(crate) signs: String,
    /// The words.
    pub(crate) words: Vec<&'a str>,
}

impl<'a> Shape<'a> {
    /// Takes a message apart.
    pub(crate) fn of(message: &'a str) -> Self {
        let message = message.trim();
        let (line, lines) =
            message.split_once('\n').map_or((message, false), |(line, _)| (line.trim_end(), true));
        let (pieces, cut) = split(line, PIECES_MAX, BYTES_MAX);
        let mut shape = Self { signs: String::with_capacity(pieces.len() + 3), words: Vec::new() };
        for piece in pieces {
            match piece {
                Piece::Word(word) => {
                    shape.signs.push('w');
                    shape.words.push(word);
                }
                Piece::Sign(sign) => shape.signs.push(sign),
            }
        }
        if lines || cut {
            shape.signs.push(MORE);
        }
        shape
    }
}

/// What messages of one kind have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    signs: String,
    words: Vec<Option<String>>,
}

impl Template {
    /// A template of these words, none for any; their number must be that of the words in `signs`.
    pub(crate) fn new(signs: String, words: Vec<Option<String>>) -> Self {
        debug_assert_eq!(signs.matches('w').count(), words.len());
        Self { signs, words }
    }

    /// Reads what [`Display`](fmt::Display) writes. Every text is some template.
    pub fn parse(text: &str) -> Self {
        let (text, more) = text.strip_suffix(MORE).map_or((text.trim(), false), |text| (text, true));
        let (pieces, _) = split(text.trim_start(), usize::MAX, usize::MAX);
        let mut template = Self { signs: String::new(), words: Vec::new() };
        for piece in pieces {
            match piece {
                Piece::Sign(sign) => template.signs.push(sign),
                Piece::Word(word) => {
                    template.signs.push('w');
                    let literal = word.strip_prefix('\\').filter(|rest| rest.starts_with(['*', '\\']));
                    template.words.push((word != "*").then(|| literal.unwrap_or(word).to_owned()));
                }
            }
        }
        if more {
            template.signs.push(MORE);
        }
        template
    }

    /// Whether a message is of this kind.
    pub fn takes(&self, message: &str) -> bool {
        let shape = Shape::of(message);
        shape.signs == self.signs && self.takes_words(&shape.words)
    }

    /// Whether words between the same signs are of this kind.
    pub(crate) fn takes_words(&self, words: &[&str]) -> bool {
        self.words.iter().zip(words).all(|(own, word)| own.as_deref().is_none_or(|own| own == *word))
    }

    /// The words that every message of this kind has.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().flatten().map(String::as_str)
    }

    /// The word in each place, none for any.
    pub(crate) fn places(&self) -> &[Option<String>] {
        &self.words
    }

    pub(crate) fn places_mut(&mut self) -> &mut [Option<String>] {
        &mut self.words
    }

    /// Whether some message may be of both kinds; their signs are the same.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).all(|pair| match pair {
            (Some(own), Some(other)) => own == other,
            _ => true,
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.words.iter();
        for sign in self.signs.chars() {
            match sign {
                'w' => match words.next() {
                    Some(Some(word)) if word.starts_with(['*', '\\']) => write!(f, "\\{word}")?,
                    Some(Some(word)) => f.write_str(word)?,
                    _ => f.write_str("*")?,
                },
                sign => write!(f, "{sign}")?,
            }
        }
        Ok(())
    }
}

/// The message of a source, if it has one that is text.
pub fn message(source: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Source<'a> {
        #[serde(borrow)]
        message: Cow<'a, str>,
    }
    serde_json::from_slice::<Source<'_>>(source).ok().map(|source| source.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_templates_take() {
        #[track_caller]
        fn check(template: &str, message: &str, takes: bool) {
            assert_eq!(Template::parse(template).takes(message), takes, "{template:?} {message:?}");
        }
        check("user=* logged in", "user=bob logged  in ", true);
        check("user=* logged in", "user=bob logged out", false);
        check("user=* logged in", "user=bob smith logged in", false);
        check("user=* logged in", "user bob logged in", false);
        check("*", "one", true);
        check("*", "", false);
        check("", " ", true);
        check("\\* is a star", "* is a star", true);
        check("\\* is a star", "this is a star", false);
        check("C:\\dir\\* was read", "C:\\dir\\* was read", true);
        check("\\\\host is gone", "\\host is gone", true);
        check("failed: \n", "failed:\n  at a\n  at b", false);
        check("failed:\n", "failed:\n  at a\n  at b", true);
        check("failed:\n", "failed:", false);
        check("a\tb", "a b", true);
    }

    #[test]
    fn long_messages_are_looked_at_up_to_a_limit() {
        let long = |end: &str| "w ".repeat(PIECES_MAX) + end;
        let template = Template::new(Shape::of(&long("a")).signs, vec![Some("w".to_owned()); PIECES_MAX / 2]);
        assert!(template.takes(&long("a")) && template.takes(&long("b and more")));
        assert!(!template.takes("w w"));
        let huge = "x".repeat(BYTES_MAX * 3) + " y";
        assert_eq!(Shape::of(&huge).words, ["x".repeat(BYTES_MAX * 3).as_str()]);
        assert_eq!(Template::parse(&template.to_string()), template);
    }

    #[test]
    fn messages_of_sources() {
        #[track_caller]
        fn check(source: &str, expected: Option<&str>) {
            assert_eq!(message(source.as_bytes()).as_deref(), expected, "{source}");
        }
        check(r#"{"a":1,"message":"x \"y\""}"#, Some("x \"y\""));
        check(r#"{"message":5}"#, None);
        check(r#"{"a":{"message":"x"}}"#, None);
        check(r#"{"message":["x"]}"#, None);
        check("[]", None);
    }

    proptest! {
        #[test]
        fn a_message_is_its_own_template(text in "([ab*\\\\…\t\n=\"']|[a-z]{1,3} ){0,40}") {
            let shape = Shape::of(&text);
            let words = shape.words.iter().map(|word| Some((*word).to_owned())).collect();
            let template = Template::new(shape.signs.clone(), words);
            prop_assert!(template.takes(&text));
            prop_assert_eq!(Template::parse(&template.to_string()), template);
        }

        #[test]
        fn every_text_is_a_template(text in "[\\PC\n]{0,60}") {
            let template = Template::parse(&text);
            prop_assert_eq!(Template::parse(&template.to_string()), template);
        }
    }
}
