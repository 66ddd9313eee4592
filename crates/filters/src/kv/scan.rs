//! Pairs as Logstash's filter `kv` finds them: by one regex that is made of the options.
//!
//! A key is what stands before a sign between key and value, a value what stands within quotes or
//! brackets, or up to the next sign between pairs. A backslash keeps the character behind it from
//! ending anything, and stays. What does not look like a pair is passed over.

use super::{Case, Config, Whitespace};
use crate::BuildError;
use crate::mutate::{self, gsub};
use crate::place::{rendered, template};
use event::Event;
use expr::Template;
use expr::onigmo::{Groups, Regex};
use serde_json::{Map, Value as Json};

/// What the options say, compiled.
pub(super) struct Scan {
    pair: Finder,
    splits: Regex,
    prefix: Template,
    include: Vec<Template>,
    exclude: Vec<Template>,
    keys: Shape,
    values: Shape,
    defaults: Map<String, Json>,
    allow_duplicates: bool,
    allow_empty: bool,
    recursive: bool,
}

struct Finder {
    regex: Regex,
    groups: Groups,
    /// The groups of the key and of the ways to write a value.
    key: usize,
    values: Vec<usize>,
}

/// What is done to keys or values.
struct Shape {
    /// What goes: at both ends, and everywhere.
    removed: Vec<(Regex, Groups)>,
    case: Option<Case>,
}

/// What an event says of the options.
pub(super) struct Wanted {
    prefix: String,
    include: Vec<String>,
    exclude: Vec<String>,
}

/// How deep pairs may lie within values.
const DEPTH_MAX: usize = 16;

impl Scan {
    pub(super) fn new(config: &Config) -> Result<Self, BuildError> {
        let class = |option, chars: &str| match chars {
            "" => Err(BuildError { option, message: "needs at least one character".to_owned() }),
            chars => Ok(format!("[{chars}]")),
        };
        let pattern = |option, regex: &Option<String>, chars: &str| match regex.as_deref() {
            Some("") => Err(BuildError { option, message: "is empty".to_owned() }),
            Some(regex) => Ok(format!("(?:{regex})")),
            None => class(option, chars),
        };
        let field = pattern("field_split_pattern", &config.field_split_pattern, &config.field_split)?;
        let plain = pattern("value_split_pattern", &config.value_split_pattern, &config.value_split)?;
        let value = match config.whitespace {
            Whitespace::Lenient => format!(" *{plain} *"),
            Whitespace::Strict => plain,
        };
        let has_patterns = config.field_split_pattern.is_some() || config.value_split_pattern.is_some();
        let key = if has_patterns {
            format!("(?:\\\\.|(?!{value}|{field}).)+")
        } else {
            format!("(?:\\\\.|[^{}{}])+", config.value_split, config.field_split)
        };
        let bare = match &config.field_split_pattern {
            Some(_) => format!("(?:\\\\.|(?!{field}).)+"),
            None => format!("(?:\\\\.|[^{}])+", config.field_split),
        };
        let quotes = [("\"", "\""), ("'", "'"), ("\\(", "\\)"), ("\\[", "\\]"), ("<", ">")];
        let count = if config.include_brackets { quotes.len() } else { 2 };
        let mut ways: Vec<String> = quotes[..count]
            .iter()
            .enumerate()
            .map(|(n, (open, close))| format!("{open}(?<v{n}>(?:\\\\.|[^{close}])+)?{close}"))
            .collect();
        ways.push(format!("(?<v{count}>{bare})"));
        let text = format!("(?<key>{key}){value}(?:{})?(?:{field}|$)", ways.join("|"));
        let option = if has_patterns { "field_split_pattern" } else { "field_split" };
        let regex = crate::regex(option, &text)?;
        let number = |name: &str| {
            regex.names().iter().position(|own| own.as_deref() == Some(name)).unwrap_or_default()
        };
        let values = (0..=count).map(|n| number(&format!("v{n}"))).collect();
        let key = number("key");
        let templates = |option, texts: &[String]| {
            texts.iter().map(|text| template(option, text)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            splits: crate::regex("value_split", &value)?,
            pair: Finder { regex, groups: Groups::default(), key, values },
            prefix: template("prefix", &config.prefix)?,
            include: templates("include_keys", &config.include_keys)?,
            exclude: templates("exclude_keys", &config.exclude_keys)?,
            keys: Shape::new(
                ("trim_key", &config.trim_key),
                ("remove_char_key", &config.remove_char_key),
                config.transform_key,
            )?,
            values: Shape::new(
                ("trim_value", &config.trim_value),
                ("remove_char_value", &config.remove_char_value),
                config.transform_value,
            )?,
            defaults: config.default_keys.clone(),
            allow_duplicates: config.allow_duplicate_values,
            allow_empty: config.allow_empty_values,
            recursive: config.recursive,
        })
    }

    /// What the options are for an event.
    pub(super) fn wanted(&self, event: &Event<'_>, now: i64) -> Wanted {
        let text =
            |template: &Template| String::from_utf8_lossy(&rendered(template, event, now)).into_owned();
        Wanted {
            prefix: text(&self.prefix),
            include: self.include.iter().map(text).collect(),
            exclude: self.exclude.iter().map(text).collect(),
        }
    }

    /// The defaults of keys that are not there, and then the pairs of all texts.
    pub(super) fn read(&mut self, texts: &[String], wanted: &Wanted) -> Map<String, Json> {
        let mut found = Map::new();
        for text in texts {
            self.pairs(text, wanted, 0, &mut found);
        }
        let mut all = self.defaults.clone();
        all.extend(found);
        all
    }

    fn pairs(&mut self, text: &str, wanted: &Wanted, depth: usize, found: &mut Map<String, Json>) {
        if !self.splits.is_match(text.as_bytes()) {
            return;
        }
        let mut at = 0;
        while let Some((key, value, end)) = self.pair.next(text, at) {
            at = end;
            if value.is_empty() && !self.allow_empty {
                continue;
            }
            let key = self.keys.apply(key);
            if !wanted.include.is_empty() && !wanted.include.contains(&key) || wanted.exclude.contains(&key) {
                continue;
            }
            let key = format!("{}{key}", wanted.prefix);
            let text = self.values.apply(value);
            let is_there = |own: &Json| match own {
                Json::Array(items) => items.iter().any(|item| *item == text),
                one => *one == text,
            };
            if !self.allow_duplicates && found.get(&key).is_some_and(is_there) {
                continue;
            }
            let mut inner = Map::new();
            if self.recursive && depth < DEPTH_MAX {
                self.pairs(&text, wanted, depth + 1, &mut inner);
            }
            let value = if inner.is_empty() { Json::String(text) } else { Json::Object(inner) };
            match found.get_mut(&key) {
                None => {
                    found.insert(key, value);
                }
                Some(Json::Array(items)) => items.push(value),
                Some(one) => *one = Json::Array(vec![one.take(), value]),
            }
        }
    }
}

impl Finder {
    /// The next pair at or behind `from`, and where to look for the one behind it.
    fn next<'t>(&mut self, text: &'t str, from: usize) -> Option<(&'t str, &'t str, usize)> {
        let (begin, end) = self.regex.find_at(text.as_bytes(), from, &mut self.groups)?;
        let group = |number: usize| self.groups.get(number).map(|(from, to)| &text[from..to]);
        let value = self.values.iter().find_map(|number| group(*number)).unwrap_or("");
        // A key has a character at least, so that every match goes on.
        debug_assert!(begin < end, "a pair is not empty");
        Some((group(self.key)?, value, end))
    }
}

impl Shape {
    fn new(
        (trim, trimmed): (&'static str, &Option<String>),
        (remove, removed): (&'static str, &Option<String>),
        case: Option<Case>,
    ) -> Result<Self, BuildError> {
        let mut all = Vec::new();
        if let Some(chars) = trimmed {
            all.push((crate::regex(trim, &format!("^[{chars}]+|[{chars}]+$"))?, Groups::default()));
        }
        if let Some(chars) = removed {
            all.push((crate::regex(remove, &format!("[{chars}]"))?, Groups::default()));
        }
        Ok(Self { removed: all, case })
    }

    fn apply(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (regex, groups) in &mut self.removed {
            if let Some(left) = gsub(&text, regex, b"", groups) {
                text = left;
            }
        }
        match self.case {
            None => text,
            Some(Case::Lowercase) => mutate::cased(&text, mutate::Case::Lower),
            Some(Case::Uppercase) => mutate::cased(&text, mutate::Case::Upper),
            Some(Case::Capitalize) => mutate::cased(&text, mutate::Case::Capital),
        }
    }
}
