//! Filter `mutate`: defaults of `logstash-filter-mutate` 3.5.

use super::finished;
use crate::logstash::known::{PluginTable, honoured};
use crate::logstash::options::Options;
use crate::logstash::parse::unknown;
use crate::logstash::translate::Translator;
use crate::logstash::tree::{Value, ValueKind};
use pipeline::plan::Step;
use serde_json::{Map, Value as Json, json};

pub(super) const TABLE: PluginTable = PluginTable {
    name: "mutate",
    note: "All of it, in the plugin's fixed order.",
    options: &[&[
        honoured("coerce", "{}"),
        honoured("rename", "{}"),
        honoured("update", "{}"),
        honoured("replace", "{}"),
        honoured("convert", "{}"),
        honoured("gsub", "[]"),
        honoured("uppercase", "[]"),
        honoured("capitalize", "[]"),
        honoured("lowercase", "[]"),
        honoured("strip", "[]"),
        honoured("split", "{}"),
        honoured("join", "{}"),
        honoured("merge", "{}"),
        honoured("copy", "{}"),
        honoured("tag_on_failure", "_mutate_error"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut config = Map::new();
    for name in ["coerce", "update", "replace", "split", "join"] {
        let fields = options.fields(t, name);
        if !fields.is_empty() {
            config.insert(name.into(), fields.into());
        }
    }
    for name in ["rename", "copy", "merge"] {
        let mut fields = Map::new();
        for (key, value) in options.pairs(t, name) {
            let new = match &value.kind {
                ValueKind::List(items) => items
                    .iter()
                    .map(|item| Json::from(t.reference(&item.text().unwrap_or_default(), item.place)))
                    .collect(),
                _ => t.reference(&value.text().unwrap_or_default(), value.place).into(),
            };
            fields.insert(t.reference(&key, value.place), new);
        }
        if !fields.is_empty() {
            config.insert(name.into(), fields.into());
        }
    }
    for name in ["uppercase", "capitalize", "lowercase", "strip"] {
        let fields = options.references(t, name);
        if !fields.is_empty() {
            config.insert(name.into(), fields.into());
        }
    }
    let conversions: Vec<Json> =
        options.pairs(t, "convert").iter().filter_map(|(field, to)| conversion(t, field, to)).collect();
    if !conversions.is_empty() {
        config.insert("convert".into(), conversions.into());
    }
    let gsub = substitutions(t, options);
    if !gsub.is_empty() {
        config.insert("gsub".into(), gsub.into());
    }
    let step = t.step(json!({"mutate": config}), options);
    finished(t, options, step, None, "_mutate_error").into_iter().collect()
}

fn conversion(t: &mut Translator<'_>, field: &str, to: &Value) -> Option<Json> {
    const TYPES: [&str; 6] = ["integer", "float", "integer_eu", "float_eu", "string", "boolean"];
    let word = to.text().unwrap_or_default();
    if !TYPES.contains(&word.as_str()) {
        t.wrong(to.place, unknown("type", &word, " of \"convert\"", &TYPES));
        return None;
    }
    Some(json!({"field": t.reference(field, to.place), "to": word}))
}

fn substitutions(t: &mut Translator<'_>, options: &Options) -> Vec<Json> {
    let texts = options.list(t, "gsub").unwrap_or_default();
    let place = options.place("gsub");
    if !texts.len().is_multiple_of(3) {
        let message = format!(
            "\"gsub\" takes three texts each: field, regular expression, what stands for it; there are {}",
            texts.len()
        );
        t.wrong(place, message);
        return Vec::new();
    }
    let mut out = Vec::new();
    for three in texts.chunks(3) {
        let (field, with) = (t.reference(&three[0], place), t.template(&three[2], place));
        // A regex that names fields is made for each event.
        let regex = if three[1].contains("%{") { t.template(&three[1], place) } else { three[1].clone() };
        out.push(json!({"field": field, "regex": regex, "with": with}));
    }
    out
}
