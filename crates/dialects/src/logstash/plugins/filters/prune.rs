//! Filter `prune`: defaults of `logstash-filter-prune` 3.0.

use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;
use serde_json::Map;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "prune",
    note: "Only outermost fields, as there.",
    options: &[&[
        honoured("whitelist_names", "[]"),
        honoured("blacklist_names", "[\"%{[^}]+}\"]"),
        honoured("whitelist_values", "{}"),
        honoured("blacklist_values", "{}"),
        honoured("interpolate", "false"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut native = Native::new(options);
    let interpolates = options.bool(t, "interpolate").unwrap_or(false);
    let text = |t: &mut Translator<'_>, text: &str, place| {
        if interpolates { t.template(text, place) } else { text.to_owned() }
    };
    for name in ["whitelist_names", "blacklist_names"] {
        if let Some(texts) = options.list(t, name) {
            let place = options.place(name);
            let texts: Vec<String> = texts.iter().map(|regex| text(t, regex, place)).collect();
            native.set(name, texts);
        }
    }
    for name in ["whitelist_values", "blacklist_values"] {
        let pairs = options.pairs(t, name);
        let mut map = Map::new();
        for (field, regex) in pairs {
            let regex_text = regex.text().unwrap_or_default();
            map.insert(text(t, &field, regex.place), text(t, &regex_text, regex.place).into());
        }
        native.set(name, map);
    }
    native.flag(t, "interpolate");
    let step = t.step(native.named("prune"), options);
    finished(t, options, step, None, "").into_iter().collect()
}
