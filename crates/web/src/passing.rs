//! Whether an event that passes by is one that a search asks for, before anything is stored.
//!
//! The answers are those of the store: words of text without case, numbers and times by their
//! value, patterns over the whole value (over each word in `message`).

use event::{Path, Value};
use expr::Look;
use std::cmp::Ordering;
use std::ops::Bound;
use store::Query;

/// A search, compiled once and asked of many events.
#[derive(Debug)]
pub struct Passing(Node);

#[derive(Debug)]
enum Node {
    All,
    None,
    Field(Path, Test),
    /// All of the first, one of the second (where there are any), none of the third.
    Bool(Vec<Node>, Vec<Node>, Vec<Node>),
}

#[derive(Debug)]
enum Test {
    Exists,
    /// One of these words, or all of them; a value that is no text equals the whole.
    Words {
        words: Vec<String>,
        all: bool,
        whole: String,
    },
    Phrase {
        words: Vec<String>,
        whole: String,
    },
    Values(Vec<store::Value>),
    Range(Bound<store::Value>, Bound<store::Value>),
    Pattern {
        pieces: Vec<Piece>,
        by_word: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Any,
    One,
    Char(char),
}

impl Passing {
    /// Compiles a search; the error names what can only be asked of what is stored.
    pub fn new(query: &Query) -> Result<Self, String> {
        node(query).map(Self)
    }

    /// Whether the event is asked for.
    pub fn takes(&self, event: &dyn Look) -> bool {
        passes(&self.0, event)
    }
}

fn node(query: &Query) -> Result<Node, String> {
    let field = |name: &str, test: Test| {
        let name = name.strip_suffix(".keyword").unwrap_or(name);
        let path = Path::parse(name).map_err(|error| format!("{name:?} is no field: {}", error.reason))?;
        Ok::<_, String>(Node::Field(path, test))
    };
    let all = |queries: &[Query]| queries.iter().map(node).collect::<Result<Vec<_>, _>>();
    Ok(match query {
        Query::All => Node::All,
        Query::None => Node::None,
        Query::Terms { field: name, values } => field(name, Test::Values(values.clone()))?,
        Query::Match { field: name, text, all } => {
            field(name, Test::Words { words: words(text), all: *all, whole: text.clone() })?
        }
        Query::Phrase { field: name, text, .. } => {
            field(name, Test::Phrase { words: words(text), whole: text.clone() })?
        }
        Query::Range { field: name, lower, upper } => field(name, Test::Range(lower.clone(), upper.clone()))?,
        Query::Exists { field: name } => field(name, Test::Exists)?,
        Query::Wildcard { field: name, pattern } => {
            let by_word = name == "message";
            let pattern = if by_word { pattern.to_lowercase() } else { pattern.clone() };
            field(name, Test::Pattern { pieces: pieces(&pattern), by_word })?
        }
        Query::Bool { must, filter, should, must_not, .. } => {
            let mut needed = all(must)?;
            needed.extend(all(filter)?);
            Node::Bool(needed, all(should)?, all(must_not)?)
        }
        Query::Regexp { .. }
        | Query::PhrasePrefix { .. }
        | Query::Fuzzy { .. }
        | Query::Template(_)
        | Query::Ids(_) => {
            return Err("regular expressions, beginnings of phrases, words that are nearly so, templates and ids can only be asked of what is stored".to_owned());
        }
    })
}

fn passes(node: &Node, event: &dyn Look) -> bool {
    match node {
        Node::All => true,
        Node::None => false,
        Node::Bool(all, some, none) => {
            all.iter().all(|node| passes(node, event))
                && (some.is_empty() || some.iter().any(|node| passes(node, event)))
                && !none.iter().any(|node| passes(node, event))
        }
        Node::Field(path, test) => event.look(path).is_some_and(|value| is_so(test, &value)),
    }
}

/// Whether a value, or one of an array, passes.
fn is_so(test: &Test, value: &Value<'_>) -> bool {
    match value {
        Value::Null => false,
        Value::Json(text) if text.starts_with('[') => {
            let mut found = false;
            let read = event::json::elements(text, |element| found = found || is_so(test, &element));
            read.is_ok() && found
        }
        Value::Json(_) => matches!(test, Test::Exists),
        value => is_one_so(test, value),
    }
}

fn is_one_so(test: &Test, value: &Value<'_>) -> bool {
    let text = || match value {
        Value::Str(text) => Some(String::from_utf8_lossy(text)),
        _ => None,
    };
    match test {
        Test::Exists => true,
        Test::Words { words: wanted, all, whole } => match text() {
            Some(text) => {
                let own = words(&text);
                let mut wanted = wanted.iter();
                let is_in = |word: &String| own.contains(word);
                if *all { wanted.all(is_in) } else { wanted.any(is_in) }
            }
            None => equals(value, &store::Value::Str(whole.clone())),
        },
        Test::Phrase { words: wanted, whole } => match text() {
            Some(text) => words(&text).windows(wanted.len().max(1)).any(|window| window == *wanted),
            None => equals(value, &store::Value::Str(whole.clone())),
        },
        Test::Values(values) => values.iter().any(|wanted| equals(value, wanted)),
        Test::Range(lower, upper) => {
            let side = |bound: &Bound<store::Value>, wanted: Ordering| match bound {
                Bound::Unbounded => true,
                Bound::Included(bound) => {
                    compare(value, bound).is_some_and(|order| order == wanted || order == Ordering::Equal)
                }
                Bound::Excluded(bound) => compare(value, bound) == Some(wanted),
            };
            side(lower, Ordering::Greater) && side(upper, Ordering::Less)
        }
        Test::Pattern { pieces, by_word } => text().is_some_and(|text| {
            if *by_word {
                words(&text).iter().any(|word| is_like(pieces, word))
            } else {
                is_like(pieces, &text)
            }
        }),
    }
}

fn equals(value: &Value<'_>, wanted: &store::Value) -> bool {
    match value {
        Value::Bool(own) => wanted.boolean() == Some(*own),
        value => compare(value, wanted) == Some(Ordering::Equal),
    }
}

/// Compares by what the event's own value is; nothing where the other does not fit it.
fn compare(value: &Value<'_>, other: &store::Value) -> Option<Ordering> {
    match value {
        Value::Int(own) => (*own as f64).partial_cmp(&other.number()?),
        Value::Float(own) => own.partial_cmp(&other.number()?),
        Value::Time(own) => Some(own.cmp(&other.time()?)),
        Value::Str(own) => Some(own.as_ref().cmp(other.text().as_bytes())),
        Value::Null | Value::Bool(_) | Value::Json(_) => None,
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let mut chars = pattern.chars();
    let mut pieces = Vec::new();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            '*' => Piece::Any,
            '?' => Piece::One,
            '\\' => Piece::Char(chars.next().unwrap_or('\\')),
            other => Piece::Char(other),
        });
    }
    pieces
}

/// Whether a pattern means the whole text, in time of pattern × text at most.
fn is_like(pieces: &[Piece], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pieces.get(p) {
            Some(Piece::Any) => {
                back = Some((p + 1, t));
                p += 1;
            }
            Some(Piece::One) => (p, t) = (p + 1, t + 1),
            Some(Piece::Char(c)) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match back {
                Some((star, from)) => {
                    back = Some((star, from + 1));
                    (p, t) = (star, from + 1);
                }
                None => return false,
            },
        }
    }
    pieces[p..].iter().all(|piece| *piece == Piece::Any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::es::context::Context;
    use crate::kql;
    use event::{Batch, Common, Origin};
    use proptest::prelude::*;

    fn takes(search: &str, event: &str) -> bool {
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        batch.push_json(event.as_bytes(), 0).unwrap();
        Passing::new(&kql::parse(search, &Context::at(0)).unwrap()).unwrap().takes(&batch.view(0))
    }

    #[test]
    fn searches_of_passing_events() {
        let event = r#"{"@timestamp":"2026-11-21T10:00:00Z","status":503,"took":1.5,"ok":true,
            "level":"Error","path":"/api/v1?x","tags":["a","slow query"],"user":{"name":"bob"},
            "none":null,"message":"out of Memory, again"}"#;
        #[track_caller]
        fn check(search: &str, event: &str, expected: bool) {
            assert_eq!(takes(search, event), expected, "{search}");
        }
        for (search, expected) in [
            ("", true),
            ("memory", true),
            ("\"of memory\"", true),
            ("\"memory of\"", false),
            ("mem*", true),
            ("emory", false),
            ("status >= 500", true),
            ("status < 500", false),
            ("status: 503", true),
            ("status: 50*", false),
            ("took > 1", true),
            ("ok: true", true),
            ("ok: false", false),
            ("level: error and not user.name: alice", true),
            ("level: (warn or error)", true),
            ("path: /api*", true),
            ("path: /api*\\?y", false),
            ("tags: slow", true),
            ("tags: b", false),
            ("user: *", true),
            ("none: *", false),
            ("missing: *", false),
            ("@timestamp >= \"2026-11-21T00:00:00Z\"", true),
            ("@timestamp > \"2026-11-22\"", false),
        ] {
            check(search, event, expected);
        }
    }

    #[test]
    fn what_only_the_store_knows_is_refused() {
        assert!(Passing::new(&Query::Ids(vec!["1".to_owned()])).is_err());
        let pattern = Query::Regexp { field: "a".to_owned(), pattern: ".".to_owned() };
        assert!(Passing::new(&Query::negate(pattern)).is_err());
    }

    proptest! {
        #[test]
        fn patterns(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            // The plain definition, as the oracle.
            fn like(pattern: &[char], text: &[char]) -> bool {
                match (pattern.split_first(), text.split_first()) {
                    (None, None) => true,
                    (Some(('*', rest)), _) => like(rest, text) || !text.is_empty() && like(pattern, &text[1..]),
                    (Some(('?', rest)), Some((_, more))) => like(rest, more),
                    (Some((c, rest)), Some((own, more))) => c == own && like(rest, more),
                    _ => false,
                }
            }
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(is_like(&pieces(&pattern), &text), like(&chars(&pattern), &chars(&text)));
        }

        #[test]
        fn any_search(search in "([a-z]|:|\\(|\\)|\"|and |or |not |>=|<|\\*|\\\\| ){0,20}") {
            if let Ok(query) = kql::parse(&search, &Context::at(0)) {
                let _ = Passing::new(&query);
            }
        }
    }
}
