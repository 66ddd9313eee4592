//! Errors as Elasticsearch words them.

use serde_json::{Map, Value, json};

/// An error as Elasticsearch words it.
#[derive(Debug, Clone, PartialEq)]
pub struct EsError {
    /// The HTTP status.
    pub status: u16,
    /// Such as `parsing_exception`.
    pub kind: &'static str,
    /// What is wrong, and what is supported.
    pub reason: String,
    /// The index that it is about.
    pub index: Option<String>,
    /// The word of the body that it is about, so that its place can be found.
    pub word: Option<String>,
    /// Line and column in the body, from 1.
    pub place: Option<(usize, usize)>,
}

impl EsError {
    /// An error of this status and type.
    pub fn new(status: u16, kind: &'static str, reason: impl Into<String>) -> Self {
        Self { status, kind, reason: reason.into(), index: None, word: None, place: None }
    }

    /// A question that cannot be read.
    pub fn parsing(reason: impl Into<String>) -> Self {
        Self::new(400, "parsing_exception", reason)
    }

    /// An argument that is not allowed.
    pub fn argument(reason: impl Into<String>) -> Self {
        Self::new(400, "illegal_argument_exception", reason)
    }

    /// A word that is none of those that are known here.
    pub fn unknown(what: &str, word: &str, known: &[&str]) -> Self {
        let hint = nearest(word, known).map_or_else(String::new, |name| format!("did you mean [{name}]? "));
        let mut error =
            Self::parsing(format!("{what} [{word}] is not supported; {hint}there are {}", known.join(", ")));
        error.word = Some(word.to_owned());
        error
    }

    /// An index that is not there.
    pub fn no_index(name: &str) -> Self {
        let error = Self::new(404, "index_not_found_exception", format!("no such index [{name}]"));
        Self { index: Some(name.to_owned()), ..error }
    }

    /// Adds the word that the error is about.
    pub fn about(mut self, word: &str) -> Self {
        self.word.get_or_insert_with(|| word.to_owned());
        self
    }

    /// Finds the place of the word in the body: that of its first mention as a name.
    pub fn locate(mut self, body: &[u8]) -> Self {
        let Some(word) = self.word.as_ref().filter(|_| self.place.is_none()) else { return self };
        let quoted = Value::from(word.as_str()).to_string();
        if let Ok(text) = std::str::from_utf8(body)
            && let Some(at) = text.find(&quoted)
        {
            let before = &text[..at];
            let line_start = before.rfind('\n').map_or(0, |end| end + 1);
            self.place = Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1));
        }
        self
    }

    /// The error as a body.
    pub fn body(&self) -> Value {
        let mut cause = Map::new();
        cause.insert("type".to_owned(), self.kind.into());
        cause.insert("reason".to_owned(), self.reason.as_str().into());
        if let Some((line, column)) = self.place {
            cause.insert("line".to_owned(), line.into());
            cause.insert("col".to_owned(), column.into());
        }
        if let Some(index) = &self.index {
            cause.insert("resource.type".to_owned(), "index_or_alias".into());
            cause.insert("resource.id".to_owned(), index.as_str().into());
            cause.insert("index_uuid".to_owned(), "_na_".into());
            cause.insert("index".to_owned(), index.as_str().into());
        }
        let mut error = Map::new();
        error.insert("root_cause".to_owned(), json!([cause]));
        error.extend(cause);
        json!({ "error": error, "status": self.status })
    }
}

impl From<store::StoreError> for EsError {
    fn from(error: store::StoreError) -> Self {
        use store::StoreError;
        let reason = error.to_string();
        match &error {
            StoreError::NoIndex(name) => Self::no_index(name),
            StoreError::Name(..) => Self::new(400, "invalid_index_name_exception", reason),
            StoreError::Conflict { .. } => Self::new(400, "illegal_argument_exception", reason),
            StoreError::Mapping(_) => Self::new(400, "mapper_parsing_exception", reason),
            StoreError::Query(_) | StoreError::Index(_) => {
                Self::new(400, "search_phase_execution_exception", reason)
            }
            _ => Self::new(503, "unavailable_shards_exception", reason),
        }
    }
}

/// The known word that is most like this one, if any is.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if word.len() > 64 {
        return None;
    }
    let best = known.iter().map(|name| (distance(word, name), *name)).min()?;
    (best.0 <= (word.chars().count() / 3).max(1)).then_some(best.1)
}

/// How many letters must be changed, added, taken away or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(row[j - 1] + 1).min(rows[i - 1][j] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_words() {
        let known = ["must", "must_not", "filter", "should"];
        assert_eq!(nearest("musst", &known), Some("must"));
        assert_eq!(nearest("fitler", &known), Some("filter"));
        assert_eq!(nearest("zebra", &known), None);
    }

    #[test]
    fn places() {
        let error = EsError::unknown("query", "trem", &["term"]).locate(b"{\n  \"trem\": 1}");
        assert_eq!(error.place, Some((2, 3)));
        assert!(error.reason.contains("did you mean [term]?"));
        assert_eq!(error.body()["error"]["root_cause"][0]["line"], 2);
    }
}
