//! What a question is read against: the time, and the fields that there are.

use super::dates::Reader;
use std::sync::Arc;
use store::{FieldType, Mapping, Query};

/// More fields are never looked into for one word.
const FIELDS_MAX: usize = 200;

/// What a question is read against.
#[derive(Debug, Clone)]
pub struct Context {
    /// What `now` is, in nanoseconds UTC.
    pub now: i64,
    /// The fields of the indices that are asked.
    pub fields: Mapping,
    /// Between which times the events are that can be found, in nanoseconds UTC.
    pub bounds: Option<(i64, i64)>,
    /// The fields that were declared and may not have been seen.
    declared: Vec<Arc<Mapping>>,
}

impl Context {
    /// A context without fields.
    pub fn at(now: i64) -> Self {
        Self { now, fields: Mapping::default(), bounds: None, declared: Vec::new() }
    }

    /// Adds the fields that were declared for an index.
    pub fn declare(&mut self, declared: Arc<Mapping>) {
        if !declared.0.is_empty() {
            self.declared.push(declared);
        }
    }

    /// How times are read unless the question says otherwise.
    pub fn times(&self) -> Reader {
        Reader::new(self.now)
    }

    /// The type of a field, if any index has it.
    pub fn kind(&self, field: &str) -> Option<FieldType> {
        if field == "@timestamp" {
            return Some(FieldType::Date);
        }
        let bare = field.strip_suffix(".keyword").unwrap_or(field);
        let of = |mapping: &Mapping| mapping.0.get(bare).copied();
        of(&self.fields).or_else(|| self.declared.iter().find_map(|mapping| of(mapping)))
    }

    /// The fields that a name or pattern means. `*` is every field that can hold this text.
    pub fn expand(&self, pattern: &str, text: &str) -> Vec<String> {
        if !pattern.contains('*') {
            return vec![pattern.to_owned()];
        }
        let takes = |kind: FieldType| match kind {
            FieldType::Text | FieldType::Keyword => true,
            FieldType::Long | FieldType::Double => text.parse::<f64>().is_ok(),
            FieldType::Boolean => text == "true" || text == "false",
            FieldType::Date => false,
        };
        let own = self.fields.0.iter().filter(|(name, kind)| takes(**kind) && glob(pattern, name));
        let mut names: Vec<String> = own.map(|(name, _)| name.clone()).collect();
        names.sort_by_key(|name| name != "message");
        names.truncate(FIELDS_MAX);
        if names.is_empty() && pattern == "*" {
            names.push("message".to_owned());
        }
        names
    }

    /// One of the questions about each of the fields.
    pub fn any(&self, patterns: &[String], text: &str, each: impl Fn(String) -> Query) -> Query {
        let mut fields: Vec<String> =
            patterns.iter().flat_map(|pattern| self.expand(pattern, text)).collect();
        fields.dedup();
        let mut queries: Vec<Query> = fields.into_iter().map(each).collect();
        match queries.len() {
            0 => Query::None,
            1 => queries.remove(0),
            _ => Query::or(queries),
        }
    }
}

/// Whether a pattern with `*` means the text. Takes time of pattern × text at most.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            back = Some((p + 1, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            p += 1;
            t += 1;
        } else if let Some((star, from)) = back {
            back = Some((star, from + 1));
            p = star;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("*b*", "abc", true),
            ("log.*", "log.file.path", true),
            ("", "a", false),
            ("a*b*c", "axxbxxbc", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
        assert!(!glob(&"*a".repeat(200), &"b".repeat(10_000)));
    }
}
