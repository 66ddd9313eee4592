//! The options of a filter of ours, taken one by one from those of a plugin.

use crate::logstash::options::Options;
use crate::logstash::parse::unknown;
use crate::logstash::translate::{Ecs, Translator};
use crate::logstash::tree::{Value, ValueKind};
use serde_json::{Map, Value as Json};

/// Options of a filter of ours. What a config does not say is left to our own default, where that is
/// the plugin's.
pub(super) struct Native<'o> {
    options: &'o Options,
    pub(super) map: Map<String, Json>,
}

impl<'o> Native<'o> {
    pub(super) fn new(options: &'o Options) -> Self {
        Self { options, map: Map::new() }
    }

    /// The filter of this name with these options.
    pub(super) fn named(self, name: &str) -> Json {
        Json::Object(Map::from_iter([(name.to_owned(), Json::Object(self.map))]))
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<Json>) {
        self.map.insert(name.to_owned(), value.into());
    }

    /// A field reference.
    pub(super) fn field(&mut self, t: &mut Translator<'_>, name: &str) {
        self.field_as(t, name, name);
    }

    /// A field reference, under another name.
    pub(super) fn field_as(&mut self, t: &mut Translator<'_>, name: &str, own: &str) {
        if let Some(text) = self.options.text(t, name) {
            let reference = t.reference(&text, self.options.place(name));
            self.set(own, reference);
        }
    }

    /// Several field references.
    pub(super) fn fields(&mut self, t: &mut Translator<'_>, name: &str) {
        if self.options.has(name) {
            let references = self.options.references(t, name);
            self.set(name, references);
        }
    }

    /// A text as it is.
    pub(super) fn text(&mut self, t: &mut Translator<'_>, name: &str) {
        if let Some(text) = self.options.text(t, name) {
            self.set(name, text);
        }
    }

    /// One of several words.
    pub(super) fn word(&mut self, t: &mut Translator<'_>, name: &str, words: &[&str]) {
        let Some(word) = self.options.text(t, name) else { return };
        if words.contains(&word.as_str()) {
            self.set(name, word);
        } else {
            t.wrong(self.options.place(name), unknown("value", &word, &format!(" of {name:?}"), words));
        }
    }

    /// Several texts as they are.
    pub(super) fn texts(&mut self, t: &mut Translator<'_>, name: &str) {
        if let Some(texts) = self.options.list(t, name) {
            self.set(name, texts);
        }
    }

    /// A text with `%{…}`.
    pub(super) fn template(&mut self, t: &mut Translator<'_>, name: &str) {
        if let Some(text) = self.options.text(t, name) {
            let template = t.template(&text, self.options.place(name));
            self.set(name, template);
        }
    }

    /// Several texts with `%{…}`.
    pub(super) fn templates(&mut self, t: &mut Translator<'_>, name: &str) {
        if let Some(texts) = self.options.list(t, name) {
            let place = self.options.place(name);
            let templates: Vec<String> = texts.iter().map(|text| t.template(text, place)).collect();
            self.set(name, templates);
        }
    }

    pub(super) fn flag(&mut self, t: &mut Translator<'_>, name: &str) {
        if let Some(flag) = self.options.bool(t, name) {
            self.set(name, flag);
        }
    }

    pub(super) fn number(&mut self, t: &mut Translator<'_>, name: &str) {
        if let Some(number) = self.options.number(t, name) {
            self.set(name, number);
        }
    }

    /// One character.
    pub(super) fn character(&mut self, t: &mut Translator<'_>, name: &str, own: &str) {
        let Some(text) = self.options.text(t, name) else { return };
        if text.chars().count() == 1 {
            self.set(own, text);
        } else {
            let message = format!("{name:?} takes one character here (a tab is written as itself)");
            t.wrong(self.options.place(name), message);
        }
    }

    /// A hash whose names and values are left as they are.
    pub(super) fn hash(&mut self, t: &mut Translator<'_>, name: &str) {
        if self.options.has(name) {
            let pairs = self.options.pairs(t, name);
            let map: Map<String, Json> =
                pairs.iter().map(|(key, value)| (key.clone(), json_of(value))).collect();
            self.set(name, map);
        }
    }

    /// Where the plugin chooses names by the mode: `ecs` or `legacy`.
    pub(super) fn names(&mut self, t: &mut Translator<'_>) {
        let names = names(t, self.options);
        self.set("names", names);
    }
}

/// Which names a plugin gives to fields, in our word for it.
pub(super) fn names(t: &mut Translator<'_>, options: &Options) -> &'static str {
    match t.ecs_of(options) {
        Ecs::Schema => "ecs",
        Ecs::Disabled => "legacy",
    }
}

/// A value as JSON: a number stays one.
pub(super) fn json_of(value: &Value) -> Json {
    match &value.kind {
        ValueKind::Int(number) => (*number).into(),
        ValueKind::Float(number) => (*number).into(),
        ValueKind::List(items) => items.iter().map(json_of).collect(),
        ValueKind::Hash(entries) => entries
            .iter()
            .map(|(key, value)| (key.text().unwrap_or_default(), json_of(value)))
            .collect::<Map<String, Json>>()
            .into(),
        _ => value.text().unwrap_or_default().into(),
    }
}
