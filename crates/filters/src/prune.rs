//! Filter `prune`: removes outermost fields by their names and values.
//!
//! Everything is decided before anything is removed. The time of an event is none of its fields
//! and stays, as does `@metadata`.

use crate::place::{rendered, template};
use crate::values::{all_fields, set_tree, tree_of};
use crate::{BuildError, Outcome};
use event::{Event, Path};
use expr::Template;
use expr::onigmo::Regex as Pattern;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Options of the filter `prune`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Regular expressions: fields stay whose names match one; none: all stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub whitelist_names: Vec<String>,
    /// Regular expressions: fields go whose names match one.
    pub blacklist_names: Vec<String>,
    /// A regular expression for each of some fields: it stays if its value matches. Items of an
    /// array stay or go one by one; a field of which no item stays goes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub whitelist_values: BTreeMap<String, String>,
    /// The same the other way round: what matches goes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub blacklist_values: BTreeMap<String, String>,
    /// Whether names and regular expressions are templates.
    pub interpolate: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            whitelist_names: Vec::new(),
            // References to fields that nobody resolved.
            blacklist_names: vec!["%\\{[^}]+\\}".into()],
            whitelist_values: BTreeMap::new(),
            blacklist_values: BTreeMap::new(),
            interpolate: false,
        }
    }
}

/// The filter.
pub struct Prune {
    whitelist: Vec<Regex>,
    blacklist: Vec<Regex>,
    /// Name, regular expression, and whether what matches stays.
    values: Vec<(Text, Regex, bool)>,
    made: Made,
}

/// A text that is always the same or is made of the event.
enum Text {
    Fixed(String),
    Made(Template),
}

enum Regex {
    Fixed(Arc<Pattern>),
    Made(Template),
}

/// The regular expressions that events made, compiled.
#[derive(Default)]
struct Made(HashMap<Vec<u8>, Option<Arc<Pattern>>>);

/// How many of them are kept; beyond, all are forgotten.
const MADE_MAX: usize = 1_000;
const NO_REGEX: &str = "what a template of prune became is no regular expression";

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Prune, BuildError> {
        let regex = |option, text: &String| {
            Ok(if self.interpolate && text.contains('%') {
                Regex::Made(template(option, text)?)
            } else {
                Regex::Fixed(Arc::new(crate::regex(option, text)?))
            })
        };
        let name = |option, text: &String| {
            Ok(if self.interpolate && text.contains('%') {
                Text::Made(template(option, text)?)
            } else {
                Text::Fixed(text.clone())
            })
        };
        let all = |option, texts: &[String]| -> Result<Vec<Regex>, BuildError> {
            texts.iter().map(|text| regex(option, text)).collect()
        };
        let mut values = Vec::new();
        for (option, map, stays) in [
            ("whitelist_values", &self.whitelist_values, true),
            ("blacklist_values", &self.blacklist_values, false),
        ] {
            for (field, text) in map {
                values.push((name(option, field)?, regex(option, text)?, stays));
            }
        }
        Ok(Prune {
            whitelist: all("whitelist_names", &self.whitelist_names)?,
            blacklist: all("blacklist_names", &self.blacklist_names)?,
            values,
            made: Made::default(),
        })
    }
}

impl Prune {
    /// Applies it; `now` is the clock reading of the batch. It fails, and changes nothing, where a
    /// template becomes no regular expression.
    pub fn apply(&mut self, event: &mut Event<'_>, now: i64) -> Outcome {
        match self.decide(event, now) {
            Some(changes) => {
                let mut ok = true;
                for (path, left) in changes {
                    match left {
                        Some(left) => ok &= set_tree(event, &path, &left).is_ok(),
                        None => {
                            event.remove(&path);
                        }
                    }
                }
                Outcome::of(ok)
            }
            None => Outcome::failed(NO_REGEX),
        }
    }

    /// What is to be done: fields, and what is left of those that do not go.
    fn decide(&mut self, event: &Event<'_>, now: i64) -> Option<Vec<(Path, Option<Json>)>> {
        let mut changes = Vec::new();
        for (regexes, stays) in [(&self.whitelist, true), (&self.blacklist, false)] {
            if regexes.is_empty() {
                continue;
            }
            let patterns: Vec<Arc<Pattern>> = regexes
                .iter()
                .map(|regex| regex.pattern(event, now, &mut self.made))
                .collect::<Option<_>>()?;
            for name in all_fields(event) {
                if patterns.iter().any(|pattern| pattern.is_match(name.as_bytes())) != stays {
                    changes.push((Path::of([name]), None));
                }
            }
        }
        for (name, regex, stays) in &self.values {
            let name = match name {
                Text::Fixed(name) => name.clone(),
                Text::Made(template) => String::from_utf8_lossy(&rendered(template, event, now)).into_owned(),
            };
            let path = Path::of([&name]);
            if path.is_timestamp() {
                continue;
            }
            let pattern = regex.pattern(event, now, &mut self.made)?;
            let stays = |value: &Json| pattern.is_match(&text_of(value)) == *stays;
            match event.get(&path).map(|value| tree_of(&value)) {
                None | Some(Json::Null | Json::Bool(false)) => {}
                Some(Json::Array(mut items)) => {
                    let before = items.len();
                    items.retain(stays);
                    if items.len() < before {
                        changes.push((path, (!items.is_empty()).then_some(Json::Array(items))));
                    }
                }
                Some(value) => {
                    if !stays(&value) {
                        changes.push((path, None));
                    }
                }
            }
        }
        Some(changes)
    }
}

impl Regex {
    fn pattern(&self, event: &Event<'_>, now: i64, made: &mut Made) -> Option<Arc<Pattern>> {
        match self {
            Regex::Fixed(pattern) => Some(pattern.clone()),
            Regex::Made(template) => made.pattern(rendered(template, event, now)),
        }
    }
}

impl Made {
    fn pattern(&mut self, text: Vec<u8>) -> Option<Arc<Pattern>> {
        if let Some(compiled) = self.0.get(&text) {
            return compiled.clone();
        }
        if self.0.len() >= MADE_MAX {
            self.0.clear();
        }
        let compiled = std::str::from_utf8(&text).ok().and_then(|text| Pattern::new(text).ok()).map(Arc::new);
        self.0.insert(text, compiled.clone());
        compiled
    }
}

fn text_of(value: &Json) -> Vec<u8> {
    match value {
        Json::String(text) => text.clone().into_bytes(),
        other => other.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, mistake};

    const EVENT: &str = r#"{"firstname":"Borat","lastname":"Sagdiyev","fullname":"Borat Sagdiyev","country":"Kazakhstan","location":"Somethere in Kazakhstan","hobby":"Cloud","status":"200","Borat_saying":"Cloud is not ready for enterprise if is not integrate with single server running Active Directory.","%{hmm}":"doh"}"#;

    /// The fields of the event above but those named.
    fn without(names: &[&str]) -> String {
        let mut event: serde_json::Map<_, _> = serde_json::from_str(EVENT).unwrap();
        event.retain(|name, _| !names.contains(&name.as_str()));
        serde_json::Value::from(event).to_string()
    }

    fn with(names: &[&str]) -> String {
        let mut event: serde_json::Map<_, _> = serde_json::from_str(EVENT).unwrap();
        event.retain(|name, _| names.contains(&name.as_str()));
        serde_json::Value::from(event).to_string()
    }

    #[test]
    fn names() {
        check(r#"{"prune":{}}"#, EVENT, &without(&["%{hmm}"]), true);
        check(
            r#"{"prune":{"whitelist_names":["firstname","(hobby|status)","%{firstname}_saying"]}}"#,
            EVENT,
            &with(&["firstname", "hobby", "status"]),
            true,
        );
        check(
            r#"{"prune":{"whitelist_names":["firstname","(hobby|status)","%{firstname}_saying"],"interpolate":true}}"#,
            EVENT,
            &with(&["firstname", "hobby", "status", "Borat_saying"]),
            true,
        );
        check(
            r#"{"prune":{"blacklist_names":["firstname","(hobby|status)","%{firstname}_saying"]}}"#,
            EVENT,
            &without(&["firstname", "hobby", "status"]),
            true,
        );
        check(
            r#"{"prune":{"blacklist_names":["firstname","(hobby|status)","%{firstname}_saying"],"interpolate":true}}"#,
            EVENT,
            &without(&["firstname", "hobby", "status", "Borat_saying"]),
            true,
        );
        // Names are searched for the expression, and only outermost ones are.
        check(
            r#"{"prune":{"whitelist_names":["^a$","b"],"blacklist_names":[]}}"#,
            r#"{"a":1,"aa":2,"xbx":{"c":1},"d":{"a":1}}"#,
            r#"{"a":1,"xbx":{"c":1}}"#,
            true,
        );
        check(r#"{"prune":{"whitelist_names":["^(?!tmp_)"]}}"#, r#"{"tmp_a":1,"b":2}"#, r#"{"b":2}"#, true);
        check(r#"{"prune":{"whitelist_names":["nothing"]}}"#, EVENT, "{}", true);
    }

    #[test]
    fn values() {
        check(
            r#"{"prune":{"whitelist_values":{"firstname":"^Borat$","fullname":"%{firstname} Sagdiyev","location":"no such place","status":"^2","none":"x"}}}"#,
            EVENT,
            &without(&["%{hmm}", "fullname", "location"]),
            true,
        );
        check(
            r#"{"prune":{"whitelist_values":{"fullname":"%{firstname} Sagdiyev"},"interpolate":true}}"#,
            EVENT,
            &without(&["%{hmm}"]),
            true,
        );
        check(
            r#"{"prune":{"blacklist_values":{"firstname":"^Borat$","status":"^[^2]","%{lastname}":"x"},"blacklist_names":[]}}"#,
            EVENT,
            &without(&["firstname"]),
            true,
        );
        // Items of arrays go one by one.
        let tags = r#"{"status":[200,"404","500"],"b":["x"],"c":null}"#;
        check(
            r#"{"prune":{"whitelist_values":{"status":"^[45]","b":"y","c":"z"}}}"#,
            tags,
            r#"{"status":["404","500"],"c":null}"#,
            true,
        );
        check(
            r#"{"prune":{"blacklist_values":{"status":"^[45]","b":"y"}}}"#,
            tags,
            r#"{"status":[200],"b":["x"],"c":null}"#,
            true,
        );
    }

    #[test]
    fn mistakes() {
        mistake(
            r#"{"prune":{"whitelist_names":["("]}}"#,
            "option \"whitelist_names\": not a regular expression",
        );
        mistake(r#"{"prune":{"blacklist_values":{"a":"("}}}"#, "option \"blacklist_values\"");
        mistake(r#"{"prune":{"blacklist_names":["%{"],"interpolate":true}}"#, "option \"blacklist_names\"");
        // Where the event makes a wrong one, nothing goes.
        check(
            r#"{"prune":{"whitelist_names":["a"],"blacklist_names":["%{a}"],"interpolate":true}}"#,
            r#"{"a":"(","b":1}"#,
            r#"{"a":"(","b":1}"#,
            false,
        );
    }
}
