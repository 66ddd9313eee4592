//! KQL, the language of searches: `status >= 500 and (level: error or not user: bob)`.

use crate::es::EsError;
use crate::es::context::Context;
use crate::es::dsl::moment;
use serde_json::Value as Json;
use std::ops::Bound;
use store::{FieldType, Query, Value};

/// Reads a search. Words without a field look into `message`.
pub fn parse(text: &str, context: &Context) -> Result<Query, EsError> {
    let mut parser = Parser { text, tokens: tokens(text)?, at: 0, context, depth: 0 };
    if parser.tokens.is_empty() {
        return Ok(Query::All);
    }
    let query = parser.or(None)?;
    match parser.peek() {
        None => Ok(query),
        Some(_) => Err(parser.wrong("expected and, or or the end")),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(&'static str),
}

const SIGNS: [&str; 7] = [">=", "<=", ">", "<", ":", "(", ")"];
const DEPTH_MAX: usize = 32;

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, EsError> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let c = rest.chars().next().unwrap_or_default();
        if c.is_whitespace() {
            at += c.len_utf8();
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            found.push((at, Token::Sign(sign)));
            at += sign.len();
        } else if c == '"' {
            let mut out = String::new();
            let mut chars = rest.char_indices().skip(1);
            let end = loop {
                match chars.next() {
                    Some((end, '"')) => break end + 1,
                    Some((_, '\\')) => out.extend(chars.next().map(|(_, c)| c)),
                    Some((_, c)) => out.push(c),
                    None => {
                        return Err(EsError::parsing(format!(
                            "the search has a text without its closing \" at byte {at}"
                        )));
                    }
                }
            };
            found.push((at, Token::Quoted(out)));
            at += end;
        } else {
            let mut word = String::new();
            let mut end = rest.len();
            let mut chars = rest.char_indices();
            while let Some((here, c)) = chars.next() {
                match c {
                    // What is escaped is not a sign; `\\*` stays as it is, for patterns.
                    '\\' => {
                        let next = chars.next().map_or('\\', |(_, c)| c);
                        if matches!(next, '*' | '?' | '\\') {
                            word.push('\\');
                        }
                        word.push(next);
                    }
                    c if c.is_whitespace() || ":()<>\"".contains(c) => {
                        end = here;
                        break;
                    }
                    c => word.push(c),
                }
            }
            found.push((at, Token::Word(word)));
            at += end;
        }
    }
    Ok(found)
}

/// A word as a pattern of the store: `*` is the one wildcard of KQL, so `?` is escaped, as others are already.
fn pattern(word: &str) -> String {
    let mut out = String::new();
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        if c == '?' {
            out.push('\\');
        }
        out.push(c);
        if c == '\\' {
            out.extend(chars.next());
        }
    }
    out
}

fn is_operator(word: &str) -> bool {
    ["and", "or", "not"].iter().any(|own| word.eq_ignore_ascii_case(own))
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<(usize, Token)>,
    at: usize,
    context: &'t Context,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn wrong(&self, reason: &str) -> EsError {
        let at = self.tokens.get(self.at).map_or(self.text.len(), |(at, _)| *at);
        EsError::parsing(format!("the search [{}] is not understood: {reason} at byte {at}", self.text))
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = match self.peek() {
            Some(Token::Word(own)) => own.eq_ignore_ascii_case(word),
            Some(Token::Sign(own)) => *own == word,
            _ => false,
        };
        self.at += usize::from(found);
        found
    }

    fn or(&mut self, field: Option<&str>) -> Result<Query, EsError> {
        let mut all = vec![self.and(field)?];
        while self.eat("or") {
            all.push(self.and(field)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Query::or(all) })
    }

    fn and(&mut self, field: Option<&str>) -> Result<Query, EsError> {
        let mut all = vec![self.not(field)?];
        while self.eat("and") {
            all.push(self.not(field)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Query::and(all) })
    }

    fn not(&mut self, field: Option<&str>) -> Result<Query, EsError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong("nested too deep"));
        }
        let query = if self.eat("not") {
            self.not(field)?.negate()
        } else if self.eat("(") {
            let inner = self.or(field)?;
            if !self.eat(")") {
                return Err(self.wrong("expected )"));
            }
            inner
        } else {
            self.term(field)?
        };
        self.depth -= 1;
        Ok(query)
    }

    fn term(&mut self, field: Option<&str>) -> Result<Query, EsError> {
        let Some(token) = self.peek().cloned() else { return Err(self.wrong("the search ends too early")) };
        self.at += 1;
        let (text, quoted) = match token {
            Token::Word(text) if is_operator(&text) && self.peek() != Some(&Token::Sign(":")) => {
                self.at -= 1;
                return Err(self.wrong("expected a field or a word"));
            }
            Token::Word(text) => (text, false),
            Token::Quoted(text) => (text, true),
            Token::Sign(_) => {
                self.at -= 1;
                return Err(self.wrong("expected a field or a word"));
            }
        };
        if field.is_none() {
            if self.eat(":") {
                return if self.eat("(") {
                    let inner = self.or(Some(&text))?;
                    if self.eat(")") { Ok(inner) } else { Err(self.wrong("expected )")) }
                } else {
                    self.term(Some(&text))
                };
            }
            for (sign, inclusive, is_lower) in
                [(">=", true, true), ("<=", true, false), (">", false, true), ("<", false, false)]
            {
                if self.eat(sign) {
                    return self.range(text, inclusive, is_lower);
                }
            }
        }
        let own = field.unwrap_or("message").to_owned();
        if quoted {
            return Ok(Query::Phrase { field: own, text, slop: 0 });
        }
        if text == "*" {
            return Ok(if field.is_some() { Query::Exists { field: own } } else { Query::All });
        }
        if text.contains('*') || text.contains("\\?") {
            return Ok(Query::Wildcard { field: own, pattern: pattern(&text) });
        }
        // Words beside each other are one text.
        let mut words = text;
        while let Some(Token::Word(word)) = self.peek() {
            let next_is_field = matches!(self.tokens.get(self.at + 1), Some((_, Token::Sign(sign))) if *sign != "(" && *sign != ")");
            if is_operator(word) || next_is_field {
                break;
            }
            words.push(' ');
            words.push_str(word);
            self.at += 1;
        }
        Ok(Query::Match { field: own, text: words, all: false })
    }

    fn range(&mut self, field: String, inclusive: bool, is_lower: bool) -> Result<Query, EsError> {
        let text = match self.peek() {
            Some(Token::Word(text) | Token::Quoted(text)) => text.clone(),
            _ => return Err(self.wrong("expected a value")),
        };
        self.at += 1;
        let is_time = self.context.kind(&field) == Some(FieldType::Date);
        let value: Value =
            moment(&Json::String(text), &self.context.times(), is_lower != inclusive, is_time)?;
        let bound = if inclusive { Bound::Included(value) } else { Bound::Excluded(value) };
        let (lower, upper) = if is_lower { (bound, Bound::Unbounded) } else { (Bound::Unbounded, bound) };
        Ok(Query::Range { field, lower, upper })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text(text: String) {
            let _ = parse(&text, &Context::at(0));
        }

        #[test]
        fn nearly_searches(text in "([a-z]|:|\\(|\\)|\"|and |or |not |>=|<|\\*|\\\\|é| ){0,24}") {
            let _ = parse(&text, &Context::at(0));
        }
    }

    #[test]
    fn searches() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            assert_eq!(format!("{:?}", parse(text, &Context::at(0)).unwrap()), expected);
        }
        check("", "All");
        check("level: error", "Match { field: \"level\", text: \"error\", all: false }");
        check("out of memory", "Match { field: \"message\", text: \"out of memory\", all: false }");
        check(
            "status >= 500",
            "Range { field: \"status\", lower: Included(Str(\"500\")), upper: Unbounded }",
        );
        check("user: *", "Exists { field: \"user\" }");
        check("path: /a*", "Wildcard { field: \"path\", pattern: \"/a*\" }");
        check("path: /a?b*", r#"Wildcard { field: "path", pattern: "/a\\?b*" }"#);
        check(r"path: /a\*b\?c?", r#"Wildcard { field: "path", pattern: "/a\\*b\\?c\\?" }"#);
        check("path: /a?b", r#"Match { field: "path", text: "/a?b", all: false }"#);
        check("\"a b\"", "Phrase { field: \"message\", text: \"a b\", slop: 0 }");
        assert!(
            matches!(parse("a: 1 and (b: 2 or not c: 3)", &Context::at(0)), Ok(Query::Bool { must, .. }) if must.len() == 2)
        );
        assert!(
            matches!(parse("a: (1 or 2)", &Context::at(0)), Ok(Query::Bool { should, .. }) if should.len() == 2)
        );
    }

    #[test]
    fn bad_searches() {
        for text in ["a:", "(a", "a)", "and", "a and", "\"a", "a >", ":", &"(".repeat(500)] {
            assert!(parse(text, &Context::at(0)).is_err(), "{text}");
        }
    }
}
