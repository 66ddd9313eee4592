//! What is said about a place in a config.

use crate::Source;
use crate::tree::Place;
use serde::Serialize;
use std::fmt;

/// Something about a place in a config, printed as compilers do: the place, what is wrong,
/// and the line with a mark below it. As JSON it is an object of its fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The option, such as `pipelines.main.inputs.web.file.paths`; empty where there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
    /// The line's text, in which secrets are masked; empty where it must not be shown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
}

impl Problem {
    /// About a file as a whole.
    pub(crate) fn of_file(source: &Source, message: String) -> Self {
        Self {
            file: source.name.clone(),
            line: 1,
            column: 1,
            path: String::new(),
            message,
            text: String::new(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if !self.text.is_empty() {
            let before = self.text.chars().take(self.column.saturating_sub(1));
            let before: String = before.map(|c| if c == '\t' { c } else { ' ' }).collect();
            write!(f, "\n  {}\n  {before}^", self.text)?;
        }
        Ok(())
    }
}

/// The files that are read, and what in them must not be shown.
pub(crate) struct Files<'s> {
    pub(crate) sources: &'s [Source],
    pub(crate) secrets: Vec<SecretSpan>,
}

/// A part of a line that is a secret: columns from 1, `to` is behind the last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SecretSpan {
    pub(crate) file: u32,
    pub(crate) line: u32,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// Longer lines are cut in what is shown.
const TEXT_CHARS_MAX: usize = 400;

impl Files<'_> {
    /// A problem at a place; `path` names the option.
    pub(crate) fn problem(&self, place: Place, path: &str, message: impl Into<String>) -> Problem {
        Problem {
            file: self.name(place).to_owned(),
            line: place.line as usize,
            column: place.column.max(1) as usize,
            path: path.to_owned(),
            message: message.into(),
            text: self.shown(place),
        }
    }

    /// A place in words: `file:line:column`.
    pub(crate) fn at(&self, place: Place) -> String {
        format!("{}:{}:{}", self.name(place), place.line, place.column)
    }

    /// The text of a line.
    pub(crate) fn line(&self, place: Place) -> &str {
        let source = self.sources.get(place.file as usize);
        let text = source.map(|source| source.text.as_str()).unwrap_or_default();
        text.lines().nth((place.line as usize).saturating_sub(1)).unwrap_or_default()
    }

    fn name(&self, place: Place) -> &str {
        self.sources.get(place.file as usize).map_or("-", |source| source.name.as_str())
    }

    fn shown(&self, place: Place) -> String {
        let mut out = String::new();
        for (n, c) in self.line(place).chars().take(TEXT_CHARS_MAX).enumerate() {
            let column = n as u32 + 1;
            let is_secret = self.secrets.iter().any(|span| {
                (span.file, span.line) == (place.file, place.line) && (span.from..span.to).contains(&column)
            });
            out.push(if is_secret {
                '*'
            } else if c.is_control() && c != '\t' {
                ' '
            } else {
                c
            });
        }
        out
    }
}

/// Whether what stands below a key of that name must not be shown.
pub(crate) fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 9] =
        ["password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "credential", "jaas"];
    let name = name.to_ascii_lowercase();
    name == "users" || WORDS.iter().any(|word| name.contains(word))
}

/// The known name that is nearest to what was written, if one is near.
pub(crate) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let (distance, own) = known.iter().map(|own| (distance(name, own), *own)).min()?;
    (distance <= 2.max(name.chars().count() / 3) && distance < own.len()).then_some(own)
}

/// How many letters must be changed, added, taken out or swapped to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    // Nobody means an option by a text of this length.
    if a.len() > 100 {
        return a.len();
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            rows[i][j] = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                rows[i][j] = rows[i][j].min(rows[i - 2][j - 2] + 1);
            }
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name() {
        assert_eq!(distance("pathes", "paths"), 1);
        assert_eq!(distance("fiel", "file"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(nearest("pathes", &["exclude", "paths"]), Some("paths"));
        assert_eq!(nearest("colour", &["exclude", "paths"]), None);
        assert_eq!(nearest("x", &["if"]), None);
    }
}
