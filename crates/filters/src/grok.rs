//! Filter `grok`: reads text by patterns of named regexes, `%{IPORHOST:clientip} %{WORD:verb}`.
//!
//! A pattern that is a sequence of literals and simple classes runs on our own scanner, which
//! gives either the answer of the regex or none; in the latter case, and for every other
//! pattern, PCRE2 decides. Oniguruma, which Logstash uses, was the alternative: it understands
//! every pattern as it is, and takes ten times as long. What differs is rewritten (`expand.rs`).
//!
//! A capture replaces the field that it is for, or with `append` makes an array of both, as in
//! Logstash. A capture that took no part or is empty sets nothing, unless it is said. `int` and
//! `float` read as much of a number as there is at the beginning, else zero.

mod expand;
mod literal;
mod matcher;
mod patterns;
mod pieces;
mod scan;
mod sets;

use crate::on_success::add_tags;
use crate::{BuildError, Names, Outcome, one_or_many, path};
use event::{Event, New, Path, Span, Value};
pub use expand::Definitions;
use expand::{Capture, Cast, Expanded};
pub use matcher::Matcher;
use memchr::memmem::Finder;
use pcre2::bytes::{CaptureLocations, Regex, RegexBuilder};
use scan::{Found, Scanner, Verdict};
use serde::{Deserialize, Serialize};

/// Options of the filter `grok`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that holds the text.
    pub source: String,
    /// The patterns; the first one that matches gives the fields.
    #[serde(deserialize_with = "one_or_many")]
    pub patterns: Vec<String>,
    /// Other fields and their patterns, which are tried when none matched before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<Match>,
    /// Whether all patterns of all fields are tried, also behind one that matches.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub every: bool,
    /// Which names the fields have that built-in patterns set: `clientip` or `source.address` ….
    #[serde(skip_serializing_if = "is_legacy")]
    pub names: Names,
    /// Own patterns by their names; one with the name of a built-in pattern replaces it.
    #[serde(skip_serializing_if = "Definitions::is_empty")]
    pub definitions: Definitions,
    /// The field below which the captures go; none: they become fields of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Whether a capture for a field that is there makes an array of both. Then a field that is
    /// neither text nor an array keeps its value.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub append: bool,
    /// Fields that are replaced in spite of `append`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub overwrite: Vec<String>,
    /// Whether only captures with a name of their own set fields; else `%{WORD}` sets `WORD`.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub named_captures_only: bool,
    /// Whether captures that are empty are set, and those that took no part are null.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_empty_captures: bool,
    /// The tag of events on which a pattern took too long, in place of those of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_on_timeout: Option<String>,
}

/// A field and its patterns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// The field that holds the text.
    pub source: String,
    /// The patterns.
    #[serde(deserialize_with = "one_or_many")]
    pub patterns: Vec<String>,
}

fn is_legacy(names: &Names) -> bool {
    *names == Names::Legacy
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: "message".into(),
            patterns: Vec::new(),
            more: Vec::new(),
            every: false,
            names: Names::Legacy,
            definitions: Definitions::new(),
            target: None,
            append: false,
            overwrite: Vec::new(),
            named_captures_only: true,
            keep_empty_captures: false,
            tag_on_timeout: None,
        }
    }
}

/// The filter.
pub struct Grok {
    /// Each field with its patterns.
    fields: Vec<(Path, Vec<Pattern>)>,
    every: bool,
    keep_empty: bool,
    tag_on_timeout: Option<String>,
    found: Found,
}

struct Pattern {
    /// Of one of many what stands in every text that matches; one alone is tried at once.
    needed: Option<Finder<'static>>,
    scanner: Option<Scanner>,
    /// For text that is not ASCII. Characters count as one, so that none is cut.
    utf: Engine,
    /// For all other text, at twice the speed. It is missing where a pattern makes no sense in bytes.
    bytes: Option<Engine>,
    captures: Vec<Target>,
}

/// Where a capture goes.
struct Target {
    path: Path,
    cast: Cast,
    append: bool,
}

struct Engine {
    regex: Regex,
    places: CaptureLocations,
}

/// How often a regex may try; beyond, the text is given up. That takes a few milliseconds.
const TRIES_MAX: u32 = 1_000_000;
const STACK_BYTES_MAX: usize = 1 << 20;
const GAVE_UP: &str = "the pattern takes too long on this text";
const NOT_UTF8: &str = "the pattern is about characters, and the text is not UTF-8";
/// PCRE2's error of a regex that is too large when it is compiled (`PCRE2_ERROR_PATTERN_TOO_LARGE`).
const TOO_LARGE: i32 = 120;
/// The errors of PCRE2 about text that is not UTF-8.
const UTF8_ERRORS: std::ops::RangeInclusive<i32> = -23..=-3;

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Grok, BuildError> {
        if self.patterns.is_empty() {
            let message = "needs at least one pattern".to_owned();
            return Err(BuildError { option: "patterns", message });
        }
        let target = self.target.as_ref().map(|target| path("target", target)).transpose()?;
        let overwrite: Vec<Path> =
            self.overwrite.iter().map(|field| path("overwrite", field)).collect::<Result<_, _>>()?;
        let append = |field: &Path| self.append && !overwrite.contains(field);
        let definitions = match self.names {
            Names::Legacy => self.definitions.clone(),
            Names::Ecs => {
                let built_in = patterns::ecs().map(|(name, regex)| (name.to_owned(), regex.to_owned()));
                built_in.chain(self.definitions.clone()).collect()
            }
        };
        for (name, regex) in &self.definitions {
            let in_definitions =
                |message| BuildError { option: "definitions", message: format!("{name}: {message}") };
            let (_, engine) =
                compiled(&format!("%{{{name}}}"), &definitions, true).map_err(in_definitions)?;
            engine.map_err(|error| in_definitions(format!("{error}: {regex}")))?;
        }
        let named_only = self.named_captures_only;
        let compile = |patterns: &[String]| -> Result<Vec<Pattern>, BuildError> {
            let pattern = |text: &String| {
                Pattern::new(text, &definitions, named_only, target.as_ref(), &append, patterns.len() > 1)
            };
            patterns.iter().map(pattern).collect()
        };
        let mut fields = vec![(path("source", &self.source)?, compile(&self.patterns)?)];
        for Match { source, patterns } in &self.more {
            fields.push((path("more", source)?, compile(patterns)?));
        }
        Ok(Grok {
            fields,
            every: self.every,
            keep_empty: self.keep_empty_captures,
            tag_on_timeout: self.tag_on_timeout.clone(),
            found: Found::default(),
        })
    }
}

impl Pattern {
    fn new(
        pattern: &str,
        definitions: &Definitions,
        named_only: bool,
        target: Option<&Path>,
        append: &impl Fn(&Path) -> bool,
        is_one_of_many: bool,
    ) -> Result<Self, BuildError> {
        let wrong = |message: String| BuildError {
            option: "patterns",
            message: format!("{message} (in the pattern {pattern:?})"),
        };
        let (expanded, utf) = compiled(pattern, definitions, named_only).map_err(wrong)?;
        let place = |capture: &Capture| {
            let field = Path::parse(&capture.field)
                .map_err(|error| wrong(format!("field {:?}: {error}", capture.field)))?;
            Ok(Target {
                path: Path::of(target.iter().flat_map(|target| target.names()).chain(field.names())),
                cast: capture.cast,
                append: append(&field),
            })
        };
        Ok(Self {
            needed: is_one_of_many
                .then(|| literal::required(&expanded.regex))
                .flatten()
                .map(|text| Finder::new(&text).into_owned()),
            scanner: Scanner::new(pattern, definitions, expanded.captures.len()),
            utf: utf.map_err(|error| wrong(error.to_string()))?,
            bytes: Engine::new(&expanded.regex, false).ok(),
            captures: expanded.captures.iter().map(place).collect::<Result<_, _>>()?,
        })
    }

    /// Whether it may match, as far as can be seen at a glance.
    fn may_match(&self, text: &[u8]) -> bool {
        self.needed.as_ref().is_none_or(|needed| needed.find(text).is_some())
    }

    /// Where the captures are in the text; false when it does not match.
    fn read(&mut self, text: &[u8], found: &mut Found) -> Result<bool, &'static str> {
        match self.scanner.as_mut().map(|scanner| scanner.run(text, found)) {
            Some(Verdict::Match) => return Ok(true),
            Some(Verdict::NoMatch) => return Ok(false),
            Some(Verdict::Unsure) | None => {}
        }
        let in_characters = self.bytes.is_none() || !text.is_ascii() && std::str::from_utf8(text).is_ok();
        let engine = self.bytes.as_mut().filter(|_| !in_characters).unwrap_or(&mut self.utf);
        engine.read(text, self.captures.len(), found)
    }
}

/// A pattern as a regex, and what runs it on characters.
fn compiled(
    pattern: &str,
    definitions: &Definitions,
    named_only: bool,
) -> Result<(Expanded, Result<Engine, pcre2::Error>), String> {
    let expanded = expand::expand_as(pattern, definitions, named_only, false)?;
    match Engine::new(&expanded.regex, true) {
        // PCRE2 counts within a compiled regex with two bytes; what stands in it often is shared then.
        Err(error) if error.code() == TOO_LARGE => {
            let expanded = expand::expand_as(pattern, definitions, named_only, true)?;
            let engine = Engine::new(&expanded.regex, true);
            Ok((expanded, engine))
        }
        engine => Ok((expanded, engine)),
    }
}

impl Engine {
    fn new(regex: &str, characters: bool) -> Result<Self, pcre2::Error> {
        let regex = RegexBuilder::new()
            .utf(characters)
            .multi_line(true)
            .dotall(true)
            .jit_if_available(true)
            .max_jit_stack_size(Some(STACK_BYTES_MAX))
            .build(&format!("(*LF)(*LIMIT_MATCH={TRIES_MAX})(?n){regex}"))?;
        Ok(Self { places: regex.capture_locations(), regex })
    }

    fn read(&mut self, text: &[u8], captures: usize, found: &mut Found) -> Result<bool, &'static str> {
        let reason =
            |error: pcre2::Error| if UTF8_ERRORS.contains(&error.code()) { NOT_UTF8 } else { GAVE_UP };
        let matched = self.regex.captures_read(&mut self.places, text).map_err(reason)?.is_some();
        found.clear();
        if matched {
            found.extend((1..=captures).map(|group| self.places.get(group)));
        }
        Ok(matched)
    }
}

impl Grok {
    /// Applies it. It fails where no pattern matches, or where one takes too long on the text.
    pub fn apply(&mut self, event: &mut Event<'_>) -> Outcome {
        let Self { fields, every, keep_empty, tag_on_timeout, found } = self;
        let (mut matched, mut ok, mut gave_up) = (false, true, None);
        for (source, patterns) in fields {
            let (one, items);
            // Nothing is allocated for what is nearly always one text.
            let texts = match event.text(source) {
                Some(text) => {
                    one = [text];
                    &one[..]
                }
                None => {
                    items = texts_of_items(event, source);
                    &items[..]
                }
            };
            for &text in texts {
                for pattern in &mut *patterns {
                    if !pattern.may_match(event.bytes(text)) {
                        continue;
                    }
                    match pattern.read(event.bytes(text), found) {
                        Ok(true) => {
                            matched = true;
                            ok &= set(event, text, &pattern.captures, found, *keep_empty);
                            if !*every {
                                break;
                            }
                        }
                        Ok(false) => {}
                        Err(reason) => gave_up = Some(reason),
                    }
                }
            }
            if matched && !*every {
                break;
            }
        }
        match (matched, gave_up, tag_on_timeout) {
            (true, ..) => Outcome::of(ok),
            (false, Some(reason), Some(tag)) => {
                add_tags(event, std::slice::from_ref(tag));
                Outcome { idle: true, ..Outcome::failed(reason) }
            }
            (false, Some(reason), None) => Outcome::failed(reason),
            (false, None, _) => Outcome::FAILED,
        }
    }
}

/// The texts of the items of an array.
fn texts_of_items(event: &mut Event<'_>, source: &Path) -> Vec<Span> {
    let Some(Value::Json(json)) = event.get(source) else { return Vec::new() };
    let Ok(serde_json::Value::Array(items)) = serde_json::from_str(&json) else { return Vec::new() };
    let text = |item: &serde_json::Value| match item {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    items.iter().filter(|item| !item.is_null()).map(|item| event.write(text(item).as_bytes())).collect()
}

fn set(event: &mut Event<'_>, source: Span, captures: &[Target], found: &Found, keep_empty: bool) -> bool {
    let mut ok = true;
    for (Target { path, cast, append: appends }, place) in captures.iter().zip(found) {
        let value = match place {
            Some((from, to)) if from < to => {
                let span = source.within(*from, *to);
                match cast {
                    Cast::Text => New::Span(span),
                    Cast::Int => int(event.bytes(span)).map_or(New::Span(span), New::Int),
                    Cast::Float => New::Float(float(event.bytes(span))),
                }
            }
            _ if !keep_empty => continue,
            Some(_) => New::Str(b""),
            None => New::Null,
        };
        ok &= if *appends { append(event, path, value) } else { event.set(path, value).is_ok() };
    }
    ok
}

/// Sets a field that is not there, or makes an array of what is there and the value.
fn append(event: &mut Event<'_>, path: &Path, value: New<'_>) -> bool {
    let mut items = match event.get(path) {
        None | Some(Value::Null) => return event.set(path, value).is_ok(),
        Some(Value::Json(text)) if text.starts_with('[') => serde_json::from_str(&text).unwrap_or_default(),
        Some(Value::Str(text)) => vec![serde_json::Value::from(String::from_utf8_lossy(&text))],
        Some(_) => return true,
    };
    items.push(match value {
        New::Int(value) => value.into(),
        New::Float(value) => value.into(),
        New::Span(span) => String::from_utf8_lossy(event.bytes(span)).into(),
        New::Str(text) => String::from_utf8_lossy(text).into(),
        _ => serde_json::Value::Null,
    });
    event.set(path, New::Json(&serde_json::Value::from(items).to_string())).is_ok()
}

/// The whole number at the beginning of a text; `None` where it is beyond 64 bits.
fn int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let mut value: i64 = 0;
    for digit in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        let digit = i64::from(digit - b'0');
        value = value.checked_mul(10)?.checked_add(if negative { -digit } else { digit })?;
    }
    Some(value)
}

/// The number at the beginning of a text.
fn float(text: &[u8]) -> f64 {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    end += digits(end);
    if text.get(end) == Some(&b'.') {
        end += 1 + digits(end + 1);
    }
    if let Some(b'e' | b'E') = text.get(end) {
        let signed = end + 1 + usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let exponent = if signed < text.len() { digits(signed) } else { 0 };
        end = if exponent > 0 { signed + exponent } else { end };
    }
    let number = std::str::from_utf8(&text[..end]).ok().and_then(|text| text.parse().ok());
    number.filter(|number: &f64| number.is_finite()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::{Cast, Config, Engine, Found, expand};
    use crate::testing::{apply, check};
    use serde_json::json;

    #[test]
    fn a_field_that_is_there_becomes_an_array_when_it_is_said() {
        let config = |more: &str| {
            format!(
                r#"{{"grok":{{"patterns":"%{{WORD:message}} %{{WORD:a}} %{{INT:n:int}}","append":true{more}}}}}"#
            )
        };
        check(
            &config(""),
            r#"{"message":"x y 5","a":["z"],"n":7}"#,
            r#"{"message":["x y 5","x"],"a":["z","y"],"n":7}"#,
            true,
        );
        check(
            &config(""),
            r#"{"message":"x y 5","a":null}"#,
            r#"{"message":["x y 5","x"],"a":"y","n":5}"#,
            true,
        );
        check(
            &config(r#","overwrite":["message"]"#),
            r#"{"message":"x y 5"}"#,
            r#"{"message":"x","a":"y","n":5}"#,
            true,
        );
    }

    #[test]
    fn grok() {
        check(
            r#"{"grok":{"patterns":"%{WORD:a} %{INT:b:int} %{NUMBER:c:float} %{DATA:[d][e]}$"}}"#,
            r#"{"message":"x 12 1.5 rest"}"#,
            r#"{"message":"x 12 1.5 rest","a":"x","b":12,"c":1.5,"d":{"e":"rest"}}"#,
            true,
        );
        check(
            r#"{"grok":{"patterns":["^%{INT:a}$","(?<b>[a-z]+)(?<c>[0-9]*)"],"target":"t"}}"#,
            r#"{"message":"é abc"}"#,
            r#"{"message":"é abc","t":{"b":"abc"}}"#,
            true,
        );
        // A capture replaces; what took no part is not set.
        check(
            r#"{"grok":{"patterns":"^(?:%{INT:a}|%{WORD:b}) %{GREEDYDATA:message}"}}"#,
            r#"{"message":"word rest é","b":1}"#,
            r#"{"message":"rest é","b":"word"}"#,
            true,
        );
        let definitions = r#"{"TWO":"%{ONE} %{ONE}","ONE":"[ab]"}"#;
        check(
            &format!(r#"{{"grok":{{"source":"s","patterns":"%{{TWO:x}}","definitions":{definitions}}}}}"#),
            r#"{"s":"xa b"}"#,
            r#"{"s":"xa b","x":"a b"}"#,
            true,
        );
        check(r#"{"grok":{"patterns":"^b"}}"#, r#"{"message":"a\nb"}"#, r#"{"message":"a\nb"}"#, true);
        check(r#"{"grok":{"patterns":"x"}}"#, r#"{"message":"a"}"#, r#"{"message":"a"}"#, false);
        check(r#"{"grok":{"patterns":"x"}}"#, "{}", "{}", false);
    }

    #[test]
    fn several_fields_and_patterns() {
        let two = |more: &str| {
            format!(
                r#"{{"grok":{{"source":"a","patterns":"^%{{INT:x}}$","more":[{{"source":"b","patterns":["^%{{WORD:y}}$","^%{{INT:z}}"]}}]{more}}}}}"#
            )
        };
        check(&two(""), r#"{"a":"1","b":"w"}"#, r#"{"a":"1","b":"w","x":"1"}"#, true);
        check(&two(""), r#"{"a":"?","b":"5 w"}"#, r#"{"a":"?","b":"5 w","z":"5"}"#, true);
        check(&two(""), r#"{"a":"?"}"#, r#"{"a":"?"}"#, false);
        let every = two(r#","every":true"#);
        check(&every, r#"{"a":"1","b":"5"}"#, r#"{"a":"1","b":"5","x":"1","y":"5","z":"5"}"#, true);
        // Each item of an array is a text.
        let config = r#"{"grok":{"patterns":"^%{INT:n:int}$","append":true}}"#;
        check(config, r#"{"message":["1","x",2]}"#, r#"{"message":["1","x",2],"n":1}"#, true);
        check(config, r#"{"message":["x"]}"#, r#"{"message":["x"]}"#, false);
        check(config, r#"{"message":{"a":1}}"#, r#"{"message":{"a":1}}"#, false);
    }

    #[test]
    fn captures_without_a_name_and_empty_ones() {
        check(
            r#"{"grok":{"patterns":"%{WORD} %{POSINT:n:int}","named_captures_only":false}}"#,
            r#"{"message":"a 1"}"#,
            r#"{"message":"a 1","WORD":"a","n":1}"#,
            true,
        );
        let empty = |keep: bool| {
            format!(
                r#"{{"grok":{{"patterns":"^(?:%{{INT:i}}|%{{WORD:w}}) %{{DATA:d}}$","keep_empty_captures":{keep}}}}}"#
            )
        };
        check(&empty(false), r#"{"message":"a "}"#, r#"{"message":"a ","w":"a"}"#, true);
        check(&empty(true), r#"{"message":"a "}"#, r#"{"message":"a ","i":null,"w":"a","d":""}"#, true);
    }

    #[test]
    fn casts() {
        #[track_caller]
        fn check(text: &str, int: Option<i64>, float: f64) {
            assert_eq!((super::int(text.as_bytes()), super::float(text.as_bytes())), (int, float), "{text}");
        }
        check("12", Some(12), 12.0);
        check("-12.5x", Some(-12), -12.5);
        check("+1e3", Some(1), 1000.0);
        check("1e", Some(1), 1.0);
        check("-", Some(0), 0.0);
        check("x", Some(0), 0.0);
        check("-9223372036854775808", Some(i64::MIN), -9223372036854775808.0);
        check("9223372036854775808", None, 9223372036854775808.0);
    }

    #[test]
    fn mistakes() {
        #[track_caller]
        fn check(config: &str, error: &str) {
            let config: Config = serde_json::from_str(config).unwrap();
            let found = config.build().err().unwrap().to_string();
            assert!(found.contains(error), "{found}");
        }
        check("{}", "option \"patterns\": needs at least one");
        check(
            r#"{"patterns":"%{WROD}"}"#,
            "option \"patterns\": no pattern \"WROD\"; the nearest one is \"WORD\"",
        );
        check(r#"{"patterns":"(a"}"#, "option \"patterns\"");
        check(r#"{"patterns":"%{WORD:[a}"}"#, "option \"patterns\": field \"[a\": not a field path");
        check(
            r#"{"patterns":"x","definitions":{"A":"%{A}"}}"#,
            "option \"definitions\": A: %{A} refers to itself",
        );
        check(r#"{"patterns":"x","definitions":{"A":"[a"}}"#, "option \"definitions\": A:");
    }

    #[test]
    fn a_catastrophe_ends() {
        let text = "a".repeat(40);
        for pattern in ["^(?:a+)+$", "^(?<x>a|aa)+$"] {
            let config = serde_json::json!({"grok": {"patterns": pattern}}).to_string();
            let (_, outcome) = apply(&config, &format!("{{\"message\":\"{text}!\"}}"));
            assert_eq!((outcome.ok, outcome.reason), (false, Some(super::GAVE_UP)), "{pattern}");
        }
        let config = r#"{"grok":{"patterns":"^(?:a+)+$","tag_on_timeout":"slow"}}"#;
        let (found, outcome) = apply(config, &format!("{{\"message\":\"{text}!\"}}"));
        assert_eq!(found["tags"], serde_json::json!(["slow"]));
        // It is marked already: the tags of a failure do not follow.
        assert!(outcome.idle && !outcome.ok);
    }

    /// What each built-in pattern is for, and what it is not for.
    #[test]
    fn built_in_patterns() {
        #[track_caller]
        fn whole(name: &str, yes: &[&str], no: &[&str]) {
            let regex = expand::expand(&format!("^%{{{name}}}$"), &Default::default()).unwrap().regex;
            let mut engine = Engine::new(&regex, true).unwrap();
            let mut found = Found::new();
            for text in yes {
                assert_eq!(engine.read(text.as_bytes(), 0, &mut found), Ok(true), "{name}: {text}");
            }
            for text in no {
                assert_eq!(engine.read(text.as_bytes(), 0, &mut found), Ok(false), "{name}: {text}");
            }
        }
        whole("USERNAME", &["ab.c_d-9"], &["a b", ""]);
        whole("USER", &["root"], &["a@b"]);
        whole("EMAILADDRESS", &["a.b+c@example.org"], &["a@", "@b", "a..b@c"]);
        whole("INT", &["1", "-12", "+0"], &["1.0", "x"]);
        whole("BASE10NUM", &["1", "-1.5", ".5"], &["1.", "0x1"]);
        whole("NUMBER", &["200"], &["-"]);
        whole("BASE16NUM", &["0xFf", "ff", "-1a"], &["0x", "g"]);
        whole("BASE16FLOAT", &["0xa.8", "1"], &["x"]);
        whole("POSINT", &["10"], &["0", "-1", "01"]);
        whole("NONNEGINT", &["0", "01"], &["-1"]);
        whole("WORD", &["a_1"], &["a-b", ""]);
        whole("NOTSPACE", &["a-\"é"], &["a b"]);
        whole("SPACE", &["", " \t"], &["a"]);
        whole("DATA", &["", "a b"], &[]);
        whole("GREEDYDATA", &["", "a b"], &[]);
        whole("QUOTEDSTRING", &["\"\"", "\"a \\\" b\"", "'a'", "`a`"], &["\"", "\"a", "a"]);
        whole("QS", &["\"x\""], &["x"]);
        whole("UUID", &["123e4567-e89b-12d3-a456-426614174000"], &["123e4567e89b12d3a456426614174000"]);
        whole("URN", &["urn:isbn:0451450523"], &["isbn:1"]);
        whole("MAC", &["0123.4567.89ab", "01-23-45-67-89-AB", "01:23:45:67:89:ab"], &["01:23"]);
        whole("CISCOMAC", &["0123.4567.89ab"], &["01:23:45:67:89:ab"]);
        whole("WINDOWSMAC", &["01-23-45-67-89-AB"], &["01:23:45:67:89:ab"]);
        whole("COMMONMAC", &["01:23:45:67:89:ab"], &["01-23-45-67-89-AB"]);
        let sixes = ["::", "::1", "1::", "2001:db8::1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "fe80::1%eth0"];
        whole("IPV6", &sixes, &["1:2:3", "1.2.3.4", ":", "1:2:3:4:5:6:7:8:9", "12345::"]);
        whole("IPV6", &["::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "::1.2.3.4", "1::2:1.2.3.4"], &["::1.2.3"]);
        whole("IPV4", &["1.2.3.4", "255.255.255.255", "010.1.1.1"], &["256.1.1.1", "1.2.3", "1.2.3.4.5"]);
        whole("IP", &["1.2.3.4", "::1"], &["a"]);
        whole("HOSTNAME", &["a", "a-b.example.org", "a."], &["-a", "a_b"]);
        whole("HOST", &["a.b"], &[""]);
        whole("IPORHOST", &["1.2.3.4", "example.org", "::1"], &["/"]);
        whole("HOSTPORT", &["example.org:80", "1.2.3.4:8080"], &["example.org"]);
        whole("PATH", &["/usr/bin/a", "C:\\x\\y"], &["usr"]);
        whole("UNIXPATH", &["/", "/a/b.c", "/a\\ b"], &["a/b", "/a b"]);
        whole("TTY", &["/dev/pts/1", "/dev/tty1", "/dev/ttyp0"], &["/dev/null"]);
        whole("WINPATH", &["C:\\a\\b.txt", "\\\\host\\share"], &["C:/a"]);
        whole("URIPROTO", &["http", "git+ssh"], &["1"]);
        whole("URIHOST", &["example.org:80", "1.2.3.4"], &[":80"]);
        whole("URIPATH", &["/a/b;c"], &["a", "/a?b"]);
        whole("URIPARAM", &["?a=1&b[]=2"], &["a=1"]);
        whole("URIPATHPARAM", &["/a?b=c", "/a"], &["?b"]);
        whole("URI", &["https://me:pw@example.org:80/a?b=c", "file:///etc/hosts"], &["example.org"]);
        whole("MONTH", &["Jan", "February", "märz", "Mar", "May", "Okt", "december"], &["Foo", "Janu"]);
        whole("MONTHNUM", &["1", "01", "12"], &["0", "13"]);
        whole("MONTHNUM2", &["01"], &["1"]);
        whole("MONTHDAY", &["1", "01", "31"], &["0", "32"]);
        whole("DAY", &["Mon", "Wednesday"], &["Mo"]);
        whole("YEAR", &["26", "2026"], &["226"]);
        whole("HOUR", &["0", "09", "23"], &["24"]);
        whole("MINUTE", &["00", "59"], &["60", "5"]);
        whole("SECOND", &["0", "59", "60", "59.123", "01,5"], &["61"]);
        whole("TIME", &["01:02:03", "23:59:60.5"], &["24:00:00", "01:02"]);
        whole("DATE_US", &["12/31/2026", "1-2-26"], &["31/12/2026"]);
        whole("DATE_EU", &["31.12.2026", "31/12/26"], &["12/31/2026"]);
        whole("ISO8601_TIMEZONE", &["Z", "+01:00", "-0130"], &["UTC"]);
        whole("ISO8601_SECOND", &["59.9"], &["x"]);
        let isos = ["2026-11-21T02:45:04.123Z", "2026-11-21 02:45", "2026-11-21T02:45:04,1+0100"];
        whole("TIMESTAMP_ISO8601", &isos, &["2026-11-21", "21.11.2026 02:45"]);
        whole("DATE", &["12/31/2026", "31.12.2026"], &["2026-12-31"]);
        whole("DATESTAMP", &["31.12.2026 01:02:03", "12/31/26-01:02:03"], &["31.12.2026"]);
        whole("TZ", &["PST", "EDT", "UTC"], &["CEST"]);
        whole("DATESTAMP_RFC822", &["Mon Nov 23 2026 01:02:03 UTC"], &["Mon Nov 23"]);
        whole("DATESTAMP_RFC2822", &["Mon, 23 Nov 2026 01:02:03 +0100"], &["23 Nov 2026"]);
        whole("DATESTAMP_OTHER", &["Mon Nov 23 01:02:03 EST 2026"], &["Nov 23"]);
        whole("DATESTAMP_EVENTLOG", &["20261123010203"], &["2026-11-23"]);
        whole("SYSLOGTIMESTAMP", &["Nov  3 01:02:03", "Nov 23 01:02:03.123"], &["23 Nov 01:02:03"]);
        whole("PROG", &["sshd", "postfix/smtpd"], &["a b", "a[1]"]);
        whole("SYSLOGPROG", &["sshd[12]", "kernel"], &["sshd[]"]);
        whole("SYSLOGHOST", &["web-1"], &["web 1"]);
        whole("SYSLOGFACILITY", &["<3.4>"], &["<3>"]);
        whole("HTTPDATE", &["21/Nov/2026:02:45:04 +0100"], &["21/11/2026:02:45:04 +0100"]);
        whole("HTTPDERROR_DATE", &["Sat Nov 21 02:45:04.123 2026"], &["x"]);
        whole("SYSLOGBASE", &["Nov 21 02:45:04 web sshd[1]:"], &["web sshd[1]:"]);
        whole("SYSLOGLINE", &["Nov 21 02:45:04 web sshd[1]: x", "2026-11-21T02:45:04Z web a: b"], &["x"]);
        whole("LOGLEVEL", &["info", "INFO", "Warning", "err", "ERROR", "Severe", "emerg"], &["foo"]);
    }

    #[test]
    fn lines_of_servers() {
        #[track_caller]
        fn line(pattern: &str, text: &str, fields: &[(&str, &str)]) {
            let config = serde_json::json!({"grok": {"patterns": format!("%{{{pattern}}}"), "target": "t"}});
            let before = serde_json::json!({"message": text});
            let (after, outcome) = apply(&config.to_string(), &before.to_string());
            assert!(outcome.ok, "{pattern}");
            let found: Vec<(&str, &str)> = after["t"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
                .collect();
            assert_eq!(found, fields, "{pattern}");
        }
        let time = ("timestamp", "21/Nov/2026:02:45:04 +0100");
        let common = r#"1.2.3.4 - me [21/Nov/2026:02:45:04 +0100] "GET /a?b HTTP/1.1" 200 12"#;
        let request = [("verb", "GET"), ("request", "/a?b"), ("httpversion", "1.1")];
        let fields =
            [&[("clientip", "1.2.3.4"), ("ident", "-"), ("auth", "me"), time], &request[..]].concat();
        let fields = [fields, vec![("response", "200"), ("bytes", "12")]].concat();
        line("COMMONAPACHELOG", common, &fields);
        line("HTTPD_COMMONLOG", common, &fields);
        let combined = format!(r#"{common} "-" "Mozilla \"5\"""#);
        let fields = [fields, vec![("referrer", r#""-""#), ("agent", r#""Mozilla \"5\"""#)]].concat();
        line("COMBINEDAPACHELOG", &combined, &fields);
        line("HTTPD_COMBINEDLOG", &combined, &fields);
        let raw = ("rawrequest", r"\x16\x03");
        line(
            "COMMONAPACHELOG",
            r#"::1 - - [21/Nov/2026:02:45:04 +0100] "\x16\x03" 400 -"#,
            &[("clientip", "::1"), ("ident", "-"), ("auth", "-"), time, raw, ("response", "400")],
        );
        let request = [("verb", "POST"), ("request", "/"), ("httpversion", "2.0"), ("response", "200")];
        let fields = [&[("clientip", "a.b"), ("auth", "me@x"), time], &request[..]].concat();
        line(
            "NGINXACCESS",
            r#"a.b - me@x [21/Nov/2026:02:45:04 +0100] "POST / HTTP/2.0" 200 0 "-" "curl/8""#,
            &[fields, vec![("bytes", "0"), ("referrer", "-"), ("agent", "curl/8")]].concat(),
        );
        let module = [("module", "core"), ("loglevel", "error"), ("pid", "12"), ("tid", "34")];
        let client = [("clientip", "1.2.3.4"), ("clientport", "56"), ("errorcode", "AH00126")];
        let time = [("timestamp", "Sat Nov 21 02:45:04.123456 2026")];
        line(
            "HTTPD_ERRORLOG",
            "[Sat Nov 21 02:45:04.123456 2026] [core:error] [pid 12:tid 34] [client 1.2.3.4:56] AH00126: bad",
            &[&time[..], &module, &client, &[("message", "bad")]].concat(),
        );
        let time = ("timestamp", "Sat Nov 21 02:45:04 2026");
        line(
            "HTTPD_ERRORLOG",
            "[Sat Nov 21 02:45:04 2026] [error] [client 1.2.3.4] gone",
            &[time, ("loglevel", "error"), ("clientip", "1.2.3.4"), ("message", "gone")],
        );
        let time = ("timestamp", "Nov 21 02:45:04");
        line(
            "SYSLOGLINE",
            "Nov 21 02:45:04 web sshd[12]: hello",
            &[time, ("logsource", "web"), ("program", "sshd"), ("pid", "12"), ("message", "hello")],
        );
        line(
            "SYSLOGBASE",
            "Nov 21 02:45:04 <3.4> web kernel: hello",
            &[time, ("facility", "3"), ("priority", "4"), ("logsource", "web"), ("program", "kernel")],
        );
    }

    #[test]
    fn names_of_the_schema() {
        #[track_caller]
        fn line(pattern: &str, text: &str, expected: serde_json::Value) {
            let config = serde_json::json!({"grok": {"source": "l", "patterns": format!("^%{{{pattern}}}$"), "names": "ecs"}});
            let (mut found, outcome) =
                apply(&config.to_string(), &serde_json::json!({"l": text}).to_string());
            found.as_object_mut().unwrap().shift_remove("l");
            assert!(outcome.ok, "{pattern}");
            assert_eq!(found, expected, "{pattern}");
        }
        let access = json!({
            "source": {"address": "1.2.3.4"}, "user": {"name": "me"}, "timestamp": "21/Nov/2026:02:45:04 +0100",
            "http": {"request": {"method": "GET"}, "version": "1.1", "response": {"status_code": 200, "body": {"bytes": 12}}},
            "url": {"original": "/a?b"}
        });
        let common = r#"1.2.3.4 - me [21/Nov/2026:02:45:04 +0100] "GET /a?b HTTP/1.1" 200 12"#;
        line("HTTPD_COMMONLOG", common, access.clone());
        let mut combined = access;
        combined["user_agent"] = json!({"original": "curl/8"});
        for pattern in ["COMBINEDAPACHELOG", "NGINXACCESS"] {
            line(pattern, &format!("{common} \"-\" \"curl/8\""), combined.clone());
        }
        line(
            "HTTPD_ERRORLOG",
            "[Sat Nov 21 02:45:04.123456 2026] [core:error] [pid 12:tid 34] [client 1.2.3.4:56] AH00126: bad",
            json!({
                "timestamp": "Sat Nov 21 02:45:04.123456 2026", "apache": {"error": {"module": "core"}},
                "log": {"level": "error"}, "process": {"pid": 12, "thread": {"id": 34}},
                "source": {"address": "1.2.3.4", "port": 56}, "error": {"code": "AH00126"}, "message": "bad"
            }),
        );
        line(
            "SYSLOGLINE",
            "Nov 21 02:45:04 web sshd[12]: hello",
            json!({
                "timestamp": "Nov 21 02:45:04", "host": {"hostname": "web"},
                "process": {"name": "sshd", "pid": 12}, "message": "hello"
            }),
        );
        line(
            "SYSLOG5424LINE",
            "<13>1 2026-11-21T02:45:04Z web app 7 ID1 - hello",
            json!({
                "log": {"syslog": {"priority": 13}}, "system": {"syslog": {"version": "1"}},
                "timestamp": "2026-11-21T02:45:04Z", "host": {"hostname": "web"},
                "process": {"name": "app", "pid": 7}, "event": {"code": "ID1"}, "message": "hello"
            }),
        );
        line(
            "CRONLOG",
            "Nov 21 02:45:04 web CRON[1]: (root) CMD (true)",
            json!({
                "timestamp": "Nov 21 02:45:04", "host": {"hostname": "web"}, "process": {"name": "CRON", "pid": 1},
                "user": {"name": "root"}, "system": {"cron": {"action": "CMD"}}, "message": "true"
            }),
        );
        line(
            "JAVASTACKTRACEPART",
            "\tat org.a.B$C.<init>(B.java:12)",
            json!({
                "java": {"log": {"origin": {"class": {"name": "org.a.B$C"}}}},
                "log": {"origin": {"function": "<init>", "file": {"name": "B.java", "line": 12}}}
            }),
        );
        line(
            "MONGO3_LOG",
            "2026-11-21T02:45:04.123+0000 I NETWORK  [conn1] end",
            json!({
                "timestamp": "2026-11-21T02:45:04.123+0000", "log": {"level": "I"},
                "mongodb": {"component": "NETWORK", "context": "conn1"}, "message": "end"
            }),
        );
        line(
            "SQUID3",
            "1525344856.899  16867 10.170.72.111 TCP_TUNNEL/200 6256 CONNECT a.example:443 - HIER_DIRECT/1.2.3.4 -",
            json!({
                "timestamp": "1525344856.899", "squid": {"request": {"duration": 16867},
                "hierarchy_code": "HIER_DIRECT"}, "event": {"action": "TCP_TUNNEL"}, "source": {"ip": "10.170.72.111"},
                "http": {"response": {"status_code": 200, "bytes": 6256}, "request": {"method": "CONNECT"}},
                "url": {"original": "a.example:443"}, "destination": {"address": "1.2.3.4"}
            }),
        );
        line(
            "BIND9",
            "17-Feb-2018 23:06:56.326 queries: info: client 172.26.0.1#12345 (test.example.com): query: test.example.com IN A +E(0)K (172.26.0.3)",
            json!({
                "timestamp": "17-Feb-2018 23:06:56.326", "log": {"level": "info"},
                "client": {"ip": "172.26.0.1", "port": 12345}, "server": {"ip": "172.26.0.3"},
                "bind": {"log": {"category": "queries", "question": {"name": "test.example.com", "flags": "+E(0)K"}}},
                "dns": {"question": {"name": "test.example.com", "class": "IN", "type": "A"}}
            }),
        );
        line(
            "POSTGRESQL",
            "12-31-2026 01:02:03 UTC me 5.c 77",
            json!({
                "timestamp": "12-31-2026 01:02:03", "event": {"timezone": "UTC"}, "user": {"name": "me"},
                "postgresql": {"log": {"connection_id": "5.c"}}, "process": {"pid": 77}
            }),
        );
    }

    /// Lines of products, and what comes out of them with the fields from before the schema and with
    /// those of the schema.
    #[test]
    fn lines_of_products() {
        #[track_caller]
        fn check(pattern: &str, text: &str, legacy: serde_json::Value, ecs: serde_json::Value) {
            for (names, expected) in [("legacy", legacy), ("ecs", ecs)] {
                if expected.is_null() {
                    continue;
                }
                let config =
                    json!({"grok": {"patterns": format!("%{{{pattern}}}"), "names": names, "target": "t"}});
                let (after, outcome) = apply(&config.to_string(), &json!({"message": text}).to_string());
                assert!(outcome.ok, "{pattern} ({names})");
                assert_eq!(after["t"], expected, "{pattern} ({names})");
            }
        }
        let none = serde_json::Value::Null;
        check(
            "REDISLOG",
            "[4018] 14 Nov 07:01:22.119 * Background saving terminated with success",
            json!({"pid": "4018", "timestamp": "14 Nov 07:01:22.119"}),
            json!({"process": {"pid": 4018}, "timestamp": "14 Nov 07:01:22.119"}),
        );
        check(
            "REDISMONLOG",
            r#"1339518083.107412 [0 127.0.0.1:60866] "keys" "*""#,
            json!({"timestamp": "1339518083.107412", "database": "0", "client": "127.0.0.1", "port": "60866",
                "command": "keys", "params": "\"*\""}),
            json!({"timestamp": "1339518083.107412", "redis": {"database": {"id": "0"},
                "command": {"name": "keys", "args": "\"*\""}}, "client": {"ip": "127.0.0.1", "port": 60866}}),
        );
        check(
            "RT_FLOW3",
            "Sep 29 23:49:20 SRX-1 RT_FLOW: RT_FLOW_SESSION_DENY: session denied 10.0.0.1/54924->192.168.1.1/53 junos-dns-udp 17(0) default-deny(global) trust trust UNKNOWN UNKNOWN N/A(N/A) ge-0/0/0.0 UNKNOWN policy deny",
            json!({"event": "RT_FLOW_SESSION_DENY", "src-ip": "10.0.0.1", "src-port": "54924",
                "dst-ip": "192.168.1.1", "dst-port": "53", "service": "junos-dns-udp", "protocol-id": "17",
                "policy-name": "default-deny(global)", "from-zone": "trust", "to-zone": "trust"}),
            json!({"juniper": {"srx": {"tag": "RT_FLOW_SESSION_DENY", "service_name": "junos-dns-udp"}},
                "source": {"ip": "10.0.0.1", "port": 54924}, "destination": {"ip": "192.168.1.1", "port": 53},
                "network": {"iana_number": "17"}, "rule": {"name": "default-deny(global)"},
                "observer": {"ingress": {"zone": "trust"}, "egress": {"zone": "trust"}}}),
        );
        check(
            "RT_FLOW1",
            "Dec 17 08:05:30 RT_FLOW: RT_FLOW_SESSION_CLOSE: session closed TCP FIN: 10.10.10.2/53836->10.10.10.1/22 junos-ssh 10.10.10.2/53836->10.10.10.1/22 None None 6 log-host-traffic untrust junos-host 5 78(6657) 122(13305) 45 UNKNOWN UNKNOWN N/A(N/A) ge-0/0/1.0 No ",
            none.clone(),
            json!({"juniper": {"srx": {"tag": "RT_FLOW_SESSION_CLOSE", "reason": "session closed TCP FIN",
                "service_name": "junos-ssh", "session_id": "5", "elapsed_time": 45}},
                "source": {"ip": "10.10.10.2", "port": 53836, "nat": {"ip": "10.10.10.2", "port": 53836}, "bytes": 6657},
                "destination": {"ip": "10.10.10.1", "port": 22, "nat": {"ip": "10.10.10.1", "port": 22}, "bytes": 13305},
                "network": {"iana_number": "6"}, "rule": {"name": "log-host-traffic"},
                "observer": {"ingress": {"zone": "untrust"}, "egress": {"zone": "junos-host"}}}),
        );
        check(
            "NETSCREENSESSIONLOG",
            "Mar 18 17:56:52 192.168.56.11 lowly_lizard: NetScreen device_id=netscreen2 [Root]system-notification-00257(traffic): start_time=\"2009-03-18 16:07:06\" duration=0 policy_id=320001 service=msrpc Endpoint Mapper(tcp) proto=6 src zone=Null dst zone=self action=Deny sent=0 rcvd=16384 src=21.10.90.125 dst=23.16.1.1",
            none.clone(),
            json!({"timestamp": "Mar 18 17:56:52", "event": {"code": "00257", "action": "Deny"},
                "observer": {"hostname": "192.168.56.11", "name": "lowly_lizard", "product": "NetScreen",
                    "ingress": {"zone": "Null"}, "egress": {"zone": "self"}},
                "netscreen": {"device_id": "netscreen2", "policy_id": "320001", "service": "msrpc Endpoint Mapper(tcp)",
                    "protocol_number": 6,
                    "session": {"type": "traffic", "start_time": "2009-03-18 16:07:06", "duration": 0}},
                "source": {"address": "21.10.90.125", "bytes": 0}, "destination": {"address": "23.16.1.1", "bytes": 16384}}),
        );
        check(
            "SHOREWALL",
            "May 28 17:31:07 server Shorewall:net2fw:DROP:IN=eth1 OUT= MAC=00:02:b3:c7:2f:77:38:72:c0:6e:92:9c:08:00 SRC=127.0.0.1 DST=1.2.3.4 LEN=60 TOS=0x00 PREC=0x00 TTL=49 ID=6480 DF PROTO=TCP SPT=59088 DPT=8080 WINDOW=2920 RES=0x00 SYN URGP=0",
            json!({"timestamp": "May 28 17:31:07", "nf_host": "server", "nf_action1": "net2fw", "nf_action2": "DROP",
                "nf_in_interface": "eth1", "nf_dst_mac": "00:02:b3:c7:2f:77", "nf_src_mac": "38:72:c0:6e:92:9c",
                "nf_src_ip": "127.0.0.1", "nf_dst_ip": "1.2.3.4", "nf_len": "60", "nf_tos": "0x00", "nf_prec": "0x00",
                "nf_ttl": "49", "nf_id": "6480", "nf_protocol": "TCP", "nf_src_port": "59088", "nf_dst_port": "8080"}),
            json!({"timestamp": "May 28 17:31:07",
                "observer": {"hostname": "server", "ingress": {"interface": {"name": "eth1"}}},
                "shorewall": {"firewall": {"type": "net2fw", "action": "DROP"}},
                "iptables": {"length": 60, "tos": "00", "precedence_bits": "00", "ttl": 49, "id": "6480",
                    "fragment_flags": "DF", "tcp": {"window": 2920, "flags": "SYN "}, "tcp_reserved_bits": "00"},
                "network": {"transport": "TCP"},
                "source": {"ip": "127.0.0.1", "port": 59088, "mac": "38:72:c0:6e:92:9c"},
                "destination": {"ip": "1.2.3.4", "port": 8080, "mac": "00:02:b3:c7:2f:77"}}),
        );
        check(
            "CISCOFW106023",
            "Deny tcp src outside:192.168.1.1/50240 dst inside:www.example.com/23 by access-group \"S_OUTSIDE_TO_INSIDE\" [0x54c7fa80, 0x0]",
            json!({"action": "Deny", "protocol": "tcp", "src_interface": "outside", "src_ip": "192.168.1.1",
                "src_port": "50240", "dst_interface": "inside", "dst_ip": "www.example.com", "dst_port": "23",
                "policy_id": "S_OUTSIDE_TO_INSIDE", "hashcode1": "0x54c7fa80", "hashcode2": "0x0"}),
            json!({"cisco": {"asa": {"outcome": "Deny", "network": {"transport": "tcp"}, "rule_name": "S_OUTSIDE_TO_INSIDE"}},
                "observer": {"ingress": {"interface": {"name": "outside"}}, "egress": {"interface": {"name": "inside"}}},
                "source": {"ip": "192.168.1.1", "port": 50240}, "destination": {"address": "www.example.com", "port": 23},
                "@metadata": {"cisco": {"asa": {"hashcode1": "0x54c7fa80", "hashcode2": "0x0"}}}}),
        );
        check(
            "CISCOFW304001",
            "10.20.30.40(DOMAIN\\login) Accessed URL 10.11.12.13:http://example.org/",
            json!({"src_ip": "10.20.30.40", "src_fwuser": "DOMAIN\\login", "dst_ip": "10.11.12.13",
                "dst_url": "http://example.org/"}),
            json!({"source": {"ip": "10.20.30.40", "user": {"name": "DOMAIN\\login"}},
                "destination": {"ip": "10.11.12.13"}, "url": {"original": "http://example.org/"}}),
        );
        check(
            "EXIM",
            "2020-02-11 17:09:46 1j1Z2g-00Faoy-Uh <= example@strawberry.active-ns.com U=example P=local T=\"[Examples Galore] Please moderate: \\\"Hello world!\\\"\" for admin@example.net",
            none.clone(),
            json!({"timestamp": "2020-02-11 17:09:46", "exim": {"log": {"flags": "<=",
                "message": {"id": "1j1Z2g-00Faoy-Uh", "subject": "[Examples Galore] Please moderate: \\\"Hello world!\\\""},
                "sender": {"email": "example@strawberry.active-ns.com"}, "recipient": {"email": "admin@example.net"}}},
                "network": {"protocol": "local"}}),
        );
        check(
            "HAPROXYHTTP",
            "Jul 18 17:05:30 localhost haproxy[8247]: 188.223.50.7:51940 [18/Jul/2011:17:05:24.339] http_proxy_ads http_proxy_ads/<NOSRV> -1/-1/-1/-1/6001 408 212 - - cR-- 100/89/0/0/0 0/0 \"<BADREQ>\"",
            none.clone(),
            json!({"timestamp": "Jul 18 17:05:30", "host": {"hostname": "localhost"},
                "process": {"name": "haproxy", "pid": 8247},
                "source": {"address": "188.223.50.7", "port": 51940, "bytes": 212},
                "http": {"response": {"status_code": 408}},
                "haproxy": {"request_date": "18/Jul/2011:17:05:24.339", "frontend_name": "http_proxy_ads",
                    "backend_name": "http_proxy_ads", "total_time_ms": "6001", "termination_state": "cR--",
                    "connections": {"active": 100, "frontend": 89, "backend": 0, "server": 0, "retries": 0},
                    "server_queue": 0, "backend_queue": 0}}),
        );
        check(
            "CATALINALOG",
            "Jul 30, 2020 3:00:21 PM org.apache.coyote.http11.Http11Protocol init\nINFO: Initializing Coyote HTTP/1.1 on http-8080",
            json!({"timestamp": "Jul 30, 2020 3:00:21 PM", "class": "org.apache.coyote.http11.Http11Protocol",
                "logmessage": "init\nINFO: Initializing Coyote HTTP/1.1 on http-8080"}),
            json!({"timestamp": "Jul 30, 2020 3:00:21 PM", "log": {"level": "INFO", "origin": {"function": "init"}},
                "java": {"log": {"origin": {"class": {"name": "org.apache.coyote.http11.Http11Protocol"}}}},
                "message": "Initializing Coyote HTTP/1.1 on http-8080"}),
        );
        check(
            "TOMCATLOG",
            "2014-01-09 20:03:28,269 -0800 | ERROR | com.example.service.ExampleService - something happened",
            json!({"timestamp": "2014-01-09 20:03:28,269 -0800", "level": "ERROR",
                "class": "com.example.service.ExampleService", "logmessage": "something happened"}),
            json!({"timestamp": "2014-01-09 20:03:28,269 -0800", "log": {"level": "ERROR"},
                "java": {"log": {"origin": {"class": {"name": "com.example.service.ExampleService"}}}},
                "message": "something happened"}),
        );
        check(
            "RAILS3",
            "Started GET \"/puppet/notes?id=1\" for 127.0.0.1 at 2015-08-05 07:40:22 +0200\nProcessing by Projects::NotesController#index as JSON\n  Parameters: {\"id\"=>\"1\"}\nCompleted 200 OK in 640ms (Views: 1.7ms | ActiveRecord: 91.0ms)",
            json!({"verb": "GET", "request": "/puppet/notes?id=1", "clientip": "127.0.0.1",
                "timestamp": "2015-08-05 07:40:22 +0200", "controller": "Projects::NotesController", "action": "index",
                "format": "JSON", "params": "\"id\"=>\"1\"", "response": "200", "totalms": 640.0, "viewms": 1.7,
                "activerecordms": 91.0}),
            none.clone(),
        );
        check(
            "RUBY_LOGGER",
            "I, [2026-11-21T02:45:04.123456 #77]  INFO -- app: it starts",
            json!({"timestamp": "2026-11-21T02:45:04.123456", "pid": "77", "loglevel": "INFO", "progname": "app",
                "message": "it starts"}),
            json!({"timestamp": "2026-11-21T02:45:04.123456", "process": {"pid": 77, "name": "app"},
                "log": {"level": "INFO"}, "message": "it starts"}),
        );
        check(
            "NAGIOSLOGLINE",
            "[1427925600] SERVICE ALERT: web1;HTTP;CRITICAL;HARD;3;connect refused",
            json!({"nagios_epoch": "1427925600", "nagios_type": "SERVICE ALERT", "nagios_hostname": "web1",
                "nagios_service": "HTTP", "nagios_state": "CRITICAL", "nagios_statelevel": "HARD",
                "nagios_attempt": "3", "nagios_message": "connect refused"}),
            json!({"timestamp": "1427925600", "nagios": {"log": {"type": "SERVICE ALERT", "state_type": "HARD", "attempt": 3}},
                "host": {"hostname": "web1"}, "service": {"name": "HTTP", "state": "CRITICAL"}, "message": "connect refused"}),
        );
        check(
            "BACULA_LOGLINE",
            "09-Aug 17:50 backup JobId 1: Created new Volume \"Full-1\" in catalog.",
            json!({"bts": "09-Aug 17:50", "hostname": "backup", "jobid": "1", "volume": "Full-1"}),
            json!({"timestamp": "09-Aug 17:50", "host": {"hostname": "backup"},
                "bacula": {"job": {"id": "1"}, "volume": {"name": "Full-1"}}}),
        );
        check(
            "SYSLOGPAMSESSION",
            "Jul 14 13:36:53 precision sshd[12132]: pam_unix(sshd:session): session closed for user prod by (uid=0)",
            none.clone(),
            json!({"timestamp": "Jul 14 13:36:53", "host": {"hostname": "precision"},
                "process": {"name": "sshd", "pid": 12132},
                "message": "pam_unix(sshd:session): session closed for user prod by (uid=0)",
                "system": {"auth": {"pam": {"module": "pam_unix", "origin": "sshd:session", "session_state": "closed"}}},
                "user": {"name": "prod"}}),
        );
        let bro = "1432555199.633017\tCOpk6E3vkURP8QQNKl\t192.168.9.35\t55281\t178.236.7.146\t80\t4\tPOST\twww.example.org\t/xa/\t-\tMozilla/5.0\t3\t0\t204\tNo Content\t-\t-\t-\t(empty)\t-\t-\t-\tFrLEcY3AUPKdcYGf29\ttext/plain\tFOJpbGzIMh9syPxH8\ttext/plain";
        check(
            "BRO_HTTP",
            bro,
            json!({"ts": "1432555199.633017", "uid": "COpk6E3vkURP8QQNKl", "orig_h": "192.168.9.35", "orig_p": "55281",
                "resp_h": "178.236.7.146", "resp_p": "80", "trans_depth": "4", "method": "POST",
                "domain": "www.example.org", "uri": "/xa/", "referrer": "-", "user_agent": "Mozilla/5.0",
                "request_body_len": "3", "response_body_len": "0", "status_code": "204", "status_msg": "No Content",
                "info_code": "-", "info_msg": "-", "filename": "-", "bro_tags": "(empty)", "username": "-",
                "password": "-", "proxied": "-", "orig_fuids": "FrLEcY3AUPKdcYGf29", "orig_mime_types": "text/plain",
                "resp_fuids": "FOJpbGzIMh9syPxH8", "resp_mime_types": "text/plain"}),
            json!({"timestamp": "1432555199.633017",
                "zeek": {"session_id": "COpk6E3vkURP8QQNKl", "http": {"trans_depth": 4, "status_msg": "No Content",
                    "orig_fuids": "FrLEcY3AUPKdcYGf29", "resp_fuids": "FOJpbGzIMh9syPxH8"}},
                "source": {"ip": "192.168.9.35", "port": 55281}, "destination": {"ip": "178.236.7.146", "port": 80},
                "http": {"request": {"method": "POST", "body": {"bytes": 3}, "mime_type": "text/plain"},
                    "response": {"status_code": 204, "body": {"bytes": 0}, "mime_type": "text/plain"}},
                "url": {"domain": "www.example.org", "original": "/xa/"}, "user_agent": {"original": "Mozilla/5.0"}}),
        );
    }

    /// A pattern of the schema is there only where it is another than without it.
    #[test]
    fn the_schema_has_patterns_of_its_own() {
        for (name, regex) in super::patterns::ecs() {
            assert_ne!(Some(regex), super::patterns::find(name), "{name}");
        }
    }

    #[test]
    fn every_pattern_of_both_modes_can_be_run() {
        for names in ["legacy", "ecs"] {
            let own: Vec<&str> = if names == "ecs" {
                super::patterns::ecs().map(|(name, _)| name).collect()
            } else {
                super::patterns::all().map(|(name, _)| name).collect()
            };
            for name in own {
                let config: Config =
                    serde_json::from_value(json!({"patterns": format!("%{{{name}}}"), "names": names}))
                        .unwrap();
                if let Err(error) = config.build() {
                    panic!("{name} ({names}): {error}");
                }
            }
        }
    }

    /// A dot matches the end of a line, as in Logstash, which compiles patterns with Ruby's
    /// `MULTILINE`; `^` and `$` are those of lines all the same.
    #[test]
    fn dots_go_over_lines() {
        #[track_caller]
        fn check(pattern: &str, text: &str, expected: &str) {
            let config = json!({"grok": {"patterns": pattern, "target": "t"}});
            let (after, outcome) = apply(&config.to_string(), &json!({"message": text}).to_string());
            assert!(outcome.ok, "{pattern}");
            assert_eq!(after["t"]["x"], expected, "{pattern}");
        }
        check("a%{GREEDYDATA:x}", "a b\n c", " b\n c");
        check("%{WORD} %{GREEDYDATA:x}", "a b\n c", "b\n c");
        check("a%{DATA:x}c", "a\n\nc", "\n\n");
        check("^%{WORD:x}$", "a b\nc\nd", "c");
        check("a(?<x>.)b", "a\nb", "\n");
        check("(?-m:a(?<x>.*))", "ab\nc", "b");
    }

    #[test]
    fn casts_are_kept() {
        let expanded = expand::expand("%{INT:a:int}%{INT:b:float}%{INT:c}", &Default::default()).unwrap();
        let casts: Vec<Cast> = expanded.captures.iter().map(|capture| capture.cast).collect();
        assert_eq!(casts, [Cast::Int, Cast::Float, Cast::Text]);
    }
}
