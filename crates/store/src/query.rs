//! What can be asked of the store.

use crate::template::Template;
use std::ops::Bound;

/// A value to compare with. Columns take what fits them: a number may be given as text.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text, or a number or a time written as text.
    Str(String),
    /// Nanoseconds since 1970, UTC.
    Time(i64),
}

/// A question about events.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// Every event.
    All,
    /// No event.
    None,
    /// Events that have one of these values in a field.
    Terms {
        /// The field.
        field: String,
        /// The values.
        values: Vec<Value>,
    },
    /// Events with words of a text.
    Match {
        /// The field.
        field: String,
        /// The words.
        text: String,
        /// Whether all of them are needed.
        all: bool,
    },
    /// Events with words beside each other.
    Phrase {
        /// The field.
        field: String,
        /// The words.
        text: String,
        /// How many other words may stand between them.
        slop: u32,
    },
    /// Events with words beside each other, of which the last one need only begin so.
    PhrasePrefix {
        /// The field.
        field: String,
        /// The words.
        text: String,
    },
    /// Events with a word, or with a whole value where the field has no words, that is nearly this one.
    Fuzzy {
        /// The field.
        field: String,
        /// The word.
        text: String,
        /// In how many characters it may differ: 0, 1 or 2.
        distance: u8,
        /// Whether two characters in each other's place count as one difference.
        transpositions: bool,
    },
    /// Events with a value in a range.
    Range {
        /// The field.
        field: String,
        /// From.
        lower: Bound<Value>,
        /// To.
        upper: Bound<Value>,
    },
    /// Events that have a field.
    Exists {
        /// The field.
        field: String,
    },
    /// Events with text of a pattern: `*` is any text, `?` one character.
    Wildcard {
        /// The field.
        field: String,
        /// The pattern.
        pattern: String,
    },
    /// Events with text that a regular expression describes as a whole.
    Regexp {
        /// The field.
        field: String,
        /// The expression.
        pattern: String,
    },
    /// Events whose message is of a template.
    Template(Template),
    /// Events by id.
    Ids(Vec<String>),
    /// Several questions in one.
    Bool {
        /// All of these, counted in the score.
        must: Vec<Query>,
        /// All of these.
        filter: Vec<Query>,
        /// Some of these.
        should: Vec<Query>,
        /// None of these.
        must_not: Vec<Query>,
        /// How many of `should`; none: one where nothing else is asked, else zero.
        minimum_should_match: Option<usize>,
    },
}

impl Query {
    /// All of these.
    pub fn and(queries: Vec<Query>) -> Self {
        Query::Bool {
            must: queries,
            filter: vec![],
            should: vec![],
            must_not: vec![],
            minimum_should_match: None,
        }
    }

    /// One of these.
    pub fn or(queries: Vec<Query>) -> Self {
        Query::Bool {
            must: vec![],
            filter: vec![],
            should: queries,
            must_not: vec![],
            minimum_should_match: Some(1),
        }
    }

    /// What this does not say.
    pub fn negate(self) -> Self {
        Query::Bool {
            must: vec![],
            filter: vec![],
            should: vec![],
            must_not: vec![self],
            minimum_should_match: None,
        }
    }

    /// The range of `@timestamp` outside of which nothing can match, if there is one.
    pub fn time_range(&self) -> (i64, i64) {
        let time = |bound: &Bound<Value>| match bound {
            Bound::Included(value) | Bound::Excluded(value) => value.time(),
            Bound::Unbounded => None,
        };
        match self {
            Query::Range { field, lower, upper } if field == "@timestamp" => {
                (time(lower).unwrap_or(i64::MIN), time(upper).unwrap_or(i64::MAX))
            }
            Query::Bool { must, filter, .. } => must
                .iter()
                .chain(filter)
                .map(Query::time_range)
                .fold((i64::MIN, i64::MAX), |(from, to), (f, t)| (from.max(f), to.min(t))),
            _ => (i64::MIN, i64::MAX),
        }
    }
}

impl Value {
    /// The value as a time: nanoseconds, RFC 3339, or milliseconds as a number.
    pub fn time(&self) -> Option<i64> {
        match self {
            Value::Time(ns) => Some(*ns),
            Value::Int(ms) => ms.checked_mul(1_000_000),
            Value::Str(text) => event::time::parse_rfc3339(text.as_bytes())
                .or_else(|| text.parse::<i64>().ok()?.checked_mul(1_000_000)),
            _ => None,
        }
    }

    /// The value as a number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Int(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            Value::Str(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The value as a boolean.
    pub fn boolean(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            Value::Str(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The value as text.
    pub fn text(&self) -> String {
        match self {
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Str(text) => text.clone(),
            Value::Time(ns) => event::time::rfc3339(*ns),
        }
    }
}

/// The order of the events found.
#[derive(Debug, Clone, PartialEq)]
pub struct SortKey {
    /// The field, or `_score`, or `_doc`.
    pub field: String,
    /// The greatest first.
    pub descending: bool,
    /// Events without the field come first.
    pub missing_first: bool,
}
