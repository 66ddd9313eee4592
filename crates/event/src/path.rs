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
    /// The outermost name is that of the time.
    begins_with_timestamp: bool,
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

/// The name under which the time of an event is read and set.
pub(crate) const TIMESTAMP: &str = "@timestamp";

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
        Self {
            parts: self.parts.clone(),
            dotted: self.dotted.clone(),
            whole: self.whole.clone(),
            begins_with_timestamp: self.begins_with_timestamp,
        }
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
        let reader = Reader { text, at: 0, names: Vec::new() };
        Ok(Self::of(reader.names()?))
    }

    /// A path of these names, taken as they are.
    pub fn of<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        let parts: Vec<Part> = names.into_iter().map(|name| Part::new(name.as_ref())).collect();
        let dotted = parts.iter().map(|part| &*part.name).collect::<Vec<_>>().join(".");
        let whole = (parts.len() > 1).then(|| Part::new(&dotted));
        let begins_with_timestamp = parts.first().is_some_and(|first| &*first.name == TIMESTAMP);
        Self { parts, dotted, whole, begins_with_timestamp }
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
        self.begins_with_timestamp && self.parts.len() == 1
    }

    /// Whether this is `@timestamp`, or would be something within it.
    pub(crate) fn begins_with_timestamp(&self) -> bool {
        self.begins_with_timestamp
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
            // A brace means nothing here, but in a template it would.
            if !name.is_empty() && !name.contains(['.', '"', '[', '\\', '{']) {
                f.write_str(name)?;
                continue;
            }
            // Within quotes a backslash makes the next character stand for itself, whatever it is.
            write!(f, "\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))?;
        }
        Ok(())
    }
}

/// A path being read. It can be as long as a config, so nothing in here calls itself.
struct Reader<'t> {
    text: &'t str,
    at: usize,
    names: Vec<String>,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn wrong<T>(&self, at: usize, reason: &'static str) -> Result<T, PathError> {
        Err(PathError { at, reason })
    }

    fn names(mut self) -> Result<Vec<String>, PathError> {
        let mut in_brackets = self.rest().starts_with('[');
        loop {
            if in_brackets {
                self.brackets()?;
            } else {
                self.dotted_name()?;
            }
            match self.rest().as_bytes().first() {
                None => return Ok(self.names),
                Some(b'[') => in_brackets = true,
                Some(b'.') => {
                    self.at += 1;
                    in_brackets = false;
                }
                Some(_) => return self.wrong(self.at, "expected . or ["),
            }
        }
    }

    /// `[name]`.
    fn brackets(&mut self) -> Result<(), PathError> {
        let inner = &self.rest()[1..];
        let Some(end) = inner.find(']') else { return self.wrong(self.text.len(), "missing ]") };
        let name = &inner[..end];
        if name.is_empty() || name.contains('[') {
            return self.wrong(self.at + 1, "expected a name between [ and ]");
        }
        self.names.push(name.to_owned());
        self.at += end + 2;
        Ok(())
    }

    /// A name up to the next dot or bracket, with parts in quotes and behind backslashes.
    fn dotted_name(&mut self) -> Result<(), PathError> {
        let begin = self.at;
        let mut name = String::new();
        let mut quoted = false;
        let mut was_quoted = false;
        let mut chars = self.rest().char_indices();
        let mut end = self.rest().len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, next)) => name.push(next),
                    None => return self.wrong(begin + at, "nothing after \\"),
                },
                '"' if quoted => quoted = false,
                '"' if name.is_empty() => (quoted, was_quoted) = (true, true),
                '.' | '[' if !quoted => {
                    end = at;
                    break;
                }
                c => name.push(c),
            }
        }
        if quoted {
            return self.wrong(self.text.len(), "missing \"");
        }
        self.at = begin + end;
        if name.is_empty() && !was_quoted {
            return self.wrong(self.at, "expected a name");
        }
        self.names.push(name);
        Ok(())
    }
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
        check("[a].b", &["a", "b"]);
        check("@timestamp", &["@timestamp"]);
        check("größe.ä", &["größe", "ä"]);
        check("a.\"\".b", &["a", "", "b"]);
        check("a[0].b[1][2].\"c[\"", &["a", "0", "b", "1", "2", "c["]);
    }

    #[test]
    fn what_is_printed_is_read() {
        #[track_caller]
        fn check(names: &[&str], printed: &str) {
            let path = Path::of(names);
            assert_eq!(path.to_string(), printed);
            assert_eq!(Path::parse(printed).as_ref(), Ok(&path));
        }
        check(&["a", "b"], "a.b");
        check(&["a.b", "c"], "\"a.b\".c");
        check(&["a\nb.c", "\t"], "\"a\nb.c\".\t");
        check(&["a\\b", "c\"d"], "\"a\\\\b\".\"c\\\"d\"");
        check(&["", "x", ""], "\"\".x.\"\"");
        check(&["[a]", "]"], "\"[a]\".]");
    }

    #[test]
    fn a_path_may_be_long() {
        let path = Path::parse(&"a[0].".repeat(100_000)).unwrap_err();
        assert_eq!(path.at, 500_000);
        assert_eq!(Path::parse(&"[a]".repeat(100_000)).unwrap().names().count(), 100_000);
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
        check("a.[0]", 2);
        check("a[0].[1]", 5);
    }
}
