//! A text that must stand in whatever a pattern matches, so that a pattern need not be tried on a
//! text without it: of many patterns most have one that others lack.

/// The longest such text of a regex as `expand.rs` writes it; `None` where none is found, which is
/// so as well where the regex is more than is understood here. It may be missing where there is
/// one, and is never there where there is none.
pub(super) fn required(regex: &str) -> Option<String> {
    let mut reader = Reader { rest: regex };
    let found = reader.alternatives(0).ok()?;
    (reader.rest.is_empty() && found.len() >= SHORTEST).then_some(found)
}

/// Looking for a shorter one is not worth it.
const SHORTEST: usize = 3;
const DEPTH_MAX: usize = 100;

/// What is not understood.
struct Unknown;

struct Reader<'r> {
    rest: &'r str,
}

/// How often something stands there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    Once,
    OnceOrMore,
    MaybeNever,
}

impl<'r> Reader<'r> {
    fn next(&mut self) -> Option<char> {
        let first = self.rest.chars().next()?;
        self.rest = &self.rest[first.len_utf8()..];
        Some(first)
    }

    fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Up to a closing bracket or the end.
    fn alternatives(&mut self, depth: usize) -> Result<String, Unknown> {
        let first = self.sequence(depth)?;
        let mut is_only = true;
        while self.take("|") {
            is_only = false;
            self.sequence(depth)?;
        }
        Ok(if is_only { first } else { String::new() })
    }

    fn sequence(&mut self, depth: usize) -> Result<String, Unknown> {
        if depth > DEPTH_MAX {
            return Err(Unknown);
        }
        let (mut longest, mut run) = (String::new(), String::new());
        let end = |run: &mut String, longest: &mut String| {
            if run.len() > longest.len() {
                longest.clone_from(run);
            }
            run.clear();
        };
        while !self.rest.is_empty() && !self.rest.starts_with(['|', ')']) {
            let Some(first) = self.next() else { break };
            let literal = match first {
                '(' => {
                    let inner = self.group(depth)?;
                    end(&mut run, &mut longest);
                    if self.times()? != Times::MaybeNever && inner.len() > longest.len() {
                        longest = inner;
                    }
                    continue;
                }
                '[' => self.class().map(|()| None)?,
                '.' | '^' | '$' => None,
                '\\' => self.escaped()?,
                '?' | '*' | '+' | '{' | '}' | ']' => return Err(Unknown),
                other => Some(other),
            };
            let times = self.times()?;
            match literal.filter(|_| times != Times::MaybeNever) {
                Some(literal) => {
                    run.push(literal);
                    if times == Times::OnceOrMore {
                        end(&mut run, &mut longest);
                    }
                }
                None => end(&mut run, &mut longest),
            }
        }
        end(&mut run, &mut longest);
        Ok(longest)
    }

    /// Behind `(`.
    fn group(&mut self, depth: usize) -> Result<String, Unknown> {
        let mut counts = true;
        if self.take("?") {
            if self.take("#") {
                let (_, rest) = self.rest.split_once(')').ok_or(Unknown)?;
                self.rest = rest;
                return Ok(String::new());
            }
            let looks = ["=", "!", "<=", "<!"];
            if looks.iter().any(|look| self.take(look)) {
                counts = false;
            } else if self.take("P<") || self.take("<") {
                let (name, rest) = self.rest.split_once('>').ok_or(Unknown)?;
                if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                    return Err(Unknown);
                }
                self.rest = rest;
            } else if !self.take(":") && !self.take(">") {
                // Flags, conditions, calls.
                return Err(Unknown);
            }
        } else if self.rest.starts_with('*') {
            return Err(Unknown);
        }
        let inner = self.alternatives(depth + 1)?;
        if !self.take(")") {
            return Err(Unknown);
        }
        Ok(if counts { inner } else { String::new() })
    }

    /// Behind `[`, up to the bracket that closes it.
    fn class(&mut self) -> Result<(), Unknown> {
        self.take("^");
        self.take("]");
        loop {
            if self.take("[:") {
                let (name, rest) = self.rest.split_once(":]").ok_or(Unknown)?;
                if !name.trim_start_matches('^').chars().all(|c| c.is_ascii_lowercase()) {
                    return Err(Unknown);
                }
                self.rest = rest;
                continue;
            }
            match self.next().ok_or(Unknown)? {
                ']' => return Ok(()),
                '\\' if self.rest.starts_with(['Q', 'E']) => return Err(Unknown),
                '\\' => drop(self.next().ok_or(Unknown)?),
                '[' if self.rest.starts_with(['.', '=']) => return Err(Unknown),
                _ => {}
            }
        }
    }

    /// Behind `\`: the character that stands for itself, if it does.
    fn escaped(&mut self) -> Result<Option<char>, Unknown> {
        match self.next().ok_or(Unknown)? {
            'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'h' | 'H' | 'v' | 'V' | 'R' | 'N' | 'b' | 'B' | 'A' | 'Z'
            | 'z' | 'n' | 't' | 'r' | 'f' | 'e' | 'a' => Ok(None),
            other if other.is_ascii_punctuation() || other == ' ' => Ok(Some(other)),
            _ => Err(Unknown),
        }
    }

    /// What stands behind an atom and says how often it is there.
    fn times(&mut self) -> Result<Times, Unknown> {
        let times = if self.take("?") || self.take("*") {
            Times::MaybeNever
        } else if self.take("+") {
            Times::OnceOrMore
        } else if self.take("{") {
            let (numbers, rest) = self.rest.split_once('}').ok_or(Unknown)?;
            if !numbers.chars().all(|c| c.is_ascii_digit() || c == ',') {
                return Err(Unknown);
            }
            self.rest = rest;
            let least = numbers.split(',').next().unwrap_or_default();
            match least.parse::<u32>() {
                Ok(1..) => Times::OnceOrMore,
                Ok(0) | Err(_) => Times::MaybeNever,
            }
        } else {
            return Ok(Times::Once);
        };
        // Lazy, or possessive.
        let _ = self.take("?") || self.take("+");
        // What is repeated again is nothing that is written here.
        if self.rest.starts_with(['?', '*', '+']) { Err(Unknown) } else { Ok(times) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Definitions, compiled, patterns};
    use super::*;
    use pcre2::bytes::RegexBuilder;
    use proptest::prelude::*;

    #[test]
    fn texts_that_must_be_there() {
        #[track_caller]
        fn check(regex: &str, expected: Option<&str>) {
            assert_eq!(required(regex).as_deref(), expected, "{regex}");
        }
        check("abc", Some("abc"));
        check("ab", None);
        check("a.bcd.ef", Some("bcd"));
        check("abcd?", Some("abc"));
        check("abcd*ef", Some("abc"));
        check("abcd+ef", Some("abcd"));
        check("abcd{0,2}ef", Some("abc"));
        check("abcd{2}ef", Some("abcd"));
        check(r"\[error\] \d+", Some("[error] "));
        check(r"^(?:\d+) Deny (?<name>tcp|udp) src", Some(" Deny "));
        check("(?:one|two) three|four", None);
        check("(?:seven)? six", Some(" six"));
        check("(?:seven)+ six", Some("seven"));
        check("(?!never)(?=later)(?<!before)a(?#a comment)b", None);
        check("[abc]]def", None);
        check("[]abc]def[^]x]", Some("def"));
        check("[[:alpha:]_]def", Some("def"));
        check(r"[\]]def", Some("def"));
        for regex in
            ["(?i)abc", "(?i:abc)", "(abc", "abc)", "[abc", r"\Qabc\E", r"abc\k<x>", r"\x41bcd", "a**bcd"]
        {
            check(regex, None);
        }
        check(&"(".repeat(1000), None);
    }

    #[test]
    fn the_patterns_of_logs_have_them() {
        let regex = |pattern: &str| compiled(pattern, &Definitions::new(), true).ok().unwrap().0.regex;
        assert_eq!(required(&regex("%{IP:a} %{WORD:b} number 17")).as_deref(), Some(" number 17"));
        assert_eq!(required(&regex("%{CISCOFW106014}")).as_deref(), Some(" (type "));
        let count =
            patterns::all().filter(|(name, _)| required(&regex(&format!("%{{{name}}}"))).is_some()).count();
        assert!(count > 60, "{count}");
    }

    /// Regexes with everything that is understood, and something of what is not.
    fn regexes() -> impl Strategy<Value = String> {
        let atom = prop_oneof![
            6 => "[abc]{1,4}",
            1 => Just(".".to_owned()),
            1 => Just(r"\w".to_owned()),
            1 => Just("[ab]".to_owned()),
            1 => Just("[^]a]".to_owned()),
            1 => Just(r"\.".to_owned()),
            1 => Just("^".to_owned()),
            1 => Just("(?i)".to_owned()),
        ];
        atom.prop_recursive(4, 24, 4, |inner| {
            let times = prop_oneof![
                4 => Just(""), 1 => Just("?"), 1 => Just("*"), 1 => Just("+"), 1 => Just("+?"),
                1 => Just("{0,2}"), 1 => Just("{2}"), 1 => Just("{,2}")
            ];
            prop_oneof![
                3 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
                2 => (inner.clone(), times.clone()).prop_map(|(part, times)| format!("(?:{part}){times}")),
                1 => (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("(?:{one}|{other})")),
                1 => (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("{one}|{other}")),
                1 => inner.clone().prop_map(|part| format!("(?={part})")),
                1 => inner.clone().prop_map(|part| format!("(?<x>{part})")),
                2 => (inner, times).prop_map(|(part, times)| format!("{part}{times}")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_matches_has_it(regex in regexes(), texts in prop::collection::vec("[abcABC.]{0,12}", 8)) {
            let compiled = RegexBuilder::new().utf(true).multi_line(true).dotall(true).build(&regex);
            if let (Ok(compiled), Some(needed)) = (compiled, required(&regex)) {
                for text in texts {
                    let matches = compiled.is_match(text.as_bytes()).unwrap_or(false);
                    prop_assert!(!matches || text.contains(&needed), "{regex} needs {needed:?}, and matches {text:?}");
                }
            }
        }

        #[test]
        fn any_text(text: String) {
            required(&text);
        }
    }
}
