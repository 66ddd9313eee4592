//! `simple_query_string`: a query language without errors, for what people type.
//! `+` needs both, `|` either, `-` none, `"…"` is a phrase, `word*` a prefix.

use super::context::Context;
use super::dsl::escaped;
use store::Query;

const DEPTH_MAX: usize = 32;

/// Reads what was typed; what makes no sense is left out.
pub fn parse(text: &str, fields: &[String], all: bool, context: &Context) -> Query {
    let mut parser = Parser { rest: text, fields, all, context };
    let mut parts = Vec::new();
    // A bracket that was never opened ends nothing.
    while !parser.rest.is_empty() {
        parts.extend(parser.group(0));
    }
    match parts.len() {
        0 => Query::None,
        1 => parts.remove(0),
        _ if all => Query::and(parts),
        _ => Query::or(parts),
    }
}

struct Parser<'t> {
    rest: &'t str,
    fields: &'t [String],
    all: bool,
    context: &'t Context,
}

impl Parser<'_> {
    fn group(&mut self, depth: usize) -> Option<Query> {
        let mut found: Option<Query> = None;
        let mut join = self.all;
        let mut negate = false;
        while let Some(c) = self.rest.chars().next() {
            let behind = &self.rest[c.len_utf8()..];
            match c {
                '+' | '|' | '-' => {
                    self.rest = behind;
                    match c {
                        '-' => negate = true,
                        sign => join = sign == '+',
                    }
                    continue;
                }
                c if c.is_whitespace() => {
                    self.rest = behind;
                    continue;
                }
                ')' => {
                    self.rest = behind;
                    break;
                }
                _ => {}
            }
            let one = match c {
                '(' if depth < DEPTH_MAX => {
                    self.rest = behind;
                    self.group(depth + 1)
                }
                '(' => {
                    self.rest = "";
                    None
                }
                '"' => self.phrase(behind),
                _ => self.word(),
            };
            let Some(mut one) = one else { continue };
            if std::mem::take(&mut negate) {
                one = one.negate();
            }
            found = Some(match found.take() {
                None => one,
                Some(before) if join => Query::and(vec![before, one]),
                Some(Query::Bool { mut should, must, filter, must_not, minimum_should_match: Some(1) })
                    if must.is_empty() && filter.is_empty() && must_not.is_empty() =>
                {
                    should.push(one);
                    Query::or(should)
                }
                Some(before) => Query::or(vec![before, one]),
            });
            join = self.all;
        }
        found
    }

    fn phrase(&mut self, body: &str) -> Option<Query> {
        let offset = self.rest.len() - body.len();
        let end = body.find('"').unwrap_or(body.len());
        let text = body[..end].to_owned();
        self.rest = self.rest.get(offset + end + 1..).unwrap_or_default();
        if let Some(behind) = self.rest.strip_prefix('~') {
            self.rest = behind.trim_start_matches(|c: char| c.is_ascii_digit());
        }
        if text.trim().is_empty() {
            return None;
        }
        Some(self.context.any(self.fields, &text, |field| Query::Phrase {
            field,
            text: text.clone(),
            slop: 0,
        }))
    }

    fn word(&mut self) -> Option<Query> {
        let end =
            self.rest.find(|c: char| c.is_whitespace() || "+|()\"".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        // Letters that differ (`word~1`) are not looked for.
        let word = word.split('~').next().unwrap_or_default().replace('\\', "");
        if let Some(prefix) = word.strip_suffix('*').filter(|prefix| !prefix.is_empty()) {
            let pattern = format!("{}*", escaped(prefix));
            return Some(
                self.context
                    .any(self.fields, prefix, |field| Query::Wildcard { field, pattern: pattern.clone() }),
            );
        }
        let is_word = word.chars().any(char::is_alphanumeric);
        is_word.then(|| {
            self.context.any(self.fields, &word, |field| Query::Match {
                field,
                text: word.clone(),
                all: self.all,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::show::show;
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, all: bool) -> Query {
        parse(text, &["message".to_owned()], all, &Context::at(0))
    }

    #[test]
    fn what_people_type() {
        for (text, expected) in [
            ("", "none"),
            ("a b c", "(message=a message=b message=c)/1"),
            ("a + b", "(+message=a +message=b)"),
            ("a + (b | c)", "(+message=a +(message=b message=c)/1)"),
            ("-a", "(-message=a)"),
            ("\"a b\" c*", "(message=\"a b\"~0 message~c*)/1"),
            ("a) b", "(message=a message=b)/1"),
            ("((", "none"),
            ("\"a", "message=\"a\"~0"),
        ] {
            assert_eq!(show(&read(text, false)), expected, "{text}");
        }
        assert_eq!(show(&read("a b", true)), "(+message=a& +message=b&)");
        read(&"(".repeat(100_000), false);
    }

    proptest! {
        #[test]
        fn any_text(text: String, all: bool) {
            read(&text, all);
        }

        #[test]
        fn nearly_queries(text in "[ab+|()\"~*\\\\é -]{0,40}", all: bool) {
            read(&text, all);
        }
    }
}
