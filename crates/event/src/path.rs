//! Field paths, in both notations: `a.b` and `[a][b]`.

use crate::names::{NameId, Names};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The way to a field: names from the outside to the inside. In an array a number is an index.
///
/// `a.b` and `[a][b]` mean the same. A name that holds a dot is written `"a.b"` or `a\.b` in
/// the first notation, `[a.b]` in the second. A path of several names also finds a field
/// whose own name is the whole dotted path, as Elasticsearch does.
#[derive(Debug)]
pub struct Path {
    parts: Vec<Part>,
    dotted: String,
    whole: Option<Part>,
}

#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: Box<str>,
    pub(crate) index: Option<i64>,
    /// The name's number in the batch seen last: serial << 24 | number.
    seen: AtomicU64,
}

impl Clone for Part {
    fn clone(&self) -> Self {
        Part::new(&self.name)
    }
}

const SEEN_BITS: u32 = 24;

impl Part {
    fn new(name: &str) -> Self {
        Self { name: name.into(), index: name.parse().ok(), seen: AtomicU64::new(0) }
    }

    /// The number of the name, if the batch knows it.
    pub(crate) fn find(&self, names: &Names) -> Option<NameId> {
        let seen = self.seen.load(Ordering::Relaxed);
        if seen >> SEEN_BITS == names.serial() {
            return Some((seen & ((1 << SEEN_BITS) - 1)) as NameId);
        }
        let id = names.find(&self.name)?;
        self.remember(names, id);
        Some(id)
    }

    pub(crate) fn intern(&self, names: &mut Names) -> NameId {
        if let Some(id) = self.find(names) {
            return id;
        }
        let id = names.intern(&self.name);
        self.remember(names, id);
        id
    }

    fn remember(&self, names: &Names, id: NameId) {
        if id < 1 << SEEN_BITS {
            self.seen.store(names.serial() << SEEN_BITS | u64::from(id), Ordering::Relaxed);
        }
    }
}

impl Clone for Path {
    fn clone(&self) -> Self {
        Self { parts: self.parts.clone(), dotted: self.dotted.clone(), whole: self.whole.clone() }
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.names().eq(other.names())
    }
}
impl Eq for Path {}

/// Why a text is not a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathError {
    /// The byte of the text at which reading failed.
    pub at: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a field path: {} at byte {}", self.reason, self.at)
    }
}
impl std::error::Error for PathError {}

impl Path {
    /// Reads a path in either notation.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let names = if text.starts_with('[') { brackets(text)? } else { dots(text)? };
        Ok(Self::of(names))
    }

    /// A path of these names, taken as they are.
    pub fn of<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        let parts: Vec<Part> = names.into_iter().map(|name| Part::new(name.as_ref())).collect();
        let dotted = parts.iter().map(|part| &*part.name).collect::<Vec<_>>().join(".");
        let whole = (parts.len() > 1).then(|| Part::new(&dotted));
        Self { parts, dotted, whole }
    }

    /// The names, from the outside to the inside.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| &*part.name)
    }

    /// The names joined by dots.
    pub fn dotted(&self) -> &str {
        &self.dotted
    }

    /// Whether this is `@timestamp`, the time of the event.
    pub fn is_timestamp(&self) -> bool {
        self.parts.len() == 1 && &*self.parts[0].name == "@timestamp"
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(crate) fn whole(&self) -> Option<&Part> {
        self.whole.as_ref()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, name) in self.names().enumerate() {
            if n > 0 {
                f.write_str(".")?;
            }
            if name.contains(['.', '"', '[']) { write!(f, "{name:?}")? } else { f.write_str(name)? }
        }
        Ok(())
    }
}

fn brackets(text: &str) -> Result<Vec<String>, PathError> {
    let mut names = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let at = text.len() - rest.len();
        let inner = rest.strip_prefix('[').ok_or(PathError { at, reason: "expected [" })?;
        let end = inner.find(']').ok_or(PathError { at: text.len(), reason: "missing ]" })?;
        let name = &inner[..end];
        if name.is_empty() || name.contains('[') {
            return Err(PathError { at: at + 1, reason: "expected a name between [ and ]" });
        }
        names.push(name.to_owned());
        rest = &inner[end + 1..];
    }
    Ok(names)
}

fn dots(text: &str) -> Result<Vec<String>, PathError> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut quoted = false;
    let mut was_quoted = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, next)) => name.push(next),
                None => return Err(PathError { at, reason: "nothing after \\" }),
            },
            '"' if quoted => quoted = false,
            '"' if name.is_empty() => (quoted, was_quoted) = (true, true),
            '.' if !quoted => {
                if name.is_empty() && !was_quoted {
                    return Err(PathError { at, reason: "expected a name" });
                }
                names.push(std::mem::take(&mut name));
                was_quoted = false;
            }
            '[' if !quoted => {
                let (index, rest) = text[at + 1..]
                    .split_once(']')
                    .ok_or(PathError { at: text.len(), reason: "missing ]" })?;
                if index.is_empty() {
                    return Err(PathError { at: at + 1, reason: "expected a number between [ and ]" });
                }
                names.push(std::mem::take(&mut name));
                names.push(index.to_owned());
                let rest_at = text.len() - rest.len();
                return match rest.strip_prefix('.') {
                    _ if rest.is_empty() => Ok(names),
                    Some(more) => tail(names, dots(more), rest_at + 1),
                    None if rest.starts_with('[') => tail(names, brackets(rest), rest_at),
                    None => Err(PathError { at: rest_at, reason: "expected . or [" }),
                };
            }
            c => name.push(c),
        }
    }
    if quoted {
        return Err(PathError { at: text.len(), reason: "missing \"" });
    }
    if name.is_empty() && !was_quoted {
        return Err(PathError { at: text.len(), reason: "expected a name" });
    }
    names.push(name);
    Ok(names)
}

fn tail(
    mut names: Vec<String>,
    more: Result<Vec<String>, PathError>,
    at: usize,
) -> Result<Vec<String>, PathError> {
    names.extend(more.map_err(|error| PathError { at: error.at + at, ..error })?);
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations() {
        #[track_caller]
        fn check(text: &str, names: &[&str]) {
            assert_eq!(Path::parse(text).unwrap().names().collect::<Vec<_>>(), names);
        }
        check("a", &["a"]);
        check("a.b", &["a", "b"]);
        check("[a][b]", &["a", "b"]);
        check("[a.b]", &["a.b"]);
        check("\"a.b\".c", &["a.b", "c"]);
        check("a\\.b", &["a.b"]);
        check("a[0].b", &["a", "0", "b"]);
        check("a[0][1]", &["a", "0", "1"]);
        check("@timestamp", &["@timestamp"]);
        check("größe.ä", &["größe", "ä"]);
    }

    #[test]
    fn bad_paths_say_where() {
        #[track_caller]
        fn check(text: &str, at: usize) {
            assert_eq!(Path::parse(text).unwrap_err().at, at, "{text}");
        }
        check("", 0);
        check("a.", 2);
        check(".a", 0);
        check("[a", 2);
        check("[]", 1);
        check("[a]b", 3);
        check("\"a", 2);
        check("a\\", 1);
        check("a[0]b", 4);
    }
}
