//! The options of a plugin, read with Logstash's rules of what may stand for what: a scalar for
//! a list of one, an array of pairs for a hash, `"true"` for a boolean.

use super::known::{Kept, Known};
use super::parse::unknown;
use super::translate::Translator;
use super::tree::{Plugin, Value, ValueKind};
use crate::tree::Place;
use expr::Template;
use expr::logstash::field_names;
use serde_json::{Map, Value as Json};

/// The options of a plugin, those that stand twice merged.
pub(crate) struct Options {
    /// Such as `filter "grok"`.
    pub(crate) what: String,
    pub(crate) place: Place,
    values: Vec<(String, Place, Value)>,
}

impl Options {
    /// Checks the names against what is known of the plugin.
    pub(crate) fn new(
        t: &mut Translator<'_>,
        plugin: &Plugin,
        what: String,
        known: &[&'static Known],
    ) -> Self {
        let mut values: Vec<(String, Place, Value)> = Vec::new();
        for attribute in &plugin.attributes {
            let Some(option) = known.iter().find(|known| known.name == attribute.name) else {
                let names: Vec<&str> = known.iter().map(|known| known.name).collect();
                let message = unknown("option", &attribute.name, &format!(" of {what}"), &names);
                t.wrong(attribute.place, message);
                continue;
            };
            judge(t, option, &attribute.name, attribute.place, &attribute.value, &what);
            match values.iter_mut().find(|(name, ..)| *name == attribute.name) {
                Some((_, _, value)) => merge(value, &attribute.value),
                None => values.push((attribute.name.clone(), attribute.place, attribute.value.clone())),
            }
        }
        Self { what, place: plugin.place, values }
    }

    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(own, ..)| own == name).map(|(.., value)| value)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// Where an option stands, or the plugin.
    pub(crate) fn place(&self, name: &str) -> Place {
        self.value(name).map_or(self.place, |value| value.place)
    }

    fn expected(&self, t: &mut Translator<'_>, name: &str, value: &Value, what: &str) {
        let message = format!("option {name:?} of {}: expected {what}, found {}", self.what, value.what());
        t.wrong(value.place, message);
    }

    pub(crate) fn text(&self, t: &mut Translator<'_>, name: &str) -> Option<String> {
        let mut value = self.value(name)?;
        if let ValueKind::List(items) = &value.kind
            && let [one] = items.as_slice()
        {
            value = one;
        }
        let text = value.text();
        if text.is_none() {
            self.expected(t, name, value, "a text");
        }
        text
    }

    /// A text that must be there.
    pub(crate) fn needed(&self, t: &mut Translator<'_>, name: &str) -> Option<String> {
        if !self.has(name) {
            t.wrong(self.place, format!("{} needs the option {name:?}", self.what));
        }
        self.text(t, name).filter(|text| !text.is_empty())
    }

    pub(crate) fn bool(&self, t: &mut Translator<'_>, name: &str) -> Option<bool> {
        let value = self.value(name)?;
        match value.text().as_deref() {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => {
                self.expected(t, name, value, "true or false");
                None
            }
        }
    }

    pub(crate) fn number(&self, t: &mut Translator<'_>, name: &str) -> Option<u64> {
        let value = self.value(name)?;
        let number = value.text().and_then(|text| {
            text.parse::<u64>().ok().or_else(|| {
                let number = text.parse::<f64>().ok()?;
                (number >= 0.0 && number.fract() == 0.0 && number < 1e18).then_some(number as u64)
            })
        });
        if number.is_none() {
            self.expected(t, name, value, "a whole number");
        }
        number
    }

    /// A number of seconds or milliseconds, as a duration of ours.
    pub(crate) fn millis(&self, t: &mut Translator<'_>, name: &str) -> Option<String> {
        self.number(t, name).map(|number| format!("{number}ms"))
    }

    pub(crate) fn seconds(&self, t: &mut Translator<'_>, name: &str) -> Option<String> {
        let value = self.value(name)?;
        let text = value.text().unwrap_or_default();
        let duration = match text.parse::<f64>() {
            Ok(seconds) if seconds >= 0.0 => Some(format!("{}ms", (seconds * 1000.0) as u64)),
            _ => words_of_time(&text),
        };
        if duration.is_none() {
            self.expected(t, name, value, "seconds, or a duration such as \"10 minutes\"");
        }
        duration
    }

    pub(crate) fn bytes(&self, t: &mut Translator<'_>, name: &str) -> Option<u64> {
        let value = self.value(name)?;
        let text = value.text().unwrap_or_default();
        let bytes = pipeline::units::Bytes::parse(&text).ok().map(|bytes| bytes.0);
        if bytes.is_none() {
            self.expected(t, name, value, "a size such as \"10 MiB\"");
        }
        bytes
    }

    /// The items of a list; a scalar is a list of one.
    pub(crate) fn list(&self, t: &mut Translator<'_>, name: &str) -> Option<Vec<String>> {
        let value = self.value(name)?;
        let items = match &value.kind {
            ValueKind::List(items) => items.iter().collect(),
            _ => vec![value],
        };
        let mut texts = Vec::new();
        for item in items {
            match item.text() {
                Some(text) => texts.push(text),
                None => self.expected(t, name, item, "texts"),
            }
        }
        Some(texts)
    }

    /// The entries of a hash; an array of an even number of items is one, too.
    pub(crate) fn pairs(&self, t: &mut Translator<'_>, name: &str) -> Vec<(String, Value)> {
        let Some(value) = self.value(name) else { return Vec::new() };
        match &value.kind {
            ValueKind::Hash(entries) => {
                entries.iter().map(|(key, value)| (key.text().unwrap_or_default(), value.clone())).collect()
            }
            ValueKind::List(items) if items.len().is_multiple_of(2) => {
                items.chunks(2).filter_map(|two| Some((two[0].text()?, two[1].clone()))).collect()
            }
            ValueKind::List(items) => {
                let message = format!(
                    "option {name:?} of {}: an array stands for a hash when it has an even number of items, this one has {}",
                    self.what,
                    items.len()
                );
                t.wrong(value.place, message);
                Vec::new()
            }
            _ => {
                self.expected(t, name, value, "a hash");
                Vec::new()
            }
        }
    }

    /// The entries of a hash of texts, the names as field references, the values as templates.
    pub(crate) fn fields(&self, t: &mut Translator<'_>, name: &str) -> Map<String, Json> {
        let pairs = self.pairs(t, name);
        let mut out = Map::new();
        for (key, value) in pairs {
            let template = |t: &mut Translator<'_>, value: &Value| match value.text() {
                Some(text) => Json::String(t.template(&text, value.place)),
                None => {
                    self.expected(t, name, value, "a text");
                    Json::Null
                }
            };
            let new = match &value.kind {
                ValueKind::List(items) => Json::Array(items.iter().map(|item| template(t, item)).collect()),
                _ => template(t, &value),
            };
            out.insert(t.reference(&key, value.place), new);
        }
        out
    }

    /// The entries of a hash of texts, the values as templates; the names stand as they are.
    pub(crate) fn fields_of_texts(&self, t: &mut Translator<'_>, name: &str) -> Map<String, Json> {
        let mut out = Map::new();
        for (key, value) in self.pairs(t, name) {
            match value.text() {
                Some(text) => drop(out.insert(key, t.template(&text, value.place).into())),
                None => self.expected(t, name, &value, "a text"),
            }
        }
        out
    }

    /// A list of field references.
    pub(crate) fn references(&self, t: &mut Translator<'_>, name: &str) -> Vec<String> {
        let place = self.place(name);
        self.list(t, name).unwrap_or_default().iter().map(|text| t.reference(text, place)).collect()
    }

    /// The codec: its name, and its options.
    pub(crate) fn codec(&self, t: &mut Translator<'_>, default: &str) -> (String, Plugin) {
        let plain = |name: &str, place| Plugin { name: name.to_owned(), place, attributes: Vec::new() };
        match self.value("codec") {
            None => (default.to_owned(), plain(default, self.place)),
            Some(value) => match (&value.kind, value.text()) {
                (ValueKind::Plugin(plugin), _) => (plugin.name.clone(), plugin.clone()),
                (_, Some(name)) => (name.clone(), plain(&name, value.place)),
                _ => {
                    self.expected(t, "codec", value, "the name of a codec");
                    (default.to_owned(), plain(default, value.place))
                }
            },
        }
    }
}

/// Says what is to be said of an option that is set.
fn judge(t: &mut Translator<'_>, known: &Known, name: &str, place: Place, value: &Value, what: &str) {
    let is_default = value.text().is_some_and(|text| text == known.default) || is_empty(value);
    match known.kept {
        Kept::Refused(way) if !is_default => {
            t.wrong(place, format!("option {name:?} of {what} cannot be kept: {way}"));
        }
        Kept::Near(how) if !is_default => t.warn(place, format!("option {name:?} of {what}: {how}")),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match &value.kind {
        ValueKind::List(items) => items.is_empty(),
        ValueKind::Hash(entries) => entries.is_empty(),
        _ => false,
    }
}

/// An option that stands twice: arrays and hashes are joined, scalars become an array.
fn merge(into: &mut Value, more: &Value) {
    if into.text().is_some() && into.text() == more.text() {
        return;
    }
    match (&mut into.kind, &more.kind) {
        (ValueKind::Hash(entries), ValueKind::Hash(others)) => {
            for (name, value) in others {
                match entries.iter_mut().find(|(own, _)| own.text() == name.text()) {
                    Some((_, own)) => merge(own, value),
                    None => entries.push((name.clone(), value.clone())),
                }
            }
        }
        (ValueKind::List(items), ValueKind::List(others)) => items.extend(others.iter().cloned()),
        (ValueKind::List(items), _) => items.push(more.clone()),
        _ => {
            let items = match &more.kind {
                ValueKind::List(others) => others.clone(),
                _ => vec![more.clone()],
            };
            let first = into.clone();
            into.kind = ValueKind::List(std::iter::once(first).chain(items).collect());
        }
    }
}

/// `"2 weeks"`, `"10s"`, `"500 ms"`: the words that Logstash's plugins know.
fn words_of_time(text: &str) -> Option<String> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..at].parse().ok()?;
    let millis = match text[at..].trim() {
        "w" | "week" | "weeks" => 604_800_000.0,
        "d" | "day" | "days" => 86_400_000.0,
        "h" | "hour" | "hours" => 3_600_000.0,
        "m" | "min" | "minute" | "minutes" => 60_000.0,
        "s" | "sec" | "second" | "seconds" => 1000.0,
        "ms" | "msec" | "msecs" => 1.0,
        "us" | "usec" | "usecs" => 0.001,
        _ => return None,
    };
    Some(format!("{}ms", (number * millis) as u64))
}

impl Translator<'_> {
    /// A text with `%{…}` in our own notation.
    pub(crate) fn template(&mut self, text: &str, place: Place) -> String {
        match Template::parse_logstash(text) {
            Ok(template) => template.to_string(),
            Err(error) => {
                self.wrong(place, error.reason);
                String::new()
            }
        }
    }

    /// A field reference in our own notation; `%{…}` may stand in it.
    pub(crate) fn reference(&mut self, text: &str, place: Place) -> String {
        if text.contains("%{") {
            return self.template(text, place);
        }
        match field_names(text) {
            Some(names) => event::Path::of(names).to_string(),
            None => {
                self.wrong(place, "a field reference is empty");
                String::new()
            }
        }
    }
}
