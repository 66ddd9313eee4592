//! Filter `translate`: replaces values by those of a dictionary.
//!
//! A dictionary of a file is read when the filter is built, and not again while it runs.

mod dictionary;

use crate::place::{rendered, template};
use crate::values::{first_text, set_tree, tree_of};
use crate::{BuildError, Outcome, Provider, path};
use aho_corasick::{AhoCorasick, MatchKind};
use event::{Event, Path, Value};
use expr::Template;
use expr::onigmo::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Options of the filter `translate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that holds the key; of an array the first item is.
    pub source: String,
    /// The field that takes the value; none: it replaces the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Keys and values.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub dictionary: Map<String, Json>,
    /// A file of keys and values instead: `.yaml`, `.yml`, `.json` or `.csv`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dictionary_path: Option<String>,
    /// Whether a key is the whole text; else every place in the text that is a key is replaced.
    pub exact: bool,
    /// Whether the keys are regular expressions; the first that matches gives the value. Only with
    /// `exact`.
    pub regex: bool,
    /// A template for the value of keys that are not in the dictionary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// Whether a target that is there already is replaced; none: only where it is the source.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub replaces: Option<bool>,
    /// A field with an array: where it is the source, each item is translated; else each item is an
    /// object in which source and target lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterate_on: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: String::new(),
            target: None,
            dictionary: Map::new(),
            dictionary_path: None,
            exact: true,
            regex: false,
            fallback: None,
            replaces: None,
            iterate_on: None,
        }
    }
}

/// The filter.
pub struct Translate {
    source: Path,
    target: Path,
    lookup: Lookup,
    fallback: Option<Template>,
    replaces: bool,
    iterate: Iterate,
    is_in_place: bool,
}

enum Iterate {
    No,
    Values,
    Objects(Path),
}

enum Lookup {
    Exact(Map<String, Json>),
    Regex(Vec<(Regex, Json)>),
    /// The keys, and the texts that stand for them.
    Parts(AhoCorasick, Vec<String>),
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self, provider: &dyn Provider) -> Result<Translate, BuildError> {
        let wrong = |option, message: &str| Err(BuildError { option, message: message.to_owned() });
        if self.source.is_empty() {
            return wrong("source", "needs the field that holds the key");
        }
        if self.regex && !self.exact {
            return wrong("regex", "only goes with exact");
        }
        let (option, dictionary) = match &self.dictionary_path {
            Some(_) if !self.dictionary.is_empty() => {
                return wrong("dictionary_path", "dictionary has keys already");
            }
            Some(file) => {
                let read = provider.read(file).and_then(|bytes| dictionary::read(file, &bytes));
                let option = "dictionary_path";
                (option, read.map_err(|message| BuildError { option, message })?)
            }
            None if self.dictionary.is_empty() => return wrong("dictionary", "needs keys and values"),
            None => ("dictionary", self.dictionary.clone()),
        };
        let source = path("source", &self.source)?;
        let target = self.target.as_ref().map(|target| path("target", target)).transpose()?;
        let target = target.unwrap_or_else(|| source.clone());
        let iterate = match &self.iterate_on {
            None => Iterate::No,
            Some(field) => match path("iterate_on", field)? {
                field if field == source => Iterate::Values,
                field => Iterate::Objects(field),
            },
        };
        let fallback = self.fallback.as_ref().map(|text| template("fallback", text)).transpose()?;
        let is_in_place = source == target;
        Ok(Translate {
            lookup: Lookup::new(option, dictionary, self.exact, self.regex)?,
            fallback,
            replaces: self.replaces.unwrap_or(is_in_place),
            source,
            target,
            iterate,
            is_in_place,
        })
    }
}

impl Translate {
    /// Applies it; `now` is the clock reading of the batch. It fails where a value does not fit
    /// into the event, and has nothing to do where the source is missing, the target is there, or
    /// the dictionary and the fallback have no value.
    pub fn apply(&self, event: &mut Event<'_>, now: i64) -> Outcome {
        let fallback = || {
            let text = rendered(self.fallback.as_ref()?, event, now);
            Some(Json::String(String::from_utf8_lossy(&text).into_owned()))
        };
        let (path, new) = match &self.iterate {
            Iterate::Objects(field) => {
                let Some(value) = event.get(field) else { return Outcome::IDLE };
                (field, self.objects(tree_of(&value), fallback()))
            }
            one_field => {
                let Some(value) = event.get(&self.source) else { return Outcome::IDLE };
                if !self.replaces && event.exists(&self.target) {
                    return Outcome::IDLE;
                }
                let new = match one_field {
                    Iterate::Values => self.values(tree_of(&value), fallback()),
                    _ => self.one(&value).or_else(fallback),
                };
                (&self.target, new)
            }
        };
        match new {
            Some(new) => Outcome::of(set_tree(event, path, &new).is_ok()),
            // What may be translated in its place always counts as done.
            None if self.is_in_place && matches!(self.iterate, Iterate::No) => Outcome::OK,
            None => Outcome::IDLE,
        }
    }

    /// The value for a field.
    fn one(&self, value: &Value<'_>) -> Option<Json> {
        match value {
            Value::Str(text) => self.lookup.find(std::str::from_utf8(text).ok()?),
            other => self.lookup.find(std::str::from_utf8(&first_text(other)?).ok()?),
        }
    }

    /// The values for the items of an array, null where there is none.
    fn values(&self, tree: Json, fallback: Option<Json>) -> Option<Json> {
        let items = match tree {
            Json::Array(items) => items,
            one => vec![one],
        };
        let of_item = |item: &Json| self.item(item).or_else(|| fallback.clone()).unwrap_or_default();
        let values: Vec<Json> = items.iter().map(of_item).collect();
        values.iter().any(|value| !value.is_null()).then_some(Json::Array(values))
    }

    /// The array whose objects have the values in them.
    fn objects(&self, mut tree: Json, fallback: Option<Json>) -> Option<Json> {
        let mut found = false;
        for item in tree.as_array_mut()? {
            let Some(key) = dig(item, &self.source).filter(|key| !key.is_null()) else { continue };
            if !self.replaces && dig(item, &self.target).is_some() {
                continue;
            }
            if let Some(value) = self.item(key).or_else(|| fallback.clone()) {
                found |= put(item, self.target.names().collect::<Vec<_>>().as_slice(), value);
            }
        }
        found.then_some(tree)
    }

    fn item(&self, item: &Json) -> Option<Json> {
        match item {
            Json::String(text) => self.lookup.find(text),
            Json::Null | Json::Object(_) => None,
            Json::Array(items) => self.item(items.first()?),
            other => self.lookup.find(&other.to_string()),
        }
    }
}

impl Lookup {
    fn new(
        option: &'static str,
        dictionary: Map<String, Json>,
        exact: bool,
        regex: bool,
    ) -> Result<Self, BuildError> {
        if exact && !regex {
            return Ok(Lookup::Exact(dictionary));
        }
        if exact {
            let compiled = |(key, value): (String, Json)| Ok((crate::regex(option, &key)?, value));
            return dictionary.into_iter().map(compiled).collect::<Result<_, _>>().map(Lookup::Regex);
        }
        let wrong = |message: String| BuildError { option, message };
        if dictionary.contains_key("") {
            return Err(wrong("an empty key is at every place of a text".to_owned()));
        }
        let keys = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(dictionary.keys());
        let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Ok(Lookup::Parts(
            keys.map_err(|error| wrong(error.to_string()))?,
            dictionary.values().map(text).collect(),
        ))
    }

    fn find(&self, key: &str) -> Option<Json> {
        match self {
            Lookup::Exact(dictionary) => dictionary.get(key).cloned(),
            Lookup::Regex(patterns) => {
                let found = patterns.iter().find(|(pattern, _)| pattern.is_match(key.as_bytes()))?;
                Some(found.1.clone())
            }
            Lookup::Parts(keys, values) => {
                let new = keys.replace_all(key, values);
                (new != key).then_some(Json::String(new))
            }
        }
    }
}

fn dig<'j>(tree: &'j Json, path: &Path) -> Option<&'j Json> {
    path.names().try_fold(tree, |tree, name| match tree {
        Json::Array(items) => items.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    })
}

/// Puts a value into an object; says whether there was a way to it.
fn put(tree: &mut Json, names: &[&str], value: Json) -> bool {
    let ([name, rest @ ..], Json::Object(members)) = (names, tree) else { return false };
    if rest.is_empty() {
        members.insert((*name).to_owned(), value);
        return true;
    }
    put(members.entry(*name).or_insert_with(|| Json::Object(Map::new())), rest, value)
}

#[cfg(test)]
mod tests {
    use crate::testing::{apply, apply_with, mistake};
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    /// Checks what becomes of an event; `=`: it stays as it is and nothing was to do.
    #[track_caller]
    fn check(options: Json, before: Json, after: Json) {
        let (found, outcome) = apply(&json!({ "translate": options }).to_string(), &before.to_string());
        let idle = after == "=";
        assert_eq!(found, if idle { before } else { after });
        assert!(outcome.ok);
        assert_eq!(outcome.idle, idle);
    }

    #[test]
    fn exact() {
        let codes = json!({"200": "OK", "300": {"to": ["x"]}, "404": 4});
        let options = |more: Json| {
            let mut options = json!({"source": "status", "target": "t", "dictionary": codes});
            options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            options
        };
        let plain = || options(json!({}));
        check(plain(), json!({"status": 200}), json!({"status": 200, "t": "OK"}));
        check(plain(), json!({"status": "300"}), json!({"status": "300", "t": {"to": ["x"]}}));
        check(plain(), json!({"status": ["404", "200"]}), json!({"status": ["404", "200"], "t": 4}));
        check(plain(), json!({"status": "200 "}), json!("="));
        check(plain(), json!({"x": 1}), json!("="));
        check(plain(), json!({"status": {"a": 200}}), json!("="));
        // A target that is there stays.
        check(plain(), json!({"status": 200, "t": "x"}), json!("="));
        check(
            options(json!({"override": true})),
            json!({"status": 200, "t": "x"}),
            json!({"status": 200, "t": "OK"}),
        );
        let fallback = || options(json!({"fallback": "no %{status} %{none}"}));
        check(fallback(), json!({"status": 9}), json!({"status": 9, "t": "no 9 %{none}"}));
        check(fallback(), json!({"x": 9}), json!("="));
        // In its place.
        let own = || json!({"source": "a.b", "dictionary": {"x": "y"}});
        check(own(), json!({"a": {"b": "x"}}), json!({"a": {"b": "y"}}));
        check(own(), json!({"a": {"b": "z"}}), json!({"a": {"b": "z"}}));
        let mut kept = own();
        kept["override"] = false.into();
        check(kept, json!({"a": {"b": "x"}}), json!("="));
    }

    #[test]
    fn regex_and_parts() {
        let regex = json!({"source": "s", "target": "t", "regex": true, "dictionary": {"^2[0-9]": "ok", "^2": "two", "5..": "bad"}});
        check(regex.clone(), json!({"s": "204"}), json!({"s": "204", "t": "ok"}));
        check(regex.clone(), json!({"s": "2"}), json!({"s": "2", "t": "two"}));
        check(regex.clone(), json!({"s": "1502"}), json!({"s": "1502", "t": "bad"}));
        check(regex, json!({"s": "3"}), json!("="));
        let parts = json!({"source": "s", "target": "t", "exact": false, "dictionary": {"foo": "bar", "fo": "x", "1.": 1}});
        check(parts.clone(), json!({"s": "foo"}), json!({"s": "foo", "t": "bar"}));
        check(
            parts.clone(),
            json!({"s": "foofing fo 1."}),
            json!({"s": "foofing fo 1.", "t": "barfing x 1"}),
        );
        check(parts.clone(), json!({"s": "12"}), json!("="));
        let swap = json!({"source": "s", "exact": false, "dictionary": {"a": "b", "b": "a"}});
        check(swap, json!({"s": "abc"}), json!({"s": "bac"}));
    }

    #[test]
    fn iterate() {
        let dictionary = json!({"100": "Yuki", "101": "Rupert"});
        let values = json!({"source": "c", "target": "n", "iterate_on": "c", "dictionary": dictionary});
        check(
            values.clone(),
            json!({"c": ["100", 101, "102"]}),
            json!({"c": ["100", 101, "102"], "n": ["Yuki", "Rupert", null]}),
        );
        check(values.clone(), json!({"c": "100"}), json!({"c": "100", "n": ["Yuki"]}));
        check(values.clone(), json!({"c": ["1"]}), json!("="));
        let mut fallback = values;
        fallback["fallback"] = "nobody".into();
        check(fallback, json!({"c": ["1", "100"]}), json!({"c": ["1", "100"], "n": ["nobody", "Yuki"]}));
        let objects =
            json!({"source": "id", "target": "name.first", "iterate_on": "c", "dictionary": dictionary});
        check(
            objects.clone(),
            json!({"c": [{"id": 100}, {"id": "9"}, {"x": 1}, {"id": "101", "name": {"first": "R"}}, 5]}),
            json!({"c": [{"id": 100, "name": {"first": "Yuki"}}, {"id": "9"}, {"x": 1}, {"id": "101", "name": {"first": "R"}}, 5]}),
        );
        check(objects.clone(), json!({"c": [{"id": 9}]}), json!("="));
        check(objects.clone(), json!({"c": "x"}), json!("="));
        check(objects, json!({"d": 1}), json!("="));
    }

    #[test]
    fn files() {
        let files = [("d.yml", "a: b\n"), ("d.csv", "x,y\n"), ("bad.json", "[")];
        let config = |file: &str| json!({"translate": {"source": "s", "dictionary_path": file}}).to_string();
        assert_eq!(apply_with(&config("d.yml"), r#"{"s":"a"}"#, &files).0, json!({"s": "b"}));
        assert_eq!(apply_with(&config("d.csv"), r#"{"s":"x"}"#, &files).0, json!({"s": "y"}));
        mistake(&config("none.yml"), "option \"dictionary_path\": no files can be read here");
    }

    #[test]
    fn mistakes() {
        mistake(r#"{"translate":{"dictionary":{"a":1}}}"#, "option \"source\"");
        mistake(r#"{"translate":{"source":"a"}}"#, "option \"dictionary\": needs");
        mistake(
            r#"{"translate":{"source":"a","dictionary":{"a":1},"dictionary_path":"x"}}"#,
            "option \"dictionary_path\"",
        );
        mistake(r#"{"translate":{"source":"a","dictionary":{"(":1},"regex":true}}"#, "option \"dictionary\"");
        mistake(
            r#"{"translate":{"source":"a","dictionary":{"a":1},"regex":true,"exact":false}}"#,
            "option \"regex\"",
        );
        mistake(r#"{"translate":{"source":"a","dictionary":{"":1},"exact":false}}"#, "an empty key");
        mistake(
            r#"{"translate":{"source":"a","dictionary":{"a":1},"fallback":"%{"}}"#,
            "option \"fallback\"",
        );
    }

    proptest! {
        #[test]
        fn what_is_no_key_stays(text in "[a-c]{0,12}") {
            let config = r#"{"translate":{"source":"s","exact":false,"dictionary":{"ab":"x"}}}"#;
            let (after, _) = apply(config, &json!({ "s": text }).to_string());
            prop_assert_eq!(after, json!({ "s": text.replace("ab", "x") }));
        }
    }
}
