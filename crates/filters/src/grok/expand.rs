//! From grok's syntax to a regex of PCRE2: references are replaced by what they stand for,
//! captures are numbered, and what Oniguruma writes otherwise is rewritten.
//!
//! Users know the syntax of Oniguruma as Ruby sets it up: `^` and `$` match at every line,
//! the dot matches line ends (and with `(?-m)` it does not), `\h` is a hexadecimal digit, and with named groups the
//! plain ones capture nothing.

use super::patterns;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Own patterns by their names.
pub type Definitions = BTreeMap<String, String>;

/// The longest regex that patterns may expand to, so that definitions cannot fill the memory.
const REGEX_BYTES_MAX: usize = 1 << 18;

/// A value that a capture becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cast {
    Text,
    Int,
    Float,
}

/// Where a capture goes; its place in the list is the number of its group, less one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Capture {
    pub(super) field: String,
    pub(super) cast: Cast,
}

/// A pattern in which nothing refers to another one.
#[derive(Debug)]
pub(super) struct Expanded {
    pub(super) regex: String,
    pub(super) captures: Vec<Capture>,
}

/// `NAME`, `NAME:field` or `NAME:field:cast`, as it stands between `%{` and `}`.
pub(super) struct Reference<'p> {
    pub(super) name: &'p str,
    pub(super) capture: Option<Capture>,
}

#[cfg(test)]
pub(super) fn expand(pattern: &str, definitions: &Definitions) -> Result<Expanded, String> {
    expand_as(pattern, definitions, true, false)
}

/// The regex of a pattern. Where not only named captures count, what a pattern matches is a capture of
/// its name if it has no other. With `shares`, a long regex without captures stands once, at the end, however
/// often it is referred to: such a regex is slower, and smaller.
pub(super) fn expand_as(
    pattern: &str,
    definitions: &Definitions,
    named_only: bool,
    shares: bool,
) -> Result<Expanded, String> {
    let shared = shares.then(BTreeMap::new);
    Expander { shared, ..Expander::new(definitions, named_only) }.expanded(pattern)
}

/// The regex that a name stands for.
pub(super) fn definition<'d>(name: &str, definitions: &'d Definitions) -> Option<&'d str> {
    definitions.get(name).map(String::as_str).or_else(|| patterns::find(name))
}

impl<'p> Reference<'p> {
    /// Reads what stands behind `%{`; gives back what stands behind its `}`.
    pub(super) fn read(text: &'p str) -> Result<(Self, &'p str), String> {
        let end = text.find('}').ok_or_else(|| format!("missing }} behind %{{{text}"))?;
        let (inner, rest) = (&text[..end], &text[end + 1..]);
        let mut parts = inner.splitn(3, ':');
        let name = parts.next().unwrap_or_default();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(format!("%{{{inner}}} does not name a pattern"));
        }
        let Some(field) = parts.next().filter(|field| !field.is_empty()) else {
            return Ok((Self { name, capture: None }, rest));
        };
        let cast = match parts.next() {
            None | Some("" | "string") => Cast::Text,
            Some("int") => Cast::Int,
            Some("float") => Cast::Float,
            Some(other) => return Err(format!("%{{{inner}}}: no type {other:?}; there are int and float")),
        };
        Ok((Self { name, capture: Some(Capture { field: field.to_owned(), cast }) }, rest))
    }
}

struct Expander<'d> {
    definitions: &'d Definitions,
    named_only: bool,
    out: Expanded,
    within: Vec<String>,
    /// The regexes that stand at the end, by the names of their patterns; none: nothing is shared.
    shared: Option<BTreeMap<String, String>>,
}

/// A regex of so many bytes is worth being shared.
const SHARED_BYTES_MIN: usize = 200;

impl<'d> Expander<'d> {
    fn new(definitions: &'d Definitions, named_only: bool) -> Self {
        let out = Expanded { regex: String::new(), captures: Vec::new() };
        Self { definitions, named_only, out, within: Vec::new(), shared: None }
    }

    fn expanded(mut self, pattern: &str) -> Result<Expanded, String> {
        self.pattern(pattern)?;
        let shared = self.shared.unwrap_or_default();
        if !shared.is_empty() {
            self.out.regex = format!("(?:{})", self.out.regex);
        }
        for (name, regex) in shared {
            let _ = write!(self.out.regex, "(?(DEFINE)(?<{}>{regex}))", shared_name(&name));
        }
        Ok(self.out)
    }

    fn pattern(&mut self, pattern: &str) -> Result<(), String> {
        let mut rest = pattern;
        let mut class = false;
        while let Some(first) = rest.chars().next() {
            if self.out.regex.len() > REGEX_BYTES_MAX {
                return Err("the pattern is too long when its references are replaced".to_owned());
            }
            if let Some(behind) = rest.strip_prefix("%{") {
                let (reference, behind) = Reference::read(behind)?;
                self.reference(&reference)?;
                rest = behind;
                continue;
            }
            let taken = match first {
                '\\' => self.escape(rest, class)?,
                '[' if class => match rest.starts_with("[:").then(|| rest.find(":]")).flatten() {
                    Some(end) => self.keep(&rest[..end + 2]),
                    None => self.keep("["),
                },
                '[' => {
                    class = true;
                    // A `]` that comes first stands for itself.
                    let openings = ["[^]", "[]", "[^", "["];
                    self.keep(openings.into_iter().find(|open| rest.starts_with(open)).unwrap_or("["))
                }
                ']' if class => {
                    class = false;
                    self.keep("]")
                }
                '&' if class && rest.starts_with("&&") => {
                    return Err(format!("&& within [ ] is not supported: {rest}"));
                }
                '(' if !class => self.group(rest),
                other => {
                    self.out.regex.push(other);
                    other.len_utf8()
                }
            };
            rest = &rest[taken..];
        }
        Ok(())
    }

    fn keep(&mut self, text: &str) -> usize {
        self.out.regex.push_str(text);
        text.len()
    }

    fn reference(&mut self, reference: &Reference<'_>) -> Result<(), String> {
        let name = reference.name;
        let definitions = self.definitions;
        let inner = definition(name, definitions).ok_or_else(|| unknown(name, definitions))?;
        if self.within.iter().any(|outer| outer == name) {
            return Err(format!("%{{{name}}} refers to itself: {} > {name}", self.within.join(" > ")));
        }
        match &reference.capture {
            Some(capture) => self.open(capture.clone()),
            None if !self.named_only => self.open(Capture { field: name.to_owned(), cast: Cast::Text }),
            None => self.out.regex.push_str("(?:"),
        }
        self.within.push(name.to_owned());
        if !self.share(name, inner)? {
            self.pattern(inner)?;
        }
        self.within.pop();
        self.out.regex.push(')');
        Ok(())
    }

    /// Refers to a regex that stands at the end, if this one may.
    fn share(&mut self, name: &str, inner: &str) -> Result<bool, String> {
        let Some(shared) = &mut self.shared else { return Ok(false) };
        if !shared.contains_key(name) {
            let within = self.within.clone();
            let mut alone = Expander { within, ..Expander::new(self.definitions, self.named_only) };
            alone.pattern(inner)?;
            if !alone.out.captures.is_empty() || alone.out.regex.len() < SHARED_BYTES_MIN {
                return Ok(false);
            }
            shared.insert(name.to_owned(), alone.out.regex);
        }
        let _ = write!(self.out.regex, "(?&{})", shared_name(name));
        Ok(true)
    }

    /// Opens a capture. Groups have names only because plain ones are told to capture nothing.
    fn open(&mut self, capture: Capture) {
        self.out.captures.push(capture);
        self.out.regex.push_str(&format!("(?<g{}>", self.out.captures.len()));
    }

    /// What begins with a backslash; returns how much was read.
    fn escape(&mut self, rest: &str, class: bool) -> Result<usize, String> {
        if let Some(name) = rest.strip_prefix("\\k<").and_then(|name| name.split_once('>')).map(|two| two.0) {
            let group = self.out.captures.iter().rposition(|capture| capture.field == name);
            let group = group.ok_or_else(|| format!("\\k<{name}> refers to no group before it"))?;
            self.out.regex.push_str(&format!("\\k<g{}>", group + 1));
            return Ok(name.len() + 4);
        }
        let next = rest[1..].chars().next().ok_or("nothing behind the last \\")?;
        match next {
            'h' if class => self.out.regex.push_str("0-9a-fA-F"),
            'h' => self.out.regex.push_str("[0-9a-fA-F]"),
            'H' => self.out.regex.push_str("[^0-9a-fA-F]"),
            other => self.out.regex.extend(['\\', other]),
        }
        Ok(1 + next.len_utf8())
    }

    /// What begins with an opening parenthesis; returns how much was read.
    fn group(&mut self, rest: &str) -> usize {
        if let Some((name, opening)) = group_name(rest) {
            self.open(Capture { field: name.to_owned(), cast: Cast::Text });
            return opening;
        }
        let Some(behind) = rest.strip_prefix("(?") else { return self.keep("(") };
        let flags = behind.bytes().take_while(|byte| b"mix-".contains(byte)).count();
        if flags > 0 && matches!(behind.as_bytes().get(flags), Some(b':' | b')')) {
            self.out.regex.push_str("(?");
            self.out.regex.push_str(&behind[..flags].replace('m', "s"));
            return 2 + flags;
        }
        self.keep("(?")
    }
}

/// The name of the group of a shared regex. PCRE2 takes names of 32 bytes, so it is no longer than
/// that; those of captures begin with `g`.
fn shared_name(name: &str) -> String {
    let hash = name.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    format!("s{}_{hash:08x}", &name[..name.len().min(20)])
}

/// The name of a group that begins here, and the length of what opens it.
pub(super) fn group_name(rest: &str) -> Option<(&str, usize)> {
    for (opening, closing) in [("(?<", '>'), ("(?P<", '>'), ("(?'", '\'')] {
        let Some(behind) = rest.strip_prefix(opening) else { continue };
        if behind.starts_with(['=', '!']) {
            return None;
        }
        let (name, _) = behind.split_once(closing)?;
        return Some((name, opening.len() + name.len() + 1));
    }
    None
}

/// Why a name is not known, with the nearest one that is.
fn unknown(name: &str, definitions: &Definitions) -> String {
    let own = definitions.keys().map(String::as_str);
    let nearest = own
        .chain(patterns::all().map(|(name, _)| name))
        .map(|known| (distance(&name.to_ascii_uppercase(), &known.to_ascii_uppercase()), known))
        .min();
    match nearest {
        Some((_, known)) => format!("no pattern {name:?}; the nearest one is {known:?}"),
        None => format!("no pattern {name:?}"),
    }
}

/// How many letters must be changed, added, taken away or swapped to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut table = vec![vec![0; other.len() + 1]; one.len() + 1];
    for n in 0..=one.len() {
        for m in 0..=other.len() {
            table[n][m] = match (n, m) {
                (0, _) | (_, 0) => n + m,
                _ => {
                    let changed = table[n - 1][m - 1] + usize::from(one[n - 1] != other[m - 1]);
                    let swapped = n > 1 && m > 1 && one[n - 2..n] == [other[m - 1], other[m - 2]];
                    let least = changed.min(table[n - 1][m] + 1).min(table[n][m - 1] + 1);
                    if swapped { least.min(table[n - 2][m - 2] + 1) } else { least }
                }
            };
        }
    }
    table[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regexes() {
        #[track_caller]
        fn check(pattern: &str, regex: &str) {
            let definitions = [("A", "a+"), ("B", "%{A}b"), ("C", "[%{]")]
                .map(|(name, regex)| (name.to_owned(), regex.to_owned()));
            assert_eq!(expand(pattern, &definitions.into()).unwrap().regex, regex);
        }
        check("%{A}", "(?:a+)");
        check("%{B:x} %{A:y:int}", "(?<g1>(?:a+)b) (?<g2>a+)");
        check("(?<x>.)\\k<x>", "(?<g1>.)\\k<g1>");
        check("(?m)(?i-m:x)(?<=a)(?<!b)(?:c)", "(?s)(?i-s:x)(?<=a)(?<!b)(?:c)");
        check("\\h[\\h-][]a][^]b][[:alpha:](]", "[0-9a-fA-F][0-9a-fA-F-][]a][^]b][[:alpha:](]");
        check("\\%{2}", "\\%{2}");
    }

    #[test]
    fn what_is_long_is_shared() {
        let long = "x".repeat(SHARED_BYTES_MIN);
        let definitions: Definitions = [("L", long.as_str()), ("S", "y"), ("C", "%{S:c}%{L}")]
            .map(|(name, regex)| (name.to_owned(), regex.to_owned()))
            .into();
        let regex = |pattern| expand_as(pattern, &definitions, true, true).unwrap().regex;
        let own = shared_name("L");
        assert_eq!(
            regex("%{L:a}|%{S} %{L}"),
            format!("(?:(?<g1>(?&{own}))|(?:y) (?:(?&{own})))(?(DEFINE)(?<{own}>{long}))")
        );
        assert_eq!(regex("%{C}"), format!("(?:(?:(?<g1>y)(?:(?&{own}))))(?(DEFINE)(?<{own}>{long}))"));
        assert_eq!(regex("%{S}"), "(?:y)");
    }

    #[test]
    fn mistakes() {
        #[track_caller]
        fn check(pattern: &str, error: &str) {
            let definitions = [("A", "%{B}"), ("B", "%{A}"), ("FOOBAR", "x")]
                .map(|(name, regex)| (name.to_owned(), regex.to_owned()));
            assert_eq!(expand(pattern, &definitions.into()).unwrap_err(), error);
        }
        check("%{WROD}", "no pattern \"WROD\"; the nearest one is \"WORD\"");
        check("%{foobaz}", "no pattern \"foobaz\"; the nearest one is \"FOOBAR\"");
        check("%{A}", "%{A} refers to itself: A > B > A");
        check("%{WORD:x:long}", "%{WORD:x:long}: no type \"long\"; there are int and float");
        check("%{WORD", "missing } behind %{WORD");
        check("%{+yyyy}", "%{+yyyy} does not name a pattern");
        check("[a&&b]", "&& within [ ] is not supported: &&b]");
        check("a\\", "nothing behind the last \\");
        check("\\k<x>", "\\k<x> refers to no group before it");
    }

    #[test]
    fn definitions_cannot_fill_the_memory() {
        let definitions: Definitions =
            (0..30).map(|n| (format!("D{n}"), format!("%{{D{0}}}%{{D{0}}}", n + 1))).collect();
        let definitions = definitions.into_iter().chain([("D30".to_owned(), "x".to_owned())]).collect();
        assert!(expand("%{D0}", &definitions).unwrap_err().contains("too long"));
    }
}
