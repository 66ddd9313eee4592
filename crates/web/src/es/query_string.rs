//! Lucene's query strings: `level:error AND (status:>=500 OR path:"/a b") -user:bob`.

use super::EsError;
use super::dsl::moment;
use serde_json::Value as Json;
use std::ops::Bound;
use store::{Query, Value};

/// Reads a query string. Words without a field look into `default_field`.
pub fn parse(text: &str, default_field: &str, and: bool, now: i64) -> Result<Query, EsError> {
    let mut parser = Parser { text, at: 0, field: default_field.to_owned(), and, now, depth: 0 };
    parser.blank();
    if parser.rest().is_empty() {
        return Ok(Query::All);
    }
    let query = parser.clauses()?;
    if !parser.rest().is_empty() {
        return Err(parser.wrong("something behind the query"));
    }
    Ok(query)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    field: String,
    and: bool,
    now: i64,
    depth: usize,
}

const DEPTH_MAX: usize = 32;

#[derive(Clone, Copy, PartialEq)]
enum Sign {
    None,
    Must,
    Not,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn wrong(&self, reason: &str) -> EsError {
        EsError::parsing(format!("Failed to parse query [{}]: {reason} at byte {}", self.text, self.at))
    }

    fn blank(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn word(&mut self, words: &[&str]) -> bool {
        self.blank();
        for word in words {
            let behind = self.rest().strip_prefix(word).map(|rest| rest.chars().next());
            let ends = |next: Option<char>| {
                next.is_none_or(|c| c.is_whitespace() || c == '(') || !word.starts_with(char::is_alphabetic)
            };
            if behind.is_some_and(ends) {
                self.at += word.len();
                return true;
            }
        }
        false
    }

    /// Clauses with what joins them; `AND` binds stronger than `OR`.
    fn clauses(&mut self) -> Result<Query, EsError> {
        let mut groups: Vec<Vec<(Sign, Query)>> = vec![Vec::new()];
        let mut joined_by_or = false;
        loop {
            self.blank();
            if self.rest().is_empty() || self.rest().starts_with(')') {
                break;
            }
            let first = groups.iter().all(Vec::is_empty);
            if self.word(&["OR", "||"]) {
                joined_by_or = true;
                if first {
                    return Err(self.wrong("nothing before OR"));
                }
                groups.push(Vec::new());
                continue;
            }
            let by_and = self.word(&["AND", "&&"]);
            if by_and && first {
                return Err(self.wrong("nothing before AND"));
            }
            let sign = if self.word(&["NOT", "!", "-"]) {
                Sign::Not
            } else if self.word(&["+"]) {
                Sign::Must
            } else {
                Sign::None
            };
            let clause = self.clause()?;
            let bare = !by_and
                && sign == Sign::None
                && !self.and
                && groups.last().is_some_and(|group| group.iter().any(|(sign, _)| *sign == Sign::None));
            // Two words beside each other are joined as the default says.
            if bare && !joined_by_or {
                groups.push(Vec::new());
            }
            if let Some(group) = groups.last_mut() {
                group.push((sign, clause));
            }
        }
        if groups.iter().any(Vec::is_empty) {
            return Err(self.wrong("a clause is missing"));
        }
        // Signed clauses speak of the whole, not of their neighbours.
        let plain_or = groups.len() > 1 && !joined_by_or;
        if plain_or {
            let all: Vec<(Sign, Query)> = groups.into_iter().flatten().collect();
            let pick = |wanted: Sign| {
                all.iter()
                    .filter(move |(sign, _)| *sign == wanted)
                    .map(|(_, query)| query.clone())
                    .collect::<Vec<_>>()
            };
            return Ok(Query::Bool {
                must: pick(Sign::Must),
                filter: vec![],
                should: pick(Sign::None),
                must_not: pick(Sign::Not),
                minimum_should_match: None,
            });
        }
        let mut some: Vec<Query> = groups.into_iter().map(all_of).collect();
        Ok(if some.len() == 1 { some.remove(0) } else { Query::or(some) })
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
            let before = std::mem::replace(&mut self.field, field);
            let query = self.value();
            self.field = before;
            query?
        } else {
            self.value()?
        };
        self.boost();
        self.depth -= 1;
        Ok(query)
    }

    fn group(&mut self) -> Result<Query, EsError> {
        self.at += 1;
        let query = self.clauses()?;
        if !self.rest().starts_with(')') {
            return Err(self.wrong("expected )"));
        }
        self.at += 1;
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
                    return Some(name);
                }
                c if c.is_whitespace() || "()\"[]{}:".contains(c) => return None,
                c => name.push(c),
            }
        }
        None
    }

    fn value(&mut self) -> Result<Query, EsError> {
        let field = self.field.clone();
        match self.rest().chars().next() {
            Some('(') => return self.group(),
            Some('"') => {
                let text = self.quoted()?;
                let mut slop = 0;
                if let Some(rest) = self.rest().strip_prefix('~') {
                    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                    slop = rest[..digits].parse().unwrap_or(0);
                    self.at += 1 + digits;
                }
                return Ok(Query::Phrase { field, text, slop });
            }
            Some('[' | '{') => return self.range(),
            _ => {}
        }
        for (sign, inclusive, is_lower) in
            [(">=", true, true), (">", false, true), ("<=", true, false), ("<", false, false)]
        {
            if self.rest().starts_with(sign) {
                self.at += sign.len();
                self.blank();
                let value = self.bound_value(if is_lower { !inclusive } else { inclusive })?;
                let bound = if inclusive { Bound::Included(value) } else { Bound::Excluded(value) };
                let (lower, upper) =
                    if is_lower { (bound, Bound::Unbounded) } else { (Bound::Unbounded, bound) };
                return Ok(Query::Range { field, lower, upper });
            }
        }
        let (word, is_pattern) = self.bare_word()?;
        if self.rest().starts_with('~') {
            return Err(self.wrong("fuzzy search (~) is not supported; use wildcards: * and ?"));
        }
        if field == "_exists_" {
            return Ok(Query::Exists { field: word });
        }
        if is_pattern {
            if word == "*" {
                return Ok(if field == "message" { Query::All } else { Query::Exists { field } });
            }
            return Ok(Query::Wildcard { field, pattern: word });
        }
        Ok(Query::Match { field, text: word, all: false })
    }

    fn range(&mut self) -> Result<Query, EsError> {
        let lower_in = self.rest().starts_with('[');
        self.at += 1;
        self.blank();
        let lower = self.bound_value(!lower_in)?;
        if !self.word(&["TO"]) {
            return Err(self.wrong("expected TO"));
        }
        self.blank();
        let upper = self.bound_value(true)?;
        self.blank();
        let upper_in = self.rest().starts_with(']');
        if !upper_in && !self.rest().starts_with('}') {
            return Err(self.wrong("expected ] or }"));
        }
        self.at += 1;
        let bound = |value: Value, inclusive| match value {
            Value::Str(text) if text == "*" => Bound::Unbounded,
            value if inclusive => Bound::Included(value),
            value => Bound::Excluded(value),
        };
        Ok(Query::Range {
            field: self.field.clone(),
            lower: bound(lower, lower_in),
            upper: bound(upper, upper_in),
        })
    }

    fn bound_value(&mut self, round_up: bool) -> Result<Value, EsError> {
        let text = if self.rest().starts_with('"') {
            self.quoted()?
        } else {
            let end = self
                .rest()
                .find(|c: char| c.is_whitespace() || c == ']' || c == '}' || c == ')')
                .unwrap_or(self.rest().len());
            let text = self.rest()[..end].to_owned();
            self.at += end;
            text
        };
        if text.is_empty() {
            return Err(self.wrong("expected a value"));
        }
        moment(&Json::String(text), self.now, round_up)
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

    /// A word, and whether it holds wildcards.
    fn bare_word(&mut self) -> Result<(String, bool), EsError> {
        let mut out = String::new();
        let mut is_pattern = false;
        let mut literal = String::new();
        let mut end = self.rest().len();
        let mut chars = self.rest().char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => {
                    if let Some((_, c)) = chars.next() {
                        literal.push(c);
                        out.push('\\');
                        out.push(c);
                    }
                }
                c if c.is_whitespace() || "()\"[]{}^~".contains(c) => {
                    end = at;
                    break;
                }
                c => {
                    is_pattern |= c == '*' || c == '?';
                    literal.push(c);
                    out.push(c);
                }
            }
        }
        if literal.is_empty() {
            return Err(self.wrong("expected a word"));
        }
        self.at += end;
        Ok(if is_pattern { (out, true) } else { (literal, false) })
    }

    fn boost(&mut self) {
        if let Some(rest) = self.rest().strip_prefix('^') {
            let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
            self.at += 1 + digits;
        }
    }
}

fn all_of(mut group: Vec<(Sign, Query)>) -> Query {
    if group.len() == 1 && group[0].0 != Sign::Not {
        return group.remove(0).1;
    }
    let (not, must): (Vec<_>, Vec<_>) = group.into_iter().partition(|(sign, _)| *sign == Sign::Not);
    let bare = |list: Vec<(Sign, Query)>| list.into_iter().map(|(_, query)| query).collect();
    Query::Bool {
        must: bare(must),
        filter: vec![],
        should: vec![],
        must_not: bare(not),
        minimum_should_match: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(show(&parse(text, "message", false, 0).unwrap()), expected, "{text}");
    }

    fn show(query: &Query) -> String {
        let all = |list: &[Query], sign: &str| {
            list.iter().map(|query| format!("{sign}{}", show(query))).collect::<Vec<_>>()
        };
        match query {
            Query::All => "all".into(),
            Query::Match { field, text, .. } => format!("{field}={text}"),
            Query::Phrase { field, text, slop } => format!("{field}={text:?}~{slop}"),
            Query::Wildcard { field, pattern } => format!("{field}~{pattern}"),
            Query::Exists { field } => format!("{field}?"),
            Query::Range { field, lower, upper } => format!("{field}{lower:?}{upper:?}"),
            Query::Bool { must, should, must_not, .. } => {
                format!("({})", [all(must, "+"), all(should, ""), all(must_not, "-")].concat().join(" "))
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn query_strings() {
        check("", "all");
        check("error", "message=error");
        check("level:error", "level=error");
        check("level:error AND status:500", "(+level=error +status=500)");
        check("a b", "(message=a message=b)");
        check("a OR b", "(message=a message=b)");
        check("a AND b OR c", "((+message=a +message=b) message=c)");
        check("+a -b c", "(+message=a message=c -message=b)");
        check("NOT a", "(-message=a)");
        check("level:(a OR b)", "(level=a level=b)");
        check("path:\"/a b\"~2", "path=\"/a b\"~2");
        check("status:>=500", "statusIncluded(Str(\"500\"))Unbounded");
        check("n:[1 TO 5}", "nIncluded(Str(\"1\"))Excluded(Str(\"5\"))");
        check("n:[* TO 5]", "nUnboundedIncluded(Str(\"5\"))");
        check("_exists_:user", "user?");
        check("user:*", "user?");
        check("user:b?b*", "user~b?b*");
        check("a\\:b", "message=a:b");
        check("level:error^2", "level=error");
        check("@timestamp:[now-1s TO now]", "@timestampIncluded(Time(-1000000000))Included(Time(0))");
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
            "a~2",
            "level:",
            "(",
            &"(".repeat(500),
            "\\",
        ] {
            assert!(catch_unwind(|| parse(text, "message", false, 0)).unwrap().is_err(), "{text}");
        }
    }
}
