//! Lucene's query strings: `level:error AND (status:>=500 OR path:"/a b") -user:bob`.
//!
//! `AND` and `OR` are no operators of precedence: as in Lucene's classic parser, `AND` makes
//! the clauses on both sides required, and `a OR b AND c` finds what has `b` and `c`.
//! Brackets say it better, there as here.

use super::EsError;
use super::context::Context;
use super::dates::Zone;
use super::dsl::moment;
use serde_json::Value as Json;
use std::ops::Bound;
use store::{FieldType, Query, Value};

/// How a query string is read.
pub struct Rules<'c> {
    /// The fields that words without a field look into; patterns too.
    pub fields: Vec<String>,
    /// Whether clauses beside each other are all needed.
    pub and: bool,
    /// Where times without an offset are.
    pub zone: Zone,
    /// The fields that there are.
    pub context: &'c Context,
}

impl<'c> Rules<'c> {
    /// Any field, any clause.
    pub fn new(context: &'c Context) -> Self {
        Self { fields: vec!["*".to_owned()], and: false, zone: Zone::UTC, context }
    }
}

/// Reads a query string.
pub fn parse(text: &str, rules: &Rules<'_>) -> Result<Query, EsError> {
    let mut parser = Parser { text, at: 0, fields: rules.fields.clone(), rules, depth: 0 };
    parser.blank();
    if parser.rest().is_empty() {
        return Ok(Query::None);
    }
    let query = parser.clauses()?;
    if !parser.rest().is_empty() {
        return Err(parser.wrong("a bracket that was never opened"));
    }
    Ok(query)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    fields: Vec<String>,
    rules: &'t Rules<'t>,
    depth: usize,
}

const DEPTH_MAX: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Occur {
    Must,
    Should,
    Not,
}

#[derive(Clone, Copy, PartialEq)]
enum Join {
    None,
    And,
    Or,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn wrong(&self, reason: &str) -> EsError {
        EsError::new(
            400,
            "query_shard_exception",
            format!("Failed to parse query [{}]: {reason} at byte {}", self.text, self.at),
        )
    }

    fn blank(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// A word in capitals that stands alone, or the sign that means the same.
    fn word(&mut self, word: &str, sign: &str) -> bool {
        self.blank();
        let behind = self.rest().strip_prefix(word).map(|rest| rest.chars().next());
        if behind.is_some_and(|next| next.is_none_or(|c| c.is_whitespace() || c == '(' || c == '"')) {
            self.at += word.len();
            return true;
        }
        !sign.is_empty() && self.eat(sign)
    }

    fn clauses(&mut self) -> Result<Query, EsError> {
        let mut clauses: Vec<(Occur, Query)> = Vec::new();
        loop {
            self.blank();
            if self.rest().is_empty() || self.rest().starts_with(')') {
                break;
            }
            let join = if self.word("AND", "&&") {
                Join::And
            } else if self.word("OR", "||") {
                Join::Or
            } else {
                Join::None
            };
            if join != Join::None && clauses.is_empty() {
                return Err(self.wrong("nothing before AND or OR"));
            }
            let is_not = self.word("NOT", "!") || self.eat("-");
            let is_must = !is_not && self.eat("+");
            let clause = self.clause()?;
            self.add(&mut clauses, join, is_not, is_must, clause);
        }
        if clauses.is_empty() {
            return Err(self.wrong("expected a word, a phrase or a field"));
        }
        Ok(joined(clauses))
    }

    /// As Lucene's `QueryParserBase.addClause`.
    fn add(&self, clauses: &mut Vec<(Occur, Query)>, join: Join, is_not: bool, is_must: bool, clause: Query) {
        let before = match (join, self.rules.and) {
            (Join::And, _) => Some(Occur::Must),
            (Join::Or, true) => Some(Occur::Should),
            _ => None,
        };
        if let (Some(before), Some((occur, _))) =
            (before, clauses.last_mut().filter(|(occur, _)| *occur != Occur::Not))
        {
            *occur = before;
        }
        let needed = is_must || join == Join::And || (self.rules.and && join != Join::Or);
        let occur = match (is_not, needed) {
            (true, _) => Occur::Not,
            (false, true) => Occur::Must,
            (false, false) => Occur::Should,
        };
        clauses.push((occur, clause));
    }

    fn clause(&mut self) -> Result<Query, EsError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong("nested too deep"));
        }
        self.blank();
        let query = if self.rest().starts_with('(') {
            self.group()?
        } else if let Some(field) = self.field_name() {
            let before = std::mem::replace(&mut self.fields, vec![field]);
            let query = self.value();
            self.fields = before;
            query?
        } else {
            self.value()?
        };
        self.boost()?;
        self.depth -= 1;
        Ok(query)
    }

    fn group(&mut self) -> Result<Query, EsError> {
        self.at += 1;
        let query = self.clauses()?;
        if !self.eat(")") {
            return Err(self.wrong("expected )"));
        }
        Ok(query)
    }

    /// `name:`, if that is what comes.
    fn field_name(&mut self) -> Option<String> {
        let mut name = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => name.push(chars.next()?.1),
                ':' if !name.is_empty() => {
                    self.at += at + 1;
                    self.blank();
                    return Some(name);
                }
                c if c.is_whitespace() || "()\"[]{}:/^~".contains(c) => return None,
                c => name.push(c),
            }
        }
        None
    }

    fn each(&self, text: &str, each: impl Fn(String) -> Query) -> Query {
        self.rules.context.any(&self.fields, text, each)
    }

    fn value(&mut self) -> Result<Query, EsError> {
        match self.rest().chars().next() {
            Some('(') => return self.group(),
            Some('"') => {
                let text = self.quoted()?;
                let slop = if self.eat("~") { self.digits().parse().unwrap_or(0) } else { 0 };
                if self.fields == ["_exists_"] {
                    return Ok(Query::Exists { field: text });
                }
                return Ok(self.each(&text, |field| Query::Phrase { field, text: text.clone(), slop }));
            }
            Some('/') => return self.regex(),
            Some('[' | '{') => return self.range(),
            _ => {}
        }
        for (sign, inclusive, is_lower) in
            [(">=", true, true), (">", false, true), ("<=", true, false), ("<", false, false)]
        {
            if self.eat(sign) {
                self.blank();
                let text = self.bound_text()?;
                let value = self.bound_value(&text, is_lower != inclusive)?;
                let bound = if inclusive { Bound::Included(value) } else { Bound::Excluded(value) };
                let (lower, upper) =
                    if is_lower { (bound, Bound::Unbounded) } else { (Bound::Unbounded, bound) };
                return Ok(self.range_of(&text, lower, upper));
            }
        }
        let (word, is_pattern) = self.bare_word()?;
        if self.eat("~") {
            return self.fuzzy(&word, is_pattern);
        }
        Ok(self.term(word, is_pattern))
    }

    /// A word that may differ a little: by as many characters as are said, else as it is long.
    fn fuzzy(&mut self, word: &str, is_pattern: bool) -> Result<Query, EsError> {
        if is_pattern {
            return Err(self.wrong("a word with wildcards cannot be fuzzy (~)"));
        }
        let length = word.chars().count();
        let distance = match self.digits() {
            "" => u8::from(length >= 3) + u8::from(length >= 6),
            "0" => 0,
            "1" => 1,
            "2" => 2,
            _ => {
                return Err(
                    self.wrong("behind ~ of a fuzzy word is how many characters may differ: 0, 1 or 2")
                );
            }
        };
        // The words of a text have no capitals.
        let context = self.rules.context;
        let has_words =
            |field: &str| !field.ends_with(".keyword") && context.kind(field) == Some(FieldType::Text);
        Ok(self.each(word, |field| {
            let text = if has_words(&field) { word.to_lowercase() } else { word.to_owned() };
            Query::Fuzzy { field, text, distance, transpositions: true }
        }))
    }

    fn term(&self, word: String, is_pattern: bool) -> Query {
        let any_field = self.fields == ["*"];
        match (self.fields.as_slice(), is_pattern) {
            ([field], _) if field == "_exists_" => Query::Exists { field: word },
            ([_], true) if word == "*" && any_field => Query::All,
            (_, true) if word == "*" => self.each("", |field| Query::Exists { field }),
            (_, true) => self.each("", |field| Query::Wildcard { field, pattern: word.clone() }),
            _ => self.each(&word, |field| Query::Match { field, text: word.clone(), all: self.rules.and }),
        }
    }

    fn regex(&mut self) -> Result<Query, EsError> {
        let body = &self.rest()[1..];
        let mut escaped = false;
        let end = body.char_indices().find(|(_, c)| {
            let closes = *c == '/' && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        });
        let Some((end, _)) = end else {
            return Err(self.wrong("a regular expression without its closing /; write \\/ for the sign"));
        };
        let pattern = body[..end].replace("\\/", "/");
        self.at += end + 2;
        Ok(self.each("", |field| Query::Regexp { field, pattern: pattern.clone() }))
    }

    fn range(&mut self) -> Result<Query, EsError> {
        let lower_in = self.rest().starts_with('[');
        self.at += 1;
        self.blank();
        let lower = self.bound_text()?;
        if !self.word("TO", "") {
            return Err(self.wrong("expected TO"));
        }
        self.blank();
        let upper = self.bound_text()?;
        self.blank();
        let upper_in = self.rest().starts_with(']');
        if !upper_in && !self.rest().starts_with('}') {
            return Err(self.wrong("expected ] or }"));
        }
        self.at += 1;
        let bound = |text: &str, inclusive: bool, is_lower: bool| -> Result<Bound<Value>, EsError> {
            if text == "*" {
                return Ok(Bound::Unbounded);
            }
            let value = self.bound_value(text, is_lower != inclusive)?;
            Ok(if inclusive { Bound::Included(value) } else { Bound::Excluded(value) })
        };
        let (from, to) = (bound(&lower, lower_in, true)?, bound(&upper, upper_in, false)?);
        Ok(self.range_of(&lower, from, to))
    }

    fn range_of(&self, text: &str, lower: Bound<Value>, upper: Bound<Value>) -> Query {
        self.each(text, |field| Query::Range { field, lower: lower.clone(), upper: upper.clone() })
    }

    fn bound_text(&mut self) -> Result<String, EsError> {
        let text = if self.rest().starts_with('"') {
            self.quoted()?
        } else {
            let end = self.rest().find(|c: char| c.is_whitespace() || "]})".contains(c));
            let text = &self.rest()[..end.unwrap_or(self.rest().len())];
            self.at += text.len();
            text.replace('\\', "")
        };
        if text.is_empty() {
            return Err(self.wrong("expected a value"));
        }
        Ok(text)
    }

    fn bound_value(&self, text: &str, round_up: bool) -> Result<Value, EsError> {
        let context = self.rules.context;
        let mut reader = context.times();
        reader.zone = self.rules.zone;
        let is_time =
            matches!(self.fields.as_slice(), [field] if context.kind(field) == Some(FieldType::Date));
        moment(&Json::String(text.to_owned()), &reader, round_up, is_time)
    }

    fn quoted(&mut self) -> Result<String, EsError> {
        let mut out = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return Ok(out);
                }
                '\\' => out.extend(chars.next().map(|(_, c)| c)),
                c => out.push(c),
            }
        }
        Err(self.wrong("a text without its closing \""))
    }

    /// A word, and whether it holds wildcards. A pattern keeps its escapes.
    fn bare_word(&mut self) -> Result<(String, bool), EsError> {
        let (mut pattern, mut literal) = (String::new(), String::new());
        let mut is_pattern = false;
        let mut end = self.rest().len();
        let mut chars = self.rest().char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => {
                    let Some((_, c)) = chars.next() else {
                        return Err(self.wrong("nothing behind the last \\"));
                    };
                    literal.push(c);
                    pattern.push('\\');
                    pattern.push(c);
                }
                c if c.is_whitespace() || "()\"[]{}^~:".contains(c) => {
                    end = at;
                    break;
                }
                c => {
                    is_pattern |= c == '*' || c == '?';
                    literal.push(c);
                    pattern.push(c);
                }
            }
        }
        if literal.is_empty() || ["AND", "OR", "NOT"].contains(&pattern.as_str()) {
            return Err(self.wrong("expected a word, a phrase or a field"));
        }
        self.at += end;
        Ok(if is_pattern { (pattern, true) } else { (literal, false) })
    }

    fn digits(&mut self) -> &'t str {
        let end = self.rest().find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(self.rest().len());
        let digits = &self.rest()[..end];
        self.at += end;
        digits
    }

    /// How much a clause counts; it is read, and scores do not heed it.
    fn boost(&mut self) -> Result<(), EsError> {
        if self.eat("^") && self.digits().parse::<f64>().is_err() {
            return Err(self.wrong("expected a number behind ^"));
        }
        Ok(())
    }
}

fn joined(mut clauses: Vec<(Occur, Query)>) -> Query {
    if clauses.len() == 1 && clauses[0].0 != Occur::Not {
        return clauses.remove(0).1;
    }
    let (mut must, mut should, mut must_not) = (vec![], vec![], vec![]);
    for (occur, query) in clauses {
        match occur {
            Occur::Must => must.push(query),
            Occur::Should => should.push(query),
            Occur::Not => must_not.push(query),
        }
    }
    // Words that are only wished for are needed where nothing else is.
    let minimum_should_match = (must.is_empty() && !should.is_empty()).then_some(1);
    Query::Bool { must, filter: vec![], should, must_not, minimum_should_match }
}

#[cfg(test)]
mod tests {
    use super::super::show::show;
    use super::*;
    use proptest::prelude::*;

    fn context() -> Context {
        let mut context = Context::at(0);
        for (name, kind) in [("message", FieldType::Text), ("level", FieldType::Text), ("n", FieldType::Long)]
        {
            context.fields.learn(name, kind);
        }
        context
    }

    fn read(text: &str, and: bool) -> Result<Query, EsError> {
        let context = context();
        parse(text, &Rules { and, fields: vec!["message".to_owned()], ..Rules::new(&context) })
    }

    #[test]
    fn query_strings() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            assert_eq!(show(&read(text, false).unwrap()), expected, "{text}");
        }
        check("", "none");
        check("error", "message=error");
        check("level:error", "level=error");
        check("level: error", "level=error");
        check("level:error AND status:500", "(+level=error +status=500)");
        check("a b", "(message=a message=b)/1");
        check("a OR b", "(message=a message=b)/1");
        check("a || b && c", "(+message=b +message=c message=a)");
        check("a AND b c", "(+message=a +message=b message=c)");
        check("a AND (b OR c)", "(+message=a +(message=b message=c)/1)");
        check("a AND NOT b", "(+message=a -message=b)");
        check("+a -b c", "(+message=a message=c -message=b)");
        check("NOT a", "(-message=a)");
        check("!a", "(-message=a)");
        check("level:(a OR b)", "(level=a level=b)/1");
        check("level:(a b) c", "((level=a level=b)/1 message=c)/1");
        check("path:\"/a b\"~2", "path=\"/a b\"~2");
        check("path:/ab+/", "path:/ab+/");
        check("status:>=500", "status[\"500\",*]");
        check("status:(>=500 AND <600)", "(+status[\"500\",*] +status[*,\"600\"})");
        check("n:[1 TO 5}", "n[\"1\",\"5\"}");
        check("n:{1 TO *]", "n{\"1\",*]");
        check("_exists_:user", "user?");
        check("user:*", "user?");
        check("*:*", "all");
        check("user:b?b*", "user~b?b*");
        check("a\\:b", "message=a:b");
        check("level:error^2", "level=error");
        check("level:eror~1", "level=eror~1");
        check("Conection~ AND a", "(+message=conection~2 +message=a)");
        check("-level:debug", "(-level=debug)");
        check("ORDER", "message=ORDER");
        check("@timestamp:[now-1s TO now]", "@timestamp[t-1000000000,t0]");
        check("@timestamp:>2026-11-21", "@timestamp{t1795305599999999999,*]");
    }

    #[test]
    fn words_look_into_all_fields() {
        let context = context();
        let shown = |text: &str| show(&parse(text, &Rules::new(&context)).unwrap());
        assert_eq!(shown("error"), "(message=error level=error)/1");
        assert_eq!(shown("5"), "(message=5 level=5 n=5)/1");
        assert_eq!(shown("*"), "all");
        assert_eq!(shown("lev*:x"), "level=x");
        assert_eq!(show(&read("a b OR c", true).unwrap()), "(+message=a& message=b& message=c&)");
    }

    #[test]
    fn bad_query_strings() {
        for text in [
            "(a",
            "a)",
            "\"a",
            "a AND",
            "OR a",
            "n:[1 TO",
            "n:[1 5]",
            "a~3",
            "a*~1",
            "level:",
            "(",
            "()",
            "\\",
            "a^x",
            "/a",
            "a:b:c",
            "@timestamp:>tomorrow",
            "@timestamp:[now-1x TO now]",
        ] {
            assert!(read(text, false).is_err(), "{text}");
        }
        assert!(read(&"(".repeat(50_000), false).is_err());
        assert!(read(&"NOT ".repeat(50_000), false).is_err());
    }

    proptest! {
        #[test]
        fn any_text(text: String, and: bool) {
            let _ = read(&text, and);
        }

        #[test]
        fn nearly_queries(text in "([a-z]:|\\(|\\)|\"|AND |OR |NOT |-|\\+|\\[|\\]|TO |\\*|\\\\|/|\\^2|~|>=|é| ){0,24}", and: bool) {
            let _ = read(&text, and);
        }
    }
}
