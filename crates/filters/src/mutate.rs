//! Filter `mutate`: changes fields, in a fixed order whatever order they are written in.
//!
//! The order and what each change does are those of Logstash's filter of this name
//! (`logstash-filter-mutate` 3.5): coerce, rename, update, replace, convert, gsub, uppercase,
//! capitalize, lowercase, strip, split, join, merge, copy. A field that is not there is no
//! failure.

use crate::place::{Place, rendered, template};
use crate::values::{set_tree, tree_of};
use crate::{BuildError, Outcome, path};
use event::{Event, New, Path, Value};
use expr::Template;
use expr::onigmo::{Groups, Regex};
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use serde_json::Value as Json;

/// Options of the filter `mutate`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Values for fields that are null.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub coerce: Map<String, Json>,
    /// The new name of each field.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub rename: Map<String, Json>,
    /// New values for fields that are there.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub update: Map<String, Json>,
    /// New values for fields, there or not.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub replace: Map<String, Json>,
    /// The type of each field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub convert: Vec<Conversion>,
    /// What matches a regular expression is replaced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gsub: Vec<Substitution>,
    /// Fields whose letters become large.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uppercase: Vec<String>,
    /// Fields whose first letter becomes large, the others small.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capitalize: Vec<String>,
    /// Fields whose letters become small.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lowercase: Vec<String>,
    /// Fields whose blanks at both ends go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strip: Vec<String>,
    /// The text at which each field is cut into an array.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub split: Map<String, Json>,
    /// The text that joins the elements of each array.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub join: Map<String, Json>,
    /// The field, or fields, that are added to each array or object.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub merge: Map<String, Json>,
    /// Where each field is copied to.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub copy: Map<String, Json>,
}

/// A field and its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversion {
    /// The field; elements of an array are converted each.
    pub field: String,
    /// The type.
    pub to: Type,
}

/// A type of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// A whole number: as much of one as the text begins with, commas left out; else 0.
    Integer,
    /// The same, where a dot stands between thousands and a comma before the fraction.
    IntegerEu,
    /// A number.
    Float,
    /// A number, where a dot stands between thousands and a comma before the fraction.
    FloatEu,
    /// Text.
    String,
    /// A boolean: true, t, yes, y, 1 and their opposites; what is neither stays.
    Boolean,
}

/// Replaces what matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Substitution {
    /// The field: text, or an array of texts.
    pub field: String,
    /// The regular expression, as Ruby writes them; with a `%{` in it, a template of one.
    pub regex: String,
    /// What stands for it: a template in which `\1` is a group.
    pub with: String,
}

/// The filter.
pub struct Mutate(Vec<Change>);

enum Change {
    Coerce(Path, Template),
    Rename(Place, Place),
    Update(Place, Template),
    Replace(Place, Template),
    Convert(Path, Type),
    Gsub(Path, Box<Sought>, Template, Groups),
    Case(Path, Case),
    Strip(Path),
    Split(Path, Template),
    Join(Path, Template),
    Merge(Path, Vec<Path>),
    Copy(Place, Place),
}

/// What is replaced.
enum Sought {
    /// A text that means itself, and the same as a regex.
    Text(Box<Finder<'static>>, Regex),
    Always(Regex),
    /// What a template makes of the event, and the last such regex by its text; no such regex where
    /// the text is none.
    OfEvent(Template, Option<(Vec<u8>, Option<Regex>)>),
}

/// What in a regex may mean something else than itself.
const META: [char; 14] = ['\\', '^', '$', '.', '|', '?', '*', '+', '(', ')', '[', ']', '{', '}'];

#[derive(Clone, Copy)]
pub(crate) enum Case {
    Upper,
    Capital,
    Lower,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Mutate, BuildError> {
        let mut changes = Vec::new();
        for (field, value) in &self.coerce {
            changes
                .push(Change::Coerce(path("coerce", field)?, template("coerce", &text("coerce", value)?)?));
        }
        for (old, new) in &self.rename {
            changes.push(Change::Rename(
                Place::new("rename", old)?,
                Place::new("rename", &text("rename", new)?)?,
            ));
        }
        for (field, value) in &self.update {
            changes.push(Change::Update(
                Place::new("update", field)?,
                template("update", &text("update", value)?)?,
            ));
        }
        for (field, value) in &self.replace {
            let value = template("replace", &text("replace", value)?)?;
            changes.push(Change::Replace(Place::new("replace", field)?, value));
        }
        for Conversion { field, to } in &self.convert {
            changes.push(Change::Convert(path("convert", field)?, *to));
        }
        for Substitution { field, regex, with } in &self.gsub {
            let sought = if regex.contains("%{") {
                Sought::OfEvent(template("gsub", regex)?, None)
            } else {
                let wrong = |error| BuildError { option: "gsub", message: format!("{error} (in {regex:?})") };
                let compiled = Regex::new(regex).map_err(wrong)?;
                match regex.contains(META) || regex.is_empty() {
                    true => Sought::Always(compiled),
                    false => Sought::Text(Box::new(Finder::new(regex).into_owned()), compiled),
                }
            };
            let with = template("gsub", with)?;
            changes.push(Change::Gsub(path("gsub", field)?, Box::new(sought), with, Groups::default()));
        }
        let cases = [
            ("uppercase", &self.uppercase, Case::Upper),
            ("capitalize", &self.capitalize, Case::Capital),
            ("lowercase", &self.lowercase, Case::Lower),
        ];
        for (option, fields, case) in cases {
            for field in fields {
                changes.push(Change::Case(path(option, field)?, case));
            }
        }
        for field in &self.strip {
            changes.push(Change::Strip(path("strip", field)?));
        }
        for (field, at) in &self.split {
            changes.push(Change::Split(path("split", field)?, template("split", &text("split", at)?)?));
        }
        for (field, with) in &self.join {
            changes.push(Change::Join(path("join", field)?, template("join", &text("join", with)?)?));
        }
        for (field, added) in &self.merge {
            let added = match added {
                Json::Array(items) => items.iter().map(|item| path("merge", &text("merge", item)?)).collect(),
                one => path("merge", &text("merge", one)?).map(|one| vec![one]),
            };
            changes.push(Change::Merge(path("merge", field)?, added?));
        }
        for (from, to) in &self.copy {
            changes.push(Change::Copy(Place::new("copy", from)?, Place::new("copy", &text("copy", to)?)?));
        }
        Ok(Mutate(changes))
    }
}

fn text(option: &'static str, value: &Json) -> Result<String, BuildError> {
    match value {
        Json::String(text) => Ok(text.clone()),
        Json::Number(number) => Ok(number.to_string()),
        Json::Bool(value) => Ok(value.to_string()),
        other => Err(BuildError { option, message: format!("expected text, found {other}") }),
    }
}

impl Mutate {
    /// Applies it; `now` is the clock reading of the batch. The first change that fails ends it.
    pub fn apply(&mut self, event: &mut Event<'_>, now: i64) -> Outcome {
        Outcome::of(self.0.iter_mut().all(|change| change.apply(event, now)))
    }
}

impl Sought {
    /// The regex for this event; `None` where what the event makes of it is none.
    fn regex(&mut self, event: &Event<'_>, now: i64) -> Option<&Regex> {
        match self {
            Sought::Text(_, regex) | Sought::Always(regex) => Some(regex),
            Sought::OfEvent(template, last) => {
                let text = rendered(template, event, now);
                if last.as_ref().is_none_or(|(of, _)| *of != text) {
                    let regex = Regex::new(&String::from_utf8_lossy(&text)).ok();
                    *last = Some((text, regex));
                }
                last.as_ref()?.1.as_ref()
            }
        }
    }
}

impl Change {
    fn apply(&mut self, event: &mut Event<'_>, now: i64) -> bool {
        match self {
            Change::Coerce(path, value) => {
                event.get(path) != Some(Value::Null) || set_text(event, path, value, now)
            }
            Change::Rename(old, new) => match (old.path(event, now), new.path(event, now)) {
                (Some(old), Some(new)) => event.rename(&old, &new).is_ok(),
                _ => true,
            },
            Change::Update(place, value) => match place.path(event, now) {
                Some(path) if event.exists(&path) => set_text(event, &path, value, now),
                _ => true,
            },
            Change::Replace(place, value) => {
                place.path(event, now).is_none_or(|path| set_text(event, &path, value, now))
            }
            Change::Convert(path, to) => each(event, path, &mut |value| convert(value, *to)),
            Change::Gsub(path, sought, with, groups) => {
                let with = rendered(with, event, now);
                if let Sought::Text(finder, _) = &**sought
                    && !with.contains(&b'\\')
                {
                    return each_text(event, path, &mut |text| replaced(text, finder, &with));
                }
                let Some(regex) = sought.regex(event, now) else { return false };
                each_text(event, path, &mut |text| gsub(text, regex, &with, groups))
            }
            Change::Case(path, case) => each_text(event, path, &mut |text| Some(cased(text, *case))),
            Change::Strip(path) => each_text(event, path, &mut |text| {
                let blank = |c: char| c.is_ascii_whitespace() || c == '\u{b}' || c == '\0';
                Some(text.trim_matches(blank).to_owned())
            }),
            Change::Split(path, at) => {
                let at = String::from_utf8_lossy(&rendered(at, event, now)).into_owned();
                match event.get(path).as_ref().map(tree_of) {
                    Some(Json::String(text)) => set_tree(event, path, &split(&text, &at)).is_ok(),
                    _ => true,
                }
            }
            Change::Join(path, with) => {
                let with = String::from_utf8_lossy(&rendered(with, event, now)).into_owned();
                match event.get(path).as_ref().map(tree_of) {
                    Some(Json::Array(items)) => {
                        set_tree(event, path, &Json::String(join(&items, &with))).is_ok()
                    }
                    _ => true,
                }
            }
            Change::Merge(path, added) => added.iter().all(|added| merge(event, path, added)),
            Change::Copy(from, to) => {
                let (Some(from), Some(to)) = (from.path(event, now), to.path(event, now)) else {
                    return true;
                };
                match event.get(&from).filter(|value| *value != Value::Null).as_ref().map(Owned::of) {
                    Some(value) => event.set(&to, value.as_new()).is_ok(),
                    None => true,
                }
            }
        }
    }
}

/// A value that outlives the look at the event.
enum Owned {
    Text(Vec<u8>),
    Json(String),
    Time(i64),
}

impl Owned {
    fn of(value: &Value<'_>) -> Self {
        match value {
            Value::Str(text) => Owned::Text(text.to_vec()),
            Value::Time(ns) => Owned::Time(*ns),
            other => Owned::Json(tree_of(other).to_string()),
        }
    }

    fn as_new(&self) -> New<'_> {
        match self {
            Owned::Text(text) => New::Str(text),
            Owned::Json(text) => New::Json(text),
            Owned::Time(ns) => New::Time(*ns),
        }
    }
}

fn set_text(event: &mut Event<'_>, path: &Path, value: &Template, now: i64) -> bool {
    let text = rendered(value, event, now);
    event.set(path, New::Str(&text)).is_ok()
}

/// Changes a value, or each element of an array; `None` leaves it.
fn each(event: &mut Event<'_>, path: &Path, change: &mut impl FnMut(&Json) -> Option<Json>) -> bool {
    let Some(value) = event.get(path) else { return true };
    let new = match tree_of(&value) {
        Json::Null | Json::Object(_) => return true,
        Json::Array(items) => {
            Some(Json::Array(items.into_iter().map(|item| change(&item).unwrap_or(item)).collect()))
        }
        one => change(&one),
    };
    new.is_none_or(|new| set_tree(event, path, &new).is_ok())
}

fn each_text(event: &mut Event<'_>, path: &Path, change: &mut impl FnMut(&str) -> Option<String>) -> bool {
    // One text, as it nearly always is, needs no tree.
    if let Some(Value::Str(text)) = event.get(path)
        && let Ok(text) = std::str::from_utf8(&text)
    {
        return change(text).is_none_or(|new| event.set(path, New::Str(new.as_bytes())).is_ok());
    }
    each(event, path, &mut |value| change(value.as_str()?).map(Json::String))
}

fn convert(value: &Json, to: Type) -> Option<Json> {
    let shown = match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let number = |eu: bool| match value {
        Json::Bool(value) => f64::from(u8::from(*value)).to_string(),
        Json::String(text) if eu => text.replace('.', "").replace(',', "."),
        Json::String(text) => text.replace(',', ""),
        other => other.to_string(),
    };
    Some(match to {
        Type::String => Json::String(shown),
        Type::Integer => integer(&number(false)),
        Type::IntegerEu => integer(&number(true)),
        Type::Float => float(&number(false)).into(),
        Type::FloatEu => float(&number(true)).into(),
        Type::Boolean => match shown.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" | "1.0" => Json::Bool(true),
            "false" | "f" | "no" | "n" | "0" | "0.0" | "" => Json::Bool(false),
            _ => return None,
        },
    })
}

/// The number at the beginning of a text, as Ruby's `to_i` takes it; beyond 64 bits one with a point.
pub(crate) fn integer(text: &str) -> Json {
    let text = text.trim_start();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let len = digits.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'_').count();
    let whole = text[..text.len() - digits.len() + len].replace(['_', '+'], "");
    match (whole.parse::<i64>(), float(text)) {
        (Ok(value), number) if !number.is_finite() || number.abs() < 9.2e18 => {
            // 1e3 is a number as JSON writes it, and to_i of a float cuts.
            let is_scientific = digits[len..].starts_with(['e', 'E']);
            if is_scientific { (number as i64).into() } else { value.into() }
        }
        (Err(_), number) if whole.trim_start_matches('-').is_empty() || number == 0.0 => 0.into(),
        (_, number) => number.trunc().into(),
    }
}

/// The number at the beginning of a text, as Ruby's `to_f` takes it.
pub(crate) fn float(text: &str) -> f64 {
    let text = text.trim_start();
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(text.starts_with(['-', '+']));
    let mut end = sign + digits(sign);
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if end > sign && matches!(bytes.get(end), Some(b'e' | b'E')) {
        let exponent = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        if exponent <= bytes.len() && digits(exponent) > 0 {
            end = exponent + digits(exponent);
        }
    }
    text[..end].parse().unwrap_or(0.0)
}

/// Replaces every place of a text; `None` where there is none.
fn replaced(text: &str, sought: &Finder<'_>, with: &[u8]) -> Option<String> {
    let mut out = Vec::new();
    let mut copied = 0;
    for at in sought.find_iter(text.as_bytes()) {
        out.extend_from_slice(&text.as_bytes()[copied..at]);
        out.extend_from_slice(with);
        copied = at + sought.needle().len();
    }
    if copied == 0 {
        return None;
    }
    out.extend_from_slice(&text.as_bytes()[copied..]);
    Some(match String::from_utf8(out) {
        Ok(text) => text,
        // What stands for it came from an event.
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// Replaces every match; `None` where there is none.
pub(crate) fn gsub(text: &str, regex: &Regex, with: &[u8], groups: &mut Groups) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    let mut found = false;
    while at <= bytes.len() {
        let Some((from, to)) = regex.find_at(bytes, at, groups) else { break };
        found = true;
        out.extend_from_slice(&bytes[copied..from]);
        substitute(bytes, with, regex, groups, &mut out);
        copied = to;
        at = to;
        if from == to {
            // Behind an empty match one character is taken as it is.
            let len = text[to..].chars().next().map_or(1, char::len_utf8);
            out.extend_from_slice(bytes.get(to..to + len).unwrap_or_default());
            at += len;
            copied = at.min(bytes.len());
        }
    }
    if !found {
        return None;
    }
    out.extend_from_slice(&bytes[copied..]);
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// Writes what stands for a match: `\0` to `\9`, `\&`, `\k<name>` and `\\`.
fn substitute(text: &[u8], with: &[u8], regex: &Regex, groups: &Groups, out: &mut Vec<u8>) {
    let group = |number: usize, out: &mut Vec<u8>| {
        if let Some((from, to)) = groups.get(number) {
            out.extend_from_slice(&text[from..to]);
        }
    };
    let mut at = 0;
    while at < with.len() {
        match (with[at], with.get(at + 1)) {
            (b'\\', Some(digit)) if digit.is_ascii_digit() => group(usize::from(digit - b'0'), out),
            (b'\\', Some(b'&')) => group(0, out),
            (b'\\', Some(b'\\')) => out.push(b'\\'),
            (b'\\', Some(b'k')) if with[at..].starts_with(b"\\k<") => {
                let inner = &with[at + 3..];
                let Some(end) = inner.iter().position(|byte| *byte == b'>') else {
                    out.push(b'\\');
                    at += 1;
                    continue;
                };
                let is_named =
                    |name: &Option<String>| name.as_ref().is_some_and(|own| own.as_bytes() == &inner[..end]);
                if let Some(number) = regex.names().iter().position(is_named) {
                    group(number, out);
                }
                at += end + 4;
                continue;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
                continue;
            }
        }
        at += 2;
    }
}

pub(crate) fn cased(text: &str, case: Case) -> String {
    match case {
        Case::Upper => text.to_uppercase(),
        Case::Lower => text.to_lowercase(),
        Case::Capital => {
            let mut chars = text.chars();
            let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
            first + &chars.as_str().to_lowercase()
        }
    }
}

/// As Ruby's `split`: a blank splits at runs of white space, and empty texts at the end go.
fn split(text: &str, at: &str) -> Json {
    let mut parts: Vec<&str> = match at {
        " " => text.split_ascii_whitespace().collect(),
        "" => text.split("").skip(1).collect(),
        _ => text.split(at).collect(),
    };
    while parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
    }
    parts.into()
}

fn join(items: &[Json], with: &str) -> String {
    let text = |item: &Json| match item {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Array(items) => join(items, with),
        other => other.to_string(),
    };
    items.iter().map(text).collect::<Vec<_>>().join(with)
}

fn merge(event: &mut Event<'_>, into: &Path, added: &Path) -> bool {
    let value = |path: &Path| event.get(path).as_ref().map_or(Json::Null, tree_of);
    let merged = match (value(into), value(added)) {
        (Json::Object(mut members), Json::Object(more)) => {
            members.extend(more);
            Json::Object(members)
        }
        // An object and anything else stay as they are.
        (Json::Object(_), _) | (_, Json::Object(_)) => return true,
        (one, more) => {
            let list = |value| match value {
                Json::Null => Vec::new(),
                Json::Array(items) => items,
                one => vec![one],
            };
            let mut items = list(one);
            items.extend(list(more));
            Json::Array(items)
        }
    };
    set_tree(event, into, &merged).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{Config, float, integer};
    use crate::testing::check;
    use proptest::prelude::*;

    #[track_caller]
    fn mutate(config: &str, before: &str, after: &str) {
        check(&format!("{{\"mutate\":{config}}}"), before, after, true);
    }

    #[test]
    fn names_and_values() {
        mutate(r#"{"coerce":{"a":"x","b":"y"}}"#, r#"{"a":null,"b":1}"#, r#"{"a":"x","b":1}"#);
        mutate(r#"{"rename":{"a":"b.c","no":"d"}}"#, r#"{"a":1}"#, r#"{"b":{"c":1}}"#);
        mutate(r#"{"rename":{"%{k}":"x_%{k}"}}"#, r#"{"k":"a","a":1}"#, r#"{"k":"a","x_a":1}"#);
        mutate(r#"{"update":{"a":"%{b}!","c":"x"}}"#, r#"{"a":1,"b":2}"#, r#"{"a":"2!","b":2}"#);
        mutate(r#"{"replace":{"a":"%{b}!","c":"x"}}"#, r#"{"a":1,"b":2}"#, r#"{"a":"2!","b":2,"c":"x"}"#);
        mutate(
            r#"{"copy":{"a":"b","no":"c","t":"u"}}"#,
            r#"{"a":[1],"t":"x"}"#,
            r#"{"a":[1],"t":"x","b":[1],"u":"x"}"#,
        );
    }

    #[test]
    fn types() {
        #[track_caller]
        fn convert(to: &str, before: &str, after: &str) {
            mutate(
                &format!(r#"{{"convert":[{{"field":"a","to":"{to}"}}]}}"#),
                &format!(r#"{{"a":{before}}}"#),
                &format!(r#"{{"a":{after}}}"#),
            );
        }
        for (before, after) in [
            ("\"12\"", "12"),
            ("\"1,000\"", "1000"),
            ("\"1,000.5\"", "1000"),
            ("\" -7x\"", "-7"),
            ("\"x\"", "0"),
            ("true", "1"),
            ("false", "0"),
            ("1.9", "1"),
            ("-1.9", "-1"),
            ("[\"1\",2,\"x\"]", "[1,2,0]"),
            ("null", "null"),
            ("{\"b\":1}", "{\"b\":1}"),
            ("\"\"", "0"),
            ("1e3", "1000"),
        ] {
            convert("integer", before, after);
        }
        for (before, after) in [
            ("\"1.5\"", "1.5"),
            ("\"1,000.5\"", "1000.5"),
            ("\"x\"", "0.0"),
            ("true", "1.0"),
            ("2", "2.0"),
            ("\"1e3\"", "1000.0"),
        ] {
            convert("float", before, after);
        }
        convert("integer_eu", "\"1.000,9\"", "1000");
        convert("float_eu", "\"1.000,5\"", "1000.5");
        for (before, after) in [
            ("\"yes\"", "true"),
            ("\"T\"", "true"),
            ("1", "true"),
            ("0", "false"),
            ("\"\"", "false"),
            ("\"n\"", "false"),
            ("\"maybe\"", "\"maybe\""),
            ("true", "true"),
            ("1.0", "true"),
        ] {
            convert("boolean", before, after);
        }
        convert("string", "[1,true,\"x\"]", "[\"1\",\"true\",\"x\"]");
    }

    #[test]
    fn texts() {
        #[track_caller]
        fn gsub(regex: &str, with: &str, before: &str, after: &str) {
            let config =
                serde_json::json!({"gsub": [{"field": "a", "regex": regex, "with": with}]}).to_string();
            let event = |text: &str| serde_json::json!({"a": text, "b": "B"}).to_string();
            mutate(&config, &event(before), &event(after));
        }
        gsub("/", "_", "a/b/c", "a_b_c");
        gsub("[\\\\?#-]", ".", "a\\b?c#d-e", "a.b.c.d.e");
        gsub("(\\w)(\\w)", "\\2\\1", "abcd", "badc");
        gsub("(?<x>b)", "[\\k<x>\\0]", "abc", "a[bb]c");
        gsub("b", "%{b}", "abc", "aBc");
        gsub("x*", "-", "aé", "-a-é-");
        gsub("^", "> ", "a\nb", "> a\n> b");
        gsub("@timestamp", "_@timestamp", "{\"@timestamp\":1}", "{\"_@timestamp\":1}");
        mutate(
            r#"{"gsub":[{"field":"a","regex":"x","with":"y"},{"field":"n","regex":"1","with":"2"}]}"#,
            r#"{"a":["x",1,"ax"],"n":1}"#,
            r#"{"a":["y",1,"ay"],"n":1}"#,
        );
        mutate(
            r#"{"uppercase":["a"],"lowercase":["b"],"capitalize":["c"]}"#,
            r#"{"a":"é1","b":["Ab",1],"c":"hELLO you"}"#,
            r#"{"a":"É1","b":["ab",1],"c":"Hello you"}"#,
        );
        mutate(r#"{"strip":["a","b"]}"#, r#"{"a":" \tx y\n","b":[" z "]}"#, r#"{"a":"x y","b":["z"]}"#);
    }

    #[test]
    fn arrays() {
        mutate(
            r#"{"split":{"a":",","b":" ","c":"","d":","}}"#,
            r#"{"a":"x,,y,,","b":"  x  y ","c":"ab","d":5}"#,
            r#"{"a":["x","","y"],"b":["x","y"],"c":["a","b"],"d":5}"#,
        );
        mutate(
            r#"{"join":{"a":"-","b":","}}"#,
            r#"{"a":["x",1,null,["y",2]],"b":"z"}"#,
            r#"{"a":"x-1--y-2","b":"z"}"#,
        );
        mutate(r#"{"merge":{"a":"b"}}"#, r#"{"a":[1],"b":"x"}"#, r#"{"a":[1,"x"],"b":"x"}"#);
        mutate(
            r#"{"merge":{"a":["b","c"]}}"#,
            r#"{"a":"1","b":"x","c":["y"]}"#,
            r#"{"a":["1","x","y"],"b":"x","c":["y"]}"#,
        );
        mutate(
            r#"{"merge":{"a":"b"}}"#,
            r#"{"a":{"x":1},"b":{"y":2}}"#,
            r#"{"a":{"x":1,"y":2},"b":{"y":2}}"#,
        );
        mutate(r#"{"merge":{"a":"b"}}"#, r#"{"a":{"x":1},"b":[2]}"#, r#"{"a":{"x":1},"b":[2]}"#);
    }

    #[test]
    fn the_order_is_fixed() {
        // Written first, done last: the copy is made of the text that was made large.
        mutate(
            r#"{"copy":{"b":"c"},"uppercase":["b"],"rename":{"a":"b"}}"#,
            r#"{"a":"x"}"#,
            r#"{"b":"X","c":"X"}"#,
        );
        mutate(
            r#"{"join":{"a":"+"},"split":{"a":"-"},"gsub":[{"field":"a","regex":" ","with":"-"}],"replace":{"a":"1 2"}}"#,
            "{}",
            r#"{"a":"1+2"}"#,
        );
    }

    #[test]
    fn mistakes() {
        let error =
            |config: &str| serde_json::from_str::<Config>(config).unwrap().build().err().unwrap().to_string();
        assert!(
            error(r#"{"gsub":[{"field":"a","regex":"(","with":""}]}"#)
                .starts_with("option \"gsub\": not a regular")
        );
        assert!(error(r#"{"rename":{"a":[1]}}"#).starts_with("option \"rename\": expected text"));
        assert!(error(r#"{"strip":["a["]}"#).starts_with("option \"strip\": not a field path"));
    }

    proptest! {
        #[test]
        fn whole_numbers_are_what_they_were(value in -9_000_000_000_000_000_000_i64..9_000_000_000_000_000_000) {
            prop_assert_eq!(integer(&value.to_string()), serde_json::Value::from(value));
        }

        #[test]
        fn any_text_has_a_number(text: String) {
            integer(&text);
            float(&text);
        }

        #[test]
        fn gsub_keeps_what_does_not_match(text in "[a-cé ]{0,12}") {
            let regex = expr::onigmo::Regex::new("b+").unwrap();
            let found = super::gsub(&text, &regex, b"", &mut Default::default());
            prop_assert_eq!(found.unwrap_or(text.clone()), text.replace('b', ""));
        }
    }
}
