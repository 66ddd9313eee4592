//! Filter `dissect`: defaults of `logstash-filter-dissect` 1.2.

use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured};
use crate::logstash::options::Options;
use crate::logstash::parse::unknown;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;
use serde_json::{Map, json};

pub(super) const TABLE: PluginTable = PluginTable {
    name: "dissect",
    note: "A pattern that does not match changes nothing; of several, the others do.",
    options: &[&[
        honoured("mapping", "{}"),
        honoured("convert_datatype", "{}"),
        honoured("tag_on_failure", "[\"_dissectfailure\"]"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut native = Native::new(options);
    let mut mapping = Vec::new();
    for (field, pattern) in options.pairs(t, "mapping") {
        match pattern.text() {
            Some(text) => mapping.push(json!({"field": t.reference(&field, pattern.place), "pattern": text})),
            None => t.wrong(pattern.place, format!("\"mapping\" takes texts, found {}", pattern.what())),
        }
    }
    native.set("mapping", mapping);
    let mut conversions = Map::new();
    for (field, to) in options.pairs(t, "convert_datatype") {
        const TYPES: [&str; 2] = ["int", "float"];
        let word = to.text().unwrap_or_default();
        if TYPES.contains(&word.as_str()) {
            conversions.insert(t.reference(&field, to.place), word.into());
        } else {
            t.wrong(to.place, unknown("type", &word, " of \"convert_datatype\"", &TYPES));
        }
    }
    native.set("convert_datatype", conversions);
    let step = t.step(native.named("dissect"), options);
    finished(t, options, step, None, "_dissectfailure").into_iter().collect()
}
